"""The ct actions of megaflows: their arguments, by number, in the map `trackings`.

An order in the kernel has room for a number only.  The number also stands for what comes behind the ct in its
list: a packet that the program cannot track is carried on by this process from there.  Equal lists share a
number; one that no flow uses any more rests for two seconds, for packets on their way up still name it.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map
from trunkline.dpif import actions as dp

_REST: Final = 2.0  # seconds
_FLAGS: Final = dict(program.TRACK_FLAGS)

Actions = tuple[Any, ...]


class Trackings:
    def __init__(self, rows: Map, policy: Callable[[str | None], int]) -> None:
        """`policy`: the number of a timeout policy."""
        self._rows = rows
        self._policy = policy
        self._numbers: dict[Actions, int] = {}
        self._users: dict[int, int] = {}
        self._lists: dict[int, Actions] = {}
        self._free = deque(range(program.MAX_TRACKINGS))
        self._resting: deque[tuple[float, int]] = deque()

    def take(self, actions: Actions) -> int | None:
        """The number of a list that begins with a ct, for one more flow; None: there is no room."""
        number = self._numbers.get(actions)
        if number is None:
            if not self._free:
                return None
            number = self._free.popleft()
            self._rows.update(
                number.to_bytes(4, "little"), row(actions[0], self._policy(actions[0].timeout or None))
            )
            self._numbers[actions] = number
            self._lists[number] = actions
            self._users[number] = 0
        self._users[number] += 1
        return number

    def release(self, number: int, now: float) -> None:
        """A flow does not use it any more."""
        self._users[number] -= 1
        if not self._users[number]:
            self._resting.append((now + _REST, number))

    def actions(self, number: int) -> Actions | None:
        """The list that a packet which has come up is to be carried on with."""
        return self._lists.get(number)

    def run(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, number = self._resting.popleft()
            if not self._users.get(number, 1):  # nobody has taken it since
                del self._users[number]
                del self._numbers[self._lists.pop(number)]
                self._free.append(number)


def row(action: dp.Conntrack, policy: int) -> bytes:
    """The record of an action.  What else there is to it (helpers, ports to choose from) is Python's, and so
    are the connections that begin with it."""
    mark, mark_mask = action.mark or (0, 0)
    label, label_mask = action.label or (0, 0)
    flags = sum(
        _FLAGS[f"TRACK_{name}"]
        for name, wanted in (
            ("COMMIT", action.commit),
            ("FORCE", action.force),
            ("NAT", action.nat is not None),
            ("MARK", action.mark is not None),
            ("LABEL", action.label is not None),
            ("CHOOSES", bool(action.helper or (action.nat is not None and action.nat.kind))),
        )
        if wanted
    )
    return program.TRACKING.packed.pack(
        action.zone,
        flags,
        mark.to_bytes(4, "big"),
        mark_mask.to_bytes(4, "big"),
        label.to_bytes(16, "big"),
        label_mask.to_bytes(16, "big"),
        policy,
    )
