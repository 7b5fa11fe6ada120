"""Where connections are kept.

The state machine asks its store few things, so that another one (maps of the kernel) can stand in its place:
look up a name, insert if both names are free, delete, go over all, and say that a connection has changed.

`MemoryStore` is a dict from the names of both directions (bytes: whoever sends packets chooses them) to the
connection.  Those that die together lie in one queue: there is a queue for each duration, and a connection
that a packet has touched goes to its queue's end, so the one that dies next is always at the front.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from trunkline.conntrack.connection import Connection


class Store(Protocol):
    def lookup(self, name: bytes) -> tuple[Connection, bool] | None:
        """The connection that a direction's name belongs to; true if it is the reply's."""

    def insert(self, connection: Connection) -> bool:
        """Adds it under both names if the original direction's is free; false: it is not, nothing is changed.

        Where another has the reply's name, answers go to the newer one as long as it lives.
        """

    def delete(self, connection: Connection) -> None: ...

    def save(self, connection: Connection) -> None:
        """Its state or the time of its end (`expires`, `lifetime`) has changed."""

    def connections(self) -> Iterator[Connection]:
        """A snapshot, the oldest first."""

    def expired(self, now: float) -> Iterator[Connection]:
        """Those whose time has come."""

    def next_expiry(self) -> float | None: ...

    def has_room(self, maximum: int) -> bool:
        """Whether there are fewer connections; a store may count them seldom."""

    def __len__(self) -> int: ...


class MemoryStore:
    __slots__ = ("_by_name", "_connections", "_queues", "_shadowed")

    def __init__(self) -> None:
        self._by_name: dict[bytes, tuple[Connection, bool]] = {}
        self._shadowed: dict[bytes, list[tuple[Connection, bool]]] = {}  # behind the newer of a name
        self._connections: dict[Connection, float] = {}  # with the lifetime, which names its queue
        self._queues: dict[float, OrderedDict[Connection, None]] = {}

    def lookup(self, name: bytes) -> tuple[Connection, bool] | None:
        return self._by_name.get(name)

    def insert(self, connection: Connection) -> bool:
        there, back = connection.original.name(), connection.reply.name()
        if there in self._by_name:
            return False
        # One whose directions have the same name is found as its own original direction.
        if back in self._by_name:
            self._shadowed.setdefault(back, []).append(self._by_name[back])
        self._by_name[back] = connection, True
        self._by_name[there] = connection, False
        self._connections[connection] = connection.lifetime
        self._queues.setdefault(connection.lifetime, OrderedDict())[connection] = None
        return True

    def delete(self, connection: Connection) -> None:
        lifetime = self._connections.pop(connection, None)
        if lifetime is None:
            return
        for name in (connection.original.name(), connection.reply.name()):
            older = [one for one in self._shadowed.pop(name, ()) if one[0] is not connection]
            if name in self._by_name and self._by_name[name][0] is connection:
                del self._by_name[name]
                if older:
                    self._by_name[name] = older.pop()
            if older:
                self._shadowed[name] = older
        self._leave(connection, lifetime)

    def _leave(self, connection: Connection, lifetime: float) -> None:
        queue = self._queues[lifetime]
        del queue[connection]
        if not queue:
            del self._queues[lifetime]

    def save(self, connection: Connection) -> None:
        lifetime = self._connections.get(connection)
        if lifetime is None:
            return
        if lifetime == connection.lifetime:
            self._queues[lifetime].move_to_end(connection)
            return
        self._leave(connection, lifetime)
        self._connections[connection] = connection.lifetime
        self._queues.setdefault(connection.lifetime, OrderedDict())[connection] = None

    def connections(self) -> Iterator[Connection]:
        yield from list(self._connections)

    def expired(self, now: float) -> Iterator[Connection]:
        for queue in list(self._queues.values()):
            while queue:
                first = next(iter(queue))
                if first.expires > now:
                    break
                yield first
                if first in queue:  # whoever asked has left it in place
                    break

    def next_expiry(self) -> float | None:
        return min((next(iter(queue)).expires for queue in self._queues.values()), default=None)

    def has_room(self, maximum: int) -> bool:
        return len(self._connections) < maximum

    def __len__(self) -> int:
        return len(self._connections)
