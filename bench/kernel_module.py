"""Our kernel datapath beside the original's kernel module, in an emulated machine that counts instructions.

    make bench-kernel-module

There the time is instructions on one processor: ratios repeat within a percent, and nothing else can be
quoted.  Printed are TCP and 64-byte UDP for each path, as shares of a bare veth pair's.
"""

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from tests.support.namespaces import Namespace, namespaces

from bench.kernel_lab import Path, Switch, bare, bridged, hosts, machines, serving, small, switch, tcp

ROUNDS: Final = int(os.environ.get("BENCH_TURNS", "1"))
_VLAN: Final = 100


def tagged(root: Namespace, tag: str) -> Path:
    """Machines that send and receive in VLAN 100."""
    path = machines(root, tag)
    for machine, number in ((path.left, 1), (path.right, 2)):
        machine("ip", "addr", "flush", "dev", "eth0")
        machine("ip", "link", "add", "link", "eth0", "name", "eth0.100", "type", "vlan", "id", str(_VLAN))
        machine("ip", "link", "set", "eth0.100", "up")
        machine("ip", "addr", "add", f"10.98.0.{number}/24", "dev", "eth0.100")
    return path._replace(to="10.98.0.2")


def paths(root: Namespace, stack: ExitStack) -> list[Path]:
    found = [bare(root, "v"), bridged(root)._replace(name="Linux bridge")]
    for original, tag in ((True, "o"), (False, "w")):
        who = "original's module" if original else "ours"
        one: Switch = stack.enter_context(switch(root, original=original))
        found.append(machines(root, f"{tag}p")._replace(name=who))
        found.append(tagged(root, f"{tag}v")._replace(name=f"802.1Q on both ends, {who}"))
        one.bridge(f"br{tag}p", f"{tag}pl", f"{tag}pr")
        one.bridge(f"br{tag}v", f"{tag}vl", f"{tag}vr")
        print(one("ovs-appctl", "dpif/show"), flush=True)
    return found


def answered(path: Path) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if " 0% packet loss" in path.left("ping", "-q", "-c", "1", "-W", "2", path.to, check=False):
            return True
    print(f"{path.name}: no answer", flush=True)
    return False


def main() -> None:
    with namespaces() as root, ExitStack() as stack:
        found = paths(root, stack)
        for kind in os.environ.get("BENCH_TUNNELS", "").split():
            for original in (True, False):
                tag = f"{kind[0]}{'o' if original else 'w'}"
                found.append(hosts(root, tag, kind, original, stack))
        found = [path for path in found if answered(path)]
        rates: dict[str, list[list[float]]] = {path.name: [[], []] for path in found}
        loads: tuple[Callable[[Path], float], ...] = (tcp, small)
        for path in found:
            stack.enter_context(serving(path))
        for _ in range(ROUNDS):
            for path in found:
                for load, taken in zip(loads, rates[path.name], strict=True):
                    taken.append(load(path))
        reference = [statistics.median(taken) for taken in rates[found[0].name]]
        print(f"{'path':40} {'TCP':>7} {'64-byte UDP':>12}")
        for name, both in rates.items():
            shares = [statistics.median(taken) / of for taken, of in zip(both, reference, strict=True)]
            print(f"{name:40} {shares[0]:7.3f} {shares[1]:12.3f}", flush=True)


if __name__ == "__main__":
    main()
