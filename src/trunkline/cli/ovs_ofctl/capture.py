"""ofp-parse-pcap: the OpenFlow messages of the TCP connections in a capture.

Segments that come out of order are not waited for: a direction goes on where its next byte comes.
"""

import errno
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from trunkline.base.addresses import format_ipv4
from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Framer

_PORTS: Final = (6633, 6653)
_MAGIC: Final = {0xA1B2C3D4: 1_000, 0xA1B23C4D: 1_000_000}  # fractions of a second in a millisecond
_SYN: Final = 2
_FILE_HEADER: Final = 24  # bytes


class Unreadable(Failure):
    """A file is no capture; `status` is the exit status of a command that goes on after it."""

    def __init__(self, path: str, reason: str, status: int) -> None:
        super().__init__(f"{path}: open failed ({reason})")
        self.status = status


class _Segment(NamedTuple):
    source: str
    destination: str
    ports: tuple[int, int]
    sequence: int
    flags: int
    data: bytes


class _Direction:
    """One direction of a connection: `expected` is the number of its next byte."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.framer = Framer()

    def feed(self, segment: _Segment) -> list[bytes]:
        sequence = segment.sequence + (1 if segment.flags & _SYN else 0) & 0xFFFFFFFF
        if segment.flags & _SYN:
            self.expected = sequence
        if sequence != self.expected or not segment.data:
            return []
        self.expected = sequence + len(segment.data) & 0xFFFFFFFF
        return self.framer.feed(segment.data)


def ofp_parse_pcap(tool: Tool, arguments: Sequence[str]) -> int:
    path, *words = arguments
    ports = tuple(int(word) if word.isdecimal() else 0 for word in words) or _PORTS
    directions: dict[tuple[str, str, tuple[int, int]], _Direction] = {}
    style = tool.style(1)
    first = True
    for milliseconds, frame in frames(tool, path):
        segment = _segment(frame)
        if segment is None or not any(port in ports for port in segment.ports):
            continue
        key = segment[:3]
        if key not in directions:
            directions[key] = _Direction(segment.sequence)
        for raw in directions[key].feed(segment):
            when = ""
            if tool.timestamp:
                seconds = time.gmtime(milliseconds // 1000)
                when = f"{time.strftime('%H:%M:%S', seconds)}.{milliseconds % 1000:03d} "
            blank = "" if first else "\n"
            ends = f"{segment.source}.{segment.ports[0]} > {segment.destination}.{segment.ports[1]}"
            sys.stdout.write(f"{blank}{when}{ends}:\n{message_text(raw, style)}")
            first = False
    return 0


def frames(tool: Tool, path: str) -> Iterator[tuple[int, bytes]]:
    """(milliseconds since 1970, frame) of a capture file.  Raises Failure."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        tool.warn("pcap", f"{path}: failed to open pcap file for reading ({error.strerror})")
        raise Unreadable(path, error.strerror or "", error.errno or 1) from None
    magic = int.from_bytes(data[:4], "little")
    order = "<" if magic in _MAGIC else ">"
    own = magic if order == "<" else int.from_bytes(data[:4], "big")
    if len(data) < _FILE_HEADER:
        tool.warn("pcap", "failed to read pcap header: End of file")
        raise Unreadable(path, "End of file", 255)
    if own not in _MAGIC:
        known = "0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, or 0x4d3cb2a1"
        tool.warn("pcap", f"bad magic 0x{magic:08x} reading pcap file (expected {known})")
        raise Unreadable(path, "Protocol error", errno.EPROTO)
    at = _FILE_HEADER
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(f"{order}IIII", data, at)
        at += 16
        if at + length > len(data):
            tool.warn("pcap", "failed to read pcap packet: End of file")
            return
        yield seconds * 1000 + fraction // _MAGIC[own], data[at : at + length]
        at += length


def _segment(frame: bytes) -> _Segment | None:
    """TCP over IPv4, behind tags perhaps; None for all else."""
    at = 12
    while frame[at : at + 2] in (b"\x81\0", b"\x88\xa8"):
        at += 4
    if frame[at : at + 2] != b"\x08\0" or len(frame) < at + 22:
        return None
    at += 2
    header = (frame[at] & 15) * 4
    length = int.from_bytes(frame[at + 2 : at + 4], "big")
    tcp = frame[at + header : at + length]
    if frame[at + 9] != 6 or len(tcp) < 20:
        return None
    source, destination, sequence = struct.unpack_from("!HHI", tcp)
    addresses = (
        int.from_bytes(frame[at + 12 : at + 16], "big"),
        int.from_bytes(frame[at + 16 : at + 20], "big"),
    )
    start = (tcp[12] >> 4) * 4
    return _Segment(
        format_ipv4(addresses[0]),
        format_ipv4(addresses[1]),
        (source, destination),
        sequence,
        tcp[13],
        tcp[start:],
    )
