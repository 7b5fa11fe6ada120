"""What a bench gives, and how a thing is timed."""

import compileall
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """One line of the report.  `unit` ending in "/s" means that more is better, else less is.  None: there is
    nothing to compare with.  `goal` bounds `ours` from the better side, `ratio` its share of the original's.
    """

    what: str
    ours: float | None
    original: float | None
    unit: str
    goal: float | None = None
    ratio: float | None = None

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def verdict(self) -> str:
        """Whether what is to be reached is: "" when nothing is, or there is nothing to compare with."""
        value, bound = self.ours, self.goal
        if self.ratio is not None:
            value, bound = (self.ours / self.original if self.ours and self.original else None), self.ratio
        if bound is None or value is None:
            return ""
        reached = value >= bound if self.more_is_better else value <= bound
        return "reached" if reached else "MISSED"


def compile_sources() -> None:
    """Byte code as after `make setup`, whatever PYTHONDONTWRITEBYTECODE says."""
    compileall.compile_dir(str(ROOT / "src"), quiet=1)


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median of `times` runs."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def microseconds(code: str, names: Mapping[str, object], times: int = 20000) -> float:
    """The least of five runs of `code`, with `names`, for code that takes microseconds."""
    import timeit

    return min(timeit.Timer(code, globals=dict(names)).repeat(5, times)) / times * 1e6


class Cost(NamedTuple):
    """Of a process from start to end, in milliseconds; medians."""

    wall: float
    processor: float


def processes(
    commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]], times: int = 15
) -> list[Cost]:
    """Starts the commands in turns, so that a busy moment meets all of them."""
    taken: list[list[Cost]] = [[] for _ in commands]
    for _ in range(times):
        for costs, command, environment in zip(taken, commands, environments, strict=True):
            start = time.perf_counter()
            with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - start
            assert process.returncode == 0, f"{command[0]} ended with {process.returncode}"
            costs.append(Cost(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000))
    return [Cost(*(statistics.median(values) for values in zip(*costs, strict=True))) for costs in taken]
