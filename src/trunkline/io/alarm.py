"""What ends a program from outside: signals, of which SIGALRM says that a tool took too long (``--timeout``).

A program that embeds the tools must not die of their timeouts; within `alarms` it is told instead.
"""

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline.base.log import Log

SetAlarm = Callable[[int], None]
_AGAIN_SECONDS: Final = 0.001
_LONGEST: Final = (1 << 31) - 1  # seconds, of signal.alarm: 68 years
_SET_ALARM: Final[ContextVar[SetAlarm | None]] = ContextVar("set_alarm", default=None)


@contextmanager
def alarms(set_alarm: SetAlarm) -> Iterator[None]:
    """Within the context a tool's timeout goes to `set_alarm` and no signal is used."""
    token = _SET_ALARM.set(set_alarm)
    try:
        yield
    finally:
        _SET_ALARM.reset(token)


def end_after(seconds: int) -> None:
    """Lets SIGALRM end the program after so many seconds (told of in a log after `end_by_signals`)."""
    set_alarm = _SET_ALARM.get()
    if set_alarm is not None:
        set_alarm(seconds)
        return
    import signal

    signal.alarm(min(seconds, _LONGEST))


def end_by_signals(log: "Log", first: Callable[[], object] | None = None) -> None:
    """Lets the signals that end any program be told of in `log`, and `first` be called, before they do.

    A handler is called between any two steps of what the program does, and of what the handler itself does if
    a second signal comes (timeout(1) sends two).  So only the first one that gets hold of `unheard` says its
    line, nothing is imported here, and a stream that is in use just now is waited for.
    Within `alarms` nothing is done: the signals are the embedder's.
    """
    if _SET_ALARM.get() is not None:
        return
    import signal

    logger = log.module("fatal_signal")
    unheard = [True]

    def end(number: int, _: object) -> None:
        try:
            unheard.pop()  # one step, which no signal divides
        except IndexError:
            if not _is_read():
                die(number)  # the first one waits for somebody who does not read
            return
        try:
            sys.stderr.flush()
            if _is_read():
                sys.stdout.flush()
        except RuntimeError:  # within a write to this very stream
            unheard.append(True)
            signal.signal(signal.SIGALRM, lambda *_: end(number, None))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
            return
        except (OSError, ValueError):
            pass  # closed, or nobody listens
        logger.warn("terminating with signal %d (%s)", number, signal.strsignal(number))
        if first is not None:
            first()
        die(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, end)


def hold_signals() -> None:
    """From now on the signals that end any program do nothing: it ends already, and clears up."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM))


def die(number: int) -> None:
    """Ends the program by a signal, as whoever waits for it expects, whatever others have come meanwhile."""
    import signal

    hold_signals()  # or one that comes just before its handler goes is told of as a race
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, number}
    for other in numbers:
        signal.signal(other, signal.SIG_DFL if other == number else signal.SIG_IGN)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _is_read() -> bool:
    """Whether standard output takes something at once."""
    try:
        return bool(select.select([], [sys.stdout], [], 0)[1])
    except (OSError, ValueError):
        return True
