"""The datapath in Python: forwards packets by megaflows; the executable specification of every datapath.

    sim = Sim("ovs-netdev", clock)
    number = sim.port_add("eth0", "system")
    sim.attach(number, device.transmit)       # where packets of that port go
    sim.receive(number, packets)              # packets that came in there, in order

A packet is parsed to a key, the key is looked up, the flow's actions are run.  A lookup tries one mask after
the other; the masked slice of the key, as bytes, leads to the flow.  (Bytes, not the int: whoever can send
packets chooses the keys, and only the hash of bytes is keyed.)  Masks that hit often come first.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.conntrack.store import MemoryStore
from trunkline.conntrack.tracker import Tracker
from trunkline.dpif.provider import (
    Capabilities,
    DatapathError,
    DatapathFlow,
    DatapathPort,
    DatapathStatistics,
    FlowDelete,
    FlowPut,
    Statistics,
    TunnelPort,
    Upcall,
)
from trunkline.flow import key as layout
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse
from trunkline.packet.tunnels import Popped
from trunkline.sim.execute import Executor, unknown
from trunkline.sim.meters import Meters
from trunkline.sim.parts import Drops, SendTunneled, SimFlow, SimPort, Transmit, Transmitter
from trunkline.sim.tunnels import came_out

_PORT: Final = layout.OFFSET["dp_in_port"]
_TCP_FLAGS: Final = layout.OFFSET["tcp_flags"]
_FLAGS: Final = layout.MASK["tcp_flags"]  # whose place neighbour discovery shares
_PROTOCOL: Final = layout.MASK["nw_proto"]
_TCP: Final = 6 << layout.OFFSET["nw_proto"]
_INNER: Final = layout.bits("vlan1_tci", "vlan1_tpid")
_INNER_TPID: Final = layout.OFFSET["vlan1_tpid"]
_TYPE: Final = layout.OFFSET["dl_type"]
_LAYER2: Final = layout.bits(
    "dl_src", "dl_dst", "vlan_tci", "vlan_tpid", "packet_type", "dp_in_port", "recirc_id"
)
_MAX_UPCALLS: Final = 4096
_SORT_EVERY: Final = 1 << 16  # packets
_SEED: Final = 0x853C49E6748FEA9B
_SWEEP: Final = 1.0  # seconds
_MAX_DUMMY: Final = 1 << 16
_ACTIONS: Final = frozenset(
    (
        "output",
        "push_vlan",
        "pop_vlan",
        "set",
        "userspace",
        "recirc",
        "trunc",
        "drop",
        "ct",
        "ct_clear",
        "meter",
        "tnl_push",
        "tnl_pop",
        "set_tunnel",
    )
)


class _Table:
    """The megaflows of one mask.  `length` bytes from `shift` on hold every bit of the mask."""

    __slots__ = ("flows", "hits", "length", "mask", "shift")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.shift = (mask & -mask).bit_length() - 1 & ~7
        self.length = (mask.bit_length() - self.shift + 7) // 8
        self.flows: dict[bytes, SimFlow] = {}
        self.hits = 0

    def slice(self, key: int) -> bytes:
        return ((key & self.mask) >> self.shift).to_bytes(self.length, "big")


class Sim:
    """A Provider.  `name` as ``dpif/show`` has it; `seed` is for choices that nobody may foresee."""

    def __init__(self, name: str, clock: Clock, *, vlan_limit: int = 1, seed: int = 0) -> None:
        self.name = name
        self.clock = clock
        self.vlan_limit = vlan_limit
        self.hits = self.misses = self.lost = self.recirculations = 0
        self._ports: dict[int, SimPort] = {}
        self._names: dict[str, int] = {}
        self._lowest = 1  # no number below it is free
        self._tables: dict[int, _Table] = {}
        self._order: list[_Table] = []
        self._flows: dict[int, SimFlow] = {}
        self.touched: list[SimFlow] = []  # used since they were last asked for
        self._upcalls: deque[Upcall] = deque()
        self._lookups = 0
        self.conntrack = Tracker(MemoryStore(), seed)
        self.meters = Meters()
        self.reasons = Drops(Counters())
        self._random = _SEED
        self._next_sweep = 0.0
        self.source_ports = (32768, 61000)  # of the UDP packets of tunnels
        self._executor = Executor(self)

    # ---- ports

    def capabilities(self) -> Capabilities:
        return Capabilities(self.name, layout.DATAPATH | layout.RARE, _ACTIONS, 2)

    def port_add(
        self, name: str, type: str, number: int | None = None, tunnel: TunnelPort | None = None
    ) -> int:
        if name in self._names:
            raise DatapathError(f"{self.name}: there is a port named {name} already")
        if number is None:
            number = self._free_number(name, type)
        elif number in self._ports:
            raise DatapathError(f"{self.name}: port number {number} is taken by {self._ports[number].name}")
        self._ports[number] = SimPort(number, name, type, tunnel)
        self._names[name] = number
        return number

    def _free_number(self, name: str, type: str) -> int:
        """A dummy port is numbered after its name, as the original does, so that scripts can rely on it."""
        if type.startswith("dummy") or self.name == "ovs-dummy":
            digits = re.search(r"\d+", name)
            number = (100 if name.startswith("br") else 0) + int(digits[0]) if digits else 0
            if 0 < number < _MAX_DUMMY and number not in self._ports:
                return number
        while self._lowest in self._ports:
            self._lowest += 1
        return self._lowest

    def attach(self, number: int, transmit: Transmit | None) -> None:
        """Says where packets for a port go; None: they are dropped."""
        self._ports[number].transmit = transmit

    def attach_device(self, number: int, device: Transmitter) -> None:
        self.attach(number, device.transmit)

    def left(self, since: float) -> Iterable[Any]:
        return ()

    def goes_on(self, ufid: int, place: int) -> None:
        pass

    def passed_on(self, ufid: int, statistics: Statistics) -> None:
        """Here nothing outlives the process."""

    def settled(self) -> None:
        """Nothing is left of an earlier process: memory was all there was."""

    def set_tunnel_source_ports(self, ports: tuple[int, int]) -> None:
        self.source_ports = ports

    def attach_tunnel(self, number: int, send: SendTunneled) -> None:
        """Says where packets with a tunnel's fields go that are output to a tunnel's port."""
        self._ports[number].send_tunneled = send

    def receive_tunneled(self, number: int, found: Iterable[Popped]) -> None:
        """Packets that have come out of a tunnel of the host's."""
        port = self._ports.get(number)
        if port is None:
            return
        for popped in found:
            packet = Packet(popped.frame, popped.offload)
            self._executor.enter(packet, came_out(self, port, popped, 0))

    def set_mtu(self, number: int, mtu: int | None) -> None:
        """Devices themselves refuse what is too long, and count it."""

    def port_delete(self, number: int) -> None:
        port = self._ports.pop(number, None)
        if port is None:
            raise DatapathError(f"{self.name}: there is no port number {number}")
        del self._names[port.name]
        self._lowest = min(self._lowest, number)

    def ports(self) -> Iterator[DatapathPort]:
        for number, port in sorted(self._ports.items()):
            yield DatapathPort(number, port.name, port.type)

    def drops(self, number: int) -> Mapping[str, int]:
        """What flows say is dropped is counted there; here, what a tunnel had no way for."""
        port = self._ports.get(number)
        return {"tunnel_push_error": port.unsent} if port is not None and port.unsent else {}

    def port(self, number: int) -> SimPort | None:
        return self._ports.get(number)

    # ---- packets

    def receive(self, number: int, packets: Sequence[Packet]) -> None:
        """Packets that came in on a port, in the order in which they came."""
        port = self._ports.get(number)
        if port is None:
            return
        now = self.clock.monotonic()
        octets = 0
        key_of, lookup, run = self.key_of, self.lookup, self._executor.run
        for packet in packets:
            frame = packet.frame
            size = len(frame)
            octets += size
            key = key_of(frame, number)
            flow = lookup(key)
            if flow is None:
                self.misses += 1
                self.upcall(packet, key, None)
                continue
            self.hits += 1
            flow.packets += 1
            flow.bytes += size
            flow.used = now
            if key & _FLAGS and key & _PROTOCOL == _TCP:
                flow.tcp_flags |= key >> _TCP_FLAGS & 0xFFF
            if not flow.touched:
                flow.touched = True
                self.touched.append(flow)
            run(packet, key, flow.actions)
        self._lookups += len(packets)
        if self._lookups >= _SORT_EVERY:
            self._sort_masks()
        port.packets_in += len(packets)
        port.bytes_in += octets

    def enter(self, packet: Packet, key: int) -> None:
        """A packet with its key, at the point that its recirculation says: to its flow, or to the switch."""
        flow = self.lookup(key)
        if flow is None:
            self.misses += 1
            self.upcall(packet, key, None)
            return
        self.hits += 1
        flow.packets += 1
        flow.bytes += len(packet.frame)
        flow.used = self.clock.monotonic()
        if key & _PROTOCOL == _TCP:
            flow.tcp_flags |= key >> _TCP_FLAGS & 0xFFF
        if not flow.touched:
            flow.touched = True
            self.touched.append(flow)
        self._executor.run(packet, key, flow.actions)

    def key_of(self, frame: bytes, number: int) -> int:
        """The key of a frame that came in on a port."""
        key = parse(frame) | number << _PORT
        if key & _INNER and self.vlan_limit == 1:
            tpid = key >> _INNER_TPID & 0xFFFF
            key = key & _LAYER2 | tpid << _TYPE
        return key

    def lookup(self, key: int) -> SimFlow | None:
        """The megaflow that covers the key."""
        for table in self._order:
            flow = table.flows.get(((key & table.mask) >> table.shift).to_bytes(table.length, "big"))
            if flow is not None:
                table.hits += 1
                return flow
        return None

    def upcall(self, packet: Packet, key: int, action: Any, known: Any = None) -> None:
        """Hands a packet to the switch."""
        if len(self._upcalls) >= _MAX_UPCALLS:
            self.lost += 1
            self.reasons.upcall_error.total += 1
            return
        self._upcalls.append(Upcall(packet, key, action, known))

    def draw(self) -> int:
        """A number of 32 bits by a linear congruential generator (Knuth's MMIX)."""
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        return self._random >> 32

    def execute(self, packet: Packet, key: int, actions: tuple[Any, ...], known: Any = None) -> None:
        self._executor.run(packet, key, actions, known=known)

    def run(self, now: float) -> None:
        """Forgets connections that are over, about once a second, and lets go of fragments held too long."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP
        self.conntrack.run(now)

    def next_timer(self) -> float | None:
        due = self.conntrack.next_timer()
        return None if due is None else max(due, self._next_sweep)

    def upcalls(self, limit: int) -> list[Upcall]:
        waiting = self._upcalls
        return [waiting.popleft() for _ in range(min(limit, len(waiting)))]

    def count_in(self, counters: Counters) -> None:
        """Where what is dropped is counted."""
        self.reasons = Drops(counters)
        self.conntrack.count_in(counters)

    def waiting(self) -> bool:
        return bool(self._upcalls)

    # ---- megaflows

    def change_flows(self, changes: Sequence[FlowPut | FlowDelete]) -> list[Statistics | DatapathError]:
        return [self._change(change) for change in changes]

    def _change(self, change: FlowPut | FlowDelete) -> Statistics | DatapathError:
        flow = self._flows.get(change.ufid)
        if isinstance(change, FlowDelete):
            if flow is None:
                return DatapathError(f"{self.name}: there is no flow {change.ufid:032x}")
            del self._flows[change.ufid]
            table = self._tables[flow.mask]
            del table.flows[table.slice(flow.key)]
            if not table.flows:
                del self._tables[flow.mask]
                self._order.remove(table)
            return flow.statistics()
        if action := unknown(change.actions):
            return DatapathError(f"{self.name}: there is no action {action} here")
        if flow is not None:
            if not change.replace:
                return DatapathError(f"{self.name}: there is a flow {change.ufid:032x} already")
            if (flow.key, flow.mask) != (change.key, change.mask):
                return DatapathError(f"{self.name}: flow {change.ufid:032x} has another match")
            flow.actions = change.actions
            return flow.statistics()
        return self._add(change)

    def _add(self, change: FlowPut) -> Statistics | DatapathError:
        table = self._tables.get(change.mask)
        if table is None:
            table = self._tables[change.mask] = _Table(change.mask)
            self._order.append(table)
        name = table.slice(change.key)
        if name in table.flows:
            return DatapathError(f"{self.name}: another flow has the match of {change.ufid:032x}")
        flow = SimFlow(change.ufid, change.key & change.mask, change.mask, change.actions)
        table.flows[name] = self._flows[change.ufid] = flow
        return flow.statistics()

    def _sort_masks(self) -> None:
        """Puts the masks that hit most first."""
        self._lookups = 0
        self._order.sort(key=lambda table: -table.hits)
        for table in self._order:
            table.hits >>= 1

    def dump_flows(self) -> Iterator[DatapathFlow]:
        for flow in list(self._flows.values()):
            yield DatapathFlow(flow.ufid, flow.key, flow.mask, flow.actions, flow.statistics())

    def used_flows(self) -> Iterator[tuple[int, Statistics]]:
        touched, self.touched = self.touched, []
        left = iter(touched)
        try:
            for flow in left:
                flow.touched = False
                yield flow.ufid, flow.statistics()
        finally:
            self.touched += left  # who stops half way gets the others the next time

    def add_counted(self, ufid: int, counted: Statistics) -> Statistics:
        """A flow has counted more elsewhere; what it has in all."""
        flow = self._flows.get(ufid)
        if flow is None:
            return counted
        flow.packets += counted.packets
        flow.bytes += counted.bytes
        flow.tcp_flags |= counted.tcp_flags
        flow.used = max(flow.used or 0.0, counted.used or 0.0) or None
        if not flow.touched:
            flow.touched = True
            self.touched.append(flow)
        return flow.statistics()

    def counted(self, ufid: int) -> tuple[int, int]:
        """Packets and bytes of a flow."""
        flow = self._flows.get(ufid)
        return (0, 0) if flow is None else (flow.packets, flow.bytes)

    def flow(self, ufid: int) -> DatapathFlow | None:
        flow = self._flows.get(ufid)
        return (
            None if flow is None else DatapathFlow(ufid, flow.key, flow.mask, flow.actions, flow.statistics())
        )

    def statistics(self) -> DatapathStatistics:
        return DatapathStatistics(
            self.hits, self.misses, self.lost, len(self._flows), len(self._order), self.recirculations
        )

    def close(self) -> None:
        self._ports.clear()
        self._names.clear()
        self._flows.clear()
        self.touched.clear()
        self._tables.clear()
        self._order.clear()
        self._upcalls.clear()
