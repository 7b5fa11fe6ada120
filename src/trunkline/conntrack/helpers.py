"""Helpers: protocols whose control connection announces further connections (FTP, TFTP).

Who is announced is *expected*: addresses, protocol and the port of the receiver are known, the sender's port
is not.  A packet that was expected begins a connection that is related to the one that announced it, and has
that one's mark and label.

FTP (RFC 959, 2428) announces in the text: the client by PORT or EPRT, the server by its reply 227 or 229.
Behind NAT the address in the text is replaced; where that changes its length, the sequence numbers of all
that follows are put right, by `Connection.skew`.  An address that is not the sender's own is refused: it
would make the switch let strangers in.  TFTP (RFC 1350) announces by its first packet: the answer comes from
another port.
"""

import re
from typing import Final, NamedTuple

from trunkline.base.addresses import format_ipv6, parse_ipv6
from trunkline.conntrack.connection import DESTINATION, SOURCE, Connection
from trunkline.conntrack.tuples import Extract, Tuple
from trunkline.flow import key as layout
from trunkline.packet.checksum import checksum, pseudo_header, updated
from trunkline.packet.packet import NEEDS_CHECKSUM, Packet
from trunkline.packet.parse import TCP, UDP

FTP, TFTP = "ftp", "tftp"
_PROTOCOL: Final = layout.OFFSET["nw_proto"]
_SRC: Final = layout.OFFSET["tp_src"]
_DST: Final = layout.OFFSET["tp_dst"]
_TEXT: Final = 128  # bytes of a message that are looked at
_COMMAND4: Final = re.compile(rb"(PORT|227)[^\d\r\n]*((\d+),(\d+),(\d+),(\d+)),(\d+),(\d+)", re.IGNORECASE)
_ACTIVE6: Final = re.compile(rb"EPRT\s*\|2\|([0-9a-f:.]+)\|(\d+)\|", re.IGNORECASE)
_PASSIVE6: Final = re.compile(rb"229[^\r\n(]*\(\|\|\|(\d+)\|\)", re.IGNORECASE)


class Expectation(NamedTuple):
    """What an expected connection gets from its parent.  `nat` and `address`: how it is translated."""

    parent: Tuple
    mark: int
    label: int
    nat: int
    address: bytes

    def translation(self, reply: Tuple) -> tuple[int, Tuple]:
        if self.nat == SOURCE:
            return SOURCE, reply._replace(dst=self.address)
        return DESTINATION, reply._replace(src=self.address)


