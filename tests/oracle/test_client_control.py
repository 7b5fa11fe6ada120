"""The control socket of an ovsdb-client in the background: the original's and ours, told the same."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.database_servers import BIN, DB, ORIGINAL, OURS, SCHEMA, Client, variables
from support.waiting import until
from trunkline.io.pidfile import read_pidfile

pytestmark = pytest.mark.oracle

CLIENTS = ("/usr/bin/ovsdb-client", str(BIN / "ovsdb-client"))
APPCTL = "/usr/bin/ovs-appctl"


def listens(path: str) -> bool:
    try:
        Client(path).close()
    except OSError:
        return False
    return True


class Background:
    """A client in the background on a server of its own with two bridges, a and c."""

    def __init__(self, client: str, *words: str) -> None:
        self.directory = tempfile.mkdtemp(prefix="cc")
        self.env = variables(self.directory)
        remote = f"unix:{self.directory}/s"
        database = f"{self.directory}/x.db"
        subprocess.run(["/usr/bin/ovsdb-tool", "create", database, SCHEMA], check=True, timeout=30)
        self.server = subprocess.Popen(
            [ORIGINAL, database, f"--remote=p{remote}", "--unixctl=none"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: listens(f"{self.directory}/s"))
        rows: list[object] = [
            {"op": "insert", "table": "Bridge", "row": {"name": name}, "uuid-name": name} for name in "ac"
        ]
        bridges = ["set", [["named-uuid", "a"], ["named-uuid", "c"]]]
        root = {"op": "insert", "table": DB, "row": {"bridges": bridges}}
        transact = [CLIENTS[0], "transact", remote, json.dumps([DB, *rows, root])]
        subprocess.run(transact, check=True, env=self.env, capture_output=True, timeout=30)
        self.pidfile = f"{self.directory}/client.pid"
        options = ["--detach", "--no-chdir", f"--pidfile={self.pidfile}"]
        with open(f"{self.directory}/out", "wb") as out:
            status = subprocess.run(
                [client, *options, words[0], remote, *words[1:]],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                timeout=60,
            ).returncode
        assert status == 0
        self.pid = read_pidfile(self.pidfile)
        self.socket = f"{self.directory}/ovsdb-client.{self.pid}.ctl"

    def tell(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [APPCTL, "-t", self.socket, *words], env=self.env, capture_output=True, text=True, timeout=30
        )
        return done.returncode, done.stdout, done.stderr.replace(self.socket, "SOCKET")

    def shown(self) -> str:
        """What it has printed, without the rows' ids."""
        text = Path(self.directory, "out").read_text()
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)

    def end(self) -> None:
        if os.path.exists(self.pidfile):
            os.kill(self.pid, signal.SIGKILL)
        self.server.kill()
        self.server.wait()
        shutil.rmtree(self.directory)


ODD = (["lock"], ["nonsense"], ["exit", "a"], ["ovsdb-client/block", "x"], ["ovsdb-client/cond_change", "x"])


def conditions(client: str) -> list[object]:
    here = Background(client, "monitor-cond", DB, '[["name","==","a"]]', "Bridge", "name")
    try:
        seen: list[object] = [here.tell(*words) for words in (["list-commands"], ["version"], *ODD)]
        seen.append(here.shown())
        where = json.dumps([["name", "==", "c"]])
        seen.append(here.tell("ovsdb-client/cond_change", "Bridge", where))
        until(lambda: "insert c" in here.shown() and "delete" in here.shown())
        for table, text in (
            ("Nope", where),
            ("Bridge", "["),
            ("Bridge", '[["nam","==","c"]]'),
            ("Bridge", "{}"),
        ):
            seen.append(here.tell("ovsdb-client/cond_change", table, text))
        seen.append(here.tell("ovsdb-client/block"))
        seen.append(here.tell("ovsdb-client/cond_change", "Bridge", "[]"))
        seen.append("insert a" in here.shown())
        seen.append(here.tell("ovsdb-client/unblock"))
        until(lambda: "insert a" in here.shown())
        seen.append(sorted(here.shown().splitlines()))
        seen.append(here.tell("exit"))
        until(lambda: not os.path.exists(here.pidfile) and not os.path.exists(here.socket))
        return seen
    finally:
        here.end()


def locks(client: str) -> list[object]:
    """Of answers that come together the original shows the last only, if it is no error: so each that is to
    be seen is waited for."""
    here = Background(client, "lock", "foo")
    try:

        def answered(locked: int, unlocked: int) -> None:
            wanted = '{"locked":true}\n' * locked + "{}\n" * unlocked
            until(lambda: here.shown() == wanted, lambda: (client, wanted, here.shown()))

        answered(1, 0)
        seen: list[object] = [here.tell(*words) for words in (["list-commands"], ["unlock"], *ODD[1:])]
        seen += [here.tell("lock", "foo"), here.tell("lock", "bar")]
        answered(2, 0)
        seen += [here.tell("lock", "bar"), here.tell("unlock", "no"), here.tell("steal", "me")]
        answered(3, 0)
        for count, name in ((1, "foo"), (2, "bar")):
            seen.append(here.tell("unlock", name))
            answered(3, count)
        os.kill(here.pid, signal.SIGTERM)
        until(lambda: not os.path.exists(here.pidfile) and not os.path.exists(here.socket))
        return seen
    finally:
        here.end()


@pytest.mark.parametrize("life", [conditions, locks])
def test_a_client_in_the_background_does_what_it_is_told(life: Callable[[str], list[object]]) -> None:
    theirs, mine = (life(client) for client in CLIENTS)
    assert theirs == mine


def test_a_lock_file_that_cannot_be_opened_costs_two_lines(tmp_path: Path) -> None:
    database = str(tmp_path / "x.db")
    subprocess.run(["/usr/bin/ovsdb-tool", "create", database, SCHEMA], check=True, timeout=30)
    lock = tmp_path / ".x.db.~lock~"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    seen = []
    for program in (ORIGINAL, OURS):
        done = subprocess.run(
            [program, database, "--unixctl=none"],
            env=variables(str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        seen.append([line.partition("|")[2] for line in done.stderr.splitlines() if "lockfile|" in line])
    assert seen[0] == seen[1]
    assert "failed to lock file: Is a directory" in seen[0][1]
