"""Datapath flow keys and masks as text: `recirc_id(0),in_port(1),eth(...),eth_type(0x0800),ipv4(...)`.

The text is a list of attributes, each with its own fields in parentheses, as ovs-dpctl and `ovs-appctl
dpctl/*` print and read them.  What attributes there are, in which order, with which fields in which form, is
the table below; a packet's attributes follow from its types, and what lies behind a VLAN tag is nested in
`encap(...)`.

A key comes with a mask.  In the brief form what the mask leaves open is left out; the full form (`-m`) writes
`value/mask` everywhere.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from trunkline.base.addresses import parse_ipv6, scan_ipv4, scan_mac
from trunkline.dpif.tunnel_text import format_tunnel, parse_tunnel, tunnel_bits
from trunkline.flow.key import CT_STATE_FLAGS, OFFSET, TCP_FLAGS, VIEW, bits, get
from trunkline.flow.values import (
    TextError,
    parse_flags,
    scan_integer,
    write_flags,
    write_ipv4,
    write_ipv6,
    write_mac,
)
from trunkline.model.fields import TRANSPORTS

_NO_TYPE = 0x05FF


# ---- forms: how one value is written and read


class _Form(NamedTuple):
    write: Callable[[int, int, int], str]  # value, mask, ones
    read: Callable[[str, int], int | None]


def _integer(text: str, ones: int) -> int | None:
    value = scan_integer(text)
    return value if value is not None and value <= ones else None


def _write_decimal(value: int, mask: int, ones: int) -> str:
    return str(value) if mask == ones else f"{value}/{short_hex(mask)}"


def _write_hexadecimal(value: int, mask: int, ones: int) -> str:
    return short_hex(value) if mask == ones else f"{short_hex(value)}/{short_hex(mask)}"


def _write_tag(value: int, mask: int, ones: int) -> str:
    return str(value) if mask == ones else f"{value}/{mask:#x}"


def short_hex(value: int) -> str:
    """As C's %#x: zero is bare."""
    return f"{value:#x}" if value else "0"


def _read_mac(text: str, ones: int) -> int | None:
    found = scan_mac(text)
    return found[0] if found and found[1] == len(text) else None


def _read_ipv4(text: str, ones: int) -> int | None:
    found = scan_ipv4(text)
    return found[0] if found and found[1] == len(text) else None


def _read_ipv6(text: str, ones: int) -> int | None:
    return parse_ipv6(text)


_FRAGMENTS = {"no": 0, "first": 1, "later": 3}


def _write_fragment(value: int, mask: int, ones: int) -> str:
    return next((name for name, number in _FRAGMENTS.items() if number == value & 3), "<error>")


def _read_fragment(text: str, ones: int) -> int | None:
    return _FRAGMENTS.get(text)


_DECIMAL: Final = _Form(_write_decimal, _integer)
_HEXADECIMAL: Final = _Form(_write_hexadecimal, _integer)
_TAG: Final = _Form(_write_tag, _integer)
_MAC: Final = _Form(lambda value, mask, ones: write_mac(value, mask), _read_mac)
# A prefix is written as a dotted mask here, unlike in OpenFlow's text.
_IPV6: Final = _Form(lambda value, mask, ones: _plain_ipv6(value, mask), _read_ipv6)
_IPV4: Final = _Form(lambda value, mask, ones: _plain_ipv4(value, mask), _read_ipv4)
_FRAGMENT: Final = _Form(_write_fragment, _read_fragment)


def _plain_ipv4(value: int, mask: int) -> str:
    every = 0xFFFFFFFF
    return (
        write_ipv4(value, every) if mask == every else f"{write_ipv4(value, every)}/{write_ipv4(mask, every)}"
    )


def _plain_ipv6(value: int, mask: int) -> str:
    every = (1 << 128) - 1
    return (
        write_ipv6(value, every) if mask == every else f"{write_ipv6(value, every)}/{write_ipv6(mask, every)}"
    )


# ---- the table


class _Part(NamedTuple):
    name: str
    field: str  # of flow/key.py
    form: _Form


def _parts(*rows: tuple[str, str, _Form]) -> tuple[_Part, ...]:
    return tuple(_Part(*row) for row in rows)


