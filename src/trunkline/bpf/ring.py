"""The BPF ring buffer: programs put records in, one reader takes them out in order (kernel doc bpf/ringbuf).

Three parts are mapped into this process: a page with the position of the *consumer*, which we write; a page
with that of the *producer*; and the data, twice in a row, so that a record that wraps around lies in one
piece all the same.  Each record has a header of 8 bytes: its length with two flags, BUSY (being written:
nothing from there on is ready) and DISCARD (given up by its writer).

Positions are read as whole aligned words through ``memoryview.cast("Q")``; struct.unpack would read them
byte by byte, and tear.  The consumer's position lives in the map: what a process has not read waits for
the next one.
"""

import mmap
from typing import Final

from trunkline.bpf.maps import RINGBUF, Map

_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_LENGTH: Final = _DISCARD - 1
_HEADER: Final = 8


class RingBuffer:
    """The reader of a map of kind RINGBUF; `fileno` is readable while records wait.  Raises OSError."""

    def __init__(self, ring: Map) -> None:
        if ring.kind != RINGBUF:
            raise ValueError(f"map {ring.name} is no ring buffer")
        page = mmap.PAGESIZE
        self._descriptor = ring.descriptor
        self._mask = ring.entries - 1
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        self._ours = mmap.mmap(ring.descriptor, page, mmap.MAP_SHARED, writable)
        self._theirs = mmap.mmap(
            ring.descriptor, page + 2 * ring.entries, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._data = memoryview(self._theirs)[page:]
        self._lengths = self._data.cast("I")
        self._consumer = memoryview(self._ours).cast("Q")
        self._producer = memoryview(self._theirs)[:page].cast("Q")

    def fileno(self) -> int:
        return self._descriptor

    def waiting(self) -> bool:
        """Whether `read` would give something now."""
        at = self._consumer[0]
        return at < self._producer[0] and not self._lengths[(at & self._mask) >> 2] & _BUSY

    def used(self) -> int:
        """Bytes that are taken, headers included."""
        return self._producer[0] - self._consumer[0]

    def read(self, limit: int) -> list[bytes]:
        """The next records, `limit` at most."""
        at, end = self._consumer[0], self._producer[0]
        if at == end:
            return []
        mask, lengths, data = self._mask, self._lengths, self._data
        records: list[bytes] = []
        while at < end and len(records) < limit:
            place = at & mask
            header = lengths[place >> 2]
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARD:
                records.append(bytes(data[place + _HEADER : place + _HEADER + length]))
            at += length + _HEADER + 7 & ~7
        self._consumer[0] = at
        return records

    def close(self) -> None:
        """Gives the mappings back; the map stays open."""
        for view in (self._lengths, self._consumer, self._producer, self._data):
            view.release()
        self._ours.close()
        self._theirs.close()
