"""Connection tracking and NAT on real devices: the kernel's own TCP, UDP and ICMP through the switch."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.namespaces import Namespace, namespaces

pytestmark = pytest.mark.system

INSIDE, OUTSIDE, SHOWN = "10.0.0.1", "10.0.0.2", "10.0.0.100"
FLOWS = (
    "table=0,priority=10,arp,actions=normal",
    f"table=0,ip,in_port=p1,actions=ct(commit,zone=1,nat(src={SHOWN}),table=1)",
    "table=0,ip,in_port=p2,actions=ct(zone=1,nat,table=1)",
    "table=1,ip,in_port=p1,ct_state=+trk-inv,actions=output:p2",
    "table=1,ip,in_port=p2,ct_state=+est,actions=output:p1",
    "table=1,ip,in_port=p2,ct_state=+rel,actions=output:p1",
)
SERVER = """
import socket, sys
server = socket.create_server(("", 5001))
print("ready", flush=True)
peer, address = server.accept()
data = b""
while len(data) < 3_000_000:
    data += peer.recv(65536)
peer.sendall(bytes(reversed(data)))
print(address[0], flush=True)
"""
CLIENT = """
import socket, random, sys
data = random.Random(1).randbytes(3_000_000)
peer = socket.create_connection(("{server}", 5001), 10)
peer.sendall(data)
back = b""
while len(back) < len(data):
    part = peer.recv(65536)
    if not part:
        break
    back += part
print(back == bytes(reversed(data)))
"""
REFUSED = """
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(("{server}", 5999))
probe.settimeout(5)
probe.send(b"anybody there?")
try:
    probe.recv(10)
except ConnectionRefusedError:
    print("refused")
"""


@pytest.fixture
def lab(short_directory: Path) -> Iterator[tuple[Host, Namespace, Namespace]]:
    """A machine behind NAT and one outside."""
    with namespaces() as namespace:
        host = Host(namespace, short_directory)
        try:
            host.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
            inside = namespace.machine("p1", f"{INSIDE}/24")
            outside = namespace.machine("p2", f"{OUTSIDE}/24")
            host.vsctl("add-port", "br0", "p1", "--", "add-port", "br0", "p2")
            mac = inside("cat", "/sys/class/net/eth0/address").strip()
            outside("ip", "neigh", "add", SHOWN, "lladdr", mac, "dev", "eth0")
            host.run("ovs-ofctl", "del-flows", "br0")
            for flow in FLOWS:
                host.run("ovs-ofctl", "add-flow", "br0", flow)
            yield host, inside, outside
        finally:
            host.stop()


def test_tcp_ping_fragments_and_errors(lab: tuple[Host, Namespace, Namespace]) -> None:
    host, inside, outside = lab
    assert inside.pings(OUTSIDE)
    text = inside("ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", "-s", "4000", OUTSIDE, check=False)
    assert " 0 received" not in text, "fragments"

    server = outside.start(sys.executable, "-c", SERVER)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    assert inside(sys.executable, "-c", CLIENT.format(server=OUTSIDE)) == "True\n"
    assert server.communicate(timeout=10)[0] == f"{SHOWN}\n", "the server sees the translated address"

    said = inside(sys.executable, "-c", REFUSED.format(server=OUTSIDE))
    assert said == "refused\n", "a related error, translated"

    dump = host.run("ovs-appctl", "dpctl/dump-conntrack", "zone=1")
    assert f"tcp,orig=(src={INSIDE},dst={OUTSIDE}" in dump
    assert f"reply=(src={OUTSIDE},dst={SHOWN}" in dump
    assert host.run("ovs-dpctl", "dump-conntrack", "netdev@ovs-netdev", "zone=1") == dump
    host.run("ovs-ofctl", "ct-flush", "br0", "zone=1")
    assert host.run("ovs-appctl", "dpctl/dump-conntrack") == ""
