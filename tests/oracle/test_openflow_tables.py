"""Flow tables beside the original's: limits, eviction, vacancy events, names, features, tunnel options."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from support.openflow_talk import Talk, held_pair
from support.switch_pair import Pair
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.table_abilities import TableFeaturesRequest

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


IN_TABLE_1 = m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match, 1)
ALL_FLOWS = m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match)


def add(flow: str, command: int = of.OFPFC_ADD) -> m.FlowMod:
    mod = parse_flow(flow, command).mod
    return mod._replace(table=0 if mod.table == 255 else mod.table)


def set_tables(pair: Pair, *columns: str, number: int = 1) -> None:
    """A row for one table of both bridges, and no other."""
    for switch in pair.both:
        switch.vsctl(
            *("--", "--id=@t", "create", "flow_table", *columns),
            *("--", "set", "bridge", "br0", f"flow_tables={{{number}=@t}}"),
        )


def clear(pair: Pair) -> None:
    for switch in pair.both:
        switch.vsctl("clear", "bridge", "br0", "flow_tables")
        assert switch.ofctl("del-flows", "br0").returncode == 0


def wait_for_limit(talk: Talk, limit: int, number: int = 1) -> None:
    """Until both switches have taken up the row (1.0 to 1.2 show the limit)."""
    deadline = time.monotonic() + 10
    data = b"".join(encode(talk.protocol, m.TableStatsRequest(), 9))
    while True:
        shown = talk._answers(data)
        if all(f"max_entries={limit}\n" in "".join(told) for told in shown):
            return
        assert time.monotonic() < deadline, f"no limit of {limit}"
        time.sleep(0.05)


def ties(dump: str, grouped: bool) -> bool:
    """Whether the original would have to throw dice: several groups are the largest."""
    if not grouped:
        return False
    sizes = Counter(
        int(found[1]) & 3 if (found := re.search(r"in_port=(\d+)", line)) else 0
        for line in dump.splitlines()
        if "table=1" in line and "_timeout" in line
    )
    most = max(sizes.values(), default=0)
    return sum(size == most for size in sizes.values()) > 1


@pytest.mark.parametrize("version", [1, 4, 5, 6])
@pytest.mark.parametrize("grouped", [False, True])
def test_full_tables_evict_the_same_flows(pair: Pair, version: int, grouped: bool) -> None:
    r = random.Random(f"eviction {version} {grouped}")
    clear(pair)
    groups = ('groups="NXM_OF_IN_PORT[0..1]"',) if grouped else ()
    watcher = Talk(pair, 1)
    talk = Talk(pair, version)
    for one in (talk, watcher):
        one.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    set_tables(pair, "flow_limit=12", "overflow_policy=evict", *groups)
    wait_for_limit(watcher, 12)
    deadlines = list(range(200, 1300, 5))  # so far apart that seconds begun do not matter
    r.shuffle(deadlines)
    for step in range(110):
        dump = talk.ask(ALL_FLOWS)
        if ties(dump, grouped) and dump.count("table=1") >= 12:
            port = r.choice(re.findall(r"table=1.*in_port=(\d+)", dump))
            talk.ask(add(f"table=1,in_port={port}", of.OFPFC_DELETE), f"step {step}")
            continue
        kind = r.choice(("idle_timeout", "hard_timeout", "hard_timeout", ""))
        if kind and r.random() < 0.9:
            kind = f",{kind}={deadlines.pop()}"
        else:
            kind = "" if r.random() < 0.2 else f",idle_timeout={deadlines.pop()}"
        importance = f",importance={r.choice((0, 0, 1, 2))}" if version >= 5 else ""
        flow = (
            f"table=1,in_port={r.randrange(40)}{kind}{importance},send_flow_rem,actions={r.randrange(1, 4)}"
        )
        talk.ask(add(flow), f"step {step}: {flow}")
    talk.ask(ALL_FLOWS)
    told = talk.compare_unasked()
    watcher.compare_unasked()
    evicted = sum("reason=eviction" in one for one in told)
    assert (evicted > 10) == (version >= 5), told[:3]
    # A lower limit takes effect at once, as far as flows may be evicted.
    if not grouped:
        for switch in pair.both:
            table = switch.originals.run(
                "ovs-vsctl",
                f"--db={switch.originals.database}",
                "--bare",
                "get",
                "bridge",
                "br0",
                "flow_tables:1",
            ).stdout.strip()
            switch.vsctl("set", "flow_table", table, "flow_limit=5")
        wait_for_limit(watcher, 5)
        assert talk.ask(ALL_FLOWS).count("table=1") >= 5
    watcher.close()
    talk.close()


@pytest.mark.parametrize("policy", ["evict", "refuse"])
def test_learned_flows_in_full_tables(pair: Pair, policy: str) -> None:
    """A flow that a packet makes is added as any other: in place of the one due first, or not at all."""
    clear(pair)
    talk, watcher = Talk(pair, 5), Talk(pair, 1)
    for one in (talk, watcher):
        one.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    set_tables(pair, "flow_limit=6", f"overflow_policy={policy}")
    wait_for_limit(watcher, 6)
    for i in range(6):
        talk.ask(add(f"table=1,in_port={50 + i},hard_timeout={300 + 10 * i},send_flow_rem,actions=1"))
    learn = "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]"
    for port in range(1, 5):
        flow = (
            f"table=0,in_port={port},actions=learn(table=1,hard_timeout={1000 * port},send_flow_rem,{learn})"
        )
        talk.ask(add(flow))
    for port in (3, 1, 4, 2):
        packet = (
            f"in_port({port}),eth(src=50:54:00:00:00:{port:02x},dst=50:54:00:00:00:77),eth_type(0x0800),"
            "ipv4(src=1.1.1.1,dst=1.1.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
        )
        for switch in pair.both:
            switch.control("netdev-dummy/receive", f"p{port}", packet)
        shown = talk.until_equal(IN_TABLE_1)
        deadline = time.monotonic() + 20
        learned = f"dl_dst=50:54:00:00:00:{port:02x}"
        while policy == "evict" and learned not in shown:
            assert time.monotonic() < deadline, shown
            shown = talk.until_equal(IN_TABLE_1)
        assert shown.count("table=1") == 6
    told = talk.compare_unasked()
    assert sum("reason=eviction" in one for one in told) == (4 if policy == "evict" else 0)
    assert ("dl_dst=" in talk.ask(IN_TABLE_1)) == (policy == "evict")
    watcher.close()
    talk.close()


def test_refusing_tables(pair: Pair) -> None:
    """A table that does not evict refuses; what replaces a flow needs no room, in bundles neither."""
    clear(pair)
    watcher, talk = Talk(pair, 1), Talk(pair, 5)
    set_tables(pair, "flow_limit=3", "name=small")
    wait_for_limit(watcher, 3)
    assert '("small")' in watcher.ask(m.TableStatsRequest())
    for flow in ("1", "2,idle_timeout=9", "3", "1,hard_timeout=100", "4", "2", "4"):
        answer = talk.ask(add(f"table=1,in_port={flow},actions=1"), flow)
        assert ("OFPFMFC_TABLE_FULL" in answer) == (flow == "4")
    watcher.ask(add("table=1,in_port=9,actions=2", of.OFPFC_MODIFY))
    talk.ask(m.TableMod(1, None, True))
    talk.ask(m.TableDescriptionRequest())
    assert "in_port=4" in talk.ask(add("table=1,in_port=4,actions=1")) + talk.ask(ALL_FLOWS)
    talk.ask(m.TableMod(1, None, False))
    talk.ask(add("table=1,in_port=5,actions=1"))
    talk.ask(m.TableMod(of.OFPTT_ALL, None, True))
    talk.ask(m.TableDescriptionRequest())
    talk.ask(m.TableMod(of.OFPTT_ALL, None, False))
    talk.ask(m.TableMod(254, None, True))
    clear(pair)
    wait_for_limit(watcher, 1_000_000)
    watcher.until_equal(m.TableStatsRequest())
    watcher.close()
    talk.close()


@pytest.mark.parametrize("version", [5, 6])
def test_vacancy_events(pair: Pair, version: int) -> None:
    r = random.Random(f"vacancy {version}")
    clear(pair)
    watcher, talk = Talk(pair, 1), Talk(pair, version)
    talk.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    talk.ask(m.GetAsyncRequest())
    talk.ask(m.TableMod(1, None, False, None, True, 20, 80))
    talk.ask(m.TableDescriptionRequest(), "without a limit")
    set_tables(pair, "flow_limit=10")
    wait_for_limit(watcher, 10)
    told = []
    for wanted in (False, True):
        if wanted:
            talk.ask(m.SetAsync((7, 0), (7, 0), (7, 0), (7, 0), (0x18, 0), (0, 0)))
        for step in range(160):
            if step % 40 == 0:
                down, up = r.randrange(10, 45), r.randrange(50, 80)
                talk.ask(
                    m.TableMod(1, None, r.random() < 0.5, None, r.random() < 0.9, down, up), f"{down},{up}"
                )
            filling = step // 25 % 2 == 0
            flow = f"table=1,in_port={r.randrange(16)}"
            message = (
                add(flow + ",actions=1")
                if r.random() < (0.9 if filling else 0.1)
                else add(flow, of.OFPFC_DELETE)
            )
            talk.ask(message, f"step {step}: {flow}")
            if step % 5 == 0:
                talk.ask(m.TableDescriptionRequest(), f"step {step}")
        told = talk.compare_unasked()
        assert bool(told) == wanted, told
    assert any("VACANCY_DOWN" in one for one in told)
    assert any("VACANCY_UP" in one for one in told)
    talk.ask(m.TableMod(1, None, None, None, False))
    watcher.close()
    talk.close()


def test_what_rows_cannot_mean_is_said(pair: Pair) -> None:
    clear(pair)
    groups = 'groups=["NXM_OF_IN_PORT[","bla","NXM_OF_ETH_DST[0..7]","NXM_OF_IN_PORT[0..99]"]'
    set_tables(pair, groups, 'prefixes=["bla","ip_dst","eth_src"]')
    wanted = r"(bridge br0.*(?:error parsing|prefixes').*)"
    deadline = time.monotonic() + 10
    while True:
        said = [sorted(re.findall(wanted, switch.log())) for switch in pair.both]
        if said[0] == said[1] and len(said[0]) >= 5:
            break
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    clear(pair)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_what_tables_can_do(pair: Pair, version: int) -> None:
    """Table statistics by text; table features by what they mean: the original says some of it twice."""
    clear(pair)
    name = 'name="a name of more than thirty-one characters"'
    set_tables(pair, name, "flow_limit=77", number=3)
    watcher, talk = Talk(pair, 1), Talk(pair, version)
    wait_for_limit(watcher, 77)
    talk.ask(m.TableStatsRequest())
    if version >= 4:
        data = b"".join(encode(talk.protocol, TableFeaturesRequest(), 9))
        theirs, ours = ([table for raw in peer.ask(data) for table in _features(raw)] for peer in talk.peers)
        assert len(theirs) == 254
        assert theirs[3].name == "a name of more than thirty-one "
        assert ours == theirs
    watcher.close()
    talk.close()
    if version == 6:
        for command in (("dump-tables",), ("dump-table-features",), ("dump-tables", "-OOpenFlow12")):
            shown = [switch.ofctl("-OOpenFlow15", *command, "br0").stdout for switch in pair.both]
            # How often a packet that teaches flows is looked up again is the original's own.
            shown = [re.sub(r"lookup=\d+, matched=\d+", "counted", text) for text in shown]
            assert shown[0]
            assert shown[1] == shown[0]
    clear(pair)


def _features(raw: bytes) -> Iterator[Any]:
    for table in decode(raw).message.tables:  # type: ignore[union-attr]
        side = table.on_match
        bare = side._replace(write_fields=(), apply_fields=())
        assert table.on_miss == side
        yield table._replace(
            match=sorted(table.match),
            mask=sorted(table.mask),
            wildcard=sorted(table.wildcard),
            on_match=(bare, sorted(side.write_fields), sorted(side.apply_fields)),
            on_miss=None,
        )


@pytest.mark.parametrize("version", [1, 4, 6])
def test_tunnel_options_without_a_mapping_are_refused(pair: Pair, version: int) -> None:
    clear(pair)
    talk = Talk(pair, version)
    refused = 0
    for flow in (
        "tun_metadata1=0x1234,actions=1",
        "actions=set_field:7->tun_metadata3,1",
        "actions=move:tun_metadata3[0..31]->reg0[],1",
        "actions=move:reg0[]->tun_metadata3[0..31],1",
        "actions=load:1->tun_metadata0[0..3],1",
        "actions=clone(set_field:7->tun_metadata3,1)",
    ):
        for command in (of.OFPFC_ADD, of.OFPFC_MODIFY):
            refused += "OFPT_ERROR" in talk.ask(add(flow, command), flow)
    assert refused
    match = parse_flow("tun_metadata1=0x1234", of.OFPFC_DELETE).mod.match
    talk.ask(m.FlowStatsRequest(match))
    talk.ask(m.AggregateStatsRequest(match))
    talk.ask(add("tun_metadata1=1", of.OFPFC_DELETE))
    talk.ask(ALL_FLOWS)
    talk.close()


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_who_is_told_what(pair: Pair, version: int) -> None:
    """One controller changes flows and groups; another hears what its masks, as every role, let through."""
    r = random.Random(f"masks {version}")
    clear(pair)
    teller, listener, witness = Talk(pair, version), Talk(pair, version), Talk(pair, 5)
    for one in (listener, witness):
        one.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    heard: list[str] = []
    for step in range(24):
        masks = tuple((r.randrange(8), r.randrange(8)) for _ in range(3))
        if version >= 5:
            listener.ask(m.SetAsync(*masks, (0, 0), (0, 0), (r.randrange(4), r.randrange(4))))
            listener.ask(m.GetAsyncRequest(), masks)
        elif version == 4:
            listener.ask(m.SetAsync(*masks))
            listener.ask(m.GetAsyncRequest(), masks)
        listener.ask(m.RoleRequest(r.choice((of.OFPCR_ROLE_EQUAL, of.OFPCR_ROLE_SECONDARY)), step))
        teller.ask(parse_group(f"add group_id={step},type=all,bucket=output:1", None).mod)
        teller.ask(add(f"in_port={step},send_flow_rem,actions=group:{step}"))
        if r.random() < 0.5:
            teller.ask(add(f"in_port={step}", of.OFPFC_DELETE))
        teller.ask(parse_group(f"delete group_id={step}", None).mod)
        witness.wait_unasked(step + 1)  # the original tells of removed flows late, by the masks of then
        heard += listener.compare_unasked()
    assert teller.compare_unasked() == []
    assert any("FLOW_REMOVED" in one for one in heard)
    assert any("REQUESTFORWARD" in one for one in heard) == (version >= 5)
    for one in (teller, listener, witness):
        one.close()
