"""What monitors send: initial contents and updates, encoded once for all monitors of one shape.

A *shape* is what a monitor asks for, without who asks: format, tables, columns, selections, conditions.
Hundreds of clients of one kind (hypervisors, agents) have one shape between them.  For every commit each
shape composes its text once; what differs between its members, the monitor's id, is put around it.  The
same holds for the first dump, which is kept until the next commit.

Formats: ``update`` (RFC 7047, 4.1.6) and ``update2`` (ovsdb-server(7), 4.1.14; ``update3`` only adds an id).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from trunkline.base.json import Json, dumps, real_text
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.conditions import RowTest, column_type, parse_where
from trunkline.ovsdb.database import Change, Changes, Database, Row
from trunkline.ovsdb.datum import Datum, default, difference
from trunkline.ovsdb.errors import OvsdbError, syntax_error
from trunkline.ovsdb.schema import Schema, Table
from trunkline.ovsdb.types import BaseType, ColumnType

INITIAL, INSERT, DELETE, MODIFY = 1, 2, 4, 8
ALL: Final = INITIAL | INSERT | DELETE | MODIFY
_SELECT: Final = {"initial": INITIAL, "insert": INSERT, "delete": DELETE, "modify": MODIFY}


# -- datums as JSON text -----------------------------------------------------------------------------------

Writer = Callable[[Datum], str]


def _atom_writer(base: BaseType) -> Callable[[object], str]:
    if base.type is AtomicType.UUID:
        return lambda atom: f'["uuid","{atom}"]'
    if base.type is AtomicType.INTEGER:
        return str
    if base.type is AtomicType.REAL:
        return lambda atom: real_text(atom)  # type: ignore[arg-type]
    if base.type is AtomicType.BOOLEAN:
        return lambda atom: "true" if atom else "false"
    return dumps


def writer(type_: ColumnType) -> Writer:
    """What prints the datums of a column as JSON: one element bare, else a set; maps as maps."""
    key = _atom_writer(type_.key)
    if type_.value is not None:
        item = _atom_writer(type_.value)

        def write_map(datum: Datum) -> str:
            if not datum:
                return '["map",[]]'
            return '["map",[' + ",".join([f"[{key(k)},{item(v)}]" for k, v in datum]) + "]]"

        return write_map

    def write_set(datum: Datum) -> str:
        if len(datum) == 1:
            return key(datum[0])
        return '["set",[' + ",".join([key(atom) for atom in datum]) + "]]"

    return write_set


# -- requests ----------------------------------------------------------------------------------------------


class Watched(NamedTuple):
    """A column of a monitored table.  `select` are the kinds of change that it is shown in.

    `place` is its place in a row's values; _UUID and _VERSION are those of the columns that every row has.
    """

    name: str
    place: int
    type: ColumnType
    select: int
    write: Writer
    default: Datum


_UUID: Final = -1
_VERSION: Final = -2
_IMPLICIT: Final = {"_uuid": _UUID, "_version": _VERSION}


def value(row: Row, place: int) -> Datum:
    if place >= 0:
        return row.values[place]
    return (row.uuid,) if place == _UUID else (row.version,)


class TableMonitor(NamedTuple):
    """A monitored table.  `where` is the condition as the client wrote it, None for every row."""

    name: str
    columns: tuple[Watched, ...]
    select: int
    where: Json
    matches: RowTest | None


def _syntax(details: str, syntax: Json | None = None, *, bare: bool = False) -> OvsdbError:
    return OvsdbError("syntax error", details) if bare else syntax_error(syntax, details)


def _members(json: Json, allowed: Mapping[str, type], what: str) -> None:
    """Checks the members of a request object, in the original's order and words."""
    if type(json) is not dict:
        raise _syntax(f"Parsing {what} failed: Object expected.", bare=True)
    for name, kind in allowed.items():
        if name in json and type(json[name]) is not kind:
            raise _syntax(f"Parsing {what} failed: Type mismatch for member '{name}'.", json)
    for name in json:
        if name not in allowed:
            raise _syntax(f"Parsing {what} failed: Member '{name}' is present but not allowed here.", json)


_V1_MEMBERS: Final[Mapping[str, type]] = {"columns": list, "select": dict}
_V2_MEMBERS: Final[Mapping[str, type]] = {"columns": list, "where": list, "select": dict}


