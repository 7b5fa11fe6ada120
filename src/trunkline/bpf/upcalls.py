"""Packets that the kernel's program hands up, and in which order they are worked on.

The ring is one queue for all ports.  It is emptied into a queue for each port, and these are served in turn,
so that a port at which thousands of new connections arrive makes others wait for one packet, not for
thousands.  How much of one port may wait at all is bounded by the program (upcall.h); what was worked on is
told to it through the shared memory of the map `ports`.

A record holds the frame as the program saw it.  Two things stood beside it and are put back here: the VLAN
tag that the kernel takes off on receipt, and what the sender has left to hardware.  The kernel does not tell
a program that a checksum is unfinished, but it shows: then the checksum field holds the sum of the pseudo
header and nothing else.  (One finished checksum in 65,536 looks like that; finishing it again gives the
same.)
"""

from collections import deque
from struct import Struct
from typing import Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.flow import key as layout
from trunkline.flow.key import FRAG_LATER
from trunkline.packet.packet import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, Offload, Packet
from trunkline.packet.parse import IPV4, IPV6, QINQ, TCP, UDP, VLAN, extension_headers, parse

_HEAD: Final = Struct("=10I")
_KEY_END: Final = _HEAD.size + program.KEY_BYTES
_FRAME: Final = _KEY_END + program.OPTION_WORDS * 8
_OPTIONS, _OPTIONS_LENGTH = layout.OFFSET["tun_options"], layout.OFFSET["tun_options_length"]
_TYPE: Final = layout.OFFSET["dl_type"]
_PROTOCOL: Final = layout.OFFSET["nw_proto"]
_FRAGMENT: Final = layout.OFFSET["nw_frag"]
_NSH: Final = 0x894F
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6}


class Record(NamedTuple):
    """A packet as it came up.  `reason`: a number of program.UPCALLS; `cost`: how much it counts in what may
    wait."""

    port: int
    reason: int
    argument: int
    packet: Packet
    key: int
    cost: int


def decode(data: bytes) -> Record:
    """The record that lies in the ring."""
    length, whole, port, reason, argument, cost, gso_size, vlan, truncated, options = _HEAD.unpack_from(data)
    key = layout.from_datapath_bytes(data[_HEAD.size : _KEY_END])
    frame = data[_FRAME : _FRAME + length]
    if options:
        key |= int.from_bytes(data[_KEY_END:_FRAME], "big") << _OPTIONS | options << _OPTIONS_LENGTH
    if vlan:
        frame = frame[:12] + vlan.to_bytes(4, "big") + frame[12:]
    if key >> _TYPE & 0xFFFF == _NSH:  # of which the program knows nothing
        key |= parse(frame) & layout.RARE
    offload = None if truncated else _offload(frame, key, gso_size)
    return Record(port, reason, argument, Packet(frame[:whole], offload), key, cost)


def _offload(frame: bytes, key: int, gso_size: int) -> Offload | None:
    """What the sender of the packet has left to do."""
    protocol = key >> _PROTOCOL & 0xFF
    if protocol not in _CHECKSUM_AT or key >> _FRAGMENT & FRAG_LATER:
        return None
    at = 12
    while (kind := frame[at] << 8 | frame[at + 1]) in (VLAN, QINQ):
        at += 4
    at += 2
    if kind == IPV4 and len(frame) >= at + 20:
        start = at + (frame[at] & 15) * 4
        size = (frame[at + 2] << 8 | frame[at + 3]) - (start - at)
        addresses = frame[at + 12 : at + 20]
    elif kind == IPV6 and len(frame) >= at + 40:
        payload = frame[at + 40 :]
        extensions = extension_headers(payload, frame[at + 6])
        if extensions is None:
            return None
        start = at + 40 + extensions[2]
        size = (frame[at + 4] << 8 | frame[at + 5]) - extensions[2]
        addresses = frame[at + 8 : at + 40]
    else:
        return None
    offset = _CHECKSUM_AT[protocol]
    if len(frame) < start + offset + 2:
        return None
    if not gso_size:
        words = Struct(f">{len(addresses) // 2}H").unpack(addresses)
        total = sum(words) + protocol + (size & 0xFFFF) + (size >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        if frame[start + offset] << 8 | frame[start + offset + 1] != total:
            return None
        return Offload(NEEDS_CHECKSUM, 0, 0, 0, start, offset)
    if protocol == TCP:
        header = start + (frame[start + 12] >> 4) * 4
        return Offload(
            NEEDS_CHECKSUM, GSO_TCPV4 if kind == IPV4 else GSO_TCPV6, header, gso_size, start, offset
        )
    return Offload(NEEDS_CHECKSUM, GSO_UDP_L4, start + 8, gso_size, start, offset)


class Queues:
    """Records that wait, a queue for each port; the ports are served in turn."""

    __slots__ = ("_queues", "bytes", "waiting")

    def __init__(self) -> None:
        self._queues: dict[int, deque[bytes]] = {}  # the port whose turn it is comes first
        self.waiting = self.bytes = 0

    def put(self, records: list[bytes]) -> None:
        queues = self._queues
        for record in records:
            port = int.from_bytes(record[8:12], "little")
            queue = queues.get(port)
            if queue is None:
                queue = queues[port] = deque()
            queue.append(record)
            self.bytes += len(record)
        self.waiting += len(records)

    def ports(self) -> set[int]:
        """Those of which something waits."""
        return set(self._queues)

    def take(self) -> bytes:
        """The next record; IndexError if there is none."""
        queues = self._queues
        for port in queues:
            queue = queues.pop(port)
            record = queue.popleft()
            if queue:
                queues[port] = queue
            self.waiting -= 1
            self.bytes -= len(record)
            return record
        raise IndexError
