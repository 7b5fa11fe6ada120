"""What a switch tells its other controllers: that one of them changed groups or meters, that a table fills.

A request-forward (OpenFlow 1.4; before, extensions of the ONF and of Nicira) carries the group-mod or
meter-mod as it came; a table status the table's description (OpenFlow 1.5.1, sections 7.4.5 and 7.4.6).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.openflow import tables
from trunkline.openflow.control import Encoded
from trunkline.openflow.groups import TEXT as GROUP_TEXT
from trunkline.openflow.groups import GroupMod
from trunkline.openflow.messages import TableDescription
from trunkline.openflow.meters import TEXT as METER_TEXT
from trunkline.openflow.meters import MeterMod
from trunkline.openflow.style import Style
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, nameless, split

OFPTR_VACANCY_DOWN: Final = 3
OFPTR_VACANCY_UP: Final = 4
_REASONS: Final = {OFPTR_VACANCY_DOWN: "VACANCY_DOWN", OFPTR_VACANCY_UP: "VACANCY_UP"}
_FORWARDED: Final = ("OFPT_GROUP_MOD", "NXT_GROUP_MOD", "OFPT_METER_MOD")


class RequestForward(NamedTuple):
    """`message` is what another controller has sent, with `xid`."""

    message: GroupMod | MeterMod
    xid: int = 0


class TableStatus(NamedTuple):
    reason: int  # OFPTR_*
    table: TableDescription


def _decode_forward(envelope: Envelope) -> RequestForward:
    from trunkline.openflow.codec import decode

    body = envelope.body
    length = int.from_bytes(body[2:4], "big")
    if len(body) < 8 or length < 8 or length > len(body):
        raise DecodeError("OFPBFC_MSG_BAD_LEN")
    inner = body[:length]
    if inner[0] != envelope.version:
        raise DecodeError("OFPBRC_BAD_VERSION")
    if split(inner).kind.name not in _FORWARDED:
        raise DecodeError("OFPBFC_MSG_UNSUP")
    incoming = decode(inner)
    message: Any = incoming.message
    return RequestForward(message, incoming.xid)


def _encode_forward(protocol: Protocol, forward: RequestForward) -> Encoded:
    from trunkline.openflow.codec import encode

    prefix = "NXT" if protocol.version < 4 else "ONFT" if protocol.version == 4 else "OFPT"
    return f"{prefix}_REQUESTFORWARD", encode(protocol, forward.message, forward.xid)[0]  # type: ignore[arg-type]


def _text_forward(forward: RequestForward, version: int, style: Style) -> str:
    if isinstance(forward.message, GroupMod):
        return " reason=group_mod" + GROUP_TEXT[GroupMod](forward.message, version, style)
    return " reason=meter_mod" + METER_TEXT[MeterMod](forward.message, version, style)


def _decode_status(envelope: Envelope) -> TableStatus:
    reason = envelope.body[0]
    if reason not in _REASONS:
        raise DecodeError("OFPBPC_BAD_VALUE", f"reason {reason}")
    if len(envelope.body) == 8:
        raise nameless("OFPBRC_BAD_LEN", "no table")
    return TableStatus(reason, tables.read_table_description(envelope.body, 8, envelope.version)[0])


def _encode_status(protocol: Protocol, status: TableStatus) -> Encoded:
    body = bytes((status.reason, 0, 0, 0, 0, 0, 0, 0)) + tables.encode_table_description(status.table)
    return "OFPT_TABLE_STATUS", body


def _text_status(status: TableStatus, version: int, style: Style) -> str:
    text = tables.table_description_text(status.table, style)
    return f" reason={_REASONS[status.reason]}\ntable_desc:-\n{text}"


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "REQUESTFORWARD": _decode_forward,
    "TABLE_STATUS": _decode_status,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    RequestForward: _encode_forward,
    TableStatus: _encode_status,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    RequestForward: _text_forward,
    TableStatus: _text_status,
}
