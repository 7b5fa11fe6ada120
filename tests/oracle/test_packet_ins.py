"""Packets to controllers, byte by byte beside the original: every version and every format at once.

Flows come by chance, those of a case for the packets of one port number.  To each switch eighteen controllers
are connected, one for each version of OpenFlow and format of a packet-in.
"""

import os
import random
import re
import struct
import time
from collections.abc import Iterator

import pytest

from support.pipelines import sensible
from support.switch_pair import Pair, Peer, Switch, fresh_pair
from trunkline.flow.key import VLAN_CFI, pack
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.continuations import Resume
from trunkline.openflow.messages import PacketIn
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol
from trunkline.packet.build import build

pytestmark = pytest.mark.oracle

FORMATS = tuple((version, form) for version in range(1, 7) for form in range(3))
CASES = int(os.environ.get("TRUNKLINE_PACKETS_IN", "100"))
SEED = int(os.environ.get("TRUNKLINE_FIRST_SEED", "1"))
AT_ONCE = 5
PATIENCE = 30
FIRST = 1000  # the port number of the first case
TABLES = 6
PAUSES = ("controller(pause)", "controller(pause)", "controller(pause,userdata=07.08)")
CONTINUED = " continuation."


class Listener:
    """A controller of a version that wants packets in a format."""

    def __init__(self, switch: Switch, version: int, form: int, *, miss: int = 0xFFFF) -> None:
        self.version, self.form = version, form
        self.peer: Peer = switch.peer(version)
        self.got: list[bytes] = []
        nicira = struct.pack("!BBHIIII", version, 4, 20, 5, 0x2320, 16, form)
        config = struct.pack("!BBHIHH", version, 9, 12, 6, 4 if version < 4 else 0, miss)
        assert self.peer.ask(nicira, config) == []

    def seen(self) -> list[bytes]:
        self.got += self.peer.barrier()
        return self.got


class Resumer(Listener):
    """One that sends back the packets that wait."""

    def seen(self) -> list[bytes]:
        fresh = self.peer.barrier()
        self.got += fresh
        for raw in fresh:
            packet = decode(raw).message
            if isinstance(packet, PacketIn) and packet.continuation:
                self.peer.socket.sendall(b"".join(encode(Protocol(self.version), Resume(packet), 3)))
        return self.got


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    for pair in fresh_pair():
        for switch in pair.both:
            for command in (
                ("add-tlv-map", "br0", "{class=0xffff,type=0,len=4}->tun_metadata0"),
                (
                    "-O",
                    "OpenFlow15",
                    "add-group",
                    "br0",
                    "group_id=1,type=all,bucket=controller,bucket=output:2",
                ),
                (
                    *("-O", "OpenFlow15", "add-group", "br0"),
                    "group_id=2,type=indirect,bucket=set_field:9->reg9,resubmit(,5)",
                ),
            ):
                done = switch.ofctl(*command)
                assert done.returncode == 0, done.stderr
        yield pair


def before(r: random.Random) -> str:
    """An action that leaves something to be told."""
    n = r.randrange(1, 1 << 16)
    return r.choice(
        (
            f"set_field:{n}->reg{r.randrange(16)}",
            f"set_field:{n}->reg{r.randrange(16)}",
            f"set_field:{n:#x}/0xffff->xxreg{r.randrange(4)}",
            "set_field:0->reg1",
            f"set_field:{n}->metadata",
            f"set_field:{n}->pkt_mark",
            f"set_field:{n}->tun_id",
            "set_field:10.1.2.3->tun_src",
            "set_field:10.1.2.4->tun_dst",
            "set_field:fd00::4->tun_ipv6_dst",
            "set_field:fd00::3->tun_ipv6_src",
            f"set_field:{n}->tun_gbp_id",
            "set_field:oam->tun_flags",
            f"set_field:{n}->tun_metadata0",
            "set_field:02:00:00:00:00:09->eth_dst",
            "set_field:02:00:00:00:00:08->eth_src",
            "move:eth_src[]->xxreg0[0..47]",
            "push_mpls:0x8847",
            "dec_ttl",
            "output:2",
            "output:3",
            "ct(commit)",
            "ct(commit,zone=5,exec(set_field:7->ct_mark))",
            "ct_clear",
            "clone(ct(commit,zone=6),controller)",
            "clone(set_field:5->reg5,controller)",
            "group:1",
            "group:2",
            "note:01.02",
            "set_queue:1",
            "push:reg1[]",
        )
    )


def sending(r: random.Random) -> str:
    return r.choice(
        (
            "controller",
            "controller",
            f"controller:{r.randrange(14, 80)}",
            f"controller(max_len={r.randrange(14, 80)},userdata=01.02.03)",
            "controller(userdata=ff.00)",
            "controller(reason=no_match)",
            "controller(reason=invalid_ttl)",
            "controller(id=1)",
            "set_field:0xfffd->reg15,output:reg15[0..15]",
            "group:1",
            "dec_ttl(0,1)",
            "clone(controller)",
        )
    )


def following(r: random.Random, table: int) -> str:
    later = r.randrange(table + 1, TABLES) if table + 1 < TABLES else 0
    return (
        r.choice((f"resubmit(,{later})", f"ct(table={later})", f"ct(commit,zone=3,table={later})"))
        if later
        else ""
    )


