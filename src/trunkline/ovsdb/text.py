"""Atoms and datums as database tools print and parse them: ``{a=b, "c d"="1"}``, ``[1, 2]``, ``"aa:bb"``.

The form is that of ovs-vsctl(8) "Database Values".  A string stands without quotes when it looks like an
identifier and like nothing else; printing quotes whatever parsing would otherwise misread.  Parsing reads
*words*: a word ends at one of ``: = , [ ] { } ! < >`` or a space outside quotes, and only then is it taken as
an atom of the column's type.  The "bare" form (for scripts) has no punctuation at all and is never parsed.

uuids may be written as symbols, ``@name``, that stand for rows made in the same transaction: a `Symbols` maps
them.  Every error is a `TextError` with the original's words.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from trunkline.base.json import dumps, real_text
from trunkline.ovsdb.atoms import Atom, AtomicType
from trunkline.ovsdb.datum import Datum, describe
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.types import BaseType, ColumnType
from trunkline.ovsdb.utf8 import utf8_error

RANGE_MAXIMUM: Final = 4096
"""The most elements that a range such as ``1-10`` may stand for."""

_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_IDENTIFIER: Final = _LETTERS | frozenset("0123456789-.")
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_DELIMITERS: Final = frozenset(":=,[]{}!<> ")
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


class TextError(Exception):
    """The text is not a value of the type; the message is what the original prints."""


Symbols = Callable[[str], str]
"""From "@name" to the uuid that stands for the row."""


def is_uuid(text: str) -> bool:
    """Whether `text` is a whole uuid, in any case."""
    if len(text) != 36:
        return False
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(map(_HEXADECIMAL.issuperset, parts))


# -- printing ----------------------------------------------------------------------------------------------


def _needs_quotes(text: str) -> bool:
    if not text or text[0] not in _LETTERS or not _IDENTIFIER.issuperset(text):
        return True
    return text in ("true", "false") or is_uuid(text)


def string_to_text(text: str) -> str:
    return dumps(text) if _needs_quotes(text) else text


def atom_to_text(kind: AtomicType, atom: Atom) -> str:
    if kind is AtomicType.STRING:
        return string_to_text(str(atom))
    return atom_to_bare(kind, atom)


def atom_to_bare(kind: AtomicType, atom: Atom) -> str:
    if kind is AtomicType.BOOLEAN:
        return "true" if atom else "false"
    if kind is AtomicType.REAL:
        return real_text(float(atom))
    return str(atom)


def datum_to_text(type_: ColumnType, datum: Datum) -> str:
    """The form that `datum_from_text` reads back."""
    key = type_.key.type
    if type_.value is not None:
        value = type_.value.type
        pairs = [f"{atom_to_text(key, k)}={atom_to_text(value, v)}" for k, v in datum]
        return pairs[0] if type_.max == 1 and pairs else "{" + ", ".join(pairs) + "}"
    text = ", ".join(atom_to_text(key, atom) for atom in datum)
    return text if type_.max == 1 and datum else f"[{text}]"


def datum_to_bare(type_: ColumnType, datum: Datum) -> str:
    """Without brackets, braces, commas and quotes."""
    key = type_.key.type
    if type_.value is not None:
        value = type_.value.type
        return " ".join(f"{atom_to_bare(key, k)}={atom_to_bare(value, v)}" for k, v in datum)
    return " ".join(atom_to_bare(key, atom) for atom in datum)


# -- words -------------------------------------------------------------------------------------------------


def word(text: str, start: int) -> tuple[str, int]:
    """The word at `start` (it may be empty) and where it ends.  Raises TextError.

    Outside quotes a backslash makes the next character a part of the word, whatever it is.
    """
    position = start
    quoted = False
    parts = []
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
            if position == len(text):
                what = "quoted string extends past end" if quoted else "backslash at end"
                raise TextError(f"{text[start:]}: {what} of argument")
            letter = f"\\{text[position]}" if quoted else text[position]
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in _DELIMITERS:
            break
        parts.append(letter)
        position += 1
    if quoted:
        raise TextError(f"{text[start:]}: quoted string extends past end of argument")
    return "".join(parts), position


def _spaces(text: str, position: int) -> int:
    while position < len(text) and text[position] == " ":
        position += 1
    return position


def _separator(text: str, position: int) -> int:
    position = _spaces(text, position)
    return _spaces(text, position + 1) if text[position : position + 1] == "," else position


# -- atoms -------------------------------------------------------------------------------------------------


def atom_from_text(base: BaseType, text: str, symbols: Symbols | None = None) -> Atom:
    """One atom of `base`, its constraints checked.  Raises TextError."""
    if base.type is AtomicType.INTEGER:
        first, last = integer_range(text)
        if first != last:
            raise TextError(f'"{text}" is not a valid integer or range')
        atom: Atom = first
    else:
        atom = _READERS[base.type](text, symbols)
    check(base, atom)
    return atom


def check(base: BaseType, atom: Atom) -> None:
    """Raises TextError when `atom` is outside what `base` allows."""
    try:
        base.check(atom)
    except OvsdbError as error:
        raise TextError(f"{error.error}: {error.details}") from None


def _integer(text: str) -> tuple[int, int] | None:
    """The value of the integer at the start of `text`, and where it ends."""
    end = 1 if text[:1] in ("-", "+") else 0
    digits = end
    while end < len(text) and text[end] in "0123456789":
        end += 1
    if end == digits or not -(1 << 63) <= int(text[:end]) < 1 << 63:
        return None
    return int(text[:end]), end


def integer_range(text: str) -> tuple[int, int]:
    """First and last of ``5`` or ``5-9``.  Raises TextError."""
    first = _integer(text)
    if first is not None and first[1] == len(text):
        return first[0], first[0]
    if first is not None and text[first[1]] == "-":
        last = _integer(text[first[1] + 1 :])
        if last is not None and first[1] + 1 + last[1] == len(text):
            if last[0] < first[0]:
                raise TextError(f'"{text}" is not a valid range. Range end cannot be before start.')
            return first[0], last[0]
    raise TextError(f'"{text}" is not a valid integer or range')


def _real_from_text(text: str, _: Symbols | None) -> Atom:
    try:
        if not text or text != text.strip() or "_" in text:
            raise ValueError
        value = float(text)
    except ValueError:
        raise TextError(f'"{text}" is not a valid real number') from None
    if value in (float("inf"), float("-inf")) or value != value:
        raise TextError(f'"{text}" is not a valid real number')
    return value


def _boolean_from_text(text: str, _: Symbols | None) -> Atom:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise TextError(f'"{text}" is not a valid boolean (use "true" or "false")')


def string_from_text(text: str) -> str:
    """A string as written, with or without quotes.  Raises TextError."""
    if not text:
        raise TextError('An empty string is not valid as input; use "" to represent the empty string')
    if "\0" in text:  # no command line can hold one, and none could be printed so that it is read back
        raise TextError("null bytes not supported in strings")
    if text[0] != '"':
        return text
    if len(text) < 2 or text[-1] != '"':
        raise TextError(f"{text}: missing quote at end of quoted string")
    error = quoted_error(text[1:-1])
    if error:
        raise TextError(f"{text}: {error}")
    return _unquoted(text[1:-1])


_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unquoted(body: str) -> str:
    pieces = []
    position = 0
    while position < len(body):
        letter = body[position]
        position += 1
        if letter != "\\":
            pieces.append(letter)
            continue
        escape = body[position]
        position += 1
        if escape != "u":
            pieces.append(_ESCAPED.get(escape, escape))
            continue
        unit = int(body[position : position + 4], 16)
        position += 4
        if 0xD800 <= unit < 0xDC00:
            low = int(body[position + 2 : position + 6], 16)
            position += 6
            unit = 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF)
        # A lone second half is three bytes that are no UTF-8, as everything else that is none.
        pieces.append(chr(unit).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))
    return "".join(pieces)


def quoted_error(body: str) -> str:
    """What is wrong with the escapes between two quotes; "" if nothing."""
    position = 0
    while position < len(body):
        if body[position] == '"':
            return 'quoted string may not include unescaped "'
        if body[position] != "\\":
            position += 1
            continue
        escape = body[position + 1 : position + 2]
        if not escape:
            return "quoted string may not end with backslash"
        position += 2
        if escape == "u":
            position, error = _unicode_error(body, position)
            if error:
                return error
        elif escape not in '"\\/bfnrt':
            return f"bad escape \\{escape}"
    return ""


def _hex4(body: str, position: int) -> tuple[int, str]:
    digits = body[position : position + 4]
    for digit in digits:
        if digit not in _HEXADECIMAL:
            return 0, "malformed \\u escape"
    if len(digits) < 4:
        return 0, "quoted string ends within \\u escape"
    return int(digits, 16), ""


def _unicode_error(body: str, position: int) -> tuple[int, str]:
    unit, error = _hex4(body, position)
    if error:
        return position, error
    position += 4
    if unit == 0:
        return position, "null bytes not supported in quoted strings"
    if 0xD800 <= unit < 0xDC00:
        if body[position : position + 2] != "\\u":
            return position, "malformed escaped surrogate pair"
        low, error = _hex4(body, position + 2)
        if error:
            return position, error
        if not 0xDC00 <= low < 0xE000:
            return position, "second half of escaped surrogate pair is not trailing surrogate"
        position += 6
    return position, ""


def _string_from_text(text: str, _: Symbols | None) -> Atom:
    string = string_from_text(text)
    error = utf8_error(string)
    if error:
        raise TextError(f"constraint violation: not a valid UTF-8 string: {error}")
    return string


def _uuid_from_text(text: str, symbols: Symbols | None) -> Atom:
    if text[:1] == "@" and symbols is not None:
        return symbols(text)
    if not is_uuid(text):
        raise TextError(f'"{text}" is not a valid UUID')
    return text.lower()


_READERS: Final[dict[AtomicType, Callable[[str, Symbols | None], Atom]]] = {
    AtomicType.REAL: _real_from_text,
    AtomicType.BOOLEAN: _boolean_from_text,
    AtomicType.STRING: _string_from_text,
    AtomicType.UUID: _uuid_from_text,
}


# -- datums ------------------------------------------------------------------------------------------------


class _Element(NamedTuple):
    key: Atom
    value: Atom | None


def datum_from_text(type_: ColumnType, text: str, symbols: Symbols | None = None) -> Datum:
    """A set or map of `type_`, in order, its constraints checked.  Raises TextError."""
    is_map = type_.value is not None
    opening, closing = "{}" if is_map else "[]"
    position = _spaces(text, 0)
    if position == len(text):
        raise TextError(f'use "{opening}{closing}" to specify the empty {"map" if is_map else "set"}')
    inside = text[position] == opening
    if inside:
        position = _spaces(text, position + 1)
    elements: list[_Element] = []
    while position < len(text) and text[position] != closing:
        if text[position] in _DELIMITERS:
            raise _unexpected(type_, text, position)
        position = _elements(type_, text, position, symbols, elements)
        position = _separator(text, position)
    if inside:
        if position == len(text):
            raise TextError(f'{text}: missing "{closing}" at end of data')
        position = _spaces(text, position + 1)
        if position < len(text):
            raise TextError(f'{text}: trailing garbage after "{closing}"')
    elif position < len(text):
        raise _unexpected(type_, text, position)
    return _datum(type_, text, elements)


def _unexpected(type_: ColumnType, text: str, position: int) -> TextError:
    return TextError(f'{text}: unexpected "{text[position]}" parsing {describe(type_)}')


def _elements(
    type_: ColumnType, text: str, position: int, symbols: Symbols | None, elements: list[_Element]
) -> int:
    """Appends what the next word stands for: one element, or those of a range."""
    token, position = word(text, position)
    if type_.value is not None:
        key = atom_from_text(type_.key, token, symbols)
        position = _spaces(text, position)
        if position == len(text):
            raise TextError(f'{text}: syntax error at "')  # the original's message ends at the text's NUL
        if text[position] != "=":
            raise TextError(f'{text}: syntax error at "{text[position]}" expecting "="')
        token, position = word(text, _spaces(text, position + 1))
        elements.append(_Element(key, atom_from_text(type_.value, token, symbols)))
    elif type_.key.type is AtomicType.INTEGER:
        first, last = integer_range(token)
        check(type_.key, first)
        check(type_.key, last)
        if last - first >= RANGE_MAXIMUM:
            raise TextError(
                f'constraint violation: Range "{token}" is too big. Maximum allowed size is {RANGE_MAXIMUM}.'
            )
        elements += [_Element(number, None) for number in range(first, last + 1)]
    else:
        elements.append(_Element(atom_from_text(type_.key, token, symbols), None))
    return position


def _datum(type_: ColumnType, text: str, elements: Sequence[_Element]) -> Datum:
    if len({element.key for element in elements}) < len(elements):
        raise TextError(
            f"{text}: {'map' if type_.value else 'set'} contains duplicate "
            f"{'key' if type_.value else 'value'}"
        )
    if len(elements) < type_.min:
        raise TextError(f"{text}: {len(elements)} value(s) specified but the minimum number is {type_.min}")
    if len(elements) > type_.max:
        raise TextError(f"{text}: {len(elements)} value(s) specified but the maximum number is {type_.max}")
    elements = sorted(elements, key=_order)
    if type_.value is not None:
        return tuple((element.key, element.value) for element in elements)
    return tuple(element.key for element in elements)


def _order(element: _Element) -> Any:
    key = element.key
    return key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
