"""Network namespaces for tests, with names that no other test has."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.waiting import PATIENCE

_SERIAL = itertools.count()


def sh(*command: str, check: bool = True, timeout: float = 30) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout * PATIENCE
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout


class Namespace:
    """A network namespace; calling it runs a command inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        sh("ip", "netns", "add", name)
        self("ip", "link", "set", "lo", "up")

    def __call__(self, *command: str, check: bool = True, timeout: float = 30) -> str:
        return sh("ip", "netns", "exec", self.name, *command, check=check, timeout=timeout)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pings(self, address: str) -> bool:
        """Whether one of three pings comes back."""
        text = self("ping", "-q", "-c", "3", "-i", "0.2", "-W", "1", address, check=False)
        return "received" in text and " 0 received" not in text

    def machine(self, port: str, address: str) -> "Namespace":
        """A machine whose eth0 is the other end of `port` here."""
        other = Namespace(f"{self.name}-{port}")
        self("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", other.name)
        self("ip", "link", "set", port, "up")
        other("ip", "link", "set", "eth0", "up")
        other("ip", "addr", "add", address, "dev", "eth0")
        return other

    def delete(self) -> None:
        sh("ip", "netns", "del", self.name, check=False)


@contextmanager
def running(machine: Namespace, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says "ready", and can be written to; what it does lasts as long as the block."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", machine.name, *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def namespaces() -> Iterator[Namespace]:
    """A host; it and all machines made of it are removed at the end."""
    name = f"tt{os.getpid()}x{next(_SERIAL)}"
    host = Namespace(name)
    try:
        yield host
    finally:
        for line in sh("ip", "netns", "list").splitlines():
            if line.split()[0].split("-")[0] == name:
                sh("ip", "netns", "del", line.split()[0], check=False)
