"""What hosts and routers tell about multicast groups: IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810).

A *report* says that somebody wants a group, a *leave* (in MLD: done) that it is not wanted any more; the
reports of IGMPv3 and MLDv2 are lists of records, each of which says one or the other of its group.  Sources
are not told apart: who wants a group from some sources wants it.  A *query* comes from a router.
"""

from typing import Final, NamedTuple

from trunkline.base.addresses import MAPPED, from_octets
from trunkline.flow.key import FRAG_LATER
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.parse import ICMPV6, IGMP, extension_headers

QUERY: Final = 0x11
REPORT_V1: Final = 0x12
REPORT_V2: Final = 0x16
LEAVE: Final = 0x17
REPORT_V3: Final = 0x22
MLD_QUERY: Final = 130
MLD_REPORT: Final = 131
MLD_DONE: Final = 132
MLD_REPORT_V2: Final = 143

REPORTS: Final = frozenset((REPORT_V1, REPORT_V2, LEAVE, REPORT_V3))
"""Types of IGMP that are for routers only."""
MLD_REPORTS: Final = frozenset((MLD_REPORT, MLD_DONE, MLD_REPORT_V2))

_TAGS: Final = (b"\x81\x00", b"\x88\xa8")
_HEADER: Final = 8
_RECORD: Final = 4  # of a record, before its group
_INCLUDING: Final = (1, 3)  # MODE_IS_INCLUDE, CHANGE_TO_INCLUDE_MODE: without a source, nothing is wanted
_KINDS: Final = range(1, 7)


class Change(NamedTuple):
    """`group` of 128 bits (an IPv4 group as an IPv4-mapped address) is wanted, or no longer."""

    group: int
    wanted: bool


class Message(NamedTuple):
    """`querier`: the source of a query (128 bits, 0 if it has none); `changes` of a report, in their order.

    `listed`: it is of those whose records, not groups, count in an explanation.  Of one that is not `intact`
    (its checksum is wrong) nothing else is known.
    """

    protocol: str
    querier: int | None = None
    changes: tuple[Change, ...] = ()
    listed: bool = False
    intact: bool = True


def read_membership(frame: bytes) -> Message | None:
    """The message in an Ethernet frame; None: none, or it is cut short."""
    at = 12
    while frame[at : at + 2] in _TAGS:
        at += 4
    kind, packet = frame[at : at + 2], frame[at + 2 :]
    if kind == b"\x08\x00" and len(packet) >= 20:
        return _igmp(packet)
    if kind == b"\x86\xdd" and len(packet) >= 40:
        return _mld(packet)
    return None


def _igmp(packet: bytes) -> Message | None:
    length = int.from_bytes(packet[2:4], "big")
    message = packet[(packet[0] & 15) * 4 : length]
    if packet[9] != IGMP or int.from_bytes(packet[6:8], "big") & 0x1FFF or len(message) < _HEADER:
        return None
    kind = message[0]
    if kind != QUERY and kind not in REPORTS:
        return None
    if checksum(message):
        return Message("IGMP", intact=False)
    group = from_octets(message[4:8])
    if kind == QUERY:
        source = int.from_bytes(packet[12:16], "big")
        return Message("IGMP", MAPPED | source if source else 0)
    if kind == REPORT_V3:
        return Message("IGMP", changes=_records(message, 4), listed=True)
    return Message("IGMP", changes=(Change(group, kind != LEAVE),))


def _mld(packet: bytes) -> Message | None:
    length = int.from_bytes(packet[4:6], "big")
    found = extension_headers(packet[40 : 40 + length], packet[6])
    if found is None:
        return None
    protocol, fragment, at = found
    message = packet[40 + at : 40 + length]
    if protocol != ICMPV6 or fragment & FRAG_LATER or len(message) < _HEADER:
        return None
    if checksum(message, pseudo_header(packet[8:24], packet[24:40], ICMPV6, len(message))):
        return Message("MLD", intact=False)
    kind = message[0]
    if kind == MLD_QUERY:
        return Message("MLD", int.from_bytes(packet[8:24], "big"))
    if kind == MLD_REPORT_V2:
        return Message("MLD", changes=_records(message, 16), listed=True)
    if kind in MLD_REPORTS and len(message) >= _HEADER + 16:
        change = Change(int.from_bytes(message[8:24], "big"), kind == MLD_REPORT)
        return Message("MLD", changes=(change,), listed=True)
    return None


def _records(message: bytes, size: int) -> tuple[Change, ...]:
    """The records of a report whose addresses have `size` bytes; those that are whole but for the sources."""
    found = []
    at = _HEADER
    for _ in range(int.from_bytes(message[6:8], "big")):
        if at + _RECORD + size > len(message):
            break
        sources = int.from_bytes(message[at + 2 : at + 4], "big")
        group = from_octets(message[at + _RECORD : at + _RECORD + size])
        if message[at] in _KINDS:
            wanted = bool(sources) or message[at] not in _INCLUDING
            found.append(Change(group, wanted))
        at += _RECORD + size + sources * size + message[at + 1] * 4
    return tuple(found)
