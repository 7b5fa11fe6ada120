"""Where an ovsdb-server listens and whom it dials: from the command line, and from rows of its databases.

A remote ``db:DB,TABLE,COLUMN`` stands for the targets in a column: texts, or references to rows (Manager,
Connection) with a ``target`` and settings of their own.  When the rows change, listeners and connections come
and go with them, and the state of each is written back to ``is_connected`` and ``status``.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from trunkline.base.json import Json
from trunkline.base.log import ERR, RateLimit
from trunkline.base.targets import is_passive
from trunkline.daemons.ovsdb_host import Connection, Hosting, RemoteSettings
from trunkline.io.files import error_text
from trunkline.io.streams import Listener, Stream
from trunkline.io.tls import TlsFiles
from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.jsonrpc.reconnect_log import tell_connecting, tell_ended, tell_failed, tell_waiting
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.database import Row, TableState
from trunkline.ovsdb.locks import Locks
from trunkline.ovsdb.rbac import Access

STATUS_SECONDS: Final = 2.5
DSCP: Final = 48  # of remotes that have a row which does not say


class Reference(NamedTuple):
    """A remote or file name that stands in the database."""

    database: str
    table: str
    column: str


def parse_reference(daemon: Hosting, text: str) -> Reference | str:
    """The reference that ``db:DB,TABLE,COLUMN`` makes, or what is wrong with it."""
    words = text.removeprefix("db:").split(",")
    if len(words) != 3 or not words[2]:
        return f'"{text}": invalid syntax'
    name, table, column = words
    hosted = daemon.server.databases.get(name)
    if hosted is None:
        return f'"{text}": no database named {name}'
    if not hosted.available:
        return Reference(name, table, column)  # a relay's, which may have it one day
    if table not in hosted.database.tables:
        return f'"{text}": no table named {table}'
    if column not in hosted.database.tables[table].layout.places:
        return f'"{text}": table "{table}" has no column "{column}"'
    return Reference(name, table, column)


def datum(state: TableState, row: Row, column: str) -> tuple[Any, ...]:
    """The value of a column, () when there is no such column."""
    place = state.layout.places.get(column)
    return () if place is None else row.values[place]


def referred(daemon: Hosting, reference: Reference) -> Iterator[tuple[str, RemoteSettings, str, str]]:
    """(target, settings, table, uuid) of each target that a reference stands for; table "" for texts."""
    hosted = daemon.server.databases.get(reference.database)
    if hosted is None or reference.table not in hosted.database.tables:
        return
    state = hosted.database.tables[reference.table]
    if reference.column not in state.layout.places:
        return
    place = state.layout.places[reference.column]
    base = state.layout.types[place].key
    for row in state.rows.values():
        for atom in row.values[place]:
            if base.ref_table is None:
                if isinstance(atom, str) and atom:
                    yield atom, default_settings(atom), "", ""
                continue
            targets = hosted.database.tables[base.ref_table]
            found = targets.rows.get(atom)
            target = () if found is None else datum(targets, found, "target")
            if found is not None and target:
                yield target[0], _settings(targets, found, target[0]), base.ref_table, found.uuid


def default_settings(target: str) -> RemoteSettings:
    """Of a remote that nothing is said about: clients on unix sockets are not probed."""
    settings = RemoteSettings()
    return settings._replace(probe_interval=0.0) if target.startswith(("punix:", "unix:")) else settings


def _settings(state: TableState, row: Row, target: str) -> RemoteSettings:
    settings = default_settings(target)._replace(dscp=DSCP)
    probe = datum(state, row, "inactivity_probe")
    if probe:
        # No shorter than a second; 0 is never.
        settings = settings._replace(probe_interval=max(1.0, probe[0] / 1000) if probe[0] else 0.0)
    backoff = datum(state, row, "max_backoff")
    if backoff:
        settings = settings._replace(max_backoff=backoff[0] / 1000)
    read_only = datum(state, row, "read_only")
    if read_only:
        settings = settings._replace(read_only=bool(read_only[0]))
    dscp = dict(datum(state, row, "other_config")).get("dscp", "")
    if dscp.isascii() and dscp.isdigit() and int(dscp) < 64:
        settings = settings._replace(dscp=int(dscp))
    role = datum(state, row, "role")
    if role:
        settings = settings._replace(role=str(role[0]))
    return settings


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and value.startswith("db:")


class TlsReferences:
    """The TLS files whose names stand in the database: ``--private-key=db:Open_vSwitch,SSL,private_key``."""

    def __init__(self, daemon: Hosting) -> None:
        self.daemon = daemon
        self.given = daemon.env.tls
        self.refers = any(map(_is_reference, self.given))
        self.now = self.given

    def problems(self) -> list[str]:
        """What is wrong with the references."""
        found = (self._problem(text) for text in self.given if text and _is_reference(text))
        return [problem for problem in found if problem]

    def _problem(self, text: str) -> str:
        reference = parse_reference(self.daemon, text)
        if isinstance(reference, str):
            return reference
        table = self.daemon.server.databases[reference.database].database.tables.get(reference.table)
        if table is None:
            return ""  # of a relay that has not met its source
        kind = table.layout.types[table.layout.places[reference.column]]
        if kind.key.type is AtomicType.STRING and kind.value is None:
            return ""
        where = f'table "{reference.table}" column "{reference.column}"'
        return f'"{text}": {where} is not string or set of strings'

    def begin(self) -> None:
        """Takes the settings up, and says what is wrong with them."""
        self.now = self._wanted()
        self.daemon.env.set_tls(self.now)

    def update(self) -> None:
        """Reads the names again; connections made from now on use them."""
        if not self.refers:
            return
        wanted = self._wanted()
        if wanted != self.now:
            self.now = wanted
            self.daemon.env.set_tls(wanted)

    def _wanted(self) -> TlsFiles:
        """Key and certificate count together or not at all, as in the original."""
        found = TlsFiles(*map(self._resolved, self.given))
        if found.private_key is None or found.certificate is None:
            return found._replace(private_key=None, certificate=None)
        return found

    def _resolved(self, text: str | None) -> str | None:
        if text is None or not _is_reference(text):
            return text
        reference = parse_reference(self.daemon, text)
        if isinstance(reference, str):
            return None  # the database is gone for now
        return next((target for target, *_ in referred(self.daemon, reference) if target), None)


class Running:
    """One target that is listened on or dialled."""

    __slots__ = (
        "connected_at",
        "connections",
        "disconnected_at",
        "error",
        "listener",
        "settings",
        "state",
        "target",
        "task",
    )

    def __init__(self, target: str, settings: RemoteSettings) -> None:
        self.target = target
        self.settings = settings
        self.listener: Listener | None = None
        self.task: asyncio.Task[None] | None = None
        self.connections: dict[Connection, None] = {}
        self.state = Reconnect()
        self.error = ""
        self.connected_at: float | None = None
        self.disconnected_at: float | None = None

    def status(self, now: float, locks: Locks) -> dict[str, str]:
        """The map that the row's `status` shows.  Locks stand there for a remote that is dialled."""
        shown = {}
        if is_passive(self.target):
            count = len(self.connections)
            if count > 1:
                shown["n_connections"] = str(count)
            if self.listener is not None and self.target.startswith(("ptcp:", "pssl:")):
                shown["bound_port"] = self.listener.target.split(":")[1]
            shown["sec_since_connect"] = _since(self.connected_at, now)
            shown["sec_since_disconnect"] = _since(self.disconnected_at, now)
        else:
            shown["state"] = self.state.state
            if self.connected_at is not None:
                shown["sec_since_connect"] = _since(self.connected_at, now)
            if self.disconnected_at is not None:
                shown["sec_since_disconnect"] = _since(self.disconnected_at, now)
            for connection in self.connections:
                for what, names in zip(("held", "waiting", "lost"), locks.of(connection.session)):
                    if names:
                        shown[f"locks_{what}"] = " ".join(names)
        if self.error and not self.connections:
            shown["last_error"] = self.error
        return shown


