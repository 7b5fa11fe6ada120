"""The command line of ovsdb-client: options, commands, default arguments."""

import os
import re
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.base import usage
from trunkline.base.directories import Directories, from_environment
from trunkline.base.log import INFO, Log
from trunkline.base.options import Option, OptionError, parse_options
from trunkline.base.targets import is_passive
from trunkline.base.version import version_text
from trunkline.cli.ovsdb_client.context import Context, Failure, fail, out
from trunkline.dbctl.tables import OPTIONS as TABLE_OPTIONS
from trunkline.dbctl.tables import TableError, style_from_options
from trunkline.io import log_options
from trunkline.io.ovsdb_client import BlockingClient, ConnectError, ConnectionClosed, RpcError

DEFAULT_DATABASE: Final = "Open_vSwitch"
OPTIONS: Final = (
    *TABLE_OPTIONS,
    Option("timestamp"),
    Option("force"),
    Option("timeout", "required", "t"),
    Option("leader-only"),
    Option("no-leader-only"),
    Option("help", short="h"),
    Option("version", short="V"),
    Option("detach"),
    Option("monitor"),
    Option("no-chdir"),
    Option("no-self-confinement"),
    Option("pidfile", "optional"),
    Option("overwrite-pidfile"),
    Option("user", "required"),
    Option("private-key", "required", "p"),
    Option("certificate", "required", "c"),
    Option("ca-cert", "required", "C"),
    Option("bootstrap-ca-cert", "required"),
    Option("ssl-protocols", "required"),
    Option("ssl-ciphers", "required"),
    *log_options.OPTIONS,
)


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
    directories = from_environment(os.environ)
    try:
        parsed = parse_options(sys.argv[1:], OPTIONS, in_order=True)
        options = dict(parsed.options)
        if "log-file" in options and ("help" in options or "version" in options):
            log_options.apply_before("ovsdb-client", parsed.options, ("help", "version"))
        if "help" in options or parsed.arguments[:1] == ["help"]:
            out(help_text(directories))
            return
        if "version" in options:
            out(version_text("ovsdb-client"))
            return
        style = style_from_options(parsed.options)
        if "user" in options:
            raise Failure("--user is not supported by ovsdb-client: start it as that user")
        seconds = _timeout(options.get("timeout"))
        log = log_options.machine_log("ovsdb-client", console=INFO)
        log_options.apply_options(log, parsed.options, directories)
    except (OptionError, TableError, Failure, log_options.LogOptionError) as error:
        fail(str(error))
    if not parsed.arguments:
        fail("missing command name; use --help for help")
    command = COMMANDS.get(parsed.arguments[0])
    if command is None:
        fail(f"unknown command '{parsed.arguments[0]}'; use --help for help")
    try:
        serving: Callable[[], None] = _nothing
        if command.endless and any(name in options for name in ("detach", "monitor", "pidfile")):
            from trunkline.cli.ovsdb_client.background import start

            serving = start(log, options, directories)
        _set_alarm(seconds, log)
        words = parsed.arguments[1:]
        client, database, arguments = _resolve(command, words, options, directories, log)
        context = Context(
            client,
            database,
            style,
            "timestamp" in options,
            "force" in options,
            serving,
            [command.name, *arguments],
        )
        _function(command)(context)
    except Failure as error:
        fail(str(error))
    except ConnectionClosed as error:
        fail(f"{error}")
    except BrokenPipeError:
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(130)


def _function(command: Command) -> Callable[[Context], None]:
    from importlib import import_module

    module, name = command.where
    function: Callable[[Context], None] = getattr(import_module(module), name)
    return function


def _nothing() -> None:
    return None


def _timeout(text: str | None) -> int:
    """Seconds, 0 for ever.  Raises Failure."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise Failure(f"value {text} on -t or --timeout is invalid")
    return int(text)


def _set_alarm(seconds: int, log: Log) -> None:
    """After so many seconds SIGALRM ends the program, as it does the original."""
    if not seconds:
        return
    import signal

    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:

        def ring(number: int, _: object) -> None:
            log.module("fatal_signal").warn("terminating with signal 14 (Alarm clock)")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)


def _resolve(
    command: Command, words: list[str], options: dict[str, str | None], directories: Directories, log: Log
) -> tuple[BlockingClient, str, list[str]]:
    """The connected client, the database, and the arguments that remain.  Raises Failure."""
    server = f"unix:{directories.run}/db.sock"
    if words and re.match(r"[A-Za-z0-9]+:", words[0]):
        server, words = words[0], words[1:]
    most = command.most
    if command.name in ("transact", "query") and len(words) == 2:
        words = words[1:]  # the database is in the transaction; the original passes one before it over
    database_words = 1 if command.database else 0
    if len(words) < command.least or (most is not None and len(words) > most + database_words):
        raise Failure(f"invalid syntax for '{command.name}' (use --help for help)")
    _check_early(command, words)
    client = connect(server, options, directories, log)
    database = ""
    if command.database:
        try:
            databases = client.call("list_dbs", [])
        except RpcError as error:
            raise Failure(f"listing databases failed: {error}") from None
        if words and words[0] in databases and len(words) > command.least:
            database, words = words[0], words[1:]
        elif DEFAULT_DATABASE in databases:
            database = DEFAULT_DATABASE
        else:
            raise Failure("no default database for this server: please specify a database name")
        if len(words) < command.least or (most is not None and len(words) > most):
            raise Failure(f"invalid syntax for '{command.name}' (use --help for help)")
    return client, database, words


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


def connect(
    server: str, options: dict[str, str | None], directories: Directories, log: Log
) -> BlockingClient:
    """Connects to the first of the servers in ``A,B,C`` that answers.  Raises Failure."""
    failure = ""
    for remote in re.split(r",(?=[a-z]+:)", server):
        try:
            return _connect_one(remote, options, directories, log)
        except ConnectError as error:
            known = remote.split(":")[0] in ("tcp", "unix", "ssl")
            how = "connect" if known else "connect or listen"
            failure = f'failed to {how} to "{remote}" ({error})'
    raise Failure(failure)


def _connect_one(
    remote: str, options: dict[str, str | None], directories: Directories, log: Log
) -> BlockingClient:
    passive = is_passive(remote)
    if not passive and not remote.startswith("ssl:"):
        return BlockingClient(remote, directory=directories.run)
    from trunkline.io.tls import TlsFiles, report

    files = TlsFiles(
        private_key=options.get("private-key") or "",
        certificate=options.get("certificate") or "",
        ca_certificate=options.get("ca-cert") or "",
        protocols=options.get("ssl-protocols") or "",
        ciphers=options.get("ssl-ciphers") or "",
        bootstrap_ca_certificate=options.get("bootstrap-ca-cert") or "",
    )
    try:
        if passive:
            from trunkline.io.blocking_listener import accept

            return BlockingClient(remote, transport=accept(remote, directory=directories.run, tls=files))
        from trunkline.io.blocking import dial

        return BlockingClient(remote, transport=dial(remote, tls=files))
    except OSError as error:
        report(log, error)
        raise ConnectError(error.errno or 5) from None


def help_text(directories: Directories) -> str:
    from trunkline.cli.ovsdb_client.help import COMMAND_HELP, OUTPUT_HELP

    return (
        COMMAND_HELP.format(run=directories.run)
        + usage.streams("SERVER")
        + OUTPUT_HELP
        + usage.daemon("ovsdb-client", directories.run).removeprefix("\n")
        + usage.logging("ovsdb-client", directories.log)
        + "\nOther options:\n"
        "  -h, --help                  display this help message\n"
        "  -V, --version               display version information\n"
    )
