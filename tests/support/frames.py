"""Random Ethernet frames of every kind that has a flow key, whole, cut short and damaged."""

import random

TYPES = (0x0800, 0x86DD, 0x0806, 0x8035, 0x8847, 0x8848, 0x894F, 0x88CC, 0x1234, 0x05FF, 0x0100, 0x0600, 20)


def _segment(rng: random.Random, protocol: int) -> bytes:
    """What may follow an IP header, often of the right size for its protocol."""
    if protocol == 6:
        offset = rng.choice((5, 5, 5, 6, 4, 15, 0))
        return (
            rng.randbytes(12)
            + bytes([offset << 4 | rng.getrandbits(4)])
            + rng.randbytes(rng.choice((7, 11, 2)))
        )
    if protocol == 58:
        kind = rng.choice((135, 136, 135, 136, rng.getrandbits(8)))
        options = b"".join(
            bytes([rng.choice((1, 2, 3)), rng.choice((1, 1, 1, 2, 0))])
            + rng.choice((rng.randbytes(6), bytes(6)))
            for _ in range(rng.randrange(4))
        )
        return (
            bytes([kind, rng.choice((0, 0, 0, 1)), 0, 0])
            + rng.randbytes(rng.choice((0, 4, 20, 20)))
            + options
        )
    return rng.randbytes(rng.choice((0, 4, 7, 8, 11, 12, 19, 20, 40)))


def _ipv4(rng: random.Random) -> bytes:
    protocol = rng.choice((1, 2, 6, 6, 6, 17, 17, 58, 132, 0, 44))
    options = rng.choice((0, 0, 0, 4, 40))
    inner = rng.randbytes(options) + _segment(rng, protocol)
    total = 20 + len(inner)
    if rng.random() < 0.2:
        total = rng.choice((0, 19, 20, 21, 24, 28, total - 1, total + 1))
    fragment = rng.choice((0, 0, 0, 0, 0x4000, 0x2000, 1, 0x2001, 0x8000))
    version = 0x45 + options // 4 if rng.random() < 0.95 else rng.getrandbits(8)
    head = bytes([version, rng.getrandbits(8)]) + total.to_bytes(2, "big") + rng.randbytes(2)
    return (
        head + fragment.to_bytes(2, "big") + bytes([rng.getrandbits(8), protocol]) + rng.randbytes(10) + inner
    )


def _ipv6(rng: random.Random) -> bytes:
    protocol = rng.choice((6, 17, 58, 58, 132, 59, 1, 2))
    body, following = _segment(rng, protocol), protocol
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        extension = rng.choice((0, 43, 44, 51, 60))
        if extension == 44:
            bits = rng.choice((b"\0\0", b"\0\1", b"\0\x08", b"\1\1", b"\0\2"))
            header = bytes([following, rng.choice((0, 0, 5))]) + bits + rng.randbytes(4)
        elif extension == 51:
            words = rng.choice((1, 2, 4))
            header = bytes([following, words]) + rng.randbytes((words + 2) * 4 - 2)
        else:
            words = rng.choice((0, 0, 1))
            header = bytes([following, words]) + rng.randbytes(words * 8 + 6)
        body, following = header + body, extension
    length = len(body) + rng.choice((0, 0, 0, 0, 0, -1, 1, -8))
    first = bytes([0x60 | rng.getrandbits(4)]) + rng.randbytes(3)
    return first + (length & 0xFFFF).to_bytes(2, "big") + bytes([following, 64]) + rng.randbytes(32) + body


def _arp(rng: random.Random) -> bytes:
    operation = rng.choice((1, 2, 3, 4, 9, 255, 256, 300))
    packet = bytearray(b"\0\1\x08\0\6\4" + operation.to_bytes(2, "big") + rng.randbytes(20))
    if rng.random() < 0.2:
        packet[rng.randrange(6)] = rng.randrange(9)
    return bytes(packet)


def _mpls(rng: random.Random) -> bytes:
    count = rng.randrange(1, 6)
    entries = [rng.getrandbits(32) & ~0x100 for _ in range(count)]
    if rng.random() < 0.8:
        entries[-1] |= 0x100
    return b"".join(entry.to_bytes(4, "big") for entry in entries)


def _nsh(rng: random.Random) -> bytes:
    length = rng.choice((0, 1, 2, 3, 6, 6, 6, 7, 63))
    first = rng.choice((0, 0, 0, 0, 1, 2)) << 14 | rng.getrandbits(2) << 12 | rng.getrandbits(6) << 6 | length
    kind = rng.choice((0, 1, 1, 1, 2, 3))
    body = rng.randbytes(4 + rng.choice((0, 4, 8, 12, 16, 16, 20, 40)))
    return first.to_bytes(2, "big") + bytes([kind, rng.randrange(6)]) + body


def random_frame(rng: random.Random) -> bytes:
    kind, make = rng.choice(
        ((0x0800, _ipv4), (0x0800, _ipv4), (0x0800, _ipv4), (0x86DD, _ipv6), (0x86DD, _ipv6), (0x86DD, _ipv6),
         (0x0806, _arp), (0x8035, _arp), (0x8847, _mpls), (0x8848, _mpls), (0x894F, _nsh), (0x894F, _nsh),
         (rng.choice(TYPES), lambda r: r.randbytes(r.randrange(60))))
    )  # fmt: skip
    body = make(rng)
    if rng.random() < 0.03:
        kind = rng.choice(TYPES)
    head = rng.randbytes(12)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        head += rng.choice((b"\x81\0", b"\x88\xa8")) + rng.randbytes(2)
    if rng.random() < 0.08:
        snap = rng.choice(
            (b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\1\0", b"\x42\x42\x03\0\0\0")
        )
        head += rng.choice((20, 100)).to_bytes(2, "big") + snap
    frame = head + kind.to_bytes(2, "big") + body
    if rng.random() < 0.2:
        frame += bytes(rng.choice((1, 6, 18, 300)))
    if rng.random() < 0.25:
        frame = frame[: rng.randrange(1, len(frame) + 1)]
    if rng.random() < 0.2:
        damaged = bytearray(frame)
        damaged[rng.randrange(len(frame))] = rng.getrandbits(8)
        frame = bytes(damaged)
    return frame


def pcap(frames: list[bytes]) -> bytes:
    """A capture file that holds `frames`."""
    head = b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + bytes(8) + b"\xff\xff\0\0\1\0\0\0"
    records = (bytes(8) + len(frame).to_bytes(4, "little") * 2 + frame for frame in frames)
    return head + b"".join(records)
