"""Logging options and commands against the original: same texts for the same specifications."""

import random
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support.control import Control, control_socket
from support.database_servers import OURS, Client
from support.originals import PROGRAMS, Originals, environment
from trunkline.base.clock import ManualClock
from trunkline.base.counters import Counters
from trunkline.base.log import DESTINATIONS, LEVELS, WARN, Log, LogError
from trunkline.daemons.commands import common_commands
from trunkline.jsonrpc.unixctl import CommandError, Commands
from trunkline.model.log_modules import MODULES, modules

pytestmark = pytest.mark.oracle

SEPARATORS = [":", ",", " ", "::", ", "]
PATTERNS = [
    "%A|%B|%c|%p|%t|%T|%N|%5N|%-5N|%05N|%-05N|x%%y|%m",
    "%10A|%-20A|%020A|%0A|%-A|%m|%q|%3x|",
    "%-010A|%0-5A|%-025A|%x%y%z|%3%",
    "é%m\\t%a%z|%{x}|%c{y}|%x{y}|%%{z}|%5{|%5x{a}b|",
    "%p{unfinished|%c{x}|%m{x}|%A{x}|%T{x}|%N{x}|%n{x}",
    "%30c|%-30c|%030p",
    "",
    "plain",
    "%n%m",
]


def ours() -> Commands:
    log, commands = Log("ovsdb-server", ManualClock(), modules("ovsdb-server")), Commands()
    for destination in DESTINATIONS:
        log.attach(destination, lambda level, line: None)
    commands.add(*common_commands("ovsdb-server", commands, log, Counters()))
    return commands


def answer(commands: Commands, name: str, *arguments: str) -> tuple[str, str]:
    try:
        text = commands.run(name, arguments)
    except CommandError as error:
        return "error", f"{error}\n"
    assert isinstance(text, str)
    return "result", text if text.endswith("\n") or not text else f"{text}\n"


def specifications(count: int) -> list[str]:
    dice = random.Random(3)
    words = [
        *LEVELS,
        *DESTINATIONS,
        "any",
        "nosuch",
        "jsonrpc",
        "ovsdb-server",
        "poll_loop",
        "POLL_LOOP",
        "of",
        "",
    ]
    words += [word.lower() for word in LEVELS]
    found = []
    for _ in range(count):
        chosen = [dice.choice(words) for _ in range(dice.randint(1, 4))]
        found.append(dice.choice(SEPARATORS).join(chosen))
    heads = ("PATTERN", "pattern", "FACILITY", "facility")
    tails = (
        "",
        ":",
        ":console",
        ":console:",
        ":nosuch:x",
        ":any:%m",
        ":CONSOLE:x:y",
        ":LOCAL3",
        ":daemon",
        ":foo",
    )
    return found + [head + tail for head in heads for tail in tails]


def test_vlog_commands(original: Originals) -> None:
    original.start_database()
    control = Control(control_socket(original.directory))
    commands = ours()
    for _ in range(2):
        for name in ("vlog/set",):
            assert control.ask(name, "info") == answer(commands, name, "info")
    for specification in specifications(400):
        asked = ("vlog/set", specification)
        assert control.ask(*asked) == answer(commands, *asked), specification
        assert control.ask("vlog/list") == answer(commands, "vlog/list"), specification
    assert control.ask("vlog/list-pattern") == answer(commands, "vlog/list-pattern")
    for arguments in (
        [],
        ["jsonrpc"],
        ["x"],
        ["any", "raft"],
        ["x", "raft"],
        ["raft", "x"],
        ["ANY"],
        ["raft,any"],
    ):
        for name in ("vlog/disable-rate-limit", "vlog/enable-rate-limit"):
            assert control.ask(name, *arguments) == answer(commands, name, *arguments)
            assert control.ask("vlog/list") == answer(commands, "vlog/list")
    for name in (
        "vlog/list",
        "vlog/reopen",
        "vlog/close",
        "vlog/list-pattern",
        "version",
        "coverage/read-counter",
    ):
        for many in ([], ["a"], ["a", "b"]):
            if name == "coverage/read-counter" and len(many) == 1:
                many = ["no_such_counter"]
            if (name, many) != ("vlog/reopen", []):
                assert control.ask(name, *many) == answer(commands, name, *many)
    assert answer(commands, "vlog/reopen") == (
        "error",
        "Logging to file not configured\n",
    )
    control.close()


