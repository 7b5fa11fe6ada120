"""Commands that see whether an OpenFlow peer answers, and how fast."""

import os
import sys
import time
from collections.abc import Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch, complain
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.openflow import messages as m
from trunkline.openflow.style import integer

_MOST = 65535 - 8


def probe(tool: Tool, arguments: Sequence[str]) -> int:
    switch = Switch(tool, arguments[0])
    raw, incoming = switch.ask(m.EchoRequest())
    if isinstance(incoming.message, m.Error):
        return complain(raw, tool)
    if incoming.message != m.EchoReply():
        raise Failure("reply does not match request")
    switch.close()
    return 0


def _size(text: str) -> int:
    number = integer(text)
    if number is None or number > _MOST:
        raise Failure(f"payload must be between 0 and {_MOST} bytes")
    return number


def ping(tool: Tool, arguments: Sequence[str]) -> int:
    size = _size(arguments[1]) if len(arguments) > 1 else 64
    switch = Switch(tool, arguments[0])
    for _ in range(10):
        data = os.urandom(size)
        start = time.monotonic()
        _, incoming = switch.ask(m.EchoRequest(data))
        milliseconds = (time.monotonic() - start) * 1000
        if incoming.message != m.EchoReply(data):
            sys.stdout.write("Reply does not match request:\n")
            return 1
        sys.stdout.write(
            f"{size} bytes from {arguments[0]}: xid={incoming.xid:08x} time={milliseconds:.1f} ms\n"
        )
    switch.close()
    return 0


def benchmark(tool: Tool, arguments: Sequence[str]) -> int:
    size, count = _size(arguments[1]), integer(arguments[2]) or 0
    total = (size + 8) * count
    sys.stdout.write(f"Sending {count} packets * {size + 8} bytes (with header) = {total} bytes total\n")
    switch = Switch(tool, arguments[0])
    data = bytes(size)
    start = time.monotonic()
    for _ in range(count):
        switch.ask(m.EchoRequest(data))
    elapsed = time.monotonic() - start
    rate, octets = count / (elapsed or 1), total / (elapsed or 1)
    sys.stdout.write(f"Finished in {elapsed * 1000:.1f} ms ({rate:.0f} packets/s) ({octets:.0f} bytes/s)\n")
    switch.close()
    return 0
