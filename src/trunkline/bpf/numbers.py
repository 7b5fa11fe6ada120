"""Numbers of masks, lists and statistics in the kernel's maps: given out, given back, and given out again.

A number that is given back *rests* for a while, until no packet can still be on its way with it.
"""

from collections import deque
from typing import Final

_REST: Final = 1.0  # seconds


class FullError(Exception):
    """There is no more room in the kernel for something; the text says for what."""


class Numbers:
    """Numbers from `first` on below `end`; the lowest that are free first, those given back after a rest."""

    __slots__ = ("_end", "_free", "_next", "_resting", "_what", "highest")

    def __init__(self, first: int, end: int, what: str) -> None:
        self._next = self.highest = first
        self._end = end
        self._what = what
        self._free: list[int] = []
        self._resting: deque[tuple[float, int]] = deque()

    def take(self, now: float) -> int:
        """Raises FullError."""
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
        if self._free:
            return self._free.pop()
        if self._next == self._end:
            raise FullError(f"the kernel datapath has room for {self._end} {self._what} and no more")
        self._next += 1
        self.highest = self._next
        return self._next - 1

    def give_back(self, number: int, now: float) -> None:
        self._resting.append((now + _REST, number))

    def are_taken(self, numbers: set[int]) -> None:
        """An earlier process has taken these, and no others."""
        if numbers:
            self._free = sorted(set(range(self._next, max(numbers))) - numbers, reverse=True)
            self._next = self.highest = max(numbers) + 1
