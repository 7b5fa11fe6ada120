"""Actions as text, in the words of ovs-actions(7): a row for each record.  The other way is actions_text."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from trunkline.base.addresses import format_ipv4, format_mac
from trunkline.flow.values import NO_CONTEXT, format_value
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.openflow import action_ct, action_encap, action_hash, action_learn
from trunkline.openflow import actions as a
from trunkline.openflow.action_colors import paint_action, paint_drop
from trunkline.openflow.action_words import dotted, subfield_text
from trunkline.openflow.style import PLAIN, Style, c_hex, port_text, table_text

# ---- writing ----


def format_actions(actions: Iterable[a.Action], style: Style = PLAIN) -> str:
    """Actions as ovs-ofctl prints them; an empty list is ``drop``."""
    if (
        style.context is NO_CONTEXT
        and style.tables is None
        and type(actions) is tuple
        and len(actions) <= _FEW
    ):
        return _plainly(actions)
    return _written(actions, style)


_FEW: Final = 8


@lru_cache(maxsize=4096)
def _plainly(actions: tuple[a.Action, ...]) -> str:
    """Many flows do the same."""
    return _written(actions, PLAIN)


def _written(actions: Iterable[a.Action], style: Style) -> str:
    colors = style.context.colors
    if colors is not None:
        written = [paint_action(action, _WRITERS[type(action)](action, style), colors) for action in actions]
        return ",".join(written) or paint_drop(colors)
    return ",".join([_WRITERS[type(action)](action, style) for action in actions]) or "drop"


def _write_output(x: a.Output, style: Style) -> str:
    if x.port < of.OFPP_MAX:
        return f"output:{port_text(x.port, style)}"
    name = port_text(x.port, style)
    return f"{name}:{x.max_len}" if x.port == of.OFPP_CONTROLLER else name


def _write_controller(x: a.Controller, style: Style) -> str:
    if x.reason == 1 and not x.controller_id and not x.userdata and not x.pause and x.meter is None:
        return f"CONTROLLER:{x.max_len}"
    words = []
    if x.reason != 1:
        words.append(f"reason={of.PACKET_IN_REASON_NAMES.get(x.reason, x.reason)}")
    if x.max_len != 0xFFFF:
        words.append(f"max_len={x.max_len}")
    if x.controller_id:
        words.append(f"id={x.controller_id}")
    if x.userdata:
        words.append(f"userdata={dotted(x.userdata)}")
    if x.pause:
        words.append("pause")
    if x.meter is not None:
        words.append(f"meter_id={x.meter}")
    return f"controller({','.join(words)})"


def _write_resubmit(x: a.Resubmit, style: Style) -> str:
    if x.port != of.OFPP_IN_PORT and x.table == 255:
        return f"resubmit:{port_text(x.port, style)}"
    port = "" if x.port == of.OFPP_IN_PORT else port_text(x.port, style)
    table = "" if x.table == 255 else table_text(x.table, style)
    return f"resubmit({port},{table}{',ct' if x.with_ct_orig else ''})"


def _write_set_field(x: a.SetField, style: Style) -> str:
    field = FIELD[x.field]
    exact = x.mask == (1 << field.bits) - 1 and not x.masked
    if not x.mask:
        value = "ANY"
    elif field.format == "dec":
        value = str(x.value) if exact else f"{x.value}/0x{x.mask:x}"
    elif x.masked and field.format != "tun flags":
        value = f"{c_hex(x.value)}/0x{x.mask:x}"
    elif field.format == "tun flags":
        value = "oam" if x.value else "0"
    elif field.format == "port10" and not exact:
        value = f"{x.value}/0x{x.mask:x}"
    else:
        value = format_value(field, x.value, x.mask, style.context)
    return f"set_field:{value}->{field.name}"


def _write_sample(x: a.Sample, style: Style) -> str:
    text = (
        f"sample(probability={x.probability},collector_set_id={x.collector_set},"
        f"obs_domain_id={x.observation_domain},obs_point_id={x.observation_point}"
    )
    if x.sampling_port not in (None, of.OFPP_NONE):
        text += f",sampling_port={port_text(x.sampling_port or 0, style)}"
    return text + {1: ",ingress", 2: ",egress"}.get(x.direction, "") + ")"


def _write_metadata(x: a.WriteMetadata, style: Style) -> str:
    mask = "" if x.mask == 0xFFFFFFFFFFFFFFFF else f"/{c_hex(x.mask)}"
    return f"write_metadata:{c_hex(x.value)}{mask}"


def _write_tunnel(x: a.SetTunnel, style: Style) -> str:
    wide = "64" if x.wide or x.tunnel_id >> 32 else ""
    return f"set_tunnel{wide}:{c_hex(x.tunnel_id)}"


def _write_fin_timeout(x: a.FinTimeout, style: Style) -> str:
    words = [f"idle_timeout={x.idle}"] if x.idle else []
    words += [f"hard_timeout={x.hard}"] if x.hard else []
    return f"fin_timeout({','.join(words)})"


_WRITERS: Final[dict[type, Callable[[Any, Style], str]]] = {
    a.Output: _write_output,
    a.Controller: _write_controller,
    a.OutputTruncated: lambda x, s: f"output(port={port_text(x.port, s)},max_len={x.max_len})",
    a.OutputRegister: lambda x, s: f"output:{subfield_text(x.field, x.offset, x.bits)}",
    a.Enqueue: lambda x, s: f"enqueue:{port_text(x.port, s)}:{x.queue}",
    a.SetVlanVid: lambda x, s: f"{'mod' if x.push else 'set'}_vlan_vid:{x.vid}",
    a.SetVlanPcp: lambda x, s: f"{'mod' if x.push else 'set'}_vlan_pcp:{x.pcp}",
    a.StripVlan: lambda x, s: "pop_vlan" if x.pop else "strip_vlan",
    a.PushVlan: lambda x, s: f"push_vlan:0x{x.ethertype:04x}",
    a.SetEthSrc: lambda x, s: f"mod_dl_src:{format_mac(x.address)}",
    a.SetEthDst: lambda x, s: f"mod_dl_dst:{format_mac(x.address)}",
    a.SetIpv4Src: lambda x, s: f"mod_nw_src:{format_ipv4(x.address)}",
    a.SetIpv4Dst: lambda x, s: f"mod_nw_dst:{format_ipv4(x.address)}",
    a.SetIpDscp: lambda x, s: f"mod_nw_tos:{x.tos}",
    a.SetIpEcn: lambda x, s: f"mod_nw_ecn:{x.ecn}",
    a.SetIpTtl: lambda x, s: f"mod_nw_ttl:{x.ttl}",
    a.SetL4SrcPort: lambda x, s: f"mod_tp_src:{x.port}",
    a.SetL4DstPort: lambda x, s: f"mod_tp_dst:{x.port}",
    a.SetField: _write_set_field,
    a.Load: lambda x, s: f"load:{c_hex(x.value)}->{subfield_text(x.field, x.offset, x.bits)}",
    a.Move: lambda x, s: (
        f"move:{subfield_text(x.source, x.source_offset, x.bits)}"
        f"->{subfield_text(x.destination, x.destination_offset, x.bits)}"
    ),
    a.StackPush: lambda x, s: f"push:{subfield_text(x.field, x.offset, x.bits)}",
    a.StackPop: lambda x, s: f"pop:{subfield_text(x.field, x.offset, x.bits)}",
    a.DecTtl: lambda x, s: "dec_ttl" if not x.listed else f"dec_ttl({','.join(map(str, x.controllers))})",
    a.DecNshTtl: lambda x, s: "dec_nsh_ttl",
    a.SetMplsLabel: lambda x, s: f"set_mpls_label({x.label})",
    a.SetMplsTc: lambda x, s: f"set_mpls_tc({x.tc})",
    a.SetMplsTtl: lambda x, s: f"set_mpls_ttl({x.ttl})",
    a.DecMplsTtl: lambda x, s: "dec_mpls_ttl",
    a.PushMpls: lambda x, s: f"push_mpls:0x{x.ethertype:04x}",
    a.PopMpls: lambda x, s: f"pop_mpls:0x{x.ethertype:04x}",
    a.SetTunnel: _write_tunnel,
    a.SetQueue: lambda x, s: f"set_queue:{x.queue}",
    a.PopQueue: lambda x, s: "pop_queue",
    a.FinTimeout: _write_fin_timeout,
    a.Resubmit: _write_resubmit,
    a.Group: lambda x, s: f"group:{x.group}",
    a.Exit: lambda x, s: "exit",
    a.Note: lambda x, s: f"note:{dotted(x.data)}",
    a.Conjunction: lambda x, s: f"conjunction({x.id},{x.clause + 1}/{x.clauses})",
    a.Sample: _write_sample,
    a.CtClear: lambda x, s: "ct_clear",
    a.CheckPacketLarger: lambda x, s: f"check_pkt_larger({x.length})->{subfield_text(x.field, x.offset, 1)}",
    a.DeleteField: lambda x, s: f"delete_field:{FIELD[x.field].name}",
    a.Clone: lambda x, s: f"clone({format_actions(x.actions, s)})",
    a.Learn: action_learn.write_learn,
    a.Multipath: action_hash.write_multipath,
    a.Bundle: action_hash.write_bundle,
    a.Ct: lambda x, s: action_ct.write_ct(x, s, lambda actions: format_actions(actions, s)),
    a.Nat: lambda x, s: action_ct.write_nat(x),
    a.Encap: action_encap.write_encap,
    a.DecapAny: action_encap.write_decap,
    a.Meter: lambda x, s: f"meter:{x.meter}",
    a.ClearActions: lambda x, s: "clear_actions",
    a.WriteActions: lambda x, s: f"write_actions({format_actions(x.actions, s)})",
    a.WriteMetadata: _write_metadata,
    a.GotoTable: lambda x, s: f"goto_table:{table_text(x.table, s)}",
    a.Unknown: lambda x, s: f"{x.name}(not implemented yet)",
}
