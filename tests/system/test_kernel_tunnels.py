"""Tunnels in the kernel: between two hosts of ours traffic goes on while both switches are stopped.

So no packet of it goes through Python.  What senders leave to hardware is left on, on the cable as well:
large segments and unfinished checksums go through the tunnels.
"""

import os
import re
import signal
import sys
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

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("kernel tunnels")]
ENDS = {4: ("192.168.9.1", "192.168.9.2"), 6: ("fd00:9::1", "fd00:9::2")}
MACHINES = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd00:a::1", "fd00:a::2")}


class Case(NamedTuple):
    """`sets` and `matches`: of packets that go into the tunnel and come out of it; `then`: what is done with
    these; `inside`: the family that the machines talk."""

    type: str
    family: int
    options: tuple[str, ...] = ()
    sets: str = ""
    matches: str = ""
    then: str = ""
    inside: int = 4


OPTION = "set_field:0x1234->tun_metadata0,set_field:0x9abcdef0->tun_metadata1,"
TAG = "mod_vlan_vid:10,"
CASES = (
    Case("vxlan", 4, ("options:key=7",)),
    Case("vxlan", 6, ("options:key=7",)),
    Case(
        "vxlan", 4, ("options:key=7", "options:exts=gbp"), "set_field:0x55->tun_gbp_id,", "tun_gbp_id=0x55,"
    ),
    Case("geneve", 4, ("options:key=flow",), "set_field:99->tun_id,", "tun_id=99,"),
    Case("geneve", 4, ("options:key=7", "options:csum=true"), OPTION, "tun_metadata0=0x1234,"),
    Case(
        "geneve", 6, ("options:key=7", "options:tos=inherit"), OPTION, "tun_metadata1=0x9a000000/0xff000000,"
    ),
    Case("geneve", 4, inside=6),
    Case("vxlan", 6, sets=TAG, matches="dl_vlan=10,", then="strip_vlan,", inside=6),
    Case("gre", 4, ("options:key=7",), TAG, "dl_vlan=10,", "strip_vlan,"),
    Case("gre", 4, ("options:key=7",)),
    Case("gre", 4),
    Case("ip6gre", 6, ("options:key=9",)),
    Case("gre", 4, ("options:seq=true",)),
    Case("lisp", 4, ("options:key=7",)),
    Case("bareudp", 6, ("options:dst_port=6635", "options:payload_type=ip"), inside=6),
    Case("gtpu", 4, ("options:key=flow",), "set_field:99->tun_id,", "tun_gtpu_msgtype=255,tun_id=99,"),
    Case("gtpu", 6, inside=6),
)
LAYER_3 = ("gtpu", "lisp", "bareudp")


class Side(NamedTuple):
    host: Host
    machine: Namespace
    number: int  # 0 or 1


@pytest.fixture(scope="module")
def sides() -> Iterator[list[Side]]:
    needs_kernel()
    compiled()
    with namespaces() as left, namespaces() as right, ExitStack() as stack:
        directories = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kt.", dir="/tmp")))
        left("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", right.name)
        made = []
        for number, namespace in enumerate((left, right)):
            namespace("ip", "link", "set", "up0", "up", "mtu", "1500")
            namespace("ip", "addr", "add", f"{ENDS[4][number]}/24", "dev", "up0")
            namespace("ip", "addr", "add", f"{ENDS[6][number]}/64", "dev", "up0", "nodad")
            directory = directories / str(number)
            directory.mkdir()
            host = Host(namespace, directory)
            stack.callback(host.stop)
            machine = namespace.machine("m0", f"{MACHINES[4][number]}/24")
            machine("ip", "addr", "add", f"{MACHINES[6][number]}/64", "dev", "eth0", "nodad")
            machine("ip", "link", "set", "eth0", "mtu", "1300", "address", f"02:00:00:00:00:0{number + 1}")
            host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail-mode=secure")
            host.vsctl("add-port", "br0", "m0", "--", "set", "open", ".", "other_config:max-idle=600000")
            host.run("ovs-ofctl", "add-tlv-map", "br0", "{class=0xff01,type=0x80,len=4}->tun_metadata0,"
                     "{class=0xff01,type=2,len=8}->tun_metadata1")  # fmt: skip
            made.append(Side(host, machine, number))
        for side, other in (made, made[::-1]):
            address = f"02:00:00:00:00:0{other.number + 1}"
            for family in (4, 6):
                neighbour = (MACHINES[family][other.number], "lladdr", address, "dev", "eth0")
                side.machine("ip", "neigh", "replace", *neighbour)
        yield made


