"""Flow statistics, aggregates and flow-removed, in every version.

1.0 has its fixed match; Nicira's have NXM behind a length; 1.1 on has a match of its own length and
instructions.  1.5 replaced counters by a list of typed values (OXS)."""

from struct import Struct
from typing import Final

from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.openflow import match10, oxm
from trunkline.openflow import messages as m
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_decode import decode_actions, shared
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_wire import decode_instructions, encode_instructions
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.flow_parts import decode_match11, encode_match11, flags_to, nxm, packets_of, pull_nxm
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, nameless

_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF


_STATS10: Final = Struct("!HBxIIHHH6xQQQ")  # around the match, which comes after the first four bytes
_NX_STATS: Final = Struct("!HBxIIHHHHHHQQQ")
_STATS11: Final = Struct("!HBxIIHHHHH2xQQQ")
_STATS15: Final = Struct("!H2xBxHHHHHQ")


_FLAGS: Final = 31  # that a flow may have
_OLD_ENTRY: Final = 88  # bytes of an entry of 1.0 before its actions
_AGGREGATE: Final = Struct("!QQI4x")
_REMOVED10: Final = Struct("!QHBxIIH2xQQ")
_NX_REMOVED: Final = Struct("!QHBBIIHHQQ")
_REMOVED11: Final = Struct("!QHBBIIHHQQ")
_REMOVED15: Final = Struct("!BBHHHQ")


# ---- flow statistics ----


def decode_flow_stats(envelope: Envelope) -> m.FlowStatsReply:
    version = envelope.version
    if envelope.kind.name.startswith("NXST"):
        read, least = _read_nx_stats, _NX_STATS.size
    elif version == 1:
        read, least = _read_stats10, _OLD_ENTRY
    elif version < 6:
        read, least = _read_stats11, _STATS11.size
    else:
        read, least = _read_stats15, _STATS15.size

    def entry(body: bytes, at: int, version: int) -> tuple[m.FlowStats, int]:
        if len(body) - at < least:
            raise DecodeError("OFPBRC_BAD_LEN")
        end = at + int.from_bytes(body[at : at + 2], "big")
        if end > len(body):
            if version > 1:
                decode_match11(body, at + least, version)  # its errors come first
            raise DecodeError("OFPBIC_BAD_LEN" if version > 1 else "OFPBRC_BAD_LEN")
        if end - at < least:
            raise nameless("OFPBRC_BAD_LEN")
        return read(body[at:end], version), end

    return read_entries(envelope, entry, lambda flows: m.FlowStatsReply(flows, envelope.more))


def _counter(value: int) -> int | None:
    return None if value == _UNKNOWN else value


def _read_stats10(data: bytes, version: int) -> m.FlowStats:
    match = match10.decode(data, 4)
    fields = _STATS10.unpack(data[:4] + data[44:88])
    return _flow(match, shared(decode_actions, data[88:], 1), fields[1:7], fields[7:])


def _read_nx_stats(data: bytes, version: int) -> m.FlowStats:
    fields = _NX_STATS.unpack_from(data)
    length, idle_age, hard_age = fields[7:10]
    match, _, _, end = pull_nxm(data, 48, length)
    actions = shared(decode_actions, data[end:], version)
    ages = idle_age - 1 if idle_age else None, hard_age - 1 if hard_age else None
    return _flow(match, actions, fields[1:7], fields[10:], *ages)


def _read_stats11(data: bytes, version: int) -> m.FlowStats:
    fields = _STATS11.unpack_from(data)
    flags, importance = fields[7:9]
    _check_flags(flags, version)
    match, end = decode_match11(data, 48, version)
    return _flow(
        match,
        shared(decode_instructions, data[end:], version),
        fields[1:7],
        fields[9:],
        importance=importance if version >= 5 else 0,
        flags=flags & _FLAGS if version >= 4 else 0,
    )


def _flow(
    match: Match,
    actions: tuple[Action, ...],
    head: tuple[int, ...],
    counted: tuple[int, ...],
    idle_age: int | None = None,
    hard_age: int | None = None,
    importance: int = 0,
    flags: int = 0,
) -> m.FlowStats:
    """`head` and `counted` are what all entries before 1.5 have in one order: table, seconds and nanoseconds
    of age, priority, timeouts; and cookie, packets, bytes."""
    table, seconds, nanoseconds, priority, idle, hard = head
    cookie, packets, octets = counted
    return m.FlowStats(
        match,
        priority,
        table,
        actions,
        cookie,
        seconds * 1_000_000_000 + nanoseconds,
        idle,
        hard,
        idle_age,
        hard_age,
        None if packets == _UNKNOWN else packets,
        None if octets == _UNKNOWN else octets,
        importance,
        flags,
    )


