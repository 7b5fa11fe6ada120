"""Outer packets that are too long for their way: fragments make up the whole, what senders are told holds."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.flow.key import get
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.parse import parse
from trunkline.packet.too_long import fragments, told

ENDS = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
SIX = bytes((0xFD,)) + bytes(14) + b"\1", bytes((0xFD,)) + bytes(14) + b"\2"
MACS = b"\2\0\0\0\0\2", b"\2\0\0\0\0\1"  # receiver and sender


def ipv4(payload: bytes, bits: int, protocol: int = 17) -> bytes:
    head = b"\x45\x10" + (20 + len(payload)).to_bytes(2, "big") + bytes(2) + bits.to_bytes(2, "big")
    head += bytes((64, protocol, 0, 0)) + ENDS[0] + ENDS[1]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


@given(st.binary(min_size=1, max_size=5000), st.integers(68, 3000), st.integers(1, 65535))
def test_fragments_make_up_the_packet(payload: bytes, room: int, number: int) -> None:
    whole = b""
    pieces = list(fragments(ipv4(payload, 0), room, number))
    for piece in pieces:
        assert len(piece) <= room
        assert checksum(piece[:20]) == 0
        assert int.from_bytes(piece[2:4], "big") == len(piece)
        assert int.from_bytes(piece[4:6], "big") == number
        bits = int.from_bytes(piece[6:8], "big")
        assert (bits & 0x1FFF) * 8 == len(whole)
        assert bool(bits & 0x2000) == (piece is not pieces[-1])
        whole += piece[20:]
    assert whole == payload


@given(st.sampled_from((0x4000, 0x2000, 7)), st.binary(max_size=100), st.integers(20, 100))
def test_what_must_not_be_cut_is_not(bits: int, payload: bytes, room: int) -> None:
    assert not list(fragments(ipv4(payload, bits), room, 1))


@given(st.booleans(), st.integers(0, 2), st.binary(min_size=8, max_size=3000), st.integers(1300, 1400))
def test_a_sender_is_told(six: bool, tags: int, payload: bytes, room: int) -> None:
    before = b"".join((b"\x88\xa8\0\5", b"\x81\0\0\6")[2 - tags :])
    if six:
        inner = b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + b"\x11\x40" + SIX[0] + SIX[1] + payload
    else:
        inner = ipv4(payload, 0x4000)
    kind = b"\x86\xdd" if six else b"\x08\0"
    message = told(MACS[0] + MACS[1] + before + kind + inner, room)
    assert message is not None
    assert message[:12] == MACS[1] + MACS[0]
    at = 14 + len(before)
    assert message[12:at] == before + kind
    key = parse(message)
    ip = message[at:]
    if six:
        assert ip[8:40] == SIX[1] + SIX[0]
        own = ip[40:]
        assert checksum(own, pseudo_header(SIX[1], SIX[0], 58, len(own))) == 0
        assert int.from_bytes(own[4:8], "big") == room - len(before)
        assert (get(key, "icmp_type"), get(key, "icmp_code")) == (2, 0)
        assert len(ip) <= 1280
        assert int.from_bytes(ip[4:6], "big") == len(own)
    else:
        assert ip[12:20] == ENDS[1] + ENDS[0]
        own = ip[20:]
        assert checksum(ip[:20]) == checksum(own) == 0
        assert int.from_bytes(own[6:8], "big") == room - len(before)
        assert (get(key, "icmp_type"), get(key, "icmp_code")) == (3, 4)
        assert len(ip) <= 576
        assert int.from_bytes(ip[2:4], "big") == len(ip)
    assert inner.startswith(own[8:])


def test_who_is_not_told() -> None:
    ethernet = MACS[0] + MACS[1]
    error = ipv4(b"\3\1" + bytes(1500), 0x4000, 1)
    group = ipv4(bytes(1500), 0x4000)
    group = group[:16] + b"\xe0\0\0\1" + group[20:]
    for inner in (ipv4(bytes(1500), 0), error, group, b"\x45"):
        assert told(ethernet + b"\x08\0" + inner, 1400) is None
    assert told(ethernet + b"\x08\0" + ipv4(bytes(1500), 0x4000), 500) is None
    assert told(ethernet + b"\x08\x06" + bytes(1500), 1400) is None


@given(st.binary(max_size=200), st.sampled_from((b"\x08\0", b"\x86\xdd", b"\x81\0")), st.integers(0, 2000))
def test_any_bytes_are_taken_calmly(data: bytes, kind: bytes, room: int) -> None:
    told(bytes(12) + kind + data, room)
    told(data, room)
    list(fragments(data.ljust(20, b"\0"), room, 1))
