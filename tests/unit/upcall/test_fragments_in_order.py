"""Fragments that connection tracking has held go on in their order, whichever of them hit a megaflow."""

from support.switches import Lab, OurSwitch, PortSpec
from trunkline.model.openflow import OFPC_FRAG_NX_MATCH
from trunkline.openflow.flow_text import parse_flow
from trunkline.packet.checksum import checksum

FLOWS = (
    "table=0,udp,actions=ct(table=1)",
    "table=1,priority=9,udp,nw_frag=later,actions=output:2",
    "table=1,priority=8,udp,tp_dst=1,actions=output:2",
    "table=1,priority=8,udp,tp_dst=2,actions=output:2",
)


def fragments(port: int) -> list[bytes]:
    """A datagram in two parts; the first must be of some size to be held."""
    data = (7).to_bytes(2, "big") + port.to_bytes(2, "big") + (1300).to_bytes(2, "big") + bytes(1294)
    return [_packet(port, 0x2000, data[:1280]), _packet(port, 1280 // 8, data[1280:])]


def _packet(identifier: int, fragment: int, body: bytes) -> bytes:
    head = bytearray(b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + identifier.to_bytes(2, "big"))
    head += fragment.to_bytes(2, "big") + b"\x40\x11\0\0" + bytes((10, 0, 0, 1, 10, 0, 0, 2))
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes.fromhex("5054000000025054000000010800") + bytes(head) + body


def test_the_first_is_not_overtaken() -> None:
    ours = OurSwitch()
    ours.build(Lab(("br0",), (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2))))
    bridge = ours.bridges["br0"]
    bridge.flows.clear()
    bridge.set_fragments(OFPC_FRAG_NX_MATCH)
    for flow in FLOWS:
        bridge.flows.apply(parse_flow(flow, 0).mod, 6, "test")
    for port in (1, 2, 2):  # the second time, the later one hits what the first datagram has left
        first, later = fragments(port)
        assert ours.receive("p1", first) == {}
        assert ours.receive("p1", later) == {"p2": [first, later]}, port
