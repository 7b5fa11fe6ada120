"""What senders leave to hardware: it is found in the bytes of a packet, and done, also inside a tunnel."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.base.addresses import MAPPED
from trunkline.flow import key as layout
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.packet import (
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    Offload,
    Packet,
)
from trunkline.packet.segment import complete, is_inside_tunnel
from trunkline.packet.tunnels import Kind, Outer, header, pop, push
from trunkline.packet.unfinished import unfinished, unfinished_of_any_size

TCP, UDP = 6, 17
PORTS = {"vxlan": 4789, "geneve": 6081, "lisp": 4341, "gre": 0}


class Inner(NamedTuple):
    """A frame, complete and as its sender leaves it."""

    whole: bytes
    left: bytes
    six: bool
    protocol: int
    start: int


def ip(six: bool, protocol: int, size: int) -> tuple[bytes, bytes]:
    """A header, and the sum of the pseudo header."""
    if six:
        ends = bytes(15) + b"\1", bytes(15) + b"\2"
        head = b"\x60\0\0\0" + size.to_bytes(2, "big") + bytes((protocol, 64)) + ends[0] + ends[1]
    else:
        ends = b"\x0a\0\0\1", b"\x0a\0\0\2"
        head = b"\x45\0" + (20 + size).to_bytes(2, "big") + bytes((0, 1, 0, 0, 64, protocol, 0, 0))
        head += ends[0] + ends[1]
        head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return head, pseudo_header(*ends, protocol, size).to_bytes(2, "big")


def inner(six: bool, protocol: int, payload: bytes, tagged: bool) -> Inner:
    ethernet = b"\2\0\0\0\0\1\2\0\0\0\0\2" + (b"\x81\0\0\5" if tagged else b"")
    ethernet += b"\x86\xdd" if six else b"\x08\0"
    if protocol == TCP:
        head = bytes.fromhex("123400500000100000000000501880ff00000000")
    else:
        head = bytes.fromhex("12340050") + (8 + len(payload)).to_bytes(2, "big") + bytes(2)
    at = 16 if protocol == TCP else 6
    network, pseudo = ip(six, protocol, len(head) + len(payload))
    left = head[:at] + pseudo + head[at + 2 :] + payload
    total = checksum(left) or 0xFFFF
    before = ethernet + network
    whole = left[:at] + total.to_bytes(2, "big") + left[at + 2 :]
    return Inner(before + whole, before + left, six, protocol, len(before))


INNERS = st.builds(inner, st.booleans(), st.sampled_from((TCP, UDP)), st.binary(max_size=2000), st.booleans())


def around(kind: str, six: bool, csum: bool = False) -> bytes:
    """The headers of a tunnel."""
    outer = Outer(1, 2, 0xFD << 120 | 1, 0xFD << 120 | 2) if six else Outer(1, 2, MAPPED | 1, MAPPED | 2)
    fields = {"tun_id": 77, "tun_ttl": 64, "tunnel_flags": layout.TUN_KEY | (layout.TUN_CSUM if csum else 0)}
    if kind == "geneve":
        fields |= {"tun_options": 0x0102030112345678 << 192, "tun_options_length": 2}
    head = header(Kind(kind, PORTS[kind], carries=0), outer, layout.pack(fields)[0])
    if PORTS[kind] and not csum:  # over IPv6 too
        at = 14 + (40 if six else 20) + 6
        head = head[:at] + bytes(2) + head[at + 2 :]
    return head


def inside(kind: str, frame: bytes) -> bytes:
    """What goes into that tunnel."""
    return frame[14:] if kind == "lisp" else frame


@given(INNERS)
def test_an_unfinished_checksum_is_found_and_finished(given_inner: Inner) -> None:
    whole, left, _, protocol, start = given_inner
    found = unfinished(left)
    assert found == Offload(NEEDS_CHECKSUM, 0, 0, 0, start, 16 if protocol == TCP else 6)
    assert complete(Packet(left, found)) == [whole]
    if (found := unfinished(whole)) is not None:  # by chance: then finishing changes nothing
        assert complete(Packet(whole, found)) == [whole]


@given(st.sampled_from((TCP, UDP, 1, 47)), st.binary(max_size=40), st.binary(max_size=5), st.integers(0, 90))
def test_a_tag_makes_no_difference(protocol: int, payload: bytes, noise: bytes, at: int) -> None:
    """Frames without one have a way of their own."""
    _, left, _, _, _ = inner(False, protocol if protocol == TCP else UDP, payload, False)
    frame = left[:23] + bytes((protocol,)) + left[24:]
    for one in (left, frame, frame[:at], frame[:at] + noise + frame[at + len(noise) :]):
        plain, tagged = unfinished(one), unfinished(one[:12] + b"\x81\0\0\5" + one[12:])
        if tagged is not None:
            tagged = tagged._replace(checksum_start=tagged.checksum_start - 4)
        assert plain == tagged


@given(INNERS, st.sampled_from(sorted(PORTS)), st.booleans())
def test_inside_a_tunnel_as_well(given_inner: Inner, kind: str, six: bool) -> None:
    if kind == "lisp" and given_inner.left[12:14] == b"\x81\0":
        return
    head = around(kind, six)
    left = push(head, inside(kind, given_inner.left), 5000, 0)
    found = unfinished(left)
    assert found is not None
    assert found.gso_type == 0
    assert complete(Packet(left, found)) == [push(head, inside(kind, given_inner.whole), 5000, 0)]


@given(INNERS, st.sampled_from((0, 100, 1200)), st.binary(max_size=60), st.integers(0, 2100))
def test_any_bytes_are_taken_calmly(given_inner: Inner, gso_size: int, noise: bytes, at: int) -> None:
    frame = given_inner.left[:at] + noise + given_inner.left[at + len(noise) :]
    for one in (frame, frame[:at], noise):
        for offload in (unfinished(one, gso_size), unfinished_of_any_size(one)):
            is_inside_tunnel(Packet(one, offload))
            assert complete(Packet(one, offload))


@settings(max_examples=80)
@given(
    st.booleans(), st.booleans(), st.sampled_from((TCP, UDP)), st.binary(min_size=1, max_size=5000),
    st.integers(100, 1400), st.sampled_from(sorted(PORTS)), st.booleans(),
)  # fmt: skip
def test_large_segments_in_a_tunnel_are_cut(
    six: bool, outer_six: bool, protocol: int, payload: bytes, size: int, kind: str, csum: bool
) -> None:
    """Every one comes out of the tunnel again with lengths and right checksums; the payload is all there."""
    csum = csum and kind != "lisp"
    sent = inner(six, protocol, payload, False)
    head = around(kind, outer_six, csum)
    left = push(head, inside(kind, sent.left), 5000, 0)
    before = len(left) - len(sent.left)
    transport = 20 if protocol == TCP else 8
    gso = GSO_UDP_L4 if protocol == UDP else GSO_TCPV6 if six else GSO_TCPV4
    offload = Offload(
        NEEDS_CHECKSUM, gso, before + sent.start + transport, size, before + sent.start,
        16 if protocol == TCP else 6,
    )  # fmt: skip
    assert unfinished(left, size) == offload
    assert is_inside_tunnel(Packet(left, offload))
    alone = Offload(*offload[:2], sent.start + transport, size, sent.start, offload.checksum_offset)
    assert not is_inside_tunnel(Packet(sent.left, alone))
    expected = complete(Packet(sent.left, alone))
    found = []
    for frame in complete(Packet(left, offload)):
        popped = pop(kind, frame)
        assert popped is not None
        at = 14 + (40 if outer_six else 20)
        if outer_six:
            assert int.from_bytes(frame[18:20], "big") == len(frame) - at
        else:
            assert checksum(frame[14:34]) == 0
            assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
        if PORTS[kind]:
            assert int.from_bytes(frame[at + 4 : at + 6], "big") == len(frame) - at
        found.append(popped.frame)
    if kind == "lisp":
        expected = [bytes(12) + frame[12:] for frame in expected]
    assert found == expected


def test_a_large_segment_of_unknown_size() -> None:
    long = inner(True, TCP, bytes(9000), False)
    found = unfinished_of_any_size(long.left)
    assert found is not None
    assert found.gso_type == GSO_TCPV6
    assert all(len(frame) <= 1294 for frame in complete(Packet(long.left, found)))
    datagram = inner(True, UDP, bytes(9000), False)
    assert complete(Packet(datagram.left, unfinished_of_any_size(datagram.left))) == [datagram.whole]
