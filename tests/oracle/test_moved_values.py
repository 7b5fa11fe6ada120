"""Fields of other widths than what is moved into them or out of them, and links chosen by a hash: what a
trace tells is what the original's tells."""

import random
import re
from collections.abc import Iterator

import pytest

from support.openflow_talk import held_pair
from support.switch_pair import Pair
from trunkline.model import openflow as of
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.wire import Protocol

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

MOVES = """
in_port=2 output:in_port_oxm[]
in_port=LOCAL output:in_port_oxm[]
in_port=LOCAL output:in_port_oxm[0..15]
in_port=LOCAL output:in_port[]
in_port=LOCAL push:in_port_oxm[],pop:reg2[],resubmit(,1)
in_port=1 set_field:0xfffffffe->reg1,push:reg1[],pop:in_port_oxm[],resubmit(,1)
in_port=LOCAL learn(table=1,reg0[]=in_port_oxm[],output:in_port_oxm[]),resubmit(,1)
in_port=LOCAL learn(table=1,reg0[0..15]=in_port[],output:in_port[]),resubmit(,1)
in_port=LOCAL learn(table=1,in_port_oxm[],load:in_port_oxm[]->reg1[],output:in_port[]),resubmit(,1)
in_port=LOCAL learn(table=1,in_port_oxm[],load:5->in_port_oxm[]),resubmit(,1)
in_port=LOCAL multipath(eth_src,50,modulo_n,1,0,in_port_oxm[0..15]),resubmit(,1)
in_port=1 move:actset_output[]->reg0[],write_actions(output:2)
in_port=1 push:actset_output[],pop:reg0[]
in_port=LOCAL move:in_port_oxm[]->reg0[]
in_port=3 move:in_port_oxm[]->reg0[]
in_port=LOCAL move:in_port_oxm[0..15]->reg0[0..15]
in_port=LOCAL move:in_port_oxm[8..23]->reg0[0..15]
in_port=LOCAL move:in_port[]->reg0[0..15]
in_port=1 set_field:0x50607->reg1,move:reg1[]->in_port_oxm[]
in_port=1 set_field:0x507->reg1,move:reg1[]->in_port_oxm[]
in_port=1 set_field:0xfffffffe->reg1,move:reg1[]->in_port_oxm[]
in_port=1 set_field:0xfffffffe->reg1,move:reg1[0..15]->in_port_oxm[0..15]
in_port=1 set_field:0xfffffffe->reg1,move:reg1[0..15]->in_port_oxm[8..23]
in_port=1 set_field:0xfffe->reg1,move:reg1[]->in_port_oxm[]
in_port=1 set_field:0xfff8->reg1,move:reg1[]->in_port_oxm[]
in_port=1 set_field:0xfffffff8->reg1,move:reg1[]->in_port_oxm[],move:in_port_oxm[]->reg0[]
in_port=1 set_field:0xfffffeff->reg1,move:reg1[]->in_port_oxm[],move:in_port_oxm[]->reg0[]
in_port=1 set_field:0xffffff01->reg1,move:reg1[]->in_port_oxm[],move:in_port_oxm[]->reg0[]
in_port=1 set_field:0xff00->reg1,move:reg1[]->in_port_oxm[],move:in_port_oxm[]->reg0[]
in_port=1 set_field:0xfeff->reg1,move:reg1[]->in_port_oxm[],move:in_port_oxm[]->reg0[]
in_port=1 move:actset_output[]->reg0[]
in_port=1 move:actset_output[8..23]->reg0[0..15]
in_port=1,arp,arp_op=1 set_field:0x607->reg1,move:reg1[0..15]->arp_op[],move:arp_op[]->reg0[0..15]
in_port=1,arp,arp_op=1,arp_spa=1.2.3.4 set_field:0x607->reg1,move:reg1[0..15]->arp_op[],resubmit(,1)
in_port=1,arp,arp_op=1,arp_spa=1.2.3.4 set_field:0x607->reg1,move:reg1[0..11]->arp_op[4..15],resubmit(,1)
in_port=1,arp,arp_op=0 set_field:0x300->reg1,push:reg1[0..15],pop:arp_op[],output:2
in_port=1,tcp,nw_tos=0xfc set_field:0x607->reg1,move:reg1[0..7]->nw_tos[],output:2
in_port=1,tcp,nw_tos=0xfc set_field:0x607->reg1,move:reg1[0..3]->nw_tos[0..3],output:2
in_port=1,tcp,nw_tos=0xfc set_field:0x607->reg1,move:reg1[0..1]->nw_tos[0..1],output:2
in_port=1,tcp,nw_tos=4,nw_ecn=3 move:nw_tos[]->reg0[0..7],resubmit(,1)
in_port=1,tcp,nw_tos=4,nw_ecn=3 move:nw_tos[0..2]->reg0[0..2],resubmit(,1)
in_port=1,mpls set_field:0xf23456->reg1,move:reg1[0..19]->mpls_label[],resubmit(,1)
in_port=1,tcp6 set_field:0xffffffff->reg1,move:reg1[0..19]->ipv6_label[0..19],resubmit(,1)
in_port=1,tcp6,ipv6_label=77 move:ipv6_label[]->reg1[0..19],resubmit(,1)
in_port=1,tcp6 set_field:0xffffffff->reg1,move:reg1[0..15]->vlan_tci[],resubmit(,1)
in_port=1,dl_vlan=5 set_field:0xffffffff->reg1,move:reg1[0..11]->vlan_vid[],resubmit(,1)
in_port=1,tcp6 set_field:0xffffffff->reg1,move:reg1[0..11]->vlan_vid[0..11],resubmit(,1)
in_port=1,dl_vlan=5 set_field:0xffffffff->reg1,move:reg1[0..2]->vlan_pcp[],resubmit(,1)
in_port=1,tun_flags=1 move:tun_flags[]->reg1[0],resubmit(,1)
in_port=1,tcp move:packet_type[]->reg1[],resubmit(,1)
in_port=1,tcp move:ct_state[]->reg1[],resubmit(,1)
in_port=1,icmp6 set_field:0xff->reg1,move:reg1[0..7]->icmpv6_type[],resubmit(,1)
in_port=1,tcp set_field:0x1ff->reg1,move:reg1[0..15]->tcp_src[],resubmit(,1)
in_port=1,tcp,tcp_flags=0xfff move:tcp_flags[]->reg1[0..11],resubmit(,1)
in_port=1,tcp,tcp_flags=0xfff move:tcp_flags[0..11]->reg1[0..11],resubmit(,1)
in_port=1,icmp6,icmpv6_type=135,icmpv6_code=0 set_field:5->reg1,move:reg1[0..5]->nd_target[0..5],output:2
in_port=1,icmp6 set_field:0x1ff->reg1,move:reg1[0..15]->pkt_mark[0..15],resubmit(,1)
in_port=1,icmp6 set_field:0x1ff->reg1,move:reg1[0..15]->tunnel_id[0..15],resubmit(,1)
"""
HASHES = (
    "eth_src",
    "symmetric_l4",
    "symmetric_l3l4",
    "symmetric_l3l4+udp",
    "symmetric_l3",
    "nw_src",
    "nw_dst",
)
ALGORITHMS = ("modulo_n", "hash_threshold", "hrw", "iter_hash")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