def test_modules_are_the_originals(original: Originals) -> None:
    original.start_database()
    original.start_switch()
    for daemon in ("ovsdb-server", "ovs-vswitchd"):
        listing = original.run("ovs-appctl", "-t", daemon, "vlog/list").stdout.splitlines()[2:]
        assert {line.split()[0] for line in listing} == MODULES[daemon]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(original: Originals, pattern: str) -> None:
    theirs = original.run("ovs-appctl", f"-vPATTERN:console:{pattern}", "-t", "nosuch", "version")
    lines: list[str] = []
    log = Log("ovs-appctl", ManualClock(), modules("ovs-appctl"), console=WARN)
    log.attach("console", lambda level, line: lines.append(line))
    log.set(f"PATTERN:console:{pattern}")
    path = original.directory / "nosuch.pid"
    log.module("daemon_unix").warn("%s: open: No such file or directory", path)
    assert theirs.stderr.splitlines()[:-1] == "\n".join(lines).split("\n")


def test_options_of_a_tool() -> None:
    log = Log("ovs-appctl", ManualClock(), modules("ovs-appctl"))
    for specification in specifications(25):
        theirs = subprocess.run(
            ["ovs-appctl", f"--verbose={specification}", "--nosuch"],
            executable=PROGRAMS["ovs-appctl"],
            capture_output=True,
            text=True,
        )
        first = theirs.stderr.splitlines()[0]
        try:
            log.set(specification)
            mine = "ovs-appctl: unrecognized option '--nosuch'"
        except LogError as error:
            mine = f'ovs-appctl: processing "{specification}": {error}'
        assert first == mine


def listens(path: str) -> bool:
    try:
        Client(path).close()
    except OSError:
        return False
    return True


def rotations(program: str, directory: Path) -> list[object]:
    """What the control commands for log files answer, and what stands in the files afterwards."""
    place = directory / "logs"
    place.mkdir()
    control = f"{directory}/c"
    options = ["--no-dbs", f"--unixctl={control}", f"--log-file={place}/a.log", "-vconsole:off"]
    process = subprocess.Popen([program, *options, "-vfile:info"], env=environment(directory))
    seen: list[object] = []

    def ask(*words: str) -> None:
        command = ["/usr/bin/ovs-appctl", "-t", control, *words]
        done = subprocess.run(command, env=environment(directory), capture_output=True, text=True, timeout=60)
        seen.append((words, done.returncode, done.stdout, done.stderr))

    try:
        deadline = time.monotonic() + 30
        while not listens(control):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ask("vlog/reopen")  # it is the same
        (place / "a.log").rename(place / "old.log")
        ask("vlog/reopen")
        place.rename(directory / "elsewhere")
        ask("vlog/reopen")  # there can be none
        (directory / "elsewhere").rename(place)
        for command in ("vlog/close", "vlog/close", "vlog/reopen", "exit"):
            ask(command)
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    for name in ("old.log", "a.log"):
        lines = (place / name).read_text().splitlines()
        seen.append([line.split("|", 2)[2] for line in lines if "|vlog|" in line])
    return [str(item).replace(str(directory), "DIR") for item in seen]


def test_log_files_that_are_rotated() -> None:
    found = []
    for name, program in (("theirs", "/usr/sbin/ovsdb-server"), ("ours", OURS)):
        with tempfile.TemporaryDirectory(prefix=name) as directory:
            found.append(rotations(program, Path(directory)))
    assert found[0] == found[1]
    assert "No such file or directory" in found[1][2]
