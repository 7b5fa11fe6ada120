"""Whatever the bytes: tracking never raises, and what it keeps stays consistent."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.conntrack_conversations import fragments, strange_packet
from support.frames import random_frame
from trunkline.conntrack.store import MemoryStore
from trunkline.conntrack.tracker import Tracker
from trunkline.dpif import actions as dp
from trunkline.packet.packet import Packet
from trunkline.packet.parse import parse

NATS = (None, None, dp.Nat(), dp.Nat("src", 4, 0x0A010001, 0x0A010002, 1, 9), dp.Nat("dst", 6, 5, 9))
HELPERS = ("", "", "ftp", "tftp")


def packet(rnd: random.Random) -> bytes:
    frame = rnd.choice((strange_packet, random_frame, lambda rnd: next(fragments(rnd, 1, 1))))(rnd)
    if rnd.random() < 0.3:
        damaged = bytearray(frame)
        for _ in range(3):
            damaged[rnd.randrange(len(damaged))] = rnd.getrandbits(8)
        frame = bytes(damaged[: rnd.randrange(1, len(damaged) + 1)])
    return frame


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
@example(402)
def test_any_packets(seed: int) -> None:
    rnd = random.Random(seed)
    tracker = Tracker(MemoryStore(), seed)
    tracker.fragments.families[4].minimum = tracker.fragments.families[6].minimum = 0
    now = 0.0
    for _ in range(80):
        frame = packet(rnd)
        key, known, held = parse(frame), None, Packet(frame)
        for _ in range(rnd.randrange(1, 4)):
            action = dp.Conntrack(
                rnd.random() < 0.6,
                rnd.random() < 0.1,
                rnd.choice((0, 1)),
                rnd.choice((None, (3, 7))),
                rnd.choice((None, (5, 1 << 127 | 5))),
                rnd.choice(HELPERS),
                nat=rnd.choice(NATS),
            )
            outcomes = tracker.process(held, key, action, now, known)
            if not outcomes:
                break
            held, key, known = outcomes[-1]
        now += rnd.choice((0, 0, 0.5, 20, 70))
        tracker.run(now)
    consistent(tracker)
    tracker.run(now + 100_000)
    assert len(tracker.store) == 0
    assert tracker.fragments.count == 0
    assert len(tracker.expectations) == 0


def consistent(tracker: Tracker) -> None:
    for connection in tracker.connections():
        found = tracker.store.lookup(connection.original.name())
        if found != (connection, False):  # a newer one's answers have that name (store.Store.insert)
            assert found is not None
            assert found[1]
            assert found[0].reply.name() == connection.original.name()
        found = tracker.store.lookup(connection.reply.name())
        assert found is not None or connection.nat
        if not connection.nat:
            assert connection.reply == connection.original.reversed()
