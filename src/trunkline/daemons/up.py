"""``trunkline up``: the database server and the switch in one process.

To the world they are the two daemons, with their usual sockets, control sockets and pid files (which hold the
same pid), so every tool works; inside they are two tasks of one event loop.  The database is made if it is
missing.  Whichever ends, by ``ovs-appctl exit`` or by a signal, takes the other along: the switch goes first.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from trunkline.base.directories import Directories, from_environment
from trunkline.base.json import Json, JsonStream, dumps, loads
from trunkline.base.log import INFO, OFF, WARN, Log
from trunkline.base.options import Option, OptionError, Parsed, parse_options
from trunkline.base.targets import absolute
from trunkline.base.version import OPEN_VSWITCH
from trunkline.daemons.env import Env
from trunkline.daemons.process import (
    STOP_SECONDS,
    Fatal,
    Program,
    Run,
    environment,
    log_failure,
    periodic,
    watch_memory,
)
from trunkline.io import log_options
from trunkline.io.alarm import hold_signals
from trunkline.io.daemonize import Daemonize, set_name
from trunkline.io.loop import Collector, Loop, LoopClock
from trunkline.io.ovsdb_file import create_file
from trunkline.io.pidfile import Pidfile, PidfileError, make_pidfile
from trunkline.io.streams import Sockets
from trunkline.io.unixctl import ControlServer
from trunkline.jsonrpc.message import Request, encode
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.errors import OvsdbError

DATABASE: Final = ("ovsdb-server", "trunkline.daemons.ovsdb_server")
SWITCH: Final = ("ovs-vswitchd", "trunkline.daemons.vswitchd")
OPTIONS: Final = (
    Option("help", short="h"),
    Option("detach"),
    Option("db-file", "required"),
    Option("remote", "required"),
    Option("log-file"),
    Option("verbose", "optional", "v"),
)
HELP: Final = """\
usage: trunkline up [OPTIONS]
Runs the database server and the switch in one process, in the foreground.
  --detach            return as soon as both serve
  --db-file=FILE      the database (default: conf.db in OVS_DBDIR); made if missing
  --remote=REMOTE     let the database listen there as well, such as ptcp:6640
  --log-file          log to ovsdb-server.log and ovs-vswitchd.log in OVS_LOGDIR
  -v, --verbose=SPEC  set logging levels
  -h, --help          this text
