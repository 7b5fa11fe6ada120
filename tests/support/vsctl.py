"""Pairs of ovs-vsctl, the original and ours, each on an original database server of its own."""

import contextlib
import importlib
import io
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from support.originals import Originals

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\|\d+\|")


class Result(NamedTuple):
    status: int
    output: str
    errors: str


class _Capture(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)

    def text(self) -> str:
        self.flush()
        data = self.buffer.getvalue()  # type: ignore[attr-defined]
        assert isinstance(data, bytes)
        return data.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_ours(directory: Path, arguments: list[str], package: str = "ovs_vsctl") -> Result:
    """Our ovs-vsctl, or the tool of another package, in this process."""
    from trunkline.cli.database_tool import main

    profile = importlib.import_module(f"trunkline.cli.{package}.profile").PROFILE
    output, errors = _Capture(), _Capture()
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    keep = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = output, errors
    try:
        with _variables(dict.fromkeys(names, str(directory))):
            status = main(profile, arguments)
    finally:
        sys.stdout, sys.stderr = keep
    return Result(status, output.text(), errors.text())


def run_original(originals: Originals, arguments: list[str], tool: str = "ovs-vsctl") -> Result:
    done = originals.run_bytes(tool, *arguments)
    return Result(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape").replace(f"/usr/bin/{tool}:", f"{tool}:"),
    )


def same_form(text: str) -> str:
    """Without what differs by chance: times, uuids, and the order that follows from uuids."""
    text = TIME.sub("TIME|", UUID.sub("UUID", text)).replace("\\n", "\n").replace("Trunkline 0.1.0\n", "")
    return "\n".join(sorted(text.split("\n")))


# -- the contents of a database ----------------------------------------------------------------------------


def transact(target: Path, *operations: object, database: str = "Open_vSwitch") -> Any:
    """The results of one transaction, by a client that shares no code with the tools."""
    with socket.socket(socket.AF_UNIX) as connection:
        deadline = time.monotonic() + 20
        while connection.connect_ex(str(target)):  # it has a name before it listens
            assert time.monotonic() < deadline, f"nobody listens at {target}"
            time.sleep(0.02)
        request = {"method": "transact", "params": [database, *operations], "id": 1}
        connection.sendall(json.dumps(request).encode())
        data = b""
        while True:
            data += connection.recv(1 << 20)
            with contextlib.suppress(ValueError):
                return json.loads(data)["result"]


def contents(target: Path, tables: list[str], database: str = "Open_vSwitch") -> list[object]:
    """All rows in a form that does not depend on their uuids: references are replaced by what they refer
    to."""
    selects = [{"op": "select", "table": table, "where": []} for table in tables]
    results = transact(target, *selects, database=database)
    rows: dict[str, dict[str, Any]] = {}
    for table, result in zip(tables, results):
        for row in result["rows"]:
            uuid = row.pop("_uuid")[1]
            row.pop("_version")
            rows[uuid] = {"table": table, **row}
    labels = dict.fromkeys(rows, "")
    for _ in range(4):
        labels = {uuid: _label(row, labels) for uuid, row in rows.items()}
    return sorted(labels.values())


def _label(row: dict[str, Any], labels: Mapping[str, str]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 2:
            if value[0] == "uuid":
                return f"<{hash(labels.get(value[1], '?'))}>"
            if value[0] in ("set", "map"):
                return [value[0], sorted((plain(one) for one in value[1]), key=repr)]
            return [plain(value[0]), plain(value[1])]
        return value

    return repr({column: plain(value) for column, value in sorted(row.items())})
