"""Connection tracking against the original's userspace datapath.

The same flows and the same packets into both; the packets that come out carry, in their Ethernet addresses,
what tracking has found (ct_state, ct_zone, ct_mark, ct_label and the original tuple).  After every packet the
connections are compared, with the states of both ends and the seconds that are left.  Time is virtual.
"""

import random
import re
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import conntrack_packets as packets
from support.conntrack_conversations import answer, fragments, natted_packet, pipeline, strange_packet
from support.conntrack_packets import udp
from support.conntrack_pair import LAB, ConntrackPair, Crash, held
from support.originals import Originals
from support.switches import Lab, OriginalSwitch, PortSpec
from trunkline.jsonrpc.unixctl import CommandError

pytestmark = pytest.mark.oracle

SHOWN = (
    "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_DST[0..7],move:NXM_NX_CT_MARK[0..7]->NXM_OF_ETH_DST[8..15],"
    "move:NXM_NX_CT_ZONE[]->NXM_OF_ETH_DST[16..31],move:NXM_NX_CT_LABEL[0..7]->NXM_OF_ETH_SRC[0..7]"
)
IP = ("ip", "ipv6")


def start(lab: Lab = LAB) -> ConntrackPair:
    directory = tempfile.TemporaryDirectory(prefix="ct")
    pair = ConntrackPair(OriginalSwitch(Originals(Path(directory.name))), lab)
    pair.directory = directory  # type: ignore[attr-defined]
    return pair


def stop(pair: ConntrackPair) -> None:
    pair.original.stop()
    pair.directory.cleanup()  # type: ignore[attr-defined]


@pytest.fixture
def pair() -> Iterator[ConntrackPair]:
    pair = start()
    yield pair
    stop(pair)


def tracked(first: str, second: str) -> list[str]:
    """Two tables: the first tracks, the second shows what was found."""
    return [f"table=0,{kind},actions={first}" for kind in IP] + [
        f"table=1,{kind},actions={SHOWN},{second},output:2" for kind in IP
    ]


@pytest.mark.parametrize("check", [True, False], ids=["checked", "unchecked"])
def test_tcp_conversations(pair: ConntrackPair, check: bool) -> None:
    """Segments of two ends with odd flags, sequence numbers, windows and options, and time between them."""
    if not check:
        pair.original.control("dpctl/ct-disable-tcp-seq-chk")
    pair.flows(tracked("ct(table=1,zone=5)", "ct(commit,zone=5,exec(load:7->NXM_NX_CT_MARK[]))"))
    states = set()
    for seed in range(60 if check else 20):
        rnd = random.Random(seed)
        pair.reset()
        pair.tracker.check_sequences = check
        sequences = [rnd.getrandbits(32), rnd.getrandbits(32)]
        options = [rnd.choice((b"", b"\3\3\7\0", b"\2\4\5\xb4\1\3\3\2", b"\1\1\1\0")) for _ in range(2)]
        for number in range(50):
            side, frame = segment(rnd, number, sequences, options)
            out = pair.step("p1", frame, (seed, number, side))
            states.add(out["p2"][0][5])
            if rnd.random() < 0.1:
                pair.warp(rnd.choice((100, 1000, 20000, 50000)))
    assert states == {0x21, 0x22, 0x2A, 0x30}


def segment(rnd: random.Random, number: int, sequences: list[int], options: list[bytes]) -> tuple[int, bytes]:
    hosts, ports = ("10.0.0.1", "10.0.0.2"), (1000, 80)
    side = rnd.getrandbits(1)
    if number < 3 and rnd.random() < 0.8:
        side, flags = number & 1, (2, 0x12, 0x10)[number]
    else:
        usual = (2, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 0x11, 4, 0x14, 0, 0x3F, 3, 6, 8, 0x20)
        flags = rnd.choice((*usual, rnd.getrandbits(8)))
    length = rnd.choice((0, 0, 1, 20, 1000)) if not flags & packets.SYN else 0
    off = rnd.choice((0, 0, 0, 0, 0, 1, -1, 100, -100, 2000, -2000, 70000, -70000, 1 << 31))
    late = rnd.choice((0, 0, 0, 0, 1, -1, 100, -3000, 70000, -70000))
    acknowledged = sequences[1 - side] + late if rnd.random() < 0.9 else 0
    frame = packets.tcp(
        hosts[side],
        hosts[1 - side],
        ports[::-1] if side else ports,
        sequences[side] + off,
        acknowledged,
        flags,
        rnd.choice((0, 1, 100, 1000, 65535)),
        data=b"x" * length,
        options=options[side] if flags & packets.SYN else b"",
    )
    if not off:
        more = length + bool(flags & packets.SYN) + bool(flags & packets.FIN)
        sequences[side] = sequences[side] + more & 0xFFFFFFFF
    return side, frame


