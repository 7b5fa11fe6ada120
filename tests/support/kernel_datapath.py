"""The same packets and the same flows given to `sim` and to the kernel's program, by test runs on raw frames.

A userspace action stands in the place of every output: what it hands up is the packet as it is at that
moment, and its key.  The kernel program has devices of its own to send from, and none are needed here.
"""

import errno
import random
import struct
from typing import Any, NamedTuple

from trunkline.base.clock import ManualClock
from trunkline.base.log import Log
from trunkline.bpf.provider import BpfDatapath
from trunkline.bpf.system_calls import BpfError
from trunkline.dpif import actions as dp
from trunkline.dpif.provider import DatapathError, FlowDelete, FlowPut, Upcall
from trunkline.flow import key as layout
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim

PORT = 7
RECIRCULATIONS = 3
"""Numbers of recirculations in random flows are at most this."""


class Seen(NamedTuple):
    """A packet that came up: the frame, its key, the action that sent it (None: no flow)."""

    frame: bytes
    key: int
    action: Any


class Both:
    """A Sim and a kernel datapath with the same flows."""

    def __init__(self, directory: str) -> None:
        clock = ManualClock()
        self.sim = Sim("sim", clock)
        self.kernel = BpfDatapath("kernel", clock, directory, log=Log("test", clock))
        for datapath in (self.sim, self.kernel):
            datapath.port_add("p7", "system", PORT)
        self.program = self.kernel.program("execute")
        self._ufid = 0
        self._flows: list[int] = []

    def set_vlan_limit(self, limit: int) -> None:
        self.sim.vlan_limit = self.kernel.vlan_limit = limit

    def put(self, key: int, mask: int, actions: tuple[Any, ...]) -> FlowPut:
        self._ufid += 1
        put = FlowPut(self._ufid, key & mask, mask, actions)
        self._change(put)
        self._flows.append(self._ufid)
        return put

    def replace(self, put: FlowPut, actions: tuple[Any, ...]) -> None:
        self._change(put._replace(actions=actions, replace=True))

    def delete(self, put: FlowPut) -> None:
        self._change(FlowDelete(put.ufid))
        self._flows.remove(put.ufid)

    def _change(self, change: FlowPut | FlowDelete) -> None:
        for datapath in (self.sim, self.kernel):
            outcome = datapath.change_flows([change])[0]
            assert not isinstance(outcome, DatapathError), outcome

    def clear(self) -> None:
        changes = [FlowDelete(ufid) for ufid in self._flows]
        for datapath in (self.sim, self.kernel):
            datapath.change_flows(changes)
        self._flows.clear()

    def key_of(self, frame: bytes) -> int:
        return self.sim.key_of(frame, PORT)

    def send(self, frame: bytes) -> tuple[list[Seen], list[Seen]] | None:
        """What comes up from sim, and from the kernel; None: the kernel makes no packet of such a frame."""
        try:
            self.program.test_run(frame, struct.pack("=48xII136x", PORT, 0))
        except BpfError as error:
            if error.errno != errno.EINVAL:
                raise
            return None
        self.sim.enter(Packet(frame), self.key_of(frame))
        return [seen(one) for one in self.sim.upcalls(1000)], [seen(one) for one in self.kernel.upcalls(1000)]

    def close(self) -> None:
        self.kernel.close()


def seen(upcall: Upcall) -> Seen:
    return Seen(upcall.packet.frame, upcall.key, upcall.action)


def difference(one: list[Seen], other: list[Seen]) -> str:
    """In words; "" if they are alike."""
    if len(one) != len(other):
        return f"sim sends {len(one)} packets, the kernel {len(other)}"
    for mine, theirs in zip(one, other, strict=True):
        if mine.action != theirs.action:
            return f"sim: {mine.action}, the kernel: {theirs.action}"
        if mine.frame != theirs.frame:
            return f"sim:    {mine.frame.hex()}\nkernel: {theirs.frame.hex()}"
        if mine.key != theirs.key:
            names = [name for name, _ in layout.slots(mine.key ^ theirs.key)]
            values = [f"{n} {layout.get(mine.key, n):#x} {layout.get(theirs.key, n):#x}" for n in names]
            return f"{mine.frame.hex()}: keys differ: {', '.join(values)}"
    return ""


# ---- random flows

