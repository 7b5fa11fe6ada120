"""Packets whose sender has left a checksum or the cutting of segments to hardware, on the wire.

Each goes through the switch twice: first it is a miss, which Python forwards; then the kernel forwards it.
Both must come out alike, as the actions say, and with the same work left to hardware.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.host import Host
from support.kernel_program import compiled, needs_kernel
from support.namespaces import Namespace, namespaces
from trunkline.base.addresses import MAPPED
from trunkline.flow import key as layout
from trunkline.packet.build import build
from trunkline.packet.checksum import pseudo_header
from trunkline.packet.packet import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, Offload, Packet
from trunkline.packet.parse import parse
from trunkline.packet.rewrite import moved, push_vlan, set_fields
from trunkline.packet.segment import complete
from trunkline.packet.tunnels import Kind, Outer, push
from trunkline.packet.tunnels import header as outer_header

pytestmark = pytest.mark.system
WIRE = str(Path(__file__).parents[1] / "support" / "wire.py")
DEADLINE = 40.0
_V4 = {"dl_type": 0x0800, "nw_src": 0x0A000001, "nw_dst": 0x0A000002, "nw_ttl": 64}
_V6 = {"dl_type": 0x86DD, "net_src": 0xFD << 120 | 1, "net_dst": 0xFD << 120 | 2, "nw_ttl": 64}
_NEW_V6 = 0xFD << 120 | 0xABCDEF0123456789


class Case(NamedTuple):
    """`actions` in OpenFlow; `value` and `mask` the same as a set; `tags` that are pushed."""

    actions: str
    value: int
    mask: int
    tags: tuple[tuple[int, int], ...] = ()


def _set(actions: str, **fields: int) -> Case:
    return Case(actions, *layout.pack(fields))


CASES = {
    "ip": (
        Case("", 0, 0),
        Case("push_vlan:0x8100,set_field:0x1005->vlan_vid", 0, 0, ((0x8100, 0x1005),)),
        Case("push_vlan:0x88a8,set_field:0x1007->vlan_vid", 0, 0, ((0x88A8, 0x1007),)),
        Case(
            "push_vlan:0x8100,set_field:0x1005->vlan_vid,push_vlan:0x88a8,set_field:0x1007->vlan_vid",
            0,
            0,
            ((0x8100, 0x1005), (0x88A8, 0x1007)),
        ),
        _set("mod_nw_src:192.168.77.1", nw_src=0xC0A84D01),
        _set("mod_nw_dst:192.168.77.2", nw_dst=0xC0A84D02),
        _set("mod_tp_src:4444", tp_src=4444),
        _set("dec_ttl,mod_nw_tos:32,mod_tp_dst:53", nw_ttl=63, nw_tos=32, tp_dst=53),
        _set("mod_nw_src:1.2.3.4,mod_nw_dst:4.3.2.1,mod_tp_src:1,mod_tp_dst:2,dec_ttl",
             nw_src=0x01020304, nw_dst=0x04030201, tp_src=1, tp_dst=2, nw_ttl=63),
    ),
    "ipv6": (
        Case("push_vlan:0x8100,set_field:0x1005->vlan_vid", 0, 0, ((0x8100, 0x1005),)),
        _set(f"set_field:fd00::{'abcd:ef01:2345:6789'}->ipv6_dst", net_dst=_NEW_V6),
        _set("set_field:fd00::abcd:ef01:2345:6789->ipv6_src,mod_tp_dst:53,dec_ttl",
             net_src=_NEW_V6, tp_dst=53, nw_ttl=63),
    ),
}  # fmt: skip


def packets(family: dict[str, int], source: int) -> Iterator[Packet]:
    """TCP and UDP, whole, with an unfinished checksum, and as a large segment."""
    version = 4 if family["dl_type"] == 0x0800 else 6
    for protocol, offset, header in ((6, 16, 20), (17, 6, 8)):
        fields = family | {
            "nw_proto": protocol,
            "tp_src": 1000,
            "tp_dst": 2000,
            "dl_src": source,
            "dl_dst": 2,
        }
        key = layout.pack(fields)[0]
        start = 14 + (20 if version == 4 else 40)
        for payload, size in ((100, 0), (100, -1), (3000, 1000)):
            frame = bytearray(build(key, bytes(range(100)) * (payload // 100)))
            if not size:
                yield Packet(bytes(frame))
                continue
            at, width = (26, 4) if version == 4 else (22, 16)
            total = pseudo_header(
                bytes(frame[at : at + width]),
                bytes(frame[at + width : at + 2 * width]),
                protocol,
                len(frame) - start,
            )
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            frame[start + offset : start + offset + 2] = total.to_bytes(2, "big")
            large = GSO_UDP_L4 if protocol == 17 else GSO_TCPV4 if version == 4 else GSO_TCPV6
            offload = Offload(NEEDS_CHECKSUM, 0, 0, 0, start, offset)
            if size > 0:
                offload = Offload(NEEDS_CHECKSUM, large, start + header, size, start, offset)
            yield Packet(bytes(frame), offload)


def expected(case: Case, packet: Packet) -> Packet:
    changed = set_fields(packet, parse(packet.frame), case.value, case.mask)
    for tpid, tci in case.tags:
        changed = push_vlan(changed, tpid, tci)
    return changed


def work_left(offload: Offload | None) -> tuple[int, ...]:
    """What hardware has to do; how long the headers are it may find out itself."""
    if offload is None or not offload.flags & NEEDS_CHECKSUM:
        return ()
    return offload.gso_type & 0x7F, offload.gso_size, offload.checksum_start, offload.checksum_offset


class Receiver:
    """What a device of a machine receives."""

    def __init__(self, machine: Namespace) -> None:
        self.process = machine.start(sys.executable, WIRE, "receive", "eth0")
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = ""

    def take(self, count: int) -> list[Packet]:
        """So many packets; fewer if they do not come in time."""
        assert self.process.stdout is not None
        found: list[Packet] = []
        end = time.monotonic() + DEADLINE
        while len(found) < count and time.monotonic() < end:
            try:
                text = os.read(self.process.stdout.fileno(), 1 << 20).decode()
            except BlockingIOError:
                time.sleep(0.02)
                continue
            *lines, self.rest = (self.rest + text).split("\n")
            for line in lines:
                frame, offload = json.loads(line)
                found.append(Packet(bytes.fromhex(frame), Offload(*offload) if offload else None))
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def send(machine: Namespace, some: list[Packet]) -> None:
    lines = "".join(json.dumps([packet.frame.hex(), packet.offload]) + "\n" for packet in some)
    command = ["ip", "netns", "exec", machine.name, sys.executable, WIRE, "send", "eth0"]
    subprocess.run(command, input=lines, text=True, check=True, timeout=60)


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    needs_kernel()
    compiled()
    with namespaces() as namespace:
        made = Host(namespace, short_directory)
        try:
            yield made
        finally:
            made.stop()


def test_work_left_to_hardware_goes_on(host: Host) -> None:
    first = host.namespace.machine("va", "10.99.0.1/24")
    second = host.namespace.machine("vb", "10.99.0.2/24")
    for machine in (first, second):
        machine("ip", "link", "set", "eth0", "mtu", "9000")
    for port in ("va", "vb"):
        host.namespace("ip", "link", "set", port, "mtu", "9000")
    sent: list[Packet] = []
    wanted: list[Packet] = []
    rules = ["priority=0,actions=drop"]
    for kind, cases in CASES.items():
        for case in cases:
            source = 0x0277_0000_0000 + len(rules)
            mac = ":".join(f"{octet:02x}" for octet in source.to_bytes(6, "big"))
            actions = f"{case.actions},output:vb" if case.actions else "output:vb"
            for protocol in ("tcp", "udp") if kind == "ip" else ("tcp6", "udp6"):
                rules.append(f"in_port=va,dl_src={mac},{protocol},actions={actions}")
            for packet in packets(_V4 if kind == "ip" else _V6, source):
                sent.append(packet)
                wanted.append(expected(case, packet))
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
    host.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=120000")
    host.vsctl("add-port", "br0", "va", "--", "add-port", "br0", "vb")
    (host.directory / "flows").write_text("\n".join(rules))
    host.run("ovs-ofctl", "-OOpenFlow13", "add-flows", "br0", str(host.directory / "flows"))
    receiver = Receiver(second)
    try:
        send(first, sent)
        by_python = receiver.take(len(sent))
        send(first, sent)
        by_kernel = receiver.take(len(sent))
    finally:
        receiver.close()
    for ours, who in ((by_python, "Python"), (by_kernel, "the kernel")):
        got = {packet.frame: packet for packet in ours}  # two ways through the switch: one may overtake
        assert len(got) == len(ours) == len(wanted), who
        for packet, want in zip(sent, wanted, strict=True):
            assert want.frame in got, (who, packet, want.frame.hex())
            left = got[want.frame].offload
            assert work_left(left) == work_left(want.offload), (who, packet, left, want.offload)
    flows = host.run("ovs-appctl", "dpctl/dump-flows").splitlines()
    used = [line for line in flows if "src=02:77" in line and "packets:0," not in line]
    assert len(used) >= len(rules) - 1, flows


def tunneled(packet: Packet) -> Packet:
    """As somebody else's kernel sends it: with the headers of VXLAN around what is left to do."""
    head = outer_header(Kind("vxlan", 4789), Outer(0x02770000FFFF, 2, MAPPED | 1, MAPPED | 2), 0)
    frame = push(head, packet.frame, 5000, 0)
    return Packet(frame, moved(packet.offload, len(frame) - len(packet.frame)))


