"""New flows are thrown at one port, more than anybody can set up: what others are due, they get.

Nothing here is about time: counted is what arrives, and what was dropped at whose port.
"""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host, kernel_host
from support.namespaces import running
from support.originals import PATIENCE

pytestmark = pytest.mark.system
_DEADLINE = 30.0 * PATIENCE
_NEW = 40  # flows of the other port
_SUPPORT = Path(__file__).parents[1] / "support"
_FLOOD, _STREAM = str(_SUPPORT / "flood.py"), str(_SUPPORT / "stream.py")
_EACH_ITS_OWN = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15]"


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    yield from kernel_host(short_directory)


def unheard(host: Host, port: str) -> int:
    """Packets of a port that were dropped because too many wait for Python."""
    for part in re.split(r"\n(?=  port )", host.run("ovs-appctl", "dpctl/show", "-s")):
        if f": {port} (" in part:
            return sum(int(count) for count in re.findall(r"(?:no_flow|ring_full):(\d+)", part))
    raise AssertionError(f"there is no port {port}")


def test_others_get_what_they_are_due(host: Host) -> None:
    flooding, other, third = (
        host.namespace.machine(f"p{number}", f"10.0.0.{number}/24") for number in (1, 2, 3)
    )
    for number in (1, 2, 3):
        settings = ("--", "set", "Interface", f"p{number}", f"ofport_request={number}")
        host.vsctl("add-port", "br0", f"p{number}", *settings)
    assert other.pings("10.0.0.3")
    host.run("ovs-ofctl", "add-flow", "br0", f"priority=9,udp,tp_dst=7,actions={_EACH_ITS_OWN},output:3")
    with (
        running(third, sys.executable, _FLOOD, "answer"),
        running(third, sys.executable, _STREAM, "receive") as received,
        running(flooding, sys.executable, _FLOOD, "flood"),
    ):
        sender = other.start(sys.executable, _STREAM, "send", "10.0.0.3", "200")
        try:
            end = time.monotonic() + _DEADLINE
            while not unheard(host, "p1"):  # and the switch answers who asks that
                assert time.monotonic() < end, "the flood is none"
            asking = ("env", f"SECONDS={_DEADLINE}", sys.executable, _FLOOD, "ask", "10.0.0.3", str(_NEW))
            assert other(*asking, timeout=_DEADLINE + 30).strip() == str(_NEW)
            host.run("ovs-ofctl", "add-flow", "br0", "table=9,actions=drop")
            assert "table=9" in host.run("ovs-ofctl", "dump-flows", "br0")
        finally:
            sender.kill()
            sender.wait()
        assert received.stdin is not None
        assert received.stdout is not None
        received.stdin.write("enough\n")
        received.stdin.flush()
        missing, count, _ = map(int, received.stdout.readline().split())
    assert unheard(host, "p2") == unheard(host, "p3") == 0
    assert count > 100
    assert missing * 20 < count, "a flow that is set up loses packets"
