"""Configuration on real devices: what is changed on them, put back, seen by OpenFlow, left behind."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host, bridged_host

pytestmark = pytest.mark.system


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    yield from bridged_host(short_directory)


def veth(host: Host, name: str, peer: str) -> None:
    host.namespace("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
    for end in (name, peer):
        host.namespace("ip", "link", "set", end, "up")


def test_sizes_and_addresses_are_put_back(host: Host) -> None:
    veth(host, "v0", "v1")
    before = host.namespace("ip", "-o", "link", "show", "v0")
    host.vsctl("add-port", "br0", "v0", "--", "set", "Interface", "v0", "mtu_request=1400")
    assert "mtu 1400" in host.namespace("ip", "link", "show", "v0")
    assert "mtu 1400" in host.namespace("ip", "link", "show", "br0")
    host.vsctl("del-port", "v0")
    assert host.namespace("ip", "-o", "link", "show", "v0") == before


def test_sizes_are_put_back_by_a_later_process_too(host: Host) -> None:
    """Also where no kernel datapath remembers its devices."""
    veth(host, "v0", "v1")
    before = host.namespace("ip", "-o", "link", "show", "v0")
    host.vsctl("set", "Bridge", "br0", "datapath_type=netdev", "--", "add-port", "br0", "v0")
    host.vsctl("set", "Interface", "v0", "mtu_request=1400")
    host.vsctl("set", "Interface", "v0", "mtu_request=1300")
    host.switch.kill()
    host.switch.wait(20)
    host.start_switch()
    host.vsctl("set", "Bridge", "br0", "external_ids:again=yes")
    assert "mtu 1300" in host.namespace("ip", "link", "show", "v0")
    host.vsctl("del-port", "v0")
    assert host.namespace("ip", "-o", "link", "show", "v0") == before


def test_a_packet_too_long_for_its_way_out_is_logged(host: Host) -> None:
    veth(host, "v0", "v1")
    veth(host, "w0", "w1")
    for end in ("v0", "v1"):
        host.namespace("ip", "link", "set", end, "mtu", "3000")
    host.vsctl("set", "Bridge", "br0", "datapath_type=netdev", "--", "add-port", "br0", "v0")
    host.vsctl("add-port", "br0", "w0")
    send = (
        "import socket; s = socket.socket(17, 3); s.bind(('v1', 0)); s.send(bytes([255] * 6) + bytes(1994))"
    )
    line = "netdev_linux|WARN|error sending Ethernet packet on w0: Message too long"
    deadline = time.monotonic() + 20
    while line not in (host.directory / "ovs-vswitchd.log").read_text():
        assert time.monotonic() < deadline
        host.namespace(sys.executable, "-c", send)


def test_openflow_and_the_database_see_what_the_link_can_do(host: Host) -> None:
    veth(host, "v0", "v1")
    host.vsctl("add-port", "br0", "v0")
    shown = host.run("ovs-ofctl", "show", "br0").split("1(v0)")[1]
    assert "current:    10GB-FD COPPER\n     speed: 10000 Mbps now, 0 Mbps max" in shown
    assert host.vsctl("get", "Interface", "v0", "link_speed", "duplex") == "10000000000\nfull"
    deadline = time.monotonic() + 15
    while not (keys := host.vsctl("get", "Interface", "v0", "statistics")).startswith("{collisions="):
        assert time.monotonic() < deadline, keys
        time.sleep(0.1)
    assert [word.split("=")[0] for word in keys.strip("{}").split(", ")] == [
        *("collisions", "rx_bytes", "rx_crc_err", "rx_dropped", "rx_errors", "rx_frame_err"),
        *("rx_missed_errors", "rx_multicast_packets", "rx_over_err", "rx_packets"),
        *("tx_bytes", "tx_dropped", "tx_errors", "tx_packets"),
    ]


@pytest.mark.parametrize("name", ["1", "abcdefghijklmno", "ünïcode", "a.b-c"])
def test_odd_names_are_names(host: Host, name: str) -> None:
    veth(host, name, "peer")
    host.vsctl(
        "add-port",
        "br0",
        name,
        "--",
        "add-port",
        "br0",
        "in0",
        "--",
        "set",
        "Interface",
        "in0",
        "type=internal",
    )
    assert host.vsctl("get", "Interface", name, "error", "ofport") in ("[]\n1", "[]\n2")
    host.vsctl("del-port", name)
    assert "master" not in host.namespace("ip", "link", "show", name)


@pytest.mark.parametrize("name", ["a/b", "abcdefghijklmnop", "with space"])
def test_names_that_no_device_can_have(host: Host, name: str) -> None:
    for kind in ("system", "internal", "tap"):
        host.vsctl("--may-exist", "add-port", "br0", name, "--", "set", "Interface", name, f"type={kind}")
        error = host.vsctl("get", "Interface", name, "error")
        assert f"could not open network device {name} (" in error, kind
    assert host.vsctl("get", "Interface", "br0", "error", "ofport") == "[]\n65534"


def test_leaving_with_cleanup_takes_internal_ports_along(host: Host) -> None:
    veth(host, "v0", "v1")
    host.vsctl("add-port", "br0", "v0", "--", "set", "Interface", "v0", "mtu_request=1400")
    host.run("ovs-appctl", "exit", "--cleanup")
    host.switch.wait(15)
    links = host.namespace("ip", "-o", "link")
    assert "br0" not in links
    assert links.count("\n") == 3, "lo and the pair"
    assert "mtu 1500" in host.namespace("ip", "link", "show", "v0")


def test_a_plain_exit_leaves_internal_ports_and_the_next_start_drops_stale_ones(host: Host) -> None:
    host.vsctl("add-port", "br0", "in0", "--", "set", "Interface", "in0", "type=internal")
    host.run("ovs-appctl", "exit")
    host.switch.wait(15)
    assert "in0@" in host.namespace("ip", "-o", "link")
    host.vsctl("--no-wait", "del-port", "in0")
    host.start_switch()
    host.vsctl("set", "Bridge", "br0", "external_ids:again=yes")
    links = host.namespace("ip", "-o", "link")
    assert "in0@" not in links
    assert "br0@" in links


def test_an_internal_port_may_live_in_another_namespace(host: Host) -> None:
    machine = host.namespace.machine("p1", "10.0.0.1/24")
    other = host.namespace.machine("p2", "10.0.0.2/24")
    host.vsctl(
        "add-port",
        "br0",
        "p1",
        "--",
        "add-port",
        "br0",
        "in0",
        "--",
        "set",
        "Interface",
        "in0",
        "type=internal",
    )
    host.namespace("ip", "link", "set", "in0", "netns", other.name)
    other("ip", "addr", "add", "10.0.0.3/24", "dev", "in0")
    other("ip", "link", "set", "in0", "up")
    other("ip", "link", "set", "eth0", "down")
    assert machine.pings("10.0.0.3")
    assert host.vsctl("get", "Interface", "in0", "error") == "[]"
    host.vsctl("set", "Bridge", "br0", "external_ids:x=y")
    assert machine.pings("10.0.0.3")
    host.vsctl("del-port", "in0")
    assert "in0" not in other("ip", "-o", "link")


def test_an_internal_port_elsewhere_takes_no_settings_until_it_is_back(host: Host) -> None:
    other = host.namespace.machine("p1", "10.0.0.1/24")
    host.vsctl("add-port", "br0", "in0", "--", "set", "Interface", "in0", "type=internal")
    host.namespace("ip", "link", "set", "in0", "netns", other.name)
    columns = ("get", "Interface", "in0", "mac_in_use", "mtu", "ifindex", "error")
    host.until("[]\n[]\n0\n[]", *columns)
    host.vsctl("set", "Interface", "in0", "mtu_request=1300", 'mac="02:00:00:00:00:77"')
    log = (host.directory / "ovs-vswitchd.log").read_text()
    assert "bridge|ERR|interface in0: setting MAC failed (No such device)" in log
    assert "netdev|WARN|failed to set MTU for network device in0: No such device" in log
    assert "02:00:00:00:00:77" not in other("ip", "link", "show", "in0")
    other("ip", "link", "set", "in0", "netns", str(host.switch.pid))
    host.until('"02:00:00:00:00:77"\n1300\n[]', *columns[:5], "error")
    assert "02:00:00:00:00:77" in host.namespace("ip", "link", "show", "in0")


def test_devices_that_come_and_go_in_a_storm_end_as_they_are(host: Host) -> None:
    """Thousands of changes while the switch is held: the kernel drops news, and the switch looks anew."""
    host.vsctl("add-port", "br0", "v0", "--", "add-port", "br0", "v1")
    script = "".join(
        f"link add v0 type veth peer name v1\nlink set v0 mtu {1300 + i}\nlink del v0\n" for i in range(150)
    )
    (host.directory / "batch").write_text(
        script + "link add v0 type veth peer name v1\nlink set v0 mtu 1234\n"
    )
    host.switch.send_signal(signal.SIGSTOP)
    try:
        host.namespace("ip", "-batch", str(host.directory / "batch"), timeout=120)
    finally:
        host.switch.send_signal(signal.SIGCONT)
    host.until("[]\n1234", "get", "Interface", "v0", "error", "mtu")
    assert host.vsctl("get", "Interface", "v1", "error") == "[]"


def test_system_on_sim_is_said_once_in_the_log_and_shown(host: Host) -> None:
    host.switch.terminate()
    host.switch.wait(20)
    host.variables["TRUNKLINE_NO_BPF"] = "1"
    log = host.directory / "ovs-vswitchd.log"
    log.unlink()
    host.start_switch()
    host.vsctl("add-br", "br1", "--", "del-br", "br0", "--", "del-br", "br1", "--", "add-br", "br2")
    assert log.read_text().count("no kernel datapath: TRUNKLINE_NO_BPF=1") == 1
    status = host.run("ovs-ctl", "status")
    assert "datapath system@ovs-system runs on sim" in status
    assert " note: runs on sim" in host.run("trunkline", "status")
