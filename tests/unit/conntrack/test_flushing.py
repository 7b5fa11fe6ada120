"""What filters of connections mean, as text and as OpenFlow messages."""

import pytest

from support.conntrack_packets import icmp, tcp, udp
from support.switches import Lab, OurSwitch, PortSpec
from trunkline.conntrack.flushing import Filter, FilterError, NotThere, flush, parse_filter
from trunkline.conntrack.text import protocol_name
from trunkline.flow.text import parse_match
from trunkline.model import openflow as of
from trunkline.ofproto.connections import flush_tuple, flush_zone
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.flushes import CtFlush, CtFlushZone, CtTuple
from trunkline.openflow.messages import FlowMod

ONE, TWO = 0xFFFF0A000001, 0xFFFF0A000002


@pytest.fixture
def switch() -> OurSwitch:
    """Zone 5 has a UDP, a TCP and an ICMP connection; zone 0 a UDP one over IPv6."""
    switch = OurSwitch()
    switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    for match, zone in (("ip", 5), ("ipv6", 0)):
        actions = parse_actions(f"ct(commit,zone={zone})")
        message = FlowMod(of.OFPFC_ADD, parse_match(match), 1, 0, actions)
        switch.bridges["br0"].flows.apply(message, 1, "test")
    for frame in (
        udp("10.0.0.1", "10.0.0.2", (1, 2)),
        tcp("10.0.0.1", "10.0.0.2", (1, 2), 7, 0, 2, 100),
        icmp("10.0.0.1", "10.0.0.2", 8, 0, 3 << 16),
        udp("fd00::1", "fd00::2", (1, 2)),
    ):
        switch.receive("p1", frame)
    assert left(switch) == ["icmp", "tcp", "udp", "udp"]
    return switch


def left(switch: OurSwitch) -> list[str]:
    return sorted(protocol_name(one.original.protocol) for one in switch.sim.conntrack.connections())


def test_messages(switch: OurSwitch) -> None:
    bridge = switch.bridges["br0"]
    flush_tuple(bridge, CtFlush(5, 17, CtTuple(ONE, TWO, 1, 9)))  # not there: no error
    assert len(left(switch)) == 4
    flush_tuple(bridge, CtFlush(5, 17, CtTuple(ONE, TWO, 1, 2)))
    assert left(switch) == ["icmp", "tcp", "udp"]
    flush_tuple(bridge, CtFlush(None, 0, CtTuple(), CtTuple(source=TWO)))
    assert left(switch) == ["udp"]
    flush_zone(bridge, CtFlushZone(5))
    assert left(switch) == ["udp"]
    flush_zone(bridge, CtFlushZone(0))
    assert left(switch) == []


def test_one_connection_that_is_not_there(switch: OurSwitch) -> None:
    text = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2"
    with pytest.raises(NotThere):  # without a zone it means zone 0
        flush(switch.sim.conntrack, parse_filter([text]), 0.0)
    flush(switch.sim.conntrack, parse_filter(["zone=5", text]), 0.0)
    assert left(switch) == ["icmp", "tcp", "udp"]


def test_nothing_named_is_everything(switch: OurSwitch) -> None:
    assert parse_filter([]) == Filter()
    flush(switch.sim.conntrack, Filter(), 0.0)
    assert left(switch) == []


@pytest.mark.parametrize(
    "text", ["ct_nw_src", "ct_nw_src=1", "a=b", "icmp_id=1", "ct_tp_src=1", "ct_nw_proto=256"]
)
def test_what_is_no_filter(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter([text])
