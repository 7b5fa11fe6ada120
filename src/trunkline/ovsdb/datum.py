"""Datums: the value of one column in one row (RFC 7047 section 3.1, ovsdb(7)).

Every datum is a tuple, which makes it immutable, comparable and shareable between versions of a row:

    scalar, optional, set    sorted atoms, no two alike      ("trunk",)   ()   (1, 2, 5)
    map                      (key, value) pairs, by key      (("a", "x"), ("b", "y"))
"""

from typing import Any, Final

from trunkline.base.json import Json
from trunkline.ovsdb.atoms import (
    DEFAULT,
    Atom,
    AtomicType,
    NamedUuids,
    Uuid,
    atom_from_json,
    atom_to_json,
)
from trunkline.ovsdb.errors import INTERNAL, OvsdbError, syntax_error
from trunkline.ovsdb.types import UNLIMITED, BaseType, ColumnType

Datum = tuple[Any, ...]

EMPTY: Final[Datum] = ()


def default(type: ColumnType) -> Datum:
    """The value of a column that an insert does not mention."""
    if type.min == 0:
        return EMPTY
    key = DEFAULT[type.key.type]
    return (key,) if type.value is None else ((key, DEFAULT[type.value.type]),)


def is_default(type: ColumnType, datum: Datum) -> bool:
    return datum == default(type)


def datum_from_json(type: ColumnType, json: Json, named: NamedUuids | None = None) -> Datum:
    """The datum that `json` stands for, checked against the column's constraints.

    `named` resolves named-uuids (see atoms.py).  Raises OvsdbError.
    """
    key = type.key
    if type.value is not None:
        return _map_from_json(type, key, type.value, json, named)
    if json.__class__ is str and key.type is AtomicType.STRING and key.enum is None and json.isascii():
        if key.minimum is not None or key.maximum is not None:
            key.check(json)
        return (json,)
    if json.__class__ is list and json and json[0] == "set":
        return _set_from_json(type, json, named)
    return (_element(key, json, named),)


def _element(base: BaseType, json: Json, named: NamedUuids | None) -> Atom:
    atom = atom_from_json(base.type, json, named)
    if base.enum is not None or base.minimum is not None or base.maximum is not None:
        base.check(atom)
    return atom


def _set_from_json(type: ColumnType, json: list[Json], named: NamedUuids | None) -> Datum:
    if len(json) != 2 or not isinstance(json[1], list):
        raise syntax_error(json, 'expected ["set", <array>]')
    _check_size(type, json, len(json[1]))
    atoms = sorted(_element(type.key, element, named) for element in json[1])
    if len(set(atoms)) != len(atoms):
        raise OvsdbError(INTERNAL, "set contains duplicate")
    return tuple(atoms)


def _map_from_json(
    type: ColumnType, key: BaseType, value: BaseType, json: Json, named: NamedUuids | None
) -> Datum:
    if not (isinstance(json, list) and len(json) == 2 and json[0] == "map" and isinstance(json[1], list)):
        raise syntax_error(json, 'expected ["map", <array>]')
    _check_size(type, json, len(json[1]))
    pairs: dict[Atom, Atom] = {}
    for pair in json[1]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise syntax_error(pair, "expected 2-element array")
        one = _element(key, pair[0], named)
        other = _element(value, pair[1], named)
        if one in pairs:
            raise OvsdbError(INTERNAL, "map contains duplicate key")
        pairs[one] = other
    return tuple(sorted(pairs.items()))


def _check_size(type: ColumnType, json: Json, size: int) -> None:
    if type.min <= size <= type.max:
        return
    kind = "set" if type.value is None else "map"
    if type.min == type.max == 1:
        raise syntax_error(json, f"{kind} must have exactly one member but {size} are present")
    raise syntax_error(json, f"{kind} must have {type.min} to {type.max} members but {size} are present")


def datum_to_json(type: ColumnType, datum: Datum) -> Json:
    """The shortest form, as the originals write it: one element of a set stands alone."""
    key = type.key.type
    if type.value is not None:
        value = type.value.type
        pairs: list[Json] = [[atom_to_json(key, one), atom_to_json(value, other)] for one, other in datum]
        return ["map", pairs]
    if len(datum) == 1:
        return ["uuid", datum[0]] if key is AtomicType.UUID else datum[0]
    return ["set", [atom_to_json(key, atom) for atom in datum]]


def references(type: ColumnType, datum: Datum) -> tuple[tuple[str, str, Uuid], ...]:
    """The (table, "strong" or "weak", uuid) of every reference in `datum`."""
    key, value = type.key, type.value
    found: list[tuple[str, str, Uuid]] = []
    if key.ref_table is not None:
        atoms = datum if value is None else tuple(pair[0] for pair in datum)
        found += ((key.ref_table, key.ref_type, uuid) for uuid in atoms)
    if value is not None and value.ref_table is not None:
        found += ((value.ref_table, value.ref_type, pair[1]) for pair in datum)
    return tuple(found)


def describe(type: ColumnType) -> str:
    """A type in the words of error messages: "set of up to 3 strings"; constraints of atoms are left out."""
    key = type.key.type.value
    if type.is_scalar:
        return key
    if type.max == UNLIMITED:
        size = f"{type.min} or more " if type.min else ""
    else:
        size = f"{type.min} to {type.max} " if type.min else f"up to {type.max} "
    if type.value is not None:
        return f"map of {size}({key}, {type.value.type.value}) pairs"
    return f"set of {size}{key}s"


def difference(type_: ColumnType, old: Datum, new: Datum) -> Datum:
    """What tells `new` from `old`, in the log and in updates to monitors (ovsdb-server(7), 4.1.14).

    Of a set, the elements that are in one of the two only; of a map, the pairs that came or went, and a key
    whose value changed with its new value; of what holds at most one element, the new value.
    """
    if type_.max == 1:
        return new
    if type_.value is None:
        return tuple(sorted(set(old).symmetric_difference(new)))
    before, after = dict(old), dict(new)
    found = [pair for pair in new if pair[0] not in before or before[pair[0]] != pair[1]]
    found += [pair for pair in old if pair[0] not in after]
    return tuple(sorted(found))


def apply_difference(type_: ColumnType, old: Datum, found: Datum) -> Datum:
    """The value that `difference` was made from."""
    if type_.max == 1:
        return found
    if type_.value is None:
        return tuple(sorted(set(old).symmetric_difference(found)))
    merged = dict(old)
    for key, value in found:
        if key in merged and merged[key] == value:
            del merged[key]
        else:
            merged[key] = value
    return tuple(sorted(merged.items()))
