"""Two machines, what is between them, our switch or the original's, and loads: for benches of kernels."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from tests.support.namespaces import Namespace
from tests.support.originals import VSWITCH_SCHEMA

from bench.lab import Lab, lab

SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "1"))
ADDRESS: Final = "10.99.0.{}"
_PORT: Final = 5201


class Path(NamedTuple):
    """Two machines and what is between them."""

    name: str
    left: Namespace
    right: Namespace
    to: str = ADDRESS.format(2)


# ---- paths


def bare(root: Namespace, tag: str) -> Path:
    left, right = Namespace(f"{root.name}-{tag}l"), Namespace(f"{root.name}-{tag}r")
    left("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", right.name)
    for machine, number in ((left, 1), (right, 2)):
        machine("ip", "addr", "add", f"{ADDRESS.format(number)}/16", "dev", "eth0")
        machine("ip", "link", "set", "eth0", "up")
    return Path("veth", left, right)


def machines(root: Namespace, tag: str) -> Path:
    """Two machines whose ports in `root` are TAGl and TAGr."""
    left = root.machine(f"{tag}l", f"{ADDRESS.format(1)}/16")
    right = root.machine(f"{tag}r", f"{ADDRESS.format(2)}/16")
    return Path(tag, left, right)


def bridged(root: Namespace) -> Path:
    path = machines(root, "lb")
    root("ip", "link", "add", "linuxbridge", "type", "bridge")
    root("ip", "link", "set", "linuxbridge", "up")
    for port in ("lbl", "lbr"):
        root("ip", "link", "set", port, "master", "linuxbridge")
    return path


def vxlan_device(root: Namespace, tag: str, *, machines: bool) -> Path:
    """The kernel's own vxlan device between two hosts: it is the hosts that send, or machines behind a Linux
    bridge."""
    hosts = [Namespace(f"{root.name}-{tag}{number}") for number in (1, 2)]
    ends = []
    hosts[0]("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", hosts[1].name)
    for number, host in enumerate(hosts, 1):
        host("ip", "link", "set", "wire", "up")
        host("ip", "addr", "add", f"172.16.0.{number}/24", "dev", "wire")
        remote = ("remote", f"172.16.0.{3 - number}", "dstport", "4789")
        host("ip", "link", "add", "vx", "type", "vxlan", "id", "7", *remote)
        host("ip", "link", "set", "vx", "up")
        if machines:
            host("ip", "link", "add", "lb", "type", "bridge")
            host("ip", "link", "set", "lb", "up")
            end = host.machine("p", f"10.97.0.{number}/24")
            end("ip", "link", "set", "eth0", "mtu", "1400")
            for port in ("p", "vx"):
                host("ip", "link", "set", port, "master", "lb")
        else:
            end = host
            host("ip", "addr", "add", f"10.97.0.{number}/24", "dev", "vx")
        ends.append(end)
    return Path("vxlan device" + (" and Linux bridge" if machines else ""), ends[0], ends[1], "10.97.0.2")


class Switch:
    """Database server and switch in a namespace: ours, or the originals."""

    def __init__(self, root: Namespace, made: Lab) -> None:
        self._root, self._lab = root, made
        self.start("ovsdb-server", f"{made.directory}/conf.db", f"--remote=punix:{made.socket}")
        self("ovs-vsctl", "--no-wait", "init")
        self.start("ovs-vswitchd")

    def start(self, program: str, *arguments: str) -> None:
        if program == "ovsdb-server":
            schema = (VSWITCH_SCHEMA,) if self._lab.original else ()
            self._lab.run("ovsdb-tool", "create", f"{self._lab.directory}/conf.db", *schema)
        self(program, *arguments, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off")

    def __call__(self, program: str, *arguments: str, given: str | None = None) -> str:
        command = ["ip", "netns", "exec", self._root.name, self._lab.path(program), *arguments]
        done = subprocess.run(
            command, env=self._lab.environment, capture_output=True, text=True, timeout=120, input=given
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def bridge(self, name: str, *ports: str) -> None:
        words = ["add-br", name]
        for port in ports:
            words += ["--", "add-port", name, port]
        self("ovs-vsctl", *words)

    def flows(self, bridge: str, text: str) -> None:
        self("ovs-ofctl", "replace-flows", bridge, "-", given=text)

    def megaflows(self) -> int:
        return len(self("ovs-appctl", "dpctl/dump-flows").splitlines())

    def stop(self) -> None:
        for program in ("ovs-vswitchd", "ovsdb-server"):
            self("ovs-appctl", "-t", program, "exit")


@contextmanager
def switch(root: Namespace, *, original: bool = False) -> Iterator[Switch]:
    with lab(original) as made:
        one = Switch(root, made)
        try:
            yield one
        finally:
            one.stop()


def hosts(root: Namespace, tag: str, kind: str, original: bool, stack: ExitStack) -> Path:
    """A machine at each of two hosts, which a tunnel joins."""
    there = [Namespace(f"{root.name}-{tag}h{number}") for number in (1, 2)]
    there[0]("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", there[1].name)
    ends = []
    for number, host in enumerate(there, 1):
        host("ip", "link", "set", "wire", "up")
        host("ip", "addr", "add", f"172.16.0.{number}/24", "dev", "wire")
        one = stack.enter_context(switch(host, original=original))
        machine = host.machine("p", f"10.97.0.{number}/24")
        machine("ip", "link", "set", "eth0", "mtu", "1400")
        one.bridge("br0", "p")
        settings = (f"type={kind}", f"options:remote_ip=172.16.0.{3 - number}", "options:key=7")
        one("ovs-vsctl", "add-port", "br0", "t0", "--", "set", "Interface", "t0", *settings)
        ends.append(machine)
    return Path(f"{kind}, {'original' if original else 'ours'}", ends[0], ends[1], "10.97.0.2")


# ---- loads


@contextmanager
def serving(path: Path) -> Iterator[None]:
    server = path.right.start("iperf3", "-s", "-B", path.to)
    try:
        end = time.monotonic() + 20
        while f":{_PORT}" not in path.right("ss", "-ltn"):
            assert time.monotonic() < end, "iperf3 does not listen"
            time.sleep(0.05)
        yield
    finally:
        server.kill()
        server.wait()


def _iperf(path: Path, *arguments: str) -> dict[str, Any]:
    text = path.left("iperf3", "-J", "-c", path.to, "-t", f"{SECONDS:g}", *arguments, timeout=60)
    end: dict[str, Any] = json.loads(text)["end"]
    return end


def tcp(path: Path) -> float:
    """Gb/s."""
    return float(_iperf(path)["sum_received"]["bits_per_second"]) / 1e9


def small(path: Path) -> float:
    """64-byte datagrams a second that arrive."""
    total = _iperf(path, "-u", "-b", "0", "-l", "22")["sum"]
    return float((total["packets"] - total["lost_packets"]) / total["seconds"])
