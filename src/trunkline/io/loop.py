"""The event loop of every daemon, whose time can be held, moved and jumped.

asyncio asks its loop for the time and its selector for events.  `Loop` answers both itself, in one of three
ways:

- *real*: time passes as it does;
- *stopped* (``time/stop``): time stands still, timers do not fire, input is still served; ``time/warp``
  moves it by so many milliseconds;
- *virtual*: whenever nothing is left to do, time jumps to the next timer.  A test of an hour of MAC aging
  takes milliseconds, and takes the same course every time.

Only the monotonic time is touched.  Wall-clock time, which log lines and ``_date`` records show, goes on.

Who sleeps is woken late: an idle processor takes as long for that as a small request takes to be answered.
So where somebody asks again as soon as they have their answer (`Rally`), the loop looks a few times more
before it sleeps.

The loop also knows when a daemon is idle, which is when garbage is collected (`Collector`).
"""

import asyncio
import gc
import os
import selectors
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Mode = Literal["real", "stopped", "virtual"]
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


_SOON: Final = 0.0003  # seconds from an answer to the next question of somebody who waits for each
_LINGER: Final = 0.0002  # seconds that are waited for one without sleeping


class _Selector(selectors.EpollSelector):
    """Waits as long as the loop's kind of time says."""

    loop: "Loop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.loop.last and self.loop.run_last():
            timeout = 0
        if timeout is None or timeout > 0:
            loop = self.loop
            if loop.on_idle is not None:
                loop.on_idle()
            if loop.mode == "stopped":
                timeout = None
            elif loop.mode == "virtual" and timeout is not None:
                events = super().select(0)
                if not events:
                    loop.warp(timeout)
                return events
            elif loop.lingers:
                loop.lingers = False
                events = self._linger(timeout)
                if events:
                    return events
        elif self.loop.on_busy is not None:
            self.loop.on_busy()
        events = super().select(timeout)
        if self.loop.first:
            self.loop.run_first(events)
        return events

    def _linger(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Looks for events without sleeping, and lets others have the processor meanwhile."""
        now = time.monotonic
        end = now() + (_LINGER if timeout is None else min(timeout, _LINGER))
        while now() < end:
            os.sched_yield()
            events = super().select(0)
            if events:
                if self.loop.first:
                    self.loop.run_first(events)
                return events
        return []


class Loop(asyncio.SelectorEventLoop):
    """`on_idle`, if set, is called each time before the loop waits; `on_busy` each time when it does not, for
    there is more to do."""

    def __init__(self, mode: Mode = "real") -> None:
        self.mode: Mode = mode
        self.on_idle: Callable[[], None] | None = None
        self.on_busy: Callable[[], None] | None = None
        self.last: list[Callable[[], None]] = []
        self.first: dict[int, Callable[[], None]] = {}
        self.lingers = False  # the next event may come very soon: see Rally
        self._woken = False  # something is to be run, or another moment counts
        self._now = 0.0  # the time, unless it is real
        self._skew = 0.0  # what real time is ahead of the machine's monotonic clock
        if mode == "stopped":
            self._now = time.monotonic()
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def call_first(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Calls `callback` whenever the descriptor, which has a reader, is found ready, before anything else.

        It is for what somebody waits for in microseconds: by then asyncio has done nothing in this turn.  The
        reader's own callback comes as usual.  What this one raises goes to the exception handler.
        `remove_reader` ends it.
        """
        self.first[descriptor] = callback

    def run_first(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in events:
            callback = self.first.get(key.fd)
            if callback is not None:
                self._run_here(callback)

    def _run_here(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self.call_exception_handler({"message": f"Exception in callback {callback}", "exception": error})

    def remove_reader(self, fd: "FileDescriptorLike") -> bool:
        if isinstance(fd, int):
            self.first.pop(fd, None)
        return super().remove_reader(fd)

    def call_last(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, after everything that is ready now, before the loop looks for new events.

        It costs no turn of its own, as `call_soon` would.  What it raises goes to the exception handler.
        """
        self.last.append(callback)

    def run_last(self) -> bool:
        """Runs what `call_last` was given.  Whether the loop must not wait now."""
        self._woken = False
        while self.last:
            last, self.last = self.last, []
            for callback in last:
                self._run_here(callback)
        return self._woken

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *arguments: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self._woken = True
        return super().call_soon(callback, *arguments, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *arguments: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._woken = True
        return super().call_at(when, callback, *arguments, context=context)

    def time(self) -> float:
        return time.monotonic() + self._skew if self.mode == "real" else self._now

    def stop_time(self) -> None:
        """From now on time stands still until `warp` moves it."""
        self._now = self.time()
        self.mode = "stopped"

    def start_time(self) -> None:
        """Real time again, from the point where it was held."""
        self._skew = self.time() - time.monotonic()
        self.mode = "real"

    def warp(self, seconds: float) -> None:
        """Moves time, which then goes on as before.  Timers that are due fire when the loop next turns."""
        if self.mode == "real":
            self._skew += seconds
        else:
            self._now += seconds


class Rally:
    """A peer that may ask again as soon as it has its answer: who does so twice is waited for awake."""

    __slots__ = ("_loop", "_quick", "_said")

    def __init__(self) -> None:
        loop = asyncio._get_running_loop()
        self._loop = loop if isinstance(loop, Loop) else None
        self._quick = 0
        self._said = 0.0

    def heard(self) -> None:
        """A question has come."""
        if time.monotonic() - self._said < _SOON:
            self._quick += 1
        else:
            self._quick = 0

    def said(self) -> None:
        """It has been answered."""
        self._said = time.monotonic()
        if self._quick > 1 and self._loop is not None:
            self._loop.lingers = True


class LoopClock:
    """The `Clock` of a loop: its monotonic time, and the machine's wall clock (or `wall`)."""

    __slots__ = ("monotonic", "wall")

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: Callable[[], float] = time.time) -> None:
        self.monotonic = loop.time
        self.wall = wall


async def settle(turns: int = 8) -> None:
    """Lets everything that is ready, and what that makes ready, run."""
    for _ in range(turns):
        await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, Result], mode: Mode = "real") -> Result:
    """asyncio.run on a loop of our own."""
    with asyncio.Runner(loop_factory=lambda: Loop(mode)) as runner:
        return runner.run(main)


class Collector:
    """The policy for garbage: nothing collects while packets or requests wait.

    One full run of the cyclic collector over the state of a large switch stops it for a tenth of a second,
    and long-lived state has no cycles anyhow.  So automatic collection is off; what a large load made is
    frozen (`freeze`), which costs nothing and takes it out of the collector's sight; and young objects are
    collected when the loop is idle, or when many have gathered while it is not.  A run looks at no more than
    came since the last runs, so that none is long: while 100,000 flows are added, 200,000 objects come.
    """

    YOUNG: Final = 2_000  # young objects that make an idle collection worth while
    MANY: Final = 10_000  # young objects that are collected in any case, in some 2 ms
    RUNS: Final = 10  # after which what has survived is long-lived

    __slots__ = ("_runs", "_seen")

    def __init__(self) -> None:
        self._runs = 0
        self._seen = 0  # objects that runs have looked at and that are not frozen, at most

    def install(self, loop: Loop) -> None:
        gc.disable()
        gc.freeze()
        loop.on_idle = self.idle
        loop.on_busy = self.busy

    def idle(self) -> None:
        if gc.get_count()[0] >= self.YOUNG:
            self.collect()

    def busy(self) -> None:
        if gc.get_count()[0] >= self.MANY:
            self.collect()

    def collect(self) -> None:
        """Collects the young; what has survived several runs is long-lived, and frozen."""
        self._runs += 1
        self._seen += gc.get_count()[0]
        if self._runs < self.RUNS and self._seen < 2 * self.MANY:
            gc.collect(0)
        else:
            gc.collect(1)
            gc.freeze()
            self._runs = self._seen = 0

    @staticmethod
    def freeze() -> None:
        """To be called after a large load."""
        gc.freeze()