def test_every_protocol_and_damaged_packets(pair: ConntrackPair) -> None:
    """UDP, ICMP, errors that quote packets, other protocols, wrong checksums and lengths."""
    pair.flows(tracked("ct(table=1,zone=5)", "ct(commit,zone=5)"))
    states = set()
    for seed in range(25):
        rnd = random.Random(seed)
        pair.reset()
        for number in range(80):
            out = pair.step("p1", strange_packet(rnd), (seed, number))
            states |= {frame[5] for frame in out.get("p2", ())}
            if rnd.random() < 0.05:
                pair.warp(rnd.choice((100, 1000, 20000, 50000)))
    assert {0x21, 0x22, 0x2A, 0x24, 0x2C, 0x30} <= states


def test_nat_zones_marks_and_several_cts() -> None:
    """Random pipelines of three ct actions; replies and errors answer what came out."""
    pair = start()
    seen: set[int] = set()
    compared = crashes = seed = 0
    try:
        while compared < 60:
            seed += 1
            try:
                one_pipeline(pair, seed, seen)
                compared += 1
            except Exception as error:
                if not isinstance(error, Crash) and pair.original_lives():
                    raise
                crashes += 1
                assert crashes < 12
                stop(pair)
                pair = start()
    finally:
        stop(pair)
    assert {0x61, 0xA1, 0x62, 0xA2, 0x6A, 0xAA} <= seen


def test_flows_behind_nat_match_what_the_packet_has_become(pair: ConntrackPair) -> None:
    pair.reset()
    pair.flows(
        [
            "table=0,ip,in_port=1,actions=ct(commit,nat(src=10.0.0.100:4000),table=1)",
            "table=0,ip,in_port=2,actions=ct(nat,table=1)",
            "table=1,ip,nw_src=10.0.0.100,udp,tp_src=4000,actions=2",
            "table=1,ip,nw_dst=10.0.0.1,udp,tp_dst=1000,actions=1",
            "table=1,ip,actions=3",
        ]
    )
    there = pair.step("p1", udp("10.0.0.1", "10.0.0.2", (1000, 53)), "there")
    assert [*there] == ["p2"]
    assert [*pair.step("p2", udp("10.0.0.2", "10.0.0.100", (53, 4000)), "back")] == ["p1"]


def one_pipeline(pair: ConntrackPair, seed: int, seen: set[int]) -> None:
    rnd = random.Random(seed)
    pair.reset()
    pair.flows(pipeline(rnd, SHOWN))
    sent: list[bytes] = []
    left: list[bytes] = []
    for number in range(40):
        kind = rnd.random()
        if left and kind < 0.5:
            frame = answer(rnd, rnd.choice(left[-6:]))
        elif sent and kind < 0.65:
            frame = rnd.choice(sent[-6:])
        else:
            frame = natted_packet(rnd)
        sent.append(frame)
        out = pair.step("p1", frame, (seed, number))
        seen |= {one[5] for one in out.get("p2", ())}
        left += out.get("p3", [])
        if rnd.random() < 0.05:
            pair.warp(rnd.choice((100, 1000, 20000, 50000)))


def test_fragments(pair: ConntrackPair) -> None:
    """Fragments in any order, missing, twice, too small; and NAT on them."""
    released = 0
    for seed in range(30):
        rnd = random.Random(seed)
        pair.reset()
        first = rnd.choice(("ct(table=1,zone=5)", "ct(table=1,zone=5,nat)"))
        nat4 = rnd.choice(("", ",nat(src=10.0.9.9)", ",nat(src=10.0.9.9:5000)", ",nat(dst=10.0.0.3)"))
        nat6 = rnd.choice(("", ",nat(src=fd00::99)", ",nat(dst=fd00::3)"))
        lines = [f"table=0,{kind},actions={first}" for kind in IP]
        for kind, nat in (("ip", nat4), ("ipv6", nat6)):
            lines.append(f"table=1,{kind},actions={SHOWN},ct(commit,zone=5{nat},table=2)")
        pair.flows([*lines, "table=2,actions=output:2"])
        for number, frame in enumerate(fragments(rnd, seed, 40)):
            out = pair.step("p1", frame, (seed, number))
            released += len(out.get("p2", ()))
            text = pair.original.control("dpctl/ipf-get-status", "-m")
            mine = "\n".join(map(str, pair.tracker.fragments.held.values()))
            assert held(mine) == held(text), (seed, number)
        pair.forget_fragments()
    assert released > 500


