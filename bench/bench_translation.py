"""First packets: translation, upcall to put; and what a flow-mod costs that concerns some megaflows."""

import gc
import random
import time
from collections.abc import Iterator

from bench.bench_sim import switch
from bench.measure import Row
from support.workloads import Workload, frame, pipeline
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.flow_text import parse_flow
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.translate.translate import translate
from trunkline.upcall.datapath import Datapath

PACKETS = 10_000
MANY = 100_000


def load(workload: Workload) -> tuple[Datapath, Sim, Bridge]:
    datapath, sim, bridge = switch(3)
    bridge.flows.clear()
    for line in workload.flows:
        bridge.flows.apply(parse_flow(line, of.OFPFC_ADD).mod, 4, "bench")
    datapath.flow_limit = 1_000_000
    gc.collect()
    gc.freeze()
    return datapath, sim, bridge


def keys(datapath: Datapath, sim: Sim, packets: list[tuple[int, bytes]]) -> list[int]:
    found = [datapath.key_for(sim.key_of(data, port)) for port, data in packets]
    return [one[1] for one in found if one is not None]


def run() -> Iterator[Row]:
    gc.disable()
    workload = pipeline(random.Random(7))
    datapath, sim, bridge = load(workload)
    packets = [workload.packet() for _ in range(PACKETS)]
    some = keys(datapath, sim, packets)
    for key in some:
        translate(bridge, key)  # sorts the tables, compiles the actions
    start = time.perf_counter()
    for key in some:
        translate(bridge, key)
    rate = PACKETS / (time.perf_counter() - start)
    yield Row("translations through 9 tables with 10,000 flows", rate, None, "/s", 40_000)
    taken = 0.0
    for at in range(0, PACKETS, 1000):
        for port, data in packets[at : at + 1000]:
            sim.receive(port, (Packet(data),))
        start = time.perf_counter()
        datapath.run()
        taken += time.perf_counter() - start
    yield Row("  first packets, from upcall to put", datapath.upcalls / taken, None, "/s", 15_000)
    yield from concerned()
    gc.enable()


def concerned() -> Iterator[Row]:
    """A flow-mod that concerns 100 of 100,000 megaflows: one for each host, as a table that reads whole
    addresses makes them."""
    reading = "actions=move:NXM_OF_IP_DST[]->NXM_NX_REG0[],output:3"
    networks = [f"priority=9,ip,nw_dst=10.{i >> 8}.{i & 0xFF}.0/24,{reading}" for i in range(MANY // 100)]
    datapath, sim, bridge = load(Workload(networks, lambda: (1, b"")))
    for at in range(0, MANY, 1000):
        for i in range(at, at + 1000):
            address = 10 << 24 | (i // 100) << 8 | i % 100
            sim.receive(1, (Packet(frame(1, 2, 1, address, 6, 1, 2)),))
        datapath.run()
    assert len(datapath.megaflows) == MANY
    change = parse_flow("priority=50,ip,nw_dst=10.1.7.0/24,actions=output:1", of.OFPFC_ADD).mod
    start = time.perf_counter()
    bridge.flows.apply(change, 4, "bench")
    datapath.run()
    taken = (time.perf_counter() - start) * 1000
    assert len(datapath.megaflows) == MANY - 100  # their masks are others now
    yield Row("a flow-mod that concerns 100 of 100,000 megaflows", taken, None, "ms", 200)
