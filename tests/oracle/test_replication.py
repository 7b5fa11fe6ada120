"""Active-backup replication beside the original: ours backs up the original and the original backs up ours,
and what each says of it is the same."""

# ruff: noqa: E501

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import DB, ORIGINAL, OURS, SCHEMA, Client, Running
from support.waiting import until

pytestmark = pytest.mark.oracle
PAIRS = [(ORIGINAL, ORIGINAL), (ORIGINAL, OURS), (OURS, ORIGINAL), (OURS, OURS)]
IDS = ["theirs-of-theirs", "ours-of-theirs", "theirs-of-ours", "ours-of-ours"]  # BACKUP-of-ACTIVE


def contents(server: Running) -> Any:
    """All rows by uuid, without what a backup has of its own."""
    client = Client(server)
    found = {}
    for table in ("Bridge", "Port", "Interface", "Queue", "QoS", "SSL", DB):
        result = client.call("transact", [DB, {"op": "select", "table": table, "where": []}])[-1]["result"]
        rows = {row.pop("_uuid")[1]: row for row in result[0]["rows"]}
        for row in rows.values():
            row.pop("_version")
        found[table] = rows
    client.close()
    return found


def bridge(number: int) -> list[Any]:
    """Operations that make a bridge with a port."""
    names = {"i": f"i{number}", "p": f"p{number}", "b": f"b{number}"}
    return [
        {"op": "insert", "table": "Interface", "uuid-name": names["i"], "row": {"name": f"br{number}"}},
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": names["p"],
            "row": {"name": f"br{number}", "interfaces": ["named-uuid", names["i"]], "tag": number},
        },
        {
            "op": "insert",
            "table": "Bridge",
            "uuid-name": names["b"],
            "row": {
                "name": f"br{number}",
                "ports": ["named-uuid", names["p"]],
                "external_ids": ["map", [["a", "ü"], ["b", str(number)]]],
            },
        },
        {
            "op": "mutate",
            "table": DB,
            "where": [],
            "mutations": [["bridges", "insert", ["set", [["named-uuid", names["b"]]]]]],
        },
    ]


def transact(server: Running, *operations: Any) -> Any:
    client = Client(server)
    try:
        return client.call("transact", [DB, *operations])[-1]["result"]
    finally:
        client.close()


ROOT = {"op": "insert", "table": DB, "row": {}}
STEPS: list[list[Any]] = [
    bridge(2),
    [{"op": "update", "table": "Port", "where": [["tag", "==", 2]], "row": {"tag": ["set", []], "trunks": ["set", [5, 7]]}}],
    [{"op": "mutate", "table": "Bridge", "where": [], "mutations": [["external_ids", "delete", ["set", ["a"]]]]}],
    [{"op": "insert", "table": "Queue", "row": {"dscp": 3}}, {"op": "insert", "table": "QoS", "row": {"type": "x"}}],
    [{"op": "delete", "table": "QoS", "where": []}],
    [{"op": "update", "table": DB, "where": [], "row": {"bridges": ["set", []]}}, *bridge(3)],
]  # fmt: skip
REFUSED: list[tuple[str, Any]] = [
    ("transact", [DB, {"op": "insert", "table": "Queue", "row": {}}, {"op": "select", "table": "Queue", "where": []}]),
    ("transact", [DB, {"op": "update", "table": "Bridge", "where": [], "row": {"name": "x"}}]),
    ("transact", [DB, {"op": "mutate", "table": "Queue", "where": [], "mutations": []}]),
    ("transact", [DB, {"op": "delete", "table": "Queue", "where": []}]),
    ("transact", [DB, {"op": "comment", "comment": "x"}, {"op": "commit", "durable": True}]),
    ("transact", [DB, {"op": "select", "table": "QoS", "where": []}, {"op": "abort"}]),
    ("transact", [DB, {"op": "assert", "lock": "l"}]),
    *(("transact", [DB, operation]) for operation in [
        {"op": "insert", "table": "X", "row": {}}, {"op": "insert", "table": "Queue", "row": {"zz": 1}},
        {"op": "insert", "table": "Queue", "row": {}, "x": 1}, {"op": "insert", "table": "Queue", "row": {}, "uuid": "0x"},
        {"op": "update", "table": "Queue", "where": [1], "row": {}}, {"op": "update", "table": "Queue", "row": {}},
        {"op": "mutate", "table": "Bridge", "where": [], "mutations": [["name", "+=", 1]]}, {"op": "delete", "table": "Queue", "where": [1]},
        {"op": "delete", "table": "Queue", "where": [["z", "==", 1]]}, {"op": "commit"}, {"op": "commit", "durable": False}, {"op": "comment"},
    ]),
    ("lock", ["l"]), ("steal", ["l"]), ("unlock", ["l"]), ("lock", []), ("echo", [1]), ("list_dbs", []),
]  # fmt: skip


