"""A bridge: its interfaces, ports, flow tables and learned addresses, and the calls that configure it.

The bridge changes only by the calls below, each of a cost that does not grow with the number of ports.  Every
call that can change how packets are forwarded writes what changed into the fabric's journal, so that exactly
the megaflows that have looked at it are translated again.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from trunkline.base.clock import Clock
from trunkline.flow import key as layout
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.clients import QUEUE_SIZE, Client, Clients
from trunkline.ofproto.fabric import (
    Fabric,
    Place,
    bridge_token,
    mac_token,
    multicast_token,
    patch_token,
    port_token,
    ports_token,
    routers_token,
)
from trunkline.ofproto.flow_mods import Flows
from trunkline.ofproto.in_band import InBand
from trunkline.ofproto.limits import TableSettings
from trunkline.ofproto.ports import OfPort, PortConfig, PortError, PortStatistics
from trunkline.ofproto.primaries import FAIL_OPEN_PRIORITY, Conclusion, FailOpen, Primary, failing_seconds
from trunkline.ofproto.rules import Rule
from trunkline.ofproto.tunnel_settings import TunnelSettings
from trunkline.ofproto.tunnels import Duplicate, Entry
from trunkline.openflow import actions
from trunkline.openflow.messages import Port, PortStatus
from trunkline.packet.membership import read_membership
from trunkline.proto.mac_learning import MacStatistics, MacTable
from trunkline.proto.multicast_snooping import Changed, MulticastTable

_OPENFLOW15: Final = 6
_STANDALONE_ORIGIN: Final = "fail-mode standalone"
_IN_BAND_ORIGIN: Final = "control in band"
_FAIL_OPEN_ORIGIN: Final = "failing open: no controller"


class Snooping(NamedTuple):
    """How multicast is snooped: seconds that a group is remembered, how many groups there may be, and whether
    what nobody has asked for goes everywhere."""

    aging_time: float = 300.0
    table_size: int = 2048
    flood_unregistered: bool = True


class BridgeConfig(NamedTuple):
    """`datapath_id` 64 bits; `protocols` OpenFlow wire versions (1 is 1.0, 4 is 1.3); `flood_vlans`
    vlan_bits."""

    name: str
    datapath_id: int
    fail_mode: str = "standalone"  # or "secure"
    has_controllers: bool = False
    protocols: frozenset[int] = frozenset((1, 2, 3, 4, 5, 6))
    mac_aging_time: float = 300.0
    mac_table_size: int = 8192
    flood_vlans: int = 0
    forward_bpdu: bool = False
    manufacturer: str = "Nicira, Inc."
    hardware: str = "Open vSwitch"
    software: str = "3.1.0"
    serial: str = "None"
    description: str = "None"
    in_band: InBand = InBand()
    multicast: Snooping | None = None
    queue_size: int = QUEUE_SIZE  # packets that wait for a controller that reads slowly


class PatchCounters:
    """What went through a patch port or a tunnel, which no device counts."""

    __slots__ = ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")

    def __init__(self) -> None:
        self.rx_packets = self.rx_bytes = self.tx_packets = self.tx_bytes = 0


class Bridge:
    """One bridge on `fabric`, which it joins at once and leaves by `close`."""

    def __init__(self, config: BridgeConfig, fabric: Fabric, clock: Clock) -> None:
        self.config = config
        self.name = config.name
        self.fabric = fabric
        self.clock = clock
        self.interfaces: dict[int, OfPort] = {}
        self.numbers: dict[str, int] = {}  # ofport by interface name
        self.ports: dict[str, PortConfig] = {}
        self.port_of: dict[int, PortConfig] = {}  # by the ofports of its interfaces
        self.plugged_at: dict[int, float] = {}
        self.patch_counters: dict[int, PatchCounters] = {}
        self.macs = MacTable(config.mac_aging_time, config.mac_table_size)
        self.macs.flood_vlans = config.flood_vlans
        self._macs_told = self.macs.statistics  # as far as the fabric's counters say
        self.multicast: MulticastTable | None = None
        self.multicast_ports: dict[str, PortConfig] = {}  # those that get all multicast, or all reports
        self._set_snooping(config.multicast)
        self.flows = Flows(config.name, fabric, clock)
        self.groups = self.flows.groups
        self.clients = Clients(clock, lambda: fabric.bundle_idle, lambda: self.config.queue_size)
        self.primaries: dict[str, Primary] = {}  # active connections to controllers, by target
        self.fail_open = FailOpen()
        self.fail_open_changed: Callable[[Conclusion, int], None] = lambda conclusion, seconds: None
        self._open_rule: Rule | None = None  # while the bridge fails open
        self._in_band: dict[tuple[int, Match], Rule] = {}
        self._commanded: int | None = None  # the OFPPC_* of a port-mod while its device is being told
        self._commander: Client | None = None  # whose port-mod it is
        self.fragments = of.OFPC_FRAG_NORMAL  # what is done with IP fragments, OFPC_FRAG_*
        self.tells_misses = False  # whether controllers get packets that no flow matches
        self.collects = False  # whether anybody takes the samples of `sample` actions
        self.table_miss: dict[int, int] = {}  # OFPTC11_TABLE_MISS_* where a table-mod said so
        fabric.bridges[config.name] = self
        self._flows_of_fail_mode()
        self._flows_in_band()

    def close(self) -> None:
        """Leaves the fabric, interfaces and all."""
        for ofport in list(self.interfaces):
            self.remove_interface(ofport)
        self.flows.clear()
        del self.fabric.bridges[self.name]
        self._changed(bridge_token(self.name))

    # ---- configuration

    def configure(self, config: BridgeConfig) -> None:
        """Changes settings; the name stays.  A change of fail mode starts with its own flows, as the
        original does."""
        old, self.config = self.config, config
        if config.mac_aging_time != old.mac_aging_time:
            self.macs.set_aging(config.mac_aging_time)
        if config.mac_table_size != old.mac_table_size:
            self._macs_changed(self.macs.set_limit(config.mac_table_size))
        if config.flood_vlans != old.flood_vlans:
            self.macs.set_flood_vlans(config.flood_vlans)
            self._changed(bridge_token(self.name))
        if config.forward_bpdu != old.forward_bpdu:
            self._changed(bridge_token(self.name))
        if config.multicast != old.multicast:
            self._set_snooping(config.multicast)
        if (config.fail_mode, config.has_controllers) != (old.fail_mode, old.has_controllers):
            self._clear()
            self._flows_of_fail_mode()
        self._flows_in_band()
        self.look_at_controllers(self.clock.monotonic())

    def look_at_controllers(self, now: float) -> None:
        """Fails open, or recovers, if that is due; to be called when something about controllers changed."""
        conclusion = self.fail_open.look(self.primaries.values(), self._is_standalone, now)
        if conclusion == "open":
            self._clear()
            self._flows_in_band()
            normal = (actions.Output(of.OFPP_NORMAL),)
            self._open_rule = Rule(Match(0, 0), FAIL_OPEN_PRIORITY, 0, normal, now, origin=_FAIL_OPEN_ORIGIN)
            self.flows.install(self._open_rule)
        elif conclusion == "closed" and self._open_rule is not None:
            self.flows.uninstall(self._open_rule)
            self._open_rule = None
        if conclusion is not None:
            self.fail_open_changed(conclusion, failing_seconds(self.primaries.values(), now))

    def _clear(self) -> None:
        """All flows go, the bridge's own too."""
        self.flows.clear()
        self._open_rule = None
        self._in_band.clear()

    def _flows_in_band(self) -> None:
        """The hidden flows are those that the settings call for."""
        wanted = self.config.in_band.flows()
        for flow, rule in list(self._in_band.items()):
            if wanted.get(flow) != rule.actions:
                self.flows.uninstall(self._in_band.pop(flow))
        for (priority, matched), done in wanted.items():
            if (priority, matched) not in self._in_band:
                rule = Rule(matched, priority, 0, done, self.clock.monotonic(), origin=_IN_BAND_ORIGIN)
                self._in_band[priority, matched] = rule
                self.flows.install(rule)

    @property
    def hidden(self) -> int:
        """How many flows of table 0 are the bridge's own, which controllers are not told of."""
        return len(self._in_band) + (self._open_rule is not None)

    @property
    def _is_standalone(self) -> bool:
        return self.config.fail_mode == "standalone"

    def _flows_of_fail_mode(self) -> None:
        """A bridge that is to stand alone, with nobody to tell it more, is an ordinary switch."""
        if self.config.fail_mode == "standalone" and not self.config.has_controllers:
            normal = (actions.Output(of.OFPP_NORMAL),)
            self.flows.install(
                Rule(Match(0, 0), 0, 0, normal, self.clock.monotonic(), origin=_STANDALONE_ORIGIN)
            )

    def add_interface(self, port: OfPort) -> None:
        """Raises PortError if its number, name or datapath port is taken."""
        if port.ofport in self.interfaces:
            raise PortError(f"{self.name}: OpenFlow port {port.ofport} of {port.name} is taken")
        if port.name in self.numbers:
            raise PortError(f"{self.name}: there is an interface named {port.name} already")
        if port.tunnel is not None and port.datapath_port is not None:
            self._add_tunnel(port, port.tunnel, port.datapath_port)
            self.patch_counters[port.ofport] = PatchCounters()
        elif port.datapath_port is not None:
            if port.datapath_port in self.fabric.by_datapath_port:
                raise PortError(f"{self.name}: datapath port {port.datapath_port} of {port.name} is taken")
            self.fabric.by_datapath_port[port.datapath_port] = Place(self, port.ofport)
        else:
            self.fabric.patches[port.name] = Place(self, port.ofport)
            self.patch_counters[port.ofport] = PatchCounters()
            self._changed(patch_token(port.name))
        self.interfaces[port.ofport] = port
        self.numbers[port.name] = port.ofport
        self.plugged_at[port.ofport] = self.clock.monotonic()
        self._changed(port_token(self.name, port.ofport), ports_token(self.name))
        self._tell(of.OFPPR_ADD, port)

    def _add_tunnel(self, port: OfPort, settings: TunnelSettings, datapath_port: int) -> None:
        try:
            self.fabric.tunnels.add(Entry(port.name, settings, datapath_port, self, port.ofport))
        except Duplicate as error:
            raise PortError(str(error)) from None

    def change_interface(self, port: OfPort) -> None:
        """Address, state, speeds...; name, ofport and datapath port stay, and so does `config` (port-mod
        owns it).

        Controllers are told if anything that they see has changed.
        """
        old = self.interfaces[port.ofport]
        if (port.name, port.datapath_port) != (old.name, old.datapath_port):
            raise PortError(f"{self.name}: {old.name} cannot become {port.name} or change its datapath port")
        if self._commanded is not None and port.admin_up != old.admin_up:
            first = old._replace(admin_up=port.admin_up, config=self._commanded)
            self._replace(old, first, self._commander)  # what was wanted is told before what came of it
            old = first
        self._replace(old, port._replace(config=old.config))

    def _replace(self, old: OfPort, port: OfPort, commander: Client | None = None) -> None:
        """`commander`: who has said that it is to be so."""
        if port == old:
            return
        if port.tunnel is not None and port.tunnel != old.tunnel and port.datapath_port is not None:
            self._add_tunnel(port, port.tunnel, port.datapath_port)
        self.interfaces[port.ofport] = port
        if _matters(port) != _matters(old):
            self._changed(port_token(self.name, port.ofport), ports_token(self.name))
            if port.peer is not None:
                self._changed(patch_token(port.name))
        if describe(port) != describe(old):
            unchanged = describe(port._replace(config=port.config & of.OFPPC11_ALL)) == describe(
                old._replace(config=old.config & of.OFPPC11_ALL)
            )
            self._tell(of.OFPPR_MODIFY, port, newest=1 if unchanged else None, commander=commander)

    def set_port_bits(self, ofport: int, config: int, mask: int, commander: Client | None = None) -> None:
        """What a port-mod does.  PORT_DOWN is the device's; the others are the bridge's.

        `commander`, whose port-mod it is, is told what comes of it; what it has said itself, only from
        OpenFlow 1.5 on.
        """
        old = self.interfaces[ofport]
        mine = mask & ~of.OFPPC_PORT_DOWN
        if mask & of.OFPPC_PORT_DOWN:
            self._commanded, self._commander = old.config & ~mine | config & mine, commander
            try:
                self.fabric.host.set_admin_state(self.name, ofport, not config & of.OFPPC_PORT_DOWN)
            finally:
                self._commanded = self._commander = None
            old = self.interfaces[ofport]
        self._replace(old, old._replace(config=old.config & ~mine | config & mine), commander)

    def set_fragments(self, mode: int) -> None:
        """What a set-config does: OFPC_FRAG_NORMAL (fragments have no ports), _DROP, or _NX_MATCH (the first
        of a packet has them)."""
        if mode != self.fragments:
            self.fragments = mode
            self._changed(bridge_token(self.name))

    def look_at_misses(self) -> None:
        """To be called when a connection has come, gone or changed what it wants to be told."""
        wanted = self.clients.want_misses()
        if wanted != self.tells_misses:
            self.tells_misses = wanted
            self._changed(bridge_token(self.name))

    def set_collects(self, collects: bool) -> None:
        if collects != self.collects:
            self.collects = collects
            self._changed(bridge_token(self.name))

    def set_table_miss(self, tables: Iterable[int], config: int) -> None:
        """What a table-mod does: OFPTC11_TABLE_MISS_* for packets that no flow matches."""
        self.table_miss.update(dict.fromkeys(tables, config))
        self._changed(bridge_token(self.name))

    def remove_interface(self, ofport: int) -> None:
        """Forgets what was learned on its port.  The port itself stays until it is set anew or removed."""
        port = self.interfaces.pop(ofport)
        del self.numbers[port.name]
        del self.plugged_at[ofport]
        if port.tunnel is not None:
            self.fabric.tunnels.remove(self.name, ofport)
            del self.patch_counters[ofport]
        elif port.datapath_port is not None:
            del self.fabric.by_datapath_port[port.datapath_port]
        else:
            del self.fabric.patches[port.name]
            del self.patch_counters[ofport]
            self._changed(patch_token(port.name))
        if ofport in self.port_of:
            self._forget_behind(self.port_of[ofport].name)
        self._changed(port_token(self.name, ofport), ports_token(self.name))
        self._tell(of.OFPPR_DELETE, port)

    def set_port(self, port: PortConfig) -> None:
        """Adds a port for NORMAL, or replaces the one of that name.  Raises PortError (bonds)."""
        if len(port.interfaces) > 1:
            raise PortError(
                f"{self.name}: port {port.name} has several interfaces, but bonds are not there yet"
            )
        old = self.ports.get(port.name)
        if old == port:
            return
        if old is not None:
            self._unplug(old)
            if old != port._replace(multicast_flood=old.multicast_flood, report_flood=old.report_flood):
                self._forget_port(port.name)
        self.ports[port.name] = port
        if port.multicast_flood or port.report_flood:
            self.multicast_ports[port.name] = port
        else:
            self.multicast_ports.pop(port.name, None)
        for ofport in port.interfaces:
            self.port_of[ofport] = port
            self._changed(port_token(self.name, ofport))
        self._changed(ports_token(self.name))

    def remove_port(self, name: str) -> None:
        port = self.ports.pop(name)
        self.multicast_ports.pop(name, None)
        self._unplug(port)
        self._forget_behind(name)
        self._changed(ports_token(self.name))

    def _unplug(self, port: PortConfig) -> None:
        for ofport in port.interfaces:
            if self.port_of.get(ofport) is port:
                del self.port_of[ofport]
            self._changed(port_token(self.name, ofport))

    def interface(self, ofport: int) -> OfPort | None:
        return self.interfaces.get(ofport)

    def set_table(self, table: int, settings: TableSettings) -> None:
        """A flow table's name, limit and policy, as the database has them."""
        if settings != self.flows.limits.settings(table):
            self.flows.set_table(table, settings)
            self.tell_unsaid()

    def tell_unsaid(self) -> None:
        """Tells controllers of flows that were evicted and of tables that fill up."""
        unsaid, self.flows.unsaid = self.flows.unsaid, []
        for message in unsaid:
            self.clients.tell(message)

    # ---- learned addresses

    def learn(self, vlan: int, mac: int, port: str, now: float) -> None:
        if port in self.ports and (changed := self.macs.learn(vlan, mac, port, now)):
            self._macs_changed(changed)
            if self.flows.journal is not None:
                self.flows.journal.learned(vlan, mac, port, now)

    def flush_macs(self) -> None:
        self._macs_changed(self.macs.flush())

    def add_static_mac(self, vlan: int, mac: int, port: str) -> None:
        self._macs_changed(self.macs.add_static(vlan, mac, port))

    def remove_static_mac(self, vlan: int, mac: int) -> bool:
        """False if there is none."""
        found = self.macs.remove_static(vlan, mac)
        if found:
            self._macs_changed([(vlan, mac)])
        return found

    def _forget_behind(self, name: str) -> None:
        """What was behind a port that goes may turn up on any bridge, so none knows where it was: one
        would go on sending into the patch port to here."""
        gone = self._forget_port(name)
        for bridge in self.fabric.bridges.values() if gone else ():
            bridge._macs_changed(bridge.macs.forget(gone))

    def _forget_port(self, name: str) -> list[tuple[int, int]]:
        """Nothing is known of what is behind the port.  The (vlan, mac) that this bridge had there."""
        gone = self.macs.forget_port(name)
        self._macs_changed(gone)
        if self.multicast is not None:
            self._multicast_changed(self.multicast.forget_port(name))
            self._expire_multicast(self.clock.monotonic())
        return gone

    def _macs_changed(self, changed: list[tuple[int, int]]) -> None:
        if changed:
            self.fabric.changes += [mac_token(self.name, vlan, mac) for vlan, mac in changed]
        told, self._macs_told = self._macs_told, self.macs.statistics
        for event, before, now in zip(told._fields, told, self._macs_told, strict=True):
            if now > before:
                self.fabric.counters.counter(f"mac_learning_{event}").add(now - before)

    def clear_mac_statistics(self) -> None:
        """Counts of addresses begin at 0 again; those of ``coverage/show`` go on."""
        self.macs.statistics = self._macs_told = MacStatistics()

    # ---- multicast groups

    def _set_snooping(self, settings: Snooping | None) -> None:
        """Snoops as told (None: no longer); who changes between the two forgets all groups."""
        table = self.multicast
        self._changed(bridge_token(self.name))
        if settings is None:
            self.multicast = None
        elif table is None:
            self.multicast = MulticastTable(
                settings.aging_time, settings.table_size, flood_unregistered=settings.flood_unregistered
            )
        else:
            table.set_aging(settings.aging_time)
            table.flood_unregistered = settings.flood_unregistered
            self._multicast_changed(table.set_limit(settings.table_size))
            self._expire_multicast(self.clock.monotonic())

    def snoop(self, vlan: int, port: str, frame: bytes, now: float) -> None:
        """A message about multicast groups came in on `port`."""
        config = self.ports.get(port)
        if self.multicast is not None and config is not None:
            message = read_membership(frame)
            if message is not None:
                shared = config.report_flood
                self._multicast_changed(self.multicast.hear(vlan, port, message, now, shared=shared))
                self._expire_multicast(now)

    def flush_multicast(self) -> None:
        if self.multicast is not None:
            self._multicast_changed(self.multicast.flush())

    def _expire_multicast(self, now: float) -> None:
        if self.multicast is not None:
            self._multicast_changed(self.multicast.expire(now))

    def _multicast_changed(self, changed: Changed) -> None:
        self.fabric.changes += [multicast_token(self.name, *group) for group in changed.groups]
        if changed.routers:
            self.fabric.changes.append(routers_token(self.name))

    # ---- time

    def run(self, now: float) -> None:
        """Lets addresses and flows expire; to be called after statistics have come from the datapath."""
        self._macs_changed(self.macs.expire(now))
        self._expire_multicast(now)
        for removed in self.flows.expire(now):
            self.clients.tell(removed)
        self.tell_unsaid()
        self.look_at_controllers(now)

    def next_timer(self) -> float | None:
        now = self.clock.monotonic()
        timers = (
            self.macs.next_expiry(),
            self.multicast.next_expiry() if self.multicast is not None else None,
            self.flows.next_deadline(),
            self.fail_open.next_timer(self.primaries.values(), self._is_standalone, now),
        )
        return min((when for when in timers if when is not None), default=None)

    # ---- what others see

    def port_statistics(self, ofport: int) -> PortStatistics:
        counters = self.patch_counters.get(ofport)
        if counters is None:
            return self.fabric.host.port_statistics(self.name, ofport)
        unknown = PortStatistics(*(None,) * len(PortStatistics._fields))
        return unknown._replace(
            rx_packets=counters.rx_packets,
            tx_packets=counters.tx_packets,
            rx_bytes=counters.rx_bytes,
            tx_bytes=counters.tx_bytes,
        )

    def _changed(self, *tokens: object) -> None:
        self.fabric.changes += tokens

    def _tell(
        self, reason: int, port: OfPort, *, newest: int | None = None, commander: Client | None = None
    ) -> None:
        """`newest`: the last version of OpenFlow in which there is something to tell."""
        knows = commander if commander is not None and commander.connection.version < _OPENFLOW15 else None
        self.clients.tell(PortStatus(reason, describe(port)), newest=newest, knows=knows)


EVENTS: Final = ("ofproto_packet_out", *(f"mac_learning_{event}" for event in MacStatistics._fields))
"""What a bridge counts in its fabric's counters."""


def _matters(port: OfPort) -> tuple[object, ...]:
    """What of an interface decides where packets go."""
    return port.peer, port.config, port.admin_up, port.tunnel, port.mac


def in_port_match(ofport: int) -> Match:
    """The metadata of a packet that came in there."""
    return Match(layout.put(0, "in_port", ofport), layout.bits("in_port"))


def describe(port: OfPort) -> Port:
    """A port as OpenFlow messages carry it."""
    down = 0 if port.admin_up else of.OFPPC_PORT_DOWN
    return Port(
        port.ofport,
        port.name,
        port.mac,
        port.config | down,
        (0 if port.link_up else of.OFPPS_LINK_DOWN)
        | (of.OFPPS_LIVE if port.link_up and port.admin_up else 0),
        port.current,
        port.advertised,
        port.supported,
        port.peer_features,
        port.current_speed,
        port.maximum_speed,
    )
