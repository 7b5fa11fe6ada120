"""A transaction while it runs: what it has changed so far, laid over rows that stay as they are.

The operations of a transaction (transaction.py) put their rows here, see those of one another, and leave the
database alone; the rules of the schema (commit.py) are applied to the whole at the end.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.conditions import Where
from trunkline.ovsdb.database import Database, Key, Layout, Row, TableState, key_of
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.rbac import Access, applies, check


class Overlay:
    """What a transaction has changed of one table; `rows` holds new rows, and None for deleted ones."""

    __slots__ = ("_indexes", "rows", "state")

    def __init__(self, state: TableState) -> None:
        self.state: Final = state
        self.rows: Final[dict[Uuid, Row | None]] = {}
        self._indexes: Final[dict[int, dict[Key, dict[Uuid, None]]]] = {}  # made at first use

    def get(self, uuid: Uuid) -> Row | None:
        rows = self.rows
        return rows[uuid] if uuid in rows else self.state.rows.get(uuid)

    def all(self) -> Iterator[Row]:
        rows = self.rows
        if not rows:
            yield from self.state.rows.values()
            return
        for uuid, row in self.state.rows.items():
            if uuid not in rows:
                yield row
        for changed in rows.values():
            if changed is not None:
                yield changed

    def put(self, uuid: Uuid, row: Row | None) -> None:
        for number, index in self._indexes.items():
            places = self.state.layout.indexes[number]
            before = self.rows.get(uuid)
            if before is not None:
                index[key_of(before.values, places)].pop(uuid, None)
            if row is not None:
                index.setdefault(key_of(row.values, places), {})[uuid] = None
        self.rows[uuid] = row

    def change(self, row: Row, values: tuple[Datum, ...]) -> Row:
        """Puts `values` in the place of those of `row`.  Its new version comes with the end."""
        new = Row(row.layout, row.uuid, row.version, values)
        self.put(row.uuid, new)
        return new

    def find(self, number: int, key: Key) -> Iterator[Row]:
        """The rows with `key` in index `number`; there may be several until the transaction ends."""
        uuid = self.state.indexes[number].get(key)
        if uuid is not None and uuid not in self.rows:
            yield self.state.rows[uuid]
        if self.rows:
            for changed in list(self._index(number).get(key, ())):
                row = self.rows[changed]
                if row is not None:
                    yield row

    def _index(self, number: int) -> dict[Key, dict[Uuid, None]]:
        index = self._indexes.get(number)
        if index is None:
            index = self._indexes[number] = {}
            places = self.state.layout.indexes[number]
            for uuid, row in self.rows.items():
                if row is not None:
                    index.setdefault(key_of(row.values, places), {})[uuid] = None
        return index

    def matching(self, where: Where) -> list[Row]:
        """The rows that match, by uuid or index where the conditions name one."""
        if where.never:
            return []
        equal = {column: value for column, function, value in where.conditions if function == "=="}
        candidates: Iterator[Row]
        layout = self.state.layout
        if "_uuid" in equal:
            row = self.get(equal["_uuid"][0])
            candidates = iter(() if row is None else (row,))
        else:
            candidates = self._by_index(layout, equal) if equal else self.all()
        if not where.conditions:
            return list(candidates)
        return [row for row in candidates if where.holds(row)]

    def _by_index(self, layout: Layout, equal: dict[str, Datum]) -> Iterator[Row]:
        for number, places in enumerate(layout.indexes):
            names = [layout.columns[place] for place in places]
            if all(name in equal for name in names):
                return self.find(number, tuple([equal[name] for name in names]))
        return self.all()


class Transaction:
    """A transaction while it runs; `execute` is the way in."""

    def __init__(
        self,
        database: Database,
        new_uuid: Callable[[], Uuid],
        owns_lock: Callable[[str], bool],
        waited: float,
        read_only: bool,
        access: Access | None = None,
    ) -> None:
        self.database: Final = database
        self.new_uuid: Final = new_uuid
        self.owns_lock: Final = owns_lock
        self.waited: Final = waited
        self.read_only: Final = read_only
        self.access: Final = access if applies(database, access) else None
        self.overlays: Final[dict[str, Overlay]] = {}
        self.symbols: Final[dict[str, Uuid]] = {}
        self.inserted_symbols: Final[set[str]] = set()
        self.comments: Final[list[str]] = []
        self.durable = False

    def overlay(self, table: str) -> Overlay:
        found = self.overlays.get(table)
        if found is None:
            found = self.overlays[table] = Overlay(self.database.tables[table])
        return found

    def permit(
        self, operation: str, overlay: Overlay, rows: Iterable[Row], columns: Iterable[str] = ()
    ) -> None:
        """Raises OvsdbError when the client's role forbids the operation (rbac.check)."""
        if self.access is not None:
            check(self.database, self.access, operation, overlay.state.layout, rows, columns)

    def named(self, name: str) -> Uuid:
        """What ``["named-uuid", name]`` stands for."""
        uuid = self.symbols.get(name)
        if uuid is None:
            uuid = self.symbols[name] = self.new_uuid()
        return uuid
