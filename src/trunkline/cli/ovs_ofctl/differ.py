"""diff-flows and replace-flows: two sets of flows beside each other."""

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from trunkline.cli.ovs_ofctl.connection import Switch, listed_flows, with_format
from trunkline.cli.ovs_ofctl.flows import read_flows, send_flow_mods
from trunkline.cli.ovs_ofctl.names import reading, writing
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.match import Match
from trunkline.flow.text import format_match
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow import messages as m
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.consistency import check
from trunkline.openflow.flow_text import (
    ANY,
    FORMAT_VERSIONS,
    NXM,
    NXM_TID,
    ParsedFlow,
    match_formats,
)
from trunkline.openflow.style import Style


class _Flow(NamedTuple):
    """What two flows with one match must agree on."""

    cookie: int
    idle_timeout: int
    hard_timeout: int
    importance: int
    flags: int
    actions: tuple[a.Action, ...]


_Key = tuple[int, int, Match]  # table, priority, match
_Flows = dict[_Key, _Flow]


def _of_file(tool: Tool, path: str, name: str | None) -> _Flows:
    flows: _Flows = {}
    for parsed in read_flows(tool, path, of.OFPFC_ADD, reading(tool, name)):
        mod = parsed.mod
        table = 0 if mod.table == 0xFF else mod.table
        flows[table, mod.priority, mod.match] = _Flow(
            mod.new_cookie or 0, mod.idle_timeout, mod.hard_timeout, mod.importance, 0, mod.actions
        )
    return flows


def _of_switch(tool: Tool, name: str) -> _Flows:
    switch = Switch(tool, name)
    with_format(switch, NXM if switch.version == 1 else tool.formats)
    flows: _Flows = {}
    for raw, incoming in switch.replies(m.FlowStatsRequest(Match())):
        for flow in listed_flows(raw, incoming.message, tool):
            flows[flow.table, flow.priority, flow.match] = _Flow(
                flow.cookie, flow.idle_timeout, flow.hard_timeout, flow.importance, 0, flow.actions
            )
    switch.close()
    return flows


def _is_file(source: str) -> bool:
    if source.startswith(("/", ".")):
        return True
    return ":" not in source and os.path.exists(source)


def _text(key: _Key, flow: _Flow, style: Style) -> str:
    table, priority, match = key
    words = [f"table={table}"] if table else []
    words.append(format_match(match, style.context, priority))  # in its place though it be empty
    if flow.cookie:
        words.append(f"cookie=0x{flow.cookie:x}")
    if flow.idle_timeout:
        words.append(f"idle_timeout={flow.idle_timeout}")
    if flow.hard_timeout:
        words.append(f"hard_timeout={flow.hard_timeout}")
    if flow.importance:
        words.append(f"importance={flow.importance}")
    return " ".join([*words, f"actions={format_actions(flow.actions, style)}"])


def _order(key: _Key) -> tuple[int, int, int, int]:
    table, priority, match = key
    return table, -priority, match.mask, match.value


def diff_flows(tool: Tool, arguments: Sequence[str]) -> int:
    sides = []
    switch = next((source for source in arguments if not _is_file(source)), None)
    for source in arguments:
        sides.append(_of_file(tool, source, switch) if _is_file(source) else _of_switch(tool, source))
    style = writing(tool, switch)
    differ = False
    first, second = sides
    for key in sorted({*first, *second}, key=_order):
        old, new = first.get(key), second.get(key)
        if old == new:
            continue
        differ = True
        if old is not None:
            sys.stdout.write(f"-{_text(key, old, style)}\n")
        if new is not None:
            sys.stdout.write(f"+{_text(key, new, style)}\n")
    return 2 if differ else 0


def replace_flows(tool: Tool, arguments: Sequence[str]) -> int:
    name, path = arguments
    wanted = _of_file(tool, path, name)
    present = _of_switch(tool, name)
    mods: list[ParsedFlow] = []
    for key in present:
        if key not in wanted:
            mods.append(_mod(of.OFPFC_DELETE_STRICT, key, present[key]))
    for key, flow in wanted.items():
        if tool.readd or present.get(key) != flow:
            mods.append(_mod(of.OFPFC_ADD, key, flow))
    return send_flow_mods(tool, name, mods) if mods else 0


def _mod(command: int, key: _Key, flow: _Flow) -> ParsedFlow:
    table, priority, match = key
    deletes = command == of.OFPFC_DELETE_STRICT
    mod = m.FlowMod(
        command,
        match,
        priority,
        table,
        () if deletes else flow.actions,
        new_cookie=None if deletes else flow.cookie,
        idle_timeout=0 if deletes else flow.idle_timeout,
        hard_timeout=0 if deletes else flow.hard_timeout,
        importance=0 if deletes else flow.importance,
    )
    formats = match_formats(match)
    if not deletes:
        formats &= check(flow.actions, match, ANY, table).formats
    if table:
        formats &= sum(FORMAT_VERSIONS) & ~(NXM | 1)
    return ParsedFlow(mod, formats | NXM_TID, ())
