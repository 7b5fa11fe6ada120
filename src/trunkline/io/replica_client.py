"""Drives a `Replica` over a stream, for daemons: connects, reconnects, probes, and wakes who waits.

The replica (ovsdb/replica.py) knows what to say, the state machine (jsonrpc/reconnect.py) when to connect and
when to give up; this module moves bytes and time between them.
"""

import asyncio
from contextlib import suppress

from trunkline.base.clock import Clock
from trunkline.base.log import Log
from trunkline.io.files import error_text
from trunkline.io.streams import Dial, Stream
from trunkline.jsonrpc.reconnect import Event, Reconnect, Timing
from trunkline.jsonrpc.reconnect_log import tell_connecting, tell_ended, tell_failed, tell_waiting
from trunkline.ovsdb.replica import Outcome, Replica, ReplicaError
from trunkline.ovsdb.rows import Transaction


class ReplicaClient:
    """One replica's connection to `remote`, an active target.

    `changed` is set whenever rows, lock, synchronization or outcomes changed; who waits for it clears it.
    """

    def __init__(
        self,
        remote: str,
        replica: Replica,
        *,
        dial: Dial,
        clock: Clock,
        log: Log,
        timing: Timing = Timing(),  # noqa: B008 - an immutable record
    ) -> None:
        self.remote = remote
        self.replica = replica
        self.changed = asyncio.Event()
        self.state = Reconnect()
        self._dial = dial
        self._clock = clock
        self._log = log.module("reconnect")
        self._timing = timing
        self._stream: Stream | None = None
        self._outcomes: dict[int, asyncio.Future[Outcome]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keeps the replica connected until cancelled."""
        self._happened("enable")
        try:
            while True:
                deadline = self.state.deadline(self._timing)
                if deadline is not None:
                    await asyncio.sleep(max(0.0, deadline - self._clock.monotonic()))
                await self._connection()
        finally:
            if self._stream is not None:
                self._stream.close()
            self.replica.connection_lost()
            self._deliver()

    async def transact(self, transaction: Transaction) -> Outcome:
        """The outcome of a transaction, when it has come.  Rows are up to date with it by then."""
        token = self.send(transaction)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._outcomes[token] = future
        self._deliver()
        try:
            return await future
        finally:
            self._outcomes.pop(token, None)

    def send(self, transaction: Transaction) -> int:
        """Sends without waiting; the outcome comes by `replica.take_outcomes`."""
        token = self.replica.transact(transaction)
        self._flush()
        if not self.replica.connected:
            self.changed.set()
        return token

    def flush(self) -> None:
        """Sends what the replica has to send (after `set_condition`)."""
        self._flush()

    async def _connection(self) -> None:
        """One connection, from dialling to its end."""
        self._happened("connecting")
        attempt = self.state
        tell_connecting(self._log, self.remote, attempt, self._timing)
        try:
            async with asyncio.timeout(max(1.0, self.state.backoff)):
                stream = await self._dial(self.remote)
        except (OSError, TimeoutError) as error:
            reason = "Connection timed out" if isinstance(error, TimeoutError) else error_text(error)
            tell_failed(self._log, self.remote, reason, attempt, self._timing)
            self._happened("disconnected")
            tell_waiting(self._log, self.remote, attempt, self.state, self._timing)
            return
        self._stream = stream
        self._happened("connected")
        self._log.info("%s: connected", self.remote)
        self.replica.connection_made()
        self._flush()
        reason = ""
        try:
            reason = await self._serve(stream)
        finally:
            self._stream = None
            stream.abort()
            self.replica.connection_lost()
            self._happened("disconnected")
            self._deliver()
            self.changed.set()
        tell_ended(self._log, self.remote, reason)
        tell_waiting(self._log, self.remote, attempt, self.state, self._timing)

    async def _serve(self, stream: Stream) -> str:
        """Moves bytes until the connection ends; says why it did, "" when the peer closed it."""
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                deadline = self.state.deadline(self._timing)
                wait = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
                done, _ = await asyncio.wait((reading,), timeout=wait)
                if not done:
                    action = self.state.due(self._timing, self._clock.monotonic())
                    if action == "probe":
                        self.replica.probe()
                        self._flush()
                        self.state = self.state.probing(self._clock.monotonic())
                    elif action == "disconnect":
                        return "no response to inactivity probe"
                    continue
                try:
                    data = reading.result()
                    if not data:
                        return ""
                    self.replica.receive(data)
                except OSError as error:
                    return error.strerror or "Connection reset by peer"
                except ReplicaError as error:
                    return str(error)
                self._happened("activity")
                self._flush()
                self._deliver()
                self.changed.set()
                reading = asyncio.ensure_future(stream.read())
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await reading

    def _happened(self, event: Event) -> None:
        self.state = self.state.happened(event, self._timing, self._clock.monotonic())

    def _flush(self) -> None:
        data = self.replica.take_output()
        if data and self._stream is not None:
            self._stream.write(data)

    def _deliver(self) -> None:
        """Hands outcomes to who awaits them; the others stay for `take_outcomes`."""
        if not self._outcomes:
            return
        rest = []
        for outcome in self.replica.take_outcomes():
            future = self._outcomes.pop(outcome.token, None)
            if future is None:
                rest.append(outcome)
            elif not future.done():
                future.set_result(outcome)
        self.replica.put_back(rest)
