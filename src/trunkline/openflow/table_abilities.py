"""Table features (OpenFlow 1.3): all that a table can match, do, and pass packets to.

An entry is a header and properties: what is done on a match and, where it differs, on a miss; fields that are
matched, that may be left out of a match, that may be set.  (OpenFlow 1.3.5, section 7.3.5.5.)
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.model import openflow as of
from trunkline.openflow.action_bits import action_bits_text
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.field_lists import decode_names, encode_names, in_order, names_text
from trunkline.openflow.properties import pack_property, properties
from trunkline.openflow.style import Style
from trunkline.openflow.wire import DecodeError, Envelope, Protocol


class InstructionFeatures(NamedTuple):
    """What may be done on a match, or on a miss.  `instructions` are bits by OFPIT_*, `next_tables` numbers.

    Actions are bits by their OFPAT_* number; fields are names that set_field may set.
    """

    next_tables: tuple[int, ...] = ()
    instructions: int = 0
    write_actions: int = 0
    apply_actions: int = 0
    write_fields: tuple[str, ...] = ()
    apply_fields: tuple[str, ...] = ()


class TableFeatures(NamedTuple):
    """`match` are the fields that are matched, of them `mask` with any mask; `wildcard` may be left out.

    `eviction` and `vacancy` say whether the table can do it (1.4), None before.
    """

    table: int
    name: str = ""
    metadata_match: int = 0
    metadata_write: int = 0
    max_entries: int = 0
    on_match: InstructionFeatures = InstructionFeatures()
    on_miss: InstructionFeatures = InstructionFeatures()
    match: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    wildcard: tuple[str, ...] = ()
    eviction: bool | None = None
    vacancy: bool | None = None
    config: int = 0  # 1.3: what a miss does
    command: int = 0  # 1.5: OFPTFC_*


class TableFeaturesRequest(NamedTuple):
    """Without `tables`, asks; with them, asks the switch to become so."""

    tables: tuple[TableFeatures, ...] = ()
    more: bool = False


class TableFeaturesReply(NamedTuple):
    tables: tuple[TableFeatures, ...]
    more: bool = False


_ENTRY: Final = Struct("!HBB4x32sQQII")
_ID: Final = Struct("!HH")
_INSTRUCTIONS, _NEXT, _WRITE_ACTIONS, _APPLY_ACTIONS = 0, 2, 4, 6  # plus one: on a miss
_MATCH, _WILDCARDS, _WRITE_FIELDS, _APPLY_FIELDS = 8, 10, 12, 14
_NEEDED: Final = (0, 2, 4, 6, 8, 10, 12, 14)
_MISSES: Final = frozenset((1, 3, 5, 7, 13, 15))
_OPENFLOW13: Final = 4
_LAST_COMMAND: Final = 3  # OFPTFC_DISABLE

# ---- reading ----


def _read(body: bytes, at: int, version: int) -> tuple[TableFeatures, int]:
    if len(body) - at < _ENTRY.size:
        raise DecodeError("OFPBPC_BAD_LEN")
    length, table, command, name, match, write, config, most = _ENTRY.unpack_from(body, at)
    end = at + length
    if length < _ENTRY.size or end > len(body):
        raise DecodeError("OFPBPC_BAD_LEN")
    if version >= 6 and command > _LAST_COMMAND:
        raise DecodeError("OFPTFFC_BAD_COMMAND", f"command {command}")
    raw = name.split(b"\0", 1)[0][:31].decode("utf-8", "surrogateescape")
    features = TableFeatures(table, raw, match, write, most, config=config, command=command)
    if version >= 5:
        features = features._replace(
            eviction=bool(config & of.OFPTC14_EVICTION), vacancy=bool(config & of.OFPTC14_VACANCY_EVENTS)
        )
    decoded: dict[int, Any] = {}
    for kind, value in properties(body, at + _ENTRY.size, end):
        decoded[kind] = _decode_property(kind, value, version)
    if not decoded and version >= 6:
        return features, end
    missing = [kind for kind in _NEEDED if kind not in decoded]
    if missing:
        raise DecodeError("OFPTFFC_BAD_FEATURES", f"properties {missing} are missing")
    on_match, on_miss = (
        InstructionFeatures(
            *(
                decoded.get(kind + side, decoded[kind])
                for kind in (
                    _NEXT,
                    _INSTRUCTIONS,
                    _WRITE_ACTIONS,
                    _APPLY_ACTIONS,
                    _WRITE_FIELDS,
                    _APPLY_FIELDS,
                )
            )
        )
        for side in (0, 1)
    )
    matched: tuple[tuple[str, bool], ...] = decoded[_MATCH]
    fields = tuple(name for name, _ in matched)
    mask = tuple(name for name, masked in matched if masked)
    wildcard = tuple(name for name in decoded[_WILDCARDS])
    return features._replace(
        on_match=on_match, on_miss=on_miss, match=fields, mask=mask, wildcard=wildcard
    ), end


def _decode_property(kind: int, value: bytes, version: int) -> Any:
    number = kind & ~1 if kind in _MISSES else kind
    if number == _INSTRUCTIONS:
        return _decode_ids(value, 6)
    if number == _NEXT:
        if 0xFF in value:
            raise DecodeError("OFPBPC_BAD_VALUE", "table 255 comes after no table")
        return tuple(sorted(set(value)))
    if number in (_WRITE_ACTIONS, _APPLY_ACTIONS):
        return _decode_ids(value, 31)
    if number == _MATCH:
        found = dict(decode_names(value, masks=True))
        return tuple((name, found[name]) for name in in_order(found))
    if number in (_WILDCARDS, _WRITE_FIELDS, _APPLY_FIELDS):
        return tuple(in_order(name for name, _ in decode_names(value)))
    return None


def _decode_ids(value: bytes, most: int) -> int:
    """Bits by number; an experimenter's ids, and numbers above `most`, are left out."""
    bits = at = 0
    while at < len(value):
        if len(value) - at < _ID.size:
            raise DecodeError("OFPBPC_BAD_LEN")
        kind, size = _ID.unpack_from(value, at)
        if size < _ID.size or at + size > len(value):
            raise DecodeError("OFPBPC_BAD_LEN")
        if kind <= most:
            bits |= 1 << kind
        at += size
    return bits


