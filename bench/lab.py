"""Daemons and tools in a directory of their own: all ours, or all the originals."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.originals import PROGRAMS, VSWITCH_SCHEMA, environment, installed, wait_for

DUMMY = ("--enable-dummy=override", "--disable-system")


class Lab:
    """Programs by name, kept inside `directory` by their environment."""

    def __init__(self, directory: str, original: bool) -> None:
        self.directory = directory
        self.original = original
        self.environment: Mapping[str, str] = environment(Path(directory))
        self.socket = f"{directory}/db.sock"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def path(self, program: str) -> str:
        return PROGRAMS[program] if self.original else str(Path(sys.executable).parent / program)

    def run(self, program: str, *arguments: str) -> None:
        command = [self.path(program), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)[:200]}... failed: {done.stderr}")

    def start(self, program: str, *arguments: str, pinned_to: int | None = None) -> int:
        """A daemon, until the lab ends; its process id."""
        pin = [] if pinned_to is None else ["taskset", "-c", str(pinned_to)]
        command = [*pin, self.path(program), *arguments, "--pidfile", "-vconsole:off"]
        self._daemons.append(subprocess.Popen(command, env=self.environment))
        wait_for(Path(self.directory, f"{program}.pid"))
        return self._daemons[-1].pid

    def start_database(self) -> None:
        schema = (VSWITCH_SCHEMA,) if self.original else ()
        self.run("ovsdb-tool", "create", f"{self.directory}/conf.db", *schema)
        self.start("ovsdb-server", f"{self.directory}/conf.db", f"--remote=punix:{self.socket}")
        wait_for(Path(self.socket))

    def start_switch(self, *arguments: str, pinned_to: int | None = None) -> int:
        self.run("ovs-vsctl", "--no-wait", "init")
        return self.start("ovs-vswitchd", *arguments, pinned_to=pinned_to)

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(20)


@contextmanager
def lab(original: bool) -> Iterator[Lab]:
    """An empty lab; its daemons end with it."""
    place = "/tmp" if os.path.isdir("/tmp") else None
    with tempfile.TemporaryDirectory(prefix="tb", dir=place, ignore_cleanup_errors=True) as directory:
        made = Lab(directory, original)
        try:
            yield made
        finally:
            made.stop()


def kinds() -> tuple[bool, ...]:
    """Ours, and the original if it is installed: the values of `original` to measure."""
    return (False, True) if installed() else (False,)
