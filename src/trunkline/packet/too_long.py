"""Outer packets that are longer than the way lets through: in fragments, or told of to the sender inside.

Without DF an IPv4 packet is cut into fragments (RFC 791, section 3.2), and the other end puts them together.
With it, and over IPv6, the sender of the packet inside is told how long that may be (RFC 1191, 8201), as by
the kernel's own tunnels: the message comes out of the tunnel as if the peer had sent it.
"""

from collections.abc import Iterator
from typing import Final

from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.parse import ICMP, ICMPV6, IPV4, IPV6, QINQ, VLAN

_DF, _MORE, _OFFSET = 0x4000, 0x2000, 0x1FFF
_ETHERNET: Final = 14
_LEAST: Final = {IPV4: 576, IPV6: 1280}  # bytes of a packet that every way is said to let through
_ERRORS: Final = frozenset(
    (3, 4, 5, 11, 12)
)  # messages of ICMP that answer nothing but packets (RFC 1122, 3.2.2)
_QUOTED: Final = {IPV4: 576 - 28, IPV6: 1280 - 48}


def fragments(packet: bytes, room: int, number: int) -> Iterator[bytes]:
    """An IPv4 packet without options, in pieces of at most `room` bytes; `number` is their identification.

    None at all if it must not be cut, or is no IPv4.
    """
    bits = int.from_bytes(packet[6:8], "big")
    step = (room - 20) & ~7
    if packet[0] != 0x45 or bits & (_DF | _MORE | _OFFSET) or step < 8:
        return
    data = packet[20:]
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        more = _MORE if at + step < len(data) else 0
        head = packet[:2] + (20 + len(piece)).to_bytes(2, "big") + number.to_bytes(2, "big")
        head += (at >> 3 | more).to_bytes(2, "big") + packet[8:10] + bytes(2) + packet[12:20]
        yield head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + piece


def told(frame: bytes, outer: int) -> bytes | None:
    """The message to the sender of `frame` (with an Ethernet header, or the place of one) that IP packets may
    be no longer than `outer`, which counts from behind that header.  None: nobody is to be told."""
    at = 12
    while at + 4 <= len(frame) and (kind := int.from_bytes(frame[at : at + 2], "big")) in (VLAN, QINQ):
        at += 4
    if at + 4 > len(frame):
        return None
    at += 2
    room = outer - (at - _ETHERNET)
    ip = frame[at:]
    if kind not in _LEAST or room < _LEAST[kind]:
        return None
    message = _for_ipv4(ip, room) if kind == IPV4 else _for_ipv6(ip, room)
    return None if message is None else frame[6:12] + frame[:6] + frame[12:at] + message


def _for_ipv4(ip: bytes, room: int) -> bytes | None:
    if len(ip) < 20 or ip[0] >> 4 != 4 or int.from_bytes(ip[6:8], "big") != _DF:
        return None
    if ip[9] == ICMP and ip[(ip[0] & 15) * 4 :][:1] in {bytes((kind,)) for kind in _ERRORS}:
        return None
    if ip[12] in (0, 127) or ip[12] >= 224 or ip[16] >= 224:
        return None
    own = bytes((3, 4)) + bytes(4) + room.to_bytes(2, "big") + ip[: _QUOTED[IPV4]]
    own = own[:2] + checksum(own).to_bytes(2, "big") + own[4:]
    head = bytes((0x45, 0)) + (20 + len(own)).to_bytes(2, "big") + b"\0\0\x40\0" + bytes((64, ICMP, 0, 0))
    head += ip[16:20] + ip[12:16]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + own


def _for_ipv6(ip: bytes, room: int) -> bytes | None:
    if len(ip) < 40 or ip[0] >> 4 != 6 or (ip[6] == ICMPV6 and ip[40:41] < b"\x80"):
        return None
    if ip[8] == 0xFF or ip[24] == 0xFF or ip[8:23] == bytes(15):
        return None
    own = bytes((2, 0, 0, 0)) + room.to_bytes(4, "big") + ip[: _QUOTED[IPV6]]
    ends = ip[24:40], ip[8:24]
    total = checksum(own, pseudo_header(*ends, ICMPV6, len(own)))
    own = own[:2] + total.to_bytes(2, "big") + own[4:]
    return b"\x60\0\0\0" + len(own).to_bytes(2, "big") + bytes((ICMPV6, 255)) + ends[0] + ends[1] + own
