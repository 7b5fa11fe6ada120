"""An os-ken application that sets up groups, meters and flows and asks for everything its version has.

The version is that of TEST_VERSION.  Each reply is printed as os-ken has parsed it; "done" comes last.
"""

import os
from collections.abc import Callable
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_parser
from os_ken_controller import say

VERSION = int(os.environ["TEST_VERSION"])


def flow(d: Any, actions: list[Any], command: int = 0, flags: int = 0, **match: Any) -> Any:
    o, p = d.ofproto, d.ofproto_parser
    if VERSION == 1:
        return p.OFPFlowMod(
            d, p.OFPMatch(**match), 7, command, 0, 0, 9, o.OFP_NO_BUFFER, o.OFPP_NONE, flags, actions
        )
    do = [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, actions)] if actions else []
    return p.OFPFlowMod(
        datapath=d, cookie=7, command=command, priority=9, match=p.OFPMatch(**match), instructions=do,
        flags=flags, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY, buffer_id=o.OFP_NO_BUFFER,
    )  # fmt: skip


def set_up(d: Any) -> list[Any]:
    """Changes of the tables before they are asked for."""
    o, p = d.ofproto, d.ofproto_parser
    if VERSION == 1:
        return [
            flow(d, [p.OFPActionOutput(2)], in_port=1),
            flow(d, [p.OFPActionStripVlan(), p.OFPActionOutput(1)], in_port=2, dl_vlan=5),
        ]
    found = []
    if VERSION < 6:
        buckets = [
            p.OFPBucket(
                weight=n, watch_port=o.OFPP_ANY, watch_group=o.OFPG_ANY, actions=[p.OFPActionOutput(n)]
            )
            for n in (1, 2)
        ]
        found.append(p.OFPGroupMod(d, o.OFPGC_ADD, o.OFPGT_SELECT, 5, buckets))
    else:
        weights = [p.OFPGroupBucketPropWeight(length=8, type_=o.OFPGBPT_WEIGHT, weight=n) for n in (1, 2)]
        buckets = [
            p.OFPBucket(bucket_id=n, actions=[p.OFPActionOutput(n)], properties=[weights[n - 1]])
            for n in (1, 2)
        ]
        found.append(
            p.OFPGroupMod(datapath=d, command=o.OFPGC_ADD, type_=o.OFPGT_SELECT, group_id=5, buckets=buckets)
        )
    if VERSION > 3:
        bands = [p.OFPMeterBandDrop(rate=1000, burst_size=100)]
        found.append(
            p.OFPMeterMod(datapath=d, command=o.OFPMC_ADD, flags=o.OFPMF_KBPS, meter_id=3, bands=bands)
        )
    found.append(
        flow(d, [p.OFPActionGroup(5)], in_port=1, eth_type=0x800, ipv4_dst=("10.0.0.0", "255.0.0.0"))
    )
    found.append(flow(d, [p.OFPActionSetField(eth_dst="50:54:00:00:00:09"), p.OFPActionOutput(2)], in_port=2))
    found.append(
        flow(
            d,
            [p.OFPActionPushVlan(0x8100), p.OFPActionSetField(vlan_vid=0x1005), p.OFPActionOutput(1)],
            in_port=3,
        )
    )
    return found


