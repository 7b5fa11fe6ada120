"""From an object file to programs in the kernel.

A compiler leaves open what only the machine knows: where functions end up, which maps there are, what kernel
functions are called.  Loading is filling that in:

1. the types (BTF) are mended and given to the kernel;
2. maps are made as section ``.maps`` declares them, or taken from an earlier process; constants
   (``.rodata``) become a frozen map, so that the verifier takes them for what they are and leaves out code
   that they make unreachable;
3. a program is put together: the function of that name, then every function that it calls or hands to a
   helper as a callback, each once; calls and addresses are set right; with them goes, moved likewise, what
   the types say of functions and of lines;
4. the kernel verifies it.  If it refuses, the error says the verifier's last word, and keeps its log's end.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from trunkline.bpf import elf, maps, type_format
from trunkline.bpf import system_calls as kernel
from trunkline.bpf.elf import ObjectFile, Symbol
from trunkline.bpf.maps import Map
from trunkline.bpf.system_calls import BpfError, address, bpf, buffer
from trunkline.bpf.type_format import DATASEC, Types

SCHED_CLS: Final = 3  # BPF_PROG_TYPE_SCHED_CLS: traffic control
_LICENSE: Final = b"GPL"  # some helpers are only for programs that say so
_CALL, _WIDE, _LOAD_64 = 0x85, 0x18, 0x79
_PSEUDO_CALL, _PSEUDO_KFUNC = 1, 2
_PSEUDO_MAP, _PSEUDO_MAP_VALUE, _PSEUDO_FUNCTION = 1, 2, 4
_INSTRUCTION: Final = struct.Struct("=BBhi")
_LOG_SIZE: Final = 1 << 24
_TOLD: Final = 6000  # bytes of the verifier's log that go into an error
_SO_NETNS_COOKIE: Final = 71


class LoadError(Exception):
    """The object file asks for what it does not bring, or the kernel lacks; the text says what."""


class TestRun(NamedTuple):
    """`value` is what the program returned (TC_ACT_*), `frame` and `context` the packet as it left it."""

    value: int
    frame: bytes
    context: bytes
    nanoseconds: int  # of one repetition, on average


class Program:
    """A program in the kernel; it stays there while it is attached or its descriptor is open."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        (self.id,) = struct.unpack_from("=I", kernel.information(descriptor), 4)

    def __repr__(self) -> str:
        return f"<program {self.name} {self.id}>"

    def test_run(self, frame: bytes, context: bytes = b"", repeat: int = 1, room: int = 256) -> TestRun:
        """Runs it on a frame of 14 to about 3,500 bytes; `context` is the start of a struct __sk_buff.

        The frame may grow by `room`.  What the program clones goes out of real devices; a redirect of the
        packet itself does not.  Raises BpfError.
        """
        data, head, out, left = (
            buffer(frame),
            buffer(context),
            buffer(len(frame) + room),
            buffer(len(context)),
        )
        request = buffer(
            struct.pack(
                "=IIIIQQIIIIQQIIIxxxx",
                self.descriptor, 0, len(frame), len(frame) + room, address(data), address(out), repeat, 0,
                len(context), len(context), address(head) if context else 0, address(left) if context else 0,
                0, 0, 0,
            )
        )  # fmt: skip
        bpf(kernel.PROG_TEST_RUN, request, f" ({self.name}, {len(frame)} bytes)")
        (value,) = struct.unpack_from("=I", request, 4)
        (size,) = struct.unpack_from("=I", request, 12)
        (duration,) = struct.unpack_from("=I", request, 36)
        return TestRun(value, out.raw[:size], left.raw[: len(context)], duration)

    def maps(self) -> list[Map]:
        """Those that it uses, opened anew; needs CAP_SYS_ADMIN."""
        return program_maps(self.descriptor)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def program_maps(descriptor: int) -> list[Map]:
    """The maps that a program uses, opened.  Raises BpfError."""
    room = 256
    ids = buffer(4 * room)
    facts = kernel.information(descriptor, head=struct.pack("=52xIQ", room, address(ids)))
    (count,) = struct.unpack_from("=I", facts, 52)
    found: list[Map] = []
    try:
        for number in struct.unpack_from(f"={min(count, room)}I", ids):
            found.append(Map(kernel.map_descriptor(number)))
    except BpfError:
        for one in found:
            one.close()
        raise
    return found


