"""Arguments of orders that are too long for an order: records in an array of the kernel's, by number.

Equal arguments share a number.  One that no list of orders uses any more rests for two seconds, for packets
are on their way under it, and packets that have come up still name it.
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from trunkline.bpf.maps import Map

_REST: Final = 2.0  # seconds
T = TypeVar("T", bound=Hashable)


class Numbered(Generic[T]):
    """`rows` is the array, `record` makes an argument's record."""

    def __init__(self, rows: Map, record: Callable[[T], bytes]) -> None:
        self._rows = rows
        self._record = record
        self._numbers: dict[T, int] = {}
        self._users: dict[int, int] = {}
        self._arguments: dict[int, T] = {}
        self._free = deque(range(rows.entries))
        self._resting: deque[tuple[float, int]] = deque()

    def take(self, argument: T) -> int | None:
        """The number of an argument, for one more list of orders; None: there is no room."""
        number = self._numbers.get(argument)
        if number is None:
            if not self._free:
                return None
            number = self._free.popleft()
            self._rows.update(number.to_bytes(4, "little"), self._record(argument))
            self._numbers[argument] = number
            self._arguments[number] = argument
            self._users[number] = 0
        self._users[number] += 1
        return number

    def release(self, number: int, now: float) -> None:
        """A list does not use it any more."""
        self._users[number] -= 1
        if not self._users[number]:
            self._resting.append((now + _REST, number))

    def renew(self) -> None:
        """Writes all records anew: what they are made of has changed."""
        for number, argument in self._arguments.items():
            self._rows.update(number.to_bytes(4, "little"), self._record(argument))

    def argument(self, number: int) -> T | None:
        return self._arguments.get(number)

    def run(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, number = self._resting.popleft()
            if not self._users.get(number, 1):  # nobody has taken it since
                del self._users[number]
                del self._numbers[self._arguments.pop(number)]
                self._free.append(number)
