"""Groups as text is read: what add-group and its like take (ovs-ofctl(8), Group Syntax).

A group is words, ``key=value`` each, and after them its buckets, each from one ``bucket=`` to the next; what
is no key of a bucket belongs to its actions.  What a key may be depends on the command.
"""

import re
from typing import Final, NamedTuple

from trunkline.flow.text import command_at_start, key_values
from trunkline.flow.values import TextError, parse_value
from trunkline.model.fields import FIELD
from trunkline.model.openflow import OFPG_ALL, OFPG_ANY, OFPG_MAX, OFPP_ANY, OFPP_MAX
from trunkline.openflow import actions as a
from trunkline.openflow.actions_text import NO_NAMES, ActionContext, parse_actions, parse_u32, parse_u64
from trunkline.openflow.consistency import text_formats
from trunkline.openflow.formats import ANY, OF15
from trunkline.openflow.groups import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
    BUCKET_MAX,
    OFPGC_ADD,
    OFPGC_ADD_OR_MODIFY,
    OFPGC_DELETE,
    OFPGC_INSERT_BUCKET,
    OFPGC_MODIFY,
    OFPGC_REMOVE_BUCKET,
    OFPGT_ALL,
    OFPGT_FF,
    OFPGT_INDIRECT,
    OFPGT_SELECT,
    Bucket,
    GroupMod,
    Selection,
)
from trunkline.openflow.style import integer

COMMANDS: Final = {
    "add": OFPGC_ADD,
    "delete": OFPGC_DELETE,
    "insert_bucket": OFPGC_INSERT_BUCKET,
    "modify": OFPGC_MODIFY,
    "add_or_mod": OFPGC_ADD_OR_MODIFY,
    "remove_bucket": OFPGC_REMOVE_BUCKET,
}
_TYPES: Final = {
    "all": OFPGT_ALL,
    "select": OFPGT_SELECT,
    "indirect": OFPGT_INDIRECT,
    "ff": OFPGT_FF,
    "fast_failover": OFPGT_FF,
}
_CREATING: Final = (OFPGC_ADD, OFPGC_MODIFY, OFPGC_ADD_OR_MODIFY)
_WITH_BUCKETS: Final = (*_CREATING, OFPGC_INSERT_BUCKET)
_BUCKET_COMMANDS: Final = (OFPGC_INSERT_BUCKET, OFPGC_REMOVE_BUCKET)
_RESERVED: Final = {"all": BUCKET_ALL, "first": BUCKET_FIRST, "last": BUCKET_LAST}
_LONGEST_METHOD: Final = 15
_BUCKET: Final = re.compile(r"(?:^|(?<=[,\s]))bucket[=:]")
_INSTRUCTIONS: Final[dict[type, str]] = {
    a.ClearActions: "clear_actions",
    a.WriteActions: "write_actions",
    a.WriteMetadata: "write_metadata",
    a.GotoTable: "goto_table",
}


class ParsedGroup(NamedTuple):
    """`formats` are those flow formats whose versions can carry the group."""

    mod: GroupMod
    formats: int


class _Words:
    """What the words before the buckets have said so far."""

    def __init__(self, command: int) -> None:
        self.command = command
        self.group: int | None = None
        self.type: int | None = None
        self.command_bucket: int | None = None
        self.method = ""
        self.parameter: int | None = None
        self.fields: tuple[tuple[str, int], ...] = ()


def parse_group(text: str, command: int | None, context: ActionContext = NO_NAMES) -> ParsedGroup:
    """Reads a group for `command` (OFPGC_*), or, with None, for the command that the text starts with (add if
    none).  Raises TextError."""
    if command is None:
        found, text = command_at_start(text, COMMANDS)
        command = OFPGC_ADD if found is None else found
    head, *parts = _BUCKET.split(text)
    if parts and command not in _WITH_BUCKETS:
        raise TextError("bucket is not needed")
    words = _Words(command)
    for key, value in key_values(head):
        _read_word(words, key, value or "", context)
    _check_words(words)
    group_type = OFPGT_ALL if words.type is None else words.type
    formats = ANY
    buckets = []
    for part in parts:
        bucket, allowed = _parse_bucket(part, group_type, command, context)
        buckets.append(bucket)
        formats &= allowed
        if group_type == OFPGT_INDIRECT and len(buckets) > 1:
            raise TextError("Indirect groups can have at most one bucket.")
    mod = GroupMod(
        command,
        OFPG_ALL if words.group is None else words.group,
        group_type,
        _numbered(buckets),
        BUCKET_ALL if words.command_bucket is None else words.command_bucket,
        Selection(words.method, words.parameter or 0, words.fields),
    )
    return ParsedGroup(mod, formats)


def _read_word(words: _Words, key: str, value: str, context: ActionContext) -> None:
    match key:
        case "command_bucket_id":
            if words.command not in _BUCKET_COMMANDS:
                raise TextError("command bucket id is not needed")
            words.command_bucket = _command_bucket(value, words.command)
        case "group_id":
            words.group = _group_number(value)
        case "type":
            if words.command not in _CREATING:
                raise TextError("type is not needed")
            if value not in _TYPES:
                raise TextError(f"invalid group type {value}")
            words.type = _TYPES[value]
        case "selection_method":
            if words.command not in _CREATING:
                raise TextError("selection method is not needed")
            if len(value) > _LONGEST_METHOD:
                raise TextError(f"selection method is longer than {_LONGEST_METHOD} bytes long")
            words.method = value
        case "selection_method_param":
            if words.command not in _CREATING:
                raise TextError("selection method param is not needed")
            words.parameter = parse_u64(value)
        case "fields":
            if words.command not in _CREATING:
                raise TextError("fields are not needed")
            words.fields = _parse_fields(value, context)
        case _:
            raise TextError(f"unknown keyword {key}")


