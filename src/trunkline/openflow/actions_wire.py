"""Instructions on the wire, and the actions in them.

From 1.1 on actions come inside *instructions* (apply, write, goto, ...).  In Trunkline there is one tuple:
an apply-actions instruction dissolves into its actions, the others are records beside them."""

from struct import Struct
from typing import Final

from trunkline.openflow import actions as a
from trunkline.openflow.action_effects import ANY_PACKETS, Packets, packets_after
from trunkline.openflow.action_numbers import BYTE, HEAD, NOTHING, WORD
from trunkline.openflow.action_order import disorder
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.wire import DecodeError

# ---- instructions ----

_INSTRUCTIONS: Final = (a.Meter, a.ClearActions, a.WriteActions, a.WriteMetadata, a.GotoTable)
_METADATA: Final = Struct("!HH4xQQ")


def encode_instructions(actions: tuple[a.Action, ...], version: int, packets: Packets = ANY_PACKETS) -> bytes:
    """Actions as the instructions of 1.1 on, in the order that the specification executes them.

    A meter has no word before 1.3 and is left out there, as in `encode_actions`.
    """
    out = []
    meters: list[a.Action] = []
    apply = [action for action in actions if not isinstance(action, _INSTRUCTIONS)]
    rest = [action for action in actions if isinstance(action, _INSTRUCTIONS)]
    for instruction in rest:
        if isinstance(instruction, a.Meter):
            if version >= 6:
                meters.append(instruction)
            elif version >= 4:
                out.append(WORD.pack(6, 8, instruction.meter))
    if apply or meters:
        body = encode_actions((*meters, *apply), version, packets)
        out.append(HEAD.pack(4, 8 + len(body)) + bytes(4) + body)
    for instruction in rest:
        if isinstance(instruction, a.ClearActions):
            out.append(NOTHING.pack(5, 8))
        elif isinstance(instruction, a.WriteActions):
            body = encode_actions(instruction.actions, version, packets_after(apply, packets))
            if not body:
                continue  # writing nothing is nothing
            out.append(HEAD.pack(3, 8 + len(body)) + bytes(4) + body)
        elif isinstance(instruction, a.WriteMetadata):
            out.append(_METADATA.pack(2, 24, instruction.value, instruction.mask))
        elif isinstance(instruction, a.GotoTable):
            out.append(BYTE.pack(1, 8, instruction.table))
    return b"".join(out)


def decode_instructions(data: bytes, version: int) -> tuple[a.Action, ...]:
    """Instructions as actions, in order of execution.  Raises DecodeError."""
    found: dict[int, tuple[a.Action, ...]] = {}
    position, size = 0, len(data)
    while position < size:
        if size - position < 8:
            raise DecodeError("OFPBIC_BAD_LEN")
        kind, length = HEAD.unpack_from(data, position)
        if length < 8 or length % 8 or position + length > size:
            raise DecodeError("OFPBIC_BAD_LEN")
        if kind in found:
            raise DecodeError("OFPBIC_DUP_INST")
        found[kind] = _decode_instruction(data[position : position + length], kind, length, version)
        position += length
    return tuple(action for kind in (6, 4, 5, 3, 2, 1) for action in found.get(kind, ()))


# What makes no sense in an action set, for it depends on an order or has effects of its own.
_NOT_IN_SET: Final = frozenset(
    (
        *(a.Controller, a.OutputTruncated, a.OutputRegister, a.Enqueue, a.PopQueue, a.StackPush, a.StackPop),
        *(a.FinTimeout, a.Exit, a.Note, a.Conjunction, a.Sample, a.CheckPacketLarger, a.DeleteField, a.Clone),
        *(a.Learn, a.Multipath, a.Bundle, a.Meter),
    )
)


def _decode_action_set(data: bytes, version: int) -> tuple[a.Action, ...]:
    actions = decode_actions(data, version)
    if any(type(action) in _NOT_IN_SET for action in actions):
        raise DecodeError("OFPBAC_BAD_TYPE", "not for an action set")
    wrong = disorder(actions, "write_actions")
    if wrong is not None:
        raise DecodeError(wrong.error, wrong.text)
    return actions


def _decode_instruction(data: bytes, kind: int, length: int, version: int) -> tuple[a.Action, ...]:
    if kind == 4:
        return decode_actions(data[8:], version)
    if kind == 3:
        return (a.WriteActions(_decode_action_set(data[8:], version)),)
    if kind == 0xFFFF:
        raise DecodeError("OFPBIC_BAD_EXPERIMENTER")
    expected = {1: 8, 2: 24, 5: 8, 6: 8}.get(kind)
    if expected is None or (kind == 6 and not 4 <= version <= 5):
        raise DecodeError("OFPBIC_UNKNOWN_INST", f"instruction {kind}")
    if length != expected:
        raise DecodeError("OFPBIC_BAD_LEN")
    if kind == 1:
        return (a.GotoTable(data[4]),)
    if kind == 2:
        return (a.WriteMetadata(*_METADATA.unpack(data)[2:]),)
    if kind == 5:
        return (a.ClearActions(),)
    return (a.Meter(int.from_bytes(data[4:8], "big")),)
