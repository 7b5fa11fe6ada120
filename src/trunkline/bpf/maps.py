"""BPF maps: tables in the kernel that programs and user space share.

A map has keys and values of fixed size; here both are bytes, whose layout is the business of who uses the
map.  The value of a *per-CPU* map is, seen from user space, that of every possible CPU one after the other,
each rounded up to 8 bytes (`stride` is the size of all).

A single call costs about a microsecond; a batch call handles thousands of elements at 0.1 to 0.5 us each.
Hash maps may change while they are read in batches: an element that stays is seen at least once.
"""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from trunkline.bpf import system_calls as kernel
from trunkline.bpf.system_calls import BpfError, address, bpf, buffer, failed, raw

HASH, ARRAY, PROG_ARRAY, PERCPU_HASH, PERCPU_ARRAY = 1, 2, 3, 5, 6
LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE, DEVMAP_HASH, RINGBUF = 9, 10, 11, 25, 27
PER_CPU: Final = frozenset((PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH))
WITH_TYPES: Final = frozenset((HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH, LRU_PERCPU_HASH))
"""Kinds of map that take the BTF types of key and value."""

ANY, NO_EXIST, EXIST = 0, 1, 2
NO_PREALLOC, MMAPABLE, RDONLY_PROG = 1, 0x400, 0x80
NAME_LIMIT: Final = 15


