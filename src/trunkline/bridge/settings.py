"""What a person configured, out of database rows, in the words of the switch (ovs-vswitchd.conf.db(5)).

A row holds text that may be anything; these records hold what it means, with the documented default where it
means nothing.  They are compared to see whether anything changed, so nothing in them changes by itself.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from trunkline.base.addresses import parse_mac
from trunkline.ofproto.bridge import BridgeConfig, Snooping
from trunkline.ofproto.clients import QUEUE_SIZE
from trunkline.ofproto.in_band import InBand, Remote
from trunkline.ofproto.ports import ACCESS, EVERY_VLAN, TRUNK, PortConfig, vlan_bits
from trunkline.ovsdb.rows import Row

LOCAL_PORT: Final = 0xFFFE
_DATAPATH_ID: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,16})|([0-9a-fA-F]{16})")
_MULTICAST: Final = 1 << 40
_LOCALLY_ADMINISTERED: Final = 2 << 40
_WIRE_VERSIONS: Final = {
    "OpenFlow10": 1,
    "OpenFlow11": 2,
    "OpenFlow12": 3,
    "OpenFlow13": 4,
    "OpenFlow14": 5,
    "OpenFlow15": 6,
}
_PRIORITY_TAGS: Final = {"always": "always", "if-nonzero": "if-nonzero", "true": "if-nonzero"}
_PROVIDER_VLAN: Final = {"802.1ad": 0x88A8, "802.1q": 0x8100}


class InterfaceSettings(NamedTuple):
    name: str
    type: str
    options: Mapping[str, str]
    mac: int | None = None
    mtu_request: int | None = None
    ofport_request: int | None = None


_BEYOND: Final = 1 << 128  # far below what a float does not hold


def number(values: Mapping[str, str], key: str, default: int, least: int = 0) -> int:
    """An integer out of a map of strings; the default if it is missing, or no number that a time can be made
    of; at least `least`."""
    try:
        found = int(values.get(key, default))
    except ValueError:
        return default
    return max(found, least) if abs(found) < _BEYOND else default


def flag(values: Mapping[str, str], key: str, default: bool = False) -> bool:
    if default:
        return values.get(key, "").lower() != "false"
    return values.get(key, "").lower() == "true"


def interface_settings(row: Row, bridge: str) -> InterfaceSettings:
    is_local = row.name == bridge
    return InterfaceSettings(
        row.name,
        "internal" if is_local else row.type or "system",
        row.options,
        usable_mac(row.mac) if row.mac is not None and row.type == "internal" and not is_local else None,
        row.mtu_request,
        LOCAL_PORT if is_local else row.ofport_request,
    )


def usable_mac(text: str) -> int | None:
    """An address that a device can have: not a group's, not all zeros."""
    mac = parse_mac(text)
    return None if not mac or mac & _MULTICAST else mac


def random_mac(random_bits: Callable[[int], int]) -> int:
    """A locally administered address; `random_bits` gives a random number of so many bits."""
    return random_bits(48) & ~(_MULTICAST | _LOCALLY_ADMINISTERED) | _LOCALLY_ADMINISTERED


def is_burnt_in(mac: int) -> bool:
    """Whether the address was given by a manufacturer, so that a bridge may take it for its own."""
    return bool(mac) and not mac & (_MULTICAST | _LOCALLY_ADMINISTERED)


def port_config(row: Row, ofports: tuple[int, ...]) -> PortConfig:
    """The port as NORMAL sees it: a mode that is not set follows from the tag."""
    mode = row.vlan_mode or (TRUNK if row.tag is None else ACCESS)
    tag = None if mode == TRUNK else row.tag or 0
    ethertype = _PROVIDER_VLAN.get(row.other_config.get("qinq-ethtype", "802.1ad").lower(), 0x88A8)
    return PortConfig(
        row.name,
        ofports,
        mode,
        tag,
        vlan_bits(row.trunks) if row.trunks and mode != ACCESS else EVERY_VLAN,
        vlan_bits(row.cvlans) if row.cvlans else EVERY_VLAN,
        ethertype,
        _PRIORITY_TAGS.get(row.other_config.get("priority-tags", "never"), "never"),
        row.protected,
        flag(row.other_config, "mcast-snooping-flood"),
        flag(row.other_config, "mcast-snooping-flood-reports"),
    )


def ignores_trunks(row: Row) -> bool:
    """Whether the tag of a port makes it an access port, though it has trunks."""
    return not row.vlan_mode and row.tag is not None and bool(row.trunks)


def datapath_id(config: Mapping[str, str], mac: int) -> int:
    """other_config:datapath-id if it is one, else the bridge's address."""
    found = _DATAPATH_ID.fullmatch(config.get("datapath-id", ""))
    return (int(found[1] or found[2], 16) if found else 0) or mac


def bridge_config(
    row: Row,
    mac: int,
    fail_mode: str,
    has_controllers: bool,
    remotes: frozenset[Remote] = frozenset(),
    hops: frozenset[int] = frozenset(),
) -> BridgeConfig:
    """`remotes`: who is to be reached in band, by way of neighbours with the MACs `hops`."""
    config: Mapping[str, str] = row.other_config
    versions = frozenset(_WIRE_VERSIONS[name] for name in row.protocols if name in _WIRE_VERSIONS)
    described: dict[str, Any] = {}
    if "dp-desc" in config:
        described["description"] = config["dp-desc"]
    if "dp-sn" in config:
        described["serial"] = config["dp-sn"]
    return BridgeConfig(
        row.name,
        datapath_id(config, mac),
        fail_mode,
        has_controllers,
        versions or frozenset(_WIRE_VERSIONS.values()),
        float(_limited(config, "mac-aging-time", 300, 15, 3600)),
        _limited(config, "mac-table-size", 8192, 10, 1_000_000),
        vlan_bits(row.flood_vlans),
        flag(config, "forward-bpdu"),
        in_band=InBand(remotes, mac if remotes else 0, _in_band_queue(config), hops),
        multicast=_snooping(config) if row.mcast_snooping_enable else None,
        queue_size=_queue_size(config),
        **described,
    )


def _limited(config: Mapping[str, str], key: str, default: int, least: int, most: int) -> int:
    """A number between two limits; 0 and what 32 bits do not hold: the default; less than 0: the most."""
    value = number(config, key, 0, least=-1)
    if not value or value >= 1 << 31:
        return default
    return min(max(value, least), most) if value > 0 else most


def _queue_size(config: Mapping[str, str]) -> int:
    size = number(config, "controller-queue-size", QUEUE_SIZE)
    return size if 1 <= size <= _MOST_QUEUED else QUEUE_SIZE


def _snooping(config: Mapping[str, str]) -> Snooping:
    return Snooping(
        float(min(max(number(config, "mcast-snooping-aging-time", 300), 15), 3600)),
        min(max(number(config, "mcast-snooping-table-size", 2048), 10), 1_000_000),
        not flag(config, "mcast-snooping-disable-flood-unregistered"),
    )


def _in_band_queue(config: Mapping[str, str]) -> int | None:
    text = config.get("in-band-queue", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _MOST_QUEUE else None


_MOST_QUEUE: Final = 0x7FFFFFFF
_MOST_QUEUED: Final = 512  # packets for one controller
