"""Datapath keys, actions and composed frames: the original's dummy datapath prints and sends the same."""

import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.control import Control, control_socket
from support.originals import Originals
from trunkline.base.addresses import format_ipv4
from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.text import format_key, parse_key
from trunkline.flow.key import VIEW, pack
from trunkline.flow.values import TextError
from trunkline.io.netdev.dummy import _frames
from trunkline.jsonrpc.unixctl import CommandError
from trunkline.packet.build import build

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    originals = Originals(directory)
    originals.start_database()
    originals.start_switch()
    commands = (
        "add-br br0 -- set Bridge br0 datapath_type=dummy fail-mode=secure "
        "-- add-port br0 p1 -- set Interface p1 type=dummy ofport_request=1 -- add-port br0 p2 "
        f"-- set Interface p2 type=dummy ofport_request=2 options:tx_pcap={directory}/p2.pcap "
        "-- set Open_vSwitch . other_config:vlan-limit=2"
    )
    originals.run("ovs-vsctl", f"--db={originals.database}", *commands.split())
    yield originals
    originals.stop()
    shutil.rmtree(directory)


Given = dict[str, tuple[int, int]]


def _random(rng: random.Random, name: str, chance: float = 0.5, bits: int | None = None) -> tuple[int, int]:
    bits = bits or VIEW[name].ones.bit_length()
    if rng.random() > chance:
        return 0, 0
    mask = (1 << bits) - 1 if rng.random() < 0.6 else rng.getrandbits(bits)
    return rng.getrandbits(bits) & mask, mask


def _ip(rng: random.Random, kind: int) -> Given:
    protocol, fragment = rng.choice((1, 6, 17, 58, 132, 2, 47)), rng.choice((0, 0, 1, 3))
    fields: Given = {"nw_proto": (protocol, 255), "nw_frag": (fragment, 3)}
    addresses = ("nw_src", "nw_dst") if kind == 0x0800 else ("ipv6_src", "ipv6_dst", "ipv6_label")
    for name in ("nw_tos", "nw_ttl", *addresses):
        fields[name] = _random(rng, name, 0.3)
    if fragment == 3:
        return fields
    if protocol in (6, 17, 132):
        fields |= {name: _random(rng, name) for name in ("tp_src", "tp_dst")}
    if protocol == 6:
        fields["tcp_flags"] = _random(rng, "tcp_flags")
    if protocol == (1 if kind == 0x0800 else 58):
        fields |= {"icmp_type": (rng.choice((3, 135, 136)), 255), "icmp_code": (0, 255)}
        if kind == 0x86DD and fields["icmp_type"][0] != 3:
            fields |= {name: _random(rng, name) for name in ("nd_target", "nd_sll", "nd_tll")}
    return fields


def _random_key(rng: random.Random, number: int) -> tuple[int, int]:
    kind = rng.choice((0x0800, 0x86DD, 0x0806, 0x8847, 0x1234, 0x8035))
    fields: Given = {
        "recirc_id": (number, 0xFFFFFFFF),
        "dp_in_port": (rng.choice((1, 2, 7)), 0xFFFFFFFF),
        "dl_type": (kind, 0xFFFF),
        "ct_state": _random(rng, "ct_state", 0.2, 8),
    }
    for name in ("pkt_mark", "skb_priority", "dp_hash", "ct_mark", "ct_label", "ct_zone", "dl_src", "dl_dst"):
        fields[name] = _random(rng, name, 0.25)
    if rng.random() < 0.3:
        tci, mask = _random(rng, "vlan_tci", 1)
        fields |= {"vlan_tpid": (0x8100, 0xFFFF), "vlan_tci": (tci | 0x1000, mask | 0x1000)}
    if kind in (0x0800, 0x86DD):
        fields |= _ip(rng, kind)
    elif kind in (0x0806, 0x8035):
        fields |= {
            name: _random(rng, name) for name in ("arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha")
        }
    elif kind == 0x8847:
        fields["mpls0"] = rng.getrandbits(32) | 0x100, 0xFFFFFFFF
    if rng.random() < 0.2:
        fields |= {name: _random(rng, name, 1) for name in ("tun_id", "tun_src", "tun_tp_dst")}
        fields |= {"tun_dst": (rng.getrandbits(32) | 1, 0xFFFFFFFF), "tun_ttl": (64, 255)}
        fields["tunnel_flags"] = rng.choice(((10, 15), (8, 8), (10, 10)))
    return pack(fields)


