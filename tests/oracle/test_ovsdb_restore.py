"""ovsdb-client restore beside the original: whose database is overwritten, and what is said of schemas."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, ORIGINAL, Client, Running

pytestmark = pytest.mark.oracle

TABLES: dict[str, Any] = {
    "Cage": {
        "isRoot": True,
        "columns": {
            "label": {"type": "string"},
            "n": {"type": {"key": "integer", "min": 0, "max": 1}},
            "tags": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
            "names": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        },
        "indexes": [["label"]],
    }
}
ZOO: dict[str, Any] = {"name": "Zoo", "version": "1.0.0", "tables": TABLES}
COLUMNS = TABLES["Cage"]["columns"]
SCHEMAS: dict[str, dict[str, Any]] = {  # of backups, by name
    "zoo": ZOO,
    "other": {**ZOO, "name": "Oth"},
    "unknown": {**ZOO, "name": "Nope"},
    "checksum": {**ZOO, "cksum": "12345 678"},
    "version": {**ZOO, "version": "1.0.1"},
    "no version": {name: value for name, value in ZOO.items() if name != "version"},
    "column": {**ZOO, "tables": {"Cage": {"isRoot": True, "columns": {**COLUMNS, "x": {"type": "string"}}}}},
    "type": {**ZOO, "tables": {"Cage": {"isRoot": True, "columns": {**COLUMNS, "n": {"type": "string"}}}}},
    "table": {**ZOO, "tables": {**TABLES, "Another": {"columns": {"a": {"type": "string"}}}}},
    "index": {**ZOO, "tables": {"Cage": {"isRoot": True, "columns": COLUMNS}}},
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "column": [{"label": "a", "x": "y"}],
    "type": [{"label": "a", "n": "y"}],
    "index": [{"label": "a"}, {"label": "a"}],
}
PLAIN: list[dict[str, Any]] = [
    {"label": "a", "n": 3, "tags": ["set", ["x", "y"]], "names": ["map", [["k", "v"]]]},
    {"label": "b", "tags": "z"},
    {"label": "c"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An original with two databases, and backups beside them."""
    schema = tmp_path_factory.mktemp("schema") / "zoo.ovsschema"
    schema.write_text(json.dumps(ZOO))
    running = Running(ORIGINAL, schema=str(schema), manager=False)
    try:
        for name, contents in SCHEMAS.items():
            schema.write_text(json.dumps(contents))
            path = f"{running.directory}/{name}.db"
            operations = [{"op": "insert", "table": "Cage", "row": row} for row in ROWS.get(name, PLAIN)]
            for words in (
                ["create", path, schema],
                ["transact", path, json.dumps([contents["name"], *operations])],
            ):
                subprocess.run(["/usr/bin/ovsdb-tool", *words], check=True, capture_output=True, timeout=30)
        running.control("ovsdb-server/add-db", f"{running.directory}/other.db")
        good = Path(running.directory, "zoo.db").read_bytes()
        for name, data in {"empty": b"", "half": good[:-10]}.items():
            Path(running.directory, f"{name}.db").write_bytes(data)
        Path(running.directory, "another.db").write_bytes(Path(running.directory, "other.db").read_bytes())
        yield running
    finally:
        running.remove()


def _rows(client: Client, database: str) -> list[str]:
    select = {"op": "select", "table": "Cage", "where": [], "columns": list(COLUMNS)}
    (result,) = client.call("transact", [database, select])[-1]["result"]
    return sorted(json.dumps(row, sort_keys=True) for row in result["rows"])


def test_restore(server: Running) -> None:
    client = Client(server)
    names = [*SCHEMAS, "empty", "half"]
    names[names.index("other")] = "another"  # the file that is not served
    for name in names:
        more: list[list[str]] = [["Oth"], ["--force", "Zoo"], ["--force", "_Server"], []]
        for words in (["Zoo"], ["--force", "Oth"], *(more if name in ("checksum", "version") else ())):
            found = []
            for program in ("/usr/bin/ovsdb-client", str(BIN / "ovsdb-client")):
                for database in ("Zoo", "Oth"):
                    reset = [{"op": "delete", "table": "Cage", "where": []}]
                    row = {"op": "insert", "table": "Cage", "row": {"label": database}}
                    client.call("transact", [database, *reset, row])
                with open(f"{server.directory}/{name}.db", "rb") as backup:
                    done = subprocess.run(
                        [program, "restore", f"unix:{server.directory}/db.sock", *words],
                        stdin=backup, env=server.environment, capture_output=True, text=True, timeout=30,
                    )  # fmt: skip
                said = re.sub(r"\S+Z\|", "TIME|", done.stderr)
                said = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", said)
                said = re.sub(r"operation \d+ of", "operation N of", said)  # tables in anybody's order
                said = re.sub(r'"syntax":"\[.*', "", said, flags=re.DOTALL)
                found.append((done.returncode, done.stdout, said, _rows(client, "Zoo"), _rows(client, "Oth")))
            assert found[1] == found[0], (name, words)
    client.close()


def test_from_a_pipe(server: Running) -> None:
    """The original wants to seek."""
    data = Path(server.directory, "zoo.db").read_bytes()
    words = ["restore", f"unix:{server.directory}/db.sock", "Zoo"]
    done = subprocess.run(
        [BIN / "ovsdb-client", *words], input=data, env=server.environment, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
    client = Client(server)
    assert len(_rows(client, "Zoo")) == len(PLAIN)
    client.close()
