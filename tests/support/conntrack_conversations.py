"""Random packets and pipelines for tests of connection tracking beside the original."""

import ipaddress
import random
import struct
from collections.abc import Iterator

from support.conntrack_packets import icmp, ip, summed, tcp, tcp_segment, udp, udp_segment

_IPV4 = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
_IPV6 = ("fd00::1", "fd00::2", "fd00::3")


# ---- packets of every kind


def strange_packet(rnd: random.Random) -> bytes:
    """A packet of any protocol, or an error that quotes one; now and then damaged or padded."""
    family = rnd.choice((4, 6))
    hosts = _IPV4 if family == 4 else _IPV6
    src, dst = rnd.choice(hosts), rnd.choice(hosts)
    echo = 1 if family == 4 else 58
    if rnd.random() < 0.4:
        protocol = rnd.choice((6, 17, 17, echo, echo, 47, 132, 2, 1, 58))
        frame = ip(src, dst, protocol, _segment(rnd, src, dst, protocol))
    else:
        frame = _error(rnd, src, dst, hosts, rnd.choice((6, 17, 17, echo, 47)))
    if rnd.random() < 0.1:
        damaged = bytearray(frame)
        damaged[rnd.randrange(14, len(damaged))] ^= 1 << rnd.randrange(8)
        frame = bytes(damaged)
    if rnd.random() < 0.1:
        frame += bytes(rnd.randrange(1, 20))
    return frame


def _segment(rnd: random.Random, src: str, dst: str, protocol: int) -> bytes:
    ports = rnd.choice((1000, 2000)), rnd.choice((1000, 2000))
    if protocol == 6:
        flags = rnd.choice((2, 0x12, 0x10, 4))
        return tcp_segment(src, dst, ports, rnd.getrandbits(32), rnd.getrandbits(32), flags, 1000)
    if protocol == 17:
        ports = rnd.choice((*ports, 0)), ports[1]
        return udp_segment(src, dst, ports, bytes(rnd.randrange(30)))
    if protocol in (1, 58):
        four = (8, 0, 13, 14, 15, 16, 17, 9, 10)
        kind = rnd.choice(four if ":" not in src else (128, 129, 133, 134, 135, 136, 130, 200))
        head = struct.pack("!BBHI", kind, rnd.choice((0, 0, 0, 1)), 0, rnd.choice((1, 2)) << 16)
        return summed(src, dst, protocol, head + bytes(rnd.choice((0, 8, 24))), 2)
    return bytes(rnd.randrange(20))


def _error(rnd: random.Random, src: str, dst: str, hosts: tuple[str, ...], protocol: int) -> bytes:
    """`src` tells `dst` that a packet of its did not arrive."""
    to = rnd.choice(hosts)
    quoted = ip(dst if rnd.random() < 0.9 else src, to, protocol, _segment(rnd, dst, to, protocol))[14:]
    size = 40 if ":" in src else 20
    if rnd.random() < 0.3:
        quoted = quoted[: size + 8]
    if rnd.random() < 0.1:
        quoted = quoted[: rnd.randrange(len(quoted))]
    four = ((3, 1), (3, 3), (11, 0), (12, 0), (4, 0), (5, 0))
    kind, code = rnd.choice(four if size == 20 else ((1, 0), (2, 0), (3, 0), (4, 0), (5, 0)))
    return icmp(src, dst, kind, code, 0, quoted)


# ---- pipelines with NAT


