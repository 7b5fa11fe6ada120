"""Fragments on their way through connection tracking.

Only the first fragment of a packet has its ports, so fragments are held until all have come.  Then the packet
is put together, tracked as a whole, and what that found (and what NAT changed) is given to each fragment;
they go on together, in the order of their offsets.  What is tracked belongs to a place in the pipeline: the
same fragments meet again, in a list of their own, at the next ct.

A list that is not whole after 15 seconds expires: its fragments go on untracked with the next packet of their
zone, and are dropped if none comes within 10 more.  Fragments that are too small (but for the last), overlap
others or come when too many are held already, are not held, and invalid.
"""

from typing import Final, NamedTuple

from trunkline.base.addresses import format_ipv4, format_ipv6
from trunkline.conntrack.tuples import network_of
from trunkline.flow import key as layout
from trunkline.packet.checksum import checksum, ones_sum
from trunkline.packet.packet import Packet
from trunkline.packet.parse import IPV4, IPV6, parse

LIFETIME: Final = 15.0  # seconds until a list expires
GRACE: Final = 10.0  # and until its fragments are dropped
DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 5000
LEAST_MINIMUM: Final = 400
_FRAGMENT_HEADER: Final = 44
_AUTHENTICATION: Final = 51
_HEADERS: Final = frozenset((0, 43, _FRAGMENT_HEADER, _AUTHENTICATION, 60))
_MORE: Final = 0x2000

FRAME: Final = (1 << layout.OFFSET["packet_type"]) - 1 & layout.DATAPATH
"""The bits of a key that the frame gives."""
_RECIRC: Final = layout.VIEW["recirc_id"]

Part = tuple[Packet, int]
"""A packet and its key."""


class Fragment(NamedTuple):
    start: int  # bytes of the payload: from `start` up to `end`
    end: int
    last: bool
    header: int  # where in the frame the payload begins
    part: Part


class Place(NamedTuple):
    """What the fragments of one packet have in common."""

    recirculation: int
    ident: int
    family: int
    zone: int
    protocol: int
    src: bytes
    dst: bytes


class Held:
    """The fragments of a packet that are here already."""

    __slots__ = ("expires", "fragments", "place")

    def __init__(self, place: Place, expires: float) -> None:
        self.place = place
        self.expires = expires
        self.fragments: list[Fragment] = []  # as they came

    def __str__(self) -> str:
        place = self.place
        write, kind = (format_ipv4, IPV4) if place.family == 4 else (format_ipv6, IPV6)
        first = any(not fragment.start for fragment in self.fragments)
        last = any(fragment.last for fragment in self.fragments)
        state = "/".join(word for word, there in (("first", first), ("last", last)) if there) or "other"
        return (
            f"(src={write(int.from_bytes(place.src, 'big'))},dst={write(int.from_bytes(place.dst, 'big'))},"
            f"recirc_id={place.recirculation},ip_id={place.ident},dl_type={kind:#x},zone={place.zone},"
            f"nw_proto={place.protocol},num_fragments={len(self.fragments)},state={state} frag)"
        )


class Whole(NamedTuple):
    """All fragments by offset, and the packet that they make."""

    packet: Packet
    key: int
    parts: tuple[Fragment, ...]


class Counters:
    __slots__ = ("accepted", "completed", "expired", "overlapped", "purged", "small")

    def __init__(self) -> None:
        self.accepted = self.completed = self.expired = self.overlapped = self.purged = self.small = 0


class Family:
    """What is set and counted for IPv4 or IPv6."""

    __slots__ = ("counters", "enabled", "minimum")

    def __init__(self, minimum: int) -> None:
        self.enabled = True
        self.minimum = minimum  # bytes of an IP packet that is not the last fragment
        self.counters = Counters()


class Fragments:
    """The fragments that are held; `limit` at most."""

    def __init__(self) -> None:
        self.limit = DEFAULT_LIMIT
        self.families = {4: Family(1200), 6: Family(1280)}
        self.held: dict[Place, Held] = {}
        self.count = 0

    def add(self, packet: Packet, key: int, zone: int, now: float) -> Whole | bool:
        """The whole packet if this was what was missing; True: held; False: not to be held, invalid."""
        found = _read(packet, key, zone)
        if found is None:
            return False
        place, fragment, size = found
        if not fragment.start and fragment.last:
            return False  # all of it, and yet a fragment
        family = self.families[place.family]
        if not family.enabled:
            return False
        if size < family.minimum and not fragment.last:
            family.counters.small += 1
            return False
        held = self.held.get(place)
        fragments = held.fragments if held is not None else []
        if any(fragment.start < other.end and other.start < fragment.end for other in fragments):
            family.counters.overlapped += 1
            return False
        if self.count >= self.limit:
            return False
        if held is None:
            held = self.held[place] = Held(place, now + LIFETIME)
        held.fragments.append(fragment)
        self.count += 1
        family.counters.accepted += 1
        whole = _join(held.fragments)
        if whole is None or now >= held.expires:
            return True
        self._forget(held)
        family.counters.completed += len(whole.parts)
        return whole

    def _forget(self, held: Held) -> None:
        del self.held[held.place]
        self.count -= len(held.fragments)

    def release(self, zone: int, family: int, now: float) -> list[Part]:
        """The fragments of lists that have expired, of a zone, as they came: they go on untracked."""
        released: list[Part] = []
        for held in list(self.held.values()):
            if held.expires > now:
                break  # lists are in the order in which they were begun
            if held.place.zone == zone and held.place.family == family:
                self._forget(held)
                self.families[family].counters.expired += len(held.fragments)
                released += [fragment.part for fragment in held.fragments]
        return released

    def purge(self, now: float) -> None:
        """Drops what has waited too long."""
        for held in list(self.held.values()):
            if held.expires + GRACE > now:
                break
            self._forget(held)
            self.families[held.place.family].counters.purged += len(held.fragments)

    def next_purge(self) -> float | None:
        first = next(iter(self.held.values()), None)
        return None if first is None else first.expires + GRACE


