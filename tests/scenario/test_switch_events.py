"""What a switch counts, and what it says when another one follows the same database."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import environment
from support.outcomes import DUMMY, OURS, Side

pytestmark = pytest.mark.oracle
PACKET = (
    "in_port(1),eth(src=00:00:00:00:00:0{n},dst=00:00:00:00:00:99),eth_type(0x0800),"
    "ipv4(src=1.1.1.1,dst=1.1.1.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


@pytest.fixture(params=(False, True), ids=("original", "ours"))
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    directory = Path(tempfile.mkdtemp(prefix="ev.", dir="/tmp"))
    one = Side(directory / "s", ours=request.param)
    yield one
    one.stop()
    shutil.rmtree(directory)


def count(side: Side, name: str) -> int:
    return int(side.control("coverage/read-counter", name))


def test_events_are_counted(side: Side) -> None:
    side.vsctl("add-br", "b0", "--", "add-port", "b0", "p1", "--", "add-port", "b0", "p2")
    names = ("xlate_actions", "dpif_execute", "dpif_flow_put", "txn_success", "bridge_reconfigure")
    before = {name: count(side, name) for name in names}
    for n in range(1, 4):
        side.control("netdev-dummy/receive", "p1", PACKET.format(n=n))
    side.ofctl("add-flow", "b0", "priority=5,actions=drop")
    side.ofctl("packet-out", "b0", "in_port=p1 packet=" + "00" * 60 + " actions=output:p2")
    side.vsctl("add-port", "b0", "p3")
    deadline = time.monotonic() + 5
    least = {"xlate_actions": 3, "dpif_execute": 1, "dpif_flow_put": 3, "txn_success": 1}
    least["bridge_reconfigure"] = 1
    while time.monotonic() < deadline:
        grown = {name: count(side, name) - before[name] for name in names}
        if all(grown[name] >= some for name, some in least.items()):
            break
        time.sleep(0.1)
    assert all(grown[name] >= some for name, some in least.items()), grown
    for name in ("ofproto_recv_openflow", "vconn_sent", "dpif_port_add", "netdev_received"):
        assert count(side, name) > 0, name
    for name in ("unixctl_received", "unixctl_replied"):
        assert count(side, name) > 0, name
    assert "idl-cells-Open_vSwitch:" in side.control("memory/show")
    assert "xlate_actions" in side.control("coverage/show")


def test_a_second_switch_says_that_it_is_disabled(side: Side) -> None:
    directory = side.directory
    program = str(OURS / "ovs-vswitchd") if side.ours else "/usr/sbin/ovs-vswitchd"
    log = directory / "second.log"
    command = [program, *DUMMY, "-vconsole:off", f"--log-file={log}", f"--unixctl={directory}/second.ctl"]
    second = subprocess.Popen(command, env=environment(directory), stdin=subprocess.DEVNULL)
    wanted = (
        "|bridge|ERR|another ovs-vswitchd process is running, disabling this process "
        f"(pid {second.pid}) until it goes away"
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (log.exists() and wanted in log.read_text()):
            time.sleep(0.05)
        side.vsctl("add-br", "b0")
        side.vsctl("add-br", "b1")
        assert log.read_text().count(wanted) == 1
        assert "|bridge|INFO|ovs-vswitchd (Open vSwitch) 3.1.0" in side.log()
    finally:
        second.terminate()
        second.wait(10)
