"""Relay databases: ours of the original, the original of ours, ours of ours, and the original of itself."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, DB, ORIGINAL, OURS, SCHEMA, Client, Running
from support.waiting import until

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the original ovsdb-server"),
]
SERVER = [{"op": "select", "table": "Database", "where": [["name", "==", DB]]}]
SHOWN = ("name", "model", "connected", "leader")
ZERO = "00000000-0000-0000-0000-000000000000"


class RelayServer:
    """A relay in the directory of its source."""

    def __init__(self, program: str, source: Running, *more: str) -> None:
        self.source = source
        self.directory = source.directory
        self.path = f"{self.directory}/relay.sock"
        self.log = Path(self.directory, "relay.log")
        self.process = subprocess.Popen(
            [
                program, f"relay:{DB}:{','.join([*more, f'unix:{self.directory}/db.sock'])}",
                f"--remote=punix:{self.path}", f"--log-file={self.log}", "-vconsole:off",
                f"--unixctl={self.directory}/relay.ctl",
            ],
            env=source.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.client().close()

    def client(self) -> Client:
        """One that is aware of changes.  Before it is, the relay may cut it off: it has met its source."""
        deadline = time.monotonic() + 20
        while True:
            try:
                client = Client(self.path)
                if client.call("set_db_change_aware", [True])[-1] != "closed":
                    return client
            except OSError:
                pass
            assert time.monotonic() < deadline, "the relay listens"
            time.sleep(0.02)

    def control(self, *words: str) -> tuple[int, str]:
        appctl = str(BIN / "ovs-appctl")
        done = self.source.run(appctl, "-t", f"{self.directory}/relay.ctl", *words)
        text = done.stdout + "".join(line for line in done.stderr.splitlines(True) if "appctl:" not in line)
        return done.returncode, text.replace(self.directory, "DIR")

    def remove(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.source.remove()


def described(client: Client) -> dict[str, Any]:
    row = client.call("transact", ["_Server", *SERVER])[-1]["result"][0]["rows"][0]
    return {name: row[name] for name in SHOWN}


def available(client: Client) -> bool:
    return client.call("get_schema", [DB])[-1]["error"] is None


@pytest.fixture(
    params=[(OURS, ORIGINAL), (ORIGINAL, OURS), (OURS, OURS), (ORIGINAL, ORIGINAL)],
    ids=["ours of the original", "the original of ours", "ours of ours", "the original of itself"],
)
def pair(request: pytest.FixtureRequest) -> Iterator[RelayServer]:
    relay, source = request.param
    made = RelayServer(relay, Running(source))
    try:
        yield made
    finally:
        made.remove()


def insert(number: int) -> dict[str, Any]:
    return {"op": "insert", "table": "Queue", "row": {"dscp": number}}


def values(client: Client) -> list[int]:
    select = {"op": "select", "table": "Queue", "where": [], "columns": ["dscp"]}
    rows = client.call("transact", [DB, select])[-1]["result"][0]["rows"]
    return sorted(row["dscp"] for row in rows)


def test_reads_here_and_changes_there(pair: RelayServer) -> None:
    client = pair.client()
    until(lambda: available(client), "the relay has its data")
    assert described(client) == {"name": DB, "model": "relay", "connected": True, "leader": False}
    assert client.call("list_dbs", [])[-1]["result"] == [DB, "_Server"]
    watch = {"Queue": {"columns": ["dscp"]}}
    assert client.call("monitor", [DB, "m", watch])[-1]["result"] == {}
    for number in (1, 2):
        update, reply = client.call("transact", [DB, insert(number)])  # the update goes before the reply
        (uuid,) = update["params"][1]["Queue"]
        assert update["params"][1]["Queue"][uuid] == {"new": {"dscp": number}}
        assert reply["result"] == [{"uuid": ["uuid", uuid]}]
    assert values(Client(pair.source)) == [1, 2]
    # errors are found here, in the words of the database
    bad = client.call("transact", [DB, {"op": "insert", "table": "Queue", "row": {"nope": 1}}])[-1]
    assert bad["result"][0]["error"] == "unknown column"
    aborted = client.call("transact", [DB, insert(3), {"op": "abort"}])[-1]["result"]
    assert aborted[1]["error"] == "aborted"
    # a lock of ours is none over there
    assert client.call("lock", ["l"])[-1]["result"] == {"locked": True}
    owner = {"op": "assert", "lock": "l"}
    assert client.call("transact", [DB, owner])[-1]["result"] == [{}]
    assert client.call("transact", [DB, owner, insert(4)])[-1]["result"][0]["error"] == "not owner"
    # what another client of the source does wakes a wait here
    until_nine = {
        "op": "wait", "table": "Queue", "where": [["dscp", "==", 9]], "columns": ["dscp"],
        "until": "==", "rows": [{"dscp": 9}], "timeout": 15000,
    }  # fmt: skip
    number = client.send("transact", [DB, until_nine])
    Client(pair.source).call("transact", [DB, insert(9)])
    assert next(iter(client.read()["params"][1]["Queue"].values())) == {"new": {"dscp": 9}}
    assert client.read() == {"id": number, "result": [{}], "error": None}
    assert pair.control("ovsdb-server/sync-status") == (0, "state: active\n")
    assert pair.control("ovsdb-server/list-dbs") == (0, f"{DB}\n_Server\n")
    assert pair.control("ovsdb-server/get-db-storage-status", DB) == (0, "status: ok\n")


def test_a_source_that_goes_and_comes(pair: RelayServer) -> None:
    client = pair.client()
    until(lambda: available(client), "the relay has its data")
    client.call("transact", [DB, insert(1)])
    client.call("monitor", [DB, "m", {"Queue": {"columns": ["dscp"]}}])
    pair.source.stop(signal.SIGKILL)
    until(lambda: "connection closed by peer" in pair.log.read_text(), "the relay notices")
    assert values(client) == [1]
    assert described(client)["connected"] is True  # for half a minute
    waiting = client.send("transact", [DB, insert(2)])
    assert client.call("echo", [])[-1]["result"] == []
    pair.source.start()
    update, reply = client.read(), client.read()
    assert next(iter(update["params"][1]["Queue"].values())) == {"new": {"dscp": 2}}
    assert reply["id"] == waiting
    assert reply["error"] is None
    assert values(client) == values(Client(pair.source)) == [1, 2]


def test_before_the_source_was_met() -> None:
    """Nothing but the name is there; the same answers as the original's."""
    found = []
    for program in (ORIGINAL, OURS):
        source = Running(OURS)
        source.stop()
        relay = RelayServer(program, source, "unix:/nowhere", "bogus")
        try:
            client = relay.client()
            answers: list[Any] = [described(client), client.call("list_dbs", [])[-1]["result"]]
            answers += [
                client.call(method, params)[-1].get("error")
                for method, params in (
                    ("get_schema", [DB]),
                    ("transact", [DB, insert(1)]),
                    ("transact", [DB]),
                    ("monitor", [DB, "m", {}]),
                    ("monitor_cond", [DB, "m", {}]),
                    ("monitor_cond_since", [DB, "m", {}, ZERO]),
                    ("convert", [DB, {}]),
                )
            ]
            answers.append(client.call("lock", ["l"])[-1]["result"])
            for words in (
                ["ovsdb-server/add-db", "relay:X"],
                ["ovsdb-server/add-db", f"relay:{DB}:unix:x"],
                ["ovsdb-server/add-db", "relay:_Server:unix:x"],
                ["ovsdb-server/add-db", "relay:Y:unix:y,tcp:127.0.0.1:1"],
                ["ovsdb-server/list-dbs"],
                ["ovsdb-server/remove-db", "Y"],
                ["ovsdb-server/remove-db", "Z"],
                ["ovsdb-server/list-dbs"],
                ["ovsdb-server/get-db-storage-status", DB],
            ):
                answers.append(relay.control(*words))
            found.append(answers)
        finally:
            relay.remove()
    assert found[1] == found[0]


