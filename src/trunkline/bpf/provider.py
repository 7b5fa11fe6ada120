"""The kernel datapath as a Provider: megaflows in the kernel, and `sim` behind it for all that it cannot do.

Every flow is in two places: in a `Sim` of this process, whole, and in the kernel's maps as far as the program
can carry it out.  What comes up from the kernel goes through the flows of the Sim:

- a packet that the kernel had no flow for is an upcall, unless its flow has been put in meanwhile, and then
  it goes its way at once, and in order;
- packets of a flow that the program cannot carry out come up as well ("slow path"): their flow in the kernel
  says so; the Sim carries it out whole, recirculation, connection tracking and all.

So correctness never hangs on what the program can do: an action, a field or a packet that is beyond it costs
time, nothing else.  What goes up is decided in one place, `Orders.of` (bpf/orders.py), by bpf/actions.py.
Counters are the sum of the kernel's and the Sim's.

The kernel forwards whether this process runs or not.
"""

import errno
import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.bpf import adopt, attach, inherit, loader, meanings, probe
from trunkline.bpf import layout as program
from trunkline.bpf.connections import KernelStore
from trunkline.bpf.flows import NOTHING, Flows, totals
from trunkline.bpf.headers import Headers
from trunkline.bpf.keeper import Keeper
from trunkline.bpf.masks import OPTIONS, fits
from trunkline.bpf.meters import KernelMeters
from trunkline.bpf.numbered import Numbered
from trunkline.bpf.numbers import FullError
from trunkline.bpf.occupants import Occupants, Presence
from trunkline.bpf.orders import Orders
from trunkline.bpf.pending import Pending
from trunkline.bpf.ports import Ports
from trunkline.bpf.ring import RingBuffer
from trunkline.bpf.system_calls import BpfError
from trunkline.bpf.tracking import row as tracking_record
from trunkline.bpf.upcalls import Queues, decode
from trunkline.bridge.devices import Device, busy
from trunkline.dpif import actions as dp
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
from trunkline.io.netdev.kernel import Readers
from trunkline.packet.packet import Packet
from trunkline.packet.tunnels import TUNNEL as TUNNEL_FIELDS
from trunkline.packet.tunnels import Popped
from trunkline.sim.datapath import Sim
from trunkline.sim.parts import SendTunneled
from trunkline.upcall.taking_up import Left

_UNKNOWN: Final = "what an earlier process has left cannot be seen: %s"
_UNSEEN: Final = (
    "what an earlier process has left cannot be seen without CAP_SYS_ADMIN in the first user namespace (%s);"
    " if programs of this switch are at its devices, they go on by their old flows, and tell this process"
    " nothing (a switch that is ended by 'ovs-appctl exit --cleanup' leaves none)"
)
_MISS, _SLOW, _ACTION, _CONNTRACK, _TUNNEL, _OUTPUT = map(
    program.UPCALLS.index, ("MISS", "SLOW", "ACTION", "CONNTRACK", "TUNNEL", "OUTPUT")
)
_READ: Final = 256  # records taken out of the ring at once
_ROOM: Final = 32 << 20  # bytes of records in this process; more stay in the ring
_SORT: Final = 1.0  # seconds
_HANDED_ON: Final = ("directions", "connections")
"""Maps that go from one process to the next as they are; all others are made anew."""
CAPABILITIES: Final = Capabilities(
    "ovs-system",
    layout.DATAPATH,
    frozenset(("output", "push_vlan", "pop_vlan", "set", "userspace", "recirc", "trunc", "drop", "hash",
               "meter", "clone", "sample", "check_pkt_len", "ct", "ct_clear", "set_tunnel")),
    2,
)  # fmt: skip
"""What the program does by itself; flows that match other fields, or have other actions, go up."""


def layout_digest() -> int:
    """Stands for the way that the maps are laid out, and for what the numbers in them mean."""
    return int.from_bytes(hashlib.blake2b(program.header().encode(), digest_size=8).digest(), "big")