def configure(side: Side, case: Case) -> None:
    host = side.host
    remote = ENDS[case.family][1 - side.number]
    host.vsctl("--if-exists", "del-port", "t0", "--", "add-port", "br0", "t0",
               "--", "set", "interface", "t0", f"type={case.type}", f"options:remote_ip={remote}",
               *case.options)  # fmt: skip
    host.run("ovs-ofctl", "del-flows", "br0")
    then = case.then
    if case.type in LAYER_3:
        then += f"mod_dl_dst:02:00:00:00:00:0{side.number + 1},"
    for flow in (
        f"in_port=m0,actions={case.sets}output:t0",
        f"in_port=t0,{case.matches}actions={then}output:m0",
    ):
        host.run("ovs-ofctl", "add-flow", "br0", flow)


@contextmanager
def stopped(sides: list[Side]) -> Iterator[None]:
    """While both switches are stopped."""
    for side in sides:
        os.kill(side.host.switch.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for side in sides:
            os.kill(side.host.switch.pid, signal.SIGCONT)


def ping(sides: list[Side], family: int = 4) -> None:
    """None is lost."""
    words = ("-q", "-c", "5", "-i", "0.1", "-W", "2", MACHINES[family][1])
    assert " 0% packet loss" in sides[0].machine("ping", *words, check=False)


def reach(sides: list[Side], family: int = 4) -> None:
    """Until the machines reach each other."""
    deadline = time.monotonic() + 20 * PATIENCE
    while not sides[0].machine.pings(MACHINES[family][1]):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type}-{case.family}")
def test_traffic_goes_on_while_the_switches_are_stopped(sides: list[Side], case: Case) -> None:
    # a segment has a length of its own, or a number: Python would have to cut large ones
    alone = case.type == "gtpu" or "options:seq=true" in case.options
    for side in sides:
        configure(side, case)
        side.machine("ethtool", "-K", "eth0", "tso", "off" if alone else "on")
    reach(sides, case.inside)
    transfer(sides[0].machine, sides[1].machine, MACHINES[case.inside][1], "2M")
    with stopped(sides):
        ping(sides, case.inside)
        transfer(sides[0].machine, sides[1].machine, MACHINES[case.inside][1], "2M")


ECHO = """
import socket, sys
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
one.bind((sys.argv[1], 999))
print("ready", flush=True)
while True:
    data, peer = one.recvfrom(9000)
    one.sendto(data, peer)
"""
ASK = """
import socket, sys, time
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(0.5)
for size in map(int, sys.argv[3:]):
    until = time.monotonic() + float(sys.argv[2])
    while True:
        one.sendto(b"x" * size, (sys.argv[1], 999))
        try:
            if len(one.recv(9000)) == size:
                break
        except TimeoutError:
            assert time.monotonic() < until, f"datagrams of {size} bytes are lost"
"""


def echo(sides: list[Side], family: int) -> None:
    """Datagrams of all sizes there and back."""
    address = MACHINES[family][1]
    server = sides[1].machine.start(sys.executable, "-c", ECHO, address)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        sizes = [str(size) for size in (0, 1, 4, 11, 12, 13, 100, 1200)]
        asked = (sys.executable, "-c", ASK, address, str(20 * PATIENCE), *sizes)
        assert not sides[0].machine(*asked, check=False, timeout=60)
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


