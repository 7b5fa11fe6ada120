"""Meters as text is read: what add-meter and its like take (ovs-ofctl(8), Meter Syntax).

Words say which meter and how it measures; from ``bands=`` on come its bands, each from one ``type=`` to the
next.
"""

import re
from typing import Final, NamedTuple

from trunkline.flow.values import TextError
from trunkline.openflow.actions_text import parse_u32
from trunkline.openflow.formats import OF13, OF14, OF15
from trunkline.openflow.meters import (
    BAND_NAMES,
    METER_ALL,
    METER_CONTROLLER,
    METER_MAX,
    METER_SLOWPATH,
    OFPMBT_DSCP_REMARK,
    OFPMC_DELETE,
    OFPMF_BURST,
    OFPMF_KBPS,
    OFPMF_PKTPS,
    OFPMF_STATS,
    Band,
    MeterMod,
)
from trunkline.openflow.style import integer

FORMATS: Final = OF13 | OF14 | OF15  # the flow formats whose versions have meters
_FLAGS: Final = {"kbps": OFPMF_KBPS, "pktps": OFPMF_PKTPS, "burst": OFPMF_BURST, "stats": OFPMF_STATS}
_VIRTUAL: Final = {"all": METER_ALL, "controller": METER_CONTROLLER, "slowpath": METER_SLOWPATH}
_TYPES: Final = {name: number for number, name in BAND_NAMES.items()}
_WORD: Final = re.compile(r"[^=, \t\r\n]+")
_VALUE: Final = re.compile(r"[^, \t\r\n]+")


class _Reader:
    """Words and values of a text, one after the other, each with separators of its own."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.search(self.text, self.at)
        if found is None:
            return None
        self.at = found.end() + 1  # and the separator behind it
        return found.group()

    def value(self, name: str) -> str:
        found = self.take(_VALUE)
        if found is None:
            raise TextError(f"field {name} missing value")
        return found


class _Meter(NamedTuple):
    number: int | None
    flags: int


def parse_meter(text: str, command: int) -> MeterMod:
    """Reads a meter for `command` (OFPMC_*).  Raises TextError."""
    creates = command != OFPMC_DELETE
    head, bands_text = text, None
    if creates:
        at = text.find("band")
        if at < 0:
            raise TextError("must specify bands")
        head = text[:at]
        equals = text.find("=", at)
        if equals < 0:
            raise TextError("must specify bands")
        bands_text = text[equals + 1 :]
    meter = _read_head(head, creates)
    if creates and meter.number is None:
        raise TextError("must specify 'meter'")
    if creates and not meter.flags & (OFPMF_KBPS | OFPMF_PKTPS):
        raise TextError("meter must specify either 'kbps' or 'pktps'")
    bands = () if bands_text is None else _read_bands(bands_text, meter.flags)
    return MeterMod(command, METER_ALL if meter.number is None else meter.number, meter.flags, bands)


def _read_head(text: str, creates: bool) -> _Meter:
    reader = _Reader(text)
    number, flags = None, 0
    while (name := reader.take(_WORD)) is not None:
        if creates and name in _FLAGS:
            flags |= _FLAGS[name]
            continue
        value = reader.value(name)
        if name != "meter":
            raise TextError(f"unknown keyword {name}")
        number = _VIRTUAL.get(value)
        if number is None:
            number = parse_u32(value)
            if not 0 < number <= METER_MAX:
                raise TextError("invalid value for meter")
    return _Meter(number, flags)


class _Draft:
    """A band as far as its words have been read."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.rate = 0
        self.burst = 0
        self.precedence = 0


def _read_bands(text: str, flags: int) -> tuple[Band, ...]:
    reader = _Reader(text)
    bands: list[Band] = []
    draft: _Draft | None = None
    while (name := reader.take(_WORD)) is not None:
        value = reader.value(name)
        if name == "type":
            if draft is not None:
                bands.append(_finished(draft, flags))
            kind = _TYPES.get(value)
            if kind is None:
                raise TextError(f"field type unknown value {value}")
            draft = _Draft(kind)
            continue
        if draft is None:
            raise TextError("band must start with the 'type' keyword")
        if name == "rate":
            draft.rate = parse_u32(value)
        elif name == "burst_size":
            draft.burst = parse_u32(value)
        elif name == "prec_level":
            level = integer(value)
            if level is None or level > 0xFF:
                raise TextError(f'invalid prec_level "{value}"')
            draft.precedence = level
        else:
            raise TextError(f"unknown keyword {name}")
    if draft is None:
        raise TextError("meter must have bands")
    return (*bands, _finished(draft, flags))


def _finished(draft: _Draft, flags: int) -> Band:
    if draft.kind == OFPMBT_DSCP_REMARK:
        if not draft.precedence:
            raise TextError("'dscp_remark' band must have 'prec_level'")
    elif draft.precedence:
        raise TextError("Only 'dscp_remark' band may have 'prec_level'")
    if not draft.rate:
        raise TextError("band must have 'rate'")
    if flags & OFPMF_BURST and not draft.burst:
        raise TextError("band must have 'burst_size' when 'burst' flag is set")
    if not flags & OFPMF_BURST and draft.burst:
        raise TextError("band may have 'burst_size' only when 'burst' flag is set")
    return Band(draft.kind, draft.rate, draft.burst, draft.precedence)
