"""Nicira's small messages, right and wrong, in every version: the same errors as the original's, or none."""

import struct
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, fresh_pair

pytestmark = pytest.mark.oracle

CASES: dict[str, tuple[int, bytes]] = {
    "flow age": (18, b""),
    "flow age with a body": (18, bytes(8)),
    "controller id": (20, bytes(6) + b"\0\7"),
    "controller id with padding": (20, b"\1" * 6 + b"\0\7"),
    "flush of a zone": (29, bytes(6) + b"\0\7"),
    "flush of a zone with padding": (29, bytes(5) + b"\1\0\7"),
    "role": (10, struct.pack("!I", 9)),
    "flow format": (12, struct.pack("!I", 9)),
    "flow-mod table id": (15, b"\2" + bytes(7)),
    "packet-in format": (16, struct.pack("!I", 9)),
    "asynchronous messages": (19, bytes(24)),
    "asynchronous messages, cut short": (19, bytes(8)),
    "asynchronous messages by properties": (27, bytes(8)),
    "unknown": (99, b""),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


@pytest.mark.parametrize("version", range(1, 7))
def test_messages_are_taken_or_refused_alike(pair: Pair, version: int) -> None:
    refused = 0
    for name, (kind, body) in CASES.items():
        message = struct.pack("!BBHIII", version, 4, 16 + len(body), 7, 0x2320, kind) + body
        found = []
        for switch in pair.both:
            peer = switch.peer(version)
            found.append([one for one in peer.ask(message) if one[1] == 1])
            peer.close()
        assert found[0] == found[1], name
        refused += len(found[0])
    assert 5 < refused < len(CASES)
