"""Matches of 1.0's flow-mods as they stand on the wire, for those who ask to see more.

1.0's fixed match is shown field by field, wildcards as ``*``; Nicira's match entry by entry, as its ids are
named, ``_W`` behind those with a mask.
"""

from struct import Struct
from typing import Final

from trunkline.base.addresses import format_ipv4
from trunkline.model.fields import CLASSES, FIELDS
from trunkline.openflow.style import PLAIN, Style, mac_text, port_text

_MATCH10: Final = Struct("!IH6s6sHBxHBB2xIIHH")
_IN_PORT, _VLAN, _SRC, _DST, _TYPE, _PROTOCOL, _TP_SRC, _TP_DST = (1 << bit for bit in range(8))
_PCP: Final = 1 << 20
_TOS: Final = 1 << 21
_IP, _ARP, _RARP = 0x0800, 0x0806, 0x8035
_TYPES: Final = {_IP: "ip", _ARP: "arp", _RARP: "rarp", 0x8847: "mpls", 0x8848: "mplsm"}
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}


def match10_text(data: bytes, style: Style = PLAIN) -> str:
    """The 40 bytes of a match of 1.0."""
    wild, port, src, dst, vlan, pcp, kind, tos, protocol, nw_src, nw_dst, tp_src, tp_dst = _MATCH10.unpack(
        data
    )
    words = []
    skip_type = skip_protocol = False
    if not wild & _TYPE and kind in _TYPES:
        skip_type = True
        if kind == _IP and not wild & _PROTOCOL and protocol in _PROTOCOLS:
            words.append(_PROTOCOLS[protocol])
            skip_protocol = True
        else:
            words.append(_TYPES[kind])

    def add(name: str, bit: int, value: str) -> None:
        words.append(f"{name}={'*' if wild & bit else value}")

    add("in_port", _IN_PORT, port_text(port, style))
    add("dl_vlan", _VLAN, str(vlan))
    add("dl_vlan_pcp", _PCP, str(pcp))
    add("dl_src", _SRC, mac_text(int.from_bytes(src, "big")))
    add("dl_dst", _DST, mac_text(int.from_bytes(dst, "big")))
    if not skip_type:
        add("dl_type", _TYPE, f"0x{kind:04x}")
    words.append(f"nw_src={_address(nw_src, wild >> 8 & 0x3F)}")
    words.append(f"nw_dst={_address(nw_dst, wild >> 14 & 0x3F)}")
    if not skip_protocol:
        add("arp_op" if not wild & _TYPE and kind in (_ARP, _RARP) else "nw_proto", _PROTOCOL, str(protocol))
    add("nw_tos", _TOS, str(tos))
    icmp = not wild & _PROTOCOL and protocol == 1
    add("icmp_type" if icmp else "tp_src", _TP_SRC, str(tp_src))
    add("icmp_code" if icmp else "tp_dst", _TP_DST, str(tp_dst))
    return ",".join(words)


def _address(address: int, wild_bits: int) -> str:
    if wild_bits >= 32:
        return "*"
    return format_ipv4(address) + (f"/{32 - wild_bits}" if wild_bits else "")


def _names() -> dict[bytes, str]:
    """Class and number of each id, without the bit for a mask, to its name."""
    names = {b"\0\1\x3c": "NXM_NX_COOKIE"}
    for field in FIELDS:
        for code in field.ids:
            number = CLASSES[code.vendor].number.to_bytes(2, "big") + bytes((code.number << 1,))
            experimenter = CLASSES[code.vendor].experimenter
            names[number + (b"" if experimenter is None else experimenter.to_bytes(4, "big"))] = code.name
    return names


def nxm_text(data: bytes) -> str:
    """A match of Nicira's, without its padding."""
    names = _names()
    words = []
    at = 0
    while at + 4 <= len(data):
        size = 8 if data[at : at + 2] == b"\xff\xff" else 4
        header = data[at : at + size]
        masked = bool(header[2] & 1)
        end = at + 4 + header[3]
        name = names.get(header[:2] + bytes((header[2] & 0xFE,)) + header[4:])
        value = data[at + size : end]
        half = len(value) // 2 if masked else len(value)
        shown = value[:half].hex() + (f"/{value[half:].hex()}" if masked else "")
        if name is None:
            name = f"{int.from_bytes(header[:2], 'big')}:{header[2] >> 1}"
        words.append(f"{name}{'_W' if masked else ''}({shown})")
        at = end
    return ", ".join(words) or "<any>"
