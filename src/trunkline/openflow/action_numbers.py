"""Which version numbers which action how: tables, read by actions_decode and actions_encode.

An action is a type, a length that is a multiple of eight, and arguments.  Extensions have the type 0xffff, an
experimenter and a subtype of their own.  Plain layouts are rows here; what varies has a function there."""

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from trunkline.openflow import actions as a

HEAD: Final = Struct("!HH")
EXPERIMENTER: Final = Struct("!HHIH")
HH: Final = Struct("!HH")
OUTPUT11: Final = Struct("!HHIH6x")
ENQUEUE: Final = Struct("!HHH6xI")

# Standard actions whose arguments are one number: record -> (layout of type, length and arguments).
BYTE: Final = Struct("!HHB3x")
HALF: Final = Struct("!HHH2x")
WORD: Final = Struct("!HHI")
NOTHING: Final = Struct("!HH4x")
ADDRESS: Final = Struct("!HH6s6x")

# ---- which versions number which plain action how: (first, last, number, layout, maker, record) ----

_STANDARD: Final[tuple[tuple[int, int, int, Struct, Callable[..., a.Action], type], ...]] = (
    (1, 1, 1, HALF, a.SetVlanVid, a.SetVlanVid),
    (1, 1, 2, BYTE, a.SetVlanPcp, a.SetVlanPcp),
    (1, 1, 3, NOTHING, a.StripVlan, a.StripVlan),
    (1, 1, 4, ADDRESS, lambda mac: a.SetEthSrc(int.from_bytes(mac, "big")), a.SetEthSrc),
    (1, 1, 5, ADDRESS, lambda mac: a.SetEthDst(int.from_bytes(mac, "big")), a.SetEthDst),
    (1, 1, 6, WORD, a.SetIpv4Src, a.SetIpv4Src),
    (1, 1, 7, WORD, a.SetIpv4Dst, a.SetIpv4Dst),
    (1, 1, 8, BYTE, a.SetIpDscp, a.SetIpDscp),
    (1, 1, 9, HALF, a.SetL4SrcPort, a.SetL4SrcPort),
    (1, 1, 10, HALF, a.SetL4DstPort, a.SetL4DstPort),
    (2, 2, 1, HALF, lambda vid: a.SetVlanVid(vid, False), a.SetVlanVid),
    (2, 2, 2, BYTE, lambda pcp: a.SetVlanPcp(pcp, False), a.SetVlanPcp),
    (2, 2, 3, ADDRESS, lambda mac: a.SetEthSrc(int.from_bytes(mac, "big")), a.SetEthSrc),
    (2, 2, 4, ADDRESS, lambda mac: a.SetEthDst(int.from_bytes(mac, "big")), a.SetEthDst),
    (2, 2, 5, WORD, a.SetIpv4Src, a.SetIpv4Src),
    (2, 2, 6, WORD, a.SetIpv4Dst, a.SetIpv4Dst),
    (2, 2, 7, BYTE, a.SetIpDscp, a.SetIpDscp),
    (2, 2, 8, BYTE, a.SetIpEcn, a.SetIpEcn),
    (2, 2, 9, HALF, a.SetL4SrcPort, a.SetL4SrcPort),
    (2, 2, 10, HALF, a.SetL4DstPort, a.SetL4DstPort),
    (2, 2, 13, WORD, a.SetMplsLabel, a.SetMplsLabel),
    (2, 2, 14, BYTE, a.SetMplsTc, a.SetMplsTc),
    (2, 6, 15, BYTE, a.SetMplsTtl, a.SetMplsTtl),
    (2, 6, 16, NOTHING, a.DecMplsTtl, a.DecMplsTtl),
    (2, 6, 17, HALF, a.PushVlan, a.PushVlan),
    (2, 6, 18, NOTHING, lambda: a.StripVlan(True), a.StripVlan),
    (2, 6, 19, HALF, a.PushMpls, a.PushMpls),
    (2, 6, 20, HALF, a.PopMpls, a.PopMpls),
    (2, 6, 21, WORD, a.SetQueue, a.SetQueue),
    (2, 6, 22, WORD, a.Group, a.Group),
    (2, 6, 23, BYTE, a.SetIpTtl, a.SetIpTtl),
    (2, 6, 24, NOTHING, a.DecTtl, a.DecTtl),
    (6, 6, 29, WORD, a.Meter, a.Meter),
)

# ---- Nicira's plain ones: subtype, layout after the subtype, record  ----

