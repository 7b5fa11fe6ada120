"""bpf(2): one system call with many commands, each taking a structure of its own (``union bpf_attr``).

Structures are packed with `struct`, in native byte order, in the layout of linux/bpf.h; pointers in them are
addresses of ctypes buffers that live as long as the call.  The kernel accepts a structure shorter than its
own (missing fields are zero), and a longer one if the excess is zero, so that one layout serves all versions.

Every error raises BpfError: a call that is quietly refused would leave packets unforwarded.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351}
_NUMBERS_ELSE: Final = {"ppc64le": 361, "ppc64": 361, "armv7l": 386, "armv6l": 386, "i686": 357, "i386": 357}

MAP_CREATE: Final = 0
MAP_LOOKUP_ELEM: Final = 1
MAP_UPDATE_ELEM: Final = 2
MAP_DELETE_ELEM: Final = 3
MAP_GET_NEXT_KEY: Final = 4
PROG_LOAD: Final = 5
PROG_ATTACH: Final = 8
PROG_DETACH: Final = 9
PROG_TEST_RUN: Final = 10
PROG_GET_FD_BY_ID: Final = 13
MAP_GET_FD_BY_ID: Final = 14
OBJ_GET_INFO_BY_FD: Final = 15
PROG_QUERY: Final = 16
BTF_LOAD: Final = 18
MAP_FREEZE: Final = 22
MAP_LOOKUP_BATCH: Final = 24
MAP_UPDATE_BATCH: Final = 26
MAP_DELETE_BATCH: Final = 27
PROG_BIND_MAP: Final = 35

_COMMANDS: Final = {
    value: name for name, value in list(globals().items()) if name.isupper() and name[0] != "_"
}


class BpfError(OSError):
    """The kernel refused a command; `strerror` says in a line which, and why as far as is known.

    `log`: the end of what the verifier had to say.
    """

    log = ""


class NoSystemCallError(BpfError):
    """This machine has no bpf(2), or its number is not known."""


_libc: Final = ctypes.CDLL(None, use_errno=True)
_call: Final = _libc.syscall
_NUMBER: Final = (_NUMBERS | _NUMBERS_ELSE).get(platform.machine())

Buffer = ctypes.Array[ctypes.c_char]


def buffer(data: bytes | int) -> Buffer:
    """A buffer that the kernel reads or writes: of these bytes, or of that many zero bytes."""
    if isinstance(data, int):
        return ctypes.create_string_buffer(max(1, data))
    return ctypes.create_string_buffer(data, max(1, len(data)))


def address(block: Any) -> int:
    return ctypes.addressof(block)


def failed(command: int, note: str = "") -> BpfError:
    """The error of the call that has just returned -1."""
    code = ctypes.get_errno()
    return BpfError(code, f"bpf {_COMMANDS[command]}: {os.strerror(code)}{note}")


def raw(command: int, attributes: Buffer) -> int:
    """The result, or -1 with errno in ctypes: for callers that repeat a prepared call."""
    if _NUMBER is None:
        raise NoSystemCallError(38, f"bpf(2) has no known number on {platform.machine()}")
    result: int = _call(_NUMBER, command, attributes, ctypes.sizeof(attributes))
    return result


def bpf(command: int, attributes: Buffer | bytes, note: str = "") -> int:
    """What the call returns (a descriptor, or 0).  `note` goes to the end of the error's text.

    Give a buffer if the kernel writes to it.  Raises BpfError.
    """
    block = buffer(attributes) if isinstance(attributes, bytes) else attributes
    result = raw(command, block)
    if result < 0:
        raise failed(command, note)
    return result


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Closes it in the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# ---- objects: programs and maps have an id for everybody to see and descriptors for who holds them


def information(descriptor: int, size: int = 256, head: bytes = b"") -> bytes:
    """struct bpf_prog_info or bpf_map_info; `head` are fields that the caller gives (addresses of arrays)."""
    block = buffer(head.ljust(size, b"\0"))
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, size, address(block)))
    return block.raw


def program_descriptor(number: int) -> int:
    """A descriptor of the program with that id; needs CAP_SYS_ADMIN.  ENOENT: there is none."""
    return bpf(PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0), f" (program {number})")


def map_descriptor(number: int) -> int:
    """A descriptor of the map with that id; needs CAP_SYS_ADMIN."""
    return bpf(MAP_GET_FD_BY_ID, struct.pack("=III", number, 0, 0), f" (map {number})")
