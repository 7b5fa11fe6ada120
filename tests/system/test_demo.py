"""``trunkline demo`` as a person runs it, and what it leaves behind: nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "trunkline.cli.trunkline", "demo", "--plain"]


class Machine:
    """What can be seen of this machine that the demo might leave changed."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def look(self) -> dict[str, object]:
        return {
            "devices": sorted(os.listdir("/sys/class/net")),
            "namespaces": subprocess.run(["ip", "netns", "list"], capture_output=True).stdout,
            "files": sorted(path.name for path in self.temporary.iterdir()),
        }


def start(temporary: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*DEMO, *arguments],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def descendants(session: int) -> list[str]:
    """Processes that mention our temporary directory or belong to the session."""
    shown = subprocess.run(["ps", "-eo", "sid=,pid=,args="], capture_output=True, text=True).stdout
    return [line for line in shown.splitlines() if line.split()[0] == str(session)]


@pytest.mark.system
def test_in_namespaces(short_directory: Path) -> None:
    machine = Machine(short_directory)
    before = machine.look()
    demo = start(short_directory)
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "Machines are network namespaces." in output
    assert output.splitlines()[-1] == "60 of 60 expectations held"
    assert machine.look() == before


def test_simulated(short_directory: Path) -> None:
    demo = start(short_directory, "--simulated")
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "Machines are simulated, in one process: as asked." in output
    assert output.splitlines()[-1] == "60 of 60 expectations held"
    assert list(short_directory.iterdir()) == []


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(short_directory: Path, number: signal.Signals) -> None:
    machine = Machine(short_directory)
    before = machine.look()
    demo = start(short_directory)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("2."):
            break
    demo.send_signal(number)
    demo.stdout.read()
    assert demo.wait(30) == 128 + number
    assert machine.look() == before
    deadline = time.monotonic() + 5
    while (left := descendants(demo.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
