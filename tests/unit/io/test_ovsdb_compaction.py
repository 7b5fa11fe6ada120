"""Compaction in steps: a crash after any of them loses nothing, whatever is committed in between."""

import os
import random
import shutil
from pathlib import Path

import pytest

from trunkline.daemons.ovsdb_compaction import COMMITS, LATEST, SIZE, SOONEST, State, is_due
from trunkline.io.ovsdb_compaction import compaction
from trunkline.io.ovsdb_file import DatabaseFile, load_file
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.log import change_record, format_record, snapshot_pieces, snapshot_record
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import execute

COLUMNS = {"name": {"type": "string"}, "i": {"type": "integer"}}
RICH = Schema.from_json(
    {"name": "T", "version": "1.0.0", "tables": {"Root": {"columns": COLUMNS, "isRoot": True}}}
)


def change(file: DatabaseFile, operation: dict[str, object]) -> None:
    execution = execute(file.database, [operation], new_uuid=random_uuid)  # type: ignore[list-item]
    assert execution.changes, execution.results
    file.append([change_record(file.database, execution.changes, "", 1)])
    file.database.apply(execution.changes)


def insert(file: DatabaseFile, number: int, filling: str = "") -> None:
    change(file, {"op": "insert", "table": "Root", "row": {"name": f"n{number}{filling}", "i": number}})


def numbers(path: Path | str) -> set[int]:
    database, _, damage = load_file(str(path))
    assert damage is None
    return {row["i"][0] for row in database.rows("Root").values()}


def test_every_step_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    for number in range(450):
        insert(file, number, "x" * 5000)
    inserted = 450
    before = path.stat().st_size
    steps = 0
    for _ in compaction(file, "compacting", 1):
        steps += 1
        insert(file, inserted)
        inserted += 1
        if steps % 3 == 0:
            change(file, {"op": "delete", "table": "Root", "where": [["i", "==", steps]]})
        copy = tmp_path / f"copy{steps}"  # what a crash now would leave
        shutil.copy(path, copy)
        assert numbers(copy) == {row["i"][0] for row in file.database.rows("Root").values()}
        copy.unlink()
    assert steps > 5
    insert(file, 10_000)
    wanted = {row["i"][0] for row in file.database.rows("Root").values()}
    assert wanted >= set(range(450, inserted)) | {10_000}
    file.close()
    assert numbers(path) == wanted
    assert path.stat().st_size < before
    assert sorted(os.listdir(tmp_path)) == [".db.~lock~", "db"]


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_compaction_that_is_given_up_changes_nothing(tmp_path: Path, after: int) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    for number in range(300):
        insert(file, number, "y" * 9000)
    steps = compaction(file, "compacting", 1)
    for _ in range(after):
        next(steps)
    insert(file, 999)
    steps.close()
    insert(file, 1000)
    file.close()
    assert numbers(path) == {*range(300), 999, 1000}
    assert sorted(os.listdir(tmp_path)) == [".db.~lock~", "db"]


def test_a_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    insert(file, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OvsdbError, match=r"db\.tmp: write failed"):
        list(compaction(file, "", 1))
    monkeypatch.undo()
    insert(file, 2)
    file.close()
    assert numbers(path) == {1, 2}
    assert sorted(os.listdir(tmp_path)) == [".db.~lock~", "db"]


def test_pieces_make_the_record_of_a_snapshot(tmp_path: Path) -> None:
    file = DatabaseFile.create(str(tmp_path / "db"), RICH)
    make = random.Random(1)
    for number in range(250):
        insert(file, number, make.choice(["", 'q"uote', "\u00fcml\\aut", "\u20ac\U0001f600"]))
    for comment in ("", "a comment"):
        whole = format_record(snapshot_record(file.database, comment, 17))
        assert b"".join(snapshot_pieces(file.database, comment, 17)) == whole.split(b"\n", 1)[1]
    file.close()


def test_the_compacted_size_is_found_when_a_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "db"
    file = DatabaseFile.create(str(path), RICH)
    assert file.compacted_size == path.stat().st_size
    for number in range(20):
        insert(file, number)
    list(compaction(file, "", 1))
    compacted = path.stat().st_size
    assert file.compacted_size == compacted
    assert file.commits == 0
    insert(file, 50)
    file.close()
    file = DatabaseFile.open(str(path))
    assert file.compacted_size == compacted
    assert file.size > compacted
    file.close()


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (State(SIZE, 1, COMMITS, SOONEST), True),
        (State(SIZE - 1, 1, COMMITS, SOONEST), False),
        (State(SIZE, SIZE // 2, COMMITS, SOONEST), False),
        (State(SIZE, 1, COMMITS - 1, SOONEST), False),
        (State(SIZE, 1, COMMITS, SOONEST - 1), False),
        (State(1, 1, COMMITS, LATEST), True),
        (State(1, 1, COMMITS - 1, LATEST), False),
    ],
)
def test_when_a_file_is_compacted_by_itself(state: State, due: bool) -> None:
    assert is_due(state) is due
