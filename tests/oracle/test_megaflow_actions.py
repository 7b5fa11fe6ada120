"""What `dpctl/dump-flows` says of the megaflows that packets make: the actions, against the original.

Each packet meets empty datapaths.  The masks are another matter (docs/differences.md), and so is which of the
bits that were looked at a `set(...)` names.
"""

import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.originals import Originals
from support.pipelines import Maker
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec
from trunkline.flow.key import pack
from trunkline.jsonrpc.unixctl import Commands
from trunkline.ofproto import meter_mods
from trunkline.ofproto.groups import Group
from trunkline.openflow import codec
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups import GroupMod
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.messages import FlowMod
from trunkline.openflow.meters_text import parse_meter
from trunkline.openflow.wire import Protocol
from trunkline.packet.build import build
from trunkline.upcall.dpctl import dpctl_commands

pytestmark = pytest.mark.oracle

LAB = Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3)))
FLOWS = (
    "arp,actions=set_field:2->arp_op,output:2",
    "priority=40000,arp,in_port=2,actions=set_field:50:54:00:00:00:09->arp_sha,output:1,controller(max_len=30)",
    "icmp,actions=set_field:0->icmp_type,output:in_port",
    "icmp6,icmp_type=135,icmp_code=0,actions=set_field:7->nd_reserved,set_field:fe80::9->nd_target,output:2",
    "icmp6,icmp_type=136,icmp_code=0,actions=set_field:50:54:00:00:00:09->nd_tll,output:2",
    "udp,in_port=1,actions=controller(max_len=50),set_field:9->udp_src,output:3,controller(max_len=30)",
    "udp,in_port=2,actions=controller(reason=no_match,userdata=01.02),set_field:9->udp_dst,controller(pause),output:1",
    "tcp,in_port=1,actions=sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3),output:2",
    "tcp,in_port=2,actions=set_field:1->nw_ttl,sample(probability=300,collector_set_id=9,sampling_port=3),output:1",
    "tcp,in_port=3,actions=sample(probability=1,collector_set_id=1,sampling_port=3,egress),output:1,"
    "sample(probability=65535,collector_set_id=1,sampling_port=2,ingress)",
    "sctp,actions=clone(set_field:5->sctp_src,controller),output:2,clone(output:3)",
    "tcp6,actions=set_field:0x5->ipv6_label,resubmit(,1)",
    "table=1,ipv6,actions=dec_ttl,output:2,dec_ttl(1,2),output:3",
    "dl_type=0x1234,actions=drop",
    "dl_type=0x1235,actions=push_vlan:0x8100,set_field:4105->vlan_vid,output:2,pop_vlan,output:3",
    "dl_type=0x1236,actions=output(port=2,max_len=20),output:3",
)
METERS = (
    "meter=controller,pktps,stats,band=type=drop,rate=5",
    "meter=slowpath,kbps,stats,band=type=drop,rate=9",
)


def frames() -> Iterator[tuple[int, bytes]]:
    """(port, packet)"""
    ethernet = {"dl_src": 0x505400000001, "dl_dst": 0x505400000002}
    ip = {**ethernet, "nw_src": 0x0A000001, "nw_dst": 0x0A000002, "nw_ttl": 64, "dl_type": 0x0800}
    ports = {"tp_src": 1, "tp_dst": 2}
    six = {
        **ethernet,
        "ipv6_src": 0xFE80 << 112 | 1,
        "ipv6_dst": 0xFE80 << 112 | 2,
        "nw_ttl": 255,
        "dl_type": 0x86DD,
    }
    for port in (1, 2, 3):
        yield port, build(pack(**ethernet, dl_type=0x0806, arp_op=1, arp_spa=1, arp_tpa=2, arp_sha=1)[0])
        yield port, build(pack(**ip, nw_proto=1, tp_src=8)[0])
        yield port, build(pack(**six, nw_proto=58, tp_src=135, nd_target=3, arp_sha=4)[0])
        yield port, build(pack(**six, nw_proto=58, tp_src=136, nd_target=3, arp_tha=4)[0])
        for protocol in (6, 17, 132):
            yield port, build(pack(**ip, nw_proto=protocol, **ports)[0])
            yield port, build(pack(**six, nw_proto=protocol, **ports)[0])
        for kind in (0x1234, 0x1235, 0x1236):
            yield port, build(pack(**ethernet, dl_type=kind)[0]) + bytes(30)


@pytest.fixture(scope="module")
def original_switch() -> Iterator[OriginalSwitch]:
    with tempfile.TemporaryDirectory(prefix="mga") as directory:
        switch = OriginalSwitch(Originals(Path(directory)))
        switch.build(LAB)
        yield switch
        switch.stop()


