"""A packet's flow in OpenFlow's words, such as ``in_port=1,tcp,tcp_dst=80``: what a trace begins with.

It reads like a match (text.py) with three differences: every value is exact; a field is set on a packet, so
that what it needs (``tcp`` before ``tcp_dst``) has to stand before it; and what is not named is 0, but for
the port, which is none.
"""

from typing import Final

from trunkline.flow.key import VIEW, get
from trunkline.flow.match import Match, present
from trunkline.flow.text import SHORTHANDS, UNNUMBERED, Draft, key_values, set_shorthand, set_value
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, parse_value
from trunkline.model.fields import FIELD, Field


def parse_exact(text: str, context: TextContext = NO_CONTEXT) -> Match:
    """The flow that `text` names; its mask has what is named.  Raises TextError."""
    draft = Draft()
    for key, value in key_values(text):
        if not _set_shorthand(draft, key):
            _set_field(draft, key, value or "", context)
    if not draft.value & VIEW["in_port"].mask:
        draft.value |= VIEW["in_port"].mask  # the port that is none
    return Match(draft.value, draft.mask, tuple(draft.options))


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
        value, mask = parse_value(field, text, context)
        if ~mask & _everything(field):
            raise TextError(f"{text}: wildcards not allowed here")
    except TextError as error:
        raise TextError(f"bad value for {key} ({error})") from None
    set_value(draft, field, value, mask)
    if draft.ipv6:
        for address, (value, mask) in draft.ipv6.items():
            draft.assign(address, value, mask)
        draft.ipv6.clear()


def _may_have(flow: int, field: Field) -> bool:
    """Whether a packet like this has the field.  A tag's priority brings its tag along."""
    if field.prerequisite == "ct":
        return bool(get(flow, "ct_state") & _TRACKED)
    if not field.prerequisite or field.name == "dl_vlan_pcp":
        return True
    return present(Match(flow, -1), field.prerequisite)


_TRACKED: Final = 1 | 2 | 8  # new, established, reply


def _everything(field: Field) -> int:
    """The mask of an exact value, as text gives it."""
    if field.format not in ("frag", "port", "port10", "packet type"):
        return (1 << field.octets * 8) - 1
    return (1 << field.bits) - 1 if field.matched is None else field.matched


def _is_set(draft: Draft, field: Field) -> bool:
    if field.name.startswith("tun_metadata"):
        return any(f"tun_metadata{option.number}" == field.name for option in draft.options)
    shift, ones, _ = VIEW[field.name]
    return bool(draft.value & (ones if field.matched is None else field.matched) << shift)
