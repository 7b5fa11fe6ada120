"""NORMAL against the original: random VLAN configurations and packets, compared packet by packet.

The original forgets its megaflows after each packet, so that it decides anew; ours keeps them, so that a
megaflow which was not found by a change, or which is too wide, shows as a difference.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import Originals
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec, random_frame, random_lab
from trunkline.base.addresses import format_mac
from trunkline.translate.normal import is_reserved

LABS = 40
PACKETS = 60


@pytest.fixture(scope="module")
def original_switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginalSwitch]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fwd") as directory:
        switch = OriginalSwitch(Originals(Path(directory)))
        yield switch
        switch.stop()


@pytest.mark.oracle
@pytest.mark.parametrize("vlan_limit", [1, 2])
def test_normal_forwards_as_the_original(original_switch: OriginalSwitch, vlan_limit: int) -> None:
    original_switch.vsctl("set", "Open_vSwitch", ".", f"other_config:vlan-limit={vlan_limit}")
    ours = OurSwitch(vlan_limit=vlan_limit)
    compared = outputs = 0
    for seed in range(LABS):
        rnd = random.Random(1000 * vlan_limit + seed)
        lab = random_lab(rnd)
        original_switch.build(lab)
        ours.build(lab)
        devices = [port.name for port in lab.ports if port.peer is None]
        for number in range(PACKETS):
            port, frame = rnd.choice(devices), random_frame(rnd)
            want, got = original_switch.receive(port, frame), ours.receive(port, frame)
            assert got == want, (seed, number, lab, port, frame.hex())
            compared += 1
            outputs += sum(map(len, want.values()))
        for bridge in lab.bridges:
            assert ours.macs(bridge) == original_switch.macs(bridge), (seed, lab)
    assert outputs > compared / 2, "the labs must let packets through, or nothing was compared"


@pytest.mark.oracle
def test_the_same_addresses_are_reserved(original_switch: OriginalSwitch) -> None:
    original_switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    cisco = (0x01000C000000, 0x01000CCCCC00, 0x01000CCCCCC0, 0x01000CCDCDC0, 0x01000CCDCDD0)
    for first in (0x0180C2000000, *cisco, 0x00E02B000000):
        for mac in (first + i for i in range(-2, 66)):
            text = original_switch.control("ofproto/trace", "br0", f"in_port=1,dl_dst={format_mac(mac)}")
            assert ("reserved destination" in text) == is_reserved(mac), format_mac(mac)
