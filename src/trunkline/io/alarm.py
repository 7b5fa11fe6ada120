"""How long a tool may take (``--timeout``): SIGALRM ends it, as it ends the originals.

A program that embeds the tools must not die of their timeouts; within `alarms` it is told instead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline.base.log import Log

SetAlarm = Callable[[int], None]
_SET_ALARM: Final[ContextVar[SetAlarm | None]] = ContextVar("set_alarm", default=None)


@contextmanager
def alarms(set_alarm: SetAlarm) -> Iterator[None]:
    """Within the context a tool's timeout goes to `set_alarm` and no signal is used."""
    token = _SET_ALARM.set(set_alarm)
    try:
        yield
    finally:
        _SET_ALARM.reset(token)


def end_after(seconds: int, log: "Log | None" = None) -> None:
    """Lets SIGALRM end the program after so many seconds, with the original's line in `log` first."""
    set_alarm = _SET_ALARM.get()
    if set_alarm is not None:
        set_alarm(seconds)
        return
    import signal

    if log is not None:
        end_by_signals(log, signal.SIGALRM)
    signal.alarm(seconds)


def end_by_signals(log: "Log", *numbers: int) -> None:
    """Lets these signals (or those that end any program) be told of in `log` before they do.

    Within `alarms` nothing is done: the signals are the embedder's.
    """
    if _SET_ALARM.get() is not None:
        return
    import os
    import signal
    import sys

    def end(number: int, _: object) -> None:
        name = signal.strsignal(number)
        log.module("fatal_signal").warn("terminating with signal %d (%s)", number, name)
        sys.stdout.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in numbers or (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, end)
