"""The table of connections in the kernel's maps: a store for the tracker of conntrack/.

The program (program/conntrack.h) and this process work on the same connections.  The program finds them by
the names of their directions, moves their states on with each packet, and begins new ones where nothing is
to be chosen; here others are begun, with ports from NAT and helpers, and all are forgotten.  A connection has
a record in the map `connections`, by number, and two names in the map `directions`, which are those of
conntrack/tuples.py, byte by byte.

What only Python needs stays here: the helper, who expected the connection, the name of its timeout policy.
A packet that comes up is worked on with the record read afresh; what it changes is written back whole.  A
connection that the program has begun has no object here until somebody asks for it.

Who has died is found by going over the records, some thousands at a time, once a second or more seldom: so
that this costs a twentieth of the time at most.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from trunkline.bpf import layout as program
from trunkline.bpf.maps import ANY, NO_EXIST, Map
from trunkline.conntrack import tcp
from trunkline.conntrack.connection import DESTINATION, SOURCE, Connection
from trunkline.conntrack.timeouts import TIMEOUTS
from trunkline.conntrack.tracker import CT_DNAT, CT_SNAT, Tracker
from trunkline.conntrack.tuples import Tuple
from trunkline.packet.parse import TCP

_LOCK: Final = 4  # BPF_F_LOCK: the record's lock is held while it is read or written
_RECORD: Final = program.CONNECTION.packed
_SIDE: Final = program.SIDE.packed
_EXPIRES: Final = struct.Struct("=Q")
_EXPIRES_AT: Final = 8
_NANOSECONDS: Final = 1_000_000_000
_AT_ONCE: Final = 4096
_ROUND: Final = 1.0  # seconds between two rounds of looking for the dead, and
_SHARE: Final = 20  # this many times as long as a round takes
_NO_NAME: Final = bytes(40)
_ZERO12: Final = bytes(12)
_NAME: Final = struct.Struct(">HBB16s16sHH")


class KernelStore:
    """A conntrack.store.Store, of `tracker`, whose policies and settings the program needs, too."""

    def __init__(self, maps: Mapping[str, Map], tracker: Tracker) -> None:
        self._directions, self._records = maps["directions"], maps["connections"]
        self._lifetimes, self._settings = maps["lifetimes"], maps["tracker"]
        self._tracker = tracker
        tracker.maximum = min(tracker.maximum, program.MAX_CONNECTIONS)
        self._connections: dict[int, Connection] = {}
        self._numbers: dict[Connection, int] = {}
        self._shadowed: dict[bytes, list[bytes]] = {}  # what the newer of a name stands before
        self._next = 0
        self._policies: list[str | None] = [None]
        self._written: dict[int, bytes] = {}  # rows of lifetimes
        self._said: bytes = b""  # in settings
        self._sweep: Iterator[tuple[bytes, bytes, int]] | None = None
        self._next_sweep = 0.0
        self._swept = 0.0  # when this round began
        self._count = self._counted = 0  # connections that this round has met, and the one before
        self._take_up()
        self.settle()

    def _take_up(self) -> None:
        """The connections that an earlier process has left, if its maps are ours now.

        Their timeout policies and helpers are not known any more: they live on as all others do.
        """
        for key, record in self._records.items():
            number = int.from_bytes(key, "little")
            self._object(number, record)
            if not number & program.BEGUN_IN_KERNEL:
                self._next = max(self._next, number)

    # ---- what the program has to know beside connections

    def settle(self) -> None:
        """Tells the program of policies and settings, where they have changed."""
        said = program.TRACKER.packed.pack(
            not self._tracker.check_sequences,
            bool(len(self._tracker.expectations)),
            bool(self._tracker.limits) or self._tracker.default_limit is not None,
        )
        if said != self._said:
            self._said = said
            self._settings.update(bytes(4), said)
        for number, name in enumerate(self._policies):
            policy = self._tracker.policies.get(name, {}) if name is not None else {}
            row = program.LIFETIMES.packed.pack(
                *(policy.get(timeout, seconds) for timeout, seconds in TIMEOUTS.items()),
                *(0,) * (16 - len(TIMEOUTS)),
            )
            if self._written.get(number) != row:
                self._written[number] = row
                self._lifetimes.update(number.to_bytes(4, "little"), row)

    def policy(self, name: str | None) -> int:
        """The number of a timeout policy; that of everybody's when there is no room."""
        if name not in self._policies:
            if len(self._policies) == program.MAX_POLICIES:
                return 0
            self._policies.append(name)
            self.settle()
        return self._policies.index(name)

    # ---- the store

    def lookup(self, name: bytes) -> tuple[Connection, bool] | None:
        end = self._directions.lookup(name)
        if end is None:
            return None
        number, reply = program.END.packed.unpack(end)
        record = self._records.lookup(number.to_bytes(4, "little"))
        return (self._object(number, record), bool(reply)) if record is not None else None

    def _object(self, number: int, record: bytes) -> Connection:
        """The connection of a record, as the record has it now."""
        connection = self._connections.get(number)
        if connection is not None:
            _refresh(connection, record)
            return connection
        connection, policy = _connection(record)
        connection.policy = self._policies[policy] if policy < len(self._policies) else None
        self._connections[number] = connection
        self._numbers[connection] = number
        return connection

    def insert(self, connection: Connection) -> bool:
        there, back = connection.original.name(), connection.reply.name()
        if self._directions.lookup(there) is not None:
            return False
        number = self._free_number()
        key = number.to_bytes(4, "little")
        self._records.update(key, self._record(connection), NO_EXIST)
        older = self._directions.lookup(back)
        if older is not None:
            self._shadowed.setdefault(back, []).append(older)
        self._directions.update(back, program.END.packed.pack(number, 1))
        self._directions.update(there, program.END.packed.pack(number, 0), ANY)
        self._connections[number] = connection
        self._numbers[connection] = number
        return True

    def _free_number(self) -> int:
        """Numbers go round, so that one that has become free is not soon another's."""
        while True:
            self._next = (self._next + 1) % program.BEGUN_IN_KERNEL
            if self._next not in self._connections:
                return self._next

    def delete(self, connection: Connection) -> None:
        number = self._numbers.pop(connection, None)
        if number is None:
            return
        del self._connections[number]
        for name in {connection.original.name(), connection.reply.name()}:
            end = self._directions.lookup(name)
            older = [one for one in self._shadowed.pop(name, ()) if _number(one) != number]
            if end is not None and _number(end) == number:
                if older:
                    self._directions.update(name, older.pop())
                else:
                    self._directions.delete(name)
            if older:
                self._shadowed[name] = older
        self._records.delete(number.to_bytes(4, "little"))

    def save(self, connection: Connection) -> None:
        number = self._numbers.get(connection)
        if number is not None:
            self._records.update(number.to_bytes(4, "little"), self._record(connection), _LOCK)

    def connections(self) -> Iterator[Connection]:
        found = []
        for keys, values, count in self._records.batches(_AT_ONCE):
            for i in range(count):
                number = int.from_bytes(keys[i * 4 : i * 4 + 4], "little")
                found.append(self._object(number, values[i * _RECORD.size : (i + 1) * _RECORD.size]))
        yield from found

    def expired(self, now: float) -> Iterator[Connection]:
        """Looks at some of the connections; what is left over is looked at by the next call."""
        if self._sweep is None:
            if now < self._next_sweep:
                return
            self._count = 0
            self._sweep = self._records.batches(_AT_ONCE)
            self._swept = now
        batch = next(self._sweep, None)
        if batch is None:
            self._sweep = None
            self._counted = self._count
            self._next_sweep = now + max(_ROUND, _SHARE * (now - self._swept))
            self.settle()
            return
        keys, values, count = batch
        self._count += count
        end = int(now * _NANOSECONDS)
        for i in range(count):
            if _EXPIRES.unpack_from(values, i * _RECORD.size + _EXPIRES_AT)[0] <= end:
                number = int.from_bytes(keys[i * 4 : i * 4 + 4], "little")
                yield self._object(number, values[i * _RECORD.size : (i + 1) * _RECORD.size])

    def next_expiry(self) -> float | None:
        if self._sweep is not None:
            return 0.0
        return self._next_sweep

    def has_room(self, maximum: int) -> bool:
        """By the count of the last round, which is some seconds old."""
        return self._counted + len(self._connections) < maximum or len(self) < maximum

    def __len__(self) -> int:
        return sum(count for _, _, count in self._records.batches(_AT_ONCE))

    # ---- records

    def _record(self, connection: Connection) -> bytes:
        state, first, second = 0, bytes(_SIDE.size), bytes(_SIDE.size)
        if connection.original.protocol == TCP:
            first, second = map(_side, connection.state)
        else:
            state = connection.state
        slow = bool(connection.helper or connection.skew[0])
        parent = connection.parent
        return _RECORD.pack(
            0,
            program.CONNECTION_SLOW * slow | program.CONNECTION_EXPECTED * (parent is not None),
            int(connection.expires * _NANOSECONDS),
            connection.original.name(),
            connection.reply.name(),
            _NO_NAME if parent is None else parent.name(),
            first,
            second,
            connection.mark.to_bytes(4, "big"),
            connection.label.to_bytes(16, "big"),
            int(connection.lifetime),
            self.policy(connection.policy),
            (CT_SNAT if connection.nat & SOURCE else 0) | (CT_DNAT if connection.nat & DESTINATION else 0),
            state,
            0,
        )


