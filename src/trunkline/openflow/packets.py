"""Packets to controllers and from them: packet-in in every format, packet-out."""

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from trunkline.flow.key import VIEW, bits, get
from trunkline.flow.match import Match, match
from trunkline.flow.text import format_match
from trunkline.flow.values import NO_CONTEXT
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow import oxm
from trunkline.openflow.action_effects import Packets
from trunkline.openflow.actions_decode import decode_actions, shared
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.control import Encoded
from trunkline.openflow.flow_parts import ALL_COOKIE
from trunkline.openflow.properties import number, pack_property, properties
from trunkline.openflow.style import Style, plain_hex_dump, port_text, table_text
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol, port_from_wire, port_to_wire

if TYPE_CHECKING:
    from trunkline.openflow.continuations import Continuation

_IN10: Final = Struct("!IHHBx")
_IN11: Final = Struct("!IIIHBB")
_IN12: Final = Struct("!IHBB")
_NX_IN: Final = Struct("!IHBBQH6x")
_OUT10: Final = Struct("!IHH")
_OUT11: Final = Struct("!IIH6x")
_OUT15: Final = Struct("!IH2x")
_PAD: Final = 4  # bytes before a cookie and before a continuation's properties
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
# What a packet-out of 1.5 may say of its packet beside the packet itself.
_PIPELINE_FIELDS: Final = bits(
    *("in_port", "metadata", "skb_priority", "packet_type", "xxreg0", "xxreg1", "xxreg2", "xxreg3"),
    *(name for name in VIEW if name.startswith("tun")),
)
# Properties of NXT_PACKET_IN2.
_PACKET, _LENGTH, _BUFFER, _TABLE, _COOKIE, _REASON, _METADATA, _USERDATA, _CONTINUATION = range(9)


def in_port_of(metadata: Match) -> int:
    view = VIEW["in_port"]
    return metadata.value >> view.shift & view.ones


def _buffer(number: int) -> int | None:
    return None if number == of.NO_BUFFER else number


def _decode_packet_in(envelope: Envelope) -> m.PacketIn:
    version, body = envelope.version, envelope.body
    if version == 1:
        buffer, total, port, reason = _IN10.unpack_from(body)
        return m.PacketIn(body[10:], match(in_port=port), reason, 0, None, total, buffer=_buffer(buffer))
    if version == 2:
        buffer, port, _, total, reason, table = _IN11.unpack_from(body)
        metadata = match(in_port=port_from_wire(port))
        return m.PacketIn(body[16:], metadata, reason, table, None, total, buffer=_buffer(buffer))
    buffer, total, reason, table = _IN12.unpack_from(body)
    start = 8 if version == 3 else 16
    cookie = _cookie(int.from_bytes(body[8:16], "big")) if version >= 4 else None
    metadata, end = oxm.decode_oxm_match(body, start, loose=True)
    if end + 2 > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    return m.PacketIn(body[end + 2 :], metadata, reason, table, cookie, total, buffer=_buffer(buffer))


def _decode_nx_packet_in(envelope: Envelope) -> m.PacketIn:
    body = envelope.body
    buffer, total, reason, table, cookie, length = _NX_IN.unpack_from(body)
    end = 24 + (length + 7) // 8 * 8
    if end > len(body):
        raise DecodeError("OFPBMC_BAD_LEN")
    metadata = oxm.decode(body[24 : 24 + length], loose=True)
    if end + 2 > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    data = body[end + 2 :]
    return m.PacketIn(data, metadata, reason, table, _cookie(cookie), total, buffer=_buffer(buffer))


