"""Who collects samples: IPFIX rows of a bridge, or of a Flow_Sample_Collector_Set row of it.

Nothing is exported yet.  But `sample` actions of a bridge that has such a row make their packets' megaflows
sample; as in the original, whatever number they name.
"""

from collections.abc import Iterable, Mapping

from trunkline.bridge.parts import BridgePart
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Change, Replica

_TABLES = frozenset(("Bridge", "Flow_Sample_Collector_Set"))


class CollectorSets:
    """Keeps what the bridges know of collectors in line with the database."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed = False

    def look(self, changes: Iterable[Change]) -> None:
        self._changed = self._changed or any(change.table in _TABLES for change in changes)

    def apply(self, replica: Replica, bridges: Mapping[Uuid, BridgePart]) -> None:
        """After changes, when the bridges are there."""
        if not self._changed:
            return
        self._changed = False
        rows = replica.rows("Flow_Sample_Collector_Set").values()
        found = {row.bridge for row in rows if row.ipfix is not None}
        for uuid, part in bridges.items():
            part.bridge.set_collects(uuid in found or part.row.ipfix is not None)
