"""Numbers for walks that stop and go on later: recirculation ids.

A translation that needs the datapath to look at the packet again freezes what it knows and gives it a
number, which the datapath hands back in the key (`recirc_id`).  Equal states have one number, so that a
translation that is run again yields the same actions.

A number lives while somebody holds it (a megaflow that recirculates to it), and for some time after it was
last asked for, because packets in flight, controllers and traces name it, too.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any, Final

_GENERATIONS: Final = 60  # that a number outlives its last use: 30 seconds, with a sweep every half second


class Recirculations:
    """The frozen states of the bridges of one datapath (translate/frozen.py says what they are)."""

    __slots__ = ("_generation", "_held", "_ids", "_next", "_states", "_used")

    def __init__(self) -> None:
        self._ids: dict[Hashable, int] = {}
        self._states: dict[int, Any] = {}
        self._used: dict[int, int] = {}  # the generation when it was last asked for
        self._held: Counter[int] = Counter()
        self._generation = 0
        self._next = 1

    def id_of(self, frozen: Hashable) -> int:
        """The number of a state; the same each time."""
        number = self._ids.get(frozen)
        if number is None:
            number = self._ids[frozen] = self._next
            self._states[number] = frozen
            self._next = self._next + 1 & 0xFFFFFFFF or 1
        self._used[number] = self._generation
        return number

    def get(self, number: int) -> Any:
        """The state with that number, or None."""
        return self._states.get(number)

    def hold(self, numbers: Iterable[int]) -> None:
        """These are not to be forgotten until as many calls of `release` have named them."""
        self._held.update(numbers)

    def release(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._held[number] -= 1
            if self._held[number] <= 0:
                del self._held[number]
                self._used[number] = self._generation

    def sweep(self) -> None:
        """Forgets what has not been used for long; to be called every half second."""
        self._generation += 1
        if not self._used:
            return
        oldest = self._generation - _GENERATIONS
        for number in [n for n, used in self._used.items() if used < oldest and n not in self._held]:
            del self._used[number]
            del self._ids[self._states.pop(number)]

    def __len__(self) -> int:
        return len(self._states)
