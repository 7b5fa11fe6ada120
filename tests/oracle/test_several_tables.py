"""What a controller such as Faucet relies on: OpenFlow 1.3, groups, meters and a pipeline of several tables.

Every answer of both switches is compared, and so is where packets come out after each step.
"""

import random
import re
from collections.abc import Iterator

import pytest

from support.openflow_talk import Talk, held_pair
from support.switch_pair import Pair
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.openflow import groups as g
from trunkline.openflow import messages as m
from trunkline.openflow import meters as me
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.meters_text import parse_meter

pytestmark = pytest.mark.oracle
_ALL_METERS = 0xFFFFFFFF
ALL = m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match)
FRAME = bytes.fromhex("ffffffffffff5054000000050806000108000604000150540000000500000001") + bytes(14)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


# Ports to VLANs, access lists, learned addresses, where to, flooding.
FLOWS = """
table=0,priority=4096,in_port=1,vlan_tci=0,actions=push_vlan:0x8100,set_field:4196->vlan_vid,goto_table:1
table=0,priority=4096,in_port=2,vlan_tci=0,actions=push_vlan:0x8100,set_field:4196->vlan_vid,goto_table:1
table=0,priority=4096,in_port=3,dl_vlan=100,actions=goto_table:1
table=0,priority=0,actions=drop
table=1,priority=20480,dl_type=0x0806,dl_vlan=100,actions=controller:96,goto_table:2
table=1,priority=20479,udp,dl_vlan=100,tp_dst=53,actions=meter:1,goto_table:2
table=1,priority=20478,tcp,dl_vlan=100,tp_dst=23,actions=drop
table=1,priority=0,actions=goto_table:2
table=2,priority=8191,dl_vlan=100,dl_src=50:54:00:00:00:05,in_port=1,hard_timeout=300,actions=goto_table:3
table=2,priority=8190,dl_src=50:54:00:00:00:00/ff:ff:ff:00:00:00,actions=controller:96,goto_table:3
table=2,priority=0,actions=controller:96,goto_table:3
table=3,priority=8192,dl_vlan=100,dl_dst=50:54:00:00:00:05,idle_timeout=300,actions=group:1
table=3,priority=8192,dl_vlan=100,dl_dst=50:54:00:00:00:06,idle_timeout=300,actions=write_actions(pop_vlan,output:2)
table=3,priority=0,actions=goto_table:4
table=4,priority=8240,dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0,actions=drop
table=4,priority=8208,dl_vlan=100,dl_dst=ff:ff:ff:ff:ff:ff,actions=group:2
table=4,priority=8192,dl_vlan=100,actions=group:2
table=4,priority=0,actions=drop
""".strip().splitlines()
GROUPS = (
    "add group_id=1,type=indirect,bucket=pop_vlan,output:1",
    "add group_id=2,type=all,bucket=pop_vlan,output:1,bucket=pop_vlan,output:2,bucket=output:3",
    "add group_id=3,type=ff,bucket=watch_port:3,output:3,bucket=watch_port:2,output:2",
    "add group_id=4,type=select,bucket=weight:1,output:1,bucket=weight:3,output:2",
)
WRONG_GROUPS = ("modify group_id=9,type=all", "add group_id=5,type=all,bucket=group:9")
PACKETS = (
    "in_port=1,dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:06,tcp,tcp_dst=80",
    "in_port=1,dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:06,tcp,tcp_dst=23",
    "in_port=2,dl_src=50:54:00:00:00:06,dl_dst=50:54:00:00:00:05,udp,udp_dst=53",
    "in_port=2,dl_src=50:54:00:00:00:07,dl_dst=ff:ff:ff:ff:ff:ff,arp,arp_op=1",
    "in_port=3,dl_vlan=100,dl_src=50:54:00:00:00:08,dl_dst=50:54:00:00:00:05,icmp",
    "in_port=3,dl_vlan=101,dl_src=50:54:00:00:00:08,dl_dst=50:54:00:00:00:05,icmp",
    "in_port=4,dl_src=50:54:00:00:00:09,dl_dst=01:80:c2:00:00:00,dl_type=0x88cc",
)


# Which bits a megaflow has is each switch's own; numbers of recirculations count up.
_UNEQUAL = re.compile(r"^Megaflow:.*\n|(?<=recirc_id=)\d+", re.MULTILINE)


def _flow(text: str, command: int = of.OFPFC_ADD) -> m.FlowMod:
    return parse_flow(text, command).mod


def _group(text: str) -> g.GroupMod:
    return parse_group(text, None).mod


def _traces(pair: Pair) -> None:
    """Packets meet the same rules and come out the same way."""
    for packet in PACKETS:
        both = pair.control("ofproto/trace", "br0", packet)
        theirs, mine = (_UNEQUAL.sub("", text) for text in both)
        assert mine == theirs, packet


