"""Whose port a device is already: another switch's, which has a run directory of its own, in this namespace.

Two programs at one device would take each other's packets: the first one takes all.  So a device that is a
port of a switch that runs is refused, as the kernel refuses the original a device that is a port of another
datapath.  Of a switch that does not run any more the device is taken over: its program is replaced.

What a device is to somebody stands in the maps of the program there.  Whether that somebody runs, nothing in
the kernel tells, for programs outlive their switch.  So every switch holds a socket with a name of its own,
in the abstract namespace of unix(7) sockets, which each network namespace has for itself; the name goes with
the process, whatever ends it, and anybody may look (/proc/net/unix).
"""

import socket
from contextlib import suppress
from typing import Final, NamedTuple

from trunkline.bpf import adopt
from trunkline.bpf import layout as program
from trunkline.bpf.attach import Attachments
from trunkline.bpf.system_calls import BpfError

_NAMES: Final = "/proc/self/net/unix"
_PREFIX: Final = "trunkline:"
_LONGEST: Final = 107  # bytes of such a name, behind the 0 that it begins with


class Presence:
    """Tells others that the switch of a run directory is there, until the process ends or `close`."""

    def __init__(self, run_directory: str) -> None:
        digest = adopt.owner(run_directory).hex()
        self._name = f"\0{_PREFIX}{digest}:{run_directory}".encode(errors="surrogateescape")[: _LONGEST + 1]
        self._socket: socket.socket | None = None
        self.tell()

    def tell(self) -> None:
        """A process before this one may still have the name: then it is to be tried again."""
        if self._socket is not None:
            return
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            one.bind(self._name)
        except OSError:
            one.close()
        else:
            self._socket = one

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _running(whose: bytes) -> str | None:
    """The run directory of a switch that runs; what can be said where that cannot be seen."""
    begins = f"@{_PREFIX}{whose.hex()}:"
    try:
        with open(_NAMES, errors="surrogateescape") as lines:
            for line in lines:
                _, found, directory = line.partition(begins)
                if found:
                    return directory.rstrip("\n")
    except OSError as error:
        return f"unknown, for {_NAMES} cannot be read ({error.strerror})"
    return None


class Occupant(NamedTuple):
    """Another switch that has a device as a port.  `directory`: its run directory; None: it has ended."""

    program: int
    egress: bool
    directory: str | None


class Occupants:
    """Looks at devices for the switch `mine`.  Where this process may not look, it finds nobody."""

    def __init__(self, mine: bytes, attachments: Attachments) -> None:
        self._mine = mine
        self._attachments = attachments
        self._owners: dict[int, bytes | None] = {}  # of programs; None: it is no switch's

    def of(self, index: int) -> list[Occupant]:
        """Those who have the device with that ifindex as a port.  Raises OSError."""
        found = []
        for egress in (False, True):
            for number in self._attachments.attached(index, egress=egress):
                whose = self._owner(number)
                if whose not in (None, self._mine) and _is_port(number, index):
                    assert whose is not None
                    found.append(Occupant(number, egress, _running(whose)))
        return found

    def holder(self, index: int) -> str | None:
        """The run directory of a switch that has the device as a port; "" of one that does not run any more,
        and None if nobody has.  Raises OSError."""
        found = [one.directory or "" for one in self.of(index)]
        return max(found, default=None)

    def _owner(self, number: int) -> bytes | None:
        if number not in self._owners:
            with suppress(BpfError):
                self._owners[number] = adopt.owner_of(number)
        return self._owners.get(number)


def _is_port(number: int, index: int) -> bool:
    try:
        maps = adopt.maps_of(number)
    except BpfError:
        return False  # it has just gone
    try:
        devices = maps.get("devices")
        value = devices.lookup(index.to_bytes(4, "little")) if devices is not None else None
        return value is not None and not int.from_bytes(value, "little") & program.DEVICE_IS_UNDERLAY
    finally:
        for one in maps.values():
            one.close()
