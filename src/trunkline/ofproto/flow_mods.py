"""What flow-mods do to the tables, and which flows time out.

OpenFlow has five commands: add, and modify and delete, each loose (all flows that the match covers) or
strict (the one flow of that match and priority).  A command is first planned, which can fail and changes
nothing, and then carried out as one new version of the tables.

Source: OpenFlow 1.0.0 section 4.6, 1.3.5 section 6.4; where they leave room, the behaviour of the original:
an add over an existing flow keeps its counters unless told otherwise (always told in 1.0 and 1.1), a modify
that meets nothing adds in 1.0 and 1.1.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, Final

from trunkline.base.clock import Clock
from trunkline.flow.key import MASK
from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.acceptance import refusal
from trunkline.ofproto.fabric import Fabric, RuleChange
from trunkline.ofproto.flow_changes import Author, FlowChange
from trunkline.ofproto.groups import Group
from trunkline.ofproto.journal import Journal
from trunkline.ofproto.limits import Limits, TableSettings, Vacancy
from trunkline.ofproto.mentions import Mentions
from trunkline.ofproto.meters import Meter
from trunkline.ofproto.rules import (
    MAX_PRIORITY,
    TABLES,
    Counters,
    FlowTables,
    Rule,
    age_nanoseconds,
)
from trunkline.ofproto.selection import DELETES, Selection, among, chosen
from trunkline.ofproto.tunnel_options import OptionError, Options, number_of
from trunkline.ofproto.tunnels import tunnels_token
from trunkline.openflow import actions
from trunkline.openflow.messages import FlowMod, FlowRemoved, Message
from trunkline.openflow.monitors import OFPFME_ADDED, OFPFME_MODIFIED, OFPFME_REMOVED
from trunkline.openflow.notices import TableStatus
from trunkline.openflow.tunnel_table import NXTTMC_ADD, NXTTMC_CLEAR, TlvTableMod

_KEPT_FLAGS: Final = (
    of.OFPFF_SEND_FLOW_REM
    | of.OFPFF_CHECK_OVERLAP
    | of.OFPFF_RESET_COUNTS
    | of.OFPFF_NO_PKT_COUNTS
    | of.OFPFF_NO_BYT_COUNTS
)
_OPENFLOW11: Final = 2
_OPENFLOW12: Final = 3

_ANY_NUMBER: Final = range(1 << 32)
_DATAPATH_HASH: Final = MASK["dp_hash"]
_RECIRCULATION: Final = MASK["recirc_id"]
_SAME_COOKIE: Final = 0xFFFFFFFFFFFFFFFF


class Refused(Exception):
    """A flow-mod changes nothing; `error` is the name of the OpenFlow error."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def _cookie(mod: FlowMod, old: Rule | None) -> int:
    """The cookie of a flow that is added: all ones leave the one of the flow that was there."""
    cookie = mod.new_cookie or 0
    return old.cookie if old is not None and cookie == _SAME_COOKIE else cookie


def _options_of(rule: Rule) -> set[int]:
    """The numbers of the fields tun_metadata that a flow names."""
    return {place.number for place in rule.match.options} | set(_numbers(rule.actions))


def _numbers(part: object) -> Iterator[int]:
    if isinstance(part, str):
        number = number_of(part)
        if number is not None:
            yield number
    elif isinstance(part, tuple):
        for one in part:
            yield from _numbers(one)


