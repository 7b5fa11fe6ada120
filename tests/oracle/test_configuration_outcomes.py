"""What becomes of a configuration: the same ovs-vsctl commands to the original switch and to ours.

Known and wanted differences (docs/differences.md) are kept out of the commands: bonds and tunnels, several
new ports without a number in one transaction; or out of the comparison, in `wanted`.
"""

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.outcomes import Side, both_see
from support.waiting import until

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
Step = tuple[str, ...]
BRIDGES = ("br0", "br1")
PORTS = ("p1", "p2", "p3", "9", "abcdefghijklmno")
PATCHES = ("pa", "pb", "pc")

SEQUENCES: dict[str, tuple[str, ...]] = {
    "numbers": (
        "add-br br0",
        "add-port br0 p1",
        "add-port br0 p2 -- set Interface p2 ofport_request=9",
        "set Interface p2 ofport_request=12",
        "set Interface p1 ofport_request=12",
        "del-port br0 p1",
        "add-port br0 p3",
        "add-port br0 p1",
        "del-port br0 p1 -- add-port br0 p1",
        "del-port br0 p1 -- add-port br0 p1 -- set Interface p1 type=internal",
        "del-port br0 p1 -- add-port br0 p1",
        "set Interface p1 ofport_request=3",
        "clear Interface p1 ofport_request",
        "set Interface p2 ofport_request=3",
        "set Interface p1 ofport_request=65279",
        "set Interface p1 ofport_request=65280",
    ),
    "types": (
        "add-br br0",
        "add-port br0 p1",
        "set Interface p1 type=nothing",
        "set Interface p1 type=internal",
        "set Interface p1 type=tap",
        "set Interface p1 type=dummy",
        "set Interface br0 type=dummy",
        "set Interface br0 type=internal",
        "add-port br0 p2 -- set Interface p2 type=nothing",
        "del-port p2",
    ),
    "addresses": (
        "add-br br0",
        "add-port br0 p1 -- set Interface p1 type=internal",
        'set Interface p1 mac="50:54:00:00:00:01"',
        'set Interface p1 mac="01:54:00:00:00:01"',
        'set Interface p1 mac="junk"',
        'set Interface br0 mac="50:54:00:00:00:02"',
        "set Bridge br0 other-config:hwaddr=50:54:00:00:00:03",
        "set Bridge br0 other-config:hwaddr=01:00:00:00:00:03",
        "set Bridge br0 other-config:hwaddr=junk",
        "set Bridge br0 other-config:datapath-id=00000000000000ff",
        "set Bridge br0 other-config:datapath-id=1",
        "set Bridge br0 other-config:datapath-id=0x1",
        "set Bridge br0 other-config:datapath-id=0000000000000000",
        "clear Bridge br0 other-config",
    ),
    "sizes": (
        "add-br br0",
        "add-port br0 p1",
        "add-port br0 p2 -- set Interface p2 type=internal",
        "set Interface p1 mtu_request=1400",
        "set Interface p1 mtu_request=66",
        "set Interface p1 mtu_request=70000",
        "set Interface p2 mtu_request=1300",
        "set Interface br0 mtu_request=1200",
        "clear Interface br0 mtu_request",
        "del-port p1",
    ),
    "patch ports": (
        "add-br br0",
        "add-br br1",
        "add-port br0 pa -- set Interface pa type=patch options:peer=pb",
        "add-port br1 pb -- set Interface pb type=patch options:peer=pa",
        "set Interface pa options:peer=pc",
        "set Interface pa options:peer=pb",
        "set Interface pa options:peer=pa",
        "set Interface pa options:peer=pb",
        "remove Interface pa options peer",
        "set Interface pa options:peer=pb",
        "set Bridge br1 datapath_type=netdev",
        "del-port pb",
        "add-port br0 pd -- set Interface pd type=patch",
    ),
    "patch ports with more options": (
        "add-br br0",
        "add-port br0 pa -- set Interface pa type=patch options:peer=pb options:foo=bar",
        "add-port br0 pb -- set Interface pb type=patch options:peer=pa",
        "remove Interface pa options foo",
        "set Interface pa options:foo=bar",
        "set Interface pa options:peer=pa",
        "remove Interface pa options peer",
    ),
    "names passed over": (
        "add-br br0",
        "add-br a/b",
        "add-port a/b p1",
        "add-port br0 p2 -- add-br c/d",
    ),
    "rows": (
        "add-br br0",
        "add-port br0 p1",
        "--no-wait -- add-br br1 -- add-port br1 p9",
        "del-br br0 -- add-br br0",
        "add-port br0 p1 tag=5",
        "add-port br1 p1",
        "--may-exist add-port br1 p1",
        "del-port br0 p1 -- add-port br1 p1",
        "add-br fake br0 9",
        "add-port fake p2",
        "del-br fake",
        "add-br a/b",
        "del-br a/b",
        "add-port br0 a/b",
        "add-port br0 'with space'",
        "add-port br0 ünïcode",
        "set Bridge br0 datapath_type=nothing",
        "set Bridge br0 datapath_type=dummy",
        "set Bridge br0 datapath_type=netdev",
        "emer-reset",
    ),
    "rows made by hand": (
        "create Bridge name=lost",
        "--id=@b create Bridge name=br0 -- add Open_vSwitch . bridges @b",
        "add-port br0 p1",
        "--id=@i create Interface name=br0 type=internal -- --id=@p create Port name=br0 interfaces=@i"
        " -- add Bridge br0 ports @p",
        "--id=@i create Interface name=in -- --id=@p create Port name=other interfaces=@i"
        " -- add Bridge br0 ports @p",
        "set Port other tag=7",
        "clear Open_vSwitch . bridges",
    ),
}


