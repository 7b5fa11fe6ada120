"""Proofs that a key is none of many values: the few bits that are enough to know it.

The values are kept sorted.  The longest prefix that an absent key shares with any of them it shares with a
neighbour in that order, so one binary search finds the first bit at which the key leaves every value.  Most
proofs need no search: where no value shares even the first few bits with the key, the *window*, those bits
alone decide, and what they decided is remembered.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Final

from trunkline.flow import key as layout

_BLOCK: Final = 512  # values in a block of a sorted list; an insert moves at most twice as many
_PIPELINE: Final = layout.PIPELINE
_SPARED: Final = 4  # bits that a window must spare to be narrower than its mask
_REMEMBERED: Final = 4096  # proofs a window; whoever sends packets chooses their keys


class Sorted:
    """Sorted distinct ints, cut into blocks."""

    __slots__ = ("blocks", "firsts")

    def __init__(self) -> None:
        self.blocks: list[list[int]] = []
        self.firsts: list[int] = []

    def insert(self, value: int) -> None:
        if not self.blocks:
            self.blocks.append([value])
            self.firsts.append(value)
            return
        at = max(bisect_right(self.firsts, value) - 1, 0)
        block = self.blocks[at]
        block.insert(bisect_left(block, value), value)
        self.firsts[at] = block[0]
        if len(block) > 2 * _BLOCK:
            self.blocks.insert(at + 1, block[_BLOCK:])
            self.firsts.insert(at + 1, block[_BLOCK])
            del block[_BLOCK:]

    def insert_many(self, values: list[int]) -> None:
        """Rising values that are not there.  Where they are many, cutting the blocks anew is less work."""
        if len(values) < len(self.blocks) * _BLOCK // 8:
            for value in values:
                self.insert(value)
            return
        if self.blocks:
            values = sorted([*(value for block in self.blocks for value in block), *values])
        self.blocks = [values[at : at + _BLOCK] for at in range(0, len(values), _BLOCK)]
        self.firsts = values[::_BLOCK]

    def remove(self, value: int) -> None:
        at = bisect_right(self.firsts, value) - 1
        block = self.blocks[at]
        del block[bisect_left(block, value)]
        if block:
            self.firsts[at] = block[0]
        else:
            del self.blocks[at]
            del self.firsts[at]

    def nearest(self, value: int) -> int:
        """The XOR of an absent `value` with the value that shares the longest prefix with it."""
        at = bisect_right(self.firsts, value)
        if not at:
            return value ^ self.firsts[0]
        block = self.blocks[at - 1]
        i = bisect_left(block, value)
        below = value ^ block[i - 1]
        if i < len(block):
            above = value ^ block[i]
        elif at < len(self.firsts):
            above = value ^ self.firsts[at]
        else:
            return below
        return below if below < above else above


class Order:
    """The values of a subtable cut to some of its bits, sorted for each value of the pipeline fields.

    `known` are proofs by `window`, the pipeline bits and the highest bits down to `low`: a few more than the
    values need to differ from each other.  `proved` are those that need more, by the whole value: packets to
    one destination come again and again; 0 there means that the value is here.  Values of rules `waiting` are
    sorted in by `settle`, which whoever looks has to call first: many orders are never looked at.
    """

    __slots__ = (
        "count",
        "grain",
        "groups",
        "known",
        "low",
        "mask",
        "pipe",
        "proved",
        "reference",
        "size",
        "spread",
        "waiting",
        "whole",
        "window",
    )

    def __init__(self, mask: int, grain: int, *, whole: bool = False) -> None:
        self.mask = mask
        self.whole = whole  # the values are the subtable's own
        self.pipe = mask & _PIPELINE
        self.groups: dict[int, Sorted] = {}
        self.count: Counter[int] = Counter()  # rules by value; not of the whole, where each has one value
        self.size = 0  # distinct values
        self.waiting: list[list[int]] = []
        self.grain = -grain
        self.known: dict[int, int] = {}
        self.proved = self.known  # while the window is the whole mask
        self.reference: int | None = None
        self.spread = 0  # bits below it are those that values differ in
        self.low = 0
        self.window = mask

    def widen(self) -> bool:
        """Makes the window fit the values; whether it is another one."""
        low = max(self.spread - self.size.bit_length() - 6, 0)
        place = self.mask & ~self.pipe
        if low <= (place & -place).bit_length() + _SPARED:
            low = 0
        if abs(low - self.low) < 3 and low:
            return False
        window = self.mask >> low << low | self.pipe
        self.low, self.window, before = low, window, self.window
        self.proved = {} if low else self.known
        return window != before

    def settle(self) -> None:
        """Sorts in the values that wait: many at once, for that costs a tenth of one after the other."""
        values = [value for some in self.waiting for value in some]
        self.waiting.clear()
        new = sorted(values if self.whole else self._unknown([value & self.mask for value in values]))
        if not new:
            return
        self.size += len(new)
        for pipe, rising in self._by_pipe(new).items():
            group = self.groups.get(pipe)
            if group is None:
                group = self.groups[pipe] = Sorted()
            group.insert_many(rising)
        if self.reference is None:
            self.reference = new[0]
        # Of sorted values the first and the last differ in the highest bit in which any two do; the bits of
        # the pipeline are the lowest.
        for value in (new[0], new[-1]):
            self.spread = max(self.spread, ((value ^ self.reference) & ~self.pipe).bit_length())

    def _unknown(self, cut: list[int]) -> Iterable[int]:
        """Those that were not there before; all are counted."""
        count = self.count
        unknown = [value for value in set(cut) if value not in count] if count else count
        count.update(cut)
        return unknown

    def _by_pipe(self, values: list[int]) -> dict[int, list[int]]:
        if not self.pipe:
            return {0: values}
        kinds: dict[int, list[int]] = {}
        for value in values:
            kinds.setdefault(value & self.pipe, []).append(value)
        return kinds

    def discard(self, value: int) -> None:
        if self.waiting:
            self.settle()
        value &= self.mask
        if not self.whole:
            self.count[value] -= 1
            if self.count[value]:
                return
            del self.count[value]
        self.size -= 1
        group = self.groups[value & self.pipe]
        group.remove(value)
        if not group.blocks:
            del self.groups[value & self.pipe]

    def proof(self, cut: int) -> int:
        """Bits such that no value here agrees with `cut`, which is not here, on all of them; remembered."""
        pipe, low = self.pipe, self.low
        group = self.groups.get(cut & pipe)
        if group is None:
            first, found = low, pipe
        else:
            first = group.nearest(cut).bit_length() - 1
            lowest = first & self.grain
            found = self.mask >> lowest << lowest | pipe
        if first >= low:
            proofs, by = self.known, cut & self.window if low else cut
        else:
            proofs, by = self.proved, cut
        if len(proofs) >= _REMEMBERED:
            proofs.clear()
        proofs[by] = found
        return found

    @staticmethod
    def remember(proofs: dict[int, int], by: int, found: int) -> None:
        if len(proofs) >= _REMEMBERED:
            proofs.clear()
        proofs[by] = found

    def forget(self) -> None:
        """The values are others: proofs are no longer true, or not the smallest."""
        if self.known:
            self.known.clear()
        if self.proved:
            self.proved.clear()
