"""Megaflows of an earlier process are taken up: the same packets go the same way, and none is missed."""

import random

import pytest

from support.switches import Lab, OurSwitch, PortSpec, random_frame, random_lab
from trunkline.flow import key as layout
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod
from trunkline.translate.frozen import recirculations_in
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.taking_up import Left

RECIRC = layout.MASK["recirc_id"]


def left_in(datapath: Datapath) -> list[Left]:
    """What can be read off the datapath of a process that is gone."""
    return [
        Left(flow.key & flow.mask & layout.PACKET, flow.mask, tuple(recirculations_in(flow.actions)))
        for flow in datapath.megaflows.values()
    ]


def flows(datapath: Datapath) -> set[tuple[int, int, str]]:
    """The megaflows that no number of a recirculation stands in."""
    return {
        (flow.mask, flow.key & flow.mask, str(flow.actions))
        for flow in datapath.megaflows.values()
        if not flow.key & flow.mask & RECIRC and not recirculations_in(flow.actions)
    }


def at_home(rnd: random.Random, devices: list[str]) -> tuple[str, bytes]:
    """A port, and a frame from a machine that lives there."""
    frame = random_frame(rnd)
    return devices[frame[11] % len(devices)], frame


@pytest.mark.parametrize("seed", range(12))
def test_the_same_packets_go_the_same_way(seed: int) -> None:
    rnd = random.Random(seed)
    lab = random_lab(rnd)
    first, second = OurSwitch(), OurSwitch()
    devices = [port.name for port in lab.ports if port.peer is None]
    first.build(lab)
    sent = [at_home(rnd, devices) for _ in range(60)]
    for _ in range(2):  # the second time all addresses are known
        for port, frame in sent:
            first.receive(port, frame)
    second.build(lab)
    ended: list[int] = []
    second.datapath.take_up(left_in(first.datapath), lambda: ended.append(len(second.datapath.megaflows)))
    while not ended:
        second.datapath.run()
    assert ended[0] == len(first.datapath.megaflows)
    assert flows(second.datapath) == flows(first.datapath)
    for bridge in lab.bridges:
        assert second.macs(bridge) == first.macs(bridge)
    misses = second.sim.statistics().misses
    known = first.sim.statistics().misses
    for port, frame in sent:
        assert second.receive(port, frame) == first.receive(port, frame)
    assert second.sim.statistics().misses - misses == first.sim.statistics().misses - known


def test_it_is_done_in_steps_and_nothing_else_meanwhile() -> None:
    rnd = random.Random(5)
    lab = random_lab(rnd)
    first, second = OurSwitch(), OurSwitch()
    devices = [port.name for port in lab.ports if port.peer is None]
    first.build(lab)
    for _ in range(200):
        first.receive(*at_home(rnd, devices))
    left = left_in(first.datapath)
    assert len(left) > 64
    second.build(lab)
    ended: list[int] = []
    second.datapath.take_up(left, lambda: ended.append(1))
    steps = 0
    while not ended:
        assert second.datapath.next_timer() == second.clock.monotonic()
        second.datapath.run(budget=0.0)
        steps += 1
    assert steps > 2
    assert len(second.datapath.megaflows) == len(left)


def test_what_recirculates_follows_its_new_number() -> None:
    lab = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3)))
    switches = [OurSwitch(), OurSwitch()]
    for number, switch in enumerate(switches):
        switch.build(lab)
        for unused in range(number * 5):  # so that numbers differ
            switch.fabric.recirculations.id_of(unused)
        tables = switch.bridges["br0"].flows
        again = (a.PushMpls(0x8847), a.PopMpls(0x0800), a.Resubmit(table=1))
        tables.apply(FlowMod(of.OFPFC_ADD, match(dl_type=0x0800), 9, 0, again), 4, "test")
        tables.apply(FlowMod(of.OFPFC_ADD, match(dl_type=0x0800), 9, 1, (a.Output(2),)), 4, "test")
    first, second = switches
    data = random_frame(random.Random(3))
    packet = data[:12] + data[-48:]  # without tags
    assert list(first.receive("p1", packet)) == ["p2"]
    assert len(first.datapath.megaflows) == 2
    ended: list[int] = []
    second.datapath.take_up(left_in(first.datapath), lambda: ended.append(1))
    second.datapath.run()
    assert ended
    assert len(second.datapath.megaflows) == 2
    assert list(second.receive("p1", packet)) == ["p2"]
    assert second.sim.statistics().misses == 0
