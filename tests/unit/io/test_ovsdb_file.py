"""Database files on disk: locks, damaged tails, failed writes, replacement."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.transactions import SCHEMA
from trunkline.io.ovsdb_compaction import compaction
from trunkline.io.ovsdb_file import DatabaseFile, Lock, LockError, create_file, lock_path
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.errors import FileError, OvsdbError
from trunkline.ovsdb.log import change_record
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import execute

RICH = Schema.from_json(SCHEMA)


def insert(file: DatabaseFile, number: int) -> None:
    operation = {"op": "insert", "table": "Root", "row": {"name": f"n{number}", "i": number}}
    execution = execute(file.database, [operation], new_uuid=random_uuid)
    assert execution.changes
    record = change_record(file.database, execution.changes, "", 1)
    file.append([record])
    file.database.apply(execution.changes)


def names(file: DatabaseFile) -> set[str]:
    return {row["name"][0] for row in file.database.rows("Root").values()}


def test_a_damaged_tail_is_cut_off_by_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    insert(file, 1)
    insert(file, 2)
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    file = DatabaseFile.open(str(path))
    assert file.damage is not None
    assert "End of file" in str(file.damage)
    assert names(file) == {"n1"}
    assert path.read_bytes() == whole[:-7]
    insert(file, 3)
    file.sync()
    file.close()
    file = DatabaseFile.open(str(path))
    assert file.damage is None
    assert names(file) == {"n1", "n3"}
    file.close()


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    insert(file, 1)
    honest = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        honest(descriptor, data[:10], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OvsdbError, match="No space left on device"):
        insert(file, 2)
    monkeypatch.undo()
    assert names(file) == {"n1"}
    insert(file, 3)
    file.close()
    file = DatabaseFile.open(str(path))
    assert file.damage is None
    assert names(file) == {"n1", "n3"}
    file.close()


def test_locks_keep_others_and_ourselves_out(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    file = DatabaseFile.create(path, RICH)
    with pytest.raises(LockError, match="failed to lock lockfile"):
        Lock(path)
    program = (
        "import sys; from trunkline.io.ovsdb_file import *\n"
        "try: DatabaseFile.open(sys.argv[1])\n"
        "except LockError as error: print(error.warning)"
    )
    command = [sys.executable, "-c", program, path]
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"already locked by pid {os.getpid()}" in other.stdout
    file.close()
    assert not subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_lock_of_a_link_is_that_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/db")
    assert lock_path(str(tmp_path / "link")) == lock_path(str(tmp_path / "real" / "db"))


def test_compaction_keeps_rows_and_mode_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    for number in range(20):
        insert(file, number)
    path.chmod(0o600)
    before = path.stat().st_size
    for _ in compaction(file, "compacted", 1):
        pass
    assert path.stat().st_size < before
    assert path.stat().st_mode & 0o777 == 0o600
    insert(file, 50)
    file.close()
    file = DatabaseFile.open(str(path))
    assert names(file) == {f"n{number}" for number in (*range(20), 50)}
    file.close()
    assert sorted(os.listdir(tmp_path)) == [".db.~lock~", "db"]


def test_a_database_is_created_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "conf.db", tmp_path / "there" / "conf.db"
    link.symlink_to(file)
    create_file(str(link), [{"name": "x"}])
    assert link.is_symlink()
    assert file.stat().st_size > 0
    with pytest.raises(OvsdbError, match="create failed"):
        create_file(str(link), [])


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("written", [0, 1, 40, 100])
def test_every_error_of_a_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, written: int
) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    insert(file, 1)
    before = path.read_bytes()
    honest = os.pwrite
    calls = []

    def failing(descriptor: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        if len(calls) == 1 and written:
            return honest(descriptor, data[:written], offset)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(FileError, match=re.escape(f"write failed ({os.strerror(number)})")) as caught:
        insert(file, 2)
    assert not caught.value.fatal
    assert len(calls) == (2 if written else 1)
    assert path.read_bytes() == before
    monkeypatch.undo()
    insert(file, 3)
    file.sync()
    file.close()
    file = DatabaseFile.open(str(path))
    assert file.damage is None
    assert names(file) == {"n1", "n3"}
    file.close()


@pytest.mark.parametrize("call", ["fdatasync", "ftruncate"])
def test_what_cannot_be_taken_back_is_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = DatabaseFile.create(str(tmp_path / "db"), RICH)
    insert(file, 1)
    monkeypatch.setattr(os, call, failing)
    if call == "ftruncate":
        monkeypatch.setattr(os, "pwrite", failing)
    if call == "fdatasync":
        insert(file, 2)
    with pytest.raises(FileError) as caught:
        file.sync() if call == "fdatasync" else insert(file, 2)
    assert caught.value.fatal
    monkeypatch.undo()
    file.close()


@pytest.mark.parametrize("call", ["open", "write", "pwrite", "fsync", "rename"])
def test_a_replacement_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def failing(*_: object, **__: object) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    insert(file, 1)
    file.sync()
    before = path.read_bytes()
    used = []
    honest = getattr(os, call)
    monkeypatch.setattr(os, call, lambda *a, **k: used.append(a) or failing())
    said = ""
    try:
        for _ in compaction(file, "comment", 1):
            pass
    except OvsdbError as error:
        said = str(error)
    monkeypatch.undo()
    assert bool(used) == bool(said)
    if said:
        assert os.strerror(errno.EDQUOT) in said
        assert path.read_bytes() == before
    assert getattr(os, call) is honest
    insert(file, 2)
    file.sync()
    file.close()
    file = DatabaseFile.open(str(path))
    assert names(file) == {"n1", "n2"}
    file.close()