def _check_flags(flags: int, version: int) -> None:
    if version >= 4 and flags & ~_FLAGS:
        raise DecodeError("OFPFMFC_BAD_FLAGS")


def _read_stats15(data: bytes, version: int) -> m.FlowStats:
    _, table, priority, idle, hard, flags, importance, cookie = _STATS15.unpack_from(data)
    _check_flags(flags, version)
    match, end = oxm.decode_oxm_match(data, 24)
    oxs, end = _decode_oxs(data, end)
    return m.FlowStats(
        match,
        priority,
        table,
        shared(decode_instructions, data[end:], version),
        cookie,
        oxs.get(0, 0),
        idle,
        hard,
        oxs.get(1, 0) // 1_000_000_000 if 1 in oxs else None,
        None,
        _counter(oxs.get(4, _UNKNOWN)),
        _counter(oxs.get(5, _UNKNOWN)),
        importance,
        flags & _FLAGS,
    )


def _decode_oxs(data: bytes, position: int) -> tuple[dict[int, int], int]:
    """Typed values of 1.5 by number: durations (0, 1) in nanoseconds; 3 flows, 4 packets, 5 bytes."""
    if len(data) - position < 4:
        raise DecodeError("OFPBMC_BAD_LEN")
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    end = position + (length + 7) // 8 * 8
    if length < 4 or end > len(data):
        raise DecodeError("OFPBMC_BAD_LEN")
    values: dict[int, int] = {}
    at, stop = position + 4, position + length
    while at + 4 <= stop:
        number, size = data[at + 2] >> 1, data[at + 3]
        raw = data[at + 4 : at + 4 + size]
        if at + 4 + size > stop:
            raise DecodeError("OFPBMC_BAD_LEN")
        if data[at : at + 2] == b"\x80\x02":
            value = int.from_bytes(raw, "big")
            if number in (0, 1) and size == 8:
                value = (value >> 32) * 1_000_000_000 + (value & 0xFFFFFFFF)
            values[number] = value
        at += 4 + size
    return values, end


def _encode_oxs(values: list[tuple[int, int]]) -> bytes:
    """`values` are (number, value), durations in nanoseconds; number 3 takes four bytes, others eight."""
    out = b""
    for number, value in values:
        if number in (0, 1):
            seconds, rest = divmod(value, 1_000_000_000)
            value = seconds << 32 | rest
        size = 4 if number == 3 else 8
        out += b"\x80\x02" + bytes((number << 1, size)) + value.to_bytes(size, "big")
    length = 4 + len(out)
    return b"\0\0" + length.to_bytes(2, "big") + out + bytes(-length % 8)


def encode_flow_stats(protocol: Protocol, flow: m.FlowStats) -> bytes:
    """One flow of a reply."""
    version = protocol.version
    seconds, nanoseconds = divmod(flow.duration, 1_000_000_000)
    packets = _UNKNOWN if flow.packets is None else flow.packets
    octets = _UNKNOWN if flow.bytes is None else flow.bytes
    if version >= 6:
        return _encode_stats15(flow, packets, octets)
    if version > 1:
        tail = oxm.encode_oxm_match(flow.match, version) + encode_instructions(  # also in 1.1
            flow.actions, version, packets_of(flow.match)
        )
        return (
            _STATS11.pack(
                48 + len(tail),
                flow.table,
                seconds,
                nanoseconds,
                flow.priority,
                flow.idle_timeout,
                flow.hard_timeout,
                flags_to(flow.flags, version) if version >= 4 else 0,
                flow.importance if version >= 5 else 0,
                flow.cookie,
                packets,
                octets,
            )
            + tail
        )
    actions = encode_actions(flow.actions, 1)
    common = (seconds, nanoseconds, flow.priority, flow.idle_timeout, flow.hard_timeout)
    if protocol.nxm:
        length, match = nxm(flow.match)
        return (
            _NX_STATS.pack(
                48 + len(match) + len(actions),
                flow.table,
                *common,
                length,
                0 if flow.idle_age is None else min(flow.idle_age + 1, 0xFFFF),
                0 if flow.hard_age is None else min(flow.hard_age + 1, 0xFFFF),
                flow.cookie,
                packets,
                octets,
            )
            + match
            + actions
        )
    raw = _STATS10.pack(88 + len(actions), flow.table, *common, flow.cookie, packets, octets)
    return raw[:4] + match10.encode(flow.match) + raw[4:] + actions


def _encode_stats15(flow: m.FlowStats, packets: int, octets: int) -> bytes:
    oxs = [(0, flow.duration)]
    if flow.idle_age is not None:
        oxs.append((1, flow.idle_age * 1_000_000_000))
    oxs += [(4, packets), (5, octets)]
    tail = oxm.encode_oxm_match(flow.match, 6) + _encode_oxs(oxs)
    tail += encode_instructions(flow.actions, 6, packets_of(flow.match))
    return (
        _STATS15.pack(
            24 + len(tail),
            flow.table,
            flow.priority,
            flow.idle_timeout,
            flow.hard_timeout,
            flags_to(flow.flags, 6),
            flow.importance,
            flow.cookie,
        )
        + tail
    )


