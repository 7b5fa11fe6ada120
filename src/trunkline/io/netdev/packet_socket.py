"""A packet socket on one device of the kernel (packet(7)): every frame, in and out, offloads included.

PACKET_VNET_HDR puts a virtio-net header before each frame (io/netdev/frames.py), PACKET_AUXDATA tells the
VLAN tag that the kernel has taken off, PACKET_IGNORE_OUTGOING keeps away what the socket itself and the
host send. Being promiscuous is a membership of the socket: the kernel counts it (``ip -d link``:
promiscuity 1) and takes it back when the socket goes, also by kill -9.

One packet costs one recvmsg into two buffers made once, and one copy.
"""

import errno
import socket
import struct
from collections.abc import Callable
from typing import Final

from trunkline.io.netdev.frames import HEADER_SIZE, PLAIN, ROOM, Headers, offload_with_tag, with_tag
from trunkline.packet.packet import Packet
from trunkline.packet.segment import complete, is_inside_tunnel

_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP, _AUXDATA, _VNET_HDR, _QDISC_BYPASS, _IGNORE_OUTGOING = 1, 8, 15, 20, 23
_MR_PROMISC: Final = 1
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_ETH_P_ALL: Final = 0x0003
_BUFFER: Final = 4 << 20
_AUXILIARY: Final = struct.Struct("=IIIHHHH")
_ANCILLARY: Final = socket.CMSG_SPACE(_AUXILIARY.size)
_VLAN_VALID, _TPID_VALID = 0x10, 0x40
_BATCH: Final = 64
_LARGE: Final = 4096  # from here on copying costs more than a list of two buffers
_GONE: Final = frozenset((errno.ENETDOWN, errno.ENXIO, errno.ENODEV))


class PacketSocket:
    """Raises OSError if the device cannot be opened.  `bypass` skips the device's queueing, and its taps;
    `failed` is told why a packet could not be sent, unless it is that the queue is full."""

    broken = False  # whether nothing will ever come any more

    __slots__ = ("_buffers", "_failed", "_frame", "_header", "_headers", "_socket", "tx_dropped")

    def __init__(
        self, index: int, *, bypass: bool = False, failed: Callable[[OSError], None] | None = None
    ) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = packets = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            for option in (_VNET_HDR, _AUXDATA, _IGNORE_OUTGOING):
                packets.setsockopt(_SOL_PACKET, option, 1)
            if bypass:
                packets.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
            for option in (_RCVBUFFORCE, _SNDBUFFORCE):
                try:
                    packets.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
                except PermissionError:  # in a user namespace
                    packets.setsockopt(socket.SOL_SOCKET, option - 25, _BUFFER)
            membership = struct.pack("=IHH8s", index, _MR_PROMISC, 0, b"")
            packets.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
            packets.bind((socket.if_indextoname(index), _ETH_P_ALL))
        except OSError:
            packets.close()
            raise
        self._failed = failed
        self._header = bytearray(HEADER_SIZE)
        frame = bytearray(ROOM)
        self._frame = memoryview(frame)
        self._buffers = [self._header, frame]
        self._headers = Headers()
        self.tx_dropped = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> list[Packet]:
        """The packets that wait, a batch at most; none when there are none, or the device is down or gone."""
        receive, buffers, header, frame = self._socket.recvmsg_into, self._buffers, self._header, self._frame
        packets: list[Packet] = []
        for _ in range(_BATCH):
            try:
                size, ancillary, _, _ = receive(buffers, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _GONE:
                    break
                continue  # EINVAL: a kind of segment that a virtio-net header cannot say
            octets = bytes(frame[: size - HEADER_SIZE])
            offload = None if header == PLAIN else self._headers.record(bytes(header))
            data = ancillary[0][2]
            if data[0] & _VLAN_VALID:
                status, _, _, _, _, tci, tpid = _AUXILIARY.unpack(data)
                octets = with_tag(octets, tpid if status & _TPID_VALID else 0x8100, tci)
                offload = offload_with_tag(offload)
            packets.append(Packet(octets, offload))
        return packets

    def transmit(self, packet: Packet) -> None:
        """Sends, or counts a drop: queue full, device down or gone, frame longer than its MTU."""
        frame, offload = packet
        try:
            if offload is None:
                self._socket.send(PLAIN + frame)
            elif is_inside_tunnel(packet):
                for part in complete(packet):
                    self.transmit(Packet(part))
            elif len(frame) < _LARGE:
                self._socket.send(self._headers.octets(offload) + frame)
            else:
                self._socket.sendmsg((self._headers.octets(offload), frame))
        except OSError as error:
            self.tx_dropped += 1
            if self._failed is not None and error.errno != errno.EAGAIN:
                self._failed(error)
