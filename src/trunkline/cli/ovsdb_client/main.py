"""The command line of ovsdb-client: options, commands, default arguments."""

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple, NoReturn

from trunkline.base import usage
from trunkline.base.directories import Directories, from_environment
from trunkline.base.json import Json
from trunkline.base.log import INFO, Log
from trunkline.base.options import LOGGING, Found, Option, OptionError, parse_options
from trunkline.base.targets import absolute, is_passive
from trunkline.base.version import version_text
from trunkline.cli.ovsdb_client.context import Context, Failure, fail
from trunkline.dbctl.tables import OPTIONS as TABLE_OPTIONS
from trunkline.dbctl.tables import TableError, style_from_options
from trunkline.io import log_options, standard_streams, tls_options
from trunkline.io.alarm import end_after, end_by_signals
from trunkline.io.ovsdb_client import BlockingClient, ConnectError, ConnectionClosed, RpcError
from trunkline.io.reach import Ways, connect, connect_in_turn

DEFAULT_DATABASE: Final = "Open_vSwitch"
OPTIONS: Final = (  # in the original's order, which it shows for an ambiguous abbreviation
    Option("help", short="h"),
    Option("version", short="V"),
    Option("timestamp"),
    Option("force"),
    Option("timeout", "required", "t"),
    Option("db-change-aware"),
    Option("no-db-change-aware"),
    Option("leader-only"),
    Option("no-leader-only"),
    Option("detach"),
    Option("no-self-confinement"),
    Option("no-chdir"),
    Option("pidfile", "optional"),
    Option("overwrite-pidfile"),
    Option("user", "required"),
    Option("monitor"),
    *LOGGING,
    tls_options.BOOTSTRAP,
    *tls_options.KEYS,
    *tls_options.CHOICES,
    Option("record", "optional"),
    Option("replay", "optional"),
    *TABLE_OPTIONS,
)


_SCHEME: Final = re.compile(r"[A-Za-z0-9]+:")


class Command(NamedTuple):
    """`database`: the command takes ``[SERVER] [DATABASE]``, else only ``[SERVER]``.  `where` is module and
    function, imported when the command runs.  `endless`: it can go to the
    background."""

    name: str
    least: int
    most: int | None
    where: tuple[str, str]
    database: bool = False
    endless: bool = False


_SCHEMA: Final = "trunkline.cli.ovsdb_client.schema_commands"
_DATA: Final = "trunkline.cli.ovsdb_client.data_commands"
_MONITOR: Final = "trunkline.cli.ovsdb_client.monitor_commands"
_SNAPSHOT: Final = "trunkline.cli.ovsdb_client.snapshot_commands"

COMMANDS: Final = {
    command.name: command
    for command in (
        Command("list-dbs", 0, 0, (_SCHEMA, "list_dbs")),
        Command("get-schema", 0, 0, (_SCHEMA, "get_schema"), database=True),
        Command("get-schema-version", 0, 0, (_SCHEMA, "get_schema_version"), database=True),
        Command("get-schema-cksum", 0, 0, (_SCHEMA, "get_schema_cksum"), database=True),
        Command("list-tables", 0, 0, (_SCHEMA, "list_tables"), database=True),
        Command("list-columns", 0, 1, (_SCHEMA, "list_columns"), database=True),
        Command("needs-conversion", 1, 1, (_SCHEMA, "needs_conversion")),
        Command("convert", 1, 1, (_SCHEMA, "convert")),
        Command("transact", 1, 1, (_DATA, "transact")),
        Command("query", 1, 1, (_DATA, "query")),
        Command("dump", 0, None, (_DATA, "dump"), database=True),
        Command("wait", 2, 2, (_DATA, "wait")),
        Command("lock", 1, 1, (_DATA, "lock"), endless=True),
        Command("steal", 1, 1, (_DATA, "lock"), endless=True),
        Command("unlock", 1, 1, (_DATA, "lock"), endless=True),
        Command("backup", 0, 0, (_SNAPSHOT, "backup"), database=True),
        Command("restore", 0, 0, (_SNAPSHOT, "restore"), database=True),
        Command("monitor", 1, None, (_MONITOR, "monitor"), database=True, endless=True),
        Command("monitor-cond", 2, 3, (_MONITOR, "monitor_cond"), database=True, endless=True),
        Command("monitor-cond-since", 2, 4, (_MONITOR, "monitor_cond_since"), database=True, endless=True),
    )
}


