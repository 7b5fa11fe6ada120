"""Commands that read and change data, and that hold locks."""

from trunkline.base.json import Json, dumps
from trunkline.cli.ovsdb_client.context import Context, Failure, out, parse_json
from trunkline.dbctl.tables import DatumCell, Table, render
from trunkline.io.ovsdb_client import ConnectionClosed, RpcError
from trunkline.ovsdb.datum import datum_from_json
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.schema import Table as TableSchema
from trunkline.ovsdb.types import ColumnType

SERVER = "_Server"


def parse_transaction(text: str) -> list[Json]:
    """The params of a transact request, as an argument.  Raises Failure."""
    params = parse_json(text)
    if type(params) is not list or not params or type(params[0]) is not str:
        raise Failure("not a valid OVSDB query")
    return params


def _run(context: Context, params: list[Json]) -> Json:
    try:
        return context.client.call("transact", params)
    except RpcError as error:
        raise Failure(f"transaction returned error: {dumps(error.error, sort_keys=True)}") from None
    except ConnectionClosed as error:
        raise Failure(f"{context.client.remote}: transaction failed ({error})") from None


def transact(context: Context) -> None:
    context.json(_run(context, parse_transaction(context.arguments[1])))


def query(context: Context) -> None:
    """The same, but ended by an abort whose own result is not shown."""
    params = parse_transaction(context.arguments[1])
    results = _run(context, [*params, {"op": "abort"}])
    if results and type(results[-1]) is dict and results[-1].get("error") == "aborted":
        results.pop()
    context.json(results)


def dump(context: Context) -> None:
    schema = Schema.from_json(context.schema())
    words = context.arguments[1:]
    if words and words[0] not in schema.tables:
        raise Failure(f'No table "{words[0]}" found.')
    names = words[:1] or sorted(schema.tables)
    wanted = []
    for name in names:
        columns = _columns(schema.tables[name], words[1:])
        wanted.append((name, columns))
    operations: list[Json] = [
        {"op": "select", "table": name, "where": [], "columns": list(columns)} for name, columns in wanted
    ]
    results = context.transact(operations)
    tables = []
    for (name, columns), result in zip(wanted, results, strict=False):
        if type(result) is not dict or "rows" not in result:
            raise Failure(f"transaction failed: {dumps(results, sort_keys=True)}")
        rows = [
            [DatumCell(type_, datum_from_json(type_, row[column])) for column, type_ in columns.items()]
            for row in result["rows"]
        ]
        order = [place for place, type_ in enumerate(columns.values()) if type_.key.type != "uuid"]
        rows.sort(key=lambda cells: [_order(cells[place].datum) for place in order])
        tables.append(Table(list(columns), rows, f"{name} table"))
    out(render(tables, context.style))


def _order(datum: tuple[object, ...]) -> object:
    return (len(datum), datum)


def _columns(table: TableSchema, names: list[str]) -> dict[str, ColumnType]:
    """The columns to show, by name."""
    from trunkline.ovsdb.conditions import UUID_TYPE

    if not names:
        names = ["_uuid", *sorted(name for name in table.columns if not name.startswith("_"))]
    found = {}
    for name in sorted(names):
        if name == "_version":
            continue  # as the original, which reads no versions
        if name == "_uuid":
            found[name] = UUID_TYPE
        elif name in table.columns:
            found[name] = table.columns[name].type
        else:
            raise Failure(f'Table "{table.name}" has no column {name}.')
    return found


def wait(context: Context) -> None:
    """Until a database is in a state: it follows the server's own database, _Server."""
    name, state = context.arguments[1:3]
    context.call("set_db_change_aware", [True])
    request = {"Database": [{"columns": ["name", "connected"]}]}
    rows: dict[str, Json] = {}
    first = context.call("monitor", [SERVER, "wait", request])
    _follow(rows, first)
    while not _reached(rows, name, state):
        notification = context.client.wait()
        if notification is not None and notification.method == "update":
            _follow(rows, notification.params[1])


def _follow(rows: dict[str, Json], updates: Json) -> None:
    for uuid, update in updates.get("Database", {}).items():
        if "new" in update:
            rows[uuid] = update["new"]
        else:
            rows.pop(uuid, None)


def _reached(rows: dict[str, Json], name: str, state: str) -> bool:
    found = [row for row in rows.values() if row["name"] == name]
    if state == "removed":
        return not found
    return bool(found) and (state == "added" or found[0]["connected"])


def lock(context: Context) -> None:
    """lock, steal and unlock: shows the answer, then what happens to the lock, for ever."""
    method, name = context.arguments
    try:
        context.json(context.client.call(method, [name]))
    except RpcError:
        pass  # as the original, which then waits for what happens to the lock
    context.serving()
    for notification in context.client.notifications():
        if notification.method in ("locked", "stolen"):
            out(f"{notification.method}\n")
