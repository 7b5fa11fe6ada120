"""Actions on tunnel options (tun_metadata) beside the original's: what is taken, said again and done.

How long such a field is, only the bridge's table of options knows; random flows name parts of fields that are
shorter than that, longer, and of fields that no option is mapped to.
"""

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.openflow_talk import Talk, held_pair
from support.switch_pair import Pair
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.tunnel_table import NXTTMC_ADD, NXTTMC_CLEAR, TlvMapping, TlvTableMod

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

MAPPED = {0: 4, 1: 8, 2: 16, 63: 124}
ALL_FLOWS = m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match)
WIDTHS = {"reg0": 32, "xreg1": 64, "xxreg1": 128, "in_port": 16, "eth_dst": 48}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    for pair in held_pair():
        for switch in pair.both:
            words = ",".join(f"{{class=1,type={i},len={n}}}->tun_metadata{i}" for i, n in MAPPED.items())
            assert switch.ofctl("add-tlv-map", "br0", words).returncode == 0
        yield pair


class Dice(random.Random):
    """`wrong`: what a flow may do wrong, "long" parts or "unmapped" options, for which of two errors is named
    is nobody's business."""

    wrong = ""

    def number(self) -> int:
        return self.choice((*MAPPED, 0, 1, 5 if self.wrong == "unmapped" else 2))


def option(r: Dice, bits: int = 0) -> tuple[str, int]:
    """A part of an option, of so many bits if that is asked for, now and then one that is not there."""
    number = r.number()
    while r.wrong != "long" and bits > 8 * MAPPED.get(number, 124):
        number = r.number()
    width = 8 * MAPPED.get(number, 124)
    start = r.choice((0, 0, r.randrange(width)))
    bits = bits or r.randint(1, max(1, min(64, width - start)))
    if start + bits > width and r.wrong != "long":
        start = max(0, width - bits)
    elif r.wrong == "long" and r.random() < 0.2:
        start += r.choice((width - start, width - bits + 1 if width > bits else 1))
    if start + bits > 992:
        start = 992 - bits
    return f"tun_metadata{number}[{start}..{start + bits - 1}]", bits


def other(r: Dice, bits: int) -> str:
    name = r.choice([name for name, width in WIDTHS.items() if width >= bits and name != "in_port"])
    start = r.randint(0, WIDTHS[name] - bits)
    return f"{name}[{start}..{start + bits - 1}]"


def matched(r: Dice, used: list[str]) -> tuple[str, int]:
    """A part for a learned flow to match on, each option once.  Of one that reaches down to the lowest bit
    the original matches the whole field, and of two parts of one field it forgets the second."""
    while True:
        part, bits = option(r)
        name, start = part.split("[")
        whole = part in ("tun_metadata0[0..31]", "tun_metadata1[0..63]")
        if name not in used and (whole or not start.startswith("0")):
            used.append(name)
            return part, bits


def spec(r: Dice, used: list[str]) -> str:
    if r.random() < 0.5 and len(used) < 3:
        part, bits = matched(r, used)
        another, register = option(r, bits)[0], other(r, bits)
        return r.choice((part, f"{part}={another}", f"{part}={register}", f"{part}={r.getrandbits(bits):#x}"))
    part, bits = option(r)
    register = other(r, bits)
    value = r.getrandbits(bits)
    forms = [f"{register}={part}", f"load:{part}->{option(r, bits)[0]}"]
    forms += [f"load:{part}->{register}", f"load:{register}->{part}", f"load:{value:#x}->{part}"]
    return r.choice((*forms, f"output:{option(r, 16)[0]}"))


def set_field(r: Dice) -> str:
    number = r.number()
    octets = r.choice((1, MAPPED.get(number, 4), r.randint(1, 20)))
    value, mask = r.getrandbits(8 * octets), r.getrandbits(8 * octets)
    form = r.choice((f"{value:#x}", f"{value & mask:#x}/{mask:#x}", "0"))
    return f"set_field:{form}->tun_metadata{number}"


def learn(r: Dice) -> str:
    used: list[str] = []
    specs = [spec(r, used) for _ in range(r.randint(1, 3))]
    end = f",limit=2,result_dst=tun_metadata0[{r.randrange(32)}]" if r.random() < 0.3 else ""
    return f"learn(table=2{end},{','.join(specs)})"


def action(r: Dice) -> str:
    part, bits = option(r)
    sixteen = option(r, 16)[0]
    one = re.sub(r"\.\.\d+", "", option(r, 1)[0])
    moved = option(r, 32)[0]
    forms = [
        set_field(r),
        set_field(r),
        f"load:{r.getrandbits(bits):#x}->{part}",
        f"move:{part}->{other(r, bits)}",
        f"move:{other(r, bits)}->{part}",
        f"move:{part}->{option(r, bits)[0]}",
        f"push:{part}",
        f"push:{part},pop:{option(r, bits)[0]}",
        f"output:{sixteen}",
        f"multipath({r.choice(('eth_src', 'symmetric_l4'))},7,modulo_n,{r.randint(1, 9)},0,{sixteen})",
        f"bundle_load(eth_src,9,{r.choice(('hrw', 'active_backup'))},ofport,{sixteen},members:1,2)",
        f"check_pkt_larger({r.randint(50, 200)})->{one}",
        f"delete_field:tun_metadata{r.number()}",
        learn(r),
        learn(r),
        f"ct(commit,zone={sixteen})",
        f"ct(commit,zone=3,exec(move:{moved}->ct_mark))",
    ]
    chosen = r.choice(forms)
    return f"clone({chosen},2)" if r.random() < 0.1 and not chosen.startswith("ct") else chosen


