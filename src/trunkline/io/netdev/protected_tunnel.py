"""Tunnels whose packets are secret: through the host's own sockets, which send and take ESP alone.

A tunnel with options:psk leaves by no other way than these sockets, and the kernel keeps them from sending or
receiving anything in clear (io/xfrm.py).  So there is no moment at which a packet of the tunnel could pass
unprotected, whatever is configured first, and whoever ends this process: with it goes the socket.

The associations of a tunnel are made when it comes (`guard`) and go with it.  Where options:local_ip does
not name this host's address, the one that the kernel would send from is taken, and looked at again from time
to time.
"""

import socket
import struct
from typing import Final, NamedTuple

from trunkline.base.addresses import MAPPED, is_mapped
from trunkline.bridge.devices import DeviceError
from trunkline.dpif.provider import TunnelPort
from trunkline.flow.key import get
from trunkline.io.netdev.host_tunnel import HostTunnel, text_of
from trunkline.io.netdev.kernel import Readers
from trunkline.io.xfrm import Associations, XfrmError, protect
from trunkline.model.tunnels import UDP
from trunkline.packet.tunnels import Outer, header, push
from trunkline.proto.preshared import association

_ETHERNET: Final = 14
_UDP_HEADER: Final = 8
_IP_TOS, _IP_TTL, _IP_PKTINFO, _IP_MTU_DISCOVER = 1, 2, 8, 10
_IPV6_MTU_DISCOVER: Final = 23
_FRAGMENT: Final = 0  # IP_PMTUDISC_DONT
_INT: Final = struct.Struct("=i")
_INFO: Final = struct.Struct("=I4s4s")


class End(NamedTuple):
    """A host at the other end.  `local` 0: as the kernel chooses; `source`: what that is now, or 0."""

    secret: str
    local: int
    source: int
    users: frozenset[str]  # the interfaces


class ProtectedTunnel(HostTunnel):
    """Raises DeviceError if the host cannot protect such a tunnel."""

    def __init__(self, tunnel: TunnelPort, readers: Readers, number: int) -> None:
        """`number`: by which the switch's associations go."""
        self._ends: dict[int, End] = {}
        self._senders: dict[int, socket.socket] = {}
        try:
            self._associations = Associations(number)
        except XfrmError as error:
            raise DeviceError(error.strerror) from None
        super().__init__(tunnel, readers)

    def _open(self) -> None:
        """There is one socket for both directions."""
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                one = self._listen(family)
            except OSError:
                if family == socket.AF_INET6:
                    continue  # a host without IPv6
                raise
            self._in.append((family, one))
            self._senders[family] = one
            protect(one, self._associations.number)
            if family == socket.AF_INET:  # ESP makes packets longer, and would be dropped without a word
                one.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _FRAGMENT)
            else:
                one.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _FRAGMENT)

    # ---- who is at the other end

    def guard(self, name: str, local: int, remote: int, secret: str) -> None:
        """Packets to and from that host go by the secret from now on.  Raises DeviceError."""
        there = self._ends.get(remote)
        others = there.users - {name} if there is not None else frozenset[str]()
        if there is not None and others and (there.secret, there.local) != (secret, local):
            raise DeviceError(
                f"{', '.join(sorted(others))} goes to the same host by another secret or local_ip"
            )
        self._unmake(remote)
        source = local or self._chosen(remote)
        self._ends[remote] = end = End(secret, local, source, others | {name})
        try:
            self._make(remote, end)
        except XfrmError as error:
            self._unmake(remote)
            self._unblock(remote)
            del self._ends[remote]
            raise DeviceError(error.strerror) from None

    def unguard(self, name: str, remote: int) -> None:
        """An interface goes; with the last one to a host the associations go."""
        there = self._ends.get(remote)
        if there is None or name not in there.users:
            return
        users = there.users - {name}
        if users:
            self._ends[remote] = there._replace(users=users)
            return
        self._unmake(remote)
        self._unblock(remote)
        del self._ends[remote]

    @property
    def _packets(self) -> tuple[int, int]:
        """Protocol and UDP port."""
        return self._protocol, self._tunnel.destination

    def _unblock(self, remote: int) -> None:
        try:
            self._associations.unblock(remote, *self._packets)
        except XfrmError:
            pass  # a kernel that cannot do it has none

    def _make(self, remote: int, end: End) -> None:
        """Raises XfrmError."""
        self._associations.block(remote, *self._packets)
        if not end.source:
            return  # no way there yet
        for sender, receiver in ((end.source, remote), (remote, end.source)):
            keys = association(end.secret, *self._packets, sender, receiver)
            self._associations.add(sender, receiver, keys)

    def _unmake(self, remote: int) -> None:
        end = self._ends.get(remote)
        if end is None or not end.source:
            return
        for sender, receiver in ((end.source, remote), (remote, end.source)):
            keys = association(end.secret, *self._packets, sender, receiver)
            try:
                self._associations.delete(receiver, keys.spi)
            except XfrmError:
                pass  # a kernel that cannot do it has none

    def _chosen(self, remote: int) -> int:
        try:
            return self._path(*text_of(remote))[0]
        except OSError:
            return 0

    def _follow(self, remote: int, end: End) -> End:
        """The kernel may choose another address to send from than it did before."""
        if end.local or (source := self._chosen(remote)) == end.source:
            return end
        self._unmake(remote)
        self._ends[remote] = end = end._replace(source=source)
        try:
            self._make(remote, end)
        except XfrmError:
            self._ends[remote] = end = end._replace(source=0)  # it is tried again
        return end

    # ---- out

    def _send(self, frame: bytes, key: int, source_port: int, sequence: int) -> bool:
        destination = get(key, "tun_ipv6_dst") or MAPPED | get(key, "tun_dst")
        family, text = text_of(destination)
        end, one = self._ends.get(destination), self._senders.get(family)
        if end is not None:
            end = self._follow(destination, end)
        if end is None or not end.source or one is None:
            return False
        head = header(self._kind(key), Outer(0, 0, end.source, destination), key)
        packet = push(head, frame, source_port, sequence)
        at = _ETHERNET + (20 if family == socket.AF_INET else 40)
        if self._protocol == UDP:
            at += _UDP_HEADER  # the kernel writes that one
        mark = get(key, "pkt_mark")
        if mark != self._marks.get(family, 0):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            self._marks[family] = mark
        beside = _beside(end.source, get(key, "tun_tos"), get(key, "tun_ttl") or 64)
        one.sendmsg((packet[at:],), beside, 0, (text, self._tunnel.destination if not self._is_raw else 0))
        return True

    def close(self) -> None:
        super().close()
        for remote in self._ends:
            self._unmake(remote)
            self._unblock(remote)
        self._ends.clear()
        self._senders.clear()
        self._associations.close()


def _beside(source: int, tos: int, ttl: int) -> list[tuple[int, int, bytes]]:
    """What the IP header is to have."""
    if is_mapped(source):
        info = _INFO.pack(0, (source & 0xFFFFFFFF).to_bytes(4, "big"), bytes(4))
        return [
            (socket.IPPROTO_IP, _IP_PKTINFO, info),
            (socket.IPPROTO_IP, _IP_TTL, _INT.pack(ttl)),
            (socket.IPPROTO_IP, _IP_TOS, _INT.pack(tos)),
        ]
    return [
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source.to_bytes(16, "big") + bytes(4)),
        (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, _INT.pack(ttl)),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(tos)),
    ]
