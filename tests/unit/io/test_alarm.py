"""Signals that end a program: at any moment, however many, it says one line and ends by the first."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from types import FrameType
from typing import Any

import pytest

from trunkline.base.log import INFO, Log
from trunkline.io import alarm, log_options, log_sinks, standard_streams

SAID = "".join(f"line {number}\n" for number in range(2))
UNHURT = 98
TRACED = {log_sinks.to_stderr.__code__.co_filename, standard_streams.__file__, __file__}


def ended(body: Callable[[], object]) -> tuple[int, str, str]:
    """How a fork that does `body` ends, and what it writes to standard output and error."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                sys.stdout, sys.stderr = standard_streams._writer(1), standard_streams._writer(2)
                body()
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def signalling(files: set[str], moments: Callable[[int], bool]) -> None:
    """Sends signals to this process before those steps of the code in `files` that `moments` holds for."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if moments(seen):
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
        return trace

    sys.settrace(trace)


def test_a_second_signal_at_each_step_of_the_handler() -> None:
    def body(at: int) -> None:
        log = log_options.machine_log("test", console=INFO)
        alarm.end_by_signals(log, lambda: os.write(1, b"cleared\n"))
        sys.stdout.write(SAID)
        signalling(
            {alarm.__file__, log_options.__file__, *TRACED},
            lambda seen: seen == at and bool(os.write(2, b"second\n")),
        )
        os.kill(os.getpid(), signal.SIGHUP)

    for at in count(1):
        status, out, errors = ended(partial(body, at))
        lines = [line for line in errors.splitlines() if line != "second"]
        name = signal.strsignal(-status)
        assert -status in (signal.SIGHUP, signal.SIGTERM), (at, status, errors)
        assert len(lines) == 1, (at, errors)
        assert lines[0].endswith(f"Z|00001|fatal_signal|WARN|terminating with signal {-status} ({name})")
        assert out == SAID + "cleared\n"
        if "second" not in errors:
            assert at > 50
            break


def talk(log: Log) -> None:
    """What a tool does: it prints, flushes, logs, and waits."""
    for line in SAID.splitlines(keepends=True):
        sys.stdout.write(line)
        sys.stdout.flush()
        log.module("util").info("said %s", line.strip())


@pytest.mark.parametrize("files", [TRACED, {log_options.__file__}])
def test_signals_at_each_step_of_a_program(files: set[str]) -> None:
    def body(at: int) -> None:
        reached = False
        log = log_options.machine_log("test", console=INFO)
        alarm.end_by_signals(log)

        def now(seen: int) -> bool:
            nonlocal reached
            reached = reached or seen == at
            return seen == at

        signalling(files, now)
        talk(log)
        sys.settrace(None)
        while reached:
            signal.pause()
        os._exit(UNHURT)

    for at in count(1):
        status, out, errors = ended(partial(body, at))
        if status == UNHURT:
            assert out == SAID
            assert errors.count("said line") == 2
            assert at > 20
            break
        lines = errors.splitlines()
        assert -status in (signal.SIGTERM, signal.SIGINT), (at, status, errors)
        assert lines[-1].endswith(f"terminating with signal {-status} ({signal.strsignal(-status)})"), errors
        assert all("said line" in line for line in lines[:-1]), errors
        assert SAID.startswith(out)
