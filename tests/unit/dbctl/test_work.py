"""What a run asks and sends: little, at once, and as if every command had been alone with the database."""

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trunkline.base.clock import ManualClock
from trunkline.base.log import Log
from trunkline.cli.database_tool import packaged_schema
from trunkline.cli.ovs_vsctl.profile import COMMANDS, LOOKUPS
from trunkline.dbctl.grammar import parse_commands
from trunkline.dbctl.run import Outcome, Settings, Tool, run
from trunkline.dbctl.work import Work
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.transaction import execute

SCHEMA = packaged_schema("vswitch.ovsschema")


class Server:
    """The database engine, counting what it is asked."""

    def __init__(self) -> None:
        self.database = Database(SCHEMA)
        self.requests: list[list[Any]] = []
        self._numbers = itertools.count(1)

    def new_uuid(self) -> str:
        return f"{next(self._numbers):08x}-0000-4000-8000-000000000000"

    def transact(self, operations: Sequence[Any]) -> list[Any]:
        self.requests.append(list(operations))
        execution = execute(self.database, list(operations), new_uuid=self.new_uuid)
        if execution.changes:
            self.database.apply(execution.changes)
        return execution.results

    def change(self, tables: Sequence[str]) -> None:
        raise AssertionError("nothing waits here")

    def vsctl(self, *words: str) -> Outcome:
        tool = Tool("ovs-vsctl", "vsctl", SCHEMA, LOOKUPS)
        commands = parse_commands(words, [], {command.name: command for command in COMMANDS})
        self.requests.clear()
        return run(tool, commands, self, Log("tool", ManualClock()), self.new_uuid, Settings("comment"))


def many(count: int, *words: str) -> list[str]:
    return [word.replace("#", str(number)) for number in range(count) for word in ("--", *words)]


def test_the_number_of_requests_does_not_grow_with_the_commands() -> None:
    server = Server()
    server.transact([{"op": "insert", "table": "Open_vSwitch", "row": {}}])
    server.vsctl("add-br", "br0")
    for words, most in (
        (many(300, "add-port", "br0", "p#", "--", "set", "interface", "p#", "type=dummy"), 3),
        (many(300, "set", "interface", "p#", "external_ids:a=#"), 3),
        (many(300, "--may-exist", "add-port", "br0", "p#"), 15),
        (many(300, "del-port", "p#"), 15),
    ):
        server.vsctl(*words)
        assert len(server.requests) <= most
    assert server.vsctl("list-ports", "br0").calls[0].output == []


def test_a_set_that_changes_often_is_sent_once() -> None:
    server = Server()
    server.transact([{"op": "insert", "table": "Open_vSwitch", "row": {}}])
    server.vsctl("add-br", "br0")
    server.vsctl(*many(50, "add-port", "br0", "p#"))
    (mutation,) = [operation for operation in server.requests[-1] if operation["op"] == "mutate"]
    assert [(column, mutator, len(value[1])) for column, mutator, value in mutation["mutations"]] == [
        ("ports", "insert", 50)
    ]


def test_a_name_that_was_loaded_is_still_verified() -> None:
    """Another client may take the name after the table was read."""
    server = Server()
    server.transact([{"op": "insert", "table": "Open_vSwitch", "row": {}}])
    server.vsctl("add-br", "br0")
    server.vsctl("list-ports", "br0", "--", "add-port", "br0", "p1")
    waits = [operation for operation in server.requests[-1] if operation["op"] == "wait"]
    assert ("Port", [["name", "==", "p1"]], []) in [(w["table"], w["where"], w["rows"]) for w in waits]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "set", "get", "find"]),
        st.lists(st.integers(0, 4), max_size=3, unique=True),
    ),
    max_size=8,
)


@given(st.booleans(), st.lists(st.integers(0, 4), unique=True), STEPS)
def test_changes_by_element_equal_changes_of_the_whole(new: bool, at_first: list[int], steps: Any) -> None:
    """A set and a map under random steps: what commands see, and what the database has in the end."""
    server = Server()
    expected_set = set() if new else set(at_first)
    expected_map = {} if new else {str(n): "first" for n in at_first}
    bridge = {
        "name": "b",
        "flood_vlans": ["set", at_first],
        "external_ids": ["map", [[str(n), "first"] for n in at_first]],
    }
    server.transact([{"op": "insert", "table": "Bridge", "row": bridge, "uuid-name": "b"}, KEEP])
    work = Work(SCHEMA, server.transact, server.new_uuid)
    if new:
        row = work.insert("Bridge")
        work.set(row, "name", ("new",))
        work.add(work.all("Open_vSwitch")[0], "bridges", (row.uuid,))
    else:
        (row,) = work.find("Bridge", "name", "b")
    for turn, (what, numbers) in enumerate(steps):
        pairs = tuple((str(n), str(turn)) for n in numbers)
        if what == "add":
            work.add(row, "flood_vlans", tuple(numbers))
            work.add(row, "external_ids", pairs)
            expected_set |= set(numbers)
            expected_map.update(pairs)
        elif what == "remove":
            work.remove(row, "flood_vlans", tuple(numbers))
            work.remove(row, "external_ids", tuple(str(n) for n in numbers))
            expected_set -= set(numbers)
            expected_map = {k: v for k, v in expected_map.items() if int(k) not in numbers}
        elif what == "set":
            work.set(row, "flood_vlans", tuple(sorted(numbers)))
            work.set(row, "external_ids", tuple(sorted(pairs)))
            expected_set, expected_map = set(numbers), dict(pairs)
        elif what == "get":
            assert work.get(row, "flood_vlans") == tuple(sorted(expected_set))
            assert work.get(row, "external_ids") == tuple(sorted(expected_map.items()))
        else:
            for n in range(5):
                assert (row in work.find("Bridge", "flood_vlans", n)) == (n in expected_set)
    operations = work.operations()
    assert not [result for result in server.transact(operations) if result and "error" in result]
    named = {row["name"][0]: row for row in server.database.rows("Bridge").values()}
    found = named["new" if new else "b"]
    assert found["flood_vlans"] == tuple(sorted(expected_set))
    assert found["external_ids"] == tuple(sorted(expected_map.items()))


KEEP = {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["set", [["named-uuid", "b"]]]}}
