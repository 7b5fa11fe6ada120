"""The kernel's program does what `sim` does: the same random packets and flows, given to both."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.frames import random_frame
from support.kernel_datapath import (
    ALWAYS,
    RECIRCULATIONS,
    Both,
    difference,
    marker,
    random_actions,
    random_mask,
)
from trunkline.bpf import probe
from trunkline.dpif.provider import FlowPut
from trunkline.flow import key as layout

pytestmark = pytest.mark.system
LEAST = 18  # bytes of a frame with a tag


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    if obstacle := probe.obstacle():
        pytest.skip(f"NO KERNEL DATAPATH: {obstacle}")
    made = Both(str(tmp_path))
    yield made
    made.close()


def tags(frame: bytes) -> int:
    at = 12
    while frame[at : at + 2] in (b"\x81\0", b"\x88\xa8"):
        at += 4
    return (at - 12) // 4


@pytest.mark.parametrize("limit", [1, 2])
def test_keys_are_the_same(both: Both, limit: int) -> None:
    both.set_vlan_limit(limit)
    rng = random.Random(limit)
    compared = 0
    for _ in range(4000):
        frame = random_frame(rng)
        outcome = both.send(frame) if len(frame) >= LEAST else None
        if outcome is not None:
            assert not difference(*outcome)
            compared += len(outcome[1])
    assert compared > 3000


@pytest.mark.parametrize("part", range(4))
def test_actions_do_the_same(both: Both, part: int) -> None:
    """Also with flows that go up for what the program cannot do: packets take both ways, in turns."""
    compared = 0
    for seed in range(350):
        rng = random.Random(f"{part} {seed}")
        both.set_vlan_limit(rng.choice((1, 2)))
        frame = random_frame(rng)
        if len(frame) < LEAST:
            continue
        key = both.key_of(frame)
        both.put(key, random_mask(rng, key), random_actions(rng, key))
        for number in range(1, RECIRCULATIONS + 1):
            both.put(layout.put(key, "recirc_id", number), ALWAYS, random_actions(rng, key, number))
        outcome = both.send(frame)
        if outcome is not None:
            assert not difference(*outcome), f"part {part}, seed {seed}"
            compared += len(outcome[1])
        both.clear()
    assert compared > 800


def test_what_is_remembered_of_flows_holds_no_longer_than_they_do(both: Both) -> None:
    """Flows come, change and go between packets that mostly were there before."""
    rng = random.Random(5)
    frames: dict[bytes, bytes] = {}  # by Ethernet addresses: flows that look at these are apart
    while len(frames) < 24:
        frame = random_frame(rng)
        if len(frame) >= LEAST and both.send(frame) is not None:
            frames[frame[:12]] = frame
    flows: dict[bytes, FlowPut] = {}
    apart = ALWAYS | layout.bits("dl_src", "dl_dst")
    unknown = 0
    for _ in range(3000):
        addresses, frame = rng.choice(list(frames.items()))
        key, flow, what = both.key_of(frame), flows.get(addresses), rng.random()
        if flow is None and what < 0.4:
            flows[addresses] = both.put(key, random_mask(rng, key) | apart, (marker(rng),))
        elif flow is not None and what < 0.1:
            both.delete(flows.pop(addresses))
        elif flow is not None and what < 0.2:
            both.replace(flow, (marker(rng),))
        outcome = both.send(frame)
        assert outcome is not None
        assert not difference(*outcome)
        unknown += sum(1 for one in outcome[1] if one.action is None)
    assert 100 < unknown < 1500
    assert both.kernel.statistics().hits > 1500


def test_packets_are_counted(both: Both) -> None:
    rng = random.Random(1)
    frame = next(frame for _ in range(1000) if len(frame := random_frame(rng)) > 60 and not tags(frame))
    key = both.key_of(frame)
    both.put(key, ALWAYS, ())
    for _ in range(5):
        both.send(frame)
    [flow] = both.kernel.dump_flows()
    assert (flow.statistics.packets, flow.statistics.bytes) == (5, 5 * len(frame))
    assert [ufid for ufid, _ in both.kernel.used_flows()] == [flow.ufid]
    assert not list(both.kernel.used_flows())
    both.send(frame)
    assert [statistics.packets for _, statistics in both.kernel.used_flows()] == [6]
    assert both.kernel.statistics().hits == 6
    assert both.kernel.drops(7) == {"explicit": 6}


def test_more_actions_than_one_element_holds(both: Both) -> None:
    rng = random.Random(2)
    frame = random_frame(rng).ljust(64, b"\0")
    key = both.key_of(frame)
    actions = tuple(action for _ in range(40) for action in random_actions(rng, key, RECIRCULATIONS, 2))
    both.put(key, layout.bits(*layout.VIEW) & layout.DATAPATH, actions)
    outcome = both.send(frame)
    assert outcome is not None
    assert not difference(*outcome)
    assert len(outcome[1]) > 40
