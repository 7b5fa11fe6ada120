"""64-byte packets a second that a userspace datapath forwards between two veth devices (needs root).

Everything is included: sockets, parsing, lookup, actions.  The switch is held on one core, the generator
sends from the other.  Counted are the packets that arrive, per second of time (the generator's speed and
whatever else the machine does bound it) and per second of the switch's own processor time.  The original's
is its datapath_type=netdev.
"""

import asyncio
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.lab import Lab, kinds, lab
from bench.measure import ROOT, Row
from trunkline.io.loop import Loop, LoopClock
from trunkline.io.netdev.factory import MachineDevices
from trunkline.io.netlink import Netlink
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.upcall.datapath import Datapath

SECONDS = 3.0
CLONE_NEWNET = 0x40000000


class NoHost:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        raise NotImplementedError


async def switch(run_directory: str) -> None:
    """A bridge with the ports p1 and p2; what vswitchd does with devices, without its database."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    devices = MachineDevices(loop, run_directory, clock)
    fabric = Fabric(NoHost())
    sim = Sim("ovs-netdev", clock)
    datapath = Datapath("netdev", sim, fabric, clock)
    bridge = Bridge(BridgeConfig("br0", 1), fabric, clock)
    for ofport, name in ((1, "p1"), (2, "p2")):
        device = devices.open(name, "system", {})
        number = sim.port_add(name, device.type)
        sim.attach(number, device.transmit)
        bridge.add_interface(OfPort(name, ofport, 0, datapath_port=number))
        bridge.set_port(PortConfig(name, (ofport,)))

        def receive(packets: Sequence[Packet], number: int = number) -> None:
            sim.receive(number, packets)
            datapath.run()

        device.start(receive)
    print("ready", flush=True)
    await asyncio.Event().wait()


def generate(seconds: float) -> int:
    """64-byte UDP from e1; the number of packets sent."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("e1", 0))
    frame = bytes.fromhex("02000000000202000000000108004500002e00004000401100000a0000010a000002")
    frame += bytes.fromhex("00010002001a0000") + bytes(60 - 14 - 28)
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(64):
            try:
                out.send(frame)
            except OSError:
                continue
            sent += 1
    return sent


class Rates(NamedTuple):
    """Packets that arrived: a second of time, and a second of the switch's processor."""

    time: float
    processor: float


def measure(netlink: Netlink, pid: int) -> Rates:
    def arrived() -> int:
        link = netlink.link("e2")
        assert link is not None
        assert link.statistics is not None
        return link.statistics.rx_packets

    def cpu() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    generate(0.3)
    before, used, start = arrived(), cpu(), time.monotonic()
    generate(SECONDS)
    count, used, passed = arrived() - before, cpu() - used, time.monotonic() - start
    assert count, "no packet arrived"
    return Rates(count / passed, count / max(used, 0.01))


def ours(netlink: Netlink) -> Rates:
    command = ["taskset", "-c", "0", sys.executable, "-m", "bench.bench_devices"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            return measure(netlink, process.pid)
        finally:
            process.kill()


def original(netlink: Netlink, made: Lab) -> Rates:
    made.start_database()
    pid = made.start_switch(pinned_to=0)
    bridge = ("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    ports = ("--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    made.run("ovs-vsctl", "-t", "20", *bridge, *ports)
    return measure(netlink, pid)


def run() -> Iterator[Row]:
    cores = os.sched_getaffinity(0)
    if os.getuid() != 0 or len(cores) < 2:
        print("NOT RUN: needs root and two processors", file=sys.stderr)
        return
    with own_namespace():
        os.sched_setaffinity(0, {max(cores)})
        try:
            netlink = Netlink()
            for port, end in (("p1", "e1"), ("p2", "e2")):
                netlink.add_veth(port, end)
                for name in (port, end):
                    link = netlink.link(name)
                    assert link is not None
                    netlink.change(link.ifindex, up=True, no_ipv6_address=True)
            mine, theirs = ours(netlink), None
            if len(kinds()) > 1:
                with lab(original=True) as made:
                    theirs = original(netlink, made)
        finally:
            os.sched_setaffinity(0, cores)
    yield Row("forwarded between two devices", mine.time, theirs and theirs.time, "/s", 40_000)
    yield Row("  a second of its processor", mine.processor, theirs and theirs.processor, "/s", 40_000)


@contextmanager
def own_namespace() -> Iterator[None]:
    """A network namespace of our own for as long as the context lasts; it vanishes with its last process."""
    libc = ctypes.CDLL(None, use_errno=True)  # Python 3.11 has no os.unshare and os.setns
    with open("/proc/self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


def main() -> None:
    """The switch that `ours` starts."""
    with tempfile.TemporaryDirectory(prefix="tb") as directory, asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(switch(directory))


if __name__ == "__main__":
    main()
