"""BTF, the BPF Type Format: types of C in a compact form (kernel doc bpf/btf).

It is met twice.  An object file brings its own types: maps are declared there, and the kernel wants to know
the types of functions; but what the compiler writes is not quite what the kernel takes, so it is mended
first (`mend`).  And the kernel describes itself in /sys/kernel/btf/vmlinux: that is where the id of a
kernel function and the offset of a field of one of its structures come from (`KernelTypes`).

A type is a record of three words (name, kind with a count, size or other type) and a tail that depends on
the kind.  Types are numbered from 1 in the order of the file; 0 is void.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from trunkline.bpf.elf import ObjectFile, text

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
_FIXED: Final = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}  # bytes of the tail
_EACH: Final = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}  # by the count
_WRAPPERS: Final = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))
_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("=HBBIIIII")
_RECORD: Final = struct.Struct("=III")
_BITFIELDS: Final = 1 << 31  # in a structure: offsets of members hold a width as well
_EXTERN: Final = 2  # linkage of a function
_POINTER_SIZE: Final = 8
KERNEL: Final = "/sys/kernel/btf/vmlinux"


class TypeFormatError(Exception):
    """The types are broken, or lack what was looked for; the text says what."""


class Type(NamedTuple):
    name: int  # offset among the strings
    kind_word: int
    size: int  # or the type that it refers to
    tail: bytes = b""

    @property
    def kind(self) -> int:
        return self.kind_word >> 24 & 31

    @property
    def entries(self) -> int:
        return self.kind_word & 0xFFFF


_VOID: Final = Type(0, 0, 0)


class Member(NamedTuple):
    name: str
    type: int
    bits: int  # offset


class Types:
    """The types of an object file.  Every method raises TypeFormatError where a type makes no sense."""

    def __init__(self, types: list[Type], strings: bytes) -> None:
        self.all = types
        self.strings = strings

    def __getitem__(self, number: int) -> Type:
        if not 0 <= number < len(self.all):
            raise TypeFormatError(f"there is no type {number}")
        return self.all[number]

    def name(self, number: int) -> str:
        return self.string(self[number].name)

    def string(self, at: int) -> str:
        try:
            return text(self.strings, at)
        except ValueError:
            raise TypeFormatError(f"there is no string at {at}") from None

    def find(self, name: str, kind: int) -> int | None:
        for number, one in enumerate(self.all):
            if one.kind == kind and self.string(one.name) == name:
                return number
        return None

    def bare(self, number: int) -> int:
        """The type without typedef, const and the like."""
        for _ in self.all:
            one = self[number]
            if one.kind not in _WRAPPERS:
                return number
            number = one.size
        raise TypeFormatError(f"type {number} refers to itself")

    def size(self, number: int) -> int:
        """In bytes."""
        factor = 1
        for _ in self.all:
            one = self[self.bare(number)]
            if one.kind == PTR:
                return factor * _POINTER_SIZE
            if one.kind != ARRAY:
                return factor * one.size
            number, _, length = _RECORD.unpack(one.tail)
            factor *= length
        raise TypeFormatError(f"type {number} contains itself")

    def members(self, number: int) -> Iterator[Member]:
        """Of a structure or union."""
        one = self[self.bare(number)]
        if one.kind not in (STRUCT, UNION):
            raise TypeFormatError(f"type {number} has no members")
        mask = 0xFFFFFF if one.kind_word & _BITFIELDS else 0xFFFFFFFF
        for name, kind, bits in _RECORD.iter_unpack(one.tail):
            yield Member(self.string(name), kind, bits & mask)

    def length(self, number: int) -> int:
        """Of an array; `__uint(name, n)` of bpf_helpers declares a pointer to an array of n."""
        one = self[self.bare(number)]
        if one.kind == PTR:
            one = self[self.bare(one.size)]
        if one.kind != ARRAY:
            raise TypeFormatError(f"type {number} is no array")
        return int(_RECORD.unpack(one.tail)[2])

    def octets(self) -> bytes:
        body = b"".join(_RECORD.pack(one.name, one.kind_word, one.size) + one.tail for one in self.all[1:])
        header = _HEADER.pack(_MAGIC, 1, 0, _HEADER.size, 0, len(body), len(body), len(self.strings))
        return header + body + self.strings


def _tail(kind: int, count: int) -> int:
    return _EACH[kind] * count if kind in _EACH else _FIXED.get(kind, 0)


def parse(data: bytes) -> Types:
    """Raises TypeFormatError."""
    body, strings = _halves(data)
    types = [_VOID]
    at = 0
    while at < len(body):
        if at + 12 > len(body):
            raise TypeFormatError(f"type {len(types)} is cut off")
        name, word, size = _RECORD.unpack_from(body, at)
        end = at + 12 + _tail(word >> 24 & 31, word & 0xFFFF)
        if end > len(body) or word >> 24 & 31 not in range(INT, ENUM64 + 1):
            raise TypeFormatError(f"type {len(types)} is cut off or of an unknown kind")
        types.append(Type(name, word, size, body[at + 12 : end]))
        at = end
    return Types(types, strings)


def _halves(data: bytes) -> tuple[bytes, bytes]:
    """The types and the strings."""
    if len(data) < _HEADER.size:
        raise TypeFormatError("no types: too short")
    magic, _, _, size, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise TypeFormatError("no types: wrong magic number")
    if size + max(types + types_size, strings + strings_size) > len(data):
        raise TypeFormatError("the types are cut off")
    return (
        data[size + types : size + types + types_size],
        data[size + strings : size + strings + strings_size],
    )


# ---- what the compiler writes, and what the kernel takes


def mend(types: Types, file: ObjectFile) -> Types:
    """The types as the kernel wants them.

    A section of data has to have its real size, and its variables their real places, which only the linker
    knows (BPF objects never see one).  Sections that are not there for the kernel (.ksyms, .kconfig) become
    pointers to void, so that the numbers stay.  A function defined elsewhere becomes a static one, whose
    parameters need names.
    """
    strings = types.strings + b"_\0"
    made_up = len(types.strings)
    changed = list(types.all)
    for number, one in enumerate(types.all):
        if one.kind == DATASEC:
            changed[number] = _mended_section(types, file, one)
        elif one.kind == FUNC and one.entries == _EXTERN:
            changed[number] = one._replace(kind_word=one.kind_word & ~0xFFFF)
            prototype = changed[one.size]
            pairs = struct.iter_unpack("=II", prototype.tail)
            named = b"".join(struct.pack("=II", name or made_up, kind) for name, kind in pairs)
            changed[one.size] = prototype._replace(tail=named)
    return Types(changed, strings)


def _mended_section(types: Types, file: ObjectFile, one: Type) -> Type:
    name = types.string(one.name)
    number = file.section(name)
    if name in (".ksyms", ".kconfig") or number is None:
        return Type(0, PTR << 24, 0)
    places = {symbol.name: symbol.value for symbol in file.symbols if symbol.section == number}
    variables = []
    for kind, _, size in _RECORD.iter_unpack(one.tail):
        variable = types.name(kind)
        if variable not in places:
            raise TypeFormatError(f"{variable} of section {name} is not in the object file")
        variables.append((places[variable], kind, size or types.size(types[kind].size)))
    tail = b"".join(_RECORD.pack(kind, place, size) for place, kind, size in sorted(variables))
    return one._replace(size=file.sections[number].size, tail=tail)


# ---- the kernel's own


class KernelTypes:
    """What the running kernel tells of itself.  Reading it takes some 60 ms, for it has 150,000 types."""

    def __init__(self, data: bytes) -> None:
        """`data` as in KERNEL.  Raises TypeFormatError."""
        self._body, self._strings = _halves(data)
        self._places = [0]  # of each type, in the body
        at, end, places, body = 0, len(self._body), self._places, self._body
        unpack, each, fixed = struct.Struct("=I").unpack_from, _EACH, _FIXED
        while at < end:
            places.append(at)
            (word,) = unpack(body, at + 4)
            kind = word >> 24 & 31
            at += 12 + (each[kind] * (word & 0xFFFF) if kind in each else fixed.get(kind, 0))

    def _type(self, number: int) -> Type:
        at = self._places[number]
        name, word, size = _RECORD.unpack_from(self._body, at)
        return Type(name, word, size, self._body[at + 12 : at + 12 + _tail(word >> 24 & 31, word & 0xFFFF)])

    def _number(self, name: str, kind: int) -> int | None:
        """Looks for the name's offset as bytes, and then whether a type of that kind begins there."""
        found = self._strings.find(b"\0" + name.encode() + b"\0")
        if found < 0:
            return None
        wanted, at = struct.pack("=I", found + 1), -1
        while (at := self._body.find(wanted, at + 1)) >= 0:
            number = bisect_left(self._places, at, 1)
            if number < len(self._places) and self._places[number] == at and self._type(number).kind == kind:
                return number
        return None

    def functions(self, names: Iterable[str]) -> dict[str, int]:
        """The ids of kernel functions, by name; those that the kernel lacks are left out."""
        found = {name: self._number(name, FUNC) for name in names}
        return {name: number for name, number in found.items() if number is not None}

    def offset(self, structure: str, member: str) -> int:
        """Bytes from the start of a structure to a member, also one of an unnamed member.

        Raises TypeFormatError.
        """
        number = self._number(structure, STRUCT)
        found = None if number is None else self._member(number, member)
        if found is None:
            raise TypeFormatError(f"the kernel's types have no {structure}.{member}")
        return found // 8

    def _member(self, number: int, wanted: str) -> int | None:
        one = self._type(number)
        while one.kind in _WRAPPERS:
            one = self._type(one.size)
        if one.kind not in (STRUCT, UNION):
            return None
        mask = 0xFFFFFF if one.kind_word & _BITFIELDS else 0xFFFFFFFF
        for name, kind, bits in _RECORD.iter_unpack(one.tail):
            if not name:
                inside = self._member(kind, wanted)
                if inside is not None:
                    return int(bits & mask) + inside
            elif text(self._strings, name) == wanted:
                return int(bits & mask)
        return None


def kernel_types() -> KernelTypes:
    """Of the running kernel.  Raises OSError (it has none), TypeFormatError."""
    with open(KERNEL, "rb") as file:
        return KernelTypes(file.read())
