"""NORMAL: what an ordinary learning switch does with a packet.

It lets the packet in or not (reserved addresses, the port's VLAN mode), notes where its sender is, and
sends it to where its receiver was last seen, or else to every port that carries its VLAN.
"""

from typing import Final

from trunkline.base.addresses import format_mac
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import bridge_token, mac_token, port_token, ports_token
from trunkline.ofproto.ports import PortConfig
from trunkline.translate.commit import MAX_TAGS
from trunkline.translate.output import in_port_of, send
from trunkline.translate.result import Learn
from trunkline.translate.snooping import snoop, snoops
from trunkline.translate.vlan import Inside, carries, inward, refusal, tags_on_wire
from trunkline.translate.walk import OUTER, VLANS, Walk, tag_bits, tags_of

_ADDRESSES: Final = layout.bits("dl_src", "dl_dst")
_BROADCAST: Final = (1 << 48) - 1
_TYPE: Final = layout.OFFSET["dl_type"]
_SOURCE, _DESTINATION = layout.OFFSET["dl_src"], layout.OFFSET["dl_dst"]

# Addresses that bridges keep to themselves, unless other_config:forward-bpdu says otherwise, as
# (value, mask).  Source: ovs-vswitchd.conf.db(5), and what the original drops.
_RESERVED: Final = (
    (0x0180C2000000, 0xFFFFFFFFFFF0),
    (0x00E02B000000, 0xFFFFFFFFFFFF),
    (0x00E02B000004, 0xFFFFFFFFFFFF),
    (0x00E02B000006, 0xFFFFFFFFFFFF),
    (0x01000C000000, 0xFFFFFFFFFFFF),
    (0x01000CCCCCCC, 0xFFFFFFFFFFFF),
    (0x01000CCCCCCD, 0xFFFFFFFFFFFF),
    (0x01000CCDCDCD, 0xFFFFFFFFFFFF),
    (0x01000CCCCCC0, 0xFFFFFFFFFFF8),
)


_PACKET_TYPE: Final = layout.MASK["packet_type"]
_CONTROLLER: Final = PortConfig("controller", ())
"""Where a controller's own packets come from (in_port CONTROLLER or ANY): a trunk that is no port."""


def is_reserved(mac: int) -> bool:
    return any(mac & mask == value for value, mask in _RESERVED)


def normal(x: Walk, _: object = None, __: object = None) -> None:
    x.look(_ADDRESSES | OUTER)
    bridge = x.bridge
    port = _port_of(x, bridge, in_port_of(x))
    if port is None:
        x.warn("no input bundle, dropping")
        return
    x.reads.append(bridge_token(bridge.name))
    source = x.key >> _SOURCE & _BROADCAST
    destination = x.key >> _DESTINATION & _BROADCAST
    tags = tags_of(x.key)
    if tags:
        x.look(VLANS)
    elif x.key >> _TYPE & 0xFFFF in (0x8100, 0x88A8):  # a tag cut short, or deeper than tags are looked for
        x.error(f"dropping packet with partial VLAN tag received on port {port.name}")
        x.warn("partial VLAN tag, dropping")
        return
    refused = refusal(port, tags)
    if refused is not None:
        x.error(refused)
        x.warn("disallowed VLAN VID for this input port, dropping")
        return
    foreign = port is not _CONTROLLER  # what a controller sends is the bridge's own: nobody is behind it
    if foreign and is_reserved(destination) and not bridge.config.forward_bpdu:
        x.note("packet has reserved destination MAC, dropping")
        return
    inside = inward(port, tags)
    vlan = inside.outer.vid
    learns = foreign and not x.key & _PACKET_TYPE  # else there are no addresses
    if (
        learns
        and x.telling
        and bridge.macs.learnable(vlan, source)
        and _whereabouts(x, bridge, vlan, source) != port.name
    ):
        x.note(f"learned that {format_mac(source)} is on port {port.name} in VLAN {vlan}")
    if learns:
        x.effects.append(Learn(bridge, vlan, source, port.name))
    if bridge.multicast is not None and snoops(bridge, x.key, destination):
        snoop(
            x,
            bridge.multicast,
            port,
            vlan,
            lambda: _flood(x, port, inside),
            lambda target: _to_port(x, port, target, inside),
        )
        return
    x.reads.append(mac_token(bridge.name, vlan, destination))
    target = _whereabouts(x, bridge, vlan, destination)
    if target is None:
        x.note("no learned MAC for destination, flooding")
        _flood(x, port, inside)
    elif target == port.name:
        x.note("learned port is input port, dropping")
    else:
        x.note("forwarding to learned port")
        _to_port(x, port, bridge.ports[target], inside)


def _whereabouts(x: Walk, bridge: Bridge, vlan: int, mac: int) -> str | None:
    """The port behind which an address is; what this very packet has told so far counts."""
    told = x.effects if x.why is None or x.telling else ()  # a trace teaches nothing, as in the original
    for effect in reversed(told):
        if type(effect) is Learn and effect.mac == mac and effect.vlan == vlan and effect.bridge is bridge:
            if bridge.macs.learnable(vlan, mac):
                return effect.port
            break
    entry = bridge.macs.lookup(vlan, mac)
    return entry.port if entry is not None else None


def _port_of(x: Walk, bridge: Bridge, ofport: int) -> PortConfig | None:
    if ofport in (of.OFPP_CONTROLLER, of.OFPP_ANY):
        return _CONTROLLER
    x.reads.append(port_token(bridge.name, ofport))
    if ofport not in bridge.interfaces:
        x.error(f"received packet on unknown port {ofport}")
        return None
    return bridge.port_of.get(ofport)


def _flood(x: Walk, came: PortConfig, inside: Inside) -> None:
    bridge = x.bridge
    x.reads.append(ports_token(bridge.name))
    for port in list(bridge.ports.values()):
        if port is not came and carries(port, inside) and _floodable(bridge, port):
            _to_port(x, came, port, inside)


def _floodable(bridge: Bridge, port: PortConfig) -> bool:
    interfaces = bridge.interfaces
    return not any(
        interfaces[ofport].config & of.OFPPC_NO_FLOOD for ofport in port.interfaces if ofport in interfaces
    )


def _to_port(x: Walk, came: PortConfig, port: PortConfig, inside: Inside) -> None:
    if port.protected and came.protected:
        x.warn("Flow is between protected ports, skipping output.")
        return
    for ofport in port.interfaces:
        x.reads.append(port_token(x.bridge.name, ofport))
    _send(x, port, inside)


def _send(x: Walk, port: PortConfig, inside: Inside) -> None:
    """Out of a port, with the tags that it wants; what follows sees the packet as before."""
    if not port.interfaces:
        return
    saved = x.key
    tags = tags_on_wire(port, inside, tags_of(saved))
    if len(tags) > MAX_TAGS:
        x.error(f"more than {MAX_TAGS} VLAN tags")
        return
    changed = x.key & ~VLANS | tag_bits(tags)
    if changed != saved:
        x.look(VLANS)
        x.key = changed
    send(x, port.interfaces[0])
    x.key = saved
