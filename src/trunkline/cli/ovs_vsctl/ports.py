"""Commands on ports, bonds and interfaces."""

from collections.abc import Sequence
from typing import Final

from trunkline.cli.ovs_vsctl.configuration import (
    asks,
    bridge,
    check_free,
    delete_port,
    find_bridge,
    find_interface,
    find_port,
    interface,
    interfaces,
    new_interface,
    own_interfaces,
    port,
    ports,
    text,
)
from trunkline.dbctl.database_commands import set_column
from trunkline.dbctl.grammar import UNLIMITED, Command, UsageError
from trunkline.dbctl.names import find_table
from trunkline.dbctl.run import Call, Plan
from trunkline.dbctl.work import Question


def _settings(command: str, arguments: Sequence[str]) -> Sequence[str]:
    """The arguments that are ``column=value``: of add-bond, from the first with "=" after three."""
    return arguments[2:] if command == "add-port" else arguments[2 + len(_bonded(arguments)) :]


def _bonded(arguments: Sequence[str]) -> list[str]:
    names = []
    for argument in arguments[2:]:
        if "=" in argument:
            break
        names.append(argument)
    return names


def _asks_add(plan: Plan) -> list[Question]:
    bridge_name, *names = plan.parsed.arguments[:2]
    return [Question("Bridge", "name", bridge_name), *asks(*names)]


def _asks_delete(plan: Plan) -> list[Question]:
    return asks(*plan.parsed.arguments)


def _add(call: Call) -> None:
    _create(call, [call.arguments[1]], call.arguments[2:])


def _add_bond(call: Call) -> None:
    names = _bonded(call.arguments)
    if len(names) < 2:
        raise UsageError(f"add-bond requires at least 2 interfaces, but only {len(names)} were specified")
    _create(call, names, _settings("add-bond", call.arguments))


def _create(call: Call, names: list[str], settings: Sequence[str]) -> None:
    work = call.work
    bridge_name, port_name = call.arguments[:2]
    if not port_name:
        raise UsageError("port name must not be empty string")
    if not all(names):
        raise UsageError("interface name must not be empty string")
    if "--may-exist" in call.options and _there(call, bridge_name, port_name, names):
        return
    check_free(work, port_name, f"cannot create a port named {port_name}")
    for name in names:
        check_free(work, name, f"cannot create an interface named {name}")
    owner = bridge(work, bridge_name)
    made = [new_interface(call, name).uuid for name in names]
    row = work.insert("Port")
    work.set(row, "name", (port_name,))
    work.set(row, "interfaces", tuple(sorted(made)))
    if "--fake-iface" in call.options:
        work.set(row, "bond_fake_iface", (True,))
    if owner.fake is not None:
        work.set(row, "tag", (owner.vlan,))
    table = find_table(call.tool.schema, "Port")
    for setting in settings:
        set_column(call, table, row, setting)
    work.add(owner.row, "ports", (row.uuid,))


def _there(call: Call, bridge_name: str, port_name: str, names: list[str]) -> bool:
    """Whether the port is there as asked for.  Raises UsageError when it is there otherwise."""
    found = find_port(call.work, port_name)
    if found is None:
        return False
    line = " ".join(call.parsed.words)
    if found.bridge.name != bridge_name:
        raise UsageError(f'"{line}" but {port_name} is actually attached to bridge {found.bridge.name}')
    have = sorted(text(call.work, row, "name") for row in interfaces(call.work, found.row))
    if have != sorted(names):
        raise UsageError(f'"{line}" but {port_name} actually has interface(s) {", ".join(have)}')
    return True


def _delete(call: Call) -> None:
    work = call.work
    *bridge_name, name = call.arguments
    must = "--if-exists" not in call.options
    if must and find_bridge(work, name) is not None:
        raise UsageError(
            f"cannot delete port {name} because it is the local port for bridge {name} "
            "(deleting this port requires deleting the entire bridge)"
        )
    with_interface = "--with-iface" in call.options
    found = find_port(work, name)
    if found is None and with_interface:
        held = find_interface(work, name)
        found = held[1] if held is not None else None
    if found is None:
        if must:
            raise UsageError(f"no port {'or interface ' if with_interface else ''}named {name}")
        return
    if bridge_name:
        owner = bridge(work, bridge_name[0])
        if found.bridge.name != owner.name:
            note = ""
            if owner.fake is None and found.bridge.row is owner.row:
                note = f" (although its child bridge {found.bridge.name} does)"
            raise UsageError(f"bridge {owner.name} does not have a port {name}{note}")
    delete_port(work, found.row, found.bridge.row)


def _add_bond_interface(call: Call) -> None:
    work = call.work
    found = port(work, call.arguments[0])
    name = call.arguments[1]
    if "--may-exist" in call.options:
        held = find_interface(work, name)
        if held is not None:
            if held[1].row is found.row:
                return
            line = " ".join(call.parsed.words)
            raise UsageError(f'"{line}" but {name} is actually attached to port {held[1].name}')
    check_free(work, name, f"cannot create an interface named {name}")
    work.add(found.row, "interfaces", (new_interface(call, name).uuid,))


def _delete_bond_interface(call: Call) -> None:
    work = call.work
    *port_name, name = call.arguments
    held = find_interface(work, name)
    if held is None:
        if "--if-exists" in call.options:
            return
        raise UsageError(f"no interface named {name}")
    if port_name:
        found = port(work, port_name[0])
        if held[1].row is not found.row:
            raise UsageError(f"port {found.name} does not have an interface {name}")
    row, holder = held
    if len(work.get(holder.row, "interfaces", verify=True)) == 1:
        raise UsageError(f"cannot delete last interface from port {holder.name}")
    work.remove(holder.row, "interfaces", (row.uuid,))
    work.delete(row)


def _list(call: Call) -> None:
    owner = bridge(call.work, call.arguments[0])
    call.print_sorted([text(call.work, row, "name") for row in ports(call.work, owner)])


def _list_interfaces(call: Call) -> None:
    owner = bridge(call.work, call.arguments[0])
    call.work.load({"Interface": ("name",)})
    rows = [one for row in ports(call.work, owner) for one in own_interfaces(call.work, row)]
    call.print_sorted([text(call.work, row, "name") for row in rows])


def _to_bridge(call: Call) -> None:
    call.print(port(call.work, call.arguments[0]).bridge.name)


def _interface_to_bridge(call: Call) -> None:
    call.print(interface(call.work, call.arguments[0])[1].bridge.name)


COMMANDS: Final = (
    Command("list-ports", 1, 1, "!BRIDGE", _list),
    Command(
        "add-port",
        2,
        UNLIMITED,
        "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE",
        _add,
        ("--may-exist",),
        True,
        asks=_asks_add,
    ),
    Command(
        "add-bond",
        4,
        UNLIMITED,
        "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE",
        _add_bond,
        ("--may-exist", "--fake-iface"),
        True,
    ),
    Command("add-bond-iface", 2, 2, "!BOND !IFACE", _add_bond_interface, ("--may-exist",), True),
    Command("del-bond-iface", 1, 2, "?BOND !IFACE", _delete_bond_interface, ("--if-exists",), True),
    Command(
        "del-port",
        1,
        2,
        "?BRIDGE !PORT|IFACE",
        _delete,
        ("--if-exists", "--with-iface"),
        True,
        asks=_asks_delete,
    ),
    Command("port-to-br", 1, 1, "!PORT", _to_bridge),
    Command("list-ifaces", 1, 1, "!BRIDGE", _list_interfaces),
    Command("iface-to-br", 1, 1, "!IFACE", _interface_to_bridge),
)
