"""Whether the attributes of a datapath flow's text are those that such packets have.

Text may give any attributes in any order.  A flow that is put into a datapath must have what its packets
have, no more and no less: a type for what lies behind the Ethernet header, addresses for IPv4, ports for TCP,
something within every tag.  Metadata may be there or not, but for the port.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from trunkline.dpif.text import NESTED, format_key, parse_key, split
from trunkline.flow.key import FRAG_LATER, VIEW, get
from trunkline.model.fields import TRANSPORTS

_METADATA: Final = frozenset(
    ("skb_priority", "skb_mark", "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_tuple4", "ct_tuple6",
     "recirc_id", "dp_hash", "tunnel", "packet_type")
)  # fmt: skip
_NO_TYPE: Final = 0x05FF
TAGS: Final = frozenset((0x8100, 0x88A8))
_NETWORK: Final = {
    0x0800: "ipv4",
    0x86DD: "ipv6",
    0x0806: "arp",
    0x8035: "arp",
    0x8847: "mpls",
    0x8848: "mpls",
    0x894F: "nsh",
}
_SOLICITATIONS: Final = (135, 136)


def fits(text: str, key: int) -> bool:
    """Whether the attributes of `text`, which parse_key read as `key`, can be put into a datapath."""
    found = [name for name, _, _ in split(text) if name not in _METADATA]
    bodies = {name: body for name, body, _ in split(text)}
    if found.count("in_port") != 1 or len(set(found)) != len(found) or "eth_type" not in found:
        return False
    rest = [name for name in found if name not in ("in_port", "eth")]
    return _within(rest, bodies, key, 0)


def _within(names: Sequence[str], bodies: dict[str, str], key: int, depth: int) -> bool:
    """Whether these are the attributes of what lies behind the tags so far."""
    if "eth_type" not in names or len(set(names)) != len(names):
        return False
    if "vlan" in names:
        if sorted(names) != ["encap", "eth_type", "vlan"] or depth > 1:
            return False
        inner = {name: body for name, body, _ in split(bodies["encap"])}
        return _within([name for name, _, _ in split(bodies["encap"])], inner, key, depth + 1)
    kind = get(key, "dl_type")
    if kind in (0, _NO_TYPE) or kind in TAGS:
        return False
    return set(names) == {"eth_type", *expected(key, kind)} | (set(names) & _optional(key))


def expected(key: int, kind: int) -> list[str]:
    """The attributes behind the type of a packet."""
    network = _NETWORK.get(kind)
    if network is None:
        return []
    if network not in ("ipv4", "ipv6") or get(key, "nw_frag") & FRAG_LATER:
        return [network]
    protocol = get(key, "nw_proto")
    if protocol in TRANSPORTS:
        return [network, TRANSPORTS[protocol]]
    if (network, protocol) == ("ipv4", 1):
        return [network, "icmp"]
    if (network, protocol) == ("ipv6", 58):
        return [network, "icmpv6", "nd"] if get(key, "icmp_type") in _SOLICITATIONS else [network, "icmpv6"]
    return [network]


def _optional(key: int) -> set[str]:
    return {"tcp_flags"} if get(key, "nw_proto") == 6 else {"nd_ext"} if get(key, "nw_proto") == 58 else set()


def as_given(text: str, ports: Mapping[str, int] = MappingProxyType({})) -> str:
    """A key with the attributes that it was given, each with all its fields.  Raises TextError."""
    return ",".join(_given(name, body, ports) for name, body, _ in split(text))


def _given(name: str, body: str, ports: Mapping[str, int]) -> str:
    if name == "encap":
        return f"encap({as_given(body, ports)})"
    key, mask = parse_key(f"{name}({body})", ports)
    if name in NESTED:
        parts = [
            f"{part}={form.write(get(key, field), VIEW[field].ones, VIEW[field].ones)}"
            for part, field, form in NESTED[name]
        ]
        return f"{name}({','.join(parts)})"
    if name == "eth_type":
        return f"eth_type({get(parse_key(f'eth_type({body})')[0], 'dl_type'):#06x})"
    if name == "vlan":
        tci = get(key, "vlan_tci")
        return f"vlan(vid={tci & 0xFFF},pcp={tci >> 13}{'' if tci & 0x1000 else ',cfi=0'})"
    shown = [part for part in _metadata_texts(key, mask) if part.startswith(f"{name}(")]
    return shown[0] if shown else f"{name}({body})"


def _metadata_texts(key: int, mask: int) -> list[str]:
    text = format_key(key, mask)
    return [f"{name}({body})" for name, body, _ in split(text)]
