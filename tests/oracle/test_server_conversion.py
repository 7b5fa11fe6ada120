"""``convert``, and sorted selections, beside the original: the same rows under many changed schemas."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import ORIGINAL, OURS, Client, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the original ovsdb-server"),
    pytest.mark.xdist_group("server_conversion"),
]
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")
DB = "Zoo"


def _optional(key: Any, limit: Any = 1) -> dict[str, Any]:
    return {"type": {"key": key, "min": 0, "max": limit}}


SCHEMA: dict[str, Any] = {
    "name": DB,
    "version": "1.0.0",
    "tables": {
        "Animal": {
            "isRoot": True,
            "columns": {
                "name": {"type": "string"},
                "number": {"type": "integer"},
                "kind": _optional("string"),
                "weights": _optional("real", 3),
                "tags": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
                "tame": {"type": "boolean"},
                "toys": _optional({"type": "uuid", "refTable": "Toy"}, "unlimited"),
                "cage": _optional({"type": "uuid", "refTable": "Cage", "refType": "weak"}),
            },
        },
        "Toy": {"columns": {"label": {"type": "string"}}},
        "Cage": {"isRoot": True, "columns": {"label": {"type": "string"}}},
    },
}
ROWS: list[Any] = [
    {"op": "insert", "table": "Toy", "uuid-name": "ball", "row": {"label": "ball"}},
    {"op": "insert", "table": "Cage", "uuid-name": "den", "row": {"label": "den"}},
    *(
        {"op": "insert", "table": "Animal", "row": {"name": name, "number": number, **more}}
        for name, number, more in (
            ("b", 3, {"kind": "cat", "weights": 1.5, "toys": ["named-uuid", "ball"]}),
            ("a", 4, {"kind": "dog", "tags": ["map", [["x", 1]]], "cage": ["named-uuid", "den"]}),
            ("c", -1, {"weights": ["set", [0.5, 2.0]], "tags": ["map", [["a", 9]]]}),
            ("d", 7, {"kind": "eel", "weights": ["set", [2, 3]], "tags": ["map", [["a", 1], ["b", 0]]]}),
            ("e", 8, {"kind": "dog", "weights": 0.5}),
        )
    ),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    path = tmp_path_factory.mktemp("schema") / "zoo.ovsschema"
    path.write_text(json.dumps(SCHEMA))
    servers = [Running(program, schema=str(path), manager=False) for program in (ORIGINAL, OURS)]
    for server in servers:
        client = Client(server)
        client.call("transact", [DB, *ROWS])
        client.close()
        path = Path(server.directory, "conf.db")
        path.with_name("fresh.db").write_bytes(path.read_bytes())
    yield servers
    for server in servers:
        server.remove()


def _changed(table: str, column: str = "", **members: Any) -> dict[str, Any]:
    schema = copy.deepcopy(SCHEMA)
    place = schema["tables"][table]
    if column:
        place["columns"][column] = members
    else:
        place.update(members)
    return schema


def _without(table: str, *columns: str) -> dict[str, Any]:
    schema = copy.deepcopy(SCHEMA)
    for column in columns:
        del schema["tables"][table]["columns"][column]
    if not columns:
        del schema["tables"][table]
    return schema


def _needed(key: Any, least: int = 1, most: Any = 1) -> dict[str, Any]:
    return {"key": key, "min": least, "max": most}


STRONG, WEAK = {"type": "uuid", "refTable": "Cage"}, {"type": "uuid", "refTable": "Toy", "refType": "weak"}
CHANGES = {
    "the same": SCHEMA,
    "index of equal values": _changed("Animal", indexes=[["tame"]]),
    "index of two columns with equal values": _changed("Animal", indexes=[["tame", "toys"], ["number"]]),
    "index that holds": _changed("Animal", indexes=[["name"], ["number", "kind"]]),
    "too many rows": _changed("Animal", maxRows=4),
    "just enough rows": _changed("Animal", maxRows=5),
    "no root": _changed("Animal", isRoot=False),
    "a table becomes a root": _changed("Toy", isRoot=True),
    "optional becomes needed": _changed("Animal", "kind", type=_needed("string")),
    "set becomes single": _changed("Animal", "weights", type=_needed("real", 0, 1)),
    "set becomes larger": _changed("Animal", "weights", type=_needed("real", 0, 9)),
    "string becomes integer": _changed("Animal", "name", type="integer"),
    "integer becomes real": _changed("Animal", "number", type="real"),
    "real becomes integer": _changed("Animal", "weights", type=_needed("integer", 0, 3)),
    "map becomes set": _changed("Animal", "tags", type=_needed("string", 0, "unlimited")),
    "set becomes map": _changed("Animal", "kind", type=_needed("string", 0, 1) | {"value": "string"}),
    "new column": _changed("Animal", "food", type="string"),
    "new column that is needed": _changed("Animal", "food", type=_needed("integer", 1, 3)),
    "strong becomes weak": _changed("Animal", "toys", type=_needed(WEAK, 0, "unlimited")),
    "weak becomes strong": _changed("Animal", "cage", type=_needed(STRONG, 0)),
    "references to another table": _changed("Animal", "toys", type=_needed(STRONG, 0, "unlimited")),
    "weak references to another table": _changed("Animal", "cage", type=_needed(WEAK, 0)),
    "a column goes": _without("Animal", "tags"),
    "references go": _without("Animal", "toys"),
    "referred table stays away": _without("Cage"),
    "another name": {**SCHEMA, "name": "Circus"},
    "no schema": 5,
    "empty schema": {},
}


def _plain(value: Any) -> str:
    """Without what differs from run to run: uuids, and which row comes first."""
    text = UUID.sub("UUID", json.dumps(value, sort_keys=True))
    return re.sub(r"(First row, with UUID UUID, ).*?(\.  Second)", r"\1...\2", text)


def _rows(client: Client) -> dict[str, list[str]]:
    found = {}
    tables = client.call("get_schema", [DB])[-1]["result"]["tables"]
    for table in tables:
        select = {"op": "select", "table": table, "where": []}
        rows = client.call("transact", [DB, select])[-1]["result"][0]["rows"]
        found[table] = sorted(map(_plain, rows))
    return found


def _renew(server: Running) -> None:
    """A server that holds `SCHEMA` and `ROWS`, whatever was done to it."""
    if server.process.poll() is None:
        server.stop()
    Path(server.directory, "db.sock").unlink(missing_ok=True)
    path = Path(server.directory, "conf.db")
    path.write_bytes(path.with_name("fresh.db").read_bytes())
    server.start()


def _convert(server: Running, schema: Any) -> tuple[str, Any]:
    """The answer, and the rows after it.  The original dies of some conversions: "closed"."""
    client = Client(server)
    client.call("set_db_change_aware", [True])
    try:
        answer = client.call("convert", [DB, schema])[-1]
        if answer != "closed":
            said = re.sub(r'"syntax": "(?:[^"\\]|\\.)*"', '"syntax": ...', _plain(answer))
            return said, _rows(client)
    except ConnectionError:
        pass
    assert server.program == ORIGINAL
    server.process.wait(30)
    return "closed", None


@pytest.mark.parametrize("name", CHANGES)
def test_conversions(both: list[Running], name: str) -> None:
    outcomes = []
    for server in both:
        _renew(server)
        outcomes.append(_convert(server, CHANGES[name]))
    theirs, ours = outcomes
    if theirs[0] != "closed":
        assert ours == theirs


def test_what_was_converted_is_read_again(both: list[Running]) -> None:
    """The file of ours after a conversion that took rows away, read by the original's tool."""
    server = both[1]
    _renew(server)
    answer, rows = _convert(server, CHANGES["no root"])
    assert '"error": null' in answer
    assert rows is not None
    assert rows["Animal"] == []
    query = json.dumps([DB, {"op": "select", "table": "Animal", "where": [], "columns": ["name"]}])
    done = server.run("/usr/bin/ovsdb-tool", "query", f"{server.directory}/conf.db", query)
    assert (done.stdout.strip(), done.stderr) == ('[{"rows":[]}]', "")


