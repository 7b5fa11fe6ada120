"""Thousands of command lines given to the original ovs-vsctl and to ours, each on a database of its own.

Output, errors, exit status and, in the end, what is in the databases have to be the same.
"""

import contextlib
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from support.originals import Originals, environment, wait_for
from support.tool_pair import ToolPair, two_databases
from support.vsctl import Result, run_original, run_ours, same_form, transact

pytestmark = pytest.mark.oracle

TABLES = [
    "Open_vSwitch",
    "Bridge",
    "Port",
    "Interface",
    "Flow_Table",
    "QoS",
    "Queue",
    "Mirror",
    "NetFlow",
    "sFlow",
    "IPFIX",
    "Flow_Sample_Collector_Set",
    "Controller",
    "Manager",
    "Datapath",
    "CT_Zone",
    "CT_Timeout_Policy",
    "SSL",
    "AutoAttach",
]


class Pair(ToolPair):
    tables = tuple(TABLES)

    def compare(self, line: str, *, wait: bool = False) -> Result:
        return self.compare_words(shlex.split(line), line, wait=wait)

    def compare_words(self, words: list[str], line: str = "", *, wait: bool = False) -> Result:
        head = ["--no-syslog", *([] if wait else ["--no-wait"])]
        theirs = run_original(self.theirs, [*head, *words])
        ours = run_ours(self.ours.directory, [*head, *words])
        assert self.form(ours) == self.form(theirs), f"{line or words!r}\nours: {ours}\ntheirs: {theirs}"
        return theirs

    def clear(self) -> None:
        roots = [
            {"op": "delete", "table": table, "where": []}
            for table in ("Open_vSwitch", "QoS", "Queue", "Flow_Sample_Collector_Set")
        ]
        for one in (self.ours, self.theirs):
            transact(one.directory / "db.sock", *roots)


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with two_databases() as both:
        yield Pair(*both)


@pytest.fixture
def pair(servers: Pair) -> Pair:
    servers.clear()
    return servers


QUESTIONS = (
    "show",
    "list bridge",
    "list port",
    "list interface",
    "list open",
    "list qos",
    "list-br",
    "list-ports br0",
    "-f table list port",
    "-f csv list qos",
    "-f json list interface",
    "-f json --pretty list open",
    "-f html list qos",
    "-d json list port",
    "-d bare -f table list port",
    "--bare --columns=name,tag list port",
    "--oneline show",
    "-f table --max-column-width=20 list bridge",
    "-f json -d bare list qos",
    "--columns=_uuid list qos -- list-br",
    "-f table --columns=name list bridge -- list-br -- --columns=name list port",
    "get bridge br0 ports _uuid",
    "-f html --no-headings --columns=name list port -- --columns=type list qos",
    "find port tag{!=}[]",
    "--no-headings -f csv --columns=name,external_ids list bridge",
    "-f list --no-headings list qos",
)


def test_same_answers_to_the_byte(pair: Pair) -> None:
    """Questions to one database: not even the order of rows may differ."""
    lines = ["add-br br0", 'set bridge br0 \'external_ids:é="a,b\\""\' other_config:a=b']
    lines += [f"add-port br0 p{n} tag={n} -- set interface p{n} type=internal" for n in range(1, 40)]
    lines += [f"create qos type=t{n} other_config:x={n}" for n in range(25)]
    for line in lines:
        assert run_original(pair.theirs, ["--no-syslog", "--no-wait", *shlex.split(line)]).status == 0
    for question in QUESTIONS:
        words = ["--no-syslog", *shlex.split(question)]
        ours, theirs = run_ours(pair.theirs.directory, words), run_original(pair.theirs, words)
        if {"list", "find"} & set(words) and ours != theirs:
            # Rows that share a place in the original's hash table may change places.
            ours, theirs = (one._replace(output="".join(sorted(one.output))) for one in (ours, theirs))
        assert ours == theirs, question


