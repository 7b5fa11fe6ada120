"""ofproto/trace, dpctl/* and their neighbours: what they understand, say and refuse, beside the original."""

import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle

PACKET = "000000000002000000000001080045000020000000004011749d0101010102020202000100020008000000000000"
FLOW = (
    "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=1.1.1.1,dst=2.2.2.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=1,dst=2)"
)
RULES = """\
table=0,priority=5,in_port=2,tcp actions=set_field:7->reg1,output:3
table=0,priority=4,ip,in_port=3 actions=dec_ttl,2
table=0,priority=3,ip,in_port=1 actions=mod_nw_tos:4,resubmit(,2),output:4
table=0,priority=2,arp actions=clone(mod_dl_src:00:00:00:00:00:07,output:2),output:1
table=2,tcp,in_port=1 actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:2
table=2,udp actions=ct(table=3)
table=3,ct_state=+trk+new actions=output:3
table=3,ct_state=+trk+est actions=output:2
table=3 actions=controller
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    found = Pair(directory)
    for switch in found.both:
        done = switch.ofctl("-O", "OpenFlow13", "add-flows", "br0", "-", input=RULES)
        assert not done.returncode, done.stderr
    yield found
    found.stop()
    shutil.rmtree(directory)


@pytest.fixture
def held(pair: Pair) -> Iterator[Pair]:
    """With empty datapaths that nobody revalidates."""
    pair.control("revalidator/pause")
    pair.control("dpctl/del-flows")
    yield pair
    pair.control("dpctl/del-flows")
    pair.control("revalidator/resume")


def comparable(text: str) -> str:
    """Without the Megaflow line, and recirculations numbered in the order in which they are met."""
    numbers: dict[str, str] = {}
    text = re.sub(r"(?m)^Megaflow: .*$", "", text)
    return re.sub(
        r"(recirc(?:_id)?[(=])(0x[0-9a-f]+|[1-9][0-9]*)",
        lambda found: found[1] + numbers.setdefault(found[2], f"#{len(numbers)}"),
        text,
    )


def differences(pair: Pair, cases: list[tuple[str, ...]]) -> list[tuple[tuple[str, ...], str, str]]:
    found = []
    for method, *arguments in cases:
        theirs, ours = map(comparable, pair.control(method, *arguments))
        if theirs != ours:
            found.append(((method, *arguments), theirs, ours))
    return found


WORDS: tuple[tuple[str, ...], ...] = (
    (FLOW,),
    ("ovs-dummy", FLOW),
    ("dummy@ovs-dummy", FLOW),
    ("nodp", FLOW),
    ("br0", FLOW),
    (FLOW, PACKET),
    ("ovs-dummy", FLOW, PACKET),
    ("br0", FLOW, PACKET),
    (FLOW, "-generate"),
    ("ovs-dummy", FLOW, "zz"),
    ("br0", "in_port=1", PACKET),
    ("br0", "in_port=p1,reg1=5", PACKET, "--names"),
    ("br0", "in_port=1", "00"),
    ("br0", "in_port=1", "zz"),
    ("br0", PACKET),
    ("br0",),
    ("nobr", "in_port=1"),
    ("ovs-dummy", "in_port=1"),
    ("br0", "in_port=1/foo"),
    ("br0", "foo=1"),
    ("br0", ""),
    ("", ""),
    ("foo",),
    ("foo", "bar"),
    ("a", "b", "c", "d"),
    ("br0", "in_port=2,tcp", "--names"),
    ("br0", "in_port=2,tcp", "-names"),
    ("br0", "in_port=1,tcp", "--names", "--ct-next", "trk,est"),
    ("br0", "in_port=1,udp", "--ct-next", "trk,est"),
    ("br0", "in_port=1,udp", "--names", "--ct-next", "trk,inv"),
    ("br0", "in_port=1,udp", "-generate"),
    ("br0", "in_port=1,udp", "-ct-next", "trk"),
    ("br0", "in_port=1", "--no-names"),
    ("br0", "in_port=1", "--l3"),
    ("br0", "in_port=1", "-l3"),
    ("br0", "in_port=1", "-consistent"),
    ("br0", "in_port=1", "--foo"),
    ("br0", "in_port=1", "--l7"),
    ("br0", "in_port=1", "--l7", "0102"),
    ("br0", "in_port=1", "--l7", "012"),
    ("br0", "in_port=1", "--l7-len", "5", "--generate"),
    ("br0", "in_port=1", "--l7-len", "100000"),
    ("br0", "in_port=1", "--l7-len", "-4"),
    ("br0", "in_port=1", "--l7-len"),
    ("br0", "in_port=1", PACKET, "-generate"),
    ("-generate",),
    ("-generate", "br0", "in_port=1,tcp"),
    ("in_port=1", "-foo"),
    ("eth()",),
    ("in_port(1)",),
    ("in_port(77),eth()",),
    ("recirc_id(0x7f),in_port(1),eth()",),
    ("in_port(p1),eth(),eth_type(0x1234)",),
    ("in_port(br0),eth(),eth_type(0x1234)", "--names"),
    ("ovs-dummy", "in_port(1),eth(),foo(1)"),
    ("in_port(1),eth(src=1)",),
    ("in_port(1),eth_type(0x1234)",),
    ("in_port(1),eth(),ipv4(src=1.1.1.1,proto=47)",),
    ("in_port(1),eth(),eth_type(0x0800),ipv4(src=1.1.1.1,proto=6)",),
    ("in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=2),encap(eth_type(0x0800),ipv4(proto=6),tcp())",),
    ("in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=2)",),
    ("in_port(1),eth(),eth_type(0x8100)",),
    ("ct_state(new|trk),skb_mark(9),ct_zone(3),ct_mark(4),ct_label(7),in_port(1),eth()",),
    ("in_port(1),eth(),eth_type(0x8847),mpls(label=3,tc=1,ttl=3,bos=1)",),
    ("in_port(2),eth(),eth_type(0x86dd),ipv6(src=::1,proto=58),icmpv6(type=135),nd(target=::5)",),
)


def test_trace_understands_and_refuses(pair: Pair) -> None:
    assert differences(pair, [("ofproto/trace", *words) for words in WORDS]) == []


PACKETS_OUT: tuple[tuple[str, ...], ...] = (
    ("br0", "in_port=1", "2"),
    ("br0", "in_port=1", PACKET, "set_field:5->ip_dscp,2,3"),
    ("br0", "in_port=1", "table"),
    ("br0", "in_port=2,tcp", "table"),
    ("br0", "in_port=1", "2,foo"),
    ("br0", "in_port=1", ""),
    ("br0", "in_port=1", "drop"),
    ("br0", "in_port=1", "resubmit(,2)"),
    ("-consistent", "br0", "in_port=1,tcp", "set_field:5->tcp_dst,2"),
    ("br0", "-consistent", "in_port=1", "2"),
    ("-consistent", "br0", "in_port=1", "set_field:5->tcp_dst,2"),
    ("br0", "in_port=1", "mod_nw_src:1.1.1.1,2"),
    ("br0", "in_port=1,ip", "dec_ttl,2"),
    ("br0", "in_port=1,udp,nw_ttl=9", "dec_ttl,2"),
    (FLOW, "2"),
    ("ovs-dummy", FLOW, "2"),
    (FLOW, PACKET, "2"),
    ("in_port(77),eth()", "2"),
    ("br0", "in_port=1"),
    ("br0",),
    ("br0", "2"),
    ("br0", "foo"),
    ("nobr", "in_port=1", "2"),
    ("nobr", "x=1", "foo"),
    ("br0", "in_port=1", "-foo", "2"),
    ("br0", "in_port=1", "2", "--names"),
    ("br0", "in_port=1", "--names", "2,3,IN_PORT"),
    ("br0", "in_port=1", "-generate", "2"),
    ("br0", "in_port=1", PACKET, "-generate", "2"),
    ("br0", "in_port=1", "zz", "2"),
    ("br0", "in_port=1", "a", "b", "2"),
    ("-generate", "2"),
    ("br0", "in_port=1", "group:5"),
    ("br0", "in_port=1", "goto_table:1"),
    ("br0", "in_port=1", "resubmit(,300)"),
)


def test_trace_of_packets_out(pair: Pair) -> None:
    assert differences(pair, [("ofproto/trace-packet-out", *words) for words in PACKETS_OUT]) == []


def _random_flow(rng: random.Random) -> str:
    """A datapath's flow as text: whole, with what its packets have."""
    mac = lambda: f"00:00:00:00:00:{rng.randrange(1, 9):02x}"  # noqa: E731
    parts = [f"in_port({rng.choice(('1', '2', '3', 'p2', '4'))})"]
    if rng.random() < 0.3:
        parts.insert(0, f"skb_mark({rng.randrange(1, 99):#x})")
    parts.append(f"eth(src={mac()},dst={mac()})" if rng.random() < 0.7 else "eth()")
    inner = []
    protocol = rng.choice((1, 6, 17, 132, 47))
    transport = {
        6: f"tcp(src={rng.randrange(5)},dst=80)",
        17: "udp(src=53)",
        132: "sctp(dst=7)",
        1: "icmp(type=8,code=0)",
    }
    match rng.randrange(4):
        case 0:
            inner = [
                "eth_type(0x0800)",
                f"ipv4(src=10.0.0.{rng.randrange(9)},proto={protocol},ttl=64,frag=no)",
            ]
            inner += [transport[protocol]] if protocol in transport else []
        case 1:
            inner = [
                "eth_type(0x86dd)",
                f"ipv6(dst=fe80::{rng.randrange(9)},proto=6,hlimit=9,frag=no)",
                "tcp()",
            ]
        case 2:
            inner = ["eth_type(0x0806)", f"arp(sip=10.0.0.1,tip=10.0.0.2,op={rng.randrange(1, 3)})"]
        case _:
            inner = [f"eth_type({rng.randrange(0x1000, 0x1010):#06x})"]
    if rng.random() < 0.3:
        tag = f"vlan(vid={rng.randrange(1, 5)},pcp={rng.randrange(8)})"
        inner = ["eth_type(0x8100)", tag, f"encap({','.join(inner)})"]
    return ",".join(parts + inner)


