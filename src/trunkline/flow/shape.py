"""How matches are shown: which words, in which order, with which values in which form.

The order of the fields, their names and their forms are the tables below; a row is shown when the match
constrains it and its group of packets is the one that the match is for.  All that depends on the kind of
packet and on the mask alone: the *shape* of a match, which is remembered, for tables hold few shapes.  It is
made of runs of words, each a template and a list of what goes into it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from trunkline.flow.key import OFFSET, VIEW, VLAN_CFI, View
from trunkline.flow.match import Match, ethernet_type, exact_value
from trunkline.flow.values import (
    TextContext,
    write_ct_state,
    write_decimal,
    write_fragment,
    write_hex,
    write_ipv4,
    write_ipv6,
    write_label,
    write_mac,
    write_nsh,
    write_octet,
    write_packet_type,
    write_port,
    write_tcp_flags,
    write_tun_flags,
    write_type,
)

_IPV4, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_MPLS, _MPLS_MULTICAST, _NSH = 0x8847, 0x8848, 0x894F

# word -> (dl_type, nw_proto)
SHORTHANDS: Final = MappingProxyType(
    {
        "eth": (None, None),
        "ip": (_IPV4, None),
        "ipv4": (_IPV4, None),
        "ip4": (_IPV4, None),
        "icmp": (_IPV4, 1),
        "tcp": (_IPV4, 6),
        "udp": (_IPV4, 17),
        "sctp": (_IPV4, 132),
        "ipv6": (_IPV6, None),
        "ip6": (_IPV6, None),
        "icmp6": (_IPV6, 58),
        "tcp6": (_IPV6, 6),
        "udp6": (_IPV6, 17),
        "sctp6": (_IPV6, 132),
        "arp": (_ARP, None),
        "rarp": (_RARP, None),
        "mpls": (_MPLS, None),
        "mplsm": (_MPLS_MULTICAST, None),
    }
)
# What a match with this dl_type (and nw_proto) is called; the pair before the type alone.
_CALLED: Final = MappingProxyType(
    {pair: name for name, pair in SHORTHANDS.items() if name not in ("eth", "ipv4", "ip4", "ip6")}
)

_Form = Callable[[int, int, int, TextContext], str]


class _Row(NamedTuple):
    shown: str
    field: str  # or slot
    view: View
    form: _Form
    group: str = ""  # "" always


def _rows(group: str, *rows: tuple[str, str, _Form]) -> tuple[_Row, ...]:
    return tuple(
        _Row(shown, field or shown, VIEW[field or shown], form, group) for shown, field, form in rows
    )


METADATA: Final = (
    *_rows(
        "",
        ("pkt_mark", "", write_hex),
        ("recirc_id", "", write_hex),
        ("dp_hash", "", write_hex),
        ("conj_id", "", write_decimal),
        ("skb_priority", "", write_hex),
        ("actset_output", "", write_port),
        ("ct_state", "", write_ct_state),
        ("ct_zone", "", write_decimal),
        ("ct_mark", "", write_hex),
        ("ct_label", "", write_hex),
    ),
    *_rows("ipv4", ("ct_nw_src", "", write_ipv4), ("ct_nw_dst", "", write_ipv4)),
    *_rows("ipv6", ("ct_ipv6_src", "", write_ipv6), ("ct_ipv6_dst", "", write_ipv6)),
    *_rows("", ("ct_nw_proto", "", write_decimal)),
    *_rows(
        "ct",
        ("ct_tp_src", "", write_decimal),
        ("ct_tp_dst", "", write_decimal),
    ),
)
REGISTERS: Final = _rows("", *((f"reg{i}", "", write_hex) for i in range(16)))
TUNNEL: Final = _rows(
    "",
    ("tun_id", "", write_hex),
    ("tun_src", "", write_ipv4),
    ("tun_dst", "", write_ipv4),
    ("tun_ipv6_src", "", write_ipv6),
    ("tun_ipv6_dst", "", write_ipv6),
    ("tun_gbp_id", "", write_decimal),
    ("tun_gbp_flags", "", write_hex),
    ("tun_tos", "", write_decimal),
    ("tun_ttl", "", write_decimal),
    ("tun_erspan_ver", "", write_decimal),
    ("tun_erspan_idx", "", write_hex),
    ("tun_erspan_dir", "", write_decimal),
    ("tun_erspan_hwid", "", write_hex),
    ("gtpu_flags", "tun_gtpu_flags", write_hex),
    ("gtpu_msgtype", "tun_gtpu_msgtype", write_decimal),
    ("tun_flags", "", write_tun_flags),
)
_REGISTERS_AND_TUNNEL: Final = REGISTERS + TUNNEL
_PORT: Final = _rows("", ("metadata", "", write_hex), ("in_port", "", write_port))
_ETHERNET: Final = _rows("", ("dl_src", "", write_mac), ("dl_dst", "", write_mac))
_NETWORK: Final = (
    *_rows(
        "ipv6",
        ("ipv6_src", "", write_ipv6),
        ("ipv6_dst", "", write_ipv6),
        ("ipv6_label", "", write_label),
    ),
    *_rows("arp", ("arp_spa", "", write_ipv4), ("arp_tpa", "", write_ipv4)),
    *_rows("not arp or ipv6", ("nw_src", "", write_ipv4), ("nw_dst", "", write_ipv4)),
    *_rows("arp", ("arp_op", "", write_decimal)),
    *_rows(
        "nsh",
        ("nsh_flags", "", write_octet),
        ("nsh_ttl", "", write_decimal),
        ("nsh_mdtype", "", write_decimal),
        ("nsh_np", "", write_decimal),
        ("nsh_spi", "", write_nsh),
        ("nsh_si", "", write_decimal),
    ),
    *_rows("nsh md1", *((f"nsh_c{i}", "", write_nsh) for i in range(1, 5))),
    *_rows("protocol", ("nw_proto", "", write_decimal)),
    *_rows("arp", ("arp_sha", "", write_mac), ("arp_tha", "", write_mac)),
    *_rows(
        "",
        ("nw_tos", "ip_dscp", lambda value, mask, bits, context: str(value << 2)),
        ("nw_ecn", "", write_decimal),
        ("nw_ttl", "", write_decimal),
        ("mpls_label", "", write_decimal),
        ("mpls_tc", "", write_decimal),
        ("mpls_ttl", "", write_decimal),
        ("mpls_bos", "", write_decimal),
        ("mpls_lse1", "mpls1", write_decimal),
        ("mpls_lse2", "mpls2", write_decimal),
        ("nw_frag", "", write_fragment),
    ),
    *_rows("icmp", ("icmp_type", "", write_decimal), ("icmp_code", "", write_decimal)),
    *_rows("not icmp", ("tp_src", "", write_decimal), ("tp_dst", "", write_decimal)),
    *_rows(
        "nd",
        ("nd_target", "", write_ipv6),
        ("nd_sll", "", write_mac),
        ("nd_tll", "", write_mac),
        ("nd_reserved", "", write_decimal),
        ("nd_options_type", "", write_decimal),
    ),
    *_rows("tcp", ("tcp_flags", "", write_tcp_flags)),
)


def _groups(match: Match, called: str) -> frozenset[str]:
    """Which groups of rows a match is for."""
    kind = ethernet_type(match)
    protocol = exact_value(match, "nw_proto")
    groups = {"", "ct"} if match.mask & VIEW["ct_nw_proto"].mask else {""}
    groups |= {_IPV4: {"ipv4"}, _IPV6: {"ipv6"}, _ARP: {"arp"}, _RARP: {"arp"}, _NSH: {"nsh"}}.get(
        kind or 0, set()
    )
    if kind not in (_IPV6, _ARP, _RARP, _NSH):
        groups.add("not arp or ipv6")
    if kind == _NSH and exact_value(match, "nsh_mdtype") == 1:
        groups.add("nsh md1")
    if kind not in (_ARP, _RARP) and SHORTHANDS.get(called, (None, None))[1] is None:
        groups.add("protocol")
    if (kind, protocol) in ((_IPV4, 1), (_IPV6, 58)):
        groups |= {"icmp", "nd"} if kind == _IPV6 else {"icmp"}
    else:
        groups.add("not icmp")
    if protocol == 6 and kind in (_IPV4, _IPV6):
        groups.add("tcp")
    return frozenset(groups)


class _Part(NamedTuple):
    """What a match shows: `words` as they are, followed by a field's value where `form` is given."""

    words: str
    form: _Form | None = None
    shift: int = 0
    ones: int = 0
    mask: int = 0
    bits: int = 0