def main() -> None:
    """Runs the command line in sys.argv and exits."""
    standard_streams.prepare()
    directories = from_environment(os.environ)
    try:
        try:
            parsed = parse_options(sys.argv[1:], OPTIONS)
        except OptionError as error:
            _take(error.found, directories)
            raise
        log = _take(parsed.options, directories)
        options = dict(parsed.options)
        if parsed.arguments[:1] == ["help"]:
            sys.stdout.write(help_text(directories))
            return
        style = style_from_options(parsed.options)
        seconds = _timeout(options.get("timeout"))
    except (OptionError, TableError, Failure, log_options.LogOptionError) as error:
        fail(str(error))
    if not parsed.arguments:
        fail("missing command name; use --help for help")
    command = COMMANDS.get(parsed.arguments[0])
    if command is None:
        fail(f"unknown command '{parsed.arguments[0]}'; use --help for help")
    function = _function(command)  # before another user, who may not read the library, is taken on
    if "user" in options:
        _become(options["user"] or "", log)
    try:
        serving: Callable[[], None] = _nothing
        end: Callable[[], None] = _nothing
        if command.endless and any(name in options for name in ("detach", "monitor", "pidfile")):
            from trunkline.cli.ovsdb_client.background import start

            serving, end = start(log, options, directories)
        else:
            end_by_signals(log)
        if seconds:
            end_after(seconds)
        words = parsed.arguments[1:]
        ways, leads = _ways(options, directories, log), "no-leader-only" not in options
        stack = _recorded(parsed.options, words, ways)
        client, database, arguments = _resolve(command, words, ways, leads)
        context = Context(
            client,
            database,
            style,
            "timestamp" in options,
            "force" in options,
            serving,
            [command.name, *arguments],
            ways,
            command.endless and "detach" in options,
            _last_of(parsed.options, "db-change-aware"),
        )
        try:
            function(context)
            if standard_streams.failure(sys.stdout) not in (0, errno.EPIPE):
                raise Failure("write to stdout failed")
        finally:
            client.close()
            stack.close()
        end()
    except Failure as error:
        fail(str(error))
    except ConnectionClosed as error:
        fail(f"transaction failed ({error})")
    except BrokenPipeError:
        os._exit(1)


def _recorded(options: Found, words: list[str], ways: Ways) -> ExitStack:
    """What is dialled from now on, until it is closed, is recorded or comes out of a recording.  Raises
    Failure."""
    found = ExitStack()
    given = [(name, value) for name, value in options if name in ("record", "replay")]
    if given:
        if words and is_passive(words[0]):
            raise Failure(f"--{given[-1][0]}: {words[0]}: only connections that are dialled can be recorded")
        from trunkline.io.blocking import dial, dialling
        from trunkline.io.replay_blocking import player, recorder

        name, value = given[-1]
        directory = absolute(value, ways.directory) if value else ways.directory
        if name == "replay":
            found.enter_context(dialling(player(directory, ways.log)))
        else:
            through = partial(dial, directory=ways.directory, tls=ways.tls())
            found.enter_context(dialling(recorder(directory, ways.log, through)))
    return found


