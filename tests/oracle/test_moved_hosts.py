"""What bridges forget of where machines are when ports and settings change, beside the original."""

import re
import tempfile
from pathlib import Path

import pytest

from support.outcomes import Side
from support.waiting import until

pytestmark = pytest.mark.oracle
DUMMY = ("--enable-dummy", "--disable-system")
TAG = "81000005"
BEHIND = "08004500002c00000000401100000a0000060a0000ff00010002001800000011223344556677889900112233445566"
# (port, last byte of the address, 802.1Q tag): p0 and p3 in br0, p1 in br1, p2 in br2
HEARD = (
    ("p0", 6, ""),
    ("p1", 6, ""),
    ("p2", 6, TAG),
    ("p0", 7, ""),
    ("p1", 7, TAG),
    ("p2", 7, ""),
    ("p3", 8, ""),
)
LINE = re.compile(r"^ *(\S+) +(\d+) +(50:54:\S+) ", re.MULTILINE)
BACK = ("add-port", "br0", "p0", "--", "set", "Interface", "p0", "type=dummy", "ofport_request=10")
EVENTS = (
    (("del-port", "p0"), BACK),
    (("set", "Interface", "p0", "ofport_request=11"), ("set", "Interface", "p0", "ofport_request=10")),
    (("set", "Port", "p0", "tag=9"), ("clear", "Port", "p0", "tag")),
    (("set", "Port", "p0", "vlan_mode=dot1q-tunnel"), ("clear", "Port", "p0", "vlan_mode")),
    (("set", "Bridge", "br1", "flood_vlans=20"), ("clear", "Bridge", "br1", "flood_vlans")),
    (("set", "Bridge", "br1", "flood_vlans=0,20"), ("clear", "Bridge", "br1", "flood_vlans")),
    (("del-port", "p3"), ()),
    (("set", "Interface", "p0", "type=internal"), ("set", "Interface", "p0", "type=dummy")),
    (("del-br", "br0"), ("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "--", *BACK)),
)


def table(side: Side) -> list[tuple[str, ...]]:
    """(bridge, port, VLAN, address) of each learned address."""
    found = []
    for bridge in ("br0", "br1", "br2"):
        shown = side.control("fdb/show", bridge)
        found += [(bridge, *line) for line in LINE.findall(shown)]
    return sorted(found)


def prepare(side: Side) -> None:
    words: list[str] = []
    for number in range(3):
        bridge = f"br{number}"
        words += ["--", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=dummy"]
    for number, name in enumerate(("p0", "p1", "p2", "p3")):
        words += ["--", "add-port", f"br{number % 3}", name]
        words += ["--", "set", "Interface", name, "type=dummy", f"ofport_request={number + 10}"]
    assert side.vsctl(*words[1:]).status == 0


def learn(side: Side) -> None:
    for bridge in ("br0", "br1", "br2"):
        side.control("fdb/flush", bridge)
    side.control("revalidator/purge")  # so that each packet is looked at
    there = side.vsctl("list-ports", "br0").stdout
    heard = [one for one in HEARD if one[0] != "p3" or "p3" in there]
    for port, address, tag in heard:
        side.control("netdev-dummy/receive", port, f"ffffffffffff5054000000{address:02x}{tag}{BEHIND}")
    side.control("fdb/add", "br1", "p1", "0", "50:54:00:00:00:07")
    until(lambda: len(table(side)) == len(heard) + 1, lambda: table(side))
    side.control("revalidator/purge")  # so that none is learned again


def test_addresses_after_changes() -> None:
    with tempfile.TemporaryDirectory(prefix="move.", dir="/tmp") as directory:
        sides = [Side(Path(directory) / name, ours=name == "t", options=DUMMY) for name in ("o", "t")]
        try:
            for side in sides:
                prepare(side)
            for event, back in EVENTS:
                for side in sides:
                    learn(side)
                    assert side.vsctl(*event).status == 0
                until(lambda: table(sides[0]) == table(sides[1]), lambda: (event, *map(table, sides)))  # noqa: B023
                for side in sides if back else ():
                    assert side.vsctl(*back).status == 0
        finally:
            for side in sides:
                side.stop()
