"""From the bytes of an Ethernet frame to its flow key.

A switch asks two things of this: speed, for every packet passes here, and calm, for whoever can send packets
decides about their bytes.  So the shape that nearly all packets have (untagged IPv4 without options, or IPv6
without extension headers, carrying TCP or UDP) is taken apart by one `struct` format and put together by a
few shifts; everything else takes the general path, layer by layer.  Each layer either is there whole and
makes sense, and then its fields are in the key, or it ends the parse, and the key says what was known until
then.  Nothing raises.

The key has the bits of L2 to L4 (regions DATAPATH and RARE of flow/key.py); where the packet came from is
not in the frame.  Sources: IEEE 802.1Q, 802.2 with SNAP, RFC 791, 826, 2236, 3032, 4443, 4861, 8200, 8300,
9260, 9293.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from trunkline.flow.key import FRAG_ANY, FRAG_LATER, OFFSET, VIEW, VLAN_CFI

IPV4: Final = 0x0800
ARP: Final = 0x0806
RARP: Final = 0x8035
VLAN: Final = 0x8100
IPV6: Final = 0x86DD
MPLS: Final = 0x8847
MPLS_MULTICAST: Final = 0x8848
QINQ: Final = 0x88A8
NSH: Final = 0x894F
NO_TYPE: Final = 0x05FF  # dl_type of 802.3 frames that carry no SNAP header
LEAST_TYPE: Final = 0x0600

ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
SCTP: Final = 132

_HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60

_DL_DST = OFFSET["dl_dst"]
_DL_SRC = OFFSET["dl_src"]
_DL_TYPE = OFFSET["dl_type"]
_PROTO = OFFSET["nw_proto"]
_FRAG = OFFSET["nw_frag"]
_TTL = OFFSET["nw_ttl"]
_TOS = OFFSET["nw_tos"]
_SRC = OFFSET["net_src"]
_DST = OFFSET["net_dst"]
_LABEL = OFFSET["ipv6_label"]
_TP_SRC = OFFSET["tp_src"]
_TP_DST = OFFSET["tp_dst"]
_TCP_FLAGS = OFFSET["tcp_flags"]
_TARGET = OFFSET["nd_target"]
_SHA = OFFSET["arp_sha"]
_THA = OFFSET["arp_tha"]
_GROUP = OFFSET["igmp_group"]
_RESERVED = VIEW["nd_reserved"].shift
_OPTION = VIEW["nd_options_type"].shift
_TAGS = (
    (OFFSET["vlan_tci"], OFFSET["vlan_tpid"]),
    (OFFSET["vlan1_tci"], OFFSET["vlan1_tpid"]),
)
_LABELS = (OFFSET["mpls0"], OFFSET["mpls1"], OFFSET["mpls2"])

_Unpack = Callable[[bytes, int], tuple[int, ...]]

# Ethernet, IPv4 without options, and the ports and flags of TCP: 48 bytes
_FAST: Callable[[bytes], tuple[int, ...]] = Struct(">HIHIHBBHHHBBHIIHH8xH").unpack_from
_ETHERNET_IPV4_TCP = 48
_IPV4_TYPE = IPV4 << _DL_TYPE
_TCP4 = IPV4 << _DL_TYPE | TCP << _PROTO
_UDP4 = IPV4 << _DL_TYPE | UDP << _PROTO


def parse(frame: bytes) -> int:
    """The flow key of a frame; what is cut short or makes no sense is left out.

    `frame` starts at the destination MAC.  Never raises, whatever the bytes.
    """
    if len(frame) < _ETHERNET_IPV4_TCP:
        return _ethernet(frame)
    (
        d1,
        d0,
        s1,
        s0,
        kind,
        version,
        tos,
        total,
        _,
        fragment,
        ttl,
        protocol,
        _,
        src,
        dst,
        tp_src,
        tp_dst,
        flags,
    ) = _FAST(frame)
    if kind != IPV4 or version != 0x45 or fragment & 0x3FFF or not 40 <= total <= len(frame) - 14:
        if total == IPV4 and kind in (VLAN, QINQ):
            # One tag, read under the names of what stands there without it: take it off and look again.
            tag = (version << 8 | tos | VLAN_CFI) << _TAGS[0][0] | kind << _TAGS[0][1]
            return parse(frame[:12] + frame[16:]) | tag
        return _ethernet(frame)
    # Two ints of the key's low and high end: shifting and joining is cheaper while they are short.
    if protocol == TCP and 5 <= flags >> 12 <= (total - 20) >> 2:
        low = (flags & 0xFFF) << _TCP_FLAGS | tp_src << _TP_SRC | tp_dst << _TP_DST
        high = _TCP4
    elif protocol == UDP:
        low = tp_src << _TP_SRC | tp_dst << _TP_DST
        high = _UDP4
    else:
        return _ethernet(frame)
    return (
        low
        | (tos << 8 | ttl) << _TTL
        | dst << _DST
        | src << _SRC
        | high
        | (s1 << 32 | s0) << _DL_SRC
        | (d1 << 32 | d0) << _DL_DST
    )


def _ethernet(frame: bytes) -> int:
    if len(frame) < 14:
        return 0
    key = int.from_bytes(frame[:6], "big") << _DL_DST | int.from_bytes(frame[6:12], "big") << _DL_SRC
    at = 12
    for tci_at, tpid_at in _TAGS:
        kind = frame[at] << 8 | frame[at + 1]
        if kind not in (VLAN, QINQ) or len(frame) < at + 6:
            break
        tci = frame[at + 2] << 8 | frame[at + 3] | VLAN_CFI
        key |= tci << tci_at | kind << tpid_at
        at += 4
    kind, at = payload_type(frame, at)
    return key | kind << _DL_TYPE | network(frame, at, kind)


def payload_type(frame: bytes, at: int) -> tuple[int, int]:
    """The type at `at` and where its payload begins; below 0x600 it is a length, then LLC and SNAP follow."""
    kind = frame[at] << 8 | frame[at + 1]
    at += 2
    if kind >= LEAST_TYPE:
        return kind, at
    if len(frame) < at + 8 or frame[at : at + 6] != b"\xaa\xaa\x03\0\0\0":
        return NO_TYPE, at
    kind = frame[at + 6] << 8 | frame[at + 7]
    return (kind if kind >= LEAST_TYPE else NO_TYPE), at + 8


def network(frame: bytes, at: int, kind: int) -> int:
    """The key's bits of what follows the Ethernet type `kind` at `at`, without dl_type itself."""
    if kind == IPV4:
        return _ipv4(frame, at)
    if kind == IPV6:
        return _ipv6(frame, at)
    if kind in (ARP, RARP):
        return _arp(frame, at)
    if kind in (MPLS, MPLS_MULTICAST):
        return _mpls(frame, at)
    if kind == NSH:
        return _nsh(frame, at)
    return 0


