"""Which connections are to be forgotten: a zone, a protocol, and what each direction must have.

A filter comes as text (``dpctl/flush-conntrack``) or as an OpenFlow message (ct_flush).  What it does not
name may be anything.  One that names all of the original direction means exactly one connection, in zone 0
where it names no zone, and it is an error if that is not there.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.base.addresses import parse_ipv6
from trunkline.conntrack.connection import Connection
from trunkline.conntrack.tracker import Tracker
from trunkline.conntrack.tuples import REVERSED_TYPE, Tuple

_DOTTED: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_ZONE: Final = re.compile(r"\s*zone=\s*(\d+)")


class Direction(NamedTuple):
    """Of one direction; None and 0: anything."""

    src: bytes | None = None
    dst: bytes | None = None
    src_port: int = 0
    dst_port: int = 0
    icmp: tuple[int, int, int] = (0, 0, 0)  # identifier, type, code

    @property
    def empty(self) -> bool:
        return self == Direction()


class Filter(NamedTuple):
    zone: int | None = None
    protocol: int = 0
    original: Direction = Direction()
    reply: Direction = Direction()


class FilterError(Exception):
    """The text is no filter; the message says what is wrong with it."""


class NotThere(Exception):
    """The one connection that was meant does not exist."""


def flush(tracker: Tracker, wanted: Filter, now: float) -> None:
    """Forgets the connections that the filter matches.  Raises NotThere."""
    only = exactly(wanted)
    if only is not None:
        found = tracker.find(only, now)
        if found is None:
            raise NotThere
        tracker.remove(found[0])
        return
    for connection in list(tracker.connections(wanted.zone)):
        if matches(wanted, connection):
            tracker.remove(connection)


def matches(wanted: Filter, connection: Connection) -> bool:
    if wanted.zone is not None and connection.original.zone != wanted.zone:
        return False
    if wanted.protocol and connection.original.protocol != wanted.protocol:
        return False
    strict = wanted.protocol in REVERSED_TYPE
    return _direction(wanted.original, connection.original, strict) and _direction(
        wanted.reply, connection.reply, strict
    )


def _direction(wanted: Direction, there: Tuple, strict: bool) -> bool:
    """`strict`: ICMP was named, then identifier, type and code count also where they are 0."""
    if wanted.src is not None and wanted.src != there.src:
        return False
    if wanted.dst is not None and wanted.dst != there.dst:
        return False
    if there.protocol in REVERSED_TYPE:
        identifier, kind, code = wanted.icmp
        return not strict or (identifier, kind << 8 | code) == (there.a, there.b)
    return wanted.src_port in (0, there.a) and wanted.dst_port in (0, there.b)


def exactly(wanted: Filter) -> Tuple | None:
    """The tuple of the one connection that the filter means, if it names all of it."""
    original = wanted.original
    if not wanted.protocol or not wanted.reply.empty or original.src is None or original.dst is None:
        return None
    if wanted.protocol in REVERSED_TYPE:
        identifier, kind, code = original.icmp
        if original.icmp == (0, 0, 0):
            return None
        a, b = identifier, kind << 8 | code
    else:
        a, b = original.src_port, original.dst_port
        if not a or not b:
            return None
    family = 4 if len(original.src) == 4 else 6
    return Tuple(wanted.zone or 0, family, wanted.protocol, original.src, original.dst, a, b)


# ---- text


def parse_filter(words: list[str]) -> Filter:
    """[zone=N] [tuple of the original direction] [tuple of the reply].  Raises FilterError."""
    wanted = Filter()
    rest = list(words)
    if rest and rest[0].startswith("zone="):
        found = _ZONE.match(rest.pop(0))
        if found is None:
            raise FilterError("failed to parse zone")
        wanted = wanted._replace(zone=int(found[1]) & 0xFFFF)
    for name, word in zip(("original", "reply"), rest, strict=False):
        direction, protocol = _parse_direction(word)
        if protocol:
            wanted = wanted._replace(protocol=protocol)
        wanted = (
            wanted._replace(original=direction) if name == "original" else wanted._replace(reply=direction)
        )
    return wanted


def _parse_direction(text: str) -> tuple[Direction, int]:
    direction, protocol = Direction(), 0
    for word in re.split(r"[, \t\r\n]+", text):
        if not word:
            continue
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise FilterError(f"field {name} missing value")
        if name in _ADDRESSES:
            direction = _with_address(direction, name, value)
        elif name == "ct_nw_proto":
            protocol = _number(name, value, 0xFF)
        elif name in ("ct_tp_src", "ct_tp_dst"):
            number = _number(name, value, 0xFFFF)
            if name == "ct_tp_src":
                direction = direction._replace(src_port=number)
            else:
                direction = direction._replace(dst_port=number)
        elif name in _ICMP:
            if protocol not in REVERSED_TYPE:
                raise FilterError("invalid L4 fields")
            at, most = _ICMP[name]
            icmp = list(direction.icmp)
            icmp[at] = _number(name, value, most)
            direction = direction._replace(icmp=(icmp[0], icmp[1], icmp[2]))
        else:
            raise FilterError(f"invalid conntrack tuple field: {name}")
    if not protocol and (direction.src_port or direction.dst_port):
        raise FilterError("port is set without protocol")
    return direction, protocol


def _ipv4(text: str) -> int | None:
    if not _DOTTED.fullmatch(text):
        return None
    octets = [int(octet) for octet in text.split(".")]
    return int.from_bytes(bytes(octets), "big") if max(octets) <= 255 else None


_ADDRESSES: Final[dict[str, tuple[str, int, Callable[[str], int | None]]]] = {
    "ct_nw_src": ("src", 4, _ipv4),
    "ct_nw_dst": ("dst", 4, _ipv4),
    "ct_ipv6_src": ("src", 16, parse_ipv6),
    "ct_ipv6_dst": ("dst", 16, parse_ipv6),
}
_ICMP: Final = {"icmp_id": (0, 0xFFFF), "icmp_type": (1, 0xFF), "icmp_code": (2, 0xFF)}


def _with_address(direction: Direction, name: str, value: str) -> Direction:
    slot, octets, parse = _ADDRESSES[name]
    for other in (direction.src, direction.dst):
        if other is not None and len(other) != octets:
            raise FilterError(f"the L3 protocol does not match {value}")
    if getattr(direction, slot) is not None:
        raise FilterError(f"{name} is set multiple times")
    number = parse(value)
    if number is None:
        raise FilterError(f"failed to parse field {name}")
    address = number.to_bytes(octets, "big")
    return direction._replace(src=address) if slot == "src" else direction._replace(dst=address)


def _number(name: str, value: str, most: int) -> int:
    if not re.fullmatch(r"\d+", value) or int(value) > most:
        raise FilterError(f"failed to parse field {name}")
    return int(value)
