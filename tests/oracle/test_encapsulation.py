"""encap and decap against the original: the same flows and packets, the same traces, the same frames sent."""

import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import Originals
from support.switch_pair import fresh_pair
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec
from trunkline.flow.key import VLAN_CFI, pack
from trunkline.jsonrpc.unixctl import Commands
from trunkline.openflow import codec
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.messages import FlowMod
from trunkline.openflow.wire import Protocol
from trunkline.packet.build import build
from trunkline.upcall.trace import trace_commands

LAB = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3, 4)))
MACS = {"dl_src": 0x505400000001, "dl_dst": 0x505400000002}
INNER = pack(
    **MACS, dl_type=0x0800, nw_src=0x0A000001, nw_dst=0x0A000002, nw_proto=17, nw_ttl=9, tp_src=1, tp_dst=2
)[0]
IP = build(INNER)
TAGGED = build(INNER | pack(vlan_tci=VLAN_CFI | 10, vlan_tpid=0x8100)[0])
IP6 = build(pack(**MACS, dl_type=0x86DD, ipv6_src=1, ipv6_dst=2, nw_proto=17, nw_ttl=9)[0])
SERVICE = bytes.fromhex("0fc60103000123ff00000001000000020000000300000004")
NSH = IP[:12] + b"\x89\x4f" + SERVICE + IP
NSH_IP = IP[:12] + b"\x89\x4f" + SERVICE[:3] + b"\x01" + SERVICE[4:] + IP[14:]
MPLS = IP[:12] + b"\x88\x47" + bytes.fromhex("00010140") + IP[14:]
MPLS_ETHERNET = IP[:12] + b"\x88\x47" + bytes.fromhex("00010140") + IP


@pytest.fixture(scope="module")
def original_switch() -> Iterator[OriginalSwitch]:
    with tempfile.TemporaryDirectory(prefix="encp") as directory:
        switch = OriginalSwitch(Originals(Path(directory)))
        switch.build(LAB)
        yield switch
        switch.stop()


def comparable(text: str) -> str:
    text = re.sub(r"\nMegaflow: .*", "", text)
    text = text.replace("ct_nw_src=0.0.0.0,ct_nw_dst=0.0.0.0,", "")  # of a flow just out of NSH, there
    if "NORMAL" in text:  # ports are flooded in another order
        text = re.sub(r"\nDatapath actions: .*", "", text)
    return re.sub(r"recirc\(0x[0-9a-f]+\)", "recirc(R)", text)


def compare(original: OriginalSwitch, ours: OurSwitch, flows: list[str], frame: bytes) -> int:
    """The number of packets sent."""
    target = f"unix:{original.originals.directory}/br0.mgmt"
    bridge = ours.bridges["br0"]
    bridge.flows.clear()
    text = "\n".join(flows)
    command = ("ovs-ofctl", "-O", "OpenFlow13", "replace-flows", target, "-")
    done = original.originals.run(*command, input=text)
    assert not done.returncode, (flows, done.stderr)
    for flow in flows:
        mod = codec.decode(codec.encode(Protocol(4), parse_flow(flow, 0).mod, 1)[0]).message
        assert isinstance(mod, FlowMod)
        bridge.flows.apply(mod, 4, "test")
    ours.datapath.run()
    arguments = ["br0", "in_port=1", frame.hex()]
    commands = Commands()
    commands.add(*trace_commands({"dummy": ours.datapath}))
    got = commands.run("ofproto/trace", arguments)
    assert isinstance(got, str)
    want = original.control("ofproto/trace", *arguments)
    assert comparable(got) == comparable(want), (flows, frame.hex(), want, got)
    sends = ours.receive("p1", frame)
    sent = original.receive("p1", frame)
    deadline = time.monotonic() + 10
    while sends != sent and time.monotonic() < deadline:
        time.sleep(0.005)
        for name, capture in original.captures.items():
            if late := capture.new():
                sent[name] = sent.get(name, []) + late
    assert sends == sent, (flows, frame.hex())
    return sum(map(len, sent.values()))


