"""Commands that read and change data, and that hold locks."""

from trunkline.base.json import Json, dumps
from trunkline.cli.ovsdb_client.context import Context, Failure, out, parse_json
from trunkline.dbctl.tables import DatumCell, Table, render
from trunkline.io.ovsdb_client import ConnectionClosed, RpcError
from trunkline.jsonrpc.message import Notification
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
    context.set_aware(unasked=False)
    try:
        return context.client.call("transact", params)
    except RpcError as error:
        text = dumps(error.error, sort_keys=True, pretty=context.style.pretty)
        raise Failure(f"transaction returned error: {text}") from None


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
        types = enumerate(columns.values())
        order = [place for _, place in sorted((type_.key.type == "uuid", place) for place, type_ in types)]
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
    shown = [name for name in names if name != "_version"]
    if len(shown) > len(found):  # what a server would answer to such a select
        columns = dumps(sorted(shown, key=lambda name: (name[0] == "_", name)))
        wrong = {
            "syntax": columns,
            "details": "array of distinct column names expected",
            "error": "syntax error",
        }
        raise Failure(f'{table.name} table reply is not an object with a "rows" member array: {dumps(wrong)}')
    return found


def wait(context: Context) -> None:
    """Until a database is in a state: a "wait" on the server's own database, _Server.  A connection that
    breaks meanwhile is made again."""
    from trunkline.io.reach import connect_in_turn

    name, state = context.arguments[1:3]
    operation: dict[str, Json] = {
        "op": "wait",
        "table": "Database",
        "where": [["name", "==", name]],
        "columns": ["connected"] if state == "connected" else [],
        "until": "==",
        "rows": [] if state == "removed" else [{"connected": True} if state == "connected" else {}],
    }
    client = context.client
    while True:
        try:
            client.send("set_db_change_aware", [True])
            client.call("transact", [SERVER, operation])
            return
        except RpcError as error:
            text = dumps(error.error, sort_keys=True)
            raise Failure(f"{client.remote}: transaction failed ({text})") from None
        except ConnectionClosed as error:
            logger = context.log.module("reconnect")
            if str(error) == "End of file":
                logger.info("%s: connection closed by peer", client.remote)
            else:
                logger.warn("%s: connection dropped (%s)", client.remote, error)
            client = connect_in_turn([client.remote], context.ways, retry=True)


def lock(context: Context) -> None:
    """lock, steal and unlock: shows the answer, then what happens to the lock, for ever."""
    method, name = context.arguments
    try:
        context.json(context.client.call(method, [name]))
    except RpcError:
        pass  # as the original, which then waits for what happens to the lock
    except ConnectionClosed as error:
        raise Failure(f"{context.client.remote}: receive failed ({error})") from None

    def tell(notification: Notification) -> None:
        if notification.method in ("locked", "stolen"):
            out(f"{notification.method}\n")

    context.follow(tell)