@pytest.mark.parametrize("verbose", [False, True])
def test_keys(switch: Originals, tmp_path: Path, verbose: bool) -> None:
    rng = random.Random(verbose)
    keys = {number: _random_key(rng, number) for number in range(1, 400)}
    lines = [f"add {format_key(key, mask)} drop\n" for key, mask in keys.values()]
    (tmp_path / "flows").write_text("".join(lines))
    switch.run("ovs-appctl", "revalidator/pause")  # or they would remove flows that are not theirs
    switch.run("ovs-appctl", "dpctl/del-flows")
    switch.run("ovs-appctl", "dpctl/add-flows", str(tmp_path / "flows"))
    dumped = switch.run("ovs-appctl", "dpctl/dump-flows", *(["-m"] if verbose else [])).stdout
    switch.run("ovs-appctl", "revalidator/resume")
    names = {1: "p1", 2: "p2"} if verbose else {}
    different, seen = [], 0
    for line in dumped.split("\n"):
        found = re.search(r"recirc_id\((0x[0-9a-f]+)\)", line)
        if found is None:
            continue
        text = re.sub(r"^ufid:\S+ ", "", line).split(", packets")[0]
        key, mask = keys[int(found[1], 16)]
        seen += 1
        ours = format_key(key, mask, verbose=verbose, port_names=names)
        again = parse_key(text, {"p1": 1, "p2": 2})
        if ours != text or format_key(*again, verbose=verbose, port_names=names) != text:
            different.append((ours, text))
    assert different == []
    assert seen > 300  # the original takes not all: masks of protocols, for example


ACTIONS = """
1 drop 1,2 push_vlan(vid=3,pcp=2),1 push_vlan(vid=3,pcp=2,cfi=1),1 push_vlan(vid=3,pcp=2,cfi=0),1
push_vlan(vid=3),1 push_vlan(tpid=0x88a8,vid=3,pcp=2),1 pop_vlan,1 set(eth(dst=00:00:00:00:00:01)),2
set(ipv4(src=1.2.3.4,ttl=3)),2 set(ipv4(src=1.2.0.0/255.255.0.0,tos=0x4/0xfc)),2 recirc(5) trunc(100),2
set(skb_mark(0x3)),2 set(skb_priority(3)),2 set(tcp(src=3)),1 set(tcp(dst=3/0xff)),1 set(udp(dst=3)),1
set(mpls(label=3,tc=2,ttl=64,bos=1)),1 ct ct(commit)
set(tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|key))),3 ct_clear meter(3) clone(1,2)
ct(nat) ct(commit,zone=5,mark=0x3/0xff,label=0x1/0xff,nat(src=1.1.1.1-1.1.1.5:3-5,random))
ct(commit,mark=3,label=0x5) clone(push_vlan(vid=3,pcp=2),1),3 sample(sample=50.0%,actions(1,2))
check_pkt_len(size=100,gt(1),le(drop))
sample(sample=33.3%,actions(userspace(pid=5,sFlow(vid=3,pcp=2,output=3))))
userspace(pid=5,userdata(0102)) userspace(pid=5,sFlow(vid=3,pcp=2,output=3),actions)
userspace(pid=5,userdata(0102030405060708)) lb_output(1)
userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=1,rule_cookie=0,controller_id=0,max_len=9))
userspace(pid=5,sFlow(vid=3,pcp=2,output=3),tunnel_out_port=10) tnl_pop(3)
set(ipv6(src=::1,tclass=0x3,label=0x4)),1 set(arp(sip=1.1.1.1,op=2)),1 set(nd(target=::1)),1
set(icmp(type=3)),1 set(sctp(src=3)),1 ct(commit,nat(src)) ct(force_commit,zone=3,timeout=abc,helper=ftp)
ct(commit,nat(dst=1.1.1.1,persistent,hash)) ct(commit,nat(src=fe80::1)) foo output(1) userspace()
recirc() drop,1 push_vlan(vid=5000,pcp=0) trunc(x) set(foo(a=3)) set(ipv4(foo=3)) 1,(2) 1(
""".split()  # noqa: SIM905


NESTED = [
    before * depth + "1" + after * depth
    for before, after in (("clone(", ")"), ("sample(sample=50%,actions(", "))"), ("clone(2,", "),3"))
    for depth in (10, 29, 30, 31, 32, 1000)
]


def test_actions(switch: Originals) -> None:
    different = []
    for text in ACTIONS + NESTED:
        done = switch.run("ovs-appctl", "dpctl/parse-actions", text)
        expected = done.stdout.strip() if not done.returncode else "refused"
        hints = {"ipv6(": 0x86DD, "nd(": 0x86DD, "arp(": 0x0806}
        protocols = {"set(udp": 17, "set(sctp": 132, "set(icmp": 1, "set(nd": 58}
        kind = next((number for word, number in hints.items() if word in text), 0x0800)
        protocol = next((number for word, number in protocols.items() if word in text), 6)
        try:
            ours = format_actions(parse_actions(text), key=pack(dl_type=kind, nw_proto=protocol)[0])
        except TextError:
            ours = "refused"
        if ours != expected:
            different.append((text, ours, expected))
    assert different == []


