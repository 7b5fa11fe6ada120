"""Hashes of packets: numbers that spread traffic over links, members of a bundle and buckets of a group.

Two packets of one connection must get one link, so what is hashed is named: a field, or both ends of a
connection in an order-free way ("symmetric").  The functions are those that the original's switch can be seen
to use, so that the same packet takes the same way here: Jenkins's lookup3 over bytes, and Murmur3's mixing of
words.

Sources: Bob Jenkins, lookup3.c (public domain); Austin Appleby, MurmurHash3 (public domain); ovs-actions(7)
for the names; which fields, in which order, found by asking the original for millions of links.
"""

from collections.abc import Iterable
from typing import Final

from trunkline.flow import key as layout

_ALL: Final = 0xFFFFFFFF
_SEED: Final = 0xDEADBEEF
_TCP, _UDP, _SCTP = 6, 17, 132
_IPV4, _IPV6 = 0x0800, 0x86DD
_VID: Final = 0xFFF
_FIVE: Final = 42


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _ALL


def jenkins(data: bytes, basis: int) -> int:
    """lookup3's hashlittle over bytes."""
    left = len(data)
    a = b = c = _SEED + left + basis & _ALL
    at = 0
    while left >= 12:
        a, b, c = _mixed(*_three(data, at, a, b, c))
        at += 12
        left -= 12
    if left:
        c = _finished(*_three(data[at:].ljust(12, b"\0"), 0, a, b, c))
    return c


def _three(data: bytes, at: int, a: int, b: int, c: int) -> tuple[int, int, int]:
    words = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4, 8))
    a, b, c = (have + word & _ALL for have, word in zip((a, b, c), words, strict=True))
    return a, b, c


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = (a - c & _ALL) ^ _rotated(c, by)
        c = c + b & _ALL
        a, b, c = b, c, a
    return a, b, c


