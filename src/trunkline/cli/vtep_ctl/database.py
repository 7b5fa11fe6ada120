"""Commands on the VTEP as a whole: show, and the managers it connects to."""

from typing import Final

from trunkline.cli.vtep_ctl.configuration import GLOBAL, PHYSICAL_PORT, PHYSICAL_SWITCH, top
from trunkline.dbctl.connections import connect, forget, show_targets
from trunkline.dbctl.grammar import UNLIMITED, Command
from trunkline.dbctl.outline import Shown, show
from trunkline.dbctl.run import Call

OUTLINE: Final = {
    GLOBAL: Shown(None, ("managers", "switches")),
    "Manager": Shown("target", ("is_connected",)),
    PHYSICAL_SWITCH: Shown("name", ("management_ips", "tunnel_ips", "ports")),
    PHYSICAL_PORT: Shown("name", (), (("vlan_bindings", "name"),)),
}


def _show(call: Call) -> None:
    show(call, OUTLINE, GLOBAL)


def _get_manager(call: Call) -> None:
    show_targets(call, "Manager", top(call.work), "managers")


def _set_manager(call: Call) -> None:
    connect(call, "Manager", top(call.work), "managers", call.arguments)


def _delete_manager(call: Call) -> None:
    forget(call, "Manager", top(call.work), "managers")


COMMANDS: Final = (
    Command("show", 0, 0, "", _show),
    Command("get-manager", 0, 0, "", _get_manager),
    Command("del-manager", 0, 0, "", _delete_manager, (), True),
    Command("set-manager", 1, UNLIMITED, "+TARGET", _set_manager, ("--inactivity-probe=",), True),
)
