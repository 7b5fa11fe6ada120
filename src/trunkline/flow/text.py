"""Matches and flow keys as text, just as ovs-ofctl and ovs-vswitchd write and read them.

Reading: a flow's text is a list of words, `key` or `key=value` (`key_values`).  Each one that says something
about the match goes into a `Draft`, which in the end becomes a Match; what makes no sense beside the rest is
then left out (`normalize`), and the original logs what it left out.

Writing: which words in which order is the shape of a match (shape.py); here its values are put in.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from trunkline.flow.colors import paint_match
from trunkline.flow.key import OFFSET, VIEW, VLAN_CFI
from trunkline.flow.match import Match, TunnelOption, ethernet_type, exact_value, kind_bits, satisfied
from trunkline.flow.shape import OPTIONS, SHAPE, SHORTHANDS, shape
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, format_port, parse_value, write_hex
from trunkline.model.fields import FIELD, Field

_IPV4, _IPV6 = 0x0800, 0x86DD

# What a packet may bring out of a tunnel, and no match can ask for: there is no number for it.
UNNUMBERED: Final[dict[str, Field]] = {
    "tun_tos": Field("tun_tos", (), 1, 8, "hex", False, "", False, "tun_tos", 0, "no", "no", "tun_tos", ()),
    "tun_ttl": Field("tun_ttl", (), 1, 8, "dec", False, "", False, "tun_ttl", 0, "no", "no", "tun_ttl", ()),
}


# ---- reading


_FIRST_WORD: Final = re.compile(r"[^ ,\t\r\n]+")


def command_at_start(text: str, commands: Mapping[str, int]) -> tuple[int | None, str]:
    """The command that `text` starts with, and what follows it; None and all of it where it starts with none.

    A command may be cut short; of several that begin alike it is the first of `commands`.
    """
    text = text.lstrip(" \t\r\n")
    found = _FIRST_WORD.match(text)
    if found is not None:
        word = found.group()
        for name, command in commands.items():
            if name.startswith(word):
                return command, text[len(word) :].lstrip(", \t")
    return None, text


def key_values(text: str) -> Iterable[tuple[str, str | None]]:
    """The words of a flow: (key, value), value None where there is no `=` or `:`.

    Words are separated by commas and white space; a value may hold separators within parentheses.
    """
    if "(" in text:
        return _nested_key_values(text)
    words: list[tuple[str, str | None]] = []
    for blank in BLANKS:
        text = text.replace(blank, ",")
    for word in text.split(","):
        key, sign, value = word.partition("=")
        if ":" in key:
            key, sign, value = word.partition(":")
        if sign:
            words.append((key, value))
        elif key:
            words.append((key, None))
    return words


BLANKS: Final = (" ", "\t", "\r", "\n")


def _nested_key_values(text: str) -> Iterator[tuple[str, str | None]]:
    at, end = 0, len(text)
    while at < end:
        while at < end and text[at] in ", \t\r\n":
            at += 1
        start = at
        while at < end and text[at] not in ":=(, \t\r\n":
            at += 1
        key = text[start:at]
        if at < end and text[at] == "(":
            start, at, closed = at + 1, *_closing(text, at)
            if text.startswith("->", at):  # as in load(5)->reg0, whose value has the parenthesis in it
                while at < end and text[at] not in ", \t\r\n":
                    at += 1
                yield key, text[start:at]
            else:
                yield key, text[start : at - closed]
        elif at < end and text[at] in ":=":
            start = at = at + 1
            while at < end and text[at] not in ", \t\r\n":
                at = _closing(text, at)[0] if text[at] == "(" else at + 1
            yield key, text[start:at]
        elif key:
            yield key, None


def _closing(text: str, at: int) -> tuple[int, bool]:
    """Behind the parenthesis that closes the one at `at`, or the end of the text; whether one does."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if not depth:
            return i + 1, True
    return len(text), False


class Draft:
    """A match while its words are read.  IPv6 addresses wait apart: the family shows only at the end."""

    def __init__(self) -> None:
        self.value = self.mask = 0
        self.ipv6: dict[str, tuple[int, int]] = {}
        self.options: list[TunnelOption] = []
        self.strays = False  # whether it has addresses of the other family, which `finish` leaves out

    def assign(self, name: str, value: int, mask: int, matched: int | None = None) -> None:
        """Changes just the bits of the field `name`; of these just `matched`, where that is given."""
        shift, ones, _ = VIEW[name]
        within = ones if matched is None else matched
        mask &= within
        if self.mask & within << shift:
            self.value &= ~(within << shift)
            self.mask &= ~(within << shift)
        self.value |= (value & mask) << shift
        self.mask |= mask << shift

    def assign_tci(self, value: int, mask: int, clear: int) -> None:
        tci, tci_mask = (half >> OFFSET["vlan_tci"] & 0xFFFF for half in (self.value, self.mask))
        self.assign("vlan_tci", tci & ~clear | value & mask, tci_mask & ~clear | mask)

    def assume_ethernet(self) -> None:
        view = VIEW["packet_type"]
        if not self.mask & view.mask:
            self.mask |= view.mask


