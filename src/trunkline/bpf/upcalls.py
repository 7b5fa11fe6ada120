"""Packets that the kernel's program hands up, and in which order they are worked on.

The ring is one queue for all ports.  It is emptied into a queue for each port, and these are served in turn,
so that a port at which thousands of new connections arrive makes others wait for one packet, not for
thousands.  How much of one port may wait at all is bounded by the program (upcall.h); what was worked on is
told to it through the shared memory of the map `ports`.

A record holds the frame as the program saw it.  Two things stood beside it and are put back here: the VLAN
tag that the kernel takes off on receipt, and what the sender has left to hardware (packet/unfinished.py).
"""

from collections import deque
from struct import Struct
from typing import Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.flow import key as layout
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse
from trunkline.packet.unfinished import unfinished

_HEAD: Final = Struct("=10I")
_KEY_END: Final = _HEAD.size + program.KEY_BYTES
_FRAME: Final = _KEY_END + program.OPTION_WORDS * 8
_OPTIONS, _OPTIONS_LENGTH = layout.OFFSET["tun_options"], layout.OFFSET["tun_options_length"]
_TYPE: Final = layout.OFFSET["dl_type"]
_NSH: Final = 0x894F


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
    offload = None if truncated else unfinished(frame, gso_size)
    return Record(port, reason, argument, Packet(frame[:whole], offload), key, cost)


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
