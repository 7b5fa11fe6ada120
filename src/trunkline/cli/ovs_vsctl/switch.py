"""Commands on the switch as a whole: init, show, emer-reset, managers, controllers and SSL."""

from typing import Final

from trunkline.cli.ovs_vsctl.configuration import SWITCH, bridge, real_bridge, switch, text
from trunkline.dbctl.connections import connect, forget, show_targets
from trunkline.dbctl.grammar import UNLIMITED, Command
from trunkline.dbctl.outline import Shown, show
from trunkline.dbctl.run import Call

OUTLINE: Final = {
    SWITCH: Shown(None, ("manager_options", "bridges", "ovs_version")),
    "Bridge": Shown("name", ("controller", "fail_mode", "datapath_type", "ports")),
    "Port": Shown("name", ("tag", "trunks", "interfaces")),
    "Interface": Shown("name", ("type", "options", "error")),
    "Controller": Shown("target", ("is_connected",)),
    "Manager": Shown("target", ("is_connected",)),
}


def _init(call: Call) -> None:
    """Every run makes the row that has to be there, so there is nothing left to do."""


def _show(call: Call) -> None:
    show(call, OUTLINE, SWITCH)


def _emergency_reset(call: Call) -> None:
    work = call.work
    top = switch(work)
    for column in ("manager_options", "ssl"):
        work.set(top, column, ())
    for row in work.all("Bridge", ("other_config",)):
        for column in ("controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix"):
            work.set(row, column, ())
        kept = tuple(pair for pair in work.get(row, "other_config") if pair[0] == "hwaddr")
        work.set(row, "other_config", kept)
    for row in work.all("Port"):
        work.set(row, "other_config", ())
    for row in work.all("Interface"):
        work.set(row, "ingress_policing_rate", (0,))
        work.set(row, "ingress_policing_burst", (0,))
    for table in ("Mirror", "Controller", "Manager", "NetFlow", "sFlow", "IPFIX", "SSL"):
        for row in work.all(table):
            work.delete(row)


# -- controllers and managers ------------------------------------------------------------------------------


def _get_controller(call: Call) -> None:
    row = bridge(call.work, call.arguments[0]).row
    show_targets(call, "Controller", row, "controller")


def _set_controller(call: Call) -> None:
    row = real_bridge(call.work, call.arguments[0]).row
    connect(call, "Controller", row, "controller", call.arguments[1:])


def _delete_controller(call: Call) -> None:
    row = real_bridge(call.work, call.arguments[0]).row
    if call.work.get(row, "controller"):
        forget(call, "Controller", row, "controller")


def _get_manager(call: Call) -> None:
    show_targets(call, "Manager", switch(call.work), "manager_options")


def _set_manager(call: Call) -> None:
    connect(call, "Manager", switch(call.work), "manager_options", call.arguments)


def _delete_manager(call: Call) -> None:
    forget(call, "Manager", switch(call.work), "manager_options")


# -- SSL ---------------------------------------------------------------------------------------------------


def _get_ssl(call: Call) -> None:
    for uuid in call.work.get(switch(call.work), "ssl"):
        columns = ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert")
        row = call.work.known("SSL", str(uuid), columns)
        call.print(f"Private key: {text(call.work, row, 'private_key')}")
        call.print(f"Certificate: {text(call.work, row, 'certificate')}")
        call.print(f"CA Certificate: {text(call.work, row, 'ca_cert')}")
        call.print(f"Bootstrap: {'true' if call.work.get(row, 'bootstrap_ca_cert')[0] else 'false'}")


def _delete_ssl(call: Call) -> None:
    forget(call, "SSL", switch(call.work), "ssl")


def _set_ssl(call: Call) -> None:
    _delete_ssl(call)
    row = call.work.insert("SSL")
    for column, value in zip(("private_key", "certificate", "ca_cert"), call.arguments):
        call.work.set(row, column, (value,))
    call.work.set(row, "bootstrap_ca_cert", ("--bootstrap" in call.options,))
    call.work.set(switch(call.work), "ssl", (row.uuid,))


COMMANDS: Final = (
    Command("init", 0, 0, "", _init, (), True),
    Command("show", 0, 0, "", _show),
    Command("emer-reset", 0, 0, "", _emergency_reset, (), True),
    Command("get-controller", 1, 1, "!BRIDGE", _get_controller),
    Command(
        "set-controller", 1, UNLIMITED, "!BRIDGE +TARGET", _set_controller, ("--inactivity-probe=",), True
    ),
    Command("del-controller", 1, 1, "!BRIDGE", _delete_controller, (), True),
    Command("get-manager", 0, 0, "", _get_manager),
    Command("set-manager", 1, UNLIMITED, "+TARGET", _set_manager, ("--inactivity-probe=",), True),
    Command("del-manager", 0, 0, "", _delete_manager, (), True),
    Command("get-ssl", 0, 0, "", _get_ssl),
    Command("set-ssl", 3, 3, "!PRIVATE-KEY !CERTIFICATE !CA-CERT", _set_ssl, ("--bootstrap",), True),
    Command("del-ssl", 0, 0, "", _delete_ssl, (), True),
)
