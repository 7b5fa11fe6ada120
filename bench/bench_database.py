"""The database server beside the original, same client, same work: rates."""

import json
import socket
import time
from collections.abc import Callable, Iterator

from bench.lab import kinds, lab
from bench.measure import Row


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.settimeout(60)
    return client


def request(method: str, params: object, number: int) -> bytes:
    return json.dumps({"method": method, "params": params, "id": number}).encode()


def insert(number: int, *more: object) -> bytes:
    row = {"external_ids": ["map", [["n", str(number)]]]}
    return request(
        "transact", ["Open_vSwitch", {"op": "insert", "table": "Queue", "row": row}, *more], number
    )


def until(client: socket.socket, mark: bytes, count: int = 1) -> None:
    tail = b""
    while count > 0:
        data = client.recv(1 << 18)
        assert data, "the server closed the connection"
        count -= (tail + data).count(mark)
        tail = data[-len(mark) + 1 :]


def pipelined(path: str) -> float:
    client = connect(path)
    started = time.perf_counter()
    for first in range(0, 3000, 500):
        client.sendall(
            b"".join(insert(n, {"op": "commit", "durable": True}) for n in range(first, first + 500))
        )
        until(client, b'"result"', 500)
    return 3000 / (time.perf_counter() - started)


def lock_step(path: str) -> float:
    client = connect(path)
    started = time.perf_counter()
    for number in range(2000):
        client.sendall(insert(number))
        until(client, b'"result"')
    return 2000 / (time.perf_counter() - started)


def dumps(path: str) -> float:
    clients = [connect(path) for _ in range(18)]
    started = time.perf_counter()
    for client in clients:
        client.sendall(request("monitor_cond", ["Open_vSwitch", 1, {"Queue": {}}], 1))
    for client in clients:
        until(client, b'"error":null')
    return 18 / (time.perf_counter() - started)


def updates(path: str) -> float:
    clients = [connect(path) for _ in range(20)]
    for client in clients:
        client.sendall(
            request("monitor_cond", ["Open_vSwitch", 1, {"Open_vSwitch": {"columns": ["next_cfg"]}}], 1)
        )
        until(client, b'"error":null')
    writer = connect(path)
    add = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
    started = time.perf_counter()
    writer.sendall(b"".join(request("transact", ["Open_vSwitch", add], n) for n in range(1000)))
    until(writer, b'"count"', 1000)
    for client in clients:
        until(client, b'"next_cfg":1000}')
    return 1000 / (time.perf_counter() - started)


WORK: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("durable inserts, pipelined", pipelined),
    ("inserts, lock-step", lock_step),
    ("dumps of 5,000 rows, 18 monitors at once", dumps),
    ("updates seen by 20 monitors", updates),
)


def run() -> Iterator[Row]:
    rates = [_measure(kind) for kind in kinds()]
    for number, (what, _) in enumerate(WORK):
        original = rates[1][number] if len(rates) > 1 else None
        yield Row(what, rates[0][number], original, "/s")


def _measure(original: bool) -> list[float]:
    with lab(original) as made:
        made.start_database()
        setup = connect(made.socket)
        setup.sendall(
            request("transact", ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}], 0)
        )
        until(setup, b'"result"')
        return [work(made.socket) for _, work in WORK]
