"""The logging options that every tool and daemon has, applied to its `Log`; no asyncio here.

A tool does ``log = tool_log("ovs-appctl")``, then gives each option of LOGGING (base/options.py) to
`apply_option`.
"""

import os
import socket
import time
from collections.abc import Iterable, Sequence

from trunkline.base.directories import Directories, from_environment
from trunkline.base.log import INFO, Log, LogError
from trunkline.io.log_sinks import SinkError, open_file, to_stderr, use_syslog, use_syslog_target
from trunkline.io.tls_options import mind
from trunkline.model.log_modules import modules


class LogOptionError(Exception):
    """A logging option is wrong; the text follows the program's name."""


class MachineClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


def strftime(template: str, wall: float, utc: bool) -> str:
    """A moment as the C library writes it.  It imports nothing: a line may be written in a signal handler."""
    return time.strftime(template, time.gmtime(wall) if utc else time.localtime(wall))


def machine_log(program: str, *, console: int) -> Log:
    """A Log of this process that writes to standard error."""
    log = Log(
        program,
        MachineClock(),
        modules(program),
        console=console,
        pid=os.getpid(),
        host=socket.gethostname().partition(".")[0],
        strftime=strftime,
    )
    log.attach("console", to_stderr)
    return log


def tool_log(program: str) -> Log:
    """The log of a tool: what is not for debugging goes to standard error.

    The system log is attached when OVS_SYSLOG_METHOD or an option asks, or by `attach_syslog`.
    """
    return machine_log(program, console=INFO)


def attach_syslog(log: Log) -> None:
    """The system log, as OVS_SYSLOG_METHOD says.  Raises LogOptionError."""
    try:
        use_syslog(log, os.environ.get("OVS_SYSLOG_METHOD") or "libc")
    except SinkError as error:
        raise LogOptionError(str(error)) from None


def apply_option(log: Log, name: str, argument: str | None, directories: Directories) -> bool:
    """Does what one option says; whether it was a logging option.

    Raises LogOptionError, or SystemExit when a named log file cannot be opened (the usual one may fail).
    """
    if name == "verbose":
        set_levels(log, argument)
    elif name == "log-file":
        path = f"{directories.log}/{log.program}.log" if argument is None else argument
        if not open_file(log, path) and argument is not None:
            raise SystemExit(1)  # the log has said why, on standard error
    elif name == "syslog-method":
        try:
            use_syslog(log, argument or "")
        except SinkError as error:
            raise LogOptionError(str(error)) from None
    elif name == "syslog-target":
        use_syslog_target(log, argument or "")
    else:
        return False
    return True


def apply_before(program: str, options: Iterable[tuple[str, str | None]], asking: Sequence[str]) -> None:
    """The logging options, and those for TLS, that stand before one of `asking` (--version, ...): a log file
    that cannot be opened ends the run before the answer.

    Raises LogOptionError, SystemExit.
    """
    log = tool_log(program)
    for name, argument in options:
        if name in asking:
            return
        apply_option(log, name, argument, from_environment(os.environ))
        mind(log, name, argument)


def set_levels(log: Log, argument: str | None) -> None:
    """``-v``, ``-vSPEC``.  Raises LogOptionError."""
    try:
        log.set(argument or "")
    except LogError as error:
        raise LogOptionError(f'processing "{argument}": {error}') from None


def apply_options(log: Log, options: Iterable[tuple[str, str | None]], directories: Directories) -> None:
    """Does what the logging options among `options` say, in their order.  Raises LogOptionError."""
    for name, argument in options:
        apply_option(log, name, argument, directories)
