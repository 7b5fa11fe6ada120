"""Database servers with many rows, and clients of them that cost the same for ours and for the original.

A client is a bare socket: it sends prepared bytes and counts marks in what comes back, so that the server's
time is what is measured.
"""

import hashlib
import json
import random
import select
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.lab import Lab, lab

SCHEMA: dict[str, Any] = {
    "name": "Bench",
    "version": "1.0.0",
    "tables": {
        "Item": {
            "columns": {
                "name": {"type": "string"},
                "number": {"type": "integer"},
                "tags": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "owner": {"type": {"key": "string", "min": 0, "max": 1}},
            },
            "indexes": [["name"]],
            "isRoot": True,
        },
        "Counter": {"columns": {"value": {"type": "integer"}}, "isRoot": True, "maxRows": 1},
    },
}


def _record(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return f"OVSDB JSON {len(text)} {hashlib.sha1(text).hexdigest()}\n".encode() + text


def write_database(path: str, rows: int) -> None:
    """A file as a compaction leaves it: the schema and one record with everything.

    The uuids are random ones, as all real ones are: the original takes the hash of a row from a part of them,
    and minutes where that is the same for all.
    """
    draw = random.Random(rows)
    items = {
        str(uuid.UUID(int=draw.getrandbits(128), version=4)): {
            "name": f"item-{number}",
            "number": number,
            "tags": ["map", [["iface-id", f"port-{number}"], ["zone", "a"]]],
            "owner": f"owner-{number % 100}",
        }
        for number in range(rows)
    }
    contents = {"_date": 1700000000000, "Item": items, "Counter": {str(uuid.UUID(int=1)): {"value": 1}}}
    Path(path).write_bytes(_record(SCHEMA) + _record(contents))


class Address(NamedTuple):
    """Where a server listens."""

    socket: str


class Server:
    """A running server; `took` is how long it took until it answered, in seconds."""

    def __init__(self, made: Lab, rows: int, *options: str) -> None:
        path = f"{made.directory}/conf.db"
        write_database(path, rows)
        self.lab = made
        self.socket = made.socket
        started = time.perf_counter()
        self.pid = made.start("ovsdb-server", path, f"--remote=punix:{made.socket}", *options)
        while True:
            try:
                client = Client(self)
                break
            except OSError:
                time.sleep(0.001)
        client.call("echo", [])
        self.took = time.perf_counter() - started

    def memory(self) -> float:
        """Resident, in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
        raise AssertionError


@contextmanager
def server(original: bool, rows: int, *options: str) -> Iterator[Server]:
    with lab(original) as made:
        yield Server(made, rows, *options)


class Client:
    """A connection to a server."""

    def __init__(self, to: "Address | Server") -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(to.socket)

    def send(self, method: str, params: Sequence[object], times: int = 1) -> None:
        self.socket.sendall(request(method, params) * times)

    def until(self, mark: bytes, count: int = 1) -> None:
        """Reads until `mark` has come `count` times."""
        tail = b""
        while count > 0:
            data = self.socket.recv(1 << 20)
            assert data, "the server closed the connection"
            count -= (tail + data).count(mark)
            tail = data[-len(mark) + 1 :]

    def call(self, method: str, params: Sequence[object]) -> None:
        self.send(method, params)
        self.until(END)

    def seconds(self, method: str, params: Sequence[object], times: int) -> float:
        """Of one call, when `times` are made one after the other."""
        data = request(method, params)
        started = time.perf_counter()
        for _ in range(times):
            self.socket.sendall(data)
            self.until(END)
        return (time.perf_counter() - started) / times

    def close(self) -> None:
        self.socket.close()


def converse(
    writer: Client, data: bytes, mark: bytes, count: int, readers: Sequence[Client], last: bytes
) -> None:
    """Sends `data` and reads what comes, in whatever order the server likes, until the writer has seen `mark`
    so many times and each reader `last`."""
    waiting = {client.socket: (last, 1) for client in readers}
    waiting[writer.socket] = (mark, count)
    tails = dict.fromkeys(waiting, b"")
    rest = memoryview(data)
    while waiting:
        readable, writable, _ = select.select(list(waiting), [writer.socket] if rest else [], [], 120)
        assert readable or writable, "the server is silent"
        for one in writable:
            rest = rest[one.send(rest[:65536]) :]
        for one in readable:
            text = one.recv(1 << 20)
            assert text, "the server closed the connection"
            wanted, left = waiting[one]
            left -= (tails[one] + text).count(wanted)
            tails[one] = text[-len(wanted) + 1 :]
            waiting[one] = (wanted, left)
            if left <= 0:
                del waiting[one]


END = b'"error":null'


def request(method: str, params: Sequence[object]) -> bytes:
    return json.dumps({"method": method, "params": params, "id": 1}).encode()


def transact(*operations: object) -> bytes:
    return request("transact", ["Bench", *operations])
