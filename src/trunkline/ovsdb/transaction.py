"""One transaction: its operations, run over a database that stays as it is (RFC 7047 section 5.2).

What the operations change lies over the committed rows, table by table (overlay.py); operations of the same
transaction see it.  At the end `commit.settle` makes of it what the schema demands, and the outcome is handed
to the caller: the results for the client, and the changes to log and apply.

The first operation that fails ends the transaction; those after it have null for a result.  When all
succeed and the whole breaks a rule of the schema, an error stands one place after the last result.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.base.json import Json, dumps
from trunkline.ovsdb.atoms import UUID_PATTERN, Uuid
from trunkline.ovsdb.commit import settle
from trunkline.ovsdb.conditions import column_type, where_from_json
from trunkline.ovsdb.database import Changes, Database, Layout, Row
from trunkline.ovsdb.datum import Datum, datum_from_json, datum_to_json
from trunkline.ovsdb.errors import CONSTRAINT, UNKNOWN_COLUMN, OvsdbError, syntax_error
from trunkline.ovsdb.members import Members
from trunkline.ovsdb.mutations import mutate, parse_mutation
from trunkline.ovsdb.overlay import Overlay, Transaction
from trunkline.ovsdb.rbac import Access


class Execution(NamedTuple):
    """The outcome of a transaction.

    `changes` is None when the transaction failed; then nothing is to be applied.  `blocked`: a ``wait`` is
    not satisfied; execute again when the database changes, or after `timeout` seconds (None: no limit).
    """

    results: list[Json]
    changes: Changes | None
    durable: bool = False
    comment: str = ""
    blocked: bool = False
    timeout: float | None = None


class Blocked(Exception):
    """A wait is not satisfied; `timeout` in milliseconds from the first try, None for ever."""

    def __init__(self, timeout: int | None) -> None:
        super().__init__()
        self.timeout = timeout


def execute(
    database: Database,
    operations: list[Json],
    *,
    new_uuid: Callable[[], Uuid],
    owns_lock: Callable[[str], bool] = lambda name: False,
    waited: float = 0.0,
    read_only: bool = False,
    access: Access | None = None,
) -> Execution:
    """Runs the operations of a ``transact`` (its params without the database's name); changes nothing.

    `waited` is how many seconds ago they were first tried.  `access` is the role and the client that asks,
    None for one without limits.  Every wrong operation gives an error in the results; nothing is raised.
    Apply `changes` with `database.apply` before another transaction is executed.
    """
    transaction = Transaction(database, new_uuid, owns_lock, waited, read_only, access)
    results: list[Json] = []
    for number, json in enumerate(operations, 1):
        members = Members(json, f"ovsdb operation {number} of {len(operations)}")
        try:
            results.append(_operate(transaction, members))
        except OvsdbError as error:
            results.append(error.to_json())
            results += [None] * (len(operations) - number)
            return Execution(results, None)
        except Blocked as blocked:
            rest = None if blocked.timeout is None else max(0.0, blocked.timeout / 1000 - waited)
            return Execution(results, None, blocked=True, timeout=rest)
    try:
        changes = settle(transaction)
    except OvsdbError as error:
        results.append(error.to_json())
        return Execution(results, None)
    return Execution(results, changes, transaction.durable, "\n".join(transaction.comments))


def _operate(transaction: Transaction, members: Members) -> Json:
    name = members.take("op", ("string",))
    operation = None
    if members.error is None:
        operation = OPERATIONS.get(name)
        if operation is None:
            members.fail(f'No operation "{name}"')
    members.check()
    assert operation is not None
    try:
        result = operation(transaction, members)
    except OvsdbError:
        members.finish()  # its error goes before
        raise
    members.finish()
    if transaction.read_only and operation in _WRITING:  # after all that is wrong with its form
        said = f"{name} operation not allowed when database server is in read only mode"
        raise OvsdbError("not allowed", said)
    return result


def _table(transaction: Transaction, members: Members) -> Overlay:
    """The table that an operation names; errors are kept in `members`, whose `check` must follow."""
    name = members.take("table", ("id",))
    if name is not None and name not in transaction.database.tables:
        members.fail(f"No table named {name}.")
        name = None
    if name is None:
        return None  # type: ignore[return-value]  # never used: check() raises
    return transaction.overlay(name)


# -- operations --------------------------------------------------------------------------------------------


def parse_row(layout: Layout, json: Json, named: Callable[[str], Uuid] | None) -> dict[str, Datum]:
    """The columns that a JSON <row> gives, _uuid and _version among them.  Raises OvsdbError."""
    if not isinstance(json, dict):
        raise syntax_error(json, "row must be JSON object")
    values = {}
    types = layout.types_by_name
    for name, value in json.items():
        type_ = types.get(name) or column_type(layout.table, name)
        if type_ is None:
            said = f"No column {name} in table {layout.name}."
            raise OvsdbError(UNKNOWN_COLUMN, said, dumps(json, sort_keys=True))
        values[name] = datum_from_json(type_, value, named)
    return values


def _merged(layout: Layout, values: tuple[Datum, ...], new: dict[str, Datum]) -> tuple[Datum, ...]:
    changed = list(values)
    for name, datum in new.items():
        place = layout.places.get(name)
        if place is not None:
            changed[place] = datum
    return tuple(changed)


def _insert(transaction: Transaction, members: Members) -> Json:
    overlay = _table(transaction, members)
    json = members.take("row", ("object",))
    name = members.take("uuid-name", ("id",), optional=True)
    wanted = members.take("uuid", ("string",), optional=True)
    members.check()
    layout = overlay.state.layout
    uuid: Uuid | None = None
    if wanted is not None:
        if UUID_PATTERN.fullmatch(wanted) is None:
            raise syntax_error(wanted, "bad uuid")
        uuid = wanted.lower()
        if uuid in overlay.state.rows or overlay.get(uuid) is not None:
            raise _duplicate_uuid(wanted)
    if name is not None:
        if name in transaction.inserted_symbols:
            said = 'This "uuid-name" appeared on an earlier "insert" operation.'
            raise OvsdbError("duplicate uuid-name", said, dumps(name))
        transaction.inserted_symbols.add(name)
        if uuid is None:
            uuid = transaction.named(name)
        else:
            transaction.symbols[name] = uuid
    if uuid is None:
        uuid = transaction.new_uuid()
    given = parse_row(layout, json, transaction.named)
    for column, reason in layout.refused:
        if column not in given:
            raise OvsdbError(CONSTRAINT, reason)
    row = Row(layout, uuid, transaction.new_uuid(), _merged(layout, layout.defaults, given))
    transaction.permit("insert", overlay, (row,))
    overlay.put(uuid, row)
    return {"uuid": ["uuid", uuid]}


def _duplicate_uuid(uuid: str) -> OvsdbError:
    said = (
        "This UUID would duplicate a UUID already present within the table or deleted within the same "
        "transaction."
    )
    return OvsdbError("duplicate uuid", said, dumps(uuid))


def _columns(layout: Layout, json: Json) -> list[str]:
    """The columns that ``columns`` names, all of them without it.  Raises OvsdbError."""
    if json is None:
        return ["_uuid", "_version", *layout.columns]
    names: dict[str, None] = {}
    for name in json:
        if not isinstance(name, str):
            raise syntax_error(json, "array of distinct column names expected")
        if column_type(layout.table, name) is None:
            raise syntax_error(json, f"{name} is not a valid column name")
        names[name] = None
    if len(names) < len(json):
        raise syntax_error(json, "array of distinct column names expected")
    return list(names)


def _distinct(rows: list[Row], columns: list[str]) -> dict[tuple[Datum, ...], None]:
    return dict.fromkeys(tuple([row[name] for name in columns]) for row in rows)


def _rank(datum: Datum) -> tuple[Any, ...]:
    """Where a datum stands in a sorted selection: by the number of its elements, then keys, then values."""
    if datum and type(datum[0]) is tuple:
        return len(datum), [key for key, _ in datum], [value for _, value in datum]
    return len(datum), datum


def _select(transaction: Transaction, members: Members) -> Json:
    overlay = _table(transaction, members)
    where_json = members.take("where", ("array",))
    columns_json = members.take("columns", ("array",), optional=True)
    sort_json = members.take("sort", ("array",), optional=True)
    members.check()
    layout = overlay.state.layout
    where = where_from_json(layout.table, where_json, transaction.named)
    columns = _columns(layout, columns_json)
    types: list[Any] = [column_type(layout.table, name) for name in columns]
    matching = overlay.matching(where)
    if sort_json is not None:
        order = _columns(layout, sort_json)
        matching = sorted(matching, key=lambda row: [_rank(row[name]) for name in order])
    found = _distinct(matching, columns)
    rows = [
        {name: datum_to_json(type_, datum) for name, type_, datum in zip(columns, types, values)}
        for values in found
    ]
    return {"rows": rows}


def _update(transaction: Transaction, members: Members) -> Json:
    overlay = _table(transaction, members)
    where_json = members.take("where", ("array",))
    row_json = members.take("row", ("object",))
    members.check()
    layout = overlay.state.layout
    values = parse_row(layout, row_json, transaction.named)
    for name in values:
        if name not in layout.places or not layout.table.columns[name].mutable:
            said = f"Cannot update immutable column {name} in table {layout.name}."
            raise OvsdbError(CONSTRAINT, said, dumps(members.json, sort_keys=True))
    rows = overlay.matching(where_from_json(layout.table, where_json, transaction.named))
    transaction.permit("update", overlay, rows, values)
    for row in rows:
        merged = _merged(layout, row.values, values)
        if merged != row.values:
            overlay.change(row, merged)
    return {"count": len(rows)}


def _mutate(transaction: Transaction, members: Members) -> Json:
    overlay = _table(transaction, members)
    where_json = members.take("where", ("array",))
    mutations_json = members.take("mutations", ("array",))
    members.check()
    layout = overlay.state.layout
    mutations = [parse_mutation(layout.table, json, transaction.named) for json in mutations_json]
    rows = overlay.matching(where_from_json(layout.table, where_json, transaction.named))
    transaction.permit("mutate", overlay, rows, [mutation.column for mutation in mutations])
    for row in rows:
        values = list(row.values)
        for mutation in mutations:
            place = layout.places[mutation.column]
            values[place] = mutate(mutation, values[place])
        merged = tuple(values)
        if merged != row.values:
            overlay.change(row, merged)
    return {"count": len(rows)}


def _delete(transaction: Transaction, members: Members) -> Json:
    where_json = members.take("where", ("array",))
    overlay = _table(transaction, members)
    members.check()
    rows = overlay.matching(where_from_json(overlay.state.layout.table, where_json, transaction.named))
    transaction.permit("delete", overlay, rows)
    for row in rows:
        overlay.put(row.uuid, None)
    return {"count": len(rows)}


def _wait(transaction: Transaction, members: Members) -> Json:
    timeout = members.take("timeout", ("integer",), optional=True)
    where_json = members.take("where", ("array",))
    columns_json = members.take("columns", ("array",), optional=True)
    until = members.take("until", ("string",))
    rows_json = members.take("rows", ("array",))
    overlay = _table(transaction, members)
    members.check()
    layout = overlay.state.layout
    where = where_from_json(layout.table, where_json, transaction.named)
    columns = _columns(layout, columns_json)
    if timeout is not None and timeout < 0:
        raise syntax_error(timeout, "timeout must be nonnegative")
    if until not in ("==", "!="):
        raise syntax_error(until, '"until" must be "==" or "!="')
    wanted = set()
    for json in rows_json:
        given = parse_row(layout, json, transaction.named)
        row = Row(layout, "", "", _merged(layout, layout.defaults, given))
        wanted.add(tuple([given.get(name, (_ZERO,)) if name[0] == "_" else row[name] for name in columns]))
    found = _distinct(overlay.matching(where), columns).keys()
    if (found == wanted) == (until == "=="):
        return {}
    elapsed = round(transaction.waited * 1000)
    if timeout is None or elapsed < timeout:
        raise Blocked(timeout)
    if elapsed:
        raise OvsdbError("timed out", f'"wait" timed out after {elapsed} ms')
    raise OvsdbError("timed out", '"where" clause test failed')


_ZERO: Final = "00000000-0000-0000-0000-000000000000"


def _commit(transaction: Transaction, members: Members) -> Json:
    durable = members.take("durable", ("boolean",))
    members.check()
    transaction.durable = transaction.durable or durable
    return {}


def _abort(transaction: Transaction, members: Members) -> Json:
    raise OvsdbError("aborted", "aborted by request")


def _comment(transaction: Transaction, members: Members) -> Json:
    text = members.take("comment", ("string",))
    members.check()
    transaction.comments.append(text)
    return {}


def _assert(transaction: Transaction, members: Members) -> Json:
    name = members.take("lock", ("id",))
    members.check()
    if not transaction.owns_lock(name):
        raise OvsdbError("not owner", f"Asserted lock {name} not held.")
    return {}


OPERATIONS: Final[dict[str, Callable[[Transaction, Members], Json]]] = {
    "insert": _insert,
    "select": _select,
    "update": _update,
    "mutate": _mutate,
    "delete": _delete,
    "wait": _wait,
    "commit": _commit,
    "abort": _abort,
    "comment": _comment,
    "assert": _assert,
}
_WRITING: Final = frozenset((_insert, _update, _mutate, _delete, _commit))
