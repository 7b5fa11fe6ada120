"""A database in memory: tables of immutable rows, with what makes every look-up cost the same at any size.

A row never changes: a commit puts another row in its place.  So whoever holds a row, or a `snapshot` of all
rows, may read it for as long as it likes (a dump to a slow client, a compaction) while transactions go on; a
table copies its dictionary only when it is written to while a snapshot of it is out.

Beside its rows a table keeps what checks need, updated by each commit and never recomputed:

- for each index of the schema, a dictionary from the indexed values to the row;
- for each row, how many strong references other rows hold to it, and which rows refer to it weakly.

A commit has two steps.  `transaction.execute` finds out what a transaction would change, by every rule of the
schema, and changes nothing.  The caller may then write that to the log, and only when this succeeded calls
`apply`.  In between no other transaction may be executed.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from trunkline.ovsdb.atoms import DEFAULT, AtomicType, Uuid
from trunkline.ovsdb.datum import Datum, default
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.schema import Schema, Table

Key = tuple[Datum, ...]
"""The values of the columns of an index."""


class Row:
    """One version of one row; never changed.  `values` are in the order of `layout.columns`.

    ``row["name"]`` is the datum of a column, ``_uuid`` and ``_version`` too (KeyError when there is none).
    """

    __slots__ = ("layout", "uuid", "values", "version")

    def __init__(self, layout: "Layout", uuid: Uuid, version: Uuid, values: tuple[Datum, ...]) -> None:
        self.layout = layout
        self.uuid = uuid
        self.version = version
        self.values = values

    def __getitem__(self, column: str) -> Datum:
        place = self.layout.places.get(column)
        if place is not None:
            return self.values[place]
        if column == "_uuid":
            return (self.uuid,)
        if column == "_version":
            return (self.version,)
        raise KeyError(column)


class Change(NamedTuple):
    """A row that came (`old` is None), went (`new` is None) or changed."""

    old: Row | None
    new: Row | None


Changes = dict[str, dict[Uuid, Change]]
"""What a transaction changes, by table and uuid; only rows whose values differ."""


class Reference(NamedTuple):
    """A column that refers to rows of other tables.  `key` and `value` name the tables, or are None."""

    place: int
    column: str
    key: str | None
    value: str | None
    is_map: bool

    def targets(self, datum: Datum) -> Iterator[tuple[str, Uuid]]:
        """(table, uuid) of each reference in a value of the column."""
        if not self.is_map:
            table = self.key
            assert table is not None
            for atom in datum:
                yield table, atom
            return
        for key, value in datum:
            if self.key is not None:
                yield self.key, key
            if self.value is not None:
                yield self.value, value


class Layout:
    """What follows from the schema of one table."""

    __slots__ = (
        "columns", "defaults", "indexes", "is_root", "name", "persistent", "places", "refused", "strong",
        "table", "types", "types_by_name", "weak",
    )  # fmt: skip

    def __init__(self, table: Table, is_root: bool) -> None:
        self.table: Final = table
        self.name: Final = table.name
        self.is_root: Final = is_root
        self.columns: Final = tuple(name for name in table.columns if not name.startswith("_"))
        self.types: Final = tuple(table.columns[name].type for name in self.columns)
        self.types_by_name: Final = dict(zip(self.columns, self.types, strict=True))
        self.persistent: Final = tuple(not table.columns[name].ephemeral for name in self.columns)
        self.places: Final = {name: place for place, name in enumerate(self.columns)}
        self.defaults: Final = tuple(default(type_) for type_ in self.types)
        self.refused: Final = tuple(self._refused_defaults())
        """Columns whose default their own type refuses, and why: an insert has to mention them."""
        self.strong: Final = self._references("strong")
        self.weak: Final = self._references("weak")
        self.indexes: Final = tuple(tuple(self.places[name] for name in index) for index in table.indexes)

    def _refused_defaults(self) -> Iterator[tuple[str, str]]:
        for name in sorted(self.columns):
            type_ = self.types[self.places[name]]
            for base in (type_.key, type_.value) if type_.min else ():
                try:
                    if base is not None:
                        base.check(DEFAULT[base.type])
                except OvsdbError as error:
                    yield name, error.details
                    break

    def _references(self, kind: str) -> tuple[Reference, ...]:
        found = []
        for place, type_ in enumerate(self.types):
            bases = (type_.key, type_.value)
            tables = [
                base.ref_table
                if base is not None and base.type is AtomicType.UUID and base.ref_type == kind
                else None
                for base in bases
            ]
            if any(tables):
                found.append(
                    Reference(place, self.columns[place], tables[0], tables[1], type_.value is not None)
                )
        return tuple(found)

    def strong_targets(self, row: Row) -> Iterator[tuple[str, Uuid]]:
        """Strong references of a row to others than itself."""
        for reference in self.strong:
            datum = row.values[reference.place]
            if datum:
                for target in reference.targets(datum):
                    if target[1] != row.uuid or target[0] != self.name:
                        yield target

    def weak_targets(self, row: Row) -> Iterator[tuple[str, Uuid]]:
        for reference in self.weak:
            datum = row.values[reference.place]
            if datum:
                yield from reference.targets(datum)


class TableState:
    """The committed rows of a table and what is kept beside them.  Read freely; only `Database` writes."""

    __slots__ = ("_shared", "indexes", "layout", "references", "referrers", "rows")

    def __init__(self, layout: Layout) -> None:
        self.layout: Final = layout
        self.rows: dict[Uuid, Row] = {}
        self.indexes: Final[tuple[dict[Key, Uuid], ...]] = tuple({} for _ in layout.indexes)
        self.references: Final[dict[Uuid, int]] = {}
        self.referrers: Final[dict[Uuid, dict[tuple[str, Uuid], int]]] = {}
        self._shared = False

    def snapshot(self) -> Mapping[Uuid, Row]:
        """The rows as they are now, for good."""
        self._shared = True
        return self.rows

    def _writable(self) -> dict[Uuid, Row]:
        if self._shared:
            self.rows = self.rows.copy()
            self._shared = False
        return self.rows


class Database:
    """All tables of one schema, empty at first."""

    def __init__(self, schema: Schema) -> None:
        self.schema: Final = schema
        any_root = any(table.is_root for table in schema.tables.values())
        self.tables: Final = {
            name: TableState(Layout(table, table.is_root or not any_root))
            for name, table in schema.tables.items()
        }

    def rows(self, table: str) -> Mapping[Uuid, Row]:
        """The committed rows of a table: a live view."""
        return self.tables[table].rows

    def snapshot(self) -> dict[str, Mapping[Uuid, Row]]:
        """All rows as they are now, by table and uuid; later commits do not show in it."""
        return {name: table.snapshot() for name, table in self.tables.items()}

    def apply(self, changes: Changes) -> None:
        """Carries out what `transaction.execute` found, or what a log says (`log.changes_of`)."""
        for name, rows in changes.items():
            state = self.tables[name]
            layout = state.layout
            table = state._writable()
            for number, places in enumerate(layout.indexes):
                _reindex(state.indexes[number], places, rows)
            linked = layout.strong or layout.weak
            for uuid, (old, new) in rows.items():
                if linked:
                    if old is not None:
                        self._link(layout, old, -1)
                    if new is not None:
                        self._link(layout, new, 1)
                if new is None:
                    table.pop(uuid, None)
                else:
                    table[uuid] = new

    def _link(self, layout: Layout, row: Row, step: int) -> None:
        """Counts (`step` 1) or forgets (-1) the references that `row` holds."""
        for name, target in layout.strong_targets(row):
            counts = self.tables[name].references
            count = counts.get(target, 0) + step
            if count:
                counts[target] = count
            else:
                del counts[target]
        for name, target in layout.weak_targets(row):
            sources = self.tables[name].referrers.setdefault(target, {})
            source = (layout.name, row.uuid)
            count = sources.get(source, 0) + step
            if count:
                sources[source] = count
            else:
                del sources[source]
                if not sources:
                    del self.tables[name].referrers[target]


def key_of(values: tuple[Datum, ...], places: tuple[int, ...]) -> Key:
    return tuple([values[place] for place in places])


def _reindex(index: dict[Key, Uuid], places: tuple[int, ...], rows: dict[Uuid, Change]) -> None:
    """Old keys go before new ones come: two rows may have exchanged theirs."""
    for uuid, (old, _) in rows.items():
        if old is not None:
            key = key_of(old.values, places)
            if index.get(key) == uuid:
                del index[key]
    for uuid, (_, new) in rows.items():
        if new is not None:
            index[key_of(new.values, places)] = uuid
