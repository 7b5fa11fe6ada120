"""The flow key: everything the switch knows about a packet, as one int.

A Python int is the fastest wide word there is.  With a key in one int a match is a pair (value, mask), a
lookup is `table.get(key & mask)`, collecting the bits that a decision looked at is `wildcards |= mask`, and
two matches overlap exactly when `(v1 ^ v2) & m1 & m2 == 0`.

The key is cut into *slots*, in three regions, from low to high:

PIPELINE   what only the OpenFlow pipeline knows: the OpenFlow port, registers, metadata.  Lowest, for a dict
           hashes an int in time proportional to its length and these are matched most.
DATAPATH   what a megaflow can match, one slice of whole 64-bit words: read as big-endian bytes
           (`datapath_bytes`) it is the C struct that the kernel's program uses, every slot aligned for its
           width up to 32 bits.  What is looked at last (L4) lies lowest, what is looked at first (tunnel,
           connection tracking) highest, so the order of the bits is the order of looking.
RARE       large and seldom: NSH, the options of tunnels.

Python reduces an int modulo 2**61 - 1 to hash it, so bits whose distance is a multiple of 61 cancel out when
they differ together.  The order of the slots keeps fields that vary together (addresses, ports, VLANs,
metadata) apart modulo 61; tests/unit/flow/test_key.py measures it.  Keys that packets choose freely must not
be dict keys as ints at all: use `datapath_bytes`, whose hash is seeded.

IPv4 addresses lie in the low 32 bits of the 128-bit slots `net_src` and `net_dst` (the field `nw_src` is that
view of 32 bits).  `vlan_tci` carries the CFI bit (0x1000) when a tag is there, and the second tag lies in
`vlan1_tci`; `vlan_tpid` and `vlan1_tpid` are the tags' types, 0 without a tag.  With tags, `dl_type` is the
type behind the last one that was parsed.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from trunkline.model.fields import FIELDS, Field

# (name, bits), lowest first.  A name that begins with "_" is padding.
_PIPELINE = (
    ("in_port", 32),
    ("conj_id", 32),
    ("metadata", 64),
    ("actset_output", 32),
    *((f"reg{i}", 32) for i in range(15, -1, -1)),
)
_DATAPATH = (
    ("arp_tha", 48),
    ("arp_sha", 48),
    ("nd_target", 128),
    ("tp_dst", 16),
    ("tp_src", 16),
    ("tcp_flags", 12),
    ("_l4", 4),
    ("nw_ttl", 8),
    ("nw_tos", 8),
    ("igmp_group", 32),
    ("net_dst", 128),
    ("ipv6_label", 32),
    ("net_src", 128),
    ("nw_proto", 8),
    ("nw_frag", 8),
    ("dl_type", 16),
    ("mpls2", 32),
    ("mpls1", 32),
    ("mpls0", 32),
    ("vlan1_tci", 16),
    ("vlan1_tpid", 16),
    ("dl_src", 48),
    ("vlan_tci", 16),
    ("vlan_tpid", 16),
    ("dl_dst", 48),
    ("packet_type", 32),
    ("skb_priority", 32),
    ("dp_in_port", 32),  # in one word with recirc_id: every megaflow matches both
    ("recirc_id", 32),
    ("pkt_mark", 32),
    ("dp_hash", 32),
    ("ct_state", 32),
    ("ct_zone", 16),
    ("_ct", 16),
    ("ct_mark", 32),
    ("ct_label", 128),
    ("ct_dst", 128),
    ("ct_src", 128),
    ("ct_tp_dst", 16),
    ("ct_tp_src", 16),
    ("ct_proto", 8),
    ("_tunnel", 24),
    ("tun_tos", 8),
    ("tun_ttl", 8),
    ("tun_gbp_id", 16),
    ("tunnel_flags", 16),
    ("tun_gbp_flags", 8),
    ("tun_gtpu_flags", 8),
    ("tun_gtpu_msgtype", 8),
    ("tun_erspan_ver", 8),
    ("tun_erspan_dir", 8),
    ("tun_erspan_hwid", 8),
    ("tun_erspan_idx", 32),
    ("tun_tp_dst", 16),
    ("tun_tp_src", 16),
    ("tun_dst", 32),
    ("tun_src", 32),
    ("tun_ipv6_dst", 128),
    ("tun_ipv6_src", 128),
    ("tun_id", 64),
)
_RARE = (
    ("nsh_c4", 32),
    ("nsh_c3", 32),
    ("nsh_c2", 32),
    ("nsh_c1", 32),
    ("nsh_si", 8),
    ("nsh_spi", 24),
    ("nsh_np", 8),
    ("nsh_mdtype", 8),
    ("nsh_ttl", 8),
    ("nsh_flags", 8),
    ("tun_metadata", 2048),  # laid out by the bridge's TLV table
    ("tun_metadata_present", 64),  # bit i: tun_metadata<i> is there
    ("tun_options", 2048),  # as the wire has them, for the datapath; the first byte highest
    ("tun_options_length", 8),  # bytes / 4
)

VLAN_CFI: Final = 0x1000
FRAG_ANY: Final = 1
FRAG_LATER: Final = 2
TUN_OAM: Final = 1  # bits of tunnel_flags; OpenFlow sees the first alone
TUN_DF: Final = 2
TUN_CSUM: Final = 4
TUN_KEY: Final = 8
TUN_SEQ: Final = 0x8000  # packets are to be numbered; in no text, for the original has no word for it

CT_STATE_FLAGS: Final = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")  # from bit 0 on
TCP_FLAGS: Final = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]")


def _lay_out() -> tuple[dict[str, int], dict[str, int], list[int]]:
    offset, width, ends, end = {}, {}, [0], 0
    for region in (_PIPELINE, _DATAPATH, _RARE):
        for name, bits in region:
            offset[name], width[name] = end, bits
            end += bits
        ends.append(end)
    return offset, width, ends


_offset, _width, _ends = _lay_out()
OFFSET: Final = MappingProxyType(_offset)  # slot -> where its lowest bit lies in the key
WIDTH: Final = MappingProxyType(_width)  # slot -> bits
BITS: Final = _ends[3]
PIPELINE: Final = (1 << _ends[1]) - 1  # masks of the regions
DATAPATH: Final = (1 << _ends[2]) - (1 << _ends[1])
RARE: Final = (1 << _ends[3]) - (1 << _ends[2])
PACKET: Final = DATAPATH | RARE  # what can enter a megaflow
DATAPATH_SHIFT: Final = _ends[1]
DATAPATH_BYTES: Final = (_ends[2] - _ends[1]) // 8


class View(NamedTuple):
    """A field's place: `key >> shift & ones`; `mask` is `ones << shift`."""

    shift: int
    ones: int
    mask: int


