"""The switch's own record of what is configured: bridges, ports and interfaces that are really there.

They mirror database rows, by uuid, and hold what a row does not: the open device, the numbers given out, and
which status was last written back.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from trunkline.bridge.devices import Device, Devices, DeviceState
from trunkline.bridge.numbers import Numbers
from trunkline.bridge.settings import InterfaceSettings
from trunkline.dpif.provider import Provider
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.in_band import Remote
from trunkline.ofproto.ports import PortStatistics
from trunkline.ofproto.primaries import ControllerSettings
from trunkline.ofproto.tunnel_settings import TunnelSettings
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.rows import Row
from trunkline.packet.packet import Packet
from trunkline.packet.tunnels import Popped
from trunkline.sim.parts import SendTunneled
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.taking_up import Left

NO_OFPORT = -1


class UnknownDatapathError(Exception):
    """There is no datapath of this type."""


class Carrier(Provider, Protocol):
    """A provider that devices can be attached to."""

    vlan_limit: int

    def attach_device(self, number: int, device: Device) -> None:
        """Packets for that port go out of this device from now on; a datapath of the kernel also takes those
        that come in there, by itself.  Raises DatapathError."""

    def attach_tunnel(self, number: int, send: SendTunneled) -> None:
        """Says how the host sends what goes to a tunnel's port with the tunnel's fields set."""

    def receive_tunneled(self, number: int, found: Iterable[Popped]) -> None:
        """Packets that the host has taken out of a tunnel, whose datapath port that is."""

    def receive(self, number: int, packets: Sequence[Packet]) -> None:
        """Packets that this process has read from the port's device, in the order in which they came."""

    def left(self, since: float) -> Iterable[Left]:
        """The flows used since then (Clock.monotonic()) that an earlier process has left, and that are still
        at work; their ports have the present numbers."""

    def settled(self) -> None:
        """All ports that are configured at the start are there, and so are flows: what an earlier process has
        left may go."""


class Lane(NamedTuple):
    """A datapath of one type, and the provider that its devices are attached to.

    `devices` opens them; None: the switch's own does.  With `in_memory` internal ports need no device of the
    kernel.
    """

    type: str
    datapath: Datapath
    provider: Carrier
    bridges: set[str]  # their names
    devices: Devices | None = None
    in_memory: bool = False


class Surroundings(Protocol):
    """Whoever runs the switch is told of bridges, to listen for OpenFlow, to connect, and to hang up."""

    def bridge_came(self, bridge: Bridge) -> None: ...

    def set_controllers(self, bridge: Bridge, controllers: Iterable[ControllerSettings]) -> None:
        """The bridge is to have connections with these, and with no others."""

    def bridge_went(self, name: str) -> None: ...


class Values:
    """A multiset of numbers whose least is known at once."""

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        self._sorted: list[int] = []

    def add(self, value: int) -> None:
        insort(self._sorted, value)

    def remove(self, value: int) -> None:
        del self._sorted[bisect_left(self._sorted, value)]

    @property
    def least(self) -> int | None:
        return self._sorted[0] if self._sorted else None


class InterfacePart:
    """An interface of a bridge; without a device if that could not be opened (`error`) or is a patch."""

    __slots__ = (
        "burnt_in",
        "complaint",
        "datapath_port",
        "device",
        "error",
        "mtu",
        "ofport",
        "paired_with",
        "port",
        "settings",
        "state",
        "tunnel",
        "uuid",
        "wish",
        "written",
    )

    def __init__(self, uuid: Uuid, port: "PortPart", settings: InterfaceSettings) -> None:
        self.uuid = uuid
        self.port = port
        self.settings = settings
        self.ofport = NO_OFPORT
        self.device: Device | None = None
        self.datapath_port: int | None = None
        self.state: DeviceState | None = None
        self.tunnel: TunnelSettings | None = None  # it is one
        self.error: str | None = None  # why it is not there
        self.complaint: str | None = None  # it is there, but something is wrong
        self.mtu: int | None = None  # as counted in BridgePart.mtus
        self.burnt_in: int | None = None  # as counted in BridgePart.burnt_in
        self.wish: int | None = None  # the number under which it stands in BridgePart.wishes
        self.paired_with = ""  # the peer that is looked for; settling.py keeps it
        self.written: dict[str, Any] = {}

    @property
    def peer(self) -> str:
        """Of a patch port: the other end's name."""
        return self.settings.options.get("peer", "")

    @property
    def has_bridge_mac(self) -> bool:
        """The local port has the bridge's address, and so has that of a fake bridge."""
        port = self.port
        return self.is_local or (
            port.row is not None and port.row.fake_bridge and self.is_internal and self.settings.mac is None
        )

    @property
    def is_local(self) -> bool:
        return self.settings.name == self.port.bridge.name

    @property
    def is_patch(self) -> bool:
        return self.settings.type == "patch"

    @property
    def is_tunnel(self) -> bool:
        return self.settings.type in TUNNEL_TYPES

    @property
    def is_internal(self) -> bool:
        return self.settings.type == "internal"

    @property
    def is_there(self) -> bool:
        return self.ofport != NO_OFPORT

    @property
    def known_state(self) -> DeviceState:
        return self.state or DeviceState()


