"""Our database server beside the original: the same requests give the same replies and updates; the
original's clients work on ours, and what ours wrote the original reads."""

# ruff: noqa: E501

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, DB, ORIGINAL, OURS, SCHEMA, Client, Running

pytestmark = pytest.mark.oracle
ZERO = "00000000-0000-0000-0000-000000000000"
ROOT, ONE, TWO = (f"{n:08x}-0000-4000-8000-000000000000" for n in (1, 2, 3))


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    servers = (Running("/usr/sbin/ovsdb-server"), Running(str(BIN / "ovsdb-server")))
    yield servers
    for server in servers:
        server.stop()
        shutil.rmtree(server.directory)


@pytest.fixture
def ours() -> Iterator[Running]:
    server = Running(str(BIN / "ovsdb-server"))
    yield server
    if server.process.poll() is None:
        server.stop()
    shutil.rmtree(server.directory)


def transact(*operations: Any) -> tuple[str, Any]:
    return "transact", [DB, *operations]


def insert(name: str, uuid: str, **row: Any) -> Any:
    return {"op": "insert", "table": "Bridge", "uuid": uuid, "row": {"name": name, **row}}


def update(name: str, /, **row: Any) -> Any:
    return {"op": "update", "table": "Bridge", "where": [["name", "==", name]], "row": row}


def bridges(*uuids: str) -> Any:
    value = ["set", [["uuid", uuid] for uuid in uuids]]
    return {"op": "update", "table": DB, "where": [], "row": {"bridges": value}}


