"""Megaflows in the kernel's maps: masks, keys, lists of actions, statistics.

A flow is an element of `flows` (or `wide_flows`): the masked words of its key and the number of its mask lead
to the number of its list of actions and that of its statistics.  Changing its actions is an update of that
element in place: no packet falls between the old list and the new.

*Lists* are shared by all flows that do the same, and there are far fewer of them than flows.  *Numbers* of
lists and statistics that are given back rest for a while, until no packet can still be on its way with them.

*Statistics* are counted on each processor.  A bit for each flow says that it was used since the last round:
what a round costs depends on the flows used, not on all.  There are two banks of bits; the program writes to
one while the other is read and cleared.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map, possible_cpus
from trunkline.bpf.meanings import Meanings, Read
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif.provider import Statistics
from trunkline.flow import key as layout

_NUMBER: Final = Struct("=I").pack
_FLOW: Final = program.FLOW.packed.pack
_TAIL: Final = Struct("=II").pack
_STATISTICS: Final = program.STATISTICS.packed
_ORDER: Final = Struct(f"={program.MAX_MASKS}I")
_REST: Final = 1.0  # seconds
_LIST_SIZE: Final = 8 + program.MAX_LIST * program.ACTION.packed.size
_BANK_WORDS: Final = program.MAX_FLOWS // 64
_NANOSECOND: Final = 1e-9
_FLOW_RECORD: Final = program.FLOW.packed
_NUMBER_OF: Final = Struct("=I").unpack_from
_NAMELESS: Final = 1 << 127
NOTHING: Final = Statistics()
_NO_CREDIT: Final = memoryview(bytes(32)).cast("Q")


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


# ---- masks


class _Mask:
    __slots__ = ("flows", "hits", "number", "places", "wide", "words")

    def __init__(self, number: int, words: tuple[int, ...]) -> None:
        self.number = number
        self.words = words  # of the whole mask
        self.flows = self.hits = 0
        self.places = [at for at, word in enumerate(words) if word]
        self.wide = len(self.places) > program.NARROW_WORDS

    def record(self) -> bytes:
        """As the program has it: the words that it touches, and which they are."""
        words = [self.words[at] for at in self.places]
        words += [0] * (program.KEY_WORDS - len(words))
        index = bytes(self.places)
        return program.MASK.packed.pack(*words, index, self.wide, len(self.places))

    def key(self, key: int) -> bytes:
        """The key of a flow in the map."""
        words = words_of(key, options=len(self.words) > program.KEY_WORDS)
        masked = [words[at] & self.words[at] for at in self.places]
        if self.wide:
            masked += [0] * (program.KEY_WORDS - len(masked))
            return _WIDE(*masked) + _TAIL(self.number, 0)
        masked += [0] * (program.NARROW_WORDS - len(masked))
        return _NARROW(*masked) + _TAIL(self.number, 0)

    @staticmethod
    def of_record(number: int, record: bytes) -> "_Mask":
        """The mask that such a record stands for."""
        value = program.MASK.packed.unpack(record)
        index, count = value[-3], value[-1]
        words = [0] * program.ALL_WORDS
        for place, word in zip(index[:count], value, strict=False):
            words[place] = word
        beyond_key = any(words[program.KEY_WORDS :])
        return _Mask(number, tuple(words if beyond_key else words[: program.KEY_WORDS]))

    def whole(self, name: bytes) -> int:
        """The flow's key, by its key in the map."""
        words = [0] * program.ALL_WORDS
        for place, word in zip(self.places, Struct(f"={len(self.places)}Q").unpack_from(name), strict=True):
            words[place] = word
        return key_of(tuple(words))


_WORDS: Final = Struct(f"={program.KEY_WORDS}Q")
_ALL_WORDS: Final = Struct(f"={program.ALL_WORDS}Q")
_WIDE: Final = _WORDS.pack
_OPTIONS: Final = Struct(f"={program.OPTION_WORDS}Q")
OPTIONS: Final = layout.bits("tun_options", "tun_options_length")
_NARROW: Final = Struct(f"={program.NARROW_WORDS}Q").pack


def words_of(key: int, *, options: bool = False) -> tuple[int, ...]:
    """The key's words as the program reads them; with `options` those of a tunnel behind them."""
    words = _WORDS.unpack(layout.datapath_bytes(key))
    if not options:
        return words
    data = layout.get(key, "tun_options").to_bytes(8 * program.OPTION_WORDS, "big")
    return (*words, *_OPTIONS.unpack(data), layout.get(key, "tun_options_length"))


def key_of(words: tuple[int, ...]) -> int:
    """The key whose words the program has, ALL_WORDS of them."""
    data = _ALL_WORDS.pack(*words)
    key = layout.from_datapath_bytes(data[: program.KEY_BYTES])
    options = int.from_bytes(data[program.KEY_BYTES : -8], "big") << layout.OFFSET["tun_options"]
    return key | options | words[program.OPTIONS_LENGTH] << layout.OFFSET["tun_options_length"]


@lru_cache(maxsize=2 * program.MAX_MASKS)
def _mask_words(mask: int) -> tuple[int, ...]:
    return words_of(mask, options=bool(mask & OPTIONS))


