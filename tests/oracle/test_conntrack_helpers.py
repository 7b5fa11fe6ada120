"""FTP and TFTP helpers and timeout policies against the original.

The original's dummy datapath gives packets no room to grow, so there it never replaces an address in FTP's
text; conversations in which it would have to are left out, tests/unit/conntrack/test_helpers.py has them.
them.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.conntrack_packets import ACK, FIN, RST, SYN, icmp, tcp, udp
from support.conntrack_pair import ConntrackPair
from support.originals import Originals
from support.switches import OriginalSwitch

pytestmark = pytest.mark.oracle

HOSTS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
PUBLIC = {4: "10.0.100.200", 6: "fd00::100:200"}
VIRTUAL = {4: "10.0.0.99", 6: "fd00::9999"}
STRANGERS = {4: ("10.0.0.77", "10.0.100.200", "10.0.0.99"), 6: ("fd00::77", PUBLIC[6], VIRTUAL[6])}
SHOWN = "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_DST[0..7],move:NXM_NX_CT_MARK[0..7]->NXM_OF_ETH_DST[8..15]"


@pytest.fixture
def pair() -> Iterator[ConntrackPair]:
    with tempfile.TemporaryDirectory(prefix="ct") as directory:
        pair = ConntrackPair(OriginalSwitch(Originals(Path(directory))))
        yield pair
        pair.original.stop()


def pipeline(nat: str) -> list[str]:
    """Control connections are tracked with their helper; what they announce is let through as related."""
    lines = ["table=2,actions=output:2"]
    for family, kind, source in ((4, "ip", "NW"), (6, "ipv6", "IPV6")):
        address = PUBLIC[family] if nat == "src" else HOSTS[family][1]
        translation, known = (f",nat({nat}={address})", ",nat") if nat else ("", "")
        shown = f"{SHOWN},move:NXM_NX_CT_{source}_SRC[0..7]->NXM_OF_ETH_DST[32..39]"
        suffix = "" if family == 4 else "6"
        for protocol, port, helper in (("tcp", 21, "ftp"), ("udp", 69, "tftp")):
            action = f"ct(commit,alg={helper},table=1,zone=5{translation},exec(load:9->NXM_NX_CT_MARK[]))"
            lines.append(f"table=0,priority=10,{protocol}{suffix},tp_dst={port},actions={action}")
        lines += [
            f"table=0,{kind},priority=1,actions=ct(table=1,zone=5{known})",
            f"table=1,priority=10,{kind},ct_state=+new+rel,actions={shown},ct(commit,zone=5,table=2{known})",
            f"table=1,{kind},priority=2,ct_state=+est,actions={shown},output:2",
            f"table=1,{kind},priority=1,actions={SHOWN},output:2",
        ]
    return lines


def announcement(rnd: random.Random, side: int, family: int, port: int) -> bytes:
    """What a client (side 0) or a server says."""
    if rnd.random() < 0.2:
        return b"hello world\r\n"
    mine = HOSTS[family][side] if rnd.random() < 0.85 else rnd.choice(STRANGERS[family])
    octets, ports = mine.replace(".", ","), f"{port >> 8},{port & 255}"
    if side:
        text = rnd.choice(
            (
                f"227 Entering Passive Mode ({octets},{ports}).",
                f"227 Entering Passive Mode {octets},{ports}",
                f"229 Entering Extended Passive Mode (|||{port}|)",
                f"229 entering extended passive mode (|||{port}|).",
                "220 ready 1,2,3",
            )
        )
    else:
        text = rnd.choice(
            (
                f"PORT {octets},{ports}",
                f"port {octets},{ports}",
                f"PORT  {octets},{ports}",
                f"EPRT |{1 if family == 4 else 2}|{mine}|{port}|",
                f"PORT {octets}",
                "PORT 300,1,1,1,1,1",
                "PASV",
                "EPSV",
            )
        )
    return text.encode() + b"\r\n"


def test_ftp_and_tftp(pair: ConntrackPair) -> None:
    states: set[int] = set()
    for seed in range(100):
        rnd = random.Random(seed)
        nat = rnd.choice(("", "", "src", "dst"))
        pair.reset()
        pair.flows(pipeline(nat))
        if rnd.random() < 0.15:
            converse_tftp(pair, nat, seed, states)
        else:
            converse_ftp(pair, rnd, nat, seed, states)
    assert {0x25, 0x22, 0x2A, 0x21, 0x32} <= states


def ends(nat: str, family: int) -> tuple[str, str, str, str]:
    """(client, server, the client as the server sees it, the server as the client sees it)."""
    client, server = HOSTS[family]
    return (
        client,
        server,
        PUBLIC[family] if nat == "src" else client,
        VIRTUAL[family] if nat == "dst" else server,
    )


def converse_tftp(pair: ConntrackPair, nat: str, seed: int, states: set[int]) -> None:
    client, server, public, virtual = ends(nat, 4)
    for number, frame in enumerate(
        (
            udp(client, virtual, (3333, 69), b"\0\1f\0octet\0"),
            udp(server, public, (7777, 3333), b"\0\3\0\1data"),
            udp(client, virtual, (3333, 7777), b"\0\4\0\1"),
            udp(server, public, (7778, 3333), b"x"),
        )
    ):
        out = pair.step("p1", frame, (seed, nat, number))
        states |= {one[5] for one in out.get("p2", ())}


def converse_ftp(pair: ConntrackPair, rnd: random.Random, nat: str, seed: int, states: set[int]) -> None:
    family = rnd.choice((4, 4, 6))
    client, server, public, virtual = ends(nat, family)
    port = rnd.randrange(1024, 60000)
    sequences = [rnd.getrandbits(32), rnd.getrandbits(32)]

    def say(side: int, data: bytes, flags: int) -> None:
        own, other = sequences[side], sequences[1 - side]
        if side:
            frame = tcp(server, public, (21, port), own, other, flags, 5000, data=data)
        else:
            frame = tcp(client, virtual, (port, 21), own, other, flags, 5000, data=data)
        out = pair.step("p1", frame, (seed, nat, side, data))
        states.update(one[5] for one in out.get("p2", ()))
        sequences[side] = own + len(data) + bool(flags & SYN) & 0xFFFFFFFF

    say(0, b"", SYN)
    say(1, b"", SYN | ACK)
    say(0, b"", ACK)
    for _ in range(14):
        side = rnd.getrandbits(1)
        announced = rnd.choice((rnd.randrange(1024, 65000), rnd.randrange(1024, 65000), 20, 0))
        data = announcement(rnd, side, family, announced)
        if (nat == "src" and data[:4].upper() in (b"PORT", b"EPRT")) or (nat == "dst" and data[:3] == b"227"):
            continue  # the text would have to change
        say(side, data, ACK | 8)
        if announced and rnd.random() < 0.7:
            if side:
                frame = tcp(client, virtual, (rnd.randrange(3000, 4000), announced), 5, 0, SYN, 100)
            else:
                frame = tcp(server, public, (20, announced), 5, 0, SYN, 100)
            out = pair.step("p1", frame, (seed, nat, "data", data))
            states |= {one[5] for one in out.get("p2", ())}


# ---- timeout policies

POLICY = {
    "tcp_syn_sent": 11, "tcp_syn_recv": 12, "tcp_established": 1300, "tcp_fin_wait": 140, "tcp_time_wait": 15,
    "tcp_close": 16, "udp_first": 17, "udp_single": 18, "udp_multiple": 19, "icmp_first": 20,
    "icmp_reply": 21,
}  # fmt: skip


def test_timeout_policies(pair: ConntrackPair) -> None:
    """Each timeout in each state, with a policy for zone 5 and without one for zone 6."""
    words = [f"{name}={seconds}" for name, seconds in POLICY.items()]
    pair.original.vsctl(
        *("--id=@m", "create", "Datapath", "datapath_version=0", "--"),
        *("set", "Open_vSwitch", ".", "datapaths:dummy=@m", "--"),
        *("add-zone-tp", "dummy", "zone=5", *words),
    )
    for zone in (5, 6):
        pair.reset()
        pair.ours.fabric.timeout_policies[5] = "1"
        pair.tracker.policies["1"] = POLICY
        pair.flows([f"table=0,ip,actions=ct(commit,zone={zone}),output:2"])
        want, got = (
            [line for line in lines if line.startswith("Datapath actions")]
            for lines in pair.command("ofproto/trace", "br0", "in_port=1,udp")
        )
        assert got == want == [f"Datapath actions: ct(commit,zone={zone}{',timeout=1' * (zone == 5)}),2"]
        for number, frame in enumerate(every_state()):
            pair.step("p1", frame, (zone, number))


def every_state() -> Iterator[bytes]:
    client, server = HOSTS[4]
    for side in (0, 0, 1, 0):
        yield udp(server, client, (2, 1)) if side else udp(client, server, (1, 2))
        yield icmp(server, client, 0, 0, 9) if side else icmp(client, server, 8, 0, 9)
    for side, sequence, acknowledged, flags in (
        (0, 100, 0, SYN),
        (1, 500, 101, SYN | ACK),
        (0, 101, 501, ACK),
        (0, 101, 501, FIN | ACK),
        (1, 501, 102, FIN | ACK),
        (0, 102, 502, ACK),
        (0, 900, 0, SYN),
        (0, 901, 0, RST),
    ):
        ends, ports = ((server, client), (80, 1000)) if side else ((client, server), (1000, 80))
        yield tcp(*ends, ports, sequence, acknowledged, flags, 1000)
