"""Actions to the wire, in the words that a version has: its own action, set_field, or Nicira's."""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final

from trunkline.model.fields import FIELD, TRANSPORTS
from trunkline.model.openflow import OFPP_IN_PORT
from trunkline.model.openflow_messages import NICIRA_EXPERIMENTER
from trunkline.openflow import action_ct, action_encap, action_hash, action_learn, oxm
from trunkline.openflow import actions as a
from trunkline.openflow.action_effects import ANY_PACKETS, Packets, packets_after
from trunkline.openflow.action_numbers import (
    ADDRESS,
    AS_SET_FIELD,
    ENQUEUE,
    EXPERIMENTER,
    HALF,
    HEAD,
    HH,
    NICIRA_BY_TYPE,
    NOTHING,
    OUTPUT11,
    STANDARD_BY_TYPE,
)
from trunkline.openflow.wire import port_to_wire

# ---- writing ----


def encode_actions(actions: Iterable[a.Action], version: int, packets: Packets = ANY_PACKETS) -> bytes:
    """A list of actions.  What the version has no word for is left out, as where a flow that came in a newer
    one is listed; whoever asks for such an action has been refused before (`consistency`, `formats`).

    From 1.1 on a tag must be there before its number can be set: one is pushed where the packets have none.
    """
    if version == 1:
        return b"".join([_encode_action(action, version) for action in actions])
    out = []
    for action in actions:
        if isinstance(action, a.Clone):
            out.append(_encode_clone(action, version, packets))
        elif isinstance(action, a.SetL4SrcPort | a.SetL4DstPort):
            out.append(_encode_port(action, version, packets.protocol))
        elif version == 2 and isinstance(action, a.SetField):
            out.append(_encode_set_field(action, version, packets))
        else:
            if isinstance(action, a.SetVlanVid | a.SetVlanPcp) and action.push and not packets.tags & 1:
                out.append(HALF.pack(17, 8, 0x8100))
            out.append(_encode_action(action, version))
        packets = packets_after((action,), packets)
    return b"".join(out)


def _encode_port(action: a.SetL4SrcPort | a.SetL4DstPort, version: int, protocol: int) -> bytes:
    """From 1.2 on a port belongs to a protocol; where it is not known which, 1.1's action says it."""
    name = TRANSPORTS.get(protocol)
    source = isinstance(action, a.SetL4SrcPort)
    if version < 3 or name is None:
        return HALF.pack(9 if source else 10, 8, action.port)
    return _encode_set_field(a.SetField(f"{name}_{'src' if source else 'dst'}", action.port, 0xFFFF), version)


def _encode_action(action: Any, version: int) -> bytes:
    kind = type(action)
    if kind is a.Output:
        port, max_len = action
        if version == 1:
            return Struct("!HHHH").pack(0, 8, port, max_len)
        return OUTPUT11.pack(0, 16, port_to_wire(port), max_len)
    plain = STANDARD_BY_TYPE.get((version, kind))
    special = _ENCODE.get(kind)
    if plain is not None and not (kind is a.DecTtl and action.listed):
        return _pack_standard(action, *plain)
    if version >= 3:
        as_field = _as_set_field(action)
        if as_field is not None:
            return _encode_set_field(as_field, version)
    if special is not None:
        return special(action, version)
    extension = NICIRA_BY_TYPE.get(kind)
    if extension is None:
        return b""  # push_vlan in 1.0, meter before 1.3: told without it
    number, layout = extension
    return _nicira(number, layout.pack(*action[: _arguments(layout)]))


def _arguments(layout: Struct) -> int:
    return sum(character in "BHIQs" for character in layout.format)


def _pack_standard(action: Any, number: int, layout: Struct) -> bytes:
    if layout is NOTHING:
        return layout.pack(number, layout.size)
    value = action[0]
    if layout is ADDRESS:
        value = value.to_bytes(6, "big")
    return layout.pack(number, layout.size, value)


