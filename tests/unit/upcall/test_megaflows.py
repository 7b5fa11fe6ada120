"""Megaflows: sound, found again by what changed, counted, and gone when idle."""

import random

import pytest

from support.switches import LOCAL, Lab, OurSwitch, PortSpec, random_frame, random_lab
from trunkline.flow import key as layout
from trunkline.flow.match import match
from trunkline.model import openflow as of
from trunkline.ofproto.fabric import RuleChange, mac_token
from trunkline.ofproto.ports import PortConfig
from trunkline.openflow import actions as a
from trunkline.openflow.messages import FlowMod
from trunkline.packet.packet import Packet
from trunkline.translate.translate import translate
from trunkline.upcall.megaflows import Index

A, B = bytes.fromhex("505400000001"), bytes.fromhex("505400000002")


def frame(source: bytes, destination: bytes) -> bytes:
    return destination + source + b"\x08\x06" + bytes(50)


def three_ports() -> OurSwitch:
    switch = OurSwitch()
    switch.build(Lab(("br0",), tuple(PortSpec("br0", f"p{i}", i) for i in (1, 2, 3))))
    return switch


FLOWS = (
    (0, match(dl_vlan=10, vlan_tci=(0x100A, 0x1FFF)), (a.Resubmit(table=1), a.StripVlan(), a.Output(2))),
    (
        0,
        match(dl_type=0x0800, nw_proto=17, tp_src=1),
        (a.SetIpv4Dst(0x0A000009), a.Resubmit(table=1), a.Output(1)),
    ),
    (0, match(dl_src=0x505400000003), (a.SetEthSrc(0x505400000009), a.Output(of.OFPP_NORMAL))),
    (1, match(dl_type=0x0800, nw_dst=(0x0A000008, 0xFFFFFFF8)), (a.SetVlanVid(30), a.Output(1))),
    (1, match(dl_dst=(1 << 40, 1 << 40)), (a.PushVlan(0x88A8), a.Output(of.OFPP_FLOOD))),
    (1, match(), (a.Move("dl_dst", 0, "reg0", 0, 32), a.Output(of.OFPP_NORMAL))),
)


@pytest.mark.parametrize("seed", range(12))
def test_packets_inside_a_megaflow_get_its_actions(seed: int) -> None:
    """Free bits are taken from other packets and from rules, one at a time or all at once."""
    rnd = random.Random(seed)
    switch = OurSwitch(vlan_limit=rnd.choice((1, 2)))
    lab = random_lab(rnd)
    switch.build(lab)
    for number, (table, where, actions) in enumerate(FLOWS if seed % 3 else ()):
        message = FlowMod(of.OFPFC_ADD, where, 100 + number, table, actions)
        switch.bridges["br0"].flows.apply(message, 4, "test")
    devices = [port.name for port in lab.ports if port.peer is None]
    keys = []
    for _ in range(80):
        port, data = rnd.choice(devices), random_frame(rnd)
        switch.receive(port, data)
        keys.append(switch.sim.key_of(data, switch.numbers[port]))
    probes = changed = 0
    for megaflow in switch.datapath.megaflows.values():
        for _ in range(40):
            other = rnd.choice(keys)
            if rnd.random() < 0.5:
                other = megaflow.key ^ (other ^ megaflow.key) & layout.MASK[rnd.choice(tuple(_PROBED))]
            key = megaflow.key & megaflow.mask | other & ~megaflow.mask
            found = switch.datapath.key_for(key & layout.PACKET)
            assert found is not None
            result = translate(*found)
            assert result.actions == megaflow.actions, (seed, megaflow)
            probes += 1
            changed += key & layout.PACKET != megaflow.key & layout.PACKET
    assert changed > probes / 8


_PROBED = (
    "dl_src",
    "dl_dst",
    "vlan_tci",
    "vlan_tpid",
    "vlan1_tci",
    "nw_src",
    "nw_dst",
    "tp_src",
    "tp_dst",
    "nw_tos",
)


