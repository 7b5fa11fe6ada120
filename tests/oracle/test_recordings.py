"""--record and --replay of database servers: who replays says what was said when it was recorded."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import BIN, ORIGINAL, OURS, Client, start_server, variables
from support.waiting import until

pytestmark = pytest.mark.oracle
SCHEMA = {
    "name": "Zoo",
    "version": "1.0.0",
    "tables": {
        "Animal": {
            "columns": {
                "name": {"type": "string"},
                "age": {"type": "integer"},
                "tags": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "friends": {"type": {"key": {"type": "uuid", "refTable": "Animal", "refType": "weak"},
                                     "min": 0, "max": "unlimited"}},
            },
            "isRoot": True,
            "indexes": [["name"]],
        }
    },
}  # fmt: skip
ALL = ["name", "age", "tags", "friends", "_version"]


def insert(name: str, age: int, **more: Any) -> dict[str, Any]:
    return {"op": "insert", "table": "Animal", "row": {"name": name, "age": age}, **more}


def update(where: list[Any], **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": "Animal", "where": where, "row": row}


def work(*, waits: bool) -> list[tuple[int, str, list[Any]]]:
    """(client, method, parameters).  `waits`: with a request whose answer tells how long it took."""
    condition = {"Animal": [{"columns": ALL, "where": [["age", ">", 4]]}]}
    since = {"Animal": [{"columns": ["name", "age"]}]}
    found: list[tuple[int, str, list[Any]]] = [
        (0, "list_dbs", []),
        (0, "monitor", ["Zoo", "m", {"Animal": {"columns": ALL}}]),
        (1, "set_db_change_aware", [True]),
        (1, "monitor_cond", ["Zoo", ["c"], condition]),
        (2, "lock", ["gate"]),
        (3, "lock", ["gate"]),
        (4, "monitor_cond_since", ["Zoo", "s", since, "00000000-0000-0000-0000-000000000000"]),
    ]
    for number in range(12):
        one, other = insert(f"ant {number}", number, **{"uuid-name": "a"}), insert("bee", number)
        other["row"]["friends"] = ["named-uuid", "a"]
        tags = ["map", [["\u00fc", str(number)]]]
        old = {"op": "delete", "table": "Animal", "where": [["age", "==", number - 3]]}
        versions = {
            "op": "select",
            "table": "Animal",
            "where": [["age", "==", number]],
            "columns": ["_version"],
        }
        found += [
            (2, "transact", ["Zoo", one]),
            (3, "transact", ["Zoo", one, other]),  # of a name that is there
            (2, "transact", ["Zoo", update([["age", "==", number]], tags=tags), versions]),
            (3, "transact", ["Zoo", old]),
            (2, "transact", ["Zoo", insert(f"cat {number}", 5), {"op": "abort"}]),
            (4, "transact", ["Zoo", versions]),
        ]
        if number == 6:
            found += [(1, "monitor_cond_change", [["c"], ["d"], {"Animal": [{"where": [["age", "<", 9]]}]}])]
            found += [(3, "steal", ["gate"]), (2, "unlock", ["gate"]), (0, "nonsense", [])]
    wait = {
        "op": "wait", "timeout": 50, "table": "Animal", "where": [["name", "==", "dog"]], "columns": ["age"],
        "until": "==", "rows": [{"age": 1}],
    }  # fmt: skip
    if waits:
        found.append((2, "transact", ["Zoo", wait]))
    return [*found, (0, "monitor_cancel", ["m"])]


@pytest.fixture
def place() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="rec")
    Path(directory, "zoo.ovsschema").write_text(json.dumps(SCHEMA))
    Path(directory, "recording").mkdir()
    yield directory
    shutil.rmtree(directory)


def create(directory: str) -> str:
    """A new database with two rows."""
    path = Path(directory, "zoo.db")
    path.unlink(missing_ok=True)
    filled = Path(directory, "filled.db")
    if not filled.exists():
        tool = [BIN / "ovsdb-tool"]
        subprocess.run([*tool, "create", filled, f"{directory}/zoo.ovsschema"], check=True, timeout=60)
        # One row a time: the original takes those of a record in the order of its hash table.
        for change in (insert("elk", 50), insert("fox", 60), update([["age", "==", 50]], age=51)):
            transact = [*tool, "transact", filled, json.dumps(["Zoo", change])]
            subprocess.run(transact, check=True, timeout=60, stdout=subprocess.DEVNULL)
    shutil.copy(filled, path)
    return str(path)


def words(directory: str, mode: str) -> list[str]:
    return [
        f"--unixctl={directory}/ctl",
        f"--{mode}={directory}/recording",
        f"--log-file={directory}/{mode}.log",
        "-vjsonrpc:file:dbg",
    ]


def contents(directory: str) -> Any:
    select = {"op": "select", "table": "Animal", "where": [], "columns": ["_uuid", *ALL[:-1]]}
    rows = json.dumps(["Zoo", select])
    done = subprocess.run(
        ["/usr/bin/ovsdb-tool", "query", f"{directory}/zoo.db", rows],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return sorted(json.loads(done.stdout)[0]["rows"], key=str)


def record(program: str, directory: str, *, waiting_for_answers: bool) -> tuple[dict[str, list[Any]], Any]:
    """What each client was told, and the rows at the end.  Without `waiting_for_answers` all clients send all
    that they have to say at once."""
    process = start_server(program, directory, create(directory), *words(directory, "record"))
    try:
        clients = [Client(f"{directory}/db.sock") for _ in range(5)]
        waiting: list[set[int]] = [set() for _ in clients]
        told: list[list[Any]] = [[] for _ in clients]
        for number, method, parameters in work(waits=not waiting_for_answers):
            if waiting_for_answers:
                told[number] += clients[number].call(method, parameters)
                for watching in (0, 1, 4):  # the original may tell of several changes at once
                    told[watching] += clients[watching].call("echo", [])
            else:
                waiting[number].add(clients[number].send(method, parameters))
        for round_ in range(3):
            for client, open_, heard in zip(clients, waiting, told):
                if round_:
                    open_.add(client.send("echo", [round_]))
                while open_:
                    value = client.read()
                    heard.append(value)
                    if value.get("method") is None:
                        open_.discard(value["id"])
        clients[3].close()
        done = subprocess.run(
            [BIN / "ovs-appctl", "-t", f"{directory}/ctl", "exit"], capture_output=True, timeout=60
        )
        assert not done.returncode, done.stderr
        process.wait(60)
        for client in clients:
            client.close()
    finally:
        process.kill()
        process.wait(60)
    # `start_server` came as the first client.
    return {f"unix#{number + 1}": heard for number, heard in enumerate(told)}, contents(directory)


def replay(program: str, directory: str, *served: str) -> tuple[dict[str, list[Any]], Any]:
    """What the server sends to each client, and the rows at the end; of what is served, the database alone
    if nothing is named."""
    database = create(directory)
    remote = f"--remote=punix:{directory}/db.sock"
    done = subprocess.run(
        [program, *(served or (database,)), remote, *words(directory, "replay"), "-vconsole:off"],
        env=variables(directory),
        timeout=100,
    )
    assert done.returncode == 0
    assert not os.path.exists(f"{directory}/db.sock"), "it does not listen"
    said: dict[str, list[Any]] = {}
    for line in Path(directory, "replay.log").read_text().splitlines():
        found = re.search(r"\|jsonrpc\|DBG\|(unix#\d+): send (.*)$", line)
        if found:
            said.setdefault(found[1], []).append(value_of(found[2]))
    return said, contents(directory)


def value_of(text: str) -> Any:
    """A message from how the log shows it."""
    answer = re.fullmatch(r"(?:reply|error), (result|error)=(.*), id=(.*)", text)
    if answer:
        kind = answer[1]
        return {kind: json.loads(answer[2]), "id": json.loads(answer[3])}
    told = re.fullmatch(r'(?:notification|request), method="(.*?)", params=(.*?)(?:, id=("echo"))?', text)
    assert told, text
    return {"method": told[1], "params": json.loads(told[2]), "id": told[3] and json.loads(told[3])}


def plain(value: Any, forgotten: set[str]) -> Any:
    """A message without members that say nothing; ids of transactions, which the original has none of, are
    forgotten."""
    if isinstance(value, dict):
        return {
            name: plain(one, forgotten)
            for name, one in value.items()
            if not (one is None and name in ("result", "error"))
        }
    if isinstance(value, str) and value.startswith("Transaction causes multiple rows"):
        return value[: value.index("First")]  # which is the first is a matter of chance
    if isinstance(value, str) and "timed out after" in value:
        return re.sub("[0-9]+ ms", "MS", value)
    if isinstance(value, list):
        return [plain(one, forgotten) for one in value]
    return "TRANSACTION" if value in forgotten else value


def transaction_ids(told: list[Any]) -> set[str]:
    found = {value["params"][1] for value in told if value.get("method") == "update3"}
    answers = [value.get("result") for value in told]
    return found | {
        answer[1]
        for answer in answers
        if isinstance(answer, list) and len(answer) == 3 and isinstance(answer[0], bool)
    }


def compared(what: dict[str, list[Any]], told: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What these clients heard, up to the end of their connections."""
    found = {}
    for name, values in told.items():
        said = what.get(name, [])[: len(values)]
        forgotten = transaction_ids(said)
        found[name] = [plain(value, forgotten) for value in said]
    return found


