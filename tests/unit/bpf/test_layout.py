"""C and Python agree, because one is made of the other."""

from trunkline.bpf import layout as program
from trunkline.flow import key as layout


def test_generated_header_is_fresh() -> None:
    assert program.header_path().read_text() == program.header()


def test_key_members_lie_where_python_has_them() -> None:
    for name, offset, bits in program.key_members():
        if name.startswith("_"):
            continue
        value = 1 << min(bits, layout.WIDTH[name]) - 1
        data = layout.datapath_bytes(layout.put(0, name, value))
        assert data[:offset] == bytes(offset)
        assert int.from_bytes(data[offset : offset + bits // 8], "big") == value
        assert not any(data[offset + bits // 8 :])


def test_key_members_fill_the_struct_in_order() -> None:
    at = 0
    for _, offset, bits in program.key_members():
        assert offset == at
        at += bits // 8
    assert at == program.KEY_BYTES


def test_records_have_no_holes() -> None:
    """What Python packs without padding is what a compiler lays out."""
    aligned = {"u8": 1, "u16": 2, "u64": 8}
    for record in program.RECORDS:
        at = 0
        for member in record.members:
            alignment = aligned.get(member[1].partition("[")[0], 4)
            assert at % alignment == 0, record.name
            at += program.Record("", (member,)).packed.size
        assert at == record.packed.size
        widest = max(aligned.get(type.partition("[")[0], 4) for _, type in record.members)
        assert at % widest == 0, record.name