def questions(d: Any) -> list[Callable[[], Any]]:
    """Not of table features: os-ken reads those of 254 tables for longer than switches wait for an echo."""
    o, p = d.ofproto, d.ofproto_parser
    port, every = (o.OFPP_NONE, o.OFPQ_ALL) if VERSION == 1 else (o.OFPP_ANY, o.OFPQ_ALL)
    found: list[Callable[[], Any]] = [
        lambda: p.OFPDescStatsRequest(d, 0),
        lambda: p.OFPGetConfigRequest(d),
        lambda: p.OFPPortStatsRequest(d, port_no=port, flags=0),
        lambda: p.OFPTableStatsRequest(d, 0),
    ]
    if VERSION == 1:
        match = p.OFPMatch()
        found += [
            lambda: p.OFPFlowStatsRequest(d, 0, match, 0xFF, o.OFPP_NONE),
            lambda: p.OFPAggregateStatsRequest(d, 0, match, 0xFF, o.OFPP_NONE),
            lambda: p.OFPQueueStatsRequest(d, 0, o.OFPP_ALL, every),
            lambda: p.OFPQueueGetConfigRequest(d, 1),
        ]
        return found
    flows = {"table_id": o.OFPTT_ALL, "out_port": port, "out_group": o.OFPG_ANY, "match": p.OFPMatch()}
    flows |= {"cookie": 0, "cookie_mask": 0}
    flows |= {} if VERSION == 3 else {"flags": 0}
    found += [
        lambda: (p.OFPFlowDescStatsRequest if VERSION == 6 else p.OFPFlowStatsRequest)(
            d, **flows
        ),
        lambda: p.OFPAggregateStatsRequest(d, **flows),
        lambda: p.OFPGroupStatsRequest(d, group_id=o.OFPG_ALL),
        lambda: p.OFPGroupDescStatsRequest(d, 0, *((o.OFPG_ALL,) if VERSION == 6 else ())),
        lambda: p.OFPGroupFeaturesStatsRequest(d, 0),
        lambda: p.OFPRoleRequest(d, *(
            {6: (o.OFPCR_ROLE_MASTER, o.OFPCID_UNDEFINED if VERSION == 6 else 0, 1)}.get(
                VERSION, (o.OFPCR_ROLE_MASTER, 1)
            )
        )),
        lambda: p.OFPBarrierRequest(d),
    ]  # fmt: skip
    if VERSION != 3:
        found.append(lambda: p.OFPQueueStatsRequest(d, 0, port, every))
    else:
        found.append(lambda: p.OFPQueueStatsRequest(d, port, every, 0))
    if VERSION < 5:
        found.append(lambda: p.OFPQueueGetConfigRequest(d, 1))
    else:
        found.append(lambda: p.OFPQueueDescStatsRequest(d, 0, port, every))
        found.append(lambda: p.OFPTableDescStatsRequest(d, 0))
    if VERSION > 3:
        found += [
            lambda: p.OFPPortDescStatsRequest(d, 0, *((port,) if VERSION == 6 else ())),
            lambda: p.OFPMeterStatsRequest(d, 0, o.OFPM_ALL),
            lambda: (p.OFPMeterDescStatsRequest if VERSION == 6 else p.OFPMeterConfigStatsRequest)(
                d, 0, o.OFPM_ALL
            ),
            lambda: p.OFPMeterFeaturesStatsRequest(d, 0),
            lambda: p.OFPGetAsyncRequest(d),
        ]
    if VERSION > 4:
        found.append(lambda: p.OFPBundleCtrlMsg(d, 9, o.OFPBCT_OPEN_REQUEST, o.OFPBF_ATOMIC, []))
        found.append(lambda: p.OFPBundleCtrlMsg(d, 9, o.OFPBCT_DISCARD_REQUEST, o.OFPBF_ATOMIC, []))
    return found


class Asked:
    """How far the questions to one switch are."""

    def __init__(self, datapath: Any, identifier: int) -> None:
        self.datapath, self.identifier = datapath, identifier
        self.left = questions(datapath)
        self.now = ""
        self.xid = 0

    def say(self, *values: Any) -> None:
        say(self.identifier, *values)

    def next(self) -> None:
        """One after another: the next question goes out when the last has been answered."""
        if not self.left:
            self.say("done")
            return
        message = self.left.pop(0)()
        self.now = type(message).__name__
        self.datapath.set_xid(message)
        self.xid = message.xid
        self.datapath.send_msg(message)

    def parsed(self, message: Any, kind: int, xid: int, error: str) -> None:
        if error or message is None:
            self.say("os-ken cannot parse", self.now, kind, error)
        if xid == self.xid and not getattr(message, "flags", 0) & 1:
            self.say(self.now, message.to_jsondict() if message is not None else None)
            self.next()
        elif type(message).__name__ == "OFPErrorMsg":
            self.say("error", message.type, message.code)
        elif message is not None and xid == self.xid:
            self.say(self.now, message.to_jsondict())


class Asking(OSKenApp):
    OFP_VERSIONS = (VERSION,)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: dict[int, Asked] = {}  # by the object of the switch
        self.parse = ofproto_parser.msg
        ofproto_parser.msg = self.watched

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event: Any) -> None:
        datapath = event.msg.datapath
        asked = self.asked[id(datapath)] = Asked(datapath, event.msg.datapath_id)
        for message in set_up(datapath):
            datapath.send_msg(message)
        asked.say("OFPSwitchFeatures", event.msg.to_jsondict())
        asked.next()

    def watched(self, datapath: Any, version: int, kind: int, length: int, xid: int, raw: Any) -> Any:
        """os-ken's parser, with a note of what it reads and what it fails on."""
        message, error = None, ""
        try:
            message = self.parse(datapath, version, kind, length, xid, raw)
        except Exception as problem:
            error = repr(problem)
        asked = self.asked.get(id(datapath))
        if asked is not None:
            asked.parsed(message, kind, xid, error)
        return message