def test_convert_with_wrong_params(both: list[Running]) -> None:
    for server in both:
        _renew(server)
    for params in ([], [DB], [DB, {}, 1], [1, {}], ["Nope"], ["Nope", {}], ["_Server"], ["_Server", {}, 5]):
        answers = [_plain(Client(server).call("convert", params)[-1]) for server in both]
        assert answers[0] == answers[1], params
    answer = Client(both[1]).call("convert", ["_Server", SCHEMA])[-1]
    assert answer["error"]["details"] == "_Server is built in and cannot be converted"


SORTS: list[Any] = [
    ["name"],
    ["number", "name"],
    ["kind", "name"],
    ["weights", "name"],
    ["tags", "name"],
    ["tame", "name"],
    ["number"],
    ["nope"],
    [1],
    ["name", "name"],
    ["name", 1],
    [["name", "descending"]],
    "name",
    {},
    5,
    None,
]


def test_sorted_selections(both: list[Running]) -> None:
    operations: list[Any] = []
    for sort in SORTS:
        for columns in (["name"], ["tame"]):  # which of equal rows stays is unspecified
            operations.append(
                {"op": "select", "table": "Animal", "where": [], "columns": columns, "sort": sort}
            )
        operations.append({"op": "select", "table": "Animal", "where": [["x", "==", 1]], "sort": sort})
        operations.append({"op": "select", "table": "Animal", "where": [], "columns": ["no"], "sort": sort})
        operations.append({"op": "select", "table": "Animal", "where": 5, "sort": sort})
    for server in both:
        _renew(server)
    clients = [Client(server) for server in both]
    for operation in operations:
        answers = [client.call("transact", [DB, operation])[-1]["result"] for client in clients]
        assert answers[0] == answers[1], operation
    everything = {"op": "select", "table": "Animal", "where": [], "sort": []}
    for client in clients:
        assert len(client.call("transact", [DB, everything])[-1]["result"][0]["rows"]) == 5


