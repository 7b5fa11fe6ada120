"""Frames to keys and matches to text and back, as the original ovs-ofctl does it."""

import random
from pathlib import Path

import pytest

from support.frames import pcap, random_frame
from support.matches import random_match
from support.originals import Originals
from trunkline.flow.key import put
from trunkline.flow.key_text import format_flow
from trunkline.flow.match import normalize
from trunkline.flow.text import format_match, parse_match
from trunkline.flow.values import TextContext, TextError
from trunkline.model.openflow import OFPFC_ADD
from trunkline.openflow.actions_text import ActionContext
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.wire import Protocol
from trunkline.packet.parse import parse

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("seed", range(3))
def test_keys_of_frames(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    frames = [random_frame(rng) for _ in range(4000)]
    (tmp_path / "frames.pcap").write_bytes(pcap(frames))
    printed = (
        Originals(tmp_path).run("ovs-ofctl", "parse-pcap", str(tmp_path / "frames.pcap")).stdout.split("\n")
    )
    expected = [line for line in printed if line]
    assert len(expected) == len(frames)
    ours = [format_flow(put(parse(frame), "in_port", 0xFFFF)) for frame in frames]
    different = [(f.hex(), o, e) for f, o, e in zip(frames, ours, expected, strict=True) if o != e]
    assert different == []


@pytest.mark.parametrize("seed", range(3))
def test_matches(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    texts = [random_match(rng) for _ in range(3000)]
    flows = tmp_path / "flows"
    flows.write_text("".join(f"{text}{',' * bool(text)}actions=drop\n" for text in texts))
    printed = Originals(tmp_path).run("ovs-ofctl", "-F", "nxm", "parse-flows", str(flows)).stdout
    lines = [line for line in printed.split("\n") if "FLOW_MOD" in line]
    assert len(lines) == len(texts)
    different = []
    for text, line in zip(texts, lines, strict=True):
        expected = line.partition("ADD")[2].partition("actions=")[0].strip()
        ours = format_match(normalize(parse_match(text)))
        if ours != expected or format_match(parse_match(ours)) != ours:
            different.append((text, ours, expected))
    assert different == []


# What the original refuses, and forms that look wrong and are taken.
MALFORMED = """
dl_vlan=any ct_state=+trk+trk ct_state=+foo ct_state=foo ct_state=0x1ff ct_state=0x100/0x100
ct_state=trk|foo ct_state=+ ct_state=+trk|new tun_flags=0x3 tun_flags=+df packet_type=(1) packet_type=3
packet_type=(1,70000) packet_type=(a,3) packet_type=(1,b) dl_type=2048/2048 dl_type=65536
metadata=0x10000000000000000 reg0=-1 reg0=1/ reg0=a reg0=1/a reg0=1//2 nw_ttl=256 nw_ttl=1/1 foo=3 foo
vlan nsh nw_src=1.2.3 nw_src=1.2.3.4/33 nw_src=1.2.3.4/-1 nw_src=1.2.3.4/a nw_src=1.2.3.4/24/3
nw_src=1.2.3.4x nw_src=1.2.3.4/255.255 ipv6_src=foo ipv6_src=::1/129 ipv6_src=::1/x ipv6_src=::1/
ipv6_src=1:2:3 ipv6_src=1::2::3 ipv6_src=::12345 ipv6_src=::/5bf3:: ipv6_src=::/200::
dl_src=00:00:00:00:00 dl_src=00:00:00:00:00:00:00 dl_src=00:00:00:00:00:01/ff dl_src=zz:00:00:00:00:00
in_port=foo in_port=1/1 in_port=0xfffe in_port_oxm=foo actset_output=foo nw_frag=foo nw_frag=1
tcp_flags=+foo tcp_flags=foo tcp_flags=0x1000 tcp_flags=+syn+syn tcp_flags=+syn|ack tcp_flags=syn+ack
dl_vlan=0x10000 dl_vlan=-1 dl_vlan=3/3 tun_metadata64=1 tun_metadata0=1,tun_metadata0=2 tun_metadata0=g
ct_label=0x1ffffffffffffffffffffffffffffffff ct_label=18446744073709551616 ct_zone=3/4 tp_src=65536
tp_src=http tp_src=08 tp_src=5x tp_src='5' metadata=0x1/0xfffffffffffffffff mpls_label=3/7 arp_op=65536
icmp_type=256 conj_id=5/5 recirc_id=1/1 nw_proto=6/6 nw_proto=tcp reg16=1 xreg8=1 reg0=0x1g nw_ecn=1/1
ip_dscp=300 tun_id=0x1/0x10000000000000000 skb_mark=3 tun_gtpu_flags=300 ct_nw_proto=6/1 nd_target=1
arp_sha=1 reg0=0xg reg0=1e3 reg0(5) dl_dst(01:02:03:04:05:06) reg0:5 tcp=5 ip= tun_erspan_ver=300
nsh_ttl=3/3 in_port=65280 in_port=4294967040 reg0=010 dl_src=0:0:0:0:0:100 nw_src=1.2.3.256 reg0= reg0
dl_vlan=* eth tp_src=0x tp_src=+5
""".split()  # noqa: SIM905


def test_malformed_matches(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    different = []
    for text in MALFORMED:
        done = originals.run("ovs-ofctl", "parse-flow", f"{text},actions=drop")
        errors = [line for line in done.stderr.split("\n") if line.startswith("ovs-ofctl: ")]
        try:
            parse_match(text)
            ours = []
        except TextError as error:
            ours = [f"ovs-ofctl: {error}"]
        if ours != errors:
            different.append((text, ours, errors))
    assert different == []


KINDS = (
    "", "ip", "ipv6", "tcp", "udp", "sctp", "icmp", "icmp6", "arp", "rarp", "mpls", "tcp6", "udp6",
    "sctp6", "eth",
    "icmp,icmp_type=8", "icmp6,icmp_type=135", "icmp6,icmp_type=136,icmp_code=0", "ip,nw_proto=2",
    "dl_type=0x1234",
    "ipv6,nw_proto=2", "dl_type=0x894f", "packet_type=(1,0x800)", "packet_type=(1,0x86dd)", "vlan_tci=0x1005",
)  # fmt: skip
ANYWHERE = (
    "nd_target=fe80::1", "nd_target=fe80::/16", "nd_sll=00:11:22:33:44:55", "nd_tll=00:11:22:33:44:55",
    "nd_options_type=1", "tp_src=80", "tp_dst=53", "tcp_flags=+syn", "icmp_type=8", "icmp_code=0",
    "icmp_type=135",
    "arp_sha=00:11:22:33:44:55", "arp_tha=00:11:22:33:44:66", "arp_spa=1.2.3.4", "arp_tpa=1.2.3.0/24",
    "arp_op=1",
    "nw_src=1.2.3.4", "nw_dst=1.2.0.0/16", "ipv6_src=::1", "ipv6_dst=fe80::/16", "ipv6_label=5", "nw_tos=16",
    "nw_ecn=1", "nw_ttl=3", "ip_frag=first", "ip_frag=later", "ip_frag=no", "mpls_label=5", "mpls_bos=1",
    "nsh_ttl=5", "nsh_c1=7", "nw_proto=6", "nw_proto=17", "dl_src=00:00:00:00:00:01", "dl_vlan=5",
    "vlan_tci=0",
    "ct_nw_proto=0", "ct_tp_src=5", "ct_state=+trk", "in_port=70000", "in_port=65534", "in_port=65281",
)  # fmt: skip


def test_what_is_left_out_and_what_is_logged(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    rng = random.Random(8)
    noted = 0
    for _ in range(250):
        words = (rng.choice(KINDS), *rng.sample(ANYWHERE, rng.choice((1, 1, 2, 3))))
        text = ",".join(word for word in words if word)
        done = originals.run("ovs-ofctl", "-F", "nxm", "parse-flow", f"{text},actions=drop")
        expected = [line.split("|", 4)[4] for line in done.stderr.split("\n") if line.count("|") >= 4]
        ours: list[str] = []
        context = TextContext(warn=lambda _, line, ours=ours: ours.append(line))  # type: ignore[misc]
        try:
            flow = parse_flow(f"{text},actions=drop", OFPFC_ADD, ActionContext(text=context))
        except TextError as error:
            wrong = str(error)
        else:
            wrong = ""
        if wrong:
            assert done.stderr.rstrip().endswith(wrong), text
            continue
        ours += flow.notes
        assert ours == expected, text
        noted += bool(flow.notes)
        added = done.stdout.partition("ADD")[2].partition("actions=")[0].strip()
        if "***" not in done.stdout:  # it may write what it does not read
            assert (
                format_match(decode(b"".join(encode(Protocol(1, True, True), flow.mod, 1))).message.match)
                == added
            ), text
    assert noted > 100
