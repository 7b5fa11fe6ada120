"""Which actions may stand where: within ct, clone and write_actions, beside conjunction, and in what order.

The same rules hold for text and wire: `disorder` gives both the words for a person and the OpenFlow error.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.openflow import actions as a

# What the original calls an action when it may not be where it is.
DEEPEST: Final = 99  # actions around an action: what nests is read by functions that call themselves

NAMES: Final[dict[type, str]] = {
    a.Output: "output",
    a.Controller: "controller",
    a.OutputTruncated: "output_trunc",
    a.OutputRegister: "output_reg",
    a.Enqueue: "enqueue",
    a.SetVlanVid: "set_vlan_vid",
    a.SetVlanPcp: "set_vlan_pcp",
    a.StripVlan: "strip_vlan",
    a.PushVlan: "push_vlan",
    a.SetEthSrc: "mod_dl_src",
    a.SetEthDst: "mod_dl_dst",
    a.SetIpv4Src: "mod_nw_src",
    a.SetIpv4Dst: "mod_nw_dst",
    a.SetIpDscp: "mod_nw_tos",
    a.SetIpEcn: "mod_nw_ecn",
    a.SetIpTtl: "mod_nw_ttl",
    a.SetL4SrcPort: "mod_tp_src",
    a.SetL4DstPort: "mod_tp_dst",
    a.SetField: "set_field",
    a.Load: "set_field",
    a.Move: "move",
    a.StackPush: "push",
    a.StackPop: "pop",
    a.DecTtl: "dec_ttl",
    a.DecNshTtl: "dec_nsh_ttl",
    a.SetMplsLabel: "set_mpls_label",
    a.SetMplsTc: "set_mpls_tc",
    a.SetMplsTtl: "set_mpls_ttl",
    a.DecMplsTtl: "dec_mpls_ttl",
    a.PushMpls: "push_mpls",
    a.PopMpls: "pop_mpls",
    a.SetTunnel: "set_tunnel",
    a.SetQueue: "set_queue",
    a.PopQueue: "pop_queue",
    a.FinTimeout: "fin_timeout",
    a.Resubmit: "resubmit",
    a.Group: "group",
    a.Exit: "exit",
    a.Note: "note",
    a.Conjunction: "conjunction",
    a.Sample: "sample",
    a.CtClear: "ct_clear",
    a.CheckPacketLarger: "check_pkt_larger",
    a.DeleteField: "delete_field",
    a.Clone: "clone",
    a.Learn: "learn",
    a.Multipath: "multipath",
    a.Bundle: "bundle",
    a.Ct: "ct",
    a.Nat: "nat",
    a.Encap: "encap",
    a.DecapAny: "decap",
    a.Meter: "meter",
    a.ClearActions: "clear_actions",
    a.WriteActions: "write_actions",
    a.WriteMetadata: "write_metadata",
    a.GotoTable: "goto_table",
}
_RANK: Final[dict[type, int]] = {
    a.Meter: 1,
    a.ClearActions: 4,
    a.WriteActions: 5,
    a.WriteMetadata: 6,
    a.GotoTable: 7,
}
_APPLY: Final = 3
_INSTRUCTIONS: Final = {
    1: "meter",
    3: "apply_actions",
    4: "clear_actions",
    5: "write_actions",
    6: "write_metadata",
    7: "goto_table",
}
_NESTING: Final = frozenset((a.Ct, a.Nat, a.SetField, a.Load, a.Move, a.Conjunction, *_RANK))
_CT_FIELDS: Final = ("ct_mark", "ct_label")


class Disorder(NamedTuple):
    error: str  # the OpenFlow error
    text: str


def name_of(action: a.Action) -> str:
    return action.name if isinstance(action, a.Unknown) else NAMES[type(action)]


def disorder(actions: Sequence[a.Action], outer: str = "") -> Disorder | None:
    """What is wrong with the list, or None.  `outer`: the action that it stands in."""
    if not outer and all(type(action) not in _NESTING for action in actions):
        return None  # the common case
    conjunction = any(isinstance(action, a.Conjunction) for action in actions)
    rank = 0
    for action in actions:
        if conjunction and not outer and not isinstance(action, a.Conjunction | a.Note):
            return Disorder(
                "NXBAC_BAD_CONJUNCTION",
                '"conjunction" actions may be used along with "note" but not any other kind of action '
                f'(such as the "{name_of(action)}" action used here)',
            )
        wrong = _misplaced(action, outer)
        if wrong is not None:
            return wrong
        own = _RANK.get(type(action), _APPLY)
        if outer and own > _APPLY:
            text = f"{_INSTRUCTIONS[own]} instruction not allowed here"
            return Disorder("OFPBAC_UNSUPPORTED_ORDER", text)
        if own < rank or (own == rank and own != _APPLY):
            return _out_of_order(own, rank)
        rank = own
    return None


def _out_of_order(own: int, last: int) -> Disorder:
    if own == last:
        text = f"duplicate {_INSTRUCTIONS[own]} instruction not allowed"
    else:
        text = f"invalid instruction ordering: {_INSTRUCTIONS[own]} must appear before {_INSTRUCTIONS[last]}"
    return Disorder("OFPBAC_UNSUPPORTED_ORDER", f"{text}, for OpenFlow 1.1+ compatibility")


def _misplaced(action: a.Action, outer: str) -> Disorder | None:
    """Rules of what stands in an action: in ct only what sets its own fields, and that only there."""
    field = None
    if isinstance(action, a.SetField | a.Load):
        field = action.field
    elif isinstance(action, a.Move):
        field = action.destination
    if field is not None and field in _CT_FIELDS and outer != "ct":
        return Disorder("OFPBAC_BAD_SET_ARGUMENT", "cannot set CT fields outside of ct action")
    if isinstance(action, a.Nat) and outer != "ct":
        return Disorder("OFPBAC_BAD_SET_ARGUMENT", 'Cannot have NAT action outside of "ct" action')
    if not outer:
        return None
    if outer == "ct":
        if field is not None:
            if field not in _CT_FIELDS:
                text = f"ct action doesn't support nested modification of {field}"
                return Disorder("OFPBAC_BAD_ARGUMENT", text)
        elif not isinstance(action, a.Nat | a.Conjunction):
            text = f"ct action doesn't support nested action {name_of(action)}"
            return Disorder("OFPBAC_BAD_ARGUMENT", text)
    elif isinstance(action, a.Meter):
        return Disorder("OFPBAC_BAD_ARGUMENT", f"{outer} action doesn't support nested action meter")
    return None


__all__ = ["NAMES", "Disorder", "disorder", "name_of"]
