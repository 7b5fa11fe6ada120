"""What a controller is told of a packet's connection: the ct_* fields that say something."""

from typing import Final

from trunkline.conntrack.tracker import CT_EST, CT_NEW, CT_RPL
from trunkline.flow import key as layout

_VALID: Final = CT_NEW | CT_EST | CT_RPL  # then there is a tuple of the original direction
_PORTS: Final = layout.bits("ct_proto", "ct_tp_src", "ct_tp_dst", "dl_type")
_TUPLES: Final = {
    0x0800: _PORTS | layout.bits("ct_nw_src", "ct_nw_dst"),
    0x86DD: _PORTS | layout.bits("ct_ipv6_src", "ct_ipv6_dst"),
}


def tracked_fields(key: int) -> tuple[int, int]:
    """(value, mask) of the ct_* fields of a datapath's key, and of the type that their tuple needs."""
    state = layout.get(key, "ct_state")
    if not state:
        return 0, 0
    mask = layout.MASK["ct_state"]
    for name in ("ct_zone", "ct_mark", "ct_label"):
        if layout.get(key, name):
            mask |= layout.MASK[name]
    if state & _VALID:
        mask |= _TUPLES.get(layout.get(key, "dl_type"), 0)
    return key & mask, mask


_TUNNEL: Final = (
    *("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id", "tun_gbp_flags"),
    *("tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir", "tun_erspan_hwid", "tun_flags"),
)


def tunnel_fields(key: int) -> tuple[int, int]:
    """(value, mask) of what a packet's tunnel is to controllers: the fields that are not 0."""
    mask = 0
    for name in _TUNNEL:
        if key & layout.MASK[name]:
            mask |= layout.MASK[name]
    return key & mask, mask
