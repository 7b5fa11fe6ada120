"""The database server without its sockets: sessions in, replies and updates out.

The driver (daemons/ovsdb_server.py) feeds bytes of sessions by `receive`, then calls `settle` once for all
that came in one turn of its loop.  `settle` retries transactions that wait, and leaves three things to do, in
this order: write `take_records` to the files (one fsync for the whole turn: group commit), send
`take_output`, close `take_closed`.  Nothing is sent before what it acknowledges is on disk.

Within one session the order is that of the requests, except for transactions that wait; a transaction's
update notifications precede its reply.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from trunkline.base.clock import Clock
from trunkline.base.json import Json, JsonError, JsonStream, dumps
from trunkline.jsonrpc.message import (
    ErrorReply,
    Message,
    MessageError,
    Notification,
    Reply,
    Request,
    encode,
    message,
)
from trunkline.ovsdb.database import Changes, Database
from trunkline.ovsdb.errors import OvsdbError, syntax_error
from trunkline.ovsdb.hosted import ZERO, Hosted, Record, server_row
from trunkline.ovsdb.locks import LockError, Locks, Notice
from trunkline.ovsdb.monitor import (
    Shape,
    TableMonitor,
    merge,
    parse_requests,
    parse_where_member,
)
from trunkline.ovsdb.transaction import execute

SERVER: Final = "_Server"
PROBE_INTERVAL: Final = 5.0
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_UUID_LENGTHS: Final = [8, 4, 4, 4, 12]


class Monitor:
    """One monitor of one session."""

    __slots__ = ("hosted", "id", "id_text", "method", "pending", "session", "shape")

    def __init__(self, session: "Session", hosted: Hosted, id_: Json, method: str, shape: Shape) -> None:
        self.session = session
        self.hosted = hosted
        self.id = id_
        self.id_text = dumps(id_)
        self.method = method  # of its notifications
        self.shape = shape
        self.pending: Changes = {}  # changes merged while the client does not read

    def send(self, text: str) -> None:
        """Sends <table-updates> that were composed for the shape."""
        last = f'"{self.hosted.last_id}",' if self.method == "update3" else ""
        line = f'{{"id":null,"method":"{self.method}","params":[{self.id_text},{last}{text}]}}'
        self.session.output.append(line.encode("utf-8", "surrogateescape"))

    def catch_up(self) -> None:
        if self.pending:
            text = self.shape.update(self.pending)
            self.pending = {}
            if text:
                self.send(text)


class Waiting(NamedTuple):
    """A transaction that cannot go on yet."""

    session: "Session"
    id: Json
    hosted: Hosted
    operations: list[Json]
    since: float
    until: float | None


class Session:
    """One client.  `congested` is set by the driver while the client does not take what it is sent: its
    monitors then merge what comes instead of queueing it."""

    __slots__ = (
        "aware",
        "closing",
        "congested",
        "heard",
        "monitors",
        "name",
        "output",
        "parser",
        "probe_interval",
        "probed",
        "read_only",
        "requests",
    )

    def __init__(self, name: str, *, now: float, read_only: bool, probe_interval: float) -> None:
        self.name = name
        self.parser = JsonStream()
        self.output: list[bytes] = []
        self.monitors: dict[str, Monitor] = {}
        self.aware = False  # of database changes: not disconnected for them
        self.read_only = read_only
        self.congested = False
        self.closing: str | None = None  # why the connection ends
        self.probe_interval = probe_interval  # seconds; 0 never asks
        self.heard = now
        self.probed = False
        self.requests = 0

    def reply(self, id_: Json, result: Json) -> None:
        self.output.append(encode(Reply(id_, result)))

    def reply_text(self, id_: Json, result: str) -> None:
        text = f'{{"id":{dumps(id_)},"result":{result},"error":null}}'
        self.output.append(text.encode("utf-8", "surrogateescape"))

    def error(self, id_: Json, error: Json) -> None:
        self.output.append(encode(ErrorReply(id_, error)))

    def notify(self, method: str, params: Sequence[Json]) -> None:
        self.output.append(encode(Notification(method, list(params))))

    def catch_up(self) -> None:
        for monitor in self.monitors.values():
            monitor.catch_up()


class Server:
    """All databases, sessions and locks of one server.  `new_uuid` makes random uuids.

    `convert` is the driver's: it makes the converted database, durably, or raises OvsdbError.
    """

    def __init__(self, clock: Clock, new_uuid: Callable[[], str], server_database: Database) -> None:
        self.clock = clock
        self.new_uuid = new_uuid
        self.id = new_uuid()
        self.databases: dict[str, Hosted] = {}
        self.sessions: dict[Session, None] = {}
        self.locks = Locks()
        self.read_only = False  # a backup refuses changes
        self.monitor_cond = True  # ovsdb-server/disable-monitor-cond
        self.convert: Callable[[Hosted, Json], Database] | None = None
        self.transactions = 0
        self._waiting: list[Waiting] = []
        self._retry = False
        self._dirty: dict[Session, None] = {}
        self._changed: set[str] = set()
        self._server = Hosted(server_database, new_uuid, logged=False, read_only=True)
        self._server_rows: dict[str, str] = {}
        self.databases[SERVER] = self._server
        self._describe(self._server)

    # -- databases ------------------------------------------------------------------------------------------

    def add(self, database: Database, *, logged: bool = True) -> Hosted:
        """Hosts a database.  Sessions that are not aware of such changes are closed."""
        hosted = Hosted(database, self.new_uuid, logged=logged, read_only=False)
        self.databases[hosted.name] = hosted
        self.databases = dict(sorted(self.databases.items()))
        self._describe(hosted)
        self._disconnect_unaware()
        return hosted

    def remove(self, name: str) -> Hosted:
        """Hosts it no more: its monitors and waiting transactions are canceled.  Raises KeyError."""
        hosted = self.databases.pop(name)
        self._forget(hosted)
        self._server_change([{"op": "delete", "table": "Database", "where": [["name", "==", name]]}])
        self._disconnect_unaware()
        return hosted

    def _forget(self, hosted: Hosted) -> None:
        for session in self.sessions:
            for key, monitor in list(session.monitors.items()):
                if monitor.hosted is hosted:
                    del session.monitors[key]
                    hosted.leave(monitor.shape, monitor)
                    session.notify("monitor_canceled", [monitor.id])
                    self._dirty[session] = None
        for waiting in [waiting for waiting in self._waiting if waiting.hosted is hosted]:
            self._cancel(waiting)

    def _describe(self, hosted: Hosted) -> None:
        self._server_change([{"op": "insert", "table": "Database", "row": server_row(hosted)}])

    def _server_change(self, operations: list[Json]) -> None:
        done = execute(self._server.database, operations, new_uuid=self.new_uuid, owns_lock=lambda _: False)
        assert done.changes is not None, done.results
        self._commit(self._server, done.changes, "", False)

    def _disconnect_unaware(self) -> None:
        for session in self.sessions:
            if not session.aware:
                self.close(session, "a database was added, removed or converted")

    def reconnect(self) -> None:
        """Closes all connections (``ovsdb-server/reconnect``)."""
        for session in self.sessions:
            self.close(session, "reconnect was asked for")

    # -- sessions -------------------------------------------------------------------------------------------

    def connect(
        self, name: str, *, read_only: bool = False, probe_interval: float = PROBE_INTERVAL
    ) -> Session:
        session = Session(
            name, now=self.clock.monotonic(), read_only=read_only, probe_interval=probe_interval
        )
        self.sessions[session] = None
        return session

    def disconnect(self, session: Session) -> None:
        """The connection is gone."""
        if self.sessions.pop(session, self) is self:
            return
        for monitor in session.monitors.values():
            monitor.hosted.leave(monitor.shape, monitor)
        session.monitors.clear()
        self._waiting = [waiting for waiting in self._waiting if waiting.session is not session]
        self._tell(self.locks.end(session))
        self._dirty.pop(session, None)

    def close(self, session: Session, reason: str) -> None:
        """The driver is to close the connection, after what was sent."""
        if session.closing is None:
            session.closing = reason
            self._dirty[session] = None

    def receive(self, session: Session, data: bytes) -> None:
        """Takes bytes of a client.  Whatever they are, only this session can suffer."""
        if session.closing is not None:
            return
        session.heard = self.clock.monotonic()
        session.probed = False
        self._dirty[session] = None
        try:
            values = session.parser.feed(data)
            for value in values:
                self._take(session, message(value))
                if session.closing is not None:
                    return
            session.parser.check()
        except JsonError as error:
            self.close(session, f"error parsing stream: {error}")
        except MessageError as error:
            self.close(session, f"received bad JSON-RPC message: {error}")

    def _take(self, session: Session, item: Message) -> None:
        if isinstance(item, Request):
            session.requests += 1
            if session.congested:
                session.catch_up()
            handler = _METHODS.get(item.method)
            if handler is None or (item.method in _CONDITIONAL and not self.monitor_cond):
                session.error(item.id, "unknown method")
                return
            try:
                handler(self, session, item)
            except OvsdbError as error:
                session.error(item.id, error.to_json())
        elif isinstance(item, Notification):
            if item.method == "cancel" and len(item.params) == 1:
                self._cancel_request(session, item.params[0])
        elif item.id != "echo":
            kind = "reply" if isinstance(item, Reply) else "error"
            self.close(session, f"received unexpected {kind} message")

    # -- the turn of the loop -------------------------------------------------------------------------------

    def settle(self) -> None:
        """After the input of one turn: retries what waits for changes, locks or time."""
        now = self.clock.monotonic()
        while self._retry or any(w.until is not None and w.until <= now for w in self._waiting):
            self._retry = False
            waiting, self._waiting = self._waiting, []
            for item in waiting:
                self._run(item)
        for session in self.sessions:
            if not session.congested and any(monitor.pending for monitor in session.monitors.values()):
                session.catch_up()
                self._dirty[session] = None

    def tick(self) -> None:
        """Asks silent clients for a sign of life, and closes those that gave none."""
        now = self.clock.monotonic()
        for session in self.sessions:
            if session.probe_interval and now >= session.heard + session.probe_interval:
                if not session.probed:
                    session.probed = True
                    session.output.append(encode(Request("echo", [], "echo")))
                    self._dirty[session] = None
                elif now >= session.heard + 2 * session.probe_interval:
                    self.close(session, "no response to inactivity probe")

    def deadline(self) -> float | None:
        """When `settle` or `tick` will have something to do by themselves (monotonic seconds)."""
        times = [waiting.until for waiting in self._waiting if waiting.until is not None]
        for session in self.sessions:
            if session.probe_interval:
                times.append(session.heard + session.probe_interval * (2 if session.probed else 1))
        return min(times, default=None)

    def take_records(self) -> list[tuple[Hosted, list[Record]]]:
        """What is to be written before any output is sent."""
        found = []
        for hosted in self.databases.values():
            if hosted.records:
                found.append((hosted, hosted.records))
                hosted.records = []
        return found

    def take_output(self) -> list[tuple[Session, bytes]]:
        """What is to be sent, per session."""
        found = []
        for session in self._dirty:
            if session.output:
                found.append((session, b"".join(session.output)))
                session.output.clear()
        self._dirty = {session: None for session in self._dirty if session.closing is not None}
        return found

    def take_closed(self) -> list[Session]:
        """The sessions to close now; `closing` says why."""
        closed = [session for session in self._dirty if session.closing is not None]
        self._dirty.clear()
        return closed

    def take_changed(self) -> set[str]:
        """The databases that changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    # -- transactions ---------------------------------------------------------------------------------------

    def transact(self, name: str, operations: list[Json]) -> list[Json]:
        """A transaction of the server's own (status columns): never waits, is logged like any other."""
        hosted = self.databases[name]
        done = execute(hosted.database, operations, new_uuid=self.new_uuid, owns_lock=lambda _: True)
        if done.changes:
            self._commit(hosted, done.changes, done.comment, done.durable)
        return done.results

    def _run(self, item: Waiting) -> None:
        """Tries a transaction; answers it, or lets it wait on."""
        session, hosted = item.session, item.hosted
        done = execute(
            hosted.database,
            item.operations,
            new_uuid=self.new_uuid,
            owns_lock=lambda name: self.locks.owner(name) is session,
            waited=self.clock.monotonic() - item.since,
            read_only=self.read_only or session.read_only or hosted.read_only,
        )
        if done.blocked:
            until = None if done.timeout is None else self.clock.monotonic() + done.timeout
            self._waiting.append(item._replace(until=until))
            return
        if done.changes:
            self._commit(hosted, done.changes, done.comment, done.durable)
        self.transactions += 1
        if session.congested:
            session.catch_up()
        results = _reserved(done.results, hosted) if hosted.read_only else done.results
        session.reply(item.id, results)
        self._dirty[session] = None

    def _commit(self, hosted: Hosted, changes: Changes, comment: str, durable: bool) -> None:
        hosted.commit(changes, comment, durable)
        self._retry = True
        self._changed.add(hosted.name)
        for shape in list(hosted.shapes.values()):
            shape.forget()
            text: str | None = None
            for member in shape.members:
                assert isinstance(member, Monitor)
                if member.session.congested:
                    merge(member.pending, changes)
                    continue
                if text is None:
                    text = shape.update(changes)
                if text:
                    member.send(text)
                    self._dirty[member.session] = None

    def _cancel_request(self, session: Session, id_: Json) -> None:
        for waiting in self._waiting:
            if waiting.session is session and waiting.id == id_:
                self._cancel(waiting)
                return

    def _cancel(self, waiting: Waiting) -> None:
        self._waiting.remove(waiting)
        waiting.session.error(waiting.id, "canceled")
        self._dirty[waiting.session] = None

    def _tell(self, notices: list[Notice]) -> None:
        for notice in notices:
            assert isinstance(notice.session, Session)
            notice.session.notify(notice.method, [notice.name])
            self._dirty[notice.session] = None
        if notices:
            self._retry = True

    # -- methods --------------------------------------------------------------------------------------------

    def _hosted(self, request: Request) -> Hosted:
        """The database that a request names first."""
        params = list(request.params)
        if not params or type(params[0]) is not str:
            text = f"{request.method} request params must begin with <db-name>"
            raise syntax_error(params, text)
        hosted = self.databases.get(params[0])
        if hosted is None:
            text = f"{request.method} request specifies unknown database {params[0]}"
            raise OvsdbError("unknown database", text, dumps(params, sort_keys=True))
        return hosted

    def _echo(self, session: Session, request: Request) -> None:
        session.reply(request.id, request.params)

    def _list_dbs(self, session: Session, request: Request) -> None:
        session.reply(request.id, list(self.databases))

    def _get_schema(self, session: Session, request: Request) -> None:
        session.reply_text(request.id, self._hosted(request).schema_text)

    def _get_server_id(self, session: Session, request: Request) -> None:
        session.reply(request.id, self.id)

    def _set_db_change_aware(self, session: Session, request: Request) -> None:
        if len(request.params) != 1 or type(request.params[0]) is not bool:
            text = "set_db_change_aware: true or false parameter expected"
            raise syntax_error(list(request.params), text)
        session.aware = request.params[0]
        session.reply(request.id, {})

    def _transact(self, session: Session, request: Request) -> None:
        hosted = self._hosted(request)
        now = self.clock.monotonic()
        self._run(Waiting(session, request.id, hosted, list(request.params[1:]), now, None))

    def _convert(self, session: Session, request: Request) -> None:
        hosted = self._hosted(request)
        if len(request.params) != 2 or self.convert is None or hosted is self._server:
            raise syntax_error(request.params, "convert request params must be <db-name> <schema>")
        hosted.replace(self.convert(hosted, request.params[1]))
        self._forget(hosted)
        self._server_change(
            [
                {
                    "op": "update",
                    "table": "Database",
                    "where": [["name", "==", hosted.name]],
                    "row": {"schema": hosted.schema_text},
                }
            ]
        )
        session.reply(request.id, {})
        self._disconnect_unaware()

    def _lock(self, session: Session, request: Request) -> None:
        name = _lock_name(request)
        try:
            owned, notices = self.locks.lock(session, name, steal=request.method == "steal")
        except LockError as error:
            raise syntax_error(list(request.params), str(error)) from None
        self._tell(notices)
        session.reply(request.id, {"locked": owned})
        self._retry = True

    def _unlock(self, session: Session, request: Request) -> None:
        name = _lock_name(request)
        try:
            notices = self.locks.unlock(session, name)
        except LockError as error:
            raise syntax_error(list(request.params), f"unlock: {error}") from None
        session.reply(request.id, {})
        self._tell(notices)

    def _monitor(self, session: Session, request: Request) -> None:
        hosted = self._hosted(request)
        params = list(request.params)
        method = request.method
        wanted = {"monitor": 3, "monitor_cond": 3, "monitor_cond_since": 4}[method]
        if len(params) < wanted or (len(params) > wanted and method != "monitor"):
            raise syntax_error(params, "invalid parameters")
        id_text = dumps(params[1], sort_keys=True)
        if id_text in session.monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        version = 1 if method == "monitor" else 2
        tables = parse_requests(hosted.database.schema, params[2], version)
        last_id = _transaction_id(params[3]) if wanted == 4 else ZERO
        update = {"monitor": "update", "monitor_cond": "update2", "monitor_cond_since": "update3"}[method]
        shape = hosted.shape(version, tables)
        monitor = Monitor(session, hosted, params[1], update, shape)
        shape.members[monitor] = None
        session.monitors[id_text] = monitor
        if wanted == 3:
            session.reply_text(request.id, shape.initial(hosted.database, hosted.generation))
            return
        missed = hosted.since(last_id)
        if missed is None:
            text = shape.initial(hosted.database, hosted.generation)
        else:
            text = shape.update(missed) or "{}"
        found = "false" if missed is None else "true"
        session.reply_text(request.id, f'[{found},"{hosted.last_id}",{text}]')

    def _monitor_cancel(self, session: Session, request: Request) -> None:
        if len(request.params) != 1:
            session.error(request.id, "invalid parameters")
            return
        monitor = session.monitors.pop(dumps(request.params[0], sort_keys=True), None)
        if monitor is None:
            session.error(request.id, "unknown monitor")
            return
        monitor.hosted.leave(monitor.shape, monitor)
        session.reply(request.id, {})

    def _monitor_cond_change(self, session: Session, request: Request) -> None:
        params = list(request.params)
        if len(params) != 3:
            raise syntax_error(params, "invalid parameters")
        key, new_key = (dumps(id_, sort_keys=True) for id_ in params[:2])
        monitor = session.monitors.get(key)
        if monitor is None or monitor.shape.version == 1:
            raise syntax_error(params[0], "unknown monitor session")
        if new_key != key and new_key in session.monitors:
            raise syntax_error(params[1], "duplicate monitor ID")
        if type(params[2]) is not dict:
            raise syntax_error(params[2], "monitor-cond-change-requests must be object")
        tables = _new_conditions(monitor, params[2])
        monitor.catch_up()
        before = monitor.shape
        after = monitor.hosted.shape(2, tables)
        text = before.recondition(monitor.hosted.database, after)
        monitor.hosted.leave(before, monitor)
        monitor.shape = monitor.hosted.shape(2, tables)
        monitor.shape.members[monitor] = None
        del session.monitors[key]
        monitor.id, monitor.id_text = params[1], dumps(params[1])
        session.monitors[new_key] = monitor
        if text:
            monitor.send(text)
        session.reply(request.id, {})


