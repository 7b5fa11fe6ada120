"""A database as a server hosts it: the data, its history, who watches it and what waits for it.

A commit runs through here: once stored (written to the file by the driver) it is applied, kept in the history
(so that a client that reconnects gets only what it missed), and composed once for each shape of monitor.
Transaction ids are random, so one from another run, from before a restore or a conversion, is never found.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from trunkline.base.json import Json, dumps
from trunkline.ovsdb.commit import datum_words
from trunkline.ovsdb.database import Changes, Database
from trunkline.ovsdb.monitor import Shape, TableMonitor, merge, shape_key

HISTORY: Final = 100  # transactions kept
HISTORY_ROWS: Final = 20_000  # and rows in them
ZERO: Final = "00000000-0000-0000-0000-000000000000"


Forward = Callable[[str, list[Json], Callable[[Json, Json], None], Callable[[], bool]], None]
"""Takes a method, its parameters, what to call with result and error, and whether the client is there yet."""


class Past(NamedTuple):
    txn_id: str
    changes: Changes
    rows: int


class Hosted:
    """One database of a server.  `logged` says that commits are to be stored in a file.

    A relay's database is there (`available`) from the first contact with its source, and `connected` while
    there is contact; `forward` passes requests on to it.
    """

    __slots__ = (
        "_new_id",
        "_schema_text",
        "available",
        "connected",
        "converting",
        "database",
        "forward",
        "generation",
        "history",
        "history_rows",
        "last_id",
        "logged",
        "name",
        "read_only",
        "shapes",
        "told_tables",
    )

    def __init__(
        self, database: Database, new_id: Callable[[], str], *, logged: bool, read_only: bool
    ) -> None:
        self.name = database.schema.name
        self.database = database
        self.logged = logged
        self.read_only = read_only  # for clients
        self.generation = 0
        self.shapes: dict[str, Shape] = {}
        self.history: deque[Past] = deque()
        self.history_rows = 0
        self.last_id = new_id()
        self.available = True
        self.connected = True
        self.converting = False  # who wants to change it waits
        self.forward: Forward | None = None
        self.told_tables: set[str] = set()  # whose changes the log is told (ovsdb-server/tlog-set)
        self._new_id = new_id
        self._schema_text = ""

    @property
    def schema_text(self) -> str:
        if not self._schema_text:
            self._schema_text = dumps(self.database.schema.to_json())
        return self._schema_text

    def commit(self, changes: Changes, txn_id: str = "") -> None:
        """Applies what a transaction changed.  The updates of the shapes are the caller's next step.

        `txn_id`: the id that it has already, with the server that it was committed by.
        """
        self.database.apply(changes)
        self.generation += 1
        self.last_id = txn_id or self._new_id()
        rows = sum(map(len, changes.values()))
        self.history.append(Past(self.last_id, changes, rows))
        self.history_rows += rows
        while self.history and (len(self.history) > HISTORY or self.history_rows > HISTORY_ROWS):
            self.history_rows -= self.history.popleft().rows

    def since(self, txn_id: str) -> Changes | None:
        """All that changed after the transaction `txn_id`; None when the history does not reach so far."""
        if txn_id == self.last_id:
            return {}
        found = None
        for place, past in enumerate(self.history):
            if past.txn_id == txn_id:
                found = place
        if found is None:
            return None
        merged: Changes = {}
        for place, past in enumerate(self.history):
            if place > found:
                merge(merged, past.changes)
        return merged

    def shape(self, version: int, tables: dict[str, TableMonitor]) -> Shape:
        """The shape of a monitor; one that is there already when it is the same."""
        key = shape_key(self.name, version, tables)
        shape = self.shapes.get(key)
        if shape is None:
            shape = self.shapes[key] = Shape(key, version, tables)
        return shape

    def leave(self, shape: Shape, member: object) -> None:
        """A monitor goes; the last one takes its shape with it."""
        shape.members.pop(member, None)
        if not shape.members:
            self.shapes.pop(shape.key, None)

    def replace(self, database: Database) -> None:
        """Another database in its place (a conversion): the history ends."""
        self.database = database
        self.history.clear()
        self.history_rows = 0
        self.last_id = self._new_id()
        self.generation += 1
        self._schema_text = ""


def server_row(hosted: Hosted) -> dict[str, Json]:
    """The row of the _Server database's table Database (ovsdb-server(5))."""
    relay = hosted.forward is not None
    return {
        "name": hosted.name,
        "model": "relay" if relay else "standalone",
        "schema": hosted.schema_text if hosted.available else ["set", []],
        "connected": hosted.connected,
        "leader": not relay,
    }


def told(hosted: Hosted, changes: Changes) -> Iterator[str]:
    """A line for each changed row of the tables that ``ovsdb-server/tlog-set`` named."""
    for name, rows in changes.items():
        if name not in hosted.told_tables:
            continue
        for old, new in rows.values():
            row = old if new is None else new
            assert row is not None
            kind = "deleted" if new is None else "inserted" if old is None else "updated"
            layout = row.layout
            columns = [
                f"{column}:{datum_words(type_, value)}"
                for column, type_, value in zip(layout.columns, layout.types, row.values)
            ]
            ids = f"_uuid:{row.uuid},_version:{row.version}"
            yield ",".join([f"table:{name},op:{kind}", ids, *columns])
