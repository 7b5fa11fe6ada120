"""What a bridge that its controllers are reached through owes to the host: the local port's address, and the
neighbour by which a remote is reached.

Controllers may say which address the local port is to have (ovs-vswitchd.conf.db(5), Controller:local_ip):
it is given to the device when it is new, or the device is, and never taken away, for nobody says what was
there before.  Whose row says something last is heard, whatever its connection_mode.

The neighbour's MAC is asked of the host again and again (`NextHops`): every second until it is known, then
every ten seconds, which is how soon a gateway that takes another one's place is noticed.
"""

from collections.abc import Callable, Iterable
from typing import Final

from trunkline.base.addresses import format_ipv4, parse_ipv4, prefix_length, prefix_mask
from trunkline.base.log import Log, Logger
from trunkline.bridge.devices import DeviceError, NextHop
from trunkline.bridge.parts import BridgePart, InterfacePart, LocalAddress
from trunkline.ovsdb.rows import Row

_BITS: Final = 32
_CLASSES: Final = ((0x80000000, 8), (0xC0000000, 16), (0xE0000000, 24))  # first address that is not in it
_KNOWN_SECONDS: Final = 10.0
_UNKNOWN_SECONDS: Final = 1.0


def local_address(rows: Iterable[Row]) -> LocalAddress | None:
    """That of the last controller, by target, that has one; what cannot be read counts as not given."""
    found = None
    for row in sorted(rows, key=lambda row: str(row.target)):
        address = parse_ipv4(row.local_ip or "")
        if address is not None:
            mask = parse_ipv4(row.local_netmask or "")
            length = prefix_length(mask, _BITS) if mask else None
            gateway = parse_ipv4(row.local_gateway or "")
            found = LocalAddress(address, _class_of(address) if length is None else length, gateway or None)
    return found


def _class_of(address: int) -> int:
    """The length of the prefix that an address had before prefixes had lengths (RFC 791, 3.2)."""
    return next((length for end, length in _CLASSES if address < end), _BITS)


def give_address(part: BridgePart, local: InterfacePart, log: Logger) -> None:
    """Sees to it that the local port has the address that it is to have, once for each address and device."""
    wanted = part.local_address
    if wanted is None or local.device is None or (wanted, local.device) == part.addressed:
        return
    part.addressed = wanted, local.device
    address = format_ipv4(wanted.address)
    mask = format_ipv4(prefix_mask(wanted.length, _BITS))
    try:
        local.device.set_address(wanted.address, wanted.length)
    except DeviceError as error:
        text = "bridge %s: failed to configure IP address %s, netmask %s: %s"
        log.warn(text, part.name, address, mask, error)
        return
    log.info("bridge %s: configured IP address %s, netmask %s", part.name, address, mask)
    if wanted.gateway is None:
        return
    gateway = format_ipv4(wanted.gateway)
    try:
        local.device.add_gateway(wanted.gateway)
    except DeviceError as error:
        log.warn("bridge %s: failed to configure gateway %s: %s", part.name, gateway, error)
        return
    log.info("bridge %s: configured gateway %s", part.name, gateway)


class NextHops:
    """Keeps `BridgePart.hops` up to date; `find` as Devices.next_hop has it."""

    def __init__(self, find: Callable[[int], NextHop | None], log: Log) -> None:
        self._find = find
        self._log = log.module("in_band")
        self._due: dict[str, float] = {}  # when which bridge is to be looked at again
        self._lost: set[tuple[str, int]] = set()  # remotes without a route, which the log knows of

    def next_timer(self) -> float | None:
        return min(self._due.values(), default=None)

    def look(self, bridges: Iterable[BridgePart], now: float) -> list[BridgePart]:
        """Looks at bridges that are due, or whose remotes are new; returns those with other hops."""
        changed = []
        due: dict[str, float] = {}
        for part in bridges:
            if part.lane.type == "dummy" or not part.remotes:
                hops, known = frozenset[int](), None
            elif part.looked_for == part.remotes and self._due.get(part.name, now) > now:
                due[part.name] = self._due[part.name]
                continue
            else:
                hops, known = self._hops(part)
            part.looked_for = part.remotes
            if known is not None:
                due[part.name] = now + (_KNOWN_SECONDS if known else _UNKNOWN_SECONDS)
            if hops != part.hops:
                part.hops = hops
                changed.append(part)
        self._due = due
        return changed

    def _hops(self, part: BridgePart) -> tuple[frozenset[int], bool]:
        """The MACs of neighbours, and whether all are known."""
        found = {address: self._find(address) for address in {address for address, _ in part.remotes}}
        for address, hop in sorted(found.items()):
            place = part.name, address
            if hop is not None:
                self._lost.discard(place)
            elif place not in self._lost:
                self._lost.add(place)
                self._log.warn("%s: cannot find route for controller (%s)", part.name, format_ipv4(address))
        hops = [hop or NextHop() for hop in found.values()]
        return frozenset(hop.mac for hop in hops if hop.mac), all(hop.mac or hop.local for hop in hops)