def _view(shift: int, bits: int) -> View:
    return View(shift, (1 << bits) - 1, ((1 << bits) - 1) << shift)


def _views() -> dict[str, View]:
    """Every slot by its name, then every field by its names.

    tun_metadata fields have no fixed place; the TLV table gives it.
    """
    views = {name: _view(OFFSET[name], WIDTH[name]) for name in OFFSET if not name.startswith("_")}
    for field in FIELDS:
        if field.slot in OFFSET:
            for name in (field.name, *field.aliases):
                views[name] = _view(OFFSET[field.slot] + field.shift, field.bits)
    return views


VIEW: Final = MappingProxyType(_views())  # by slot name, field name and alias
MASK: Final = MappingProxyType({name: view.mask for name, view in VIEW.items()})


def get(key: int, name: str) -> int:
    """The value of a slot or field in a key; of a mask, the field's mask."""
    shift, ones, _ = VIEW[name]
    return key >> shift & ones


def put(key: int, name: str, value: int) -> int:
    """`key` with a slot or field changed; the value must fit."""
    shift, _, mask = VIEW[name]
    return key & ~mask | value << shift


def bits(*names: str) -> int:
    """The mask that covers these slots and fields."""
    mask = 0
    for name in names:
        mask |= VIEW[name].mask
    return mask


def pack(
    fields: Mapping[str, int | tuple[int, int]] | None = None, /, **more: int | tuple[int, int]
) -> tuple[int, int]:
    """(value, mask) of slots and fields given as a value or as (value, mask)."""
    value = mask = 0
    for name, given in {**(fields or {}), **more}.items():
        shift, ones, _ = VIEW[name]
        field_value, field_mask = given if isinstance(given, tuple) else (given, ones)
        value |= (field_value & field_mask) << shift
        mask |= field_mask << shift
    return value, mask


def slots(mask: int) -> Iterator[tuple[str, int]]:
    """The slots that `mask` touches, each with its own part of the mask, lowest first."""
    for name, offset in OFFSET.items():
        part = mask >> offset & ((1 << WIDTH[name]) - 1)
        if part:
            yield name, part


def place(field: Field) -> View:
    """Where a field lies.  Raises KeyError for tun_metadata, whose place the TLV table gives."""
    return VIEW[field.name]


def datapath_bytes(key: int) -> bytes:
    """The DATAPATH region as the big-endian struct; also the form in which packets' keys may be dict keys."""
    return ((key & DATAPATH) >> DATAPATH_SHIFT).to_bytes(DATAPATH_BYTES, "big")


def from_datapath_bytes(data: bytes) -> int:
    return int.from_bytes(data, "big") << DATAPATH_SHIFT
