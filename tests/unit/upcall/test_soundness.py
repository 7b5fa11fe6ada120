"""Megaflows of whole pipelines are sound: every packet in them gets their actions."""

import random

import pytest

from support.workloads import WORKLOADS, Workload, frame
from trunkline.base.clock import ManualClock
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge, BridgeConfig
from trunkline.ofproto.fabric import Fabric
from trunkline.ofproto.ports import OfPort, PortConfig, PortStatistics
from trunkline.openflow.flow_text import parse_flow
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim
from trunkline.translate.translate import translate
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.megaflows import Megaflow


class NoDevices:
    def port_statistics(self, bridge: str, ofport: int) -> PortStatistics:
        return PortStatistics()

    def set_admin_state(self, bridge: str, ofport: int, up: bool) -> None: ...


# Matches by what they say of the packet; and actions by what they ask for.
MATCHES = {
    "": ("", "in_port={p}", "dl_dst=00:00:00:00:00:{a:02x}/ff:ff:ff:ff:ff:f0", "reg2=0x{a:x}/0x3c"),
    "ip": ("ip,nw_dst=10.0.0.{a}/{length}", "ip,nw_src=10.0.{a}.0/24", "ip,nw_ttl={a}", "ip,nw_tos={t}"),
    "tcp": ("tcp,tp_dst={a}", "tcp,tp_src=0x{a:x}/0xf0", "tcp,reg1={a}"),
    "udp": ("udp,tp_dst={a}", "udp,reg1={a}"),
}
ACTIONS = {
    "": ("mod_dl_dst:00:00:00:00:00:{a:02x}", "load:{a}->NXM_NX_REG1[]", "resubmit(,{next})", "output:{p}"),
    "ip": (
        "mod_nw_dst:10.0.0.{a}",
        "mod_nw_src:10.0.0.{a}",
        "move:NXM_OF_IP_DST[0..7]->NXM_NX_REG1[0..7]",
        "move:NXM_NX_REG1[0..3]->NXM_OF_IP_DST[2..5]",
        "set_field:10.0.0.{a}/0.0.0.15->ip_dst",
        "dec_ttl",
    ),
    "tcp": ("mod_tp_dst:{a}", "move:NXM_OF_TCP_DST[]->NXM_NX_REG2[0..15]"),
    "udp": ("mod_tp_dst:{a}",),
}


def varied(rnd: random.Random) -> Workload:
    """Small tables of everything that moves bits about: fields set, moved, matched in part, resubmitted."""
    flows: dict[str, str] = {}
    for table in range(5):
        for priority in range(1, 13):
            words = {
                "a": rnd.randrange(16),
                "length": rnd.choice((24, 28, 29, 31, 32)),
                "p": rnd.randint(1, 3),
            }
            words |= {"t": rnd.randrange(4) * 4, "next": rnd.randint(table + 1, 5)}
            kind = rnd.choice(list(MATCHES))
            parts = f"table={table},priority={priority}", rnd.choice(MATCHES[kind]).format(**words)
            match = ",".join(filter(None, parts))
            offered = [*ACTIONS[""], *(ACTIONS["ip"] if kind else ()), *ACTIONS[kind]]
            actions = [text.format(**words) for text in rnd.choices(offered, k=rnd.randint(1, 4))]
            flows[match] = f"{match},actions={','.join(actions)}"

    def packet() -> tuple[int, bytes]:
        a, b = (10 << 24 | rnd.randrange(4) << 8 | rnd.randrange(32) for _ in "ab")
        protocol = rnd.choice((6, 6, 17))
        made = frame(
            1, rnd.randrange(32), a, b, protocol, rnd.randrange(64), rnd.randrange(32), rnd.randint(1, 17)
        )
        return rnd.randint(1, 3), made

    return Workload(list(flows.values()), packet)


class Bed:
    def __init__(self, workload: Workload) -> None:
        clock = ManualClock()
        fabric, self.sim = Fabric(NoDevices()), Sim("sound", clock)
        self.datapath = Datapath("dummy", self.sim, fabric, clock)
        self.bridge = Bridge(BridgeConfig("br0", 1, fail_mode="secure"), fabric, clock)
        for i in (1, 2, 3):
            number = self.sim.port_add(f"p{i}", "system", i)
            self.sim.attach(number, lambda packet: None)
            self.bridge.add_interface(OfPort(f"p{i}", i, i, datapath_port=number))
            self.bridge.set_port(PortConfig(f"p{i}", (i,)))
        for line in workload.flows:
            self.bridge.flows.apply(parse_flow(line, of.OFPFC_ADD).mod, 4, "test")
        self.values = [rule.value & layout.PACKET for rule in self.bridge.flows.tables.rules()]

    def take(self, workload: Workload, count: int) -> list[int]:
        """Lets so many packets of the workload come in; their keys."""
        keys = []
        for _ in range(count):
            port, data = workload.packet()
            keys.append(self.sim.key_of(data, port))
            self.sim.receive(port, [Packet(data)])
            self.datapath.run()
        return keys

    def actions(self, key: int) -> tuple[object, ...] | None:
        found = self.datapath.key_for(key)
        return None if found is None else translate(*found).actions


def candidates(rnd: random.Random, bed: Bed, keys: list[int], count: int) -> list[int]:
    """Bits to fill the free ones of a megaflow with: of other packets, of rules, single ones turned."""
    found = [rnd.choice(keys) for _ in range(count)]
    found += [rnd.choice(bed.values) | rnd.choice(keys) for _ in range(count)]
    return found


def escapes(bed: Bed, megaflow: Megaflow, mask: int, others: list[int]) -> bool:
    """Whether a packet that agrees with the megaflow in `mask` gets other actions."""
    for other in others:
        key = megaflow.key & mask | other & layout.PACKET & ~mask
        if bed.actions(key) not in (megaflow.actions, None):
            return True
    return False


@pytest.mark.parametrize("name", [*WORKLOADS, *(f"varied {i}" for i in range(12))])
def test_every_packet_in_a_megaflow_gets_its_actions(name: str) -> None:
    rnd = random.Random(name)
    workload = WORKLOADS[name](rnd) if name in WORKLOADS else varied(rnd)
    bed = Bed(workload)
    keys = bed.take(workload, 300)
    megaflows = list(bed.datapath.megaflows.values())
    assert len(megaflows) > 5
    for megaflow in rnd.sample(megaflows, min(len(megaflows), 120)):
        others = candidates(rnd, bed, keys, 12)
        assert not escapes(bed, megaflow, megaflow.mask, others), megaflow.mask


def test_a_proof_that_forgets_a_bit_lets_packets_escape() -> None:
    """The control: the test above would find a mask that lacks bits."""
    rnd = random.Random(11)
    workload = varied(rnd)
    bed = Bed(workload)
    keys = bed.take(workload, 300)
    caught = tried = 0
    addresses = layout.bits("nw_dst", "nw_src", "tp_dst", "dl_dst")
    for megaflow in bed.datapath.megaflows.values():
        looked = megaflow.mask & addresses
        if looked:
            tried += 1
            lowest = looked & -looked
            turned = [(megaflow.key ^ lowest) & layout.PACKET, *candidates(rnd, bed, keys, 30)]
            caught += escapes(bed, megaflow, megaflow.mask & ~lowest, turned)
    assert tried > 20
    assert caught > 20