def _reserved(results: list[Json], hosted: Hosted) -> list[Json]:
    """The refusals of a database that nobody may write, as the original words them."""
    shown = []
    for result in results:
        if type(result) is dict and result.get("error") == "not allowed":
            verb = result["details"].split(" ")[0]
            text = f"{verb} operation not allowed on table in reserved database {hosted.name}"
            result = {**result, "details": text}
        shown.append(result)
    return shown


def _new_conditions(monitor: Monitor, requests: dict[str, Json]) -> dict[str, TableMonitor]:
    """The monitor's tables after a monitor_cond_change.  Raises OvsdbError."""
    tables = dict(monitor.shape.tables)
    schema = monitor.hosted.database.schema
    for name, items in requests.items():
        if name not in schema.tables:
            raise OvsdbError("syntax error", f"no table named {name}")
        if name not in tables:
            raise OvsdbError("syntax error", f"no table named {name} in monitor session")
        if type(items) is not list:
            raise OvsdbError("syntax error", f"table {name} no monitor-cond-change JSON array")
        for item in items:
            if type(item) is not dict:
                raise OvsdbError("syntax error", f"Parsing table {name} failed: Object expected.")
            if "columns" in item:
                raise syntax_error(item, "changing columns is unsupported")
            for member, value in item.items():
                if member != "where":
                    text = f"Member '{member}' is present but not allowed here."
                    raise syntax_error(item, f"Parsing table {name} failed: {text}")
                if type(value) is not list:
                    text = "Type mismatch for member 'where'."
                    raise syntax_error(item, f"Parsing table {name} failed: {text}")
            where = item.get("where") or None
            matches = parse_where_member(schema.tables[name], where)
            tables[name] = tables[name]._replace(where=where, matches=matches)
    return tables


