"""What the switch tells of itself and its machine, beside the original."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.outcomes import Side

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="tail.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


def statistics(side: Side) -> dict[str, str]:
    text = side.vsctl("--columns=statistics", "-f", "csv", "list", "Open_vSwitch").stdout
    inside = text.partition("{")[2].rpartition("}")[0].replace('""', '"')
    found = {}
    for part in filter(None, inside.split('", ')):
        key, _, value = part.partition("=")
        found[key.strip('"')] = value.strip('"')
    return found


def test_what_the_machine_is_doing(sides: Sides) -> None:
    for side in sides:
        assert statistics(side) == {}
        side.vsctl("set", "Open_vSwitch", ".", "other_config:enable-statistics=true")
    deadline = time.monotonic() + 20
    while True:
        seen = [statistics(side) for side in sides]
        if all("process_ovs-vswitchd" in one and "load_average" in one for one in seen):
            break
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    left, right = seen
    assert left.keys() == right.keys()
    assert left["cpu"] == right["cpu"]
    parts = [one["memory"].split(",") for one in seen]
    assert (parts[0][0], parts[0][3]) == (parts[1][0], parts[1][3])
    assert all(abs(int(one) - int(other)) < 2_000_000 for one, other in zip(*parts, strict=True))
    assert all(len(one["load_average"].split(",")) == 3 for one in seen)
    systems = [[item.split(",")[:2] for item in one["file_systems"].split(" ")] for one in seen]
    assert systems[0] == systems[1]
    for name in ("process_ovsdb-server", "process_ovs-vswitchd"):
        numbers = [[int(number) for number in one[name].split(",")] for one in seen]
        assert [len(one) for one in numbers] == [7, 7]
        for virtual, resident, busy, crashes, first, last, processor in numbers:
            assert virtual > resident > 1000
            assert (crashes, first) == (0, last)
            assert 0 <= busy <= last
            assert processor < int(left["cpu"])
    for side in sides:
        side.vsctl("set", "Open_vSwitch", ".", "other_config:enable-statistics=false")
    deadline = time.monotonic() + 20
    while any(statistics(side) for side in sides):
        assert time.monotonic() < deadline
        time.sleep(0.2)
