"""The journals of a switch's bridges, files in its run directory: BRIDGE.flows (ofproto/journal.py).

They outlive the process, not a reboot: nothing is forced to the disk, for what has been written is in the
kernel's hands when the process dies.  It is written before whoever asked for the change gets an answer.

A journal is written anew from what there is when most of it no longer counts, or when flows have counted
packets for a while: a few milliseconds at a time, beside the old one, which it then replaces.  To write a
flow anew costs as much as a flow-mod, so that length alone is no reason: who fills a table with 100,000 flows
makes a long journal, and every record of it is needed.

A journal that cannot be written is removed, with one line in the log: better none than one with a hole.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.log import Log
from trunkline.daemons.kept_counts import KeptCounts
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.journal import Journal, Origin, header, parse_header, records, whole
from trunkline.ofproto.journal_restoring import Restored, restore
from trunkline.ofproto.journal_snapshot import snapshot

SUFFIX: Final = ".flows"
_BOOT: Final = "/proc/sys/kernel/random/boot_id"
_SLICE: Final = 0.004  # seconds of work at a snapshot, before others have their turn
_TURN: Final = 0.016  # seconds that belong to others then
_LONG: Final = 1 << 20  # bytes, before which a journal is not too long
_PAUSE: Final = 1.0  # seconds between two looks at the journals
_REST: Final = 30.0  # seconds from one snapshot to the next for the sake of counters alone, and
_SHARE: Final = 200  # this many times as long as a snapshot takes
_Failed = Callable[[str, OSError], None]


class KeptFlows:
    """What `directory` holds of the bridges that `follow` is told of."""

    def __init__(self, directory: str, clock: Clock, log: Log) -> None:
        self._directory = directory
        self._clock = clock
        self._log = log.module("ofproto")
        self._boot = _boot_id()
        self._files: dict[str, _File] = {}
        self._stale = asyncio.Event()  # a journal is to be written anew

    def follow(self, bridges: Iterable[tuple[str, Bridge]], *, first: bool) -> None:
        """Takes up bridges (row, bridge) that have come, and drops what there is of those that went.

        The `first` time they get back what their journals know; a bridge that comes later is a new one.
        """
        there = {bridge.name: (uuid, bridge) for uuid, bridge in bridges}
        for name, file in list(self._files.items()):
            if there.get(name, ("", None))[1] is not file.bridge:
                file.remove()
                del self._files[name]
        for name, (uuid, bridge) in there.items():
            if name not in self._files:
                self._take_up(uuid, bridge, first)
            self._files[name].look(self._origin(uuid, bridge))

    def _origin(self, uuid: str, bridge: Bridge) -> Origin:
        config = bridge.config
        return Origin(self._boot, uuid, config.fail_mode == "standalone" and not config.has_controllers)

    def _take_up(self, uuid: str, bridge: Bridge, first: bool) -> None:
        path = f"{self._directory}/{bridge.name}{SUFFIX}"
        origin = self._origin(uuid, bridge)
        file = self._files[bridge.name] = _File(path, bridge, origin, self._clock, self._failed)
        if first and file.load(origin):
            kept = file.restored
            self._log.info(
                "%s: %d flows and %d groups are as they were before the switch was started again",
                bridge.name,
                kept.flows,
                kept.groups,
            )
            if kept.refused:
                self._log.warn(
                    "%s: %d changes in %s could not be made again", bridge.name, kept.refused, path
                )
        else:
            file.begin()

    def _failed(self, path: str, error: OSError) -> None:
        text = "%s: %s; flows will not outlive this process"
        self._log.err(text, path, error.strerror)

    def write(self) -> None:
        """Puts down what has changed."""
        for file in self._files.values():
            if file.write() and file.is_stale():
                self._stale.set()  # at once: when most flows have just gone, there is little to write

    async def run(self) -> None:
        """For ever: keeps the journals short."""
        while True:
            try:
                async with asyncio.timeout(_PAUSE):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            for file in list(self._files.values()):
                if file.is_stale() or file.has_counted():
                    await self._write_anew(file)

    async def _write_anew(self, file: "_File") -> None:
        steps = file.write_anew()
        while True:
            end = self._clock.monotonic() + _SLICE
            while self._clock.monotonic() < end:
                if next(steps, steps) is steps:
                    return
            await asyncio.sleep(_TURN)

    def close(self, *, keep: bool) -> None:
        """The end of the process; without `keep` nothing stays."""
        for file in self._files.values():
            if keep:
                for _ in file.write_anew():
                    pass
                file.close()
            else:
                file.remove()
        self._files.clear()


class _File:
    def __init__(self, path: str, bridge: Bridge, origin: Origin, clock: Clock, failed: _Failed) -> None:
        self.path = path
        self.bridge = bridge
        self._origin = origin
        self._clock = clock
        self._failed = failed
        self._descriptor: int | None = None
        self._size = 0  # bytes
        self._entries = 0  # records, less those that the journal has counted
        self._tail: list[bytes] | None = None  # what has come since a snapshot was begun
        self._steps: Generator[None, None, None] | None = None  # of the snapshot that is being written
        self._counted = -1  # lookups at the last snapshot
        self._next = clock.monotonic() + _REST
        self._counts = KeptCounts(f"{path.removesuffix(SUFFIX)}.counts", clock)
        self.restored = Restored(0, 0, 0)

    # ---- the beginning

    def load(self, origin: Origin) -> bool:
        """Gives the bridge what the file knows, and goes on with it; False if it knows nothing."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except OSError:
            return False
        contents = records(data)
        first = next(contents, None)
        if first is None or parse_header(first) != origin:
            return False
        self.restored = restore(self.bridge, contents)
        try:
            self._counts.restore(self.bridge)
            self._counts.begin()
            self._counts.follow(self.bridge)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            self._size = whole(data)
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._give_up(error)
            return True
        self.bridge.flows.journal = Journal(self._soon)
        self._entries = self.restored.records
        return True

    def begin(self) -> None:
        """A file of the bridge as it is."""
        self.bridge.flows.journal = Journal(self._soon)
        try:
            self._counts.remove()
        except OSError as error:
            self._give_up(error)
            return
        self._counts.follow(self.bridge)
        for _ in self.write_anew():
            pass

    def look(self, origin: Origin) -> None:
        """The bridge may have changed in what its journal begins with."""
        if origin != self._origin:
            self._origin = origin
            if self.bridge.flows.journal is not None:
                for _ in self.write_anew():
                    pass

    # ---- as time goes on

    def write(self) -> bool:
        """Whether changes had to be written; what has been counted is, too."""
        journal = self.bridge.flows.journal
        try:
            self._counts.write()
        except OSError as error:
            self._give_up(error)
        if not journal:
            return False
        data = journal.take()
        if self._tail is not None:
            self._tail.append(data)
        if self._descriptor is not None:
            try:
                _write_all(self._descriptor, data)
                self._size += len(data)
            except OSError as error:
                self._give_up(error)
        return True

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.write)

    def is_stale(self) -> bool:
        """Whether less than half of a long journal is still needed."""
        if self._size <= _LONG or self._steps is not None or self._descriptor is None or self._is_deleting():
            return False
        return self._entries + self._changes() > 2 * self._needed()

    def _is_deleting(self) -> bool:
        """Whether many flows are on their way out, which a snapshot would not wait for, but do at once."""
        return self.bridge.flows.pending is not None

    def _changes(self) -> int:
        journal = self.bridge.flows.journal
        return 0 if journal is None else journal.changes

    def _needed(self) -> int:
        """How many records a snapshot would have, about."""
        bridge = self.bridge
        return bridge.flows.tables.size + len(bridge.groups) + len(bridge.flows.meters) + len(bridge.macs)

    def has_counted(self) -> bool:
        """Whether it is time to write down what flows have counted."""
        due = self._descriptor is not None and self._clock.monotonic() >= self._next
        return due and not self._is_deleting() and self._lookups() != self._counted

    def _lookups(self) -> int:
        return sum(counters.lookups for counters in self.bridge.flows.tables.counters.values())

    def write_anew(self) -> Iterator[None]:
        """A snapshot takes the file's place; in steps.  One that is being written is given up."""
        self._stop()
        self._steps = self._snapshot()
        return self._steps

    def _stop(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _snapshot(self) -> Generator[None, None, None]:
        self.write()
        began = self._clock.monotonic()
        self._counted = self._lookups()
        entries = self._needed() - self._changes()
        new = f"{self.path}.new"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            self._give_up(error)
            return
        try:
            self._counts.begin()
            self._tail = []
            size = _write_all(descriptor, header(self._origin, began))
            for part in snapshot(self.bridge, began):
                size += _write_all(descriptor, part)
                yield
            self.write()
            size += _write_all(descriptor, b"".join(self._tail))
            os.rename(new, self.path)
            self._counts.settle()
        except OSError as error:
            os.close(descriptor)
            self._give_up(error)
            return
        except GeneratorExit:
            os.close(descriptor)
            raise
        finally:
            self._tail = None
        self._close()
        self._descriptor, self._size, self._entries = descriptor, size, entries
        self._steps = None
        now = self._clock.monotonic()
        self._next = now + max(_REST, _SHARE * (now - began))

    # ---- the end

    def _give_up(self, error: OSError) -> None:
        self._failed(self.path, error)
        self._steps = None  # it may be what has failed
        self.remove()

    def close(self) -> None:
        self._close()
        self._counts.close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        self._stop()
        self.close()
        self.bridge.flows.journal = None
        self.bridge.flows.tables.changed = None
        try:
            self._counts.remove()
        except OSError:
            pass
        for path in (self.path, f"{self.path}.new"):
            try:
                os.unlink(path)
            except OSError:
                pass


def _write_all(descriptor: int, data: bytes) -> int:
    """Raises OSError.  Returns how much it was."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(data)


def _boot_id() -> str:
    try:
        with open(_BOOT) as file:
            return file.read().strip()
    except OSError:
        return ""
