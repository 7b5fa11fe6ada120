"""How long a whole `ovs-vsctl add-port` takes, waiting for the switch, with few and with many ports.

Ours (all our commands) and the original (all of its), dummy devices, in the same run; medians.  The goal:
with 2,000 ports at most twice as long as with 10.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OURS = Path(sys.executable).parent
ORIGINAL = {
    "ovsdb-server": "/usr/sbin",
    "ovs-vswitchd": "/usr/sbin",
    "ovs-vsctl": "/usr/bin",
    "ovsdb-tool": "/usr/bin",
}


class Lab:
    """A database server and a switch in a directory of their own."""

    def __init__(self, directory: str, original: bool) -> None:
        self.directory = directory
        self.original = original
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        self.environment = {**os.environ, **dict.fromkeys(names, directory)}
        self.daemons: list[subprocess.Popen[bytes]] = []

    def path(self, program: str) -> str:
        return f"{ORIGINAL[program] if self.original else OURS}/{program}"

    def run(self, program: str, *arguments: str) -> None:
        command = [self.path(program), *arguments]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=600)

    def start(self, program: str, *arguments: str) -> None:
        command = [self.path(program), *arguments, "--pidfile", "-vconsole:off"]
        self.daemons.append(subprocess.Popen(command, env=self.environment))
        deadline = time.monotonic() + 20
        while not os.path.exists(f"{self.directory}/{program}.pid"):
            assert time.monotonic() < deadline, f"{program} does not start"
            time.sleep(0.02)
        time.sleep(0.2)

    def fill(self, bridge: str, first: int, count: int) -> None:
        for start in range(first, first + count, 500):
            command = ["-t", "300"]
            for i in range(start, min(start + 500, first + count)):
                command += [
                    "--",
                    "add-port",
                    bridge,
                    f"p{i}",
                    "--",
                    "set",
                    "Interface",
                    f"p{i}",
                    "type=dummy",
                ]
            self.run("ovs-vsctl", *command)

    def measure(self, bridge: str, rounds: int, prefix: str) -> float:
        """The median time of one add-port, milliseconds."""
        times = []
        for i in range(rounds):
            name = f"{prefix}{i}"
            start = time.perf_counter()
            self.run("ovs-vsctl", "add-port", bridge, name, "--", "set", "Interface", name, "type=dummy")
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times)


@contextmanager
def lab(original: bool) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="ba") as directory:
        made = Lab(directory, original)
        try:
            made.run("ovsdb-tool", "create", f"{directory}/conf.db", *_schema(original))
            made.start("ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock")
            made.run("ovs-vsctl", "--no-wait", "init")
            made.start("ovs-vswitchd", "--enable-dummy=override", "--disable-system")
            made.run("ovs-vsctl", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
            yield made
        finally:
            for daemon in reversed(made.daemons):
                daemon.terminate()
            for daemon in made.daemons:
                daemon.wait(20)


def _schema(original: bool) -> tuple[str, ...]:
    return ("/usr/share/openvswitch/vswitch.ovsschema",) if original else ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-original", action="store_true")
    options = parser.parse_args()
    for original in (False, True)[
        : 1 if options.no_original or not os.path.exists("/usr/bin/ovs-vsctl") else 2
    ]:
        with lab(original) as made:
            made.fill("br0", 0, 10)
            few = made.measure("br0", options.rounds, "few")
            start = time.perf_counter()
            made.fill("br0", 10, options.ports - 10)
            filled = time.perf_counter() - start
            many = made.measure("br0", options.rounds, "many")
        name = "original" if original else "ours"
        print(
            f"{name:10} with 10 ports {few:7.1f} ms, with {options.ports:,} {many:7.1f} ms: "
            f"{many / few:5.2f} times   (filled in {filled:.1f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
