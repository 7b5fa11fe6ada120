"""What the database server promises beyond single requests, beside the original: ids of transactions, the
order of updates and replies, remotes with settings of their own, control commands.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import DB, ORIGINAL, OURS, SCHEMA, Client, Running
from support.waiting import until

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the original ovsdb-server"),
]
ZERO = "00000000-0000-0000-0000-000000000000"
UUID = re.compile("[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    made = (Running(ORIGINAL), Running(OURS))
    yield made
    for server in made:
        server.remove()


@pytest.fixture
def ours() -> Iterator[Running]:
    made = Running(OURS)
    yield made
    made.remove()


def insert(number: int) -> dict[str, Any]:
    return {"op": "insert", "table": "Queue", "row": {"dscp": number}}


# -- ids of transactions -------------------------------------------------------------------------------------


def since(client: Client, name: str, last_id: str) -> list[Any]:
    params = [DB, name, {"Queue": [{"columns": ["dscp"]}]}, last_id]
    result: list[Any] = client.call("monitor_cond_since", params)[-1]["result"]
    return result


def test_a_stale_transaction_id_is_never_found(ours: Running) -> None:
    """After a restart, a conversion, a restored file: whatever was seen before, everything is sent anew."""
    client = Client(ours)
    seen: set[str] = set()
    for number in range(5):
        client.call("transact", [DB, insert(number)])
        seen.add(since(client, f"m{number}", ZERO)[1])
    assert len(seen) == 5
    assert since(client, "found", max(seen))[0] is True
    copy = Path(ours.directory, "conf.db").read_bytes()

    def all_stale(of: Client, rows: int) -> None:
        for place, last_id in enumerate(sorted(seen | {ZERO})):
            found, new_id, updates = since(of, f"again{place}", last_id)
            assert found is False
            assert new_id not in seen
            assert len(updates.get("Queue", {})) == rows
        seen.add(new_id)

    schema = json.loads(Path(SCHEMA).read_text())
    client.call("set_db_change_aware", [True])
    assert client.call("convert", [DB, schema])[-1]["result"] == {}
    all_stale(client, 5)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        ours.stop(sign)
        ours.start()
        all_stale(Client(ours), 5)
    ours.stop()
    Path(ours.directory, "conf.db").write_bytes(copy[: copy.rindex(b"OVSDB JSON")])
    ours.start()
    all_stale(Client(ours), 4)
    path = f"{ours.directory}/conf.db"
    assert ours.control("ovsdb-server/remove-db", DB) == (0, "")
    assert ours.control("ovsdb-server/add-db", path) == (0, "")
    all_stale(Client(ours), 4)


# -- order under group commit -------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_updates_precede_replies_when_transactions_are_pipelined(ours: Running, durable: bool) -> None:
    """200 transactions in one write; each one's updates, of every monitor, stand before its reply."""
    client, other = Client(ours), Client(ours)
    watch = {"Queue": [{"columns": ["dscp", "external_ids"]}]}
    for method, extra in (("monitor", []), ("monitor_cond", []), ("monitor_cond_since", [ZERO])):
        client.call(method, [DB, method, watch, *extra])
    other.call("monitor", [DB, "other", watch])
    commit = [{"op": "commit", "durable": True}] if durable else []
    first = client.next + 1
    lines = []
    for number in range(200):
        client.next += 1
        row = {"external_ids": ["map", [["n", str(number)]]]}
        operations = [{"op": "insert", "table": "Queue", "row": row}, *commit]
        lines.append(json.dumps({"method": "transact", "params": [DB, *operations], "id": client.next}))
    client.socket.sendall("".join(lines).encode())
    shown: dict[str, list[str]] = {}
    for number in range(200):
        while (message := client.read()).get("method"):
            ((_, update),) = message["params"][-1]["Queue"].items()
            row = update.get("new") or update["insert"]
            shown.setdefault(message["method"], []).append(dict(row["external_ids"][1])["n"])
        assert message["id"] == first + number
        assert message["error"] is None
        assert {kind: len(found) for kind, found in shown.items()} == dict.fromkeys(shown, number + 1)
        assert sorted(shown) == ["update", "update2", "update3"]
    assert all(found == [str(number) for number in range(200)] for found in shown.values())
    seen = 0
    while seen < 200:
        seen += len(other.read()["params"][1]["Queue"])
    assert seen == 200