def split(whole: Whole, joined: Packet) -> list[Part]:
    """The fragments after the whole has been tracked: with the addresses and ports that it has now."""
    if joined.frame == whole.packet.frame:
        return [fragment.part for fragment in whole.parts]
    kind, at = network_of(joined.frame)
    begin, octets = (at + 12, 8) if kind == IPV4 else (at + 8, 32)
    addresses = joined.frame[begin : begin + octets]
    payload = joined.frame[at + (joined.frame[at] & 15) * 4 if kind == IPV4 else at + 40 :]
    parts: list[Part] = []
    for fragment in whole.parts:
        packet, key = fragment.part
        frame = bytearray(packet.frame)
        _, at = network_of(packet.frame)
        begin = at + (12 if kind == IPV4 else 8)
        frame[begin : begin + octets] = addresses
        if kind == IPV4:
            size = (frame[at] & 15) * 4
            frame[at + 10 : at + 12] = b"\0\0"
            frame[at + 10 : at + 12] = checksum(bytes(frame[at : at + size])).to_bytes(2, "big")
        size = fragment.end - fragment.start
        frame[fragment.header : fragment.header + size] = payload[fragment.start : fragment.end]
        changed = bytes(frame)
        parts.append((Packet(changed, packet.offload), key & ~FRAME | parse(changed)))
    return parts


def _read(packet: Packet, key: int, zone: int) -> tuple[Place, Fragment, int] | None:
    """(where it belongs, what it is, bytes of the IP packet); None: it is damaged."""
    frame = packet.frame
    kind, at = network_of(frame)
    recirculation = key >> _RECIRC.shift & _RECIRC.ones
    if kind == IPV4:
        size, total = (frame[at] & 15) * 4, frame[at + 2] << 8 | frame[at + 3]
        if ones_sum(frame[at : at + size]) != 0xFFFF or total <= size:
            return None
        bits = frame[at + 6] << 8 | frame[at + 7]
        ident = frame[at + 4] << 8 | frame[at + 5]
        start = (bits & 0x1FFF) * 8
        fragment = Fragment(start, start + total - size, not bits & _MORE, at + size, (packet, key))
        addresses = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        return Place(recirculation, ident, 4, zone, frame[at + 9], *addresses), fragment, total
    if kind != IPV6:
        return None
    end = at + 40 + (frame[at + 4] << 8 | frame[at + 5])
    header = _fragment_header(frame, at, end)
    if header is None or end <= header + 8:
        return None
    bits = frame[header + 2] << 8 | frame[header + 3]
    ident = int.from_bytes(frame[header + 4 : header + 8], "big")
    start = bits & 0xFFF8
    fragment = Fragment(start, start + end - header - 8, not bits & 1, header + 8, (packet, key))
    addresses = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    return Place(recirculation, ident, 6, zone, 0, *addresses), fragment, end - at


def _fragment_header(frame: bytes, at: int, end: int) -> int | None:
    """Of several the last, but none behind one of a later fragment."""
    following, here, found = frame[at + 6], at + 40, None
    while following in _HEADERS and here + 8 <= end:
        size = 8
        if following == _FRAGMENT_HEADER:
            found = here
            if (frame[here + 2] << 8 | frame[here + 3]) & 0xFFF8:
                break
        elif following == _AUTHENTICATION:
            size = (frame[here + 1] + 2) * 4
        else:
            size = (frame[here + 1] + 1) * 8
        following, here = frame[here], here + size
    return found


def _join(fragments: list[Fragment]) -> Whole | None:
    """The whole packet, if nothing is missing."""
    parts = tuple(sorted(fragments, key=lambda fragment: fragment.start))
    at = 0
    for part in parts:
        if part.start != at:
            return None
        at = part.end
    if not parts[-1].last:
        return None
    first = parts[0].part[0].frame
    kind, network = network_of(first)
    payload = b"".join(
        part.part[0].frame[part.header : part.header + part.end - part.start] for part in parts
    )
    if kind == IPV4:
        header = bytearray(first[network : parts[0].header])
        if len(header) + len(payload) > 0xFFFF:
            return None
        header[2:4] = (len(header) + len(payload)).to_bytes(2, "big")
        header[6:8] = header[10:12] = b"\0\0"
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    else:  # without extension headers: nobody sees the whole
        if len(payload) > 0xFFFF:
            return None
        header = bytearray(first[network : network + 40])
        header[4:6] = len(payload).to_bytes(2, "big")
        header[6] = first[parts[0].header - 8]
    frame = first[:network] + bytes(header) + payload
    return Whole(Packet(frame), parts[0].part[1] & ~FRAME | parse(frame), parts)
