"""Runs the `run()` of every bench/bench_*.py, or of those named, and prints its rows."""

import importlib
import pkgutil
import sys

import bench


def main() -> None:
    wanted = sys.argv[1:]
    for module in sorted(module.name for module in pkgutil.iter_modules(bench.__path__)):
        name = module.removeprefix("bench_")
        if name == module or (wanted and name not in wanted):
            continue
        run = getattr(importlib.import_module(f"bench.{module}"), "run", None)
        if run is None:
            continue
        print(name)
        for row in run() or ():
            print("  " + "  ".join(f"{cell!s:32}" for cell in row).rstrip())


if __name__ == "__main__":
    main()
