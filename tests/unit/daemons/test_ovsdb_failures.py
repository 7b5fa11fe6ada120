"""The database server when its log cannot be written: what was acknowledged is on disk, nothing else is
acknowledged, and the server stops with one clear message."""

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

import pytest

from support.database_servers import BIN, DB, OURS, Client, Running
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


def test_a_file_that_may_not_grow(made: list[Running]) -> None:
    server = Running(OURS, schema=SCHEMA)
    made.append(server)
    clients = [Client(server) for _ in range(3)]
    path = f"{server.directory}/conf.db"
    limit = os.path.getsize(path) + 20_000
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    acknowledged = insert_until_closed(clients)
    assert server.process.wait(10) == 1
    assert acknowledged == names_on_disk(path)
    (line,) = server.log_lines("ovsdb_server")[-1:]
    assert line.startswith("EMER|DIR/conf.db: cannot write the database, stopping (")
    assert "File too large" in line
    server.start()
    assert (
        "uuid"
        in Client(server).call("transact", [DB, {"op": "insert", "table": "Queue", "row": {}}])[-1]["result"][
            0
        ]
    )


BROKEN = """
import errno, os, sys
from trunkline.daemons import ovsdb_server
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
        ("ovsdb_file._write_all = after(5, ovsdb_file._write_all, io_error)", 1, "write failed (Input/output error)"),
        ("ovsdb_server.change_record = after(5, ovsdb_server.change_record, bug)", -signal.SIGABRT, "a bug of ours"),
        ("hosted.Hosted.commit = after(9, hosted.Hosted.commit, bug)", -signal.SIGABRT, "a bug of ours"),
        ("ovsdb_server.Daemon._send = after(9, ovsdb_server.Daemon._send, bug)", -signal.SIGABRT, "a bug of ours"),
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
    assert text in Path(server.directory, "log").read_text()


@pytest.mark.system
def test_a_full_disk() -> None:
    directory = tempfile.mkdtemp(prefix="full")
    script = f"""
        set -e
        mkdir {directory}/disk
        mount -t tmpfs -o size=128k none {directory}/disk
        cd {directory}/disk
        {BIN}/ovsdb-tool create conf.db {SCHEMA}
        set +e
        {OURS} {directory}/disk/conf.db --remote=punix:{directory}/db.sock -vconsole:emer --unixctl=none
        echo $? > {directory}/status
        cp conf.db {directory}/copy.db
    """
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        env={**os.environ, "OVS_RUNDIR": directory},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(f"{directory}/db.sock"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        acknowledged = insert_until_closed([Client(f"{directory}/db.sock") for _ in range(2)])
        _, errors = process.communicate(timeout=20)
        assert Path(directory, "status").read_text() == "1\n"
        assert "No space left on device" in errors
        assert acknowledged == names_on_disk(f"{directory}/copy.db")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(directory)
