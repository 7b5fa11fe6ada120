"""Random OpenFlow messages of every kind, made by our own encoder, and how to damage them."""

import random
import struct
from collections.abc import Callable
from typing import Any

from support import openflow_flows
from trunkline.flow.match import Match, match
from trunkline.flow.text import parse_match
from trunkline.model import openflow as of
from trunkline.model.openflow_errors import ERRORS
from trunkline.openflow import actions as a
from trunkline.openflow import continuations, flushes, groups, ipfix, meters, monitors, notices
from trunkline.openflow import messages as m
from trunkline.openflow import table_abilities as abilities
from trunkline.openflow import tunnel_table as tunnels
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.wire import EncodeError, Protocol

R = random.Random
FRAMES = tuple(
    bytes.fromhex(text)
    for text in (
        "0000000000020000000000010800"
        "450000280001000040066abc0102030405060708"
        "000100020000000000000000501220007fbc0000",
        "0000000000020000000000010800450000200001000040116ab9010203040506070800010002000c2b5f61626364",
        "000000000002000000000001080600010800060400010000000000010102030400000000000005060708",
        "00000000000200000000000181006005080045000028000100004006"
        "6abc0102030405060708001400500000000000000000500220007f6b0000",
        "00000000000200000000000186dd6000000000083a40fe800000000000000000000000000001"
        "fe8000000000000000000000000000028000"
        "82b800000000",
        "0180c200000000000000000100264242030000000000" + "00" * 33,
        "00000000000200000000000188470000613f",
        "0000000000020000000000011234" + "00" * 10,
    )
)


def _counter(r: R) -> int | None:
    return r.choice((None, 0, 1, r.randrange(1 << 32), r.randrange(1 << 62)))


def _port(r: R) -> int:
    return r.choice((1, 2, 3, 77, 0xFEFF, of.OFPP_LOCAL, of.OFPP_ANY))


def _real_port(r: R) -> int:
    return r.choice((1, 2, 3, 77, 0xFEFF, of.OFPP_LOCAL))


def _duration(r: R) -> int:
    return r.choice((0, 5 * 10**9, r.randrange(10**9), r.randrange(10**13), 1_500_000_000))


def _group(r: R) -> int:
    return r.choice((0, 1, 7, of.OFPG_MAX, r.randrange(1 << 31)))


def _match(r: R) -> Match:
    return parse_match(",".join(openflow_flows.match(r)))


_ACTIONS: tuple[a.Action, ...] = (
    a.Output(1),
    a.Output(of.OFPP_LOCAL),
    a.Output(of.OFPP_CONTROLLER, 128),
    a.SetField("reg0", 5, 0xFFFFFFFF),
    a.Group(7),
    a.SetQueue(3),
    a.Resubmit(of.OFPP_IN_PORT, 3),
    a.PushVlan(0x8100),
    a.StripVlan(),
    a.Note(bytes(6)),
)


def _actions(r: R) -> tuple[a.Action, ...]:
    return tuple(r.choice(_ACTIONS) for _ in range(r.randrange(4)))


def _switch_port(r: R) -> m.Port:
    return m.Port(
        _real_port(r), r.choice(("p1", "eth0", "a-long-name-0", "")), r.randrange(1 << 48),
        r.randrange(128), r.choice((0, 1, 2, 4, 7)), r.randrange(1 << 16), 0, r.randrange(1 << 16),
        r.choice((0, 0x20)), r.randrange(10**7), r.randrange(10**8),
    )  # fmt: skip


def _buckets(r: R, group_type: int) -> tuple[groups.Bucket, ...]:
    count = 1 if group_type == groups.OFPGT_INDIRECT else r.randrange(4)
    weight = r.randrange(200) if group_type == groups.OFPGT_SELECT else 0
    port = r.choice((1, 7, of.OFPP_LOCAL)) if group_type == groups.OFPGT_FF else of.OFPP_ANY
    group = (
        r.choice((of.OFPG_ANY, 3)) if group_type in (groups.OFPGT_FF, groups.OFPGT_SELECT) else of.OFPG_ANY
    )
    return tuple(groups.Bucket(_actions(r), weight, port, group, number) for number in range(count))


