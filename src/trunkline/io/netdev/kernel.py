"""Devices of the kernel: those that are there anyway, and the pair behind an internal port.

A *system* device is there before the switch and after it: it is opened by name, and on removal everything
that was changed on it is put back.

An *internal* device is made by the switch: a veth pair, whose *visible* end carries the port's name and
belongs to the host, and whose *hidden* end is attached to the switch like any other device.  The pair
outlives the process: the hidden end keeps its carrier up, addresses and routes stay on the visible end, and
the next process takes the pair up again.  It knows it by the hidden end's name, which is made of the run
directory (several switches can share a namespace) and of the port's name; so a visible end that was moved
to another namespace is still recognized.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from trunkline.base.counters import Counters
from trunkline.base.log import Log, RateLimit
from trunkline.bridge.devices import DeviceError, DeviceState, NoPortError
from trunkline.io.files import error_text
from trunkline.io.netdev.ethtool import Ethtool
from trunkline.io.netdev.hold import Holds
from trunkline.io.netdev.host_ipv4 import add_default_route, set_ipv4
from trunkline.io.netdev.injector import Injector
from trunkline.io.netdev.packet_socket import PacketSocket
from trunkline.io.netlink import IFF_LOOPBACK, Link, LinkStatistics, Netlink, NetlinkError
from trunkline.ofproto.ports import PortStatistics
from trunkline.packet.packet import Packet

Receive = Callable[[Sequence[Packet]], None]

_HIDDEN_MTU: Final = 65535  # so that the visible end's MTU alone decides


class Readers(Protocol):
    """The part of an event loop that devices need."""

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> object: ...

    def remove_reader(self, descriptor: int) -> object: ...


class Kernel:
    """What devices share: the loop, and the sockets for questions and orders."""

    def __init__(
        self, readers: Readers, run_directory: str, counters: Counters | None = None, log: Log | None = None
    ) -> None:
        self._log = None if log is None else log.module("netdev_linux")
        self._not_sent = RateLimit(5, 20)
        self.readers = readers
        self.run_directory = run_directory
        self.netlink = Netlink(counters)
        self.ethtool = Ethtool()
        self.injector = Injector()
        self.holds = Holds(self.netlink, self.ethtool, run_directory, self._log)

    def cannot_send(self, name: str, error: OSError) -> None:
        """Says so, now and then."""
        if self._log is not None:
            self._log.warn(
                "error sending Ethernet packet on %s: %s", name, error_text(error), limit=self._not_sent
            )

    def close(self) -> None:
        self.netlink.close()
        self.ethtool.close()
        self.injector.close()


def counters(s: LinkStatistics | None) -> PortStatistics:
    """A device's counters; what the device received is what came into the switch."""
    if s is None:
        return PortStatistics()
    return PortStatistics(
        s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes, s.rx_dropped, s.tx_dropped,
        s.rx_errors, s.tx_errors, s.rx_frame_errors, s.rx_over_errors, s.rx_crc_errors, s.collisions,
        s.tx_aborted_errors, s.tx_carrier_errors,
    )  # fmt: skip


