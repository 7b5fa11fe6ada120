"""Programs at devices by traffic control, where the kernel has no tcx (before 6.6).

`clsact` is a queueing discipline that queues nothing and has two places for filters, at the ingress and at
the egress; a filter of kind "bpf" with the flag *direct action* is a program that decides itself what
becomes of the packet.  rtnetlink makes both: RTM_NEWQDISC, RTM_NEWTFILTER (tc-bpf(8); linux/rtnetlink.h,
linux/pkt_cls.h).  A filter that is made anew under the same priority and handle takes the place of the old
one in one step.

Our filters have a priority that nobody else takes by chance, behind those that the kernel gives out itself.
"""

import errno
import socket
import struct
from typing import Final

from trunkline.bpf.loader import Program
from trunkline.io.netlink import (
    ACK,
    CREATE,
    DUMP,
    EXCLUSIVE,
    REPLACE,
    Netlink,
    NetlinkError,
    attribute,
    attributes,
)

_NEWQDISC, _DELQDISC, _GETQDISC, _NEWTFILTER, _DELTFILTER, _GETTFILTER = 36, 37, 38, 44, 45, 46
_ROOT_HANDLE, _CLSACT_PARENT = 0xFFFF0000, 0xFFFFFFF1
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_KIND, _OPTIONS = 1, 2
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_ID = 6, 7, 8, 11
_DIRECT_ACTION: Final = 1
_PRIORITY: Final = 0xC0DE
_HANDLE: Final = 1
_ETH_P_ALL: Final = socket.htons(3)
_MESSAGE: Final = struct.Struct("=BxxxiIII")  # struct tcmsg
_NAME: Final = b"trunkline\0"


def _side(egress: bool) -> int:
    return _EGRESS if egress else _INGRESS


class Clsact:
    kind = "clsact"
    moves = False

    def __init__(self) -> None:
        self._netlink = Netlink()

    def close(self) -> None:
        self._netlink.close()

    def attach(self, index: int, program: Program, *, egress: bool = False) -> None:
        body = _MESSAGE.pack(0, index, _ROOT_HANDLE, _CLSACT_PARENT, 0) + attribute(_KIND, b"clsact\0")
        try:
            self._netlink.request(_NEWQDISC, ACK | CREATE | EXCLUSIVE, body)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
        self._filter(index, program, egress, CREATE | EXCLUSIVE)

    def replace(self, index: int, program: Program, old: int, *, egress: bool = False) -> None:
        if old not in self._ours(index, egress):
            raise NetlinkError(errno.ENOENT, f"program {old} is not at device {index}")
        self._filter(index, program, egress, CREATE | REPLACE)

    def _filter(self, index: int, program: Program, egress: bool, flags: int) -> None:
        options = (
            attribute(_BPF_FD, struct.pack("=I", program.descriptor))
            + attribute(_BPF_NAME, _NAME)
            + attribute(_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
        )
        body = _MESSAGE.pack(0, index, _HANDLE, _side(egress), _PRIORITY << 16 | _ETH_P_ALL)
        body += attribute(_KIND, b"bpf\0") + attribute(_OPTIONS, options)
        self._netlink.request(_NEWTFILTER, ACK | flags, body)

    def detach(self, index: int, program: int, *, egress: bool = False) -> bool:
        if program not in self._ours(index, egress):
            return False
        body = _MESSAGE.pack(0, index, _HANDLE, _side(egress), _PRIORITY << 16 | _ETH_P_ALL)
        try:
            self._netlink.request(_DELTFILTER, ACK, body + attribute(_KIND, b"bpf\0"))
        except NetlinkError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
                return False
            raise
        return True

    def attached(self, index: int, *, egress: bool = False) -> list[int]:
        return [number for _, _, number in sorted(self._filters(index, egress))]

    def _ours(self, index: int, egress: bool) -> list[int]:
        return [
            number
            for priority, handle, number in self._filters(index, egress)
            if (priority, handle) == (_PRIORITY, _HANDLE)
        ]

    def _filters(self, index: int, egress: bool) -> list[tuple[int, int, int]]:
        """(priority, handle, program id) of the filters of kind "bpf"."""
        found = []
        for message in self._netlink.request(_GETTFILTER, DUMP, _MESSAGE.pack(0, index, 0, _side(egress), 0)):
            _, device, handle, _, facts = _MESSAGE.unpack_from(message)
            given = dict(attributes(message[_MESSAGE.size :]))
            if device != index or not handle or bytes(given.get(_KIND, b"")) != b"bpf\0":
                continue
            number = dict(attributes(given.get(_OPTIONS, memoryview(b"")))).get(_BPF_ID)
            if number is not None:
                found.append((facts >> 16, handle, int(struct.unpack("=I", number)[0])))
        return found
