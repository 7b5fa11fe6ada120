"""The kernel datapath beside a bare veth pair and a Linux bridge, between two machines on this host (root).

Every row is paired: the path through the switch and what it is compared with take turns of a second each, and
the ratio is the median of the turns' ratios.  The column "original" holds what the row names behind
"against".  Goals are those of the project; where a row has none, there is nothing fair to compare with here.
"""

import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.support.namespaces import Namespace, namespaces, running

from bench.kernel_lab import (
    ADDRESS,
    Path,
    Switch,
    bare,
    bridged,
    hosts,
    machines,
    serving,
    small,
    switch,
    tcp,
    vxlan_device,
)
from bench.measure import ROOT, Row

TURNS: Final = int(os.environ.get("BENCH_TURNS", "5"))
FLOWS, MASKS = 10_000, 20
RULES: Final = 1000


def paired(load: Callable[[Path], float], paths: Sequence[Path]) -> list[tuple[float, float]]:
    """For each path the median of its rates, and of its ratios to the first path."""
    taken: list[list[float]] = []
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(serving(path))
            load(path)
        for turn in range(TURNS):
            order = list(paths) if turn % 2 == 0 else list(reversed(paths))
            rates = {id(path): load(path) for path in order}
            taken.append([rates[id(path)] for path in paths])
    return [
        (
            statistics.median(turn[at] for turn in taken),
            statistics.median(turn[at] / turn[0] for turn in taken),
        )
        for at in range(len(paths))
    ]


def rows(what: str, load: Callable[[Path], float], unit: str, paths: Sequence[tuple[Path, float | None]],
         against: Path) -> Iterator[Row]:  # fmt: skip
    """A row for each path, with the goal of its ratio to the path `against`."""
    results = paired(load, [against, *(path for path, _ in paths)])
    for (path, goal), (_, ratio) in zip(paths, results[1:], strict=True):
        yield Row(f"{what}, {path.name}, against {against.name}", ratio * results[0][0], results[0][0], unit,
                  ratio=goal)  # fmt: skip


# ---- what the switch is given


