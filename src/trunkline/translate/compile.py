"""OpenFlow actions to steps of a translation.

A step is a triple (function, a, b), called as function(walk, a, b); a true result ends the rule.  Triples
can be shared, compared and printed, and run within 2 % of generated code.  One row a kind of action, in a
table; the actions that ofproto/acceptance.py lets in are exactly those of the table.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.translate import (
    action_set,
    controller,
    destinations,
    encap,
    fields,
    groups,
    hashing,
    learn,
    mpls,
    nesting,
    options,
    output,
    stack,
    tags,
    ttl,
)
from trunkline.translate.conntrack import conntrack, conntrack_clear
from trunkline.translate.normal import normal
from trunkline.translate.result import Unroll
from trunkline.translate.run import back
from trunkline.translate.userspace import sample
from trunkline.translate.walk import Walk

Step = tuple[Callable[[Walk, Any, Any], Any], Any, Any]


def compile_actions(actions: tuple[Any, ...]) -> tuple[Step, ...]:
    """A step for each action, in order.  KeyError for what acceptance.py does not let in."""
    steps: list[Step] = []
    for i in range(len(actions) - 1, -1, -1):
        action = actions[i]
        if isinstance(action, a.CheckPacketLarger):
            rest = tuple(reversed(steps)), actions[i + 1 :]
            step: Step = nesting.check_length, action, rest
        elif type(action) in options.NAMING and options.names_option(action):
            step = options.late, action, None
        else:
            step = _EVERY[type(action)](action)
        steps.append(step)
    return tuple(reversed(steps))


def _nothing(x: Walk, _: object, __: object) -> None:
    """A note, which means something to whoever wrote it."""


def _exit(x: Walk, _: object, __: object) -> bool:
    x.exit = True
    return True


def _meter(x: Walk, number: int, _: object) -> None:
    """The datapath's meter; a flow goes with its meter, and a meter keeps its number there."""
    meter = x.bridge.flows.meters.get(number)
    if meter is not None:
        x.out.append(dp.Meter(meter.number))


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
            return output.to_tables, None, None
        case of.OFPP_CONTROLLER:
            return controller.output_controller, action.max_len, None
    return output.output, action.port, None


def _field(name: str, value: int, function: Callable[[Walk, int, int], None]) -> Step:
    shift, _, mask = layout.VIEW[name]
    return function, mask, value << shift


def _write(name: str, mask: int, value: int) -> Step:
    """Bits of a field, if the packet has it."""
    field = FIELD[name]
    if field.matched is not None:  # the rest of its octet is another field's
        mask &= field.matched << layout.VIEW[name].shift
        value &= mask
    conditions = fields.needs(field.prerequisite)
    if field.slot in fields.WRITERS:
        return fields.WRITERS[field.slot], mask, value
    if not conditions:
        return fields.writing(mask, value)
    return fields.write_checked, (mask, value), (conditions, field.name)


def _set_field(action: a.SetField) -> Step:
    view = layout.VIEW[action.field]
    if action.mask != view.ones and view.ones:  # a part of it
        return _write(action.field, action.mask << view.shift, action.value << view.shift)
    if action.field in ("vlan_vid", "dl_vlan"):
        return tags.set_vid, action.value & 0xFFF, action.field == "dl_vlan"
    if action.field in ("vlan_pcp", "dl_vlan_pcp"):
        return tags.set_pcp, action.value, action.field == "dl_vlan_pcp"
    return _write(action.field, action.mask << view.shift, action.value << view.shift)


def _load(action: a.Load) -> Step:
    shift = layout.VIEW[action.field].shift + action.offset
    return _write(action.field, (1 << action.bits) - 1 << shift, action.value << shift)


def _move(action: a.Move) -> Step:
    source = fields.part(action.source, action.source_offset, action.bits)
    target = fields.part(action.destination, action.destination_offset, action.bits)
    conditions = (*fields.needs(source.field.prerequisite), *fields.needs(target.field.prerequisite))
    return fields.move, fields.Copy(source, target, conditions), None


def _metadata(action: a.WriteMetadata) -> Step:
    shift = layout.OFFSET["metadata"]
    return fields.writing(action.mask << shift, (action.value & action.mask) << shift)


COMPILERS: Final[dict[type, Callable[[Any], Step]]] = {
    a.Output: _output,
    a.Controller: lambda action: (controller.controller, action, None),
    a.OutputTruncated: lambda action: (output.truncated, action.port, action.max_len),
    a.OutputRegister: lambda action: (
        destinations.to_register,
        fields.part(action.field, action.offset, action.bits),
        action.max_len,
    ),
    a.Enqueue: lambda action: (output.enqueue, action.port, action.queue),
    a.SetQueue: lambda action: (output.queue, action.queue, None),
    a.PopQueue: lambda action: (output.pop_queue, None, None),
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
    a.SetMplsLabel: lambda action: _field("mpls_label", action.label, mpls.set_bits),
    a.SetMplsTc: lambda action: _field("mpls_tc", action.tc, mpls.set_bits),
    a.SetMplsTtl: lambda action: _field("mpls_ttl", action.ttl, mpls.set_bits),
    a.PushMpls: lambda action: (mpls.push, action.ethertype, None),
    a.PopMpls: lambda action: (mpls.pop, action.ethertype, None),
    a.Encap: lambda action: (encap.encap, action, None),
    a.DecapAny: lambda action: (encap.decap, action, None),
    a.DecTtl: lambda action: (ttl.dec_ttl, action.controllers or (0,), None),
    a.DecMplsTtl: lambda action: (ttl.dec_mpls_ttl, None, None),
    a.DecNshTtl: lambda action: (ttl.dec_nsh_ttl, None, None),
    a.SetTunnel: lambda action: _field("tun_id", action.tunnel_id, fields.write),
    a.StackPush: lambda action: (stack.push, fields.part(*action), None),
    a.StackPop: lambda action: (stack.pop, fields.part(*action), None),
    a.Resubmit: lambda action: (output.resubmit, action.port, action.table),
    a.GotoTable: lambda action: (output.goto, action.table, None),
    a.Clone: lambda action: (
        nesting.clone,
        (compile_actions(action.actions), action.actions),
        nesting.reversible(action.actions),
    ),
    a.CheckPacketLarger: lambda action: (_nothing, None, None),  # compile_actions does it
    a.Group: lambda action: (groups.group, action.group, None),
    a.Multipath: lambda action: (hashing.multipath, action, fields.part(*action.destination)),
    a.Bundle: lambda action: (
        hashing.bundle,
        action,
        action.destination and fields.part(*action.destination),
    ),
    a.Learn: lambda action: (learn.learn, action, None),
    a.FinTimeout: lambda action: (learn.fin_timeout, action.idle, action.hard),
    a.Sample: lambda action: (sample, action, None),
    a.Meter: lambda action: (_meter, action.meter, None),
    a.Conjunction: lambda action: (_nothing, None, None),  # the classifier does it
    a.WriteActions: lambda action: (action_set.write, action.actions, None),
    a.ClearActions: lambda action: (action_set.clear, None, None),
    a.WriteMetadata: _metadata,
    a.Note: lambda action: (_nothing, None, None),
    a.Exit: lambda action: (_exit, None, None),
    a.Ct: lambda action: (conntrack, action, None),
    a.CtClear: lambda action: (conntrack_clear, None, None),
    a.DeleteField: lambda action: (options.late, action, None),
}

_EVERY: Final[dict[type, Callable[[Any], Step]]] = {
    **COMPILERS,
    Unroll: lambda action: (back, action.table, action.cookie),
}