# -- monitors of all columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["monitor", "monitor_cond", "monitor_cond_since"])
def test_a_monitor_of_all_columns_shows_versions(both: tuple[Running, Running], method: str) -> None:
    found = []
    for server in both:
        client = Client(server)
        extra = [ZERO] if method.endswith("since") else []
        heard = client.call(method, [DB, "m", {"QoS": [{}]}, *extra])
        row = {"type": "x", "other_config": ["map", [["a", "b"]]]}
        heard += client.call("transact", [DB, {"op": "insert", "table": "QoS", "row": row}])
        change = {"op": "update", "table": "QoS", "where": [], "row": {"type": "y"}}
        heard += client.call("transact", [DB, change])
        heard += client.call("transact", [DB, {"op": "delete", "table": "QoS", "where": []}])
        texts = [UUID.sub("UUID", json.dumps(message, sort_keys=True)) for message in heard]
        found.append(texts)
        assert "_version" in texts[1]
        client.close()
    assert found[1] == found[0]


# -- remotes from the database -------------------------------------------------------------------------------


def silent(path: str, seconds: float) -> bytes:
    """What a client that says nothing hears within this time."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.settimeout(seconds)
        try:
            return client.recv(1000)
        except TimeoutError:
            return b""


def test_remotes_with_settings_of_their_own() -> None:
    outcomes = []
    for program in (ORIGINAL, OURS):
        server = Running(program)
        try:
            d = server.directory
            rows = {
                "plain": {"target": f"punix:{d}/plain"},
                "probed": {"target": f"punix:{d}/probed", "inactivity_probe": 1000},
                "active": {"target": f"unix:{d}/nobody", "max_backoff": 1000},
                "wrong": {"target": "bogus:1"},
                "marked": {"target": "ptcp:0:127.0.0.1", "other_config": ["map", [["dscp", "10"]]]},
            }
            inserts = [
                {"op": "insert", "table": "Manager", "uuid-name": name, "row": row}
                for name, row in rows.items()
            ]
            root = {"manager_options": ["set", [["named-uuid", name] for name in rows]]}
            inserts.append({"op": "insert", "table": "Open_vSwitch", "row": root})
            client = Client(server)
            results = client.call("transact", [DB, *inserts])[-1]["result"]
            assert all("error" not in result for result in results), results
            until(lambda d=d: Path(d, "probed").exists(), "it listens")  # type: ignore[misc]
            until(lambda d=d: Path(d, "plain").exists(), "it listens")  # type: ignore[misc]
            heard: list[Any] = [b"echo" in silent(f"{d}/probed", 8), silent(f"{d}/plain", 0.1)]
            with socket.socket(socket.AF_UNIX) as connected:
                connected.connect(f"{d}/plain")
                wanted = {"plain": True, "probed": False, "active": False, "wrong": False}
                until(lambda c=client, n=rows, w=wanted: state(c, n) == w, "is_connected")  # type: ignore[misc]
                heard.append(statuses(client, rows))
            outcomes.append(heard)
        finally:
            server.remove()
    assert outcomes[1] == outcomes[0]


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss of iproute2")
def test_packets_to_remotes_are_marked() -> None:
    outcomes = []
    for program in (ORIGINAL, OURS):
        plain, *others = ports = [free_port() for _ in range(4)]
        server = Running(program, f"--remote=ptcp:{plain}:127.0.0.1")
        connections = []
        try:
            configured: list[list[list[str]]] = [[], [["dscp", "10"]], [["dscp", "64"]]]
            rows = [
                {
                    "op": "insert", "table": "Manager", "uuid-name": f"m{port}",
                    "row": {"target": f"ptcp:{port}:127.0.0.1", "other_config": ["map", pairs]},
                }
                for port, pairs in zip(others, configured)
            ]  # fmt: skip
            root = {"manager_options": ["set", [["named-uuid", f"m{port}"] for port in others]]}
            Client(server).call(
                "transact", [DB, *rows, {"op": "insert", "table": "Open_vSwitch", "row": root}]
            )
            for port in ports:
                until(lambda p=port, c=connections: connect(p, c), "it listens")  # type: ignore[misc]
            found: list[Any] = []
            until(lambda s=server, p=ports, f=found: marks(s, p, f), "all are accepted")  # type: ignore[misc]
            outcomes.append(found)
        finally:
            for connection in connections:
                connection.close()
            server.remove()
    assert outcomes[1] == outcomes[0] == [["0", "0xc0", "0x28", "0xc0"]]


def connect(port: int, connections: list[socket.socket]) -> bool:
    try:
        connections.append(socket.create_connection(("127.0.0.1", port)))
    except OSError:
        return False
    return True


def marks(server: Running, ports: list[int], found: list[Any]) -> bool:
    """The TOS of the server's end of each connection, as soon as all are there."""
    done = subprocess.run(["ss", "-tnpeiHO", "--tos"], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if f"pid={server.process.pid}," in line]
    own = {line.split()[3]: re.findall(r"tos:(\S+)", line)[0] for line in lines}
    found[:] = [[own.get(f"127.0.0.1:{port}", "") for port in ports]]
    return all(found[0])


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def test_locks_stand_in_the_status_of_a_remote_that_is_dialled() -> None:
    outcomes = []
    for program in (ORIGINAL, OURS):
        server = Running(program)
        with socket.socket(socket.AF_UNIX) as listening:
            try:
                path = f"{server.directory}/dialled"
                listening.bind(path)
                listening.listen(3)
                listening.settimeout(20)
                client = Client(server)
                insert = {
                    "op": "insert", "table": "Manager", "uuid-name": "m", "row": {"target": f"unix:{path}"}
                }  # fmt: skip
                root = {"manager_options": ["named-uuid", "m"]}
                client.call("transact", [DB, insert, {"op": "insert", "table": "Open_vSwitch", "row": root}])
                dialled = Client(listening.accept()[0])
                steps = (
                    (dialled, "lock", "a"), (dialled, "lock", "b"), (client, "lock", "c"),
                    (dialled, "lock", "c"), (client, "steal", "b"),
                    (dialled, "steal", "d"), (client, "steal", "d"),
                )  # fmt: skip
                for who, method, name in steps:
                    who.call(method, [name])
                shown: dict[str, str] = {}
                until(lambda c=client, s=shown: locks_shown(c, s), "the status is written")  # type: ignore[misc]
                outcomes.append(shown)
            finally:
                server.remove()
    assert outcomes[1] == outcomes[0] == {"held": "a", "waiting": "b c", "lost": "d"}


