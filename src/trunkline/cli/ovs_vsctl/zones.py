"""Commands on datapaths (connection tracking zones, capabilities) and on Auto-Attach mappings."""

from typing import Final

from trunkline.cli.ovs_vsctl.configuration import bridge, switch
from trunkline.dbctl.grammar import UNLIMITED, Command, UsageError
from trunkline.dbctl.numbers import leading_integer
from trunkline.dbctl.run import Call
from trunkline.dbctl.work import Row

# -- connection tracking -----------------------------------------------------------------------------------


def _datapath(call: Call) -> Row | None:
    datapaths = dict(call.work.get(switch(call.work), "datapaths", verify=True))
    uuid = datapaths.get(call.arguments[0])
    return None if uuid is None else call.work.known("Datapath", str(uuid))


def _existing_datapath(call: Call) -> Row:
    row = _datapath(call)
    if row is None:
        raise UsageError(f"datapath {call.arguments[0]} does not exist")
    return row


def _zone(text: str) -> int:
    name, equals, number = text.partition("=")
    if name != "zone" or not equals or not number.lstrip("+-").isdigit():
        raise UsageError(f'{text}: expected "zone=" followed by a number')
    return int(number)


def _policies(texts: list[str]) -> tuple[tuple[str, int], ...]:
    pairs: dict[str, int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f'{text}: argument does not end in "=" followed by a value.')
        pairs[name] = leading_integer(value)
    return tuple(sorted(pairs.items()))


def _add_zone(call: Call) -> None:
    work = call.work
    row = _existing_datapath(call)
    zone = _zone(call.arguments[1])
    policies = _policies(call.arguments[2:])
    zones = dict(work.get(row, "ct_zones", verify=True))
    if zone in zones and "--may-exist" not in call.options:
        raise UsageError(f"zone id {zone} already exists")
    policy = next(
        (
            found
            for found in work.all("CT_Timeout_Policy", ("timeouts",))
            if work.get(found, "timeouts") == policies
        ),
        None,
    )
    if policy is None:
        policy = work.insert("CT_Timeout_Policy")
        work.set(policy, "timeouts", policies)
    if zone in zones:
        work.set(work.known("CT_Zone", str(zones[zone])), "timeout_policy", (policy.uuid,))
        return
    new = work.insert("CT_Zone")
    work.set(new, "timeout_policy", (policy.uuid,))
    work.add(row, "ct_zones", ((zone, new.uuid),))


def _delete_zone(call: Call) -> None:
    work = call.work
    row = _existing_datapath(call)
    zone = _zone(call.arguments[1])
    zones = dict(work.get(row, "ct_zones", verify=True))
    if zone not in zones:
        if "--if-exists" in call.options:
            return
        raise UsageError(f"zone id {zone} does not exist")
    work.remove(row, "ct_zones", (zone,))
    work.delete(work.known("CT_Zone", str(zones[zone])))


def _list_zones(call: Call) -> None:
    work = call.work
    row = _datapath(call)
    if row is None:
        raise UsageError(f"datapath: {call.arguments[0]} record not found")
    work.load({"CT_Zone": ("timeout_policy",), "CT_Timeout_Policy": ("timeouts",)})
    for number, uuid in work.get(row, "ct_zones"):
        policy = work.get(work.known("CT_Zone", str(uuid)), "timeout_policy")
        if policy:
            pairs = work.get(work.known("CT_Timeout_Policy", str(policy[0])), "timeouts")
            text = " ".join(f"{name}={value}" for name, value in pairs)
        else:
            text = "system default"
        call.print(f"Zone:{number}, Timeout Policies: {text}")


def _list_capabilities(call: Call) -> None:
    row = _datapath(call)
    if row is None:
        raise UsageError(f'datapath "{call.arguments[0]}" record not found')
    call.print(" ".join(f"{name}={value}" for name, value in call.work.get(row, "capabilities")))


# -- Auto-Attach -------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    if not text.lstrip("+").isdigit() or not text.isascii():
        raise UsageError(f"Invalid argument {text}")
    return int(text)


def _mapping(call: Call) -> tuple[Row, int, int]:
    service, vlan = _number(call.arguments[1]), _number(call.arguments[2])
    return bridge(call.work, call.arguments[0]).row, service, vlan


def _add_mapping(call: Call) -> None:
    work = call.work
    row, service, vlan = _mapping(call)
    attached = work.get(row, "auto_attach", verify=True)
    if attached:
        holder = work.known("AutoAttach", str(attached[0]))
    else:
        holder = work.insert("AutoAttach")
        work.set(row, "auto_attach", (holder.uuid,))
    if service not in dict(work.get(holder, "mappings")):
        work.add(holder, "mappings", ((service, vlan),))


def _delete_mapping(call: Call) -> None:
    work = call.work
    row, service, vlan = _mapping(call)
    for uuid in work.get(row, "auto_attach"):
        holder = work.known("AutoAttach", str(uuid))
        if dict(work.get(holder, "mappings")).get(service) == vlan:
            work.remove(holder, "mappings", (service,))


def _get_mapping(call: Call) -> None:
    work = call.work
    for uuid in work.get(bridge(work, call.arguments[0]).row, "auto_attach"):
        for service, vlan in work.get(work.known("AutoAttach", str(uuid)), "mappings"):
            call.print(f"{service} {vlan}")


COMMANDS: Final = (
    Command("add-zone-tp", 3, UNLIMITED, "", _add_zone, ("--may-exist",), True),
    Command("del-zone-tp", 2, 2, "", _delete_zone, ("--if-exists",), True),
    Command("list-zone-tp", 1, 1, "", _list_zones),
    Command("list-dp-cap", 1, 1, "", _list_capabilities),
    Command("add-aa-mapping", 3, 3, "!BRIDGE !ARG !ARG", _add_mapping, (), True),
    Command("del-aa-mapping", 3, 3, "!BRIDGE !ARG !ARG", _delete_mapping, (), True),
    Command("get-aa-mapping", 1, 1, "!BRIDGE", _get_mapping),
)
