"""A bridge's table of tunnel options: which Geneve option is which field tun_metadata0 to 63.

A controller maps (class, type, length) of an option to a field (NXT_TLV_TABLE_MOD).  Each field then has its
place in the slot `tun_metadata` of the key, the same for all flows and packets of the bridge, and a bit in
`tun_metadata_present`. A packet brings options as the wire has them (slot `tun_options`): `unpack` puts the
known ones into their places, `pack` makes options of what the fields hold, `raw_mask` says which bits of the
wire's form decide about bits of the fields.
"""

from collections.abc import Iterator
from typing import Any, Final

from trunkline.flow import key as layout
from trunkline.flow.match import Match, TunnelOption
from trunkline.model.fields import FIELD
from trunkline.model.tunnels import MAX_OPTIONS, OPTION_FIELDS
from trunkline.openflow import actions as a
from trunkline.openflow.tunnel_table import (
    NXTTMC_ADD,
    NXTTMC_CLEAR,
    TlvMapping,
    TlvTableMod,
    TlvTableReply,
)

_AT: Final = layout.OFFSET["tun_metadata"]
_PRESENT: Final = layout.OFFSET["tun_metadata_present"]
_RAW: Final = layout.OFFSET["tun_options"]
_LENGTH: Final = layout.OFFSET["tun_options_length"]
FIELDS: Final = layout.bits("tun_metadata", "tun_metadata_present")
RAW: Final = layout.bits("tun_options", "tun_options_length")
_PREFIX: Final = "tun_metadata"
_CRITICAL: Final = 0x80
_EVERY_BIT: Final = (1 << FIELD["tun_metadata0"].bits) - 1


class OptionError(Exception):
    """The name of an OpenFlow error."""


def number_of(field: str) -> int | None:
    """Which tun_metadata field a name is."""
    return int(field[len(_PREFIX) :]) if field.startswith(_PREFIX) else None