ALWAYS = layout.bits("recirc_id", "dp_in_port", "packet_type", "dl_type")
"""What every megaflow matches."""
_TAGS = layout.bits("vlan_tci", "vlan_tpid")
_NETWORK = layout.bits("nw_proto", "nw_frag")
_OTHERS = ("dl_src", "dl_dst", "net_src", "net_dst", "nw_tos", "nw_ttl", "ipv6_label", "tp_src", "tp_dst",
           "tcp_flags", "arp_sha", "arp_tha", "nd_target", "igmp_group", "mpls0", "mpls1")  # fmt: skip
_IP = ("net_src", "net_dst", "nw_tos", "nw_ttl")
_SETTABLE = {
    0x0800: ("nw_src", "nw_dst", "nw_tos", "nw_ttl"),
    0x86DD: (*_IP, "ipv6_label"),
    0x0806: ("arp_sha", "arp_tha", "nw_src", "nw_dst", "nw_proto"),
    0x8847: ("mpls0",),
}
_ANYWHERE = ("dl_src", "dl_dst", "pkt_mark", "skb_priority")


def random_mask(rng: random.Random, key: int) -> int:
    """Bits that a flow for packets with that key may look at."""
    mask = ALWAYS | _TAGS
    for name in _ANYWHERE:
        mask |= layout.MASK[name] if rng.random() < 0.8 else 0
    if layout.get(key, "dl_type") in (0x0800, 0x86DD, 0x0806):
        mask |= _NETWORK
    if layout.get(key, "vlan1_tci"):
        mask |= layout.bits("vlan1_tci", "vlan1_tpid")
    for name in rng.sample(_OTHERS, rng.randrange(len(_OTHERS))):
        mask |= layout.MASK[name] & (layout.MASK[name] if rng.random() < 0.7 else rng.getrandbits(4000))
    return mask


def random_set(rng: random.Random, key: int) -> dp.Set:
    """Of a field that packets with that key have."""
    kind = layout.get(key, "dl_type")
    names = [*_ANYWHERE, *_SETTABLE.get(kind, ()), *_SETTABLE.get(kind, ())]
    if kind in (0x0800, 0x86DD) and layout.get(key, "nw_proto") in (6, 17, 1, 58, 132):
        names += ["tp_src", "tp_dst", "tp_src"]
    value = mask = 0
    for name in rng.sample(names, rng.randrange(1, 4)):
        shift, ones, _ = layout.VIEW[name]
        if name in ("tp_src", "tp_dst") and layout.get(key, "nw_proto") in (1, 58):
            ones = 0xFF
        part = ones if rng.random() < 0.6 else rng.getrandbits(128) & ones
        mask |= part << shift
        value |= (rng.getrandbits(128) & part) << shift
    return dp.Set(value, mask)


def random_actions(rng: random.Random, key: int, after: int = 0, depth: int = 0) -> tuple[Any, ...]:
    """A list for packets with that key; what it sends says which it is.  It may end in a recirculation to a
    number above `after`."""
    actions: list[Any] = []
    for _ in range(rng.randrange(1, 6)):
        kind = rng.randrange(14)
        if kind < 4:
            actions.append(random_set(rng, key))
        elif kind == 4:
            tpid = rng.choice((0x8100, 0x88A8))
            actions.append(dp.PushVlan(tpid, rng.getrandbits(16) | layout.VLAN_CFI))
        elif kind == 5:
            actions.append(dp.PopVlan())
        elif kind == 6 and depth < 2:
            actions.append(dp.Clone(random_actions(rng, key, after, depth + 1)))
        elif kind == 7 and depth < 2:
            lists = random_actions(rng, key, after, depth + 1), random_actions(rng, key, after, depth + 1)
            actions.append(dp.CheckLength(rng.choice((40, 54, 60, 64, 80, 1500)), *lists))
        elif kind == 8 and depth < 2:
            probability = rng.choice((0xFFFFFFFF, 0))
            actions.append(dp.Sample(probability, random_actions(rng, key, after, depth + 1)))
        elif kind == 9:
            actions.append(dp.Hash(rng.randrange(2), rng.getrandbits(32)))
        elif kind == 10:
            actions.append(dp.Truncate(rng.choice((14, 30, 60, 1500))))
            actions.append(marker(rng))
        else:
            actions.append(marker(rng))
    if rng.random() < (0.1 if depth else 0.4) and after < RECIRCULATIONS:
        actions.append(dp.Recirc(rng.randrange(after, RECIRCULATIONS) + 1))
    else:
        actions.append(marker(rng))
    return tuple(actions)


def marker(rng: random.Random) -> dp.Userspace:
    return dp.Userspace(dp.Cookie("userdata", data=rng.randbytes(4)))
