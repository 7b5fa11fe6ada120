"""The control commands of ovsdb-server (ovsdb-server(1), "Runtime Management Commands")."""

from collections.abc import Iterable, Sequence

from trunkline.daemons.commands import exit_command
from trunkline.daemons.ovsdb_daemon import Daemon
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.replication import excluded_text


def commands(daemon: Daemon) -> list[Command]:
    """Every command of the original."""

    async def compact(arguments: Sequence[str]) -> str:
        return await _compact(daemon, arguments)

    own = [
        exit_command(daemon.env.stopping),
        Command("ovsdb-server/add-db", "DB", 1, 1, lambda a: _add_db(daemon, a)),
        Command("ovsdb-server/remove-db", "DB", 1, 1, lambda a: _remove_db(daemon, a)),
        Command("ovsdb-server/list-dbs", "", 0, 0, lambda _: _lines(daemon.server.databases)),
        Command("ovsdb-server/compact", "", 0, 1, compact),
        Command(
            "ovsdb-server/reconnect",
            "",
            0,
            0,
            lambda _: _reconnect(daemon, "user ran ovsdb-server/reconnect"),
        ),
        Command("ovsdb-server/disable-monitor-cond", "", 0, 0, lambda _: _disable_monitor_cond(daemon)),
        Command("ovsdb-server/get-db-storage-status", "DB", 1, 1, lambda a: _storage_status(daemon, a)),
        Command("ovsdb-server/perf-counters-show", "", 0, 0, lambda _: _NO_COUNTERS),
        Command("ovsdb-server/perf-counters-clear", "", 0, 0, lambda _: ""),
        Command("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, lambda a: _trim(daemon, a)),
        Command("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2, lambda a: _tlog_set(daemon, a)),
        Command("ovsdb-server/tlog-list", "", 0, 0, lambda _: _tlog_list(daemon)),
        *_replication_commands(daemon),
        Command("ovsdb-server/list-remotes", "", 0, 0, lambda _: _lines(sorted(daemon.remotes.configured))),
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
    return own


_NO_COUNTERS = "performance counter is not supported on this platform"


def _replication_commands(daemon: Daemon) -> list[Command]:
    """Those of ovsdb-server(1), "Active-Backup Commands"."""

    def set_active(arguments: Sequence[str]) -> str:
        daemon.replication.active_server = arguments[0]
        return ""

    def connect(_: Sequence[str]) -> str:
        if not daemon.replication.active_server:
            return "Unable to connect: active server is not specified.\n"
        daemon.replication.start()
        return _reconnect(daemon, "switching to backup mode")

    def disconnect(_: Sequence[str]) -> str:
        daemon.replication.stop()
        return _reconnect(daemon, "switching to active mode")

    def set_probe_interval(arguments: Sequence[str]) -> str:
        try:
            milliseconds = int(arguments[0])
        except ValueError:
            milliseconds = 1 << 31
        if not -(1 << 31) <= milliseconds < 1 << 31:
            return "Invalid probe interval, integer value expected\n"
        daemon.replication.set_probe_interval(milliseconds)
        return ""

    def set_excluded(arguments: Sequence[str]) -> str:
        daemon.replication.exclude(arguments[0])
        return ""

    def get_active(_: Sequence[str]) -> str:
        return _line(daemon.replication.active_server)

    def get_excluded(_: Sequence[str]) -> str:
        return _line(excluded_text(daemon.replication.excluded))

    probe = "ovsdb-server/set-active-ovsdb-server-probe-interval"
    return [
        Command("ovsdb-server/set-active-ovsdb-server", "", 1, 1, set_active),
        Command("ovsdb-server/get-active-ovsdb-server", "", 0, 0, get_active),
        Command("ovsdb-server/connect-active-ovsdb-server", "", 0, 0, connect),
        Command("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, disconnect),
        Command(probe, "", 1, 1, set_probe_interval),
        Command("ovsdb-server/set-sync-exclude-tables", "", 1, 1, set_excluded),
        Command("ovsdb-server/get-sync-exclude-tables", "", 0, 0, get_excluded),
        Command("ovsdb-server/sync-status", "", 0, 0, lambda _: daemon.replication.status()),
    ]


def _line(text: str) -> str:
    return f"{text}\n" if text else ""


def _trim(daemon: Daemon, arguments: Sequence[str]) -> str:
    if arguments[0] not in ("on", "off"):
        raise CommandError("invalid argument")
    daemon.compactor.trim = arguments[0] == "on"
    daemon.log.info(
        "memory trimming after compaction %s.", {"on": "enabled", "off": "disabled"}[arguments[0]]
    )
    return ""


def _tlog_set(daemon: Daemon, arguments: Sequence[str]) -> str:
    if arguments[1] not in ("on", "off"):
        raise CommandError("invalid command argument")
    name, _, table = arguments[0].partition(":")
    if not name or not table:
        raise CommandError("invalid DB:TABLE argument")
    hosted = daemon.server.databases.get(name)
    if hosted is None:
        raise CommandError("no such database")
    if table not in hosted.database.tables:
        raise CommandError("no such table")
    if arguments[1] == "on":
        hosted.told_tables.add(table)
    else:
        hosted.told_tables.discard(table)
    return ""


def _tlog_list(daemon: Daemon) -> str:
    """A table of what is logged."""
    lines = [
        "database        table                       logging",
        "--------        -----                       -------",
    ]
    for name, hosted in daemon.server.databases.items():
        lines.append(f"{name:<16} ")
        for table in sorted(hosted.database.tables):
            lines.append(f"{'':16}{table:<27} {'ON' if table in hosted.told_tables else 'OFF'}")
    return _lines(lines)


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def _add_db(daemon: Daemon, arguments: Sequence[str]) -> str:
    try:
        daemon.open(arguments[0])
    except OvsdbError as error:
        raise CommandError(str(error)) from None
    daemon.schedule()
    return ""


def _remove_db(daemon: Daemon, arguments: Sequence[str]) -> str:
    name = arguments[0]
    if name.startswith("_") and name in daemon.server.databases:
        raise CommandError("Cannot remove reserved database.")
    if name not in daemon.files and name not in daemon.relays:
        raise CommandError("Failed to find the database.")
    try:
        daemon.remove(name)
    except OvsdbError as error:
        raise CommandError(str(error)) from None
    daemon.remotes.database_changed({name: set()})
    daemon.schedule()
    return ""


async def _compact(daemon: Daemon, arguments: Sequence[str]) -> str:
    if arguments and arguments[0].startswith("_"):
        raise CommandError("cannot compact built-in databases")
    if arguments and arguments[0] not in daemon.server.databases:
        raise CommandError("no database by that name")
    if arguments and arguments[0] in daemon.relays:
        raise CommandError("a relay database has no file to compact")
    for name in list(daemon.files):
        if not arguments or arguments[0] == name:
            daemon.log.info("compacting %s database by user request", name)
            try:
                await daemon.compactor.compact(name)
            except OvsdbError as error:
                raise CommandError(str(error)) from None
    return ""


def _reconnect(daemon: Daemon, reason: str) -> str:
    daemon.server.reconnect(reason)
    daemon.schedule()
    return ""


def _disable_monitor_cond(daemon: Daemon) -> str:
    daemon.server.monitor_cond = False
    return _reconnect(daemon, "user ran ovsdb-server/disable-monitor-cond")


def _storage_status(daemon: Daemon, arguments: Sequence[str]) -> str:
    if arguments[0] not in daemon.server.databases:
        raise CommandError("Failed to find the database.")
    return "status: ok\n"


def memory_usage(daemon: Daemon) -> dict[str, int]:
    """atoms and cells as the original counts them: values, and columns of rows, _uuid and _version too."""
    atoms = cells = weak = 0
    for hosted in daemon.server.databases.values():
        for state in hosted.database.tables.values():
            for row in state.rows.values():
                cells += len(row.values) + 2
                atoms += 2
                for value in row.values:
                    atoms += sum(len(item) if type(item) is tuple else 1 for item in value)
            weak += sum(sum(sources.values()) for sources in state.referrers.values())
    monitors = sum(len(hosted.shapes) for hosted in daemon.server.databases.values())  # equal ones count once
    usage = {"atoms": atoms, "cells": cells, "monitors": monitors, "n-weak-refs": weak}
    backlog = sum(connection.stream.backlog for connection in daemon.connections.values())
    few = {"backlog": backlog, "sessions": len(daemon.server.sessions), "triggers": daemon.server.waiting()}
    return usage | {name: count for name, count in few.items() if count}
