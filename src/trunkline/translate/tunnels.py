"""Packets that go into tunnels and come out of them.

**Out.** The tunnel's settings and what the flow says make the tunnel's fields (`_fields`).  Then one of two
ways:

- *set*: the datapath is told the fields and does the rest.
- *push*: the switch looks up route and neighbour, writes the headers, and walks the outer packet through the
  bridge that it leaves the host by, as one that its own port sends.

**In.** A packet to the host's own port of a bridge, with the addresses of a tunnel that is there, is taken
out of its headers (`terminate`) and comes up again, or hits a megaflow, as one that came in on the tunnel.
Answers of neighbours that pass there are learned.
"""

from typing import Any, Final

from trunkline.base.addresses import MAPPED, format_address, format_mac, is_mapped
from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.model.tunnels import LEGACY_L3, NUMBER_OVER, TCP, TUNNEL_TYPES, UDP
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import port_token
from trunkline.ofproto.ports import OfPort
from trunkline.ofproto.tunnel_options import FIELDS, RAW
from trunkline.ofproto.tunnel_settings import INHERIT, TunnelSettings
from trunkline.ofproto.tunnels import neighbour_token, routes_token, tunnels_token
from trunkline.packet.tunnels import TUNNEL, Kind, Outer, header, may_carry, outer_ends, outer_of
from trunkline.proto.routes import Route
from trunkline.translate.action_set import UNSET, end
from trunkline.translate.commit import flat
from trunkline.translate.encap import push_ethernet
from trunkline.translate.result import BRIDGE, CountReceived, CountSent, LearnNeighbour, Node, Solicit
from trunkline.translate.walk import MAX_DEPTH, NO_COOKIE, PACKET, Walk

_IN_PORT: Final = layout.OFFSET["in_port"]
_TYPE: Final = layout.OFFSET["dl_type"]
_PACKET_TYPE: Final = layout.MASK["packet_type"]
_PACKET_TYPE_AT: Final = layout.OFFSET["packet_type"]
_MARK: Final = layout.MASK["pkt_mark"]
_MARK_AT: Final = layout.OFFSET["pkt_mark"]
_ID: Final = layout.MASK["tun_id"]
_ENDS: Final = layout.bits("tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst")
_FLAGS: Final = layout.OFFSET["tunnel_flags"]
_SETTLED: Final = (layout.TUN_DF | layout.TUN_CSUM | layout.TUN_KEY) << _FLAGS
_LOOKED_AT: Final = _ENDS | _ID | layout.bits("tun_tos") | _SETTLED
"""What decides about a packet that comes out of a tunnel."""
_OPTIONS: Final = layout.bits("tun_metadata", "tun_metadata_present")
_SET: Final = TUNNEL & ~_OPTIONS  # what a datapath is told
_TOS: Final = layout.OFFSET["nw_tos"]
_TTL: Final = layout.OFFSET["nw_ttl"]
_ECN: Final = 3
_CE: Final = 3
_IP_TYPES: Final = (0x0800, 0x86DD)
_ARP: Final = 0x0806
_REPLY: Final = 2
_ICMPV6: Final = 58
_ADVERTISEMENT: Final = 136
_FROM_INSIDE: Final = layout.bits("skb_priority", "pkt_mark")
_ERSPAN: Final = (
    ("erspan_version", "tun_erspan_ver"),
    ("erspan_index", "tun_erspan_idx"),
    ("erspan_direction", "tun_erspan_dir"),
    ("erspan_hardware", "tun_erspan_hwid"),
)


# ---- out


def send_tunneled(x: Walk, port: int, interface: OfPort, settings: TunnelSettings) -> None:
    """Output to a tunnel.  What its settings change of the flow's tunnel fields is forgotten after it."""
    x.reads.append(tunnels_token())
    before = x.key & TUNNEL
    _fields(x, settings)
    if not x.key & _ENDS or (x.key ^ x.arrived) & layout.bits("tun_dst", "tun_ipv6_dst") == 0:
        x.warn("Not tunneling to our own address")
        x.key = x.key & ~TUNNEL | before
        return
    if not _may_carry(x, settings):
        x.key = x.key & ~TUNNEL | before
        return
    x.effects.append(CountSent(x.bridge.patch_counters[port]))
    tunnels = x.bridge.fabric.tunnels
    if not tunnels.pushes or settings.secret or not _push(x, interface, settings):
        _set(x, interface, settings)
    x.key = x.key & ~TUNNEL | before


