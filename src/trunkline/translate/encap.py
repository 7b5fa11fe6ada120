"""encap and decap: a header around the packet, or the outermost one off it.

What a packet begins with is its `packet_type`: 0 is Ethernet, else name space 1 and an Ethernet type
(OpenFlow 1.5, 7.2.3.11).  Putting a header on or off is not done at once: fields of the new one may still be
written, and go with it.  `x.pending` is that header: the datapath action to come and the bits of the key that
it brings.  What an NSH or MPLS header held is only known once the datapath has parsed it: the walk stops.
"""

from typing import Final

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.openflow import actions as a
from trunkline.translate.commit import LABELS, VLANS, Pending, label_bits, labels_of
from trunkline.translate.frozen import stop
from trunkline.translate.mpls import explicit_null, push
from trunkline.translate.result import ACTION, Node
from trunkline.translate.walk import Walk

_TYPE: Final = layout.OFFSET["dl_type"]
_TYPE_MASK: Final = layout.MASK["dl_type"]
_PACKET_TYPE: Final = layout.OFFSET["packet_type"]
_PACKET_TYPE_MASK: Final = layout.MASK["packet_type"]
_BESIDE: Final = layout.bits("skb_priority", "pkt_mark")
_FRAME: Final = layout.bits("dl_src", "dl_dst", "packet_type")
_NSH_FIELDS: Final = sum(layout.MASK[name] for name in layout.OFFSET if name.startswith("nsh_"))
_CONTENT: Final = (
    layout.bits("dl_src", "dl_dst")
    | VLANS
    | LABELS
    | _TYPE_MASK
    | _NSH_FIELDS
    | layout.bits(
        "net_src", "net_dst", "nw_proto", "nw_tos", "nw_ttl", "nw_frag", "ipv6_label", "tp_src", "tp_dst",
        "tcp_flags", "igmp_group", "nd_target", "nd_reserved", "nd_options_type", "arp_sha", "arp_tha",
    )
)  # fmt: skip
_WHOLE: Final = _CONTENT | _PACKET_TYPE_MASK
_NSH: Final = 0x894F
_MPLS: Final = (0x8847, 0x8848)
_BOTTOM, _TTL = 0x100, 64  # of the first label
_ETHERNET: Final = 0
_BRIDGED: Final = 0x6558  # the Ethernet type of a whole Ethernet frame (RFC 7637, section 6)
_BY_TYPE: Final = 1 << 16
_NEXT_PROTOCOL: Final = 0xFFFE
_NP_OF: Final = {0: 3, _BY_TYPE | 0x0800: 1, _BY_TYPE | 0x86DD: 2, _BY_TYPE | _NSH: 4}
"""What NSH calls packet types (RFC 8300, section 2.2: Next Protocol)."""
_TYPE_OF: Final = {number: kind for kind, number in _NP_OF.items()}
_NSH_TTL, _NSH_INDEX = 63, 255  # of a new header (RFC 8300, sections 2.2 and 2.3)
_MD_TYPE: Final = 1


def packet_type(key: int) -> int:
    return key >> _PACKET_TYPE & 0xFFFFFFFF


def _refuse(x: Walk, text: str) -> bool:
    if x.why is not None:
        x.why.append(Node(ACTION, text))
    return x.fail("Unsupported packet type")


def _replace(x: Walk, bits: int, value: int) -> None:
    x.fresh &= ~bits
    x.key = x.key & ~bits | value


def encap(x: Walk, action: a.Encap, _: object) -> bool:
    kind = action.packet_type
    if kind == _ETHERNET:
        return _push_ethernet(x)
    if kind & 0xFFFF == _NSH:
        return _push_nsh(x, action)
    x.commit()
    if packet_type(x.key) == _ETHERNET:  # the whole frame becomes what the label is on
        entry = label_bits([explicit_null(x.key >> _TYPE & 0xFFFF) | _BOTTOM | _TTL])
        _replace(x, _CONTENT, (kind & 0xFFFF) << _TYPE | entry)
    elif push(x, kind & 0xFFFF, None):
        return True
    _replace(x, _PACKET_TYPE_MASK, kind << _PACKET_TYPE)
    x.pending = Pending(_add_label, _WHOLE)
    return False


