"""A packet that waits at a controller goes on where it stopped, with what the controller has changed."""

from types import SimpleNamespace

import pytest

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow import key as layout
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.continuations import Continuation, Unfinished, decode, encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.messages import Message, PacketIn
from trunkline.openflow.wire import DecodeError

FRAME = bytes.fromhex("505400000001505400000002080045000014000000004001000001020304050607080000")
FLOWS = (
    "table=0,actions=load:7->NXM_NX_REG0[],push:NXM_NX_REG0[],resubmit(,1),output:2",
    "table=1,cookie=9,actions=controller(userdata=01.02,pause),pop:NXM_NX_REG1[],output:NXM_NX_REG2[],resubmit(,2)",
    "table=2,reg1=7,actions=output:3",
)


@pytest.fixture
def ours() -> OurSwitch:
    switch = OurSwitch()
    switch.build(Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3))))
    flows = switch.bridges["br0"].flows
    flows.clear()
    for text in FLOWS:
        flows.apply(parse_flow(text, 0).mod, 4, "test")
    return switch


def paused(ours: OurSwitch, monkeypatch: pytest.MonkeyPatch) -> PacketIn:
    told: list[Message] = []
    tell = SimpleNamespace(tell=lambda message, _: told.append(message))
    monkeypatch.setattr(ours.bridges["br0"], "clients", tell)
    assert ours.receive("p1", FRAME) == {}
    (message,) = told
    assert isinstance(message, PacketIn)
    assert (message.userdata, message.table) == (b"\1\2", 0)  # the table where the walk began
    return message


@pytest.mark.parametrize("version", range(1, 7))
def test_a_resumed_packet_does_what_was_left_in_every_table(
    ours: OurSwitch, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    message = paused(ours, monkeypatch)
    assert isinstance(message.continuation, Continuation)
    changed = layout.put(message.metadata.value, "reg2", 1)
    changed = layout.put(changed, "in_port", 9)
    assert ours.fabric.resume is not None
    ours.out = {}
    state = decode(encode(message.continuation, version), version)
    ours.fabric.resume(ours.bridges["br0"], message.data, changed, state)
    ours.datapath.run()
    assert ours.out == {"p1": [FRAME], "p2": [FRAME], "p3": [FRAME]}


def test_a_continuation_that_is_none_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x80\1\0\5garbage", 4)


@pytest.mark.parametrize("version", range(1, 7))
def test_what_no_action_can_say_survives(version: int) -> None:
    """A group, a meter and instructions, in every version."""
    actions = "group:5,meter:3,dec_ttl,clear_actions,write_actions(output:7),write_metadata:0x5/0xff"
    parts = tuple(parse_flow(f"actions={text}", 0).mod.actions for text in actions.split(","))
    state = Continuation(
        None, (), 0, False, (Unfinished(2, 9, tuple(one for part in parts for one in part)),)
    )
    found = [action for part in decode(encode(state, version), version).unfinished for action in part.actions]
    assert format_actions(tuple(found[:-1])) == actions.rpartition(",")[0]
    assert "metadata" in format_actions((found[-1],)).lower()
