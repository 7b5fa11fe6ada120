"""The type of a column, as data: what one element may be, and how many there are (RFC 7047 section 3.2).

A scalar is a set of exactly one element, an optional value a set of at most one; a map is a set of keys with
a value each.  These records say only what a type *is*; datum.py parses its values, schema.py parses the type.
"""

from typing import Final, NamedTuple

from trunkline.ovsdb.atoms import Atom, AtomicType, atom_text
from trunkline.ovsdb.errors import CONSTRAINT, OvsdbError

UNLIMITED: Final = (1 << 32) - 1


class BaseType(NamedTuple):
    """What one key or one value may be.

    `minimum` and `maximum` bound integers, reals and the length of strings (characters); None is no bound.
    `enum` holds the allowed values in order, if only some are.  `ref_table` names the table that uuids refer
    to; `ref_type` is "strong" or "weak".
    """

    type: AtomicType
    enum: tuple[Atom, ...] | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    ref_table: str | None = None
    ref_type: str = "strong"

    def check(self, atom: Atom) -> None:
        """Raises OvsdbError "constraint violation" if `atom`, of the right kind, is not allowed here."""
        if self.enum is not None:
            _check_enum(self, self.enum, atom)
        elif isinstance(atom, str):
            if self.type is AtomicType.STRING:
                _check_length(self, atom)
        else:
            _check_range(self, atom)


class ColumnType(NamedTuple):
    """`min` is 0 or 1; `max` at least 1, UNLIMITED at most; `value` None: a set, not a map."""

    key: BaseType
    value: BaseType | None = None
    min: int = 1
    max: int = 1

    @property
    def is_scalar(self) -> bool:
        return self.min == 1 and self.max == 1 and self.value is None

    @property
    def is_map(self) -> bool:
        return self.value is not None


def _check_enum(base: BaseType, enum: tuple[Atom, ...], atom: Atom) -> None:
    if atom not in enum:
        allowed = ", ".join(atom_text(base.type, one) for one in enum)
        said = f"{atom_text(base.type, atom)} is not one of the allowed values ([{allowed}])"
        raise OvsdbError(CONSTRAINT, said)


def _check_range(base: BaseType, number: int | float) -> None:
    low, high = base.minimum, base.maximum
    if (low is None or low <= number) and (high is None or number <= high):
        return
    shown = atom_text(base.type, number)
    if low is not None and high is not None:
        bounds = f"{atom_text(base.type, low)} to {atom_text(base.type, high)}"
        text = f"not in the valid range {bounds} (inclusive)"
    elif low is not None:
        text = f"less than minimum allowed value {atom_text(base.type, low)}"
    else:
        text = f"greater than maximum allowed value {atom_text(base.type, high or 0)}"
    raise OvsdbError(CONSTRAINT, f"{shown} is {text}")


def _check_length(base: BaseType, text: str) -> None:
    length = len(text)
    if base.minimum is not None and length < base.minimum:
        said = f'"{text}" length {length} is less than minimum allowed length {base.minimum}'
        raise OvsdbError(CONSTRAINT, said)
    if base.maximum is not None and length > base.maximum:
        said = f'"{text}" length {length} is greater than maximum allowed length {base.maximum}'
        raise OvsdbError(CONSTRAINT, said)
