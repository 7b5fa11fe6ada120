"""Our codec beside that of os-ken, the library of controllers: it reads what switches send, we what it sends.

os-ken knows 1.0 and 1.2 to 1.5; of the extensions next to nothing.
"""

import logging
import random
from typing import Any

import pytest

from support.openflow_messages import messages
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow import groups, meters, monitors
from trunkline.openflow import messages as m
from trunkline.openflow.codec import decode
from trunkline.openflow.wire import DecodeError

ofproto_parser = pytest.importorskip("os_ken.ofproto.ofproto_parser")
ofproto_protocol = pytest.importorskip("os_ken.ofproto.ofproto_protocol")

_FROM_SWITCHES = ("reply", "_REPLY", "_STATUS", "_IN", "_REMOVED", "_REQUESTFORWARD", "_ERROR", "_HELLO")
# What os-ken has no reader for.
_NOT_READ = {
    (1, "OFPST_PORT_DESC reply"),
    (1, "OFPT_QUEUE_GET_CONFIG_REPLY"),
    (3, "OFPST_PORT_DESC reply"),
    (5, "OFPST_FLOW_MONITOR reply"),
    (6, "OFPST_FLOW_MONITOR reply"),
    (6, "OFPST_METER_FEATURES reply"),
}


def _protocol(version: int) -> Any:
    return ofproto_protocol.ProtocolDesc(version=version)


@pytest.mark.parametrize("version", [1, 3, 4, 5, 6])
def test_os_ken_reads_what_a_switch_sends(version: int) -> None:
    logging.getLogger("os_ken").setLevel(logging.CRITICAL)
    datapath, read = _protocol(version), 0
    for raw in messages(random.Random(f"os-ken {version}"), version, 400):
        try:
            kind = decode(raw).kind
        except DecodeError:
            continue  # a flow whose actions do not suit its match: made to be refused
        if not kind.startswith("OFP") or not kind.endswith(_FROM_SWITCHES) or (version, kind) in _NOT_READ:
            continue
        if kind == "OFPST_GROUP_DESC reply" and b"\xff\xff\0" in raw:
            continue  # with a property of an experimenter, or an action of one
        if b"\xff\xff\0\x10\0\0\x23\x20" in raw or b"\xff\xff\0\x18\0\0\x23\x20" in raw:
            continue  # Nicira's actions
        found = ofproto_parser.msg(datapath, raw[0], raw[1], len(raw), 0x55, raw)
        assert found is not None, (kind, raw.hex())
        assert found.xid == 0x55
        read += 1
    assert read > 80


def _sent(message: Any) -> Any:
    message.set_xid(9)
    message.serialize()
    incoming = decode(bytes(message.buf))
    assert incoming.xid == 9
    return incoming.message


def test_groups_of_1_3_and_1_5() -> None:
    d = _protocol(4)
    p, o = d.ofproto_parser, d.ofproto
    bucket = p.OFPBucket(50, o.OFPP_ANY, o.OFPG_ANY, [p.OFPActionOutput(2), p.OFPActionGroup(7)])
    found = _sent(p.OFPGroupMod(d, o.OFPGC_ADD, o.OFPGT_SELECT, 5, [bucket]))
    expected = (groups.Bucket((a.Output(2), a.Group(7)), 50, number=0),)
    assert found == groups.GroupMod(groups.OFPGC_ADD, 5, groups.OFPGT_SELECT, expected)
    d = _protocol(6)
    p, o = d.ofproto_parser, d.ofproto
    properties = [p.OFPGroupBucketPropWeight(length=8, weight=9, type_=o.OFPGBPT_WEIGHT)]
    bucket = p.OFPBucket(bucket_id=3, actions=[p.OFPActionOutput(2)], properties=properties)
    found = _sent(
        p.OFPGroupMod(
            d,
            o.OFPGC_INSERT_BUCKET,
            o.OFPGT_SELECT,
            5,
            command_bucket_id=o.OFPG_BUCKET_LAST,
            buckets=[bucket],
        )
    )
    assert found.command == groups.OFPGC_INSERT_BUCKET
    assert found.command_bucket == groups.BUCKET_LAST
    assert found.buckets == (groups.Bucket((a.Output(2),), 9, number=3),)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_meters(version: int) -> None:
    d = _protocol(version)
    p, o = d.ofproto_parser, d.ofproto
    bands = [p.OFPMeterBandDrop(1000, 50), p.OFPMeterBandDscpRemark(500, 20, 1)]
    found = _sent(p.OFPMeterMod(d, o.OFPMC_MODIFY, o.OFPMF_KBPS | o.OFPMF_BURST, 7, bands))
    assert found == meters.MeterMod(
        meters.OFPMC_MODIFY, 7, 5, (meters.Band(1, 1000, 50), meters.Band(2, 500, 20, 1))
    )
    assert _sent(p.OFPMeterStatsRequest(d, 0, o.OFPM_ALL)) == meters.MeterStatsRequest()


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_roles_and_questions(version: int) -> None:
    d = _protocol(version)
    p, o = d.ofproto_parser, d.ofproto
    assert _sent(p.OFPRoleRequest(d, role=o.OFPCR_ROLE_MASTER, generation_id=5)) == m.RoleRequest(
        of.OFPCR_ROLE_PRIMARY, 5
    )
    assert _sent(p.OFPBarrierRequest(d)) == m.BarrierRequest()
    assert _sent(p.OFPFeaturesRequest(d)) == m.FeaturesRequest()
    assert _sent(p.OFPSetConfig(d, o.OFPC_FRAG_DROP, 99)) == m.SetConfig(m.SwitchConfig(1, 99))
    assert _sent(p.OFPGroupFeaturesStatsRequest(d, 0)) == groups.GroupFeaturesRequest()
    assert _sent(p.OFPGroupStatsRequest(d, group_id=7)) == groups.GroupStatsRequest(7)
    assert _sent(p.OFPQueueStatsRequest(d, port_no=3, queue_id=5)) == m.QueueStatsRequest(3, 5)
    assert _sent(p.OFPEchoRequest(d, b"abc")) == m.EchoRequest(b"abc")


