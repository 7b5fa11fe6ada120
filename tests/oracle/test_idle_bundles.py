"""Bundles that lie idle are given up, and whoever opened them is told: as by the original."""

import struct
import time
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Peer, fresh_pair

pytestmark = pytest.mark.oracle
OPEN, CLOSE, COMMIT = 0, 2, 4
OPENFLOW14 = 5


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    for pair in fresh_pair():
        for switch in pair.both:
            switch.control("time/stop")
        yield pair


def control(bundle: int, kind: int, xid: int) -> bytes:
    return struct.pack("!BBHIIHH", OPENFLOW14, 33, 16, xid, bundle, kind, 3)


def add(bundle: int, xid: int) -> bytes:
    """Of a flow-mod that adds a flow without a match."""
    none = 0xFFFFFFFF
    fields = (0, 0, 0, 0, 0, 0, 5, none, none, none, 0, 0)
    mod = struct.pack("!BBHIQQBBHHHIIIHH", OPENFLOW14, 14, 56, xid, *fields) + struct.pack("!HHI", 1, 4, 0)
    return struct.pack("!BBHIIHH", OPENFLOW14, 34, 16 + len(mod), xid, bundle, 0, 3) + mod


def set_timeout(pair: Pair, seconds: str | None) -> None:
    for switch in pair.both:
        if seconds is None:
            switch.vsctl("remove", "open", ".", "other_config", "bundle-idle-timeout")
        else:
            switch.vsctl("set", "open", ".", f"other_config:bundle-idle-timeout={seconds}")


def told(peer: Peer) -> list[bytes]:
    """What a peer is told unasked; the original looks once a second of its time."""
    deadline = time.monotonic() + 30
    while not (found := peer.barrier()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def warp(pair: Pair, seconds: float) -> None:
    """In small steps, for the original notices what is due only between them."""
    for _ in range(round(seconds * 4)):
        for switch in pair.both:
            assert "warp" in switch.control("time/warp", "250")


@pytest.mark.parametrize(("seconds", "idle"), [(None, 10), ("3", 3), ("0", 10)])
def test_what_lies_idle_is_given_up(pair: Pair, seconds: str | None, idle: int) -> None:
    set_timeout(pair, seconds)
    peers = pair.peers(OPENFLOW14)
    try:
        answers = [peer.ask(control(1, OPEN, 0x11), control(2, OPEN, 0x12)) for peer in peers]
        assert answers[0] == answers[1]
        warp(pair, idle - 1)
        for message in (add(2, 0x21), add(3, 0x22)):  # the one goes on, the other is opened
            answers = [peer.ask(message) for peer in peers]
            assert answers[0] == answers[1] == []
        warp(pair, 2.5)
        found = [told(peer) for peer in peers]
        assert found[0] == found[1]
        assert [message[4:8] for message in found[0]] == [struct.pack("!I", 0x11)]
        answers = [peer.ask(control(2, CLOSE, 0x31), control(1, COMMIT, 0x32)) for peer in peers]
        assert answers[0] == answers[1]
        warp(pair, idle - 1)
        found = [told(peer) for peer in peers]  # 3 lies idle since it was opened, 2 since it was closed
        assert found[0] == found[1]
        answers = [peer.ask(control(2, COMMIT, 0x41), control(3, COMMIT, 0x42)) for peer in peers]
        assert answers[0] == answers[1]
    finally:
        for peer in peers:
            peer.close()