@pytest.mark.parametrize("seed", range(6))
def test_revalidation_finds_every_megaflow_that_a_change_concerns(seed: int) -> None:
    """After random changes, each megaflow is what a fresh translation says."""
    rnd = random.Random(100 + seed)
    switch = OurSwitch()
    lab = random_lab(rnd)
    switch.build(lab)
    bridge = switch.bridges["br0"]
    devices = [port for port in lab.ports if port.peer is None]
    kept = 0
    for step in range(60):
        for _ in range(4):
            switch.receive(rnd.choice(devices).name, random_frame(rnd))
        before = set(switch.datapath.megaflows)
        table, where, actions = rnd.choice(FLOWS)
        match rnd.randrange(6):
            case 0:
                bridge.flows.apply(
                    FlowMod(of.OFPFC_ADD, where, rnd.randint(1, 50), table, actions), 4, "test"
                )
            case 1:
                bridge.flows.apply(FlowMod(of.OFPFC_DELETE, where, table=table), 4, "test")
                if not any(bridge.flows.tables.rules()):
                    bridge.flows.apply(FlowMod(of.OFPFC_ADD, FLOWS[5][1], 0, 0, FLOWS[5][2]), 4, "test")
            case 2:
                name = rnd.choice([port.name for port in devices if port.bridge == "br0"])
                old = bridge.ports[name]
                bridge.set_port(PortConfig(name, old.interfaces, "access", rnd.choice((10, 20, 30))))
            case 3:
                bridge.flush_macs()
            case 4:
                bridge.set_port_bits(LOCAL, of.OFPPC_NO_FLOOD * (step & 1), of.OFPPC_NO_FLOOD)
            case 5:
                bridge.configure(bridge.config._replace(forward_bpdu=bool(step & 1)))
        switch.datapath.run()
        kept += len(before & set(switch.datapath.megaflows))
        for megaflow in switch.datapath.megaflows.values():
            found = switch.datapath.key_for(megaflow.key & layout.PACKET)
            assert found is not None
            assert translate(*found).actions == megaflow.actions, (seed, step)
        flows = {flow.ufid: flow.actions for flow in switch.sim.dump_flows()}
        assert flows == {ufid: flow.actions for ufid, flow in switch.datapath.megaflows.items()}
    assert kept > 100, "most megaflows outlive a change that does not concern them"


def test_a_learned_address_changes_only_who_asked_for_it() -> None:
    switch = three_ports()
    other = bytes.fromhex("505400000009")
    switch.receive("p1", frame(A, B))
    switch.receive("p1", frame(A, other))
    ports = {flow.actions for flow in switch.datapath.megaflows.values()}
    assert len(ports) == 1
    switch.receive("p2", frame(B, A))
    actions = sorted(len(flow.actions) for flow in switch.datapath.megaflows.values())
    assert actions == [1, 1, 3]
    assert list(switch.receive("p1", frame(A, B))) == ["p2"]
    assert switch.sim.statistics().misses == 3


@pytest.mark.parametrize("fetched", [False, True])
def test_what_went_through_before_a_change_teaches_no_address_where_it_was(fetched: bool) -> None:
    """The addresses behind a port whose VLAN changes are forgotten; packets that have not been told of yet
    must not teach them again, and those that still hold keep teaching."""
    switch = three_ports()
    bridge = switch.bridges["br0"]
    for name in ("p1", "p2", "p3"):
        bridge.set_port(PortConfig(name, bridge.ports[name].interfaces, "access", 2))
    switch.datapath.run()
    for _ in range(3):
        switch.clock.advance(0.1)
        switch.receive("p1", frame(A, B))
        switch.receive("p2", frame(B, A))
    switch.clock.advance(0.1)
    switch.sim.receive(switch.numbers["p1"], (Packet(frame(A, B)),))  # counted by the datapath alone
    bridge.set_port(PortConfig("p1", bridge.ports["p1"].interfaces, "access", 1))
    if fetched:
        switch.datapath.fetch_statistics()
    switch.datapath.run()
    switch.datapath.fetch_statistics()
    assert {(port, vlan) for port, vlan, _ in switch.macs("br0")} == {(2, 2)}
    switch.receive("p1", frame(A, B))
    assert {(port, vlan) for port, vlan, _ in switch.macs("br0")} == {(1, 1), (2, 2)}


