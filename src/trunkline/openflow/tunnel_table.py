"""The table of tunnel options: which Geneve option is which field tun_metadata0 to 63 of a bridge.

Nicira's messages NXT_TLV_TABLE_*: a controller maps (class, type) of an option, with its length, to a field.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.openflow.control import Encoded
from trunkline.openflow.style import Style, c_hex
from trunkline.openflow.wire import DecodeError, Envelope, Protocol

NXTTMC_ADD, NXTTMC_DELETE, NXTTMC_CLEAR = range(3)


class TlvMapping(NamedTuple):
    """`length` in bytes, a multiple of 4 up to 124; `field` is the number of the tun_metadata field."""

    option_class: int
    option_type: int
    length: int
    field: int


class TlvTableMod(NamedTuple):
    """`command` is NXTTMC_*: 0 add, 1 delete, 2 clear."""

    command: int
    mappings: tuple[TlvMapping, ...] = ()


class TlvTableRequest(NamedTuple):
    pass


class TlvTableReply(NamedTuple):
    """The bytes and fields there may be, and the mappings there are."""

    max_space: int
    max_fields: int
    mappings: tuple[TlvMapping, ...] = ()


_MAPPING: Final = Struct("!HBBHxx")
_MOD: Final = Struct("!H6x")
_REPLY: Final = Struct("!IH10x")
_FIELDS: Final = 64
_LONGEST: Final = 124


def _decode_mappings(data: bytes, fields: int = _FIELDS) -> tuple[TlvMapping, ...]:
    mappings = []
    for at in range(0, len(data), _MAPPING.size):
        mapping = TlvMapping(*_MAPPING.unpack_from(data, at))
        if mapping.length % 4 or mapping.length > _LONGEST:
            raise DecodeError("NXTTMFC_BAD_OPT_LEN", f"option length {mapping.length}")
        if mapping.field >= fields:
            raise DecodeError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{mapping.field}")
        mappings.append(mapping)
    return tuple(mappings)


def _encode_mappings(mappings: tuple[TlvMapping, ...]) -> bytes:
    return b"".join(_MAPPING.pack(*mapping) for mapping in mappings)


def mappings_text(mappings: tuple[TlvMapping, ...]) -> str:
    lines = [" mapping table:", "  class  type  length  match field", " ------  ----  ------  --------------"]
    for option_class, option_type, length, field in mappings:
        lines.append(f" {c_hex(option_class):>6}  {c_hex(option_type):>4}  {length:6d}  tun_metadata{field}")
    return "\n".join(lines)


def _decode_mod(envelope: Envelope) -> TlvTableMod:
    (command,) = _MOD.unpack_from(envelope.body)
    if command > NXTTMC_CLEAR:
        raise DecodeError("NXTTMFC_BAD_COMMAND", f"command {command}")
    return TlvTableMod(command, _decode_mappings(envelope.body[_MOD.size :]))


def _text_mod(mod: TlvTableMod, version: int, style: Style) -> str:
    if mod.command == NXTTMC_CLEAR:
        return "\n CLEAR"
    return f"\n {('ADD', 'DEL')[mod.command]}{mappings_text(mod.mappings)}"


def _decode_reply(envelope: Envelope) -> TlvTableReply:
    space, fields = _REPLY.unpack_from(envelope.body)
    return TlvTableReply(space, fields, _decode_mappings(envelope.body[_REPLY.size :], fields))


def _text_reply(reply: TlvTableReply, version: int, style: Style) -> str:
    taken = sum(mapping.length for mapping in reply.mappings)
    return (
        f"\n max option space={reply.max_space} max fields={reply.max_fields}\n"
        f" allocated option space={taken}\n\n{mappings_text(reply.mappings)}"
    )


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "TLV_TABLE_MOD": _decode_mod,
    "TLV_TABLE_REQUEST": lambda e: TlvTableRequest(),
    "TLV_TABLE_REPLY": _decode_reply,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    TlvTableMod: lambda p, x: ("NXT_TLV_TABLE_MOD", _MOD.pack(x.command) + _encode_mappings(x.mappings)),
    TlvTableRequest: lambda p, x: ("NXT_TLV_TABLE_REQUEST", b""),
    TlvTableReply: lambda p, x: (
        "NXT_TLV_TABLE_REPLY",
        _REPLY.pack(x.max_space, x.max_fields) + _encode_mappings(x.mappings),
    ),
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    TlvTableMod: _text_mod,
    TlvTableRequest: lambda x, v, s: "",
    TlvTableReply: _text_reply,
}