class SystemDevice:
    """A device that is there, by its name.

    `held`: its packets are forwarded in the kernel, by a program that somebody else attaches; this process
    reads none of them.  `index` and `egress` say where they enter the switch.
    """

    type = "system"
    egress = False

    def __init__(self, name: str, kernel: Kernel, *, held: bool = False) -> None:
        self.name = name
        self._kernel = kernel
        link = kernel.netlink.link(name)
        if link is None:
            raise DeviceError("No such device")
        if link.flags & IFF_LOOPBACK:
            raise NoPortError("Invalid argument", "cannot add a loopback device")
        self.index = link.ifindex
        self._first_changes = link.carrier_changes
        self._held = held
        self._reading = False
        self._packets: PacketSocket | None = None
        if held:
            self.transmit: Callable[[Packet], None] = partial(kernel.injector.send, link.ifindex)
        else:
            self._packets = self._open(link.ifindex)
            self.transmit = self._packets.transmit
        self._prepare(link)

    def _prepare(self, link: Link) -> None:
        holds = self._kernel.holds
        (holds.take if self._held else holds.remember)(link)

    def _open(self, index: int) -> PacketSocket:
        try:
            return PacketSocket(index, failed=partial(self._kernel.cannot_send, self.name))
        except OSError as error:
            raise DeviceError(error_text(error)) from None

    def start(self, receive: Receive) -> None:
        source = self._packets
        if source is None or self._held:
            return

        def readable() -> None:
            packets = source.receive()
            if packets:
                receive(packets)
            elif source.broken:
                self._stop_reading()

        self._kernel.readers.add_reader(source.fileno(), readable)
        self._reading = True

    def _link(self) -> Link | None:
        """The link that carries name, address and state."""
        return self._kernel.netlink.link_at(self.index)

    def state(self) -> DeviceState:
        link = self._link()
        if link is None or link.name != self.name:
            return DeviceState(admin_up=False, link_up=False, mtu=None, ifindex=0, away=True)
        settings = self._kernel.ethtool.settings(link.name)
        return DeviceState(
            mac=link.mac,
            mtu=link.mtu,
            admin_up=link.up,
            link_up=link.carrier,
            ifindex=link.ifindex,
            link_resets=link.carrier_changes - self._first_changes,
            speed=settings.speed,
            full_duplex=settings.full_duplex,
            features=settings.features,
            status=self._status(link.name),
        )

    def present(self) -> bool:
        """Whether the device is still there, under its name."""
        link = self._kernel.netlink.link_at(self.index)
        return link is not None and link.name == self.name

    def _status(self, name: str) -> Mapping[str, str]:
        driver = self._kernel.ethtool.driver(name)
        if driver is None:
            return {}
        return {
            "driver_name": driver.name,
            "driver_version": driver.version,
            "firmware_version": driver.firmware,
        }

    def statistics(self) -> PortStatistics:
        return self._with_unsent(counters(self._kernel.netlink.statistics(self.index)))

    def _with_unsent(self, found: PortStatistics) -> PortStatistics:
        """With what the kernel would not take from this process: too long for the MTU, the device is down."""
        unsent = self._kernel.injector.unsent.get(self.index, 0)
        unsent += self._packets.tx_dropped if self._packets is not None else 0
        return found._replace(tx_dropped=(found.tx_dropped or 0) + unsent) if unsent else found

    def more_statistics(self) -> Mapping[str, int]:
        statistics = self._kernel.netlink.statistics(self.index)
        if statistics is None:
            return {}
        return {
            "rx_missed_errors": statistics.rx_missed_errors,
            "rx_multicast_packets": statistics.multicast,
        }

    def configure(self, options: Mapping[str, str]) -> None:
        """A system device has no options."""

    def _change(self, *, mac: int | None = None, mtu: int | None = None, up: bool | None = None) -> None:
        link = self._link()
        if link is None:
            raise DeviceError("No such device")
        try:
            self._kernel.netlink.change(link.ifindex, mac=mac, mtu=mtu, up=up)
        except NetlinkError as error:
            raise DeviceError(error_text(error)) from None

    def set_mac(self, mac: int) -> None:
        link = self._link()
        if link is None:
            raise DeviceError("No such device")
        if link.mac != mac:
            self._change(mac=mac)
            self._kernel.holds.note(self.index, "mac", link.mac)

    def set_mtu(self, mtu: int) -> None:
        link = self._link()
        if link is None:
            raise DeviceError("No such device")
        if link.mtu != mtu:
            self._change(mtu=mtu)
            self._kernel.holds.note(self.index, "mtu", link.mtu)

    def set_admin_state(self, up: bool) -> None:
        self._change(up=up)

    def set_address(self, address: int, length: int) -> None:
        link = self._link()
        if link is None:
            raise DeviceError("No such device")
        try:
            set_ipv4(link.name, address, length)
        except OSError as error:
            raise DeviceError(error_text(error)) from None
        self._change(up=True)

    def add_gateway(self, gateway: int) -> None:
        link = self._link()
        if link is None:
            raise DeviceError("No such device")
        try:
            add_default_route(self._kernel.netlink, link.ifindex, gateway)
        except NetlinkError as error:
            raise DeviceError(error_text(error)) from None

    def _stop_reading(self) -> None:
        if self._reading and self._packets is not None:
            self._kernel.readers.remove_reader(self._packets.fileno())
            self._reading = False

    def _stop(self) -> None:
        self._stop_reading()
        if self._packets is not None:
            self._packets.close()
        self._kernel.injector.forget(self.index)

    def close(self, *, remove: bool) -> None:
        if remove:
            self._kernel.holds.release(self.index)
        self._stop()


def hidden_name(run_directory: str, name: str) -> str:
    """The name of the hidden end: 15 characters, the longest that there is."""
    return (
        hidden_prefix(run_directory) + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:9]
    )


def hidden_prefix(run_directory: str) -> str:
    return "t" + hashlib.sha256(run_directory.encode(errors="surrogateescape")).hexdigest()[:5]


class InternalDevice(SystemDevice):
    """A veth pair: `index` is the hidden end's."""

    type = "internal"

    def __init__(self, name: str, kernel: Kernel, *, held: bool = False) -> None:
        self._hidden = hidden_name(kernel.run_directory, name)
        try:
            index = self._take_up(name, kernel.netlink)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:  # some other device has the name
                raise DeviceError(os.strerror(errno.EINVAL)) from None
            raise DeviceError(error_text(error)) from None
        super().__init__(self._hidden, kernel, held=held)
        self.name = name
        self.index = index

    def _take_up(self, name: str, netlink: Netlink) -> int:
        hidden = netlink.link(self._hidden)
        if hidden is None:
            netlink.add_veth(name, self._hidden)
            hidden = netlink.link(self._hidden)
            if hidden is None:
                raise DeviceError("No such device")
            alias = f"hidden end of internal port {name}"
            netlink.change(hidden.ifindex, no_ipv6_address=True, alias=alias)
        if not hidden.up or hidden.mtu != _HIDDEN_MTU:
            netlink.change(hidden.ifindex, up=True, mtu=_HIDDEN_MTU)
        return hidden.ifindex

    def _prepare(self, link: Link) -> None:
        """The hidden end is the switch's own, and takes every packet as it is."""

    def _open(self, index: int) -> PacketSocket:
        try:
            return PacketSocket(index, bypass=True)
        except OSError as error:
            raise DeviceError(error_text(error)) from None

    def _link(self) -> Link | None:
        """The visible end, if it is in this namespace."""
        hidden = self._kernel.netlink.link_at(self.index)
        if hidden is None or hidden.elsewhere:
            return None
        return self._kernel.netlink.link_at(hidden.peer)

    def present(self) -> bool:
        return self._kernel.netlink.link_at(self.index) is not None

    def _status(self, name: str) -> Mapping[str, str]:
        return {"driver_name": "openvswitch"}

    def close(self, *, remove: bool) -> None:
        self._stop()
        if remove:
            try:
                self._kernel.netlink.delete(self.index)
            except NetlinkError:
                pass  # gone already
