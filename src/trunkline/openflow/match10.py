"""The fixed match of OpenFlow 1.0: forty bytes and a word of wildcard bits.

It knows exact values, and prefixes for IPv4 addresses.  What a match says beyond that cannot be carried; the
tools choose another flow format then, see `expressible`.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

from trunkline.flow.key import MASK, VIEW
from trunkline.flow.match import Match, ethernet_type, exact_value, kind, normalize

MATCH: Final = Struct("!IH6s6sHBxHBB2xIIHH")
_IN_PORT, _VLAN, _SRC, _DST, _TYPE, _PROTOCOL, _TP_SRC, _TP_DST = (1 << bit for bit in range(8))
_NW_SRC_SHIFT, _NW_DST_SHIFT = 8, 14
_PCP, _TOS = 1 << 20, 1 << 21
_NO_VLAN: Final = 0xFFFF
_CFI: Final = 0x1000
_ETHERNET: Final = MASK["dl_src"] | MASK["dl_dst"] | MASK["dl_type"] | MASK["vlan_tci"]
_EXPRESSIBLE: Final = (
    _ETHERNET
    | MASK["in_port"]
    | MASK["packet_type"]
    | MASK["nw_proto"]
    | MASK["nw_src"]
    | MASK["nw_dst"]
    | MASK["ip_dscp"]
    | MASK["tp_src"]
    | MASK["tp_dst"]
)


_AT_PORT, _AT_SRC, _AT_DST, _AT_TYPE, _AT_TCI, _AT_TOS, _AT_PROTOCOL = (
    VIEW[name].shift for name in ("in_port", "dl_src", "dl_dst", "dl_type", "vlan_tci", "nw_tos", "nw_proto")
)
_AT_NW_SRC, _AT_NW_DST, _AT_TP_SRC, _AT_TP_DST = (
    VIEW[name].shift for name in ("nw_src", "nw_dst", "tp_src", "tp_dst")
)


def _prefix(wildcards: int) -> int:
    return 0xFFFFFFFF << min(wildcards, 32) & 0xFFFFFFFF


def decode(data: bytes, position: int = 0) -> Match:
    """The match at `position`, normalized as the original does it.

    Every field goes into the value, and the mask, which few tables have many of, takes out those that do not
    count.
    """
    wild, port, src, dst, vid, pcp, kind, tos, protocol, nw_src, nw_dst, tp_src, tp_dst = MATCH.unpack_from(
        data, position
    )
    untagged = vid == _NO_VLAN and not wild & _VLAN
    narrow = not wild & _PROTOCOL and protocol == (1 if kind == 0x0800 else 58)
    mask = _mask(wild, untagged, narrow)
    tci = 0 if untagged else vid & 0xFFF | (pcp & 7) << 13 | _CFI
    value = (  # the lowest first, for that keeps the numbers short
        port << _AT_PORT
        | tp_dst << _AT_TP_DST
        | tp_src << _AT_TP_SRC
        | tos << _AT_TOS
        | nw_dst << _AT_NW_DST
        | nw_src << _AT_NW_SRC
        | protocol << _AT_PROTOCOL
        | kind << _AT_TYPE
        | int.from_bytes(src, "big") << _AT_SRC
        | tci << _AT_TCI
        | int.from_bytes(dst, "big") << _AT_DST
    )
    return normalize(Match(value & mask, mask))


@lru_cache(maxsize=1024)
def _mask(wild: int, untagged: bool, narrow: bool) -> int:
    """The bits of a key that a match with these wildcards is about.

    `untagged`: it says that there is no tag; `narrow`: ICMP's type and code, one byte each, stand for ports.
    """
    mask = 0
    ports = 0xFF if narrow else 0xFFFF
    for bit, shift, ones in (
        (_IN_PORT, _AT_PORT, 0xFFFF),
        (_SRC, _AT_SRC, 0xFFFFFFFFFFFF),
        (_DST, _AT_DST, 0xFFFFFFFFFFFF),
        (_TYPE, _AT_TYPE, 0xFFFF),
        (_PROTOCOL, _AT_PROTOCOL, 0xFF),
        (_TOS, _AT_TOS, 0xFC),
        (_TP_SRC, _AT_TP_SRC, ports),
        (_TP_DST, _AT_TP_DST, ports),
    ):
        if not wild & bit:
            mask |= ones << shift
    if untagged:
        mask |= 0xFFFF << _AT_TCI
    elif not wild & _VLAN or not wild & _PCP:
        mask |= ((0 if wild & _VLAN else 0xFFF) | (0 if wild & _PCP else 0xE000) | _CFI) << _AT_TCI
    mask |= _prefix(wild >> _NW_SRC_SHIFT & 0x3F) << _AT_NW_SRC
    mask |= _prefix(wild >> _NW_DST_SHIFT & 0x3F) << _AT_NW_DST
    if mask & _ETHERNET:
        mask |= MASK["packet_type"]
    return mask


def encode(match: Match) -> bytes:
    """What 1.0 can say of `match`."""
    value, mask = match.value, match.mask
    wild = 0

    def exact(name: str, bit: int) -> int:
        nonlocal wild
        shift, ones, place = VIEW[name]
        if mask & place != place:
            wild |= bit
            return 0
        return value >> shift & ones

    def address(name: str, shift: int) -> int:
        nonlocal wild
        view = VIEW[name]
        part = mask >> view.shift & 0xFFFFFFFF
        wild |= 32 - part.bit_count() << shift
        return value >> view.shift & part

    port = exact("in_port", _IN_PORT)
    src, dst = exact("dl_src", _SRC), exact("dl_dst", _DST)
    kind = exact("dl_type", _TYPE)
    tci, tci_mask = value >> VIEW["vlan_tci"].shift & 0xFFFF, mask >> VIEW["vlan_tci"].shift & 0xFFFF
    vid = pcp = 0
    if tci_mask == 0:
        wild |= _VLAN | _PCP
    elif not tci & _CFI and tci_mask & _CFI:
        vid = _NO_VLAN
        wild |= _PCP if tci_mask == 0x1FFF else 0
    else:
        vid, pcp = tci & 0xFFF, tci >> 13
        wild |= (0 if tci_mask & 0xFFF == 0xFFF else _VLAN) | (0 if tci_mask & 0xE000 == 0xE000 else _PCP)
    family = ethernet_type(match)
    ip = family in (0x0800, 0x86DD)
    protocol = exact("nw_proto", _PROTOCOL)
    if not ip and family not in (0x0806, 0x8035):
        wild |= _PROTOCOL
    tos = exact("ip_dscp", _TOS) << 2
    if family == 0x86DD:
        nw_src = nw_dst = 0
        wild |= 32 << _NW_SRC_SHIFT | 32 << _NW_DST_SHIFT
    else:
        nw_src, nw_dst = address("nw_src", _NW_SRC_SHIFT), address("nw_dst", _NW_DST_SHIFT)
    narrow = exact_value(match, "nw_proto") in (1, 58)
    tp_src = exact("icmp_type" if narrow else "tp_src", _TP_SRC)
    tp_dst = exact("icmp_code" if narrow else "tp_dst", _TP_DST)
    macs = src.to_bytes(6, "big"), dst.to_bytes(6, "big")
    return MATCH.pack(wild, port, *macs, vid, pcp, kind, tos, protocol, nw_src, nw_dst, tp_src, tp_dst)


_IP_FIELDS: Final = (
    MASK["nw_src"] | MASK["nw_dst"] | MASK["nw_proto"] | MASK["nw_tos"] | MASK["tp_src"] | MASK["tp_dst"]
)


def expressible(match: Match) -> bool:
    """Whether the fixed match says all of `match`: exact values, and prefixes of IPv4 addresses."""
    return not match.options and not match.mask & ~_EXPRESSIBLE and _expressible(kind(match), match.mask)


@lru_cache(maxsize=1024)
def _expressible(match: Match, mask: int) -> bool:
    """For a match of this kind (flow/match.py) under `mask`; tables hold few of either."""
    family = ethernet_type(match)
    if family == 0x86DD and mask & _IP_FIELDS:
        return False
    for name in ("dl_src", "dl_dst"):
        if mask & MASK[name] not in (0, MASK[name]):
            return False
    for name in ("nw_src", "nw_dst"):
        view = VIEW[name]
        part = ~(mask >> view.shift) & 0xFFFFFFFF
        if part & part + 1:
            return False
    narrow = exact_value(match, "nw_proto") in (1, 58)
    for name, small in (("tp_src", "icmp_type"), ("tp_dst", "icmp_code")):
        whole = MASK[small] if narrow else MASK[name]
        if mask & MASK[name] not in (0, whole):
            return False
    tci = mask >> VIEW["vlan_tci"].shift & 0xFFFF
    return tci in (0, 0xFFFF, 0x1FFF, 0xF000)
