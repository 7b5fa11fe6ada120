"""Command lines as getopt_long(3) reads them, for every tool and daemon.

Scripts rely on its habits: ``--db=X`` and ``--db X``, unambiguous abbreviations (``--time`` for
``--timeout``), bundled short options (``-vvn``), ``--`` to end the options, options after arguments
(`in_order` off) or not (`in_order` on, as ovs-vsctl and ovs-appctl have it), and on the very words of its
errors.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Takes = Literal["no", "required", "optional"]
Found = list[tuple[str, str | None]]  # (long name, argument), in the order given


class Option(NamedTuple):
    """A long option and, where it has one, its letter.  `takes` says whether an argument follows."""

    name: str
    takes: Takes = "no"
    short: str = ""


LOGGING: Final = (
    Option("verbose", "optional", "v"),
    Option("log-file", "optional"),
    Option("syslog-method", "required"),
    Option("syslog-target", "required"),
)
"""The options for the log that tools and daemons have (io/log_options.py)."""


class OptionError(Exception):
    """The command line is wrong; the text is what getopt_long prints after ``PROGRAM: ``.

    `found` are the options before the wrong one: getopt_long takes them one by one, so that ``--version``
    before it is answered.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.found: Found = []


class Parsed(NamedTuple):
    options: Found
    arguments: list[str]


def option_listing(table: Sequence[Option]) -> str:
    """The text of ``--option``, which shell completion reads: every option a line, its letter another."""
    lines = []
    for option in table:
        argument = {"no": "", "required": "ARG", "optional": "[ARG]"}[option.takes]
        lines.append(f"--{option.name}={argument}\n" if argument else f"--{option.name}\n")
        if option.short:
            lines.append(f"-{option.short} {argument}\n")
    return "".join(lines)


def parse_options(argv: Sequence[str], table: Sequence[Option], *, in_order: bool = False) -> Parsed:
    """Splits `argv` (without the program's name) into options and arguments.

    Raises OptionError.  With `in_order`, the first argument that is no option ends the options.
    """
    options: Found = []
    arguments: list[str] = []
    position = 0
    try:
        while position < len(argv):
            word = argv[position]
            position += 1
            if word == "--":
                arguments += argv[position:]
                break
            if word.startswith("--"):
                position = _long(word[2:], argv, position, table, options)
            elif word.startswith("-") and word != "-":
                position = _short(word[1:], argv, position, table, options)
            elif in_order:
                arguments += argv[position - 1 :]
                break
            else:
                arguments.append(word)
    except OptionError as error:
        error.found = options
        raise
    return Parsed(options, arguments)


def _long(word: str, argv: Sequence[str], position: int, table: Sequence[Option], found: Found) -> int:
    name, equals, value = word.partition("=")
    option = _named(name, word, table)
    if equals:
        if option.takes == "no":
            raise OptionError(f"option '--{option.name}' doesn't allow an argument")
        found.append((option.name, value))
    elif option.takes == "required":
        if position == len(argv):
            raise OptionError(f"option '--{option.name}' requires an argument")
        found.append((option.name, argv[position]))
        position += 1
    else:
        found.append((option.name, None))
    return position


def _named(name: str, word: str, table: Sequence[Option]) -> Option:
    candidates = [option for option in table if option.name and option.name.startswith(name)]
    for option in candidates:
        if option.name == name:
            return option
    if not candidates:
        raise OptionError(f"unrecognized option '--{word}'")
    if len(candidates) > 1:
        possibilities = " ".join(f"'--{option.name}'" for option in candidates)
        raise OptionError(f"option '--{word}' is ambiguous; possibilities: {possibilities}")
    return candidates[0]


def _short(letters: str, argv: Sequence[str], position: int, table: Sequence[Option], found: Found) -> int:
    while letters:
        letter, letters = letters[0], letters[1:]
        option = next((option for option in table if option.short == letter), None)
        if option is None:
            raise OptionError(f"invalid option -- '{letter}'")
        if option.takes == "no":
            found.append((option.name, None))
            continue
        if option.takes == "required" and not letters:
            if position == len(argv):
                raise OptionError(f"option requires an argument -- '{letter}'")
            letters = argv[position]
            position += 1
        found.append((option.name, letters if letters or option.takes == "required" else None))
        break
    return position
