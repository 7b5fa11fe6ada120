"""What a packet teaches where a flow of that match and priority is already, beside the original."""

import time
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("learned_flows")]

FRAME = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)
LEARN = "table=30,priority=9,idle_timeout=600,cookie=7,eth_type=0x800,ip_src=ip_src,output:in_port"
TAUGHT = "table=30,priority=9,ip,nw_src=10.0.0.1"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


@pytest.mark.parametrize(
    "there",
    [
        "",
        f"{TAUGHT},actions=drop",
        f"{TAUGHT},cookie=7,hard_timeout=900,actions=drop",
        f"{TAUGHT},cookie=7,hard_timeout=900,actions=output:1",
        f"{TAUGHT},cookie=8,importance=5,actions=output:1",
        "table=30,priority=8,ip,nw_src=10.0.0.1,actions=drop",
    ],
)
def test_learning_meets_a_flow(pair: Pair, there: str) -> None:
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
        assert switch.ofctl("add-flow", "br0", f"udp actions=learn({LEARN}),2").returncode == 0
        if there:
            assert switch.ofctl("-O", "OpenFlow14", "add-flow", "br0", there).returncode == 0
        switch.control("netdev-dummy/receive", "p1", FRAME)
    agree(pair, "output:1")
    for switch in pair.both:  # what was learned is what a controller means by these words
        takes_back(switch)


def takes_back(switch: Switch) -> None:
    """A strict delete finds the flow; the original may learn it again from what it has yet to count."""
    deadline = time.monotonic() + 20
    while True:
        assert switch.ofctl("--strict", "del-flows", "br0", TAUGHT).returncode == 0
        if "priority=9" not in switch.ofctl("dump-flows", "br0", "table=30").stdout:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def agree(pair: Pair, shown: str) -> None:
    """Waits until both have the same flows, and `shown` in one: the original learns in its own time."""
    deadline = time.monotonic() + 20
    while True:
        command = ("-O", "OpenFlow14", "dump-flows", "br0", "--no-stats", "--sort=priority")
        dumps = [switch.ofctl(*command).stdout for switch in pair.both]
        if dumps[0] == dumps[1] and shown in dumps[0]:
            return
        assert time.monotonic() < deadline, dumps
        time.sleep(0.1)
