"""Which address a bridge has, from what Port:mac, Interface:mac and other_config:hwaddr say."""

import random
import tempfile
import time
from pathlib import Path

import pytest

from support.switch_pair import Switch

pytestmark = pytest.mark.oracle
PORTS = ("p1", "p2", "i0", "x0", "br0")
MANUFACTURERS = ("00:11:22:33:44:55", "00:11:22:33:44:11", "00:99:22:33:44:11")
OTHERS = (
    "02:11:22:33:44:55",
    "01:11:22:33:44:55",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
    "foo",
    "0:1:2:3:4:5",
)
STEPS = 40


def made(directory: Path, *, ours: bool) -> Switch:
    switch = Switch(directory, ours=ours)
    command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
    for name, kind in (("p1", "dummy"), ("p2", "dummy"), ("i0", "internal"), ("x0", "patch")):
        command += ["--", "add-port", "br0", name, "--", "set", "interface", name, f"type={kind}"]
    switch.vsctl(*command, "options:peer=x1")
    return switch


def address(switch: Switch) -> str:
    """Of the local port; it stands in the datapath id, too."""
    words = ["--", "get", "bridge", "br0", "datapath_id"]
    done = switch.originals.run(
        "ovs-vsctl", f"--db={switch.originals.database}", "get", "interface", "br0", "mac_in_use", *words
    )
    mac, datapath = (line.strip('"') for line in done.stdout.splitlines())
    return mac if mac.replace(":", "") == datapath[4:] else f"{mac} {datapath}"


def setting(rnd: random.Random) -> list[str]:
    table, name = rnd.choice((("port", rnd.choice(PORTS)),) * 3 + (("interface", rnd.choice(PORTS[:2])),))
    if rnd.random() < 0.35:
        return ["clear", table, name, "mac"]
    return ["set", table, name, f'mac="{rnd.choice(MANUFACTURERS + OTHERS)}"']


def test_the_least_address_that_a_manufacturer_gave() -> None:
    rnd = random.Random(11)
    seen = set()
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp", ignore_cleanup_errors=True) as directory:
        switches = [made(Path(directory) / name, ours=name == "t") for name in ("o", "t")]
        try:
            own = [address(switch) for switch in switches]
            for step in range(STEPS):
                words = setting(rnd)
                for switch in switches:
                    switch.vsctl(*words)
                deadline = time.monotonic() + 30
                while True:
                    found = [address(switch) for switch in switches]
                    shown = [one if one != mine else "its own" for one, mine in zip(found, own, strict=True)]
                    if shown[0] == shown[1]:
                        break
                    assert time.monotonic() < deadline, (step, words, found, own)
                    time.sleep(0.05)
                seen.add(shown[0])
        finally:
            for switch in switches:
                switch.stop()
    assert {"its own", "00:11:22:33:44:55", "00:11:22:33:44:11"} <= seen