def flow(r: random.Random, number: int, *, pauses: bool = False) -> list[str]:
    """The flows of a case: one in table 0, and whatever tables it goes on to.

    With `pauses` some packets wait for a controller.  Then there is no action set, of which the original
    loses what is left to be written, and no tunnel is written to, of which it takes a resumed packet for one
    that came out of a tunnel; nor is there a ct, for when another packet comes there is chance.  Else no
    action set waits while a packet-in is made: the original ends.
    """
    found = []
    for table in range(TABLES):
        words = [before(r) for _ in range(r.randrange(4))]
        words += [sending(r) for _ in range(r.randrange(1, 3))] if r.random() < 0.7 or not table else []
        if r.random() < 0.4:
            words += [before(r), sending(r)]
        if pauses and r.random() < 0.4:
            words += [r.choice(PAUSES), before(r), before(r)]
        if r.random() < 0.5 and table + 1 < TABLES:
            words.insert(r.randrange(len(words) + 1), following(r, table))
        last = []
        if r.random() < 0.2 and not table and not pauses:
            written = r.choice(("controller", "group:1", "set_field:7->reg7,controller"))
            last.append(f"write_actions({written})")
        elif r.random() < 0.1 and table + 1 < TABLES:
            last.append(f"goto_table:{r.randrange(table + 1, TABLES)}")
        if pauses:
            words = [word for word in words if not (("dst" in word and "tun" in word) or "ct(" in word)]
        actions = ",".join([*words, *last]) or "drop"
        cookie = r.choice(("", f"cookie={r.randrange(1, 99)},"))
        text = f"table={table},{cookie}priority={number},tcp,tp_dst={number},actions={actions}"
        found += [text] if sensible(text) else []
    return found


def packet(r: random.Random, number: int) -> bytes:
    fields = {"dl_src": 0x505400000005, "dl_dst": 0x505400000007, "dl_type": 0x0800, "nw_proto": 6}
    fields |= {"net_src": 0xFFFF0A000001, "net_dst": 0xFFFF0A000002, "nw_ttl": r.choice((1, 2, 64, 64, 64))}
    fields |= {"tp_src": number, "tp_dst": number, "tcp_flags": 2}
    if r.random() < 0.2:
        fields |= {"vlan_tpid": 0x8100, "vlan_tci": VLAN_CFI | 5}
    return build(pack(**fields)[0], bytes(r.randrange(120)))


def fill(pair: Pair, flows: list[str]) -> None:
    for switch in pair.both:
        assert switch.ofctl("-O", "OpenFlow15", "del-flows", "br0").returncode == 0
        done = switch.ofctl("-O", "OpenFlow15", "add-flows", "br0", "-", input="\n".join(flows) + "\n")
        assert done.returncode == 0, done.stderr


def plain(message: bytes) -> bytes:
    """A message that waits as text, without the bridge that its continuation names: ours names none."""
    text = message_text(message)
    if CONTINUED not in text:
        return message
    return re.sub(r" continuation\.bridge=.*\n", "", text).encode()


def shown(message: bytes) -> str:
    return message.decode() if message.startswith(b"NXT") else message_text(message)


Both = tuple[Listener, Listener]


def differences(listeners: list[Both]) -> dict[tuple[int, int], tuple[list[str], list[str]]]:
    """What only the original or only ours has sent to controllers of a version and format."""
    found = {}
    for both in listeners:
        theirs, ours = (sorted(plain(message) for message in listener.seen()) for listener in both)
        if theirs != ours:
            left, right = list(theirs), list(ours)
            for message in theirs:
                if message in right:
                    left.remove(message)
                    right.remove(message)
            form = both[0].version, both[0].form
            found[form] = [shown(one) for one in left], [shown(one) for one in right]
    return found


def compare(listeners: list[Both], context: object) -> int:
    """Waits until all has been told that both have to tell; how many packets the first was told of."""
    deadline = time.monotonic() + PATIENCE
    while different := differences(listeners):
        assert time.monotonic() < deadline, (context, different)
        time.sleep(0.02)
    count = len(listeners[0][1].got)
    for both in listeners:
        for listener in both:
            listener.got.clear()
    return count


def test_packets_in(pair: Pair) -> None:
    r = random.Random(SEED)
    listeners = []
    for form in FORMATS:
        miss = r.choice((40, 128, 0xFFFF))
        listeners.append((Listener(pair.original, *form, miss=miss), Listener(pair.ours, *form, miss=miss)))
    cases = {number: flow(r, number) for number in range(FIRST, FIRST + CASES)}
    fill(pair, [one for flows in cases.values() for one in flows])
    told = 0
    for start in range(FIRST, FIRST + CASES, AT_ONCE):  # a hundred packets wait for a controller, no more
        some = {number: cases[number] for number in range(start, min(start + AT_ONCE, FIRST + CASES))}
        for number in some:
            frame = packet(r, number).hex()
            for _ in range(2):
                pair.control("netdev-dummy/receive", "p1", frame)
        told += compare(listeners, some)
    assert told > CASES
    for both in listeners:
        for listener in both:
            listener.peer.close()


@pytest.mark.parametrize("version", range(1, 7))
def test_packets_that_wait_and_go_on(pair: Pair, version: int) -> None:
    """Continuations are the same too, but for the bridge's name; and so is what is told once they go on.

    Each version has port numbers of its own: the original's megaflows outlive their flows for a moment.
    """
    r = random.Random(SEED * 10 + version)
    first = FIRST * (version + 1)
    both = Resumer(pair.original, version, 2), Resumer(pair.ours, version, 2)
    cases = {number: flow(r, number, pauses=True) for number in range(first, first + CASES // 3)}
    fill(pair, [one for flows in cases.values() for one in flows])
    told = waited = 0
    for number, flows in cases.items():
        pair.control("netdev-dummy/receive", "p1", packet(r, number).hex())
        told += compare([both], flows)
        waited += "pause" in flows[0]
    assert told > CASES // 3
    assert waited > 3
    for listener in both:
        listener.peer.close()
