"""The <mutation>s of a ``mutate`` (RFC 7047 section 5.1).

Arithmetic works on every element of a set of numbers; ``insert`` and ``delete`` work on sets and maps.
Deleting
from a map names pairs, or keys alone.  Integers have 64 bits and divide towards zero, as in C.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.base.json import INTEGER_MAX, INTEGER_MIN, Json, dumps
from trunkline.ovsdb.atoms import AtomicType, NamedUuids
from trunkline.ovsdb.conditions import column_type
from trunkline.ovsdb.datum import Datum, datum_from_json, describe
from trunkline.ovsdb.errors import CONSTRAINT, SYNTAX, UNKNOWN_COLUMN, OvsdbError, syntax_error
from trunkline.ovsdb.schema import Table
from trunkline.ovsdb.types import UNLIMITED, BaseType, ColumnType


class Mutation(NamedTuple):
    """One parsed mutation.  `keys_only`: `value` names keys of a map, not pairs."""

    column: str
    type: ColumnType
    mutator: str
    value: Datum
    keys_only: bool = False


class _Undefined(Exception):
    """Division by zero."""


def _quotient(one: int, other: int) -> int:
    if other == 0:
        raise _Undefined
    result = abs(one) // abs(other)
    return result if (one < 0) == (other < 0) else -result


def _remainder(one: int, other: int) -> int:
    result = one - _quotient(one, other) * other
    # The originals refuse the remainder whose quotient has no 64 bits.
    return INTEGER_MAX + 1 if one == INTEGER_MIN and other == -1 else result


def _real_quotient(one: float, other: float) -> float:
    if other == 0:
        raise _Undefined
    return one / other


_ARITHMETIC: Final[dict[str, dict[AtomicType, Callable[[Any, Any], Any]]]] = {
    "+=": {AtomicType.INTEGER: lambda a, b: a + b, AtomicType.REAL: lambda a, b: a + b},
    "-=": {AtomicType.INTEGER: lambda a, b: a - b, AtomicType.REAL: lambda a, b: a - b},
    "*=": {AtomicType.INTEGER: lambda a, b: a * b, AtomicType.REAL: lambda a, b: a * b},
    "/=": {AtomicType.INTEGER: _quotient, AtomicType.REAL: _real_quotient},
    "%=": {AtomicType.INTEGER: _remainder},
}


def parse_mutation(table: Table, json: Json, named: NamedUuids | None = None) -> Mutation:
    """One element of ``mutations``.  Raises OvsdbError."""
    match json:
        case [str(name), str(mutator), value]:
            pass
        case _:
            raise syntax_error(json, "Parse error in mutation.")
    type_ = column_type(table, name)
    if type_ is None:
        said = f"No column {name} in table {table.name}."
        raise OvsdbError(UNKNOWN_COLUMN, said, dumps(json, sort_keys=True))
    if name in ("_uuid", "_version") or not table.columns[name].mutable:
        said = f"Cannot mutate immutable column {name} in table {table.name}."
        raise OvsdbError(CONSTRAINT, said, dumps(json, sort_keys=True))
    if mutator in _ARITHMETIC:
        if type_.value is not None or type_.key.type not in _ARITHMETIC[mutator]:
            raise _mismatch(json, name, mutator, type_)
        return Mutation(
            name, type_, mutator, datum_from_json(ColumnType(BaseType(type_.key.type)), value, named)
        )
    if mutator not in ("insert", "delete"):
        raise OvsdbError("unknown mutator", f"No mutator named {mutator}.")
    if type_.is_scalar:
        raise _mismatch(json, name, mutator, type_)
    if mutator == "insert":
        return Mutation(name, type_, mutator, datum_from_json(type_._replace(min=0), value, named))
    some = type_._replace(min=0, max=UNLIMITED)
    if type_.value is None:
        return Mutation(name, type_, mutator, datum_from_json(some, value, named))
    try:
        return Mutation(name, type_, mutator, datum_from_json(some, value, named))
    except OvsdbError:
        return Mutation(name, type_, mutator, datum_from_json(some._replace(value=None), value, named), True)


def _mismatch(json: Json, name: str, mutator: str, type_: ColumnType) -> OvsdbError:
    said = (
        f'Type mismatch: "{mutator}" operator may not be applied to column {name} of type {describe(type_)}.'
    )
    return OvsdbError(SYNTAX, said, dumps(json, sort_keys=True))


def mutate(mutation: Mutation, held: Datum) -> Datum:
    """The value of the column after the mutation.  Raises OvsdbError."""
    type_, mutator, value = mutation.type, mutation.mutator, mutation.value
    if mutator in _ARITHMETIC:
        return _calculate(mutation, held)
    if not value:
        return held
    if type_.value is None:
        merged = set(held)
        result = tuple(sorted(merged.union(value) if mutator == "insert" else merged.difference(value)))
    elif mutator == "insert":
        result = tuple(sorted({**dict(value), **dict(held)}.items()))
    elif mutation.keys_only:
        keys = set(value)
        result = tuple([pair for pair in held if pair[0] not in keys])
    else:
        pairs = set(value)
        result = tuple([pair for pair in held if pair not in pairs])
    if not type_.min <= len(result) <= type_.max:
        raise OvsdbError(CONSTRAINT, f"Attempted to store {len(result)} elements in {describe(type_)}.")
    return result


def _calculate(mutation: Mutation, held: Datum) -> Datum:
    base = mutation.type.key
    function = _ARITHMETIC[mutation.mutator][base.type]
    (operand,) = mutation.value
    results = []
    for atom in held:
        try:
            result = function(atom, operand)
        except _Undefined:
            raise OvsdbError("domain error", "Division by zero.") from None
        fits = (
            INTEGER_MIN <= result <= INTEGER_MAX if base.type is AtomicType.INTEGER else math.isfinite(result)
        )
        if not fits:
            raise OvsdbError("range error", f'Result of "{mutation.mutator}" operation is out of range.')
        base.check(result)
        results.append(result)
    if len(set(results)) < len(results):
        raise OvsdbError(CONSTRAINT, f'Result of "{mutation.mutator}" operation contains duplicates.')
    return tuple(sorted(results))