def test_commands(pair: ConntrackPair) -> None:
    """Every command on connection tracking, well and badly called; each is followed by the same packets."""
    pair.flows(["table=0,ip,actions=ct(commit,zone=5),output:2", "table=0,ipv6,actions=ct(commit),output:2"])
    frames = []
    for i in range(3):
        frames += [
            packets.udp("10.0.0.1", "10.0.0.2", (1000 + i, 80)),
            packets.tcp("10.0.0.1", "10.0.0.2", (1000 + i, 80), 1, 2, 2, 3),
            packets.icmp("10.0.0.1", "10.0.0.2", 8, 0, i << 16),
            packets.udp("fd00::1", "fd00::2", (1000 + i, 80)),
            packets.icmp("fd00::1", "fd00::2", 128, 0, i << 16),
        ]
    frames += [packets.ip("10.0.0.1", "10.0.0.2", protocol, b"12345678") for protocol in (132, 47, 2)]
    refill(pair, frames)
    for words in COMMANDS:
        want, got = pair.command(f"dpctl/{words[0]}", *words[1:])
        assert got == want, words
        there, here = pair.dumps()
        assert here == there, words
        refill(pair, frames)


def refill(pair: ConntrackPair, frames: list[bytes]) -> None:
    for frame in frames:
        pair.receive("p1", frame)


def many(name: str, *calls: str) -> list[tuple[str, ...]]:
    """A command with words as a shell would split them; `_` is an empty one."""
    return [(name, *("" if word == "_" else word for word in call.split())) for call in calls]


