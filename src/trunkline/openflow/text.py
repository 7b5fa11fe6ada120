"""Any message as text, as ``ovs-ofctl ofp-print`` shows it.

The first line names the kind, the version (where it is not 1.0) and the xid; the rest is its family's.  What
cannot be decoded is shown as the error's name and the bytes.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.flow.text import format_match
from trunkline.openflow import async_config, control, flow_text, packets, ports, queues, tables
from trunkline.openflow import messages as m
from trunkline.openflow.codec import Incoming, decode, family_of
from trunkline.openflow.style import PLAIN, Style, hex_dump, port_text, printable, version_suffix
from trunkline.openflow.wire import HEADER, DecodeError, split


def _text_flow_mod(mod: m.FlowMod, version: int, style: Style) -> str:
    return " " + flow_text.format_flow_mod(mod, style, version)


def _text_flow_stats(reply: m.FlowStatsReply, version: int, style: Style) -> str:
    lines = "".join([f"\n {flow_text.format_flow_stats(flow, style)}" for flow in reply.flows])
    return lines + "\n" if lines else ""


def _text_request(request: m.FlowStatsRequest | m.AggregateStatsRequest, version: int, style: Style) -> str:
    text = ""
    if request.table != 0xFF:
        text += f" table={request.table}"
    if request.out_port != 0xFFFF:
        text += f" out_port={port_text(request.out_port, style)}"
    return f"{text} {format_match(request.match, style.context)}"


def _text_aggregate(reply: m.AggregateStatsReply, version: int, style: Style) -> str:
    unknown = 0xFFFFFFFFFFFFFFFF
    packets_, octets = (unknown if value is None else value for value in (reply.packets, reply.bytes))
    return f" packet_count={packets_} byte_count={octets} flow_count={reply.flows}"


def _text_removed(flow: m.FlowRemoved, version: int, style: Style) -> str:
    from trunkline.model.openflow import FLOW_REMOVED_NAMES
    from trunkline.openflow.style import duration_text, table_text

    text = f" {format_match(flow.match, style.context, flow.priority)} reason="
    text += FLOW_REMOVED_NAMES.get(flow.reason, str(flow.reason))
    if flow.table != 0xFF:
        text += f" table_id={table_text(flow.table, style)}"
    if flow.cookie:
        text += f" cookie:0x{flow.cookie:x}"
    text += f" duration{duration_text(flow.duration)} idle{flow.idle_timeout}"
    if flow.hard_timeout:
        text += f" hard{flow.hard_timeout}"
    unknown = 0xFFFFFFFFFFFFFFFF
    packets_, octets = (unknown if value is None else value for value in (flow.packets, flow.bytes))
    return f"{text} pkts{packets_} bytes{octets}\n"


def _text_error(error: m.Error, version: int, style: Style) -> str:
    if not error.error:
        return " ***decode error: OFPBRC_BAD_LEN***\n"
    text = f" {error.error}\n"
    if error.error.startswith("OFPHFC_"):
        return text + printable(error.data) + ("\n" if error.data else "")
    return text + message_text(error.data, Style(1, style.context, style.tables), whole=False)


_BUNDLED: Final[dict[type, str]] = {
    m.FlowMod: "OFPT_FLOW_MOD",
    m.PortMod: "OFPT_PORT_MOD",
    m.PacketOut: "OFPT_PACKET_OUT",
}


def _text_bundle_add(add: m.BundleAdd, version: int, style: Style) -> str:
    from trunkline.model.openflow import BUNDLE_FLAG_NAMES
    from trunkline.openflow.style import c_hex, flags_text

    flags = flags_text(BUNDLE_FLAG_NAMES, add.flags)
    name = _BUNDLED.get(type(add.message), "OFPT_GROUP_MOD")
    if isinstance(add.message, m.Opaque):
        name = add.message.name
    head = f"\n bundle_id={c_hex(add.bundle)} flags={flags}\n"
    head += f"{name}{version_suffix(version)} (xid=0x{add.xid:x}):"
    return head if isinstance(add.message, m.Opaque) else head + _body(add.message, version, style)


def _text_opaque(message: m.Opaque, version: int, style: Style) -> str:
    """NXT_FLOW_AGE, which has no body."""
    return "" if not message.body else f" {len(message.body)} bytes\n{hex_dump(message.body)}"


_TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    **control.TEXT,
    **async_config.TEXT,
    **ports.TEXT,
    **tables.TEXT,
    **queues.TEXT,
    **packets.TEXT,
    m.FlowMod: _text_flow_mod,
    m.FlowStatsReply: _text_flow_stats,
    m.FlowStatsRequest: _text_request,
    m.AggregateStatsRequest: _text_request,
    m.AggregateStatsReply: _text_aggregate,
    m.FlowRemoved: _text_removed,
    m.Error: _text_error,
    m.BundleAdd: _text_bundle_add,
    m.Opaque: _text_opaque,
}


def body_text(incoming: Incoming, style: Style) -> str:
    """What follows the first line's ``NAME (xid=...):``."""
    return _body(incoming.message, incoming.version, style)


