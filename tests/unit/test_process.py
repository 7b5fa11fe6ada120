"""daemons/process.py with a little daemon: to the background and back, watched, locked, stopped."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trunkline
from support.control import Control
from support.waiting import until
from trunkline.daemons.preload import PACKAGES
from trunkline.io.pidfile import read_pidfile
from trunkline.io.privileges import PrivilegeError, find_user
from trunkline.model.schemas import schema_path

DAEMON = Path(__file__).parents[1] / "support" / "daemon.py"


class Daemons:
    """Test daemons that live in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        self.environment = {**os.environ, **dict.fromkeys(names, str(directory)), "OVS_SYSLOG_METHOD": "null"}

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(DAEMON), *options],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.directory,
        )

    def start(self, *options: str) -> int:
        """In the background, with a pid file; the pid."""
        started = self.run("--pidfile", "--detach", "--log-file", *options)
        assert started.returncode == 0, started.stderr
        return self.pid()

    def pid(self) -> int:
        return read_pidfile(f"{self.directory}/test-daemon.pid")

    def control(self, pid: int) -> Control:
        return Control(self.directory / f"test-daemon.{pid}.ctl")

    def log(self) -> str:
        return (self.directory / "test-daemon.log").read_text()

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {"test-daemon.log"}


@pytest.fixture
def daemons(short_directory: Path) -> Iterator[Daemons]:
    them = Daemons(short_directory)
    yield them
    try:
        os.kill(them.pid(), signal.SIGTERM)
    except OSError:
        pass


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def holding(daemons: Daemons) -> int:
    try:
        return daemons.pid()
    except OSError:
        return 0


def test_detached_it_serves_and_leaves_nothing_behind(daemons: Daemons) -> None:
    pid = daemons.start()
    assert daemons.names() == {"test-daemon.pid", f"test-daemon.{pid}.ctl", "test.sock"}
    control = daemons.control(pid)
    assert control.ask("version") == ("result", "test-daemon (Open vSwitch) 3.1.0\n")
    assert control.ask("where") == ("result", "/\n")
    assert control.ask("bug") == ("error", "\"bug\" failed: KeyError: 'oops'\n")
    assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
    assert Path(f"/proc/{pid}/comm").read_text() == "test-daemon\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{daemons.directory}/test.sock")
        client.sendall(b"echo")
        assert client.recv(10) == b"echo"
    assert control.ask("exit") == ("result", "")
    until(lambda: gone(pid))
    assert daemons.names() == set()


def test_time_is_held_and_moved(daemons: Daemons) -> None:
    pid = daemons.start()
    one, other = daemons.control(pid), daemons.control(pid)
    assert one.ask("time/stop") == ("result", "")
    one._socket.sendall(b'{"id":7,"method":"slow","params":["100"]}')
    assert other.ask("time/warp", "90000", "1000") == ("result", "warped\n")
    one._socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        one._socket.recv(100)
    assert other.ask("time/warp", "10001") == ("result", "warped\n")
    one._socket.settimeout(10)
    assert b"slept" in one._socket.recv(100)
    assert other.ask("time/warp", "x") == ("error", "invalid MSECS\n")


def test_a_second_one_is_refused(daemons: Daemons) -> None:
    pid = daemons.start()
    second = daemons.run("--pidfile", "--detach")
    path = f"{daemons.directory}/test-daemon.pid"
    assert second.returncode == 1
    assert second.stderr == f"test-daemon: {path}: already running as pid {pid}, aborting\n"
    third = daemons.run("--pidfile", "--overwrite-pidfile", "--detach")
    assert third.returncode == 0
    assert daemons.pid() != pid
    os.kill(pid, signal.SIGKILL)


def test_a_stale_pidfile_does_not_matter(daemons: Daemons) -> None:
    pid = daemons.start()
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid))
    with pytest.raises(ProcessLookupError):
        daemons.pid()
    assert daemons.start() != pid


