"""Packets that a controller sends out, with NORMAL and from odd ports: where they go, beside the original."""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle

IN_PORTS = ("CONTROLLER", "ANY", "LOCAL", "1", "2", "9", "65280", "NORMAL", "FLOOD", "ALL", "TABLE", "UNSET")
FLOWS = (
    "dl_src=50:54:00:00:00:09,dl_dst=50:54:00:00:00:01",
    "dl_src=50:54:00:00:00:09,dl_dst=50:54:00:00:00:02,dl_vlan=10",
    "dl_src=50:54:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff",
    "dl_src=50:54:00:00:00:01,dl_dst=01:80:c2:00:00:00",
    "dl_src=50:54:00:00:00:02,dl_dst=01:00:5e:00:00:01,dl_vlan=20",
    "dl_src=01:00:00:00:00:01,dl_dst=50:54:00:00:00:77",
)
PACKET = "ffffffffffff50540000000908004500001400000000401100000a0000010a000002"
SENT = (
    *(f"in_port={port} packet={PACKET} actions=NORMAL" for port in ("none", "controller", "local", "1", "9")),
    f"in_port=controller packet={PACKET} actions=FLOOD",
    f"in_port=none packet={PACKET} actions=ALL",
    f"in_port=controller packet={PACKET} actions=IN_PORT",
    f"in_port=none packet={PACKET.replace('5054000000090800', '505400000009810000140800')} actions=NORMAL",
    f"in_port=controller packet={PACKET} actions=TABLE",
    f"in_port=controller packet={PACKET.replace('ff' * 6, '0180c2000000')} actions=NORMAL",
    f"in_port=local packet={PACKET.replace('ff' * 6, '0180c2000000')} actions=NORMAL",
)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="out.", dir="/tmp") as directory:
        both = Pair(Path(directory))
        for switch in both.both:
            switch.vsctl("set", "Bridge", "br0", "fail-mode=standalone")
            switch.vsctl("set", "Port", "p2", "tag=10", "--", "set", "Port", "p3", "trunks=10,20")
            switch.control("fdb/add", "br0", "p1", "0", "50:54:00:00:00:01")
            switch.control("fdb/add", "br0", "p2", "10", "50:54:00:00:00:02")
            switch.ofctl("add-flow", "br0", "priority=0,actions=NORMAL")
        yield both
        both.stop()


def told(trace: str) -> list[str]:
    """A trace without its megaflow, and its outputs in the order of their numbers."""
    lines = [line for line in trace.splitlines() if not line.startswith("Megaflow: ")]
    head, _, actions = lines[-1].partition(": ")
    return [*lines[:-1], head, *sorted(actions.split(","))]


def outputs(trace: str) -> list[str]:
    """Only what leaves, however it is written: which tags are put on when depends on the order of ports."""
    return sorted(word for word in told(trace) if word.isdigit())


def test_traces_from_any_port(pair: Pair) -> None:
    different = {}
    flooded = 0
    for port, flow in itertools.product(IN_PORTS, FLOWS):
        original, ours = pair.control("ofproto/trace", "br0", f"in_port={port},{flow}")
        flooded += "flooding" in original
        left, right = (told(trace) for trace in (original, ours))
        left, right = left[: left.index("Datapath actions")], right[: right.index("Datapath actions")]
        if (left, outputs(original)) != (right, outputs(ours)):
            different[port, flow] = original, ours
    assert different == {}
    assert flooded > 10


def test_packets_from_any_port(pair: Pair) -> None:
    for i, words in enumerate(SENT):
        for switch in pair.both:
            assert switch.ofctl("packet-out", "br0", words).returncode == 0
        deadline = time.monotonic() + 20
        while True:
            left, right = (counted(switch.ofctl("dump-ports", "br0").stdout) for switch in pair.both)
            if left == right:
                break
            assert time.monotonic() < deadline, (SENT[: i + 1], left, right)
            time.sleep(0.1)
        macs = [[line.split()[:3] for line in text.splitlines()] for text in pair.control("fdb/show", "br0")]
        assert macs[0] == macs[1], words
    assert "pkts=0" not in right["2"]


def counted(text: str) -> dict[str, str]:
    ports = {}
    for part in text.split("  port ")[1:]:
        name, _, counts = part.partition(":")
        ports[name.strip()] = counts.partition("tx ")[2].strip()
    return ports
