"""What a datapath does with tunnels: headers before a packet, off a packet, and packets through the host's
tunnels.

A packet that goes into a tunnel is completed first (packet/segment.py), for nobody can do that once there is
another header around it.
"""

from collections.abc import Iterator
from typing import Final

from trunkline.dpif import actions as dp
from trunkline.dpif.provider import TunnelPort
from trunkline.flow import key as layout
from trunkline.flow.hashes import five_tuple
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.packet import tunnels as outer
from trunkline.packet.packet import Packet
from trunkline.packet.rewrite import moved
from trunkline.packet.segment import complete, is_inside_tunnel
from trunkline.sim.parts import Owner, SimPort

TUNNEL: Final = outer.TUNNEL
_PORT: Final = layout.OFFSET["dp_in_port"]
_BESIDE: Final = layout.bits("skb_priority", "pkt_mark")  # what a packet keeps from one header to the next
_OUTSIDE: Final = _BESIDE | layout.bits("dp_in_port", "recirc_id", "dp_hash")
_PACKET_TYPE: Final = layout.OFFSET["packet_type"]
_PACKET_TYPE_MASK: Final = layout.MASK["packet_type"]
_ETHERNET: Final = 14


def source_port(sim: Owner, key: int) -> int:
    """The UDP port that stands for the flow inside."""
    low, high = sim.source_ports
    return (five_tuple(key) * (high - low) >> 32) + low


def _inner(packet: Packet, key: int) -> Iterator[bytes]:
    """What goes into the tunnel: without the place of an Ethernet header that is not there."""
    bare = key & _PACKET_TYPE_MASK
    for frame in complete(packet):
        yield frame[_ETHERNET:] if bare else frame


def push(
    sim: Owner, packet: Packet, key: int, action: dp.TunnelPush, number: int
) -> Iterator[tuple[Packet, int]]:
    """The outer packets and their keys; `number` is the UDP port that they are sent from."""
    port = sim.port(action.port)
    counted = outer.is_sequenced(action.header)
    for frame in _inner(packet, key):
        sequence = 0
        if port is not None:
            sequence = port.next_number() if counted else 0
            port.packets_out += 1
            port.bytes_out += len(frame)
        for outside in outer.push_all(action.header, frame, number, sequence):
            yield Packet(outside), sim.key_of(outside, 0) | key & _OUTSIDE


def pop(sim: Owner, packet: Packet, key: int, number: int) -> Iterator[tuple[Packet, int]]:
    """The packets inside, and their keys as ones that came in on the tunnel's port; none if that fails."""
    port = sim.port(number)
    if port is None or port.tunnel is None:
        sim.reasons.invalid_tnl_port.total += 1
        return
    for popped in _popped(port, port.tunnel, packet):
        if popped is None:
            port.dropped += 1
            sim.reasons.tunnel_pop_error.total += 1
        elif popped is not outer.KEPT:
            yield Packet(popped.frame, popped.offload), came_out(sim, port, popped, key & _BESIDE)


def _popped(port: SimPort, tunnel: TunnelPort, packet: Packet) -> Iterator[outer.Popped | None]:
    """What lies inside; None for what cannot be understood.

    A large segment that had got its headers before it was cut stays whole, if they have no checksum.
    """
    frame, offload = packet
    if offload is not None and is_inside_tunnel(packet):
        popped = outer.pop(tunnel.type, frame, tunnel.extensions)
        if popped is not None and popped is not outer.KEPT:
            yield popped._replace(offload=moved(offload, len(popped.frame) - len(frame)))
            return
    for part in complete(packet):
        yield outer.pop(tunnel.type, part, tunnel.extensions, port.pieces)


def came_out(sim: Owner, port: SimPort, popped: outer.Popped, beside: int) -> int:
    """The key of a packet that came out of a tunnel."""
    port.packets_in += 1
    port.bytes_in += len(popped.frame)
    kind = (1 << 16 | popped.carries) << _PACKET_TYPE if popped.carries else 0
    return sim.key_of(popped.frame, port.number) | popped.key | beside | kind


def send(sim: Owner, port: SimPort, packet: Packet, key: int) -> None:
    """Through a tunnel of the host's own, if there is one."""
    if port.send_tunneled is None:
        port.dropped += 1
        return
    number = source_port(sim, key)
    counted = port.tunnel is not None and TUNNEL_TYPES[port.tunnel.type].numbered
    counted |= bool(layout.get(key, "tunnel_flags") & layout.TUN_SEQ)
    for frame in _inner(packet, key):
        if port.send_tunneled(frame, key, number, port.next_number() if counted else 0):
            port.packets_out += 1
            port.bytes_out += len(frame)
        else:
            port.unsent += 1
            sim.reasons.tunnel_push_error.total += 1
