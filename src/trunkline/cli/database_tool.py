"""A database tool as a process: options, log, connection, one run of commands, output, exit status.

ovs-vsctl stands on it, and so can every other tool of its kind: what differs is a `Profile`.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from trunkline.base.directories import Directories, from_environment
from trunkline.base.json import Json, dumps, loads
from trunkline.base.log import DBG, INFO, OFF, WARN, Log
from trunkline.base.options import LOGGING, Found, Option, OptionError, parse_options
from trunkline.base.targets import is_passive
from trunkline.dbctl import tables
from trunkline.dbctl.grammar import Command, Parsed, UsageError, listing, local_options, parse_commands
from trunkline.dbctl.run import Call, Exit, Outcome, Settings, Tool, prepare, run
from trunkline.dbctl.work import TryAgain
from trunkline.io import log_options, standard_streams, tls_options
from trunkline.io.alarm import end_after, end_by_signals
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.schema import Schema

if TYPE_CHECKING:
    from trunkline.io.ovsdb_client import BlockingClient

GLOBAL: Final = (
    Option("db", "required"),
    Option("no-syslog"),
    Option("no-wait"),
    Option("dry-run"),
    Option("oneline"),
    Option("timeout", "required", "t"),
    Option("retry"),
    Option("help", short="h"),
    Option("commands"),
    Option("options"),
    Option("leader-only"),
    Option("no-leader-only"),
    Option("shuffle-remotes"),
    Option("no-shuffle-remotes"),
    Option("version", short="V"),
    *LOGGING,
    *tables.OPTIONS,
    *tls_options.KEYS,
    *tls_options.CHOICES,
    tls_options.BOOTSTRAP,
    tls_options.PEER,
)


class Waiter(Protocol):
    """What a tool does after a transaction that changed something, unless --no-wait."""

    def __call__(self, server: "Server", outcome: Outcome, log: Log, directories: Directories) -> None: ...


class Profile(NamedTuple):
    """A tool: its commands in the order of ``--commands``, its facts, texts, and what comes with a change.

    `module` is the tool's own module in the log.  `appended` are operations that go along with every change
    that is to be waited for, and `wait` waits.  `options` come before the first command.  `names_invoker`
    says whether the comment of a transaction tells who called the tool.
    """

    tool: Callable[[], Tool]
    program: str
    module: str
    commands: Sequence[Command]
    version: Callable[[], str]
    usage: Callable[[Directories], str]
    appended: tuple[Json, ...] = ()
    wait: Waiter | None = None
    options: Sequence[Option] = GLOBAL
    names_invoker: bool = True


def packaged_schema(file_name: str) -> Schema:
    """A schema that comes with the program, so that no server has to be asked for it."""
    import trunkline.model

    path = os.path.join(os.path.dirname(trunkline.model.__file__ or ""), file_name)
    with open(path, "rb") as file:
        return Schema.from_json(loads(file.read()))


# -- the server --------------------------------------------------------------------------------------------


class Remotes(NamedTuple):
    """Where the database is and how to come there."""

    text: str
    retry: bool
    leader_only: bool
    shuffle: bool
    found: Found
    directories: Directories
    log: Log


class Server:
    """A connection to the database `name`, as dbctl's `Connection`."""

    def __init__(self, name: str, remotes: Remotes) -> None:
        self.name = name
        self.remotes = remotes
        self._client: BlockingClient | None = None
        self._monitored: set[str] = set()

    @property
    def client(self) -> "BlockingClient":
        if self._client is None:
            self._client = self._connect()
        return self._client

    def call(self, method: str, params: Sequence[Json]) -> Json:
        """The result of a request.  Raises UsageError; TryAgain when the connection broke and --retry makes
        another."""
        from trunkline.io.ovsdb_client import ConnectionClosed

        try:
            return self.client.call(method, params)
        except ConnectionClosed as error:
            raise self._lost(error) from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _lost(self, error: Exception) -> Exception:
        """What a broken connection is to whoever asked; the next request makes another one."""
        if not self.remotes.retry:
            return UsageError(f"{self.remotes.text}: database connection failed ({error})")
        self.client.close()
        self._client = None
        self._monitored.clear()
        return TryAgain()

    def transact(self, operations: Sequence[Json]) -> list[Json]:
        from trunkline.io.ovsdb_client import RpcError

        try:
            results: list[Json] = self.call("transact", [self.name, *operations])
        except RpcError as error:
            raise UsageError(f"transaction error: {dumps(error.error, sort_keys=True)}") from None
        return results

    def change(self, tables: Sequence[str]) -> None:
        new = [table for table in tables if table not in self._monitored]
        try:
            if new:
                # The caller looks again when the monitor stands, so that no change falls in between.
                for table in new:
                    self.call("monitor", [self.name, f"wait {table}", {table: {}}])
                    self._monitored.add(table)
            else:
                self.notification()
        except TryAgain:
            return  # the caller looks again over the next connection

    def notification(self) -> Json:
        """The parameters of the next update.  Raises as `call`."""
        from trunkline.io.ovsdb_client import ConnectionClosed

        try:
            for notification in self.client.notifications():
                return notification.params
        except ConnectionClosed as error:
            raise self._lost(error) from None
        raise AssertionError("a wait without a timeout ended")

    def _connect(self) -> "BlockingClient":
        from trunkline.io.ovsdb_client import ConnectError
        from trunkline.io.reach import Ways, connect_in_turn

        targets = self.remotes.text.split(",")
        if self.remotes.shuffle and len(targets) > 1:
            import random

            random.shuffle(targets)
        found = self.remotes.found
        ways = Ways(self.remotes.directories.run, lambda: tls_options.files_from(found), self.remotes.log)
        try:
            return connect_in_turn(targets, ways, suits=self._unsuitable, retry=self.remotes.retry)
        except ConnectError as error:
            raise UsageError(f"{self.remotes.text}: database connection failed ({error})") from None

    def _unsuitable(self, client: "BlockingClient") -> str:
        """What a server that is none for us is reported as, "" for one that is."""
        return "" if self._serves(client) else "End of file"

    def _serves(self, client: "BlockingClient") -> bool:
        """Whether the server has the database, is in touch with its cluster, and leads it if that is
        asked."""
        from trunkline.io.ovsdb_client import ConnectionClosed, RpcError

        columns = ["name", "model", "connected", "leader"]
        operation = {
            "op": "select",
            "table": "Database",
            "where": [["name", "==", self.name]],
            "columns": columns,
        }
        try:
            (result,) = client.call("transact", ["_Server", operation])
        except RpcError:
            return True  # a server that knows nothing of clusters
        except ConnectionClosed:
            return False
        for row in result.get("rows", ()):
            leads = row["leader"] or row["model"] != "clustered" or not self.remotes.leader_only
            return bool(row["connected"] and leads)
        return False


