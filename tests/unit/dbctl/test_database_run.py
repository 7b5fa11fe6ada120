"""A run begins again when somebody else was quicker; and a tool's start stays lean."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from trunkline.base.clock import ManualClock
from trunkline.base.log import Log
from trunkline.cli.database_tool import packaged_schema
from trunkline.dbctl.database_commands import DATABASE_COMMANDS
from trunkline.dbctl.grammar import parse_commands
from trunkline.dbctl.names import Lookup
from trunkline.dbctl.run import Settings, Tool, run

BRIDGE = "11111111-2222-3333-4444-555555555555"
HEAVY = {
    "asyncio",
    "dataclasses",
    "inspect",
    "argparse",
    "logging",
    "json",
    "pyroute2",
    "ssl",
    "importlib.resources",
}


class Server:
    """A database of one bridge, whose `ports` another client changes before the first commit."""

    def __init__(self) -> None:
        self.fail_mode = "secure"
        self.commits: list[list[Any]] = []

    def transact(self, operations: Sequence[Any]) -> list[Any]:
        if all(operation["op"] == "select" for operation in operations):
            row = {"_uuid": ["uuid", BRIDGE], "name": "br0", "fail_mode": self.fail_mode}
            return [{"rows": [row]} for _ in operations]
        self.commits.append(list(operations))
        if len(self.commits) == 1:
            self.fail_mode = "standalone"
            return [{"error": "timed out", "details": "..."}]
        return [{} for _ in operations]

    def change(self, tables: Sequence[str]) -> None:
        raise AssertionError("nothing waits here")


def test_a_failed_wait_begins_again_with_fresh_reads() -> None:
    tool = Tool("tool", "tool", packaged_schema("vswitch.ovsschema"), {"Bridge": (Lookup("name"),)})
    words = ["get", "bridge", "br0", "fail_mode", "--", "set", "bridge", "br0", "datapath_type=x"]
    words += ["other_config:a=b"]
    commands = parse_commands(words, [], {command.name: command for command in DATABASE_COMMANDS})
    server = Server()
    log = Log("tool", ManualClock())
    outcome = run(tool, commands, server, log, lambda: BRIDGE[::-1], Settings("comment"))
    assert outcome.calls[0].output == ["standalone\n"]
    waits = [
        [o for o in commit if o["op"] == "wait" and "fail_mode" in o["columns"]] for commit in server.commits
    ]
    assert [[wait["rows"] for wait in one] for one in waits] == [
        [[{"fail_mode": "secure"}]],
        [[{"fail_mode": "standalone"}]],
    ]


def test_a_tool_imports_little() -> None:
    program = "import sys; from trunkline.cli.ovs_vsctl.profile import PROFILE; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)