def _as_set_field(action: a.Action) -> a.SetField | None:
    if isinstance(action, a.SetField):
        return action
    if isinstance(action, a.SetVlanVid):
        return a.SetField("vlan_vid", action.vid | 0x1000, 0x1FFF)
    if isinstance(action, a.SetIpDscp):
        return a.SetField("ip_dscp", action.tos >> 2, 0x3F)
    name = AS_SET_FIELD.get(type(action))
    if name is None:
        return None
    value: Any = action
    return a.SetField(name, value[0], (1 << FIELD[name].bits) - 1)


def _nicira(number: int, body: bytes) -> bytes:
    length = 10 + len(body)
    padding = -length % 8
    return EXPERIMENTER.pack(0xFFFF, length + padding, NICIRA_EXPERIMENTER, number) + body + bytes(padding)


def _encode_set_field(action: a.SetField, version: int, packets: Packets = ANY_PACKETS) -> bytes:
    field = FIELD[action.field]
    exact = action.mask == (1 << field.bits) - 1 and not action.masked
    if version < 3:
        own = _own_action(action.field, action.value)
        if own is not None:  # it has no mask: the bits outside are set to 0
            return encode_actions(own, version, packets)
    if version >= 6 or (version >= 3 and exact):
        body = _entry(action, exact, version)
        length = 4 + len(body)
        padding = -length % 8
        return HEAD.pack(25, length + padding) + body + bytes(padding)
    if _needs_entry(action.field):
        return _nicira(33, _entry(action, exact, oxm.NXM))
    return _encode_as_loads(action, version)


def _entry(action: a.SetField, exact: bool, version: int) -> bytes:
    mask = None if exact else action.mask
    return oxm.encode_entry(action.field, action.value, mask, version, action.octets)


def _needs_entry(name: str) -> bool:
    """Fields that a load cannot name: their headers are too long, or their width varies."""
    return name.startswith("tun_metadata") or not FIELD[name].ids or len(oxm.encode_header(name, oxm.NXM)) > 4


# Which set_fields 1.0 and 1.1 have an action of their own for.
_OWN_ACTION: Final[dict[str, type]] = {
    "eth_src": a.SetEthSrc,
    "eth_dst": a.SetEthDst,
    "ip_src": a.SetIpv4Src,
    "ip_dst": a.SetIpv4Dst,
    "tcp_src": a.SetL4SrcPort,
    "tcp_dst": a.SetL4DstPort,
    "udp_src": a.SetL4SrcPort,
    "udp_dst": a.SetL4DstPort,
}


_WORD: Final = (1 << 64) - 1


def _encode_as_loads(action: a.SetField, version: int) -> bytes:
    """Versions that cannot set under a mask say it as loads of each run of bits."""
    name, value, mask = action[:3]
    if mask == (1 << FIELD[name].bits) - 1:
        return _encode_load(a.Load(name, 0, oxm.width(name), value), version)
    out = []
    offset = 0
    while mask >> offset:
        if not mask >> offset & 1:
            offset += 1
            continue
        bits = 1
        while mask >> offset + bits & 1 and bits < 64:
            bits += 1
        out.append(_encode_load(a.Load(name, offset, bits, value >> offset & ((1 << bits) - 1)), version))
        offset += bits
    return b"".join(out)


def _own_action(name: str, value: int) -> tuple[a.Action, ...] | None:
    if name == "vlan_tci":
        if not value & 0x1000:
            return (a.StripVlan(),)
        return a.SetVlanVid(value & 0xFFF), a.SetVlanPcp(value >> 13)
    if name == "vlan_vid":
        return (a.SetVlanVid(value & 0xFFF),)
    if name == "vlan_pcp":
        return (a.SetVlanPcp(value),)
    if name == "ip_dscp":
        return (a.SetIpDscp(value << 2),)
    if name == "nw_tos":
        return (a.SetIpDscp(value & 0xFC),)
    make = _OWN_ACTION.get(name)
    return None if make is None else (make(value),)


