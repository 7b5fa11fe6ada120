"""The installed C originals, each set in a directory of its own, so that nothing collides."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from support.waiting import PATIENCE

VSWITCH_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PROGRAMS = {
    name: path
    for name, path in (
        ("ovsdb-server", "/usr/sbin/ovsdb-server"),
        ("ovs-vswitchd", "/usr/sbin/ovs-vswitchd"),
        ("ovsdb-tool", "/usr/bin/ovsdb-tool"),
        ("ovsdb-client", "/usr/bin/ovsdb-client"),
        ("ovs-vsctl", "/usr/bin/ovs-vsctl"),
        ("ovs-ofctl", "/usr/bin/ovs-ofctl"),
        ("ovs-appctl", "/usr/bin/ovs-appctl"),
        ("ovs-dpctl", "/usr/bin/ovs-dpctl"),
    )
    if os.path.exists(path)
}


def installed() -> bool:
    return len(PROGRAMS) == 8 and shutil.which("ovs-vswitchd", path="/usr/sbin") is not None


def environment(directory: Path) -> dict[str, str]:
    """Variables that keep originals and ours inside `directory`."""
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    return {**os.environ, **dict.fromkeys(names, str(directory))}


def dummy_options(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The options of an ovs-vswitchd without devices of the kernel."""
    dummies = [one for one in arguments if one.startswith("--enable-dummy")] or ["--enable-dummy=override"]
    others = [one for one in arguments if one not in dummies]
    return (*dummies, "--disable-system", "--pidfile", "--log-file", *others)  # in the order that counts


class Originals:
    """Originals that live in `directory` (keep its path short: unix sockets lie in it)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = f"unix:{directory}/db.sock"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        program: str,
        *arguments: str,
        input: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """An original tool; its exit status, stdout and stderr."""
        return subprocess.run(
            [PROGRAMS[program], *arguments],
            env=variables or environment(self.directory),
            capture_output=True,
            text=True,
            input=input,
            timeout=60,
        )

    def run_bytes(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Like `run`, for arguments and output that need not be UTF-8 (surrogateescape in `arguments`)."""
        return subprocess.run(
            [
                PROGRAMS.get(program, f"/usr/bin/{program}"),
                *(os.fsencode(argument) for argument in arguments),
            ],
            env=environment(self.directory),
            capture_output=True,
            timeout=60,
        )

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """An original daemon in the foreground; `stop` ends it."""
        log = (self.directory / f"{program}.out").open("wb")
        daemon = subprocess.Popen(
            [PROGRAMS[program], *arguments],
            env=environment(self.directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._daemons.append(daemon)
        return daemon

    def start_database(self, schema: str = VSWITCH_SCHEMA, *arguments: str) -> None:
        """ovsdb-server on a fresh conf.db, listening at `database`."""
        self.run("ovsdb-tool", "create", f"{self.directory}/conf.db", schema)
        options = (f"--remote=punix:{self.directory}/db.sock", "--pidfile", "--log-file", *arguments)
        self.start("ovsdb-server", f"{self.directory}/conf.db", *options)
        wait_for(self.directory / "db.sock")

    def start_switch(self, *arguments: str) -> None:
        """ovs-vswitchd with dummy devices only, on the database at `database`.

        Devices of every type are dummies (``--enable-dummy=override``) unless `arguments` say otherwise.
        """
        self.run("ovs-vsctl", f"--db={self.database}", "--no-wait", "init")
        options = dummy_options(arguments)
        self.start("ovs-vswitchd", self.database, *options)
        wait_for(self.directory / "ovs-vswitchd.pid")

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()


def wait_for(path: Path, seconds: float = 20) -> None:
    """Until `path` is there."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise AssertionError(f"{path.name} did not appear within {seconds} s")
        time.sleep(0.01)
