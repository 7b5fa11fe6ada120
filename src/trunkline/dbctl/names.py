"""How a user names things: tables and columns by abbreviation, records by name or uuid, and conditions.

Names of tables and columns match in any case, with dashes for underscores, and by any unique beginning.
Records are found by their uuid, by what the tool's `Lookup` rows say for the table, by a unique beginning
of the uuid, or, when a table has a single row, by ".".
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from trunkline.dbctl.grammar import UsageError
from trunkline.dbctl.work import Row, Work, atom_order
from trunkline.ovsdb.atoms import Atom, AtomicType, Uuid
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.schema import Column, Schema, Table
from trunkline.ovsdb.text import Symbols, TextError, atom_from_text, datum_from_text, is_uuid, word
from trunkline.ovsdb.types import ColumnType

Value = TypeVar("Value")

SHORTEST_UUID: Final = 4
"""The fewest digits that may stand for a uuid."""

OPERATORS: Final = (
    "=",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "{=}",
    "{!=}",
    "{<}",
    "{>}",
    "{<=}",
    "{>=}",
    "{in}",
    "{not-in}",
)


class Lookup(NamedTuple):
    """One way to name a record of a table.

    `column` of `table` (None: the record's own table) has to equal the name, and `via` is the column of that
    row that refers to the record.  Without `column`, the name is "." and stands for the table's only row.
    """

    column: str | None
    table: str | None = None
    via: str | None = None


# -- tables and columns ------------------------------------------------------------------------------------


def _matching(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that `name` may mean: the one it equals, or those that begin so; none of ""."""
    wanted = name.lower().replace("-", "_")
    found = []
    for candidate in sorted(names):
        plain = candidate.lower().replace("-", "_")
        if plain == wanted:
            return [candidate]
        if wanted and plain.startswith(wanted):
            found.append(candidate)
    return found


def find_table(schema: Schema, name: str) -> Table:
    found = _matching(name, schema.tables)
    if not found:
        raise UsageError(f'unknown table "{name}"')
    if len(found) > 1:
        raise UsageError(f'"{name}" matches multiple table names: {", ".join(found)}')
    return schema.tables[found[0]]


def find_column(table: Table, name: str) -> Column:
    found = _matching(name, table.columns)
    if not found:
        raise UsageError(f'{table.name} does not contain a column whose name matches "{name}"')
    if len(found) > 1:
        raise UsageError(
            f'{table.name} contains more than one column whose name matches "{name}": {", ".join(found)}'
        )
    return table.columns[found[0]]


def parse(function: "Callable[..., Value]", *arguments: object) -> Value:
    """Calls a parser; what is wrong with the text becomes the user's mistake."""
    try:
        return function(*arguments)
    except TextError as error:
        raise UsageError(str(error)) from None


def column_of(text: str, table: Table) -> Column:
    """The column with which an argument ``column[:key]...`` begins.  Raises UsageError."""
    try:
        name, _ = word(text, 0)
    except TextError as error:
        raise UsageError(str(error)) from None
    if not name:
        raise UsageError(f"{text}: missing column name")
    return find_column(table, name)


class Place(NamedTuple):
    """``column[:key]`` and what follows it: an operator and the text of a value, where given."""

    column: Column
    key: str | None = None
    operator: str | None = None
    value: str = ""


def parse_place(text: str, table: Table, operators: Sequence[str] = ()) -> Place:
    """``column[:key][OPERATOR value]``.  With `operators` one of them and a value must follow.

    Raises UsageError.
    """
    try:
        name, position = word(text, 0)
        if not name:
            raise UsageError(f"{text}: missing column name")
        column = find_column(table, name)
        key = None
        if text[position : position + 1] == ":":
            key, position = word(text, position + 1)
    except TextError as error:
        raise UsageError(str(error)) from None
    rest = text[position:]
    if not operators:
        if rest:
            raise UsageError(f'{text}: trailing garbage "{rest}" in argument')
        return Place(column, key)
    best = max((operator for operator in operators if rest.startswith(operator)), key=len, default=None)
    if best is None or rest == best:
        quoted = [f'"{operator}"' for operator in operators]
        listed = f"{', '.join(quoted[:-1])}, or {quoted[-1]}" if len(quoted) > 1 else quoted[0]
        raise UsageError(f"{text}: argument does not end in {listed} followed by a value.")
    return Place(column, key, best, rest[len(best) :])


def symbols_of(work: Work, type_: ColumnType) -> Symbols:
    """How ``@name`` is read in a value of `type_`: such a row is referred to from now on."""

    def symbol(name: str) -> Uuid:
        found = work.symbol(name)
        found.referenced = True
        bases = [base for base in (type_.key, type_.value) if base is not None and base.ref_table]
        if any(base.ref_type != "weak" for base in bases):
            found.held = True
        return found.uuid

    return symbol


# -- records -----------------------------------------------------------------------------------------------


def find_record(
    work: Work,
    lookups: Sequence[Lookup],
    table: str,
    name: str,
    columns: Sequence[str] = (),
    *,
    must: bool = True,
) -> Row | None:
    """The row of `table` that `name` means, `columns` read along.  Without `must`, None if there is none.

    Raises UsageError.
    """
    if is_uuid(name):
        row = work.row(table, name.lower(), columns)
        if row is not None:
            return row
    found: Row | None = None
    for lookup in lookups:
        row = _by_lookup(work, lookup, table, name, columns)
        if row is not None:
            if found is not None and found is not row:
                raise UsageError(f'multiple rows in {table} match "{name}"')
            found = row
    if found is None and name == ".":
        rows = work.all(table, columns)
        found = rows[0] if len(rows) == 1 else None
    if found is None and len(name) >= SHORTEST_UUID and _uuid_beginning(name):
        beginning = [row for row in work.all(table) if row.uuid.startswith(name)]
        if len(beginning) > 1:
            raise UsageError(f"{name} contains 2 or more rows in table {table}")
        found = beginning[0] if beginning else None
    if found is None and must:
        raise UsageError(f'no row "{name}" in table {table}')
    return found


def _uuid_beginning(name: str) -> bool:
    pattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
    return len(name) <= len(pattern) and all(
        letter == "-" if place == "-" else letter in "0123456789abcdef"
        for letter, place in zip(name, pattern)
    )


def _by_lookup(work: Work, lookup: Lookup, table: str, name: str, columns: Sequence[str]) -> Row | None:
    where = lookup.table or table
    if lookup.column is None:
        rows = work.all(where, columns) if name == "." else []
        if len(rows) != 1:
            return None
        (row,) = rows
    else:
        base = work.type(where, lookup.column).key
        if base.type is AtomicType.STRING:
            atom: Atom = name
        else:
            try:
                atom = atom_from_text(base, name)
            except TextError:
                return None
        rows = work.find(where, lookup.column, atom, [lookup.via] if lookup.via else columns)
        if len(rows) > 1:
            raise UsageError(f'multiple rows in {where} match "{name}"')
        if not rows:
            return None
        row = rows[0]
    if lookup.via is None:
        return row
    referred = work.get(row, lookup.via)
    return work.row(table, str(referred[0]), columns) if len(referred) == 1 else None


# -- conditions --------------------------------------------------------------------------------------------


class Condition(NamedTuple):
    """A test of a column, or of the value under `key` of a map."""

    column: str
    key: object | None
    operator: str
    type: ColumnType
    value: Datum


def parse_condition(text: str, table: Table, work: Work) -> Condition:
    place = parse_place(text, table, OPERATORS)
    assert place.operator is not None
    type_ = place.column.type
    if place.key is None:
        value = parse(datum_from_text, type_, place.value, symbols_of(work, type_))
        return Condition(place.column.name, None, place.operator, type_, value)
    if type_.value is None:
        raise UsageError(f"cannot specify key to check for non-map column {place.column.name}")
    key = parse(atom_from_text, type_.key, place.key)
    element = ColumnType(type_.value, None, 0, type_.max)
    return Condition(
        place.column.name, key, place.operator, element, parse(datum_from_text, element, place.value)
    )


def holds(condition: Condition, datum: Datum) -> bool:
    """Whether a row whose column is `datum` meets the condition."""
    if condition.key is not None:
        pairs = dict(datum)
        if condition.key not in pairs:
            if not condition.operator.startswith("{"):
                return False
            datum = ()
        else:
            datum = (pairs[condition.key],)
    return TESTS[condition.operator](datum, condition.value)


def order(datum: Datum) -> Any:
    """The key by which datums sort: first by number of elements, then by keys, then by values."""
    if datum and isinstance(datum[0], tuple):
        keys = [atom_order(key) for key, _ in datum]
        return (len(datum), keys, [atom_order(value) for _, value in datum])
    return (len(datum), [atom_order(atom) for atom in datum], [])


TESTS: Final[dict[str, Callable[[Datum, Datum], bool]]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: order(a) < order(b),
    ">": lambda a, b: order(a) > order(b),
    "<=": lambda a, b: order(a) <= order(b),
    ">=": lambda a, b: order(a) >= order(b),
    "{=}": lambda a, b: a == b,
    "{!=}": lambda a, b: a != b,
    "{<}": lambda a, b: set(a) < set(b),
    "{>}": lambda a, b: set(a) > set(b),
    "{<=}": lambda a, b: set(a) <= set(b),
    "{>=}": lambda a, b: set(a) >= set(b),
    "{in}": lambda a, b: set(a) <= set(b),
    "{not-in}": lambda a, b: set(a).isdisjoint(b),
}