def _finished(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated(b, by) & _ALL
        a, b, c = b, c, a
    return b


def _added(value: int, word: int) -> int:
    """Murmur3's step."""
    word = _rotated(word * 0xCC9E2D51 & _ALL, 15) * 0x1B873593 & _ALL
    return _rotated(value ^ word, 13) * 5 + 0xE6546B64 & _ALL


def _final(value: int, length: int) -> int:
    value ^= length
    value = (value ^ value >> 16) * 0x85EBCA6B & _ALL
    value = (value ^ value >> 13) * 0xC2B2AE35 & _ALL
    return value ^ value >> 16


def murmur(words: Iterable[int], basis: int, length: int) -> int:
    """Murmur3 over 32-bit words; `length` is mixed in at the end."""
    for word in words:
        basis = _added(basis, word)
    return _final(basis, length)


def two_words(first: int, second: int) -> int:
    """The hash by which links, members and buckets compete."""
    return murmur((0, second), first, 8)


def of_bytes(data: bytes, basis: int) -> int:
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    return murmur(words, basis, len(data))


def of_number(number: int, basis: int = 0) -> int:
    """Of 64 bits."""
    return murmur((number & _ALL, number >> 32), basis, 8)


def of_address(mac: int, vlan: int, basis: int) -> int:
    """Of a source address in a VLAN: by its lowest 8 bits a bond spreads addresses over its members."""
    return of_number(vlan << 48 | mac, basis)


# ---- packets

_PORTS: Final = layout.bits("tp_src", "tp_dst")


def eth_src(key: int, basis: int) -> int:
    return jenkins(layout.get(key, "dl_src").to_bytes(6, "big"), basis)


def address(key: int, name: str, basis: int) -> int:
    """nw_src or nw_dst; of packets that are not IP, the basis."""
    kind = layout.get(key, "dl_type")
    if kind == _IPV4:
        return jenkins(layout.get(key, name).to_bytes(4, "big"), basis)
    if kind == _IPV6:
        return jenkins(layout.get(key, name.replace("nw", "ipv6")).to_bytes(16, "big"), basis)
    return basis


def _addresses(key: int) -> bytes:
    """Both addresses joined; none for what is not IP."""
    kind = layout.get(key, "dl_type")
    if kind == _IPV4:
        return (layout.get(key, "nw_src") ^ layout.get(key, "nw_dst")).to_bytes(4, "big")
    if kind == _IPV6:
        return (layout.get(key, "ipv6_src") ^ layout.get(key, "ipv6_dst")).to_bytes(16, "big")
    return b""


def _tags(key: int) -> int:
    return (layout.get(key, "vlan_tci") ^ layout.get(key, "vlan1_tci")) & _VID


def _ports(key: int) -> int:
    return layout.get(key, "tp_src") ^ layout.get(key, "tp_dst")


def _hardware(key: int) -> bytes:
    return (layout.get(key, "dl_src") ^ layout.get(key, "dl_dst")).to_bytes(6, "big")


def symmetric_l4(key: int, basis: int) -> int:
    """Both ends in Ethernet, IP and transport (not UDP), the VLAN and the types."""
    addresses = _addresses(key)
    protocol = layout.get(key, "nw_proto") if addresses else 0
    ports = _ports(key) if protocol in (_TCP, _SCTP) else 0
    data = (
        addresses.ljust(16, b"\0")
        + layout.get(key, "dl_type").to_bytes(2, "big")
        + _tags(key).to_bytes(2, "big")
        + ports.to_bytes(2, "big")
        + _hardware(key)
        + bytes([protocol])
    )
    return jenkins(data.ljust(32, b"\0"), basis)


def symmetric_l3l4(key: int, basis: int, udp: bool = False) -> int:
    """Both ends in IP and transport; of other packets, in Ethernet."""
    addresses = _addresses(key)
    if not addresses:
        return _symmetric_l2(key, basis)
    words = [int.from_bytes(addresses[i : i + 4], "little") for i in range(0, len(addresses), 4)]
    protocol = layout.get(key, "nw_proto")
    words.append(protocol)
    if protocol in (_TCP, _SCTP) or (protocol == _UDP and udp):
        words.append(_swapped(_ports(key)))
    return murmur(words, basis, basis)


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8


def _symmetric_l2(key: int, basis: int) -> int:
    hardware = int.from_bytes(_hardware(key), "little")
    kind = _swapped(layout.get(key, "dl_type")) | _swapped(_tags(key)) << 16
    words = [kind, hardware & _ALL, hardware >> 32]
    return murmur(words, basis, basis)


def symmetric_l3(key: int, basis: int) -> int:
    """Both ends in IP, and the type."""
    data = _addresses(key).ljust(16, b"\0") + layout.get(key, "dl_type").to_bytes(2, "big")
    return jenkins(data.ljust(20, b"\0"), basis)


_SYMMETRIC_L3L4: Final = layout.bits("net_src", "net_dst", "nw_proto") | _PORTS
_ETHERNET: Final = layout.bits("dl_src", "dl_dst", "vlan_tci", "vlan1_tci")
LOOKED: Final = {
    "eth_src": layout.MASK["dl_src"],
    "nw_src": layout.MASK["net_src"],
    "nw_dst": layout.MASK["net_dst"],
    "symmetric_l3": layout.bits("net_src", "net_dst"),
    "symmetric_l4": _SYMMETRIC_L3L4 | _ETHERNET,
    "symmetric_l3l4": _SYMMETRIC_L3L4 | _ETHERNET,
    "symmetric_l3l4+udp": _SYMMETRIC_L3L4 | _ETHERNET,
}
"""What of a key the hash by these names (openflow/actions.py, HASH_FIELDS) depends on."""


def by_name(key: int, name: str, basis: int) -> int:
    """The hash of a packet by these fields."""
    match name:
        case "eth_src":
            return eth_src(key, basis)
        case "nw_src" | "nw_dst":
            return address(key, name, basis)
        case "symmetric_l4":
            return symmetric_l4(key, basis)
        case "symmetric_l3":
            return symmetric_l3(key, basis)
    return symmetric_l3l4(key, basis, name == "symmetric_l3l4+udp")


def five_tuple(key: int) -> int:
    """One direction of a connection, as tunnels show it outside in their UDP source port."""
    width = 16 if layout.get(key, "dl_type") == _IPV6 else 4
    data = b"".join(
        (layout.get(key, name) & (1 << width * 8) - 1).to_bytes(width, "big")
        for name in ("net_src", "net_dst")
    )
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    words.append(layout.get(key, "nw_proto"))
    words.append(_swapped(layout.get(key, "tp_src")) | _swapped(layout.get(key, "tp_dst")) << 16)
    return murmur(words, 0, _FIVE)


def flow_hash(key: int, algorithm: int, basis: int) -> int:
    """dp_hash: 0 (l4), one direction of a connection; 1 (sym_l4), both.  Never 0, which means "no hash"."""
    if algorithm == 1:
        return symmetric_l3l4(key, basis) or 1
    width = 16 if layout.get(key, "dl_type") == _IPV6 else 4
    data = b"".join(
        (layout.get(key, name) & (1 << width * 8) - 1).to_bytes(width, "big")
        for name in ("net_src", "net_dst")
    )
    data += bytes([layout.get(key, "nw_proto")])
    data += layout.get(key, "tp_src").to_bytes(2, "big") + layout.get(key, "tp_dst").to_bytes(2, "big")
    return jenkins(data, basis) or 1
