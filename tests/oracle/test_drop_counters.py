"""Packets that leave nowhere are counted by reason, one by one, as the original counts them."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle

FLOWS = """
table=0,priority=10,udp,actions=drop
table=0,priority=10,tcp,actions=resubmit(,1)
table=1,actions=resubmit(,1)
table=0,priority=10,sctp,actions=encap(ethernet)
table=0,priority=10,icmp,actions=group:1
table=0,priority=10,arp,actions=output:9
"""
HEADERS = (
    "eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=1,dst=2)",
    "eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=1,dst=2)",
    "eth_type(0x0800),ipv4(proto=132,frag=no),sctp(src=1,dst=2)",
    "eth_type(0x0800),ipv4(proto=1,frag=no),icmp(type=8,code=0)",
    "eth_type(0x0806),arp(op=1)",
    "eth_type(0x1234)",
)
COUNTERS = ("of_pipeline", "recursion_too_deep", "unsupported_packet_type")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="drop") as directory:
        pair = Pair(Path(directory))
        yield pair
        pair.stop()


def counts(pair: Pair) -> list[tuple[str, str]]:
    return [pair.control("coverage/read-counter", f"drop_action_{name}") for name in COUNTERS]


def test_drops_are_counted_by_reason(pair: Pair) -> None:
    for switch in pair.both:
        target = f"unix:{switch.directory}/br0.mgmt"
        for command, text in (
            ("add-groups", "group_id=1,type=indirect,bucket=actions=drop"),
            ("add-flows", FLOWS),
        ):
            done = switch.ofctl("-O", "OpenFlow13", command, target, "-", input=text)
            assert done.returncode == 0, done.stderr
        for i, header in enumerate(HEADERS):
            flow = f"in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),{header}"
            for _ in range(i + 2):
                assert not switch.control("netdev-dummy/receive", "p1", flow).startswith("error")
    deadline = time.monotonic() + 20
    while any(theirs != ours for theirs, ours in counts(pair)) and time.monotonic() < deadline:
        time.sleep(0.1)  # ours counts what a megaflow drops when it fetches statistics
    found = counts(pair)
    assert all(theirs == ours for theirs, ours in found), found
    assert [int(ours) for _, ours in found] == [2 + 5 + 6 + 7, 3, 4]
