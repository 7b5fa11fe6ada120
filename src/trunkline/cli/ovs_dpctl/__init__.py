"""ovs-dpctl: looks at datapaths (ovs-dpctl(8)).

The original talks to the kernel's Open vSwitch module.  Here the datapaths belong to the switch: while it
runs, the same words are asked of its control socket, where ``ovs-appctl dpctl/...`` finds them too.  What it
has left in the kernel when it has gone is read from there (stopped.py).
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from trunkline.base.options import LOGGING, Found, Option, OptionError, Parsed, option_listing, parse_options
from trunkline.io import standard_streams

if TYPE_CHECKING:
    from trunkline.base.directories import Directories
    from trunkline.base.log import Log

PROGRAM: Final = "ovs-dpctl"
SWITCH: Final = "ovs-vswitchd"
OPTIONS: Final = (
    Option("statistics", short="s"),
    Option("clear"),
    Option("may-create"),
    Option("read-only"),
    Option("more", short="m"),
    Option("names"),
    Option("no-names"),
    Option("timeout", "required", "t"),
    Option("help", short="h"),
    Option("option", short="o"),
    Option("version", short="V"),
    *LOGGING,
)
_PASSED_ON: Final = ("statistics", "clear", "may-create", "more", "names", "no-names")


class Refusal(Exception):
    """The command cannot be carried out; the text follows the program's name."""


def main() -> None:
    """Exit status 0, or 1 with the reason on standard error."""
    standard_streams.prepare()
    status = 0
    try:
        try:
            parsed = parse_options(sys.argv[1:], OPTIONS)
        except OptionError as error:  # what stands before the wrong one counts
            text = _mind(error.found, *_surroundings())
            if text is None:
                raise
            sys.stdout.write(text)
            return
        sys.stdout.write(_run(parsed))
        sys.stdout.flush()
    except (OptionError, Refusal) as error:
        sys.stdout.flush()
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        status = 1
    sys.exit(status)


def _surroundings() -> "tuple[Directories, Log]":
    import os

    from trunkline.base.directories import from_environment
    from trunkline.io.log_options import tool_log

    return from_environment(os.environ), tool_log(PROGRAM)


def _mind(options: Found, directories: "Directories", log: "Log") -> str | None:
    """Minds the options one by one; the text of the first that asks for information.  Raises Refusal."""
    from trunkline.io.log_options import LogOptionError, apply_option

    for name, argument in options:
        try:
            apply_option(log, name, argument, directories)
        except LogOptionError as error:
            raise Refusal(str(error)) from None
        if name == "timeout":
            _seconds(argument or "")
        if name == "help":
            return _help(directories)
        if name == "version":
            from trunkline.base.version import version_text

            return version_text(PROGRAM)
        if name == "option":
            return option_listing(OPTIONS)
    return None


def _run(parsed: Parsed) -> str:
    directories, log = _surroundings()
    text = _mind(parsed.options, directories, log)
    if text is not None:
        return text
    given = dict(parsed.options)
    if "timeout" in given:
        _set_alarm(given["timeout"] or "")
    command, arguments = _command(parsed.arguments, "read-only" in given)
    if command in ("help", "list-commands"):
        return _help(directories) if command == "help" else _listing()
    if command in ("parse-actions", "normalize-actions"):
        return _shown_actions(command, arguments)
    if command in ("add-flows", "mod-flows", "del-flows") and arguments:
        arguments = [*arguments[:-1], _path(command, arguments[-1])]
    options = [f"--{name}" for name, _ in parsed.options if name in _PASSED_ON]
    if "verbose" not in given:
        from trunkline.base.log import ERR

        for module in ("daemon_unix", "unixctl"):  # that no switch runs is nothing to warn of
            log.set_level(module, "console", ERR)
    return _ask(command, [*options, *arguments], directories, log)