def many_flows(one: Switch, path: Path) -> int:
    """Puts 10,000 megaflows of 20 masks beside those of the path; how many there are."""
    one("ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:max-idle=600000")
    each = FLOWS // MASKS
    lines = ["priority=1,actions=NORMAL"]
    frames = []
    for mask in range(MASKS):
        for number in range(each):
            address = 0x14000000 + (mask << 20) + (number << 9)
            also = (",dl_src=02:00:00:00:00:01" if mask & 1 else "") + (",nw_tos=0" if mask & 2 else "")
            lines.append(
                f"priority={100 + mask},udp{also},nw_dst={socket.inet_ntoa(struct.pack('>I', address))}/23,"
                f"tp_dst=0x7c0/{0xFFC0 >> mask // 4 & 0x7FF:#x},actions=drop"
            )
            frames.append((address, 0x7C0))
    one.flows("br0", "\n".join(lines))
    script = [f"{address} {port}" for address, port in frames]
    subprocess.run(
        ["ip", "netns", "exec", path.left.name, sys.executable, "-m", "bench.bench_kernel", "each"],
        input="\n".join(script), text=True, check=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    end = time.monotonic() + 30
    while one.megaflows() < FLOWS and time.monotonic() < end:
        time.sleep(0.5)
    return one.megaflows()


CONNTRACK: Final = """
priority=10,arp,actions=NORMAL
priority=9,ip,ct_state=-trk,actions=ct(table=1{nat})
table=1,priority=9,ip,ct_state=+trk+new,actions=ct(commit{commit}),NORMAL
table=1,priority=8,ip,ct_state=+trk,actions=NORMAL
"""


def misses(one: Switch, path: Path) -> tuple[float, float]:
    """Microseconds to and fro: of the first datagram of a flow, and of the next; medians."""
    ports = one("ovs-ofctl", "show", "br0")
    numbers = [re.search(rf"(\d+)\({path.name}{side}\)", ports) for side in "lr"]
    left, right = (int(found[1]) for found in numbers if found)
    lines = [f"priority=5,in_port={right},actions={left}", "priority=20,arp,actions=NORMAL"]
    lines += [
        f"priority=10,in_port={left},udp,tp_src={20000 + number},actions={right}" for number in range(RULES)
    ]
    one.flows("br0", "\n".join(lines))
    with running(path.right, sys.executable, str(ROOT / "tests" / "support" / "flood.py"), "answer"):
        text = path.left(sys.executable, "-c", _ASK % (ADDRESS.format(2), RULES // 2), timeout=60)
    first, following = map(float, text.split())
    return first, following


_ASK: Final = """
import socket, statistics, time
times = [], []
for number in range(%s and %d):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", 20000 + number))
    one.settimeout(2)
    for taken in times:
        time.sleep(0.002)  # so that the flow is put when its next packet comes
        start = time.perf_counter()
        one.sendto(b"x" * 22, ("10.99.0.2", 7))
        try:
            one.recv(100)
        except TimeoutError:
            continue
        taken.append(time.perf_counter() - start)
    one.close()
print(*(statistics.median(taken) * 1e6 for taken in times))
""".replace("%s and %d", "len('%s') and %d")


# ---- many new flows


def frame(number: int, source: bytes, destination: bytes) -> bytes:
    """A datagram of a flow of its own."""
    header = struct.pack(">BBHHHBBHII", 0x45, 0, 46, 0, 0, 64, 17, 0, 0x0B000000 + number, 0x0A630002)
    ports = struct.pack(">HHHH", 1024 + number % 60000, 9, 26, 0)
    return destination + source + b"\x08\x00" + header + ports + bytes(18)


def generate(rate: float, seconds: float) -> int:
    """Datagrams out of eth0, each of another flow; how many were sent.  `rate` 0: as many as go."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("eth0", 0))
    frames = [frame(number, b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02") for number in range(1 << 16)]
    start, sent = time.monotonic(), 0
    while (now := time.monotonic()) < start + seconds:
        if rate and sent >= (now - start) * rate:
            time.sleep(0.0005)
            continue
        for _ in range(16):
            try:
                out.send(frames[sent & 0xFFFF])
            except OSError:
                continue
            sent += 1
    return sent


EACH_ITS_OWN: Final = """
priority=1,actions=NORMAL
priority=9,udp,tp_dst=9,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],NORMAL
"""
"""Every datagram of `frame` has a megaflow of its own."""


def setting_up(one: Switch, path: Path, rate: float, seconds: float) -> tuple[float, float]:
    """New flows a second that were sent, and packets of them that arrived."""
    one.flows("br0", EACH_ITS_OWN)

    def arrived() -> int:
        text = path.right("cat", "/sys/class/net/eth0/statistics/rx_packets")
        return int(text)

    before = arrived()
    command = [sys.executable, "-m", "bench.bench_kernel", "generate", str(rate), str(seconds)]
    text = subprocess.run(
        ["ip", "netns", "exec", path.left.name, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    time.sleep(1)
    return int(text) / seconds, (arrived() - before) / seconds


def beside_a_flood(path: Path, flooded: Namespace) -> float:
    """Gb/s of a connection while a port is flooded with new flows."""
    command = [sys.executable, "-m", "bench.bench_kernel", "generate", "200000", "60"]
    generator = subprocess.Popen(
        ["ip", "netns", "exec", flooded.name, *command], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        return tcp(path)
    finally:
        generator.send_signal(signal.SIGKILL)
        generator.wait()


# ---- all of it


def run() -> Iterator[Row]:
    if os.geteuid():
        return
    with namespaces() as root:
        yield from _run(root)


def _run(root: Namespace) -> Iterator[Row]:
    veth = bare(root, "v")
    bridge = bridged(root)
    with switch(root) as one:
        ours, patched, tagged = (machines(root, tag) for tag in ("sw", "pp", "vl"))
        one.bridge("br0", "swl", "swr")
        one.bridge("br1", "ppl")
        one.bridge("br2", "ppr")
        for bridge_name, port, peer in (("br1", "to2", "to1"), ("br2", "to1", "to2")):
            settings = ("set", "Interface", port, "type=patch", f"options:peer={peer}")
            one("ovs-vsctl", "--no-wait", "add-port", bridge_name, port, "--", *settings)
        root("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
        for end in ("wire0", "wire1"):
            root("ip", "link", "set", end, "up")
        one.bridge("br3", "vll", "wire0")
        one.bridge("br4", "vlr", "wire1")
        one("ovs-vsctl", "set", "Port", "vll", "tag=10", "--", "set", "Port", "vlr", "tag=10")
        kind = one("ovs-appctl", "dpif/show").splitlines()[1]
        if "note" in kind:
            raise SystemExit(f"no kernel datapath here: {kind}")
        named = [
            (ours._replace(name="switch"), 0.9),
            (patched._replace(name="patch pair"), 0.9),
            (tagged._replace(name="VLAN over a wire between two bridges"), None),
            (bridge._replace(name="Linux bridge"), None),
        ]
        yield from rows("TCP", tcp, "Gb/s", named, veth)
        yield from rows(
            "64-byte UDP", small, "/s", [(path, 0.8 if goal else None) for path, goal in named], veth
        )
        yield from rows("TCP", tcp, "Gb/s", named[:1], bridge._replace(name="Linux bridge"))
        yield from _with_flows(root, one, ours, veth)
        yield from _new_flows(root, one, ours, veth)
    yield from _tunnels(root)


def _tunnels(root: Namespace) -> Iterator[Row]:
    """VXLAN, Geneve and GRE between two hosts, beside the kernel's own device in the same place."""
    device = vxlan_device(root, "vd", machines=True)
    alone = vxlan_device(root, "va", machines=False)
    with ExitStack() as stack:
        paths = [
            hosts(root, f"t{kind[:2]}", kind, False, stack)._replace(name=kind)
            for kind in ("vxlan", "geneve", "gre")
        ]
        goals = [(path, 0.8 if path.name != "gre" else None) for path in paths]
        yield from rows("TCP", tcp, "Gb/s", goals, device)
        yield from rows("TCP", tcp, "Gb/s", goals, alone)
        yield from rows("64-byte UDP", small, "/s", [(path, None) for path in paths], device)


def _with_flows(root: Namespace, one: Switch, ours: Path, veth: Path) -> Iterator[Row]:
    count = many_flows(one, ours)
    loaded = ours._replace(name=f"{count:,} megaflows")
    yield from rows("TCP", tcp, "Gb/s", [(loaded, 0.9)], veth)
    yield from rows("64-byte UDP", small, "/s", [(loaded, 0.8)], veth)
    one.flows("br0", "actions=NORMAL")
    one("ovs-vsctl", "remove", "Open_vSwitch", ".", "other_config", "max-idle")
    plain = ours._replace(name="the same without")
    with tracked_paths(root, one) as tracked:
        yield from rows("TCP", tcp, "Gb/s", [(path, 0.8) for path in tracked], plain)


@contextmanager
def tracked_paths(root: Namespace, one: Switch) -> Iterator[list[Path]]:
    """Paths through bridges with conntrack, and with NAT too."""
    found = []
    for tag, name, nat, commit in (
        ("ct", "conntrack", "", ""),
        ("nt", "conntrack and NAT", ",nat", ",nat(src=10.99.7.7)"),
    ):
        path = machines(root, tag)
        one.bridge(f"{tag}br", f"{tag}l", f"{tag}r")
        one.flows(f"{tag}br", CONNTRACK.format(nat=nat, commit=commit))
        if nat:
            path.right("ip", "neigh", "replace", "10.99.7.7", "lladdr", _mac(path.left), "dev", "eth0")
        found.append(path._replace(name=name))
    yield found


def _mac(machine: Namespace) -> str:
    return machine("cat", "/sys/class/net/eth0/address").strip()


def _new_flows(root: Namespace, one: Switch, ours: Path, veth: Path) -> Iterator[Row]:
    first, following = misses(one, ours)
    yield Row(f"a miss adds to the first packet, {RULES} rules", first - following, None, "us", goal=300)
    sent, arrived = setting_up(one, ours, 10_000, 5)
    yield Row("new flows set up, of 10,000 a second sent", arrived, sent, "/s", ratio=0.99)
    flooded = root.machine("fl", "10.99.0.9/16")
    one("ovs-vsctl", "add-port", "br0", "fl")
    dropping = bare(root, "d")
    shares = []
    with serving(ours), serving(veth):
        for _ in range(TURNS):
            shares.append((beside_a_flood(ours, flooded), beside_a_flood(veth, dropping.left)))
    ratio = statistics.median(a / b for a, b in shares)
    reference = statistics.median(b for _, b in shares)
    what = "TCP beside 200,000 new flows a second at another port, against veth"
    yield Row(what, ratio * reference, reference, "Gb/s", ratio=0.7)


def _each() -> None:
    """A datagram to each address and port that standard input names."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("eth0", 0))
    for number, line in enumerate(sys.stdin):
        address, port = map(int, line.split())
        header = struct.pack(">BBHHHBBHII", 0x45, 0, 46, 0, 0, 64, 17, 0, 0x0A630001, address)
        raw.send(
            b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0"
            + header
            + struct.pack(">HHHH", 999, port, 26, 0)
            + bytes(18)
        )
        if number % 8 == 7:
            time.sleep(0.001)


if __name__ == "__main__":
    if sys.argv[1] == "generate":
        print(generate(float(sys.argv[2]), float(sys.argv[3])))
    else:
        _each()
