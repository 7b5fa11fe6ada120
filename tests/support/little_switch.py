"""One bridge on real devices without a database: ``little_switch.py RUNDIR name:type[:tag]...``; for tests.

Prints "ready"; then takes lines on standard input: "remove NAME" takes a port away, "state NAME" prints it.
"""

import asyncio
import sys
from collections.abc import Sequence

from trunkline.bridge.devices import Device
from trunkline.io.loop import Loop, LoopClock
from trunkline.io.netdev.factory import MachineDevices
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.upcall.datapath import Datapath


class NoHost:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None:
        raise NotImplementedError


async def run(run_directory: str, ports: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    devices = MachineDevices(loop, run_directory, clock)
    fabric = Fabric(NoHost())
    sim = Sim("ovs-netdev", clock)
    datapath = Datapath("netdev", sim, fabric, clock)
    bridge = Bridge(BridgeConfig("br0", 1), fabric, clock)
    opened: dict[str, Device] = {}
    for ofport, port in enumerate(ports, 1):
        name, kind, *rest = port.split(":")
        device = opened[name] = devices.open(name, kind, {})
        number = sim.port_add(name, device.type)
        sim.attach(number, device.transmit)
        bridge.add_interface(OfPort(name, ofport, 0, datapath_port=number))
        tag = int(rest[0]) if rest else None
        bridge.set_port(PortConfig(name, (ofport,), "trunk" if tag is None else "access", tag))

        def receive(packets: Sequence[Packet], number: int = number) -> None:
            sim.receive(number, packets)
            datapath.run()

        device.start(receive)
    devices.watch(lambda name: print("news", name, flush=True))
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "remove":
            opened[line[1]].close(remove=True)
        elif line[0] == "state":
            print(opened[line[1]].present(), opened[line[1]].state(), flush=True)
            continue
        print("done", flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run(sys.argv[1], sys.argv[2:]))
