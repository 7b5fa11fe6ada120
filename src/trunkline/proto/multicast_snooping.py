"""Who wants which multicast group: what a bridge learns by listening to IGMP and MLD (RFC 4541).

An entry maps (VLAN, group) to the ports behind which somebody has asked for it.  Each of them ages: `aging`
seconds after the last report it goes, and at once when a leave comes in there.  Ports where a router asks
(queries) are *routers* for three minutes; they get all reports and all traffic of groups, so no group is
learned there.  The table is bounded: when it is full, the group that was reported least recently gives up its
place.

Entries are keyed by bytes, whose hash is keyed, for whoever can send packets chooses the keys.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from trunkline.packet.membership import Change, Message

ROUTER_AGING: Final = 180.0


class Group(NamedTuple):
    """`ports`: when each of them expires, in Clock.monotonic(), least recently heard of first."""

    vlan: int
    address: int
    ports: OrderedDict[str, float]


class Router(NamedTuple):
    vlan: int
    port: str
    expires: float


class Changed(NamedTuple):
    """What a call has changed: groups by (VLAN, address), and whether routers came or went."""

    groups: tuple[tuple[int, int], ...] = ()
    routers: bool = False


def group_key(vlan: int, address: int) -> bytes:
    return (vlan << 128 | address).to_bytes(18, "big")


class MulticastTable:
    """Groups and routers of one bridge.  `flood_unregistered`: what nobody has asked for goes everywhere."""

    __slots__ = ("_ages", "_groups", "_routers", "aging", "flood_unregistered", "limit")

    def __init__(self, aging: float = 300.0, limit: int = 2048, *, flood_unregistered: bool = True) -> None:
        self.aging = aging
        self.limit = limit
        self.flood_unregistered = flood_unregistered
        self._groups: OrderedDict[bytes, Group] = OrderedDict()  # least recently reported first
        self._ages: OrderedDict[tuple[bytes, str], None] = OrderedDict()  # in the order of expiry
        self._routers: OrderedDict[tuple[int, str], float] = OrderedDict()  # least recently heard first

    # ---- looking

    def lookup(self, vlan: int, address: int) -> Group | None:
        return self._groups.get(group_key(vlan, address))

    def groups(self) -> Iterator[Group]:
        """A snapshot, least recently reported first."""
        return iter(list(self._groups.values()))

    def routers(self) -> list[Router]:
        return [Router(vlan, port, expires) for (vlan, port), expires in self._routers.items()]

    def is_router(self, vlan: int, port: str) -> bool:
        return (vlan, port) in self._routers

    def foresee(self, vlan: int, port: str, changes: Iterable[Change], *, shared: bool) -> int:
        """How many entries `hear` would make or end if `changes` came in on `port`."""
        known: dict[int, set[str]] = {}
        count = 0
        for address, wanted in changes:
            ports = known.get(address)
            if ports is None:
                group = self.lookup(vlan, address)
                ports = known[address] = set(group.ports) if group is not None else set()
            if wanted and not self.is_router(vlan, port):
                count += not ports
                ports.add(port)
            elif not wanted and port in ports and not shared:
                count += 1
                ports.discard(port)
        return count

    # ---- learning

    def hear(self, vlan: int, port: str, message: Message, now: float, *, shared: bool) -> Changed:
        """A message came in on `port` at `now`.  `shared`: there are several hosts behind the port, so that
        the leave of one says nothing of the others."""
        if not message.intact:
            return Changed()
        if message.querier is not None:
            return self._query(vlan, port, now) if message.querier else Changed()
        groups: list[tuple[int, int]] = []
        for address, wanted in message.changes:
            if wanted:
                self._join(vlan, port, address, now, groups)
            elif not shared:
                self._leave(vlan, port, address, groups)
        return Changed(tuple(groups))

    def _query(self, vlan: int, port: str, now: float) -> Changed:
        fresh = (vlan, port) not in self._routers
        self._routers[vlan, port] = now + ROUTER_AGING
        self._routers.move_to_end((vlan, port))
        return Changed(routers=fresh)

    def _join(self, vlan: int, port: str, address: int, now: float, groups: list[tuple[int, int]]) -> None:
        if self.is_router(vlan, port):
            return
        key = group_key(vlan, address)
        group = self._groups.get(key)
        if group is None:
            groups += self._evict(self.limit - 1)
            group = self._groups[key] = Group(vlan, address, OrderedDict())
        if port not in group.ports:
            groups.append((vlan, address))
        group.ports[port] = now + self.aging
        group.ports.move_to_end(port)
        self._ages[key, port] = None
        self._ages.move_to_end((key, port))
        self._groups.move_to_end(key)

    def _leave(self, vlan: int, port: str, address: int, groups: list[tuple[int, int]]) -> None:
        key = group_key(vlan, address)
        group = self._groups.get(key)
        if group is not None and port in group.ports:
            groups.append((vlan, address))
            self._drop_port(key, group, port)

    # ---- forgetting

    def flush(self) -> Changed:
        changed = Changed(
            tuple((one.vlan, one.address) for one in self._groups.values()), bool(self._routers)
        )
        self._groups.clear()
        self._ages.clear()
        self._routers.clear()
        return changed

    def forget_port(self, port: str) -> Changed:
        """The port is gone or means something else now."""
        groups = []
        for key, group in list(self._groups.items()):
            if port in group.ports:
                groups.append((group.vlan, group.address))
                self._drop_port(key, group, port)
        gone = [router for router in self._routers if router[1] == port]
        for router in gone:
            del self._routers[router]
        return Changed(tuple(groups), bool(gone))

    def expire(self, now: float) -> Changed:
        groups = []
        while self._ages:
            key, port = next(iter(self._ages))
            group = self._groups[key]
            if group.ports[port] > now:
                break
            groups.append((group.vlan, group.address))
            self._drop_port(key, group, port)
        gone = [router for router, expires in self._routers.items() if expires <= now]
        for router in gone:
            del self._routers[router]
        return Changed(tuple(groups), bool(gone))

    def next_expiry(self) -> float | None:
        times = [self._groups[key].ports[port] for key, port in islice(self._ages, 1)]
        times += islice(self._routers.values(), 1)
        return min(times, default=None)

    def set_aging(self, aging: float) -> None:
        """Entries that are there keep what they have heard: their time to live changes with the setting."""
        difference = aging - self.aging
        self.aging = aging
        for group in self._groups.values():
            for port in group.ports:
                group.ports[port] += difference

    def set_limit(self, limit: int) -> Changed:
        self.limit = limit
        return Changed(tuple(self._evict(limit)))

    def _evict(self, room: int) -> list[tuple[int, int]]:
        gone = []
        while len(self._groups) > max(room, 0):
            key, group = self._groups.popitem(last=False)
            for port in group.ports:
                del self._ages[key, port]
            gone.append((group.vlan, group.address))
        return gone

    def _drop_port(self, key: bytes, group: Group, port: str) -> None:
        del group.ports[port]
        del self._ages[key, port]
        if not group.ports:
            del self._groups[key]
