"""The small words of which the texts of actions are made: numbers, ports, tables, parts of fields.

Each reader raises TextError in the words of ovs-ofctl.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, parse_port
from trunkline.model.fields import FIELD, FIELDS, Field
from trunkline.openflow import actions as a
from trunkline.openflow import oxm
from trunkline.openflow.style import integer


class ActionContext(NamedTuple):
    """What names in actions may mean: ports by `text`, tables by `tables`; how many actions are around."""

    text: TextContext = NO_CONTEXT
    tables: dict[str, int] | None = None
    depth: int = 0


NO_NAMES: Final = ActionContext()
# How actions within actions are read and written: handed to the actions that nest.
ReadActions = Callable[[str, ActionContext, str], tuple[a.Action, ...]]


# ---- numbers ----


def limited_number(value: str, most: int, what: str) -> int:
    """A number of limited width, as the original complains about it."""
    number = integer(value)
    if number is None or number > most:
        raise TextError(f'invalid {what} "{value}"')
    return number


def parse_u64(value: str) -> int:
    if not value:
        raise TextError("missing required numeric argument")
    number = integer(value.removeprefix("-")) if value[:2] != "-+" else None
    if number is None or number >> 64:
        raise TextError(f"invalid numeric format {value}")
    return -number & 0xFFFFFFFFFFFFFFFF if value[0] == "-" else number


def parse_u32(value: str) -> int:
    return parse_u64(value) & 0xFFFFFFFF


_DECIMAL: Final = re.compile(r"\s*([+-]?\d+)")
_ANY_BASE: Final = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")


_LONG: Final = (1 << 63) - 1


def int32(number: int) -> int:
    """What a C int keeps of a number."""
    number &= 0xFFFFFFFF
    return number - (number >> 31 << 32)


def c_atoi(text: str) -> int:
    """As atoi(3): the decimal digits at the start, 0 without any."""
    found = _DECIMAL.match(text)
    return int32(max(min(int(found.group(1)), _LONG), ~_LONG)) if found else 0


def scan_number(text: str) -> tuple[int, int]:
    """As strtoull(3) with base 0: (number, characters used)."""
    found = _ANY_BASE.match(text)
    if found is None:
        return 0, 0
    digits = found.group(2)
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" and len(digits) > 1 else 10
    number = int(digits, base)
    return (-number if found.group(1) == "-" else number) & 0xFFFFFFFFFFFFFFFF, found.end()


def hex_bytes(value: str, complaint: str) -> bytes:
    """Pairs of hexadecimal digits; between these there may be dots."""
    if not _PAIRS.fullmatch(value):
        raise TextError(complaint)
    return bytes.fromhex(value.replace(".", ""))


_PAIRS: Final = re.compile(r"\.*(?:[0-9a-fA-F]{2}\.*)*")


def dotted(data: bytes) -> str:
    return ".".join(f"{byte:02x}" for byte in data)


# ---- ports and tables ----


def known_port(word: str, context: ActionContext) -> int | None:
    if not word or "[" in word:
        return None
    return parse_port(word, context.text)


_TABLE: Final = re.compile(r"\+?[0-9]+")


def parse_table(word: str, context: ActionContext) -> int | None:
    """A table by number or name; None: there is none."""
    number = int(word) if _TABLE.fullmatch(word) else None
    if number is None:
        name = word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word
        return (context.tables or {}).get(name)
    if number > 255:
        context.text.warn("ofp_table", f"table {number} is outside the supported range 0 through 255")
        return None
    return number


# ---- parts of fields ----

_BRACKETS: Final = re.compile(r"\[(?:([+-]?\d+)(?:\.\.([+-]?\d+))?)?\]")
BY_TITLE: Final = {code.name: field for field in FIELDS for code in field.ids}


def scan_subfield(text: str) -> tuple[a.Subfield, str]:
    """The part of a field that `text` starts with, ``field[first..last]``, and what follows it."""
    length = next((i for i, character in enumerate(text) if character in "[-"), len(text))
    name, rest = text[:length], text[length:]
    field = FIELD.get(name) or BY_TITLE.get(name) or BY_TITLE.get(name.removesuffix("_W"))
    if field is None:
        raise TextError(f"{text}: unknown field `{name}'")
    bits = oxm.width(field.name)
    if not rest.startswith("["):
        return a.Subfield(field.name, 0, bits), rest
    found = _BRACKETS.match(rest)
    if found is None:
        raise TextError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    rest = rest[found.end() :]
    if found.group(1) is None:
        return a.Subfield(field.name, 0, bits), rest
    start = int32(int(found.group(1)))
    end = start if found.group(2) is None else int32(int(found.group(2)))
    if start > end:
        raise TextError(f"{text}: starting bit {start} is after ending bit {end}")
    for title, bit in (("starting", start), ("ending", end)):
        if not 0 <= bit < bits:
            raise TextError(f"{text}: {title} bit {bit} is not valid because field is only {bits} bits wide")
    return a.Subfield(field.name, start, end - start + 1), rest


def parse_subfield(text: str) -> tuple[Field, int, int]:
    """(field, offset, bits) of ``field[first..last]``."""
    found, rest = scan_subfield(text)
    if rest:
        raise TextError("unexpected input following field syntax")
    return FIELD[found.field], found.offset, found.bits


def subfield_text(name: str, offset: int, bits: int) -> str:
    field = FIELD[name]
    title = _title(field)
    if offset == 0 and bits == oxm.width(name):
        return f"{title}[]"
    return f"{title}[{offset}]" if bits == 1 else f"{title}[{offset}..{offset + bits - 1}]"


def _title(field: Field) -> str:
    """The name of a field within an action: that of its extension id where it has one."""
    if not field.ids:
        return field.name
    vendor, number = oxm.field_id(field, oxm.NXM)
    for code in field.ids:
        if (code.vendor, code.number) == (vendor, number):
            return code.name
    return field.name
