"""Groups as the switch holds them: their buckets, who of them is alive, and what went through.

A group never changes in place: a group-mod puts a new one where the old one was, which takes over its
counters.  Translation reads `bridge.groups` (by number) and leaves `group_token` among its reads.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

from trunkline.ofproto.rules import Counters
from trunkline.openflow.groups import Bucket, Selection

_LEAST_SLOTS: Final = 16
_MOST_SLOTS: Final = 256
_NAMED: Final = -1  # where the name of a rule has its table


class Group:
    """A group; `type` is OFPGT_*.

    `steps` are the buckets' actions in the compiled form, made by the first translation that meets the group.
    """

    __slots__ = ("buckets", "counters", "created", "id", "of_buckets", "selection", "slots", "steps", "type")

    def __init__(
        self, id: int, type: int, buckets: tuple[Bucket, ...], selection: Selection, now: float
    ) -> None:
        self.id = id
        self.type = type
        self.buckets = buckets
        self.selection = selection
        self.created = now
        self.counters = Counters(now)
        self.of_buckets = [Counters(now) for _ in buckets]
        self.slots = hash_slots([bucket.weight for bucket in buckets]) if selection.method != "hash" else None
        self.steps: list[Any] = [None] * len(buckets)

    def name(self, place: int | None) -> int:
        """Stands for the counters of the group, or of the bucket at that place, in every process alike."""
        return hash((_NAMED, self.id, -1 if place is None else self.buckets[place].number))

    def all_counters(self) -> Iterator[tuple[int, Counters]]:
        """With their names."""
        yield self.name(None), self.counters
        for place, counters in enumerate(self.of_buckets):
            yield self.name(place), counters


def hash_slots(weights: list[int]) -> tuple[int, ...] | None:
    """Which bucket a dp_hash leads to, by its low bits.

    As many slots as keep the smallest weight's share, dealt out by Webster's method.  None: no table of 256
    slots or fewer does justice to the weights.
    """
    some = [weight for weight in weights if weight]
    if not some:
        return None
    wanted = max(_LEAST_SLOTS, ceil(sum(some) / min(some)))
    count = 1 << (wanted - 1).bit_length()
    if count > _MOST_SLOTS:
        return None
    divisors = [1] * len(weights)
    slots = []
    for _ in range(count):
        best = 0
        for i, weight in enumerate(weights):
            if weight * divisors[best] > weights[best] * divisors[i]:
                best = i
        slots.append(best)
        divisors[best] += 2
    return tuple(slots)
