"""Going to the background, and being watched there: ``--detach``, ``--monitor``, ``--pidfile``.

The family of processes, eldest first:

- the *starter*, which the shell waits for: it returns 0 as soon as the daemon says that it serves, or the
  daemon's exit status if it ends before;
- the *monitor* (with ``--monitor``), which starts the daemon again when a programming error killed it: after
  a signal such as SIGSEGV or SIGABRT (an exception that nobody caught ends in SIGABRT), not after SIGTERM
  or SIGKILL;
- the *daemon*, whose pid the pid file holds.

Each waits for a byte on a pipe from the next.  Everything here happens before the event loop exists.
"""

import ctypes
import errno
import os
import signal
import sys
import time
from typing import Final, NoReturn

from trunkline.base.log import OFF, Log
from trunkline.io.pidfile import Pidfile, PidfileError, check_free, make_pidfile

# Deaths that show a programming error (ovs-vswitchd(8), --monitor).
CRASHES: Final = frozenset(
    (
        signal.SIGABRT,
        signal.SIGALRM,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGPIPE,
        signal.SIGSEGV,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    )
)
RESTART_SECONDS: Final = 10  # between two restarts
_PR_SET_NAME: Final = 15


class Daemonize:
    """What the options ask for.  `start` returns in the daemon; `complete` tells the elders."""

    def __init__(
        self,
        log: Log,
        *,
        detach: bool = False,
        monitor: bool = False,
        change_directory: bool = True,
        pidfile: str = "",
        overwrite: bool = False,
        keep_output: bool = False,
    ) -> None:
        """`keep_output`: standard output stays what it is, for a program whose output is its purpose."""
        self._log = log
        self._left = (0, 2) if keep_output else (0, 1, 2)
        self._logger = log.module("daemon_unix")
        self._detach = detach
        self._monitor = monitor
        self._change_directory = change_directory
        self._path = pidfile
        self._overwrite = overwrite
        self._notify = -1  # where the elders wait
        self._pidfile: Pidfile | None = None

    def start(self) -> None:
        """Forks as asked; returns in the process that is to be the daemon.  Raises PidfileError."""
        if self._path and not self._overwrite:
            self._check()
        if self._detach:
            self._notify = self._fork_and_wait()
            os.setsid()
        if self._monitor:
            self._watch()
        if self._path:
            self._pidfile = make_pidfile(self._path, overwrite=True)

    def _check(self) -> None:
        try:
            check_free(self._path)
        except PidfileError as error:
            if error.errno == errno.EEXIST:
                self._log.set_level("daemon_unix", "console", OFF)  # standard error hears it anyhow
                self._logger.emer("%s", error.text)
            else:
                self._logger.warn("%s: open: %s", self._path, os.strerror(error.errno or 0))
            raise

    def complete(self) -> None:
        """The daemon serves: lets the starter return, and leaves terminal and directory."""
        notify, self._notify = self._notify, -1
        if notify >= 0:
            _tell(notify)
        if self._detach:
            if self._change_directory:
                os.chdir("/")
            self._leave_terminal()
            self._detach = False

    def remove_pidfile(self) -> None:
        if self._pidfile is not None:
            self._pidfile.remove()
            self._pidfile = None

    def _leave_terminal(self) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        sys.stdout.flush()
        for descriptor in self._left:
            os.dup2(null, descriptor)
        os.close(null)
        self._log.set_level(None, "console", OFF)

    def _fork_and_wait(self) -> int:
        """Forks.  The child gets the pipe to tell; the parent waits and exits."""
        pid, pipe = _fork()
        if pid == 0:
            return pipe
        if not os.read(pipe, 1):
            _exit_like(pid, self._log.program)
        os._exit(0)

    # -- the monitor

    def _watch(self) -> None:
        """Returns in the daemon, as often as it has to be started again."""
        title, crashes = _title(), 0
        status_text = "healthy"
        last_restart: float | None = None
        while True:
            pid, pipe = _fork()
            if pid == 0:
                if crashes:
                    _write_title(title)
                self._become_daemon(pipe, crashes)
                return
            if os.read(pipe, 1):
                os.close(pipe)
                if self._notify >= 0:
                    _tell(self._notify)
                    self._notify = -1
                    if self._detach:
                        self._leave_terminal_as_monitor()
            elif crashes == 0:
                _exit_like(pid, self._log.program)
            else:
                os.close(pipe)
            self._log.subprogram = "monitor"
            self._log.pid = os.getpid()
            set_name("monitor")
            set_title(f"{self._log.program}: monitoring pid {pid} ({status_text})")
            if self._log.has_file:
                self._log.module("vlog").info("closing log file")
                self._log.close_file()
            status = _wait(pid)
            self._log.reopen_file()
            death = f"pid {pid} died, {status_words(status)}"
            if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) in CRASHES):
                self._logger.info("%s, exiting", death)
                os._exit(0)
            crashes += 1
            status_text = f"{crashes} crashes: {death}"
            self._pause(status_text, last_restart)
            last_restart = time.monotonic()
            self._logger.err("%s, restarting", status_text)

    def _leave_terminal_as_monitor(self) -> None:
        if self._change_directory:
            os.chdir("/")
        self._leave_terminal()

    def _pause(self, status_text: str, last_restart: float | None) -> None:
        if last_restart is None:
            return
        left = last_restart + RESTART_SECONDS - time.monotonic()
        if left > 0:
            self._logger.warn("%s, waiting until %d seconds since last restart", status_text, RESTART_SECONDS)
            time.sleep(left)

    def _become_daemon(self, pipe: int, crashes: int) -> None:
        """In the child of the monitor: only the monitor is told, and it tells the starter."""
        if self._notify >= 0:
            os.close(self._notify)
        self._notify = pipe
        self._log.subprogram = self._log.program if crashes else ""
        self._log.pid = os.getpid()


