"""Timeout policies of zones, from the database to connections; virtual time, one process."""

from pathlib import Path

import pytest

from support.conntrack_packets import icmp, udp
from trunkline.testing.site import Site


@pytest.fixture
def site(tmp_path: Path):  # type: ignore[no-untyped-def]
    with Site(tmp_path) as site:
        yield site


def timeouts(site: Site) -> list[str]:
    lines = site.appctl("dpctl/dump-conntrack", "-s").splitlines()
    return sorted(line.split(",")[0] + line.partition("timeout=")[2] for line in lines)


def test_a_zone_has_the_timeouts_of_its_policy(site: Site) -> None:
    site.vsctl("add-br br0")
    one = site.machine("one", "10.0.0.1/24", "br0")
    site.machine("two", "10.0.0.2/24", "br0")
    kind = site.appctl("dpctl/dump-dps").partition("@")[0]
    site.vsctl(
        f"--id=@d create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:{kind}=@d "
        f"-- add-zone-tp {kind} zone=5 udp_first=7 udp_single=9"
    )
    site.ofctl("add-flow", "br0", "ip,actions=ct(commit,zone=5)")
    one.send(udp("10.0.0.1", "10.0.0.2", (1, 2)))
    one.send(udp("10.0.0.1", "10.0.0.2", (1, 3)))
    one.send(udp("10.0.0.1", "10.0.0.2", (1, 3)))
    one.send(icmp("10.0.0.1", "10.0.0.2", 8, 0, 1))
    site.settle()
    assert timeouts(site) == ["icmp60", "udp7", "udp9"]
    site.advance(8)
    assert timeouts(site) == ["icmp52", "udp1"]

    site.vsctl(f"del-zone-tp {kind} zone=5")
    one.send(udp("10.0.0.1", "10.0.0.2", (1, 4)))
    site.settle()
    assert "udp60" in timeouts(site)
