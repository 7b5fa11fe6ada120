"""Packets that leave: to a port of the datapath, or by a patch port into another bridge."""

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.fabric import patch_token, port_token, ports_token
from trunkline.translate.action_set import end
from trunkline.translate.result import BRIDGE, CountPatch, Node, SendToController
from trunkline.translate.walk import IN_PORT, MAX_DEPTH, NO_COOKIE, PACKET, Walk

_IN_PORT_SHIFT = layout.OFFSET["in_port"]


def in_port_of(x: Walk) -> int:
    return (x.key & IN_PORT) >> _IN_PORT_SHIFT


def output(x: Walk, port: int, _: object = None) -> None:
    """Output to an ordinary port, which is not the one that the packet came from."""
    if port == in_port_of(x):
        x.warn("skipping output to input port")
        return
    send(x, port)


def send(x: Walk, port: int) -> None:
    """Output to an interface, whichever it is."""
    x.reads.append(port_token(x.bridge.name, port))
    interface = x.bridge.interfaces.get(port)
    if interface is None:
        x.warn("Nonexistent output port")
        return
    if interface.config & of.OFPPC_NO_FWD:
        x.warn("OFPPC_NO_FWD set, skipping output")
        return
    if interface.datapath_port is None:
        _cross(x, port, interface.peer)
        return
    x.commit()
    x.out.append(dp.Output(interface.datapath_port))


def _cross(x: Walk, port: int, peer: str | None) -> None:
    """Through a patch port: the peer's bridge sees the packet as one that came in there."""
    x.reads.append(patch_token(peer or ""))
    place = x.bridge.fabric.patches.get(peer or "")
    if place is None or place.bridge.interfaces[place.ofport].peer != x.bridge.interfaces[port].name:
        x.warn("Nonexistent output port" if place is None else "no peer")
        return
    if x.depth >= MAX_DEPTH:
        x.error("over max translation depth 64")
        return
    bridge, ofport = place
    x.effects.append(CountPatch(x.bridge.patch_counters[port], bridge.patch_counters[ofport]))
    saved = x.bridge, x.key, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.conntracked, x.exit
    if x.why is not None:
        node = Node(BRIDGE, f'bridge("{bridge.name}")', bridge.name)
        x.why.append(node)
        x.why = node.children
    x.bridge = bridge
    x.stack, x.action_set, x.exit, x.cookie = [], [], False, NO_COOKIE
    x.key = x.key & PACKET | ofport << _IN_PORT_SHIFT
    x.depth += 1
    receive(x)
    end(x)
    x.depth -= 1
    x.bridge, x.key, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.conntracked, x.exit = saved


def receive(x: Walk) -> None:
    """A packet has come into the bridge; if its port lets it, it goes through the tables."""
    port = in_port_of(x)
    x.reads.append(port_token(x.bridge.name, port))
    interface = x.bridge.interfaces.get(port)
    if interface is not None and interface.config & of.OFPPC_NO_RECV:
        x.warn("OFPPC_NO_RECV set, dropping")
        return
    x.visit(x, 0)


def to_in_port(x: Walk, _: object, __: object) -> None:
    send(x, in_port_of(x))


def flood(x: Walk, every: bool, _: object) -> None:
    """OFPP_ALL, or FLOOD, which leaves out ports that have flooding switched off."""
    x.reads.append(ports_token(x.bridge.name))
    came = in_port_of(x)
    for ofport, interface in list(x.bridge.interfaces.items()):
        if ofport != came and (every or not interface.config & of.OFPPC_NO_FLOOD):
            send(x, ofport)


def to_controller(x: Walk, max_length: int, more: tuple[int, int, bytes]) -> None:
    """The datapath hands the packet up as it is at this point; each one, for it is no cached decision."""
    controller_id, reason, userdata = more
    x.commit()
    metadata = x.key & layout.PIPELINE
    what = SendToController(
        x.bridge, reason, x.table, x.cookie, controller_id, max_length, userdata, metadata
    )
    x.out.append(dp.Userspace(what))
