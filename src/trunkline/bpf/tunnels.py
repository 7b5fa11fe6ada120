"""Tunnels that the kernel carries: devices of its own, one for each type and UDP port.

Such a device knows no peers: what the outer header says stands beside each packet, both ways (the kernel
calls that to collect metadata), and the program reads and writes it (program/tunnel.h).  Route, neighbour,
source address and UDP source port are the kernel's to find, and so are segmentation and checksums.

Geneve is not here: its options do not fit beside the program's key yet.  GRE is not, for before kernel 6.2
there is no way to leave the key out.  These, and what the kernel has no device for, are carried by this
process (io/netdev/host_tunnel.py).
"""

import errno
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from trunkline.dpif.provider import DatapathError, TunnelPort
from trunkline.io.netlink import Netlink, NetlinkError, attribute

_LEARNING, _PORT, _ZERO_CSUM6_RX, _GBP, _COLLECT_METADATA = 7, 15, 20, 23, 25  # IFLA_VXLAN_*
_MTU: Final = 65465  # as much as fits into an IP packet with its headers
_MISSING: Final = frozenset((errno.EOPNOTSUPP, errno.ENODEV, errno.EPERM))
_ALIAS: Final = "tunnels of a bridge"


def _vxlan(tunnel: TunnelPort) -> tuple[str, bytes] | None:
    if tunnel.extensions - {"gbp"}:
        return None
    yes, no = b"\1", b"\0"
    settings = attribute(_PORT, tunnel.destination.to_bytes(2, "big"))
    settings += attribute(_COLLECT_METADATA, yes) + attribute(_LEARNING, no) + attribute(_ZERO_CSUM6_RX, yes)
    return "vxlan", settings + (attribute(_GBP, b"") if "gbp" in tunnel.extensions else b"")


_KINDS: Final[Mapping[str, Callable[[TunnelPort], tuple[str, bytes] | None]]] = MappingProxyType(
    {"vxlan": _vxlan}
)
"""By type, the kernel's kind of device and its settings; None where it does not know such packets."""


def open_device(netlink: Netlink, name: str, tunnel: TunnelPort) -> int | None:
    """The index of the device of that name, made if it is not there; None: the kernel cannot carry these.

    Raises DatapathError: somebody else has the UDP port.
    """
    kind = _KINDS.get(tunnel.type)
    wanted = kind(tunnel) if kind is not None else None
    if wanted is None:
        return None
    try:
        link = netlink.link(name)
        if link is None:
            netlink.add_device(name, *wanted)
            link = netlink.link(name)
            assert link is not None
            netlink.change(link.ifindex, mtu=_MTU, alias=_ALIAS, no_ipv6_address=True)
        netlink.change(link.ifindex, up=True)
    except NetlinkError as error:
        if error.errno in _MISSING:
            return None
        raise DatapathError(f"{name}: the kernel makes no device for it: {error}") from None
    return link.ifindex
