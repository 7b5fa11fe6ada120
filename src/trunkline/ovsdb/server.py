"""The database server without its sockets: sessions in, replies and updates out.

The driver (daemons/ovsdb_daemon.py) feeds bytes of sessions by `receive`, then calls `settle` once for all
that came in one turn of its loop.  A commit is first given to the driver's `store`, which writes it to the
file; what cannot be written is not committed, and the client is told why.  `settle` retries transactions that
wait, and leaves three things to do, in this order: one fsync for the whole turn if a commit asked for it
(group commit), send `take_output`, close `take_closed`.  Nothing is sent before what it acknowledges is on
disk.

Within one session the order is that of the requests, except for transactions that wait; a transaction's
update notifications precede its reply.
"""

from collections.abc import Callable
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.json import Json, JsonError, dumps
from trunkline.jsonrpc.message import Message, MessageError, Notification, Reply, Request, encode, message
from trunkline.ovsdb.database import Changes, Database
from trunkline.ovsdb.errors import FileError, OvsdbError
from trunkline.ovsdb.hosted import Forward, Hosted, server_row, told
from trunkline.ovsdb.locks import Locks, Notice
from trunkline.ovsdb.methods import CONDITIONAL, METHODS
from trunkline.ovsdb.monitor import merge
from trunkline.ovsdb.session import PROBE_INTERVAL, Monitor, Session, Waiting
from trunkline.ovsdb.transaction import execute

SERVER: Final = "_Server"
FOREIGN: Final = {b"\x16\x03": "SSL", b"\x01\x00": "OpenFlow"}  # what other protocols begin with
REPLIES: Final = 1 << 20  # bytes of output that wait to be taken before a client's next request has to


Converted = Callable[[Database | OvsdbError], None]
"""Takes the converted database, or why there is none."""


