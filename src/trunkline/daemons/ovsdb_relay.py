"""The relay databases of an ovsdb-server: ``relay:DB:TARGET[,TARGET]...`` (ovsdb/relay.py).

A short loss of the source is nobody's business: reads go on, changes wait.  Only after half a minute the
database is shown as not connected, so that clients that can go elsewhere do.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from trunkline.base.json import Json
from trunkline.daemons.ovsdb_host import Hosting
from trunkline.daemons.ovsdb_peer import Peer
from trunkline.jsonrpc.reconnect import Timing
from trunkline.ovsdb.database import Changes, Database
from trunkline.ovsdb.relay import Answer, Host, Relay, Upstream
from trunkline.ovsdb.schema import Schema

PATIENCE: Final = 30.0  # seconds without contact before clients are told
TIMING: Final = Timing(probe_interval=60.0)


class RelayDatabase:
    """One of them, from its start to `close`."""

    def __init__(self, daemon: Hosting, name: str, targets: Sequence[str]) -> None:
        self.daemon = daemon
        self.name = name
        nothing = Database(Schema.from_json({"name": name, "version": "0.0.0", "tables": {}}))
        self.hosted = daemon.server.add(nothing, forward=self._forward)
        host = Host(self._database, self._schema, self._commit, self._synchronized)
        self._relay = Relay(name, host, daemon.server.new_uuid)
        self._lost: asyncio.TimerHandle | None = None
        self._peer = Peer(daemon.env, targets, lambda: TIMING, self._begin, self._ended)
        self._task = asyncio.ensure_future(self._peer.run())
        self._task.add_done_callback(self._done)

    def close(self) -> None:
        self._task.cancel()
        if self._lost is not None:
            self._lost.cancel()

    def _done(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.daemon.fail(error)  # a fault of ours: the copy is not to be trusted

    def _forward(self, method: str, params: list[Json], answer: Answer, wanted: Callable[[], bool]) -> None:
        def answered(result: Json, error: Json) -> None:
            answer(result, error)
            self.daemon.schedule()

        self._relay.forward(method, params, answered, wanted)
        self._peer.flush()

    def _begin(self) -> Upstream:
        return self._relay.begin()

    def _ended(self) -> None:
        self._relay.ended()
        if self._lost is None and self.hosted.connected:
            self._lost = asyncio.get_running_loop().call_later(PATIENCE, self._give_up)
        self.daemon.schedule()

    def _give_up(self) -> None:
        self._lost = None
        self.daemon.server.connected(self.hosted, False)
        self.daemon.schedule()

    # what the conversation brings

    def _database(self) -> Database:
        return self.hosted.database

    def _schema(self, schema: Json) -> None:
        now = "schema changed" if self.hosted.available else "connected to storage"
        reason = f"database {self.name} {now}"
        self.hosted.connected = True
        self.daemon.server.converted(self.hosted, Database(Schema.from_json(schema)), reason)
        self.daemon.schedule()

    def _commit(self, changes: Changes, txn_id: str) -> None:
        self.daemon.server.relayed(self.hosted, changes, txn_id)
        self.daemon.schedule()

    def _synchronized(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None
        self.daemon.server.connected(self.hosted, True)
        self.daemon.schedule()