@pytest.mark.parametrize("datapath", ["netdev", "system"])
def test_work_left_inside_of_somebodys_tunnel_is_done(host: Host, datapath: str) -> None:
    """A virtio-net header cannot say that a large segment lies in a tunnel, so it is cut."""
    first = host.namespace.machine("va", "10.99.0.1/24")
    second = host.namespace.machine("vb", "10.99.0.2/24")
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath}", "fail_mode=secure")
    host.vsctl("add-port", "br0", "va", "--", "add-port", "br0", "vb")
    # with a message for a controller, of which there is none, every packet goes by way of Python
    host.run("ovs-ofctl", "add-flow", "br0", "in_port=va,dl_src=02:77:00:00:ff:ff,actions=controller,vb")
    sent = [tunneled(one) for family in (_V4, _V6) for one in packets(family, 0x0277_0000_0000)]
    wanted = [frame for packet in sent for frame in complete(packet)]
    receiver = Receiver(second)
    try:
        send(first, sent)
        found = receiver.take(len(wanted))
    finally:
        receiver.close()
    assert sorted(frame for packet in found for frame in complete(packet)) == sorted(wanted)
    assert not any(packet.offload and packet.offload.gso_type for packet in found)


def test_frames_too_long_for_a_device_are_dropped(host: Host) -> None:
    """By the kernel's program as by packet sockets, and counted."""
    first = host.namespace.machine("va", "10.99.0.1/24")
    host.namespace.machine("vb", "10.99.0.2/24")
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure")
    host.vsctl("add-port", "br0", "va", "--", "add-port", "br0", "vb")
    host.run("ovs-ofctl", "add-flow", "br0", "in_port=va,actions=vb")
    host.run("ovs-ofctl", "add-flow", "br0", "in_port=vb,actions=va")
    deadline = time.monotonic() + DEADLINE
    while not first.pings("10.99.0.2"):
        assert time.monotonic() < deadline
    host.namespace("ip", "link", "set", "vb", "mtu", "1000")
    asked = ("ping", "-q", "-c", "3", "-i", "0.1", "-W", "1", "10.99.0.2")
    while "too_long:" not in (text := host.run("ovs-appctl", "dpctl/show", "-s")):
        assert " 0 received" in first(*asked, "-s", "1300", check=False)
        assert time.monotonic() < deadline, text
    while " 0% packet loss" not in (text := first(*asked, "-s", str(1000 - 28), check=False)):
        assert time.monotonic() < deadline, text
    assert " 0 received" in first(*asked, "-s", str(1000 - 27), check=False)
