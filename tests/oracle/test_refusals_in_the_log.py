"""What the switch's log says of OpenFlow messages that are refused, beside the original's."""

import re
import time
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair
from trunkline.openflow.wire import HEADER

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

LINE = re.compile(r"\|(ofp_msgs|connmgr)\|(WARN|INFO)\|(.*)")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


# (version, type, body): at most ten that are refused, for more are not logged at once
MESSAGES = (
    (4, 255, ""),
    (4, 18, "00ff000000000000"),
    (4, 4, "000023200000ffff"),
    (4, 4, "000099990000ffff"),
    (4, 18, "ffff00000000000000002320000000ff"),
    (4, 14, "0000000000000000"),
    (4, 20, "00000000"),
    (4, 13, "00000000"),
    (4, 13, "0000000100000001000000000000000000000000000000000000000000000000"),
    (1, 16, "00ff0000"),
)


def logged(switch: Switch) -> list[str]:
    lines = [found[1] + " " + found[3] for found in LINE.finditer(switch.log())]
    kept = [line for line in lines if "error reply" in line or line.startswith("ofp_msgs")]
    return [re.sub("unix#[0-9]+", "unix", line) for line in kept]


def test_refusals(pair: Pair) -> None:
    for switch in pair.both:
        for version in (4, 1):
            peer = switch.peer(version)
            for kind, body in [(kind, bytes.fromhex(body)) for v, kind, body in MESSAGES if v == version]:
                answers = peer.ask(HEADER.pack(version, kind, 8 + len(body), 77) + body)
                assert [raw[1] for raw in answers] == [1], (version, kind, body)
            peer.close()
    deadline = time.monotonic() + 20
    while set(logged(pair.ours)) != set(logged(pair.original)) or len(set(logged(pair.ours))) < 12:
        shown = "\n".join(["original:", *logged(pair.original), "ours:", *logged(pair.ours)])
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
