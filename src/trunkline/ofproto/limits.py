"""How many flows a table takes, which flow has to go when it is full, and who is told how full it is.

A table has a limit, from the database, and a policy: a flow too many is refused, or another one is evicted
for it.  Either the database or a controller (table-mod, OpenFlow 1.4) says that flows are evicted.  Only
flows with a timeout are: out of the largest group of flows (those that agree in certain fields, which the
database names) the least important, and of these the one whose time is up first.
(ovs-vswitchd.conf.db(5), Flow_Table.)

A table can also tell controllers as it fills up and empties (vacancy events; OpenFlow 1.4.0, 7.3.4.3).
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import islice
from typing import Final, NamedTuple

from trunkline.ofproto.rules import Rule
from trunkline.openflow.messages import TableDescription
from trunkline.openflow.notices import OFPTR_VACANCY_DOWN, OFPTR_VACANCY_UP

MAX_FLOWS: Final = 1_000_000  # in a table, as table statistics say
_EVICTION_ORDERS: Final = 7  # by anything, by importance, by lifetime
_COMPARED: Final = 16  # of groups equally large; the original takes any one


class TableSettings(NamedTuple):
    """What the database says of a table: `groups` are the bits of a flow key that make a group."""

    name: str = ""
    limit: int | None = None
    evict: bool = False
    groups: int = 0


_UNSET: Final = TableSettings()


class Vacancy(NamedTuple):
    """Percentages at which controllers are told, and which of the two comes next (OFPTR_*)."""

    down: int
    up: int
    awaited: int


class Limits:
    """The limits of the tables of a bridge, and the flows that may be evicted."""

    __slots__ = ("_evictable", "_settings", "_told_to_evict", "_vacancies", "names")

    def __init__(self) -> None:
        self._settings: dict[int, TableSettings] = {}
        self.names: dict[int, str] = {}  # from controllers
        self._told_to_evict: set[int] = set()  # by controllers
        self._vacancies: dict[int, Vacancy] = {}
        self._evictable: dict[int, _Evictable] = {}

    def name(self, table: int) -> str:
        """The database's name for a table, or else what a controller calls it."""
        return self.settings(table).name or self.names.get(table, "")

    def set_name(self, table: int, name: str) -> None:
        """From a controller, for a table that the database does not name."""
        if not self.settings(table).name:
            self.names[table] = name

    def settings(self, table: int) -> TableSettings:
        return self._settings.get(table, _UNSET)

    @property
    def configured(self) -> set[int]:
        """The tables of which the database says something."""
        return set(self._settings)

    @property
    def told(self) -> list[int]:
        """The tables of which controllers have said something."""
        return sorted(self._told_to_evict | self._vacancies.keys())

    def limit(self, table: int) -> int:
        settings = self._settings.get(table)
        return MAX_FLOWS if settings is None or settings.limit is None else settings.limit

    # ---- what is wanted

    def set_settings(self, table: int, settings: TableSettings, flows: Iterable[Rule]) -> None:
        """From the database; `flows` are those in the table."""
        before = self.settings(table)
        self._settings[table] = settings
        if settings.name:
            self.names.pop(table, None)
        if settings == _UNSET:
            del self._settings[table]
        if before.groups != settings.groups:
            self._evictable.pop(table, None)
        self._look(table, flows)

    def set_eviction(self, table: int, wanted: bool, flows: Iterable[Rule]) -> None:
        """From a controller."""
        (self._told_to_evict.add if wanted else self._told_to_evict.discard)(table)
        self._look(table, flows)

    def _look(self, table: int, flows: Iterable[Rule]) -> None:
        settings = self.settings(table)
        if not settings.evict and table not in self._told_to_evict:
            self._evictable.pop(table, None)
        elif table not in self._evictable:
            evictable = self._evictable[table] = _Evictable(settings.groups)
            for rule in flows:
                evictable.add(rule)

    def set_vacancy(self, table: int, wanted: tuple[int, int] | None, size: int) -> None:
        """`wanted`: the percentages down and up, or None to tell no more; `size`: flows in the table."""
        if wanted is None:
            self._vacancies.pop(table, None)
            return
        down, up = wanted
        before = self._vacancies.get(table)
        awaited = OFPTR_VACANCY_UP if self.vacancy(table, size) < up else OFPTR_VACANCY_DOWN
        if before is not None:
            awaited = before.awaited  # other percentages alone leave it, as in the original
        self._vacancies[table] = Vacancy(down, up, awaited)

    # ---- flows come and go

    def add(self, rule: Rule) -> None:
        evictable = self._evictable.get(rule.table)
        if evictable is not None:
            evictable.add(rule)

    def remove(self, rule: Rule) -> None:
        evictable = self._evictable.get(rule.table)
        if evictable is not None:
            evictable.remove(rule)

    def victim(self, table: int) -> Rule | None:
        """The flow that is to make room for another, or None: nothing may be evicted."""
        evictable = self._evictable.get(table)
        return evictable.choose() if evictable is not None else None

    # ---- what is said of it

    def vacancy(self, table: int, size: int) -> int:
        """The room that there is, in percent."""
        limit = self.settings(table).limit
        if not limit:
            return 100
        return max(limit - size, 0) * 100 // limit

    def event(self, table: int, size: int) -> int | None:
        """To be called when flows have come or gone: the OFPTR_* that controllers are to be told, if any."""
        vacancy = self._vacancies.get(table)
        if vacancy is None:
            return None
        room = self.vacancy(table, size)
        if room < vacancy.down:
            reason, then = OFPTR_VACANCY_DOWN, OFPTR_VACANCY_UP
        elif room > vacancy.up:
            reason, then = OFPTR_VACANCY_UP, OFPTR_VACANCY_DOWN
        else:
            return None
        if reason != vacancy.awaited:
            return None
        self._vacancies[table] = vacancy._replace(awaited=then)
        return reason

    def describe(self, table: int, size: int) -> TableDescription:
        vacancy = self._vacancies.get(table)
        down, up, now = (
            (0, 0, 0) if vacancy is None else (vacancy.down, vacancy.up, self.vacancy(table, size))
        )
        return TableDescription(
            table, table in self._told_to_evict, _EVICTION_ORDERS, vacancy is not None, down, up, now
        )

    @property
    def tells(self) -> bool:
        """Whether anybody wants to know how full tables are."""
        return bool(self._vacancies)

    def remember(self) -> dict[int, Vacancy]:
        """For `restore`, if what comes is to be undone."""
        return dict(self._vacancies)

    def restore(self, vacancies: dict[int, Vacancy]) -> None:
        self._vacancies = vacancies


