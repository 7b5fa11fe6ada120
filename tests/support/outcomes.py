"""A database server with a switch on dummy devices, and what a user can see of a configuration."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support.originals import PROGRAMS, VSWITCH_SCHEMA, environment, wait_for
from support.ovsdb_peer import Peer
from support.switches import Control

OURS = Path(sys.executable).parent
INTERFACE = (
    *("name", "type", "ofport", "error", "admin_state", "link_state", "link_speed", "duplex"),
    *("link_resets", "mtu", "mac_in_use", "status", "ifindex"),
)
BRIDGE = ("name", "datapath_id", "datapath_version", "status", "rstp_status")
PORT = ("name", "status", "rstp_status", "bond_active_slave")
ROOT = ("ovs_version", "datapath_types", "dpdk_initialized", "dpdk_version", "statistics")
_MAC = re.compile(r"\b[0-9a-f][26ae](?::[0-9a-f]{2}){5}\b")
_DATAPATH_ID = re.compile(r"\b0000([0-9a-f][26ae][0-9a-f]{10})\b")
_VARYING = re.compile(r"(duration=|n_packets=|n_bytes=|idle_age=|hit:|missed:)[0-9.]+s?")
_DEVICE = re.compile(r"^ +\S+ \S+/(\d+): \((\S+)\)$")


Ignore = Callable[[str, str, str], bool]
"""Whether what the two show under a name may differ."""


DUMMY = ("--enable-dummy=override", "--disable-system")


class Outcome(NamedTuple):
    stdout: str
    stderr: str
    status: int


class Side:
    """One server and one switch in `directory`, the originals or ours; the tools are always the originals."""

    def __init__(self, directory: Path, *, ours: bool, options: Sequence[str] = DUMMY) -> None:
        directory.mkdir()
        self.directory, self.ours = directory, ours
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._run("ovsdb-tool", "create", f"{directory}/conf.db", VSWITCH_SCHEMA)
        self._start("ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock")
        wait_for(directory / "db.sock")
        self.database = Peer(directory / "db.sock")
        self._run("ovs-vsctl", "--no-wait", "init")
        self._start("ovs-vswitchd", *options)
        pid = (directory / "ovs-vswitchd.pid").read_text().strip()
        wait_for(directory / f"ovs-vswitchd.{pid}.ctl")
        self.control = Control(f"{directory}/ovs-vswitchd.{pid}.ctl")

    def _start(self, program: str, *arguments: str) -> None:
        command = [str(OURS / program) if self.ours else PROGRAMS[program], *arguments]
        command += ["--pidfile", "-vconsole:off", "--log-file"]
        self._daemons.append(
            subprocess.Popen(command, env=environment(self.directory), stdin=subprocess.DEVNULL)
        )
        wait_for(self.directory / f"{program}.pid")

    def _run(self, program: str, *arguments: str) -> Outcome:
        done = subprocess.run(
            [PROGRAMS[program], *arguments],
            env=environment(self.directory),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
        )
        shown, said = (text.replace(str(self.directory), "DIR") for text in (done.stdout, done.stderr))
        return Outcome(shown, re.sub(r"^.{20}\|\d+\|", "", said, flags=re.MULTILINE), done.returncode)

    def vsctl(self, *words: str) -> Outcome:
        return self._run("ovs-vsctl", "-t", "10", *words)

    def ofctl(self, *words: str) -> str:
        """Without counters, and with labels for addresses that were made up."""
        outcome = self._run("ovs-ofctl", *words)
        text = _VARYING.sub(r"\1N", outcome.stdout + outcome.stderr)
        return labelled({"": text.replace("dpid:", "dpid: ")})[""]

    def rows(self, table: str, columns: tuple[str, ...]) -> list[Any]:
        select = {"op": "select", "table": table, "where": [], "columns": list(columns)}
        (result,) = self.database.call("transact", ["Open_vSwitch", select])
        return sorted(result["rows"], key=lambda row: json.dumps(row.get("name")))

    def see(self) -> dict[str, str]:
        """What the database and the control socket show, by the name of what it is shown of."""
        seen: dict[str, str] = {}
        for table, columns in (("Open_vSwitch", ROOT), ("Bridge", BRIDGE), ("Port", PORT)):
            for row in self.rows(table, columns):
                seen[f"{table} {row.get('name', '.')}"] = json.dumps(row, sort_keys=True)
        for row in self.rows("Interface", INTERFACE):
            for column, value in row.items():
                seen[f"Interface {row['name']} {column}"] = json.dumps(value, sort_keys=True)
        seen["dpif/show"] = self._datapaths()
        seen["ofproto/list"] = "\n".join(sorted(self.control("ofproto/list").split("\n")))
        return labelled(seen)

    def _datapaths(self) -> str:
        """dpif/show without counters and with the numbers of datapath ports by order."""
        shown = _VARYING.sub(r"\1N", self.control("dpif/show"))
        return re.sub(r"/\d+:", "/N:", shown)

    def log(self) -> str:
        return (self.directory / "ovs-vswitchd.log").read_text(errors="surrogateescape")

    def stop(self) -> None:
        self.control.close()
        self.database.close()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def labelled(seen: dict[str, str]) -> dict[str, str]:
    """Addresses that were made up are numbered in the order in which they are met."""
    labels: dict[str, str] = {}

    def label(mac: str) -> str:
        return labels.setdefault(mac, f"MAC{len(labels)}")

    found = {}
    for name, text in seen.items():
        text = _DATAPATH_ID.sub(lambda match: label(":".join(re.findall("..", match[1]))), text)
        found[name] = _MAC.sub(lambda match: label(match[0]), text)
    return found


def both_see(
    sides: tuple[Side, Side], seconds: float = 20.0, ignore: Ignore = lambda name, left, right: False
) -> dict[str, tuple[str, str]]:
    """What the two see differently, and go on seeing differently for so long."""
    deadline = time.monotonic() + seconds
    while True:
        left, right = (side.see() for side in sides)
        names = sorted(left.keys() | right.keys())
        different = {
            name: (left.get(name, "(nothing)"), right.get(name, "(nothing)"))
            for name in names
            if left.get(name) != right.get(name) and not ignore(name, left.get(name, ""), right.get(name, ""))
        }
        if not different or time.monotonic() > deadline:
            return different
        time.sleep(0.05)