# -- the process -------------------------------------------------------------------------------------------


def words_text(words: Sequence[str]) -> str:
    """A command line as the log shows it: words that a shell would split are quoted."""
    return " ".join(dumps(word) if set(word) & set(" \t\r\n\v\\'\"") or not word else word for word in words)


def _invoker() -> str:
    """The name of the process that started this one, as it was called."""
    try:
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:
            name = file.read(4096).split(b"\0")[0]
    except OSError:
        name = b""
    return name.decode("utf-8", "surrogateescape")


class _Failure(Exception):
    """The run is over; the message goes to the log and to standard error, and the status is 1."""


def _seconds(found: Found) -> int:
    text = None
    for name, value in found:
        if name == "timeout":
            text = value or ""
            if not text.isdigit() or not text.isascii() or not 0 < int(text) < 1 << 32:
                raise _Failure(f"value {text} on -t or --timeout is invalid")
    if text is None:
        text = os.environ.get("OVS_CTL_TIMEOUT", "")
        return int(text) if text.isdigit() else 0
    return int(text)


def options_text(options: Sequence[Option]) -> str:
    """What ``--options`` prints."""
    lines = []
    for option in options:
        argument = "" if option.takes == "no" else "ARG"
        lines.append(f"--{option.name}={argument}\n" if argument else f"--{option.name}\n")
        if option.short:
            lines.append(f"-{option.short} {argument}".rstrip() + "\n")
    return "".join(lines)


def _informed(profile: Profile, found: Found, directories: Directories) -> str | None:
    """The answer of options that only ask, the first of them."""
    for name, _ in found:
        if name == "version":
            return profile.version()
        if name == "help":
            return profile.usage(directories)
        if name == "commands":
            return listing(profile.commands)
        if name == "options":
            return options_text(profile.options)
    return None


