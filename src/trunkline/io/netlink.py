"""Conversations with the kernel by netlink (RFC 3549, netlink(7)), and its network interfaces (rtnetlink(7)).

Of these only what the switch needs: look at links, set them up, make and remove veth pairs, and hear of
changes.  A request goes to the kernel and its answer is there when `send` returns, so these calls do not
block.
(pyroute2 does far more, and takes 250 ms to import; the switch must be up before that.)
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from trunkline.base.counters import Counters

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_GETSTATS = 94
_ERROR, _DONE = 2, 3
_REQUEST = 1
ACK, DUMP = 4, 0x300  # flags of a request (linux/netlink.h)
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
_MULTICAST_LINK: Final = 1

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_LINKINFO = 1, 3, 4, 5, 18
_IFLA_IFALIAS, _IFLA_STATS64, _IFLA_AF_SPEC, _IFLA_CARRIER, _IFLA_CARRIER_CHANGES = 20, 23, 26, 33, 35
_IFLA_NETNSID, _IFLA_WIRELESS, _IFLA_NEW_NETNSID, _IFLA_NEW_IFINDEX = 37, 11, 45, 49
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1

IFF_UP: Final = 1
IFF_PROMISC: Final = 0x100
IFF_LOOPBACK: Final = 8
IFF_RUNNING: Final = 0x40

_HEADER: Final = struct.Struct("=IHHII")
_COUNTERS: Final = struct.Struct("=18Q")
_LINK: Final = struct.Struct("=BxHiII")  # family, hardware, index, flags, those that change
_ATTRIBUTE: Final = struct.Struct("=HH")


class LinkStatistics(NamedTuple):
    """The first fields of struct rtnl_link_stats64, in its order."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int
    multicast: int
    collisions: int
    rx_length_errors: int
    rx_over_errors: int
    rx_crc_errors: int
    rx_frame_errors: int
    rx_fifo_errors: int
    rx_missed_errors: int
    tx_aborted_errors: int
    tx_carrier_errors: int


class Link(NamedTuple):
    """A network interface.  `peer` is the ifindex of a veth's other end, `elsewhere` whether that is in
    another namespace; `kind` is the driver's name for virtual devices ("veth", "tun", ...), else ""."""

    ifindex: int
    name: str
    flags: int
    mtu: int
    mac: int
    carrier: bool
    carrier_changes: int
    kind: str
    peer: int
    elsewhere: bool
    statistics: LinkStatistics | None
    hardware: int = 1  # ARPHRD_*: how packets look there; 1 is Ethernet

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


class Moved(NamedTuple):
    """Where a device is that has left the namespace: the number that this one has for that namespace, its
    ifindex there."""

    namespace: int
    ifindex: int


class LinkEvent(NamedTuple):
    """`moved`: it has not gone for good."""

    link: Link
    gone: bool
    moved: Moved | None = None


class NetlinkError(OSError):
    """The kernel refused; errno and strerror say why."""


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute of a message, padded; attributes may be nested."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each."""
    at, end = 0, len(data)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


def _text(data: memoryview) -> str:
    return bytes(data).rstrip(b"\0").decode(errors="surrogateescape")


def _name(text: str) -> bytes:
    return text.encode(errors="surrogateescape") + b"\0"


def _link(body: memoryview) -> Link:
    _, hardware, index, flags, _ = _LINK.unpack_from(body)
    name = kind = ""
    mtu = mac = peer = changes = 0
    carrier, elsewhere = bool(flags & IFF_RUNNING), False
    statistics = None
    for number, value in attributes(body[_LINK.size :]):
        if number == _IFLA_IFNAME:
            name = _text(value)
        elif number == _IFLA_MTU:
            mtu = int.from_bytes(value, "little")
        elif number == _IFLA_ADDRESS:
            mac = int.from_bytes(value[:6], "big")
        elif number == _IFLA_LINK:
            peer = int.from_bytes(value, "little")
        elif number == _IFLA_NETNSID:
            elsewhere = True
        elif number == _IFLA_CARRIER:
            carrier = bool(value[0])
        elif number == _IFLA_CARRIER_CHANGES:
            changes = int.from_bytes(value, "little")
        elif number == _IFLA_STATS64:
            statistics = LinkStatistics(*_COUNTERS.unpack_from(value))
        elif number == _IFLA_LINKINFO:
            kind = next((_text(data) for what, data in attributes(value) if what == _INFO_KIND), "")
    return Link(index, name, flags, mtu, mac, carrier, changes, kind, peer, elsewhere, statistics, hardware)


def _moved(body: memoryview) -> Moved | None:
    found = dict(attributes(body[_LINK.size :]))
    if _IFLA_NEW_NETNSID not in found or _IFLA_NEW_IFINDEX not in found:
        return None
    number, index = (struct.unpack("=i", found[kind])[0] for kind in (_IFLA_NEW_NETNSID, _IFLA_NEW_IFINDEX))
    return Moved(number, index)


class Message(NamedTuple):
    """One of those that come from the kernel; `serial` is that of the request which it answers, or 0."""

    kind: int
    serial: int
    body: memoryview


