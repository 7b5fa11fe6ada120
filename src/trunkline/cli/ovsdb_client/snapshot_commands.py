"""backup and restore: a whole database as a file, through the server."""

import sys
import time

from trunkline.base.json import Json, dumps
from trunkline.cli.ovsdb_client.context import Context, Failure
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.database import Database, Layout
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.log import format_record, load
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.types import BaseType, ColumnType


def backup(context: Context) -> None:
    json = context.schema()
    schema = Schema.from_json(json)
    if sys.stdout.isatty():
        raise Failure("not writing backup to a terminal; please redirect stdout to a file")
    operations: list[Json] = []
    layouts = [Layout(table, True) for _, table in sorted(schema.tables.items())]
    for layout in layouts:
        columns = ["_uuid", *(name for name in layout.columns if layout.table.columns[name].persistent)]
        operations.append({"op": "select", "table": layout.name, "where": [], "columns": columns})
    results = context.transact(operations)
    record: dict[str, Json] = {
        "_date": int(time.time() * 1000),
        "_is_diff": True,  # for rows that are new, whole values and differences are the same
        "_comment": 'produced by "ovsdb-client backup"',
    }
    for layout, result in zip(layouts, results, strict=False):
        if type(result) is not dict or "rows" not in result:
            raise Failure(f"{context.database}: read failed: {dumps(result, sort_keys=True)}")
        if result["rows"]:
            rows = result["rows"]
            record[layout.name] = {row["_uuid"][1]: _without_uuid(row) for row in rows}
    sys.stdout.buffer.write(format_record(json) + format_record(record))
    sys.stdout.buffer.flush()


def _without_uuid(row: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in row.items() if name != "_uuid"}


def restore(context: Context) -> None:
    """Puts the contents of a backup, from standard input, in the place of those of its database."""
    try:
        database, _, damage = load(sys.stdin.buffer.read(), "/dev/stdin", _no_uuid)
        if damage is not None:
            raise damage
    except OvsdbError as error:
        raise Failure(str(error)) from None
    difference = _difference(database.schema, Schema.from_json(context.schema()))
    if difference and not context.force:
        advice = 'use --force to override differences, or "ovsdb-client convert" to change the schema'
        raise Failure(f"{difference} ({advice})")
    if difference:
        context.log.module("ovsdb_client").info("%s", difference)
    operations: list[Json] = [{"op": "delete", "table": name, "where": []} for name in database.tables]
    for name in database.tables:
        operations += _inserts(database, name)
    # Into the database that was backed up, whatever the command names: so do the originals.
    for result in context.transact(operations, database.schema.name):
        if type(result) is dict and "error" in result:
            raise Failure(f"server returned error reply: {dumps(result, sort_keys=True)}")


def _difference(backup: Schema, present: Schema) -> str:
    """How the schema of a backup differs from the one that is there; "" if it does not."""
    if backup.to_json() == present.to_json():
        return ""
    if backup.version == present.version:
        return f"backup schema and database schema are both version {present.version} but still differ"
    return f'backup schema has version "{backup.version}" but database schema has version "{present.version}"'


def _no_uuid() -> str:
    return "00000000-0000-0000-0000-000000000000"


def _inserts(database: Database, name: str) -> list[Json]:
    state = database.tables[name]
    operations: list[Json] = []
    for uuid, row in state.rows.items():
        values = {
            column: _renamed(state.layout.types[place], row.values[place], database)
            for place, column in enumerate(state.layout.columns)
            if row.values[place] != state.layout.defaults[place]
            and state.layout.table.columns[column].persistent
        }
        operations.append({"op": "insert", "table": name, "uuid-name": _symbol(uuid), "row": values})
    return operations


def _symbol(uuid: str) -> str:
    return "row" + uuid.replace("-", "_")


def _renamed(type_: ColumnType, datum: Datum, database: Database) -> Json:
    """A value whose references name the rows of the same transaction."""

    def atom(base: BaseType, value: Json) -> Json:
        if base.type is not AtomicType.UUID:
            return value
        table = base.ref_table
        if table is not None and value in database.tables[table].rows:
            return ["named-uuid", _symbol(value)]
        return ["uuid", value]

    if type_.value is not None:
        value_type = type_.value
        return ["map", [[atom(type_.key, key), atom(value_type, item)] for key, item in datum]]
    atoms = [atom(type_.key, item) for item in datum]
    return atoms[0] if len(atoms) == 1 else ["set", atoms]
