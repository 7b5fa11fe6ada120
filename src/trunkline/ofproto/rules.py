"""Rules, and the tables that hold them.

A rule is never changed in place but for its timeouts: a flow-mod that modifies puts a new rule where the old
one was.  What the packets did lives in `Counters`, which the new rule takes over, so that a megaflow that was
translated with the old rule still counts for the new one.

Tables are numbered 0 to 254; the last is the switch's own.  Each is a classifier that comes to be when a rule
needs it.  A change is written to the fabric's journal, and is visible in the version that it makes.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from trunkline.flow.classifier import FOREVER, Classifier, Entry
from trunkline.flow.classifier import Conjunction as Clause
from trunkline.flow.match import Match
from trunkline.model.openflow import OFPRR_HARD_TIMEOUT, OFPRR_IDLE_TIMEOUT
from trunkline.openflow.actions import (
    Action,
    Clone,
    Conjunction,
    Enqueue,
    Group,
    Learn,
    Meter,
    Note,
    Output,
    OutputTruncated,
    WriteActions,
)

TABLES: Final = 254  # that OpenFlow sees; table 254 is hidden
HIDDEN_TABLE: Final = 254
MAX_PRIORITY: Final = 0xFFFF  # that OpenFlow can give; flows above are hidden
_CLAUSES: Final = (Conjunction, Note)  # conjunction stands beside nothing but notes
_NESTING: Final = frozenset((Clone, WriteActions))
_INVOLVED: Final = _NESTING | {Group, Meter, Learn}


class Counters:
    """What went through a rule; `used` is Clock.monotonic() of the last packet.

    Counts that outlive the process (daemons/kept_counts.py) belong to the `name` of a rule, which says what
    it matches, and to counters that began after `begun`: an equal rule may have been there before.  `changed`
    is where counters are put down that have counted and are not written yet; None: they are there, or nobody
    writes them.  `place` is the writer's.
    """

    __slots__ = ("begun", "bytes", "changed", "name", "packets", "place", "used")

    def __init__(self, now: float, begun: float | None = None) -> None:
        self.packets = 0
        self.bytes = 0
        self.used = now
        self.begun = now if begun is None else begun
        self.name: int | None = None
        self.changed: list[Counters] | None = None
        self.place = -1


class Ahead(NamedTuple):
    """What a rule comes to that only writes pipeline fields and then leads to a later table of its bridge:
    the bits of the key that stay (0: all), what the others become, the table; and whether it is a miss of
    that table if it has no rule for the packet."""

    keep: int
    value: int
    table: int
    misses: bool


class Program(NamedTuple):
    """What a rule does, ready to be done: whose counts a packet makes, and its actions as steps.

    `ahead` says the same as `steps`, where that is possible.
    """

    counted: "Hit"
    ahead: Ahead | None
    steps: tuple[tuple[Callable[..., Any], Any, Any], ...]


class Rule(Entry):
    """A flow.  `origin` says where it comes from (a connection, fail mode, a database row), for *why*.

    `ops` is the compiled form of `actions`, made by the first translation that meets the rule.  `plain`:
    the actions name no group or meter, and teach nothing.
    """

    __slots__ = (
        "actions",
        "conjunctions",
        "cookie",
        "counters",
        "created",
        "flags",
        "hard_timeout",
        "idle_timeout",
        "importance",
        "modified",
        "ops",
        "options",
        "origin",
        "plain",
        "table",
    )

    def __init__(
        self,
        match: Match,
        priority: int,
        table: int,
        actions: tuple[Action, ...],
        now: float,
        *,
        cookie: int = 0,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        importance: int = 0,
        flags: int = 0,
        origin: str = "",
        counters: Counters | None = None,
    ) -> None:
        self.value = match.value
        self.mask = match.mask
        self.options = match.options
        self.priority = priority
        self.table = table
        self.actions = actions
        self.plain = _INVOLVED.isdisjoint(map(type, actions))
        self.conjunctions = ()
        if actions and type(actions[0]) in _CLAUSES:
            self.conjunctions = tuple(
                Clause(*action) for action in actions if isinstance(action, Conjunction)
            )
        self.cookie = cookie
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.importance = importance
        self.flags = flags
        self.origin = origin
        self.created = self.modified = now
        self.counters = counters if counters is not None else Counters(now)
        self.added = 0
        self.removed = FOREVER
        self.next: Rule | None = None
        self.ops: Program | None = None

    @property
    def match(self) -> Match:
        return Match(self.value, self.mask, self.options)

    def name(self) -> int:
        """Stands for table, priority and match, in every process alike: only numbers are in it."""
        return hash((self.table, self.priority, self.value, self.mask, len(self.options)))

    def outputs_to(self, port: int) -> bool:
        return any(_outputs_to(action, port) for action in self.actions)

    def expired(self, now: float) -> int | None:
        """The OFPRR_* reason why it is to go, or None while it lives."""
        if self.hard_timeout and now >= self.modified + self.hard_timeout:
            return OFPRR_HARD_TIMEOUT
        if self.idle_timeout and now >= self.counters.used + self.idle_timeout:
            return OFPRR_IDLE_TIMEOUT
        return None

    def deadline(self) -> float | None:
        """When it may be due: a timer's hint, for a packet may put off an idle timeout."""
        due = []
        if self.hard_timeout:
            due.append(self.modified + self.hard_timeout)
        if self.idle_timeout:
            due.append(self.counters.used + self.idle_timeout)
        return min(due) if due else None


