"""Bridge commands: add-br, del-br, list-br, br-exists, br-to-vlan, br-to-parent, external ids, fail mode."""

from typing import Final

from trunkline.cli.ovs_vsctl.configuration import (
    Bridge,
    bridge,
    check_free,
    child,
    delete_port,
    fakes,
    find_bridge,
    is_in,
    new_interface,
    ports,
    real_bridge,
    switch,
    text,
)
from trunkline.dbctl.grammar import Command, UsageError
from trunkline.dbctl.numbers import leading_integer
from trunkline.dbctl.run import Call, Exit, Plan
from trunkline.dbctl.work import Row

FAKE_PREFIX: Final = "fake-bridge-"


def _prepare_add(plan: Plan) -> None:
    if len(plan.parsed.arguments) == 2:
        raise UsageError("'add-br' command takes exactly 1 or 3 arguments")


def _add(call: Call) -> None:
    name, *rest = call.arguments
    if not name:
        raise UsageError("bridge name must not be empty string")
    parent_name = rest[0] if rest else None
    vlan = leading_integer(rest[1]) if rest else 0
    if not 0 <= vlan <= 4095:
        raise UsageError("add-br: vlan must be between 0 and 4095")
    if "--may-exist" in call.options and _there(call, name, parent_name, vlan):
        return
    check_free(call.work, name, f"cannot create a bridge named {name}")
    work = call.work
    parent = None
    if parent_name is not None:
        parent = find_bridge(work, parent_name)
        if parent is not None and parent.fake is not None:
            raise UsageError("cannot create bridge with fake bridge as parent")
        if parent is None:
            raise UsageError(f"parent bridge {parent_name} does not exist")
        taken = child(work, parent.row, vlan)
        if taken is not None:
            raise UsageError(
                f"bridge {parent_name} already has a child VLAN bridge {taken.name} on VLAN {vlan}"
            )
    interface = new_interface(call, name, "internal")
    port = work.insert("Port")
    work.set(port, "name", (name,))
    work.set(port, "interfaces", (interface.uuid,))
    if parent is not None:
        work.set(port, "fake_bridge", (True,))
        work.set(port, "tag", (vlan,))
        work.add(parent.row, "ports", (port.uuid,))
    else:
        row = work.insert("Bridge")
        work.set(row, "name", (name,))
        work.set(row, "ports", (port.uuid,))
        work.add(switch(work), "bridges", (row.uuid,))


def _there(call: Call, name: str, parent: str | None, vlan: int) -> bool:
    """Whether the bridge is there as asked for.  Raises UsageError when it is there otherwise."""
    found = find_bridge(call.work, name)
    if found is None:
        return False
    line = " ".join(call.parsed.words)
    if parent is None:
        if found.fake is not None:
            raise UsageError(f'"{line}" but {name} is a VLAN bridge for VLAN {found.vlan}')
    elif found.fake is None:
        raise UsageError(f'"{line}" but {name} is not a VLAN bridge')
    elif text(call.work, found.row, "name") != parent:
        owner = text(call.work, found.row, "name")
        raise UsageError(f'"{line}" but {name} has the wrong parent {owner}')
    elif found.vlan != vlan:
        raise UsageError(f'"{line}" but {name} is a VLAN bridge for the wrong VLAN {found.vlan}')
    return True


def _delete(call: Call) -> None:
    name = call.arguments[0]
    found = find_bridge(call.work, name)
    if found is None:
        if "--if-exists" in call.options:
            return
        raise UsageError(f"no bridge named {name}")
    work = call.work
    if found.fake is not None:
        for row in [*ports(work, found), found.fake]:
            delete_port(work, row, found.row)
        return
    work.load({"Bridge": ("name", "ports")})
    for row in work.members(found.row, "ports", "Port"):
        if is_in(work, row, found.row):
            for one in work.members(row, "interfaces", "Interface"):
                work.delete(one)
            work.delete(row)
    work.remove(switch(work), "bridges", (found.row.uuid,))
    work.delete(found.row)


def _list(call: Call) -> None:
    work = call.work
    both = ("--real" in call.options) == ("--fake" in call.options)
    names = []
    if both or "--real" in call.options:
        names += [text(work, row, "name") for row in work.all("Bridge", ("name",))]
    if both or "--fake" in call.options:
        names += [fake.name for fake in fakes(work)]
    call.print_sorted(names)


def _exists(call: Call) -> None:
    if find_bridge(call.work, call.arguments[0]) is None:
        raise Exit(2)


def _to_vlan(call: Call) -> None:
    call.print(str(bridge(call.work, call.arguments[0]).vlan))


def _to_parent(call: Call) -> None:
    call.print(text(call.work, bridge(call.work, call.arguments[0]).row, "name"))


def _id_place(found: Bridge) -> tuple[Row, str]:
    """The row that keeps a bridge's external ids, and the prefix of their keys there."""
    return (found.row, "") if found.fake is None else (found.fake, FAKE_PREFIX)


def _set_id(call: Call) -> None:
    name, key, *value = call.arguments
    row, prefix = _id_place(bridge(call.work, name))
    if value:
        call.work.add(row, "external_ids", ((prefix + key, value[0]),))
    elif prefix + key in dict(call.work.get(row, "external_ids")):
        call.work.remove(row, "external_ids", (prefix + key,))


def _get_id(call: Call) -> None:
    row, prefix = _id_place(bridge(call.work, call.arguments[0]))
    pairs = {
        str(key)[len(prefix) :]: value
        for key, value in call.work.get(row, "external_ids")
        if str(key).startswith(prefix)
    }
    if len(call.arguments) == 2:
        if call.arguments[1] in pairs:
            call.print(pairs[call.arguments[1]])
        return
    for key in sorted(pairs):
        call.print(f"{key}={pairs[key]}")


def _get_fail_mode(call: Call) -> None:
    mode = call.work.get(bridge(call.work, call.arguments[0]).row, "fail_mode")
    if mode:
        call.print(str(mode[0]))


def _set_fail_mode(call: Call) -> None:
    found = real_bridge(call.work, call.arguments[0])
    mode = call.arguments[1]
    if mode not in ("standalone", "secure"):
        raise UsageError('fail-mode must be "standalone" or "secure"')
    call.work.set(found.row, "fail_mode", (mode,))


def _delete_fail_mode(call: Call) -> None:
    call.work.set(real_bridge(call.work, call.arguments[0]).row, "fail_mode", ())


COMMANDS: Final = (
    Command("add-br", 1, 3, "!NEW-BRIDGE ?PARENT ?NEW-VLAN", _add, ("--may-exist",), True, _prepare_add),
    Command("del-br", 1, 1, "!BRIDGE", _delete, ("--if-exists",), True),
    Command("list-br", 0, 0, "", _list, ("--real", "--fake")),
    Command("br-exists", 1, 1, "!BRIDGE", _exists),
    Command("br-to-vlan", 1, 1, "!BRIDGE", _to_vlan),
    Command("br-to-parent", 1, 1, "!BRIDGE", _to_parent),
    Command("br-set-external-id", 2, 3, "!BRIDGE !KEY ?VALUE", _set_id, (), True),
    Command("br-get-external-id", 1, 2, "!BRIDGE ?KEY", _get_id),
    Command("get-fail-mode", 1, 1, "!BRIDGE", _get_fail_mode),
    Command("set-fail-mode", 2, 2, "!BRIDGE !MODE", _set_fail_mode, (), True),
    Command("del-fail-mode", 1, 1, "!BRIDGE", _delete_fail_mode, (), True),
)
