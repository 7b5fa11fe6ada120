"""Packets' keys as text, as parse-pcap and ofproto/trace show them.

A key says something of every field; what is worth printing follows from the packet's types (`flow_mask`), and
is then printed as the match of exactly that (flow/text.py).
"""

from functools import lru_cache
from types import MappingProxyType
from typing import Final

from trunkline.flow.key import FRAG_LATER, OFFSET, TUN_KEY, VIEW, bits, get
from trunkline.flow.match import Match, TunnelOption, satisfied
from trunkline.flow.shape import METADATA, REGISTERS, TUNNEL
from trunkline.flow.text import format_match
from trunkline.flow.values import NO_CONTEXT, TextContext

_IPV4, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_MPLS, _MPLS_MULTICAST, _NSH = 0x8847, 0x8848, 0x894F

# What is printed of any packet; the rest of a key only where it is not zero, or by _PACKET.
_ALWAYS: Final = bits("in_port", "dl_src", "dl_dst", "dl_type", "vlan_tci")
_IP: Final = bits("nw_proto", "nw_tos", "nw_ttl", "nw_frag")
_PACKET: Final = MappingProxyType(
    {
        _IPV4: bits("nw_src", "nw_dst") | _IP,
        _IPV6: bits("ipv6_src", "ipv6_dst", "ipv6_label") | _IP,
        _ARP: bits("arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha"),
        _RARP: bits("arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha"),
        _NSH: _IP | bits(*(name for name in OFFSET if name.startswith("nsh_"))),
    }
)
_IF_SET: Final = (
    *(row.field for row in (*METADATA, *REGISTERS, *TUNNEL) if not row.field.startswith(("ct_", "conj_id"))),
    *("ct_state", "ct_zone", "ct_mark", "ct_label", "metadata", "packet_type", "vlan1_tci"),
)

_ANY_SET: Final = bits(*_IF_SET)


def _label_stack(key: int) -> int:
    """The labels down to the bottom of the stack."""
    mask = 0
    for slot in ("mpls0", "mpls1", "mpls2"):
        mask |= VIEW[slot].mask
        if get(key, slot) & 0x100:
            break
    return mask


_LAYER2: Final = bits("dl_src", "dl_dst", "dl_type", "vlan_tci", "vlan1_tci")


# The tuple of a tracked packet, which is named whole once its protocol is known.
_TRACKED: Final = MappingProxyType(
    {
        _IPV4: bits("ct_nw_src", "ct_nw_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"),
        _IPV6: bits("ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"),
    }
)
_TUNNEL_ENDS: Final = bits("tun_dst", "tun_ipv6_dst")
_TUNNEL_BITS: Final = _TUNNEL_ENDS | bits(
    *("tun_src", "tun_ipv6_src", "tun_gbp_id", "tun_gbp_flags", "tun_tos", "tun_ttl"),
    *("tun_erspan_ver", "tun_gtpu_flags", "tun_gtpu_msgtype", "tun_flags"),
)
# What `flow_mask` depends on; most packets have few kinds of it.
_DECIDING: Final = (
    _ANY_SET
    | _TUNNEL_ENDS
    | bits(
        *("recirc_id", "packet_type", "dl_type", "nw_proto", "nw_frag", "vlan_tci", "ct_nw_proto"),
        *("mpls0", "mpls1", "mpls2", "icmpv6_type", "icmpv6_code"),
    )
)


def flow_mask(key: int) -> int:
    """The bits of a packet's key that say something: what it has, by its types, and metadata that is set."""
    return _mask_of(key & _DECIDING)


@lru_cache(maxsize=1024)
def _mask_of(key: int) -> int:
    """`key` has the bits of _DECIDING."""
    mask = _ALWAYS
    if key & _ANY_SET:  # of most packets none is
        for name in _IF_SET:
            place = VIEW[name].mask
            if key & place:
                mask |= place
    if get(key, "recirc_id"):  # then it is said of what type the packet is
        mask |= VIEW["packet_type"].mask
    if key & _TUNNEL_ENDS:  # a tunnel is there whole, its id only if it was set by the packet's own header
        mask |= _TUNNEL_BITS
        mask &= ~VIEW["tun_id"].mask
    else:
        mask &= ~_TUNNEL_BITS
    packet_type = get(key, "packet_type")
    kind = packet_type & 0xFFFF if packet_type >> 16 == 1 else get(key, "dl_type")
    if get(key, "ct_nw_proto"):
        mask |= _TRACKED.get(kind, 0)
    mask |= _PACKET.get(kind, 0)
    if get(key, "vlan_tci"):
        mask |= VIEW["vlan1_tci"].mask
    else:
        mask &= ~VIEW["vlan1_tci"].mask
    if packet_type:  # no Ethernet header
        if kind == _NSH and not get(key, "dl_type"):  # nor has one been taken off
            mask &= ~_PACKET[_NSH]
        mask = mask & ~_LAYER2 | VIEW["packet_type"].mask
    if kind in (_MPLS, _MPLS_MULTICAST):
        mask |= _label_stack(key)
    if get(key, "nw_frag") & FRAG_LATER or kind not in (_IPV4, _IPV6):
        return mask
    protocol = get(key, "nw_proto")
    if protocol in (1, 2, 6, 17, 58, 132):
        mask |= bits("tp_src", "tp_dst")
    if protocol == 6:
        mask |= VIEW["tcp_flags"].mask
    elif protocol == 58 and satisfied(Match(key, -1), "nd"):
        mask |= bits("nd_target", "nd_sll", "nd_tll")
    return mask


def format_flow(
    key: int, context: TextContext = NO_CONTEXT, options: tuple[TunnelOption, ...] | None = None
) -> str:
    """A packet's key as text, as in the output of parse-pcap and ofproto/trace."""
    mask = flow_mask(key)
    for number, offset, octets in options or () if key & _TUNNEL_ENDS else ():
        if key >> OFFSET["tun_metadata_present"] + number & 1:
            mask |= ((1 << octets * 8) - 1) << OFFSET["tun_metadata"] + offset * 8
            mask |= 1 << OFFSET["tun_metadata_present"] + number
    flags = get(key, "tunnel_flags")
    if mask & _TUNNEL_BITS and flags & TUN_KEY:
        mask |= VIEW["tun_id"].mask
    text = format_match(Match(key & mask, mask), context, options=options)
    if mask & _TUNNEL_BITS:  # a packet's flags are all known, so they are named without signs
        names = "|".join(name for bit, name in enumerate(_FLAGS) if flags >> bit & 1) or "0"
        text = text.replace("tun_flags=-oam", f"tun_flags={names}").replace(
            "tun_flags=+oam", f"tun_flags={names}"
        )
    return text


_FLAGS: Final = ("oam", "df", "csum", "key")
