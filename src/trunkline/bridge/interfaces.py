"""An interface's life: opened, given a number, plugged in, reconfigured, watched, closed, tried again.

An interface that cannot be opened stays known, with the reason, and without a number; news of its device, or
another configuration, tries again.  What it contributes to its bridge goes to settling.py.
"""

from collections.abc import Callable, Iterable
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.bridge.devices import DeviceError, Devices, DeviceState, NoPortError, UnknownTypeError
from trunkline.bridge.parts import NO_OFPORT, InterfacePart
from trunkline.bridge.settings import LOCAL_PORT, InterfaceSettings, random_mac
from trunkline.bridge.settling import Settling, look_at, openflow_port, wanted_mac
from trunkline.bridge.tunnels import BadTunnel, TunnelInterfaces
from trunkline.dpif.provider import DatapathError
from trunkline.ofproto.ports import PortError
from trunkline.ofproto.tunnel_settings import TunnelSettings
from trunkline.ovsdb.atoms import Uuid
from trunkline.packet.packet import Packet

_PATCH_STATE: Final = DeviceState(mtu=None, ifindex=0)


class Interfaces:
    """All interfaces, by uuid and by name.  While `holding`, packets that come in are not looked at."""

    def __init__(
        self,
        devices: Devices,
        settling: Settling,
        unwritten: set[Uuid],
        tunnels: TunnelInterfaces,
        *,
        clock: Clock,
        log: Log,
        random_bits: Callable[[int], int],
        counters: Counters,
    ) -> None:
        self._ports_added = counters.counter("dpif_port_add")
        self._ports_deleted = counters.counter("dpif_port_del")
        self._packets_in = counters.counter("netdev_received")
        self.all: dict[Uuid, InterfacePart] = {}
        self.by_name: dict[str, InterfacePart] = {}
        self.holding = False
        self._devices = devices
        self._settling = settling
        self._tunnels = tunnels
        self._unwritten = unwritten
        self._clock = clock
        self._log = log.module("bridge")
        self._netdev_log = log.module("netdev")
        self._dpif_log = log.module("dpif")
        self._dpif_netdev_log = log.module("dpif_netdev")
        self._again = False  # of what is being opened: it is not the first time
        self._said: str | None = None  # and this was wrong with it before
        self._vport_log = log.module("netdev_vport")
        self._random_bits = random_bits

    # ---- coming

    def add(self, part: InterfacePart) -> None:
        self.all[part.uuid] = self.by_name[part.settings.name] = part
        part.port.interfaces[part.uuid] = part
        self._unwritten.add(part.uuid)

    def open(self, part: InterfacePart, before: int | None, *, again: bool = False) -> None:
        """Opens the device and plugs it in; on failure the part stays, with an error.

        `before` is the number that the interface is known to have had.  `again`: it was there before, or this
        was tried before; then it keeps its claim to a number whatever happens.
        """
        self._again = again
        self._said = part.error
        part.error = part.complaint = None
        settings = part.settings
        try:
            self._check(part)
            if part.is_tunnel:
                self._open_tunnel(part)
            elif settings.type != "patch":
                dummy = part.is_internal and part.port.bridge.lane.in_memory
                type = "dummy-internal" if dummy else settings.type
                devices = part.port.bridge.lane.devices or self._devices
                part.device = devices.open(settings.name, type, settings.options)
                part.state = part.device.state()
            else:
                part.state = _PATCH_STATE._replace(mac=random_mac(self._random_bits))
            self._give_number(part, before)
            self._plug(part)
        except DeviceError as error:
            self._fail(part, self._no_device(part, error))
        except DatapathError as error:
            self._take_number_back(part)
            self._fail(part, f"could not add network device {settings.name} to ofproto ({error})")
        except (LookupError, PortError) as error:
            self._fail(part, str(error))
        except _Refusal as refusal:
            self._fail(part, str(refusal), refusal.log)
        except BadTunnel as error:
            if part.is_there:
                self._take_number_back(part)
            self._fail(part, str(error), error.log)

    def _open_tunnel(self, part: InterfacePart) -> None:
        """Raises BadTunnel."""
        tunnel = self._tunnels.read(part, quiet=self._again and self._said is not None)
        self._tunnels.check(part, tunnel)
        part.tunnel = tunnel
        part.state = self._tunnels.state(random_mac(self._random_bits))

    def _no_device(self, part: InterfacePart, error: DeviceError) -> str:
        """What there is to say of a device that cannot be had."""
        name, type = part.settings.name, part.settings.type
        if isinstance(error, UnknownTypeError):
            self._netdev_log.warn("could not create netdev %s of unknown type %s", name, type)
        if isinstance(error, NoPortError):
            title = part.port.bridge.lane.datapath.title
            self._dpif_netdev_log.err("%s: %s", name, error.reason)
            self._dpif_log.warn("%s: failed to add %s as port: %s", title, name, error)
            return f"could not add network device {name} to ofproto ({error})"
        return f"could not open network device {name} ({error})"

    def _fail(self, part: InterfacePart, text: str, log: bool = True) -> None:
        if log and not (self._again and text == self._said):
            self._log.warn("%s", text)
        part.error = text
        if not self._again:
            part.port.bridge.numbers.forget(part.settings.name)
        if part.tunnel is not None and part.datapath_port is not None:
            self._tunnels.unplug(part, part.tunnel)
        elif part.datapath_port is not None:
            part.port.bridge.lane.provider.port_delete(part.datapath_port)
            part.datapath_port = None
        if part.device is not None:
            part.device.close(remove=True)
            part.device = None
        part.state = part.tunnel = None

    def _check(self, part: InterfacePart) -> None:
        """Refuses what is not there yet, and what cannot be.  Raises _Refusal or DeviceError."""
        settings, port = part.settings, part.port
        if port.is_bond:
            raise _Refusal(f"{settings.name}: bonds are not implemented yet, so port {port.name} stays down")
        if settings.type == "patch":
            peer = settings.options.get("peer")
            if not peer:
                self._refuse_patch(settings.name, "patch type requires valid 'peer' argument")
            if len(settings.options) > 1:
                self._refuse_patch(settings.name, "patch type takes only a 'peer' argument")
            if peer == settings.name:
                self._refuse_patch(settings.name, "patch peer must not be self")

    def _refuse_patch(self, name: str, reason: str) -> None:
        self._vport_log.err("%s: %s", name, reason)
        self._netdev_log.warn("%s: could not set configuration (Invalid argument)", name)
        raise _Refusal(f"{name}: {reason}", log=False)

    def _give_number(self, part: InterfacePart, before: int | None) -> None:
        bridge, name, wish = part.port.bridge, part.settings.name, part.settings.ofport_request
        if part.is_local:
            part.ofport = LOCAL_PORT
        elif wish is not None and bridge.numbers.holder(wish) is None:
            part.ofport = bridge.numbers.take(name, wish)
        else:
            part.ofport = bridge.numbers.allocate(name, before, self._clock.monotonic())
        self._note_wish(part)

    def _take_number_back(self, part: InterfacePart) -> None:
        if not part.is_local:
            part.port.bridge.numbers.give_back(part.ofport, self._clock.monotonic(), forget=False)
        part.ofport = NO_OFPORT
        self._note_wish(part)

    @staticmethod
    def _note_wish(part: InterfacePart) -> None:
        """Keeps the bridge's index of wishes that are not fulfilled."""
        wishes, wish = part.port.bridge.wishes, part.settings.ofport_request
        unfulfilled = wish if part.is_there and wish != part.ofport else None
        if part.wish is not None:
            wishes[part.wish].discard(part.uuid)
            if not wishes[part.wish]:
                del wishes[part.wish]
        if unfulfilled is not None:
            wishes.setdefault(unfulfilled, set()).add(part.uuid)
        part.wish = unfulfilled

    def _plug(self, part: InterfacePart) -> None:
        bridge, device = part.port.bridge, part.device
        if part.tunnel is not None:
            self._tunnels.plug(part, part.tunnel)
            self._ports_added.total += 1
            self._tell_tunnel(part)
        elif device is not None:
            provider, datapath = bridge.lane.provider, bridge.lane.datapath
            number = part.datapath_port = provider.port_add(part.settings.name, device.type)
            provider.attach_device(number, device)
            self._ports_added.total += 1
            packets_in = self._packets_in

            def receive(packets: Iterable[Packet]) -> None:
                batch = tuple(packets)
                packets_in.total += len(batch)
                if not self.holding:
                    provider.receive(number, batch)
                    datapath.attend()

            device.start(receive)
            self._set_up(part)
        else:
            self._settling.plug_patch(part)
        if part.is_internal:
            bridge.internals[part.settings.name] = part
        self._settling.count(part)
        if part.is_local and not bridge.local_mac and wanted_mac(bridge.row) is None:
            bridge.local_mac = part.known_state.mac
        bridge.bridge.add_interface(openflow_port(part))
        self._log.info(
            "bridge %s: added interface %s on port %d", bridge.name, part.settings.name, part.ofport
        )

    def _set_up(self, part: InterfacePart) -> None:
        """Gives the device the address and MTU that are asked for; what it refuses is logged."""
        device, settings, state = part.device, part.settings, part.known_state
        if device is None:
            return
        if settings.mac not in (None, state.mac):
            try:
                device.set_mac(settings.mac or 0)
            except DeviceError as error:
                self._log.err("interface %s: setting MAC failed (%s)", settings.name, error)
        if settings.mtu_request not in (None, state.mtu):
            try:
                device.set_mtu(settings.mtu_request or 0)
            except DeviceError as error:
                self._netdev_log.warn("failed to set MTU for network device %s: %s", settings.name, error)
        look_at(part)

    # ---- staying

    def configure(self, part: InterfacePart, new: InterfaceSettings) -> None:
        """An interface that stays, with settings that may have changed."""
        old, part.settings = part.settings, new
        self._unwritten.add(part.uuid)
        if new == old or not part.is_there:
            return
        self._note_wish(part)
        if part.is_tunnel:
            self._configure_tunnel(part)
        elif part.is_patch:
            self._settling.unplug_patch(part)
            self._configure_patch(part)
        elif part.device is not None:
            try:
                part.device.configure(new.options)
            except DeviceError as error:
                part.complaint = f"{new.name}: {error}"
            self._set_up(part)
            self.observe(part)

    def _configure_tunnel(self, part: InterfacePart) -> None:
        """The datapath port stays, unless it is for another UDP port now."""
        old = part.tunnel
        try:
            new = self._tunnels.read(part)
            self._tunnels.check(part, new)
        except BadTunnel as error:
            self.close(part, remove=True, forget=True)
            part.error = str(error)
            return
        if old is None or _needs_another_port(old, new):
            ofport = part.ofport
            self.close(part, remove=True)
            self.open(part, ofport, again=True)
            return
        part.tunnel = new
        part.port.bridge.bridge.change_interface(openflow_port(part))
        self._tell_tunnel(part)

    def _tell_tunnel(self, part: InterfacePart) -> None:
        """Brings the tunnel's status up to date."""
        if part.tunnel is not None:
            part.state = part.known_state._replace(status=self._tunnels.status(part.tunnel, self._link_up))
            self._unwritten.add(part.uuid)

    def _link_up(self, name: str) -> bool | None:
        part = self.by_name.get(name)
        return part.known_state.link_up if part is not None else self._devices.link_up(name)

    def routes_changed(self) -> None:
        for part in self.all.values():
            if part.is_there:
                self._tell_tunnel(part)

    def _configure_patch(self, part: InterfacePart) -> None:
        try:
            self._check(part)
        except _Refusal as refusal:
            self.close(part, remove=True, forget=True)
            part.error = str(refusal)
        else:
            part.port.bridge.bridge.change_interface(openflow_port(part))
            self._settling.plug_patch(part)

    def rename(self, part: InterfacePart, uuid: Uuid) -> None:
        """Another row stands for the interface now."""
        for parts in (self.all, part.port.interfaces):
            parts[uuid] = parts.pop(part.uuid)
        if part.wish is not None:
            part.port.bridge.wishes[part.wish].discard(part.uuid)
            part.port.bridge.wishes[part.wish].add(uuid)
        self._unwritten.discard(part.uuid)
        self._unwritten.add(uuid)
        part.uuid, part.written = uuid, {}

    def observe(self, part: InterfacePart) -> None:
        """Looks at the device anew, and passes on what is different."""
        if part.device is None:
            return
        was_away = part.known_state.away
        look_at(part)
        if was_away and not part.known_state.away:  # what was asked for meanwhile
            self._set_up(part)
        self._settling.count(part)
        part.port.bridge.bridge.change_interface(openflow_port(part))
        self._unwritten.add(part.uuid)

    def vanished(self, part: InterfacePart) -> None:
        """The device has gone; the interface waits for one of that name and keeps its number."""
        self.close(part, remove=True)
        part.error = f"could not open network device {part.settings.name} (No such device)"
        self._log.warn("%s", part.error)
        self._unwritten.add(part.uuid)

    # ---- going

    def remove(self, part: InterfacePart, *, for_good: bool) -> None:
        """`for_good`: it does not come back at once; an internal port's device goes in either case."""
        self.close(part, remove=for_good or part.is_internal, forget=for_good)
        del self.all[part.uuid]
        if self.by_name.get(part.settings.name) is part:
            del self.by_name[part.settings.name]
        del part.port.interfaces[part.uuid]
        self._unwritten.discard(part.uuid)

    def close(self, part: InterfacePart, *, remove: bool, forget: bool = False) -> None:
        """Unplugs an interface from its bridge; the part stays, without device and number.

        `forget`: it has no claim to its number any more.
        """
        bridge = part.port.bridge
        if part.is_there:
            bridge.bridge.remove_interface(part.ofport)
            if not part.is_local:
                now = self._clock.monotonic()
                bridge.numbers.give_back(part.ofport, now, forget=forget)
            self._log.info(
                "bridge %s: deleted interface %s on port %d", bridge.name, part.settings.name, part.ofport
            )
            part.ofport = NO_OFPORT
            self._note_wish(part)
        if part.tunnel is not None:
            if part.datapath_port is not None:
                self._tunnels.unplug(part, part.tunnel)
                self._ports_deleted.total += 1
            part.tunnel = None
        elif part.datapath_port is not None:
            bridge.lane.provider.port_delete(part.datapath_port)
            self._ports_deleted.total += 1
            part.datapath_port = None
        if part.device is not None:
            part.device.close(remove=remove)
            part.device = None
        self._settling.unplug_patch(part)
        part.state = None
        bridge.internals.pop(part.settings.name, None)
        self._settling.count(part)

    def close_all(self, *, remove: bool) -> None:
        """Lets go of every device, as it is."""
        for part in self.all.values():
            if part.device is not None:
                part.device.close(remove=remove)
        self._tunnels.close()


class _Refusal(Exception):
    """An interface cannot be; the text goes to Interface:error, and with `log` to the log."""

    def __init__(self, text: str, *, log: bool = True) -> None:
        super().__init__(text)
        self.log = log


def _needs_another_port(old: TunnelSettings, new: TunnelSettings) -> bool:
    """Whether the tunnel cannot stay at its datapath port, or other hosts' packets are to be encrypted."""
    if (new.destination, new.extensions) != (old.destination, old.extensions):
        return True
    ends = [(one.secret, one.local, one.remote) for one in (old, new)]
    return bool(old.secret or new.secret) and ends[0] != ends[1]
