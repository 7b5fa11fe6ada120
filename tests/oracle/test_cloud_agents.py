"""Agents of clouds program one bridge over several connections at once; it ends as the original does."""

import threading
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.wire import Protocol

pytestmark = pytest.mark.oracle

LEARN = (
    "cookie=0xa1,table=10,priority=5,actions=learn(table=20,hard_timeout=300,priority=1,cookie=0xa2,"
    "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],"
    "load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[]),output:1"
)
AGENTS: dict[int, tuple[str, ...]] = {
    1: (  # the tunnels' side
        "cookie=0xa0,table=0,priority=1,in_port=1,actions=resubmit(,10)",
        LEARN,
        *(f"cookie=0xa3,table=21,dl_vlan={n},dl_dst=50:54:00:00:00:{n:02x},actions=strip_vlan,load:{n}->"
          "NXM_NX_TUN_ID[],output:2" for n in range(1, 100)),
    ),
    4: (  # security groups
        *(f"cookie=0xb{n % 2},table=72,priority=70,conj_id={n},ip,reg5={n},actions=load:{n}->NXM_NX_REG7[],"
          "ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,92)" for n in range(1, 40)),
        *(f"cookie=0xb{n % 2},table=72,priority=73,ip,nw_src=10.0.0.{n},actions=conjunction({n},1/2)"
          for n in range(1, 40)),
        *(f"cookie=0xb{n % 2},table=72,priority=73,tcp,tp_dst={n},actions=conjunction({n},2/2)"
          for n in range(1, 40)),
        "cookie=0xb0,table=60,ct_state=-trk,ip,actions=ct(table=72,zone=5)",
    ),
    5: (  # a distributed router
        *(f"cookie=0xc{n},table=30,importance={n},ip,nw_dst=172.16.{n}.0/24,actions=dec_ttl,"
          f"set_field:50:54:00:00:02:{n:02x}->eth_dst,goto_table:60" for n in range(100)),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def agent(switch: Switch, version: int, found: list[object]) -> None:
    """Plain flow-mods, or (from 1.4 on) an atomic and ordered bundle of them."""
    peer = switch.peer(version)
    protocol = Protocol(version, nxm=version == 1, table_id=version == 1)
    mods = [parse_flow(text, of.OFPFC_ADD).mod for text in AGENTS[version]]
    sent = [] if version > 1 else [encode(protocol, m.FlowModTableId(True), 1)[0]]
    if version < 5:
        sent += [encode(protocol, mod, 5)[0] for mod in mods]
    else:
        flags = of.OFPBF_ATOMIC | of.OFPBF_ORDERED
        sent.append(encode(protocol, m.BundleControl(9, of.OFPBCT_OPEN_REQUEST, flags), 6)[0])
        sent += [encode(protocol, m.BundleAdd(9, flags, 5, mod), 5)[0] for mod in mods]
        sent.append(encode(protocol, m.BundleControl(9, of.OFPBCT_COMMIT_REQUEST, flags), 7)[0])
    answers = peer.ask(*sent)
    found.append([(one[1], one[8:12]) for one in answers])
    peer.close()


def state(switch: Switch) -> list[str]:
    done = switch.ofctl("dump-flows", "br0", "-OOpenFlow15", "--no-stats")
    assert done.returncode == 0, done.stderr
    return sorted(line.strip() for line in done.stdout.splitlines() if "OFPST" not in line)


def test_several_agents_at_once(pair: Pair) -> None:
    heard: list[list[object]] = []
    for switch in pair.both:
        answers: dict[int, list[object]] = {version: [] for version in AGENTS}
        threads = [threading.Thread(target=agent, args=(switch, *one)) for one in answers.items()]
        for thread in threads:
            thread.start()
        flows = "".join(f"table=90,priority={n},reg1={n},actions=resubmit(,{n % 200})\n" for n in range(300))
        done = switch.ofctl("--bundle", "-OOpenFlow14", "add-flows", "br0", "-", input=flows)
        assert done.returncode == 0, done.stderr
        for thread in threads:
            thread.join(30)
        heard.append([answers[version] for version in AGENTS])
    assert heard[0] == heard[1]
    first = [state(switch) for switch in pair.both]
    assert first[0] == first[1]
    assert len(first[0]) == 300 + sum(map(len, AGENTS.values()))


def test_cookies_with_masks_and_bundles_that_fail(pair: Pair) -> None:
    for switch in pair.both:
        switch.ofctl("add-flows", "br0", "-", input="\n".join(AGENTS[1] + AGENTS[4]))
        before = len(state(switch))
        for version in ("10", "13", "14"):
            switch.ofctl(f"-OOpenFlow{version}", "mod-flows", "br0", "cookie=0xb1/-1,tcp,actions=drop")
        switch.ofctl("del-flows", "br0", "cookie=0xb0/0xff")
        assert len(state(switch)) < before
        bad = "add table=1,actions=drop\nadd table=2,actions=group:77\n"
        failed = switch.ofctl("--bundle", "-OOpenFlow14", "add-flows", "br0", "-", input=bad)
        assert failed.returncode == 1
        assert not [line for line in state(switch) if "table=1," in line]
        switch.ofctl("-OOpenFlow14", "--bundle", "replace-flows", "br0", "-", input="table=3,actions=drop\n")
        assert len(state(switch)) == 1
        switch.ofctl("add-flows", "br0", "-", input="\n".join(AGENTS[1][:2]))
        arp = "ffffffffffff50540000000a0806000108000604000150540000000a0a00000100000000000a000002" + "00" * 22
        switch.control("netdev-dummy/receive", "p1", arp[:120])
        for _ in range(200):
            if any("cookie=0xa2" in line for line in state(switch)):
                break
        else:
            pytest.fail("nothing was learned")
    original, ours = (state(switch) for switch in pair.both)
    assert original == ours
