"""Control commands on tunnels: routes, neighbours, what the host listens to, and the tunnels themselves."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from trunkline.base.addresses import MAPPED, format_address, parse_address, parse_mac
from trunkline.base.clock import Clock
from trunkline.dpif.text import format_key
from trunkline.flow import key as layout
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model import openflow as of
from trunkline.model.tunnels import UDP
from trunkline.ofproto.tunnel_settings import describe_tunnel, leading_number
from trunkline.ofproto.tunnels import Shared, Tunnels, routes_token
from trunkline.proto.neighbours import LONGEST_AGING
from trunkline.proto.routes import RouteError, describe
from trunkline.upcall.commands import Datapaths

_BITS: Final = {4: 32, 6: 128}
_HIDDEN: Final = ("ofproto/list-tunnels",)  # in list-commands once there have been tunnels


class _Tunneling:
    """What the commands work on; `told` is called when routes have changed."""

    def __init__(self, datapaths: Datapaths, shared: Shared, clock: Clock, told: Callable[[], None]) -> None:
        self.datapaths = datapaths
        self.shared = shared
        self.clock = clock
        self.told = told

    def routes_changed(self) -> None:
        self.shared.changed(routes_token())
        self.told()
        self.run()

    def run(self) -> None:
        for datapath in self.datapaths.values():
            datapath.attend()


def tunnel_commands(
    datapaths: Datapaths, shared: Shared, clock: Clock, told: Callable[[], None] = lambda: None
) -> list[Command]:
    one = _Tunneling(datapaths, shared, clock, told)
    mark = "[pkt_mark=mark]"
    table: list[tuple[str, str, int, int | None, Callable[[_Tunneling, Sequence[str]], str]]] = [
        ("ovs/route/add", f"ip_addr/prefix_len out_br_name [gw] {mark}", 2, 4, _add_route),
        ("ovs/route/del", f"ip_addr/prefix_len {mark}", 1, 2, _remove_route),
        ("ovs/route/lookup", f"ip_addr {mark}", 1, 2, _look_up_route),
        ("ovs/route/show", "", 0, 0, _show_routes),
        ("tnl/egress_port_range", "min max", 0, 2, _port_range),
        ("tnl/ports/show", "-v", 0, 1, _show_ports),
        ("ofproto/list-tunnels", "", 0, 0, _list_tunnels),
    ]
    for name in ("tnl/arp", "tnl/neigh"):
        table += [
            (f"{name}/show", "", 0, 0, _show_neighbours),
            (f"{name}/set", "BRIDGE IP MAC", 3, 3, _set_neighbour),
            (f"{name}/flush", "", 0, 0, _flush_neighbours),
            (f"{name}/aging", "[SECS]", 0, 1, _aging),
        ]
    found = [Command(name, usage, least, most, partial(run, one)) for name, usage, least, most, run in table]
    return [one._replace(hidden=one.name in _HIDDEN) for one in found]


# ---- routes


def _prefix(text: str) -> tuple[int, int]:
    """An address and the length of its prefix, of 128 bits.  Raises CommandError."""
    address, slash, length = text.partition("/")
    value = parse_address(address)
    family = 6 if ":" in address else 4
    if value is None or (slash and not (length.isdigit() and int(length) <= _BITS[family])):
        raise CommandError("Invalid parameters")
    size = int(length) if slash else _BITS[family]
    return value, size + 96 if family == 4 else size


def _mark(text: str) -> int | None:
    name, equals, number = text.partition("=")
    if name != "pkt_mark" or not equals:
        return None
    try:
        return int(number, 0) & 0xFFFFFFFF
    except ValueError:
        return None


def _add_route(one: _Tunneling, arguments: Sequence[str]) -> str:
    prefix, length = _prefix(arguments[0])
    gateway = mark = 0
    for i, text in enumerate(arguments[2:]):
        number = _mark(text)
        if number is not None:
            mark = number
            continue
        if i:
            raise CommandError("Invalid pkt_mark")
        address = parse_address(text)
        if address is None or (address >> 32 == 0xFFFF) != (prefix >> 32 == 0xFFFF):
            raise CommandError("Invalid pkt_mark or gateway")
        gateway = address
    try:
        one.shared.routes.add(prefix, length, arguments[1], gateway, mark)
    except RouteError as error:
        raise CommandError(str(error)) from None
    one.routes_changed()
    return "OK"


def _remove_route(one: _Tunneling, arguments: Sequence[str]) -> str:
    prefix, length = _prefix(arguments[0])
    if not one.shared.routes.remove(prefix, length, _given_mark(arguments)):
        raise CommandError("Not found")
    one.routes_changed()
    return "OK"


def _given_mark(arguments: Sequence[str]) -> int:
    if len(arguments) < 2:
        return 0
    mark = _mark(arguments[1])
    if mark is None:
        raise CommandError("Invalid pkt_mark")
    return mark


def _look_up_route(one: _Tunneling, arguments: Sequence[str]) -> str:
    target, length = _prefix(arguments[0])
    if length != 128:
        raise CommandError("Invalid parameters")
    route = one.shared.routes.lookup(target, _given_mark(arguments))
    if route is None:
        raise CommandError("Not found")
    gateway = format_address(route.gateway)
    return f"src {format_address(route.source)}\ngateway {gateway}\ndev {route.device}\n"


def _show_routes(one: _Tunneling, arguments: Sequence[str]) -> str:
    return "\n".join(["Route Table:", *map(describe, one.shared.routes.all())]) + "\n"


# ---- neighbours


def _show_neighbours(one: _Tunneling, arguments: Sequence[str]) -> str:
    return one.shared.neighbours.show()


def _set_neighbour(one: _Tunneling, arguments: Sequence[str]) -> str:
    bridge, address, mac = arguments
    target, hardware = parse_address(address), parse_mac(mac)
    if target is None:
        raise CommandError("bad IP address")
    if hardware is None:
        raise CommandError("bad MAC address")
    one.shared.learn(bridge, target, hardware, one.clock.monotonic())
    one.run()
    return "OK"


def _flush_neighbours(one: _Tunneling, arguments: Sequence[str]) -> str:
    one.shared.forget(one.shared.neighbours.flush())
    one.run()
    return "OK"


def _aging(one: _Tunneling, arguments: Sequence[str]) -> str:
    neighbours = one.shared.neighbours
    if not arguments:
        return f"{int(neighbours.aging)}"
    seconds = leading_number(arguments[0])
    if not 0 < seconds <= LONGEST_AGING or not arguments[0].strip().isdigit():
        raise CommandError("bad aging value")
    neighbours.set_aging(seconds, one.clock.monotonic())
    one.shared.expire(one.clock.monotonic())
    return "OK"


# ---- ports


def _port_range(one: _Tunneling, arguments: Sequence[str]) -> str:
    if len(arguments) < 2:
        low, high = one.shared.source_ports
        return f"Tunnel UDP source port range: {low}-{high}\n"
    numbers = []
    for word, text in (("min", arguments[0]), ("max", arguments[1])):
        number = leading_number(text)
        if not 0 < number <= 0xFFFF:
            return f"Invalid {word}."
        numbers.append(number)
    one.shared.source_ports = min(numbers), max(numbers)
    for datapath in one.datapaths.values():
        datapath.fabric.tunnels.tell_source_ports()
    return "OK"


def _all_tunnels(one: _Tunneling) -> list[Tunnels]:
    return [datapath.fabric.tunnels for _, datapath in sorted(one.datapaths.items())]


def _list_tunnels(one: _Tunneling, arguments: Sequence[str]) -> str:
    return "".join(
        f"port {entry.datapath_port}: {entry.name} ({describe_tunnel(entry.settings, entry.datapath_port)})\n"
        for tunnels in _all_tunnels(one)
        for entry in tunnels.sorted()
    )


def _show_ports(one: _Tunneling, arguments: Sequence[str]) -> str:
    lines = ["Listening ports:"]
    ports = [vport for tunnels in _all_tunnels(one) for vport in tunnels.vports.values()]
    if "-v" not in arguments:
        lines += [f"{port.name} ({port.number}) ref_cnt={port.tunnels}" for port in ports]
        return "\n".join(lines) + "\n"
    for port in ports:
        for mac, address in _own_addresses(one):
            match = {"dl_dst": mac, "dl_type": 0x0800 if address >> 32 == 0xFFFF else 0x86DD}
            match |= {"nw_proto": port.protocol, "nw_frag": 0}
            match["nw_dst" if address >> 32 == 0xFFFF else "ipv6_dst"] = address & ~MAPPED
            if address >> 32 != 0xFFFF:
                match["ipv6_dst"] = address
            if port.protocol == UDP:
                match["tp_dst"] = port.destination
            lines.append(f"{port.name} ({port.number}) : {format_key(*layout.pack(match))}")
    return "\n".join(lines) + "\n"


def _own_addresses(one: _Tunneling) -> list[tuple[int, int]]:
    """MAC and IP addresses of the bridges' own ports."""
    found = []
    for datapath in one.datapaths.values():
        for bridge in datapath.fabric.bridges.values():
            local = bridge.interfaces.get(of.OFPP_LOCAL)
            for address in one.shared.routes.addresses.get(bridge.name, ()) if local is not None else ():
                assert local is not None
                found.append((local.mac, address.value))
    return found
