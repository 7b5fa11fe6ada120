"""Between the bridges and a datapath: misses, the megaflow cache, revalidation, statistics, time.

A packet that the datapath has no megaflow for comes up.  It is translated, the result is put into the
datapath as a megaflow, and the packet is sent on its way by the same actions.  The effects of the
translation are applied for that packet, and again for the packets that the datapath has counted, whenever
statistics are fetched.

A change in a bridge stands in the fabric's journal.  Of all megaflows only those that have read what
changed are translated again; a megaflow whose actions and mask stay is left in place, another is replaced
or goes.

All of this may be much at once: a change may concern every megaflow, each of which may have statistics to be
pushed.  So there are three queues (misses in the datapath, megaflows to be translated again, megaflows that
packets have gone through), and `run` takes from each in turn, as long as its budget lasts.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.dpif.actions import Cookie
from trunkline.dpif.provider import (
    DatapathError,
    DatapathFlow,
    DatapathStatistics,
    FlowDelete,
    FlowPut,
    Provider,
    Statistics,
    Upcall,
)
from trunkline.flow import key as layout
from trunkline.flow.key_text import flow_mask
from trunkline.ofproto import flow_monitors
from trunkline.ofproto.bridge import EVENTS, Bridge
from trunkline.ofproto.fabric import CAUSES, Fabric, causes
from trunkline.openflow.actions import Action
from trunkline.openflow.continuations import Continuation
from trunkline.packet.packet import Packet
from trunkline.translate.frozen import recirculations_in
from trunkline.translate.result import Result, SendToController
from trunkline.translate.translate import DROP_REASONS, translate
from trunkline.translate.userspace import SLOW, slow_path
from trunkline.upcall.controllers import FromController, packet_in, resumed, sent_out
from trunkline.upcall.driver import Driver, Nobody
from trunkline.upcall.effects import apply, apply_snooping, sort, true_still
from trunkline.upcall.megaflows import Index, Megaflow
from trunkline.upcall.taking_up import Left, TakingUp

_DP_PORT: Final = layout.OFFSET["dp_in_port"]
_IN_PORT: Final = layout.OFFSET["in_port"]
_RECIRC: Final = layout.OFFSET["recirc_id"]
_IN_PORT_MASK: Final = layout.MASK["in_port"]
_METADATA: Final = layout.bits(
    "dp_in_port", "recirc_id", "dp_hash", "pkt_mark", "skb_priority", "packet_type", "ct_state", "ct_zone",
    "ct_mark", "ct_label", "vlan_tci", "dl_type",
)  # fmt: skip
_NEIGHBOUR: Final = layout.bits("nd_target")
_EXTENSION: Final = layout.bits("nd_reserved", "nd_options_type")
_IN_KERNEL: Final = "system"
_BATCH: Final = 64  # of anything, between two looks at the other queues
_FIRST: Final = 8  # upcalls that come before anything else
_FRESH: Final = 8  # translations that a batch of upcalls is compared with
_FETCH: Final = 0.5  # seconds between two fetches of statistics
_EXPIRY: Final = 0.1  # seconds between two looks at who has timed out


_NOBODY: Final = Nobody()


def _exact(key: int) -> int:
    """The bits of a packet that can tell it from others."""
    extension = _EXTENSION if key & _NEIGHBOUR else 0  # which nobody prints
    return flow_mask(key) | _METADATA | extension


def _for_datapath(bridge: Bridge, result: Result) -> tuple[object, ...]:
    """The actions of a megaflow: what was translated, or that its packets shall come up."""
    return slow_path(bridge) if result.slow else result.actions


class Datapath:
    """The bridges of `fabric` on one datapath; `type_name` as ``dpif/show`` has it before the @.

    `note` is what a person should know of it; commands that show the datapath show it.  Events are counted
    in `counters`.
    """

    def __init__(
        self,
        type_name: str,
        provider: Provider,
        fabric: Fabric,
        clock: Clock,
        note: str = "",
        counters: Counters | None = None,
        driver: Driver = _NOBODY,
    ) -> None:
        counters = counters if counters is not None else Counters()
        self._translations = counters.counter("xlate_actions")
        self._executions = counters.counter("dpif_execute")
        self._flow_puts = counters.counter("dpif_flow_put")
        self._flow_deletions = counters.counter("dpif_flow_del")
        self._causes = {cause: counters.counter(cause) for cause in CAUSES}
        self.type_name = type_name
        self.note = note
        self.provider = provider
        self.fabric = fabric
        self.clock = clock
        self.max_idle = 10.0
        self.flow_limit = 200_000
        self.megaflows: dict[int, Megaflow] = {}
        self.upcalls = 0
        self._index = Index()
        self._next_ufid = 1
        self._by_hand: dict[int, int] = {}  # flows that somebody else has put in
        self._altered: set[int] = set()  # megaflows of ours whose actions somebody has changed
        self.holding = False  # packets that come up are dropped: flow-restore-wait
        self.paused = False  # then nothing is revalidated, nothing expires
        self.ufid_on = True  # as upcall/show says it
        self.megaflows_on = True  # else each flow is for the very packet that made it
        self._next_fetch = clock.monotonic() + _FETCH
        self.most_megaflows = 0
        self.average_megaflows = 0
        self.counted_before = DatapathStatistics(0, 0, 0, 0, 0)  # what dpif-netdev/pmd-stats-show leaves out
        self.fetch_seconds = 0.0
        self._round_began = 0.0
        self._rounds = 0  # that have ended
        self._expiring: int | None = None  # the round after which flows and addresses may expire
        self._expire_after = 0.0
        self._concerned: dict[int, None] = {}  # ufids of megaflows that are to be translated again
        self._round: Iterator[tuple[int, Statistics]] | None = None  # statistics that are being pushed
        self._ages: dict[int, None] = {}  # all ufids, those first that have not been used for longest
        self._taking_up: TakingUp | None = None
        self._driver = driver
        fabric.execute = self._packet_out
        fabric.resume = self._resume
        fabric.refresh = self.fetch_statistics
        fabric.conntrack = provider.conntrack
        fabric.meters = provider.meters
        fabric.counters = counters
        fabric.tunnels.can_push = {"tnl_push", "tnl_pop"} <= provider.capabilities().actions
        fabric.tunnels.pushes = fabric.tunnels.can_push
        fabric.tunnels.set_source_ports = provider.set_tunnel_source_ports
        provider.set_tunnel_source_ports(fabric.tunnels.shared.source_ports)
        provider.count_in(counters)
        for name in (*(f"drop_action_{reason}" for reason in DROP_REASONS), *EVENTS):
            counters.counter(name)

    # ---- driving

    def take_up(self, left: Iterable[Left], done: Callable[[], None]) -> None:
        """Takes up what an earlier process has left, little by little; then calls `done`, in `run`."""
        self._taking_up = TakingUp(left, done)

    def run(self, now: float | None = None, budget: float | None = None) -> None:
        """Does what is due: changes, upcalls, statistics, expiry.  To be called after packets, after changes
        and at `next_timer()`.

        With a `budget`, in seconds, it may leave a part of it; `next_timer()` is now, then.
        """
        now = self.clock.monotonic() if now is None else now
        end = math.inf if budget is None else now + budget
        self.provider.run(now)
        while self._taking_up is not None:
            self._take_up_some(self._taking_up, now)
            if self.clock.monotonic() >= end:
                return
        if self.paused:
            while self._handle_some(now) and self.clock.monotonic() < end:
                pass
            return
        if self._expiring is None and self._ripe(now):
            self._expiring = self._rounds + (2 if self._round is not None else 1)
            self._round = self._round or self._begin_round()
        if now >= self._next_fetch:
            self._next_fetch = now + _FETCH
            self._round = self._round or self._begin_round()
            self.fabric.recirculations.sweep()
        while True:
            if self.fabric.changes:
                self._note_changes()
            busy = self._translate_some()
            busy |= self._handle_some(now)
            busy |= self._push_some(now)
            if not busy or self.clock.monotonic() >= end:
                break
        if budget is None:
            self.revalidate()

    def meet(self) -> None:
        """Sends the first of the packets that have come up on their way, before anything else that is due:
        somebody waits for them.  `run` is to follow."""
        if self._taking_up is None:
            self._handle_some(self.clock.monotonic(), _FIRST)

    def attend(self) -> None:
        """Deals with packets as they come in, and tells the driver."""
        self.run()
        self._driver.stirred()

    def _take_up_some(self, taking_up: TakingUp, now: float) -> None:
        """One step: megaflows, then what the addresses that they have taught change about them, then the
        end of it."""
        if not self.megaflows:
            self._note_changes()  # what was made up to here concerns nobody
        if taking_up.some(self, _BATCH, now):
            return
        if self.fabric.changes:
            self._note_changes()
        if not self._translate_some():
            self._taking_up = None
            taking_up.done()

    def _ripe(self, now: float) -> list[Bridge]:
        """The bridges that have flows or addresses whose time may be over."""
        if now < self._expire_after:
            return []
        bridges = list(self.fabric.bridges.values())
        return [one for one in bridges if (due := one.next_timer()) is not None and due <= now]

    def _expire_rules(self, now: float) -> None:
        """Flows and addresses; with fresh statistics, for a packet puts off their end; not too often."""
        self._expire_after = now + _EXPIRY
        for bridge in self._ripe(math.inf):
            bridge.run(now)
            if bridge.flows.changes:
                flow_monitors.report(bridge)

    def next_timer(self) -> float | None:
        """When `run` is due again, if nothing happens before; None: not until something happens."""
        if self._taking_up is not None:
            return self.clock.monotonic()
        if self.paused:
            return self.clock.monotonic() if self.provider.waiting() else self.provider.next_timer()
        if self._concerned or self.fabric.changes or self._round is not None or self.provider.waiting():
            return self.clock.monotonic()
        timers = [bridge.next_timer() for bridge in self.fabric.bridges.values()]
        due = [max(when, self._expire_after) for when in timers if when is not None]
        if self.megaflows or self._by_hand or len(self.fabric.recirculations):
            due.append(self._next_fetch)
        if (when := self.provider.next_timer()) is not None:
            due.append(when)
        return min(due) if due else None

    # ---- misses

    def key_for(self, key: int) -> tuple[Bridge, int] | None:
        """The bridge that a datapath key belongs to, and the key with the OpenFlow port in it."""
        place = self.fabric.by_datapath_port.get(key >> _DP_PORT & 0xFFFFFFFF)
        if place is None:
            tunnel = self.fabric.tunnels.find(key)
            if tunnel is None:
                return self._frozen_place(key)
            return tunnel.bridge, key & layout.PACKET | tunnel.ofport << _IN_PORT
        return place.bridge, key & layout.PACKET | place.ofport << _IN_PORT

    def _frozen_place(self, key: int) -> tuple[Bridge, int] | None:
        """Of a packet whose tunnel's fields have changed before it was looked at anew."""
        frozen = self.fabric.recirculations.get(key >> _RECIRC & 0xFFFFFFFF)
        bridge = self.fabric.bridges.get(frozen.bridge) if frozen is not None else None
        if frozen is None or bridge is None:
            return None
        return bridge, key & layout.PACKET | frozen.metadata & _IN_PORT_MASK

    def _handle_some(self, now: float, limit: int = _BATCH) -> bool:
        """Some upcalls; False if there are none."""
        upcalls = self.provider.upcalls(limit)
        if not upcalls:
            return False
        if self.holding:
            return True
        fresh: dict[tuple[int, int], Result] = {}  # what this batch has translated, by mask and masked key
        for upcall in upcalls:
            self._handle(upcall, now, fresh)
            if self.fabric.changes:
                fresh.clear()
                self._note_changes()
        return True

    def _handle(self, upcall: Upcall, now: float, fresh: dict[tuple[int, int], Result]) -> None:
        self.upcalls += 1
        if upcall.action is not None:
            what = upcall.action.what
            if isinstance(what, SendToController):
                self._to_controller(upcall, what)
            elif isinstance(what, Cookie) and what.kind == SLOW:
                self._slowly(upcall)
            return  # nobody takes samples yet
        found = self.key_for(upcall.key)
        octets = len(upcall.packet.frame)
        if found is None:
            return  # from a port that no bridge has any more
        bridge, key = found
        packet_key = key & layout.PACKET
        known = [result for (mask, value), result in fresh.items() if packet_key & mask == value]
        if not self.megaflows_on:
            known = []
        if known:
            result = known[0]
        else:
            result = translate(bridge, key)
            self._translations.total += 1
            if result.complaints:
                self._driver.complain(bridge, key, result)
        self.provider.execute(upcall.packet, upcall.key, result.actions, upcall.known)
        apply(sort(result.effects), 1, octets, now)  # the packet went first: somebody waits for it
        if result.slow:
            apply_snooping(result.effects, upcall.packet.frame, now)
        if known:
            return
        if len(self.megaflows) < self.flow_limit:
            self.install(bridge, key, result, now)
        if len(fresh) < _FRESH and not result.slow:
            mask = result.wildcards & layout.PACKET
            fresh[mask, packet_key & mask] = result

    def carry_out(self, packet: Packet, key: int, result: Result) -> None:
        """Does for one packet what its translation says; leaves no megaflow."""
        if result.complaints:
            self._driver.complain(None, key, result)
        apply(sort(result.effects), 1, len(packet.frame), self.clock.monotonic())
        if result.slow:
            apply_snooping(result.effects, packet.frame, self.clock.monotonic())
        self._executions.total += 1
        self.provider.execute(packet, key & layout.PACKET, result.actions)

    def install(self, bridge: Bridge, key: int, result: Result, now: float) -> Megaflow | None:
        """Puts the result of a translation into the datapath, as a megaflow; None: another covers it."""
        mask = (result.wildcards if self.megaflows_on else _exact(key)) & layout.PACKET
        actions = _for_datapath(bridge, result)
        ufid = self._next_ufid
        self._flow_puts.total += 1
        outcome = self.provider.change_flows([FlowPut(ufid, key & mask, mask, actions)])[0]
        if isinstance(outcome, DatapathError):
            return None  # one that covers it came in the same batch
        self._next_ufid += 1
        megaflow = self.megaflows[ufid] = Megaflow(ufid, key, mask, actions, bridge.name, result, now)
        self._ages[ufid] = None
        if numbers := recirculations_in(result.actions):
            self.fabric.recirculations.hold(numbers)
        self._index.add(ufid, result.reads, result.lookups)
        self.most_megaflows = max(self.most_megaflows, len(self.megaflows))
        return megaflow

    def _slowly(self, upcall: Upcall) -> None:
        """A packet of a megaflow whose actions the datapath leaves to the switch; its statistics count it."""
        found = self.key_for(upcall.key)
        if found is None:
            return
        bridge, key = found
        result = translate(bridge, key)
        if result.complaints:
            self._driver.complain(None, key, result)
        apply_snooping(result.effects, upcall.packet.frame, self.clock.monotonic())
        self._translations.total += 1
        self._executions.total += 1
        self.provider.execute(upcall.packet, upcall.key, result.actions, upcall.known)

    def _to_controller(self, upcall: Upcall, what: SendToController) -> None:
        frozen = self.fabric.recirculations.get(what.frozen) if what.paused else None
        if what.paused and frozen is None:
            return  # it has waited too long for somebody to look at it
        what.bridge.clients.tell(packet_in(upcall, what, frozen), what.controller_id)

    def _resume(self, bridge: Bridge, data: bytes, metadata: int, state: Continuation) -> None:
        """A packet goes on where its walk stopped for a controller."""
        self._translated(resumed(self.provider, bridge, data, metadata, state))

    def _packet_out(self, bridge: Bridge, metadata: int, packet: Packet, actions: tuple[Action, ...]) -> None:
        self._translated(sent_out(self.provider, bridge, metadata, packet, actions))

    def _translated(self, sent: FromController) -> None:
        self._translations.total += 1
        self.carry_out(*sent)

    # ---- changes

    def revalidate(self) -> None:
        """Brings the megaflows up to the present configuration."""
        while self.fabric.changes or self._concerned:
            self._note_changes()
            self._translate_some()

    def _note_changes(self) -> None:
        """Which megaflows the journal concerns."""
        changes, self.fabric.changes = self.fabric.changes, []
        for cause in causes(changes):
            self._causes[cause].add()
        if self.megaflows:
            for ufid in self._index.concerned(dict.fromkeys(changes)):
                self._concerned[ufid] = None
                self.megaflows[ufid].effects = None

    def _translate_some(self) -> bool:
        """Translates some of the megaflows again that a change concerns; False if there are none."""
        concerned = self._concerned
        if not concerned:
            return False
        ufids = list(islice(concerned, _BATCH))
        for ufid in ufids:
            del concerned[ufid]
        self._translate_again(ufids)
        return True

    def _translate_again(self, ufids: Iterable[int]) -> None:
        changes: list[FlowPut | FlowDelete] = []
        for ufid in ufids:
            megaflow = self.megaflows.get(ufid)
            if megaflow is None:
                continue
            found = self.key_for(megaflow.key)
            if found is None or found[0].name != megaflow.bridge:
                megaflow.effects = sort(true_still(megaflow.result.effects, ()))
                changes.append(FlowDelete(ufid))
                continue
            bridge, key = found
            result = translate(bridge, key)
            self._translations.total += 1
            mask = result.wildcards if self.megaflows_on else _exact(key)
            if mask & layout.PACKET != megaflow.mask:
                megaflow.effects = sort(true_still(megaflow.result.effects, result.effects))
                changes.append(FlowDelete(ufid))
                continue
            actions = _for_datapath(bridge, result)
            if actions != megaflow.actions or ufid in self._altered:
                self._altered.discard(ufid)
                changes.append(
                    FlowPut(ufid, megaflow.key & megaflow.mask, megaflow.mask, actions, replace=True)
                )
            self._renew(megaflow, key, result, actions)
        self._change(changes)

    def _renew(self, megaflow: Megaflow, key: int, result: Result, actions: tuple[object, ...]) -> None:
        """What went through so far is counted by the old effects, what follows by the new.  It teaches only
        what is still true: addresses may just have been forgotten for the change."""
        self._index.remove(megaflow.ufid, megaflow.result.reads, megaflow.result.lookups)
        self._index.add(megaflow.ufid, result.reads, result.lookups)
        if result.effects != megaflow.result.effects:
            megaflow.effects = sort(true_still(megaflow.result.effects, result.effects))
            self._fetch_one(megaflow)
        if result.actions != megaflow.result.actions:
            self.fabric.recirculations.hold(recirculations_in(result.actions))
            self.fabric.recirculations.release(recirculations_in(megaflow.result.actions))
        megaflow.key = key
        megaflow.result = result
        megaflow.effects = None
        megaflow.actions = actions

    def _fetch_one(self, megaflow: Megaflow) -> None:
        flow = self.provider.flow(megaflow.ufid)
        if flow is not None:
            self._push(megaflow, flow.statistics)

    def _change(self, changes: list[FlowPut | FlowDelete]) -> None:
        outcomes = self.provider.change_flows(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(change, FlowPut):
                self._flow_puts.total += 1
            else:
                self._flow_deletions.total += 1
                megaflow = self.megaflows.pop(change.ufid)
                del self._ages[change.ufid]
                self._index.remove(megaflow.ufid, megaflow.result.reads, megaflow.result.lookups)
                self.fabric.recirculations.release(recirculations_in(megaflow.result.actions))
                if isinstance(outcome, Statistics):
                    self._push(megaflow, outcome)

    # ---- statistics and time

    @property
    def title(self) -> str:
        """As commands name it: type@name."""
        return f"{self.type_name}@{self.provider.capabilities().name}"

    def port_counters(self, number: int) -> object | None:
        """A PortStatistics of a datapath port; None: nobody knows of it."""
        place = self.fabric.by_datapath_port.get(number)
        return None if place is None else place.bridge.port_statistics(place.ofport)

    def fetch_statistics(self) -> None:
        """Pushes what the datapath has counted since the last time to rules, ports and addresses."""
        now = self.clock.monotonic()
        while self._round is not None:
            self._push_some(now)
        self._round = self._begin_round()
        while self._round is not None:
            self._push_some(now)
        self._driver.counted()

    def _begin_round(self) -> Iterator[tuple[int, Statistics]]:
        self._round_began = self.clock.monotonic()
        return self.provider.used_flows()

    def _push_some(self, now: float) -> bool:
        """Some of a round of statistics; False if none is on its way.  At its end megaflows that have not
        been used for long go."""
        if self._round is None:
            return False
        if self.fabric.changes:
            self._note_changes()
        some = list(islice(self._round, _BATCH))
        for ufid, statistics in some:
            megaflow = self.megaflows.get(ufid)
            if megaflow is not None:
                self._push(megaflow, statistics)
        if len(some) == _BATCH:
            return True
        self._round = None
        self.average_megaflows = (self.average_megaflows + len(self.megaflows)) // 2
        self.fetch_seconds = self.clock.monotonic() - self._round_began
        self._rounds += 1
        self._expire(now)
        self._take_out_foreign()
        if self._expiring is not None:
            if self._rounds < self._expiring:
                self._round = self._begin_round()
                return True
            self._expiring = None
            self._expire_rules(now)
        return bool(some)

    def _push(self, megaflow: Megaflow, statistics: Statistics) -> None:
        packets = statistics.packets - megaflow.packets
        if packets <= 0 or statistics.used is None:
            return
        octets = statistics.bytes - megaflow.bytes
        megaflow.packets = statistics.packets
        megaflow.bytes = statistics.bytes
        megaflow.used = max(megaflow.used, statistics.used)
        if megaflow.ufid in self._ages:
            del self._ages[megaflow.ufid]
            self._ages[megaflow.ufid] = None
        effects = megaflow.effects
        if effects is None:
            known = megaflow.result.effects
            stale = megaflow.ufid in self._concerned
            effects = megaflow.effects = sort(true_still(known, ()) if stale else known)
        apply(effects, packets, octets, statistics.used)
        self.provider.passed_on(megaflow.ufid, statistics)

    def _expire(self, now: float) -> None:
        """Takes out the megaflows that have not been used for long."""
        old: list[FlowPut | FlowDelete] = []
        for ufid in self._ages:
            if now - self.megaflows[ufid].used < self.max_idle:
                break
            old.append(FlowDelete(ufid))
        if old:
            self._change(old)

    def purge(self) -> None:
        """Takes all megaflows out of the datapath; what they have counted is kept."""
        self._note_changes()
        self._change([FlowDelete(ufid) for ufid in list(self.megaflows)])
        self._take_out_foreign()

    # ---- flows that somebody puts in by hand

    def put_by_hand(self, put: FlowPut, key: int) -> Statistics | DatapathError:
        """A flow that no translation stands behind; it is taken out at the end of the next round.

        `key` is that of packets like those it is for, for showing it.
        """
        outcome = self.provider.change_flows([put])[0]
        if isinstance(outcome, DatapathError):
            return outcome
        if put.ufid not in self.megaflows:
            self._by_hand.setdefault(put.ufid, key)
        else:  # translating it again puts its actions right
            self._altered.add(put.ufid)
            self._concerned[put.ufid] = None
        return outcome

    def delete_by_hand(self, ufid: int) -> Statistics | None:
        """What the flow has counted; None: there is none of that name."""
        flow = self.provider.flow(ufid)
        if flow is None:
            return None
        if ufid in self.megaflows:
            self._change([FlowDelete(ufid)])
        else:
            self._by_hand.pop(ufid, None)
            self.provider.change_flows([FlowDelete(ufid)])
        return flow.statistics

    def whole_key(self, flow: DatapathFlow) -> int:
        """A key of the packets of a flow; what its mask leaves open may say how the rest is to be shown.

        Of a datapath in the kernel nobody knows that: it keeps what flows match, as the original's does.
        """
        if self.type_name == _IN_KERNEL:
            return flow.key & flow.mask
        megaflow = self.megaflows.get(flow.ufid)
        key = megaflow.key if megaflow is not None else self._by_hand.get(flow.ufid, flow.key)
        return key & layout.PACKET

    def _take_out_foreign(self) -> None:
        self.provider.change_flows([FlowDelete(ufid) for ufid in self._by_hand])
        self._by_hand.clear()

    def use_megaflows(self, on: bool) -> None:
        """Off: every flow is for packets that are alike in all bits.  The flows that there are go."""
        self.megaflows_on = on
        self.purge()

    def close(self) -> None:
        self.purge()
        self.provider.close()
