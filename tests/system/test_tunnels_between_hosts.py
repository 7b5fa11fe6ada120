"""Tunnels between hosts of three kinds: our kernel datapath, our `sim`, the original's userspace datapath.

Each host has a machine behind its bridge and a tunnel to the other host.  The machines ping each other and
move some data over TCP.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.host import Host
from support.kernel_program import compiled, needs_kernel
from support.namespaces import Namespace, namespaces
from support.originals import PROGRAMS

pytestmark = [pytest.mark.system, pytest.mark.oracle, pytest.mark.xdist_group("tunnels")]

KERNEL, SIM, ORIGINAL = "kernel", "sim", "original"
PAIRS = [
    ("vxlan", KERNEL, SIM, 4, ""),
    ("vxlan", KERNEL, ORIGINAL, 4, ""),
    ("vxlan", KERNEL, KERNEL, 6, ""),  # whose checksums are none
    ("vxlan", SIM, ORIGINAL, 4, ""),
    ("geneve", KERNEL, SIM, 4, "options:csum=true"),
    ("geneve", KERNEL, ORIGINAL, 4, "options:csum=true"),
    ("geneve", KERNEL, ORIGINAL, 6, ""),
    ("geneve", SIM, ORIGINAL, 4, ""),
    ("gre", KERNEL, ORIGINAL, 4, "options:csum=true"),
    ("gre", SIM, ORIGINAL, 4, ""),
    ("ip6gre", KERNEL, ORIGINAL, 6, ""),
    ("erspan", KERNEL, ORIGINAL, 4, "options:erspan_ver=1 options:erspan_idx=3"),
    ("gtpu", KERNEL, ORIGINAL, 4, ""),
    ("gtpu", SIM, ORIGINAL, 6, ""),
]
"""Over Geneve packets carry two options, without which they go no further; GTP-U takes no Ethernet header."""
ENDS = {4: ("192.168.9.1", "192.168.9.2"), 6: ("fd00:9::1", "fd00:9::2")}


class OriginalHost(Host):
    """The original's daemons; the tools are ours."""

    def command(self, program: str, *arguments: str, before: Sequence[str] = ()) -> list[str]:
        if program in ("ovs-vswitchd", "ovsdb-server"):
            return ["ip", "netns", "exec", self.namespace.name, *before, PROGRAMS[program], *arguments]
        return super().command(program, *arguments, before=before)


def build(stack: ExitStack, kind: str, namespace: Namespace, directory: Path, own: str) -> Host:
    """A host with a bridge, on the device up0 that leads to the other."""
    directory.mkdir()
    host = (OriginalHost if kind == ORIGINAL else Host)(namespace, directory)
    stack.callback(host.stop)
    type = "system" if kind == KERNEL else "netdev"
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={type}")
    namespace("ip", "link", "set", "up0", "up")
    if kind == ORIGINAL:  # it looks for its peers through bridges alone
        host.vsctl("add-br", "phy", "--", "set", "bridge", "phy", "datapath_type=netdev")
        host.vsctl("add-port", "phy", "up0")
        namespace("ip", "link", "set", "phy", "up")
    device = "phy" if kind == ORIGINAL else "up0"
    nodad = ("nodad",) if ":" in own else ()
    namespace("ip", "addr", "add", f"{own}/{64 if nodad else 24}", "dev", device, *nodad)
    return host


def with_options(host: Host) -> None:
    """Packets get two options on their way into the tunnel, and those without do not come out of it."""
    mappings = "{class=0xff01,type=0x80,len=4}->tun_metadata0,{class=2,type=2,len=12}->tun_metadata1"
    host.run("ovs-ofctl", "add-tlv-map", "br0", mappings)
    host.run("ovs-ofctl", "del-flows", "br0")
    sets = "set_field:0x1234->tun_metadata0,set_field:0x12345678->tun_metadata1"
    host.run("ovs-ofctl", "add-flow", "br0", f"in_port=m0,actions={sets},output:tun0")
    matches = "tun_metadata0=0x1234,tun_metadata1=0x12000000/0xff000000"
    host.run("ovs-ofctl", "add-flow", "br0", f"in_port=tun0,{matches},actions=output:m0")


def with_new_headers(host: Host, machine: Namespace, number: int) -> None:
    """What comes out of the tunnel goes to the machine, which knows its peer already."""
    mac = machine("cat", "/sys/class/net/eth0/address").strip()
    machine("ip", "neigh", "replace", f"10.9.0.{3 - number}", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    host.run("ovs-ofctl", "del-flows", "br0")
    host.run("ovs-ofctl", "add-flow", "br0", "in_port=m0,ip,actions=output:tun0")
    host.run("ovs-ofctl", "add-flow", "br0", f"in_port=tun0,actions=mod_dl_dst:{mac},output:m0")


@pytest.fixture
def places(short_directory: Path) -> Iterator[tuple[Namespace, Namespace, Path]]:
    with namespaces() as left, namespaces() as right:
        left("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", right.name)
        for end in (left, right):  # the original's userspace datapath finishes no checksums
            end("ethtool", "-K", "up0", "tx", "off")
        yield left, right, short_directory


@pytest.mark.parametrize(("type", "one", "other", "family", "more"), PAIRS)
def test_machines_reach_each_other(
    places: tuple[Namespace, Namespace, Path], type: str, one: str, other: str, family: int, more: str
) -> None:
    left, right, directory = places
    if KERNEL in (one, other):
        needs_kernel()
        compiled()
    with ExitStack() as stack:
        machines = []
        here, there = ENDS[family]
        ends = ((one, left, here, there), (other, right, there, here))
        for number, (kind, namespace, own, peer) in enumerate(ends, 1):
            host = build(stack, kind, namespace, directory / str(number), own)
            machine = namespace.machine("m0", f"10.9.0.{number}/24")
            machine("ip", "link", "set", "eth0", "mtu", "1400")
            machine("ethtool", "-K", "eth0", "tx", "off")
            machines.append(machine)
            host.vsctl("add-port", "br0", "m0")
            options = (f"options:remote_ip={peer}", "options:key=77", *more.split())
            host.vsctl("add-port", "br0", "tun0", "--", "set", "interface", "tun0", f"type={type}", *options)
            host.until("[]", "get", "interface", "tun0", "error")
            if type == "geneve":
                with_options(host)
            elif type == "gtpu":
                with_new_headers(host, machine, number)
        for machine, address in zip(machines, ("10.9.0.2", "10.9.0.1"), strict=True):
            assert any(machine.pings(address) for _ in range(10)), f"{type}: {one} and {other}"
        server = machines[1].start("iperf3", "-s", "-1")
        try:
            for _ in range(20):
                sent = machines[0]("iperf3", "-c", "10.9.0.2", "-n", "300K", check=False)
                if "receiver" in sent:
                    break
            assert "receiver" in sent, sent
        finally:
            server.terminate()
            server.wait(20)
            if server.stdout is not None:
                server.stdout.close()
