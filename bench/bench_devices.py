"""Packets a second that `sim` forwards between two veth devices, everything included (needs root).

The switch runs on one core, the generator on another.  Printed: packets that arrived, per second of time and
per second of the switch's processor; the same for the original's userspace datapath where it is installed.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trunkline.io.loop import Loop, LoopClock
from trunkline.io.netdev.factory import MachineDevices
from trunkline.io.netlink import Netlink
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.upcall.datapath import Datapath

ORIGINAL = "/usr/sbin/ovs-vswitchd"


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


def measure(name: str, pid: int, seconds: float) -> float:
    netlink = Netlink()

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
    sent = generate(seconds)
    count, used, passed = arrived() - before, cpu() - used, time.monotonic() - start
    print(
        f"{name:10} sent {sent / passed:8,.0f}/s  arrived {count / passed:8,.0f}/s  "
        f"{count / max(used, 0.01):8,.0f} per second of processor"
    )
    return count / max(used, 0.01)


def ours() -> tuple[int, Callable[[], None]]:
    command = ["taskset", "-c", "0", sys.executable, __file__, "--switch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process.pid, process.kill


def original(directory: str) -> tuple[int, Callable[[], None]]:
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    environment = {**os.environ, **dict.fromkeys(names, directory)}

    def run(*command: str) -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)

    run("/usr/bin/ovsdb-tool", "create", f"{directory}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    server = ["/usr/sbin/ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock"]
    processes = [subprocess.Popen([*server, "-vconsole:off"], env=environment)]
    time.sleep(0.5)
    run("/usr/bin/ovs-vsctl", "--no-wait", "init")
    command = ["taskset", "-c", "0", ORIGINAL, "-vconsole:off"]
    processes.append(subprocess.Popen(command, env=environment))
    bridge = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]
    run(
        "/usr/bin/ovs-vsctl",
        "-t",
        "20",
        *bridge,
        "--",
        "add-port",
        "br0",
        "p1",
        "--",
        "add-port",
        "br0",
        "p2",
    )

    def stop() -> None:
        for process in reversed(processes):
            process.terminate()
            process.wait(10)

    return processes[1].pid, stop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--switch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.switch:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(switch(f"/run/bench-{os.getpid()}"))
    unshare()
    os.sched_setaffinity(0, {os.cpu_count() - 1} if (os.cpu_count() or 1) > 1 else {0})
    netlink = Netlink()
    for port, end in (("p1", "e1"), ("p2", "e2")):
        netlink.add_veth(port, end)
        for name in (port, end):
            link = netlink.link(name)
            assert link is not None
            netlink.change(link.ifindex, up=True, no_ipv6_address=True)
    pid, stop = ours()
    mine = measure("ours", pid, options.seconds)
    stop()
    if os.path.exists(ORIGINAL):
        with tempfile.TemporaryDirectory(prefix="bd") as directory:
            pid, stop = original(directory)
            time.sleep(1)
            measure("original", pid, options.seconds)
            stop()
    print(f"goal 40,000: {'reached' if mine >= 40_000 else 'missed'}, {mine / 40_000:.2f} of it")


def unshare() -> None:
    """A network namespace of our own (Python 3.11 has no os.unshare)."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
        raise SystemExit("needs root")


if __name__ == "__main__":
    main()
