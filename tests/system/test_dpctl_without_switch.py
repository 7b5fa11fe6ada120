"""ovs-dpctl while no switch runs says what the switch would have said, and what it changes has effect."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.host import Host, kernel_host
from support.namespaces import Namespace
from support.originals import PATIENCE
from support.waiting import until

pytestmark = pytest.mark.system
_DEADLINE = 30.0 * PATIENCE
_FLOWS = """
priority=1,actions=NORMAL
priority=20,tcp,in_port=1,actions=ct(commit,zone=5,nat(src=10.0.0.100),exec(set_field:0x7->ct_mark)),output:2
priority=20,tcp,in_port=2,actions=ct(zone=5,nat,table=1)
table=1,ct_state=+trk+est,tcp,actions=output:1
priority=30,udp,tp_dst=7,actions=meter:1,set_field:9->udp_dst,mod_nw_tos:32,output:2
priority=30,udp,tp_dst=8,actions=push_vlan:0x8100,set_field:4103->vlan_vid,output:2,strip_vlan,output:3
priority=30,udp,tp_dst=10,actions=controller(max_len=64),output:2
priority=30,udp,tp_dst=11,actions=push_mpls:0x8847,set_field:5->mpls_label,output:2
priority=30,udp,tp_dst=12,actions=group:1
priority=30,udp,tp_dst=13,actions=drop
priority=30,udp,tp_dst=14,actions=set_field:77->tun_id,set_field:192.0.2.9->tun_dst,output:9
"""
_TRIED = ("ct(commit", "recirc(", "meter(", "push_vlan", "userspace(", "set(tunnel", "push_mpls", "drop")
_SERVE = """
import socket
s = socket.create_server(("10.0.0.2", 5000))
print("ready", flush=True)
held = [s.accept() for _ in range(2)]
input()
"""
_SEND = """
import socket
held = [socket.create_connection(("10.0.0.2", 5000), timeout=20) for _ in range(2)]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in (7, 8, 10, 11, 12, 13, 14):
    s.sendto(b"x", ("10.0.0.2", port))