_SELECTIONS = (
    groups.Selection(),
    groups.Selection("hash"),
    groups.Selection("dp_hash", 3),
    groups.Selection("hash", 1 << 40, (("ip_src", 0xFFFFFF00), ("tcp_dst", 0xFFFF))),
    groups.Selection("hash", 0, (("nw_proto", 0xFF),)),
)


def _group_mod(r: R) -> groups.GroupMod:
    command = r.choice(tuple(groups.COMMAND_NAMES))
    group_type = r.randrange(4)
    if command == groups.OFPGC_INSERT_BUCKET:
        where = r.choice((0, 5, groups.BUCKET_FIRST, groups.BUCKET_LAST))
        return groups.GroupMod(command, _group(r), 0, _buckets(r, 0), where)
    if command == groups.OFPGC_REMOVE_BUCKET:
        return groups.GroupMod(
            command, _group(r), 0, (), r.choice((0, groups.BUCKET_LAST, groups.BUCKET_ALL))
        )
    if command == groups.OFPGC_DELETE:
        return groups.GroupMod(command, r.choice((_group(r), of.OFPG_ALL)))
    selection = r.choice(_SELECTIONS) if group_type == groups.OFPGT_SELECT else groups.Selection()
    return groups.GroupMod(command, _group(r), group_type, _buckets(r, group_type), selection=selection)


def _group_stats(r: R) -> groups.GroupStats:
    buckets = tuple((r.randrange(1 << 40), r.randrange(1 << 40)) for _ in range(r.randrange(4)))
    return groups.GroupStats(_group(r), r.randrange(9), _counter(r), _counter(r), _duration(r), buckets)


def _group_description(r: R) -> groups.GroupDescription:
    group_type = r.randrange(4)
    selection = r.choice(_SELECTIONS) if group_type == groups.OFPGT_SELECT else groups.Selection()
    return groups.GroupDescription(_group(r), group_type, _buckets(r, group_type), selection)


def _some(r: R, make: Callable[[R], Any], most: int = 4) -> tuple[Any, ...]:
    return tuple(make(r) for _ in range(r.randrange(most)))


def _meter(r: R) -> int:
    return r.choice(
        (1, 7, meters.METER_MAX, meters.METER_CONTROLLER, meters.METER_SLOWPATH, meters.METER_ALL)
    )


def _band(r: R) -> meters.Band:
    kind = r.choice((1, 2))
    return meters.Band(kind, r.randrange(1 << 32), r.randrange(1 << 20), r.randrange(8) if kind == 2 else 0)


def _meter_flags(r: R) -> int:
    return r.choice((1, 2, 5, 6, 9, 13, 14))


def _monitor(r: R) -> monitors.FlowMonitor:
    flags = r.choice((2, 4, 8)) | r.randrange(32) | r.choice((0, monitors.OFPFMF_ONLY_OWN))
    group = r.choice((of.OFPG_ANY, 7))
    return monitors.FlowMonitor(r.randrange(99), flags, _match(r), r.choice((0, 7, 255)), _port(r), group)


def _update(r: R) -> Any:
    event = r.randrange(5)
    if event == monitors.OFPFME_ABBREV:
        return monitors.FlowUpdateAbbreviated(r.randrange(1 << 32))
    return monitors.FlowUpdate(
        event, _match(r), r.choice((0x8000, 5)), r.randrange(255), r.choice((0, 0x1234)), r.randrange(6),
        r.choice((0, 9)), r.choice((0, 60)), _actions(r),
    )  # fmt: skip


def _mapping(r: R) -> tunnels.TlvMapping:
    return tunnels.TlvMapping(r.randrange(1 << 16), r.randrange(256), 4 * r.randrange(32), r.randrange(64))


def _tuple(r: R, base: int) -> flushes.CtTuple:
    address = r.choice((0, base + r.randrange(1 << 32)))
    other = r.choice((0, base + r.randrange(1 << 32)))
    return flushes.CtTuple(address, other, r.randrange(1 << 16), r.randrange(1 << 16))


