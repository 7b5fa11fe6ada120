# ruff: noqa: E501  (tables of command lines)
"""What ovsdb-tool writes to: targets that exist, are no databases, links, sockets, locked, without space."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oracle.test_ovsdb_tool import ours, plain
from support.database_servers import ORIGINAL, Running
from support.database_servers import OURS as OURS_SERVER
from support.originals import PROGRAMS, Originals, environment

pytestmark = pytest.mark.oracle

TABLES = {"Cage": {"isRoot": True, "columns": {"label": {"type": "string"}}}}
SCHEMA = {"name": "Zoo", "version": "1.0.0", "tables": TABLES}
OTHER = {**SCHEMA, "version": "2.0.0"}
ROW = '{"op":"insert","table":"Cage","row":{"label":"x"}}'
OURS = str(Path(sys.executable).parent / "ovsdb-tool")


def _header(magic: bytes, body: bytes = b'{"a":1}\n') -> bytes:
    return b"OVSDB %s %d %s\n" % (magic, len(body), hashlib.sha1(body).hexdigest().encode()) + body


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


# What may stand where a command is to write: made at `path`, beside a database "db".
THINGS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "text": lambda path: path.write_text("two\nlines\n"),
    "binary": lambda path: path.write_bytes(b"\x7fELF\x00\xff" * 40),
    "empty": lambda path: path.touch(),
    "database": lambda path: shutil.copy("db", path),
    "half": lambda path: path.write_bytes(Path("db").read_bytes()[:-20]),
    "tail": lambda path: path.write_bytes(Path("db").read_bytes() + b"junk\n"),
    "header": lambda path: path.write_bytes(b"OVSDB JSON xx\n"),
    "checksum": lambda path: path.write_bytes(b"OVSDB JSON 3 %s\n{}\n" % (b"a" * 40)),
    "cluster": lambda path: path.write_bytes(_header(b"CLUSTER")),
    "other magic": lambda path: path.write_bytes(_header(b"XYZ")),
    "start": lambda path: path.write_bytes(b"OVS"),
    "directory": lambda path: path.mkdir(),
    "socket": _socket,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "dangling directory": lambda path: path.symlink_to("nowhere/db"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the database": lambda path: path.symlink_to("db"),
    "link to a text": lambda path: (Path("x").write_text("hi\n"), path.symlink_to("x")),
    "link to a link": lambda path: (
        shutil.copy("db", "x"),
        Path("y").symlink_to("./x"),
        path.symlink_to("y"),
    ),
}


def _fill(directory: Path) -> None:
    (directory / "schema").write_text(json.dumps(SCHEMA))
    (directory / "other").write_text(json.dumps(OTHER))
    for words in (["create", "db", "schema"], *(["transact", "db", f'["Zoo",{ROW}]'],) * 2):
        subprocess.run(
            [PROGRAMS["ovsdb-tool"], *words],
            cwd=directory,
            env=environment(directory),
            check=True,
            capture_output=True,
            timeout=30,
        )
    (directory / ".db.~lock~").unlink()


def _look(directory: Path) -> dict[str, object]:
    """Everything in a directory but lock files; of databases how many records they have."""
    found: dict[str, object] = {}
    for path in sorted(directory.iterdir()):
        if path.name.endswith(".~lock~"):
            continue
        if path.is_symlink():
            found[path.name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            data = path.read_bytes()
            records = data.count(b"OVSDB JSON ")
            found[path.name] = records or data
        else:
            found[path.name] = oct(path.stat().st_mode)[:-3]
    return found


class Both:
    """The same things done with the original and with ours, each in a directory of its own."""

    def __init__(self, original: Originals, monkeypatch: pytest.MonkeyPatch) -> None:
        self._original, self._monkeypatch = original, monkeypatch
        self._filled = original.directory / "filled"
        self._filled.mkdir()
        _fill(self._filled)
        self._count = 0

    def run(
        self, make: Callable[[], object], words: list[str]
    ) -> tuple[tuple[object, dict[str, object]], tuple[object, dict[str, object]]]:
        """What the original and ours said, and what they left behind."""
        results = []
        self._count += 1
        for who in ("theirs", "mine"):
            directory = self._original.directory / f"{who}{self._count}"
            shutil.copytree(self._filled, directory)
            self._monkeypatch.chdir(directory)
            make()
            if who == "mine":
                said = ours(directory, *words)
            else:
                done = self._original.run("ovsdb-tool", *words, variables=environment(directory))
                said = done.returncode, done.stdout, done.stderr
            status, out, err = plain(said)
            results.append(((status, out, err.replace(str(directory), "DIR")), _look(directory)))
            self._monkeypatch.chdir(self._original.directory)
            shutil.rmtree(directory)
        return results[0], results[1]


@pytest.fixture
def both(original: Originals, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(original, monkeypatch)


ONTO = [["compact", "db", "T"], ["convert", "db", "other", "T"], ["create", "T", "schema"]]
ITSELF = [
    ["compact", "T"],
    ["convert", "T", "other"],
    ["transact", "T", f'["Zoo",{ROW}]'],
    ["query", "T", '["Zoo"]'],
]


@pytest.mark.parametrize("words", ONTO + ITSELF, ids=" ".join)
def test_what_stands_at_the_target(both: Both, words: list[str]) -> None:
    for name, make in THINGS.items():
        theirs, mine = both.run(lambda make=make: make(Path("T")), words)  # type: ignore[misc]
        assert mine == theirs, name


@pytest.mark.parametrize("words", [["compact", "db"], ["convert", "db", "other"]], ids=" ".join)
def test_what_stands_at_the_temporary_name(both: Both, words: list[str]) -> None:
    for name, make in THINGS.items():
        theirs, mine = both.run(lambda make=make: make(Path("db.tmp")), words)  # type: ignore[misc]
        if name in ("dangling", "link to a link"):  # the original puts the link in the database's place
            assert (mine[0], mine[1]["db"]) == (theirs[0], 2), name
            assert theirs[1]["db"] != 2, name
            continue
        if name == "link to itself":  # it is found out once more
            theirs = ((1, "", str(theirs[0]).split("\\n")[1]), theirs[1])  # type: ignore[assignment]
            mine = ((1, "", str(mine[0]).split("\\n")[1]), mine[1])  # type: ignore[assignment]
        assert mine == theirs, name


def test_two_things_are_wrong(both: Both) -> None:
    for source in ("nothing", "text", "half", "directory", "cluster", "dangling"):
        for target in ("nothing", "text", "directory", "dangling directory", "socket"):
            for words in (["compact", "S", "T"], ["convert", "S", "nope", "T"], ["create", "T", "nope"]):
                theirs, mine = both.run(
                    lambda s=source, t=target: (THINGS[s](Path("S")), THINGS[t](Path("T"))),  # type: ignore[misc]
                    words,
                )
                assert mine == theirs, (source, target)


def test_names(both: Both) -> None:
    """The database as its own target, names that cannot be, ways through directories that are links."""
    for words in (
        ["compact", "db", "db"], ["compact", "db", "./db"], ["compact", "db", ""], ["convert", "db", "other", "db"],
        ["convert", "db", "other", "other"], ["compact", "db", "schema"], ["create", "", "schema"], ["compact", ""],
        ["compact", "", "T"], ["convert", "db", "", "T"], ["query", "", '["Zoo"]'], ["transact", "", '["Zoo"]'],
        ["compact", "db", "nope/x"], ["compact", "db", "db/x"], ["compact", "db/x"], ["create", "db/x", "schema"],
        ["transact", "db/", '["Zoo"]'], ["create", "T/", "schema"], ["compact", "db", "x" * 246],
        ["compact", "db", "x" * 250], ["create", "x" * 256, "schema"], ["compact", "sub/T"], ["compact", "way/T"],
        ["compact", "db", "way/T"], ["compact", "db", "way/new"], ["create", "way/new", "schema"],
        ["transact", "way/T", f'["Zoo",{ROW}]'],
    ):  # fmt: skip
        theirs, mine = both.run(
            lambda: (Path("sub").mkdir(), Path("sub/T").symlink_to("../db"), Path("way").symlink_to("sub")),
            words,
        )
        assert mine == theirs, words


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The database at `path` is somebody else's."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    words = [sys.executable, "-c", code]
    holder = subprocess.Popen([*words, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        holder.stdout.readline()
        yield
    finally:
        holder.communicate(b"\n", timeout=30)


def test_what_is_locked_is_not_overwritten(original: Originals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that a server serves may be anybody's target by a slip: also its own."""
    directory = original.directory / "held"
    directory.mkdir()
    _fill(directory)
    monkeypatch.chdir(directory)
    shutil.copy("db", "T")
    shutil.copy("db", "T.tmp")
    before = _look(directory)
    for held in ("db", "T", "T.tmp"):
        with _locked(directory / f".{held}.~lock~"):
            for words in (
                ["compact", held, held], ["compact", "db", f"./{held}"], ["convert", "db", "other", held],
                ["create", held, "schema"], ["transact", held, f'["Zoo",{ROW}]'],
                ["compact", held.removesuffix(".tmp")], ["convert", held.removesuffix(".tmp"), "other"],
            ):  # fmt: skip
                done = original.run("ovsdb-tool", *words, variables=environment(directory))
                theirs = plain((done.returncode, done.stdout, done.stderr))
                assert _look(directory) == before, words
                assert plain(ours(directory, *words)) == theirs, (held, words)
                assert theirs[0] == 1, words
                assert _look(directory) == before, words


