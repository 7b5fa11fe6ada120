"""Packets from this process out of any device of the kernel, by packet sockets (packet(7)).

For devices that forward in the kernel: this process reads nothing from them, and now and then sends a
packet that it has decided on.  PACKET_VNET_HDR puts a virtio-net header before the frame
(io/netdev/frames.py): a checksum that its sender left unfinished stays so, and a large segment is cut by
the device, or by the kernel if the device cannot.  Without it a TCP connection takes seconds to set up, for
its first packets arrive with wrong checksums.

A socket a device, made when it is first needed; of those the last used are kept.
"""

import socket
from typing import Final

from trunkline.io.netdev.frames import Headers
from trunkline.packet.packet import Packet
from trunkline.packet.segment import complete, is_inside_tunnel

_SOL_PACKET: Final = 263
_VNET_HDR, _QDISC_BYPASS = 15, 20
_SNDBUFFORCE: Final = 32
_BUFFER: Final = 4 << 20
_KEPT: Final = 256


class Injector:
    """Sends, or counts a drop: queue full, device down or gone, frame longer than its MTU."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._headers = Headers()
        self.unsent: dict[int, int] = {}  # drops, by ifindex

    def send(self, index: int, packet: Packet) -> None:
        """The packet leaves by the device with that ifindex."""
        try:
            if is_inside_tunnel(packet):
                for part in complete(packet):
                    self.send(index, Packet(part))
                return
            one = self._sockets.get(index) or self._open(index)
            one.sendmsg((self._headers.octets(packet.offload), packet.frame))
        except OSError:
            self.unsent[index] = self.unsent.get(index, 0) + 1

    def _open(self, index: int) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        one = socket.socket(socket.AF_PACKET, kind, 0)  # protocol 0: nothing comes in
        try:
            one.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
            one.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
            try:
                one.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _BUFFER)
            except PermissionError:  # in a user namespace
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            one.bind((socket.if_indextoname(index), 0))
        except OSError:
            one.close()
            raise
        while len(self._sockets) >= _KEPT:
            self._sockets.pop(next(iter(self._sockets))).close()
        self._sockets[index] = one
        return one

    def forget(self, index: int) -> None:
        """The device has gone, or is no port any more."""
        self.unsent.pop(index, None)
        one = self._sockets.pop(index, None)
        if one is not None:
            one.close()

    def close(self) -> None:
        for index in list(self._sockets):
            self.forget(index)
