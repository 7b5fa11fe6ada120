"""What ``coverage/show`` tells of addresses and of packets that controllers send, as the original counts."""

from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, fresh_pair
from support.waiting import until

pytestmark = pytest.mark.oracle

MACS = ("learned", "moved", "expired", "evicted")
EXACT = (*(f"mac_learning_{event}" for event in MACS), "ofproto_packet_out")
CAUSES = ("rev_flow_table", "rev_mac_learning", "rev_port_toggled")
FRAME = "5054000000015054000000%02x88b5" + "00" * 46


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def read(pair: Pair, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [pair.control("coverage/read-counter", name) for name in names]


def test_events_are_counted(pair: Pair) -> None:
    """Learned, moved, thrown out for want of room, and forgotten with age; the statistics of one bridge begin
    anew meanwhile, the counters do not."""
    for switch in pair.both:
        switch.vsctl("set", "bridge", "br0", "other_config:mac-table-size=12")
        assert switch.ofctl("add-flow", "br0", "actions=NORMAL").returncode == 0
    for number in range(9):
        pair.control("netdev-dummy/receive", "p1", FRAME % (number + 16))
    pair.control("netdev-dummy/receive", "p2", FRAME % 18)
    pair.control("fdb/stats-clear", "br0")
    for number in range(9, 15):
        pair.control("netdev-dummy/receive", "p1", FRAME % (number + 16))
    for switch in pair.both:
        for _ in range(3):
            sent = switch.ofctl("packet-out", "br0", f"in_port=1,packet={FRAME % 99},actions=2")
            assert sent.returncode == 0, sent.stderr

    def same() -> bool:
        return all(theirs == ours for theirs, ours in read(pair, EXACT))

    until(same, lambda: str(read(pair, EXACT)))
    counts = [int(ours) for _, ours in read(pair, EXACT)]
    assert counts[:2] == [15, 1]
    assert counts[3:] == [3, 3]
    for switch in pair.both:
        assert switch.ofctl("add-flow", "br0", "priority=9,udp,actions=drop").returncode == 0
    until(lambda: all(int(count) for both in read(pair, CAUSES) for count in both))
