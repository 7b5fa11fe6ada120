"""Commands on logical switches, their bindings to VLANs of ports, and logical routers."""

from collections.abc import Callable
from typing import Final

from trunkline.cli.vtep_ctl.configuration import (
    LOGICAL_ROUTER,
    LOGICAL_SWITCH,
    PHYSICAL_PORT,
    PHYSICAL_SWITCH,
    asks,
    find_named,
    logical_switch,
    port,
    text,
)
from trunkline.dbctl.grammar import Command, UsageError
from trunkline.dbctl.numbers import long_integer
from trunkline.dbctl.run import Call, Exit, Plan
from trunkline.dbctl.work import Question

REPLICATION_MODES: Final = ("service_node", "source_node")
WHAT: Final = {LOGICAL_SWITCH: "logical switch", LOGICAL_ROUTER: "logical router"}


def _asks(table: str) -> Callable[[Plan], list[Question]]:
    return lambda plan: asks(table, plan.parsed.arguments[:1])


def _asks_binding(plan: Plan) -> list[Question]:
    switch, name, _, *logical = plan.parsed.arguments
    return [*asks(PHYSICAL_SWITCH, [switch]), *asks(PHYSICAL_PORT, [name]), *asks(LOGICAL_SWITCH, logical)]


# -- switches and routers ----------------------------------------------------------------------------------


def _add(table: str) -> Callable[[Call], None]:
    def add(call: Call) -> None:
        (name,) = call.arguments
        if find_named(call.work, table, name) is not None:
            if "--may-exist" in call.options:
                return
            raise UsageError(f"cannot create {WHAT[table]} {name} because it already exists")
        call.work.set(call.work.insert(table), "name", (name,))

    return add


def _delete(table: str) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        (name,) = call.arguments
        found = find_named(call.work, table, name)
        if found is not None:
            call.work.delete(found)
        elif "--if-exists" not in call.options:
            raise UsageError(f"no {WHAT[table]} named {name}")

    return delete


def _list(table: str) -> Callable[[Call], None]:
    def names(call: Call) -> None:
        call.print_sorted(text(call.work, row, "name") for row in call.work.all(table, ("name",)))

    return names


def _exists(table: str) -> Callable[[Call], None]:
    def exists(call: Call) -> None:
        if find_named(call.work, table, call.arguments[0]) is None:
            raise Exit(2)

    return exists


# -- bindings ----------------------------------------------------------------------------------------------


def _bind(call: Call) -> None:
    """A binding that is there is recognized by the VLAN as the command writes it.

    So ``05`` is taken beside ``5``; a VLAN has one binding, though, and the lesser uuid stays.
    """
    work, (switch, name, vlan, logical) = call.work, call.arguments
    row = port(work, switch, name)
    found = logical_switch(work, logical)
    bindings = dict(work.get(row, "vlan_bindings", verify=True))
    if vlan in map(str, bindings):
        raise UsageError(f"multiple bindings for vlan {vlan}")
    number = long_integer(vlan)
    work.add(row, "vlan_bindings", ((number, min(found.uuid, bindings.get(number, found.uuid))),))


def _unbind(call: Call) -> None:
    work, (switch, name, vlan) = call.work, call.arguments
    row = port(work, switch, name)
    for key, _ in work.get(row, "vlan_bindings", verify=True):
        if str(key) == vlan:
            work.remove(row, "vlan_bindings", (key,))
            return
    raise UsageError(f"no binding for vlan {vlan}")


def _list_bindings(call: Call) -> None:
    work = call.work
    row = port(work, *call.arguments)
    lines = []
    for vlan, uuid in work.get(row, "vlan_bindings"):
        switch = work.row(LOGICAL_SWITCH, str(uuid), ("name",))
        if switch is not None:
            lines.append(f"{vlan:04d} {text(work, switch, 'name')}")
    call.print_sorted(lines)


# -- replication -------------------------------------------------------------------------------------------


def _set_replication(call: Call) -> None:
    name, mode = call.arguments
    if mode not in REPLICATION_MODES:
        raise UsageError("Replication mode must be 'service_node' or 'source_node'")
    call.work.set(logical_switch(call.work, name), "replication_mode", (mode,))


def _get_replication(call: Call) -> None:
    mode = call.work.get(logical_switch(call.work, call.arguments[0]), "replication_mode")
    call.print(str(mode[0]) if mode else "(null)")


def _family(table: str, short: str, argument: str) -> tuple[Command, ...]:
    question = _asks(table)
    return (
        Command(f"add-{short}", 1, 1, argument, _add(table), ("--may-exist",), True, asks=question),
        Command(f"del-{short}", 1, 1, argument, _delete(table), ("--if-exists",), True, asks=question),
        Command(f"list-{short}", 0, 0, "", _list(table)),
        Command(f"{short}-exists", 1, 1, argument, _exists(table), asks=question),
    )


# The original does not count bind-ls and unbind-ls among the commands that change the database, so it does
# not log them.
COMMANDS: Final = (
    *_family(LOGICAL_SWITCH, "ls", "!LS"),
    Command("bind-ls", 4, 4, "!PS !PORT !VLAN !LS", _bind, asks=_asks_binding),
    Command("unbind-ls", 3, 3, "!PS !PORT !VLAN", _unbind, asks=_asks_binding),
    Command("list-bindings", 2, 2, "!PS !PORT", _list_bindings),
    Command(
        "set-replication-mode", 2, 2, "!LS !MODE", _set_replication, (), True, asks=_asks(LOGICAL_SWITCH)
    ),
    Command("get-replication-mode", 1, 1, "!LS", _get_replication, asks=_asks(LOGICAL_SWITCH)),
    *_family(LOGICAL_ROUTER, "lr", "!LR"),
)
