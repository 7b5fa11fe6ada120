"""Frames longer than the MTU of the device where they would go out are dropped, and counted."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.host import Host, bridged_host
from support.kernel_program import compiled, needs_kernel
from support.namespaces import Namespace, running
from support.waiting import until

pytestmark = pytest.mark.system
WIRE = str(Path(__file__).parents[1] / "support" / "wire.py")
MTU = 1000
ETHERNET = 14
ADDRESSES = bytes.fromhex("020000000002 027700000001")
TYPES = {"plain": bytes.fromhex("88b5"), "tagged": bytes.fromhex("8100 0003 88b5")}
FLAGS, TCP4, TCP_CHECKSUM_AT = 1, 1, 16


@pytest.fixture(params=("system", "netdev"))
def host(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Host]:
    if request.param == "system":
        needs_kernel()
        compiled()
    yield from bridged_host(short_directory)


def frame(kind: str, length: int, mark: int = 0) -> bytes:
    return (ADDRESSES + TYPES[kind] + mark.to_bytes(2, "big")).ljust(length, b"\0")


def large_segment() -> Sequence[object]:
    """TCP that its sender has left to be cut into parts of 1,200 bytes."""
    ip = bytes.fromhex("4500 1388 0000 4000 4006 0000 0a000001 0a000002")
    tcp = bytes.fromhex("1000 2000 00000001 00000001 5010 ffff 0000 0000")
    octets = (ADDRESSES + b"\x08\x00" + ip + tcp).ljust(ETHERNET + 0x1388, b"\1")
    return [octets.hex(), [FLAGS, TCP4, 54, 1200, 34, TCP_CHECKSUM_AT]]


class Lab:
    """A machine that sends and one that hears, with the switch between them."""

    def __init__(self, host: Host, stack: ExitStack) -> None:
        self.host = host
        machines = [host.namespace.machine(f"p{i}", f"10.0.0.{i}/24") for i in (1, 2)]
        for machine in machines:
            machine("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.heard: list[str] = []
        receiver = stack.enter_context(running(machines[1], sys.executable, WIRE, "receive", "eth0"))
        assert receiver.stdout is not None
        os.set_blocking(receiver.stdout.fileno(), False)
        self._receiver = receiver.stdout.fileno()
        self._rest = ""
        self.sender: Namespace = machines[0]

    def send(self, *frames: Sequence[object]) -> None:
        script = f"exec {sys.executable} {WIRE} send eth0 <<'END'\n"
        self.sender("sh", "-c", script + "".join(json.dumps(one) + "\n" for one in frames) + "END\n")

    def lengths(self) -> list[int]:
        """Of the frames that have arrived, sorted."""
        try:
            while octets := os.read(self._receiver, 1 << 20):
                self._rest += octets.decode()
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split("\n")
        self.heard += lines
        return sorted(len(json.loads(line)[0]) // 2 for line in self.heard)

    def dropped(self) -> int:
        """On the way to the second device, by whomever; reasons are those of the port where packets go."""
        shown = self.host.run("ovs-appctl", "dpctl/show", "-s")
        ports = re.split(r"\n  port \d+: ", shown)
        assert not any("too_long" in part for part in ports if not part.startswith("p2 ")), shown
        sent = re.search(
            r"TX packets:\d+ errors:0 dropped:(\d+)", next(part for part in ports if part.startswith("p2 "))
        )
        assert sent is not None, shown
        return int(sent[1])


def test_what_is_longer_than_the_mtu_is_dropped(host: Host, request: pytest.FixtureRequest) -> None:
    datapath = request.node.callspec.params["host"]
    with ExitStack() as stack:
        lab = Lab(host, stack)
        host.vsctl("set", "Bridge", "br0", f"datapath_type={datapath}", "fail-mode=secure")
        host.namespace("ip", "link", "set", "p2", "mtu", str(MTU))
        for number in (1, 2):
            port = f"p{number}"
            host.vsctl("add-port", "br0", port, "--", "set", "Interface", port, f"ofport_request={number}")
        host.run("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=2")

        def arrives(length: int) -> bool:
            lab.send(*([frame(kind, length).hex(), None] for kind in TYPES))
            return lab.lengths().count(length) > 1

        until(lambda: arrives(100), lab.lengths)
        lengths = [("plain", MTU + 14), ("plain", MTU + 15), ("tagged", MTU + 18), ("tagged", MTU + 19)]
        lab.send(*([frame(*one, mark).hex(), None] for mark in range(5) for one in lengths))
        want = sorted([*[MTU + 14] * 5, *[MTU + 18] * 5])
        until(lambda: lab.dropped() == 10, lab.dropped)
        until(lambda: [length for length in lab.lengths() if length > 100] == want, lab.lengths)
        shown = host.run("ovs-appctl", "dpctl/show", "-s")
        assert ("too_long:" in shown) == (datapath == "system"), shown
        host.namespace("ip", "link", "set", "p2", "mtu", str(MTU + 100))  # which the switch hears of
        until(lambda: arrives(MTU + 18 + 90), lab.lengths)
        host.namespace("ip", "link", "set", "p2", "mtu", str(MTU))
        want = [length for length in lab.lengths() if length > 100]
        if datapath == "system":  # the device cuts it; as in the original's module, nobody looks at the parts
            lab.send(large_segment())
            want = sorted([*want, ETHERNET + 0x1388])
            until(lambda: [length for length in lab.lengths() if length > 100] == want, lab.lengths)


V4, V6 = bytes.fromhex("0800"), bytes.fromhex("86dd")
TAG = bytes.fromhex("8100 0003")
OPTIONS = "47 00 0060 0000 0000 40 11 0000 0a000001 0a000002 01010101 01010100"
HEADERS = {
    "udp": V4 + bytes.fromhex("45 00 0060 0000 0000 40 11 0000 0a000001 0a000002 1000 2000 004c 0000"),
    "options": V4 + bytes.fromhex(OPTIONS + "1000 2000 0044 0000"),
    "tcp": V4
    + bytes.fromhex("45 00 0060 0000 0000 40 06 0000 0a000001 0a000002")
    + bytes.fromhex("1000 2000 00000001 00000001 8010 ffff 0000 0000 0101080a 00000001 00000001"),
    "udp6": V6 + bytes.fromhex("60000000 0038 11 40" + "fd" * 32 + "1000 2000 0038 0000"),
    "fragment6": V6
    + bytes.fromhex("60000000 0038 2c 40" + "fd" * 32 + "11 00 0001 00000005 1000 2000 0030 0000"),
}
UNFINISHED = {"udp": [1, 0, 0, 0, 34, 6], "tcp": [1, 0, 0, 0, 34, 16], "udp6": [1, 0, 0, 0, 54, 6]}


def test_a_packet_can_be_cut_anywhere(host: Host, request: pytest.FixtureRequest) -> None:
    """Within its headers, too, with what its sender has left to hardware."""
    datapath = request.node.callspec.params["host"]
    with ExitStack() as stack:
        lab = Lab(host, stack)
        host.vsctl("set", "Bridge", "br0", f"datapath_type={datapath}", "fail-mode=secure")
        for number in (1, 2):
            port = f"p{number}"
            host.vsctl("add-port", "br0", port, "--", "set", "Interface", port, f"ofport_request={number}")
        plain = [[(ADDRESSES + header).ljust(110, b"x").hex(), None] for header in HEADERS.values()]
        plain += [[plain[list(HEADERS).index(kind)][0], offload] for kind, offload in UNFINISHED.items()]
        tagged = [[(ADDRESSES + TAG + header).ljust(110, b"x").hex(), None] for header in HEADERS.values()]
        for most in (14, 18, 33, 34, 41, 47, 53, 58, 65, 109):
            host.run("ovs-ofctl", "add-flow", "br0", f"in_port=1,actions=output(port=2,max_len={most})")
            lab.heard.clear()
            sent = plain + tagged if most >= 20 else plain  # whoever gets less drops what begins as a tag
            lab.send(*sent)  # these come up,
            lab.send(*sent)  # and find the flow
            want = [most] * 2 * len(sent)
            until(lambda: len(lab.lengths()) >= len(want), lambda: (most, lab.lengths()))  # noqa: B023
            assert lab.lengths() == want
        assert "drops" not in host.run("ovs-appctl", "dpctl/show", "-s")
