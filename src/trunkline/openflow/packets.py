"""Packets to controllers and from them: packet-in in every format, packet-out."""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from trunkline.flow.key import VIEW
from trunkline.flow.match import Match, match
from trunkline.flow.text import format_match
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow import oxm
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.control import Encoded
from trunkline.openflow.style import Style, hex_dump, port_text, table_text
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol, port_from_wire, port_to_wire

_IN10: Final = Struct("!IHHBx")
_IN11: Final = Struct("!IIIHBB")
_IN12: Final = Struct("!IHBB")
_NX_IN: Final = Struct("!IHBBQH6x")
_OUT10: Final = Struct("!IHH")
_OUT11: Final = Struct("!IIH6x")
_OUT15: Final = Struct("!IH2x")
_PROPERTY: Final = Struct("!HH")
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
        return m.PacketIn(body[10:], match(in_port=port), reason, 0, 0, total, buffer=_buffer(buffer))
    if version == 2:
        buffer, port, _, total, reason, table = _IN11.unpack_from(body)
        metadata = match(in_port=port_from_wire(port))
        return m.PacketIn(body[16:], metadata, reason, table, 0, total, buffer=_buffer(buffer))
    buffer, total, reason, table = _IN12.unpack_from(body)
    start = 8 if version == 3 else 16
    cookie = int.from_bytes(body[8:16], "big") if version >= 4 else 0
    metadata, end = oxm.decode_oxm_match(body, start, loose=True)
    return m.PacketIn(body[end + 2 :], metadata, reason, table, cookie, total, buffer=_buffer(buffer))


def _decode_nx_packet_in(envelope: Envelope) -> m.PacketIn:
    body = envelope.body
    buffer, total, reason, table, cookie, length = _NX_IN.unpack_from(body)
    end = 24 + (length + 7) // 8 * 8
    if end > len(body):
        raise DecodeError("OFPBMC_BAD_LEN")
    metadata = oxm.decode(body[24 : 24 + length], loose=True)
    return m.PacketIn(body[end + 2 :], metadata, reason, table, cookie, total, buffer=_buffer(buffer))


def _decode_packet_in2(envelope: Envelope) -> m.PacketIn:
    body, at = envelope.body, 0
    fields: dict[str, Any] = {"data": b"", "metadata": Match(), "reason": 0}
    while at < len(body):
        if len(body) - at < 4:
            raise DecodeError("OFPBPC_BAD_LEN")
        kind, size = _PROPERTY.unpack_from(body, at)
        if size < 4 or at + size > len(body):
            raise DecodeError("OFPBPC_BAD_LEN")
        value = body[at + 4 : at + size]
        if kind == _PACKET:
            fields["data"] = value
        elif kind == _LENGTH:
            fields["total_length"] = int.from_bytes(value, "big")
        elif kind == _BUFFER:
            fields["buffer"] = int.from_bytes(value, "big")
        elif kind == _TABLE:
            fields["table"] = value[0] if value else 0
        elif kind == _COOKIE:
            fields["cookie"] = int.from_bytes(value[4:12], "big")
        elif kind == _REASON:
            fields["reason"] = value[0] if value else 0
        elif kind == _METADATA:
            fields["metadata"] = oxm.decode(value, loose=True)
        elif kind == _USERDATA:
            fields["userdata"] = value
        elif kind == _CONTINUATION:
            fields["continuation"] = value
        else:
            raise DecodeError("OFPBPC_BAD_TYPE")
        at += (size + 7) // 8 * 8
    return m.PacketIn(**fields)


def _encode_packet_in(protocol: Protocol, packet: m.PacketIn) -> Encoded:
    version = protocol.version
    if protocol.packet_in:
        return _encode_packet_in2(packet) if protocol.packet_in == 2 else _encode_nx_packet_in(packet)
    buffer = of.NO_BUFFER if packet.buffer is None else packet.buffer
    total = (packet.total_length or len(packet.data)) & 0xFFFF
    reason = _reason_to(packet.reason, version)
    port = in_port_of(packet.metadata)
    if version == 1:
        return "OFPT_PACKET_IN", _IN10.pack(buffer, total, port, reason) + packet.data
    if version == 2:
        wide = port_to_wire(port)
        return "OFPT_PACKET_IN", _IN11.pack(buffer, wide, wide, total, reason, packet.table) + packet.data
    head = _IN12.pack(buffer, total, reason, packet.table)
    if version >= 4:
        head += packet.cookie.to_bytes(8, "big")
    return "OFPT_PACKET_IN", head + oxm.encode_oxm_match(packet.metadata, version) + bytes(2) + packet.data


