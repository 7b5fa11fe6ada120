"""What a sender has left to hardware, told from the bytes of a packet alone.

On some ways nobody says it: the kernel does not tell a program that a checksum is unfinished, and a socket to
which a tunnel's packets come gets what lies inside as it is.  But it shows, for then the checksum field holds
the sum of the pseudo header and nothing else.  (One finished checksum in 65,536 looks like that; finishing it
again gives the same.)  In a tunnel it is the packet inside that is unfinished, whose outer checksum, if there
is one, is right already.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from trunkline.model.tunnels import GRE, TUNNEL_TYPES
from trunkline.packet.packet import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, Offload
from trunkline.packet.parse import IPV4, IPV6, QINQ, TCP, UDP, VLAN, extension_headers
from trunkline.packet.segment import fits

_CHECKSUM_AT: Final = {TCP: 16, UDP: 6}
_TUNNEL_PORTS: Final = frozenset(
    row.port for row in TUNNEL_TYPES.values() if row.protocol == UDP and row.port
)
_INSIDE: Final = 8 + 8 + 252 + 14 + 2  # UDP, Geneve with all its options, Ethernet: IP begins before that

_PLAIN: Final = Struct(">12xHBxH2xHxB2x4H2xH").unpack_from
"""Of a frame with Ethernet and IPv4: the type, the version and header's length, the whole length, fragment,
protocol, addresses as halves of words; and the port that it goes to, if it has ports."""
_PLAIN_END: Final = 38
_ALONE: Final = 0x45  # IPv4, without options
_FRAGMENT: Final = 0x3FFF
_TRANSPORT: Final = 34  # where what a plain header carries begins
_LEFT: Final = {
    protocol: Offload(NEEDS_CHECKSUM, 0, 0, 0, _TRANSPORT, at) for protocol, at in _CHECKSUM_AT.items()
}

_USUAL: Final = 1518
_SEGMENT: Final = 1200  # with all headers no longer than what IPv6 asks of every way, 1,280


class _Layer(NamedTuple):
    """What IP carries: its protocol, where it begins, how long it is; `addresses` from IP's header."""

    version: int
    protocol: int
    start: int
    size: int
    addresses: bytes


def unfinished(frame: bytes, gso_size: int = 0) -> Offload | None:
    """What is left to do on `frame`, which may begin with the place of an Ethernet header only.

    `gso_size`: the payload of one segment, where it is known that the frame is a large one.
    """
    if not gso_size and len(frame) >= _PLAIN_END:  # most frames are told at once
        kind, first, length, fragment, protocol, a, b, c, d, to = _PLAIN(frame)
        if kind == IPV4 and first == _ALONE and protocol in _LEFT and not fragment & _FRAGMENT:
            left = _LEFT[protocol]
            field = _TRANSPORT + left.checksum_offset
            if length >= 28 and field + 2 <= len(frame):
                total = a + b + c + d + protocol + length - 20
                total = (total & 0xFFFF) + (total >> 16)
                if frame[field] << 8 | frame[field + 1] == (total & 0xFFFF) + (total >> 16):
                    return left
            if protocol == TCP or to not in _TUNNEL_PORTS:
                return None
    at = 12
    while at + 4 <= len(frame) and (kind := frame[at] << 8 | frame[at + 1]) in (VLAN, QINQ):
        at += 4
    if at + 4 > len(frame) or kind not in (IPV4, IPV6):
        return None
    layer = _layer(frame, at + 2)
    if layer is None:
        return None
    return _large(frame, layer, gso_size) if gso_size else _small(frame, layer)


def unfinished_of_any_size(frame: bytes) -> Offload | None:
    """The same where nobody says whether the frame is a large segment: it is one if it is longer than packets
    usually are.  Then its sender's size of segments is unknown, and a small one taken."""
    offload = unfinished(frame)
    if offload is None or len(frame) <= _USUAL or offload.checksum_offset != _CHECKSUM_AT[TCP]:
        return offload
    return unfinished(frame, _SEGMENT)


def _small(frame: bytes, layer: _Layer) -> Offload | None:
    offset = _CHECKSUM_AT.get(layer.protocol)
    if offset is not None and _has_only_pseudo(frame, layer, layer.start + offset):
        return Offload(NEEDS_CHECKSUM, 0, 0, 0, layer.start, offset)
    if layer.protocol == UDP and _half(frame, layer.start + 2) not in _TUNNEL_PORTS:
        return None
    for inner in _inside(frame, layer):
        return _small(frame, inner)
    return None


def _large(frame: bytes, layer: _Layer, gso_size: int) -> Offload | None:
    for inner in _inside(frame, layer):
        return _large(frame, inner, gso_size)
    start = layer.start
    offset = _CHECKSUM_AT.get(layer.protocol)
    if offset is None or start + offset + 2 > len(frame):
        return None
    if layer.protocol == UDP:
        return Offload(NEEDS_CHECKSUM, GSO_UDP_L4, start + 8, gso_size, start, offset)
    kind, header = GSO_TCPV4 if layer.version == 4 else GSO_TCPV6, start + (frame[start + 12] >> 4) * 4
    return Offload(NEEDS_CHECKSUM, kind, header, gso_size, start, offset)


def _layer(frame: bytes, at: int) -> _Layer | None:
    """What the IP header there says; None if there is none, or of a fragment."""
    version = frame[at] >> 4
    if version == 4 and len(frame) >= at + 20:
        if _half(frame, at + 6) & 0x3FFF:
            return None
        size = (frame[at] & 15) * 4
        return _Layer(4, frame[at + 9], at + size, _half(frame, at + 2) - size, frame[at + 12 : at + 20])
    if version != 6 or len(frame) < at + 40:
        return None
    extensions = extension_headers(frame[at + 40 :], frame[at + 6])
    if extensions is None or extensions[1]:
        return None
    protocol, _, skipped = extensions
    return _Layer(
        6, protocol, at + 40 + skipped, _half(frame, at + 4) - skipped, frame[at + 8 : at + 40]
    )  # fmt: skip


def _inside(frame: bytes, layer: _Layer) -> Iterator[_Layer]:
    """The packet in a tunnel, at most one: with an IP header whose length goes to the end of the frame."""
    if layer.protocol not in (UDP, GRE):
        return
    for at in range(layer.start + 4, min(layer.start + _INSIDE, len(frame) - 27), 2):
        if any(fits(frame, at, protocol) for protocol in (TCP, UDP)):
            found = _layer(frame, at)
            if found is not None and found.start < len(frame):
                yield found
                return


def _has_only_pseudo(frame: bytes, layer: _Layer, field: int) -> bool:
    """Whether a checksum field holds the sum of the pseudo header."""
    if layer.size < 8 or field + 2 > len(frame):
        return False
    words: tuple[int, ...] = Struct(f">{len(layer.addresses) // 2}H").unpack(layer.addresses)
    total = sum(words) + layer.protocol + layer.size
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return _half(frame, field) == total


def _half(frame: bytes, at: int) -> int:
    return frame[at] << 8 | frame[at + 1] if at + 2 <= len(frame) else 0
