"""Both ovs-ofctl: the original as a process, ours in this one, for a start costs more than what it does."""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from support.originals import PROGRAMS
from trunkline.cli import ovs_ofctl


class Said(NamedTuple):
    output: str
    errors: str
    status: int


def original(arguments: Sequence[str], text: str = "") -> Said:
    done = subprocess.run(
        [PROGRAMS["ovs-ofctl"], *arguments], capture_output=True, text=True, input=text, timeout=60
    )
    return Said(done.stdout, done.stderr, done.returncode)


def ours(arguments: Sequence[str], text: str = "") -> Said:
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ovs-ofctl", *arguments])
        patch.setattr(sys, "stdin", io.StringIO(text))
        status = 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                ovs_ofctl.main()
            except SystemExit as left:
                status = left.code if isinstance(left.code, int) else 0
    return Said(output.getvalue(), errors.getvalue(), status)


def without_log(said: Said) -> Said:
    """Without log lines and the bytes under them."""
    kept = [line for line in said.errors.splitlines() if not re.match(r"\S+Z\|\d+\||[0-9a-f]{8}  ", line)]
    return said._replace(errors="\n".join(kept))


def differences(
    cases: Iterable[Sequence[str]], clean: Callable[[Said], Said] = without_log
) -> list[tuple[Sequence[str], Said, Said]]:
    """The command lines on which the two differ: (arguments, original, ours)."""
    cases = list(cases)
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(original, cases))
    found = []
    for arguments, expected in zip(cases, theirs):
        got = clean(ours(arguments))
        if got != clean(expected):
            found.append((arguments, clean(expected), got))
    return found