# ---- writing ----


def _encode(version: int, features: TableFeatures) -> bytes:
    parts = b""
    match, miss = features.on_match, features.on_miss
    pairs: tuple[tuple[int, Callable[[InstructionFeatures], bytes]], ...] = (
        (_INSTRUCTIONS, lambda x: _encode_ids(x.instructions)),
        (_NEXT, lambda x: bytes(x.next_tables)),
        (_WRITE_ACTIONS, lambda x: _encode_ids(x.write_actions)),
        (_APPLY_ACTIONS, lambda x: _encode_ids(x.apply_actions)),
    )
    sets: tuple[tuple[int, Callable[[InstructionFeatures], bytes]], ...] = (
        (_WRITE_FIELDS, lambda x: encode_names(x.write_fields, version)),
        (_APPLY_FIELDS, lambda x: encode_names(x.apply_fields, version)),
    )

    def both(kind: int, write: Callable[[InstructionFeatures], bytes]) -> bytes:
        on_match, on_miss = write(match), write(miss)
        return pack_property(kind, on_match) + (
            b"" if on_miss == on_match else pack_property(kind + 1, on_miss)
        )

    for kind, write in pairs:
        parts += both(kind, write)
    parts += pack_property(_MATCH, encode_names(features.match, version, features.mask))
    parts += pack_property(_WILDCARDS, encode_names(features.wildcard, version))
    for kind, write in sets:
        parts += both(kind, write)
    config = features.config
    if version >= 5:
        config = (of.OFPTC14_EVICTION if features.eviction else 0) | (
            of.OFPTC14_VACANCY_EVENTS if features.vacancy else 0
        )
    name = features.name.encode("utf-8", "surrogateescape")[:31]
    head = (_ENTRY.size + len(parts), features.table, features.command if version >= 6 else 0, name)
    metadata = (features.metadata_match, features.metadata_write)
    return _ENTRY.pack(*head, *metadata, config, features.max_entries) + parts