@pytest.fixture
def servers() -> Iterator[list[Running]]:
    made: list[Running] = []
    yield made
    for server in made:
        server.remove()


def start(servers: list[Running], program: str, *options: str, schema: str = SCHEMA) -> Running:
    server = Running(program, *options, schema=schema)
    servers.append(server)
    return server


@pytest.mark.parametrize(("active", "backup"), PAIRS, ids=IDS)
def test_a_backup_follows_is_read_only_and_can_be_promoted(
    servers: list[Running], active: str, backup: str
) -> None:
    first = start(servers, active)
    transact(first, ROOT, *bridge(1))
    source = f"unix:{first.directory}/db.sock"
    second = start(servers, backup, f"--sync-from={source}")
    replicating = f"state: backup\nreplicating: {source}\ndatabase: {DB}\n"
    until(lambda: second.control("ovsdb-server/sync-status") == (0, replicating))
    assert contents(second) == contents(first)
    watcher = Client(second)
    watcher.call("monitor", [DB, None, {"Queue": {}}])
    for step in STEPS:
        results = transact(first, *step)
        assert not [result for result in results if result and "error" in result], results
    assert until(watcher.read)["method"] == "update"
    until(lambda: contents(second) == contents(first))

    client = Client(second)
    answers = [client.call(*request) for request in REFUSED]
    expected = {
        "insert": "insert operation not allowed when database server is in read only mode",
        "lock": "lock and unlock methods not allowed, DB server is read only.",
    }
    assert answers[0][0]["result"] == [{"error": "not allowed", "details": expected["insert"]}, None]
    assert answers[REFUSED.index(("lock", ["l"]))][0]["error"] == expected["lock"]

    assert second.control("ovsdb-server/disconnect-active-ovsdb-server") == (0, "")
    assert second.control("ovsdb-server/sync-status") == (0, "state: active\n")
    if backup == OURS:  # as the manual page says; the original leaves them alone
        assert client.read() == "closed"
    assert "uuid" in transact(second, {"op": "insert", "table": "Queue", "row": {}})[0]
    assert contents(second) != contents(first)
    assert second.control("ovsdb-server/connect-active-ovsdb-server") == (0, "")
    until(lambda: second.control("ovsdb-server/sync-status") == (0, replicating))
    until(lambda: contents(second) == contents(first))
    second.stop()
    read = second.run("/usr/bin/ovsdb-tool", "query", f"{second.directory}/conf.db",
                      json.dumps([DB, {"op": "select", "table": "Queue", "where": [], "columns": ["dscp"]}]))  # fmt: skip
    assert json.loads(read.stdout)[0]["rows"] == [{"dscp": 3}], read.stderr


def test_refusals_are_worded_the_same(servers: list[Running]) -> None:
    answers = []
    for program in (ORIGINAL, OURS):
        server = start(servers, program, "--sync-from=unix:/nowhere/db.sock")
        client = Client(server)
        answers.append([client.call(*request) for request in REFUSED])
        client.close()
    for request, theirs, mine in zip(REFUSED, *answers, strict=True):
        assert mine == theirs, request


STEM = "ovsdb-server/"
TALK = [
    ["sync-status"], ["get-active-ovsdb-server"], ["get-sync-exclude-tables"], ["connect-active-ovsdb-server"],
    ["set-active-ovsdb-server"], ["set-active-ovsdb-server", "zzz"], ["get-active-ovsdb-server"], ["sync-status"],
    ["set-sync-exclude-tables", f"{DB}:Foo,Bar"], ["get-sync-exclude-tables"], ["set-sync-exclude-tables", "foo:Foo"],
    ["get-sync-exclude-tables"], ["set-sync-exclude-tables", ""], ["get-sync-exclude-tables"],
    ["set-sync-exclude-tables", "a:c,a:b,b:a"], ["get-sync-exclude-tables"],
    ["set-active-ovsdb-server-probe-interval", "10000"], ["set-active-ovsdb-server-probe-interval", "x"],
    ["set-active-ovsdb-server-probe-interval", "-5"], ["set-active-ovsdb-server-probe-interval"],
    ["disconnect-active-ovsdb-server"], ["sync-status"], ["connect-active-ovsdb-server"], ["sync-status"],
    ["set-active-ovsdb-server", "unix:/nowhere"], ["sync-status"], ["get-active-ovsdb-server"],
    ["connect-active-ovsdb-server"], ["sync-status"], ["disconnect-active-ovsdb-server"],
    ["tlog-list"], ["tlog-set", f"{DB}:Bridge", "on"], ["tlog-set", f"{DB}:Bridge", "x"], ["tlog-set", f"{DB}:x", "on"],
    ["tlog-set", "x:Bridge", "on"], ["tlog-set", "x", "on"], ["tlog-set", "_Server:Database", "on"], ["tlog-list"],
    ["tlog-set", f"{DB}:Bridge", "off"], ["tlog-set"], ["tlog-list"],
    ["memory-trim-on-compaction", "on"], ["memory-trim-on-compaction", "off"], ["memory-trim-on-compaction", "x"],
    ["memory-trim-on-compaction"], ["get-db-storage-status"], ["get-db-storage-status", "x"],
    ["get-db-storage-status", DB], ["get-db-storage-status", "_Server"], ["compact"], ["compact", DB], ["compact", "x"],
    *(words for text in (":b", "a::b:c") for words in (["set-sync-exclude-tables", text], ["get-sync-exclude-tables"])),
    ["list-dbs"], ["remove-db", "_Server"], ["remove-db", "x"], ["remove-remote", "x"], ["add-remote", "x"],
]  # fmt: skip