def _may_carry(x: Walk, settings: TunnelSettings) -> bool:
    bare = x.key >> _PACKET_TYPE_AT & 0xFFFF
    if settings.type == "stt" and bare:
        x.warn("Trying to send non-Ethernet packet through an stt tunnel. Dropping packet.")
        return False
    kind = bare or (x.key >> _TYPE & 0xFFFF if settings.mode == LEGACY_L3 else 0)
    if may_carry(settings.type, settings.extensions, kind):
        return True
    what = f"packets of type {kind:#06x}" if kind else "Ethernet frames"
    x.warn(f"{settings.type} tunnels carry no {what}. Dropping packet.")
    return False


def _address_bits(address: int, four: str, six: str) -> int:
    if is_mapped(address):
        return (address & 0xFFFFFFFF) << layout.OFFSET[four]
    return address << layout.OFFSET[six]


def _fields(x: Walk, settings: TunnelSettings) -> None:
    """Writes the tunnel's fields."""
    key = x.key
    if settings.local is not None:
        key &= ~layout.bits("tun_src", "tun_ipv6_src")
        key |= _address_bits(settings.local, "tun_src", "tun_ipv6_src")
    if settings.remote is not None:
        key &= ~layout.bits("tun_dst", "tun_ipv6_dst")
        key |= _address_bits(settings.remote, "tun_dst", "tun_ipv6_dst")
    if settings.out_key is not None:
        key = layout.put(key, "tun_id", settings.out_key)
    if settings.mark is not None:
        x.look(_MARK)
        x.fresh &= ~_MARK
        key = layout.put(key, "pkt_mark", settings.mark)
    tos, ttl = settings.tos, settings.ttl
    is_ip = key >> _TYPE & 0xFFFF in _IP_TYPES
    if is_ip:
        x.look(_ECN << _TOS)
        inner = key >> _TOS & 0xFF
        if tos == INHERIT:
            x.look(0xFC << _TOS)
            tos = inner & 0xFC
        if ttl == INHERIT:
            x.look(0xFF << _TTL)
            ttl = key >> _TTL & 0xFF
        tos = tos & 0xFC | (2 if inner & _ECN == _CE else inner & _ECN)  # RFC 6040: CE goes in as ECT(0)
    key = layout.put(key, "tun_tos", 0 if tos == INHERIT else tos)
    key = layout.put(key, "tun_ttl", 64 if ttl == INHERIT else ttl)
    flags = layout.get(key, "tunnel_flags") & layout.TUN_OAM
    flags |= layout.TUN_DF if settings.dont_fragment else 0
    flags |= layout.TUN_CSUM if settings.csum else 0
    flags |= layout.TUN_KEY if settings.has_out_key else 0
    flags |= layout.TUN_SEQ if settings.sequence else 0
    key = layout.put(key, "tunnel_flags", flags)
    key = layout.put(key, "tun_tp_src", 0)
    key = layout.put(
        key, "tun_tp_dst", settings.destination if TUNNEL_TYPES[settings.type].port is not None else 0
    )
    if settings.type == "geneve":
        key &= ~RAW
        if key & FIELDS:
            x.look(FIELDS)
            key |= x.bridge.flows.options.pack(key)
    if TUNNEL_TYPES[settings.type].erspan:
        for name, field in _ERSPAN:
            value = getattr(settings, name)
            if value is not None:
                key = layout.put(key, field, value)
    x.key = key


def _set(x: Walk, interface: OfPort, settings: TunnelSettings) -> None:
    """The datapath carries it."""
    assert interface.datapath_port is not None
    x.note("output to kernel tunnel")
    cut = (dp.Truncate(x.truncate),) if x.truncate else ()
    if (x.key ^ x.base) & _SET:
        x.out.append(dp.Set(x.key & _SET, _SET))
        x.base = x.base & ~_SET | x.key & _SET
    x.commit()
    output = dp.Output(interface.datapath_port)
    if settings.mode == LEGACY_L3 and not x.key & _PACKET_TYPE:
        x.out.append(dp.Clone((*cut, dp.PopEth(), output)))
    else:
        x.out += (*cut, output)


