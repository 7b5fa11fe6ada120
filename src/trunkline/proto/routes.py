"""The routing table of tunnels: through which device, by which gateway and from which address a host is
reached.

Routes come from the kernel (`replace_kernel`), as it has them, and from people (``ovs/route/add``).  A lookup
takes the longest prefix among those with the packet's mark; of two with one prefix the one that somebody
added, or that is one of the host's own addresses, comes first.

Addresses are ints of 128 bits (base/addresses.py); the length of an IPv4 prefix counts from bit 96, so that
one table holds both families.  Nothing here does I/O.  Source: ovs-vswitchd(8), "OVS ROUTING TABLE".
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from trunkline.base.addresses import format_address, is_mapped, prefix_mask

_BITS: Final = 128
_PREFERRED: Final = 64  # added to the length of a prefix
_TO_IPV4: Final = 96


class Address(NamedTuple):
    """An address of a device; `length` of its prefix, of 128 bits."""

    value: int
    length: int


class Route(NamedTuple):
    """`gateway` 0: on the link; `source` is what packets are sent from; `by_hand`: somebody added it."""

    prefix: int
    length: int
    device: str
    gateway: int = 0
    source: int = 0
    mark: int = 0
    by_hand: bool = False
    local: bool = False

    @property
    def rank(self) -> int:
        return self.length + (_PREFERRED if self.by_hand or self.local else 0)


class RouteError(Exception):
    """A route cannot be."""


class Routes:
    """`addresses`: what each device has, which whoever owns the devices keeps up to date."""

    def __init__(self) -> None:
        self.addresses: dict[str, tuple[Address, ...]] = {}
        self._by_hand: dict[tuple[int, int, int], Route] = {}  # by prefix, length and mark
        self._kernel: dict[tuple[int, int, int], Route] = {}

    def __len__(self) -> int:
        return len(self._by_hand) + len(self._kernel)

    # ---- changing

    def add(self, prefix: int, length: int, device: str, gateway: int = 0, mark: int = 0) -> Route:
        """Raises RouteError if the device has no address from which the gateway, or else the prefix, can be
        reached."""
        prefix &= prefix_mask(length, _BITS)
        source = self.source_for(gateway or prefix, device)
        if source is None:
            raise RouteError("Error while inserting route.")
        route = Route(prefix, length, device, gateway, source, mark, by_hand=True)
        self._by_hand[prefix, length, mark] = route
        return route

    def remove(self, prefix: int, length: int, mark: int = 0) -> bool:
        """Of a route that somebody added; False: there is none."""
        return self._by_hand.pop((prefix & prefix_mask(length, _BITS), length, mark), None) is not None

    def replace_kernel(self, routes: Iterable[Route]) -> bool:
        """The kernel's routes as they are now; False: nothing has changed."""
        new = {(route.prefix, route.length, route.mark): route for route in routes}
        changed = new != self._kernel
        self._kernel = new
        return changed

    # ---- looking

    def source_for(self, target: int, device: str) -> int | None:
        """The address of a device that shares its link with `target`."""
        for address, length in self.addresses.get(device, ()):
            same_family = is_mapped(address) == is_mapped(target)
            if same_family and not (address ^ target) & prefix_mask(length, _BITS):
                return address
        return None

    def lookup(self, target: int, mark: int = 0) -> Route | None:
        found = [_longest(table, target, mark) for table in (self._by_hand, self._kernel)]
        return max((one for one in found if one is not None), key=lambda one: one.rank, default=None)

    def all(self) -> list[Route]:
        """Those with the longest prefix first."""
        routes = [*self._by_hand.values(), *self._kernel.values()]
        return sorted(routes, key=lambda one: (-one.length, not one.mark, not one.by_hand))

    def devices(self) -> set[str]:
        """The devices that a route leads through."""
        return {route.device for table in (self._by_hand, self._kernel) for route in table.values()}


def describe(route: Route) -> str:
    """As ovs/route/show has it."""
    four = is_mapped(route.prefix) and route.length >= _TO_IPV4
    length = route.length - _TO_IPV4 if four else route.length
    parts = ["User:" if route.by_hand else "Cached:", f"{format_address(route.prefix)}/{length}"]
    if route.mark:
        parts.append(f"MARK {route.mark}")
    parts.append(f"dev {route.device}")
    if route.gateway:
        parts.append(f"GW {format_address(route.gateway)}")
    parts.append(f"SRC {format_address(route.source)}")
    if route.local:
        parts.append("local")
    return " ".join(parts)


def _longest(table: Mapping[tuple[int, int, int], Route], target: int, mark: int) -> Route | None:
    least = _TO_IPV4 if is_mapped(target) else 0
    for length in sorted({length for _, length, _ in table if length >= least}, reverse=True):
        route = table.get((target & prefix_mask(length, _BITS), length, mark))
        if route is not None:
            return route
    return None
