"""Tunnels whose outer headers the program writes and takes off itself (program/tunnel.h): what it is told.

*Out.*  A header is written here in advance, for a port and the fields of a tunnel (packet/tunnels.py), with
the way that it goes; the map `headers` has it by number, and an order ENCAPSULATE names it.  When routes
change the records are written anew, and no flow is touched.

*In.*  The map `tunnels` says for what there are tunnels, `hosts` which addresses are this host's, and the
program is attached to the devices that have such addresses (`Headers.sync`).

What the program cannot send or does not understand goes through the host's own sockets, which whoever plugs
the port in opens as well (bridge/tunnels.py).  Where packets may have to be encrypted between hosts, all
does.
"""

from collections.abc import Callable, Mapping
from typing import Final

from trunkline.base.addresses import is_mapped
from trunkline.base.log import Logger
from trunkline.bpf import layout as program
from trunkline.bpf.keeper import Keeper
from trunkline.bpf.maps import Map
from trunkline.bpf.numbered import Numbered
from trunkline.bpf.ports import Ports
from trunkline.dpif.provider import TunnelPort
from trunkline.flow import key as layout
from trunkline.io.netdev.kernel import Readers
from trunkline.io.netlink import Link
from trunkline.io.ways import HostNetwork, Way
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.packet.tunnels import Kind, Outer, header, outer_ends

_KINDS: Final = {
    ("geneve", frozenset[str]()): "GENEVE",
    ("gre", frozenset[str]()): "GRE",
    ("ip6gre", frozenset[str]()): "GRE",
    ("erspan", frozenset[str]()): "ERSPAN",
    ("ip6erspan", frozenset[str]()): "ERSPAN",
    ("gtpu", frozenset[str]()): "GTPU",
    ("lisp", frozenset[str]()): "LISP",
    ("bareudp", frozenset[str]()): "BAREUDP",
    ("vxlan", frozenset[str]()): "VXLAN",
    ("vxlan", frozenset(("gbp",))): "VXLAN_POLICY",
}
"""By type of tunnel and extensions, how the program calls it."""
_LAYER_3: Final = frozenset(("gtpu", "lisp", "bareudp"))  # these carry packets without an Ethernet header
_FAMILIES: Final[Mapping[str, tuple[int, ...]]] = {"ip6gre": (6,), "ip6erspan": (6,)}  # of others both
_RECORD: Final = program.HEADER.packed.pack
_UDP: Final = 17
_INET, _INET6 = 2, 10
_PATIENCE: Final = 1.0  # seconds between two looks at the host's network
_SUMMED, _KEYED, _COUNTED = (
    flag << layout.OFFSET["tunnel_flags"] for flag in (layout.TUN_CSUM, layout.TUN_KEY, layout.TUN_SEQ)
)

Argument = tuple[int, int]
"""A port, and the fields of a tunnel as bits of a key."""