SCRIPTS = sorted((Path(__file__).parent / "vsctl").glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_script(pair: Pair, script: Path) -> None:
    """Lines of a file, one after the other on the same database."""
    pair.run_script(script)


SHARED = (
    "list-ports b0 -- list-ports b1 -- list-ports b2",
    "list-ifaces b0 -- list-ifaces b1 -- list-ifaces b2",
    "port-to-br p -- iface-to-br p",
    "--may-exist add-port b0 p",
    "add-port b0 p",
    "del-port b1 p",
    "del-port r -- list-ports b0 -- list-ifaces b0",
    "--if-exists del-br b0 -- --if-exists del-br b1",
    "list-ports b2 -- list-ifaces b2",
    "--if-exists del-port p -- --if-exists del-port q -- list-ports b2",
    "del-br b2",
)


KEYS_OF_SHARED = ("root", "p", "q", "r", "s", "i", "j", "b0", "b1", "b2")


def shared_rows(rnd: random.Random) -> list[object]:
    """Three bridges that have one port, and ports that have its interface, with uuids in a random order."""
    uuid = {name: str(UUID(int=rnd.getrandbits(128))) for name in KEYS_OF_SHARED}

    def insert(table: str, key: str, **columns: object) -> dict[str, object]:
        return {"op": "insert", "table": table, "uuid": uuid[key], "row": columns}

    def refer(*names: str) -> list[object]:
        return ["set", [["uuid", uuid[name]] for name in names]]

    return [
        insert("Open_vSwitch", "root", bridges=refer("b0", "b1", "b2")),
        insert("Bridge", "b0", name="b0", ports=refer("p", "r")),
        insert("Bridge", "b1", name="b1", ports=refer("p", "q")),
        insert("Bridge", "b2", name="b2", ports=refer("p", "s")),
        insert("Port", "p", name="p", interfaces=refer("i")),
        insert("Port", "q", name="q", interfaces=refer("i")),
        insert("Port", "r", name="r", interfaces=refer("i")),
        insert("Port", "s", name="s", interfaces=refer("j")),
        insert("Interface", "i", name="p"),
        insert("Interface", "j", name="s"),
    ]


def test_what_several_have(pair: Pair) -> None:
    """Whose a port is that several bridges have, and a line that deletes all of them ends."""
    for seed in range(4):
        pair.clear()
        rows = shared_rows(random.Random(seed))
        for one in (pair.theirs, pair.ours):
            for result in transact(one.directory / "db.sock", *rows):
                assert "error" not in result, result
        for line in SHARED:
            words = ["--no-syslog", "--no-wait", *line.split()]
            theirs, ours = run_original(pair.theirs, words), run_ours(pair.ours.directory, words)
            assert (ours.status, ours.output) == (theirs.status, theirs.output), (seed, line)
            # the original warns of all that is shared, ours of what its commands come across
            told, wanted = (set(same_form(one.errors).split("\n")) for one in (ours, theirs))
            assert told <= wanted, (seed, line)
            assert told >= {text for text in wanted if "WARN" not in text}, (seed, line)
            if line.startswith("port-to-br"):
                assert told == wanted, (seed, line)
                assert len(told) > 3, (seed, line)
        pair.compare_contents()


# -- made-up command lines ---------------------------------------------------------------------------------

VALUES = [
    "1",
    "-1",
    "0",
    "5000",
    "a",
    "é",
    "true",
    "[]",
    "{}",
    '""',
    '"a b"',
    "a=b",
    "{a=b,c=d}",
    "1,2,3",
    "1-3",
    "x",
]
VALUES += [
    "[1 2]",
    "a,b",
    "@x",
    "tcp:1",
    '"tcp:1"',
    "trunk",
    "secure",
    "1.5",
    "[",
    "=",
    "a=1",
    "1=a",
    "",
    " ",
]
COLUMNS = [
    "name",
    "tag",
    "trunks",
    "external_ids",
    "external-ids",
    "other_config:a",
    "other",
    "st",
    "vlan_mode",
]
COLUMNS += [
    "fake_bridge",
    "qos",
    "type",
    "options:k",
    "ofport_request",
    "fail_mode",
    "ports",
    "protocols",
    "_uuid",
]
COLUMNS += [
    "statistics",
    "status:x",
    "tag:1",
    'external_ids:"a b"',
    "mac",
    "flood_vlans",
    "datapath_type",
    "target",
]
NAMES = ["br0", "br1", "p1", "p2", "vb", "nope", ".", "", "12ab", "b0"]
RECORDS = [
    "bridge",
    "port",
    "interface",
    "open",
    "qos",
    "Mirror",
    "contr",
    "ssl",
    "m",
    "manager",
    "Flow_Table",
]
OPERATORS = ["=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}"]
OPTIONS = ["--if-exists", "--may-exist", "--id=@x", "--columns=name,type", "--all", "--real", "--bare"]


def _made_up(chance: random.Random) -> list[str]:
    pick = chance.choice

    def setting(operators: list[str]) -> str:
        return pick(COLUMNS) + pick(operators) + pick(VALUES)

    table, name, other = pick(RECORDS), pick(NAMES), pick(NAMES)
    forms = [
        ["get", table, name, pick(COLUMNS)],
        ["set", table, name, setting(["="]), *([setting(["="])] if chance.random() < 0.3 else [])],
        ["add", table, name, pick(COLUMNS), pick(VALUES), *([pick(VALUES)] if chance.random() < 0.3 else [])],
        ["remove", table, name, pick(COLUMNS), pick(VALUES)],
        ["clear", table, name, pick(COLUMNS)],
        ["list", table, *([name] if chance.random() < 0.7 else [])],
        ["find", table, setting(OPERATORS)],
        ["create", table, setting(["="]), setting(["="])],
        ["destroy", table, name],
        ["add-br", name],
        ["add-br", name, other, pick(["1", "2", "5", "x"])],
        ["del-br", name],
        ["add-port", name, other, *([setting(["="])] if chance.random() < 0.3 else [])],
        ["add-bond", name, "b0", other, pick(NAMES)],
        ["del-port", name],
        ["del-port", name, other],
        ["add-bond-iface", name, other],
        ["del-bond-iface", name, other],
        ["list-ports", name],
        ["list-ifaces", name],
        ["port-to-br", name],
        ["iface-to-br", name],
        ["br-to-vlan", name],
        ["br-set-external-id", name, "k", pick(VALUES)],
        ["br-get-external-id", name],
        ["set-controller", name, "tcp:1.2.3.4"],
        ["get-controller", name],
        ["set-fail-mode", name, pick(["secure", "x"])],
    ]
    words = pick(forms)
    return ["--", *([pick(OPTIONS)] if chance.random() < 0.25 else []), *words]


@pytest.mark.parametrize("seed", range(8))
def test_made_up_lines(pair: Pair, seed: int) -> None:
    """Two hundred lines of random commands a time, up to three in one transaction."""
    chance = random.Random(seed)
    pair.compare("add-br br0 -- add-br vb br0 5 -- add-port br0 p1 -- add-port vb p2")
    differences = []
    for _ in range(200):
        words = [word for _ in range(chance.choice([1, 1, 2, 3])) for word in _made_up(chance)]
        try:
            pair.compare_words(words)
        except AssertionError as difference:
            differences.append(str(difference).partition("\nassert")[0])
    assert not differences, f"{len(differences)} differences\n" + "\n\n".join(differences[:20])
    pair.compare_contents()


# -- the process -------------------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-c", "import sys; from trunkline.cli.ovs_vsctl import main; sys.exit(main())"]


def _process(directory: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    variables = {**environment(directory), **more}
    return subprocess.run([*PROGRAM, *words], env=variables, capture_output=True, text=True, timeout=60)


def test_waiting_for_the_switch(short_directory: Path) -> None:
    """With the original switch: what it refuses is reported; what changes nothing is not waited for."""
    parts = [Originals(short_directory / name) for name in ("t", "o")]
    try:
        for one in parts:
            one.directory.mkdir()
            one.start_database()
            one.start_switch()
        pair = Pair(*parts)
        for line in (
            "add-br br0 -- set bridge br0 datapath_type=dummy",
            "add-port br0 p1 -- set interface p1 type=dummy",
            "add-port br0 nosuch -- set interface nosuch type=foo",
            "add-port br0 q -- add-port br0 r -- set interface q type=patch -- set interface r type=patch",
            "add-br a/b",
            "add-port a/b p2 -- add-br c/d",
            "del-br a/b -- del-br c/d",
            "set bridge br0 external_ids:a=b",
            "set bridge br0 external_ids:a=b",
            "add bridge br0 external_ids a=b",
            "add port p1 trunks 1",
            "add port p1 trunks 1",
            "remove bridge br0 external_ids z",
            "set port p1 tag=5 -- set port p1 tag=[]",
            "get open . next_cfg cur_cfg",
            "--bare --columns=name,ofport,error list interface",
            "wait-until interface p1 ofport=1 -- get interface p1 ofport",
            "del-br br0",
            "get open . next_cfg cur_cfg",
        ):
            pair.compare(f"--timeout=30 {line}", wait=True)
    finally:
        signal.alarm(0)
        for one in parts:
            one.stop()


def test_timeout_ends_by_its_signal(servers: Pair) -> None:
    for how in (["--timeout=1"], ["-t1"]):
        words = ["--no-syslog", *how, "wait-until", "bridge", "nobody"]
        theirs = run_original(servers.theirs, words)
        ours = _process(servers.ours.directory, *words)
        assert theirs.status == ours.returncode == -signal.SIGALRM
        assert same_form(ours.stderr) == same_form(theirs.errors)
    ours = _process(servers.ours.directory, "--no-syslog", "wait-until", "bridge", "x", OVS_CTL_TIMEOUT="1")
    assert ours.returncode == -signal.SIGALRM


def test_wait_until_sees_a_change(pair: Pair) -> None:
    pair.compare("init")
    words = [
        "--no-syslog",
        "wait-until",
        "bridge",
        "late",
        "external_ids:a=b",
        "--",
        "get",
        "bridge",
        "late",
        "name",
    ]
    waiting = subprocess.Popen(
        [*PROGRAM, *words], env=environment(pair.ours.directory), stdout=subprocess.PIPE, text=True
    )
    pair.compare("add-br late")
    pair.compare("set bridge late external_ids:a=b")
    output, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, output) == (0, "late\n")


def _syslog(path: Path, run: Callable[[str], object]) -> str:
    """What comes to the system log at `path` while `run` runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        run(f"--syslog-method=unix:{path}")
        listener.setblocking(False)
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(listener.recv(65536).decode())
    os.unlink(path)
    return same_form("\n".join(lines).replace("/usr/bin/ovs-vsctl", "ovs-vsctl"))


def test_log_and_comment(pair: Pair, short_directory: Path) -> None:
    """The system log's lines and the comment in the database's log."""
    path = short_directory / "log"
    for words in (
        ["set", "open", ".", 'external_ids:k="a b"', "external_ids:l=it's", "external_ids:m=é"],
        ["list-br"],
        ["foo"],
        ["-vsyslog:warn", "add-br", "y"],
        ["set", "bridge", "nope", "name=x"],
        ["set", "open", ".", "bridges=11111111-2222-3333-4444-555555555555"],
        ["--dry-run", "add-br", "x"],
        ["--no-syslog", "add-br", "x"],
    ):
        theirs = _syslog(path, lambda option: run_original(pair.theirs, [option, "--no-wait", *words]))  # noqa: B023
        ours = _syslog(path, lambda option: _process(pair.ours.directory, option, "--no-wait", *words))  # noqa: B023
        assert ours == theirs, words
    logs = []
    for one in (pair.theirs, pair.ours):
        log = pair.theirs.run("ovsdb-tool", "show-log", f"{one.directory}/conf.db").stdout
        logs.append([line.partition('"')[2] for line in log.splitlines() if "external_ids:k" in line][-1])
    assert logs[0].replace("/usr/bin/ovs-vsctl", "ovs-vsctl") == logs[1]


def test_on_our_own_server(pair: Pair, short_directory: Path) -> None:
    """The same lines with our tool on our server: as the originals among themselves."""
    database = short_directory / "conf.db"
    pair.theirs.run("ovsdb-tool", "create", str(database), "/usr/share/openvswitch/vswitch.ovsschema")
    program = "import sys; from trunkline.daemons.ovsdb_server import main; sys.exit(main())"
    command = [sys.executable, "-c", program, str(database), f"--remote=punix:{short_directory}/db.sock"]
    server = subprocess.Popen(
        command, env=environment(short_directory), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(short_directory / "db.sock")
        mixed = Pair(pair.theirs, Originals(short_directory))
        differences = []
        for script in SCRIPTS:
            mixed.clear()
            for line in script.read_text().splitlines():
                try:
                    mixed.compare(line)
                except AssertionError as difference:
                    differences.append(str(difference).partition("\nassert")[0])
            mixed.compare_contents()
        assert not differences, f"{len(differences)}:\n" + "\n\n".join(differences[:20])
    finally:
        server.terminate()
        server.wait(20)