MONITORED = {
    "Bridge": [
        {"columns": ["name", "external_ids", "flood_vlans"]},
        {
            "columns": ["mcast_snooping_enable", "datapath_id", "fail_mode"],
            "select": {"modify": True, "initial": False, "insert": False},
        },
        {"columns": ["rstp_enable"], "select": {"modify": False}},
    ],
    DB: {"columns": ["bridges", "next_cfg"]},
}
NAMED = {"columns": ["name"], "where": [["name", "==", "b1"]]}
NONE = {"columns": ["rstp_enable"], "where": [False]}
SEVERAL = (  # requests for one table, each with a condition
    [NAMED, {"columns": ["fail_mode"], "where": [["name", "==", "b2"]]}],
    [{"columns": ["fail_mode"]}, NAMED],
    [{"columns": ["fail_mode"], "where": []}, NAMED],
    [NONE, NAMED],
    [NAMED, NONE],
    [NAMED, {"columns": ["fail_mode"], "where": [["nope", "==", 1]]}],
    [NAMED, {"columns": ["fail_mode"], "where": 3}],
)
SECURE = {"Bridge": [{"columns": ["name", "fail_mode"], "where": [["fail_mode", "==", "secure"]]}]}
LIFE = [
    transact(
        insert("b1", ONE, external_ids=["map", [["a", "1"], ["b", "2"]]], flood_vlans=["set", [1, 2]]),
        insert("b2", TWO),
        bridges(ONE, TWO),
    ),
    transact(
        update(
            "b1",
            external_ids=["map", [["a", "9"], ["c", "3"]]],
            flood_vlans=["set", [2, 3]],
            fail_mode="secure",
        )
    ),
    transact(update("b1", fail_mode="standalone", mcast_snooping_enable=True)),
    transact(update("b1", fail_mode=["set", []])),
    transact(update("b1", rstp_enable=True)),
    transact(update("b1", rstp_enable=False, fail_mode="secure")),
    transact(update("b2", fail_mode="secure")),
    transact({"op": "comment", "comment": "x"}),
    transact(update("b2", protocols="OpenFlow10")),
    transact({"op": "mutate", "table": DB, "where": [], "mutations": [["next_cfg", "+=", 1]]}),
    transact(bridges(TWO)),
    transact(update("b2", name="other")),
    transact({"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}, {"op": "bogus"}),
    transact(bridges()),
]


def monitors() -> list[list[tuple[str, Any]]]:
    """Conversations, each on a connection of its own, over an empty database."""
    return [
        [("monitor", [DB, ["m"], MONITORED]), *LIFE, ("monitor_cancel", [["m"]])],
        [("monitor_cond", [DB, ["m"], MONITORED]), *LIFE],
        [("monitor_cond_since", [DB, "m", MONITORED, ZERO]), *LIFE],
        [LIFE[0], ("monitor_cond", [DB, None, MONITORED]), *LIFE[1:]],
        [LIFE[0], LIFE[1], ("monitor", [DB, 1, MONITORED]), *LIFE[2:]],
        [("monitor_cond", [DB, "m", SECURE]), *LIFE],
        [
            *LIFE[:7],
            ("monitor_cond", [DB, "m", SECURE]),
            ("monitor_cond_change", ["m", "n", {"Bridge": [{"where": [["fail_mode", "==", "standalone"]]}]}]),
            (
                "monitor_cond_change",
                ["n", "n", {"Bridge": [{"where": [["name", "==", "b1"], ["name", "==", "b2"]]}]}],
            ),
            *LIFE[7:11],
            ("monitor_cond_change", ["n", "k", {"Bridge": [{"where": [False]}]}]),
            ("monitor_cond_change", ["k", "k", {"Bridge": [{"where": []}]}]),
            *LIFE[11:],
        ],
        [  # without conditions there is a new name for the monitor, and no more
            *LIFE[:2],
            ("monitor", [DB, "m", MONITORED]),
            ("monitor_cond_change", ["m", "n", {}]),
            *LIFE[2:7],
            ("monitor_cond_change", ["n", "k", {"Bridge": [{"where": [["name", "==", "nope"]]}]}]),
            *LIFE[7:],
            ("monitor_cond_change", ["n", "k", {}]),
            ("monitor_cancel", ["k"]),
        ],
        *([LIFE[0], ("monitor_cond", [DB, "m", {"Bridge": several}]), *LIFE[1:]] for several in SEVERAL),
        [
            *LIFE[:7],
            ("monitor_cond", [DB, "m", {"Bridge": [NONE]}]),
            ("monitor_cond_change", ["m", "m", {"Bridge": [{"where": [False]}, {"where": NAMED["where"]}]}]),
            ("monitor_cond_change", ["m", "m", {"Bridge": [{"where": [["nope", "==", 1]]}, {"where": []}]}]),
            *LIFE[7:],
        ],
    ]


REQUESTS: list[tuple[str, Any]] = [
    ("echo", []), ("echo", [1, 1.0, 1.5, 1e300, "x", {"a": [None]}]), ("nope", []), ("cancel", [1]),
    ("list_dbs", []), ("list_dbs", [1]),
    ("get_schema", []), ("get_schema", [1]), ("get_schema", ["x"]), ("get_schema", [DB]), ("get_schema", ["_Server"]),
    ("transact", []), ("transact", [1]), ("transact", ["x"]), ("transact", [DB]), ("transact", [DB, 1]),
    ("transact", [DB, {}]), ("transact", [DB, {"op": "x"}]),
    ("transact", ["_Server", {"op": "delete", "table": "Database", "where": []}]),
    ("transact", ["_Server", {"op": "update", "table": "Database", "where": [], "row": {"name": "x"}}]),
    ("transact", ["_Server", {"op": "mutate", "table": "Database", "where": [], "mutations": []}]),
    transact({"op": "wait", "table": "Bridge", "where": [], "columns": ["name"], "until": "==", "rows": [{"name": "x"}],
              "timeout": 0}),
    transact({"op": "assert", "lock": "l"}), ("lock", ["l"]), transact({"op": "assert", "lock": "l"}),
    ("lock", ["l"]), ("steal", ["l"]), ("unlock", ["l"]), ("unlock", ["l"]), ("steal", ["l"]), ("unlock", ["l"]),
    ("lock", []), ("lock", ["a", "b"]), ("lock", ["0"]), ("lock", ["a b"]), ("lock", [1]), ("unlock", [1]), ("steal", ["_a1"]),
    ("set_db_change_aware", []), ("set_db_change_aware", [True, 1]), ("set_db_change_aware", [1]), ("set_db_change_aware", [True]),
    ("monitor_cancel", []), ("monitor_cancel", ["x"]),
    ("monitor_cond_change", ["x"]), ("monitor_cond_change", ["x", "y", {}]),
    ("monitor", []), ("monitor_cond", [DB, 1, {}, 1]), ("monitor_cond_since", [DB, 1, {}]),
    ("monitor_cond_since", [DB, 1, {}, "x"]), ("monitor_cond_since", [DB, 1, {}, 1]),
    ("monitor", [DB, 5, {}]), ("monitor", [DB, 5, {}]), ("monitor_cond", [DB, 5, {}]), ("monitor_cancel", [5]),
    ("convert", []), ("convert", ["x", {}]), ("convert", [DB, {}]), ("convert", [DB, {"name": "other", "tables": {}}]),
    *(
        (method, [DB, [method, number], request])
        for method in ("monitor", "monitor_cond")
        for number, request in enumerate([
            [], {"X": {}}, {"Bridge": 1}, {"Bridge": [1]}, {"Bridge": {"columns": ["x"]}}, {"Bridge": {"columns": ["_uuid"]}},
            {"Bridge": {"columns": ["ports", "ports"]}}, {"Bridge": [{"columns": ["ports"]}, {"columns": ["name", "ports"]}]},
            {"Bridge": {"columns": ["name", "name"]}}, {"Bridge": [{"columns": ["name"]}, {"columns": ["name"]}]},
            {"Bridge": {"columns": 1}}, {"Bridge": {"select": 1}}, {"Bridge": {"select": {"x": 1}}},
            {"Bridge": {"select": {"initial": 1}}}, {"Bridge": {"x": 1}}, {"Bridge": {"where": []}},
            {"Bridge": {"where": 1}}, {"Bridge": {"where": [1]}}, {"Bridge": {"where": [["x", "==", 1]]}},
            {"Bridge": [{"where": [True]}, {"where": [False]}]}, {"Bridge": {"where": [["name", "foo", "x"]]}},
            {"Bridge": []}, {"Bridge": {"columns": ["_version"]}}, {"Bridge": {"columns": [1]}},
        ])
    ),
]  # fmt: skip


def canonical(value: Any) -> Any:
    """Without what is random: the ids of transactions."""
    if type(value) is dict:
        if value.get("method") == "update3":
            value = {**value, "params": [value["params"][0], "*", value["params"][2]]}
        result = value.get("result")
        if type(result) is list and len(result) == 3 and type(result[0]) is bool:
            value = {**value, "result": [result[0], "*", result[2]]}
        return value
    return value


def prepare(server: Running) -> Client:
    client = Client(server)
    client.call(*transact(
        {"op": "delete", "table": DB, "where": []},
        {"op": "insert", "table": DB, "row": {}, "uuid": ROOT},
    ))  # fmt: skip
    return client


def test_requests_are_answered_the_same(both: tuple[Running, Running]) -> None:
    answers = []
    for server in both:
        client = prepare(server)
        answers.append([[canonical(value) for value in client.call(*request)] for request in REQUESTS])
        client.close()
    differences = [
        (request, theirs, mine)
        for request, theirs, mine in zip(REQUESTS, *answers, strict=True)
        if theirs != mine
    ]
    assert not differences


@pytest.mark.parametrize("number", range(len(monitors())))
def test_monitors_are_told_the_same(both: tuple[Running, Running], number: int) -> None:
    talk = monitors()[number]
    answers = []
    for server in both:
        prepare(server).close()
        client = Client(server)
        answers.append([[canonical(value) for value in client.call(*request)] for request in talk])
        client.close()
    for request, theirs, mine in zip(talk, *answers, strict=True):
        assert mine == theirs, request


BROKEN = [
    b"[]", b"{}", b'{"method":"echo"}', b'{"id":1,"result":1,"error":null}', b'{"id":1,"error":1}',
    b'{"method":"echo","id":1,"params":{}}', b'{"method":1,"id":1,"params":[]}', b'{"x":1}', b"}", b'{"a":1,}',
    b"[1 2]", b'{"method":"echo","id":1,"params":["\x01"]}', b"[" * 2000, b'{"method":"echo","params":[],"id":1}\0',
]  # fmt: skip


def test_broken_messages_end_the_connection_only(both: tuple[Running, Running]) -> None:
    outcomes = []
    for server in both:
        bystander = Client(server)
        found = []
        for data in BROKEN:
            client = Client(server)
            client.socket.sendall(data)
            found.append(client.read())
            client.close()
        assert bystander.call("echo", ["still"])[-1]["result"] == ["still"]
        bystander.close()
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]


def test_history_brings_only_what_was_missed(ours: Running) -> None:
    client = prepare(ours)
    _, last, _ = client.call("monitor_cond_since", [DB, "m", MONITORED, ZERO])[-1]["result"]
    for request in LIFE[:2]:
        client.call(*request)
    found, newer, updates = client.call("monitor_cond_since", [DB, "n", MONITORED, last])[-1]["result"]
    assert found
    assert updates["Bridge"][ONE]["insert"]["external_ids"] == ["map", [["a", "9"], ["c", "3"]]]
    found, _, updates = client.call("monitor_cond_since", [DB, "k", MONITORED, newer])[-1]["result"]
    assert found and updates == {}  # noqa: PT018
    ours.stop()
    ours.start()
    found, _, updates = Client(ours).call("monitor_cond_since", [DB, "n", MONITORED, newer])[-1]["result"]
    assert not found
    assert set(updates["Bridge"]) == {ONE, TWO}


def test_cancel_and_locks_between_clients(both: tuple[Running, Running]) -> None:
    outcomes = []
    for server in both:
        a, b = Client(server), Client(server)
        told = [
            a.call("lock", ["x"]),
            b.call("lock", ["x"]),
            b.call("steal", ["y"]),
            a.call("steal", ["y"]),
            [b.read()],
        ]
        told += [a.call("unlock", ["x"]), [b.read()], a.call("unlock", ["y"])]
        told += [
            b.call("lock", ["y"]),
            b.call("unlock", ["y"]),
            b.call("lock", ["y"]),
            a.call("steal", ["y"]),
        ]
        told += [[b.read()], a.call("unlock", ["y"]), [b.read()]]
        c, d = Client(server), Client(server)
        told += [c.call("lock", ["w"]), d.call("lock", ["w"])]
        c.close()
        told.append([d.read()])
        for client in (a, b, d):
            client.close()
        outcomes.append(told)
    assert outcomes[0] == outcomes[1]


def test_acknowledged_commits_survive_kill(ours: Running) -> None:
    acknowledged = 0
    for round_ in range(3):
        clients = [Client(ours) for _ in range(3)]
        for client in clients:
            for number in range(40):
                name = f"r{round_}c{clients.index(client)}n{number}"
                row = {"external_ids": ["map", [["name", name]]]}
                operation = {"op": "insert", "table": "Queue", "row": row}
                client.send(*transact(operation, {"op": "commit", "durable": True}))
        until = time.monotonic() + 0.05 * (round_ + 1)
        for client in clients:
            client.socket.settimeout(0.5)
        replies = 0
        while time.monotonic() < until or not replies:
            for client in clients:
                try:
                    reply = client.read()
                    if reply != "closed":
                        assert "uuid" in reply["result"][0]
                        replies += 1
                except OSError:
                    pass
        ours.stop(signal.SIGKILL)
        acknowledged += replies
        for client in clients:
            client.close()
        ours.start()
        client = Client(ours)
        rows = client.call(*transact({"op": "select", "table": "Queue", "where": [], "columns": ["_uuid"]}))[
            -1
        ]["result"][0]["rows"]
        client.close()
        assert len(rows) >= acknowledged > 0
    read = ours.run("/usr/bin/ovsdb-tool", "show-log", f"{ours.directory}/conf.db")
    assert read.returncode == 0, read.stderr


def test_the_originals_tools(ours: Running) -> None:
    def vsctl(*words: str) -> str:
        done = ours.run("/usr/bin/ovs-vsctl", "--timeout=10", "--no-wait", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    vsctl("init")
    vsctl(
        "add-br",
        "br0",
        "--",
        "add-port",
        "br0",
        "p1",
        "tag=5",
        "--",
        "set",
        "Bridge",
        "br0",
        "external_ids:a=b",
    )
    assert vsctl("list-ports", "br0") == "p1\n"
    assert vsctl("get", "Bridge", "br0", "external_ids") == "{a=b}\n"
    vsctl("set-manager", f"punix:{ours.directory}/manager.sock")
    until = time.monotonic() + 10
    while not os.path.exists(f"{ours.directory}/manager.sock") and time.monotonic() < until:
        time.sleep(0.02)
    assert vsctl(f"--db=unix:{ours.directory}/manager.sock", "br-exists", "br0") == ""
    vsctl("del-manager")
    while os.path.exists(f"{ours.directory}/manager.sock") and time.monotonic() < until:
        time.sleep(0.02)
    assert not os.path.exists(f"{ours.directory}/manager.sock")
    assert ours.run("/usr/bin/ovsdb-client", "list-dbs").stdout == "Open_vSwitch\n_Server\n"
    assert ours.run("/usr/bin/ovsdb-client", "needs-conversion", SCHEMA).stdout == "no\n"
    assert ours.run("/usr/bin/ovsdb-client", "wait", DB, "connected").returncode == 0
    control = f"{ours.directory}/ovsdb-server.{ours.process.pid}.ctl"
    assert (
        ours.run("/usr/bin/ovs-appctl", "-t", control, "ovsdb-server/list-dbs").stdout
        == "Open_vSwitch\n_Server\n"
    )
    assert ours.run("/usr/bin/ovs-appctl", "-t", control, "ovsdb-server/compact").returncode == 0
    assert vsctl("list-br") == "br0\n"


def test_the_idl_of_the_ovs_library(ours: Running) -> None:
    from ovs.db import idl as idl_module

    ours.run("/usr/bin/ovs-vsctl", "--no-wait", "init", "--", "add-br", "br0")
    helper = idl_module.SchemaHelper(SCHEMA)
    helper.register_all()
    idl = idl_module.Idl(f"unix:{ours.directory}/db.sock", helper)
    until = time.monotonic() + 10
    while not idl.has_ever_connected() and time.monotonic() < until:
        idl.run()
        time.sleep(0.01)
    (bridge,) = idl.tables["Bridge"].rows.values()
    transaction = idl_module.Transaction(idl)
    bridge.external_ids = {"x": "y"}
    bridge.setkey("other_config", "k", "v")
    assert transaction.commit_block() == idl_module.Transaction.SUCCESS
    idl.run()
    (bridge,) = idl.tables["Bridge"].rows.values()
    assert (bridge.external_ids, bridge.other_config) == ({"x": "y"}, {"k": "v"})
    idl.close()


def test_ovsdbapp(ours: Running) -> None:
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.schema.open_vswitch import impl_idl

    ours.run("/usr/bin/ovs-vsctl", "--no-wait", "init")
    with original_switch(ours):
        idl = connection.OvsdbIdl.from_server(f"unix:{ours.directory}/db.sock", DB)
        api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=10))
        with api.transaction(check_error=True) as transaction:
            transaction.add(api.add_br("br-int"))
            transaction.add(api.add_port("br-int", "tap0"))
            transaction.add(api.db_set("Interface", "tap0", ("external_ids", {"iface-id": "x"})))
        assert api.list_ports("br-int").execute(check_error=True) == ["tap0"]
        api.ovsdb_connection.stop()


