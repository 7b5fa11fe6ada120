"""Tunnels through the host's own network: where no bridge leads to the peer, the kernel finds the way.

Packets go out by a raw IP socket, headers and all, so that the UDP source port can stand for the flow inside;
the kernel looks up route and neighbour.  They come in by a UDP socket that listens to the tunnel's port, or
by a raw socket of its protocol.  One object serves both families for one type and port.

STT looks like TCP, and the kernel's TCP would answer each segment with a reset.  So there is a listener at
its port, which has the port for us, with a filter that lets nothing in: what such a filter refuses TCP drops
in silence.  The raw socket has got its copy before, through a filter for that port.  GTP-U comes in the same
way past UDP, for that would drop what the original's userspace datapath sends (packet/tunnels.py).
"""

import ctypes
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

from trunkline.base.addresses import MAPPED, is_mapped
from trunkline.bridge.devices import DeviceError
from trunkline.dpif.provider import TunnelPort
from trunkline.flow.key import OFFSET, TUN_KEY, TUN_SEQ, bits, get
from trunkline.io.files import error_text
from trunkline.io.netdev.kernel import Readers
from trunkline.model.tunnels import GRE, TCP, TUNNEL_TYPES, UDP
from trunkline.packet.stt import Pieces
from trunkline.packet.too_long import fragments, told
from trunkline.packet.tunnels import KEPT, Kind, Outer, Popped, header, pop_payload, push_all
from trunkline.packet.unfinished import unfinished_of_any_size

_BATCH: Final = 64
_ROOM: Final = 1 << 16
_ANCILLARY: Final = 256
_ETHERNET: Final = 14
_IP_RECVTTL, _IP_RECVTOS, _IP_PKTINFO = 12, 13, 8
_RECVFORCE: Final = 33
_UDP_NO_CHECK6_RX: Final = 102  # linux/udp.h
_BUFFER: Final = 4 << 20
_ATTACH_FILTER: Final = 26
_IP_MTU, _IPV6_MTU = 14, 24
_REMEMBERED: Final = 1.0  # seconds
_PACKET_INFO: Final = struct.Struct("=I4s4s")
_PACKET_TYPE: Final = OFFSET["packet_type"]
_REPEATED: Final = bits("tun_id", "tun_tos", "tun_ttl") | TUN_KEY << OFFSET["tunnel_flags"]
Receive = Callable[[Sequence[Popped]], None]