def _take(options: Found, directories: Directories) -> Log:
    """Minds the options one by one, as getopt_long gives them: what stands before --version counts, and exits
    for --help and --version.  The log, as they say.  Raises Failure, TableError, LogOptionError."""
    if options and options[0][0] in ("help", "version"):
        _inform(options[0][0], directories)
    log = log_options.machine_log("ovsdb-client", console=INFO)
    for name, argument in options:
        if name in ("help", "version"):
            _inform(name, directories)
        if name == "timeout":
            _timeout(argument)
        if name == "user":
            _find_user(argument or "")
        style_from_options([(name, argument)])
        log_options.apply_option(log, name, argument, directories)
        tls_options.mind(log, name, argument)
    return log


def _find_user(text: str) -> None:
    from trunkline.io.privileges import PrivilegeError, find_user

    try:
        find_user(text)
    except PrivilegeError as error:
        raise Failure(str(error)) from None


def _inform(name: str, directories: Directories) -> NoReturn:
    sys.stdout.write(help_text(directories) if name == "help" else version_text("ovsdb-client"))
    sys.exit(0)


def _last_of(given: Found, name: str) -> bool | None:
    """Which of --NAME and --no-NAME came last; None for neither."""
    said = [option == name for option, _ in given if option in (name, f"no-{name}")]
    return said[-1] if said else None


def _function(command: Command) -> Callable[[Context], None]:
    from importlib import import_module

    module, name = command.where
    function: Callable[[Context], None] = getattr(import_module(module), name)
    return function


def _become(user: str, log: Log) -> None:
    from importlib import import_module

    from trunkline.io.privileges import PrivilegeError, become

    for name in (
        "cli.ovsdb_client.background",
        "cli.ovsdb_client.control",
        "io.blocking_listener",
        "io.tls",
        "io.files",
    ):
        import_module(f"trunkline.{name}")
    try:
        become(user, log, datapath=False)
    except PrivilegeError as error:
        fail(str(error))


def _nothing() -> None:
    return None


def _timeout(text: str | None) -> int:
    """Seconds, 0 for ever.  Raises Failure."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < 1 << 32:
        raise Failure(f"value {text} on -t or --timeout is invalid")
    return int(text)


def _resolve(
    command: Command, words: list[str], ways: Ways, leads: bool
) -> tuple[BlockingClient, str, list[str]]:
    """The connected client, the database, and the arguments that remain.  Raises Failure."""
    server, least, most = f"unix:{ways.directory}/db.sock", command.least, command.most
    early = command.where[1] in ("transact", "query", "needs_conversion", "convert", "wait")
    if (
        early
    ):  # these the original counts before it connects, with SERVER, and takes their arguments from the end
        if not least <= len(words) <= least + 1:
            raise _syntax(command)
        if len(words) > least and (command.name == "wait" or _SCHEME.match(words[0])):
            server = words[0]
        words = words[-least:]
        _check_early(command, words)
    elif len(words) > least and _SCHEME.match(words[0]):  # with fewer it is an argument
        server, words = words[0], words[1:]
    database = ""
    several = "," in server and command.where[1] != "wait"
    if command.where[1] == "wait":
        return connect_in_turn([server], ways, retry=True), "", words
    if several and command.database:
        if len(words) <= least:
            raise Failure("database name is required with multiple remotes")
        database, words = words[0], words[1:]
    elif several:
        database = _named_database(command, words)
    client = connect_to(server, database, ways, leads)
    if command.where[1] in ("convert", "needs_conversion"):
        unsuitable(client, _named_database(command, words), leads)
    if command.database and not several:
        database, words = _database(client, words, least)
    if len(words) < least or (most is not None and len(words) > most):
        raise _syntax(command)
    return client, database, words


def _syntax(command: Command) -> Failure:
    return Failure(f"invalid syntax for '{command.name}' (use --help for help)")


def _database(client: BlockingClient, words: list[str], least: int) -> tuple[str, list[str]]:
    """The database that the command is for and the arguments after it: the one named first, if there are more
    arguments than the command cannot do without and the server has it; else the server's only one besides
    _Server; else Open_vSwitch (all by experiment).  Raises Failure."""
    try:
        databases = client.call("list_dbs", [])
    except RpcError as error:
        raise Failure(f"listing databases failed: {error}") from None
    if len(words) > least and words[0] in databases:
        return words[0], words[1:]
    plain = [name for name in databases if name != "_Server"]
    if len(plain) == 1:
        return plain[0], words
    if DEFAULT_DATABASE in plain:
        return DEFAULT_DATABASE, words
    raise Failure("could not find a default database, please specify a database name")


def _named_database(command: Command, words: list[str]) -> str:
    """The database that the command's own argument names, "" if it names none."""
    if command.name in ("transact", "query"):
        from trunkline.cli.ovsdb_client.data_commands import parse_transaction

        return str(parse_transaction(words[0])[0])
    if command.name in ("convert", "needs-conversion"):
        from trunkline.cli.ovsdb_client.context import read_schema

        return str(read_schema(words[-1])["name"])
    return ""


