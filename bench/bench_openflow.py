"""Flow tables of 100,000 flows: filling them, asking them, and what echo requests notice of it."""

import random
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.lab import DUMMY, Lab, kinds, lab
from bench.measure import Row
from support.switch_pair import Peer
from support.switches import Control

FLOWS = 100_000
TRACES = 1_000
FILES = 3  # times that a file of flows is added
PAIRS = 31  # of tools that ask for one flow
_OPENFLOW13 = 4


# ---- flows: the i-th has priority 100 + kind and an IPv4 destination of its own


def _extra(i: int, masks: int) -> tuple[str, bytes]:
    """What the i-th flow of a table with so many masks matches besides, as text and as OXM."""
    return (
        ("", b""),
        (",in_port=1", struct.pack("!II", 0x80000004, 1)),
        (",dl_src=50:54:00:00:00:01", struct.pack("!I", 0x80000806) + bytes.fromhex("505400000001")),
        (",nw_src=10.0.0.0/8", struct.pack("!III", 0x80001708, 10 << 24, 0xFF000000)),
        (",nw_tos=0", struct.pack("!IB", 0x80001001, 0)),
    )[i % masks]


def flow_text(i: int, masks: int) -> str:
    address = f"10.{i >> 16}.{i >> 8 & 0xFF}.{i & 0xFF}"
    extra = _extra(i, masks)[0]
    return f"priority={100 + i % masks},ip{extra},nw_dst={address},actions=output:{1 + i % 3}"


def flow_mod(i: int, masks: int) -> bytes:
    """The same flow as a message of OpenFlow 1.3."""
    oxm = (
        struct.pack("!IH", 0x80000A02, 0x0800)
        + _extra(i, masks)[1]
        + struct.pack("!II", 0x80001804, 10 << 24 | i)
    )
    match = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
    match += bytes(-len(match) % 8)
    action = struct.pack("!HHIH6x", 0, 16, 1 + i % 3, 0)
    instruction = struct.pack("!HH4x", 4, 8 + len(action)) + action
    head = struct.pack(
        "!QQBBHHHIIIHH", 0, 0, 0, 0, 0, 0, 100 + i % masks, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0
    )
    body = head + match + instruction
    return struct.pack("!BBHI", 4, 14, 8 + len(body), i + 1) + body


