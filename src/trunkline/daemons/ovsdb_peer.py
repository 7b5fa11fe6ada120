"""A connection of ovsdb-server to another one, made anew whenever it breaks: for backups and relays.

What is said over it is a conversation of the layers below (ovsdb/replication.py, ovsdb/relay.py); when to
connect, to ask for a sign of life and to give up is the state machine's (jsonrpc/reconnect.py).
"""

import asyncio
import errno
import os
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Sequence
from typing import Protocol

from trunkline.daemons.env import Env
from trunkline.io.streams import Stream
from trunkline.jsonrpc.reconnect import Event, Reconnect, Timing
from trunkline.jsonrpc.reconnect_log import tell_connecting, tell_ended, tell_failed, tell_waiting
from trunkline.ovsdb.replication import BrokenConversation


class Conversation(Protocol):
    """One connection's worth.  `receive` raises BrokenConversation: connect anew; what else it raises ends
    `Peer.run`."""

    def receive(self, data: bytes) -> None: ...

    def take_output(self) -> bytes: ...

    def probe(self) -> None: ...


class Peer:
    """Tries `targets` one after the other.  `begin` is called for each connection, `ended` after it."""

    def __init__(
        self,
        env: Env,
        targets: Sequence[str],
        timing: Callable[[], Timing],
        begin: Callable[[], Conversation],
        ended: Callable[[], None],
    ) -> None:
        self.env = env
        self.targets = list(targets)
        self._timing = timing
        self._begin = begin
        self._ended = ended
        self._state = Reconnect()
        self._stream: Stream | None = None
        self._conversation: Conversation | None = None
        self._log = env.log.module("reconnect")
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        self._happened("enable")
        attempt = 0
        while True:
            deadline = self._state.deadline(self._timing())
            if deadline is not None:
                await asyncio.sleep(max(0.0, deadline - self.env.clock.monotonic()))
            await self._connect(self.targets[attempt % len(self.targets)])
            attempt += 1

    def timing_changed(self) -> None:
        """What `timing` gives is to count for the connection that there is, too."""
        self._changed.set()

    def flush(self) -> None:
        """Sends what the conversation has to say."""
        if self._stream is not None and self._conversation is not None:
            self._stream.write(self._conversation.take_output())

    def _happened(self, event: Event) -> None:
        self._state = self._state.happened(event, self._timing(), self.env.clock.monotonic())

    async def _connect(self, target: str) -> None:
        self._happened("connecting")
        attempt = self._state
        tell_connecting(self._log, target, attempt, self._timing())
        self.env.counters.counter("stream_open").add()
        try:
            async with asyncio.timeout(max(1.0, self._state.backoff)):
                stream = await self.env.dial(target)
        except (OSError, TimeoutError) as error:
            reason = os.strerror(error.errno) if error.errno else "Connection timed out"
            tell_failed(self._log, target, reason, attempt, self._timing())
            self._happened("disconnected")
        else:
            self._happened("connected")
            self._log.info("%s: connected", target)
            self._stream = stream
            try:
                reason = await self._talk(stream)
            finally:
                self._stream = self._conversation = None
                stream.abort()
                self._happened("disconnected")
                self._ended()
            tell_ended(self._log, target, reason)
        tell_waiting(self._log, target, attempt, self._state, self._timing())

    async def _talk(self, stream: Stream) -> str:
        """Until the connection ends; says why it did, "" when the peer closed it."""
        conversation = self._conversation = self._begin()
        stream.write(conversation.take_output())
        reading = asyncio.ensure_future(stream.read())
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            while True:
                if changing.done():
                    self._changed.clear()
                    changing = asyncio.ensure_future(self._changed.wait())
                deadline = self._state.deadline(self._timing())
                now = self.env.clock.monotonic()
                wait = None if deadline is None else max(0.0, deadline - now)
                done, _ = await asyncio.wait((reading, changing), timeout=wait, return_when=FIRST_COMPLETED)
                if reading not in done:
                    action = self._state.due(self._timing(), self.env.clock.monotonic())
                    if action == "disconnect":
                        return "no response to inactivity probe"
                    if action == "probe":
                        conversation.probe()
                        stream.write(conversation.take_output())
                        self._state = self._state.probing(self.env.clock.monotonic())
                    continue
                data = reading.result()
                if not data:
                    return ""
                conversation.receive(data)
                stream.write(conversation.take_output())
                self._happened("activity")
                reading = asyncio.ensure_future(stream.read())
        except OSError as error:
            return os.strerror(error.errno or errno.ECONNRESET)
        except BrokenConversation as error:
            return str(error)
        finally:
            reading.cancel()
            changing.cancel()
