"""Long deletions: cut into steps, and yet one change."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow.match import Match, match
from trunkline.model import openflow as of
from trunkline.ofproto import deletions
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.handler import start
from trunkline.ofproto.selection import Selection
from trunkline.openflow import messages as m
from trunkline.openflow.connection import Received
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.monitors import (
    OFPFME_REMOVED,
    OFPFMF_ADD,
    OFPFMF_REMOVED,
    FlowMonitor,
    FlowMonitorRequest,
    FlowUpdate,
    FlowUpdateAbbreviated,
    FlowUpdates,
)

FLOWS = 600


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_MANY", 100)
    monkeypatch.setattr(deletions, "_AT_ONCE", 20)


class Kept:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.version = 4
        self.flow_mod_table_id = False
        self.queued = 0
        self.sent: list[object] = []

    def send(self, message: object, xid: int | None = None) -> int:
        self.sent.append(message)
        return xid or 0

    def refuse(self, received: Received, error: str) -> None:
        raise AssertionError(error)


class Bench:
    """A bridge with many flows in two tables, and two controllers."""

    def __init__(self) -> None:
        self.switch = OurSwitch()
        self.switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2))))
        self.bridge: Bridge = self.switch.bridges["br0"]
        self.connections = [Kept(), Kept()]
        self.clients = [
            self.bridge.clients.attach(one, service=False, origin="test")  # type: ignore[arg-type]
            for one in self.connections
        ]
        self.bridge.flows.clear()
        rnd = random.Random(1)
        for i in range(FLOWS):
            flags = "send_flow_rem," if rnd.random() < 0.3 else ""
            source = ",nw_src=10.0.0.0/8" if rnd.random() < 0.5 else ""
            self.apply(
                f"table={rnd.randrange(2)},{flags}cookie={i % 3},priority={rnd.randrange(9)},"
                f"ip,nw_dst=10.0.{i >> 8}.{i & 255}{source},actions=output:{1 + i % 2}"
            )

    def apply(self, text: str) -> None:
        self.bridge.flows.apply(parse_flow(text, of.OFPFC_ADD).mod, 4, "test")

    def begin(self, text: str, client: int = 0, command: int = of.OFPFC_DELETE) -> Iterator[None] | None:
        mod = parse_flow(text, command).mod
        return start(self.bridge, self.clients[client], Received(1, mod, b""))

    def flows(self) -> list[tuple[int, Match, int]]:
        return sorted((rule.table, rule.match, rule.priority) for rule in self.bridge.flows.tables.rules())

    def told(self) -> list[object]:
        return [one for one in self.connections[0].sent if isinstance(one, m.FlowRemoved)]

    def sizes(self) -> list[int]:
        return [self.bridge.flows.size(table) for table in (0, 1)]


DELETIONS = ("", "table=1", "cookie=1/-1", "ip,nw_dst=10.0.1.0/24", "out_port=2", "ip,nw_src=10.0.0.0/8")


@pytest.mark.parametrize("text", DELETIONS)
def test_what_is_left_and_told_is_as_in_one_step(text: str) -> None:
    whole, cut = Bench(), Bench()
    mod = parse_flow(text, of.OFPFC_DELETE).mod
    removed = whole.bridge.flows.apply(mod, 4, "test")
    steps = deletions.begin(cut.bridge.flows, mod, cut.bridge.clients.tell)
    assert sum(1 for _ in steps) > 2
    assert cut.flows() == whole.flows()
    assert len(cut.flows()) < FLOWS
    assert cut.sizes() == whole.sizes()
    assert cut.bridge.flows.tables.size == whole.bridge.flows.tables.size
    assert [one[:5] for one in cut.told()] == [one[:5] for one in removed]


def test_nobody_sees_a_part_of_it() -> None:
    bench = Bench()
    every, kept = bench.flows(), [one for one in bench.flows() if one[0] == 0]
    rules = {(rule.table, rule.value): rule for rule in bench.bridge.flows.tables.rules()}
    sizes = bench.sizes()
    steps = bench.begin("table=1")
    assert steps is not None
    seen = []
    for _ in steps:
        seen.append(bench.flows())
        gone = seen[-1] == kept
        assert gone or seen[-1] == every
        assert bench.sizes() == ([sizes[0], 0] if gone else sizes)
        tables = bench.bridge.flows.tables
        for (table, value), rule in list(rules.items())[::100]:
            found = tables.tables[table].lookup(value, tables.version)[0] if table in tables.tables else None
            assert found is (None if gone and table else rule) or found in rules.values()
    assert seen[0] == every
    assert seen[-2] == kept
    assert len(seen) > 10


def test_who_changes_the_tables_has_the_rest_done_first() -> None:
    for steps_before in (0, 1, 5):
        bench = Bench()
        steps = bench.begin("")
        assert steps is not None
        for _ in range(steps_before):
            next(steps)
        bench.begin("ip,nw_dst=10.0.0.7,actions=output:1", client=1, command=of.OFPFC_ADD)
        assert [flow[1].value for flow in bench.flows()] == [
            match(packet_type=0, dl_type=0x0800, nw_dst=10 << 24 | 7).value
        ]
        for _ in steps:
            pass
        assert len(bench.flows()) == 1
        assert bench.bridge.flows.pending is None


def test_a_dump_that_has_begun_goes_on() -> None:
    bench = Bench()
    dump = bench.bridge.flows.snapshot(Selection(Match(0, 0)))
    steps = bench.begin("")
    assert steps is not None
    for _ in steps:
        pass
    assert sum(rule is not None for rules in dump for rule in rules) == FLOWS
    assert bench.flows() == []


def test_a_short_one_is_done_at_once() -> None:
    bench = Bench()
    assert bench.begin("ip,nw_dst=10.0.0.7,nw_src=10.0.0.0/8") is None
    assert len(bench.flows()) >= FLOWS - 1


class Watched(Bench):
    """The first client deletes, and both watch flows."""

    def __init__(self) -> None:
        super().__init__()
        for client in self.clients:
            request = FlowMonitorRequest((FlowMonitor(1, OFPFMF_ADD | OFPFMF_REMOVED, Match()),))
            for _ in start(self.bridge, client, Received(7, request, b"")) or ():
                pass
        for connection in self.connections:
            connection.sent.clear()

    def updates(self, client: int) -> list[Any]:
        sent = self.connections[client].sent
        return [update for one in sent if isinstance(one, FlowUpdates) for update in one.updates]


def test_who_watches_is_told_little_by_little() -> None:
    bench = Watched()
    steps = bench.begin("table=1")
    assert steps is not None
    most = told = 0
    for _ in steps:
        now = len(bench.updates(1))
        most, told = max(most, now - told), now
    assert told == FLOWS - len(bench.flows()) > 100
    assert most == deletions._AT_ONCE
    assert {update.event for update in bench.updates(1)} == {OFPFME_REMOVED}
    assert bench.updates(0) == [FlowUpdateAbbreviated(1)]  # who has done it knows what it was


@pytest.mark.parametrize("before", [1, 8])
def test_what_others_have_done_for_him_is_told_before_what_they_change(before: int) -> None:
    bench = Watched()
    steps = bench.begin("")
    assert steps is not None
    for _ in range(before):
        next(steps)
    bench.begin("ip,nw_dst=10.0.0.7,actions=output:1", client=1, command=of.OFPFC_ADD)
    assert [update.event for update in bench.updates(1)[:-1]] == [OFPFME_REMOVED] * FLOWS
    assert bench.updates(1)[-1] == FlowUpdateAbbreviated(1)
    assert [type(update) for update in bench.updates(0)] == [FlowUpdateAbbreviated, FlowUpdate]
    for _ in steps:
        pass
    assert len(bench.updates(1)) == FLOWS + 1
    assert len(bench.flows()) == 1


@pytest.mark.parametrize("before", [1, 8])
def test_a_deletion_whose_client_goes_is_told_whole(before: int) -> None:
    bench = Watched()
    steps = bench.begin("")
    assert steps is not None
    for _ in range(before):
        next(steps)
    del steps
    assert len(bench.updates(1)) == FLOWS
    assert bench.flows() == []


def test_who_begins_to_watch_is_not_told_of_what_had_gone() -> None:
    bench = Watched()
    steps = bench.begin("table=1")
    assert steps is not None
    for _ in range(9):
        next(steps)
    late = bench.bridge.clients.attach(Kept(), service=False, origin="test")  # type: ignore[arg-type]
    request = FlowMonitorRequest((FlowMonitor(1, OFPFMF_REMOVED, Match()),))
    for _ in start(bench.bridge, late, Received(7, request, b"")) or ():
        pass
    for _ in steps:
        pass
    sent = late.connection.sent  # type: ignore[attr-defined]
    assert [one.updates for one in sent if isinstance(one, FlowUpdates)] == [()]
    assert len(bench.updates(1)) == FLOWS - len(bench.flows())
