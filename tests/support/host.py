"""A namespace with our database server and our switch in it."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.kernel_program import compiled, needs_kernel
from support.namespaces import Namespace, namespaces
from support.originals import PATIENCE, environment, wait_for

COMMANDS = Path(sys.executable).parent


class Host:
    """Database server and switch in a namespace."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        self.variables = environment(directory)
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.run("ovsdb-tool", "create", f"{directory}/conf.db")
        self.start("ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock")
        wait_for(directory / "db.sock")
        self.run("ovs-vsctl", "--no-wait", "init")
        self.start_switch()

    def command(self, program: str, *arguments: str, before: Sequence[str] = ()) -> list[str]:
        """`before`: a command that starts it."""
        return ["ip", "netns", "exec", self.namespace.name, *before, str(COMMANDS / program), *arguments]

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=30 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, program: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        daemon_options = ("-vconsole:off", "--log-file", "--pidfile", "--overwrite-pidfile")
        command = self.command(program, *arguments, *daemon_options, before=before)
        daemon = subprocess.Popen(command, env=self.variables)
        self.daemons.append(daemon)
        return daemon

    def start_switch(self, before: Sequence[str] = ()) -> None:
        (self.directory / "ovs-vswitchd.pid").unlink(missing_ok=True)
        self.switch = self.start("ovs-vswitchd", before=before)
        wait_for(self.directory / "ovs-vswitchd.pid")

    def vsctl(self, *arguments: str) -> str:
        return self.run("ovs-vsctl", "-t", str(round(15 * PATIENCE)), *arguments)

    def until(self, wanted: str, *arguments: str) -> None:
        """Until ovs-vsctl prints `wanted`."""
        deadline = time.monotonic() + 15 * PATIENCE
        while (got := self.vsctl(*arguments)) != wanted:
            assert time.monotonic() < deadline, f"{got!r} instead of {wanted!r}"
            time.sleep(0.1)

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10 * PATIENCE)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def kernel_host(directory: Path) -> Iterator[Host]:
    """As `bridged_host`, on the kernel datapath."""
    needs_kernel()
    compiled()
    yield from bridged_host(directory)


def bridged_host(directory: Path) -> Iterator[Host]:
    """One with a bridge br0, in a namespace of its own, while a fixture lasts."""
    with namespaces() as namespace:
        made = Host(namespace, directory)
        try:
            made.vsctl("add-br", "br0")
            yield made
        finally:
            made.stop()
