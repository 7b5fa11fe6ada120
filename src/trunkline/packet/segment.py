"""Doing in software what a sender left to hardware: unfinished checksums, segments to be cut.

Whoever puts a header around a packet, or reads its payload, needs it as it will be on the wire: complete, and
cut into segments that fit (`complete`).  Source: virtio 1.2, 5.1.6.2, which says what a sender may leave
undone.

What is to be cut may lie in a tunnel already: a kernel puts headers around a large segment, and leaves the
work on these to hardware as well.  A virtio-net header does not say so.  It shows, for the transport header
to be cut at is not the one behind the first IP header (`is_inside_tunnel`).
"""

from typing import Final

from trunkline.model.tunnels import GRE, TCP, UDP
from trunkline.packet.checksum import checksum, ones_sum, pseudo_header
from trunkline.packet.packet import GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, Offload, Packet

_VLANS: Final = (b"\x81\0", b"\x88\xa8")
_MPLS: Final = (b"\x88\x47", b"\x88\x48")
_LAST_ONLY: Final = 0x09  # FIN and PSH
_FIRST_ONLY: Final = 0x80  # CWR
_UDP_HEADER: Final = 8
_GRE_SUMMED: Final = 0x80
_IP_SIZES: Final[tuple[int, ...]] = (20, 40, *range(24, 64, 4))  # the usual ones first
_INSIDE: Final = 14 + 20 + 4 + 20
"""Where the transport header of a packet in a tunnel lies at least: behind Ethernet, IP, GRE and IP."""


def complete(packet: Packet) -> list[bytes]:
    """The frames that the packet stands for, in order; nothing is left to do on them."""
    offload = packet.offload
    if offload is None:
        return [packet.frame]
    kind = offload.gso_type & ~GSO_ECN
    if kind in (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4) and offload.gso_size:
        return _cut(packet.frame, offload, kind)
    return [_summed(packet.frame, offload)]


def _summed(frame: bytes, offload: Offload) -> bytes:
    start, at = offload.checksum_start, offload.checksum_start + offload.checksum_offset
    if not offload.flags & NEEDS_CHECKSUM or at + 2 > len(frame):
        return frame
    total = checksum(frame[start:])  # what stands in the field is the sum of the pseudo header
    return frame[:at] + (total or 0xFFFF).to_bytes(2, "big") + frame[at + 2 :]


def _network_offset(frame: bytes) -> int:
    at = 12
    while frame[at : at + 2] in _VLANS:
        at += 4
    labelled = frame[at : at + 2] in _MPLS
    at += 2
    while labelled and at + 4 <= len(frame):
        labelled = not frame[at + 2] & 1  # the last one says so
        at += 4
    return at


def _inner_network(frame: bytes, network: int, transport: int, protocol: int) -> int:
    """Where the IP header lies that the transport header at `transport` follows: `network`, or in a tunnel.

    The header of a tunnel may have any length; that of IP says how long the rest of the frame is.
    """
    own = _ip_size(frame, network)
    if not own:
        return network
    for size in _IP_SIZES:
        at = transport - size
        if at >= network + own and _ip_size(frame, at) == size and fits(frame, at, protocol):
            return at
    return network


def fits(frame: bytes, at: int, protocol: int) -> bool:
    """Whether there is an IP header that has that protocol, and a length up to the end of the frame."""
    if frame[at] >> 4 == 6:
        return frame[at + 6] == protocol and _half(frame, at + 4) == len(frame) - at - 40
    if not 0x45 <= frame[at] <= 0x4F:
        return False
    return frame[at + 9] == protocol and _half(frame, at + 2) == len(frame) - at


def _ip_size(frame: bytes, at: int) -> int:
    """The length of the IP header there, 0 if there is none."""
    version, words = frame[at] >> 4, frame[at] & 15
    return 40 if version == 6 else words * 4 if version == 4 and words >= 5 else 0


def is_inside_tunnel(packet: Packet) -> bool:
    """Whether a large segment has the headers of a tunnel around it: no virtio-net header can say that."""
    frame, offload = packet
    if offload is None or offload.checksum_start < _INSIDE or not offload.gso_type:
        return False
    network = _network_offset(frame)
    protocol = UDP if offload.gso_type == GSO_UDP_L4 else TCP
    return _inner_network(frame, network, offload.checksum_start, protocol) != network