def fits(mask: int) -> bool:
    """Whether the program can look at so many words."""
    return sum(1 for word in _mask_words(mask) if word) <= program.KEY_WORDS


class Masks:
    """The masks in use, and the order in which they are tried."""

    def __init__(self, maps: Mapping[str, Map], count: "Counted") -> None:
        self._masks, self._order_map, self._hits = maps["masks"], maps["order"], maps["mask_hits"]
        self._numbers = Numbers(0, program.MAX_MASKS, "masks")
        self._by_words: dict[tuple[int, ...], _Mask] = {}
        self._order: list[_Mask] = []
        self._count = count

    def __len__(self) -> int:
        return len(self._order)

    def take(self, words: tuple[int, ...], now: float) -> _Mask:
        """Raises FullError, BpfError."""
        mask = self._by_words.get(words)
        if mask is None:
            mask = _Mask(self._numbers.take(now), words)
            self._masks.update(_NUMBER(mask.number), mask.record())
            self._by_words[words] = mask
            self._order.append(mask)
            self._write()
        mask.flows += 1
        return mask

    def take_up(self) -> dict[int, _Mask]:
        """The masks that an earlier process has left, by number."""
        value = self._order_map.lookup(_NUMBER(0)) or bytes(_ORDER.size)
        found = {}
        for number in _ORDER.unpack(value)[: self._count.masks]:
            record = self._masks.lookup(_NUMBER(number))
            if record is not None:
                found[number] = mask = _Mask.of_record(number, record)
                self._by_words[mask.words] = mask
                self._order.append(mask)
        self._numbers.are_taken(set(found))
        return found

    def give_back(self, mask: _Mask, now: float) -> None:
        mask.flows -= 1
        if not mask.flows:
            del self._by_words[mask.words]
            self._order.remove(mask)
            self._write()
            self._numbers.give_back(mask.number, now)

    def sort(self) -> None:
        """Puts those first that hit most."""
        if len(self._order) < 2:
            return
        stride = self._hits.stride
        values = self._hits.range(0, self._numbers.highest)
        counts = [sum(one[0] for one in _COUNT.iter_unpack(values[at : at + stride]))
                  for at in range(0, len(values), stride)]  # fmt: skip
        rates = {mask: counts[mask.number] - mask.hits for mask in self._order}
        order = sorted(self._order, key=lambda mask: -rates[mask])
        for mask in order:
            mask.hits = counts[mask.number]
        if order != self._order:
            self._order = order
            self._write()

    def _write(self) -> None:
        numbers = [mask.number for mask in self._order]
        self._order_map.update(_NUMBER(0), _ORDER.pack(*numbers, *[0] * (program.MAX_MASKS - len(numbers))))
        self._count.set_masks(len(numbers))


_COUNT: Final = Struct("=Q")


_MASKS, _VLAN_LIMIT, _ROUND, _GENERATION = range(6, 10)  # words of the record


class Counted:
    """The map `config`, shared memory: who this is, how many masks there are, which bank of bits is written,
    and how often flows have changed."""

    def __init__(self, maps: Mapping[str, Map], owner: bytes | None, layout_digest: int = 0) -> None:
        """Without an owner it stays as an earlier process has left it."""
        if owner is not None:
            record = program.CONFIG.packed.pack(owner, layout_digest, 0, 1, 1, 1)
            maps["config"].update(_NUMBER(0), record)
        self._words = memoryview(maps["config"].memory()).cast("B").cast("I")

    @property
    def masks(self) -> int:
        return self._words[_MASKS]

    def set_masks(self, count: int) -> None:
        self._words[_MASKS] = count

    def set_vlan_limit(self, limit: int) -> None:
        self._words[_VLAN_LIMIT] = limit

    def flip(self) -> int:
        """The bank that was written until now; from now on it is the other."""
        before = self._words[_ROUND]
        self._words[_ROUND] = before + 1 & 0xFFFFFFFF
        return before & 1

    def changed(self) -> None:
        """A flow is another now, or is not there any more: nobody may go by what he remembers of it.

        (0 is no generation: in a processor's memory of flows it says that there is nothing.)
        """
        self._words[_GENERATION] = self._words[_GENERATION] % 0xFFFFFFFF + 1

    def close(self) -> None:
        self._words.release()


# ---- lists of actions


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

    mask: _Mask
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
        self.config = Counted(maps, owner, layout_digest)
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
            mask = masks.get(_NUMBER_OF(name, len(name) - 8)[0])
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
        found = self.masks.take(_mask_words(mask), now)
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

    def _map(self, mask: _Mask) -> Map:
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


_NSH_TYPE: Final = 0x894F
_TYPE_MASK: Final = layout.MASK["dl_type"]


def beyond(key: int, mask: int) -> str | None:
    """What of a match the program cannot look at, or None.

    It knows nothing of NSH; other packets have none, and then it need not look.
    """
    rare = mask & layout.RARE & ~OPTIONS
    if not rare:
        return None if fits(mask) else "match on more of a tunnel's options than there is room for"
    is_another = mask & _TYPE_MASK == _TYPE_MASK and layout.get(key, "dl_type") != _NSH_TYPE
    if is_another and not key & rare:
        return None
    return "match on " + ", ".join(name for name, _ in layout.slots(rare))
