"""The whole switch on real devices: configuration by ovs-vsctl, kill -9, devices that go and come."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.namespaces import namespaces
from support.originals import wait_for

pytestmark = pytest.mark.system


@pytest.fixture
def host(short_directory: Path) -> Iterator[Host]:
    with namespaces() as namespace:
        made = Host(namespace, short_directory)
        try:
            made.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
            yield made
        finally:
            made.stop()


def test_a_killed_switch_takes_up_where_it_was(host: Host) -> None:
    first = host.namespace.machine("p1", "10.0.0.1/24")
    second = host.namespace.machine("p2", "10.0.0.2/24")
    host.vsctl("add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    host.namespace("ip", "addr", "add", "10.0.0.254/24", "dev", "br0")
    host.namespace("ip", "link", "set", "br0", "up")
    assert first.pings("10.0.0.2")
    assert second.pings("10.0.0.254")
    ofports = [host.vsctl("get", "Interface", name, "ofport") for name in ("p1", "p2", "br0")]
    datapath_id = host.vsctl("get", "Bridge", "br0", "datapath_id")
    visible = host.namespace("ip", "link", "show", "br0")
    host.switch.kill()
    host.switch.wait()
    assert "10.0.0.254/24" in host.namespace("ip", "addr", "show", "br0")
    host.start_switch()
    host.vsctl("set", "Bridge", "br0", "external_ids:again=yes")  # waits for the switch
    assert first.pings("10.0.0.2")
    assert second.pings("10.0.0.254")
    assert [host.vsctl("get", "Interface", name, "ofport") for name in ("p1", "p2", "br0")] == ofports
    assert host.vsctl("get", "Bridge", "br0", "datapath_id") == datapath_id
    assert host.namespace("ip", "link", "show", "br0") == visible


def test_a_device_vanishes_and_comes_back(host: Host) -> None:
    first = host.namespace.machine("p1", "10.0.0.1/24")
    host.namespace.machine("p2", "10.0.0.2/24")
    host.vsctl("add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    assert first.pings("10.0.0.2")
    host.namespace("ip", "link", "del", "p1")
    error = '"could not open network device p1 (No such device)"'
    host.until(error, "get", "Interface", "p1", "error")
    first.delete()
    again = host.namespace.machine("p1", "10.0.0.1/24")
    host.until("[]", "get", "Interface", "p1", "error")
    assert again.pings("10.0.0.2")


def test_deleting_a_bridge_removes_its_devices(host: Host) -> None:
    host.vsctl("add-port", "br0", "in0", "--", "set", "Interface", "in0", "type=internal")
    links = host.namespace("ip", "-o", "link")
    assert "in0@" in links
    assert "br0@" in links
    host.vsctl("del-port", "br0", "in0")
    assert "in0@" not in host.namespace("ip", "-o", "link")
    host.vsctl("del-br", "br0")
    assert host.namespace("ip", "-o", "link").count("\n") == 1, "only lo is left"


def test_traffic_goes_on_without_the_database(host: Host) -> None:
    first = host.namespace.machine("p1", "10.0.0.1/24")
    host.namespace.machine("p2", "10.0.0.2/24")
    host.vsctl("add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    server = host.daemons[0]
    server.kill()
    server.wait()
    assert first.pings("10.0.0.2")
    for name in ("db.sock", "ovsdb-server.pid"):
        if os.path.exists(host.directory / name):
            (host.directory / name).unlink()
    host.start("ovsdb-server", f"{host.directory}/conf.db", f"--remote=punix:{host.directory}/db.sock")
    wait_for(host.directory / "db.sock")
    host.vsctl("set", "Port", "p2", "tag=9")
    assert not first.pings("10.0.0.2")