def words(line: str) -> Step:
    """Splits at spaces outside of single quotes."""
    parts = line.split("'")
    found: list[str] = []
    for i, part in enumerate(parts):
        found += [part] if i % 2 else part.split()
    return tuple(found)


def random_sequence(rnd: random.Random) -> Iterator[Step]:
    """Commands that may or may not make sense where they stand."""
    yield words("add-br br0")
    for _ in range(14):
        yield random_step(rnd)


def random_step(rnd: random.Random) -> Step:
    bridge, port, patch = rnd.choice(BRIDGES), rnd.choice(PORTS), rnd.choice(PATCHES)
    if rnd.random() < 0.4:
        kind = rnd.choice(("", " type=dummy", " type=internal", " type=nothing", " ofport_request=7"))
        return words(f"add-port {bridge} {port}" + (f" -- set Interface {port}{kind}" if kind else ""))
    if rnd.random() < 0.3:
        peer = rnd.choice(PATCHES)
        return words(
            f"--may-exist add-port {bridge} {patch} -- set Interface {patch} type=patch options:peer={peer}"
        )
    return words(
        rnd.choice(
            (
                f"add-br {bridge}",
                f"--if-exists del-br {bridge}",
                f"del-port {port}",
                f"--if-exists del-port {patch}",
                f"del-port {port} -- add-port {bridge} {port}",
                f"set Interface {port} type={rnd.choice(('system', 'internal', 'tap', 'nothing'))}",
                f"set Interface {port} ofport_request={rnd.randint(1, 8)}",
                f"clear Interface {port} ofport_request",
                f"set Interface {port} mtu_request={rnd.choice((60, 1280, 1400, 9000))}",
                f"set Port {port} tag={rnd.choice((0, 5, 4095, 4096))}",
                f"set Bridge {bridge} datapath_type={rnd.choice(('netdev', 'dummy', 'system', 'nothing'))}",
                f"set Bridge {bridge} other-config:datapath-id={rnd.choice(('0x7', '7', '0' * 15 + 'a'))}",
                f"set Bridge {bridge} fail_mode={rnd.choice(('secure', 'standalone'))}",
                f"set Bridge {bridge} other-config:forward-bpdu=true",
            )
        )
    )


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="out.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