def decode_packet_properties(body: bytes, version: int) -> m.PacketIn:
    """The properties of NXT_PACKET_IN2 and NXT_RESUME; unknown ones are left out.  Raises DecodeError."""
    fields: dict[str, Any] = {"data": None, "metadata": Match(), "reason": 0, "cookie": None}
    for kind, value in properties(body):
        if kind == _PACKET:
            fields["data"] = value
        elif kind == _LENGTH:
            fields["total_length"] = number(value, 4)
        elif kind == _BUFFER:
            fields["buffer"] = number(value, 4)
        elif kind == _TABLE:
            fields["table"] = number(value, 1)
        elif kind == _COOKIE:
            fields["cookie"] = _cookie(number(value[_PAD:], 8))
        elif kind == _REASON:
            fields["reason"] = number(value, 1)
        elif kind == _METADATA:
            fields["metadata"] = oxm.decode(value, loose=True)
        elif kind == _USERDATA:
            fields["userdata"] = value
        elif kind == _CONTINUATION:
            if len(value) < _PAD:
                raise DecodeError("OFPBPC_BAD_LEN")
            fields["continuation"] = value[_PAD:]
    if not fields["data"]:
        raise DecodeError("OFPBRC_BAD_LEN", "no packet")
    if "continuation" in fields:
        continuation(fields["continuation"], version)  # must make sense
    return m.PacketIn(**fields)


def continuation(data: "bytes | Continuation", version: int) -> "Continuation":
    from trunkline.openflow.continuations import decode

    return decode(data, version) if isinstance(data, bytes) else data


_TAG_TYPES: Final = (b"\x81\x00", b"\x88\xa8")


def _continued(packet: m.PacketIn, version: int) -> bytes:
    from trunkline.openflow.continuations import encode

    data = packet.continuation
    tagged = packet.data[12:14] in _TAG_TYPES
    return data if isinstance(data, bytes) else encode(data, version, Packets(int(tagged)))


def _cookie(cookie: int) -> int | None:
    return None if cookie == ALL_COOKIE else cookie


def _encode_packet_in(protocol: Protocol, packet: m.PacketIn) -> Encoded:
    version = protocol.version
    if protocol.packet_in:
        if protocol.packet_in == 2:
            return "NXT_PACKET_IN2", encode_packet_properties(packet, version)
        return _encode_nx_packet_in(packet, version)
    buffer = of.NO_BUFFER if packet.buffer is None else packet.buffer
    total = _total(packet) & 0xFFFF
    reason = _reason_to(packet.reason, version)
    port = in_port_of(packet.metadata)
    if version == 1:
        return "OFPT_PACKET_IN", _IN10.pack(buffer, total, port, reason) + packet.data
    if version == 2:
        wide = port_to_wire(port)
        return "OFPT_PACKET_IN", _IN11.pack(buffer, wide, wide, total, reason, packet.table) + packet.data
    head = _IN12.pack(buffer, total, reason, packet.table)
    if version >= 4:
        head += (ALL_COOKIE if packet.cookie is None else packet.cookie).to_bytes(8, "big")
    return "OFPT_PACKET_IN", head + oxm.encode_oxm_match(packet.metadata, version) + bytes(2) + packet.data


def _total(packet: m.PacketIn) -> int:
    return len(packet.data) if packet.total_length is None else packet.total_length


def _reason_to(reason: int, version: int) -> int:
    """Reasons 3 to 5 came with 1.4; before, they are told as an action."""
    if version < 5 and reason in (of.OFPR_ACTION_SET, of.OFPR_GROUP, of.OFPR_PACKET_OUT):
        return of.OFPR_ACTION
    if reason == of.OFPR_EXPLICIT_MISS and version < 4:  # that a flow for misses is one came with 1.3
        return of.OFPR_ACTION
    if reason >= of.OFPR_EXPLICIT_MISS:
        return of.OFPR_NO_MATCH
    return reason


def _encode_nx_packet_in(packet: m.PacketIn, version: int) -> Encoded:
    nxm = oxm.encode(packet.metadata, oxm.NXM)
    buffer = of.NO_BUFFER if packet.buffer is None else packet.buffer
    total = _total(packet) & 0xFFFF
    cookie = ALL_COOKIE if packet.cookie is None else packet.cookie
    head = _NX_IN.pack(buffer, total, _reason_to(packet.reason, version), packet.table, cookie, len(nxm))
    return "NXT_PACKET_IN", head + nxm + bytes(-len(nxm) % 8 + 2) + packet.data


