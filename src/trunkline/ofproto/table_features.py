"""What a table can do, as OpenFlow 1.3 and later ask for it (table features, section 7.3.5.5 of 1.3.5), and
as the statistics of tables say it before.

Said are each table's name and size, the instructions and actions that it carries out, the tables that come
after it, and the fields that it matches and writes.  The same holds for packets that no flow matches, so the
properties of a table miss are left out, which means the same.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from trunkline.model.fields import FIELDS
from trunkline.ofproto.limits import Limits
from trunkline.ofproto.rules import TABLES
from trunkline.openflow.table_abilities import InstructionFeatures, TableFeatures, TableFeaturesReply

_INSTRUCTIONS: Final = 0x3C  # by number: write metadata, write actions, apply actions, clear actions
_GOTO_TABLE: Final = 1 << 1
_METER: Final = 1 << 6
_NO_METER_INSTRUCTION: Final = 6  # from OpenFlow 1.5 on, metering is an action
_ACTIONS12: Final = sum(1 << number for number in (0, *range(15, 26)))  # from 1.2 on, by number
OFPTFC_REPLACE: Final = 0  # also what requests before 1.5 mean
OFPTFC_MODIFY: Final = 1
_EVERY_BIT: Final = (1 << 64) - 1
_AT_ONCE: Final = 4  # tables in a message, so that a step stays short

# What the statistics of tables say of them in 1.0 to 1.2, as bits of these versions: fields of 1.0's match
# and of 1.1's, OXM fields of 1.2 by number, actions and instructions by number.
_WILDCARDS10: Final = 0x3FFFFF
_MATCH11: Final = 0xFBFF
_MATCH12: Final = 0x101FFFFFFFFD
_ACTIONS11: Final = sum(1 << number for number in range(25) if number not in (11, 12))
_SET12: Final = 0xFFFFFFBDD

_HIDDEN: Final = frozenset(("skb_priority", "dl_vlan", "dl_vlan_pcp"))  # names for parts of others
_MATCHED: Final = tuple(field.name for field in FIELDS if field.name not in _HIDDEN)
_MASKED: Final = tuple(field.name for field in FIELDS if field.maskable and field.name not in _HIDDEN)
_WRITTEN: Final = tuple(field.name for field in FIELDS if field.writable and field.name not in _HIDDEN)


def rename(limits: Limits, tables: Sequence[TableFeatures]) -> str | None:
    """Takes up what a controller wants tables to be like, which can be their names only.

    A request to replace what there is must tell of every table.  Returns the name of an error, or None.
    """
    numbers = {one.table for one in tables}
    if len(numbers) < len(tables):
        return "NXTFFC_DUP_TABLE"
    commands = {one.command for one in tables}
    if commands == {OFPTFC_REPLACE}:
        wrong = numbers != set(range(TABLES))
    else:
        wrong = commands != {OFPTFC_MODIFY} or max(numbers) >= TABLES
    if wrong:
        return "OFPTFFC_EPERM"
    for one in tables:
        limits.set_name(one.table, one.name)
    return None


def table_features(limits: Limits, version: int) -> Iterator[TableFeaturesReply]:
    """The parts of the reply."""
    for first in range(0, TABLES, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, TABLES))
        tables = tuple(_features(number, limits, version) for number in numbers)
        yield TableFeaturesReply(tables, more=first + _AT_ONCE < TABLES)


def _features(number: int, limits: Limits, version: int) -> TableFeatures:
    after = tuple(range(number + 1, TABLES))
    instructions = _INSTRUCTIONS | (_GOTO_TABLE if after else 0)
    if version < _NO_METER_INSTRUCTION:
        instructions |= _METER
    able = InstructionFeatures(after, instructions, _ACTIONS12, _ACTIONS12, _WRITTEN, _WRITTEN)
    return TableFeatures(
        number,
        limits.name(number),
        _EVERY_BIT,
        _EVERY_BIT,
        limits.limit(number),
        able,
        able,
        _MATCHED,
        _MASKED,
        _MATCHED,
    )


_ABILITIES: Final[dict[int, dict[str, int]]] = {
    1: {"wildcards": _WILDCARDS10},
    2: {
        **dict.fromkeys(("wildcards", "match"), _MATCH11),
        **dict.fromkeys(("write_actions", "apply_actions"), _ACTIONS11),
    },
    3: {
        **dict.fromkeys(("wildcards", "match"), _MATCH12),
        **dict.fromkeys(("write_actions", "apply_actions"), _ACTIONS12),
        **dict.fromkeys(("write_set_fields", "apply_set_fields"), _SET12),
        **dict.fromkeys(("metadata_match", "metadata_write"), _EVERY_BIT),
    },
}


def abilities(version: int, number: int) -> dict[str, Any]:
    """The part of a table's statistics that says what it can do; nothing from 1.3 on."""
    if version not in (2, 3):
        return dict(_ABILITIES.get(version, {}))
    return _ABILITIES[version] | {"instructions": _INSTRUCTIONS | (_GOTO_TABLE if number < TABLES - 1 else 0)}
