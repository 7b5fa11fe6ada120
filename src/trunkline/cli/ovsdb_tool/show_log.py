"""``show-log``: the records of a database file, one after the other, as a person wants to read them.

Without ``-m`` only when and why; with one, which rows; with two, which columns.  A row is called by its
``name`` column once a record has shown it.  What does not fit the schema is shown as it stands.
"""

from collections.abc import Iterator
from typing import Any, Final

from trunkline.base.json import Json, dumps
from trunkline.ovsdb.datum import datum_from_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.log import Record
from trunkline.ovsdb.schema import Schema, Table
from trunkline.ovsdb.text import datum_to_text

_SPECIAL: Final[dict[str, type]] = {"_date": int, "_comment": str, "_is_diff": bool}


def show_records(records: Iterator[Record], more: int) -> Iterator[str]:
    """The output in pieces.  Raises OvsdbError where the file is damaged."""
    names: dict[str, dict[str, str]] = {}  # table, uuid: name
    schema: Schema | None = None
    for number, record in enumerate(records):
        if schema is None:
            yield f"record {number}:"
            schema = Schema.from_json(record.value)
            yield f' "{schema.name}" schema, version="{schema.version}", cksum="{schema.cksum}"\n\n'
            continue
        yield f"record {number}:" + _when(record.value) + "\n"
        if more:
            yield from _tables(record.value, schema, names, more)


def _when(record: dict[str, Json]) -> str:
    import time

    text = ""
    date = record.get("_date")
    if type(date) is int:
        milliseconds = date * 1000 if date < 1 << 32 else date
        second = time.gmtime(milliseconds // 1000)
        text += time.strftime(" %Y-%m-%d %H:%M:%S", second) + f".{milliseconds % 1000:03d}"
    comment = record.get("_comment")
    if isinstance(comment, str):
        text += f' "{comment}"'
    return text


def _tables(
    record: dict[str, Json], schema: Schema, names: dict[str, dict[str, str]], more: int
) -> Iterator[str]:
    differing = record.get("_is_diff") is True
    some = False
    for name, rows in record.items():
        if type(rows) is _SPECIAL.get(name):
            continue
        if not isinstance(rows, dict):
            continue  # it is no table, and passed over
        some = True
        known = names.setdefault(name, {})
        for uuid, row in rows.items():
            yield f"  table {name}" + _title(known, uuid, row, differing)
            if row is None:
                yield "    delete row\n"
                known.pop(uuid, None)
            elif more > 1 and isinstance(row, dict):
                yield from _columns(schema.tables.get(name), row, differing)
    if some:
        yield "\n"


def _title(known: dict[str, str], uuid: str, row: Any, differing: bool) -> str:
    short = uuid[:8]
    inserted = uuid not in known
    name = row.get("name") if isinstance(row, dict) else None
    if isinstance(name, str):
        known[uuid] = f'"{name}"'
    elif inserted:
        known[uuid] = short
    shown = known[uuid]
    if inserted:
        return f" insert row {shown}:\n" if shown == short else f" insert row {shown} ({short}):\n"
    return f" row {shown} ({short})" + (" diff:\n" if differing else ":\n")


def _columns(table: Table | None, row: dict[str, Json], differing: bool) -> Iterator[str]:
    for name, value in row.items():
        column = None if table is None else table.columns.get(name)
        text = None
        if column is not None:
            type_ = column.type
            if differing and type_.max != 1:
                type_ = type_._replace(min=0)  # one of more elements than the column may hold is no datum
            try:
                text = datum_to_text(column.type, datum_from_json(type_, value))
            except OvsdbError:
                pass  # shown as it stands
        yield f"    {name}={dumps(value) if text is None else text}\n"