class Both:
    """The two switches with one configuration."""

    def __init__(self, original: OriginalSwitch) -> None:
        self.original = original
        self.ours = OurSwitch()
        self.ours.build(LAB)
        self.ofctl("del-meters")
        self.set_flows(())

    def ofctl(self, command: str, *arguments: str, lines: Sequence[str] = ()) -> None:
        target = f"unix:{self.original.originals.directory}/br0.mgmt"
        done = self.original.originals.run(
            "ovs-ofctl", "-O", "OpenFlow15", command, target, *arguments, input="\n".join(lines)
        )
        assert done.returncode == 0, done.stderr

    def set_flows(self, flows: Sequence[str], groups: Sequence[str] = ()) -> None:
        self.ofctl("del-flows")
        self.ofctl("del-groups")
        self.ofctl("add-groups", "-", lines=groups)
        self.ofctl("add-flows", "-", lines=flows)
        self.ours.build(LAB)
        self.bridge = self.ours.bridges["br0"]
        self.bridge.flows.clear()
        self.commands = Commands()
        self.commands.add(*dpctl_commands({"dummy": self.ours.datapath}))
        for text in groups:
            group = codec.decode(codec.encode(Protocol(6), parse_group(text, 0).mod, 1)[0]).message
            assert isinstance(group, GroupMod)
            self.bridge.groups[group.group] = Group(
                group.group, group.type, group.buckets, group.selection, 0.0
            )
        for flow in flows:
            mod = codec.decode(codec.encode(Protocol(6), parse_flow(flow, 0).mod, 1)[0]).message
            assert isinstance(mod, FlowMod)
            self.bridge.flows.apply(mod, 6, "test")

    def add_meters(self) -> None:
        for meter in METERS:
            self.ofctl("add-meter", meter)
            meter_mods.apply(self.bridge, parse_meter(meter, 0))

    def dumped(self, port: int, frame: bytes) -> tuple[list[str], list[str]]:
        """The actions of what a packet leaves in each datapath.  The original takes its time."""
        self.ours.receive(f"p{port}", frame)
        text = self.commands.run("dpctl/dump-flows", [])
        assert isinstance(text, str)
        ours = actions_of(text)
        self.ours.datapath.purge()
        for _ in range(8):  # a flow of the original that is not used lives ten seconds: so again, not longer
            self.original.deliver(f"p{port}", frame)
            deadline = time.monotonic() + 3
            while (theirs := actions_of(self.original.control("dpctl/dump-flows"))) != ours:
                if time.monotonic() > deadline or len(theirs) > len(ours):
                    break
                time.sleep(0.01)
            self.original.control("revalidator/purge")
            if theirs == ours:
                break
        return ours, theirs


def actions_of(dump: str) -> list[str]:
    return sorted(map(comparable, re.findall(r"actions:(.*)", dump)))


# What is done to a packet that then goes nowhere: before a clone that does nothing.
_UNSEEN = re.compile(r"(^|,)(set\(\w+\([^)]*\)\)|push_vlan\([^)]*\)|pop_vlan|p\w+_mpls\([^)]*\))$|^drop$")


def comparable(actions: str) -> str:
    numbers: dict[int, int] = {}

    def name(found: re.Match[str]) -> str:
        return f"{found[1]}R{numbers.setdefault(int(found[2], 0), len(numbers))}"

    actions = re.sub(r"trunc\(\d+\),", "", actions)  # before or after what is set first makes no difference
    actions = re.sub(r"set\(\w+\([^)]*\)\)", lambda one: re.sub(r"=[^,)]*", "", one[0]), actions)
    while actions != (shorter := _UNSEEN.sub("", actions)):
        actions = shorter
    return re.sub(r"(recirc(?:_id=|\())((?:0x)?[0-9a-f]+)", name, actions)


@pytest.mark.parametrize("metered", [False, True])
@pytest.mark.parametrize("collecting", [False, True])
def test_what_is_handed_up_is_shown_alike(
    original_switch: OriginalSwitch, metered: bool, collecting: bool
) -> None:
    both = Both(original_switch)
    both.set_flows(FLOWS)
    if metered:
        both.add_meters()
    if collecting:
        collector = (
            "--id=@b",
            "get",
            "bridge",
            "br0",
            "--",
            "--id=@i",
            "create",
            "ipfix",
            'targets="127.0.0.1:9"',
        )
        original_switch.vsctl(
            "--", *collector, "--", "create", "Flow_Sample_Collector_Set", "id=1", "bridge=@b", "ipfix=@i"
        )
        both.bridge.set_collects(True)
    try:
        seen = set()
        for port, frame in frames():
            ours, theirs = both.dumped(port, frame)
            assert ours == theirs, (port, frame.hex())
            seen |= set(ours)
        shown = " ".join(seen)
        assert "slow_path(action)" in shown
        assert "controller(" in shown
        assert ("meter(" in shown) == metered
        assert ("flow_sample(" in shown) == collecting
    finally:
        original_switch.vsctl("--", "--all", "destroy", "Flow_Sample_Collector_Set")


def test_megaflows_of_random_pipelines_have_the_same_actions(original_switch: OriginalSwitch) -> None:
    both = Both(original_switch)
    compared = 0
    for seed in range(40):
        maker = Maker(random.Random(seed), frozenset(("normal", "learn", "check_pkt_larger")))
        pipeline = maker.pipeline(40)
        both.set_flows(pipeline.flows, pipeline.groups)
        for _ in range(20):
            port, frame = maker.rnd.randint(1, 3), maker.frame()
            ours, theirs = both.dumped(port, frame)
            assert ours == theirs, (seed, port, frame.hex())
            compared += any("(" in one for one in ours)
    assert compared > 200
