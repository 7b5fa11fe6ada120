"""Packets that leave: to a port of the datapath, or by a patch port into another bridge."""

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.fabric import patch_token, port_token, ports_token
from trunkline.openflow.style import port_text
from trunkline.packet.tunnels import TUNNEL
from trunkline.translate.action_set import UNSET, end
from trunkline.translate.commit import DEEPER, HEADERS, flat
from trunkline.translate.conntrack import FIELDS, clear_fields
from trunkline.translate.fields import write
from trunkline.translate.frozen import again
from trunkline.translate.result import BRIDGE, CountPatch, Node
from trunkline.translate.run import CAREFUL, CURRENT_TABLE, ONWARD
from trunkline.translate.tunnels import receive_tunneled, send_tunneled, terminate
from trunkline.translate.walk import IN_PORT, MAX_DEPTH, MAX_LOOKUPS, NO_COOKIE, PACKET, Walk

_IN_PORT_SHIFT = layout.OFFSET["in_port"]
_PRIORITY = layout.MASK["skb_priority"]
_PRIORITY_SHIFT = layout.OFFSET["skb_priority"]
_PACKET_TYPE = layout.MASK["packet_type"]  # zero: the packet begins with an Ethernet header
_IRREVERSIBLE = HEADERS | {dp.Conntrack, dp.ConntrackClear}
"""What another bridge does to the datapath's packet for good: it gets a copy."""


def in_port_of(x: Walk) -> int:
    return (x.key & IN_PORT) >> _IN_PORT_SHIFT


def output(x: Walk, port: int, _: object = None) -> None:
    """Output to an ordinary port, which is not the one that the packet came from."""
    if port == in_port_of(x):
        x.inform("skipping output to input port")
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
        x.note("OFPPC_NO_FWD set, skipping output")
        return
    if x.key & _PACKET_TYPE and interface.tunnel is None and interface.datapath_port is not None:
        x.warn("Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.")
        return
    if interface.datapath_port is None:
        _cross(x, port, interface.peer)
        return
    if interface.tunnel is not None:
        send_tunneled(x, port, interface, interface.tunnel)
        return
    if port == of.OFPP_LOCAL and terminate(x, interface):
        return
    if x.truncate:
        x.out.append(dp.Truncate(x.truncate))
    x.commit()
    x.out.append(dp.Output(interface.datapath_port))


def _cross(x: Walk, port: int, peer: str | None) -> None:
    """Through a patch port: the peer's bridge sees the packet as one that came in there."""
    x.reads.append(patch_token(peer or ""))
    place = x.bridge.fabric.patches.get(peer or "")
    if place is None or place.bridge.interfaces[place.ofport].peer != x.bridge.interfaces[port].name:
        x.warn("Nonexistent output port" if place is None else "no peer")
        return
    bridge, ofport = place
    x.effects.append(CountPatch(x.bridge.patch_counters[port], bridge.patch_counters[ofport]))
    saved = (
        x.bridge, x.key, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.exit,
        x.conntracked, x.tracked,
    )  # fmt: skip
    mpls, reason, x.was_mpls, x.reason = x.was_mpls, x.reason, False, of.OFPR_ACTION
    if x.why is not None:
        node = Node(BRIDGE, f'bridge("{bridge.name}")', bridge.name)
        x.why.append(node)
        x.why = node.children
    x.bridge = bridge
    x.stack, x.action_set, x.exit, x.cookie = (), (), False, NO_COOKIE
    x.key = x.key & (PACKET | DEEPER) & ~TUNNEL | ofport << _IN_PORT_SHIFT | UNSET
    tracked = x.fresh & (FIELDS | TUNNEL)  # to the peer the packet is untracked, and from no tunnel
    x.fresh &= ~TUNNEL
    x.conntracked = x.tracked = False
    clear_fields(x)
    out, base, pending, x.out = x.out, x.base, x.pending, []
    if mpls:  # what the peer's tables want to know of the packet must be found out first
        again(x, 0)
    elif x.depth < MAX_DEPTH:
        x.depth += 1
        receive(x)
        end(x)
        x.depth -= 1
    else:
        x.error(f"over max translation depth {MAX_DEPTH}")
    x.failure = ""  # what fails there ends there
    if any(type(action) in _IRREVERSIBLE for action in x.out):
        out.append(dp.Clone(flat(x.out)))
        x.base = base
    else:
        out += x.out
    x.out, x.pending = out, pending
    x.fresh = x.fresh & ~(FIELDS | TUNNEL) | tracked
    x.was_mpls, x.reason = mpls, reason
    (
        x.bridge, x.key, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.exit,
        x.conntracked, x.tracked,
    ) = saved  # fmt: skip


