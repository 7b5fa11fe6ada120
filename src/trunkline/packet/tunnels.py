"""Outer headers of tunnels: written in advance, completed for each packet, and taken off again.

What is the same for all packets of a flow is written once (`header`): Ethernet, IP, UDP or not, and the
tunnel's own header.  `push` puts it before a packet and fills in what depends on that: lengths, checksums,
the UDP source port, which stands for the flow inside so that routers on the way can spread flows, and GRE's
sequence number.  `pop` takes the headers off a packet and yields what they said as bits of a flow key.

A frame in STT (packet/stt.py) may take several outer packets, so `push_all` yields them, and on the way in
`pop` gives what they carry to a place where the pieces are put together.

Sources: RFC 7348 (VXLAN), the drafts on its group policy and generic protocol extensions, RFC 8926 (Geneve),
2784 and 2890 (GRE), 3GPP TS 29.281 (GTP-U), draft-foschiano-erspan-03, RFC 6830 (LISP), the kernel's
Documentation/networking/bareudp.rst.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from trunkline.base.addresses import MAPPED, is_mapped
from trunkline.flow.key import OFFSET, TUN_CSUM, TUN_DF, TUN_KEY, TUN_OAM, WIDTH, bits, get
from trunkline.model.tunnels import GRE, TCP, TUNNEL_TYPES, UDP
from trunkline.packet import stt
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.packet import Offload
from trunkline.packet.parse import IPV4, IPV6, MPLS, MPLS_MULTICAST

ETHERNET: Final = 14
TUNNEL: Final = bits(*(name for name in WIDTH if name.startswith(("tun_", "tunnel_"))))
"""The bits of a key that tell of a tunnel."""

VXLAN_HAS_VNI: Final = 0x08000000
VXLAN_HAS_GBP: Final = 0x80000000
VXLAN_HAS_NEXT: Final = 0x04000000
GRE_CSUM, GRE_KEY, GRE_SEQUENCE = 0x8000, 0x2000, 0x1000
LISP_INSTANCE: Final = 0x08
_BRIDGED: Final = 0x6558
_TO_NEXT: Final = {0: 3, IPV4: 1, IPV6: 2, 0x894F: 4}
_FROM_NEXT: Final = {1: IPV4, 2: IPV6, 3: 0, 4: 0x894F}
_IP_VERSIONS: Final = {4: IPV4, 6: IPV6}
_FLAGS: Final = OFFSET["tunnel_flags"]
_ID: Final = OFFSET["tun_id"]


class Outer(NamedTuple):
    """Where a packet goes between hosts.  MAC addresses, and addresses of 128 bits (base/addresses.py)."""

    source_mac: int
    destination_mac: int
    source: int
    destination: int


def outer_ends(key: int) -> tuple[int, int]:
    """Source and destination that a key's fields of a tunnel name, 0 where they name none."""
    source, destination = get(key, "tun_src"), get(key, "tun_dst")
    return (
        MAPPED | source if source else get(key, "tun_ipv6_src"),
        MAPPED | destination if destination else get(key, "tun_ipv6_dst"),
    )


class Kind(NamedTuple):
    """What else decides how a header looks: the type's name, the UDP port (of stt that of TCP), whether GRE
    counts packets, and extensions.  `carries` is the Ethernet type of packets without an Ethernet header, 0
    for Ethernet frames.
    """

    type: str
    port: int = 0
    sequence: bool = False
    extensions: frozenset[str] = frozenset()
    carries: int = 0


class Popped(NamedTuple):
    """`frame` begins with an Ethernet header, or if `carries` is an Ethernet type, with the place of one
    (packet/headers.py); `key` has the slots of TUNNEL; `offload` is what its sender has left to do."""

    frame: bytes
    key: int
    carries: int = 0
    offload: Offload | None = None


KEPT: Final = Popped(b"", 0)
"""Instead of a packet: what came was a piece of one, and the others are waited for."""


