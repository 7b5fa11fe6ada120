"""The fixed match of OpenFlow 1.1: 88 bytes with masks for addresses and metadata, and a word of wildcards.

Ports are 32 bits wide, a VLAN may be any or none, and MPLS has a label and a class.  Source: OpenFlow 1.1.0
section A.2.3.1.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from trunkline.flow.key import MASK, VIEW
from trunkline.flow.match import Match, ethernet_type, exact_value, normalize
from trunkline.openflow.wire import DecodeError, port_from_wire, port_to_wire

SIZE: Final = 88
_MATCH: Final = Struct("!HHII6s6s6s6sHBxHBBIIIIHHIB3xQQ")
_IN_PORT, _VLAN, _PCP, _TYPE, _TOS, _PROTOCOL, _TP_SRC, _TP_DST, _LABEL, _CLASS = (1 << n for n in range(10))
_ALL: Final = (1 << 10) - 1
_NO_VLAN, _ANY_VLAN = 0xFFFF, 0xFFFE
_CFI: Final = 0x1000
_MAC: Final = 0xFFFFFFFFFFFF
_IPV4: Final = 0xFFFFFFFF
_EVERY_BIT: Final = (1 << 64) - 1
_IPV4_TYPE: Final = 0x0800
_ICMP: Final = 1
_IP_TYPES: Final = (0x0800, 0x86DD)
_ADDRESS_TYPES: Final = (0x0800, 0x0806, 0x8035)
_PORT_PROTOCOLS: Final = (6, 17, 132)
_ETHERNET: Final = MASK["dl_src"] | MASK["dl_dst"] | MASK["dl_type"] | MASK["vlan_tci"]


def decode(data: bytes, position: int) -> tuple[Match, int]:
    """The match at `position`, normalized, and where it ends.  Raises DecodeError."""
    if len(data) - position < SIZE:
        raise DecodeError("OFPBMC_BAD_LEN")
    (
        _, length, port, wild, src, src_wild, dst, dst_wild, vid, pcp, kind, tos, protocol,
        nw_src, nw_src_wild, nw_dst, nw_dst_wild, tp_src, tp_dst, label, traffic_class,
        metadata, metadata_wild,
    ) = _MATCH.unpack_from(data, position)  # fmt: skip
    if length != SIZE:
        raise DecodeError("OFPBMC_BAD_LEN")
    value = mask = 0

    def add(name: str, field_value: int, field_mask: int) -> None:
        nonlocal value, mask
        shift = VIEW[name].shift
        value |= (field_value & field_mask) << shift
        mask |= field_mask << shift

    if not wild & _IN_PORT:
        add("in_port", port_from_wire(port), 0xFFFF)
    for name, raw, wild_raw in (("dl_src", src, src_wild), ("dl_dst", dst, dst_wild)):
        add(name, int.from_bytes(raw, "big"), ~int.from_bytes(wild_raw, "big") & _MAC)
    if not wild & _VLAN:
        _add_vlan(add, vid, pcp, wild)
    if not wild & _TYPE:
        add("dl_type", kind, 0xFFFF)
        ip = kind == _IPV4_TYPE  # of IPv6 it says nothing but the type
        if ip and not wild & _TOS:
            if tos & 3:
                raise DecodeError("OFPBMC_BAD_VALUE")
            add("nw_tos", tos, 0xFC)
        if kind in _ADDRESS_TYPES and not wild & _PROTOCOL:
            add("nw_proto", protocol, 0xFF)
            if ip:
                _add_ports(add, protocol, wild, tp_src, tp_dst)
        if kind in _ADDRESS_TYPES:
            add("nw_src", nw_src, ~nw_src_wild & _IPV4)
            add("nw_dst", nw_dst, ~nw_dst_wild & _IPV4)
        if kind in (0x8847, 0x8848):
            if not wild & _LABEL:
                add("mpls_label", label, 0xFFFFF)
            if not wild & _CLASS:
                add("mpls_tc", traffic_class, 7)
    add("metadata", metadata, ~metadata_wild & _EVERY_BIT)
    if mask & _ETHERNET:
        mask |= MASK["packet_type"]
    return normalize(Match(value, mask)), position + SIZE


def _add_vlan(add: Callable[[str, int, int], None], vid: int, pcp: int, wild: int) -> None:
    if vid == _NO_VLAN:
        add("vlan_tci", 0, 0xFFFF)
        return
    if vid != _ANY_VLAN and vid > 0xFFF:
        raise DecodeError("OFPBMC_BAD_VALUE")
    if not wild & _PCP and pcp > 7:
        raise DecodeError("OFPBMC_BAD_VALUE")
    tci_mask = _CFI | (0 if vid == _ANY_VLAN else 0xFFF) | (0 if wild & _PCP else 0xE000)
    add("vlan_tci", vid & 0xFFF | (pcp & 7) << 13 | _CFI, tci_mask)


def _add_ports(
    add: Callable[[str, int, int], None], protocol: int, wild: int, tp_src: int, tp_dst: int
) -> None:
    """Ports, or type and code of ICMP; other protocols have none, and what is said of them is left out."""
    icmp = protocol == _ICMP
    if not icmp and protocol not in _PORT_PROTOCOLS:
        return
    for bit, name, number in ((_TP_SRC, "tp_src", tp_src), (_TP_DST, "tp_dst", tp_dst)):
        if wild & bit:
            continue
        if icmp and number > 0xFF:
            raise DecodeError("OFPBMC_BAD_FIELD")
        add(name, number, 0xFF if icmp else 0xFFFF)


def encode(match: Match) -> bytes:
    """What 1.1 can say of `match`."""
    value, mask = match.value, match.mask
    wild = _ALL

    def exact(name: str, bit: int) -> int:
        nonlocal wild
        shift, ones, place = VIEW[name]
        if mask & place != place:
            return 0
        wild &= ~bit
        return value >> shift & ones

    def masked(name: str, ones: int) -> tuple[int, int]:
        shift = VIEW[name].shift
        part = mask >> shift & ones
        return value >> shift & part, ~part & ones

    port = exact("in_port", _IN_PORT)
    src, src_wild = masked("dl_src", _MAC)
    dst, dst_wild = masked("dl_dst", _MAC)
    tci, tci_mask = value >> VIEW["vlan_tci"].shift & 0xFFFF, mask >> VIEW["vlan_tci"].shift & 0xFFFF
    vid = pcp = 0
    if tci_mask & _CFI and not tci & _CFI:
        vid = _NO_VLAN
        wild &= ~_VLAN
    elif tci_mask & _CFI:
        wild &= ~_VLAN
        vid = tci & 0xFFF if tci_mask & 0xFFF else _ANY_VLAN
        if tci_mask & 0xE000:
            pcp = tci >> 13
            wild &= ~_PCP
    kind = exact("dl_type", _TYPE)
    family = ethernet_type(match)
    tos = protocol = label = traffic_class = tp_src = tp_dst = 0
    nw_src = nw_dst = (0, _IPV4)
    if family in (*_IP_TYPES, *_ADDRESS_TYPES):
        tos, protocol = exact("ip_dscp", _TOS) << 2, exact("nw_proto", _PROTOCOL)
        narrow = exact_value(match, "nw_proto") == (1 if family == 0x0800 else 58)
        if family in _IP_TYPES:
            tp_src = exact("icmp_type" if narrow else "tp_src", _TP_SRC)
            tp_dst = exact("icmp_code" if narrow else "tp_dst", _TP_DST)
    if family in _ADDRESS_TYPES:
        nw_src, nw_dst = masked("nw_src", _IPV4), masked("nw_dst", _IPV4)
    if family in (0x8847, 0x8848):
        label, traffic_class = exact("mpls_label", _LABEL), exact("mpls_tc", _CLASS)
    macs = (number.to_bytes(6, "big") for number in (src, src_wild, dst, dst_wild))
    return _MATCH.pack(
        0, SIZE, 0 if wild & _IN_PORT else port_to_wire(port), wild, *macs, vid, pcp, kind, tos, protocol,
        *nw_src, *nw_dst, tp_src, tp_dst, label, traffic_class, *masked("metadata", _EVERY_BIT),
    )  # fmt: skip
