"""Simulated machines on a wire."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether

from trunkline.io.simulation.machines import Machine, checksum


def wired() -> tuple[Machine, Machine]:
    one = Machine("one", "02:00:00:00:00:01", "10.0.0.1/24")
    two = Machine("two", "02:00:00:00:00:02", "10.0.0.2/24")
    one.transmit, two.transmit = two.receive, one.receive
    return one, two


def test_they_ping_each_other() -> None:
    one, two = wired()
    assert asyncio.run(one.ping(two.address))
    assert asyncio.run(two.ping(one.address))
    arp, request = (Ether(frame) for frame in two.frames[:2])
    assert arp[ARP].psrc == "10.0.0.1"
    assert arp.dst == "ff:ff:ff:ff:ff:ff"
    assert (request[IP].src, request[IP].dst, request[ICMP].type) == ("10.0.0.1", "10.0.0.2", 8)
    rebuilt = request.copy()
    del rebuilt[IP].chksum
    del rebuilt[ICMP].chksum
    assert bytes(rebuilt) == bytes(request), "checksums"


def test_nobody_answers() -> None:
    one, two = wired()
    one.transmit = lambda frame: None
    assert not asyncio.run(one.ping(two.address, timeout=0.01))
    one.transmit = two.receive
    assert not asyncio.run(one.ping("10.0.0.3", timeout=0.01))
    assert asyncio.run(one.ping(two.address, timeout=1))


def test_a_lost_reply_is_no_answer() -> None:
    one, two = wired()
    assert asyncio.run(one.ping(two.address))
    two.transmit = lambda frame: None
    assert not asyncio.run(one.ping(two.address, timeout=0.01))


def test_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == bytes.fromhex("220d")
    assert checksum(b"\xff") == b"\x00\xff"


def requests() -> list[bytes]:
    """What one machine sends another that asks for an answer: ARP, echo, neighbour solicitation, echo."""
    one = Machine("one", "02:00:00:00:00:01", "10.0.0.1/24,fd00::1/64")
    two = Machine("two", "02:00:00:00:00:02", "10.0.0.2/24,fd00::2/64")
    one.transmit, two.transmit = two.receive, one.receive
    for address in two.addresses:
        assert asyncio.run(one.ping(address))
    return two.frames


def answers(frame: bytes) -> list[bytes]:
    """What the second machine says to a frame."""
    two = Machine("two", "02:00:00:00:00:02", "10.0.0.2/24,fd00::2/64")
    said: list[bytes] = []
    two.transmit = said.append
    two.receive(frame)
    assert two.frames == [frame]
    return said


def test_rubbish_is_ignored() -> None:
    asked = requests()
    assert len(asked) == 4
    for frame in asked:
        assert len(answers(frame)) == 1
        for length in range(len(frame)):
            assert answers(frame[:length]) == [], (length, frame.hex())
        stranger = bytes.fromhex("020000000099") + frame[6:]
        assert answers(stranger) == []
        if frame[12:14] != b"\x08\x06":
            assert answers(frame[:-1] + b"\xff") == [], "a wrong checksum"
    head = b"\xff" * 12
    for rubbish in (head + b"\x08\x06" + bytes(28), head + b"\x08\x00" + b"\x4f" * 30, head + b"\x86\xdd"):
        assert answers(rubbish) == []


@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6))
def test_damage_harms_nobody(which: int, damage: list[tuple[int, int]]) -> None:
    frame = bytearray(REQUESTS[which])
    for at, octet in damage:
        frame[at % len(frame)] = octet
    assert len(answers(bytes(frame))) <= 1


REQUESTS = requests()


def test_they_ping_each_other_over_ipv6() -> None:
    one = Machine("one", "02:00:00:00:00:01", "10.0.0.1/24,fd00::1/64")
    two = Machine("two", "02:00:00:00:00:02", "fd00::2/64")
    one.transmit, two.transmit = two.receive, one.receive
    assert one.addresses == ("10.0.0.1", "fd00::1")
    assert asyncio.run(one.ping(two.address))
    assert asyncio.run(two.ping("fd00::1"))
    assert not asyncio.run(two.ping("10.0.0.1")), "it has no IPv4 address"
    assert not asyncio.run(one.ping("fd00::3", timeout=0.01))
    solicitation, request = (Ether(frame) for frame in two.frames[:2])
    assert (solicitation.dst, solicitation[IPv6].dst) == ("33:33:ff:00:00:02", "ff02::1:ff00:2")
    assert solicitation[ICMPv6ND_NS].tgt == "fd00::2"
    assert (request[IPv6].src, request[IPv6].dst, request[IPv6].hlim) == ("fd00::1", "fd00::2", 64)
    for frame in (*one.frames, *two.frames):
        rebuilt = Ether(frame)
        if IPv6 in rebuilt:
            del rebuilt[IPv6].payload.cksum
            assert bytes(rebuilt) == frame, "checksums"