class BpfDatapath:
    """A Provider.  Raises OSError, LoadError if the kernel does not let us: ask probe.obstacle() before."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        run_directory: str,
        *,
        seed: int = 0,
        log: Log,
        readers: Readers | None = None,
        wake: Callable[[], None] = lambda: None,
        counters: Counters | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.wake = wake
        self._log = log.module("dpif")
        self._bpf_log = log.module("bpf")
        self._sim = Sim(name, clock, seed=seed)
        self.conntrack = self._sim.conntrack
        self._owner = adopt.owner(run_directory)
        self._attachments = attach.attachments()
        self._presence = Presence(run_directory)
        self._occupants = Occupants(self._owner, self._attachments)
        constants, offsets = loader.network_namespace(moves=self._attachments.moves)
        constants["salt"] = int.from_bytes(os.urandom(8), "big")
        code = probe.object_code()
        self._before, ports = self._look_for_earlier()
        handed_on = {name: self._before.maps.pop(name) for name in _HANDED_ON} if self._before else {}
        self._loaded = loader.load(code, maps=handed_on, constants=constants, offsets=offsets)
        maps = self._loaded.maps
        counters = counters if counters is not None else Counters()
        restored = counters.counter("bpf_restored")
        self._drop_counters = {name: counters.counter(f"datapath_drop_{name}") for name in program.DROPS}
        self._keeper = Keeper(self._attachments, self._loaded.program("ingress"), self._bpf_log, restored)
        self._keeper.take_up(ports)
        self.meters = self._sim.meters = KernelMeters(maps["meters"])
        self._flows = Flows(maps, self._owner, layout_digest())
        self._scratches = maps["scratches"]
        for port in self._sim.ports():
            self._name_port(port.number, port.name, port.type)
        self._ports = Ports(maps)
        self._headers = Headers(
            maps, self._ports, self._keeper, self._bpf_log, self._plugged, readers, lambda: self.wake()
        )
        self._ring = RingBuffer(maps["upcalls"])
        self._queues = Queues()
        self._pending = Pending()
        self._heirs: dict[int, int] = {}  # flows that go on where an earlier process's stop
        self._connections = self.conntrack.store = KernelStore(maps, self.conntrack)
        self._trackings = Numbered[tuple[Any, ...]](maps["trackings"], self._tracking_record)
        records: dict[str, Numbered[Any]] = {
            "CONNTRACK": self._trackings,
            "SET_TUNNEL": Numbered[int](maps["outers"], outer_record),
            "ENCAPSULATE": self._headers.numbered,
        }
        self._orders = Orders(clock, self._ports, self.meters, self._headers, records)
        self._slow_packets = 0
        self._next_sort = 0.0
        self._full = ""  # what there was no room for, as it was last said
        self._readers = readers
        if readers is not None:
            readers.add_reader(self._ring.fileno(), lambda: self.wake())

    # ---- what an earlier process has left

    def _look_for_earlier(self) -> tuple[adopt.Adopted | None, dict[adopt.Port, int]]:
        """The maps of an earlier process, if we can read them, and where its programs are: they forward on
        until `settled`."""
        try:
            devices = [index for index, _ in socket.if_nameindex()]
            found = adopt.find(self._owner, self._attachments, devices)
        except BpfError as error:
            self._bpf_log.warn(_UNSEEN if error.errno == errno.EPERM else _UNKNOWN, error)
            return None, {}
        if found is None:
            return None, {}
        ports = {**found.ports, **found.others}
        if found.layout == layout_digest():
            return found, ports
        self._bpf_log.info("an earlier process has left flows of another version: they are not taken up")
        found.close()
        return None, ports

    def left(self, since: float) -> Iterator[Left]:
        """The flows of the earlier process, with the present numbers of its ports."""
        if self._before is None:
            return
        try:
            yield from inherit.flows(self._before.maps, self._numbers_now(self._before), since)
        except BpfError as error:
            self._bpf_log.warn("the flows that an earlier process has left cannot be read: %s", error)

    def goes_on(self, ufid: int, place: int) -> None:
        if place >= 0:
            self._heirs[ufid] = place

    def _go_on(self, before: adopt.Adopted) -> None:
        """Flows that were taken up have counted what the earlier process's have: now that these get no more
        packets, it is read."""
        heirs, self._heirs = self._heirs, {}
        try:
            counted, passed = inherit.statistics(before.maps), inherit.credits(before.maps)
        except BpfError as error:
            self._bpf_log.warn("what flows of an earlier process have counted cannot be read: %s", error)
            return
        for ufid, place in heirs.items():
            packets, octets, more_packets, more_octets = passed.get(place, (0, 0, 0, 0))
            one = counted.get(place, NOTHING)
            one = one._replace(packets=one.packets + more_packets, bytes=one.bytes + more_octets)
            if one.packets:
                beside = self._sim.add_counted(ufid, one)
                self._flows.credit(ufid, (packets, octets), (beside.packets, beside.bytes))

    def passed_on(self, ufid: int, statistics: Statistics) -> None:
        self._flows.credit(ufid, (statistics.packets, statistics.bytes), self._sim.counted(ufid))

    def _numbers_now(self, before: adopt.Adopted) -> dict[int, int]:
        """From its port numbers to ours, by the device, or by the packets that are the port's."""
        ours = {index: number for number, (index, _) in self._ports.devices.items()}
        then = inherit.ports(before.maps)
        found = {number: ours[index] for index, number in then.items() if index in ours}
        tunnels, names = inherit.tunnels(before.maps), self._headers.names
        return found | {number: names[name] for name, number in tunnels.items() if name in names}

    def settled(self) -> None:
        """All ports and flows are there: our program takes the place of the earlier process's, and the
        packets that it has not looked at come to us."""
        self._keeper.take_over()
        before, self._before = self._before, None
        if before is None:
            return
        self._go_on(before)
        try:
            self.meters.go_on(before.maps["meters"])
        except BpfError as error:
            self._bpf_log.warn("what meters of an earlier process have measured cannot be read: %s", error)
        numbers = self._numbers_now(before)
        for number, sequence in inherit.sequences(before.maps).items():
            if number in numbers:
                self._ports.go_on_from(numbers[number], sequence)
        ring = RingBuffer(before.maps["upcalls"])
        waited = 0
        while records := ring.read(_READ):
            for record in map(decode, records):
                port = numbers.get(record.port)
                if record.reason == _MISS and port is not None and not layout.get(record.key, "recirc_id"):
                    waited += 1
                    self._sim.enter(record.packet, inherit.with_port(record.key, port))
        ring.close()
        before.close()
        self._bpf_log.info(
            "%s: %d flows were taken up from an earlier process, and %d packets that waited",
            self.name,
            len(self._flows.flows),
            waited,
        )

    def program(self, name: str) -> loader.Program:
        """A program of the object: ingress, for devices; execute, for test runs.

        Raises LoadError, BpfError.
        """
        return self._loaded.program(name)

    # ---- ports

    def capabilities(self) -> Capabilities:
        return CAPABILITIES._replace(name=self.name)

    @property
    def vlan_limit(self) -> int:
        return self._sim.vlan_limit

    @vlan_limit.setter
    def vlan_limit(self, limit: int) -> None:
        if limit != self._sim.vlan_limit:
            self._sim.vlan_limit = limit
            self._flows.config.set_vlan_limit(limit)

    def port_add(
        self, name: str, type: str, number: int | None = None, tunnel: TunnelPort | None = None
    ) -> int:
        number = self._sim.port_add(name, type, number, tunnel)
        if number >= program.MAX_PORTS:
            self._sim.port_delete(number)
            raise DatapathError(
                f"{self.name}: the kernel datapath has room for {program.MAX_PORTS - 1} ports"
            )
        self._name_port(number, name, type)
        if tunnel is not None:
            self._headers.add(number, tunnel)
            port = self._sim.port(number)
            assert port is not None
            port.take_number = lambda: self._ports.take_number(number)
        return number

    def _name_port(self, number: int, name: str, type: str) -> None:
        try:
            meanings.name_port(self._loaded.maps, number, name, type)
        except BpfError as error:  # then only who looks when no switch runs misses it
            self._bpf_log.warn("%s: %s", name, error)

    def set_tunnel_source_ports(self, ports: tuple[int, int]) -> None:
        self._sim.set_tunnel_source_ports(ports)
        self._headers.set_source_ports(ports)

    def attach_tunnel(self, number: int, send: SendTunneled) -> None:
        self._sim.attach_tunnel(number, send)

    def receive_tunneled(self, number: int, found: Iterable[Popped]) -> None:
        self._sim.receive_tunneled(number, found)

    def attach_device(self, number: int, device: Device) -> None:
        """Puts the program at a port's device, and sends there what goes to the port.

        Raises DatapathError.
        """
        self._sim.attach_device(number, device)
        index, egress = getattr(device, "index", None), getattr(device, "egress", False)
        if index is None:
            return  # memory: what comes from there is received by this process
        self._plug(number, index, device.name, egress=egress)

    def set_mtu(self, number: int, mtu: int | None) -> None:
        if number in self._ports.devices:
            self._ports.set_mtu(number, mtu)

    def _plug(self, number: int, index: int, name: str, *, egress: bool) -> None:
        """Packets of a device are a port's, and the port's go to the device.  Raises DatapathError."""
        self._orders.ports_changed()
        try:
            instead_of = self._program_to_replace(index, name, egress)
            self._headers.plug(index)
            self._ports.add(number, index, egress=egress)
            self._keeper.add(index, name, egress=egress, instead_of=instead_of)
        except OSError as error:
            raise DatapathError(f"{self.name}: {name}: the program cannot be attached: {error}") from None

    def _program_to_replace(self, index: int, name: str, egress: bool) -> int | None:
        """That of a switch that does not run any more, and has the device as a port; its other programs go.

        Raises DatapathError, OSError.
        """
        found = None
        for one in self._occupants.of(index):
            if one.directory is not None:  # since the device was opened
                raise DatapathError(busy(one.directory))
            self._bpf_log.info("%s: it was a port of a switch that does not run any more", name)
            if found is None and one.egress == egress:
                found = one.program
            else:
                self._attachments.detach(index, one.program, egress=one.egress)
        return found

    def _plugged(self) -> set[int]:
        return {index for index, _ in self._ports.devices.values()}

    def holder(self, index: int) -> str | None:
        """Another switch that has that device as a port, as Occupants.holder.  Raises OSError."""
        return self._occupants.holder(index)

    def port_delete(self, number: int) -> None:
        self._headers.remove(number)
        device = self._ports.devices.get(number)
        if device is not None:
            index, egress = device
            self._orders.ports_changed()
            self._ports.stop(number)
            self._keeper.remove(index, egress=egress)
            self._ports.remove(number)
            self._headers.unplug(index)
        meanings.forget_port(self._loaded.maps, number)
        self._sim.port_delete(number)

    def ports(self) -> Iterator[DatapathPort]:
        return self._sim.ports()

    # ---- packets

    def key_of(self, frame: bytes, port: int) -> int:
        return self._sim.key_of(frame, port)

    def receive(self, number: int, packets: Sequence[Packet]) -> None:
        """Packets that this process has read from a port itself."""
        self._sim.receive(number, packets)

    def execute(self, packet: Packet, key: int, actions: tuple[Any, ...], known: Any = None) -> None:
        self._sim.execute(packet, key, actions, known)

    def count_in(self, counters: Counters) -> None:
        self._sim.count_in(counters)

    def fileno(self) -> int:
        """What is readable while packets wait."""
        return self._ring.fileno()

    def upcalls(self, limit: int) -> list[Upcall]:
        """Works on packets that came up, `limit` at most; those that the switch has to see are given back."""
        queues = self._queues
        while queues.bytes < _ROOM:
            records = self._ring.read(_READ)
            if len(records) == 1 and not (queues.waiting or self._pending):  # it need not wait for others
                self._work_on(records[0])
                return self._sim.upcalls(limit)
            queues.put(records)
            if len(records) < _READ:
                break
        if self._pending:
            now = self.clock.monotonic()
            for put in self._pending.due(queues.ports(), now):
                self._install(put, now)
        for _ in range(min(limit, queues.waiting)):
            self._work_on(queues.take())
        return self._sim.upcalls(limit)

    def _work_on(self, data: bytes) -> None:
        """A record of the ring: a packet goes on where it left the program, or up to the switch."""
        port, reason, argument, packet, key, cost = decode(data)
        self._ports.drained(port, cost)
        if reason == _MISS:
            self._sim.enter(packet, key)
        elif reason == _SLOW:
            self._slow_packets += 1
            self._sim.enter(packet, key)
        elif reason == _CONNTRACK:
            if (actions := self._trackings.argument(argument)) is not None:
                self._sim.execute(packet, key, actions)
                self._connections.settle()
        elif reason == _TUNNEL:
            if (found := self._headers.numbered.argument(argument)) is not None:
                self._sim.execute(packet, key, _to_tunnel(*found, key))
        elif reason == _OUTPUT:
            self._sim.execute(packet, key, (dp.Output(argument),))
        elif reason == _ACTION and (action := self._orders.action(argument)) is not None:
            self._sim.upcall(packet, key, action)

    def waiting(self) -> bool:
        queued = self._queues.waiting or self._ring.waiting() or self._sim.waiting()
        return bool(queued or self._pending)

    def run(self, now: float) -> None:
        self._sim.run(now)
        self._orders.run(now)
        self._headers.run(now)
        if now >= self._next_sort:
            self._next_sort = now + _SORT
            self._presence.tell()
            self._keeper.check()
            for name, count in self._ports.all_drops().items():
                self._drop_counters[name].total = count
            self._flows.masks.sort()

    def next_timer(self) -> float | None:
        return self._sim.next_timer()

    # ---- megaflows

    def change_flows(self, changes: Sequence[FlowPut | FlowDelete]) -> list[Statistics | DatapathError]:
        return [self._change(change) for change in changes]

    def _change(self, change: FlowPut | FlowDelete) -> Statistics | DatapathError:
        outcome = self._sim.change_flows((change,))[0]
        if isinstance(outcome, DatapathError):
            return outcome
        now = self.clock.monotonic()
        if isinstance(change, FlowDelete):
            self._pending.delete(change.ufid)
            counted, dropped = self._flows.remove(change.ufid, now)
            self._orders.forget(dropped, now)
            return _together(outcome, counted)
        if change.ufid in self._flows.flows or not self._is_late(change):
            self._install(change, now)
        else:
            self._pending.put(change, now)
        return _together(outcome, self._flows.statistics(change.ufid) if change.replace else NOTHING)

    def _is_late(self, flow: FlowPut) -> bool:
        """Whether there may be packets of it in this process that the kernel would overtake."""
        port = layout.get(flow.key, "dp_in_port")
        return port in self._queues.ports() or self._ring.waiting() or self._pending.holds(flow)

    def _install(self, flow: FlowPut, now: float) -> None:
        """Puts a flow into the kernel, or its new actions.  Without room there its packets go on missing."""
        layer3 = self._headers.is_layer3(layout.get(flow.key, "dp_in_port"))
        if flow.key & _PACKET_TYPE and not layer3:
            return  # no packet of the kernel's is like that
        orders, problem = self._orders.of(flow)
        if problem is not None:
            self._log.dbg("%s: flow %032x goes the slow path: %s", self.name, flow.ufid, problem)
        slow = problem is not None
        mask = flow.mask if layer3 else flow.mask & ~_PACKET_TYPE
        if mask & OPTIONS and not fits(mask):
            mask &= ~OPTIONS
        shared = self._flows.lists.holds(orders)  # then its numbers are counted already
        try:
            if flow.ufid in self._flows.flows:
                changed = self._flows.change(
                    flow.ufid, orders, now, slow=slow, actions=flow.actions, key=flow.key
                )
                self._orders.forget(changed, now)
            else:
                self._flows.add(flow.ufid, flow.key, mask, orders, now, slow=slow, actions=flow.actions)
        except (FullError, BpfError) as error:
            shared = True
            if str(error) != self._full:
                self._full = str(error)
                self._log.warn("%s: %s; packets are forwarded by this process", self.name, error)
            if flow.ufid in self._flows.flows:  # its actions there are old
                self._orders.forget(self._flows.remove(flow.ufid, now)[1], now)
        if shared:
            self._orders.release(now)

    def _tracking_record(self, actions: tuple[Any, ...]) -> bytes:
        action: dp.Conntrack = actions[0]
        return tracking_record(action, self._connections.policy(action.timeout or None))

    # ---- statistics

    def dump_flows(self) -> Iterator[DatapathFlow]:
        counted = self._flows.all_statistics()
        for flow in self._sim.dump_flows():
            yield flow._replace(statistics=_together(flow.statistics, counted.get(flow.ufid, NOTHING)))

    def used_flows(self) -> Iterator[tuple[int, Statistics]]:
        seen: set[int] = set()
        for ufid, counted in self._flows.used():
            seen.add(ufid)
            flow = self._sim.flow(ufid)
            if flow is not None:
                yield ufid, _together(flow.statistics, counted)
        for ufid, statistics in self._sim.used_flows():
            if ufid not in seen:
                yield ufid, _together(statistics, self._flows.statistics(ufid))

    def flow(self, ufid: int) -> DatapathFlow | None:
        flow = self._sim.flow(ufid)
        if flow is None:
            return None
        return flow._replace(statistics=_together(flow.statistics, self._flows.statistics(ufid)))

    def statistics(self) -> DatapathStatistics:
        hits, _, lost = totals(self._scratches)
        python = self._sim.statistics()
        return DatapathStatistics(
            hits - self._slow_packets + python.hits,
            python.misses,
            lost + python.lost,
            python.flows,
            python.masks,
        )

    def drops(self, number: int) -> dict[str, int]:
        """Packets of a port that were dropped, by reason; those that never were are left out."""
        return self._ports.drops(number) | dict(self._sim.drops(number))

    def close(self) -> None:
        """Takes the programs off the devices; with them all goes that is in the kernel."""
        self._keeper.close(remove=True)
        self._headers.close()
        if self._readers is not None:
            self._readers.remove_reader(self._ring.fileno())
        self._ring.close()
        self._flows.close()
        self._ports.close()
        self._loaded.close()
        self._presence.close()
        self._attachments.close()
        self._sim.close()


def outer_record(value: int) -> bytes:
    """The part of a key that is a tunnel's, as the program copies it."""
    return layout.datapath_bytes(value)[: program.OUTER_WORDS * 8]


def _to_tunnel(port: int, fields: int, key: int) -> tuple[Any, ...]:
    """What sends a packet with that key into a tunnel of that port."""
    bare = (dp.PopEth(),) if key & _PACKET_TYPE else ()  # the frame may have one
    return (dp.Set(fields & TUNNEL_FIELDS, TUNNEL_FIELDS), *bare, dp.Output(port))


_PACKET_TYPE: Final = layout.MASK["packet_type"]
"""Bits that are 0 in the kernel, but for packets that come out of tunnels without an Ethernet header."""


def _together(one: Statistics, other: Statistics) -> Statistics:
    if not other.packets:
        return one
    if not one.packets:
        return other
    return Statistics(
        one.packets + other.packets,
        one.bytes + other.bytes,
        max(one.used or 0.0, other.used or 0.0) or None,
        one.tcp_flags | other.tcp_flags,
    )
