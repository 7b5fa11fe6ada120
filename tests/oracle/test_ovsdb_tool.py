# ruff: noqa: E501  (tables of command lines and files)
"""ovsdb-tool and the original on the same command lines and the same files, whole and damaged."""

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from support.database_servers import OURS as SERVER
from support.originals import VSWITCH_SCHEMA, Originals, environment
from support.ovsdb_peer import Peer
from support.transactions import SCHEMA, Transactions
from trunkline.cli import ovsdb_tool
from trunkline.model.schemas import schema_path

pytestmark = pytest.mark.oracle

INSERT = {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br0"}}
TOP = {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}
COMMENT = {"op": "comment", "comment": "two\nlines"}


def ours(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output, errors of our tool, run in this process: its start is measured elsewhere."""
    out, err = io.StringIO(), io.StringIO()
    variables = {**environment(directory), "OVS_PKGDATADIR": "/usr/share/openvswitch"}
    with (
        mock.patch.dict(os.environ, variables),
        mock.patch("sys.argv", ["ovsdb-tool", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit_,
    ):
        ovsdb_tool.main()
    return int(exit_.value.code or 0), out.getvalue(), err.getvalue()


def plain(result: tuple[int, str, str]) -> tuple[int, str, str]:
    """Without what differs from run to run."""
    status, out, err = result
    out = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", out)
    out = re.sub(r"\b[0-9a-f]{8}\b", "SHORT", out)
    out = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "TIME", out)
    err = re.sub(r"\d{4}-\d\d-\d\dT\S+Z\|", "TIME|", err).replace("/usr/bin/ovsdb-tool:", "ovsdb-tool:")
    lines = [line for line in out.splitlines() if not line.startswith("Trunkline ")]
    return status, "\n".join(lines), err


def command_lines(schema: str) -> list[list[str]]:
    def transact(*operations: Any) -> list[str]:
        return ["transact", "db", json.dumps(["Open_vSwitch", *operations])]

    def update(**row: Any) -> list[str]:
        return transact({"op": "update", "table": "Bridge", "where": [], "row": row})

    return [
        ["create", "db", schema], ["create", "db", schema], ["create"], ["create", "x", "nope"],
        ["create", "/nope/x", schema], ["create", "a", "b", "c"], ["create", "x", "bad.json"], ["create", "x", "odd"],
        ["db-version"], ["db-version", "db"], ["db-version", "nope"], ["db-cksum"], ["db-name", "db"],
        ["schema-version"], ["schema-cksum"], ["schema-name", schema], ["schema-name", "db"],
        ["needs-conversion"], ["needs-conversion", "db", "rich.json"], ["needs-conversion", "db", "bad.json"],
        ["compare-versions", "1.2.3", "<", "1.2.4"], ["compare-versions", "1.10.3", "<", "1.2.4"],
        ["compare-versions", "1.2.3", "=", "1.2.4"], ["compare-versions", "1.2", "<", "1.2.4"],
        ["compare-versions", "1.2.3", ">=", "1.2.3"], ["compare-versions", "1.2.3", "!=", "x"], ["compare-versions"],
        ["foo"], [], ["--version"], ["help"], ["-h"], ["--bar"], ["--rbac-role"], ["-z"], ["query", "db"],
        ["query", "db", "[]"], ["query", "[]"], ["query", "db", '["x"]'], ["query", "db", "{}"], ["query", "db", "{"],
        ["query", "nope", '["Open_vSwitch"]'], ["query", "db", '["Open_vSwitch",5]'], ["query", "db", "x", "y"],
        transact(INSERT, TOP, COMMENT), update(stp_enable=True, external_ids=["map", [["a", "b c"]]]),
        update(flood_vlans=["set", [1, 2]]), update(flood_vlans=["set", [2, 3]]), update(datapath_version="x"),
        transact({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": ["set", []]}}, COMMENT),
        ["query", "db", json.dumps(["Open_vSwitch", {"op": "wait", "table": "Bridge", "where": [], "columns": [],
                                                     "until": "==", "rows": [{}]}])],
        *(["query", *rest] for _, *rest in (  # it writes nothing, and says so of what would change the file
            update(flood_vlans=["set", [5]]), update(flood_vlans=["set", [2, 3]]), transact(COMMENT),
            transact({"op": "insert", "table": "Bridge", "row": {"name": "unreferenced"}}), update(fail_mode="no"),
            transact({"op": "delete", "table": "Bridge", "where": []}, {"op": "abort"}),
            transact({"op": "delete", "table": "Open_vSwitch", "where": []}, {"op": "commit", "durable": True}),
        )),
        ["show-log", "db"], ["show-log"], ["show-log", "nope"], ["-m", "show-log", "db"],
        ["db-is-standalone", "db"], ["db-is-clustered", "db"], ["db-is-clustered", "nope"], ["db-is-standalone"],
        ["db-sid", "db"], ["db-cid", "db"], ["db-local-address", "db"],
        ["compact"], ["compact", "db"], ["compact", "db", "db2"], ["compact", "nope"], ["show-log", "db"],
        ["-mm", "show-log", "db"], ["convert", "db", "rich.json"], ["db-name", "db"], ["convert", "db"],
        ["convert", "db", schema, "db3"], ["db-version", "db3"], ["convert", "db", "bad.json"],
        *([command, "/"] for command in ("show-log", "db-name", "compact", "db-is-clustered")), ["transact", "/", '["x"]'],
        ["query", "/", '["x"]'], ["convert", "/", schema], ["create", "/", schema], ["create", "/nope/x", schema],
        ["--log-file", "db-name", "db"], ["--log-fi=x", "db-name", "db"], ["--syslog-method=null", "db-name", "db"],
        ["--syslog-target=127.0.0.1:1", "db-name", "db"], ["-vfoo", "db-name", "db"], ["--verbose=a:b"], ["-v", "db-name", "db"],
    ]  # fmt: skip


def test_commands(original: Originals, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for who in ("theirs", "mine"):
        directory = original.directory / who
        directory.mkdir()
        (directory / "bad.json").write_text("[1")
        (directory / "odd").write_text('{"name":"x"}')
        (directory / "rich.json").write_text(json.dumps(SCHEMA))
        monkeypatch.chdir(directory)
        found = []
        for arguments in command_lines(VSWITCH_SCHEMA):
            if who == "mine":
                result = ours(directory, *arguments)
            else:
                done = original.run("ovsdb-tool", *arguments, variables=environment(directory))
                result = done.returncode, done.stdout, done.stderr
            status, out, err = plain(result)
            found.append((arguments, status, out.replace(str(directory), "DIR"), err))
        results.append(found)
    for mine, theirs in zip(results[1], results[0]):
        if "show-log" in mine[0]:  # the order of tables and columns is anybody's
            mine = (*mine[:2], sorted(mine[2].splitlines()), mine[3])
            theirs = (*theirs[:2], sorted(theirs[2].splitlines()), theirs[3])
        assert mine == theirs


BIN = str(Path(sys.executable).parent)
OURS = f"{BIN}/ovsdb-tool"


@pytest.mark.parametrize("umask", [0o000, 0o007, 0o022, 0o077])
def test_modes_of_new_files(original: Originals, umask: int) -> None:
    modes = []
    for program in ("/usr/bin/ovsdb-tool", OURS):
        directory = original.directory / f"{umask:o}{len(modes)}"
        directory.mkdir()
        variables = environment(directory)
        for words in (
            ["create", "db", VSWITCH_SCHEMA],
            ["compact", "db", "copy"],
            ["convert", "db", VSWITCH_SCHEMA, "new"],
        ):
            subprocess.run(
                [program, *words], cwd=directory, env=variables, umask=umask, check=True, timeout=30
            )
        modes.append({path.name: path.stat().st_mode for path in directory.iterdir()})
    assert modes[0] == modes[1]
    assert len(modes[0]) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT")
def test_without_the_right_to_lock(original: Originals) -> None:
    """A lock file that cannot be made: what is logged, and the reason given."""
    said = []
    for name, program in (("theirs", "/usr/bin/ovsdb-tool"), ("mine", None)):
        directory = original.directory / name
        directory.mkdir()
        subprocess.run(["/usr/bin/ovsdb-tool", "create", "db", VSWITCH_SCHEMA], cwd=directory, check=True)
        (directory / ".db.~lock~").unlink()
        (directory / "db").chmod(0o644)
        directory.chmod(0o755)
        for parent in (original.directory, *original.directory.parents):
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        for words in (["create", "x", VSWITCH_SCHEMA], ["transact", "db", '["Open_vSwitch"]'], ["compact", "db"],
                      ["compact", "db", "/nope/x"], ["query", "db", '["Open_vSwitch"]']):  # fmt: skip
            code = (
                _AS_NOBODY
                if program is None
                else f"{_DROP}; os.execv({program!r}, ['ovsdb-tool', *sys.argv[1:]])"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, *words],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=30,
            )
            said.append((name, words, *plain((done.returncode, done.stdout, done.stderr))))
    half = len(said) // 2
    assert [one[1:] for one in said[:half]] == [one[1:] for one in said[half:]]
    assert "Resource temporarily unavailable" in said[0][4]


_DROP = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
_AS_NOBODY = (
    "from trunkline.daemons.preload import preload; preload(); import trunkline.cli.ovsdb_tool as tool; "
    f"import trunkline.cli.ovsdb_tool.commands; {_DROP}; tool.main()"
)


def record(
    body: bytes, magic: bytes = b"JSON", digest: str | None = None, length: int | None = None
) -> bytes:
    digest = digest or hashlib.sha1(body).hexdigest()
    size = len(body) if length is None else length
    return b"OVSDB %s %d %s\n" % (magic, size, digest.encode()) + body


ROW = '{"Root":{"00000000-0000-0000-0000-000000000001":%s}}\n'
TAILS = {
    "nothing": b"", "header": b"OVSDB JS", "magic": record(b"{}\n", b"FOO"), "hash": record(b"{}\n", digest="0" * 40),
    "json": record(b"{]\n"), "array": record(b"[]\n"), "text": b"hello world\n", "short": record(b"{}\n", length=100),
    "table": record(b'{"_date":1,"Nope":{}}\n'), "object": record(b'{"_date":1,"Root":5}\n'),
    "column": record((ROW % '{"zz":5}').encode()), "value": record((ROW % '{"i":500}').encode()),
    "row": record((ROW % "5").encode()), "uuid": record(b'{"Root":{"zzz":{"i":5}}}\n'),
    "missing": record((ROW % "null").encode()), "index": record((ROW % '{"name":""}').encode()),
    "reference": record((ROW % '{"leaf":["uuid","00000000-0000-0000-0000-000000000077"]}').encode()),
    "date": record(b'{"_date":"x"}\n'), "length": b"OVSDB JSON xx " + b"0" * 40 + b"\n",
    "spaces": b"OVSDB  JSON 3 " + b"0" * 40 + b"\n", "huge": b"OVSDB JSON 99999999999999999999 " + b"0" * 40 + b"\n",
    "capitals": record(b"{}\n", digest=hashlib.sha1(b"{}\n").hexdigest().upper()), "no line end": record(b"{}"),
    "empty record": record(b"", length=0),
    "no table after one": record((ROW % '{"i":5}').encode()[:-2] + b',"name":17}\n'),
    "no table before one": record(b'{"name":17,' + (ROW % '{"i":5}').encode()[1:]),
    "no table beside none": record(b'{"Root":{},"_comment":5}\n'),
}  # fmt: skip


def test_damaged_files(original: Originals) -> None:
    directory = original.directory
    (directory / "rich.json").write_text(json.dumps(SCHEMA))
    original.run("ovsdb-tool", "create", str(directory / "db"), str(directory / "rich.json"))
    good = (directory / "db").read_bytes()
    files = {name: good + tail for name, tail in TAILS.items()}
    files |= {
        "empty": b"", "foreign": b"not a database\n", "cut": good[:-5], "no tables": record(b'{"name":"x"}\n'),
        "first json": record(b"{]\n"), "first array": record(b"[]\n"),
    }  # fmt: skip
    query = '["Rich",{"op":"select","table":"Few","where":[]}]'
    for name, data in files.items():
        path = directory / name.replace(" ", "-")
        path.write_bytes(data)
        for arguments in (
            ["query", str(path), query],
            ["-mm", "show-log", str(path)],
            ["db-is-standalone", str(path)],
        ):
            done = original.run("ovsdb-tool", *arguments)
            assert plain(ours(directory, *arguments)) == plain((done.returncode, done.stdout, done.stderr)), (
                name
            )


def test_the_original_server_holds_the_lock(original: Originals) -> None:
    original.start_database()
    peer = Peer(original.directory / "db.sock")
    path = str(original.directory / "conf.db")
    for arguments in (["compact", path], ["transact", path, '["Open_vSwitch"]']):
        done = original.run("ovsdb-tool", *arguments)
        assert plain(ours(original.directory, *arguments)) == plain(
            (done.returncode, done.stdout, done.stderr)
        )
        assert done.returncode == 1
    peer.close()


def test_log_of_the_original_with_many_changes(original: Originals) -> None:
    """What random transactions leave in a file shows alike."""
    directory = original.directory
    (directory / "rich.json").write_text(json.dumps(SCHEMA))
    original.run("ovsdb-tool", "create", str(directory / "db"), str(directory / "rich.json"))
    original.start(
        "ovsdb-server", f"{directory}/db", f"--remote=punix:{directory}/s", f"--unixctl={directory}/c"
    )
    peer = Peer(directory / "s")
    make = Transactions(SCHEMA, 1)
    for _ in range(300):
        peer.call("transact", ["Rich", *make.transaction()])
    peer.close()
    for arguments in (["show-log", f"{directory}/db"], ["-m", "show-log", f"{directory}/db"],
                      ["-mm", "show-log", f"{directory}/db"]):  # fmt: skip
        done = original.run("ovsdb-tool", *arguments)
        assert len(done.stdout) > 1000
        mine = ours(directory, *arguments)
        assert sorted(mine[1].splitlines()) == sorted(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("name", "installed"),
    [
        ("Open_vSwitch", VSWITCH_SCHEMA),
        ("hardware_vtep", "/usr/share/openvswitch/vtep.ovsschema"),
        ("Local_Config", "/usr/share/openvswitch/local-config.ovsschema"),
    ],
)
def test_the_schemas_of_the_package_are_those_of_the_original(
    original: Originals, name: str, installed: str
) -> None:
    database = original.directory / "db"
    assert ours(original.directory, "create", str(database), schema_path(name)) == (0, "", "")
    assert original.run("ovsdb-tool", "needs-conversion", str(database), installed).stdout == "no\n"
    assert original.run("ovsdb-tool", "db-cksum", str(database)).stdout == (
        original.run("ovsdb-tool", "schema-cksum", installed).stdout
    )


def test_without_any_installation_the_default_schema_is_the_package_s(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OVS_PKGDATADIR", raising=False)
    monkeypatch.setenv("OVS_DBDIR", str(short_directory))
    for arguments in (["create"], ["needs-conversion"]):
        monkeypatch.setattr("sys.argv", ["ovsdb-tool", *arguments])
        with pytest.raises(SystemExit):
            ovsdb_tool.main()
    assert capsys.readouterr() == ("no\n", "")
    assert (short_directory / "conf.db").stat().st_mode & 0o777 == 0o640


SAME = (
    "db-name", "schema-name", "db-is-clustered", "db-is-standalone", "db-cid", "db-sid", "db-local-address",
    "db-version", "db-cksum", "schema-version", "schema-cksum", "compact", "convert", "needs-conversion",
)  # fmt: skip


def test_clustered_files(original: Originals) -> None:
    """What can be said of them is said as by the original; the rest is refused, and they stay as they are."""
    directory = original.directory
    file = directory / "c.db"
    made = original.run("ovsdb-tool", "create-cluster", str(file), VSWITCH_SCHEMA, "tcp:127.0.0.1:6700")
    assert made.returncode == 0, made.stderr
    (directory / "empty").touch()
    before = file.read_bytes()
    for command in SAME:
        words = [command, str(file), *([VSWITCH_SCHEMA] if "conver" in command else [])]
        theirs = original.run("ovsdb-tool", *words)
        assert plain(ours(directory, *words)) == plain((theirs.returncode, theirs.stdout, theirs.stderr)), (
            words
        )
    for words in (
        ["query", str(file), '["Open_vSwitch"]'],
        ["transact", str(file), '["Open_vSwitch"]'],
        ["check-cluster", str(directory / "empty")],
    ):
        theirs = original.run("ovsdb-tool", *words)
        assert plain(ours(directory, *words)) == plain((theirs.returncode, theirs.stdout, theirs.stderr)), (
            words
        )
    new = str(directory / "new.db")
    for words in (
        ["show-log", str(file)],
        ["check-cluster", str(file)],
        ["cluster-to-standalone", new, str(file)],
        ["create-cluster", new, VSWITCH_SCHEMA, "tcp:127.0.0.1:6701"],
        ["join-cluster", new, "Open_vSwitch", "tcp:127.0.0.1:6701", "tcp:127.0.0.1:6700"],
    ):
        status, out, error = ours(directory, *words)
        assert (status, out) == (1, "")
        assert "not implemented" in error, words
    assert not os.path.exists(new)
    assert file.read_bytes() == before


def test_a_server_refuses_a_clustered_file(original: Originals) -> None:
    file = original.directory / "c.db"
    original.run("ovsdb-tool", "create-cluster", str(file), VSWITCH_SCHEMA, "tcp:127.0.0.1:6700")
    done = subprocess.run(
        [SERVER, "c.db", "--unixctl=none", "--run=true"],
        cwd=original.directory,
        env=environment(original.directory),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ovsdb-server: ovsdb error: c.db: clustered databases are not implemented")


def test_what_differs_from_a_default_that_is_not_empty(tmp_path: Path) -> None:
    """Both programs read what ours writes; the original reads what it writes itself as something else."""
    column = {"key": {"type": "string"}, "max": 2}
    schema = {
        "name": "Z",
        "version": "1.0.0",
        "tables": {"T": {"isRoot": True, "columns": {"b": {"type": column}}}},
    }
    (tmp_path / "schema").write_text(json.dumps(schema))
    select = json.dumps(["Z", {"op": "select", "table": "T", "where": [], "columns": ["b"]}])
    found = {}
    for writer in ("/usr/bin", BIN):
        file = f"{tmp_path}/{writer.replace('/', '_')}"
        subprocess.run(["ovsdb-tool", "create", file, tmp_path / "schema"], check=True)
        for operation in ({"op": "insert", "row": {}}, {"op": "update", "where": [], "row": {"b": "q"}}):
            transaction = json.dumps(["Z", {"table": "T", **operation}])
            subprocess.run(
                [f"{writer}/ovsdb-tool", "transact", file, transaction], check=True, capture_output=True
            )
        for reader in ("/usr/bin", BIN):
            words = [f"{reader}/ovsdb-tool", "query", file, select]
            found[writer, reader] = json.loads(subprocess.check_output(words))[0]["rows"]
    right, wrong = [{"b": "q"}], [{"b": ["set", ["", "q"]]}]
    assert found.pop(("/usr/bin", "/usr/bin")) == wrong
    assert all(rows == right for rows in found.values()), found