class Options:
    """The table; it never changes, `changed` makes another."""

    __slots__ = ("_by_kind", "mappings", "places", "widths")

    def __init__(self, places: dict[int, tuple[TlvMapping, int]] | None = None) -> None:
        """`places`: mapping and offset (bytes from the lowest end of the slot) by number."""
        found = dict(sorted((places or {}).items()))
        self.mappings = tuple(mapping for mapping, _ in found.values())
        self.places = tuple(
            TunnelOption(number, offset, mapping.length) for number, (mapping, offset) in found.items()
        )
        self.widths = {f"{_PREFIX}{place.number}": place.octets * 8 for place in self.places}  # in bits
        self._by_kind = {
            (mapping.option_class, mapping.option_type): TunnelOption(number, offset, mapping.length)
            for number, (mapping, offset) in found.items()
        }

    def place(self, number: int) -> TunnelOption | None:
        return next((place for place in self.places if place.number == number), None)

    def reply(self) -> TlvTableReply:
        return TlvTableReply(MAX_OPTIONS, OPTION_FIELDS, self.mappings)

    # ---- changing

    def changed(self, mod: TlvTableMod) -> "Options":
        """The table after a message.  Raises OptionError."""
        places = {mapping.field: (mapping, place.offset) for mapping, place in self._pairs()}
        if mod.command == NXTTMC_CLEAR:
            return Options()
        for mapping in mod.mappings:
            if mod.command != NXTTMC_ADD:
                old = places.get(mapping.field)
                if old is not None and old[0][:2] == mapping[:2]:
                    del places[mapping.field]
                continue
            if mapping.field in places:
                raise OptionError("NXTTMFC_ALREADY_MAPPED")
            if any(other[:2] == mapping[:2] for other, _ in places.values()):
                raise OptionError("NXTTMFC_DUP_ENTRY")
            places[mapping.field] = mapping, _room(places, mapping.length)
        return Options(places)

    def _pairs(self) -> Iterator[tuple[TlvMapping, TunnelOption]]:
        yield from zip(self.mappings, self.places, strict=True)

    # ---- matches

    def placed(self, match: Match) -> Match:
        """The match with its fields tun_metadata in the places of this table.  Raises OptionError."""
        if not match.options:
            return match
        value, mask = match.value & ~FIELDS, match.mask & ~FIELDS
        places = []
        for number, offset, octets in match.options:
            place = self.place(number)
            if place is None:
                raise OptionError("NXFMFC_INVALID_TLV_FIELD")
            ones = (1 << octets * 8) - 1
            part, part_mask = (bits >> _AT + offset * 8 & ones for bits in match[:2])
            whole = (1 << place.octets * 8) - 1
            if part_mask == ones:
                part_mask = whole  # a value that is written with fewer bytes than the field has
            else:
                part_mask = _fitted(part_mask, octets, place)
            part = _fitted(part, octets, place)
            value |= part << _AT + place.offset * 8 | 1 << _PRESENT + number
            mask |= part_mask << _AT + place.offset * 8 | 1 << _PRESENT + number
            places.append(place)
        return Match(value, mask, tuple(places))

    # ---- actions

    def placed_actions(self, actions: tuple[Any, ...]) -> tuple[Any, ...]:
        """Actions, and those within them, whose set_fields of options are as long as the options."""
        if not self.places:
            return actions
        placed = tuple(map(self._placed_action, actions))
        return actions if placed == actions else placed

    def _placed_action(self, action: Any) -> Any:
        if isinstance(action, a.Clone | a.WriteActions | a.Ct):
            return action._replace(actions=self.placed_actions(action.actions))
        number = number_of(action.field) if isinstance(action, a.SetField) else None
        place = None if number is None else self.place(number)
        if place is None:
            return action
        value, mask, octets = action.value, action.mask, action.octets or place.octets
        if mask != _EVERY_BIT:
            mask = _fitted(mask, octets, place)
            mask = _EVERY_BIT if mask == (1 << place.octets * 8) - 1 else mask
        return action._replace(value=_fitted(value, octets, place), mask=mask, octets=place.octets)

    # ---- packets

    def unpack(self, key: int) -> tuple[int, bool]:
        """The bits of the fields for the options that a packet has brought, and whether they make sense:
        whole, and none critical that is not known (RFC 8926, 3.5).
        """
        words = key >> _LENGTH & 0xFF
        if not words:
            return 0, True
        bits, sense = 0, True
        for at, size, kind in _options(key, words):
            if at < 0:
                return 0, False
            place = self._by_kind.get(kind)
            if place is None or place.octets != size:
                sense = sense and not kind[1] & _CRITICAL
                continue
            value = key >> _RAW + (256 - at - 4 - size) * 8 & (1 << size * 8) - 1
            bits |= value << _AT + place.offset * 8 | 1 << _PRESENT + place.number
        return bits, sense

    def pack(self, key: int) -> int:
        """The slots tun_options and tun_options_length for the fields that `key` has."""
        data = b""
        for mapping, place in self._pairs():
            if key >> _PRESENT + place.number & 1:
                value = key >> _AT + place.offset * 8 & (1 << place.octets * 8) - 1
                data += mapping.option_class.to_bytes(2, "big")
                data += bytes((mapping.option_type, place.octets // 4)) + value.to_bytes(place.octets, "big")
        return int.from_bytes(data.ljust(256, b"\0"), "big") << _RAW | len(data) // 4 << _LENGTH

    def raw_mask(self, key: int, looked: int) -> int:
        """Which bits of the options as the packet brought them decide: where each option is, always, and the
        bits of their values that were looked at as fields."""
        words = key >> _LENGTH & 0xFF
        mask = 0xFF << _LENGTH
        for at, size, kind in _options(key, words):
            if at < 0:
                return mask | layout.MASK["tun_options"]
            mask |= 0xFFFFFFFF << _RAW + (252 - at) * 8
            place = self._by_kind.get(kind)
            if place is not None and place.octets == size:
                bits = looked >> _AT + place.offset * 8 & (1 << size * 8) - 1
                mask |= bits << _RAW + (252 - at - size) * 8
        return mask


def _fitted(number: int, octets: int, place: TunnelOption) -> int:
    """What is left of a number of so many bytes in an option that may be shorter: its first bytes."""
    return number >> max(octets - place.octets, 0) * 8


def _options(key: int, words: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Where each option begins, the bytes of its value, class and type; at last -1 if one is cut short."""
    at, end = 0, words * 4
    while at < end:
        head = key >> _RAW + (252 - at) * 8 & 0xFFFFFFFF
        size = (head & 31) * 4
        if at + 4 + size > end:
            yield -1, 0, (0, 0)
            return
        yield at, size, (head >> 16, head >> 8 & 0xFF)
        at += 4 + size


def _room(places: dict[int, tuple[TlvMapping, int]], length: int) -> int:
    """The lowest offset with that much room.  Raises OptionError."""
    offset = 0
    for start, size in sorted((offset, mapping.length) for mapping, offset in places.values()):
        if start - offset >= length:
            break
        offset = start + size
    if offset + length > MAX_OPTIONS:
        raise OptionError("NXTTMFC_TABLE_FULL")
    return offset
