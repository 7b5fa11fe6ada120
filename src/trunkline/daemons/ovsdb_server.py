"""ovsdb-server: the database server as a daemon (ovsdb-server(1)).

What it does is in daemons/ovsdb_daemon.py; here are its command line and its life.  Remotes come from the
command line, from control commands and from the database itself (daemons/ovsdb_remotes.py); the control
commands are in daemons/ovsdb_commands.py.
"""

import asyncio
import signal
from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.base import usage
from trunkline.base.directories import Directories
from trunkline.base.options import Option, Parsed
from trunkline.daemons.env import Env
from trunkline.daemons.ovsdb_commands import commands, memory_usage
from trunkline.daemons.ovsdb_daemon import Daemon
from trunkline.daemons.ovsdb_replication import Replication
from trunkline.daemons.process import REPLAY_OPTIONS, Fatal, Program, Run
from trunkline.daemons.process import main as run_program
from trunkline.io.loop import Collector
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.server import SERVER

OPTIONS: Final = (
    Option("remote", "required"),
    Option("run", "required"),
    Option("sync-from", "required"),
    Option("sync-exclude-tables", "required"),
    Option("active"),
    Option("no-dbs"),
    Option("disable-file-column-diff"),
    *REPLAY_OPTIONS,
)


class Sync(NamedTuple):
    """The role to start in: backup of `server`, unless that is "" or `active` is set."""

    server: str = ""
    excluded: str = ""
    active: bool = False


async def serve(
    env: Env,
    files: Sequence[str],
    remotes: Sequence[str],
    *,
    command: str | None = None,
    column_diff: bool = True,
    sync: Sync = Sync(),  # noqa: B008 - an immutable record
) -> None:
    """Runs the server until `env.stopping` is set, or until the shell `command` ends."""
    daemon = Daemon(env)
    daemon.column_diff = column_diff
    daemon.replication = Replication(daemon, sync.server, sync.excluded)
    try:
        await _begin(daemon, files, remotes)
    except BaseException:
        daemon.close()  # before a relay that was opened has begun to look for its source
        await daemon.remotes.close()
        raise
    if sync.server and not sync.active:
        daemon.replication.start()
    env.ready()
    if command is None:
        daemon.log.info("ovsdb-server (Open vSwitch) %s", _version())
    status = asyncio.ensure_future(daemon.remotes.keep_status())
    try:
        work = asyncio.ensure_future(env.stopping.wait() if command is None else _run_command(command))
        ended = asyncio.ensure_future(daemon.ended.wait())
        await asyncio.wait((work, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not work.cancel():
            work.result()
    finally:
        status.cancel()
        daemon.replication.stop()
        await daemon.remotes.close()
        daemon.close()
    if daemon.failure is not None:
        raise daemon.failure


async def _begin(daemon: Daemon, files: Sequence[str], remotes: Sequence[str]) -> None:
    """Opens the databases and listens.  Raises Fatal."""
    for path in dict.fromkeys(files):
        try:
            daemon.open(path)
        except OvsdbError as error:
            raise Fatal(str(error)) from None
    Collector.freeze()
    daemon.env.commands.add(*commands(daemon))
    daemon.env.counters.report_memory(lambda: memory_usage(daemon))
    for wrong in (daemon.remotes.problems(remotes), daemon.tls.problems()):
        if wrong:
            raise Fatal("".join(f"{line}\n" for line in wrong))
    for remote in remotes:
        problem = await daemon.remotes.add(remote)
        if problem:
            raise Fatal(problem)
    daemon.tls.begin()
    daemon.turn()


async def _run_command(command: str) -> None:
    process = await asyncio.create_subprocess_shell(command)
    status = await process.wait()
    if status:
        how = f"exit status {status}" if status > 0 else f"killed ({signal.strsignal(-status)})"
        raise Fatal(f"{command}: child exited, {how}")


def _version() -> str:
    from trunkline.base.version import OPEN_VSWITCH

    return OPEN_VSWITCH


def configure(parsed: Parsed, directories: Directories) -> Run:
    """The daemon that the command line asks for.  Raises Fatal."""
    options = dict(parsed.options)
    remotes = [value or "" for name, value in parsed.options if name == "remote"]
    excluded = options.get("sync-exclude-tables") or ""
    sync = Sync(options.get("sync-from") or "", excluded, "active" in options)
    files = list(parsed.arguments)
    if not files and "no-dbs" not in options:
        files = [f"{directories.database}/conf.db"]
    column_diff = "disable-file-column-diff" not in options
    command = options.get("run")
    return lambda env: serve(env, files, remotes, command=command, column_diff=column_diff, sync=sync)


def help_text(directories: Directories) -> str:
    return (
        "ovsdb-server: Open vSwitch database server\n"
        "usage: ovsdb-server [OPTIONS] [DATABASE...]\n"
        "where each DATABASE is a database file in ovsdb format.\n"
        "The default DATABASE, if none is given, is\n"
        f"{directories.database}/conf.db.\n"
        "\nJSON-RPC options (may be specified any number of times):\n"
        "  --remote=REMOTE         connect or listen to REMOTE\n"
        + usage.streams("JSON-RPC")
        + usage.daemon("ovsdb-server", directories.run)
        + usage.logging("ovsdb-server", directories.log)
        + """
Syncing options:
  --sync-from=SERVER      sync DATABASE from active SERVER and start in
                          backup mode (except with --active)
  --sync-exclude-tables=DB:TABLE,...
                          exclude the TABLE in DB from syncing
  --active                with --sync-from, start in active mode

Replay options:
  --record[=DIR]            turn on writing replay files
  --replay[=DIR]            run from replay files

Other options:
  --run COMMAND           run COMMAND as subprocess then exit
  --unixctl=SOCKET        override default control socket name
  --disable-file-column-diff
                          don't use column diff in database file
  -h, --help              display this help message
  -V, --version           display version information
"""
    )


PROGRAM: Final = Program(
    "ovsdb-server",
    help_text,
    (),
    OPTIONS,
    configure,
    accept_module="ovsdb_jsonrpc_server",
    minds_keys=False,
)


def main() -> None:
    run_program(PROGRAM)


__all__ = ["PROGRAM", "SERVER", "main", "serve"]
