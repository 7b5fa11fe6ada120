"""Connection tuples: what names a connection, and how a packet tells which one it belongs to.

A tuple is one direction of a connection inside a zone: addresses, protocol and, by protocol, ports or the
identifier, type and code of an ICMP query.  Its reverse names the packets that answer.  An ICMP error belongs
to the connection of the packet that it quotes: its tuple is the quoted one reversed, and it is *related*.

Only what is whole and right has a tuple: headers that are cut short, wrong checksums, fragments, port 0 and
ICMP types that are neither query, reply nor error have none, and such a packet is invalid.  Sources: RFC 791,
792, 4443, 8200, 9293; ovs-fields(7), ct_state.
"""

from struct import Struct
from typing import Final, NamedTuple

from trunkline.base.addresses import format_ipv4, format_ipv6
from trunkline.packet.checksum import ones_sum, pseudo_header
from trunkline.packet.packet import DATA_VALID, NEEDS_CHECKSUM, Packet
from trunkline.packet.parse import ICMP, ICMPV6, IPV4, IPV6, TCP, UDP, extension_headers, payload_type

REVERSED_TYPE: Final = {
    ICMP: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15},
    ICMPV6: {128: 129, 129: 128},
}
"""By protocol, the types of queries and replies, each with the one that answers it."""
ERRORS: Final = {ICMP: frozenset((3, 4, 5, 11, 12)), ICMPV6: frozenset((1, 2, 3, 4))}
PORTS: Final = frozenset((TCP, UDP))  # SCTP is tracked by its addresses alone, as the original does

_PACK: Final = Struct(">HBB16s16sHH").pack
_ZERO12: Final = bytes(12)
_INNER_PORTS: Final = 8  # bytes of the quoted transport header that every ICMP error carries


class Tuple(NamedTuple):
    """One direction.  `a` and `b`: source and destination port; of ICMP, identifier and type << 8 | code."""

    zone: int
    family: int  # 4 or 6
    protocol: int
    src: bytes  # 4 or 16 bytes
    dst: bytes
    a: int
    b: int

    def reversed(self) -> "Tuple":
        zone, family, protocol, src, dst, a, b = self
        turned = REVERSED_TYPE.get(protocol)
        if turned is not None:
            return Tuple(zone, family, protocol, dst, src, a, turned.get(b >> 8, b >> 8) << 8 | b & 0xFF)
        return Tuple(zone, family, protocol, dst, src, b, a)

    def name(self) -> bytes:
        """As bytes of one length, big-endian: what stores are keyed by (see DESIGN: hash collisions)."""
        zone, family, protocol, src, dst, a, b = self
        if family == 4:
            src, dst = _ZERO12 + src, _ZERO12 + dst
        return _PACK(zone, family, protocol, src, dst, a, b)

    def __str__(self) -> str:
        write = format_ipv4 if self.family == 4 else format_ipv6
        head = f"src={write(int.from_bytes(self.src, 'big'))},dst={write(int.from_bytes(self.dst, 'big'))}"
        if self.protocol in REVERSED_TYPE:
            return f"{head},id={self.a},type={self.b >> 8},code={self.b & 0xFF}"
        return f"{head},sport={self.a},dport={self.b}"


class Extract(NamedTuple):
    """A packet's tuple and where its headers lie, counted from the first byte of the frame."""

    tuple: Tuple
    related: bool
    network: int  # the IP header
    transport: int
    end: int  # behind the last byte of the IP packet
    inner_network: int = 0  # of related packets: the quoted IP header and what it carries
    inner_transport: int = 0


def network_of(frame: bytes) -> tuple[int, int]:
    """(Ethernet type behind up to two tags, where its payload begins)."""
    at = 12
    for _ in range(2):
        if len(frame) < at + 6 or frame[at : at + 2] not in (b"\x81\0", b"\x88\xa8"):
            break
        at += 4
    if len(frame) < at + 2:
        return 0, at
    return payload_type(frame, at)


def extract(packet: Packet, zone: int) -> Extract | None:
    """The tuple of a packet, or None: it is invalid."""
    frame = packet.frame
    kind, at = network_of(frame)
    trusted = packet.offload is not None and bool(packet.offload.flags & (NEEDS_CHECKSUM | DATA_VALID))
    if kind == IPV4:
        return _extract_ipv4(frame, at, zone, trusted)
    if kind == IPV6:
        return _extract_ipv6(frame, at, zone, trusted)
    return None


