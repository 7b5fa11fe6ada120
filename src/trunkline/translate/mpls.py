"""MPLS labels: pushing and popping them.

Under the last label lies a packet that the key knows nothing of.  When that label is gone, actions that look
at the packet's inside can only be done once the datapath has parsed it again: `was_mpls` says so, and
run.py stops before the first of them.
"""

from typing import Final

from trunkline.flow import key as layout
from trunkline.translate.commit import LABELS, label_bits, labels_of
from trunkline.translate.run import CAREFUL
from trunkline.translate.walk import Walk

_TYPE: Final = layout.OFFSET["dl_type"]
_TYPE_MASK: Final = layout.MASK["dl_type"]
_MPLS: Final = (0x8847, 0x8848)
_IPV4, _IPV6 = 0x0800, 0x86DD
_BOTTOM: Final = 0x100
_TTL: Final = 0xFF
_DEFAULT_TTL: Final = 64
_MOST: Final = 3
_ABOVE: Final = layout.bits(  # what lies behind the Ethernet type
    "net_src", "net_dst", "nw_proto", "nw_tos", "nw_ttl", "nw_frag", "ipv6_label", "tp_src", "tp_dst",
    "tcp_flags", "igmp_group", "nd_target", "arp_sha", "arp_tha",
) | sum(layout.MASK[name] for name in layout.OFFSET if name.startswith("nsh_"))  # fmt: skip


def push(x: Walk, kind: int, _: object) -> bool:
    labels = labels_of(x.key)
    if labels:
        x.look(LABELS)
        if len(labels) >= _MOST:
            return _too_many(x, "push action can't be performed as it would have")
        entry = labels[0] & ~_BOTTOM
    else:
        x.commit()
        entry = _first_label(x)
        x.fresh &= ~_ABOVE
        x.key &= ~_ABOVE
    x.fresh &= ~(LABELS | _TYPE_MASK)
    x.key = x.key & ~(LABELS | _TYPE_MASK) | kind << _TYPE | label_bits([entry, *labels])
    return False


def _too_many(x: Walk, what: str) -> bool:
    text = f"dropping packet on which an MPLS {what} more MPLS LSEs than the {_MOST} supported."
    return x.fail("Too many MPLS labels", text if x.telling or x.why is None else "")


def explicit_null(kind: int) -> int:
    """The label, in its place in an entry, in front of a packet of this EtherType (RFC 3032, 2.1)."""
    return (2 if kind == _IPV6 else 0) << 12


def _first_label(x: Walk) -> int:
    """The label for a packet without: explicit null, with the class and the time to live of its IP header."""
    kind = x.key >> _TYPE & 0xFFFF
    if kind not in (_IPV4, _IPV6):
        return _BOTTOM | _DEFAULT_TTL
    x.look(layout.MASK["ip_dscp"] | layout.MASK["nw_ttl"])
    ttl = layout.get(x.key, "nw_ttl") or _DEFAULT_TTL
    return explicit_null(kind) | (layout.get(x.key, "ip_dscp") & 7) << 9 | _BOTTOM | ttl


def pop(x: Walk, kind: int, _: object) -> int | bool:
    if x.key >> _TYPE & 0xFFFF not in _MPLS:
        return False
    x.look(LABELS)
    labels = labels_of(x.key)
    if not labels:
        return False
    if len(labels) == _MOST and not labels[-1] & _BOTTOM:
        return _too_many(x, "pop action can't be performed as it has")
    x.fresh &= ~(LABELS | _TYPE_MASK)
    x.key &= ~(LABELS | _TYPE_MASK)
    x.key |= kind << _TYPE
    if kind in _MPLS:
        x.key |= label_bits(labels[1:])
        return False
    x.was_mpls = True
    return CAREFUL


def set_bits(x: Walk, mask: int, value: int) -> None:
    """Label, class or time to live of the outermost label."""
    if x.key >> _TYPE & 0xFFFF in _MPLS:
        x.set(mask, value)
