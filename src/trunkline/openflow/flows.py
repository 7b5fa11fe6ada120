"""The messages about flows: flow-mods, flow statistics, aggregates and flow-removed, in every version.

Three families of layout: 1.0 with its fixed match; Nicira's for 1.0, with NXM behind a length; and 1.1 on,
with a match of its own length and instructions.  1.5 replaced counters by a list of typed values (OXS).
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from trunkline.flow.key import VIEW
from trunkline.flow.match import Match
from trunkline.flow.text import normalize
from trunkline.model import openflow as of
from trunkline.openflow import match10, match11, oxm
from trunkline.openflow import messages as m
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_wire import (
    decode_actions,
    decode_instructions,
    encode_actions,
    encode_instructions,
)
from trunkline.openflow.control import Encoded
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, port_from_wire, port_to_wire

_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF
_ALL_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
_FLOW_MOD10: Final = Struct("!QHHHHIHH")
_NX_FLOW_MOD: Final = Struct("!QHHHHIHHH6x")
_FLOW_MOD11: Final = Struct("!QQBBHHHIIIHH")
_STATS10: Final = Struct("!HBxIIHHH6xQQQ")  # around the match, which comes after the first four bytes
_NX_STATS: Final = Struct("!HBxIIHHHHHHQQQ")
_STATS11: Final = Struct("!HBxIIHHHHH2xQQQ")
_STATS15: Final = Struct("!H2xBxHHHHHQ")
_REQUEST10: Final = Struct("!BxH")
_NX_REQUEST: Final = Struct("!HHB3x")
_REQUEST11: Final = Struct("!B3xII4xQQ")
_AGGREGATE: Final = Struct("!QQI4x")
_REMOVED10: Final = Struct("!QHBxIIH2xQQ")
_NX_REMOVED: Final = Struct("!QHBBIIHHQQ")
_REMOVED11: Final = Struct("!QHBBIIHHQQ")
_REMOVED15: Final = Struct("!BBHHHQ")

# ---- cookies within NXM: the pseudo field 30 of class 1, with eight bytes  ----


def _pull_cookie(data: bytes) -> tuple[bytes, int, int]:
    """NXM without its cookie entry, and the cookie and its mask."""
    position = 0
    while position + 4 <= len(data):
        length = data[position + 3]
        if data[position : position + 3] in (b"\0\1\x3c", b"\0\1\x3d") and length in (8, 16):
            start, end = position + 4, position + 4 + length
            if end > len(data):
                break
            cookie = int.from_bytes(data[start : start + 8], "big")
            mask = int.from_bytes(data[start + 8 : end], "big") if length == 16 else _ALL_COOKIE
            if cookie & ~mask:
                raise DecodeError("OFPBMC_BAD_WILDCARDS")
            return data[:position] + data[end:], cookie, mask
        position += 4 + length
    return data, 0, 0


def _cookie_entry(cookie: int, mask: int) -> bytes:
    if not mask:
        return b""
    if mask == _ALL_COOKIE:
        return b"\0\1\x3c\x08" + cookie.to_bytes(8, "big")
    return b"\0\1\x3d\x10" + (cookie & mask).to_bytes(8, "big") + mask.to_bytes(8, "big")


def _pull_nxm(body: bytes, start: int, length: int, loose: bool = False) -> tuple[Match, int, int, int]:
    """(match, cookie, cookie mask, end) of the NXM of `length` bytes at `start`, padded to eight."""
    end = start + (length + 7) // 8 * 8
    if end > len(body):
        raise DecodeError("OFPBMC_BAD_LEN")
    data, cookie, mask = _pull_cookie(body[start : start + length])
    return oxm.decode(data, loose=loose), cookie, mask, end


def _nxm(match: Match, cookie: int = 0, mask: int = 0) -> tuple[int, bytes]:
    """(length, padded bytes)."""
    data = oxm.encode(match, oxm.NXM) + _cookie_entry(cookie, mask)
    return len(data), data + bytes(-len(data) % 8)


def has_tag(match: Match) -> bool:
    from_tci = match.value >> VIEW["vlan_tci"].shift
    return bool(from_tci & 0x1000)


# ---- flow-mods ----


def decode_flow_mod(envelope: Envelope, table_id: bool = True) -> m.FlowMod:
    """`table_id`: a 1.0 command carries a table in its high byte, as NXT_FLOW_MOD_TABLE_ID switched on."""
    body = envelope.body
    if envelope.version > 1 and envelope.kind.name == "OFPT_FLOW_MOD":
        return _decode_flow_mod11(envelope)
    cookie_match = cookie_mask = 0
    if envelope.kind.name == "OFPT_FLOW_MOD":
        match = match10.decode(body)
        cookie, command, idle, hard, priority, buffer, out_port, flags = _FLOW_MOD10.unpack_from(body, 40)
        actions = decode_actions(body[64:], 1)
    else:
        cookie, command, idle, hard, priority, buffer, out_port, flags, length = _NX_FLOW_MOD.unpack_from(
            body
        )
        match, cookie_match, cookie_mask, end = _pull_nxm(body, 32, length)
        actions = decode_actions(body[end:], envelope.version)
        match = normalize(match)
    table = 0xFF
    if table_id:
        table, command = command >> 8, command & 0xFF
    if command > of.OFPFC_DELETE_STRICT:
        raise DecodeError("OFPFMFC_BAD_COMMAND")
    if command == of.OFPFC_ADD and cookie_mask:
        raise DecodeError("NXBRC_NXM_INVALID")
    return m.FlowMod(
        command,
        match,
        priority,
        table,
        actions,
        cookie_match,
        cookie_mask,
        None if cookie == _ALL_COOKIE and command != of.OFPFC_ADD else cookie,
        idle,
        hard,
        0,
        _flags_from(flags, envelope.version, command),
        out_port if command >= of.OFPFC_DELETE else 0xFFFF,
        0xFFFFFFFF,
        None if buffer == of.NO_BUFFER else buffer,
    )


def _flags_from(flags: int, version: int, command: int) -> int:
    known = {1: 7, 2: 3, 3: 7}.get(version, 31)
    if flags & ~known:
        raise DecodeError("OFPFMFC_BAD_FLAGS")
    if version == 1:
        emergency = of.OFPFF_EMERG if flags & 4 else 0
        flags = flags & 3 | emergency
    if version <= 2 and command == of.OFPFC_ADD:
        flags |= of.OFPFF_RESET_COUNTS  # before 1.2 an add always resets
    return flags


def _flags_to(flags: int, version: int) -> int:
    if version == 1:
        return flags & 3 | (4 if flags & of.OFPFF_EMERG else 0)
    return flags & {2: 3, 3: 7}.get(version, 31)


def _decode_flow_mod11(envelope: Envelope) -> m.FlowMod:
    version, body = envelope.version, envelope.body
    cookie, mask, table, command, idle, hard, priority, buffer, out_port, out_group, flags, importance = (
        _FLOW_MOD11.unpack_from(body)
    )
    match, end = _decode_match11(body, 40, version)
    actions = decode_instructions(body[end:], version)
    if command > of.OFPFC_DELETE_STRICT:
        raise DecodeError("OFPFMFC_BAD_COMMAND")
    is_add = command == of.OFPFC_ADD or (version == 2 and command <= of.OFPFC_MODIFY_STRICT and not mask)
    if command < of.OFPFC_DELETE and table == of.OFPTT_ALL:
        raise DecodeError("OFPFMFC_BAD_TABLE_ID")
    out_port, out_group = (
        _outputs(out_port, out_group) if command >= of.OFPFC_DELETE else (0xFFFF, of.OFPG_ANY)
    )
    return m.FlowMod(
        command,
        normalize(match),
        priority,
        table,
        actions,
        0 if is_add else cookie & mask,
        0 if is_add else mask,
        cookie if is_add else None,
        idle,
        hard,
        importance if version >= 5 else 0,
        _flags_from(flags, version, command),
        out_port,
        out_group,
        None if buffer == of.NO_BUFFER else buffer,
    )


def _outputs(out_port: int, out_group: int) -> tuple[int, int]:
    return port_from_wire(out_port), out_group


def _decode_match11(body: bytes, position: int, version: int, loose: bool = False) -> tuple[Match, int]:
    if version == 2:
        if len(body) < position + 4:
            raise DecodeError("OFPBMC_BAD_LEN")
        if body[position : position + 2] == b"\0\0":
            return match11.decode(body, position)
        if body[position : position + 2] != b"\0\1":
            raise DecodeError("OFPBMC_BAD_TYPE")
    return oxm.decode_oxm_match(body, position, loose=loose)


def _encode_match11(match: Match, version: int) -> bytes:
    if version == 2:
        return match11.encode(match)
    return oxm.encode_oxm_match(match, version)


def encode_flow_mod(protocol: Protocol, mod: m.FlowMod) -> Encoded:
    version = protocol.version
    buffer = of.NO_BUFFER if mod.buffer is None else mod.buffer
    cookie = _ALL_COOKIE if mod.new_cookie is None else mod.new_cookie
    if version > 1:
        command = mod.command
        if command in (of.OFPFC_ADD,) or (
            version == 2 and mod.new_cookie is not None and not mod.cookie_mask
        ):
            cookie, mask = cookie if mod.new_cookie is not None else 0, mod.cookie_mask
        else:
            cookie, mask = mod.cookie & mod.cookie_mask, mod.cookie_mask
        table = mod.table
        if table == 0xFF and (command < of.OFPFC_DELETE or version == 2):
            table = 0
        body = _FLOW_MOD11.pack(
            cookie,
            mask,
            table,
            command,
            mod.idle_timeout,
            mod.hard_timeout,
            mod.priority,
            buffer,
            port_to_wire(mod.out_port),
            mod.out_group,
            _flags_to(mod.flags, version),
            mod.importance if version >= 5 else 0,
        )
        match = _encode_match11(mod.match, version)
        return "OFPT_FLOW_MOD", body + match + encode_instructions(mod.actions, version, has_tag(mod.match))
    command = mod.command | mod.table << 8 if protocol.table_id else mod.command
    timeouts = (
        mod.idle_timeout,
        mod.hard_timeout,
        mod.priority,
        buffer,
        mod.out_port,
        _flags_to(mod.flags, 1),
    )
    actions = encode_actions(mod.actions, 1)
    if protocol.nxm:
        length, match = _nxm(mod.match, mod.cookie, mod.cookie_mask)
        return "NXT_FLOW_MOD", _NX_FLOW_MOD.pack(cookie, command, *timeouts, length) + match + actions
    return "OFPT_FLOW_MOD", match10.encode(mod.match) + _FLOW_MOD10.pack(cookie, command, *timeouts) + actions


# ---- requests for statistics ----

_Request = m.FlowStatsRequest | m.AggregateStatsRequest


def _decode_request(make: Callable[..., _Request]) -> Callable[[Envelope], m.Message]:
    def decode(envelope: Envelope) -> m.Message:
        version, body = envelope.version, envelope.body
        if envelope.kind.name.startswith("NXST"):
            out_port, length, table = _NX_REQUEST.unpack_from(body)
            match, cookie, mask, end = _pull_nxm(body, 8, length)
            if end != len(body):
                raise DecodeError("OFPBRC_BAD_LEN")
            return make(match, table, cookie, mask, out_port)
        if version == 1:
            table, out_port = _REQUEST10.unpack_from(body, 40)
            return make(match10.decode(body), table, 0, 0, out_port)
        table, out_port, out_group, cookie, mask = _REQUEST11.unpack_from(body)
        match, _ = _decode_match11(body, 32, version)
        return make(match, table, cookie & mask, mask, *_outputs(out_port, out_group))

    return decode


def _encode_request(name: str) -> Callable[[Protocol, Any], Encoded]:
    def encode(protocol: Protocol, request: _Request) -> Encoded:
        version = protocol.version
        if version > 1:
            head = _REQUEST11.pack(
                request.table,
                port_to_wire(request.out_port),
                request.out_group,
                request.cookie,
                request.cookie_mask,
            )
            return f"OFPST_{name} request", head + _encode_match11(request.match, version)
        if not protocol.nxm:
            tail = _REQUEST10.pack(request.table, request.out_port)
            return f"OFPST_{name} request", match10.encode(request.match) + tail
        length, match = _nxm(request.match, request.cookie, request.cookie_mask)
        return f"NXST_{name} request", _NX_REQUEST.pack(request.out_port, length, request.table) + match

    return encode


# ---- flow statistics ----


def _decode_flow_stats(envelope: Envelope) -> m.FlowStatsReply:
    body, position = envelope.body, 0
    read = (
        _read_stats15 if envelope.version >= 6 else _read_stats11 if envelope.version > 1 else _read_stats10
    )
    if envelope.kind.name.startswith("NXST"):
        read = _read_nx_stats
    flows = []
    size = len(body)
    while position < size:
        length = int.from_bytes(body[position : position + 2], "big")
        if length < 24 or position + length > size:
            raise DecodeError("OFPBRC_BAD_LEN")
        try:
            flows.append(read(body[position : position + length], envelope.version))
        except StructError:
            raise DecodeError("OFPBRC_BAD_LEN") from None
        position += length
    return m.FlowStatsReply(tuple(flows), envelope.more)


def _counter(value: int) -> int | None:
    return None if value == _UNKNOWN else value


def _read_stats10(data: bytes, version: int) -> m.FlowStats:
    if len(data) < 88:
        raise DecodeError("OFPBRC_BAD_LEN")
    match = match10.decode(data, 4)
    _, table, seconds, nanoseconds, priority, idle, hard, cookie, packets, octets = _STATS10.unpack(
        data[:4] + data[44:88]
    )
    duration = seconds * 1_000_000_000 + nanoseconds
    actions = decode_actions(data[88:], 1)
    return m.FlowStats(
        match,
        priority,
        table,
        actions,
        cookie,
        duration,
        idle,
        hard,
        None,
        None,
        _counter(packets),
        _counter(octets),
    )


def _read_nx_stats(data: bytes, version: int) -> m.FlowStats:
    (
        _,
        table,
        seconds,
        nanoseconds,
        priority,
        idle,
        hard,
        length,
        idle_age,
        hard_age,
        cookie,
        packets,
        octets,
    ) = _NX_STATS.unpack_from(data)
    match, _, _, end = _pull_nxm(data, 48, length, True)
    duration = seconds * 1_000_000_000 + nanoseconds
    return m.FlowStats(
        match,
        priority,
        table,
        decode_actions(data[end:], version),
        cookie,
        duration,
        idle,
        hard,
        idle_age - 1 if idle_age else None,
        hard_age - 1 if hard_age else None,
        _counter(packets),
        _counter(octets),
    )


def _read_stats11(data: bytes, version: int) -> m.FlowStats:
    _, table, seconds, nanoseconds, priority, idle, hard, flags, importance, cookie, packets, octets = (
        _STATS11.unpack_from(data)
    )
    match, end = _decode_match11(data, 48, version, True)
    duration = seconds * 1_000_000_000 + nanoseconds
    return m.FlowStats(
        match,
        priority,
        table,
        decode_instructions(data[end:], version),
        cookie,
        duration,
        idle,
        hard,
        None,
        None,
        _counter(packets),
        _counter(octets),
        importance if version >= 5 else 0,
        flags & 31 if version >= 4 else 0,
    )


def _read_stats15(data: bytes, version: int) -> m.FlowStats:
    _, table, priority, idle, hard, flags, importance, cookie = _STATS15.unpack_from(data)
    match, end = oxm.decode_oxm_match(data, 24, loose=True)
    oxs, end = _decode_oxs(data, end)
    return m.FlowStats(
        match,
        priority,
        table,
        decode_instructions(data[end:], version),
        cookie,
        oxs.get(0, 0),
        idle,
        hard,
        oxs.get(1, 0) // 1_000_000_000 if 1 in oxs else None,
        None,
        oxs.get(4),
        oxs.get(5),
        importance,
        flags & 31,
    )


def _decode_oxs(data: bytes, position: int) -> tuple[dict[int, int], int]:
    """Typed values of 1.5 by number: durations (0, 1) in nanoseconds; 3 flows, 4 packets, 5 bytes."""
    if len(data) - position < 4:
        raise DecodeError("OFPBRC_BAD_LEN")
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    end = position + (length + 7) // 8 * 8
    if length < 4 or end > len(data):
        raise DecodeError("OFPBRC_BAD_LEN")
    values: dict[int, int] = {}
    at, stop = position + 4, position + length
    while at + 4 <= stop:
        number, size = data[at + 2] >> 1, data[at + 3]
        raw = data[at + 4 : at + 4 + size]
        if at + 4 + size > stop:
            raise DecodeError("OFPBRC_BAD_LEN")
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
            flow.actions, version, has_tag(flow.match)
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
                _flags_to(flow.flags, version) if version >= 4 else 0,
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
        length, match = _nxm(flow.match)
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
    tail += encode_instructions(flow.actions, 6, has_tag(flow.match))
    return (
        _STATS15.pack(
            24 + len(tail),
            flow.table,
            flow.priority,
            flow.idle_timeout,
            flow.hard_timeout,
            _flags_to(flow.flags, 6),
            flow.importance,
            flow.cookie,
        )
        + tail
    )


# ---- aggregates, flow removed ----


def _decode_aggregate(envelope: Envelope) -> m.AggregateStatsReply:
    if envelope.version >= 6:
        values, _ = _decode_oxs(envelope.body, 0)
        return m.AggregateStatsReply(values.get(4), values.get(5), values.get(3, 0))
    packets, octets, flows = _AGGREGATE.unpack(envelope.body)
    return m.AggregateStatsReply(packets, octets, flows)


def _encode_aggregate(protocol: Protocol, reply: m.AggregateStatsReply) -> Encoded:
    packets = _UNKNOWN if reply.packets is None else reply.packets
    octets = _UNKNOWN if reply.bytes is None else reply.bytes
    if protocol.version >= 6:
        return "OFPST_AGGREGATE reply", _encode_oxs([(4, packets), (5, octets), (3, reply.flows)])
    name = "NXST_AGGREGATE reply" if protocol.nxm and protocol.version == 1 else "OFPST_AGGREGATE reply"
    return name, _AGGREGATE.pack(packets, octets, reply.flows)


def _decode_removed(envelope: Envelope) -> m.FlowRemoved:
    version, body = envelope.version, envelope.body
    hard = 0
    if envelope.kind.name == "NXT_FLOW_REMOVED":
        cookie, priority, reason, table, seconds, nanoseconds, idle, length, packets, octets = (
            _NX_REMOVED.unpack_from(body)
        )
        match, _, _, _ = _pull_nxm(body, 40, length)
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
        match, _ = _decode_match11(body, 40, version)
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


def _encode_removed(protocol: Protocol, flow: m.FlowRemoved) -> Encoded:
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
        return "OFPT_FLOW_REMOVED", head + _encode_match11(flow.match, version)
    if protocol.nxm:
        length, match = _nxm(flow.match)
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


def _flow_reply_name(protocol: Protocol) -> str:
    return "NXST_FLOW reply" if protocol.version == 1 and protocol.nxm else "OFPST_FLOW reply"


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_FLOW_MOD": decode_flow_mod,
    "NXT_FLOW_MOD": decode_flow_mod,
    "OFPST_FLOW request": _decode_request(m.FlowStatsRequest),
    "NXST_FLOW request": _decode_request(m.FlowStatsRequest),
    "OFPST_AGGREGATE request": _decode_request(m.AggregateStatsRequest),
    "NXST_AGGREGATE request": _decode_request(m.AggregateStatsRequest),
    "OFPST_FLOW reply": _decode_flow_stats,
    "NXST_FLOW reply": _decode_flow_stats,
    "OFPST_AGGREGATE reply": _decode_aggregate,
    "NXST_AGGREGATE reply": _decode_aggregate,
    "OFPT_FLOW_REMOVED": _decode_removed,
    "NXT_FLOW_REMOVED": _decode_removed,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.FlowMod: encode_flow_mod,
    m.FlowStatsRequest: _encode_request("FLOW"),
    m.AggregateStatsRequest: _encode_request("AGGREGATE"),
    m.AggregateStatsReply: _encode_aggregate,
    m.FlowRemoved: _encode_removed,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    m.FlowStatsReply: lambda p, x: (_flow_reply_name(p), [encode_flow_stats(p, flow) for flow in x.flows]),
}
__all__ = ["DECODE", "ENCODE", "ENCODE_PARTS", "Action", "decode_flow_mod", "encode_flow_mod"]