def test_signals_end_it_as_signals_do(daemons: Daemons) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        daemon = subprocess.Popen(
            [sys.executable, str(DAEMON), "--pidfile"],
            env=daemons.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: "test.sock" in daemons.names())
        daemon.send_signal(number)
        _, stderr = daemon.communicate(timeout=20)
        assert daemon.returncode == -number
        assert (
            f"fatal_signal|WARN|terminating with signal {int(number)} ({signal.strsignal(number)})" in stderr
        )
        assert daemons.names() == set()


def test_the_monitor_restarts_after_a_crash_only(daemons: Daemons) -> None:
    first = daemons.start("--monitor")
    monitor = parent(first)
    title = f"test-daemon: monitoring pid {first} (healthy)".encode()
    until(lambda: Path(f"/proc/{monitor}/cmdline").read_bytes().rstrip(b"\0") == title)
    os.kill(first, signal.SIGSEGV)
    until(lambda: holding(daemons) not in (0, first))
    second = daemons.pid()
    assert parent(second) == monitor
    until(lambda: f"test-daemon.{second}.ctl" in daemons.names())
    until(lambda: "test.sock" in daemons.names())
    assert f"1 crashes: pid {first} died, killed (Segmentation fault" in daemons.log()
    until(lambda: b"(1 crashes" in Path(f"/proc/{monitor}/cmdline").read_bytes())
    os.kill(second, signal.SIGKILL)
    until(lambda: gone(monitor))
    assert f"daemon_unix(monitor)|INFO|pid {second} died, killed (Killed), exiting" in daemons.log()


def test_failures_reach_the_shell(daemons: Daemons) -> None:
    for more in ([], ["--detach"], ["--detach", "--monitor"]):
        failed = daemons.run("--fail", *more)
        assert (failed.returncode, failed.stderr) == (3, "test-daemon: asked to fail\n")
    crashed = daemons.run("--raise", "--detach")
    assert crashed.returncode == 1
    assert "ValueError: a bug" in crashed.stderr
    assert "fork child died before signaling startup (killed (Aborted" in crashed.stderr
    missing = daemons.run("--unixctl=/nosuch/x", "--detach", "--pidfile")
    assert missing.returncode == 1
    text = "test-daemon: /nosuch/x: could not initialize control socket (No such file or directory)\n"
    assert missing.stderr.endswith(text)
    assert daemons.names() == set()


_NOT_ROOT = "only root can use --user option" if os.geteuid() else ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--nosuch"], "unrecognized option '--nosuch'"),
        (["-vnosuch"], 'processing "nosuch": no destination, level, or module "nosuch"'),
        (["--syslog-method=foo"], "unsupported syslog method 'foo'"),
        (["--user=nosuchuser"], _NOT_ROOT or "user nosuchuser not found, aborting."),
        (["--user=root:nosuchgroup"], _NOT_ROOT or "group nosuchgroup not found, aborting."),
        (["--pidfile=/nosuch/x"], "/nosuch/x.tmp: create failed (No such file or directory)"),
        (["argument"], "at most zero non-option arguments accepted; use --help for usage"),
    ],
)
def test_wrong_command_lines(daemons: Daemons, options: list[str], text: str) -> None:
    refused = daemons.run(*options)
    assert (refused.returncode, refused.stderr) == (1, f"test-daemon: {text}\n")


def test_only_root_becomes_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.io.privileges.os.geteuid", lambda: 1)
    with pytest.raises(PrivilegeError, match=r"^only root can use --user option$"):
        find_user("nosuch")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT")
