"""What a controller is told of a packet beside its bytes: the port, and the fields that are not 0.

What actions have set counts as much as what the packet brought: registers and metadata come from the walk
that sent the packet, its tunnel too; the mark and the connection from the datapath.  The fields of a
connection are told where the walk may see them: after ct(table=...), until ct_clear.
"""

from typing import Final

from trunkline.conntrack.tracker import CT_EST, CT_NEW, CT_RPL
from trunkline.conntrack.tracker import FIELDS as CONNECTION
from trunkline.flow import key as layout
from trunkline.flow.match import Match
from trunkline.ofproto.tunnel_options import Options
from trunkline.packet.tunnels import TUNNEL

_STATE: Final = 0xFF << layout.OFFSET["ct_state"]  # the flags that there are
_VALID: Final = CT_NEW | CT_EST | CT_RPL  # then there is a tuple of the original direction
_PORTS: Final = layout.bits("ct_proto", "ct_tp_src", "ct_tp_dst")
_TYPE: Final = layout.MASK["dl_type"]
_TUPLES: Final = {
    0x0800: _PORTS | layout.bits("ct_nw_src", "ct_nw_dst"),
    0x86DD: _PORTS | layout.bits("ct_ipv6_src", "ct_ipv6_dst"),
}


def tracked_fields(key: int) -> tuple[int, int]:
    """(value, mask) of the ct_* fields of a datapath's key, and of the type that their tuple needs."""
    state = layout.get(key, "ct_state")
    if not state:
        return 0, 0
    mask = _STATE
    for name in ("ct_zone", "ct_mark", "ct_label"):
        if layout.get(key, name):
            mask |= layout.MASK[name]
    if state & _VALID:
        mask |= _TYPE | _TUPLES.get(layout.get(key, "dl_type"), 0)
    return key & mask, mask


_WALK: Final = tuple(
    layout.MASK[name]
    for name in (
        "metadata",
        *(f"reg{i}" for i in range(16)),
        *("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id", "tun_gbp_flags"),
        *("tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir", "tun_erspan_hwid", "tun_flags"),
    )
)
_IN_PORT: Final = layout.MASK["in_port"]
_MARK: Final = layout.MASK["pkt_mark"]
_PACKET_TYPE: Final = layout.MASK["packet_type"]
_AT: Final = layout.OFFSET["tun_metadata"]
_PRESENT: Final = layout.OFFSET["tun_metadata_present"]
RESUMED: Final = CONNECTION | TUNNEL | _MARK
"""What of a key a controller gives back with a packet, beside what a walk carries."""


def pipeline_fields(options: Options, walk: int, key: int, *, tracked: bool) -> Match:
    """The metadata of a packet-in: `walk` has the bits of the walk (frozen.py: CARRIED), `key` is the
    datapath's; `tracked`: the walk sees the packet's connection.  `options` are those of the bridge."""
    mask = _IN_PORT
    for bits in _WALK:
        if walk & bits:
            mask |= bits
    present = tuple(place for place in options.places if walk >> _PRESENT + place.number & 1)
    for number, offset, octets in present:
        mask |= (1 << octets * 8) - 1 << _AT + offset * 8 | 1 << _PRESENT + number
    value = walk & mask
    for bits in (_MARK, _PACKET_TYPE):
        if key & bits:
            value |= key & bits
            mask |= bits
    if tracked:
        found, looked = tracked_fields(key)
        value |= found
        mask |= looked
    return Match(value, mask, present)
