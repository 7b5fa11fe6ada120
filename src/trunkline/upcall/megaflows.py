"""The megaflows that the switch has put into a datapath, and which of them a change concerns.

A megaflow keeps the result of the translation that made it.  Its reads and lookups are turned into an index:
a change is either a token, which leads to the megaflows that have read the thing that it names, or a rule
(value, mask) in a table, which concerns a megaflow only if its key agreed with the rule on all bits that both
looked at.
"""

from collections.abc import Hashable, Iterable

from trunkline.ofproto.fabric import RuleChange
from trunkline.translate.result import Result, TableRead
from trunkline.upcall.effects import Sorted


class Megaflow:
    """`bridge` and `in_port`: where the packet that made it came in.  Statistics are what has been pushed."""

    __slots__ = (
        "actions",
        "bridge",
        "bytes",
        "created",
        "effects",
        "key",
        "mask",
        "packets",
        "result",
        "ufid",
        "used",
    )

    def __init__(
        self,
        ufid: int,
        key: int,
        mask: int,
        actions: tuple[object, ...],
        bridge: str,
        result: Result,
        now: float,
    ) -> None:
        self.ufid = ufid
        self.key = key  # whole, as the first packet had it
        self.mask = mask
        self.actions = actions
        self.bridge = bridge
        self.result = result
        self.effects: Sorted | None = None  # the result's, sorted by the first push of statistics
        self.created = self.used = now
        self.packets = self.bytes = 0


class Index:
    """Megaflows by what their translations have read."""

    __slots__ = ("_tables", "_tokens")

    def __init__(self) -> None:
        self._tokens: dict[Hashable, dict[int, None]] = {}
        self._tables: dict[tuple[str, int], dict[int, dict[int, dict[int, None]]]] = {}

    def add(self, ufid: int, reads: Iterable[Hashable], lookups: Iterable[TableRead]) -> None:
        tokens, tables = self._tokens, self._tables
        for read in reads:
            flows = tokens.get(read)
            if flows is None:
                flows = tokens[read] = {}
            flows[ufid] = None
        for bridge, table, key, looked in lookups:
            place = bridge, table
            kinds = tables.get(place)
            if kinds is None:
                kinds = tables[place] = {}
            values = kinds.get(looked)
            if values is None:
                values = kinds[looked] = {}
            value = key & looked
            flows = values.get(value)
            if flows is None:
                values[value] = {ufid: None}
            else:
                flows[ufid] = None

    def remove(self, ufid: int, reads: Iterable[Hashable], lookups: Iterable[TableRead]) -> None:
        for read in reads:
            flows = self._tokens.get(read)
            if flows is not None:
                flows.pop(ufid, None)
                if not flows:
                    del self._tokens[read]
        for lookup in lookups:
            self._remove_lookup(ufid, lookup)

    def _remove_lookup(self, ufid: int, lookup: TableRead) -> None:
        bridge, number, key, looked = lookup
        table = self._tables.get((bridge, number))
        values = table.get(looked) if table is not None else None
        flows = values.get(key & looked) if values is not None else None
        if table is None or values is None or flows is None:
            return  # two lookups of one megaflow may be alike
        flows.pop(ufid, None)
        if not flows:
            del values[key & looked]
            if not values:
                del table[looked]
                if not table:
                    del self._tables[bridge, number]

    def concerned(self, changes: Iterable[Hashable]) -> set[int]:
        """The ufids of the megaflows that a change may concern."""
        found: set[int] = set()
        for change in changes:
            if isinstance(change, RuleChange):
                self._by_rule(change, found)
            else:
                found.update(self._tokens.get(change, ()))
        return found

    def _by_rule(self, change: RuleChange, found: set[int]) -> None:
        for looked, values in self._tables.get((change.bridge, change.table), {}).items():
            common = looked & change.mask
            want = change.value & common
            if common == looked:  # as for most rules: the lookup was coarser than the rule
                found.update(values.get(want, ()))
            else:
                for have, flows in values.items():
                    if have & common == want:
                        found.update(flows)
