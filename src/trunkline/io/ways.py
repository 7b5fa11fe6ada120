"""How the kernel would reach a host: asked of the kernel itself, for programs that send past its IP layer.

`HostNetwork.way` asks for the route of one destination, as ``ip route get`` does: rules, tables and marks
are all the kernel's affair.  It says which device a packet leaves by, from which address and to which
neighbour.
Where the kernel would do more than to send (encrypt it, deliver it to this host itself), there is no way, and
packets have to be given to its IP layer.  `news` tells whether something may have changed.

Sources: rtnetlink(7), linux/rtnetlink.h, linux/xfrm.h.
"""

import socket
import struct
from typing import Final, NamedTuple

from trunkline.base.addresses import from_octets, is_mapped, octets_of
from trunkline.io.netlink import (
    DUMP,
    Conversation,
    Link,
    Netlink,
    NetlinkError,
    attribute,
    attributes,
    listener,
)
from trunkline.io.xfrm import ALL_POLICIES, XFRM, is_for_all

_GETADDR, _GETROUTE = 22, 26
_GROUPS: Final = 1 | 0x10 | 0x40 | 0x100 | 0x400  # links, addresses and routes of both families
_RULES: Final = 0x80 | 0x40000  # and rules
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_MARK = 1, 2, 4, 5, 7, 8, 16
_RTA_VIA, _RTA_ENCAP = 18, 22
_RTAX_MTU: Final = 2
_UNICAST: Final = 1
_ETHERNET: Final = 1  # ARPHRD_ETHER
_LINK_SCOPE: Final = 253
_POLICY_GROUP: Final = 8


class Way(NamedTuple):
    """`device` is an ifindex; `hop` the neighbour's address, and `source` that of this host, both of 128 bits
    (base/addresses.py); `mtu` counts from the IP header on."""

    device: int
    hop: int
    source: int
    mtu: int


class HostNetwork:
    def __init__(self) -> None:
        self._netlink = Netlink()
        self._events = [listener(socket.NETLINK_ROUTE, _GROUPS | _RULES)]
        self._policies: Conversation | None = None
        try:
            self._events.append(listener(XFRM, _POLICY_GROUP))
            self._policies = Conversation(XFRM)
        except OSError:
            pass  # a kernel that knows no policies of encryption has none

    def filenos(self) -> list[int]:
        """For a selector: one of them is readable when there is news."""
        return [one.fileno() for one in self._events]

    def news(self) -> bool:
        """Whether links, addresses, routes or policies may have changed since the last call."""
        found = False
        for one in self._events:
            while True:
                try:
                    one.recv(1 << 16)
                    found = True
                except BlockingIOError:
                    break
                except OSError:
                    found = True  # some was lost
        return found

    def encrypts(self) -> bool:
        """Whether there is any policy of encryption (xfrm): then only the IP layer knows what to do.

        Those of sockets and the blocks of protected tunnels (io/xfrm.py) concern nobody else.
        """
        if self._policies is None:
            return False
        try:
            return any(map(is_for_all, self._policies.request(*ALL_POLICIES)))
        except NetlinkError:
            return False

    def links(self) -> dict[int, Link]:
        """Those that could be an underlay: Ethernet, up."""
        return {
            link.ifindex: link for link in self._netlink.links() if link.hardware == _ETHERNET and link.up
        }

    def addresses(self) -> dict[int, list[int]]:
        """The host's addresses by ifindex, but for those that are good for one link alone."""
        found: dict[int, list[int]] = {}
        for body in self._netlink.request(_GETADDR, DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, _, _, scope, index = _ADDRESS.unpack_from(body)
            if family not in (socket.AF_INET, socket.AF_INET6) or scope >= _LINK_SCOPE:
                continue
            values = dict(attributes(body[_ADDRESS.size :]))
            value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
            if value is not None:
                found.setdefault(index, []).append(from_octets(value))
        return found

    def way(self, destination: int, source: int, mark: int, links: dict[int, Link]) -> Way | None:
        """`source` 0: as the kernel chooses."""
        four = is_mapped(destination)
        family, bits = (socket.AF_INET, 32) if four else (socket.AF_INET6, 128)
        fields = attribute(_RTA_DST, octets_of(destination))
        if source:
            fields += attribute(_RTA_SRC, octets_of(source))
        if mark:
            fields += attribute(_RTA_MARK, struct.pack("=I", mark))
        request = _ROUTE.pack(family, bits, bits if source else 0, 0, 0, 0, 0, 0, 0)
        try:
            answers = self._netlink.request(_GETROUTE, 0, request + fields)
        except NetlinkError:
            return None
        kind = _ROUTE.unpack_from(answers[0])[7]
        values = dict(attributes(answers[0][_ROUTE.size :]))
        if kind != _UNICAST or _RTA_OIF not in values or _RTA_ENCAP in values:
            return None
        link = links.get(int.from_bytes(values[_RTA_OIF], "little"))
        source = source or (from_octets(values[_RTA_PREFSRC]) if _RTA_PREFSRC in values else 0)
        if link is None or not source:
            return None
        hop = destination
        if _RTA_GATEWAY in values:
            hop = from_octets(values[_RTA_GATEWAY])
        elif _RTA_VIA in values:
            hop = from_octets(values[_RTA_VIA][2:])
        mtu = link.mtu
        for name, value in attributes(values[_RTA_METRICS]) if _RTA_METRICS in values else ():
            if name == _RTAX_MTU:
                mtu = min(mtu, int.from_bytes(value, "little"))
        return Way(link.ifindex, hop, source, mtu)

    def close(self) -> None:
        self._netlink.close()
        if self._policies is not None:
            self._policies.close()
        for one in self._events:
            one.close()
