"""Runs every bench, or those named, and prints what ours takes, what the original takes, and the ratio."""

import importlib
import os
import pkgutil
import sys

import bench
from bench.lab import kinds
from bench.measure import Row, compile_sources

HEAD = ("what", "ours", "original", "ratio", "goal")


def text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def line(cells: "tuple[str, ...]") -> str:
    what, ours, original, ratio, goal = cells
    return f"{what:62} {ours:>14} {original:>14} {ratio:>7}  {goal}".rstrip()


def cells(row: Row) -> "tuple[str, ...]":
    ratio = None if not row.ours or not row.original else row.ours / row.original
    goal = ""
    bound = row.goal if row.ratio is None else row.ratio
    if bound is not None:
        sign = ">=" if row.more_is_better else "<="
        what = "" if row.ratio is None else "ratio "
        goal = f"{what}{sign} {text(bound).removesuffix('.00').removesuffix('.0')} {row.verdict()}".rstrip()
    unit = "" if row.ours is None else f" {row.unit}"
    return (row.what, text(row.ours) + unit, text(row.original), text(ratio), goal)


def main() -> None:
    wanted = sys.argv[1:]
    names = [name[6:] for _, name, _ in pkgutil.iter_modules(bench.__path__) if name.startswith("bench_")]
    if unknown := set(wanted) - set(names):
        sys.exit(f"no bench named {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    compile_sources()
    if len(kinds()) == 1:
        print(
            "THE ORIGINALS ARE NOT INSTALLED: their column stays empty (docs/benchmarks.md)", file=sys.stderr
        )
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, load {load:.2f}" + (" - NOT IDLE, times suffer" if load > 0.7 else "")
    )
    print(line(HEAD))
    missed = 0
    for name in wanted or sorted(names):
        print(f"-- {name}")
        for row in importlib.import_module(f"bench.bench_{name}").run():
            print(line(cells(row)), flush=True)
            missed += row.verdict() == "MISSED"
    if missed:
        sys.exit(f"{missed} goals missed")


if __name__ == "__main__":
    main()
