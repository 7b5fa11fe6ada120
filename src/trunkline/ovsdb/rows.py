"""Database rows as a program wants them: typed records made from the schema, and transactions made of them.

A row is a named tuple whose fields are ``uuid`` and the table's columns.  What a column holds follows from
its type in the schema:

====================================  ==========================
exactly one value                     the value
at most one value                     the value, or None
a set                                 a tuple, sorted
a map                                 a read-only Mapping
a reference                           the row's uuid, a str
====================================  ==========================

Rows are immutable; a change is a new row.  Columns that are not monitored hold the type's default.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from trunkline.base.json import Json
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.datum import datum_from_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.schema import Column, Schema, Table
from trunkline.ovsdb.types import BaseType, ColumnType

Uuid = str
Row = Any  # a named tuple with `uuid` and the columns; model/*.pyi says which

EMPTY_MAP: Final[Mapping[Any, Any]] = MappingProxyType({})


class NamedUuid(str):
    """A row that the same transaction inserts; stands for its uuid as a value."""

    __slots__ = ()


# -- JSON to values ----------------------------------------------------------------------------------------

_DEFAULT_ATOM: Final[dict[AtomicType, Any]] = {
    AtomicType.INTEGER: 0,
    AtomicType.REAL: 0.0,
    AtomicType.BOOLEAN: False,
    AtomicType.STRING: "",
    AtomicType.UUID: "00000000-0000-0000-0000-000000000000",
}


class Malformed(Exception):
    """The server sent what the schema does not allow."""


def default_value(type_: ColumnType) -> Any:
    """What a column shows that was never set."""
    if type_.value is not None:
        return EMPTY_MAP
    if type_.max == 1:
        return _DEFAULT_ATOM[type_.key.type] if type_.min == 1 else None
    return () if type_.min == 0 else (_DEFAULT_ATOM[type_.key.type],)


def _read_atom(base: BaseType, json: Json) -> Any:
    if base.type is AtomicType.UUID:
        if type(json) is list and len(json) == 2 and json[0] == "uuid" and type(json[1]) is str:
            return json[1]
        raise Malformed(f"no uuid: {json!r}")
    if base.type is AtomicType.REAL and type(json) is int:
        return float(json)
    if type(json) is not type(_DEFAULT_ATOM[base.type]):
        raise Malformed(f"no {base.type.name.lower()}: {json!r}")
    return json


def _members(json: Json, tag: str) -> list[Json] | None:
    if type(json) is list and len(json) == 2 and json[0] == tag and type(json[1]) is list:
        return json[1]
    return None


def reader(type_: ColumnType) -> Callable[[Json], Any]:
    """What turns a JSON <value> into what a row shows.  It raises Malformed."""
    key, value = type_.key, type_.value
    if value is not None:

        def read_map(json: Json) -> Any:
            pairs = _members(json, "map")
            if pairs is None or any(type(pair) is not list or len(pair) != 2 for pair in pairs):
                raise Malformed(f"no map: {json!r}")
            if not pairs:
                return EMPTY_MAP
            found = [(_read_atom(key, k), _read_atom(value, v)) for k, v in pairs]
            return MappingProxyType(dict(sorted(found)))

        return read_map

    def read_set(json: Json) -> Any:
        members = _members(json, "set")
        if members is None:
            return (_read_atom(key, json),)
        return tuple(sorted([_read_atom(key, member) for member in members]))

    if type_.max != 1:
        return read_set

    def read_one(json: Json) -> Any:
        values = read_set(json)
        if len(values) > 1 or len(values) < type_.min:
            raise Malformed(f"no single value: {json!r}")
        return values[0] if values else None

    return read_one


def apply_difference(type_: ColumnType, old: Any, difference: Any) -> Any:
    """The new value of a column, from its old one and a <row-update2> "modify" (ovsdb-server(7), 4.1.14)."""
    if type_.max == 1:
        return difference
    if type_.value is not None:
        merged = dict(old)
        for key, value in difference.items():
            if merged.get(key, _ABSENT) == value:
                del merged[key]
            else:
                merged[key] = value
        return MappingProxyType(dict(sorted(merged.items()))) if merged else EMPTY_MAP
    return tuple(sorted(set(old).symmetric_difference(difference)))


_ABSENT: Final = object()


class RowType:
    """Makes the rows of one table."""

    __slots__ = ("_defaults", "_places", "_readers", "columns", "make", "name", "types")

    def __init__(self, table: Table) -> None:
        from collections import namedtuple

        self.name = table.name
        self.columns = tuple(name for name in table.columns if not name.startswith("_"))
        self.make: Any = namedtuple(table.name, ("uuid", *self.columns))  # type: ignore[misc]
        self.types = {name: table.columns[name].type for name in self.columns}
        self._readers = {name: reader(type_) for name, type_ in self.types.items()}
        self._defaults = [default_value(self.types[name]) for name in self.columns]
        self._places = {name: place for place, name in enumerate(("uuid", *self.columns))}

    def row(self, uuid: Uuid, json: Mapping[str, Json]) -> Row:
        """A row from a JSON <row>; columns that are not in it have their default.  Raises Malformed."""
        values = [uuid, *self._defaults]
        for name, value in json.items():
            if name in self._places:
                values[self._places[name]] = self._readers[name](value)
        return self.make._make(values)

    def modified(self, row: Row, json: Mapping[str, Json]) -> Row:
        """`row` after the differences of a "modify".  Raises Malformed."""
        values = list(row)
        for name, value in json.items():
            if name in self._places:
                place = self._places[name]
                values[place] = apply_difference(self.types[name], values[place], self._readers[name](value))
        return self.make._make(values)


# -- values to JSON ----------------------------------------------------------------------------------------


def _atom(base: BaseType, value: Any) -> Json:
    if base.type is AtomicType.UUID:
        return ["named-uuid", str(value)] if type(value) is NamedUuid else ["uuid", value]
    if base.type is AtomicType.REAL and type(value) is int:
        return float(value)
    return value


def to_json(type_: ColumnType, value: Any) -> Json:
    """The JSON <value> (RFC 7047, 5.1) of what a row shows or a program wants to write.

    Takes None, one atom, any collection of atoms, or a mapping.
    """
    if type_.value is not None:
        pairs = value.items() if isinstance(value, Mapping) else value
        return ["map", [[_atom(type_.key, key), _atom(type_.value, item)] for key, item in pairs]]
    if value is None:
        return ["set", []]
    if isinstance(value, (tuple, list, set, frozenset)):
        if len(value) == 1:
            return _atom(type_.key, next(iter(value)))
        return ["set", [_atom(type_.key, item) for item in value]]
    return _atom(type_.key, value)


class Transaction:
    """Operations for one transact request, in the order of the calls.

    Rows are named by uuid, or by the NamedUuid of a row inserted here.  Writing only what changed, by
    `mutate` for sets and maps, keeps a transaction small and lets others write beside it.
    """

    __slots__ = ("_next", "_schema", "operations")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._next = 0
        self.operations: list[Json] = []

    def __bool__(self) -> bool:
        return bool(self.operations)

    def _column(self, table: str, name: str) -> Column:
        return self._schema.tables[table].columns[name]

    def _values(self, table: str, columns: Mapping[str, Any]) -> Json:
        return {name: to_json(self._column(table, name).type, value) for name, value in columns.items()}

    @staticmethod
    def _where(uuid: Uuid) -> Json:
        return [["_uuid", "==", ["named-uuid", str(uuid)] if type(uuid) is NamedUuid else ["uuid", uuid]]]

    def _add(self, op: str, table: str, uuid: Uuid, **members: Json) -> None:
        self.operations.append({"op": op, "table": table, "where": self._where(uuid), **members})

    def insert(self, table: str, **columns: Any) -> NamedUuid:
        self._next += 1
        name = NamedUuid(f"row{self._next}")
        row = self._values(table, columns)
        self.operations.append({"op": "insert", "table": table, "row": row, "uuid-name": str(name)})
        return name

    def fitting(self, table: str, columns: Mapping[str, Any]) -> dict[str, Any]:
        """`columns` as the schema lets them be: a value that its column cannot hold becomes None, nothing.

        For what is measured or comes from elsewhere: one wrong value must not keep the others out.
        """
        return {name: value if self._fits(table, name, value) else None for name, value in columns.items()}

    def _fits(self, table: str, column: str, value: Any) -> bool:
        type_ = self._column(table, column).type
        try:
            datum_from_json(type_, to_json(type_, value))
        except OvsdbError:
            return type_.min > 0  # nothing would not fit either: the server says what is wrong
        return True

    def update(self, table: str, uuid: Uuid, **columns: Any) -> None:
        self._add("update", table, uuid, row=self._values(table, columns))

    def mutate(self, table: str, uuid: Uuid, column: str, mutator: str, value: Any) -> None:
        """`mutator` is one of ``+= -= *= /= %= insert delete``."""
        type_ = self._column(table, column).type
        if mutator == "delete" and type_.value is not None and not isinstance(value, Mapping):
            json: Json = ["set", [_atom(type_.key, key) for key in value]]
        else:
            json = to_json(type_, value)
        self._add("mutate", table, uuid, mutations=[[column, mutator, json]])

    def set_keys(self, table: str, uuid: Uuid, column: str, values: Mapping[Any, Any]) -> None:
        """Sets keys of a map, leaving its others alone."""
        type_ = self._column(table, column).type
        keys = ["set", [_atom(type_.key, key) for key in values]]
        mutations = [[column, "delete", keys], [column, "insert", to_json(type_, values)]]
        self._add("mutate", table, uuid, mutations=mutations)

    def remove_keys(self, table: str, uuid: Uuid, column: str, keys: Iterable[Any]) -> None:
        self.mutate(table, uuid, column, "delete", list(keys))

    def delete(self, table: str, uuid: Uuid) -> None:
        self._add("delete", table, uuid)

    def wait(self, table: str, uuid: Uuid, **columns: Any) -> None:
        """The transaction fails ("try_again") unless the row is there and holds exactly these values."""
        self._add(
            "wait",
            table,
            uuid,
            timeout=0,
            columns=list(columns),
            until="==",
            rows=[self._values(table, columns)],
        )

    def comment(self, text: str) -> None:
        self.operations.append({"op": "comment", "comment": text})

    def raw(self, operations: Sequence[Json]) -> None:
        self.operations.extend(operations)
