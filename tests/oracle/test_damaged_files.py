"""Files cut off or changed at every byte of their last records: the servers keep the same rows, say the same,
and go on writing the same way.

One running server each opens them all, one after the other (``ovsdb-server/add-db``).
"""

# ruff: noqa: E501

import json
import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.database_servers import ORIGINAL, OURS, Client, Running
from trunkline.io.ovsdb_file import DatabaseFile, create_file, load_file
from trunkline.io.uuids import uuid_text
from trunkline.ovsdb.log import change_record
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.transaction import execute

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="the original is not installed"),
]

COLUMNS = {
    "name": {"type": "string"},
    "tags": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
}
SCHEMA = {"name": "D", "version": "1.0.0", "tables": {"T": {"columns": COLUMNS, "isRoot": True}}}


def written(path: Path) -> tuple[bytes, int]:
    """A file with four commits, and where its second-last record begins."""
    draw = random.Random(1)
    create_file(str(path), [Schema.from_json(SCHEMA).to_json()])
    file = DatabaseFile.open(str(path))
    sizes = []
    for operation in (
        {"op": "insert", "table": "T", "row": {"name": "one", "tags": ["set", ["a", "b"]]}},
        {"op": "insert", "table": "T", "row": {"name": "two"}},
        {"op": "mutate", "table": "T", "where": [], "mutations": [["tags", "insert", "c"]]},
        {"op": "delete", "table": "T", "where": [["name", "==", "two"]]},
    ):
        sizes.append(file.size)
        done = execute(file.database, [operation], new_uuid=lambda: uuid_text(draw.getrandbits(128)))
        assert done.changes
        record = change_record(file.database, done.changes, "comment", 1_700_000_000_000)
        file.append([record])
        file.database.apply(done.changes)
    file.close()
    return path.read_bytes(), sizes[-2]


class Opener:
    """A running server and what it makes of files."""

    def __init__(self, program: str) -> None:
        self.server = Running(program)
        self.client = Client(self.server)
        assert self.client.call("set_db_change_aware", [True])[-1]["result"] == {}
        self.control = socket.socket(socket.AF_UNIX)
        name = Path(program).name
        self.control.settimeout(10)
        self.control.connect(f"{self.server.directory}/{name}.{self.server.process.pid}.ctl")
        self.command("vlog/disable-rate-limit")
        self.log = Path(self.server.directory, "log").open(errors="surrogateescape")  # noqa: SIM115
        self.path = f"{self.server.directory}/d.db"

    def command(self, *words: str) -> Any:
        request = {"method": words[0], "params": list(words[1:]), "id": 0}
        self.control.sendall(json.dumps(request).encode())
        buffer = ""
        while True:
            buffer += self.control.recv(1 << 16).decode()
            try:
                reply = json.loads(buffer)
            except ValueError:
                continue
            return [reply.get("result"), self.shown(reply.get("error"))]

    def shown(self, text: str | None) -> str | None:
        return None if text is None else text.replace(self.server.directory, "DIR")

    def outcome(self, data: bytes) -> Any:
        """What happens with a file of these contents."""
        Path(self.path).write_bytes(data)
        self.log.read()
        said = [self.command("ovsdb-server/add-db", self.path)]
        if said[0][1] is None:
            select = {"op": "select", "table": "T", "where": [], "columns": ["name", "tags"]}
            rows = self.client.call("transact", ["D", select])[-1]["result"][0]["rows"]
            said.append(sorted(json.dumps(row) for row in rows))
            said.append(Path(self.path).read_bytes() == data)  # reading changes nothing
            insert = {"op": "insert", "table": "T", "row": {"name": "after"}}
            assert len(self.client.call("transact", ["D", insert])[-1]["result"]) == 1
            said.append(self.command("ovsdb-server/remove-db", "D"))
            database, _, damage = load_file(self.path)
            said += [sorted(row["name"][0] for row in database.rows("T").values()), str(damage)]
        lines = [re.sub(r"^[^|]*\|[^|]*\|", "", line) for line in self.log.read().splitlines()]
        # The original says it again in each turn of its loop until it writes.
        said.append(sorted({str(self.shown(line)) for line in lines if "|WARN|" in line or "|ERR|" in line}))
        return said

    def close(self) -> None:
        for one in (self.client.socket, self.control, self.log):
            one.close()
        self.server.remove()


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Opener, Opener]]:
    openers = (Opener(OURS), Opener(ORIGINAL))
    yield openers
    for opener in openers:
        opener.close()


def different(both: tuple[Opener, Opener], files: list[tuple[str, bytes]]) -> list[Any]:
    found = [(what, both[0].outcome(data), both[1].outcome(data)) for what, data in files]
    return [one for one in found if one[1] != one[2]][:5]


def test_cut_off_at_every_byte(both: tuple[Opener, Opener], tmp_path: Path) -> None:
    data, start = written(tmp_path / "db")
    files = [(f"cut at {place}", data[:place]) for place in range(start, len(data) + 1)]
    assert not different(both, files)


def test_one_byte_changed(both: tuple[Opener, Opener], tmp_path: Path) -> None:
    draw = random.Random(2)
    data, start = written(tmp_path / "db")
    files = []
    for place in range(start, len(data)):
        byte = draw.choice([data[place] ^ 1 << draw.randrange(8), 0, 0x20, 0x0A, 0xFF, 0x31])
        if byte != data[place]:
            files.append((f"{byte:02x} at {place}", data[:place] + bytes((byte,)) + data[place + 1 :]))
    assert not different(both, files)


def test_other_ends(both: tuple[Opener, Opener], tmp_path: Path) -> None:
    data, start = written(tmp_path / "db")
    tails = (
        b"\n", b"\0" * 512, b"garbage", b"OVSDB JSON", b"OVSDB JSON 0 da39a3ee5e6b4b0d3255bfef95601890afd80709\n",
        b"OVSDB CLUSTER 3 0000000000000000000000000000000000000000\n{}\n", data[start:], data[-100:],
        b"OVSDB JSON 99999999999999999999 da39a3ee5e6b4b0d3255bfef95601890afd80709\n{}\n",
        b"OVSDB JSON 4000000000 da39a3ee5e6b4b0d3255bfef95601890afd80709\n{}\n",
        b"OVSDB JSONX 2 bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f\n{}\n",
        b"OVSDB JSON -1 da39a3ee5e6b4b0d3255bfef95601890afd80709\n{}\n", b"x" * 300,
    )  # fmt: skip
    files = [(repr(tail[:20]), data + tail) for tail in tails]
    numbers = "-3 +3 007 -0 9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551613"
    for number in [*numbers.split(), "18446744073709551615", "18446744073709551616", "-18446744073709551616"]:
        end = f"OVSDB JSON {number} da39a3ee5e6b4b0d3255bfef95601890afd80709\nabc".encode()
        files += [(f"length {number}", data + end), (f"first length {number}", end)]
    files += [(f"only {size}", data[:size]) for size in (0, 1, 6, 11, 20, 60, 100)]
    assert not different(both, files)