def test_traces_of_random_datapath_flows(pair: Pair) -> None:
    rng = random.Random(5)
    options = ([], ["--names"], ["-generate"], ["--ct-next", "trk,est"])
    cases: list[tuple[str, ...]] = []
    for _ in range(500):
        cases.append(("ofproto/trace", _random_flow(rng), *rng.choice(options)))
        actions = rng.choice(("2", "3,2", "table", "resubmit(,2),1", "mod_dl_src:00:00:00:00:00:0a,IN_PORT"))
        if "resubmit" not in actions and "table" not in actions:  # the original loses its way after ct
            cases.append(("ofproto/trace-packet-out", _random_flow(rng), actions))
    assert differences(pair, cases) == []


def _flows(text: str) -> list[str]:
    """A dump without order, and without what only the original has to say."""
    lines = [re.sub(r", dp-extra-info:\S+", "", line) for line in text.splitlines()]
    return sorted(re.sub(r"^ufid:(?!00000000)\S+ ", "", line) for line in lines)


STEPS: tuple[tuple[str, ...], ...] = (
    ("add-flow", "in_port(1),eth(),eth_type(0x1234)", "2"),
    ("add-flow", "in_port(1),eth(),eth_type(0x1234)", "2"),
    ("add-flow", "in_port(1),eth(src=00:00:00:00:00:01),eth_type(0x1234)", "2"),
    ("add-flow", "in_port(p2),eth(),eth_type(0x1235)", "p2"),
    ("add-flow", "in_port(p2),eth(),eth_type(0x1235)", "3"),
    ("mod-flow", "in_port(1),eth(),eth_type(0x1234)", "3"),
    ("mod-flow", "in_port(1),eth(),eth_type(0x1236)", "3"),
    ("mod-flow", "--may-create", "in_port(1),eth(),eth_type(0x1236)", "3"),
    ("mod-flow", "-s", "in_port(1),eth(),eth_type(0x1234)", "drop"),
    ("mod-flow", "--clear", "in_port(1),eth(),eth_type(0x1234)", "4"),
    ("dump-flows",),
    ("dump-flows", "-m"),
    ("del-flow", "in_port(1),eth(),eth_type(0x1234)"),
    ("del-flow", "in_port(1),eth(),eth_type(0x1234)"),
    ("del-flow", "-s", "in_port(2),eth(),eth_type(0x1235)"),
    ("add-flow", "foo", "1"),
    ("add-flow", FLOW, "foo"),
    ("add-flow", "nodp", FLOW, "1"),
    ("add-flow", "ovs-dummy", FLOW, "1"),
    ("add-flow", "dummy@ovs-dummy", FLOW, "1"),
    ("del-flow", "nodp", FLOW),
    ("del-flow", "dummy@ovs-dummy", FLOW),
    *(
        ("add-flow", flow, "2")
        for flow in (
            "in_port(1),eth()",
            "in_port(1)",
            "in_port(1),eth(src=1)",
            "in_port(1),eth(),eth_type(0x0800)",
            "in_port(1),eth(),eth_type(0x0800),ipv4(proto=6)",
            "in_port(1),eth(),eth_type(0x0800),tcp(src=1)",
            "in_port(1),eth(),eth_type(0x0800),arp(op=1)",
            "eth(),eth_type(0x1111)",
            "in_port(1),eth(),in_port(2)",
            "in_port(1),eth(),eth_type(0x8100)",
            "in_port(3),eth(),eth_type(0x0800/0xff00),ipv4()",
            "in_port(4),eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135)",
            "in_port(4),eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135),nd()",
            "in_port(2/0xf),eth(),eth_type(0x7779)",
            "in_port(4),eth(),eth_type(0)",
            "in_port(1),eth(),eth_type(0x8100),vlan(vid=1),encap(eth_type(0x1234))",
            "recirc_id(7),in_port(3),eth(),eth_type(0x4444)",
            "in_port(3),eth_type(0x4444)",
            "in_port(77),eth(),eth_type(0x4444)",
            "ufid:00000000-0000-0000-0000-000000000007 in_port(1),eth(),eth_type(0x5555)",
            "ufid:00000000-0000-0000-0000-000000000008, in_port(1),eth(),eth_type(0x5556)",
            "ufid:foo",
        )
    ),
    ("get-flow", "ufid:00000000-0000-0000-0000-000000000007"),
    ("get-flow", "-m", "ufid:00000000-0000-0000-0000-000000000007"),
    ("get-flow", "ufid:00000000-0000-0000-0000-000000000009"),
    ("get-flow", "nodp", "ufid:00000000-0000-0000-0000-000000000007"),
    ("get-flow", "ufid:7"),
    ("get-flow", "foo"),
    ("dump-flows", "-m"),
    ("dump-flows", "--names"),
    ("dump-flows", "-ms"),
    ("dump-flows", "-x"),
    ("dump-flows", "--mor"),
    ("del-flow", "ufid:00000000-0000-0000-0000-000000000007"),
    ("del-flow", "ufid:00000000-0000-0000-0000-000000000007"),
    *(
        ("dump-flows", word)
        for word in (
            "filter=in_port=1", "filter=in_port=p1", "filter=in_port=9", "filter=tcp", "filter=foo",
            "filter=",
            "filter=dl_type=0x1236", "filter=in_port=1,dl_type=0x1236", "type=ovs", "type=tc", "type=all",
            "type=foo", "type=ovs,tc", "type=offloaded", "type=non-offloaded", "type=partially-offloaded",
            "type=dpdk", "type=", "pmd=-1", "pmd=5", "pmd=x", "foo=1",
        )
    ),
    ("dump-flows", "ovs-dummy", "filter=in_port=1"),
    ("dump-flows", "filter=in_port=1", "dummy@ovs-dummy", "type=ovs"),
    ("dump-flows", "filter=in_port=1", "filter=in_port=2"),
    ("add-flow", "--foo", FLOW, "1"),
    ("add-flow", FLOW, "1", "2", "3"),
    ("add-flow", FLOW),
)  # fmt: skip


