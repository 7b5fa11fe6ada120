"""How fast the switch core is in memory: sim, classifier, translation.  Prints microseconds; no root
needed."""

import gc
import random
import statistics
import time
from collections.abc import Callable

from trunkline.base.clock import ManualClock
from trunkline.flow import key as layout
from trunkline.flow.classifier import Classifier
from trunkline.flow.match import Match
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.ofproto.rules import Rule
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.translate.translate import translate
from trunkline.upcall.datapath import Datapath

BATCH = 32


class NoDevices:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None: ...


def seconds(work: Callable[[], object], times: int = 5) -> float:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def frame(source: int, destination: int, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    body = bytes.fromhex("08004500002e000000004011000" + "0" * 17)[:22] + bytes(24)
    return (destination.to_bytes(6, "big") + source.to_bytes(6, "big") + tag + body).ljust(60, b"\0")


def switch(ports: int) -> tuple[Datapath, Sim, Bridge]:
    clock = ManualClock()
    fabric, sim = Fabric(NoDevices()), Sim("bench", clock)
    datapath = Datapath("dummy", sim, fabric, clock)
    bridge = Bridge(BridgeConfig("br0", 1), fabric, clock)
    for i in range(1, ports + 1):
        plug(sim, bridge, i)
    return datapath, sim, bridge


def plug(sim: Sim, bridge: Bridge, i: int) -> None:
    number = sim.port_add(f"p{i}", "system", i)
    sim.attach(number, lambda packet: None)
    bridge.add_interface(OfPort(f"p{i}", i, i, datapath_port=number))
    access = i == 2
    bridge.set_port(PortConfig(f"p{i}", (i,), "access" if access else "trunk", 10 if access else None))


def forwarding() -> None:
    datapath, sim, _ = switch(3)
    a, b = 0x505400000001, 0x505400000002
    for title, there, back, out in (
        ("untagged, one output", frame(a, b), frame(b, a), 3),
        ("tagged, pop and output", frame(a + 8, b + 8, 10), frame(b + 8, a + 8), 2),
    ):
        for _ in range(2):
            for port, data in ((1, there), (out, back)):
                sim.receive(port, [Packet(data)])
                datapath.run()
        packets = [Packet(there)] * BATCH
        took = seconds(lambda packets=packets: [sim.receive(1, packets) for _ in range(1000)]) / 1000 / BATCH
        masks = sim.statistics().masks
        print(f"sim, {title}: {took * 1e6:.2f} us a packet, {1 / took:,.0f} a second ({masks} masks)")


def misses() -> None:
    datapath, sim, bridge = switch(3)
    datapath.flow_limit = 100_000
    packets = [Packet(frame(0x020000000000 + i, 0x505400000002)) for i in range(4000)]

    def work() -> None:
        for at in range(0, len(packets), BATCH):
            sim.receive(1, packets[at : at + BATCH])
            datapath.run()

    took = seconds(work, 1) / len(packets)
    print(f"a miss (NORMAL, new address each, put and sent): {took * 1e6:.1f} us, {1 / took:,.0f} a second")
    key = next(iter(datapath.megaflows.values())).key
    took = seconds(lambda: [translate(bridge, key) for _ in range(3000)]) / 3000
    print(f"translation alone: {took * 1e6:.1f} us")


def lookups() -> None:
    rnd = random.Random(1)
    classifier: Classifier[Rule] = Classifier()
    names = ("in_port", "dl_src", "dl_dst", "vlan_tci", "nw_src", "nw_dst", "tp_src", "tp_dst")
    keys = [
        layout.pack({name: rnd.getrandbits(layout.VIEW[name].ones.bit_length()) for name in names})[0]
        for _ in range(2000)
    ]
    for i in range(20):
        chosen = rnd.sample(names, 3)
        mask = layout.bits(*chosen, "dl_type")
        for key in rnd.sample(keys, 100):
            classifier.add(Rule(Match(key & mask, mask), 100 + i, 0, (), 0.0))
    took = seconds(lambda: [classifier.lookup(key, 0) for key in keys]) / len(keys)
    print(
        f"classifier, {classifier.subtables()} subtables, with proofs of misses: {took * 1e6:.2f} us a lookup"
    )
    took = seconds(lambda: [classifier.find_best(key, 0) for key in keys]) / len(keys)
    print(f"classifier, {classifier.subtables()} subtables, without: {took * 1e6:.2f} us a lookup")


def ports() -> None:
    took = {}
    for count in (10, 2000):
        _, sim, bridge = switch(count)

        def work(sim: Sim = sim, bridge: Bridge = bridge, count: int = count) -> None:
            for i in range(count + 1, count + 101):
                plug(sim, bridge, i)
            for i in range(count + 1, count + 101):
                bridge.remove_port(f"p{i}")
                bridge.remove_interface(i)
                sim.port_delete(i)

        took[count] = seconds(work) / 100
        print(f"a port added to {count} and removed: {took[count] * 1e6:.1f} us")
    print(f"ratio: {took[2000] / took[10]:.2f}")


if __name__ == "__main__":
    gc.disable()
    forwarding()
    misses()
    lookups()
    ports()
