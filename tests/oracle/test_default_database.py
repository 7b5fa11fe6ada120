"""Which server, database and arguments ovsdb-client takes its words for: ours beside the original, on original
servers with no, one and two databases, with Open_vSwitch among them and without."""

# ruff: noqa: E501

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from support.database_servers import ORIGINAL as SERVER
from support.database_servers import start_server, variables

pytestmark = pytest.mark.oracle
ORIGINAL: Final = "/usr/bin/ovsdb-client"
OURS: Final = str(Path(sys.executable).parent / "ovsdb-client")
TABLES: Final = {name: {"columns": {"a": {"type": "string"}}} for name in ("T", "U")}
ZERO: Final = "00000000-0000-0000-0000-000000000000"
SERVERS: Final[list[list[str]]] = [["unix:db.sock"], [], ["unix:nosock"]]
NAMED: Final[list[list[str]]] = [
    [], ["Zoo"], ["Open_vSwitch"], ["_Server"], ["T"], ["Zoo", "Nope"], ["Nope"], ["a:b"], ["Zoo", "Zoo", "Zoo"],
]  # fmt: skip
PLAIN: Final = [
    "get-schema",
    "get-schema-version",
    "get-schema-cksum",
    "list-tables",
    "list-columns",
    "dump",
    "restore",
]
# Nothing here goes on for ever: every monitor and every lock is refused.
OTHERS: Final[list[list[str]]] = [
    ["list-dbs"], ["list-dbs", "Zoo"],
    ["monitor"], ["monitor", "Nope"], ["monitor", "Zoo", "Nope"], ["monitor", "T", "U"], ["monitor", "Pen", "T", "c"],
    ["monitor-cond"], ["monitor-cond", "[]"], ["monitor-cond", "[]", "Nope"], ["monitor-cond", "Zoo", "[]", "Nope"],
    ["monitor-cond", "Zoo", "[]", "T", "a", "b"], ["monitor-cond", "x", "T"],
    ["monitor-cond-since"], ["monitor-cond-since", ZERO], ["monitor-cond-since", ZERO, "[]", "Nope"],
    ["monitor-cond-since", "Zoo", ZERO, "[]", "Nope"], ["monitor-cond-since", "Zoo", "zzz", "[]", "T"],
    ["monitor-cond-since", "Zoo", "Nope", "a"], ["monitor-cond-since", "Zoo", ZERO, "[]", "T", "a", "a"],
    ["lock", "a", "b"], ["lock", "a", "b", "c"],
    ["transact"], ["transact", '["Zoo"]'], ["transact", "x"], ["transact", '["Zoo"]', "x"], ["transact", "Zoo", '["Zoo"]'],
    ["query", "unix:x"], ["query", '["Zoo"]', "x"], ["query", "--", '["Zoo"]'],
    ["needs-conversion"], ["needs-conversion", "schema"], ["needs-conversion", "Zoo", "nofile"], ["needs-conversion", "wrong"],
    ["convert", "wrong"], ["convert", "x", "x", "x"], ["wait", "Zoo"], ["wait", "Zoo", "foo"], ["wait", "a", "b", "c", "added"],
]  # fmt: skip

Outcome = tuple[object, str, int]
"""Standard output, standard error and exit status."""


class Server:
    def __init__(self, names: list[str]) -> None:
        self.part = len(names) + ("Open_vSwitch" in names)
        self.directory = tempfile.mkdtemp(prefix="names")
        self.environment = variables(self.directory)
        for name in dict.fromkeys([*names, "Zoo"]):
            text = json.dumps({"name": name, "version": "1.0.0", "tables": TABLES})
            Path(self.directory, "schema").write_text(text)
            if name in (names or ["Zoo"]):
                file = f"{self.directory}/{name}.db"
                subprocess.run(
                    ["/usr/bin/ovsdb-tool", "create", file, f"{self.directory}/schema"], check=True
                )
        Path(self.directory, "wrong").write_text('{"name":1}')
        files = [f"{name}.db" for name in names or ["Zoo"]]
        self.process = start_server(SERVER, self.directory, *files, f"--unixctl={self.directory}/ctl")
        if not names:  # a server cannot be started without one
            control = ["/usr/bin/ovs-appctl", "-t", f"{self.directory}/ctl"]
            subprocess.run([*control, "ovsdb-server/remove-db", "Zoo"], check=True, timeout=20)

    def run(self, program: str, words: list[str]) -> Outcome:
        done = subprocess.run(
            [program, "-t", "30", *words], env=self.environment, cwd=self.directory, capture_output=True,
            timeout=40, input=b"",
        )  # fmt: skip
        shown: Any = done.stdout.decode()
        if "list-tables" in words or "list-columns" in words:
            shown = sorted(shown.splitlines())  # the original lists them in the order of a hash
        return shown, done.stderr.decode(), done.returncode

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.directory)


