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


FRAGMENT = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=1.1.1.1,dst=1.1.1.2,proto=17,tos=0,ttl=64,frag={kind}),udp(src=1,dst=53)"
)
FLOWS = (
    "priority=10,udp,tp_dst=53,actions=output:2",
    "priority=9,udp,nw_frag=later,actions=output:3",
    "priority=8,udp,nw_frag=first,actions=output:2,output:3",
    "priority=1,actions=drop",
)


def test_fragments(sides: Sides) -> None:
    """Which rule they meet in each mode, and that a change of mode concerns flows that are there."""
    for side in sides:
        side.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure")
        for number in (1, 2, 3):
            side.vsctl("add-port", "br0", f"p{number}", "--", "set", "Interface", f"p{number}", "type=dummy")
        for flow in FLOWS:
            side.ofctl("add-flow", "br0", flow)
    try:
        for mode in ("normal", "drop", "nx-match", "drop", "normal", "reassemble"):
            said = [side.ofctl("set-frags", "br0", mode) for side in sides]
            assert said[0] == said[1]
            assert sides[0].ofctl("get-frags", "br0") == sides[1].ofctl("get-frags", "br0")
            for kind in ("no", "first", "later"):
                packet = FRAGMENT.format(kind=kind)
                flow = "in_port=1,udp,nw_ttl=64" + ("" if kind == "later" else ",udp_dst=53")
                flow += "" if kind == "no" else f",nw_frag={kind}"
                traces = [side.control("ofproto/trace", "br0", flow) for side in sides]
                # A port that the rules looked at in vain may be cut to fewer bits.
                left, right = (
                    [line for line in one.splitlines() if "Megaflow" not in line] for one in traces
                )
                assert left == right, (mode, kind)
                for side in sides:
                    side.control("netdev-dummy/receive", "p1", packet)
            seen = [sorted(_actions(side)) for side in sides]
            deadline = time.monotonic() + 10
            while seen[0] != seen[1]:
                assert time.monotonic() < deadline, (mode, seen)
                time.sleep(0.1)
                seen = [sorted(_actions(side)) for side in sides]
    finally:
        for side in sides:
            side.vsctl("clear", "Open_vSwitch", ".", "bridges")


def _actions(side: Side) -> list[tuple[str, str]]:
    """Of each megaflow of UDP the kind of fragment and what is done."""
    lines = side.control("dpctl/dump-flows").splitlines()
    return [
        (line.partition("frag=")[2].partition(")")[0], line.rpartition("actions:")[2])
        for line in lines
        if "frag=" in line
    ]


MODES = {
    1: "other_config:priority-tags=always",
    2: "vlan_mode=trunk",
    3: "tag=0",
    4: "vlan_mode=native-untagged tag=0",
    5: "vlan_mode=native-tagged tag=0",
    6: "tag=0 other_config:priority-tags=always",
    7: "vlan_mode=native-untagged tag=0 other_config:priority-tags=always",
    8: "vlan_mode=native-tagged tag=0 other_config:priority-tags=if-nonzero",
    9: "vlan_mode=native-tagged tag=5 trunks=0,7",
}
ON_THE_WIRE = (
    "eth_type(0x1234)",
    *(
        f"eth_type(0x8100),vlan(vid={vid},pcp={pcp}),encap(eth_type(0x1234))"
        for vid, pcp in ((0, 0), (0, 2), (7, 2))
    ),
)


def test_the_vlan_zero_in_every_mode(sides: Sides) -> None:
    """Ports whose own VLAN is 0, with priority tags and without."""
    for side in sides:
        side.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
        side.vsctl("set", "Bridge", "br0", "other-config:hwaddr=50:54:00:00:00:99")
        for number, settings in MODES.items():
            name = f"p{number}"
            add = ("add-port", "br0", name, "--", "set", "Interface", name, "type=dummy")
            more = (f"ofport_request={number}", "--", "set", "Port", name, *settings.split())
            side.vsctl(*add, *more)
    try:
        for wire in ON_THE_WIRE:
            seen = []
            for side in sides:
                for number in MODES:
                    addresses = f"src=50:54:00:00:01:0{number},dst=50:54:00:00:02:0{number}"
                    packet = f"in_port({number}),eth({addresses}),{wire}"
                    side.control("netdev-dummy/receive", f"p{number}", packet)
                deadline = time.monotonic() + 10
                while len(found := _sent(side)) < len(MODES) and time.monotonic() < deadline:
                    time.sleep(0.05)
                seen.append(found)
                side.control("revalidator/purge")
            assert seen[0] == seen[1], wire
        for tci in ("0x7000", "0x1000", "0x7007"):  # a trace of such frames needs no more actions
            flow = f"in_port=1,vlan_tci={tci},dl_dst=50:54:00:00:03:01"
            traces = [side.control("ofproto/trace", "br0", flow) for side in sides]
            assert traces[0].splitlines()[-1] == traces[1].splitlines()[-1], tci
    finally:
        for side in sides:
            side.vsctl("clear", "Open_vSwitch", ".", "bridges")


def _sent(side: Side) -> dict[str, str]:
    """What is done with packets of each port."""
    lines = side.control("dpctl/dump-flows").splitlines()
    return {
        line.partition("in_port(")[2].partition(")")[0]: line.rpartition("actions:")[2]
        for line in lines
        if "dst=50:54:00:00:02" in line
    }