# ---- writing


def header(kind: Kind, outer: Outer, tunnel: int) -> bytes:
    """Everything before the packet inside; `tunnel` is a key whose tunnel slots say the rest."""
    own, protocol = _HEADERS[kind.type](kind, tunnel)
    if protocol == UDP:
        csum = get(tunnel, "tunnel_flags") & TUN_CSUM or not is_mapped(outer.destination)
        own = bytes(2) + kind.port.to_bytes(2, "big") + bytes(2) + (b"\xff\xff" if csum else bytes(2)) + own
    elif protocol == TCP:
        own = stt.port_header(kind.port) + own
    ethernet = outer.destination_mac.to_bytes(6, "big") + outer.source_mac.to_bytes(6, "big")
    return ethernet + ip_header(outer, protocol, tunnel) + own


def ip_header(outer: Outer, protocol: int, tunnel: int) -> bytes:
    """With the Ethernet type before it; lengths are those of no payload."""
    tos, ttl = get(tunnel, "tun_tos"), get(tunnel, "tun_ttl")
    if is_mapped(outer.destination):
        fragment = 0x4000 if get(tunnel, "tunnel_flags") & TUN_DF else 0
        head = bytes((0x45, tos, 0, 20, 0, 0)) + fragment.to_bytes(2, "big") + bytes((ttl, protocol, 0, 0))
        head += (outer.source & 0xFFFFFFFF).to_bytes(4, "big")
        head += (outer.destination & 0xFFFFFFFF).to_bytes(4, "big")
        return b"\x08\0" + head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    first = 6 << 28 | tos << 20
    return (
        b"\x86\xdd"
        + first.to_bytes(4, "big")
        + bytes((0, 0, protocol, ttl))
        + outer.source.to_bytes(16, "big")
        + outer.destination.to_bytes(16, "big")
    )


