"""OpenFlow port numbers: who gets which.

A number that an interface asks for (ofport_request) is its own, unless another that asks for it as well was
there first; an interface that merely happens to have it moves.  Everybody else keeps the number it had, also
over a restart of the switch, or gets the next that was not in use within the last hour, so that a controller
that remembers a number does not meet a stranger behind it (ovs-vswitchd.conf.db(5), Interface:ofport).
"""

from typing import Final

FIRST: Final = 1
LAST: Final = 0xFEFF  # 65279, the highest that ofport_request allows
REST: Final = 3600.0  # seconds that a number rests after use


class Numbers:
    """The numbers of one bridge."""

    __slots__ = ("_last", "_left", "_taken", "_were")

    def __init__(self) -> None:
        self._taken: dict[int, str] = {}
        self._left: dict[int, float] = {}  # number: when it was given back
        self._were: dict[str, int] = {}  # name: the number it gave back last
        self._last = FIRST - 1

    def holder(self, number: int) -> str | None:
        return self._taken.get(number)

    def take(self, name: str, number: int) -> int:
        """Gives exactly this number, which must be free."""
        self._taken[number] = name
        self._left.pop(number, None)
        if self._were.get(name) == number:
            del self._were[name]
        return number

    def allocate(self, name: str, before: int | None, now: float) -> int:
        """`before`: the number that the interface is known to have had.  Raises LookupError: none is free."""
        for wish in (before, self._were.get(name)):
            if wish is not None and FIRST <= wish <= LAST and wish not in self._taken:
                return self.take(name, wish)
        number = self._last
        for _ in range(FIRST, LAST + 1):
            number = number + 1 if number < LAST else FIRST
            if number not in self._taken and now - self._left.get(number, now - REST) >= REST:
                self._last = number
                return self.take(name, number)
        rested = [number for number in self._left if number not in self._taken]
        if not rested:
            raise LookupError("every OpenFlow port number is in use")
        return self.take(name, min(rested, key=lambda number: self._left[number]))

    def forget(self, name: str) -> None:
        """The interface has no claim to the number that it has given back."""
        self._were.pop(name, None)

    def give_back(self, number: int, now: float, *, forget: bool = False) -> None:
        """With `forget` the interface has gone for good; else it may come back and have its number again."""
        name = self._taken.pop(number)
        if forget:
            self.forget(name)
        else:
            self._were[name] = number
        self._left[number] = now
