"""Thousands of command lines given to the original vtep-ctl and to ours, each on a database of its own.

Output, errors, exit status and, in the end, what is in the databases have to be the same.
"""

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from support.originals import Originals, environment, wait_for
from support.tool_pair import ToolPair, two_databases
from support.vsctl import Result, run_original, run_ours, same_form, transact

ORIGINAL = "/usr/bin/vtep-ctl"
SCHEMA = "/usr/share/openvswitch/vtep.ovsschema"
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        not (os.path.exists(ORIGINAL) and os.path.exists(SCHEMA)), reason="THE ORIGINAL VTEP-CTL IS NOT HERE"
    ),
]
DATABASE = "hardware_vtep"
TABLES: dict[str, dict[str, Any]] = (
    json.loads(Path(SCHEMA).read_text())["tables"] if os.path.exists(SCHEMA) else {}
)
ROWS = re.compile(r"First row, ([^.]*)\.  Second row, ([^.]*)\.")
ROW_TEXT = "First row, {}.  Second row, {}."
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT)


class Pair(ToolPair):
    database = DATABASE
    tables = tuple(TABLES)

    def compare_words(self, words: list[str], line: str = "", again: bool = False) -> Result:
        """Gives the words to both.  Where the original crashes, ours has to change nothing either."""
        words = ["--no-syslog", *words]
        theirs = run_original(self.theirs, words, "vtep-ctl")
        if theirs.status in CRASHES:
            words.insert(0, "--dry-run")
        ours = run_ours(self.ours.directory, words, "vtep_ctl")
        if theirs.status in CRASHES:
            assert ours.status in (0, 1, 2), words
            return theirs
        if self.form(ours) != self.form(theirs) and theirs.status == 1 and not again:
            # Rarely the original fails for a passing reason; it has changed nothing then.
            return self.compare_words(words[1:], line, again=True)
        assert self.form(ours) == self.form(theirs), f"{line or words!r}\nours: {ours}\ntheirs: {theirs}"
        return theirs

    def placed(self, part: str) -> str:
        """Nor what depends on the order in a hash table of the server."""
        return super().placed(ROWS.sub(lambda found: ROW_TEXT.format(*sorted(found.groups())), part))

    def clear(self) -> None:
        roots = [table for table in TABLES if TABLES[table].get("isRoot")]
        referred = ["Logical_Switch", "ACL", "ACL_entry"]  # by rows that go with others, so these go later
        for tables in ([table for table in roots if table not in referred], referred[:2], referred[2:]):
            deletes = [{"op": "delete", "table": table, "where": []} for table in tables]
            for one in (self.ours, self.theirs):
                for result in transact(one.directory / "db.sock", *deletes, database=DATABASE):
                    assert "error" not in result, result


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with two_databases(SCHEMA) as both:
        yield Pair(*both)


@pytest.fixture
def pair(servers: Pair) -> Pair:
    servers.clear()
    return servers


