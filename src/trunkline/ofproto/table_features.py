"""What a table can do, as OpenFlow 1.3 and later ask for it (table features, section 7.3.5.5 of 1.3.5).

Said are each table's size, the instructions and actions that it carries out, the tables that come after it,
and the standard fields that it matches and writes.  The properties of a table miss are the same, so they are
left out.
"""

from struct import pack
from typing import Final

from trunkline.model.fields import CLASSES, FIELDS, Field
from trunkline.ofproto.limits import MAX_FLOWS
from trunkline.ofproto.rules import TABLES

_GOTO_TABLE, _WRITE_METADATA, _APPLY_ACTIONS = 1, 2, 4  # instructions
_OUTPUT, _PUSH_VLAN, _POP_VLAN, _SET_NW_TTL, _SET_FIELD = 0, 17, 18, 23, 25  # actions
_ACTIONS: Final = (_OUTPUT, _PUSH_VLAN, _POP_VLAN, _SET_NW_TTL, _SET_FIELD)
# Property types.
_INSTRUCTIONS, _NEXT_TABLES, _CAN_WRITE_ACTIONS, _CAN_APPLY = 0, 2, 4, 6
_MATCH, _WILDCARDS, _WRITE_FIELDS, _APPLY_FIELDS = 8, 10, 12, 14
_EVERY_BIT: Final = (1 << 64) - 1
_MOST: Final = 60_000  # bytes in one message


def table_features() -> list[bytes]:
    """The bodies of the messages of the reply."""
    bodies = [b""]
    for number in range(TABLES):
        entry = _entry(number)
        if len(bodies[-1]) + len(entry) > _MOST:
            bodies.append(b"")
        bodies[-1] += entry
    return bodies


def _entry(number: int) -> bytes:
    after = bytes(range(number + 1, TABLES))
    instructions = (*((_GOTO_TABLE,) if after else ()), _WRITE_METADATA, _APPLY_ACTIONS)
    matched = b"".join(_header(field, field.maskable) for field in _STANDARD)
    properties = (
        (_INSTRUCTIONS, _ids(instructions)),
        (_NEXT_TABLES, after),
        (_CAN_WRITE_ACTIONS, b""),
        (_CAN_APPLY, _ids(_ACTIONS)),
        (_MATCH, matched),
        (_WILDCARDS, b"".join(_header(field, False) for field in _STANDARD)),
        (_WRITE_FIELDS, b""),
        (_APPLY_FIELDS, b"".join(_header(field, False) for field in _STANDARD if field.writable)),
    )
    rest = b"".join(_property(kind, body) for kind, body in properties)
    return pack("!HB5x32sQQII", 64 + len(rest), number, b"", _EVERY_BIT, _EVERY_BIT, 0, MAX_FLOWS) + rest


def _ids(kinds: tuple[int, ...]) -> bytes:
    return b"".join(pack("!HH", kind, 4) for kind in kinds)


def _property(kind: int, body: bytes) -> bytes:
    data = pack("!HH", kind, 4 + len(body)) + body
    return data + bytes(-len(data) % 8)


def _is_standard(field: Field) -> bool:
    return any(one.vendor == "OXM_OF" for one in field.ids)


_STANDARD: Final = tuple(field for field in FIELDS if _is_standard(field))


def _header(field: Field, masked: bool) -> bytes:
    """The field's OXM header; with a mask its length is twice that of the value."""
    number = next(one.number for one in field.ids if one.vendor == "OXM_OF")
    return pack("!HBB", CLASSES["OXM_OF"].number, number << 1 | masked, field.octets << masked)
