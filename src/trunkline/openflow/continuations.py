"""A packet whose translation paused for a controller, and goes on when the controller sends it back.

`controller(pause)` sends the packet as NXT_PACKET_IN2 with a continuation: the pipeline's state as a list of
properties, which the controller hands back untouched in NXT_RESUME.  To a controller it is opaque; `decode`
and `encode` are for the switch that made it, and for those who show it.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from trunkline.flow.colors import paint_by
from trunkline.openflow import actions as a
from trunkline.openflow.action_effects import ANY_PACKETS, Packets, packets_after
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.actions_wire import decode_instructions, encode_instructions
from trunkline.openflow.control import Encoded
from trunkline.openflow.messages import PacketIn
from trunkline.openflow.properties import number, pack_property, properties
from trunkline.openflow.style import Style, c_hex
from trunkline.openflow.wire import DecodeError, Envelope, Protocol


class Unfinished(NamedTuple):
    """Actions still to be done on behalf of a flow of `table` with `cookie`."""

    table: int
    cookie: int
    actions: tuple[Action, ...]


class Continuation(NamedTuple):
    """`bridge` is the UUID of the bridge's row as a number; `stack` has what was pushed, the top first.

    `mirrors` are bits of mirrors done; `unfinished` is what comes next, in order, then `action_set`.
    `datapath_port` is where the packet came into the datapath.
    """

    bridge: int | None = None
    stack: tuple[bytes, ...] = ()
    mirrors: int = 0
    conntracked: bool = False
    unfinished: tuple[Unfinished, ...] = ()
    action_set: tuple[Action, ...] = ()
    datapath_port: int | None = None


class Resume(NamedTuple):
    """NXT_RESUME: the packet-in as the controller got it, changed as it likes, with `continuation` bytes."""

    packet: PacketIn


_BRIDGE, _STACK, _MIRRORS, _CONNTRACKED, _TABLE, _COOKIE, _ACTIONS, _ACTION_SET, _PORT = range(0x8000, 0x8009)
_INSTRUCTIONS: Final = 0x8010
"""What no action of a version can say: instructions, as OpenFlow 1.3 has them.  The original has no word for
these and loses them."""
_OF13: Final = 4
_NO_ACTIONS: Final = (a.WriteActions, a.ClearActions, a.Meter)
_PAD: Final = 4  # bytes before the actions, and before a cookie
_LONGEST_ENTRY: Final = 128  # bytes of a value on the stack


def _uuid_bytes(bridge: int) -> bytes:
    """Four words, each in the order of the host that made it: little-endian."""
    raw = bridge.to_bytes(16, "big")
    return b"".join(raw[at : at + 4][::-1] for at in range(0, 16, 4))


def _actions(value: bytes, version: int) -> tuple[Action, ...]:
    if len(value) < _PAD or (len(value) - _PAD) % 8:
        raise DecodeError("OFPBPC_BAD_LEN")
    return decode_actions(value[_PAD:], version)


def decode(data: bytes, version: int) -> Continuation:
    """The state in a continuation; what is unknown is left out.  Raises DecodeError."""
    state = Continuation()
    table = cookie = 0
    for kind, value in properties(data):
        if kind == _BRIDGE:
            if len(value) != 16:
                raise DecodeError("OFPBPC_BAD_LEN")
            state = state._replace(bridge=int.from_bytes(_uuid_bytes(int.from_bytes(value, "big")), "big"))
        elif kind == _STACK:
            if len(value) > _LONGEST_ENTRY:
                raise DecodeError("OFPBPC_BAD_LEN")
            state = state._replace(stack=(*state.stack, value))
        elif kind == _MIRRORS:
            state = state._replace(mirrors=number(value, 4))
        elif kind == _CONNTRACKED:
            state = state._replace(conntracked=True)
        elif kind == _TABLE:
            table = number(value, 1)
        elif kind == _COOKIE:
            cookie = number(value[_PAD:], 8)
        elif kind == _ACTIONS:
            actions = _actions(value, version)
            state = state._replace(unfinished=(*state.unfinished, Unfinished(table, cookie, actions)))
        elif kind == _INSTRUCTIONS:
            actions = decode_instructions(value[_PAD:], _OF13)
            state = state._replace(unfinished=(*state.unfinished, Unfinished(table, cookie, actions)))
        elif kind == _ACTION_SET:
            state = state._replace(action_set=_actions(value, version))
        elif kind == _PORT:
            state = state._replace(datapath_port=number(value, 4))
    return state


def encode(state: Continuation, version: int, packets: Packets = ANY_PACKETS) -> bytes:
    """`state` as PacketIn.continuation has it; `packets` is what the packet is, for its actions."""
    out = b""
    if state.bridge is not None:
        out += pack_property(_BRIDGE, _uuid_bytes(state.bridge))
    for value in state.stack:
        out += pack_property(_STACK, value)
    if state.mirrors:
        out += pack_property(_MIRRORS, state.mirrors.to_bytes(4, "big"))
    if state.conntracked:
        out += pack_property(_CONNTRACKED, b"")
    table = cookie = 0
    for part in state.unfinished:
        if part.table != table:
            out += pack_property(_TABLE, bytes((part.table,)))
        if part.cookie != cookie:
            out += pack_property(_COOKIE, bytes(_PAD) + part.cookie.to_bytes(8, "big"))
        table, cookie = part.table, part.cookie
        out += b"".join(_encode_part(part.actions, version, packets))
        packets = packets_after(part.actions, packets)
    if state.action_set:
        out += pack_property(_ACTION_SET, bytes(_PAD) + encode_actions(state.action_set, version, packets))
    if state.datapath_port is not None:
        out += pack_property(_PORT, state.datapath_port.to_bytes(4, "big"))
    return out


def _encode_part(actions: tuple[Action, ...], version: int, packets: Packets) -> Iterator[bytes]:
    """Properties for actions; notes are for whoever reads flows."""
    kept = [_as_action(action) for action in actions if not isinstance(action, a.Note)]
    for outside, some in groupby(kept, lambda action: isinstance(action, _NO_ACTIONS)):
        if outside:
            for action in some:
                body = encode_instructions((action,), _OF13, packets)
                yield pack_property(_INSTRUCTIONS, bytes(_PAD) + body)
        else:
            apply = tuple(some)
            yield pack_property(_ACTIONS, bytes(_PAD) + encode_actions(apply, version, packets))
            packets = packets_after(apply, packets)


def _as_action(action: Action) -> Action:
    """The action that does what an instruction does, if there is one."""
    if isinstance(action, a.WriteMetadata):
        return a.SetField("metadata", action.value & action.mask, action.mask)
    return action


def uuid_text(uuid: int) -> str:
    digits = f"{uuid:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def continuation_text(state: Continuation, style: Style) -> str:
    """A line for each part of the state that is there."""
    lines = []
    if state.bridge is not None:
        lines.append(f"bridge={uuid_text(state.bridge)}")
    if state.stack:
        values = " ".join(c_hex(int.from_bytes(value, "big")) for value in state.stack)
        lines.append(f"stack=(top) {values} (bottom)")
    if state.mirrors:
        lines.append(f"mirrors=0x{state.mirrors:x}")
    if state.conntracked:
        lines.append("conntracked=true")
    if state.unfinished:
        words = []
        for table, cookie, actions in state.unfinished:
            words.append(_unroll_text(table, cookie, style))
            if actions:
                words.append(format_actions(actions, style))
        lines.append(f"actions={','.join(words)}")
    if state.action_set:
        lines.append(f"action_set={format_actions(state.action_set, style)}")
    if state.datapath_port is not None:
        lines.append(f"odp_port={state.datapath_port}")
    return "".join(f" continuation.{line}\n" for line in lines)


def _unroll_text(table: int, cookie: int, style: Style) -> str:
    text = f"unroll_xlate(table={table}, cookie={cookie})"
    colors = style.context.colors
    if colors is None:
        return text
    return paint_by(re.compile(r"(?P<pr>^\w+\(|\)$)|(?P<sp>table=)|(?P<pm>cookie=)"), text, colors)


def _decode_resume(envelope: Envelope) -> Resume:
    from trunkline.openflow.packets import decode_packet_properties

    return Resume(decode_packet_properties(envelope.body, envelope.version))


def _encode_resume(protocol: Protocol, resume: Resume) -> Encoded:
    from trunkline.openflow.packets import encode_packet_properties

    return "NXT_RESUME", encode_packet_properties(resume.packet, protocol.version, resume=True)


def _text_resume(resume: Resume, version: int, style: Style) -> str:
    from trunkline.openflow.packets import TEXT as PACKET_TEXT

    return PACKET_TEXT[PacketIn](resume.packet, version, style)


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {"RESUME": _decode_resume}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {Resume: _encode_resume}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {Resume: _text_resume}