def whole_length(frame: bytes) -> int:
    """The bytes of a frame without what pads an IP packet at its end."""
    at = 12
    while len(frame) >= at + 6 and frame[at] << 8 | frame[at + 1] in (VLAN, QINQ):
        at += 4
    if len(frame) < at + 8:
        return len(frame)
    kind, at = payload_type(frame, at)
    if len(frame) < at + 6:
        return len(frame)
    if kind == IPV4:
        length = at + (frame[at + 2] << 8 | frame[at + 3])
    elif kind == IPV6:
        length = at + 40 + (frame[at + 4] << 8 | frame[at + 5])
    else:
        return len(frame)
    return min(length, len(frame))


def _ipv4(frame: bytes, at: int) -> int:
    room = len(frame) - at
    if room < 20:
        return 0
    version, tos, total, _, fragment, ttl, protocol, _, src, dst = _IPV4_HEADER(frame, at)
    header = (version & 15) * 4
    if header < 20 or room < header or not header <= total <= room:
        return 0
    key = src << _SRC | dst << _DST | tos << _TOS | ttl << _TTL | protocol << _PROTO
    if fragment & 0x3FFF:
        if fragment & 0x1FFF:
            return key | (FRAG_ANY | FRAG_LATER) << _FRAG
        key |= FRAG_ANY << _FRAG
    return key | _transport(frame[at + header : at + total], protocol)


_IPV4_HEADER: _Unpack = Struct(">BBHHHBBHII").unpack_from


def _ipv6(frame: bytes, at: int) -> int:
    room = len(frame) - at - 40
    if room < 0:
        return 0
    first, length, following, ttl = _IPV6_HEADER(frame, at)
    if length > room:
        return 0
    key = int.from_bytes(frame[at + 8 : at + 24], "big") << _SRC
    key |= int.from_bytes(frame[at + 24 : at + 40], "big") << _DST
    payload = frame[at + 40 : at + 40 + length]
    extensions = extension_headers(payload, following)
    if extensions is None:
        return key
    protocol, fragment, start = extensions
    key |= (first & 0xFFFFF) << _LABEL | (first >> 20 & 0xFF) << _TOS | ttl << _TTL
    key |= protocol << _PROTO | fragment << _FRAG
    if fragment & FRAG_LATER:
        return key
    return key | _transport(payload[start:], protocol)


_IPV6_HEADER: _Unpack = Struct(">IHBB").unpack_from