def pipeline(rnd: random.Random, shown: str) -> list[str]:
    """Three tables with ct, each showing what the one before has found; port 3 sees what NAT has made.

    What the original does wrongly or crashes over is left out (docs/differences.md): force together with NAT,
    nat without arguments for a new connection, the same TCP ports again behind NAT.
    """
    lines = []
    ranges4 = ("src=10.0.1.1", "src=10.0.1.1:5003", "dst=10.0.0.3", "dst=10.0.0.3:99", "src=10.0.1.1:5000")
    ranges6 = ("src=fd00::11", "dst=fd00::3", "src=[fd00::11]:5000")
    for kind, ranges, source in (
        ("ip", (*ranges4, "src=10.0.0.2"), "CT_NW_SRC"),
        ("ipv6", ranges6, "CT_IPV6_SRC"),
    ):
        forced = rnd.random() < 0.2
        nats = ("", "") if forced else ("", "", *(f",nat({one})" for one in ranges))
        zone = rnd.choice((0, 5, 5))
        second = rnd.choice((zone, zone, zone + 1))
        lines.append(f"table=0,{kind},actions=ct(table=1,zone={zone}{rnd.choice(('', ',nat'))})")
        for priority, state in ((30, "new"), (20, "est"), (10, "rel")):
            action = _second_ct(rnd, state, nats, second, forced)
            tuple_ = "" if state == "rel" else f",move:NXM_NX_{source}[0..7]->NXM_OF_ETH_DST[32..39]"
            match = f"table=1,priority={priority},ct_state=+{state}+trk,{kind}"
            lines.append(f"{match},actions={shown}{tuple_},{action}")
        lines.append(f"table=1,priority=1,ct_state=+trk,{kind},actions={shown},output:2")
        clear = rnd.choice(("", "ct_clear,"))
        third = f"ct(table=3,zone={rnd.choice((zone, second, 7))}{rnd.choice(('', ',nat'))})"
        lines.append(f"table=2,ct_state=+trk,{kind},actions=output:3,{shown},{clear}{third}")
        fourth = rnd.choice(("", f"ct(commit,zone={rnd.choice((zone, second, 7))}),"))
        lines.append(f"table=3,{kind},actions={shown},{fourth}output:2")
    return lines


def _second_ct(rnd: random.Random, state: str, nats: tuple[str, ...], zone: int, forced: bool) -> str:
    marks = (
        "",
        "",
        ",exec(load:7->NXM_NX_CT_MARK[])",
        ",exec(load:3->NXM_NX_CT_MARK[0..3],load:5->NXM_NX_CT_LABEL[2..6])",
    )
    commit = rnd.choice(("commit,", "commit,", "commit,", "" if state != "new" else "commit,"))
    nat = rnd.choice(nats)
    if state != "new" and rnd.random() < 0.6:
        nat = ""
    if not commit:
        return f"ct(table=2,zone={zone}{rnd.choice(('', ',nat'))})"
    if forced and rnd.random() < 0.5:
        commit, nat = "commit,force,", ""
    return f"ct({commit}table=2,zone={zone}{nat}{rnd.choice(marks)})"


def natted_packet(rnd: random.Random) -> bytes:
    hosts = rnd.choice(((*_IPV4, "10.0.1.1"), (*_IPV6, "fd00::11")))
    src, dst = rnd.choice(hosts), rnd.choice(hosts)
    echo = 58 if ":" in src else 1
    protocol = rnd.choice((6, 17, 17, echo, 47))
    ports = rnd.choice((1000, 2000, 80, 600)), rnd.choice((80, 90))
    if protocol == 6:
        numbers = rnd.getrandbits(32), rnd.getrandbits(32)
        return tcp(src, dst, ports, *numbers, rnd.choice((2, 0x12, 0x10)), 1000)
    if protocol == 17:
        return udp(src, dst, ports, bytes(rnd.randrange(3)))
    if protocol == echo:
        return icmp(src, dst, 8 if echo == 1 else 128, 0, rnd.choice((1, 2)) << 16, bytes(rnd.choice((0, 8))))
    return ip(src, dst, protocol, bytes(rnd.randrange(20)))


