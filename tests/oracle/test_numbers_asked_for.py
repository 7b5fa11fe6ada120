"""Who gets which OpenFlow port number when interfaces ask, change their minds, come and go.

The original looks at its interfaces in an order of its own, and some moves it makes only in its next round;
so where the two differ both are told to look again, and then whoever asks must have the same numbers.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.outcomes import Side

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
Numbers = dict[str, tuple[Any, Any]]
PORTS = ("q1", "q2", "q3", "q4", "q5")


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="num.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


def numbers(side: Side) -> Numbers:
    """By name: the number that an interface has and the one that it asks for."""
    rows = side.rows("Interface", ("name", "ofport", "ofport_request"))
    return {row["name"]: (row["ofport"], row["ofport_request"]) for row in rows}


def settled(seen: Numbers) -> Numbers:
    """Without those that ask for nothing, or did not get it."""
    return {name: pair for name, pair in seen.items() if pair[0] == pair[1]}


def random_step(rnd: random.Random) -> list[str]:
    port, turn = rnd.choice(PORTS), rnd.random()
    if turn < 0.2:
        return ["--may-exist", "add-port", "br0", port]
    if turn < 0.35:
        return ["--if-exists", "del-port", "br0", port]
    if turn < 0.8:
        return ["--if-exists", "set", "Interface", port, f"ofport_request={rnd.randint(1, 5)}"]
    return ["--if-exists", "clear", "Interface", port, "ofport_request"]


def compare(sides: Sides, steps: list[list[str]]) -> None:
    try:
        for count, step in enumerate(steps, 1):
            for side in sides:
                side.vsctl(*step)
            seen = [numbers(side) for side in sides]
            deadline = time.monotonic() + 10
            while seen[0] != seen[1]:
                for side in sides:
                    nudge = f"other_config:nudge={time.monotonic()}"
                    side.vsctl("set", "Open_vSwitch", ".", nudge)
                seen = [numbers(side) for side in sides]
                if settled(seen[0]) == settled(seen[1]):
                    return  # whoever asks for nothing has another number: from here on they may part
                assert time.monotonic() < deadline, (steps[:count], seen)
    finally:
        for side in sides:
            side.vsctl("clear", "Open_vSwitch", ".", "bridges")


CASES = {
    "a number becomes free": (
        "set Interface q1 ofport_request=1",
        "set Interface q3 ofport_request=1",
        "set Interface q1 ofport_request=9",
        "set Interface q2 ofport_request=9",
        "del-port q1",
    ),
    "swaps": (
        "set Interface q1 ofport_request=3 -- set Interface q3 ofport_request=1",
        "set Interface q1 ofport_request=2 -- set Interface q2 ofport_request=3"
        " -- set Interface q3 ofport_request=1",
    ),
    "a claim is given up": (
        "set Interface q2 ofport_request=2",
        "set Interface q3 ofport_request=2",
        "clear Interface q2 ofport_request",
    ),
    "several rounds": (
        "set Interface q1 ofport_request=1 -- set Interface q2 ofport_request=1",
        "set Interface q3 ofport_request=2 -- del-port q1",
        "add-port br0 q1 -- set Interface q1 ofport_request=2",
        "del-port q3",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_number_goes_to_who_asks_for_it(sides: Sides, name: str) -> None:
    start = [["add-br", "br0"], *(["add-port", "br0", port] for port in PORTS[:3])]
    compare(sides, [*start, *(line.split() for line in CASES[name])])


def test_who_waits_for_a_number_gets_it(sides: Sides) -> None:
    """The last word of every sequence is the original's: v3 has waited for 1."""
    side = sides[1]
    side.vsctl("add-br", "br0")
    for name, number in (("v1", 1), ("v3", 3)):
        side.vsctl("add-port", "br0", name, "--", "set", "Interface", name, f"ofport_request={number}")
    side.vsctl("set", "Interface", "v3", "ofport_request=1")
    side.vsctl("set", "Interface", "v1", "ofport_request=9")
    seen = numbers(side)
    side.vsctl("clear", "Open_vSwitch", ".", "bridges")
    assert (seen["v1"][0], seen["v3"][0]) == (9, 1)


@pytest.mark.parametrize("seed", range(10))
def test_random_wishes(sides: Sides, seed: int) -> None:
    rnd = random.Random(seed)
    steps = [["add-br", "br0"], ["add-port", "br0", "q1"]]
    for _ in range(12):
        step = random_step(rnd)
        if rnd.random() < 0.3:
            step = [*step, "--", *random_step(rnd)]
        steps.append(step)
    compare(sides, steps)
