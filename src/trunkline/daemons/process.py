"""A daemon as a process: the options that every daemon has, and the road from a command line to `run(env)`.

(skeleton, being filled in)
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, NoReturn

from trunkline.base.options import Option, Parsed
from trunkline.daemons.env import Env

Run = Callable[[Env], Coroutine[Any, Any, None]]


class Fatal(Exception):
    """Ends the program: ``PROGRAM: text`` on standard error, and exit status `status`.

    `configure` raises it for a wrong command line, `run` for what it cannot start without.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Program(NamedTuple):
    """A daemon, as `main` runs it.

    `usage` is the head of ``--help``, up to and without the common options; `tail` the text after them.
    `options` are the daemon's own, beside the common ones.  `configure` is given only the daemon's own options
    and the arguments, before anything is forked; it returns the daemon.  `schemas` are the more lines of
    ``--version``.
    """

    name: str
    usage: str
    tail: str
    version: Sequence[str]
    options: Sequence[Option]
    configure: Callable[[Parsed], Run]


def main(program: Program, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the daemon from the command line `argv` (default: sys.argv[1:]) and exits."""
    raise NotImplementedError
