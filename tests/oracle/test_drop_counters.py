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


REASONS = (
    *("upcall_error", "lock_error", "userspace_action_error", "tunnel_push_error", "tunnel_pop_error"),
    *(
        "recirc_error",
        "invalid_port",
        "invalid_bond",
        "invalid_tnl_port",
        "rx_invalid_packet",
        "nsh_decap_error",
    ),
    *("meter", "sample_error"),
)
OTHERS = (
    "drop_action_congestion",
    "drop_action_stack_too_deep",
    "drop_action_bridge_not_found",
    "drop_action_x",
)


def drops(pair: Pair) -> list[tuple[str, str]]:
    names = [*(f"datapath_drop_{reason}" for reason in REASONS), *OTHERS]
    return [pair.control("coverage/read-counter", name) for name in names]


def test_what_the_datapath_drops_is_counted(pair: Pair) -> None:
    """Packets that a meter keeps, and packets that go round and round."""
    pair.control("time/stop")
    flows = "ip,tcp,actions=meter:1,output:2\nip,udp,actions=ct(table=0)\n"
    for switch in pair.both:
        assert switch.ofctl("-O", "OpenFlow13", "del-flows", "br0").returncode == 0
        meter = "meter=1,pktps,bands=type=drop,rate=2"
        assert switch.ofctl("-O", "OpenFlow13", "add-meter", "br0", meter).returncode == 0
        done = switch.ofctl("-O", "OpenFlow13", "add-flows", "br0", "-", input=flows)
        assert done.returncode == 0, done.stderr
    for number, header in enumerate((HEADERS[1], HEADERS[0])):
        flow = f"in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),{header}"
        for _ in range(9 - number):
            pair.control("netdev-dummy/receive", "p1", flow)
    deadline = time.monotonic() + 20
    while True:
        found = drops(pair)
        if all(theirs == ours for theirs, ours in found) and len({ours for _, ours in found}) > 3:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
