"""Flow monitors: a controller asks to be told of changes to flows, and is told.

Nicira's extension to OpenFlow 1.0 to 1.2 came first, the ONF's for 1.3 and OpenFlow 1.4 took it over.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.flow.match import Match
from trunkline.flow.text import format_match
from trunkline.model.openflow import FLOW_REMOVED_NAMES, OFPG_ANY, OFPP_ANY, OFPTT_ALL
from trunkline.openflow import oxm
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_decode import decode_actions, shared
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.actions_wire import decode_instructions, encode_instructions
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.flow_parts import decode_match11, nxm, packets_of, pull_nxm
from trunkline.openflow.style import Style, c_hex, port_text, table_text
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol, port_from_wire, port_to_wire

OFPFMC_ADD, OFPFMC_MODIFY, OFPFMC_DELETE = range(3)
OFPFMF_INITIAL: Final = 1 << 0
OFPFMF_ADD: Final = 1 << 1
OFPFMF_REMOVED: Final = 1 << 2
OFPFMF_MODIFY: Final = 1 << 3
OFPFMF_INSTRUCTIONS: Final = 1 << 4
OFPFMF_ONLY_OWN: Final = 1 << 6  # Nicira's numbers this 1 << 5
FLAG_NAMES: Final = (
    (OFPFMF_INITIAL, "initial"),
    (OFPFMF_ADD, "add"),
    (OFPFMF_REMOVED, "delete"),
    (OFPFMF_MODIFY, "modify"),
    (OFPFMF_INSTRUCTIONS, "actions"),
    (OFPFMF_ONLY_OWN, "own"),
)
_NX_ONLY_OWN: Final = 1 << 5
_CHANGES: Final = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY
_KNOWN: Final = OFPFMF_INITIAL | _CHANGES | OFPFMF_INSTRUCTIONS | OFPFMF_ONLY_OWN

(
    OFPFME_INITIAL,
    OFPFME_ADDED,
    OFPFME_REMOVED,
    OFPFME_MODIFIED,
    OFPFME_ABBREV,
    OFPFME_PAUSED,
    OFPFME_RESUMED,
) = range(7)
EVENT_NAMES: Final = ("INITIAL", "ADDED", "DELETED", "MODIFIED", "ABBREV", "PAUSED", "RESUMED")


class FlowMonitor(NamedTuple):
    """One monitor asked for.  `flags` are OFPFMF_* (of 1.4), `command` OFPFMC_* (add, modify, delete)."""

    id: int
    flags: int
    match: Match
    table: int = OFPTT_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    command: int = 0


class FlowMonitorRequest(NamedTuple):
    monitors: tuple[FlowMonitor, ...]


class FlowUpdate(NamedTuple):
    """`event` is OFPFME_* (initial, added, removed, modified); `reason` OFPRR_* of a removal.

    `actions` is empty where the monitor did not ask for them.
    """

    event: int
    match: Match
    priority: int
    table: int
    cookie: int = 0
    reason: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    actions: tuple[Action, ...] = ()


class FlowUpdateAbbreviated(NamedTuple):
    """What the receiver's own flow-mod `xid` did."""

    xid: int


class FlowUpdates(NamedTuple):
    """The reply to a monitor request, and with xid 0 each later update.

    From 1.4 on it also holds what is a message of its own before: FlowMonitorPaused and FlowMonitorResumed.
    """

    updates: "tuple[FlowUpdate | FlowUpdateAbbreviated | FlowMonitorPaused | FlowMonitorResumed, ...]"
    more: bool = False


class FlowMonitorCancel(NamedTuple):
    """Before 1.4; from 1.4 on a FlowMonitorRequest with the command OFPFMC_DELETE says it."""

    id: int


class FlowMonitorPaused(NamedTuple):
    """The receiver is too slow: updates stop until FlowMonitorResumed."""


class FlowMonitorResumed(NamedTuple):
    pass


# ---- requests ----

_NX_REQUEST: Final = Struct("!IHHHB5x")
_ONF_REQUEST: Final = Struct("!IHHIB3x")
_REQUEST14: Final = Struct("!IIIHBB")


