# ruff: noqa: E501
"""The database's parsers over anything: only their own errors, and what is written reads back the same."""

from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.transactions import SCHEMA, Transactions
from trunkline.base.json import dumps, loads
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.datum import datum_from_json, datum_to_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.log import (
    apply_difference,
    change_record,
    changes_of,
    difference,
    format_record,
    load,
    read_records,
    snapshot_record,
)
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import execute

NUMBERS = count(1)
RICH = Schema.from_json(SCHEMA)
TYPES = [column.type for table in RICH.tables.values() for column in table.columns.values()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
    | st.sampled_from(["set", "map", "uuid", "named-uuid", "==", "name", "Root", "a", "", "insert"]) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(
        ["op", "table", "where", "row", "columns", "rows", "until", "timeout", "mutations", "uuid", "uuid-name"]
    ), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
OPERATION = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["insert", "select", "update", "mutate", "delete", "wait", "commit", "comment", "assert"]
        )
    },
    optional={
        "table": st.sampled_from(["Root", "Leaf", "Nope"]) | JSON,
        "where": st.lists(JSON, max_size=2) | JSON,
        "row": st.dictionaries(st.sampled_from(["name", "i", "mss", "leaf", "imm"]), JSON) | JSON,
        "columns": JSON,
        "mutations": st.lists(JSON, max_size=2),
        "rows": st.lists(JSON, max_size=2),
        "until": JSON,
        "timeout": JSON,
        "uuid": JSON,
        "uuid-name": JSON,
        "comment": JSON,
        "lock": JSON,
        "durable": JSON,
    },
)


def new_uuid() -> str:
    return f"00000000-0000-4000-8000-{next(NUMBERS):012x}"


@given(st.lists(OPERATION | JSON, max_size=4))
def test_any_operations_give_results(operations: Any) -> None:
    execution = execute(Database(RICH), operations, new_uuid=new_uuid)
    assert execution.blocked or len(execution.results) in (len(operations), len(operations) + 1)


@given(JSON)
def test_any_json_is_a_schema_or_an_error(json: Any) -> None:
    try:
        schema = Schema.from_json(json)
    except OvsdbError:
        return
    assert Schema.from_json(schema.to_json()) == schema


@given(st.sampled_from(TYPES), JSON)
def test_any_json_is_a_datum_or_an_error(type_: Any, json: Any) -> None:
    try:
        datum = datum_from_json(type_, json)
    except OvsdbError:
        return
    assert datum_from_json(type_, datum_to_json(type_, datum)) == datum


@given(JSON)
def test_any_record_is_read_or_an_error(json: Any) -> None:
    if isinstance(json, dict):
        try:
            changes_of(Database(RICH), json, new_uuid)
        except OvsdbError:
            pass


@given(st.binary() | st.binary().map(lambda data: format_record(RICH.to_json()) + data))
def test_any_bytes_are_a_file_or_an_error(data: bytes) -> None:
    try:
        _, good, damage = load(data, "file", new_uuid)
    except OvsdbError:
        return
    assert (damage is None) == (good == len(data))


@given(st.sets(st.integers()), st.sets(st.integers()))
def test_difference_of_sets(one: set[int], other: set[int]) -> None:
    type_ = RICH.tables["Root"].columns["ints"].type
    old, new = tuple(sorted(one)), tuple(sorted(other))
    assert apply_difference(type_, old, difference(type_, old, new)) == new


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_difference_of_maps(one: dict[str, str], other: dict[str, str]) -> None:
    type_ = RICH.tables["Root"].columns["mss"].type
    old, new = tuple(sorted(one.items())), tuple(sorted(other.items()))
    assert apply_difference(type_, old, difference(type_, old, new)) == new


def contents(database: Database) -> Any:
    return {
        (name, row.uuid): [value for value, keep in zip(row.values, row.layout.persistent) if keep]
        for name, table in database.tables.items()
        for row in table.rows.values()
    }


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_a_log_reads_back_as_what_was_written(seed: int) -> None:
    """Indexes, counts and referrers too: kept by commits and rebuilt from the file they are the same."""
    make = Transactions(SCHEMA, seed)
    database = Database(RICH)
    data = format_record(RICH.to_json())
    for number in range(60):
        execution = execute(database, loads(dumps(make.transaction())), new_uuid=new_uuid)
        if execution.changes:
            record = change_record(database, execution.changes, execution.comment, number)
            if record is not None:
                data += format_record(record)
            database.apply(execution.changes)
    again, good, damage = load(data, "file", new_uuid)
    assert damage is None
    assert good == len(data)
    kept = loads(dumps([[list(key), value] for key, value in sorted(contents(database).items())]))
    assert loads(dumps([[list(key), value] for key, value in sorted(contents(again).items())])) == kept
    for name, table in database.tables.items():
        assert table.references == again.tables[name].references
        assert table.referrers == again.tables[name].referrers
        assert [set(index.values()) for index in table.indexes] == [set(table.rows) for _ in table.indexes]
    compacted = format_record(RICH.to_json()) + format_record(snapshot_record(database, "x", 1))
    assert len(list(read_records(compacted, "file"))) == 2
