"""Changing a frame: fields under a mask, VLAN tags and MPLS labels, checksums and offload kept right.

`set_fields` walks down the layers as packet/parse.py does and, where the mask touches a layer's slots, writes
them.  Checksums are updated by what changed (RFC 1624), never computed anew: a wrong one stays as wrong as it
was.  A frame whose checksum is still to be finished by hardware (`Offload` with NEEDS_CHECKSUM) has only the
sum of the pseudo header in its checksum field; there, the addresses' part is updated and the ports' is not.

Adding or removing a header moves the offsets of the offload with it.
"""

from typing import Final, NamedTuple

from trunkline.flow.key import FRAG_LATER, OFFSET, VIEW, bits
from trunkline.packet.checksum import updated
from trunkline.packet.packet import NEEDS_CHECKSUM, Offload, Packet
from trunkline.packet.parse import (
    ARP,
    AUTHENTICATION,
    FRAGMENT,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    MPLS,
    MPLS_MULTICAST,
    NSH,
    QINQ,
    RARP,
    ROUTING,
    SCTP,
    TCP,
    UDP,
    VLAN,
    extension_headers,
    payload_type,
)

_ADDRESSES = VIEW["dl_src"].mask | VIEW["dl_dst"].mask


class _Place(NamedTuple):
    """A slot's bytes: `start` counts from its layer's first byte."""

    slot: str
    start: int
    octets: int


_ETHERNET: Final = (_Place("dl_dst", 0, 6), _Place("dl_src", 6, 6))
_IPV4_PLACES: Final = (
    _Place("nw_src", 12, 4),
    _Place("nw_dst", 16, 4),
    _Place("nw_ttl", 8, 1),
    _Place("nw_tos", 1, 1),
)
_IPV6_PLACES: Final = (_Place("net_src", 8, 16), _Place("net_dst", 24, 16), _Place("nw_ttl", 7, 1))
_ARP_PLACES: Final = (
    _Place("arp_sha", 8, 6),
    _Place("nw_src", 14, 4),
    _Place("arp_tha", 18, 6),
    _Place("nw_dst", 24, 4),
)
_PORTS: Final = (_Place("tp_src", 0, 2), _Place("tp_dst", 2, 2))
_NSH_PATH: Final = (_Place("nsh_spi", 4, 3), _Place("nsh_si", 7, 1))
_NSH_CONTEXT: Final = tuple(_Place(f"nsh_c{i}", 4 + 4 * i, 4) for i in range(1, 5))
_TYPE_AND_CODE: Final = (_Place("tp_src", 0, 1), _Place("tp_dst", 1, 1))
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}

_L4 = VIEW["tp_src"].mask | VIEW["tp_dst"].mask
_ND = bits("nd_target", "arp_sha", "arp_tha", "nd_reserved", "nd_options_type")
_NSH_SLOTS = sum(place.mask for name, place in VIEW.items() if name.startswith("nsh_"))
_MPLS_SLOTS = VIEW["mpls0"].mask


def set_fields(packet: Packet, key: int, value: int, mask: int) -> Packet:
    """`packet` with the bits of `mask` set to those of `value` (both in the layout of flow/key.py).

    `key` is what packet/parse.py makes of the frame.  Bits that no header of the frame has are ignored,
    and so is the type of the payload: it cannot be set.  VLAN bits write the tags.
    """
    if len(packet.frame) < 14:
        return packet
    frame = bytearray(packet.frame)
    if mask & _ADDRESSES:
        _write(frame, 0, _ETHERNET, value, mask)
    if not mask & ~_ADDRESSES:
        return Packet(bytes(frame), packet.offload)
    at = 12
    for slot in ("vlan_tci", "vlan1_tci"):
        if not key >> OFFSET[slot] & 0x1000:
            break
        _write(frame, at, (_Place(slot, 2, 2),), value, mask)
        at += 4
    kind, at = payload_type(bytes(frame[: at + 10]), at)
    parsed = key & (VIEW["net_src"].mask | VIEW["net_dst"].mask | VIEW["nw_proto"].mask | VIEW["nw_ttl"].mask)
    if kind in (MPLS, MPLS_MULTICAST) and mask & _MPLS_SLOTS and len(frame) >= at + 4:
        _write(frame, at, (_Place("mpls0", 0, 4),), value, mask)
    elif kind == NSH and mask & _NSH_SLOTS:
        _set_nsh(frame, at, value, mask)
    elif kind == IPV4 and parsed:
        _set_ipv4(frame, at, key, value, mask, packet.offload)
    elif kind == IPV6 and parsed:
        _set_ipv6(frame, at, key, value, mask, packet.offload)
    elif kind in (ARP, RARP) and len(frame) >= at + 28:
        _write(frame, at, _ARP_PLACES, value, mask)
        if mask & VIEW["arp_op"].mask:
            _write(frame, at, (_Place("nw_proto", 7, 1),), value, mask)
            frame[at + 6] = 0
    return Packet(bytes(frame), packet.offload)


