"""The database as one run of commands sees it: what was read, what is to change, what must still hold.

A client that keeps a replica reads everything before its first command.  `Work` instead reads what commands
ask for, by index (``select`` where a name equals a value) and by column, so that a command costs the same
with ten rows and with ten thousand.  What the whole line is going to ask is asked at once (`ask_ahead`), and
nothing twice.  Commands of one run see each other's changes: rows hold the committed value and the change
side by side.

At the end `operations` gives the transaction: a ``wait`` for everything that a decision was based on
(`verify`), then the changes, large sets as ``mutate`` of the difference.  When a wait fails, somebody else
was quicker, and the whole run is done again with a new `Work`.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Final, NamedTuple

from trunkline.base.json import Json
from trunkline.ovsdb.atoms import Atom, AtomicType, Uuid
from trunkline.ovsdb.datum import Datum, datum_from_json, default
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.types import BaseType, ColumnType

Ask = Callable[[Sequence[Json]], list[Json]]
"""Runs operations that only read as one transaction and gives their results."""


class TryAgain(Exception):
    """What was read does not fit together, because the database changed meanwhile."""


class TryLater(Exception):
    """A command waits for the database to change; `table` is where it looks."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class Question(NamedTuple):
    """Which rows have `atom` in `column`, and what `columns` they hold."""

    table: str
    column: str
    atom: Atom
    columns: tuple[str, ...] = ()


Delta = dict[Atom, object]
"""What is put in a column or taken out, without having read it: for each element of a set IN or OUT, for each
key of a map the new value or OUT."""


MANY_QUESTIONS: Final = 8


class _Mark:
    """A value that no column holds."""


IN: Final = _Mark()
OUT: Final = _Mark()
UUID_TYPE: Final = "_uuid"


class Row:
    """One row in the eyes of this run.  Made and changed by `Work` only."""

    __slots__ = ("added", "committed", "deleted", "deltas", "inserted", "table", "uuid", "written")

    def __init__(self, table: str, uuid: Uuid, *, inserted: bool = False) -> None:
        self.table = table
        self.uuid = uuid
        self.committed: dict[str, Datum] = {}
        self.written: dict[str, Datum] = {}
        self.deltas: dict[str, Delta] = {}  # they come on top of what was committed or written
        self.inserted = inserted
        self.added = False  # inserted under a uuid that the user chose
        self.deleted = False

    def changes(self, column: str) -> bool:
        return column in self.written or column in self.deltas


