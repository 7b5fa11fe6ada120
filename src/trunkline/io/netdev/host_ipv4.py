"""IPv4 of the host: a device's address, a default route, and who the next neighbour on a way is.

The address goes by the old ioctls (netdevice(7)), which put it in the place of the device's first, the rest
by rtnetlink(7).
"""

import errno
import fcntl
import socket
import struct
from typing import Final

from trunkline.base.addresses import prefix_mask
from trunkline.bridge.devices import NextHop
from trunkline.io.netlink import ACK, CREATE, Netlink, NetlinkError, attribute, attributes

_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_REQUEST: Final = struct.Struct("=16sHHI16x")  # struct ifreq with an address of IPv4
_NEWROUTE, _GETROUTE, _GETNEIGH = 24, 26, 30
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_MAIN, _BOOT, _UNICAST, _LOCAL = 254, 3, 1, 2
_NEIGHBOUR: Final = struct.Struct("=BBHiHBB")  # family, padding, ifindex, state, flags, type
_NDA_DST, _NDA_LLADDR = 1, 2
_USELESS: Final = 0x01 | 0x20  # states: incomplete, failed
_BITS: Final = 32


def set_ipv4(name: str, address: int, length: int) -> None:
    """Raises OSError."""
    mask = prefix_mask(length, _BITS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
        for kind, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, mask)):
            if address or kind == _SIOCSIFADDR:  # 0.0.0.0 takes the address away
                fields = name.encode(errors="surrogateescape"), socket.AF_INET, 0, socket.htonl(value)
                fcntl.ioctl(one.fileno(), kind, _REQUEST.pack(*fields))


def add_default_route(netlink: Netlink, index: int, gateway: int) -> None:
    """That it is there already is no error.  Raises NetlinkError."""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _MAIN, _BOOT, 0, _UNICAST, 0)
    body += attribute(_RTA_GATEWAY, gateway.to_bytes(4, "big"))
    body += attribute(_RTA_OIF, index.to_bytes(4, "little"))
    try:
        netlink.request(_NEWROUTE, ACK | CREATE, body)
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise


def next_hop(netlink: Netlink, address: int) -> NextHop | None:
    """By whom an IPv4 address is reached; None: there is no route."""
    body = _ROUTE.pack(socket.AF_INET, _BITS, 0, 0, 0, 0, 0, 0, 0)
    try:
        answer = netlink.request(_GETROUTE, 0, body + attribute(_RTA_DST, address.to_bytes(4, "big")))[0]
    except NetlinkError:
        return None
    fields = dict(attributes(answer[_ROUTE.size :]))
    kind = _ROUTE.unpack_from(answer)[7]
    if kind == _LOCAL:
        return NextHop(local=True)
    if kind != _UNICAST or _RTA_OIF not in fields:
        return None
    hop = bytes(fields.get(_RTA_GATEWAY, address.to_bytes(4, "big")))
    index = int.from_bytes(fields[_RTA_OIF], "little")
    body = _NEIGHBOUR.pack(socket.AF_INET, 0, 0, index, 0, 0, 0) + attribute(_NDA_DST, hop)
    try:
        answer = netlink.request(_GETNEIGH, 0, body)[0]
    except NetlinkError:
        return NextHop()
    state = _NEIGHBOUR.unpack_from(answer)[4]
    fields = dict(attributes(answer[_NEIGHBOUR.size :]))
    if state & _USELESS or len(fields.get(_NDA_LLADDR, b"")) != 6:
        return NextHop()
    return NextHop(int.from_bytes(fields[_NDA_LLADDR], "big"))