# ruff: noqa: E501
DP = "dummy@ovs-dummy"
EXACT = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2"
COMMANDS: list[tuple[str, ...]] = [
    *many("dump-conntrack", "", "zone=0", "zone=5 x", f"{DP} zone=5", "-x", "zone=5 zone=0", "-m", "-s"),
    *many("ct-stats-show", "", "-m", "zone=0", "zone=9", "x", "zone=x", f"{DP} zone=5 -m"),
    *many("ct-bkts", "", "gt=2", "gt=x", "gt=99", f"{DP} gt=9"),
    *many("ct-get-nconns", "", "x"),
    *many(
        "flush-conntrack",
        f"zone=5 {EXACT},ct_nw_proto=17,ct_tp_src=1000,ct_tp_dst=80",
        f"{EXACT},ct_nw_proto=17,ct_tp_src=1001,ct_tp_dst=80",
        f"zone=5 {EXACT},ct_nw_proto=1,icmp_id=1,icmp_type=8,icmp_code=0",
        "zone=5 ct_nw_src=10.0.0.2,ct_nw_dst=10.0.0.1,ct_nw_proto=17,ct_tp_src=80,ct_tp_dst=1000",
        "ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::2,ct_nw_proto=17,ct_tp_src=1000,ct_tp_dst=80",
        f"zone=5 {EXACT},ct_nw_proto=132,ct_tp_src=0,ct_tp_dst=0",
        f"zone=5 {EXACT}",
    ),
    *many("flush-conntrack", "zone=5 ct_nw_src=10.0.0.1,ct_nw_proto=6", "zone=5 _ ct_nw_src=10.0.0.2,ct_nw_proto=17"),
    *many("flush-conntrack", "ct_nw_proto=x", "ct_foo=1", "zone=x", "ct_nw_src=10.0.0.999", "x", "zone=6", "ct_nw_proto=6"),
    *many("flush-conntrack", "zone=0", "ct_nw_src=10.0.0.1,ct_ipv6_src=::1", "ct_nw_src=10.0.0.1 ct_nw_src=10.0.0.2"),
    *many("flush-conntrack", "zone=5 ct_nw_src=10.0.0.1 ct_nw_dst=1 x", "ct_nw_proto=6,ct_tp_src=1000", "ct_nw_src="),
    *many("flush-conntrack", "ct_nw_proto=6 ct_nw_proto=17", "ct_nw_proto=1,icmp_id=1", "ct_nw_proto=6,icmp_id=1"),
    *many("flush-conntrack", "zone=5,ct_nw_src=10.0.0.1", "zone=5 zone=0", "ct_nw_src=10.0.0.1,", "ct_nw_src", "_"),
    *many("flush-conntrack", "ct_tp_src=1000", "ct_nw_proto=17,ct_tp_src=99999", "icmp_type=8,ct_nw_proto=1", "zone=5 _ _"),
    *many("flush-conntrack", "ct_nw_proto=1", "ct_nw_proto=1,icmp_type=8", "ct_nw_proto=58", "ct_nw_proto=47", "icmp_id=1"),
    *many("flush-conntrack", "ct_nw_proto=17,ct_tp_dst=80", "_ ct_nw_proto=17,ct_tp_dst=1001", "ct_tp_src=1000,ct_nw_proto=17"),
    *many("flush-conntrack", "ct_nw_proto=1,ct_tp_src=1", "ct_nw_proto=47,ct_tp_src=1", "ct_nw_src=10.0.0.1,ct_nw_src=10.0.0.9"),
    *many("flush-conntrack", "ct_nw_proto=300", "zone=70000", "ct_nw_proto=6,ct_nw_proto=17", "_ ct_nw_proto=1,icmp_id=1"),
    *many("ct-set-limits", "default=50", "default=5 zone=1,limit=2 zone=5,limit=3", "zone=1,limit=x", "zone=x,limit=1"),
    *many("ct-set-limits", "zone=99999,limit=1", "default=-1", "zone=1,limit=4 default=3", "zone=1 limit=3", "x", "default=x"),
    *many("ct-set-limits", f"{DP} zone=2,limit=9", "zone=1,limit=3,x=1", "default=", "limit=1,zone=5", "default=7 default=8"),
    *many("ct-get-limits", "", "zone=1", "zone=1,2", "zone=1,x", "zone=5,9", "default", "x", DP, f"{DP} zone=5", "zone=70000"),
    *many("ct-get-limits", "zone=5 zone=6"),
    *many("flush-conntrack", ""),
    *many("ct-get-limits", "zone=0,5", ""),
    *many("flush-conntrack", "zone=5"),
    *many("ct-get-limits", "zone=0,5"),
    *many("ct-del-limits", "zone=1", "zone=1,2", "zone=77", "zone=x", "default", "x"),
    *many("ct-get-limits", ""),
    *many("ct-set-maxconns", "7", "-1", "x", "99999999999", "zz 5", f"{DP} 5", "3000000"),
    *many("ct-get-maxconns", "", "zz", DP),
    *many("ct-enable-tcp-seq-chk", "x"),
    *many("ct-disable-tcp-seq-chk", ""),
    *many("ct-get-tcp-seq-chk", "", "x"),
    *many("ipf-set-max-nfrags", "5000", "5001", "x", "xx 7"),
    *many("ipf-set-min-frag", "v4 400", "v4 399", "v6 400", "v6 399", "v6 70000", "v6 x", "v5 1200", "xx v4 1200"),
    *many("ipf-set-enabled", "xx v4", "v7"),
    *many("ipf-set-disabled", "v6", "v7"),
    *many("ipf-get-status", "", "-m", "xx"),
]  # fmt: skip


# ---- traces

TRACED = (
    "table=0,ip,actions=ct(table=1,zone=5)",
    "table=1,ct_state=+new+trk,ip,actions=ct(commit,zone=5,table=2,exec(load:7->NXM_NX_CT_MARK[],load:3->NXM_NX_CT_LABEL[0..63]))",
    "table=1,ct_state=+est+trk,ip,actions=ct(commit,zone=NXM_NX_REG1[0..15],nat(src=10.0.0.1-10.0.0.9:5-9,random)),output:2",
    "table=1,ct_state=+rel+trk,ip,actions=load:9->NXM_NX_REG1[],ct(commit,zone=NXM_NX_REG1[0..15],table=3,nat(dst=10.0.0.3))",
    "table=1,ct_state=+inv+trk,ip,actions=ct_clear,ct_clear,mod_dl_src:50:54:00:00:00:0c,ct(table=2,nat),output:3",
    "table=2,ip,ct_mark=7,actions=ct_clear,output:2",
    "table=2,priority=1,tcp,actions=ct(table=3,alg=ftp,commit,force,exec(move:NXM_NX_CT_MARK[]->NXM_NX_CT_LABEL[0..31])),output:3",
    "table=3,udp,actions=output:1,ct(commit,exec(load:1->NXM_NX_CT_MARK[]),nat(src=10.0.0.4))",
    "table=3,priority=1,ip,actions=output:1,ct(commit,nat(src=10.0.0.4),exec(load:1->NXM_NX_CT_MARK[]))",
)
FLOW = "in_port=1,{},nw_src=10.0.0.1,nw_dst=10.0.0.2"
STATES = (
    *("trk", "new", "est", "rel", "rpl", "inv", "snat", "dnat", "foo", "trk,est", "trk,new", "trk,rel,new"),
    *("trk,rel,est", "trk,inv", "trk,new,est", "trk,new,rpl", "trk,snat,new", "trk,inv,new", "", "trk|est"),
)