class Work:
    """`ask` reads; `new_uuid` gives provisional uuids for rows that this run inserts; `tell` hears what is
    odd about the database."""

    def __init__(
        self,
        schema: Schema,
        ask: Ask,
        new_uuid: Callable[[], Uuid],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.schema = schema
        self._ask = ask
        self._tell = tell
        self._told: set[str] = set()
        self._new_uuid = new_uuid
        self._rows: dict[str, dict[Uuid, Row]] = {}
        self._complete: dict[str, set[str]] = {}  # columns of which every row has been read
        self._answers: dict[tuple[str, str], dict[Atom, dict[Uuid, None]]] = {}  # committed rows with an atom
        self._times: dict[tuple[str, str], int] = {}  # how often a column was asked about singly
        self._placed: dict[tuple[str, str], dict[Atom, dict[Uuid, None]]] = {}  # rows that an atom was put in
        self._waits: dict[str, Json] = {}
        self._verified: set[tuple[str, Uuid, str]] = set()
        self.symbols: dict[str, Symbol] = {}
        self.real: dict[Uuid, Uuid] = {}
        """After the commit: the uuids that the server gave to rows inserted under provisional ones."""

    # -- reading -----------------------------------------------------------------------------------------

    def type(self, table: str, column: str) -> ColumnType:
        return self.schema.tables[table].columns[column].type

    def load(self, wanted: "dict[str, Sequence[str]]") -> None:
        """Reads whole tables (the columns named) at one moment."""
        wanted = {table: columns for table, columns in wanted.items() if not self._has(table, columns)}
        operations = [_select(table, [], columns) for table, columns in wanted.items()]
        if not operations:
            return
        for (table, columns), result in zip(wanted.items(), self._ask(operations)):
            for json in result["rows"]:
                self._take(table, columns, json)
            self._complete.setdefault(table, set()).update(columns)
            for column in columns:
                self._answers.pop((table, column), None)  # made anew, of all rows, when they are needed

    def _has(self, table: str, columns: Iterable[str]) -> bool:
        return table in self._complete and self._complete[table].issuperset(columns)

    def all(self, table: str, columns: Sequence[str] = ()) -> list[Row]:
        """Every row of a table, in the order in which the original lists them."""
        self.load({table: columns})
        rows = {uuid: row for uuid, row in self._table(table).items() if not row.deleted}
        return [rows[uuid] for uuid in listing_order(list(rows))]

    def row(self, table: str, uuid: Uuid, columns: Sequence[str] = ()) -> Row | None:
        row = self._table(table).get(uuid)
        if row is None and table not in self._complete:
            (result,) = self._ask([_select(table, [[UUID_TYPE, "==", ["uuid", uuid]]], columns)])
            for json in result["rows"]:
                row = self._take(table, columns, json)
        return None if row is None or row.deleted else row

    def known(self, table: str, uuid: Uuid, columns: Sequence[str] = ()) -> Row:
        """The row that a reference which was read points to.  Raises TryAgain when it has gone."""
        row = self.row(table, uuid, columns)
        if row is None:
            raise TryAgain
        return row

    def members(self, row: Row, column: str, table: str, columns: Sequence[str] = ()) -> list[Row]:
        """The rows of `table` that a column refers to, without those that this run has deleted: where more
        than one row refers to one, the others still do."""
        rows = self._table(table)
        uuids = [str(uuid) for uuid in self.get(row, column)]
        return [
            self.known(table, uuid, columns) for uuid in uuids if uuid not in rows or not rows[uuid].deleted
        ]

    def warn(self, text: str) -> None:
        """Says what is odd about the database, once."""
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def find(
        self, table: str, column: str, atom: Atom, columns: Sequence[str] = (), *, verify: bool = False
    ) -> list[Row]:
        """Rows whose `column` is `atom`, or holds it when the column is a set.

        With `verify`, the transaction holds only if these are still all such rows.
        """
        type_ = self.type(table, column)
        if type_.key.type is AtomicType.UUID and self._provisional(type_.key, atom):
            held: dict[Uuid, None] = {}
        else:
            known = self._known(table, column).get(atom)
            if known is None and self._has(table, (column,)):
                known = {}
            elif known is None and not _is_text(atom):
                known = {}  # the server would refuse the question
            elif known is None:
                known = self._ask_for(Question(table, column, atom, tuple(columns)))
            held = known
            if verify and _is_text(atom):
                rows = [{UUID_TYPE: ["uuid", uuid]} for uuid in held]
                self._wait(_wait(table, self._where(table, column, atom), [UUID_TYPE], rows))
        placed = self._placed.get((table, column), {}).get(atom, {})
        candidates = (self._table(table)[uuid] for uuid in {**held, **placed})
        return [row for row in candidates if not row.deleted and _has_now(row, column, atom, held)]

    def ask_ahead(self, questions: Iterable[Question]) -> None:
        """Asks in one transaction what `find` is going to ask; it then has the answers."""
        new: dict[tuple[str, str, Atom], Question] = {}
        for question in questions:
            key = table, column, atom = question[:3]
            if not _is_text(atom):
                continue
            if not self._has(table, (column,)) and atom not in self._answers.get((table, column), {}):
                more = new[key].columns if key in new else ()
                new[key] = question._replace(columns=more + question.columns)
        if new:
            self._answer(list(new.values()))

    def _ask_for(self, question: Question) -> dict[Uuid, None]:
        """Asks one thing; whoever asks about a column again and again gets it whole."""
        table, column, atom, columns = question
        times = self._times[table, column] = self._times.get((table, column), 0) + 1
        if times <= MANY_QUESTIONS:
            return self._answer([question])
        self.load({table: (column, *columns)})
        return self._known(table, column).get(atom, {})

    def _answer(self, questions: Sequence[Question]) -> dict[Uuid, None]:
        """Asks the database; the rows of the last question."""
        operations = [_select(q.table, self._where(q.table, q.column, q.atom), q.columns) for q in questions]
        held: dict[Uuid, None] = {}
        for (table, column, atom, columns), result in zip(questions, self._ask(operations)):
            held = {}
            scalar = self.type(table, column).is_scalar
            for json in result["rows"]:
                row = self._take(table, columns, json)
                held[row.uuid] = None
                if scalar:
                    row.committed[column] = (atom,)
            self._answers.setdefault((table, column), {})[atom] = held
        return held

    def _known(self, table: str, column: str) -> dict[Atom, dict[Uuid, None]]:
        """The answers there are; all of them when the whole column has been read."""
        answers = self._answers.get((table, column))
        if answers is None:
            answers = self._answers[table, column] = {}
            if self._has(table, (column,)):
                for row in self._table(table).values():
                    for atom in row.committed.get(column, ()):
                        answers.setdefault(atom, {})[row.uuid] = None
        return answers

    def _where(self, table: str, column: str, atom: Atom) -> Json:
        type_ = self.type(table, column)
        return [[column, "==" if type_.is_scalar else "includes", _atom_json(type_.key, atom)]]

    def get(self, row: Row, column: str, *, verify: bool = False) -> Datum:
        """What `column` holds, this run's changes included.  With `verify` the transaction holds only if the
        committed value is still the same."""
        if verify:
            self.verify(row, column)
        datum = row.written[column] if column in row.written else self.committed(row, column)
        delta = row.deltas.get(column)
        if delta:
            datum = _applied(self.type(row.table, column), datum, delta)
            if row.inserted or column in row.written:
                row.written[column] = datum
                del row.deltas[column]
        return datum

    def committed(self, row: Row, column: str) -> Datum:
        datum = row.committed.get(column)
        if datum is None:
            type_ = self.type(row.table, column)
            if row.inserted:
                return default(type_)
            where: Json = [[UUID_TYPE, "==", ["uuid", row.uuid]]]
            (result,) = self._ask([_select(row.table, where, [column])])
            if not result["rows"]:
                raise TryAgain
            self._take(row.table, [column], result["rows"][0])
            datum = row.committed[column]
        return datum

    def verify(self, row: Row, column: str) -> None:
        """The transaction is to hold only if the column still holds what was read."""
        if not row.inserted:
            self.committed(row, column)
            self._verified.add((row.table, row.uuid, column))

    def must_exist(self, row: Row) -> None:
        """The transaction is to hold only if the row is still there."""
        if not row.inserted:
            where: Json = [[UUID_TYPE, "==", ["uuid", row.uuid]]]
            self._wait(_wait(row.table, where, [UUID_TYPE], [{UUID_TYPE: ["uuid", row.uuid]}]))

    def must_be_empty(self, table: str) -> None:
        """The transaction is to hold only if the table still has no rows."""
        self._wait(_wait(table, [], [UUID_TYPE], []))

    # -- changing ----------------------------------------------------------------------------------------

    def set(self, row: Row, column: str, datum: Datum) -> None:
        """Replaces what `column` holds."""
        row.deltas.pop(column, None)
        row.written[column] = datum
        self._place(row, column, datum)

    def add(self, row: Row, column: str, elements: Datum) -> None:
        """Puts elements (for a map: pairs, which replace those of equal keys) in, without reading."""
        delta = row.deltas.setdefault(column, {})
        if self.type(row.table, column).value is not None:
            delta.update(elements)
        else:
            delta.update(dict.fromkeys(elements, IN))
            self._place(row, column, elements)

    def remove(self, row: Row, column: str, elements: Datum) -> None:
        """Takes elements (for a map: keys) out, without reading."""
        row.deltas.setdefault(column, {}).update(dict.fromkeys(elements, OUT))

    def _place(self, row: Row, column: str, atoms: Datum) -> None:
        """Remembers where atoms were put, so that `find` need not look through all rows."""
        placed = self._placed.setdefault((row.table, column), {})
        for atom in atoms:
            placed.setdefault(atom, {})[row.uuid] = None

    def insert(self, table: str, uuid: Uuid | None = None, *, chosen: bool = False) -> Row:
        """A new row.  `uuid` is the provisional one of a symbol, or, if `chosen`, the real one."""
        row = Row(table, uuid or self._new_uuid(), inserted=True)
        row.added = chosen
        self._table(table)[row.uuid] = row
        return row

    def delete(self, row: Row) -> None:
        """Deletes a row.  Rows of tables that are no roots vanish by themselves when nothing refers to them,
        so for them nothing is sent."""
        row.deleted = True

    # -- symbols -----------------------------------------------------------------------------------------

    def symbol(self, name: str) -> "Symbol":
        """What ``@name`` stands for; made on first mention."""
        found = self.symbols.get(name)
        if found is None:
            found = self.symbols[name] = Symbol(self._new_uuid())
        return found

    # -- the transaction ---------------------------------------------------------------------------------

    def operations(self) -> list[Json]:
        """Waits and changes; [] when nothing changes, whatever was verified."""
        changes = [
            operation
            for rows in self._rows.values()
            for row in rows.values()
            for operation in self._changes(row)
        ]
        if not changes:
            return []
        for table, uuid, column in sorted(self._verified):
            row = self._table(table)[uuid]
            value = self.json(self.type(table, column), row.committed[column])
            self._wait(_wait(table, [[UUID_TYPE, "==", ["uuid", uuid]]], [column], [{column: value}]))
        return [*self._waits.values(), *changes]

    def _changes(self, row: Row) -> list[Json]:
        where: Json = [[UUID_TYPE, "==", ["uuid", row.uuid]]]
        table = self.schema.tables[row.table]
        if row.deleted:
            if row.inserted or not table.is_root:
                return []
            return [{"op": "delete", "table": row.table, "where": where}]
        columns = {}
        for column in dict.fromkeys((*row.written, *(row.deltas if row.inserted else ()))):
            type_ = self.type(row.table, column)
            old = default(type_) if row.inserted else self.committed(row, column)
            datum = self.get(row, column)
            if datum != old:
                columns[column] = self.json(type_, datum)
        if row.inserted:
            operation: dict[str, Json] = {"op": "insert", "table": row.table, "row": columns}
            if row.added:
                operation["uuid"] = row.uuid
            operation["uuid-name"] = _row_name(row.uuid)
            return [operation]
        operations: list[Json] = []
        if columns:
            operations.append({"op": "update", "table": row.table, "where": where, "row": columns})
        mutations = [
            mutation
            for column, deltas in row.deltas.items()
            for mutation in self._mutations(self.type(row.table, column), column, deltas)
        ]
        if mutations:
            self.must_exist(row)
            operations.append({"op": "mutate", "table": row.table, "where": where, "mutations": mutations})
        return operations

    def _mutations(self, type_: ColumnType, column: str, delta: Delta) -> list[Json]:
        delta = dict(sorted(delta.items(), key=lambda item: atom_order(item[0])))
        put = {key: value for key, value in delta.items() if value is not OUT}
        # An insertion leaves a pair with an equal key as it is, so that one has to go first.
        taken = list(delta) if type_.value is not None else [atom for atom in delta if atom not in put]
        mutations: list[Json] = []
        if taken:
            mutations.append([column, "delete", ["set", [self._atom(type_.key, key) for key in taken]]])
        if put and type_.value is not None:
            mutations.append([column, "insert", self.json(type_, tuple(put.items()))])
        elif put:
            mutations.append([column, "insert", ["set", [self._atom(type_.key, atom) for atom in put]]])
        return mutations

    # -- JSON --------------------------------------------------------------------------------------------

    def json(self, type_: ColumnType, datum: Datum) -> Json:
        """A datum as the protocol has it, with ``named-uuid`` for rows that this run inserts."""
        if type_.value is not None:
            return [
                "map",
                [[self._atom(type_.key, key), self._atom(type_.value, value)] for key, value in datum],
            ]
        if len(datum) == 1:
            return self._atom(type_.key, datum[0])
        return ["set", [self._atom(type_.key, atom) for atom in datum]]

    def _atom(self, base: BaseType, atom: Atom) -> Json:
        if base.type is AtomicType.UUID and self._provisional(base, atom):
            return ["named-uuid", _row_name(str(atom))]
        return _atom_json(base, atom)

    def _provisional(self, base: BaseType, atom: Atom) -> bool:
        if base.ref_table is None:
            return False
        row = self._rows.get(base.ref_table, {}).get(str(atom)) or next(
            (rows[str(atom)] for rows in self._rows.values() if str(atom) in rows), None
        )
        return row is not None and row.inserted and not row.added

    # -- rows --------------------------------------------------------------------------------------------

    def _table(self, table: str) -> dict[Uuid, Row]:
        return self._rows.setdefault(table, {})

    def _take(self, table: str, columns: Iterable[str], json: Json) -> Row:
        uuid = json[UUID_TYPE][1]
        row = self._table(table).get(uuid)
        if row is None:
            row = self._table(table)[uuid] = Row(table, uuid)
        for column in columns:
            if column not in row.committed:
                type_ = self.type(table, column)
                row.committed[column] = (
                    datum_from_json(type_, json[column]) if column in json else default(type_)
                )
        return row

    def _wait(self, operation: Json) -> None:
        self._waits.setdefault(repr(operation), operation)


class Symbol:
    """What ``@name`` stands for."""

    __slots__ = ("created", "fragile", "held", "referenced", "uuid")

    def __init__(self, uuid: Uuid) -> None:
        self.uuid = uuid
        self.created = False
        self.referenced = False  # as a value somewhere
        self.held = False  # by a strong reference
        self.fragile = False  # a new row of a table that is no root: it lives by references only


def _has_now(row: Row, column: str, atom: Atom, held: Container[Uuid]) -> bool:
    """Whether `column` has `atom`, when of the committed rows those in `held` do."""
    change = row.deltas.get(column, {}).get(atom)
    if change is not None:
        return change is not OUT
    return atom in row.written[column] if column in row.written else row.uuid in held


def _row_name(uuid: Uuid) -> str:
    return "row" + uuid.replace("-", "_")


def _is_text(atom: Atom) -> bool:
    """Whether a string came as UTF-8; no row holds another one."""
    try:
        return not isinstance(atom, str) or atom.isascii() or bool(atom.encode())
    except UnicodeEncodeError:
        return False


def _select(table: str, where: Json, columns: Sequence[str]) -> Json:
    return {"op": "select", "table": table, "where": where, "columns": [UUID_TYPE, *dict.fromkeys(columns)]}


def _wait(table: str, where: Json, columns: Sequence[str], rows: Json) -> Json:
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": where,
        "columns": list(columns),
        "until": "==",
        "rows": rows,
    }