def main(profile: Profile, arguments: Sequence[str]) -> int:
    """Runs the tool with `arguments` (without the program's name) and returns its exit status."""
    standard_streams.prepare()
    directories = from_environment(os.environ)
    table = [*profile.options, *local_options(profile.commands)]
    log = log_options.machine_log(profile.program, console=WARN)
    log.set_level("reconnect", None, WARN)
    wrong: OptionError | None = None
    try:
        found, words = parse_options(arguments, table, in_order=True)
    except OptionError as error:  # what stands before the wrong one counts
        found, words, wrong = error.found, [], error
    own = {option.name for option in profile.options}
    try:
        text = _configure(profile, log, found, directories)
        if text is not None:
            sys.stdout.write(text)
            return 0
        if wrong is not None:
            sys.stderr.write(f"{profile.program}: {wrong}\n")
            return 1
        local = [(name, value) for name, value in found if name not in own]
        commands = parse_commands(words, local, {command.name: command for command in profile.commands})
        return _run(profile, log, [one for one in found if one[0] in own], arguments, commands, directories)
    except Exit as exit:
        return exit.status
    except (UsageError, tables.TableError, log_options.LogOptionError, _Failure) as error:
        return _fail(profile, log, str(error))


def _fail(profile: Profile, log: Log, text: str) -> int:
    log.set_level("db_ctl_base", "console", OFF)
    log.module("db_ctl_base").err("%s", text)
    sys.stdout.flush()
    sys.stderr.write(f"{profile.program}: {text}\n")
    return 1


def _configure(profile: Profile, log: Log, found: Found, directories: Directories) -> str | None:
    """Applies the options of logging and checks the others, in their order; the text of an option that
    asks."""
    style_names = {option.name for option in tables.OPTIONS}
    explicit = False
    for name, value in found:
        if name in ("version", "help", "commands", "options"):
            return _informed(profile, [(name, value)], directories)
        if name == "no-syslog":
            log.set(f"{profile.module}:syslog:warn")
        elif name in style_names:
            tables.style_from_options([(name, value)])
        elif name == "timeout":
            _seconds([(name, value)])
        elif not tls_options.mind(log, name, value):
            explicit = explicit or name == "syslog-method"
            log_options.apply_option(log, name, value, directories)
    if not explicit:
        log_options.attach_syslog(log)
    return None


def _run(
    profile: Profile,
    log: Log,
    found: Found,
    arguments: Sequence[str],
    commands: Sequence[Parsed],
    directories: Directories,
) -> int:
    given = dict(found)
    line = words_text([profile.program, *arguments])
    writes = any(parsed.command.writes for parsed in commands)
    tool = profile.tool()
    log.module(profile.module).message(INFO if writes else DBG, "Called as %s", (line,), None)
    seconds = _seconds(found)
    end_by_signals(log)
    if seconds:
        end_after(seconds)
    prepare(tool, commands, log)
    text = given.get("db")
    remotes = Remotes(
        text if text is not None else f"unix:{directories.run}/db.sock",
        "retry" in given or (text is not None and is_passive(text)),
        "no-leader-only" not in given,
        "no-shuffle-remotes" not in given,
        found,
        directories,
        log,
    )
    server = Server(tool.schema.name, remotes)
    wait = profile.wait is not None and "no-wait" not in given
    invoker = f" (invoked by {_invoker()})" if profile.names_invoker else ""
    settings = Settings(
        f"{profile.program}{invoker}: {line}",
        "dry-run" in given,
        profile.appended if wait else (),
    )
    try:
        outcome = run(tool, commands, server, log, random_uuid, settings)
        style = tables.style_from_options(found, tables.Style(format="list"))
        sys.stdout.write(_output(outcome.calls, style, "oneline" in given))
        if wait and outcome.appended is not None and profile.wait is not None:
            profile.wait(server, outcome, log, directories)
    finally:
        server.close()
    return 0


def _output(calls: Sequence[Call], style: tables.Style, oneline: bool) -> str:
    printer = tables.Printer(style)
    texts = []
    for call in calls:
        if call.table is not None:
            texts.append(printer.render(call.table))
        elif oneline:
            text = "".join(call.output).removesuffix("\n")
            texts.append(text.replace("\\", "\\\\").replace("\n", "\\n") + "\n")
        else:
            texts += call.output
    return "".join(texts)
