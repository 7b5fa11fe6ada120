"""A match: which packets a flow is for, as a key's value and mask, and what sets of packets do to each other.

A match is the set of all keys `k` with `k & mask == value`.  Everything that one asks about such sets is a
line of arithmetic, and is here.  What fields a match has, and whether each may be there given the others (its
*prerequisites*), comes from the table of fields.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from trunkline.flow.key import FRAG_LATER, MASK, OFFSET, VIEW, bits, pack
from trunkline.model.fields import FIELDS, PREREQUISITES, Field


class TunnelOption(NamedTuple):
    """Where tun_metadata<number> lies in slot `tun_metadata`; `offset` counts bytes from its lowest end."""

    number: int
    offset: int
    octets: int


class Match(NamedTuple):
    """`value & ~mask == 0`.  `options` places tun_metadata fields where no TLV table of a bridge does."""

    value: int = 0
    mask: int = 0
    options: tuple[TunnelOption, ...] = ()


class SetField(NamedTuple):
    """A field that a match constrains, with the field's own value and mask."""

    field: Field
    value: int
    mask: int

    @property
    def exact(self) -> bool:
        return self.mask == (1 << self.field.bits) - 1


_LATER: Final = FRAG_LATER << OFFSET["nw_frag"]
_KIND: Final = bits("packet_type", "dl_type", "nw_proto", "ct_state") | 0x1000 << OFFSET["vlan_tci"] | _LATER
_NEIGHBOUR: Final = bits("icmpv6_type", "icmpv6_code")
_PROTOCOL: Final = OFFSET["nw_proto"]
_ICMPV6: Final = 58
_IPV4, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_CT_NEW, _CT_EST, _CT_REL, _CT_RPL, _CT_INV, _CT_TRK = 1, 2, 4, 8, 16, 32


def match(**fields: int | tuple[int, int]) -> Match:
    """A match on fields given as value or (value, mask); prerequisites are the caller's to give."""
    return Match(*pack(fields))


def covers(a: Match, key: int) -> bool:
    return key & a.mask == a.value


def overlap(a: Match, b: Match) -> bool:
    """Whether some packet is in both."""
    return not (a.value ^ b.value) & a.mask & b.mask


def subset(a: Match, b: Match) -> bool:
    """Whether every packet of `a` is in `b`."""
    return not b.mask & ~a.mask and a.value & b.mask == b.value


def intersection(a: Match, b: Match) -> Match | None:
    """The packets that are in both; None: there are none."""
    if not overlap(a, b):
        return None
    return Match(a.value | b.value, a.mask | b.mask, a.options or b.options)


def without(a: Match, place: int) -> Match:
    """`a` with the bits of `place` wildcarded."""
    return Match(a.value & ~place, a.mask & ~place, a.options)


def is_exact(a: Match, name: str) -> bool:
    place = MASK[name]
    return a.mask & place == place


def exact_value(a: Match, name: str) -> int | None:
    """The one value that a field may have in `a`; None when several may."""
    shift, ones, place = VIEW[name]
    return a.value >> shift & ones if a.mask & place == place else None


def kind(a: Match) -> Match:
    """The part of `a` that says what kind of packet it is for: types, protocol, tag, state of tracking.

    Tables hold few kinds, so what follows from the kind alone is worth remembering by it.
    """
    place = kind_bits(a.value)
    return Match(a.value & place, a.mask & place)


def kind_bits(value: int) -> int:
    """The bits that `kind` leaves of a match with this value."""
    if value >> _PROTOCOL & 0xFF == _ICMPV6:
        return _KIND | _NEIGHBOUR  # of these messages two have fields of their own
    return _KIND


def satisfied(a: Match, prerequisite: str) -> bool:
    """Whether a field with this prerequisite (model/fields.py) may be matched beside what `a` matches."""
    return not prerequisite or _satisfied(kind(a), prerequisite)


def present(a: Match, prerequisite: str) -> bool:
    """Whether a field with this prerequisite may be matched, read and written: what `satisfied` says, but
    that later fragments have no ports and no TCP flags."""
    return satisfied(a, prerequisite) and not (a.value & _LATER and prerequisite in ("tcp", "udp", "sctp"))


