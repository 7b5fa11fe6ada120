"""What the datapath in Python consists of: its ports and its flows, and what actions may ask of the whole.

`execute` runs actions for a datapath that it knows by the protocol `Owner` only; `datapath` is the one there
is.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.conntrack.tracker import Tracker
from trunkline.dpif.provider import Statistics, TunnelPort
from trunkline.packet.packet import Packet
from trunkline.packet.stt import Pieces
from trunkline.sim.meters import Meters

Transmit = Callable[[Packet], None]
SendTunneled = Callable[[bytes, int, int, int], bool]
"""Sends a frame through a tunnel of the host's; takes a key with tunnel fields, a UDP source port, and the
packet's number where packets are numbered.  False: it could not be sent."""


class Transmitter(Protocol):
    """A device, as far as a datapath in this process needs it."""

    @property
    def transmit(self) -> Transmit: ...


class SimPort:
    """A port and its counters, as the datapath sees it."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "dropped",
        "name",
        "number",
        "packets_in",
        "packets_out",
        "pieces",
        "send_tunneled",
        "sequence",
        "take_number",
        "transmit",
        "tunnel",
        "type",
        "unsent",
    )

    def __init__(self, number: int, name: str, type: str, tunnel: TunnelPort | None = None) -> None:
        self.number = number
        self.name = name
        self.type = type
        self.transmit: Transmit | None = None
        self.tunnel = tunnel
        self.sequence = 0  # of the next packet that is sent through the tunnel,
        self.take_number: Callable[[], int] | None = None  # unless somebody else counts as well
        self.pieces = Pieces()  # of packets that come through it in several
        self.send_tunneled: SendTunneled | None = None
        self.unsent = 0  # packets for which a tunnel had no way
        self.packets_in = self.bytes_in = self.packets_out = self.bytes_out = self.dropped = 0

    def next_number(self) -> int:
        """Of a packet that is sent through the tunnel."""
        if self.take_number is not None:
            return self.take_number()
        self.sequence += 1
        return self.sequence - 1 & 0xFFFFFFFF


class SimFlow:
    """A megaflow."""

    __slots__ = ("actions", "bytes", "key", "mask", "packets", "tcp_flags", "touched", "ufid", "used")

    def __init__(self, ufid: int, key: int, mask: int, actions: tuple[Any, ...]) -> None:
        self.ufid = ufid
        self.key = key
        self.mask = mask
        self.actions = actions
        self.packets = self.bytes = self.tcp_flags = 0
        self.used: float | None = None
        self.touched = False  # it waits in `Sim.touched`

    def statistics(self) -> Statistics:
        return Statistics(self.packets, self.bytes, self.used, self.tcp_flags)


class Drops:
    """What the datapath drops by itself, counted by reason under the original's names."""

    __slots__ = (
        "invalid_port",
        "invalid_tnl_port",
        "meter",
        "recirc_error",
        "tunnel_pop_error",
        "tunnel_push_error",
        "upcall_error",
    )

    def __init__(self, counters: Counters) -> None:
        for name in UNCOUNTED:
            counters.counter(f"datapath_drop_{name}")
        self.invalid_port = counters.counter("datapath_drop_invalid_port")
        self.invalid_tnl_port = counters.counter("datapath_drop_invalid_tnl_port")
        self.meter = counters.counter("datapath_drop_meter")
        self.recirc_error = counters.counter("datapath_drop_recirc_error")
        self.tunnel_pop_error = counters.counter("datapath_drop_tunnel_pop_error")
        self.tunnel_push_error = counters.counter("datapath_drop_tunnel_push_error")
        self.upcall_error = counters.counter("datapath_drop_upcall_error")


UNCOUNTED: Final = (
    *("invalid_bond", "lock_error", "nsh_decap_error", "rx_invalid_packet", "sample_error"),
    "userspace_action_error",
)
"""Reasons of the original's datapath that never come up here."""


class Owner(Protocol):
    """The datapath that a packet is in, as actions see it.

    `touched` are the flows that were used since they were last asked for.
    """

    hits: int
    misses: int
    recirculations: int
    clock: Clock
    conntrack: Tracker
    reasons: Drops
    meters: Meters
    touched: list[SimFlow]
    source_ports: tuple[int, int]

    def port(self, number: int) -> SimPort | None: ...

    def key_of(self, frame: bytes, number: int) -> int: ...

    def lookup(self, key: int) -> SimFlow | None: ...

    def upcall(self, packet: Packet, key: int, action: Any, known: Any = None) -> None: ...

    def waiting(self) -> bool: ...

    def draw(self) -> int: ...
