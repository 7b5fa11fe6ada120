"""Timeout policies of connection tracking: rows Datapath, CT_Zone and CT_Timeout_Policy.

A Datapath row, by its type's name in Open_vSwitch:datapaths, says which zone has which policy.  A policy has
a number on its datapath, which ct(commit) of that zone puts into megaflows; connections that were made under
it ask for its timeouts at each packet, so a changed policy reaches them as well.
"""

from collections.abc import Iterable, Mapping

from trunkline.bridge.parts import Lane
from trunkline.ofproto.fabric import timeouts_token
from trunkline.ovsdb.atoms import Uuid
from trunkline.ovsdb.replica import Change, Replica
from trunkline.ovsdb.rows import Row

_TABLES = frozenset(("Open_vSwitch", "Datapath", "CT_Zone", "CT_Timeout_Policy"))


class TimeoutPolicies:
    """Keeps the lanes' policies in line with the database."""

    __slots__ = ("_changed", "_lanes", "_names", "_next")

    def __init__(self) -> None:
        self._changed = False
        self._lanes: list[int] = []
        self._names: dict[Uuid, str] = {}  # of policies: their numbers, never used for another
        self._next = 1

    def look(self, changes: Iterable[Change]) -> None:
        self._changed = self._changed or any(change.table in _TABLES for change in changes)

    def apply(self, replica: Replica, root: Row | None, lanes: Mapping[str, Lane]) -> None:
        """After changes, and when datapaths have come or gone."""
        there = [id(lane.datapath) for lane in lanes.values()]
        if not self._changed and there == self._lanes:
            return
        self._changed, self._lanes = False, there
        for kind, lane in lanes.items():
            zones, policies = self._of_datapath(replica, root, kind)
            lane.provider.conntrack.policies = policies
            fabric = lane.datapath.fabric
            if fabric.timeout_policies != zones:
                fabric.timeout_policies = zones
                fabric.changes.append(timeouts_token())

    def _of_datapath(
        self, replica: Replica, root: Row | None, kind: str
    ) -> tuple[dict[int, str], dict[str, Mapping[str, int]]]:
        """(zone -> policy's name, name -> timeouts)."""
        zones: dict[int, str] = {}
        policies: dict[str, Mapping[str, int]] = {}
        uuid = root.datapaths.get(kind) if root is not None else None
        row = replica.row("Datapath", uuid) if uuid is not None else None
        for number, zone_uuid in (row.ct_zones if row is not None else {}).items():
            zone = replica.row("CT_Zone", zone_uuid)
            policy = replica.row("CT_Timeout_Policy", zone.timeout_policy) if zone is not None else None
            if policy is None:
                continue
            name = self._names.get(policy.uuid)
            if name is None:
                name = self._names[policy.uuid] = str(self._next)
                self._next += 1
            zones[number] = name
            policies[name] = dict(policy.timeouts)
        return zones, policies
