"""What is peculiar to ovs-vsctl among the database tools: its commands, how rows are named, and waiting.

A change counts up `next_cfg`; then the tool waits until the switch has brought `cur_cfg` there.
"""

import sys
from typing import Final

from trunkline.base.directories import Directories
from trunkline.base.log import Log
from trunkline.cli.database_tool import Profile, Server
from trunkline.cli.ovs_vsctl import bridges, ports, switch, zones
from trunkline.cli.ovs_vsctl.configuration import SWITCH, initialize
from trunkline.cli.ovs_vsctl.version import version
from trunkline.dbctl.database_commands import DATABASE_COMMANDS
from trunkline.dbctl.names import Lookup
from trunkline.dbctl.run import Outcome, Tool
from trunkline.dbctl.work import TryAgain

NAME: Final = (Lookup("name"),)
LOOKUPS: Final = {
    "AutoAttach": (Lookup("name", "Bridge", "auto_attach"),),
    "Bridge": NAME,
    "Controller": (Lookup("name", "Bridge", "controller"),),
    "Flow_Sample_Collector_Set": (Lookup("id"),),
    "Flow_Table": NAME,
    "IPFIX": (Lookup("name", "Bridge", "ipfix"),),
    "Interface": NAME,
    "Manager": (Lookup("target"),),
    "Mirror": NAME,
    "NetFlow": (Lookup("name", "Bridge", "netflow"),),
    "Open_vSwitch": (Lookup(None),),
    "Port": NAME,
    "QoS": (Lookup("name", "Port", "qos"),),
    "SSL": (Lookup(None),),
    "sFlow": (Lookup("name", "Bridge", "sflow"),),
}
LISTING: Final = (
    "wait-until",
    "add-zone-tp",
    "comment",
    "clear",
    "init",
    "create",
    "set-fail-mode",
    "add-port",
    "del-bond-iface",
    "del-ssl",
    "set-controller",
    "list-br",
    "br-exists",
    "list-ports",
    "del-manager",
    "list-dp-cap",
    "add-bond-iface",
    "get-manager",
    "get-controller",
    "br-set-external-id",
    "list-ifaces",
    "list-zone-tp",
    "get-aa-mapping",
    "get",
    "add-aa-mapping",
    "del-fail-mode",
    "br-get-external-id",
    "del-zone-tp",
    "del-port",
    "port-to-br",
    "del-controller",
    "find",
    "set",
    "emer-reset",
    "set-ssl",
    "del-aa-mapping",
    "add-br",
    "br-to-parent",
    "iface-to-br",
    "list",
    "add",
    "set-manager",
    "del-br",
    "remove",
    "get-ssl",
    "get-fail-mode",
    "destroy",
    "br-to-vlan",
    "add-bond",
    "show",
)
"""The order in which ``--commands`` lists them."""

_ALL: Final = {
    command.name: command
    for command in (
        *DATABASE_COMMANDS,
        *bridges.COMMANDS,
        *ports.COMMANDS,
        *switch.COMMANDS,
        *zones.COMMANDS,
    )
}
COMMANDS: Final = tuple(_ALL[name] for name in LISTING)
NEXT: Final = (
    {"op": "mutate", "table": SWITCH, "where": [], "mutations": [["next_cfg", "+=", 1]]},
    {"op": "select", "table": SWITCH, "where": [], "columns": ["next_cfg"]},
)
"""Counts up the number of the configuration, and asks what it is now."""


def _tool() -> Tool:
    from trunkline.cli.database_tool import packaged_schema

    return Tool("ovs-vsctl", "vsctl", packaged_schema("vswitch.ovsschema"), LOOKUPS, initialize)


def _usage(directories: Directories) -> str:
    from trunkline.cli.ovs_vsctl.usage import usage

    tool = _tool()
    return usage(directories, tool.schema, tool.lookups)


def _wait(server: Server, outcome: Outcome, log: Log, directories: Directories) -> None:
    """Waits until the switch has taken the configuration up, then tells of new interfaces that failed."""
    assert outcome.appended is not None
    rows = outcome.appended[1]["rows"]
    if not rows:
        return  # the row that counts configurations was itself destroyed
    wanted = rows[0]["next_cfg"]
    expected: list[str] = outcome.calls[0].state.get("new interfaces", [])  # type: ignore[assignment]
    made = [outcome.work.real.get(uuid) for uuid in expected]
    while True:
        try:
            _follow(server, wanted)
            failed = _report(server, [uuid for uuid in made if uuid is not None])
            break
        except TryAgain:
            continue  # the connection broke, and --retry made another
    if failed:
        sys.stderr.write(f'ovs-vsctl: The default log directory is "{directories.log}".\n')


def _follow(server: Server, wanted: int) -> None:
    """Returns when `cur_cfg` has reached `wanted`.  Raises TryAgain."""
    updates = server.call("monitor", [server.name, "reload", {SWITCH: {"columns": ["cur_cfg"]}}])
    while not _reached(updates, wanted):
        monitor, updates = server.notification()
        if monitor != "reload":
            updates = {}


def _reached(updates: dict[str, dict[str, dict[str, dict[str, int]]]], wanted: int) -> bool:
    for row in updates.get(SWITCH, {}).values():
        if "new" not in row or row["new"].get("cur_cfg", 0) >= wanted:
            return True
    return False


def _report(server: Server, uuids: list[str]) -> bool:
    """Prints what is wrong with new interfaces; whether there is anything."""
    operation = {"op": "select", "table": "Interface", "columns": ["name", "ofport", "error"]}
    operations = [{**operation, "where": [["_uuid", "==", ["uuid", uuid]]]} for uuid in uuids]
    failed = False
    for result in server.transact(operations) if operations else ():
        for row in result["rows"]:
            if row["ofport"] in (-1, ["set", []]):  # refused, or passed over, as a bridge named 'a/b' is
                failed = True
                error = f": {row['error']}" if isinstance(row["error"], str) else ""
                sys.stderr.write(
                    f"ovs-vsctl: Error detected while setting up '{row['name']}'{error}.  "
                    "See ovs-vswitchd log for details.\n"
                )
    return failed


PROFILE: Final = Profile(_tool, "ovs-vsctl", "vsctl", COMMANDS, version, _usage, NEXT, _wait)
