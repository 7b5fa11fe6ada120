"""Outer headers on and off: Ethernet, NSH (RFC 8300), MPLS around a whole frame.

A packet without an Ethernet header is kept behind 14 bytes in its place: twelve zeros and the Ethernet type
of what follows.  So all that reads and writes frames goes on working; the packet's key says that there is no
such header.
"""

from typing import Final

from trunkline.flow.key import get
from trunkline.packet.packet import Packet
from trunkline.packet.rewrite import moved

NSH: Final = 0x894F
BRIDGED: Final = 0x6558  # Ethernet type for a whole Ethernet frame (RFC 7637)
_HEADER: Final = 14
_TAGS: Final = (b"\x81\0", b"\x88\xa8")
_TYPES: Final = {1: 0x0800, 2: 0x86DD, 3: 0, 4: NSH, 5: 0x8847}
"""NSH's next protocols as Ethernet types; 0: Ethernet."""


def push_ethernet(packet: Packet, source: int, destination: int) -> Packet:
    """An Ethernet header in the place kept for it."""
    head = destination.to_bytes(6, "big") + source.to_bytes(6, "big")
    return packet._replace(frame=head + packet.frame[12:])


def pop_ethernet(packet: Packet) -> Packet:
    """Its tags go with it."""
    at = 12
    while packet.frame[at : at + 2] in _TAGS and len(packet.frame) >= at + 6:
        at += 4
    return Packet(bytes(12) + packet.frame[at:], moved(packet.offload, 12 - at))


def put(packet: Packet, bare: bool, kind: int, header: bytes) -> Packet:
    """`header` around the packet, of Ethernet type `kind`; `bare`: it has no Ethernet header."""
    inner = packet.frame[_HEADER:] if bare else packet.frame
    frame = bytes(12) + kind.to_bytes(2, "big") + header + inner
    return Packet(frame, moved(packet.offload, len(frame) - len(packet.frame)))


def uncovered(packet: Packet, size: int = 0) -> Packet:
    """The Ethernet frame that begins `size` bytes behind the place of the header."""
    by = _HEADER + size
    return Packet(packet.frame[by:], moved(packet.offload, -by))


def push_nsh(packet: Packet, bare: bool, fields: int, metadata: bytes) -> Packet:
    """`fields`: nsh_* in the layout of flow/key.py; `metadata`: the TLVs of MD type 2."""
    kind = get(fields, "nsh_mdtype")
    if kind == 1:
        metadata = b"".join(get(fields, f"nsh_c{i}").to_bytes(4, "big") for i in range(1, 5))
    size = (8 + len(metadata)) // 4
    first = get(fields, "nsh_flags") << 12 | get(fields, "nsh_ttl") << 6 | size
    head = first.to_bytes(2, "big") + bytes((kind, get(fields, "nsh_np")))
    path = get(fields, "nsh_spi") << 8 | get(fields, "nsh_si")
    return put(packet, bare, NSH, head + path.to_bytes(4, "big") + metadata)


def pop_nsh(packet: Packet) -> tuple[Packet, int]:
    """Without the NSH header, and the Ethernet type of what follows (0: Ethernet); else as it is."""
    frame = packet.frame
    if len(frame) < _HEADER + 8:
        return packet, NSH
    size = (frame[15] & 0x3F) * 4
    kind = _TYPES.get(frame[17])
    if kind is None or len(frame) < _HEADER + size:
        return packet, NSH
    if not kind:
        return uncovered(packet, size), 0
    rest = bytes(12) + kind.to_bytes(2, "big") + frame[_HEADER + size :]
    return Packet(rest, moved(packet.offload, -size)), kind