def _add_label(key: int) -> dp.AddMpls:
    return dp.AddMpls(labels_of(key)[0], key >> _TYPE & 0xFFFF)


def _push_ethernet(x: Walk) -> bool:
    if packet_type(x.key) == _ETHERNET:
        return _refuse(x, "Dropping packet as encap(ethernet) is not supported for packet type ethernet.")
    push_ethernet(x)
    return False


def push_ethernet(x: Walk) -> None:
    """From here on the packet has an Ethernet header, with addresses of 0 unless somebody sets them."""
    x.commit()
    _replace(x, _FRAME | VLANS, 0)
    x.pending = Pending(_ethernet_header, _FRAME)


_TAG: Final = layout.VLAN_CFI << layout.OFFSET["vlan_tci"]


def _ethernet_header(key: int) -> dp.PushEth:
    return dp.PushEth(layout.get(key, "dl_src"), layout.get(key, "dl_dst"))


def _push_nsh(x: Walk, action: a.Encap) -> bool:
    inner = packet_type(x.key)
    following = _NP_OF.get(inner)
    if following is None:
        return _refuse(x, f"Dropping packet as encap(nsh) is not supported for packet type {_text(inner)}")
    x.commit()
    kind, metadata = 1, b""
    for one in action.properties:
        if one.kind == _MD_TYPE:
            kind = one.data[0]
        else:
            metadata += one.data + bytes(-len(one.data) % 4)
    key = 0
    for name, value in (
        ("dl_type", _NSH),
        ("packet_type", _BY_TYPE | _NSH),
        ("nsh_ttl", _NSH_TTL),
        ("nsh_mdtype", kind),
        ("nsh_np", following),
        ("nsh_si", _NSH_INDEX),
    ):
        key = layout.put(key, name, value)
    _replace(x, _WHOLE, key)
    x.pending = Pending(lambda new: dp.PushNsh(new & _NSH_FIELDS, metadata if kind == 2 else b""), _WHOLE)
    return False


def decap(x: Walk, action: a.DecapAny, _: object) -> bool:
    kind = packet_type(x.key)
    if kind == _ETHERNET:
        return _pop_ethernet(x)
    if kind & 0xFFFF == _NSH:
        return _pop_nsh(x)
    if kind & 0xFFFF in _MPLS:
        return _pop_label(x, action)
    return _refuse(x, f"Dropping packet as the decap() does not support packet type {_text(kind)}")


def _text(kind: int) -> str:
    return f"({kind >> 16},{kind & 0xFFFF:#x})"


def _pop_ethernet(x: Walk) -> bool:
    x.look(_TAG)
    if x.key & _TAG:
        return _refuse(x, "Dropping packet, cannot decap Ethernet if VLAN is present.")
    x.commit()
    _replace(x, _FRAME, (_BY_TYPE | x.key >> _TYPE & 0xFFFF) << _PACKET_TYPE)
    x.pending = Pending(lambda key: dp.PopEth(), _FRAME)
    return False


def _pop_nsh(x: Walk) -> bool:
    """What comes next the header says; it is known only when the datapath has looked."""
    x.look(layout.MASK["nsh_np"])
    inner = _TYPE_OF.get(layout.get(x.key, "nsh_np"))
    if inner is None:
        return _refuse(x, "Dropping packet: nsh decap() with unknown next protocol")
    x.commit()
    _replace(x, _PACKET_TYPE_MASK, inner << _PACKET_TYPE)
    if inner:
        _replace(x, _TYPE_MASK, (inner & 0xFFFF) << _TYPE)
    x.pending = Pending(lambda key: dp.PopNsh(), _WHOLE)
    stop(x)
    return True


def _pop_label(x: Walk, action: a.DecapAny) -> bool:
    x.look(layout.MASK["mpls_bos"])
    x.commit()
    labels = labels_of(x.key)
    inner = _NEXT_PROTOCOL if action.packet_type is None else action.packet_type
    if len(labels) > 1:
        inner = packet_type(x.key)
    kind = inner & 0xFFFF or _BRIDGED
    _replace(x, _WHOLE, kind << _TYPE | inner << _PACKET_TYPE)
    x.pending = Pending(lambda key: dp.PopMpls(kind), _WHOLE)
    stop(x)
    return True
