"""Control commands of protocols that nothing speaks yet: about nothing they say what the original says."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.outcomes import Side

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
QUESTIONS = {
    **dict.fromkeys(("bond/show", "lacp/show", "lacp/show-stats"), ("", "nosuch", "p1", "br0")),
    **dict.fromkeys(("stp/show", "stp/tcn", "rstp/show", "rstp/tcn"), ("", "nosuch", "br0", "br0 br0")),
    **dict.fromkeys(("cfm/show", "bfd/show"), ("", "nosuch", "p1", "p1 p1")),
    **dict.fromkeys(("qos/show", "qos/show-types"), ("", "nosuch", "p1", "br0", "p1 p1")),
    **dict.fromkeys(
        ("autoattach/status", "autoattach/show-isid", "autoattach/statistics"), ("", "nosuch", "br0", "a b")
    ),
    **dict.fromkeys(
        ("cfm/set-fault", "bfd/set-forwarding"),
        ("", "normal", "x", "nosuch normal", "p1 true", "p1 false", "p1 bad", "nosuch bad", "p1 true x"),
    ),
    **dict.fromkeys(
        ("bond/set-active-member", "bond/enable-member", "bond/disable-member"),
        ("p1", "p1 p2", "no no", "a b c"),
    ),
    "bond/list": ("", "x"),
    "mdb/show": ("", "nosuch", "br0", "br0 x"),
    "mdb/flush": ("", "nosuch", "br0", "br0 x"),
    "bond/migrate": ("p1 1 p2", "no x p2", "p1"),
    "dpif-netdev/bond-show": ("", "x", "dummy@ovs-dummy"),
    "ofproto/list-tunnels": ("", "x"),
    "bond/hash": ("", "xx", "0:0:0:0:0:1", "00:00:00:00:00:01 x", "00:00:00:00:00:01 5 x", "1 2 3 4"),
}


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="uns.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        for side in both:
            words = "add-br br0 -- set Bridge br0 datapath_type=dummy -- add-port br0 p1"
            side.vsctl(*words.split(), "--", "set", "Interface", "p1", "type=dummy")
        yield both
        for side in both:
            side.stop()


def test_asked_about_nothing(sides: Sides) -> None:
    different = {}
    for command, questions in QUESTIONS.items():
        for words in questions:
            original, ours = (side.control(command, *words.split()) for side in sides)
            if original.rstrip("\n") != ours.rstrip("\n"):
                different[f"{command} {words}"] = original, ours
    assert different == {}


def test_the_bucket_of_an_address(sides: Sides) -> None:
    rnd = random.Random(7)
    for _ in range(300):
        words = [":".join(f"{rnd.randrange(256):02x}" for _ in range(6))]
        if rnd.random() < 0.8:
            words.append(str(rnd.choice((0, 1, 7, 4095, 5000, 65536, 70001, -1, rnd.randrange(1 << 16)))))
            if rnd.random() < 0.8:
                words.append(str(rnd.choice((0, 1, -5, 1 << 32, (1 << 32) - 1, rnd.randrange(1 << 32)))))
        original, ours = (side.control("bond/hash", *words) for side in sides)
        assert original == ours, words


def test_list_tunnels_comes_with_the_first_bridge(sides: Sides) -> None:
    original, ours = (side.control("list-commands") for side in sides)
    assert "  ofproto/list-tunnels" in original
    assert original == ours
