"""Which MTU a bridge's internal ports have while others come, ask for one, take it back and go."""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.outcomes import Side

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
SIZES = (1200, 1280, 1300, 1400, 1500, 1600, 9000)
DEVICES = ("d1", "d2", "d3")
INTERNAL = ("i1", "i2")


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="mtu.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


def mtus(side: Side) -> list[str]:
    text = side.vsctl("--columns=name,mtu", "-f", "csv", "--no-headings", "list", "Interface").stdout
    return sorted(text.split())


def same(sides: Sides, history: list[str]) -> list[str]:
    """What both show; polled, for either may write a moment after ovs-vsctl has its answer."""
    deadline = time.monotonic() + 20
    while True:
        original, ours = (mtus(side) for side in sides)
        if original == ours:
            return ours
        assert time.monotonic() < deadline, (history, original, ours)
        time.sleep(0.05)


def change(rnd: random.Random, there: set[str]) -> str:
    name = rnd.choice((*DEVICES, *DEVICES, *INTERNAL, "br0"))
    size = rnd.choice(SIZES)
    if name not in there:
        there.add(name)
        type = "dummy" if name in DEVICES else "internal"
        wish = f" mtu_request={size}" if rnd.random() < 0.6 else ""
        return f"add-port br0 {name} -- set Interface {name} type={type}{wish}"
    if name != "br0" and rnd.random() < 0.4:
        there.discard(name)
        return f"del-port {name}"
    if rnd.random() < 0.5:
        return f"clear Interface {name} mtu_request"
    return f"set Interface {name} mtu_request={size}"


@pytest.mark.parametrize("seed", range(6))
def test_internal_ports_follow(sides: Sides, seed: int) -> None:
    rnd = random.Random(seed)
    there = {"br0"}
    history = ["add-br br0 -- set Bridge br0 datapath_type=dummy"]
    history += [change(rnd, there) for _ in range(25)]
    seen = set()
    for i, command in enumerate(history):
        for side in sides:
            assert side.vsctl(*command.split()).status == 0
        seen |= {line for line in same(sides, history[: i + 1]) if line.startswith("br0,")}
    for side in sides:
        side.vsctl("del-br", "br0")
    assert len(seen) > 2, "nothing was followed"


def test_the_last_small_port_goes(sides: Sides) -> None:
    commands = (
        ("add-br br0 -- set Bridge br0 datapath_type=dummy", "1500"),
        ("add-port br0 d1 -- set Interface d1 type=dummy mtu_request=1200", "1200"),
        ("del-port d1", "1500"),
        ("add-port br0 d1 -- set Interface d1 type=dummy mtu_request=1600", "1600"),
        ("set Interface br0 mtu_request=1111", "1111"),
        ("clear Interface br0 mtu_request", "1600"),
        ("del-port d1", "1500"),
    )
    for command, mtu in commands:
        for side in sides:
            assert side.vsctl(*command.split()).status == 0
        assert f"br0,{mtu}" in same(sides, [command])
    for side in sides:
        side.vsctl("del-br", "br0")
