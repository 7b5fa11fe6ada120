"""A transaction costs what it touches: as many function calls in a large database as in a small one."""

import itertools
import json
import sys
import uuid
from types import FrameType
from typing import Any

import pytest

from trunkline.base.clock import ManualClock
from trunkline.base.json import loads
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.server import Server

DB = "Open_vSwitch"


class Lab:
    """A server with a bridge of `size` ports, a client, and a monitor of another client."""

    def __init__(self, size: int) -> None:
        numbers = itertools.count(1)
        own = Database(Schema.from_json(loads(schema_text("_Server"))))
        self.server = Server(ManualClock(), lambda: str(uuid.UUID(int=next(numbers))), own)
        self.server.add(Database(Schema.from_json(loads(schema_text(DB)))))
        self.client = self.server.connect("client")
        operations: list[Any] = []
        for n in range(size):
            interface = {"name": f"p{n}"}
            port = {"name": f"p{n}", "interfaces": ["named-uuid", f"i{n}"]}
            operations.append({"op": "insert", "table": "Interface", "uuid-name": f"i{n}", "row": interface})
            operations.append({"op": "insert", "table": "Port", "uuid-name": f"p{n}", "row": port})
        ports = ["set", [["named-uuid", f"p{n}"] for n in range(size)]]
        bridge = {"name": "br", "ports": ports}
        operations.append({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": bridge})
        root = {"bridges": ["named-uuid", "b"]}
        operations.append({"op": "insert", "table": "Open_vSwitch", "row": root})
        self.transact(operations)
        watcher = self.server.connect("watcher")
        columns = {"columns": ["name", "external_ids"]}
        request = [DB, "m", {"Interface": [columns], "Port": [columns]}]
        self.server.receive(watcher, json.dumps({"method": "monitor", "params": request, "id": 0}).encode())
        self.server.take_output()

    def transact(self, operations: list[Any]) -> list[Any]:
        request = {"method": "transact", "params": [DB, *operations], "id": 1}
        self.server.receive(self.client, json.dumps(request).encode())
        self.server.settle()
        output = dict(self.server.take_output())[self.client]
        results: list[Any] = json.loads(output)["result"]
        assert all(result is not None and "error" not in result for result in results), results
        return results

    def calls(self, operations: list[Any]) -> int:
        """How many functions, Python's and the interpreter's own, a transaction calls."""
        count = 0

        def counted(frame: FrameType, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            self.transact(operations)
        finally:
            sys.setprofile(None)
        return count


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return Lab(60), Lab(3000)


NAMED = [["name", "==", "p50"]]
NEW = ["map", [["a", "b"]]]
TRANSACTIONS: dict[str, list[Any]] = {
    "select": [{"op": "select", "table": "Port", "where": NAMED, "columns": ["name"]}],
    "update": [{"op": "update", "table": "Port", "where": NAMED, "row": {"external_ids": NEW}}],
    "mutate": [
        {"op": "mutate", "table": "Port", "where": NAMED, "mutations": [["external_ids", "insert", NEW]]}
    ],
    "wait": [
        {
            "op": "wait", "table": "Port", "where": NAMED, "columns": ["name"], "until": "==",
            "rows": [{"name": "p50"}], "timeout": 0,
        },
        {"op": "update", "table": "Interface", "where": NAMED, "row": {"type": "x"}},
    ],
    "insert": [{"op": "insert", "table": "QoS", "row": {"type": "x"}}],
    "insert what is collected": [{"op": "insert", "table": "Interface", "row": {"name": "new"}}],
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_the_size_of_the_database_costs_nothing(labs: tuple[Lab, Lab], name: str) -> None:
    for lab in labs:
        lab.calls(TRANSACTIONS[name])  # caches are filled
    small, large = (lab.calls(TRANSACTIONS[name]) for lab in labs)
    assert large <= small * 1.05 + 5


def test_a_scan_would_be_seen(labs: tuple[Lab, Lab]) -> None:
    scan = [{"op": "select", "table": "Port", "where": [["vlan_mode", "==", "trunk"]], "columns": ["name"]}]
    small, large = (lab.calls(scan) for lab in labs)
    assert large > small * 5
