"""Numbers that their place in a flow cannot hold: OpenFlow's text as the original, a datapath's refused."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle

MATCHES = """
dl_vlan=99999 dl_vlan=-1 dl_vlan=x nw_ttl=999 ip,nw_ttl=256 tcp,tp_dst=65536 tcp,tp_dst=-1 in_port=99999
in_port=70000 in_port=nosuch ip,nw_tos=256 ip,nw_proto=256 dl_type=0x10000 dl_type=65536 ip,nw_src=1.2.3
vlan_tci=0x10000 reg0=0x100000000 metadata=0x10000000000000000 ct_state=+foo ct_mark=4294967296
tun_id=0x10000000000000000 icmp,icmp_type=256 arp,arp_op=65536 dl_src=1:2:3:4:5:6:7 recirc_id=4294967296
skb_priority=99999999999 ct_zone=65536 ip,ip_frag=foo nsh,nsh_spi=0x1000000 nsh,nsh_si=256
tcp,tcp_flags=+foo tcp,tcp_flags=0x1000 conj_id=4294967296 xreg0=0x1ffffffffffffffff
""".split()  # noqa: SIM905 - a table reads better than a list
REFUSED = r"error: ovs-vswitchd: parsing (flow key|actions) \(.*Invalid argument\)"
KEY = "in_port(1),eth(),eth_type(0x1234)"
IPV4 = "in_port(1),eth(),eth_type(0x0800),ipv4(src=%s,dst=2.2.2.2,proto=%s,tos=%s,ttl=%s,frag=no)"
BOTH_REFUSE = (  # key, actions
    (KEY, "push_vlan(vid=4096,pcp=0)"),
    (KEY, "push_vlan(vid=1,pcp=8)"),
    (KEY, "ct(label=0x1ffffffffffffffffffffffffffffffff)"),
    (KEY, f"ct(timeout={'x' * 32})"),
    (KEY, f"ct(helper={'x' * 16})"),
    (KEY, "ct(nat(src=1.2.3.4:6-5))"),
    (KEY, "ct(nat(src=1.2.3.4-1.2.3.1))"),
    (KEY, "sample(sample=101.0%,actions(1))"),
    (KEY, "set(eth(src=1))"),
    ("in_port(x)", "1"),
    ("in_port(1),eth_type(0x8100),vlan(vid=99999,pcp=0),encap(eth_type(0x0800))", "1"),
    ("in_port(1),eth(src=1,dst=2)", "1"),
)
CUT_OFF = (  # by the original, which takes the lowest bits
    (KEY, "4294967296"),
    (KEY, "trunc(4294967296)"),
    (KEY, "meter(-1)"),
    (KEY, "recirc(4294967296)"),
    (KEY, "ct(zone=65536)"),
    (KEY, "ct(nat(src=1.2.3.4:99999))"),
    (KEY, "userspace(pid=4294967296)"),
    (KEY, "check_pkt_len(size=65536,gt(1),le(2))"),
    (KEY, "set(ipv4(ttl=999))"),
    (KEY, "push_vlan(tpid=0x12345,vid=1,pcp=1)"),
    (KEY, "tnl_pop(99999999999)"),
    (IPV4 % ("1.1.1.1", 17, 0, 999), "1"),
    (IPV4 % ("1.1.1.1", 256, 0, 64), "1"),
    (IPV4 % ("1.1.1.1", 17, 256, 64), "1"),
    ("in_port(4294967296),eth(),eth_type(0x1234)", "1"),
)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="num.", dir="/tmp") as directory:
        both = Pair(Path(directory))
        yield both
        both.stop()


def test_openflow_text_says_the_same(pair: Pair) -> None:
    pairs = {match: pair.control("ofproto/trace", "br0", match) for match in MATCHES}
    assert {match: both for match, both in pairs.items() if both[0] != both[1]} == {}
    assert all(original.startswith("error: ") for original, _ in pairs.values())


@pytest.mark.parametrize(("cases", "alike"), [(BOTH_REFUSE, True), (CUT_OFF, False)])
def test_datapath_text_is_refused(pair: Pair, cases: tuple[tuple[str, str], ...], alike: bool) -> None:
    for key, actions in cases:
        original, ours = pair.control("dpctl/add-flow", key, actions)
        assert re.match(REFUSED, ours), actions
        if alike:
            assert original == ours, (key, actions)
    assert pair.ours.control("dpctl/dump-flows") == ""
    pair.original.control("dpctl/del-flows")


def test_the_limit_of_flows_is_a_number(pair: Pair) -> None:
    for text in ("x", "-1", "", "5x", "4294967296", "0x10"):
        assert pair.ours.control("upcall/set-flow-limit", text) == f"error: {text}: not a number of flows\n"
    for text in ("0", "7", "4294967295"):
        original, ours = pair.control("upcall/set-flow-limit", text)
        assert original == ours