def answer(rnd: random.Random, frame: bytes) -> bytes:
    """A reply to a packet, or an error about it."""
    four = frame[12:14] == b"\x08\0"
    if four:
        protocol, addresses, body = (
            frame[23],
            frame[26:34],
            frame[34 : 14 + int.from_bytes(frame[16:18], "big")],
        )
    else:
        protocol, addresses, body = (
            frame[20],
            frame[22:54],
            frame[54 : 54 + int.from_bytes(frame[18:20], "big")],
        )
    half = len(addresses) // 2
    src, dst = (str(ipaddress.ip_address(part)) for part in (addresses[:half], addresses[half:]))
    if rnd.random() < 0.3 and (four or protocol not in (6, 17)):
        quoted = frame[14:]
        if rnd.random() < 0.3:
            quoted = quoted[: (20 if four else 40) + 8]
        router = dst if rnd.random() < 0.8 else rnd.choice(_IPV4 if four else _IPV6)
        return icmp(router, src, *rnd.choice(((3, 3), (11, 0)) if four else ((1, 0), (3, 0))), 0, quoted)
    if protocol in (6, 17) and len(body) >= 8:
        ports = int.from_bytes(body[2:4], "big"), int.from_bytes(body[:2], "big")
        if protocol == 17:
            return udp(dst, src, ports, b"yy")
        sequence, acknowledged = struct.unpack("!II", body[4:12])
        return tcp(dst, src, ports, acknowledged or 777, sequence + 1, rnd.choice((0x12, 0x10)), 500)
    if protocol in (1, 58) and body[0] in (8, 128):
        return icmp(dst, src, 0 if four else 129, 0, int.from_bytes(body[4:8], "big"))
    return ip(dst, src, protocol, body)


# ---- fragments


def fragments(rnd: random.Random, seed: int, count: int) -> Iterator[bytes]:
    """`count` packets: fragments of a few packets at a time, some in disorder, lost, doubled or too small."""
    pending: list[list[bytes]] = []
    ident = seed * 1000
    while count:
        if len(pending) < 4 or rnd.random() < 0.3:
            ident = ident + 1 & 0xFFFF
            pending.append(_cut_packet(rnd, ident))
        chosen = rnd.choice(pending)
        if not chosen:
            pending.remove(chosen)
            continue
        count -= 1
        yield chosen.pop(0)


def _cut_packet(rnd: random.Random, ident: int) -> list[bytes]:
    four = (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"), ("10.0.0.2", "10.0.9.9"))
    six = (("fd00::1", "fd00::2"), ("fd00::2", "fd00::1"), ("fd00::2", "fd00::99"))
    src, dst = rnd.choice(rnd.choice((four, six)))
    data = rnd.randbytes(rnd.choice((100, 1300, 3000, 6000)))
    ports = rnd.choice(((1000, 80), (80, 1000), (80, 5000)))
    kind = rnd.random()
    if kind < 0.4:
        protocol, body = 17, udp_segment(src, dst, ports, data)
    elif kind < 0.8:
        protocol, body = 6, tcp_segment(src, dst, ports, 5, 6, rnd.choice((2, 16)), 1000, data)
    else:
        protocol = 58 if ":" in src else 1
        head = struct.pack("!BBHI", 8 if protocol == 1 else 128, 0, 0, 5)
        body = summed(src, dst, protocol, head + data, 2)
    cuts = [0]
    while len(body) - cuts[-1] > 1440 or (rnd.random() < 0.7 and len(body) - cuts[-1] > 1440):
        cuts.append(cuts[-1] + rnd.choice((1184, 1232, 1240, 1400, 1440, 160)))
    if rnd.random() < 0.5 and len(body) - cuts[-1] > 1200:
        cuts.append(cuts[-1] + rnd.choice((1184, 1192, 160)))
    if len(cuts) == 1:
        return [ip(src, dst, protocol, body)]
    found = []
    for start, end in zip(cuts, [*cuts[1:], len(body)], strict=True):
        more = 0x2000 if end < len(body) else 0
        found.append(ip(src, dst, protocol, body[start:end], fragment=start // 8 | more, ident=ident))
    if rnd.random() < 0.4:
        rnd.shuffle(found)
    if rnd.random() < 0.2:
        found.append(rnd.choice(found))
    if rnd.random() < 0.2:
        found.pop(rnd.randrange(len(found)))
    return found