def test_asynchronous_configuration_of_1_3_and_1_4() -> None:
    d = _protocol(4)
    found = _sent(d.ofproto_parser.OFPSetAsync(d, [3, 1], [7, 4], [15, 0]))
    assert found[:3] == ((3, 1), (7, 4), (15, 0))
    assert _sent(d.ofproto_parser.OFPGetAsyncRequest(d)) == m.GetAsyncRequest()
    d = _protocol(5)
    p, o = d.ofproto_parser, d.ofproto
    found = _sent(p.OFPSetAsync(d, [p.OFPAsyncConfigPropReasons(o.OFPACPT_PACKET_IN_MASTER, 8, 3)]))
    assert found.packet_in == (3, None)
    assert found.requestforward == (None, None)


def test_packets_out_of_1_3_and_1_5() -> None:
    d = _protocol(4)
    p, o = d.ofproto_parser, d.ofproto
    found = _sent(p.OFPPacketOut(d, o.OFP_NO_BUFFER, o.OFPP_CONTROLLER, [p.OFPActionOutput(3)], b"abc"))
    assert found == m.PacketOut(b"abc", match(in_port=of.OFPP_CONTROLLER), (a.Output(3),))
    d = _protocol(6)
    p, o = d.ofproto_parser, d.ofproto
    found = _sent(
        p.OFPPacketOut(d, o.OFP_NO_BUFFER, p.OFPMatch(in_port=2), [p.OFPActionOutput(o.OFPP_FLOOD)], b"abc")
    )
    assert found == m.PacketOut(b"abc", match(in_port=2), (a.Output(of.OFPP_FLOOD),))


def test_bundles_and_flow_monitors_of_1_4() -> None:
    d = _protocol(5)
    p, o = d.ofproto_parser, d.ofproto
    opened = p.OFPBundleCtrlMsg(d, 7, o.OFPBCT_OPEN_REQUEST, o.OFPBF_ATOMIC, [])
    assert _sent(opened) == m.BundleControl(7, of.OFPBCT_OPEN_REQUEST, of.OFPBF_ATOMIC)
    mod = p.OFPFlowMod(d, table_id=3, match=p.OFPMatch(in_port=1), instructions=[])
    mod.set_xid(9)
    found = _sent(p.OFPBundleAddMsg(d, 7, o.OFPBF_ATOMIC, mod, []))
    assert isinstance(found.message, m.FlowMod)
    assert (found.message.table, found.message.match) == (3, match(in_port=1))
    flags = o.OFPFMF_INITIAL | o.OFPFMF_ADD
    asked = p.OFPFlowMonitorRequest(
        d, 0, 4, o.OFPP_ANY, o.OFPG_ANY, flags, o.OFPTT_ALL, o.OFPFMC_ADD, p.OFPMatch()
    )
    (monitor,) = _sent(asked).monitors
    assert monitor == monitors.FlowMonitor(4, monitors.OFPFMF_INITIAL | monitors.OFPFMF_ADD, monitor.match)