def test_flows_by_hand(held: Pair) -> None:
    different = []
    for command, *arguments in STEPS:
        theirs, ours = held.control(f"dpctl/{command}", *arguments)
        if _flows(theirs) != _flows(ours):
            different.append((command, arguments, theirs, ours))
    assert different == []


FILES = (
    "# comment\n\nadd in_port(1),eth(),eth_type(0x1240) 2\nin_port(1),eth(),eth_type(0x1241) 2\n"
    "modify in_port(1),eth(),eth_type(0x1240) 3,2\ndelete in_port(1),eth(),eth_type(0x1241)\n"
    "add in_port(1),eth(),eth_type(0x1242), actions:4\n",
    "add in_port(1),eth(),eth_type(0x1250) 2\nadd in_port(1),eth(),eth_type(0x1250) 2\nadd foo 2\n"
    "add in_port(1),eth(),eth_type(0x1251) 2\n",
    "add in_port(1),eth(),eth_type(0x1252)\nadd\nbogus x y\nadd in_port(1),eth(),eth_type(0x1253) 5 # c\n",
    "add ufid:00000000-0000-0000-0000-000000000009,in_port(1),eth(),eth_type(0x1254) 2\n"
    "add\tin_port(1),eth(),eth_type(0x1255)\t7\ndelete ufid:00000000-0000-0000-0000-000000000009\n",
)


