"""Whether actions make sense for the packets that a match lets through.

Setting a TCP port asks for a match on TCP; popping a tag asks for one that is surely there.  The actions are
gone through in order, for each may change what is known of the packet: after push_mpls it is MPLS, after
pop_vlan it has no tag.  OpenFlow 1.0 asks only for what names a field (load, move, set_field); its own
actions leave packets alone that they do not suit.  1.1 and later ask for all.
"""

from collections.abc import Sequence
from typing import Final

from trunkline.flow.key import MASK, OFFSET, VIEW
from trunkline.flow.match import Match, satisfied
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a

_TAG: Final = MASK["vlan_tci"]
_PRESENT: Final = 0x1000 << OFFSET["vlan_tci"]
_TYPE: Final = VIEW["dl_type"]

# What kind of packet an action asks for: any of these prerequisites.
_ASKS: Final[dict[type, tuple[str, ...]]] = {
    a.SetIpv4Src: ("ip",),
    a.SetIpv4Dst: ("ip",),
    a.SetIpDscp: ("ip/ipv6",),
    a.SetIpEcn: ("ip/ipv6",),
    a.SetIpTtl: ("ip/ipv6",),
    a.DecTtl: ("ip/ipv6",),
    a.SetL4SrcPort: ("tcp", "udp", "sctp"),
    a.SetL4DstPort: ("tcp", "udp", "sctp"),
    a.SetMplsLabel: ("mpls",),
    a.SetMplsTc: ("mpls",),
    a.SetMplsTtl: ("mpls",),
    a.DecMplsTtl: ("mpls",),
    a.PopMpls: ("mpls",),
    a.StripVlan: ("vlan",),
    a.DecNshTtl: ("nsh",),
}


def consistent(actions: Sequence[a.Action], match: Match, version: int) -> bool:
    """`version` is the wire version that brought the actions."""
    value, mask = match.value, match.mask
    for action in actions:
        known = Match(value, mask)
        match action:
            case a.SetField(field=field) | a.Load(field=field):
                if not satisfied(known, FIELD[field].prerequisite):
                    return False
            case a.Move(source=source, destination=destination):
                if not all(satisfied(known, FIELD[name].prerequisite) for name in (source, destination)):
                    return False
            case a.Clone(actions=nested) | a.WriteActions(actions=nested):
                if not consistent(nested, known, version):
                    return False
            case _:
                if version > 1 and not _suits(action, known):
                    return False
        value, mask = _after(action, value, mask)
    return True


def _suits(action: a.Action, known: Match) -> bool:
    if isinstance(action, a.SetVlanVid | a.SetVlanPcp):
        return action.push or satisfied(known, "vlan")
    kinds = _ASKS.get(type(action))
    return kinds is None or any(satisfied(known, kind) for kind in kinds)


def _after(action: a.Action, value: int, mask: int) -> tuple[int, int]:
    """What is known of the packet once the action is done."""
    match action:
        case a.PushVlan() | a.SetVlanVid() | a.SetVlanPcp():
            return value | _PRESENT, mask | _PRESENT
        case a.StripVlan():
            return value & ~_TAG, mask | _TAG
        case a.PushMpls(ethertype=kind) | a.PopMpls(ethertype=kind):
            return value & ~_TYPE.mask | kind << _TYPE.shift, mask | _TYPE.mask
    return value, mask
