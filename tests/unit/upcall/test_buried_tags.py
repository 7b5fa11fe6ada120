"""Tags under the two that a key has room for: none is lost, whatever goes on and comes off above them."""

import random
import struct

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod

ADDRESSES = bytes.fromhex("505400000001505400000002")
Tag = tuple[int, int]


def frame(tags: list[Tag]) -> bytes:
    return ADDRESSES + b"".join(struct.pack("!HH", *tag) for tag in tags) + b"\x12\x34" + bytes(46)


def switch_with(steps: list[tuple[a.Action, ...]], vlan_limit: int) -> OurSwitch:
    """br0 does the steps, each in a table of its own (one flow may push two tags at most); br1 pops one."""
    switch = OurSwitch(vlan_limit=vlan_limit)
    patches = (PortSpec("br0", "a", 8, peer="b"), PortSpec("br1", "b", 9, peer="a"))
    ports = (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2), PortSpec("br1", "p3", 3))
    switch.build(Lab(("br0", "br1"), (*ports, *patches)))
    for table, actions in enumerate(steps):
        flow = FlowMod(of.OFPFC_ADD, match(), 1, table, (*actions, a.Resubmit(table=table + 1)))
        switch.bridges["br0"].flows.apply(flow, 1, "test")
    behind: tuple[a.Action, ...] = (a.StripVlan(), a.Output(3))
    switch.bridges["br1"].flows.apply(FlowMod(of.OFPFC_ADD, match(), 1, 0, behind), 1, "test")
    return switch


def test_tags_that_come_and_go_leave_the_others_alone() -> None:
    """Random pushes and pops, an output after each, beside a plain list of tags."""
    rnd = random.Random(5)
    most = 0
    for _ in range(200):
        limit = rnd.choice((1, 2))
        came = [(rnd.choice((0x8100, 0x88A8)), rnd.randrange(1, 4095)) for _ in range(rnd.randrange(4))]
        tags, visible = list(came), min(len(came), limit)
        steps: list[tuple[a.Action, ...]] = []
        wanted: dict[str, list[bytes]] = {"p2": [], "p3": []}
        for _ in range(rnd.randrange(1, 7)):
            if visible and rnd.random() < 0.3:
                steps.append((a.StripVlan(), a.Output(2), a.Output(8)))
                del tags[0]
                visible -= 1
            else:
                tpid, vid = rnd.choice((0x8100, 0x88A8)), rnd.randrange(1, 4095)
                steps.append((a.PushVlan(tpid), a.SetVlanVid(vid), a.Output(2), a.Output(8)))
                tags.insert(0, (tpid, vid))
                visible += 1
            wanted["p2"].append(frame(tags))
            wanted["p3"].append(frame(tags[1:] if visible else tags))
            most = max(most, visible)
        assert switch_with(steps, limit).receive("p1", frame(came)) == wanted, (limit, came, steps)
    assert most > 4


def test_more_tags_than_can_be_kept_drop_the_packet() -> None:
    push = (a.PushVlan(0x8100), a.SetVlanVid(7))
    came: list[Tag] = [(0x8100, 5)]
    assert len(switch_with([*[push] * 7, (a.Output(2),)], 1).receive("p1", frame(came))["p2"]) == 1
    assert switch_with([*[push] * 8, (a.Output(2),)], 1).receive("p1", frame(came)) == {}