@contextmanager
def original_switch(server: Running) -> Iterator[None]:
    switch = subprocess.Popen(
        ["/usr/sbin/ovs-vswitchd", f"unix:{server.directory}/db.sock", "--enable-dummy=override", "--disable-system",
         "-vconsole:off", f"--log-file={server.directory}/switch.log"],
        env=server.environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        switch.terminate()
        switch.wait(10)


def test_the_original_switch(ours: Running) -> None:
    ours.run("/usr/bin/ovs-vsctl", "--no-wait", "init")
    with original_switch(ours):
        words = "add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p1 -- set interface p1 type=dummy"
        done = ours.run("/usr/bin/ovs-vsctl", "--timeout=15", *words.split())
        assert done.returncode == 0, done.stderr
        assert ours.run("/usr/bin/ovs-vsctl", "get", "interface", "p1", "ofport").stdout == "1\n"


@pytest.mark.parametrize("program", [OURS, ORIGINAL])
def test_tls_with_files_from_the_database(program: str) -> None:
    directory = tempfile.mkdtemp(prefix="ovsdb")
    key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    options = [f"--private-key=db:{DB},SSL,private_key", f"--certificate=db:{DB},SSL,certificate"]
    server = Running(program, *options, f"--ca-cert=db:{DB},SSL,ca_cert", "--disable-file-column-diff")
    try:
        vsctl = ("/usr/bin/ovs-vsctl", "--no-wait", "--timeout=10")
        server.run(*vsctl, "init", "--", "set-ssl", key, certificate, certificate)
        server.run(*vsctl, "set-manager", "pssl:0:127.0.0.1")
        port, until = "", time.monotonic() + 15
        while not port.isdigit() and time.monotonic() < until:
            time.sleep(0.2)
            port = (
                server.run(*vsctl, "--if-exists", "get", "Manager", ".", "status:bound_port")
                .stdout.strip()
                .strip('"')
            )
        tls = (f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={certificate}")
        for breakage in (  # the last good files go on
            ("--", "comment"),
            ("set", "SSL", ".", "private_key=/no/such"),
            ("set", "SSL", ".", f"private_key={directory}", "certificate=/no/such"),
            ("set", "SSL", ".", f"private_key={key}", f"certificate={certificate}", "ca_cert=/no/such"),
            ("del-ssl",),
        ):
            server.run(*vsctl, *breakage)
            for client in ("/usr/bin/ovsdb-client", str(BIN / "ovsdb-client")):
                listed = server.run(client, *tls, "list-dbs", f"ssl:127.0.0.1:{port}")
                assert (listed.stdout, breakage) == ("Open_vSwitch\n_Server\n", breakage), listed.stderr
        assert b"_is_diff" not in Path(server.directory, "conf.db").read_bytes()
    finally:
        server.stop()
        shutil.rmtree(server.directory)
        shutil.rmtree(directory)
