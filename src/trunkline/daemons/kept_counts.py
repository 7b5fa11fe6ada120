"""What the rules and groups of a bridge have counted, in files beside its journal: BRIDGE.counts.N.

A snapshot of the journal has the counters of them all, and is rarely made.  In between they are written
here, before whoever asks for them is answered: what somebody has been told is not taken back by `kill -9`.
A record is

    name   what the rule matches, or which group or bucket it is, as a number (`name` of these)
    since  Clock.monotonic() when the record was begun
    packets, bytes

and each rule, group or bucket that counts has one, written over and over in shared memory.  A rule that goes
leaves its record behind.  An equal rule that comes later is told from it by its time: its counters began
after the record did.

With each snapshot a file is begun, and the older ones go when the snapshot has taken the journal's place: at
every moment the journal and the files together have the last number of every rule.
"""

import glob
import mmap
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

from trunkline.base.clock import Clock
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.rules import Counters

_RECORD: Final = Struct("=qdQQ")
_MAGIC: Final = b"trunkline counts 1".ljust(_RECORD.size, b"\0")
_FIRST: Final = 1 << 16  # bytes of a file, which doubles when it is full


class KeptCounts:
    """The files that begin with `path`.  Every method may raise OSError."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._number = max(self._numbers(), default=0)
        self._changed: list[Counters] = []
        self._placed: list[Counters] = []  # those that have a record in the present file
        self._descriptor: int | None = None
        self._memory: mmap.mmap | None = None
        self._end = self._size = 0

    def _numbers(self) -> list[int]:
        found = (path.rpartition(".")[2] for path in glob.glob(f"{glob.escape(self._path)}.*"))
        return sorted(int(number) for number in found if number.isdecimal())

    # ---- the beginning

    def restore(self, bridge: Bridge) -> int:
        """Gives rules and groups what they had counted; how many counters there were."""
        known: dict[int, tuple[float, int, int]] = {}
        for number in self._numbers():
            with open(f"{self._path}.{number}", "rb") as file:
                data = file.read()
            if data[: len(_MAGIC)] != _MAGIC:
                continue
            for name, since, packets, octets in _RECORD.iter_unpack(data[len(_MAGIC) :]):
                if since and since >= known.get(name, (0.0, 0, 0))[0]:
                    known[name] = since, packets, octets
        count = 0
        for name, counters in _counters(bridge) if known else ():
            since, packets, octets = known.get(name, (0.0, 0, 0))
            if since >= counters.begun and packets >= counters.packets:
                counters.packets, counters.bytes = packets, max(octets, counters.bytes)
                count += 1
        return count

    def follow(self, bridge: Bridge) -> None:
        """From now on counters of this bridge say when they change."""
        bridge.flows.tables.changed = self._changed
        for _, counters in _counters(bridge):
            if counters.name is not None and counters.changed is None:
                counters.changed = self._changed

    # ---- as time goes on

    def write(self) -> None:
        """Puts down what has been counted."""
        if not self._changed or self._descriptor is None:
            return
        for counters in self._changed:
            if counters.place < 0:
                self._place(counters)
            assert self._memory is not None
            _COUNTS.pack_into(self._memory, counters.place, counters.packets, counters.bytes)
            counters.changed = self._changed
        self._changed.clear()

    def _place(self, counters: Counters) -> None:
        if self._end + _RECORD.size > self._size:
            self._grow(self._size * 2)
        assert self._memory is not None
        _RECORD.pack_into(self._memory, self._end, counters.name, self._clock.monotonic(), 0, 0)
        counters.place = self._end + _RECORD.size - _COUNTS.size
        self._end += _RECORD.size
        self._placed.append(counters)

    def begin(self) -> None:
        """Another file: a snapshot is begun."""
        self.write()
        self._number += 1
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(f"{self._path}.{self._number}", flags, 0o600)
        self.close()
        self._descriptor = descriptor
        self._grow(_FIRST)
        assert self._memory is not None
        self._memory[: len(_MAGIC)] = _MAGIC
        self._end = len(_MAGIC)
        for counters in self._placed:
            counters.place = -1
        self._placed.clear()

    def _grow(self, size: int) -> None:
        assert self._descriptor is not None
        os.posix_fallocate(
            self._descriptor, 0, size
        )  # or writing there would end the process, on a full disk
        if self._memory is not None:
            self._memory.close()
        self._memory = mmap.mmap(self._descriptor, size)
        self._size = size

    def settle(self) -> None:
        """The snapshot is the journal now: what is older than it is not needed."""
        for number in self._numbers():
            if number != self._number:
                os.unlink(f"{self._path}.{number}")

    # ---- the end

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        self.close()
        for number in self._numbers():
            os.unlink(f"{self._path}.{number}")


def _counters(bridge: Bridge) -> Iterator[tuple[int, Counters]]:
    """All that may be kept, with their names."""
    for rule in bridge.flows.tables.rules(hidden=True):
        yield rule.name(), rule.counters
    for group in bridge.groups.values():
        yield from group.all_counters()


_COUNTS: Final = Struct("=QQ")