def set_shorthand(draft: Draft, word: str) -> bool:
    """`ip`, `tcp6`, ...; False: `word` is none of them."""
    found = SHORTHANDS.get(word)
    if found is None:
        return False
    kind, protocol = found
    draft.assume_ethernet()
    if kind is not None:
        draft.assign("dl_type", kind, 0xFFFF)
    if protocol is not None:
        draft.assign("nw_proto", protocol, 0xFF)
    return True


def set_field(draft: Draft, field: Field, text: str, context: TextContext = NO_CONTEXT) -> None:
    """`field=text`.  Raises TextError."""
    set_value(draft, field, *parse_value(field, text, context))


def set_value(draft: Draft, field: Field, value: int, mask: int) -> None:
    """The whole field, also where its words are about more than its bits.  Raises TextError."""
    ethernet, special = _way_to_set(field.name, field.prerequisite)
    if ethernet:
        draft.assume_ethernet()
    if special is None:
        draft.assign(field.name, value, mask, field.matched)
    else:
        special(draft, field, value, mask)


@cache
def _way_to_set(
    name: str, prerequisite: str
) -> "tuple[bool, Callable[[Draft, Field, int, int], None] | None]":
    """Whether the field says that there is an Ethernet header; and how it is set, if not as its bits."""
    special = _VLAN.get(name)
    if name.startswith("tun_metadata"):
        special = _set_option
    elif name.endswith(("ipv6_src", "ipv6_dst")) and not name.startswith("tun"):
        special = _set_ipv6
    elif name in _OCTETS:
        special = _set_octet
    return _needs_ethernet(prerequisite) or name == "eth_type", special


def is_special(field: Field) -> bool:
    """Whether its words are about more than its bits."""
    return _way_to_set(field.name, field.prerequisite)[1] is not None


def _set_ipv6(draft: Draft, field: Field, value: int, mask: int) -> None:
    draft.ipv6[field.name] = value, mask


_OCTETS: Final = frozenset(
    ("icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code", "nd_options_type")
)  # they share a slot with what is wider


def _set_octet(draft: Draft, field: Field, value: int, mask: int) -> None:
    draft.assign(field.slot, value, VIEW[field.slot].ones if mask else 0)


def set_bits(draft: Draft, field: Field, value: int, mask: int) -> None:
    """Just the bits of `mask`, as ``reg0[0..7]=5`` names them; those named before stay."""
    if field.name.startswith("tun_metadata"):
        _set_option(draft, field, value, mask)
        return
    if _needs_ethernet(field.prerequisite) or field.name == "eth_type":
        draft.assume_ethernet()
    if field.name.endswith(("ipv6_src", "ipv6_dst")) and not field.name.startswith("tun"):
        old, known = draft.ipv6.get(field.name, (0, 0))
        draft.ipv6[field.name] = old & ~mask | value, known | mask
    else:
        mask &= -1 if field.matched is None else field.matched
        draft.assign(field.name, value & mask, mask, mask)


def _needs_ethernet(prerequisite: str) -> bool:
    return prerequisite in ("eth", "vlan")


def _set_vlan(draft: Draft, field: Field, value: int, mask: int) -> None:
    if not mask:
        draft.assign_tci(0, 0, 0x1FFF)
    elif value == 0xFFFF:
        draft.assign("vlan_tci", 0, 0xFFFF)
    else:
        draft.assign_tci(value & 0xFFF | VLAN_CFI, 0x1FFF, 0x1FFF)


def _set_vid(draft: Draft, field: Field, value: int, mask: int) -> None:
    draft.assign_tci(value & 0x1FFF, mask & 0x1FFF, 0x1FFF)


def _set_pcp(draft: Draft, field: Field, value: int, mask: int) -> None:
    if not mask:
        draft.assign_tci(0, 0, 0xE000)
    else:
        draft.assign_tci((value & 7) << 13 | VLAN_CFI, 0xF000, 0xF000)


_VLAN: Final = MappingProxyType(
    {"dl_vlan": _set_vlan, "vlan_vid": _set_vid, "dl_vlan_pcp": _set_pcp, "vlan_pcp": _set_pcp}
)