def _ipv4_flow(protocol: int, more: str, fragment: str = "no") -> str:
    addresses = f"src={format_ipv4(0x01020304)},dst={format_ipv4(0x05060708)}"
    return f"eth_type(0x0800),ipv4({addresses},proto={protocol},tos=3,ttl=64,frag={fragment}){more}"


def _ipv6_flow(protocol: int, more: str) -> str:
    ip = f"src=fe80::1,dst=fe80::2,label=0x123,proto={protocol},tclass=0x70,hlimit=128,frag=no"
    return f"eth_type(0x86dd),ipv6({ip}){more}"


COMPOSED = (
    *(
        _ipv4_flow(6, f",tcp(src=1,dst=2),tcp_flags({flags})")
        for flags in ("syn", "fin", "rst", "ack", "psh|ack")
    ),
    _ipv4_flow(17, ",udp(src=1,dst=2)"),
    _ipv4_flow(132, ",sctp(src=1,dst=2)"),
    _ipv4_flow(1, ",icmp(type=8,code=0)"),
    _ipv4_flow(1, ",icmp(type=3,code=1)"),
    _ipv4_flow(2, ""),
    _ipv4_flow(89, ""),
    _ipv4_flow(17, ",udp(src=1,dst=2)", "first"),
    _ipv4_flow(17, "", "later"),
    _ipv6_flow(17, ",udp(src=1,dst=2)"),
    _ipv6_flow(6, ",tcp(src=1,dst=2)"),
    _ipv6_flow(58, ",icmpv6(type=128,code=0)"),
    _ipv6_flow(58, ",icmpv6(type=136,code=1)"),
    _ipv6_flow(58, ",icmpv6(type=135,code=0),nd(target=fe80::3,sll=00:00:00:00:00:09,tll=00:00:00:00:00:00)"),
    _ipv6_flow(58, ",icmpv6(type=136,code=0),nd(target=fe80::3,sll=00:00:00:00:00:00,tll=00:00:00:00:00:09)"),
    "eth_type(0x0806),arp(sip=1.1.1.1,tip=2.2.2.2,op=2,sha=00:00:00:00:00:01,tha=00:00:00:00:00:04)",
    f"eth_type(0x8100),vlan(vid=4,pcp=3),encap({_ipv4_flow(17, ',udp(src=1,dst=2)')})",
    "eth_type(0x88a8),vlan(vid=4,pcp=3),encap(eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x1234)))",
    "eth_type(0x8847),mpls(label=3,tc=1,ttl=3,bos=1)",
    "eth_type(0x8847),mpls(label=3,tc=1,ttl=3,bos=0,label=5,tc=3,ttl=2,bos=1)",
    "eth_type(0x1234)",
)


def test_composed_frames(switch: Originals) -> None:
    """What netdev-dummy/receive makes of a flow leaves by the other port."""
    capture = switch.directory / "p2.pcap"
    switch.run("ovs-ofctl", "add-flow", "br0", "priority=1,actions=2")
    flows = [f"in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),{flow}" for flow in COMPOSED]
    for flow in flows:
        switch.run("ovs-appctl", "netdev-dummy/receive", "p1", flow)
    ours = [build(parse_key(flow)[0]) for flow in flows]
    deadline = time.monotonic() + 20
    frames: list[bytes] = []
    while len(frames) < len(ours) and time.monotonic() < deadline:
        frames = _captured(capture.read_bytes())
        time.sleep(0.02)
    assert [frame.hex() for frame in frames] == [frame.hex() for frame in ours]


LENGTHS = (
    "-1",
    "0",
    "13",
    "14",
    "64",
    "100x",
    " 100",
    "4294967396",
    "65549",
    "65550",
    "70000",
    "x",
    "",
    "59x",
)
SHORT = tuple(str(length) for length in range(56, 95))


def test_lengths_asked_for(switch: Originals) -> None:
    """Which lengths of a frame are taken: from Ethernet's shortest frame and the flow's headers on.

    Of headers that do not fit, the original's error has no text.
    """
    control = Control(control_socket(switch.directory, "ovs-vswitchd"))
    head = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)"
    different, empty = [], 0
    for flow in COMPOSED:
        for length in (*SHORT, *LENGTHS):
            words = (f"{head},{flow}", "--len", length)
            outcome, text = control.ask("netdev-dummy/receive", "p1", *words)
            try:
                list(_frames(words))
                said = "result", ""
            except CommandError as error:
                said = "error", str(error)
            if (outcome, text) == ("error", ""):
                text = "too small packet len\n"
                empty += 1
            if said != (outcome, text.rstrip("\n")):
                different.append((flow, length, said, outcome, text))
    control.close()
    assert different == []
    assert empty


def _captured(data: bytes) -> list[bytes]:
    frames, at = [], 24
    while at + 16 <= len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        frames.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    return frames
