"""Multipart requests in parts: put together, refused and given up as the original does it."""

import struct
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Peer, fresh_pair
from support.waiting import until

pytestmark = pytest.mark.oracle

PORT = struct.pack("!II", 0xFFFFFFFF, 0)
AGGREGATE = struct.pack("!B3xII4xQQHH4x", 255, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)
DESC, AGGREGATES, PORTS = 0, 2, 4
MORE = 1
EXPERIMENTER = struct.pack("!II", 0x2320, 9)
Part = tuple[int, int, bytes, int]
"""Type, flags, body, xid."""
CASES: dict[str, tuple[Part, ...]] = {
    "never ended": ((PORTS, MORE, PORT, 5),),
    "first full": ((PORTS, MORE, PORT, 5), (PORTS, 0, b"", 5)),
    "last full": ((PORTS, MORE, b"", 5), (PORTS, MORE, b"", 5), (PORTS, 0, PORT, 5)),
    "cut": ((AGGREGATES, MORE, AGGREGATE[:16], 5), (AGGREGATES, 0, AGGREGATE[16:], 5)),
    "cut oddly": ((AGGREGATES, MORE, AGGREGATE[:13], 5), (AGGREGATES, 0, AGGREGATE[13:], 5)),
    "whole": ((AGGREGATES, MORE, AGGREGATE, 5), (AGGREGATES, 0, b"", 5)),
    "without body": ((DESC, MORE, b"", 5), (DESC, 0, b"", 5)),
    "another type": ((PORTS, MORE, PORT, 5), (DESC, 0, b"", 5), (PORTS, 0, b"", 5)),
    "another type, more": ((PORTS, MORE, PORT, 5), (DESC, MORE, b"", 5), (DESC, 0, b"", 5)),
    "another request between": ((PORTS, MORE, PORT, 5), (DESC, 0, b"", 6), (PORTS, 0, b"", 5)),
    "two mixed": ((PORTS, MORE, PORT, 5), (DESC, MORE, b"", 6), (PORTS, 0, b"", 5), (DESC, 0, b"", 6)),
    "two alike mixed": ((PORTS, MORE, PORT, 5), (PORTS, 0, PORT, 6), (PORTS, 0, b"", 5)),
    "flags unknown": ((DESC, 2, b"", 5), (DESC, 3, b"", 6), (DESC, 2, b"", 6)),
    "type unknown": ((99, MORE, b"", 5), (99, 0, b"", 5)),
    "too much": ((PORTS, MORE, PORT, 5), (PORTS, 0, PORT, 5)),
    "experimenter unknown": ((0xFFFF, MORE, EXPERIMENTER, 5), (0xFFFF, 0, EXPERIMENTER, 5)),
    "too long": ((PORTS, MORE, bytes(64), 5), (PORTS, 0, b"", 5)),
    "many": (
        *((PORTS, MORE, PORT, xid) for xid in range(200)),
        *((PORTS, 0, b"", xid) for xid in range(200)),
    ),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def message(version: int, part: Part) -> bytes:
    kind, flags, body, xid = part
    return struct.pack("!BBHIHH4x", version, 18, 16 + len(body), xid, kind, flags) + body


def seen(answers: list[bytes]) -> list[tuple[int, bytes, bytes]]:
    """Errors whole, and of replies what was asked: statistics are each switch's own."""
    return [(one[1], one[4:8], one[8:] if one[1] == 1 else one[8:12]) for one in answers]


@pytest.mark.parametrize("version", [4, 5, 6])
def test_requests_in_parts(pair: Pair, version: int) -> None:
    answered = 0
    for name, parts in CASES.items():
        found = []
        for switch in pair.both:
            peer = switch.peer(version)
            found.append(seen(peer.ask(*(message(version, part) for part in parts))))
            peer.close()
        assert found[0] == found[1], name
        answered += len(found[0])
    assert answered > 200


def refusals(peer: Peer, got: list[bytes]) -> list[bytes]:
    got += [one for one in peer.barrier() if one[1] == 1]
    return got


@pytest.mark.parametrize("version", [4, 6])
def test_requests_whose_parts_do_not_come_are_given_up(pair: Pair, version: int) -> None:
    parts = (PORTS, MORE, PORT, 5), (DESC, MORE, b"", 6)
    found = []
    for switch in pair.both:
        peer = switch.peer(version)
        got = [one for one in peer.ask(*(message(version, part) for part in parts)) if one[1] == 1]
        until(lambda peer=peer, got=got: len(refusals(peer, got)) == 2)
        found.append(sorted(got))
        peer.close()
    assert found[0] == found[1]
