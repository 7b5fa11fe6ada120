"""Byte streams between daemons and their peers: one interface over unix, TCP, TLS and memory.

A *target* is the text that OVSDB and OpenFlow use to name an end point (ovsdb(7), "Connection Methods").  Active
ones (``unix:FILE``, ``tcp:IP:PORT``, ``ssl:IP:PORT``) are dialled, passive ones (``punix:FILE``,
``ptcp:[PORT][:IP]``, ``pssl:[PORT][:IP]``) are listened on.  Whoever holds a `Stream` cannot tell which of
them it came from; an embedded daemon gets in-memory streams (io/memory.py) with the very same interface.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Stream(Protocol):
    """A connected byte stream, one reader at a time.

    `name` is what log lines call the connection: ``unix:/run/db.sock`` for one that was dialled, ``unix#3``
    or ``tcp:10.0.0.1:4711`` for one that was accepted.  `backlog` is how many written bytes the peer has not
    taken yet.
    """

    @property
    def name(self) -> str: ...

    @property
    def backlog(self) -> int: ...

    async def read(self, most: int = 65536) -> bytes:
        """The bytes that have come, at least one; b"" when the peer has ended.  Raises OSError."""
        ...

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        """From now on, calls `receiver` with bytes as they come, at once and without a task, and with b"" at
        the end (also when the connection broke); `read` is not used any more.  For servers of many clients.
        """
        ...

    def pause(self) -> None:
        """Takes no more bytes from the peer, until `resume`."""
        ...

    def resume(self) -> None: ...

    def write(self, data: bytes) -> None:
        """Sends or queues; never blocks and never fails: a broken connection shows in `read`."""
        ...

    async def drain(self) -> None:
        """Waits until what is queued is little (or the connection is gone)."""
        ...

    def close(self) -> None:
        """Sends what is queued, then closes.  No more bytes are received."""
        ...

    def abort(self) -> None:
        """Closes at once; what is queued is lost."""
        ...


class Listener(Protocol):
    """A passive target that accepts.  `target` has the port that was bound (``ptcp:4711:127.0.0.1``)."""

    @property
    def target(self) -> str: ...

    def close(self) -> None:
        """Stops accepting, removes the unix socket file.  Accepted streams live on."""
        ...


Accept = Callable[[Stream], None]
Dial = Callable[[str], Awaitable[Stream]]
Listen = Callable[[str, Accept], Awaitable[Listener]]