def _ct_flush(r: R) -> flushes.CtFlush:
    base = r.choice((0xFFFF << 32, 0x2001 << 112))
    protocol = r.choice((0, 1, 6, 17, 58, 132))
    return flushes.CtFlush(r.choice((None, 0, 7)), protocol, _tuple(r, base), _tuple(r, base))


def _ipfix(r: R) -> ipfix.IpfixStats:
    return ipfix.IpfixStats(*(_counter(r) for _ in range(10)), r.randrange(999))  # type: ignore[call-arg, arg-type]


_FIELDS = (
    "in_port_oxm",
    "eth_src",
    "eth_dst",
    "eth_type",
    "ip_src",
    "ip_dst",
    "tcp_src",
    "tcp_dst",
    "metadata",
)
_MASKED = ("eth_src", "eth_dst", "ip_src", "ip_dst", "metadata")


def _side(r: R) -> abilities.InstructionFeatures:
    return abilities.InstructionFeatures(
        r.choice(((), (1, 2, 3), (5, 9), tuple(range(4, 254)))),
        r.choice((0, 0x10, 0x3E)),
        r.choice((0, 1, 0x2060001)),
        r.choice((0, 1, 0x2060001)),
        tuple(r.sample(_FIELDS, 3)),
        tuple(r.sample(_FIELDS, r.randrange(4))),
    )


def _abilities(r: R) -> tuple[abilities.TableFeatures, ...]:
    first, out = r.randrange(200), []
    features = None
    for number in range(first, first + r.randrange(1, 6)):
        if features is None or r.random() < 0.5:
            side = _side(r)
            matched = tuple(r.sample(_FIELDS, r.randrange(1, 8)))
            features = abilities.TableFeatures(
                0, r.choice(("", "", "classifier")), r.choice((0, (1 << 64) - 1)), 0xFF, r.randrange(10**6),
                side, r.choice((side, side, _side(r))), matched, tuple(n for n in matched if n in _MASKED),
                tuple(r.sample(matched, r.randrange(len(matched)))), r.random() < 0.5, r.random() < 0.5,
            )  # fmt: skip
        out.append(features._replace(table=number))
    return tuple(out)


def _table_description(r: R) -> m.TableDescription:
    vacancy = r.random() < 0.5
    return m.TableDescription(
        r.randrange(255), r.random() < 0.5, r.choice((None, 1, 5, 7)), vacancy, 10 * vacancy, 20 * vacancy,
        15 * vacancy,
    )  # fmt: skip


def _table_mod(r: R) -> m.TableMod:
    vacancy = r.random() < 0.5
    return m.TableMod(
        r.choice((0, 9, 255)), r.randrange(3), r.random() < 0.5, r.choice((None, 1, 6)), vacancy, 10, 90
    )


def _table_stats(r: R) -> tuple[m.TableStats, ...]:
    stats, out = m.TableStats(0, 0, 0, 0), []
    for number in range(r.randrange(6)):
        if r.random() < 0.5:
            stats = m.TableStats(
                0, r.randrange(99), r.randrange(1 << 40), r.randrange(1 << 40), wildcards=0x3FFFFF
            )
        out.append(stats._replace(table=number, name=r.choice(("", f"table{number}", "classifier"))))
    return tuple(out)


_PIPELINE = ("reg0=5", "metadata=0xff", "tun_id=7", "reg3=0x10/0xf0", "ct_state=+trk+new,ip", "")


def _packet_in(r: R) -> m.PacketIn:
    data = r.choice(FRAMES)
    metadata = parse_match(f"in_port={r.choice((1, 'LOCAL'))},{r.choice(_PIPELINE)}")
    continuation = b""
    if r.random() < 0.3:
        rest = (a.Resubmit(of.OFPP_IN_PORT, 3),)
        state = continuations.Continuation(
            r.randrange(1 << 128), r.choice(((), (b"\0\5", b"\1\2\3"))), r.randrange(3), r.random() < 0.5,
            tuple(continuations.Unfinished(r.randrange(9), r.randrange(99), rest) for _ in range(2)),
            r.choice(((), (a.Note(bytes(6)),))), r.choice((None, 9)),
        )  # fmt: skip
        continuation = continuations.encode(state, 1)
    return m.PacketIn(
        data, metadata, r.randrange(6), r.choice((0, 7)), r.choice((None, 0, 0x1234)),
        r.choice((None, 1500)), r.choice((b"", b"\1\2\3")), continuation, r.choice((None, 77)),
    )  # fmt: skip


