"""What ends the tools: signals, which they tell of as the originals do, and wrong options, in their order."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from support import forked
from support.database_servers import BIN
from trunkline.cli.ovsdb_client import main as client_main

pytestmark = pytest.mark.oracle
STAMP = re.compile(r"^\S+Z\|\d+\|", re.MULTILINE)
WAITING = [
    ["ovsdb-client", "list-dbs", "unix:SOCKET"],
    ["ovsdb-client", "--timeout=60", "lock", "unix:SOCKET", "x"],
    ["ovs-vsctl", "--db=unix:SOCKET", "show"],
    ["ovs-ofctl", "show", "unix:SOCKET"],
    ["ovs-appctl", "-t", "SOCKET", "version"],
]


def until_caught(pid: int, number: int) -> None:
    """Waits until a process has a handler for a signal: the originals have none before they wait."""
    deadline = time.monotonic() + 30
    while True:
        caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert caught is not None
        if int(caught[1], 16) >> number - 1 & 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(program: str, words: list[str], number: int, directory: Path) -> tuple[int, str, str]:
    """A tool that has said something to a peer which does not answer, after a signal."""
    with socket.socket(socket.AF_UNIX) as listener:
        path = str(directory / "peer")
        listener.bind(path)
        listener.listen(5)
        listener.settimeout(60)
        try:
            process = subprocess.Popen(
                [words[0], *(word.replace("SOCKET", path) for word in words[1:])],
                executable=program,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OVS_RUNDIR": str(directory)},
            )
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(60)
                assert connection.recv(10)
                until_caught(process.pid, number)
                os.kill(process.pid, number)
                os.kill(process.pid, number)  # as timeout(1) does; it has not been waited for
                out, errors = process.communicate(timeout=60)
        finally:
            os.unlink(path)
    return process.returncode, out, STAMP.sub("", errors)


@pytest.mark.parametrize("words", WAITING, ids=lambda words: " ".join(words[:2]))
def test_signals(words: list[str], short_directory: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        theirs = ended(f"/usr/bin/{words[0]}", words, number, short_directory)
        ours = ended(str(BIN / words[0]), words, number, short_directory)
        assert ours == theirs
        name = signal.strsignal(number)
        assert ours == (-number, "", f"fatal_signal|WARN|terminating with signal {number:d} ({name})\n")


ORDERS = [
    ["-f", "xxx", "--version"],
    ["--version", "-f", "xxx"],
    ["-d", "q", "-V"],
    ["-V", "-dq"],
    ["--max-column-width=x", "--version"],
    ["--timeout=x", "--version"],
    ["--timeout=-1", "-V"],
    ["-t0", "--help"],
    ["--timeout=99999999999", "-V"],
    ["-f", "", "list-dbs"],
    ["--format=tab", "-V"],
    ["--data=str", "-V"],
    ["--bare", "-V"],
    ["-vfoo:bar", "-V"],
    ["-V", "-vfoo:bar"],
    ["--log-file=/nonexistent/x", "-V"],
    ["--nope", "-V"],
    ["-V", "--nope"],
    ["-f", "xxx", "--nope"],
    ["--nope", "-f", "xxx"],
    ["list-dbs", "unix:x", "-f", "xxx", "-V"],
    ["-vconsole:off", "-f", "x", "-V"],
    ["-t", "5"],
    ["-t", "5", "help", "-fx"],
]


def test_options_are_minded_one_by_one(tmp_path: Path) -> None:
    for words in ORDERS:
        command = ["ovsdb-client", *words]
        done = subprocess.run(
            command, executable="/usr/bin/ovsdb-client", capture_output=True, text=True, timeout=30
        )
        ours = forked.run(client_main, command, os.environ, str(tmp_path))
        assert (words, ours.status, STAMP.sub("", ours.errors)) == (
            words,
            done.returncode,
            STAMP.sub("", done.stderr),
        )
        assert ours.out[:30] == done.stdout[:30]