class Headers:
    """`plugged` tells which devices are ports already; `wake` is called when `sync` has something to do."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        ports: Ports,
        keeper: Keeper,
        log: Logger,
        plugged: Callable[[], set[int]],
        readers: Readers | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._tunnels, self._hosts = maps["tunnels"], maps["hosts"]
        self._ports, self._keeper, self._log, self._plugged = ports, keeper, log, plugged
        self._readers, self._wake = readers, wake
        self._network: HostNetwork | None = None
        self._news = False  # of the host's network
        self._again = False  # something else calls for a look at it
        self._next = 0.0  # when it may be looked at again
        self._by_port: dict[int, TunnelPort] = {}
        self.names: dict[int, int] = {}  # of what the program takes off, to the port
        self._underlays: set[int] = set()
        self._plugged_since: set[int] = set()  # underlays that have become ports
        self._addresses: set[int] = set()
        self._links: dict[int, Link] = {}
        self._ways: dict[tuple[int, int, int], Way | None] = {}
        self.source_ports = (32768, 61000)
        self.numbered = Numbered[Argument](maps["headers"], self._record)

    def __contains__(self, port: int) -> bool:
        return port in self._by_port

    def is_layer3(self, port: int) -> bool:
        """Whether packets have no Ethernet header when they come from that port, or go to it."""
        tunnel = self._by_port.get(port)
        return tunnel is not None and tunnel.type in _LAYER_3

    def add(self, number: int, tunnel: TunnelPort) -> None:
        """Packets to that port, and from it, are the program's affair, if it knows the type."""
        if tunnel.protected or (tunnel.type, tunnel.extensions) not in _KINDS:
            return
        self._by_port[number] = tunnel
        self._tell()
        self.sync(now=True)

    def remove(self, number: int) -> None:
        if self._by_port.pop(number, None) is not None:
            self._tell()
            self.sync(now=True)

    def _tell(self) -> None:
        """Which packets belong to which port; of two for GRE over IPv6 it is the one for that alone."""
        wanted: dict[int, tuple[int, int]] = {}
        for number, tunnel in sorted(self._by_port.items(), key=lambda one: one[1].type in _FAMILIES):
            kind = program.TUNNEL_KINDS.index(_KINDS[tunnel.type, tunnel.extensions])
            row = TUNNEL_TYPES[tunnel.type]
            name = row.protocol << 16 | tunnel.destination | row.erspan
            for family in _FAMILIES.get(tunnel.type, (4, 6)):
                wanted[name | (program.TUNNEL_OVER_IPV6 if family == 6 else 0)] = number, kind
        for name in self.names.keys() - wanted.keys():
            self._tunnels.delete(name.to_bytes(4, "little"))
        for name, value in wanted.items():
            self._tunnels.update(name.to_bytes(4, "little"), program.TUNNEL.packed.pack(*value))
        self.names = {name: number for name, (number, _) in wanted.items()}

    # ---- the host's network

    def run(self, now: float) -> None:
        """Follows the news of the host's network: at once, but no more often than once a second."""
        if (self._news or self._again or self._readers is None) and now >= self._next:
            self._next = now + _PATIENCE
            self.sync(now=self._again)

    def sync(self, *, now: bool = False) -> None:
        """Follows the host's devices, addresses and routes; without `now` only if there is news of them."""
        if not self._by_port:
            if self._network is not None:
                self._attach(set())
            self.close()
            return
        if self._network is None:
            self._network = HostNetwork()
            self._news = True
        self._listen()
        if not self._network.news() and not now:
            return
        self._again = False
        try:
            self._links = {} if self._network.encrypts() else self._network.links()
            addresses = self._network.addresses() if self._links else {}
            self._tell_addresses({value for values in addresses.values() for value in values})
            self._attach({index for index in addresses if index in self._links})
            self._ways.clear()
            self.numbered.renew()
        except OSError as error:
            self._again = True
            self._log.warn("the host's network cannot be looked at: %s", error)

    def _listen(self) -> None:
        if self._news and self._readers is not None and self._network is not None:
            for descriptor in self._network.filenos():
                self._readers.add_reader(descriptor, self._noticed)
        self._news = False

    def _noticed(self) -> None:
        self._listen_no_more()
        self._news = True
        self._wake()

    def _listen_no_more(self) -> None:
        if not self._news and self._readers is not None and self._network is not None:
            for descriptor in self._network.filenos():
                self._readers.remove_reader(descriptor)

    def _tell_addresses(self, wanted: set[int]) -> None:
        for value in self._addresses - wanted:
            self._hosts.delete(value.to_bytes(16, "big"))
        for value in wanted - self._addresses:
            self._hosts.update(value.to_bytes(16, "big"), bytes(4))
        self._addresses = wanted

    def _attach(self, wanted: set[int]) -> None:
        plugged = self._plugged()
        wanted = wanted - plugged
        for index in self._underlays - wanted:
            if index not in plugged:
                self._keeper.remove(index)
                self._ports.remove_underlay(index)
        for index in wanted - self._underlays:
            try:
                self._ports.add_underlay(index)
                self._keeper.add(index, self._links[index].name)
            except OSError as error:
                self._log.warn("%s: tunnels cannot be looked for there: %s", self._links[index].name, error)
        self._underlays = wanted

    def plug(self, index: int) -> None:
        """A device becomes a port."""
        if index in self._underlays:
            self._underlays.discard(index)
            self._plugged_since.add(index)

    def unplug(self, index: int) -> None:
        """A device is no port any more."""
        if index in self._plugged_since:
            self._plugged_since.discard(index)
            self._again = True

    # ---- headers

    def set_source_ports(self, ports: tuple[int, int]) -> None:
        self.source_ports = ports
        self.numbered.renew()

    def _way(self, destination: int, source: int, mark: int) -> Way | None:
        asked = destination, source, mark
        if asked not in self._ways:
            network = self._network
            self._ways[asked] = network.way(*asked, self._links) if network is not None else None
        return self._ways[asked]

    def _record(self, argument: Argument) -> bytes:
        """The header of a port for the fields of a tunnel, as the program has it."""
        port, fields = argument
        tunnel = self._by_port.get(port)
        source, destination = outer_ends(fields)
        way = self._way(destination, source, layout.get(fields, "pkt_mark")) if tunnel is not None else None
        if tunnel is None or way is None:
            return bytes(program.HEADER.packed.size)
        counted = bool(fields & _COUNTED)
        kind = Kind(tunnel.type, tunnel.destination, counted, tunnel.extensions)
        octets = bytes(2) + header(kind, Outer(0, 0, way.source, destination), fields)
        six = not is_mapped(destination)
        flags = program.HEADER_IPV6 if six else 0
        flags |= program.HEADER_CHECKSUM if fields & _SUMMED else 0
        if TUNNEL_TYPES[tunnel.type].protocol == _UDP:
            flags |= program.HEADER_UDP
            at = 62 if six else 42  # without being asked there is no checksum, over IPv6 neither
            octets = octets[:at] + bytes(2) + octets[at + 2 :]
        if tunnel.type == "gtpu":
            flags |= program.HEADER_LENGTH
        sequence_at = 0
        if counted or TUNNEL_TYPES[tunnel.type].erspan:
            flags |= program.HEADER_SEQUENCE
            sequence_at = 58 if six else 38
        if counted:
            sequence_at += (4 if fields & _SUMMED else 0) + (4 if fields & _KEYED else 0)
        first, last = self.source_ports
        hop = way.hop.to_bytes(16, "big")
        if is_mapped(way.hop):
            hop = hop[12:] + bytes(12)
        return _RECORD(
            octets.ljust(program.HEADER_ROOM, b"\0"), len(octets) - 2, way.device, way.mtu, flags,
            first, last - first, port, sequence_at, _INET if is_mapped(way.hop) else _INET6, hop, 0,
        )  # fmt: skip

    def close(self) -> None:
        if self._network is None:
            return
        self._listen_no_more()
        self._network.close()
        self._network = None
