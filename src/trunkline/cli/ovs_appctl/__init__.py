"""ovs-appctl: asks a running daemon to do one thing and prints what it says (ovs-appctl(8))."""

import sys
from typing import Final

from trunkline.base.options import LOGGING, Found, Option, OptionError, Parsed, option_listing, parse_options
from trunkline.io import standard_streams

PROGRAM: Final = "ovs-appctl"
DEFAULT_TARGET: Final = "ovs-vswitchd"
OPTIONS: Final = (
    Option("target", "required", "t"),
    Option("execute", short="e"),
    Option("help", short="h"),
    Option("option", short="o"),
    Option("version", short="V"),
    Option("timeout", "required", "T"),
    *LOGGING,
)
_HELP: Final = """\
ovs-appctl, for querying and controlling Open vSwitch daemon
usage: ovs-appctl [TARGET] COMMAND [ARG...]
Targets:
  -t, --target=TARGET  pidfile or socket to contact
Common commands:
  list-commands      List commands supported by the target
  version            Print version of the target
  vlog/list          List current logging levels
  vlog/list-pattern  List logging patterns for each destination.
  vlog/set [SPEC]
      Set log levels as detailed in SPEC, which may include:
      A valid module name (all modules, by default)
      'syslog', 'console', 'file' (all destinations, by default))
      'off', 'emer', 'err', 'warn', 'info', or 'dbg' ('dbg', bydefault)
  vlog/reopen        Make the program reopen its log file
Other options:
  --timeout=SECS     wait at most SECS seconds for a response
  -h, --help         Print this helpful information
  -V, --version      Display ovs-appctl version information
"""


class _Usage(Exception):
    """The command line is wrong."""


def main() -> None:
    """Exit status 0, or 1 when the daemon cannot be asked, or 2 when it refuses."""
    standard_streams.prepare()
    try:
        try:
            parsed = parse_options(sys.argv[1:], OPTIONS, in_order=True)
        except OptionError as error:  # what stands before the wrong one counts
            if not _informed(error.found):
                raise
            status = 0
        else:
            status = _run(parsed)
    except (OptionError, _Usage) as error:
        status = _fail(str(error))
    sys.exit(status)


def _fail(text: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return 1


def _informed(options: Found) -> bool:
    """Whether an option asks for information, and has been answered; those before it are minded."""
    text = _information(options)
    if {option.name for option in LOGGING}.intersection(name for name, _ in options):
        from trunkline.io.log_options import LogOptionError, apply_before

        try:
            apply_before(PROGRAM, options, ("help", "option", "version"))
        except LogOptionError as error:
            raise _Usage(str(error)) from None
    sys.stdout.write(text or "")
    return text is not None


def _run(parsed: Parsed) -> int:
    if _information(parsed.options) is not None:
        _informed(parsed.options)
        return 0
    import os

    from trunkline.base.directories import from_environment
    from trunkline.io import control_client
    from trunkline.io.log_options import LogOptionError, apply_options, tool_log

    log = tool_log(PROGRAM)
    directories = from_environment(os.environ)
    try:
        apply_options(log, parsed.options, directories)
    except LogOptionError as error:
        raise _Usage(str(error)) from None
    given = dict(parsed.options)
    if not parsed.arguments:
        raise _Usage("at least one non-option argument is required (use --help for help)")
    from trunkline.io.alarm import end_after, end_by_signals

    end_by_signals(log)
    if "timeout" in given:
        end_after(_seconds(given["timeout"] or ""))
    target = given.get("target")
    target = DEFAULT_TARGET if target is None else target
    command, *arguments = parsed.arguments
    try:
        path = control_client.socket_of(target, directories.run, log)
        stream = control_client.connect(path, log)
        sys.stdout.write(control_client.call(stream, command, arguments, log, target))
        sys.stdout.flush()
    except control_client.Refused as refusal:
        sys.stderr.write(str(refusal))
        _fail(f"{target}: server returned an error")
        return 2
    except control_client.ControlError as error:
        return _fail(str(error))
    return 0


def _information(options: Found) -> str | None:
    """What an option prints instead of asking anybody.  Raises _Usage for a wrong time-out before it."""
    for name, argument in options:
        if name == "help":
            return _HELP
        if name == "option":
            return option_listing(OPTIONS)
        if name == "version":
            from trunkline.base.version import version_text

            return version_text(PROGRAM)
        if name == "timeout":
            _seconds(argument or "")
    return None


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 32:
        raise _Usage(f"value {text} on -T or --timeout is invalid")
    return int(text)
