"""A whole site inside the test: database, switch, machines, on virtual time."""

import pytest

from trunkline.testing import Site, ToolError


def test_machines_talk_through_vlans_and_patch_ports(site: Site) -> None:
    site.vsctl("add-br left -- add-br right")
    one = site.machine("one", "10.0.0.1/24", "left")
    two = site.machine("two", "10.0.0.2/24", "right")
    assert not one.ping(two)
    site.vsctl(
        "add-port left a -- set Interface a type=patch options:peer=b"
        " -- add-port right b -- set Interface b type=patch options:peer=a"
    )
    assert one.ping(two)
    site.vsctl("set Port one tag=10")
    assert not one.ping(two)
    site.vsctl("set Port two tag=10")
    assert one.ping(two)
    assert " 10  02:00:00:00:00:01" in site.appctl("fdb/show", "left")


def test_addresses_age_on_virtual_time(site: Site) -> None:
    site.vsctl("add-br br0 -- set Bridge br0 other_config:mac-aging-time=60")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    assert one.ping(two)
    assert len(site.appctl("fdb/show", "br0").splitlines()) == 3
    before = site.now
    site.advance(3600)
    assert site.now == pytest.approx(before + 3600)
    assert len(site.appctl("fdb/show", "br0").splitlines()) == 1


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "fd00::1",
        "10.0.0.1/33",
        "10.0.0.1/24,10.0.0.2/24",
        "",
        "x/24",
        "10.0.0.1/24,fd00::1",
        "/24",
    ],
)
def test_an_address_that_is_none_is_refused(site: Site, address: str) -> None:
    site.vsctl("add-br br0")
    with pytest.raises(ValueError, match=r"^machine one: .*(such as 10\.0\.0\.1/24|of a kind)"):
        site.machine("one", address, "br0")
    with pytest.raises(ValueError, match=r"^machine one: .*no MAC address"):
        site.machine("one", "10.0.0.1/24", "br0", mac="01:00:00:00:00:01")
    assert site.vsctl("list-ports br0") == ""
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    assert one.ping(two)


def test_tools_fail_as_they_do(site: Site) -> None:
    with pytest.raises(ToolError, match="no bridge named nope") as failed:
        site.vsctl("add-port nope p1")
    assert failed.value.status == 1
    with pytest.raises(ToolError, match="ovs-vsctl: add-port br0 'unclosed: No closing quotation"):
        site.vsctl("add-port br0 'unclosed")
    with pytest.raises(ToolError, match="not a valid command"):
        site.appctl("nonsense")


def test_flows_can_be_programmed(site: Site) -> None:
    site.vsctl("add-br br0")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    assert one.ping(two)
    site.ofctl("del-flows br0")
    assert not one.ping(two)
    site.ofctl("add-flow", "br0", "priority=5,actions=NORMAL")
    assert one.ping(two)
    assert "priority=5 actions=NORMAL" in site.ofctl("dump-flows br0")


def test_a_device_comes_and_goes(site: Site) -> None:
    site.vsctl("add-br br0")
    site.vsctl("add-port br0 later")
    assert site.vsctl("get Interface later error").startswith('"could not open network device later (No such')
    assert site.vsctl("get Interface later ofport") == "-1\n"
    late = site.machine("later", "10.0.0.1/24")
    other = site.machine("other", "10.0.0.2/24", "br0")
    assert late.ping(other)
    assert site.vsctl("get Interface later error ofport") == "[]\n1\n"
    late.set_carrier(False)
    assert not late.ping(other)
    assert site.vsctl("get Interface later link_state") == "down\n"
    late.set_carrier(True)
    assert late.ping(other)
    instead = site.machine("later", "10.0.0.3/24")
    assert instead.ping(other)
    assert not late.ping(other)


@pytest.mark.parametrize("words", ["--timeout=3 wait-until Bridge nope", "wait-until Bridge nope"])
def test_a_tool_that_waits_in_vain_ends(site: Site, words: str) -> None:
    before = site.now
    with pytest.raises(ToolError) as failed:
        site.vsctl(words)
    assert failed.value.status == 142
    assert site.now - before == pytest.approx(3 if "timeout" in words else 60, abs=0.1)
    assert site.vsctl("list-br") == ""


def test_a_stopped_switch_is_noticed(site: Site) -> None:
    site.appctl("exit")
    with pytest.raises(ToolError):
        site.vsctl("--timeout=2 add-br z")
    with pytest.raises(ToolError):
        site.client("--timeout=2 monitor Open_vSwitch Bridge name")


def test_machines_speak_ipv6(site: Site) -> None:
    site.vsctl("add-br br0")
    one = site.machine("one", "10.0.0.1/24,fd00::1/64", bridge="br0")
    two = site.machine("two", "10.0.0.2/24,fd00::2/64", bridge="br0")
    assert one.ping("fd00::2")
    assert one.ping(two)
    site.ofctl("add-flow br0 priority=9,ipv6,actions=drop")
    assert not one.ping("fd00::2")
    assert one.ping("10.0.0.2")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a:b", "x%d", "abcdefghijklmnop", "éééééééé"])
def test_a_name_that_no_device_can_have_is_refused(site: Site, name: str) -> None:
    site.vsctl("add-br br0")
    with pytest.raises(ValueError, match=r"^no device can be called .* at most 15 bytes"):
        site.machine(name, "10.0.0.1/24", "br0")
    assert site.vsctl("list-ports br0") == ""
    if len(name) > 1:
        site.vsctl("--", "add-port", "br0", name, "--", "set", "Interface", name, "type=internal")
        assert "could not open network device" in site.vsctl("--", "get", "Interface", name, "error")
    longest = site.machine("abcdefghijklmno", "10.0.0.1/24", "br0")
    assert longest.ping(site.machine("1", "10.0.0.2/24", "br0"))


def test_time_goes_forward_only(site: Site) -> None:
    before = site.now
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match=r"^advance\(.*virtual time goes forward only"):
            site.advance(seconds)
    assert site.now == before
    site.advance(0)
