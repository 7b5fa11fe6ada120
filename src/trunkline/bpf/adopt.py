"""Finding what an earlier process has left in the kernel, and taking it up.

Forwarding outlives the switch: its programs stay at the devices, and with them the maps that they use.
Nothing is pinned (inside ``ip netns exec`` there is no place for that), so a new process finds it all by
walking: every device of the namespace, the programs attached there, their maps.  A program is this
switch's if its map ``config`` begins with the digest of the switch's run directory: several switches may
share a namespace, each with a run directory of its own.

Descriptors of what others have made need CAP_SYS_ADMIN in the first user namespace; without it a switch
forwards, but cannot take up what an earlier one left.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from trunkline.bpf import system_calls as kernel
from trunkline.bpf.attach import Attachments
from trunkline.bpf.loader import program_maps
from trunkline.bpf.maps import Map
from trunkline.bpf.system_calls import BpfError

CONFIGURATION: Final = "config"
"""The map whose only value begins with HEAD."""
HEAD: Final = struct.Struct("=16sQ")
"""The owner's digest, and a digest of how the maps are laid out."""

Port = tuple[int, bool]
"""Where a program is attached: ifindex, and whether at the egress."""


class Adopted(NamedTuple):
    """What was found: open maps by name, and the ids of the programs that use them by where they are.

    `others` are programs of the same owner with other maps: left over from a take-over that was cut short.
    """

    layout: int
    maps: dict[str, Map]
    ports: dict[Port, int]
    others: dict[Port, int]

    def close(self) -> None:
        for one in self.maps.values():
            one.close()


def owner(run_directory: str) -> bytes:
    """16 bytes that stand for the switch of that directory, whatever way its path is written."""
    path = os.path.realpath(run_directory)
    return hashlib.blake2b(path.encode(errors="surrogateescape"), digest_size=16).digest()


def find(mine: bytes, attachments: Attachments, devices: Iterable[int]) -> Adopted | None:
    """What the owner `mine` has at these devices (ifindexes); the maps that most devices use are taken.

    Raises BpfError: EPERM if this process may not look.
    """
    known: dict[int, tuple[int, int] | None] = {}  # program: id of its configuration, its layout
    found: dict[tuple[int, int], dict[Port, int]] = {}
    for index in devices:
        for egress in (False, True):
            for number in attachments.attached(index, egress=egress):
                if number not in known:
                    known[number] = _configuration(number, mine)
                what = known[number]
                if what is not None:
                    found.setdefault(what, {})[index, egress] = number
    if not found:
        return None
    best = max(found, key=lambda what: len(found[what]))
    others = {port: number for what, ports in found.items() if what != best for port, number in ports.items()}
    maps = maps_of(next(iter(found[best].values())))
    return Adopted(best[1], maps, found[best], others)


def clear(mine: bytes, attachments: Attachments, devices: Iterable[int]) -> int:
    """Takes away everything that the owner `mine` has at these devices; at how many places that was.

    Raises BpfError: EPERM if this process may not look.
    """
    found = find(mine, attachments, devices)
    if found is None:
        return 0
    ports = {**found.ports, **found.others}
    found.close()
    for (index, egress), program in ports.items():
        attachments.detach(index, program, egress=egress)
    return len(ports)


def maps_of(program: int) -> dict[str, Map]:
    """Its maps by name, opened; data of the program itself (.rodata and the like) stays behind.

    Raises BpfError.
    """
    with kernel.closing(kernel.program_descriptor(program)) as descriptor:
        maps = {one.name: one for one in program_maps(descriptor)}
    for name in [name for name in maps if name.split("_")[0] in ("rodata", "data", "bss")]:
        maps.pop(name).close()
    return maps


def owner_of(program: int) -> bytes | None:
    """Whose program it is; None: no switch's.  Raises BpfError."""
    head = _head(program)
    return head[1] if head is not None else None


def _configuration(program: int, mine: bytes) -> tuple[int, int] | None:
    """Id of the configuration and the layout, if the program is ours."""
    head = _head(program)
    return (head[0], head[2]) if head is not None and head[1] == mine else None


def _head(program: int) -> tuple[int, bytes, int] | None:
    """Id of the configuration, whose it is, and the layout."""
    try:
        maps = maps_of(program)
    except BpfError as error:
        if error.errno == errno.ENOENT:  # it has just gone
            return None
        raise
    try:
        one = maps.get(CONFIGURATION)
        if one is None or one.key_size != 4 or one.value_size < HEAD.size:
            return None
        value = one.lookup(bytes(4))
        if value is None:
            return None
        whose, layout = HEAD.unpack_from(value)
        return one.id, whose, layout
    finally:
        for one in maps.values():
            one.close()
