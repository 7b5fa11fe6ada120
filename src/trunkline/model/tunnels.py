"""The types of tunnels: what each is called, what it runs over, and which of the options it understands.

One row a type.  All tunnels of one type and UDP port share one port of the datapath, the *tunnel's datapath
port*, named after both (``vxlan_sys_4789``).  Options are those of ovs-vswitchd.conf.db(5),
Interface:options; names, numbers and defaults are the original's.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

LEGACY_L2: Final = "legacy_l2"  # whole Ethernet frames
LEGACY_L3: Final = "legacy_l3"  # packets without an Ethernet header
PTAP: Final = "ptap"  # both: packets say of which type they are

UDP: Final = 17
GRE: Final = 47
TCP: Final = 6  # stt only looks like it


class TunnelType(NamedTuple):
    """`prefix` begins the name of the datapath port; `protocol` is the outer IP protocol; `port` the usual
    UDP port (of stt that of TCP), None where there are no ports; `number` stands in the text of tnl_push
    actions; `modes` are the packet types that it can carry, the usual one first.
    `sequenced`: the option seq; `summed`: the option csum; `extensions`: what options:exts may name.
    """

    name: str
    prefix: str
    protocol: int
    port: int | None
    number: int
    modes: tuple[str, ...]
    extensions: frozenset[str] = frozenset()
    sequenced: bool = False
    summed: bool = False
    erspan: bool = False
    payload: bool = False
    family: int = 0  # 6: over IPv6 alone
    protected: bool = False  # options:psk may encrypt it

    @property
    def numbered(self) -> bool:
        """Whether each packet has a number, whatever the options say."""
        return self.erspan or self.protocol == TCP


def _rows() -> Mapping[str, TunnelType]:
    """The numbers are those of the original's virtual ports."""
    rows = (
        TunnelType(
            "gre",
            "gre_sys",
            GRE,
            None,
            3,
            (LEGACY_L2, LEGACY_L3, PTAP),
            sequenced=True,
            summed=True,
            protected=True,
        ),
        TunnelType(
            "ip6gre",
            "ip6gre_sys",
            GRE,
            None,
            109,
            (LEGACY_L2, PTAP),
            sequenced=True,
            summed=True,
            family=6,
        ),
        TunnelType(
            "vxlan",
            "vxlan_sys",
            UDP,
            4789,
            4,
            (LEGACY_L2, LEGACY_L3, PTAP),
            frozenset(("gbp", "gpe")),
            summed=True,
            protected=True,
        ),
        TunnelType("geneve", "genev_sys", UDP, 6081, 5, (LEGACY_L2, PTAP), summed=True, protected=True),
        TunnelType("lisp", "lisp_sys", UDP, 4341, 105, (LEGACY_L3, PTAP)),
        TunnelType("stt", "stt_sys", TCP, 7471, 106, (LEGACY_L2,), summed=True),
        TunnelType("erspan", "erspan_sys", GRE, None, 107, (LEGACY_L2,), erspan=True),
        TunnelType("ip6erspan", "ip6erspan_sys", GRE, None, 108, (LEGACY_L2,), erspan=True, family=6),
        TunnelType("gtpu", "gtpu_sys", UDP, 2152, 110, (LEGACY_L3,)),
        TunnelType("bareudp", "udp_sys", UDP, 0, 111, (LEGACY_L3,), payload=True),
    )
    return MappingProxyType({row.name: row for row in rows})


TUNNEL_TYPES: Final = _rows()
"""By the name in Interface:type."""


def _numbers() -> Mapping[int, Mapping[int, int]]:
    """GRE has a number for each family of outer addresses, whichever type of interface it is that sends them."""
    both = {row.number: {4: row.number, 6: row.number} for row in TUNNEL_TYPES.values()}
    for four, six in (("gre", "ip6gre"), ("erspan", "ip6erspan")):
        pair = {4: TUNNEL_TYPES[four].number, 6: TUNNEL_TYPES[six].number}
        both.update(dict.fromkeys(pair.values(), pair))
    return MappingProxyType(both)


NUMBER_OVER: Final = _numbers()
"""The number in ``tnl_push(...,header(type=N`` by that of the tunnel's type and the outer IP version."""

DEFAULT_TTL: Final = 64
MAX_OPTIONS: Final = 256  # bytes that the options of a bridge's TLV table may take
OPTION_FIELDS: Final = 64  # tun_metadata0 to tun_metadata63


def describe_datapath_port(type: str, port: int) -> str:
    """What a tunnel's datapath port is, as dpctl/show has it."""
    row = TUNNEL_TYPES[type]
    parts = ["packet_type=ptap"]
    if row.erspan:
        parts.insert(0, "erspan_ver=0")
    if row.port is not None and port != row.port:
        parts.insert(0, f"dst_port={port}")
    return f"{type}: {', '.join(parts)}"


def datapath_port_name(type: str, port: int) -> str:
    """`port` is the UDP port; it is not looked at where the type has none."""
    row = TUNNEL_TYPES[type]
    return row.prefix if row.port is None else f"{row.prefix}_{port}"
