"""Headers of tunnels go on and off again, any bytes are taken calmly, and text is read as it was written."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.base.addresses import MAPPED
from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.actions import TunnelPush
from trunkline.flow import key as layout
from trunkline.model.tunnels import TUNNEL_TYPES
from trunkline.ofproto.tunnel_options import FIELDS, RAW, Options
from trunkline.openflow.tunnel_table import NXTTMC_ADD, TlvMapping, TlvTableMod
from trunkline.packet.checksum import checksum, pseudo_header
from trunkline.packet.packet import GSO_TCPV4, GSO_TCPV6, NEEDS_CHECKSUM, Offload, Packet
from trunkline.packet.segment import complete
from trunkline.packet.stt import Pieces, open_frame
from trunkline.packet.tunnels import KEPT, Kind, Outer, header, pop, push_all

FOUR = st.integers(1, (1 << 32) - 1).map(lambda value: MAPPED | value)
SIX = st.integers(1 << 64, (1 << 128) - 1)
TYPES = st.sampled_from(sorted(TUNNEL_TYPES))
LAYER_3 = ("gtpu", "lisp", "bareudp")
MAC = st.integers(0, (1 << 48) - 1)


@st.composite
def headers(draw: st.DrawFn) -> tuple[str, bytes, int]:
    """A type of tunnel, its headers, and the key that they say."""
    kind = draw(TYPES)
    source, destination = draw(st.tuples(FOUR, FOUR) | st.tuples(SIX, SIX))
    erspan = TUNNEL_TYPES[kind].erspan
    bits = {"vxlan": 24, "geneve": 24, "lisp": 24, "stt": 64, "bareudp": 0}.get(kind, 10 if erspan else 32)
    flags = draw(st.sampled_from((0, layout.TUN_CSUM))) if not erspan else 0
    fields = {
        "tun_id": draw(st.integers(0, (1 << bits) - 1)),
        "tun_tos": draw(st.integers(0, 255)),
        "tun_ttl": draw(st.integers(0, 255)),
        "tunnel_flags": flags | layout.TUN_KEY,
    }
    if erspan:
        fields |= {"tun_erspan_ver": 1, "tun_erspan_idx": draw(st.integers(0, (1 << 20) - 1))}
    if kind == "geneve":
        value = draw(st.integers(0, (1 << 32) - 1))
        option = bytes.fromhex("01020301") + value.to_bytes(4, "big")
        fields |= {"tun_options": int.from_bytes(option.ljust(256, b"\0"), "big"), "tun_options_length": 2}
    key = layout.pack(fields)[0]
    port = TUNNEL_TYPES[kind].port or 0
    outer = Outer(draw(MAC), draw(MAC), source, destination)
    return kind, header(Kind(kind, port), outer, key), key


@given(
    headers(),
    st.binary(min_size=18, max_size=300),
    st.integers(1, 65535),
    st.integers(100, 400),
    st.randoms(),
)
def test_off_again(
    given_headers: tuple[str, bytes, int], inner: bytes, port: int, room: int, order: Random
) -> None:
    """In whatever order the pieces come, where one packet takes several."""
    kind, head, key = given_headers
    if kind in LAYER_3:
        inner = bytes((0x45 if inner[0] & 1 else 0x60,)) + inner[1:]
    frames = list(push_all(head, inner, port, 7, room))
    assert len(frames) == 1 or kind == "stt"
    assert all(len(frame) <= room + 14 for frame in frames) or kind != "stt"
    order.shuffle(frames)
    pieces = Pieces()
    *waiting, popped = [pop(kind, frame, frozenset(), pieces) for frame in frames]
    assert all(one is KEPT for one in waiting)
    assert popped is not None
    if kind in LAYER_3:
        assert popped.frame[14:] == inner
        assert popped.carries == (0x0800 if inner[0] == 0x45 else 0x86DD)
        assert popped.frame[12:14] == popped.carries.to_bytes(2, "big")
    else:
        assert popped.frame == inner
    same = layout.bits("tun_id", "tun_tos", "tun_ttl", "tun_options", "tun_options_length")
    assert popped.key & same == key & same


@given(headers(), st.binary(max_size=80), st.integers(0, 140), st.integers(0, 255))
def test_damaged_ones_are_taken_calmly(
    given_headers: tuple[str, bytes, int], inner: bytes, at: int, byte: int
) -> None:
    kind, head, _ = given_headers
    pieces = Pieces()
    for one in push_all(head, inner, 1, 0, 100):
        frame = bytearray(one)
        frame[at % len(frame)] = byte
        pop(kind, bytes(frame), frozenset(), pieces)
        pop(kind, bytes(frame[:at]), frozenset(), pieces)


@given(st.binary(max_size=120), st.integers(0, 15), st.integers(0, 60), st.integers(0, 3000))
def test_what_an_stt_frame_says_is_left_to_do_can_be_done(
    data: bytes, flags: int, transport: int, segment: int
) -> None:
    head = bytes((0, flags, transport, 0)) + segment.to_bytes(2, "big") + bytes(12)
    frame = open_frame(head + data)
    if frame is not None:
        assert frame.frame == data
        complete(Packet(frame.frame, frame.offload))
    open_frame(data)


@given(TYPES, st.binary(max_size=120))
def test_any_bytes_are_taken_calmly(kind: str, frame: bytes) -> None:
    pop(kind, frame)


def test_pieces_that_never_come_are_forgotten() -> None:
    """Whatever anybody sends: no more than so many wait."""
    ends = Outer(1, 2, MAPPED | 1, MAPPED | 2)
    head = header(Kind("stt", 7471), ends, 0)
    pieces = Pieces()
    for number in range(2000):
        first, *_ = push_all(head, bytes(3000), 1, number)
        assert pop("stt", first, frozenset(), pieces) is KEPT
    assert len(pieces._frames) <= 256
    assert pieces._bytes == sum(len(part) for parts in pieces._frames.values() for part in parts.values())


@given(headers(), st.integers(0, 65535), st.integers(0, 65535))
def test_their_text_is_read_as_written(given_headers: tuple[str, bytes, int], port: int, out: int) -> None:
    kind, head, _ = given_headers
    action = TunnelPush(port, TUNNEL_TYPES[kind].number, head, out)
    text = format_actions((action,))
    assert format_actions(parse_actions(text)) == text
    assert parse_actions(text) == (action,)


@given(
    st.dictionaries(
        st.integers(0, 63),
        st.tuples(st.sampled_from((4, 8, 12)), st.binary(min_size=12, max_size=12)),
        max_size=8,
    )
)
def test_options_are_unpacked_as_they_were_packed(fields: dict[int, tuple[int, bytes]]) -> None:
    mappings = tuple(TlvMapping(0x100 + number, number, size, number) for number, (size, _) in fields.items())
    options = Options().changed(TlvTableMod(NXTTMC_ADD, mappings))
    key = 0
    for place in options.places:
        value = int.from_bytes(fields[place.number][1][: place.octets], "big")
        key |= value << layout.OFFSET["tun_metadata"] + place.offset * 8
        key |= 1 << layout.OFFSET["tun_metadata_present"] + place.number
    raw = options.pack(key)
    assert raw & ~RAW == 0
    assert options.unpack(raw) == (key & FIELDS, True)
    everything = options.raw_mask(raw, FIELDS)
    size = (raw >> layout.OFFSET["tun_options_length"] & 0xFF) * 32
    assert everything >> layout.OFFSET["tun_options"] + 2048 - size & (1 << size) - 1 == (1 << size) - 1


@settings(max_examples=40)
@given(st.booleans(), st.integers(1, 5000), st.integers(100, 1400), st.sampled_from((0, 4)))
def test_segments_are_whole(six: bool, size: int, cut: int, tag: int) -> None:
    """Every segment has right lengths and checksums, and the payload is all there, in order."""
    payload = bytes(i & 255 for i in range(size))
    tcp = bytes.fromhex("1234005000001000000000005018ffff00000000") + payload
    if six:
        ip = b"\x60\0\0\0" + len(tcp).to_bytes(2, "big") + b"\x06\x40" + bytes(15) + b"\1" + bytes(15) + b"\2"
    else:
        ip = (
            b"\x45\0"
            + (20 + len(tcp)).to_bytes(2, "big")
            + bytes.fromhex("000040004006000001010101")
            + b"\2" * 4
        )
    ethernet = bytes(12) + (b"\x81\0\0\5" if tag else b"") + (b"\x86\xdd" if six else b"\x08\0")
    start = len(ethernet) + len(ip)
    offload = Offload(NEEDS_CHECKSUM, GSO_TCPV6 if six else GSO_TCPV4, start + 20, cut, start, 16)
    found = b""
    for frame in complete(Packet(ethernet + ip + tcp, offload)):
        assert frame[: len(ethernet)] == ethernet
        at = len(ethernet)
        segment = frame[start:]
        ends = (
            (frame[at + 8 : at + 24], frame[at + 24 : at + 40])
            if six
            else (frame[at + 12 : at + 16], frame[at + 16 : at + 20])
        )
        if not six:
            assert checksum(frame[at:start]) == 0
            assert int.from_bytes(frame[at + 2 : at + 4], "big") == len(frame) - at
        assert checksum(segment, pseudo_header(*ends, 6, len(segment))) == 0
        assert int.from_bytes(segment[4:8], "big") == 0x1000 + len(found)
        assert bool(segment[13] & 8) == (len(found) + len(segment) - 20 == size)
        found += segment[20:]
    assert found == payload
