"""Packets to the controller say what connection tracking has found, as the original's do."""

import pytest

from support.conntrack_packets import tcp, udp
from support.switches import Lab, OurSwitch, PortSpec
from trunkline.flow.text import format_match, parse_match
from trunkline.model import openflow as of
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.messages import FlowMod, PacketIn

COMMIT = (
    "ct(commit,zone=5,exec(load:7->NXM_NX_CT_MARK[],load:3->NXM_NX_CT_LABEL[0..5]),nat(src=10.1.1.1),table=2)"
)
FLOWS = (
    (0, "ip", "ct(table=1,zone=5,nat)"),
    (0, "ipv6", "ct(table=2)"),
    (1, "ip", COMMIT),
    (2, "", "controller"),
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> tuple[OurSwitch, list[PacketIn]]:
    switch = OurSwitch()
    switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    bridge = switch.bridges["br0"]
    for table, match, actions in FLOWS:
        message = FlowMod(of.OFPFC_ADD, parse_match(match), 1, table, parse_actions(actions))
        bridge.flows.apply(message, 1, "test")
    messages: list[PacketIn] = []
    monkeypatch.setattr(type(bridge.clients), "tell", lambda _, message, __: messages.append(message))
    return switch, messages


def test_states_marks_and_the_original_tuple(told: tuple[OurSwitch, list[PacketIn]]) -> None:
    switch, messages = told
    switch.receive("p1", udp("10.0.0.1", "10.0.0.2", (1, 2)))
    switch.receive("p1", udp("10.0.0.2", "10.1.1.1", (2, 1)))
    tuple_ = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2,ip,in_port=1"
    assert [format_match(one.metadata) for one in messages] == [
        f"ct_state=new|trk|snat,ct_zone=5,ct_mark=0x7,ct_label=0x3,{tuple_}",
        f"ct_state=est|rpl|trk|dnat,ct_zone=5,ct_mark=0x7,ct_label=0x3,{tuple_}",
    ]


def test_what_is_not_there_is_not_said(told: tuple[OurSwitch, list[PacketIn]]) -> None:
    switch, messages = told
    damaged = bytearray(tcp("fd00::1", "fd00::2", (1, 2), 1, 0, 2, 100))
    damaged[-1] ^= 1
    switch.receive("p1", bytes(damaged))
    assert [format_match(one.metadata) for one in messages] == ["ct_state=inv|trk,in_port=1"]