def _set_nsh(frame: bytearray, at: int, value: int, mask: int) -> None:
    """Fields of an NSH header (RFC 8300, section 2.2); the context fields if they are of MD type 1."""
    if len(frame) < at + 8:
        return
    first = frame[at] << 8 | frame[at + 1]
    for slot, shift, ones in (("nsh_flags", 12, 3), ("nsh_ttl", 6, 0x3F)):
        part = mask >> VIEW[slot].shift & ones
        first = first & ~(part << shift) | (value >> VIEW[slot].shift & part) << shift
    frame[at : at + 2] = first.to_bytes(2, "big")
    _write(frame, at, _NSH_PATH, value, mask)
    if frame[at + 2] == 1 and len(frame) >= at + 24:
        _write(frame, at, _NSH_CONTEXT, value, mask)


def _write(frame: bytearray, base: int, places: tuple[_Place, ...], value: int, mask: int) -> None:
    for slot, start, octets in places:
        shift, ones, place = VIEW[slot]
        if not mask & place:
            continue
        part = mask >> shift & ones & (1 << octets * 8) - 1
        begin = base + start
        old = int.from_bytes(frame[begin : begin + octets], "big")
        new = old & ~part | value >> shift & part
        frame[begin : begin + octets] = new.to_bytes(octets, "big")


def _set_ipv4(frame: bytearray, at: int, key: int, value: int, mask: int, offload: Offload | None) -> None:
    before = bytes(frame[at : at + 20])
    _write(frame, at, _IPV4_PLACES, value, mask)
    after = bytes(frame[at : at + 20])
    if before != after:
        old = before[10] << 8 | before[11]
        frame[at + 10 : at + 12] = updated(old, before, after).to_bytes(2, "big")
    start = at + (before[0] & 15) * 4
    end = at + (before[2] << 8 | before[3])
    _set_transport(frame, start, end, before[9], key, value, mask, (before[12:20], after[12:20]), offload)


def _set_ipv6(frame: bytearray, at: int, key: int, value: int, mask: int, offload: Offload | None) -> None:
    before = bytes(frame[at : at + 40])
    _write(frame, at, _IPV6_PLACES, value, mask)
    first = int.from_bytes(before[:4], "big")
    for slot, shift in (("nw_tos", 20), ("ipv6_label", 0)):
        part = mask >> VIEW[slot].shift & VIEW[slot].ones
        first = first & ~(part << shift) | (value >> VIEW[slot].shift & part) << shift
    frame[at : at + 4] = first.to_bytes(4, "big")
    end = at + 40 + (before[4] << 8 | before[5])
    extensions = extension_headers(bytes(frame[at + 40 : end]), before[6])
    if extensions is None:
        return
    protocol, _, start = extensions
    addresses = (before[8:40], bytes(frame[at + 8 : at + 40]))
    if before[6] != protocol and _on_its_way(bytes(frame[at + 40 : at + 40 + start]), before[6]):
        addresses = (before[8:24], bytes(frame[at + 8 : at + 24]))
    _set_transport(frame, at + 40 + start, end, protocol, key, value, mask, addresses, offload)


def _on_its_way(extensions: bytes, following: int) -> bool:
    """Whether a routing header says that the destination is not the last one, which checksums are about
    (RFC 8200, section 8.1)."""
    at = 0
    while len(extensions) - at >= 8:
        if following == ROUTING and extensions[at + 3]:
            return True
        unit = 4 if following == AUTHENTICATION else 8
        size = 8 if following == FRAGMENT else (extensions[at + 1] + (2 if unit == 4 else 1)) * unit
        following = extensions[at]
        at += size
    return False


