"""Tunnels through the host's own network: where no bridge leads to the peer, the kernel finds the way.

Packets go out by a raw IP socket, headers and all, so that the UDP source port can stand for the flow inside;
the kernel looks up route and neighbour.  They come in by a UDP socket that listens to the tunnel's port, or
by a raw socket of its protocol.  One object serves both families for one type and port.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from trunkline.base.addresses import MAPPED, is_mapped
from trunkline.bridge.devices import DeviceError
from trunkline.dpif.provider import TunnelPort
from trunkline.flow.key import OFFSET, get
from trunkline.io.files import error_text
from trunkline.io.netdev.kernel import Readers
from trunkline.packet.tunnels import GRE, PUSHABLE, UDP, Kind, Outer, Popped, header, pop_payload, push

_BATCH: Final = 64
_ROOM: Final = 1 << 16
_ANCILLARY: Final = 256
_ETHERNET: Final = 14
_IP_RECVTTL, _IP_RECVTOS, _IP_PKTINFO = 12, 13, 8
_RECVFORCE: Final = 33
_UDP_NO_CHECK6_RX: Final = 102  # linux/udp.h
_BUFFER: Final = 4 << 20
_PACKET_INFO: Final = struct.Struct("=I4s4s")
_PACKET_TYPE: Final = OFFSET["packet_type"]
Receive = Callable[[Sequence[Popped]], None]


class HostTunnel:
    """Raises DeviceError if the host's sockets cannot be had.

    Without `readers` it only sends: a device of the kernel's takes what comes.
    """

    def __init__(self, tunnel: TunnelPort, readers: Readers | None = None) -> None:
        if tunnel.type not in PUSHABLE:
            raise DeviceError("no such headers")
        self._tunnel = tunnel
        self._readers = readers
        self._sequence = 0
        self.dropped = 0
        self._marks: dict[int, int] = {}
        self._out: dict[int, socket.socket] = {}
        self._in: list[tuple[int, socket.socket]] = []
        try:
            self._open()
        except OSError as error:
            self.close()
            raise DeviceError(error_text(error)) from None

    @property
    def _protocol(self) -> int:
        return UDP if self._tunnel.destination else GRE

    def _open(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                out = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 255)
            except OSError:
                if family == socket.AF_INET6:
                    continue  # a host without IPv6
                raise
            self._out[family] = out
            if self._readers is not None:
                self._in.append((family, self._listen(family)))

    def _listen(self, family: int) -> socket.socket:
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        if self._protocol == UDP:
            one = socket.socket(family, socket.SOCK_DGRAM | flags)
        else:
            one = socket.socket(family, socket.SOCK_RAW | flags, GRE)
        try:
            if family == socket.AF_INET6:
                if self._protocol == UDP:  # a raw socket has but one family
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.setsockopt(socket.IPPROTO_UDP, _UDP_NO_CHECK6_RX, 1)  # RFC 6935: tunnels need none
                for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS):
                    one.setsockopt(socket.IPPROTO_IPV6, option, 1)
            else:
                for option in (_IP_RECVTTL, _IP_RECVTOS, _IP_PKTINFO):
                    one.setsockopt(socket.IPPROTO_IP, option, 1)
            try:
                one.setsockopt(socket.SOL_SOCKET, _RECVFORCE, _BUFFER)
            except PermissionError:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            if self._protocol == UDP:
                one.bind(("::" if family == socket.AF_INET6 else "", self._tunnel.destination))
        except OSError:
            one.close()
            raise
        return one

    # ---- out

    def send(self, frame: bytes, key: int, source_port: int) -> None:
        """`frame` without the place of an Ethernet header, where `key` says that there is none."""
        try:
            self._send(frame, key, source_port)
        except OSError:
            self.dropped += 1

    def _send(self, frame: bytes, key: int, source_port: int) -> None:
        destination = get(key, "tun_ipv6_dst")
        source = get(key, "tun_ipv6_src")
        if not destination:
            destination = MAPPED | get(key, "tun_dst")
            source = MAPPED | get(key, "tun_src")
        family, text = _text(destination)
        if source in (0, MAPPED):
            source = self._source(family, text)
        kind = Kind(
            self._tunnel.type, self._tunnel.destination, False, self._tunnel.extensions,
            key >> _PACKET_TYPE & 0xFFFF,
        )  # fmt: skip
        packet = push(header(kind, Outer(0, 0, source, destination), key), frame, source_port, self._sequence)
        self._sequence += 1
        out, mark = self._out[family], get(key, "pkt_mark")
        if mark != self._marks.get(family, 0):
            out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            self._marks[family] = mark
        out.sendto(packet[_ETHERNET:], (text, 0))

    @staticmethod
    def _source(family: int, text: str) -> int:
        """The address that the kernel would send from."""
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
            asked.connect((text, 9))
            value = int.from_bytes(socket.inet_pton(family, asked.getsockname()[0].split("%")[0]), "big")
        return MAPPED | value if family == socket.AF_INET else value

    # ---- in

    def start(self, receive: Receive) -> None:
        assert self._readers is not None, "it only sends"
        for family, one in self._in:
            self._readers.add_reader(one.fileno(), self._reader(family, one, receive))

    def _reader(self, family: int, one: socket.socket, receive: Receive) -> Callable[[], None]:
        def readable() -> None:
            found: list[Popped] = []
            for _ in range(_BATCH):
                try:
                    data, ancillary, _, address = one.recvmsg(_ROOM, _ANCILLARY)
                except OSError:
                    break
                popped = self._take(family, data, ancillary, address)
                if popped is not None:
                    found.append(popped)
                else:
                    self.dropped += 1
            if found:
                receive(found)

        return readable

    def _take(
        self, family: int, data: bytes, ancillary: list[tuple[int, int, bytes]], address: tuple[str, int]
    ) -> Popped | None:
        key, own = 0, bytes(4)
        for _, kind, value in ancillary:
            if family == socket.AF_INET and kind == _IP_PKTINFO:
                own = _PACKET_INFO.unpack_from(value)[2]
            elif family == socket.AF_INET6 and kind == socket.IPV6_PKTINFO:
                own = value[:16]
            elif kind in (2, _IP_RECVTTL, socket.IPV6_HOPLIMIT):
                key |= int.from_bytes(value[:4], "little") << OFFSET["tun_ttl"]
            elif kind in (1, _IP_RECVTOS, socket.IPV6_TCLASS):
                key |= (value[0]) << OFFSET["tun_tos"]
        peer = socket.inet_pton(family, address[0].split("%")[0])
        four = family == socket.AF_INET
        if four and self._protocol == GRE:  # a raw socket of IPv4 shows the header
            data = data[(data[0] & 15) * 4 :]
        names = ("tun_src", "tun_dst") if four else ("tun_ipv6_src", "tun_ipv6_dst")
        for name, end in zip(names, (peer, own), strict=True):
            key |= int.from_bytes(end, "big") << OFFSET[name]
        if self._protocol == UDP:
            ports = address[1].to_bytes(2, "big") + self._tunnel.destination.to_bytes(2, "big")
            data = ports + bytes(4) + data
        return pop_payload(self._tunnel.type, data, (peer, own), key, self._tunnel.extensions)

    def close(self) -> None:
        for _, one in self._in:
            if self._readers is not None:
                self._readers.remove_reader(one.fileno())
            one.close()
        for out in self._out.values():
            out.close()
        self._in.clear()
        self._out.clear()


def _text(address: int) -> tuple[int, str]:
    if is_mapped(address):
        return socket.AF_INET, socket.inet_ntop(socket.AF_INET, (address & 0xFFFFFFFF).to_bytes(4, "big"))
    return socket.AF_INET6, socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))