COLLECT = """
import socket, sys
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
one.bind((sys.argv[1], 999))
one.settimeout(float(sys.argv[2]))
print("ready", flush=True)
have = set()
while len(have) < 20:
    have.add(one.recv(2000))
print(sum(map(len, have)), flush=True)
"""
LARGE = """
import socket, sys
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
one.connect((sys.argv[1], 999))
one.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
for number in range(4):
    one.send(b"".join(bytes((number, part)) * 500 for part in range(5)))
"""


@pytest.mark.parametrize(
    "case",
    [
        Case("vxlan", 4),
        Case("vxlan", 6, inside=6),
        Case("geneve", 4),
        Case("geneve", 6, inside=6),
        Case("gre", 4),
    ],
)
def test_large_datagrams_that_are_cut_later(sides: list[Side], case: Case) -> None:
    """Segments of UDP, as QUIC sends them, come out of a tunnel one by one."""
    for side in sides:
        configure(side, case)
    reach(sides, case.inside)
    address = MACHINES[case.inside][1]
    server = sides[1].machine.start(sys.executable, "-c", COLLECT, address, str(20 * PATIENCE))
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        sides[0].machine(sys.executable, "-c", LARGE, address)
        assert server.stdout.readline() == "20000\n"
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


@pytest.mark.parametrize("type", ["vxlan", "geneve", "gre"])
def test_short_datagrams_over_ipv6(sides: list[Side], type: str) -> None:
    """Which the receiver's program leaves to the host's sockets, with the checksum unfinished inside."""
    for side in sides:
        configure(side, Case(type, 6))
    reach(sides)
    echo(sides, 4)


@pytest.mark.parametrize("case", [Case("vxlan", 4), Case("gre", 4, ("options:key=7",), inside=6)])
def test_a_host_that_encrypts_something_takes_what_comes(sides: list[Side], case: Case) -> None:
    """By its sockets: large segments and unfinished checksums, of a sender that leaves them to others."""
    for side in sides:
        configure(side, case)
        side.machine("ethtool", "-K", "eth0", "tso", "on")
    policy = ("src", "1.2.3.4", "dst", "5.6.7.8", "dir", "out")
    host = sides[1].host.namespace
    reach(sides, case.inside)
    host("ip", "xfrm", "policy", "add", *policy, "tmpl", "proto", "esp", "mode", "transport")
    try:
        transfer(sides[0].machine, sides[1].machine, MACHINES[case.inside][1], "2M")
        echo(sides, case.inside)
        transfer(sides[1].machine, sides[0].machine, MACHINES[case.inside][0], "2M")
    finally:
        host("ip", "xfrm", "policy", "delete", *policy)


def test_a_vxlan_device_of_the_kernel_at_the_other_end(sides: list[Side]) -> None:
    """It leaves the outer checksum unfinished, where nothing inside is."""
    one, other = sides
    configure(one, Case("vxlan", 4, ("options:key=42",)))
    other.host.vsctl("--if-exists", "del-port", "br0", "t0")
    peer = other.host.namespace
    words = ("type", "vxlan", "id", "42", "remote", ENDS[4][0], "local", ENDS[4][1], "dstport", "4789")
    if "Unknown device type" in peer("ip", "link", "add", "vx0", *words, "udpcsum", check=False):
        pytest.skip("this kernel has no vxlan devices")
    try:
        peer("ip", "link", "set", "vx0", "mtu", "1300", "up")
        peer("ip", "addr", "add", "10.9.0.77/24", "dev", "vx0")
        deadline = time.monotonic() + 20 * PATIENCE
        while not one.machine.pings("10.9.0.77"):
            assert time.monotonic() < deadline
        transfer(one.machine, peer, "10.9.0.77", "1M")
    finally:
        peer("ip", "link", "del", "vx0")


@contextmanager
def narrow(sides: list[Side]) -> Iterator[None]:
    """The way between the hosts lets through no longer packets than the machines believe to be right."""
    for side in sides:
        side.host.namespace("ip", "link", "set", "up0", "mtu", "1400")
        side.machine("ip", "link", "set", "eth0", "mtu", "1400")
    try:
        yield
    finally:
        for side in sides:
            side.host.namespace("ip", "link", "set", "up0", "mtu", "1500")
            side.machine("ip", "link", "set", "eth0", "mtu", "1300")


