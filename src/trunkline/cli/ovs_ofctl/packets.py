"""packet-out: sends packets through actions."""

from collections.abc import Sequence
from typing import Final

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch, complain
from trunkline.cli.ovs_ofctl.names import reading
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.match import match
from trunkline.flow.text import Draft, finish, key_values, set_word
from trunkline.flow.values import TextError, parse_port
from trunkline.model.fields import FIELD
from trunkline.model.openflow import OFPP_NONE
from trunkline.openflow import messages as m
from trunkline.openflow.actions_text import ActionContext, parse_actions


def packet_out(tool: Tool, arguments: Sequence[str]) -> int:
    name = arguments[0]
    context = reading(tool, name)
    if len(arguments) == 2:
        messages = [parse_packet_out(arguments[1], context)]
    else:
        if len(arguments) < 4:
            raise Failure(f"Too many arguments ({len(arguments) + 1})")
        actions = parse_actions(arguments[2], context)
        port = _in_port(arguments[1], context)
        messages = [m.PacketOut(_packet(text), match(in_port=port), actions) for text in arguments[3:]]
    switch = Switch(tool, name)
    for message in messages:
        error = switch.transact(message)
        if error is not None:
            return complain(error, tool)
    switch.close()
    return 0


def _in_port(word: str, context: ActionContext) -> int:
    port = parse_port(word, context.text)
    if port is None:
        raise TextError(f"{word} is not a valid OpenFlow port")
    return port


def _packet(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise TextError("Trailing garbage in packet data") from None
    if len(data) < 14:
        raise TextError("Packet data too short for Ethernet")
    return data


def parse_packet_out(text: str, context: ActionContext) -> m.PacketOut:
    """A packet-out as text: in_port, pipeline fields, the packet in hexadecimal, and actions at the end."""
    head, found, actions = text.partition("actions=")
    port, data = None, None
    draft = Draft()
    for key, value in key_values(head):
        if not value:
            raise TextError(f"field {key} missing value")
        if key == "in_port":
            port = _in_port(value, context)
        elif key == "packet":
            try:
                data = _packet(value)
            except TextError as error:
                raise TextError(f"packet: {error}") from None
        elif key in FIELD:
            if not FIELD[key].name.startswith(_PIPELINE):
                raise TextError(f"{key} is not a valid pipeline field for PACKET_OUT")
            set_word(draft, key, value, context.text)
        else:
            raise TextError(f"unknown keyword {key}")
    if data is None:
        raise TextError("must specify packet")
    draft.assign("in_port", OFPP_NONE if port is None else port, 0xFFFF)
    return m.PacketOut(data, finish(draft), parse_actions(actions, context) if found else ())


_PIPELINE: Final = ("reg", "xreg", "xxreg", "tun_", "metadata", "in_port", "packet_type")
