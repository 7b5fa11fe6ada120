"""Actions within actions beside the original: clones in clones, in buckets, behind ct, in action sets; the
same traces, datapath actions and all.

A hundred flows are in the switches at once, each for packets of one source, so that a case costs a trace.
Tags on tags, and learning, are in other tests.
"""

import os
import random
import re
from collections.abc import Iterator

import pytest

from support.pipelines import KINDS, TABLES, Maker, sensible
from support.switch_pair import Pair, Peer, fresh_pair
from trunkline.flow.values import TextError
from trunkline.openflow import codec
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.wire import Protocol

pytestmark = pytest.mark.oracle
VERSION = 6
SEEDS = int(os.environ.get("TRUNKLINE_NESTED", "8"))
FIRST = int(os.environ.get("TRUNKLINE_FIRST_SEED", "1000"))
CASES, DEPTH = 100, 4
LEFT_OUT = frozenset(("push_vlan", "learn", "normal", "load:0x1014->NXM_OF_VLAN_TCI[]", "check_pkt_larger"))


class Nester(Maker):
    """More of what has actions in it, and deeper."""

    def __init__(self, rnd: random.Random) -> None:
        super().__init__(rnd, LEFT_OUT)

    def _nested(self, kind: str, table: int, depth: int) -> str | None:
        r = self.rnd
        chance = r.random()
        if chance < 0.6 and depth < DEPTH:
            return f"clone({self.actions(kind, table, depth + 1, r.randint(1, 4))})"
        if chance < 0.75 and table + 1 < TABLES:
            return f"resubmit(,{r.randint(table + 1, TABLES - 1)})"
        if chance < 0.85:
            return f"group:{r.choice(self.groups)}" if self.groups and table < 3 else None
        return self._tracked(kind, table)

    def _tracked(self, kind: str, table: int) -> str | None:
        if kind not in ("ip", "tcp", "udp", "ipv6", "tcp6"):
            return None
        zone, later = self.rnd.randint(1, 4), min(table + 1, TABLES - 1)
        words = [
            f"ct(commit,zone={zone},exec(set_field:0x{zone}->ct_mark,set_field:0x5->ct_label))",
            "ct_clear",
            "ct(commit)",
        ]
        if later > table:
            words += [f"ct(table={later},zone={zone})", f"ct(commit,nat(src=10.0.1.{zone}),table={later})"]
        return self.one(*(words if kind[-1] != "6" or later == table else words[:-1]))

    def nested_group(self, number: int) -> str:
        """A group whose buckets may name those before it."""
        r = self.rnd
        kind = self.one("all", "select", "indirect", "ff")
        self.groups = list(range(1, number))
        text = f"group_id={number},type={kind}" + ",selection_method=hash" * (kind == "select")
        for i in range(1 if kind == "indirect" else r.randint(1, 4)):
            weight = f"weight:{r.choice((1, 10, 200))}," if kind == "select" else ""
            watch = f"watch_port:{r.randint(1, 4)}," if kind == "ff" else ""
            last = [f"output:{r.randint(1, 4)}", "resubmit(,3)"]
            last += [f"group:{other}" for other in self.groups]
            words = f"{self.actions('', 2, 1, 3)},{r.choice(last)}"
            text += f",bucket=bucket_id={3 * i},{weight}{watch}actions={words}"
        return text

    def frame_of(self, kind: str, number: int) -> bytes:
        """A packet of that kind from the source of that number."""
        ethertype = {"": b"", "arp": b"\x08\x06", "mpls": b"\x88\x47"}.get(kind)
        if ethertype is None:
            ethertype = b"\x86\xdd" if kind[-1] == "6" and kind != "ip" else b"\x08\x00"
        protocol = {"tcp": 6, "udp": 17, "icmp": 1, "sctp": 132, "tcp6": 6, "icmp6": 58}.get(kind)
        while True:
            frame = self.frame()
            if frame[12:14] == b"\x81\x00" or not frame[12:14].startswith(ethertype):
                continue
            at = 20 if ethertype == b"\x86\xdd" else 23
            if protocol is None or frame[at] == protocol:
                return frame[:6] + source(number) + frame[12:]