def _messages(data: memoryview) -> Iterator[Message]:
    """Those of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, serial, _ = _HEADER.unpack_from(data, at)
        yield Message(kind, serial, data[at + _HEADER.size : at + length])
        at += length + 3 & ~3


class Conversation:
    """A socket for requests to a part of the kernel (NETLINK_*, netlink(7)) in the process's network
    namespace.  Raises OSError where the kernel has no such part."""

    def __init__(self, protocol: int, counters: Counters | None = None) -> None:
        counters = counters or Counters()
        self._sent, self._received = counters.counter("netlink_sent"), counters.counter("netlink_received")
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._serial = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> list[memoryview]:
        """The bodies of the answers.  Raises NetlinkError."""
        self._serial += 1
        self._socket.send(
            _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, self._serial, 0) + body
        )
        self._sent.total += 1
        answers: list[memoryview] = []
        while True:
            data = memoryview(self._socket.recv(1 << 18))
            self._received.total += 1
            for answer, serial, content in _messages(data):
                if serial != self._serial:
                    continue
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    code = -int.from_bytes(content[:4], "little", signed=True)
                    if code:
                        raise NetlinkError(code, os.strerror(code))
                    return answers
                answers.append(content)
                if not flags & (ACK | DUMP):
                    return answers


def listener(protocol: int, groups: int) -> socket.socket:
    """A socket that hears what a part of the kernel tells everybody: a bit for each group; it never blocks.

    Raises OSError where the kernel has no such part.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    one = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        one.bind((0, groups))
    except OSError:
        one.close()
        raise
    return one


class Netlink(Conversation):
    """Requests about links of the process's network namespace."""

    def __init__(self, counters: Counters | None = None) -> None:
        super().__init__(socket.NETLINK_ROUTE, counters)

    # ---- looking

    def link(self, name: str) -> Link | None:
        """The link of that name, with statistics."""
        return self._get(0, attribute(_IFLA_IFNAME, _name(name)))

    def link_at(self, index: int) -> Link | None:
        return self._get(index, b"")

    def _get(self, index: int, fields: bytes) -> Link | None:
        try:
            answers = self.request(_GETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + fields)
        except NetlinkError:
            return None
        return _link(answers[0])

    def statistics(self, index: int) -> LinkStatistics | None:
        """Counters alone, at half the cost of a whole link."""
        try:
            answers = self.request(_GETSTATS, 0, struct.pack("=IiI", 0, index, 1))
        except NetlinkError:
            return None
        for _, value in attributes(answers[0][12:]):
            return LinkStatistics(*_COUNTERS.unpack_from(value))
        return None

    def links(self) -> list[Link]:
        return [_link(body) for body in self.request(_GETLINK, DUMP, _LINK.pack(0, 0, 0, 0, 0))]

    # ---- changing; all raise NetlinkError

    def change(
        self,
        index: int,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        mac: int | None = None,
        alias: str | None = None,
        no_ipv6_address: bool = False,
        promiscuous: bool | None = None,
    ) -> None:
        fields = b""
        if mtu is not None:
            fields += attribute(_IFLA_MTU, mtu.to_bytes(4, "little"))
        if mac is not None:
            fields += attribute(_IFLA_ADDRESS, mac.to_bytes(6, "big"))
        if alias is not None:
            fields += attribute(_IFLA_IFALIAS, alias.encode())
        if no_ipv6_address:
            mode = attribute(_INET6_ADDR_GEN_MODE, bytes((_ADDR_GEN_NONE,)))
            fields += attribute(_IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
        flags = mask = 0
        for bit, wanted in ((IFF_UP, up), (IFF_PROMISC, promiscuous)):
            if wanted is not None:
                mask |= bit
                flags |= bit if wanted else 0
        self.request(_NEWLINK, ACK, _LINK.pack(0, 0, index, flags, mask) + fields)

    def add_veth(self, name: str, peer: str) -> None:
        header = _LINK.pack(0, 0, 0, 0, 0)
        other = attribute(_VETH_PEER, header + attribute(_IFLA_IFNAME, _name(peer)))
        information = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, other)
        fields = attribute(_IFLA_IFNAME, _name(name)) + attribute(_IFLA_LINKINFO, information)
        self.request(_NEWLINK, ACK | CREATE | EXCLUSIVE, header + fields)

    def delete(self, index: int) -> None:
        self.request(_DELLINK, ACK, _LINK.pack(0, 0, index, 0, 0))


class LinkEvents:
    """News of links; `fileno` for a selector."""

    def __init__(self, counters: Counters | None = None) -> None:
        counters = counters or Counters()
        self._received = counters.counter("netlink_received")
        self._overflow = counters.counter("netlink_overflow")
        self._socket = listener(socket.NETLINK_ROUTE, _MULTICAST_LINK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[LinkEvent] | None:
        """What has happened since the last call; None: some news was lost, look at everything anew."""
        events: list[LinkEvent] = []
        while True:
            try:
                data = memoryview(self._socket.recv(1 << 16))
            except BlockingIOError:
                return events
            except OSError:
                self._overflow.total += 1  # ENOBUFS
                return None
            self._received.total += 1
            for kind, _, body in _messages(data):
                if kind in (_NEWLINK, _DELLINK) and len(body) >= _LINK.size:
                    link = _link(body)
                    if link.name and body[0] == 0:  # AF_UNSPEC; bridges and IPv6 send news of their own
                        gone = kind == _DELLINK
                        events.append(LinkEvent(link, gone, _moved(body) if gone else None))