def _parts(match: Match, rows: tuple[_Row, ...], groups: frozenset[str]) -> Iterator[_Part]:
    mask = match.mask
    for shown, _, (shift, ones, place), form, group in rows:
        if mask & place and group in groups:
            yield _Part(f"{shown}=", form, shift, ones, mask >> shift & ones, ones.bit_length())


def _written_type(match: Match) -> tuple[list[str], str]:
    """(words for packet type and shorthand, the shorthand or "")."""
    words = []
    kind = exact_value(match, "dl_type")
    packet_type = exact_value(match, "packet_type")
    if packet_type == 0:
        if exact_value(match, "recirc_id") is not None:
            words.append("eth")
    elif packet_type is not None:
        words.append(f"packet_type={write_packet_type(packet_type, -1)}")
    called = _CALLED.get((kind, exact_value(match, "nw_proto"))) or _CALLED.get((kind, None)) or ""
    return words + ([called] if called else []), called


def _write_vid(value: int, mask: int, bits: int, context: TextContext) -> str:
    return str(value & 0xFFF)


def _write_pcp(value: int, mask: int, bits: int, context: TextContext) -> str:
    return str(value >> 13)


def _write_tci(value: int, mask: int, bits: int, context: TextContext) -> str:
    return f"{value:#06x}" + ("" if mask == 0xFFFF else f"/{mask:#06x}")


