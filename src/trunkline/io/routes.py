"""The kernel's routes and addresses, for tunnels (rtnetlink(7), RFC 3549).

`HostRoutes` reads both whole, and again whenever the kernel has news of either; a table has tens of rows, and
news is seldom.  Of the kernel's tables the main one and that of the host's own addresses count.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from trunkline.base.addresses import MAPPED, from_octets, is_mapped, prefix_mask
from trunkline.io.netlink import DUMP, Netlink, NetlinkError, attributes, listener
from trunkline.proto.routes import Address, Route

_GETADDR, _GETROUTE = 22, 26
_GROUPS: Final = 1 | 0x10 | 0x40 | 0x100 | 0x400  # links, addresses and routes of both families
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_UNICAST, _LOCAL = 1, 2
_MAIN, _LOCAL_TABLE = 254, 255
_CLONED: Final = 0x200
_BITS: Final = 128


def _length(family: int, length: int) -> int:
    return length + 96 if family == socket.AF_INET else length


class HostRoutes:
    """Reads, and hears of changes; `fileno` for a selector, `read` when it is readable."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._events = listener(socket.NETLINK_ROUTE, _GROUPS)

    def fileno(self) -> int:
        return self._events.fileno()

    def drain(self) -> None:
        """Takes the news; it says nothing but that there was some."""
        while True:
            try:
                self._events.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                continue  # some was lost, and everything is read anyway

    def read(self) -> tuple[list[Route], Mapping[str, tuple[Address, ...]]]:
        try:
            names = {link.ifindex: link.name for link in self._netlink.links()}
            addresses = self._read_addresses(names)
            return list(self._read_routes(names, addresses)), addresses
        except NetlinkError:
            return [], {}

    def _read_addresses(self, names: Mapping[int, str]) -> Mapping[str, tuple[Address, ...]]:
        found: dict[str, tuple[Address, ...]] = {}
        for body in self._netlink.request(_GETADDR, DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, length, _, _, index = _ADDRESS.unpack_from(body)
            values = dict(attributes(body[_ADDRESS.size :]))
            value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
            if value is not None and index in names and family in (socket.AF_INET, socket.AF_INET6):
                address = Address(from_octets(value), _length(family, length))
                found[names[index]] = (*found.get(names[index], ()), address)
        return found

    def _read_routes(
        self, names: Mapping[int, str], addresses: Mapping[str, tuple[Address, ...]]
    ) -> Iterator[Route]:
        """The cheapest of those with one prefix comes last."""
        found: list[tuple[int, Route]] = []
        for body in self._netlink.request(_GETROUTE, DUMP, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
            family, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(body)
            values = dict(attributes(body[_ROUTE.size :]))
            if _RTA_TABLE in values:
                table = int.from_bytes(values[_RTA_TABLE], "little")
            if kind not in (_UNICAST, _LOCAL) or table not in (_MAIN, _LOCAL_TABLE) or flags & _CLONED:
                continue
            if family not in (socket.AF_INET, socket.AF_INET6) or _RTA_OIF not in values:
                continue
            device = names.get(int.from_bytes(values[_RTA_OIF], "little"))
            if device is None:
                continue
            empty = MAPPED if family == socket.AF_INET else 0
            prefix = from_octets(values[_RTA_DST]) if _RTA_DST in values else empty
            gateway = from_octets(values[_RTA_GATEWAY]) if _RTA_GATEWAY in values else 0
            source = from_octets(values[_RTA_PREFSRC]) if _RTA_PREFSRC in values else None
            if source is None:
                source = _source(gateway or prefix, addresses.get(device, ()))
            if source is None:
                continue
            priority = int.from_bytes(values[_RTA_PRIORITY], "little") if _RTA_PRIORITY in values else 0
            route = Route(prefix, _length(family, length), device, gateway, source, local=kind == _LOCAL)
            found.append((priority, route))
        found.sort(key=lambda pair: -pair[0])
        for _, route in found:
            yield route

    def close(self) -> None:
        self._netlink.close()
        self._events.close()


def _source(target: int, addresses: tuple[Address, ...]) -> int | None:
    """The address of a device that packets to `target` are sent from."""
    family = [one for one in addresses if is_mapped(one.value) == is_mapped(target)]
    near = [one for one in family if not (one.value ^ target) & prefix_mask(one.length, _BITS)]
    return next((one.value for one in (*near, *family)), None)