_NICIRA: Final[tuple[tuple[int, Struct, Callable[..., a.Action], type], ...]] = (
    (2, Struct("!2xI"), a.SetTunnel, a.SetTunnel),
    (4, Struct("!2xI"), a.SetQueue, a.SetQueue),
    (5, Struct("!6x"), a.PopQueue, a.PopQueue),
    (9, Struct("!6xQ"), lambda i: a.SetTunnel(i, True), a.SetTunnel),
    (17, Struct("!6x"), a.Exit, a.Exit),
    (18, Struct("!6x"), a.DecTtl, a.DecTtl),
    (19, Struct("!HH2x"), a.FinTimeout, a.FinTimeout),
    (22, Struct("!6xQQ"), a.WriteMetadata, a.WriteMetadata),
    (23, Struct("!H4x"), a.PushMpls, a.PushMpls),
    (24, Struct("!H4x"), a.PopMpls, a.PopMpls),
    (25, Struct("!B5x"), a.SetMplsTtl, a.SetMplsTtl),
    (26, Struct("!6x"), a.DecMplsTtl, a.DecMplsTtl),
    (29, Struct("!HIII"), a.Sample, a.Sample),
    (30, Struct("!2xI"), a.SetMplsLabel, a.SetMplsLabel),
    (31, Struct("!B5x"), a.SetMplsTc, a.SetMplsTc),
    (40, Struct("!2xI"), a.Group, a.Group),
    (43, Struct("!6x"), a.CtClear, a.CtClear),
    (48, Struct("!6x"), a.DecNshTtl, a.DecNshTtl),
)

STANDARD_BY_NUMBER: Final = {
    (version, number): (layout, make)
    for first, last, number, layout, make, _ in _STANDARD
    for version in range(
        first, (6 if first == 2 else last) + 1
    )  # what 1.1 brought is taken in all later ones
}
STANDARD_BY_TYPE: Final = {
    (version, kind): (number, layout)
    for first, last, number, layout, _, kind in _STANDARD
    for version in range(first, last + 1)
}
NICIRA_BY_NUMBER: Final = {number: (layout, make) for number, layout, make, _ in _NICIRA}
NICIRA_BY_TYPE: Final = {kind: (number, layout) for number, layout, _, kind in reversed(_NICIRA)}

_LONGEST: Final = 65528


class Bounds(NamedTuple):
    """The wire versions that have an extension action, and how long it may be, header included."""

    first: int
    last: int
    shortest: int
    longest: int


# (first subtype, versions, lengths); every Nicira action that there is.
_NICIRA_BOUNDS: Final = (
    *((number, 1, 6, 16, 16) for number in (1, 2, 5, 14, 17, 19, 20, 34, 39, 43, 44, 254, 255)),
    *((number, 1, 1, 16, 16) for number in (4, 18, 23, 24, 25, 26, 30, 31, 40)),  # standard since 1.1
    *((number, 1, 6, 24, 24) for number in (9, 15, 27, 28, 29, 32, 50)),
    *((number, 1, 6, 32, 32) for number in (10, 22, 38, 41)),
    *((number, 1, 6, 16, _LONGEST) for number in (8, 21, 36, 37, 42)),
    *((number, 1, 6, 24, _LONGEST) for number in (35, 49)),
    *((number, 1, 6, 32, _LONGEST) for number in (12, 13, 16)),
    (45, 1, 6, 40, _LONGEST),
    (6, 1, 5, 16, _LONGEST),  # 1.5 has copy_field and masked set_field
    (7, 1, 5, 24, 24),
    (33, 1, 5, 16, _LONGEST),
    (46, 4, 6, 16, _LONGEST),  # what has to do with the type of a packet
    (47, 4, 6, 16, _LONGEST),
    (48, 4, 6, 16, 16),
)
NICIRA_BOUNDS: Final = {number: Bounds(*bounds) for number, *bounds in _NICIRA_BOUNDS}
ONF_BOUNDS: Final = {3200: Bounds(4, 5, 24, _LONGEST)}

# A field that an action sets by itself, for versions that have set_field in its place.
AS_SET_FIELD: Final[dict[type, str]] = {
    a.SetVlanPcp: "vlan_pcp",
    a.SetEthSrc: "eth_src",
    a.SetEthDst: "eth_dst",
    a.SetIpv4Src: "ip_src",
    a.SetIpv4Dst: "ip_dst",
    a.SetIpEcn: "nw_ecn",
    a.SetMplsLabel: "mpls_label",
    a.SetMplsTc: "mpls_tc",
    a.SetTunnel: "tun_id",
}
