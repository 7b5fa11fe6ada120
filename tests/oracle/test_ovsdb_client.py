"""Our ovsdb-client beside the original, on an original server: the same output, errors and exit status."""

# ruff: noqa: E501

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import ORIGINAL as SERVER
from support.database_servers import Client, Running, start_server, variables

pytestmark = pytest.mark.oracle
ORIGINAL = "/usr/bin/ovsdb-client"
OURS = str(Path(sys.executable).parent / "ovsdb-client")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
INSERT = '["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":{"next_cfg":3}}]'


class Server:
    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="ovsdb")
        self.environment = variables(self.directory)
        subprocess.run(["/usr/bin/ovsdb-tool", "create", f"{self.directory}/conf.db", SCHEMA], check=True)
        self.process = start_server(SERVER, self.directory, f"{self.directory}/conf.db")
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
    ["dump", "Bridge", "name", "name"], ["dump", "Bridge", "_uuid", "name", "_uuid"], ["dump", "Port", "_version", "_version"],
    *([f"--format={form}", "dump", "Bridge", "name", "external_ids", "other_config", "flood_vlans", "ports"]
      for form in ("table", "list", "csv", "html", "json")),
    *([f"--data={form}", "dump", "Bridge"] for form in ("string", "bare", "json")),
    ["--pretty", "transact", '["nosuch"]'], ["--pretty", "query", '["nosuch",{"op":"x"}]'], ["--pretty", "dump", "nosuch"],
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
    theirs, mine = server.run(ORIGINAL, "--help")[0], server.run(OURS, "--help")[0]
    assert theirs == mine
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


class Watching:
    """A monitor in the background, which logs its messages."""

    def __init__(self, server: Server, program: str, words: list[str], number: int) -> None:
        self.words = words
        self.out, self.log = (Path(server.directory, f"{kind}{number}") for kind in ("out", "log"))
        options = [f"--log-file={self.log}", "-vfile:dbg", "-vconsole:off"]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [program, *options, *words], env=server.environment, stdout=out, stderr=subprocess.DEVNULL
            )

    def is_registered(self) -> bool:
        """Whether its request has been answered: what happens from now on is told to it."""
        text = self.log.read_text() if self.log.exists() else ""
        return "received reply" in text.rpartition('send request, method="monitor')[2] and "monitor" in text

    def lines(self) -> list[str]:
        lines = without_ids(self.out.read_text())
        return sorted(lines) if self.words[-1] == "ALL" else lines  # in the order of a hash table


