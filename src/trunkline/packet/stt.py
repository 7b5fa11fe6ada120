"""STT: Ethernet frames of up to 64 kB in segments that look like TCP's, so that hardware cuts and joins them.

A *frame* of STT is a header of 18 bytes and an Ethernet frame.  It goes out as one or more *segments*, each
behind a header with TCP's layout and none of its meaning: the sequence number says how long the whole frame
is and which byte of it the segment begins with, the acknowledgement which frame it is a piece of.  There are
no connections; a lost piece loses its frame.

The frame's header may also say what its sender has left to do (a checksum, large segments), and hold the
frame's VLAN tag.

Source: draft-davie-stt-08.
"""

from struct import Struct
from typing import Final, NamedTuple

from trunkline.model.tunnels import TCP
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.packet import GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CHECKSUM, Offload

ROOM: Final = 1500
"""Bytes of IP packets that are let through where nobody says how many are."""
_ETHERNET: Final = 14
_PORTS: Final = Struct("!HHIIBBHHH")
_FRAME: Final = Struct("!BBBBHHQH")
_ACK: Final = 0x10
_OFFSET: Final = 5 << 4  # the header's length in words, where TCP has it
_PARTIAL, _FOUR, _TCP_INSIDE = 2, 4, 8  # flags of a frame
_HAS_TAG: Final = 0x1000
_VLAN: Final = b"\x81\0"
_CSUM_OF_TCP, _CSUM_OF_UDP = 16, 6  # where they lie in these headers
_MOST: Final = 0xFFFF
_LEAST: Final = 16  # bytes of a frame in a segment
_FRAMES: Final = 256  # that may be incomplete at once, of one tunnel port
_BYTES: Final = 4 << 20


class Segment(NamedTuple):
    """A piece of a frame: `total` bytes has that, this begins at byte `offset` of it; `number` says which."""

    source_port: int
    port: int
    total: int
    offset: int
    number: int
    data: bytes


class Frame(NamedTuple):
    frame: bytes
    context: int
    offload: Offload | None


# ---- out


def port_header(port: int) -> bytes:
    """What stands where TCP's header would, before anything of a packet is known."""
    return _PORTS.pack(0, port, 0, 0, _OFFSET, _ACK, 0xFFFF, 0, 0)


def frame_header(context: int) -> bytes:
    """`context`: the tunnel's key, of 64 bits."""
    return _FRAME.pack(0, 0, 0, 0, 0, 0, context, 0)


def segments(
    header: bytes, inner: bytes, source_port: int, number: int, ends: tuple[bytes, bytes], room: int
) -> list[bytes]:
    """The segments of a frame around `inner`, which is complete; `header` is what the two above have made.

    None longer than `room`, as far as IP allows one so small (68 bytes with its header: RFC 791), and none at
    all if `inner` is too long for a frame.
    """
    port = _PORTS.unpack_from(header)[1]
    tag = 0
    if inner[12:14] == _VLAN and len(inner) >= 18 and not inner[14] & 0x10:
        tag = int.from_bytes(inner[14:16], "big") | _HAS_TAG
        inner = inner[:12] + inner[16:]
    context = _FRAME.unpack_from(header, _PORTS.size)[6]
    whole = _FRAME.pack(0, 0, 0, 0, 0, tag, context, 0) + inner
    if len(whole) > _MOST:
        return []
    step = max(room - _PORTS.size, _LEAST)
    made = []
    for at in range(0, len(whole), step):
        part = whole[at : at + step]
        words = (source_port, port, len(whole) << 16 | at, number & 0xFFFFFFFF, _OFFSET, _ACK, 0xFFFF)
        own = _PORTS.pack(*words, 0, 0) + part
        total = checksum(own, pseudo_header(*ends, TCP, len(own)))
        made.append(own[:16] + total.to_bytes(2, "big") + own[18:])
    return made


# ---- in


