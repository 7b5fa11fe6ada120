"""What depends on several ports: a bridge's address and smallest MTU, the pairs of patch ports.

Each interface tells, as it comes, changes and goes, what it contributes (`count`); the bridge keeps that
sorted (parts.py, Values) and is noted as unsettled.  At the end of a round each unsettled bridge draws its
conclusions once, whatever happened to how many of its ports.
"""

from collections.abc import Callable

from trunkline.base.log import Log
from trunkline.bridge.devices import Device, DeviceError
from trunkline.bridge.parts import BridgePart, InterfacePart
from trunkline.bridge.settings import bridge_config, is_burnt_in, usable_mac
from trunkline.ofproto.bridge import BridgeConfig
from trunkline.ofproto.ports import OfPort
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.rows import Row


class Settling:
    """`unwritten`: interfaces whose status is to be written."""

    def __init__(self, log: Log, unwritten: set[Uuid]) -> None:
        self._log = log.module("bridge")
        self._netdev_log = log.module("netdev")
        self._unwritten = unwritten
        self._unsettled: dict[Uuid, BridgePart] = {}
        self._patches: dict[str, InterfacePart] = {}
        self._unpaired = False

    # ---- what interfaces contribute

    def disturb(self, bridge: BridgePart) -> None:
        """Something about the bridge has changed."""
        self._unsettled[bridge.uuid] = bridge

    def forget(self, bridge: BridgePart) -> None:
        self._unsettled.pop(bridge.uuid, None)

    def count(self, part: InterfacePart) -> None:
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
        self.disturb(bridge)

    def plug_patch(self, part: InterfacePart) -> None:
        self._patches[part.settings.name] = part
        self._unpaired = True

    def unplug_patch(self, part: InterfacePart) -> None:
        if self._patches.get(part.settings.name) is part:
            del self._patches[part.settings.name]
            self._unpaired = True

    def repair_patches(self) -> None:
        """A patch port has got another peer."""
        self._unpaired = True

    # ---- conclusions

    def settle(self) -> None:
        for bridge in list(self._unsettled.values()):
            self.settle_bridge(bridge)
        self._unsettled.clear()
        if self._unpaired:
            self._unpaired = False
            for patch in self._patches.values():
                self._pair(patch)

    def settle_bridge(self, part: BridgePart) -> None:
        mac = bridge_mac(part)
        self.configure(part)
        local = part.internals.get(part.name)
        if local is not None and local.state is not None and local.state.mac != mac:
            self.change_device(local, lambda device: device.set_mac(mac))
        mtu = part.mtus.least
        if mtu is None:
            return
        for internal in part.internals.values():
            state = internal.state
            if state is not None and state.mtu != mtu and _follows(internal):
                self.change_device(internal, lambda device: device.set_mtu(mtu))

    def configure(self, part: BridgePart) -> None:
        """Tells the bridge its settings, if they have changed."""
        config = current_config(part)
        if config != part.bridge.config:
            if config.datapath_id != part.bridge.config.datapath_id:
                self._log.info("bridge %s: using datapath ID %016x", part.name, config.datapath_id)
            part.bridge.configure(config)

    def change_device(self, part: InterfacePart, change: Callable[[Device], None]) -> None:
        """Changes something of an open device and passes on what has become of it."""
        if part.device is None:
            return
        try:
            change(part.device)
        except DeviceError as error:
            self._netdev_log.warn("%s: %s", part.settings.name, error)
            return
        part.state = part.device.state()
        part.port.bridge.bridge.change_interface(openflow_port(part))
        self._unwritten.add(part.uuid)

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
            self._unwritten.add(patch.uuid)


def _follows(internal: InterfacePart) -> bool:
    """Whether an internal port has the bridge's smallest MTU rather than one of its own."""
    return internal.settings.mtu_request is None


def wanted_mac(row: Row) -> int | None:
    return usable_mac(row.other_config.get("hwaddr", ""))


def bridge_mac(part: BridgePart) -> int:
    return wanted_mac(part.row) or part.burnt_in.least or part.local_mac or 0


def current_config(part: BridgePart) -> BridgeConfig:
    mode = part.row.fail_mode or "standalone"
    led = bool(part.row.controller) and not part.alone
    return bridge_config(part.row, bridge_mac(part), mode, led)


def openflow_port(part: InterfacePart) -> OfPort:
    """The interface as the bridge knows it."""
    state = part.known_state
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