def _connection(record: bytes) -> tuple[Connection, int]:
    """A connection made of its record, and the number of its timeout policy."""
    _, flags, _, original, reply, parent, *_, policy, nat, _, _ = _RECORD.unpack(record)
    there = tuple_of(original)
    connection = Connection(there, (tcp.Side(), tcp.Side()) if there.protocol == TCP else 0)
    connection.reply = tuple_of(reply)
    connection.parent = tuple_of(parent) if flags & program.CONNECTION_EXPECTED else None
    connection.nat = (SOURCE if nat & CT_SNAT else 0) | (DESTINATION if nat & CT_DNAT else 0)
    _refresh(connection, record)
    return connection, policy


def _number(end: bytes) -> int:
    return int.from_bytes(end[:4], "little")


def _side(side: tcp.Side) -> bytes:
    return _SIDE.pack(
        side.low & 0xFFFFFFFF, side.high & 0xFFFFFFFF, side.max_window & 0xFFFFFFFF, side.scale, side.state, 0
    )


def _refresh(connection: Connection, record: bytes) -> None:
    """What the program may have changed."""
    _, _, expires, _, _, _, first, second, mark, label, lifetime, _, _, state, _ = _RECORD.unpack(record)
    connection.expires = expires / _NANOSECONDS
    connection.lifetime = float(lifetime)
    connection.mark = int.from_bytes(mark, "big")
    connection.label = int.from_bytes(label, "big")
    if connection.original.protocol == TCP:
        for side, packed in zip(connection.state, (first, second), strict=True):
            side.low, side.high, side.max_window, side.scale, side.state, _ = _SIDE.unpack(packed)
    else:
        connection.state = state


def tuple_of(name: bytes) -> Tuple:
    """The direction that has this name (Tuple.name)."""
    zone, family, protocol, src, dst, a, b = _NAME.unpack(name)
    if family == 4:
        src, dst = src[len(_ZERO12) :], dst[len(_ZERO12) :]
    return Tuple(zone, family, protocol, src, dst, a, b)