class Bed:
    """A switch of one kind with a dummy bridge br0 of three ports, and br1, which stays empty."""

    def __init__(self, made: Lab) -> None:
        self.lab = made
        made.start_database()
        self.pid = made.start_switch(*DUMMY)
        ports = [word for i in (1, 2, 3) for word in ("--", "add-port", "br0", f"p{i}")]
        made.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", *ports)
        made.run("ovs-vsctl", "add-br", "br1", "--", "set", "bridge", "br1", "fail_mode=secure")
        self.control = f"{made.directory}/ovs-vswitchd.{self.pid}.ctl"

    def peer(self) -> Peer:
        return Peer(f"{self.lab.directory}/br0.mgmt", _OPENFLOW13)

    def memory(self) -> int:
        """Resident bytes of the switch."""
        return int(Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024

    def timed(self, program: str, *arguments: str) -> float:
        start = time.perf_counter()
        self.lab.run(program, *arguments)
        return time.perf_counter() - start


class Figures:
    """What was measured of one kind of switch."""

    def __init__(self, original: bool) -> None:
        with lab(original) as made:
            bed = Bed(made)
            self._whole_files(bed)
            self._pipelined(bed)
            self._one_more(bed)
            self._dumps(bed)
            self._traces(bed)
            made.run("ovs-ofctl", "del-flows", "br0")

    def _whole_files(self, bed: Bed) -> None:
        path = Path(bed.lab.directory, "flows")
        path.write_text("".join(flow_text(i, 5) + "\n" for i in range(FLOWS)))
        before = bed.memory()
        took = [bed.timed("ovs-ofctl", "add-flows", "br0", str(path))]
        self.bytes_a_flow = (bed.memory() - before) / FLOWS
        for _ in range(FILES - 1):
            bed.lab.run("ovs-ofctl", "del-flows", "br0")
            took.append(bed.timed("ovs-ofctl", "add-flows", "br0", str(path)))
        self.add_flows = FLOWS / statistics.median(took)
        bed.lab.run("ovs-ofctl", "del-flows", "br0")

    def _pipelined(self, bed: Bed) -> None:
        messages = b"".join(flow_mod(i, 1) for i in range(FLOWS))
        peer, other = bed.peer(), bed.peer()
        waits: list[float] = []
        done = threading.Event()

        def echo() -> None:
            while not done.is_set():
                start = time.perf_counter()
                other.barrier()
                waits.append(time.perf_counter() - start)
                time.sleep(0.001)

        thread = threading.Thread(target=echo)
        thread.start()
        start = time.perf_counter()
        errors = peer.ask(messages)
        self.flow_mods = FLOWS / (time.perf_counter() - start)
        done.set()
        thread.join()
        assert not errors, errors[0].hex()
        self.longest_wait = max(waits) * 1000
        peer.close()
        other.close()

    def _one_more(self, bed: Bed) -> None:
        """Flow-mods one by one, into 100,000 flows of one mask, and into nothing."""
        peer = bed.peer()

        def median() -> float:
            took = []
            for i in range(FLOWS, FLOWS + 300):
                start = time.perf_counter()
                assert not peer.ask(flow_mod(i, 1))
                took.append(time.perf_counter() - start)
            return statistics.median(took) * 1e6

        self.one_in_many = median()
        self._one_exact(bed)
        bed.lab.run("ovs-ofctl", "del-flows", "br0")
        self.one_in_none = median()
        bed.lab.run("ovs-ofctl", "del-flows", "br0")
        peer.close()

    def _one_exact(self, bed: Bed) -> None:
        """One flow of the 100,000 asked for, and of an empty bridge in turns.

        The tool's start varies by more than the goal allows for the question, so what counts is the median
        of the differences within pairs.
        """
        exact = flow_text(77_777, 1).split(",actions")[0].replace("priority=100,", "")
        empty, more = [], []
        for pair in range(PAIRS):
            took = {
                name: bed.timed("ovs-ofctl", "dump-flows", name, exact)
                for name in (("br0", "br1") if pair % 2 else ("br1", "br0"))
            }
            empty.append(took["br1"])
            more.append((took["br0"] - took["br1"]) * 1000)
        self.exact_in_none = statistics.median(empty)
        self.exact_more = statistics.median(more)

    def _dumps(self, bed: Bed) -> None:
        peer = bed.peer()
        assert not peer.ask(b"".join(flow_mod(i, 5) for i in range(FLOWS)))
        peer.close()
        self.dump = statistics.median(bed.timed("ovs-ofctl", "dump-flows", "br0") for _ in range(3))

    def _traces(self, bed: Bed) -> None:
        rnd = random.Random(5)
        flows = [
            f"in_port=1,ip,nw_src=10.1.1.1,nw_dst=10.{rnd.randrange(2)}.{rnd.randrange(256)}.{rnd.randrange(256)}"
            for _ in range(TRACES + 1)
        ]
        control = Control(bed.control)
        start = time.perf_counter()
        control("ofproto/trace", "br0", flows.pop())  # what is new in the tables is sorted in now
        self.first_trace = (time.perf_counter() - start) * 1000
        start = time.perf_counter()
        for flow in flows:
            control("ofproto/trace", "br0", flow)
        self.traces = TRACES / (time.perf_counter() - start)
        control.close()


def run() -> Iterator[Row]:
    figures = [Figures(original) for original in kinds()]
    ours, original = figures[0], figures[1] if len(figures) > 1 else None

    def row(what: str, name: str, unit: str, goal: float | None = None) -> Row:
        return Row(what, getattr(ours, name), getattr(original, name) if original else None, unit, goal)

    yield row(
        "add-flows of 100,000 flows, tool and switch", "add_flows", "flows/s", original and original.add_flows
    )
    yield row("flow-mods pipelined on one connection", "flow_mods", "mods/s", 40_000)
    yield row("longest wait of another connection meanwhile", "longest_wait", "ms", 20)
    yield row("memory", "bytes_a_flow", "bytes a flow", 2048)
    yield row("one flow-mod and barrier, empty table", "one_in_none", "us")
    yield row("the same with 100,000 flows of one mask", "one_in_many", "us", 3 * ours.one_in_none)
    yield row("dump-flows of 100,000", "dump", "s", original and 4 * original.dump)
    yield row("dump-flows of one exact flow, empty table", "exact_in_none", "s")
    yield row("  what it takes longer among 100,000 flows", "exact_more", "ms", 3)
    yield row("first trace after 100,000 flows", "first_trace", "ms")
    yield row("traces over one control connection", "traces", "traces/s", 4000)