def test_traces(pair: ConntrackPair) -> None:
    """ofproto/trace with every kind of --ct-next: the same words, but for numbers of recirculations."""
    pair.flows(TRACED)
    rnd = random.Random(1)
    calls: list[list[str]] = [[], ["--ct-next"], ["--ct-next=trk"], ["-ct-next", "trk"]]
    calls += [["--ct-next", state] for state in STATES]
    for _ in range(60):
        calls.append(
            [word for _ in range(rnd.randrange(4)) for word in ("--ct-next", rnd.choice(STATES[8:]))]
        )
    for options in calls:
        words = ("ofproto/trace", "br0", FLOW.format(rnd.choice(("tcp,tcp_src=7", "udp", "icmp"))), *options)
        want = pair.original.control(*words)
        try:
            got = pair.commands.run(words[0], list(words[1:]))
        except CommandError as error:
            got = f"error: {error}"
        assert isinstance(got, str)
        assert numbered(got) == numbered(want), words


def numbered(trace: str) -> str:
    """Without megaflows; recirculations numbered as they are met."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] + numbers.setdefault(found[2], str(len(numbers)))

    trace = re.sub(r"\nMegaflow: .*", "", trace.strip())
    return re.sub(r"(recirc\(|recirc_id=)(0x[0-9a-f]+)", number, trace)


# ---- patch ports

TWO_BRIDGES = Lab(
    ("br0", "br1"),
    (
        PortSpec("br0", "p1", 1),
        PortSpec("br0", "pa", 2, peer="pb"),
        PortSpec("br1", "pb", 3, peer="pa"),
        PortSpec("br1", "p3", 4),
    ),
)
BEHIND = (
    (
        (
            "table=0,ip,actions=ct(table=1,zone=5)",
            "table=1,ip,actions=ct(commit,zone=5),ct(table=2,zone=5)",
            f"table=2,ip,actions={SHOWN},output:2",
        ),
        (
            "table=0,ip,ct_state=-trk,actions=mod_dl_src:00:00:00:00:00:01,output:4",
            "table=0,ip,priority=1,actions=ct_clear,output:4",
        ),
    ),
    (
        (
            "table=0,ip,actions=ct(table=1,zone=5)",
            f"table=1,ip,actions=output:2,{SHOWN},ct(commit,zone=5),output:2",
        ),
        ("table=0,ip,actions=ct_clear,ct(table=1,zone=6),output:4", f"table=1,ip,actions={SHOWN},output:4"),
    ),
    (
        (
            "table=0,ip,actions=ct(table=1,zone=5,nat)",
            "table=1,ip,actions=ct(commit,zone=5,nat(src=10.0.1.1),table=2)",
            "table=2,ip,actions=output:2,ct_clear,output:2",
        ),
        ("table=0,ip,actions=ct(table=1,zone=6)", f"table=1,ip,actions={SHOWN},ct(commit,zone=6),output:4"),
    ),
)


def test_behind_a_patch_port() -> None:
    """The bridge behind it sees an untracked packet; what it tracks the first bridge does not see."""
    pair = start(TWO_BRIDGES)
    try:
        for number, (before, behind) in enumerate(BEHIND):
            pair.reset()
            pair.flows(before)
            pair.flows(behind, "br1")
            there, back = ("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")
            for ends, ports in ((there, (1, 2)), (there, (1, 2)), (back, (2, 1))):
                pair.step("p1", packets.udp(*ends, ports), number)
            words = ("ofproto/trace", "br0", "in_port=1,udp", "--ct-next", "trk,est")
            want, got = pair.original.control(*words), pair.commands.run(words[0], list(words[1:]))
            assert isinstance(got, str)
            assert numbered(got) == numbered(want), number
    finally:
        stop(pair)


def rewritten(r: random.Random) -> str:
    """Several cts of a few zones, and between them what they look at is written, or something else is."""
    words = []
    for _ in range(r.randrange(2, 5)):
        zone = r.choice((0, 0, 0, 3))
        commit = r.choice(("commit,", "commit,", ""))
        marks = r.choice(("", "", f",exec(set_field:{r.randrange(1, 9)}->ct_mark)")) if commit else ""
        words.append(f"ct({commit}zone={zone}{marks})")
        for _ in range(r.choice((0, 1, 1, 2))):
            words.append(
                r.choice(
                    (
                        f"set_field:10.0.0.{r.randrange(7, 9)}->ip_dst",
                        f"set_field:10.0.0.{r.randrange(7, 9)}->ip_src",
                        f"set_field:{r.randrange(7, 9)}->udp_dst",
                        f"set_field:{r.randrange(7, 9)}->udp_src",
                        "mod_nw_tos:16",
                        "dec_ttl",
                        "set_field:50:54:00:00:00:09->eth_dst",
                        "output:3",
                    )
                )
            )
    return ",".join((*words, f"ct(table=1,zone={r.choice((0, 3))})"))


def test_packets_that_change_between_two_cts(pair: ConntrackPair) -> None:
    """What a packet was to tracking is forgotten when its addresses or ports are written."""
    r = random.Random(11)
    for case in range(30):
        pair.flows(
            (
                f"in_port=1,udp,actions={rewritten(r)}",
                f"in_port=2,udp,actions={rewritten(r)}",
                "table=1,udp,ct_state=+est,actions=output:2",
                "table=1,udp,ct_state=+new,actions=output:1",
                "table=1,actions=output:3",
            )
        )
        pair.reset()
        for number in range(6):
            ends = [(f"10.0.0.{r.randrange(5, 9)}", f"10.0.0.{r.randrange(5, 9)}") for _ in range(2)]
            frame = udp(*r.choice(ends), (r.randrange(6, 9), r.randrange(6, 9)))
            pair.step(r.choice(("p1", "p2")), frame, (case, number))


def extension(kind: int, following: int, offset: int = 0, ident: int = 0, more: bool = False) -> bytes:
    """An extension header of IPv6, 12 bytes of one of authentication, else eight."""
    if kind == 44:
        return struct.pack("!BBHI", following, 0, offset | more, ident)
    return bytes((following, 1 if kind == 51 else 0, 1, 4)) + bytes(8 if kind == 51 else 4)


def cut_behind_headers(r: random.Random, number: int) -> list[bytes]:
    """The fragments of a packet, each with some headers before its fragment header, others of these among them."""
    body = packets.udp_segment("fd00::1", "fd00::2", (1000, 80), r.randbytes(3000))
    frames = []
    for start, end in ((0, 1400), (1400, 2800), (2800, len(body))):
        kinds = [44]
        for _ in range(r.choice((0, 0, 1, 1, 2))):
            kinds.insert(r.randrange(len(kinds)), r.choice((0, 43, 51, 60, 44, 44)))
        data = body[start:end]
        following = 17
        for place in range(len(kinds) - 1, -1, -1):
            if place == len(kinds) - 1:
                header = extension(44, following, start, number, end < len(body))
            else:
                header = extension(kinds[place], following, 0, 7000 + number, r.random() < 0.3)
            data, following = header + data, kinds[place]
        frames.append(packets.ip("fd00::1", "fd00::2", following, data))
    if r.random() < 0.3:
        r.shuffle(frames)
    return frames


def test_fragments_behind_other_headers(pair: ConntrackPair) -> None:
    pair.flows(
        (
            "ipv6,actions=ct(table=1,zone=5)",
            "table=1,ipv6,ct_state=+inv,actions=output:3",
            "table=1,ipv6,actions=ct(commit,zone=5),output:2",
        )
    )
    r = random.Random(4)
    whole = 0
    for number in range(60):
        pair.reset()
        for frame in cut_behind_headers(r, number):
            out = pair.step("p1", frame, number)
            whole += "p2" in out
            text = pair.original.control("dpctl/ipf-get-status", "-m")
            assert held("\n".join(map(str, pair.tracker.fragments.held.values()))) == held(text), frame.hex()
        pair.forget_fragments()
    assert whole > 5
