"""A frame from a flow key: the packet that has just those fields, as `netdev-dummy/receive FLOW`,
`ofproto/trace -generate` and `compose-packet` make it.

Every header that the key's types call for is there, lengths and checksums are right, and what a key does not
say is 0.  TCP (unless it opens or closes a connection), UDP and echo messages carry 64 bytes of payload.
parse(build(key)) has the bits of `key` that a frame can have: the original makes no IPv6 fragments, IPv6
extension headers or NSH, and neither does this.
"""

from typing import Final

from trunkline.flow.key import FRAG_ANY, FRAG_LATER, get
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.parse import (
    ARP,
    ICMP,
    ICMPV6,
    IGMP,
    IPV4,
    IPV6,
    MPLS,
    MPLS_MULTICAST,
    NO_TYPE,
    RARP,
    SCTP,
    TCP,
    UDP,
    VLAN,
)

_PAYLOAD: Final = bytes(range(64))
_CLOSING: Final = 0x07  # FIN, SYN, RST: such segments carry no payload
_ECHO: Final = {ICMP: (b"\x08\0", b"\0\0"), ICMPV6: (b"\x80\0", b"\x81\0")}  # type and code
_LATER_OFFSET: Final = 100  # of a later fragment, in units of 8 bytes


def build(key: int, payload: bytes | None = None) -> bytes:
    """The frame for a key; `payload` None: the usual one."""
    head = get(key, "dl_dst").to_bytes(6, "big") + get(key, "dl_src").to_bytes(6, "big")
    for tci, tpid in (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid")):
        if get(key, tci):
            head += (get(key, tpid) or VLAN).to_bytes(2, "big") + (get(key, tci) & 0xEFFF).to_bytes(2, "big")
    kind = get(key, "dl_type")
    body = _network(key, kind, payload)
    if kind == NO_TYPE:
        kind = len(head) + 2 + len(body)
    return head + kind.to_bytes(2, "big") + body


def build_length(key: int, length: int) -> bytes:
    """The frame for a key, with as many zero bytes of payload as make it `length` bytes long.

    Of a length beyond 16 bits the headers have the lower ones.
    """
    bare = build(key, b"")
    missing = length - len(bare)
    return build(key, bytes(missing)) if missing > 0 else bare


def _network(key: int, kind: int, payload: bytes | None) -> bytes:
    if kind == IPV4:
        return _ipv4(key, payload)
    if kind == IPV6:
        return _ipv6(key, payload)
    if kind in (ARP, RARP):
        operation = get(key, "arp_op")
        if operation not in (1, 2):  # as the original has it: of others just the operation
            return b"\0\x01\x08\0\x06\x04" + operation.to_bytes(2, "big") + bytes(20)
        return (
            b"\0\x01\x08\0\x06\x04"
            + operation.to_bytes(2, "big")
            + get(key, "arp_sha").to_bytes(6, "big")
            + get(key, "arp_spa").to_bytes(4, "big")
            + get(key, "arp_tha").to_bytes(6, "big")
            + get(key, "arp_tpa").to_bytes(4, "big")
        )
    if kind in (MPLS, MPLS_MULTICAST):
        stack = b""
        for slot in ("mpls0", "mpls1", "mpls2"):
            stack += get(key, slot).to_bytes(4, "big")
            if get(key, slot) & 0x100:
                break
        return stack
    return b"" if payload is None else payload


def _ipv4(key: int, payload: bytes | None) -> bytes:
    fragment = get(key, "nw_frag")
    flags = 0
    if fragment & FRAG_ANY:
        flags = 0x2000 | (_LATER_OFFSET if fragment & FRAG_LATER else 0)
    addresses = get(key, "nw_src").to_bytes(4, "big"), get(key, "nw_dst").to_bytes(4, "big")
    inner = b"" if fragment & FRAG_LATER else _transport(key, addresses, payload)
    header = (
        bytes([0x45, get(key, "nw_tos")])
        + (20 + len(inner) & 0xFFFF).to_bytes(2, "big")
        + b"\0\0"
        + flags.to_bytes(2, "big")
        + bytes([get(key, "nw_ttl"), get(key, "nw_proto")])
    )
    total = checksum(header + addresses[0] + addresses[1])
    return header + total.to_bytes(2, "big") + addresses[0] + addresses[1] + inner


def _ipv6(key: int, payload: bytes | None) -> bytes:
    addresses = get(key, "ipv6_src").to_bytes(16, "big"), get(key, "ipv6_dst").to_bytes(16, "big")
    inner = b"" if get(key, "nw_frag") & FRAG_LATER else _transport(key, addresses, payload)
    first = 6 << 28 | get(key, "nw_tos") << 20 | get(key, "ipv6_label")
    return (
        first.to_bytes(4, "big")
        + (len(inner) & 0xFFFF).to_bytes(2, "big")
        + bytes([get(key, "nw_proto"), get(key, "nw_ttl")])
        + addresses[0]
        + addresses[1]
        + inner
    )


def _transport(key: int, addresses: tuple[bytes, bytes], payload: bytes | None) -> bytes:
    protocol = get(key, "nw_proto")
    data = _PAYLOAD if payload is None else payload
    ports = get(key, "tp_src").to_bytes(2, "big") + get(key, "tp_dst").to_bytes(2, "big")
    if protocol == TCP:
        flags = get(key, "tcp_flags")
        if flags & _CLOSING and payload is None:
            data = b""
        segment = ports + bytes(8) + (5 << 12 | flags).to_bytes(2, "big") + bytes(6) + data
        return _summed(segment, 16, pseudo_header(*addresses, protocol, len(segment)))
    if protocol == UDP:
        segment = ports + (8 + len(data) & 0xFFFF).to_bytes(2, "big") + bytes(2) + data
        return _summed(segment, 6, pseudo_header(*addresses, protocol, len(segment)), zero=0xFFFF)
    if protocol == SCTP:
        return ports + bytes(8) + (payload or b"")  # the original leaves the checksum 0
    kind_code = bytes([get(key, "icmp_type"), get(key, "icmp_code")])
    if protocol in (ICMP, ICMPV6) and payload is None:
        payload = _PAYLOAD if kind_code in _ECHO[protocol] else b""
    if len(addresses[0]) == 4 and protocol in (ICMP, IGMP):
        rest = get(key, "igmp_group").to_bytes(4, "big") if protocol == IGMP else bytes(4)
        return _summed(kind_code + bytes(2) + rest + (payload or b""), 2, 0)
    if len(addresses[0]) == 16 and protocol == ICMPV6:
        segment = kind_code + bytes(6) + _neighbour(key) + (payload or b"")
        return _summed(segment, 2, pseudo_header(*addresses, protocol, len(segment)))
    return payload or b""


def _neighbour(key: int) -> bytes:
    """The rest of a neighbour solicitation or advertisement: target and the addresses that are set."""
    if get(key, "icmp_type") not in (135, 136) or get(key, "icmp_code"):
        return b""
    text = get(key, "nd_target").to_bytes(16, "big")
    for option, name in ((1, "nd_sll"), (2, "nd_tll")):
        if get(key, name):
            text += bytes([option, 1]) + get(key, name).to_bytes(6, "big")
    return text


def _summed(segment: bytes, at: int, start: int, zero: int = 0) -> bytes:
    total = checksum(segment, start) or zero
    return segment[:at] + total.to_bytes(2, "big") + segment[at + 2 :]
