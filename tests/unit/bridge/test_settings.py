"""Settings out of rows that may hold anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rows import row
from trunkline.bridge.settings import (
    LOCAL_PORT,
    bridge_config,
    datapath_id,
    flag,
    interface_settings,
    is_burnt_in,
    number,
    port_config,
    random_mac,
    usable_mac,
)
from trunkline.ofproto.ports import EVERY_VLAN, vlan_bits


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("7", 7), ("", 5), ("x", 5), ("-3", 1), ("0", 1), ("99999999999999999999", 99999999999999999999)],
)
def test_a_number_is_the_default_unless_it_is_one(text: str, wanted: int) -> None:
    assert number({"key": text}, "key", 5, 1) == wanted
    assert number({}, "key", 5, 1) == 5


def test_a_flag_has_a_default() -> None:
    assert [flag({"k": text}, "k") for text in ("true", "TRUE", "false", "1", "")] == [
        True,
        True,
        *[False] * 3,
    ]
    assert [flag({"k": text}, "k", True) for text in ("false", "junk")] == [False, True]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("00000000000000ff", 0xFF),
        ("0xff", 0xFF),
        ("0XFF", 0xFF),
        ("ff", 0xAA),
        ("0x", 0xAA),
        ("0000000000000000", 0xAA),
        ("0x12345678901234567", 0xAA),
        ("٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٧", 0xAA),
    ],
)
def test_a_datapath_id_is_sixteen_digits_or_has_a_prefix(text: str, wanted: int) -> None:
    assert datapath_id({"datapath-id": text}, 0xAA) == wanted


def test_an_interface_named_as_its_bridge_is_the_local_port() -> None:
    local = interface_settings(row("Interface", name="br0", type="tap", mac="50:54:00:00:00:01"), "br0")
    assert (local.type, local.mac, local.ofport_request) == ("internal", None, LOCAL_PORT)


def test_only_an_internal_port_takes_an_address() -> None:
    settings = [
        interface_settings(row("Interface", name="p", type=type, mac="50:54:00:00:00:01"), "br0").mac
        for type in ("internal", "", "tap")
    ]
    assert settings == [0x505400000001, None, None]


def test_addresses_that_a_device_can_have() -> None:
    assert usable_mac("01:00:00:00:00:00") is None
    assert usable_mac("00:00:00:00:00:00") is None
    assert usable_mac("junk") is None
    made_up = random_mac(lambda bits: (1 << bits) - 1)
    assert usable_mac(":".join(f"{made_up:012x}"[i : i + 2] for i in range(0, 12, 2))) == made_up
    assert not is_burnt_in(made_up)
    assert is_burnt_in(0x505400000001)


def test_a_ports_mode_follows_from_its_tag() -> None:
    assert port_config(row("Port", name="p"), (1,)).vlan_mode == "trunk"
    access = port_config(row("Port", name="p", tag=5, trunks=(7,)), (1,))
    assert (access.vlan_mode, access.tag, access.trunks) == ("access", 5, EVERY_VLAN)
    native = port_config(row("Port", name="p", tag=5, vlan_mode="native-tagged", trunks=(7,)), (1,))
    assert (native.tag, native.trunks) == (5, vlan_bits((7,)))
    odd = row("Port", name="p", other_config={"priority-tags": "junk", "qinq-ethtype": "junk"})
    assert (port_config(odd, (1,)).priority_tags, port_config(odd, (1,)).qinq_ethtype) == ("never", 0x88A8)


@given(st.dictionaries(st.sampled_from(("mac-aging-time", "mac-table-size", "datapath-id")), st.text()))
def test_no_text_breaks_a_bridge(config: dict[str, str]) -> None:
    found = bridge_config(row("Bridge", name="br0", other_config=config), 7, "secure", False)
    assert 15 <= found.mac_aging_time <= 3600
    assert 10 <= found.mac_table_size <= 1_000_000
    assert 0 < found.datapath_id < 1 << 64
