"""The messages about flows: flow-mods and requests for statistics; the replies are in flow_statistics.

Three families of layout: 1.0 with its fixed match; Nicira's for 1.0, with NXM behind a length; and 1.1 on,
with a match of its own length and instructions."""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from trunkline.flow.match import Match, kind, sensible
from trunkline.model import openflow as of
from trunkline.openflow import match10
from trunkline.openflow import messages as m
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_decode import SHORT, Read, decode_actions, shared
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_wire import decode_instructions, encode_instructions
from trunkline.openflow.consistency import inconsistency
from trunkline.openflow.control import Encoded
from trunkline.openflow.flow_parts import (
    ALL_COOKIE,
    decode_match11,
    encode_match11,
    flags_from,
    flags_to,
    nxm,
    outputs,
    packets_of,
    pull_nxm,
)
from trunkline.openflow.flow_statistics import (
    decode_aggregate,
    decode_flow_stats,
    decode_removed,
    encode_aggregate,
    encode_flow_stats,
    encode_removed,
    flow_reply_name,
)
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, port_to_wire

_FLOW_MOD10: Final = Struct("!QHHHHIHH")
_NX_FLOW_MOD: Final = Struct("!QHHHHIHHH6x")
_FLOW_MOD11: Final = Struct("!QQBBHHHIIIHH")


_REQUEST10: Final = Struct("!BxH")
_NX_REQUEST: Final = Struct("!HHB3x")
_REQUEST11: Final = Struct("!B3xII4xQQ")


# ---- flow-mods ----


def decode_flow_mod(envelope: Envelope, table_id: bool = True) -> m.FlowMod:
    """`table_id`: a 1.0 command carries a table in its high byte, as NXT_FLOW_MOD_TABLE_ID switched on."""
    body = envelope.body
    if envelope.version > 1 and envelope.kind.name == "OFPT_FLOW_MOD":
        return _decode_flow_mod11(envelope)
    cookie_match = cookie_mask = 0
    if envelope.kind.name == "OFPT_FLOW_MOD":
        match, version, raw = match10.decode(body), 1, body[64:]
        cookie, command, idle, hard, priority, buffer, out_port, flags = _FLOW_MOD10.unpack_from(body, 40)
    else:
        version = envelope.version
        cookie, command, idle, hard, priority, buffer, out_port, flags, length = _NX_FLOW_MOD.unpack_from(
            body
        )
        match, cookie_match, cookie_mask, end = pull_nxm(body, 32, length)
        raw = body[end:]
    table = 0xFF
    if table_id:
        table, command = command >> 8, command & 0xFF
    if command > of.OFPFC_DELETE_STRICT or (command == of.OFPFC_ADD and cookie_mask):
        shared(decode_actions, raw, version)  # its errors come first
        raise DecodeError("NXBRC_NXM_INVALID" if command == of.OFPFC_ADD else "OFPFMFC_BAD_COMMAND")
    match, actions = _sense(match, decode_actions, raw, version, table, flags)
    return m.FlowMod(
        command,
        match,
        priority,
        table,
        actions,
        cookie_match,
        cookie_mask,
        None if cookie == ALL_COOKIE and command != of.OFPFC_ADD else cookie,
        idle,
        hard,
        0,
        flags_from(flags, envelope.version, command),
        out_port if command >= of.OFPFC_DELETE else 0xFFFF,
        0xFFFFFFFF,
        None if buffer == of.NO_BUFFER else buffer,
    )


def _sense(
    match: Match, read: Read, raw: bytes, version: int, table: int, flags: int
) -> tuple[Match, tuple[Action, ...]]:
    """The match without what makes no sense, and the actions, which must make sense for it.

    Raises DecodeError.  Many flows do the same to packets of one kind; more of a match is not looked at.
    Flags that are none are objected to before actions that make no sense, and after those that are none.
    """
    examine = _examine if len(raw) <= SHORT else _examine.__wrapped__
    try:
        keep, actions = examine(kind(match), read, raw, version, table)
    except DecodeError:
        shared(read, raw, version)
        flags_from(flags, version, of.OFPFC_ADD)
        raise
    if match.mask & ~keep:
        match = Match(match.value & keep, match.mask & keep, match.options)
    return match, actions


@lru_cache(maxsize=4096)
def _examine(kind: Match, read: Read, raw: bytes, version: int, table: int) -> tuple[int, tuple[Action, ...]]:
    """The bits that a match of this kind may constrain, and the actions."""
    actions = shared(read, raw, version)
    keep = sensible(kind)
    error = inconsistency(actions, Match(kind.value & keep, kind.mask & keep), version, table)
    if error is not None:
        raise DecodeError(error)
    return keep, actions


