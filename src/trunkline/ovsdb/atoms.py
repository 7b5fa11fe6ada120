"""Atoms: the five kinds of value from which an OVSDB database is built (ovsdb(7), RFC 7047 section 3.1).

An atom is a plain Python value, int, float, bool or str; the column's type tells a uuid, which is its
canonical lower-case text, from a string.  Text order of canonical uuids is their numeric order, so every kind
sorts by Python's own comparison.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from trunkline.base.json import Json, dumps, real_text
from trunkline.ovsdb.errors import CONSTRAINT, OvsdbError, syntax_error
from trunkline.ovsdb.utf8 import utf8_error

Atom = int | float | bool | str
Uuid = str

ZERO_UUID: Final[Uuid] = "00000000-0000-0000-0000-000000000000"
UUID_PATTERN: Final = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

NamedUuids = Callable[[str], Uuid]
"""Gives the uuid that a ``["named-uuid", name]`` stands for, making one at its first mention."""


class AtomicType(StrEnum):
    """The kinds of atom, by the name they have in a schema."""

    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    STRING = "string"
    UUID = "uuid"


DEFAULT: Final[dict[AtomicType, Atom]] = {
    AtomicType.INTEGER: 0,
    AtomicType.REAL: 0.0,
    AtomicType.BOOLEAN: False,
    AtomicType.STRING: "",
    AtomicType.UUID: ZERO_UUID,
}


def atomic_type_from_json(json: Json) -> AtomicType:
    """Raises OvsdbError."""
    if isinstance(json, str):
        try:
            return AtomicType(json)
        except ValueError:
            raise syntax_error(json, f'"{json}" is not an atomic-type') from None
    raise syntax_error(json, "atomic-type expected")


def is_id(text: str) -> bool:
    """Whether `text` is an <id> of RFC 7047."""
    return text.isascii() and text.isidentifier()


def atom_from_json(type: AtomicType, json: Json, named: NamedUuids | None = None) -> Atom:
    """The atom that `json` stands for; constraints of a column are not looked at.

    `named` resolves named-uuids; without it they are refused.  Raises OvsdbError.
    """
    if type is AtomicType.STRING:
        if isinstance(json, str):
            if not json.isascii() and (error := utf8_error(json)):
                raise OvsdbError(CONSTRAINT, f"not a valid UTF-8 string: {error}")
            return json
    elif type is AtomicType.UUID:
        return _uuid_from_json(json, named)
    elif type is AtomicType.BOOLEAN:
        if isinstance(json, bool):
            return json
    elif isinstance(json, bool):
        pass
    elif type is AtomicType.INTEGER:
        if isinstance(json, int):
            return json
    elif isinstance(json, int | float):
        return float(json)
    raise syntax_error(json, f"expected {type.value}")


def _uuid_from_json(json: Json, named: NamedUuids | None) -> Uuid:
    match json:
        case ["uuid", str(text)]:
            if UUID_PATTERN.fullmatch(text) is None:
                raise syntax_error(json, f'"{text}" is not a valid UUID')
            return text.lower()
        case ["named-uuid", str(name)] if named is not None:
            if not is_id(name):
                raise syntax_error(json, "named-uuid string is not a valid <id>")
            return named(name)
    raise syntax_error(json, 'expected ["uuid", <string>]')


def atom_to_json(type: AtomicType, atom: Atom) -> Json:
    return ["uuid", atom] if type is AtomicType.UUID else atom


def atom_text(type: AtomicType, atom: Atom) -> str:
    """An atom in the words of an error message: strings bare where they are plain identifiers."""
    if type is AtomicType.REAL:
        return real_text(float(atom))
    if type is AtomicType.BOOLEAN:
        return "true" if atom else "false"
    if type is AtomicType.STRING:
        text = str(atom)
        plain = (
            is_id(text[:1])
            and is_id(text.replace("-", "_").replace(".", "_"))
            and text not in ("true", "false")
            and UUID_PATTERN.fullmatch(text) is None
        )
        return text if plain else dumps(text)
    return str(atom)
