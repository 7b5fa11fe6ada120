"""ovs-testcontroller beside the original: what both send to a switch that tells them the same."""

import os
import re
import shutil
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

ORIGINAL = "/usr/bin/ovs-testcontroller"
OURS = [sys.executable, "-m", "trunkline.daemons.testcontroller"]
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not os.path.exists(ORIGINAL), reason="openvswitch-testcontroller is not installed"),
]
SENTINEL = 0x7E57


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _frame(destination: str, source: str, rest: str = "0800") -> bytes:
    return bytes.fromhex(destination + source + rest).ljust(60, b"\0")


IP = "08004500001c0000000040116ccf0a0000010a00000200010002000812340000"
A, B, C = "000000000001", "000000000002", "000000000003"
FRAMES = [  # port, buffer, frame
    (1, None, _frame("ffffffffffff", A)),
    (2, None, _frame(A, B)),
    (1, 77, _frame("ffffffffffff", A)),
    (3, None, _frame(A, C, IP)),
    (1, None, _frame("0180c2000000", A, "0027")),
    (1, 5, _frame(B, A)),
    (1, None, _frame(A, "000000000004")),
]


def _packet_in(version: int, port: int, buffer: int | None, frame: bytes) -> bytes:
    number = 0xFFFFFFFF if buffer is None else buffer
    if version == 1:
        body = struct.pack("!IHHBx", number, len(frame), port, 0) + frame
    else:
        match = struct.pack("!HH", 1, 12) + bytes.fromhex("80000004") + struct.pack("!I", port) + bytes(4)
        body = struct.pack("!IHBBQ", number, len(frame), 0, 0, 0) + match + bytes(2) + frame
    return struct.pack("!BBHI", version, 10, 8 + len(body), 0) + body


def _conversation(program: list[str], directory: Path, options: list[str], version: int) -> list[str]:
    """What the controller sends to a switch of `version`, message by message."""
    path = directory / "c"
    path.unlink(missing_ok=True)
    running = subprocess.Popen([*program, *options, f"punix:{path}"], env=environment(directory))
    try:
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with socket.socket(socket.AF_UNIX) as switch:
            switch.settimeout(20)
            switch.connect(str(path))
            switch.sendall(struct.pack("!BBHI", version, 0, 8, 1))
            sent = _until(switch, 5, version)
            for port, buffer, frame in FRAMES:
                switch.sendall(_packet_in(version, port, buffer, frame))
            switch.sendall(struct.pack("!BBHI", version, 2, 8, SENTINEL))
            return [*sent, *_until(switch, 3, version)]
    finally:
        running.terminate()
        running.wait(20)


def _until(switch: socket.socket, last: int, version: int) -> list[str]:
    """Messages up to the first of type `last` (features request, echo reply); features are told."""
    data, sent = b"", []
    while True:
        while len(data) >= 8 and len(data) >= struct.unpack_from("!H", data, 2)[0]:
            length, xid = struct.unpack_from("!HI", data, 2)
            message, data = data[:length], data[length:]
            sent.append(message.hex())
            if message[1] == 5:
                features = struct.pack("!QIB3xII", 1, 256, 254, 0xFF, 0xFFF)
                switch.sendall(struct.pack("!BBHI", version, 6, 8 + len(features), xid) + features)
            if message[1] == last and (last == 5 or xid == SENTINEL):
                assert last == 3 or not data or data[1] == 9
                return sent + ([data.hex()] if data else [])
        received = switch.recv(1 << 16)
        assert received, sent
        data += received


@pytest.mark.parametrize(
    ("options", "version"),
    [
        ([], 1),
        (["-H"], 1),
        (["-n"], 1),
        (["-H", "-n"], 1),
        (["-N"], 1),
        (["-w"], 1),
        (["-q", "3"], 1),
        (["-Q", "p1:2"], 1),
        (["--max-idle=permanent"], 1),
        (["--max-idle=5", "-w0x2000EC"], 1),
        (["--with-flows"], 1),
        ([], 4),
        (["-H", "-O", "OpenFlow13"], 4),
        (["-O", "OpenFlow14"], 5),
    ],
)
def test_a_switch_is_told_the_same(directory: Path, options: list[str], version: int) -> None:
    if options == ["--with-flows"]:
        (directory / "flows").write_text("table=0,priority=5,actions=drop\nip,actions=normal\n")
        options = ["--with-flows", str(directory / "flows")]
    wanted = _conversation([ORIGINAL], directory, options, version)
    got = _conversation(OURS, directory, options, version)
    assert "".join(got) == "".join(wanted)  # where one message ends is in the messages
    assert len("".join(got)) > 300


@pytest.mark.parametrize(
    "line",
    [
        "",
        "foo",
        "punix:{d}/y --bar",
        "--max-idle=x punix:{d}/y",
        "--max-idle=0 punix:{d}/y",
        "-Q x punix:{d}/y",
        "-Q p1:2 -Q p1:3 punix:{d}/y",
        "--with-flows /nonexistent punix:{d}/y",
        "unix:{d}/nobody",
        "--help",
    ],
)
def test_what_is_wrong_is_said_alike(directory: Path, line: str) -> None:
    said = []
    for program in ([ORIGINAL], OURS):
        words = [*program, *line.format(d=directory).split()]
        done = subprocess.run(words, env=environment(directory), capture_output=True, text=True, timeout=30)
        errors = re.sub(r"^\S+Z\|\d+\|", "", done.stderr, flags=re.M).replace(ORIGINAL, "ovs-testcontroller")
        said.append((done.stdout, errors, done.returncode))
    assert said[1] == said[0]
