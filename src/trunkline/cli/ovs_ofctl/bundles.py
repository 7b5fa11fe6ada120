"""Bundles: several changes to flows and groups, and packets to send, that a switch makes all or not at all.

Open, add each, wait until the switch has looked at all, commit.  Every error is shown with its message.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import AnyMessage, Switch
from trunkline.cli.ovs_ofctl.names import reading
from trunkline.cli.ovs_ofctl.packets import parse_packet_out
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.values import TextError
from trunkline.io.files import lines_of_text
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import ActionContext
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups import OFPGC_INSERT_BUCKET, OFPGC_REMOVE_BUCKET, GroupMod
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.text import message_text

VERSIONS = 1 << 4 | 1 << 5 | 1 << 6


def bundle(tool: Tool, arguments: Sequence[str]) -> int:
    name, path = arguments
    context = reading(tool, name)
    messages = [_parse_line(path, number, line, context) for number, line in read_lines(path)]
    return send_bundle(tool, name, messages)


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that say something, with their numbers.  Raises Failure."""
    try:
        yield from lines_of_text(path)
    except OSError as error:
        raise Failure(f"{path}: open failed ({error.strerror})") from None


def _parse_line(path: str, number: int, line: str, context: ActionContext) -> AnyMessage:
    kind, _, rest = line.partition(" ")
    rest = rest.strip()
    try:
        if kind == "flow":
            return parse_flow(rest, None, context).mod
        if kind == "group":
            return parse_group(rest, None, context).mod
        if kind == "packet-out":
            return parse_packet_out(rest, context)
    except TextError as error:
        raise Failure(f"{path}:{number}: {error}") from None
    raise Failure(f"{path}:{number}: Unsupported bundle message type: {kind}")


def check_version(message: AnyMessage, version: int) -> None:
    """Raises Failure for a change of single buckets in versions that know whole groups only."""
    word = _BUCKETS.get(message.command) if isinstance(message, GroupMod) else None
    if word is not None and 1 < version < 6:
        raise Failure(f"{word}-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')")


_BUCKETS: Final = {OFPGC_INSERT_BUCKET: "insert", OFPGC_REMOVE_BUCKET: "remove"}


def send_bundle(tool: Tool, name: str, messages: Sequence[AnyMessage]) -> int:
    switch = Switch(tool, name, tool.versions & VERSIONS or 1 << 5)
    for message in messages:
        check_version(message, switch.version)
    flags = of.OFPBF_ATOMIC | of.OFPBF_ORDERED
    sent: dict[int, Any] = {tool.next_xid(): message for message in messages}
    adds = [
        encode(switch.protocol, m.BundleAdd(0, flags, xid, message), xid)[0] for xid, message in sent.items()
    ]
    errors = _step(switch, m.BundleControl(0, of.OFPBCT_OPEN_REQUEST, flags), sent)
    if not errors:
        switch.write(b"".join(adds))
        errors += _step(switch, m.BarrierRequest(), sent)
        errors += _step(switch, m.BundleControl(0, of.OFPBCT_COMMIT_REQUEST, flags), sent)
    switch.close()
    if errors:
        raise Failure(f"talking to {switch.target} (Protocol error)")
    return 0


def _step(switch: Switch, message: AnyMessage, sent: dict[int, Any]) -> int:
    """Sends a message and waits for its answer; shows the errors that come, and counts them."""
    xid = switch.send(message)
    sent[xid] = message
    errors = 0
    while True:
        _, incoming = switch.receive()
        if isinstance(incoming.message, m.Error):
            errors += 1
            of_what = sent.get(incoming.xid)
            raw = encode(switch.protocol, of_what, incoming.xid)[0] if of_what is not None else b""
            shown = message_text(raw, switch.tool.style()._replace(verbosity=1))
            sys.stderr.write(f"Error {incoming.message.error} for: {shown}")
        if incoming.xid == xid:
            return errors
