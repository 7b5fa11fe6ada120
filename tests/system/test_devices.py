"""Real devices under the switch core: offloads, VLAN tags, promiscuity, internal ports that survive."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespaces import Namespace, namespaces

pytestmark = pytest.mark.system
LITTLE_SWITCH = str(Path(__file__).parents[1] / "support" / "little_switch.py")


@pytest.fixture
def host() -> Iterator[Namespace]:
    with namespaces() as host:
        yield host


class Switch:
    """little_switch.py in the namespace `host`."""

    def __init__(self, host: Namespace, *ports: str, directory: str = "/run/one") -> None:
        command = ["ip", "netns", "exec", host.name, sys.executable, LITTLE_SWITCH, directory, *ports]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait("ready")

    def wait(self, word: str) -> str:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith(word):
                return line
        raise AssertionError(f"the switch ended before it said {word}")

    def tell(self, line: str, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.wait(word)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Switch":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def tcp(sender: Namespace, receiver: Namespace, address: str) -> float:
    """Gigabits per second of one second of TCP."""
    server = receiver.start("iperf3", "-s", "-1")
    try:
        deadline = time.monotonic() + 10
        while ":5201" not in receiver("ss", "-ltn"):
            assert time.monotonic() < deadline, "iperf3 does not listen"
            time.sleep(0.05)
        text = sender("iperf3", "-c", address, "-t", "1", "-f", "g", timeout=30)
    finally:
        server.kill()
        server.wait()
    found = re.search(r"([\d.]+) Gbits/sec.*receiver", text)
    assert found is not None, text
    return float(found[1])


def test_machines_talk_with_offloads_on_and_vlans_keep_them_apart(host: Namespace) -> None:
    first, second = host.machine("p1", "10.0.0.1/24"), host.machine("p2", "10.0.0.2/24")
    other = host.machine("p3", "10.0.0.3/24")
    with Switch(host, "p1:system:7", "p2:system:7", "p3:system:8"):
        assert first.pings("10.0.0.2")
        assert not first.pings("10.0.0.3")
        assert not other.pings("10.0.0.1")
        assert "tcp-segmentation-offload: on" in first("ethtool", "-k", "eth0")
        assert tcp(first, second, "10.0.0.2") > 0.5


def test_large_segments_pass_through_a_tag(host: Namespace) -> None:
    """p2 is a trunk: its machine takes frames of VLAN 7 as they are, and a switch of its own untags them."""
    first = host.machine("p1", "10.0.0.1/24")
    second = host.machine("p2", "10.9.9.9/24")
    with (
        Switch(host, "p1:system:7", "p2:system"),
        Switch(second, "eth0:system", "int0:internal:7", directory="/run/two"),
    ):
        second("ip", "link", "set", "int0", "up")
        second("ip", "addr", "add", "10.0.0.2/24", "dev", "int0")
        assert first.pings("10.0.0.2")
        assert tcp(first, second, "10.0.0.2") > 0.3
        assert tcp(second, first, "10.0.0.1") > 0.3


def test_a_device_is_promiscuous_while_it_is_a_port(host: Namespace) -> None:
    host.machine("p1", "10.0.0.1/24")

    def promiscuity() -> str:
        found = re.search(r"promiscuity (\d+)", host("ip", "-d", "link", "show", "p1"))
        assert found is not None
        return found[1]

    assert promiscuity() == "0"
    with Switch(host, "p1:system") as switch:
        assert promiscuity() == "1"
        switch.tell("remove p1", "done")
        assert promiscuity() == "0"
    switch = Switch(host, "p1:system")
    assert promiscuity() == "1"
    switch.kill()
    assert promiscuity() == "0"


def test_an_internal_port_outlives_the_switch(host: Namespace) -> None:
    machine = host.machine("p1", "10.0.0.1/24")
    switch = Switch(host, "p1:system", "br0:internal")
    host("ip", "link", "set", "br0", "up")
    host("ip", "addr", "add", "10.0.0.254/24", "dev", "br0")
    assert machine.pings("10.0.0.254")
    before = host("ip", "link", "show", "br0")
    switch.kill()
    shown = host("ip", "addr", "show", "br0")
    assert "LOWER_UP" in shown
    assert "10.0.0.254/24" in shown
    switch = Switch(host, "p1:system", "br0:internal")
    assert host("ip", "link", "show", "br0") == before
    assert machine.pings("10.0.0.254")
    assert tcp(machine, host, "10.0.0.254") > 0.5
    switch.tell("remove br0", "done")
    assert "br0" not in host("ip", "link")
    switch.kill()


def test_tcpdump_on_an_internal_port_sees_both_directions(host: Namespace) -> None:
    machine = host.machine("p1", "10.0.0.1/24")
    with Switch(host, "p1:system", "br0:internal"):
        host("ip", "link", "set", "br0", "up")
        host("ip", "addr", "add", "10.0.0.254/24", "dev", "br0")
        assert machine.pings("10.0.0.254")
        dump = host.start("tcpdump", "-nn", "-l", "-U", "-c", "4", "-i", "br0", "icmp")
        assert dump.stdout is not None
        while "listening" not in (line := dump.stdout.readline()):
            assert line, "tcpdump ended"
        machine("ping", "-q", "-c", "2", "-i", "0.2", "10.0.0.254")
        text, _ = dump.communicate(timeout=20)
        assert text.count("echo request") == 2
        assert text.count("echo reply") == 2


def test_two_switches_do_not_take_each_others_internal_ports(host: Namespace) -> None:
    with Switch(host, "one:internal", directory="/run/a"), Switch(host, "two:internal", directory="/run/b"):
        links = host("ip", "-o", "link")
        assert "one@" in links
        assert "two@" in links


def test_a_device_that_goes_is_noticed(host: Namespace) -> None:
    machine = host.machine("p1", "10.0.0.1/24")
    host.machine("p2", "10.0.0.2/24")
    with Switch(host, "p1:system", "p2:system") as switch:
        assert machine.pings("10.0.0.2")
        host("ip", "link", "del", "p1")
        switch.wait("news p1")
        assert switch.tell("state p1", "False").startswith("False")
        host("ip", "link", "set", "p2", "down")
        host("ip", "link", "set", "p2", "name", "p9")
        switch.wait("news p9")
        assert switch.tell("state p2", "False").startswith("False")
        host("ip", "link", "set", "p9", "name", "p2")
        switch.wait("news p2")
        assert switch.tell("state p2", "True").startswith("True")


def test_a_tap_device_carries_traffic(host: Namespace) -> None:
    machine = host.machine("p1", "10.0.0.1/24")
    with Switch(host, "p1:system", "tp0:tap") as switch:
        host("ip", "link", "set", "tp0", "up")
        host("ip", "addr", "add", "10.0.0.254/24", "dev", "tp0")
        assert machine.pings("10.0.0.254")
        assert tcp(machine, host, "10.0.0.254") > 0.3
        assert tcp(host, machine, "10.0.0.1") > 0.3
        host("ip", "link", "del", "tp0")
        assert switch.tell("state tp0", "False").startswith("False")
