"""Control in band: the hidden flows of both switches in the same configuration, and what goes by them."""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair, Switch

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="band.", dir="/tmp") as directory:
        both = Pair(Path(directory))
        yield both
        both.stop()


def _flows(switch: Switch) -> list[str]:
    """All flows but those of table 254, without ages and counters."""
    lines = switch.control("bridge/dump-flows", "br0").splitlines()
    kept = [line for line in lines if "table_id=254" not in line]
    return sorted(re.sub(r"duration=\d+s, n_packets=\d+, n_bytes=\d+, ", "", line) for line in kept)


STEPS = """
set-controller br0 tcp:10.1.2.3:6653 tcp:127.0.0.1:1
set bridge br0 other_config:in-band-queue=5
set bridge br0 other_config:in-band-queue=-1
set bridge br0 other_config:in-band-queue=0
set bridge br0 other_config:disable-in-band=true
set bridge br0 other_config:disable-in-band=yes
remove bridge br0 other_config in-band-queue
set bridge br0 other-config:hwaddr=aa:55:aa:55:00:07
set-manager tcp:10.5.5.5:6640 ptcp:0:127.0.0.1 ssl:[fe80::1]:77 ssl:10.4.4.4
set-controller br0 ptcp:0:127.0.0.1
set-controller br0 tcp:[::1]:1 ssl:10.2.3.4:5 tcp:10.2.3.4
set-controller br0 tcp:10.1.2.3 -- set controller br0 connection_mode=out-of-band
set-controller br0 tcp:10.1.2.3 -- set controller br0 connection_mode=in-band type=service
del-controller br0
set-fail-mode br0 standalone
set-fail-mode br0 secure
set-manager tcp:10.5.5.5:6640 -- set manager . connection_mode=out-of-band
set manager . connection_mode=in-band
del-manager
"""


def _settle(pair: Pair, what: str) -> list[str]:
    """Both have the same flows, sooner or later: the original looks at its remotes once a second."""
    deadline = time.monotonic() + 30
    while True:
        theirs, mine = (_flows(switch) for switch in pair.both)
        if mine == theirs:
            return mine
        assert time.monotonic() < deadline, (what, mine, theirs)
        time.sleep(0.05)


def test_hidden_flows(pair: Pair) -> None:
    most = 0
    for step in STEPS.strip().splitlines():
        for switch in pair.both:
            switch.vsctl(*step.split())
        most = max(most, len(_settle(pair, step)))
    assert most > 15
    assert _flows(pair.ours) == []


def test_hidden_flows_are_not_counted(pair: Pair) -> None:
    """Statistics of tables count what a controller may know; bridge/dump-flows shows all."""
    flows = ("actions=drop", "ip,actions=drop", "priority=0,arp,actions=2", "priority=32768,udp,actions=2")
    try:
        for switch in pair.both:
            switch.vsctl(*["set-controller", "br0", "tcp:10.1.2.3:6653"])
            for flow in (*flows, *(f"table=3,{flow}" for flow in flows[:2])):
                assert switch.ofctl("add-flow", "br0", flow).returncode == 0
        assert len(_settle(pair, "flows")) > 6 + 4
        counts = []
        for switch in pair.both:
            shown = switch.ofctl("dump-tables", "br0").stdout
            counts.append(re.findall(r"active=(\d+)", shown)[:2])
        assert counts[0] == counts[1]
        assert counts[1][0] == "4"
    finally:
        for switch in pair.both:
            switch.vsctl("del-controller", "br0")
            switch.ofctl("del-flows", "br0")
        _settle(pair, "the end")


def test_what_controllers_need_passes_whatever_they_do(pair: Pair) -> None:
    """Flows of a controller, and their deletion, leave the hidden ones; nobody is shown them."""
    for switch in pair.both:
        switch.vsctl(*["set-controller", "br0", "tcp:10.1.2.3:6653"])
    _settle(pair, "controller")
    addresses = "dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:07"
    packets = (
        f"in_port=1,{addresses},tcp,nw_src=10.9.9.9,nw_dst=10.1.2.3,tcp_dst=6653",
        f"in_port=1,{addresses},tcp,nw_src=10.1.2.3,nw_dst=10.9.9.9,tcp_src=6653",
        f"in_port=1,{addresses},tcp,nw_src=10.9.9.9,nw_dst=10.1.2.3,tcp_dst=6654",
        f"in_port=1,{addresses},arp,arp_spa=10.1.2.3,arp_op=1",
        f"in_port=1,{addresses},arp,arp_tpa=10.1.2.3,arp_op=2",
        f"in_port=1,{addresses},arp,arp_tpa=10.1.2.4,arp_op=2",
        "in_port=LOCAL,dl_src=aa:55:aa:55:00:07,dl_dst=ff:ff:ff:ff:ff:ff,udp,udp_src=68,udp_dst=67",
    )
    try:
        for words in (("add-flow", "br0", "priority=65535,actions=drop"), ("del-flows", "br0")):
            answers = []
            for switch in pair.both:
                done = switch.ofctl(*words)
                assert done.returncode == 0, done.stderr
                assert "180" not in switch.ofctl("--no-stats", "dump-flows", "br0").stdout
                traces = [switch.control("ofproto/trace", "br0", packet) for packet in packets]
                answers.append([_forwarding(trace) for trace in traces])
            assert answers[0] == answers[1]
            assert (answers[1][0] == ["drop"], answers[1][2] == ["drop"]) == (False, True)
    finally:
        for switch in pair.both:
            switch.vsctl("del-controller", "br0")


def _forwarding(trace: str) -> list[str]:
    """Which rule was met, and where the packet goes, in whatever order a flood has."""
    actions = re.search(r"Datapath actions: (.*)", trace)
    assert actions is not None, trace
    return sorted(actions[1].split(","))