def locks_shown(client: Client, shown: dict[str, str]) -> bool:
    """What the only manager's status says of locks, once it does."""
    (row,) = managers(client)
    for name, value in row["status"][1]:
        if name.startswith("locks_"):
            shown[name.removeprefix("locks_")] = " ".join(sorted(value.split()))
    return len(shown) == 3


def managers(client: Client) -> list[dict[str, Any]]:
    select = {"op": "select", "table": "Manager", "where": []}
    rows: list[dict[str, Any]] = client.call("transact", [DB, select])[-1]["result"][0]["rows"]
    return rows


def named(rows: dict[str, Any], row: dict[str, Any]) -> str:
    return next(name for name, given in rows.items() if given["target"] == row["target"])


def state(client: Client, rows: dict[str, Any]) -> dict[str, bool]:
    found = {named(rows, row): row["is_connected"] for row in managers(client)}
    found.pop("marked")
    return found


def statuses(client: Client, rows: dict[str, Any]) -> dict[str, list[str]]:
    """The names of what each status shows, without times that come and go."""
    found = {}
    for row in managers(client):
        shown = dict(row["status"][1])
        left_out = ("sec_since", "last_error")  # which the original never shows, against its manual
        found[named(rows, row)] = sorted(name for name in shown if not name.startswith(left_out))
    return found


