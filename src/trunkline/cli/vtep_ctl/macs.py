"""Commands on MAC bindings: which locators a MAC address on a logical switch is behind.

*Local* bindings are what the VTEP has learned on its ports, *remote* ones what a controller tells it.  A
unicast address has one locator; a multicast one has a set of them, which is never changed but replaced by a
new one.
"""

from collections.abc import Callable
from typing import Final

from trunkline.cli.vtep_ctl.configuration import LOGICAL_SWITCH, asks, logical_switch, text
from trunkline.cli.vtep_ctl.locators import DEFAULT_ENCAPSULATION, LOCATOR, LOCATOR_SET, find_locator, locator
from trunkline.dbctl.grammar import Command
from trunkline.dbctl.run import Call, Plan
from trunkline.dbctl.work import Question, Row, Work
from trunkline.ovsdb.datum import Datum


def _table(kind: str, side: str) -> str:
    return f"{kind.capitalize()}_Macs_{side.capitalize()}"


def _asks(plan: Plan) -> list[Question]:
    return asks(LOGICAL_SWITCH, plan.parsed.arguments[:1])


def _endpoint(arguments: list[str]) -> tuple[str, str]:
    """Encapsulation and address: ``[ENCAP] IP``."""
    *encapsulation, address = arguments
    return (encapsulation[0] if encapsulation else DEFAULT_ENCAPSULATION), address


def _binding(work: Work, table: str, switch: Row, mac: str) -> Row | None:
    """The row of `mac` on the logical switch.  If there are several, the last as the table is listed."""
    found = [
        row
        for row in work.find(table, "MAC", mac, ("logical_switch",), verify=True)
        if work.get(row, "logical_switch") == (switch.uuid,)
    ]
    if len(found) < 2:
        return found[0] if found else None
    places = {row.uuid: place for place, row in enumerate(work.all(table))}
    return max(found, key=lambda row: places[row.uuid])


def _set(work: Work, table: str, row: Row | None, switch: Row, mac: str, column: str, value: Row) -> None:
    """Makes the binding, or lets `column` of the one that is there be `value`."""
    if row is None:
        row = work.insert(table)
        work.set(row, "MAC", (mac,))
        work.set(row, "logical_switch", (switch.uuid,))
    work.set(row, column, (value.uuid,))


# -- unicast -----------------------------------------------------------------------------------------------


def _add_unicast(table: str) -> Callable[[Call], None]:
    def add(call: Call) -> None:
        work, (name, mac, *endpoint) = call.work, call.arguments
        switch = logical_switch(work, name)
        behind = locator(work, *_endpoint(endpoint))
        _set(work, table, _binding(work, table, switch, mac), switch, mac, "locator", behind)

    return add


def _delete_unicast(table: str) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        name, mac = call.arguments
        row = _binding(call.work, table, logical_switch(call.work, name), mac)
        if row is not None:
            call.work.delete(row)

    return delete


# -- multicast ---------------------------------------------------------------------------------------------


def _locators(work: Work, row: Row) -> Datum:
    """The locators of a multicast binding."""
    (uuid,) = work.get(row, "locator_set", verify=True)
    return work.get(work.known(LOCATOR_SET, str(uuid), ("locators",)), "locators")


def _new_set(work: Work, locators: Datum) -> Row:
    row = work.insert(LOCATOR_SET)
    work.set(row, "locators", locators)
    return row


def _add_multicast(table: str) -> Callable[[Call], None]:
    def add(call: Call) -> None:
        work, (name, mac, *endpoint) = call.work, call.arguments
        switch = logical_switch(work, name)
        row = _binding(work, table, switch, mac)
        before = _locators(work, row) if row is not None else ()
        behind = locator(work, *_endpoint(endpoint)).uuid
        changed = _new_set(work, tuple(sorted({*before, behind}, key=str)))
        _set(work, table, row, switch, mac, "locator_set", changed)

    return add


def _delete_multicast(table: str) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        work, (name, mac, *endpoint) = call.work, call.arguments
        switch = logical_switch(work, name)
        row = _binding(work, table, switch, mac)
        behind = find_locator(work, *_endpoint(endpoint))
        if row is None or behind is None:
            return
        before = _locators(work, row)
        if behind.uuid not in before:
            return
        left = tuple(uuid for uuid in before if uuid != behind.uuid)
        if left:
            work.set(row, "locator_set", (_new_set(work, left).uuid,))
        else:
            work.delete(row)

    return delete


# -- all bindings of a switch ------------------------------------------------------------------------------


def _clear(side: str) -> Callable[[Call], None]:
    def clear(call: Call) -> None:
        switch = logical_switch(call.work, call.arguments[0])
        for kind in ("ucast", "mcast"):
            for row in call.work.find(_table(kind, side), "logical_switch", switch.uuid, verify=True):
                call.work.delete(row)

    return clear


def _list(side: str) -> Callable[[Call], None]:
    def bindings(call: Call) -> None:
        work = call.work
        switch = logical_switch(work, call.arguments[0])
        for kind in ("ucast", "mcast"):
            columns = ("MAC", "locator" if kind == "ucast" else "locator_set")
            rows = work.find(_table(kind, side), "logical_switch", switch.uuid, columns)
            lines = []
            for row in rows:
                for uuid in work.get(row, "locator") if kind == "ucast" else _locators(work, row):
                    behind = work.known(LOCATOR, str(uuid), ("encapsulation_type", "dst_ip"))
                    encapsulation, address = (text(work, behind, c) for c in ("encapsulation_type", "dst_ip"))
                    lines.append(f"  {text(work, row, 'MAC')} -> {encapsulation}/{address}")
            call.print(f"{kind}-mac-{side}")
            call.print_sorted(lines)
            call.print("")

    return bindings


def _family(side: str) -> tuple[Command, ...]:
    unicast, multicast = _table("ucast", side), _table("mcast", side)
    endpoint = "!LS !MAC ?ENCAP !IP"
    return (
        Command(f"add-ucast-{side}", 3, 4, endpoint, _add_unicast(unicast), (), True, asks=_asks),
        Command(f"del-ucast-{side}", 2, 2, "!LS !MAC", _delete_unicast(unicast), (), True, asks=_asks),
        Command(f"add-mcast-{side}", 3, 4, endpoint, _add_multicast(multicast), (), True, asks=_asks),
        Command(f"del-mcast-{side}", 3, 4, endpoint, _delete_multicast(multicast), (), True, asks=_asks),
        Command(f"clear-{side}-macs", 1, 1, "!LS", _clear(side), asks=_asks),
        Command(f"list-{side}-macs", 1, 1, "!LS", _list(side), asks=_asks),
    )


COMMANDS: Final = (*_family("local"), *_family("remote"))
