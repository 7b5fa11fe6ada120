"""Every line of an explanation has its data beside it (docs/design/explanations.md)."""

import random
from collections.abc import Iterator

from support.pipelines import Maker
from support.switches import Lab, OurSwitch, PortSpec
from trunkline.ofproto.groups import Group
from trunkline.ofproto.rules import Rule
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.translate.action_set import EXECUTING
from trunkline.translate.explain import action_text, lines, rule_text
from trunkline.translate.result import (
    ACTION,
    BRIDGE,
    BUCKET,
    DETAIL,
    TABLE,
    Chosen,
    Node,
    Unroll,
    Visited,
    Written,
)
from trunkline.translate.translate import translate

LAB = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3, 4)))


def walk(nodes: list[Node], bridge: str = "") -> Iterator[tuple[str, Node]]:
    """All nodes, each with the bridge that it is in."""
    for node in nodes:
        inside = str(node.what) if node.kind == BRIDGE else bridge
        yield inside, node
        yield from walk(node.children, inside)


def test_every_line_has_its_data() -> None:
    ours, seen = OurSwitch(), dict.fromkeys((BRIDGE, TABLE, BUCKET, ACTION, "written", "missed", "set"), 0)
    for seed in range(15):
        maker = Maker(random.Random(seed))
        pipeline = maker.pipeline(30)
        ours.build(LAB)
        bridge = ours.bridges["br0"]
        bridge.flows.clear()
        for text in pipeline.groups:
            mod = parse_group(text, 0).mod
            bridge.groups[mod.group] = Group(mod.group, mod.type, mod.buckets, mod.selection, 0.0)
        for text in pipeline.flows[:-3]:  # without the last tables' flows for all other packets
            bridge.flows.apply(parse_flow(text, 0).mod, 6, "the test")
        for _ in range(25):
            port = maker.rnd.randint(1, 4)
            found = ours.datapath.key_for(ours.sim.key_of(maker.frame(), ours.numbers[f"p{port}"]))
            assert found is not None
            why: list[Node] = []
            translate(bridge, found[1], why)
            nodes = list(walk(why))
            assert len(nodes) == sum(1 for line in lines(why) if line.strip("- ") or "--." in line)
            for inside, node in nodes:
                check(inside, node, seen)
    assert all(seen.values()), seen


def check(bridge: str, node: Node, seen: dict[str, int]) -> None:
    what = node.what
    if node.kind == TABLE and node.text == EXECUTING:
        assert isinstance(what, tuple)
        seen["set"] += 1
    elif node.kind == TABLE:
        assert isinstance(what, Visited)
        assert what.bridge == bridge
        assert node.text == f"{what.table:2d}. {rule_text(what.rule, True)}"
        assert what.rule is None or (isinstance(what.rule, Rule) and what.rule.origin == "the test")
        seen["missed"] += what.rule is None
        seen[TABLE] += 1
    elif node.kind == BUCKET:
        assert isinstance(what, Chosen)
        assert node.text == f"bucket {what.bucket}"
        seen[BUCKET] += 1
    elif node.kind == ACTION and node.text != "drop" and not isinstance(what, Unroll):
        assert what is not None
        assert node.text == action_text(what)  # type: ignore[arg-type]
        seen[ACTION] += 1
    elif node.kind == DETAIL and " is now " in node.text:
        assert isinstance(what, Written)
        seen["written"] += 1
    elif node.kind == BRIDGE:
        seen[BRIDGE] += 1
