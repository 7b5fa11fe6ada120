"""Data over TCP between machines, with iperf3."""

import time

from support.namespaces import Namespace
from support.waiting import PATIENCE


def transfer(source: Namespace, target: Namespace, address: str, amount: str) -> None:
    """`amount` as iperf3 has it ("1M"); `address` is that of `target`."""
    server = target.start("iperf3", "-s", "-1")
    try:
        deadline = time.monotonic() + 20 * PATIENCE
        while "receiver" not in (
            text := source("iperf3", "-c", address, "-n", amount, check=False, timeout=20)
        ):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
