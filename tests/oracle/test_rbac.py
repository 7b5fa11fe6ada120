"""Role-based access control: the same transactions of clients with roles, to both servers.

One database with two remotes that have a role, over TLS and over TCP; its permissions are changed by a client
without a role, over a unix socket, and generated transactions are tried under each of them.
"""

import contextlib
import json
import random
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, ORIGINAL, OURS, Client, Running

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the original ovsdb-server"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command"),
]
SOUTHBOUND = Path("/usr/share/ovn/ovn-sb.ovsschema")
ROOT = {"type": {"key": {"type": "uuid", "refTable": "Connection"}, "min": 0, "max": "unlimited"}}
STRINGS = {"key": "string", "min": 0, "max": "unlimited"}


def schema() -> dict[str, Any]:
    """The access tables of the southbound database, and tables to try them on."""
    integer, text = {"type": "integer"}, {"type": "string"}
    strings, strings_map = {"type": STRINGS}, {"type": {**STRINGS, "value": "string"}}
    reference = {"type": {"key": {"type": "uuid", "refTable": "K"}, "min": 0, "max": "unlimited"}}
    permissions = {
        "key": "string",
        "value": {"type": "uuid", "refTable": "RBAC_Permission", "refType": "weak"},
    }
    permission = {
        "table": text, "authorization": strings, "insert_delete": {"type": "boolean"}, "update": strings
    }  # fmt: skip
    tables = {
        "Root": {"connections": ROOT},
        "Connection": {"target": text, "role": text, "read_only": {"type": "boolean"}},
        "RBAC_Role": {"name": text, "permissions": {"type": {**permissions, "min": 0, "max": "unlimited"}}},
        "RBAC_Permission": permission,
        "A": {
            "name": text, "n": integer, "optional": {"type": {"key": "string", "min": 0, "max": 1}},
            "tags": strings, "opts": strings_map, "numbers": {"type": {**STRINGS, "value": "integer"}},
            "kids": reference,
        },
        "B": {"name": text, "n": integer},
        "C": {"name": text, "n": integer},
        "K": {"name": text, "n": integer},
    }  # fmt: skip
    return {
        "name": "T",
        "version": "1.0.0",
        "tables": {name: {"columns": columns, "isRoot": name != "K"} for name, columns in tables.items()},
    }


class Lab:
    """A server with a unix socket for everything and clients in a role: "tls" (CN=ch1), "tcp", "stranger"."""

    def __init__(self, program: str, certificates: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rbac"))
        (self.directory / "schema").write_text(json.dumps(schema()))
        names = [f"--{what}={certificates}/{what}.pem" for what in ("private-key", "certificate")]
        self.certificates = certificates
        options = (*names, f"--ca-cert={certificates}/certificate.pem", "--remote=db:T,Root,connections")
        self.server = Running(program, *options, schema=str(self.directory / "schema"), manager=False)
        self.all = Client(self.server)
        self.ports = [free_port() for _ in range(3)]
        targets = [f"{method}:{port}:127.0.0.1" for method, port in zip(("pssl", "ptcp", "pssl"), self.ports)]
        rows = [
            {
                "op": "insert",
                "table": "Connection",
                "uuid-name": f"c{number}",
                "row": {"target": target, "role": role},
            }
            for number, (target, role) in enumerate(zip(targets, ("r1", "r1", "stranger")))
        ]
        connections = ["set", [["named-uuid", f"c{number}"] for number in range(3)]]
        self.change(*rows, {"op": "insert", "table": "Root", "row": {"connections": connections}})
        self.clients = {"tls": self.dial(0), "tcp": self.dial(1), "stranger": self.dial(2)}

    def change(self, *operations: Any) -> None:
        reply = self.all.call("transact", ["T", *operations])[-1]
        assert all("error" not in result for result in reply["result"]), reply

    def dial(self, number: int) -> Client:
        until = time.monotonic() + 20
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.ports[number]))
                if number != 1:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.check_hostname = False
                    context.load_verify_locations(self.certificates / "certificate.pem")
                    pair = (self.certificates / "certificate.pem", self.certificates / "private-key.pem")
                    context.load_cert_chain(*pair)
                    connection = context.wrap_socket(connection)
                return Client(connection)
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def remove(self) -> None:
        for client in (self.all, *self.clients.values()):
            client.close()
        self.server.remove()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/O=x/CN=ch1"]
    files = ["-keyout", "private-key.pem", "-out", "certificate.pem"]
    subprocess.run([*words, *files], cwd=directory, check=True, capture_output=True, timeout=60)
    return directory