@pytest.mark.parametrize(
    ("recorder", "player", "waiting"),
    [(OURS, OURS, False), (OURS, OURS, True), (ORIGINAL, OURS, True), (OURS, ORIGINAL, True)],
    ids=["ours of ours, all at once", "ours of ours", "ours of the original's", "the original's of ours"],
)
def test_a_replay_says_the_same(recorder: str, player: str, waiting: bool, place: str) -> None:
    told, rows = record(recorder, place, waiting_for_answers=waiting)
    assert rows
    assert sum(len(heard) for heard in told.values()) > 100
    said, again = replay(player, place)
    assert again == rows
    wanted, got = compared(told, told), compared(said, told)
    for name in wanted:
        assert (name, got[name]) == (name, wanted[name])
    if recorder == player:
        assert [plain(one, set()) for one in told["unix#5"]] == [
            plain(one, set()) for one in said["unix#5"][: len(told["unix#5"])]
        ], "ids of transactions, too"


@pytest.mark.parametrize(
    ("recorder", "kind"),
    [(OURS, "relay"), (OURS, "backup"), (ORIGINAL, "backup")],
    ids=["a relay", "a backup", "a backup of the original's"],
)
def test_a_server_that_has_dialled_another(recorder: str, kind: str, place: str) -> None:
    """What the other said is in the recording; it is not asked again, and need not be there."""
    source = f"{place}/source"
    os.mkdir(source)
    shutil.copy(create(place), f"{source}/zoo.db")
    other = start_server(OURS, source, f"{source}/zoo.db", "--unixctl=none")
    served = [f"relay:Zoo:unix:{source}/db.sock"]
    if kind == "backup":
        served = [f"{place}/zoo.db", f"--sync-from=unix:{source}/db.sock"]
    process = start_server(recorder, place, *served, *words(place, "record"))
    told: list[Any] = []
    try:
        changing = Client(f"{source}/db.sock")
        for attempt in range(1, 10):  # a relay that meets its source cuts off whom it has not heard of
            client, name = Client(f"{place}/db.sock"), f"unix#{attempt}"
            with suppress(OSError):
                answer = client.call("set_db_change_aware", [True])[-1]
                if answer != "closed":
                    break
        told.append(answer)
        select = {"op": "select", "table": "Animal", "where": [], "columns": ["name"]}

        def count() -> int:
            told.extend(client.call("transact", ["Zoo", select]))
            return len((told[-1].get("result") or [{}])[0].get("rows", ()))

        until(lambda: count() == 2)
        told += client.call("monitor", ["Zoo", "m", {"Animal": {"columns": ["name", "age"]}}])
        for number in range(6):
            changing.call("transact", ["Zoo", insert(f"ant {number}", number)])
            until(lambda number=number: count() >= 3 + number)
            told += client.call("transact", ["Zoo", update([["age", "==", number]], age=100 + number)])
        told += client.call("echo", [])
        exit_ = [BIN / "ovs-appctl", "-t", f"{place}/ctl", "exit"]
        subprocess.run(exit_, capture_output=True, timeout=60, check=True)
        process.wait(60)
        client.close()
        changing.close()
    finally:
        for one in (process, other):
            one.kill()
            one.wait(60)
    shutil.rmtree(source)
    rows = contents(place) if kind == "backup" else None
    said, again = replay(OURS, place, *served)
    assert rows in (None, again)
    wanted, got = ([in_order(one) for one in compared(all_, {name: told})[name]]
                   for all_ in ({name: told}, said))  # fmt: skip
    assert got == wanted