def _transaction_id(json: Json) -> str:
    if type(json) is not str:
        raise syntax_error(json, "last-txn-id must be string")
    groups = [len(part) for part in json.split("-")]
    if groups != _UUID_LENGTHS or not set(json) <= set("0123456789abcdefABCDEF-"):
        raise syntax_error(json, "last-txn-id must be UUID format.")
    return json.lower()


def _lock_name(request: Request) -> str:
    """The <id> that a lock request names: letters, digits and underscores, no digit first."""
    params = list(request.params)
    name = params[0] if len(params) == 1 else None
    if type(name) is str and name and name[0] in _LETTERS and set(name) <= _LETTERS | set("0123456789"):
        return name
    raise syntax_error(params, f"{request.method} request params must be <id>")


_METHODS: Final[dict[str, Callable[[Server, Session, Request], None]]] = {
    "cancel": lambda server, session, request: session.error(request.id, "unknown method"),
    "convert": Server._convert,
    "echo": Server._echo,
    "get_schema": Server._get_schema,
    "get_server_id": Server._get_server_id,
    "list_dbs": Server._list_dbs,
    "lock": Server._lock,
    "monitor": Server._monitor,
    "monitor_cancel": Server._monitor_cancel,
    "monitor_cond": Server._monitor,
    "monitor_cond_change": Server._monitor_cond_change,
    "monitor_cond_since": Server._monitor,
    "set_db_change_aware": Server._set_db_change_aware,
    "steal": Server._lock,
    "transact": Server._transact,
    "unlock": Server._unlock,
}
_CONDITIONAL: Final = frozenset({"monitor_cond", "monitor_cond_change", "monitor_cond_since"})
