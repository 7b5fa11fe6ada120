"""OpenFlow's first messages: which version is agreed on, and what is said where none can be."""

import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import environment
from support.switch_pair import OURS, Pair, Switch

pytestmark = pytest.mark.oracle
ERROR, ECHO_REQUEST, ECHO_REPLY = 1, 2, 3


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="neg.", dir="/tmp") as directory:
        both = Pair(Path(directory))
        yield both
        both.stop()


def hello(rnd: random.Random) -> tuple[bytes, set[int]]:
    """A hello of any version, with a bitmap or without, and the versions that it stands for."""
    version = rnd.randrange(1, 9)
    if rnd.random() < 0.4:
        return struct.pack("!BBHI", version, 0, 8, 7), set(range(1, version + 1))
    versions = rnd.sample(range(1, 9), rnd.randint(1, 5))
    body = struct.pack("!HHI", 1, 8, sum(1 << one for one in versions))
    return struct.pack("!BBHI", version, 0, 16, 7) + body, set(versions)


def answer(switch: Switch, sent: bytes) -> list[bytes]:
    """What comes after the switch's hello, without xids, until the end or an answered echo."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(f"{switch.directory}/br0.mgmt")
        peer.sendall(sent)
        data = b""
        while not any(one[1] == ECHO_REPLY for one in cut(data)):
            more = peer.recv(4096)
            if not more:
                break
            data += more
    return [one[:4] + bytes(4) + one[8:] for one in cut(data)][1:]


def cut(data: bytes) -> Iterator[bytes]:
    while len(data) >= 8 and len(data) >= (length := int.from_bytes(data[2:4], "big")):
        yield data[:length]
        data = data[length:]


@pytest.mark.parametrize("protocols", ["10", "13", "10,13", "11,12,13", "10,11,12,13,14,15", "15"])
def test_who_can_talk(pair: Pair, protocols: str) -> None:
    rnd = random.Random(protocols)
    names = ",".join(f"OpenFlow{one}" for one in protocols.split(","))
    for switch in pair.both:
        switch.vsctl("set", "Bridge", "br0", f"protocols={names}")
    spoken = {int(one) - 9 for one in protocols.split(",")}
    for _ in range(25):
        sent, versions = hello(rnd)
        if common := versions & spoken:
            sent += struct.pack("!BBHI", max(common), ECHO_REQUEST, 8, 9)
        original, ours = (answer(switch, sent) for switch in pair.both)
        assert original == ours, sent.hex()
        assert [one[1] for one in ours] == [ECHO_REPLY if common else ERROR]


def said(pair: Pair, program: str, *words: str) -> list[str]:
    """What `ovs-ofctl -v` says of versions and connections to the original's switch."""
    done = subprocess.run(
        [program, *words],
        env=environment(pair.original.directory),
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [line.split("|", 2)[-1] for line in done.stderr.splitlines()]
    wanted = re.compile(r"ofctl\||vconn\|.*negotia|ovs-ofctl:")
    found = [str(done.returncode), *(line for line in lines if wanted.match(line))]
    # Who hangs up first over it is a race: then the reason is either's.
    return [line.replace("(Broken pipe)", "(Protocol error)") for line in found]


@pytest.mark.parametrize("protocols", ["12", "10,13", "10,11,12,13,14,15"])
def test_tools_tell_the_version(pair: Pair, protocols: str) -> None:
    names = ",".join(f"OpenFlow{one}" for one in protocols.split(","))
    pair.original.vsctl("set", "Bridge", "br0", f"protocols={names}")
    for allowed in ("10", "13", "12,13", "10,11,12", "11,15"):
        words = ("-v", "-O", ",".join(f"OpenFlow{one}" for one in allowed.split(",")), "show", "br0")
        original = said(pair, "/usr/bin/ovs-ofctl", *words)
        assert said(pair, str(OURS / "ovs-ofctl"), *words) == original
        assert any("negotiat" in line for line in original)


def test_damage_is_told(pair: Pair) -> None:
    for switch in pair.both:
        switch.control("vlog/disable-rate-limit")
        switch.vsctl("set", "Bridge", "br0", "protocols=OpenFlow13")
        assert answer(switch, bytes.fromhex("0400000300000001")) == []
        wanted = "|vconn_stream|ERR|received too-short ofp_header (3 bytes)"
        deadline = time.monotonic() + 20
        while wanted not in switch.log() or "connection dropped (Protocol error)" not in switch.log():
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Silent:
    """A server that takes connections and never says anything."""

    def __init__(self, path: Path) -> None:
        code = (
            "import socket, sys\n"
            "server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(64)\n"
            "print('ready', flush=True)\n"
            "kept = []\n"
            "while True: kept.append(server.accept())\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"


TOOLS: tuple[tuple[str, ...], ...] = (
    ("ovs-vsctl", "-t", "1", "--db=unix:PATH", "show"),
    ("ovs-vsctl", "-t", "1", "--no-wait", "--db=unix:PATH", "add-br", "br0"),
    ("ovsdb-client", "-t", "1", "list-dbs", "unix:PATH"),
    ("ovsdb-client", "-t", "1", "dump", "unix:PATH", "Open_vSwitch"),
    ("ovs-ofctl", "-t", "1", "show", "unix:PATH"),
    ("ovs-appctl", "-T", "1", "-t", "PATH", "version"),
    ("ovs-appctl", "-v", "-T", "1", "-t", "PATH", "bond/show", "x"),
)
WORDS_OF_ITS_CODE = ("poll_loop|", "hmap|", "ovsdb_cs|")


def test_a_server_that_never_answers(tmp_path: Path, short_directory: Path) -> None:
    """Every tool gives up when its time is over, with the same words and the same status."""
    path = short_directory / "silent"
    silent = Silent(path)
    try:
        running = {}
        for words in TOOLS:
            given = [word.replace("PATH", str(path)) for word in words[1:]]
            for program in (f"/usr/bin/{words[0]}", str(OURS / words[0])):
                running[words, program] = subprocess.Popen(
                    [program, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
        outcomes: dict[tuple[str, ...], list[tuple[int, str, list[str]]]] = {}
        for (words, _), process in running.items():
            shown, errors = process.communicate(timeout=60)
            lines = [line.split("|", 2)[-1] for line in errors.splitlines()]
            lines = [line for line in lines if not line.startswith(WORDS_OF_ITS_CODE)]
            outcomes.setdefault(words, []).append((process.returncode, shown, lines))
    finally:
        silent.process.kill()
        silent.process.communicate()
    for words, (original, ours) in outcomes.items():
        assert original == ours, words
        assert "fatal_signal|WARN|terminating with signal 14 (Alarm clock)" in ours[2], words


def test_appctl_shows_what_it_says(pair: Pair) -> None:
    for words in (("version",), ("nosuch", "\u00e9", '"'), ("vlog/set", "x:y"), ("fdb/show", "br0")):
        given = ("-v", "-t", "ovs-vswitchd", *words)
        seen = []
        for program in ("/usr/bin/ovs-appctl", str(OURS / "ovs-appctl")):
            done = subprocess.run(
                [program, *given], env=environment(pair.original.directory), capture_output=True, timeout=60
            )
            lines = (line.split("|", 2)[-1] for line in done.stderr.decode().splitlines())
            shown = [line for line in lines if not line.startswith(WORDS_OF_ITS_CODE)]
            seen.append((done.returncode, done.stdout, shown))
        assert seen[0] == seen[1]
        assert any("send request" in line for line in seen[1][2])


def test_hellos_that_come_late_or_have_no_version(pair: Pair) -> None:
    for switch in pair.both:
        switch.vsctl("set", "Bridge", "br0", "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15")
    rnd = random.Random(24)
    for version in (1, 4, 5, 6):
        for second in (version, 0, 1, 2, 4, 6, 7, 255):
            late = bytearray(hello(rnd)[0])
            late[0] = second
            sent = (
                struct.pack("!BBHI", version, 0, 8, 1)
                + late
                + struct.pack("!BBHI", version, ECHO_REQUEST, 8, 9)
            )
            original, ours = (answer(switch, sent) for switch in pair.both)
            assert original == ours, sent.hex()
            assert [one[1] for one in ours] == [ERROR, ECHO_REPLY]
    for body in ("", "0001000800000010"):
        nothing = bytes((0, 0)) + struct.pack("!HI", 8 + len(body) // 2, 7) + bytes.fromhex(body)
        assert [answer(switch, nothing) for switch in pair.both] == [[], []], body