KINDS = {
    "ip": (IP, "ip"),
    "tagged": (TAGGED, ""),
    "ipv6": (IP6, "ipv6"),
    "nsh": (NSH, "dl_type=0x894f"),
    "nsh over ip": (NSH_IP, "dl_type=0x894f"),
    "mpls": (MPLS, "mpls"),
    "mpls over ethernet": (MPLS_ETHERNET, "mpls"),
}
BEGINNINGS = {
    "ip": ("encap(nsh)", "decap(),encap(nsh)", "encap(mpls)", "encap(mpls_mc)", "decap()",
           "decap(),dec_ttl",
           "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba98)))",
           "encap(nsh),encap(nsh)", "encap(mpls),encap(mpls)", "decap(),decap()", "encap(ethernet)",
           "set_field:10.0.0.9->ip_dst,decap()"),
    "tagged": ("encap(nsh)", "decap()"),
    "ipv6": ("encap(nsh)", "decap(),encap(nsh)", "decap()"),
    "nsh": ("decap(),decap()", "dec_nsh_ttl", "decap(),set_field:9->nsh_ttl", "set_field:0x77->nsh_c2",
            "decap(),encap(nsh)", "set_field:0x55/0xff->nsh_c4,set_field:3->nsh_si,set_field:0x66->nsh_spi"),
    "nsh over ip": ("decap(),decap()",),
    "mpls": ("decap(),decap(packet_type(ns=1,type=0x800))", "decap(),encap(mpls)"),
    "mpls over ethernet": ("decap(),decap(packet_type(ns=0,type=0))",),
}  # fmt: skip
ENDS = (
    "output:2", "encap(ethernet),output:2", "encap(ethernet),set_field:50:54:00:00:00:09->eth_dst,output:2",
    "output:3,encap(ethernet),output:2", "clone(encap(ethernet),output:3),encap(ethernet),output:2", "normal",
    "resubmit(,1)", "encap(ethernet),push_vlan:0x8100,output:4,output:2", "in_port",
    "clone(set_field:3->reg1,output:3),encap(ethernet),output:2",
)  # fmt: skip


@pytest.mark.oracle
def test_headers_go_on_and_off_as_with_the_original(original_switch: OriginalSwitch) -> None:
    ours = OurSwitch()
    ours.build(LAB)
    rnd = random.Random(7)
    sent = 0
    for kind, (frame, match) in KINDS.items():
        for beginning in BEGINNINGS[kind]:
            for end in ("encap(ethernet),output:2", *rnd.sample(ENDS, 3)):
                flows = [
                    f"table=0,{match}{',' if match else ''}actions={beginning},{end}",
                    "table=1,priority=1,packet_type=(1,0x894f),actions=encap(ethernet),output:2",
                    "table=1,priority=2,dl_type=0x0800,actions=output:4",
                ]
                sent += compare(original_switch, ours, flows, frame)
    for beginning in ("encap(mpls)", "encap(mpls_mc)", "encap(mpls),encap(mpls)"):
        sent += compare(original_switch, ours, [f"actions={beginning},encap(ethernet),output:2"], IP6)
    assert sent > 50


THROUGH = (  # what a bridge does, and what the bridge behind a patch port does
    ("decap(),output:10", "encap(ethernet),output:2"),
    ("decap(),output:10", "output:2"),
    ("decap(),normal", "encap(ethernet),output:2"),
    ("encap(nsh(md_type=1)),output:10", "decap(),output:2"),
    ("encap(nsh(md_type=1)),output:10", "encap(ethernet),output:2"),
    ("encap(mpls),output:10", "encap(ethernet),output:2"),
    ("decap(),output:10,output:2", "normal"),
)


@pytest.mark.oracle
def test_packets_without_ethernet_pass_patch_ports() -> None:
    sent = 0
    for pair in fresh_pair():
        for switch in pair.both:
            command = "add-br br1 -- set Bridge br1 datapath_type=dummy fail-mode=secure -- add-port br1 q2"
            command += " -- set Interface q2 type=dummy ofport_request=2"
            for bridge, port, peer, number in (("br0", "x", "y", 10), ("br1", "y", "x", 1)):
                command += f" -- add-port {bridge} {port} -- set Interface {port} type=patch"
                command += f" options:peer={peer} ofport_request={number}"
            switch.vsctl(*command.split())
        for first, second in THROUGH:
            for switch in pair.both:
                for bridge, actions in (("br0", first), ("br1", second)):
                    done = switch.ofctl("-OOpenFlow13", "add-flow", bridge, f"actions={actions}")
                    assert not done.stderr
            packet = "in_port=1,ip,nw_dst=1.2.3.4,nw_proto=17,nw_ttl=4"
            theirs, ours = (comparable(text) for text in pair.control("ofproto/trace", "br0", packet))
            assert ours == theirs, (first, second)
            sent += "drop" not in ours
    assert sent > 4
