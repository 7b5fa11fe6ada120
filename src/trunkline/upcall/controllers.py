"""Packets that go to controllers, and those that come from them."""

from typing import Final, NamedTuple

from trunkline.dpif.provider import Provider, Upcall
from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.actions import Action
from trunkline.openflow.continuations import Continuation
from trunkline.openflow.messages import PacketIn
from trunkline.packet.packet import Packet
from trunkline.packet.tunnels import TUNNEL
from trunkline.translate.frozen import Frozen
from trunkline.translate.result import Result, SendToController
from trunkline.translate.translate import translate_actions, translate_frozen
from trunkline.upcall.resuming import continuation, framed, thawed
from trunkline.upcall.tracked import RESUMED, pipeline_fields

_PACKET_TYPE: Final = layout.MASK["packet_type"]
_IN_PORT: Final = layout.OFFSET["in_port"]
_IN_PORT_MASK: Final = layout.MASK["in_port"]


def packet_in(upcall: Upcall, what: SendToController, frozen: Frozen | None) -> PacketIn:
    """The message about a packet; `frozen` is the walk that waits for an answer, if one does."""
    frame = upcall.packet.frame
    if upcall.key & _PACKET_TYPE:  # what stands in the place of the Ethernet header (packet/headers.py)
        frame = frame[14:]
    metadata = pipeline_fields(what.bridge.flows.options, what.metadata, upcall.key, tracked=what.conntracked)
    message = PacketIn(frame, metadata, what.reason, what.table, what.cookie, len(frame), what.userdata)
    if frozen is None:
        return message
    return message._replace(continuation=continuation(frozen, upcall.key))


class FromController(NamedTuple):
    """A packet as the datapath gets it, its key, and what is to be done with it."""

    packet: Packet
    key: int
    result: Result


def sent_out(
    provider: Provider, bridge: Bridge, metadata: int, packet: Packet, actions: tuple[Action, ...]
) -> FromController:
    """Of a packet-out; `metadata` are bits of the key."""
    in_port = (metadata & _IN_PORT_MASK) >> _IN_PORT
    interface = bridge.interfaces.get(in_port)
    number = interface.datapath_port if interface is not None else None
    packet, kind = framed(packet, metadata)
    key = provider.key_of(packet.frame, number or 0) | kind
    result = translate_actions(bridge, key | metadata & (layout.PIPELINE | TUNNEL), actions)
    return FromController(packet, key, result)


def resumed(
    provider: Provider, bridge: Bridge, data: bytes, metadata: int, state: Continuation
) -> FromController:
    """Of a packet that goes on where its walk stopped for a controller."""
    frozen, port = thawed(bridge, metadata, state)
    packet, kind = framed(Packet(data), metadata)
    key = provider.key_of(packet.frame, port) | kind | metadata & RESUMED
    return FromController(packet, key, translate_frozen(bridge, key, frozen))
