"""The commands that every database tool has: list, find, get, set, add, remove, clear, create, destroy,
wait-until and comment, on any table (ovs-vsctl(8), "Database Commands").

`prepare` resolves table and columns, which needs no server; `run` resolves them again and works on the rows.
"""

from collections.abc import Sequence
from typing import Final

from trunkline.dbctl.grammar import UNLIMITED, Command, UsageError
from trunkline.dbctl.names import (
    Condition,
    column_of,
    find_column,
    find_record,
    find_table,
    holds,
    parse,
    parse_condition,
    parse_place,
    symbols_of,
)
from trunkline.dbctl.run import Call, Plan
from trunkline.dbctl.tables import Cell, DatumCell
from trunkline.dbctl.tables import Table as Output
from trunkline.dbctl.work import Question, Row, TryLater, Work
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.schema import Column, Table
from trunkline.ovsdb.text import atom_from_text, atom_to_text, datum_from_text, datum_to_text, is_uuid
from trunkline.ovsdb.types import UNLIMITED as MANY
from trunkline.ovsdb.types import BaseType, ColumnType

UUID: Final = "_uuid"
UUID_TYPE: Final = ColumnType(BaseType(AtomicType.UUID), None, 1, 1)


def _record(call: Call, table: Table, name: str, columns: Sequence[str] = ()) -> Row | None:
    """The row that an argument names; None, under --if-exists, if there is none."""
    lookups = call.tool.lookups.get(table.name, ())
    return find_record(call.work, lookups, table.name, name, columns, must="--if-exists" not in call.options)


def _asks(plan: Plan) -> list[Question]:
    """The record that a command names, by its name, and the columns that the arguments begin with."""
    table_name, record, *texts = plan.parsed.arguments
    table = find_table(plan.tool.schema, table_name)
    one = plan.parsed.command.name in ("add", "remove")  # their further arguments are values
    columns = [column_of(text, table).name for text in texts[: 1 if one else None] if text.lower() != UUID]
    return [
        Question(table.name, lookup.column, record, tuple(columns))
        for lookup in plan.tool.lookups.get(table.name, ())
        if lookup.table is None
        and lookup.column is not None
        and table.columns[lookup.column].type.key.type is AtomicType.STRING
    ]


def _value(work: Work, type_: ColumnType, text: str) -> Datum:
    return parse(datum_from_text, type_, text, symbols_of(work, type_))


# -- list and find -----------------------------------------------------------------------------------------


def _listed(table: Table, options: dict[str, str | None]) -> list[str]:
    """The columns to list, in order."""
    chosen = options.get("--columns")
    if chosen is None:
        return [UUID, *sorted(table.columns)]
    names = [name for name in chosen.replace(",", " ").split(" ") if name]
    if not names:
        raise UsageError("must specify at least one column name")
    return [name if name == UUID else find_column(table, name).name for name in names]


