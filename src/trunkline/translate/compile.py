"""OpenFlow actions to steps of a translation.

A step is a triple (function, a, b), called as function(walk, a, b); a true result ends the rule.  Triples
can be shared, compared and printed, and run within 2 % of generated code.  One row a kind of action, in a
table; the actions that ofproto/acceptance.py lets in are exactly those of the table.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.translate import fields, output, tags
from trunkline.translate.conntrack import conntrack, conntrack_clear
from trunkline.translate.normal import normal
from trunkline.translate.run import back
from trunkline.translate.walk import IN_PORT, MAX_DEPTH, MAX_LOOKUPS, Unroll, Walk

Step = tuple[Callable[[Walk, Any, Any], Any], Any, Any]

_IN_PORT: Final = layout.OFFSET["in_port"]
_CURRENT_TABLE: Final = 255


def compile_actions(actions: tuple[Any, ...]) -> tuple[Step, ...]:
    """A step for each action, in order.  KeyError for what acceptance.py does not let in."""
    return tuple(_EVERY[type(action)](action) for action in actions)


def _resubmit(x: Walk, port: int, table: int) -> bool:
    if table == _CURRENT_TABLE:
        table = x.table
    if x.depth >= MAX_DEPTH:
        x.error(f"over max translation depth {MAX_DEPTH}")
        return False
    if x.lookups >= MAX_LOOKUPS:
        x.error(f"over {MAX_LOOKUPS} resubmit actions")
        return False
    saved = x.table, x.rule, x.cookie
    came = x.key & IN_PORT
    if port != of.OFPP_IN_PORT:
        x.key = x.key & ~IN_PORT | port << _IN_PORT
    x.depth += 1
    x.visit(x, table)
    x.depth -= 1
    x.key = x.key & ~IN_PORT | came
    x.table, x.rule, x.cookie = saved
    return x.exit or x.freezing


def _goto(x: Walk, table: int, _: object) -> bool:
    _resubmit(x, of.OFPP_IN_PORT, table)
    return True


def _nothing(x: Walk, _: object, __: object) -> None:
    """A note; it means something to whoever wrote it."""


def _exit(x: Walk, _: object, __: object) -> bool:
    x.exit = True
    return True


def _output(action: a.Output) -> Step:
    match action.port:
        case of.OFPP_NORMAL:
            return normal, None, None
        case of.OFPP_IN_PORT:
            return output.to_in_port, None, None
        case of.OFPP_FLOOD:
            return output.flood, False, None
        case of.OFPP_ALL:
            return output.flood, True, None
        case of.OFPP_TABLE:
            return _resubmit, of.OFPP_IN_PORT, 0
        case of.OFPP_CONTROLLER:
            return output.to_controller, action.max_len, (0, of.OFPR_ACTION, b"")
    return output.output, action.port, None


def _controller(action: a.Controller) -> Step:
    more = action.controller_id, action.reason, action.userdata or b""
    return output.to_controller, action.max_len, more


def _field(name: str, value: int, function: Callable[[Walk, int, int], None]) -> Step:
    shift, _, mask = layout.VIEW[name]
    return function, mask, value << shift


_WRITERS: Final = {
    "vlan_tci": tags.write_tci,
    "nw_tos": fields.write_any_ip,
    "nw_ttl": fields.write_any_ip,
}


def _set_field(action: a.SetField) -> Step:
    if action.field in ("vlan_vid", "dl_vlan"):
        return tags.set_vid, action.value & 0xFFF, action.field == "dl_vlan"
    if action.field in ("vlan_pcp", "dl_vlan_pcp"):
        return tags.set_pcp, action.value, action.field == "dl_vlan_pcp"
    view = layout.VIEW[action.field]
    function = _WRITERS.get(FIELD[action.field].slot, fields.write)
    return function, action.mask << view.shift, action.value << view.shift


def _load(action: a.Load) -> Step:
    shift = layout.VIEW[action.field].shift + action.offset
    mask = (1 << action.bits) - 1 << shift
    return _WRITERS.get(FIELD[action.field].slot, fields.write), mask, action.value << shift


def _move(action: a.Move) -> Step:
    ones = (1 << action.bits) - 1
    source = layout.VIEW[action.source].shift + action.source_offset
    target = layout.VIEW[action.destination].shift + action.destination_offset
    return fields.move, (ones << source, source), (ones << target, target, _move_name(action))


def _move_name(action: a.Move) -> str:
    """The destination as a trace names it: by its NXM or OXM id."""
    field = FIELD[action.destination]
    identity = field.ids[0].name if field.ids else field.name
    if action.bits == field.bits:
        return f"{identity}[]"
    if action.bits == 1:
        return f"{identity}[{action.destination_offset}]"
    return f"{identity}[{action.destination_offset}..{action.destination_offset + action.bits - 1}]"


def _metadata(action: a.WriteMetadata) -> Step:
    shift = layout.OFFSET["metadata"]
    return fields.write, action.mask << shift, (action.value & action.mask) << shift


COMPILERS: Final[dict[type, Callable[[Any], Step]]] = {
    a.Output: _output,
    a.Controller: _controller,
    a.SetVlanVid: lambda action: (tags.set_vid, action.vid, action.push),
    a.SetVlanPcp: lambda action: (tags.set_pcp, action.pcp, action.push),
    a.StripVlan: lambda action: (tags.pop, None, None),
    a.PushVlan: lambda action: (tags.push, action.ethertype, None),
    a.SetEthSrc: lambda action: _field("dl_src", action.address, fields.write),
    a.SetEthDst: lambda action: _field("dl_dst", action.address, fields.write),
    a.SetIpv4Src: lambda action: _field("nw_src", action.address, fields.write_ip),
    a.SetIpv4Dst: lambda action: _field("nw_dst", action.address, fields.write_ip),
    a.SetIpDscp: lambda action: _field("ip_dscp", action.tos >> 2, fields.write_any_ip),
    a.SetIpEcn: lambda action: _field("nw_ecn", action.ecn, fields.write_any_ip),
    a.SetIpTtl: lambda action: _field("nw_ttl", action.ttl, fields.write_any_ip),
    a.SetL4SrcPort: lambda action: _field("tp_src", action.port, fields.write_port),
    a.SetL4DstPort: lambda action: _field("tp_dst", action.port, fields.write_port),
    a.SetField: _set_field,
    a.Load: _load,
    a.Move: _move,
    a.Resubmit: lambda action: (_resubmit, action.port, action.table),
    a.GotoTable: lambda action: (_goto, action.table, None),
    a.WriteMetadata: _metadata,
    a.Note: lambda action: (_nothing, None, None),
    a.Exit: lambda action: (_exit, None, None),
    a.Ct: lambda action: (conntrack, action, None),
    a.CtClear: lambda action: (conntrack_clear, None, None),
}

_EVERY: Final[dict[type, Callable[[Any], Step]]] = {
    **COMPILERS,
    Unroll: lambda action: (back, action.table, action.cookie),
}
