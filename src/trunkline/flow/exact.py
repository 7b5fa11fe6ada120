"""A packet's flow in OpenFlow's words, such as ``in_port=1,tcp,tcp_dst=80``: what a trace begins with.

It reads like a match (text.py) with three differences: every value is exact; a field is set on a packet, so
that what it needs (``tcp`` before ``tcp_dst``) has to stand before it; and what is not named is 0, but for
the port, which is none.

Who asks for many traces asks with the same words again and again.  So what a word by itself says is
remembered (`_word`); one that depends on others, on names of ports, or makes no sense, takes the longer
way.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from trunkline.flow.key import MASK, VIEW, get
from trunkline.flow.match import Match, kind_bits, present
from trunkline.flow.shape import SHORTHANDS
from trunkline.flow.text import (
    BLANKS,
    UNNUMBERED,
    Draft,
    is_special,
    key_values,
    set_shorthand,
    set_value,
)
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, parse_value
from trunkline.model.fields import FIELD, Field

_TYPE: Final = MASK["dl_type"]
_PROTOCOL: Final = MASK["nw_proto"]
_FRAGMENT: Final = MASK["nw_frag"]
_IN_PORT: Final = MASK["in_port"]
_PORTS: Final = ("port", "port10")  # formats whose text may be a name
_FIRST_RESERVED: Final = 0xFF00  # port number


def parse_exact(text: str, context: TextContext = NO_CONTEXT) -> Match:
    """The flow that `text` names; its mask has what is named.  Raises TextError."""
    draft: Draft | None = None  # with the words that are not plain
    flow = named = 0
    for key, value, plain in _words(text):
        if plain is not None:
            prerequisite, place, bits, mask = plain
            if not flow & place and (not prerequisite or _has(flow, prerequisite)):
                flow |= bits
                named |= mask
                continue
        if draft is None:
            draft = Draft()
        draft.value, draft.mask = flow, named
        if not _set_shorthand(draft, key):
            _set_field(draft, key, value, context)
        flow, named = draft.value, draft.mask
    if not flow & _IN_PORT:
        flow |= _IN_PORT  # the port that is none
    return Match(flow, named, tuple(draft.options) if draft is not None else ())


class _Word(NamedTuple):
    """A word that sets just bits, if none of `place` is set and the packet has what the field needs."""

    prerequisite: str
    place: int
    value: int
    mask: int


_Read = tuple[str, str, _Word | None]
"""A word's key and value, and what it says by itself; None: there is more to it."""


def _words(text: str) -> Iterable[_Read]:
    if "(" not in text and not any(map(text.__contains__, BLANKS)):
        return filter(None, map(_word, text.split(",")))
    return [(key, value or "", _plain_word(key, value or "")) for key, value in key_values(text)]


@lru_cache(maxsize=1024)
def _word(text: str) -> _Read | None:
    """A word without separators in it; None where it is empty."""
    key, sign, value = text.partition("=")
    if ":" in key:
        key, sign, value = text.partition(":")
    return (key, value, _plain_word(key, value)) if key or sign else None


def _plain_word(key: str, text: str) -> _Word | None:
    """None: there is more to it."""
    kind = _kind_of_word(key)
    if kind is None:
        return None
    field, everything, word = kind
    if field is None:
        return word
    prerequisite, place, _, place_mask = word
    if field.format in _PORTS and not (text.isdecimal() and int(text) < _FIRST_RESERVED):
        return None
    try:
        value, mask = parse_value(field, text)
    except TextError:
        return None
    if ~mask & everything:
        return None
    return _Word(prerequisite, place, value << VIEW[field.name].shift & place, place_mask)


@lru_cache(maxsize=512)
def _kind_of_word(key: str) -> tuple[Field | None, int, _Word] | None:
    """The field whose value follows (None: none does), the mask of an exact value, and the word with all but
    the value; None where there is more to it."""
    draft = Draft()
    kind, protocol = SHORTHANDS.get(key, (None, None))
    if kind is not None:
        set_shorthand(draft, key)
        place = _TYPE | (_PROTOCOL if protocol is not None else 0)
        return None, 0, _Word("", place, draft.value, draft.mask)
    field = FIELD.get(key)
    if field is None or field.prerequisite == "ct" or is_special(field):
        return None
    set_value(draft, field, 0, _everything(field))
    return field, _everything(field), _Word(field.prerequisite, _place(field), 0, draft.mask)


def _set_shorthand(draft: Draft, word: str) -> bool:
    if word not in SHORTHANDS:
        return False
    kind, protocol = SHORTHANDS[word]
    if kind is None:
        return False
    if draft.value & VIEW["dl_type"].mask:
        raise TextError("Ethernet type set multiple times")
    if protocol is not None and draft.value & VIEW["nw_proto"].mask:
        raise TextError("network protocol set multiple times")
    return set_shorthand(draft, word)


def _set_field(draft: Draft, key: str, text: str, context: TextContext) -> None:
    field = FIELD.get(key) or UNNUMBERED.get(key)
    if field is None:
        raise TextError(f"unknown field {key}")
    if not _may_have(draft.value, field):
        raise TextError(f"prerequisites not met for setting {key}")
    if _is_set(draft, field):
        raise TextError(f"field {key} set multiple times")
    try:
        _set_exactly(draft, field, text, context)
    except TextError as error:
        raise TextError(f"bad value for {key} ({error})") from None
    if draft.ipv6:
        for address, (value, mask) in draft.ipv6.items():
            draft.assign(address, value, mask)
        draft.ipv6.clear()


def _set_exactly(draft: Draft, field: Field, text: str, context: TextContext) -> None:
    value, mask = parse_value(field, text, context)
    if ~mask & _everything(field):
        raise TextError(f"{text}: wildcards not allowed here")
    set_value(draft, field, value, mask)


def _may_have(flow: int, field: Field) -> bool:
    """Whether a packet like this has the field.  A tag's priority brings its tag along."""
    if field.prerequisite == "ct":
        return bool(get(flow, "ct_state") & _TRACKED)
    if not field.prerequisite or field.name == "dl_vlan_pcp":
        return True
    return _has(flow, field.prerequisite)


def _has(flow: int, prerequisite: str) -> bool:
    return not prerequisite or _kind_has(flow & (kind_bits(flow) | _FRAGMENT), prerequisite)


@lru_cache(maxsize=1024)
def _kind_has(kind: int, prerequisite: str) -> bool:
    return present(Match(kind, -1), prerequisite)


_TRACKED: Final = 1 | 2 | 8  # new, established, reply


def _everything(field: Field) -> int:
    """The mask of an exact value, as text gives it."""
    if field.format not in ("frag", "port", "port10", "packet type"):
        return (1 << field.octets * 8) - 1
    return (1 << field.bits) - 1 if field.matched is None else field.matched


def _is_set(draft: Draft, field: Field) -> bool:
    if field.name.startswith("tun_metadata"):
        return any(f"tun_metadata{option.number}" == field.name for option in draft.options)
    return bool(draft.value & _place(field))


def _place(field: Field) -> int:
    """Its bits in a key."""
    shift, ones, _ = VIEW[field.name]
    return (ones if field.matched is None else field.matched) << shift
