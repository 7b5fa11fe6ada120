"""The flow key's layout: what must hold of it, and that keys that occur do not collide as dict keys."""

import random

import pytest

from trunkline.flow import key as layout
from trunkline.flow.key import (
    OFFSET,
    VIEW,
    WIDTH,
    bits,
    datapath_bytes,
    from_datapath_bytes,
    get,
    pack,
    put,
    slots,
)
from trunkline.model.fields import CLASSES, FIELD, FIELDS, ID, PREREQUISITES


def test_regions_are_contiguous_and_whole() -> None:
    assert layout.PIPELINE & layout.DATAPATH == 0
    assert layout.PIPELINE | layout.DATAPATH | layout.RARE == (1 << layout.BITS) - 1
    assert layout.DATAPATH_BYTES % 8 == 0
    assert (layout.DATAPATH >> layout.DATAPATH_SHIFT).bit_length() == layout.DATAPATH_BYTES * 8


def test_slots_are_aligned_in_the_struct() -> None:
    for name, offset in OFFSET.items():
        if layout.DATAPATH >> offset & 1 and WIDTH[name] in (8, 16, 32, 64, 128):
            assert (offset - layout.DATAPATH_SHIFT) % min(WIDTH[name], 32) == 0, name


def test_every_field_lies_in_its_slot() -> None:
    for field in FIELDS:
        assert field.prerequisite in PREREQUISITES
        assert field.bits <= field.octets * 8
        if not field.name.startswith(("tun_metadata", "xreg", "xxreg")):
            assert field.shift + field.bits <= WIDTH[field.slot], field.name


def test_names_and_code_points_are_unique() -> None:
    names = [name for field in FIELDS for name in (field.name, *field.aliases)]
    assert len(names) == len(set(names)) == len(FIELD)
    assert len(ID) == sum(len(field.ids) for field in FIELDS)
    assert {i.vendor for field in FIELDS for i in field.ids} == set(CLASSES)


def test_registers_are_parts_of_wider_ones() -> None:
    key = put(put(0, "reg0", 0x11111111), "reg1", 0x22222222)
    assert get(key, "xreg0") == 0x1111111122222222
    assert get(key, "xxreg0") == 0x1111111122222222 << 64
    assert get(put(0, "xxreg3", 7), "reg15") == 7


def test_views_of_one_slot() -> None:
    assert VIEW["tp_src"] == VIEW["udp_src"]
    assert VIEW["tp_src"].mask == layout.MASK["sctp_src"]
    assert VIEW["icmp_type"].shift == VIEW["tp_src"].shift
    assert VIEW["arp_spa"] == VIEW["nw_src"]
    assert get(put(0, "nw_tos", 0xB9), "ip_dscp") == 0x2E
    assert get(put(0, "nw_tos", 0xB9), "nw_ecn") == 1


def test_pack_put_get_slots_and_bytes() -> None:
    value, mask = pack({"nw_src": 5}, tp_dst=(0x50, 0xFF))
    assert (get(value, "nw_src"), get(value, "tp_dst")) == (5, 0x50)
    assert dict(slots(mask)) == {"net_src": 0xFFFFFFFF, "tp_dst": 0xFF}
    assert from_datapath_bytes(datapath_bytes(value)) == value
    assert bits("nw_src", "tp_dst") == layout.MASK["nw_src"] | layout.MASK["tp_dst"]


# Fields that rules and packets vary together.
TOGETHER = (
    ("nw_src", "nw_dst"), ("nw_dst", "tp_dst"), ("nw_src", "tp_dst"), ("nw_dst", "tp_src"),
    ("dl_src", "dl_dst"),
    ("dl_dst", "vlan_tci"), ("dl_src", "vlan_tci"), ("metadata", "nw_dst"), ("metadata", "dl_dst"),
    ("reg15", "dl_dst"), ("in_port", "dl_dst"), ("in_port", "dl_src"), ("dp_in_port", "dl_dst"),
    ("tp_src", "tp_dst"),
)  # fmt: skip


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_common_fields_do_not_cancel_in_the_hash(one: str, other: str) -> None:
    """Hashes are modulo 2**61 - 1: fields 61 bits apart, or 64, map small values onto one another."""
    distance = abs(VIEW[one].shift - VIEW[other].shift) % 61
    assert min(distance, 61 - distance) > 3


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_pairs_of_small_values_have_different_hashes(one: str, other: str) -> None:
    keys = [put(put(0, one, i), other, j) for i in range(64) for j in range(64)]
    hashes = {hash(key) for key in keys}
    assert len(hashes) > len(keys) * (0.95 if min_distance(one, other) >= 6 else 0.1)


def min_distance(one: str, other: str) -> int:
    distance = abs(VIEW[one].shift - VIEW[other].shift) % 61
    return min(distance, 61 - distance)


def test_connections_have_different_hashes() -> None:
    rng = random.Random(1)
    keys = {
        pack(
            nw_src=10 << 24 | rng.randrange(1000), nw_dst=10 << 24 | 1 << 16 | rng.randrange(1000),
            tp_src=32768 + rng.randrange(28000), tp_dst=rng.choice((80, 443, 22, 53)),
            nw_proto=6, dl_type=0x0800,
        )[0]
        for _ in range(20000)
    }  # fmt: skip
    assert len({hash(key) for key in keys}) > len(keys) * 0.99
