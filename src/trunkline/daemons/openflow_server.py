"""OpenFlow over sockets: each bridge listens at ``BRIDGE.mgmt`` in the run directory, as ovs-ofctl expects.

The protocol is openflow/connection.py's and what messages mean is ofproto/handler.py's; here bytes move.
"""

import asyncio
from collections.abc import Callable

from trunkline.daemons.env import Env
from trunkline.io.streams import Listener, Stream
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.handler import handle
from trunkline.openflow.connection import Connection


class OpenFlowServer:
    """Service connections of all bridges (bridge/parts.py, Surroundings)."""

    def __init__(self, env: Env, after: Callable[[Bridge], None]) -> None:
        self._env = env
        self._after = after  # called once messages to a bridge have been carried out
        self._log = env.log.module("connmgr")
        self._listeners: dict[str, Listener] = {}
        self._streams: dict[str, dict[Client, Stream]] = {}
        self._received = env.counters.counter("ofproto_recv_openflow")
        self._tasks: set[asyncio.Task[None]] = set()

    def bridge_came(self, bridge: Bridge) -> None:
        self._streams[bridge.name] = {}
        self._spawn(self._listen(bridge))

    def _spawn(self, work: "asyncio.Future[None] | object") -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, bridge: Bridge) -> None:
        target = f"punix:{self._env.directories.run}/{bridge.name}.mgmt"
        try:
            listener = await self._env.listen(target, lambda stream: self._accept(bridge, stream))
        except OSError as error:
            self._log.err("%s: cannot listen for OpenFlow at %s (%s)", bridge.name, target, error)
            return
        if bridge.name not in self._streams:
            listener.close()  # the bridge has gone meanwhile
            return
        self._listeners[bridge.name] = listener
        self._log.info('%s: added service controller "%s"', bridge.name, target)

    def bridge_went(self, name: str) -> None:
        listener = self._listeners.pop(name, None)
        if listener is not None:
            listener.close()
        for stream in self._streams.pop(name, {}).values():
            stream.close()

    def _accept(self, bridge: Bridge, stream: Stream) -> None:
        versions = sum(1 << version for version in bridge.config.protocols)
        client = bridge.clients.attach(Connection(versions), service=True, origin=stream.name)
        self._streams[bridge.name][client] = stream
        self.flush(bridge)
        stream.receive(lambda data: self._receive(bridge, client, stream, data))

    def _receive(self, bridge: Bridge, client: Client, stream: Stream, data: bytes) -> None:
        connection = client.connection
        for received in connection.feed(data) if data else ():
            self._received.total += 1
            handle(bridge, client, received)
        if data:
            self._after(bridge)
        if not data or connection.closed is not None:
            if connection.closed is not None:
                self._log.warn("%s<->%s: %s", bridge.name, stream.name, connection.closed)
            self._hang_up(bridge, client, stream)

    def _hang_up(self, bridge: Bridge, client: Client, stream: Stream) -> None:
        stream.write(client.connection.to_send())
        stream.close()
        if self._streams.get(bridge.name, {}).pop(client, None) is not None:
            bridge.clients.detach(client)

    def flush(self, bridge: Bridge) -> None:
        """Writes what waits to be sent by the connections of a bridge."""
        for client, stream in self._streams.get(bridge.name, {}).items():
            data = client.connection.to_send()
            if data:
                stream.write(data)

    def close(self) -> None:
        for name in list(self._streams):
            self.bridge_went(name)
