"""Typed rows: the checked-in types are fresh, and rows have exactly the fields that they name."""

import ast
import runpy
from pathlib import Path

from trunkline.base.json import loads
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.rows import RowType
from trunkline.ovsdb.schema import Schema

ROOT = Path(__file__).parents[3]


def test_generated_types_are_fresh() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "generate_rows.py"))
    assert tool["TARGET"].read_text() == tool["generated"]()


def test_rows_have_the_fields_of_the_types() -> None:
    schema = Schema.from_json(loads(schema_text("Open_vSwitch")))
    tree = ast.parse((ROOT / "src/trunkline/model/vswitch_rows.pyi").read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert {node.name for node in classes} == set(schema.tables)
    for node in classes:
        named = [
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        ]
        assert set(named) == {"uuid", *RowType(schema.tables[node.name]).columns}
