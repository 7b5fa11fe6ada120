"""Clients that stop reading, say nothing, are many or gone without a word: both servers bear them."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.database_servers import DB, ORIGINAL, OURS, Client, Running

SERVERS = [
    OURS,
    pytest.param(
        ORIGINAL,
        marks=[
            pytest.mark.oracle,
            pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="the original is not installed"),
        ],
    ),
]
MEGABYTE = 1 << 20


@contextmanager
def running(program: str) -> Iterator[Running]:
    server = Running(program)
    try:
        yield server
    finally:
        server.remove()


def memory(server: Running) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def insert(client: Client, text: str) -> None:
    row = {"external_ids": ["map", [["text", text]]]}
    reply = client.call("transact", [DB, {"op": "insert", "table": "Queue", "row": row}])[-1]
    assert "uuid" in reply["result"][0]


def update(client: Client, text: str) -> None:
    row = {"external_ids": ["map", [["text", text]]]}
    reply = client.call("transact", [DB, {"op": "update", "table": "Queue", "where": [], "row": row}])[-1]
    assert reply["result"] == [{"count": 1}]


@pytest.mark.parametrize("program", SERVERS)
def test_a_monitor_that_does_not_read(program: str) -> None:
    """120 MB of updates wait for it: they are merged; when it reads on, it has the last state."""
    with running(program) as server:
        writer, idle = Client(server), Client(server)
        insert(writer, "first")
        idle.call("monitor_cond", [DB, "m", {"Queue": [{"columns": ["external_ids"]}]}])
        before = memory(server)
        for number in range(600):
            update(writer, f"{number}" + "x" * 200_000)
        assert memory(server) - before < 60 * MEGABYTE  # a history of 100 transactions among it
        update(writer, "last")
        seen = 0
        while (message := idle.read())["method"] != "update2" or '"last"' not in json.dumps(message):
            seen += 1
            assert seen < 200


@pytest.mark.parametrize("program", SERVERS)
def test_requests_whose_answers_nobody_reads(program: str) -> None:
    """2,000 requests with answers of 100 kB: the server stops reading, serves others, and answers all in the
    end, in order."""
    with running(program) as server:
        other, greedy = Client(server), Client(server)
        insert(other, "y" * 100_000)
        before = memory(server)
        select = {"op": "select", "table": "Queue", "where": [], "columns": ["external_ids"]}
        requests = b"".join(
            json.dumps({"method": "transact", "params": [DB, select], "id": number}).encode()
            for number in range(2000)
        )
        rest = memoryview(requests)
        greedy.socket.settimeout(0.3)
        try:
            while rest:
                rest = rest[greedy.socket.send(rest) :]
        except TimeoutError:
            pass
        for _ in range(20):
            assert other.call("echo", ["served"])[-1]["result"] == ["served"]
        assert memory(server) - before < 40 * MEGABYTE
        greedy.socket.settimeout(10)
        found = total = 0
        tail = b""
        while found < 2000:
            if rest:
                greedy.socket.setblocking(False)
                try:
                    rest = rest[greedy.socket.send(rest) :]
                except BlockingIOError:
                    pass
                greedy.socket.settimeout(10)
            data = greedy.socket.recv(MEGABYTE)
            assert data
            total += len(data)
            found += (tail + data).count(b'"error":null')
            tail = data[-11:]
        assert total > 2000 * 100_000
        assert memory(server) - before < 60 * MEGABYTE


@pytest.mark.parametrize("program", SERVERS)
def test_a_slow_reader(program: str) -> None:
    """It takes a little now and then, for several times what a probe waits: it stays, and gets all."""
    with running(program) as server:
        path = manager(server, 1000)
        other, slow = Client(server), Client(path)
        insert(other, "y" * 3_000_000)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        slow.send(
            "transact", [DB, {"op": "select", "table": "Queue", "where": [], "columns": ["external_ids"]}]
        )
        started = time.monotonic()
        taken = 0
        while time.monotonic() < started + 4:
            taken += len(slow.socket.recv(100_000))
            time.sleep(0.2)
        slow.socket.settimeout(10)
        while taken < 3_000_000:
            data = slow.socket.recv(MEGABYTE)
            assert data, taken
            taken += len(data)


def manager(server: Running, probe: int) -> str:
    """The socket of a remote that probes after so many milliseconds."""
    path = f"{server.directory}/probed.sock"
    row = {"target": f"punix:{path}", "inactivity_probe": probe}
    operations = [
        {"op": "insert", "table": "Open_vSwitch", "row": {"manager_options": ["named-uuid", "m"]}},
        {"op": "insert", "table": "Manager", "row": row, "uuid-name": "m"},
    ]
    assert "error" not in Client(server).call("transact", [DB, *operations])[-1]["result"][-1]
    deadline = time.monotonic() + 10
    while not Path(path).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path


@pytest.mark.parametrize("program", SERVERS)
def test_probes(program: str) -> None:
    """Who does not answer a probe is disconnected, who answers is not."""
    with running(program) as server:
        path = manager(server, 2000)
        silent, alive = Client(path), Client(path)
        silent.call("echo", [])
        alive.socket.settimeout(0.2)
        ended = False
        asked = 0
        deadline = time.monotonic() + 60
        while not ended or asked < 3:
            assert time.monotonic() < deadline
            try:
                probe = alive.read()
                assert probe["method"] == "echo"
                alive.socket.sendall(json.dumps({"id": probe["id"], "result": [], "error": None}).encode())
                asked += 1
            except TimeoutError:
                pass
            silent.socket.settimeout(0.01)
            try:
                ended = ended or silent.read() == "closed"
            except TimeoutError:
                pass
        alive.socket.settimeout(10)
        assert alive.call("echo", ["here"])[-1]["result"] == ["here"]
        lines = server.log_lines("reconnect")
        assert any("ERR|" in line and "no response to inactivity probe after" in line for line in lines), (
            lines
        )


def test_a_half_open_connection_with_a_backlog() -> None:
    """Its peer takes nothing any more: it ends by the probe, and what waited for it is given back.  (The
    original keeps it until the kernel gives up.)"""
    with running(OURS) as server:
        path = manager(server, 500)
        writer, dead = Client(server), Client(path)
        insert(writer, "first")
        dead.call("monitor_cond", [DB, "m", {"Queue": [{"columns": ["external_ids"]}]}])
        for number in range(20):
            update(writer, f"{number}" + "x" * 500_000)
        deadline = time.monotonic() + 30
        while True:
            listed = server.control("memory/show")[1]
            count = dict(word.split(":") for word in listed.split()).get("sessions")
            if count == "1":
                break
            assert time.monotonic() < deadline, listed
            time.sleep(0.1)
        assert "no response to inactivity probe" in str(server.log_lines("reconnect"))
        update(writer, "goes on")


@pytest.mark.parametrize("program", SERVERS)
def test_a_thousand_idle_clients(program: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("not enough descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with running(program) as server:
            first = Client(server)
            insert(first, "first")
            before = memory(server)
            idle = [Client(server) for _ in range(1000)]
            for client in idle:
                client.send("monitor_cond", [DB, "m", {"Queue": [{"columns": ["external_ids"]}]}])
            for client in idle:
                assert client.read()["result"]
            assert memory(server) - before < 60 * MEGABYTE
            update(first, "for all")
            for client in idle:
                message = client.read()
                while message["method"] == "echo":
                    message = client.read()
                assert "for all" in json.dumps(message)
            for client in idle:
                client.close()
            update(first, "goes on")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("program", SERVERS)
def test_more_clients_than_descriptors(program: str) -> None:
    """Those that are there are served; when some go, others can come."""
    with running(program) as server:
        first = Client(server)
        insert(first, "first")
        limit = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) + 20
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        many = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for one in many:
            one.settimeout(10)
            one.connect(f"{server.directory}/db.sock")
        update(first, "served")
        log = Path(server.directory, "log")
        deadline = time.monotonic() + 30
        while "accept failed: Too many open files" not in log.read_text():
            assert time.monotonic() < deadline  # the original's log is written by a thread of its own
            time.sleep(0.05)
        for one in many:
            one.close()
        later = Client(server)
        update(later, "goes on")
        assert len(log.read_text()) < 10_000


@pytest.mark.parametrize("program", SERVERS)
def test_a_message_of_many_megabytes(program: str) -> None:
    """In pieces; others are served in between, and the memory is given back or used again."""
    with running(program) as server:
        other, large = Client(server), Client(server)
        row = {"external_ids": ["map", [[f"key{n}", "z" * 1000] for n in range(8000)]]}
        operation = {"op": "insert", "table": "Queue", "row": row}
        data = json.dumps({"method": "transact", "params": [DB, operation], "id": 0}).encode()
        for at in range(0, len(data), 100_000):
            large.socket.sendall(data[at : at + 100_000])
            assert other.call("echo", [at])[-1]["result"] == [at]
        assert "uuid" in large.read()["result"][0]


BEGINNING = b'{"method":"echo","id":1,"params":["'


def resident_falls_to(server: Running, bound: int) -> None:
    """Waits until the server has given memory back."""
    deadline = time.monotonic() + 10
    while memory(server) > bound:
        assert time.monotonic() < deadline, f"{memory(server) // MEGABYTE} MB are resident"
        time.sleep(0.05)


def send_large(server: Running, end: bytes, megabytes: int = 24) -> Client:
    """A client that has sent a request so long, with this end."""
    client = Client(server)
    client.socket.settimeout(20)
    client.socket.sendall(BEGINNING)
    for _ in range(megabytes):
        client.socket.sendall(b"z" * MEGABYTE)
    client.socket.sendall(end)
    return client


@pytest.mark.parametrize("program", [OURS])
def test_memory_of_large_messages_is_given_back(program: str) -> None:
    """Nothing stays of a message that its client never ended or that was wrong at its end, nor of an answer.

    The bound is less than what one of these clients sends, and there are many.  (The original parses as the
    bytes come and keeps its heap as its C library likes, up to 500 MB after a hundred such clients.)
    """
    with running(program) as server:
        before = memory(server)
        for _ in range(3):
            send_large(server, b"").close()
            broken = send_large(server, b'"}}')
            assert broken.socket.recv(1) == b""  # it is refused
            broken.close()
            resident_falls_to(server, before + 16 * MEGABYTE)
        many = [send_large(server, b"", 5) for _ in range(12)]
        for client in many:
            client.close()
        resident_falls_to(server, before + 16 * MEGABYTE)
        answered = send_large(server, b'"]}')
        size = 0
        while size < 24 * MEGABYTE:
            size += len(answered.socket.recv(MEGABYTE))
        resident_falls_to(server, before + 16 * MEGABYTE)
        assert Client(server).call("echo", ["served"])[-1]["result"] == ["served"]
