"""Our ovsdb-client beside the original, on an original server: the same output, errors and exit status."""

# ruff: noqa: E501

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.oracle
ORIGINAL = "/usr/bin/ovsdb-client"
OURS = str(Path(sys.executable).parent / "ovsdb-client")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
INSERT = '["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":{"next_cfg":3}}]'


class Server:
    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="ovsdb")
        names = ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")
        self.environment = {**os.environ, **{f"OVS_{name}": self.directory for name in names}}
        subprocess.run(["/usr/bin/ovsdb-tool", "create", f"{self.directory}/conf.db", SCHEMA], check=True)
        self.process = subprocess.Popen(
            ["/usr/sbin/ovsdb-server", f"{self.directory}/conf.db", f"--remote=punix:{self.directory}/db.sock",
             "-vconsole:off"], env=self.environment,
        )  # fmt: skip
        until = time.monotonic() + 10
        while not os.path.exists(f"{self.directory}/db.sock") and time.monotonic() < until:
            time.sleep(0.02)
        self.vsctl("init", "--", "add-br", "br0", "--", "add-port", "br0", "p1", "tag=7")
        self.vsctl("set", "Bridge", "br0", "external_ids:a=b c", 'other_config:x="é\\"y"', "flood_vlans=3,1")

    def vsctl(self, *words: str) -> None:
        subprocess.run(["/usr/bin/ovs-vsctl", "--no-wait", *words], env=self.environment, check=True)

    def run(self, program: str, *words: str) -> tuple[str, str, int]:
        done = subprocess.run(
            [program, *words], env=self.environment, capture_output=True, timeout=20, input=b""
        )
        errors = [
            line.removeprefix("/usr/bin/") for line in done.stderr.decode().splitlines() if "|" not in line
        ]
        return done.stdout.decode(), "\n".join(errors), done.returncode


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.terminate()
    server.process.wait(10)
    shutil.rmtree(server.directory)


COMMANDS = [
    [], ["foo"], ["--foo"], ["-f", "foo", "list-dbs"], ["--timeout=x", "list-dbs"],
    ["list-dbs"], ["list-dbs", "foo"], ["list-dbs", "foo:bar"], ["list-dbs", "tcp:127.0.0.1:1"],
    ["list-dbs", "unix:/nonexistent"],
    ["get-schema"], ["get-schema", "Open_vSwitch"], ["get-schema", "_Server"], ["--pretty", "get-schema"],
    ["get-schema", "nodb"], ["get-schema-version"], ["get-schema-version", "_Server"],
    ["get-schema-version", "Open_vSwitch", "more"], ["get-schema-cksum"], ["list-tables", "nodb"],
    ["list-columns", "Nope"], ["needs-conversion", SCHEMA], ["needs-conversion", "/nonexistent"],
    ["needs-conversion", "/etc/passwd"], ["convert", "/nonexistent"],
    ["transact"], ["transact", "x"], ["transact", "[]"], ["transact", "[1]"], ["transact", '["nodb"]'],
    ["transact", '["Open_vSwitch",{"op":"x"}]'], ["transact", "a", "b", "c"], ["query", INSERT.replace("next", "no")],
    ["transact", '["Open_vSwitch",{"op":"select","table":"Bridge","where":[]}]'],
    ["--pretty", "transact", '["Open_vSwitch",{"op":"select","table":"Port","where":[["tag","==",7]]},{"op":"comment","comment":"x"}]'],
    ["dump"], ["dump", "Bridge"], ["dump", "Open_vSwitch"], ["dump", "Open_vSwitch", "Port", "name", "_uuid", "tag"],
    ["dump", "Bridge", "nocol"], ["dump", "Nope"], ["dump", "Port", "_version"],
    *([f"--format={form}", "dump", "Bridge", "name", "external_ids", "other_config", "flood_vlans", "ports"]
      for form in ("table", "list", "csv", "html", "json")),
    *([f"--data={form}", "dump", "Bridge"] for form in ("string", "bare", "json")),
    ["--bare", "dump", "Port", "name"], ["--no-headings", "dump", "Port", "name"], ["--pretty", "-f", "json", "dump", "Port"],
    ["wait", "x"], ["wait", "_Server", "added"], ["wait", "Open_vSwitch", "connected"], ["wait", "nope", "removed"],
    ["wait", "nope", "foo"], ["lock"], ["lock", "a", "b"], ["restore"], ["backup", "nodb"],
    ["monitor"], ["monitor", "Nope"], ["monitor", "Bridge", "nocol"], ["monitor", "Bridge", "!foo"],
    ["monitor", "Bridge", "name", "!initial"], ["monitor-cond", "x", "Bridge"],
    ["monitor-cond", '[["name","==","x"]]', "ALL"], ["monitor-cond", '[["foo","==","x"]]', "Bridge"],
]  # fmt: skip


