"""Time as an argument.

Layers 0 to 5 never read a clock of their own: they are handed one of these, so that a test can hold time
still, jump over an hour of MAC aging, or replay a second exactly.  The monotonic time is what timers count;
the wall time is what log lines and ``_date`` records show.
"""

from typing import Protocol


class Clock(Protocol):
    """Seconds; `monotonic` from an arbitrary origin, `wall` since 1970-01-01 UTC."""

    def monotonic(self) -> float: ...

    def wall(self) -> float: ...


class ManualClock:
    """A clock that moves only when told to."""

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, monotonic: float = 0.0, wall: float = 1_000_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += seconds
