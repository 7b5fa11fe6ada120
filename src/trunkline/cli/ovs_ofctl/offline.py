"""Commands that need no switch: messages and flows between bytes and text."""

import sys
from collections.abc import Sequence
from typing import Any

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.flows import note, read_flows
from trunkline.cli.ovs_ofctl.names import reading
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.model.openflow import OFPFC_ADD, VERSION_NAMES
from trunkline.model.openflow_errors import ERRORS
from trunkline.openflow import messages as m
from trunkline.openflow.codec import encode
from trunkline.openflow.flow_text import (
    FORMAT_VERSIONS,
    NXM,
    NXM_TID,
    OF10_TID,
    ParsedFlow,
    formats_text,
)
from trunkline.openflow.flow_text import parse_flow as parse_one
from trunkline.openflow.style import hex_dump, integer
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import EncodeError, Framer, Protocol, error_number


def ofp_print(tool: Tool, arguments: Sequence[str]) -> int:
    digits = arguments[0].replace(" ", "").replace(".", "")
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise Failure("trailing garbage following hex bytes") from None
    verbosity = integer(arguments[1]) or 0 if len(arguments) > 1 else 2
    sys.stdout.write(message_text(data, tool.style()._replace(verbosity=verbosity)))
    return 0


def ofp_parse(tool: Tool, arguments: Sequence[str]) -> int:
    path = arguments[0]
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise Failure(f"{path}: open ({error.strerror})") from None
    framer = Framer()
    style = tool.style(1)
    taken = 0
    for raw in framer.feed(data):
        sys.stdout.write(message_text(raw, style))
        taken += len(raw)
    if framer.broken:
        raise Failure(f"{path}: length under 8 in the message at byte {taken}")
    if taken != len(data):
        raise Failure(f"{path}: unexpected end of file mid-message")
    return 0


def parse_flow(tool: Tool, arguments: Sequence[str]) -> int:
    flow = parse_one(arguments[0], OFPFC_ADD, reading(tool, None))
    note(tool, flow)
    return _show(tool, [flow])


def parse_flows(tool: Tool, arguments: Sequence[str]) -> int:
    return _show(tool, list(read_flows(tool, arguments[0], None, reading(tool, None))))


def _show(tool: Tool, flows: list[ParsedFlow]) -> int:
    """Prints the messages of flows in the first format that all can have."""
    formats = sum(FORMAT_VERSIONS)
    for flow in flows:
        formats &= flow.formats
    allowed = tool.formats & sum(bits for bits, v in FORMAT_VERSIONS.items() if tool.versions >> v & 1)
    sys.stdout.write(f"usable protocols: {formats_text(formats)}\n")
    if not formats & allowed:
        raise Failure("no usable protocol")
    chosen = next(bits for bits in FORMAT_VERSIONS if formats & allowed & bits)
    sys.stdout.write(f"chosen protocol: {formats_text(chosen)}\n")
    protocol = Protocol(
        FORMAT_VERSIONS[chosen], bool(chosen & (NXM | NXM_TID)), bool(chosen & (OF10_TID | NXM_TID))
    )
    style = tool.style()
    for flow in flows:
        sys.stdout.write(message_text(encode(protocol, flow.mod, tool.next_xid())[0], style))
    return 0


def parse_group(tool: Tool, arguments: Sequence[str]) -> int:
    from trunkline.openflow.groups import OFPGC_ADD
    from trunkline.openflow.groups_text import parse_group as parse_one_group

    group = parse_one_group(arguments[0], OFPGC_ADD, reading(tool, None))
    allowed = tool.formats & sum(bits for bits, v in FORMAT_VERSIONS.items() if tool.versions >> v & 1)
    sys.stdout.write(f"usable protocols: {formats_text(group.formats)}\n")
    if not group.formats & allowed:
        raise Failure("no usable protocol")
    version = next(v for bits, v in FORMAT_VERSIONS.items() if group.formats & allowed & bits)
    sys.stdout.write(f"chosen version: {VERSION_NAMES[version]}\n")
    message: Any = group.mod
    raw = encode(Protocol(version), message, tool.next_xid())[0]
    sys.stdout.write(message_text(raw, tool.style()))
    return 0


def parse_key_value(tool: Tool, arguments: Sequence[str]) -> int:
    from trunkline.flow.text import key_values

    for text in arguments:
        words = [key if value is None else f"{key}={value}" for key, value in key_values(text)]
        sys.stdout.write(", ".join(words) + "\n")
    return 0


# ---- errors and hellos ----


def print_error(tool: Tool, arguments: Sequence[str]) -> int:
    name = arguments[0]
    if all(error.name != name for error in ERRORS):
        raise Failure(f'unknown error "{name}"')
    for version, title in VERSION_NAMES.items():
        try:
            vendor, kind, code = error_number(version, name)
        except (EncodeError, KeyError):
            vendor, kind, code = 0, -1, -1
        shown = f"0x{vendor:x}" if vendor else "0"
        sys.stdout.write(f"OpenFlow {title[8]}.{title[9]}: vendor {shown}, type {kind}, code {code}\n")
    return 0


def encode_error_reply(tool: Tool, arguments: Sequence[str]) -> int:
    name, digits = arguments
    if all(error.name != name for error in ERRORS):
        raise Failure(f'unknown error "{name}"')
    data = bytes.fromhex(digits)
    xid = int.from_bytes(data[4:8], "big")
    raw = encode(Protocol(data[0]), m.Error(name, data[:64]), xid)[0]
    sys.stdout.write(_plain_dump(raw))
    return 0


def encode_hello(tool: Tool, arguments: Sequence[str]) -> int:
    versions = integer(arguments[0]) or 0
    if not 2 <= versions < 1 << 7:
        raise Failure(f"{arguments[0]}: no OpenFlow version in this bitmap")
    raw = encode(Protocol(versions.bit_length() - 1), m.Hello(versions), 1)[0]
    sys.stdout.write(_plain_dump(raw) + message_text(raw, tool.style()))
    return 0


def _plain_dump(data: bytes) -> str:
    return "".join(f"{line.partition('|')[0].rstrip(' -')}\n" for line in hex_dump(data).splitlines())
