"""The role of a database server: active, or backup of one (ovsdb-server(1), "Active-Backup Options").

A backup refuses what would change its data, and holds a connection to the active server over which a
`Follower` (ovsdb/replication.py) copies.  The role changes by control commands, and by itself to active when
replication meets an error that no other attempt can mend.
"""

import asyncio
from typing import TYPE_CHECKING

from trunkline.io.streams import Stream
from trunkline.jsonrpc.reconnect import Event, Reconnect, Timing
from trunkline.ovsdb.database import Changes
from trunkline.ovsdb.replication import (
    BrokenConversation,
    Excluded,
    Follower,
    ReplicationError,
    excluded_text,
    parse_excluded,
)
from trunkline.ovsdb.server import SERVER

if TYPE_CHECKING:
    from trunkline.daemons.ovsdb_server import Daemon

PROBE_SECONDS = 60.0


class Replication:
    """`active_server` is the target of the active server, "" while none is known."""

    def __init__(self, daemon: "Daemon", active_server: str = "", excluded: str = "") -> None:
        self.daemon = daemon
        self.active_server = active_server
        self.excluded: Excluded = parse_excluded(excluded)
        self.timing = Timing(probe_interval=PROBE_SECONDS)
        self._follower: Follower | None = None
        self._server = ""  # that is followed now
        self._state = Reconnect()
        self._task: asyncio.Task[None] | None = None
        self._log = daemon.env.log.module("replication")
        self._error_log = daemon.env.log.module("ovsdb_error")
        self._reconnect_log = daemon.env.log.module("reconnect")

    @property
    def is_backup(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        """Becomes a backup of `active_server`, or connects to it anew."""
        self._cancel()
        self._server = self.active_server
        self.daemon.server.read_only = True
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Becomes active."""
        self._cancel()
        self.daemon.server.read_only = False

    def _cancel(self) -> None:
        task, self._task = self._task, None
        self._follower = None
        if task is not None:
            task.cancel()

    def exclude(self, text: str) -> None:
        """Other tables are left out; a backup begins again with them."""
        self.excluded = parse_excluded(text)
        if self.is_backup:
            self.start()

    def set_probe_interval(self, milliseconds: int) -> None:
        """The original probes once a second at most."""
        self.timing = self.timing._replace(
            probe_interval=max(1.0, milliseconds / 1000) if milliseconds else 0
        )

    def status(self) -> str:
        """What ``ovsdb-server/sync-status`` prints."""
        if not self.is_backup:
            return "state: active\n"
        follower = self._follower
        if follower is None or not follower.established:
            return f"state: backup\nconnecting: {self._server}\n"
        names = ", ".join(sorted(follower.replicating))
        text = f"state: backup\nreplicating: {self._server}\ndatabase: {names}\n"
        excluded = excluded_text(self.excluded)
        return text + (f"exclude: {excluded}\n" if excluded else "")

    # -- the connection -------------------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        self._state = self._state.happened(event, self.timing, self.daemon.env.clock.monotonic())

    async def _run(self) -> None:
        self._state = Reconnect()
        self._happened("enable")
        while True:
            deadline = self._state.deadline(self.timing)
            if deadline is not None:
                await asyncio.sleep(max(0.0, deadline - self.daemon.env.clock.monotonic()))
            try:
                await self._connection()
            except ReplicationError as error:
                if str(error):
                    self._error_log.err("%s", error)
                self._task = None
                self.stop()
                return

    async def _connection(self) -> None:
        env = self.daemon.env
        self._happened("connecting")
        self._reconnect_log.info("%s: connecting...", self._server)
        try:
            async with asyncio.timeout(max(1.0, self._state.backoff)):
                stream = await env.dial(self._server)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "Connection timed out"
            self._happened("disconnected")
            text = "%s: connection attempt failed (%s)"
            self._reconnect_log.info(text, self._server, reason)
        else:
            self._happened("connected")
            self._reconnect_log.info("%s: connected", self._server)
            try:
                reason = await self._follow(stream)
            finally:
                self._follower = None
                stream.abort()
                self._happened("disconnected")
            self._reconnect_log.info("%s: connection dropped (%s)", self._server, reason)
        if self._state.backoff > 1:
            text = "%s: waiting %g seconds before reconnect"
            self._reconnect_log.info(text, self._server, self._state.backoff)

    async def _follow(self, stream: Stream) -> str:
        """Copies until the connection ends; says why it did.  Raises ReplicationError."""
        server = self.daemon.server
        databases = {
            name: hosted.database
            for name, hosted in server.databases.items()
            if name != SERVER and hosted.forward is None
        }
        follower = self._follower = Follower(
            server.id,
            databases,
            self.excluded,
            new_uuid=server.new_uuid,
            commit=self._commit,
            log=self._log,
        )
        stream.write(follower.take_output())
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                deadline = self._state.deadline(self.timing)
                now = self.daemon.env.clock.monotonic()
                wait = None if deadline is None else max(0.0, deadline - now)
                done, _ = await asyncio.wait((reading,), timeout=wait)
                if not done:
                    action = self._state.due(self.timing, self.daemon.env.clock.monotonic())
                    if action == "disconnect":
                        return "no response to inactivity probe"
                    if action == "probe":
                        follower.probe()
                        stream.write(follower.take_output())
                        self._state = self._state.probing(self.daemon.env.clock.monotonic())
                    continue
                data = reading.result()
                if not data:
                    return "connection closed by peer"
                follower.receive(data)
                stream.write(follower.take_output())
                self._happened("activity")
                reading = asyncio.ensure_future(stream.read())
        except OSError as error:
            return error.strerror or "Connection reset by peer"
        except BrokenConversation as error:
            return str(error)
        finally:
            reading.cancel()

    def _commit(self, name: str, changes: Changes) -> None:
        if changes:
            self.daemon.schedule()  # whatever becomes of it: the turn ends a server that lost its file
            self.daemon.server.replicate(name, changes)
