"""The database server beside the original, same client, same work: rates and their ratio.

Run it as ``python bench/database_server.py``; it takes about half a minute.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PROGRAMS = ("/usr/sbin/ovsdb-server", str(Path(sys.executable).parent / "ovsdb-server"))


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


def main() -> None:
    rates: list[list[float]] = []
    for program in PROGRAMS:
        with tempfile.TemporaryDirectory(prefix="bench") as directory:
            environment = {**os.environ, "OVS_RUNDIR": directory, "OVS_LOGDIR": directory}
            subprocess.run(["/usr/bin/ovsdb-tool", "create", f"{directory}/conf.db", SCHEMA], check=True)
            words = [program, f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock", "-vconsole:off"]
            server = subprocess.Popen(words, env=environment)
            while not os.path.exists(f"{directory}/db.sock"):
                time.sleep(0.05)
            setup = connect(f"{directory}/db.sock")
            row = {"op": "insert", "table": "Open_vSwitch", "row": {}}
            setup.sendall(request("transact", ["Open_vSwitch", row], 0))
            until(setup, b'"result"')
            rates.append([work(f"{directory}/db.sock") for _, work in WORK])
            server.terminate()
            server.wait(10)
    print(f"{'per second':45} {'original':>10} {'ours':>10} {'ratio':>6}")
    for (name, _), theirs, mine in zip(WORK, *rates, strict=True):
        print(f"{name:45} {theirs:10.1f} {mine:10.1f} {mine / theirs:6.2f}")


if __name__ == "__main__":
    main()
