"""Numbers of thousands of digits, in arguments and in the database: refused or cut as by the original, and
whoever reads them goes on."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import PROGRAMS, environment
from support.outcomes import OURS, Side
from support.waiting import until

pytestmark = pytest.mark.oracle
LONG = "9" * 5000
TOOLS = (
    ("ovs-appctl", "-T", LONG, "version"),
    ("ovs-appctl", "-T", "4294967295", "-t", "/nosuch", "version"),
    ("ovs-appctl", "-T", "4294967296", "-t", "/nosuch", "version"),
    ("ovs-ofctl", "-t", LONG, "show", "nosuch"),
    ("ovs-ofctl", "-t", "2147483648", "show", "nosuch"),
    ("ovs-ofctl", "-t", "4294967296", "show", "nosuch"),
    ("ovs-ofctl", "parse-flow", f"tcp,tp_dst={LONG},actions=drop"),
    ("ovs-ofctl", "parse-flow", f"in_port={LONG},actions=drop"),
    ("ovs-ofctl", "parse-flow", f"table={LONG},actions=drop"),
    ("ovs-ofctl", "parse-flow", f"nw_src=1.2.3.4/{LONG},actions=drop"),
    ("ovs-ofctl", "parse-flow", f"actions=resubmit(,{LONG})"),
    ("ovs-ofctl", "show", f"tcp:1.2.3.4:{LONG}"),
    ("ovs-vsctl", "-t", LONG, "show"),
    ("ovs-vsctl", "-t", "4294967295", "--db=unix:/nosuch", "show"),
    ("ovs-vsctl", "--db=unix:/nosuch", "set", "Port", "p", f"tag={LONG}"),
    ("ovs-vsctl", f"--db=tcp:1.2.3.4:{LONG}", "-t1", "show"),
    ("ovsdb-client", "-t", LONG, "list-dbs"),
    ("ovsdb-client", "-t", "4294967295", "list-dbs", "unix:/nosuch"),
    ("ovsdb-client", "list-dbs", f"tcp:1.2.3.4:{LONG}"),
    ("ovs-dpctl", "-t", "4294967296", "show"),
    ("ovsdb-tool", f"--election-timer={LONG}", "db-name", "x"),
)


def outcome(program: str, words: tuple[str, ...], directory: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(directory),
        cwd=directory,
    )
    errors = [line.partition("Z|")[2] or line for line in done.stderr.splitlines() if "|WARN|" not in line]
    return done.returncode, done.stdout, "\n".join(errors)


def test_tools(short_directory: Path) -> None:
    for name, *words in TOOLS:
        theirs, ours = (
            outcome(program, tuple(words), short_directory) for program in (PROGRAMS[name], str(OURS / name))
        )
        assert "Traceback" not in ours[2], (name, *words)[:3]
        assert ours == theirs, (name, *words)[:3]


@pytest.fixture(scope="module")
def ours() -> Iterator[Side]:
    with tempfile.TemporaryDirectory(prefix="long.", dir="/tmp") as directory:
        side = Side(Path(directory) / "t", ours=True)
        yield side
        side.stop()


BRIDGE = (
    *("mac-aging-time", "mac-table-size", "hwaddr", "datapath-id", "flow-limit", "in-band-queue"),
    *("mcast-snooping-aging-time", "mcast-snooping-table-size"),
)
ROOT = (
    "max-idle",
    "flow-limit",
    "stats-update-interval",
    "vlan-limit",
    "bundle-idle-timeout",
    "enable-statistics",
)
TUNNEL = (
    "key",
    "tos",
    "ttl",
    "dst_port",
    "egress_pkt_mark",
    "erspan_ver",
    "erspan_dir",
    "erspan_hwid",
    "erspan_idx",
)


def test_the_switch_goes_on(ours: Side) -> None:
    pid = (ours.directory / "ovs-vswitchd.pid").read_text()
    words = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy"]
    assert ours.vsctl(*words).status == 0
    ours.vsctl("set", "Bridge", "br0", *(f"other_config:{key}={LONG}" for key in BRIDGE))
    ours.vsctl("set", "Open_vSwitch", ".", *(f"other_config:{key}={LONG}" for key in ROOT))
    tunnels = []
    for number, key in enumerate(TUNNEL):
        options = ("type=erspan", f"options:remote_ip=1.1.1.{number + 1}", f"options:{key}={LONG}")
        tunnels += ["--", "add-port", "br0", f"t{number}", "--", "set", "Interface", f"t{number}", *options]
    ours.vsctl(*tunnels[1:])
    assert ours.vsctl("set-controller", "br0", f"tcp:1.2.3.4:{LONG}").status == 0
    assert ours.vsctl("set-manager", f"ptcp:{LONG}").status == 0
    assert ours.vsctl("add-port", "br0", "last").status == 0
    until(lambda: "last" in ours.control("dpif/show"), ours.log)
    assert (ours.directory / "ovs-vswitchd.pid").read_text() == pid
    assert "|EMER|" not in ours.log()