def test_what_is_no_file_stays(original: Originals, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original waits for a writer of a pipe, and removes devices."""
    directory = original.directory / "pipe"
    directory.mkdir()
    _fill(directory)
    monkeypatch.chdir(directory)
    os.mkfifo("T")
    os.link("db", "hard")
    for words in (["compact", "db", "T"], ["convert", "db", "other", "T"]):
        assert ours(directory, *words) == (1, "", "ovsdb-tool: ovsdb error: T: not a regular file\n")
    os.rename("T", "db.tmp")
    for words in (["compact", "db"], ["convert", "db", "other"]):
        assert ours(directory, *words) == (1, "", "ovsdb-tool: ovsdb error: db.tmp: not a regular file\n")
    os.rename("db.tmp", "T")
    assert ours(directory, "compact", "db", "hard") == (0, "", "")  # one of two names of the database
    assert _look(directory) == {"T": "0o10", "db": 3, "hard": 2, **_texts(directory)}


def _texts(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in ("schema", "other")}


def _small_files() -> None:
    """For a child: no file may be longer than a kilobyte."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))


def test_no_space(original: Originals) -> None:
    """Every command that writes, with room for a kilobyte: what is said, and that what was there stays."""
    long = json.dumps(["Zoo", {"op": "insert", "table": "Cage", "row": {"label": "y" * 2000}}])
    said = []
    for program in (PROGRAMS["ovsdb-tool"], OURS):
        directory = original.directory / f"full{len(said)}"
        directory.mkdir()
        _fill(directory)
        variables = environment(directory)
        tables = {**TABLES, **{f"T{number}": TABLES["Cage"] for number in range(40)}}
        (directory / "large").write_text(json.dumps({**SCHEMA, "tables": tables}))
        words = [program, "transact", "db", long]
        subprocess.run(words, cwd=directory, env=variables, check=True, capture_output=True, timeout=30)
        small = directory / "small"
        subprocess.run(
            [program, "create", small, "schema"], cwd=directory, env=variables, check=True, timeout=30
        )
        before = _look(directory)
        results = []
        for words in (
            ["transact", "small", long], ["create", "new", "large"], ["compact", "db"], ["compact", str(directory / "db")],
            ["compact", "db", "new2"], ["convert", "db", "other"], ["convert", "db", "other", "new3"], ["compact", "db", "small"],
        ):  # fmt: skip
            done = subprocess.run(
                [program, *words], cwd=directory, env=variables, capture_output=True, text=True, timeout=30,
                preexec_fn=_small_files,
            )  # fmt: skip
            shown = [text.replace(str(directory), "DIR") for text in (done.stdout, done.stderr)]
            results.append((words[:1], *plain((done.returncode, shown[0], shown[1]))))
        if program == OURS:
            assert _look(directory) == before
        said.append(results)
    assert said[1] == said[0]
    assert said[0][0][1] == 0
    assert "File too large" in said[0][0][2]


def test_a_database_is_added_once() -> None:
    """By whatever name: a link, another hard link, a way through a directory that is a link."""
    said = []
    for program in (ORIGINAL, OURS_SERVER):
        server = Running(program)
        try:
            directory = Path(server.directory)
            (directory / "link").symlink_to("conf.db")
            os.link(directory / "conf.db", directory / "hard")
            (directory / "way").symlink_to(".")
            names = ("link", "hard", "way/conf.db", "./conf.db", "conf.db", "way/../conf.db", "way/nope")
            said.append([server.control("ovsdb-server/add-db", f"{directory}/{name}") for name in names])
        finally:
            server.remove()
    assert said[1] == said[0]
    assert {status for status, _ in said[0]} == {2}


def test_a_socket_takes_the_place_of_a_socket_only(original: Originals) -> None:
    """What stands where a control socket or a passive remote is to be: the original removes files, too."""
    directory = original.directory
    _fill(directory)

    def run(program: str, *options: str) -> tuple[int, str]:
        words = [program, *options, "--run=true", "db"]
        done = subprocess.run(
            words, cwd=directory, env=environment(directory), capture_output=True, text=True, timeout=60
        )
        said = re.sub(r"\S+Z\|", "TIME|", done.stderr).replace("/usr/sbin/", "")
        return done.returncode, said.replace(str(directory), "DIR")

    with _working_in(directory):
        for name, kind in (("one", "text"), ("two", "link to a text")):
            THINGS[kind](Path(name))
            before = _look(directory)
            status, said = run(OURS_SERVER, f"--unixctl={name}")
            assert (status, _look(directory)) == (1, before)
            assert said.endswith(
                f"ovsdb-server: DIR/{name}: could not initialize control socket (File exists)\n"
            )
            assert f"|WARN|DIR/{name}: in the way of a socket, and none itself: not removed\n" in said
        status, said = run(OURS_SERVER, "--unixctl=none", "--remote=punix:one")
        assert (status, _look(directory)) == (0, before)
        assert said.endswith("|ERR|punix:one: listen failed: File exists\n")
        for name in ("directory", "dangling"):
            THINGS[name](Path(name))
            theirs = run(ORIGINAL, f"--unixctl={name}")
            if name == "dangling":
                THINGS[name](Path(name))  # which it has removed
            assert run(OURS_SERVER, f"--unixctl={name}") == theirs, name
        for option in ("--unixctl=", "--pidfile=", "--log-file="):
            theirs = run(ORIGINAL, option)
            assert run(OURS_SERVER, option) == theirs, option
            assert theirs[0] == 1


@contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