def test_files_of_flows(held: Pair, tmp_path: Path) -> None:
    different = []
    for text in FILES:
        (tmp_path / "flows").write_text(text)
        for command in ("add-flows", "mod-flows", "del-flows"):
            theirs, ours = held.control(f"dpctl/{command}", str(tmp_path / "flows"))
            dumps = [_flows(one) for one in held.control("dpctl/dump-flows")]
            if theirs != ours or dumps[0] != dumps[1]:
                different.append((text, command, theirs, ours, dumps))
    for arguments in (("/nonexistent",), ("nodp", "/nonexistent"), ("-",)):
        theirs, ours = held.control("dpctl/add-flows", *arguments)
        if theirs != ours:
            different.append((arguments, theirs, ours))
    assert different == []


def test_random_flows_come_back_as_they_went_in(held: Pair) -> None:
    rng = random.Random(7)
    different, taken = [], 0
    for _ in range(400):
        flow = _random_flow(rng)
        theirs, ours = held.control(
            "dpctl/add-flow", flow, rng.choice(("1", "2,3", "drop", "push_vlan(vid=3,pcp=0),2"))
        )
        taken += not ours
        if theirs != ours:
            different.append((flow, theirs, ours))
    assert different == []
    assert taken > 100
    for options in ((), ("-m",), ("--names",)):
        theirs, ours = held.control("dpctl/dump-flows", *options)
        assert _flows(ours) == _flows(theirs)


