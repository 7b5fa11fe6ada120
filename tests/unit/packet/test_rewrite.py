"""Rewritten frames: the key says what was asked for, checksums hold, offload moves along."""

import random

import pytest

from trunkline.flow.key import MASK, VIEW, get, pack, put
from trunkline.packet.build import build, build_length
from trunkline.packet.checksum import checksum, ones_sum, pseudo_header, updated
from trunkline.packet.packet import NEEDS_CHECKSUM, Offload, Packet
from trunkline.packet.parse import parse
from trunkline.packet.rewrite import crc32c, pop_mpls, pop_vlan, push_mpls, push_vlan, set_fields

SIX = {
    "dl_type": 0x86DD,
    "ipv6_src": 0xFE80 << 112 | 1,
    "ipv6_dst": 2,
    "nw_ttl": 64,
    "dl_src": 1,
    "dl_dst": 2,
}
FOUR = {"dl_type": 0x0800, "nw_src": 0x01020304, "nw_dst": 0x05060708, "nw_ttl": 64, "dl_src": 1, "dl_dst": 2}


def _frame(base: dict[str, int], **more: int) -> bytes:
    return build(pack(**base, **more)[0])


def _sums_hold(frame: bytes) -> bool:
    """Whether IP and transport checksums of an untagged frame are right."""
    if frame[12:14] == b"\x08\0":
        if checksum(frame[14:34]):
            return False
        protocol, segment, source, destination = frame[23], frame[34:], frame[26:30], frame[30:34]
    else:
        protocol, segment, source, destination = frame[20], frame[54:], frame[22:38], frame[38:54]
    if protocol == 132:
        return crc32c(segment[:8] + bytes(4) + segment[12:]) == int.from_bytes(segment[8:12], "little")
    start = 0 if protocol == 1 else pseudo_header(source, destination, protocol, len(segment))
    return checksum(segment, start) == 0


@pytest.mark.parametrize("protocol", [6, 17, 1, 58, 132])
def test_masked_sets_keep_checksums_right(protocol: int) -> None:
    rng = random.Random(protocol)
    names = ["dl_src", "dl_dst", "nw_ttl", "nw_tos"]
    for _ in range(300):
        base = SIX if protocol == 58 or (protocol != 1 and rng.random() < 0.5) else FOUR
        more = {"icmp_type": 135, "nd_target": 5, "nd_sll": 9} if protocol == 58 else {}
        frame = _frame(base, nw_proto=protocol, **more)
        if protocol == 132:
            at = 34 if base is FOUR else 54
            crc = crc32c(frame[at : at + 8] + bytes(4)).to_bytes(4, "little")
            frame = frame[: at + 8] + crc
        assert _sums_hold(frame)
        own = ["ipv6_src", "ipv6_dst", "ipv6_label"] if base is SIX else ["nw_src", "nw_dst"]
        own += ["nd_target", "nd_sll"] if protocol == 58 else ["tp_src", "tp_dst"] if protocol != 1 else []
        value = mask = 0
        for name in rng.sample(names + own, 3):
            part = rng.getrandbits(VIEW[name].ones.bit_length())
            mask |= part << VIEW[name].shift
            value |= (rng.getrandbits(128) & part) << VIEW[name].shift
        changed = set_fields(Packet(frame), parse(frame), value, mask).frame
        assert parse(changed) == parse(frame) & ~mask | value
        assert _sums_hold(changed)


def test_a_missing_udp_checksum_stays_missing() -> None:
    frame = _frame(FOUR, nw_proto=17)
    frame = frame[:40] + b"\0\0" + frame[42:]
    changed = set_fields(Packet(frame), parse(frame), *pack(nw_src=9, tp_dst=5)).frame
    assert changed[40:42] == b"\0\0"


def test_an_unfinished_checksum_stays_finishable() -> None:
    """With NEEDS_CHECKSUM the field holds the sum of the pseudo header; hardware adds the rest."""
    frame = _frame(FOUR, nw_proto=6, tcp_flags=0x10)
    partial = pseudo_header(frame[26:30], frame[30:34], 6, len(frame) - 34)
    frame = frame[:50] + partial.to_bytes(2, "big") + frame[52:]
    offload = Offload(NEEDS_CHECKSUM, 0, 54, 0, 34, 16)
    changed = set_fields(Packet(frame, offload), parse(frame), *pack(nw_src=0x0A0B0C0D, tp_dst=5)).frame
    finished = changed[:50] + checksum(changed[34:]).to_bytes(2, "big") + changed[52:]
    assert _sums_hold(finished)
    assert get(parse(changed), "tp_dst") == 5


