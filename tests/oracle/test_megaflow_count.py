"""The same traffic through the same tables: we need no more megaflows than the original."""

import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.switch_pair import Pair, Switch
from support.workloads import WORKLOADS

pytestmark = pytest.mark.oracle

PACKETS = 800
AT_ONCE = 20  # the original's dummy ports lose packets of long bursts


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        for switch in pair.both:
            switch.vsctl("set", "open_vswitch", ".", "other_config:max-idle=3600000")
        try:
            yield pair
        finally:
            pair.stop()


def looked_up(switch: Switch) -> int:
    found = re.search(r"hit:(\d+) missed:(\d+)", switch.control("dpctl/show"))
    assert found is not None
    return int(found[1]) + int(found[2])


def megaflows(switch: Switch, packets: list[tuple[int, bytes]]) -> int:
    """How many there are after these packets."""
    switch.control("revalidator/purge")
    before = looked_up(switch)
    for i, (port, frame) in enumerate(packets, 1):
        switch.control("netdev-dummy/receive", f"p{port}", frame.hex())
        if not i % AT_ONCE or i == len(packets):
            deadline = time.monotonic() + 20
            while looked_up(switch) < before + i:
                assert time.monotonic() < deadline, "packets got lost"
                time.sleep(0.001)
    settled, last = 0, -1
    deadline = time.monotonic() + 20
    while settled < 5 and time.monotonic() < deadline:  # the original's upcalls are handled by others
        count = len(switch.control("dpctl/dump-flows").splitlines())
        settled = settled + 1 if count == last else 0
        last = count
        time.sleep(0.02)
    return last


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", list(WORKLOADS))
def test_no_more_megaflows_than_the_original(pair: Pair, name: str) -> None:
    rnd = random.Random(3)
    workload = WORKLOADS[name](rnd)
    path = pair.original.directory / "flows"
    path.write_text("\n".join(workload.flows) + "\n")
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
        done = switch.ofctl("add-flows", "br0", str(path))
        assert done.returncode == 0, done.stderr
    packets = [workload.packet() for _ in range(PACKETS)]
    original, ours = (megaflows(switch, packets) for switch in pair.both)
    assert 100 < ours <= original
