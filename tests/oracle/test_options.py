"""Every option of every manual page: the original takes it, so ours takes it with effect, or refuses it in words."""

# ruff: noqa: E501

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database_servers import BIN, OURS, Client, Running

pytestmark = pytest.mark.oracle
PROGRAMS = {
    "ovsdb-client": ("/usr/bin/ovsdb-client", "1"),
    "ovsdb-tool": ("/usr/bin/ovsdb-tool", "1"),
    "ovsdb-server": ("/usr/sbin/ovsdb-server", "1"),
    "ovs-vsctl": ("/usr/bin/ovs-vsctl", "8"),
    "ovs-appctl": ("/usr/bin/ovs-appctl", "8"),
    "ovs-vswitchd": ("/usr/sbin/ovs-vswitchd", "8"),
}
REFUSED = {"--record", "--replay", "--dpdk"}  # by a message that names them
VALUES = {
    "--timeout": "5", "--format": "table", "--data": "string", "--verbose": "info", "--syslog-method": "null",
    "--syslog-target": "127.0.0.1:514", "--user": "root", "--db": "unix:/nowhere", "--remote": "punix:/nowhere",
}  # fmt: skip


def options_of(name: str) -> list[str]:
    """The long options that the manual page and ``--help`` name."""
    program, section = PROGRAMS[name]
    page = subprocess.run(
        ["man", section, name], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "500"}
    )
    text = (
        re.sub(r".\x08", "", page.stdout)
        + subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    )
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)))


def outcome(program: str, option: str, directory: Path) -> tuple[int, str]:
    """Whether an option is understood: with it, --help answers as ever."""
    variables = {**os.environ, "OVS_LOGDIR": str(directory), "OVS_RUNDIR": str(directory)}
    word = f"{option}={VALUES.get(option, str(directory / 'x'))}"
    for words in ([word, "--help"], [option, "--help"]):
        done = subprocess.run([program, *words], capture_output=True, text=True, env=variables, timeout=20)
        if "doesn't allow an argument" not in done.stderr:
            break
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_option_is_understood_or_refused(name: str, tmp_path: Path) -> None:
    wrong = []
    options = options_of(name)
    assert len(options) > 8
    for option in options:
        theirs = outcome(PROGRAMS[name][0], option, tmp_path)
        mine = outcome(str(BIN / name), option, tmp_path)
        if theirs[0] == 0 and mine[0] != 0 and not (option in REFUSED and option in mine[1]):
            wrong.append((option, mine))
    assert not wrong


@pytest.fixture
def server() -> Iterator[Running]:
    running = Running(OURS)
    Client(running).call("transact", ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}])
    yield running
    running.remove()


@pytest.mark.parametrize("program", ["/usr/bin/ovsdb-client", str(BIN / "ovsdb-client")])
def test_the_client_in_the_background(server: Running, program: str) -> None:
    log, pidfile = Path(server.directory, "client.log"), Path(server.directory, "ovsdb-client.pid")
    words = (
        program,
        "--detach",
        "--pidfile",
        "--no-chdir",
        f"--log-file={log}",
        "-vjsonrpc:off",
        "-vconsole:off",
    )
    shown = Path(server.directory, "shown")
    with shown.open("w") as output:
        subprocess.run(
            [*words, "monitor", "Queue", "dscp"],
            env=server.environment,
            stdout=output,
            stderr=output,
            check=True,
            timeout=20,
        )
    Client(server).call("transact", ["Open_vSwitch", {"op": "insert", "table": "Queue", "row": {"dscp": 61}}])
    until = time.monotonic() + 10
    while "61" not in shown.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    pid = int(pidfile.read_text())
    again = server.run(program, "--pidfile", "monitor", "Manager")
    assert again.returncode == 1
    assert "already running" in again.stderr
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while pidfile.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "fatal_signal" in log.read_text()
    assert "terminating with signal 15 (Terminated)" in log.read_text()


@pytest.mark.parametrize("program", ["/usr/bin/ovsdb-client", str(BIN / "ovsdb-client")])
def test_the_client_ends_by_its_alarm(server: Running, program: str) -> None:
    done = server.run(program, "--timeout=1", "monitor", "Manager")
    assert done.returncode == -signal.SIGALRM
    assert "terminating with signal 14 (Alarm clock)" in done.stderr


@pytest.mark.parametrize("program", ["/usr/bin/ovs-vsctl", str(BIN / "ovs-vsctl")])
def test_retry_after_a_connection_that_broke(server: Running, program: str) -> None:
    for words, status in ((["--retry"], 0), ([], 1)):
        waiting = subprocess.Popen(
            [program, "--timeout=20", *words, "--no-wait", "wait-until", "bridge", "br0", "--", "list-br"],
            env=server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 10
        while "monitors:0" in (memory := server.control("memory/show")[1]) or "monitors" not in memory:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.control("ovsdb-server/reconnect")
        if status == 0:
            server.run("/usr/bin/ovs-vsctl", "--no-wait", "add-br", "br0")
        out, errors = waiting.communicate(timeout=25)
        assert waiting.returncode == status, errors
        if status == 0:
            assert out == "br0\n"
            server.run("/usr/bin/ovs-vsctl", "--no-wait", "del-br", "br0")
        else:
            assert "database connection failed (End of file)" in errors