def _half(frame: bytes, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]


def _cut(frame: bytes, offload: Offload, kind: int) -> list[bytes]:
    outside, transport = _network_offset(frame), offload.checksum_start
    udp = kind == GSO_UDP_L4
    if len(frame) < transport + (_UDP_HEADER if udp else 20):
        return [frame]
    network = outside
    if transport >= _INSIDE:
        network = _inner_network(frame, outside, transport, UDP if udp else TCP)
    head = _UDP_HEADER if udp else (frame[transport + 12] >> 4) * 4
    data = frame[transport + head :]
    pieces = [data[at : at + offload.gso_size] for at in range(0, len(data), offload.gso_size)] or [b""]
    frames = []
    for i, piece in enumerate(pieces):
        before = frame[transport : transport + head]
        if not udp:
            before = _tcp_header(before, i * offload.gso_size, i == 0, i == len(pieces) - 1)
        segment = _rebuilt(frame[network:transport], before, piece, i, udp)
        if network != outside:
            segment = _tunneled(frame[outside:network], segment, i)
        frames.append(frame[:outside] + segment)
    return frames


def _tcp_header(header: bytes, offset: int, first: bool, last: bool) -> bytes:
    sequence = int.from_bytes(header[4:8], "big") + offset & 0xFFFFFFFF
    flags = header[13] & ~(0 if last else _LAST_ONLY) & ~(0 if first else _FIRST_ONLY)
    return header[:4] + sequence.to_bytes(4, "big") + header[8:13] + bytes((flags,)) + header[14:]


def _ip(ip: bytes, size: int, number: int) -> tuple[bytes, tuple[bytes, bytes]]:
    """The IP header of the segment with that number, which has `size` bytes behind it; and its ends."""
    if ip[0] >> 4 == 4:
        identification = _half(ip, 4) + number & 0xFFFF
        ip = ip[:2] + (len(ip) + size).to_bytes(2, "big") + identification.to_bytes(2, "big") + ip[6:]
        ip = ip[:10] + checksum(ip[:10] + bytes(2) + ip[12:]).to_bytes(2, "big") + ip[12:]
        return ip, (ip[12:16], ip[16:20])
    return ip[:4] + (len(ip) - 40 + size).to_bytes(2, "big") + ip[6:], (ip[8:24], ip[24:40])


def _rebuilt(ip: bytes, header: bytes, data: bytes, number: int, udp: bool) -> bytes:
    """One segment, with lengths and checksums of its own."""
    size = len(header) + len(data)
    ip, ends = _ip(ip, size, number)
    if udp:
        return ip + _udp(header[:4], data, ends, summed=True)
    pseudo = pseudo_header(*ends, TCP, size)
    total = checksum(header[:16] + bytes(2) + header[18:] + data, pseudo)
    return ip + header[:16] + total.to_bytes(2, "big") + header[18:] + data


def _udp(ports: bytes, data: bytes, ends: tuple[bytes, bytes], *, summed: bool) -> bytes:
    size = _UDP_HEADER + len(data)
    header = ports + size.to_bytes(2, "big") + bytes(2)
    total = 0
    if summed:
        total = (ones_sum(header + data, pseudo_header(*ends, UDP, size)) ^ 0xFFFF) or 0xFFFF
    return header[:6] + total.to_bytes(2, "big") + data


def _tunneled(outside: bytes, inside: bytes, number: int) -> bytes:
    """A segment in a tunnel, whose headers from IP on are `outside`, but for lengths and checksums."""
    four = outside[0] >> 4 == 4
    size = (outside[0] & 15) * 4 if four else 40
    protocol, own = outside[9 if four else 6], outside[size:]
    ip, ends = _ip(outside[:size], len(own) + len(inside), number)
    if protocol == UDP and len(own) >= _UDP_HEADER:
        return ip + _udp(own[:4], own[_UDP_HEADER:] + inside, ends, summed=own[6:8] != bytes(2))
    if protocol == GRE and len(own) >= _UDP_HEADER and own[0] & _GRE_SUMMED:
        total = checksum(own[:4] + bytes(2) + own[6:] + inside)
        return ip + own[:4] + total.to_bytes(2, "big") + own[6:] + inside
    return ip + own + inside
