"""ELF object files as compilers write them for BPF: sections, symbols, relocations (ELF-64).

Only what a loader of BPF programs needs; anything else in the file is passed over.  A file that is cut off or
makes no sense raises ElfError and nothing else.
"""

import struct
import sys
from typing import Final, NamedTuple

_MAGIC: Final = b"\x7fELF"
_CLASS_64: Final = 2
_DATA: Final = {"little": 1, "big": 2}
_MACHINE_BPF: Final = 247
PROGRAM_BITS, SYMBOL_TABLE, NO_BITS, RELOCATIONS = 1, 2, 8, 9
EXECUTABLE: Final = 4
SYMBOL_FUNCTION, SYMBOL_SECTION = 2, 3
BIND_WEAK: Final = 2


class ElfError(Exception):
    """The file is no BPF object, or a broken one; the text says what is wrong."""


class Section(NamedTuple):
    name: str
    kind: int
    flags: int
    size: int
    content: bytes  # of a section without bits (.bss) zeros

    @property
    def is_code(self) -> bool:
        return self.kind == PROGRAM_BITS and bool(self.flags & EXECUTABLE)


class Symbol(NamedTuple):
    name: str
    kind: int
    binding: int
    section: int  # 0: defined elsewhere
    value: int
    size: int


class ObjectFile(NamedTuple):
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: dict[int, dict[int, int]]  # of a section, by its number: offset -> index of the symbol

    def section(self, name: str) -> int | None:
        """The number of the first section of that name."""
        return next((number for number, one in enumerate(self.sections) if one.name == name), None)


_Header = tuple[int, int, int, int, int, int, int]  # name, kind, flags, offset, size, link, information


def parse(data: bytes) -> ObjectFile:
    """Raises ElfError."""
    try:
        return _parse(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise ElfError(f"broken object file: {error}") from None


def _parse(data: bytes) -> ObjectFile:
    if data[:4] != _MAGIC or len(data) < 64:
        raise ElfError("not an ELF file")
    if data[4] != _CLASS_64 or data[5] != _DATA[sys.byteorder]:
        raise ElfError(f"the object file is not a 64-bit {sys.byteorder}-endian one")
    if struct.unpack_from("=H", data, 18)[0] != _MACHINE_BPF:
        raise ElfError("the object file is not for BPF")
    (start,) = struct.unpack_from("=Q", data, 40)
    count, names = struct.unpack_from("=HH", data, 60)
    headers = [_header(data, start + 64 * number) for number in range(count)]
    sections = tuple(_section(data, header, headers[names]) for header in headers)
    symbols: tuple[Symbol, ...] = ()
    relocations: dict[int, dict[int, int]] = {}
    for (_, kind, _, _, _, link, target), section in zip(headers, sections, strict=True):
        if kind == SYMBOL_TABLE:
            symbols = _symbols(section.content, sections[link].content)
        elif kind == RELOCATIONS:
            entries = struct.iter_unpack("=QQ", section.content)
            relocations.setdefault(target, {}).update((offset, what >> 32) for offset, what in entries)
    _check(sections, symbols, relocations)
    return ObjectFile(sections, symbols, relocations)


def _check(
    sections: tuple[Section, ...], symbols: tuple[Symbol, ...], relocations: dict[int, dict[int, int]]
) -> None:
    """What refers to something refers to something that is there."""
    for target, entries in relocations.items():
        if target >= len(sections):
            raise ElfError(f"broken object file: relocations of section {target}, of {len(sections)}")
        if entries and max(entries.values()) >= len(symbols):
            raise ElfError(
                f"broken object file: {sections[target].name} refers to a symbol that is not there"
            )


def _header(data: bytes, at: int) -> _Header:
    name, kind, flags, _, offset, size, link, information, _, _ = struct.unpack_from("=IIQQQQIIQQ", data, at)
    return name, kind, flags, offset, size, link, information


def _section(data: bytes, header: _Header, names: _Header) -> Section:
    name, kind, flags, offset, size, _, _ = header
    if kind == NO_BITS:
        if size > 1 << 24:
            raise ElfError(f"broken object file: a section of {size} zero bytes")
        content = bytes(size)
    else:
        content = data[offset : offset + size]
        if kind and len(content) != size:
            raise ElfError("broken object file: a section ends behind the file")
    return Section(text(data, names[3] + name), kind, flags, size, content)


def _symbols(content: bytes, names: bytes) -> tuple[Symbol, ...]:
    return tuple(
        Symbol(text(names, name), information & 15, information >> 4, section, value, size)
        for name, information, _, section, value, size in struct.iter_unpack("=IBBHQQ", content)
    )


def text(data: bytes | bytearray, at: int) -> str:
    """The string there, up to its zero byte."""
    return data[at : data.index(b"\0", at)].decode()