class Flows:
    """The flow tables of the bridge named `bridge`, under flow-mods and timeouts."""

    __slots__ = (
        "_bridge",
        "_done",
        "_fabric",
        "_mentions",
        "_serial",
        "_timers",
        "_vacancies",
        "author",
        "changes",
        "clock",
        "deleter",
        "groups",
        "journal",
        "limits",
        "meters",
        "options",
        "pending",
        "tables",
        "told_in_short",
        "unsaid",
        "watched",
    )

    def __init__(self, bridge: str, fabric: Fabric, clock: Clock) -> None:
        self.tables = FlowTables()
        self.options = Options()  # of tunnels, that fields tun_metadata stand for
        self.limits = Limits()
        self.unsaid: list[Message] = []  # of evicted flows and full tables, for whoever tells controllers
        self._vacancies: dict[int, Vacancy] = {}  # as they were at `begin`
        self.groups: dict[int, Group] = {}
        self.meters: dict[int, Meter] = {}
        self._mentions = Mentions()
        self._bridge = bridge
        self._fabric = fabric
        self.clock = clock
        self._timers: list[tuple[float, int, Rule]] = []
        self._serial = 0
        self.watched = False  # whether somebody has monitors
        self.author: Author | None = None  # of the changes that are being made
        self.deleter: Author | None = None  # of a long deletion
        self.told_in_short: list[Any] = []  # who has been told of it by the xid of his message
        self.changes: list[FlowChange] = []  # for whoever watches (flow_monitors.py)
        self.journal: Journal | None = (
            None  # of what no message says; whoever carries messages out writes those
        )
        self._done: list[tuple[tuple[Rule, ...], tuple[Rule, ...]]] | None = None  # steps to be undone
        self.pending: Iterator[None] | None = None  # the rest of a long deletion (deletions.py)

    # ---- options of tunnels

    def placed(self, match: Match) -> Match:
        """A match with its fields tun_metadata where this bridge has them.  Raises Refused."""
        try:
            return self.options.placed(match)
        except OptionError as error:
            raise Refused(str(error)) from None

    def set_options(self, mod: TlvTableMod) -> None:
        """Raises Refused; a mapping that a flow needs cannot go."""
        self.settle()
        try:
            new = self.options.changed(mod)
        except OptionError as error:
            raise Refused(str(error)) from None
        named = {mapping.field for mapping in mod.mappings}
        if mod.command == NXTTMC_CLEAR:
            named = {mapping.field for mapping in self.options.mappings}
        if mod.command != NXTTMC_ADD and any(named & _options_of(rule) for rule in self.tables.rules()):
            raise Refused("NXTTMFC_INVALID_TLV_DEL")
        self.options = new
        self._fabric.changes.append(tunnels_token())

    # ---- bundles

    def begin(self) -> None:
        """From here on every step is remembered, until `commit` or `roll_back`."""
        self.settle()
        self._done = []
        self._vacancies = self.limits.remember()

    def commit(self) -> None:
        self._done = None

    def roll_back(self) -> None:
        """Puts the tables back to what they were at `begin`: the very rules, with their counters."""
        done, self._done = self._done, None
        self.changes.clear()
        for old, new in reversed(done or ()):
            self._replace(new, old)
        self.limits.restore(self._vacancies)
        self.unsaid.clear()

    # ---- selection

    def select(self, selection: Selection) -> Iterator[Rule]:
        value, mask, _ = selection.match
        version = self.tables.version
        for _, classifier in self.tables.chosen(selection.table):
            for rule in classifier.covered(value, mask, version):
                if chosen(rule, selection):
                    yield rule

    def snapshot(self, selection: Selection) -> list[Iterator[Rule | None]]:
        """The same of now, even if the tables change while one goes through it; one iterator a table.

        What may take long to find comes with None in between.
        """
        value, mask, _ = selection.match
        version = self.tables.version
        return [
            among(classifier.snapshot(value, mask, version), selection)
            for _, classifier in self.tables.chosen(selection.table)
        ]

    def _select_strict(self, selection: Selection, priority: int) -> Iterator[Rule]:
        value, mask, _ = selection.match
        version = self.tables.version
        for _, classifier in self.tables.chosen(selection.table):
            rule = classifier.find(value, mask, priority, version)
            if rule is not None and chosen(rule, selection):
                yield rule

    # ---- flow-mods

    def check(self, message: FlowMod, *, bundled: bool = False) -> None:
        """What can be said of a flow-mod without looking at the tables.  Raises Refused.

        That its actions make sense for its match was seen when it was decoded.  In a bundle, groups and
        meters may still come to be before the flow.
        """
        if message.table != 255 and message.table >= TABLES and message.command != of.OFPFC_DELETE_STRICT:
            raise Refused("OFPBRC_EPERM")  # to delete one that is not there is no harm, even there
        if message.command in DELETES:
            return
        if message.match.mask & _DATAPATH_HASH or message.match.value & _RECIRCULATION:
            raise Refused("OFPBRC_EPERM")  # they are the switch's own
        table = 0 if message.table == 255 else message.table
        known = (_ANY_NUMBER, _ANY_NUMBER) if bundled else (self.groups, self.meters)
        error = refusal(message.actions, table, *known, options=self.options.widths)
        if error is not None:
            raise Refused(error)
        if message.buffer is not None:
            raise Refused("OFPBRC_BUFFER_UNKNOWN")  # packets are never buffered

    def apply(self, message: FlowMod, version: int, origin: str) -> list[FlowRemoved]:
        """Carries out a flow-mod that came in the given wire version.

        Returns what controllers are to be told.  Raises Refused.
        """
        self.check(message)
        self.settle()
        if message.command == of.OFPFC_ADD:
            self._add(message, version, origin)
            return []
        selection = Selection.meant_by(message)
        if message.command in (of.OFPFC_MODIFY_STRICT, of.OFPFC_DELETE_STRICT):
            rules = list(self._select_strict(selection, message.priority))
        else:
            rules = list(self.select(selection))
        if message.command in DELETES:
            return self._delete(rules, of.OFPRR_DELETE)
        if rules:
            # In 1.1 the cookie of a modify is for the flow that it adds, should it meet none.
            self._modify(rules, message._replace(new_cookie=None) if version == _OPENFLOW11 else message)
        elif not message.cookie_mask and message.new_cookie is not None and version < _OPENFLOW12:
            self._add(message, version, origin)
        return []

    def _add(self, message: FlowMod, version: int, origin: str) -> None:
        table = 0 if message.table == 255 else message.table
        now = self.clock.monotonic()
        classifier = self.tables.tables.get(table)
        value, mask, _ = message.match
        old = None
        if classifier is not None:
            old = classifier.find(value, mask, message.priority, self.tables.version)
            if (
                old is None  # an equal flow is replaced, and overlaps with none but those it did before
                and message.flags & of.OFPFF_CHECK_OVERLAP
                and classifier.overlapping(value, mask, message.priority, self.tables.version)
            ):
                raise Refused("OFPFMFC_OVERLAP")
        if old is None:
            self._make_room(table)
        counters = None
        if old is not None:
            counters = old.counters
            if message.flags & of.OFPFF_RESET_COUNTS or version < _OPENFLOW12:
                counters = Counters(counters.used, now)
        rule = Rule(
            message.match,
            message.priority,
            table,
            message.actions,
            now,
            cookie=_cookie(message, old),
            idle_timeout=message.idle_timeout,
            hard_timeout=message.hard_timeout,
            importance=message.importance,
            flags=message.flags & _KEPT_FLAGS,
            origin=origin,
            counters=counters,
        )
        self._replace(() if old is None else (old,), (rule,))
        self._note(OFPFME_ADDED, rule, old=old)

    def size(self, table: int) -> int:
        """How many flows are in a table."""
        classifier = self.tables.tables.get(table)
        return classifier.size - self.tables.leaving.get(table, 0) if classifier is not None else 0

    def _make_room(self, table: int) -> None:
        """Room for one more flow, for which another may have to go.  Raises Refused."""
        if self.size(table) < self.limits.limit(table):
            return
        victim = self.limits.victim(table)
        if victim is None:
            raise Refused("OFPFMFC_TABLE_FULL")
        self._evict(victim)

    def _evict(self, victim: Rule) -> None:
        if self.journal is not None:
            self.journal.gone(victim, self.clock.monotonic())
        self.unsaid += self._delete([victim], of.OFPRR_EVICTION)

    def set_table(self, table: int, settings: TableSettings) -> None:
        """What the database says of a table; flows that are too many now go, if they may be evicted."""
        self.settle()
        self.limits.set_settings(table, settings, self.tables.rules(table, hidden=True))
        while self.size(table) > self.limits.limit(table):
            victim = self.limits.victim(table)
            if victim is None:
                break
            self._evict(victim)

    def set_eviction(self, table: int, wanted: bool) -> None:
        """What a controller says (table-mod)."""
        self.settle()
        self.limits.set_eviction(table, wanted, self.tables.rules(table, hidden=True))

    def _modify(self, rules: list[Rule], message: FlowMod) -> None:
        now = self.clock.monotonic()
        new = []
        for old in rules:
            counters = old.counters
            if message.flags & of.OFPFF_RESET_COUNTS:
                counters = Counters(counters.used, now)
            rule = Rule(
                old.match,
                old.priority,
                old.table,
                message.actions,
                now,
                cookie=old.cookie if message.new_cookie is None else message.new_cookie,
                idle_timeout=old.idle_timeout,
                hard_timeout=old.hard_timeout,
                importance=old.importance,
                flags=old.flags,
                origin=old.origin,
                counters=counters,
            )
            rule.created = old.created
            new.append(rule)
        self._replace(rules, new)
        for old, rule in zip(rules, new):
            self._note(OFPFME_MODIFIED, rule, old=old)

    def _note(self, event: int, rule: Rule, reason: int = 0, old: Rule | None = None) -> None:
        """Keeps a change for those who watch; that a flow is made what it was is none."""
        if not self.watched:
            return
        other = old is not None and old.actions != rule.actions
        if event != OFPFME_MODIFIED or other or (old is not None and old.cookie != rule.cookie):
            shown, replaced = old if other else None, old is not None
            self.changes.append(FlowChange(event, rule, reason, shown, self.author, replaced))

    def _delete(self, rules: list[Rule], reason: int) -> list[FlowRemoved]:
        removed = [self._removed(rule, reason) for rule in rules if rule.flags & of.OFPFF_SEND_FLOW_REM]
        self._replace(rules, ())
        for rule in rules:
            self._note(OFPFME_REMOVED, rule, reason)
        return removed

    def users(self, kind: type, number: int) -> int:
        """How often flows name a group (actions.Group) or a meter (actions.Meter)."""
        self.settle()
        return self._mentions.count(kind, number)

    def delete_users(self, kind: type, number: int) -> list[FlowRemoved]:
        """A group or meter goes, and with it the flows that name it; returns what controllers are told."""
        self.settle()
        rules = self._mentions.users(kind, number)
        if not rules:
            return []
        return self._delete(rules, of.OFPRR_GROUP_DELETE if kind is actions.Group else of.OFPRR_METER_DELETE)

    def learn(self, mod: FlowMod, used: float, origin: str) -> None:
        """Makes the flow that a packet has taught at `used`, or makes it last on."""
        self.settle()
        value, mask, _ = mod.match
        classifier = self.tables.tables.get(mod.table)
        old = classifier.find(value, mask, mod.priority, self.tables.version) if classifier else None
        if old is not None and (old.actions, old.cookie) == (mod.actions, _cookie(mod, old)):
            old.modified = max(old.modified, used)
            return
        if old is None:
            try:
                self._make_room(mod.table)
            except Refused:
                return
        kept = mod if old is None else old  # what is taught anew has other actions, and its timeouts still
        rule = Rule(
            mod.match,
            mod.priority,
            mod.table,
            mod.actions,
            used,
            cookie=_cookie(mod, old),
            idle_timeout=kept.idle_timeout,
            hard_timeout=kept.hard_timeout,
            importance=kept.importance,
            flags=kept.flags & _KEPT_FLAGS,
            origin=origin,
            counters=old.counters if old is not None else None,
        )
        if old is not None:
            rule.created = old.created
        self._replace(() if old is None else (old,), (rule,))
        self._note(OFPFME_ADDED if old is None else OFPFME_MODIFIED, rule, old=old)
        self._write(rule)

    def restore(self, rule: Rule) -> None:
        """A flow as it was; the place of one of its match and priority is its own."""
        self.settle()
        classifier = self.tables.tables.get(rule.table)
        old = None
        if classifier is not None:
            old = classifier.find(rule.value, rule.mask, rule.priority, self.tables.version)
        self._replace(() if old is None else (old,), (rule,))

    def _write(self, rule: Rule) -> None:
        """Into the journal, where one is kept: what a packet, not a message, has made of a flow."""
        if self.journal is not None and rule.priority <= MAX_PRIORITY:
            self.journal.rule(rule, self.clock.monotonic())

    def shorten(self, rule: Rule, idle: int, hard: int) -> None:
        """The timeouts of a flow whose connection has ended (fin_timeout); 0 leaves one as it is."""
        if rule.removed <= self.tables.version:
            return
        before = rule.idle_timeout, rule.hard_timeout
        if idle and not 0 < rule.idle_timeout <= idle:
            rule.idle_timeout = idle
        if hard and not 0 < rule.hard_timeout <= hard:
            rule.hard_timeout = hard
        if (rule.idle_timeout, rule.hard_timeout) != before:
            self._watch(rule)
            self.limits.add(rule)
            self._write(rule)

    def _taught(self, old: Sequence[Rule], new: Sequence[Rule]) -> None:
        """Takes back what was learned by flows that are gone, where they have said so (delete_learned)."""
        for table, cookie in self._mentions.untaught(old, new):
            gone_too = [rule for rule in self.tables.rules(table) if rule.cookie == cookie]
            self._delete(gone_too, of.OFPRR_DELETE)

    def install(self, rule: Rule) -> None:
        """A flow of the switch's own."""
        self.settle()
        self._replace((), (rule,))
        self._write(rule)

    def uninstall(self, rule: Rule) -> None:
        """Takes out a flow of the switch's own."""
        self.settle()
        self._replace((rule,), ())

    def clear(self) -> None:
        """Takes out all flows, the switch's own included; nobody is told."""
        self.settle()
        self._replace(list(self.tables.rules(hidden=True)), ())
        if self.journal is not None:
            self.journal.cleared(self.clock.monotonic())

    def _replace(self, old: "tuple[Rule, ...] | list[Rule]", new: "tuple[Rule, ...] | list[Rule]") -> None:
        """One step from one version of the tables to the next."""
        tables = self.tables
        if self._done is not None:
            self._done.append((tuple(old), tuple(new)))
        for rule in old:
            tables.retire(rule)
            self.limits.remove(rule)
            if not rule.plain:
                self._mentions.remove(rule)
        for rule in new:
            tables.insert(rule)
            if rule.hard_timeout or rule.idle_timeout:
                self._watch(rule)
            self.limits.add(rule)
            if not rule.plain:
                self._mentions.add(rule)
        tables.version += 1
        for rule in old:
            tables.discard(rule)  # nobody holds on to an older version yet
        changed = [RuleChange(self._bridge, rule.table, rule.value, rule.mask) for rule in (*old, *new)]
        self._fabric.changes += changed if len(changed) == 1 else set(changed)
        self._look_at_room((*old, *new))
        self._taught(old, new)

    def _look_at_room(self, changed: Iterable[Rule]) -> None:
        for table in {rule.table for rule in changed} if self.limits.tells else ():
            reason = self.limits.event(table, self.size(table))
            if reason is not None:
                self.unsaid.append(TableStatus(reason, self.limits.describe(table, self.size(table))))  # type: ignore[arg-type]

    # ---- long deletions (deletions.py)

    def settle(self) -> None:
        """Does the rest of a long deletion: what follows changes the tables, or must know them without it."""
        pending, self.pending = self.pending, None
        for _ in pending or ():
            pass

    def vanish(self, rules: list[list[Rule]]) -> None:
        """Flows, a list a table, are gone with a new version; `take_out` is to follow for each."""
        gone = self.tables.version + 1
        for some in rules:
            self.tables.leaving[some[0].table] = len(some)
            for rule in some:
                rule.removed = gone
        self.tables.version = gone

    def take_out(self, rules: list[Rule], tell: Callable[[FlowRemoved], None], author: Author | None) -> None:
        """Some flows of one table that have vanished."""
        if self.watched:
            self.changes += [
                FlowChange(OFPFME_REMOVED, rule, of.OFPRR_DELETE, None, author, False) for rule in rules
            ]
        for rule in rules:
            if rule.flags & of.OFPFF_SEND_FLOW_REM:
                tell(self._removed(rule, of.OFPRR_DELETE))
            self.limits.remove(rule)
            if not rule.plain:
                self._mentions.remove(rule)
            self.tables.discard(rule)
        self.tables.leaving[rules[0].table] -= len(rules)
        self._fabric.changes += [RuleChange(self._bridge, one.table, one.value, one.mask) for one in rules]
        self._look_at_room(rules)
        self._taught(rules, ())

    # ---- time

    def _watch(self, rule: Rule) -> None:
        due = rule.deadline()
        if due is not None:
            self._serial += 1
            heappush(self._timers, (due, self._serial, rule))

    def next_deadline(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def expire(self, now: float) -> list[FlowRemoved]:
        """Takes out the flows whose time is over; returns what controllers are to be told."""
        if self._timers and self._timers[0][0] <= now:
            self.settle()
        told, gone = [], []
        while self._timers and self._timers[0][0] <= now:
            _, _, rule = heappop(self._timers)
            if rule.removed <= self.tables.version:
                continue
            reason = rule.expired(now)
            if reason is None:
                self._watch(rule)
                continue
            gone.append(rule)
            self._note(OFPFME_REMOVED, rule, reason)
            if rule.flags & of.OFPFF_SEND_FLOW_REM:
                told.append(self._removed(rule, reason))
        if gone:
            self._replace(gone, ())
        if self.journal is not None:
            for rule in gone:
                self.journal.gone(rule, now)
        return told

    def _removed(self, rule: Rule, reason: int) -> FlowRemoved:
        return FlowRemoved(
            rule.match,
            rule.priority,
            rule.cookie,
            reason,
            rule.table,
            age_nanoseconds(self.clock.monotonic(), rule.created),
            rule.idle_timeout,
            rule.hard_timeout,
            rule.counters.packets,
            rule.counters.bytes,
        )
