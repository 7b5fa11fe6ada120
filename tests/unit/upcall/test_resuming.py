"""A packet that waits at a controller goes on where it stopped, with what the controller has changed."""

from types import SimpleNamespace

import pytest

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow import key as layout
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
    monkeypatch.setattr(ours.bridges["br0"], "clients", SimpleNamespace(tell=told.append))
    assert ours.receive("p1", FRAME) == {}
    (message,) = told
    assert isinstance(message, PacketIn)
    assert (message.userdata, message.table, message.cookie) == (b"\1\2", 1, 9)
    return message


def test_a_resumed_packet_does_what_was_left_in_every_table(
    ours: OurSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = paused(ours, monkeypatch)
    changed = layout.put(message.metadata.value, "reg2", 1)
    changed = layout.put(changed, "in_port", 9)
    assert ours.fabric.resume is not None
    ours.out = {}
    ours.fabric.resume(
        ours.bridges["br0"], message._replace(metadata=message.metadata._replace(value=changed))
    )
    ours.datapath.run()
    assert ours.out == {"p1": [FRAME], "p2": [FRAME], "p3": [FRAME]}


def test_a_continuation_that_is_none_is_refused(ours: OurSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    message = paused(ours, monkeypatch)
    assert ours.fabric.resume is not None
    with pytest.raises(DecodeError):
        ours.fabric.resume(ours.bridges["br0"], message._replace(continuation=b"\x80\1\0\5garbage"))
