"""--user: who may become whom, with which rights, and whose the log file is then."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database_servers import BIN, variables
from support.waiting import until

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT"),
]
REFUSED = (
    "nobody:daemon",
    ":daemon",
    "root:daemon",
    "nosuch",
    "nosuch:root",
    "nobody:nosuch",
    "nobody::",
    "0",
)
TAKEN = ("nobody", "nobody:nogroup", "nobody:", "root", "root:root", ":root", ":", "")


@pytest.fixture
def directory() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="user")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("name", ["ovsdb-server", "ovsdb-client"])
def test_who_is_refused(name: str) -> None:
    """Found out before --version is answered; the original puts the name of its pid file before it."""
    original = next(path for path in (f"/usr/sbin/{name}", f"/usr/bin/{name}") if os.path.exists(path))
    heard = []
    for program in (original, str(BIN / name)):
        for user in (*REFUSED, *TAKEN):
            words = [program, f"--user={user}", "--version"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60)
            heard.append((user, done.returncode, done.stderr.replace("(null): ", "")))
    half = len(heard) // 2
    assert heard[half:] == heard[:half]
    assert [status for _, status, _ in heard[:half]] == [1] * len(REFUSED) + [0] * len(TAKEN)


def rights(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [" ".join(line.split()) for line in lines if re.match("(Uid|Gid|Groups|CapEff|CapPrm):", line)]


def life(program: str, user: str, directory: str, name: str) -> list[object]:
    """What is seen of a server that crashes once."""
    pidfile, log, control = (Path(directory, f"{name}.{kind}") for kind in ("pid", "log", "ctl"))
    words = [program, "--no-dbs", "--detach", "--monitor", f"--user={user}"]
    words += [f"--pidfile={pidfile}", f"--log-file={log}", f"--unixctl={control}"]
    log.touch(0o600)
    starter = ["setpriv", "--groups=1,2", *words]  # of these groups nothing is to be left
    subprocess.run(starter, check=True, capture_output=True, timeout=60, env=variables(directory))
    pid = first = int(pidfile.read_text())
    until(lambda: "closing log file" in log.read_text(), "the monitor leaves the log to the daemon")
    try:
        told = [*rights(pid), log.stat().st_uid, log.stat().st_gid, oct(log.stat().st_mode)]
        os.kill(pid, signal.SIGABRT)
        until(lambda: "crashes: pid" in log.read_text(), f"the monitor says so: {log.read_text()}")
        until(lambda: log.read_text().count("ovsdb-server (Open vSwitch)") == 2, "a new one serves")
        until(lambda: pidfile.read_text() != f"{first}\n", "it has written its pid")
        pid = int(pidfile.read_text())
        reopen = [BIN / "ovs-appctl", "-t", control, "vlog/reopen"]
        done = subprocess.run(reopen, capture_output=True, text=True, timeout=60)
        return [*told, *rights(pid), done.returncode, done.stderr]
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists(), "it ends")


@pytest.mark.parametrize("user", ["nobody", "", ":root"])
def test_rights_and_a_log_that_goes_on_after_a_crash(directory: str, user: str) -> None:
    theirs = life("/usr/sbin/ovsdb-server", user, directory, "theirs")
    assert life(str(BIN / "ovsdb-server"), user, directory, "ours") == theirs
