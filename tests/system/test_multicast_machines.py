"""Multicast between machines whose own kernels report what they want, over a bridge that snoops."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host, kernel_host
from support.namespaces import Namespace, running
from support.waiting import until

pytestmark = pytest.mark.system
MEMBER = """
import socket, struct, sys
group, port = sys.argv[1], 5001
device = socket.if_nametoindex("eth0")
if ":" in group:
    wanted = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    wanted.bind(("::", port))
    request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", device)
    wanted.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
else:
    wanted = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wanted.bind(("", port))
    request = socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + struct.pack("@i", device)
    wanted.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
print("ready", flush=True)
while True:
    print(wanted.recv(100).decode(), flush=True)
"""
SENDER = """
import errno, socket, sys, time
group, words = sys.argv[1], sys.argv[2]
deadline = time.monotonic() + 30
family = socket.AF_INET6 if ":" in group else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as out:
    device = socket.if_nametoindex("eth0")
    if family == socket.AF_INET6:
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, device)
    else:
        where = bytes(8) + device.to_bytes(4, sys.byteorder)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
    while True:
        try:
            out.sendto(words.encode(), (group, 5001))
            break
        except OSError as error:  # its address is still looked for on the link (RFC 4862, section 5.4)
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
"""
WATCHER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as card:
    card.bind(("eth0", 3))
    print("ready", flush=True)
    while b"enough" not in (data := card.recv(2000)):
        if b"secret" in data:
            print("secret", flush=True)
    print("end", flush=True)
"""


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    yield from kernel_host(short_directory)


def test_a_group_is_for_those_who_joined_it(host: Host) -> None:
    sender = host.namespace.machine("p1", "10.0.0.1/24")
    member = host.namespace.machine("p2", "10.0.0.2/24")
    other = host.namespace.machine("p3", "10.0.0.3/24")
    command = ["set", "Bridge", "br0", "other_config:mcast-snooping-disable-flood-unregistered=true"]
    for number in (1, 2, 3):
        command += ["--", "add-port", "br0", f"p{number}"]
        command += ["--", "set", "Interface", f"p{number}", f"ofport_request={number}"]
    host.vsctl(*command)
    for group in ("239.1.2.3", "ff05::1:2"):
        host.vsctl("set", "Bridge", "br0", "mcast_snooping_enable=true")
        only_members_get_it(host, group, sender, member, other)


def only_members_get_it(
    host: Host, group: str, sender: Namespace, member: Namespace, other: Namespace
) -> None:
    def wanted() -> bool:
        rows = [row.split() for row in host.run("ovs-appctl", "mdb/show", "br0").splitlines()]
        return ["2", "0", group] in [row[:3] for row in rows]

    def dropped() -> bool:
        flows = host.run("ovs-appctl", "dpctl/dump-flows").splitlines()
        return any(f"dst={group}" in flow and "actions:drop" in flow for flow in flows)

    def send(words: str) -> None:
        sender(sys.executable, "-c", SENDER, group, words)

    with running(other, sys.executable, "-c", WATCHER) as watcher:
        with running(member, sys.executable, "-c", MEMBER, group) as joined:
            until(wanted, "the report is not heard")
            send("secret")
            assert joined.stdout is not None
            assert joined.stdout.readline() == "secret\n"
        until(lambda: not wanted(), "the leave is not heard")
        send("secret")
        until(dropped, "nobody wants it, but it is not dropped")
        host.vsctl("set", "Bridge", "br0", "mcast_snooping_enable=false")
        send("enough")
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "end\n", "who has not joined was sent packets of the group"
