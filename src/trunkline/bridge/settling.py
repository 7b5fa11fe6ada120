"""What depends on several ports: a bridge's address and smallest MTU, the pairs of patch ports.

Each interface tells, as it comes, changes and goes, what it contributes (`count`); the bridge keeps that
sorted (parts.py, Values) and is noted as unsettled.  At the end of a round each unsettled bridge draws its
conclusions once, whatever happened to how many of its ports.
"""

from collections.abc import Callable
from typing import Final

from trunkline.base.addresses import parse_mac
from trunkline.base.log import Log
from trunkline.bridge.devices import Device, DeviceError
from trunkline.bridge.in_band import give_address
from trunkline.bridge.parts import BridgePart, InterfacePart
from trunkline.bridge.settings import bridge_config, is_burnt_in, usable_mac
from trunkline.ofproto.bridge import BridgeConfig
from trunkline.ofproto.ports import OfPort
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.rows import Row

ETHERNET_MTU: Final = 1500


class Settling:
    """`unwritten`: interfaces whose status is to be written."""

    def __init__(self, log: Log, unwritten: set[Uuid]) -> None:
        self._log = log.module("bridge")
        self._netdev_log = log.module("netdev")
        self._unwritten = unwritten
        self._unsettled: dict[Uuid, BridgePart] = {}
        self._patches: dict[str, InterfacePart] = {}
        self._suitors: dict[str, set[str]] = {}  # name of a peer, there or not: the patch ports that name it
        self._unpaired: set[str] = set()

    # ---- what interfaces contribute

    def disturb(self, bridge: BridgePart) -> None:
        """Something about the bridge has changed."""
        self._unsettled[bridge.uuid] = bridge

    def forget(self, bridge: BridgePart) -> None:
        self._unsettled.pop(bridge.uuid, None)

    def count(self, part: InterfacePart) -> None:
        """Keeps the bridge's MTUs and burnt-in addresses in line with this interface."""
        bridge, state = part.port.bridge, part.state
        mtu = mac = None
        if part.device is not None and state is not None:
            mtu = None if part.is_internal and _follows(part) else state.mtu
            mac = state.mac if is_burnt_in(state.mac) and not part.has_bridge_mac else None
        given = _mac_of_port(part)
        if given is not None and state is not None:
            mac = given if is_burnt_in(given) else None
        for values, before, now in ((bridge.mtus, part.mtu, mtu), (bridge.burnt_in, part.burnt_in, mac)):
            if before != now:
                if before is not None:
                    values.remove(before)
                if now is not None:
                    values.add(now)
        if mtu is None and part.mtu is not None and not part.is_there:
            bridge.mtu_lost = True
        part.mtu, part.burnt_in = mtu, mac
        if part.is_internal:
            bridge.fresh.add(part.settings.name)
        self.disturb(bridge)

    def plug_patch(self, part: InterfacePart) -> None:
        """Its name and its peer's name concern those two, and whoever else names it as a peer."""
        name, peer = part.settings.name, part.peer
        self._patches[name] = part
        self._suitors.setdefault(peer, set()).add(name)
        part.paired_with = peer
        self._unpaired |= {name, peer} | self._suitors.get(name, set())

    def unplug_patch(self, part: InterfacePart) -> None:
        name, peer = part.settings.name, part.paired_with
        if self._patches.get(name) is not part:
            return
        del self._patches[name]
        suitors = self._suitors[peer]
        suitors.discard(name)
        if not suitors:
            del self._suitors[peer]
        self._unpaired |= {peer} | self._suitors.get(name, set())

    # ---- conclusions

    def settle(self) -> None:
        for bridge in list(self._unsettled.values()):
            self.settle_bridge(bridge)
        self._unsettled.clear()
        for name in self._unpaired & self._patches.keys():
            self._pair(self._patches[name])
        self._unpaired.clear()

    def settle_bridge(self, part: BridgePart) -> None:
        """Internal ports are all looked at only when what they follow has changed."""
        mac, mtu = bridge_mac(part), following_mtu(part)
        part.mtu_lost = False
        self.configure(part)
        changed = mtu != part.settled[1]
        names = part.fresh if part.settled == (mac, mtu) else part.internals
        for name in list(names):
            internal = part.internals.get(name)
            if internal is None or internal.state is None:
                continue
            if internal.state.away and part.settled == (mac, mtu):
                continue  # it was tried
            if internal.has_bridge_mac and internal.state.mac != mac:
                self.change_device(internal, lambda device: device.set_mac(mac), self._no_mac)
            if mtu is not None and _follows(internal) and _must_follow(internal.state.mtu, mtu, changed):
                self.change_device(internal, lambda device: device.set_mtu(mtu), self._no_mtu)
        part.fresh.clear()
        part.settled = (mac, mtu)
        if (local := part.internals.get(part.name)) is not None:
            give_address(part, local, self._log)

    def configure(self, part: BridgePart) -> None:
        """Tells the bridge its settings, if they have changed."""
        config = current_config(part)
        if config.datapath_id != part.logged_id:
            part.logged_id = config.datapath_id
            self._log.info("bridge %s: using datapath ID %016x", part.name, config.datapath_id)
        if config != part.bridge.config:
            part.bridge.configure(config)

    def _no_mac(self, name: str, reason: DeviceError) -> None:
        self._log.err("bridge %s: failed to set bridge Ethernet address: %s", name, reason)

    def _no_mtu(self, name: str, reason: DeviceError) -> None:
        self._netdev_log.warn("failed to set MTU for network device %s: %s", name, reason)

    def _no_change(self, name: str, reason: DeviceError) -> None:
        self._netdev_log.warn("%s: %s", name, reason)

    def change_device(
        self,
        part: InterfacePart,
        change: Callable[[Device], None],
        failed: Callable[[str, DeviceError], None] | None = None,
    ) -> None:
        """Changes something of an open device and passes on what has become of it; `failed` says why not."""
        if part.device is None:
            return
        try:
            change(part.device)
        except DeviceError as error:
            (failed or self._no_change)(part.settings.name, error)
            return
        look_at(part)
        part.port.bridge.bridge.change_interface(openflow_port(part))
        self._unwritten.add(part.uuid)

    def _pair(self, patch: InterfacePart) -> None:
        """A patch port without a usable peer says so."""
        peer = self._patches.get(patch.peer)
        lane = patch.port.bridge.lane
        complaint: str | None = None
        if peer is None or peer.port.bridge.lane is not lane or peer.peer != patch.settings.name:
            complaint = f"No usable peer '{patch.peer}' exists in '{lane.type}' datapath."
        if complaint != patch.complaint:
            patch.complaint = complaint
            self._unwritten.add(patch.uuid)