def _encode_ids(bits: int) -> bytes:
    return b"".join(_ID.pack(number, _ID.size) for number in range(32) if bits >> number & 1)


# ---- as text ----

# Instructions in the order in which they are shown, by number; version 1.5 has no meter among them.
_INSTRUCTION_NAMES: Final = (
    (6, "meter"),
    (4, "apply_actions"),
    (5, "clear_actions"),
    (3, "write_actions"),
    (2, "write_metadata"),
    (1, "goto_table"),
)


def _after(side: InstructionFeatures, table: int) -> InstructionFeatures:
    """Of the tables that come next, those after `table`: what differs before it is no difference."""
    return side._replace(next_tables=tuple(number for number in side.next_tables if number > table))


def features_text(features: TableFeatures, previous: TableFeatures | None, version: int) -> str:
    """An entry without its title; what is as in the `previous` table is said so."""
    lines = []
    if version >= _OPENFLOW13 or features.metadata_match or features.metadata_write:
        metadata = f"match={_hex(features.metadata_match)} write={_hex(features.metadata_write)}"
        lines.append(f"    metadata: {metadata}\n")
    if version in (_OPENFLOW13 - 2, _OPENFLOW13 - 1):
        lines.append(f"    config={of.TABLE_MISS_NAMES.get(features.config & 3, 'controller')}\n")
    for title, able in (("eviction", features.eviction), ("vacancy events", features.vacancy)):
        if able is not None:
            lines.append(f"    {title}: {'supported' if able else 'not supported'}\n")
    if features.max_entries or version >= _OPENFLOW13:
        lines.append(f"    max_entries={features.max_entries}\n")
    return "".join(lines) + _instructions_text(features, previous, version) + _match_text(features, previous)


def _hex(value: int) -> str:
    return f"0x{value:x}" if value else "0"


def _instructions_text(features: TableFeatures, previous: TableFeatures | None, version: int) -> str:
    match, miss = features.on_match, features.on_miss
    before = None if previous is None else (previous.on_match, previous.on_miss)
    if (
        before is not None
        and match != InstructionFeatures()
        and all(
            _after(old, features.table) == _after(new, features.table)
            for old, new in zip(before, (match, miss))
        )
    ):
        return "    (same instructions)\n"
    if match == miss:
        if match == InstructionFeatures():
            return ""
        return "    instructions (table miss and others):\n" + _side_text(
            match, before and before[0], version
        )
    return (
        "    instructions (other than table miss):\n"
        + _side_text(match, before and before[0], version)
        + "    instructions (table miss):\n"
        + _side_text(miss, before and before[1], version)
    )


def _side_text(side: InstructionFeatures, before: InstructionFeatures | None, version: int) -> str:
    text = ""
    if side.next_tables:
        text += f"      next tables: {_ranges(side.next_tables)}\n"
    if before is not None and side.instructions and side.instructions == before.instructions:
        text += "      (same instructions)\n"
    else:
        words = [name for number, name in _INSTRUCTION_NAMES if side.instructions >> number & 1]
        text += f"      instructions: {' '.join(words)}\n" if words else ""
    write, apply = (side.write_actions, side.write_fields), (side.apply_actions, side.apply_fields)
    if before is not None and side[2:] == before[2:]:
        return text + "      (same actions)\n"
    if write == apply:
        return text + "      Write-Actions and Apply-Actions features:\n" + _actions_text(*write, version)
    text += "      Write-Actions features:\n" + _actions_text(*write, version)
    return text + "      Apply-Actions features:\n" + _actions_text(*apply, version)


def _actions_text(actions: int, fields: tuple[str, ...], version: int) -> str:
    names = action_bits_text(actions, version)
    text = f"        actions: {names}\n" if names else ""
    return text + (f"        supported on Set-Field: {names_text(fields)}\n" if fields else "")


def _ranges(numbers: tuple[int, ...]) -> str:
    words: list[str] = []
    start = end = numbers[0]
    for number in (*numbers[1:], -1):
        if number == end + 1:
            end = number
            continue
        words.append(str(start) if start == end else f"{start}-{end}")
        start = end = number
    return ",".join(words)