# ---- aggregates, flow removed ----


def decode_aggregate(envelope: Envelope) -> m.AggregateStatsReply:
    if envelope.version >= 6:
        values, _ = _decode_oxs(envelope.body, 0)
        return m.AggregateStatsReply(values.get(4), values.get(5), values.get(3, 0))
    packets, octets, flows = _AGGREGATE.unpack(envelope.body)
    return m.AggregateStatsReply(packets, octets, flows)


def encode_aggregate(protocol: Protocol, reply: m.AggregateStatsReply) -> Encoded:
    packets = _UNKNOWN if reply.packets is None else reply.packets
    octets = _UNKNOWN if reply.bytes is None else reply.bytes
    if protocol.version >= 6:
        return "OFPST_AGGREGATE reply", _encode_oxs([(4, packets), (5, octets), (3, reply.flows)])
    name = "NXST_AGGREGATE reply" if protocol.nxm and protocol.version == 1 else "OFPST_AGGREGATE reply"
    return name, _AGGREGATE.pack(packets, octets, reply.flows)


def decode_removed(envelope: Envelope) -> m.FlowRemoved:
    version, body = envelope.version, envelope.body
    hard = 0
    if envelope.kind.name == "NXT_FLOW_REMOVED":
        cookie, priority, reason, table, seconds, nanoseconds, idle, length, packets, octets = (
            _NX_REMOVED.unpack_from(body)
        )
        match, _, _, _ = pull_nxm(body, 40, length)
        table = table - 1 if table else 0xFF
    elif version == 1:
        match, table = match10.decode(body), 0xFF
        cookie, priority, reason, seconds, nanoseconds, idle, packets, octets = _REMOVED10.unpack_from(
            body, 40
        )
    elif version < 6:
        cookie, priority, reason, table, seconds, nanoseconds, idle, hard, packets, octets = (
            _REMOVED11.unpack_from(body)
        )
        match, _ = decode_match11(body, 40, version)
    else:
        table, reason, priority, idle, hard, cookie = _REMOVED15.unpack_from(body)
        match, end = oxm.decode_oxm_match(body, 16)
        values, _ = _decode_oxs(body, end)
        seconds, nanoseconds = divmod(values.get(0, 0), 1_000_000_000)
        packets, octets = values.get(4, _UNKNOWN), values.get(5, _UNKNOWN)
    duration = seconds * 1_000_000_000 + nanoseconds
    return m.FlowRemoved(
        match, priority, cookie, reason, table, duration, idle, hard, _counter(packets), _counter(octets)
    )


def encode_removed(protocol: Protocol, flow: m.FlowRemoved) -> Encoded:
    version = protocol.version
    seconds, nanoseconds = divmod(flow.duration, 1_000_000_000)
    packets = _UNKNOWN if flow.packets is None else flow.packets
    octets = _UNKNOWN if flow.bytes is None else flow.bytes
    reason = flow.reason
    if version < 5 and reason > of.OFPRR_GROUP_DELETE:
        reason = of.OFPRR_DELETE
    if version >= 6:
        head = _REMOVED15.pack(
            flow.table, reason, flow.priority, flow.idle_timeout, flow.hard_timeout, flow.cookie
        )
        oxs = _encode_oxs([(0, flow.duration), (4, packets), (5, octets)])
        return "OFPT_FLOW_REMOVED", head + oxm.encode_oxm_match(flow.match, version) + oxs
    if version > 1:
        head = _REMOVED11.pack(
            flow.cookie,
            flow.priority,
            reason,
            flow.table,
            seconds,
            nanoseconds,
            flow.idle_timeout,
            flow.hard_timeout,
            packets,
            octets,
        )
        return "OFPT_FLOW_REMOVED", head + encode_match11(flow.match, version)
    if protocol.nxm:
        length, match = nxm(flow.match)
        head = _NX_REMOVED.pack(
            flow.cookie,
            flow.priority,
            reason,
            flow.table + 1 & 0xFF,
            seconds,
            nanoseconds,
            flow.idle_timeout,
            length,
            packets,
            octets,
        )
        return "NXT_FLOW_REMOVED", head + match
    tail = _REMOVED10.pack(
        flow.cookie, flow.priority, reason, seconds, nanoseconds, flow.idle_timeout, packets, octets
    )
    return "OFPT_FLOW_REMOVED", match10.encode(flow.match) + tail


def flow_reply_name(protocol: Protocol) -> str:
    return "NXST_FLOW reply" if protocol.version == 1 and protocol.nxm else "OFPST_FLOW reply"