def _packet_out(r: R) -> m.PacketOut:
    buffer = r.choice((None, None, 5))
    port = r.choice((1, of.OFPP_LOCAL, of.OFPP_CONTROLLER, of.OFPP_ANY))
    return m.PacketOut(b"" if buffer else r.choice(FRAMES), match(in_port=port), _actions(r), buffer)


def _flow_mod(r: R) -> m.FlowMod:
    text = openflow_flows.flow(r)
    return parse_flow(text, r.choice((of.OFPFC_ADD, of.OFPFC_MODIFY, of.OFPFC_MODIFY_STRICT))).mod


def _flow_stats(r: R) -> m.FlowStats:
    mod = _flow_mod(r)
    return m.FlowStats(
        mod.match, mod.priority, r.randrange(255), mod.actions, r.randrange(99), _duration(r),
        r.choice((0, 9)), r.choice((0, 60)), r.choice((None, 3)), r.choice((None, 4)), _counter(r),
        _counter(r), r.choice((0, 7)), r.randrange(32),
    )  # fmt: skip


def _flow_removed(r: R) -> m.FlowRemoved:
    return m.FlowRemoved(
        _match(r), r.choice((0x8000, 0, 7)), r.randrange(99), r.randrange(6), r.randrange(255), _duration(r),
        r.choice((0, 9)), r.choice((0, 60)), _counter(r), _counter(r),
    )  # fmt: skip


def _async(r: R) -> tuple[tuple[int, int], ...]:
    return tuple((r.randrange(1 << bits) << shift, r.randrange(1 << bits) << shift) for bits, shift in (
        (3, 0), (3, 0), (6, 0), (3, 0), (2, 3), (2, 0)
    ))  # fmt: skip


def _port_stats(r: R) -> m.PortStats:
    counters = (_counter(r) for _ in range(12))
    more = r.choice(((), tuple(_counter(r) for _ in range(21))))
    custom = r.choice(((), (("rx_q0", 5), ("a", 1), ("b", 2), ("c", 3))))
    return m.PortStats(_real_port(r), *counters, r.choice((None, _duration(r))), custom, more)  # type: ignore[call-arg, arg-type]


def _queue_config(r: R) -> m.QueueConfigReply:
    port = r.choice((1, 7))
    rates = (None, 0, 55, 1000, 1001)
    queues = tuple(
        m.QueueConfig(port, r.randrange(9), r.choice(rates), r.choice(rates)) for _ in range(r.randrange(4))
    )
    return m.QueueConfigReply(port, queues)


def _error(r: R) -> m.Error:
    data = r.choice((b"", encode(Protocol(1), m.EchoRequest(b"abc"), 5)[0], bytes(20), b"\1\2\3"))
    return m.Error(r.choice(ERRORS).name, data)


def _bundled(r: R) -> m.BundleAdd:
    inner = r.choice((_flow_mod, _group_mod, _packet_out, _port_mod))(r)
    return m.BundleAdd(r.randrange(9), r.randrange(4), 7, inner)


def _port_mod(r: R) -> m.PortMod:
    return m.PortMod(
        _real_port(r), r.randrange(1 << 48), r.randrange(128), r.randrange(128), r.choice((0, 0x21))
    )


