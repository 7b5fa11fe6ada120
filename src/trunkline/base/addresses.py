"""MAC, IPv4 and IPv6 addresses as ints, and as text in the form of the C library and of Open vSwitch.

Hand-written rather than `ipaddress`: a tool imports this at its start, and habits of C must be kept, such
as `::1.2.3.4` where the first 96 bits are 0, or octets that wrap modulo 256 because they are scanned
into a byte.
"""

import re
from typing import Final

_OCTET = r"\s*([+-]?\d+)"
_IPV4: Final = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")
_HEX = r"\s*([+-]?(?:0[xX])?[0-9a-fA-F]+)"
_MAC: Final = re.compile(":".join([_HEX] * 6))


# To write or to read a number takes Python several times as long as to find it.
OCTETS: Final = tuple(map(str, range(256)))
_OCTET_OF: Final = {text: number for number, text in enumerate(OCTETS)}


def format_mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def format_ipv4(value: int) -> str:
    text = OCTETS
    return f"{text[value >> 24]}.{text[value >> 16 & 255]}.{text[value >> 8 & 255]}.{text[value & 255]}"


def format_ipv6(value: int) -> str:
    """As inet_ntop(3) writes it: the first longest run of zero groups (of two or more) becomes `::`."""
    groups = [value >> shift & 0xFFFF for shift in range(112, -1, -16)]
    start, length = _longest_zeros(groups)
    if start == 0 and (length == 6 or (length == 5 and groups[5] == 0xFFFF)):
        return ("::" if length == 6 else "::ffff:") + format_ipv4(value & 0xFFFFFFFF)
    words = [f"{group:x}" for group in groups]
    if length < 2:
        return ":".join(words)
    return ":".join(words[:start]) + "::" + ":".join(words[start + length :])


def _longest_zeros(groups: list[int]) -> tuple[int, int]:
    best_start = best = run = 0
    for i, group in enumerate([*groups, 1]):
        if group == 0:
            run += 1
            continue
        if run > best:
            best_start, best = i - run, run
        run = 0
    return best_start, best


def scan_mac(text: str, at: int = 0) -> tuple[int, int] | None:
    """(address, where it ends) at `at` of `text`, or None.  As sscanf: short groups do, long ones wrap."""
    found = _MAC.match(text, at)
    if found is None:
        return None
    value = 0
    for group in found.groups():
        value = value << 8 | int(group, 16) & 255
    return value, found.end()


def scan_ipv4(text: str, at: int = 0) -> tuple[int, int] | None:
    """(address, where it ends) at `at` of `text`, or None.  As sscanf: octets above 255 wrap."""
    found = _IPV4.match(text, at)
    if found is None:
        return None
    a, b, c, d = found.groups()
    octet = _OCTET_OF
    try:
        return octet[a] << 24 | octet[b] << 16 | octet[c] << 8 | octet[d], found.end()
    except KeyError:  # leading zeros, or more than 255
        return int.from_bytes(bytes(int(group) & 255 for group in (a, b, c, d)), "big"), found.end()


def parse_mac(text: str) -> int | None:
    found = scan_mac(text)
    return found[0] if found and found[1] == len(text) else None


def parse_ipv4(text: str) -> int | None:
    found = scan_ipv4(text)
    return found[0] if found and found[1] == len(text) else None


def _strict_ipv4(text: str) -> int | None:
    """As inet_pton(3): four decimal octets without leading zeros."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        if (
            not (part.isascii() and part.isdigit())
            or len(part) > 3
            or int(part) > 255
            or (part[0] == "0" and part != "0")
        ):
            return None
        value = value << 8 | int(part)
    return value


def parse_ipv6(text: str) -> int | None:
    """As inet_pton(3)."""
    head, gap, tail = text.partition("::")
    if "::" in tail:
        return None
    before = _groups(head, last=not gap)
    after = _groups(tail, last=True) if gap else []
    if before is None or after is None:
        return None
    missing = 8 - len(before) - len(after)
    if (gap and missing < 1) or (not gap and missing):
        return None
    value = 0
    for group in (*before, *([0] * missing), *after):
        value = value << 16 | group
    return value


def _groups(text: str, last: bool) -> list[int] | None:
    if not text:
        return []
    groups = []
    words = text.split(":")
    for i, word in enumerate(words):
        if last and i == len(words) - 1 and "." in word:
            ipv4 = _strict_ipv4(word)
            if ipv4 is None:
                return None
            groups += [ipv4 >> 16, ipv4 & 0xFFFF]
        elif re.fullmatch("[0-9a-fA-F]{1,4}", word):
            groups.append(int(word, 16))
        else:
            return None
    return groups


def prefix_length(mask: int, bits: int) -> int | None:
    """The length of a mask that is a prefix, of `bits` in all; None: it is none."""
    inverse = mask ^ ((1 << bits) - 1)
    return None if inverse & (inverse + 1) else bits - inverse.bit_length()


def prefix_mask(length: int, bits: int) -> int:
    return ((1 << length) - 1) << (bits - length)


# An address of either family as one int of 128 bits: IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

MAPPED: Final = 0xFFFF << 32


def is_mapped(address: int) -> bool:
    """Whether an address of either family is one of IPv4."""
    return address >> 32 == 0xFFFF


def octets_of(address: int) -> bytes:
    """4 or 16, in network order."""
    return (address & ~MAPPED).to_bytes(4, "big") if is_mapped(address) else address.to_bytes(16, "big")


def from_octets(data: bytes | memoryview) -> int:
    """The address of either family that 4 or 16 octets are."""
    value = int.from_bytes(data, "big")
    return MAPPED | value if len(data) == 4 else value


def format_address(address: int) -> str:
    return format_ipv4(address & 0xFFFFFFFF) if is_mapped(address) else format_ipv6(address)


def parse_address(text: str) -> int | None:
    """IPv4 or IPv6; None if it is neither."""
    four = parse_ipv4(text)
    return MAPPED | four if four is not None else parse_ipv6(text)
