"""The grammar of a command line of several commands: ``[options] command args -- [options] command args``.

A tool declares its commands as data, rows of `Command`.  From them follow how a line is parsed, what is wrong
with it, which options getopt_long knows before the first command, and what ``--commands`` lists.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from trunkline.base.options import Found, Option

if TYPE_CHECKING:
    from trunkline.dbctl.run import Call, Plan
    from trunkline.dbctl.work import Question

UNLIMITED: Final = 1 << 30


class UsageError(Exception):
    """The user's mistake; the text is printed after the program's name, and the exit status is 1."""


class Command(NamedTuple):
    """A command.  `least` and `most` bound its arguments, which `syntax` shows in the notation of
    ``--commands``; `options` are such as "--may-exist", or "--id=" with a value.  `prepare` checks the
    arguments before the database is asked, `run` does the work, `finish` sees the outcome.  `writes` says
    whether the command may change the database (such commands are logged).  `asks` tells what `run` will look
    for, so that all commands of a line ask for it together; it need not be complete."""

    name: str
    least: int
    most: int
    syntax: str
    run: "Callable[[Call], None]"
    options: tuple[str, ...] = ()
    writes: bool = False
    prepare: "Callable[[Plan], None] | None" = None
    finish: "Callable[[Call], None] | None" = None
    asks: "Callable[[Plan], Iterable[Question]] | None" = None


class Parsed(NamedTuple):
    """One command of a line: its options by name (``--id`` -> "@x"; without a value None)."""

    command: Command
    options: dict[str, str | None]
    arguments: list[str]

    @property
    def words(self) -> list[str]:
        """The command as it may be written again, options first."""
        options = [name if value is None else f"{name}={value}" for name, value in self.options.items()]
        return [*options, self.command.name, *self.arguments]


def local_options(commands: Sequence[Command]) -> list[Option]:
    """Options of commands, as getopt_long takes them before the first command."""
    names = dict.fromkeys(option for command in commands for option in command.options)
    return [Option(name.strip("-="), "required" if name.endswith("=") else "no") for name in names]


def parse_commands(words: Sequence[str], local: Found, commands: Mapping[str, Command]) -> list[Parsed]:
    """The commands on a line.  `local` are options that getopt_long took off before the first of them.

    Raises UsageError.
    """
    result: list[Parsed] = []
    first: list[tuple[str, str | None]] = [(f"--{name}", value) for name, value in local]
    part: list[str] = []
    for word in [*words, "--"]:
        if word != "--":
            part.append(word)
            continue
        if part:
            result.append(_parse(part, first, commands))
            first, part = [], []
    if not result or first:
        raise UsageError("missing command name (use --help for help)")
    return result


def _parse(
    words: list[str], options: list[tuple[str, str | None]], commands: Mapping[str, Command]
) -> Parsed:
    found: dict[str, str | None] = {}
    for name, text in options:
        found.setdefault(name, text)
    position = 0
    while position < len(words) and words[position].startswith("-"):
        name, equals, value = words[position].partition("=")
        if name in found:
            raise UsageError(f"'{words[position]}' option specified multiple times")
        found[name] = value if equals else None
        position += 1
    if position == len(words):
        raise UsageError("missing command name (use --help for help)")
    name = words[position]
    command = commands.get(name)
    if command is None:
        raise UsageError(f"unknown command '{name}'; use --help for help")
    _check_options(command, found)
    arguments = words[position + 1 :]
    if len(arguments) < command.least:
        raise UsageError(f"'{name}' command requires at least {command.least} arguments")
    if len(arguments) > command.most:
        dashed = any(argument.startswith("-") for argument in arguments)
        note = ' (note that options must precede command names and follow a "--" argument)' if dashed else ""
        raise UsageError(f"'{name}' command takes at most {command.most} arguments{note}")
    return Parsed(command, found, arguments)


def _check_options(command: Command, found: Mapping[str, str | None]) -> None:
    for name, value in found.items():
        if name in command.options:
            if value is not None:
                raise UsageError(f"'{name}' option on '{command.name}' does not accept an argument")
        elif f"{name}=" in command.options:
            if value is None:
                raise UsageError(f"missing argument to '{name}' option on '{command.name}' command")
        else:
            raise UsageError(f"'{command.name}' command has no '{name}' option")


def listing(commands: Sequence[Command]) -> str:
    """What ``--commands`` prints: options, name and arguments of each, for scripts."""
    lines = []
    for command in commands:
        options = "".join(f"[{option}] " for option in command.options)
        lines.append(f"{options},{command.name},{command.syntax}\n")
    return "".join(lines)