def test_flows_by_hand_forward(pair: Pair) -> None:
    """And count; and go when the switch looks at what is there."""
    pair.control("revalidator/pause")
    pair.control("dpctl/add-flow", "in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp()", "2")
    for switch in pair.both:
        for _ in range(3):
            switch.control("netdev-dummy/receive", "p1", PACKET)
        deadline = time.monotonic() + 10
        while "packets:3" not in switch.control("dpctl/dump-flows") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "packets:3, bytes:138" in switch.control("dpctl/dump-flows", "filter=udp")
        sent = switch.ofctl("dump-ports", "br0", "2").stdout
        assert "tx pkts=3" in sent
        switch.control("revalidator/resume")
        while switch.control("dpctl/dump-flows") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert switch.control("dpctl/dump-flows") == ""


NORMALIZED = (
    "1", "3,2,1", "1,1,2", "10,9,2", "drop", "pop_vlan", "push_vlan(vid=5,pcp=0)", "push_vlan(vid=5,pcp=0),2",
    "2,push_vlan(vid=5,pcp=0),2", "push_vlan(vid=5,pcp=0),2,pop_vlan,3,push_vlan(vid=7,pcp=1),4",
    "push_vlan(vid=5,pcp=0),push_vlan(vid=6,pcp=0),1", "2,set(skb_mark(1)),1,3", "ct(commit),1",
    "clone(3,2),1",
    "set(eth(src=00:00:00:00:00:01)),3,1,set(eth(src=00:00:00:00:00:09)),2", "trunc(100),2,1", "foo",
    "push_vlan(tpid=0x88a8,vid=5,pcp=3,cfi=0),1", "set(tcp(src=1,dst=5)),1,set(ipv4(ttl=3)),3,recirc(5)",
    "2,set(tunnel(tun_id=5,dst=1.1.1.1,ttl=3)),7",
)  # fmt: skip
NORMALIZED_OF = (
    FLOW,
    "in_port(1),eth(),eth_type(0x8100),vlan(vid=9,pcp=1),encap(eth_type(0x0800),ipv4(proto=6),tcp(src=5))",
    "in_port(1),eth(),eth_type(0x8847),mpls(label=3,tc=1,ttl=3,bos=1)",
    "in_port(1),eth()",
    "in_port(1)",
)


def test_actions_normalized(pair: Pair) -> None:
    cases = [("dpctl/normalize-actions", flow, actions) for flow in NORMALIZED_OF for actions in NORMALIZED]
    named = (("p1,2", "p1=7"), ("7", "p1=7"), ("1", "p1=x"), ("1", "2"))
    cases += [("dpctl/normalize-actions", FLOW, *words) for words in named]  # type: ignore[misc]
    cases += [("dpctl/normalize-actions", FLOW), ("dpctl/normalize-actions", "foo", "1")]  # type: ignore[list-item]
    cases += [("dpctl/parse-actions", "1,2", "foo", "3"), ("dpctl/parse-actions", "", "p1")]
    assert differences(pair, list(cases)) == []