_PORTS = _parts(("src", "tp_src", _DECIMAL), ("dst", "tp_dst", _DECIMAL))
_TYPE_CODE = _parts(("type", "icmp_type", _DECIMAL), ("code", "icmp_code", _DECIMAL))
_NSH = _parts(
    ("flags", "nsh_flags", _DECIMAL),
    ("ttl", "nsh_ttl", _DECIMAL),
    ("mdtype", "nsh_mdtype", _DECIMAL),
    ("np", "nsh_np", _DECIMAL),
    ("spi", "nsh_spi", _HEXADECIMAL),
    ("si", "nsh_si", _DECIMAL),
    ("c1", "nsh_c1", _HEXADECIMAL),
    ("c2", "nsh_c2", _HEXADECIMAL),
    ("c3", "nsh_c3", _HEXADECIMAL),
    ("c4", "nsh_c4", _HEXADECIMAL),
)

# attribute -> its fields
NESTED: Final[Mapping[str, tuple[_Part, ...]]] = MappingProxyType(
    {
        "ct_tuple4": _parts(
            ("src", "ct_nw_src", _IPV4),
            ("dst", "ct_nw_dst", _IPV4),
            ("proto", "ct_nw_proto", _DECIMAL),
            ("tp_src", "ct_tp_src", _DECIMAL),
            ("tp_dst", "ct_tp_dst", _DECIMAL),
        ),
        "ct_tuple6": _parts(
            ("src", "ct_ipv6_src", _IPV6),
            ("dst", "ct_ipv6_dst", _IPV6),
            ("proto", "ct_nw_proto", _DECIMAL),
            ("src_port", "ct_tp_src", _DECIMAL),
            ("dst_port", "ct_tp_dst", _DECIMAL),
        ),
        "eth": _parts(("src", "dl_src", _MAC), ("dst", "dl_dst", _MAC)),
        "ipv4": _parts(
            ("src", "nw_src", _IPV4),
            ("dst", "nw_dst", _IPV4),
            ("proto", "nw_proto", _DECIMAL),
            ("tos", "nw_tos", _HEXADECIMAL),
            ("ttl", "nw_ttl", _DECIMAL),
            ("frag", "nw_frag", _FRAGMENT),
        ),
        "ipv6": _parts(
            ("src", "ipv6_src", _IPV6),
            ("dst", "ipv6_dst", _IPV6),
            ("label", "ipv6_label", _HEXADECIMAL),
            ("proto", "nw_proto", _DECIMAL),
            ("tclass", "nw_tos", _HEXADECIMAL),
            ("hlimit", "nw_ttl", _DECIMAL),
            ("frag", "nw_frag", _FRAGMENT),
        ),
        "arp": _parts(
            ("sip", "arp_spa", _IPV4),
            ("tip", "arp_tpa", _IPV4),
            ("op", "arp_op", _DECIMAL),
            ("sha", "arp_sha", _MAC),
            ("tha", "arp_tha", _MAC),
        ),
        "nd": _parts(("target", "nd_target", _IPV6), ("sll", "nd_sll", _MAC), ("tll", "nd_tll", _MAC)),
        "nd_ext": _parts(
            ("nd_reserved", "nd_reserved", _HEXADECIMAL), ("nd_options_type", "nd_options_type", _DECIMAL)
        ),
        "nsh": _NSH,
        "tcp": _PORTS,
        "udp": _PORTS,
        "sctp": _PORTS,
        "icmp": _TYPE_CODE,
        "icmpv6": _TYPE_CODE,
    }
)
# attribute -> its one field
_SINGLE: Final = MappingProxyType(
    {
        "skb_priority": _Part("skb_priority", "skb_priority", _HEXADECIMAL),
        "skb_mark": _Part("skb_mark", "pkt_mark", _HEXADECIMAL),
        "ct_zone": _Part("ct_zone", "ct_zone", _HEXADECIMAL),
        "ct_mark": _Part("ct_mark", "ct_mark", _HEXADECIMAL),
        "ct_label": _Part("ct_label", "ct_label", _HEXADECIMAL),
        "recirc_id": _Part("recirc_id", "recirc_id", _HEXADECIMAL),
        "dp_hash": _Part("dp_hash", "dp_hash", _HEXADECIMAL),
        "eth_type": _Part("eth_type", "dl_type", _HEXADECIMAL),
    }
)
_TAGS: Final = (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid"))
_LABELS: Final = ("mpls0", "mpls1", "mpls2")
_LABEL_PARTS: Final = (("label", 12, 0xFFFFF), ("tc", 9, 7), ("ttl", 0, 0xFF), ("bos", 8, 1))
_ND: Final = bits("nd_target", "nd_sll", "nd_tll")
_CT_ALL: Final = (1 << len(CT_STATE_FLAGS)) - 1
_CT_TUPLE: Final = bits("ct_src", "ct_dst", "ct_proto", "ct_tp_src", "ct_tp_dst")


# ---- writing


def format_key(
    key: int, mask: int = -1, *, verbose: bool = False, port_names: Mapping[int, str] = MappingProxyType({})
) -> str:
    """A datapath flow's key under its mask.  Ports go by name where `port_names` has one; `verbose`: `-m`."""
    kind = get(key, "dl_type")
    return ",".join((*_metadata(key, mask, verbose, kind, port_names), *_packet(key, mask, verbose, kind)))


def _single(name: str, key: int, mask: int, verbose: bool) -> Iterator[str]:
    _, field, form = _SINGLE[name]
    shift, ones, place = VIEW[field]
    if verbose or mask & place:
        yield f"{name}({form.write(key >> shift & ones, mask >> shift & ones, ones)})"


def _metadata(key: int, mask: int, verbose: bool, kind: int, port_names: Mapping[int, str]) -> Iterator[str]:
    yield from _single("skb_priority", key, mask, verbose)
    if key & tunnel_bits and mask & tunnel_bits:
        yield format_tunnel(key, mask)
    yield from _single("skb_mark", key, mask, verbose)
    state = mask >> OFFSET["ct_state"] & _CT_ALL
    if verbose:
        value = get(key, "ct_state")
        yield f"ct_state({short_hex(value)}/{short_hex(state)})"
    elif state:
        yield f"ct_state({write_flags(get(key, 'ct_state'), state, CT_STATE_FLAGS, 1 << 16)})"
    for name in ("ct_zone", "ct_mark", "ct_label"):
        yield from _single(name, key, mask, verbose)
    if mask & _CT_TUPLE and key & _CT_TUPLE:
        yield from _nested("ct_tuple6" if kind == 0x86DD else "ct_tuple4", key, mask, False)
    yield from _single("recirc_id", key, mask, verbose)
    yield from _single("dp_hash", key, mask, verbose)
    if mask & VIEW["dp_in_port"].mask:
        port = get(key, "dp_in_port")
        yield f"in_port({port_names.get(port, port)})"
    packet_type = get(key, "packet_type")
    type_mask = mask >> OFFSET["packet_type"] & 0xFFFFFFFF
    if verbose or type_mask:
        namespace = _write_decimal(packet_type >> 16, type_mask >> 16, 0xFFFF)
        number = _write_hexadecimal(packet_type & 0xFFFF, type_mask & 0xFFFF, 0xFFFF)
        yield f"packet_type(ns={namespace},id={number})"
    if not packet_type:
        yield from _nested("eth", key, mask, verbose) or (() if type_mask else ("eth()",))


def _nested(name: str, key: int, mask: int, verbose: bool) -> tuple[str, ...]:
    """The attribute with the fields that the mask is for; () if that is none."""
    parts = []
    for part, field, form in NESTED[name]:
        shift, ones, place = VIEW[field]
        if mask & place or (verbose and form is not _FRAGMENT):
            parts.append(f"{part}={form.write(key >> shift & ones, mask >> shift & ones, ones)}")
    return (f"{name}({','.join(parts)})",) if parts else ()


def _packet(key: int, mask: int, verbose: bool, kind: int) -> Iterator[str]:
    yield from _tagged(key, mask, verbose, kind, 0)


def _tagged(key: int, mask: int, verbose: bool, kind: int, depth: int) -> Iterator[str]:
    """The tags from the one numbered `depth` on, and what is behind them."""
    tci_slot, tpid_slot = _TAGS[depth] if depth < 2 else ("", "")
    tci = get(key, tci_slot) if tci_slot else 0
    if not tci:
        yield from _payload(key, mask, verbose, kind)
        return
    tci_mask = mask >> OFFSET[tci_slot] & 0xFFFF
    if verbose or tci_mask:
        yield f"eth_type({get(key, tpid_slot) or 0x8100:#06x})"
        yield f"vlan({','.join(_tag(tci, tci_mask, verbose))})"
    yield f"encap({','.join(_tagged(key, mask, verbose, kind, depth + 1))})"


def _tag(tci: int, mask: int, verbose: bool) -> Iterator[str]:
    for name, shift, ones in (("vid", 0, 0xFFF), ("pcp", 13, 7)):
        value, part = tci >> shift & ones, mask >> shift & ones
        if verbose or part or (value and mask & 0xEFFF):
            yield f"{name}={_write_tag(value, part, ones)}"
    if not tci & 0x1000 or not mask & 0x1000:
        yield f"cfi={_write_tag(tci >> 12 & 1, mask >> 12 & 1, 1)}"


def _payload(key: int, mask: int, verbose: bool, kind: int) -> Iterator[str]:
    kind_mask = mask >> OFFSET["dl_type"] & 0xFFFF
    if kind in (0, _NO_TYPE):
        if kind_mask:
            yield "eth_type(0/0xffff)"
        return
    if verbose or kind_mask:
        yield f"eth_type({kind:#06x})" if kind_mask == 0xFFFF else f"eth_type({kind:#06x}/{kind_mask:#06x})"
    if kind == 0x0800:
        yield from _nested("ipv4", key, mask, verbose)
    elif kind == 0x86DD:
        yield from _nested("ipv6", key, mask, verbose)
    elif kind in (0x0806, 0x8035):
        yield from _nested("arp", key, mask, verbose)
    elif kind in (0x8847, 0x8848):
        yield from _labels(key, mask, verbose)
    elif kind == 0x894F:
        yield from _nested("nsh", key, mask, verbose)
    if kind in (0x0800, 0x86DD) and not get(key, "nw_frag") & 2:
        yield from _transport(key, mask, verbose, kind)


def _transport(key: int, mask: int, verbose: bool, kind: int) -> Iterator[str]:
    protocol = get(key, "nw_proto")
    name = TRANSPORTS.get(protocol)
    if name is not None:
        yield from _nested(name, key, mask, verbose)
        flags = mask >> OFFSET["tcp_flags"] & 0xFFF
        if flags and protocol == 6:
            yield f"tcp_flags({write_flags(get(key, 'tcp_flags'), flags, TCP_FLAGS, 0xFFF)})"
    elif protocol == 1 and kind == 0x0800:
        yield from _nested("icmp", key, mask, verbose)
    elif protocol == 58 and kind == 0x86DD:
        yield from _nested("icmpv6", key, mask, verbose)
        if get(key, "icmp_type") in (135, 136) and (verbose or mask & _ND):
            yield from _nested("nd", key, mask, verbose)


def _labels(key: int, mask: int, verbose: bool) -> Iterator[str]:
    words = []
    for slot in _LABELS:
        entry, part = get(key, slot), mask >> OFFSET[slot] & 0xFFFFFFFF
        if not part and (not verbose or slot != "mpls0"):
            break
        for name, shift, ones in _LABEL_PARTS:
            words.append(f"{name}={_write_decimal(entry >> shift & ones, part >> shift & ones, ones)}")
    if words:
        yield f"mpls({','.join(words)})"


# ---- reading


def split(text: str) -> Iterator[tuple[str, str, str]]:
    """The attributes of `name(body),name(body)`: (name, body, the text from there on).  Raises TextError."""
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in ", \t\r\n":
            at += 1
        if at == end:
            return
        start = at
        opening = text.find("(", at)
        if opening < 0:
            raise TextError(f"syntax error at {text[start:]}")
        depth, at = 0, opening
        while at < end:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
            if not depth:
                break
        if depth:
            raise TextError(f"syntax error at {text[start:]}")
        yield text[start:opening], text[opening + 1 : at - 1], text[start:]


def assignments(body: str) -> Iterator[tuple[str, str]]:
    """`name=value` pairs, separated by commas.  Raises ValueError."""
    for word in body.split(","):
        word = word.strip()
        if word:
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(word)
            yield name, value


def read_masked(form: _Form, text: str, ones: int) -> tuple[int, int]:
    """(value, mask) of `value[/mask]`.  Raises ValueError."""
    first, slash, second = text.partition("/")
    value = form.read(first, ones)
    mask = form.read(second, ones) if slash else ones
    if value is None or mask is None:
        raise ValueError(text)
    return value, mask


class _Reader:
    def __init__(self, ports: Mapping[str, int]) -> None:
        self.key = self.mask = 0
        self.ports = ports
        self.tags = 0

    def put(self, field: str, value: int, mask: int) -> None:
        shift, ones, place = VIEW[field]
        self.key = self.key & ~place | (value & ones) << shift
        self.mask = self.mask & ~place | (mask & ones) << shift

    def attributes(self, text: str) -> None:
        for name, body, rest in split(text):
            try:
                self.attribute(name, body)
            except (ValueError, KeyError, TextError):
                raise TextError(f"syntax error at {rest}") from None

    def attribute(self, name: str, body: str) -> None:
        if name in _SINGLE:
            self.single(name, body)
        elif name in NESTED:
            parts = {part.name: part for part in NESTED[name]}
            for word, text in assignments(body):
                part = parts[word]
                self.put(part.field, *read_masked(part.form, text, VIEW[part.field].ones))
        else:
            _OTHERS[name](self, body)

    def single(self, name: str, body: str) -> None:
        _, field, form = _SINGLE[name]
        value, mask = read_masked(form, body, VIEW[field].ones)
        if name == "eth_type" and value == 0 and mask:
            value = _NO_TYPE
        self.put(field, value, mask)

    def tunnel(self, body: str) -> None:
        key, mask = parse_tunnel(body)
        self.key |= key
        self.mask |= mask

    def in_port(self, body: str) -> None:
        number = self.ports.get(body)
        self.put(
            "dp_in_port", *((number, -1) if number is not None else read_masked(_DECIMAL, body, 0xFFFFFFFF))
        )

    def ct_state(self, body: str) -> None:
        value, mask = parse_flags(body, CT_STATE_FLAGS, "ct_state", 32)
        self.put("ct_state", value, mask & _CT_ALL)

    def tcp_flags(self, body: str) -> None:
        self.put("tcp_flags", *parse_flags(body, TCP_FLAGS, "TCP", 16))

    def packet_type(self, body: str) -> None:
        words = dict(assignments(body))
        namespace, namespace_mask = read_masked(_DECIMAL, words["ns"], 0xFFFF)
        number, number_mask = read_masked(_DECIMAL, words["id"], 0xFFFF)
        self.put("packet_type", namespace << 16 | number, namespace_mask << 16 | number_mask)
        if namespace == 1:
            self.put("dl_type", number, 0)

    def vlan(self, body: str) -> None:
        tci_slot, tpid_slot = _TAGS[self.tags]
        self.put(tpid_slot, get(self.key, "dl_type") or 0x8100, self.mask >> OFFSET["dl_type"] & 0xFFFF)
        self.put("dl_type", 0, 0)
        self.tags += 1
        value = mask = 0x1000
        places = {"vid": (0, 0xFFF), "pcp": (13, 7), "cfi": (12, 1)}
        for word, text in assignments(body):
            shift, ones = places[word]
            part, part_mask = read_masked(_TAG, text, ones)
            value = value & ~(ones << shift) | part << shift
            mask = mask & ~(ones << shift) | part_mask << shift
        self.put(tci_slot, value, mask)

    def mpls(self, body: str) -> None:
        places = {name: (shift, ones) for name, shift, ones in _LABEL_PARTS}
        entries: list[tuple[int, int]] = []
        for word, text in assignments(body):
            if word == "label":
                entries.append((0, 0))
            shift, ones = places[word]
            part, part_mask = read_masked(_DECIMAL, text, ones)
            value, mask = entries.pop()
            entries.append((value | part << shift, mask | part_mask << shift))
        for slot, (value, mask) in zip(_LABELS, entries, strict=False):
            self.put(slot, value, mask)
        if not 1 <= len(entries) <= 3:
            raise ValueError(body)


_OTHERS: Final[Mapping[str, Callable[[_Reader, str], None]]] = MappingProxyType(
    {
        "tunnel": _Reader.tunnel,
        "in_port": _Reader.in_port,
        "ct_state": _Reader.ct_state,
        "tcp_flags": _Reader.tcp_flags,
        "packet_type": _Reader.packet_type,
        "vlan": _Reader.vlan,
        "encap": _Reader.attributes,
        "mpls": _Reader.mpls,
    }
)


def parse_key(text: str, ports: Mapping[str, int] = MappingProxyType({})) -> tuple[int, int]:
    """(key, mask) of a datapath flow; attributes that are not given are not in the mask.

    Raises TextError: "syntax error at " and the rest of the text from the attribute that makes no sense.
    """
    reader = _Reader(ports)
    reader.attributes(text)
    return reader.key, reader.mask
