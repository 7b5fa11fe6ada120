"""A backup server's copy of its active server (ovsdb(7), "Active-Backup Database Service Model"), sans-I/O.

`Follower` speaks as a client to the active server.  One conversation:

    we ask            it answers            what follows
    ----------------  --------------------  -----------------------------------------------------------
    get_server_id     an id                 our own: an error, a server does not follow itself
    list_dbs          names                 those that we have too
    get_schema        a schema of each      another version: can ours hold all its columns?
    monitor           all rows of each      ours become the same, in one transaction
                      updates               one transaction each

Rows keep their uuids.  What comes must obey our schema like any transaction: if an excluded table is one that
others refer to, replication ends with an error, and the server is active again, as the original does it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from trunkline.base.json import Json, JsonError, JsonStream
from trunkline.base.log import Logger
from trunkline.jsonrpc.asking import Asking
from trunkline.jsonrpc.message import ErrorReply, MessageError, Notification, Reply, Request, message
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.commit import settle
from trunkline.ovsdb.database import Changes, Database, Layout, Row
from trunkline.ovsdb.datum import datum_from_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.overlay import Transaction
from trunkline.ovsdb.schema import Schema

Excluded = Mapping[str, frozenset[str]]
"""The tables that are not copied, by database."""


class ReplicationError(Exception):
    """Replication cannot go on, however often one connects; the text is for the log."""


class BrokenConversation(Exception):
    """The peer does not speak the protocol: the connection is to be closed and tried again."""


def parse_excluded(text: str) -> dict[str, frozenset[str]]:
    """``db:table,db:table`` as --sync-exclude-tables has it; a database without a table excludes nothing, and
    what begins with a colon is all database."""
    found: dict[str, set[str]] = {}
    for word in text.replace(",", " ").split():
        database, _, table = (word, "", "") if word[0] == ":" else word.partition(":")
        found.setdefault(database, set()).add(table)
    return {database: frozenset(tables) for database, tables in found.items()}


def excluded_text(excluded: Excluded) -> str:
    """The tables again, sorted."""
    return ",".join(
        f"{database}:{table}" for database in sorted(excluded) for table in sorted(excluded[database])
    )


class Follower(Asking):
    """The conversation over one connection.

    `databases` are those that this server has; `commit` carries out what a database has to change, and may
    raise OvsdbError.  Feed `receive`, send what `take_output` gives.
    """

    def __init__(
        self,
        server_id: str,
        databases: Mapping[str, Database],
        excluded: Excluded,
        *,
        new_uuid: Callable[[], Uuid],
        commit: Callable[[str, Changes], None],
        log: Logger,
    ) -> None:
        super().__init__()
        self.replicating: Final[dict[str, None]] = {}
        self._server_id = server_id
        self._databases = databases
        self._excluded = excluded
        self._new_uuid = new_uuid
        self._commit = commit
        self._log = log
        self._parser = JsonStream()
        self._expected: dict[int, tuple[str, str]] = {}  # id of a request: method and database
        self._candidates: set[str] = set()  # databases whose schemas have been asked for
        self._ask("get_server_id", [])

    @property
    def established(self) -> bool:
        """Whether every database that is to be copied is."""
        return bool(self.replicating) and not self._expected

    def receive(self, data: bytes) -> None:
        """Raises ReplicationError, BrokenConversation."""
        try:
            for value in self._parser.feed(data):
                self._take(message(value))
            self._parser.check()
        except (JsonError, MessageError) as error:
            raise BrokenConversation(str(error)) from None
        except OvsdbError as error:
            raise ReplicationError(f"unexpected ovsdb error: {error}") from None

    def _ask(self, method: str, params: list[Json], database: str = "") -> None:
        self._expected[self._request(method, params)] = (method, database)

    def _take(self, item: object) -> None:
        if isinstance(item, Request):
            self._answer(item)
        elif isinstance(item, Notification):
            if item.method == "update" and len(item.params) == 2 and item.params[0] in self.replicating:
                self._update(item.params[0], item.params[1])
        elif isinstance(item, (Reply, ErrorReply)) and type(item.id) is int:
            method, database = self._expected.pop(item.id, ("", ""))
            if isinstance(item, ErrorReply):
                raise BrokenConversation(f"{method}: {item.error}")
            if method:
                _ANSWERS[method](self, database, item.result)

    def _server_id_came(self, _: str, result: Json) -> None:
        if result == self._server_id:
            text = "Server ID check failed: Self replicating is not allowed"
            raise ReplicationError(f"unexpected ovsdb error: {text}")
        self._ask("list_dbs", [])

    def _databases_came(self, _: str, result: Json) -> None:
        if type(result) is not list:
            raise BrokenConversation("list_dbs: array expected")
        for name in result:
            if type(name) is str and name in self._databases:
                self._candidates.add(name)
                self._ask("get_schema", [name], name)

    def _schema_came(self, name: str, result: Json) -> None:
        theirs = Schema.from_json(result)
        self._candidates.discard(name)
        if self._can_replicate(self._databases[name].schema, theirs):
            excluded = self._excluded.get(name, frozenset())
            tables: dict[str, Json] = {table: [{}] for table in theirs.tables if table not in excluded}
            self._ask("monitor", [name, name, tables], name)
        elif not self._candidates and not self._expected and not self.replicating:
            self._log.warn("Nothing to replicate.")
            raise ReplicationError("")

    def _can_replicate(self, ours: Schema, theirs: Schema) -> bool:
        if ours.version == theirs.version:
            return True
        name = ours.name
        excluded = self._excluded.get(name, frozenset())
        self._log.info("Schema version mismatch, checking if %s can still be replicated or not.", name)
        for table in theirs.tables.values():
            if table.name in excluded:
                continue
            own = ours.tables.get(table.name)
            if own is None:
                self._log.info("Table %s not present in the local db schema", table.name)
            missing = "" if own is None else next((c for c in table.columns if c not in own.columns), "")
            if missing:
                text = "Column %s not present in the local db schema table %s."
                self._log.info(text, missing, table.name)
            if own is None or missing:
                self._log.info("%s cannot be replicated.", name)
                return False
        self._log.info("%s can be replicated.", name)
        return True

    def _rows_came(self, name: str, result: Json) -> None:
        self._log.info("Monitor request received. Resetting the database")
        database = self._databases[name]
        excluded = self._excluded.get(name, frozenset())
        self._commit(name, changes_to(database, result, excluded, self._new_uuid))
        self.replicating[name] = None

    def _update(self, name: str, updates: Json) -> None:
        self._commit(name, changes_of_update(self._databases[name], updates, self._new_uuid))


_ANSWERS: Final[dict[str, Callable[[Follower, str, Json], None]]] = {
    "get_server_id": Follower._server_id_came,
    "list_dbs": Follower._databases_came,
    "get_schema": Follower._schema_came,
    "monitor": Follower._rows_came,
}


def _transaction(database: Database, new_uuid: Callable[[], Uuid]) -> Transaction:
    return Transaction(database, new_uuid, lambda _: True, 0.0, False)


def changes_to(
    database: Database, updates: Json, excluded: frozenset[str], new_uuid: Callable[[], Uuid]
) -> Changes:
    """What makes the contents those of <table-updates> with all rows, but for excluded tables.

    Raises OvsdbError.
    """
    transaction = _transaction(database, new_uuid)
    for name, state in database.tables.items():
        if name not in excluded:
            wanted = updates.get(name, {})
            overlay = transaction.overlay(name)
            for uuid in state.rows:
                if uuid not in wanted:
                    overlay.put(uuid, None)
    _put(transaction, updates)
    return settle(transaction)


def changes_of_update(database: Database, updates: Json, new_uuid: Callable[[], Uuid]) -> Changes:
    """What the <table-updates> of a notification change.  Raises OvsdbError."""
    transaction = _transaction(database, new_uuid)
    _put(transaction, updates)
    return settle(transaction)


def _put(transaction: Transaction, updates: Json) -> None:
    for name, rows in updates.items():
        if name not in transaction.database.tables:
            raise OvsdbError("unknown table", f"No table named {name}.")
        overlay = transaction.overlay(name)
        layout = overlay.state.layout
        for uuid, update in rows.items():
            new = update.get("new")
            if new is None:
                overlay.put(uuid, None)
                continue
            old = overlay.get(uuid)
            values = _values(layout, old, new)
            if old is None or values != old.values:
                overlay.put(uuid, Row(layout, uuid, transaction.new_uuid(), values))


def _values(layout: Layout, old: Row | None, new: Mapping[str, Json]) -> tuple[Any, ...]:
    values = list(layout.defaults if old is None else old.values)
    for column, json in new.items():
        place = layout.places.get(column)
        if place is not None:
            values[place] = datum_from_json(layout.types[place], json)
        elif column != "_version":
            raise OvsdbError("unknown column", f"No column {column} in table {layout.name}.")
    return tuple(values)
