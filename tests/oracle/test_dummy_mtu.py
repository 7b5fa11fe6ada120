"""Dummy devices drop what is longer than their MTU, as the original's do; one 802.1Q tag does not count."""

import re
from pathlib import Path

import pytest

from support.switch_pair import Switch
from support.waiting import until

pytestmark = pytest.mark.oracle
MTU = 1000
TYPES = ("0800", "8100 0003 0800", "88a8 0003 0800", "88a8 0003 8100 0004 0800", "8100 0003 8100 0004 0800")
LENGTHS = (MTU + 14, MTU + 15, MTU + 18, MTU + 19)


def sent(switch: Switch, number: int) -> int:
    """The packets that have left by a port."""
    shown = switch.ofctl("dump-ports", "br0", str(number)).stdout
    found = re.search(r"tx pkts=(\d+)", shown)
    return int(found[1]) if found else -1


def sent_after_each(directory: Path, *, ours: bool) -> list[tuple[str, int, int]]:
    """By a port with an MTU of 1,000, beside one that has room for all of them."""
    switch = Switch(directory, ours=ours)
    try:
        command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure"]
        for number, mtu in ((1, 1500), (2, MTU), (3, 1500)):
            command += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}"]
            command += ["type=dummy", f"ofport_request={number}", f"mtu_request={mtu}"]
        switch.vsctl(*command)
        switch.ofctl("add-flow", "br0", "in_port=1,actions=output:2,output:3")
        found: list[tuple[str, int, int]] = []
        for kind, length in ((kind, length) for kind in TYPES for length in LENGTHS):
            head = bytes.fromhex(f"505400000007 505400000005 {kind}")
            switch.control("netdev-dummy/receive", "p1", head.ljust(length, b"\0").hex())
            count = len(found) + 1
            until(lambda count=count: sent(switch, 3) == count)  # type: ignore[misc]
            found.append((kind, length, sent(switch, 2)))
        return found
    finally:
        switch.stop()


def test_dummy_devices_have_an_mtu(short_directory: Path) -> None:
    want = sent_after_each(short_directory / "o", ours=False)
    assert want[0][2] == want[1][2] == 1, "one fits, the next does not"
    assert sent_after_each(short_directory / "t", ours=True) == want