def encode_packet_properties(packet: m.PacketIn, version: int, *, resume: bool = False) -> bytes:
    """A packet-in as properties; a `resume` carries only what the switch needs to go on."""
    total = _total(packet)
    values: list[tuple[int, bytes | None]] = [(_PACKET, packet.data)]
    if not resume:
        values += [
            (_LENGTH, total.to_bytes(4, "big") if total != len(packet.data) else None),
            (_BUFFER, None if packet.buffer is None else packet.buffer.to_bytes(4, "big")),
            (_TABLE, bytes((packet.table,))),
        ]
    values += [
        (_COOKIE, None if packet.cookie is None else bytes(_PAD) + packet.cookie.to_bytes(8, "big")),
        (_REASON, bytes((packet.reason if resume else _reason_to(packet.reason, version),))),
        (_METADATA, oxm.encode(packet.metadata, version)),
        (_USERDATA, None if resume else packet.userdata or None),
        (_CONTINUATION, bytes(_PAD) + _continued(packet, version) if packet.continuation else None),
    ]
    return b"".join(pack_property(kind, value) for kind, value in values if value is not None)


def _text_packet_in(packet: m.PacketIn, version: int, style: Style) -> str:
    total = _total(packet)
    text = ""
    if packet.table:
        text += f" table_id={table_text(packet.table, style)}"
    if packet.cookie is not None:
        text += f" cookie=0x{packet.cookie:x}"
    pipeline = format_match(packet.metadata, style.context)
    reason = of.PACKET_IN_REASON_NAMES.get(packet.reason, str(packet.reason))
    if packet.reason in (of.OFPR_EXPLICIT_MISS, of.OFPR_IMPLICIT_MISS):
        reason = ""  # not for the wire
    text += f" total_len={total} {pipeline} (via {reason}) data_len={len(packet.data)}"
    if packet.buffer is None:
        text += " (unbuffered)"
        if len(packet.data) != total:
            text += " (***total_len != data_len***)"
    else:
        text += f" buffer=0x{packet.buffer:08x}"
        if len(packet.data) > total:
            text += " (***total_len < data_len***)"
    text += "\n"
    if packet.userdata:
        text += " userdata=" + ".".join(f"{byte:02x}" for byte in packet.userdata) + "\n"
    if packet.continuation:
        from trunkline.openflow.continuations import continuation_text

        text += continuation_text(continuation(packet.continuation, version), style)
    return text + packet_text(packet.data, style)


# Where the checksum lies within the header of a protocol, its length, its name, and how long the header is.
_CHECKSUMS: Final = {
    6: (16, 2, "tcp", 20),
    17: (6, 2, "udp", 8),
    132: (8, 4, "sctp", 12),
    1: (2, 2, "icmp", 8),
    58: (2, 2, "icmp6", 8),
}


def packet_text(data: bytes, style: Style) -> str:
    """The headers of a packet as a flow, and the checksum of its transport; its bytes with more verbosity."""
    from trunkline.flow.key_text import flow_mask
    from trunkline.packet.parse import parse

    key = parse(data)
    mask = flow_mask(key) & ~VIEW["in_port"].mask
    text = format_match(Match(key & mask, mask), NO_CONTEXT._replace(colors=style.context.colors))
    kind, protocol = get(key, "dl_type"), get(key, "nw_proto")
    family = _CHECKSUMS.get(protocol) if kind in (_IPV4, _IPV6) else None
    if family is not None and (protocol, kind) not in ((1, _IPV6), (58, _IPV4)):
        segment = _segment(data, key)
        offset, octets, name, least = family
        if len(segment) >= least:
            text += f" {name}_csum:{int.from_bytes(segment[offset : offset + octets], 'big'):x}"
    text += "\n"
    return text + plain_hex_dump(data) if style.verbosity > 2 else text


