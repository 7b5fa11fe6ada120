"""Connection tracking in the kernel's program and in `sim`: the same packets through the same ct actions.

Every packet goes through one list of actions, which the last byte of its source address picks, and comes up
as a miss behind it; then frame and key of both are compared.  Connections are made by Python in both; the
packets that follow are the kernel's own.
"""

import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.conntrack_conversations import strange_packet
from support.conntrack_packets import ACK, FIN, PSH, RST, SYN, icmp, tcp, udp
from support.kernel_datapath import PORT, Seen, difference, seen
from support.kernel_program import needs_kernel
from trunkline.base.log import Log
from trunkline.bpf.provider import BpfDatapath
from trunkline.conntrack.connection import Connection
from trunkline.conntrack.tcp import Side
from trunkline.conntrack.tracker import CT_INV
from trunkline.dpif import actions as dp
from trunkline.dpif.provider import DatapathError, FlowPut
from trunkline.flow import key as layout
from trunkline.packet.packet import Packet
from trunkline.sim.datapath import Sim

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("kernel_conntrack")]

BEHIND = dp.Recirc(9)
IPV4 = dp.Nat("src", 4, 0x0A000064, 0x0A000064)
REWRITTEN = dp.Set(*layout.pack(net_dst=(0xFFFF0A000063, 0xFFFFFFFF)))
LISTS: tuple[tuple[Any, ...], ...] = (
    (dp.Conntrack(zone=1), BEHIND),
    (dp.Conntrack(commit=True, zone=1), BEHIND),
    (dp.Conntrack(zone=1, nat=dp.Nat()), BEHIND),
    (dp.Conntrack(commit=True, zone=1, nat=IPV4), BEHIND),
    (dp.Conntrack(commit=True, zone=1, nat=dp.Nat("dst", 4, 0x0A000003, 0x0A000003, 80, 90)), BEHIND),
    (dp.Conntrack(commit=True, zone=1, mark=(5, 7), label=(1 << 100, 3 << 99)), BEHIND),
    (dp.Conntrack(zone=1), dp.Conntrack(commit=True, zone=1, mark=(9, 0xFF)), BEHIND),
    (dp.Conntrack(zone=1), dp.Conntrack(commit=True, zone=2), BEHIND),
    (dp.Conntrack(zone=2, nat=dp.Nat()), dp.Conntrack(zone=1), BEHIND),
    (dp.Conntrack(commit=True, force=True, zone=1), BEHIND),
    (dp.Conntrack(zone=1), dp.ConntrackClear(), BEHIND),
    (dp.Conntrack(commit=True, zone=1), REWRITTEN, dp.Conntrack(commit=True, zone=1, mark=(3, 7)), BEHIND),
)
PLAIN, COMMIT, TRANSLATE, SOURCE, DESTINATION = range(5)
REWRITES = len(LISTS) - 1


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class Both:
    """A Sim and a kernel datapath with the flows of LISTS."""

    def __init__(self, directory: str) -> None:
        clock = RealClock()
        self.sim = Sim("sim", clock)
        self.kernel = BpfDatapath("kernel", clock, directory, log=Log("test", clock))
        self.program = self.kernel.program("execute")
        matched = layout.bits("recirc_id", "dp_in_port", "packet_type", "dl_type", "dl_src")
        for datapath in (self.sim, self.kernel):
            datapath.port_add("p7", "system", PORT)
            for number, actions in enumerate(LISTS):
                for i, kind in enumerate((0x0800, 0x86DD)):
                    key, _ = layout.pack(dp_in_port=PORT, dl_type=kind, dl_src=number)
                    put = FlowPut(number * 2 + i + 1, key, matched, actions)
                    outcome = datapath.change_flows([put])[0]
                    assert not isinstance(outcome, DatapathError), outcome
        self.came_up = 0  # packets that Python has tracked for the kernel
        trackings = self.kernel._trackings
        actions_of = trackings.argument

        def counted(number: int) -> object:
            self.came_up += 1
            return actions_of(number)

        trackings.argument = counted  # type: ignore[method-assign,assignment]

    def send(self, frame: bytes, number: int) -> tuple[list[Seen], list[Seen]]:
        frame = frame[:6] + number.to_bytes(6, "big") + frame[12:]
        self.sim.enter(Packet(frame), self.sim.key_of(frame, PORT))
        self.program.test_run(frame, struct.pack("=48xII136x", PORT, 0))
        return [seen(one) for one in self.sim.upcalls(99)], [seen(one) for one in self.kernel.upcalls(99)]

    def alike(self, frame: bytes, number: int) -> list[Seen]:
        mine, theirs = self.send(frame, number)
        assert not (text := difference(mine, theirs)), f"list {number}, {frame.hex()}: {text}"
        return mine

    def tables(self) -> tuple[list[str], list[str]]:
        """The connections of either, with all but the time of their end."""
        mine, theirs = (
            sorted(described(one) for one in datapath.conntrack.connections())
            for datapath in (self.sim, self.kernel)
        )
        return mine, theirs

    def close(self) -> None:
        self.kernel.close()


