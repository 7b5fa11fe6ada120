"""Commands about flows: dumping, adding, changing, deleting."""

import gc
import sys
from collections.abc import Iterator, Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch, complain, listed_flows, with_format
from trunkline.cli.ovs_ofctl.names import reading, writing
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.match import Match
from trunkline.flow.values import TextError
from trunkline.io.files import lines_of_text
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import ActionContext
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import (
    ANY_NXM,
    ANY_OF10,
    FORMAT_VERSIONS,
    NXM,
    OF10,
    ParsedFlow,
    format_flow_stats,
    formats_text,
    parse_flow,
    parse_request,
)
from trunkline.openflow.text import body_text, message_text, title
from trunkline.openflow.wire import Protocol

_CHUNK = 256 * 1024


def usable_formats(tool: Tool, formats: int) -> int:
    """`formats` that the options allow.  Raises Failure."""
    allowed = tool.formats & sum(bits for bits, v in FORMAT_VERSIONS.items() if tool.versions >> v & 1)
    if not formats & allowed:
        raise Failure(
            f"none of the usable flow formats ({formats_text(formats)}) is among the allowed flow formats "
            f"({formats_text(allowed)})"
        )
    return formats & allowed


def note(tool: Tool, flow: ParsedFlow) -> None:
    """Says what was left out of the match, of the first few flows."""
    logger = tool.log.module("ofp_match")
    if flow.notes and tool.notes.admit(tool.log.clock.monotonic()):
        for line in flow.notes:
            logger.info("%s", line)


# ---- dumping ----


def _request(tool: Tool, arguments: Sequence[str]) -> tuple[ParsedFlow, int]:
    if len(arguments) > 1:
        flow = parse_request(arguments[1], reading(tool, arguments[0]))
        note(tool, flow)
        if not flow.formats:
            usable_formats(tool, flow.formats)
    else:
        flow = ParsedFlow(m.FlowMod(of.OFPFC_DELETE, Match()), -1, ())
    formats = tool.formats & (flow.formats | (OF10 if flow.formats & ANY_OF10 else 0))
    return flow, formats


def _dump_format(switch: Switch, formats: int) -> None:
    """For questions the richest format is best: NXM where 1.0 is spoken."""
    if switch.version == 1 and formats & ANY_NXM:
        with_format(switch, NXM)
    else:
        with_format(switch, formats & ~ANY_NXM if switch.version == 1 else formats)


def dump_flows(tool: Tool, arguments: Sequence[str]) -> int:
    gc.disable()  # flows by the 100,000 are no garbage, and looking through them would cost a twentieth
    flow, formats = _request(tool, arguments)
    whole = bool(tool.sort) or not tool.statistics or tool.show_names
    style = writing(tool, arguments[0])
    mod = flow.mod
    switch = Switch(tool, arguments[0])
    _dump_format(switch, formats)
    request = m.FlowStatsRequest(
        mod.match, mod.table, mod.cookie, mod.cookie_mask, mod.out_port, mod.out_group
    )
    flows: list[m.FlowStats] = []
    for raw, incoming in switch.replies(request):
        message = incoming.message
        if whole:
            flows += listed_flows(raw, message, tool)
        elif isinstance(message, m.FlowStatsReply):
            sys.stdout.write(title(incoming) + (body_text(incoming, style) or "\n"))
        else:
            sys.stdout.write(message_text(raw, style))
    switch.close()
    if whole:
        _sort(flows, tool.sort)
        lines = [f" {format_flow_stats(_ageless(flow), style)}\n" for flow in flows]
        sys.stdout.write("".join(lines))
    return 0


def _ageless(flow: m.FlowStats) -> m.FlowStats:
    """The form that lists flows leaves ages out."""
    return flow._replace(idle_age=None, hard_age=None)


def _sort(flows: list[m.FlowStats], criteria: list[tuple[str, bool]]) -> None:
    """Sorts by each criterion; flows without a field come after those that have it."""
    from trunkline.flow.key import VIEW
    from trunkline.flow.match import satisfied
    from trunkline.model.fields import FIELD

    for name, descending in reversed(criteria):
        if name == "priority":
            flows.sort(key=lambda flow: flow.priority, reverse=descending)
            continue
        field = FIELD[name]
        view = VIEW[field.name]
        having = [
            flow
            for flow in flows
            if flow.match.mask & view.mask and satisfied(flow.match, field.prerequisite)
        ]
        kept = {id(flow) for flow in having}
        having.sort(key=lambda flow: flow.match.value >> view.shift & view.ones, reverse=descending)
        flows[:] = having + [flow for flow in flows if id(flow) not in kept]


