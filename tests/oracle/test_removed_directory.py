"""What a removed working directory is needed for fails, in tools and daemons; the rest works."""

import re
import subprocess
from pathlib import Path

import pytest

from support.originals import PROGRAMS, VSWITCH_SCHEMA, environment
from support.outcomes import OURS

pytestmark = pytest.mark.oracle
STAMP = re.compile(r"^\S+Z\|", re.MULTILINE)
TRANSACTION = '["Open_vSwitch",{"op":"comment","comment":"x"}]'
TOOL = (
    ("create", "x.db", "SCHEMA"),
    ("create", "x.db", "y.schema"),
    ("create", "HERE/other.db", "y.schema"),
    ("db-name", "x.db"),
    ("db-name", "HERE/conf.db"),
    ("db-version", "x.db"),
    ("db-cksum", "x.db"),
    ("db-cid", "x.db"),
    ("db-is-standalone", "x.db"),
    ("db-is-standalone", "HERE/conf.db"),
    ("schema-name", "y.schema"),
    ("show-log", "x.db"),
    ("query", "x.db", TRANSACTION),
    ("query", "HERE/conf.db", TRANSACTION),
    ("transact", "x.db", TRANSACTION),
    ("transact", "HERE/conf.db", TRANSACTION),
    ("needs-conversion", "x.db", "SCHEMA"),
    ("needs-conversion", "HERE/conf.db", "SCHEMA"),
    ("compact", "x.db"),
    ("compact", "HERE/conf.db"),
    ("compact", "HERE/conf.db", "x.db"),
    ("compact", "x.db", "HERE/other.db"),
    ("convert", "x.db", "SCHEMA"),
    ("convert", "HERE/conf.db", "SCHEMA"),
)
OTHERS = (
    ("ovsdb-server", "x.db", "--run=true"),
    ("ovsdb-server", "HERE/conf.db", "x.db", "--run=true"),
    ("ovsdb-server", "HERE/conf.db", "--run=true", "--pidfile=x.pid", "--remote=punix:x.sock", "-vfile:off"),
    ("ovs-ofctl", "parse-flows", "x"),
    ("ovs-ofctl", "add-flows", "./x.mgmt", "x"),
    ("ovs-ofctl", "ofp-parse", "x"),
    ("ovs-appctl", "-t", "./x", "version"),
    ("ovs-vsctl", "--db=unix:x.sock", "-t1", "list-br"),
    ("ovsdb-client", "-t1", "list-dbs", "unix:./x.sock"),
    ("ovsdb-client", "convert", "unix:x.sock", "y.schema"),
)
DAEMON = ("--detach", "--no-chdir", "--pidfile", "-vconsole:off")
ASKED = (
    ("ovsdb-server/list-dbs",),
    ("ovsdb-server/add-db", "x.db"),
    ("ovsdb-server/add-db", "HERE/nothing.db"),
    ("ovsdb-server/add-remote", "punix:x.sock"),
    ("ovsdb-server/compact",),
    ("vlog/set", "file:off"),
)


class Lost:
    """Programs of one kind, in a directory that is no more."""

    def __init__(self, ours: bool, directory: Path) -> None:
        self.ours = ours
        self.directory = directory
        directory.mkdir()

    def run(self, program: str, *words: str) -> tuple[int, str]:
        words = tuple(
            word.replace("HERE", str(self.directory)).replace("SCHEMA", VSWITCH_SCHEMA) for word in words
        )
        path = str(OURS / program) if self.ours else PROGRAMS[program]
        gone = self.directory / "gone"
        gone.mkdir()
        done = subprocess.run(
            ["sh", "-c", 'rmdir "$PWD" && exec "$@" 2>&1', "sh", path, *words],
            cwd=gone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(self.directory),
            timeout=60,
        )
        text = "".join(
            line
            for line in STAMP.sub("", done.stdout).splitlines(keepends=True)
            if "getcwd() failed" not in line  # of the shell that runs true
        )
        return done.returncode, text.replace(str(self.directory), "HERE")

    def prepare(self) -> None:
        assert self.run("ovsdb-tool", "create", "HERE/conf.db", "SCHEMA") == (0, "")


def test_tools_and_daemons(short_directory: Path) -> None:
    both = [Lost(ours, short_directory / name) for ours, name in ((True, "o"), (False, "t"))]
    for one in both:
        one.prepare()
    for words in [("ovsdb-tool", *words) for words in TOOL] + list(OTHERS):
        ours, theirs = [one.run(*words) for one in both]
        assert ours == theirs, words


def test_a_server(short_directory: Path) -> None:
    """It serves and compacts what it has, and opens nothing whose name is relative."""
    answers = []
    for ours in (True, False):
        one = Lost(ours, short_directory / str(ours))
        one.prepare()
        said = [one.run("ovsdb-server", "HERE/conf.db", "--remote=punix:HERE/db.sock", *DAEMON)]
        try:
            said += [one.run("ovs-appctl", "-t", "ovsdb-server", *words) for words in ASKED]
        finally:
            said.append(one.run("ovs-appctl", "-t", "ovsdb-server", "exit"))
        answers.append(said)
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][-1] == (0, "")


def test_flows_of_a_file(short_directory: Path) -> None:
    """ovs-dpctl names to the switch the file that it is to read; the original reads it itself."""
    lost = Lost(True, short_directory / "o")
    said = "ovs-dpctl: x: open failed (No such file or directory)\n"
    assert lost.run("ovs-dpctl", "add-flows", "dp", "x") == (1, said)
