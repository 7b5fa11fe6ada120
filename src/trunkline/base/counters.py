"""Coverage and memory counters of a daemon.

A *coverage counter* counts an event (an upcall, a poll); ``coverage/show`` shows those that were hit, with
their average rates over the last five seconds, minute and hour.  The rates come from samples that `sample`
takes every five seconds.  *Memory usage* is a set of named sizes that the parts of a daemon report when
asked; ``memory/show`` adds them up.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

SAMPLE_SECONDS: Final = 5
_MINUTE: Final = 12  # samples
_HOUR: Final = 720

Usage = Callable[[], Mapping[str, int]]


class Counter:
    """`total` may be added to directly on hot paths: ``counter.total += 1``."""

    __slots__ = ("_hour", "name", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self._hour: deque[int] = deque(maxlen=_HOUR + 1)  # totals at the last samples

    def add(self, count: int = 1) -> None:
        self.total += count

    def sample(self) -> None:
        self._hour.append(self.total)

    def _since(self, samples: int) -> int:
        """How much was counted in the last so many whole sample periods."""
        if not self._hour:
            return 0
        before = self._hour[-1 - samples] if len(self._hour) > samples else 0
        return self._hour[-1] - before

    def line(self) -> str:
        """The counter in ``coverage/show``; all rates are per second."""
        second, minute, hour = (
            self._since(1) / SAMPLE_SECONDS,
            self._since(_MINUTE) / 60,
            self._since(_HOUR) / 3600,
        )
        return f"{self.name:<24} {second:5.1f}/sec {minute:9.3f}/sec {hour:13.4f}/sec   total: {self.total}"


class Counters:
    __slots__ = ("_counters", "_usages")

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._usages: list[Usage] = []

    def counter(self, name: str) -> Counter:
        """The counter of that name, made when it is first asked for."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = Counter(name)
        return counter

    def read(self, name: str) -> int | None:
        """A counter's total; None if there is no such counter."""
        counter = self._counters.get(name)
        return None if counter is None else counter.total

    def report_memory(self, usage: Usage) -> None:
        """Adds a source of memory usage: name -> count; equal names of several sources are summed."""
        self._usages.append(usage)

    def memory(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for usage in self._usages:
            for name, count in usage().items():
                total[name] = total.get(name, 0) + count
        return total

    def sample(self) -> None:
        """To be called every SAMPLE_SECONDS."""
        for counter in self._counters.values():
            counter.sample()

    def coverage_text(self) -> str:
        """The text of ``coverage/show``.

        The hash tells which counters were hit, roughly how often, so that equal situations look equal.
        """
        hit = sorted((counter for counter in self._counters.values() if counter.total), key=lambda c: c.name)
        digest = 0
        for counter in hit:
            for byte in f"{counter.name}{counter.total.bit_length()}".encode():
                digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
        lines = [
            f"Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={digest:08x}:",
            *(counter.line() for counter in hit),
            f"{len(self._counters) - len(hit)} events never hit",
        ]
        return "\n".join(lines) + "\n"

    def memory_text(self) -> str:
        """The text of ``memory/show``: what was reported, in the order of the names."""
        return " ".join(f"{name}:{count}" for name, count in sorted(self.memory().items())) + "\n"