def receive(x: Walk) -> None:
    """A packet has come into the bridge; if its port lets it, it goes through the tables."""
    port = in_port_of(x)
    x.reads.append(port_token(x.bridge.name, port))
    interface = x.bridge.interfaces.get(port)
    if interface is not None and interface.config & of.OFPPC_NO_RECV:
        x.warn("OFPPC_NO_RECV set, dropping")
        return
    if interface is not None and interface.tunnel is not None and not receive_tunneled(x, port):
        return
    x.misses = True
    x.visit(x, 0, x.key)


def to_in_port(x: Walk, _: object, __: object) -> None:
    send(x, in_port_of(x))


def flood(x: Walk, every: bool, _: object) -> None:
    """OFPP_ALL, or FLOOD, which leaves out ports that have flooding switched off."""
    x.reads.append(ports_token(x.bridge.name))
    came = in_port_of(x)
    for ofport, interface in list(x.bridge.interfaces.items()):
        if ofport != came and (every or not interface.config & of.OFPPC_NO_FLOOD):
            send(x, ofport)


def resubmit(x: Walk, port: int, table: int, *, misses: bool = False) -> bool | int:
    """Looks the packet up once more, as if it had come in on `port` unless that is OFPP_IN_PORT.

    `misses`: if no rule matches it is a miss of the table, as for goto_table; to resubmit it is nothing.
    """
    if table == CURRENT_TABLE:
        table = x.table
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", f"over max translation depth {MAX_DEPTH}")
    if x.lookups >= MAX_LOOKUPS:
        return x.fail("Too many resubmits", f"over {MAX_LOOKUPS} resubmit actions")
    saved = x.table, x.rule, x.cookie
    deeper = table <= x.table  # only what does not go forward can go round in circles
    x.depth += deeper
    x.misses = misses
    x.visit(x, table, x.key if port == of.OFPP_IN_PORT else x.key & ~IN_PORT | port << _IN_PORT_SHIFT)
    x.depth -= deeper
    x.table, x.rule, x.cookie = saved
    return x.exit or (CAREFUL if x.was_mpls else False)


def onward(x: Walk, port: int, table: int) -> bool | int:
    """`resubmit` as the last step of a rule: `visit`, which runs the rule, goes on there by itself."""
    if x.why is not None or x.depth >= MAX_DEPTH or x.lookups >= MAX_LOOKUPS:
        return resubmit(x, port, table)
    key = x.key if port == of.OFPP_IN_PORT else x.key & ~IN_PORT | port << _IN_PORT_SHIFT
    x.onward = x.table if table == CURRENT_TABLE else table, key
    x.misses = False
    return ONWARD


def goto(x: Walk, table: int, _: object) -> bool:
    resubmit(x, of.OFPP_IN_PORT, table, misses=True)
    return True


def goto_onward(x: Walk, table: int, _: object) -> bool | int:
    """`goto`, which is always the last step of a rule, as `onward` does it."""
    if x.why is not None or x.depth >= MAX_DEPTH or x.lookups >= MAX_LOOKUPS:
        return goto(x, table, None)
    x.onward = table, x.key
    x.misses = True
    return ONWARD


def to_tables(x: Walk, _: object, __: object) -> bool | int:
    """output:TABLE, in a packet-out: as if the packet had just come in."""
    return resubmit(x, of.OFPP_IN_PORT, 0, misses=True)


def truncated(x: Walk, port: int, max_length: int) -> None:
    """output(port=,max_len=): at most that many bytes of the packet."""
    interface = x.bridge.interfaces.get(port)
    x.reads.append(port_token(x.bridge.name, port))
    if interface is None or interface.datapath_port is None:
        x.error(f"output_trunc does not support patch port {port_text(port)}")
        return
    x.truncate = max_length
    output(x, port)
    x.truncate = 0


def queue(x: Walk, number: int, _: object) -> None:
    """set_queue, pop_queue: what leaves from here on goes to that queue of its port."""
    write(x, _PRIORITY, number << _PRIORITY_SHIFT)


def pop_queue(x: Walk, _: object, __: object) -> None:
    before = x.came & _PRIORITY
    if (x.key ^ before) & _PRIORITY:
        write(x, _PRIORITY, before)
        x.note(f"queue = {before >> _PRIORITY_SHIFT:#x}" if before else "queue = 0")


def enqueue(x: Walk, port: int, number: int) -> None:
    """Output to a queue of a port."""
    if port == of.OFPP_IN_PORT:
        port = in_port_of(x)
    elif port == in_port_of(x):
        return
    before = x.key & _PRIORITY
    queue(x, number, None)
    send(x, port)
    write(x, _PRIORITY, before)