MAKERS: tuple[Callable[[R], Any], ...] = (
    lambda r: m.Hello(r.choice((2, 0x7E, 0x12, 0x10))),
    _error,
    lambda r: m.EchoRequest(r.randbytes(r.randrange(20))),
    lambda r: m.EchoReply(r.randbytes(r.randrange(20))),
    lambda r: m.FeaturesReply(
        r.randrange(1 << 64), r.randrange(256), r.randrange(256), r.randrange(1 << 11), r.randrange(1 << 12),
        r.randrange(9), _some(r, _switch_port),
    ),
    lambda r: m.GetConfigReply(m.SwitchConfig(r.randrange(4), r.randrange(1 << 16), r.random() < 0.5)),
    lambda r: m.SetConfig(m.SwitchConfig(r.randrange(4), r.randrange(1 << 16), r.random() < 0.5)),
    lambda r: r.choice((
        m.BarrierRequest(), m.BarrierReply(), m.FeaturesRequest(), m.GetConfigRequest(), m.GetAsyncRequest(),
        m.DescriptionRequest(), m.TableStatsRequest(), m.TableDescriptionRequest(),
        groups.GroupFeaturesRequest(), meters.MeterFeaturesRequest(), tunnels.TlvTableRequest(),
        ipfix.IpfixBridgeRequest(), ipfix.IpfixFlowRequest(), abilities.TableFeaturesRequest(),
        monitors.FlowMonitorPaused(), monitors.FlowMonitorResumed(),
    )),
    lambda r: m.RoleRequest(r.randrange(1, 4), r.choice((None, 5))),
    lambda r: m.RoleReply(r.randrange(1, 4), r.choice((None, 5))),
    lambda r: m.RoleStatus(r.randrange(1, 4), r.randrange(4), r.choice((None, 5))),
    lambda r: r.choice((
        m.SetFlowFormat(r.choice((0, 2))), m.FlowModTableId(r.random() < 0.5),
        m.SetPacketInFormat(r.randrange(3)), m.SetControllerId(r.randrange(1 << 16)),
    )),
    lambda r: m.SetAsync(*_async(r)),  # type: ignore[arg-type]
    lambda r: m.GetAsyncReply(m.AsyncConfig(*_async(r))),  # type: ignore[arg-type]
    _packet_in,
    _packet_in,
    _packet_out,
    lambda r: continuations.Resume(_packet_in(r)),
    _flow_mod,
    _flow_removed,
    lambda r: m.FlowStatsRequest(_match(r), r.choice((255, 3)), 0, 0, _port(r)),
    lambda r: m.AggregateStatsRequest(_match(r), r.choice((255, 3)), 0, 0, _port(r)),
    lambda r: m.FlowStatsReply(_some(r, _flow_stats), r.random() < 0.1),
    lambda r: m.AggregateStatsReply(_counter(r), _counter(r), r.randrange(999)),
    lambda r: m.PortStatus(r.randrange(3), _switch_port(r)),
    _port_mod,
    lambda r: m.PortDescriptionRequest(_port(r)),
    lambda r: m.PortDescriptionReply(_some(r, _switch_port)),
    lambda r: m.PortStatsRequest(_port(r)),
    lambda r: m.PortStatsReply(_some(r, _port_stats)),
    lambda r: m.DescriptionReply("maker", "hardware", "software 1", "None", r.choice(("None", "a switch"))),
    lambda r: m.TableStatsReply(_table_stats(r)),
    _table_mod,
    lambda r: m.TableDescriptionReply(_some(r, _table_description)),
    lambda r: m.QueueStatsRequest(_port(r), r.choice((0, 5, of.OFPQ_ALL))),
    lambda r: m.QueueStatsReply(_some(r, lambda r: m.QueueStats(
        _real_port(r), r.choice((0, 5)), _counter(r), _counter(r), _counter(r), r.choice((None, _duration(r)))
    ))),
    lambda r: m.QueueConfigRequest(r.choice((1, 7)), r.choice((5, of.OFPQ_ALL))),
    _queue_config,
    lambda r: m.BundleControl(r.randrange(99), r.randrange(8), r.randrange(4)),
    _bundled,
    _group_mod,
    lambda r: groups.GroupStatsRequest(r.choice((_group(r), of.OFPG_ALL))),
    lambda r: groups.GroupStatsReply(_some(r, _group_stats)),
    lambda r: groups.GroupDescriptionRequest(r.choice((_group(r), of.OFPG_ALL))),
    lambda r: groups.GroupDescriptionReply(_some(r, _group_description)),
    lambda r: groups.GroupFeaturesReply(
        r.randrange(16), r.randrange(16), (1, 2, 3, of.OFPG_MAX),
        tuple(r.randrange(1 << 27) for _ in range(4)),  # type: ignore[arg-type]
    ),
    lambda r: meters.MeterMod(0, _meter(r), _meter_flags(r), _some(r, _band)),
    lambda r: meters.MeterMod(2, _meter(r)),
    lambda r: meters.MeterStatsRequest(_meter(r)),
    lambda r: meters.MeterStatsReply(_some(r, lambda r: meters.MeterStats(
        _meter(r), r.randrange(99), r.randrange(1 << 40), r.randrange(1 << 40), _duration(r),
        tuple((r.randrange(99), r.randrange(99)) for _ in range(r.randrange(3))),
    ))),
    lambda r: meters.MeterConfigRequest(_meter(r)),
    lambda r: meters.MeterConfigReply(_some(r, lambda r: meters.MeterConfig(
        _meter(r), _meter_flags(r), _some(r, _band)
    ))),
    lambda r: meters.MeterFeaturesReply(r.randrange(1 << 20), r.randrange(8), r.randrange(16), 1, 0),
    lambda r: monitors.FlowMonitorRequest(_some(r, _monitor, 3)),
    lambda r: monitors.FlowUpdates(_some(r, _update)),
    lambda r: monitors.FlowMonitorCancel(r.randrange(99)),
    lambda r: tunnels.TlvTableMod(r.randrange(2), _some(r, _mapping)),
    lambda r: tunnels.TlvTableMod(2),
    lambda r: tunnels.TlvTableReply(256, 64, _some(r, _mapping)),
    lambda r: flushes.CtFlushZone(r.randrange(1 << 16)),
    _ct_flush,
    lambda r: ipfix.IpfixBridgeReply(_ipfix(r)),
    lambda r: ipfix.IpfixFlowReply(_some(r, _ipfix)),
    lambda r: notices.RequestForward(r.choice((_group_mod(r), meters.MeterMod(2, 7))), 5),
    lambda r: notices.TableStatus(r.choice((3, 4)), _table_description(r)),
    lambda r: abilities.TableFeaturesReply(_abilities(r)),
    lambda r: abilities.TableFeaturesRequest(_abilities(r)),
)  # fmt: skip


