"""NORMAL against the original: random VLAN configurations and packets, compared packet by packet.

The original forgets its megaflows after each packet, so that it decides anew; ours keeps them, so that a
megaflow which was not found by a change, or which is too wide, shows as a difference.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import Originals
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec, random_frame, random_lab, random_port
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


def tags_in(frame: bytes) -> list[bytes]:
    """The VLAN tags of a frame, outermost first, four bytes each."""
    found = []
    while frame[12 + 4 * len(found) :][:2] in (b"\x81\x00", b"\x88\xa8"):
        found.append(frame[12 + 4 * len(found) :][:4])
    return found


def loses_tags(lab: Lab, came: str, frame: bytes) -> bool:
    """Whether the original may lose a tag of this: it sees two, and a tunnel port puts another around them.

    Of two tags it also loses the inner one on an access port, and some for VLAN 0.
    """
    tunnels = [port for port in lab.ports if port.mode == "dot1q-tunnel" and (port.peer or port.name == came)]
    tags = tags_in(frame)
    if len(tags) + len(tunnels) < 2:
        return False
    access = any(port.mode == "access" or (port.mode is None and port.tag) for port in lab.ports)
    zero = any(int.from_bytes(tag[2:], "big") & 0xFFF == 0 for tag in tags)
    return len(tags) + len(tunnels) > 2 or access or zero


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
            if vlan_limit == 2 and loses_tags(lab, port, frame):
                continue
            want, got = original_switch.receive(port, frame), ours.receive(port, frame)
            assert got == want, (seed, number, lab, port, frame.hex())
            compared += 1
            outputs += sum(map(len, want.values()))
        for bridge in lab.bridges:
            assert ours.macs(bridge) == original_switch.macs(bridge), (seed, lab)
    assert compared > LABS * PACKETS / 2
    assert outputs > compared / 2, "the labs must let packets through, or nothing was compared"


def tunnel_lab(rnd: random.Random) -> Lab:
    """One bridge with ports of every VLAN mode, most of them for VLAN 10."""
    modes = ("dot1q-tunnel", "dot1q-tunnel", "trunk", "access", "native-tagged", "native-untagged")
    ports = []
    for number, mode in enumerate(modes, 1):
        port = random_port(rnd, "br0", f"p{number}", number)
        tag = None if mode == "trunk" else rnd.choice((10, 10, 20))
        ethertype = rnd.choice((None, "802.1ad", "802.1q")) if mode == "dot1q-tunnel" else None
        ports.append(port._replace(mode=mode, tag=tag, trunks=(), cvlans=(), qinq_ethtype=ethertype))
    return Lab(("br0",), tuple(ports))


def tagged_frame(rnd: random.Random) -> bytes:
    """A frame of up to four tags from a host of its own to nobody known."""
    tags = b""
    for _ in range(rnd.randrange(5)):
        tci = rnd.choice((0, 10, 10, 20)) | rnd.choice((0, 0, 3)) << 13
        tags += rnd.choice((b"\x81\x00", b"\x88\xa8")) + tci.to_bytes(2, "big")
    return bytes.fromhex("505400000001505400000002") + tags + random_frame(rnd)[-48:]


@pytest.mark.oracle
@pytest.mark.parametrize("vlan_limit", [0, 2])
def test_no_tag_is_lost_under_a_vlan_limit(original_switch: OriginalSwitch, vlan_limit: int) -> None:
    """What the original sees two tags of, it sends with a tag less where a port adds one; ours sends all.

    So the right answer is the original's, or, where that has lost a tag, the original's of one that sees just
    the outer tag and leaves everything behind it alone.
    """
    ours = OurSwitch(vlan_limit=vlan_limit or 2)
    mended = 0
    for seed in range(12):
        rnd = random.Random(seed)
        lab = tunnel_lab(rnd)
        frames = [(rnd.choice(lab.ports).name, tagged_frame(rnd)) for _ in range(50)]
        wanted: list[list[dict[str, list[bytes]]]] = []
        for limit in (1, vlan_limit):
            original_switch.vsctl("set", "Open_vSwitch", ".", f"other_config:vlan-limit={limit}")
            original_switch.build(lab)
            wanted.append([original_switch.receive(port, frame) for port, frame in frames])
        ours.build(lab)
        for (port, frame), whole, want in zip(frames, *wanted, strict=True):
            got = ours.receive(port, frame)
            assert got.keys() == want.keys(), (lab, port, frame.hex())
            for name in got:
                if got[name] != want[name]:
                    assert len(got[name][0]) > len(want[name][0]), (lab, port, frame.hex())
                    assert got[name] == whole[name], (lab, port, frame.hex())
                    mended += 1
    assert mended > 100


@pytest.mark.oracle
def test_the_same_addresses_are_reserved(original_switch: OriginalSwitch) -> None:
    original_switch.build(Lab(("br0",), (PortSpec("br0", "p1", 1),)))
    cisco = (0x01000C000000, 0x01000CCCCC00, 0x01000CCCCCC0, 0x01000CCDCDC0, 0x01000CCDCDD0)
    for first in (0x0180C2000000, *cisco, 0x00E02B000000):
        for mac in (first + i for i in range(-2, 66)):
            text = original_switch.control("ofproto/trace", "br0", f"in_port=1,dl_dst={format_mac(mac)}")
            assert ("reserved destination" in text) == is_reserved(mac), format_mac(mac)