def _segment(data: bytes, key: int) -> bytes:
    """The transport header and what follows it, without padding of the frame; nothing if it is cut short."""
    from trunkline.packet.parse import extension_headers

    at = 12
    while data[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    at += 2
    if get(key, "dl_type") == _IPV4:
        end = at + int.from_bytes(data[at + 2 : at + 4], "big")
        return data[at + (data[at] & 0xF) * 4 : end]
    found = extension_headers(data[at + 40 :], data[at + 6])
    end = at + 40 + int.from_bytes(data[at + 4 : at + 6], "big")
    return b"" if found is None else data[at + 40 + found[2] : end]


def _decode_packet_out(envelope: Envelope) -> m.PacketOut:
    version, body = envelope.version, envelope.body
    if version == 1:
        buffer, port, length = _OUT10.unpack_from(body)
        start, metadata = 8, match(in_port=port)
    elif version < 6:
        buffer, wide, length = _OUT11.unpack_from(body)
        start, metadata = 16, match(in_port=port_from_wire(wide))
    else:
        buffer, length = _OUT15.unpack_from(body)
        metadata, start = oxm.decode_oxm_match(body, 8, loose=True)
        if metadata.mask & ~_PIPELINE_FIELDS:
            raise DecodeError("OFPBRC_PIPELINE_FIELDS_ONLY")
        if not metadata.mask & VIEW["in_port"].mask:
            raise DecodeError("OFPBRC_BAD_PORT")
    if start + length > len(body) or length % 8:
        raise DecodeError("OFPBRC_BAD_LEN")
    port = in_port_of(metadata)
    if port >= of.OFPP_MAX and port not in (of.OFPP_LOCAL, of.OFPP_NONE, of.OFPP_CONTROLLER):
        raise DecodeError("OFPBRC_BAD_PORT")
    actions = shared(decode_actions, body[start : start + length], version)
    data = body[start + length :] if buffer == of.NO_BUFFER else b""
    return m.PacketOut(data, metadata, actions, _buffer(buffer))


def _encode_packet_out(protocol: Protocol, packet: m.PacketOut) -> Encoded:
    version = protocol.version
    buffer = of.NO_BUFFER if packet.buffer is None else packet.buffer
    actions = encode_actions(packet.actions, version)
    port = in_port_of(packet.metadata)
    if version < 6 and packet.metadata.mask & ~VIEW["in_port"].mask & ~VIEW["packet_type"].mask:
        raise EncodeError("packet-out with pipeline fields needs OpenFlow 1.5 or later")
    if version == 1:
        head = _OUT10.pack(buffer, port, len(actions))
    elif version < 6:
        head = _OUT11.pack(buffer, port_to_wire(port), len(actions))
    else:
        head = _OUT15.pack(buffer, len(actions)) + oxm.encode_oxm_match(packet.metadata, version)
    return "OFPT_PACKET_OUT", head + actions + packet.data


def _text_packet_out(packet: m.PacketOut, version: int, style: Style) -> str:
    text = f" {format_match(packet.metadata, style.context)} actions={format_actions(packet.actions, style)}"
    if packet.buffer is None:
        return (
            text
            + f" data_len={len(packet.data)}\n"
            + (packet_text(packet.data, style) if packet.data else "")
        )
    return text + f" buffer=0x{packet.buffer:08x}\n"


__all__ = ["DECODE", "ENCODE", "TEXT", "in_port_of", "port_text"]
DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_PACKET_IN": _decode_packet_in,
    "NXT_PACKET_IN": _decode_nx_packet_in,
    "NXT_PACKET_IN2": lambda e: decode_packet_properties(e.body, e.version),
    "OFPT_PACKET_OUT": _decode_packet_out,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.PacketIn: _encode_packet_in,
    m.PacketOut: _encode_packet_out,
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.PacketIn: _text_packet_in,
    m.PacketOut: _text_packet_out,
}
