"""How matches are shown: which words, in which order, with which values in which form.

The order of the fields is the tables below; their forms are those of model/fields.py, but for a few.  A row
is shown when the match constrains it and its group of packets is the one that the match is for.  All that
depends on the kind of packet and on the mask alone: the *shape* of a match, which is remembered, for tables
hold few shapes.  It is made of runs of words, each a template and a list of what goes into it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from trunkline.base.addresses import OCTETS
from trunkline.flow.key import OFFSET, VIEW, VLAN_CFI, View
from trunkline.flow.match import Match, ethernet_type, exact_value
from trunkline.flow.values import (
    FORMS,
    Form,
    Maker,
    decimal_form,
    label_form,
    nsh_form,
    octet_form,
    type_form,
    write_packet_type,
)
from trunkline.model.fields import FIELD

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


class _Row(NamedTuple):
    shown: str
    field: str  # of model/fields.py, or a slot of the key
    view: View
    form: Maker
    group: str = ""  # "" always


# How values are written that have a form of their own in a match, and slots that are no fields of OpenFlow's.
_FORMS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "ct_zone": decimal_form,
        "tun_tos": decimal_form,
        "tun_ttl": decimal_form,
        "ipv6_label": label_form,
        "nsh_flags": octet_form,
        "nsh_spi": nsh_form,
        **dict.fromkeys(("nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4"), nsh_form),
        "ip_dscp": lambda mask, bits: Form("%s", OCTETS[::4].__getitem__),  # its place in nw_tos
        "mpls1": decimal_form,
        "mpls2": decimal_form,
    }
)
_SHOWN: Final = MappingProxyType(
    {
        "tun_gtpu_flags": "gtpu_flags",
        "tun_gtpu_msgtype": "gtpu_msgtype",
        "ip_dscp": "nw_tos",
        "mpls1": "mpls_lse1",
        "mpls2": "mpls_lse2",
    }
)


def _rows(group: str, fields: str) -> tuple[_Row, ...]:
    return tuple(
        _Row(_SHOWN.get(name, name), name, VIEW[name], _FORMS.get(name) or FORMS[FIELD[name].format], group)
        for name in fields.split()
    )


METADATA: Final = (
    *_rows(
        "", "pkt_mark recirc_id dp_hash conj_id skb_priority actset_output ct_state ct_zone ct_mark ct_label"
    ),
    *_rows("ipv4", "ct_nw_src ct_nw_dst"),
    *_rows("ipv6", "ct_ipv6_src ct_ipv6_dst"),
    *_rows("", "ct_nw_proto"),
    *_rows("ct", "ct_tp_src ct_tp_dst"),
)
REGISTERS: Final = _rows("", " ".join(f"reg{i}" for i in range(16)))
TUNNEL: Final = _rows(
    "",
    "tun_id tun_src tun_dst tun_ipv6_src tun_ipv6_dst tun_gbp_id tun_gbp_flags tun_tos tun_ttl "
    "tun_erspan_ver tun_erspan_idx tun_erspan_dir tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype tun_flags",
)
_REGISTERS_AND_TUNNEL: Final = REGISTERS + TUNNEL
_PORT: Final = _rows("", "metadata in_port")
_ETHERNET: Final = _rows("", "dl_src dl_dst")
_NETWORK: Final = (
    *_rows("ipv6", "ipv6_src ipv6_dst ipv6_label"),
    *_rows("arp", "arp_spa arp_tpa"),
    *_rows("not arp or ipv6", "nw_src nw_dst"),
    *_rows("arp", "arp_op"),
    *_rows("nsh", "nsh_flags nsh_ttl nsh_mdtype nsh_np nsh_spi nsh_si"),
    *_rows("nsh md1", "nsh_c1 nsh_c2 nsh_c3 nsh_c4"),
    *_rows("protocol", "nw_proto"),
    *_rows("arp", "arp_sha arp_tha"),
    *_rows("", "ip_dscp nw_ecn nw_ttl mpls_label mpls_tc mpls_ttl mpls_bos mpls1 mpls2 nw_frag"),
    *_rows("icmp", "icmp_type icmp_code"),
    *_rows("not icmp", "tp_src tp_dst"),
    *_rows("nd", "nd_target nd_sll nd_tll nd_reserved nd_options_type"),
    *_rows("tcp", "tcp_flags"),
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
    form: Form | None = None
    shift: int = 0
    ones: int = 0


def _parts(match: Match, rows: tuple[_Row, ...], groups: frozenset[str]) -> Iterator[_Part]:
    mask = match.mask
    for shown, _, (shift, ones, place), form, group in rows:
        if mask & place and group in groups:
            yield _Part(f"{shown}=", form(mask >> shift & ones, ones.bit_length()), shift, ones)


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


def _vlan_parts(match: Match, slot: str, suffix: str) -> Iterator[_Part]:
    """Depends on the CFI bit, and of the rest of the value not at all."""
    shift = OFFSET[slot]
    mask = match.mask >> shift & 0xFFFF
    if match.value >> shift & VLAN_CFI and mask in (0x1FFF, 0xF000, 0xFFFF):
        if mask & 0xFFF:
            yield _Part(f"dl_vlan{suffix}=", Form("%d"), shift, 0xFFF)
        if mask & 0xE000:
            yield _Part(f"dl_vlan_pcp{suffix}=", Form("%d"), shift + 13, 7)
    elif mask:
        yield _Part(f"vlan_tci{suffix}=", type_form(mask, 16), shift, 0xFFFF)


_Value = tuple[int, int, Callable[..., str | int] | None]
"""Where a value is and what is shown of it: shift, ones, `Form.show`."""


class _Run(NamedTuple):
    """Words that follow each other: a template, and the values that go into it."""

    template: str
    values: tuple[_Value, ...]


def _run(parts: list[_Part]) -> _Run:
    values: list[_Value] = []
    words = []
    for text, form, shift, ones in parts:
        words.append(text if form is None else text + form.template)
        if form is not None:
            values.append((shift, ones, form.show))
    return _Run(",".join(words), tuple(values))


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
        parts.append(_Part("dl_type=", type_form(mask >> shift & ones, 16), shift, ones))
    parts += _parts(match, _NETWORK, groups)
    return tuple(run for run in (*runs, _run(parts)) if run.template)