def _encode_load(action: a.Load, version: int) -> bytes:
    if action.bits > 64 and version < 6 and not _needs_entry(action.field):
        return b"".join(
            _encode_load(
                a.Load(
                    action.field, action.offset + at, min(64, action.bits - at), action.value >> at & _WORD
                ),
                version,
            )
            for at in range(0, action.bits, 64)
        )
    field = FIELD[action.field]
    value, mask = action.value << action.offset, (1 << action.bits) - 1 << action.offset
    if version >= 6:
        if action.bits == field.octets * 8:
            return _encode_set_field(a.SetField(action.field, value, (1 << field.bits) - 1), version)
        return _encode_set_field(a.SetField(action.field, value, mask, True), version)
    if _needs_entry(action.field):
        whole = action.bits == field.octets * 8
        whole = whole or (action.bits == field.bits and action.field.startswith("tun_metadata"))
        return _nicira(33, oxm.encode_entry(action.field, value, None if whole else mask, oxm.NXM))
    header = oxm.encode_header(action.field, oxm.NXM)
    packed = action.offset << 6 | action.bits - 1
    return _nicira(7, packed.to_bytes(2, "big") + header + action.value.to_bytes(8, "big"))


def _encode_move(action: a.Move, version: int) -> bytes:
    source_version = version if version >= 6 else oxm.NXM
    headers = oxm.encode_header(action.source, source_version) + oxm.encode_header(
        action.destination, source_version
    )
    offsets = Struct("!HHH").pack(action.bits, action.source_offset, action.destination_offset)
    if version < 6:
        return _nicira(6, offsets + headers)
    length = 12 + len(headers)
    padding = -length % 8
    return HEAD.pack(28, length + padding) + offsets + bytes(2) + headers + bytes(padding)


def _encode_stack(number: int) -> Callable[[Any, int], bytes]:
    def encode(action: Any, version: int) -> bytes:
        header = oxm.encode_header(action.field, oxm.NXM)
        return _nicira(number, action.offset.to_bytes(2, "big") + header + action.bits.to_bytes(2, "big"))

    return encode


def _encode_enqueue(action: a.Enqueue, version: int) -> bytes:
    if version == 1:
        return ENQUEUE.pack(11, 16, action.port, action.queue)
    return encode_actions((a.SetQueue(action.queue), a.Output(action.port, 0xFFFF), a.PopQueue()), version)


def _encode_controller(action: a.Controller, version: int) -> bytes:
    if action.userdata is None and not action.pause and action.meter is None:  # what the first form has
        return _nicira(20, Struct("!HHBx").pack(action.max_len, action.controller_id, action.reason))
    body = bytes(6)
    for kind, value in (
        (0, None if action.max_len == 0xFFFF else action.max_len.to_bytes(2, "big")),
        (1, action.controller_id.to_bytes(2, "big") if action.controller_id else None),
        (2, None if action.reason == 1 else bytes((action.reason,))),
        (3, action.userdata or None),
        (4, b"" if action.pause else None),
        (5, None if action.meter is None else action.meter.to_bytes(4, "big")),
    ):
        if value is not None:
            size = 4 + len(value)
            said = 8 if kind in (0, 1) else size  # those two count their padding
            body += HH.pack(kind, said) + value + bytes(-size % 8)
    return _nicira(37, body)


def _encode_output_register(action: a.OutputRegister, version: int) -> bytes:
    packed = (action.offset << 6 | action.bits - 1).to_bytes(2, "big")
    header = oxm.encode_header(action.field, oxm.NXM)
    if len(header) > 4:
        return _nicira(32, packed + action.max_len.to_bytes(2, "big") + header)
    return _nicira(15, packed + header + action.max_len.to_bytes(2, "big"))


def _encode_dec_ttl(action: a.DecTtl, version: int) -> bytes:
    if not action.listed:
        return _nicira(18, bytes(6))
    ids = b"".join(number.to_bytes(2, "big") for number in action.controllers)
    return _nicira(21, len(action.controllers).to_bytes(2, "big") + bytes(4) + ids)