def source(number: int) -> bytes:
    return b"\x50\x54" + number.to_bytes(4, "big")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def comparable(trace: str) -> str:
    """A trace without what differs for good reasons: docs/differences.md."""
    numbers: dict[int, int] = {}

    def name(found: re.Match[str]) -> str:
        return f"{found[1]}R{numbers.setdefault(int(found[2], 0), len(numbers) + 1)}"

    trace = re.sub(r"\nMegaflow: .*", "", trace)
    trace = re.sub(r"set\(\w+\([^)]*\)\)", lambda found: re.sub(r"=[^,)]*", "", found[0]), trace)
    trace = re.sub(r"trunc\(\d+\),", "", trace)
    trace = re.sub(r"(?:set\(\w+\([^)]*\)\),)+", "set,", trace)  # in how many parts
    trace = re.sub(r"(?m)(Datapath actions: .*?)(?:,?set\(\w+(?:\([^)]*\))?\))+$", r"\1", trace)
    trace = re.sub(r"(?m)Datapath actions: $", "Datapath actions: drop", trace)
    return re.sub(r"(recirc(?:_id=|\())((?:0x)?[0-9a-f]+)", name, trace)


def refused(peers: tuple[Peer, Peer], change: object, text: str) -> bool:
    raw = codec.encode(Protocol(VERSION), change, 7)  # type: ignore[arg-type]
    theirs, ours = ([(one[1], one[8:12]) for one in peer.ask(*raw)] for peer in peers)
    assert theirs == ours, text
    return bool(ours)


def fill(pair: Pair, maker: Nester) -> list[tuple[str, str]]:
    """New groups and flows in both; the cases that were taken, as (kind, flow)."""
    for switch in pair.both:
        for command in ("del-flows", "del-groups"):
            assert switch.ofctl("-O", "OpenFlow15", command, "br0").returncode == 0
        switch.control("dpctl/flush-conntrack")
    peers = pair.peers(VERSION)
    there = []
    while len(there) < 5:
        text = maker.nested_group(len(there) + 1)
        try:
            change = parse_group(text, 0).mod
        except TextError:
            continue
        if not refused(peers, change, text):
            there.append(len(there) + 1)
    maker.groups = there
    others = [maker.flow(table, 500 - i) for table in range(1, TABLES) for i in range(12)]
    others += [f"table={table},priority=1,actions={maker.actions('', table)}" for table in range(1, TABLES)]
    cases: list[tuple[str, str]] = []
    while len(cases) < CASES:
        kind = maker.rnd.choice(KINDS)
        actions = maker.actions(kind, 0)
        if maker.rnd.random() < 0.2:
            actions += (
                f",write_actions({maker.action_set(kind, 0).replace('push_vlan:0x8100', 'set_queue:1')})"
            )
        match = f"priority=9,dl_src={source(len(cases)).hex(':')}{',' * bool(kind)}{kind}"
        text = f"table=0,{match},actions={actions}"
        if sensible(text) and not refused(peers, parse_flow(text, 0).mod, text):
            cases.append((kind, text))
    for text in others:
        if sensible(text) and "push_vlan" not in text:
            refused(peers, parse_flow(text, 0).mod, text)
    for peer in peers:
        peer.close()
    return cases


def test_nested_actions_are_explained_as_by_the_original(pair: Pair) -> None:
    forwarded = 0
    for seed in range(FIRST, FIRST + SEEDS):
        maker = Nester(random.Random(seed))
        for number, (kind, flow) in enumerate(fill(pair, maker)):
            for _ in range(2):
                port, frame = maker.rnd.randint(1, 4), maker.frame_of(kind, number)
                arguments = ("br0", f"in_port={port}", frame.hex())
                theirs, ours = (comparable(trace) for trace in pair.control("ofproto/trace", *arguments))
                assert ours == theirs, (seed, flow, arguments)
                forwarded += "Datapath actions: drop" not in ours
    assert forwarded > SEEDS * CASES / 2
