"""All devices of a machine: opens them by type, and hears by rtnetlink when one comes, goes or changes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.bridge.devices import (
    Device,
    DeviceError,
    HostChanged,
    NextHop,
    NoPortError,
    UnknownTypeError,
    busy,
    name_fault,
)
from trunkline.dpif.provider import TunnelPort
from trunkline.io.files import error_text
from trunkline.io.netdev.dummy import DummyDevice, commands
from trunkline.io.netdev.hold import DIRECTORY as HOLDS
from trunkline.io.netdev.host_ipv4 import next_hop
from trunkline.io.netdev.host_tunnel import HostTunnel
from trunkline.io.netdev.kernel import (
    InternalDevice,
    Kernel,
    Readers,
    SystemDevice,
    hidden_name,
    hidden_prefix,
)
from trunkline.io.netdev.tap import TapDevice
from trunkline.io.netlink import LinkEvent, LinkEvents, NetlinkError
from trunkline.io.routes import HostRoutes
from trunkline.io.xfrm import Associations, reqid
from trunkline.jsonrpc.unixctl import Command

_PROTECTION: Final = "ipsec"  # a file of the run directory
_KERNEL: Final = ("internal", "system", "tap")
_MADE: Final = ("internal", "tap")  # devices that this process makes

Holder = Callable[[int], str | None]
"""The run directory of another switch that has the device with that ifindex as a port; "" of one that does
not run any more, and None if there is no other.  Raises OSError."""
Dummy = Literal["no", "add", "system", "override"]
"""What ``--enable-dummy`` says: not given, given, for system devices, for devices of every type."""


class MachineDevices:
    """Opens devices of the network namespace that the process is in.

    `run_directory` tells several switches of one namespace apart.  Where dummies take the place of all types
    no device of the kernel is touched; without `routes` (``--disable-system-route``) tunnels have only those
    routes that somebody adds.
    """

    def __init__(
        self,
        readers: Readers,
        run_directory: str,
        clock: Clock,
        *,
        dummy: Dummy = "no",
        routes: bool = True,
        counters: Counters | None = None,
        log: Log | None = None,
    ) -> None:
        self._counters = counters
        self._log = log
        self.dummies: dict[str, DummyDevice] = {}
        self._readers = readers
        self._run_directory = run_directory
        self._clock = clock
        self._dummy = dummy
        self._follow_routes = routes
        self._routes: HostRoutes | None = None
        self._host_changed: HostChanged = lambda routes, addresses: None
        self._kernel: Kernel | None = None
        self._events: LinkEvents | None = None
        self._changed: Callable[[str], None] = lambda name: None
        self._serial = 0
        self._protects = False
        self._names: dict[int, str] = {}  # names by ifindex, to notice renames
        self._waiting: list[LinkEvent] = []  # news that is not passed on yet
        self._lost = False  # some was
        self._passing_on = False
        self.holder: Holder = lambda index: None
        self.detach: Callable[[int], None] = lambda index: None
        """Takes the switch's program off a device of the namespace that the thread is in.  Raises OSError."""

    # ---- opening

    @property
    def replaces_system(self) -> bool:
        """Whether a dummy has taken the place of the kernel's datapath."""
        return self._dummy in ("system", "override")

    def types(self) -> tuple[str, ...]:
        """The types that `open` knows, for Open_vSwitch.iface_types."""
        dummy = ("dummy", "dummy-internal", "dummy-pmd") if self._dummy != "no" else ()
        return tuple(sorted((*_KERNEL, *dummy)))

    def open(self, name: str, type: str, options: Mapping[str, str]) -> Device:
        """Raises DeviceError."""
        device = self._open(name, type or "system")
        return _configured(device, type, options)

    def held_before(self) -> bool:
        """Whether this process or an earlier one has held devices: then more may be left in the kernel."""
        return os.path.isdir(f"{self._run_directory}/{HOLDS}")

    def held(self) -> "HeldDevices":
        """A factory of the same devices, for a datapath in the kernel; what another switch has, as `holder`
        tells, it refuses."""
        return HeldDevices(self)

    def _refuse_held(self, name: str) -> None:
        """Raises NoPortError if the device is a port of another switch."""
        link = self._shared().netlink.link(name)
        try:
            directory = self.holder(link.ifindex) if link is not None else None
        except OSError as error:
            raise DeviceError(error_text(error)) from None
        if directory:
            raise NoPortError(busy(directory), busy(directory))
        if directory is not None and link is not None:
            self._shared().holds.inherit(link.ifindex)

    def _open(self, name: str, type: str, *, held: bool = False) -> Device:
        if type not in self.types():
            raise UnknownTypeError("Address family not supported by protocol")
        if type not in _KERNEL:
            return self._open_dummy(name, type)
        if self._dummy == "override" or (self._dummy == "system" and type == "system"):
            return self._open_dummy(name, "dummy-internal" if type == "internal" else type)
        if type in _MADE and (fault := name_fault(name)):
            raise DeviceError(fault)
        if held and type == "system":
            self._refuse_held(name)
        if not held and type != "tap":
            self._end_forwarding(name, type)
        return _BY_TYPE[type](name, self._shared(), held=held)

    def _shared(self) -> Kernel:
        if self._kernel is None:
            self._kernel = Kernel(self._readers, self._run_directory, self._counters, self._log)
            self._kernel.holds.look_for_moved = self._look_for_moved
            self._kernel.holds.detach = lambda index: self.detach(index)
        return self._kernel

    def _open_dummy(self, name: str, type: str) -> Device:
        if name in self.dummies:
            raise DeviceError("File exists")
        self._serial += 1
        device = self.dummies[name] = _Registered(name, type, self._serial, self._clock, self.dummies)
        return device

    def host_tunnel(self, tunnel: TunnelPort) -> HostTunnel | None:
        """Raises DeviceError."""
        if self._dummy == "override" or not self._follow_routes:
            return None
        if tunnel.protected:
            from trunkline.io.netdev.protected_tunnel import ProtectedTunnel  # seldom needed

            self._end_protection()
            self._mark_protection()
            return ProtectedTunnel(tunnel, self._readers, reqid(self._run_directory))
        return HostTunnel(tunnel, self._readers)

    # ---- protected tunnels

    def _mark_protection(self) -> None:
        """There are associations of ours in the kernel from now on: a later process takes them away."""
        self._protects = True
        with suppress(OSError), open(f"{self._run_directory}/{_PROTECTION}", "x"):
            pass

    def _end_protection(self) -> None:
        """Takes away the associations that an earlier process has left; ours are made anew."""
        path = f"{self._run_directory}/{_PROTECTION}"
        if self._protects or not os.path.exists(path):
            return
        try:
            associations = Associations(reqid(self._run_directory))
            associations.flush()
            associations.close()
            os.unlink(path)
        except OSError as error:
            if self._log is not None:
                self._log.module("tunnel").warn("associations of an earlier process: %s", error.strerror)

    # ---- news

    def watch_routes(self, changed: HostChanged) -> None:
        self._host_changed = changed
        self._end_protection()
        if self._routes is None and self._follow_routes:
            try:
                self._routes = HostRoutes()
            except OSError:
                return  # no netlink here: then there are no routes either
            self._readers.add_reader(self._routes.fileno(), self._read_routes)
        self._tell_routes()

    def _read_routes(self) -> None:
        assert self._routes is not None
        self._routes.drain()
        self._tell_routes()

    def _tell_routes(self) -> None:
        routes, addresses = self._routes.read() if self._routes is not None else ([], {})
        own = {name: device.addresses for name, device in self.dummies.items() if device.addresses}
        self._host_changed(routes, {**addresses, **own})

    def link_up(self, name: str) -> bool | None:
        link = self._kernel.netlink.link(name) if self._kernel is not None else None
        return link.carrier if link is not None else None

    def next_hop(self, address: int) -> NextHop | None:
        if self._dummy == "override":
            return None
        return next_hop(self._shared().netlink, address)

    def watch(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        if self._events is None and self._dummy != "override":
            try:
                self._events = LinkEvents(self._counters)
            except OSError:
                return  # no netlink here: then there are no devices either
            self._readers.add_reader(self._events.fileno(), self._read_events)

    def _read_events(self) -> None:
        self._passing_on = True
        self._hear()
        while self._waiting or self._lost:
            for name in self._names_with_news():
                self._changed(name)
        self._passing_on = False
        if self._kernel is not None:
            self._kernel.holds.moved.clear()

    def _look_for_moved(self) -> None:
        """While news is passed on, and a device is gone of which the reason may come next."""
        if self._passing_on:  # or nobody would see what else comes
            self._hear()

    def _hear(self) -> None:
        """Takes down what has happened; devices that have moved away may be asked for at once."""
        events = self._events.read() if self._events is not None else []
        if events is None:
            self._lost = True
            return
        self._waiting += events
        for event in events:
            if event.moved is not None and self._kernel is not None:
                self._kernel.holds.moved[event.link.ifindex] = event.moved, event.link.mac

    def _names_with_news(self) -> Iterable[str]:
        events, self._waiting = self._waiting, []
        lost, self._lost = self._lost, False
        names: dict[str, None] = {}
        if lost:
            names.update(dict.fromkeys(self._names.values()))
            self._names.clear()
            for link in self._kernel.netlink.links() if self._kernel else ():
                self._names[link.ifindex] = link.name
                names[link.name] = None
        for link, gone, _ in events:
            before = self._names.get(link.ifindex)
            if before is not None and before != link.name:
                names[before] = None
            names[link.name] = None
            if gone:
                self._names.pop(link.ifindex, None)
            else:
                self._names[link.ifindex] = link.name
        return names

    def forget_others(self, names: frozenset[str]) -> None:
        if self._dummy == "override":
            return
        kernel = self._shared()
        kernel.holds.forget_others(self._is_held)
        prefix = hidden_prefix(self._run_directory)
        kept = {hidden_name(self._run_directory, name) for name in names}
        for link in kernel.netlink.links():
            self._names[link.ifindex] = link.name
            if link.kind == "veth" and link.name.startswith(prefix) and link.name not in kept:
                try:
                    kernel.netlink.delete(link.ifindex)
                except NetlinkError:
                    pass  # gone in this moment

    def _end_forwarding(self, name: str, type: str) -> None:
        """What this process reads from a device, no program that an earlier one has left may forward as well.

        Raises DeviceError.
        """
        if not self.held_before():
            return
        kernel = self._shared()
        internal = type == "internal"
        link = kernel.netlink.link(hidden_name(self._run_directory, name) if internal else name)
        if link is None or not (internal or kernel.holds.forwarded(link)):
            return
        try:
            self.detach(link.ifindex)
        except OSError as error:
            raise DeviceError(
                "a program that an earlier process has left forwards its packets, and cannot be taken away:"
                f" {error_text(error)}"
            ) from None

    def _is_held(self, index: int) -> bool:
        with suppress(OSError):
            return bool(self.holder(index))
        return False

    def commands(self) -> Iterator[Command]:
        """netdev-dummy/*, with ``--enable-dummy`` only."""
        if self._dummy != "no":
            yield from commands(self.dummies, lambda name: self._changed(name), self._tell_routes)

    def close(self) -> None:
        if self._events is not None:
            self._readers.remove_reader(self._events.fileno())
            self._events.close()
            self._events = None
        if self._routes is not None:
            self._readers.remove_reader(self._routes.fileno())
            self._routes.close()
            self._routes = None
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


_BY_TYPE: Final = {"internal": InternalDevice, "system": SystemDevice, "tap": TapDevice}


def _configured(device: Device, type: str, options: Mapping[str, str]) -> Device:
    """Raises DeviceError."""
    try:
        device.configure(options)
    except DeviceError:
        device.close(remove=type == "internal")
        raise
    return device


class HeldDevices:
    """Opens devices whose packets a datapath in the kernel takes by itself (kernel.py, `held`)."""

    def __init__(self, machine: MachineDevices) -> None:
        self._machine = machine

    def open(self, name: str, type: str, options: Mapping[str, str]) -> Device:
        """Raises DeviceError."""
        return _configured(self._machine._open(name, type or "system", held=True), type, options)

    def watch(self, changed: Callable[[str], None]) -> None:
        self._machine.watch(changed)

    def host_tunnel(self, tunnel: TunnelPort) -> HostTunnel | None:
        """Raises DeviceError."""
        return self._machine.host_tunnel(tunnel)

    def watch_routes(self, changed: HostChanged) -> None:
        self._machine.watch_routes(changed)

    def link_up(self, name: str) -> bool | None:
        return self._machine.link_up(name)

    def next_hop(self, address: int) -> NextHop | None:
        return self._machine.next_hop(address)

    def forget_others(self, names: frozenset[str]) -> None:
        self._machine.forget_others(names)


class _Registered(DummyDevice):
    """A dummy that its control commands find while it is open."""

    def __init__(
        self, name: str, type: str, serial: int, clock: Clock, register: dict[str, DummyDevice]
    ) -> None:
        super().__init__(name, type, serial, clock)
        self._register = register

    def close(self, *, remove: bool) -> None:
        super().close(remove=remove)
        if self._register.get(self.name) is self:
            del self._register[self.name]
