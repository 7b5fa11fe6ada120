"""Asynchronous configuration: which messages a controller is sent unasked, and for which reasons.

For each kind of message there is a mask of reasons as primary (or equal) and one as secondary.  Nicira's
message and 1.3's have room for three kinds; from 1.4 on each mask is a property, even numbers for secondary.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.control import Encoded
from trunkline.openflow.properties import number, pack_property, properties, unknown_property
from trunkline.openflow.style import Style
from trunkline.openflow.wire import DecodeError, Envelope, Protocol

_MASKS: Final = Struct("!6I")
_OLD_PACKET_IN: Final = 0x7  # the reasons of packet-ins before 1.4
# For each kind in the order of its properties: title, names of reasons by bit.
_KINDS: Final = (
    ("PACKET_IN", tuple(of.PACKET_IN_REASON_NAMES[bit] for bit in range(6))),
    ("PORT_STATUS", ("add", "delete", "modify")),
    ("FLOW_REMOVED", tuple(of.FLOW_REMOVED_NAMES[bit] for bit in range(6))),
    ("ROLE_STATUS", tuple(of.ROLE_REASON_NAMES[bit] for bit in range(3))),
    ("TABLE_STATUS", ("", "", "", "vacancy_down", "vacancy_up")),
    ("REQUESTFORWARD", ("group_mod_request", "meter_mod_request")),
)
_NICIRA_KINDS: Final = 3


def _allowed(kind: int, version: int) -> int:
    if kind == 0 and version < 5:
        return _OLD_PACKET_IN
    return sum(1 << bit for bit, name in enumerate(_KINDS[kind][1]) if name)


def _decode_masks(envelope: Envelope) -> tuple[tuple[int, int], ...]:
    """Nicira's and 1.3's: unknown reasons are left out."""
    masks = _MASKS.unpack(envelope.body)
    allowed = [_allowed(kind, envelope.version) for kind in range(_NICIRA_KINDS)]
    return tuple((masks[2 * i] & bits, masks[2 * i + 1] & bits) for i, bits in enumerate(allowed))


def _decode_properties(envelope: Envelope, loose: bool) -> tuple[tuple[int | None, int | None], ...]:
    masks: list[list[int | None]] = [[None, None] for _ in _KINDS]
    for kind, value in properties(envelope.body, experimenters=(0xFFFE, 0xFFFF)):
        if kind >= 2 * len(_KINDS):
            if loose:
                continue
            if kind >> 32:
                raise unknown_property(kind, "asynchronous configuration")
            raise DecodeError("OFPACFC_UNSUPPORTED", f"property {kind}")
        mask = number(value, 4)
        allowed = _allowed(kind // 2, envelope.version)
        if mask & ~allowed and not loose:
            raise DecodeError("OFPACFC_INVALID", f"0x{mask:x} for {_KINDS[kind // 2][0]}")
        masks[kind // 2][1 - kind % 2] = mask & allowed
    return tuple((primary, secondary) for primary, secondary in masks)


def _decode_set(envelope: Envelope) -> m.SetAsync:
    name = envelope.kind.name
    if name == "NXT_SET_ASYNC_CONFIG" or (name == "OFPT_SET_ASYNC" and envelope.version == 4):
        return m.SetAsync(*_decode_masks(envelope))
    return m.SetAsync(*_decode_properties(envelope, loose=False))


def _decode_reply(envelope: Envelope) -> m.GetAsyncReply:
    if envelope.version < 5:
        return m.GetAsyncReply(m.AsyncConfig(*_decode_masks(envelope)))
    given = _decode_properties(envelope, loose=True)
    return m.GetAsyncReply(m.AsyncConfig(*((one or 0, other or 0) for one, other in given)))


def _encode_masks(config: m.AsyncConfig | m.SetAsync, version: int) -> bytes:
    masks = [mask or 0 for pair in config[:_NICIRA_KINDS] for mask in pair]
    masks[0], masks[1] = masks[0] & _OLD_PACKET_IN, masks[1] & _OLD_PACKET_IN
    return _MASKS.pack(*masks)


def _encode_properties(config: m.AsyncConfig | m.SetAsync) -> bytes:
    out = b""
    for kind, (primary, secondary) in enumerate(config):
        for offset, mask in ((0, secondary), (1, primary)):
            if mask is not None:
                out += pack_property(2 * kind + offset, mask.to_bytes(4, "big"))
    return out


def _encode_set(protocol: Protocol, message: m.SetAsync) -> Encoded:
    if protocol.version >= 5:
        return "OFPT_SET_ASYNC", _encode_properties(message)
    if any(mask is not None for pair in message[_NICIRA_KINDS:] for mask in pair) or None in (
        *message.packet_in, *message.port_status, *message.flow_removed
    ):  # fmt: skip
        return "NXT_SET_ASYNC_CONFIG2", _encode_properties(message)
    name = "OFPT_SET_ASYNC" if protocol.version == 4 else "NXT_SET_ASYNC_CONFIG"
    return name, _encode_masks(message, protocol.version)


def _encode_reply(protocol: Protocol, message: m.GetAsyncReply) -> Encoded:
    if protocol.version >= 5:
        return "OFPT_GET_ASYNC_REPLY", _encode_properties(message.config)
    return "OFPT_GET_ASYNC_REPLY", _encode_masks(message.config, protocol.version)


def _text(config: m.AsyncConfig | m.SetAsync) -> str:
    blocks = []
    for side, title in enumerate(("primary", "secondary")):
        lines = [f"\n {title}:"]
        for (name, reasons), masks in zip(_KINDS, config, strict=True):
            mask = masks[side] or 0
            words = [reason for bit, reason in enumerate(reasons) if mask >> bit & 1]
            lines.append(f"{name:>16}: {' '.join(words) or '(off)'}")
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_SET_ASYNC": _decode_set,
    "NXT_SET_ASYNC_CONFIG": _decode_set,
    "NXT_SET_ASYNC_CONFIG2": _decode_set,
    "OFPT_GET_ASYNC_REQUEST": lambda e: m.GetAsyncRequest(),
    "OFPT_GET_ASYNC_REPLY": _decode_reply,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.SetAsync: _encode_set,
    m.GetAsyncRequest: lambda p, x: ("OFPT_GET_ASYNC_REQUEST", b""),
    m.GetAsyncReply: _encode_reply,
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.SetAsync: lambda x, v, s: _text(x),
    m.GetAsyncRequest: lambda x, v, s: "",
    m.GetAsyncReply: lambda x, v, s: _text(x.config),
}
