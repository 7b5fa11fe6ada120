"""``trunkline demo`` as a person runs it, and what it leaves behind: nothing.

The demo runs in a network namespace and with a /run of its own, so that whatever it changed there is its
doing and not that of tests beside it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = f"{sys.executable} -m trunkline.cli.trunkline demo --plain"
LOOK = "ip -o link | cut -d: -f2; find /run /dev/shm -mindepth 1"
SCRIPT = f"""
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm
({LOOK}) >"$TMPDIR/../before"
{DEMO} &
demo=$!
trap 'kill -INT $demo' INT
trap 'kill -TERM $demo' TERM
wait $demo; wait $demo
status=$?
({LOOK}) >"$TMPDIR/../after"
exit $status
"""


def start(directory: Path, script: str) -> "subprocess.Popen[str]":
    temporary = directory / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        ["bash", "-c", script],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def isolated(directory: Path) -> "subprocess.Popen[str]":
    (directory / "script").write_text(SCRIPT)
    return start(directory, f"exec unshare --net --mount bash {directory}/script")


def left_running(directory: Path) -> list[int]:
    """Processes that have the demo's temporary directory in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{directory}/tmp".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def check_nothing_is_left(directory: Path) -> None:
    assert (directory / "after").read_text() == (directory / "before").read_text()
    assert list((directory / "tmp").iterdir()) == []
    deadline = time.monotonic() + 5
    while (left := left_running(directory)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


@pytest.mark.system
def test_in_namespaces(short_directory: Path) -> None:
    demo = isolated(short_directory)
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "Machines are network namespaces." in output
    assert output.splitlines()[-1] == "60 of 60 expectations held"
    check_nothing_is_left(short_directory)


def test_simulated(short_directory: Path) -> None:
    demo = start(short_directory, f"exec {DEMO} --simulated")
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "Machines are simulated, in one process: as asked." in output
    assert output.splitlines()[-1] == "60 of 60 expectations held"
    assert list((short_directory / "tmp").iterdir()) == []


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(short_directory: Path, number: signal.Signals) -> None:
    demo = isolated(short_directory)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("2."):
            break
    demo.send_signal(number)
    demo.stdout.read()
    assert demo.wait(30) == 128 + number
    check_nothing_is_left(short_directory)


@pytest.mark.parametrize("output", [">/dev/full", "| head -1"])
def test_nobody_reads_it(short_directory: Path, output: str) -> None:
    demo = start(short_directory, f"{DEMO} --simulated {output}")
    said, _ = demo.communicate(timeout=60)
    assert "Traceback" not in said
    assert list((short_directory / "tmp").iterdir()) == []


def test_a_terminal_of_ascii(short_directory: Path) -> None:
    demo = start(short_directory, f"LC_ALL=C PYTHONUTF8=0 PYTHONIOENCODING=ascii exec {DEMO} --simulated")
    said, _ = demo.communicate(timeout=60)
    assert said.splitlines()[-1] == "60 of 60 expectations held"


@pytest.mark.system
def test_root_that_may_not_configure_networks(short_directory: Path) -> None:
    """As in many containers: namespaces can be made, but nothing be done in them."""
    script = f"exec setpriv --bounding-set=-all,+sys_admin --inh-caps=-all {DEMO}"
    said, _ = start(short_directory, script).communicate(timeout=60)
    assert "Machines are simulated, in one process: namespaces are forbidden here" in said
    assert said.splitlines()[-1] == "60 of 60 expectations held"
