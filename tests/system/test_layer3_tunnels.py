"""Tunnels of types gtpu, lisp, bareudp and stt between two hosts of ours, by the kernel datapath.

And between one with that and one that has the underlay in a bridge of its userspace datapath, to which large
segments come with the tunnel's headers around them.

Those that carry packets without an Ethernet header lose it on the way: a flow gives them another.  STT looks
like TCP, so nobody may answer its segments with resets.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support.host import Host
from support.kernel_program import compiled, needs_kernel
from support.namespaces import PATIENCE, Namespace, namespaces
from support.transfer import transfer

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("layer 3 tunnels")]
ENDS = {4: ("192.168.9.1", "192.168.9.2"), 6: ("fd00:9::1", "fd00:9::2")}
MACHINES = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd00:a::1", "fd00:a::2")}
KERNEL, BRIDGED = "system", "netdev, the underlay on a bridge"


class Case(NamedTuple):
    """`inside`: the family that the machines talk; `sets`: for what goes into the tunnel, `then`: for what
    comes out."""

    type: str
    family: int
    inside: int
    options: tuple[str, ...] = ("options:key=7",)
    sets: str = ""
    then: str = ""


CASES = (
    Case("gtpu", 4, 4),
    Case("gtpu", 6, 6, ("options:key=flow",), "set_field:99->tun_id,"),
    Case("lisp", 4, 6),
    Case("lisp", 6, 4, ("options:tos=inherit", "options:csum=true")),
    Case("bareudp", 4, 4, ("options:dst_port=6635", "options:payload_type=ip", "options:csum=true")),
    Case("bareudp", 6, 6, ("options:dst_port=6636", "options:payload_type=ip")),
    Case(
        "bareudp", 4, 4, ("options:dst_port=6637", "options:payload_type=mpls"),
        "push_mpls:0x8847,set_field:55->mpls_label,", "pop_mpls:0x0800,",
    ),
    Case("stt", 4, 4, ("options:key=0x123456789abcdef0",)),
    Case("stt", 6, 6),
)  # fmt: skip
MIXED = (Case("lisp", 6, 4), Case("stt", 4, 4), Case("vxlan", 4, 6))


class Side(NamedTuple):
    host: Host
    machine: Namespace
    number: int  # 0 or 1


@contextmanager
def built(kinds: tuple[str, str]) -> Iterator[list[Side]]:
    with namespaces() as left, namespaces() as right, ExitStack() as stack:
        directories = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="l3.", dir="/tmp")))
        left("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", right.name)
        made = []
        for number, (namespace, kind) in enumerate(zip((left, right), kinds, strict=True)):
            namespace("ip", "link", "set", "up0", "up", "mtu", "1500")
            directory = directories / str(number)
            directory.mkdir()
            host = Host(namespace, directory)
            stack.callback(host.stop)
            device = "up0"
            if kind == BRIDGED:
                device = "phy"
                host.vsctl("add-br", "phy", "--", "set", "bridge", "phy", "datapath_type=netdev",
                           "--", "add-port", "phy", "up0")  # fmt: skip
                namespace("ip", "link", "set", "phy", "up")
            namespace("ip", "addr", "add", f"{ENDS[4][number]}/24", "dev", device)
            namespace("ip", "addr", "add", f"{ENDS[6][number]}/64", "dev", device, "nodad")
            machine = namespace.machine("m0", f"{MACHINES[4][number]}/24")
            machine("ip", "addr", "add", f"{MACHINES[6][number]}/64", "dev", "eth0", "nodad")
            machine("ip", "link", "set", "eth0", "mtu", "1300", "address", f"02:00:00:00:00:0{number + 1}")
            host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail-mode=secure",
                       f"datapath_type={kind.split(',')[0]}", "--", "add-port", "br0", "m0")  # fmt: skip
            made.append(Side(host, machine, number))
        for side, other in (made, made[::-1]):
            address = f"02:00:00:00:00:0{other.number + 1}"
            for family in (4, 6):
                neighbour = (MACHINES[family][other.number], "lladdr", address, "dev", "eth0")
                side.machine("ip", "neigh", "replace", *neighbour)
        yield made


@pytest.fixture(scope="module")
def sides() -> Iterator[list[Side]]:
    needs_kernel()
    compiled()
    with built((KERNEL, KERNEL)) as made:
        yield made


@pytest.fixture(scope="module")
def mixed() -> Iterator[list[Side]]:
    needs_kernel()
    compiled()
    with built((KERNEL, BRIDGED)) as made:
        yield made


def configure(side: Side, case: Case) -> None:
    host = side.host
    remote = ENDS[case.family][1 - side.number]
    host.vsctl("--if-exists", "del-port", "t0", "--", "add-port", "br0", "t0",
               "--", "set", "interface", "t0", f"type={case.type}", f"options:remote_ip={remote}",
               *case.options)  # fmt: skip
    assert host.vsctl("get", "interface", "t0", "error").strip() == "[]"
    host.run("ovs-ofctl", "del-flows", "br0")
    to_machine = f"set_field:02:00:00:00:00:0{side.number + 1}->eth_dst,"
    for flow in (
        f"in_port=m0,{'ip' if case.inside == 4 else 'ipv6'},actions={case.sets}output:t0",
        f"in_port=t0,{'mpls,' if case.then else ''}actions={case.then}{to_machine}output:m0",
    ):
        host.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", flow)


def resets(side: Side) -> int:
    """How many TCP segments with RST the host's own network has sent."""
    lines = [line.split() for line in side.host.namespace("cat", "/proc/net/snmp").splitlines()]
    names, values = [line for line in lines if line[0] == "Tcp:"]
    return int(values[names.index("OutRsts")])


def reach(sides: list[Side], case: Case) -> None:
    """Until the machines reach each other."""
    for side in sides:
        configure(side, case)
    deadline = time.monotonic() + 20 * PATIENCE
    while not all(side.machine.pings(MACHINES[case.inside][1 - side.number]) for side in sides):
        assert time.monotonic() < deadline


def name(case: Case) -> str:
    return f"{case.type}-{case.family}-{case.inside}"


@pytest.mark.parametrize("case", MIXED, ids=name)
def test_hosts_of_two_kinds(mixed: list[Side], case: Case) -> None:
    reach(mixed, case)
    one, other = (side.machine for side in mixed)
    transfer(one, other, MACHINES[case.inside][1], "1M")
    transfer(other, one, MACHINES[case.inside][0], "1M")


@pytest.mark.parametrize("case", CASES, ids=name)
def test_machines_reach_each_other(sides: list[Side], case: Case) -> None:
    before = [resets(side) for side in sides]
    reach(sides, case)
    transfer(sides[0].machine, sides[1].machine, MACHINES[case.inside][1], "1M")
    assert [resets(side) for side in sides] == before
