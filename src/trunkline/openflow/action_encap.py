"""encap and decap: putting a header around a packet and taking it off, in OpenFlow 1.3 and later.

The header is named by its packet type: a name space (0: Ethernet, 1: by ethertype) and a number.  Only NSH
takes properties: how its metadata looks (md_type), and for the second kind TLVs.
"""

import re
from collections.abc import Sequence
from struct import Struct
from typing import Final

from trunkline.flow.text import key_values
from trunkline.flow.values import TextError
from trunkline.openflow import actions as a
from trunkline.openflow.action_words import ActionContext, limited_number
from trunkline.openflow.style import Style, c_hex
from trunkline.openflow.wire import DecodeError

NEXT_PROTOCOL: Final = 0xFFFE  # of decap: what the header says that follows
_NSH_CLASS: Final = 4
_MD_TYPE, _TLV = 1, 2
_HEADERS: Final = {"ethernet": 0, "nsh": 0x1894F, "mpls": 0x18847, "mpls_mc": 0x18848}
_NAMES: Final = {number: name for name, number in _HEADERS.items()}
_PROPERTY: Final = Struct("!HBB")
_TLV_WORDS: Final = re.compile(r"\s*0x([0-9a-fA-F]+),\s*(\d+),\s*0x([0-9a-fA-F]+)$")


def read_encap(text: str, context: ActionContext) -> a.Encap:
    words = list(key_values(text))
    if not words:
        raise TextError(f"Missing encap hdr: {text}")
    name, inner = words[0]
    packet_type = _HEADERS.get(name)
    if packet_type is None:
        raise TextError(f"Encap hdr not supported: {inner or ''}")
    properties = tuple(_read_property(key, value or "", name) for key, value in key_values(inner or ""))
    return a.Encap(packet_type, properties)


def _read_property(key: str, value: str, header: str) -> a.EncapProperty:
    if header == "nsh" and not value:
        raise TextError("Value missing for encap property")
    if header == "nsh" and key == "md_type":
        number = limited_number(value, 0xFF, "md_type")
        if number not in (1, 2):
            raise TextError("invalid md_type")
        return a.EncapProperty(_NSH_CLASS, _MD_TYPE, bytes((number,)))
    if header == "nsh" and key == "tlv":
        found = _TLV_WORDS.match(value)
        if found is None:
            raise TextError(f"Invalid NSH TLV header: {value}")
        digits = found.group(3)
        data = bytes.fromhex(digits[: len(digits) & ~1])  # half an octet at the end does not count
        head = _PROPERTY.pack(int(found.group(1), 16) & 0xFFFF, int(found.group(2)) & 0xFF, len(data))
        return a.EncapProperty(_NSH_CLASS, _TLV, head + data)
    raise TextError(f"Invalid property: {key}")


def write_encap(x: a.Encap, style: Style) -> str:
    name = _NAMES.get(x.packet_type)
    if name is None:
        name = f"({x.packet_type >> 16},0x{x.packet_type & 0xFFFF:x})"
    if not x.properties:
        return f"encap({name})"
    return f"encap({name}({','.join(_property_text(p) for p in x.properties)}))"


def _property_text(x: a.EncapProperty) -> str:
    if x.kind == _MD_TYPE:
        return f"md_type={x.data[0]}"
    class_, kind, size = _PROPERTY.unpack_from(x.data)
    digits = x.data[4 : 4 + size].hex().lstrip("0")
    return f"tlv(0x{class_:04x},{kind},{'0x' + digits if digits else '0'})"


def encode_encap(x: a.Encap) -> tuple[int, bytes]:
    """(subtype, body)."""
    return 46, bytes(2) + x.packet_type.to_bytes(4, "big") + _encode_properties(x.properties)


def _encode_properties(properties: Sequence[a.EncapProperty]) -> bytes:
    out = []
    for x in properties:
        size = 4 + len(x.data)
        padding = bytes(-size % 8)
        said = size + len(padding) if x.kind == _TLV else size  # a TLV counts its padding
        out.append(_PROPERTY.pack(x.property_class, x.kind, said) + x.data + padding)
    return b"".join(out)


def decode_encap(body: bytes) -> a.Encap:
    packet_type = int.from_bytes(body[2:6], "big")
    if packet_type not in _NAMES:
        raise DecodeError("NXBAC_BAD_HEADER_TYPE")
    properties = []
    position = 6
    while position < len(body):
        class_, kind, size = _PROPERTY.unpack_from(body, position)
        if size < 4 or position + size > len(body):
            raise DecodeError("OFPBAC_BAD_LEN")
        data = body[position + 4 : position + size]
        properties.append(_checked_property(class_, kind, data))
        position += (size + 7) // 8 * 8
    return a.Encap(packet_type, tuple(properties))


def _checked_property(class_: int, kind: int, data: bytes) -> a.EncapProperty:
    if class_ != _NSH_CLASS or kind not in (_MD_TYPE, _TLV):
        raise DecodeError("NXBAC_UNKNOWN_ED_PROP")
    if kind == _MD_TYPE:
        if len(data) < 1:
            raise DecodeError("OFPBAC_BAD_LEN")
        return a.EncapProperty(class_, kind, data[:1])
    if len(data) < 4 or len(data) != 4 + data[3] + -data[3] % 8:
        raise DecodeError("NXBAC_BAD_ED_PROP")
    return a.EncapProperty(class_, kind, data[: 4 + data[3]])


# ---- decap ----


def read_decap(text: str, context: ActionContext) -> a.DecapAny:
    packet_type = None
    for key, value in key_values(text):
        if key != "packet_type":
            raise TextError(f"Invalid decap argument: {key}")
        words = dict(key_values(value or ""))
        for name in ("ns", "type"):
            if name not in words:
                raise TextError(f"Missing packet_type attribute {name}")
        namespace = limited_number(words["ns"] or "", 0xFFFF, "ns")
        packet_type = namespace << 16 | limited_number(words["type"] or "", 0xFFFF, "type")
    return a.DecapAny(None if packet_type == NEXT_PROTOCOL else packet_type)


def write_decap(x: a.DecapAny, style: Style) -> str:
    if x.packet_type is None:
        return "decap()"
    return f"decap(packet_type(ns={x.packet_type >> 16},type={c_hex(x.packet_type & 0xFFFF)}))"


def encode_decap(x: a.DecapAny) -> tuple[int, bytes]:
    """(subtype, body)."""
    packet_type = NEXT_PROTOCOL if x.packet_type is None else x.packet_type
    return 47, bytes(2) + packet_type.to_bytes(4, "big")


def decode_decap(body: bytes) -> a.DecapAny:
    packet_type = int.from_bytes(body[2:6], "big")
    if len(body) > 6:
        raise DecodeError("NXBAC_UNKNOWN_ED_PROP")
    return a.DecapAny(None if packet_type == NEXT_PROTOCOL else packet_type)
