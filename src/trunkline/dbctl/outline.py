"""The command ``show``: an outline of the database, from its top row along references.

A tool declares which columns to show of each table; a reference to a shown table opens a level, other columns
are shown when they are not at their defaults.  A map to rows of a table that is not shown may be
listed with the names of those rows.
"""

from collections.abc import Mapping
from typing import NamedTuple

from trunkline.dbctl.run import Call
from trunkline.dbctl.work import Row, Work
from trunkline.ovsdb.datum import default
from trunkline.ovsdb.text import datum_to_text


class Shown(NamedTuple):
    """What to show of a table: the column that names a row (None: its uuid), and columns below it.

    `named` are columns, shown last, that map to rows, each with the column that names those.
    """

    name: str | None
    columns: tuple[str, ...]
    named: tuple[tuple[str, str], ...] = ()


def show(call: Call, outline: Mapping[str, Shown], top: str) -> None:
    """Prints the outline of every row of the table `top`, read at one moment."""
    wanted: dict[str, list[str]] = {}
    for table, shown in outline.items():
        wanted[table] = [*shown.columns, *([shown.name] if shown.name else [])]
        for column, name in shown.named:
            wanted[table].append(column)
            wanted.setdefault(_target(call.work, table, column), []).append(name)
    call.work.load({**wanted})
    for row in call.work.all(top):
        _row(call, outline, row, 0, set())


def _row(call: Call, outline: Mapping[str, Shown], row: Row, level: int, above: set[str]) -> None:
    shown = outline[row.table]
    indent = "    " * level
    if shown.name is None:
        call.print(f"{indent}{row.uuid}")
    else:
        name = datum_to_text(call.work.type(row.table, shown.name), call.work.get(row, shown.name))
        call.print(f"{indent}{row.table} {name}")
    for column in shown.columns:
        type_ = call.work.type(row.table, column)
        datum = call.work.get(row, column)
        target = type_.key.ref_table
        if target is not None and target in outline and target not in above:
            for uuid in datum:
                child = call.work.row(target, str(uuid))
                if child is not None:
                    _row(call, outline, child, level + 1, above | {row.table})
        elif datum != default(type_):
            call.print(f"{indent}    {column}: {datum_to_text(type_, datum)}")
    for column, name in shown.named:
        call.print(f"{indent}    {column}:")
        for key, uuid in call.work.get(row, column):
            found = call.work.row(_target(call.work, row.table, column), str(uuid), (name,))
            if found is not None:
                text = datum_to_text(call.work.type(found.table, name), call.work.get(found, name))
                call.print(f"{indent}        {key}={text}")


def _target(work: Work, table: str, column: str) -> str:
    """The table to whose rows a map refers."""
    value = work.type(table, column).value
    assert value is not None
    assert value.ref_table is not None
    return value.ref_table
