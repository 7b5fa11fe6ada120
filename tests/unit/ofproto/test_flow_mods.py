"""Flow-mods: what each command does, what is refused, what times out."""

import pytest

from support.switches import NoDevices
from trunkline.base.clock import ManualClock
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.acceptance import SUPPORTED
from trunkline.ofproto.fabric import Fabric, RuleChange
from trunkline.ofproto.flow_mods import Flows, Refused, Selection
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod
from trunkline.translate.compile import COMPILERS

TO1, TO2 = (a.Output(1),), (a.Output(2),)
WEB = match(dl_type=0x0800, nw_proto=6, tp_dst=80)
IP = match(dl_type=0x0800)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fabric = Fabric(NoDevices())
        self.flows = Flows("br0", self.fabric, self.clock)

    def mod(self, command: int, match: object, actions: tuple = (), version: int = 4, **more: object) -> list:
        return self.flows.apply(FlowMod(command, match, actions=actions, **more), version, "test")  # type: ignore[arg-type]

    def all(self) -> list[tuple[int, int, tuple, int]]:
        return sorted((r.table, r.priority, r.actions, r.cookie) for r in self.flows.tables.rules())

    def only(self) -> object:
        (rule,) = self.flows.tables.rules()
        return rule


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_add_replaces_and_keeps_counters_from_openflow_12_on(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1)
    bench.only().counters.packets = 7
    bench.mod(of.OFPFC_ADD, WEB, TO2)
    assert (bench.only().actions, bench.only().counters.packets) == (TO2, 7)
    bench.mod(of.OFPFC_ADD, WEB, TO1, flags=of.OFPFF_RESET_COUNTS)
    assert bench.only().counters.packets == 0
    bench.only().counters.packets = 7
    bench.mod(of.OFPFC_ADD, WEB, TO2, version=1)
    assert bench.only().counters.packets == 0


def test_modify_loose_and_strict(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1, priority=5, new_cookie=1)
    bench.mod(of.OFPFC_ADD, IP, TO1, priority=4, new_cookie=2)
    bench.mod(of.OFPFC_MODIFY_STRICT, IP, TO2, priority=4, new_cookie=None)
    assert bench.all() == [(0, 4, TO2, 2), (0, 5, TO1, 1)]
    bench.mod(of.OFPFC_MODIFY, IP, (), new_cookie=9)
    assert bench.all() == [(0, 4, (), 9), (0, 5, (), 9)]


def test_modify_that_meets_nothing_adds_in_openflow_10_only(bench: Bench) -> None:
    bench.mod(of.OFPFC_MODIFY, IP, TO1, version=4)
    assert bench.all() == []
    bench.mod(of.OFPFC_MODIFY, IP, TO1, version=1, new_cookie=3)
    assert bench.all() == [(0, 0x8000, TO1, 3)]


def test_modify_keeps_age_and_counters(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, IP, TO1)
    bench.only().counters.packets = 4
    bench.clock.advance(5)
    bench.mod(of.OFPFC_MODIFY, IP, TO2)
    rule = bench.only()
    assert (rule.created, rule.modified, rule.counters.packets) == (0, 5, 4)


def test_delete_by_match_cookie_port_and_table(bench: Bench) -> None:
    def fill() -> None:
        for table in (0, 3):
            bench.mod(of.OFPFC_ADD, WEB, TO1, table=table, new_cookie=0x10 + table)
            bench.mod(of.OFPFC_ADD, IP, TO2, table=table, new_cookie=0x20 + table)

    for more, left in (
        ({}, 0),
        ({"table": 3}, 2),
        ({"cookie": 0x10, "cookie_mask": 0xF0}, 2),
        ({"out_port": 2}, 2),
        ({"cookie": 0x23, "cookie_mask": 0xFF}, 3),
        ({"out_group": 1}, 4),
    ):
        fill()
        bench.mod(of.OFPFC_DELETE, match(), **more)
        assert len(bench.all()) == left, more
    bench.mod(of.OFPFC_DELETE_STRICT, IP, priority=1)
    assert len(bench.all()) == 4
    bench.mod(of.OFPFC_DELETE_STRICT, IP)
    assert [row[2] for row in bench.all()] == [TO1, TO1]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"table": 254}, "OFPBRC_EPERM"),
        ({"actions": (a.Output(0xFF05),)}, "OFPBAC_BAD_OUT_PORT"),
        ({"actions": (a.GotoTable(0),)}, "OFPBIC_BAD_TABLE_ID"),
        ({"actions": (a.Group(1),)}, "OFPBAC_BAD_OUT_GROUP"),
        ({"actions": (a.WriteActions((a.Exit(),)),)}, "OFPBAC_BAD_TYPE"),
        ({"actions": (a.PushVlan(0x0800),)}, "OFPBAC_BAD_ARGUMENT"),
        ({"flags": of.OFPFF_CHECK_OVERLAP}, "OFPFMFC_OVERLAP"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(bench: Bench, more: dict, error: str) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1)
    before = bench.all()
    with pytest.raises(Refused) as refused:
        bench.mod(of.OFPFC_ADD, IP, **more)
    assert refused.value.error == error
    assert bench.all() == before


def test_every_action_that_is_let_in_can_be_carried_out() -> None:
    assert set(COMPILERS) == SUPPORTED


def test_timeouts_and_who_is_told(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1, idle_timeout=10, flags=of.OFPFF_SEND_FLOW_REM, new_cookie=1)
    bench.mod(of.OFPFC_ADD, IP, TO1, hard_timeout=15, flags=of.OFPFF_SEND_FLOW_REM, new_cookie=2)
    bench.clock.advance(9)
    rule = next(r for r in bench.flows.tables.rules() if r.cookie == 1)
    rule.counters.used = 9.0  # a packet
    bench.clock.advance(2)
    assert bench.flows.next_deadline() == 10
    assert bench.flows.expire(bench.clock.monotonic()) == []
    assert bench.flows.next_deadline() == 15
    bench.clock.advance(8)
    told = bench.flows.expire(bench.clock.monotonic())
    assert [(message.cookie, message.reason) for message in told] == [
        (2, of.OFPRR_HARD_TIMEOUT),
        (1, of.OFPRR_IDLE_TIMEOUT),
    ]
    assert bench.all() == []
    assert bench.flows.next_deadline() is None


def test_a_change_stands_in_the_journal(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1, table=4)
    assert bench.fabric.changes == [RuleChange("br0", 4, WEB.value, WEB.mask)]


def test_selection_for_statistics(bench: Bench) -> None:
    bench.mod(of.OFPFC_ADD, WEB, TO1, new_cookie=5)
    bench.mod(of.OFPFC_ADD, IP, TO2, table=1)
    assert len(list(bench.flows.select(Selection(match())))) == 2
    assert len(list(bench.flows.select(Selection(WEB)))) == 1
    assert len(list(bench.flows.select(Selection(match(), table=1)))) == 1
    assert len(list(bench.flows.select(Selection(match(), out_port=1)))) == 1
