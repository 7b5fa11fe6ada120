"""Messages of IGMP and MLD, and multicast packets, as frames."""

import struct
from collections.abc import Sequence
from ipaddress import ip_address

from trunkline.packet.checksum import checksum, pseudo_header


def igmp(kind: int, group: str = "0.0.0.0", *, intact: bool = True) -> bytes:
    return _summed(struct.pack("!BBH", kind, 0, 0) + ip_address(group).packed, intact=intact)


def igmp3(records: Sequence[bytes], *, intact: bool = True) -> bytes:
    return _summed(struct.pack("!BBHHH", 0x22, 0, 0, 0, len(records)) + b"".join(records), intact=intact)


def record(kind: int, group: str, sources: Sequence[str] = ()) -> bytes:
    """Of IGMPv3 or MLDv2, as the group is."""
    addresses = b"".join(ip_address(source).packed for source in sources)
    return struct.pack("!BBH", kind, 0, len(sources)) + ip_address(group).packed + addresses


def mld(kind: int, group: str, to: str, source: str = "fe80::1", *, intact: bool = True) -> bytes:
    """The IPv6 packet."""
    body = struct.pack("!HH", 0, 0) + ip_address(group).packed
    return _icmpv6(kind, body, to, source, intact=intact)


def mld2(records: Sequence[bytes], source: str = "fe80::1", *, intact: bool = True) -> bytes:
    """The IPv6 packet."""
    return _icmpv6(
        143, struct.pack("!HH", 0, len(records)) + b"".join(records), "ff02::16", source, intact=intact
    )


def _icmpv6(kind: int, body: bytes, to: str, source: str, *, intact: bool) -> bytes:
    message = struct.pack("!BBH", kind, 0, 0) + body
    addresses = ip_address(source).packed, ip_address(to).packed
    message = _summed(message, pseudo_header(*addresses, 58, len(message)), intact=intact)
    return ipv6(0, to, b"\x3a\x00\x05\x02\x00\x00\x01\x00" + message, source)


def _summed(message: bytes, start: int = 0, *, intact: bool) -> bytes:
    found = checksum(message, start) ^ (0 if intact else 0x5555)
    return message[:2] + found.to_bytes(2, "big") + message[4:]


def ipv4(protocol: int, to: str, payload: bytes, source: str = "10.0.0.1") -> bytes:
    addresses = ip_address(source).packed + ip_address(to).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 1, protocol, 0) + addresses
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def ipv6(protocol: int, to: str, payload: bytes, source: str = "fe80::1") -> bytes:
    addresses = ip_address(source).packed + ip_address(to).packed
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 1) + addresses + payload


def data(group: str) -> bytes:
    """A UDP packet to a group."""
    datagram = struct.pack("!HHHH", 1, 2, 8, 0)
    return ipv6(17, group, datagram) if ":" in group else ipv4(17, group, datagram, "10.0.0.9")


def framed(packet: bytes, sender: int = 1, vlan: int | None = None) -> bytes:
    """To the group's own MAC address."""
    is_ipv6 = packet[0] >> 4 == 6
    to = (
        b"\x33\x33" + packet[36:40]
        if is_ipv6
        else b"\x01\x00\x5e" + bytes((packet[17] & 0x7F, *packet[18:20]))
    )
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    kind = b"\x86\xdd" if is_ipv6 else b"\x08\x00"
    return (to + bytes.fromhex("5054000000") + bytes((sender,)) + tag + kind + packet).ljust(60, b"\0")