def test_conversion_through_a_relay_and_beside_it(pair: RelayServer) -> None:
    """An original relay converts its own copy only, and of an original source it takes up no conversion."""
    relay, ours = pair, "ours" in str(pair.process.args) or str(BIN) in str(pair.process.args)
    client = relay.client()
    until(lambda: available(client), "the relay has its data")
    client.call("transact", [DB, insert(1)])
    schema = json.loads(Path(SCHEMA).read_text())
    schema.pop("cksum")
    for version, asked in (("8.9.1", client), ("8.9.2", None)):
        unaware = Client(relay.path)
        client.call("monitor", [DB, version, {"Queue": {}}])
        unaware.call("monitor", [DB, version, {"Queue": {}}])
        schema["version"] = version
        assert (asked or Client(relay.source)).call("convert", [DB, schema])[-1]["result"] == {}
        if ours or not asked:
            source = Client(relay.source)
            assert source.call("get_schema", [DB])[-1]["result"]["version"] == version
        if ours or asked:
            until(lambda v=version: shown(client) == v, version)  # type: ignore[misc]
        until(lambda: values(client) == [1], "the data are back")
        assert unaware.read() == "closed"
        unaware.close()
    assert client.call("transact", [DB, insert(2)])[-1]["error"] is None
    until(lambda: values(client) == [1, 2] == values(Client(relay.source)), "it goes on")
    changed = "disconnecting (database Open_vSwitch schema changed)"
    until(lambda: changed in relay.log.read_text(), "the log says why the unaware one went")


def shown(client: Client) -> Any:
    """The version of the schema."""
    return client.call("get_schema", [DB])[-1]["result"]["version"]


def test_an_answer_that_is_lost_is_canceled(tmp_path: Path) -> None:
    """The source dies with a transaction in its hands: nobody knows what became of it."""
    relay = RelayServer(OURS, Running(OURS))
    try:
        client = relay.client()
        until(lambda: available(client), "the relay has its data")
        client.call(
            "transact", [DB, insert(0)]
        )  # answered once the copy is whole: the next is sent on at once
        relay.source.process.send_signal(signal.SIGSTOP)
        number = client.send("transact", [DB, insert(1)])
        assert client.call("echo", [])[-1]["result"] == []
        relay.source.process.send_signal(signal.SIGKILL)
        answer = client.read()
        assert (answer["id"], answer["error"]) == (number, "canceled")
    finally:
        relay.remove()


def test_a_server_that_does_not_start_looks_for_no_source(tmp_path: Path) -> None:
    variables = {**os.environ, "OVS_LOGDIR": str(tmp_path), "OVS_RUNDIR": str(tmp_path)}
    relay = "relay:Zoo:tcp:127.0.0.1:1"
    for words in (
        [relay, f"{relay}1"],
        [relay, f"{tmp_path}/nosuch.db"],
        ["--remote=db:Pen,Animal,keys", relay],
        [f"--remote=punix:{tmp_path}/s", "--remote=db:Pen,Animal,keys", relay],
    ):
        want, got = (
            subprocess.run([program, *words], capture_output=True, text=True, env=variables, timeout=60)
            for program in ("/usr/sbin/ovsdb-server", str(BIN / "ovsdb-server"))
        )
        assert want.returncode == 1
        assert (got.returncode, got.stderr) == (1, want.stderr.replace("/usr/sbin/", ""))