ENDS = {
    "convert": "disconnecting (committed Zoo database schema conversion)",
    "remove-db": "disconnecting (removing Zoo database by user request)",
    "add-db": "disconnecting (adding Other database)",
}


def _heard(client: Client) -> list[Any]:
    """All that came, up to the answer to an echo or the end of the connection; without uuids."""
    found = []
    client.socket.settimeout(20)
    try:
        number = client.send("echo", ["marker"])
    except OSError:
        number = 0
    while True:
        try:
            value = client.read()
        except ConnectionError:
            value = "closed"
        if value == "closed":
            return [*found, value]
        if value.get("id") == number:
            return found
        found.append(_plain(value))


def _watchers(server: Running) -> dict[str, Client]:
    """Clients of every kind."""
    found = {}
    for aware in (None, False, True):
        for watched in ((), (DB,), ("_Server",), (DB, "_Server"), ("wait",)):
            client = found[f"aware={aware} {watched}"] = Client(server)
            if aware is not None:
                client.call("set_db_change_aware", [aware])
            for name in watched:
                if name == "wait":
                    wait = {
                        "op": "wait",
                        "table": "Toy",
                        "where": [],
                        "columns": ["label"],
                        "until": "==",
                        "rows": [],
                    }
                    client.send("transact", [DB, {**wait, "rows": [{"label": "none of these"}]}])
                else:
                    tables = (
                        {"Animal": {}} if name == DB else {"Database": {"columns": ["name", "connected"]}}
                    )
                    client.call("monitor", [name, name, tables])
    return found


@pytest.mark.parametrize("change", ENDS)
def test_who_hears_what_of_a_change(both: list[Running], change: str, tmp_path: Path) -> None:
    """Whoever is not aware of changes is cut off without another word; the log names them in their order."""
    heard = []
    for server in both:
        _renew(server)
        lines_before = len(server.log_lines("ovsdb_jsonrpc_server"))
        clients = _watchers(server)
        asker = Client(server)
        said: Any = None
        if change == "convert":
            said = asker.call("convert", [DB, {**SCHEMA, "version": "2.0.0"}])
            said += [asker.read()]
        elif change == "remove-db":
            said = server.control("ovsdb-server/remove-db", DB)
        else:
            (tmp_path / "schema").write_text(json.dumps({**SCHEMA, "name": "Other"}))
            other = Path(server.directory, "other.db")
            other.unlink(missing_ok=True)
            server.run("ovsdb-tool", "create", str(other), str(tmp_path / "schema"))
            said = server.control("ovsdb-server/add-db", str(other))
        words = {name: _heard(client) for name, client in clients.items()}
        lines = [
            line for line in server.log_lines("ovsdb_jsonrpc_server")[lines_before:] if "disconn" in line
        ]
        numbers = [int(re.findall(r"unix#(\d+)", line)[0]) for line in lines]
        ends = {line.partition(": ")[2] for line in lines}
        heard.append((said, words, len(lines), ends))
        assert numbers == sorted(numbers)
        for client in (*clients.values(), asker):
            client.close()
    assert heard[0] == heard[1]
    assert heard[1][3] == {ENDS[change]}


