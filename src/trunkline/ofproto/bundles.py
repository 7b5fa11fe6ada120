"""Bundles: messages that are carried out together, or not at all (OpenFlow 1.4.1 section 6.9).

A bundle is opened, filled and committed on one connection.  Its messages are only kept until the commit; then
each is carried out in order, within one call, so that no packet and no statistics see a part of them.  The
first that is refused undoes the ones before it: the flow tables take their steps back, ports get their bits
back, and nobody is told of flows that were never removed.  Packets of packet-outs leave after all the rest.
"""

from collections.abc import Callable
from typing import Final

from trunkline.model import openflow as of
from trunkline.ofproto import group_mods
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Bundle, Client
from trunkline.ofproto.flow_mods import Refused
from trunkline.openflow import messages as m
from trunkline.openflow.connection import Received
from trunkline.openflow.groups import GroupMod

Step = Callable[[Bridge, Client, m.Message], list[m.FlowRemoved]]
"""Carries out one message and returns what controllers are to be told; raises Refused."""

_FLAGS: Final = of.OFPBF_ATOMIC | of.OFPBF_ORDERED
_ADD_HEADER: Final = 16  # bytes of an add before the message that it carries


def control(
    bridge: Bridge, client: Client, received: Received, message: m.BundleControl, step: Step
) -> m.BundleControl:
    """Opens, closes, commits or discards.  Raises Refused."""
    now = bridge.clock.monotonic()
    bundles = client.bundles
    bundle = bundles.get(message.bundle)
    match message.type:
        case of.OFPBCT_OPEN_REQUEST:
            if bundle is not None:
                del bundles[message.bundle]
                raise Refused("OFPBFC_BAD_ID")
            bundles[message.bundle] = Bundle(message.flags, received, now)
        case of.OFPBCT_CLOSE_REQUEST:
            if bundle is None:
                raise Refused("OFPBFC_BAD_ID")
            if bundle.closed or bundle.flags != message.flags:
                del bundles[message.bundle]
                raise Refused("OFPBFC_BUNDLE_CLOSED" if bundle.closed else "OFPBFC_BAD_FLAGS")
            bundle.closed = True
            bundle.used = now
        case of.OFPBCT_COMMIT_REQUEST:
            if bundle is None:
                raise Refused("OFPBFC_BAD_ID")
            del bundles[message.bundle]
            if bundle.flags != message.flags:
                raise Refused("OFPBFC_BAD_FLAGS")
            _commit(bridge, client, bundle, step)
        case of.OFPBCT_DISCARD_REQUEST:
            if bundle is None:
                raise Refused("OFPBFC_BAD_ID")
            del bundles[message.bundle]
        case _:
            raise Refused("OFPBFC_BAD_TYPE")
    return m.BundleControl(message.bundle, message.type + 1, 0)


def add(bridge: Bridge, client: Client, received: Received, message: m.BundleAdd) -> None:
    """Takes a message up; a bundle that was not opened comes to be.  Raises Refused."""
    bundle = client.bundles.get(message.bundle)
    if bundle is None:
        bundle = client.bundles[message.bundle] = Bundle(message.flags, received, bridge.clock.monotonic())
    elif bundle.closed:
        del client.bundles[message.bundle]
        raise Refused("OFPBFC_BUNDLE_CLOSED")
    elif bundle.flags != message.flags:
        del client.bundles[message.bundle]
        raise Refused("OFPBFC_BAD_FLAGS")
    if not isinstance(message.message, m.FlowMod | m.PortMod | m.PacketOut | GroupMod):
        raise Refused("OFPBFC_MSG_UNSUP")
    if isinstance(message.message, m.FlowMod):
        bridge.flows.check(message.message, bundled=True)
    bundle.used = bridge.clock.monotonic()
    bundle.messages.append(Received(message.xid, message.message, received.raw[_ADD_HEADER:]))


def _commit(bridge: Bridge, client: Client, bundle: Bundle, step: Step) -> None:
    told: list[m.FlowRemoved] = []
    ports: list[tuple[int, int]] = []
    bridge.flows.begin()
    groups = dict(bridge.groups)
    for received in bundle.messages:
        message = received.message
        if isinstance(message, m.PacketOut):
            continue
        if isinstance(message, m.PortMod) and message.port in bridge.interfaces:
            ports.append((message.port, _port_bits(bridge, message.port)))
        bridge.flows.author = client, received.xid
        try:
            told += step(bridge, client, message)
        except Exception as error:
            bridge.flows.roll_back()
            group_mods.restore(bridge, groups)
            for port, bits in reversed(ports):
                bridge.set_port_bits(port, bits, 0xFFFFFFFF)
            if not isinstance(error, Refused):  # one of ours
                raise
            client.connection.refuse(received, error.error)
            raise Refused("OFPBFC_MSG_FAILED") from None
    bridge.flows.commit()
    if bridge.flows.journal is not None:
        kept = [one for one in bundle.messages if not isinstance(one.message, m.PacketOut)]
        bridge.flows.journal.bundle(kept, bridge.clock.monotonic())
    for received in bundle.messages:
        if isinstance(received.message, GroupMod):
            bridge.clients.forward(client, received.message)
    for removed in told:
        bridge.clients.tell(removed)
    for received in bundle.messages:
        if isinstance(received.message, m.PacketOut):
            step(bridge, client, received.message)


def _port_bits(bridge: Bridge, ofport: int) -> int:
    """The port's OFPPC_* bits, as a port-mod would set them."""
    port = bridge.interfaces[ofport]
    return port.config | (0 if port.admin_up else of.OFPPC_PORT_DOWN)
