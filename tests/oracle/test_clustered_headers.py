"""The first record of a clustered file, whole or damaged: what ovsdb-tool says of it."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN

pytestmark = pytest.mark.oracle
UUID = "5a2b5a2b-5a2b-4a2b-8a2b-5a2b5a2b5a2b"
JOINING: dict[str, Any] = {
    "server_id": UUID,
    "name": "x",
    "local_address": "tcp:1.2.3.4:5",
    "remote_addresses": ["tcp:1.2.3.4:6"],
    "cluster_id": UUID,
}
FOUNDING: dict[str, Any] = {
    "server_id": UUID,
    "name": "x",
    "local_address": "ssl:1.2.3.4:5",
    "prev_servers": {UUID: "ssl:1.2.3.4:5"},
    "cluster_id": UUID,
    "prev_index": 1,
    "prev_term": 1,
    "prev_eid": UUID,
    "prev_data": [{"name": "x", "tables": {}}, {}],
}
COMMANDS = ("db-cid", "db-name", "db-sid", "db-local-address", "db-version", "db-is-clustered")


def record(data: bytes) -> bytes:
    return b"OVSDB CLUSTER %d %s\n%b" % (len(data), hashlib.sha1(data).hexdigest().encode(), data)


def headers() -> list[dict[str, Any]]:
    """Whole ones, and ones where a member is missing, of a wrong kind, wrong in itself, or too much."""
    found: list[dict[str, Any]] = [{}]
    for whole in (JOINING, FOUNDING):
        found.append(whole)
        found.append({**whole, "foo": 1})  # of several that are too much the original names any
        for name in whole:
            if (whole, name) != (JOINING, "local_address"):  # without one, joining ends the original
                if name != "prev_index":
                    found.append({key: value for key, value in whole.items() if key != name})
                found += [{**whole, name: value} for value in (1.5, [], {"x": 1})]
            found += [{**whole, name: value} for value in ("", "foo")]
    wrong_addresses = ([], ["zzz"], [3], ["tcp:1.2.3.4:6", "zzz"], "tcp:1.2.3.4:6")
    found += [{**JOINING, "remote_addresses": addresses, "cluster_id": 1} for addresses in wrong_addresses]
    wrong_servers = ({}, {"x": "tcp:1.2.3.4:5"}, {UUID: "x"}, {UUID: 1})
    found += [{**FOUNDING, "prev_servers": servers, "cluster_id": 1} for servers in wrong_servers]
    pairs = (("server_id", "name"), ("name", "local_address"), ("prev_index", "prev_term"),
             ("prev_term", "prev_eid"), ("prev_term", "prev_servers"))  # fmt: skip
    found += [{**FOUNDING, one: [], other: []} for one, other in pairs]
    found += [{**FOUNDING, "prev_data": None}, {**FOUNDING, "prev_index": -1}]
    return found


def damaged() -> list[bytes]:
    whole = record(json.dumps(FOUNDING).encode() + b"\n")
    return [
        record(b"[]\n"),
        record(b'{"a":\n'),
        whole[:30],
        whole[:100],
        whole.replace(b"CLUSTER", b"CLUSTEX", 1),
        whole[:70] + b"X" + whole[71:],
    ]


def answer(program: Path, command: str, path: Path) -> tuple[int, str, str]:
    done = subprocess.run([program, command, path], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.replace(f"{program.parent}/", "")


def ours_in_one_process(paths: list[Path], tmp_path: Path) -> dict[str, list[Any]]:
    """What ours says: one process for all, for starting costs most."""
    program = """
import contextlib, io, json, sys
from trunkline.cli.ovsdb_tool import main
found = {}
for command, path in json.load(sys.stdin):
    out, wrong, status = io.StringIO(), io.StringIO(), 0
    sys.argv = ["ovsdb-tool", command, path]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
        try:
            main()
        except SystemExit as end:
            status = end.code
    found[command + " " + path] = [status, out.getvalue(), wrong.getvalue()]
print(json.dumps(found))
"""
    asked = json.dumps([(command, str(path)) for path in paths for command in COMMANDS])
    python = BIN / "python"
    done = subprocess.run(
        [python, "-c", program], input=asked, capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


def test_what_is_said_of_a_header(tmp_path: Path) -> None:
    files = [record(json.dumps(header).encode() + b"\n") for header in headers()] + damaged()
    paths = []
    for number, data in enumerate(files):
        paths.append(tmp_path / f"{number}.db")
        paths[-1].write_bytes(data)
    got = ours_in_one_process(paths, tmp_path)
    short = {*paths[:2], *paths[-len(damaged()) :], *paths[7::9]}  # where every command is tried
    different = {}
    kinds = set()
    for path in paths:
        for command in COMMANDS if path in short else COMMANDS[:1]:
            want = answer(Path("/usr/bin/ovsdb-tool"), command, path)
            kinds.add((command, want[0]))
            found = got[f"{command} {path}"]
            if found != list(want):
                different[f"{command} {path.read_bytes().decode()}"] = want, found
    assert not different
    assert {("db-cid", 0), ("db-cid", 1), ("db-cid", 2), ("db-version", 1)} <= kinds


def test_a_transaction_is_looked_at_when_the_database_has_been_read(tmp_path: Path) -> None:
    for words in (["query", str(tmp_path / "none"), "foo"], ["transact", str(tmp_path), '["x"']):
        outcomes = []
        for program in (Path("/usr/bin/ovsdb-tool"), BIN / "ovsdb-tool"):
            done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
            outcomes.append((done.returncode, done.stdout, done.stderr.replace(f"{program.parent}/", "")))
        assert outcomes[0] == outcomes[1]
        assert outcomes[0][0] == 1


def test_normalized_nothing() -> None:
    for words in (["", ""], ["", "1"], ["in_port(1)", ""], ["in_port(1)", "drop"], [" ", "drop"]):
        outcomes = []
        for program in (Path("/usr/bin/ovs-dpctl"), BIN / "ovs-dpctl"):
            done = subprocess.run(
                [program, "normalize-actions", *words], capture_output=True, text=True, timeout=60
            )
            outcomes.append((done.returncode, done.stdout, done.stderr))
        assert outcomes[0] == outcomes[1], words
