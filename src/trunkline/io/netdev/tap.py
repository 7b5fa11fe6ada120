"""A TAP device (``type=tap``): the switch holds the descriptor, a program or the host holds the interface.

Frames carry a virtio-net header (IFF_VNET_HDR), so that the host may leave checksums and segments to us.
The device goes with the process, as tun(4) devices do; who needs one that stays uses an internal port.
"""

import errno
import fcntl
import os
import struct
from typing import Final

from trunkline.bridge.devices import DeviceError
from trunkline.io.files import error_text
from trunkline.io.netdev.frames import HEADER_SIZE, ROOM, Headers
from trunkline.io.netdev.kernel import Kernel, SystemDevice, counters
from trunkline.io.netdev.packet_socket import PacketSocket
from trunkline.ofproto.ports import PortStatistics
from trunkline.packet.packet import Packet
from trunkline.packet.segment import complete, is_inside_tunnel

_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000
_OFFLOADS: Final = 1 | 2 | 4  # checksums, segments of TCP over IPv4 and IPv6
_BATCH: Final = 64


class Channel:
    """The descriptor of a TAP device, used like a packet socket.  Raises OSError."""

    def __init__(self, name: str) -> None:
        self._descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", name.encode(errors="surrogateescape"), _TAP | _NO_PI | _VNET_HDR)
            fcntl.ioctl(self._descriptor, _TUNSETIFF, request)
            fcntl.ioctl(self._descriptor, _TUNSETVNETHDRSZ, struct.pack("i", HEADER_SIZE))
            fcntl.ioctl(self._descriptor, _TUNSETOFFLOAD, _OFFLOADS)
        except OSError:
            os.close(self._descriptor)
            raise
        self._header = bytearray(HEADER_SIZE)
        frame = bytearray(ROOM)
        self._frame = memoryview(frame)
        self._buffers = [self._header, frame]
        self._headers = Headers()
        self.tx_dropped = 0
        self.broken = False

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def receive(self) -> list[Packet]:
        packets: list[Packet] = []
        for _ in range(_BATCH):
            try:
                size = os.readv(self._descriptor, self._buffers)
            except OSError as error:  # nothing waits, or the device is down, or somebody has removed it
                self.broken = error.errno == errno.EBADFD
                break
            octets = bytes(self._frame[: size - HEADER_SIZE])
            packets.append(Packet(octets, self._headers.record(bytes(self._header))))
        return packets

    def transmit(self, packet: Packet) -> None:
        if is_inside_tunnel(packet):
            for part in complete(packet):
                self.transmit(Packet(part))
            return
        try:
            os.writev(self._descriptor, (self._headers.octets(packet.offload), packet.frame))
        except OSError:
            self.tx_dropped += 1


class TapDevice(SystemDevice):
    type = "tap"
    egress = True  # what the host sends through it comes into the switch

    def __init__(self, name: str, kernel: Kernel, *, held: bool = False) -> None:
        try:
            self._channel = Channel(name)
        except OSError as error:
            raise DeviceError(error_text(error)) from None
        super().__init__(name, kernel, held=held)
        self._packets = self._channel  # type: ignore[assignment]  # the same calls
        self.transmit = self._channel.transmit

    def statistics(self) -> PortStatistics:
        """What the kernel calls sent came into the switch."""
        counted = counters(self._kernel.netlink.statistics(self.index))
        return self._with_unsent(counted.of_other_end())

    def _open(self, index: int) -> PacketSocket:
        return self._channel  # type: ignore[return-value]  # the same calls
