"""Putting out what has changed: the datapath actions that make its packet equal to the walk's key.

What changed is put out when a packet leaves, header by header, in the original's order: addresses, IP or ARP,
transport, labels, tags, and at last what is not in the packet at all.  A field that is written whole is set
whole; of a field that is written in part, only the bits that were looked at or written.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.translate.result import SLOW_ACTION

if TYPE_CHECKING:
    from trunkline.translate.walk import Tags, Walk

MAX_TAGS: Final = 8
DEEPER: Final = (1 << 32 * (MAX_TAGS - 2)) - 1 << layout.BITS
"""Above a walk's key: tags under the two that a key has room for, outermost lowest; nothing matches them."""
VLANS: Final = layout.bits("vlan_tci", "vlan_tpid", "vlan1_tci", "vlan1_tpid") | DEEPER
LABELS: Final = layout.bits("mpls0", "mpls1", "mpls2")
_OUTER: Final = layout.bits("vlan_tci", "vlan_tpid")
_LABEL_SLOTS: Final = tuple(layout.OFFSET[name] for name in ("mpls0", "mpls1", "mpls2"))
_TYPE: Final = layout.OFFSET["dl_type"]
_TYPE_MASK: Final = layout.MASK["dl_type"]
_PROTOCOL: Final = layout.OFFSET["nw_proto"]
_BOTTOM: Final = 0x100
_MPLS: Final = (0x8847, 0x8848)
_IPV4: Final = 0x0800
_ARP: Final = (0x0806, 0x8035)
_ICMP: Final = (1, 58)


def _masks(*names: str) -> tuple[int, ...]:
    return tuple(layout.MASK[name] for name in names)


