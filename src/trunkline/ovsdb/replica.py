"""A client's copy of a part of a database, kept up to date by its server.

Sans-I/O: bytes come in by `receive`, bytes to send wait in `take_output`, and the driver tells when the
connection came and went.  The replica asks for the tables and columns it was told (`Interest`), by the
best monitor that the server has: with ``monitor_cond_since`` a reconnection brings only what was missed.
Whatever the way, the program sees one thing: rows by table, and a list of changes since it last asked.  A
lost connection keeps the rows; the first whole answer after it shows the differences, and nothing when
there are none.

========================  =========================  ==========================================
what was sent             answer                     then
========================  =========================  ==========================================
get_schema                the server's schema        lock (if wanted), monitor of what both know
monitor_cond_since        [found, id, updates]       synchronized; update3 follow
  "unknown method"        ->                         monitor_cond, then monitor
transact                  results or an error        an Outcome
lock                      {"locked": ...}            `has_lock`; "locked" and "stolen" follow
========================  =========================  ==========================================
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from trunkline.base.json import Json, JsonError, JsonStream
from trunkline.jsonrpc.asking import Asking
from trunkline.jsonrpc.message import ErrorReply, Message, MessageError, Notification, Reply, Request, message
from trunkline.ovsdb.rows import Malformed, Row, RowType, Transaction, Uuid
from trunkline.ovsdb.schema import Schema

ZERO: Final = "00000000-0000-0000-0000-000000000000"
_METHODS: Final = ("monitor_cond_since", "monitor_cond", "monitor")  # the best first


class Interest(NamedTuple):
    """What to copy of a table: all columns or some, all rows or those that match `where` (RFC 7047, 5.1)."""

    table: str
    columns: tuple[str, ...] | None = None
    where: Sequence[Json] | None = None


class Change(NamedTuple):
    """A row that came (`old` is None), went (`new` is None) or changed."""

    table: str
    uuid: Uuid
    old: Row | None
    new: Row | None


Status = Literal["success", "error", "try_again", "not_locked"]


class Outcome(NamedTuple):
    """How the transaction `token` ended.

    "try_again": a wait failed, or the connection went before the answer (then it may have been committed).
    `results` are the operations' results; `error` is the first error object, if there is one.
    """

    token: int
    status: Status
    results: tuple[Json, ...]
    error: Json


class ReplicaError(Exception):
    """The server does not serve what is needed, or breaks the protocol; the connection must be closed."""


class Replica(Asking):
    """See the module's text.  `indexes` are (table, column) pairs that `find` looks up.

    `lock` names a lock to hold; transactions are then refused with "not_locked" unless it is held.
    """

    def __init__(
        self,
        schema: Schema,
        interests: Iterable[Interest],
        *,
        indexes: Iterable[tuple[str, str]] = (),
        lock: str | None = None,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.synchronized = False  # whether the rows are the server's, as far as is known
        self.has_lock = False
        self.lock_contended = False
        self.connected = False
        self._interests = {interest.table: interest for interest in interests}
        self._types = {table: RowType(schema.tables[table]) for table in self._interests}
        self._rows: dict[str, dict[Uuid, Row]] = {table: {} for table in self._interests}
        self._indexes: dict[tuple[str, str], dict[Any, dict[Uuid, Row]]] = {pair: {} for pair in indexes}
        self._index_columns: dict[str, list[str]] = {}
        for table, column in self._indexes:
            self._index_columns.setdefault(table, []).append(column)
        self._lock = lock
        self._changes: dict[tuple[str, Uuid], Change] = {}
        self._outcomes: list[Outcome] = []
        self._waiting: dict[int, str | Transaction] = {}  # request id: what it asked
        self._method = 0  # index in _METHODS
        self._last_id = ZERO
        self._parser = JsonStream()
        self._monitored: set[str] = set()
        self._server_schema: Json = {}

    # -- rows -----------------------------------------------------------------------------------------------

    def rows(self, table: str) -> Mapping[Uuid, Row]:
        """The rows of a table by uuid: a live view."""
        return MappingProxyType(self._rows[table])

    def row(self, table: str, uuid: Uuid) -> Row | None:
        return self._rows[table].get(uuid)

    def find(self, table: str, column: str, value: Any) -> tuple[Row, ...]:
        """The rows whose indexed `column` has this value."""
        return tuple(self._indexes[table, column].get(value, {}).values())

    def take_changes(self) -> list[Change]:
        """What changed since the last call, one Change a row; rows that came and went are not in it."""
        changes = [change for change in self._changes.values() if change.old != change.new]
        self._changes.clear()
        return changes

    def set_condition(self, table: str, where: Sequence[Json] | None) -> None:
        """Copies other rows of `table` from now on; the changes follow."""
        self._interests[table] = self._interests[table]._replace(where=where)
        self._last_id = ZERO
        if self.synchronized and _METHODS[self._method] != "monitor":
            request = {table: [{"where": [True] if where is None else list(where)}]}
            self._ask("monitor_cond_change", ["replica", "replica", request], "condition")

    # -- transactions ---------------------------------------------------------------------------------------

    def transact(self, transaction: Transaction) -> int:
        """Sends a transaction.  Its Outcome, with the token returned here, comes by `take_outcomes`."""
        token = self._next_id
        if self._lock is not None and not self.has_lock:
            self._next_id += 1
            self._outcomes.append(Outcome(token, "not_locked", (), None))
        elif not self.connected:
            self._next_id += 1
            self._outcomes.append(Outcome(token, "try_again", (), None))
        else:
            operations = list(transaction.operations)
            if self._lock is not None:
                operations.insert(0, {"op": "assert", "lock": self._lock})
            self._ask("transact", [self.schema.name, *operations], transaction)
        return token

    def take_outcomes(self) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def put_back(self, outcomes: list[Outcome]) -> None:
        """Outcomes that were taken and are another's."""
        self._outcomes = outcomes + self._outcomes

    # -- the connection -------------------------------------------------------------------------------------

    def connection_made(self) -> None:
        """A fresh connection: asks for everything anew."""
        self.connected = True
        self._parser = JsonStream()
        self._output.clear()
        self._method = 0
        self._ask("get_schema", [self.schema.name], "get_schema")

    def connection_lost(self) -> None:
        """The rows stay; transactions without an answer become "try_again"."""
        self.connected = self.synchronized = self.has_lock = False
        for token, what in sorted(self._waiting.items()):
            if isinstance(what, Transaction):
                self._outcomes.append(Outcome(token, "try_again", (), None))
        self._waiting.clear()
        self._output.clear()

    def receive(self, data: bytes) -> None:
        """Takes bytes from the server.  Raises ReplicaError when the connection must be closed."""
        try:
            self._parser.check()
            for value in self._parser.feed(data):
                self._take(message(value))
        except (JsonError, MessageError, Malformed, KeyError, TypeError, AttributeError) as error:
            raise ReplicaError(f"{type(error).__name__}: {error}") from error

    # -- messages -------------------------------------------------------------------------------------------

    def _ask(self, method: str, params: list[Json], what: str | Transaction) -> None:
        self._waiting[self._request(method, params)] = what

    def _take(self, item: Message) -> None:
        if isinstance(item, Notification):
            self._notified(item)
        elif isinstance(item, Request):
            self._answer(item)
        elif type(item.id) is int and item.id in self._waiting:
            what = self._waiting.pop(item.id)
            if isinstance(what, Transaction):
                self._outcomes.append(_outcome(item.id, item))
            elif isinstance(item, Reply):
                self._answered(what, item.result)
            else:
                self._refused(what, item.error)

    def _notified(self, item: Notification) -> None:
        if item.method == "update3":
            _, last_id, updates = item.params
            self._last_id = last_id
            self._apply2(updates)
        elif item.method == "update2":
            self._apply2(item.params[1])
        elif item.method == "update":
            self._apply(item.params[1])
        elif item.method in ("locked", "stolen") and list(item.params) == [self._lock]:
            self.has_lock = item.method == "locked"
            self.lock_contended = not self.has_lock
        elif item.method == "monitor_canceled":
            raise ReplicaError("the server canceled the monitor")

    def _answered(self, what: str, result: Json) -> None:
        if what == "get_schema":
            if self._lock is not None:
                self._ask("lock", [self._lock], "lock")
            self._monitored = self._known(result)
            self._server_schema = result
            self._monitor()
        elif what == "lock":
            self.has_lock = bool(result["locked"])
            self.lock_contended = not self.has_lock
        elif what == "monitor_cond_since":
            found, self._last_id, updates = result
            if found:
                self._apply2(updates)
            else:
                self._snapshot(updates, "initial")
            self.synchronized = True
        elif what in ("monitor_cond", "monitor"):
            self._snapshot(result, "initial" if what == "monitor_cond" else "new")
            self.synchronized = True

    def _refused(self, what: str, error: Json) -> None:
        if what in _METHODS and error == "unknown method" and self._method + 1 < len(_METHODS):
            self._method += 1
            self._monitor()
        elif what != "condition":
            raise ReplicaError(f"{what}: {error}")

    def _known(self, schema: Json) -> set[str]:
        """The tables of interest that the server has."""
        return {table for table in self._interests if table in schema["tables"]}

    def _monitor(self) -> None:
        method = _METHODS[self._method]
        requests: dict[str, Json] = {}
        for table, interest in self._interests.items():
            if table not in self._monitored:
                continue
            columns = self._types[table].columns if interest.columns is None else interest.columns
            there = self._server_schema["tables"][table]["columns"]
            request: dict[str, Json] = {"columns": [name for name in columns if name in there]}
            if interest.where is not None and method != "monitor":
                request["where"] = list(interest.where)
            requests[table] = [request]
        params: list[Json] = [self.schema.name, "replica", requests]
        if method == "monitor_cond_since":
            params.append(self._last_id)
        self._ask(method, params, method)

    # -- updates --------------------------------------------------------------------------------------------

    def _snapshot(self, updates: Json, member: str) -> None:
        """Everything anew: what is not in it is gone."""
        for table, rows in self._rows.items():
            fresh = updates.get(table, {})
            for uuid in [uuid for uuid in rows if uuid not in fresh]:
                self._put(table, uuid, None)
            for uuid, update in fresh.items():
                self._put(table, uuid, self._types[table].row(uuid, update[member]))

    def _apply2(self, updates: Json) -> None:
        """<table-updates2> (ovsdb-server(7), 4.1.14)."""
        for table, rows in updates.items():
            type_ = self._types[table]
            for uuid, update in rows.items():
                for kind, json in update.items():
                    if kind == "delete":
                        self._put(table, uuid, None)
                    elif kind == "modify":
                        self._put(table, uuid, type_.modified(self._rows[table][uuid], json))
                    else:
                        self._put(table, uuid, type_.row(uuid, json))

    def _apply(self, updates: Json) -> None:
        """<table-updates> (RFC 7047, 4.1.6)."""
        for table, rows in updates.items():
            for uuid, update in rows.items():
                new = update.get("new")
                self._put(table, uuid, None if new is None else self._types[table].row(uuid, new))

    def _put(self, table: str, uuid: Uuid, new: Row | None) -> None:
        rows = self._rows[table]
        old = rows.get(uuid)
        if old == new:
            return
        if new is None:
            del rows[uuid]
        else:
            rows[uuid] = new
        key = (table, uuid)
        before = self._changes.get(key)
        self._changes[key] = Change(table, uuid, before.old if before is not None else old, new)
        for column in self._index_columns.get(table, ()):
            index = self._indexes[table, column]
            if old is not None:
                value = getattr(old, column)
                bucket = index[value]
                del bucket[uuid]
                if not bucket:
                    del index[value]
            if new is not None:
                index.setdefault(getattr(new, column), {})[uuid] = new


def _outcome(token: int, item: Reply | ErrorReply) -> Outcome:
    if isinstance(item, ErrorReply):
        return Outcome(token, "error", (), item.error)
    results = tuple(item.result)
    error = next((result for result in results if type(result) is dict and "error" in result), None)
    if error is None:
        return Outcome(token, "success", results, None)
    status: Status = "error"
    if error["error"] in ("timed out", "aborted"):
        status = "try_again"
    elif error["error"] == "not owner":
        status = "not_locked"
    return Outcome(token, status, results, error)
