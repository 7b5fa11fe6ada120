"""A whole `ovs-vsctl add-port`, waiting for the switch, on a bridge of few and of many dummy ports.

Also all of the many in one transaction, and their removal.  Dummy devices; medians of single commands.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.lab import DUMMY, Lab, kinds, lab
from bench.measure import Row, seconds

FEW, MANY = 10, 2000
ROUNDS = 9


class Figures(NamedTuple):
    """Milliseconds, but the bulk ones are seconds."""

    few: float
    many: float
    filled: float
    emptied: float


def run() -> Iterator[Row]:
    """Ours and the original in the same run."""
    ours, original = [*(_measure(kind) for kind in kinds()), None][:2]
    assert ours is not None
    yield Row(f"add-port to {FEW} ports", ours.few, original and original.few, "ms", 60)
    yield Row(f"add-port to {MANY:,} ports", ours.many, original and original.many, "ms")
    growth = original and original.many / original.few
    yield Row(f"  {MANY:,} ports against {FEW}", ours.many / ours.few, growth, "times", 2)
    count = f"{MANY - FEW:,} ports"
    yield Row(f"{count} added in one command", ours.filled, original and original.filled, "s")
    yield Row(f"{count} removed in one command", ours.emptied, original and original.emptied, "s")


def _measure(original: bool) -> Figures:
    with lab(original) as made:
        made.start_database()
        made.start_switch(*DUMMY)
        made.run("ovs-vsctl", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
        _add(made, [f"p{i}" for i in range(FEW)])
        few = _single(made, "few")
        names = [f"p{i}" for i in range(FEW, MANY)]
        start = time.perf_counter()
        _add(made, names)
        filled = time.perf_counter() - start
        many = _single(made, "many")
        start = time.perf_counter()
        made.run("ovs-vsctl", "-t", "300", *(word for name in names for word in ("--", "del-port", name)))
        return Figures(few, many, filled, time.perf_counter() - start)


def _add(made: Lab, names: Sequence[str]) -> None:
    words = ["-t", "300"]
    for name in names:
        words += ["--", "add-port", "br0", name, "--", "set", "Interface", name, "type=dummy"]
    made.run("ovs-vsctl", *words)


def _single(made: Lab, prefix: str) -> float:
    """The median time of adding one port, milliseconds."""
    names = iter(range(ROUNDS))
    return seconds(lambda: _add(made, [f"{prefix}{next(names)}"]), ROUNDS) * 1000
