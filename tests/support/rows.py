"""Rows of the Open_vSwitch database as a replica gives them, without a database."""

from types import MappingProxyType, SimpleNamespace
from typing import Any

from trunkline.base.json import loads
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.rows import default_value
from trunkline.ovsdb.schema import Schema

SCHEMA = Schema.from_json(loads(schema_text("Open_vSwitch")))


def row(table: str, uuid: str = "u", **columns: Any) -> Any:
    """A row whose other columns were never set."""
    values = {name: default_value(column.type) for name, column in SCHEMA.tables[table].columns.items()}
    assert columns.keys() <= values.keys()
    found = {
        name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in columns.items()
    }
    return SimpleNamespace(uuid=uuid, **{**values, **found})