# -- control commands ----------------------------------------------------------------------------------------

COMMANDS = (
    ["list-commands"],
    ["ovsdb-server/list-dbs"],
    ["ovsdb-server/list-remotes"],
    ["ovsdb-server/compact", "_Server"],
    ["ovsdb-server/compact", "nope"],
    ["ovsdb-server/compact", DB],
    ["ovsdb-server/compact"],
    ["ovsdb-server/compact", "a", "b"],
    ["ovsdb-server/memory-trim-on-compaction", "on"],
    ["ovsdb-server/memory-trim-on-compaction", "maybe"],
    ["ovsdb-server/perf-counters-show"],
    ["ovsdb-server/perf-counters-clear"],
    ["ovsdb-server/perf-counters-show", "x"],
    ["ovsdb-server/get-db-storage-status", DB],
    ["ovsdb-server/get-db-storage-status", "_Server"],
    ["ovsdb-server/get-db-storage-status", "nope"],
    ["ovsdb-server/add-remote", "bogus"],
    ["ovsdb-server/add-remote", "db:nope"],
    ["ovsdb-server/add-remote", "db:x,y,z"],
    ["ovsdb-server/add-remote", f"db:{DB},Nope,x"],
    ["ovsdb-server/add-remote", f"db:{DB},Manager,nope"],
    ["ovsdb-server/add-remote", f"db:{DB},Manager,external_ids"],
    ["ovsdb-server/add-remote", f"db:{DB},Manager,max_backoff"],
    ["ovsdb-server/remove-remote", "nope"],
    ["ovsdb-server/list-remotes"],
    ["ovsdb-server/remove-db", "nope"],
    ["ovsdb-server/remove-db", "_Server"],
    ["ovsdb-server/add-db", "/nowhere/x.db"],
    ["ovsdb-server/sync-status"],
    ["ovsdb-server/tlog-list"],
    ["ovsdb-server/tlog-set", "nope", "on"],
    ["cluster/status", DB],
    ["cluster/cid", DB],
    ["cluster/leave", DB],
    ["ovsdb-server/reconnect"],
    ["ovsdb-server/disable-monitor-cond"],
)


def test_control_commands(both: tuple[Running, Running]) -> None:
    for words in COMMANDS:
        theirs, ours = (server.control(*words) for server in both)
        if words[0] == "list-commands":
            assert not names_in(theirs[1]) - names_in(ours[1])
            continue
        assert ours == theirs, words


def test_memory_and_coverage() -> None:
    """In servers of their own: the numbers tell what was done."""
    found = []
    for program in (ORIGINAL, OURS):
        server = Running(program)
        try:
            client = Client(server)
            shown = [server.control("memory/show")]
            client.call("transact", [DB, insert(1), insert(2)])
            client.call("monitor", [DB, "m", {"Queue": [{}]}])
            shown.append(server.control("memory/show"))
            wait = {
                "op": "wait", "table": "Queue", "where": [], "columns": ["dscp"], "until": "==", "rows": []
            }  # fmt: skip
            client.send("transact", [DB, wait])
            until(lambda s=server: "triggers:1" in s.control("memory/show")[1], "it waits")  # type: ignore[misc]
            names = ("lockfile_lock", "lockfile_error", "pstream_open", "stream_open", "nope")
            shown += [server.control("coverage/read-counter", name) for name in names]
            for what in ("received", "replied"):
                status, text = server.control("coverage/read-counter", f"unixctl_{what}")
                assert (status, int(text) > 0) == (0, True)
            found.append(shown)
        finally:
            server.remove()
    assert found[1] == found[0]


def names_in(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines()[1:]}
