"""Control commands on bridges: learned addresses, flows, what is plugged in where, upcalls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from trunkline.base.addresses import format_address, format_mac, parse_mac
from trunkline.flow.text import format_match
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.ports import OfPort
from trunkline.ofproto.rules import Rule, age_seconds
from trunkline.ofproto.tunnel_settings import describe_options
from trunkline.openflow.actions_format import format_actions
from trunkline.proto.mac_learning import STATIC
from trunkline.proto.multicast_snooping import ROUTER_AGING
from trunkline.upcall.datapath import Datapath

_VLANS: Final = 4096
_MOST_FLOWS: Final = 0xFFFFFFFF

Datapaths = Mapping[str, Datapath]
"""By type ("system", "netdev", "dummy"), as they are at the moment."""


def commands(datapaths: Datapaths) -> list[Command]:
    """The commands about the bridges on these datapaths, which may come and go."""
    table: tuple[tuple[str, str, int, int | None, Callable[[Datapaths, Sequence[str]], str]], ...] = (
        ("fdb/show", "bridge", 1, 1, _fdb_show),
        ("fdb/flush", "[bridge]", 0, 1, _fdb_flush),
        ("fdb/stats-show", "bridge", 1, 1, _fdb_stats_show),
        ("fdb/stats-clear", "[bridge]", 0, 1, _fdb_stats_clear),
        ("fdb/add", "bridge port vlan mac", 4, 4, _fdb_add),
        ("fdb/del", "bridge vlan mac", 3, 3, _fdb_del),
        ("mdb/show", "bridge", 1, 1, _mdb_show),
        ("mdb/flush", "[bridge]", 0, 1, _mdb_flush),
        ("ofproto/list", "", 0, 0, _list),
        ("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, _dump_flows),
        ("dpif/show", "", 0, 0, _show),
        ("dpif/dump-dps", "", 0, 0, _dump_datapaths),
        ("upcall/show", "", 0, 0, _upcall_show),
        ("upcall/set-flow-limit", "flow-limit-number", 1, 1, _set_flow_limit),
        ("revalidator/wait", "", 0, 0, _revalidator_wait),
        ("revalidator/purge", "", 0, 0, _revalidator_purge),
    )
    return [
        Command(name, usage, least, most, partial(run, datapaths)) for name, usage, least, most, run in table
    ]


def bridges_of(datapaths: Datapaths) -> Iterator[tuple[Datapath, Bridge]]:
    """All bridges by name."""
    found = [
        (datapath, bridge) for datapath in datapaths.values() for bridge in datapath.fabric.bridges.values()
    ]
    yield from sorted(found, key=lambda pair: pair[1].name)


def find_bridge(
    datapaths: Datapaths, name: str, otherwise: str = "no such bridge"
) -> tuple[Datapath, Bridge]:
    for datapath in datapaths.values():
        bridge = datapath.fabric.bridges.get(name)
        if bridge is not None:
            return datapath, bridge
    raise CommandError(otherwise)


def _chosen(datapaths: Datapaths, arguments: Sequence[str]) -> list[Bridge]:
    """The bridge that is named, or all."""
    if arguments:
        return [find_bridge(datapaths, arguments[0])[1]]
    return [bridge for _, bridge in bridges_of(datapaths)]


def _lines(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)


# ---- learned addresses


def _ofport_text(bridge: Bridge, name: str) -> str:
    port = bridge.ports.get(name)
    if port is None or not port.interfaces:
        return "?"
    return "LOCAL" if port.interfaces[0] == of.OFPP_LOCAL else str(port.interfaces[0])


def _fdb_show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    datapath, bridge = find_bridge(datapaths, arguments[0])
    datapath.fetch_statistics()
    now = bridge.clock.monotonic()
    rows = [" port  VLAN  MAC                Age"]
    for entry in bridge.macs.entries():
        age = (
            "static"
            if entry.expires == STATIC
            else f"{age_seconds(now, entry.expires - bridge.macs.aging):3d}"
        )
        port = _ofport_text(bridge, entry.port)
        rows.append(f"{port:>5}  {entry.vlan:4d}  {format_mac(entry.mac)}  {age}")
    return _lines(rows)


def _fdb_flush(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    for bridge in _chosen(datapaths, arguments):
        bridge.flush_macs()
    return "table successfully flushed"


def _fdb_stats_show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _, bridge = find_bridge(datapaths, arguments[0])
    macs, statistics = bridge.macs, bridge.macs.statistics
    return _lines(
        (
            f'Statistics for bridge "{bridge.name}":',
            f"  Current/maximum MAC entries in the table: {len(macs)}/{macs.limit}",
            f"  Current static MAC entries in the table : {macs.static_count()}",
            f"  Total number of learned MAC entries     : {statistics.learned}",
            f"  Total number of expired MAC entries     : {statistics.expired}",
            f"  Total number of evicted MAC entries     : {statistics.evicted}",
            f"  Total number of port moved MAC entries  : {statistics.moved}",
        )
    )


def _fdb_stats_clear(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    for bridge in _chosen(datapaths, arguments):
        bridge.clear_mac_statistics()
    return "statistics successfully cleared"


def _address(vlan: str, mac: str) -> tuple[int, int]:
    address = parse_mac(mac)
    if address is None:
        raise CommandError("bad MAC address")
    if not vlan.isdigit() or int(vlan) >= _VLANS:
        raise CommandError(f"{vlan}: not a valid VLAN (0 to 4095)")
    return int(vlan), address


def _fdb_add(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _, bridge = find_bridge(datapaths, arguments[0])
    vlan, mac = _address(*arguments[2:])
    ofport = bridge.numbers.get(arguments[1])
    port = bridge.port_of.get(ofport) if ofport is not None else None
    if port is None:
        raise CommandError("software error, odp port is present but no ofp port")
    bridge.add_static_mac(vlan, mac, port.name)
    return ""


def _fdb_del(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _, bridge = find_bridge(datapaths, arguments[0])
    if not bridge.remove_static_mac(*_address(*arguments[1:])):
        raise CommandError("could not find static mac entry")
    return ""


# ---- multicast groups


def _mdb_show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _, bridge = find_bridge(datapaths, arguments[0])
    table = bridge.multicast
    if table is None:
        raise CommandError("multicast snooping is disabled")
    now = bridge.clock.monotonic()
    rows = [" port  VLAN  GROUP                Age"]
    for group in table.groups():
        for port, expires in group.ports.items():
            what = format_address(group.address)
            rows.append(_mdb_row(bridge, port, group.vlan, what, age_seconds(now, expires - table.aging)))
    for router in table.routers():
        age = age_seconds(now, router.expires - ROUTER_AGING)
        rows.append(_mdb_row(bridge, router.port, router.vlan, "querier", age))
    return _lines(rows)


def _mdb_row(bridge: Bridge, port: str, vlan: int, what: str, age: int) -> str:
    padding = " " * (13 if what == "querier" else 9)
    return f"{_ofport_text(bridge, port):>5}  {vlan:4d}  {what}{padding}{age:3d}"


def _mdb_flush(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    for bridge in _chosen(datapaths, arguments):
        if arguments and bridge.multicast is None:
            raise CommandError("multicast snooping is disabled")
        bridge.flush_multicast()
    return "table successfully flushed"


# ---- bridges and flows


def _list(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    return _lines([bridge.name for _, bridge in bridges_of(datapaths)])


def _dump_flows(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    offload = len(arguments) == 2 and arguments[0] == "--offload-stats"
    datapath, bridge = find_bridge(datapaths, arguments[-1], "Unknown bridge")
    datapath.fetch_statistics()
    now = bridge.clock.monotonic()
    rules = sorted(bridge.flows.tables.rules(hidden=True), key=lambda rule: (rule.table, -rule.priority))
    return _lines([_rule_line(rule, now, offload) for rule in rules])


def _rule_line(rule: Rule, now: float, offload: bool) -> str:
    parts = [f"table_id={rule.table}, "] if rule.table else []
    parts.append(f"duration={age_seconds(now, rule.created)}s, ")
    parts.append(f"n_packets={rule.counters.packets}, n_bytes={rule.counters.bytes}, ")
    if offload:
        parts.append("n_offload_packets=0, n_offload_bytes=0, ")
    match = format_match(rule.match, priority=rule.priority)
    return "".join(parts) + f"{match},actions={format_actions(rule.actions)}"


def _show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    lines = []
    for _, datapath in sorted(datapaths.items()):
        statistics = datapath.provider.statistics()
        lines.append(f"{datapath.title}: hit:{statistics.hits} missed:{statistics.misses}")
        lines += note_lines(datapath)
        for _, bridge in sorted(datapath.fabric.bridges.items()):
            lines.append(f"  {bridge.name}:")
            ports = sorted(bridge.interfaces.values(), key=lambda port: port.name)
            lines += [f"    {_port_line(port)}" for port in ports]
    return _lines(lines)


def note_lines(datapath: Datapath) -> list[str]:
    """Indented by one: scripts know bridges by two spaces, ports by four, and datapaths by none."""
    return [f" note: {datapath.note}"] if datapath.note else []


def _port_line(port: OfPort) -> str:
    if port.datapath_port is None:
        return f"{port.name} {port.ofport}/none: (patch: peer={port.peer})"
    options = f": {describe_options(port.tunnel)}" if port.tunnel is not None else ""
    return f"{port.name} {port.ofport}/{port.datapath_port}: ({port.type}{options})"


def _dump_datapaths(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    return _lines([f"{datapath.type_name}@{bridge.name}" for datapath, bridge in bridges_of(datapaths)])


# ---- megaflows


def _upcall_show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    lines = []
    for _, datapath in sorted(datapaths.items()):
        flows = len(datapath.megaflows)
        lines += [
            f"{datapath.title}:",
            f"  flows         : (current {flows}) (avg {datapath.average_megaflows}) "
            f"(max {datapath.most_megaflows}) (limit {datapath.flow_limit})",
            f"  dump duration : {int(datapath.fetch_seconds * 1000)}ms",
            f"  ufid enabled : {str(datapath.ufid_on).lower()}",
            "",
            f"  0: (keys {flows})",
        ]
    return _lines(lines)


def _set_flow_limit(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    if not arguments[0].isdecimal() or int(arguments[0]) > _MOST_FLOWS:
        raise CommandError(f"{arguments[0]}: not a number of flows")
    for datapath in datapaths.values():
        datapath.flow_limit = int(arguments[0])
    return f"set flow_limit to {arguments[0]}\n"


def _revalidator_wait(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    """What has changed reaches the megaflows, and what they have counted the rules, before this returns."""
    for datapath in datapaths.values():
        datapath.revalidate()
        datapath.fetch_statistics()
    return ""


def _revalidator_purge(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    for datapath in datapaths.values():
        datapath.purge()
    return ""
