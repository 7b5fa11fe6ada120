"""How long tools take from start to end, and how much of it is beyond a bare interpreter.

Bare is `python -I -S -c pass`: no site-packages, no environment.  Wall time and processor time, medians.
"""

import os
import sys
from collections.abc import Iterator

from bench.lab import Lab, kinds, lab
from bench.measure import Row, processes

BARE = (sys.executable, "-I", "-S", "-c", "pass")
COMMANDS: dict[tuple[str, ...], float | None] = {
    ("ovs-vsctl", "--version"): 60,
    ("ovs-vsctl", "show"): 100,
    ("ovs-appctl", "--version"): 60,
    ("ovs-appctl", "-t", "ovsdb-server", "version"): 100,
    ("ovs-ofctl", "--version"): 60,
    ("ovs-dpctl", "--version"): 60,
    ("ovsdb-client", "list-dbs"): 100,
    ("ovsdb-tool", "--version"): 60,
}
"""With the milliseconds beyond a bare interpreter that they may take."""


def run() -> Iterator[Row]:
    (bare,) = processes([BARE], [os.environ])
    yield Row("a bare interpreter", bare.wall, None, "ms")
    with lab(original=False) as ours, lab(original=True) as original:
        labs: list[Lab] = [ours, original][: len(kinds())]
        for one in labs:
            one.start_database()
            one.run("ovs-vsctl", "--no-wait", "add-br", "br0")
        for command, goal in COMMANDS.items():
            program, *arguments = command
            lines = [BARE, *([one.path(program), *arguments] for one in labs)]
            environments = [os.environ, *(one.environment for one in labs)]
            bare, mine, *rest = processes(lines, environments)
            theirs = rest[0] if rest else None
            name = " ".join(command)
            yield Row(name, mine.wall, theirs and theirs.wall, "ms")
            yield Row(f"{name}: processor time", mine.processor, theirs and theirs.processor, "ms")
            yield Row(f"{name}: beyond a bare interpreter", mine.wall - bare.wall, None, "ms", goal)
