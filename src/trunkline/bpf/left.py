"""The datapath that a switch has left in the kernel, for a tool: looked at, and changed by hand.

The program forwards on when its switch has gone.  Its maps are found as a new switch finds them
(bpf/adopt.py), but here they are used as they are: flows are read with their names and actions in words
(bpf/meanings.py), and a flow that is put in or taken out is one for the packets that come next.

What only the switch can do is refused: whatever needs a number that it gives a meaning to (a message to a
controller, a meter, a tunnel's header, a ct action), and settings that the program does not know.  A switch
that starts reads all of this and makes everything anew, so nothing done here can be in its way.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from trunkline.base.clock import Clock
from trunkline.bpf import actions as encoding
from trunkline.bpf import adopt, attach, inherit, meanings
from trunkline.bpf import layout as program
from trunkline.bpf.connections import KernelStore
from trunkline.bpf.flows import Flows, totals
from trunkline.bpf.loader import Program
from trunkline.bpf.maps import Map
from trunkline.bpf.masks import beyond
from trunkline.bpf.numbers import FullError
from trunkline.bpf.ports import Ports
from trunkline.bpf.provider import CAPABILITIES, layout_digest
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif.provider import (
    Capabilities,
    DatapathError,
    DatapathFlow,
    DatapathStatistics,
    FlowDelete,
    FlowPut,
    Statistics,
)
from trunkline.flow import key as layout
from trunkline.sim.datapath import Sim

MAX_PORTS: Final = program.MAX_PORTS
_PACKET_TYPE: Final = layout.MASK["packet_type"]
_THERE: Final = 3  # which word of a meter's record
_SWITCH: Final = "only ovs-vswitchd can do that, and it does not run"


class OtherVersionError(Exception):
    """What was left is of another version of the program, and cannot be understood."""


class _Store(KernelStore):
    """Connections, without a process that settings would come from: those in the maps hold."""

    def settle(self) -> None:
        pass


def find(run_directory: str) -> adopt.Adopted | None:
    """What the switch of that directory has left.  Raises BpfError, OtherVersionError."""
    devices = [index for index, _ in socket.if_nameindex()]
    found = adopt.find(adopt.owner(run_directory), attach.attachments(), devices)
    if found is not None and found.layout != layout_digest():
        found.close()
        raise OtherVersionError
    return found


class LeftDatapath(Sim):
    """A Provider over the maps.  Raises BpfError; TextError if what they say makes no sense."""

    def __init__(self, maps: Mapping[str, Map], clock: Clock) -> None:
        super().__init__(CAPABILITIES.name, clock)
        self._maps = maps
        self.counters = Ports(maps)
        for number, (name, type) in meanings.port_names(maps).items():
            self.port_add(name, type, number)
        self.conntrack.store = _Store(maps, self.conntrack)
        unchecked, _, _ = program.TRACKER.packed.unpack(maps["tracker"].lookup(bytes(4)) or bytes(12))
        self.conntrack.check_sequences = not unchecked
        self._kernel = Flows(maps, None)
        self._found: dict[int, tuple[int, int, tuple[object, ...]]] = {}  # ufid: key, mask, actions
        self._read()

    def _read(self) -> None:
        self._kernel.take_up(self._maps)
        for ufid, flow in self._kernel.flows.items():
            self._found[ufid] = (
                flow.mask.key_named(flow.key),
                flow.mask.whole() | _PACKET_TYPE,
                self._kernel.meanings.actions(flow.statistics),
            )

    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    # ---- looking

    def dump_flows(self) -> Iterator[DatapathFlow]:
        counted = self._kernel.all_statistics()
        for ufid, (key, mask, actions) in sorted(self._found.items()):
            statistics = self._with_others(ufid, counted.get(ufid, Statistics()))
            yield DatapathFlow(ufid, key, mask, actions, statistics)

    def flow(self, ufid: int) -> DatapathFlow | None:
        if ufid not in self._found:
            return None
        statistics = self._with_others(ufid, self._kernel.statistics(ufid))
        return DatapathFlow(ufid, *self._found[ufid], statistics)

    def _with_others(self, ufid: int, counted: Statistics) -> Statistics:
        """With the packets that the switch has forwarded itself, as far as it has said so."""
        packets, octets = self._kernel.beside(ufid)
        return counted._replace(packets=counted.packets + packets, bytes=counted.bytes + octets)

    def statistics(self) -> DatapathStatistics:
        hits, misses, lost = totals(self._maps["scratches"])
        return DatapathStatistics(hits, misses, lost, len(self._found), self._kernel.config.masks)

    def drops(self, number: int) -> dict[str, int]:
        return self.counters.drops(number)

    # ---- ports

    def plug(
        self,
        index: int,
        name: str,
        type: str,
        number: int | None,
        attachments: attach.Attachments,
        program: Program,
    ) -> None:
        """A device becomes a port; `number` None: the lowest that is free.

        Raises DatapathError, OSError.
        """
        number = self.port_add(name, type, number)
        try:
            if number >= MAX_PORTS:
                raise DatapathError("Numerical result out of range")
            meanings.name_port(self._maps, number, name, type)
            self.counters.add(number, index, egress=False)
            attachments.attach(index, program)
        except (DatapathError, OSError):
            self.port_delete(number)
            raise

    def unplug(self, number: int, attachments: attach.Attachments, found: adopt.Adopted) -> None:
        """A port goes; of a tunnel too.  Raises OSError."""
        index, egress = self.counters.device(number)
        if index:
            self.counters.devices[number] = index, egress
            self.counters.stop(number)
            for where, program in {**found.ports, **found.others}.items():
                if where == (index, egress):
                    attachments.detach(index, program, egress=egress)
            self.counters.remove(number)
        for name, port in inherit.tunnels(self._maps).items():
            if port == number:
                self._maps["tunnels"].delete(name.to_bytes(4, "little"))
        meanings.forget_port(self._maps, number)
        self.port_delete(number)

    # ---- changing

    def change_flows(self, changes: Sequence[FlowPut | FlowDelete]) -> list[Statistics | DatapathError]:
        return [self._change(change) for change in changes]

    def _change(self, change: FlowPut | FlowDelete) -> Statistics | DatapathError:
        now = self.clock.monotonic()
        before = self.flow(change.ufid)
        if isinstance(change, FlowDelete):
            if before is None:
                return DatapathError("No such file or directory")
            self._kernel.remove(change.ufid, now)
            del self._found[change.ufid]
            return before.statistics
        try:
            self._put(change, now, there=before is not None)
        except encoding.Slow as error:
            return DatapathError(f"{error}: {_SWITCH}")
        except (FullError, BpfError) as error:
            return DatapathError(str(error))
        self._found[change.ufid] = change.key & change.mask, change.mask, change.actions
        return before.statistics if before is not None else Statistics()

    def _put(self, put: FlowPut, now: float, *, there: bool) -> None:
        """Raises Slow, FullError, BpfError."""
        mask = put.mask & ~_PACKET_TYPE
        if put.key & _PACKET_TYPE:
            raise encoding.Slow("packets without an Ethernet header")
        if problem := beyond(put.key, mask):
            raise encoding.Slow(problem)
        orders = encoding.encode(self._questions(), put.key, mask, put.actions)
        kernel = self._kernel
        if there:
            kernel.change(put.ufid, orders, now, slow=False, actions=put.actions, key=put.key)
        else:
            kernel.add(put.ufid, put.key, mask, orders, now, slow=False, actions=put.actions)

    def _questions(self) -> encoding.Questions:
        tunnels = set(inherit.tunnels(self._maps).values())
        return encoding.Questions(
            cookie=_refuse,
            reachable=lambda port: bool(self.counters.device(port)[0]),
            metered=self._has_meter,
            outer=lambda value: None,
            written=tunnels.__contains__,
            header=lambda port, fields: None,
            layer3=lambda port: False,  # it does not matter: nothing is sent into tunnels from here
            tracking=lambda actions: None,
        )

    def _has_meter(self, number: int) -> bool:
        value = (
            self._maps["meters"].lookup(number.to_bytes(4, "little")) if number < program.MAX_METERS else None
        )
        return value is not None and bool(int.from_bytes(value[4 * _THERE : 4 * _THERE + 4], "little"))


def _refuse(action: object) -> int:
    raise encoding.Slow("action userspace")