class _Group:
    """Flows that agree in the fields of groups.  The heap may hold flows that are gone, or have later
    deadlines than it says: packets put them off."""

    __slots__ = ("heap", "members")

    def __init__(self) -> None:
        self.members: set[Rule] = set()
        self.heap: list[tuple[int, float, int, Rule]] = []


class _Evictable:
    """The flows of one table that have a timeout, by group."""

    __slots__ = ("_bits", "_groups", "_serial", "_sizes")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._groups: dict[int, _Group] = {}
        self._sizes: dict[int, dict[int, None]] = {}  # by size, the keys of groups
        self._serial = 0

    def add(self, rule: Rule) -> None:
        """Also for a flow that is here, whose timeouts have become shorter."""
        due = rule.deadline()
        if due is None:
            return
        key = rule.value & self._bits
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        if rule not in group.members:
            self._resize(key, len(group.members), len(group.members) + 1)
            group.members.add(rule)
        self._push(group, rule, due)

    def _push(self, group: _Group, rule: Rule, due: float) -> None:
        self._serial += 1
        heappush(group.heap, (rule.importance, due, self._serial, rule))

    def remove(self, rule: Rule) -> None:
        key = rule.value & self._bits
        group = self._groups.get(key)
        if group is None or rule not in group.members:
            return
        self._resize(key, len(group.members), len(group.members) - 1)
        group.members.discard(rule)
        if not group.members:
            del self._groups[key]
        elif len(group.heap) > 2 * len(group.members) + 8:
            group.heap = []
            for member in group.members:
                self._push(group, member, member.deadline() or 0.0)

    def _resize(self, key: int, before: int, after: int) -> None:
        if before:
            keys = self._sizes[before]
            del keys[key]
            if not keys:
                del self._sizes[before]
        if after:
            self._sizes.setdefault(after, {})[key] = None

    def choose(self) -> Rule | None:
        if not self._sizes:
            return None
        largest = islice(self._sizes[max(self._sizes)], _COMPARED)
        return min((self._first(self._groups[key]) for key in largest), key=lambda entry: entry[:3])[3]

    def _first(self, group: _Group) -> tuple[int, float, int, Rule]:
        while True:
            entry = group.heap[0]
            _, said, _, rule = entry
            due = rule.deadline()
            if rule in group.members and due is not None and due <= said:
                return entry
            heappop(group.heap)
            if rule in group.members and due is not None:
                self._push(group, rule, due)
