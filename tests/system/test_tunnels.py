"""Hosts of two kinds, ours and the original's userspace datapath, exchange traffic over tunnels."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.namespaces import Namespace, sh
from support.originals import PROGRAMS, VSWITCH_SCHEMA, environment, installed
from support.waiting import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not installed(), reason="the originals are not installed"),
]
OURS = Path(sys.executable).parent
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
TUNNELS = (
    ("vxlan", "options:key=flow"),
    ("geneve", "options:key=7 options:csum=true"),
    ("gre", "options:key=9 options:csum=true"),
)


class Host:
    """A namespace with a switch of its own and one machine; `underlay`: its address is on a bridge that holds
    its device, else on the device."""

    def __init__(self, name: str, directory: Path, index: int, *, ours: bool, underlay: bool) -> None:
        self.ours = ours
        self.directory = directory
        directory.mkdir()
        self.namespace = Namespace(name)
        self.index = index
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.device = f"{'br-phy' if underlay else 'eth0'}"
        self._start()
        self.underlay = underlay
        self.machine: Namespace | None = None

    def _spawn(self, *command: str) -> None:
        with (self.directory / f"{Path(command[0]).name}.out").open("wb") as log:
            self.daemons.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", self.namespace.name, *command],
                    env=environment(self.directory),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _start(self) -> None:
        where = self.directory
        sh(PROGRAMS["ovsdb-tool"], "create", f"{where}/conf.db", VSWITCH_SCHEMA)
        self._spawn(PROGRAMS["ovsdb-server"], f"{where}/conf.db", f"--remote=punix:{where}/db.sock")
        until(lambda: (where / "db.sock").exists())
        self.vsctl("--no-wait", "init")
        program = str(OURS / "ovs-vswitchd") if self.ours else PROGRAMS["ovs-vswitchd"]
        self._spawn(program, f"unix:{where}/db.sock", "--pidfile", f"--log-file={where}/ovs-vswitchd.log")
        until(lambda: (where / "ovs-vswitchd.pid").exists())

    def vsctl(self, *words: str) -> str:
        command = (PROGRAMS["ovs-vsctl"], f"--db=unix:{self.directory}/db.sock", "-t", "30", *words)
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace.name, *command],
            env=environment(self.directory),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def configure(self) -> None:
        """Addresses, the bridge br-int with a machine, and where wanted br-phy."""
        host = self.namespace
        if self.underlay:
            self.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev",
                       "--", "add-port", "br-phy", "eth0")  # fmt: skip
            until(lambda: "br-phy" in host("ip", "link", "show"))
            host("ip", "link", "set", "br-phy", "up")
        host("ip", "addr", "add", f"10.0.0.{self.index}/24", "dev", self.device)
        host("ip", "addr", "add", f"fd00::{self.index}/64", "dev", self.device, "nodad")
        self.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
        self.machine = host.machine("vm", f"10.1.1.{self.index}/24")
        self.machine("ip", "link", "set", "eth0", "mtu", "1300")
        if not self.ours:
            self.machine("ethtool", "-K", "eth0", "tx", "off")
        self.vsctl("add-port", "br-int", "vm")

    def know(self, other: "Host") -> None:
        """That the other's address is br-phy's: its kernel answers on eth0, too, with the MAC of that."""
        mac = other.namespace("cat", f"/sys/class/net/{other.device}/address").strip()
        for address in (f"10.0.0.{other.index}", f"fd00::{other.index}"):
            self.namespace("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0")

    def tunnel(self, kind: str, remote: str, options: str) -> None:
        settings = (f"type={kind}", f"options:remote_ip={remote}", *options.split())
        self.vsctl("--if-exists", "del-port", "tun", "--", "add-port", "br-int", "tun",
                   "--", "set", "interface", "tun", *settings)  # fmt: skip

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@contextmanager
def pair(first: bool, second: bool, underlay: bool) -> Iterator[tuple[Host, Host]]:
    """Two hosts on one cable; `first` and `second`: they are ours.  The originals always need the bridge."""
    base = f"tn{os.getpid()}{int(first)}{int(second)}{int(underlay)}"
    hosts: list[Host] = []
    with tempfile.TemporaryDirectory(prefix="tn.", dir="/tmp") as directory:
        try:
            for i, ours in enumerate((first, second), 1):
                name = f"{base}-{i}"
                hosts.append(
                    Host(name, Path(directory) / str(i), i, ours=ours, underlay=underlay or not ours)
                )
            ends = [host.namespace.name for host in hosts]
            sh(
                "ip",
                "-n",
                ends[0],
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                ends[1],
            )
            for host in hosts:
                host.namespace("ip", "link", "set", "eth0", "up")
                host.configure()
            for host, other in (hosts, hosts[::-1]):
                if not host.underlay:
                    host.know(other)
            yield hosts[0], hosts[1]
        finally:
            for host in hosts:
                host.stop()
            for line in sh("ip", "netns", "list").splitlines():
                if line.split()[0].startswith(base):
                    sh("ip", "netns", "del", line.split()[0], check=False)


def exchange(a: Host, b: Host, family: int) -> None:
    """Every kind of tunnel carries pings both ways, and a megabyte."""
    for kind, options in TUNNELS:
        if kind == "gre" and family == 6:
            kind = "ip6gre"
        for host, remote in ((a, ADDRESSES[family][1]), (b, ADDRESSES[family][0])):
            host.tunnel(kind, remote, options)
        for host, other in ((a, b), (b, a)):
            assert host.machine is not None
            until(lambda host=host, other=other: host.machine.pings(f"10.1.1.{other.index}"))
        receive(a, b, kind)


def receive(a: Host, b: Host, kind: str) -> None:
    """A megabyte of TCP from a's machine to b's."""
    assert a.machine is not None
    assert b.machine is not None
    server = (
        "import socket;s=socket.create_server(('',5001));c=s.accept()[0];n=0\n"
        "while d:=c.recv(65536): n+=len(d)\n"
        "print(n)"
    )
    client = (
        "import socket,time\n"
        "for i in range(200):\n"
        f"    try: s=socket.create_connection(('10.1.1.{b.index}',5001),10); break\n"
        "    except OSError: time.sleep(0.05)\n"
        "s.sendall(bytes(1<<20)); s.close()"
    )
    listening = b.machine.start(sys.executable, "-c", server)
    try:
        a.machine(sys.executable, "-c", client, timeout=60)
        out, _ = listening.communicate(timeout=60)
    finally:
        listening.kill()
    assert out.split()[-1] == str(1 << 20), kind


@pytest.mark.parametrize("family", [4, 6])
def test_ours_and_the_originals(family: int) -> None:
    with pair(True, False, True) as (a, b):
        exchange(a, b, family)


@pytest.mark.parametrize("family", [4, 6])
def test_through_the_hosts_own_network(family: int) -> None:
    """Ours needs no bridge for the outer packets; the original's host has one."""
    with pair(True, False, False) as (a, b):
        exchange(a, b, family)
