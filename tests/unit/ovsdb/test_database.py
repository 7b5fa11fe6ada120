"""Transactions over a database in memory: what each rule of the schema does, and that nothing is scanned."""

from itertools import count
from typing import Any

import pytest

from support.transactions import SCHEMA
from trunkline.base.json import dumps
from trunkline.ovsdb.commit import settle
from trunkline.ovsdb.conversion import convert
from trunkline.ovsdb.database import Database, Row
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import Execution, Transaction, execute

NUMBERS = count(1)


def new_uuid() -> str:
    return f"00000000-0000-4000-8000-{next(NUMBERS):012x}"


def database() -> Database:
    return Database(Schema.from_json(SCHEMA))


def run(db: Database, *operations: Any, **more: Any) -> Execution:
    """Executes and applies."""
    execution = execute(db, list(operations), new_uuid=new_uuid, **more)
    if execution.changes:
        db.apply(execution.changes)
    return execution


def root(name: str, number: int = 0, **columns: Any) -> Any:
    return {"op": "insert", "table": "Root", "row": {"name": name, "i": number, **columns}}


def leaf(symbol: str, **columns: Any) -> Any:
    return {"op": "insert", "table": "Leaf", "uuid-name": symbol, "row": columns}


def update(name: str, /, **columns: Any) -> Any:
    return {"op": "update", "table": "Root", "where": [["name", "==", name]], "row": columns}


def delete(table: str) -> Any:
    return {"op": "delete", "table": table, "where": []}


def error_of(execution: Execution) -> str:
    return next(result["error"] for result in execution.results if result and "error" in result)


def test_execute_changes_nothing_until_applied() -> None:
    db = database()
    execution = execute(db, [root("a")], new_uuid=new_uuid)
    assert execution.changes
    assert not db.rows("Root")
    db.apply(execution.changes)
    assert [row["name"] for row in db.rows("Root").values()] == [("a",)]


def test_rows_without_references_go_and_take_theirs_along() -> None:
    db = database()
    run(db, leaf("one", next=["named-uuid", "two"]), leaf("two", x=2), root("a", leaf=["named-uuid", "one"]))
    assert len(db.rows("Leaf")) == 2
    run(db, update("a", leaf=["set", []]))
    assert not db.rows("Leaf")
    assert not db.tables["Leaf"].references


def test_a_row_that_refers_to_itself_only_goes() -> None:
    db = database()
    run(db, leaf("one", next=["named-uuid", "one"]))
    assert not db.rows("Leaf")


def test_a_row_in_use_cannot_be_deleted() -> None:
    db = database()
    run(db, leaf("one"), root("a", leaf=["named-uuid", "one"]))
    assert error_of(run(db, delete("Leaf"))) == "referential integrity violation"
    assert len(db.rows("Leaf")) == 1


def test_weak_references_vanish_with_their_rows_even_by_garbage_collection() -> None:
    db = database()
    run(db, root("a"), {"op": "insert", "table": "Root", "uuid-name": "b", "row": {"name": "b", "i": 1}},
        update("a", weak1=["named-uuid", "b"], mweak=["map", [["k", ["named-uuid", "b"]]]]))  # fmt: skip
    run(db, {"op": "delete", "table": "Root", "where": [["name", "==", "b"]]})
    (row,) = db.rows("Root").values()
    assert row["weak1"] == row["mweak"] == ()
    assert not db.tables["Root"].referrers


def test_indexes_may_be_exchanged_within_a_transaction() -> None:
    db = database()
    run(db, root("a", 1), root("b", 2))
    assert run(db, update("a", name="c"), update("b", name="a"), update("c", name="b")).changes
    assert {row["i"][0]: row["name"][0] for row in db.rows("Root").values()} == {1: "b", 2: "a"}
    assert error_of(run(db, update("a", name="b"))) == "constraint violation"
    found = run(db, {"op": "select", "table": "Root", "where": [["name", "==", "b"]], "columns": ["i"]})
    assert found.results == [{"rows": [{"i": 1}]}]


def test_snapshot_stays() -> None:
    db = database()
    run(db, root("a"))
    kept = db.snapshot()
    run(db, root("b", 5))
    run(db, update("a", oi=7))
    assert [(row["name"], row["oi"]) for row in kept["Root"].values()] == [(("a",), ())]
    assert len(db.rows("Root")) == 2


