"""The short way through the common frames gives the key that the way layer by layer gives."""

import random

from trunkline.packet.parse import _ethernet, parse

HEADER = bytes.fromhex("4500002e0000400040")


def random_frame(rnd: random.Random) -> bytes:
    """IPv4 most of the time, with up to two tags, cut and damaged."""
    body = bytearray(HEADER + bytes([rnd.choice((6, 17, 1))]) + rnd.randbytes(rnd.randint(0, 60)))
    for _ in range(rnd.choice((0, 0, 1, 3))):
        body[rnd.randrange(len(body))] = rnd.randrange(256)
    tags = [
        rnd.choice((b"\x81\x00", b"\x88\xa8")) + rnd.randbytes(2) for _ in range(rnd.choice((0, 1, 1, 2)))
    ]
    kind = rnd.choice((b"\x08\x00", b"\x08\x00", b"\x08\x00", b"\x86\xdd"))
    return rnd.randbytes(12) + b"".join(tags) + kind + bytes(body[: rnd.randint(0, 2 * len(body))])


def test_the_short_way_gives_the_same_key() -> None:
    rnd = random.Random(5)
    tagged = 0
    for _ in range(20_000):
        frame = random_frame(rnd)
        assert parse(frame) == _ethernet(frame), frame.hex()
        tagged += frame[12] in (0x81, 0x88)
    assert tagged > 10_000