@pytest.fixture(scope="module")
def labs(certificates: Path) -> Iterator[list[Lab]]:
    found: list[Lab] = []
    try:
        for program in (ORIGINAL, OURS):
            found.append(Lab(program, certificates))
        yield found
    finally:
        for lab in found:
            lab.remove()


def scrub(value: Any) -> str:
    """Comparable text: uuids are random, rows come in any order."""
    if isinstance(value, list):
        for result in value:
            if isinstance(result, dict) and "rows" in result:
                result["rows"].sort(key=json.dumps)
    text = json.dumps(value, sort_keys=True)
    return re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", text)


# -- generated permissions and transactions ------------------------------------------------------------------

AUTHORIZATION = (
    "", "name", "optional", "tags", "opts:owner", "opts", "opts:", "opts::owner", ":opts:owner",
    "opts:owner:x", "name:", "name:ch1", "numbers:ch1", "nosuch", "nosuch:owner", "n", "_uuid", ":", "opts:a",
)  # fmt: skip
UPDATE = (
    "name",
    "n",
    "tags",
    "opts",
    "opts:k",
    "opts:owner",
    "numbers",
    "kids",
    "optional",
    "nosuch",
    "_uuid",
)
ROWS: tuple[dict[str, Any], ...] = (
    {"name": "ch1", "n": 1},
    {"name": "two", "n": 2, "optional": "ch1"},
    {"name": "three", "n": 3, "opts": ["map", [["owner", "ch1"], ["k", "v"]]]},
    {"name": "four", "n": 4, "opts": ["map", [["owner", "other"], ["a", "ch1"]]], "tags": "ch1"},
    {"name": "five", "n": 5, "tags": ["set", ["ch1", "z"]], "numbers": ["map", [["ch1", 1]]]},
)
VALUES = {
    "name": ["ch1", "x"],
    "n": [7],
    "optional": ["ch1", ["set", []]],
    "tags": ["ch1", ["set", ["a", "b"]]],
    "opts": [["map", [["owner", "ch1"]]], ["map", [["owner", "ch1"], ["k", "w"]]], ["map", []]],
    "numbers": [["map", [["ch1", 3]]]],
}
MUTATIONS = (
    ["n", "+=", 1], ["tags", "insert", "new"], ["opts", "insert", ["map", [["k", "2"]]]],
    ["opts", "delete", ["set", ["k"]]], ["opts", "delete", ["map", [["k", "v"]]]],
    ["numbers", "insert", ["map", [["q", 1]]]], ["name", "insert", "x"],
)  # fmt: skip


def permissions(make: random.Random) -> list[dict[str, Any]]:
    """Operations that put other permissions in the place of those that are there."""
    operations: list[dict[str, Any]] = [
        {"op": "delete", "table": "RBAC_Role", "where": []},
        {"op": "delete", "table": "RBAC_Permission", "where": []},
    ]
    pairs = []
    for table in make.sample(["A", "B", "C", "K"], make.randint(1, 4)):
        row = {
            "table": table,
            "authorization": ["set", make.sample(AUTHORIZATION, make.choice([0, 1, 1, 2]))],
            "insert_delete": make.random() < 0.7,
            "update": ["set", make.sample(UPDATE, make.randint(0, 4))],
        }
        operations.append({"op": "insert", "table": "RBAC_Permission", "uuid-name": f"p{table}", "row": row})
        pairs.append([table, ["named-uuid", f"p{table}"]])
    role = {"name": make.choice(["r1"] * 9 + ["r2"]), "permissions": ["map", pairs]}
    return [*operations, {"op": "insert", "table": "RBAC_Role", "row": role}]