TOO_LONG = (
    Case("vxlan", 4),
    Case("vxlan", 6, inside=6),
    Case("gre", 4, ("options:df_default=false",)),
    Case("vxlan", 4, ("options:df_default=false",)),
)


@pytest.mark.parametrize("case", TOO_LONG, ids=lambda case: f"{case.type}-{case.family}-{len(case.options)}")
def test_packets_that_are_too_long_with_their_headers(sides: list[Side], case: Case) -> None:
    """Are cut where they may be, else the machine that sends them is told."""
    size = 1400 - (28 if case.inside == 4 else 48)
    with narrow(sides):
        for side in sides:
            configure(side, case)
        reach(sides, case.inside)
        deadline = time.monotonic() + 20 * PATIENCE
        words = ("-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), MACHINES[case.inside][1])
        wanted = " 0% packet loss" if case.options else "mtu"  # "Frag needed and DF set (mtu = 1350)"
        while wanted not in (text := sides[0].machine("ping", *words, check=False)):
            assert time.monotonic() < deadline, text
        transfer(sides[0].machine, sides[1].machine, MACHINES[case.inside][1], "300K")
    if not case.options:
        drops = "tunnel_push_error:"
        while drops not in (text := sides[0].host.run("ovs-appctl", "dpctl/show", "-s")):
            assert time.monotonic() < deadline, text
    for side in sides:  # what they have learned is to be forgotten
        side.machine("ip", "route", "flush", "cache")
        side.machine("ip", "-6", "route", "flush", "cache")


def test_packets_without_a_way_are_counted(sides: list[Side]) -> None:
    host = sides[0].host
    configure(sides[0], Case("vxlan", 4))
    host.vsctl("set", "interface", "t0", "options:remote_ip=198.51.100.7")
    deadline = time.monotonic() + 20 * PATIENCE

    def counted() -> int:
        ports = host.run("ovs-appctl", "dpctl/show", "-s").split("port ")
        own = next(port for port in ports if "vxlan_sys_4789" in port)
        found = re.search(r"tunnel_push_error:(\d+)", own)
        return int(found[1]) if found else 0

    before = counted()
    sides[0].machine("ping", "-c", "3", "-i", "0.1", "-W", "1", MACHINES[4][1], check=False)
    while counted() - before < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert re.search(
        r"datapath_drop_tunnel_push_error.*total: [1-9]", host.run("ovs-appctl", "coverage/show")
    )
    while "datapath_drop_tunnel_push_error" not in host.vsctl("get", "interface", "t0", "statistics"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_packet_for_several_tunnels(sides: list[Side]) -> None:
    """Each gets it, while the switches are stopped; the other side goes by what comes out of one alone,
    wherever that stands in the list."""
    tunnels = {
        "t0": ("vxlan", ("options:key=21",)),
        "t1": ("lisp", ("options:key=22",)),
        "t2": ("gre", ("options:key=23", "options:seq=true")),
        "t3": ("geneve", ("options:key=24", "options:csum=true")),
    }
    for side in sides:
        command = ["--if-exists", "del-port", "t0"]
        for name, (type, options) in tunnels.items():
            command += ["--", "add-port", "br0", name, "--", "set", "interface", name, f"type={type}",
                        f"options:remote_ip={ENDS[4][1 - side.number]}", *options]  # fmt: skip
        side.host.vsctl(*command)
    try:
        for listened in tunnels:
            for side in sides:
                side.host.run("ovs-ofctl", "del-flows", "br0")
                new = f"mod_dl_dst:02:00:00:00:00:0{side.number + 1},"
                for flow in (
                    f"in_port=m0,ip,actions={','.join(f'output:{name}' for name in tunnels)}",
                    f"in_port={listened},actions={new}output:m0",
                ):
                    side.host.run("ovs-ofctl", "add-flow", "br0", flow)
            reach(sides)
            with stopped(sides):
                ping(sides)
    finally:
        for side in sides:
            side.host.vsctl(*(word for name in tunnels for word in ("--", "del-port", name)))


def test_out_of_one_tunnel_into_another(sides: list[Side]) -> None:
    """There and back and there again; in one machine the kernel believes such a packet to be in a tunnel
    already.  Large segments go through Python then."""
    tunnels = {"t0": ("vxlan", 31), "t1": ("geneve", 32), "t2": ("gre", 33)}
    for side in sides:
        command = ["--if-exists", "del-port", "t0"]
        for name, (type, key) in tunnels.items():
            command += ["--", "add-port", "br0", name, "--", "set", "interface", name, f"type={type}",
                        f"options:remote_ip={ENDS[4][1 - side.number]}", f"options:key={key}"]  # fmt: skip
        side.host.vsctl(*command)
        side.host.run("ovs-ofctl", "del-flows", "br0")
    try:
        for side, ways in zip(sides, (("m0", "t0", "t1", "t2"), ("t0", "t1", "t2", "m0")), strict=True):
            for one, other in (ways[:2], ways[2:]):
                side.host.run("ovs-ofctl", "add-flow", "br0", f"in_port={one},actions=output:{other}")
                side.host.run("ovs-ofctl", "add-flow", "br0", f"in_port={other},actions=output:{one}")
        reach(sides)
        transfer(sides[0].machine, sides[1].machine, MACHINES[4][1], "2M")
        with stopped(sides):
            ping(sides)
    finally:
        for side in sides:
            side.host.vsctl(*(word for name in tunnels for word in ("--", "del-port", name)))


def test_routes_are_followed(sides: list[Side]) -> None:
    """The way leads through another device, to an address that is on none of the two."""
    left, right = (side.host.namespace for side in sides)
    left("ip", "link", "add", "up1", "type", "veth", "peer", "name", "up1", "netns", right.name)
    for number, namespace in enumerate((left, right)):
        namespace("ip", "addr", "add", f"192.168.50.{number + 1}/32", "dev", "lo")
        namespace("ip", "link", "set", "up1", "up")
        namespace("ip", "addr", "add", f"192.168.10.{number + 1}/24", "dev", "up1")
    for cable in ("9", "10"):
        for number, namespace in enumerate((left, right)):
            way = (f"192.168.50.{2 - number}", "via", f"192.168.{cable}.{2 - number}")
            namespace("ip", "route", "replace", *way, "src", f"192.168.50.{number + 1}")
        if cable == "9":
            for side in sides:
                remote = f"options:remote_ip=192.168.50.{2 - side.number}"
                configure(side, Case("geneve", 4, ("options:key=7", remote)))
        else:
            for side in sides:  # what still goes through the other cable is lost
                peer = (ENDS[4][1 - side.number], "lladdr", "02:ff:00:00:00:01", "dev", "up0")
                side.host.namespace("ip", "neigh", "replace", *peer)
        reach(sides)
        with stopped(sides):
            ping(sides)
    for side in sides:
        side.host.namespace("ip", "neigh", "del", ENDS[4][1 - side.number], "dev", "up0")


def test_traffic_goes_on_through_the_end_of_a_switch(sides: list[Side]) -> None:
    """It is killed, another one starts and takes up what it has left, flows that look at options too."""
    case = Case("geneve", 4, ("options:key=7",), OPTION, "tun_metadata0=0x1234,")
    for side in sides:
        configure(side, case)
    reach(sides)
    host = sides[0].host
    stream = sides[0].machine.start("ping", "-q", "-i", "0.02", "-W", "2", MACHINES[4][1])
    try:
        time.sleep(0.2)
        host.switch.kill()
        host.switch.wait()
        host.start_switch()
        host.until("up", "get", "interface", "m0", "link_state")
        host.run("ovs-appctl", "dpctl/dump-flows")
        time.sleep(0.2)
    finally:
        stream.send_signal(signal.SIGINT)
        text, _ = stream.communicate(timeout=20)
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    assert counts is not None, text
    sent, received = map(int, counts.groups())
    assert sent > 10
    assert received >= sent - 1, text  # the last one's answer may have been on its way