class HostTunnel:
    """Raises DeviceError if the host's sockets cannot be had.

    Without `readers` it only sends: a device of the kernel's takes what comes.
    """

    def __init__(self, tunnel: TunnelPort, readers: Readers | None = None) -> None:
        self._tunnel = tunnel
        self._protocol = TUNNEL_TYPES[tunnel.type].protocol
        if self._protocol in (TCP, UDP) and not tunnel.destination:
            raise DeviceError("options:dst_port is missing")
        self._is_raw = self._protocol != UDP or tunnel.type == "gtpu"
        self._readers = readers
        self._pieces = Pieces()
        self._paths: dict[tuple[int, str], tuple[float, int, int]] = {}
        self._receive: Receive | None = None
        self._news: list[Popped] = []  # for senders of packets that were too long
        self._bell = -1  # rings when there is news
        self._number = random.getrandbits(16)  # of the last packet in fragments
        self.dropped = 0  # of what came
        self._marks: dict[int, int] = {}
        self._out: dict[int, socket.socket] = {}
        self._in: list[tuple[int, socket.socket]] = []
        self._guards: list[socket.socket] = []
        try:
            self._open()
        except OSError as error:
            self.close()
            raise DeviceError(error_text(error)) from None

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
        if self._is_raw:
            one = socket.socket(family, socket.SOCK_RAW | flags, self._protocol)
        else:
            one = socket.socket(family, socket.SOCK_DGRAM | flags)
        try:
            if self._is_raw and self._protocol != GRE:
                _filter(one, _to_port(family, self._tunnel.destination))
                self._guards.append(_guard(family, self._protocol, self._tunnel.destination))
            if family == socket.AF_INET6:
                if not self._is_raw:  # a raw socket has but one family
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
            if not self._is_raw:
                one.bind(("::" if family == socket.AF_INET6 else "", self._tunnel.destination))
        except OSError:
            one.close()
            raise
        return one

    # ---- out

    def send(self, frame: bytes, key: int, source_port: int, sequence: int) -> bool:
        """`frame` without the place of an Ethernet header, where `key` says that there is none."""
        try:
            return self._send(frame, key, source_port, sequence)
        except OSError:
            return False

    def _send(self, frame: bytes, key: int, source_port: int, sequence: int) -> bool:
        destination = get(key, "tun_ipv6_dst")
        source = get(key, "tun_ipv6_src")
        if not destination:
            destination = MAPPED | get(key, "tun_dst")
            source = MAPPED | get(key, "tun_src")
        family, text = text_of(destination)
        usual, room = self._path(family, text)
        if source in (0, MAPPED):
            source = usual
        head = header(self._kind(key), Outer(0, 0, source, destination), key)
        out, mark = self._out[family], get(key, "pkt_mark")
        if mark != self._marks.get(family, 0):
            out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            self._marks[family] = mark
        for whole in push_all(head, frame, source_port, sequence, room):
            packet = whole[_ETHERNET:]
            if len(packet) <= room:
                out.sendto(packet, (text, 0))
                continue
            self._number = self._number % 0xFFFF + 1
            pieces = list(fragments(packet, room, self._number))
            for piece in pieces:
                out.sendto(piece, (text, 0))
            if not pieces:
                self._tell(frame, key, room - (len(packet) - len(frame)), (source, destination))
                return False
        return True

    def _tell(self, frame: bytes, key: int, room: int, ends: tuple[int, int]) -> None:
        """The sender of a packet hears that frames may be `room` bytes long, as if the peer had told him."""
        carries = key >> _PACKET_TYPE & 0xFFFF
        if carries:
            frame = bytes(12) + carries.to_bytes(2, "big") + frame
        message = told(frame, room if carries else room - _ETHERNET)
        if message is None or self._receive is None or len(self._news) >= _BATCH:
            return
        own, peer = ends
        four = is_mapped(peer)
        names = ("tun_src", "tun_dst") if four else ("tun_ipv6_src", "tun_ipv6_dst")
        beside = key & _REPEATED
        for name, end in zip(names, (peer, own), strict=True):
            beside |= (end & 0xFFFFFFFF if four else end) << OFFSET[name]
        if not self._news:
            os.eventfd_write(self._bell, 1)
        self._news.append(Popped(message, beside, carries))

    def _news_came(self) -> None:
        """Not while a packet is under way, in the midst of which `_tell` is called."""
        os.eventfd_read(self._bell)
        found, self._news = self._news, []
        if self._receive is not None:
            self._receive(found)

    def _kind(self, key: int) -> Kind:
        return Kind(
            self._tunnel.type, self._tunnel.destination, bool(get(key, "tunnel_flags") & TUN_SEQ),
            self._tunnel.extensions, key >> _PACKET_TYPE & 0xFFFF,
        )  # fmt: skip

    def _path(self, family: int, text: str) -> tuple[int, int]:
        """The address that the kernel would send from, and how long IP packets may be."""
        now = time.monotonic()
        until, address, room = self._paths.get((family, text), (0.0, 0, 0))
        if now < until:
            return address, room
        if len(self._paths) > _BATCH:
            self._paths.clear()
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
            asked.connect((text, 9))
            address = int.from_bytes(socket.inet_pton(family, asked.getsockname()[0].split("%")[0]), "big")
            if family == socket.AF_INET:
                address |= MAPPED
                room = asked.getsockopt(socket.IPPROTO_IP, _IP_MTU)
            else:
                room = asked.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
        room = min(room, _ROOM - 1)
        self._paths[family, text] = now + _REMEMBERED, address, room
        return address, room

    # ---- in

    def start(self, receive: Receive) -> None:
        assert self._readers is not None, "it only sends"
        self._receive = receive
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._readers.add_reader(self._bell, self._news_came)
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
                if popped is None:
                    self.dropped += 1
                elif popped is not KEPT:
                    found.append(popped)
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
        if four and self._is_raw:  # a raw socket of IPv4 shows the header
            data = data[(data[0] & 15) * 4 :]
        names = ("tun_src", "tun_dst") if four else ("tun_ipv6_src", "tun_ipv6_dst")
        for name, end in zip(names, (peer, own), strict=True):
            key |= int.from_bytes(end, "big") << OFFSET[name]
        if not self._is_raw:
            ports = address[1].to_bytes(2, "big") + self._tunnel.destination.to_bytes(2, "big")
            data = ports + bytes(4) + data
        popped = pop_payload(self._tunnel.type, data, (peer, own), key, self._tunnel.extensions, self._pieces)
        if popped is None or popped is KEPT or popped.offload is not None:
            return popped
        return popped._replace(offload=unfinished_of_any_size(popped.frame))

    def guard(self, name: str, local: int, remote: int, secret: str) -> None:
        raise DeviceError("these sockets are not protected")

    def unguard(self, name: str, remote: int) -> None:
        pass

    def close(self) -> None:
        if self._bell >= 0 and self._readers is not None:
            self._readers.remove_reader(self._bell)
            os.close(self._bell)
            self._bell = -1
        for _, one in self._in:
            if self._readers is not None:
                self._readers.remove_reader(one.fileno())
            one.close()
        for out in (*self._out.values(), *self._guards):
            out.close()
        self._in.clear()
        self._guards.clear()
        self._out.clear()


# ---- filters, in the kernel's classic language (linux/filter.h)

_LOAD_HALF, _LOAD_INDEXED_HALF, _INDEX_BY_IP, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x48, 0xB1, 0x15, 0x06
_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, operand
_NOTHING: Final[list[_Step]] = [(_RETURN, 0, 0, 0)]


def _to_port(family: int, port: int) -> list[_Step]:
    """Lets through what goes to a port; a raw socket of IPv4 has the IP header before it."""
    load: list[_Step] = [(_LOAD_HALF, 0, 0, 2)]
    if family == socket.AF_INET:
        load = [(_INDEX_BY_IP, 0, 0, 0), (_LOAD_INDEXED_HALF, 0, 0, 2)]
    return [*load, (_JUMP_IF_EQUAL, 0, 1, port), (_RETURN, 0, 0, 0xFFFFFFFF), *_NOTHING]


def _filter(one: socket.socket, steps: Sequence[_Step]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    one.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(steps), ctypes.addressof(code)))


def _guard(family: int, protocol: int, port: int) -> socket.socket:
    """Has the port, and keeps the kernel from answering."""
    kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
    one = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == TCP:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _filter(one, _NOTHING)
        one.bind(("::" if family == socket.AF_INET6 else "", port))
        if protocol == TCP:
            one.listen(1)
    except OSError:
        one.close()
        raise
    return one


def text_of(address: int) -> tuple[int, str]:
    """Family and text of an address."""
    if is_mapped(address):
        return socket.AF_INET, socket.inet_ntop(socket.AF_INET, (address & 0xFFFFFFFF).to_bytes(4, "big"))
    return socket.AF_INET6, socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))