SCRIPTS = sorted((Path(__file__).parent / "vtep").glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_script(pair: Pair, script: Path) -> None:
    """Lines of a file, one after the other on the same database."""
    pair.run_script(script)


def test_help_and_version(pair: Pair) -> None:
    for word in ("--help", "-h", "--version", "-V"):
        pair.compare(word)


# -- made-up command lines ---------------------------------------------------------------------------------

NAMES = ["s", "t", "l", "k", "p", "q", "nope", "", "."]
MACS = ["m", "n", "00:00:00:00:00:01", "unknown-dst"]
ADDRESSES = ["1.1.1.1", "2.2.2.2", "3.3.3.3", "x"]
VLANS = ["0", "1", "5", "5", "100", "4095", "-1"]
ODD_VLANS = [*VLANS, "05", "0x5", "x"]  # which of two bindings stays depends on uuids
RECORDS = ["Global", "Physical_S", "Physical_P", "Logical_S", "Logical_R", "Manager", "ACL_e", "Ucast_Macs_L"]
RECORDS += ["Mcast_Macs_R", "Physical_Locator_Set", "Tunnel", "phys", "Arp_Sources_L"]
COLUMNS = ["name", "ports", "other_config", "other_config:a", "vlan_bindings", "vlan_bindings:5", "switches"]
COLUMNS += [
    "description",
    "tunnel_key",
    "replication_mode",
    "target",
    "MAC",
    "locators",
    "management_ips",
    "_uuid",
]
VALUES = [
    "1",
    "-1",
    "a",
    "é",
    "true",
    "[]",
    "{}",
    '""',
    '"a b"',
    "a=b",
    "{a=b,c=d}",
    "1,2",
    "@x",
    "source_node",
]
VALUES += ["[1 2]", "1.5", "[", "=", "5=@x", "", " "]
# To columns of one value the original adds in two ways, which differ in the error.
SEVERAL = [column for column in COLUMNS if column not in ("name", "description", "target", "MAC")]
OPERATORS = ["=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>=}", "{in}", "{not-in}"]
OPTIONS = ["--if-exists", "--may-exist", "--id=@x", "--columns=name", "--all", "--inactivity-probe=5"]


def _own(chance: random.Random, vlans: list[str] = VLANS) -> list[str]:
    """A command of vtep-ctl."""
    pick = chance.choice
    switch, port, logical = (
        pick(["s", "s", "t", "nope"]),
        pick(["p", "p", "q", "nope"]),
        pick(["l", "l", "k", "o"]),
    )
    mac, side = pick(MACS), pick(["local", "remote"])
    where = [*(["vxlan_over_ipv4"] if chance.random() < 0.3 else []), pick(ADDRESSES)]
    forms = [
        ["add-ps", switch],
        ["del-ps", switch],
        ["list-ps"],
        ["ps-exists", switch],
        ["list-ports", switch],
        *[["add-port", switch, port]] * 3,
        ["del-port", switch, port],
        *[["add-ls", logical]] * 2,
        ["del-ls", logical],
        ["list-ls"],
        ["ls-exists", logical],
        *[["bind-ls", switch, port, pick(vlans), logical]] * 4,
        ["unbind-ls", switch, port, pick(vlans)],
        *[["list-bindings", switch, port]] * 2,
        ["set-replication-mode", logical, pick(["source_node", "service_node", "x"])],
        ["get-replication-mode", logical],
        ["add-lr", logical],
        ["del-lr", logical],
        ["list-lr"],
        ["lr-exists", logical],
        *[[f"add-ucast-{side}", logical, mac, *where]] * 3,
        [f"del-ucast-{side}", logical, mac],
        *[[f"add-mcast-{side}", logical, mac, *where]] * 3,
        *[[f"del-mcast-{side}", logical, mac, *where]] * 2,
        [f"clear-{side}-macs", logical],
        *[[f"list-{side}-macs", logical]] * 2,
        ["set-manager", pick(["tcp:1", "ssl:2", "foo"])],
        ["get-manager"],
        ["del-manager"],
        ["show"],
    ]
    return pick(forms)


def _generic(chance: random.Random) -> list[str]:
    """A database command on a table of the schema."""
    pick = chance.choice

    def setting(operators: list[str]) -> str:
        return pick(COLUMNS) + pick(operators) + pick(VALUES)

    table, name = pick(RECORDS), pick(NAMES)
    forms = [
        ["get", table, name, pick(COLUMNS)],
        ["set", table, name, setting(["="]), *([setting(["="])] if chance.random() < 0.3 else [])],
        ["add", table, name, pick(SEVERAL), pick(VALUES)],
        ["remove", table, name, pick(COLUMNS), pick(VALUES)],
        ["clear", table, name, pick(COLUMNS)],
        ["list", table, *([name] if chance.random() < 0.7 else [])],
        ["find", table, setting(OPERATORS)],
        ["create", table, setting(["="]), setting(["="])],
        ["destroy", table, name],
        ["--id=@x", "get", table, name],
    ]
    return pick(forms)


def _made_up(chance: random.Random, generic: float) -> list[str]:
    words = (_generic if chance.random() < generic else _own)(chance)
    return ["--", *([chance.choice(OPTIONS)] if chance.random() < 0.15 else []), *words]


@pytest.mark.parametrize(
    ("seed", "generic"), [(seed, generic) for seed in range(3) for generic in (0.0, 0.4, 1.0)]
)
def test_made_up_lines(pair: Pair, seed: int, generic: float) -> None:
    """Random commands, up to four in one transaction."""
    chance = random.Random(f"{seed} {generic}")
    start = "add-ps s -- add-ps t -- add-port s p -- add-port t q -- add-ls l -- add-ls k -- add-lr l"
    pair.compare(start)
    differences = []
    for number in range(200):
        if number % 40 == 20:
            pair.compare_contents()
        words = [word for _ in range(chance.choice([1, 1, 2, 3, 4])) for word in _made_up(chance, generic)]
        try:
            pair.compare_words(words)
        except AssertionError as difference:
            differences.append(str(difference).partition("\nassert")[0])
    assert not differences, f"{len(differences)} differences\n" + "\n\n".join(differences[:20])
    pair.compare_contents()


# -- what depends on uuids ---------------------------------------------------------------------------------


def _tangle(chance: random.Random) -> list[dict[str, Any]]:
    """Rows with chosen uuids: several locators of one address, ports of several switches.

    Up to four rows in the tables whose order counts: their uuids differ in the first word's last two bits,
    for the order of rows that share a place in the original's hash table is not known.
    """
    operations: list[dict[str, Any]] = []
    places: dict[str, list[int]] = {}

    def insert(table: str, **row: Any) -> list[str]:
        place = places.setdefault(table, 4 * chance.sample(range(4), 4)).pop()
        uuid = str(UUID(int=chance.getrandbits(128) & ~(3 << 96) | place << 96))
        operations.append({"op": "insert", "table": table, "uuid": uuid, "row": row})
        return ["uuid", uuid]

    logical = [insert("Logical_Switch", name=name) for name in ("l", "k")]
    locators = [
        insert("Physical_Locator", dst_ip=address, encapsulation_type="vxlan_over_ipv4", tunnel_key=key)
        for address in ADDRESSES[:3]
        for key in (["set", []], 1, 2)
        if chance.random() < 0.8
    ]
    for table in ("Ucast_Macs_Local", "Ucast_Macs_Remote", "Mcast_Macs_Local", "Mcast_Macs_Remote"):
        for switch, mac in chance.sample([*product(logical, MACS)], chance.randrange(5)):
            if table.startswith("U"):
                insert(table, MAC=mac, logical_switch=switch, locator=chance.choice(locators))
            else:
                some = ["set", chance.sample(locators, chance.randint(1, 3))]
                group = insert("Physical_Locator_Set", locators=some)
                insert(table, MAC=mac, logical_switch=switch, locator_set=group)
    for table in ("Arp_Sources_Local", "Arp_Sources_Remote"):
        if chance.random() < 0.5:
            insert(table, src_mac="x", locator=chance.choice(locators))
    ports = []
    for number in range(6):
        bindings = [[vlan, chance.choice(logical)] for vlan in (0, 1, 5) if chance.random() < 0.5]
        ports.append(insert("Physical_Port", name="pq"[number % 2], vlan_bindings=["map", bindings]))
    switches = []
    for name in "st":
        tunnels = [
            insert("Tunnel", local=chance.choice(locators), remote=chance.choice(locators))
            for _ in range(chance.randrange(3))
        ]
        held = ["set", [chance.choice(ports[::2]), chance.choice(ports[1::2])]]
        switches.append(insert("Physical_Switch", name=name, ports=held, tunnels=["set", tunnels]))
    insert("Global", switches=["set", switches])
    return operations


@pytest.mark.parametrize("seed", range(6))
def test_same_choice_among_several(pair: Pair, seed: int) -> None:
    """Both databases hold the same rows under the same uuids, so that the choice has to be the same."""
    chance = random.Random(seed)
    for _ in range(40):
        pair.clear()
        rows = _tangle(chance)
        for one in (pair.theirs, pair.ours):
            results = transact(one.directory / "db.sock", *rows, database=DATABASE)
            assert not [result for result in results if result is None or "error" in result], results
        pair.compare_words(["--", *_own(chance, ODD_VLANS)])
        pair.compare_contents()


def test_same_answers_to_the_byte(pair: Pair) -> None:
    """Questions to one database: not even the order of rows may differ."""
    for operation in (_tangle(random.Random(9)),):
        transact(pair.theirs.directory / "db.sock", *operation, database=DATABASE)
    questions = ["show", "list-ps", "list-ports s", "list-ports t", "list-local-macs l", "list-remote-macs k"]
    questions += ["-f json list Global", "-f table list Logical_Switch", "--oneline show", "list Manager"]
    for question in questions:
        words = ["--no-syslog", *shlex.split(question)]
        theirs = run_original(pair.theirs, words, "vtep-ctl")
        assert theirs.status == 0
        assert run_ours(pair.theirs.directory, words, "vtep_ctl") == theirs, question


# -- the process -------------------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-c", "import sys; from trunkline.cli.vtep_ctl import main; sys.exit(main())"]


def _process(directory: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    variables = {**environment(directory), **more}
    return subprocess.run([*PROGRAM, *words], env=variables, capture_output=True, text=True, timeout=60)


def test_timeout_ends_by_its_signal(servers: Pair) -> None:
    words = ["--no-syslog", "-t1", "wait-until", "Physical_Switch", "nobody"]
    theirs = run_original(servers.theirs, words, "vtep-ctl")
    ours = _process(servers.ours.directory, *words)
    assert theirs.status == ours.returncode == -signal.SIGALRM
    assert same_form(ours.stderr) == same_form(theirs.errors)
    ours = _process(
        servers.ours.directory, "--no-syslog", "wait-until", "Logical_Switch", "x", OVS_CTL_TIMEOUT="1"
    )
    assert ours.returncode == -signal.SIGALRM


def test_wait_until_sees_a_change(pair: Pair) -> None:
    words = [
        "--no-syslog",
        "wait-until",
        "Logical_Switch",
        "late",
        "--",
        "get",
        "Logical_Switch",
        "late",
        "name",
    ]
    variables = environment(pair.ours.directory)
    waiting = subprocess.Popen([*PROGRAM, *words], env=variables, stdout=subprocess.PIPE, text=True)
    pair.compare("add-ls late")
    output, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, output) == (0, "late\n")


def test_log_and_comment(pair: Pair, short_directory: Path) -> None:
    """The system log's lines and the comment in the database's log."""
    path = short_directory / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(0.0)

        def received() -> str:
            lines = []
            while True:
                try:
                    lines.append(listener.recv(65536).decode())
                except BlockingIOError:
                    return same_form("\n".join(lines).replace(ORIGINAL, "vtep-ctl"))

        option = f"--syslog-method=unix:{path}"
        for words in (
            ["add-ls", "aa", "--", "comment", "a b", "it's", "é"],
            ["add-ps", "s", "--", "add-port", "s", "p"],
            ["bind-ls", "s", "p", "5", "aa"],
            ["unbind-ls", "s", "p", "5"],
            ["clear-local-macs", "aa"],
            ["list-ls"],
            ["foo"],
            ["--no-syslog", "add-lr", "bb"],
            ["--no-syslog", "add-lr", "bb"],
            ["--no-syslog", "create", "Tunnel", "local=1"],
            ["-vsyslog:warn", "add-ls", "cc"],
            ["--dry-run", "del-ls", "aa"],
            ["del-ls", "nope"],
        ):
            assert run_original(pair.theirs, [option, *words], "vtep-ctl").status in (0, 1)
            theirs = received()
            _process(pair.ours.directory, option, *words)
            assert received() == theirs, words
    logs = []
    for one in (pair.theirs, pair.ours):
        log = pair.theirs.run("ovsdb-tool", "show-log", f"{one.directory}/conf.db").stdout
        logs.append([line.partition('"')[2] for line in log.splitlines() if "it's" in line][-1])
    assert logs[0].replace(ORIGINAL, "vtep-ctl") == logs[1]


def test_on_our_own_server(pair: Pair, short_directory: Path) -> None:
    """The same lines with our tool on our server: as the originals among themselves."""
    database = short_directory / "conf.db"
    pair.theirs.run("ovsdb-tool", "create", str(database), SCHEMA)
    program = "import sys; from trunkline.daemons.ovsdb_server import main; sys.exit(main())"
    command = [sys.executable, "-c", program, str(database), f"--remote=punix:{short_directory}/db.sock"]
    server = subprocess.Popen(
        command, env=environment(short_directory), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(short_directory / "db.sock")
        mixed = Pair(pair.theirs, Originals(short_directory))
        for script in SCRIPTS:
            mixed.clear()
            mixed.run_script(script)
    finally:
        server.terminate()
        server.wait(20)