class Expectations:
    """By the name of the expected tuple, its source port 0."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, Expectation] = {}
        self._of_parent: dict[bytes, list[bytes]] = {}

    def find(self, tuple: Tuple) -> Expectation | None:
        if not self._by_name or tuple.protocol not in (TCP, UDP):
            return None
        return self._by_name.get(tuple._replace(a=0).name())

    def add(self, connection: Connection, port: int, reply: bool) -> None:
        """The one whom `connection` is with in that direction will be called, at `port`, by the other."""
        original, back = connection.original, connection.reply
        to_server = connection.nat & DESTINATION  # it is the server that is translated
        if reply:  # the server has announced: the client will call
            expected = original._replace(a=0, b=port)
            nat, address = (DESTINATION, back.src) if to_server else (SOURCE, back.dst)
        else:  # the server will call the client
            expected = back._replace(a=0, b=port)
            nat, address = (SOURCE, original.dst) if to_server else (DESTINATION, original.src)
        name = expected.name()
        if name in self._by_name:
            return
        self._by_name[name] = Expectation(original, connection.mark, connection.label, nat, address)
        self._of_parent.setdefault(original.name(), []).append(name)

    def forget(self, parent: Tuple) -> None:
        if self._of_parent:
            for name in self._of_parent.pop(parent.name(), ()):
                del self._by_name[name]

    def __len__(self) -> int:
        return len(self._by_name)


def of_packet(key: int, asked: str) -> str:
    """The helper that looks at this packet: the one that was asked for, else by its ports; or ""."""
    if asked:
        return asked
    protocol = key >> _PROTOCOL & 0xFF
    if protocol == TCP and 21 in (key >> _SRC & 0xFFFF, key >> _DST & 0xFFFF):
        return FTP
    if protocol == UDP and key >> _DST & 0xFFFF == 69:
        return TFTP
    return ""


class Refused(Exception):
    """The message announces somebody else: the packet is invalid."""


def announce(
    expectations: Expectations,
    helper: str,
    connection: Connection,
    packet: Packet,
    found: Extract,
    reply: bool,
    translate: bool,
) -> Packet:
    """Looks for an announcement; with `translate` puts the address that is in it right.

    Raises Refused.
    """
    if helper == TFTP:
        expectations.add(connection, connection.original.a, reply)
        return packet
    if found.tuple.protocol != TCP:
        return packet
    start = found.transport + (packet.frame[found.transport + 12] >> 4) * 4
    text = packet.frame[start : min(found.end, start + _TEXT)]
    if found.tuple.family == 4:
        return _announce4(expectations, connection, packet, found, reply, translate, text, start)
    return _announce6(expectations, connection, packet, found, reply, translate, text, start)


def _own(connection: Connection, active: bool) -> tuple[bytes, bytes]:
    """(the announcer's address as it sees itself, as the other side sees it)."""
    if active:
        return connection.original.src, connection.reply.dst
    return connection.reply.src, connection.original.dst


def _announce4(
    expectations: Expectations,
    connection: Connection,
    packet: Packet,
    found: Extract,
    reply: bool,
    translate: bool,
    text: bytes,
    start: int,
) -> Packet:
    if not text[:4].upper().startswith((b"PORT", b"227")):
        return packet
    match = _COMMAND4.match(text)
    if match is None:
        raise Refused
    numbers = [int(number) for number in match.groups()[2:]]
    if max(numbers) > 255:
        raise Refused
    port = numbers[4] << 8 | numbers[5]
    own, seen = _own(connection, match[1].upper() == b"PORT")
    if bytes(numbers[:4]) not in (own, seen):
        raise Refused
    if not port:
        return packet  # nobody is to call
    expectations.add(connection, port, reply)
    if not translate:
        return packet
    shown = ",".join(map(str, seen)).encode()
    return _replace(packet, found, connection, reply, start + match.start(2), start + match.end(2), shown)


def _announce6(
    expectations: Expectations,
    connection: Connection,
    packet: Packet,
    found: Extract,
    reply: bool,
    translate: bool,
    text: bytes,
    start: int,
) -> Packet:
    passive = _PASSIVE6.match(text)
    if passive is not None:
        expectations.add(connection, int(passive[1]) & 0xFFFF, reply)
        return packet
    match = _ACTIVE6.match(text)
    if match is None:
        return packet
    own, seen = _own(connection, True)
    address = parse_ipv6(match[1].decode())
    port = int(match[2])
    if address is None or port > 0xFFFF or address.to_bytes(16, "big") not in (own, seen):
        raise Refused
    if not port:
        return packet
    expectations.add(connection, port, reply)
    if not translate:
        return packet
    shown = format_ipv6(int.from_bytes(seen, "big")).encode()
    return _replace(packet, found, connection, reply, start + match.start(1), start + match.end(1), shown)


def _replace(
    packet: Packet, found: Extract, connection: Connection, reply: bool, begin: int, end: int, text: bytes
) -> Packet:
    """The packet with other bytes there, its lengths and checksums right."""
    frame = packet.frame
    if frame[begin:end] == text:
        return packet
    longer = len(text) - (end - begin)
    changed = bytearray(frame[:begin] + text + frame[end:])
    at = found.network
    where = at + 2 if found.tuple.family == 4 else at + 4
    before = bytes(changed[where : where + 2])
    after = (int.from_bytes(before, "big") + longer & 0xFFFF).to_bytes(2, "big")
    changed[where : where + 2] = after
    if found.tuple.family == 4:
        old = changed[at + 10] << 8 | changed[at + 11]
        changed[at + 10 : at + 12] = updated(old, before, after).to_bytes(2, "big")
    if longer:
        connection.skew = (connection.skew[0] + longer, reply)
    return _summed(packet, changed, found, found.end + longer)


def _summed(packet: Packet, frame: bytearray, found: Extract, end: int) -> Packet:
    """With the TCP checksum computed anew."""
    at, start = found.network, found.transport
    frame[start + 16 : start + 18] = b"\0\0"
    begin, octets = (at + 12, 4) if found.tuple.family == 4 else (at + 8, 16)
    source = bytes(frame[begin : begin + octets])
    target = bytes(frame[begin + octets : begin + 2 * octets])
    segment = bytes(frame[start:end])
    total = pseudo_header(source, target, TCP, len(segment))
    if packet.offload is None or not packet.offload.flags & NEEDS_CHECKSUM:  # else hardware does the rest
        total = checksum(segment, total)
    frame[start + 16 : start + 18] = total.to_bytes(2, "big")
    return Packet(bytes(frame), packet.offload)


def put_right(packet: Packet, found: Extract, connection: Connection, reply: bool) -> Packet:
    """Sequence numbers (or acknowledgements, in the other direction) after texts of another length."""
    skew, direction = connection.skew
    if not skew or found.related:
        return packet
    at, sign = (4, 1) if reply == direction else (8, -1)
    frame = bytearray(packet.frame)
    at += found.transport
    number = int.from_bytes(frame[at : at + 4], "big") + sign * skew & 0xFFFFFFFF
    frame[at : at + 4] = number.to_bytes(4, "big")
    return _summed(packet, frame, found, found.end)