def _encode_resubmit(action: a.Resubmit, version: int) -> bytes:
    number = 44 if action.with_ct_orig else 14
    return _nicira(number, Struct("!HB3x").pack(action.port, action.table))


def _encode_sample(action: a.Sample, version: int) -> bytes:
    head = action[:4]
    if action.sampling_port is None and not action.direction:
        return _nicira(29, Struct("!HIII").pack(*head))
    port = 0xFFFF if action.sampling_port is None else action.sampling_port
    return _nicira(41 if action.direction else 38, Struct("!HIIIHB5x").pack(*head, port, action.direction))


def _encode_tunnel(action: a.SetTunnel, version: int) -> bytes:
    if action.wide or action.tunnel_id >> 32:
        return _nicira(9, bytes(6) + action.tunnel_id.to_bytes(8, "big"))
    return _nicira(2, bytes(2) + action.tunnel_id.to_bytes(4, "big"))


def _encode_ecn(action: a.SetIpEcn, version: int) -> bytes:
    return _encode_load(a.Load("nw_ecn", 0, 2, action.ecn), version)


def _encode_ttl(action: a.SetIpTtl, version: int) -> bytes:
    return _encode_load(a.Load("nw_ttl", 0, 8, action.ttl), version)


def _encode_clone(action: a.Clone, version: int, packets: Packets = ANY_PACKETS) -> bytes:
    return _nicira(42, bytes(6) + encode_actions(action.actions, version, packets))


def _encode_check_larger(action: a.CheckPacketLarger, version: int) -> bytes:
    header = oxm.encode_header(action.field, oxm.NXM)
    return _nicira(49, HH.pack(action.length, action.offset) + header.ljust(10, b"\0"))


def _encode_ct(action: a.Ct, version: int) -> bytes:
    inner = ((action.nat,) if action.nat is not None else ()) + action.actions
    return _nicira(*action_ct.encode_ct(action, encode_actions(inner, version)))


_ENCODE: Final[dict[type, Callable[[Any, int], bytes]]] = {
    a.Enqueue: _encode_enqueue,
    a.SetField: _encode_set_field,
    a.Load: _encode_load,
    a.Move: _encode_move,
    a.StackPush: _encode_stack(27),
    a.StackPop: _encode_stack(28),
    a.Controller: _encode_controller,
    a.OutputRegister: _encode_output_register,
    a.OutputTruncated: lambda x, v: _nicira(39, Struct("!HI").pack(x.port, x.max_len)),
    a.DecTtl: _encode_dec_ttl,
    a.Resubmit: _encode_resubmit,
    a.Sample: _encode_sample,
    a.SetTunnel: _encode_tunnel,
    a.SetIpEcn: _encode_ecn,
    a.SetIpTtl: _encode_ttl,
    a.Note: lambda x, v: _nicira(8, x.data),
    a.Conjunction: lambda x, v: _nicira(34, Struct("!BBI").pack(x.clause, x.clauses, x.id)),
    a.Clone: _encode_clone,
    a.Learn: lambda x, v: _nicira(*action_learn.encode_learn(x)),
    a.Multipath: lambda x, v: _nicira(*action_hash.encode_multipath(x)),
    a.Bundle: lambda x, v: _nicira(*action_hash.encode_bundle(x)),
    a.Ct: _encode_ct,
    a.Nat: lambda x, v: _nicira(*action_ct.encode_nat(x)),
    a.Encap: lambda x, v: _nicira(*action_encap.encode_encap(x)),
    a.DecapAny: lambda x, v: _nicira(*action_encap.encode_decap(x)),
    a.CheckPacketLarger: _encode_check_larger,
    a.DeleteField: lambda x, v: _nicira(50, oxm.encode_header(x.field, oxm.NXM) + bytes(10)),
    a.GotoTable: lambda x, v: _encode_resubmit(a.Resubmit(OFPP_IN_PORT, x.table), v),
    a.ClearActions: lambda x, v: b"",
    a.WriteActions: lambda x, v: b"",
    a.Unknown: lambda x, v: x.wire,
}
