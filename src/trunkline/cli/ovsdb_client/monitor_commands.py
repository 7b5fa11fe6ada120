"""monitor, monitor-cond and monitor-cond-since: tables of what changes, a table for each change."""

import time
from typing import Final, NamedTuple

from trunkline.base.json import Json
from trunkline.cli.ovsdb_client.context import Context, Failure, out, parse_json
from trunkline.dbctl.tables import Cell, DatumCell, JsonCell, Printer, Table
from trunkline.io.ovsdb_client import RpcError
from trunkline.jsonrpc.message import Notification
from trunkline.ovsdb.conditions import UUID_TYPE, parse_where
from trunkline.ovsdb.datum import datum_from_json
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.types import ColumnType

ZERO: Final = "00000000-0000-0000-0000-000000000000"
_FLAGS: Final = ("initial", "insert", "delete", "modify")


class Watched(NamedTuple):
    """A monitored table: its columns in the order shown, and the request for it."""

    name: str
    columns: dict[str, ColumnType]
    request: list[Json]


def monitor(context: Context) -> None:
    schema = Schema.from_json(context.schema())
    words = context.arguments[1:]
    if words == ["ALL"]:
        tables = [_watched(context, schema, name, [], None) for name in sorted(schema.tables)]
    else:
        tables = [_watched(context, schema, words[0], words[1:], None)]
    _run(context, "monitor", tables, [])


def monitor_cond(context: Context) -> None:
    _conditional(context, "monitor_cond", context.arguments[1:], [])


def monitor_cond_since(context: Context) -> None:
    words = context.arguments[1:]
    last_id = ZERO
    if _is_uuid(words[0]):
        last_id, words = words[0], words[1:]
    _conditional(context, "monitor_cond_since", words, [last_id])


def _is_uuid(text: str) -> bool:
    return [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]


def _conditional(context: Context, method: str, words: list[str], more: list[Json]) -> None:
    if len(words) < 2:  # the original stops at an assertion
        raise Failure(f"invalid syntax for '{context.arguments[0]}' (use --help for help)")
    context.schema()  # as the original, which asks once for the conditions and once for the columns
    schema = Schema.from_json(context.schema())
    if words[1] not in schema.tables:
        raise Failure(f'{context.database} does not have a table named "{words[1]}"')
    conditions = parse_json(words[0])
    if type(conditions) is not list:
        raise Failure(f"{words[0]}: conditions must be a JSON array")
    try:
        parse_where(schema.tables[words[1]], conditions)
    except OvsdbError as error:
        raise Failure(str(error)) from None
    _run(context, method, [_watched(context, schema, words[1], words[2:], conditions)], more)


def _watched(context: Context, schema: Schema, name: str, groups: list[str], where: Json) -> Watched:
    server = context.client.remote
    table = schema.tables.get(name)
    if table is None:
        raise Failure(f'{server}: {schema.name} does not have a table named "{name}"')
    shown: dict[str, ColumnType] = {}
    requests: list[Json] = []
    for group in groups or [""]:
        select = dict.fromkeys(_FLAGS, True)
        names = []
        for word in group.replace(",", " ").split():
            if word[0] == "!" and word[1:] in _FLAGS:
                select[word[1:]] = False
            elif word in table.columns or word in ("_uuid", "_version"):
                names.append(word)
            else:
                raise Failure(
                    f'{server}: table "{name}" in {schema.name} does not have a column named "{word}"'
                )
        if not names:
            names = [*sorted(column for column in table.columns if column[0] != "_"), "_version"]
        for word in names:
            if word in shown:
                raise Failure(f'{server}: column "{word}" mentioned multiple times')
            shown[word] = UUID_TYPE if word[0] == "_" else table.columns[word].type
        request: dict[str, Json] = {"columns": names}
        if not all(select.values()):
            request["select"] = select
        if where is not None:
            request["where"] = where
        requests.append(request)
    return Watched(name, shown, requests)


class _Show:
    """Prints updates."""

    def __init__(self, context: Context, tables: list[Watched]) -> None:
        self.context = context
        self.tables = {table.name: table for table in tables}
        self.printer = Printer(context.style)

    def updates(self, updates: Json, initial: bool) -> None:
        missing: Cell = JsonCell(None) if self.context.style.format == "json" else ""
        for name in sorted(updates):
            table = self.tables[name]
            rows: list[list[Cell]] = []
            for uuid, update in sorted(updates[name].items()):
                rows += _rows(table, uuid, update, initial, missing)
            if not rows:
                continue
            caption = name if len(self.tables) > 1 else None
            moment = _timestamp() if self.context.timestamp else None
            headings = ["row", "action", *table.columns]
            out(self.printer.render(Table(headings, rows, caption, moment)))


def _timestamp() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}"


def _rows(table: Watched, uuid: str, update: Json, initial: bool, missing: Cell) -> list[list[Cell]]:
    """The lines for a <row-update> or a <row-update2>."""
    if "new" in update or "old" in update:
        old, new = update.get("old"), update.get("new")
        if old is None:
            return [_line(table, uuid, "initial" if initial else "insert", new, missing)]
        if new is None:
            return [_line(table, uuid, "delete", old, missing)]
        return [_line(table, uuid, "old", old, missing), _line(table, "", "new", new, missing)]
    return [
        _line(table, uuid, kind, row or {}, missing, loose=kind == "modify") for kind, row in update.items()
    ]


def _line(
    table: Watched, uuid: str, action: str, row: Json, missing: Cell, *, loose: bool = False
) -> list[Cell]:
    cells: list[Cell] = [uuid, action]
    for name, type_ in table.columns.items():
        if name not in row:
            cells.append(missing)
            continue
        if loose and type_.max > 1:
            type_ = type_._replace(min=0)
        try:
            cells.append(DatumCell(type_, datum_from_json(type_, row[name])))
        except OvsdbError:  # a difference of more elements than the column may hold
            cells.append(JsonCell(row[name]))
    return cells


def _run(context: Context, method: str, tables: list[Watched], more: list[Json]) -> None:
    context.set_aware(unasked=True)
    show = _Show(context, tables)
    request = {table.name: table.request for table in tables}
    try:
        first = context.client.call(method, [context.database, None, request, *more])
    except RpcError as error:
        raise Failure(f"{method} failed: {error.error}") from None
    if method == "monitor_cond_since":
        found, last_id, first = first
        out(f"found: {'true' if found else 'false'}, last_id: {last_id}\n")
    show.updates(first, True)

    def tell(notification: Notification) -> None:
        if notification.method == "update3":
            out(f"\nlast_id: {notification.params[1]}")
            show.updates(notification.params[2], False)
        elif notification.method in ("update", "update2"):
            show.updates(notification.params[1], False)
        elif notification.method == "monitor_canceled":
            raise Failure(f"{context.client.remote}: {context.database} database was removed")

    context.follow(tell)
