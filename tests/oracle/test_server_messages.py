"""What ovsdb-server says, beside the original: wrong command lines, control commands, and its log."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import DB, ORIGINAL, OURS, Client, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the original ovsdb-server"),
    pytest.mark.xdist_group("server_messages"),
]
STAMP = re.compile(r"^\S+Z\|\d+\|", re.MULTILINE)

COMMAND_LINES = [
    ["nofile"],
    ["zoo.db", "zoo2.db"],
    ["zoo.db", "zoo.db"],
    ["cut.db"],
    ["empty.db"],
    ["schema"],
    ["."],
    ["nodir/x"],
    ["zoo.db", "--remote=db:Q,X,y"],
    ["zoo.db", "--remote=db:Q,X,y", "--remote=db:Zoo,N,n", "--ca-cert=db:A,B,C"],
    ["zoo.db", "--certificate=db:Zoo,Nope,x", "--ca-cert=db:Z,N,n"],
    ["zoo.db", "--private-key=db:Zoo,Nope"],
    ["zoo.db", "--remote=foo:bar"],
    ["relay:Zoo:"],
    ["relay:Zoo"],
    ["relay:_S:tcp:127.0.0.1:1"],
    ["zoo.db", "--sync-from=tcp:127.0.0.1:1"],
    ["zoo.db", "--run=kill -9 $$"],
    ["zoo.db", "--run=kill -15 $$"],
    ["zoo.db", "--run=kill -11 $$"],
    ["zoo.db", "--run=exit 3"],
    ["--nope", "--version"],
    ["-vnope", "--version"],
]


def _run(program: str, directory: Path, words: list[str]) -> tuple[int, str, str]:
    variables = {f"OVS_{name}": str(directory) for name in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")}
    run = [] if any(word.startswith("--run") for word in words) else ["--run=sleep 0.2"]
    done = subprocess.run(
        [program, "--unixctl=none", *words, *run],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout, STAMP.sub("", done.stderr).replace(f"{program}: ", "ovsdb-server: ")


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = []
    for name in ("theirs", "ours"):
        directory = tmp_path_factory.mktemp(name)
        schema = directory / "schema"
        schema.write_text(
            json.dumps({"name": "Zoo", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}})
        )
        for database in ("zoo.db", "zoo2.db"):
            subprocess.run(["ovsdb-tool", "create", directory / database, schema], check=True)
        (directory / "cut.db").write_bytes((directory / "zoo.db").read_bytes()[:100])
        (directory / "empty.db").touch()
        made.append(directory)
    return made


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_command_lines(directories: list[Path], words: list[str]) -> None:
    theirs, ours = (_run(*pair, words) for pair in zip((ORIGINAL, OURS), directories))
    assert ours == theirs


def test_names_are_relative_to_where_one_is(directories: list[Path], tmp_path: Path) -> None:
    """The directory of databases is for the default database alone."""
    words = [str(directory / "zoo.db") for directory in directories]
    for directory, word in zip(directories, words):
        variables = {**os.environ, "OVS_DBDIR": str(directory), "OVS_RUNDIR": str(directory)}
        for program in (ORIGINAL, OURS):
            for name, status in (("zoo.db", 1), (word, 0)):
                command = [program, "--unixctl=none", "--run=true", name]
                done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, timeout=30)
                assert done.returncode == status, (program, name, done.stderr)


def test_version_before_what_is_wrong(directories: list[Path]) -> None:
    """Options are taken one by one."""
    for words in (["--version", "--nope"], ["-V", "-vnope"], ["--help", "--nope"]):
        theirs, ours = (_run(*pair, words) for pair in zip((ORIGINAL, OURS), directories))
        assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (0, "")
        assert ours[1].splitlines()[0] == theirs[1].splitlines()[0]


@pytest.fixture(scope="module")
def both() -> Iterator[list[Running]]:
    made = [Running(program) for program in (ORIGINAL, OURS)]
    yield made
    for server in made:
        server.remove()


def _until_logged(server: Running, pattern: str, *modules: str, seconds: float = 30) -> list[str]:
    deadline = time.monotonic() + seconds
    while True:
        lines = server.log_lines(*modules)
        if any(re.fullmatch(pattern, line) for line in lines):
            return lines
        assert time.monotonic() < deadline, (pattern, lines)
        time.sleep(0.1)


def test_memory_is_logged_after_ten_seconds(both: list[Running]) -> None:
    for server in both:
        lines = _until_logged(server, r"INFO\|atoms:\d+ cells:\d+ monitors:0 n-weak-refs:0.*", "memory")
        assert re.fullmatch(r"INFO\|\d+ kB peak resident set size after 1\d\.\d seconds", lines[0])
    assert both[1].control("memory/show")[1].startswith("atoms:")


@pytest.mark.parametrize("word", ["nofile.db", "nodir/x", "relay:Zoo", "relay:_S:tcp:127.0.0.1:1"])
def test_add_db_refuses_with_the_name_as_given(both: list[Running], word: str) -> None:
    theirs, ours = (server.control("ovsdb-server/add-db", word) for server in both)
    assert ours == theirs


def test_exclusions_must_be_said(both: list[Running]) -> None:
    """The original dies of it."""
    status, text = both[1].control("ovsdb-server/set-sync-exclude-tables")
    assert status == 2
    assert text.startswith('"ovsdb-server/set-sync-exclude-tables" command requires at least 1 arguments')


def _drop_clients(server: Running) -> None:
    for data in (b"[1]", b"\x16\x03\x01xxx", b"]"):
        client = Client(server)
        client.socket.sendall(data)
        assert client.read() == "closed"
        client.close()


def test_protocol_errors_in_the_log(both: list[Running]) -> None:
    found = []
    for server in both:
        before = len(server.log_lines("jsonrpc", "reconnect"))
        _drop_clients(server)
        _until_logged(server, r"WARN\|unix#\d+: connection dropped \(Protocol error\)", "reconnect")
        deadline = time.monotonic() + 10
        while len(lines := server.log_lines("jsonrpc", "reconnect")[before:]) < 7:
            assert time.monotonic() < deadline, lines
            time.sleep(0.05)
        found.append([re.sub(r"#\d+", "#N", line) for line in lines])
    assert found[1] == found[0]


def test_protocol_errors_do_not_fill_the_log() -> None:
    server = Running(OURS)
    try:
        for _ in range(6):
            _drop_clients(server)
        assert len([line for line in server.log_lines("jsonrpc") if "error parsing" in line]) <= 5
    finally:
        server.remove()


def _remotes(*targets: str) -> list[Any]:
    names = [f"m{place}" for place in range(len(targets))]
    rows: list[Any] = [
        {
            "op": "insert",
            "table": "Manager",
            "uuid-name": name,
            "row": {"target": target, "max_backoff": 1000},
        }
        for name, target in zip(names, targets)
    ]
    value = ["set", [["named-uuid", name] for name in names]]
    return [*rows, {"op": "update", "table": DB, "where": [], "row": {"manager_options": value}}]


def test_remotes_that_cannot_be_reached_are_told_of_once(both: list[Running]) -> None:
    """With the longest backoff of a second there is one line, however often it is tried."""
    for server in both:
        client = Client(server)
        client.call("transact", [DB, {"op": "insert", "table": DB, "row": {}}])
        client.call("transact", [DB, *_remotes("tcp:127.0.0.1:1", "punix:gone.sock", "punix:nodir/x.sock")])
        _until_logged(server, r"INFO\|tcp:127.0.0.1:1: connection attempt failed .*", "reconnect")
    time.sleep(2.5)  # two attempts more
    lines = [[line for line in server.log_lines("reconnect") if "127.0.0.1:1:" in line] for server in both]
    assert (
        lines[1]
        == lines[0]
        == [
            "INFO|tcp:127.0.0.1:1: connecting...",
            "INFO|tcp:127.0.0.1:1: connection attempt failed (Connection refused)",
        ]
    )
    for server in both:
        os.mkdir(f"{server.directory}/nodir")  # now it can be listened on
        deadline = time.monotonic() + 20
        while not Path(server.directory, "nodir/x.sock").exists():
            assert time.monotonic() < deadline
            Client(server).call(
                "transact", [DB, {"op": "comment", "comment": "the original looks when it has work"}]
            )
            time.sleep(0.1)
        Client(server).call("transact", [DB, *_remotes()])
        _until_logged(server, r"INFO\|punix:gone.sock: remote deconfigured", "ovsdb_jsonrpc_server")
        _until_logged(server, r"INFO\|tcp:127.0.0.1:1: remote deconfigured", "ovsdb_jsonrpc_server")
