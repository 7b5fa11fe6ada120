"""Streams in memory, for daemons that live in one process: the interface of io/streams.py without a socket.

A `MemoryNetwork` is a little world of its own: who listens on ``punix:/x/db.sock`` or ``ptcp:6640:10.0.0.1``
there can be dialled at ``unix:/x/db.sock`` or ``tcp:10.0.0.1:6640`` there, and nowhere else.  Bytes are
delivered by the loop's next turn, never within `write`, as with sockets.
"""

import asyncio
import errno
import os
from collections.abc import Callable

from trunkline.base.targets import OVSDB_PORT, Target, TargetError, parse_target
from trunkline.io.streams import Accept, Listener, Stream, bracketed


class MemoryStream:
    """One end of a pair."""

    LOW = 65_536  # bytes on the way that `drain` waits for to fall below

    def __init__(self, name: str) -> None:
        self.name = name
        self.peer: MemoryStream | None = None
        self._incoming = bytearray()
        self._receiver: Callable[[bytes], None] | None = None
        self._paused = False
        self._peer_ended = False  # no more bytes will come in
        self._closed = False
        self._told = False  # the receiver has heard of the end
        self._scheduled = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._emptied: list[Callable[[], None]] = []  # of the peer, who waits for all to be taken

    @property
    def backlog(self) -> int:
        return len(self.peer._incoming) if self.peer is not None else 0

    @property
    def peer_id(self) -> str | None:
        return None

    def mark(self, dscp: int) -> None:
        """There is no IP here."""

    async def read(self, most: int = 65536) -> bytes:
        while not self._incoming and not self._peer_ended and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = bytes(self._incoming[:most])
        del self._incoming[:most]
        self._taken()
        return data

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        self._receiver = receiver
        self._schedule()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._schedule()

    def write(self, data: bytes) -> None:
        if self.peer is not None and not self._closed and not self.peer._closed:
            self.peer._incoming += data
            self.peer._schedule()

    async def drain(self) -> None:
        if self.peer is not None and self.backlog > self.LOW and not self.peer._closed:
            self.peer._drained = asyncio.get_running_loop().create_future()
            await self.peer._drained

    def when_sent(self, callback: Callable[[], None]) -> None:
        if self.peer is None or not self.backlog or self.peer._closed:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self.peer._emptied.append(callback)

    def close(self) -> None:
        self._closed = True
        self._receiver = None
        self._incoming.clear()
        self._taken()
        self._wake()
        if self.peer is not None:
            self.peer._peer_ended = True
            self.peer._schedule()

    def abort(self) -> None:
        if self.peer is not None:
            self.peer._incoming.clear()
        self.close()

    def _schedule(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        self._wake()
        if self._receiver is None or self._paused:
            return
        if self._incoming:
            data = bytes(self._incoming)
            self._incoming.clear()
            self._taken()
            self._receiver(data)
            self._schedule()
        elif self._peer_ended and not self._told:
            self._told = True
            self._receiver(b"")

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _taken(self) -> None:
        drained = self._drained
        if drained is not None and len(self._incoming) <= self.LOW and not drained.done():
            drained.set_result(None)
        if self._emptied and not self._incoming:
            emptied, self._emptied = self._emptied, []
            for callback in emptied:
                asyncio.get_running_loop().call_soon(callback)


def pair(dialled: str = "unix:memory", accepted: str = "unix#0") -> tuple[MemoryStream, MemoryStream]:
    """Two connected streams, with these names."""
    one, other = MemoryStream(dialled), MemoryStream(accepted)
    one.peer, other.peer = other, one
    return one, other


class _MemoryListener:
    def __init__(self, target: str, close: Callable[[], None]) -> None:
        self.target = target
        self.close = close


class MemoryNetwork:
    """`dial` and `listen` for the Envs of daemons that shall find each other in one process."""

    def __init__(self, directory: str = "") -> None:
        self._directory = directory
        self._accepts: dict[tuple[str, str, int], Accept] = {}
        self._count = 0
        self._next_port = 49152

    async def dial(self, target: str, *, port: int = OVSDB_PORT) -> Stream:
        where = self._parse(target, port)
        if where.method.startswith("p"):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        accept = self._accepts.get(where) or self._accepts.get((where.method, "", where.port))
        if accept is None:
            code = errno.ENOENT if where.method == "unix" else errno.ECONNREFUSED
            raise OSError(code, os.strerror(code))
        accepted = f"unix#{self._count}"
        self._count += 1
        if where.method != "unix":
            accepted = f"{where.method}:{bracketed('127.0.0.1')}:{self._port()}"
        one, other = pair(target, accepted)
        asyncio.get_running_loop().call_soon(accept, other)
        return one

    async def listen(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Listener:
        where = self._parse(target, port)
        if not where.method.startswith("p"):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        method = where.method[1:]
        number = where.port or (self._port() if method != "unix" else 0)
        key = (method, where.host, number)
        if key in self._accepts and method != "unix":
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._accepts[key] = accept
        text = target
        if method != "unix":
            text = f"{where.method}:{number}" + (f":{bracketed(where.host)}" if where.host else "")

        def close() -> None:
            if self._accepts.get(key) is accept:
                del self._accepts[key]

        return _MemoryListener(text, close)

    def _port(self) -> int:
        self._next_port += 1
        return self._next_port

    def _parse(self, text: str, port: int) -> Target:
        try:
            return parse_target(text, port=port, directory=self._directory)
        except TargetError:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from None
