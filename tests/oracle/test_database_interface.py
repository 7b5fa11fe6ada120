"""The table of the database programs' interface names all that the originals have and says what ours does."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from support.database_servers import BIN, ORIGINAL, OURS, Running
from trunkline.model.database_interface import ENTRIES, Entry, Kind, State
from trunkline.ovsdb.methods import METHODS

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not Path(ORIGINAL).exists(), reason="needs the originals"),
]
ORIGINALS = {
    "ovsdb-server": ORIGINAL,
    "ovsdb-client": "/usr/bin/ovsdb-client",
    "ovsdb-tool": "/usr/bin/ovsdb-tool",
}
UNNAMED = {
    "ovsdb-client": {"--db-change-aware", "--no-db-change-aware", "--leader-only"},
    "ovsdb-tool": {"--option"},
}
"""Options that the originals know though neither manual page nor help names them."""
UNNAMED_COMMANDS = {"ovsdb-client": {"help"}, "ovsdb-tool": {"help", "list-commands"}}
NOTIFICATIONS = {"update", "update2", "update3", "locked", "stolen", "monitor_canceled"}


def entries(program: str, kind: Kind) -> dict[str, Entry]:
    found = [entry for entry in ENTRIES if (entry.program, entry.kind) == (program, kind)]
    names = Counter(name for entry in found for name in entry.names.split())
    assert not [name for name, count in names.items() if count > 1]
    return {name: entry for entry in found for name in entry.names.split()}


def page(name: str, section: str) -> str:
    variables = {**os.environ, "MANWIDTH": "500"}
    done = subprocess.run(["man", section, name], capture_output=True, text=True, env=variables)
    return re.sub(r".\x08", "", done.stdout)


def help_of(program: str) -> str:
    return subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20).stdout


def test_everything_that_differs_is_explained() -> None:
    assert not [entry for entry in ENTRIES if entry.state is not State.WORKS and not entry.note]


@pytest.mark.parametrize("program", ORIGINALS)
def test_options(program: str, tmp_path: Path) -> None:
    theirs = page(program, "1") + help_of(ORIGINALS[program])
    options = entries(program, Kind.OPTION)
    assert set(options) == set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", theirs)) | UNNAMED.get(
        program, set()
    )
    for name in UNNAMED.get(program, set()):
        done = subprocess.run(
            [ORIGINALS[program], name, "--help"], capture_output=True, text=True, timeout=20
        )
        assert "unrecognized" not in done.stderr, name
    variables = {**os.environ, "OVS_LOGDIR": str(tmp_path), "OVS_RUNDIR": str(tmp_path)}
    for name, entry in options.items():
        words = [str(BIN / program), name, "--help"]
        done = subprocess.run(words, capture_output=True, text=True, env=variables, timeout=20)
        if entry.state is not State.REFUSED:
            assert "unrecognized" not in done.stderr, name
        else:  # or the command that needs it, or the server when it starts
            assert program != "ovsdb-client" or done.returncode, name


@pytest.mark.parametrize("program", ["ovsdb-client", "ovsdb-tool"])
def test_commands(program: str) -> None:
    bare = rf"^\s*{program} (?:\[[^]]*\](?:\.\.\.)? ?)+\s*([a-z][a-z-]+)"
    found = set(re.findall(bare, page(program, "1"), re.MULTILINE))
    bare = r"^  (?:\[[^]]*\](?:\.\.\.)? )?([a-z]+-?[a-z-]*)(?= |$)"
    found |= set(re.findall(bare, help_of(ORIGINALS[program]), re.MULTILINE))
    commands = entries(program, Kind.COMMAND)
    assert set(commands) == found | UNNAMED_COMMANDS[program]
    for name, entry in commands.items():
        words = [str(BIN / program), name, *["x"] * 4]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        if entry.state is not State.REFUSED:
            assert "unknown command" not in done.stderr, name
        else:
            assert done.returncode, name


def test_control_commands() -> None:
    listed = []
    for program in (ORIGINAL, OURS):
        server = Running(program)
        try:
            lines = server.control("list-commands")[1].splitlines()[1:]
            listed.append({line.split()[0] for line in lines})
        finally:
            server.remove()
    theirs, ours = listed
    theirs |= set(re.findall(r"^       (cluster/[a-z-]+)", page("ovsdb-server", "1"), re.MULTILINE))
    commands = entries("ovsdb-server", Kind.CONTROL)
    assert set(commands) == theirs
    assert ours >= {name for name, entry in commands.items() if entry.state is not State.REFUSED}
    assert not ours & {name for name, entry in commands.items() if entry.state is State.REFUSED}


def test_methods() -> None:
    methods = entries("ovsdb-server", Kind.METHOD)
    assert set(METHODS) | NOTIFICATIONS == set(methods)
    named = {"get_server_id", "set_db_change_aware", "convert"}  # headings of the others are their names
    headings = re.findall(r"^ {3}4\.1\.\d+ (.*)$", page("ovsdb-server", "7"), re.MULTILINE)
    for heading in headings:
        name = heading.removesuffix(" notification").lower()
        assert (
            name in methods
            or any(word.split("_")[0] in name or word in heading for word in named)
            or (heading in ("Monitor Cancellation", "Database Change Awareness", "Schema Conversion"))
        ), heading
