"""Megaflows in the kernel's maps: keys, lists of actions, statistics.

A flow is an element of `flows` (or `wide_flows`): the masked words of its key and the number of its mask lead
to the number of its list of actions and that of its statistics.  Changing its actions is an update of that
element in place: no packet falls between the old list and the new.

*Lists* are shared by all flows that do the same, and there are far fewer of them than flows.  Masks
(bpf/masks.py) and the numbers of all of these (bpf/numbers.py) have modules of their own.

*Statistics* are counted on each processor.  A bit for each flow says that it was used since the last round:
what a round costs depends on the flows used, not on all.  There are two banks of bits; the program writes to
one while the other is read and cleared.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.bpf.config import Config
from trunkline.bpf.maps import Map, possible_cpus
from trunkline.bpf.masks import Mask, Masks, mask_words, number_in
from trunkline.bpf.meanings import Meanings, Read
from trunkline.bpf.numbers import FullError, Numbers
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif.provider import Statistics

_NUMBER: Final = Struct("=I").pack
_FLOW: Final = program.FLOW.packed.pack
_TAIL: Final = Struct("=II").pack
_STATISTICS: Final = program.STATISTICS.packed
_LIST_SIZE: Final = 8 + program.MAX_LIST * program.ACTION.packed.size
_BANK_WORDS: Final = program.MAX_FLOWS // 64
_NANOSECOND: Final = 1e-9
_FLOW_RECORD: Final = program.FLOW.packed
_NAMELESS: Final = 1 << 127
NOTHING: Final = Statistics()
_NO_CREDIT: Final = memoryview(bytes(32)).cast("Q")


class _ActionList:
    __slots__ = ("elements", "flows", "orders")

    def __init__(self, orders: tuple[bytes, ...], elements: list[int]) -> None:
        self.orders = orders
        self.elements = elements  # its numbers in the map; the first is the list's
        self.flows = 0


class Lists:
    """Lists of actions, each once."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._map = maps["actions"]
        self._numbers = Numbers(1, program.MAX_LISTS, "lists of actions")
        self._by_orders: dict[tuple[bytes, ...], _ActionList] = {}

    def holds(self, orders: tuple[bytes, ...]) -> bool:
        """Whether some flow has this very list."""
        return orders in self._by_orders

    def take(self, orders: tuple[bytes, ...], now: float) -> _ActionList:
        """Raises FullError, BpfError."""
        found = self._by_orders.get(orders)
        if found is None:
            found = self._by_orders[orders] = self._write(orders, now)
        found.flows += 1
        return found

    def _write(self, orders: tuple[bytes, ...], now: float) -> _ActionList:
        parts = [orders[at : at + program.MAX_LIST] for at in range(0, len(orders), program.MAX_LIST)]
        elements: list[int] = []
        try:
            for _ in parts:
                elements.append(self._numbers.take(now))
        except FullError:
            for number in elements:
                self._numbers.give_back(number, now)
            raise
        for place, part in enumerate(parts):
            following = elements[place + 1] if place + 1 < len(elements) else 0
            record = _TAIL(following, 0) + b"".join(part)
            self._map.update(_NUMBER(elements[place]), record.ljust(_LIST_SIZE, b"\0"))
        return _ActionList(orders, elements)

    def take_up(self, first: set[int]) -> dict[int, _ActionList]:
        """The lists that an earlier process has left, by the numbers of their first elements."""
        found = {}
        for number in first:
            orders: list[bytes] = []
            elements = [number]
            while number:
                value = self._map.lookup(_NUMBER(number)) or bytes(_LIST_SIZE)
                size = program.ACTION.packed.size
                parts = (value[at : at + size] for at in range(8, _LIST_SIZE, size))
                orders += (part for part in parts if part[0])
                number = int.from_bytes(value[:4], "little")
                if number in elements or not number:
                    break
                elements.append(number)
            found[elements[0]] = self._by_orders[tuple(orders)] = _ActionList(tuple(orders), elements)
        self._numbers.are_taken({number for one in found.values() for number in one.elements})
        return found

    def give_back(self, one: _ActionList, now: float) -> bool:
        """Whether that was the last flow with that list."""
        one.flows -= 1
        if one.flows:
            return False
        del self._by_orders[one.orders]
        for number in one.elements:
            self._numbers.give_back(number, now)
        return True


# ---- flows


class KernelFlow(NamedTuple):
    """Where a flow is in the maps."""

    mask: Mask
    key: bytes
    actions: _ActionList
    statistics: int


