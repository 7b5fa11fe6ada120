"""Two whole switches, the original's and ours, in one configuration, and a peer to send both the same."""

import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.originals import Originals, dummy_options, environment, wait_for
from support.switches import Control

_HEADER = struct.Struct("!BBHI")
OURS = Path(sys.executable).parent
HUNG_UP = "failed to open socket (Broken pipe)"
"""What the original's switch does to a tool now and then, before anything has been asked."""


class Peer:
    """A connection to a bridge in one version of OpenFlow; what arrives is kept as bytes."""

    def __init__(self, path: str, version: int) -> None:
        self.version = version
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self._data = b""
        self._xid = 0x1000
        bitmap = struct.pack("!HHI", 1, 8, 1 << version)
        self.socket.sendall(_HEADER.pack(version, 0, 16, 1) + bitmap)
        self.receive()

    def receive(self) -> bytes:
        """The next message, or nothing at the end of the connection."""
        while len(self._data) < 8 or len(self._data) < self._length():
            data = self.socket.recv(1 << 16)
            if not data:
                return b""
            self._data += data
        length = self._length()
        message, self._data = self._data[:length], self._data[length:]
        return message

    def _length(self) -> int:
        return int.from_bytes(self._data[2:4], "big")

    def barrier(self) -> list[bytes]:
        """What arrives until all that was sent before has been carried out."""
        self._xid += 1
        kind = 18 if self.version == 1 else 20
        self.socket.sendall(_HEADER.pack(self.version, kind, 8, self._xid))
        found = []
        while True:
            message = self.receive()
            if not message:
                return [*found, b"end of connection"]
            if message[1] == 2:  # an echo request
                self.socket.sendall(bytes((message[0], 3)) + message[2:])
            elif message[1] == kind + 1 and message[4:8] == self._xid.to_bytes(4, "big"):
                return found
            else:
                found.append(message)

    def ask(self, *messages: bytes) -> list[bytes]:
        """What comes back for `messages`."""
        self.socket.sendall(b"".join(messages))
        return self.barrier()

    def close(self) -> None:
        self.socket.close()


class Switch:
    """ovs-vswitchd with dummy devices in a directory of its own: the original's, or ours."""

    def __init__(self, directory: Path, *, ours: bool, options: tuple[str, ...] = ()) -> None:
        directory.mkdir(exist_ok=True)
        self._options = options
        self.directory = directory
        self.ours = ours
        self.originals = Originals(directory)
        self.originals.start_database()
        self._process: subprocess.Popen[bytes] | None = None
        if ours:
            self._start()
        else:
            self.originals.start_switch(*options)
        pid = (directory / "ovs-vswitchd.pid").read_text().strip()
        wait_for(directory / f"ovs-vswitchd.{pid}.ctl")
        self.control = Control(f"{directory}/ovs-vswitchd.{pid}.ctl")

    def _start(self) -> None:
        self.originals.run("ovs-vsctl", f"--db={self.originals.database}", "--no-wait", "init")
        options = dummy_options(self._options)
        with (self.directory / "ours.out").open("wb") as log:
            self._process = subprocess.Popen(
                [str(OURS / "ovs-vswitchd"), self.originals.database, *options],
                env=environment(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self.directory / "ovs-vswitchd.pid")

    def vsctl(self, *arguments: str) -> None:
        done = self.originals.run("ovs-vsctl", f"--db={self.originals.database}", "-t", "20", *arguments)
        assert done.returncode == 0, done.stderr

    def ofctl(
        self, *arguments: str, ours: bool = False, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """ovs-ofctl of either side on this switch."""
        program = str(OURS / "ovs-ofctl") if ours else "/usr/bin/ovs-ofctl"
        for _ in range(9):
            done = subprocess.run(
                [program, *arguments],
                env=environment(self.directory),
                capture_output=True,
                text=True,
                input=input,
                timeout=60,
            )
            if self.ours or HUNG_UP not in done.stderr:
                break
        return done

    def peer(self, version: int, bridge: str = "br0") -> Peer:
        path = self.directory / f"{bridge}.mgmt"
        wait_for(path)
        return Peer(str(path), version)

    def log(self) -> str:
        return (self.directory / "ovs-vswitchd.log").read_text()

    def stop(self) -> None:
        self.control.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.originals.stop()


class Pair:
    """Both switches, with a bridge br0 of ports p1 to p4 under every version of OpenFlow."""

    def __init__(self, directory: Path) -> None:
        self.original = Switch(directory / "o", ours=False)
        self.ours = Switch(directory / "t", ours=True)
        self.both = (self.original, self.ours)
        command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure"]
        command += ["protocols=" + ",".join(f"OpenFlow1{minor}" for minor in range(6))]
        command += ["other-config:datapath-id=00000000000000aa", "other-config:hwaddr=aa:55:aa:55:00:00"]
        for i in range(1, 5):
            command += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}"]
            command += ["type=dummy", f"ofport_request={i}", f'mac="50:54:00:00:01:{i:02x}"']
        for switch in self.both:
            switch.vsctl(*command)

    def control(self, method: str, *arguments: str) -> tuple[str, str]:
        return self.original.control(method, *arguments), self.ours.control(method, *arguments)

    def peers(self, version: int) -> tuple[Peer, Peer]:
        return self.original.peer(version), self.ours.peer(version)

    def stop(self) -> None:
        for switch in self.both:
            switch.stop()


def fresh_pair() -> Iterator[Pair]:
    """A pair in a short directory of its own, while a fixture lasts."""
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp", ignore_cleanup_errors=True) as directory:
        pair = Pair(Path(directory))
        try:
            yield pair
        finally:
            pair.stop()