def look_at(part: InterfacePart) -> None:
    """Takes down how an open device is, and tells the datapath what it has to know of that."""
    assert part.device is not None
    part.state = part.device.state()
    if part.datapath_port is not None:
        part.port.bridge.lane.provider.set_mtu(part.datapath_port, part.state.mtu)


def _follows(internal: InterfacePart) -> bool:
    """Whether an internal port has the bridge's smallest MTU rather than one of its own."""
    return internal.settings.mtu_request is None


def _must_follow(has: int | None, mtu: int, changed: bool) -> bool:
    """One that has just come is made smaller, never larger; when the others' least changes all follow."""
    return has != mtu if changed else (has or 0) > mtu


def following_mtu(part: BridgePart) -> int | None:
    """The MTU that internal ports without a wish are to have; None while none has ever been asked of them.

    Once the last device that had a say is gone it is Ethernet's; a wish that is only taken back leaves it.
    """
    if part.mtus.least is not None:
        return part.mtus.least
    return ETHERNET_MTU if part.mtu_lost else part.settled[1]


def _mac_of_port(part: InterfacePart) -> int | None:
    """The address that the port has for choosing the bridge's, instead of its interface's: Port:mac."""
    row = part.port.row
    return parse_mac(row.mac) if row is not None and row.mac is not None else None


def wanted_mac(row: Row) -> int | None:
    return usable_mac(row.other_config.get("hwaddr", ""))


def bridge_mac(part: BridgePart) -> int:
    return wanted_mac(part.row) or part.burnt_in.least or part.local_mac or part.spare_mac


def current_config(part: BridgePart) -> BridgeConfig:
    mode = part.row.fail_mode or "standalone"
    led = any(not controller.service for controller in part.controllers.values())
    return bridge_config(part.row, bridge_mac(part), mode, led, part.remotes, part.hops)


def openflow_port(part: InterfacePart) -> OfPort:
    """The interface as the bridge knows it."""
    state = part.known_state
    peer = part.peer if part.is_patch else None
    return OfPort(
        part.settings.name,
        part.ofport,
        state.mac,
        part.datapath_port,
        peer,
        part.device.type if part.device is not None else part.settings.type,
        state.admin_up,
        state.link_up,
        current=state.features.current,
        advertised=state.features.advertised,
        supported=state.features.supported,
        peer_features=state.features.peer,
        current_speed=(state.speed or 0) // 1000,
        maximum_speed=state.features.maximum_speed,
        mtu=state.mtu or 0,
        tunnel=part.tunnel,
    )