@pytest.fixture(
    params=[[], ["Zoo"], ["Zoo", "Pen"], ["Open_vSwitch", "Zoo"]], ids=lambda names: "+".join(names) or "none"
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


def test_words_are_taken_for_the_same(server: Server) -> None:
    cases = [[name, *at, *words] for name in PLAIN for at in SERVERS for words in NAMED]
    cases = cases[server.part :: 4]  # another quarter of them on each server
    others = [[name, *at, *words] for name, *words in OTHERS for at in SERVERS]
    cases += others[server.part % 2 :: 2]

    def both(words: list[str]) -> tuple[Outcome, Outcome]:
        return server.run(ORIGINAL, words), server.run(OURS, words)

    with ThreadPoolExecutor(3) as pool:
        for words, (theirs, ours) in zip(cases, pool.map(both, cases), strict=True):
            if theirs[2] == -11:  # the original crashes over the schema of a database that is not there
                assert words[0] == "needs-conversion"
                assert "unknown database" in ours[1]
            else:
                assert ours == theirs, words


def asked(server: Server, program: str, words: list[str]) -> list[str]:
    """The lines in which it logs whether it told the server that it understands changes of databases."""
    done = subprocess.run(
        [program, "-vjsonrpc:console:dbg", *words], env=server.environment, cwd=server.directory,
        capture_output=True, timeout=40, text=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    return [
        done.stdout,
        *(line.split("send")[1] for line in lines if "send request" in line and "aware" in line),
    ]


AWARE: Final[tuple[list[str], ...]] = (
    [], ["--db-change-aware"], ["--no-db-change-aware"], ["--no-db-change-aware", "--db-change-aware"],
    ["--db-change-aware", "--no-db-change-aware"],
)  # fmt: skip


def test_who_says_that_it_understands_changes_of_databases() -> None:
    server = Server(["Zoo"])
    try:
        commands: tuple[list[str], ...] = (
                ["list-dbs"], ["dump"], ["transact", '["Zoo"]'], ["query", '["Zoo"]'], ["needs-conversion", "schema"],
                ["get-schema-version"], ["convert", "schema"], ["wait", "Zoo", "connected"],
                ["-t", "4", "monitor", "T", "!initial"], ["-t", "4", "monitor-cond", "[]", "T"],
            )  # fmt: skip
        cases = [[*option, *words] for option in AWARE for words in commands]
        endless = [words for words in cases if "-t" in words]
        for words in cases:  # one after the other: a conversion ends connections of others
            if words not in endless:
                assert asked(server, OURS, words) == asked(server, ORIGINAL, words), words
        with ThreadPoolExecutor(6) as pool:  # monitors wait for their alarms
            ours = pool.map(lambda words: asked(server, OURS, words), endless)
            theirs = pool.map(lambda words: asked(server, ORIGINAL, words), endless)
            for words, our, their in zip(endless, ours, theirs, strict=True):
                assert our == their, words
    finally:
        server.stop()


def test_ambiguous_options_are_listed_alike() -> None:
    for letter in "abcdefghilmnopstvw":
        shown = [
            subprocess.run([program, f"--{letter}", "list-dbs"], capture_output=True, timeout=20, text=True)
            for program in (OURS, ORIGINAL)
        ]
        ours, theirs = (done.stderr.replace("/usr/bin/", "") for done in shown)
        assert ours == theirs


def test_the_first_of_several_wishes_is_granted() -> None:
    for name, tool in (("ovsdb-client", OURS), ("ovsdb-tool", str(Path(OURS).parent / "ovsdb-tool"))):
        for words in (
            ["--version", "--nope"], ["--nope", "--version"], ["--help", "--version"], ["--version", "--help"],
            ["help", "x"], ["list-commands"], ["list-commands", "x"], ["--option"], ["-o", "--nope"], ["--no-such"],
        ):  # fmt: skip
            done = [
                subprocess.run([program, *words], capture_output=True, timeout=20, text=True)
                for program in (tool, f"/usr/bin/{name}")
            ]
            ours, theirs = (
                (each.stdout.splitlines()[:1], each.stderr.replace("/usr/bin/", ""), each.returncode)
                for each in done
            )
            assert ours == theirs, (name, words)
            if name == "ovsdb-tool" and ("option" in words[0] or "list" in words[0] or words[0] == "-o"):
                assert done[0].stdout == done[1].stdout


def test_files_that_are_no_cluster_are_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "schema").write_text(json.dumps({"name": "Zoo", "version": "1.0.0", "tables": TABLES}))
    subprocess.run(["/usr/bin/ovsdb-tool", "create", "zoo.db", "schema"], cwd=tmp_path, check=True)
    for words in (
        ["check-cluster", "zoo.db"], ["check-cluster", "nofile"], ["check-cluster"],
        ["cluster-to-standalone", "new.db", "zoo.db"], ["cluster-to-standalone", "new.db", "nofile"],
    ):  # fmt: skip
        ours, theirs = (
            subprocess.run([program, *words], cwd=tmp_path, capture_output=True, timeout=20)
            for program in (str(Path(OURS).parent / "ovsdb-tool"), "/usr/bin/ovsdb-tool")
        )
        assert (ours.stdout, ours.stderr, ours.returncode) == (
            theirs.stdout,
            theirs.stderr,
            theirs.returncode,
        )
