"""NAT: which address and port a new connection gets, and what that does to its packets.

A translated connection is one whose reply tuple is not its original tuple reversed.  To allocate is therefore
to find a reply tuple that no connection has: first with the ports that the packet brings, then with others.
To translate is to give a packet the addresses and ports that the other direction's tuple has; of an ICMP
error, the quoted packet is translated the other way round, so that its receiver knows it again.
"""

from collections.abc import Callable, Iterator
from typing import Final

from trunkline.conntrack.connection import DESTINATION, SOURCE, Connection
from trunkline.conntrack.tuples import PORTS, Extract, Tuple
from trunkline.dpif import actions as dp
from trunkline.flow.key import OFFSET, VIEW
from trunkline.packet.checksum import checksum, pseudo_header, updated
from trunkline.packet.packet import NEEDS_CHECKSUM, Packet
from trunkline.packet.parse import ICMP, ICMPV6, TCP, UDP
from trunkline.packet.rewrite import set_fields

_ATTEMPTS: Final = 128  # ports tried in a row; then as many again from a random place, half of them each time
_LEAST_ATTEMPTS: Final = 16
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}

Choose = Callable[[int], int]
"""A number below the one given."""


def allocate(
    original: Tuple, wanted: dp.Nat, hashed: int, choose: Choose, taken: Callable[[Tuple], bool]
) -> Tuple | None:
    """The reply tuple for a new connection; None: there is none left.

    `hashed` chooses among addresses and ports, `choose` where to go on when those are taken.
    """
    source = wanted.kind == "src"
    least, most = _addresses(original, wanted)
    count = most - least + 1
    first = hashed % count
    octets = 4 if original.family == 4 else 16
    own, others = _source_ports(original, wanted, hashed), _destination_ports(original, wanted, hashed)
    for step in range(min(count, 1 << 16)):
        address = (least + (first + step) % count).to_bytes(octets, "big")
        reply = original.reversed()
        reply = reply._replace(dst=address) if source else reply._replace(src=address)
        if original.protocol not in PORTS:
            if not taken(reply):
                return reply
            continue
        reply = reply._replace(a=others[0], b=own[0])
        if not source and wanted.port_min:
            for port in _ports(*others, choose):
                if not taken(found := reply._replace(a=port)):
                    return found
        for port in _ports(*own, choose):
            if not taken(found := reply._replace(b=port)):
                return found
    return None


def _addresses(original: Tuple, wanted: dp.Nat) -> tuple[int, int]:
    if wanted.address_min is None:
        own = int.from_bytes(original.src if wanted.kind == "src" else original.dst, "big")
        return own, own
    most = wanted.address_max if wanted.address_max is not None else wanted.address_min
    return wanted.address_min, max(most, wanted.address_min)


def _source_ports(original: Tuple, wanted: dp.Nat, hashed: int) -> tuple[int, int, int]:
    """(first to try, least, most): what the sender's port may become."""
    if wanted.kind == "src" and wanted.port_min:
        return _from_range(wanted, hashed)
    port = original.a
    for least, most in ((1, 511), (600, 1023)):
        if port <= most:
            return port, least, most
    return port, 1024, 65535


def _destination_ports(original: Tuple, wanted: dp.Nat, hashed: int) -> tuple[int, int, int]:
    if wanted.kind == "dst" and wanted.port_min:
        return _from_range(wanted, hashed)
    return original.b, original.b, original.b


def _from_range(wanted: dp.Nat, hashed: int) -> tuple[int, int, int]:
    least, most = wanted.port_min, max(wanted.port_max, wanted.port_min)
    return least + hashed % (most - least + 1), least, most


def _ports(first: int, least: int, most: int, choose: Choose) -> Iterator[int]:
    """Ports to try, from `first` on and round again; in a large range not all."""
    count = most - least + 1
    attempts = min(count, _ATTEMPTS)
    start = first - least
    while True:
        for i in range(attempts):
            yield least + (start + i) % count
        if attempts >= count or attempts < _LEAST_ATTEMPTS:
            return
        attempts //= 2
        start = choose(count)