print("ready", flush=True)
input()
"""


def _held(namespace: Namespace, program: str) -> subprocess.Popen[str]:
    """Runs until its input ends."""
    command = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    yield from kernel_host(short_directory)


def asked(host: Host, *arguments: str) -> list[str]:
    """The lines that ovs-dpctl prints, sorted, without what time changes."""
    text = host.run("ovs-dpctl", *arguments)
    text = re.sub(r"(packets|bytes):\d+", r"\1:N", text)
    text = re.sub(r", used:[^,]*(, flags:[A-Z.]+)?", "", text)
    text = re.sub(r"(hit|missed|lost):\d+", r"\1:N", text)
    return sorted(text.splitlines())


def failing(host: Host, *arguments: str) -> str:
    done = subprocess.run(
        host.command("ovs-dpctl", *arguments), env=host.variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stdout
    return done.stderr


@contextmanager
def lab(host: Host) -> Iterator[tuple[Namespace, Namespace]]:
    """Two machines of three, with flows of many kinds between them, and two connections."""
    host.namespace("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    machines = [host.namespace.machine(f"p{i}", f"10.0.0.{i}/24") for i in (1, 2, 3)]
    host.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=600000")
    for i in (1, 2, 3):
        host.vsctl("add-port", "br0", f"p{i}", "--", "set", "Interface", f"p{i}", f"ofport_request={i}")
    tunnel = ["type=geneve", "options:remote_ip=flow", "options:key=flow", "ofport_request=9"]
    host.vsctl("add-port", "br0", "gn0", "--", "set", "Interface", "gn0", *tunnel)
    host.run("ovs-ofctl", "-OOpenFlow13", "add-meter", "br0", "meter=1,kbps,band=type=drop,rate=100000")
    group = "group_id=1,type=select,selection_method=dp_hash,bucket=bucket_id:1,actions=output:2"
    host.run("ovs-ofctl", "-OOpenFlow15", "add-group", "br0", group)
    flows = host.directory / "flows.txt"
    flows.write_text(_FLOWS)
    host.run("ovs-ofctl", "-OOpenFlow15", "replace-flows", "br0", str(flows))
    host.namespace("ip", "addr", "add", "10.0.0.254/24", "dev", "br0")
    host.namespace("ip", "link", "set", "br0", "up")
    first, second, third = machines
    for one in machines:  # nobody asks for addresses while flows are looked at
        one("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        for i, other in enumerate(machines, 1):
            mac = other("cat", "/sys/class/net/eth0/address").strip()
            address = "10.0.0.100" if other is first else ""  # of its connections
            for each in filter(None, (f"10.0.0.{i}", address)):
                if other is not one:
                    one("ip", "neigh", "replace", each, "lladdr", mac, "dev", "eth0", "nud", "permanent")
    mac = third("cat", "/sys/class/net/eth0/address").strip()
    permanent = ("lladdr", mac, "dev", "br0", "nud", "permanent")
    host.namespace("ip", "neigh", "replace", "10.0.0.3", *permanent)
    assert first.pings("10.0.0.2")
    assert third.pings("10.0.0.254")
    assert second.pings("10.0.0.3")
    held = [_held(second, _SERVE), _held(first, _SEND)]
    try:
        yield first, second
    finally:
        for process in held:
            process.communicate("\n", timeout=_DEADLINE)


_LOOKS = (
    ("dump-flows",),
    ("show",),
    ("dump-dps",),
    ("dump-flows", "--names"),
    ("dump-flows", "system@ovs-system", "filter=udp,tp_dst=8"),
    ("dump-conntrack",),
    ("dump-conntrack", "zone=5"),
    ("-m", "ct-stats-show", "zone=5"),
    ("ct-get-nconns",),
    ("ct-get-tcp-seq-chk",),
    ("cache-get-size",),
)


def look(host: Host) -> list[list[str]]:
    return [asked(host, *words) for words in _LOOKS]


def settled(host: Host) -> list[list[str]]:
    """What is said when nothing changes any more: flows are put in a moment after their packets."""
    before = asked(host, "dump-flows")
    end = time.monotonic() + _DEADLINE
    while True:
        time.sleep(0.2)
        found = look(host)
        if found[0] == before == asked(host, "dump-flows"):
            return found
        assert time.monotonic() < end, "it goes on changing"
        before = found[0]


def stop(host: Host, how: str) -> None:
    if how == "kill":
        host.switch.kill()
    else:
        host.run("ovs-appctl", "exit")
    host.switch.wait(_DEADLINE)


def test_a_stopped_switch_is_shown_as_a_running_one(host: Host) -> None:
    with lab(host) as (first, _):
        shown_as_running(host, first)


def shown_as_running(host: Host, first: Namespace) -> None:
    until(lambda: len(asked(host, "dump-flows")) > 11, "packets without flows")
    running = settled(host)
    dump = "\n".join(running[0])
    for word in (
        "ct(commit",
        "recirc(",
        "meter(",
        "push_vlan",
        "userspace(",
        "set(tunnel",
        "push_mpls",
        "drop",
    ):
        assert word in dump, f"{word} is not tried: {dump}"
    assert len(running[_LOOKS.index(("dump-conntrack",))]) == 2
    assert [line for line in running[1] if "p1" in line]
    for how in ("exit", "kill"):
        stop(host, how)
        for words, before, after in zip(_LOOKS, running, look(host), strict=True):
            assert after == before, f"{words} after {how}"
        lines = [line for line in asked(host, "-m", "dump-flows") if line.startswith("ufid:")]
        assert len(lines) == len(running[0]) - 1  # a title
        assert "unknown" not in "".join(lines)
        ufid = lines[-1].partition(",")[0]
        assert asked(host, "-m", "get-flow", ufid) == lines[-1:]
        assert re.search(r"RX packets:[1-9]", host.run("ovs-dpctl", "-s", "show"))
        if how == "exit":
            host.start_switch()
            host.vsctl("set", "Bridge", "br0", "external_ids:again=yes")
            first.pings("10.0.0.2")
            running = settled(host)
    assert "getting flow (No such file or directory)" in failing(host, "get-flow", "ufid:" + "9" * 32)
    assert "is about what ovs-vswitchd alone keeps, and it does not run" in failing(host, "ct-get-limits")
    assert "opening datapath other failed (No such file or directory)" in failing(host, "show", "other")


def test_flows_and_connections_are_changed_while_no_switch_runs(host: Host) -> None:
    with lab(host) as (first, second):
        changed_without(host, first, second)


def changed_without(host: Host, first: Namespace, second: Namespace) -> None:
    until(lambda: len(asked(host, "dump-flows")) > 11, "packets without flows")
    stop(host, "kill")
    assert first.pings("10.0.0.2"), "known flows go on"
    flows = host.run("ovs-dpctl", "-m", "dump-flows").splitlines()
    connections = asked(host, "dump-conntrack", "zone=5")
    assert len(connections) == 2
    port = re.search(r"sport=(\d+)", connections[0])
    assert port is not None
    which = f"ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_src={port[1]}"
    host.run("ovs-dpctl", "flush-conntrack", "zone=5", which)
    assert asked(host, "dump-conntrack", "zone=5") == connections[1:]
    host.run("ovs-dpctl", "flush-conntrack")
    assert asked(host, "dump-conntrack") == []
    ufids = [line.partition(",")[0] for line in flows if "in_port(p1)" in line and "ipv4" in line]
    assert ufids
    for ufid in ufids:
        assert "packets:" in host.run("ovs-dpctl", "-s", "del-flow", ufid)
    assert not first.pings("10.0.0.2"), "the flow is gone"
    assert "No such file or directory" in failing(host, "del-flow", ufids[0])
    # A flow of our own: everything between the two, both ways.
    host.run("ovs-dpctl", "del-flows")
    assert asked(host, "dump-flows") == []
    assert not second.pings("10.0.0.1")
    ports = dict(re.findall(r"port (\d+): (\w+)", "\n".join(asked(host, "show"))))
    numbers = {name: number for number, name in ports.items()}
    one, two = numbers["p1"], numbers["p2"]
    wrong = numbers["p3"]
    host.run("ovs-dpctl", "add-flow", f"in_port({one}),eth(),eth_type(0x800),ipv4()", wrong)
    host.run("ovs-dpctl", "add-flow", "in_port(p2),eth(),eth_type(0x800),ipv4()", one)
    assert not first.pings("10.0.0.2")
    host.run("ovs-dpctl", "mod-flow", f"in_port({one}),eth(),eth_type(0x800),ipv4()", two)
    assert first.pings("10.0.0.2")
    assert f"actions:{two}" in "\n".join(asked(host, "dump-flows"))
    assert "File exists" in failing(host, "add-flow", f"in_port({one}),eth(),eth_type(0x800),ipv4()", two)
    message = failing(host, "add-flow", f"in_port({wrong}),eth(),eth_type(0x800),ipv4()", "userspace(pid=1)")
    assert "action userspace: only ovs-vswitchd can do that, and it does not run" in message
    assert "not a device" in failing(host, "add-flow", f"in_port({wrong}),eth(),eth_type(0x806),arp()", "99")
    # The switch that starts makes its own of it.
    host.start_switch()
    host.vsctl("set", "Bridge", "br0", "external_ids:again=yes")
    assert first.pings("10.0.0.2")


def test_nothing_is_there_where_no_switch_has_been(host: Host, short_directory: Path) -> None:
    """A switch beside it in the same namespace is another run directory's."""
    stop(host, "exit")
    assert "ovs-system" in host.run("ovs-dpctl", "show")
    other = short_directory / "other"
    other.mkdir()
    host.variables = {**host.variables, "OVS_RUNDIR": str(other)}
    assert "no datapaths exist: no switch runs here (cannot read pidfile" in failing(host, "dump-dps")
    assert "no datapaths exist" in failing(host, "dump-flows")
    assert "no datapaths exist" in failing(host, "del-flows")