def test_files_after_a_conversion(both: list[Running]) -> None:
    """The record has the same comment and members, with and without differences; then it is compacted."""
    found = []
    for server in both:
        for options in ((), ("--disable-file-column-diff",)):
            before, server.options = server.options, options
            _renew(server)
            server.options = before
            client = Client(server)
            client.call("set_db_change_aware", [True])
            for step in ("2.0.0", "", "compact"):
                if step == "compact":
                    assert server.control("ovsdb-server/compact") == (0, "")
                else:
                    assert (
                        client.call("convert", [DB, {**SCHEMA, "version": step or "3.0.0"}])[-1]["result"]
                        == {}
                    )
                lines = Path(server.directory, "conf.db").read_text().splitlines()
                record = json.loads(lines[3])
                for name, rows in record.items():
                    if not name.startswith("_"):
                        record[name] = sorted(map(_plain, rows.values()))
                schema = json.loads(lines[1]) if step == "compact" else ""  # else as the client wrote it
                found.append((len(lines), schema, {**record, "_date": 0}))
            shown = server.run("/usr/bin/ovsdb-tool", "show-log", f"{server.directory}/conf.db").stdout
            found.append(re.sub(r"\d{4}-\S+ \S+", "TIME", shown))
            client.close()
    half = len(found) // 2
    for theirs, ours in zip(found[:half], found[half:]):
        assert json.loads(_plain(ours)) == json.loads(_plain(theirs))
    assert "converted by ovsdb-server" in str(found)


def test_a_large_conversion_while_others_work(tmp_path: Path) -> None:
    """Reads and writes of others meanwhile are answered, before or after it, and nothing of them is lost."""
    path = tmp_path / "zoo.ovsschema"
    path.write_text(json.dumps(SCHEMA))
    server = Running(OURS, schema=str(path), manager=False)
    try:
        asker, writer, reader = (Client(server) for _ in range(3))
        for client in (asker, writer, reader):
            client.call("set_db_change_aware", [True])
        rows = [{"op": "insert", "table": "Cage", "row": {"label": f"c{number}"}} for number in range(5000)]
        asker.call("transact", [DB, *rows])
        count = {"op": "select", "table": "Cage", "where": [["label", "includes", "x"]], "columns": ["label"]}
        asked = asker.send("convert", [DB, {**SCHEMA, "version": "2.0.0"}])
        behind = asker.send("transact", [DB, {"op": "insert", "table": "Cage", "row": {"label": "x"}}])
        for number in range(50):
            row = {"op": "insert", "table": "Cage", "row": {"label": "x"}}
            writer.send("transact", [DB, row, {"op": "commit", "durable": number == 49}])
            assert reader.call("transact", [DB, count])[-1]["error"] is None
        assert asker.read() == {"id": asked, "result": {}, "error": None}
        assert asker.read()["id"] == behind
        answers = [writer.read() for _ in range(50)]
        assert all(answer["error"] is None for answer in answers)
        server.stop(9)
        Path(server.directory, "db.sock").unlink()
        server.start()
        (answer,) = Client(server).call("transact", [DB, count])
        assert len(answer["result"][0]["rows"]) == 1  # the same label: a set
        every = {**count, "columns": ["_uuid"]}
        (answer,) = Client(server).call("transact", [DB, every])
        assert len(answer["result"][0]["rows"]) == 51
        assert Client(server).call("get_schema", [DB])[-1]["result"]["version"] == "2.0.0"
    finally:
        server.remove()