def _outputs_to(action: Action, port: int) -> bool:
    if isinstance(action, WriteActions):
        return any(_outputs_to(one, port) for one in action.actions)
    return isinstance(action, (Output, OutputTruncated, Enqueue)) and action.port == port


def references(actions: tuple[Action, ...]) -> list[tuple[type, int]]:
    """The groups and meters that actions name, each as often as they do: (Group or Meter, number)."""
    found: list[tuple[type, int]] = []
    for action in actions:
        kind = type(action)
        if kind in _NESTING:
            found += references(action.actions)  # type: ignore[union-attr]
        elif isinstance(action, Group):
            found.append((Group, action.group))
        elif isinstance(action, Meter):
            found.append((Meter, action.meter))
    return found


_EPSILON: Final = 1e-3  # of a millisecond: 10.4 - 10.0 is a little less than 0.4


def age_nanoseconds(now: float, then: float) -> int:
    """How long ago, in whole milliseconds, as nanoseconds: messages show no more."""
    return int(max(now - then, 0.0) * 1000 + _EPSILON) * 1_000_000


def age_seconds(now: float, then: float) -> int:
    """How long ago, in whole seconds."""
    return age_nanoseconds(now, then) // 1_000_000_000


class TableCounters:
    """Lookups in a table, and how many found a rule."""

    __slots__ = ("lookups", "matched")

    def __init__(self) -> None:
        self.lookups = 0
        self.matched = 0


Hit = tuple[TableCounters, Counters]
"""What counts a packet for which a lookup has found a rule: the table's counters and the rule's."""


class FlowTables:
    """The flow tables of a bridge, and the version that a lookup is to name."""

    __slots__ = ("changed", "counters", "leaving", "size", "tables", "version")

    def __init__(self) -> None:
        self.changed: list[Counters] | None = None  # counters to be written, where somebody does that
        self.tables: dict[int, Classifier[Rule]] = {}
        self.counters: dict[int, TableCounters] = {}
        self.version = 0
        self.size = 0
        self.leaving: dict[int, int] = {}  # flows by table that have vanished and are not taken out yet

    def count(self, table: int) -> TableCounters:
        counters = self.counters.get(table)
        if counters is None:
            counters = self.counters[table] = TableCounters()
        return counters

    def chosen(self, table: int) -> list[tuple[int, Classifier[Rule]]]:
        """The table of that number, or with 255 all that OpenFlow sees."""
        if table == 255:
            return [(number, c) for number, c in sorted(self.tables.items()) if number < TABLES]
        return [(table, self.tables[table])] if table in self.tables else []

    def insert(self, rule: Rule) -> None:
        """Visible from the next version on."""
        classifier = self.tables.get(rule.table)
        if classifier is None:
            classifier = self.tables[rule.table] = Classifier()
        rule.added = self.version + 1
        rule.removed = FOREVER
        classifier.add(rule)
        self.size += 1

    def retire(self, rule: Rule) -> None:
        """Invisible from the next version on; `discard` it once nobody names an older one."""
        rule.removed = self.version + 1

    def discard(self, rule: Rule) -> None:
        self.tables[rule.table].remove(rule)
        self.size -= 1
        if not self.tables[rule.table].size:
            del self.tables[rule.table]

    def rules(self, table: int = 255, hidden: bool = False) -> Iterator[Rule]:
        for number, classifier in sorted(self.tables.items()):
            if (hidden or number < TABLES) and table in (255, number):
                yield from classifier.visible(self.version)
