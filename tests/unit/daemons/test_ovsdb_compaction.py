"""ovsdb-server compacts while clients write; killed in the middle, it loses nothing that it acknowledged."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.database_servers import BIN, DB, OURS, Client, Running
from trunkline.io.ovsdb_file import load_file
from trunkline.model.schemas import schema_path


def insert(client: Client, *names: str) -> None:
    rows = [
        {"op": "insert", "table": "Queue", "row": {"external_ids": ["map", [["name", name]]]}}
        for name in names
    ]
    reply = client.call("transact", [DB, *rows, {"op": "commit", "durable": True}])[-1]
    assert all("error" not in result for result in reply["result"]), reply


def compact(server: Running) -> "subprocess.Popen[bytes]":
    path = f"{server.directory}/ovsdb-server.{server.process.pid}.ctl"
    words = [str(BIN / "ovs-appctl"), "-t", path, "ovsdb-server/compact"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("killed_after", [0.0, 0.05, 0.2, None])
def test_nothing_acknowledged_is_lost(killed_after: float | None) -> None:
    server = Running(OURS, schema=str(schema_path(DB)))
    try:
        client = Client(server)
        acknowledged = {f"first{number}" for number in range(20_000)}
        insert(client, *acknowledged)
        running = compact(server)
        inserted = 0
        until = time.monotonic() + 20
        killing = None if killed_after is None else time.monotonic() + killed_after
        while running.poll() is None and time.monotonic() < until:
            insert(client, f"second{inserted}")
            acknowledged.add(f"second{inserted}")
            inserted += 1
            if killing is not None and time.monotonic() >= killing:
                break
        if killed_after is None:
            assert running.wait(20) == 0
            insert(client, "last")
            acknowledged.add("last")
            assert inserted > 1  # requests were answered while it compacted
            assert not Path(server.directory, "conf.db.tmp").exists()
        server.stop(signal.SIGKILL)
        running.wait(20)
        database, _, damage = load_file(f"{server.directory}/conf.db")
        assert damage is None
        held = {dict(row["external_ids"])["name"] for row in database.rows("Queue").values()}
        assert held == acknowledged
    finally:
        server.remove()


def test_a_conversion_or_removal_ends_a_compaction() -> None:
    server = Running(OURS, schema=str(schema_path(DB)))
    try:
        client = Client(server)
        names = {f"n{number}" for number in range(20_000)}
        insert(client, *names)
        running = compact(server)
        schema = client.call("get_schema", [DB])[-1]["result"]
        assert client.call("convert", [DB, schema])[-1]["result"] == {}
        assert running.wait(20) in (0, 2)
        running = compact(server)
        assert server.control("ovsdb-server/remove-db", DB) == (0, "")
        assert running.wait(20) in (0, 2)
        database, _, damage = load_file(f"{server.directory}/conf.db")
        assert damage is None
        assert len(database.rows("Queue")) == len(names)
        assert not Path(server.directory, "conf.db.tmp").exists()
    finally:
        server.remove()