def _questions(talk: Talk) -> None:
    for question in (
        m.FeaturesRequest(),
        m.GetConfigRequest(),
        m.DescriptionRequest(),
        m.TableStatsRequest(),
        g.GroupFeaturesRequest(),
        g.GroupDescriptionRequest(of.OFPG_ALL),
        g.GroupStatsRequest(of.OFPG_ALL),
        me.MeterFeaturesRequest(),
        me.MeterConfigRequest(_ALL_METERS),
        ALL,
        m.FlowStatsRequest(match(in_port=1), 0),
        m.AggregateStatsRequest(match(), 255),
        m.PortStatsRequest(of.OFPP_ANY),
        m.GetAsyncRequest(),
        m.RoleRequest(of.OFPCR_ROLE_NOCHANGE),
    ):
        talk.ask(question)


def test_a_pipeline_is_built_changed_and_taken_down(pair: Pair) -> None:
    r = random.Random("several tables")
    talk = Talk(pair, 4)
    try:
        talk.ask(m.RoleRequest(of.OFPCR_ROLE_PRIMARY, 5))
        _questions(talk)
        talk.ask(_flow("", of.OFPFC_DELETE))
        talk.ask(g.GroupMod(g.OFPGC_DELETE, of.OFPG_ALL))
        talk.ask(me.MeterMod(me.OFPMC_DELETE, _ALL_METERS))
        talk.ask(_flow(FLOWS[11]))  # its group is not there
        talk.ask(parse_meter("meter=1,pktps,burst,stats,bands=type=drop,rate=100,burst_size=10", 0))
        talk.ask(parse_meter("meter=1,pktps,band=type=drop,rate=100", 0))  # there is one
        for text in (
            *GROUPS,
            GROUPS[0],
            "modify group_id=9,type=all",
            "add group_id=5,type=all,bucket=group:9",
        ):
            talk.ask(_group(text), text)
        for text in r.sample(FLOWS, len(FLOWS)):
            talk.ask(_flow(text), text)
        _questions(talk)
        _traces(pair)
        for ports in ("flood", "all", "output:1,output:3", "in_port", "group:2", "table"):
            talk.ask(m.PacketOut(FRAME, match(in_port=2), parse_actions(ports)), ports)
            talk.ask(m.PacketOut(FRAME, match(in_port=of.OFPP_CONTROLLER), parse_actions(ports)), ports)
        talk.compare_unasked()
        for text in (
            "modify group_id=1,type=indirect,bucket=output:4",
            "modify group_id=2,type=all,bucket=output:4,bucket=pop_vlan,output:1",
            "modify group_id=2,type=ff,bucket=watch_port:1,output:1",
            "delete group_id=2",
        ):
            talk.ask(_group(text), text)
            _traces(pair)
            talk.ask(ALL)
        talk.ask(_flow("table=3,dl_vlan=100,dl_dst=50:54:00:00:00:06,actions=output:4", of.OFPFC_MODIFY))
        talk.ask(_flow("table=3,out_port=4", of.OFPFC_DELETE))
        talk.ask(
            _flow("table=2,priority=8190,dl_src=50:54:00:00:00:00/ff:ff:ff:00:00:00", of.OFPFC_DELETE_STRICT)
        )
        talk.ask(me.MeterMod(me.OFPMC_DELETE, 1))
        _questions(talk)
        _traces(pair)
        talk.ask(_flow("", of.OFPFC_DELETE))
        talk.ask(g.GroupMod(g.OFPGC_DELETE, of.OFPG_ALL))
        talk.compare_unasked()
        _questions(talk)
    finally:
        talk.close()


@pytest.mark.parametrize("version", range(1, 7))
def test_table_statistics_and_roles(pair: Pair, version: int) -> None:
    """Roles of two controllers on each switch, each told of the other's."""
    first = 100 * version  # an older generation than that of the test before would be refused
    talk, other = Talk(pair, version), Talk(pair, version)
    try:
        talk.ask(_flow("in_port=1,actions=output:2"))
        talk.ask(m.TableStatsRequest())
        if version > 0:
            steps = (
                *((talk, of.OFPCR_ROLE_PRIMARY, 7), (other, of.OFPCR_ROLE_SECONDARY, 8)),
                *((other, of.OFPCR_ROLE_PRIMARY, 9), (talk, of.OFPCR_ROLE_PRIMARY, 3)),
                *((talk, of.OFPCR_ROLE_EQUAL, 3), (talk, of.OFPCR_ROLE_SECONDARY, 10)),
            )
            for one, role, generation in steps:
                one.ask(m.RoleRequest(role, None if version == 1 else first + generation), role)
                one.ask(m.RoleRequest(of.OFPCR_ROLE_NOCHANGE) if version > 2 else m.BarrierRequest())
                for each in (talk, other):
                    each.ask(_flow("in_port=3,actions=output:1"))  # a secondary may not
                    each.compare_unasked()
        talk.ask(_flow("", of.OFPFC_DELETE))
        other.ask(_flow("", of.OFPFC_DELETE))
    finally:
        talk.close()
        other.close()
