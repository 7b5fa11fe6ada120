"""The database server when its log cannot be written.

What cannot be written is not committed: the client is told why, monitors hear nothing, the file ends with its
last whole record, and the server goes on.  When even that fails (an fsync, a truncation, a bug of ours) nothing
is acknowledged any more and the server stops with one clear message.
"""

# ruff: noqa: E501

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, DB, ORIGINAL, OURS, Client, Running
from trunkline.io.ovsdb_file import load_file
from trunkline.model.schemas import schema_path

SCHEMA = schema_path("Open_vSwitch")
DURABLE = {"op": "commit", "durable": True}


@pytest.fixture
def made() -> Iterator[list[Running]]:
    servers: list[Running] = []
    yield servers
    for server in servers:
        server.remove()


def insert_until_closed(clients: list[Client], *, most: int = 4000) -> set[str]:
    """Streams inserts over all connections until the server closes them; the names that it acknowledged."""
    acknowledged: set[str] = set()
    sent: dict[tuple[int, int], str] = {}
    open_ones = set(range(len(clients)))
    for number in range(most):
        for place in sorted(open_ones):
            name = f"c{place}n{number}"
            row = {"external_ids": ["map", [["name", name], ["more", "x" * 200]]]}
            operation = {"op": "insert", "table": "Queue", "row": row}
            client = clients[place]
            try:
                sent[place, client.send("transact", [DB, operation, DURABLE])] = name
                reply = client.read()
            except OSError:
                reply = "closed"
            if reply == "closed":
                open_ones.discard(place)
                continue
            assert reply.get("error") is None, reply
            assert "uuid" in reply["result"][0], reply
            acknowledged.add(sent[place, reply["id"]])
        if not open_ones:
            return acknowledged
    raise AssertionError("the server never stopped")


def names_on_disk(path: str) -> set[str]:
    database, _, _ = load_file(path)
    return {dict(row["external_ids"])["name"] for row in database.rows("Queue").values()}


def insert(client: Client, name: str, size: int) -> Any:
    row = {"external_ids": ["map", [["name", name], ["more", "x" * size]]]}
    operation = {"op": "insert", "table": "Queue", "row": row}
    return client.call("transact", [DB, operation, DURABLE])[-1]["result"]


def full(client: Client, watcher: Client, path: str, shown: str, reason: str) -> set[str]:
    """Inserts until there is no space, then one more that fits.  The names that were committed."""
    watcher.call("monitor", [DB, "watch", {"Queue": {"columns": ["external_ids"]}}])
    committed: set[str] = set()
    size = 4000
    refused = 0
    for number in range(400):
        before = os.path.getsize(path)
        name = f"n{number}"
        result = insert(client, name, size)
        if len(result) == 2:
            committed.add(name)
            if refused and size < 100:
                break
            continue
        assert result[2] == {"details": f"{shown}: write failed", "error": "I/O error", "io-error": reason}
        assert result[1] == {}
        assert os.path.getsize(path) == before
        refused += 1
        size //= 4  # smaller ones still fit
        if size < 4:
            break
    assert refused >= 3
    rows = client.call("transact", [DB, {"op": "select", "table": "Queue", "where": []}])[-1]["result"][0][
        "rows"
    ]
    assert {dict(row["external_ids"][1])["name"] for row in rows} == committed
    heard = set()
    watcher.send("echo", [])
    while (message := watcher.read()).get("method") == "update":
        for row in message["params"][1]["Queue"].values():
            heard.add(dict(row["new"]["external_ids"][1])["name"])
    assert heard == committed
    return committed


def test_a_file_that_may_not_grow(made: list[Running]) -> None:
    server = Running(OURS, schema=SCHEMA)
    made.append(server)
    path = f"{server.directory}/conf.db"
    limit = os.path.getsize(path) + 20_000
    infinite = resource.RLIM_INFINITY
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, infinite))
    client = Client(server)
    committed = full(client, Client(server), path, path, "File too large")
    assert names_on_disk(path) == committed
    assert set(server.log_lines("ovsdb_log")) == {"WARN|DIR/conf.db: write failed (File too large)"}
    assert "ERR|I/O error: DIR/conf.db: write failed (File too large)" in server.log_lines("ovsdb_server")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (infinite, infinite))
    assert len(insert(client, "after", 9000)) == 2
    server.stop()
    assert names_on_disk(path) == committed | {"after"}
    server.start()
    assert len(insert(Client(server), "again", 10)) == 2