class PortPart:
    """`row` is None for the local port that a bridge has without being told."""

    __slots__ = ("bridge", "interfaces", "row", "uuid")

    def __init__(self, uuid: Uuid, bridge: "BridgePart", row: Row | None) -> None:
        self.uuid = uuid
        self.bridge = bridge
        self.row = row
        self.interfaces: dict[Uuid, InterfacePart] = {}

    @property
    def name(self) -> str:
        return self.bridge.name if self.row is None else self.row.name

    @property
    def is_bond(self) -> bool:
        return self.row is not None and len(self.row.interfaces) > 1


class LocalAddress(NamedTuple):
    """What a local port is to have: an IPv4 address, the length of its prefix, and a gateway or None."""

    address: int
    length: int
    gateway: int | None = None


class BridgePart:
    __slots__ = (
        "addressed",
        "bridge",
        "burnt_in",
        "controllers",
        "fresh",
        "hops",
        "internals",
        "lane",
        "local_address",
        "local_mac",
        "logged_id",
        "looked_for",
        "mtu_lost",
        "mtus",
        "name",
        "numbers",
        "ports",
        "remotes",
        "row",
        "settled",
        "spare_mac",
        "uuid",
        "wishes",
        "written",
    )

    def __init__(self, row: Row, lane: Lane, bridge: Bridge) -> None:
        self.uuid: Uuid = row.uuid
        self.name: str = row.name
        self.row = row
        self.lane = lane
        self.bridge = bridge
        self.numbers = Numbers()
        self.wishes: dict[int, set[Uuid]] = {}  # numbers asked for: the interfaces that have others instead
        self.ports: dict[Uuid, PortPart] = {}
        self.internals: dict[str, InterfacePart] = {}
        self.fresh: set[str] = set()  # internal ones that have not been settled
        self.settled: tuple[int, int | None] = (0, None)  # address and MTU that all others have been given
        self.burnt_in = Values()  # addresses of its devices that a manufacturer gave
        self.mtus = Values()  # of its devices, internal ones without a wish apart
        self.mtu_lost = False  # an interface that was counted there has gone
        self.local_mac = 0  # of the local port as it came first
        self.controllers: Mapping[Uuid, ControllerSettings] = {}  # by row
        self.remotes: frozenset[Remote] = frozenset()  # who is to be reached in band
        self.hops: frozenset[int] = frozenset()  # the MACs by way of which (in_band.py)
        self.looked_for: frozenset[Remote] = frozenset()  # the remotes whose hops these are
        self.local_address: LocalAddress | None = None  # what the local port is to have
        self.addressed: tuple[LocalAddress, Device] | None = None  # what has been given to which device
        self.spare_mac = 0  # made up, for want of any other
        self.logged_id: int | None = None  # the datapath id that the log knows
        self.written: dict[str, Any] = {}


def statistics_map(counts: PortStatistics) -> Mapping[str, int]:
    """The keys of Interface:statistics; a counter that a device does not have is left out."""
    counted = zip(counts._fields, counts.reported, strict=False)
    return {_KEYS.get(name, name): value for name, value in counted if value is not None}


_KEYS: Final = {
    "rx_frame_errors": "rx_frame_err",
    "rx_over_errors": "rx_over_err",
    "rx_crc_errors": "rx_crc_err",
}
