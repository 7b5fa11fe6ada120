"""Thousands of random transactions, given to the original server and to our engine: the same results,
contents
and files."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.originals import VSWITCH_SCHEMA, Originals, wait_for
from support.ovsdb_peer import Peer
from support.transactions import SCHEMA, Transactions, comparable, several_errors
from trunkline.base.json import dumps, loads
from trunkline.io.ovsdb_file import DatabaseFile
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.datum import datum_to_json
from trunkline.ovsdb.log import change_record
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import execute

pytestmark = pytest.mark.oracle


def contents(database: Database) -> Any:
    """All rows as JSON; reals with the 15 digits that go over the wire."""
    found = {
        name: {
            row.uuid: {
                column: datum_to_json(type_, datum)
                for column, type_, datum in zip(table.layout.columns, table.layout.types, row.values)
            }
            for row in table.rows.values()
        }
        for name, table in database.tables.items()
    }
    return loads(dumps(found))


def contents_of(peer: Peer, schema: Any) -> Any:
    found = {}
    for name in schema["tables"]:
        (result,) = peer.call("transact", [schema["name"], {"op": "select", "table": name, "where": []}])
        found[name] = {
            row["_uuid"][1]: {column: value for column, value in row.items() if column[0] != "_"}
            for row in result["rows"]
        }
    return found


def persistent(found: Any, schema: Any) -> Any:
    """Contents without ephemeral columns."""
    return {
        table: {
            uuid: {
                name: value
                for name, value in row.items()
                if not schema["tables"][table]["columns"][name].get("ephemeral")
            }
            for uuid, row in rows.items()
        }
        for table, rows in found.items()
    }


def same(one: Any, other: Any) -> None:
    """Compares contents; shows the first row that differs, not all of them."""
    for table in one.keys() | other.keys():
        for uuid in one[table].keys() | other[table].keys():
            assert one[table].get(uuid) == other[table].get(uuid), (table, uuid)


def served(original: Originals, path: Path, number: int) -> Peer:
    socket = original.directory / f"s{number}"
    original.start(
        "ovsdb-server", str(path), f"--remote=punix:{socket}", f"--unixctl={original.directory}/c{number}"
    )
    wait_for(socket)
    return Peer(socket)


@pytest.mark.parametrize(
    ("which", "seed", "many"),
    [("rich", 1, 3000), ("rich", 3, 3000), ("rich", 11, 3000), ("rich", 13, 3000), ("vswitch", 5, 1500)],
)
def test_random_transactions(original: Originals, which: str, seed: int, many: int) -> None:
    schema = SCHEMA if which == "rich" else json.loads(Path(VSWITCH_SCHEMA).read_text())
    directory = original.directory
    (directory / "schema").write_text(json.dumps(schema))
    theirs_path, ours_path = directory / "theirs.db", directory / "ours.db"
    made = original.run("ovsdb-tool", "create", str(theirs_path), str(directory / "schema"))
    assert made.returncode == 0, made.stderr
    peer = served(original, theirs_path, 1)
    file = DatabaseFile.create(str(ours_path), Schema.from_json(schema))
    database = file.database
    make = Transactions(schema, seed)
    committed = refused = 0
    for number in range(many):
        operations = make.transaction()
        theirs = peer.call("transact", [schema["name"], *operations])
        execution = execute(database, loads(dumps(operations)), new_uuid=random_uuid)
        ours = loads(dumps(execution.results))
        assert not execution.blocked
        one, other = comparable(ours), comparable(theirs)
        assert one == other or several_errors(one, other), (number, operations, ours, theirs)
        if one != other:
            refused += 1
        if execution.changes:
            committed += 1
            record = change_record(database, execution.changes, execution.comment, number)
            if record is not None:
                file.append([record])
            database.apply(execution.changes)
        if number % 250 == 249:
            same(contents(database), contents_of(peer, schema))
    assert committed > (100 if which == "rich" else 30)
    assert refused < 60
    found = contents(database)
    same(found, contents_of(peer, schema))
    peer.close()
    file.close()
    # Each reads the other's file.
    kept = persistent(found, schema)
    again = DatabaseFile.open(str(ours_path))
    assert again.damage is None
    same(persistent(contents(again.database), schema), kept)
    again.close()
    reader = served(original, ours_path, 2)
    same(persistent(contents_of(reader, schema), schema), kept)
    reader.close()
    original.stop()
    other_file = DatabaseFile.open(str(theirs_path))
    assert other_file.damage is None
    same(persistent(contents(other_file.database), schema), kept)
    other_file.close()