def parse_where_member(table: Table, where: Json) -> RowTest | None:
    """A condition of a monitor, None when it holds for every row: one of its parts must hold (unlike in a
    transaction, where all must).  Raises OvsdbError."""
    if not where:
        return None
    tests = [parse_where(table, [part]) for part in where]
    if True in where:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda row: any(test(row) for test in tests)


def parse_requests(schema: Schema, json: Json, version: int) -> dict[str, TableMonitor]:
    """The <monitor-requests> of a `monitor` (version 1) or `monitor_cond...` (2).  Raises OvsdbError."""
    if type(json) is not dict:
        raise _syntax("monitor-requests must be object", json)
    tables = {}
    for name, requests in json.items():
        table = schema.tables.get(name)
        if table is None:
            raise _syntax(f"no table named {name}", bare=True)
        tables[name] = _parse_table(table, requests if type(requests) is list else [requests], version)
    return tables


def names_of(table: Table) -> list[str]:
    """The columns in the order of a row's values (database.Layout)."""
    return [name for name in table.columns if not name.startswith("_")]


def _parse_table(table: Table, requests: list[Json], version: int) -> TableMonitor:
    columns: dict[str, Watched] = {}
    select = 0
    places = {name: place for place, name in enumerate(names_of(table))}
    where: Json = None
    matches: RowTest | None = None
    for request in requests:
        _members(request, _V1_MEMBERS if version == 1 else _V2_MEMBERS, f"table {table.name}")
        chosen = _parse_select(table.name, request.get("select"))
        select |= chosen
        if "columns" in request:
            names = request["columns"]
            for name in names:
                if type(name) is not str:
                    raise _syntax("array of column names expected", names)
                if column_type(table, name) is None:
                    raise _syntax(f"{name} is not a valid column name", names)
        else:
            names = ["_version", *places]  # as the originals have it, though RFC 7047 names no such column
        for name in names:
            if name in columns:
                if "columns" in request:
                    raise _syntax(f"column {name} mentioned more than once", names)
                raise _syntax("column name mentioned more than once", bare=True)
            type_ = column_type(table, name)
            assert type_ is not None
            place = places[name] if name in places else _IMPLICIT[name]
            columns[name] = Watched(name, place, type_, chosen, writer(type_), default(type_))
        if request.get("where"):
            test = parse_where_member(table, request["where"])
            if request is requests[0]:  # as in the original, the others' conditions only have to be right
                where, matches = request["where"], test
    return TableMonitor(table.name, tuple(columns.values()), select, where, matches)


def _parse_select(table: str, json: Json) -> int:
    if json is None:
        return ALL
    _members(json, dict.fromkeys(_SELECT, bool), f"table {table} select")
    return sum(bit for name, bit in _SELECT.items() if json.get(name, True))


def shape_key(database: str, version: int, tables: Mapping[str, TableMonitor]) -> str:
    """Equal for monitors that are sent the same."""
    return dumps(
        [
            database,
            version,
            [
                [table.name, table.where, [[column.name, column.select] for column in table.columns]]
                for table in sorted(tables.values(), key=lambda table: table.name)
            ],
        ]
    )


# -- texts -------------------------------------------------------------------------------------------------