def _push(x: Walk, interface: OfPort, settings: TunnelSettings) -> bool:
    """The switch writes the headers.  False: the way is not through a bridge, but the datapath knows one."""
    tunnels = x.bridge.fabric.tunnels
    local, destination = outer_ends(x.key)
    x.reads.append(routes_token())
    routes = tunnels.shared.routes
    route = routes.lookup(destination, (x.key & _MARK) >> _MARK_AT)
    bridge = x.bridge.fabric.bridges.get(route.device) if route is not None else None
    own = bridge.interfaces.get(of.OFPP_LOCAL) if bridge is not None else None
    if route is None or bridge is None or own is None or not _may_send_from(x, route, local):
        if interface.datapath_port in tunnels.hosted:
            return False
        x.note("output to native tunnel")
        x.commit()
        x.warn("native tunnel routing failed")
        return True
    x.note("output to native tunnel")
    x.commit()
    x.reads.append(port_token(bridge.name, of.OFPP_LOCAL))
    next_hop = route.gateway or destination
    x.note(f"tunneling to {format_address(next_hop)} via {bridge.name}")
    source = local or route.source
    x.reads.append(neighbour_token(bridge.name, next_hop))
    mac = tunnels.shared.neighbours.lookup(bridge.name, next_hop)
    if mac is None:
        question = "ARP" if is_mapped(next_hop) else "ND"
        x.note(
            f"neighbor cache miss for {format_address(next_hop)} on bridge {bridge.name}, "
            f"sending {question} request"
        )
        x.effects.append(Solicit(bridge, next_hop, source, own.mac))
        return True
    x.note(
        f"tunneling from {format_mac(own.mac)} {format_address(source)} to "
        f"{format_mac(mac)} {format_address(next_hop)}"
    )
    if TUNNEL_TYPES[settings.type].erspan and layout.get(x.key, "tun_erspan_ver") not in (1, 2):
        x.warn("native tunnel header build failed")
        return True
    _push_header(x, interface, settings, bridge, own, Outer(own.mac, mac, source, destination))
    return True


def _may_send_from(x: Walk, route: Route, local: int) -> bool:
    """Whether an address that is asked for is one of the host's."""
    addresses = x.bridge.fabric.tunnels.shared.routes.addresses.get(route.device, ())
    return not local or local == route.source or any(one.value == local for one in addresses)


def _push_header(
    x: Walk, interface: OfPort, settings: TunnelSettings, bridge: Bridge, own: OfPort, outer: Outer
) -> None:
    assert interface.datapath_port is not None
    assert own.datapath_port is not None
    bare = bool(x.key & _PACKET_TYPE)
    carries = 0
    actions: list[Any] = [dp.Truncate(x.truncate)] if x.truncate else []
    if bare:
        carries = x.key >> _PACKET_TYPE_AT & 0xFFFF
    elif settings.mode == LEGACY_L3:
        carries = x.key >> _TYPE & 0xFFFF
        actions.append(dp.PopEth())
    kind = Kind(settings.type, settings.destination, settings.sequence, settings.extensions, carries)
    row = TUNNEL_TYPES[settings.type]
    headers = header(kind, outer, x.key)
    number = NUMBER_OVER[row.number][6 if not is_mapped(outer.destination) else 4]
    actions.append(dp.TunnelPush(interface.datapath_port, number, headers, own.datapath_port))
    inside = _walk_outside(x, bridge, _outer_key(headers, x.key))
    if inside:
        x.out.append(dp.Clone((*actions, *inside)))


def _outer_key(headers: bytes, key: int) -> int:
    """The key of the outer packet: what is known of it before it is made."""
    outer = outer_of(headers)
    six = headers[12] == 0x86
    fields: dict[str, int] = {
        "dl_src": outer.source_mac,
        "dl_dst": outer.destination_mac,
        "dl_type": 0x86DD if six else 0x0800,
        "net_src": outer.source if six else outer.source & 0xFFFFFFFF,
        "net_dst": outer.destination if six else outer.destination & 0xFFFFFFFF,
        "nw_tos": (headers[14] << 4 | headers[15] >> 4) & 0xFF if six else headers[15],
        "nw_ttl": headers[21] if six else headers[22],
        "nw_proto": headers[20] if six else headers[23],
    }
    if fields["nw_proto"] in (TCP, UDP):
        at = 54 if six else 34
        fields["tp_dst"] = int.from_bytes(headers[at + 2 : at + 4], "big")
    value, _ = layout.pack(fields)
    return value | key & _FROM_INSIDE


def _walk_outside(x: Walk, bridge: Bridge, key: int) -> tuple[Any, ...]:
    """What the bridge does with the outer packet, which comes from its own port."""
    saved = (
        x.bridge, x.key, x.base, x.fresh, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.exit,
        x.conntracked, x.was_mpls, x.reason, x.truncate, x.out, x.arrived, x.pending, x.tracked,
    )  # fmt: skip
    if x.why is not None:
        node = Node(BRIDGE, f'bridge("{bridge.name}")', bridge.name)
        x.why.append(node)
        x.why = node.children
    x.bridge, x.stack, x.action_set, x.exit, x.cookie = bridge, (), (), False, NO_COOKIE
    x.base = key & PACKET
    x.key = x.base | of.OFPP_LOCAL << _IN_PORT | UNSET
    x.fresh = x.fresh & _FROM_INSIDE
    x.conntracked, x.was_mpls, x.reason, x.truncate, x.out, x.arrived = False, False, of.OFPR_ACTION, 0, [], 0
    x.pending, x.tracked = None, False
    if x.depth < MAX_DEPTH:
        x.depth += 1
        x.misses = True
        x.visit(x, 0, x.key)
        end(x)
        x.depth -= 1
    else:
        x.error(f"over max translation depth {MAX_DEPTH}")
    inside = flat(x.out)
    x.failure = ""
    (
        x.bridge, x.key, x.base, x.fresh, x.table, x.rule, x.cookie, x.why, x.stack, x.action_set, x.exit,
        x.conntracked, x.was_mpls, x.reason, x.truncate, x.out, x.arrived, x.pending, x.tracked,
    ) = saved  # fmt: skip
    return inside