def _body(message: object, version: int, style: Style) -> str:
    writer = _TEXT.get(type(message))
    if writer is None:
        family = family_of(message)
        writer = None if family is None else family.TEXT.get(type(message))
    if writer is None:
        return " (not implemented yet)"
    return writer(message, version, style)


_RAW_MATCHES: Final = 3  # from this verbosity on, matches of 1.0 are shown as they stand on the wire


def _raw_match(data: bytes, incoming: Incoming, style: Style) -> str:
    from trunkline.openflow.raw_matches import match10_text, nxm_text

    if incoming.kind == "OFPT_FLOW_MOD":
        return match10_text(data[8:48], style)
    length = int.from_bytes(data[_NX_MATCH_LENGTH : _NX_MATCH_LENGTH + 2], "big")
    return nxm_text(data[_NX_MATCH : _NX_MATCH + length])


_NX_MATCH_LENGTH: Final = 40  # where NXT_FLOW_MOD says how long its match is
_NX_MATCH: Final = 48  # where the match begins


def title(incoming: Incoming) -> str:
    return f"{incoming.kind}{version_suffix(incoming.version)} (xid=0x{incoming.xid:x}):"


def message_text(data: bytes, style: Style = PLAIN, *, whole: bool = True) -> str:
    """One message as text, ending in a newline."""
    if not data:
        return "OpenFlow message is empty\n"
    if len(data) < 8:
        return f"OpenFlow packet too short (only {len(data)} bytes):\n" + hex_dump(data)
    length = int.from_bytes(data[2:4], "big")
    if length > len(data):
        return f"{_title_of(data)}(***truncated to {len(data)} bytes from {length}***)\n" + hex_dump(data)
    if length < len(data):
        return f"(***only uses {length} bytes out of {len(data)}***)\n" + hex_dump(data)
    try:
        incoming = decode(data)
    except DecodeError as error:
        head = _title_of(data, space=" ")
        body = _flags(data) if head else ""
        if error.partial is not None:
            shown = _body(error.partial, data[0], style)
            begun = shown.strip() or isinstance(error.partial, m.PortDescriptionReply)
            body += (shown.rstrip(" ") if begun else "") + error.note
        if isinstance(error.partial, m.BundleAdd):
            body += " "  # what is wrong is wrong with the message within
            return f"{head.rstrip()}{body}***decode error: {error.shown}***\n" + hex_dump(_within(data))
        if body:
            head = head.rstrip() + body + ("" if body.endswith("\n") else "\n")
        return f"{head}***decode error: {error.shown}***\n" + hex_dump(data)
    if isinstance(incoming.message, m.Error) and not incoming.message.error:
        return f"{title(incoming)} ***decode error: OFPBRC_BAD_LEN***\n" + hex_dump(data)
    if isinstance(incoming.message, m.Hello) and not control.hello_is_whole(data[8:]):
        return f"{title(incoming)}{body_text(incoming, style)} unknown data in hello:\n" + hex_dump(data)
    if style.verbosity >= _RAW_MATCHES and incoming.version == 1 and isinstance(incoming.message, m.FlowMod):
        shown = flow_text.format_flow_mod(incoming.message, style, 1, _raw_match(data, incoming, style))
        return f"{title(incoming)} {shown}\n"
    text = (title(incoming) + _flags(data) + body_text(incoming, style)).rstrip(" ")
    if style.verbosity > 4:
        text = text.rstrip("\n") + "\n" + hex_dump(data)
    return text if text.endswith("\n") else text + "\n"


def _within(data: bytes) -> bytes:
    """The message that one is to put into a bundle; 1.3's is an experimenter's, with a longer header."""
    message = data[24 if data[1] == _EXPERIMENTER else 16 :]
    return message[: int.from_bytes(message[2:4], "big")]


_EXPERIMENTER: Final = 4


def _flags(data: bytes) -> str:
    """The flags of a multipart message, where there are any."""
    version, kind, _, _ = HEADER.unpack_from(data)
    if kind not in ((16, 17) if version == 1 else (18, 19)) or len(data) < 12:
        return ""
    flags = int.from_bytes(data[10:12], "big")
    if not flags:
        return ""
    known = flags & 1 if version > 3 or kind in (17, 19) else 0  # requests have flags since 1.3
    unknown = f"[***unknown flags 0x{flags & ~known:04x}***]" if flags & ~known else ""
    return f" flags={'[more]' if known else ''}{unknown}"


def _title_of(data: bytes, space: str = "\n") -> str:
    """The first words for a message whose body is not understood; nothing if even its kind is not."""
    version, _, _, xid = HEADER.unpack_from(data)
    try:
        padded = data if space == " " else data[:2] + len(data).to_bytes(2, "big") + data[4:]
        kind = split(padded).kind
    except DecodeError:
        return ""
    return f"{kind.name}{version_suffix(version)} (xid=0x{xid:x}):{space}"
