"""virtio-net headers and tags that the kernel has taken off."""

import struct

from trunkline.io.netdev.frames import PLAIN, Headers, offload_with_tag, with_tag
from trunkline.packet.packet import GSO_TCPV4, Offload


def test_headers_go_both_ways() -> None:
    headers = Headers()
    offload = Offload(1, GSO_TCPV4, 54, 1448, 34, 16)
    header = struct.pack("=BBHHHH", *offload)
    assert headers.record(header) == offload
    assert headers.octets(offload) == header
    assert headers.record(header) is headers.record(header)
    assert headers.octets(None) == PLAIN


def test_a_checksum_that_was_verified_needs_nothing() -> None:
    assert Headers().record(struct.pack("=BBHHHH", 2, 0, 54, 0, 0, 0)) is None


def test_what_is_remembered_is_bounded() -> None:
    headers = Headers()
    for length in range(20000):
        headers.record(struct.pack("=BBHHHH", 1, 0, length, 0, 34, 16))
        headers.octets(Offload(1, 0, length, 0, 34, 16))
    assert len(headers._records) <= 4096
    assert len(headers._bytes) <= 4096


def test_a_tag_moves_the_offsets() -> None:
    frame = bytes(range(60))
    tagged = with_tag(frame, 0x88A8, 0x2007)
    assert tagged == frame[:12] + bytes.fromhex("88a82007") + frame[12:]
    assert offload_with_tag(Offload(1, GSO_TCPV4, 54, 1448, 34, 16)) == Offload(
        1, GSO_TCPV4, 58, 1448, 38, 16
    )
    assert offload_with_tag(Offload(0, GSO_TCPV4, 0, 1448, 0, 0)) == Offload(0, GSO_TCPV4, 0, 1448, 0, 0)
    assert offload_with_tag(None) is None
