"""Every setting that the reference calls honoured has an effect that can be seen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.model.configuration import SETTINGS, State
from trunkline.testing.site import Site

TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
TESTS = Path(__file__).parents[1]
TUNNEL_OPTIONS = (
    *(
        "remote_ip",
        "local_ip",
        "in_key",
        "out_key",
        "dst_port",
        "key",
        "tos",
        "ttl",
        "df_default",
        "exts",
        "csum",
    ),
    *("egress_pkt_mark", "packet_type", "seq", "payload_type", "csum"),
    *("erspan_idx", "erspan_ver", "erspan_dir", "erspan_hwid"),
)
SNOOPING = ("aging-time", "table-size", "disable-flood-unregistered")
ELSEWHERE = {
    ("Open_vSwitch", "ssl"): "oracle/test_controllers_tls.py",
    ("Open_vSwitch", "manager_options"): "support/database_servers.py",
    ("Open_vSwitch", "other_config:flow-restore-wait"): "scenario/test_configuration.py",
    ("Open_vSwitch", "other_config:enable-statistics"): "oracle/test_switch_tails.py",
    ("Open_vSwitch", "datapaths"): "scenario/test_tracked_zones.py",
    ("Open_vSwitch", "other_config:bundle-idle-timeout"): "oracle/test_idle_bundles.py",
    ("Bridge", "controller"): "oracle/test_controllers.py",
    ("Bridge", "flow_tables"): "oracle/test_openflow_tables.py",
    ("Bridge", "fail_mode"): "oracle/test_configuration_outcomes.py",
    ("Bridge", "other_config:hwaddr"): "scenario/test_configuration.py",
    ("Bridge", "other_config:datapath-id"): "oracle/test_configuration_outcomes.py",
    ("Bridge", "other_config:mac-aging-time"): "scenario/test_site.py",
    ("Bridge", "other_config:disable-in-band"): "oracle/test_in_band.py",
    ("Bridge", "other_config:in-band-queue"): "oracle/test_in_band.py",
    ("Bridge", "other_config:controller-queue-size"): "oracle/test_controllers.py",
    ("Bridge", "mcast_snooping_enable"): "oracle/test_multicast.py",
    **{("Bridge", f"other_config:mcast-snooping-{name}"): "oracle/test_multicast.py" for name in SNOOPING},
    ("Port", "other_config:mcast-snooping-flood"): "oracle/test_multicast.py",
    ("Port", "other_config:mcast-snooping-flood-reports"): "oracle/test_multicast.py",
    ("Port", "mac"): "oracle/test_bridge_address.py",
    ("Interface", "mtu_request"): "scenario/test_configuration.py",
    ("Interface", "options:psk"): "system/test_protected_tunnels.py",
    ("Interface", "options:peer"): "scenario/test_site.py",
    ("Interface", "mac"): "oracle/test_configuration_outcomes.py",
    **{("Interface", f"options:{name}"): "oracle/test_tunnels.py" for name in TUNNEL_OPTIONS},
}
GROUP = bytes.fromhex("0180c2000000")
STATION = bytes.fromhex("020000000099")
BROADCAST = b"\xff" * 6


def tag(vlan: int, ethertype: int = 0x8100, priority: int = 0) -> bytes:
    return ethertype.to_bytes(2, "big") + (priority << 13 | vlan).to_bytes(2, "big")


def arrives(site: Site, tags: bytes = b"", settings: str = "", to: bytes = BROADCAST) -> list[bytes]:
    """The frames that arrive at port two when port one gets one with `tags`; all after `settings`."""
    site.vsctl("add-br br0")
    one, two = (site.machine(name, f"10.0.0.{i}/24", "br0") for i, name in enumerate(("one", "two"), 1))
    if settings:
        site.vsctl(settings)
    two.frames.clear()
    one.send(to + STATION + tags + b"\x08\x06" + bytes(46))
    site.settle()
    return [frame[12:-48] for frame in two.frames]


def bridges(site: Site) -> bool:
    site.vsctl("--id=@b create Bridge name=x -- set Open_vSwitch . bridges=@b")
    return site.appctl("ofproto/list") == "x\n"


def configured(site: Site) -> bool:
    site.vsctl("add-br br0")
    return site.vsctl("get Open_vSwitch . cur_cfg") == site.vsctl("get Open_vSwitch . next_cfg") != "0\n"


def statistics_interval(site: Site) -> bool:
    site.vsctl("add-br br0 -- set Open_vSwitch . other_config:stats-update-interval=60000")
    one = site.machine("one", "10.0.0.1/24", "br0")
    site.advance(6)
    one.send(BROADCAST + STATION + bytes(50))
    site.advance(30)
    late = "rx_packets=0" in site.vsctl("get Interface one statistics")
    site.advance(40)
    return late and "rx_packets=1" in site.vsctl("get Interface one statistics")


def idle(site: Site) -> bool:
    arrives(site, settings="set Open_vSwitch . other_config:max-idle=60000")
    site.advance(40)
    kept = "recirc" in site.appctl("dpctl/dump-flows")
    site.vsctl("set Open_vSwitch . other_config:max-idle=1000")
    site.advance(5)
    return kept and "recirc" not in site.appctl("dpctl/dump-flows")


def inner_tag(site: Site) -> bool:
    site.vsctl("set Open_vSwitch . other_config:vlan-limit=2")
    arrives(site, tag(5, 0x88A8) + tag(6))
    return "vid=6" in site.appctl("dpctl/dump-flows")


def flow_limit(site: Site) -> bool:
    site.vsctl("add-br br0 -- set Open_vSwitch . other_config:flow-limit=1234")
    return "(limit 1234)" in site.appctl("upcall/show")


def table_size(site: Site) -> bool:
    site.vsctl("add-br br0 -- set Bridge br0 other_config:mac-table-size=77")
    return "/77" in site.appctl("fdb/stats-show", "br0")


def described(key: str) -> Callable[[Site], bool]:
    def check(site: Site) -> bool:
        site.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", f"other_config:{key}=something")
        return "something" in site.ofctl("dump-desc br0")

    return check


def protocols(site: Site) -> bool:
    site.vsctl("add-br br0 -- set Bridge br0 protocols=OpenFlow13")
    return "xid=" in site.ofctl("-OOpenFlow13 show br0") and refuses(site)


def refuses(site: Site) -> bool:
    try:
        site.ofctl("-OOpenFlow10 show br0")
    except Exception:
        return True
    return False


def qinq(site: Site) -> bool:
    settings = "set Port one vlan_mode=dot1q-tunnel tag=9 cvlans=5 other_config:qinq-ethtype=802.1q"
    return arrives(site, tag(5), settings) == [tag(9) + tag(5)]


def protected(site: Site) -> bool:
    return arrives(site, settings="set Port one protected=true -- set Port two protected=true") == []


def numbered(site: Site) -> bool:
    site.vsctl("add-br br0 -- add-port br0 p -- set Interface p type=internal ofport_request=33")
    return "p 33/" in site.appctl("dpif/show")


def learned(site: Site) -> bool:
    """Flooded, although the addresses are known."""
    arrives(site, settings="set Bridge br0 flood_vlans=0")
    return site.appctl("fdb/show", "br0").count("\n") == 1


EFFECTS: dict[tuple[str, str], Callable[[Site], bool]] = {
    ("Open_vSwitch", "bridges"): bridges,
    ("Open_vSwitch", "next_cfg"): configured,
    ("Open_vSwitch", "other_config:stats-update-interval"): statistics_interval,
    ("Open_vSwitch", "other_config:flow-limit"): flow_limit,
    ("Open_vSwitch", "other_config:max-idle"): idle,
    ("Open_vSwitch", "other_config:vlan-limit"): inner_tag,
    ("Bridge", "name"): bridges,
    ("Bridge", "ports"): numbered,
    ("Bridge", "datapath_type"): lambda site: (
        site.vsctl("add-br br0 -- set Bridge br0 datapath_type=netdev") == ""
        and site.appctl("dpif/show").startswith("netdev@")
    ),
    ("Bridge", "flood_vlans"): learned,
    ("Bridge", "other_config:dp-desc"): described("dp-desc"),
    ("Bridge", "other_config:dp-sn"): described("dp-sn"),
    ("Bridge", "protocols"): protocols,
    ("Bridge", "other_config:forward-bpdu"): lambda site: (
        arrives(site, settings="set Bridge br0 other_config:forward-bpdu=true", to=GROUP) == [b""]
    ),
    ("Bridge", "other_config:mac-table-size"): table_size,
    ("Port", "name"): numbered,
    ("Port", "interfaces"): numbered,
    ("Port", "tag"): lambda site: arrives(site, settings="set Port one tag=5") == [tag(5)],
    ("Port", "vlan_mode"): lambda site: (
        arrives(site, tag(5), "set Port two tag=5 vlan_mode=native-tagged") == [tag(5)]
    ),
    ("Port", "trunks"): lambda site: arrives(site, tag(5), "set Port two trunks=6,7") == [],
    ("Port", "cvlans"): lambda site: (
        arrives(site, tag(6), "set Port one vlan_mode=dot1q-tunnel tag=9 cvlans=5") == []
    ),
    ("Port", "other_config:qinq-ethtype"): qinq,
    ("Port", "other_config:priority-tags"): lambda site: (
        arrives(site, tag(5, priority=3), "set Port two tag=5 other_config:priority-tags=if-nonzero")
        == [tag(0, priority=3)]
    ),
    ("Port", "protected"): protected,
    ("Port", "fake_bridge"): lambda site: (
        site.vsctl("add-br br0 -- add-br fake br0 9") == ""
        and site.vsctl("get Interface fake mac_in_use") == site.vsctl("get Interface br0 mac_in_use")
    ),
    ("Interface", "name"): numbered,
    ("Interface", "type"): numbered,
    ("Interface", "ofport_request"): numbered,
}
HONOURED = {
    (setting.table, name)
    for setting in SETTINGS
    if setting.table in TABLES and setting.state is State.HONOURED
    for name in setting.names.split()
}


def test_each_setting_is_shown_here_or_elsewhere() -> None:
    assert EFFECTS.keys() | ELSEWHERE.keys() == HONOURED
    for (_, name), path in ELSEWHERE.items():
        assert name.rpartition(":")[2] in (TESTS / path).read_text(), (name, path)


@pytest.mark.parametrize(("table", "name"), sorted(EFFECTS), ids=lambda part: str(part))
def test_it_has_its_effect(site: Site, table: str, name: str) -> None:
    assert EFFECTS[table, name](site)


def test_without_settings_none_of_it_happens(site: Site) -> None:
    assert arrives(site, tag(5, priority=3), "set Port two tag=5") == [b""]
    assert "(limit 200000)" in site.appctl("upcall/show")