def _matching(features: TableFeatures) -> tuple[tuple[str, ...], ...]:
    """Fields matched with any mask, those matched or left out, those that must be matched."""
    masked, optional = set(features.mask), set(features.wildcard)
    return (
        tuple(name for name in features.match if name in masked),
        tuple(name for name in features.match if name not in masked and name in optional),
        tuple(name for name in features.match if name not in masked and name not in optional),
    )


def _match_text(features: TableFeatures, previous: TableFeatures | None) -> str:
    if not features.match:
        return ""
    if previous is not None and _matching(features) == _matching(previous):
        return "    (same matching)\n"
    titles = ("arbitrary mask", "exact match or wildcard", "must exact match")
    lines = [
        f"      {title}: {names_text(names)}\n" for title, names in zip(titles, _matching(features)) if names
    ]
    return "    matching:\n" + "".join(lines)


class Shown(NamedTuple):
    """A table as it is shown: its counters, as a line, and its features, where they are known."""

    table: int
    name: str
    counters: str
    features: TableFeatures | None


def tables_text(tables: Sequence[Shown], version: int) -> str:
    """Tables in a row that are alike are shown once; those with names are named all the same."""
    text = "\n" if tables else ""
    apart = False  # whether a blank line comes first: not after a named table that was like the one before
    previous: Shown | None = None
    alike: list[Shown] = []
    for shown in (*tables, None):
        same = shown is not None and previous is not None and _same(shown, previous)
        if shown is not None and same and not shown.name:
            alike.append(shown)
            previous = shown
            continue
        if alike:
            first, last = alike[0].table, alike[-1].table
            title = f"table {first}" if first == last else f"tables {first}...{last}"
            text += f"{chr(10) if apart else ''}  {title}: ditto\n"
            apart, alike = True, []
        if shown is None:
            break
        body = " ditto\n" if same else "\n" + _body(shown, previous, version)
        name = f' ("{shown.name}")' if shown.name else ""
        text += f"{chr(10) if apart else ''}  table {shown.table}{name}:{body}"
        previous, apart = shown, not same
    return text


def _body(shown: Shown, previous: Shown | None, version: int) -> str:
    if shown.features is None:
        return shown.counters
    before = None if previous is None else previous.features
    text = features_text(shown.features, before, version)
    if shown.counters and text and before is not None and _alike(shown.features, before):
        return shown.counters + "    (same features)\n"
    return shown.counters + text


def _same(shown: Shown, previous: Shown) -> bool:
    if shown.counters != previous.counters:
        return False
    if shown.features is None or previous.features is None:
        return shown.features is previous.features
    return _alike(shown.features, previous.features)


def _alike(features: TableFeatures, previous: TableFeatures) -> bool:
    one, other = (
        x._replace(
            table=0,
            name="",
            on_match=_after(x.on_match, features.table),
            on_miss=_after(x.on_miss, features.table),
            match=(),
            mask=(),
            wildcard=(),
        )
        for x in (features, previous)
    )
    return one == other and _matching(features) == _matching(previous)


def _text(tables: tuple[TableFeatures, ...], version: int, style: Style) -> str:
    return tables_text([Shown(x.table, x.name, "", x) for x in tables], version)


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "TABLE_FEATURES request": lambda e: read_entries(e, _read, lambda x: TableFeaturesRequest(x, e.more)),
    "TABLE_FEATURES reply": lambda e: read_entries(e, _read, lambda x: TableFeaturesReply(x, e.more)),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    TableFeaturesRequest: lambda p, x: (
        "OFPST_TABLE_FEATURES request",
        [_encode(p.version, table) for table in x.tables],
    ),
    TableFeaturesReply: lambda p, x: (
        "OFPST_TABLE_FEATURES reply",
        [_encode(p.version, table) for table in x.tables],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    TableFeaturesRequest: lambda x, v, s: _text(x.tables, v, s),
    TableFeaturesReply: lambda x, v, s: _text(x.tables, v, s),
}