def flow(r: Dice, number: int) -> str:
    r.wrong = r.choice(("", "long", "unmapped"))
    port = number % 40 + 1
    actions = ",".join(action(r) for _ in range(r.choice((1, 1, 2, 3))))
    return f"table=0,in_port={port},ip,actions={actions},move:tun_metadata0[0..15]->reg7[0..15],2"


def add(text: str) -> Any:
    mod = parse_flow(text, of.OFPFC_ADD).mod
    return mod._replace(table=0 if mod.table == 255 else mod.table)


def plain(trace: str) -> str:
    """Without which bits of the packet decide, which may differ."""
    return re.sub("^Megaflow: .*", "", trace, flags=re.MULTILINE)


@pytest.mark.parametrize("version", [1, 4, 6])
def test_random_flows(pair: Pair, version: int) -> None:
    r = Dice(f"options {version}")
    talk = Talk(pair, version)
    errors: list[str] = []
    for _ in range(4):
        taken = []
        for number in range(40):
            text = flow(r, number)
            answer = talk.ask(add(text), text)
            errors += re.findall("(?:OFPBAC|NXFMFC)_[A-Z_]+", answer)
            if not answer:
                taken.append(number)
        talk.ask(ALL_FLOWS)
        for number in taken:
            packet = f"in_port={number % 40 + 1},ip,dl_src={number:02x}:00:00:00:00:01,nw_proto=17"
            packet += f",tun_src=1.1.1.1,tun_dst=2.2.2.2,tun_metadata0={r.getrandbits(32):#x}"
            packet += r.choice(("", f",tun_metadata1={r.getrandbits(64):#x},tun_metadata2=7"))
            original, ours = pair.control("ofproto/trace", "br0", packet, "-generate")
            assert plain(ours) == plain(original), f"{packet}\n{original}\n{ours}"
        talk.ask(ALL_FLOWS, "learning")
        talk.ask(add("actions=drop")._replace(command=of.OFPFC_DELETE, table=255))
    assert {"OFPBAC_BAD_SET_LEN", "NXFMFC_INVALID_TLV_FIELD"} <= set(errors)
    assert len(errors) < 120
    talk.close()


MATCHES = (
    *("0x3/0xff", "0x3", "0x1004567/0xff00ffff", "0x123456789", "0x12300000000/0xfff00000000", "0", "0/0"),
    *("0/0xff", "0xffffffffff", "0xff00/0xff00"),
)


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("version", [1, 4, 6])
def test_values_of_any_length(pair: Pair, version: int, ours: bool) -> None:
    """Matches and set_fields that say fewer or more bytes than the option has, as either tool sends them."""
    lines = [f"priority={i},tun_metadata0={text},actions=1" for i, text in enumerate(MATCHES)]
    lines += [f"table=1,priority={i},actions=set_field:{x}->tun_metadata1" for i, x in enumerate(MATCHES)]
    lines += [f"table=2,priority={i},actions=set_field:{x}->tun_metadata0" for i, x in enumerate(MATCHES)]
    for i, part in enumerate(("[]", "[0..31]", "[3]", "[8..23]")):
        lines.append(f"table=3,priority={i},actions=load:1->tun_metadata0{part}")
    dumps = []
    for switch in pair.both:
        name = f"OpenFlow1{version - 1}"
        done = switch.ofctl("-O", name, "add-flows", "br0", "-", ours=ours, input="\n".join(lines))
        assert (done.returncode, done.stderr[:999]) == (0, "")
        shown = switch.ofctl("-O", "OpenFlow13", "--no-stats", "dump-flows", "br0", ours=ours).stdout
        dumps.append(sorted(shown.splitlines()))
        switch.ofctl("del-flows", "br0")
    assert len(dumps[0]) == len(lines)
    assert dumps[0] == dumps[1]


def test_options_of_a_packet_out_and_a_group(pair: Pair) -> None:
    for version in (1, 4, 6):
        talk = Talk(pair, version)
        for text in (
            "set_field:0x12345678aa->tun_metadata0,output:tun_metadata0[0..15]",
            "load:1->tun_metadata5[]",
        ):
            actions = parse_flow(f"actions={text}", of.OFPFC_ADD).mod.actions
            packet = m.PacketOut(bytes(60), parse_flow("in_port=1", of.OFPFC_DELETE).mod.match, actions)
            talk.ask(packet, text)
        talk.close()


def test_a_mapping_in_use_stays(pair: Pair) -> None:
    talk = Talk(pair, 4)
    talk.ask(add("actions=learn(table=3,load:1->tun_metadata0[0..3])"))
    for mod in (
        TlvTableMod(NXTTMC_CLEAR, ()),
        TlvTableMod(NXTTMC_ADD, (TlvMapping(1, 0, 4, 0),)),
    ):
        assert "OFPT_ERROR" in talk.ask(mod)
    talk.ask(add("actions=drop")._replace(command=of.OFPFC_DELETE, table=255))
    talk.close()
