"""Many ports at once: database server, switch and tool as processes, with dummy devices; no root needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import environment, wait_for

OURS = Path(sys.executable).parent


class Daemons:
    def __init__(self, directory: Path) -> None:
        self.environment = environment(directory)
        self.run("ovsdb-tool", "create", f"{directory}/conf.db")
        self.processes = [
            self.start("ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock")
        ]
        wait_for(directory / "db.sock")
        self.run("ovs-vsctl", "--no-wait", "init")
        self.processes.append(self.start("ovs-vswitchd", "--enable-dummy=override", "--disable-system"))
        wait_for(directory / "ovs-vswitchd.pid")

    def run(self, program: str, *words: str) -> str:
        command = [str(OURS / program), *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        command = [str(OURS / program), *words, "--pidfile", "-vconsole:off"]
        return subprocess.Popen(command, env=self.environment)

    def processor(self) -> float:
        """Seconds of processor time that the daemons and the tools have taken so far."""
        total = sum(os.times()[2:4])
        for process in self.processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)


@pytest.fixture
def daemons(short_directory: Path) -> Iterator[Daemons]:
    made = Daemons(short_directory)
    try:
        yield made
    finally:
        made.stop()


def add(daemons: Daemons, bridge: str, count: int) -> float:
    """A bridge and its ports in one command; the processor time that this took."""
    before = daemons.processor()
    words = ["-t", "80", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy"]
    for number in range(count):
        name = f"{bridge}-{number}"
        words += ["--", "add-port", bridge, name, "--", "set", "interface", name, "type=dummy"]
    daemons.run("ovs-vsctl", *words)
    return daemons.processor() - before


def test_many_ports_in_one_command_cost_so_many_times_one(daemons: Daemons) -> None:
    few, many = add(daemons, "a", 300), add(daemons, "b", 1200)
    assert many < 8 * few, "four times the ports"
    numbers = daemons.run("ovs-vsctl", "--columns=ofport", "--bare", "list", "Interface").split()
    assert sorted(map(int, numbers)) == sorted([*range(1, 301), *range(1, 1201), 65534, 65534])
    daemons.run(
        "ovs-vsctl", "-t", "20", "add-port", "b", "last", "--", "set", "interface", "last", "type=dummy"
    )
    before = daemons.processor()
    daemons.run("ovs-vsctl", "-t", "80", "del-br", "b")
    assert daemons.processor() - before < 2 * many
    assert daemons.run("ovs-vsctl", "list-br") == "a\n"
