"""Doing in software what a sender left to hardware: unfinished checksums, segments to be cut.

Whoever puts a header around a packet, or reads its payload, needs it as it will be on the wire: complete, and
cut into segments that fit (`complete`).  Source: virtio 1.2, 5.1.6.2, which says what a sender may leave
undone.
"""

from typing import Final

from trunkline.packet.checksum import checksum, ones_sum, pseudo_header
from trunkline.packet.packet import GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, Offload, Packet

_TCP, _UDP = 6, 17
_VLANS: Final = (b"\x81\0", b"\x88\xa8")
_MPLS: Final = (b"\x88\x47", b"\x88\x48")
_LAST_ONLY: Final = 0x09  # FIN and PSH
_FIRST_ONLY: Final = 0x80  # CWR
_UDP_HEADER: Final = 8


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


def _cut(frame: bytes, offload: Offload, kind: int) -> list[bytes]:
    network, transport = _network_offset(frame), offload.checksum_start
    udp = kind == GSO_UDP_L4
    if len(frame) < transport + (_UDP_HEADER if udp else 20):
        return [frame]
    head = _UDP_HEADER if udp else (frame[transport + 12] >> 4) * 4
    data = frame[transport + head :]
    pieces = [data[at : at + offload.gso_size] for at in range(0, len(data), offload.gso_size)] or [b""]
    frames = []
    for i, piece in enumerate(pieces):
        before = frame[transport : transport + head]
        if not udp:
            before = _tcp_header(before, i * offload.gso_size, i == 0, i == len(pieces) - 1)
        frames.append(_rebuilt(frame[:network], frame[network:transport], before, piece, i, udp))
    return frames


def _tcp_header(header: bytes, offset: int, first: bool, last: bool) -> bytes:
    sequence = int.from_bytes(header[4:8], "big") + offset & 0xFFFFFFFF
    flags = header[13] & ~(0 if last else _LAST_ONLY) & ~(0 if first else _FIRST_ONLY)
    return header[:4] + sequence.to_bytes(4, "big") + header[8:13] + bytes((flags,)) + header[14:]


def _rebuilt(ethernet: bytes, ip: bytes, header: bytes, data: bytes, number: int, udp: bool) -> bytes:
    """One segment, with lengths and checksums of its own."""
    size = len(header) + len(data)
    if ip[0] >> 4 == 4:
        identification = (ip[4] << 8 | ip[5]) + number & 0xFFFF
        ip = ip[:2] + (len(ip) + size).to_bytes(2, "big") + identification.to_bytes(2, "big") + ip[6:]
        ip = ip[:10] + checksum(ip[:10] + bytes(2) + ip[12:]).to_bytes(2, "big") + ip[12:]
        ends = ip[12:16], ip[16:20]
    else:
        ip = ip[:4] + (len(ip) - 40 + size).to_bytes(2, "big") + ip[6:]
        ends = ip[8:24], ip[24:40]
    pseudo = pseudo_header(*ends, _UDP if udp else _TCP, size)
    if udp:
        header = header[:4] + size.to_bytes(2, "big") + bytes(2)
        total = (ones_sum(header + data, pseudo) ^ 0xFFFF) or 0xFFFF
        header = header[:6] + total.to_bytes(2, "big")
    else:
        total = checksum(header[:16] + bytes(2) + header[18:] + data, pseudo)
        header = header[:16] + total.to_bytes(2, "big") + header[18:]
    return ethernet + ip + header + data