def messages(r: R, version: int, count: int) -> list[bytes]:
    """`count` messages, of every kind that the version has in turn."""
    out: list[bytes] = []
    while len(out) < count:
        for make in MAKERS:
            message = make(r)
            protocol = Protocol(version, nxm=version == 1 and r.random() < 0.5, packet_in=r.randrange(3))
            try:
                out += encode(protocol, message, 0x55)
            except EncodeError:
                continue  # this version cannot say it
    return out[:count]


# ---- damage ----

_INTEGERS16 = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 32, 64, 0xFF, 0x100, 0x8000, 0xFFF8, 0xFFFE, 0xFFFF)
_INTEGERS32 = (0, 1, 5, 0xFF, 0xFFFF, 0x10000, 0x80000000, 0xFFFFFF00, 0xFFFFFF01, 0xFFFFFFFD, 0xFFFFFFFF)


def damaged(r: R, message: bytes) -> bytes:
    """`message` with something wrong behind its header: bits, numbers, cut short or stretched.

    The length in the header is right again.
    """
    data = bytearray(message)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        if len(data) <= 8:
            break
        what = r.randrange(7)
        if what == 0:
            data[r.randrange(8, len(data))] = r.randrange(256)
        elif what == 1:
            data[r.randrange(8, len(data))] ^= 1 << r.randrange(8)
        elif what in (2, 3):
            at = r.randrange(4, len(data) // 2) * 2 if len(data) > 9 else 8
            data[at : at + 2] = struct.pack("!H", r.choice(_INTEGERS16))
        elif what == 4:
            at = r.randrange(2, len(data) // 4) * 4 if len(data) > 11 else 8
            data[at : at + 4] = struct.pack("!I", r.choice(_INTEGERS32))
        elif what == 5:
            del data[r.randrange(2, len(data) // 4 + 1) * 4 :]
        else:
            at = r.randrange(1, len(data) // 8 + 1) * 8
            data[at:at] = r.choice((bytes(8), data[at : at + 8], b"\xff" * 8))
    return bytes(data[:2]) + struct.pack("!H", len(data)) + bytes(data[4:])
