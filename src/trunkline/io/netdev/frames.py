"""Frames with a virtio-net header, as AF_PACKET sockets and TAP devices carry them.

The header (10 bytes, virtio 1.1, 5.1.6) says what the sender left undone: a checksum to finish, a large
segment to cut.  Passing it on unchanged is all that is needed for offloads to work through the switch.  The
same few headers come over and over, so that the records made of them are kept.
"""

import struct
from typing import Final

from trunkline.packet.packet import Offload

HEADER_SIZE: Final = 10
PLAIN: Final = bytes(HEADER_SIZE)
ROOM: Final = 1 << 17  # a segment has up to 64 kB and headers
_HEADER: Final = struct.Struct("=BBHHHH")
_KEPT: Final = 4096
_IRRELEVANT: Final = 2  # DATA_VALID alone: nothing is left to do


class Headers:
    """Both ways between header bytes and Offload records, remembered."""

    __slots__ = ("_bytes", "_records")

    def __init__(self) -> None:
        self._records: dict[bytes, Offload | None] = {}
        self._bytes: dict[Offload, bytes] = {}

    def record(self, header: bytes) -> Offload | None:
        """None: the frame is complete."""
        try:
            return self._records[header]
        except KeyError:
            pass
        offload: Offload | None = Offload(*_HEADER.unpack(header))
        assert offload is not None
        if not offload.gso_type and offload.flags in (0, _IRRELEVANT):
            offload = None
        if len(self._records) >= _KEPT:
            self._records.clear()
        self._records[header] = offload
        return offload

    def octets(self, offload: Offload | None) -> bytes:
        if offload is None:
            return PLAIN
        try:
            return self._bytes[offload]
        except KeyError:
            pass
        if len(self._bytes) >= _KEPT:
            self._bytes.clear()
        header = self._bytes[offload] = _HEADER.pack(*offload)
        return header


def with_tag(frame: bytes, tpid: int, tci: int) -> bytes:
    """The frame with an outer VLAN header, which the kernel keeps beside it."""
    return b"%b%b%b" % (frame[:12], (tpid << 16 | tci).to_bytes(4, "big"), frame[12:])


def offload_with_tag(offload: Offload | None) -> Offload | None:
    """Its offsets count from the first byte, which a tag moves away by four."""
    if offload is None:
        return None
    length = offload.header_length + 4 if offload.header_length else 0
    start = offload.checksum_start + 4 if offload.flags & 1 else offload.checksum_start
    return offload._replace(header_length=length, checksum_start=start)
