"""IPv4 and IPv6 packets with right checksums, for tests of connection tracking."""

import ipaddress
import struct

from trunkline.packet.checksum import checksum, pseudo_header

A, B = bytes.fromhex("50540000000a"), bytes.fromhex("50540000000b")
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def ip(src: str, dst: str, protocol: int, body: bytes, *, fragment: int = 0, ident: int = 1) -> bytes:
    """A frame; `fragment` is the field of flags and offset."""
    source, target = address(src), address(dst)
    if len(source) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident, fragment, 64, protocol, 0)
        total = checksum(head + source + target)
        return B + A + b"\x08\0" + head[:10] + total.to_bytes(2, "big") + source + target + body
    if fragment:
        extension = struct.pack("!BBHI", protocol, 0, (fragment & 0x1FFF) << 3 | (fragment >> 13 & 1), ident)
        protocol, body = 44, extension + body
    return B + A + struct.pack("!HIHBB", 0x86DD, 6 << 28, len(body), protocol, 64) + source + target + body


def summed(src: str, dst: str, protocol: int, segment: bytes, at: int) -> bytes:
    """The segment with its checksum, `at` bytes from its start."""
    start = 0 if protocol == 1 else pseudo_header(address(src), address(dst), protocol, len(segment))
    total = checksum(segment, start)
    if protocol == 17 and not total:
        total = 0xFFFF
    return segment[:at] + total.to_bytes(2, "big") + segment[at + 2 :]


def tcp_segment(
    src: str,
    dst: str,
    ports: tuple[int, int],
    sequence: int,
    acknowledgement: int,
    flags: int,
    window: int = 1000,
    data: bytes = b"",
    options: bytes = b"",
) -> bytes:
    head = struct.pack(
        "!HHIIHHHH",
        *ports,
        sequence & 0xFFFFFFFF,
        acknowledgement & 0xFFFFFFFF,
        5 + len(options) // 4 << 12 | flags,
        window,
        0,
        0,
    )
    return summed(src, dst, 6, head + options + data, 16)


def tcp(
    src: str, dst: str, ports: tuple[int, int], *more: int, data: bytes = b"", options: bytes = b""
) -> bytes:
    return ip(src, dst, 6, tcp_segment(src, dst, ports, *more, data=data, options=options))


def udp_segment(src: str, dst: str, ports: tuple[int, int], data: bytes = b"") -> bytes:
    return summed(src, dst, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, 6)


def udp(src: str, dst: str, ports: tuple[int, int], data: bytes = b"") -> bytes:
    return ip(src, dst, 17, udp_segment(src, dst, ports, data))


def icmp(src: str, dst: str, kind: int, code: int, rest: int, data: bytes = b"") -> bytes:
    """ICMP or ICMPv6; `rest` is the second word of the header."""
    protocol = 1 if len(address(src)) == 4 else 58
    message = struct.pack("!BBHI", kind, code, 0, rest) + data
    return ip(src, dst, protocol, summed(src, dst, protocol, message, 2))