_HARDWARE: Final = ("arp_sha", "arp_tha")
_ETHERNET: Final = _masks("dl_src", "dl_dst")
_NSH: Final = tuple(layout.MASK[name] for name in layout.OFFSET if name.startswith("nsh_"))
_IPV4_FIELDS: Final = _masks("nw_src", "nw_dst", "nw_tos", "nw_ttl")
_IPV6_FIELDS: Final = _masks("ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "ipv6_label")
_ARP_FIELDS: Final = _masks("arp_spa", "arp_tpa", "nw_proto", *_HARDWARE)
_PORTS: Final = _masks("tp_src", "tp_dst")
_NEIGHBOUR: Final = _masks("nd_target", *_HARDWARE)
_EXTENSION: Final = _masks("nd_reserved", "nd_options_type")
_PRIORITY: Final = layout.MASK["skb_priority"]
_MARK: Final = layout.MASK["pkt_mark"]
_LAYER3: Final = layout.bits(
    "net_src", "net_dst", "nw_tos", "nw_ttl", "ipv6_label", "nw_proto", "nw_frag",
    "tp_src", "tp_dst", "nd_target", "arp_sha", "arp_tha", "igmp_group", "tcp_flags",
)  # fmt: skip


class Pending(NamedTuple):
    """A header to go on or off before anything else: the action, made of the key, and the bits it brings."""

    action: Callable[[int], Any]
    bits: int


HEADERS: Final = frozenset((dp.AddMpls, dp.PushNsh, dp.PopNsh, dp.PushEth, dp.PopEth))
"""What no later action undoes."""


def isolate(x: "Walk", start: int, base: int, pending: Pending | None) -> None:
    """If what has been put out from `start` on changes headers for good, a copy of the packet has it."""
    x.pending = pending
    if any(type(action) in HEADERS for action in x.out[start:]):
        x.out[start:] = [dp.Clone(tuple(x.out[start:]))]
        x.base = base


def commit(x: "Walk") -> None:
    """Puts out the difference of `x.key` and `x.base`, and takes it into `x.base`.

    Under labels the packet is as it was: `base` remembers that, for when they come off again.  Once the walk
    itself has popped the last (`was_mpls`), nobody writes there before the datapath has looked.
    """
    pending = x.pending
    if pending is not None:
        x.pending = None
        x.out.append(pending.action(x.key))
        x.base = x.base & ~pending.bits | x.key & pending.bits
    changed = x.key ^ x.base
    _set(x, changed, _ETHERNET)
    if changed & layout.RARE:
        _set(x, changed, _NSH)
    old, new = x.base >> _TYPE & 0xFFFF, x.key >> _TYPE & 0xFFFF
    labelled = new in _MPLS
    if changed & (LABELS | _TYPE_MASK) and not labelled:
        _commit_labels(x, old)
    if changed & _LAYER3 and not labelled and not x.was_mpls:
        if new in _ARP:
            if _set(x, changed, _ARP_FIELDS):
                x.slow |= SLOW_ACTION
        else:
            _set(x, changed, _IPV4_FIELDS if new == _IPV4 else _IPV6_FIELDS)
            _commit_transport(x, changed)
    if labelled and changed & (LABELS | _TYPE_MASK):
        _commit_labels(x, old)
    if changed & VLANS:
        _commit_tags(x)
    if changed & (_PRIORITY | _MARK):
        _set(x, changed, (_PRIORITY,))
        _set(x, changed, (_MARK,))
    x.base = x.key & ~_LAYER3 | x.base & _LAYER3 if labelled or x.was_mpls else x.key


def _set(x: "Walk", changed: int, fields: tuple[int, ...]) -> bool:
    """One set action for those of the fields that have changed."""
    mask = 0
    for field in fields:
        if changed & field:
            mask |= field
    if not mask:
        return False
    x.wild |= changed & mask & x.fresh
    mask &= x.wild | ~x.fresh  # what is not the packet's own any more (a new header's) is known in any case
    x.out.append(dp.Set(x.key & mask, mask))
    return True


def _commit_transport(x: "Walk", changed: int) -> None:
    protocol = x.key >> _PROTOCOL & 0xFF
    if protocol in _ICMP and changed & (_PORTS[0] | _PORTS[1]):
        mask = layout.bits("icmp_type", "icmp_code")
        x.wild |= mask & x.fresh
        x.out.append(dp.Set(x.key & mask, mask))
        x.slow |= SLOW_ACTION
    else:
        _set(x, changed, _PORTS)
    if protocol == _ICMP[1]:
        neighbour = _set(x, changed, _NEIGHBOUR)
        if _set(x, changed, _EXTENSION) or neighbour:
            x.slow |= SLOW_ACTION


def flat(out: list[Any]) -> tuple[Any, ...]:
    """A finished list of datapath actions: the last needs no copy, for nothing comes after it."""
    while out and type(out[-1]) is dp.Clone:
        out[-1:] = out[-1].actions
    return tuple(out)


# ---- labels


def labels_of(key: int) -> list[int]:
    """The label stack entries of a key, outermost first; a zero entry is taken for none."""
    found: list[int] = []
    if key >> _TYPE & 0xFFFF in _MPLS:
        for slot in _LABEL_SLOTS:
            entry = key >> slot & 0xFFFFFFFF
            if not entry:
                break
            found.append(entry)
            if entry & _BOTTOM:
                break
    return found


def label_bits(entries: list[int]) -> int:
    return sum(entry << slot for slot, entry in zip(_LABEL_SLOTS, entries, strict=False))


def _commit_labels(x: "Walk", kind: int) -> None:
    """Pops to what both stacks share, sets one entry where that will do, and pushes what is missing."""
    have, want = labels_of(x.base), labels_of(x.key)
    common = 0
    while common < min(len(have), len(want)) and have[-1 - common] == want[-1 - common]:
        common += 1
    x.wild |= LABELS & x.fresh
    new_kind = x.key >> _TYPE & 0xFFFF
    while len(have) > common:
        if len(have) - 1 == common and len(want) > common:
            entry = want[len(want) - len(have)]
            x.out.append(_set_label(entry))
            have[0] = entry
            common += 1
        else:
            x.out.append(dp.PopMpls(new_kind if len(have) == 1 else _inner_kind(kind, new_kind)))
            del have[0]
    while len(want) > common:
        entry = want[len(want) - common - 1]
        x.out.append(dp.PushMpls(entry, new_kind))
        common += 1


def _inner_kind(kind: int, new: int) -> int:
    return new if new in _MPLS else kind


def _set_label(entry: int) -> dp.Set:
    return dp.Set(entry << _LABEL_SLOTS[0], 0xFFFFFFFF << _LABEL_SLOTS[0])


# ---- tags


def _commit_tags(x: "Walk") -> None:
    """Pops down to the innermost tags that both share, and pushes what is missing."""
    base, tags = tags_of(x.base), tags_of(x.key)
    common = 0
    while common < min(len(base), len(tags)) and base[-1 - common] == tags[-1 - common]:
        common += 1
    if len(tags) > common:  # the outermost is put out whole, of whatever part of it is new
        x.wild |= _OUTER & x.fresh
    x.out += [dp.PopVlan()] * (len(base) - common)
    for tpid, tci in reversed(tags[: len(tags) - common]):
        x.out.append(dp.PushVlan(tpid, tci))


_TCI, _TPID = layout.OFFSET["vlan_tci"], layout.OFFSET["vlan_tpid"]
_TCI1, _TPID1 = layout.OFFSET["vlan1_tci"], layout.OFFSET["vlan1_tpid"]


def tags_of(key: int) -> "Tags":
    """The VLAN tags of a key, outermost first; of a walk's key also those that pushing others has buried."""
    tci = key >> _TCI & 0xFFFF
    if not tci & layout.VLAN_CFI:
        return ()
    outer = (key >> _TPID & 0xFFFF, tci)
    tci = key >> _TCI1 & 0xFFFF
    if not tci & layout.VLAN_CFI:
        return (outer,)
    tags: Tags = outer, (key >> _TPID1 & 0xFFFF, tci)
    deeper = (key & DEEPER) >> layout.BITS
    while deeper:
        tags += ((deeper >> 16 & 0xFFFF, deeper & 0xFFFF),)
        deeper >>= 32
    return tags


def tag_bits(tags: "Tags") -> int:
    """The bits of a walk's key that say these tags, `MAX_TAGS` at most."""
    bits = 0
    if tags:
        tpid, tci = tags[0]
        bits = tpid << _TPID | tci << _TCI
        if len(tags) > 1:
            tpid, tci = tags[1]
            bits |= tpid << _TPID1 | tci << _TCI1
            for depth, (tpid, tci) in enumerate(tags[2:]):
                bits |= (tpid << 16 | tci) << layout.BITS + 32 * depth
    return bits
