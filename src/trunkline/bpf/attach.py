"""Programs at devices: attached so that they outlive the process that attached them.

Two ways lead there.  From kernel 6.6 on there is *tcx*: a list of programs for each direction of a device.
Attached by BPF_PROG_ATTACH, not by a link, a program stays when the process that attached it is gone.
Kernels before that have *clsact*, a queueing discipline that only holds filters; it is spoken to by
rtnetlink, and its filters stay as well (bpf/clsact.py).

Either way others may have programs there too.  Ours comes behind those that are there already, is known by
its id, and replaced in one step, so that not a single packet goes past it.
"""

import errno
import struct
from typing import Final, Protocol

from trunkline.bpf import system_calls as kernel
from trunkline.bpf.clsact import Clsact
from trunkline.bpf.loader import Program
from trunkline.bpf.system_calls import BpfError, address, bpf, buffer

_INGRESS, _EGRESS = 46, 47
_REPLACE: Final = 1 << 2
_ROOM: Final = 64  # programs that the kernel lets be on one side of a device
_LOOPBACK: Final = 1


class Attachments(Protocol):
    """Every call raises OSError (BpfError, NetlinkError), and takes the ifindex of a device."""

    kind: str  # "tcx" or "clsact"
    moves: bool  # whether a program stays on a device that moves to another namespace

    def attach(self, index: int, program: Program, *, egress: bool = False) -> None:
        """Behind the programs that are there."""

    def replace(self, index: int, program: Program, old: int, *, egress: bool = False) -> None:
        """Puts it where the program with id `old` is."""

    def detach(self, index: int, program: int, *, egress: bool = False) -> bool:
        """Takes the program with that id away; whether it was there."""

    def attached(self, index: int, *, egress: bool = False) -> list[int]:
        """Ids of the programs, anybody's, in the order in which they run; none if the device is gone."""

    def close(self) -> None: ...


def _side(egress: bool) -> int:
    return _EGRESS if egress else _INGRESS


class Tcx:
    kind = "tcx"
    moves = True

    def attach(self, index: int, program: Program, *, egress: bool = False) -> None:
        self._attach(index, program, egress)

    def replace(self, index: int, program: Program, old: int, *, egress: bool = False) -> None:
        descriptor = kernel.program_descriptor(old)
        with kernel.closing(descriptor):
            self._attach(index, program, egress, _REPLACE, descriptor)

    def _attach(self, index: int, program: Program, egress: bool, flags: int = 0, old: int = 0) -> None:
        request = struct.pack("=IIIIIIQ", index, program.descriptor, _side(egress), flags, old, 0, 0)
        bpf(kernel.PROG_ATTACH, request, f" ({program.name}, device {index})")

    def detach(self, index: int, program: int, *, egress: bool = False) -> bool:
        try:
            descriptor = kernel.program_descriptor(program)
            with kernel.closing(descriptor):
                request = struct.pack("=IIIIIIQ", index, descriptor, _side(egress), 0, 0, 0, 0)
                bpf(kernel.PROG_DETACH, request, f" (device {index})")
        except BpfError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return False
            raise
        return True

    def attached(self, index: int, *, egress: bool = False) -> list[int]:
        ids = buffer(4 * _ROOM)
        request = buffer(
            struct.pack("=IIIIQIIQQQQ", index, _side(egress), 0, 0, address(ids), _ROOM, 0, 0, 0, 0, 0)
        )
        try:
            bpf(kernel.PROG_QUERY, request, f" (device {index})")
        except BpfError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return []
            raise
        (count,) = struct.unpack_from("=I", request, 24)
        return list(struct.unpack_from(f"={count}I", ids))

    def close(self) -> None:
        pass


def attachments() -> Attachments:
    """The better of the two ways that this kernel knows.  Raises OSError."""
    tcx = Tcx()
    try:
        tcx.attached(_LOOPBACK)
    except BpfError as error:
        if error.errno == errno.EINVAL:  # it does not know tcx
            return Clsact()
        raise
    return tcx