def _vxlan(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    flags = VXLAN_HAS_VNI
    vni = (tunnel >> _ID & 0xFFFFFF) << 8
    if "gpe" in kind.extensions:
        flags |= VXLAN_HAS_NEXT | _TO_NEXT.get(kind.carries, 0)
    elif "gbp" in kind.extensions:
        policy = get(tunnel, "tun_gbp_id")
        if policy:
            flags |= VXLAN_HAS_GBP | (get(tunnel, "tun_gbp_flags") & 0x48) << 16 | policy
    return flags.to_bytes(4, "big") + vni.to_bytes(4, "big"), UDP


def _geneve(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    words = get(tunnel, "tun_options_length")
    options = (get(tunnel, "tun_options") >> (256 - words * 4) * 8).to_bytes(words * 4, "big")
    flags = 0x80 if get(tunnel, "tunnel_flags") & TUN_OAM else 0
    if has_critical(options):
        flags |= 0x40
    head = bytes((words, flags)) + (kind.carries or _BRIDGED).to_bytes(2, "big")
    return head + (tunnel >> _ID & 0xFFFFFF).to_bytes(3, "big") + b"\0" + options, UDP


def has_critical(options: bytes) -> bool:
    """Whether a Geneve option says that who does not know it must drop the packet."""
    at = 0
    while at + 4 <= len(options):
        if options[at + 2] & 0x80:
            return True
        at += 4 + (options[at + 3] & 31) * 4
    return False


def _gre(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    flags = get(tunnel, "tunnel_flags")
    bits_set, rest = 0, b""
    if flags & TUN_CSUM:
        bits_set |= GRE_CSUM
        rest += bytes(4)
    if flags & TUN_KEY:
        bits_set |= GRE_KEY
        rest += (tunnel >> _ID & 0xFFFFFFFF).to_bytes(4, "big")
    if kind.sequence:
        bits_set |= GRE_SEQUENCE
        rest += bytes(4)
    return bits_set.to_bytes(2, "big") + (kind.carries or _BRIDGED).to_bytes(2, "big") + rest, GRE


def _gtpu(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    return bytes((0x30, 0xFF, 0, 0)) + (tunnel >> _ID & 0xFFFFFFFF).to_bytes(4, "big"), UDP


def _lisp(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    """Without nonce and locator status bits; the key is the instance."""
    if not get(tunnel, "tunnel_flags") & TUN_KEY:
        return bytes(8), UDP
    return bytes((LISP_INSTANCE, 0, 0, 0)) + (tunnel >> _ID & 0xFFFFFF).to_bytes(3, "big") + b"\0", UDP


def _bareudp(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    return b"", UDP


def _stt(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    return stt.frame_header(tunnel >> _ID & 0xFFFFFFFFFFFFFFFF), TCP


def _erspan(kind: Kind, tunnel: int) -> tuple[bytes, int]:
    """GRE with a sequence number; version 2 is type III of the draft."""
    version = get(tunnel, "tun_erspan_ver")
    session = tunnel >> _ID & 0x3FF
    if version == 2:
        direction, hardware = get(tunnel, "tun_erspan_dir"), get(tunnel, "tun_erspan_hwid")
        own = (2 << 28 | session).to_bytes(4, "big") + bytes(6)
        own += (hardware << 4 | direction << 3).to_bytes(2, "big")
        return b"\x10\0\x22\xeb" + bytes(4) + own, GRE
    own = (1 << 28 | session).to_bytes(4, "big")
    return b"\x10\0\x88\xbe" + bytes(4) + own + get(tunnel, "tun_erspan_idx").to_bytes(4, "big"), GRE


_HEADERS: Final[dict[str, Callable[[Kind, int], tuple[bytes, int]]]] = {
    "vxlan": _vxlan,
    "geneve": _geneve,
    "gre": _gre,
    "ip6gre": _gre,
    "gtpu": _gtpu,
    "erspan": _erspan,
    "ip6erspan": _erspan,
    "lisp": _lisp,
    "bareudp": _bareudp,
    "stt": _stt,
}


def may_carry(type: str, extensions: frozenset[str], kind: int) -> bool:
    """Whether a tunnel's header lets a receiver tell that it carries a packet of Ethernet type `kind`; 0: an
    Ethernet frame."""
    if type == "lisp" or (type == "bareudp" and not extensions):
        return kind in (IPV4, IPV6)
    if type == "bareudp":
        return kind in _payload(extensions)
    return True


def _payload(extensions: frozenset[str]) -> tuple[int, ...]:
    """The Ethernet types of what a bareudp tunnel carries that is not for IP; what comes is of the first."""
    if "mpls" in extensions:
        return MPLS, MPLS_MULTICAST
    return tuple(int(text, 16) for text in extensions)


# ---- before a packet


def push_all(
    header: bytes, inner: bytes, source_port: int, sequence: int, room: int = stt.ROOM
) -> Iterator[bytes]:
    """The whole frames: one, but for STT, which cuts what does not fit into `room` bytes of IP packet."""
    at, protocol = _behind_ip(header)
    if protocol != TCP:
        yield push(header, inner, source_port, sequence)
        return
    ends = (header[22:38], header[38:54]) if header[12] == 0x86 else (header[26:30], header[30:34])
    for segment in stt.segments(header[at:], inner, source_port, sequence, ends, room - (at - ETHERNET)):
        yield _whole(header, segment, b"")


def _behind_ip(header: bytes) -> tuple[int, int]:
    """Where the header behind that of IP begins, and its protocol."""
    if header[12] == 0x86:
        return ETHERNET + 40, header[ETHERNET + 6]
    return ETHERNET + 20, header[ETHERNET + 9]


def push(header: bytes, inner: bytes, source_port: int, sequence: int) -> bytes:
    """The whole frame.  `inner` is complete: nothing of it is left for hardware to do."""
    at, protocol = _behind_ip(header)
    six = at > ETHERNET + 20
    own = header[at:]
    if protocol == UDP:
        own = _complete_udp(header, own, inner, source_port, six)
    elif protocol == GRE:
        own = _complete_gre(own, inner, sequence)
    return _whole(header, own, inner)


def _whole(header: bytes, own: bytes, inner: bytes) -> bytes:
    """With lengths and checksum of IP right."""
    six = header[12] == 0x86
    length = len(own) + len(inner)
    if six:
        network = header[ETHERNET : ETHERNET + 4] + (length & 0xFFFF).to_bytes(2, "big") + header[20:54]
    else:
        network = header[14:16] + (20 + length & 0xFFFF).to_bytes(2, "big") + header[18:24]
        network += bytes(2) + header[26:34]
        network = network[:10] + checksum(network).to_bytes(2, "big") + network[12:]
    return header[:ETHERNET] + network + own + inner


def is_sequenced(header: bytes) -> bool:
    """Whether packets in such headers are counted."""
    at, protocol = _behind_ip(header)
    return protocol == TCP or (protocol == GRE and bool(header[at] << 8 & GRE_SEQUENCE))


def _complete_udp(header: bytes, own: bytes, inner: bytes, source_port: int, six: bool) -> bytes:
    length = len(own) + len(inner)
    if own[8:10] == b"\x30\xff":  # GTP-U says its length as well
        own = own[:10] + (len(inner) & 0xFFFF).to_bytes(2, "big") + own[12:]
    done = source_port.to_bytes(2, "big") + own[2:4] + (length & 0xFFFF).to_bytes(2, "big")
    if own[6:8] == b"\0\0":
        return done + own[6:]
    ends = (header[22:38], header[38:54]) if six else (header[26:30], header[30:34])
    covered = done + bytes(2) + own[8:] + inner
    total = checksum(covered, pseudo_header(*ends, UDP, length)) or 0xFFFF
    return done + total.to_bytes(2, "big") + own[8:]


def _complete_gre(own: bytes, inner: bytes, sequence: int) -> bytes:
    flags = own[0] << 8 | own[1]
    if flags & GRE_SEQUENCE:
        at = 4 + (4 if flags & GRE_CSUM else 0) + (4 if flags & GRE_KEY else 0)
        own = own[:at] + (sequence & 0xFFFFFFFF).to_bytes(4, "big") + own[at + 4 :]
    if flags & GRE_CSUM:
        own = own[:4] + checksum(own[:4] + bytes(4) + own[8:] + inner).to_bytes(2, "big") + own[6:]
    return own


# ---- off a packet


def pop(
    type: str, frame: bytes, extensions: frozenset[str] = frozenset(), pieces: stt.Pieces | None = None
) -> Popped | None:
    """Takes the outer headers off; None if they are not what they should be, KEPT if it is only a piece of a
    packet (then it is in `pieces`)."""
    six = frame[12:14] == b"\x86\xdd"
    at = ETHERNET + (40 if six else 20)
    if len(frame) < at:
        return None
    if six:
        tos, ttl = (frame[14] << 4 | frame[15] >> 4) & 0xFF, frame[21]
        ends = frame[22:38], frame[38:54]
        end = at + int.from_bytes(frame[18:20], "big")
        key = int.from_bytes(ends[0], "big") << OFFSET["tun_ipv6_src"]
        key |= int.from_bytes(ends[1], "big") << OFFSET["tun_ipv6_dst"]
    else:
        if frame[12:14] != b"\x08\0" or frame[14] != 0x45 or checksum(frame[14:34]):
            return None
        tos, ttl = frame[15], frame[22]
        ends = frame[26:30], frame[30:34]
        end = ETHERNET + int.from_bytes(frame[16:18], "big")
        key = int.from_bytes(ends[0], "big") << OFFSET["tun_src"]
        key |= int.from_bytes(ends[1], "big") << OFFSET["tun_dst"]
    if not at <= end <= len(frame):
        return None
    key |= tos << OFFSET["tun_tos"] | ttl << OFFSET["tun_ttl"]
    payload = frame[at:end]
    return pop_payload(type, payload, ends, key, extensions, pieces)


def pop_payload(
    type: str,
    payload: bytes,
    ends: tuple[bytes, bytes],
    key: int,
    extensions: frozenset[str] = frozenset(),
    pieces: stt.Pieces | None = None,
) -> Popped | None:
    """`payload` is what IP carries, `ends` the outer addresses, `key` what has been found out so far."""
    if type == "stt":
        return _pop_stt(payload, ends, key, pieces if pieces is not None else stt.Pieces())
    if TUNNEL_TYPES[type].protocol == UDP:
        if len(payload) < 8:
            return None
        if payload[6:8] != b"\0\0":
            pseudo = pseudo_header(*ends, UDP, len(payload))
            right = not checksum(payload, pseudo) or (
                type == "gtpu" and _sums_without_length(payload, pseudo)
            )
            if not right and int.from_bytes(payload[6:8], "big") != pseudo:  # that: left to hardware
                return None
            key |= TUN_CSUM << _FLAGS
        key |= int.from_bytes(payload[0:2], "big") << OFFSET["tun_tp_src"]
        key |= int.from_bytes(payload[2:4], "big") << OFFSET["tun_tp_dst"]
        payload = payload[8:]
    return _POPPERS[type](payload, key, extensions)


def _sums_without_length(payload: bytes, pseudo: int) -> bool:
    """Whether the checksum is that of a header of GTP-U without its length: the original sums too early."""
    return not checksum(payload[:10] + bytes(2) + payload[12:], pseudo)


def _found(carries: int, inner: bytes, key: int) -> Popped:
    if carries:
        return Popped(bytes(12) + carries.to_bytes(2, "big") + inner, key, carries)
    return Popped(inner, key)


def _pop_vxlan(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) < 8:
        return None
    flags, vni = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    carries = 0
    if "gpe" in extensions and flags & VXLAN_HAS_NEXT:
        if flags & 0xFF not in _FROM_NEXT:
            return None
        carries = _FROM_NEXT[flags & 0xFF]
    elif "gbp" in extensions and flags & VXLAN_HAS_GBP:
        key |= (flags & 0xFFFF) << OFFSET["tun_gbp_id"]
        key |= (flags >> 16 & 0xFF) << OFFSET["tun_gbp_flags"]
    elif flags != VXLAN_HAS_VNI:
        return None
    if vni & 0xFF or not flags & VXLAN_HAS_VNI:
        return None
    return _found(carries, data[8:], key | vni >> 8 << _ID | TUN_KEY << _FLAGS)


def _pop_geneve(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) < 8 or data[0] >> 6:
        return None
    size = (data[0] & 63) * 4
    if len(data) < 8 + size:
        return None
    carries = int.from_bytes(data[2:4], "big")
    if carries == _BRIDGED:
        carries = 0
    options = data[8 : 8 + size]
    key |= int.from_bytes(data[4:7], "big") << _ID
    key |= (TUN_KEY | (TUN_OAM if data[1] & 0x80 else 0)) << _FLAGS
    key |= int.from_bytes(options.ljust(256, b"\0"), "big") << OFFSET["tun_options"]
    key |= size // 4 << OFFSET["tun_options_length"]
    return _found(carries, data[8 + size :], key)


def _pop_gre(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) < 4:
        return None
    flags, carries = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if flags & ~(GRE_CSUM | GRE_KEY | GRE_SEQUENCE):
        return None
    at = 4
    if flags & GRE_CSUM:
        if len(data) < at + 4 or checksum(data):
            return None
        key |= TUN_CSUM << _FLAGS
        at += 4
    if flags & GRE_KEY:
        if len(data) < at + 4:
            return None
        key |= int.from_bytes(data[at : at + 4], "big") << _ID | TUN_KEY << _FLAGS
        at += 4
    if flags & GRE_SEQUENCE:
        at += 4
    if len(data) < at:
        return None
    return _found(0 if carries == _BRIDGED else carries, data[at:], key)


def _pop_gtpu(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) < 8:
        return None
    key |= data[0] << OFFSET["tun_gtpu_flags"] | data[1] << OFFSET["tun_gtpu_msgtype"]
    key |= int.from_bytes(data[4:8], "big") << _ID | TUN_KEY << _FLAGS
    if data[1] != 0xFF:  # signalling: whoever gets it sees the whole message
        return Popped(data, key)
    size = 12 if data[0] & 7 else 8
    if len(data) <= size:
        return None
    carries = _IP_VERSIONS.get(data[size] >> 4)
    return _found(carries, data[size:], key) if carries is not None else None


def _pop_lisp(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) <= 8:
        return None
    if data[0] & LISP_INSTANCE:
        key |= int.from_bytes(data[4:7], "big") << _ID | TUN_KEY << _FLAGS
    carries = _IP_VERSIONS.get(data[8] >> 4)
    return _found(carries, data[8:], key) if carries is not None else None


def _pop_bareudp(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if not data:
        return None
    carries = _payload(extensions)[0] if extensions else _IP_VERSIONS.get(data[0] >> 4)
    return _found(carries, data, key) if carries is not None else None


def _pop_stt(data: bytes, ends: tuple[bytes, bytes], key: int, pieces: stt.Pieces) -> Popped | None:
    segment = stt.parse(data, *ends)
    if segment is None:
        return None
    whole = pieces.add(ends, segment)
    if whole is None:
        return KEPT
    frame = stt.open_frame(whole)
    if frame is None:
        return None
    key |= segment.source_port << OFFSET["tun_tp_src"] | segment.port << OFFSET["tun_tp_dst"]
    return Popped(frame.frame, key | frame.context << _ID | TUN_KEY << _FLAGS, 0, frame.offload)


def _pop_erspan(data: bytes, key: int, extensions: frozenset[str]) -> Popped | None:
    if len(data) < 12 or data[:2] != b"\x10\0":
        return None
    first = int.from_bytes(data[8:12], "big")
    version = first >> 28
    key |= (first & 0x3FF) << _ID | TUN_KEY << _FLAGS | version << OFFSET["tun_erspan_ver"]
    if version == 1 and len(data) >= 16:
        key |= (int.from_bytes(data[12:16], "big") & 0xFFFFF) << OFFSET["tun_erspan_idx"]
        return Popped(data[16:], key)
    if version == 2 and len(data) >= 20:
        last = int.from_bytes(data[18:20], "big")
        key |= (last >> 3 & 1) << OFFSET["tun_erspan_dir"] | (last >> 4 & 0x3F) << OFFSET["tun_erspan_hwid"]
        return Popped(data[20:], key)
    return None


_POPPERS: Final[dict[str, Callable[[bytes, int, frozenset[str]], Popped | None]]] = {
    "vxlan": _pop_vxlan,
    "geneve": _pop_geneve,
    "gre": _pop_gre,
    "ip6gre": _pop_gre,
    "gtpu": _pop_gtpu,
    "erspan": _pop_erspan,
    "ip6erspan": _pop_erspan,
    "lisp": _pop_lisp,
    "bareudp": _pop_bareudp,
}


def outer_of(header: bytes) -> Outer:
    """The addresses that a header written by `header` has."""
    destination, source = int.from_bytes(header[:6], "big"), int.from_bytes(header[6:12], "big")
    if header[12] == 0x86:
        ends = int.from_bytes(header[22:38], "big"), int.from_bytes(header[38:54], "big")
    else:
        ends = MAPPED | int.from_bytes(header[26:30], "big"), MAPPED | int.from_bytes(header[30:34], "big")
    return Outer(source, destination, *ends)
