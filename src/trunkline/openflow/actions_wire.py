"""Actions and instructions on the wire.

An action is a type, a length that is a multiple of eight, and arguments.  Extensions have the type 0xffff, an
experimenter and a subtype of their own.  Three tables say it all: which numbers a version has, how the
arguments of a plain layout are packed, and, for the few that vary, a function.

From 1.1 on actions come inside *instructions* (apply, write, goto, ...).  In Trunkline there is one tuple:
an apply-actions instruction dissolves into its actions, the others are records beside them.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from trunkline.model.fields import FIELD
from trunkline.model.openflow import OFPP_IN_PORT, OFPP_MAX
from trunkline.model.openflow_messages import NICIRA_EXPERIMENTER, ONF_EXPERIMENTER
from trunkline.openflow import actions as a
from trunkline.openflow import oxm
from trunkline.openflow.wire import DecodeError, EncodeError, port_from_wire, port_to_wire

_HEAD: Final = Struct("!HH")
_EXPERIMENTER: Final = Struct("!HHIH")
_HH: Final = Struct("!HH")
_OUTPUT11: Final = Struct("!HHIH6x")
_ENQUEUE: Final = Struct("!HHH6xI")

# Standard actions whose arguments are one number: record -> (layout of type, length and arguments).
_B: Final = Struct("!HHB3x")
_H: Final = Struct("!HHH2x")
_I: Final = Struct("!HHI")
_NONE: Final = Struct("!HH4x")
_MAC: Final = Struct("!HH6s6x")

# ---- which versions number which plain action how: (first, last, number, layout, maker, record) ----

_STANDARD: Final[tuple[tuple[int, int, int, Struct, Callable[..., a.Action], type], ...]] = (
    (1, 1, 1, _H, a.SetVlanVid, a.SetVlanVid),
    (1, 1, 2, _B, a.SetVlanPcp, a.SetVlanPcp),
    (1, 1, 3, _NONE, a.StripVlan, a.StripVlan),
    (1, 1, 4, _MAC, lambda mac: a.SetEthSrc(int.from_bytes(mac, "big")), a.SetEthSrc),
    (1, 1, 5, _MAC, lambda mac: a.SetEthDst(int.from_bytes(mac, "big")), a.SetEthDst),
    (1, 1, 6, _I, a.SetIpv4Src, a.SetIpv4Src),
    (1, 1, 7, _I, a.SetIpv4Dst, a.SetIpv4Dst),
    (1, 1, 8, _B, a.SetIpDscp, a.SetIpDscp),
    (1, 1, 9, _H, a.SetL4SrcPort, a.SetL4SrcPort),
    (1, 1, 10, _H, a.SetL4DstPort, a.SetL4DstPort),
    (2, 2, 1, _H, lambda vid: a.SetVlanVid(vid, False), a.SetVlanVid),
    (2, 2, 2, _B, lambda pcp: a.SetVlanPcp(pcp, False), a.SetVlanPcp),
    (2, 2, 3, _MAC, lambda mac: a.SetEthSrc(int.from_bytes(mac, "big")), a.SetEthSrc),
    (2, 2, 4, _MAC, lambda mac: a.SetEthDst(int.from_bytes(mac, "big")), a.SetEthDst),
    (2, 2, 5, _I, a.SetIpv4Src, a.SetIpv4Src),
    (2, 2, 6, _I, a.SetIpv4Dst, a.SetIpv4Dst),
    (2, 2, 7, _B, a.SetIpDscp, a.SetIpDscp),
    (2, 2, 8, _B, a.SetIpEcn, a.SetIpEcn),
    (2, 2, 9, _H, a.SetL4SrcPort, a.SetL4SrcPort),
    (2, 2, 10, _H, a.SetL4DstPort, a.SetL4DstPort),
    (2, 2, 13, _I, a.SetMplsLabel, a.SetMplsLabel),
    (2, 2, 14, _B, a.SetMplsTc, a.SetMplsTc),
    (2, 6, 15, _B, a.SetMplsTtl, a.SetMplsTtl),
    (2, 6, 16, _NONE, a.DecMplsTtl, a.DecMplsTtl),
    (2, 6, 17, _H, a.PushVlan, a.PushVlan),
    (2, 6, 18, _NONE, lambda: a.StripVlan(True), a.StripVlan),
    (2, 6, 19, _H, a.PushMpls, a.PushMpls),
    (2, 6, 20, _H, a.PopMpls, a.PopMpls),
    (2, 6, 21, _I, a.SetQueue, a.SetQueue),
    (2, 6, 22, _I, a.Group, a.Group),
    (2, 6, 23, _B, a.SetIpTtl, a.SetIpTtl),
    (2, 6, 24, _NONE, a.DecTtl, a.DecTtl),
    (6, 6, 29, _I, a.Meter, a.Meter),
)

# ---- Nicira's plain ones: subtype, layout after the subtype, record  ----

_NICIRA: Final[tuple[tuple[int, Struct, Callable[..., a.Action], type], ...]] = (
    (2, Struct("!2xI"), a.SetTunnel, a.SetTunnel),
    (4, Struct("!2xI"), a.SetQueue, a.SetQueue),
    (5, Struct("!6x"), a.PopQueue, a.PopQueue),
    (9, Struct("!6xQ"), lambda i: a.SetTunnel(i, True), a.SetTunnel),
    (17, Struct("!6x"), a.Exit, a.Exit),
    (18, Struct("!6x"), a.DecTtl, a.DecTtl),
    (19, Struct("!HH2x"), a.FinTimeout, a.FinTimeout),
    (22, Struct("!6xQQ"), a.WriteMetadata, a.WriteMetadata),
    (23, Struct("!H4x"), a.PushMpls, a.PushMpls),
    (24, Struct("!H4x"), a.PopMpls, a.PopMpls),
    (25, Struct("!B5x"), a.SetMplsTtl, a.SetMplsTtl),
    (26, Struct("!6x"), a.DecMplsTtl, a.DecMplsTtl),
    (29, Struct("!HIII"), a.Sample, a.Sample),
    (30, Struct("!2xI"), a.SetMplsLabel, a.SetMplsLabel),
    (31, Struct("!B5x"), a.SetMplsTc, a.SetMplsTc),
    (40, Struct("!2xI"), a.Group, a.Group),
    (43, Struct("!6x"), a.CtClear, a.CtClear),
    (48, Struct("!6x"), a.DecNshTtl, a.DecNshTtl),
)

_STANDARD_BY_NUMBER: Final = {
    (version, number): (layout, make)
    for first, last, number, layout, make, _ in _STANDARD
    for version in range(first, last + 1)
}
_STANDARD_BY_TYPE: Final = {
    (version, kind): (number, layout)
    for first, last, number, layout, _, kind in _STANDARD
    for version in range(first, last + 1)
}
_NICIRA_BY_NUMBER: Final = {number: (layout, make) for number, layout, make, _ in _NICIRA}
_NICIRA_BY_TYPE: Final = {kind: (number, layout) for number, layout, _, kind in reversed(_NICIRA)}
_NICIRA_NAMES: Final = {
    10: "multipath",
    12: "bundle",
    13: "bundle_load",
    16: "learn",
    35: "ct",
    36: "nat",
    45: "learn",
    46: "encap",
}
_STANDARD_NAMES: Final = {11: "copy_ttl_out", 12: "copy_ttl_in", 26: "push_pbb", 27: "pop_pbb"}

# A field that an action sets by itself, for versions that have set_field in its place.
_AS_SET_FIELD: Final[dict[type, str]] = {
    a.SetVlanPcp: "vlan_pcp",
    a.SetEthSrc: "eth_src",
    a.SetEthDst: "eth_dst",
    a.SetIpv4Src: "ip_src",
    a.SetIpv4Dst: "ip_dst",
    a.SetIpEcn: "nw_ecn",
    a.SetMplsLabel: "mpls_label",
    a.SetMplsTc: "mpls_tc",
    a.SetTunnel: "tun_id",
}

# ---- reading ----


def decode_actions(data: bytes, version: int) -> tuple[a.Action, ...]:
    """The list of actions in `data`.  Raises DecodeError."""
    actions: list[a.Action] = []
    position, size = 0, len(data)
    while position < size:
        if size - position < 8:
            raise DecodeError("OFPBAC_BAD_LEN")
        number, length = _HEAD.unpack_from(data, position)
        if length < 8 or length % 8 or position + length > size:
            raise DecodeError("OFPBAC_BAD_LEN")
        try:
            actions.append(_decode_action(data, position, number, length, version))
        except StructError:
            raise DecodeError("OFPBAC_BAD_LEN") from None
        position += length
    return tuple(actions)


def _decode_action(data: bytes, position: int, number: int, length: int, version: int) -> a.Action:
    if number == 0:
        return _decode_output(data, position, length, version)
    plain = _STANDARD_BY_NUMBER.get((version, number))
    if plain is not None:
        layout, make = plain
        if layout.size != length:
            raise DecodeError("OFPBAC_BAD_LEN")
        action = make(*layout.unpack_from(data, position)[2:])
        return _checked(action)
    if number == 0xFFFF:
        return _decode_experimenter(data, position, length, version)
    if number == 11 and version == 1:
        _, size, port, queue = _ENQUEUE.unpack_from(data, position)
        if size != 16:
            raise DecodeError("OFPBAC_BAD_LEN")
        if port >= OFPP_MAX and port not in (OFPP_IN_PORT, 0xFFFE):
            raise DecodeError("OFPBAC_BAD_OUT_PORT")
        return a.Enqueue(port, queue)
    if number == 25 and version >= 3:
        return _decode_set_field(data, position, length, version)
    if number == 28 and version >= 6:
        return _decode_copy_field(data, position, length, 4)
    if number in _STANDARD_NAMES and version > 1:
        raise DecodeError("OFPBAC_BAD_TYPE", _STANDARD_NAMES[number])
    raise DecodeError("OFPBAC_BAD_TYPE", f"action type {number}")


def _checked(action: a.Action) -> a.Action:
    """Refuses arguments that no packet could take."""
    if isinstance(action, a.SetVlanVid) and action.vid > 0xFFF:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetVlanPcp) and action.pcp > 7:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetIpDscp) and action.tos & 3:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetIpEcn) and action.ecn > 3:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.PushVlan) and action.ethertype not in (0x8100, 0x88A8):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.PushMpls) and action.ethertype not in (0x8847, 0x8848):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetMplsLabel) and action.label > 0xFFFFF:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetMplsTc) and action.tc > 7:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return action


def _decode_output(data: bytes, position: int, length: int, version: int) -> a.Action:
    if version == 1:
        if length != 8:
            raise DecodeError("OFPBAC_BAD_LEN")
        port, max_len = _HH.unpack_from(data, position + 4)
    else:
        if length != 16:
            raise DecodeError("OFPBAC_BAD_LEN")
        _, _, wide, max_len = _OUTPUT11.unpack_from(data, position)
        port = port_from_wire(wide)
    return output(port, max_len)


def output(port: int, max_len: int) -> a.Output:
    """An output; the length matters to the controller alone.  Raises DecodeError for no port at all."""
    if port >= OFPP_MAX and (port < OFPP_IN_PORT or port == 0xFFFF):
        raise DecodeError("OFPBAC_BAD_OUT_PORT")
    return a.Output(port, max_len if port == 0xFFFD else 0)


def _decode_set_field(data: bytes, position: int, length: int, version: int) -> a.Action:
    field, value, mask, end = oxm.decode_entry(data, position + 4)
    if end > position + length or any(data[end : position + length]):
        raise DecodeError("OFPBAC_BAD_SET_LEN" if end > position + length else "OFPBAC_BAD_SET_ARGUMENT")
    return _set_field(field.name, value, mask, version)


def _set_field(name: str, value: int, mask: int | None, version: int) -> a.Action:
    field = FIELD[name]
    if not field.writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
    ones = (1 << field.bits) - 1
    if name in ("in_port_oxm", "actset_output"):
        value = port_from_wire(value)
    if value & ~ones:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
    if mask is None:
        if name == "vlan_vid" and not value & 0x1000:  # a tag cannot be taken away so
            raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
        mask = ones
    elif not field.maskable:
        raise DecodeError("OFPBAC_BAD_SET_TYPE", name)
    return a.SetField(name, value & mask, mask & ones)


def _decode_copy_field(data: bytes, position: int, length: int, skip: int) -> a.Action:
    bits, source_offset, destination_offset = Struct("!HHH2x").unpack_from(data, position + skip)
    source, at = oxm.decode_header(data, position + skip + 8)
    destination, _ = oxm.decode_header(data, at)
    return _checked_move(source.name, source_offset, destination.name, destination_offset, bits)


def _checked_move(
    source: str, source_offset: int, destination: str, destination_offset: int, bits: int
) -> a.Move:
    for name, offset in ((source, source_offset), (destination, destination_offset)):
        if not bits or offset + bits > FIELD[name].bits:
            raise DecodeError("OFPBAC_BAD_SET_LEN", name)
    if not FIELD[destination].writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", destination)
    return a.Move(source, source_offset, destination, destination_offset, bits)


def _decode_experimenter(data: bytes, position: int, length: int, version: int) -> a.Action:
    if length < 16:
        raise DecodeError("OFPBAC_BAD_LEN")
    _, _, experimenter, subtype = _EXPERIMENTER.unpack_from(data, position)
    if experimenter == ONF_EXPERIMENTER:
        if subtype == 3200:
            return _decode_copy_field(data, position, length, 12)
        raise DecodeError("OFPBAC_BAD_VENDOR_TYPE")
    if experimenter != NICIRA_EXPERIMENTER:
        raise DecodeError("OFPBAC_BAD_VENDOR", f"experimenter 0x{experimenter:x}")
    plain = _NICIRA_BY_NUMBER.get(subtype)
    start = position + 10
    if plain is not None:
        layout, make = plain
        if layout.size + 10 != length:
            raise DecodeError("OFPBAC_BAD_LEN")
        return _checked(make(*layout.unpack_from(data, start)))
    special = _NICIRA_DECODE.get(subtype)
    body = data[start : position + length]
    if special is not None:
        return special(body, version)
    name = _NICIRA_NAMES.get(subtype)
    if name is None:
        raise DecodeError("OFPBAC_BAD_VENDOR_TYPE", f"action subtype {subtype}")
    return a.Unknown(name, data[position : position + length])


def _decode_resubmit(body: bytes, version: int) -> a.Action:
    return a.Resubmit(_HH.unpack_from(body)[0], 255)


def _decode_resubmit_table(body: bytes, version: int) -> a.Action:
    return a.Resubmit(int.from_bytes(body[:2], "big"), body[2])


def _decode_resubmit_ct(body: bytes, version: int) -> a.Action:
    return a.Resubmit(int.from_bytes(body[:2], "big"), body[2], True)


def _decode_move(body: bytes, version: int) -> a.Action:
    bits, source_offset, destination_offset = Struct("!HHH").unpack_from(body)
    source, at = oxm.decode_header(body, 6)
    destination, _ = oxm.decode_header(body, at)
    return _checked_move(source.name, source_offset, destination.name, destination_offset, bits)


def _decode_load(body: bytes, version: int) -> a.Action:
    packed = int.from_bytes(body[:2], "big")
    field, at = oxm.decode_header(body, 2)
    (value,) = Struct("!Q").unpack_from(body, at)
    offset, bits = packed >> 6, (packed & 0x3F) + 1
    if offset + bits > field.bits:
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    if not field.writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", field.name)
    if value >> bits:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", field.name)
    return a.Load(field.name, offset, bits, value)


def _decode_load2(body: bytes, version: int) -> a.Action:
    field, value, mask, _ = oxm.decode_entry(body, 6)
    return _set_field(field.name, value, mask, version)


def _decode_note(body: bytes, version: int) -> a.Action:
    return a.Note(body)


def _decode_stack(make: Callable[[str, int, int], a.Action]) -> Callable[[bytes, int], a.Action]:
    def decode(body: bytes, version: int) -> a.Action:
        field, at = oxm.decode_header(body, 2)
        offset, bits = int.from_bytes(body[:2], "big"), int.from_bytes(body[at : at + 2], "big")
        if not bits or offset + bits > field.bits:
            raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
        return make(field.name, offset, bits)

    return decode


def _decode_output_register(body: bytes, version: int) -> a.Action:
    packed = int.from_bytes(body[:2], "big")
    field, at = oxm.decode_header(body, 2)
    offset, bits = packed >> 6, (packed & 0x3F) + 1
    if offset + bits > field.bits:
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    return a.OutputRegister(field.name, offset, bits, int.from_bytes(body[at : at + 2], "big"))


def _decode_output_register2(body: bytes, version: int) -> a.Action:
    packed, max_len = _HH.unpack_from(body)
    field, _ = oxm.decode_header(body, 4)
    return a.OutputRegister(field.name, packed >> 6, (packed & 0x3F) + 1, max_len)


def _decode_controller(body: bytes, version: int) -> a.Action:
    max_len, controller_id, reason = Struct("!HHB").unpack_from(body)
    return a.Controller(max_len, controller_id, reason)


def _decode_controller2(body: bytes, version: int) -> a.Action:
    fields: dict[str, Any] = {}
    at = 6
    while len(body) - at >= 4:
        kind, size = _HH.unpack_from(body, at)
        if size < 4 or at + size > len(body):
            raise DecodeError("OFPBPC_BAD_LEN")
        value = body[at + 4 : at + size]
        if kind == 3:
            fields["userdata"] = value
        elif kind == 4:
            fields["pause"] = True
        elif kind in (0, 1):
            fields[("max_len", "controller_id")[kind]] = int.from_bytes(value[:2], "big")
        elif kind == 2:
            fields["reason"] = value[0] if value else 1
        elif kind == 5:
            fields["meter"] = int.from_bytes(value[-4:], "big")
        else:
            raise DecodeError("OFPBPC_BAD_TYPE")
        at += (size + 7) // 8 * 8
    return a.Controller(**fields)


def _decode_dec_ttl_ids(body: bytes, version: int) -> a.Action:
    count = int.from_bytes(body[:2], "big")
    if 6 + 2 * count > len(body):
        raise DecodeError("OFPBAC_BAD_LEN")
    return a.DecTtl(tuple(int.from_bytes(body[6 + 2 * i : 8 + 2 * i], "big") for i in range(count)))


def _decode_conjunction(body: bytes, version: int) -> a.Action:
    clause, clauses, number = Struct("!BBI").unpack(body)
    if not 2 <= clauses <= 64 or clause >= clauses:
        raise DecodeError("NXBAC_BAD_CONJUNCTION")
    return a.Conjunction(number, clause, clauses)


def _decode_sample2(body: bytes, version: int) -> a.Action:
    probability, collector, domain, point, port, direction = Struct("!HIIIHB5x").unpack(body)
    return a.Sample(probability, collector, domain, point, port, direction)


def _decode_truncate(body: bytes, version: int) -> a.Action:
    port, max_len = Struct("!HI").unpack(body)
    if max_len < 14:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return a.OutputTruncated(port, max_len)


def _decode_clone(body: bytes, version: int) -> a.Action:
    return a.Clone(decode_actions(body[6:], version))


def _decode_decap(body: bytes, version: int) -> a.Action:
    packet_type = int.from_bytes(body[2:6], "big")
    return a.DecapAny(None if packet_type == 0xFFFE else packet_type)


def _decode_check_larger(body: bytes, version: int) -> a.Action:
    length = int.from_bytes(body[:2], "big")
    field, _ = oxm.decode_header(body, 4)
    return a.CheckPacketLarger(length, field.name, int.from_bytes(body[2:4], "big"))


def _decode_delete_field(body: bytes, version: int) -> a.Action:
    return a.DeleteField(oxm.decode_header(body, 0)[0].name)


_NICIRA_DECODE: Final[dict[int, Callable[[bytes, int], a.Action]]] = {
    1: _decode_resubmit,
    6: _decode_move,
    7: _decode_load,
    8: _decode_note,
    14: _decode_resubmit_table,
    15: _decode_output_register,
    20: _decode_controller,
    21: _decode_dec_ttl_ids,
    27: _decode_stack(a.StackPush),
    28: _decode_stack(a.StackPop),
    32: _decode_output_register2,
    33: _decode_load2,
    34: _decode_conjunction,
    37: _decode_controller2,
    39: _decode_truncate,
    41: _decode_sample2,
    42: _decode_clone,
    44: _decode_resubmit_ct,
    47: _decode_decap,
    49: _decode_check_larger,
    50: _decode_delete_field,
}

# ---- writing ----


def encode_actions(actions: Iterable[a.Action], version: int, tagged: bool = True) -> bytes:
    """A list of actions.  `tagged`: the flow is for packets with a VLAN tag (else 1.1 on must push one before
    its number can be set).  Raises EncodeError."""
    out = []
    for action in actions:
        if isinstance(action, a.SetVlanVid | a.SetVlanPcp) and version > 1 and action.push and not tagged:
            out.append(_H.pack(17, 8, 0x8100))
            tagged = True
        out.append(_encode_action(action, version))
    return b"".join(out)


def _encode_action(action: Any, version: int) -> bytes:
    kind = type(action)
    if kind is a.Output:
        port, max_len = action
        if version == 1:
            return Struct("!HHHH").pack(0, 8, port, max_len)
        return _OUTPUT11.pack(0, 16, port_to_wire(port), max_len)
    plain = _STANDARD_BY_TYPE.get((version, kind))
    special = _ENCODE.get(kind)
    if plain is not None and not (kind is a.DecTtl and action != a.DecTtl()):
        return _pack_standard(action, *plain)
    if version >= 3:
        as_field = _as_set_field(action)
        if as_field is not None:
            return _encode_set_field(as_field, version)
    if special is not None:
        return special(action, version)
    extension = _NICIRA_BY_TYPE.get(kind)
    if extension is None:
        raise EncodeError(f"{kind.__name__} has no form in this version of OpenFlow")
    number, layout = extension
    return _nicira(number, layout.pack(*action[: _arguments(layout)]))


def _arguments(layout: Struct) -> int:
    return sum(character in "BHIQs" for character in layout.format)


def _pack_standard(action: Any, number: int, layout: Struct) -> bytes:
    if layout is _NONE:
        return layout.pack(number, layout.size)
    value = action[0]
    if layout is _MAC:
        value = value.to_bytes(6, "big")
    return layout.pack(number, layout.size, value)


def _as_set_field(action: a.Action) -> a.SetField | None:
    if isinstance(action, a.SetField):
        return action
    if isinstance(action, a.SetVlanVid):
        return a.SetField("vlan_vid", action.vid | 0x1000, 0x1FFF)
    if isinstance(action, a.SetIpDscp):
        return a.SetField("ip_dscp", action.tos >> 2, 0x3F)
    if isinstance(action, a.SetL4SrcPort):
        return a.SetField("tcp_src", action.port, 0xFFFF)
    if isinstance(action, a.SetL4DstPort):
        return a.SetField("tcp_dst", action.port, 0xFFFF)
    name = _AS_SET_FIELD.get(type(action))
    if name is None:
        return None
    value: Any = action
    return a.SetField(name, value[0], (1 << FIELD[name].bits) - 1)


def _nicira(number: int, body: bytes) -> bytes:
    length = 10 + len(body)
    padding = -length % 8
    return _EXPERIMENTER.pack(0xFFFF, length + padding, NICIRA_EXPERIMENTER, number) + body + bytes(padding)


def _encode_set_field(action: a.SetField, version: int) -> bytes:
    field = FIELD[action.field]
    exact = action.mask == (1 << field.bits) - 1
    if version >= 6 or (version >= 3 and exact):
        if not field.ids:
            return _encode_tci_field(action, version)
        body = oxm.encode_entry(action.field, action.value, None if exact else action.mask, version)
        length = 4 + len(body)
        padding = -length % 8
        return _HEAD.pack(25, length + padding) + body + bytes(padding)
    return _encode_as_loads(action, version)


def _encode_tci_field(action: a.SetField, version: int) -> bytes:
    if action.field == "dl_vlan":
        return _encode_set_field(a.SetField("vlan_vid", action.value | 0x1000, 0x1FFF), version)
    return _encode_set_field(a.SetField("vlan_pcp", action.value, 7), version)


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


def _encode_as_loads(action: a.SetField, version: int) -> bytes:
    """Versions that cannot set (under a mask) say it as loads of each run of bits."""
    name, value, mask = action
    if version < 3 and mask == (1 << FIELD[name].bits) - 1:
        own = _own_action(name, value)
        if own is not None:
            return _encode_action(own, version)
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


def _own_action(name: str, value: int) -> a.Action | None:
    if name in ("vlan_vid", "dl_vlan"):
        return a.SetVlanVid(value & 0xFFF)
    if name in ("vlan_pcp", "dl_vlan_pcp"):
        return a.SetVlanPcp(value)
    if name == "ip_dscp":
        return a.SetIpDscp(value << 2)
    if name == "nw_tos":
        return a.SetIpDscp(value & 0xFC)
    make = _OWN_ACTION.get(name)
    return None if make is None else make(value)


def _encode_load(action: a.Load, version: int) -> bytes:
    if version >= 6:
        mask = (1 << action.bits) - 1 << action.offset
        whole = mask == (1 << FIELD[action.field].bits) - 1
        if whole or FIELD[action.field].maskable:
            return _encode_set_field(a.SetField(action.field, action.value << action.offset, mask), version)
    header = oxm.encode_header(action.field, oxm.NXM)
    if len(header) > 4:
        field = FIELD[action.field]
        mask = ((1 << action.bits) - 1) << action.offset
        whole = mask == (1 << field.bits) - 1
        entry = oxm.encode_entry(
            action.field, action.value << action.offset, None if whole else mask, oxm.NXM
        )
        return _nicira(33, bytes(6) + entry)
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
    return _HEAD.pack(28, length + padding) + offsets + bytes(2) + headers + bytes(padding)


def _encode_stack(number: int) -> Callable[[Any, int], bytes]:
    def encode(action: Any, version: int) -> bytes:
        header = oxm.encode_header(action.field, oxm.NXM)
        return _nicira(number, action.offset.to_bytes(2, "big") + header + action.bits.to_bytes(2, "big"))

    return encode


def _encode_enqueue(action: a.Enqueue, version: int) -> bytes:
    if version == 1:
        return _ENQUEUE.pack(11, 16, action.port, action.queue)
    return encode_actions((a.SetQueue(action.queue), a.Output(action.port, 0xFFFF), a.PopQueue()), version)


def _encode_controller(action: a.Controller, version: int) -> bytes:
    if action.userdata is None and not action.pause and action.meter is None:
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
            body += _HH.pack(kind, size) + value + bytes(-size % 8)
    return _nicira(37, body)


def _encode_output_register(action: a.OutputRegister, version: int) -> bytes:
    packed = (action.offset << 6 | action.bits - 1).to_bytes(2, "big")
    header = oxm.encode_header(action.field, oxm.NXM)
    if len(header) > 4:
        return _nicira(32, packed + action.max_len.to_bytes(2, "big") + header)
    return _nicira(15, packed + header + action.max_len.to_bytes(2, "big"))


def _encode_dec_ttl(action: a.DecTtl, version: int) -> bytes:
    if not action.controllers:
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
    return _nicira(41, Struct("!HIIIHB5x").pack(*head, port, action.direction))


def _encode_tunnel(action: a.SetTunnel, version: int) -> bytes:
    if action.wide or action.tunnel_id >> 32:
        return _nicira(9, bytes(6) + action.tunnel_id.to_bytes(8, "big"))
    return _nicira(2, bytes(2) + action.tunnel_id.to_bytes(4, "big"))


def _encode_ecn(action: a.SetIpEcn, version: int) -> bytes:
    return _encode_load(a.Load("nw_ecn", 0, 2, action.ecn), version)


def _encode_ttl(action: a.SetIpTtl, version: int) -> bytes:
    return _encode_load(a.Load("nw_ttl", 0, 8, action.ttl), version)


def _encode_check_larger(action: a.CheckPacketLarger, version: int) -> bytes:
    header = oxm.encode_header(action.field, oxm.NXM)
    return _nicira(49, _HH.pack(action.length, action.offset) + header + bytes(-(4 + len(header)) % 8 + 6))


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
    a.Clone: lambda x, v: _nicira(42, bytes(6) + encode_actions(x.actions, v)),
    a.DecapAny: lambda x, v: _nicira(
        47, bytes(2) + (0xFFFE if x.packet_type is None else x.packet_type).to_bytes(4, "big")
    ),
    a.CheckPacketLarger: _encode_check_larger,
    a.DeleteField: lambda x, v: _nicira(50, oxm.encode_header(x.field, oxm.NXM) + bytes(10)),
    a.GotoTable: lambda x, v: _encode_resubmit(a.Resubmit(OFPP_IN_PORT, x.table), v),
    a.ClearActions: lambda x, v: b"",
    a.WriteActions: lambda x, v: b"",
    a.Unknown: lambda x, v: x.wire,
}

# ---- instructions ----

_INSTRUCTIONS: Final = (a.Meter, a.ClearActions, a.WriteActions, a.WriteMetadata, a.GotoTable)
_METADATA: Final = Struct("!HH4xQQ")


def encode_instructions(actions: tuple[a.Action, ...], version: int, tagged: bool = True) -> bytes:
    """Actions as the instructions of 1.1 on, in the order that the specification executes them."""
    out = []
    meters: list[a.Action] = []
    apply = [action for action in actions if not isinstance(action, _INSTRUCTIONS)]
    rest = [action for action in actions if isinstance(action, _INSTRUCTIONS)]
    for instruction in rest:
        if isinstance(instruction, a.Meter):
            if version >= 6:
                meters.append(instruction)
            elif version >= 4:
                out.append(_I.pack(6, 8, instruction.meter))
            else:
                raise EncodeError("meter needs OpenFlow 1.3 or later")
    if apply or meters:
        body = encode_actions((*meters, *apply), version, tagged)
        out.append(_HEAD.pack(4, 8 + len(body)) + bytes(4) + body)
    for instruction in rest:
        if isinstance(instruction, a.ClearActions):
            out.append(_NONE.pack(5, 8))
        elif isinstance(instruction, a.WriteActions):
            body = encode_actions(instruction.actions, version, tagged)
            out.append(_HEAD.pack(3, 8 + len(body)) + bytes(4) + body)
        elif isinstance(instruction, a.WriteMetadata):
            out.append(_METADATA.pack(2, 24, instruction.value, instruction.mask))
        elif isinstance(instruction, a.GotoTable):
            out.append(_B.pack(1, 8, instruction.table))
    return b"".join(out)


def decode_instructions(data: bytes, version: int) -> tuple[a.Action, ...]:
    """Instructions as actions, in order of execution.  Raises DecodeError."""
    found: dict[int, tuple[a.Action, ...]] = {}
    position, size = 0, len(data)
    while position < size:
        if size - position < 8:
            raise DecodeError("OFPBIC_BAD_LEN")
        kind, length = _HEAD.unpack_from(data, position)
        if length < 8 or length % 8 or position + length > size:
            raise DecodeError("OFPBIC_BAD_LEN")
        if kind in found:
            raise DecodeError("OFPBIC_DUP_INST")
        found[kind] = _decode_instruction(data[position : position + length], kind, length, version)
        position += length
    return tuple(action for kind in (6, 4, 5, 3, 2, 1) for action in found.get(kind, ()))


def _decode_instruction(data: bytes, kind: int, length: int, version: int) -> tuple[a.Action, ...]:
    if kind == 4:
        return decode_actions(data[8:], version)
    if kind == 3:
        return (a.WriteActions(decode_actions(data[8:], version)),)
    if kind == 0xFFFF:
        raise DecodeError("OFPBIC_BAD_EXPERIMENTER")
    expected = {1: 8, 2: 24, 5: 8, 6: 8}.get(kind)
    if expected is None or (kind == 6 and not 4 <= version <= 5):
        raise DecodeError("OFPBIC_UNKNOWN_INST", f"instruction {kind}")
    if length != expected:
        raise DecodeError("OFPBIC_BAD_LEN")
    if kind == 1:
        return (a.GotoTable(data[4]),)
    if kind == 2:
        return (a.WriteMetadata(*_METADATA.unpack(data)[2:]),)
    if kind == 5:
        return (a.ClearActions(),)
    return (a.Meter(int.from_bytes(data[4:8], "big")),)