def operation(make: random.Random) -> dict[str, Any]:
    table = make.choice("AAAABCK")
    where: list[Any] = []
    if make.random() < 0.9:
        where = [["name", "==", make.choice(["ch1", "two", "three", "four", "five", "none", "x"])]]
    columns = list(VALUES) if table == "A" else ["name", "n"]
    row = {name: make.choice(VALUES[name]) for name in make.sample(columns, make.randint(0, 2))}
    kind = make.choice(["insert", "update", "update", "mutate", "mutate", "delete", "select"])
    if kind == "insert":
        return {"op": kind, "table": table, "row": row}
    if kind == "update":
        return {"op": kind, "table": table, "where": where, "row": row}
    if kind == "mutate":
        some = [mutation for mutation in MUTATIONS if table == "A" or mutation[0] == "n"]
        count = make.randint(0, min(2, len(some)))
        return {"op": kind, "table": table, "where": where, "mutations": make.sample(some, count)}
    if kind == "select":
        return {"op": kind, "table": table, "where": where, "columns": ["name"]}
    return {"op": kind, "table": table, "where": where}


def test_generated_transactions(labs: list[Lab]) -> None:
    make = random.Random(7)
    contents = [
        *({"op": "insert", "table": "A", "row": row} for row in ROWS),
        *({"op": "insert", "table": t, "row": {"name": n, "n": 1}} for t in "BC" for n in ("ch1", "two")),
    ]
    for lab in labs:
        lab.change(*contents)
    refused = allowed = 0
    for _ in range(60):
        change = permissions(make)
        for lab in labs:
            lab.change(*change)
        for _ in range(12):
            who = make.choice(["tls"] * 6 + ["tcp", "stranger"])
            operations = [operation(make) for _ in range(make.choice([1, 1, 2, 3]))]
            params = ["T", *operations, {"op": "abort"}]
            theirs, ours = (scrub(lab.clients[who].call("transact", params)[-1]["result"]) for lab in labs)
            assert ours == theirs, (who, change, operations)
            refused += "permission error" in ours
            allowed += "permission error" not in ours
    assert refused > 100
    assert allowed > 100


def test_locks_and_conversion(labs: list[Lab]) -> None:
    """A role forbids conversions, and no locks."""
    for who in ("tls", "tcp", "stranger"):
        theirs, ours = (lab.clients[who].call("lock", [f"lock_{who}"])[-1] for lab in labs)
        assert ours["result"] == theirs["result"] == {"locked": True}
        theirs, ours = (lab.clients[who].call("convert", ["T", schema()])[-1] for lab in labs)
        assert ours["error"] == theirs["error"]
        assert "only the root role may convert databases" in ours["error"]["details"]


def test_a_role_that_is_taken_away_or_given_holds_at_once(labs: list[Lab]) -> None:
    """The original goes by the role that the remote had when it came; ours by the one that it has."""
    ours = labs[1]
    deletion = ["T", {"op": "delete", "table": "RBAC_Role", "where": []}, {"op": "abort"}]
    where = [["target", "==", f"pssl:{ours.ports[2]}:127.0.0.1"]]
    for role, expected in (("", "count"), ("stranger", "error")):
        ours.change({"op": "update", "table": "Connection", "where": where, "row": {"role": role}})
        until = time.monotonic() + 10
        while expected not in ours.clients["stranger"].call("transact", deletion)[-1]["result"][0]:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.parametrize("role", ["r1", "other", ""])
def test_the_tool_with_a_role(tmp_path: Path, role: str) -> None:
    (tmp_path / "schema").write_text(json.dumps(schema()))
    outcomes = []
    for tool in ("/usr/bin/ovsdb-tool", str(BIN / "ovsdb-tool")):
        path = tmp_path / f"{Path(tool).parent.parent.name}.db"
        subprocess.run([tool, "create", path, tmp_path / "schema"], check=True)
        make = random.Random(3)
        setup = ["T", *permissions(make), *({"op": "insert", "table": "A", "row": row} for row in ROWS)]
        done = subprocess.run([tool, "transact", path, json.dumps(setup)], capture_output=True, text=True)
        assert "error" not in done.stdout, done
        found = []
        for _ in range(6):
            operations = ["T", *(operation(make) for _ in range(2))]
            words = [tool, f"--rbac-role={role}", "transact", path, json.dumps(operations)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=20)
            found.append((done.returncode, scrub(json.loads(done.stdout or "null")), done.stderr))
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]