def _decode_flow_mod11(envelope: Envelope) -> m.FlowMod:
    version, body = envelope.version, envelope.body
    cookie, mask, table, command, idle, hard, priority, buffer, out_port, out_group, flags, importance = (
        _FLOW_MOD11.unpack_from(body)
    )
    match, end = decode_match11(body, 40, version)
    raw = body[end:]
    one_table = command < of.OFPFC_DELETE or version == 2  # 1.1 has no word for all
    if command > of.OFPFC_DELETE_STRICT or (one_table and table == of.OFPTT_ALL):
        shared(decode_instructions, raw, version)  # its errors come first
        raise DecodeError(
            "OFPFMFC_BAD_COMMAND" if command > of.OFPFC_DELETE_STRICT else "OFPFMFC_BAD_TABLE_ID"
        )
    is_add = command == of.OFPFC_ADD or (version == 2 and command <= of.OFPFC_MODIFY_STRICT and not mask)
    match, actions = _sense(match, decode_instructions, raw, version, table, flags)
    out_port, out_group = (
        outputs(out_port, out_group) if command >= of.OFPFC_DELETE else (0xFFFF, of.OFPG_ANY)
    )
    return m.FlowMod(
        command,
        match,
        priority,
        table,
        actions,
        0 if is_add else cookie & mask,
        0 if is_add else mask,
        cookie if is_add else None,
        idle,
        hard,
        importance if version >= 5 and command == of.OFPFC_ADD else 0,
        flags_from(flags, version, command),
        out_port,
        out_group,
        None if buffer == of.NO_BUFFER else buffer,
    )


def encode_flow_mod(protocol: Protocol, mod: m.FlowMod) -> Encoded:
    version = protocol.version
    buffer = of.NO_BUFFER if mod.buffer is None else mod.buffer
    cookie = ALL_COOKIE if mod.new_cookie is None else mod.new_cookie
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
            flags_to(mod.flags, version),
            mod.importance if version >= 5 else 0,
        )
        match = encode_match11(mod.match, version)
        return "OFPT_FLOW_MOD", body + match + encode_instructions(
            mod.actions, version, packets_of(mod.match)
        )
    command = mod.command | mod.table << 8 if protocol.table_id else mod.command
    timeouts = (
        mod.idle_timeout,
        mod.hard_timeout,
        mod.priority,
        buffer,
        mod.out_port,
        flags_to(mod.flags, 1),
    )
    actions = encode_actions(mod.actions, 1)
    if protocol.nxm:
        length, match = nxm(mod.match, mod.cookie, mod.cookie_mask)
        return "NXT_FLOW_MOD", _NX_FLOW_MOD.pack(cookie, command, *timeouts, length) + match + actions
    return "OFPT_FLOW_MOD", match10.encode(mod.match) + _FLOW_MOD10.pack(cookie, command, *timeouts) + actions


# ---- requests for statistics ----

_Request = m.FlowStatsRequest | m.AggregateStatsRequest


def _decode_request(make: Callable[..., _Request]) -> Callable[[Envelope], m.Message]:
    def decode(envelope: Envelope) -> m.Message:
        version, body = envelope.version, envelope.body
        if envelope.kind.name.startswith("NXST"):
            out_port, length, table = _NX_REQUEST.unpack_from(body)
            match, cookie, mask, end = pull_nxm(body, 8, length)
            if end != len(body):
                raise DecodeError("OFPBRC_BAD_LEN")
            return make(match, table, cookie, mask, out_port)
        if version == 1:
            table, out_port = _REQUEST10.unpack_from(body, 40)
            return make(match10.decode(body), table, 0, 0, out_port)
        table, out_port, out_group, cookie, mask = _REQUEST11.unpack_from(body)
        port, group = outputs(out_port, out_group)
        match, _ = decode_match11(body, 32, version)
        return make(match, table, cookie & mask, mask, port, group)

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
            return f"OFPST_{name} request", head + encode_match11(request.match, version)
        if not protocol.nxm:
            tail = _REQUEST10.pack(request.table, request.out_port)
            return f"OFPST_{name} request", match10.encode(request.match) + tail
        length, match = nxm(request.match, request.cookie, request.cookie_mask)
        return f"NXST_{name} request", _NX_REQUEST.pack(request.out_port, length, request.table) + match

    return encode


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_FLOW_MOD": decode_flow_mod,
    "NXT_FLOW_MOD": decode_flow_mod,
    "OFPST_FLOW request": _decode_request(m.FlowStatsRequest),
    "NXST_FLOW request": _decode_request(m.FlowStatsRequest),
    "OFPST_AGGREGATE request": _decode_request(m.AggregateStatsRequest),
    "NXST_AGGREGATE request": _decode_request(m.AggregateStatsRequest),
    "OFPST_FLOW reply": decode_flow_stats,
    "NXST_FLOW reply": decode_flow_stats,
    "OFPST_AGGREGATE reply": decode_aggregate,
    "NXST_AGGREGATE reply": decode_aggregate,
    "OFPT_FLOW_REMOVED": decode_removed,
    "NXT_FLOW_REMOVED": decode_removed,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.FlowMod: encode_flow_mod,
    m.FlowStatsRequest: _encode_request("FLOW"),
    m.AggregateStatsRequest: _encode_request("AGGREGATE"),
    m.AggregateStatsReply: encode_aggregate,
    m.FlowRemoved: encode_removed,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    m.FlowStatsReply: lambda p, x: (flow_reply_name(p), [encode_flow_stats(p, flow) for flow in x.flows]),
}
__all__ = ["DECODE", "ENCODE", "ENCODE_PARTS", "decode_flow_mod", "encode_flow_mod"]
