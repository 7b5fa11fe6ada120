"""Tunnels with options:psk: between the hosts there is ESP and nothing else, whatever happens.

Where the kernel has no ESP such a tunnel is refused, and nothing is sent either; Debian's kernel has it
(make test-debian-kernel).
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.kernel_program import compiled, needs_kernel
from support.namespaces import Namespace, namespaces
from support.originals import PATIENCE

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("tunnels")]
_DEADLINE = 30.0 * PATIENCE
_MARK = b"not for others"
_ENDS = {4: ("192.168.9.1", "192.168.9.2"), 6: ("fd00:9::1", "fd00:9::2")}
_CAPTURE = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("up0", 0))
print("ready", flush=True)
counts = {"esp": 0, "clear": 0, "secret": 0}
mark = sys.argv[1].encode()
s.settimeout(0.2)
import select
while True:
    readable, _, _ = select.select([s, sys.stdin], [], [])
    if s in readable:
        frame = s.recv(1 << 16)
        kind = frame[12:14].hex()
        protocol = frame[23] if kind == "0800" else frame[20] if kind == "86dd" else None
        if protocol == 44:
            protocol = frame[54]
        counts["esp"] += protocol == 50
        counts["clear"] += protocol in (17, 47)
        counts["secret"] += mark in frame
    elif sys.stdin in readable:
        if not sys.stdin.readline():
            break
        print(counts["esp"], counts["clear"], counts["secret"], flush=True)
"""
_PLAIN = """
import socket, sys
kind, address = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
frame = b"\\xff" * 6 + b"\\x02\\0\\0\\0\\0\\x09" + b"\\x88\\xb5" + bytes(60)
if kind == "gre":
    s = socket.socket(family, socket.SOCK_RAW, 47)
    data, to = bytes.fromhex("200065580000004d") + frame, (address, 0)
else:
    s = socket.socket(family, socket.SOCK_DGRAM)
    head, port = ("0800000000004d00", 4789) if kind == "vxlan" else ("0000655800004d00", 6081)
    data, to = bytes.fromhex(head) + frame, (address, port)
for _ in range(5):
    s.sendto(data, to)
"""


_STRANGER = "dl_type=0x88b5"


class Capture:
    """What passes between the hosts: packets of ESP, of tunnels in clear, with the mark."""

    def __init__(self, namespace: Namespace) -> None:
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace.name, sys.executable, "-c", _CAPTURE, _MARK.decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def counts(self) -> tuple[int, ...]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return tuple(map(int, self.process.stdout.readline().split()))

    def stop(self) -> None:
        self.process.communicate(timeout=_DEADLINE)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.fixture
def places(short_directory: Path) -> Iterator[tuple[Namespace, Namespace, Path]]:
    with namespaces() as left, namespaces() as right:
        left("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", right.name)
        for end in (left, right):
            end("ip", "link", "set", "up0", "up")
        yield left, right, short_directory


def has_esp(namespace: Namespace) -> bool:
    """Asks the kernel for an association, which stays: it is a stranger's."""
    key, more = "0x" + "11" * 32, "0x" + "22" * 32
    ends = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x999", "mode", "transport"]
    ciphers = ["enc", "cbc(aes)", key, "auth-trunc", "hmac(sha256)", more, "128"]
    text = namespace("ip", "xfrm", "state", "add", *ends, "reqid", "7", *ciphers, check=False)
    assert text == "" or "not found" in text or "not supported" in text, text
    return text == ""


def build(
    namespace: Namespace, directory: Path, number: int, datapath: str, own: str
) -> tuple[Host, Namespace]:
    directory.mkdir()
    nodad = ("nodad",) if ":" in own else ()
    namespace("ip", "addr", "add", f"{own}/{64 if nodad else 24}", "dev", "up0", *nodad)
    host = Host(namespace, directory)
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath}")
    machine = namespace.machine("m0", f"10.9.0.{number}/24")
    machine("ip", "link", "set", "eth0", "mtu", "1300")
    host.vsctl("add-port", "br0", "m0")
    return host, machine


def add_tunnel(host: Host, type: str, remote: str, *more: str) -> None:
    options = (f"type={type}", f"options:remote_ip={remote}", "options:key=77", *more)
    host.vsctl("add-port", "br0", "tun0", "--", "set", "Interface", "tun0", *options)