def _fork() -> tuple[int, int]:
    """(0, pipe to tell) in the child, (pid, pipe to wait at) in the parent."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        return 0, writing
    os.close(writing)
    return pid, reading


def _tell(pipe: int) -> None:
    try:
        os.write(pipe, b"\0")
    except OSError:
        pass  # the elder has gone
    os.close(pipe)


def _wait(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return status


def _exit_like(pid: int, program: str) -> NoReturn:
    """Ends this process as its child ended, before it served."""
    status = _wait(pid)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        os._exit(os.WEXITSTATUS(status))
    if os.WIFSIGNALED(status):
        sys.stderr.write(f"{program}: fork child died before signaling startup ({status_words(status)})\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def status_words(status: int) -> str:
    """How a process ended, from what wait(2) says: ``exit status 1``, ``killed (Segmentation fault)``."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        core = ", core dumped" if os.WCOREDUMP(status) else ""
        return f"killed ({signal.strsignal(number)}){core}"
    return f"exit status {os.WEXITSTATUS(status)}"


def set_name(name: str) -> None:
    """The name of this process as ``ps -o comm`` and ``pidof`` see it (15 characters)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def set_title(title: str) -> None:
    """The command line of this process as ps shows it: written over the one it was started with."""
    _, room = _title_place()
    if room:
        _write_title(os.fsencode(title)[: room - 1].ljust(room, b"\0"))


def _title_place() -> tuple[int, int]:
    """Address and length of the command line, as the kernel looks it up; 0 if there is none."""
    with open("/proc/self/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end (proc(5), fields 48 and 49)
    return start, max(0, end - start) if start else 0


def _title() -> bytes:
    """What stands there, to be written back."""
    start, room = _title_place()
    return ctypes.string_at(start, room) if room else b""


def _write_title(data: bytes) -> None:
    if data:
        ctypes.memmove(_title_place()[0], data, len(data))