def _set_option(draft: Draft, field: Field, value: int, mask: int) -> None:
    number = int(field.name[len("tun_metadata") :])
    if any(option.number == number for option in draft.options):
        raise TextError(f"field {field.name} set multiple times")
    exact = mask == (1 << field.bits) - 1
    octets = max(1, ((value if exact else mask).bit_length() + 7) // 8)
    offset = sum(option.octets for option in draft.options)
    if offset + octets > 256:
        raise TextError(f"field {field.name} exceeds maximum size for tunnel metadata (used 256, max 256)")
    draft.options.append(TunnelOption(number, offset, octets))
    shift = OFFSET["tun_metadata"] + offset * 8
    mask &= (1 << octets * 8) - 1
    draft.value |= (value & mask) << shift | 1 << OFFSET["tun_metadata_present"] + number
    draft.mask |= mask << shift | 1 << OFFSET["tun_metadata_present"] + number


def finish(draft: Draft) -> Match:
    """The match of a draft; not yet normalized."""
    kind = Match(draft.value, draft.mask)
    family = ethernet_type(kind)
    if family == _IPV6:
        draft.strays = bool(draft.mask & _IPV4_ADDRESSES)
        for name in ("nw_src", "nw_dst", "ct_nw_src", "ct_nw_dst"):
            draft.assign(name, 0, 0)
        for name, (value, mask) in draft.ipv6.items():
            draft.assign(name, value, mask)
    elif draft.ipv6:
        draft.strays = any(mask for name, (_, mask) in draft.ipv6.items() if name in ("ipv6_src", "ipv6_dst"))
    if draft.mask & _L4 and (family, exact_value(kind, "nw_proto")) in ((_IPV4, 1), (_IPV6, 58)):
        for name in ("tp_src", "tp_dst"):
            _narrow(draft, name)
        if satisfied(Match(draft.value, draft.mask), "nd"):
            _narrow(draft, "tcp_flags")
    return Match(draft.value, draft.mask, tuple(draft.options))


_IPV4_ADDRESSES: Final = VIEW["nw_src"].mask | VIEW["nw_dst"].mask
_L4: Final = VIEW["tp_src"].mask | VIEW["tp_dst"].mask | VIEW["tcp_flags"].mask


def _narrow(draft: Draft, slot: str) -> None:
    """Of what is an octet in packets of this kind a match has all bits, or none."""
    shift, _, place = VIEW[slot]
    if draft.mask & place:
        value = draft.value >> shift & 0xFF
        draft.assign(slot, value, 0xFF)


def set_word(draft: Draft, key: str, value: str | None, context: TextContext = NO_CONTEXT) -> bool:
    """One word of a flow; False: it says nothing of the match.  Raises TextError."""
    if set_shorthand(draft, key):
        return True
    field = FIELD.get(key)
    if field is None:
        return False
    set_field(draft, field, value or "0/0", context)  # a field alone is any
    return True


def parse_match(text: str, context: TextContext = NO_CONTEXT) -> Match:
    """The match that `text` describes, not yet normalized.  Raises TextError, also for other words."""
    draft = Draft()
    for key, value in key_values(text):
        if not set_word(draft, key, value, context):
            raise TextError(f"unknown keyword {key}" if value is not None else f"field {key} missing value")
    return finish(draft)


# ---- writing


def _written_options(match: Match, options: tuple[TunnelOption, ...]) -> Iterator[str]:
    present = match.mask >> OFFSET["tun_metadata_present"]
    for number, offset, octets in sorted(options):
        if not present >> number & 1:
            continue
        shift, ones = OFFSET["tun_metadata"] + offset * 8, (1 << octets * 8) - 1
        mask = match.mask >> shift & ones
        word = f"tun_metadata{number}"
        yield f"{word}={write_hex(match.value >> shift & ones, mask, octets * 8)}" if mask else word


def format_match(
    match: Match,
    context: TextContext = NO_CONTEXT,
    priority: int = 0x8000,
    options: tuple[TunnelOption, ...] | None = None,
) -> str:
    """A match as text, with a priority in front unless that is the default.

    `options` is the bridge's layout of tun_metadata, where the match does not bring its own.
    """
    value = match.value
    found = [f"priority={priority}"] if priority != 0x8000 else []
    for run in shape(value & (kind_bits(value) | SHAPE), match.mask):
        template, values = run
        if run is OPTIONS:
            found += _written_options(match, match.options or options or ())
            continue
        shown = [
            value >> shift & ones
            if show is None
            else show(value >> shift & ones)
            if show is not format_port
            else show(value >> shift & ones, context)
            for shift, ones, show in values
        ]
        found.append(template % tuple(shown))
    text = ",".join(found)
    return text if context.colors is None else paint_match(text, context.colors)
