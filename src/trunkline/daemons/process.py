"""A daemon as a process: the options that every daemon has, and the road from a command line to `run(env)`.

`main` reads the command line, sets up log and pid file, forks as asked (io/daemonize.py), and only then makes
the event loop, the control socket and the Env.  SIGTERM, SIGINT and SIGHUP ask the daemon to stop; when it
has returned, its sockets and its pid file are removed and the process ends by the same signal, as whoever
waits for it expects.  An exception that nobody caught is logged and ends in SIGABRT, which ``--monitor``
takes for what it is: a crash.
"""

import asyncio
import gc
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, NoReturn

from trunkline.base.counters import SAMPLE_SECONDS, Counters
from trunkline.base.directories import Directories, from_environment
from trunkline.base.log import INFO, WARN, Log, RateLimit
from trunkline.base.options import LOGGING, Found, Option, OptionError, Parsed, parse_options
from trunkline.base.targets import absolute
from trunkline.base.version import version_text
from trunkline.daemons.commands import common_commands
from trunkline.daemons.env import Env
from trunkline.io import log_options, standard_streams, tls_options
from trunkline.io.alarm import die, hold_signals
from trunkline.io.daemonize import Daemonize, set_name
from trunkline.io.files import error_text
from trunkline.io.loop import Collector, Loop, LoopClock
from trunkline.io.pidfile import PidfileError
from trunkline.io.privileges import PrivilegeError, become, find_user
from trunkline.io.streams import Listen, Sockets
from trunkline.io.tls import TlsFiles
from trunkline.io.unixctl import ControlServer
from trunkline.jsonrpc.unixctl import Commands

Run = Callable[[Env], Coroutine[Any, Any, None]]

DAEMON_OPTIONS: Final = (
    Option("help", short="h"),
    Option("version", short="V"),
    Option("detach"),
    Option("monitor"),
    Option("no-chdir"),
    Option("no-self-confinement"),
    Option("pidfile", "optional"),
    Option("overwrite-pidfile"),
    Option("user", "required"),
    Option("unixctl", "required"),
)
TLS_OPTIONS: Final = (
    *tls_options.KEYS,
    tls_options.BOOTSTRAP,
    tls_options.PEER,
    *tls_options.CHOICES,
)
REPLAY_OPTIONS: Final = (Option("record", "optional"), Option("replay", "optional"))
COMMON_OPTIONS: Final = (*DAEMON_OPTIONS, *LOGGING, *TLS_OPTIONS)
_COMMON_NAMES: Final = frozenset(option.name for option in COMMON_OPTIONS)
MEMORY_SECONDS: Final = 10  # between looks at how much memory the daemon needs
STOP_SECONDS: Final = 5  # that a daemon has to stop after a signal


class Fatal(Exception):
    """Ends the program: ``PROGRAM: text`` on standard error, and exit status `status`.

    `configure` raises it for a wrong command line, `run` for what it cannot start without.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Program(NamedTuple):
    """A daemon, as `main` runs it.

    `usage` makes the whole ``--help`` (base/usage.py has the parts that daemons share).  `options` are the
    daemon's own, beside the common ones.  `configure` is given the daemon's own options and the arguments,
    before anything is forked, and returns the daemon.  `version` are more lines of ``--version``.  `datapath`
    says that the daemon works with devices, for the capabilities that ``--user`` leaves it; `accept_module`
    logs that a connection could not be accepted, none if it is "".  `minds_keys` says that options for TLS
    are files, and looked at when they are met.  `check` raises Fatal for an own option that is wrong by
    itself; an answer to a ``--version`` before it needs none.
    """

    name: str
    usage: Callable[[Directories], str]
    version: Sequence[str]
    options: Sequence[Option]
    configure: Callable[[Parsed, Directories], Run]
    datapath: bool = False
    accept_module: str = "stream"
    minds_keys: bool = True
    check: Callable[[str, str | None], None] = lambda name, argument: None


class _Settings(NamedTuple):
    """The common options, read."""

    daemonize: Daemonize
    unixctl: str | None  # a path, "" for the default, None for no control socket
    user: str | None
    tls: TlsFiles
    confined: bool
    accept_module: str = "stream"
    recording: tuple[str, str] | None = None  # "record" or "replay", and the directory


def main(program: Program, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the daemon from the command line `argv` (default: sys.argv[1:]) and exits."""
    directories = from_environment(os.environ)
    standard_streams.prepare()
    log = log_options.machine_log(program.name, console=INFO)
    daemonize: Daemonize | None = None
    try:
        try:
            parsed = parse_options(
                sys.argv[1:] if argv is None else argv, [*COMMON_OPTIONS, *program.options]
            )
        except OptionError as error:
            _informative(program, log, error.found, directories)
            _take(program, log, error.found, directories)
            raise
        _informative(program, log, parsed.options, directories)
        log_options.attach_syslog(log)
        _take(program, log, parsed.options, directories)
        own = [option for option in parsed.options if option[0] not in _COMMON_NAMES]
        settings = _settings(program.name, log, parsed.options, directories)
        settings = settings._replace(accept_module=program.accept_module)
        run = program.configure(Parsed(own, parsed.arguments), directories)
        if settings.user is not None:
            from trunkline.daemons.preload import preload

            preload()
            become(settings.user, log, datapath=program.datapath)
        daemonize = settings.daemonize
        daemonize.start()
        log.pid = os.getpid()
        set_name(program.name)
        ended_by = _serve(program.name, run, log, directories, settings)
    except (OptionError, log_options.LogOptionError, PrivilegeError) as error:
        _die(program.name, str(error))
    except PidfileError as error:
        _die(program.name, error.text)
    except Fatal as error:
        if daemonize is not None:
            daemonize.remove_pidfile()
        _die(program.name, str(error), error.status)
    except Exception:
        if daemonize is not None:
            daemonize.remove_pidfile()
        _crash(log)
    daemonize.remove_pidfile()
    if ended_by:
        die(ended_by)
    _flush()
    os._exit(0)


