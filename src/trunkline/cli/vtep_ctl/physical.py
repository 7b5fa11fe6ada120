"""Commands on physical switches and their ports."""

from typing import Final

from trunkline.cli.vtep_ctl.configuration import (
    PHYSICAL_PORT,
    PHYSICAL_SWITCH,
    asks,
    find_physical_switch,
    find_port,
    physical_switch,
    ports,
    text,
    top,
)
from trunkline.dbctl.grammar import Command, UsageError
from trunkline.dbctl.run import Call, Exit, Plan
from trunkline.dbctl.work import Question


def _asks_switch(plan: Plan) -> list[Question]:
    return asks(PHYSICAL_SWITCH, plan.parsed.arguments[:1])


def _asks_port(plan: Plan) -> list[Question]:
    switch, name = plan.parsed.arguments[:2]
    return [*asks(PHYSICAL_SWITCH, [switch]), *asks(PHYSICAL_PORT, [name])]


# -- switches ----------------------------------------------------------------------------------------------


def _add(call: Call) -> None:
    work, (name,) = call.work, call.arguments
    if find_physical_switch(work, name) is not None:
        if "--may-exist" in call.options:
            return
        raise UsageError(f"cannot create physical switch {name} because it already exists")
    row = work.insert(PHYSICAL_SWITCH)
    work.set(row, "name", (name,))
    work.add(top(work), "switches", (row.uuid,))


def _delete(call: Call) -> None:
    work, (name,) = call.work, call.arguments
    found = find_physical_switch(work, name)
    if found is None:
        if "--if-exists" in call.options:
            return
        raise UsageError(f"no physical switch named {name}")
    for row in ports(work, found):
        work.delete(row)
    work.remove(top(work), "switches", (found.uuid,))
    work.delete(found)


def _list(call: Call) -> None:
    call.work.load({PHYSICAL_SWITCH: ("name",)})
    found = (call.work.row(PHYSICAL_SWITCH, str(uuid)) for uuid in call.work.get(top(call.work), "switches"))
    call.print_sorted(text(call.work, row, "name") for row in found if row is not None)


def _exists(call: Call) -> None:
    if find_physical_switch(call.work, call.arguments[0]) is None:
        raise Exit(2)


# -- ports -------------------------------------------------------------------------------------------------


def _list_ports(call: Call) -> None:
    switch = physical_switch(call.work, call.arguments[0])
    call.print_sorted(text(call.work, row, "name") for row in ports(call.work, switch))


def _add_port(call: Call) -> None:
    work, (switch_name, name) = call.work, call.arguments
    switch = physical_switch(work, switch_name)
    if find_port(work, switch, name) is not None:
        if "--may-exist" in call.options:
            return
        raise UsageError(
            f"cannot create a port named {name} on {switch_name} because a port with that name already exists"
        )
    row = work.insert(PHYSICAL_PORT)
    work.set(row, "name", (name,))
    work.add(switch, "ports", (row.uuid,))


def _delete_port(call: Call) -> None:
    work, (switch_name, name) = call.work, call.arguments
    switch = find_physical_switch(work, switch_name)
    found = find_port(work, switch, name) if switch is not None else None
    if switch is None or found is None:
        if "--if-exists" in call.options:
            return
        raise UsageError(f"no port named {name}")
    work.remove(switch, "ports", (found.uuid,))
    work.delete(found)


COMMANDS: Final = (
    Command("add-ps", 1, 1, "!PS", _add, ("--may-exist",), True, asks=_asks_switch),
    Command("del-ps", 1, 1, "!PS", _delete, ("--if-exists",), True, asks=_asks_switch),
    Command("list-ps", 0, 0, "", _list),
    Command("ps-exists", 1, 1, "!PS", _exists, asks=_asks_switch),
    Command("list-ports", 1, 1, "!PS", _list_ports, asks=_asks_switch),
    Command("add-port", 2, 2, "!PS !PORT", _add_port, ("--may-exist",), True, asks=_asks_port),
    Command("del-port", 2, 2, "!PS !PORT", _delete_port, ("--if-exists",), True, asks=_asks_port),
)
