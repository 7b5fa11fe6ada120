"""Flows written wrong: ovs-ofctl and ofproto/trace say the same of them as the originals."""

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.flow_words import flow_words, match_words
from support.ofctl import differences
from support.switch_pair import Pair

pytestmark = pytest.mark.oracle
VERSIONS = ("OpenFlow10", "OpenFlow11", "OpenFlow15")
_MEGAFLOW = re.compile(r"^Megaflow:.*\n", re.MULTILINE)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="words.", dir="/tmp") as directory:
        both = Pair(Path(directory))
        yield both
        both.stop()


@pytest.mark.parametrize("seed", range(3))
def test_traces_begin_with_the_same_flow_or_are_refused_in_the_same_words(pair: Pair, seed: int) -> None:
    r = random.Random(f"traces {seed}")
    for _ in range(1200):
        words = match_words(r)
        theirs, mine = (_MEGAFLOW.sub("", text) for text in pair.control("ofproto/trace", "br0", words))
        assert mine == theirs, words


EXACT = """
vlan_pcp=3
vlan_vid=5,vlan_pcp=3
dl_vlan_pcp=4,dl_vlan=5
dl_vlan=5,vlan_tci=4
tcp,ip
tcp,udp
ip,nw_proto=6,tcp
tcp,nw_proto=6
udp,tp_dst=53
in_port=1,in_port=2
reg0=5,xreg0=4
tun_id=5,tunnel_id=4
tun_dst=1.1.1.1,tun_tos=4,tun_ttl=3,tun_flags=oam
tun_dst=1.1.1.1,tun_metadata0=5
ct_state=trk,ip,ct_nw_src=1.1.1.1
ct_state=est|trk,ip,ct_nw_proto=6,ct_nw_src=1.1.1.1
ct_state=est|trk,ipv6,ct_nw_proto=17,ct_ipv6_src=::1,ct_tp_src=6
conj_id=5,recirc_id=4,tcp
packet_type=(1,0x894f),nsh_ttl=4
packet_type=(1,0x800),packet_type=(0,0)
packet_type=(2,3)
in_port=
tcp,tcp_flags=
ct_state=
"""


def test_flows_that_a_trace_begins_with(pair: Pair) -> None:
    for words in EXACT.split():
        theirs, mine = (_MEGAFLOW.sub("", text) for text in pair.control("ofproto/trace", "br0", words))
        assert mine == theirs, words


PARTS = """
ip,nw_src[24..31]=10
ip,nw_src[0..31]=10
dl_src[40]=1
vlan_vid[0..3]=4
vlan_tci[12]=1
dl_vlan[]=5
in_port[]=5
in_port[]=77777
ip,nw_tos[]=4
ip,ip_dscp[]=4
ip,nw_frag[]=1
ipv6,ipv6_src[64..127]=5,ipv6_src[0..63]=6
ct_state[0]=1,ct_state[5]=1
reg0[0..7]=0x05,reg0[8..15]=010
reg0=7,reg0[0..7]=5
reg0[0..7]=256
reg0[0..7]=5x
reg0[0..7]=-1
reg0[0..7]=
reg0[0..7]
reg0[8..3]=1
reg0[30..40]=1
reg0[0=1
reg0[0]x=1
foo[0]=1
[0]=1
xxreg0[]=0x123456789012345678901234567890
xxreg0[64..127]=0x12345678abcdef
vlan_pcp[0]=1
tun_tos[0]=1
tun_metadata0[0..3]=2
mpls,mpls_bos[]=1
"""


def test_parts_of_fields_in_matches() -> None:
    cases = []
    for words in PARTS.split():
        cases += [["-O", version, "parse-flow", f"{words},actions=2"] for version in VERSIONS]
    assert differences(cases) == []


def test_wrong_flows_are_refused_in_the_same_words() -> None:
    """All but a few: see differences.md."""
    r = random.Random("wrong flows")
    cases = []
    for _ in range(700):
        version = r.choice((None, "OpenFlow10", "OpenFlow11", "OpenFlow13", "OpenFlow15"))
        options = [] if version is None else ["-O", version]
        cases.append([*options, "parse-flow", "--", flow_words(r)])
    found = differences(cases)
    assert len(found) <= 5, found