def _prepare_list(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    _listed(table, plan.parsed.options)


def _output(call: Call, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    lines = []
    for row in rows:
        line: list[Cell] = []
        for column in columns:
            if column == UUID:
                line.append(DatumCell(UUID_TYPE, (row.uuid,)))
            else:
                line.append(DatumCell(table.columns[column].type, call.work.get(row, column)))
        lines.append(line)
    call.table = Output(columns, lines)


def _list(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    columns = _listed(table, call.options)
    wanted = [column for column in columns if column != UUID]
    if len(call.arguments) == 1:
        rows = call.work.all(table.name, wanted)
    else:
        found = [_record(call, table, name, wanted) for name in call.arguments[1:]]
        rows = [row for row in found if row is not None]
    _output(call, table, columns, rows)


def _prepare_places(table: Table, texts: Sequence[str]) -> None:
    """Checks that the columns are there; the values have to wait for a row."""
    for text in texts:
        column_of(text, table)


def _prepare_find(plan: Plan) -> None:
    _prepare_list(plan)
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    _prepare_places(table, plan.parsed.arguments[1:])


def _find(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    columns = _listed(table, call.options)
    wanted = [column for column in columns if column != UUID]
    texts = call.arguments[1:]
    used = dict.fromkeys([*wanted, *(column_of(text, table).name for text in texts)])
    conditions: dict[str, Condition] = {}
    rows = [
        row
        for row in call.work.all(table.name, list(used))
        if _meets(call.work, table, row, texts, conditions)
    ]
    _output(call, table, columns, rows)


def _meets(work: Work, table: Table, row: Row, texts: Sequence[str], parsed: dict[str, Condition]) -> bool:
    """Whether the row meets all conditions.  Each is parsed, into `parsed`, when a row first gets to it: one
    that no row gets to may be wrong."""
    for text in texts:
        condition = parsed.get(text)
        if condition is None:
            condition = parsed[text] = parse_condition(text, table, work)
        if not holds(condition, work.get(row, condition.column)):
            return False
    return True


# -- get ---------------------------------------------------------------------------------------------------


def _prepare_get(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    for text in plan.parsed.arguments[2:]:
        if text.lower() != UUID:
            column_of(text, table)


def _get(call: Call) -> None:
    if "--if-exists" in call.options and "--id" in call.options:
        raise UsageError("--if-exists and --id may not be specified together")
    table = find_table(call.tool.schema, call.arguments[0])
    row = _record(call, table, call.arguments[1])
    if row is None:
        return
    if "--id" in call.options:
        _define(call, call.options["--id"] or "", row)
    for text in call.arguments[2:]:
        if text.lower() == UUID:
            call.print(row.uuid)
            continue
        place = parse_place(text, table)
        type_ = place.column.type
        if place.key is not None and type_.value is None:
            raise UsageError(f"cannot specify key to get for non-map column {place.column.name}")
        datum = call.work.get(row, place.column.name, verify=True)
        if place.key is None or type_.value is None:
            call.print(datum_to_text(type_, datum))
            continue
        pairs = dict(datum)
        key = parse(atom_from_text, type_.key, place.key)
        if key in pairs:
            call.print(atom_to_text(type_.value.type, pairs[key]))
        elif "--if-exists" in call.options:
            call.print("")
        else:
            raise UsageError(
                f'no key "{place.key}" in {table.name} record "{call.arguments[1]}" '
                f"column {place.column.name}"
            )


def _define(call: Call, name: str, row: Row | None) -> None:
    """``--id=@name``: the name stands for `row` (None: a row to be made) from now on."""
    if not name.startswith("@"):
        raise UsageError(f'row id "{name}" does not begin with "@"')
    symbol = call.work.symbol(name)
    if symbol.created:
        raise UsageError(f'row id "{name}" may only be specified on one --id option')
    symbol.created = True
    if row is not None:
        if symbol.referenced:
            raise UsageError(f'row id "{name}" specified on "get" command was used before it was defined')
        symbol.uuid = row.uuid
        symbol.held = True


# -- changes -----------------------------------------------------------------------------------------------


def _writable(table: Table, column: Column) -> None:
    if not column.mutable:
        raise UsageError(f"cannot modify read-only column {column.name} in table {table.name}")


def set_column(call: Call, table: Table, row: Row, text: str) -> None:
    """Does what ``column[:key]=value`` says to `row`."""
    place = parse_place(text, table, ("=",))
    column = place.column
    if not row.inserted:
        _writable(table, column)
    type_ = column.type
    if place.key is None:
        call.work.set(row, column.name, _value(call.work, type_, place.value))
        return
    if type_.value is None:
        raise UsageError(f"cannot specify key to set for non-map column {column.name}")
    key = parse(atom_from_text, type_.key, place.key, symbols_of(call.work, type_))
    value = parse(atom_from_text, type_.value, place.value, symbols_of(call.work, type_))
    if (key, value) not in call.work.get(row, column.name):
        call.work.add(row, column.name, ((key, value),))


def _prepare_set(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    _prepare_places(table, plan.parsed.arguments[2:])


def _set(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    row = _record(call, table, call.arguments[1])
    if row is not None:
        for text in call.arguments[2:]:
            set_column(call, table, row, text)


def _prepare_column(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    find_column(table, plan.parsed.arguments[2])


def _some(type_: ColumnType) -> ColumnType:
    """The type of some elements to add to a column, or to take out of it."""
    return type_._replace(min=1, max=MANY)


def _add(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    column = find_column(table, call.arguments[2])
    row = _record(call, table, call.arguments[1])
    if row is None:
        return
    _writable(table, column)
    type_ = column.type
    for text in call.arguments[3:]:
        new = _value(call.work, _some(type_), text)
        if type_.value is not None:
            # Pairs that are there already are no change; of sets the original does not ask.
            present = call.work.get(row, column.name)
            new = tuple(pair for pair in new if pair not in present)
        if new:
            call.work.add(row, column.name, new)


def _remove(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    column = find_column(table, call.arguments[2])
    row = _record(call, table, call.arguments[1])
    if row is None:
        return
    _writable(table, column)
    type_ = column.type
    work = call.work
    for text in call.arguments[3:]:
        present = work.get(row, column.name)
        if type_.value is None:
            gone = [atom for atom in _value(work, _some(type_), text) if atom in present]
        else:
            gone = _pairs_gone(work, type_, text, dict(present))
        if gone:
            work.remove(row, column.name, tuple(gone))
    left = len(work.get(row, column.name))
    if left < type_.min:
        raise UsageError(
            f'"remove" operation would put {left} values in column {column.name} of table {table.name} '
            f"but the minimum number is {type_.min}"
        )


def _pairs_gone(work: Work, type_: ColumnType, text: str, present: dict[object, object]) -> list[object]:
    """The keys that ``key`` or ``key=value`` takes out of a map."""
    assert type_.value is not None
    keys = ColumnType(type_.key, None, 1, MANY)
    try:
        named = _value(work, _some(type_), text)
    except UsageError:
        return [key for key in _value(work, keys, text) if key in present]
    return [key for key, value in named if present.get(key) == value]


def _prepare_clear(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    for name in plan.parsed.arguments[2:]:
        find_column(table, name)


def _clear(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    row = _record(call, table, call.arguments[1])
    if row is None:
        return
    for name in call.arguments[2:]:
        column = find_column(table, name)
        _writable(table, column)
        if column.type.min > 0:
            raise UsageError(
                f'"clear" operation cannot be applied to column {column.name} of table {table.name}, '
                "which is not allowed to be empty"
            )
        call.work.set(row, column.name, ())


# -- create and destroy ------------------------------------------------------------------------------------


def _prepare_create(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    if "--id" not in plan.parsed.options and not table.is_root:
        plan.warn(f'applying "create" command to table {table.name} without --id option will have no effect')


def _create(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    name = call.options.get("--id")
    if name is not None and is_uuid(name):
        row = call.work.insert(table.name, name.lower(), chosen=True)
    elif name is not None:
        _define(call, name, None)
        symbol = call.work.symbol(name)
        symbol.fragile = not table.is_root
        row = call.work.insert(table.name, symbol.uuid)
    else:
        row = call.work.insert(table.name)
    for text in call.arguments[1:]:
        set_column(call, table, row, text)
    call.result = row.uuid
    call.print(row.uuid)


def _created(call: Call) -> None:
    """Prints the uuid that the server gave to the row."""
    assert call.result is not None
    call.output[:] = [call.work.real.get(call.result, call.result) + "\n"]


def _prepare_table(plan: Plan) -> None:
    find_table(plan.tool.schema, plan.parsed.arguments[0])


def _destroy(call: Call) -> None:
    options, arguments = call.options, call.arguments
    table = find_table(call.tool.schema, arguments[0])
    if "--all" in options and "--if-exists" in options:
        raise UsageError("--all and --if-exists should not be specified together")
    if "--all" in options and len(arguments) > 1:
        raise UsageError("--all and records argument should not be specified together")
    if "--all" not in options and len(arguments) == 1:
        call.warn("either --all or records argument should be specified")
    if "--all" in call.options:
        for row in call.work.all(table.name):
            call.work.delete(row)
        return
    for name in call.arguments[1:]:
        found = _record(call, table, name)
        if found is not None:
            call.work.delete(found)


# -- wait-until and comment --------------------------------------------------------------------------------


def _prepare_wait(plan: Plan) -> None:
    table = find_table(plan.tool.schema, plan.parsed.arguments[0])
    _prepare_places(table, plan.parsed.arguments[2:])


def _wait_until(call: Call) -> None:
    table = find_table(call.tool.schema, call.arguments[0])
    lookups = call.tool.lookups.get(table.name, ())
    row = find_record(call.work, lookups, table.name, call.arguments[1], must=False)
    if row is None or not _meets(call.work, table, row, call.arguments[2:], {}):
        raise TryLater(table.name)


def _nothing(call: Call) -> None:
    """``comment`` is in the transaction's comment by being on the command line."""


DATABASE_COMMANDS: Final = (
    Command("comment", 0, UNLIMITED, "*ARG", _nothing),
    Command(
        "get",
        2,
        UNLIMITED,
        "!TABLE !RECORD *COLUMN?:KEY",
        _get,
        ("--if-exists", "--id="),
        prepare=_prepare_get,
        asks=_asks,
    ),
    Command(
        "list", 1, UNLIMITED, "!TABLE *RECORD", _list, ("--if-exists", "--columns="), prepare=_prepare_list
    ),
    Command("find", 1, UNLIMITED, "!TABLE *COLUMN?:KEY=VALUE", _find, ("--columns=",), prepare=_prepare_find),
    Command(
        "set",
        3,
        UNLIMITED,
        "!TABLE !RECORD +COLUMN?:KEY=VALUE",
        _set,
        ("--if-exists",),
        True,
        _prepare_set,
        asks=_asks,
    ),
    Command(
        "add",
        4,
        UNLIMITED,
        "!TABLE !RECORD !COLUMN +?KEY=VALUE",
        _add,
        ("--if-exists",),
        True,
        _prepare_column,
        asks=_asks,
    ),
    Command(
        "remove",
        4,
        UNLIMITED,
        "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE",
        _remove,
        ("--if-exists",),
        True,
        _prepare_column,
        asks=_asks,
    ),
    Command(
        "clear",
        3,
        UNLIMITED,
        "!TABLE !RECORD +COLUMN",
        _clear,
        ("--if-exists",),
        True,
        _prepare_clear,
        asks=_asks,
    ),
    Command(
        "create",
        2,
        UNLIMITED,
        "!TABLE +COLUMN?:KEY=VALUE",
        _create,
        ("--id=",),
        True,
        _prepare_create,
        _created,
    ),
    Command(
        "destroy", 1, UNLIMITED, "!TABLE *RECORD", _destroy, ("--if-exists", "--all"), True, _prepare_table
    ),
    Command(
        "wait-until", 2, UNLIMITED, "!TABLE !RECORD *COLUMN?:KEY=VALUE", _wait_until, prepare=_prepare_wait
    ),
)
