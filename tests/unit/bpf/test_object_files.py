"""ELF files and their types: what the compiled program consists of, and what becomes of broken files."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.kernel_program import compiled
from trunkline.bpf import elf, loader, probe, type_format
from trunkline.bpf.elf import ElfError, ObjectFile
from trunkline.bpf.loader import Linker, LoadError
from trunkline.bpf.maps import HASH, RINGBUF
from trunkline.bpf.type_format import FUNC, FUNC_PROTO, INT, KernelTypes, Type, TypeFormatError, Types


@pytest.fixture(scope="module")
def data() -> bytes:
    return compiled()


def types_of(file: ObjectFile) -> Types:
    number = file.section(".BTF")
    assert number is not None
    return type_format.parse(file.sections[number].content)


def test_sections_symbols_and_relocations_of_the_program(data: bytes) -> None:
    file = elf.parse(data)
    code = file.section("tc")
    assert code is not None
    assert file.sections[code].is_code
    functions = {one.name: one for one in file.symbols if one.kind == elf.SYMBOL_FUNCTION}
    assert {"ingress", "execute"} <= functions.keys()
    assert functions["ingress"].size % 8 == 0
    for target, entries in file.relocations.items():
        size = file.sections[target].size
        assert all(offset < size for offset in entries)


def test_maps_are_declared_with_their_sizes(data: bytes) -> None:
    found = {one.name: one for one in loader.declarations(types_of(elf.parse(data)))}
    assert found["upcalls"].kind == RINGBUF
    assert found["devices"]._replace(key_type=0, value_type=0, entries=0) == (
        "devices", HASH, 4, 4, 0, 1, 0, 0,
    )  # fmt: skip
    assert all(one.entries for one in found.values())


def test_types_are_the_same_when_they_are_written_again(data: bytes) -> None:
    types = types_of(elf.parse(data))
    assert type_format.parse(types.octets()).all == types.all


def test_mending_gives_sections_their_size_and_parameters_names(data: bytes) -> None:
    file = elf.parse(data)
    types = type_format.mend(types_of(file), file)
    section = types.find(".maps", type_format.DATASEC)
    assert section is not None
    number = file.section(".maps")
    assert number is not None
    assert types[section].size == file.sections[number].size
    places = [place for _, place, _ in struct.iter_unpack("=III", types[section].tail)]
    assert places == sorted(set(places))
    cast = types.find("bpf_cast_to_kern_ctx", FUNC)
    assert cast is not None
    assert types[cast].entries == 0  # a static function
    name, _ = struct.unpack_from("=II", types[types[cast].size].tail)
    assert types.string(name)


def test_a_program_is_put_together_with_what_it_calls(data: bytes) -> None:
    file = elf.parse(data)
    types = type_format.mend(types_of(file), file)

    class Made(dict[str, "Made"]):
        descriptor = 7

        def __missing__(self, name: str) -> "Made":
            return self

    sections = {number: Made() for number, one in enumerate(file.sections) if one.name.startswith(".rodata")}
    code = Linker(file, types, Made(), sections, {0x7001: 16}).link("ingress")  # type: ignore[arg-type]
    words = list(struct.iter_unpack("=BBhi", code.instructions))
    starts = [number for number, _ in struct.iter_unpack("=II", code.functions)]
    assert starts[0] == 0
    assert len(starts) >= 3  # itself, the global function, the callbacks
    calls = [
        (at, value) for at, (op, registers, _, value) in enumerate(words) if (op, registers >> 4) == (0x85, 1)
    ]
    assert calls
    assert {at + 1 + value for at, value in calls} <= set(starts)
    offsets = {offset for op, _, offset, _ in words if op == 0x79}
    assert 16 in offsets
    assert not {0x7001} & offsets
    lines = [number for number, *_ in struct.iter_unpack("=IIII", code.lines)]
    assert lines == sorted(lines)
    assert lines[-1] < len(words)


def test_what_is_asked_for_and_not_there_is_named(data: bytes) -> None:
    file = elf.parse(data)
    linker = Linker(file, type_format.mend(types_of(file), file), {}, {}, {})
    with pytest.raises(LoadError, match="no function nonsense"):
        linker.link("nonsense")


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [(0, 0, "not an ELF file"), (4, 1, "64-bit"), (5, 2, "64-bit"), (18, 62, "not for BPF")],
)
def test_files_of_another_kind_are_refused(data: bytes, at: int, value: int, text: str) -> None:
    with pytest.raises(ElfError, match=text):
        elf.parse(data[:at] + bytes((value,)) + data[at + 1 :])


def read(data: bytes) -> None:
    """Everything that is done with an object file before the kernel sees it."""
    file = elf.parse(data)
    number = file.section(".BTF")
    types = type_format.mend(type_format.parse(file.sections[number].content if number else b""), file)
    list(loader.declarations(types))
    Linker(file, types, {}, {}, {})


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broken_files_raise_errors_of_ours(source: st.DataObject) -> None:
    data = compiled()
    broken = bytearray(data)
    for _ in range(source.draw(st.integers(1, 4))):
        at = source.draw(st.integers(0, len(data) - 1) | st.integers(0, 63))
        broken[at] = source.draw(st.integers(0, 255))
    end = source.draw(st.just(len(data)) | st.integers(0, len(data)))
    try:
        read(bytes(broken[:end]))
    except (ElfError, TypeFormatError, LoadError):
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_types_or_an_error(raw: bytes) -> None:
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(raw), len(raw), 0)
    for one in (raw, header + raw):
        try:
            types = type_format.parse(one)
            for number in range(len(types.all)):
                types.size(number)
        except TypeFormatError:
            pass


def test_sizes_of_types() -> None:
    strings = b"\0int\0pair\0a\0b\0"
    types = Types(
        [
            Type(0, 0, 0),
            Type(1, INT << 24, 4, bytes(4)),
            Type(0, type_format.ARRAY << 24, 0, struct.pack("=III", 1, 1, 6)),
            Type(5, type_format.STRUCT << 24 | 2, 28, struct.pack("=IIIIII", 10, 1, 0, 12, 2, 32)),
            Type(0, type_format.TYPEDEF << 24, 3),
            Type(0, type_format.PTR << 24, 4),
            Type(0, FUNC_PROTO << 24, 0),
        ],
        strings,
    )
    assert [types.size(number) for number in (1, 2, 3, 4, 5)] == [4, 24, 28, 28, 8]
    assert [(one.name, one.bits) for one in types.members(4)] == [("a", 0), ("b", 32)]
    assert types.length(2) == 6
    assert types.find("pair", type_format.STRUCT) == 3
    with pytest.raises(TypeFormatError, match="no array"):
        types.length(3)
    with pytest.raises(TypeFormatError, match="refers to itself"):
        Types([Type(0, 0, 0), Type(0, type_format.TYPEDEF << 24, 1)], b"\0").size(1)


@pytest.mark.skipif(not os.access(type_format.KERNEL, os.R_OK), reason="the kernel does not tell its types")
def test_what_the_running_kernel_tells_of_itself() -> None:
    with open(type_format.KERNEL, "rb") as file:
        kernel = KernelTypes(file.read())
    assert kernel.offset("list_head", "next") == 0
    assert kernel.offset("list_head", "prev") == 8
    assert kernel.offset("sk_buff", "dev") % 8 == 0  # inside of a union without a name
    found = kernel.functions(["tcp_v4_rcv", "surely_no_such_function"])
    assert found.keys() == {"tcp_v4_rcv"}
    with pytest.raises(TypeFormatError, match=r"no net\.nonsense"):
        kernel.offset("net", "nonsense")


def test_the_compiled_program_is_not_older_than_its_source() -> None:
    compiled()
    directory = Path(probe.__file__).parent / "program"
    sources = [path for path in directory.iterdir() if path.suffix in (".c", ".h")]
    newest = max(sources, key=lambda path: path.stat().st_mtime)
    built = (directory / probe.OBJECT).stat().st_mtime
    assert built >= newest.stat().st_mtime, f"{newest.name} has changed since: make setup"