def dump_aggregate(tool: Tool, arguments: Sequence[str]) -> int:
    flow, formats = _request(tool, arguments)
    mod = flow.mod
    switch = Switch(tool, arguments[0])
    _dump_format(switch, formats)
    request = m.AggregateStatsRequest(
        mod.match, mod.table, mod.cookie, mod.cookie_mask, mod.out_port, mod.out_group
    )
    for raw, _ in switch.replies(request):
        sys.stdout.write(message_text(raw, tool.style()))
    return 0


# ---- changing ----


def add_flow(tool: Tool, arguments: Sequence[str]) -> int:
    return _flow_mod(tool, arguments, of.OFPFC_ADD)


def add_flows(tool: Tool, arguments: Sequence[str]) -> int:
    return _flow_mod_file(tool, arguments[0], arguments[1], None)


def mod_flows(tool: Tool, arguments: Sequence[str]) -> int:
    return _flow_mod(tool, arguments, of.OFPFC_MODIFY_STRICT if tool.strict else of.OFPFC_MODIFY)


def del_flows(tool: Tool, arguments: Sequence[str]) -> int:
    return _flow_mod(tool, arguments, of.OFPFC_DELETE_STRICT if tool.strict else of.OFPFC_DELETE)


def _flow_mod(tool: Tool, arguments: Sequence[str], command: int) -> int:
    if len(arguments) > 1 and arguments[1] == "-":
        return _flow_mod_file(tool, arguments[0], "-", command)
    text = arguments[1] if len(arguments) > 1 else ""
    flow = parse_flow(text, command, reading(tool, arguments[0]))
    note(tool, flow)
    return send_flow_mods(tool, arguments[0], [flow])


def _flow_mod_file(tool: Tool, name: str, path: str, command: int | None) -> int:
    gc.disable()  # as in dump_flows
    flows = list(read_flows(tool, path, command, reading(tool, name)))
    return send_flow_mods(tool, name, flows)


def read_flows(tool: Tool, path: str, command: int | None, context: ActionContext) -> Iterator[ParsedFlow]:
    """The flows of a file, a line each; comments begin with #.  Raises Failure."""
    try:
        for number, text in lines_of_text(path):
            try:
                flow = parse_flow(text, command, context)
            except TextError as error:
                shown, _, warning = str(error).partition("\0")
                if warning:
                    tool.warn("ofp_actions", warning)
                raise Failure(f"{path}:{number}: {shown}") from None
            note(tool, flow)
            yield flow
    except OSError as error:
        raise Failure(f"{path}: open failed ({error.strerror})") from None


def send_flow_mods(tool: Tool, name: str, flows: list[ParsedFlow]) -> int:
    """Sends flow-mods in a format that all can have.  The exit status."""
    formats = -1
    for flow in flows:
        formats &= flow.formats
    if tool.bundle:
        from trunkline.cli.ovs_ofctl.bundles import send_bundle

        return send_bundle(tool, name, [flow.mod for flow in flows])
    formats = usable_formats(tool, formats & sum(FORMAT_VERSIONS))
    switch = Switch(tool, name)
    with_format(switch, formats)
    pending: list[bytes] = []
    size = 0
    for flow in flows:
        data = encode(switch.protocol, _with_cookie(flow.mod, switch.protocol), tool.next_xid())[0]
        pending.append(data)
        size += len(data)
        if size > _CHUNK:
            switch.write(b"".join(pending))
            pending, size = [], 0
    if pending:
        switch.write(b"".join(pending))
    error = switch.barrier()
    switch.close()
    return 0 if error is None else complain(error, tool)


def _with_cookie(mod: m.FlowMod, protocol: Protocol) -> m.FlowMod:
    """In 1.0 a change of flows always gives them a cookie: 0, if the line names none."""
    return mod._replace(new_cookie=0) if protocol.version == 1 and mod.new_cookie is None else mod