def _decode_request(envelope: Envelope) -> FlowMonitorRequest:
    version = envelope.version
    read = _read_nx_request if version < 4 else _read_onf_request if version == 4 else _read_request14
    return read_entries(envelope, read, FlowMonitorRequest)


def _checked_flags(flags: int, own: int) -> int:
    """Flags with OFPFMF_ONLY_OWN where the wire has bit `own`."""
    if flags & ~(_KNOWN & ~OFPFMF_ONLY_OWN | own) or not flags & _CHANGES:
        raise DecodeError("OFPMOFC_BAD_FLAGS", f"flags 0x{flags:x}")
    return flags & ~own | (OFPFMF_ONLY_OWN if flags & own else 0)


def _read_nx_request(body: bytes, at: int, version: int) -> tuple[FlowMonitor, int]:
    number, flags, out_port, length, table = _NX_REQUEST.unpack_from(body, at)
    flags = _checked_flags(flags, _NX_ONLY_OWN)
    if any(body[at + 11 : at + 16]):
        raise DecodeError("NXBRC_MUST_BE_ZERO")
    match, _, _, end = pull_nxm(body, at + _NX_REQUEST.size, length)
    return FlowMonitor(number, flags, match, table, out_port), end


def _read_onf_request(body: bytes, at: int, version: int) -> tuple[FlowMonitor, int]:
    number, flags, _, out_port, table = _ONF_REQUEST.unpack_from(body, at)
    flags = _checked_flags(flags, _NX_ONLY_OWN)
    if any(body[at + 13 : at + 16]):
        raise DecodeError("NXBRC_MUST_BE_ZERO")
    port = port_from_wire(out_port)
    match, end = decode_match11(body, at + _ONF_REQUEST.size, version)
    return FlowMonitor(number, flags, match, table, port), end


def _read_request14(body: bytes, at: int, version: int) -> tuple[FlowMonitor, int]:
    number, out_port, out_group, flags, table, command = _REQUEST14.unpack_from(body, at)
    if command != OFPFMC_DELETE:
        flags = _checked_flags(flags, OFPFMF_ONLY_OWN)
    port = OFPP_ANY if command == OFPFMC_DELETE else port_from_wire(out_port)
    match, end = decode_match11(body, at + _REQUEST14.size, version)
    return FlowMonitor(number, flags, match, table, port, out_group, command), end


def _encode_request(protocol: Protocol, request: FlowMonitorRequest) -> Encoded:
    version = protocol.version
    return f"{_family(version)}_FLOW_MONITOR request", b"".join(
        _encode_monitor(version, monitor) for monitor in request.monitors
    )


def _family(version: int) -> str:
    return "NXST" if version < 4 else "ONFST" if version == 4 else "OFPST"


def _encode_monitor(version: int, monitor: FlowMonitor) -> bytes:
    if version >= 5:
        port = port_to_wire(monitor.out_port)
        head = _REQUEST14.pack(
            monitor.id, port, monitor.out_group, monitor.flags, monitor.table, monitor.command
        )
        return head + oxm.encode_oxm_match(monitor.match, version)
    if monitor.command != OFPFMC_ADD:
        raise EncodeError("changing a flow monitor needs OpenFlow 1.4 or later")
    flags = monitor.flags & ~OFPFMF_ONLY_OWN | (_NX_ONLY_OWN if monitor.flags & OFPFMF_ONLY_OWN else 0)
    if version == 4:
        match = oxm.encode_oxm_match(monitor.match, version)
        length = int.from_bytes(match[2:4], "big")
        port = port_to_wire(monitor.out_port)
        return _ONF_REQUEST.pack(monitor.id, flags, length, port, monitor.table) + match
    length, match = nxm(monitor.match)
    return _NX_REQUEST.pack(monitor.id, flags, monitor.out_port, length, monitor.table) + match