def test_tags_come_and_go_and_offload_moves() -> None:
    frame = _frame(FOUR, nw_proto=6)
    offload = Offload(NEEDS_CHECKSUM, 1, 54, 1448, 34, 16)
    tagged = push_vlan(push_vlan(Packet(frame, offload), 0x8100, 0x1005), 0x88A8, 0x7006)
    assert tagged.offload == Offload(NEEDS_CHECKSUM, 1, 62, 1448, 42, 16)
    key = parse(tagged.frame)
    assert [get(key, n) for n in ("vlan_tci", "vlan_tpid", "vlan1_tci", "vlan1_tpid")] == [
        0x7006, 0x88A8, 0x1005, 0x8100]  # fmt: skip
    assert pop_vlan(pop_vlan(tagged)) == Packet(frame, offload)
    assert pop_vlan(Packet(frame, offload)) == Packet(frame, offload)
    retagged = set_fields(tagged, key, *pack(vlan_tci=(9, 0xFFF)))
    assert get(parse(retagged.frame), "vlan_tci") == 0x7009
    labelled = push_mpls(tagged, 0x8847, 5 << 12 | 0x140)
    assert get(parse(labelled.frame), "mpls_label") == 5
    assert pop_mpls(labelled, 0x0800) == tagged


def test_arp_fields_are_set() -> None:
    frame = build(pack(dl_type=0x0806, arp_op=1, arp_spa=1, arp_tpa=2, arp_sha=3)[0])
    changed = set_fields(Packet(frame), parse(frame), *pack(arp_op=2, arp_spa=7, arp_tha=8)).frame
    key = parse(changed)
    assert [get(key, name) for name in ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha")] == [
        2,
        7,
        2,
        3,
        8,
    ]


def test_later_fragments_keep_their_payload() -> None:
    frame = _frame(FOUR, nw_proto=6, nw_frag=3) + b"payload that is no TCP header"
    changed = set_fields(Packet(frame), parse(frame), *pack(tp_src=1, nw_src=5)).frame
    assert changed[34:] == frame[34:]
    assert checksum(changed[14:34]) == 0


def test_sums() -> None:
    assert ones_sum(b"") == 0
    assert ones_sum(b"\xff\xff\0\1") == 1
    assert checksum(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")) == 0
    assert crc32c(b"123456789") == 0xE3069283
    data = bytearray(random.Random(1).randbytes(40))
    before = checksum(bytes(data))
    old = bytes(data[4:8])
    data[4:8] = b"abcd"
    assert updated(before, old, b"abcd") == checksum(bytes(data))


def test_lengths() -> None:
    assert len(build_length(pack(**FOUR, nw_proto=17)[0], 200)) == 200
    assert _sums_hold(build_length(pack(**FOUR, nw_proto=17)[0], 201))
    assert put(0, "tp_src", 5) & ~MASK["tp_src"] == 0


def test_protocol_zero_has_addresses_like_any_other() -> None:
    frame = _frame(FOUR, nw_proto=0)
    changed = set_fields(Packet(frame), parse(frame), *pack(nw_src=0x09090909)).frame
    assert changed[26:30] == bytes((9, 9, 9, 9))
    assert _header_sum_holds(changed)


def _header_sum_holds(frame: bytes) -> bool:
    return checksum(frame[14:34]) == 0


@pytest.mark.parametrize("protocol", [1, 6, 17])
def test_later_fragments_have_no_transport_header(protocol: int) -> None:
    frame = bytearray(_frame(FOUR, nw_proto=protocol))
    frame[20:22] = b"\x00\x07"
    frame[24:26] = bytes(2)
    frame[24:26] = checksum(bytes(frame[14:34])).to_bytes(2, "big")
    changed = set_fields(Packet(bytes(frame)), parse(bytes(frame)), *pack(nw_dst=1, tp_src=5)).frame
    assert changed[34:] == bytes(frame[34:])
    assert changed[30:34] == bytes((0, 0, 0, 1))
    assert _header_sum_holds(changed)


@pytest.mark.parametrize("left", [0, 1])
def test_checksums_are_about_the_last_destination(left: int) -> None:
    """RFC 8200, section 8.1: with segments left, the address in the header is that of a router."""
    frame = _frame(SIX, nw_proto=17, tp_src=1, tp_dst=2)
    extended = bytearray(frame[:54] + bytes((17, 0, 0, left)) + bytes(4) + frame[54:])
    extended[18:20] = (int.from_bytes(frame[18:20], "big") + 8).to_bytes(2, "big")
    extended[20] = 43
    before = bytes(extended)
    changed = set_fields(Packet(before), parse(before), *pack(ipv6_dst=77)).frame
    assert changed[38:54] == (77).to_bytes(16, "big")
    assert (changed[68:70] == before[68:70]) == bool(left)
    both = set_fields(Packet(before), parse(before), *pack(ipv6_src=77)).frame
    assert both[68:70] != before[68:70]


def test_parts_of_neighbour_discovery_are_written_alone() -> None:
    frame = _frame(SIX, nw_proto=58, icmp_type=136, nd_target=5, nd_tll=9)
    key = parse(frame)
    assert get(key, "nd_options_type") == 2
    value, mask = pack(nd_reserved=(0xA0000000, 0xF0000000), nd_options_type=1)
    changed = set_fields(Packet(frame), key, value, mask).frame
    after = parse(changed)
    assert _sums_hold(changed)
    assert get(after, "nd_reserved") == get(key, "nd_reserved") & 0x0FFFFFFF | 0xA0000000
    assert (get(after, "nd_options_type"), get(after, "nd_sll")) == (1, 9)
