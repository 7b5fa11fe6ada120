"""Flow tables as the database has them: rows Flow_Table, which a bridge refers to by the number of a table.

What a row cannot mean is said in the log in the words of the original, and left out.  `prefixes` is checked
and has no effect: the classifier shortens its proofs by the prefixes of every field that has any, whatever
the row names (docs/design/forwarding.md), so there is nothing to be switched on.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from trunkline.base.log import Log
from trunkline.bridge.parts import BridgePart
from trunkline.flow import key as layout
from trunkline.flow.values import TextError
from trunkline.model.fields import FIELD
from trunkline.ofproto.limits import TableSettings
from trunkline.ofproto.rules import HIDDEN_TABLE
from trunkline.openflow.action_words import parse_subfield
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Change, Replica
from trunkline.ovsdb.rows import Row

_UNSET: Final = TableSettings()
_PREFIXED: Final = frozenset(
    (
        *("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "ip_src", "ip_dst"),
        *("nw_src", "nw_dst", "ipv6_src", "ipv6_dst"),
    )
)


class FlowTableRows:
    """Keeps the bridges' tables in line with the database."""

    __slots__ = ("_changed", "_known", "_log")

    def __init__(self, log: Log) -> None:
        self._log = log.module("bridge")
        self._changed = False
        self._known: dict[tuple[str, int], Row] = {}  # rows that were looked at, by bridge and table

    def look(self, changes: Iterable[Change]) -> None:
        self._changed = self._changed or any(_concerns(change) for change in changes)

    def apply(self, replica: Replica, bridges: Mapping[Uuid, BridgePart]) -> None:
        """After changes, when the bridges are there."""
        if not self._changed:
            return
        self._changed = False
        known: dict[tuple[str, int], Row] = {}
        for part in bridges.values():
            wanted: dict[int, TableSettings] = {}
            for number, uuid in sorted(part.row.flow_tables.items()):
                row = replica.row("Flow_Table", uuid)
                if row is None or not 0 <= number <= HIDDEN_TABLE:
                    continue
                known[part.name, number] = row
                is_news = self._known.get((part.name, number)) != row
                wanted[number] = self._settings(part.name, number, row, is_news)
            for number in part.bridge.flows.limits.configured - wanted.keys():
                part.bridge.set_table(number, _UNSET)
            for number, settings in wanted.items():
                part.bridge.set_table(number, settings)
        self._known = known

    def _settings(self, bridge: str, number: int, row: Row, is_news: bool) -> TableSettings:
        groups = 0
        for text in row.groups:
            try:
                field, start, width = parse_subfield(text)
            except TextError as error:
                if is_news:
                    self._log.warn("bridge %s table %d: error parsing 'groups' (%s)", bridge, number, error)
                continue
            if field.name in layout.VIEW:
                shift, _, _ = layout.VIEW[field.name]
                groups |= ((1 << width) - 1) << shift + start
        for name in row.prefixes if is_news else ():
            if name != "none" and name not in FIELD:
                self._log.warn("bridge %s: 'prefixes' with unknown field: %s", bridge, name)
            elif name != "none" and name not in _PREFIXED:
                self._log.warn("bridge %s: 'prefixes' with incompatible field: %s", bridge, name)
        return TableSettings(row.name or "", row.flow_limit, row.overflow_policy == "evict", groups)


def _concerns(change: Change) -> bool:
    if change.table != "Bridge":
        return change.table in ("Flow_Table", "Open_vSwitch")
    return any(row is not None and row.flow_tables for row in (change.old, change.new))
