"""Settings that are stored and shown but do nothing (yet): whoever uses one finds it in the log, once.

Which they are stands in model/configuration.py.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from trunkline.base.log import Logger
from trunkline.model.configuration import SETTINGS, VALUES, State
from trunkline.ovsdb.rows import Row

_SAID: Final = {State.NOT_YET: "is not implemented yet", State.NOT_HERE: "does not apply here"}


def _by_column(table: str) -> dict[str, dict[str, tuple[str, str]]]:
    """column -> key ("" for the column itself) -> (what to say, what happens instead)."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for row in SETTINGS:
        if row.table == table and row.state in _SAID:
            for name in row.names.split():
                column, _, key = name.partition(":")
                found.setdefault(column, {})[key] = (_SAID[row.state], row.note)
    return found


def _by_value(table: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(column, value) -> (what to say, what happens instead)."""
    return {
        (column, value): (_SAID[row.state], row.note)
        for row in VALUES
        if row.table == table
        for column, _, value in (name.partition("=") for name in row.names.split())
    }


_TABLES: Final = {
    name: _by_column(name)
    for name in ("Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Flow_Sample_Collector_Set")
}


_VALUES: Final = {name: _by_value(name) for name in _TABLES}


def uses(table: str, row: Row) -> Iterator[tuple[str, str, str]]:
    """The settings of `row` that do nothing: name, what to say of it, what happens instead."""
    for column, keys in _TABLES[table].items():
        value = getattr(row, column, None)
        if not value:
            continue
        if "" in keys and not isinstance(value, Mapping):
            yield column, *keys[""]
        elif isinstance(value, Mapping):
            if "" in keys:
                yield column, *keys[""]
            for key in value:
                if key in keys and key:
                    yield f"{column}:{key}", *keys[key]
    for (column, value), found in _VALUES[table].items():
        if getattr(row, column, None) == value:
            yield f"{column}={value}", *found


class Complaints:
    """Remembers what was said, so that each thing is said once while it stays configured."""

    __slots__ = ("_log", "_said")

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._said: dict[str, set[str]] = {}

    def look(self, table: str, row: Row, name: str) -> None:
        """Says what is new in `row`; `name` is what a person calls the row."""
        before = self._said.pop(row.uuid, set())
        now = set()
        for setting, said, instead in uses(table, row):
            now.add(setting)
            if setting not in before:
                self._log.warn("%s %s: %s %s: %s", table, name, setting, said, instead)
        if now:
            self._said[row.uuid] = now

    def forget(self, uuid: str) -> None:
        self._said.pop(uuid, None)
