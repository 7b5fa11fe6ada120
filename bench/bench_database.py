"""The database server beside the original, same client, same work.

Each figure is taken in turns, ours and the original's, and the medians are shown.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.support.originals import wait_for

from bench.database_lab import END, Address, Client, Server, converse, server, transact, write_database
from bench.lab import kinds, lab
from bench.measure import Row

Where = Address | Server
DURABLE = {"op": "commit", "durable": True}
TURNS = 3


def insert(number: int, mark: str) -> dict[str, object]:
    row = {"name": f"{mark}-{number}", "number": number, "tags": ["map", [["n", str(number)]]]}
    return {"op": "insert", "table": "Item", "row": row}


class Names:
    """Marks of inserted rows, never twice the same."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> str:
        self.count += 1
        return f"new{self.count}"


NAMES = Names()


def pipelined(to: Where) -> float:
    """Inserts a second."""
    client, mark = Client(to), NAMES.next()
    data = [
        b"".join(transact(insert(n, mark), DURABLE) for n in range(at, at + 500))
        for at in range(0, 3000, 500)
    ]
    started = time.perf_counter()
    for part in data:
        client.socket.sendall(part)
        client.until(END, 500)
    return 3000 / (time.perf_counter() - started)


def lock_step(to: Where) -> float:
    client, mark = Client(to), NAMES.next()
    data = [transact(insert(n, mark)) for n in range(2000)]
    started = time.perf_counter()
    for part in data:
        client.socket.sendall(part)
        client.until(END)
    return 2000 / (time.perf_counter() - started)


WHERE = [["name", "==", "item-77"]]
SELECT = {"op": "select", "table": "Item", "where": WHERE, "columns": ["number"]}
UPDATE = {"op": "mutate", "table": "Item", "where": WHERE, "mutations": [["number", "+=", 1]]}
WAIT = {
    "op": "wait", "table": "Item", "where": WHERE, "columns": ["owner"],
    "until": "==", "rows": [{"owner": "owner-77"}], "timeout": 0,
}  # fmt: skip
MUTATE = {"op": "mutate", "table": "Counter", "where": [], "mutations": [["value", "+=", 1]]}


def microseconds(operation: object, times: int = 400) -> Callable[[Where], float]:
    """Of a transaction with this operation, one after the other."""

    def measured(to: Where) -> float:
        return Client(to).seconds("transact", ["Bench", operation], times) * 1e6

    return measured


def dump(to: Where) -> float:
    return dumps(to, 1)


def dumps(to: Where, count: int = 18) -> float:
    """Seconds until `count` new monitors have all rows."""
    Client(to).call("transact", ["Bench", MUTATE])  # whatever was kept from another dump is of no use
    clients = [Client(to) for _ in range(count)]
    started = time.perf_counter()
    for client in clients:
        client.send("monitor_cond", ["Bench", 1, {"Item": {}}])
    for client in clients:
        client.until(END)
    took = time.perf_counter() - started
    for client in clients:
        client.close()
    return took


def updates(to: Where) -> float:
    """Seconds until 20 monitors have seen the last of 2,000 updates."""
    clients = [Client(to) for _ in range(20)]
    for client in clients:
        client.call("monitor_cond", ["Bench", 1, {"Counter": {}}])
    writer = Client(to)
    last = {"op": "update", "table": "Counter", "where": [], "row": {"value": 0}}
    started = time.perf_counter()
    converse(writer, transact(MUTATE) * 1999 + transact(last), END, 2000, clients, b'"value":0')
    took = time.perf_counter() - started
    for client in (*clients, writer):
        client.close()
    return took


def longest_stop(to: Server) -> float:
    """Milliseconds that a client waits at most for the answer to an echo while the file is compacted."""
    import subprocess

    path = f"{to.lab.directory}/ovsdb-server.{to.pid}.ctl"
    client = Client(to)
    command = [to.lab.path("ovs-appctl"), "-t", path, "ovsdb-server/compact"]
    worst = 0.0
    with subprocess.Popen(command, env=to.lab.environment) as process:
        while process.poll() is None:
            worst = max(worst, client.seconds("echo", [], 1))
            time.sleep(0.0005)
        assert process.returncode == 0
    return worst * 1000


