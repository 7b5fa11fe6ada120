"""All control commands of the switch core in one list, for the daemon that registers them."""

from trunkline.jsonrpc.unixctl import Command
from trunkline.upcall.commands import Datapaths, commands
from trunkline.upcall.conntrack import conntrack_commands
from trunkline.upcall.datapath_commands import datapath_commands
from trunkline.upcall.datapath_ports import port_commands
from trunkline.upcall.dpctl import dpctl_commands
from trunkline.upcall.dpctl_flows import ReadFile
from trunkline.upcall.poll_mode import poll_mode_commands
from trunkline.upcall.trace import trace_commands


def every_command(datapaths: Datapaths, read_file: ReadFile | None = None) -> list[Command]:
    """Commands on these datapaths (by type) and their bridges, as they are when a command comes."""
    return [
        *commands(datapaths),
        *datapath_commands(datapaths),
        *dpctl_commands(datapaths, read_file=read_file),
        *poll_mode_commands(datapaths),
        *port_commands(datapaths),
        *conntrack_commands(datapaths),
        *trace_commands(datapaths),
    ]
