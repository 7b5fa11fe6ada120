"""Schemas that are wrong somewhere: the original's words about each."""

# ruff: noqa: E501

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trunkline.base.json import loads
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.schema import Schema

pytestmark = pytest.mark.oracle


def schema(**table: Any) -> Any:
    return {"name": "T", "version": "1.0.0", "tables": {"A": table}}


def column(type_: Any, **more: Any) -> Any:
    return schema(columns={"c": {"type": type_, **more}})


NAMED = {"name": "T", "version": "1.0.0", "tables": {}}
SCHEMAS: list[Any] = [
    {}, [], {"name": "T"}, {"name": 1, "tables": {}}, {"name": "1", "tables": {}}, {**NAMED, "x": 1},
    {**NAMED, "x": 1, "y": 2}, {**NAMED, "x": 1, "y": 2, "z": 3}, {**NAMED, "tables": []}, {**NAMED, "version": 1},
    {**NAMED, "version": "1"}, {**NAMED, "cksum": 1}, {**NAMED, "tables": {"1": {}}}, {**NAMED, "tables": {"_A": {}}},
    {**NAMED, "tables": {"A": 1}}, {"name": 1, "x": 1, "tables": 1},
    schema(), schema(columns=1), schema(columns={}), schema(columns={"c": 1}), schema(columns={"c": {}}),
    schema(columns={"c": {"type": 1}}), schema(columns={"_c": {"type": "string"}}), schema(columns={"1": {"type": "string"}}),
    schema(columns={"c": {"type": "string"}}, maxRows=0), schema(columns={"c": {"type": "string"}}, maxRows="x"),
    schema(columns={"c": {"type": "string"}}, isRoot=1), schema(columns={"c": {"type": "string"}}, x=1, y=1),
    schema(columns={"c": {"type": "string"}}, indexes=1), schema(columns={"c": {"type": "string"}}, indexes=[1]),
    schema(columns={"c": {"type": "string"}}, indexes=[[]]), schema(columns={"c": {"type": "string"}}, indexes=[["d"]]),
    schema(columns={"c": {"type": "string"}}, indexes=[["c", "c"]]), schema(columns={"c": {"type": "string", "ephemeral": True}}, indexes=[["c"]]),
    column("strin"), column("string", mutable=1), column("string", ephemeral=1), column("string", x=1),
    column("string", x=1, y=2), column({}), column({"key": 1}), column({"key": "x"}), column({"key": {}}),
    column({"key": {"type": 1}}), column({"key": {"type": "x"}}), column({"key": {"type": "string", "x": 1}}),
    column({"key": {"type": "string", "minInteger": 1}}), column({"key": {"type": "integer", "minInteger": "x"}}),
    column({"key": {"type": "integer", "minInteger": 2, "maxInteger": 1}}), column({"key": {"type": "integer", "minInteger": 1.5}}),
    column({"key": {"type": "real", "minReal": 2, "maxReal": 1.5}}), column({"key": {"type": "real", "minReal": "x"}}),
    column({"key": {"type": "string", "minLength": -1}}), column({"key": {"type": "string", "minLength": 3, "maxLength": 2}}),
    column({"key": {"type": "string", "maxLength": 1 << 40}}), column({"key": {"type": "string", "minLength": "x", "maxLength": -1}}),
    column({"key": {"type": "uuid", "refTable": 1}}), column({"key": {"type": "uuid", "refTable": "1"}}),
    column({"key": {"type": "uuid", "refTable": "B"}}), column({"key": {"type": "uuid", "refTable": "A", "refType": "x"}}),
    column({"key": {"type": "uuid", "refTable": "A", "refType": 1}}), column({"key": {"type": "uuid", "refType": "weak"}}),
    column({"key": {"type": "string", "enum": 1}}), column({"key": {"type": "string", "enum": ["set", []]}}),
    column({"key": {"type": "string", "enum": ["set", ["a", 1]]}}), column({"key": {"type": "string", "enum": "a", "minLength": 1}}),
    column({"key": "string", "min": 2}), column({"key": "string", "min": -1}), column({"key": "string", "max": 0}),
    column({"key": "string", "max": "x"}), column({"key": "string", "min": "x"}), column({"key": "string", "value": 1}),
    column({"key": "string", "x": 1}), column({"value": "string"}), column({"key": "string", "max": 1.5}),
]  # fmt: skip


def test_every_wrong_schema_is_refused_in_the_same_words(tmp_path: Path) -> None:
    differences = []
    path = tmp_path / "s"
    for value in SCHEMAS:
        path.write_text(json.dumps(value))
        done = subprocess.run(["/usr/bin/ovsdb-tool", "schema-name", path], capture_output=True, text=True)
        try:
            ours = f"{Schema.from_json(loads(json.dumps(value))).name}\n"
        except OvsdbError as error:
            ours = f"ovsdb-tool: {error}\n"
        theirs = (done.stdout + done.stderr).replace(f'failed to parse "{path}" as ovsdb schema: ', "")
        if ours != theirs.replace("Member 'y' and", "Member 'x' and"):  # the original names any of them
            differences.append((value, theirs, ours))
    assert not differences