def test_wait_blocks_with_the_time_left_then_fails() -> None:
    db = database()
    wait = {
        "op": "wait", "table": "Root", "where": [], "columns": ["name"], "until": "==",
        "rows": [{"name": "a"}], "timeout": 500,
    }  # fmt: skip
    blocked = run(db, wait, root("b"), waited=0.2)
    assert blocked.blocked
    assert blocked.timeout == pytest.approx(0.3)
    assert blocked.changes is None
    assert error_of(run(db, wait, waited=0.5)) == "timed out"
    run(db, root("a"))
    assert run(db, wait, waited=0.1).results == [{}]


def test_read_only() -> None:
    db = database()
    assert error_of(run(db, root("a"), read_only=True)) == "not allowed"
    assert run(db, {"op": "select", "table": "Few", "where": []}, read_only=True).results == [{"rows": []}]


def test_assert_asks_for_the_lock() -> None:
    db = database()
    assert error_of(run(db, {"op": "assert", "lock": "x"})) == "not owner"
    assert run(db, {"op": "assert", "lock": "x"}, owns_lock=lambda name: name == "x").results == [{}]


def test_version_changes_with_the_row_only() -> None:
    db = database()
    run(db, root("a"))
    (before,) = db.rows("Root").values()
    assert not run(db, update("a", name="a")).changes
    (same,) = db.rows("Root").values()
    assert same.version == before.version
    run(db, update("a", eph="x"))
    (after,) = db.rows("Root").values()
    assert after.version != before.version


def test_error_leaves_the_rest_null_and_the_database_alone() -> None:
    db = database()
    execution = run(db, root("a"), {"op": "nope"}, root("b"))
    assert execution.results[2] is None
    assert execution.results[1]["details"] == 'Parsing ovsdb operation 2 of 3 failed: No operation "nope"'
    assert not db.rows("Root")


def test_looking_up_by_index_or_uuid_touches_no_other_row(monkeypatch: pytest.MonkeyPatch) -> None:
    db = database()
    run(db, *[root(f"r{number}", number - 5, oi=number) for number in range(100)])
    looked_at = []
    honest = Row.__getitem__

    def spy(row: Row, column: str) -> Any:
        looked_at.append(row.uuid)
        return honest(row, column)

    monkeypatch.setattr(Row, "__getitem__", spy)
    (uuid,) = [
        row.uuid for row in db.rows("Root").values() if row.values[row.layout.places["name"]] == ("r7",)
    ]
    for where in (
        [["name", "==", "r7"]],
        [["_uuid", "==", ["uuid", uuid]]],
        [["b", "==", False], ["i", "==", 2]],
    ):
        run(db, {"op": "mutate", "table": "Root", "where": where, "mutations": [["oi", "+=", 1]]})
        run(db, {"op": "select", "table": "Root", "where": where, "columns": ["oi"]})
    assert set(looked_at) == {uuid}


def test_conversion_checks_the_new_schema() -> None:
    db = database()
    run(db, root("a", 50), leaf("l"), root("b", 3, leaf=["named-uuid", "l"]))
    same = convert(db, db.schema, new_uuid)
    assert {row["name"] for row in same.rows("Root").values()} == {("a",), ("b",)}
    assert len(same.rows("Leaf")) == 1
    tighter = {**SCHEMA, "tables": {**SCHEMA["tables"]}}
    tighter["tables"]["Root"] = {
        "columns": {"i": {"type": {"key": {"type": "integer", "maxInteger": 10}}}, "new": {"type": "string"}}
    }
    with pytest.raises(OvsdbError, match="50 is greater than"):
        convert(db, Schema.from_json(_only(tighter, "Root")), new_uuid)
    tighter["tables"]["Root"] = {"columns": {"r": {"type": "real"}}, "indexes": [["r"]]}
    with pytest.raises(OvsdbError, match="identical values"):
        convert(db, Schema.from_json(_only(tighter, "Root")), new_uuid)


def _only(schema: Any, table: str) -> Any:
    return {**schema, "tables": {table: schema["tables"][table]}}


def test_settle_of_nothing_is_nothing() -> None:
    assert settle(Transaction(database(), new_uuid, lambda name: False, 0, False)) == {}


def test_results_are_json() -> None:
    db = database()
    assert dumps(run(db, root("a", r=1.5), {"op": "select", "table": "Root", "where": []}).results)