# ---- packets


def bits(connection: Connection, reply: bool) -> int:
    """SOURCE and DESTINATION, as a packet of this direction is changed."""
    nat = connection.nat
    if reply:
        nat = (DESTINATION if nat & SOURCE else 0) | (SOURCE if nat & DESTINATION else 0)
    return nat


def translate(packet: Packet, key: int, extract: Extract, connection: Connection, reply: bool) -> Packet:
    """The packet as the other end is to see it."""
    target = (connection.original if reply else connection.reply).reversed()
    kind = bits(connection, reply)
    ports = target.protocol in PORTS and not extract.related
    value = mask = 0
    for which, address, port, slots in (
        (SOURCE, target.src, target.a, ("net_src", "tp_src")),
        (DESTINATION, target.dst, target.b, ("net_dst", "tp_dst")),
    ):
        if kind & which:
            value |= int.from_bytes(address, "big") << OFFSET[slots[0]]
            mask |= (1 << len(address) * 8) - 1 << OFFSET[slots[0]]
        if ports:  # both: where a receiver is translated, the sender's port may have had to change as well
            value |= port << OFFSET[slots[1]]
            mask |= VIEW[slots[1]].mask
    done = set_fields(packet, key, value, mask)
    if extract.related:
        frame = _translate_quoted(bytearray(done.frame), extract, target, kind)
        offload = packet.offload
        if offload is not None:  # its checksum is finished now
            offload = offload._replace(flags=offload.flags & ~NEEDS_CHECKSUM)
        return Packet(bytes(frame), offload)
    return done


def _translate_quoted(frame: bytearray, extract: Extract, target: Tuple, kind: int) -> bytearray:
    """Turns the packet that an ICMP error quotes into what its sender sent: `target` reversed."""
    at, transport, end = extract.inner_network, extract.inner_transport, extract.end
    four = target.family == 4
    octets, src_at = (4, at + 12) if four else (16, at + 8)
    before = bytes(frame[src_at : src_at + 2 * octets])
    network = bytes(frame[at : at + 20])
    ports = bytes(frame[transport : transport + 4])
    if kind & SOURCE:
        frame[src_at + octets : src_at + 2 * octets] = target.src
    if kind & DESTINATION:
        frame[src_at : src_at + octets] = target.dst
    if target.protocol in PORTS:
        frame[transport : transport + 4] = (target.b << 16 | target.a).to_bytes(4, "big")
    after = bytes(frame[src_at : src_at + 2 * octets])
    if four:
        old = network[10] << 8 | network[11]
        frame[at + 10 : at + 12] = updated(old, before, after).to_bytes(2, "big")
    where = transport + _CHECKSUM_AT.get(target.protocol, 1 << 16)
    if where + 2 <= end and target.protocol != ICMP:
        old = frame[where] << 8 | frame[where + 1]
        if old or target.protocol != UDP:
            new = updated(updated(old, before, after), ports, bytes(frame[transport : transport + 4]))
            frame[where : where + 2] = (new or (0xFFFF if target.protocol == UDP else 0)).to_bytes(2, "big")
    return _checksummed_error(frame, extract, four)


def _checksummed_error(frame: bytearray, extract: Extract, four: bool) -> bytearray:
    """The ICMP error with its checksum computed anew."""
    start, end = extract.transport, extract.end
    frame[start + 2 : start + 4] = b"\0\0"
    text = bytes(frame[start:end])
    pseudo = 0
    if not four:
        at = extract.network
        pseudo = pseudo_header(
            bytes(frame[at + 8 : at + 24]), bytes(frame[at + 24 : at + 40]), ICMPV6, len(text)
        )
    frame[start + 2 : start + 4] = checksum(text, pseudo).to_bytes(2, "big")
    return frame
