"""Configurations that only a mistake makes, beside the original: what comes of them, what is logged."""

import re
import time
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Switch, fresh_pair

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def ports(switch: Switch) -> dict[str, list[str]]:
    """The ports that bridges really have, by bridge."""
    found: dict[str, list[str]] = {}
    bridge = ""
    for line in switch.control("dpif/show").splitlines()[1:]:
        if line.startswith("    "):
            found[bridge].append(line.split()[0])
        else:
            bridge = line.strip(" :")
            found[bridge] = []
    return {bridge: sorted(names) for bridge, names in found.items()}


def wait_until(switch: Switch, wanted: dict[str, list[str]], what: object) -> None:
    deadline = time.monotonic() + 20
    while (has := ports(switch)) != wanted:
        assert time.monotonic() < deadline, (what, has, wanted, switch.ours)
        time.sleep(0.02)


NEW = "add-br {0} -- set bridge {0} datapath_type=dummy"
CLAIM_PORT = "--id=@p get port p1 -- add bridge {0} ports @p"
CLAIM_INTERFACE = "--id=@i get interface p1 -- --id=@p create port name={1} interfaces=@i"
CLAIM_INTERFACE += " -- add bridge {0} ports @p"

# A mistake, how it is mended, and what there is then.
MENDED = (
    ((NEW.format("h9"), CLAIM_PORT.format("h9")), "remove bridge h9 ports {p1}", {"br0": True, "h9": False}),
    ((CLAIM_PORT.format("h9"),), "remove bridge br0 ports {p1}", {"br0": False, "h9": True}),
    ((CLAIM_PORT.format("br0"),), "remove bridge h9 ports {p1}", {"br0": True, "h9": False}),
    ((CLAIM_PORT.format("h9"),), "del-br h9", {"br0": True}),
    ((NEW.format("h9"), CLAIM_INTERFACE.format("h9", "other")), "del-port other", {"br0": True, "h9": False}),
    ((CLAIM_INTERFACE.format("h9", "other"),), "del-br h9", {"br0": True}),
    ((CLAIM_INTERFACE.format("br0", "more"),), "del-port more", {"br0": True}),
    ((NEW.format("h9"), CLAIM_INTERFACE.format("h9", "more")), "del-port p1", {"br0": False, "h9": True}),
)


def test_what_two_have(pair: Pair) -> None:
    """A port in two bridges, an interface in two ports: once that is mended, traffic flows again."""
    for mistake, mending, wanted in MENDED:
        for switch in pair.both:
            for line in mistake:
                switch.vsctl(*line.split())
            run = switch.originals.run
            uuid = run("ovs-vsctl", f"--db={switch.originals.database}", "get", "port", "p1", "_uuid").stdout
            switch.vsctl(*mending.format(p1=uuid.strip()).split())
            others = {"br0": ["br0", "p2", "p3", "p4"], "h9": ["h9"]}
            names = {
                bridge: sorted([*others[bridge], *(["p1"] if has else [])]) for bridge, has in wanted.items()
            }
            wait_until(switch, names, (mistake, mending))
    said = re.findall(r"bridge\|WARN\|(p1: .*)", pair.ours.log())
    assert "p1: port is in multiple bridges (br0 and h9), and only br0 has it" in said
    assert "p1: interface is in multiple ports (p1 and other), and only p1 has it" in said