def _die(program: str, text: str, status: int = 1) -> NoReturn:
    sys.stderr.write(f"{program}: {text}\n")
    _flush()
    os._exit(status)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _crash(log: Log) -> NoReturn:
    logger = log.module("util")
    for line in traceback.format_exc().splitlines():
        logger.emer("%s", line)
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # the traceback says more than the interpreter's core
    _flush()
    os.abort()


def _informative(program: Program, log: Log, options: Found, directories: Directories) -> None:
    """Answers ``--help`` and ``--version``; what stands before them counts, the rest does not."""
    for place, (name, _) in enumerate(options):
        if name in ("help", "version"):
            _take(program, log, options[:place], directories)
            text = program.usage(directories)
            if name == "version":
                text = version_text(program.name, *program.version)
            sys.stdout.write(text)
            _flush()
            os._exit(0)


def _take(program: Program, log: Log, options: Found, directories: Directories) -> None:
    """Options in their order: what concerns the log is done, a wrong one ends the daemon."""
    for name, argument in options:
        log_options.apply_option(log, name, argument, directories)
        program.check(name, argument)
        if program.minds_keys:
            tls_options.mind(log, name, argument)
        if name == "user":
            find_user(argument or "")


def _settings(program: str, log: Log, options: Found, directories: Directories) -> _Settings:
    given = dict(options)
    pidfile = ""
    if "pidfile" in given:
        name = given["pidfile"]
        pidfile = absolute(f"{program}.pid" if name is None else name, directories.run)
    unixctl = given.get("unixctl")
    return _Settings(
        Daemonize(
            log,
            detach="detach" in given,
            monitor="monitor" in given,
            change_directory="no-chdir" not in given,
            pidfile=pidfile,
            overwrite="overwrite-pidfile" in given,
        ),
        "" if unixctl is None else None if unixctl == "none" else absolute(unixctl, directories.run),
        given.get("user"),
        tls_options.files_from(options),
        "no-self-confinement" not in given,
        recording=_recording(options, directories),
    )


def _recording(options: Found, directories: Directories) -> tuple[str, str] | None:
    given = [(name, value) for name, value in options if name in ("record", "replay")]
    if not given:
        return None
    name, value = given[-1]
    return name, absolute(value, directories.run) if value else directories.run


