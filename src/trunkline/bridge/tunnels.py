"""Interfaces that are tunnels: settings out of options, the datapath port that they share, their status.

A tunnel has no device.  All that is there is a port of the datapath for its type and UDP port, made for the
first and taken away with the last (`plug`, `unplug`); where the host itself can carry such packets, that is
opened with it (bridge/devices.py, HostTunnel).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trunkline.base.log import Log
from trunkline.bridge.devices import DeviceError, Devices, DeviceState, HostTunnel
from trunkline.bridge.parts import InterfacePart, Lane
from trunkline.dpif.provider import TunnelPort
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.ofproto.tunnel_settings import TunnelError, TunnelSettings, parse_tunnel
from trunkline.ofproto.tunnels import Entry, Shared, routes_token
from trunkline.proto.routes import Address, Route

_LEVELS: Final[Mapping[str, str]] = {"socket_util": "err"}


class BadTunnel(Exception):
    """The interface cannot be a tunnel; the text is for Interface:error, and with `log` for the log."""

    def __init__(self, text: str, *, log: bool = False) -> None:
        super().__init__(text)
        self.log = log


class TunnelInterfaces:
    """`shared`: the host's routes and neighbours, which all datapaths use."""

    def __init__(self, devices: Devices, shared: Shared, log: Log) -> None:
        self.shared = shared
        self._devices = devices
        self._log = log
        self._unprotected = ""  # why the host cannot protect a tunnel
        self._hosts: dict[tuple[str, int], HostTunnel] = {}  # by type of datapath and datapath port

    def read(self, part: InterfacePart, *, quiet: bool = False) -> TunnelSettings:
        """Raises BadTunnel.  `quiet`: nothing is logged, for it has been."""
        settings = part.settings

        def warn(module: str, text: str) -> None:
            if not quiet:
                log = self._log.module(module)
                (log.err if _LEVELS.get(module) == "err" else log.warn)("%s", text)

        try:
            return parse_tunnel(settings.name, settings.type, settings.options, warn)
        except TunnelError as error:
            warn("netdev", f"{settings.name}: could not set configuration (Invalid argument)")
            raise BadTunnel(str(error)) from None

    def check(self, part: InterfacePart, tunnel: TunnelSettings) -> None:
        """Raises BadTunnel if another tunnel has the same settings."""
        tunnels = part.port.bridge.lane.datapath.fabric.tunnels
        entry = Entry(
            part.settings.name, tunnel, part.datapath_port or 0, part.port.bridge.bridge, part.ofport
        )
        if mixed := tunnels.mixed(entry):
            raise BadTunnel(mixed, log=True)
        problem = tunnels.duplicate(entry)
        if problem is not None:
            name = part.settings.name
            self._log.module("tunnel").warn("%s", problem)
            self._log.module("ofproto").warn(
                "%s: could not add port %s (File exists)", part.port.bridge.name, name
            )
            raise BadTunnel(f"could not add network device {name} to ofproto (File exists)", log=True)

    def plug(self, part: InterfacePart, tunnel: TunnelSettings) -> None:
        """Gives the interface its datapath port.  Raises DatapathError."""
        lane = part.port.bridge.lane
        row = TUNNEL_TYPES[tunnel.type]
        destination = tunnel.destination if row.port is not None else 0

        def add(name: str) -> int:
            return lane.provider.port_add(name, tunnel.type, None, port)

        port = TunnelPort(tunnel.type, destination, tunnel.extensions, bool(tunnel.secret))
        part.datapath_port = lane.datapath.fabric.tunnels.use_vport(tunnel, add)
        self._open_host(lane, port, part.datapath_port)
        if tunnel.secret:
            self._guard(part, tunnel)

    def _guard(self, part: InterfacePart, tunnel: TunnelSettings) -> None:
        """Has the packets of a tunnel encrypted.  Raises BadTunnel if they cannot be."""
        name = part.settings.name
        host = self._hosts.get((part.port.bridge.lane.type, part.datapath_port or 0))
        problem = self._unprotected
        if host is not None:
            try:
                host.guard(name, tunnel.local or 0, tunnel.remote or 0, tunnel.secret)
                return
            except DeviceError as error:
                problem = str(error)
        raise BadTunnel(f"{name}: options:psk: its packets cannot be encrypted: {problem}", log=True)

    def _unguard(self, part: InterfacePart, tunnel: TunnelSettings) -> None:
        host = self._hosts.get((part.port.bridge.lane.type, part.datapath_port or 0))
        if host is not None and tunnel.secret:
            host.unguard(part.settings.name, tunnel.remote or 0)

    def _open_host(self, lane: Lane, port: TunnelPort, number: int) -> None:
        key = lane.type, number
        type = port.type
        self._unprotected = "this switch does not use the host's network"
        carried = lane.provider.capabilities().tunnels
        if key in self._hosts or lane.in_memory or type in carried:
            return
        try:
            host = self._devices.host_tunnel(port)
        except DeviceError as error:
            self._unprotected = str(error)
            if port.protected:
                return
            self._log.module("tunnel").warn(
                "%s tunnels: the host's own network is not used, only bridges (%s)", type, error
            )
            return
        if host is None:
            return
        self._hosts[key] = host
        provider, datapath = lane.provider, lane.datapath
        provider.attach_tunnel(number, host.send)
        datapath.fabric.tunnels.hosted.add(number)

        def receive(found: Iterable[Any]) -> None:
            provider.receive_tunneled(number, found)
            datapath.attend()

        host.start(receive)

    def unplug(self, part: InterfacePart, tunnel: TunnelSettings) -> None:
        lane = part.port.bridge.lane
        self._unguard(part, tunnel)
        number = lane.datapath.fabric.tunnels.leave_vport(tunnel)
        part.datapath_port = None
        if number is None:
            return
        host = self._hosts.pop((lane.type, number), None)
        if host is not None:
            host.close()
            lane.datapath.fabric.tunnels.hosted.discard(number)
        lane.provider.port_delete(number)

    def status(self, tunnel: TunnelSettings, link_up: Callable[[str], bool | None]) -> Mapping[str, str]:
        """Through which device packets leave; `link_up` tells whether that has a carrier."""
        if not tunnel.remote:
            return {}
        route = self.shared.routes.lookup(tunnel.remote, tunnel.mark or 0)
        if route is None:
            return {}
        status = {"tunnel_egress_iface": route.device}
        up = link_up(route.device)
        if up is not None:
            status["tunnel_egress_iface_carrier"] = "up" if up else "down"
        return status

    def state(self, mac: int) -> DeviceState:
        return DeviceState(mac=mac, mtu=None, ifindex=0)

    def host_changed(self, routes: Iterable[Route], addresses: Mapping[str, tuple[Address, ...]]) -> bool:
        """Routes and addresses of the host, as they are now.  True if that is news."""
        table = self.shared.routes
        changed = table.replace_kernel(routes) | (table.addresses != addresses)
        if changed:
            table.addresses = dict(addresses)
            self.shared.changed(routes_token())
        return changed

    def close(self) -> None:
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()
