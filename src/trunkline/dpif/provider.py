"""The one seam between the switch and a datapath.

A datapath forwards packets by *megaflows*: (key, mask, actions).  A packet that no megaflow covers, or whose
actions say so, comes back as an *upcall*; the switch answers with a new megaflow and puts the packet back
with `execute`.  `sim` implements this in Python and is the executable specification; the kernel datapath
implements the same calls, and nothing above this seam knows which one it talks to.

Keys and masks are ints in the layout of flow/key.py, restricted to its DATAPATH (and RARE) region.  Ports are
*datapath ports*; OpenFlow port numbers never cross this seam.  No call blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from trunkline.base.counters import Counters
from trunkline.packet.packet import Packet

UNSENT: Final = "too_long"
"""Among the drops of a port: packets that did not go to its device."""


class Capabilities(NamedTuple):
    """What a datapath can do; anything else becomes "send to the slow path", decided above the seam."""

    name: str  # as dpif/show prints it: "system", "netdev"
    fields: int  # mask of the key bits it can match
    actions: frozenset[str]
    max_vlan_headers: int = 2
    tunnels: frozenset[str] = frozenset()
    """The types of tunnels that it carries by itself, on `Set` of tunnel fields and `Output` to their port.

    Those of another type have to be carried by the host's sockets, which whoever runs it attaches.
    """


class TunnelPort(NamedTuple):
    """What a datapath port of a tunnel type speaks: one for all tunnels of a type and UDP port.

    `type` as in model/tunnels.py; `destination` the UDP port (of stt that of TCP), 0 where there is none;
    `extensions` as in options:exts ("gbp", "gpe"), or what bareudp carries but IP ("mpls", "0x8847").
    `protected`: all packets of these tunnels are to be encrypted.
    """

    type: str
    destination: int = 0
    extensions: frozenset[str] = frozenset()
    protected: bool = False


class DatapathPort(NamedTuple):
    number: int
    name: str
    type: str  # "system", "internal", "tap", "dummy", ...


class Statistics(NamedTuple):
    packets: int = 0
    bytes: int = 0
    used: float | None = None  # Clock.monotonic() of the last packet
    tcp_flags: int = 0


class DatapathStatistics(NamedTuple):
    """Lookups that found a megaflow, that found none, and upcalls that were lost for want of room.

    `recirculations`: of the lookups, those of packets that had been looked up before.
    """

    hits: int
    misses: int
    lost: int
    flows: int
    masks: int
    recirculations: int = 0


class DatapathFlow(NamedTuple):
    ufid: int  # 128 bits
    key: int
    mask: int
    actions: tuple[Any, ...]  # datapath actions, dpif/actions.py
    statistics: Statistics = Statistics()


class FlowPut(NamedTuple):
    """Adds, or with `replace` changes, a megaflow."""

    ufid: int
    key: int
    mask: int
    actions: tuple[Any, ...]
    replace: bool = False


class FlowDelete(NamedTuple):
    ufid: int


class Upcall(NamedTuple):
    """`action` None: no flow covered the packet; else the userspace action that sent it.

    `known` is what the datapath wants to have back with `execute`: nobody else looks into it.
    """

    packet: Packet
    key: int
    action: Any = None
    known: Any = None


class DatapathError(Exception):
    """A call failed; the text says what, with the port or flow by name."""


class MeterBand(NamedTuple):
    """In kilobits or packets, a second and at once; a burst of 0 is that of a second."""

    rate: int
    burst: int = 0


class MeterStatistics(NamedTuple):
    """What came to a meter, and for each band what that dropped: (packets, bytes)."""

    packets: int
    bytes: int
    bands: tuple[tuple[int, int], ...]


class Meters(Protocol):
    """The meters of a datapath, under numbers that the switch gives them."""

    def put(
        self, number: int, bands: tuple[MeterBand, ...], now: float, *, by_packets: bool, name: int = 1
    ) -> None:
        """Makes a meter, or makes it anew, its counters too.  `name`: 32 bits, not 0, that stand for it in
        every process alike."""

    def resume(self, number: int, statistics: MeterStatistics | None) -> None:
        """It was there before this process, and goes on: from what the datapath has of it still, or at least
        from `statistics`; None: of these nothing is known that was not said before."""

    def delete(self, number: int) -> None: ...

    def statistics(self, number: int) -> MeterStatistics: ...


class Provider(Protocol):
    conntrack: Any
    """The connection tracker (conntrack/tracker.py, which lies below this layer)."""

    @property
    def meters(self) -> Meters: ...

    def capabilities(self) -> Capabilities: ...

    def port_add(
        self, name: str, type: str, number: int | None = None, tunnel: TunnelPort | None = None
    ) -> int:
        """The datapath port's number.  `tunnel`: it is one of a type of tunnels.  Raises DatapathError."""

    def set_tunnel_source_ports(self, ports: tuple[int, int]) -> None:
        """The least and the largest UDP port that packets of tunnels are sent from."""

    def set_mtu(self, number: int, mtu: int | None) -> None:
        """How much of a frame that goes to the port may lie behind its Ethernet header, whenever it has
        changed; None: anything.  What is longer counts as UNSENT among the port's `drops`, if the device does
        not count it."""

    def port_delete(self, number: int) -> None: ...

    def ports(self) -> Iterator[DatapathPort]: ...

    def drops(self, number: int) -> Mapping[str, int]:
        """Packets of a port that the datapath has dropped, by reason; reasons that there were none for are
        left out."""

    def change_flows(self, changes: Sequence[FlowPut | FlowDelete]) -> list[Statistics | DatapathError]:
        """In order; for each change the flow's final (deleted) or present statistics, or why it failed."""

    def dump_flows(self) -> Iterator[DatapathFlow]:
        """A snapshot."""

    def used_flows(self) -> Iterator[tuple[int, Statistics]]:
        """(ufid, statistics) of the flows that packets have gone through since they were last given here, in
        steps: it may be gone through little by little.  The cost is that of the flows used, not of all."""

    def flow(self, ufid: int) -> DatapathFlow | None: ...

    def passed_on(self, ufid: int, statistics: Statistics) -> None:
        """These statistics are in the counters of rules; a datapath that outlives us remembers it."""

    def goes_on(self, ufid: int, place: int) -> None:
        """The flow is the successor of one that an earlier process has left, whose counters are at `place`:
        it goes on counting where that stops."""

    def statistics(self) -> DatapathStatistics: ...

    def key_of(self, frame: bytes, port: int) -> int:
        """The key of a frame that came in on a datapath port; tags beyond the limit are payload."""

    def execute(self, packet: Packet, key: int, actions: tuple[Any, ...], known: Any = None) -> None: ...

    def count_in(self, counters: Counters) -> None:
        """Where it counts what it drops, and what its connection tracker meets."""

    def upcalls(self, limit: int) -> list[Upcall]: ...

    def waiting(self) -> bool:
        """Whether there are upcalls."""

    def run(self, now: float) -> None:
        """Does what is due: connections and held fragments that are over."""

    def next_timer(self) -> float | None:
        """When `run` is due again."""

    def close(self) -> None: ...