def _reason_to(reason: int, version: int) -> int:
    """Reasons 3 to 5 came with 1.4; before, they are told as an action."""
    if version < 5 and reason in (of.OFPR_ACTION_SET, of.OFPR_GROUP, of.OFPR_PACKET_OUT):
        return of.OFPR_ACTION
    if reason >= of.OFPR_EXPLICIT_MISS:
        return of.OFPR_NO_MATCH
    return reason


def _encode_nx_packet_in(packet: m.PacketIn) -> Encoded:
    nxm = oxm.encode(packet.metadata, oxm.NXM)
    buffer = of.NO_BUFFER if packet.buffer is None else packet.buffer
    total = (packet.total_length or len(packet.data)) & 0xFFFF
    head = _NX_IN.pack(buffer, total, _reason_to(packet.reason, 1), packet.table, packet.cookie, len(nxm))
    return "NXT_PACKET_IN", head + nxm + bytes(-len(nxm) % 8 + 2) + packet.data


def _encode_packet_in2(packet: m.PacketIn) -> Encoded:
    total = packet.total_length or len(packet.data)
    nxm = oxm.encode(packet.metadata, oxm.NXM)
    body = b""
    for kind, value in (
        (_PACKET, packet.data),
        (_LENGTH, total.to_bytes(4, "big") if total != len(packet.data) else None),
        (_BUFFER, None if packet.buffer is None else packet.buffer.to_bytes(4, "big")),
        (_TABLE, bytes((packet.table,)) if packet.table else None),
        (_COOKIE, bytes(4) + packet.cookie.to_bytes(8, "big") if packet.cookie else None),
        (_REASON, bytes((packet.reason,))),
        (_METADATA, nxm),
        (_USERDATA, packet.userdata or None),
        (_CONTINUATION, packet.continuation or None),
    ):
        if value is not None:
            size = 4 + len(value)
            body += _PROPERTY.pack(kind, size & 0xFFFF) + value + bytes(-size % 8)
    return "NXT_PACKET_IN2", body


def _text_packet_in(packet: m.PacketIn, version: int, style: Style) -> str:
    total = packet.total_length or len(packet.data)
    text = ""
    if packet.table:
        text += f" table_id={table_text(packet.table, style)}"
    if packet.cookie:
        text += f" cookie=0x{packet.cookie:x}"
    pipeline = format_match(packet.metadata, style.context)
    reason = of.PACKET_IN_REASON_NAMES.get(packet.reason, str(packet.reason))
    text += f" total_len={total} {pipeline} (via {reason}) data_len={len(packet.data)}"
    if packet.buffer is None:
        text += " (unbuffered)"
        if len(packet.data) != total:
            text += " (***total_len != data_len***)"
    else:
        text += f" buffer=0x{packet.buffer:08x}"
        if len(packet.data) > total:
            text += " (***data_len > total_len***)"
    text += "\n"
    if packet.userdata:
        text += " userdata=" + ".".join(f"{byte:02x}" for byte in packet.userdata) + "\n"
    return text + packet_text(packet.data, style)


def packet_text(data: bytes, style: Style) -> str:
    """What the bytes of a packet are; the decoded headers are not told yet."""
    return hex_dump(data) if style.verbosity > 2 else ""


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
        metadata, start = oxm.decode_oxm_match(body, 8)
    if start + length > len(body):
        raise DecodeError("OFPBAC_BAD_LEN")
    port = in_port_of(metadata)
    if port >= of.OFPP_MAX and port not in (of.OFPP_LOCAL, of.OFPP_NONE, of.OFPP_CONTROLLER):
        raise DecodeError("OFPBRC_BAD_PORT")
    actions = decode_actions(body[start : start + length], version)
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
        return text + f" data_len={len(packet.data)}\n" + packet_text(packet.data, style)
    return text + f" buffer=0x{packet.buffer:08x}\n"


__all__ = ["DECODE", "ENCODE", "TEXT", "in_port_of", "port_text"]
DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_PACKET_IN": _decode_packet_in,
    "NXT_PACKET_IN": _decode_nx_packet_in,
    "NXT_PACKET_IN2": _decode_packet_in2,
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
