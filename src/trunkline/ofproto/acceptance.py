"""Which actions a flow may have here, and with what error the others are refused.

An action that the switch cannot carry out is refused when it is installed, with OpenFlow's own error, so
that a flow that is in a table means what it says.  `SUPPORTED` is the list; translate/compile.py has a
function for each of these and a test holds the two together.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.ofproto.rules import HIDDEN_TABLE
from trunkline.openflow import actions as a

SUPPORTED: Final = frozenset((
    a.Output, a.Controller, a.OutputTruncated, a.OutputRegister, a.Enqueue, a.SetQueue, a.PopQueue,
    a.SetVlanVid, a.SetVlanPcp, a.StripVlan, a.PushVlan, a.SetEthSrc, a.SetEthDst, a.SetIpv4Src, a.SetIpv4Dst,
    a.SetIpDscp, a.SetIpEcn, a.SetIpTtl, a.SetL4SrcPort, a.SetL4DstPort, a.SetTunnel,
    a.SetMplsLabel, a.SetMplsTc, a.SetMplsTtl, a.PushMpls, a.PopMpls, a.DecTtl, a.DecMplsTtl, a.DecNshTtl,
    a.SetField, a.Load, a.Move, a.StackPush, a.StackPop, a.Resubmit, a.GotoTable, a.WriteMetadata,
    a.WriteActions, a.ClearActions, a.Note, a.Exit, a.Ct, a.CtClear, a.Clone, a.CheckPacketLarger, a.Group,
    a.Multipath, a.Bundle, a.Learn, a.FinTimeout, a.Sample, a.Conjunction, a.Meter, a.Encap, a.DecapAny,
    a.DeleteField,
))  # fmt: skip

IN_ACTION_SET: Final = frozenset((
    a.StripVlan, a.PopMpls, a.DecapAny, a.Encap, a.PushMpls, a.PushVlan, a.DecTtl, a.DecMplsTtl, a.DecNshTtl,
    a.Load, a.Move, a.SetField, a.SetEthDst, a.SetEthSrc, a.SetIpDscp, a.SetIpEcn, a.SetIpTtl, a.SetIpv4Dst,
    a.SetIpv4Src, a.SetL4DstPort, a.SetL4SrcPort, a.SetMplsLabel, a.SetMplsTc, a.SetMplsTtl, a.SetQueue,
    a.SetTunnel, a.SetVlanPcp, a.SetVlanVid, a.Group, a.Output, a.Resubmit, a.Ct, a.CtClear,
))  # fmt: skip
"""What write_actions may write (ovs-actions(7), Action Sets)."""

_VLAN_TYPES: Final = (0x8100, 0x88A8)
_OUTPUTS: Final = frozenset(
    (
        of.OFPP_IN_PORT,
        of.OFPP_NORMAL,
        of.OFPP_FLOOD,
        of.OFPP_ALL,
        of.OFPP_CONTROLLER,
        of.OFPP_LOCAL,
        of.OFPP_TABLE,
    )
)
_QUEUED: Final = frozenset((of.OFPP_IN_PORT, of.OFPP_LOCAL))
_NAMING_FIELDS: Final = frozenset(
    (
        a.SetField,
        a.Load,
        a.Move,
        a.OutputRegister,
        a.StackPush,
        a.StackPop,
        a.DeleteField,
        a.Multipath,
        a.Bundle,
        a.Learn,
        a.CheckPacketLarger,
        a.Ct,
    )
)


def _options_named(action: Any) -> Iterator[tuple[str, int]]:
    """The fields tun_metadata that an action names, in its order, each with the bit where its part ends."""
    for name, end in _named(action):
        if name.startswith("tun_metadata"):
            yield name, end


def _named(action: Any) -> Iterator[tuple[str, int]]:
    match action:
        case a.Subfield(field=name, offset=offset, bits=bits):
            yield name, offset + bits
        case a.SetField(field=name) | a.DeleteField(field=name):
            yield name, 0
        case a.Load() | a.StackPush() | a.StackPop() | a.OutputRegister():
            yield action.field, action.offset + action.bits
        case a.CheckPacketLarger(field=name, offset=offset):
            yield name, offset + 1
        case a.Move(source, source_offset, destination, destination_offset, bits):
            yield source, source_offset + bits
            yield destination, destination_offset + bits
        case a.Learn(specs=specs, result=result):
            for part in (result, *(part for spec in specs for part in reversed(spec))):
                yield from _named(part)
        case a.Multipath() | a.Bundle():
            yield from _named(action.destination)
        case a.Ct(zone=zone):
            yield from _named(zone)


def refusal(
    actions: Sequence[a.Action],
    table: int,
    groups: Container[int] = (),
    meters: Container[int] = (),
    *,
    packet_out: bool = False,
    options: Mapping[str, int] = MappingProxyType({}),
) -> str | None:
    """The name of the error with which these actions are refused, or None.

    `groups` and `meters`: those there are; `options`: how many bits the
    fields tun_metadata have that an option is mapped to.
    """
    for action in actions:
        error = _refusal(action, table, groups, meters, packet_out, options)
        if error is not None:
            return error
    return None


def _refusal(
    action: a.Action,
    table: int,
    groups: Container[int],
    meters: Container[int],
    packet_out: bool,
    options: Mapping[str, int],
) -> str | None:
    if not packet_out and type(action) in _NAMING_FIELDS:  # one that is not mapped does nothing
        for name, end in _options_named(action):
            if name not in options:
                return "NXFMFC_INVALID_TLV_FIELD"
            if end > options[name]:
                return "OFPBAC_BAD_SET_LEN"
    match action:
        case a.Output(port=port):
            return None if port < of.OFPP_MAX or port in _OUTPUTS else "OFPBAC_BAD_OUT_PORT"
        case a.GotoTable(table=target):
            return "OFPBIC_BAD_TABLE_ID" if target <= table or target >= HIDDEN_TABLE else None
        case a.PushVlan(ethertype=ethertype):
            return None if ethertype in _VLAN_TYPES else "OFPBAC_BAD_ARGUMENT"
        case a.SetVlanVid(vid=vid):
            return None if vid < 0x1000 else "OFPBAC_BAD_ARGUMENT"
        case a.SetVlanPcp(pcp=pcp):
            return None if pcp < 8 else "OFPBAC_BAD_ARGUMENT"
        case a.SetField(field=field) | a.Load(field=field):
            return None if FIELD[field].writable else "OFPBAC_BAD_SET_ARGUMENT"
        case a.Move(destination=field):
            return None if FIELD[field].writable else "OFPBAC_BAD_SET_ARGUMENT"
        case a.Group(group=number):
            return None if number in groups else "OFPBAC_BAD_OUT_GROUP"
        case a.Meter(meter=number):
            return None if number in meters else "OFPMMFC_INVALID_METER"
        case a.Enqueue(port=port):
            return None if port < of.OFPP_MAX or port in _QUEUED else "OFPBAC_BAD_OUT_PORT"
        case a.OutputTruncated(port=port):
            return None if port < of.OFPP_MAX or port in _QUEUED else "OFPBAC_BAD_OUT_PORT"
        case a.WriteActions(actions=nested):
            if any(type(one) not in IN_ACTION_SET for one in nested):
                return "OFPBAC_BAD_TYPE"
            return refusal(nested, table, groups, meters, packet_out=packet_out, options=options)
        case a.Clone(actions=nested) | a.Ct(actions=nested):
            nested = tuple(one for one in nested if not isinstance(one, a.Nat))
            return refusal(nested, table, groups, meters, packet_out=packet_out, options=options)
        case a.Learn(table=target):
            return "OFPBRC_BAD_TABLE_ID" if target >= HIDDEN_TABLE else None
    return None if type(action) in SUPPORTED else "OFPBAC_BAD_TYPE"
