"""The tunnels of a datapath: which packet came out of which, where packets for one go, what the host listens
to.

A tunnel is a port of a bridge without a device of its own.  All tunnels of one type and UDP port share a
datapath port; a packet that comes in there belongs to the tunnel whose settings fit its outer header best
(`find`): one that names the key before one that takes any, then one that names the remote address, then the
local one.

How a packet gets out is the datapath's affair (`Capabilities`).  One that can put headers on by itself is
told the tunnel's fields and the datapath port ("set_tunnel"); for another the switch finds route and
neighbour and writes the headers (translate/tunnels.py), and takes tunnel packets for the host out of the
traffic to a bridge's own port (`listener`).
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, NamedTuple

from trunkline.base.addresses import MAPPED
from trunkline.flow import key as layout
from trunkline.model.tunnels import LEGACY_L2, LEGACY_L3, TUNNEL_TYPES, datapath_port_name
from trunkline.ofproto.tunnel_settings import TunnelSettings, describe_tunnel
from trunkline.proto.neighbours import Neighbours
from trunkline.proto.routes import Routes

_PORT: Final = layout.OFFSET["dp_in_port"]
_ID: Final = layout.OFFSET["tun_id"]
_PACKET_TYPE: Final = layout.MASK["packet_type"]


def routes_token() -> Hashable:
    """Read by who looked up a route, or an address of the host."""
    return ("routes",)


def neighbour_token(bridge: str, address: int) -> Hashable:
    """Read by who looked up a neighbour, known or not."""
    return ("neighbour", bridge, address)


def tunnels_token() -> Hashable:
    """Read by who asked for a tunnel that fits, or for what the host listens to."""
    return ("tunnels",)


class Shared:
    """What all datapaths of a switch have in common: the host's routes and neighbours.

    `watchers` are told of every change, by a token.
    """

    def __init__(self) -> None:
        self.routes = Routes()
        self.neighbours = Neighbours()
        self.source_ports = (32768, 61000)  # UDP ports that packets of tunnels are sent from
        self.watchers: list[Callable[[Hashable], None]] = []

    def changed(self, token: Hashable) -> None:
        for tell in self.watchers:
            tell(token)

    def learn(self, bridge: str, address: int, mac: int, now: float) -> None:
        if self.neighbours.learn(bridge, address, mac, now):
            self.changed(neighbour_token(bridge, address))

    def expire(self, now: float) -> None:
        """Forgets the neighbours that have not been heard of for long."""
        self.forget(self.neighbours.expire(now))

    def forget(self, gone: list[tuple[str, int]]) -> None:
        """Tells of neighbours that are not known any more."""
        for bridge, address in gone:
            self.changed(neighbour_token(bridge, address))


class Vport(NamedTuple):
    """A datapath port that tunnels share."""

    name: str
    number: int
    protocol: int
    destination: int
    tunnels: int
    protected: bool = False


class Entry(NamedTuple):
    """A tunnel: whose port it is."""

    name: str
    settings: TunnelSettings
    datapath_port: int
    bridge: Any
    ofport: int


class Duplicate(Exception):
    """Another tunnel has the same settings."""


def _ends(key: int) -> tuple[int, int]:
    """Source and destination of the outer header."""
    source, destination = layout.get(key, "tun_src"), layout.get(key, "tun_dst")
    if source or destination:
        return MAPPED | source, MAPPED | destination
    return layout.get(key, "tun_ipv6_src"), layout.get(key, "tun_ipv6_dst")


_Match = tuple[int, int | None, int | None, int | None, str]


class Tunnels:
    """Of one datapath."""

    def __init__(self, shared: Shared, journal: Callable[[Hashable], None]) -> None:
        self.shared = shared
        self.pushes = False  # the switch writes headers, and the datapath puts them on and off
        self.can_push = False  # the datapath can put them on and off
        self.hosted: set[int] = set()  # datapath ports that can do without a bridge
        self.entries: dict[tuple[str, int], Entry] = {}  # by bridge and ofport
        self.vports: dict[str, Vport] = {}
        self.set_source_ports: Callable[[tuple[int, int]], None] = lambda ports: None  # of the datapath
        self._journal = journal
        self._matches: dict[_Match, Entry] = {}
        self._shapes: tuple[tuple[bool, bool, int, str], ...] = ()
        shared.watchers.append(journal)

    def use_pushes(self, on: bool) -> None:
        """Off: the datapath is told the tunnels' fields, and does the rest."""
        self.pushes = on
        self._journal(tunnels_token())

    def tell_source_ports(self) -> None:
        """The UDP ports that packets are sent from have changed."""
        self.set_source_ports(self.shared.source_ports)

    def close(self) -> None:
        self.shared.watchers.remove(self._journal)

    # ---- ports

    def add(self, entry: Entry) -> None:
        """Raises Duplicate."""
        match = _match(entry)
        problem = self.duplicate(entry)
        if problem is not None:
            raise Duplicate(problem)
        old = self.entries.get((entry.bridge.name, entry.ofport))
        if old is not None:
            self._matches.pop(_match(old), None)
        self.entries[entry.bridge.name, entry.ofport] = self._matches[match] = entry
        self._changed()

    def duplicate(self, entry: Entry) -> str | None:
        """What is wrong if another tunnel has the same settings."""
        vport = self.vports.get(datapath_port_name(entry.settings.type, entry.settings.destination))
        if vport is None:
            return None
        other = self._matches.get(_match(entry._replace(datapath_port=vport.number)))
        if other is None or (other.bridge, other.name) == (entry.bridge, entry.name):
            return None
        text = describe_tunnel(other.settings, other.datapath_port).split(": ", 1)[1].split(", ttl=")[0]
        return f"{entry.name}: attempting to add tunnel port with same config as port '{other.name}' ({text})"

    def mixed(self, entry: Entry) -> str | None:
        """What is wrong if only some of the tunnels at a datapath port would be protected."""
        own = bool(entry.settings.secret)
        name = datapath_port_name(entry.settings.type, entry.settings.destination)
        for other in self.entries.values():
            same = name == datapath_port_name(other.settings.type, other.settings.destination)
            if same and bool(other.settings.secret) != own and other.name != entry.name:
                has = "has" if not own else "has no"
                return (
                    f"{entry.name}: '{other.name}' {has} options:psk: tunnels of one type and port are all "
                    "encrypted, or none is"
                )
        return None

    def remove(self, bridge: str, ofport: int) -> None:
        entry = self.entries.pop((bridge, ofport), None)
        if entry is not None:
            del self._matches[_match(entry)]
            self._changed()

    def _changed(self) -> None:
        shapes = {
            (match[1] is None, match[2] is None, _local_rank(match[3]), match[4]) for match in self._matches
        }
        self._shapes = tuple(sorted(shapes))
        self._journal(tunnels_token())

    def use_vport(self, settings: TunnelSettings, add: Callable[[str], int]) -> int:
        """The datapath port for such a tunnel; `add` makes it if there is none of that name yet."""
        name = datapath_port_name(settings.type, settings.destination)
        vport = self.vports.get(name)
        if vport is None:
            row = TUNNEL_TYPES[settings.type]
            vport = Vport(
                name, add(name), row.protocol, settings.destination if row.port is not None else 0, 0
            )
        self.vports[name] = vport._replace(tunnels=vport.tunnels + 1, protected=bool(settings.secret))
        self._journal(tunnels_token())
        return vport.number

    def leave_vport(self, settings: TunnelSettings) -> int | None:
        """The number of the datapath port that is not used any more, if so."""
        name = datapath_port_name(settings.type, settings.destination)
        vport = self.vports[name]
        self._journal(tunnels_token())
        if vport.tunnels > 1:
            self.vports[name] = vport._replace(tunnels=vport.tunnels - 1)
            return None
        del self.vports[name]
        return vport.number

    # ---- in

    def is_vport(self, number: int) -> bool:
        return any(vport.number == number for vport in self.vports.values())

    def find(self, key: int) -> Entry | None:
        """The tunnel that a packet with this key came out of."""
        number = key >> _PORT & 0xFFFFFFFF
        source, destination = _ends(key)
        tunnel_id = key >> _ID & 0xFFFFFFFFFFFFFFFF
        ethernet = not key & _PACKET_TYPE
        for any_key, any_remote, local, mode in self._shapes:
            if (mode == LEGACY_L2 and not ethernet) or (mode == LEGACY_L3 and ethernet):
                continue
            match: _Match = (
                number,
                None if any_key else tunnel_id,
                None if any_remote else source,
                destination if local == _NAMED else 0 if local == _ANY else None,
                mode,
            )
            entry = self._matches.get(match)
            if entry is not None:
                return entry
        return None

    def listener(self, protocol: int, destination: int) -> Vport | None:
        """The datapath port for packets to the host of that protocol and UDP port (0: it has none)."""
        for vport in self.vports.values():
            if (vport.protocol, vport.destination) == (protocol, destination) and not vport.protected:
                return vport
        return None

    def listens(self, protocol: int) -> bool:
        return any(vport.protocol == protocol for vport in self.vports.values())

    def sorted(self) -> Iterator[Entry]:
        yield from sorted(self.entries.values(), key=lambda one: (one.datapath_port, one.name))


_NAMED, _ANY, _FLOW = 0, 1, 2


def _local_rank(local: int | None) -> int:
    return _FLOW if local is None else _NAMED if local else _ANY


def _match(entry: Entry) -> _Match:
    settings = entry.settings
    return entry.datapath_port, settings.in_key, settings.remote, settings.local, settings.mode
