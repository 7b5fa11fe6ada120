"""Frames whose VLAN tags are cut short, traced and forwarded by both switches."""

import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle

ADDRESSES = "505400000002505400000001"
TYPES = ("8100", "88a8", "9100")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        try:
            for switch in pair.both:
                assert switch.ofctl("add-flow", "br0", "actions=NORMAL").returncode == 0
            yield pair
        finally:
            pair.stop()


def comparable(text: str) -> str:
    """Without the megaflow (its bits may differ), with the ports of a flood in one order."""
    text = re.sub(r"Megaflow:.*\n", "", text)
    return re.sub(
        r"Datapath actions: ([\d,]+)$",
        lambda found: "Datapath actions: " + ",".join(sorted(found[1].split(","))),
        text.strip(),
    )


def transmitted(pair: Pair, side: int) -> dict[str, str]:
    """Packets sent out of each port."""
    text = pair.both[side].control("dpctl/show", "-s")
    return dict(re.findall(r"port [1-4]: (p\d) .*\n.*\n +TX packets:(\d+)", text))


def test_truncated_tags_are_dropped_as_the_original_drops_them(pair: Pair) -> None:
    rnd = random.Random(88)
    dropped = set()
    for _ in range(120):
        inner = rnd.choice((*TYPES, "0800")) + f"{rnd.randrange(1 << 16):04x}" + "0800"
        frame = rnd.choice(TYPES) + f"{rnd.randrange(1 << 16):04x}" + inner
        frame = ADDRESSES + frame[: rnd.randrange(4, len(frame) + 1, 2)]
        for switch in pair.both:
            switch.control("netdev-dummy/receive", "p1", frame)
        original, ours = pair.control("ofproto/trace", "br0", "in_port=1", frame)
        # The original learns in a thread of its own: a trace may come before it knows the frame's source.
        deadline = time.monotonic() + 10
        while comparable(ours) != comparable(original) and time.monotonic() < deadline:
            time.sleep(0.02)
            original, ours = pair.control("ofproto/trace", "br0", "in_port=1", frame)
        assert comparable(ours) == comparable(original), frame
        if "partial VLAN tag, dropping" in original:
            dropped.add(frame[24:28])
    wanted = transmitted(pair, 0)
    deadline = time.monotonic() + 10
    while transmitted(pair, 1) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
        wanted = transmitted(pair, 0)
    assert transmitted(pair, 1) == wanted
    assert 0 < int(wanted["p2"]) < 120
    assert dropped == {"8100", "88a8"}
