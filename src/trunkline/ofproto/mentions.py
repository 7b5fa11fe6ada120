"""What flows name, and who is to know when they are gone.

A group or meter that goes takes the flows along that name it.  And a flow may have taught others (learn with
``delete_learned``): they go when the last flow has gone that taught flows with that cookie in that table.
"""

from collections import Counter
from collections.abc import Sequence

from trunkline.ofproto.rules import Rule, references
from trunkline.openflow.actions import Learn


class Mentions:
    """Kept up to date as flows come and go; those whose actions are *plain* name nothing."""

    __slots__ = ("_teachers", "_users")

    def __init__(self) -> None:
        self._users: dict[tuple[type, int], dict[Rule, int]] = {}  # who names a group or meter, how often
        self._teachers: Counter[tuple[int, int]] = Counter()  # by table and cookie

    def add(self, rule: Rule) -> None:
        for name in references(rule.actions):
            users = self._users.setdefault(name, {})
            users[rule] = users.get(rule, 0) + 1

    def remove(self, rule: Rule) -> None:
        for name in dict.fromkeys(references(rule.actions)):
            users = self._users[name]
            del users[rule]
            if not users:
                del self._users[name]

    def count(self, kind: type, number: int) -> int:
        """How often flows name a group (actions.Group) or a meter (actions.Meter)."""
        return sum(self._users.get((kind, number), {}).values())

    def users(self, kind: type, number: int) -> list[Rule]:
        """The flows that name it, by table and falling priority."""
        return sorted(self._users.get((kind, number), ()), key=lambda rule: (rule.table, -rule.priority))

    def untaught(self, old: Sequence[Rule], new: Sequence[Rule]) -> set[tuple[int, int]]:
        """Notes that the one have gone and the other have come; returns table and cookie of the flows that
        nobody teaches any more."""
        gone = set()
        for rules, by in ((new, 1), (old, -1)):
            for rule in rules:
                for action in () if rule.plain else rule.actions:
                    if isinstance(action, Learn) and action.delete_learned:
                        name = action.table, action.cookie
                        self._teachers[name] += by
                        if not self._teachers[name]:
                            del self._teachers[name]
                            gone.add(name)
        return {name for name in gone if name not in self._teachers}