"""


class Part(NamedTuple):
    """One daemon of the process."""

    name: str
    log: Log
    run: Run
    pidfile: Pidfile


def main(argv: Sequence[str]) -> int:
    """Runs until both have ended; the exit status."""
    directories = from_environment(os.environ)
    try:
        parsed = parse_options(argv, OPTIONS)
        given = dict(parsed.options)
        if "help" in given:
            sys.stdout.write(HELP)
            return 0
        if parsed.arguments:
            raise OptionError(f"unexpected argument '{parsed.arguments[0]}'")
        file = absolute(given.get("db-file") or "conf.db", directories.database)
        create_database(file, directories)
        return _run(parsed, file, directories)
    except (OptionError, log_options.LogOptionError, Fatal) as error:
        sys.stderr.write(f"trunkline up: {error}\n")
    except PidfileError as error:
        sys.stderr.write(f"trunkline up: {error.text}\n")
    except OSError as error:
        sys.stderr.write(f"trunkline up: {error.filename}: {error.strerror}\n")
    return 1


def create_database(path: str, directories: Directories) -> None:
    """An empty Open_vSwitch database, unless the file is there.  Raises OSError, Fatal."""
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        create_file(path, [loads(schema_text("Open_vSwitch"))])
    except OvsdbError as error:
        raise Fatal(str(error)) from None


def _run(parsed: Parsed, file: str, directories: Directories) -> int:
    os.makedirs(directories.run, exist_ok=True)
    given = dict(parsed.options)
    socket = f"{directories.run}/db.sock"
    remotes = [f"--remote={value}" for name, value in parsed.options if name == "remote"]
    own = "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"
    database = _configured(DATABASE, [file, f"--remote=punix:{socket}", own, *remotes], directories)
    switch = _configured(SWITCH, [f"unix:{socket}"], directories)
    logs = [_log(name, parsed, directories) for name, _ in (DATABASE, SWITCH)]
    daemonize = Daemonize(logs[0], detach="detach" in given)
    daemonize.start()
    set_name("trunkline")
    parts: list[Part] = []
    try:
        for log, run in zip(logs, (database, switch), strict=True):
            log.pid = os.getpid()
            parts.append(Part(log.program, log, run, make_pidfile(f"{directories.run}/{log.program}.pid")))

        def complete() -> None:
            daemonize.complete()
            if "detach" in given:
                for log in logs:
                    log.set_level(None, "console", OFF)

        with asyncio.Runner(loop_factory=Loop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, Loop)
            loop.set_exception_handler(lambda _, context: log_failure(logs[1], context))
            Collector().install(loop)
            runner.run(_both(loop, parts, directories, complete))
    finally:
        for part in parts:
            part.pidfile.remove()
    return 0


def _configured(which: tuple[str, str], argv: Sequence[str], directories: Directories) -> Run:
    program: Program = import_module(which[1]).PROGRAM
    return program.configure(parse_options(argv, program.options), directories)


def _log(name: str, parsed: Parsed, directories: Directories) -> Log:
    foreground = not any(option == "detach" for option, _ in parsed.options)
    log = log_options.machine_log(name, console=WARN if foreground else INFO)
    log_options.attach_syslog(log)
    if any(option == "log-file" for option, _ in parsed.options):
        os.makedirs(directories.log, exist_ok=True)
    log_options.apply_options(log, parsed.options, directories)
    return log


async def _both(
    loop: Loop,
    parts: Sequence[Part],
    directories: Directories,
    complete: Callable[[], None],
) -> None:
    """Starts the parts one after the other, each when the one before serves; ends them in reverse."""
    running: list[tuple[Env, asyncio.Task[None], ControlServer, Sockets]] = []
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        for part in parts:
            serves = asyncio.Event()
            part.log.clock = LoopClock(loop)
            sockets = Sockets(part.log, directories.run)
            env = environment(part.name, part.log, directories, sockets, ready=serves.set)
            server = ControlServer(env.commands, part.log, env.counters)
            await server.start(sockets.listen, f"{directories.run}/{part.name}.{os.getpid()}.ctl")
            task = loop.create_task(part.run(env))
            running.append((env, task, server, sockets))
            await _first(serves.wait(), task, stop.wait())
            if task.done() or stop.is_set():
                break
            if part is parts[0]:
                await initialize(env)
        else:
            complete()
            sampling = loop.create_task(periodic([env.counters for env, *_ in running]))
            watching = [loop.create_task(watch_memory(env)) for env, *_ in running]
            await _first(stop.wait(), *(task for _, task, *_ in running))
            for task in (sampling, *watching):
                task.cancel()
    finally:
        for env, task, server, sockets in reversed(running):
            env.stopping.set()
            _, late = await asyncio.wait([task], timeout=STOP_SECONDS)
            for hanging in late:
                hanging.cancel()
            await server.stop()
            sockets.close()
        hold_signals()
    for _, task, *_ in running:
        task.result()


async def _first(*awaitables: Awaitable[object]) -> None:
    """Until one of them is done; those that are not tasks already are cancelled then."""
    tasks = [asyncio.ensure_future(item) for item in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for item, task in zip(awaitables, tasks, strict=True):
        if task is not item:
            task.cancel()


async def initialize(env: Env) -> None:
    """Writes the one row of Open_vSwitch, with versions and ids, as ovs-ctl does.  Raises Fatal."""
    rows = await _transact(
        env, [{"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["_uuid"]}]
    )
    operations: list[Json] = []
    if not rows[0]["rows"]:
        operations.append({"op": "insert", "table": "Open_vSwitch", "row": {}})
    ids = [["rundir", env.directories.run], ["system-id", _system_id(env)], ["hostname", os.uname().nodename]]
    row = {"ovs_version": OPEN_VSWITCH, "db_version": _schema_version()}
    operations.append({"op": "update", "table": "Open_vSwitch", "where": [], "row": row})
    insert = ["external_ids", "insert", ["map", ids]]  # leaves the values that are there
    operations.append({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [insert]})
    await _transact(env, operations)


def _schema_version() -> str:
    text = schema_text("Open_vSwitch")
    return str(loads(text)["version"])


def _system_id(env: Env) -> str:
    """The id that ovs-ctl keeps, or a new one, kept in the same place if that can be written."""
    path = f"{env.directories.configuration}/openvswitch/system-id.conf"
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        pass  # the first start
    bits = env.random.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 4 << 76 | 2 << 62
    digits = f"{bits:032x}"
    made = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x") as file:
            file.write(f"{made}\n")
    except OSError as error:
        env.log.module("ovsdb_server").warn("%s: %s: the system-id will not persist", path, error.strerror)
    return made


async def _transact(env: Env, operations: list[Json]) -> list[Json]:
    stream = await env.dial(f"unix:{env.directories.run}/db.sock")
    try:
        stream.write(encode(Request("transact", ["Open_vSwitch", *operations], 0)))
        messages = JsonStream()
        while data := await stream.read():
            for reply in messages.feed(data):
                failed = [item for item in reply.get("result") or [reply] if item and item.get("error")]
                if failed:
                    raise Fatal(f"cannot initialize the database: {dumps(failed[0])}")
                result: list[Json] = reply["result"]
                return result
    finally:
        stream.close()
    raise Fatal("cannot initialize the database: the connection was closed")
