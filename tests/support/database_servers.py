"""Database servers, ours or the original, each in a directory of its own, and a client of raw JSON-RPC."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support.waiting import until

BIN = Path(sys.executable).parent
ORIGINAL = "/usr/sbin/ovsdb-server"
OURS = str(BIN / "ovsdb-server")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DB = "Open_vSwitch"


def variables(directory: str) -> dict[str, str]:
    """The environment of programs whose files all lie in a directory."""
    names = ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")
    return {**os.environ, **{f"OVS_{name}": directory for name in names}}


def start_server(program: str, directory: str, *words: str) -> "subprocess.Popen[bytes]":
    """A database server, once it answers at `directory`/db.sock."""
    process = subprocess.Popen(
        [program, *words, f"--remote=punix:{directory}/db.sock", "-vconsole:off"],
        env=variables(directory),
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            Client(f"{directory}/db.sock").close()
            return process
        except OSError:
            assert process.poll() is None, f"it ended with status {process.returncode}"
            time.sleep(0.02)
    process.kill()
    raise AssertionError("the server does not answer")


class Running:
    """A database server in a directory of its own."""

    def __init__(self, program: str, *options: str, schema: str = SCHEMA, manager: bool = True) -> None:
        """`manager`: remotes come from the Open_vSwitch database, too."""
        self.options = (f"--remote=db:{DB},{DB},manager_options", *options) if manager else options
        self.directory = tempfile.mkdtemp(prefix="ovsdb")
        self.program = program
        self.environment = variables(self.directory)
        subprocess.run([BIN / "ovsdb-tool", "create", f"{self.directory}/conf.db", schema], check=True)
        self.start()

    def start(self) -> None:
        file, log = f"{self.directory}/conf.db", f"--log-file={self.directory}/log"
        self.process = start_server(self.program, self.directory, file, log, *self.options)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(10)

    def remove(self) -> None:
        """The end, whatever state it is in."""
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def control(self, *words: str) -> tuple[int, str]:
        """A control command: exit status, and what it printed on either stream."""
        path = f"{self.directory}/{Path(self.program).name}.{self.process.pid}.ctl"
        done = self.run(str(BIN / "ovs-appctl"), "-t", path, *words)
        text = done.stdout + "".join(
            line for line in done.stderr.splitlines(True) if "ovs-appctl:" not in line
        )
        return done.returncode, text.replace(self.directory, "DIR")

    def log_lines(self, *modules: str) -> list[str]:
        """What modules logged: "LEVEL|text"."""
        found = []
        for line in Path(self.directory, "log").read_text().splitlines():
            parts = line.split("|", 4)
            if len(parts) == 5 and parts[2] in modules:
                found.append(f"{parts[3]}|{parts[4]}".replace(self.directory, "DIR"))
        return found

    def chosen_port(self) -> int:
        """Where it listens that was told to listen at port 0."""
        return int(until(lambda: self.log_lines("socket_util"))[0].rpartition(" ")[2])

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=30)


class Client:
    """Raw JSON-RPC."""

    def __init__(self, server: "Running | str | socket.socket") -> None:
        """`server`: one of ours, the path of its socket, or a connection to it."""
        if isinstance(server, socket.socket):
            self.socket = server
        else:
            path = server if isinstance(server, str) else f"{server.directory}/db.sock"
            self.socket = socket.socket(socket.AF_UNIX)
            self._connect(path)
        self.socket.settimeout(30)
        self.buffer = ""
        self.next = 0

    def _connect(self, path: str) -> None:
        """A socket has a name a moment before it is listened on."""
        for _ in range(100):
            try:
                self.socket.connect(path)
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        self.socket.connect(path)

    def close(self) -> None:
        self.socket.close()

    def send(self, method: str, params: Any) -> int:
        self.next += 1
        self.socket.sendall(json.dumps({"method": method, "params": params, "id": self.next}).encode())
        return self.next

    def read(self) -> Any:
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self.buffer)
            except ValueError:
                data = self.socket.recv(1 << 16)
                if not data:
                    return "closed"
                self.buffer += data.decode()
                continue
            self.buffer = self.buffer[end:]
            return value

    def call(self, method: str, params: Any) -> list[Any]:
        """All that comes up to the reply, which is last."""
        number = self.send(method, params)
        found = []
        while True:
            value = self.read()
            found.append(value)
            if value == "closed" or value.get("id") == number:
                return found