def _text_request(request: FlowMonitorRequest, version: int, style: Style) -> str:
    text = ""
    for monitor in request.monitors:
        text += f"\n id={monitor.id}"
        if monitor.command == OFPFMC_DELETE:
            text += " command=delete"
            continue
        text += f" flags={','.join(name for bit, name in FLAG_NAMES if monitor.flags & bit)}"
        if monitor.out_port != OFPP_ANY:
            text += f" out_port={port_text(monitor.out_port, style)}"
        if monitor.out_group not in (0, OFPG_ANY):
            text += f" out_group={monitor.out_group - (monitor.out_group >> 31 << 32)}"  # signed, as shown
        if monitor.table != OFPTT_ALL:
            text += f" table={table_text(monitor.table, style)}"
        text += f" {format_match(monitor.match, style.context)}".rstrip(" ")
    return text


# ---- updates ----

_UPDATE: Final = Struct("!HHHHHHHBxQ")
_UPDATE14: Final = Struct("!HHBBHHH4xQ")
_SHORT: Final = Struct("!HHI")
_NX_ABBREV: Final = 3


def _decode_updates(envelope: Envelope) -> FlowUpdates:
    return read_entries(envelope, _read_update, lambda updates: FlowUpdates(updates, envelope.more))


def _read_update(body: bytes, at: int, version: int) -> tuple[Any, int]:
    if len(body) - at < 8:
        raise DecodeError("OFPBRC_BAD_LEN")
    length, event, xid = _SHORT.unpack_from(body, at)
    end = at + length
    if end > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    if event > (_NX_ABBREV if version < 5 else OFPFME_RESUMED):
        raise DecodeError("NXBRC_FM_BAD_EVENT", f"event {event}")
    if length < 8 or length % 8:
        raise DecodeError("OFPBRC_BAD_LEN")
    event += version < 5  # Nicira's has no initial event
    if event >= OFPFME_ABBREV:
        if length != 8:
            raise DecodeError("OFPBRC_BAD_LEN")
        short = (FlowUpdateAbbreviated(xid), FlowMonitorPaused(), FlowMonitorResumed())
        return short[event - OFPFME_ABBREV], end
    read = _read_full if version < 5 else _read_full14
    return read(body[at:end], event, version), end


def _read_full(data: bytes, event: int, version: int) -> FlowUpdate:
    if len(data) < _UPDATE.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    _, _, reason, priority, idle, hard, length, table, cookie = _UPDATE.unpack_from(data)
    if (length + 7) // 8 * 8 > len(data) - _UPDATE.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    if version < 4:
        match, _, _, end = pull_nxm(data, _UPDATE.size, length)
        actions = shared(decode_actions, data[end:], version)
    else:
        match, end = decode_match11(data, _UPDATE.size, version)
        actions = shared(decode_instructions, data[end:], version)
    return FlowUpdate(event, match, priority, table, cookie, reason, idle, hard, actions)


def _read_full14(data: bytes, event: int, version: int) -> FlowUpdate:
    if len(data) < _UPDATE14.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    _, _, table, reason, idle, hard, priority, cookie = _UPDATE14.unpack_from(data)
    match, end = decode_match11(data, _UPDATE14.size, version)
    actions = shared(decode_instructions, data[end:], version)
    return FlowUpdate(event, match, priority, table, cookie, reason, idle, hard, actions)


def _encode_update(version: int, update: Any) -> bytes:
    if isinstance(update, FlowUpdateAbbreviated):
        return _SHORT.pack(8, OFPFME_ABBREV if version >= 5 else _NX_ABBREV, update.xid)
    if not isinstance(update, FlowUpdate):
        if version < 5:
            raise EncodeError("before OpenFlow 1.4 a pause is a message of its own")
        event = OFPFME_PAUSED if isinstance(update, FlowMonitorPaused) else OFPFME_RESUMED
        return _SHORT.pack(8, event, 0)
    times = (update.idle_timeout, update.hard_timeout)
    encode = encode_instructions if version >= 4 else encode_actions
    actions = encode(update.actions, version, packets_of(update.match))
    if version >= 5:
        rest = oxm.encode_oxm_match(update.match, version) + actions
        length = _UPDATE14.size + len(rest)
        head = (length, update.event, update.table, update.reason, *times, update.priority, update.cookie)
        return _UPDATE14.pack(*head) + rest
    event = max(update.event, OFPFME_ADDED) - 1
    if version == 4:
        match = oxm.encode_oxm_match(update.match, version)
        size = int.from_bytes(match[2:4], "big")
        rest = match + actions
    else:
        size, match = nxm(update.match)
        rest = match + actions
    head_ = (_UPDATE.size + len(rest), event, update.reason, update.priority, *times, size, update.table)
    return _UPDATE.pack(*head_, update.cookie) + rest