def extension_headers(payload: bytes, following: int) -> tuple[int, int, int] | None:
    """(protocol, nw_frag, where its header begins) behind the extension headers; None: cut short."""
    at, fragment = 0, 0
    while following in (_HOP_BY_HOP, ROUTING, _DESTINATION, AUTHENTICATION, FRAGMENT):
        if len(payload) - at < 8:
            return None
        if following == FRAGMENT:
            following_now, bits = payload[at], payload[at + 2] << 8 | payload[at + 3]
            at += 8
            if bits:
                fragment = FRAG_ANY
                if bits & 0xFFF8:
                    return FRAGMENT, FRAG_ANY | FRAG_LATER, at
            following = following_now
            continue
        size = (payload[at + 1] + 2) * 4 if following == AUTHENTICATION else (payload[at + 1] + 1) * 8
        following = payload[at]
        if len(payload) - at < size:
            return None
        at += size
    return following, fragment, at


def _transport(segment: bytes, protocol: int) -> int:
    """What IP carries; each is there only if its whole header is."""
    size = len(segment)
    if protocol == TCP:
        if size < 20 or not 20 <= (segment[12] >> 4) * 4 <= size:
            return 0
        return _ports(segment) | ((segment[12] & 15) << 8 | segment[13]) << _TCP_FLAGS
    if protocol == UDP:
        return _ports(segment) if size >= 8 else 0
    if protocol == SCTP:
        return _ports(segment) if size >= 12 else 0
    if protocol == ICMP:
        return segment[0] << _TP_SRC | segment[1] << _TP_DST if size >= 8 else 0
    if protocol == IGMP:
        if size < 8:
            return 0
        group = int.from_bytes(segment[4:8], "big")
        return segment[0] << _TP_SRC | segment[1] << _TP_DST | group << _GROUP
    if protocol == ICMPV6:
        return _icmpv6(segment)
    return 0


def _ports(segment: bytes) -> int:
    return (segment[0] << 8 | segment[1]) << _TP_SRC | (segment[2] << 8 | segment[3]) << _TP_DST


def _icmpv6(segment: bytes) -> int:
    if len(segment) < 8:
        return 0
    kind, code = segment[0], segment[1]
    key = kind << _TP_SRC | code << _TP_DST
    if code or kind not in (135, 136):
        return key
    return key | _neighbour(segment)


def _neighbour(segment: bytes) -> int:
    """Of a neighbour solicitation or advertisement: target, link-layer addresses (options 1 and 2), the word
    in front of the target (nd_reserved), and which of these options comes first (nd_options_type)."""
    key = int.from_bytes(segment[4:8], "big") << _RESERVED
    if len(segment) < 24:
        return key
    addresses = [0, 0]
    first = 0
    at = 24
    while len(segment) - at >= 8:
        size = segment[at + 1] * 8
        if not size or size > len(segment) - at:
            break
        which = segment[at] - 1
        if size == 8 and which in (0, 1):
            first = first or segment[at]
            if addresses[which]:
                return key | first << _OPTION
            addresses[which] = int.from_bytes(segment[at + 2 : at + 8], "big")
        at += size
    target = int.from_bytes(segment[8:24], "big") << _TARGET
    return key | first << _OPTION | target | addresses[0] << _SHA | addresses[1] << _THA


def _arp(frame: bytes, at: int) -> int:
    if len(frame) - at < 28 or frame[at : at + 6] != b"\0\x01\x08\0\x06\x04":
        return 0
    operation = frame[at + 6] << 8 | frame[at + 7]
    return (
        (operation if operation <= 0xFF else 0) << _PROTO
        | int.from_bytes(frame[at + 8 : at + 14], "big") << _SHA
        | int.from_bytes(frame[at + 14 : at + 18], "big") << _SRC
        | int.from_bytes(frame[at + 18 : at + 24], "big") << _THA
        | int.from_bytes(frame[at + 24 : at + 28], "big") << _DST
    )


def _mpls(frame: bytes, at: int) -> int:
    key = 0
    for offset in _LABELS:
        if len(frame) - at < 4:
            break
        entry = int.from_bytes(frame[at : at + 4], "big")
        key |= entry << offset
        at += 4
        if entry & 0x100:  # bottom of stack
            break
    return key


def _nsh(frame: bytes, at: int) -> int:
    if len(frame) - at < 8:
        return 0
    first, kind, following, path = _NSH_HEADER(frame, at)
    size = (first & 0x3F) * 4
    if first >> 14 or len(frame) - at < size or (kind == 1 and size != 24) or (kind == 2 and size < 8):
        return 0
    fields = (first >> 12 & 3) << 24 | (first >> 6 & 0x3F) << 16 | kind << 8 | following
    key = fields << OFFSET["nsh_np"] | path << OFFSET["nsh_si"]
    if kind == 1:
        key |= int.from_bytes(frame[at + 8 : at + 24], "big") << OFFSET["nsh_c4"]
    return key


_NSH_HEADER: _Unpack = Struct(">HBBI").unpack_from
