"""When ovsdb-server compacts its files, and that nobody notices (ovsdb-server(1), "ovsdb-server/compact").

A compaction is a long work of small steps (io/ovsdb_compaction.py).  They are taken in the turns of the event
loop, a few milliseconds in each, so that requests are answered in between.
"""

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, NamedTuple

from trunkline.daemons.ovsdb_host import Hosting
from trunkline.io.ovsdb_compaction import compaction
from trunkline.io.privileges import return_free_memory
from trunkline.ovsdb.errors import OvsdbError

BUDGET: Final = 0.004  # seconds of steps in one turn of the loop
SIZE: Final = 10 << 20  # a smaller file does not grow enough to be compacted
COMMITS: Final = 100  # nor one with fewer transactions
SOONEST: Final = 10 * 60.0  # seconds between two compactions
LATEST: Final = 24 * 3600.0  # after which the file need not have grown
COMMENT: Final = "compacting database online"
Steps = Generator[None, None, None]


class State(NamedTuple):
    """What the decision depends on: bytes, transactions since the last compaction, and seconds since."""

    size: int
    compacted_size: int
    commits: int
    age: float


def is_due(state: State) -> bool:
    """Whether a file is to be compacted by itself."""
    if state.commits < COMMITS or state.age < SOONEST:
        return False
    grown = state.size >= SIZE and state.size > 2 * state.compacted_size
    return grown or state.age >= LATEST


class Running(NamedTuple):
    task: "asyncio.Task[None]"
    steps: Steps


class Compactor:
    """The compactions of one server.  `is_busy`: whether a database, by name, is being converted."""

    def __init__(self, daemon: Hosting, is_busy: Callable[[str], bool]) -> None:
        self.daemon = daemon
        self._is_busy = is_busy
        self.trim = False  # ovsdb-server/memory-trim-on-compaction
        self._running: dict[str, Running] = {}
        self._since: dict[str, float] = {}  # the last one, or the start, by database

    def opened(self, name: str) -> None:
        self._since[name] = self.daemon.env.clock.monotonic()

    def consider(self) -> None:
        """Compacts what it is time for.  Not to be called between a record's writing and its application."""
        for name, file in self.daemon.files.items():
            if file.commits < COMMITS or name in self._running or self._is_busy(name):
                continue
            age = self.daemon.env.clock.monotonic() - self._since[name]
            if is_due(State(file.size, file.compacted_size, file.commits, age)):
                task = self._start(name)
                task.add_done_callback(partial(self._ended_by_itself, name))

    def _ended_by_itself(self, name: str, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.daemon.log.warn("compacting %s database failed: %s", name, error)

    async def compact(self, name: str) -> None:
        """Returns when the file is compact.  Raises OvsdbError: it is as it was."""
        if self._is_busy(name):
            raise OvsdbError("ovsdb error", f"{name}: the database is being converted")
        running = self._running.get(name)
        task = self._start(name) if running is None else running.task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise OvsdbError("ovsdb error", f"{name}: compaction was given up") from None

    def stop(self, name: str) -> None:
        """Gives up: the file is closed or replaced."""
        running = self._running.pop(name, None)
        if running is not None:
            running.task.cancel()
            running.steps.close()

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def _start(self, name: str) -> "asyncio.Task[None]":
        self._since[name] = self.daemon.env.clock.monotonic()
        milliseconds = int(self.daemon.env.clock.wall() * 1000)
        difference = self.daemon.column_diff
        steps = compaction(self.daemon.files[name], COMMENT, milliseconds, as_difference=difference)
        next(steps)  # the contents are those of now
        task = asyncio.ensure_future(self._work(name, steps))
        self._running[name] = Running(task, steps)
        return task

    async def _work(self, name: str, steps: Steps) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                until = loop.time() + BUDGET
                try:
                    while loop.time() < until:
                        next(steps)
                except StopIteration:
                    break
                await asyncio.sleep(0)
        except OvsdbError as error:
            self.daemon.log_unwritten(error)
            raise
        finally:
            steps.close()
            running = self._running.get(name)
            if running is not None and running.steps is steps:
                del self._running[name]
        if self.trim:
            return_free_memory()