def _set_transport(
    frame: bytearray,
    at: int,
    end: int,
    protocol: int,
    key: int,
    value: int,
    mask: int,
    addresses: tuple[bytes, bytes],
    offload: Offload | None,
) -> None:
    """Ports, type and code, ND; and the checksum for these and for changed addresses."""
    if key >> OFFSET["nw_frag"] & FRAG_LATER:
        return
    least = {TCP: 20, UDP: 8, SCTP: 12, ICMP: 8, ICMPV6: 8}.get(protocol)
    if least is None or end - at < least:
        return
    before = bytes(frame[at:end])
    if mask & _L4:
        _write(frame, at, _TYPE_AND_CODE if protocol in (ICMP, ICMPV6) else _PORTS, value, mask)
    if protocol == ICMPV6 and mask & _ND:
        _set_neighbour(frame, at, end, value, mask)
    after = bytes(frame[at:end])
    if protocol == SCTP:
        if before != after:
            frame[at + 8 : at + 12] = _sctp_updated(before, after)
        return
    where = _CHECKSUM_AT[protocol]
    old = before[where] << 8 | before[where + 1]
    if protocol == UDP and not old and not _partial(offload, at):
        return  # no checksum at all (RFC 768)
    new = old
    if protocol != ICMP and addresses[0] != addresses[1]:
        # A partial sum is not complemented: it is the sum itself, that hardware goes on with.
        flip = 0xFFFF if _partial(offload, at) else 0
        new = updated(new ^ flip, *addresses) ^ flip
    if before != after and not _partial(offload, at):
        odd = bytes(len(before) & 1)
        new = updated(new, before + odd, after + odd)
    if protocol == UDP and not new:
        new = 0xFFFF
    frame[at + where : at + where + 2] = new.to_bytes(2, "big")


def _partial(offload: Offload | None, at: int) -> bool:
    """Whether the checksum of the header at `at` is still to be finished."""
    return offload is not None and bool(offload.flags & NEEDS_CHECKSUM) and offload.checksum_start == at


def _set_neighbour(frame: bytearray, at: int, end: int, value: int, mask: int) -> None:
    if frame[at] not in (135, 136) or frame[at + 1] or end - at < 24:
        return
    _write(frame, at, (_Place("nd_reserved", 4, 4), _Place("nd_target", 8, 16)), value, mask)
    option = at + 24
    if end - option >= 8:
        _write(frame, option, (_Place("nd_options_type", 0, 1),), value, mask)
    while end - option >= 8:
        size = frame[option + 1] * 8
        if not size or size > end - option:
            return
        if size == 8 and frame[option] in (1, 2):
            slot = "arp_sha" if frame[option] == 1 else "arp_tha"
            _write(frame, option, (_Place(slot, 2, 6),), value, mask)
        option += size


# ---- SCTP's CRC32c (RFC 9260, appendix A)


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(map(_crc_of, range(256)))


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _sctp_updated(before: bytes, after: bytes) -> bytes:
    """The checksum after a change; one that was wrong before stays wrong by as much."""
    old = int.from_bytes(before[8:12], "little")
    was = crc32c(before[:8] + bytes(4) + before[12:])
    now = crc32c(after[:8] + bytes(4) + after[12:])
    return (old ^ was ^ now).to_bytes(4, "little")


# ---- headers


def moved(offload: Offload | None, by: int) -> Offload | None:
    """The offload after `by` bytes went in before the network header."""
    if offload is None:
        return None
    return offload._replace(
        header_length=offload.header_length + by if offload.header_length else 0,
        checksum_start=offload.checksum_start + by
        if offload.flags & NEEDS_CHECKSUM
        else offload.checksum_start,
    )


def push_vlan(packet: Packet, tpid: int, tci: int) -> Packet:
    """A tag in front of the others; the CFI bit of `tci`, which in a key means "present", is not sent."""
    tag = (tpid << 16 | tci & 0xEFFF).to_bytes(4, "big")
    return Packet(packet.frame[:12] + tag + packet.frame[12:], moved(packet.offload, 4))


def pop_vlan(packet: Packet) -> Packet:
    """Without the outermost tag; as it is where there is none."""
    frame = packet.frame
    if len(frame) < 18 or int.from_bytes(frame[12:14], "big") not in (VLAN, QINQ):
        return packet
    return Packet(frame[:12] + frame[16:], moved(packet.offload, -4))


def _network_at(frame: bytes) -> int:
    """Where the type of the payload stands: behind the addresses and all tags."""
    at = 12
    while len(frame) >= at + 6 and int.from_bytes(frame[at : at + 2], "big") in (VLAN, QINQ):
        at += 4
    return at


def push_mpls(packet: Packet, kind: int, entry: int) -> Packet:
    """A label stack entry in front of the network header (behind tags), with the Ethernet type `kind`."""
    frame = packet.frame
    at = _network_at(frame)
    if len(frame) < at + 2:
        return packet
    head = frame[:at] + kind.to_bytes(2, "big") + entry.to_bytes(4, "big")
    return Packet(head + frame[at + 2 :], moved(packet.offload, 4))


def pop_mpls(packet: Packet, kind: int) -> Packet:
    """Without the first label stack entry, the payload's Ethernet type now `kind`; as it is without MPLS."""
    frame = packet.frame
    at = _network_at(frame)
    if len(frame) < at + 6 or int.from_bytes(frame[at : at + 2], "big") not in (MPLS, MPLS_MULTICAST):
        return packet
    return Packet(frame[:at] + kind.to_bytes(2, "big") + frame[at + 6 :], moved(packet.offload, -4))
