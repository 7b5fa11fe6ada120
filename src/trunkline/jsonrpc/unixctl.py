"""Control commands: what ``ovs-appctl`` asks a daemon to do.

A command is declared once, as a `Command`, beside what it shows; the daemon that owns the state adds it to
its `Commands`.  On the wire a control socket is JSON-RPC: the method is the command's name, the parameters
are its arguments (strings), the result is text, and an error is text too (ovs-appctl(8), unixctl).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from trunkline.model.control_commands import Missing


class CommandError(Exception):
    """A control command refuses; the text is what ``ovs-appctl`` prints, with exit status 2."""


Handler = Callable[[Sequence[str]], str | Awaitable[str]]


class Command(NamedTuple):
    """`usage` describes the arguments as ``list-commands`` shows them; `most` None means any number.

    It does not show a `hidden` command.
    """

    name: str
    usage: str
    least: int
    most: int | None
    handler: Handler
    hidden: bool = False


class Commands:
    """The control commands of one daemon."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[str, Command] = {}

    def add(self, *commands: Command) -> None:
        for command in commands:
            self._table[command.name] = command

    def reveal(self, name: str) -> None:
        """Lists a command that was hidden."""
        self._table[name] = self._table[name]._replace(hidden=False)

    def add_missing(self, missing: Iterable[Missing]) -> None:
        """Lets every command of the originals that is not there refuse in so many words."""
        for name, usage, instead in missing:
            if name not in self._table:
                self.add(Command(name, usage, 0, None, _refusal(name, instead)))

    def run(self, name: str, arguments: Sequence[str]) -> str | Awaitable[str]:
        """The command's text.  Raises CommandError."""
        return self.check(name, len(arguments)).handler(arguments)

    def check(self, name: str, arguments: int) -> Command:
        """The command, if it takes that many arguments.  Raises CommandError."""
        command = self._table.get(name)
        if command is None:
            raise CommandError(
                f'"{name}" is not a valid command (use "list-commands" to see a list of valid commands)'
            )
        if arguments < command.least:
            raise CommandError(f'"{name}" command requires at least {command.least} arguments')
        if command.most is not None and arguments > command.most:
            raise CommandError(f'"{name}" command takes at most {command.most} arguments')
        return command

    def __iter__(self) -> Iterator[Command]:
        return iter(sorted(self._table.values(), key=lambda command: command.name))


def _refusal(name: str, instead: str) -> Handler:
    def refuse(_: Sequence[str]) -> str:
        raise CommandError(f"{name} is not implemented yet: {instead}")

    return refuse