class Shape:
    """The texts that monitors of one shape send.  An empty text is nothing to send."""

    __slots__ = ("_first", "_first_of", "key", "members", "tables", "version")

    def __init__(self, key: str, version: int, tables: Mapping[str, TableMonitor]) -> None:
        self.key = key
        self.version = version
        self.tables = dict(tables)
        self.members: dict[object, None] = {}  # the monitors, in the order they came
        self._first: str | None = None
        self._first_of = -1

    def initial(self, database: Database, generation: int) -> str:
        """Everything that is selected, as <table-updates> or <table-updates2>.

        `generation` counts the database's commits: the text is kept while it stays the same.
        """
        if self._first is None or self._first_of != generation:
            self._first_of = generation
            self._first = "{" + ",".join(self._initial_tables(database)) + "}"
        return self._first

    def _initial_tables(self, database: Database) -> Iterable[str]:
        for table in self.tables.values():
            if not table.select & INITIAL:
                continue
            rows = []
            columns = [column for column in table.columns if column.select & INITIAL]
            for uuid, row in database.tables[table.name].rows.items():
                if table.matches is not None and not table.matches(row):
                    continue
                if self.version == 1:
                    rows.append(f'"{uuid}":{{"new":{_row_text(columns, row)}}}')
                else:
                    rows.append(f'"{uuid}":{{"initial":{_changed_text(columns, row)}}}')
            if rows:
                yield f'"{table.name}":{{{",".join(rows)}}}'

    def forget(self) -> None:
        """The first dump is not needed any more."""
        self._first = None

    def update(self, changes: Changes) -> str:
        """The text for one commit, or for several whose changes were merged."""
        compose = _update1 if self.version == 1 else _update2
        parts = []
        for name, table in self.tables.items():
            changed = changes.get(name)
            if not changed:
                continue
            rows = []
            for uuid, (old, new) in changed.items():
                text = compose(table, old, new)
                if text:
                    rows.append(f'"{uuid}":{text}')
            if rows:
                parts.append(f'"{name}":{{{",".join(rows)}}}')
        return "{" + ",".join(parts) + "}" if parts else ""

    def recondition(self, database: Database, after: "Shape") -> str:
        """What a change of conditions from this shape to `after` makes visible and invisible."""
        parts = []
        for name, table in after.tables.items():
            before = self.tables[name]
            if before.where == table.where:
                continue
            rows = []
            for uuid, row in database.tables[name].rows.items():
                was = before.matches is None or before.matches(row)
                now = table.matches is None or table.matches(row)
                text = ""
                if was and not now:
                    text = _update2(table._replace(matches=None), row, None)
                elif now and not was:
                    text = _update2(table._replace(matches=None), None, row)
                if text:
                    rows.append(f'"{uuid}":{text}')
            if rows:
                parts.append(f'"{name}":{{{",".join(rows)}}}')
        return "{" + ",".join(parts) + "}" if parts else ""


def _row_text(columns: Iterable[Watched], row: Row) -> str:
    return (
        "{"
        + ",".join([f'"{column.name}":{column.write(value(row, column.place))}' for column in columns])
        + "}"
    )


def _changed_text(columns: Iterable[Watched], row: Row) -> str:
    """A row without the columns that have their default."""
    parts = []
    for column in columns:
        datum = value(row, column.place)
        if datum != column.default:
            parts.append(f'"{column.name}":{column.write(datum)}')
    return "{" + ",".join(parts) + "}"


def _update1(table: TableMonitor, old: Row | None, new: Row | None) -> str:
    """A <row-update>."""
    if old is None or new is None:
        kind, row, member = (INSERT, new, "new") if old is None else (DELETE, old, "old")
        if row is None or not table.select & kind:
            return ""
        columns = [column for column in table.columns if column.select & kind]
        return f'{{"{member}":{_row_text(columns, row)}}}'
    if not table.select & MODIFY:
        return ""
    columns = [column for column in table.columns if column.select & MODIFY]
    if not _touched(table, old, new):
        return ""
    changed = [column for column in columns if value(old, column.place) != value(new, column.place)]
    return f'{{"new":{_row_text(columns, new)},"old":{_row_text(changed, old)}}}'


def _update2(table: TableMonitor, old: Row | None, new: Row | None) -> str:
    """A <row-update2>.  A row that a condition begins or ceases to match is inserted or deleted."""
    matches = table.matches
    if matches is not None:
        old = old if old is not None and matches(old) else None
        new = new if new is not None and matches(new) else None
    if new is None:
        return '{"delete":null}' if old is not None and table.select & DELETE else ""
    if old is None:
        if not table.select & INSERT:
            return ""
        columns = [column for column in table.columns if column.select & INSERT]
        return f'{{"insert":{_changed_text(columns, new)}}}'
    if not table.select & MODIFY:
        return ""
    parts = []
    for column in table.columns:
        if column.select & MODIFY:
            before, after = value(old, column.place), value(new, column.place)
            if before != after:
                parts.append(f'"{column.name}":{column.write(difference(column.type, before, after))}')
    if not parts and not _touched(table, old, new):
        return ""
    return f'{{"modify":{{{",".join(parts)}}}}}'


def _touched(table: TableMonitor, old: Row, new: Row) -> bool:
    """Whether any monitored column changed.  As in the originals, one that is not selected for "modify" makes
    an update, too, in which it does not stand."""
    return any(value(old, column.place) != value(new, column.place) for column in table.columns)


def merge(into: Changes, changes: Changes) -> None:
    """Adds later changes to earlier ones: the first old row and the last new one remain."""
    for name, rows in changes.items():
        table = into.setdefault(name, {})
        for uuid, (old, new) in rows.items():
            before = table.get(uuid)
            if before is not None:
                old = before[0]
            if old is None and new is None:
                table.pop(uuid, None)
            else:
                table[uuid] = Change(old, new)
