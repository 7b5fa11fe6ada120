"""A database server as a watched process in the background: the original's and ours, killed and stopped."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.database_servers import ORIGINAL, OURS, SCHEMA
from support.waiting import until
from trunkline.io.pidfile import read_pidfile

pytestmark = pytest.mark.oracle


def holder(path: str) -> int:
    """The pid that holds the pid file, 0 for none."""
    try:
        return read_pidfile(path)
    except OSError:
        return 0


def gone(pid: int) -> bool:
    """Whether the process has ended; it may be a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def title(pid: int) -> str:
    return re.sub(r"pid \d+", "pid N", Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode())


def life(program: str) -> list[object]:
    """What is seen of a watched server that crashes once and is then stopped."""
    directory = tempfile.mkdtemp(prefix="watch")
    names = ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")
    variables = {**os.environ, **{f"OVS_{name}": directory for name in names}}
    pidfile, control = f"{directory}/ovsdb-server.pid", f"{directory}/ovsdb-server.%d.ctl"
    pid = monitor = 0
    seen: list[object] = []
    try:
        subprocess.run(["/usr/bin/ovsdb-tool", "create", f"{directory}/conf.db", SCHEMA], check=True)
        words = [
            program,
            f"{directory}/conf.db",
            "--detach",
            "--monitor",
            "--pidfile",
            "--log-file",
            "--no-chdir",
        ]
        start = {"env": variables, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 30}
        seen.append(subprocess.run(words, **start).returncode)  # type: ignore[call-overload]
        first = pid = holder(pidfile)
        monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        until(lambda: "healthy" in title(monitor))
        seen.append(title(monitor))
        seen.append(subprocess.run(words, **start).returncode)  # type: ignore[call-overload]
        os.kill(pid, signal.SIGSEGV)
        until(lambda: holder(pidfile) not in (0, first) and os.path.exists(control % holder(pidfile)))
        pid = holder(pidfile)
        until(lambda: "crashes" in title(monitor))
        seen.append(title(monitor))
        seen.append([Path(f"/proc/{one}/comm").read_text() for one in (monitor, pid)])
        seen.append(title(pid).partition(directory)[2])  # its own, not the monitor's
        appctl = ["/usr/bin/ovs-appctl", "-t", "ovsdb-server", "version"]  # finds it by the pid file
        until(lambda: subprocess.run(appctl, env=variables, capture_output=True, timeout=20).returncode == 0)
        os.kill(pid, signal.SIGTERM)
        until(lambda: gone(monitor))
        seen.append(os.path.exists(pidfile))
        log = Path(directory, "ovsdb-server.log").read_text().replace(directory, "DIR")
        lines = [re.sub(r"pid \d+", "pid N", line.split("|", 2)[2]) for line in log.splitlines()]
        # two processes write: in any order; the original says that it cannot show where it crashed
        seen.append(sorted(line for line in lines if "libunwind" not in line))
    finally:
        for left in (monitor, pid):
            if left and not gone(left):
                os.kill(left, signal.SIGKILL)
        shutil.rmtree(directory)
    return seen


def test_a_socket_that_cannot_be(tmp_path: Path) -> None:
    """A directory that is not there, a name that is taken by one: what is to be removed, too."""
    for path in ("/nonexistent/socket", str(tmp_path)):
        said = []
        for program in (ORIGINAL, OURS):
            words = [program, "--no-dbs", f"--unixctl={path}"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60)
            lines = [line.split("|", 2)[-1] for line in done.stderr.splitlines()]
            # The original takes the reason of the last line for that of the others.
            said.append((done.returncode, [re.sub(r"(failed: |socket \().*", r"\1", line) for line in lines]))
        assert said[0] == said[1]
        assert "could not unlink" in str(said[0])


def test_a_crash_is_followed_by_a_restart_and_a_stop_by_none() -> None:
    theirs, mine = life(ORIGINAL), life(OURS)
    assert theirs == mine
    assert "1 crashes: pid N died, killed (Segmentation fault)" in str(theirs[3])