def _vlan_parts(match: Match, slot: str, suffix: str) -> Iterator[_Part]:
    """Depends on the CFI bit, and of the rest of the value not at all."""
    shift = OFFSET[slot]
    mask = match.mask >> shift & 0xFFFF
    if match.value >> shift & VLAN_CFI and mask in (0x1FFF, 0xF000, 0xFFFF):
        if mask & 0xFFF:
            yield _Part(f"dl_vlan{suffix}=", _write_vid, shift, 0xFFFF, mask)
        if mask & 0xE000:
            yield _Part(f"dl_vlan_pcp{suffix}=", _write_pcp, shift, 0xFFFF, mask)
    elif mask:
        yield _Part(f"vlan_tci{suffix}=", _write_tci, shift, 0xFFFF, mask)


_Value = tuple[int, int, _Form | None, int, int]
"""Where a value is and how it is shown: shift, ones, form (None: as a plain number), mask, bits."""


class _Run(NamedTuple):
    """Words that follow each other: a template, and the values that go into it."""

    template: str
    values: tuple[_Value, ...]


def _run(parts: list[_Part]) -> _Run:
    values: list[_Value] = []
    for _, form, shift, ones, mask, bits in parts:
        if form is not None:
            plain = form is write_decimal and mask == ones
            values.append((shift, ones, None if plain else form, mask, bits))
    return _Run(",".join(part.words + "%s" * (part.form is not None) for part in parts), tuple(values))


OPTIONS: Final = _Run("tunnel options", ())  # in their place; which there are, the bridge knows
# What decides, beside the kind of packet, how a match is shown.
SHAPE: Final = VIEW["nsh_mdtype"].mask | VLAN_CFI << OFFSET["vlan1_tci"]


@lru_cache(maxsize=2048)
def shape(value: int, mask: int) -> tuple[_Run, ...]:
    """How matches are shown that have this kind and mask; `value` has the bits of SHAPE and the kind's."""
    match = Match(value, mask)
    words, called = _written_type(match)
    groups = _groups(match, called)
    parts = [*_parts(match, METADATA, groups), *(_Part(word) for word in words)]
    parts += _parts(match, _REGISTERS_AND_TUNNEL, groups)
    runs = []
    if mask & VIEW["tun_metadata_present"].mask:
        runs = [_run(parts), OPTIONS]
        parts.clear()
    parts += _parts(match, _PORT, groups)
    parts += _vlan_parts(match, "vlan_tci", "")
    parts += _vlan_parts(match, "vlan1_tci", "1")
    parts += _parts(match, _ETHERNET, groups)
    shift, ones, place = VIEW["dl_type"]
    if not called and mask & place:
        parts.append(_Part("dl_type=", write_type, shift, ones, mask >> shift & ones, 16))
    parts += _parts(match, _NETWORK, groups)
    return tuple(run for run in (*runs, _run(parts)) if run.template)
