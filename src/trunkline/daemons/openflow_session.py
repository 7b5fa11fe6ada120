"""One OpenFlow connection of a bridge, from an open stream to its end.

The protocol is openflow/connection.py's and what messages mean is ofproto/handler.py's; here bytes move, a
silent peer is probed, and whoever snoops on the bridge gets copies.

A peer may send 100,000 messages at once, or ask for a dump as long.  They are carried out in slices of a few
milliseconds, between which packets and the other connections have their turn; until all is done nothing more
is read from that peer, and a dump waits for a peer that does not read it.

An exception is an error of ours.  It costs the message that it came from, never the connection: one line in
the log says what and where (all of the traceback at level dbg), and the peer gets an OpenFlow error.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counter
from trunkline.base.log import Logger
from trunkline.io.loop import Rally
from trunkline.io.streams import Stream
from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.flow_monitors import resume
from trunkline.ofproto.handler import start
from trunkline.openflow import messages as m
from trunkline.openflow.connection import Received, unexpected
from trunkline.openflow.wire import DecodeError, Framer, split

_HELLO: Final = 0
_PROBE_XID: Final = 0
_SLICE: Final = 0.004  # seconds
_MOST_UNSENT: Final = 1 << 20  # bytes, beyond which a peer gets no more until it has read some
_NOTHING: Final = Received(0, m.Hello(0), b"")


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
    for any sign of life; `snoop` gets messages, sent or received, as bytes; `refused` gets the name of the
    connection, that of an error, and the message that it answers.
    """

    def __init__(
        self,
        bridge: Bridge,
        client: Client,
        stream: Stream,
        *,
        clock: Clock,
        log: Logger,
        timing: Timing,
        state: Reconnect,
        remote: str,
        received: Counter,
        sent: Counter,
        carried_out: Callable[[], None],
        ended: Callable[[str, str], None],
        agreed: Callable[[], None] = lambda: None,
        heard: Callable[[m.Message | None], None] = lambda message: None,
        snoop: Callable[[bytes], None] | None = None,
        refused: Callable[[str, str, bytes], None] = lambda name, error, raw: None,
    ) -> None:
        self.bridge = bridge
        self.client = client
        self.stream = stream
        client.outlet = self
        self.state = state
        self.remote = remote
        self._tap = _Tap(snoop) if snoop is not None else None
        self._received, self._sent = received, sent
        self._clock = clock
        self._log = log
        self._timing = timing
        self._agreed = agreed
        self._heard = heard
        self._refused = refused
        self._carried_out = carried_out
        self._ended = ended
        self._rally = Rally()
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._is_paused = False
        self._unread: deque[bytes] = deque()
        self._messages: Iterator[Received] | None = None  # of what was read last
        self._answer: Iterator[None] | None = None  # that is being given
        self._asked = _NOTHING  # the message last carried out
        self._next: asyncio.Handle | None = None  # slice
        self._is_full = False  # what waits to be sent must be sent first
        self._resuming = False  # once all is sent

    def start(self) -> None:
        self.flush()
        self._schedule()
        self.stream.receive(self._receive)

    def _receive(self, data: bytes) -> None:
        if self._is_over:
            return
        self._rally.heard()
        self._unread.append(data)
        if self._next is None and not self._is_full:
            self._go_on()

    def _has_room(self) -> None:
        self._is_full = False
        self._go_on()

    def _go_on(self) -> None:
        """One slice of what the peer has sent."""
        self._next = None
        if self._is_over:
            return
        step, time = self._step, self._clock.monotonic
        end = time() + _SLICE
        if self.stream.backlog < _MOST_UNSENT:
            while step() and time() < end:
                pass
        try:
            self._carried_out()
        except Exception as error:
            self._report("what its messages changed", error)
        self.flush()
        connection = self.client.connection
        if self._is_over:
            return
        if connection.closed is not None:
            self.end(connection.closed, "Protocol error")
            return
        if self._messages is not None or self._unread:
            self._pause(True)
            self._is_full = self.stream.backlog >= _MOST_UNSENT
            if self._is_full:
                self.stream.when_sent(self._has_room)
            else:
                self._next = asyncio.get_running_loop().call_soon(self._go_on)
            return
        self._pause(False)
        self._schedule()

    def _pause(self, pause: bool) -> None:
        if pause != self._is_paused:
            self._is_paused = pause
            if pause:
                self.stream.pause()
            else:
                self.stream.resume()

    def _step(self) -> bool:
        """One message, or a part of a long answer; False if there is nothing to do."""
        if self._answer is not None:
            try:
                if next(self._answer, self) is self:
                    self._answer = None
            except Exception as error:
                self._answer = None
                self._failed(self._asked, error)
            return True
        if self._messages is None:
            if not self._unread:
                return False
            data = self._unread.popleft()
            if not data:
                self.end("connection closed by peer", "End of file")
                return False
            if self._tap is not None:
                self._tap.received(data)
            one = self._begin(data)
        else:
            one = next(self._messages, None)
        fault = self.client.connection.fault
        if fault is not None:
            self.client.connection.fault = None
            self._report(_kind_name(fault[0]), fault[1])
        if one is None:
            self._messages = None
        else:
            self._received.total += 1
            self._asked = one
            try:
                self._heard(one.message)
                self._answer = start(self.bridge, self.client, one)
            except Exception as error:
                self._failed(one, error)
        if self.client.connection.refusals:
            self._tell_refusals()
        return True

    def _tell_refusals(self) -> None:
        refusals = self.client.connection.refusals
        while refusals:
            self._refused(f"{self.bridge.name}<->{self.stream.name}", *refusals.popleft())

    def _failed(self, received: Received, error: Exception) -> None:
        """The message could not be carried out for an error of ours."""
        self._report(_kind_name(received.raw), error)
        connection = self.client.connection
        connection.refuse(received, unexpected(connection.version, received.message))

    def _report(self, what: str, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "somewhere"
        text = "%s<->%s: internal error in %s: %s: %s (%s)"
        kind = type(error).__name__
        self._log.err(text, self.bridge.name, self.stream.name, what, kind, error, where)
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._log.dbg("%s", line)

    def _begin(self, data: bytes) -> Received | None:
        """The first message of what was read; the others are for later.  The peer has been heard, and it may
        be now that a version has been agreed upon."""
        connection = self.client.connection
        was_agreed = bool(connection.version)
        self._messages = connection.messages(data)
        first = next(self._messages, None)
        if connection.version:
            now = self._clock.monotonic()
            if not was_agreed:
                self.state = self.state.happened("connected", self._timing, now)
                self._agreed()
            self.state = self.state.happened("activity", self._timing, now)
            self._heard(None)
        return first

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return self.client.connection.queued + self.stream.backlog

    def flush(self) -> None:
        """Writes what waits to be sent."""
        data = self.client.connection.to_send()
        if data and not self._is_over:
            self.stream.write(data)
            self._rally.said()
            self._sent.total += 1
            if self._tap is not None:
                self._tap.sent(data)
        if self.client.pause is not None and not self._resuming and not self._is_over:
            self._resuming = True
            self.stream.when_sent(self._resume)

    def _resume(self) -> None:
        """Looks whether flow monitors that are paused can go on."""
        self._resuming = False
        if not self._is_over:
            resume(self.client)
            self.flush()

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
        if self._answer is not None:
            self._answer = None
            self.bridge.flows.settle()  # what it has asked for is done, also if it does not wait for it
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

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


def _kind_name(raw: bytes) -> str:
    try:
        return split(raw).kind.name
    except DecodeError:
        return f"a message of type {raw[1]}"
