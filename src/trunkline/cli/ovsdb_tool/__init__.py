"""ovsdb-tool: makes, reads and changes database files without a server (ovsdb-tool(1))."""

import sys
from typing import Final

from trunkline.base.options import Found, Option, OptionError, Parsed, option_listing, parse_options
from trunkline.io import standard_streams

PROGRAM: Final = "ovsdb-tool"
OPTIONS: Final = (  # in the original's order, which --option shows
    Option("more", short="m"),
    Option("rbac-role", "required"),
    Option("cid", "required"),
    Option("election-timer", "required"),
    Option("verbose", "optional", "v"),
    Option("help", short="h"),
    Option("option", short="o"),
    Option("version", short="V"),
)
_LIST: Final = (
    ("create", "[db [schema]]"),
    ("create-cluster", "db contents local"),
    ("join-cluster", "db name local remote..."),
    ("compact", "[db [dst]]"),
    ("convert", "[db [schema [dst]]]"),
    ("needs-conversion", ""),
    ("db-name", "[db]"),
    ("db-version", "[db]"),
    ("db-cksum", "[db]"),
    ("db-cid", "db"),
    ("db-sid", "db"),
    ("db-local-address", "db"),
    ("db-is-clustered", "db"),
    ("db-is-standalone", "db"),
    ("schema-name", "[schema]"),
    ("schema-version", "[schema]"),
    ("schema-cksum", "[schema]"),
    ("query", "[db] trns"),
    ("transact", "[db] trns"),
    ("show-log", "[db]"),
    ("check-cluster", "db..."),
    ("compare-versions", "a op b"),
    ("help", ""),
    ("list-commands", ""),
    ("cluster-to-standalone", "db clusterdb"),
)
"""What list-commands shows, in its order."""
_HELP: Final = """\
ovsdb-tool: Open vSwitch database management utility
usage: ovsdb-tool [OPTIONS] COMMAND [ARG...]
  create [DB [SCHEMA]]    create DB with the given SCHEMA
  [--election-timer=ms] create-cluster DB CONTENTS LOCAL
    create clustered DB with given CONTENTS and LOCAL address
  [--cid=UUID] join-cluster DB NAME LOCAL REMOTE...
    join clustered DB with given NAME and LOCAL and REMOTE addrs
  compact [DB [DST]]      compact DB in-place (or to DST)
  convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)
  db-name [DB]            report name of schema used by DB
  db-version [DB]         report version of schema used by DB
  db-cksum [DB]           report checksum of schema used by DB
  db-cid DB               report cluster ID of clustered DB
  db-sid DB               report server ID of clustered DB
  db-local-address DB     report local address of clustered DB
  db-is-clustered DB      test whether DB is clustered
  db-is-standalone DB     test whether DB is standalone
  schema-name [SCHEMA]    report SCHEMA's name
  schema-version [SCHEMA] report SCHEMA's schema version
  schema-cksum [SCHEMA]   report SCHEMA's checksum
  compare-versions A OP B  compare OVSDB schema version numbers
  query [DB] TRNS         execute read-only transaction on DB
  transact [DB] TRNS      execute read/write transaction on DB
  cluster-to-standalone DB DB    Convert clustered DB to
      standalone DB when cluster is down and cannot be
        revived
  [-m]... show-log [DB]   print DB's log entries
The default DB is {database}.
The default SCHEMA is {schema}.
"""
_OTHER: Final = """
Other options:
  -m, --more                  increase show-log verbosity
  --rbac-role=ROLE            RBAC role for transact and query commands
  -h, --help                  display this help message
  -V, --version               display version information
"""


def main() -> None:
    """Exit status 0, 1 for an error, 2 where a command answers "no"."""
    standard_streams.prepare()
    try:
        parsed = parse_options(sys.argv[1:], OPTIONS)
        status = _run(parsed)
        sys.stdout.flush()
    except OptionError as error:
        # getopt_long takes them one by one: --version before the wrong one is answered
        minded = _minded(error.found)
        if minded is None:
            minded = _fail(str(error)) if _logs(error.found) else 1
        status = minded
    sys.exit(status)


