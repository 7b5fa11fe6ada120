"""How fast the switch core is in memory: sim, classifier, translation; microseconds on one core, no root."""

import gc
import random
from collections.abc import Callable, Iterator

from bench.measure import Row, seconds
from trunkline.base.clock import ManualClock
from trunkline.dpif.provider import FlowPut
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
SUBTABLES = 20


class NoDevices:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None: ...


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


def forwarding() -> Iterator[Row]:
    datapath, sim, _ = switch(3)
    a, b = 0x505400000001, 0x505400000002
    for title, there, back, out in (
        ("untagged, one output", frame(a, b), frame(b, a), 3),
        ("tagged, pop and output", frame(a + 8, b + 8, 10), frame(b + 8, a + 8), 2),
        ("untagged, push and output", frame(a + 9, b + 9), frame(b + 9, a + 9, 10), 1),
    ):
        start = 2 if out == 1 else 1  # p2 is an access port of VLAN 10, p1 and p3 are trunks
        for _ in range(2):
            for port, data in ((start, there), (out, back)):
                sim.receive(port, [Packet(data)])
                datapath.run()
        packets = [Packet(there)] * BATCH

        def work(start: int = start, packets: list[Packet] = packets) -> None:
            for _ in range(1000):
                sim.receive(start, packets)

        yield Row(f"sim: {title}, a packet", seconds(work) / 1000 / BATCH * 1e6, None, "us")


def misses() -> Iterator[Row]:
    datapath, sim, bridge = switch(3)
    datapath.flow_limit = 100_000
    packets = [Packet(frame(0x020000000000 + i, 0x505400000002)) for i in range(4000)]

    def work() -> None:
        for at in range(0, len(packets), BATCH):
            sim.receive(1, packets[at : at + BATCH])
            datapath.run()

    took = seconds(work, 1) / len(packets)
    yield Row("a miss (NORMAL, new address each: translated, put, sent)", took * 1e6, None, "us")
    key = next(iter(datapath.megaflows.values())).key
    took = seconds(lambda: [translate(bridge, key) for _ in range(3000)]) / 3000
    yield Row("translation by NORMAL alone", took * 1e6, None, "us")


NAMES = ("in_port", "dl_src", "dl_dst", "vlan_tci", "nw_src", "nw_dst", "tp_src", "tp_dst")


def lookups() -> Iterator[Row]:
    """Subtables of three fields each, with 100 values; one key of three is in none of them."""
    rnd = random.Random(1)
    widths = {name: layout.VIEW[name].ones.bit_length() for name in (*NAMES, "dp_in_port")}
    keys = [
        layout.pack({name: rnd.getrandbits(width) for name, width in widths.items()})[0] for _ in range(2000)
    ]
    chosen: set[tuple[str, ...]] = set()
    while len(chosen) < SUBTABLES:
        chosen.add(tuple(sorted(rnd.sample(NAMES[1:], 3))))
    classifier: Classifier[Rule] = Classifier()
    sim = Sim("bench", ManualClock())
    for names in sorted(chosen):
        mask = layout.bits(*names, "dl_type")
        ufids = iter(range(1 << 20))
        for key in rnd.sample(keys, 100):
            classifier.add(Rule(Match(key & mask, mask), 100 + len(names), 0, (), 0.0))
            megaflow = mask | layout.bits("dp_in_port")
            sim.change_flows([FlowPut(next(ufids) | megaflow << 20, key & megaflow, megaflow, ())])
    count = f"in {sim.statistics().masks} subtables"
    for title, lookup, goal in (
        (f"sim: a masked lookup {count}", sim.lookup, 5.0),
        (f"classifier: a lookup {count}", lambda key: classifier.find_best(key, 0), None),
        (f"classifier: a lookup {count}, with proofs of misses", lambda key: classifier.lookup(key, 0), None),
    ):

        def work(lookup: Callable[[int], object] = lookup) -> None:
            for key in keys:
                lookup(key)

        yield Row(title, seconds(work) / len(keys) * 1e6, None, "us", goal)


def ports() -> Iterator[Row]:
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
        yield Row(f"a port added to {count:,} and removed, in memory", took[count] * 1e6, None, "us")
    yield Row("  2,000 against 10", took[2000] / took[10], None, "times", 2)


def run() -> Iterator[Row]:
    gc.disable()
    for part in (forwarding, misses, lookups, ports):
        yield from part()
    gc.enable()