def parse(data: bytes, source: bytes, destination: bytes) -> Segment | None:
    """`data`: what IP carries.  None if it is no segment, or damaged.

    A checksum that is only the sum of the pseudo header is one that this host's kernel has left unfinished,
    for it has joined segments or got them from itself.
    """
    if len(data) <= _PORTS.size:
        return None
    source_port, port, sequence, number, words, flags, _, found, _ = _PORTS.unpack_from(data)
    size = (words >> 4) * 4
    total, offset = sequence >> 16, sequence & 0xFFFF
    if size < _PORTS.size or size >= len(data) or flags & 7:  # FIN, SYN and RST are TCP's
        return None
    pseudo = pseudo_header(source, destination, TCP, len(data))
    if checksum(data, pseudo) and found != pseudo:
        return None
    if total < _FRAME.size or offset + len(data) - size > total:
        return None
    return Segment(source_port, port, total, offset, number, data[size:])


class Pieces:
    """Frames of which not all is there yet.  What is not completed makes room for newer ones."""

    def __init__(self) -> None:
        self._frames: dict[tuple[object, ...], dict[int, bytes]] = {}  # the one begun first comes first
        self._bytes = 0

    def add(self, ends: tuple[bytes, bytes], segment: Segment) -> bytes | None:
        """The whole frame, if that was the last piece of it."""
        if len(segment.data) == segment.total:
            return segment.data
        name = (*ends, segment.source_port, segment.port, segment.number, segment.total)
        pieces = self._frames.setdefault(name, {})
        if segment.offset not in pieces:
            pieces[segment.offset] = segment.data
            self._bytes += len(segment.data)
        if sum(map(len, pieces.values())) >= segment.total:
            self._forget(name)
            return _joined(pieces, segment.total)
        while len(self._frames) > _FRAMES or self._bytes > _BYTES:
            self._forget(next(iter(self._frames)))
        return None

    def _forget(self, name: tuple[object, ...]) -> None:
        self._bytes -= sum(map(len, self._frames.pop(name).values()))


def _joined(pieces: dict[int, bytes], total: int) -> bytes | None:
    """None if they overlap."""
    whole = b""
    for offset in sorted(pieces):
        if offset != len(whole):
            return None
        whole += pieces[offset]
    return whole if len(whole) == total else None


def open_frame(whole: bytes) -> Frame | None:
    """What is in a frame of STT; None if its header makes no sense."""
    if len(whole) < _FRAME.size + _ETHERNET:
        return None
    version, flags, transport, _, segment, tag, context, _ = _FRAME.unpack_from(whole)
    frame = whole[_FRAME.size :]
    if version:
        return None
    offload = None
    if flags & _PARTIAL:
        offload = _left(frame, flags, transport, segment)
        if offload is None:
            return None
    if tag & _HAS_TAG:
        frame = frame[:12] + _VLAN + (tag & ~_HAS_TAG).to_bytes(2, "big") + frame[12:]
        if offload is not None:
            offload = offload._replace(
                checksum_start=offload.checksum_start + 4,
                header_length=offload.header_length and offload.header_length + 4,
            )
    return Frame(frame, context, offload)


def _left(frame: bytes, flags: int, transport: int, segment: int) -> Offload | None:
    """What the sender of a frame has left to do; None if that cannot be."""
    place = _CSUM_OF_TCP if flags & _TCP_INSIDE else _CSUM_OF_UDP
    if transport < _ETHERNET or len(frame) < transport + (20 if flags & _TCP_INSIDE else 8):
        return None
    if not segment or not flags & _TCP_INSIDE:
        return Offload(NEEDS_CHECKSUM, GSO_NONE, 0, 0, transport, place)
    header = transport + (frame[transport + 12] >> 4) * 4
    if len(frame) < header:
        return None
    kind = GSO_TCPV4 if flags & _FOUR else GSO_TCPV6
    return Offload(NEEDS_CHECKSUM, kind, header, segment, transport, place)
