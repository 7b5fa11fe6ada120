"""Who wants which multicast group: what a bridge learns by listening to IGMP and MLD (RFC 4541).

An entry maps (VLAN, group) to the ports behind which somebody has asked for it.  Each of them ages: `aging`
seconds after the last report it goes, and at once when a leave comes in there.  Ports where a router asks
(queries) are *routers* for three minutes; they get all reports and all traffic of groups, so no group is
learned there.  The table is bounded: when it is full, the group that was reported least recently gives up its
place.

Entries are keyed by bytes, whose hash is keyed, for whoever can send packets chooses the keys.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from trunkline.packet.membership import Message

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
    """What a call has changed: groups by (VLAN, address), and whether routers came or went; how many groups a
    report has made, and how many ports left theirs."""

    groups: tuple[tuple[int, int], ...] = ()
    routers: bool = False
    entries: int = 0


def group_key(vlan: int, address: int) -> bytes:
    return (vlan << 128 | address).to_bytes(18, "big")


class MulticastTable:
    """Groups and routers of one bridge.  `flood_unregistered`: what nobody has asked for goes everywhere."""

    __slots__ = ("_groups", "_routers", "aging", "flood_unregistered", "limit")

    def __init__(self, aging: float = 300.0, limit: int = 2048, *, flood_unregistered: bool = True) -> None:
        self.aging = aging
        self.limit = limit
        self.flood_unregistered = flood_unregistered
        self._groups: OrderedDict[bytes, Group] = OrderedDict()  # least recently reported first
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

    def foresee(self, vlan: int, port: str, message: Message, *, shared: bool) -> int:
        """How many entries `hear` would make or end."""
        copy = MulticastTable(self.aging, self.limit)
        copy._groups.update(
            (key, group._replace(ports=OrderedDict(group.ports))) for key, group in self._groups.items()
        )
        copy._routers.update(self._routers)
        return copy.hear(vlan, port, message, 0.0, shared=shared).entries

    # ---- learning

    def hear(self, vlan: int, port: str, message: Message, now: float, *, shared: bool) -> Changed:
        """A message came in on `port` at `now`.  `shared`: there are several hosts behind the port, so that
        the leave of one says nothing of the others."""
        if not message.intact:
            return Changed()
        if message.querier is not None:
            return self._query(vlan, port, now) if message.querier else Changed()
        groups: list[tuple[int, int]] = []
        entries = 0
        for address, wanted in message.changes:
            if wanted:
                entries += self._join(vlan, port, address, now, groups)
            elif not shared:
                entries += self._leave(vlan, port, address, groups)
        return Changed(tuple(groups), entries=entries)

    def _query(self, vlan: int, port: str, now: float) -> Changed:
        fresh = (vlan, port) not in self._routers
        self._routers[vlan, port] = now + ROUTER_AGING
        self._routers.move_to_end((vlan, port))
        return Changed(routers=fresh)

    def _join(self, vlan: int, port: str, address: int, now: float, groups: list[tuple[int, int]]) -> bool:
        """Whether the group is new."""
        if self.is_router(vlan, port):
            return False
        key = group_key(vlan, address)
        group = self._groups.get(key)
        is_new = group is None
        if group is None:
            groups += self._evict(self.limit - 1)
            group = self._groups[key] = Group(vlan, address, OrderedDict())
        if port not in group.ports:
            groups.append((vlan, address))
        group.ports[port] = now + self.aging
        group.ports.move_to_end(port)
        self._groups.move_to_end(key)
        return is_new

    def _leave(self, vlan: int, port: str, address: int, groups: list[tuple[int, int]]) -> bool:
        """Whether the group was wanted there."""
        key = group_key(vlan, address)
        group = self._groups.get(key)
        if group is None or port not in group.ports:
            return False
        groups.append((vlan, address))
        del group.ports[port]
        return True

    # ---- forgetting

    def flush(self) -> Changed:
        changed = Changed(
            tuple((one.vlan, one.address) for one in self._groups.values()), bool(self._routers)
        )
        self._groups.clear()
        self._routers.clear()
        return changed

    def forget_port(self, port: str) -> Changed:
        """The port is gone or means something else now."""
        groups = []
        for key, group in list(self._groups.items()):
            if group.ports.pop(port, None) is not None:
                groups.append((group.vlan, group.address))
                if not group.ports:
                    del self._groups[key]
        gone = [router for router in self._routers if router[1] == port]
        for router in gone:
            del self._routers[router]
        return Changed(tuple(groups), bool(gone))

    def expire(self, now: float) -> Changed:
        """Forgets what has not been reported for too long, and groups that nobody wants, in the order of the
        last reports.  To be called after every change.

        A group of which somebody is still heard ends the search: what comes after it goes later.  So a group
        that the last one has left may be known for a while, and what is sent to it is not flooded.
        """
        groups = []
        for key, group in list(self._groups.items()):
            old = [port for port, expires in group.ports.items() if expires <= now]
            for port in old:
                del group.ports[port]
            if old or not group.ports:
                groups.append((group.vlan, group.address))
            if group.ports:
                break
            del self._groups[key]
        gone = [router for router, expires in self._routers.items() if expires <= now]
        for router in gone:
            del self._routers[router]
        return Changed(tuple(groups), bool(gone))

    def next_expiry(self) -> float | None:
        times = list(islice(self._routers.values(), 1))
        for group in islice(self._groups.values(), 1):
            times += islice(group.ports.values(), 1)
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
            _, group = self._groups.popitem(last=False)
            gone.append((group.vlan, group.address))
        return gone