@cache
def possible_cpus() -> int:
    """How many CPUs the kernel could ever have: the number of values of a per-CPU element."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.rpartition(",")[2].rpartition("-")[2]) + 1


class Map:
    """An open map: the descriptor is this object's, and closed with it."""

    __slots__ = (
        "_delete", "_key", "_lookup", "_update", "_value", "descriptor", "entries", "flags", "id", "key_size",
        "kind", "name", "stride", "value_size",
    )  # fmt: skip

    def __init__(self, descriptor: int) -> None:
        """A map that is there.  Raises BpfError."""
        self.descriptor = descriptor
        facts = kernel.information(descriptor)
        self.kind, self.id, self.key_size, self.value_size, self.entries, self.flags = struct.unpack_from(
            "=6I", facts
        )
        self.name = facts[24:40].rstrip(b"\0").decode()
        each = self.value_size + 7 & ~7
        self.stride: int = each * possible_cpus() if self.kind in PER_CPU else self.value_size
        self._key, self._value = buffer(self.key_size), buffer(self.stride)
        # The structures of the three common calls, made once: descriptor, key, value, flags.
        key, value = address(self._key), address(self._value)
        self._lookup = buffer(struct.pack("=IxxxxQQQ", descriptor, key, value, 0))
        self._update = buffer(struct.pack("=IxxxxQQQ", descriptor, key, value, 0))
        self._delete = buffer(struct.pack("=IxxxxQQQ", descriptor, key, 0, 0))

    def __repr__(self) -> str:
        return f"<map {self.name} {self.id}>"

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _set(self, block: kernel.Buffer, content: bytes, size: int, what: str) -> None:
        if len(content) != size:
            raise ValueError(f"map {self.name}: a {what} has {size} bytes, not {len(content)}")
        ctypes.memmove(block, content, size)

    # ---- one element

    def lookup(self, key: bytes) -> bytes | None:
        """The value, `stride` bytes; None: there is no such element.  Raises BpfError."""
        self._set(self._key, key, self.key_size, "key")
        if raw(kernel.MAP_LOOKUP_ELEM, self._lookup) < 0:
            if ctypes.get_errno() == errno.ENOENT:
                return None
            raise failed(kernel.MAP_LOOKUP_ELEM, f" (map {self.name})")
        return self._value.raw[: self.stride]

    def update(self, key: bytes, value: bytes, flags: int = ANY) -> None:
        """Raises BpfError: EEXIST with NO_EXIST, ENOENT with EXIST, E2BIG if the map is full."""
        self._set(self._key, key, self.key_size, "key")
        self._set(self._value, value, self.stride, "value")
        struct.pack_into("=Q", self._update, 24, flags)
        if raw(kernel.MAP_UPDATE_ELEM, self._update) < 0:
            raise failed(kernel.MAP_UPDATE_ELEM, f" (map {self.name})")

    def delete(self, key: bytes) -> bool:
        """Whether it was there.  Raises BpfError."""
        self._set(self._key, key, self.key_size, "key")
        if raw(kernel.MAP_DELETE_ELEM, self._delete) < 0:
            if ctypes.get_errno() == errno.ENOENT:
                return False
            raise failed(kernel.MAP_DELETE_ELEM, f" (map {self.name})")
        return True

    # ---- many

    def _batch(self, keys: int, values: int, count: int) -> kernel.Buffer:
        return buffer(struct.pack("=QQQQIIQQ", 0, 0, keys, values, count, self.descriptor, 0, 0))

    def update_batch(self, keys: bytes, values: bytes) -> None:
        """All of these, keys and values each one after the other.  Raises BpfError at the first that fails,
        those before it are in."""
        count, rest = divmod(len(keys), self.key_size)
        if rest or len(values) != count * self.stride:
            raise ValueError(f"map {self.name}: {len(keys)} bytes of keys, {len(values)} of values")
        if not count:
            return
        key_block, value_block = buffer(keys), buffer(values)
        request = self._batch(address(key_block), address(value_block), count)
        if raw(kernel.MAP_UPDATE_BATCH, request) < 0:
            (done,) = struct.unpack_from("=I", request, 32)
            raise failed(kernel.MAP_UPDATE_BATCH, f" (map {self.name}, element {done} of {count})")

    def delete_batch(self, keys: bytes) -> int:
        """How many of these were there; others are passed over.  Raises BpfError."""
        count, rest = divmod(len(keys), self.key_size)
        if rest:
            raise ValueError(f"map {self.name}: {len(keys)} bytes of keys")
        block = buffer(keys)
        at = deleted = 0
        while at < count:
            request = self._batch(address(block) + at * self.key_size, 0, count - at)
            result = raw(kernel.MAP_DELETE_BATCH, request)
            (done,) = struct.unpack_from("=I", request, 32)
            deleted += done
            at += done
            if result < 0:
                if ctypes.get_errno() != errno.ENOENT:
                    raise failed(kernel.MAP_DELETE_BATCH, f" (map {self.name}, element {at} of {count})")
                at += 1  # the one that is not there
        return deleted

    def batches(self, count: int = 4096) -> Iterator[tuple[bytes, bytes, int]]:
        """The map's content: keys and values each one after the other, and how many.

        `count` grows by itself where more elements share one bucket of a hash map.  Raises BpfError.
        """
        token = buffer(max(8, self.key_size))
        first = True
        while True:
            keys, values = buffer(count * self.key_size), buffer(count * self.stride)
            request = self._batch(address(keys), address(values), count)
            struct.pack_into("=QQ", request, 0, 0 if first else address(token), address(token))
            result = raw(kernel.MAP_LOOKUP_BATCH, request)
            code = ctypes.get_errno() if result < 0 else 0
            (got,) = struct.unpack_from("=I", request, 32)
            if code == errno.ENOSPC:
                count *= 2
                continue
            if code and code != errno.ENOENT:
                raise BpfError(code, f"bpf MAP_LOOKUP_BATCH: {os.strerror(code)} (map {self.name})")
            if got:
                yield keys.raw[: got * self.key_size], values.raw[: got * self.stride], got
            if code:
                return
            first = False

    def range(self, start: int, count: int) -> bytes:
        """Values of an array from an index on, one after the other; fewer at its end.  Raises BpfError."""
        values, keys, token = buffer(count * self.stride), buffer(count * 4), buffer(8)
        request = self._batch(address(keys), address(values), count)
        before = buffer(struct.pack("=I", start - 1 if start else 0))
        struct.pack_into("=QQ", request, 0, address(before) if start else 0, address(token))
        if raw(kernel.MAP_LOOKUP_BATCH, request) < 0 and ctypes.get_errno() != errno.ENOENT:
            raise failed(kernel.MAP_LOOKUP_BATCH, f" (map {self.name} from {start})")
        (got,) = struct.unpack_from("=I", request, 32)
        return values.raw[: got * self.stride]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every element.  Raises BpfError."""
        key, stride = self.key_size, self.stride
        for keys, values, count in self.batches():
            for at in range(count):
                yield keys[at * key : (at + 1) * key], values[at * stride : (at + 1) * stride]

    # ---- whole maps

    def freeze(self) -> None:
        """From now on user space cannot change it: the verifier then takes its content for constant."""
        bpf(kernel.MAP_FREEZE, struct.pack("=I", self.descriptor), f" (map {self.name})")

    def memory(self) -> mmap.mmap:
        """The values of an array made with MMAPABLE, each rounded up to 8 bytes, as shared memory."""
        size = (self.value_size + 7 & ~7) * self.entries
        return mmap.mmap(self.descriptor, size + mmap.PAGESIZE - 1 & -mmap.PAGESIZE)


def create(
    name: str,
    kind: int,
    key_size: int,
    value_size: int,
    entries: int,
    flags: int = 0,
    types: tuple[int, int, int] = (0, 0, 0),
) -> Map:
    """A new map; `types` are a descriptor of BTF and the ids of key and value there.  Raises BpfError."""
    request = struct.pack(
        "=IIIIIII16sIIII",
        kind,
        key_size,
        value_size,
        entries,
        flags,
        0,
        0,
        name.encode()[:NAME_LIMIT],
        0,
        *types,
    )
    note = f" (map {name}: kind {kind}, {entries} entries of {key_size} and {value_size} bytes)"
    return Map(bpf(kernel.MAP_CREATE, request, note))
