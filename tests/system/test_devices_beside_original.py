"""Devices that cannot be ports, that go, come back and are renamed: the original's datapath and ours."""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from support.host import Host
from support.namespaces import namespaces
from support.originals import PROGRAMS, installed

pytestmark = [pytest.mark.system, pytest.mark.oracle]


class OriginalHost(Host):
    """The same with the originals."""

    def command(self, program: str, *arguments: str, before: Sequence[str] = ()) -> list[str]:
        return ["ip", "netns", "exec", self.namespace.name, *before, PROGRAMS[program], *arguments]

    def run(self, program: str, *arguments: str) -> str:
        if arguments[:1] == ("create",):
            arguments = (*arguments, "/usr/share/openvswitch/vswitch.ovsschema")
        return super().run(program, *arguments)


@pytest.fixture(params=("original", "ours"))
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "original" and not installed():
        pytest.skip("the originals are not installed")
    with namespaces() as namespace, tempfile.TemporaryDirectory(prefix="dev.", dir="/tmp") as directory:
        kind = OriginalHost if request.param == "original" else Host
        one = kind(namespace, Path(directory))
        one.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
        yield one
        one.stop()


def device(host: Host, *words: str) -> None:
    host.namespace("ip", "link", *words)


def test_what_cannot_be_a_port(host: Host) -> None:
    host.vsctl("--no-wait", "add-port", "br0", "lo")
    text = '"could not add network device lo to ofproto (Invalid argument)"'
    host.until(text, "get", "Interface", "lo", "error")
    assert host.vsctl("get", "Interface", "lo", "ofport") == "-1"
    for name in ("netlink_sent", "netlink_received"):
        assert int(host.run("ovs-appctl", "coverage/read-counter", name)) > 0
    log = (host.directory / "ovs-vswitchd.log").read_text()
    for line in (
        "|dpif_netdev|ERR|lo: cannot add a loopback device",
        "|dpif|WARN|netdev@ovs-netdev: failed to add lo as port: Invalid argument",
        "|bridge|WARN|could not add network device lo to ofproto (Invalid argument)",
    ):
        assert line in log
    device(host, "add", "va", "type", "veth", "peer", "name", "vb")
    for type in ("internal", "tap"):
        host.vsctl(
            "--no-wait",
            "--may-exist",
            "add-port",
            "br0",
            "va",
            "--",
            "set",
            "Interface",
            "va",
            f"type={type}",
        )
        text = '"could not open network device va (Invalid argument)"'
        host.until(text, "get", "Interface", "va", "error")
    host.vsctl("set", "Interface", "va", "type=system")
    host.until("1\n[]", "get", "Interface", "va", "ofport", "error")


def test_a_device_that_comes_back_has_its_number_again(host: Host) -> None:
    device(host, "add", "va", "type", "veth", "peer", "name", "vb")
    device(host, "add", "vc", "type", "veth", "peer", "name", "vd")
    host.vsctl("add-port", "br0", "va", "--", "add-port", "br0", "vc")
    number = host.vsctl("get", "Interface", "va", "ofport")
    device(host, "del", "va")
    time.sleep(0.1)  # whatever happens in between, the outcome must be the same
    device(host, "add", "va", "type", "veth", "peer", "name", "vb")
    device(host, "set", "va", "up")
    device(host, "set", "vb", "up")
    host.until(
        f"{number}\n[]\nup\nup", "get", "Interface", "va", "ofport", "error", "admin_state", "link_state"
    )
    device(host, "set", "va", "down")
    device(host, "set", "va", "name", "ve")
    device(host, "set", "ve", "name", "va")
    device(host, "set", "va", "up")
    host.until(
        f"{number}\n[]\nup\nup", "get", "Interface", "va", "ofport", "error", "admin_state", "link_state"
    )


