"""Every match field of ovs-fields(7), one row each: the table that text, OpenFlow, keys and docs derive from.

A *field* is something an OpenFlow flow can match or an action can read or write.  What a field *is* - its
width, how it reads, whether it takes a mask, what must be matched before it makes sense - is the same for
the text of ovs-ofctl, for NXM and OXM on the wire, for the flow key and for the reference page, so it is
written down here once and nowhere else.

A field lives in a *slot* of the flow key (flow/key.py).  Several fields may be views of one slot: parts of
it (`ip_dscp` and `nw_ecn` of `nw_tos`), or different meanings of the same bits under different
prerequisites (`tp_src` and `icmp_type`).

Source: ovs-fields(7) of Open vSwitch 3.1, and the behaviour of that version's ovs-ofctl.
"""

from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Format = Literal[
    "dec",
    "hex",
    "ipv4",
    "ipv6",
    "mac",
    "port10",
    "port",
    "frag",
    "tcp flags",
    "tun flags",
    "ct state",
    "packet type",
]
OldSupport = Literal["no", "exact", "cidr", "yes"]
Region = Literal["pipeline", "datapath", "rare"]


class Id(NamedTuple):
    """A code point on the wire."""

    name: str  # "NXM_OF_ETH_DST"
    vendor: str  # a key of CLASSES
    number: int
    openflow: str | None  # the OpenFlow version that standardized it; None: an extension
    since: str  # Open vSwitch version


class Class(NamedTuple):
    """An OXM class; `experimenter` only where `number` is 0xffff."""

    number: int
    experimenter: int | None = None


class Field(NamedTuple):
    name: str  # the official name
    aliases: tuple[str, ...]
    octets: int  # bytes on the wire
    bits: int  # how many of them, from the least significant one, may be nonzero
    format: Format
    maskable: bool
    prerequisite: str  # a key of PREREQUISITES
    writable: bool
    slot: str  # of the key
    shift: int  # where the field's lowest bit lies in the slot
    of10: OldSupport  # in the fixed match structure of OpenFlow 1.0
    of11: OldSupport
    shown: str  # the name that a printed match uses
    ids: tuple[Id, ...]
    matched: int | None = None  # the bits that a match looks at, where that is not all of them


class Condition(NamedTuple):
    """`field` of the match must be exactly one of `values` for what follows to make sense; `parent` likewise."""

    parent: str
    field: str
    values: tuple[int, ...]


CLASSES: Final = MappingProxyType(
    {
        "NXM_OF": Class(0x0000),
        "NXM_NX": Class(0x0001),
        "ERICOXM_OF": Class(0x1000),
        "OXM_OF": Class(0x8000),
        "OXM_OF_PKT_REG": Class(0x8001),
        "NXOXM_ET": Class(0xFFFF, 0x00002320),
        "NXOXM_NSH": Class(0xFFFF, 0x005AD650),
        "ONFOXM_ET": Class(0xFFFF, 0x4F4E4600),
    }
)

# "ct" and "vlan" ask for more than equality: ct wants a valid connection (see flow/match.py), vlan any tag.
# ND messages further want an ICMPv6 code of 0.
PREREQUISITES: Final = MappingProxyType(
    {
        "": Condition("", "", ()),
        "eth": Condition("", "packet_type", (0,)),
        "vlan": Condition("eth", "vlan_tci", ()),
        "ip": Condition("", "dl_type", (0x0800,)),
        "ipv6": Condition("", "dl_type", (0x86DD,)),
        "ip/ipv6": Condition("", "dl_type", (0x0800, 0x86DD)),
        "arp": Condition("", "dl_type", (0x0806, 0x8035)),
        "mpls": Condition("", "dl_type", (0x8847, 0x8848)),
        "nsh": Condition("", "dl_type", (0x894F,)),
        "ct": Condition("ip/ipv6", "ct_state", ()),
        "tcp": Condition("ip/ipv6", "nw_proto", (6,)),
        "udp": Condition("ip/ipv6", "nw_proto", (17,)),
        "sctp": Condition("ip/ipv6", "nw_proto", (132,)),
        "icmp": Condition("ip", "nw_proto", (1,)),
        "icmp6": Condition("ipv6", "nw_proto", (58,)),
        "nd": Condition("icmp6", "icmpv6_type", (135, 136)),
        "nd solicit": Condition("icmp6", "icmpv6_type", (135,)),
        "nd advert": Condition("icmp6", "icmpv6_type", (136,)),
    }
)