def test_a_change_elsewhere_lets_packets_before_it_refresh_addresses() -> None:
    switch = three_ports()
    bridge = switch.bridges["br0"]
    switch.receive("p2", frame(B, A))
    switch.receive("p1", frame(A, B))
    switch.datapath.fetch_statistics()
    switch.clock.advance(5)
    switch.sim.receive(switch.numbers["p1"], (Packet(frame(A, B)),))
    bridge.flows.apply(FlowMod(of.OFPFC_ADD, match(dl_type=0x0800), 9, 0, (a.Output(3),)), 4, "test")
    switch.datapath.run()
    entries = {entry.mac: entry.expires for entry in bridge.macs.entries()}
    assert entries[0x505400000001] - entries[0x505400000002] == pytest.approx(5)


def test_statistics_reach_rules_once() -> None:
    switch = three_ports()
    (rule,) = switch.bridges["br0"].flows.tables.rules()
    for _ in range(5):
        switch.receive("p1", frame(A, B))
    switch.datapath.fetch_statistics()
    assert (rule.counters.packets, rule.counters.bytes) == (5, 5 * 64)
    switch.datapath.purge()
    assert rule.counters.packets == 5
    switch.receive("p1", frame(A, B))
    assert rule.counters.packets == 6


def test_megaflows_that_are_idle_go_and_addresses_age() -> None:
    switch = three_ports()
    switch.receive("p1", frame(A, B))
    assert len(switch.datapath.megaflows) == 1
    switch.clock.advance(9)
    switch.receive("p1", frame(A, B))
    switch.clock.advance(9)
    switch.datapath.run()
    assert len(switch.datapath.megaflows) == 1
    switch.clock.advance(2)
    due = switch.datapath.next_timer()
    assert due is not None
    assert due <= switch.clock.monotonic()
    switch.datapath.run()
    assert len(switch.datapath.megaflows) == switch.sim.statistics().flows == 0
    assert len(switch.macs("br0")) == 1
    assert switch.datapath.next_timer() == 309
    switch.clock.advance(290)
    switch.datapath.run()
    assert switch.macs("br0") == set()
    assert switch.datapath.next_timer() is None


def test_a_port_that_goes_takes_its_megaflows_and_addresses_along() -> None:
    switch = three_ports()
    bridge = switch.bridges["br0"]
    switch.receive("p1", frame(A, B))
    switch.receive("p2", frame(B, A))
    bridge.remove_port("p2")
    bridge.remove_interface(2)
    switch.sim.port_delete(switch.numbers["p2"])
    switch.datapath.run()
    assert sorted(switch.receive("p1", frame(A, B))) == ["p3"]
    assert {port for port, _, _ in switch.macs("br0")} == {1}
    switch.plug(PortSpec("br0", "p2", 2))
    switch.datapath.run()
    assert sorted(switch.receive("p1", frame(A, B))) == ["p2", "p3"]


def test_the_flow_limit_holds_and_packets_still_pass() -> None:
    switch = three_ports()
    switch.datapath.flow_limit = 5
    for i in range(20):
        assert len(switch.receive("p1", frame(bytes.fromhex(f"5054000001{i:02x}"), B))) == 2
    assert len(switch.datapath.megaflows) == 5


def test_the_index_finds_by_token_and_by_rule() -> None:
    index = Index()
    exact, _ = layout.pack(dl_dst=1, reg0=5)
    looked = layout.bits("dl_dst", "reg0")
    index.add(1, [mac_token("br0", 1, 7)], [("br0", 0, exact, looked)])
    index.add(2, [], [("br0", 0, exact ^ 1 << layout.OFFSET["reg0"], looked)])
    assert index.concerned([mac_token("br0", 1, 7)]) == {1}
    assert index.concerned([mac_token("br0", 2, 7)]) == set()
    assert index.concerned([RuleChange("br0", 0, *layout.pack(dl_dst=1))]) == {1, 2}
    assert index.concerned([RuleChange("br0", 0, *layout.pack(reg0=5, tp_dst=80))]) == {1}
    assert index.concerned([RuleChange("br0", 0, *layout.pack(reg0=6))]) == set()
    assert index.concerned([RuleChange("br0", 1, 0, 0), RuleChange("br1", 0, 0, 0)]) == set()
    index.remove(1, [mac_token("br0", 1, 7)], [("br0", 0, exact, looked)])
    assert index.concerned([RuleChange("br0", 0, 0, 0), mac_token("br0", 1, 7)]) == {2}
