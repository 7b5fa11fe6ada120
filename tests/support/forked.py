"""Our tools without the start of an interpreter: run in a fork of the test, whose modules are loaded."""

# ruff: noqa: SIM115 - what the fork opens goes with it

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Done(NamedTuple):
    status: int
    out: str
    errors: str


def run(main: Callable[[], None], words: list[str], variables: Mapping[str, str], directory: str) -> Done:
    """What ``words[0]``, whose entry is `main`, prints, and its exit status, or minus a signal."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            _become(main, words, variables, directory, out.fileno(), errors.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape"))
    return Done(os.waitstatus_to_exitcode(status), *texts)


def _become(
    main: Callable[[], None],
    words: list[str],
    variables: Mapping[str, str],
    directory: str,
    out: int,
    errors: int,
) -> None:
    """Never returns."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdin = open(0, closefd=False)
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8", errors="surrogateescape")
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="surrogateescape", buffering=1)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = words
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