class Loaded:
    """An object file whose maps are there; its programs are loaded as they are asked for."""

    def __init__(self, linker: "Linker", made: dict[str, Map], types: int) -> None:
        self.maps = made
        self._linker = linker
        self._types = types
        self._programs: dict[str, Program] = {}

    def program(self, name: str) -> Program:
        """The program of that function's name.  Raises LoadError, BpfError with the verifier's log."""
        if name not in self._programs:
            self._programs[name] = self.fresh_program(name)
        return self._programs[name]

    def fresh_program(self, name: str) -> Program:
        """The same, loaded once more; the caller closes it."""
        program = Program(name, _load(name, self._linker.link(name), self._types))
        for one in self.maps.values():
            # Also those that this function does not use: who finds the program is to find them all.
            bpf(kernel.PROG_BIND_MAP, struct.pack("=III", program.descriptor, one.descriptor, 0))
        return program

    def close(self) -> None:
        for program in self._programs.values():
            program.close()
        for one in self._linker.data.values():
            one.close()
        for one in self.maps.values():
            one.close()
        if self._types >= 0:
            os.close(self._types)
            self._types = -1


def load(
    data: bytes,
    *,
    maps: Mapping[str, Map] | None = None,
    entries: Mapping[str, int] | None = None,
    constants: Mapping[str, int] | None = None,
    offsets: Mapping[int, int] | None = None,
) -> Loaded:
    """Makes the maps of an object file; those of `maps` are taken instead, and then belong to the result.

    `entries` are sizes of maps by name, `constants` values of ``const volatile`` variables by name; where
    the object loads 64 bits from an offset that is a key of `offsets`, the value takes its place.  Raises
    elf.ElfError, type_format.TypeFormatError, LoadError, BpfError.
    """
    file = elf.parse(data)
    number = file.section(".BTF")
    if number is None:
        raise LoadError("the object file has no types: compile it with -g")
    types = type_format.mend(type_format.parse(file.sections[number].content), file)
    descriptor = _load_types(types)
    given = dict(maps or {})
    made: dict[str, Map] = {}
    try:
        for declared in declarations(types):
            taken = given.pop(declared.name) if declared.name in given else None
            made[declared.name] = taken or _make(declared, descriptor, entries or {})
            _compare(declared, made[declared.name])
        if given:
            raise LoadError(f"the object file has no map {', '.join(sorted(given))}")
        sections = _data_maps(file, dict(constants or {}), made)
    except BaseException:
        for one in made.values():
            one.close()
        os.close(descriptor)
        raise
    return Loaded(Linker(file, types, made, sections, dict(offsets or {})), made, descriptor)


def _load_types(types: Types) -> int:
    octets = types.octets()
    data, log = buffer(octets), buffer(65536)
    request = struct.pack("=QQIIIxxxx", address(data), address(log), len(octets), 65536, 1)
    try:
        return bpf(kernel.BTF_LOAD, request)
    except BpfError as error:
        refused = BpfError(error.errno, f"{error.strerror} ({_reason(_end(log.value))})")
        refused.log = _end(log.value)
        raise refused from None


def _end(log: bytes) -> str:
    return log[-_TOLD:].decode(errors="replace").strip()


# ---- maps


class Declaration(NamedTuple):
    """A map as section .maps has it; types are 0 where only sizes are given."""

    name: str
    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int
    key_type: int
    value_type: int


def declarations(types: Types) -> Iterator[Declaration]:
    """The maps of an object file.  Raises TypeFormatError."""
    section = types.find(".maps", DATASEC)
    if section is None:
        return
    for variable, _, _ in struct.iter_unpack("=III", types[section].tail):
        members = {one.name: one.type for one in types.members(types[variable].size)}
        numbers = {name: types.length(kind) for name, kind in members.items() if name not in ("key", "value")}
        key, value = (types[types.bare(members[x])].size if x in members else 0 for x in ("key", "value"))
        yield Declaration(
            types.name(variable),
            numbers.get("type", 0),
            types.size(key) if key else numbers.get("key_size", 0),
            types.size(value) if value else numbers.get("value_size", 0),
            numbers.get("max_entries", 0),
            numbers.get("map_flags", 0),
            key,
            value,
        )