TRANSPORTS: Final = MappingProxyType({PREREQUISITES[name].values[0]: name for name in ("tcp", "udp", "sctp")})
"""The protocols that have ports, by the number of each."""

# A row is three lines at most; the formatter would make it twenty.
# fmt: off
_TUNNEL_OPTIONS = tuple(
    Field(
        f"tun_metadata{i}", (), 124, 992, "hex", True, "", True, f"tun_metadata{i}", 0,
        "no", "no", f"tun_metadata{i}",
        (Id(f"NXM_NX_TUN_METADATA{i}", "NXM_NX", 40 + i, None, "2.5"),),
    )
    for i in range(64)
)

_REGISTERS = (
    *(
        Field(
            f"reg{i}", (), 4, 32, "hex", True, "", True, f"reg{i}", 0, "no", "no", f"reg{i}",
            (Id(f"NXM_NX_REG{i}", "NXM_NX", i, None,
                "1.1" if i < 4 else "1.3" if i < 5 else "1.7" if i < 8 else "2.6"),),
        )
        for i in range(16)
    ),
    *(
        Field(
            f"xreg{i}", (), 8, 64, "hex", True, "", True, f"reg{2 * i + 1}", 0, "no", "no", f"xreg{i}",
            (Id(f"OXM_OF_PKT_REG{i}", "OXM_OF_PKT_REG", i, "1.3", "2.4"),),
        )
        for i in range(8)
    ),
    *(
        Field(
            f"xxreg{i}", (), 16, 128, "hex", True, "", True, f"reg{4 * i + 3}", 0, "no", "no", f"xxreg{i}",
            (Id(f"NXM_NX_XXREG{i}", "NXM_NX", 111 + i, None, "2.6"),),
        )
        for i in range(4)
    ),
)

