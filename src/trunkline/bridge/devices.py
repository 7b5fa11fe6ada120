"""What the bridges ask of devices: the interface between configuration (this package) and io/netdev.

A *device* is where packets of an interface come from and go to: a network interface of the kernel, the
visible end of an internal port, or memory.  Configuration opens devices by name and type, gives them
settings, and reads their state; it knows nothing of sockets.  A test, or an embedding program, hands in a
factory of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from trunkline.dpif.provider import TunnelPort
from trunkline.ofproto.ports import PortStatistics
from trunkline.packet.packet import Packet
from trunkline.packet.tunnels import Popped
from trunkline.proto.routes import Address, Route

NAME_LIMIT: Final = 15  # bytes of a device's name (IFNAMSIZ without its end)


def name_fault(name: str) -> str | None:
    """Why no device can have this name, in the words of the kernel that refuses it, or None.

    A "%" would have the kernel choose a number, and a long name be cut, where a device is made by ioctl.
    """
    if len(name.encode(errors="surrogateescape")) > NAME_LIMIT:
        return "Numerical result out of range"
    if name in ("", ".", "..") or any(letter in "/:%" or letter.isspace() for letter in name):
        return "Invalid argument"
    return None


class DeviceError(Exception):
    """A device cannot be had or does not do what it was told.

    The text is the reason alone, such as ``No such device``; who reports it puts what was tried before it.
    """


class UnknownTypeError(DeviceError):
    """There are no devices of this type here."""


class NoPortError(DeviceError):
    """The device is there, but it cannot be a port; `reason` says why, for the log."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


def busy(directory: str) -> str:
    """That a device is a port of another switch already, which has that run directory."""
    return f"Device or resource busy: it is a port of the switch of {directory}"


class NextHop(NamedTuple):
    """The neighbour that a packet goes to first: `mac` is 0 while it is not known.  `local`: there is
    none, for the address is the host's own."""

    mac: int = 0
    local: bool = False


class Features(NamedTuple):
    """What OpenFlow says of a link: OFPPF_* bits as 1.1 numbers them, and the highest speed in kb/s."""

    current: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    maximum_speed: int = 0


class DeviceState(NamedTuple):
    """What can be seen of a device now.

    `mac` an int; `mtu` bytes, None where there is no such thing (patch); `speed` bit/s and `full_duplex` None
    where unknown; `link_resets` how often the carrier changed; `status` goes to Interface.status.
    `away`: it is in another namespace, and cannot be seen or changed from here; it may come back.
    """

    mac: int = 0
    mtu: int | None = 1500
    admin_up: bool = True
    link_up: bool = True
    ifindex: int | None = None
    link_resets: int = 0
    speed: int | None = None
    full_duplex: bool | None = None
    status: Mapping[str, str] = {}
    features: Features = Features()
    away: bool = False


class Device(Protocol):
    """An open device.  `name` is the interface's, `type` the device's type as dpif/show prints it."""

    name: str
    type: str

    def transmit(self, packet: Packet) -> None:
        """Sends a packet, or drops and counts it; never blocks and never raises."""

    def start(self, receive: Callable[[Sequence[Packet]], None]) -> None:
        """From now on hands every batch of packets that come in to `receive`."""

    def present(self) -> bool:
        """Whether the device is still there; if not, it is of no more use and can only be closed."""

    def state(self) -> DeviceState: ...

    def statistics(self) -> PortStatistics:
        """Counters as the switch sees them: rx is what came from the device into the switch."""

    def more_statistics(self) -> Mapping[str, int]:
        """Counters of its own kind, for Interface.statistics beside the common ones."""

    def configure(self, options: Mapping[str, str]) -> None:
        """Takes Interface.options as they are now.  Raises DeviceError."""

    def set_mac(self, mac: int) -> None:
        """Raises DeviceError."""

    def set_mtu(self, mtu: int) -> None:
        """Raises DeviceError."""

    def set_admin_state(self, up: bool) -> None:
        """Raises DeviceError."""

    def set_address(self, address: int, length: int) -> None:
        """Gives the device an IPv4 address in place of the first it has, with a prefix of so many bits, and
        sets it up.  Raises DeviceError."""

    def add_gateway(self, gateway: int) -> None:
        """A default route of the host by this device; that it is there already is no error.  Raises
        DeviceError."""

    def close(self, *, remove: bool) -> None:
        """Lets go of the device and puts back what was changed on it.

        `remove` also takes a device that exists only for the switch (internal) out of the system; without it
        such a device stays, for the next process to take up.
        """


class HostTunnel(Protocol):
    """The host's own network as a way for the packets of a type of tunnels, where no bridge leads there."""

    def send(self, frame: bytes, key: int, source_port: int, sequence: int) -> bool:
        """Sends a packet in headers that the tunnel's fields in `key` tell; never blocks and never raises.
        False: it could not be sent, for there is no way, or the packet is too long for that.

        `sequence`: its number, where packets are numbered.
        """

    def start(self, receive: Callable[[Sequence[Popped]], None]) -> None:
        """From now on hands over what comes out of the tunnel."""

    def guard(self, name: str, local: int, remote: int, secret: str) -> None:
        """Of a protected tunnel (TunnelPort.protected): packets of this interface to and from that host are
        encrypted by the secret.  `local` 0: from whatever address the host sends.  Raises DeviceError."""

    def unguard(self, name: str, remote: int) -> None:
        """The interface goes."""

    def close(self) -> None: ...


HostChanged = Callable[[Sequence[Route], Mapping[str, tuple[Address, ...]]], None]
"""Is told the host's routes, and the addresses of its devices, whenever they change."""


class Devices(Protocol):
    """Makes devices."""

    def host_tunnel(self, tunnel: TunnelPort) -> HostTunnel | None:
        """None: the host does not carry such packets.  Raises DeviceError."""

    def watch_routes(self, changed: HostChanged) -> None:
        """Tells now, and from now on."""

    def link_up(self, name: str) -> bool | None:
        """Whether a device that need not be the switch's has a carrier; None: it is not known."""

    def next_hop(self, address: int) -> NextHop | None:
        """By whom the host reaches an IPv4 address; None: there is no route."""

    def open(self, name: str, type: str, options: Mapping[str, str]) -> Device:
        """Raises DeviceError."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """From now on calls `changed` with the name of a device that came, went or changed."""

    def forget_others(self, names: frozenset[str]) -> None:
        """Removes internal devices of an earlier process whose names are not among these."""