def test_control_commands_say_the_same(servers: list[Running]) -> None:
    said = []
    for program in (ORIGINAL, OURS):
        server = start(servers, program)
        said.append([server.control(STEM + words[0], *words[1:]) for words in TALK])
    differences = [(words, a, b) for words, a, b in zip(TALK, *said, strict=True) if a != b]
    assert not differences


def test_every_control_command_of_the_original_is_there(servers: list[Running]) -> None:
    theirs, mine = (start(servers, program).control("list-commands")[1] for program in (ORIGINAL, OURS))
    assert {line.split()[0] for line in theirs.splitlines()} <= {
        line.split()[0] for line in mine.splitlines()
    }


def test_errors_that_end_replication(servers: list[Running], tmp_path: Any) -> None:
    """Following oneself, a schema that cannot hold what comes, an excluded table that others refer to."""
    schema = json.loads(Path(SCHEMA).read_text())
    del schema["cksum"]
    schema["version"] = "8.3.2"
    del schema["tables"]["Bridge"]["columns"]["flood_vlans"]
    other = tmp_path / "other.ovsschema"
    other.write_text(json.dumps(schema))
    active = start(servers, OURS)
    ssl = {"private_key": "a", "certificate": "b", "ca_cert": "c"}
    transact(active, ROOT)
    transact(
        active,
        {"op": "insert", "table": "SSL", "uuid-name": "s", "row": ssl},
        {"op": "update", "table": DB, "where": [], "row": {"ssl": ["named-uuid", "s"]}},
    )
    source = f"unix:{active.directory}/db.sock"
    logged: list[list[list[str]]] = [[], []]
    for number, program in enumerate((ORIGINAL, OURS)):
        own = start(servers, program)
        own.control("ovsdb-server/set-active-ovsdb-server", f"unix:{own.directory}/db.sock")
        own.control("ovsdb-server/connect-active-ovsdb-server")
        differing = start(servers, program, f"--sync-from={source}", schema=str(other))
        excluding = start(servers, program, f"--sync-from={source}", f"--sync-exclude-tables={DB}:SSL")
        for server in (own, differing, excluding):
            until(lambda server=server: server.control("ovsdb-server/sync-status")[1] == "state: active\n")
            until(lambda server=server: server.log_lines("ovsdb_error", "replication"))
            assert "uuid" in transact(server, {"op": "insert", "table": "Queue", "row": {}})[0]
            logged[number].append(server.log_lines("replication", "ovsdb_error"))
    assert logged[1] == logged[0]


def test_tlog_names_the_rows_that_change(servers: list[Running]) -> None:
    kinds = []
    for program in (ORIGINAL, OURS):
        server = start(servers, program)
        transact(server, ROOT)
        server.control("ovsdb-server/tlog-set", f"{DB}:Bridge", "on")
        transact(server, *bridge(1))
        transact(server, {"op": "update", "table": "Bridge", "where": [], "row": {"stp_enable": True}})
        transact(server, {"op": "update", "table": DB, "where": [], "row": {"bridges": ["set", []]}})
        lines = until(lambda server=server: len(found := server.log_lines("transaction")) == 3 and found)
        without_ids = [
            sorted(
                word for word in line.split(",") if word.split(":")[0] not in ("_uuid", "_version", "ports")
            )
            for line in lines
        ]
        kinds.append(without_ids)
    assert kinds[1] == kinds[0]


def version_of(server: Running) -> Any:
    client = Client(server)
    try:
        return client.call("get_schema", [DB])[-1]["result"]["version"]
    finally:
        client.close()