def _command_bucket(value: str, command: int) -> int:
    if value == "all" and command == OFPGC_INSERT_BUCKET:
        raise TextError("command_bucket_id=all is not permitted")
    number = _RESERVED.get(value)
    if number is None:
        number = parse_u32(value)
        if number > BUCKET_MAX:
            raise TextError(f"invalid command bucket id {number}")
    return number


def _group_number(value: str) -> int:
    if value == "all":
        return OFPG_ALL
    number = parse_u32(value)
    if number > OFPG_MAX:
        raise TextError(f"invalid group id {number}")
    return number


def _parse_fields(value: str, context: ActionContext) -> tuple[tuple[str, int], ...]:
    fields: list[tuple[str, int]] = []
    for name, text in key_values(value):
        field = FIELD.get(name)
        if field is None:
            raise TextError(f": unknown field {name}")
        if any(known == field.name for known, _ in fields):
            raise TextError(f"{name}: duplicate field")
        ones = (1 << field.bits) - 1
        if not text:
            fields.append((field.name, ones))
            continue
        mask, wild = parse_value(field, text, context.text)
        if wild & ones != ones:
            raise TextError(f"{text}: wildcards not allowed here")
        if not field.maskable and mask != ones:
            raise TextError(f"{text}: invalid mask for field {name}")
        fields.append((field.name, mask))
    return tuple(fields)


def _check_words(words: _Words) -> None:
    if words.group is None and words.command != OFPGC_DELETE:
        raise TextError("must specify a group_id")
    if words.type is None and words.command in _CREATING:
        raise TextError("must specify a type")
    if words.command == OFPGC_INSERT_BUCKET and words.command_bucket is None:
        raise TextError("must specify a command bucket id")
    if not words.method and words.parameter:
        raise TextError('selection_method_param is only allowed with "selection_method"')
    if words.fields and words.method != "hash":
        raise TextError('fields may only be specified with "selection_method=hash"')


def _parse_bucket(text: str, group_type: int, command: int, context: ActionContext) -> tuple[Bucket, int]:
    """A bucket and the formats that can carry its actions."""
    weight = int(group_type == OFPGT_SELECT)
    port, group, number = OFPP_ANY, OFPG_ANY, BUCKET_ALL
    kept: list[str] = []
    named = False
    for key, value, raw in _parts(text):
        match key:
            case "weight":
                found = integer(value)
                if found is None or found > 0xFFFF:
                    raise TextError(f'invalid weight "{value}"')
                weight = found
            case "watch_port":
                port = _watched_port(value, context)
            case "watch_group":
                group = parse_u32(value)
                if group > OFPG_MAX:
                    raise TextError(f"invalid watch_group id {group}")
            case "bucket_id":
                number = parse_u32(value)
                if number > BUCKET_MAX:
                    raise TextError(f"invalid bucket_id id {number}")
            case "action" | "actions":
                kept.append(value)
                named = True
            case _:
                kept.append(raw)
    if not kept and not named:
        raise TextError("bucket must specify actions")
    actions = parse_actions(",".join(kept), context)
    for action in actions:
        instruction = _INSTRUCTIONS.get(type(action))
        if instruction is not None:
            raise TextError(f"{instruction} instruction not allowed here")
    if weight and group_type != OFPGT_SELECT and command != OFPGC_INSERT_BUCKET:
        raise TextError("Only select groups can have bucket weights.")
    if group_type == OFPGT_FF and port == OFPP_ANY and group == OFPG_ANY:
        raise TextError("fast failover bucket requires watch_port or watch_group")
    formats = text_formats(actions)
    if any(isinstance(action, a.Meter) for action in actions):
        formats &= OF15  # before it is an instruction, and a bucket has none
    return Bucket(actions, weight, port, group, number), formats


def _parts(text: str) -> list[tuple[str, str, str]]:
    """(key, value, the text as it stands) of each word of a bucket."""
    found = []
    at = 0
    while at < len(text):
        while at < len(text) and text[at] in ", \t\r\n":
            at += 1
        start = at
        depth = 0
        while at < len(text) and (depth or text[at] not in ", \t\r\n"):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        raw = text[start:at]
        if raw:
            key = re.match(r"[^:=(]*", raw)
            name = key.group() if key else ""
            found.append((name, raw[len(name) + 1 :], raw))
    return found


def _watched_port(value: str, context: ActionContext) -> int:
    from trunkline.flow.values import parse_port

    port = parse_port(value, context.text)
    if port is None or (port >= OFPP_MAX and port != OFPP_ANY):
        raise TextError(f"{value}: invalid watch_port")
    return port


def _numbered(buckets: list[Bucket]) -> tuple[Bucket, ...]:
    """Buckets without a number get the lowest that are free, in order."""
    taken = {bucket.number for bucket in buckets}
    following = 0
    out = []
    for bucket in buckets:
        if bucket.number == BUCKET_ALL:
            while following in taken:
                following += 1
            bucket = bucket._replace(number=following)
            following += 1
        out.append(bucket)
    return tuple(out)