def _text_updates(reply: FlowUpdates, version: int, style: Style) -> str:
    text = ""
    for update in reply.updates:
        if isinstance(update, FlowUpdateAbbreviated):
            text += f"\n event=ABBREV xid=0x{update.xid:x}"
        elif not isinstance(update, FlowUpdate):
            text += f"\n event={'PAUSED' if isinstance(update, FlowMonitorPaused) else 'RESUMED'}"
        else:
            text += "\n " + _update_text(update, style)
    return text


def _update_text(update: FlowUpdate, style: Style) -> str:
    words = [f"event={EVENT_NAMES[update.event]}"]
    if update.event == OFPFME_REMOVED:
        words.append(f"reason={FLOW_REMOVED_NAMES.get(update.reason, update.reason)}")
    words.append(f"table={table_text(update.table, style)}")
    if update.idle_timeout:
        words.append(f"idle_timeout={update.idle_timeout}")
    if update.hard_timeout:
        words.append(f"hard_timeout={update.hard_timeout}")
    words.append(f"cookie={c_hex(update.cookie)}")
    words.append(format_match(update.match, style.context))
    text = " ".join(words)
    if update.actions:
        text += f"{'' if text.endswith(' ') else ' '}actions={format_actions(update.actions, style)}"
    return text


# ---- the tables ----


def _encode_cancel(protocol: Protocol, cancel: FlowMonitorCancel) -> Encoded:
    if protocol.version >= 5:
        monitor = FlowMonitor(cancel.id, 0, Match(), command=OFPFMC_DELETE)
        return _encode_request(protocol, FlowMonitorRequest((monitor,)))
    name = "ONFT_FLOW_MONITOR_CANCEL" if protocol.version == 4 else "NXT_FLOW_MONITOR_CANCEL"
    return name, cancel.id.to_bytes(4, "big")


def _encode_pause(protocol: Protocol, message: FlowMonitorPaused | FlowMonitorResumed) -> Encoded:
    if protocol.version >= 5:
        return "OFPST_FLOW_MONITOR reply", _encode_update(protocol.version, message)
    word = "PAUSED" if isinstance(message, FlowMonitorPaused) else "RESUMED"
    return f"{'ONFT' if protocol.version == 4 else 'NXT'}_FLOW_MONITOR_{word}", b""


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "FLOW_MONITOR request": _decode_request,
    "FLOW_MONITOR reply": _decode_updates,
    "FLOW_MONITOR_CANCEL": lambda e: FlowMonitorCancel(int.from_bytes(e.body, "big")),
    "FLOW_MONITOR_PAUSED": lambda e: FlowMonitorPaused(),
    "FLOW_MONITOR_RESUMED": lambda e: FlowMonitorResumed(),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    FlowMonitorRequest: _encode_request,
    FlowMonitorCancel: _encode_cancel,
    FlowMonitorPaused: _encode_pause,
    FlowMonitorResumed: _encode_pause,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    FlowUpdates: lambda p, x: (
        f"{_family(p.version)}_FLOW_MONITOR reply",
        [_encode_update(p.version, update) for update in x.updates],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    FlowMonitorRequest: _text_request,
    FlowUpdates: _text_updates,
    FlowMonitorCancel: lambda x, v, s: f" id={x.id}",
    FlowMonitorPaused: lambda x, v, s: "",
    FlowMonitorResumed: lambda x, v, s: "",
}
