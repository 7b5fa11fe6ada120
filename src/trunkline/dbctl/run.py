"""One run of a database tool: plan, read, change, commit; again when somebody else was quicker.

The order is the original's and is visible in its errors: the whole line is parsed; every command's `prepare`
checks what needs no database; then all commands run against one `Work`; then the transaction is sent.
Output is kept back until it has succeeded.  This module talks to the database by a `Connection`, which io/
provides.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from trunkline.base.json import Json, dumps
from trunkline.base.log import Log
from trunkline.dbctl.grammar import Parsed, UsageError
from trunkline.dbctl.names import Lookup
from trunkline.dbctl.tables import Table
from trunkline.dbctl.work import TryAgain, TryLater, Work, atom_order
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.schema import Schema

RETRY: Final = "timed out"
"""The error of an operation ``wait`` whose condition does not hold."""
ABORTED: Final = "aborted"
"""The error of an operation ``abort``, with which a run that is to change nothing ends."""


class Connection(Protocol):
    """What a run needs of a database server, already chosen and connected."""

    def transact(self, operations: Sequence[Json]) -> list[Json]:
        """The results, one per operation, errors among them."""
        ...

    def change(self, tables: Sequence[str]) -> None:
        """Returns after a table among `tables` has changed.  The first call for a table may return at
        once."""
        ...


class Tool(NamedTuple):
    """What makes one tool different from another.

    `module` is its module in the log, `lookups` say how rows are named in each table, and `preamble` is what
    every run begins with, such as making the one row there has to be.
    """

    program: str
    module: str
    schema: Schema
    lookups: Mapping[str, tuple[Lookup, ...]]
    preamble: Callable[[Work], None] | None = None


class Plan(NamedTuple):
    """What `prepare` sees: everything but the database."""

    tool: Tool
    parsed: Parsed
    log: Log

    def warn(self, text: str) -> None:
        self.log.module("db_ctl_base").warn("%s", text)


class Call:
    """One command at work: its arguments, the database as this run sees it, and what it has to say."""

    __slots__ = (
        "arguments",
        "log",
        "options",
        "output",
        "parsed",
        "result",
        "state",
        "table",
        "tool",
        "work",
    )

    def __init__(self, tool: Tool, parsed: Parsed, work: Work, log: Log, state: dict[str, object]) -> None:
        self.tool = tool
        self.parsed = parsed
        self.arguments = parsed.arguments
        self.options = parsed.options
        self.work = work
        self.log = log
        self.output: list[str] = []
        self.table: Table | None = None
        self.result: Uuid | None = None
        self.state = state
        """What commands of one run share, by name of a family."""

    def print(self, line: str) -> None:
        self.output.append(line + "\n")

    def print_sorted(self, lines: Iterable[str]) -> None:
        """Prints lines in the order of their bytes."""
        for line in sorted(lines, key=atom_order):
            self.print(line)

    def warn(self, text: str) -> None:
        self.log.module("db_ctl_base").warn("%s", text)


class Settings(NamedTuple):
    """Of one run: the comment of its transaction, whether to leave the database as it is, and operations to
    append when something changes."""

    comment: str
    dry_run: bool = False
    appended: tuple[Json, ...] = ()


class Outcome(NamedTuple):
    """The commands as they ended, and the results of the appended operations (None when nothing changed)."""

    calls: list[Call]
    appended: list[Json] | None
    work: Work


class Exit(Exception):
    """A command ends the whole run at once, without output, with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class TransactionError(UsageError):
    """The server refused the transaction."""


def prepare(tool: Tool, commands: Sequence[Parsed], log: Log) -> None:
    """Checks what can be checked without the database.  Raises UsageError."""
    for parsed in commands:
        if parsed.command.prepare is not None:
            parsed.command.prepare(Plan(tool, parsed, log))


def run(
    tool: Tool,
    commands: Sequence[Parsed],
    connection: Connection,
    log: Log,
    new_uuid: Callable[[], Uuid],
    settings: Settings,
) -> Outcome:
    """Runs `commands` until their transaction succeeds or cannot.  Raises UsageError."""
    while True:
        try:
            outcome = _attempt(tool, commands, connection, log, new_uuid, settings)
        except TryAgain:
            continue
        except TryLater as later:
            connection.change([later.table])
            continue
        if outcome is not None:
            return outcome


def _attempt(
    tool: Tool,
    commands: Sequence[Parsed],
    connection: Connection,
    log: Log,
    new_uuid: Callable[[], Uuid],
    settings: Settings,
) -> Outcome | None:
    def ask(operations: Sequence[Json]) -> list[Json]:
        results = connection.transact(operations)
        for result in results:
            if result is None or "error" in result:
                raise _refused(log, result)
        return results

    warn = log.module(tool.module).warn
    work = Work(tool.schema, ask, new_uuid, lambda text: warn("%s", text))
    if tool.preamble is not None:
        tool.preamble(work)
    work.ask_ahead(
        question
        for parsed in commands
        if parsed.command.asks is not None
        for question in parsed.command.asks(Plan(tool, parsed, log))
    )
    state: dict[str, object] = {}
    calls = []
    for parsed in commands:
        call = Call(tool, parsed, work, log, state)
        calls.append(call)
        parsed.command.run(call)
    _check_symbols(tool, work, log)
    operations = work.operations()
    if not operations:
        return Outcome(calls, None, work)
    appended = [*settings.appended]
    last: list[Json] = [{"op": "comment", "comment": settings.comment}]
    if settings.dry_run:
        last.append({"op": "abort"})
    results = connection.transact([*operations, *appended, *last])
    for result in results:
        if result is not None and "error" in result:
            if result["error"] == RETRY:
                return None
            if settings.dry_run and result["error"] == ABORTED:
                return Outcome(calls, None, work)
            raise _refused(log, result)
    for operation, result in zip(operations, results):
        if operation["op"] == "insert":
            _settle(work, operation, result)
    for call in calls:
        if call.parsed.command.finish is not None:
            call.parsed.command.finish(call)
    return Outcome(calls, results[len(operations) : len(operations) + len(appended)], work)


def _refused(log: Log, error: Json) -> UsageError:
    text = f"transaction error: {dumps(error, sort_keys=True)}"
    if error["error"] != "not allowed":  # a server that only reads is no news for a log
        log.module("ovsdb_idl").warn("%s", text)
    return TransactionError(text)


def _settle(work: Work, operation: Json, result: Json) -> None:
    name = operation["uuid-name"]
    provisional = name[3:].replace("_", "-")
    work.real[provisional] = result["uuid"][1]


def _check_symbols(tool: Tool, work: Work, log: Log) -> None:
    for name, symbol in work.symbols.items():
        if not symbol.created:
            raise UsageError(
                f'row id "{name}" is referenced but never created (e.g. with "-- --id={name} create ...")'
            )
        if not symbol.referenced and symbol.fragile:
            log.module(tool.module).warn(
                "%s",
                f'row id "{name}" was created but no reference to it was inserted, '
                "so it will not actually appear in the database",
            )
