"""What the switch does with its configuration, on virtual time."""

import pytest

from trunkline.testing.site import Site


def interface(site: Site, name: str, *columns: str) -> list[str]:
    return site.vsctl("get", "Interface", name, *columns).split("\n")[:-1]


def test_a_missing_controller_leaves_the_bridge_to_itself_after_three_probes(site: Site) -> None:
    site.vsctl("add-br br0 -- set-controller br0 tcp:127.0.0.1:1")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    assert not one.ping(two)
    site.advance(10)
    assert "actions=NORMAL" not in site.ofctl("dump-flows br0")
    site.advance(6)
    assert "priority=15790320,actions=NORMAL" in site.appctl("bridge/dump-flows", "br0")
    assert one.ping(two)
    state = site.vsctl("get Controller br0 is_connected status")
    assert state.startswith("false\n")
    assert "Connection refused" in state
    assert "state=BACKOFF" in state or "state=CONNECTING" in state


def test_a_secure_bridge_waits_for_its_controller_for_ever(site: Site) -> None:
    site.vsctl("add-br br0 -- set-fail-mode br0 secure -- set-controller br0 tcp:127.0.0.1:1")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.advance(100_000)
    assert not one.ping(two)
    assert "actions" not in site.ofctl("dump-flows br0")
    site.vsctl("del-controller br0")
    assert not one.ping(two)
    site.vsctl("del-fail-mode br0")
    assert one.ping(two)


def test_one_transaction_that_deletes_and_adds_a_port_disturbs_nobody(site: Site) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.ofctl("add-flow", "br0", "priority=7,in_port=1,actions=NORMAL")
    assert one.ping(two)
    site.vsctl("del-port m1 -- add-port br0 m1 -- del-port m2 -- add-port br0 m2")
    assert interface(site, "m1", "ofport") == ["1"]
    assert " 1     0  " in site.appctl("fdb/show", "br0"), "what was learned is still known"
    site.vsctl("del-br br0 -- add-br br0 -- add-port br0 m2 -- add-port br0 m1")
    assert "priority=7" in site.ofctl("dump-flows br0"), "the same bridge, flows and all"
    assert [interface(site, name, "ofport") for name in ("m1", "m2")] == [["1"], ["2"]]
    assert one.ping(two)


def test_a_bond_forwards_nothing_and_both_members_say_so(site: Site) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.machine("m3", "10.0.0.3/24")
    assert one.ping(two)
    site.vsctl("--id=@i create Interface name=m3 -- add Port m1 interfaces @i")
    for name in ("m1", "m3"):
        error, ofport = interface(site, name, "error", "ofport")
        assert "bonds are not implemented yet" in error
        assert ofport == "-1"
    assert not one.ping(two)
    site.vsctl("-- --id=@m get Interface m1 -- set Port m1 interfaces=@m")
    assert interface(site, "m1", "error") == ["[]"]
    assert one.ping(two)


def test_packets_wait_while_flows_are_restored(site: Site) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.vsctl("set Open_vSwitch . other_config:flow-restore-wait=true")
    assert not one.ping(two)
    site.vsctl("remove Open_vSwitch . other_config flow-restore-wait")
    assert one.ping(two)


def test_the_smallest_size_and_the_lowest_address_rule(site: Site) -> None:
    site.vsctl("add-br br0 -- add-port br0 in0 -- set Interface in0 type=internal")
    site.machine("m1", "10.0.0.1/24", "br0", mac="50:54:00:00:00:09")
    site.machine("m2", "10.0.0.2/24", "br0")
    site.vsctl("set Interface m1 mtu_request=1400 -- set Interface m2 mtu_request=1300")
    assert [interface(site, name, "mtu") for name in ("br0", "in0", "m1")] == [["1300"], ["1300"], ["1400"]]
    site.vsctl("del-port m2")
    assert interface(site, "in0", "mtu") == ["1400"]
    site.vsctl("set Interface in0 mtu_request=1200")
    assert [interface(site, name, "mtu") for name in ("br0", "in0")] == [["1200"], ["1200"]]
    site.vsctl("set Bridge br0 other_config:hwaddr=50:54:00:00:00:77")
    assert interface(site, "br0", "mac_in_use") == ['"50:54:00:00:00:77"']
    assert site.vsctl("get Bridge br0 datapath_id") == '"0000505400000077"\n'


@pytest.mark.parametrize(
    "name", ["ünïcode", "a/b", "with space", "1", "abcdefghijklmnopqrstuvwxyz", ".", "%s"]
)
def test_odd_names_of_ports_harm_nobody(site: Site, name: str) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.vsctl("add-port", "br0", name)
    assert "could not open network device" in site.vsctl("get", "Interface", name, "error")
    assert one.ping(two)
    site.vsctl("del-port", name)
    assert one.ping(two)


def test_a_bridge_that_cannot_be_made_leaves_the_others_alone(site: Site) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.vsctl("add-br a/b -- add-br odd -- set Bridge odd datapath_type=nothing")
    assert site.appctl("ofproto/list") == "br0\n"
    assert one.ping(two)
    site.vsctl("set Bridge odd datapath_type=netdev")
    assert site.appctl("ofproto/list") == "br0\nodd\n"
    site.vsctl("del-br odd")
    assert "netdev@" not in site.appctl("dpif/show"), "a datapath without bridges goes"


def test_system_on_sim_is_said_where_datapaths_are_shown(site: Site) -> None:
    site.vsctl("add-br br0 -- add-br br1 -- set Bridge br1 datapath_type=netdev")
    for command in ("dpif/show", "dpctl/show"):
        lines = site.appctl(command).splitlines()
        (at,) = [i for i, line in enumerate(lines) if line.startswith(" note: ")]
        assert lines[at - 1].startswith("system@ovs-system:")
        assert "sim" in lines[at]


def test_a_port_mod_is_in_the_database_at_once(site: Site) -> None:
    """Within a virtual second, not with the next statistics."""
    site.vsctl("add-br br0")
    site.machine("red", "10.0.0.1/24", "br0")
    for action in ("down", "up"):
        site.ofctl("mod-port", "br0", "red", action)
        site.vsctl("--timeout=1", "wait-until", "Interface", "red", f"admin_state={action}")
