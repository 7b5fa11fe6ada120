"""Simulated devices: where a simulated machine's cable ends in the switch.

`SimulatedDevices` takes the place of the kernel's devices when a switch is embedded: a machine that was
plugged in is a device under the name of its port, and an internal port is a device whose other end a test may
plug a machine into.  Frames cross in the order they were sent, on the next turn of the event loop, so that no
call of one side ends up deep inside the other.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from trunkline.bridge.devices import NAME_LIMIT, DeviceError, DeviceState, HostChanged, NextHop, name_fault
from trunkline.dpif.provider import TunnelPort
from trunkline.ofproto.ports import PortStatistics
from trunkline.packet.packet import Packet


class Station(Protocol):
    """What can be plugged in; a `Machine`, or anything of a test's own."""

    transmit: Callable[[bytes], None]

    def receive(self, frame: bytes) -> None: ...


def _nowhere(frame: bytes) -> None:
    """Where the frames go of a station that is plugged in nowhere."""


class SimulatedDevice:
    """A cable with the switch at one end and, if `plug` was called, a station at the other."""

    def __init__(self, name: str, type: str, mac: int) -> None:
        self.name = name
        self.type = type
        self._receive: Callable[[Sequence[Packet]], None] | None = None
        self._station: Station | None = None
        self._state = DeviceState(mac=mac, ifindex=mac & 0xFFFF, status={"driver_name": "simulated"})
        self._counts = PortStatistics()
        self.changed: Callable[[str], None] = lambda name: None
        self._is_there: Callable[[SimulatedDevice], bool] = lambda device: True

    def plug(self, station: Station) -> None:
        """The station that was there before, if any, is at the end of no cable any more."""
        if self._station is not None and self._station is not station:
            self._station.transmit = _nowhere
        self._station = station
        station.transmit = self._from_station

    def set_carrier(self, up: bool) -> None:
        """Pulls the cable, or puts it back."""
        resets = self._state.link_resets + 1
        self._state = self._state._replace(link_up=up, link_resets=resets)
        self.changed(self.name)

    def _from_station(self, frame: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._enter, bytes(frame))

    def _enter(self, frame: bytes) -> None:
        if self._receive is None or not (self._state.link_up and self._state.admin_up):
            return
        count = self._counts
        self._counts = count._replace(
            rx_packets=(count.rx_packets or 0) + 1, rx_bytes=(count.rx_bytes or 0) + len(frame)
        )
        self._receive((Packet(frame),))

    def transmit(self, packet: Packet) -> None:
        count = self._counts
        if self._station is None or not (self._state.link_up and self._state.admin_up):
            self._counts = count._replace(tx_dropped=(count.tx_dropped or 0) + 1)
            return
        self._counts = count._replace(
            tx_packets=(count.tx_packets or 0) + 1, tx_bytes=(count.tx_bytes or 0) + len(packet.frame)
        )
        asyncio.get_running_loop().call_soon(self._station.receive, packet.frame)

    def start(self, receive: Callable[[Sequence[Packet]], None]) -> None:
        self._receive = receive

    def present(self) -> bool:
        return self._is_there(self)

    def state(self) -> DeviceState:
        return self._state

    def statistics(self) -> PortStatistics:
        return self._counts

    def more_statistics(self) -> Mapping[str, int]:
        return {}

    def configure(self, options: Mapping[str, str]) -> None:
        """A simulated device has no options; like the kernel's devices it takes no notice of any."""

    def set_mac(self, mac: int) -> None:
        self._state = self._state._replace(mac=mac)

    def set_mtu(self, mtu: int) -> None:
        self._state = self._state._replace(mtu=mtu)

    def set_admin_state(self, up: bool) -> None:
        self._state = self._state._replace(admin_up=up)

    def set_address(self, address: int, length: int) -> None:
        raise DeviceError("Operation not supported")

    def add_gateway(self, gateway: int) -> None:
        raise DeviceError("Operation not supported")

    def close(self, *, remove: bool) -> None:
        self._receive = None


class SimulatedDevices:
    """All devices of one embedded switch (bridge/devices.py, Devices)."""

    def __init__(self) -> None:
        self._plugged: dict[str, SimulatedDevice] = {}
        self._changed: Callable[[str], None] = lambda name: None
        self._next_mac = 0x02_00_5E_00_00_01

    def plug(self, port: str, station: Station) -> SimulatedDevice:
        """Makes the device `port` be there, with `station` at the other end.

        Raises ValueError for a name that no device can have.
        """
        if fault := name_fault(port):
            rule = f"at most {NAME_LIMIT} bytes, without / : % and spaces"
            raise ValueError(f"no device can be called {port!r} ({fault}): {rule}")
        device = self._plugged.get(port)
        if device is None:
            device = self._plugged[port] = self._make(port, "system")
        device.plug(station)
        self._changed(port)
        return device

    def unplug(self, port: str) -> None:
        """Makes the device vanish."""
        del self._plugged[port]
        self._changed(port)

    def _make(self, name: str, type: str) -> SimulatedDevice:
        device = SimulatedDevice(name, type, self._next_mac)
        device.changed = lambda name: self._changed(name)
        device._is_there = lambda device: self._plugged.get(device.name) is device
        self._next_mac += 1
        return device

    def open(self, name: str, type: str, options: Mapping[str, str]) -> SimulatedDevice:
        """The device `name`.  Raises DeviceError."""
        device = self._plugged.get(name)
        if device is not None:
            device.type = type
            return device
        if type in ("internal", "tap"):
            if fault := name_fault(name):
                raise DeviceError(fault)
            device = self._plugged[name] = self._make(name, type)
            return device
        raise DeviceError("No such device")

    def watch(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def host_tunnel(self, tunnel: TunnelPort) -> None:
        """There is no network but what is plugged in."""

    def watch_routes(self, changed: HostChanged) -> None:
        """Nor are there routes, but for those that somebody adds (ovs/route/add)."""

    def link_up(self, name: str) -> bool | None:
        return None

    def next_hop(self, address: int) -> NextHop | None:
        return None

    def forget_others(self, names: frozenset[str]) -> None:
        """Simulated devices do not outlive their process."""
