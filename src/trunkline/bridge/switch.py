"""From database rows to bridges, ports and interfaces, incrementally.

The database says what should be; `Switch` makes it so.  It is handed the rows that changed and looks at
nothing else: a Bridge row that gained a port leads to that Port row, that to its Interface rows, and only
those are compared with what is there.  What depends on all ports of a bridge, its address and its smallest
MTU, is kept up to date as they come and go (parts.py, Values).  So adding a port costs the same with 10 ports
and with 10,000.

A round goes in this order, because names and numbers must be free before they are given out again:

    1. what is gone, or has changed its nature, is taken away
    2. bridges are made and configured
    3. interfaces are opened; first those that ask for a number, then those that had one, then the others
    4. ports are told to NORMAL
    5. bridges settle their address and MTU, patch ports look for their peers
"""

from collections.abc import Callable, Iterable
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.log import Log
from trunkline.bridge.devices import DeviceError, Devices, DeviceState
from trunkline.bridge.numbers import Numbers
from trunkline.bridge.parts import (
    NO_OFPORT,
    BridgePart,
    InterfacePart,
    Lane,
    PortPart,
    Surroundings,
)
from trunkline.bridge.settings import (
    LOCAL_PORT,
    InterfaceSettings,
    bridge_config,
    flag,
    interface_settings,
    is_burnt_in,
    number,
    port_config,
    usable_mac,
)
from trunkline.bridge.unsupported import Complaints
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.ports import OfPort, PortError, PortStatistics
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Change, Replica
from trunkline.ovsdb.rows import Row
from trunkline.packet.packet import Packet

TUNNELS: Final = frozenset(
    ("bareudp", "erspan", "geneve", "gre", "gtpu", "ip6erspan", "ip6gre", "lisp", "stt", "vxlan")
)
_PROBE_SECONDS: Final = 5.0  # Controller:inactivity_probe by default
_PATCH_STATE: Final = DeviceState(mtu=None, ifindex=0)

MakeLane = Callable[[str], Lane]