def _since(moment: float | None, now: float) -> str:
    return str(int(now - moment)) if moment is not None else "0"


class Remotes:
    """All remotes of a server."""

    def __init__(self, daemon: Hosting) -> None:
        self.daemon = daemon
        self.configured: dict[str, Reference | None] = {}
        self.running: dict[str, Running] = {}
        self._rows: dict[str, tuple[str, str, str]] = {}  # target: (database, table, uuid) of its row
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._log = daemon.env.log.module("ovsdb_jsonrpc_server")
        self._listen_limit = RateLimit()
        self._reconnect_log = daemon.env.log.module("reconnect")

    def keep(self, task: "asyncio.Future[Any]") -> None:
        """Holds a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def problems(self, texts: Iterable[str]) -> list[str]:
        """What is wrong with references among remotes that are to be added."""
        found = [parse_reference(self.daemon, text) for text in texts if text.startswith("db:")]
        return [problem for problem in found if isinstance(problem, str)]

    async def add(self, text: str) -> str | None:
        """Adds a remote; says what is wrong with it, if something is."""
        reference: Reference | None = None
        if text.startswith("db:"):
            parsed = parse_reference(self.daemon, text)
            if isinstance(parsed, str):
                return parsed
            reference = parsed
        self.configured[text] = reference
        await self.apply()
        return None

    async def remove(self, text: str) -> bool:
        """Removes a remote that was named; False when it was not."""
        if text not in self.configured:
            return False
        del self.configured[text]
        await self.apply()
        return True

    def database_changed(self, changed: dict[str, set[str]]) -> None:
        """Tables of databases changed: remotes in them may have."""
        references = self.configured.values()
        if any(reference is not None and self._touched(reference, changed) for reference in references):
            self.keep(asyncio.ensure_future(self.apply()))

    def _touched(self, reference: Reference, changed: dict[str, set[str]]) -> bool:
        """Whether a change may be one of the remotes that `reference` stands for."""
        tables = changed.get(reference.database)
        if tables is None:
            return False
        hosted = self.daemon.server.databases.get(reference.database)
        state = None if hosted is None else hosted.database.tables.get(reference.table)
        place = None if state is None else state.layout.places.get(reference.column)
        if state is None or place is None:
            return True
        return reference.table in tables or state.layout.types[place].key.ref_table in tables

    async def apply(self) -> None:
        """Starts and stops what is to run."""
        async with self._lock:
            wanted: dict[str, RemoteSettings] = {}
            self._rows = {}
            for text, reference in self.configured.items():
                if reference is None:
                    wanted.setdefault(text, default_settings(text))
                    continue
                for target, settings, table, uuid in referred(self.daemon, reference):
                    if table:  # what a row says holds however else its target is named
                        wanted[target] = settings
                        self._rows[target] = (reference.database, table, uuid)
                    else:
                        wanted.setdefault(target, settings)
            for target in [target for target in self.running if target not in wanted]:
                self._stop(self.running.pop(target))
                self._log.info("%s: remote deconfigured", target)
            for target, settings in wanted.items():
                running = self.running.get(target)
                if running is not None:
                    self._resettle(running, settings)
                    if running.listener is None and running.task is None:
                        await self._start(running)  # it could not be listened on; perhaps now
                else:
                    running = self.running[target] = Running(target, settings)
                    await self._start(running)

    def _resettle(self, running: Running, settings: RemoteSettings) -> None:
        running.settings = settings
        for connection in running.connections:
            connection.session.probe_interval = settings.probe_interval
            connection.session.read_only = settings.read_only
            if settings.dscp is not None:
                connection.stream.mark(settings.dscp)
            peer = connection.stream.peer_id
            connection.session.access = Access(settings.role, peer) if settings.role else None
        self.daemon.server.reschedule()

    async def _start(self, running: Running) -> None:
        target = running.target
        if is_passive(target):
            self.daemon.env.counters.counter("pstream_open").add()

            def accept(stream: Stream) -> None:
                self._accepted(running, stream)

            try:
                running.listener = await self.daemon.env.listen(target, accept)
                running.error = ""
            except OSError as error:
                running.error = error_text(error)
                arguments = (target, running.error)
                self._log.message(ERR, "%s: listen failed: %s", arguments, self._listen_limit)
        else:
            running.task = asyncio.ensure_future(self._dial(running))

    def _stop(self, running: Running) -> None:
        if running.listener is not None:
            running.listener.close()
        if running.task is not None:
            running.task.cancel()
        for connection in list(running.connections):
            self.daemon.server.close(connection.session, "the remote was removed")
        self.daemon.schedule()

    def _accepted(self, running: Running, stream: Stream) -> Connection:
        connection = self.daemon.accept(stream, running.target, running.settings)
        running.connections[connection] = None
        running.connected_at = self.daemon.env.clock.monotonic()
        return connection

    def disconnected(self, connection: Connection) -> None:
        running = self.running.get(connection.remote)
        if running is not None:
            running.connections.pop(connection, None)
            running.disconnected_at = self.daemon.env.clock.monotonic()

    async def _dial(self, running: Running) -> None:
        """Keeps an active remote connected."""
        env = self.daemon.env
        timing = Timing(max_backoff=running.settings.max_backoff)
        running.state = running.state.happened("enable", timing, env.clock.monotonic())
        while True:
            timing = Timing(max_backoff=running.settings.max_backoff)  # the row may have changed
            deadline = running.state.deadline(timing)
            if deadline is not None:
                await asyncio.sleep(max(0.0, deadline - env.clock.monotonic()))
            attempt = running.state = running.state.happened("connecting", timing, env.clock.monotonic())
            tell_connecting(self._reconnect_log, running.target, attempt, timing)
            env.counters.counter("stream_open").add()
            try:
                async with asyncio.timeout(max(1.0, running.state.backoff)):
                    stream = await env.dial(running.target)
            except (OSError, TimeoutError) as error:
                running.error = os.strerror(error.errno) if error.errno else "Connection timed out"
                tell_failed(self._reconnect_log, running.target, running.error, attempt, timing)
            else:
                self._reconnect_log.info("%s: connected", running.target)
                running.state = running.state.happened("connected", timing, env.clock.monotonic())
                connection = self._accepted(running, stream)
                while running.connections:
                    await asyncio.sleep(0.1)
                if connection.session.closing is None:
                    await self._tell_ended(running.target, stream)
            running.state = running.state.happened("disconnected", timing, env.clock.monotonic())
            tell_waiting(self._reconnect_log, running.target, attempt, running.state, timing)

    async def _tell_ended(self, target: str, stream: Stream) -> None:
        """How a connection ended that was dialled."""
        reason = ""
        try:
            await stream.read()
        except OSError as error:
            reason = error_text(error)
            self.daemon.env.log.module("jsonrpc").warn("%s: receive error: %s", target, reason)
        tell_ended(self._reconnect_log, target, reason)

    async def keep_status(self) -> None:
        """Writes the state of remotes to their rows, now and then."""
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            self.write_status()
            if any(running.listener is None and running.task is None for running in self.running.values()):
                await self.apply()

    def write_status(self) -> None:
        now = self.daemon.env.clock.monotonic()
        for target, (name, table, uuid) in self._rows.items():
            running = self.running.get(target)
            hosted = self.daemon.server.databases.get(name)
            if running is None or hosted is None or hosted.forward is not None or hosted.converting:
                continue  # the rows of a relay are its source's
            state = hosted.database.tables[table]
            row = state.rows.get(uuid)
            if row is None:
                continue
            wanted: dict[str, Json] = {}
            connected = bool(running.connections)
            if "is_connected" in state.layout.places and datum(state, row, "is_connected") != (connected,):
                wanted["is_connected"] = connected
            status = tuple(sorted(running.status(now, self.daemon.server.locks).items()))
            if "status" in state.layout.places and datum(state, row, "status") != status:
                wanted["status"] = ["map", [list(pair) for pair in status]]
            if wanted:
                where = [["_uuid", "==", ["uuid", uuid]]]
                self.daemon.server.transact(
                    name, [{"op": "update", "table": table, "where": where, "row": wanted}]
                )
                self.daemon.schedule()

    async def close(self) -> None:
        for running in self.running.values():
            self._stop(running)
        self.running.clear()
        for task in list(self._tasks):
            task.cancel()