def pings(machine: Namespace, address: str) -> bool:
    text = machine("ping", "-q", "-c", "2", "-W", "1", "-p", _MARK.hex(), address, check=False)
    return "received" in text and " 0 received" not in text


def received(host: Host) -> str:
    return host.run("ovs-ofctl", "dump-ports", "br0", "tun0").partition("rx pkts=")[2].partition(",")[0]


@pytest.mark.parametrize(
    ("type", "datapath", "family", "named"),
    [("vxlan", "system", 4, True), ("gre", "netdev", 4, False), ("geneve", "system", 6, False)],
)
def test_between_the_hosts_everything_is_encrypted(
    places: tuple[Namespace, Namespace, Path], type: str, datapath: str, family: int, named: bool
) -> None:
    left, right, directory = places
    if datapath == "system":
        needs_kernel()
        compiled()
    here, there = _ENDS[family]
    able = has_esp(left)
    if not able and type != "vxlan":
        pytest.skip("THIS KERNEL HAS NO ESP")
    capture = Capture(right)
    hosts: list[Host] = []
    try:
        one, machine = build(left, directory / "1", 1, datapath, here)
        hosts.append(one)
        other, peer = build(right, directory / "2", 2, datapath, there)
        hosts.append(other)
        own = (f"options:local_ip={here}",) if named else ()
        add_tunnel(one, type, there, *own, "options:psk=swordfish")
        if not able:
            wanted = "tun0: options:psk: its packets cannot be encrypted: this kernel lacks ESP"
            assert wanted in one.vsctl("get", "Interface", "tun0", "error")
            assert not pings(machine, "10.9.0.2")
            assert capture.counts()[1:] == (0, 0)
            pytest.skip("THIS KERNEL HAS NO ESP: only that it is refused was tried")
        one.until("[]", "get", "Interface", "tun0", "error")
        assert not pings(machine, "10.9.0.2"), "nobody is there"
        add_tunnel(other, type, here, "options:psk=wrong")
        other.until("[]", "get", "Interface", "tun0", "error")
        assert not pings(machine, "10.9.0.2"), "by another secret"
        assert received(other) == "0"
        other.vsctl("set", "Interface", "tun0", "options:psk=swordfish")
        until(lambda: pings(machine, "10.9.0.2"), "by the same secret")
        until(lambda: pings(peer, "10.9.0.1"), "back")
        move(machine, peer)
        other.run("ovs-ofctl", "add-flow", "br0", f"priority=9,{_STRANGER},actions=NORMAL")
        left(sys.executable, "-c", _PLAIN, type, there)
        until(lambda: pings(machine, "10.9.0.2"), "a stranger's packets are in the way")  # those come first
        assert "n_packets=0" in other.run("ovs-ofctl", "dump-flows", "br0", _STRANGER), "in clear"
        other.switch.kill()
        other.switch.wait()
        assert not pings(machine, "10.9.0.2"), "nobody encrypts"
        other.start_switch()
        until(lambda: pings(machine, "10.9.0.2"), "after a restart")
        esp, clear, secret = capture.counts()
        assert esp > 20
        assert clear == 5, "those of the stranger"
        assert secret == 0
        one.vsctl("del-port", "tun0")
        assert not pings(machine, "10.9.0.2")
        states = left("ip", "xfrm", "state")
        assert states.startswith("src 192.0.2.1 ")
        assert states.count("\nsrc ") == 0, "but a stranger's there is none"
        assert left("ip", "xfrm", "policy").count("dir in action block") == 0
        other.run("ovs-appctl", "exit")
        other.switch.wait(_DEADLINE)
        assert right("ip", "xfrm", "state") == ""
        assert "action block" not in right("ip", "xfrm", "policy")
        assert capture.counts()[1:] == (5, 0)
    finally:
        for host in hosts:
            host.stop()
        capture.stop()


def move(machine: Namespace, peer: Namespace) -> None:
    """Some data over TCP."""
    server = peer.start("iperf3", "-s", "-1")
    try:
        until(lambda: ":5201" in peer("ss", "-ltn"), "iperf3 does not listen")
        sent = machine("iperf3", "-c", "10.9.0.2", "-n", "300K")
        assert "receiver" in sent
        server.wait(_DEADLINE)
    finally:
        if server.poll() is None:
            os.kill(server.pid, 9)
            server.wait()
        if server.stdout is not None:
            server.stdout.close()
