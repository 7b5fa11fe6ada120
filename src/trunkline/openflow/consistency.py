"""Whether actions make sense for the packets that a match lets through, and which formats can carry them.

Setting a TCP port asks for a match on TCP; popping a tag asks for one that is surely there.  The actions are
gone through in order, for each may change what is known of the packet: after push_mpls it is MPLS, after
pop_vlan it has one tag less.  There are two kinds of objection.  What OpenFlow 1.0 lets pass (its actions
leave packets alone that they do not suit) only takes the later formats away; what names a field that need not
be there is wrong in all.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from trunkline.flow.key import OFFSET, VIEW
from trunkline.flow.match import Match, exact_value, present, satisfied, valid_connection
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.openflow.action_effects import TAG_PRESENT, Packets, packets_after
from trunkline.openflow.formats import (
    ANY,
    ANY_NXM,
    ANY_OF10,
    ANY_OXM,
    FORMAT_VERSIONS,
    OF11,
    OF13,
    OF14,
    OF15,
)

_TAG: Final = VIEW["vlan_tci"]
_PRESENT: Final = TAG_PRESENT << OFFSET["vlan_tci"]
_TYPE: Final = VIEW["dl_type"]
_PACKET_TYPE: Final = VIEW["packet_type"]
_MOST_TAGS: Final = 2
_OLD: Final = ANY_OF10 | ANY_NXM
_INCONSISTENT: Final = "OFPBAC_MATCH_INCONSISTENT"
Warn = Callable[[str, str], None]


class Verdict(NamedTuple):
    """`error` is the name of an OpenFlow error, empty when all is well; `formats` can carry the actions."""

    error: str
    formats: int


class _Wrong(Exception):
    """The argument is the name of the OpenFlow error."""


class _State:
    """What is known of the packet, and the formats left."""

    def __init__(self, match: Match, formats: int, table: int, warn: Warn) -> None:
        self.value, self.mask = match.value, match.mask
        self.formats = formats
        self.table = table
        self.warn = warn
        self.tags = 1 if match.value & _PRESENT else 0

    @property
    def known(self) -> Match:
        return Match(self.value, self.mask)

    def fork(self) -> "_State":
        copy = _State(self.known, self.formats, self.table, self.warn)
        copy.tags = self.tags
        return copy

    def suits(self, *kinds: str) -> None:
        """Without any of these prerequisites only the old formats are left."""
        if not any(satisfied(self.known, kind) for kind in kinds):
            self.soften()

    def soften(self) -> None:
        self.formats &= _OLD
        if not self.formats:
            raise _Wrong(_INCONSISTENT)

    def tag(self, action: a.Action) -> None:
        """Takes note of what an action that writes, pushes or pops a tag leaves."""
        self.tags = packets_after((action,), Packets(self.tags)).tags
        self.mask |= _PRESENT
        self.value = self.value | _PRESENT if self.tags & 1 else self.value & ~_TAG.mask

    def set_type(self, ethertype: int) -> None:
        self.value = self.value & ~_TYPE.mask | ethertype << _TYPE.shift
        self.mask |= _TYPE.mask

    def reads(self, name: str) -> None:
        if FIELD[name].ids and not present(self.known, FIELD[name].prerequisite):
            self.warn("meta_flow", f"source field {name} lacks correct prerequisites")
            raise _Wrong(_INCONSISTENT)

    def writes(self, name: str) -> None:
        if not present(self.known, FIELD[name].prerequisite):
            self.warn("meta_flow", f"destination field {name} lacks correct prerequisites")
            raise _Wrong(_INCONSISTENT)
        if not FIELD[name].writable:
            self.warn("meta_flow", f"destination field {name} is not writable")
            raise _Wrong("OFPBAC_BAD_SET_ARGUMENT")


def check(
    actions: Sequence[a.Action],
    match: Match,
    formats: int = ANY,
    table: int = 0xFF,
    warn: Warn = lambda module, text: None,
) -> Verdict:
    """Goes through the actions of a flow in `table`.  `warn` takes what the original logs: (module, text)."""
    state = _State(match, formats, table, warn)
    try:
        _check_all(actions, state)
    except _Wrong as wrong:
        return Verdict(str(wrong), 0)
    return Verdict("", state.formats)


def inconsistency(actions: Sequence[a.Action], match: Match, version: int, table: int = 0xFF) -> str | None:
    """The name of the error with which a switch refuses actions that came in wire version `version`.

    Of the match only its `kind` (flow/match.py) is looked at.
    """
    if not actions:
        return None
    formats = sum(bits for bits, number in FORMAT_VERSIONS.items() if number == version)
    return check(actions, match, formats, table).error or None


def _check_all(actions: Sequence[a.Action], state: _State) -> None:
    for action in actions:
        special = _CHECKS.get(type(action))
        if special is not None:
            special(action, state)


# ---- one kind of action each ----


def _check_port(port: int, *, enqueue: bool = False) -> None:
    reserved = (of.OFPP_IN_PORT, of.OFPP_LOCAL)
    if port < of.OFPP_MAX or port in reserved:
        return
    if enqueue or port == of.OFPP_NONE or port < of.OFPP_IN_PORT:
        raise _Wrong("OFPBAC_BAD_OUT_PORT")


def _output(x: a.Output | a.OutputTruncated, state: _State) -> None:
    _check_port(x.port)


def _vlan(x: a.SetVlanVid | a.SetVlanPcp, state: _State) -> None:
    if not state.tags & 1 and not x.push:
        state.soften()
    state.tag(x)


def _strip(x: a.StripVlan, state: _State) -> None:
    if not state.tags & 1:
        state.soften()
    state.tag(x)


def _push_vlan(x: a.PushVlan, state: _State) -> None:
    if state.tags >> _MOST_TAGS - 1:
        raise _Wrong("OFPBAC_BAD_TAG")
    state.tag(x)


def _asks(*kinds: str) -> Callable[[a.Action, _State], None]:
    return lambda action, state: state.suits(*kinds)


def _l4(x: a.Action, state: _State) -> None:
    if not any(present(state.known, kind) for kind in ("tcp", "udp", "sctp")):
        state.soften()


def _set_field(x: a.SetField, state: _State) -> None:
    field = FIELD[x.field]
    tag_missing = field.name == "vlan_vid" and not state.tags & 1
    if not field.ids:
        return
    if tag_missing or not present(state.known, field.prerequisite):
        state.warn("ofp_actions", f"set_field {field.name} lacks correct prerequisites")
        raise _Wrong(_INCONSISTENT)
    if field.name == "vlan_tci":
        state.tag(x)


def _load(x: a.Load, state: _State) -> None:
    field = FIELD[x.field]
    tag_missing = field.name == "vlan_vid" and not state.tags & 1
    if tag_missing or (field.ids and not present(state.known, field.prerequisite)):
        state.warn("ofp_actions", f"set_field {field.name} lacks correct prerequisites")
        raise _Wrong(_INCONSISTENT)
    if field.name == "vlan_tci":
        state.tag(x)


def _move(x: a.Move, state: _State) -> None:
    state.reads(x.source)
    state.writes(x.destination)


def _push_mpls(x: a.PushMpls, state: _State) -> None:
    state.suits("eth")
    state.set_type(x.ethertype)


def _pop_mpls(x: a.PopMpls, state: _State) -> None:
    state.suits("mpls")
    state.suits("eth")
    state.set_type(x.ethertype)


def _resubmit(x: a.Resubmit, state: _State) -> None:
    if x.with_ct_orig and not valid_connection(state.known):
        raise _Wrong(_INCONSISTENT)


def _learn(x: a.Learn, state: _State) -> None:
    """What is learned must make sense too: each spec adds to what the new flow matches."""
    learned = Match(0, 0)
    for spec in x.specs:
        if isinstance(spec.source, a.Subfield):
            state.reads(spec.source.field)
        if isinstance(spec, a.LearnMatch):
            place = spec.destination
            if not present(learned, FIELD[place.field].prerequisite):
                state.warn("meta_flow", f"source field {place.field} lacks correct prerequisites")
                raise _Wrong(_INCONSISTENT)
            if isinstance(spec.source, int):
                learned = _with(learned, place, spec.source)
        elif isinstance(spec, a.LearnLoad):
            _State(learned, ANY, 0, state.warn).writes(spec.destination.field)


def _with(match: Match, place: a.Subfield, value: int) -> Match:
    shift = VIEW[place.field].shift + place.offset if place.field in VIEW else None
    if shift is None:
        return match
    ones = (1 << place.bits) - 1 << shift
    return Match(match.value & ~ones | value << shift, match.mask | ones)


def _multipath(x: a.Multipath, state: _State) -> None:
    state.writes(x.destination.field)


def _bundle(x: a.Bundle, state: _State) -> None:
    if x.destination is not None:
        state.writes(x.destination.field)
    for port in x.members:
        if port in (of.OFPP_NONE, of.OFPP_IN_PORT, of.OFPP_LOCAL) or port < of.OFPP_MAX:
            continue
        what = "controller" if port == of.OFPP_CONTROLLER else "reserved"
        state.warn("bundle", f"unsupported {what} member")
        raise _Wrong("OFPBAC_BAD_OUT_PORT")


def _nested(x: a.Clone | a.WriteActions, state: _State) -> None:
    inner = state.fork()
    if isinstance(x, a.WriteActions):
        inner.formats = ANY  # what is done in the end, and to what packet, nobody knows yet
    _check_all(x.actions, inner)
    if isinstance(x, a.Clone):
        state.formats = inner.formats


_HELPER_PROTOCOLS: Final = {21: "tcp", 69: "udp"}


def _ct(x: a.Ct, state: _State) -> None:
    if not satisfied(state.known, "ip/ipv6"):
        raise _Wrong(_INCONSISTENT)
    protocol = _HELPER_PROTOCOLS.get(x.alg)
    if protocol is not None and not satisfied(state.known, protocol):
        raise _Wrong(_INCONSISTENT)
    if isinstance(x.zone, a.Subfield):
        state.reads(x.zone.field)
    _check_all(((x.nat,) if x.nat is not None else ()) + x.actions, state)


def _nat(x: a.Nat, state: _State) -> None:
    if x.address_low and not satisfied(state.known, "ipv6" if x.ipv6 else "ip"):
        raise _Wrong(_INCONSISTENT)


def _encap(x: a.Encap, state: _State) -> None:
    state.formats &= OF13 | OF14 | OF15
    kind = x.packet_type
    ethernet = not exact_value(state.known, "packet_type")
    if kind == 0:
        if ethernet and not state.formats:
            raise _Wrong(_INCONSISTENT)
        state.value &= ~_PACKET_TYPE.mask
        state.mask |= _PACKET_TYPE.mask
        return
    state.value = state.value & ~_PACKET_TYPE.mask | kind << _PACKET_TYPE.shift
    state.mask |= _PACKET_TYPE.mask
    state.set_type(kind & 0xFFFF)


def _decap(x: a.DecapAny, state: _State) -> None:
    """Without its Ethernet header a packet is of the type that the header named; without another header, also
    with a type that the action names, of one that is not known."""
    ethernet = not exact_value(state.known, "packet_type")
    if not ethernet:
        state.set_type(0)
    inner = exact_value(state.known, "dl_type") or 0
    state.value = state.value & ~_PACKET_TYPE.mask | (1 << 16 | inner) << _PACKET_TYPE.shift
    state.mask |= _PACKET_TYPE.mask


def _meter(x: a.Meter, state: _State) -> None:
    if not 0 < x.meter <= 0xFFFF0000:
        raise _Wrong("OFPMMFC_INVALID_METER")


def _goto(x: a.GotoTable, state: _State) -> None:
    if state.table != 0xFF and x.table <= state.table:
        raise _Wrong("OFPBIC_BAD_TABLE_ID")


def _delete_field(x: a.DeleteField, state: _State) -> None:
    if not x.field.startswith("tun_metadata"):
        raise _Wrong("OFPBAC_BAD_ARGUMENT")


_IP_ANY: Final = _asks("ip/ipv6")
_CHECKS: Final[dict[type, Callable[..., None]]] = {
    a.Output: _output,
    a.OutputTruncated: _output,
    a.OutputRegister: lambda x, s: s.reads(x.field),
    a.Enqueue: lambda x, s: _check_port(x.port, enqueue=True),
    a.SetVlanVid: _vlan,
    a.SetVlanPcp: _vlan,
    a.StripVlan: _strip,
    a.PushVlan: _push_vlan,
    a.SetIpv4Src: _asks("ip"),
    a.SetIpv4Dst: _asks("ip"),
    a.SetIpDscp: _IP_ANY,
    a.SetIpEcn: _IP_ANY,
    a.SetIpTtl: _IP_ANY,
    a.DecTtl: _IP_ANY,
    a.SetL4SrcPort: _l4,
    a.SetL4DstPort: _l4,
    a.SetField: _set_field,
    a.Load: _load,
    a.Move: _move,
    a.StackPush: lambda x, s: s.reads(x.field),
    a.StackPop: lambda x, s: s.writes(x.field),
    a.SetMplsLabel: _asks("mpls"),
    a.SetMplsTc: _asks("mpls"),
    a.SetMplsTtl: _asks("mpls"),
    a.DecMplsTtl: _asks("mpls"),
    a.PushMpls: _push_mpls,
    a.PopMpls: _pop_mpls,
    a.DecNshTtl: _asks("nsh"),
    a.FinTimeout: _asks("tcp"),
    a.Resubmit: _resubmit,
    a.Learn: _learn,
    a.Multipath: _multipath,
    a.Bundle: _bundle,
    a.Clone: _nested,
    a.WriteActions: _nested,
    a.Ct: _ct,
    a.Nat: _nat,
    a.Encap: _encap,
    a.DecapAny: _decap,
    a.Meter: _meter,
    a.GotoTable: _goto,
    a.DeleteField: _delete_field,
}


# ---- what the words of actions say of formats ----


def typed(match: Match) -> Match:
    """A match on the type of packets without Ethernet header as one on their Ethernet type too, which it is
    where a person wrote it."""
    kind = exact_value(match, "packet_type")
    if not kind or kind >> 16 != 1:
        return match
    return Match(match.value | (kind & 0xFFFF) << _TYPE.shift, match.mask | _TYPE.mask)


def field_formats(name: str) -> int:
    """The formats that can match all of a field, and so those that set_field is for."""
    field = FIELD[name]
    formats = ANY_NXM | ANY_OXM
    if field.of10 != "no":
        formats |= ANY_OF10
    if field.of11 != "no":
        formats |= OF11
    return formats


def text_formats(actions: Sequence[a.Action]) -> int:
    """The formats that have the actions as a person named them."""
    formats = ANY
    for action in actions:
        if isinstance(action, a.SetField):
            formats &= field_formats(action.field)
        elif isinstance(action, a.PushVlan):
            formats &= OF11 | ANY_OXM
        elif isinstance(action, a.WriteMetadata):
            formats &= ANY_NXM | OF11 | ANY_OXM
        elif isinstance(action, (a.Meter, a.Encap)):
            formats &= OF13 | OF14 | OF15
        elif isinstance(action, (a.Clone, a.WriteActions, a.Ct)):
            formats &= text_formats(action.actions)
    return formats