@lru_cache(maxsize=4096)
def _satisfied(a: Match, prerequisite: str) -> bool:
    if not prerequisite:
        return True
    parent, name, values = PREREQUISITES[prerequisite]
    if parent and not _satisfied(a, parent):
        return False
    if prerequisite == "ct":
        return valid_connection(a)
    if prerequisite == "vlan":
        return bool(a.value >> OFFSET["vlan_tci"] & 0x1000)
    if name == "packet_type":  # a match that says nothing of it is for Ethernet
        return exact_value(a, name) in (None, *values)
    if name == "dl_type" and exact_value(a, "packet_type"):
        return ethernet_type(a) in values
    if prerequisite.startswith("nd") and exact_value(a, "icmpv6_code") != 0 and is_exact(a, "icmpv6_code"):
        return False
    return exact_value(a, name) in values


def ethernet_type(a: Match) -> int | None:
    """dl_type, or for a packet without an Ethernet header its type by packet_type."""
    kind = exact_value(a, "packet_type")
    if kind and kind >> 16 == 1:
        return kind & 0xFFFF
    return exact_value(a, "dl_type")


def valid_connection(a: Match) -> bool:
    """Tracked and not invalid: said outright, or implied by new, established, related or reply."""
    shift, ones, _ = VIEW["ct_state"]
    value, mask = a.value >> shift & ones, a.mask >> shift & ones
    if value & (_CT_NEW | _CT_EST | _CT_REL | _CT_RPL):
        return True
    return bool(value & _CT_TRK and mask & _CT_INV and not value & _CT_INV)


def fields(a: Match) -> Iterator[SetField]:
    """The fields that `a` constrains, in the table's order, each bit once.

    Of the fields that share a slot the one whose prerequisite holds is meant; of registers the narrow ones;
    VLANs come as `vlan_tci`.  A second tag and others of the datapath's slots are no OpenFlow fields.
    """
    left = a.mask
    for field in _CANONICAL:
        view = VIEW[field.name]
        if left & view.mask and satisfied(a, field.prerequisite):
            yield SetField(field, a.value >> view.shift & view.ones, left >> view.shift & view.ones)
            left &= ~view.mask


# Fields that are other views of what a field in the table shows already.
_VIEWS: Final = frozenset(
    {"dl_vlan", "dl_vlan_pcp", "vlan_vid", "vlan_pcp", "in_port_oxm", "ip_dscp", "nw_ecn"}
    | {f"xreg{i}" for i in range(8)}
    | {f"xxreg{i}" for i in range(4)}
)
_CANONICAL: Final = tuple(f for f in FIELDS if f.slot in OFFSET and f.name not in _VIEWS)


# ---- leaving out what makes no sense

_L3 = (
    ("ip/ipv6", ("nw_tos", "nw_ttl", "nw_frag")),
    ("ipv6", ("ipv6_label",)),
    ("nsh", tuple(name for name in OFFSET if name.startswith("nsh_"))),
    ("mpls", ("mpls0", "mpls1", "mpls2")),
)


def normalize(match: Match) -> Match:
    """`match` without the L3 and L4 fields whose prerequisites it lacks."""
    keep = sensible(kind(match))
    if keep & match.mask == match.mask:
        return match
    return Match(match.value & keep, match.mask & keep, match.options)


@lru_cache(maxsize=1024)
def sensible(match: Match) -> int:
    """The bits that a match of this `kind` may constrain."""
    keep = -1
    family = ethernet_type(match)
    for prerequisite, slots in _L3:
        if not satisfied(match, prerequisite):
            keep &= ~bits(*slots)
    if family not in (_IPV4, _IPV6, _ARP, _RARP):
        keep &= ~bits("net_src", "net_dst", "nw_proto")
    protocol = exact_value(match, "nw_proto")
    ip = family in (_IPV4, _IPV6)
    has_ports = ip and protocol in (6, 17, 132, 1 if family == _IPV4 else 58)
    if not has_ports:
        keep &= ~bits("tp_src", "tp_dst")
    neighbour = satisfied(match, "nd")
    if not neighbour:
        keep &= ~bits("nd_target", "igmp_group")
    if not ((ip and protocol == 6) or neighbour):
        keep &= ~bits("tcp_flags")
    if family not in (_ARP, _RARP):
        keep &= -1 if satisfied(match, "nd solicit") else ~bits("arp_sha")
        keep &= -1 if satisfied(match, "nd advert") else ~bits("arp_tha")
    packet_type = exact_value(match, "packet_type")
    if packet_type:
        keep &= ~bits("dl_src", "dl_dst", "vlan_tci")
    return keep