def in_order(value: Any) -> Any:
    """A message with the rows that a select gave in an order that does not depend on their uuids."""
    if isinstance(value, dict):
        rows = value.get("rows")
        return (
            {"rows": sorted(rows, key=str)} if rows else {name: in_order(one) for name, one in value.items()}
        )
    return [in_order(one) for one in value] if isinstance(value, list) else value


def test_recordings_that_cannot_be(place: str) -> None:
    """A directory that is not there; that is a file; that is empty."""
    database = create(place)
    Path(place, "empty").mkdir()
    different = {}
    cases = [("replay", "empty")]
    cases += [(mode, directory) for mode in ("record", "replay") for directory in ("none", "zoo.db")]
    for mode, directory in cases:
        heard = []
        for program in (ORIGINAL, OURS):
            done = subprocess.run(
                [program, database, f"--{mode}={directory}", "--unixctl=none"],
                env=variables(place),
                cwd="/",
                capture_output=True,
                text=True,
                timeout=60,
            )
            lines = [line.split("|", 2)[2] if "|" in line else line for line in done.stderr.splitlines()]
            heard.append((done.returncode, lines))
        if heard[0] != heard[1]:
            different[mode, directory] = heard
    assert not different, different


def test_a_recording_without_an_end(place: str) -> None:
    """The server was killed while it recorded: ours ends where the recording does."""
    process = start_server(OURS, place, create(place), *words(place, "record"))
    client = Client(f"{place}/db.sock")
    answer = client.call("transact", ["Zoo", insert("ant", 1)])[-1]
    process.kill()
    process.wait(60)
    client.close()
    os.unlink(f"{place}/db.sock")
    said, rows = replay(OURS, place)
    assert plain(said["unix#1"], set()) == [plain(answer, set())]
    assert len(rows) == 3


