"""Messages to bytes and back: the tables of every family in one place.

`decode` takes a whole message and returns an Incoming; `encode` takes a record and returns one message, or
several where a reply is longer than a message can be.  What has a kind but no decoder comes as `Opaque`.

Families that most connections never meet (groups, meters, flow monitors, ...) are modules of their own, with
records, wire form and text side by side; they are loaded when their first message is met.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from struct import error as StructError
from types import ModuleType
from typing import Any, Final, NamedTuple

from trunkline.openflow import async_config, control, flows, packets, ports, queues, tables
from trunkline.openflow import messages as m
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol, join, split

_DECODE: Final = {
    **control.DECODE,
    **async_config.DECODE,
    **ports.DECODE,
    **tables.DECODE,
    **queues.DECODE,
    **flows.DECODE,
    **packets.DECODE,
}
_ENCODE: Final = {
    **control.ENCODE,
    **async_config.ENCODE,
    **ports.ENCODE,
    **tables.ENCODE,
    **queues.ENCODE,
    **flows.ENCODE,
    **packets.ENCODE,
}
_ENCODE_PARTS: Final = {
    **ports.ENCODE_PARTS,
    **tables.ENCODE_PARTS,
    **queues.ENCODE_PARTS,
    **flows.ENCODE_PARTS,
}
_BUNDLED: Final = frozenset(
    {"OFPT_FLOW_MOD", "OFPT_PORT_MOD", "OFPT_GROUP_MOD", "OFPT_PACKET_OUT", "NXT_FLOW_MOD", "NXT_GROUP_MOD"}
)
_MOST: Final = 0xFFFF - 64  # a part of a reply keeps below this


# The family of a kind by its name after the prefix (OFPT_, NXST_, ...), or by that name's first word.
_FAMILIES: Final = {
    "GROUP": "groups",
    "METER": "meters",
    "FLOW": "monitors",
    "TLV": "tunnel_table",
    "CT": "flushes",
    "IPFIX": "ipfix",
    "RESUME": "continuations",
    "REQUESTFORWARD": "notices",
    "TABLE": "notices",
    "TABLE_FEATURES": "table_abilities",
}


def family_of(message: object) -> ModuleType | None:
    """The module of a record that belongs to a family of its own, None for the others."""
    module = type(message).__module__
    return None if module == m.__name__ else sys.modules[module]


class Incoming(NamedTuple):
    version: int
    xid: int
    message: m.Message
    kind: str  # the name in the table of messages
    more: bool  # further parts of a multipart message follow


def decode(data: bytes, *, table_id: bool = True) -> Incoming:
    """Decodes a whole message.  Raises DecodeError and nothing else.

    `table_id`: the command of a 1.0 flow-mod carries a table (see `messages.FlowModTableId`).
    """
    envelope = split(data)
    message = read(envelope, table_id)
    return Incoming(envelope.version, envelope.xid, message, envelope.kind.name, envelope.more)


def read(envelope: Envelope, table_id: bool = True) -> m.Message:
    """The message in an envelope; otherwise as `decode`."""
    try:
        return _decode_body(envelope, table_id)
    except StructError:
        raise DecodeError("OFPBRC_BAD_LEN", envelope.kind.name) from None


def _decode_body(envelope: Envelope, table_id: bool) -> m.Message:
    name = envelope.kind.name
    if name.endswith("T_FLOW_MOD"):
        return flows.decode_flow_mod(envelope, table_id)
    decoder = _DECODE.get(name)
    if decoder is not None:
        return decoder(envelope)
    if name.endswith("_BUNDLE_ADD_MESSAGE"):
        return _decode_bundle_add(envelope)
    rest = name.partition("_")[2]
    first = rest.partition(" ")[0]
    family = _FAMILIES.get(first) or _FAMILIES.get(first.partition("_")[0])
    if family is not None:
        late: Callable[[Envelope], m.Message] | None
        late = import_module(f"trunkline.openflow.{family}").DECODE.get(rest)
        if late is not None:
            return late(envelope)
    return m.Opaque(name, envelope.body)


def _decode_bundle_add(envelope: Envelope) -> m.BundleAdd:
    body = envelope.body
    bundle, flags = int.from_bytes(body[:4], "big"), int.from_bytes(body[6:8], "big")
    if len(body) < 16:
        raise DecodeError("OFPBFC_MSG_BAD_LEN")
    if body[8] != envelope.version:
        raise DecodeError("OFPBFC_BAD_VERSION")
    length = int.from_bytes(body[10:12], "big")
    if length < 8 or 8 + length > len(body):
        raise DecodeError("OFPBFC_MSG_BAD_LEN")
    inner = split(body[8 : 8 + length])
    if inner.xid != envelope.xid:
        raise DecodeError("OFPBFC_MSG_BAD_XID")
    if inner.kind.name not in _BUNDLED:
        raise DecodeError("OFPBFC_MSG_UNSUP", inner.kind.name)
    try:
        message = _decode_body(inner, True)
    except (DecodeError, StructError) as error:
        problem = error if isinstance(error, DecodeError) else DecodeError("OFPBRC_BAD_LEN", inner.kind.name)
        unread = m.Opaque(inner.kind.name, inner.body)
        problem.partial, problem.note = m.BundleAdd(bundle, flags, inner.xid, unread), ""
        raise problem from None
    return m.BundleAdd(bundle, flags, inner.xid, message)


def encode(protocol: Protocol, message: m.Message, xid: int) -> list[bytes]:
    """`message` as one or more whole messages.  Raises EncodeError."""
    version = protocol.version
    encoder: Any = _ENCODE.get(type(message))
    parts: Any = _ENCODE_PARTS.get(type(message))
    if encoder is None and parts is None:
        family = family_of(message)
        if family is not None:
            encoder, parts = family.ENCODE.get(type(message)), family.ENCODE_PARTS.get(type(message))
    try:
        if encoder is not None:
            name, body = encoder(protocol, message)
            return [join(version, name, xid, body)]
        if parts is not None:
            name, bodies = parts(protocol, message)
            return _parted(version, name, xid, bodies, bool(getattr(message, "more", False)))
        if isinstance(message, m.BundleAdd):
            inner = encode(protocol, message.message, xid)[0]
            head = message.bundle.to_bytes(4, "big") + bytes(2) + message.flags.to_bytes(2, "big")
            name = "ONFT_BUNDLE_ADD_MESSAGE" if version == 4 else "OFPT_BUNDLE_ADD_MESSAGE"
            return [join(version, name, xid, head + inner)]
        if isinstance(message, m.Opaque):
            return [join(version, message.name, xid, message.body, message.more)]
    except (StructError, OverflowError) as error:
        raise EncodeError(f"{type(message).__name__} has a number that does not fit: {error}") from None
    raise EncodeError(f"{type(message).__name__} is not implemented yet")


def _parted(version: int, name: str, xid: int, bodies: list[bytes], more: bool) -> list[bytes]:
    """Cuts what a reply lists into messages, all but the last with the bit that says more follows."""
    groups: list[list[bytes]] = [[]]
    size = 0
    for body in bodies:
        if size + len(body) > _MOST and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(body)
        size += len(body)
    last = len(groups) - 1
    return [join(version, name, xid, b"".join(group), more or i < last) for i, group in enumerate(groups)]
