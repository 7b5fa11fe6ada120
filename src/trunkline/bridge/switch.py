"""From database rows to bridges, ports and interfaces, incrementally.

The database says what should be; `Switch` makes it so.  It is handed the rows that changed and looks at
nothing else: a Bridge row that gained a port leads to that Port row, that to its Interface rows (routing.py),
and only those are compared with what is there.  What depends on all ports of a bridge is kept up to date as
they come and go (settling.py).  So adding a port costs the same with 10 ports and with 10,000.

A round goes in this order, because names and numbers must be free before they are given out again:

    1. a row that has taken the place of another of the same name inherits what that one had; what is gone,
       or has changed its nature, is taken away
    2. bridges are made and configured
    3. interfaces are opened (interfaces.py); first those that ask for a number, then those that had one,
       then the others
    4. ports are told to NORMAL
    5. bridges settle their address and MTU, patch ports look for their peers
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from trunkline.base.addresses import format_mac, parse_mac
from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.bridge.controllers import controllers_of, remotes_in_band
from trunkline.bridge.devices import Devices
from trunkline.bridge.flow_tables import FlowTableRows
from trunkline.bridge.in_band import NextHops, local_address
from trunkline.bridge.interfaces import Interfaces
from trunkline.bridge.lanes import Lanes, MakeLane
from trunkline.bridge.numbers import Numbers
from trunkline.bridge.parts import (
    BridgePart,
    InterfacePart,
    PortPart,
    Surroundings,
    UnknownDatapathError,
)
from trunkline.bridge.routing import Routes
from trunkline.bridge.samples import CollectorSets
from trunkline.bridge.settings import (
    InterfaceSettings,
    bridge_config,
    ignores_trunks,
    interface_settings,
    port_config,
    random_mac,
    usable_mac,
)
from trunkline.bridge.settling import Settling, wanted_mac
from trunkline.bridge.tracking import TimeoutPolicies
from trunkline.bridge.tunnels import TunnelInterfaces
from trunkline.dpif.provider import UNSENT
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.ports import PortStatistics
from trunkline.ofproto.primaries import ControllerSettings
from trunkline.ofproto.tunnels import Shared
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Replica
from trunkline.ovsdb.rows import Row
from trunkline.proto.routes import Address, Route

_Waiting = tuple[int, str, Uuid]  # turn, name and uuid of an interface that is to be added


class _Luggage(NamedTuple):
    """What a bridge takes along on its way to another datapath."""

    numbers: Numbers
    local_mac: int


class Switch:
    """All bridges; `make_lane` and `drop_lane` as Lanes has them."""

    def __init__(
        self,
        devices: Devices,
        make_lane: MakeLane,
        drop_lane: Callable[[str], None],
        surroundings: Surroundings,
        *,
        clock: Clock,
        log: Log,
        random_bits: Callable[[int], int],
        run_directory: str,
        counters: Counters,
        shared: Shared | None = None,
    ) -> None:
        self.bridges: dict[Uuid, BridgePart] = {}
        self._lanes = Lanes(make_lane, drop_lane, clock)
        self.unwritten: set[Uuid] = set()  # interfaces whose status may differ from what was written
        self._settling = Settling(log, self.unwritten)
        self._hops = NextHops(devices.next_hop, log)
        self.next_hop_timer = self._hops.next_timer
        self.tunnels = TunnelInterfaces(devices, shared or Shared(), log)
        self.interfaces = Interfaces(
            devices,
            self._settling,
            self.unwritten,
            self.tunnels,
            clock=clock,
            log=log,
            random_bits=random_bits,
            counters=counters,
        )
        self._ports: dict[Uuid, PortPart] = {}
        self._port_names: dict[str, PortPart] = {}
        self._bridge_names: dict[str, BridgePart] = {}
        self._routes = Routes(log.module("bridge"))
        self._timeout_policies = TimeoutPolicies()
        self._flow_tables = FlowTableRows(log)
        self._samples = CollectorSets()
        self._statistics_read = counters.counter("netdev_get_stats")
        self._run_directory = run_directory
        self._whole_log = log
        self._log = log.module("bridge")
        self._ofproto_log = log.module("ofproto")
        self._surroundings = surroundings
        self._clock = clock
        self._random_bits = random_bits
        self._vacant: list[tuple[BridgePart, int]] = []  # numbers that may be had, until `_grant_wishes`
        self._moved: dict[Uuid, _Luggage] = {}  # of bridges on their way to another datapath

    def apply(self, replica: Replica) -> None:
        """Brings the bridges in line with the rows that changed since the last call."""
        root = self._routes.root
        changes = replica.take_changes()
        for change in changes:
            self._routes.take(change)
        self._timeout_policies.look(changes)
        self._flow_tables.look(changes)
        self._samples.look(changes)
        self._routes.find_controlled()
        self._replica = replica
        self._tell_contested()
        if self._routes.root is not root:
            self._configure_lanes()
        self._inherit()
        self._remove()
        self._configure_bridges()
        if self._routes.managers_changed:
            self._look_at_managers()
        self._flow_tables.apply(replica, self.bridges)
        self._samples.apply(replica, self.bridges)
        self._add_interfaces()
        self._set_ports()
        self._settling.settle()
        self.look_at_next_hops()
        self._lanes.drop_unused()
        self._timeout_policies.apply(replica, self._routes.root, self._lanes.all)

    def settle_lanes(self) -> None:
        """What is configured is there, flows too: new datapaths hear of it, unless packets are to wait."""
        self._lanes.settle()

    def _configure_lanes(self) -> None:
        if self._routes.root is not None:
            self._lanes.configure(self._routes.root.other_config)
            self.interfaces.holding = self._lanes.holding

    def _tell_contested(self) -> None:
        """A port that two bridges have can only be in one of them, and so it is with interfaces and ports."""
        routes, row_of = self._routes, self._replica.row
        for uuid, claims in routes.contested:
            port, interface = row_of("Port", uuid), row_of("Interface", uuid)
            if port is not None:
                name, homes, home = port.name, "Bridge", routes.bridge_of_port.get(uuid, "")
            elif interface is not None:
                name, homes, home = interface.name, "Port", routes.port_of_interface.get(uuid, "")
            else:
                continue
            first, other = row_of(homes, home), row_of(homes, claims)
            if first is not None and other is not None and first is not other:
                what = "port is in multiple bridges" if port is not None else "interface is in multiple ports"
                text = "%s: %s (%s and %s), and only %s has it"
                self._log.warn(text, name, what, first.name, other.name, first.name)
        routes.contested.clear()

    # ---- 1. what has another row now, and what is gone

    def _inherit(self) -> None:
        """del-port and add-port of one name in one transaction is no change: names say what is the same."""
        routes, row_of = self._routes, self._replica.row
        for uuid in routes.bridges & routes.wanted_bridges - self.bridges.keys():
            row = row_of("Bridge", uuid)
            bridge = self._bridge_names.get(row.name) if row is not None else None
            if bridge is not None:
                self.bridges[uuid] = self.bridges.pop(bridge.uuid)
                self._settling.forget(bridge)
                bridge.uuid, bridge.written = uuid, {}
        for uuid in routes.ports - self._ports.keys():
            row = row_of("Port", uuid)
            port = self._port_names.get(row.name) if row is not None else None
            if port is not None and row_of("Port", port.uuid) is None:
                self._ports.pop(port.uuid, None)
                del port.bridge.ports[port.uuid]
                self._ports[uuid] = port.bridge.ports[uuid] = port
                port.uuid = uuid
        for uuid in routes.interfaces - self.interfaces.all.keys():
            row = row_of("Interface", uuid)
            part = self.interfaces.by_name.get(row.name) if row is not None else None
            home = self._ports.get(routes.port_of_interface.get(uuid, ""))
            if part is None or part.port is not home or row_of("Interface", part.uuid) is not None:
                continue
            if interface_settings(row, home.bridge.name).type == part.settings.type:
                self.interfaces.rename(part, uuid)

    def _remove(self) -> None:
        routes, wanted = self._routes, self._routes.wanted_bridges
        for uuid in routes.bridges - wanted:
            self._moved.pop(uuid, None)
        for uuid in routes.bridges & self.bridges.keys():
            row = self._replica.row("Bridge", uuid)
            bridge = self.bridges[uuid]
            if row is None or uuid not in wanted or _nature(row) != _nature(bridge.row):
                self._remove_bridge(bridge, moving=row is not None and uuid in wanted)
        for uuid in routes.ports & self._ports.keys():
            port = self._ports[uuid]
            row = self._replica.row("Port", uuid)
            if row is None or routes.bridge_of_port.get(uuid) != port.bridge.uuid:
                routes.interfaces.update(port.interfaces)
                self._remove_port(port)
                continue
            was_bond, port.row = port.is_bond, row
            if was_bond != port.is_bond:
                for part in list(port.interfaces.values()):
                    self._remove_interface(part, for_good=False)
        for uuid in routes.interfaces & self.interfaces.all.keys():
            part = self.interfaces.all[uuid]
            if part.port.row is None:
                continue
            row = self._replica.row("Interface", uuid)
            gone = row is None or routes.port_of_interface.get(uuid) != part.port.uuid
            if row is None or gone or self._must_reopen(part, row):
                self._remove_interface(part, for_good=gone)
            elif part.is_there and row.ofport_request != part.ofport:
                self._vacant.append((part.port.bridge, part.ofport))
        self._grant_wishes()

    def _grant_wishes(self) -> None:
        """Numbers that are free now, or whose holders do not ask for them any more, go to who asks."""
        while self._vacant:
            bridge, number = self._vacant.pop()
            for uuid in sorted(bridge.wishes.get(number, ())):
                if self._may_have(bridge, number):
                    self._remove_interface(self.interfaces.all[uuid], for_good=False)

    def _must_reopen(self, part: InterfacePart, row: Row) -> bool:
        new, old = interface_settings(row, part.port.bridge.name), part.settings
        wish = new.ofport_request
        return (
            not part.is_there
            or (new.name, new.type) != (old.name, old.type)
            or (wish is not None and wish != part.ofport and self._may_have(part.port.bridge, wish))
        )

    def _may_have(self, bridge: BridgePart, wish: int) -> bool:
        """Whether a number can be had: it is free, or whoever has it did not ask for it."""
        holder = bridge.numbers.holder(wish)
        if holder is None:
            return True
        part = self.interfaces.by_name[holder]
        row = self._replica.row("Interface", part.uuid)
        return (row.ofport_request if row is not None else part.settings.ofport_request) != wish

    def _remove_bridge(self, bridge: BridgePart, moving: bool) -> None:
        """With `moving` it is made anew at once, on another datapath: its ports and numbers come along."""
        for port in list(bridge.ports.values()):
            if moving or port.uuid in self._routes.bridge_of_port:  # another bridge has it, too
                self._routes.ports.add(port.uuid)
                self._routes.interfaces.update(port.interfaces)
            self._remove_port(port, for_good=not moving)
        self._surroundings.bridge_went(bridge.name)
        bridge.bridge.close()
        del self.bridges[bridge.uuid], self._bridge_names[bridge.name]
        self._settling.forget(bridge)
        if moving:
            self._moved[bridge.uuid] = _Luggage(bridge.numbers, bridge.local_mac)
        bridge.lane.bridges.discard(bridge.name)

    def _remove_port(self, port: PortPart, for_good: bool = True) -> None:
        for interface in list(port.interfaces.values()):
            self._remove_interface(interface, for_good=for_good)
        if port.name in port.bridge.bridge.ports:
            port.bridge.bridge.remove_port(port.name)
        del port.bridge.ports[port.uuid], self._port_names[port.name]
        self._ports.pop(port.uuid, None)
        self._settling.disturb(port.bridge)

    def _remove_interface(self, part: InterfacePart, *, for_good: bool) -> None:
        if part.is_there:
            self._vacant.append((part.port.bridge, part.ofport))
        self.interfaces.remove(part, for_good=for_good)
        if not for_good:
            self._routes.interfaces.add(part.uuid)
        self._routes.ports.add(part.port.uuid)

    # ---- 2. bridges

    def _configure_bridges(self) -> None:
        for uuid in sorted(self._routes.bridges & self._routes.wanted_bridges, key=self._bridge_name):
            row = self._replica.row("Bridge", uuid)
            if row is None:
                continue
            bridge = self.bridges.get(uuid)
            if bridge is None or row.other_config.get("hwaddr") != bridge.row.other_config.get("hwaddr"):
                self._look_at_hwaddr(row)
            bridge = bridge or self._add_bridge(row)
            if bridge is None:
                continue
            if row != bridge.row or uuid in self._routes.controlled:
                bridge.row = row
                bridge.controllers = self._find_controllers(row)
                self._find_remotes(bridge)
                self._settling.configure(bridge)
                self._surroundings.set_controllers(bridge.bridge, bridge.controllers.values())
            self._synthesize_local(bridge)
            self._settling.disturb(bridge)
        self._routes.bridges.clear()
        self._routes.controlled.clear()

    def _bridge_name(self, uuid: Uuid) -> str:
        row = self._replica.row("Bridge", uuid)
        return row.name if row is not None else ""

    def _look_at_hwaddr(self, row: Row) -> None:
        mac = parse_mac(row.other_config.get("hwaddr", ""))
        if mac is not None and usable_mac(format_mac(mac)) is None:
            text = "bridge %s: cannot set MAC address to %s"
            self._log.err(text, row.name, f"multicast address {format_mac(mac)}" if mac else "zero")

    def _add_bridge(self, row: Row) -> BridgePart | None:
        """Returns None if that cannot be."""
        type = row.datapath_type or "system"
        if "/" in row.name:  # a socket and a device are to be named after it
            self._log.warn('ignoring bridge with invalid name "%s"', row.name)
            return None
        try:
            lane = self._lanes.get(type)
        except UnknownDatapathError:
            self._ofproto_log.warn("unknown datapath type %s", type)
            self._ofproto_log.warn("could not create datapath %s of unknown type %s", row.name, type)
            text = "failed to create bridge %s: Address family not supported by protocol"
            self._log.err(text, row.name)
            return None
        lane.bridges.add(row.name)
        numbers, local_mac = self._moved.pop(row.uuid, _Luggage(Numbers(), 0))
        spare_mac = random_mac(self._random_bits)
        mac = wanted_mac(row) or local_mac or spare_mac
        controllers = self._find_controllers(row)
        led = any(not controller.service for controller in controllers.values())
        config = bridge_config(row, mac, row.fail_mode or "standalone", led)
        bridge = BridgePart(row, lane, Bridge(config, lane.datapath.fabric, self._clock))
        bridge.numbers, bridge.local_mac, bridge.spare_mac = numbers, local_mac, spare_mac
        bridge.controllers = controllers
        self._find_remotes(bridge)
        self.bridges[row.uuid] = self._bridge_names[row.name] = bridge
        self._routes.ports.update(row.ports)
        for port in row.ports:
            port_row = self._replica.row("Port", port)
            if port_row is not None:
                self._routes.interfaces.update(port_row.interfaces)
        self._surroundings.bridge_came(bridge.bridge)
        self._surroundings.set_controllers(bridge.bridge, controllers.values())
        return bridge

    def _controller_rows(self, row: Row) -> list[Row]:
        rows = (self._replica.row("Controller", uuid) for uuid in row.controller)
        return [one for one in rows if one is not None]

    def _find_controllers(self, row: Row) -> Mapping[Uuid, ControllerSettings]:
        return controllers_of(row.name, self._controller_rows(row), self._run_directory, self._whole_log)

    def _find_remotes(self, bridge: BridgePart) -> None:
        root = self._routes.root
        rows = (self._replica.row("Manager", uuid) for uuid in (root.manager_options if root else ()))
        managers = [one for one in rows if one is not None]
        bridge.remotes = remotes_in_band(bridge.row, bridge.controllers.values(), managers)
        bridge.local_address = local_address(self._controller_rows(bridge.row))

    def _look_at_managers(self) -> None:
        """They are reached in band, too."""
        self._routes.managers_changed = False
        for bridge in self.bridges.values():
            self._find_remotes(bridge)
            self._settling.disturb(bridge)

    # ---- 3. interfaces

    def _add_interfaces(self) -> None:
        waiting: list[_Waiting] = []
        for uuid in self._routes.interfaces:
            row = self._replica.row("Interface", uuid)
            port_uuid = self._routes.port_of_interface.get(uuid)
            if row is None or port_uuid is None:
                continue
            part = self.interfaces.all.get(uuid)
            if part is not None:
                self._look_at_mac(row, part.port.bridge)
                self.interfaces.configure(part, interface_settings(row, part.port.bridge.name))
            elif (port := self._port(port_uuid)) is not None:
                turn = 0 if row.name == port.bridge.name or row.ofport_request else 1 if row.ofport else 2
                waiting.append((turn, row.name, uuid))
        self._routes.interfaces.clear()
        while waiting:
            waiting.sort()
            again: list[_Waiting] = []
            for _, _, uuid in waiting:
                again += self._add_interface(uuid)
            waiting = again

    def _port(self, uuid: Uuid) -> PortPart | None:
        """The port of this uuid, made now if its bridge is there."""
        port = self._ports.get(uuid)
        bridge = self.bridges.get(self._routes.bridge_of_port.get(uuid, ""))
        row = self._replica.row("Port", uuid)
        if port is None and bridge is not None and row is not None:
            port = self._ports[uuid] = bridge.ports[uuid] = PortPart(uuid, bridge, row)
            self._port_names[row.name] = port
        return port

    def _add_interface(self, uuid: Uuid) -> list[_Waiting]:
        """Returns what has to be added again, because its number went to this one."""
        row = self._replica.row("Interface", uuid)
        port = self._port(self._routes.port_of_interface[uuid])
        if row is None or port is None:
            return []
        self._look_at_mac(row, port.bridge)
        part = InterfacePart(uuid, port, interface_settings(row, port.bridge.name))
        self.interfaces.add(part)
        self._routes.ports.add(port.uuid)
        evicted = self._evict(part)
        self.interfaces.open(part, _number_before(row))
        return evicted

    def _look_at_mac(self, row: Row, bridge: BridgePart) -> None:
        if row.mac is not None and row.name == bridge.name:
            text = (
                "interface %s: ignoring mac in Interface record (use Bridge record to set local port's mac)"
            )
            self._log.err(text, row.name)
        elif row.mac is not None and (mac := parse_mac(row.mac)) is not None and usable_mac(row.mac) is None:
            kind = "multicast" if mac else "all zero"
            self._log.err("interface %s: cannot set MAC to %s address", row.name, kind)

    def _evict(self, part: InterfacePart) -> list[_Waiting]:
        """Takes the number that this interface asks for from one that only happens to have it."""
        bridge, wish = part.port.bridge, part.settings.ofport_request
        holder = bridge.numbers.holder(wish) if wish is not None else None
        if wish is None or holder is None or not self._may_have(bridge, wish):
            return []
        other = self.interfaces.by_name[holder]
        self._remove_interface(other, for_good=False)
        self._routes.interfaces.discard(other.uuid)
        return [(2, holder, other.uuid)]

    # ---- what devices do by themselves

    def device_changed(self, name: str) -> None:
        """A device came, went or changed; called by whoever watches devices."""
        part = self.interfaces.by_name.get(name)
        if part is None:
            return
        if part.device is None:
            if part.error is not None and not part.is_patch and not part.is_tunnel:
                row = self._replica.row("Interface", part.uuid)
                self.interfaces.open(part, _number_before(row), again=True)
                self.unwritten.add(part.uuid)
                self._routes.ports.add(part.port.uuid)
        elif not part.device.present():
            self.interfaces.vanished(part)
            self._routes.ports.add(part.port.uuid)
        else:
            self.interfaces.observe(part)
        self._set_ports()
        self._settling.settle()

    # ---- 4. ports

    def _set_ports(self) -> None:
        for uuid in self._routes.ports:
            port = self._ports.get(uuid)
            if port is None:
                continue
            port.row = self._replica.row("Port", uuid)
            if port.row is None:
                continue
            for part in port.interfaces.values():
                self._settling.count(part)
            ofports = tuple(part.ofport for part in port.interfaces.values() if part.is_there)
            if ofports and len(port.row.interfaces) == 1:
                port.bridge.bridge.set_port(port_config(port.row, ofports))
                if ignores_trunks(port.row):
                    self._log.warn("port %s: ignoring trunks in favor of implicit vlan", port.name)
            elif port.name in port.bridge.bridge.ports:
                port.bridge.bridge.remove_port(port.name)
        self._routes.ports.clear()

    # ---- the local port that has no row

    def _synthesize_local(self, bridge: BridgePart) -> None:
        """A bridge that has no port of its own name needs one for its controllers."""
        port = self._port_names.get(bridge.name)
        if port is not None:
            if port.row is None and not bridge.row.controller:
                self._remove_port(port)
            return
        if not bridge.row.controller or self._has_local_row(bridge.row):
            return
        self._log.warn("bridge %s: no port named %s, synthesizing one", bridge.name, bridge.name)
        port = PortPart(f"local {bridge.name}", bridge, None)
        part = InterfacePart(port.uuid, port, InterfaceSettings(bridge.name, "internal", {}, None))
        bridge.ports[port.uuid] = self._port_names[bridge.name] = port
        self.interfaces.add(part)
        self.interfaces.open(part, None)

    def _has_local_row(self, bridge: Row) -> bool:
        rows = (self._replica.row("Port", uuid) for uuid in bridge.ports)
        return any(row is not None and row.name == bridge.name for row in rows)

    def row_of(self, part: InterfacePart) -> Row | None:
        """What the database says of an interface; None of a local port that has no row, or not any more."""
        return self._replica.row("Interface", part.uuid)

    def host_changed(self, routes: Sequence[Route], addresses: Mapping[str, tuple[Address, ...]]) -> None:
        """The host's routes, and the addresses of its devices, as they are now."""
        if self.tunnels.host_changed(routes, addresses):
            self.interfaces.routes_changed()

    def look_at_next_hops(self) -> None:
        """By which neighbours remotes are reached in band; to be called when `next_hop_timer` is due."""
        for bridge in self._hops.look(self.bridges.values(), self._clock.monotonic()):
            self._settling.configure(bridge)

    # ---- for the OpenFlow side (ofproto/fabric.py, Host)

    def part_of(self, bridge: str, ofport: int) -> InterfacePart | None:
        part = self._bridge_names.get(bridge)
        interface = part.bridge.interface(ofport) if part is not None else None
        return self.interfaces.by_name.get(interface.name) if interface is not None else None

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        part = self.part_of(bridge, ofport)
        if part is None or part.device is None:
            return PortStatistics(*(None,) * len(PortStatistics._fields))
        self._statistics_read.total += 1
        counts = part.device.statistics()
        number = part.datapath_port
        unsent = 0 if number is None else part.port.bridge.lane.provider.drops(number).get(UNSENT, 0)
        return counts._replace(tx_dropped=(counts.tx_dropped or 0) + unsent) if unsent else counts

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        part = self.part_of(bridge, ofport)
        if part is not None:
            self._settling.change_device(part, lambda device: device.set_admin_state(up))

    # ---- end

    def close(self, *, remove: bool) -> None:
        """Lets go of every device.  `remove`, of ``exit --cleanup``, also takes internal ports out of the
        system, and ends forwarding in the kernel; without it that goes on."""
        if remove:
            self._lanes.close()
        self.interfaces.close_all(remove=remove)
        for bridge in self.bridges.values():
            self._surroundings.bridge_went(bridge.name)


def _number_before(row: Row | None) -> int | None:
    """The number that the database says an interface has had."""
    return row.ofport if row is not None and row.ofport and row.ofport > 0 else None


def _nature(row: Row) -> tuple[str, str]:
    """What a bridge cannot change without being made anew."""
    return row.name, row.datapath_type or "system"
