"""The role of a database server: active, or backup of one (ovsdb-server(1), "Active-Backup Options").

A backup refuses what would change its data, and holds a connection to the active server over which a
`Follower` (ovsdb/replication.py) copies.  The role changes by control commands, and by itself to active when
replication meets an error that no other attempt can mend.
"""

import asyncio

from trunkline.daemons.ovsdb_host import Hosting
from trunkline.daemons.ovsdb_peer import Peer
from trunkline.jsonrpc.reconnect import Timing
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

PROBE_SECONDS = 60.0


class Replication:
    """`active_server` is the target of the active server, "" while none is known."""

    def __init__(self, daemon: Hosting, active_server: str = "", excluded: str = "") -> None:
        self.daemon = daemon
        self.active_server = active_server
        self.excluded: Excluded = parse_excluded(excluded)
        self.timing = Timing(probe_interval=PROBE_SECONDS)
        self._follower: Follower | None = None
        self._server = ""  # that is followed now
        self._task: asyncio.Task[None] | None = None
        self._peer: Peer | None = None
        self._log = daemon.env.log.module("replication")
        self._error_log = daemon.env.log.module("ovsdb_error")

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
        if self._peer is not None:
            self._peer.timing_changed()

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

    async def _run(self) -> None:
        peer = Peer(self.daemon.env, [self._server], lambda: self.timing, self._begin, self._ended)
        self._peer = peer
        try:
            await peer.run()
        except ReplicationError as error:
            if str(error):
                self._error_log.err("%s", error)
            self._task = None
            self.stop()

    def _begin(self) -> Follower:
        server = self.daemon.server
        databases = {
            name: hosted.database
            for name, hosted in server.databases.items()
            if name != SERVER and hosted.forward is None
        }
        self._follower = Follower(
            server.id,
            databases,
            self.excluded,
            new_uuid=server.new_uuid,
            commit=self._commit,
            log=self._log,
        )
        return self._follower

    def _ended(self) -> None:
        self._follower = None

    def _commit(self, name: str, changes: Changes) -> None:
        if changes:
            if self.daemon.server.databases[name].converting:
                raise BrokenConversation(f"{name} is being converted")
            self.daemon.schedule()  # whatever becomes of it: the turn ends a server that lost its file
            self.daemon.server.replicate(name, changes)
