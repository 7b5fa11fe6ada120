"""Targets that leave something out or cannot be dialled: what tools and the switch say of them."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.database_servers import OURS as OUR_SERVER
from support.database_servers import variables
from support.outcomes import Side

pytestmark = pytest.mark.oracle

Sides = tuple[Side, Side]
OURS = Path(sys.executable).parent
# Of a port that a whole machine knows, only what fails before anything is dialled may be asked for.
UNREACHABLE = (
    *("tcp:127.0.0.1:", "tcp:[::1]", "tcp:"),
    *("tcp:127.0.0.1:99999", "tcp:127.0.0.1:x", "tcp:[::1]x", "tcp:::1"),
    *("tcp:300.0.0.1:5", "tcp:127.1:5", "tcp:0x7f000001:5", "tcp:[::1:5", "tcp:127.0.0.1:5:6"),
    *("ssl:127.0.0.1", "ssl:", "ssl:127.0.0.1:x", "ssl:127.0.0.1:", "ssl:[::1]", "ssl:[::1]x", "ssl:::1"),
    *(
        "tcp:[::1%nosuch]:5",
        "ssl:[::1%nosuch]:5",
        "tcp:127.0.0.1%lo:5",
        "tcp:[fe80::1]:5",
        "tcp::5",
    ),
    "unix:/nonexistent/" + "far" * 50,
    *("unix:/nonexistent/socket", "unix:", "nothing", "xyz:1.2.3.4:5"),
)
COMMANDS = (
    ("ovs-ofctl", "show", "TARGET"),
    ("ovs-vsctl", "--db=TARGET", "show"),
    ("ovsdb-client", "list-dbs", "TARGET"),
)


def said(directory: Path, command: tuple[str, ...], target: str) -> tuple[int, str]:
    program, *words = (word.replace("TARGET", target) for word in command)
    done = subprocess.run(
        [program, *words],
        env={**os.environ, "OVS_RUNDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, re.sub(r"^[0-9T:.Z-]+\|", "", done.stdout + done.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_tools_say_what_is_wrong(tmp_path: Path, command: tuple[str, ...]) -> None:
    def both(target: str) -> tuple[tuple[int, str], tuple[int, str]]:
        original = said(tmp_path, (f"/usr/bin/{command[0]}", *command[1:]), target)
        return original, said(tmp_path, (str(OURS / command[0]), *command[1:]), target)

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(UNREACHABLE, pool.map(both, UNREACHABLE), strict=True))
    assert {target: pair for target, pair in answers.items() if pair[0] != pair[1]} == {}
    assert all(status for status, _ in (pair[1] for pair in answers.values()))


@pytest.mark.parametrize("server", ["/usr/sbin/ovsdb-server", OUR_SERVER], ids=["original", "ours"])
def test_listening_at_a_name_and_at_a_scope(tmp_path: Path, server: str) -> None:
    targets = ("ptcp:0:localhost", "ptcp:0:[::1%lo]", "ptcp:0:[::1%1]")
    remotes = [f"--remote={target}" for target in targets]
    words = [server, "--no-db", *remotes, "--unixctl=none", f"--log-file={tmp_path}/log", "-vconsole:off"]
    process = subprocess.Popen(words, env=variables(str(tmp_path)))
    try:
        ports: dict[str, str] = {}
        deadline = time.monotonic() + 30
        while len(ports) < len(targets):
            assert time.monotonic() < deadline, (ports, process.poll())
            time.sleep(0.05)
            log = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
            ports = dict(re.findall(r"INFO\|0:(\S+): listening on port (\d+)\n", log))
        for client in ("/usr/bin/ovsdb-client", str(OURS / "ovsdb-client")):
            for host, port in ports.items():
                answer = said(tmp_path, (client, "list-dbs", "TARGET"), f"tcp:{host}:{port}")
                assert answer == (0, "_Server\n"), host
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory(prefix="trg.", dir="/tmp") as directory:
        both = Side(Path(directory) / "o", ours=False), Side(Path(directory) / "t", ours=True)
        yield both
        for side in both:
            side.stop()


def lines(side: Side) -> set[str]:
    """What the modules about targets have said."""
    found = (line.split("|", 2)[2] for line in side.log().splitlines() if line.count("|") > 2)
    return {line for line in found if line.startswith(("stream|", "socket_util|", "stream_"))}


def test_the_switch_says_it_of_controllers(sides: Sides) -> None:
    for side in sides:
        assert (
            side.vsctl(
                "--may-exist", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy"
            ).status
            == 0
        )
    for target in UNREACHABLE:
        if target.startswith("tcp:") or target == "ssl:127.0.0.1:x":
            for side in sides:
                side.vsctl("set-controller", "br0", target)
            deadline = time.monotonic() + 20
            while lines(sides[0]) != lines(sides[1]) or f"{target}" not in side.log():
                assert time.monotonic() < deadline, (target, lines(sides[0]) ^ lines(sides[1]))
                time.sleep(0.1)
    relative = "unix:br0.mgmt"
    for side in sides:
        original = said(side.directory, ("/usr/bin/ovs-ofctl", "show", "TARGET"), relative)
        assert said(side.directory, (str(OURS / "ovs-ofctl"), "show", "TARGET"), relative) == original
        assert original[0] == 0
    warned = "stream|WARN|The default OpenFlow port number has changed from 6633 to 6653"
    assert [side.log().count(warned) for side in sides] == [1, 1]
