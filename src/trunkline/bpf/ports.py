"""The ports as the kernel's program knows them: which device a port is, which port a device, and why packets
of a port were dropped.

Where packets are to go out the program reads in `ports`, by the port's number; where a packet came in it
learns from the interface's index, by `near_devices` (an array, by the low bits of the index) or, for one that
finds its place there taken, by `devices`, which has them all.

`ports` is shared memory: beside the device there stand two counts, of what the program has queued of a port's
packets and of what Python has worked on.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map

_NUMBER: Final = Struct("=I").pack
_WORDS: Final = program.PORT.packed.size // 4
_DEVICE, _FLAGS, _, _DRAINED, _SEQUENCE, _LONGEST = range(6)
_ETHERNET: Final = 14
_ANY_LENGTH: Final = 0xFFFFFFFF
_COUNTERS: Final = program.COUNTERS.packed


def _sums(value: bytes) -> tuple[int, ...]:
    """The counters of all processors, or of several ports, together."""
    totals = [0] * program.REASONS
    for each in _COUNTERS.iter_unpack(value):
        if any(each):
            totals = [total + count for total, count in zip(totals, each, strict=True)]
    return tuple(totals)


_NOTHING: Final = (0,) * program.REASONS


class Ports:
    """The maps `ports`, `devices`, `near_devices` and `counters`."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._ports = memoryview(maps["ports"].memory()).cast("B").cast("I")
        self._devices, self._near, self._counters = maps["devices"], maps["near_devices"], maps["counters"]
        self._places: dict[int, int] = {}  # the device that has a place in near_devices
        self._before: dict[int, tuple[int, ...]] = {}  # drops of an earlier port of that number
        self._highest = 0
        self.devices: dict[int, tuple[int, bool]] = {}  # by port: ifindex, whether at its egress

    def add(self, number: int, index: int, *, egress: bool) -> None:
        """Packets of that device are of that port from now on, and go there.  Raises BpfError."""
        self._before[number] = _sums(self._counters.lookup(_NUMBER(number)) or b"")
        self._highest = max(self._highest, number)
        self._know(index, number)
        at = number * _WORDS
        self._ports[at + _FLAGS] = program.PORT_TO_HOST if egress else 0
        self._ports[at + _LONGEST] = 0
        self._ports[at + _DEVICE] = index
        self.devices[number] = index, egress

    def set_mtu(self, number: int, mtu: int | None) -> None:
        """Frames with so many bytes behind their Ethernet header may go to the port, without a question."""
        self._ports[number * _WORDS + _LONGEST] = _ANY_LENGTH if mtu is None else mtu + _ETHERNET

    def add_underlay(self, index: int) -> None:
        """Among the packets of that device, which is no port, there are some of tunnels.  Raises BpfError."""
        self._know(index, program.DEVICE_IS_UNDERLAY)

    def remove_underlay(self, index: int) -> None:
        """Raises BpfError."""
        self._forget(index)

    def _know(self, index: int, known: int) -> None:
        self._devices.update(_NUMBER(index), _NUMBER(known))
        place = index % program.MAX_PORTS
        if self._places.setdefault(place, index) == index:
            self._near.update(_NUMBER(place), program.DEVICE.packed.pack(index, known))

    def _forget(self, index: int) -> None:
        self._devices.delete(_NUMBER(index))
        place = index % program.MAX_PORTS
        if self._places.get(place) == index:
            del self._places[place]
            self._near.update(_NUMBER(place), bytes(program.DEVICE.packed.size))

    def stop(self, number: int) -> None:
        """Nothing goes there any more."""
        self._ports[number * _WORDS + _DEVICE] = 0

    def remove(self, number: int) -> None:
        """Packets of its device are not of the switch any more.  Raises BpfError."""
        index, _ = self.devices.pop(number)
        self.stop(number)
        self._forget(index)

    def device(self, number: int) -> tuple[int, bool]:
        """What the program has for a port: the device's ifindex, or 0; whether this side is its egress."""
        if number >= program.MAX_PORTS:
            return 0, False
        at = number * _WORDS
        return self._ports[at + _DEVICE], bool(self._ports[at + _FLAGS] & program.PORT_TO_HOST)

    def drained(self, number: int, cost: int) -> None:
        """Python has worked on a packet of the port that counted as so many."""
        at = number * _WORDS + _DRAINED
        self._ports[at] = self._ports[at] + cost & 0xFFFFFFFF

    def take_number(self, number: int) -> int:
        """Of the next packet that is sent through a tunnel's port; the program takes numbers as well.

        Not in one step: if it does at the same moment, there may be two packets of one number.
        """
        at = number * _WORDS + _SEQUENCE
        value = self._ports[at]
        self._ports[at] = value + 1 & 0xFFFFFFFF
        return value

    def go_on_from(self, number: int, sequence: int) -> None:
        """Packets of a tunnel's port go on being numbered where an earlier process's have ended."""
        at = number * _WORDS + _SEQUENCE
        self._ports[at] = self._ports[at] + sequence & 0xFFFFFFFF

    def drops(self, number: int) -> dict[str, int]:
        """Packets of a port that were dropped, by reason; reasons that there were none for are left out."""
        counts = _sums(self._counters.lookup(_NUMBER(number)) or b"")
        before = self._before.get(number, _NOTHING)
        drops = (count - old for count, old in zip(counts, before, strict=True))
        return {reason: count for reason, count in zip(program.DROPS, drops, strict=False) if count}

    def all_drops(self) -> dict[str, int]:
        """The same of all ports that there have ever been."""
        counts = _sums(self._counters.range(0, self._highest + 1))
        return dict(zip(program.DROPS, counts, strict=False))

    def close(self) -> None:
        self._ports.release()