def _check_early(command: Command, words: list[str]) -> None:
    """What the original finds wrong before it connects."""
    if command.name in ("transact", "query"):
        from trunkline.cli.ovsdb_client.data_commands import parse_transaction

        parse_transaction(words[0])
    elif command.name in ("convert", "needs-conversion"):
        from trunkline.cli.ovsdb_client.context import read_schema

        read_schema(words[-1])
    elif command.name == "wait" and words[1] not in ("added", "connected", "removed"):
        raise Failure(f"{words[1]}: unknown state")


def _ways(options: dict[str, str | None], directories: Directories, log: Log) -> Ways:
    def waiting(target: str) -> None:
        log.module("ovsdb_client").info("%s: waiting for connection...", target)

    return Ways(directories.run, lambda: tls_options.files_from(list(options.items())), log, waiting)


def connect_to(server: str, database: str, ways: Ways, leads: bool) -> BlockingClient:
    """A client of `server`, which may be ``A,B,C``: of these the first that has `database`, if one is named,
    is in touch with its cluster and, if `leads`, is the leader.  Raises Failure."""
    remotes = re.split(r",(?=[a-z]+:)", server)
    if len(remotes) > 1:
        try:
            return connect_in_turn(
                remotes, ways, suits=lambda client: _unsuitable_or_gone(client, database, leads)
            )
        except ConnectError:
            raise Failure("no servers were available") from None
    try:
        return connect(server, ways)
    except ConnectError as error:
        how = "connect or listen" if is_passive(server) or error.number == errno.EAFNOSUPPORT else "connect"
        raise Failure(f'failed to {how} to "{server}" ({error})') from None


def unsuitable(client: BlockingClient, database: str, leads: bool) -> str:
    """Why a server is none for commands on `database`; "" if it is one."""
    if not database:
        return ""
    operation: Json = {"op": "select", "table": "Database", "where": [["name", "==", database]]}
    try:
        result = client.call("transact", ["_Server", operation])[0]
    except RpcError:
        return ""  # it is older than clusters
    for row in result.get("rows", ()):
        if row["model"] != "clustered" or (row["connected"] and (row["leader"] or not leads)):
            return ""
    return f"{database} is not to be had there"


def _unsuitable_or_gone(client: BlockingClient, database: str, leads: bool) -> str:
    try:
        return unsuitable(client, database, leads)
    except ConnectionClosed as error:
        return str(error)


def help_text(directories: Directories) -> str:
    from trunkline.cli.ovsdb_client.help import COMMAND_HELP, OUTPUT_HELP

    return (
        COMMAND_HELP.format(run=directories.run)
        + usage.streams("SERVER")
        + OUTPUT_HELP
        + usage.daemon("ovsdb-client", directories.run).removeprefix("\n")
        + usage.logging("ovsdb-client", directories.log)
        + "\nReplay options:\n"
        "  --record[=DIR]            turn on writing replay files\n"
        "  --replay[=DIR]            run from replay files\n"
        "\nOther options:\n"
        "  -h, --help                  display this help message\n"
        "  -V, --version               display version information\n"
    )
