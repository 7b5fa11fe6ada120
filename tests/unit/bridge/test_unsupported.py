"""Each setting that does nothing is told of once, by its name: a test for every row of the table."""

import re
from typing import Any

import pytest

from support.rows import SCHEMA, row
from trunkline.base.clock import ManualClock
from trunkline.base.log import Log
from trunkline.bridge.interests import INTERESTS
from trunkline.bridge.unsupported import Complaints
from trunkline.model.configuration import SETTINGS, State
from trunkline.model.configuration import VALUES as SINGLE_VALUES
from trunkline.ovsdb.atoms import AtomicType

TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface", "Flow_Sample_Collector_Set")
VALUES = {AtomicType.BOOLEAN: True, AtomicType.INTEGER: 3, AtomicType.REAL: 1.5}
IDLE = [
    (setting.table, name, setting)
    for setting in (*SETTINGS, *SINGLE_VALUES)
    for name in setting.names.split()
    if setting.table in TABLES and setting.state in (State.NOT_YET, State.NOT_HERE)
]


def complaints() -> tuple[Complaints, list[str]]:
    log = Log("test", ManualClock(), ("bridge",))
    lines: list[str] = []
    log.attach("console", lambda level, line: lines.append(line))
    return Complaints(log.module("bridge")), lines


def using(table: str, name: str) -> Any:
    column, equals, value = name.partition("=")
    if equals:
        return row(table, **{column: value})
    column, _, key = name.partition(":")
    type = SCHEMA.tables[table].columns[column].type
    if type.value is not None:
        return row(table, **{column: {key or "any": "x"}})
    value = next(iter(type.key.enum or ()), None) if type.key.enum else VALUES.get(type.key.type, "x")
    return row(table, **{column: (value,) if type.max != 1 else value})


@pytest.mark.parametrize(
    ("table", "name", "setting"), IDLE, ids=[f"{table}-{name}" for table, name, _ in IDLE]
)
def test_a_setting_without_effect_is_logged_once_with_its_name(table: str, name: str, setting: Any) -> None:
    watch, lines = complaints()
    used = using(table, name)
    for _ in range(3):
        watch.look(table, used, "it")
    (line,) = lines
    assert f"{table} it: {name} " in line
    assert setting.note in line
    watch.look(table, row(table), "it")  # not set any more
    watch.look(table, used, "it")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("table", "name", "setting"), IDLE, ids=[f"{table}-{name}" for table, name, _ in IDLE]
)
def test_the_switch_hears_of_every_such_setting(table: str, name: str, setting: Any) -> None:
    columns = next(interest.columns for interest in INTERESTS if interest.table == table)
    assert columns is not None
    assert re.split("[:=]", name)[0] in columns


def test_what_is_honoured_is_not_complained_of() -> None:
    watch, lines = complaints()
    for setting in SETTINGS:
        if setting.table in TABLES and setting.state in (State.HONOURED, State.DATA):
            for name in setting.names.split():
                if name != "other_config":
                    watch.look(setting.table, using(setting.table, name), "it")
    assert lines == []