def test_an_internal_port_whose_device_is_renamed_keeps_its_number(host: Host) -> None:
    host.vsctl("add-port", "br0", "in1", "--", "set", "Interface", "in1", "type=internal")
    number = host.vsctl("get", "Interface", "in1", "ofport")
    device(host, "set", "in1", "name", "in2")
    host.vsctl("add-port", "br0", "in3", "--", "set", "Interface", "in3", "type=internal")
    assert host.vsctl("get", "Interface", "in1", "ofport", "error") == f"{number}\n[]"
    device(host, "set", "in2", "name", "in1")
    device(host, "set", "in1", "up")
    host.until(f"{number}\n[]\nup", "get", "Interface", "in1", "ofport", "error", "admin_state")


SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
    card.bind((sys.argv[1], 0))
    for _ in range(int(sys.argv[2])):
        card.send(bytes.fromhex("02aaaaaaaa01" "02aaaaaaaa02" "88b5") + bytes(46))
"""


def test_counters_are_the_switchs(host: Host) -> None:
    """What a host sends through a device came into the switch, whichever way round the kernel counts it."""
    host.namespace(
        "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"
    )
    device(host, "add", "va", "type", "veth", "peer", "name", "vb")
    for name in ("t0", "in0"):
        type = "tap" if name == "t0" else "internal"
        host.vsctl("add-port", "br0", name, "--", "set", "Interface", name, f"type={type}")
    host.vsctl("add-port", "br0", "va")
    for name in ("va", "vb", "t0", "in0"):
        device(host, "set", name, "up")
    for name in ("va", "t0", "in0"):
        host.until("up", "get", "Interface", name, "link_state")
    sent = {"t0": 2, "in0": 3, "vb": 5}
    for name, count in sent.items():
        host.namespace(sys.executable, "-c", SEND, name, str(count))
    wanted = {
        port: f"RX packets:{count} errors:0 dropped:N overruns:0 frame:0 "
        f"TX packets:{10 - count} errors:0 dropped:N aborted:0 carrier:0 collisions:0 "
        f"RX bytes:{60 * count} TX bytes:{60 * (10 - count)}"
        for port, count in (("t0", 2), ("in0", 3), ("va", 5))
    }
    deadline = time.monotonic() + 20
    while True:
        text = host.run("ovs-appctl", "dpctl/show", "-s")  # the host drops what it has no use for
        shown = re.split(r"\n  port \d+: ", re.sub(r"dropped:\d+", "dropped:N", text))
        found = {part.split(maxsplit=1)[0]: " ".join(part.split("\n", 1)[1].split()) for part in shown[1:]}
        if {name: found[name] for name in wanted} == wanted:
            break
        assert time.monotonic() < deadline, "\n".join(f"{name}: {text}" for name, text in found.items())
        time.sleep(0.1)


# ---- in band: addresses for the local port, and neighbours by which controllers are reached

ADDRESSES = (
    ("local_ip=10.1.0.77", "10.1.0.77/8", ""),
    ("local_netmask=255.255.255.0", "10.1.0.77/24", ""),
    ("local_gateway=10.1.0.1", "10.1.0.77/24", "10.1.0.1"),
    ("local_ip=10.1.0.78", "10.1.0.78/24", "10.1.0.1"),
    ("local_ip=192.168.5.1 local_netmask=[] local_gateway=[]", "192.168.5.1/24", ""),
    ("local_ip=172.16.5.1 connection_mode=out-of-band", "172.16.5.1/16", ""),
    ("local_ip=nonsense", "172.16.5.1/16", ""),
    ("local_ip=10.5.0.1 local_netmask=255.0.255.0", "10.5.0.1/8", ""),
    ("local_ip=10.5.0.2 local_netmask=bad type=service", "10.5.0.2/8", ""),
    ("local_ip=10.5.0.1 local_netmask=255.255.0.0 local_gateway=99.9.9.9", "10.5.0.1/16", ""),
    ("local_ip=224.0.0.5", "10.5.0.1/16", ""),
    ("local_ip=10.6.0.1 local_gateway=10.6.0.9", "10.6.0.1/16", "10.6.0.9"),
    ("local_ip=[]", "10.6.0.1/16", "10.6.0.9"),
)


def test_the_local_port_has_the_address_of_its_controller(host: Host) -> None:
    host.vsctl("set-controller", "br0", "tcp:10.1.0.5:6653")
    for settings, address, gateway in ADDRESSES:
        host.vsctl("set", "controller", "br0", *settings.split())
        agree(
            lambda: (
                re.findall(r"inet (\S+)", host.namespace("ip", "-4", "addr", "show", "dev", "br0")),
                re.findall(r"default via (\S+) dev br0", host.namespace("ip", "route")),
                "UP" in host.namespace("ip", "link", "show", "br0").split(">")[0],
            ),
            ([address], [gateway] if gateway else [], True),
        )
    log = (host.directory / "ovs-vswitchd.log").read_text()
    assert "|bridge|INFO|bridge br0: configured IP address 10.1.0.77, netmask 255.255.255.0\n" in log
    assert "|bridge|INFO|bridge br0: configured gateway 10.6.0.9\n" in log


def test_hidden_flows_name_the_neighbours_by_which_controllers_are_reached(host: Host) -> None:
    host.vsctl("set", "bridge", "br0", "fail_mode=secure", "other_config:hwaddr=aa:55:aa:55:00:01")
    device(host, "set", "br0", "up")
    device(host, "add", "va", "type", "veth", "peer", "name", "vb")
    device(host, "set", "va", "up")
    device(host, "set", "vb", "up")
    host.namespace("ip", "addr", "add", "10.1.0.1/24", "dev", "br0")
    host.namespace("ip", "addr", "add", "192.168.7.1/24", "dev", "va")
    host.namespace("ip", "route", "add", "10.9.0.0/16", "via", "192.168.7.9")

    def neighbour(address: str, mac: str, port: str) -> None:
        words = ("replace", address, "lladdr", mac, "dev", port, "nud", "permanent")
        host.namespace("ip", "neigh", *words)

    neighbour("10.1.0.5", "50:54:00:00:00:05", "br0")
    host.vsctl(
        "set-controller", "br0", "tcp:10.1.0.5:6653", "tcp:10.9.0.5", "tcp:10.9.0.6", "tcp:127.0.0.1:1"
    )
    agree(lambda: flows_of_hops(host), flows_to("50:54:00:00:00:05"))
    neighbour("192.168.7.9", "50:54:00:00:00:09", "va")  # a gateway, and not behind the bridge at all
    agree(lambda: flows_of_hops(host), flows_to("50:54:00:00:00:05", "50:54:00:00:00:09"))
    host.vsctl("set-controller", "br0", "tcp:10.9.0.6")
    agree(lambda: flows_of_hops(host), flows_to("50:54:00:00:00:09"))
    host.vsctl("set", "bridge", "br0", "other_config:disable-in-band=true")
    agree(lambda: flows_of_hops(host), [])


def flows_of_hops(host: Host) -> list[str]:
    shown = host.run("ovs-appctl", "bridge/dump-flows", "br0")
    return sorted(re.findall(r"priority=18000[34],.*", shown))


def flows_to(*macs: str) -> list[str]:
    to = [f"priority=180003,arp,dl_dst={mac},arp_op=2,actions=NORMAL" for mac in macs]
    return to + [f"priority=180004,arp,dl_src={mac},arp_op=1,actions=NORMAL" for mac in macs]


def agree(shown: Callable[[], object], wanted: object) -> None:
    """Sooner or later: both switches ask for neighbours once a second while some are not known."""
    deadline = time.monotonic() + 40
    while (seen := shown()) != wanted:
        assert time.monotonic() < deadline, (seen, wanted)
        time.sleep(0.05)