# ---- in


def receive_tunneled(x: Walk, port: int) -> bool:
    """A packet has come out of a tunnel.  False: it is to be dropped."""
    x.effects.append(CountReceived(x.bridge.patch_counters[port]))
    x.reads.append(tunnels_token())
    if not x.key & _ENDS:
        return True  # only thought of
    x.look(_LOOKED_AT)
    interface = x.bridge.interfaces[port]
    if interface.tunnel is not None and interface.tunnel.type == "geneve" and not _take_options(x):
        return False
    if x.key >> _TYPE & 0xFFFF in _IP_TYPES and layout.get(x.key, "tun_tos") & _ECN == _CE:
        x.look(_ECN << _TOS)
        if not x.key >> _TOS & _ECN:
            return False  # congestion was met, and whoever is inside would not hear of it (RFC 6040)
        x.fresh &= ~(_ECN << _TOS)
        x.key |= _CE << _TOS
    if x.key & _PACKET_TYPE and interface.tunnel is not None and interface.tunnel.mode == LEGACY_L3:
        push_ethernet(x)
    return True


def _take_options(x: Walk) -> bool:
    """The options that the packet brought are fields from now on.  False: they make no sense."""
    options = x.bridge.flows.options
    x.wild |= options.raw_mask(x.key, 0) & x.fresh
    found, sense = options.unpack(x.key)
    x.key |= found
    return sense


def terminate(x: Walk, interface: OfPort) -> bool:
    """A packet to a bridge's own port: True if it was for a tunnel and has gone there."""
    tunnels = x.bridge.fabric.tunnels
    if not tunnels.pushes or x.key & _PACKET_TYPE:
        return False
    x.reads.append(tunnels_token())
    if not tunnels.vports:
        return False
    x.reads.append(routes_token())
    addresses = tunnels.shared.routes.addresses.get(interface.name, ())
    if not addresses:
        return False
    _snoop(x, interface)
    x.look(layout.MASK["dl_dst"])
    if layout.get(x.key, "dl_dst") != interface.mac or layout.get(x.key, "vlan_tci"):
        return False
    kind = x.key >> _TYPE & 0xFFFF
    if kind not in _IP_TYPES:
        return False
    x.look(layout.MASK["net_dst"])
    destination = layout.get(x.key, "net_dst")
    if kind == 0x0800:
        destination = MAPPED | destination & 0xFFFFFFFF
    if all(address.value != destination for address in addresses):
        return False
    x.look(layout.bits("nw_proto", "nw_frag"))
    protocol = layout.get(x.key, "nw_proto")
    if layout.get(x.key, "nw_frag"):
        return False
    number = 0
    if protocol == UDP or (protocol == TCP and tunnels.listens(TCP)):
        x.look(layout.MASK["tp_dst"])
        number = layout.get(x.key, "tp_dst")
    vport = tunnels.listener(protocol, number)
    if vport is None:
        return False
    x.commit()
    x.out.append(dp.TunnelPop(vport.number))
    return True


def _snoop(x: Walk, interface: OfPort) -> None:
    """Learns who answers."""
    kind = x.key >> _TYPE & 0xFFFF
    if kind == _ARP:
        x.look(layout.bits("nw_proto"))
        if layout.get(x.key, "nw_proto") == _REPLY:
            x.look(layout.bits("arp_spa", "arp_sha"))
            address, mac = MAPPED | layout.get(x.key, "arp_spa"), layout.get(x.key, "arp_sha")
            x.effects.append(LearnNeighbour(x.bridge, address, mac))
    elif kind == 0x86DD:
        x.look(layout.bits("nw_proto"))
        if layout.get(x.key, "nw_proto") != _ICMPV6:
            return
        x.look(layout.bits("icmp_type", "icmp_code"))
        if layout.get(x.key, "icmp_type") == _ADVERTISEMENT and not layout.get(x.key, "icmp_code"):
            x.look(layout.bits("nd_target", "nd_tll"))
            mac = layout.get(x.key, "nd_tll")
            if mac:
                x.effects.append(LearnNeighbour(x.bridge, layout.get(x.key, "nd_target"), mac))