def _make(one: Declaration, types: int, entries: Mapping[str, int]) -> Map:
    typed = one.kind in maps.WITH_TYPES and one.key_type and one.value_type
    return maps.create(
        one.name,
        one.kind,
        one.key_size,
        one.value_size,
        entries.get(one.name, one.entries),
        one.flags,
        (types, one.key_type, one.value_type) if typed else (0, 0, 0),
    )


def _compare(declared: Declaration, got: Map) -> None:
    wanted = (declared.kind, declared.key_size, declared.value_size, declared.flags)
    found = (got.kind, got.key_size, got.value_size, got.flags & ~maps.RDONLY_PROG)
    if wanted != found:
        raise LoadError(f"map {declared.name} is of another make: {found}, not {wanted}")


def _data_maps(file: ObjectFile, constants: dict[str, int], made: Mapping[str, Map]) -> dict[int, Map]:
    """A map of one element for each section of data, by the section's number."""
    found: dict[int, Map] = {}
    unknown = set(constants)
    for number, section in enumerate(file.sections):
        fixed = section.name.startswith(".rodata")
        if not section.size or not (fixed or section.name in (".data", ".bss")):
            continue
        content = bytearray(section.content)
        for symbol in file.symbols:
            if symbol.section == number and symbol.name in constants:
                value = constants[symbol.name].to_bytes(symbol.size, sys.byteorder)
                content[symbol.value : symbol.value + symbol.size] = value
                unknown.discard(symbol.name)
        name = section.name.lstrip(".").replace(".", "_")
        one = maps.create(name, maps.ARRAY, 4, section.size, 1, maps.RDONLY_PROG if fixed else 0)
        found[number] = one
        one.update(bytes(4), bytes(content))
        if fixed:
            one.freeze()
    if unknown:
        raise LoadError(f"the object file has no constant {', '.join(sorted(unknown))}")
    return found


# ---- programs


class Code(NamedTuple):
    """A program that is put together: instructions, and what the types say of functions and lines in it."""

    instructions: bytes
    functions: bytes
    lines: bytes


_Place = tuple[int, int]  # section, offset


