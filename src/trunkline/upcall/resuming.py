"""Packets that wait at a controller, and go on when it sends them back.

controller(pause) freezes the walk.  What is frozen goes along with the packet as a *continuation*, opaque to
the controller, so that the switch need not remember: whoever sends the packet back with NXT_RESUME, with
metadata changed as it likes, has it go on from there.
"""

from typing import Final

from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.actions import Action
from trunkline.openflow.continuations import Continuation, Unfinished, decode, encode
from trunkline.openflow.messages import PacketIn
from trunkline.translate.frozen import CARRIED, Frozen
from trunkline.translate.result import SendToController, Unroll

VERSION: Final = 4
"""The OpenFlow version in which a continuation has its actions."""
_DP_PORT: Final = layout.OFFSET["dp_in_port"]


def continuation(what: SendToController, frozen: Frozen, key: int) -> bytes:
    """What a paused packet takes along; `key` is the datapath's."""
    unfinished: list[Unfinished] = []
    table, cookie = frozen.table, frozen.cookie
    actions: list[Action] = []
    for action in frozen.actions:
        if isinstance(action, Unroll):
            if actions:
                unfinished.append(Unfinished(table, cookie, tuple(actions)))
            table, cookie = action
            actions = []
        else:
            actions.append(action)
    if actions:
        unfinished.append(Unfinished(table, cookie, tuple(actions)))
    stack = tuple(_octets(value) for value in frozen.stack[::-1])
    state = Continuation(
        None,
        stack,
        0,
        frozen.conntracked,
        tuple(unfinished),
        frozen.action_set,
        key >> _DP_PORT & 0xFFFFFFFF,
    )
    return encode(state, VERSION)


def _octets(value: int) -> bytes:
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")


def thawed(bridge: Bridge, message: PacketIn) -> tuple[Frozen, int]:
    """The walk that a message resumes, and the datapath port of its packet.  Raises DecodeError."""
    state = decode(message.continuation, VERSION)
    actions: list[Action | Unroll] = []
    for table, cookie, rest in state.unfinished:
        actions += [Unroll(table, cookie), *rest]
    first = state.unfinished[0] if state.unfinished else Unfinished(0, 0, ())
    frozen = Frozen(
        bridge.name,
        first.table,
        first.cookie,
        False,
        tuple(actions),
        state.action_set,
        tuple(int.from_bytes(value, "big") for value in state.stack[::-1]),
        message.metadata.value & CARRIED,
        state.conntracked,
    )
    return frozen, state.datapath_port or 0