POLLING = """
pmd-rxq-show
pmd-rxq-show -secs 5
pmd-rxq-show -secs 7
pmd-rxq-show -secs 70
pmd-rxq-show -pmd 3
pmd-rxq-show foo
pmd-rxq-rebalance
pmd-rxq-rebalance foo
pmd-stats-show -pmd 3
pmd-stats-clear
pmd-stats-clear foo
pmd-perf-show
pmd-perf-show -nh -it 3
pmd-perf-log-set
pmd-perf-log-set foo
pmd-perf-log-set on
pmd-perf-log-set off -b 3 -ne -us 5
pmd-perf-log-set on -b
subtable-lookup-prio-set generic 3
subtable-lookup-prio-set generic x
subtable-lookup-prio-set generic 300
subtable-lookup-prio-set foo 3
subtable-lookup-prio-set foo
miniflow-parser-set scalar
miniflow-parser-set foo
miniflow-parser-set scalar 5
miniflow-parser-set
miniflow-parser-set -pmd 0 scalar
miniflow-parser-set -pmd scalar
dpif-impl-get
dpif-impl-set foo
dpif-impl-set dpif_scalar
"""
BY_HAND = """
add-dp dummy@ovs-dummy
del-dp dummy@nn
del-dp nn
add-if dummy@nn x
add-if dummy@ovs-dummy p1
add-if dummy@ovs-dummy p1,type=dummy
del-if dummy@nn x
del-if dummy@ovs-dummy x
del-if dummy@ovs-dummy 99
del-if dummy@ovs-dummy x y
set-if dummy@nn x
set-if dummy@ovs-dummy x
set-if dummy@ovs-dummy p1
set-if dummy@ovs-dummy p1,type=dummy
set-if dummy@ovs-dummy p1,type=foo
set-if dummy@ovs-dummy p1,port_no=1
set-if dummy@ovs-dummy p1,port_no=2 p2 x
add-dp
del-dp
add-if dummy@nn
set-if
del-if x
"""

ADDRESSES = ("1.0.0.1/33", "1.0.0.1/x", "1.0.0.1/", "1.0.0", "1.0.0.1/255.0.255.0", "1.0.0.1x", "1.0.0.1/-1")
ADDRESSES_6 = ("fe80::1/129", "fe80::1/x", "fe80::1/", "fe80", "fe80::1/64x", "fe80::1/-1", "fe80::1/ffff::")
REST: tuple[tuple[str, ...], ...] = (
    ("dpctl/cache-get-size",),
    ("dpctl/cache-get-size", "dummy@ovs-dummy"),
    ("dpctl/cache-get-size", "dummy@x"),
    ("dpctl/cache-set-size", "dummy@ovs-dummy", "x", "5"),
    ("dpctl/cache-set-size", "dummy@ovs-dummy", "x", "a"),
    ("dpctl/offload-stats-show",),
    ("dpctl/offload-stats-show", "x"),
    ("dpctl/dump-dps", "x"),
    ("dpctl/show", "--foo"),
    ("dpctl/show", "x", "y"),
    ("dpctl/show", "-s", "x"),
    ("dpctl/get-flow", "a", "b", "c"),
    ("dpctl/get-flow", "x", "y"),
    ("dpctl/get-flow", "x", "ufid:00000000-0000-0000-0000-000000000007"),
    ("dpctl/get-flow", "-m", "dummy@ovs-dummy", "y"),
    ("dpctl/get-flow", "ufid:y"),
    *(("netdev-dummy/ip4addr", "zork", address) for address in ("10.0.0.1", "x")),
    *(
        (f"netdev-dummy/ip{family}addr", "br0", address)
        for family, addresses in (("4", ADDRESSES), ("6", ADDRESSES_6))
        for address in addresses
    ),
    *((f"dpif-netdev/{first}", *rest) for first, *rest in map(str.split, POLLING.strip().splitlines())),
    *((f"dpctl/{first}", *rest) for first, *rest in map(str.split, BY_HAND.strip().splitlines())),
    ("mdb/show", "br0"),
    ("mdb/show", "x"),
    ("mdb/flush",),
    ("mdb/flush", "br0"),
    ("odp-execute/action-impl-set", "scalar"),
    ("odp-execute/action-impl-set", "foo"),
    ("ofproto/list-tunnels",),
    ("ofproto/list-tunnels", "x"),
    ("revalidator/pause", "x"),
    ("revalidator/wait", "x"),
    ("upcall/disable-ufid",),
    ("upcall/enable-ufid",),
    ("dpif/show-dp-features",),
    ("dpif/show-dp-features", "x"),
    ("dpif/set-dp-features", "x"),
    ("bridge/dump-flows", "x"),
    ("dpif/dump-flows", "x"),
    ("dpif/dump-flows",),
)


