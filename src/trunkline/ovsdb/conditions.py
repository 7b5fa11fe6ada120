"""The <condition>s of a ``where`` (RFC 7047 section 5.1; ovsdb-server(7), "5.1 Notation").

A condition is ``[column, function, value]`` or a boolean.  What the value may be depends on the function: a
comparison wants one number, ``includes`` any part of what the column may hold, ``excludes`` any number of
elements.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.base.json import Json, dumps
from trunkline.ovsdb.atoms import AtomicType, NamedUuids
from trunkline.ovsdb.database import Row
from trunkline.ovsdb.datum import Datum, datum_from_json, describe
from trunkline.ovsdb.errors import SYNTAX, UNKNOWN_COLUMN, OvsdbError, syntax_error
from trunkline.ovsdb.schema import Table
from trunkline.ovsdb.types import UNLIMITED, BaseType, ColumnType

RowTest = Callable[[Row], bool]

UUID_TYPE: Final = ColumnType(BaseType(AtomicType.UUID))
"""The type of the columns that every table has, _uuid and _version."""

_COMPARISONS: Final[dict[str, Callable[[Datum, Datum], bool]]] = {
    "<": lambda held, value: bool(held) and held < value,
    "<=": lambda held, value: bool(held) and held <= value,
    ">": lambda held, value: held > value,
    ">=": lambda held, value: held >= value,
}
_FUNCTIONS: Final[dict[str, Callable[[Datum, Datum], bool]]] = {
    **_COMPARISONS,
    "==": lambda held, value: held == value,
    "!=": lambda held, value: held != value,
    "includes": lambda held, value: set(value).issubset(held),
    "excludes": lambda held, value: set(value).isdisjoint(held),
}


class Condition(NamedTuple):
    """One parsed condition."""

    column: str
    function: str
    value: Datum

    def holds(self, row: Row) -> bool:
        return _FUNCTIONS[self.function](row[self.column], self.value)


class Where(NamedTuple):
    """All conditions of a ``where``; every one must hold.  `never`: one of them was false itself."""

    conditions: tuple[Condition, ...]
    never: bool

    def holds(self, row: Row) -> bool:
        if self.never:
            return False
        return all(_FUNCTIONS[function](row[column], value) for column, function, value in self.conditions)


def column_type(table: Table, name: str) -> ColumnType | None:
    """The type of a column of `table`, or of one that every table has; None when there is none."""
    column = table.columns.get(name)
    if column is not None:
        return column.type
    return UUID_TYPE if name in ("_uuid", "_version") else None


def parse_condition(table: Table, json: Json, named: NamedUuids | None = None) -> Condition | bool:
    """One element of a ``where``.  Raises OvsdbError."""
    if isinstance(json, bool):
        return json
    match json:
        case [str(name), str(function), value]:
            pass
        case _:
            raise syntax_error(json, "Parse error in condition.")
    type_ = column_type(table, name)
    if type_ is None:
        said = f"No column {name} in table {table.name}."
        raise OvsdbError(UNKNOWN_COLUMN, said, dumps(json, sort_keys=True))
    if function not in _FUNCTIONS:
        raise OvsdbError("unknown function", f"No function named {function}.")
    if function in _COMPARISONS:
        if type_.value is not None or type_.max != 1 or type_.key.type not in ("integer", "real"):
            operand = f"column {name} of type {describe(type_)}"
            said = f'Type mismatch: "{function}" operator may not be applied to {operand}.'
            raise OvsdbError(SYNTAX, said, dumps(json, sort_keys=True))
        type_ = type_._replace(min=1)
    elif not type_.is_scalar:
        if function == "includes":
            type_ = type_._replace(min=0)
        elif function == "excludes":
            type_ = type_._replace(min=0, max=UNLIMITED)
    return Condition(name, function, datum_from_json(type_, value, named))


def parse_conditions(table: Table, json: Json, named: NamedUuids | None = None) -> list[Condition | bool]:
    """The elements of a ``where`` one by one.  Raises OvsdbError."""
    if not isinstance(json, list):
        raise syntax_error(json, "array expected")
    return [parse_condition(table, element, named) for element in json]


def where_from_json(table: Table, json: Json, named: NamedUuids | None = None) -> Where:
    """A whole ``where``.  Raises OvsdbError."""
    found = parse_conditions(table, json, named)
    conditions = tuple(one for one in found if not isinstance(one, bool))
    return Where(conditions, False in found)


def parse_where(table: Table, json: Json) -> RowTest:
    """A test of rows by a whole ``where``.  Raises OvsdbError."""
    return where_from_json(table, json).holds
