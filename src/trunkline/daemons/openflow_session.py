"""One OpenFlow connection of a bridge, from an open stream to its end.

The protocol is openflow/connection.py's and what messages mean is ofproto/handler.py's; here bytes move, a
silent peer is probed, and whoever snoops on the bridge gets copies.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counter
from trunkline.io.streams import Stream
from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.handler import handle
from trunkline.openflow import messages as m
from trunkline.openflow.wire import Framer

_HELLO: Final = 0
_PROBE_XID: Final = 0


class _Tap:
    """Copies of the messages of a connection, those about its version apart."""

    def __init__(self, snoop: Callable[[bytes], None]) -> None:
        self._snoop = snoop
        self._received = Framer()
        self._sent = Framer()

    def received(self, data: bytes) -> None:
        self._copy(self._received, data)

    def sent(self, data: bytes) -> None:
        self._copy(self._sent, data)

    def _copy(self, framer: Framer, data: bytes) -> None:
        for raw in framer.feed(data):
            if raw[1] != _HELLO:
                self._snoop(raw)


class Session:
    """`carried_out` is called after each batch of messages, `ended` once, with the reason and an errno text.

    `remote` is the target that the connection came from or to, as configured; `state` is where it stands
    (ACTIVE from the agreement on a version, IDLE after a probe); `heard` gets each message, and None first
    for any sign of life; `snoop` gets messages, sent or received, as bytes.
    """

    def __init__(
        self,
        bridge: Bridge,
        client: Client,
        stream: Stream,
        *,
        clock: Clock,
        timing: Timing,
        state: Reconnect,
        remote: str,
        received: Counter,
        carried_out: Callable[[], None],
        ended: Callable[[str, str], None],
        agreed: Callable[[], None] = lambda: None,
        heard: Callable[[m.Message | None], None] = lambda message: None,
        snoop: Callable[[bytes], None] | None = None,
    ) -> None:
        self.bridge = bridge
        self.client = client
        self.stream = stream
        self.state = state
        self.remote = remote
        self._tap = _Tap(snoop) if snoop is not None else None
        self._received = received
        self._clock = clock
        self._timing = timing
        self._agreed = agreed
        self._heard = heard
        self._carried_out = carried_out
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def start(self) -> None:
        self.flush()
        self._schedule()
        self.stream.receive(self._receive)

    def _receive(self, data: bytes) -> None:
        if self._is_over:
            return
        if not data:
            self.end("connection closed by peer", "End of file")
            return
        connection = self.client.connection
        was_agreed = bool(connection.version)
        received = connection.feed(data)
        if connection.version and not was_agreed:
            self.state = self.state.happened("connected", self._timing, self._clock.monotonic())
            self._agreed()
        if connection.version:
            self.state = self.state.happened("activity", self._timing, self._clock.monotonic())
            self._heard(None)
        if self._tap is not None:
            self._tap.received(data)
        for one in received:
            self._received.total += 1
            self._heard(one.message)
            handle(self.bridge, self.client, one)
        self._carried_out()
        self.flush()
        if connection.closed is not None:
            self.end(connection.closed, "Protocol error")
        else:
            self._schedule()

    def flush(self) -> None:
        """Writes what waits to be sent."""
        data = self.client.connection.to_send()
        if data and not self._is_over:
            self.stream.write(data)
            if self._tap is not None:
                self._tap.sent(data)

    def end(self, reason: str, error: str) -> None:
        """Sends what is queued and closes."""
        if self._is_over:
            return
        self.flush()
        self.forget()
        self.stream.close()
        self._ended(reason, error)

    def forget(self) -> None:
        """From now on nothing happens any more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- probes

    def set_timing(self, timing: Timing) -> None:
        self._timing = timing
        self._schedule()

    def _schedule(self) -> None:
        deadline = self.state.deadline(self._timing)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._is_over:
            delay = max(0.0, deadline - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        action = self.state.due(self._timing, now)
        if action == "probe":
            self.client.connection.send(m.EchoRequest(b""), xid=_PROBE_XID)
            self.flush()
            self.state = self.state.probing(now)
        elif action == "disconnect" and self.state.state == "IDLE":
            seconds = round(now - self.state.since)
            text = f"no response to inactivity probe after {seconds} seconds, disconnecting"
            self.end(text, "Connection timed out")
            return
        elif action == "disconnect":
            self.end("connection timed out", "Connection timed out")
            return
        self._schedule()