COMMANDS = (
    ["list-dbs"],
    ["dump", "Zoo"],
    ["transact", '["Zoo",{"op":"select","table":"Animal","where":[]}]'],
    ["transact", '["Zoo",{"op":"nonsense"}]'],
    ["get-schema-cksum", "Zoo"],
    ["get-schema", "nosuch"],
)


def test_clients_replay_each_other(place: str) -> None:
    """Whoever recorded, both clients print the same from the recording, after the server has gone."""
    programs = ("/usr/bin/ovsdb-client", str(BIN / "ovsdb-client"))
    server = f"unix:{place}/db.sock"

    def run(program: str, words: list[str], mode: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [program, mode, words[0], server, *words[1:]],
            env=variables(place),
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    process = start_server(OURS, place, create(place))
    recorded = []
    try:
        client = Client(f"{place}/db.sock")
        client.call("transact", ["Zoo", insert("ant", 1), insert("bee", 2)])
        client.close()
        for program in programs:
            for number, words in enumerate(COMMANDS):
                directory = f"{place}/{Path(program).parent.name}{number}{len(recorded)}"
                Path(directory).mkdir()
                recorded.append((directory, words, run(program, words, f"--record={directory}")))
    finally:
        process.terminate()
        process.wait(60)
    assert {status for _, _, (status, _, _) in recorded} == {0, 1}
    for directory, words, answer in recorded:
        for program in programs:
            assert (program, words, run(program, words, f"--replay={directory}")) == (program, words, answer)