def _extract_ipv4(frame: bytes, at: int, zone: int, trusted: bool) -> Extract | None:
    room = len(frame) - at
    if room < 20:
        return None
    size = (frame[at] & 15) * 4
    total = frame[at + 2] << 8 | frame[at + 3]
    if size < 20 or not size <= total <= room or (frame[at + 6] << 8 | frame[at + 7]) & 0x3FFF:
        return None
    if ones_sum(frame[at : at + size]) != 0xFFFF:
        return None
    protocol, src, dst = frame[at + 9], frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    return _extract_transport(
        frame, at, at + size, at + total, Tuple(zone, 4, protocol, src, dst, 0, 0), trusted
    )


def _extract_ipv6(frame: bytes, at: int, zone: int, trusted: bool) -> Extract | None:
    room = len(frame) - at - 40
    if room < 0:
        return None
    length = frame[at + 4] << 8 | frame[at + 5]
    if length > room:
        return None
    end = at + 40 + length
    extensions = extension_headers(frame[at + 40 : end], frame[at + 6])
    if extensions is None or extensions[1]:
        return None
    protocol, _, start = extensions
    bare = Tuple(zone, 6, protocol, frame[at + 8 : at + 24], frame[at + 24 : at + 40], 0, 0)
    return _extract_transport(frame, at, at + 40 + start, end, bare, trusted)


def _extract_transport(
    frame: bytes, network: int, at: int, end: int, bare: Tuple, trusted: bool
) -> Extract | None:
    """Fills `bare` in from the header at `at`."""
    segment = frame[at:end]
    protocol = bare.protocol
    if protocol in REVERSED_TYPE and (protocol == ICMP) == (bare.family == 4):
        if len(segment) < 8 or not (trusted or _sound(segment, bare, protocol == ICMPV6)):
            return None
        if segment[0] in ERRORS[protocol]:
            return _extract_error(frame, network, at, end, bare)
        found = _ports(segment, bare)
        return None if found is None else Extract(found, False, network, at, end)
    if protocol == TCP:
        size = len(segment)
        if size < 20 or not 20 <= (segment[12] >> 4) * 4 <= size:
            return None
        if not (trusted or _sound(segment, bare, True)):
            return None
    elif protocol == UDP:
        if len(segment) < 8 or not 8 <= (segment[4] << 8 | segment[5]) <= len(segment):
            return None
        if segment[6:8] != b"\0\0" and not (trusted or _sound(segment, bare, True)):
            return None
    found = _ports(segment, bare)
    return None if found is None else Extract(found, False, network, at, end)


def _sound(segment: bytes, bare: Tuple, pseudo: bool) -> bool:
    start = pseudo_header(bare.src, bare.dst, bare.protocol, len(segment)) if pseudo else 0
    return ones_sum(segment, start) == 0xFFFF


def _ports(segment: bytes, bare: Tuple) -> Tuple | None:
    """The tuple with ports, or identifier and type, from the first eight bytes of what IP carries."""
    protocol = bare.protocol
    if protocol in PORTS:
        if len(segment) < _INNER_PORTS:
            return None
        a, b = segment[0] << 8 | segment[1], segment[2] << 8 | segment[3]
        return bare._replace(a=a, b=b) if a and b else None
    if protocol in REVERSED_TYPE and (protocol == ICMP) == (bare.family == 4):
        if len(segment) < 8 or segment[0] not in REVERSED_TYPE[protocol] or segment[1]:
            return None
        return bare._replace(a=segment[4] << 8 | segment[5], b=segment[0] << 8)
    return bare


def _extract_error(frame: bytes, network: int, at: int, end: int, outer: Tuple) -> Extract | None:
    """The connection of the packet that an ICMP error quotes, in the direction of the error."""
    inner = at + 8
    if outer.family == 4:
        if end - inner < 20:
            return None
        size = (frame[inner] & 15) * 4
        if not 20 <= size <= end - inner or (frame[inner + 6] << 8 | frame[inner + 7]) & 0x3FFF:
            return None
        protocol, start = frame[inner + 9], inner + size
        src, dst = frame[inner + 12 : inner + 16], frame[inner + 16 : inner + 20]
    else:
        if end - inner < 40:
            return None
        extensions = extension_headers(frame[inner + 40 : end], frame[inner + 6])
        if extensions is None or extensions[1]:
            return None
        protocol, start = extensions[0], inner + 40 + extensions[2]
        src, dst = frame[inner + 8 : inner + 24], frame[inner + 24 : inner + 40]
    if src != outer.dst:
        return None  # it answers somebody else
    if protocol == TCP and outer.family == 6 and end - start < 20:
        return None  # ICMPv6 quotes as much as fits, so a TCP header is whole (RFC 4443, 3)
    quoted = _ports(frame[start:end], outer._replace(protocol=protocol, src=src, dst=dst))
    if quoted is None:
        return None
    return Extract(quoted.reversed(), True, network, at, end, inner, start)
