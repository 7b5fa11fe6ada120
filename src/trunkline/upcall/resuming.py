"""Packets that wait at a controller, and go on when it sends them back.

controller(pause) freezes the walk.  What is frozen goes along with the packet as a *continuation*, opaque to
the controller, so that the switch need not remember: whoever sends the packet back with NXT_RESUME, with
metadata changed as it likes, has it go on from there.  Each controller gets it in its version of OpenFlow.
"""

from typing import Final

from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.actions import Action
from trunkline.openflow.continuations import Continuation, Unfinished
from trunkline.packet.packet import Packet
from trunkline.translate.frozen import CARRIED, Frozen
from trunkline.translate.result import Unroll

_PACKET_TYPE: Final = layout.MASK["packet_type"]
_DP_PORT: Final = layout.OFFSET["dp_in_port"]


def continuation(frozen: Frozen, key: int) -> Continuation:
    """What a paused packet takes along; `key` is the datapath's."""
    unfinished: list[Unfinished] = []
    table = cookie = 0
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
    return Continuation(
        None,
        stack,
        0,
        frozen.conntracked,
        tuple(unfinished),
        frozen.action_set,
        key >> _DP_PORT & 0xFFFFFFFF,
    )


def _octets(value: int) -> bytes:
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")


def thawed(bridge: Bridge, metadata: int, state: Continuation) -> tuple[Frozen, int]:
    """The walk that a controller resumes with `metadata`, bits of the key; and the packet's datapath port."""
    actions: list[Action | Unroll] = []
    place = 0, 0
    for table, cookie, rest in state.unfinished:
        if (table, cookie) != place:
            place = table, cookie
            actions.append(Unroll(table, cookie))
        actions += rest
    frozen = Frozen(
        bridge.name,
        0,
        0,
        False,
        tuple(actions),
        state.action_set,
        tuple(int.from_bytes(value, "big") for value in state.stack[::-1]),
        metadata & CARRIED,
        state.conntracked,
    )
    return frozen, state.datapath_port or 0


def framed(packet: Packet, metadata: int) -> tuple[Packet, int]:
    """A packet from a controller with something in place of an Ethernet header, if `metadata` says that it
    has none; and what the key says of that."""
    kind = metadata & _PACKET_TYPE
    if not kind:
        return packet, 0
    ethertype = layout.get(metadata, "packet_type") & 0xFFFF
    return Packet(bytes(12) + ethertype.to_bytes(2, "big") + packet.frame), kind
