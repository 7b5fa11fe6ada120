"""What controllers are sent of packets that no flow matches and of packets without an Ethernet header, beside
the original's: after goto_table, resubmit, clone, TABLE; in every format of packet-ins and every version."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.openflow_talk import Talk, held_pair
from support.switch_pair import Pair
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.flow_text import parse_flow

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

IP = bytes.fromhex("4500001c00000000401166cf0a0000010a0000020001000200080000")
FRAME = bytes.fromhex("5054000000025054000000010800") + IP


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


def flow(text: str, command: int = of.OFPFC_ADD) -> Any:
    change = parse_flow(text, command).mod
    return change._replace(table=0 if change.table == 255 else change.table)


def clear(talk: Talk) -> None:
    talk.ask(flow("", of.OFPFC_DELETE)._replace(table=255))


def packet_out(talk: Talk, metadata: str, data: bytes = FRAME) -> None:
    actions = parse_flow("actions=TABLE", of.OFPFC_ADD).mod.actions
    talk.ask(m.PacketOut(data, parse_flow(metadata, of.OFPFC_DELETE).mod.match, actions), metadata)


def told_by_now(talk: Talk) -> list[str]:
    """What both have told, which must be the same: up to a packet that is sent to the controller as such."""
    metadata = parse_flow("in_port=7", of.OFPFC_DELETE).mod.match
    talk.ask(m.PacketOut(FRAME, metadata, parse_flow("actions=controller", of.OFPFC_ADD).mod.actions))
    deadline = time.monotonic() + 20
    while not all(any("in_port=7" in one for one in told) for told in talk.unasked):
        assert time.monotonic() < deadline, talk.unasked
        talk.ask(m.BarrierRequest())
        time.sleep(0.002)
    return talk.compare_unasked()


def onward(r: random.Random, table: int, version: int) -> str:
    """What a flow may do that ends in a table where there may be no flow."""
    after = r.randint(table + 1, 6)
    forms = [f"resubmit(,{after})", f"resubmit(1,{after})", f"clone(resubmit(,{after}))", "output:2"]
    forms += [f"resubmit(,{after}),resubmit(,{r.randint(table + 1, 6)})", f"output:2,resubmit(,{after})"]
    words = [r.choice(forms) for _ in range(r.choice((0, 1, 1, 2)))]
    if version > 1 and r.random() < 0.6:
        words.append(f"goto_table:{after}")
    return ",".join(words) or "drop"


@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_misses(pair: Pair, version: int, form: int) -> None:
    r = random.Random(f"misses {version} {form}")
    talk = Talk(pair, version)
    talk.ask(m.SetConfig(m.SwitchConfig(0, 65535, False)))
    talk.ask(m.SetPacketInFormat(form))
    told = []
    for _ in range(8):
        clear(talk)
        for table in range(6):
            if r.random() < 0.7:
                does = onward(r, table, version)
                talk.ask(flow(f"table={table},in_port=1,cookie={table + 1},actions={does}"))
            if version > 3 and r.random() < 0.5:
                talk.ask(flow(f"table={table},priority=0,cookie={table + 9},actions=controller"))
        packet_out(talk, "in_port=1")
        told += told_by_now(talk)
    assert len(told) > 8  # more than those that end each step
    clear(talk)
    talk.close()


@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_packets_without_ethernet(pair: Pair, version: int, form: int) -> None:
    talk = Talk(pair, version)
    talk.ask(m.SetConfig(m.SwitchConfig(0, 65535, False)))
    talk.ask(m.SetPacketInFormat(form))
    clear(talk)
    for text in (
        "in_port=1,packet_type=(1,0x800),actions=controller",
        "in_port=1,packet_type=(0,0),actions=controller",
        "in_port=2,actions=decap(),controller(userdata=01)",
        "in_port=3,actions=decap(),encap(ethernet),controller",
        "in_port=4,actions=decap(),dec_ttl,controller(userdata=02.03)",
    ):
        talk.ask(flow(text), text)
    told = []
    for port in range(1, 5):
        packet_out(talk, f"in_port={port}")
        packet_out(talk, f"in_port={port},packet_type=(0,0)")
        told += told_by_now(talk)
    if version == 6:
        talk.ask(flow("in_port=4,packet_type=(1,0x800),ip,nw_src=10.0.0.1,actions=dec_ttl,controller"))
        for port in (1, 4):
            packet_out(talk, f"in_port={port},packet_type=(1,0x800)", IP)
            told += told_by_now(talk)
    assert sum("packet_type=(1,0x800)" in one for one in told) >= 2
    clear(talk)
    talk.close()