def convert(server: Running, schema: Any) -> None:
    client = Client(server)
    client.call("set_db_change_aware", [True])
    assert client.call("convert", [DB, schema])[-1]["result"] == {}
    client.close()


@pytest.mark.parametrize(("active", "backup"), PAIRS, ids=IDS)
def test_conversions_of_either_side(servers: list[Running], active: str, backup: str) -> None:
    """A backup whose schema holds all columns goes on; one whose schema does not becomes active."""
    first = start(servers, active)
    second = start(servers, backup, f"--sync-from=unix:{first.directory}/db.sock")

    def equal() -> bool:
        return bool(contents(first)["Queue"] == contents(second)["Queue"])

    def add(dscp: int) -> None:
        transact(first, {"op": "insert", "table": "Queue", "row": {"dscp": dscp}})

    schema = json.loads(Path(SCHEMA).read_text())
    schema.pop("cksum")
    add(1)
    until(equal)
    convert(first, {**schema, "version": "8.9.1"})
    add(2)
    until(equal)
    assert (version_of(first), version_of(second)) == ("8.9.1", schema["version"])
    wider = json.loads(json.dumps({**schema, "version": "8.9.2"}))
    wider["tables"]["Queue"]["columns"]["aaa"] = {"type": "string"}
    convert(second, wider)
    add(3)
    until(lambda: [row.pop("aaa") for row in contents(second)["Queue"].values()] == ["", "", ""])
    wider["tables"]["Queue"]["columns"]["bbb"] = {"type": "string"}
    convert(first, {**wider, "version": "8.9.3"})
    until(lambda: second.control("ovsdb-server/sync-status") == (0, "state: active\n"))
    lines = [line for line in second.log_lines("replication") if "Column" in line or "Nothing" in line]
    assert lines == [
        "INFO|Column bbb not present in the local db schema table Queue.",
        "WARN|Nothing to replicate.",
    ]


def names_of_switches(server: Running) -> Any:
    client = Client(server)
    select = {"op": "select", "table": "Logical_Switch", "where": [], "columns": ["name"]}
    (answer,) = client.call("transact", ["hardware_vtep", select])
    client.close()
    return answer["result"] and sorted(row["name"] for row in answer["result"][0].get("rows", ()))


@pytest.mark.parametrize("program", [ORIGINAL, OURS], ids=["theirs", "ours"])
def test_databases_that_come_and_go_on_a_backup(servers: list[Running], program: str, tmp_path: Any) -> None:
    """One that the active server has is copied as soon as the backup has it; the others go on."""
    paths = [str(tmp_path / name) for name in ("active", "backup")]
    for path in paths:
        tool = ["ovsdb-tool", "create", path, "/usr/share/openvswitch/vtep.ovsschema"]
        subprocess.run(tool, check=True, timeout=60)
    active = start(servers, program)
    transact(active, ROOT)
    assert active.control("ovsdb-server/add-db", paths[0]) == (0, "")
    backup = start(servers, program, f"--sync-from=unix:{active.directory}/db.sock")

    def replicating() -> set[str]:
        return set(
            backup.control("ovsdb-server/sync-status")[1].partition("database: ")[2].strip().split(", ")
        )

    until(lambda: replicating() == {DB})
    client = Client(active)
    for name in ("one", "two"):
        switch = {"op": "insert", "table": "Logical_Switch", "row": {"name": name}}
        assert client.call("transact", ["hardware_vtep", switch])
        assert backup.control("ovsdb-server/add-db", paths[1]) == (0, "")
        until(lambda: replicating() == {DB, "hardware_vtep"})
        until(lambda: names_of_switches(backup) == names_of_switches(active))
        assert backup.control("ovsdb-server/remove-db", "hardware_vtep") == (0, "")
        until(lambda: replicating() == {DB})
        transact(active, {"op": "insert", "table": "Queue", "row": {"dscp": len(name)}})
        until(lambda: contents(backup) == contents(active))
    client.close()


@pytest.mark.parametrize("program", [ORIGINAL, OURS], ids=["theirs", "ours"])
def test_a_shorter_probe_interval_counts_at_once(servers: list[Running], program: str) -> None:
    active = start(servers, program)
    backup = start(servers, program, f"--sync-from=unix:{active.directory}/db.sock")
    until(lambda: "replicating" in backup.control("ovsdb-server/sync-status")[1])
    active.process.send_signal(signal.SIGSTOP)
    try:
        backup.control("ovsdb-server/set-active-ovsdb-server-probe-interval", "1000")
        until(lambda: "connecting" in backup.control("ovsdb-server/sync-status")[1])  # not 60
    finally:
        active.process.send_signal(signal.SIGCONT)