def until(true: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_monitors(server: Server) -> None:
    pairs = [
        [Watching(server, program, words, 2 * number + side) for side, program in enumerate((ORIGINAL, OURS))]
        for number, words in enumerate(MONITORS)
    ]
    assert until(lambda: all(run.is_registered() for pair in pairs for run in pair))
    server.vsctl("add-br", "br1", "--", "set", "Bridge", "br1", "flood_vlans=5,7", "external_ids:k=v")
    server.vsctl("set-fail-mode", "br1", "secure")
    server.vsctl("set", "Bridge", "br1", "flood_vlans=5", "external_ids:k=w")
    server.vsctl("set-fail-mode", "br1", "standalone")
    server.vsctl("del-br", "br1")
    try:
        for theirs, mine in pairs:
            whole = "delete" if "Bridge" in theirs.words and "!delete" not in theirs.words[-1] else ""
            until(lambda: theirs.lines() == mine.lines() and whole in str(mine.lines()))  # noqa: B023
            assert theirs.lines() == mine.lines(), theirs.words
            assert whole in str(mine.lines())
            assert len(mine.lines()) >= 3
    finally:
        for pair in pairs:
            for run in pair:
                run.process.kill()
                run.process.wait(20)


def orderless(line: str) -> str:
    """A log line without its time and number, and with sorted JSON: the original's order is that of its hash
    tables."""
    line = re.sub(r"^[^|]*\|\d+\|", "", line)
    found = re.fullmatch(r"(.*?(?:params|result|error)=)([\[{].*?)(, id=\d+)?", line)
    if found is None:
        return line
    return found[1] + json.dumps(sort_columns(json.loads(found[2])), sort_keys=True) + (found[3] or "")


def sort_columns(value: Any) -> Any:
    """The selects of one transaction, in any order and with their columns in any order, are the same."""
    if isinstance(value, list):
        items = [sort_columns(item) for item in value]
        return sorted(items, key=repr) if all(isinstance(item, (str, dict)) for item in items) else items
    if isinstance(value, dict):
        return {key: sort_columns(item) for key, item in value.items()}
    return value


LOGGED = [
    ["list-dbs"], ["list-dbs", "unix:/nonexistent"], ["list-dbs", "tcp:1"], ["list-dbs", "tcp:[::1]"], ["list-dbs", "tcp:[::1"],
    ["list-dbs", "tcp:127.0.0.1"], ["list-dbs", "tcp:nohost.invalid:1"], ["list-dbs", "ssl:127.0.0.1:1"],
    ["list-dbs", "ptcp:x"], ["list-dbs", "punix:/nonexistent/x"], ["list-dbs", "foo:1"], ["list-dbs", "tcp:127.0.0.1:x"],
    ["list-dbs", "HERE,unix:/nonexistent"], ["list-dbs", "unix:/nonexistent,HERE"], ["list-dbs", "unix:/n1,unix:/n2"],
    ["--no-leader-only", "get-schema-version", "unix:/nonexistent,HERE"], ["get-schema-version", "unix:/nonexistent,HERE", "Open_vSwitch"],
    ["get-schema-version", "HERE,unix:/nonexistent", "nodb"], ["dump", "HERE,HERE", "Open_vSwitch", "Bridge", "name"],
    ["dump", "HERE,HERE", "Bridge", "name"], ["transact", "HERE,HERE", '["Open_vSwitch"]'], ["query", "HERE,HERE", '["nodb"]'],
    ["dump", "Bridge", "name"], ["transact", '["nodb"]'], ["needs-conversion", SCHEMA], ["list-tables", "nodb"],
    ["wait", "Open_vSwitch", "connected"], ["wait", "Open_vSwitch", "added"], ["wait", "nodb", "removed"],
    ["--timeout=1", "wait", "nodb", "added"], ["--timeout=1", "wait", "unix:/nonexistent", "nodb", "added"], ["--timeout=1", "wait", "HERE,HERE", "nodb", "added"],
    ["--timeout=1", "lock", "a"], ["--timeout=1", "unlock", "a"], ["--timeout=1", "lock", "HERE,HERE", "b"],
    ["--timeout=1", "monitor", "Bridge", "name"], ["--timeout=1", "monitor-cond", "[]", "Bridge", "name"],
    ["--timeout=1", "monitor", "HERE,HERE", "Open_vSwitch", "Bridge", "name,!initial"], ["--timeout=1", "list-dbs", "pssl:0"],
]  # fmt: skip


def logged(server: Server, program: str, words: list[str]) -> tuple[str, list[str], int]:
    """Output, every log line of the connection and other errors, exit status."""
    here = f"unix:{server.directory}/db.sock"
    words = [word.replace("HERE", here) for word in words]
    options = ["-vjsonrpc:console:dbg"] + (
        ["-vreconnect:dbg"] if "wait" in words or "," in " ".join(words) else []
    )
    done = subprocess.run(
        [program, *options, *words], env=server.environment, capture_output=True, timeout=20, input=b""
    )
    lines = [orderless(line.removeprefix("/usr/bin/")) for line in done.stderr.decode().splitlines()]
    return done.stdout.decode(), lines, done.returncode


def test_what_is_logged_of_connections(server: Server) -> None:
    """Ours says every line that the original says of its connection and of each message, in the same order."""
    with ThreadPoolExecutor(4) as pool:
        theirs = list(pool.map(lambda words: logged(server, ORIGINAL, words), LOGGED))
        mine = list(pool.map(lambda words: logged(server, OURS, words), LOGGED))
        for words, one, other in zip(LOGGED, theirs, mine):
            if "pssl:0" in words:
                one, other = (
                    (*result[:1], [line for line in result[1] if "port" not in line], *result[2:])
                    for result in (one, other)
                )
            assert (words, one) == (words, other)


@pytest.mark.parametrize("program", [ORIGINAL, OURS])
def test_a_monitor_is_read_line_by_line_and_ends_with_its_server(server: Server, program: str) -> None:
    """What agents rely on: each update is one line, written at once; when the server goes, so does the monitor,
    with status 1 and a reason, and whoever started it starts it again."""
    running = Running("/usr/sbin/ovsdb-server")
    client = Client(running)
    client.call("transact", ["Open_vSwitch", {"op": "insert", "table": "Queue", "row": {"dscp": 9}}])
    try:
        words = [
            program,
            "monitor",
            f"unix:{running.directory}/db.sock",
            "Queue",
            "dscp,external_ids",
            "--format=json",
        ]
        monitor = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert monitor.stdout is not None
        assert monitor.stderr is not None
        line = json.loads(monitor.stdout.readline())  # comes although the pipe's buffer is not full
        assert line["headings"] == ["row", "action", "dscp", "external_ids"]
        assert line["data"][0][1:] == ["initial", 9, ["map", []]]
        client.call(
            "transact", ["Open_vSwitch", {"op": "update", "table": "Queue", "where": [], "row": {"dscp": 8}}]
        )
        line = json.loads(monitor.stdout.readline())
        assert [row[1:] for row in line["data"]] == [["old", 9, None], ["new", 8, ["map", []]]]
        running.stop()
        out, errors = monitor.communicate(timeout=10)
        assert (out, monitor.returncode) == (b"", 1)
        assert errors.decode().endswith(
            f"ovsdb-client: unix:{running.directory}/db.sock: receive failed (End of file)\n"
        )
    finally:
        running.remove()


def test_time_of_day_before_every_table(server: Server) -> None:
    """Not with JSON: there the original crashes."""
    for form in ("table", "list", "csv", "html"):
        texts = []
        for program in (ORIGINAL, OURS):
            words = [program, "--timeout=1", "--timestamp", f"--format={form}", "monitor", "Bridge", "name"]
            done = subprocess.run(words, env=server.environment, capture_output=True, text=True, timeout=20)
            texts.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "TIME", done.stdout))
        assert texts[0] == texts[1]
        assert "TIME" in texts[0]


def records(backup: bytes) -> list[tuple[bytes, Any]]:
    """Header, without its hash, and contents of each record."""
    lines = backup.splitlines()
    return [(header.rpartition(b" ")[0], json.loads(body)) for header, body in zip(lines[::2], lines[1::2])]


def test_backups_are_equal(server: Server) -> None:
    """But for the order of members, which is that of the original's hash tables, and the date: sizes and all."""
    found = []
    for program in (ORIGINAL, OURS):
        done = subprocess.run(
            ["ovsdb-client", "backup"],
            executable=program,
            env=server.environment,
            capture_output=True,
            check=True,
        )
        found.append(records(done.stdout))
        assert found[-1][1][1].pop("_date") > 1_600_000_000_000
    assert found[0] == found[1]


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