def test_commands_without_flows(pair: Pair) -> None:
    assert differences(pair, list(REST)) == []
    theirs, ours = pair.control("dpctl/list-commands")
    assert ours == theirs
    theirs, ours = (set(text.splitlines()) for text in pair.control("list-commands"))
    assert ours == theirs


def test_features_are_named_as_the_original_names_them(pair: Pair) -> None:
    """Their values are those of this datapath: what it lacks says No."""
    theirs, ours = (dict(one.split(": ") for one in text.splitlines())
                    for text in pair.control("dpif/show-dp-features", "br0"))  # fmt: skip
    assert list(ours) == list(theirs)
    assert {name for name in ours if ours[name] != theirs[name]} <= {
        "Tunnel push pop", "Optimized Balance TCP mode", "MPLS Label add", "IPv6 ND Extension"
    }  # fmt: skip


def test_without_megaflows(pair: Pair) -> None:
    """Each flow is for one packet, with all its fields."""
    pair.control("revalidator/purge")
    assert len(set(pair.control("upcall/disable-megaflows"))) == 1
    for switch in pair.both:
        switch.control("netdev-dummy/receive", "p1", PACKET)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        theirs, ours = (
            [line.partition(", packets")[0] for line in text.splitlines() if "recirc_id(0)" in line]
            for text in pair.control("dpctl/dump-flows", "filter=udp")
        )
        if theirs and ours:
            break
        time.sleep(0.02)
    assert ours == theirs
    assert len(set(pair.control("upcall/enable-megaflows"))) == 1


def _random_nat(rng: random.Random) -> str:
    kind = rng.choice(("src", "dst"))
    if rng.random() < 0.3:
        return rng.choice(("nat", f"nat({kind})"))
    four = rng.random() < 0.6
    text = "10.0.0.1-10.0.0.9" if four else "fe80::1-fe80::9"
    if rng.random() < 0.5:
        text = (
            text if four else "[fe80::1]-[fe80::9]"
        ) + f":{rng.randrange(1, 9000)}-{rng.randrange(9000, 65000)}"
    return (
        ",".join([f"nat({kind}={text}", *(one for one in ("persistent", "random") if rng.random() < 0.3)])
        + ")"
    )


def _random_action(rng: random.Random, depth: int = 0) -> str:
    number = lambda most: rng.choice((str, hex))(rng.randrange(most))  # noqa: E731
    match rng.randrange(18 if depth < 2 else 14):
        case 0:
            return number(70000)
        case 1:
            kind = rng.choice(("0x88a8", "0x8100"))
            return f"push_vlan(tpid={kind},vid={number(5000)},pcp={rng.randrange(9)})"
        case 2:
            return rng.choice(("pop_vlan", "ct_clear", f"trunc({number(70000)})"))
        case 3:
            return f"set(eth(src=00:00:00:00:00:{rng.randrange(16, 99)}))"
        case 4:
            return f"set(ipv4(dst=1.2.3.{rng.randrange(256)},tos={number(256)},ttl={number(256)}))"
        case 5:
            label = hex(rng.getrandbits(20))
            return f"set(ipv6(src=fe80::{rng.randrange(99)},label={label},hlimit={number(256)}))"
        case 6:
            return f"set({rng.choice(('tcp', 'udp', 'sctp'))}(src={number(65536)},dst={number(65536)}))"
        case 7:
            return "set(arp(sip=1.2.3.4,tip=5.6.7.8,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:02))"
        case 8:
            return f"set(skb_mark({number(1 << 32)}))"
        case 9:
            flags = rng.choice(("key", "df|key", "csum|key", "df|csum|key"))
            tunnel = hex(rng.getrandbits(24))
            return f"set(tunnel(tun_id={tunnel},src=1.1.1.1,dst=2.2.2.2,ttl=64,flags({flags})))"
        case 10 | 11:
            parts = [rng.choice(("commit", "force_commit")), f"zone={rng.randrange(1, 65536)}"]
            parts += [f"mark={number(1 << 32)}/{hex(rng.getrandbits(32))}"] if rng.random() < 0.5 else []
            parts += (
                [f"label={hex(rng.getrandbits(128))}/{hex(rng.getrandbits(128))}"]
                if rng.random() < 0.4
                else []
            )
            parts += ["helper=ftp"] if rng.random() < 0.3 else []
            parts += [_random_nat(rng)] if rng.random() < 0.6 else []
            return f"ct({','.join(parts)})"
        case 12:
            return rng.choice(
                (f"meter({number(1 << 32)})", f"lb_output({rng.randrange(1 << 32)})", "tnl_pop(3)")
            )
        case 13:
            return rng.choice(
                (
                    f"userspace(pid=7,sFlow(vid={rng.randrange(4096)},pcp=3,output={rng.randrange(9999)}))",
                    f"userspace(pid=1,userdata({rng.randbytes(rng.randrange(8, 30)).hex()}))",
                    f"userspace(pid=3,ipfix(output_port={rng.randrange(90)}),tunnel_out_port=7)",
                    f"recirc({rng.randrange(1 << 32)})",
                )
            )
        case 14 | 15:
            return f"clone({_random_action(rng, depth + 1)})"
        case 16:
            share = rng.choice(("50", "33.3", "0.1", "100", "0"))
            return f"sample(sample={share}%,actions({_random_action(rng, depth + 1)}))"
        case _:
            inner = [_random_action(rng, depth + 1) for _ in range(2)]
            return f"check_pkt_len(size={rng.randrange(65536)},gt({inner[0]}),le({inner[1]}))"