def test_commands(server: Server) -> None:
    differences = []
    for words in COMMANDS:
        theirs, mine = server.run(ORIGINAL, *words), server.run(OURS, *words)
        if theirs != mine:
            differences.append((words, theirs, mine))
    assert not differences


def test_help(server: Server) -> None:
    """The same, without the options that ours has not."""
    theirs, mine = server.run(ORIGINAL, "--help")[0], server.run(OURS, "--help")[0]
    start, end = theirs.index("Replay options:"), theirs.index("Other options:")
    assert theirs[:start] + theirs[end:] == mine
    assert server.run(OURS, "help")[0] == mine


def test_listings_hold_the_same_lines(server: Server) -> None:
    """The original lists these in the order of its hash tables, we by name."""
    for words in (["list-tables"], ["list-columns", "Manager"], ["list-columns"]):
        theirs, mine = server.run(ORIGINAL, *words), server.run(OURS, *words)
        assert sorted(theirs[0].splitlines()) == sorted(mine[0].splitlines())


MONITORS = [
    ["monitor", "Bridge", "name,fail_mode,external_ids"], ["monitor", "Bridge"], ["monitor", "ALL"],
    ["-f", "json", "monitor", "Bridge", "name,fail_mode"], ["-f", "csv", "monitor", "Bridge", "name", "fail_mode,!initial"],
    ["-f", "list", "monitor", "Bridge", "name,fail_mode"], ["--pretty", "-f", "json", "monitor", "Bridge", "name,fail_mode"],
    ["monitor", "Open_vSwitch", "Open_vSwitch", "next_cfg,external_ids,!insert"], ["monitor", "Bridge", "name,!delete"],
    ["monitor", "Bridge", "name,fail_mode,!modify"],
    ["monitor-cond", '[["name","==","br1"]]', "Bridge", "name,fail_mode,flood_vlans"],
    ["monitor-cond", "[]", "Bridge", "name,external_ids"],
    ["monitor-cond-since", '[["name","==","br1"]]', "Bridge", "name,flood_vlans"],
]  # fmt: skip


def without_ids(text: str) -> list[str]:
    """Lines, without the ids of transactions, of which the original's standalone server has none."""
    return [line for line in text.splitlines() if line]


def test_monitors(server: Server) -> None:
    runs = [
        (words, program, subprocess.Popen([program, *words], env=server.environment, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL))
        for words in MONITORS for program in (ORIGINAL, OURS)
    ]  # fmt: skip
    time.sleep(3)  # the two programs must have registered; there is no sign of it to wait for
    server.vsctl("add-br", "br1", "--", "set", "Bridge", "br1", "flood_vlans=5,7", "external_ids:k=v")
    server.vsctl("set-fail-mode", "br1", "secure")
    server.vsctl("set", "Bridge", "br1", "flood_vlans=5", "external_ids:k=w")
    server.vsctl("set-fail-mode", "br1", "standalone")
    server.vsctl("del-br", "br1")
    time.sleep(1)
    printed = []
    for _, _, process in runs:
        process.terminate()
        printed.append(without_ids(process.communicate(timeout=10)[0].decode()))
    for number, words in enumerate(MONITORS):
        assert len(printed[2 * number]) >= 3, words
        theirs, mine = printed[2 * number : 2 * number + 2]
        if words[-1] == "ALL":  # rows of one table come in the order of a hash table
            theirs, mine = sorted(theirs), sorted(mine)
        assert theirs == mine, words


def test_backup_and_restore(server: Server) -> None:
    backup = subprocess.run([OURS, "backup"], env=server.environment, capture_output=True, check=True).stdout
    path = Path(server.directory, "backup.db")
    path.write_bytes(backup)
    query = '["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]'
    assert server.run("/usr/bin/ovsdb-tool", "query", str(path), query)[0] == '[{"rows":[{"name":"br0"}]}]\n'
    for program in (OURS, ORIGINAL):
        with path.open("rb") as file:
            subprocess.run([program, "restore"], env=server.environment, stdin=file, check=True)
        assert '"name":"br0"' in server.run(ORIGINAL, "transact", query)[0]
