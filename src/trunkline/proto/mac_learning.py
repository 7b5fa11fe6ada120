"""Where a MAC address was last seen: the table that makes a bridge a switch.

An entry maps (VLAN, address) to a port, by name.  It ages: after `aging` seconds without a packet from that
address it goes.  The table is bounded; when it is full, the port with the most entries gives up its least
recently used one, so that a machine that invents addresses pushes out only its own.

Entries are keyed by bytes, whose hash is keyed, for whoever can send packets chooses the keys.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

STATIC: Final = float("inf")


class MacEntry:
    """`expires` is Clock.monotonic(); STATIC if an administrator put it there."""

    __slots__ = ("expires", "mac", "port", "vlan")

    def __init__(self, vlan: int, mac: int, port: str, expires: float) -> None:
        self.vlan = vlan
        self.mac = mac
        self.port = port
        self.expires = expires


class MacStatistics(NamedTuple):
    learned: int = 0
    expired: int = 0
    evicted: int = 0
    moved: int = 0


def mac_key(vlan: int, mac: int) -> bytes:
    return (vlan << 48 | mac).to_bytes(8, "big")


class MacTable:
    """Addresses of one bridge.  What changes is told by return values: (vlan, mac) pairs that moved or
    went."""

    __slots__ = ("_entries", "_fullest", "_ports", "_sizes", "aging", "flood_vlans", "limit", "statistics")

    def __init__(self, aging: float = 300.0, limit: int = 8192) -> None:
        self.aging = aging
        self.limit = limit
        self.flood_vlans = 0  # a bit for each VLAN in which nothing is learned
        self.statistics = MacStatistics()
        self._entries: OrderedDict[bytes, MacEntry] = OrderedDict()  # least recently used first
        self._ports: dict[str, OrderedDict[bytes, None]] = {}  # the same order, port by port
        self._sizes: dict[int, dict[str, None]] = {}  # ports by how many entries they have
        self._fullest = 0

    def __len__(self) -> int:
        return len(self._entries)

    def static_count(self) -> int:
        return sum(entry.expires == STATIC for entry in self._entries.values())

    def lookup(self, vlan: int, mac: int) -> MacEntry | None:
        if self.flood_vlans >> vlan & 1:
            return None
        return self._entries.get((vlan << 48 | mac).to_bytes(8, "big"))

    def learn(self, vlan: int, mac: int, port: str, now: float) -> list[tuple[int, int]]:
        """A packet from `mac` came in on `port` at `now`."""
        if mac >> 40 & 1 or self.flood_vlans >> vlan & 1:
            return []
        key = (vlan << 48 | mac).to_bytes(8, "big")
        entry = self._entries.get(key)
        if entry is not None and entry.port == port:
            if entry.expires < now + self.aging:  # also keeps static entries static
                entry.expires = now + self.aging
                self._entries.move_to_end(key)
                self._ports[port].move_to_end(key)
            return []
        if entry is not None:
            if entry.expires == STATIC:
                return []
            self.statistics = self.statistics._replace(moved=self.statistics.moved + 1)
            self._unlink(key, entry)
            changed = []
        else:
            changed = self._evict(self.limit - 1)
            self.statistics = self.statistics._replace(learned=self.statistics.learned + 1)
        self._link(key, MacEntry(vlan, mac, port, now + self.aging))
        return [*changed, (vlan, mac)]

    def learnable(self, vlan: int, mac: int) -> bool:
        """Whether packets can tell where the address is."""
        if mac >> 40 & 1 or self.flood_vlans >> vlan & 1:
            return False
        entry = self._entries.get((vlan << 48 | mac).to_bytes(8, "big"))
        return entry is None or entry.expires != STATIC

    def add_static(self, vlan: int, mac: int, port: str) -> list[tuple[int, int]]:
        """Returns what changed.  An entry that was learned becomes static."""
        key = mac_key(vlan, mac)
        entry = self._entries.get(key)
        changed = []
        if entry is not None:
            self._unlink(key, entry)
        else:
            changed = self._evict(self.limit - 1)
        self._link(key, MacEntry(vlan, mac, port, STATIC))
        return [*changed, (vlan, mac)]

    def remove_static(self, vlan: int, mac: int) -> bool:
        key = mac_key(vlan, mac)
        entry = self._entries.get(key)
        if entry is None or entry.expires != STATIC:
            return False
        self._unlink(key, entry)
        return True

    def forget_port(self, port: str) -> list[tuple[int, int]]:
        """The port is gone or means something else now."""
        return self._drop([self._entries[key] for key in self._ports.get(port, ())])

    def forget(self, addresses: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """What has gone of these (vlan, mac), static entries as well."""
        keys = [mac_key(vlan, mac) for vlan, mac in addresses]
        return self._drop([self._entries[key] for key in keys if key in self._entries])

    def flush(self) -> list[tuple[int, int]]:
        """Forgets all that was learned; static entries stay."""
        return self._drop([entry for entry in self._entries.values() if entry.expires != STATIC])

    def expire(self, now: float) -> list[tuple[int, int]]:
        """Forgets what has not been heard of for too long."""
        old = []
        for entry in self._entries.values():
            if entry.expires == STATIC:
                continue
            if entry.expires > now:
                break  # the order of use is the order of expiry, but for a change of `aging`
            old.append(entry)
        self.statistics = self.statistics._replace(expired=self.statistics.expired + len(old))
        return self._drop(old)

    def next_expiry(self) -> float | None:
        for entry in self._entries.values():
            if entry.expires != STATIC:
                return entry.expires
        return None

    def set_aging(self, aging: float) -> None:
        """Entries that are there keep what they have heard: their time to live changes with the setting."""
        difference = aging - self.aging
        self.aging = aging
        for entry in self._entries.values():
            entry.expires += difference

    def set_limit(self, limit: int) -> list[tuple[int, int]]:
        self.limit = limit
        return self._evict(limit)

    def set_flood_vlans(self, vlans: int) -> list[tuple[int, int]]:
        """A change of these forgets all that was learned, in whatever VLAN."""
        self.flood_vlans = vlans
        return self.flush()

    def entries(self) -> Iterator[MacEntry]:
        """A snapshot, least recently used first."""
        return iter(list(self._entries.values()))

    def _evict(self, room: int) -> list[tuple[int, int]]:
        gone = []
        while len(self._entries) > max(room, 0):
            port = next(iter(self._sizes[self._fullest]))
            key = next(iter(self._ports[port]))
            entry = self._entries[key]
            self._unlink(key, entry)
            gone.append((entry.vlan, entry.mac))
        if gone:
            self.statistics = self.statistics._replace(evicted=self.statistics.evicted + len(gone))
        return gone

    def _drop(self, entries: list[MacEntry]) -> list[tuple[int, int]]:
        for entry in entries:
            self._unlink(mac_key(entry.vlan, entry.mac), entry)
        return [(entry.vlan, entry.mac) for entry in entries]

    def _link(self, key: bytes, entry: MacEntry) -> None:
        self._entries[key] = entry
        keys = self._ports.setdefault(entry.port, OrderedDict())
        keys[key] = None
        self._resize(entry.port, len(keys) - 1, len(keys))

    def _unlink(self, key: bytes, entry: MacEntry) -> None:
        del self._entries[key]
        keys = self._ports[entry.port]
        del keys[key]
        self._resize(entry.port, len(keys) + 1, len(keys))
        if not keys:
            del self._ports[entry.port]

    def _resize(self, port: str, old: int, new: int) -> None:
        """Moves a port to its new size, one more or one less; `_fullest` is the largest size there is."""
        ports = self._sizes.get(old)
        if ports is not None and port in ports:
            del ports[port]
            if not ports:
                del self._sizes[old]
        if new:
            self._sizes.setdefault(new, {})[port] = None
        if new > self._fullest or (self._fullest == old and old not in self._sizes):
            self._fullest = new