def described(one: Connection) -> str:
    state = one.state
    if not isinstance(state, int):
        state = [[getattr(side, name) for name in Side.__slots__] for side in state]
    parts = one.original, one.reply, state, one.mark, one.label, one.nat, one.lifetime
    return repr(parts)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    needs_kernel()
    made = Both(str(tmp_path))
    try:
        yield made
    finally:
        made.close()


def conversation(rng: random.Random) -> Iterator[tuple[bytes, int]]:
    """Segments of a TCP connection, most of which fit, and the list for each."""
    hosts = ("10.0.0.1", "10.0.0.2") if rng.random() < 0.6 else ("fd00::1", "fd00::2")
    ports = rng.randrange(1024, 2000), 8080
    begin = rng.choice((COMMIT, 5, 6, 7) if ":" in hosts[0] else (COMMIT, 5, 6, 7, SOURCE, DESTINATION))
    later = rng.choice((PLAIN, TRANSLATE, begin, 8))
    at, window = [rng.getrandbits(32), rng.getrandbits(32)], [rng.randrange(1, 65536) for _ in range(2)]
    scales = [rng.choice((None, 0, 7, 14, 20)) for _ in range(2)]
    for step in range(rng.randrange(4, 24)):
        side = 0 if step == 0 else 1 if step == 1 else rng.randrange(2)
        flags = SYN if step == 0 else SYN | ACK if step == 1 else ACK
        if step > 1:
            flags |= rng.choice((0, 0, PSH, PSH, FIN, RST if rng.random() < 0.3 else 0))
        if rng.random() < 0.03:
            flags = rng.randrange(64)
        size = rng.choice((0, 0, 1, 100)) if step > 1 else 0
        sequence, acknowledged = at[side], at[1 - side]
        if rng.random() < 0.1:
            sequence += rng.choice((-1, 1, -70000, 70000, 1 << 31))
        if rng.random() < 0.1:
            acknowledged += rng.choice((-1, 1, -70000, 70000, 1 << 31))
        options = b""
        if step < 2 and (scale := scales[side]) is not None:
            options = bytes((2, 4, 5, 180, 1, 3, 3, scale))
        there = hosts[side], hosts[1 - side]
        frame = tcp(
            *there,
            (ports[side], ports[1 - side]),
            sequence & 0xFFFFFFFF,
            acknowledged & 0xFFFFFFFF,
            flags,
            window[side],
            data=bytes(size),
            options=options,
        )
        at[side] = (at[side] + size + (flags & SYN != 0) + (flags & FIN != 0)) & 0xFFFFFFFF
        yield frame, begin if step == 0 else later


@pytest.mark.parametrize("check", [True, False])
def test_tcp_conversations(both: Both, check: bool) -> None:
    for datapath in (both.sim, both.kernel):
        datapath.conntrack.check_sequences = check
    both.kernel.conntrack.store.settle()  # type: ignore[attr-defined]
    rng = random.Random(5 + check)
    running: list[Iterator[tuple[bytes, int]]] = []
    invalid = found = 0
    for _ in range(4000):
        if len(running) < 5:
            running.append(conversation(rng))
        one = rng.choice(running)
        step = next(one, None)
        if step is None:
            running.remove(one)
            continue
        for out in both.alike(*step):
            found += 1
            invalid += bool(layout.get(out.key, "ct_state") & CT_INV)
    assert found > 3000
    assert 10 < invalid < found / 2
    assert both.came_up < found / 5  # the program has tracked the others itself
    mine, theirs = both.tables()
    assert mine == theirs
    assert len(mine) > 50


def test_other_protocols(both: Both) -> None:
    rng = random.Random(7)
    for _ in range(1500):
        host, port = rng.randrange(1, 4), rng.randrange(1000, 1004)
        there = (f"10.0.0.{host}", "10.0.0.9")
        kind = rng.randrange(4)
        number = rng.randrange(REWRITES)
        if kind < 2:
            frame = udp(*there, (port, 53)) if kind else udp(*there[::-1], (53, port))
        else:
            frame = icmp(*(there if kind == 2 else there[::-1]), 8 if kind == 2 else 0, 0, port << 16)
        both.alike(frame, number)
    mine, theirs = both.tables()
    assert mine == theirs


def test_packets_that_change_between_two_cts(both: Both) -> None:
    """Behind the second they are of another connection, or of the one that the first has made."""
    rng = random.Random(8)
    for _ in range(300):
        ends = [f"10.0.{rng.randrange(7, 9)}.{rng.choice((5, 0x63))}" for _ in range(2)]
        frame = udp(*ends, (rng.randrange(6, 9), rng.randrange(6, 9)))
        both.alike(frame, rng.choice((REWRITES, REWRITES, PLAIN)))
    mine, theirs = both.tables()
    assert mine == theirs


def test_strange_packets(both: Both) -> None:
    """All but those whose checksums are wrong, which the kernel does not look at."""
    rng = random.Random(9)
    for _ in range(1500):
        frame = strange_packet(rng)
        mine, theirs = both.send(frame, rng.randrange(REWRITES))
        text = difference(mine, theirs)
        if text and any(layout.get(one.key, "ct_state") & CT_INV for one in mine):
            continue
        assert not text, f"{frame.hex()}: {text}"
