"""Commands about databases and their schemas."""

from trunkline.base.json import Json, dumps, loads
from trunkline.cli.ovsdb_client.context import Context, Failure, out, read_schema
from trunkline.dbctl.tables import Cell, JsonCell, Table, render
from trunkline.io.ovsdb_client import RpcError

_EVERY_TABLE = {"_uuid": "uuid", "_version": "uuid"}


def list_dbs(context: Context) -> None:
    for name in sorted(context.call("list_dbs", [])):
        out(f"{name}\n")


def get_schema(context: Context) -> None:
    context.json(context.schema())


def get_schema_version(context: Context) -> None:
    out(f"{context.schema().get('version', '')}\n")


def get_schema_cksum(context: Context) -> None:
    out(f"{context.schema().get('cksum', '')}\n")


def list_tables(context: Context) -> None:
    rows = [[name] for name in sorted(context.schema()["tables"])]
    out(render([Table(["Table"], rows)], context.style))


def list_columns(context: Context) -> None:
    only = context.arguments[1] if len(context.arguments) > 1 else None
    rows: list[list[Cell]] = []
    for name, table in sorted(context.schema()["tables"].items()):
        if only is not None and name != only:
            continue
        columns: dict[str, Json] = {column: json["type"] for column, json in table["columns"].items()}
        for column, type_ in sorted((_EVERY_TABLE | columns).items()):
            row: list[Cell] = [] if only is not None else [name]
            rows.append([*row, column, JsonCell(loads(dumps([type_], sort_keys=True))[0])])
    headings = ["Column", "Type"] if only is not None else ["Table", "Column", "Type"]
    out(render([Table(headings, rows)], context.style))


def needs_conversion(context: Context) -> None:
    from trunkline.ovsdb.schema import Schema

    wanted = read_schema(context.arguments[1])
    present = context.call("get_schema", [wanted["name"]])
    same = Schema.from_json(wanted).to_json() == Schema.from_json(present).to_json()
    out("no\n" if same else "yes\n")


def convert(context: Context) -> None:
    schema = read_schema(context.arguments[1])
    context.set_aware(unasked=True)
    try:
        context.client.call("convert", [schema["name"], schema])
    except RpcError as error:
        raise Failure(f"transaction returned error: {dumps(error.error, sort_keys=True)}") from None
