"""Coverage and memory counters of a daemon (skeleton, being filled in).

A *coverage counter* counts an event (``coverage/show``); *memory usage* is a set of named sizes that the parts
of a daemon report when asked (``memory/show``).
"""

from collections.abc import Callable, Mapping

Usage = Callable[[], Mapping[str, int]]


class Counter:
    """`total` may be added to directly on hot paths: ``counter.total += 1``."""

    __slots__ = ("name", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0

    def add(self, count: int = 1) -> None:
        self.total += count


class Counters:
    def counter(self, name: str) -> Counter:
        """The counter of that name, made when it is first asked for."""
        raise NotImplementedError

    def report_memory(self, usage: Usage) -> None:
        """Adds a source of memory usage: name -> count; equal names of several sources are summed."""
        raise NotImplementedError
