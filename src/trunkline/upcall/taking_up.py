"""Megaflows that an earlier process has left in the datapath are taken up: translated anew, and put in again.

What was left is (key, mask) and nothing of why.  But every megaflow follows from its key: the tables, groups
and ports are as they were, or as they should be now, and a translation says what packets like this have to
go through.  Nothing is compared with what was there, for the new megaflows go to a place of their own, and
take over from the old ones all at once when the last of them is in (`done`).

Two things are not what they were.  *Numbers of recirculations* are given out anew.  A megaflow that
recirculates leads from its old number to the new one, by its place among the actions, and what waits under
the old number is translated with the new one: so megaflows come before those that they recirculate to.
*Addresses* that bridges have learned are gone; each megaflow teaches them again, as its packets did.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from trunkline.dpif.provider import Statistics
from trunkline.flow import key as layout
from trunkline.translate.frozen import recirculations_in
from trunkline.translate.result import Result
from trunkline.translate.translate import translate
from trunkline.upcall.effects import TEACHING, apply, apply_learning, sort

if TYPE_CHECKING:
    from trunkline.upcall.datapath import Datapath

_RECIRC: Final = layout.OFFSET["recirc_id"]
_RECIRC_MASK: Final = layout.MASK["recirc_id"]


class Left(NamedTuple):
    """A megaflow as it was found; `dp_in_port` is the present number of its port.

    `recirculations`: the numbers that its actions name, in their order; `used`: Clock.monotonic() of the last
    packet, as far as is known.  `place`: what the datapath calls its counters by; they stood at `counted`,
    and of that `passed` (packets, bytes) is in the counters of rules.  `over`: it is not to be a megaflow any
    more, only what it has counted is wanted.
    """

    key: int
    mask: int
    recirculations: tuple[int, ...] = ()
    used: float = 0.0
    place: int = -1
    counted: Statistics = Statistics()
    passed: tuple[int, int] = (0, 0)
    over: bool = False


class TakingUp:
    """What is still to be taken up."""

    def __init__(self, left: Iterable[Left], done: Callable[[], None]) -> None:
        self._ready: deque[Left] = deque()
        self._waiting: dict[int, list[Left]] = {}  # by the old number that leads to them
        for one in sorted(left, key=lambda one: one.used):  # who was heard last has the address
            number = (one.key & _RECIRC_MASK) >> _RECIRC
            if number:
                self._waiting.setdefault(number, []).append(one)
            else:
                self._ready.append(one)
        self.done = done

    def some(self, datapath: "Datapath", count: int, now: float) -> bool:
        """Takes up some; False if there are none left."""
        for _ in range(min(count, len(self._ready))):
            self._take_up(datapath, self._ready.popleft(), now)
        return bool(self._ready)

    def _take_up(self, datapath: "Datapath", one: Left, now: float) -> None:
        found = datapath.key_for(one.key)
        if found is None:
            return
        bridge, key = found
        result = translate(bridge, key)
        megaflow = None
        if not one.over:
            apply_learning(result.effects, now)
            megaflow = datapath.install(bridge, key, result, now)
        if megaflow is None:
            _count(result, one)
        else:  # the datapath goes on from where it was, and that is passed on with what follows
            megaflow.packets, megaflow.bytes = one.passed
            datapath.provider.goes_on(megaflow.ufid, one.place)
        numbers = recirculations_in(result.actions)
        for old, new in zip(one.recirculations, numbers, strict=False):
            for follower in self._waiting.pop(old, ()):
                changed = follower.key & ~_RECIRC_MASK | new << _RECIRC
                self._ready.append(follower._replace(key=changed))


def _count(result: Result, one: Left) -> None:
    """What one has counted that is no megaflow any more goes to the rules that its packets would go by."""
    packets = one.counted.packets - one.passed[0]
    if packets > 0:
        octets = one.counted.bytes - one.passed[1]
        effects = (effect for effect in result.effects if type(effect) not in TEACHING)
        apply(sort(effects), packets, octets, one.used)