def _command(arguments: Sequence[str], read_only: bool) -> tuple[str, list[str]]:
    """The command and its arguments, checked.  Raises Refusal."""
    from trunkline.cli.ovs_dpctl.commands import COMMANDS

    if not arguments:
        raise Refusal("missing command name; use --help for help")
    name, rest = arguments[0], list(arguments[1:])
    command = COMMANDS.get(name)
    if command is None:
        raise Refusal(f"unknown command '{name}'; use --help for help")
    if len(rest) < command.least:
        raise Refusal(f"'{name}' command requires at least {command.least} arguments")
    if command.most is not None and len(rest) > command.most:
        raise Refusal(f"'{name}' command takes at most {command.most} arguments")
    if read_only and command.writes:
        raise Refusal(f"'{name}' command does not work in read only mode")
    return name, rest


def _shown_actions(command: str, arguments: Sequence[str]) -> str:
    from trunkline.upcall.dpctl_actions import normalize_text, parse_text

    text, wrong = (parse_text if command == "parse-actions" else normalize_text)(arguments)
    if wrong:
        sys.stdout.write(text)
        raise Refusal(wrong)
    return text


def _path(command: str, word: str) -> str:
    """A file's name as the switch, which reads it, knows it; a datapath's name stays as it is."""
    from pathlib import Path

    if word == "-":
        raise Refusal(f"'{command}' reads no standard input: the switch reads the file that is named")
    if command == "del-flows" and "@" in word and not Path(word).exists():
        return word
    try:
        return str(Path(word).absolute())
    except OSError as error:  # this directory is no more
        raise Refusal(f"{word}: open failed ({error.strerror})") from None


def _ask(command: str, arguments: Sequence[str], directories: "Directories", log: "Log") -> str:
    """The switch's answer.  Raises Refusal."""
    from trunkline.io import control_client

    try:
        path = control_client.socket_of(SWITCH, directories.run, log)
        stream = control_client.connect(path, log)
        return control_client.call(stream, f"dpctl/{command}", arguments, log, SWITCH)
    except control_client.Refused as refused:
        text = _passed_on(str(refused))
        if "is not a valid command" in text:
            text = f"'{command}' is not there yet"
        raise Refusal(text.removeprefix(f"{PROGRAM}: ").replace("dpctl/", "")) from None
    except control_client.ControlError as error:
        from trunkline.cli.ovs_dpctl import stopped

        try:
            return stopped.answer(command, arguments, directories, log)
        except stopped.RefusedError as refused:
            raise Refusal(f"{refused} ({error})" if refused.nothing else str(refused)) from None


def _passed_on(answer: str) -> str:
    """What is wrong, of an answer that may also show something, which is printed."""
    wrong = [line for line in answer.splitlines(keepends=True) if line.startswith(f"{SWITCH}: ")]
    if not wrong:
        return answer.rstrip("\n")
    sys.stdout.write("".join(line for line in answer.splitlines(keepends=True) if line not in wrong))
    return "".join(wrong).rstrip("\n").replace(f"{SWITCH}: ", f"{PROGRAM}: ").removeprefix(f"{PROGRAM}: ")


def _set_alarm(text: str) -> None:
    """Ends the program by SIGALRM after so many seconds.  Raises Refusal."""
    from trunkline.io.alarm import end_after

    end_after(_seconds(text))


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 32:
        raise Refusal(f"value {text} on -t or --timeout is invalid")
    return int(text)


def _help(directories: "Directories") -> str:
    from trunkline.base.usage import logging
    from trunkline.cli.ovs_dpctl.commands import HELP_HEAD, HELP_TAIL

    return HELP_HEAD + logging(PROGRAM, directories.log) + HELP_TAIL


def _listing() -> str:
    from trunkline.cli.ovs_dpctl.commands import COMMANDS

    lines = [f"  {name:<23} {command.usage}\n" for name, command in COMMANDS.items()]
    return "The available commands are:\n" + "".join(lines)
