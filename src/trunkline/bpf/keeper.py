"""Keeps the program where it belongs: at every device that is a port.

Attaching is done once, but it does not stay by itself.  Anybody with the right to can detach a program
(`tc qdisc del`, another manager that cleans up after itself), a device can vanish and come back, or move to
another namespace.  The kernel sends no news of a program that is detached, so `check` looks from time to
time, a few devices at each call, and puts back what is missing; every time is counted and logged.

A device is known here by its ifindex and by the side on which packets enter the switch: the ingress; of a TAP
whose other end this process holds, the egress.
"""

import errno
from collections import deque
from collections.abc import Mapping
from typing import Final

from trunkline.base.counters import Counter
from trunkline.base.log import Logger, RateLimit
from trunkline.bpf.adopt import Port
from trunkline.bpf.attach import Attachments
from trunkline.bpf.loader import Program

_GONE: Final = (errno.ENODEV, errno.ENXIO)


class Keeper:
    """Attaches `program`; `restored` counts how often it had to be put back."""

    def __init__(
        self, attachments: Attachments, program: Program, log: Logger, restored: Counter | None = None
    ) -> None:
        self._attachments = attachments
        self._program = program
        self._log = log
        self._restored = restored or Counter("bpf_restored")
        self._names: dict[Port, str] = {}
        self._left: dict[Port, int] = {}  # programs of an earlier process that are still at work
        self._turns: deque[Port] = deque()
        self._refusals = RateLimit()

    def take_up(self, ports: Mapping[Port, int]) -> None:
        """Programs of an earlier process: each forwards on, whatever is added, until `take_over`."""
        self._left.update(ports)

    def add(self, index: int, name: str, *, egress: bool = False, instead_of: int | None = None) -> None:
        """From now on the program is at this device, or will be from `take_over` on; where the program
        `instead_of` is, which is somebody's who does not run any more.  Raises OSError."""
        port = index, egress
        if instead_of is not None:
            self._attachments.replace(index, self._program, instead_of, egress=egress)
        elif port not in self._left:
            self._put(port)
        if port not in self._names:
            self._turns.append(port)
        self._names[port] = name

    def _put(self, port: Port) -> None:
        index, egress = port
        there = self._attachments.attached(index, egress=egress)
        old = self._left.get(port)
        if old in there and old is not None:
            self._attachments.replace(index, self._program, old, egress=egress)
        elif self._program.id not in there:
            self._attachments.attach(index, self._program, egress=egress)

    def remove(self, index: int, *, egress: bool = False) -> None:
        """It is no port any more; that it has gone is no error."""
        port = index, egress
        if self._names.pop(port, None) is not None:
            self._turns.remove(port)
            self._detach(port, self._left.pop(port, self._program.id))

    def take_over(self) -> None:
        """Everything that is to be a port has been added, and is ready: the program comes into the place of
        the earlier ones, each in one step; those at devices that are no ports any more go."""
        for port, program in list(self._left.items()):
            if port not in self._names:
                self._detach(port, program)
            else:
                try:
                    self._put(port)
                except OSError as error:
                    self._log.warn(
                        "%s: the program cannot be attached: %s", self._names[port], error.strerror
                    )
        self._left.clear()

    def _detach(self, port: Port, program: int) -> None:
        index, egress = port
        try:
            self._attachments.detach(index, program, egress=egress)
        except OSError as error:
            if error.errno not in _GONE:
                self._log.warn("device %d: the program cannot be detached: %s", index, error.strerror)

    def replace(self, program: Program) -> None:
        """Another program everywhere, each in one step.  Raises OSError."""
        old, self._program = self._program, program
        for index, egress in self._names:
            self._attachments.replace(index, program, old.id, egress=egress)

    def check(self, limit: int = 64) -> list[int]:
        """Looks at so many devices, those first that it has not looked at for longest; the ifindexes of those
        where the program was missing and is back."""
        mended: list[int] = []
        for _ in range(min(limit, len(self._turns))):
            port = self._turns[0]
            self._turns.rotate(-1)
            if port in self._left:
                continue
            index, egress = port
            try:
                if self._program.id in self._attachments.attached(index, egress=egress):
                    continue
                self._attachments.attach(index, self._program, egress=egress)
            except OSError as error:
                if error.errno not in _GONE:  # gone: news of that comes from rtnetlink
                    self._log.warn(
                        "%s: the program was detached and cannot be put back: %s",
                        self._names[port],
                        error.strerror,
                        limit=self._refusals,
                    )
                continue
            self._restored.add()
            mended.append(index)
            self._log.warn("%s: somebody has detached the program; it is back", self._names[port])
        return mended

    def close(self, *, remove: bool) -> None:
        """Without `remove` everything stays, and forwards on."""
        if remove:
            for index, egress in list(self._names):
                self.remove(index, egress=egress)
            self.take_over()