def _element(actions: _ActionList, statistics: int, slow: bool) -> bytes:
    """A flow's value in the map.  Packets of a slow one are counted where they are forwarded."""
    return _FLOW(actions.elements[0], statistics | program.UNCOUNTED if slow else statistics)


class Flows:
    """The flows that the kernel has, by ufid."""

    def __init__(self, maps: Mapping[str, Map], owner: bytes | None, layout_digest: int = 0) -> None:
        """Without an owner the maps stay as an earlier process has left them."""
        self._narrow, self._wide = maps["flows"], maps["wide_flows"]
        self._statistics = maps["statistics"]
        self.config = Config(maps, owner, layout_digest)
        self.masks = Masks(maps, self.config)
        self.lists = Lists(maps)
        self.meanings = Meanings(maps)
        self._numbers = Numbers(0, program.MAX_FLOWS, "flows")
        self._users: dict[bytes, set[int]] = {}  # of an element of the maps: several slow flows may share it
        self.flows: dict[int, KernelFlow] = {}
        self._by_statistics: dict[int, int] = {}  # ufids
        self._touched = memoryview(maps["touched"].memory()).cast("B").cast("Q")
        self._credits = memoryview(maps["credits"].memory()).cast("B").cast("Q")
        self._zero = bytes(self._statistics.stride)
        self._each = self._statistics.stride // possible_cpus()

    def take_up(self, maps: Mapping[str, Map]) -> None:
        """The flows that an earlier process has left become ours, as they are in the maps.

        A flow that nobody has given a name yet gets one.  Raises BpfError, TextError.
        """
        masks = self.masks.take_up()
        elements = [(name, *_FLOW_RECORD.unpack(value)) for one in (self._narrow, self._wide)
                    for name, value in one.items()]  # fmt: skip
        lists = self.lists.take_up({actions for _, actions, _ in elements})
        read = Read(maps)
        for name, actions, place in elements:
            mask = masks.get(number_in(name))
            if mask is None:
                continue
            place &= ~program.UNCOUNTED
            meaning = read.of(place)
            ufid = meaning.ufid or _NAMELESS | place
            mask.flows += 1
            lists[actions].flows += 1
            self._users.setdefault(name, set()).add(ufid)
            self.flows[ufid] = KernelFlow(mask, name, lists[actions], place)
            self._by_statistics[place] = ufid
            self.meanings.take_up(place, meaning)
        self._numbers.are_taken(set(self._by_statistics))

    def add(
        self,
        ufid: int,
        key: int,
        mask: int,
        orders: tuple[bytes, ...],
        now: float,
        *,
        slow: bool,
        actions: tuple[Any, ...],
    ) -> None:
        """Puts a flow in, whose `actions` the orders stand for.

        Raises FullError, BpfError; then nothing has changed.
        """
        found = self.masks.take(mask_words(mask), now)
        those: _ActionList | None = None
        number: int | None = None
        try:
            those = self.lists.take(orders, now)
            number = self._fresh_statistics(now)
            self.meanings.put(number, ufid, actions, key)
            name = found.key(key)
            self._map(found).update(name, _element(those, number, slow))
            if name in self._users:
                self.config.changed()
        except (FullError, BpfError):
            if number is not None:
                self.meanings.take_out(number)
                self._numbers.give_back(number, now)
            if those is not None:
                self.lists.give_back(those, now)
            self.masks.give_back(found, now)
            raise
        self._users.setdefault(name, set()).add(ufid)
        self.flows[ufid] = KernelFlow(found, name, those, number)
        self._by_statistics[number] = ufid

    def change(
        self,
        ufid: int,
        orders: tuple[bytes, ...],
        now: float,
        *,
        slow: bool,
        actions: tuple[Any, ...],
        key: int,
    ) -> tuple[bytes, ...] | None:
        """Gives a flow other actions; gives back the orders that nobody uses any more.  Raises FullError,
        BpfError."""
        flow = self.flows[ufid]
        those = self.lists.take(orders, now)
        try:
            self._map(flow.mask).update(flow.key, _element(those, flow.statistics, slow))
            self.config.changed()
        except BpfError:
            self.lists.give_back(those, now)
            raise
        self.meanings.put(flow.statistics, ufid, actions, key)
        self.flows[ufid] = flow._replace(actions=those)
        return flow.actions.orders if self.lists.give_back(flow.actions, now) else None

    def _map(self, mask: Mask) -> Map:
        return self._wide if mask.wide else self._narrow

    def _fresh_statistics(self, now: float) -> int:
        never_used = self._numbers.highest  # from here on everything is 0 still
        number = self._numbers.take(now)
        if number < never_used:
            self._statistics.update(_NUMBER(number), self._zero)
            self._credits[number * 4 : number * 4 + 4] = _NO_CREDIT
        return number

    def credit(self, ufid: int, passed: tuple[int, int], beside: tuple[int, int]) -> None:
        """Of the packets and bytes of a flow, `passed` are in the counters of rules; `beside` are those that
        the kernel has not counted itself."""
        flow = self.flows.get(ufid)
        if flow is not None:
            at = flow.statistics * 4
            credits = self._credits
            credits[at], credits[at + 1] = passed
            credits[at + 2], credits[at + 3] = beside

    def beside(self, ufid: int) -> tuple[int, int]:
        """Packets and bytes of a flow that the kernel has not counted itself, as `credit` was told."""
        flow = self.flows.get(ufid)
        if flow is None:
            return 0, 0
        at = flow.statistics * 4
        return self._credits[at + 2], self._credits[at + 3]

    def remove(self, ufid: int, now: float) -> tuple[Statistics, tuple[bytes, ...] | None]:
        """What the flow has counted in the kernel, and its orders if no other flow has them."""
        flow = self.flows.pop(ufid, None)
        if flow is None:
            return NOTHING, None
        users = self._users[flow.key]
        users.discard(ufid)
        if not users:
            del self._users[flow.key]
            self._map(flow.mask).delete(flow.key)
            self.config.changed()
        statistics = self._read(flow)
        del self._by_statistics[flow.statistics]
        self.meanings.take_out(flow.statistics)
        self._numbers.give_back(flow.statistics, now)
        self.masks.give_back(flow.mask, now)
        return statistics, flow.actions.orders if self.lists.give_back(flow.actions, now) else None

    def statistics(self, ufid: int) -> Statistics:
        """What the kernel has counted for a flow."""
        flow = self.flows.get(ufid)
        return NOTHING if flow is None else self._read(flow)

    def _read(self, flow: KernelFlow) -> Statistics:
        value = self._statistics.lookup(_NUMBER(flow.statistics))
        return summed(value, 0, len(value), self._each) if value else NOTHING

    def all_statistics(self) -> dict[int, Statistics]:
        """Of every flow that has any, by ufid."""
        found: dict[int, Statistics] = {}
        stride, each = self._statistics.stride, self._each
        for start in range(0, self._numbers.highest, 4096):
            values = self._statistics.range(start, min(4096, self._numbers.highest - start))
            for at in range(0, len(values), stride):
                ufid = self._by_statistics.get(start + at // stride)
                if ufid is not None:
                    found[ufid] = summed(values, at, at + stride, each)
        return found

    def used(self) -> Iterator[tuple[int, Statistics]]:
        """Statistics of the flows used since the last time, in steps.  Who stops half way gets the others in
        the next round."""
        first = self.config.flip() * _BANK_WORDS
        touched = self._touched
        stride, each = self._statistics.stride, self._each
        for word in range((self._numbers.highest + 63) // 64):
            bits = touched[first + word]
            if not bits:
                continue
            start = word * 64
            values = self._statistics.range(start, 64)
            touched[first + word] = 0
            while bits:
                lowest = bits & -bits
                bits ^= lowest
                place = lowest.bit_length() - 1
                ufid = self._by_statistics.get(start + place)
                if ufid is not None:
                    yield ufid, summed(values, place * stride, (place + 1) * stride, each)

    def close(self) -> None:
        self.config.close()
        self._touched.release()
        self._credits.release()
        self.meanings.close()


def summed(values: bytes, start: int, end: int, each: int) -> Statistics:
    """The counters of all processors together."""
    packets = octets = used = flags = 0
    for at in range(start, end, each):
        more, more_octets, last, more_flags, _ = _STATISTICS.unpack_from(values, at)
        packets += more
        octets += more_octets
        flags |= more_flags
        used = max(used, last)
    return Statistics(packets, octets, used * _NANOSECOND if used else None, flags)


def totals(scratches: Map) -> tuple[int, int, int]:
    """Packets that met a flow, that met none, and that were lost: of all processors together.

    They stand at the beginning of each processor's scratch.  Raises BpfError.
    """
    values = scratches.range(0, scratches.entries)
    size = scratches.stride // possible_cpus()
    each = [program.TOTALS.packed.unpack_from(values, at) for at in range(0, len(values), size)]
    hits, misses, lost, _ = (sum(column) for column in zip(*each, strict=True))
    return hits, misses, lost
