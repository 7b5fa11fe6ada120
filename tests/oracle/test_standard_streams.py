"""Standard streams that are closed or full: what is said, and with which status a command ends.

Not compared is what the original does when the number of a closed one goes to its socket: it waits for ever,
or an assertion ends it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.database_servers import ORIGINAL, Running

pytestmark = pytest.mark.oracle

OURS = Path(sys.executable).parent
FULL = (">/dev/full", ">/dev/full 2>&1")
CLOSED = (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-")
LINES = (
    "ovs-vsctl --db=SERVER list Open_vSwitch",
    "ovs-vsctl --db=SERVER --no-wait set Open_vSwitch . external-ids:a=b",
    "ovs-vsctl bogus",
    "ovs-vsctl --help",
    "ovs-ofctl parse-flow actions=1",
    "ovs-ofctl add-flow nosuch actions=1",
    "ovs-appctl -t /nosuch version",
    "ovs-appctl --help",
    "ovs-dpctl bogus",
    "ovsdb-tool show-log /nosuch",
    "ovsdb-tool compare-versions 1.0.0 == 1.0.0",
    "ovsdb-client bogus",
)
LOST = (
    "ovsdb-client dump SERVER",
    "ovsdb-client get-schema SERVER Open_vSwitch",
    "ovsdb-client backup SERVER",
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = Running(ORIGINAL)
    server = f"unix:{running.directory}/db.sock"
    subprocess.run([OURS / "ovs-vsctl", f"--db={server}", "--no-wait", "init"], check=True)
    yield server
    running.remove()


def outcome(place: Path | str, line: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", f"{place}/{line}"],
        env={**os.environ, "OVS_RUNDIR": "/nosuch"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, re.sub(r"^[0-9T:.Z-]+\|", "", done.stderr, flags=re.MULTILINE)


def test_the_work_is_done_and_the_status_says_so(server: str) -> None:
    lines = [
        f"{line.replace('SERVER', server)} {also}"
        for line in LINES
        for also in (FULL if "SERVER" in line else FULL + CLOSED)
    ]
    with ThreadPoolExecutor(2) as pool:
        originals = pool.map(lambda line: outcome("/usr/bin", line), lines)
        ours = pool.map(lambda line: outcome(OURS, line), lines)
    pairs = zip(lines, originals, ours, strict=True)
    assert {line: (original, our) for line, original, our in pairs if original != our} == {}


@pytest.mark.parametrize("line", LOST)
def test_lost_output_of_ovsdb_client_is_an_error(server: str, line: str) -> None:
    command = line.replace("SERVER", server) + " >/dev/full"
    assert (
        outcome(OURS, command)
        == outcome("/usr/bin", command)
        == (1, "ovsdb-client: write to stdout failed\n")
    )
    assert outcome(OURS, line.replace("SERVER", server) + " >&-")[0] == 1


def test_closed_streams_do_not_stop_ours(server: str) -> None:
    for number, closed in enumerate(CLOSED):
        line = f"ovs-vsctl --db={server} --no-wait set Open_vSwitch . external-ids:n={number}"
        assert outcome(OURS, f"{line} {closed}") == (0, "")
        found = subprocess.check_output(
            [OURS / "ovs-vsctl", f"--db={server}", "get", "Open_vSwitch", ".", "external-ids:n"]
        )
        assert found == f'"{number}"\n'.encode()
