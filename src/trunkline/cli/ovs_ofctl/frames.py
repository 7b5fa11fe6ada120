"""Commands for the laboratory about packets: from a flow to a frame, and from a frame to its flow."""

import sys
from collections.abc import Sequence
from typing import Final

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.capture import Unreadable, frames
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.exact import parse_exact
from trunkline.flow.key import VLAN_CFI, get, put
from trunkline.flow.key_text import format_flow
from trunkline.flow.values import TextError
from trunkline.openflow.packets import packet_text
from trunkline.openflow.style import plain_hex_dump
from trunkline.packet.build import build
from trunkline.packet.parse import parse

_NO_PORT: Final = 0xFFFF


def compose_packet(tool: Tool, arguments: Sequence[str]) -> int:
    """``compose-packet FLOW [L7]``: the frame that has just these fields, its payload in hexadecimal."""
    flow = arguments[0]
    try:
        key = parse_exact(flow).value
    except TextError as error:
        raise Failure(f"{flow}: {error}") from None
    payload = _payload(arguments[1]) if len(arguments) > 1 else None
    for tci, tpid in (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid")):
        if get(key, tci) & VLAN_CFI:
            key = put(key, tpid, 0x8100)
    frame = build(key, payload)
    sys.stdout.write(plain_hex_dump(frame).rstrip("-\n") + "\n")
    sys.stdout.flush()
    found = put(parse(frame), "in_port", _NO_PORT)
    if found == key:
        return 0
    texts = f"specified: {format_flow(key)}\nextracted: {format_flow(found)}"
    sys.stderr.write(f"specified and extracted flows differ:\n{texts}")
    return 1


def _payload(text: str) -> bytes:
    digits = text.replace(" ", "")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise Failure(f"{text}: trailing garbage in packet data") from None


def parse_packet(tool: Tool, arguments: Sequence[str]) -> int:
    """The flow of the frame that stands on the standard input, as bytes."""
    sys.stdout.write(packet_text(sys.stdin.buffer.read(), tool.style()))
    return 0


def parse_pcap(tool: Tool, arguments: Sequence[str]) -> int:
    """The flow of each frame of captures, a line each."""
    status = 0
    for path in arguments:
        try:
            for _, frame in frames(tool, path):
                key = put(parse(frame), "in_port", _NO_PORT)
                sys.stdout.write(f"{format_flow(key)}\n")
        except Unreadable as error:
            sys.stdout.flush()
            sys.stderr.write(f"ovs-ofctl: {error}\n")
            status = error.status
    return status
