"""Names of a switch's ports and tables: how they are read in flows and shown.

A switch is asked for them once, on a connection of its own, and only where they are needed.
"""

from collections.abc import Iterator
from typing import NamedTuple

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.values import TextContext, parse_port
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import ActionContext
from trunkline.openflow.style import Style


class Names(NamedTuple):
    ports: dict[int, str]
    port_numbers: dict[str, int]
    tables: dict[int, str]


def port_list(tool: Tool, name: str, versions: int = 0) -> tuple[m.Port, ...]:
    """All ports of a switch, asked for once and on a connection of its own."""
    if name not in tool.ports:
        tool.ports[name] = _ask_ports(tool, name, versions)
    return tool.ports[name]


def port_called(tool: Tool, name: str, word: str) -> int:
    """A port by number, or by its name, which may be in double quotes, as the switch knows it.

    Raises Failure.
    """
    port = parse_port(word, TextContext(warn=tool.warn))
    if port is None:
        numbers = {port.name: port.number for port in port_list(tool, name)}
        port = parse_port(word, TextContext(port_numbers=numbers))
    if port is None:
        raise Failure(f"{name}: unknown port `{word}'")
    return port


def _ask_ports(tool: Tool, name: str, versions: int) -> tuple[m.Port, ...]:
    switch = Switch(tool, name, versions)
    try:
        message = None
        if switch.version < 4:  # from 1.3 on features have no ports
            message = switch.ask(m.FeaturesRequest())[1].message
        if isinstance(message, m.FeaturesReply) and message.ports is not None and len(message.ports) < 1000:
            return message.ports
        ports: tuple[m.Port, ...] = ()
        for _, part in switch.replies(m.PortDescriptionRequest()):
            if isinstance(part.message, m.PortDescriptionReply):
                ports += part.message.ports
        return ports
    finally:
        switch.close()


def table_names(tool: Tool, name: str) -> dict[int, str]:
    """The names of a switch's tables, asked for once and on a connection of its own."""
    if name not in tool.tables:
        tool.tables[name] = _ask_table_names(tool, name)
    return tool.tables[name]


def _ask_table_names(tool: Tool, name: str) -> dict[int, str]:
    """1.0 to 1.2 tell them with statistics, later versions with features."""
    switch = Switch(tool, name)
    try:
        if switch.version >= 4:
            from trunkline.openflow.table_abilities import TableFeaturesRequest

            return _names_in_features(switch.raw_replies(TableFeaturesRequest()))
        found: dict[int, str] = {}
        for _, part in switch.replies(m.TableStatsRequest()):
            if isinstance(part.message, m.TableStatsReply):
                found.update({t.table: t.name for t in part.message.tables if t.name})
        return found
    finally:
        switch.close()


def _names_in_features(replies: Iterator[bytes]) -> dict[int, str]:
    """Just the names: a switch tells hundreds of properties of 254 tables, which take long to read."""
    found: dict[int, str] = {}
    for raw in replies:
        at = 16
        while at + 40 <= len(raw):
            length = int.from_bytes(raw[at : at + 2], "big")
            name = raw[at + 8 : at + 40].partition(b"\0")[0].decode(errors="replace")
            if name:
                found[raw[at + 2]] = name
            at += max(length, 8)
    return found


def names_of(tool: Tool, name: str) -> Names:
    tables = table_names(tool, name)
    ports: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for port in port_list(tool, name):
        ports[port.number] = port.name
        numbers.setdefault(port.name, port.number)
    return Names(ports, numbers, tables)


def reading(tool: Tool, name: str | None) -> ActionContext:
    """How names in flows are to be read for the switch `name`."""
    if name is None or not tool.accept_names:
        return ActionContext(TextContext(warn=tool.warn))
    names = names_of(tool, name)
    by_name = {text: number for number, text in names.tables.items()}
    return ActionContext(TextContext(port_numbers=names.port_numbers, warn=tool.warn), by_name)


def reading_tables(tool: Tool, name: str) -> ActionContext:
    """As `reading`, where only tables have names."""
    if not tool.accept_names:
        return ActionContext(TextContext(warn=tool.warn))
    by_name = {text: number for number, text in table_names(tool, name).items()}
    return ActionContext(TextContext(warn=tool.warn), by_name)


def writing(tool: Tool, name: str | None) -> Style:
    """How numbers in flows are to be shown for the switch `name`."""
    if name is None or not tool.show_names:
        return tool.style()._replace(statistics=tool.statistics)
    names = names_of(tool, name)
    style = tool.style(port_names=names.ports)
    return style._replace(tables=names.tables, statistics=tool.statistics)
