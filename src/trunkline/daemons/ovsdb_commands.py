"""The control commands of ovsdb-server (ovsdb-server(1), "Runtime Management Commands")."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from trunkline.base.targets import absolute
from trunkline.daemons.commands import exit_command
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model.control_commands import OVSDB_SERVER
from trunkline.ovsdb.errors import OvsdbError

if TYPE_CHECKING:
    from trunkline.daemons.ovsdb_server import Daemon


def commands(daemon: "Daemon") -> list[Command]:
    """Every command of the original; those that are not there yet refuse with a clear text."""
    own = [
        exit_command(daemon.env.stopping),
        Command("ovsdb-server/add-db", "DB", 1, 1, lambda a: _add_db(daemon, a)),
        Command("ovsdb-server/remove-db", "DB", 1, 1, lambda a: _remove_db(daemon, a)),
        Command("ovsdb-server/list-dbs", "", 0, 0, lambda _: _lines(daemon.server.databases)),
        Command("ovsdb-server/compact", "", 0, 1, lambda a: _compact(daemon, a)),
        Command("ovsdb-server/reconnect", "", 0, 0, lambda _: _reconnect(daemon)),
        Command("ovsdb-server/disable-monitor-cond", "", 0, 0, lambda _: _disable_monitor_cond(daemon)),
        Command("ovsdb-server/get-db-storage-status", "DB", 1, 1, lambda a: _storage_status(daemon, a)),
        Command("ovsdb-server/perf-counters-show", "", 0, 0, lambda _: _NO_COUNTERS),
        Command("ovsdb-server/perf-counters-clear", "", 0, 0, lambda _: ""),
        Command("ovsdb-server/sync-status", "", 0, 0, lambda _: "state: active\n"),
        Command("ovsdb-server/list-remotes", "", 0, 0, lambda _: _lines(sorted(daemon.remotes.configured))),
        Command("memory/show", "", 0, 0, lambda _: _memory(daemon)),
    ]

    async def add_remote(arguments: Sequence[str]) -> str:
        problem = await daemon.remotes.add(arguments[0])
        if problem:
            raise CommandError(problem)
        return ""

    async def remove_remote(arguments: Sequence[str]) -> str:
        if not await daemon.remotes.remove(arguments[0]):
            raise CommandError("no such remote")
        return ""

    own.append(Command("ovsdb-server/add-remote", "REMOTE", 1, 1, add_remote))
    own.append(Command("ovsdb-server/remove-remote", "REMOTE", 1, 1, remove_remote))
    there = {command.name for command in own}
    missing = [item for item in OVSDB_SERVER if item.name not in there]
    return own + [
        Command(item.name, item.usage, 0, None, _refusal(item.name, item.instead)) for item in missing
    ]


_NO_COUNTERS = "performance counter is not supported on this platform"


def _refusal(name: str, instead: str) -> Callable[[Sequence[str]], str]:
    def refuse(_: Sequence[str]) -> str:
        raise CommandError(f"{name} is not implemented yet: {instead}")

    return refuse


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def _add_db(daemon: "Daemon", arguments: Sequence[str]) -> str:
    try:
        daemon.open(absolute(arguments[0], daemon.env.directories.database))
    except OvsdbError as error:
        raise CommandError(str(error)) from None
    daemon.schedule()
    return ""


def _remove_db(daemon: "Daemon", arguments: Sequence[str]) -> str:
    name = arguments[0]
    if name.startswith("_") and name in daemon.server.databases:
        raise CommandError("Cannot remove reserved database.")
    if name not in daemon.files:
        raise CommandError("Failed to find the database.")
    daemon.remove(name)
    daemon.remotes.database_changed({name})
    daemon.schedule()
    return ""


def _compact(daemon: "Daemon", arguments: Sequence[str]) -> str:
    if arguments and arguments[0] not in daemon.server.databases:
        raise CommandError("no database by that name")
    for name in daemon.files:
        if not arguments or arguments[0] == name:
            try:
                daemon.compact(name)
            except OvsdbError as error:
                raise CommandError(str(error)) from None
    return ""


def _reconnect(daemon: "Daemon") -> str:
    daemon.server.reconnect()
    daemon.schedule()
    return ""


def _disable_monitor_cond(daemon: "Daemon") -> str:
    daemon.server.monitor_cond = False
    return _reconnect(daemon)


def _storage_status(daemon: "Daemon", arguments: Sequence[str]) -> str:
    if arguments[0] not in daemon.server.databases:
        raise CommandError("no database by that name")
    return "status: ok\n"


def _memory(daemon: "Daemon") -> str:
    """atoms and cells as the original counts them: values, and columns of rows."""
    atoms = cells = weak = 0
    for hosted in daemon.server.databases.values():
        for state in hosted.database.tables.values():
            for row in state.rows.values():
                cells += len(row.values)
                for value in row.values:
                    atoms += sum(len(item) if type(item) is tuple else 1 for item in value)
            weak += sum(sum(sources.values()) for sources in state.referrers.values())
    monitors = sum(len(session.monitors) for session in daemon.server.sessions)
    parts = [f"atoms:{atoms}", f"cells:{cells}", f"monitors:{monitors}", f"n-weak-refs:{weak}"]
    if daemon.server.sessions:
        parts.append(f"sessions:{len(daemon.server.sessions)}")
    return " ".join(parts) + "\n"