SBCTL = "/usr/bin/ovn-sbctl"


@pytest.mark.skipif(not (SOUTHBOUND.exists() and Path(SBCTL).exists()), reason="needs OVN's tools and schema")
def test_the_southbound_database_and_its_tool() -> None:
    """The database that roles were made for: what a hypervisor may not do without its certificate."""
    outcomes = []
    for program in (ORIGINAL, OURS):
        remote = "--remote=db:OVN_Southbound,SB_Global,connections"
        server = Running(program, remote, schema=str(SOUTHBOUND), manager=False)
        try:
            path = f"{server.directory}/limited"
            outcome = []
            for database, words in (
                ("db.sock", ["init"]),
                ("db.sock", ["set-connection", "role=ovn-controller", f"punix:{path}"]),
                ("db.sock", ["get-connection"]),
                ("db.sock", ["chassis-add", "c1", "geneve", "192.0.2.1"]),
                ("limited", ["chassis-add", "c2", "geneve", "192.0.2.2"]),
                ("limited", ["chassis-del", "c1"]),
                ("limited", ["set", "Chassis", "c1", "external_ids:a=b"]),
                ("limited", ["list", "Chassis", "c1"]),
                ("db.sock", ["show"]),
            ):
                until = time.monotonic() + 15
                while not Path(server.directory, database).exists() and time.monotonic() < until:
                    time.sleep(0.05)
                socket_name = f"--db=unix:{server.directory}/{database}"
                done = server.run(SBCTL, "--timeout=10", "-vconsole:off", socket_name, *words)
                text = f"{done.stdout}{done.stderr}".replace(server.directory, "DIR")
                text = re.sub("(Encap|Chassis)", "TABLE", text)  # whichever the tool names first
                outcome.append((words[0], done.returncode, re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", text)))
            outcomes.append(outcome)
        finally:
            server.remove()
    assert outcomes[1] == outcomes[0]
    assert sum("permission error" in text for _, _, text in outcomes[1]) == 3


@pytest.mark.parametrize("program", [OURS, ORIGINAL], ids=("ours", "original"))
@pytest.mark.parametrize("first", [0, 1], ids=("row first", "row last"))
def test_what_a_row_says_holds_however_else_its_target_is_named(
    program: str, first: int, tmp_path: Path
) -> None:
    (tmp_path / "schema").write_text(json.dumps(schema()))
    with tempfile.TemporaryDirectory(prefix="rbac") as directory:
        target = f"{directory}/other.sock"
        remotes = ["--remote=db:T,Root,connections", f"--remote=punix:{target}"]
        ordered = remotes[::-1] if first else remotes
        server = Running(program, *ordered, schema=str(tmp_path / "schema"), manager=False)
        everything = Client(server)
        try:
            row = {"target": f"punix:{target}", "read_only": True}
            connection = {"op": "insert", "table": "Connection", "uuid-name": "c", "row": row}
            root = {"op": "insert", "table": "Root", "row": {"connections": ["named-uuid", "c"]}}
            reply = everything.call("transact", ["T", connection, root])[-1]
            assert all("error" not in result for result in reply["result"]), reply
            insert = {"op": "insert", "table": "B", "row": {"name": "x"}}
            until = time.monotonic() + 20
            while True:  # the server may close connections made before the row was there
                client = Client(target)
                with contextlib.closing(client), contextlib.suppress(ConnectionError):
                    if "error" in client.call("transact", ["T", insert])[-1]["result"][0]:
                        break
                assert time.monotonic() < until, "what the row says does not hold"
                time.sleep(0.05)
        finally:
            everything.close()
            server.remove()
