"""Keys, matches, frames and datapath text: any input gives an answer or its error, and round trips hold."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from support.frames import random_frame
from support.matches import random_match
from trunkline.base.addresses import format_ipv6, format_mac, parse_ipv6, parse_mac
from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.text import format_key, parse_key
from trunkline.flow import key as layout
from trunkline.flow.key import VIEW, pack
from trunkline.flow.key_text import flow_mask, format_flow
from trunkline.flow.match import Match, intersection, normalize, overlap, subset
from trunkline.flow.text import format_match, parse_match
from trunkline.flow.values import TextError
from trunkline.packet.build import build
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse
from trunkline.packet.rewrite import pop_vlan, push_vlan, set_fields

seeds = st.integers(0, 2**32).map(random.Random)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_key(frame: bytes) -> None:
    key = parse(frame)
    assert key & ~layout.PACKET == 0
    format_flow(key)
    format_key(key)


@given(seeds)
@settings(max_examples=300)
def test_any_frame_can_be_rewritten(rng: random.Random) -> None:
    frame = random_frame(rng)
    key = parse(frame)
    mask = rng.getrandbits(layout.BITS) & layout.PACKET
    changed = set_fields(Packet(frame), key, rng.getrandbits(layout.BITS) & mask, mask)
    assert len(changed.frame) == len(frame)
    assert set_fields(Packet(frame), key, key & mask, mask).frame[:12] == frame[:12]
    if len(frame) >= 14:
        assert pop_vlan(push_vlan(Packet(frame), 0x8100, 5)).frame == frame


@given(
    st.sampled_from((6, 17, 132)),
    st.fixed_dictionaries({name: st.integers(0, VIEW[name].ones) for name in (
        "dl_src", "dl_dst", "nw_ttl", "nw_tos", "tp_src", "tp_dst")}),
    st.booleans(),
)  # fmt: skip
def test_built_frames_have_the_key_they_were_built_from(
    protocol: int, fields: dict[str, int], six: bool
) -> None:
    addresses = {"ipv6_src": 5 << 100, "ipv6_label": 3} if six else {"nw_src": 77, "nw_frag": 1}
    key = pack({**fields, **addresses, "dl_type": 0x86DD if six else 0x0800, "nw_proto": protocol})[0]
    assert parse(build(key)) == key


@given(seeds)
def test_matches_read_what_they_print(rng: random.Random) -> None:
    match = normalize(parse_match(random_match(rng)))
    text = format_match(match)
    assert format_match(normalize(parse_match(text))) == text


@given(st.text(alphabet="abcdeilnoprstuvx_0123456789=/,:.()+-|*{} \"'\n", max_size=60))
def test_any_text_is_a_match_or_an_error(text: str) -> None:
    for parser in (parse_match, parse_key, parse_actions):
        try:
            parser(text)
        except TextError:
            continue


@given(
    st.sampled_from(("reg0", "nw_src", "ipv6_dst", "tcp_flags", "ct_state", "in_port", "dl_src", "vlan_tci",
                     "nw_frag",
                     "tun_metadata3", "packet_type", "ct_label", "dl_vlan", "tun_flags", "nw_tos")),
    st.text(max_size=30),
)  # fmt: skip
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    try:
        match = parse_match(f"{name}={value}")
    except TextError:
        return
    format_match(match)


@given(st.binary(max_size=80))
def test_any_bytes_as_datapath_text(data: bytes) -> None:
    for prefix in ("", "tunnel(", "eth_type(0x8100),vlan(vid=3),encap(", "set(ipv4(", "ct(commit,nat(src="):
        for parser in (parse_key, parse_actions):
            try:
                parser(prefix + data.decode("latin-1"))
            except TextError:
                continue


@given(seeds)
@settings(max_examples=200)
def test_datapath_keys_of_frames_read_back(rng: random.Random) -> None:
    key = parse(random_frame(rng))
    text = format_key(key)
    value, mask = parse_key(text)
    assert format_key(value, mask) in (text, format_key(value, mask))
    assert (value ^ key) & mask & VIEW["dl_dst"].mask == 0


def test_actions_read_back() -> None:
    for text in (
        "1,push_vlan(vid=5,pcp=0),set(ipv4(ttl=3)),2",
        "pop_vlan,userspace(pid=5,sFlow(vid=3,pcp=2,output=3))",
    ):
        assert format_actions(parse_actions(text)) == text


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**128 - 1))
def test_addresses(mac: int, address: int) -> None:
    assert parse_mac(format_mac(mac)) == mac
    assert parse_ipv6(format_ipv6(address)) == address


small = st.integers(0, 15)


@given(small, small, small, small)
def test_sets_of_packets(v1: int, m1: int, v2: int, m2: int) -> None:
    a, b = Match(v1 & m1, m1), Match(v2 & m2, m2)
    in_a, in_b = ({k for k in range(16) if k & m.mask == m.value} for m in (a, b))
    assert overlap(a, b) == bool(in_a & in_b)
    assert subset(a, b) == (in_a <= in_b)
    both = intersection(a, b)
    assert (both is None) == (not in_a & in_b)
    if both is not None:
        assert {k for k in range(16) if k & both.mask == both.value} == in_a & in_b


@given(st.binary(min_size=14, max_size=120))
def test_the_mask_of_a_flow_covers_its_addresses(frame: bytes) -> None:
    assert flow_mask(parse(frame)) & VIEW["dl_dst"].mask == VIEW["dl_dst"].mask
