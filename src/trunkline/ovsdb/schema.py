"""Database schemas: which tables and columns there are, and what their values may be (RFC 7047 section 3.2).

The JSON of a schema is its declaration, on the wire, in files and in this project (model/*.ovsschema).  A
`Schema` is that JSON, understood; `to_json` gives it back in the originals' shortest form, with the members
they add (`cksum` only if it was there, `isRoot` only if it matters).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from trunkline.base.json import INTEGER_MAX, Json
from trunkline.ovsdb.atoms import AtomicType, atomic_type_from_json, is_id
from trunkline.ovsdb.datum import datum_from_json, datum_to_json
from trunkline.ovsdb.errors import SYNTAX, OvsdbError, syntax_error
from trunkline.ovsdb.members import ANY, Members
from trunkline.ovsdb.types import UNLIMITED, BaseType, ColumnType

__all__ = ["UNLIMITED", "BaseType", "Column", "ColumnType", "Schema", "Table"]

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


class Column(NamedTuple):
    name: str
    type: ColumnType
    mutable: bool = True
    ephemeral: bool = False

    @property
    def persistent(self) -> bool:
        return not self.ephemeral


class Table(NamedTuple):
    """`columns` without _uuid and _version, in the order of their names; `indexes` are tuples of names."""

    name: str
    columns: Mapping[str, Column]
    max_rows: int = UNLIMITED
    is_root: bool = True
    indexes: tuple[tuple[str, ...], ...] = ()


class Schema(NamedTuple):
    """`tables` in the order of their names; `is_root` of each is settled: all are, if none says so."""

    name: str
    version: str
    cksum: str
    tables: Mapping[str, Table]

    @classmethod
    def from_json(cls, json: Json) -> "Schema":
        """Raises OvsdbError."""
        return _schema(json)

    def to_json(self) -> dict[str, Json]:
        shown: dict[str, Json] = {"name": self.name}
        if self.version:
            shown["version"] = self.version
        if self.cksum:
            shown["cksum"] = self.cksum
        some_are_not = not all(table.is_root for table in self.tables.values())
        shown["tables"] = {name: _table_json(table, some_are_not) for name, table in self.tables.items()}
        return shown


def _schema(json: Json) -> Schema:
    members = Members(json, "database schema")
    name = members.take("name", ("id",))
    version = members.take("version", ("string",), optional=True) or ""
    cksum = members.take("cksum", ("string",), optional=True) or ""
    tables_json: dict[str, Json] = members.take("tables", ("object",))
    members.finish()
    if version and _VERSION.fullmatch(version) is None:
        raise syntax_error(json, f'schema version "{version}" not in format x.y.z')
    tables: dict[str, Table] = {}
    any_root = False
    for table_name in sorted(tables_json):
        _check_name(json, table_name)
        tables[table_name], is_root = _table(table_name, tables_json[table_name])
        any_root = any_root or is_root
    if not any_root:
        tables = {name: table._replace(is_root=True) for name, table in tables.items()}
    for table in tables.values():
        for column in table.columns.values():
            _check_reference(tables, column.name, "key", column.type.key)
            if column.type.value is not None:
                _check_reference(tables, column.name, "value", column.type.value)
    for table_name, table in tables.items():
        tables[table_name] = _as_it_must_be(table, tables)
    return Schema(name, version, cksum, tables)


def _as_it_must_be(table: Table, tables: Mapping[str, Table]) -> Table:
    """What references ask of their columns, whatever those say: weak ones go when rows go, so the column must
    be mutable; strong ones keep rows alive that are no roots, so it must be in the file."""
    columns = {}
    for name, column in table.columns.items():
        references = [base for base in (column.type.key, column.type.value) if base and base.ref_table]
        if any(base.ref_type == "weak" for base in references):
            column = column._replace(mutable=True)
        if any(base.ref_type == "strong" and not tables[base.ref_table or ""].is_root for base in references):
            column = column._replace(ephemeral=False)
        columns[name] = column
    return table._replace(columns=columns)


def _check_name(json: Json, name: str) -> None:
    if not is_id(name):
        raise syntax_error(json, "name must be a valid id")
    if name.startswith("_"):
        raise syntax_error(json, 'names beginning with "_" are reserved')


def _check_reference(tables: Mapping[str, Table], column: str, part: str, base: BaseType) -> None:
    if base.ref_table is not None and base.ref_table not in tables:
        raise OvsdbError(SYNTAX, f"column {column} {part} refers to undefined table {base.ref_table}")


def _table(name: str, json: Json) -> tuple[Table, bool]:
    """The table, and whether it says of itself that it is a root."""
    members = Members(json, f"table schema for table {name}")
    columns_json: dict[str, Json] = members.take("columns", ("object",))
    max_rows = members.take("maxRows", ("integer",), optional=True)
    is_root = bool(members.take("isRoot", ("boolean",), optional=True))
    indexes_json = members.take("indexes", ("array",), optional=True) or []
    members.finish()
    if max_rows is None:
        max_rows = UNLIMITED
    elif max_rows < 1:
        raise syntax_error(json, "maxRows must be at least 1")
    if not columns_json:
        raise syntax_error(json, "table must have at least one column")
    columns: dict[str, Column] = {}
    for column_name in sorted(columns_json):
        _check_name(json, column_name)
        columns[column_name] = _column(column_name, columns_json[column_name])
    indexes = tuple(_index(json, columns, index) for index in indexes_json)
    return Table(name, columns, min(max_rows, UNLIMITED), is_root, indexes), is_root


def _index(table_json: Json, columns: Mapping[str, Column], json: Json) -> tuple[str, ...]:
    if not isinstance(json, list) or not all(isinstance(name, str) for name in json):
        raise syntax_error(json, "array of distinct column names expected")
    names = tuple(str(name) for name in json)
    for name in names:
        if name not in columns and name not in ("_uuid", "_version"):
            raise syntax_error(json, f"{name} is not a valid column name")
    if len(set(names)) != len(names):
        raise syntax_error(json, "array of distinct column names expected")
    if not names:
        raise syntax_error(table_json, "index must have at least one column")
    for name in names:
        if name in columns and columns[name].ephemeral:
            raise syntax_error(table_json, f"ephemeral columns (such as {name}) may not be indexed")
    return names


def _column(name: str, json: Json) -> Column:
    members = Members(json, f"schema for column {name}")
    mutable = members.take("mutable", ("boolean",), optional=True)
    ephemeral = members.take("ephemeral", ("boolean",), optional=True)
    type_json = members.take("type", ("string", "object"))
    members.finish()
    return Column(name, column_type_from_json(type_json), mutable is not False, ephemeral is True)


def column_type_from_json(json: Json) -> ColumnType:
    """Raises OvsdbError."""
    if isinstance(json, str):
        return ColumnType(base_type_from_json(json))
    members = Members(json, "ovsdb type")
    key_json = members.take("key", ("string", "object"))
    value_json = members.take("value", ("string", "object"), optional=True)
    low_json = members.take("min", ("integer",), optional=True)
    high_json = members.take("max", ("integer", "string"), optional=True)
    members.finish()
    key = base_type_from_json(key_json)
    value = base_type_from_json(value_json) if value_json is not None else None
    low = _count(low_json) if low_json is not None else 1
    high = UNLIMITED if high_json == "unlimited" else _count(high_json) if high_json is not None else 1
    if low > 1 or high < 1:
        raise syntax_error(json, "ovsdb type fails constraint checks")
    return ColumnType(key, value, low, high)


def _count(json: Json) -> int:
    if isinstance(json, int) and 0 <= json < UNLIMITED:
        return json
    raise syntax_error(json, "bad min or max value")


def base_type_from_json(json: Json) -> BaseType:
    """Raises OvsdbError."""
    if isinstance(json, str):
        return BaseType(atomic_type_from_json(json))
    members = Members(json, "ovsdb type")
    kind_json = members.take("type", ("string",))
    members.check()
    kind = atomic_type_from_json(kind_json)
    enum_json = members.take("enum", ANY, optional=True)
    base = BaseType(kind)
    if enum_json is not None:
        enum_type = ColumnType(base, None, 1, UNLIMITED)
        base = base._replace(enum=datum_from_json(enum_type, enum_json))
    elif kind is AtomicType.INTEGER:
        base = _bounds(json, base, members, "minInteger", "maxInteger", "integer")
    elif kind is AtomicType.REAL:
        base = _bounds(json, base, members, "minReal", "maxReal", "integer", "real")
    elif kind is AtomicType.STRING:
        base = _bounds(json, base, members, "minLength", "maxLength", "integer")
    elif kind is AtomicType.UUID:
        base = _reference(json, base, members)
    members.finish()
    return base


_LIMITS: Final[dict[AtomicType, tuple[float, float]]] = {
    AtomicType.INTEGER: (-INTEGER_MAX - 1, INTEGER_MAX),
    AtomicType.REAL: (-1.7976931348623157e308, 1.7976931348623157e308),
    AtomicType.STRING: (0, UNLIMITED),
}
"""Bounds that say nothing: what any value of the type satisfies."""


def _bounds(
    json: Json, base: BaseType, members: Members, low_name: str, high_name: str, *kinds: str
) -> BaseType:
    low = members.take(low_name, kinds, optional=True)
    high = members.take(high_name, kinds, optional=True)
    if base.type is AtomicType.STRING:
        for name, length in ((low_name, low), (high_name, high)):
            if length is not None and not 0 <= length <= UNLIMITED:
                raise syntax_error(length, f"{name} out of valid range 0 to {UNLIMITED}")
    members.check()
    if low is not None and high is not None and low > high:
        raise syntax_error(json, f"{low_name} exceeds {high_name}")
    least, most = _LIMITS[base.type]
    return base._replace(minimum=None if low == least else low, maximum=None if high == most else high)


def _reference(json: Json, base: BaseType, members: Members) -> BaseType:
    table = members.take("refTable", ("id",), optional=True)
    if table is None:
        return base
    kind = members.take("refType", ("string",), optional=True) or "strong"
    if kind not in ("strong", "weak"):
        raise syntax_error(json, f'refType must be "strong" or "weak" (not "{kind}")')
    return base._replace(ref_table=table, ref_type=kind)


def _table_json(table: Table, some_are_not_roots: bool) -> Json:
    shown: dict[str, Json] = {"columns": {name: _column_json(one) for name, one in table.columns.items()}}
    if table.max_rows != UNLIMITED:
        shown["maxRows"] = table.max_rows
    if table.is_root and some_are_not_roots:
        shown["isRoot"] = True
    if table.indexes:
        shown["indexes"] = [list(index) for index in table.indexes]
    return shown


def _column_json(column: Column) -> Json:
    shown: dict[str, Json] = {"type": column_type_to_json(column.type)}
    if not column.mutable:
        shown["mutable"] = False
    if column.ephemeral:
        shown["ephemeral"] = True
    return shown


def column_type_to_json(type: ColumnType) -> Json:
    """The shortest form."""
    key = base_type_to_json(type.key)
    if type.is_scalar and isinstance(key, str):
        return key
    shown: dict[str, Json] = {"key": key}
    if type.value is not None:
        shown["value"] = base_type_to_json(type.value)
    if type.min != 1:
        shown["min"] = type.min
    if type.max == UNLIMITED:
        shown["max"] = "unlimited"
    elif type.max != 1:
        shown["max"] = type.max
    return shown


_BOUND_NAMES: Final = {
    AtomicType.INTEGER: ("minInteger", "maxInteger"),
    AtomicType.REAL: ("minReal", "maxReal"),
    AtomicType.STRING: ("minLength", "maxLength"),
}


def base_type_to_json(base: BaseType) -> Json:
    """The shortest form: only the name of the kind where there is no more to say."""
    shown: dict[str, Json] = {"type": base.type.value}
    if base.enum is not None:
        shown["enum"] = datum_to_json(ColumnType(base, None, 1, UNLIMITED), base.enum)
    if base.type in _BOUND_NAMES:
        low_name, high_name = _BOUND_NAMES[base.type]
        if base.minimum is not None:
            shown[low_name] = base.minimum
        if base.maximum is not None:
            shown[high_name] = base.maximum
    if base.ref_table is not None:
        shown["refTable"] = base.ref_table
        if base.ref_type == "weak":
            shown["refType"] = "weak"
    return shown if len(shown) > 1 else base.type.value
