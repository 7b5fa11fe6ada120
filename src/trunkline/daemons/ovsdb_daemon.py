"""The database server between its clients and its files, turn by turn.

The server itself is sans-I/O (ovsdb/server.py).  This module turns its turns: bytes of all connections that
came in one round of the event loop go in, commits are written to the log one by one, then the log is fsynced
once, and only then replies and updates go out.  What else a server does is in parts (ovsdb_host.py).
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from typing import Final

from trunkline.base.json import loads
from trunkline.base.log import INFO, WARN, RateLimit
from trunkline.daemons.env import Env
from trunkline.daemons.ovsdb_compaction import Compactor
from trunkline.daemons.ovsdb_conversion import Converter
from trunkline.daemons.ovsdb_host import Connection, RemoteSettings
from trunkline.daemons.ovsdb_relay import RelayDatabase
from trunkline.daemons.ovsdb_remotes import Remotes, TlsReferences
from trunkline.daemons.ovsdb_replication import Replication
from trunkline.daemons.process import Fatal
from trunkline.io.files import same_file
from trunkline.io.loop import Loop
from trunkline.io.ovsdb_file import DatabaseFile, LockError, NowhereError, whole_name
from trunkline.io.privileges import return_free_memory
from trunkline.io.streams import Stream
from trunkline.io.uuids import hashed_uuid, uuid_texts
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.database import Changes, Database
from trunkline.ovsdb.errors import ClusteredError, FileError, OvsdbError
from trunkline.ovsdb.hosted import Hosted
from trunkline.ovsdb.log import change_record
from trunkline.ovsdb.rbac import Access
from trunkline.ovsdb.relay import PREFIX, parse_relay
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.server import Server
from trunkline.ovsdb.session import Session

BACKLOG: Final = 1 << 20  # unsent bytes beyond which a client's updates are merged
LARGE: Final = 4 << 20  # bytes of a message after which free memory is given back to the system
TRIM_SECONDS: Final = 0.5  # at least between two times of that


class Daemon:
    """The state of a running server."""

    def __init__(self, env: Env) -> None:
        self.env = env
        for name in ("lockfile_error", "lockfile_lock", "pstream_open", "stream_open"):
            env.counters.counter(name)
        self._uuids: list[str] = []
        self._served: Session | None = None  # last, where that is recorded
        self._transactions = 0  # that have an id
        self._seed = ""  # of those ids, where uuids are recorded
        own = Database(Schema.from_json(loads(schema_text("_Server"))))
        self.server = Server(env.clock, self._uuid, own, self._transaction_id)
        self.compactor = Compactor(self, self._is_converting)
        self.converter = Converter(self, self.compactor, self._replaced)
        self.server.convert = self.converter.start
        self.server.store = self._store
        transactions, limit = env.log.module("transaction"), RateLimit(30, 60)
        self.server.tell_log = lambda line: transactions.message(INFO, "%s", (line,), limit)
        self.files: dict[str, DatabaseFile] = {}
        self.relays: dict[str, RelayDatabase] = {}
        self._to_sync: dict[DatabaseFile, None] = {}  # hold a durable commit of this turn
        self._paused: dict[Connection, None] = {}  # no input is taken of these for now
        self.column_diff = True
        self.connections: dict[Session, Connection] = {}
        self.remotes = Remotes(self)
        self.tls = TlsReferences(self)
        self.replication = Replication(self)
        self.log = env.log.module("ovsdb_server")
        self._file_log = env.log.module("ovsdb_log")
        self._write_error_limit = RateLimit(5, 5)
        self._rpc_limit = RateLimit()
        self._rpc_log = env.log.module("jsonrpc")
        self._reconnect_log = env.log.module("reconnect")
        self._session_log = env.log.module("ovsdb_jsonrpc_server")
        self._scheduled = False
        loop = asyncio.get_running_loop()
        self._call_last: Callable[[Callable[[], None]], object] = (
            loop.call_last if isinstance(loop, Loop) else loop.call_soon
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._trimming: asyncio.TimerHandle | None = None
        self.failure: Exception | None = None  # after which nothing is acknowledged any more
        self.ended = asyncio.Event()

    def _uuid(self) -> str:
        """A new random uuid.  Random bits are drawn for many at once: each time is a call of the system."""
        if self.env.new_uuid is not None:
            drawn = self.env.new_uuid(early=not self._seed)
            self._seed = self._seed or drawn
            return drawn
        if not self._uuids:
            self._uuids = uuid_texts(self.env.random.getrandbits(128 * 64), 64)
        return self._uuids.pop()

    def _loading_uuid(self) -> str:
        """For the version of a row that comes out of a file."""
        return self._uuid() if self.env.new_uuid is None else self.env.new_uuid(early=not self.connections)

    def _transaction_id(self) -> str:
        """An id that no other run has.  The original draws none, so a recording has none."""
        if self.env.new_uuid is None:
            return self._uuid()
        self._transactions += 1
        return hashed_uuid(f"{self._seed} {self._transactions}")

    # -- databases ------------------------------------------------------------------------------------------

    def open(self, name: str) -> Hosted:
        """Serves a database file, or a relay: ``relay:DB:TARGET``.  Raises OvsdbError."""
        if name.startswith(PREFIX):
            return self._open_relay(name)
        if not name:
            raise OvsdbError("I/O error", f": open failed ({os.strerror(errno.ENOENT)})")
        try:
            path = whole_name(name)  # as the original: not below the directory of databases
        except NowhereError as error:
            self.env.log.module("util").warn("%s", error.warning)
            raise
        for file in self.files.values():
            if file.path == path or same_file(file.path, path):
                raise OvsdbError("ovsdb error", f"{name}: already open")
        try:
            file = DatabaseFile.open(path, self._loading_uuid, name, each=self.env.new_uuid is not None)
            self.env.counters.counter("lockfile_lock").add()
        except ClusteredError:
            text = (
                f"{name}: clustered databases are not implemented (ovsdb-tool cluster-to-standalone of Open "
                "vSwitch makes a standalone one of it)"
            )
            raise OvsdbError("ovsdb error", text) from None
        except LockError as error:
            self.env.counters.counter("lockfile_error").add()
            logger = self.env.log.module("lockfile")
            logger.warn("%s", error.warning)
            if not error.opened:
                logger.warn("%s: failed to lock file: %s", error.lock, os.strerror(error.number))
            raise
        if file.damage is not None:
            self.log.err("%s", file.damage)
        name = file.database.schema.name
        if name in self.server.databases:
            file.close()
            raise OvsdbError("ovsdb error", f"{name}: duplicate database name")
        if name.startswith("_"):
            file.close()
            raise OvsdbError("ovsdb error", f'{name}: names beginning with "_" are reserved')
        self.files[name] = file
        self.compactor.opened(name)
        hosted = self.server.add(file.database)
        self._replaced()
        return hosted

    def _open_relay(self, text: str) -> Hosted:
        parsed = parse_relay(text)
        if parsed is None or not parsed[0]:
            raise OvsdbError("ovsdb error", f"{text}: invalid syntax")
        name, targets = parsed
        if name.startswith("_"):
            raise OvsdbError("ovsdb error", f'{name}: names beginning with "_" are reserved')
        if name in self.server.databases:
            raise OvsdbError("ovsdb error", f"{name}: duplicate database name")
        relay = self.relays[name] = RelayDatabase(self, name, targets)
        return relay.hosted

    def remove(self, name: str) -> None:
        """Serves it no more.  Raises OvsdbError."""
        relay = self.relays.pop(name, None)
        if relay is not None:
            relay.close()
            self.server.remove(name)
            return
        self.sync_now()
        self.compactor.stop(name)
        self.converter.stop(name)
        file = self.files.pop(name)
        self.server.remove(name)
        file.close()
        self._replaced()

    def _is_converting(self, name: str) -> bool:
        return self.converter.is_running(name)

    def _replaced(self) -> None:
        """A database has come, gone or become another; a backup has to copy into those that there are."""
        if self.replication.is_backup:
            self.replication.start()

    def _milliseconds(self) -> int:
        return int(self.env.clock.wall() * 1000)

    # -- connections ----------------------------------------------------------------------------------------

    def accept(self, stream: Stream, remote: str, settings: RemoteSettings) -> Connection:
        session = self.server.connect(
            stream.name, read_only=settings.read_only, probe_interval=settings.probe_interval
        )
        if settings.dscp is not None:
            stream.mark(settings.dscp)
        if settings.role:
            session.access = Access(settings.role, stream.peer_id)
        connection = Connection(stream, session, remote, self.env.clock.monotonic())
        self.connections[session] = connection
        stream.receive(lambda data: self._received(connection, data))
        self.schedule()
        return connection

    def _received(self, connection: Connection, data: bytes) -> None:
        connection.rally.heard()
        if connection.session.parser.backlog > LARGE and self._trimming is None:
            self._trim_later()
        if data:
            self.server.receive(connection.session, data)
            if connection.session.held:
                connection.stream.pause()
                self._paused[connection] = None
        else:
            self._gone(connection)
        if self.env.new_uuid is None:
            self.schedule()
        else:
            self._served = connection.session
            self.turn()  # a recording has each request and what came of it

    def _trim_later(self) -> None:
        self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        """After a large message: the allocator would keep for ever what held the message and its answer."""
        self._trimming = None
        return_free_memory()
        if any(
            connection.session.parser.backlog > LARGE or connection.stream.backlog > LARGE
            for connection in self.connections.values()
        ):
            self._trim_later()

    def _gone(self, connection: Connection) -> None:
        self.server.disconnect(connection.session)
        self._paused.pop(connection, None)
        if self.connections.pop(connection.session, None) is not None:
            self.remotes.disconnected(connection)

    def schedule(self) -> None:
        """Lets a turn follow once everything that is ready now has been read."""
        if not self._scheduled:
            self._scheduled = True
            self._call_last(self.turn)

    def turn(self) -> None:
        """Settles, makes durable, answers.

        Whatever goes wrong in here ends the server, a failing fsync for instance: memory may be ahead of the
        disk, and clients must not go on as if what they committed were safe.
        """
        self._scheduled = False
        if self.failure is not None:
            return
        try:
            self._turn()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Nothing is sent from now on, and `serve` raises `error`."""
        if self.failure is None:
            self.failure = error
            self.ended.set()

    def _turn(self) -> None:
        self.server.settle()
        if self._paused:
            self._resume()
        if self.server.is_due():
            self._note_progress()
            self.server.tick()
        self._check()
        self._sync()
        output = self.server.take_output()
        if self.env.new_uuid is not None:
            output = self._in_turn(output)
        for session, data in output:
            self._send(session, data)
        for session in self.server.take_closed():
            self._close(session)
        changed = self.server.take_changed()
        if changed:
            self.tls.update()
            self.remotes.database_changed(changed)
            self.compactor.consider()
        self._set_timer()

    def _in_turn(self, output: Iterable[tuple[Session, bytes]]) -> list[tuple[Session, bytes]]:
        """In the order in which the original gets to its clients after a request: whose it was, the later
        ones, those before it.  In no other order could the original replay a recording."""
        order = {session: number for number, session in enumerate(self.connections)}
        first = order.get(self._served, 0) if self._served is not None else 0
        count = len(order)
        return sorted(output, key=lambda one: (order.get(one[0], 0) - first) % max(1, count))

    def _send(self, session: Session, data: bytes) -> None:
        connection = self.connections.get(session)
        if connection is None:
            return
        connection.stream.write(data)
        connection.rally.said()
        if connection.stream.backlog > BACKLOG and not session.congested:
            session.congested = True
            connection.stream.pause()
            task = asyncio.ensure_future(self._relieve(connection))
            self.remotes.keep(task)

    async def _relieve(self, connection: Connection) -> None:
        await connection.stream.drain()
        connection.session.congested = False
        connection.stream.resume()
        self.schedule()

    def _resume(self) -> None:
        """Takes input again of clients whose requests had to wait for a conversion."""
        for connection in list(self._paused):
            if not connection.session.held:
                del self._paused[connection]
                if not connection.session.congested:
                    connection.stream.resume()

    def _note_progress(self) -> None:
        """A client that takes what waits for it is alive, although it may have nothing to say."""
        for session, connection in self.connections.items():
            backlog = connection.stream.backlog
            if backlog < connection.backlog:
                self.server.heard(session)
            connection.backlog = backlog

    def _close(self, session: Session) -> None:
        connection = self.connections.get(session)
        if connection is None:
            return
        reason = session.closing or ""
        if reason.startswith("disconnecting"):
            self._session_log.info("%s: %s", session.name, reason)
        elif reason.startswith("no response"):
            self._reconnect_log.err("%s: %s", session.name, reason)
        elif reason.startswith("received unexpected"):
            self._session_log.warn("%s: %s", session.name, reason)
        elif "message" in reason or "stream" in reason:
            self._rpc_log.message(WARN, "%s: %s", (session.name, reason), self._rpc_limit)
            if session.foreign:
                text, arguments = "%s: received %s data on JSON-RPC channel", (session.name, session.foreign)
                self._rpc_log.message(WARN, text, arguments, self._rpc_limit)
            self._reconnect_log.warn("%s: connection dropped (Protocol error)", session.name)
        if session.congested:
            connection.stream.abort()  # it would never take the rest
        else:
            connection.stream.close()
        self._gone(connection)

    def _store(self, hosted: Hosted, changes: Changes, comment: str, durable: bool) -> None:
        """Writes what a transaction changed.  Raises FileError: it is not in the file (no space, say)."""
        file = self.files[hosted.name]
        entry = change_record(
            hosted.database, changes, comment, self._milliseconds(), as_difference=self.column_diff
        )
        if entry is None:
            return
        try:
            file.append([entry])
        except FileError as error:
            self.log_unwritten(error)
            self.log.err("%s", error)
            raise
        if durable:
            self._to_sync[file] = None

    def log_unwritten(self, error: OvsdbError) -> None:
        """Logs that a file could not be written, if that is what went wrong."""
        if isinstance(error, FileError) and error.logged:
            self._file_log.message(WARN, "%s", (error.logged,), self._write_error_limit)

    def _check(self) -> None:
        """Raises what made memory and disk differ; Fatal if it was the disk."""
        broken = self.server.broken
        if isinstance(broken, FileError):
            raise self._stopping(broken)
        if broken is not None:
            raise broken

    def _stopping(self, error: FileError) -> Fatal:
        text = f"cannot write the database, stopping ({error})"
        self.log.emer("%s", text)
        return Fatal(text)

    def _sync(self) -> None:
        """Makes durable what is to be, one fsync for each file.

        Raises Fatal: it cannot be, and nothing of this turn may be acknowledged.
        """
        files, self._to_sync = self._to_sync, {}
        for file in files:
            try:
                file.sync()
            except FileError as error:
                raise self._stopping(error) from None

    def sync_now(self) -> None:
        """The same, before a file is replaced or closed.  Raises OvsdbError; then the server ends."""
        try:
            self._check()
            self._sync()
        except Fatal as error:
            self.fail(error)
            raise OvsdbError("I/O error", str(error)) from None

    def _set_timer(self) -> None:
        deadline = self.server.deadline()
        if self._timer is not None:
            if deadline == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            delay = max(0.0, deadline - self.env.clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self.schedule()

    def close(self) -> None:
        """The end: everything is written, all connections are closed."""
        if self.failure is None:
            try:
                self._sync()
            except Fatal as error:
                self.fail(error)
        if self._trimming is not None:
            self._trimming.cancel()
        self.compactor.close()
        self.converter.close()
        for relay in self.relays.values():
            relay.close()
        for connection in list(self.connections.values()):
            connection.stream.close()
        self.connections.clear()
        for file in self.files.values():
            file.close()