BROKEN = """
import errno, os, sys
from trunkline.daemons import ovsdb_daemon, ovsdb_server
from trunkline.io import ovsdb_file
from trunkline.ovsdb import hosted
count = 0
def after(limit, honest, wrong):
    def patched(*arguments, **keywords):
        global count
        count += 1
        return honest(*arguments, **keywords) if count <= limit else wrong()
    return patched
def io_error():
    raise OSError(errno.EIO, os.strerror(errno.EIO))
def bug():
    raise TypeError("a bug of ours")
{patch}
sys.argv[0] = "ovsdb-server"
ovsdb_server.main()
"""


@pytest.mark.parametrize(
    ("patch", "status", "text"),
    [
        ("os.fdatasync = after(5, os.fdatasync, io_error)", 1, "fsync failed (Input/output error)"),
        ("ovsdb_file._write_all = after(5, ovsdb_file._write_all, io_error); os.ftruncate = after(0, 0, io_error)",
         1, "cannot write the database, stopping (I/O error: {path}: truncation failed (Input/output error))"),
        ("ovsdb_daemon.change_record = after(5, ovsdb_daemon.change_record, bug)", -signal.SIGABRT, "a bug of ours"),
        ("hosted.Hosted.commit = after(9, hosted.Hosted.commit, bug)", -signal.SIGABRT, "a bug of ours"),
        ("ovsdb_daemon.Daemon._send = after(9, ovsdb_daemon.Daemon._send, bug)", -signal.SIGABRT, "a bug of ours"),
    ],
)  # fmt: skip
def test_errors_of_the_disk_and_of_our_own(
    made: list[Running], tmp_path: Path, patch: str, status: int, text: str
) -> None:
    program = tmp_path / "ovsdb-server"
    program.write_text(f"#!{sys.executable}\n{BROKEN.format(patch=patch)}")
    program.chmod(0o755)
    server = Running(str(program), schema=SCHEMA)
    made.append(server)
    acknowledged = insert_until_closed([Client(server) for _ in range(2)])
    assert server.process.wait(10) == status
    assert acknowledged <= names_on_disk(f"{server.directory}/conf.db")
    assert text.format(path=f"{server.directory}/conf.db") in Path(server.directory, "log").read_text()


def on_a_small_disk(program: str) -> None:
    """A server whose file is on a tmpfs of 64 kB, in a mount namespace of its own."""
    directory = tempfile.mkdtemp(prefix="full")
    path = f"{directory}/disk/conf.db"
    script = f"""
        set -e
        mkdir {directory}/disk
        mount -t tmpfs -o size=64k none {directory}/disk
        {BIN}/ovsdb-tool create {path} {SCHEMA}
        exec {program} {path} --remote=punix:{directory}/db.sock -vconsole:off --unixctl=none
    """
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], env={**os.environ, "OVS_RUNDIR": directory}
    )
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(f"{directory}/db.sock"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        seen = f"/proc/{process.pid}/root{path}"
        client = Client(f"{directory}/db.sock")
        committed = full(client, Client(f"{directory}/db.sock"), seen, path, "No space left on device")
        assert names_on_disk(seen) == committed
        words = [
            "nsenter",
            f"--mount=/proc/{process.pid}/ns/mnt",
            "mount",
            "-o",
            "remount,size=1m",
            path[:-8],
        ]
        subprocess.run(words, check=True)
        assert len(insert(client, "after", 9000)) == 2
        assert names_on_disk(seen) == committed | {"after"}
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory)


@pytest.mark.system
def test_a_full_disk() -> None:
    on_a_small_disk(OURS)


@pytest.mark.system
@pytest.mark.oracle
@pytest.mark.skipif(not os.path.exists(ORIGINAL), reason="the original is not installed")
def test_a_full_disk_of_the_original() -> None:
    on_a_small_disk(ORIGINAL)
