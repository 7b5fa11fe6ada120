"""Datapath text that the original printed for the same flow (read off its dummy datapath once)."""

import pytest

from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.actions import Output, PopVlan, PushVlan, Set
from trunkline.dpif.text import format_key, parse_key
from trunkline.flow.key import get, pack
from trunkline.flow.values import TextError

PRINTED = (
    "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=later)",
    "tunnel(tun_id=0x5/0xff,ipv6_src=::1,ipv6_dst=::2,ttl=64,tp_src=4,tp_dst=3,vxlan(gbp(id=3,flags=0x1)),"
    "flags(+df-csum+key)),recirc_id(0),in_port(1),eth(),eth_type(0x1234)",
    "tunnel(tun_id=0x5,src=1.1.1.1,dst=1.1.1.2,ttl=64,geneve({class=0xffff,type=0x80,len=4,0xa}),flags(df|key)),"
    "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x88a8),vlan(vid=3,pcp=2),encap(eth_type(0x8100),vlan(vid=4,pcp=0),"
    "encap(eth_type(0x0806),arp(sip=1.1.1.1,tip=2.2.2.2,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)))",
    "ct_state(-new+est-rel-rpl-inv+trk-snat-dnat),ct_zone(0x3/0xff),ct_tuple6(src=::1,dst=::2/::ff,proto=6,"
    "src_port=1/0xff),recirc_id(0),in_port(1),eth(),eth_type(0x86dd),ipv6(frag=no)",
    "recirc_id(0),in_port(1),eth(),eth_type(0x8847),mpls(label=3,tc=2,ttl=64,bos=0,label=4,tc=3,ttl=3,bos=1)",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01),eth_type(0/0xffff)",
)


@pytest.mark.parametrize("text", PRINTED)
def test_keys_read_and_print_alike(text: str) -> None:
    assert format_key(*parse_key(text)) == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("in_port(1),foo(3),eth()", "foo(3),eth()"),
        ("eth_type(0x8100),vlan(vid=3),encap(eth_type(1),foo(3))", "encap(eth_type(1),foo(3))"),
        ("ct_state(+foo),eth()", "ct_state(+foo),eth()"),
        ("ipv4(frag=no/0)", "ipv4(frag=no/0)"),
        ("mpls(lse0=5)", "mpls(lse0=5)"),
        ("in_port(1", "in_port(1"),
        ("in_port(nosuch)", "in_port(nosuch)"),
        ("tunnel(foo=1)", "tunnel(foo=1)"),
        ("tunnel(geneve({class=1}))", "tunnel(geneve({class=1}))"),
    ],
)
def test_errors_name_the_place(text: str, rest: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_key(text)
    assert str(caught.value) == f"syntax error at {rest}"


def test_ports_by_name() -> None:
    key, mask = parse_key("in_port(p1)", {"p1": 5})
    assert get(key, "dp_in_port") == 5
    assert format_key(key, mask, port_names={5: "p1"}) == "in_port(p1),eth()"


def test_actions_are_records() -> None:
    text = "push_vlan(vid=5,pcp=1),set(ipv4(ttl=3)),pop_vlan,p2"
    actions = parse_actions(text, {"p2": 2})
    assert actions == (PushVlan(0x8100, 0x3005), Set(*pack(nw_ttl=3)), PopVlan(), Output(2))
    assert format_actions(actions, {2: "p2"}) == text
    assert format_actions(()) == "drop"


def test_a_set_of_several_headers_is_written_as_several() -> None:
    key = pack(dl_type=0x86DD, nw_proto=17)[0]
    action = Set(*pack(dl_dst=1, ipv6_src=2, tp_dst=3, pkt_mark=4))
    assert format_actions((action,), key=key) == (
        "set(skb_mark(0x4)),set(eth(dst=00:00:00:00:00:01)),set(ipv6(src=::2)),set(udp(dst=3))"
    )
