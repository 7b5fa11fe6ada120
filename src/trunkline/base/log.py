"""vlog: the log of a daemon or tool, as ovs-appctl(8) describes it (skeleton, being filled in).

A `Log` is an object that a program owns and hands down.  `log.module("bridge")` gives the `Logger` of a
module; what it logs goes to three destinations (syslog, console, file), each with a level per module and a
pattern.
"""

from collections.abc import Callable
from typing import Final

from trunkline.base.clock import Clock

OFF: Final = 0
EMER: Final = 1
ERR: Final = 2
WARN: Final = 3
INFO: Final = 4
DBG: Final = 5

Sink = Callable[[int, str], None]  # (level, line without the new-line)


class RateLimit:
    """At most `rate` messages a minute, `burst` at once.  Kept by whoever logs, one for each kind of message."""

    def __init__(self, rate: int = 1, burst: int = 5) -> None: ...


class Logger:
    """The log of one module.  `text` is %-formatted with `arguments` only if some destination wants it."""

    name: str

    def emer(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None: ...
    def err(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None: ...
    def warn(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None: ...
    def info(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None: ...
    def dbg(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None: ...

    def enabled(self, level: int) -> bool:
        """Whether a message of `level` would go anywhere: ask before making costly ones."""
        return False


class Log:
    def __init__(self, program: str, clock: Clock) -> None: ...

    def module(self, name: str) -> Logger:
        """The Logger of a module (underscores as in the original: "ovsdb_server", "netdev_linux")."""
        return Logger()
