"""kill -9 at random moments while several clients write: nothing acknowledged as durable is lost, every file
that is left can be read by the original's tool as it is, and the next server goes on from it.

Each client inserts rows with its number and a counter, and updates a counter of its own in the same
transaction; so what is on the disk must be the first so many of each client's transactions, at least the
acknowledged ones, none torn.
"""

import json
import random
import selectors
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.database_servers import DB, OURS, Client, Running

TOOL = "/usr/bin/ovsdb-tool"
CLIENTS = 4
ROUNDS = 5
WINDOW = 20  # requests of each client under way


def transaction(client: int, number: int) -> bytes:
    row = {"external_ids": ["map", [["client", str(client)], ["number", str(number)]]]}
    counter = {"external_ids": ["map", [["counter", str(client)], ["value", str(number)]]]}
    where = [["external_ids", "includes", ["map", [["counter", str(client)]]]]]
    operations = [
        {"op": "insert", "table": "Queue", "row": row},
        {"op": "delete", "table": "QoS", "where": where},
        {"op": "insert", "table": "QoS", "row": counter},
        {"op": "commit", "durable": True},
    ]
    return json.dumps({"method": "transact", "params": [DB, *operations], "id": number}).encode()


class Writer:
    """A client that keeps WINDOW transactions under way.  `acknowledged` is how many were, in order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 0
        self.acknowledged = 0
        self.client: Client | None = None

    def connect(self, server: Running, on_disk: int) -> None:
        """Goes on after what is there."""
        self.sent = self.acknowledged = on_disk
        self.client = Client(server)
        for _ in range(WINDOW):
            self.send()

    def send(self) -> None:
        assert self.client is not None
        self.sent += 1
        self.client.socket.sendall(transaction(self.number, self.sent))

    def take(self) -> None:
        """Reads a reply and sends the next request."""
        assert self.client is not None
        reply = self.client.read()
        assert reply != "closed"
        assert [type(result) for result in reply["result"]] == [dict] * 4, reply
        assert reply["id"] == self.acknowledged + 1
        self.acknowledged += 1
        self.send()


def write_for(writers: list[Writer], seconds: float) -> None:
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for writer in writers:
            assert writer.client is not None
            selector.register(writer.client.socket, selectors.EVENT_READ, writer)
        while time.monotonic() < until or not all(writer.acknowledged for writer in writers):
            for key, _ in selector.select(1):
                key.data.take()


def counts(rows: list[list[dict[str, str]]]) -> list[int]:
    """How many transactions of each client there are, from the rows of Queue and QoS; none may be torn."""
    found = []
    queues, counters = rows
    for client in range(CLIENTS):
        numbers = sorted(int(row["number"]) for row in queues if row["client"] == str(client))
        assert numbers == list(range(1, len(numbers) + 1))
        values = [int(row["value"]) for row in counters if row["counter"] == str(client)]
        assert values == ([len(numbers)] if numbers else [])
        found.append(len(numbers))
    return found


SELECTS = [
    {"op": "select", "table": table, "where": [], "columns": ["external_ids"]} for table in ("Queue", "QoS")
]


def rows_of(result: list[dict[str, list[dict[str, list[list[list[str]]]]]]]) -> list[list[dict[str, str]]]:
    return [[dict(row["external_ids"][1]) for row in part["rows"]] for part in result]


@pytest.mark.oracle
@pytest.mark.skipif(not Path(TOOL).exists(), reason="the original is not installed")
def test_kill_at_random_moments(tmp_path: Path) -> None:
    draw = random.Random()
    server = Running(OURS)
    writers = [Writer(number) for number in range(CLIENTS)]
    present = [0] * CLIENTS
    total = 0
    try:
        for round_ in range(ROUNDS):
            for writer, on_disk in zip(writers, present, strict=True):
                writer.connect(server, on_disk)
            compacting = _compact(server) if round_ % 2 else None
            write_for(writers, draw.random() * 0.3)
            server.stop(signal.SIGKILL)
            if compacting:
                compacting.wait(10)
            copy = tmp_path / f"copy{round_}"
            shutil.copy(f"{server.directory}/conf.db", copy)
            server.start()
            client = Client(server)
            present = counts(rows_of(client.call("transact", [DB, *SELECTS])[-1]["result"]))
            client.close()
            for writer, count in zip(writers, present, strict=True):
                assert writer.acknowledged <= count <= writer.sent
                assert writer.client is not None
                writer.client.close()
            total = sum(present)
            _read_by_the_original(server, copy, present)
        assert total > ROUNDS * CLIENTS
    finally:
        server.remove()


def _compact(server: Running) -> "subprocess.Popen[bytes]":
    control = f"{server.directory}/ovsdb-server.{server.process.pid}.ctl"
    words = [Path(OURS).with_name("ovs-appctl"), "-t", control, "ovsdb-server/compact"]
    return subprocess.Popen(words, stderr=subprocess.DEVNULL)


def _read_by_the_original(server: Running, copy: Path, present: list[int]) -> None:
    """The file as it was left, or without its last half-written record, and as the next server goes on."""
    question = json.dumps([DB, *SELECTS])
    done = server.run(TOOL, "query", str(copy), question)
    if done.returncode == 0:
        assert counts(rows_of(json.loads(done.stdout))) == present
    else:
        assert "End of file" in done.stderr or "in header line" in done.stderr, done.stderr
    insert = {"op": "insert", "table": "SSL", "row": {"private_key": "k", "certificate": "c", "ca_cert": "a"}}
    client = Client(server)  # cuts off what is damaged
    client.call("transact", [DB, insert, {"op": "commit", "durable": True}])
    client.close()
    done = server.run(TOOL, "query", f"{server.directory}/conf.db", question)
    assert done.returncode == 0, done.stderr
    assert counts(rows_of(json.loads(done.stdout))) == present