def _atom_json(base: BaseType, atom: Atom) -> Json:
    return ["uuid", atom] if base.type is AtomicType.UUID else atom


def atom_order(atom: Atom) -> Any:
    """The key by which atoms of one type sort: strings by their bytes."""
    return atom.encode("utf-8", "surrogateescape") if isinstance(atom, str) else atom


def _applied(type_: ColumnType, datum: Datum, delta: Delta) -> Datum:
    if type_.value is not None:
        pairs = {**dict(datum), **delta}
        left = [pair for pair in pairs.items() if pair[1] is not OUT]
        return tuple(sorted(left, key=lambda pair: atom_order(pair[0])))
    atoms = {**dict.fromkeys(datum, IN), **delta}
    return tuple(sorted((atom for atom, mark in atoms.items() if mark is not OUT), key=atom_order))


def listing_order(uuids: Sequence[Uuid]) -> list[Uuid]:
    """The order in which the original lists rows: that of a hash table by the first 32 bits of the uuid.

    Found by listing tables of many sizes.  Rows that share a place stand in an order that we do not know.
    """
    mask = max((1 << (len(uuids).bit_length() - 1)) - 1, 3) if len(uuids) > 1 else 0
    return sorted(uuids, key=lambda uuid: int(uuid[:8], 16) & mask)