def test_another_user_with_capabilities(daemons: Daemons) -> None:
    daemons.directory.chmod(0o777)
    pid = daemons.start("--user=nobody")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split()[0] != "0"
    assert int(status["CapEff"], 16) == 1 << 14 | 1 << 10


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT")
def test_another_user_who_cannot_read_the_library(short_directory: Path) -> None:
    """The whole switch and its database, after they have lost sight of the package's files."""
    short_directory.chmod(0o777)
    library = short_directory / "library"
    shutil.copytree(
        Path(trunkline.__file__).parent, library / "trunkline", ignore=shutil.ignore_patterns("__pycache__")
    )
    library.chmod(0o700)
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    variables = {**os.environ, **dict.fromkeys(names, str(short_directory)), "OVS_SYSLOG_METHOD": "null"}
    variables["PYTHONPATH"] = str(library)
    socket_name = f"unix:{short_directory}/db.sock"
    make = ["ovsdb_tool", "create", f"{short_directory}/conf.db", schema_path("Open_vSwitch")]
    server = ["--user=nobody", "--unixctl=none", f"{short_directory}/conf.db", f"--remote=p{socket_name}"]
    switch = ["--user=nobody", "--unixctl=none", "--enable-dummy=override", "--disable-system", socket_name]
    running = []
    try:
        subprocess.run([sys.executable, "-c", _TOOL, *make], env=variables, check=True, timeout=30)
        for path in short_directory.glob("*.db"):
            shutil.chown(path, "nobody")
        for path in short_directory.glob(".*~lock~"):
            shutil.chown(path, "nobody")
        for module, words in (("ovsdb_server", server), ("vswitchd", switch)):
            code = f"import trunkline.daemons.{module} as daemon; daemon.main()"
            command = [sys.executable, "-c", code, *words]
            running.append(subprocess.Popen(command, env=variables, stderr=subprocess.PIPE))
            until((short_directory / "db.sock").exists)
        port = ["add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dummy"]
        add = ["ovs_vsctl", f"--db={socket_name}", "--timeout=20", "add-br", "br0", "--", *port]
        subprocess.run([sys.executable, "-c", _TOOL, *add], env=variables, check=True, timeout=30)
        for process in running:
            assert Path(f"/proc/{process.pid}/status").read_text().split("Uid:")[1].split()[0] != "0"
            process.terminate()
            errors = process.communicate(timeout=20)[1].decode()
            assert process.returncode == -signal.SIGTERM, errors
            assert "Traceback" not in errors
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


_TOOL = "import sys, importlib; sys.exit(importlib.import_module('trunkline.cli.' + sys.argv.pop(1)).main())"


def test_preloading_misses_nothing() -> None:
    """Whatever is imported within a function of a daemon's packages is there after `preload`."""
    top = Path(trunkline.__file__).parent
    wanted = set()
    for path in top.rglob("*.py"):
        if path.relative_to(top).parts[0] in PACKAGES:
            for function in ast.walk(ast.parse(path.read_text())):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    for node in ast.walk(function):
                        if isinstance(node, ast.Import):
                            wanted |= {alias.name for alias in node.names}
                        elif isinstance(node, ast.ImportFrom):
                            wanted.add(node.module or "")
    assert len(wanted) > 20
    code = "import sys; from trunkline.daemons.preload import preload; preload(); print(*sys.modules)"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert not {name for name in wanted if not name.startswith("trunkline.cli")} - set(there.split())


def test_paths_too_long_for_a_socket(daemons: Daemons) -> None:
    deep = daemons.directory / ("a" * 80) / ("b" * 80)
    deep.mkdir(parents=True)
    pid = daemons.start(f"--unixctl={deep}/control")
    appctl = [sys.executable, "-m", "trunkline.cli.ovs_appctl", "-t", f"{deep}/control", "version"]
    asked = subprocess.run(appctl, capture_output=True, text=True, env=daemons.environment, timeout=20)
    assert asked.stdout == "test-daemon (Open vSwitch) 3.1.0\n", asked.stderr
    os.kill(pid, signal.SIGTERM)
    until(lambda: not (deep / "control").exists())


def test_log_file_rotates(daemons: Daemons) -> None:
    pid = daemons.start()
    control = daemons.control(pid)
    log = daemons.directory / "test-daemon.log"
    log.rename(daemons.directory / "old.log")
    control.ask("warn", "before")
    control.ask("vlog/reopen")
    control.ask("warn", "after")
    assert "|daemon|WARN|before" in (daemons.directory / "old.log").read_text()
    assert "|daemon|WARN|after" in daemons.log()
    assert "before" not in daemons.log()