class Switch:
    """All bridges.  `make_lane` makes the datapath of a type ("system", "netdev", ...) when it is first used."""

    def __init__(
        self,
        devices: Devices,
        make_lane: MakeLane,
        surroundings: Surroundings,
        *,
        clock: Clock,
        log: Log,
        random_bits: Callable[[int], int],
    ) -> None:
        self.devices = devices
        self.bridges: dict[Uuid, BridgePart] = {}
        self.lanes: dict[str, Lane] = {}
        self.interfaces: dict[Uuid, InterfacePart] = {}
        self.by_name: dict[str, InterfacePart] = {}
        self.unwritten: set[Uuid] = set()  # interfaces whose status may differ from what was written
        self.restoring = False
        self._ports: dict[Uuid, PortPart] = {}
        self._bridge_of_port: dict[Uuid, Uuid] = {}
        self._port_of_interface: dict[Uuid, Uuid] = {}
        self._dirty_bridges: set[Uuid] = set()
        self._dirty_ports: set[Uuid] = set()
        self._dirty_interfaces: set[Uuid] = set()
        self._unsettled: set[Uuid] = set()
        self._patches: dict[str, InterfacePart] = {}
        self._unpaired: bool = False
        self._make_lane = make_lane
        self._surroundings = surroundings
        self._clock = clock
        self._log = log.module("bridge")
        self._netdev_log = log.module("netdev")
        self._vport_log = log.module("netdev_vport")
        self._random_bits = random_bits
        self._complaints = Complaints(self._log)
        self._settings: Row | None = None
        self._moved: dict[Uuid, Numbers] = {}  # of bridges on their way to another datapath

    # ---- what changed

    def apply(self, replica: Replica) -> None:
        """Brings the bridges in line with the rows that changed since the last call."""
        for change in replica.take_changes():
            _ROUTES.get(change.table, Switch._controller_changed)(self, change)
        self._replica = replica
        self._remove()
        self._configure_bridges()
        self._add_interfaces()
        self._set_ports()
        self._settle()

    def _open_vswitch_changed(self, change: Change) -> None:
        old = change.old.bridges if change.old is not None else ()
        new = change.new.bridges if change.new is not None else ()
        self._dirty_bridges.update(set(old) ^ set(new))
        self._settings = change.new
        if change.new is not None:
            self._complaints.look("Open_vSwitch", change.new, ".")
            self._configure_all(change.new)

    def _configure_all(self, row: Row) -> None:
        config = row.other_config
        self.restoring = flag(config, "flow-restore-wait")
        for lane in self.lanes.values():
            self._configure_lane(lane)

    def _configure_lane(self, lane: Lane) -> None:
        config = self._settings.other_config if self._settings is not None else {}
        lane.datapath.max_idle = number(config, "max-idle", 10_000, 500) / 1000
        lane.datapath.flow_limit = number(config, "flow-limit", 200_000)
        lane.sim.vlan_limit = number(config, "vlan-limit", 1) or 2

    def _bridge_changed(self, change: Change) -> None:
        old = set(change.old.ports) if change.old is not None else set()
        new = set(change.new.ports) if change.new is not None else set()
        for uuid in old - new:
            if self._bridge_of_port.get(uuid) == change.uuid:
                del self._bridge_of_port[uuid]
            self._dirty_ports.add(uuid)
        for uuid in new - old:
            self._bridge_of_port[uuid] = change.uuid
            self._dirty_ports.add(uuid)
        self._dirty_bridges.add(change.uuid)
        self._note(change)

    def _port_changed(self, change: Change) -> None:
        old = set(change.old.interfaces) if change.old is not None else set()
        new = set(change.new.interfaces) if change.new is not None else set()
        for uuid in old - new:
            if self._port_of_interface.get(uuid) == change.uuid:
                del self._port_of_interface[uuid]
            self._dirty_interfaces.add(uuid)
        for uuid in new - old:
            self._port_of_interface[uuid] = change.uuid
            self._dirty_interfaces.add(uuid)
        self._dirty_ports.add(change.uuid)
        self._note(change)

    def _interface_changed(self, change: Change) -> None:
        self._dirty_interfaces.add(change.uuid)
        self._note(change)

    def _controller_changed(self, change: Change) -> None:
        pass  # a bridge that has one says so itself; connections are not made yet

    def _note(self, change: Change) -> None:
        if change.new is None:
            self._complaints.forget(change.uuid)
        else:
            self._complaints.look(change.table, change.new, change.new.name)

    # ---- 1. what is gone

    def _remove(self) -> None:
        wanted_bridges = set(self._settings.bridges) if self._settings is not None else set()
        for uuid in self._dirty_bridges & self.bridges.keys():
            row = self._replica.row("Bridge", uuid)
            part = self.bridges[uuid]
            if row is None or uuid not in wanted_bridges or _nature(row) != _nature(part.row):
                self._remove_bridge(part, moving=row is not None and uuid in wanted_bridges)
        for uuid in self._dirty_ports & self._ports.keys():
            port = self._ports[uuid]
            row = self._replica.row("Port", uuid)
            moved = self._bridge_of_port.get(uuid) != port.bridge.uuid
            if row is None or moved or port.row is None or row.name != port.name:
                self._dirty_interfaces.update(port.interfaces)
                self._remove_port(port)
        for uuid in self._dirty_interfaces & self.interfaces.keys():
            part_ = self.interfaces[uuid]
            row = self._replica.row("Interface", uuid)
            gone = row is None or self._port_of_interface.get(uuid) != part_.port.uuid
            if row is None or gone or self._must_reopen(part_, row):
                self._remove_interface(part_, for_good=gone)

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
        return holder is None or self.by_name[holder].settings.ofport_request != wish

    def _remove_bridge(self, part: BridgePart, moving: bool) -> None:
        """With `moving` it is made anew at once, on another datapath: its ports and numbers come along."""
        for port in list(part.ports.values()):
            if moving:
                self._dirty_ports.add(port.uuid)
                self._dirty_interfaces.update(port.interfaces)
            self._remove_port(port, for_good=not moving)
        self._surroundings.bridge_went(part.name)
        part.bridge.close()
        del self.bridges[part.uuid]
        if moving:
            self._moved[part.uuid] = part.numbers

    def _remove_port(self, port: PortPart, for_good: bool = True) -> None:
        for interface in list(port.interfaces.values()):
            self._remove_interface(interface, for_good=for_good)
        if port.name in port.bridge.bridge.ports:
            port.bridge.bridge.remove_port(port.name)
        del port.bridge.ports[port.uuid]
        self._ports.pop(port.uuid, None)
        self._unsettled.add(port.bridge.uuid)

    def _remove_interface(self, part: InterfacePart, *, for_good: bool) -> None:
        self._close(part, remove=for_good or part.settings.type == "internal")
        del self.interfaces[part.uuid]
        if self.by_name.get(part.settings.name) is part:
            del self.by_name[part.settings.name]
        del part.port.interfaces[part.uuid]
        self.unwritten.discard(part.uuid)
        if not for_good:
            self._dirty_interfaces.add(part.uuid)
        self._dirty_ports.add(part.port.uuid)

    def _close(self, part: InterfacePart, *, remove: bool) -> None:
        """Unplugs an interface from its bridge; the part stays, without device and number."""
        bridge = part.port.bridge
        if part.is_there:
            bridge.bridge.remove_interface(part.ofport)
            if not part.is_local:
                bridge.numbers.give_back(part.ofport, self._clock.monotonic())
            self._log.info(
                "bridge %s: deleted interface %s on port %d", bridge.name, part.settings.name, part.ofport
            )
            part.ofport = NO_OFPORT
        if part.datapath_port is not None:
            bridge.lane.sim.port_delete(part.datapath_port)
            part.datapath_port = None
        if part.device is not None:
            part.device.close(remove=remove)
            part.device = None
        self._patches.pop(part.settings.name, None)
        self._unpaired = self._unpaired or part.is_patch
        part.state = None
        bridge.internals.pop(part.settings.name, None)
        self._count(part)
        self._unsettled.add(bridge.uuid)

    # ---- 2. bridges

    def _configure_bridges(self) -> None:
        wanted = set(self._settings.bridges) if self._settings is not None else set()
        for uuid in sorted(self._dirty_bridges & wanted, key=self._bridge_name):
            row = self._replica.row("Bridge", uuid)
            if row is None:
                continue
            part = self.bridges.get(uuid)
            if part is None:
                self._add_bridge(row)
            elif row != part.row:
                part.row = row
                self._configure_bridge(part)
            self._unsettled.add(uuid)
        self._dirty_bridges.clear()

    def _bridge_name(self, uuid: Uuid) -> str:
        row = self._replica.row("Bridge", uuid)
        return row.name if row is not None else ""

    def _add_bridge(self, row: Row) -> None:
        lane = self._lane(row.datapath_type or "system")
        mac = self._wanted_mac(row) or self._random_mac()
        config = bridge_config(row, mac, row.fail_mode or "standalone", bool(row.controller))
        bridge = Bridge(config, lane.datapath.fabric, self._clock)
        part = BridgePart(row, lane, bridge)
        numbers = self._moved.pop(row.uuid, None)
        if numbers is not None:
            part.numbers = numbers
        part.local_mac = mac
        self._await_controller(part)
        self.bridges[row.uuid] = part
        self._dirty_ports.update(row.ports)
        for port in row.ports:
            port_row = self._replica.row("Port", port)
            if port_row is not None:
                self._dirty_interfaces.update(port_row.interfaces)
        self._add_local(part)
        self._surroundings.bridge_came(bridge)

    def _lane(self, type: str) -> Lane:
        lane = self.lanes.get(type)
        if lane is None:
            lane = self.lanes[type] = self._make_lane(type)
            self._configure_lane(lane)
        return lane

    def _configure_bridge(self, part: BridgePart) -> None:
        self._await_controller(part)
        part.bridge.configure(self._bridge_config(part))

    def _bridge_config(self, part: BridgePart) -> BridgeConfig:
        mode = part.row.fail_mode or "standalone"
        led = bool(part.row.controller) and not part.alone
        return bridge_config(part.row, self._bridge_mac(part), mode, led)

    def _await_controller(self, part: BridgePart) -> None:
        """A controller that does not answer within three probes leaves the bridge to itself (fail_mode)."""
        if not part.row.controller or part.row.fail_mode == "secure":
            part.standalone_at, part.alone = None, False
            return
        probes = [
            row.inactivity_probe
            for uuid in part.row.controller
            if (row := self._replica.row("Controller", uuid)) is not None and row.inactivity_probe is not None
        ]
        seconds = max(probes) / 1000 if probes else _PROBE_SECONDS
        if part.standalone_at is None and not part.alone:
            part.standalone_at = self._clock.monotonic() + 3 * seconds

    # ---- 3. interfaces

    def _add_interfaces(self) -> None:
        waiting: list[tuple[int, str, Uuid]] = []
        for uuid in self._dirty_interfaces:
            row = self._replica.row("Interface", uuid)
            port_uuid = self._port_of_interface.get(uuid)
            if row is None or port_uuid is None:
                continue
            part = self.interfaces.get(uuid)
            if part is not None:
                self._configure_interface(part, row)
            elif (port := self._port(port_uuid)) is not None:
                turn = 0 if row.name == port.bridge.name or row.ofport_request else 1 if row.ofport else 2
                waiting.append((turn, row.name, uuid))
        self._dirty_interfaces.clear()
        while waiting:
            waiting.sort()
            again: list[tuple[int, str, Uuid]] = []
            for _, _, uuid in waiting:
                again += self._add_interface(uuid)
            waiting = again

    def _port(self, uuid: Uuid) -> PortPart | None:
        """The port of this uuid, made now if its bridge is there."""
        port = self._ports.get(uuid)
        bridge = self.bridges.get(self._bridge_of_port.get(uuid, ""))
        row = self._replica.row("Port", uuid)
        if port is None and bridge is not None and row is not None:
            if row.name == bridge.name:
                self._remove_synthesized(bridge)
            port = self._ports[uuid] = bridge.ports[uuid] = PortPart(uuid, bridge, row)
        return port

    def _add_interface(self, uuid: Uuid) -> list[tuple[int, str, Uuid]]:
        """Returns what has to be added again, because its number went to this one."""
        row = self._replica.row("Interface", uuid)
        port = self._port(self._port_of_interface[uuid])
        if row is None or port is None:
            return []
        settings = interface_settings(row, port.bridge.name)
        part = InterfacePart(uuid, port, settings)
        port.interfaces[uuid] = self.interfaces[uuid] = self.by_name[settings.name] = part
        self.unwritten.add(uuid)
        self._dirty_ports.add(port.uuid)
        evicted = self._evict(part)
        self._open(part, row.ofport if row.ofport and row.ofport > 0 else None)
        return evicted

    def _evict(self, part: InterfacePart) -> list[tuple[int, str, Uuid]]:
        """Takes the number that this interface asks for from one that only happens to have it."""
        bridge, wish = part.port.bridge, part.settings.ofport_request
        holder = bridge.numbers.holder(wish) if wish is not None else None
        if wish is None or holder is None or not self._may_have(bridge, wish):
            return []
        other = self.by_name[holder]
        self._remove_interface(other, for_good=False)
        self._dirty_interfaces.discard(other.uuid)
        return [(2, holder, other.uuid)]

    def _open(self, part: InterfacePart, before: int | None) -> None:
        """Opens the device and plugs it in; on failure the part stays, with an error."""
        part.error = part.complaint = None
        settings = part.settings
        try:
            self._check(part)
            if settings.type != "patch":
                part.device = self.devices.open(settings.name, settings.type, settings.options)
                part.state = part.device.state()
            else:
                part.state = _PATCH_STATE._replace(mac=self._random_mac())
            self._give_number(part, before)
            self._plug(part)
        except DeviceError as error:
            self._fail(part, f"could not open network device {settings.name} ({error})")
        except (LookupError, PortError) as error:
            self._fail(part, str(error))
        except _Refusal as error:
            self._fail(part, str(error))

    def _fail(self, part: InterfacePart, text: str) -> None:
        self._log.warn("%s", text)
        part.error = text
        if part.device is not None:
            part.device.close(remove=True)
            part.device = None
        part.state = None

    def _check(self, part: InterfacePart) -> None:
        """Refuses what is not there yet, and what cannot be.  Raises _Refusal or DeviceError."""
        settings, row = part.settings, part.port.row
        if row is not None and len(row.interfaces) > 1:
            raise _Refusal(f"{settings.name}: bonds are not implemented yet, so port {row.name} stays down")
        if settings.type in TUNNELS:
            raise _Refusal(f"{settings.name}: {settings.type} tunnels are not implemented yet")
        if settings.type == "patch":
            peer = settings.options.get("peer")
            if not peer:
                self._refuse_patch(settings.name, "patch type requires valid 'peer' argument")
            if peer == settings.name:
                self._refuse_patch(settings.name, "patch peer must not be self")

    def _refuse_patch(self, name: str, reason: str) -> None:
        self._vport_log.err("%s: %s", name, reason)
        raise _Refusal(f"{name}: {reason}")

    def _give_number(self, part: InterfacePart, before: int | None) -> None:
        bridge, name, wish = part.port.bridge, part.settings.name, part.settings.ofport_request
        if part.is_local:
            part.ofport = LOCAL_PORT
        elif wish is not None and bridge.numbers.holder(wish) is None:
            part.ofport = bridge.numbers.take(name, wish)
        else:
            part.ofport = bridge.numbers.allocate(name, before, self._clock.monotonic())

    def _plug(self, part: InterfacePart) -> None:
        bridge, device = part.port.bridge, part.device
        if device is not None:
            sim, datapath = bridge.lane.sim, bridge.lane.datapath
            number = part.datapath_port = sim.port_add(part.settings.name, device.type)
            sim.attach(number, device.transmit)

            def receive(packets: Iterable[Packet]) -> None:
                if not self.restoring:
                    sim.receive(number, tuple(packets))
                    datapath.run()

            device.start(receive)
            self._set_up(part)
        else:
            self._patches[part.settings.name] = part
            self._unpaired = True
        if part.is_internal:
            bridge.internals[part.settings.name] = part
        self._count(part)
        if part.is_local and part.state is not None and self._wanted_mac(bridge.row) is None:
            bridge.local_mac = part.state.mac or bridge.local_mac
        bridge.bridge.add_interface(self._ofport(part))
        self._log.info(
            "bridge %s: added interface %s on port %d", bridge.name, part.settings.name, part.ofport
        )
        self._unsettled.add(bridge.uuid)

    def _set_up(self, part: InterfacePart) -> None:
        """Gives the device the address and MTU that are asked for; what it refuses is a complaint."""
        device, settings = part.device, part.settings
        if device is None:
            return
        try:
            if settings.mac is not None and part.state is not None and part.state.mac != settings.mac:
                device.set_mac(settings.mac)
            if settings.mtu_request not in (None, part.state.mtu if part.state is not None else None):
                device.set_mtu(settings.mtu_request or 0)
        except DeviceError as error:
            part.complaint = f"{settings.name}: {error}"
            self._netdev_log.warn("%s", part.complaint)
        part.state = device.state()

    def _ofport(self, part: InterfacePart) -> OfPort:
        state = part.state or DeviceState()
        peer = part.settings.options.get("peer") if part.is_patch else None
        return OfPort(
            part.settings.name,
            part.ofport,
            state.mac,
            part.datapath_port,
            peer,
            part.device.type if part.device is not None else part.settings.type,
            state.admin_up,
            state.link_up,
            current_speed=(state.speed or 0) // 1000,
            mtu=state.mtu or 0,
        )

    def _configure_interface(self, part: InterfacePart, row: Row) -> None:
        """An interface that stays, with settings that may have changed."""
        new = interface_settings(row, part.port.bridge.name)
        old, part.settings = part.settings, new
        self.unwritten.add(part.uuid)
        if new == old or not part.is_there:
            return
        if part.is_patch:
            self._reconfigure_patch(part, old)
        elif part.device is not None:
            try:
                part.device.configure(new.options)
            except DeviceError as error:
                part.complaint = f"{new.name}: {error}"
            self._set_up(part)
            self._observe(part)

    def _reconfigure_patch(self, part: InterfacePart, old: InterfaceSettings) -> None:
        try:
            self._check(part)
        except _Refusal as error:
            self._close(part, remove=True)
            part.error = str(error)
        else:
            part.port.bridge.bridge.change_interface(self._ofport(part))
            self._unpaired = True

    # ---- what devices do by themselves

    def device_changed(self, name: str) -> None:
        """A device came, went or changed; called by whoever watches devices."""
        part = self.by_name.get(name)
        if part is None:
            return
        if part.device is None:
            if part.error is not None and not part.is_patch:
                self._retry(part)
        elif not part.device.present():
            self._close(part, remove=True)
            self._fail(part, f"could not open network device {name} (No such device)")
            self.unwritten.add(part.uuid)
            self._dirty_ports.add(part.port.uuid)
        else:
            self._observe(part)
        self._set_ports()
        self._settle()

    def _retry(self, part: InterfacePart) -> None:
        row = self._replica.row("Interface", part.uuid)
        self._open(part, row.ofport if row is not None and row.ofport and row.ofport > 0 else None)
        self.unwritten.add(part.uuid)
        self._dirty_ports.add(part.port.uuid)

    def _observe(self, part: InterfacePart) -> None:
        """Looks at the device anew, and passes on what is different."""
        if part.device is None:
            return
        part.state = part.device.state()
        self._count(part)
        self._unsettled.add(part.port.bridge.uuid)
        part.port.bridge.bridge.change_interface(self._ofport(part))
        self.unwritten.add(part.uuid)

    def _count(self, part: InterfacePart) -> None:
        """Keeps the bridge's MTUs and burnt-in addresses in line with this interface."""
        bridge, state = part.port.bridge, part.state
        counts = part.device is not None and state is not None and not part.is_internal
        mtu = state.mtu if counts and state is not None else None
        mac = state.mac if counts and state is not None and is_burnt_in(state.mac) else None
        for values, before, now in ((bridge.mtus, part.mtu, mtu), (bridge.burnt_in, part.burnt_in, mac)):
            if before != now:
                if before is not None:
                    values.remove(before)
                if now is not None:
                    values.add(now)
        part.mtu, part.burnt_in = mtu, mac

    # ---- 4. ports

    def _set_ports(self) -> None:
        for uuid in self._dirty_ports:
            port = self._ports.get(uuid)
            if port is None:
                continue
            port.row = self._replica.row("Port", uuid)
            if port.row is None:
                continue
            ofports = tuple(part.ofport for part in port.interfaces.values() if part.is_there)
            if ofports and len(port.row.interfaces) == 1:
                port.bridge.bridge.set_port(port_config(port.row, ofports))
            elif port.name in port.bridge.bridge.ports:
                port.bridge.bridge.remove_port(port.name)
        self._dirty_ports.clear()

    # ---- 5. what depends on all ports

    def _settle(self) -> None:
        for uuid in self._unsettled:
            part = self.bridges.get(uuid)
            if part is not None:
                self._settle_bridge(part)
        self._unsettled.clear()
        if self._unpaired:
            self._unpaired = False
            for patch in self._patches.values():
                self._pair(patch)

    def _settle_bridge(self, part: BridgePart) -> None:
        mac = self._bridge_mac(part)
        config = self._bridge_config(part)
        if config != part.bridge.config:
            if config.datapath_id != part.bridge.config.datapath_id:
                self._log.info("bridge %s: using datapath ID %016x", part.name, config.datapath_id)
            part.bridge.configure(config)
        local = part.internals.get(part.name)
        if local is not None and local.state is not None and local.state.mac != mac:
            self._change_device(local, lambda device: device.set_mac(mac))
        mtu = part.mtus.least
        for internal in part.internals.values():
            state = internal.state
            if mtu is not None and state is not None and state.mtu != mtu and follows(internal):
                self._change_device(internal, lambda device: device.set_mtu(mtu))

    def _change_device(self, part: InterfacePart, change: "Callable[..., None]") -> None:
        try:
            change(part.device)
        except DeviceError as error:
            self._netdev_log.warn("%s: %s", part.settings.name, error)
            return
        if part.device is not None:
            part.state = part.device.state()
            part.port.bridge.bridge.change_interface(self._ofport(part))
            self.unwritten.add(part.uuid)

    def _pair(self, patch: InterfacePart) -> None:
        """A patch port without a usable peer says so."""
        peer_name = patch.settings.options.get("peer", "")
        peer = self._patches.get(peer_name)
        lane = patch.port.bridge.lane
        complaint: str | None = None
        if peer is None or peer.port.bridge.lane is not lane:
            complaint = f"No usable peer '{peer_name}' exists in '{lane.type}' datapath."
        if complaint != patch.complaint:
            patch.complaint = complaint
            self.unwritten.add(patch.uuid)

    def _wanted_mac(self, row: Row) -> int | None:
        return usable_mac(row.other_config.get("hwaddr", ""))

    def _bridge_mac(self, part: BridgePart) -> int:
        return self._wanted_mac(part.row) or part.burnt_in.least or part.local_mac or 0

    def _random_mac(self) -> int:
        return self._random_bits(48) & ~(0b11 << 40) | 0b10 << 40

    # ---- the local port that needs no row

    def _add_local(self, bridge: BridgePart) -> None:
        """A bridge that has no port of its own name has one all the same."""
        for uuid in bridge.row.ports:
            row = self._replica.row("Port", uuid)
            if row is not None and row.name == bridge.name:
                return
        port = PortPart(f"local {bridge.uuid}", bridge, None)
        part = InterfacePart(port.uuid, port, InterfaceSettings(bridge.name, "internal", {}, None))
        bridge.ports[port.uuid] = port
        port.interfaces[part.uuid] = self.interfaces[part.uuid] = self.by_name[bridge.name] = part
        self._open(part, None)

    def _remove_synthesized(self, bridge: BridgePart) -> None:
        port = bridge.ports.get(f"local {bridge.uuid}")
        if port is not None:
            self._remove_port(port)

    # ---- for the OpenFlow side (ofproto/fabric.py, Host)

    def part_of(self, bridge: str, ofport: int) -> InterfacePart | None:
        for part in self.bridges.values():
            if part.name == bridge:
                interface = part.bridge.interface(ofport)
                return self.by_name.get(interface.name) if interface is not None else None
        return None

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        part = self.part_of(bridge, ofport)
        if part is None or part.device is None:
            return PortStatistics(*(None,) * len(PortStatistics._fields))
        return part.device.statistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        part = self.part_of(bridge, ofport)
        if part is not None and part.device is not None:
            self._change_device(part, lambda device: device.set_admin_state(up))

    # ---- time and end

    def run(self, now: float) -> None:
        """A bridge whose controller stayed away too long stands alone, if that is its fail mode."""
        for part in self.bridges.values():
            if part.standalone_at is not None and now >= part.standalone_at:
                part.standalone_at = None
                part.alone = True
                self._settle_bridge(part)

    def next_timer(self) -> float | None:
        due = [part.standalone_at for part in self.bridges.values() if part.standalone_at is not None]
        return min(due, default=None)

    def close(self, *, remove: bool) -> None:
        """Lets go of every device; `remove` also takes internal ports out of the system (exit --cleanup)."""
        for part in list(self.interfaces.values()):
            if part.device is not None:
                part.device.close(remove=remove)
        for bridge in self.bridges.values():
            self._surroundings.bridge_went(bridge.name)


def follows(internal: InterfacePart) -> bool:
    """Whether an internal port has the bridge's smallest MTU rather than one of its own."""
    return internal.settings.mtu_request is None


class _Refusal(Exception):
    """An interface cannot be; the text goes to Interface:error."""


def _nature(row: Row) -> tuple[str, str]:
    """What a bridge cannot change without being made anew."""
    return row.name, row.datapath_type or "system"


_ROUTES: Final = {
    "Open_vSwitch": Switch._open_vswitch_changed,
    "Bridge": Switch._bridge_changed,
    "Port": Switch._port_changed,
    "Interface": Switch._interface_changed,
}