def test_random_actions_read_and_written(pair: Pair) -> None:
    rng = random.Random(3)
    cases = [
        ("dpctl/parse-actions", ",".join(_random_action(rng) for _ in range(rng.randrange(1, 4))))
        for _ in range(1500)
    ]
    assert differences(pair, list(cases)) == []
    assert sum("error" not in pair.original.control(*case) for case in cases) > 1000


ODD_WORDS = """
dpctl/ct-bkts
dpctl/ct-bkts gt=3
dpctl/dump-flows -more
dpctl/dump-flows -zork
dpctl/show -more
dpctl/show -s -zork
dpctl/add-flow -zork x y
dpctl/add-flow --zork x y
dpctl/dump-conntrack -zork
dpctl/ct-get-nconns -m
dpctl/del-flow ofproto:dbg
dpctl/del-flow in_port(1
dpctl/get-flow ofproto:dbg
dpctl/add-flow ofproto:dbg drop
dpctl/mod-flow zz drop
dpctl/ct-set-limits foo(1)
dpctl/ct-set-limits zone(1),limit
dpctl/ct-set-limits foo=1
dpctl/ct-set-limits zone=1,limit=2,x=3
dpctl/ct-del-limits zone=x
"""


def test_odd_words(pair: Pair) -> None:
    assert differences(pair, [tuple(line.split()) for line in ODD_WORDS.strip().splitlines()]) == []


def vlan_flows(rng: random.Random) -> Iterator[str]:
    """Flows with tags put on, changed by the actions of 1.0 and taken off."""
    words = (
        *("push_vlan:0x8100", "push_vlan:0x88a8", "strip_vlan", "mod_vlan_vid:3", "mod_vlan_pcp:2"),
        *("set_field:4100->vlan_vid", "set_field:4->vlan_pcp", "note:00", "push_mpls:0x8847", "output:2"),
    )
    for number in range(400):
        match = rng.choice(("ip", "ip,dl_vlan=5", "ip,vlan_tci=0", "arp"))
        actions = rng.choices(words, k=rng.randint(1, 6))
        yield f"priority={number},{match},actions={','.join(actions)},output:3"


@pytest.mark.parametrize("version", ["OpenFlow11", "OpenFlow13"])
def test_tags_are_put_on_where_there_are_none(pair: Pair, version: str) -> None:
    """Which the tool adds to mod_vlan_vid and mod_vlan_pcp."""
    switch, _ = pair.both
    told = ("-O", version)
    flows = [  # those that the tool can send
        flow
        for flow in vlan_flows(random.Random(version))
        if not switch.ofctl(*told, "parse-flow", flow).returncode
    ]
    assert len(flows) > 50
    found = []
    for ours in (False, True):
        switch.ofctl(*told, "del-flows", "br0", "table=9")
        text = "\n".join(f"table=9,{flow}" for flow in flows)
        done = switch.ofctl(*told, "add-flows", "br0", "-", input=text, ours=ours)
        listed = switch.ofctl(*told, "--no-stats", "dump-flows", "br0", "table=9").stdout
        found.append((done.returncode, done.stderr, sorted(listed.splitlines())))
    assert found[0] == found[1]
    assert len(found[0][2]) == len(flows)
