"""ovsdb-server compacts while clients write; killed in the middle, it loses nothing that it acknowledged."""

import asyncio
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.database_servers import BIN, DB, OURS, Client, Running
from trunkline.daemons.env import embedded
from trunkline.daemons.ovsdb_compaction import SIZE, SOONEST
from trunkline.daemons.ovsdb_daemon import Daemon
from trunkline.io.loop import run, settle
from trunkline.io.memory import MemoryNetwork
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


def test_a_file_that_has_grown_is_compacted_by_itself(tmp_path: Path) -> None:
    """Ten minutes, a hundred transactions and ten megabytes later, on virtual time."""
    path = tmp_path / "db"
    subprocess.run([BIN / "ovsdb-tool", "create", path, schema_path(DB)], check=True)

    async def main() -> None:
        daemon = Daemon(embedded("ovsdb-server", MemoryNetwork()))
        daemon.open(str(path))
        file = daemon.files[DB]
        daemon.server.transact(DB, [{"op": "insert", "table": "Open_vSwitch", "row": {}}])
        for number in range(120):
            row = {"external_ids": ["map", [["filling", f"{number}" * 50_000]]]}
            daemon.server.transact(DB, [{"op": "update", "table": "Open_vSwitch", "where": [], "row": row}])
            daemon.turn()
        grown = file.size
        assert grown > SIZE
        await asyncio.sleep(SOONEST - 1)
        daemon.server.transact(DB, [{"op": "insert", "table": "Queue", "row": {}}])
        daemon.turn()
        await settle()
        assert file.size > grown
        await asyncio.sleep(2)
        daemon.server.transact(DB, [{"op": "insert", "table": "Queue", "row": {}}])
        daemon.turn()
        for _ in range(10_000):
            if file.size < grown:
                break
            await asyncio.sleep(0)
        assert file.size == file.compacted_size < grown / 10
        assert file.commits == 0
        daemon.server.transact(DB, [{"op": "insert", "table": "Queue", "row": {}}])
        daemon.turn()
        daemon.close()

    run(main(), "virtual")
    database, _, damage = load_file(str(path))
    assert damage is None
    assert len(database.rows("Queue")) == 3
    (row,) = database.rows("Open_vSwitch").values()
    assert dict(row["external_ids"])["filling"] == "119" * 50_000
