"""Nicira's messages that make a switch forget connections: a zone of them, or those that a tuple matches.

A tuple is nested properties; an address of all zeros is any address, IPv4 ones are mapped into IPv6 (RFC
4291, section 2.5.5.2).
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.base.addresses import format_address, is_mapped
from trunkline.openflow.control import Encoded
from trunkline.openflow.properties import pack_property, properties
from trunkline.openflow.style import Style
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, padded_number


class CtFlushZone(NamedTuple):
    zone: int


class CtTuple(NamedTuple):
    """What a direction of a connection must have: 128-bit addresses and ports, 0 for any.

    For ICMP the source port is the id, the destination port holds the code (high byte) and the type.
    """

    source: int = 0
    destination: int = 0
    source_port: int = 0
    destination_port: int = 0


class CtFlush(NamedTuple):
    """`zone` None is every zone; `protocol` 0 is every protocol."""

    zone: int | None = None
    protocol: int = 0
    original: CtTuple = CtTuple()
    reply: CtTuple = CtTuple()


_ORIGINAL, _REPLY, _ZONE = range(3)
_SOURCE, _DESTINATION, _SOURCE_PORT, _DESTINATION_PORT, _ICMP_ID, _ICMP_TYPE, _ICMP_CODE = range(7)
_SIZES: Final = {0: 16, 1: 16, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1}
_ICMP: Final = (1, 58)
_HEAD: Final = Struct("!B7x")
_NESTED: Final = 4  # bytes of padding before what is nested


def _decode(envelope: Envelope) -> CtFlush:
    if any(envelope.body[1 : _HEAD.size]):
        raise DecodeError("NXBRC_MUST_BE_ZERO")
    flush = CtFlush(None, envelope.body[0])
    families: set[bool] = set()
    for kind, value in properties(envelope.body, _HEAD.size):
        if kind in (_ORIGINAL, _REPLY):
            if len(value) < _NESTED:
                raise DecodeError("OFPBPC_BAD_LEN")
            found = _decode_tuple(value, families)
            flush = flush._replace(original=found) if kind == _ORIGINAL else flush._replace(reply=found)
        elif kind == _ZONE:
            if len(value) < 2:
                raise DecodeError("OFPBPC_BAD_LEN")
            flush = flush._replace(zone=int.from_bytes(value[:2], "big"))
    return flush


def _decode_tuple(data: bytes, families: set[bool]) -> CtTuple:
    found = CtTuple()
    for kind, value in properties(data, _NESTED):
        size = _SIZES.get(kind, 0)
        if len(value) < size:
            raise DecodeError("OFPBPC_BAD_LEN")
        number = int.from_bytes(value[:size], "big")
        if kind in (_SOURCE, _DESTINATION) and number:
            families.add(is_mapped(number))
            if len(families) > 1:
                raise DecodeError("OFPBPC_BAD_VALUE", "addresses of two families")
        if kind == _SOURCE:
            found = found._replace(source=number)
        elif kind == _DESTINATION:
            found = found._replace(destination=number)
        elif kind in (_SOURCE_PORT, _ICMP_ID):
            found = found._replace(source_port=number)
        elif kind == _DESTINATION_PORT:
            found = found._replace(destination_port=number)
        elif kind == _ICMP_TYPE:
            found = found._replace(destination_port=found.destination_port & 0xFF00 | number)
        elif kind == _ICMP_CODE:
            found = found._replace(destination_port=found.destination_port & 0xFF | number << 8)
    return found


def _encode(protocol: Protocol, flush: CtFlush) -> Encoded:
    body = _HEAD.pack(flush.protocol)
    for kind, found in ((_ORIGINAL, flush.original), (_REPLY, flush.reply)):
        nested = _encode_tuple(found, flush.protocol)
        if nested:
            body += pack_property(kind, bytes(_NESTED) + nested)
    if flush.zone is not None:
        body += pack_property(_ZONE, flush.zone.to_bytes(2, "big"))
    return "NXT_CT_FLUSH", body


def _encode_tuple(found: CtTuple, protocol: int) -> bytes:
    out = b""
    for kind, address in ((_SOURCE, found.source), (_DESTINATION, found.destination)):
        if address:
            out += pack_property(kind, address.to_bytes(16, "big"))
    if protocol in _ICMP:
        parts = (
            (_ICMP_ID, found.source_port),
            (_ICMP_TYPE, found.destination_port & 0xFF),
            (_ICMP_CODE, found.destination_port >> 8),
        )
    else:
        parts = ((_SOURCE_PORT, found.source_port), (_DESTINATION_PORT, found.destination_port), (0, 0))
    for kind, number in parts:
        if number:
            out += pack_property(kind, number.to_bytes(_SIZES[kind], "big"))
    return out


def tuple_text(found: CtTuple, protocol: int, ipv4: bool) -> str:
    family = "nw" if ipv4 else "ipv6"
    words = [
        f"ct_{family}_src={format_address(found.source)}",
        f"ct_{family}_dst={format_address(found.destination)}",
    ]
    if protocol in _ICMP:
        words.append(f"icmp_id={found.source_port},icmp_type={found.destination_port & 0xFF}")
        words.append(f"icmp_code={found.destination_port >> 8}")
    else:
        words.append(f"ct_tp_src={found.source_port},ct_tp_dst={found.destination_port}")
    return ",".join(words)


def _text(flush: CtFlush, version: int, style: Style) -> str:
    ipv4 = any(is_mapped(address) for address in (*flush.original[:2], *flush.reply[:2]))
    original = tuple_text(flush.original, flush.protocol, ipv4)
    reply = tuple_text(flush.reply, flush.protocol, ipv4)
    return f" zone={flush.zone or 0} '{original},ct_nw_proto={flush.protocol}' '{reply}'"


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "CT_FLUSH_ZONE": lambda e: CtFlushZone(padded_number(e.body)),
    "CT_FLUSH": _decode,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    CtFlushZone: lambda p, x: ("NXT_CT_FLUSH_ZONE", x.zone.to_bytes(8, "big")),
    CtFlush: _encode,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    CtFlushZone: lambda x, v, s: f" zone_id={x.zone}",
    CtFlush: _text,
}