def test_datapaths_and_ports_are_made_and_taken_away_while_no_switch_runs(host: Host) -> None:
    first = host.namespace.machine("p1", "10.0.0.1/24")
    second = host.namespace.machine("p2", "10.0.0.2/24")
    host.run("ovs-appctl", "exit", "--cleanup")
    host.switch.wait(_DEADLINE)
    assert "opening datapath (No such device)" in failing(host, "add-if", "ovs-system", "p1")
    assert "it is called ovs-system" in failing(host, "add-dp", "dp0")
    host.run("ovs-dpctl", "add-dp", "ovs-system", "p1")
    assert "add_dp (File exists)" in failing(host, "add-dp", "ovs-system")
    host.run("ovs-dpctl", "add-if", "ovs-system", "p2,port_no=7", "in0,type=internal")
    shown = ["ovs-system (internal)", "p1 (system)", "in0 (internal)", "p2 (system)"]
    ports = [f"  port {number}: {text}" for number, text in zip((0, 1, 2, 7), shown, strict=True)]
    assert host.run("ovs-dpctl", "show").splitlines()[-4:] == ports
    assert "PROMISC" in host.namespace("ip", "-o", "link", "show", "p2")
    host.run("ovs-dpctl", "add-flow", "in_port(1),eth(),eth_type(0x800),ipv4()", "7,2")
    host.run("ovs-dpctl", "add-flow", "in_port(7),eth(),eth_type(0x800),ipv4()", "1")
    for one, other, address in ((first, second, "10.0.0.2"), (second, first, "10.0.0.1")):
        mac = other("cat", "/sys/class/net/eth0/address").strip()
        one("ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")
    assert first.pings("10.0.0.2")
    wrong = failing(host, "add-if", "ovs-system", "p1", "vx0,type=vxlan", "nothing", "p2,type=what")
    assert [line.removeprefix("ovs-dpctl: ") for line in wrong.splitlines()] == [
        "adding p1 to system@ovs-system failed (File exists)",
        "vx0: failed to open network device (only ovs-vswitchd can do that, and it does not run)",
        "nothing: failed to open network device (No such device)",
        "p2: failed to open network device (File exists)",
    ]
    host.run("ovs-dpctl", "set-if", "ovs-system", "p2,type=system,port_no=7")
    assert "p2: can't change port number from 7 to 8" in failing(host, "set-if", "ovs-system", "p2,port_no=8")
    assert "no port named p9" in failing(host, "del-if", "ovs-system", "p9")
    host.run("ovs-dpctl", "del-if", "ovs-system", "p2", "in0")
    assert not first.pings("10.0.0.2")
    assert "PROMISC" not in host.namespace("ip", "-o", "link", "show", "p2")
    assert "in0" not in host.namespace("ip", "-o", "link")
    host.run("ovs-dpctl", "add-if", "ovs-system", "p2,port_no=7")
    assert first.pings("10.0.0.2")
    host.run("ovs-dpctl", "del-dp", "ovs-system")
    assert "no datapaths exist" in failing(host, "show")
    assert host.namespace("ip", "-o", "link").count("\n") == 3, "lo, p1 and p2 are left"
    assert "PROMISC" not in host.namespace("ip", "-o", "link")
    # A switch that starts goes by its database.
    host.run("ovs-dpctl", "add-dp", "ovs-system", "p2")
    host.start_switch()
    host.vsctl("add-port", "br0", "p1")
    assert "ovs-system (internal)" not in host.run("ovs-appctl", "dpctl/show")
    until(lambda: "PROMISC" not in host.namespace("ip", "-o", "link", "show", "p2"), "p2 is still held")