class Server:
    """All databases, sessions and locks of one server.  `new_uuid` makes random uuids, `new_id` those of
    transactions.

    `convert` is the driver's: it makes the converted database, durably, and tells the function that it is
    given, at once or later.  `store`, too: it writes what a transaction changed, its comment and whether it
    must be durable, or raises FileError.
    """

    def __init__(
        self,
        clock: Clock,
        new_uuid: Callable[[], str],
        server_database: Database,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self.clock = clock
        self.new_uuid = new_uuid
        self._new_id = new_id or new_uuid
        self.id = new_uuid()
        self.databases: dict[str, Hosted] = {}
        self.sessions: dict[Session, None] = {}
        self.locks = Locks()
        self.read_only = False  # a backup refuses changes
        self.monitor_cond = True  # ovsdb-server/disable-monitor-cond
        self.broken: Exception | None = None  # a commit ended in the middle: memory is not to be trusted
        self.tell_log: Callable[[str], None] = lambda _: None  # of changes in tables that tlog-set names
        self.convert: Callable[[Hosted, Json, Converted], None] | None = None
        self.store: Callable[[Hosted, Changes, str, bool], None] = lambda *_: None
        self.transactions = 0
        self._waiting: list[Waiting] = []
        self._held: list[tuple[Waiting, Callable[[Waiting], None]]] = []  # until a conversion is done
        self._forwarded: dict[tuple[Session, str], Waiting] = {}
        self.retry_waiting = False
        self._dirty: dict[Session, None] = {}
        self._behind: dict[Session, None] = {}  # with updates that were merged
        self._unread: dict[Session, None] = {}  # with requests that wait until their answers have room
        self._deadline: float | None = None  # nothing is to be done by itself before; it may be too early
        self._changed: dict[str, set[str]] = {}
        self.own = Hosted(server_database, self._new_id, logged=False, read_only=True)
        self._server_rows: dict[str, str] = {}
        self.databases[SERVER] = self.own
        self._describe(self.own)

    # -- databases ------------------------------------------------------------------------------------------

    def add(self, database: Database, *, logged: bool = True, forward: Forward | None = None) -> Hosted:
        """Hosts a database; with `forward` a relay's, which is not there yet (`converted` brings it).

        Sessions that are not aware of such changes are closed.
        """
        hosted = Hosted(database, self._new_id, logged=logged and forward is None, read_only=False)
        hosted.forward = forward
        hosted.available = hosted.connected = forward is None
        self.databases[hosted.name] = hosted
        self.databases = dict(sorted(self.databases.items()))
        self._disconnect_unaware(f"adding {hosted.name} database")
        self._describe(hosted)
        return hosted

    def converted(self, hosted: Hosted, database: Database, reason: str = "") -> None:
        """Another database, perhaps of another schema, in the place of one: its monitors are canceled.

        Sessions that are not aware of such changes are closed.  `reason` is for the log.
        """
        self._disconnect_unaware(reason or f"committed {hosted.name} database schema conversion")
        hosted.replace(database)
        hosted.available = True
        self._changed[hosted.name] = set(hosted.database.tables)
        self.forget(hosted)
        self._redescribe(hosted)

    def begin_conversion(self, item: Waiting) -> None:
        """Converts a database to the schema that is the operand of `item`.

        Until that is done reads go on, and whoever would change the database waits, this session included.
        """
        hosted, session = item.hosted, item.session
        if hosted.converting:
            self._hold(item, self.begin_conversion)
            return
        assert self.convert is not None
        hosted.converting = True
        session.held += 1

        def done(outcome: Database | OvsdbError) -> None:
            hosted.converting = False
            session.held -= 1
            if isinstance(outcome, OvsdbError):
                session.error(item.id, outcome.to_json())
            else:
                self.converted(hosted, outcome)
                session.reply(item.id, {})
            self._release(hosted, session)

        self.convert(hosted, item.operations[0], done)

    def _hold(self, item: Waiting, then: Callable[[Waiting], None]) -> None:
        self._held.append((item, then))
        item.session.held += 1

    def _release(self, hosted: Hosted, requester: Session) -> None:
        """Lets those go on that waited for a conversion."""
        held = [entry for entry in self._held if entry[0].hosted is hosted]
        self._held = [entry for entry in self._held if entry[0].hosted is not hosted]
        for item, then in held:
            item.session.held -= 1
            if self.databases.get(hosted.name) is not hosted:
                self._refuse(item)
            elif item.session.closing is None:
                then(item)
        for session in dict.fromkeys((requester, *(item.session for item, _ in held))):
            if session in self.sessions:
                self._dirty[session] = None
                if session.unread:
                    self._unread[session] = None

    def connected(self, hosted: Hosted, now: bool) -> None:
        """A relay has contact with its source, or has none any more."""
        if hosted.connected != now:
            hosted.connected = now
            self._redescribe(hosted)

    def _redescribe(self, hosted: Hosted) -> None:
        row = {name: value for name, value in server_row(hosted).items() if name != "name"}
        where: Json = [["name", "==", hosted.name]]
        self.server_change([{"op": "update", "table": "Database", "where": where, "row": row}])

    def remove(self, name: str) -> Hosted:
        """Hosts it no more: its monitors and waiting transactions are canceled.  Raises KeyError."""
        hosted = self.databases.pop(name)
        self._disconnect_unaware(f"removing {name} database by user request")
        self.forget(hosted)
        self.withdraw(hosted)
        self.server_change([{"op": "delete", "table": "Database", "where": [["name", "==", name]]}])
        return hosted

    def forget(self, hosted: Hosted) -> None:
        for session in self.sessions:
            for key, monitor in list(session.monitors.items()):
                if monitor.hosted is hosted:
                    del session.monitors[key]
                    hosted.leave(monitor.shape, monitor)
                    if session.closing is None:
                        session.notify("monitor_canceled", [monitor.id])
                        self._dirty[session] = None
        for waiting in [waiting for waiting in self._waiting if waiting.hosted is hosted]:
            self._cancel(waiting)

    def withdraw(self, hosted: Hosted) -> None:
        """Cancels what was passed on to the source of a relay that goes."""
        for key, waiting in list(self._forwarded.items()):
            if waiting.hosted is hosted:
                del self._forwarded[key]
                self._refuse(waiting)

    def _describe(self, hosted: Hosted) -> None:
        self.server_change([{"op": "insert", "table": "Database", "row": server_row(hosted)}])

    def server_change(self, operations: list[Json]) -> None:
        done = execute(self.own.database, operations, new_uuid=self.new_uuid, owns_lock=lambda _: False)
        assert done.changes is not None, done.results
        self._commit(self.own, done.changes, "", False)

    def _disconnect_unaware(self, reason: str) -> None:
        """Who does not know that databases come, go and change hears nothing of it but the end."""
        self._disconnect([session for session in self.sessions if not session.aware], reason)

    def reconnect(self, reason: str) -> None:
        """Closes all connections (``ovsdb-server/reconnect``)."""
        self._disconnect(list(self.sessions), reason)

    def _disconnect(self, sessions: list[Session], reason: str) -> None:
        for session in sessions:  # the oldest goes first
            self._dirty.pop(session, None)
            self.close(session, f"disconnecting ({reason})")
            self._dirty[session] = None

    # -- sessions -------------------------------------------------------------------------------------------

    def connect(
        self, name: str, *, read_only: bool = False, probe_interval: float = PROBE_INTERVAL
    ) -> Session:
        session = Session(
            name, now=self.clock.monotonic(), read_only=read_only, probe_interval=probe_interval
        )
        self.sessions[session] = None
        if probe_interval:
            self._wake(session.heard + probe_interval)
        return session

    def disconnect(self, session: Session) -> None:
        """The connection is gone."""
        if self.sessions.pop(session, self) is self:
            return
        for monitor in session.monitors.values():
            monitor.hosted.leave(monitor.shape, monitor)
        session.release()
        self._waiting = [waiting for waiting in self._waiting if waiting.session is not session]
        self._held = [entry for entry in self._held if entry[0].session is not session]
        for key in [key for key in self._forwarded if key[0] is session]:
            del self._forwarded[key]
        self.tell(self.locks.end(session))
        for sessions in (self._dirty, self._behind, self._unread):
            sessions.pop(session, None)

    def close(self, session: Session, reason: str) -> None:
        """The driver is to close the connection, after what was sent."""
        if session.closing is None:
            session.closing = reason
            self._dirty[session] = None

    def receive(self, session: Session, data: bytes) -> None:
        """Takes bytes of a client.  Whatever they are, only this session can suffer.

        Requests whose answers find no room, because the client does not read, wait in the session; the driver
        takes no more bytes from it meanwhile, so that its share of memory stays bounded.
        """
        if session.closing is not None:
            return
        self.heard(session)
        self._dirty[session] = None
        try:
            values = session.parser.feed(data)
            if session.unread or session.held:
                session.unread.extend(values)
                return
            for place, value in enumerate(values):
                self._take(session, message(value))
                if session.closing is not None:
                    return
                if (session.queued > REPLIES or session.held) and place + 1 < len(values):
                    session.unread.extend(values[place + 1 :])
                    self._unread[session] = None
                    return
            session.parser.check()
        except JsonError as error:
            session.foreign = FOREIGN.get(data[:2], "")
            self.close(session, f"error parsing stream: {error}")
        except MessageError as error:
            self.close(session, f"received bad JSON-RPC message: {error}")

    def _take_unread(self, session: Session) -> None:
        """Goes on with requests that had to wait."""
        self._dirty[session] = None
        try:
            while session.unread and session.closing is None and not session.held:
                if session.queued > REPLIES:
                    break
                self._take(session, message(session.unread.popleft()))
            if not session.unread:
                self._unread.pop(session, None)
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
            handler = METHODS.get(item.method)
            if handler is None or (item.method in CONDITIONAL and not self.monitor_cond):
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
        if self._unread:
            for session in [session for session in self._unread if not session.congested]:
                if not session.held:
                    self._take_unread(session)
        if self._waiting:
            self._retry()
        self.retry_waiting = False
        if self._behind:
            for session in [session for session in self._behind if not session.congested]:
                del self._behind[session]
                session.catch_up()
                self._dirty[session] = None

    def _retry(self) -> None:
        now = self.clock.monotonic()
        while self.retry_waiting or any(w.until is not None and w.until <= now for w in self._waiting):
            self.retry_waiting = False
            waiting, self._waiting = self._waiting, []
            for item in waiting:
                if item.session.closing is None:
                    self.run(item, self.clock.monotonic() - item.since)

    def heard(self, session: Session) -> None:
        """The client shows that it is alive."""
        session.heard = self.clock.monotonic()
        session.probed = False

    def is_due(self) -> bool:
        """Whether `tick` has something to do."""
        return self._deadline is not None and self.clock.monotonic() >= self._deadline

    def tick(self) -> None:
        """Asks silent clients for a sign of life, and closes those that gave none."""
        now = self.clock.monotonic()
        for session in self.sessions:
            if session.probe_interval and now >= session.heard + session.probe_interval:
                if not session.probed:
                    session.probed = True
                    session.put(encode(Request("echo", [], "echo")))
                    self._dirty[session] = None
                elif now >= session.heard + 2 * session.probe_interval:
                    seconds = f"{session.probe_interval:g} seconds"
                    self.close(session, f"no response to inactivity probe after {seconds}, disconnecting")
        self.reschedule()

    def deadline(self) -> float | None:
        """When `settle` and `tick` are to be called although nothing came (monotonic seconds).

        Now, when requests can go on whose answers had no room.
        """
        if self._unread and any(not (session.congested or session.held) for session in self._unread):
            return self.clock.monotonic()
        return self._deadline

    def _wake(self, moment: float) -> None:
        if self._deadline is None or moment < self._deadline:
            self._deadline = moment

    def reschedule(self) -> None:
        """Finds out when there will be something to do; to be called when a probe interval was changed.

        A client that is heard from only moves its probe away, so the moment that was found is let pass, and
        nobody looks at a thousand clients for every request of one.
        """
        times = [waiting.until for waiting in self._waiting if waiting.until is not None]
        for session in self.sessions:
            if session.probe_interval:
                times.append(session.heard + session.probe_interval * (2 if session.probed else 1))
        self._deadline = min(times, default=None)

    def take_output(self) -> list[tuple[Session, bytes]]:
        """What is to be sent, per session."""
        found = []
        closing = False
        for session in self._dirty:
            output = session.output
            if output:
                found.append((session, output[0] if len(output) == 1 else b"".join(output)))
                output.clear()
                session.queued = 0
            closing = closing or session.closing is not None
        if closing:
            self._dirty = {session: None for session in self._dirty if session.closing is not None}
        else:
            self._dirty.clear()
        return found

    def take_closed(self) -> list[Session]:
        """The sessions to close now; `closing` says why."""
        closed = [session for session in self._dirty if session.closing is not None]
        self._dirty.clear()
        return closed

    def take_changed(self) -> dict[str, set[str]]:
        """The databases that changed since the last call, each with the names of the tables."""
        changed, self._changed = self._changed, {}
        return changed

    def waiting(self) -> int:
        """How many requests wait: for changes, for locks, or for the source of a relay."""
        return len(self._waiting) + len(self._forwarded)

    # -- transactions ---------------------------------------------------------------------------------------

    def transact(self, name: str, operations: list[Json]) -> list[Json]:
        """A transaction of the server's own (status columns): never waits, is logged like any other."""
        hosted = self.databases[name]
        done = execute(hosted.database, operations, new_uuid=self.new_uuid, owns_lock=lambda _: True)
        if done.changes:
            try:
                self._commit(hosted, done.changes, done.comment, done.durable)
            except FileError as error:
                return [*done.results, error.to_json()]
        return done.results

    def replicate(self, name: str, changes: Changes) -> None:
        """Commits what an active server committed.  Raises FileError: it cannot be written."""
        self._commit(self.databases[name], changes, "", False)

    def run(self, item: Waiting, waited: float = 0.0) -> None:
        """Tries a transaction, which was tried first `waited` seconds ago; answers it, or lets it wait on."""
        session, hosted = item.session, item.hosted
        done = execute(
            hosted.database,
            item.operations,
            new_uuid=self.new_uuid,
            owns_lock=lambda name: self.locks.owner(name) is session,
            waited=waited,
            read_only=self.read_only or session.read_only or hosted.read_only,
            access=session.access,
        )
        if done.blocked:
            until = None if done.timeout is None else self.clock.monotonic() + done.timeout
            self._waiting.append(item._replace(until=until))
            if until is not None:
                self._wake(until)
            return
        failed: list[Json] = []
        if done.changes and hosted.forward is not None:
            self.forward(item, "transact")
            return
        if done.changes and hosted.converting:
            self._hold(item, self.run)
            return
        if done.changes:
            try:
                self._commit(hosted, done.changes, done.comment, done.durable)
            except FileError as error:
                failed = [error.to_json()]
        self.transactions += 1
        if session.congested:
            session.catch_up()
        results = _reserved(done.results, hosted) if hosted.read_only else done.results
        session.reply(item.id, [*results, *failed])
        self._dirty[session] = None

    def forward(self, item: Waiting, method: str) -> None:
        """Passes a request on to the source of a relay; its answer is the client's."""
        key = (item.session, dumps(item.id, sort_keys=True))
        self._forwarded[key] = item
        assert item.hosted.forward is not None

        def answer(result: Json, error: Json) -> None:
            if self._forwarded.get(key) is item:
                del self._forwarded[key]
                if error is None:
                    item.session.reply(item.id, result)
                else:
                    item.session.error(item.id, error)
                self._dirty[item.session] = None

        params = [item.hosted.name, *item.operations]
        item.hosted.forward(method, params, answer, lambda: self._forwarded.get(key) is item)

    def relayed(self, hosted: Hosted, changes: Changes, txn_id: str) -> None:
        """What a relay's source committed."""
        self._carry_out(hosted, changes, txn_id)

    def _commit(self, hosted: Hosted, changes: Changes, comment: str, durable: bool) -> None:
        """Stores, applies, tells the monitors.  Raises FileError: it was not stored, nothing happened."""
        try:
            if hosted.logged:
                self.store(hosted, changes, comment, durable)
            self._carry_out(hosted, changes)
        except FileError as error:
            if error.fatal:
                self.broken = error
            raise
        except Exception as error:
            self.broken = error
            raise

    def _carry_out(self, hosted: Hosted, changes: Changes, txn_id: str = "") -> None:
        hosted.commit(changes, txn_id)
        if hosted.told_tables:
            for line in told(hosted, changes):
                self.tell_log(line)
        self.retry_waiting = True
        self._changed.setdefault(hosted.name, set()).update(changes)
        for shape in list(hosted.shapes.values()):
            shape.forget()
            text: str | None = None
            for member in shape.members:
                assert isinstance(member, Monitor)
                if member.session.closing is not None:
                    continue
                if member.session.congested:
                    merge(member.pending, changes)
                    self._behind[member.session] = None
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
        if self._forwarded.pop((session, dumps(id_, sort_keys=True)), None) is not None:
            session.error(id_, "canceled")  # it may be committed nevertheless

    def _cancel(self, waiting: Waiting) -> None:
        self._waiting.remove(waiting)
        self._refuse(waiting)

    def _refuse(self, waiting: Waiting) -> None:
        if waiting.session.closing is None:
            waiting.session.error(waiting.id, "canceled")
            self._dirty[waiting.session] = None

    def tell(self, notices: list[Notice]) -> None:
        for notice in notices:
            assert isinstance(notice.session, Session)
            notice.session.notify(notice.method, [notice.name])
            self._dirty[notice.session] = None
        if notices:
            self.retry_waiting = True


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