def wanted(name: str, original: str, ours: str) -> bool:
    """Whether a difference is meant to be (docs/differences.md)."""
    if name.endswith(" error") and "No usable peer" in ours:
        return original == '["set", []]'  # the original takes the message back and says it again, by turns
    # After a change of datapath the original shows the address that its local port had before.
    return name in ("Interface br0 mac_in_use", "Interface br1 mac_in_use")


def run(sides: Sides, steps: Iterator[Step]) -> None:
    try:
        compare(sides, steps)
    finally:
        for side in sides:
            side.vsctl("clear", "Open_vSwitch", ".", "bridges")


def compare(sides: Sides, steps: Iterator[Step]) -> None:
    done: list[str] = []
    for step in steps:
        done.append(" ".join(step))
        outcomes = [side.vsctl(*step) for side in sides]
        if not any("create" in word for word in step):  # prints a random uuid
            assert outcomes[0] == outcomes[1], done
        different = both_see(sides, 1.0, ignore=wanted)
        if different:  # some things the original sees to only when it is told anything at all
            for side in sides:
                side.vsctl("set", "Open_vSwitch", ".", f"other_config:nudge={len(done)}")
            different = both_see(sides, ignore=wanted)
        assert not different, (done, different)
    for bridge in BRIDGES:
        for command in ("show", "dump-flows", "dump-ports-desc"):
            shown = [side.ofctl(command, bridge) for side in sides]
            assert shown[0] == shown[1], (done, command)


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_becomes_of_a_sequence_is_the_same(sides: Sides, name: str) -> None:
    run(sides, (words(line) for line in SEQUENCES[name]))


@pytest.mark.parametrize("seed", range(16))
def test_what_becomes_of_random_commands_is_the_same(sides: Sides, seed: int) -> None:
    run(sides, random_sequence(random.Random(seed)))


def test_dummy_bridges_need_no_device_of_the_kernel() -> None:
    """``--enable-dummy --disable-system``, as the manual of testing has it, without override."""
    with tempfile.TemporaryDirectory(prefix="out.", dir="/tmp") as directory:
        options = ("--enable-dummy", "--disable-system")
        sides = [Side(Path(directory) / name, ours=name == "t", options=options) for name in ("o", "t")]
        try:
            for side in sides:
                add = ("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
                port = ("add-port", "br0", "in1", "--", "set", "Interface", "in1", "type=internal")
                assert side.vsctl(*add, "--", *port) == ("", "", 0)
                found = [side.vsctl("get", "Interface", name, "ofport", "error") for name in ("br0", "in1")]
                assert [outcome.stdout for outcome in found] == ["65534\n[]\n", "1\n[]\n"]
        finally:
            for side in sides:
                side.stop()


ABSENT = {"afxdp", "afxdp-nonpmd"}  # docs/differences.md


@pytest.mark.parametrize(
    "options",
    [
        ("--disable-system",),
        ("--enable-dummy", "--disable-system"),
        ("--disable-system", "--enable-dummy=override"),
        ("--enable-dummy=override", "--disable-system"),
    ],
)
def test_datapaths_that_options_leave(options: tuple[str, ...]) -> None:
    """``--disable-system`` takes away one type of datapath, and no type of device."""
    with tempfile.TemporaryDirectory(prefix="out.", dir="/tmp") as directory:
        sides = [Side(Path(directory) / name, ours=name == "t", options=options) for name in ("o", "t")]
        try:
            found = []
            for side in sides:
                outcome = side.vsctl("add-br", "br0")
                types = side.vsctl("get", "Open_vSwitch", ".", "datapath_types", "iface_types").stdout
                found.append((outcome, set(re.findall(r"[\w-]+|\n", types)) - ABSENT))
                if "--enable-dummy=override" in options:  # nothing of the machine counts
                    assert side.control("ovs/route/show") == "Route Table:\n"
                else:
                    until(lambda: "dev lo" in side.control("ovs/route/show"))  # noqa: B023 - called here
            assert found[1] == found[0]
        finally:
            for side in sides:
                side.stop()
