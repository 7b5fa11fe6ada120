"""Megaflows of random pipelines are sound: packets that differ only in bits nobody looked at fare alike."""

import random
from typing import Any

import pytest

from support.pipelines import Maker
from support.switches import Lab, OurSwitch, PortSpec
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.groups import Group
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.translate.translate import translate

LAB = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3, 4)))
PIPELINES, PACKETS, OTHERS = 25, 30, 6


@pytest.mark.parametrize("more", [False, True])
def test_bits_that_were_not_looked_at_do_not_matter(more: bool) -> None:
    """`more`: with headers that go on and off, parts of tags, connection tracking and learning."""
    tried = changing = 0
    for seed in range(PIPELINES):
        maker = Maker(random.Random(seed), frozenset() if more else frozenset(("learn",)), more=more)
        ours = OurSwitch()
        bridge = set_up(ours, maker)
        keys = [key_of(ours, maker) for _ in range(PACKETS)]
        for key in keys:
            result = translate(bridge, key)
            looked = result.wildcards & layout.PACKET | layout.PIPELINE
            for other in maker.rnd.sample(keys, OTHERS):
                mixed = key & looked | other & ~looked
                if layout.get(mixed, "dl_type") != layout.get(key, "dl_type"):
                    continue
                tried += 1
                changing += mixed != key
                assert course(translate(bridge, mixed).actions, mixed) == course(result.actions, mixed), seed
    assert changing > tried / 2


def test_an_explanation_changes_nothing() -> None:
    """With one, each table is a call; without, a turn of a loop: actions, bits, effects and reads agree."""
    deep = 0
    for seed in range(PIPELINES):
        maker = Maker(random.Random(seed + 100), frozenset())
        ours = OurSwitch()
        bridge = set_up(ours, maker)
        for key in (key_of(ours, maker) for _ in range(PACKETS)):
            plain = translate(bridge, key)
            explained = translate(bridge, key, [], telling=True)
            assert plain._replace(complaints=()) == explained._replace(recirculations=()), seed
            deep += len(plain.lookups) > 2
    assert deep > PIPELINES * PACKETS / 10


def set_up(ours: OurSwitch, maker: Maker) -> Bridge:
    pipeline = maker.pipeline(30)
    ours.build(LAB)
    bridge = ours.bridges["br0"]
    bridge.flows.clear()
    for text in pipeline.groups:
        mod = parse_group(text, 0).mod
        bridge.groups[mod.group] = Group(mod.group, mod.type, mod.buckets, mod.selection, 0.0)
    for text in pipeline.flows:
        bridge.flows.apply(parse_flow(text, 0).mod, 6, "test")
    return bridge


def key_of(ours: OurSwitch, maker: Maker) -> int:
    port = maker.rnd.randint(1, 4)
    found = ours.datapath.key_for(ours.sim.key_of(maker.frame(), ours.numbers[f"p{port}"]))
    assert found is not None
    return found[1]


def course(actions: tuple[Any, ...], packet: int) -> list[Any]:
    """What happens to a packet: a set action that names more bits may do the same as one with fewer."""
    steps: list[Any] = []
    for action in actions:
        if isinstance(action, dp.Set):
            packet = packet & ~action.mask | action.value
        elif isinstance(action, dp.Clone):
            steps.append(course(action.actions, packet))
        elif isinstance(action, dp.CheckLength):
            steps.append((course(action.greater, packet), course(action.less_equal, packet)))
        else:
            steps.append((action, packet))
    return steps