def _serve(program: str, run: Run, log: Log, directories: Directories, settings: _Settings) -> int:
    """Runs the daemon's event loop; returns the signal that ended it, or 0."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        accepting = RateLimit(5, 5)
        loop.set_exception_handler(lambda _, context: log_failure(log, context, accepting))
        Collector().install(loop)
        try:
            return runner.run(_supervise(loop, program, run, log, directories, settings))
        finally:
            gc.enable()


def log_failure(log: Log, context: dict[str, Any], accepting: RateLimit | None = None) -> None:
    """An exception in a callback or a forgotten task: our error, which must not touch other clients.

    A connection that could not be accepted, for want of descriptors, is none of ours; the loop tries again
    after a second, and logs no more of it than `accepting` allows.
    """
    error = context.get("exception")
    if "accept()" in str(context.get("message")) and isinstance(error, OSError) and "socket" in context:
        address = context["socket"].getsockname()
        name = f"punix:{address}" if isinstance(address, str) else f"ptcp:{address[1]}:{address[0]}"
        log.module("stream").message(WARN, "%s: accept failed: %s", (name, error_text(error)), accepting)
        return
    logger = log.module("util")
    logger.err("internal error: %s", context.get("message"))
    for line in "".join(traceback.format_exception(error)).splitlines() if error is not None else ():
        logger.err("%s", line)


async def _supervise(
    loop: Loop,
    program: str,
    run: Run,
    log: Log,
    directories: Directories,
    settings: _Settings,
) -> int:
    log.clock = LoopClock(loop)
    sockets = Sockets(log, directories.run, settings.tls)
    sockets.accept_module = settings.accept_module
    env = environment(
        program, log, directories, sockets, ready=settings.daemonize.complete, confined=settings.confined
    )
    listen_control: Listen = sockets.listen
    if settings.recording is not None:
        env, listen_control = _recorded(env, sockets, settings.recording)
    server = ControlServer(env.commands, log, env.counters)
    path = settings.unixctl
    if path is not None:
        path = path or f"{directories.run}/{program}.{os.getpid()}.ctl"
        try:
            await server.start(listen_control, path)
        except OSError as error:
            text = f"{path}: could not initialize control socket ({error_text(error)})"
            raise Fatal(text) from None
    ended_by: list[int] = []
    daemon = loop.create_task(run(env), name="daemon")

    def stop(number: int) -> None:
        if not ended_by:
            name = signal.strsignal(number)
            log.module("fatal_signal").warn("terminating with signal %d (%s)", number, name)
            ended_by.append(number)
            env.stopping.set()
            loop.call_later(STOP_SECONDS, daemon.cancel)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    sampling = loop.create_task(periodic([env.counters]))
    memory = loop.create_task(watch_memory(env))
    try:
        await daemon
    except asyncio.CancelledError:
        if not ended_by:
            raise
    finally:
        sampling.cancel()
        memory.cancel()
        await server.stop()
        sockets.close()
        hold_signals()
    return ended_by[0] if ended_by else 0


def _recorded(env: Env, sockets: Sockets, how: tuple[str, str]) -> tuple[Env, Listen]:
    """The same Env with a recording before the sockets, and what its control socket is opened with."""
    from trunkline.io.replay import Player, Recorder, ReplayError

    try:
        between: Player | Recorder
        if how[0] == "record":
            between = Recorder(sockets, how[1], env.log)
        else:
            between = Player(how[1], env.log, env.stopping.set)
    except ReplayError as error:
        raise Fatal(str(error)) from None
    complete = env.ready

    def ready() -> None:
        between.begin()
        complete()

    changed = replace(env, dial=between.dial, listen=between.listen, new_uuid=between.new_uuid, ready=ready)
    return changed, between.listen_control


async def periodic(all_counters: Sequence[Counters]) -> None:
    """What has to be done every few seconds, for ever."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        for counters in all_counters:
            counters.sample()


async def watch_memory(env: Env) -> None:
    """Logs how much memory the daemon needs, after ten seconds and whenever that has grown by a half."""
    logger, started, before = env.log.module("memory"), env.clock.monotonic(), 0
    since = started
    while True:
        await asyncio.sleep(MEMORY_SECONDS)
        peak, now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, env.clock.monotonic()
        if not before:
            logger.info("%d kB peak resident set size after %.1f seconds", peak, now - started)
        elif peak > before + before // 2:
            text = "peak resident set size grew 50%% in last %.1f seconds, from %d kB to %d kB"
            logger.info(text, now - since, before, peak)
        else:
            continue
        before, since = peak, now
        usage = env.counters.memory_text().rstrip()
        if usage:
            logger.info("%s", usage)


def environment(
    program: str,
    log: Log,
    directories: Directories,
    sockets: Sockets,
    *,
    ready: Callable[[], None],
    confined: bool = True,
) -> Env:
    """The Env of a daemon of this process, in a running event loop."""
    counters, commands = Counters(), Commands()
    commands.add(*common_commands(program, commands, log, counters))

    return Env(
        program=program,
        clock=log.clock,
        log=log,
        counters=counters,
        commands=commands,
        directories=directories,
        dial=sockets.dial,
        listen=sockets.listen,
        random=random.SystemRandom(),
        ready=ready,
        tls=sockets.tls,
        set_tls=sockets.set_tls,
        confined=confined,
    )
