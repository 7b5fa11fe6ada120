"""ovs-appctl against the original: the same command lines, to both kinds of daemons; pid files of both."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.control import control_socket
from support.originals import PROGRAMS, Originals, environment

pytestmark = pytest.mark.oracle
DAEMON = Path(__file__).parents[1] / "support" / "daemon.py"
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.MULTILINE)


def ask(which: str, directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr (without times) of ovs-appctl, "theirs" or "ours"."""
    command = ["ovs-appctl", *arguments]
    executable = PROGRAMS["ovs-appctl"]
    if which == "ours":
        command = [sys.executable, "-m", "trunkline.cli.ovs_appctl", *arguments]
        executable = sys.executable
    done = subprocess.run(
        command, executable=executable, env=environment(directory), capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stdout, TIME.sub("TIME", done.stderr)


def test_command_lines(original: Originals) -> None:
    original.start_database()
    directory = original.directory
    socket_path = str(control_socket(directory))
    (directory / "stale.pid").write_text("999999\n")
    (directory / "words.pid").write_text("abc\n")
    (directory / "empty.pid").write_text("")
    (directory / "folder.pid").mkdir()
    lines = [
        [],
        ["-t"],
        ["-t", "nosuch", "version"],
        ["-t", "/nosuch", "version"],
        ["-T", "x", "version"],
        ["-T0", "version"],
        ["-T", "-1", "version"],
        ["--timeout=", "version"],
        ["-T1.5", "version"],
        ["-tovsdb-server", "version"],
        ["--target", "ovsdb-server", "version"],
        ["--exec"],
        ["-r"],
        ["-vfoo", "x"],
        ["-t", socket_path, "version"],
        ["-t", f"unix:{socket_path}", "version"],
        ["-t", "", "version"],
        ["-e", "-t", "ovsdb-server", "version"],
        ["-t", "stale", "version"],
        ["-t", "words", "version"],
        ["-t", "empty", "version"],
        ["-t", "folder", "version"],
        ["-t", "ovsdb-server", "nosuch", "a", "b"],
        ["-t", "ovsdb-server", "version", "-V"],
        ["-t", "ovsdb-server", "list-commands"],
        ["--timeo", "3"],
        ["--option"],
        ["-o"],
        ["-h"],
        ["--help", "x"],
        ["-T", "x", "-h"],
        ["-h", "-T", "x"],
        ["-x", "-h"],
        ["-t", "ovsdb-server", "ovsdb-server/list-dbs"],
        ["-t", "ovsdb-server", "vlog/set", "no"],
        ["version"],
        ["-T", "5", "-t", "ovsdb-server", "vlog/list-pattern"],
        ["--log-file=/nosuch/x", "-t", "nosuch", "x"],
        ["-vconsole:off", "-t", "nosuch", "x"],
        ["-vPATTERN:console:%m", "-t", "nosuch", "x"],
        ["--t=x", "y"],
        ["--syslog-method=foo", "x"],
        ["--syslog-target=foo", "-t", "/nosuch", "x"],
        ["--tar", "/nosuch", "x"],
    ]
    for line in lines:
        theirs, ours = ask("theirs", directory, *line), ask("ours", directory, *line)
        assert ours == theirs, line


def test_replies_of_every_kind(short_directory: Path) -> None:
    replies = [
        b"",
        b"garbage",
        b'{"id":0,"result":[],"error":null}',
        b'{"id":0,"result":"x","error":null}',
        b"[]",
        b'{"id":0,"result":null,"error":[1]}',
        b'{"id":1,"result":"x","error":null}',
        b'{"id":0,"result":{}}',
        b'{"id":0,"result":"a\\nb\\n\\n","error":null}',
        b'{"id":0,"result":null,"error":"bad"}',
        b'{"method":"x","params":[],"id":null}',
        b'{"id":0,"error":"bad\\n"}',
        b'{"id":0,"result":3}',
    ]
    path = str(short_directory / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(4)

        def serve() -> None:
            for reply in [reply for reply in replies for _ in range(2)]:
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(reply)
                connection.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        for reply in replies:
            arguments = ("-t", path, "version")
            assert ask("ours", short_directory, *arguments) == ask("theirs", short_directory, *arguments), (
                reply
            )
        server.join(10)


def test_the_timeout_ends_in_sigalrm(short_directory: Path) -> None:
    path = str(short_directory / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(4)
        ours = ask("ours", short_directory, "-T1", "-t", path, "version")
        assert ours == ask("theirs", short_directory, "-T", "1", "-t", path, "version")
        assert ours[0] == -signal.SIGALRM


def test_their_tool_and_our_daemon(short_directory: Path) -> None:
    start = [sys.executable, str(DAEMON), "--pidfile", "--detach"]
    variables = {**environment(short_directory), "OVS_SYSLOG_METHOD": "null"}
    subprocess.run(start, env=variables, check=True, timeout=30)
    lines = [
        ["version"],
        ["list-commands"],
        ["vlog/list"],
        ["vlog/set", "x"],
        ["slow", "0.01"],
        ["vlog/list", "x"],
    ]
    for line in lines:
        arguments = ("-t", "test-daemon", *line)
        assert ask("theirs", short_directory, *arguments) == ask("ours", short_directory, *arguments)
    pid = int((short_directory / "test-daemon.pid").read_text())
    assert ask("theirs", short_directory, "-t", "test-daemon", "exit") == (0, "", "")
    for _ in range(200):
        if not (short_directory / "test-daemon.pid").exists():
            break
        threading.Event().wait(0.02)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the daemon did not end")
    theirs = ask("theirs", short_directory, "-t", "test-daemon", "version")
    assert ask("ours", short_directory, "-t", "test-daemon", "version") == theirs


def test_control_sockets_answer_raw_requests_alike(original: Originals) -> None:
    original.start_database()
    start = [sys.executable, str(DAEMON), "--detach", f"--unixctl={original.directory}/ours.ctl", "--pidfile"]
    variables = {**environment(original.directory), "OVS_SYSLOG_METHOD": "null"}
    subprocess.run(start, env=variables, check=True, timeout=30)
    requests = [
        '{"id":0,"method":"vlog/set","params":[]}',
        '{"id":0,"method":"vlog/set","params":[]}{"id":1,"method":"vlog/set","params":["x"]}',
        '{"id":"x","method":"version","params":[1]}',
        '{"id":"x","method":"vlog/set","params":["info",1]}',
        '{"id":"x","method":"nosuch","params":["a"]}',
        '{"id":null,"method":"version","params":[]}',
        '{"method":"version","params":[]}',
        '{"id":1,"result":"version","error":null}',
        "[]",
        "nonsense and more",
        '{"id":1}',
        '{"id":{"a":[1.0]},"method":"vlog/set","params":[]}',
        '{"id":3,"method":"vlog/set","params":["foo"]}',
        ' \n{"id":3,"method":"vlog/set","params":[]} {"id":4,"method":"nosuch","params":[]}[',
    ]
    for request in requests:
        answers = [
            _raw(original.directory / name, request)
            for name in ("ours.ctl", control_socket(original.directory).name)
        ]
        assert answers[0] == answers[1], request
    os.kill(int((original.directory / "test-daemon.pid").read_text()), signal.SIGTERM)


def _raw(path: Path, request: str) -> bytes:
    """All that comes back until the daemon closes, or has heard that nothing more comes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(request.encode())
        client.shutdown(socket.SHUT_WR)
        data = b""
        while more := client.recv(65536):
            data += more
    return data