class Linker:
    """Puts programs together from the functions of an object file."""

    def __init__(
        self,
        file: ObjectFile,
        types: Types,
        made: Mapping[str, Map],
        data: dict[int, Map],
        offsets: Mapping[int, int],
    ) -> None:
        self._file = file
        self._maps = made
        self.data = data
        self._offsets = offsets
        self._functions: dict[_Place, Symbol] = {
            (one.section, one.value): one
            for one in file.symbols
            if one.kind == elf.SYMBOL_FUNCTION and one.size and 0 < one.section < len(file.sections)
        }
        self._kernel_functions: dict[str, int] | None = None
        self._function_types, self._lines = _extension(file, types)

    def link(self, name: str) -> Code:
        """Raises LoadError."""
        start = next((place for place, one in self._functions.items() if one.name == name), None)
        if start is None:
            raise LoadError(f"the object file has no function {name}")
        code = bytearray()
        places: dict[_Place, int] = {}  # where functions begin, in instructions
        references: list[tuple[int, _Place]] = []
        waiting = [start]
        types, lines = b"", b""
        for place in waiting:  # which grows meanwhile
            if place in places:
                continue
            base = places[place] = len(code) // 8
            body, called = self._body(place)
            references += [(base + at, target) for at, target in called]
            waiting += [target for _, target in called]
            code += body
            section, first = place
            for offset, tail in self._function_types.get(section, ()):
                if offset == first:
                    types += struct.pack("=I", base) + tail
            for offset, tail in self._lines.get(section, ()):
                if first <= offset < first + len(body):
                    lines += struct.pack("=I", base + (offset - first) // 8) + tail
        for at, target in references:
            struct.pack_into("=i", code, at * 8 + 4, places[target] - at - 1)
        return Code(bytes(code), types, lines)

    def _body(self, place: _Place) -> tuple[bytearray, list[tuple[int, _Place]]]:
        """A function's instructions, and those of them (by number) that refer to functions."""
        section, first = place
        content = self._file.sections[section].content
        body = bytearray(content[first : first + self._functions[place].size])
        symbols = self._file.relocations.get(section, {})
        called: list[tuple[int, _Place]] = []
        at = 0
        while at < len(body):
            operation, registers, offset, value = _INSTRUCTION.unpack_from(body, at)
            index = symbols.get(first + at)
            symbol = None if index is None else self._file.symbols[index]
            if operation == _CALL and (symbol is not None or registers >> 4 == _PSEUDO_CALL):
                target = self._call(body, at, symbol, (section, first + at + 8 + value * 8), value)
                called += [(at // 8, target)] if target else []
            elif operation == _WIDE:
                if symbol is not None and self._address(body, at, symbol):
                    called.append((at // 8, self._target(symbol, value)))
                at += 8
            elif operation == _LOAD_64 and offset in self._offsets:
                struct.pack_into("=h", body, at + 2, self._offsets[offset])
            at += 8
        return body, called

    def _call(
        self, body: bytearray, at: int, symbol: Symbol | None, near: _Place, value: int
    ) -> _Place | None:
        """Where a call goes; None for one of the kernel's own functions, whose id is put in."""
        if symbol is None:
            return self._known(near)
        if symbol.section:
            return self._target(symbol, (value + 1) * 8)
        number = self._kernel_function(symbol)
        struct.pack_into("=BBhi", body, at, _CALL, _PSEUDO_KFUNC << 4, 0, number)
        return None

    def _target(self, symbol: Symbol, offset: int) -> _Place:
        """The function that a relocation means: by name, or by its offset in a section."""
        if symbol.kind == elf.SYMBOL_SECTION:
            return self._known((symbol.section, symbol.value + offset))
        return self._known((symbol.section, symbol.value))

    def _known(self, place: _Place) -> _Place:
        if place not in self._functions:
            raise LoadError(f"a call to offset {place[1]} of section {place[0]}, where no function begins")
        return place

    def _kernel_function(self, symbol: Symbol) -> int:
        """Its id; 0 for a weak one that the kernel lacks: the call has to be unreachable then."""
        if self._kernel_functions is None:
            wanted = [one.name for one in self._file.symbols if not one.section and one.name]
            try:
                self._kernel_functions = type_format.kernel_types().functions(wanted)
            except (OSError, type_format.TypeFormatError):
                self._kernel_functions = {}
        number = self._kernel_functions.get(symbol.name, 0)
        if not number and symbol.binding != elf.BIND_WEAK:
            raise LoadError(f"the kernel has no function {symbol.name}, or does not tell its types")
        return number

    def _address(self, body: bytearray, at: int, symbol: Symbol) -> bool:
        """Puts in the address of a map or of data; true for a function's, which the caller puts in."""
        operation, registers, _, value = _INSTRUCTION.unpack_from(body, at)
        register = registers & 15
        inside = value if symbol.kind == elf.SYMBOL_SECTION else value + symbol.value
        section = self._file.sections[symbol.section]
        if section.name == ".maps":
            descriptor, kind, inside = self._maps[symbol.name].descriptor, _PSEUDO_MAP, 0
        elif symbol.section in self.data:
            descriptor, kind = self.data[symbol.section].descriptor, _PSEUDO_MAP_VALUE
        elif section.is_code:
            _INSTRUCTION.pack_into(body, at, operation, register | _PSEUDO_FUNCTION << 4, 0, 0)
            return True
        else:
            raise LoadError(f"{symbol.name or section.name} of section {section.name} cannot be referred to")
        _INSTRUCTION.pack_into(body, at, operation, register | kind << 4, 0, descriptor)
        struct.pack_into("=i", body, at + 12, inside)
        return False


_Records = dict[int, list[tuple[int, bytes]]]  # by section: offset, and what follows it


def _extension(file: ObjectFile, types: Types) -> tuple[_Records, _Records]:
    """Section .BTF.ext: types of functions and lines of the source, by section and offset."""
    number = file.section(".BTF.ext")
    if number is None:
        return {}, {}
    data = file.sections[number].content
    try:
        (size, functions, functions_size, lines, lines_size) = struct.unpack_from("=IIIII", data, 4)
        return (
            _extension_part(file, types, data[size + functions : size + functions + functions_size], 8),
            _extension_part(file, types, data[size + lines : size + lines + lines_size], 16),
        )
    except struct.error as error:
        raise LoadError(f"the object file's section .BTF.ext is broken: {error}") from None


def _extension_part(file: ObjectFile, types: Types, data: bytes, used: int) -> _Records:
    found: _Records = {}
    if not data:
        return found
    (size,) = struct.unpack_from("=I", data)
    at = 4
    while at < len(data):
        name, count = struct.unpack_from("=II", data, at)
        at += 8
        section = file.section(types.string(name))
        for _ in range(count):
            (offset,) = struct.unpack_from("=I", data, at)
            if section is not None:
                found.setdefault(section, []).append((offset, data[at + 4 : at + used]))
            at += size
    return found


def _load(name: str, code: Code, types: int, kind: int = SCHED_CLS) -> int:
    """A descriptor.  Raises BpfError with the end of the verifier's log."""
    instructions, functions, lines = buffer(code.instructions), buffer(code.functions), buffer(code.lines)
    license = buffer(_LICENSE + b"\0")

    def request(log: kernel.Buffer | None) -> bytes:
        return struct.pack(
            "=IIQQIIQII16sIIIIQIIQIIII",
            kind, len(code.instructions) // 8, address(instructions), address(license),
            0 if log is None else 1, 0 if log is None else _LOG_SIZE, 0 if log is None else address(log),
            0, 0, name.encode()[: maps.NAME_LIMIT], 0, 0, types,
            8, address(functions) if code.functions else 0, len(code.functions) // 8,
            16, address(lines) if code.lines else 0, len(code.lines) // 16, 0, 0, 0,
        )  # fmt: skip

    try:
        return bpf(kernel.PROG_LOAD, request(None))
    except BpfError as first:
        log = buffer(_LOG_SIZE)
        try:
            return bpf(kernel.PROG_LOAD, request(log))
        except BpfError as error:
            said = _end(log.value)
            reason = _reason(said)
            told = f"{first.strerror} (program {name}" + (f": {reason})" if reason else ")")
            refused = BpfError(error.errno, told)
            refused.log = said
            raise refused from None


def _reason(log: str) -> str:
    """The line of the verifier's log that says what is wrong: the last one that is no figure."""
    lines = [
        line for line in log.splitlines() if line and not line.startswith(("processed ", "verification "))
    ]
    return lines[-1] if lines else ""


def smallest_program() -> Program:
    """One that does nothing: whether programs of this kind can be loaded at all.  Raises BpfError."""
    nothing = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)  # r0 = 0; exit
    instructions, license = buffer(nothing), buffer(_LICENSE + b"\0")
    request = struct.pack(
        "=IIQQIIQII16s", SCHED_CLS, 2, address(instructions), address(license), 0, 0, 0, 0, 0, b"probe"
    )
    return Program("probe", bpf(kernel.PROG_LOAD, request))


# ---- what depends on the running kernel


def network_namespace(*, moves: bool) -> tuple[dict[str, int], dict[int, int]]:
    """Constants and offsets by which a program tells whether a packet's device is in this namespace.

    `moves`: programs stay on a device that moves to another namespace (tcx), so that the check is needed;
    without it the constant is 0 and the verifier leaves the check out.  The way is skb->dev->nd_net.net ->
    net_cookie, and its steps stand for 0x7001, 0x7002 and 0x7003.  Raises OSError, TypeFormatError.
    """
    if not moves:
        return {"netns": 0}, {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        cookie = int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    types = type_format.kernel_types()
    steps = (("sk_buff", "dev"), ("net_device", "nd_net"), ("net", "net_cookie"))
    return {"netns": cookie}, {0x7001 + at: types.offset(*step) for at, step in enumerate(steps)}