class Table:
    """One flow in table 0 of both, and one behind it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.peers = pair.peers(4)
        self.set("table=1,actions=output:2")

    def set(self, flow: str) -> None:
        mod = parse_flow(flow, of.OFPFC_ADD).mod
        for peer in self.peers:
            replies = peer.ask(*encode(Protocol(4, False, True), mod._replace(table=mod.table % 255), 7))
            assert not replies, flow

    def traces(self, packet: str) -> tuple[str, str]:
        theirs, ours = self.pair.control("ofproto/trace", "br0", packet)
        return re.sub("Megaflow: .*", "", theirs), re.sub("Megaflow: .*", "", ours)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


def test_moves_between_fields_of_other_widths(pair: Pair) -> None:
    table = Table(pair)
    for line in MOVES.split("\n")[1:-1]:
        packet, actions = line.split(" ", 1)
        match = packet.partition(",")[2]
        clear = parse_flow("table=0", of.OFPFC_DELETE).mod
        for peer in table.peers:
            peer.ask(*encode(Protocol(4, False, True), clear, 7))
        table.set(f"table=0,{match}{',' if match else ''}actions={actions}")
        theirs, ours = table.traces(packet)
        assert "Final flow" in theirs
        assert ours == theirs, line
    table.close()


def test_links_chosen_by_a_hash(pair: Pair) -> None:
    r = random.Random("links")
    table = Table(pair)
    chosen = set()
    for _ in range(120):
        links = r.choice((1, 2, 3, 4, 5, 8, 17, 63, 64, 65, 66, 300))
        argument = r.choice((0, links - 1, links, links + 1, 2 * links, 2 * links + 1, 2 * links + 2, 60000))
        algorithm = r.choice(ALGORITHMS)
        hashed = f"{r.choice(HASHES)},{r.randrange(9)}"
        table.set(f"table=0,actions=multipath({hashed},{algorithm},{links},{argument},reg0[])")
        for _ in range(3):
            source = f"dl_src=50:54:00:00:00:{r.randrange(256):02x},nw_src=10.0.0.{r.randrange(256)}"
            theirs, ours = table.traces(
                f"in_port=1,{r.choice(('tcp', 'udp'))},{source},tp_src={r.randrange(9)}"
            )
            assert ours == theirs, (algorithm, links, argument)
            chosen.update(re.findall(r"REG0\[\] is now (\S+)", ours))
    table.close()
    assert len(chosen) > 60
