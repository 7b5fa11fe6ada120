"""Devices that cannot be ports, that go, come back and are renamed: the original's datapath and ours."""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.namespaces import namespaces
from support.originals import PROGRAMS, installed

pytestmark = [pytest.mark.system, pytest.mark.oracle]


class OriginalHost(Host):
    """The same with the originals."""

    def command(self, program: str, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace.name, PROGRAMS[program], *arguments]

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