FIELDS: Final[tuple[Field, ...]] = (
    Field(
        "dp_hash", (), 4, 32, "hex", True, "", False, "dp_hash", 0, "no", "no", "dp_hash",
        (Id("NXM_NX_DP_HASH", "NXM_NX", 35, None, "2.2"),),
    ),
    Field(
        "recirc_id", (), 4, 32, "hex", False, "", False, "recirc_id", 0, "no", "no", "recirc_id",
        (Id("NXM_NX_RECIRC_ID", "NXM_NX", 36, None, "2.2"),),
    ),
    Field(
        "conj_id", (), 4, 32, "dec", False, "", False, "conj_id", 0, "no", "no", "conj_id",
        (Id("NXM_NX_CONJ_ID", "NXM_NX", 37, None, "2.4"),),
    ),
    Field(
        "tun_id", ("tunnel_id",), 8, 64, "hex", True, "", True, "tun_id", 0, "no", "no", "tun_id",
        (
            Id("OXM_OF_TUNNEL_ID", "OXM_OF", 38, "1.3", "1.10"),
            Id("NXM_NX_TUN_ID", "NXM_NX", 16, None, "1.1"),
        ),
    ),
    Field(
        "tun_src", (), 4, 32, "ipv4", True, "", True, "tun_src", 0, "no", "no", "tun_src",
        (Id("NXM_NX_TUN_IPV4_SRC", "NXM_NX", 31, None, "2.0"),),
    ),
    Field(
        "tun_dst", (), 4, 32, "ipv4", True, "", True, "tun_dst", 0, "no", "no", "tun_dst",
        (Id("NXM_NX_TUN_IPV4_DST", "NXM_NX", 32, None, "2.0"),),
    ),
    Field(
        "tun_ipv6_src", (), 16, 128, "ipv6", True, "", True, "tun_ipv6_src", 0, "no", "no", "tun_ipv6_src",
        (Id("NXM_NX_TUN_IPV6_SRC", "NXM_NX", 109, None, "2.5"),),
    ),
    Field(
        "tun_ipv6_dst", (), 16, 128, "ipv6", True, "", True, "tun_ipv6_dst", 0, "no", "no", "tun_ipv6_dst",
        (Id("NXM_NX_TUN_IPV6_DST", "NXM_NX", 110, None, "2.5"),),
    ),
    Field(
        "tun_gbp_id", (), 2, 16, "dec", True, "", True, "tun_gbp_id", 0, "no", "no", "tun_gbp_id",
        (Id("NXM_NX_TUN_GBP_ID", "NXM_NX", 38, None, "2.4"),),
    ),
    Field(
        "tun_gbp_flags", (), 1, 8, "hex", True, "", True, "tun_gbp_flags", 0, "no", "no", "tun_gbp_flags",
        (Id("NXM_NX_TUN_GBP_FLAGS", "NXM_NX", 39, None, "2.4"),),
    ),
    Field(
        "tun_erspan_ver", (), 1, 4, "dec", True, "", True, "tun_erspan_ver", 0, "no", "no", "tun_erspan_ver",
        (Id("NXOXM_ET_ERSPAN_VER", "NXOXM_ET", 12, None, "2.10"),),
    ),
    Field(
        "tun_erspan_idx", (), 4, 20, "hex", True, "", True, "tun_erspan_idx", 0, "no", "no", "tun_erspan_idx",
        (Id("NXOXM_ET_ERSPAN_IDX", "NXOXM_ET", 11, None, "2.10"),),
    ),
    Field(
        "tun_erspan_dir", (), 1, 1, "dec", True, "", True, "tun_erspan_dir", 0, "no", "no", "tun_erspan_dir",
        (Id("NXOXM_ET_ERSPAN_DIR", "NXOXM_ET", 13, None, "2.10"),),
    ),
    Field(
        "tun_erspan_hwid", (), 1, 6, "hex", True, "", True, "tun_erspan_hwid", 0, "no", "no", "tun_erspan_hwid",
        (Id("NXOXM_ET_ERSPAN_HWID", "NXOXM_ET", 14, None, "2.10"),),
    ),
    Field(
        "tun_gtpu_flags", (), 1, 8, "hex", True, "", False, "tun_gtpu_flags", 0, "no", "no", "tun_gtpu_flags",
        (Id("NXOXM_ET_GTPU_FLAGS", "NXOXM_ET", 15, None, "2.13"),),
    ),
    Field(
        "tun_gtpu_msgtype", (), 1, 8, "dec", True, "", False, "tun_gtpu_msgtype", 0, "no", "no", "tun_gtpu_msgtype",
        (Id("NXOXM_ET_GTPU_MSGTYPE", "NXOXM_ET", 16, None, "2.13"),),
    ),
    *_TUNNEL_OPTIONS,
    Field(
        "tun_flags", (), 2, 1, "tun flags", True, "", True, "tunnel_flags", 0, "no", "no", "tun_flags",
        (Id("NXM_NX_TUN_FLAGS", "NXM_NX", 104, None, "2.5"),),
    ),
    Field(
        "in_port", (), 2, 16, "port10", False, "", True, "in_port", 0, "exact", "exact", "in_port",
        (Id("NXM_OF_IN_PORT", "NXM_OF", 0, None, "1.1"),),
    ),
    Field(
        "in_port_oxm", (), 4, 16, "port", False, "", True, "in_port", 0, "no", "exact", "in_port_oxm",
        (Id("OXM_OF_IN_PORT", "OXM_OF", 0, "1.2", "1.7"),),
    ),
    Field("skb_priority", (), 4, 32, "hex", False, "", False, "skb_priority", 0, "no", "no", "skb_priority", ()),
    Field(
        "pkt_mark", (), 4, 32, "hex", True, "", True, "pkt_mark", 0, "no", "no", "pkt_mark",
        (Id("NXM_NX_PKT_MARK", "NXM_NX", 33, None, "2.0"),),
    ),
    Field(
        "actset_output", (), 4, 16, "port", False, "", False, "actset_output", 0, "no", "no", "actset_output",
        (
            Id("ONFOXM_ET_ACTSET_OUTPUT", "ONFOXM_ET", 43, "1.3", "2.4"),
            Id("OXM_OF_ACTSET_OUTPUT", "OXM_OF", 43, "1.5", "2.4"),
        ),
    ),
    Field(
        "packet_type", (), 4, 32, "packet type", False, "", False, "packet_type", 0, "no", "no", "packet_type",
        (Id("OXM_OF_PACKET_TYPE", "OXM_OF", 44, "1.5", "2.8"),),
    ),
    Field(
        "ct_state", (), 4, 32, "ct state", True, "", False, "ct_state", 0, "no", "no", "ct_state",
        (Id("NXM_NX_CT_STATE", "NXM_NX", 105, None, "2.5"),),
    ),
    Field(
        "ct_zone", (), 2, 16, "hex", False, "", False, "ct_zone", 0, "no", "no", "ct_zone",
        (Id("NXM_NX_CT_ZONE", "NXM_NX", 106, None, "2.5"),),
    ),
    Field(
        "ct_mark", (), 4, 32, "hex", True, "", True, "ct_mark", 0, "no", "no", "ct_mark",
        (Id("NXM_NX_CT_MARK", "NXM_NX", 107, None, "2.5"),),
    ),
    Field(
        "ct_label", (), 16, 128, "hex", True, "", True, "ct_label", 0, "no", "no", "ct_label",
        (Id("NXM_NX_CT_LABEL", "NXM_NX", 108, None, "2.5"),),
    ),
    Field(
        "ct_nw_src", (), 4, 32, "ipv4", True, "ct", False, "ct_src", 0, "no", "no", "ct_nw_src",
        (Id("NXM_NX_CT_NW_SRC", "NXM_NX", 120, None, "2.8"),),
    ),
    Field(
        "ct_nw_dst", (), 4, 32, "ipv4", True, "ct", False, "ct_dst", 0, "no", "no", "ct_nw_dst",
        (Id("NXM_NX_CT_NW_DST", "NXM_NX", 121, None, "2.8"),),
    ),
    Field(
        "ct_ipv6_src", (), 16, 128, "ipv6", True, "ct", False, "ct_src", 0, "no", "no", "ct_ipv6_src",
        (Id("NXM_NX_CT_IPV6_SRC", "NXM_NX", 122, None, "2.8"),),
    ),
    Field(
        "ct_ipv6_dst", (), 16, 128, "ipv6", True, "ct", False, "ct_dst", 0, "no", "no", "ct_ipv6_dst",
        (Id("NXM_NX_CT_IPV6_DST", "NXM_NX", 123, None, "2.8"),),
    ),
    Field(
        "ct_nw_proto", (), 1, 8, "dec", False, "ct", False, "ct_proto", 0, "no", "no", "ct_nw_proto",
        (Id("NXM_NX_CT_NW_PROTO", "NXM_NX", 119, None, "2.8"),),
    ),
    Field(
        "ct_tp_src", (), 2, 16, "dec", True, "ct", False, "ct_tp_src", 0, "no", "no", "ct_tp_src",
        (Id("NXM_NX_CT_TP_SRC", "NXM_NX", 124, None, "2.8"),),
    ),
    Field(
        "ct_tp_dst", (), 2, 16, "dec", True, "ct", False, "ct_tp_dst", 0, "no", "no", "ct_tp_dst",
        (Id("NXM_NX_CT_TP_DST", "NXM_NX", 125, None, "2.8"),),
    ),
    Field(
        "metadata", (), 8, 64, "hex", True, "", True, "metadata", 0, "no", "yes", "metadata",
        (Id("OXM_OF_METADATA", "OXM_OF", 2, "1.2", "1.8"),),
    ),
    *_REGISTERS,
    Field(
        "eth_src", ("dl_src",), 6, 48, "mac", True, "eth", True, "dl_src", 0, "exact", "yes", "dl_src",
        (
            Id("OXM_OF_ETH_SRC", "OXM_OF", 4, "1.2", "1.7"),
            Id("NXM_OF_ETH_SRC", "NXM_OF", 2, None, "1.1"),
        ),
    ),
    Field(
        "eth_dst", ("dl_dst",), 6, 48, "mac", True, "eth", True, "dl_dst", 0, "exact", "yes", "dl_dst",
        (
            Id("OXM_OF_ETH_DST", "OXM_OF", 3, "1.2", "1.7"),
            Id("NXM_OF_ETH_DST", "NXM_OF", 1, None, "1.1"),
        ),
    ),
    Field(
        "eth_type", ("dl_type",), 2, 16, "hex", False, "eth", False, "dl_type", 0, "exact", "exact", "dl_type",
        (
            Id("OXM_OF_ETH_TYPE", "OXM_OF", 5, "1.2", "1.7"),
            Id("NXM_OF_ETH_TYPE", "NXM_OF", 3, None, "1.1"),
        ),
    ),
    Field("dl_vlan", (), 2, 12, "dec", False, "eth", True, "vlan_tci", 0, "exact", "exact", "dl_vlan", ()),
    Field("dl_vlan_pcp", (), 1, 3, "dec", False, "vlan", True, "vlan_tci", 13, "exact", "exact", "dl_vlan_pcp", ()),
    Field(
        "vlan_vid", (), 2, 13, "dec", True, "eth", True, "vlan_tci", 0, "exact", "exact", "vlan_vid",
        (Id("OXM_OF_VLAN_VID", "OXM_OF", 6, "1.2", "1.7"),),
    ),
    Field(
        "vlan_pcp", (), 1, 3, "dec", False, "vlan", True, "vlan_tci", 13, "exact", "exact", "vlan_pcp",
        (Id("OXM_OF_VLAN_PCP", "OXM_OF", 7, "1.2", "1.7"),),
    ),
    Field(
        "vlan_tci", (), 2, 16, "hex", True, "eth", True, "vlan_tci", 0, "exact", "exact", "vlan_tci",
        (Id("NXM_OF_VLAN_TCI", "NXM_OF", 4, None, "1.1"),),
    ),
    Field(
        "mpls_label", (), 4, 20, "dec", False, "mpls", True, "mpls0", 12, "no", "exact", "mpls_label",
        (Id("OXM_OF_MPLS_LABEL", "OXM_OF", 34, "1.2", "1.11"),),
    ),
    Field(
        "mpls_tc", (), 1, 3, "dec", False, "mpls", True, "mpls0", 9, "no", "exact", "mpls_tc",
        (Id("OXM_OF_MPLS_TC", "OXM_OF", 35, "1.2", "1.11"),),
    ),
    Field(
        "mpls_bos", (), 1, 1, "dec", False, "mpls", False, "mpls0", 8, "no", "no", "mpls_bos",
        (Id("OXM_OF_MPLS_BOS", "OXM_OF", 36, "1.3", "1.11"),),
    ),
    Field(
        "mpls_ttl", (), 1, 8, "dec", False, "mpls", True, "mpls0", 0, "no", "no", "mpls_ttl",
        (Id("NXM_NX_MPLS_TTL", "NXM_NX", 30, None, "2.6"),),
    ),
    Field(
        "ip_src", ("nw_src",), 4, 32, "ipv4", True, "ip", True, "net_src", 0, "cidr", "yes", "nw_src",
        (
            Id("OXM_OF_IPV4_SRC", "OXM_OF", 11, "1.2", "1.7"),
            Id("NXM_OF_IP_SRC", "NXM_OF", 7, None, "1.1"),
        ),
    ),
    Field(
        "ip_dst", ("nw_dst",), 4, 32, "ipv4", True, "ip", True, "net_dst", 0, "cidr", "yes", "nw_dst",
        (
            Id("OXM_OF_IPV4_DST", "OXM_OF", 12, "1.2", "1.7"),
            Id("NXM_OF_IP_DST", "NXM_OF", 8, None, "1.1"),
        ),
    ),
    Field(
        "ipv6_src", (), 16, 128, "ipv6", True, "ipv6", True, "net_src", 0, "no", "no", "ipv6_src",
        (
            Id("OXM_OF_IPV6_SRC", "OXM_OF", 26, "1.2", "1.1"),
            Id("NXM_NX_IPV6_SRC", "NXM_NX", 19, None, "1.1"),
        ),
    ),
    Field(
        "ipv6_dst", (), 16, 128, "ipv6", True, "ipv6", True, "net_dst", 0, "no", "no", "ipv6_dst",
        (
            Id("OXM_OF_IPV6_DST", "OXM_OF", 27, "1.2", "1.1"),
            Id("NXM_NX_IPV6_DST", "NXM_NX", 20, None, "1.1"),
        ),
    ),
    Field(
        "ipv6_label", (), 4, 20, "hex", True, "ipv6", True, "ipv6_label", 0, "no", "no", "ipv6_label",
        (
            Id("OXM_OF_IPV6_FLABEL", "OXM_OF", 28, "1.2", "1.7"),
            Id("NXM_NX_IPV6_LABEL", "NXM_NX", 27, None, "1.4"),
        ),
    ),
    Field(
        "nw_proto", ("ip_proto",), 1, 8, "dec", False, "ip/ipv6", False, "nw_proto", 0, "exact", "exact", "nw_proto",
        (
            Id("OXM_OF_IP_PROTO", "OXM_OF", 10, "1.2", "1.7"),
            Id("NXM_OF_IP_PROTO", "NXM_OF", 6, None, "1.1"),
        ),
    ),
    Field(
        "nw_ttl", (), 1, 8, "dec", False, "ip/ipv6", True, "nw_ttl", 0, "no", "no", "nw_ttl",
        (Id("NXM_NX_IP_TTL", "NXM_NX", 29, None, "1.4"),),
    ),
    Field(
        "ip_frag", ("nw_frag",), 1, 2, "frag", True, "ip/ipv6", False, "nw_frag", 0, "no", "no", "ip_frag",
        (Id("NXM_NX_IP_FRAG", "NXM_NX", 26, None, "1.3"),),
    ),
    Field(
        "nw_tos", (), 1, 8, "dec", False, "ip/ipv6", True, "nw_tos", 0, "exact", "exact", "nw_tos",
        (Id("NXM_OF_IP_TOS", "NXM_OF", 5, None, "1.1"),), 0xFC,
    ),
    Field(
        "ip_dscp", (), 1, 6, "dec", False, "ip/ipv6", True, "nw_tos", 2, "exact", "exact", "ip_dscp",
        (Id("OXM_OF_IP_DSCP", "OXM_OF", 8, "1.2", "1.7"),),
    ),
    Field(
        "nw_ecn", ("ip_ecn",), 1, 2, "dec", False, "ip/ipv6", True, "nw_tos", 0, "no", "exact", "nw_ecn",
        (
            Id("OXM_OF_IP_ECN", "OXM_OF", 9, "1.2", "1.7"),
            Id("NXM_NX_IP_ECN", "NXM_NX", 28, None, "1.4"),
        ),
    ),
    Field(
        "arp_op", (), 2, 8, "dec", False, "arp", True, "nw_proto", 0, "exact", "exact", "arp_op",
        (
            Id("OXM_OF_ARP_OP", "OXM_OF", 21, "1.2", "1.7"),
            Id("NXM_OF_ARP_OP", "NXM_OF", 15, None, "1.1"),
        ),
    ),
    Field(
        "arp_spa", (), 4, 32, "ipv4", True, "arp", True, "net_src", 0, "cidr", "yes", "arp_spa",
        (
            Id("OXM_OF_ARP_SPA", "OXM_OF", 22, "1.2", "1.7"),
            Id("NXM_OF_ARP_SPA", "NXM_OF", 16, None, "1.1"),
        ),
    ),
    Field(
        "arp_tpa", (), 4, 32, "ipv4", True, "arp", True, "net_dst", 0, "cidr", "yes", "arp_tpa",
        (
            Id("OXM_OF_ARP_TPA", "OXM_OF", 23, "1.2", "1.7"),
            Id("NXM_OF_ARP_TPA", "NXM_OF", 17, None, "1.1"),
        ),
    ),
    Field(
        "arp_sha", (), 6, 48, "mac", True, "arp", True, "arp_sha", 0, "no", "no", "arp_sha",
        (
            Id("OXM_OF_ARP_SHA", "OXM_OF", 24, "1.2", "1.7"),
            Id("NXM_NX_ARP_SHA", "NXM_NX", 17, None, "1.1"),
        ),
    ),
    Field(
        "arp_tha", (), 6, 48, "mac", True, "arp", True, "arp_tha", 0, "no", "no", "arp_tha",
        (
            Id("OXM_OF_ARP_THA", "OXM_OF", 25, "1.2", "1.7"),
            Id("NXM_NX_ARP_THA", "NXM_NX", 18, None, "1.1"),
        ),
    ),
    Field(
        "nsh_flags", (), 1, 8, "dec", True, "nsh", True, "nsh_flags", 0, "no", "no", "nsh_flags",
        (Id("NXOXM_NSH_FLAGS", "NXOXM_NSH", 1, None, "2.8"),),
    ),
    Field(
        "nsh_ttl", (), 1, 8, "dec", False, "nsh", True, "nsh_ttl", 0, "no", "no", "nsh_ttl",
        (Id("NXOXM_NSH_TTL", "NXOXM_NSH", 10, None, "2.9"),),
    ),
    Field(
        "nsh_mdtype", (), 1, 8, "dec", False, "nsh", False, "nsh_mdtype", 0, "no", "no", "nsh_mdtype",
        (Id("NXOXM_NSH_MDTYPE", "NXOXM_NSH", 2, None, "2.8"),),
    ),
    Field(
        "nsh_np", (), 1, 8, "dec", False, "nsh", False, "nsh_np", 0, "no", "no", "nsh_np",
        (Id("NXOXM_NSH_NP", "NXOXM_NSH", 3, None, "2.8"),),
    ),
    Field(
        "nsh_spi", ("nsp",), 4, 24, "hex", False, "nsh", True, "nsh_spi", 0, "no", "no", "nsh_spi",
        (Id("NXOXM_NSH_SPI", "NXOXM_NSH", 4, None, "2.8"),),
    ),
    Field(
        "nsh_si", ("nsi",), 1, 8, "dec", False, "nsh", True, "nsh_si", 0, "no", "no", "nsh_si",
        (Id("NXOXM_NSH_SI", "NXOXM_NSH", 5, None, "2.8"),),
    ),
    Field(
        "nsh_c1", ("nshc1",), 4, 32, "hex", True, "nsh", True, "nsh_c1", 0, "no", "no", "nsh_c1",
        (Id("NXOXM_NSH_C1", "NXOXM_NSH", 6, None, "2.8"),),
    ),
    Field(
        "nsh_c2", ("nshc2",), 4, 32, "hex", True, "nsh", True, "nsh_c2", 0, "no", "no", "nsh_c2",
        (Id("NXOXM_NSH_C2", "NXOXM_NSH", 7, None, "2.8"),),
    ),
    Field(
        "nsh_c3", ("nshc3",), 4, 32, "hex", True, "nsh", True, "nsh_c3", 0, "no", "no", "nsh_c3",
        (Id("NXOXM_NSH_C3", "NXOXM_NSH", 8, None, "2.8"),),
    ),
    Field(
        "nsh_c4", ("nshc4",), 4, 32, "hex", True, "nsh", True, "nsh_c4", 0, "no", "no", "nsh_c4",
        (Id("NXOXM_NSH_C4", "NXOXM_NSH", 9, None, "2.8"),),
    ),
    Field(
        "tcp_src", ("tp_src",), 2, 16, "dec", True, "tcp", True, "tp_src", 0, "exact", "exact", "tp_src",
        (
            Id("OXM_OF_TCP_SRC", "OXM_OF", 13, "1.2", "1.7"),
            Id("NXM_OF_TCP_SRC", "NXM_OF", 9, None, "1.1"),
        ),
    ),
    Field(
        "tcp_dst", ("tp_dst",), 2, 16, "dec", True, "tcp", True, "tp_dst", 0, "exact", "exact", "tp_dst",
        (
            Id("OXM_OF_TCP_DST", "OXM_OF", 14, "1.2", "1.7"),
            Id("NXM_OF_TCP_DST", "NXM_OF", 10, None, "1.1"),
        ),
    ),
    Field(
        "tcp_flags", (), 2, 12, "tcp flags", True, "tcp", False, "tcp_flags", 0, "no", "no", "tcp_flags",
        (
            Id("ONFOXM_ET_TCP_FLAGS", "ONFOXM_ET", 42, "1.3", "2.4"),
            Id("OXM_OF_TCP_FLAGS", "OXM_OF", 42, "1.5", "2.4"),
            Id("NXM_NX_TCP_FLAGS", "NXM_NX", 34, None, "2.1"),
        ),
    ),
    Field(
        "udp_src", (), 2, 16, "dec", True, "udp", True, "tp_src", 0, "exact", "exact", "tp_src",
        (
            Id("OXM_OF_UDP_SRC", "OXM_OF", 15, "1.2", "1.7"),
            Id("NXM_OF_UDP_SRC", "NXM_OF", 11, None, "1.1"),
        ),
    ),
    Field(
        "udp_dst", (), 2, 16, "dec", True, "udp", True, "tp_dst", 0, "exact", "exact", "tp_dst",
        (
            Id("OXM_OF_UDP_DST", "OXM_OF", 16, "1.2", "1.7"),
            Id("NXM_OF_UDP_DST", "NXM_OF", 12, None, "1.1"),
        ),
    ),
    Field(
        "sctp_src", (), 2, 16, "dec", True, "sctp", True, "tp_src", 0, "no", "exact", "tp_src",
        (Id("OXM_OF_SCTP_SRC", "OXM_OF", 17, "1.2", "2.0"),),
    ),
    Field(
        "sctp_dst", (), 2, 16, "dec", True, "sctp", True, "tp_dst", 0, "no", "exact", "tp_dst",
        (Id("OXM_OF_SCTP_DST", "OXM_OF", 18, "1.2", "2.0"),),
    ),
    Field(
        "icmp_type", (), 1, 8, "dec", False, "icmp", True, "tp_src", 0, "exact", "exact", "icmp_type",
        (
            Id("OXM_OF_ICMPV4_TYPE", "OXM_OF", 19, "1.2", "1.7"),
            Id("NXM_OF_ICMP_TYPE", "NXM_OF", 13, None, "1.1"),
        ),
    ),
    Field(
        "icmp_code", (), 1, 8, "dec", False, "icmp", True, "tp_dst", 0, "exact", "exact", "icmp_code",
        (
            Id("OXM_OF_ICMPV4_CODE", "OXM_OF", 20, "1.2", "1.7"),
            Id("NXM_OF_ICMP_CODE", "NXM_OF", 14, None, "1.1"),
        ),
    ),
    Field(
        "icmpv6_type", (), 1, 8, "dec", False, "icmp6", True, "tp_src", 0, "no", "no", "icmp_type",
        (
            Id("OXM_OF_ICMPV6_TYPE", "OXM_OF", 29, "1.2", "1.7"),
            Id("NXM_NX_ICMPV6_TYPE", "NXM_NX", 21, None, "1.1"),
        ),
    ),
    Field(
        "icmpv6_code", (), 1, 8, "dec", False, "icmp6", True, "tp_dst", 0, "no", "no", "icmp_code",
        (
            Id("OXM_OF_ICMPV6_CODE", "OXM_OF", 30, "1.2", "1.7"),
            Id("NXM_NX_ICMPV6_CODE", "NXM_NX", 22, None, "1.1"),
        ),
    ),
    Field(
        "nd_target", (), 16, 128, "ipv6", True, "nd", True, "nd_target", 0, "no", "no", "nd_target",
        (
            Id("OXM_OF_IPV6_ND_TARGET", "OXM_OF", 31, "1.2", "1.7"),
            Id("NXM_NX_ND_TARGET", "NXM_NX", 23, None, "1.1"),
        ),
    ),
    Field(
        "nd_sll", (), 6, 48, "mac", True, "nd solicit", True, "arp_sha", 0, "no", "no", "nd_sll",
        (
            Id("OXM_OF_IPV6_ND_SLL", "OXM_OF", 32, "1.2", "1.7"),
            Id("NXM_NX_ND_SLL", "NXM_NX", 24, None, "1.1"),
        ),
    ),
    Field(
        "nd_tll", (), 6, 48, "mac", True, "nd advert", True, "arp_tha", 0, "no", "no", "nd_tll",
        (
            Id("OXM_OF_IPV6_ND_TLL", "OXM_OF", 33, "1.2", "1.7"),
            Id("NXM_NX_ND_TLL", "NXM_NX", 25, None, "1.1"),
        ),
    ),
    Field(
        "nd_reserved", (), 4, 32, "dec", False, "nd", True, "igmp_group", 0, "no", "no", "nd_reserved",
        (Id("ERICOXM_OF_ICMPV6_ND_RESERVED", "ERICOXM_OF", 1, None, "2.11"),),
    ),
    Field(
        "nd_options_type", (), 1, 8, "dec", False, "nd", True, "tcp_flags", 0, "no", "no", "nd_options_type",
        (Id("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", "ERICOXM_OF", 2, None, "2.11"),),
    ),
)
# fmt: on

FIELD: Final = MappingProxyType({name: field for field in FIELDS for name in (field.name, *field.aliases)})
ID: Final = MappingProxyType({(i.vendor, i.number): field for field in FIELDS for i in field.ids})
