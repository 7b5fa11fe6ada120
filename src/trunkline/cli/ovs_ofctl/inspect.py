"""Commands that show what a switch is: its ports, tables and queues, their counters."""

import sys
from collections.abc import Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import AnyMessage, Switch, complain
from trunkline.cli.ovs_ofctl.names import port_called, port_list
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.style import Style, integer, version_suffix
from trunkline.openflow.text import message_text


def print_replies(tool: Tool, name: str, request: AnyMessage, style: Style) -> int:
    """Prints every part of the reply, which may also be an error."""
    switch = Switch(tool, name)
    for raw, _ in switch.replies(request):
        sys.stdout.write(message_text(raw, style))
    switch.close()
    return 0


def show(tool: Tool, arguments: Sequence[str]) -> int:
    style = tool.style(1)
    switch = Switch(tool, arguments[0])
    raw, incoming = switch.ask(m.FeaturesRequest())
    if isinstance(incoming.message, m.Error):
        return complain(raw, tool)
    sys.stdout.write(message_text(raw, style))
    if isinstance(incoming.message, m.FeaturesReply) and incoming.message.ports is None:
        for raw, _ in switch.replies(m.PortDescriptionRequest()):
            sys.stdout.write(message_text(raw, style))
    switch.close()
    return print_replies(tool, arguments[0], m.GetConfigRequest(), style)


def dump_description(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], m.DescriptionRequest(), tool.style(1))


def dump_tables(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], m.TableStatsRequest(), tool.style(1))


def dump_ports(tool: Tool, arguments: Sequence[str]) -> int:
    port = port_called(tool, *arguments) if len(arguments) > 1 else of.OFPP_ANY
    return print_replies(tool, arguments[0], m.PortStatsRequest(port), _ports_named(tool, arguments[0]))


def _ports_named(tool: Tool, name: str) -> Style:
    if not tool.show_names:
        return tool.style(1)
    names = {port.number: port.name for port in port_list(tool, name)}
    return tool.style(1, port_names=names)


def dump_ports_description(tool: Tool, arguments: Sequence[str]) -> int:
    port = of.OFPP_ANY
    if len(arguments) > 1 and arguments[1].upper() != "ANY":
        port = port_called(tool, *arguments)
    style = tool.style(1)
    switch = Switch(tool, arguments[0])
    ports: tuple[m.Port, ...] = ()
    first: bytes = b""
    for raw, incoming in switch.replies(m.PortDescriptionRequest(port)):
        if isinstance(incoming.message, m.Error):
            return complain(raw, tool)
        if isinstance(incoming.message, m.PortDescriptionReply):
            ports += incoming.message.ports
            first = first or raw
    switch.close()
    from trunkline.openflow.ports import TEXT

    xid = int.from_bytes(first[4:8], "big")
    head = f"OFPST_PORT_DESC reply{version_suffix(switch.version)} (xid=0x{xid:x}):"
    sys.stdout.write(
        head + TEXT[m.PortDescriptionReply](m.PortDescriptionReply(ports), switch.version, style)
    )
    return 0


def queue_stats(tool: Tool, arguments: Sequence[str]) -> int:
    port, queue = of.OFPP_ANY, of.OFPQ_ALL
    if len(arguments) > 1 and arguments[1].upper() not in ("ALL", "ANY"):
        port = port_called(tool, arguments[0], arguments[1])
    if len(arguments) > 2 and arguments[2].upper() != "ALL":
        number = integer(arguments[2])
        if number is None:
            raise Failure(f"invalid queue_id '{arguments[2]}'")
        queue = number
    style = _ports_named(tool, arguments[0])
    return print_replies(tool, arguments[0], m.QueueStatsRequest(port, queue), style)