def _fail(text: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return 1


def _is_election_timer(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 100 <= int(text) <= 600_000


def _minded(options: Found) -> int | None:
    """Minds the options one by one: the exit status, if one is wrong or asks for information."""
    for place, (name, argument) in enumerate(options):
        if name in ("version", "help", "option"):
            if not _logs(options[:place]):
                return 1
            sys.stdout.write(_information(name))
            return 0
        if name == "election-timer" and not _is_election_timer(argument or ""):
            if _logs(options[:place]):
                _fail("ovsdb error: election timer must be between 100 and 600000, in msec.")
            return 1
    return None


def _logs(options: Found) -> bool:
    """Whether what `options` say about the log is right; else it is said what is wrong."""
    if any(name == "verbose" for name, _ in options):
        from trunkline.io.log_options import LogOptionError, apply_before

        try:
            apply_before(PROGRAM, options, ())
        except LogOptionError as error:
            _fail(str(error))
            return False
    return True


def _information(name: str) -> str:
    """The text of --version, --option or --help."""
    from trunkline.base.version import version_text

    if name == "version":
        return version_text(PROGRAM)
    if name == "option":
        return option_listing(OPTIONS)
    import os

    from trunkline.base.directories import from_environment
    from trunkline.base.usage import logging

    directories = from_environment(os.environ)
    database = f"{directories.database}/conf.db"
    schema = default_schema(os.environ.get("OVS_PKGDATADIR"))
    return _HELP.format(database=database, schema=schema) + logging(PROGRAM, directories.log) + _OTHER


def _run(parsed: Parsed) -> int:
    status = _minded(parsed.options)
    if status is not None:
        return status
    if parsed.arguments[:1] == ["help"]:
        sys.stdout.write(_information("help"))
        return 0
    import os

    from trunkline.base.directories import from_environment

    given = dict(parsed.options)
    directories = from_environment(os.environ)
    database = f"{directories.database}/conf.db"
    schema = default_schema(os.environ.get("OVS_PKGDATADIR"))

    from trunkline.cli.ovsdb_tool.commands import COMMANDS, Call, Fatal, log_unwritten
    from trunkline.io.log_options import LogOptionError, apply_options, tool_log
    from trunkline.ovsdb.errors import OvsdbError

    log = tool_log(PROGRAM)
    try:
        apply_options(log, parsed.options, directories)
    except LogOptionError as error:
        return _fail(str(error))
    if not parsed.arguments:
        return _fail("missing command name; use --help for help")
    name, *arguments = parsed.arguments
    if name == "list-commands":
        sys.stdout.write("The available commands are:\n")
        sys.stdout.write("".join(f"  {command:<23} {usage}\n" for command, usage in _LIST))
        return 0
    command = COMMANDS.get(name)
    if command is None:
        return _fail(f"unknown command '{name}'; use --help for help")
    if len(arguments) < command.least:
        return _fail(f"'{name}' command requires at least {command.least} arguments")
    if len(arguments) > command.most:
        return _fail(f"'{name}' command takes at most {command.most} arguments")
    more = sum(option == "more" for option, _ in parsed.options)
    try:
        return command.run(Call(arguments, database, schema, more, given.get("rbac-role"), log))
    except OvsdbError as error:
        log_unwritten(log, error)
        return _fail(str(error))
    except Fatal as error:
        return _fail(str(error))


def default_schema(data_directory: str | None) -> str:
    """The schema of the switch: in OVS_PKGDATADIR if that is set, else the one that the package has."""
    if data_directory:
        return f"{data_directory}/vswitch.ovsschema"
    from trunkline.model.schemas import schema_path

    return schema_path("Open_vSwitch")
