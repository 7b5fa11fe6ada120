"""Much work is done in slices: misses are answered while thousands of megaflows are translated again."""

from trunkline.base.clock import ManualClock
from trunkline.dpif.actions import Output
from trunkline.flow import key as layout
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.upcall.datapath import Datapath

MANY = 2000


class WorkingClock(ManualClock):
    """Every look at it takes a tenth of a millisecond."""

    def monotonic(self) -> float:
        self.advance(1e-4)
        return super().monotonic()


class NoDevices:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None: ...


def frame(port: int) -> bytes:
    """A UDP packet to a port."""
    ethernet = bytes.fromhex("5054000000025054000000010800")
    ip = bytes.fromhex("4500001c00000000401100000a0000010a000002")
    return ethernet + ip + b"\x10\x00" + port.to_bytes(2, "big") + b"\0\x08\0\0"


def switch() -> tuple[Datapath, Sim, Bridge, list[bytes]]:
    clock = WorkingClock()
    fabric, sim = Fabric(NoDevices()), Sim("slices", clock)
    datapath = Datapath("dummy", sim, fabric, clock)
    bridge = Bridge(BridgeConfig("br0", 1, fail_mode="secure"), fabric, clock)
    sent: list[bytes] = []
    for i in (1, 2):
        number = sim.port_add(f"p{i}", "system", i)
        sim.attach(number, lambda packet: sent.append(packet.frame))
        bridge.add_interface(OfPort(f"p{i}", i, i, datapath_port=number))
        bridge.set_port(PortConfig(f"p{i}", (i,)))
    udp = {"dl_type": 0x0800, "nw_proto": 17}
    for i in range(MANY):
        mod = FlowMod(of.OFPFC_ADD, match(**udp, tp_dst=i), 10, 0, (a.Resubmit(table=1),))
        bridge.flows.apply(mod, 4, "test")
    bridge.flows.apply(FlowMod(of.OFPFC_ADD, match(), 1, 1, (a.Output(2),)), 4, "test")
    return datapath, sim, bridge, sent


def test_a_miss_does_not_wait_for_a_change_that_concerns_everything() -> None:
    datapath, sim, bridge, sent = switch()
    for i in range(MANY):
        sim.receive(1, [Packet(frame(i))])
        datapath.run()
    assert sim.statistics().flows == MANY
    bridge.flows.apply(FlowMod(of.OFPFC_ADD, match(), 2, 1, (a.Output(of.OFPP_IN_PORT),)), 4, "test")
    before = len(sent)
    sim.receive(1, [Packet(frame(MANY + 1))])
    datapath.run(budget=3e-4)
    old = [flow for flow in sim.dump_flows() if flow.actions == (Output(2),)]
    assert 0 < len(old) < MANY  # some are as before, and forward
    due = datapath.next_timer()
    assert due is not None
    assert due <= datapath.clock.monotonic()
    rounds = 0
    while any(flow.actions == (Output(2),) for flow in sim.dump_flows()):
        datapath.run(budget=3e-4)
        rounds += 1
    assert rounds > 3
    assert len(sent) == before  # the packet met no flow of table 0
    assert {flow.actions for flow in sim.dump_flows()} <= {(Output(1),), ()}


def test_statistics_are_given_for_what_was_used_and_reach_the_rules_in_slices() -> None:
    datapath, sim, bridge, _ = switch()
    for i in range(MANY):
        sim.receive(1, [Packet(frame(i))])
    datapath.run()
    datapath.fetch_statistics()
    assert not list(sim.used_flows())
    for i in range(500):
        sim.receive(1, [Packet(frame(i))])
    used = dict(sim.used_flows())
    assert len(used) == 500
    for i in range(700):
        sim.receive(1, [Packet(frame(i))])
    some = sim.used_flows()
    for _ in range(100):
        next(some)
    del some  # who stops half way gets the rest later
    assert len(list(sim.used_flows())) == 600
    for i in range(MANY):
        sim.receive(1, [Packet(frame(i))])
    datapath.fetch_statistics()
    counted = [rule.counters.packets for rule in bridge.flows.tables.rules(0)]
    assert sorted(counted) == [2] * (MANY - 700) + [3] * 200 + [4] * 500


def test_megaflows_go_when_they_have_not_been_used_for_long() -> None:
    datapath, sim, _, _ = switch()
    for i in range(100):
        sim.receive(1, [Packet(frame(i))])
    datapath.run()
    for _ in range(11):
        datapath.clock.advance(1)  # type: ignore[attr-defined]
        for i in range(10):
            sim.receive(1, [Packet(frame(i))])
        datapath.run(budget=0.01)
        while (due := datapath.next_timer()) is not None and due <= datapath.clock.monotonic():
            datapath.run(budget=0.01)
    assert sim.statistics().flows == 10
    assert {layout.get(flow.key, "tp_dst") for flow in sim.dump_flows()} == set(range(10))