def longest_collection(rows: int = 100_000) -> float:
    """Milliseconds of the longest run of the cyclic collector, from start over dumps to 4,000 inserts."""
    import subprocess
    import sys

    with lab(False) as made:
        path, pauses = f"{made.directory}/conf.db", Path(made.directory, "pauses")
        write_database(path, rows)
        command = [sys.executable, "-m", "bench.collected_server", str(pauses), path, "-vconsole:off"]
        with subprocess.Popen([*command, f"--remote=punix:{made.socket}"], env=made.environment) as process:
            try:
                wait_for(Path(made.socket))
                to = Address(made.socket)
                dumps(to, 3)
                longest_answer(to)
                time.sleep(0.2)
                return float(pauses.read_text())
            finally:
                process.terminate()


def longest_answer(to: Where) -> float:
    """Milliseconds that a client waits at most for the answer to an echo, while another inserts."""
    client, writer, mark = Client(to), Client(to), NAMES.next()
    worst = 0.0
    for at in range(0, 4000, 20):
        writer.socket.sendall(b"".join(transact(insert(n, mark)) for n in range(at, at + 20)))
        worst = max(worst, client.seconds("echo", [], 1))
        writer.until(END, 20)
    return worst * 1000


Pair = tuple[float, float | None]


def in_turns(servers: list[Server], work: Callable[[Server], float], turns: int = TURNS) -> Pair:
    """The medians of ours and of the original."""
    taken: list[list[float]] = [[] for _ in servers]
    for _ in range(turns):
        for values, to in zip(taken, servers, strict=True):
            values.append(work(to))
    found = [statistics.median(values) for values in taken]
    return found[0], found[1] if len(found) > 1 else None


def run() -> Iterator[Row]:
    yield from _small()
    few = {what: ours for what, ours, _ in _indexed(100, (*INDEXED, COUNT))}
    for what, ours, original in _indexed(10_000, INDEXED):
        yield Row(f"{what} by an indexed column, 10,000 rows", ours, original, "us", ratio=0.25)
    yield from _large(few)


def _small() -> Iterator[Row]:
    with ExitStack() as stack:
        servers = [stack.enter_context(server(kind, 100)) for kind in kinds()]
        yield Row("durable inserts, pipelined", *in_turns(servers, pipelined), "/s", ratio=1)
        yield Row("inserts, lock-step, not durable", *in_turns(servers, lock_step), "/s", ratio=0.5)
        yield Row("2,000 updates, until 20 monitors saw all", *in_turns(servers, updates), "s", ratio=2)


INDEXED = (("select", SELECT), ("update", UPDATE), ("wait", WAIT))


COUNT = ("mutate", MUTATE)


def _indexed(rows: int, operations: tuple[tuple[str, object], ...]) -> list[tuple[str, float, float | None]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(server(kind, rows)) for kind in kinds()]
        return [(what, *in_turns(servers, microseconds(operation))) for what, operation in operations]


def _large(few: dict[str, float]) -> Iterator[Row]:
    with ExitStack() as stack:
        servers = [stack.enter_context(server(kind, 100_000)) for kind in kinds()]
        took = [to.took for to in servers]
        memory = [to.memory() for to in servers]
        yield Row("start with 100,000 rows", took[0], took[1] if len(took) > 1 else None, "s", ratio=2)
        yield Row("memory for them", memory[0], memory[1] if len(took) > 1 else None, "MB", ratio=4)
        for what, operation in INDEXED:
            ours, original = in_turns(servers, microseconds(operation, 50))
            yield Row(f"{what} by an indexed column, 100,000 rows", ours, original, "us")
            yield Row("  the same against 100 rows, times", ours / few[what], None, "", goal=1.3)
        ours, original = in_turns(servers, microseconds(MUTATE))
        yield Row("a transaction in another table, beside 100,000 rows", ours, original, "us")
        yield Row("  the same beside 100 rows, times", ours / few["mutate"], None, "", goal=1.3)
        yield Row("first dump of 100,000 rows to a monitor", *in_turns(servers, dump), "s", ratio=1)
        yield Row("the same to 18 monitors at once", *in_turns(servers, dumps, 1), "s", ratio=1 / 3)
        yield Row("longest answer while another inserts", *in_turns(servers, longest_answer), "ms")
        yield Row("longest answer during a compaction", *in_turns(servers, longest_stop), "ms", goal=50)
    yield Row("longest run of the cyclic collector, 100,000 rows", longest_collection(), None, "ms", goal=10)
