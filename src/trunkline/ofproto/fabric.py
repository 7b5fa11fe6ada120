"""What the bridges of one datapath share: who is where, and what has changed.

A patch port leads into another bridge of the same datapath, a packet from the datapath belongs to the bridge
that owns its port, and a change in one bridge concerns megaflows that began in another.  The fabric is the
place where bridges meet: registers of interfaces by datapath port and of patch ports by name, and the journal
of changes, which the upcall layer drains to find the megaflows that have read what changed.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from trunkline.base.counters import Counters
from trunkline.conntrack.tracker import Tracker
from trunkline.dpif.provider import Meters
from trunkline.ofproto.ports import PortStatistics
from trunkline.ofproto.recirculation import Recirculations
from trunkline.ofproto.tunnels import Shared, Tunnels
from trunkline.openflow.actions import Action

if TYPE_CHECKING:
    from trunkline.ofproto.bridge import Bridge
    from trunkline.openflow.continuations import Continuation
    from trunkline.packet.packet import Packet


MAX_METERS: Final = 1 << 18


class Place(NamedTuple):
    """An interface: the bridge that has it and its OpenFlow port number there."""

    bridge: "Bridge"
    ofport: int


class RuleChange(NamedTuple):
    """A rule with this match came, went or changed in a flow table of a bridge."""

    bridge: str
    table: int
    value: int
    mask: int


Change = Hashable
"""What changed: a `RuleChange`, or the same token that a translation put among its reads."""


def port_token(bridge: str, ofport: int) -> Hashable:
    """Read by who looked at one port's state or VLAN settings."""
    return ("port", bridge, ofport)


def ports_token(bridge: str) -> Hashable:
    """Read by who looked at all ports of a bridge, to flood."""
    return ("ports", bridge)


def bridge_token(bridge: str) -> Hashable:
    """Read by who looked at settings of the bridge."""
    return ("bridge", bridge)


def mac_token(bridge: str, vlan: int, mac: int) -> Hashable:
    """Read by who looked up a MAC address, found or not."""
    return ("mac", bridge, vlan, mac)


def multicast_token(bridge: str, vlan: int, address: int) -> Hashable:
    """Read by who looked up who wants a multicast group, known or not."""
    return ("multicast", bridge, vlan, address)


def routers_token(bridge: str) -> Hashable:
    """Read by who looked where multicast routers are."""
    return ("routers", bridge)


def group_token(bridge: str, group: int) -> Hashable:
    """Read by who looked up a group, there or not."""
    return ("group", bridge, group)


def patch_token(name: str) -> Hashable:
    """Read by who went to the patch port of this name, there or not."""
    return ("patch", name)


def timeouts_token() -> Hashable:
    """Read by who looked up the timeout policy of a zone."""
    return ("timeouts",)


def causes(changes: Iterable[Change]) -> set[str]:
    """For what kinds of reasons megaflows are looked at, as ``coverage/show`` counts them.  O(changes)."""
    return {_CAUSES["rule" if type(one) is RuleChange else one[0]] for one in changes}  # type: ignore[index]


_CAUSES: Final = {
    "rule": "rev_flow_table",
    "group": "rev_flow_table",
    "mac": "rev_mac_learning",
    "multicast": "rev_mcast_snooping",
    "routers": "rev_mcast_snooping",
    "port": "rev_port_toggled",
    "ports": "rev_port_toggled",
    "patch": "rev_port_toggled",
    "bridge": "rev_reconfigure",
    "tunnels": "rev_reconfigure",
    "routes": "rev_reconfigure",
    "neighbour": "rev_reconfigure",
    "timeouts": "rev_reconfigure",
}
CAUSES: Final = frozenset(_CAUSES.values())


class MeterNumbers:
    """The numbers of meters in the datapath: the next one after the last or after the lowest that is free."""

    __slots__ = ("_next", "_taken")

    def __init__(self) -> None:
        self._next = 0
        self._taken: set[int] = set()

    def take(self) -> int | None:
        """None: there are no more."""
        if len(self._taken) == MAX_METERS:
            return None
        while self._next in self._taken:
            self._next += 1
        number = self._next
        self._taken.add(number)
        self._next += 1
        return number

    def give_back(self, number: int) -> None:
        self._taken.discard(number)
        self._next = min(self._next, number)


class Host(Protocol):
    """What the switch asks of whoever owns the devices."""

    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics: ...

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        """A port-mod set or cleared PORT_DOWN; the device follows and `change_interface` reports it."""


class Fabric:
    """Registers and journal of the bridges of one datapath."""

    __slots__ = (
        "bridges",
        "bundle_idle",
        "by_datapath_port",
        "changes",
        "conntrack",
        "counters",
        "execute",
        "host",
        "meter_numbers",
        "meters",
        "patches",
        "recirculations",
        "refresh",
        "resume",
        "timeout_policies",
        "tunnels",
    )

    def __init__(self, host: Host, shared: Shared | None = None) -> None:
        """`shared`: the host's routes and neighbours, if other datapaths use them too."""
        self.host = host
        self.bridges: dict[str, Bridge] = {}
        self.bundle_idle = 10.0  # seconds that a bundle of OpenFlow messages may lie idle
        self.by_datapath_port: dict[int, Place] = {}
        self.patches: dict[str, Place] = {}
        self.changes: list[Change] = []
        self.tunnels = Tunnels(shared or Shared(), self._journal)
        self.recirculations = Recirculations()
        self.conntrack: Tracker | None = None  # of the datapath; installed by the upcall layer
        self.meters: Meters | None = None  # of the datapath; installed by the upcall layer
        self.meter_numbers = MeterNumbers()
        self.counters = Counters()  # coverage; the upcall layer installs the daemon's
        self.timeout_policies: dict[int, str] = {}  # zone -> name of a policy that the datapath has
        self.execute: Execute | None = None
        self.resume: Callable[[Bridge, bytes, int, Continuation], None] | None = None
        """Has a packet go on that waited at a controller (DecodeError: not ours); of the upcall layer."""
        self.refresh: Callable[[], None] = lambda: None
        """Brings statistics from the datapath to the rules; installed by the upcall layer."""

    def _journal(self, change: Change) -> None:
        self.changes.append(change)


class Execute(Protocol):
    """Runs OpenFlow actions on a packet (packet-out); installed by the upcall layer.

    `metadata` is a key with in_port and other pipeline fields.
    """

    def __call__(
        self, bridge: "Bridge", metadata: int, packet: "Packet", actions: tuple[Action, ...]
    ) -> None: ...
