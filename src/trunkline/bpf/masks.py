"""Masks in the kernel's maps: which bits of a key a flow is about, and the order in which they are tried.

The program reads a key as words of 64 bits.  A mask is the words that it touches, and which they are; a
flow's key in the map is just these words of its own, masked, and the mask's number.  Most flows touch few
words, and lie in a map of short keys ("narrow").
"""

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct, unpack_from
from typing import Final

from trunkline.bpf import layout as program
from trunkline.bpf.config import Config
from trunkline.bpf.maps import Map
from trunkline.bpf.numbers import Numbers
from trunkline.flow import key as layout

_NUMBER: Final = Struct("=I").pack
_TAIL: Final = Struct("=II")
_ORDER: Final = Struct(f"={program.MAX_MASKS}I")
_COUNT: Final = Struct("=Q")
_NSH_TYPE: Final = 0x894F
_TYPE_MASK: Final = layout.MASK["dl_type"]
_WORDS: Final = Struct(f"={program.KEY_WORDS}Q")
_ALL_WORDS: Final = Struct(f"={program.ALL_WORDS}Q")
_WIDE: Final = _WORDS.pack
_OPTIONS: Final = Struct(f"={program.OPTION_WORDS}Q")
OPTIONS: Final = layout.bits("tun_options", "tun_options_length")
_NARROW: Final = Struct(f"={program.NARROW_WORDS}Q").pack


# ---- words of keys


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
def mask_words(mask: int) -> tuple[int, ...]:
    return words_of(mask, options=bool(mask & OPTIONS))


@lru_cache(maxsize=2 * program.MAX_MASKS)
def fits(mask: int) -> bool:
    """Whether the program can look at so many words."""
    return sum(1 for word in mask_words(mask) if word) <= program.KEY_WORDS


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


# ---- masks


class Mask:
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
            return _WIDE(*masked) + _TAIL.pack(self.number, 0)
        masked += [0] * (program.NARROW_WORDS - len(masked))
        return _NARROW(*masked) + _TAIL.pack(self.number, 0)

    @staticmethod
    def of_record(number: int, record: bytes) -> "Mask":
        """The mask that such a record stands for."""
        value = program.MASK.packed.unpack(record)
        index, count = value[-3], value[-1]
        words = [0] * program.ALL_WORDS
        for place, word in zip(index[:count], value, strict=False):
            words[place] = word
        beyond_key = any(words[program.KEY_WORDS :])
        return Mask(number, tuple(words if beyond_key else words[: program.KEY_WORDS]))

    def whole(self) -> int:
        """The bits of a flow's key that it is about."""
        return key_of(self.words + (0,) * (program.ALL_WORDS - len(self.words)))

    def key_named(self, name: bytes) -> int:
        """A flow's key, by its key in the map."""
        words = [0] * program.ALL_WORDS
        for place, word in zip(self.places, unpack_from(f"={len(self.places)}Q", name), strict=True):
            words[place] = word
        return key_of(tuple(words))


def number_in(name: bytes) -> int:
    """The number of the mask, in a flow's key in the map."""
    number: int = _TAIL.unpack_from(name, len(name) - _TAIL.size)[0]
    return number


def masks_in(one: Map) -> dict[int, Mask]:
    """All masks that the map has, by number; some may be in use no more.  Raises BpfError."""
    size = program.MASK.packed.size
    values = one.range(0, one.entries)
    records = (values[at : at + size] for at in range(0, len(values), size))
    return {number: Mask.of_record(number, record) for number, record in enumerate(records)}


class Masks:
    """The masks in use, and the order in which they are tried."""

    def __init__(self, maps: Mapping[str, Map], config: Config) -> None:
        self._masks, self._order_map, self._hits = maps["masks"], maps["order"], maps["mask_hits"]
        self._numbers = Numbers(0, program.MAX_MASKS, "masks")
        self._by_words: dict[tuple[int, ...], Mask] = {}
        self._order: list[Mask] = []
        self._config = config

    def __len__(self) -> int:
        return len(self._order)

    def take(self, words: tuple[int, ...], now: float) -> Mask:
        """Raises FullError, BpfError."""
        mask = self._by_words.get(words)
        if mask is None:
            mask = Mask(self._numbers.take(now), words)
            self._masks.update(_NUMBER(mask.number), mask.record())
            self._by_words[words] = mask
            self._order.append(mask)
            self._write()
        mask.flows += 1
        return mask

    def take_up(self) -> dict[int, Mask]:
        """The masks that an earlier process has left, by number."""
        value = self._order_map.lookup(_NUMBER(0)) or bytes(_ORDER.size)
        there = masks_in(self._masks)
        found = {number: there[number] for number in _ORDER.unpack(value)[: self._config.masks]}
        for mask in found.values():
            self._by_words[mask.words] = mask
            self._order.append(mask)
        self._numbers.are_taken(set(found))
        return found

    def give_back(self, mask: Mask, now: float) -> None:
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
        self._config.set_masks(len(numbers))
