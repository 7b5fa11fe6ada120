"""Which rule matches a packet, and how little of the packet had to be looked at to know.

Rules with the same mask form a *subtable*: a dict from masked key to the rules with that value, best first.
A lookup walks the subtables by falling priority and stops when no later one can win (tuple-space search).

Besides the rule, a lookup returns the bits it has looked at.  They become the mask of a megaflow, so fewer
is better: a megaflow that depends on one bit less serves twice as many packets.  Where a subtable has the
key, all of its mask counts.  Where it has not, something smaller proves that: each subtable keeps its values
*sorted*, and a binary search finds the first bit at which the key leaves every value (proofs.py).  A key has
its fields in the order of looking (flow/key.py), and the same is kept for parts of the mask (destination,
source, ports): the first part that proves the miss is taken, always in the same order, so that packets of
one kind get the same mask.  Pipeline fields cost nothing, for no megaflow has them, and so the sorted lists
are kept apart by them.  Nor does the Ethernet type, which every megaflow has: subtables without a rule for
packets of a key's type are left out of its *plan*.

Rules are versioned: one appears in the version `added` and is gone from the version `removed` on, and a
lookup names its version.  So many changes can be prepared one by one and be seen all at once.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, NamedTuple, Self, TypeVar

from trunkline.flow import key as layout
from trunkline.flow.proofs import Order

_CONJ_ID: Final = layout.MASK["conj_id"]
_TYPE: Final = layout.MASK["dl_type"]
_CONJ_SHIFT: Final = layout.OFFSET["conj_id"]
FOREVER: Final = 1 << 60
_REMEMBERED: Final = 4096  # lookups a table; whoever sends packets chooses their keys
_KINDS: Final = 64  # Ethernet types for which a table keeps a plan; whoever sends packets chooses them
_STEP: Final = 1000  # rules between two points where a long look may be interrupted
# Every megaflow has these, so they cost nothing.
ALWAYS: Final = layout.bits("dp_in_port", "recirc_id", "packet_type", "dl_type", "nw_frag")
# Parts of a mask that may prove a miss by themselves, in the order in which they are tried.
_PARTS: Final = (
    layout.bits("net_dst"),
    layout.bits("net_src"),
    layout.bits("nw_proto", "tp_src", "tp_dst"),
)


class Conjunction(NamedTuple):
    """Clause number `clause` (from 0) of `clauses` of the conjunctive match `id`."""

    id: int
    clause: int
    clauses: int


class Entry:
    """What a classifier needs of a rule; `next` belongs to the classifier."""

    __slots__ = ("added", "mask", "next", "priority", "removed", "value")

    value: int
    mask: int
    priority: int
    added: int
    removed: int
    next: "Self | None"
    conjunctions: "tuple[Conjunction, ...]" = ()  # what it is a clause of, if it is no rule of its own


E = TypeVar("E", bound=Entry)


class _Subtable(Generic[E]):
    """The rules of one mask.

    Values that are new wait in `fresh` until a miss has to be proved, so that filling a table costs little
    more than filling a dict.  While some wait, no proof is remembered.  Where all wait, one that goes may
    stay among them until they are sorted in: `gone` counts these.
    """

    __slots__ = (
        "count",
        "first",
        "fresh",
        "gone",
        "kinds",
        "mask",
        "orders",
        "rules",
        "size",
        "top",
        "whole",
        "widened",
    )

    def __init__(self, mask: int, grain: int, widened: "list[_Subtable[E]]") -> None:
        self.mask = mask
        self.rules: dict[int, E] = {}
        self.count: dict[int, int] = {}  # rules by priority
        self.size = 0
        self.top = -1
        self.widened = widened  # whose window is another one than the classifier's plan has
        self.kinds: dict[int, int] | None = {} if mask & _TYPE == _TYPE else None  # values by Ethernet type
        self.fresh: list[int] = []
        self.gone = 0
        self.whole = Order(mask, grain, whole=True)
        rest = mask & layout.PACKET & ~ALWAYS
        self.orders = [
            Order(part & mask | self.whole.pipe, grain) for part in _PARTS if part & mask and rest & ~part
        ]
        self.first = self.orders[0] if self.orders else self.whole  # what is tried first to prove a miss

    def add(self, value: int) -> None:
        """A value that no rule had before."""
        if self.kinds is not None:
            kind = value & _TYPE
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if not self.fresh:
            self._forget()
        elif self.gone > len(self.rules) + _STEP:
            self._thin()
        self.fresh.append(value)

    def discard(self, value: int) -> None:
        """No rule has the value any more."""
        if self.kinds is not None:
            kind = value & _TYPE
            self.kinds[kind] -= 1
            if not self.kinds[kind]:
                del self.kinds[kind]
        if not self.whole.size and not self.whole.waiting:
            self.gone += 1
            return
        if self.fresh:
            self._sort()
        self.whole.discard(value)
        for order in self.orders:
            order.discard(value)
        self._forget()

    def _forget(self) -> None:
        self.whole.forget()
        for order in self.orders:
            order.forget()

    def _thin(self) -> None:
        """Leaves out of the fresh values what is not here any more, or came twice."""
        self.gone = 0
        self.fresh = [value for value in dict.fromkeys(self.fresh) if value in self.rules]

    def _sort(self) -> None:
        if self.gone:
            self._thin()
        fresh, self.fresh = self.fresh, []
        for order in (self.whole, *self.orders):
            order.waiting.append(fresh)
        self.first.settle()
        if self.first.widen():
            self.widened.append(self)

    def miss(self, masked: int, known: int | None) -> int:
        """The bits that prove that a masked key is not there; `known` is what the first window says of it."""
        if self.fresh:
            self._sort()
        whole = self.whole
        if self.orders:
            # Where a proof by the first part is known to be none (0), the key has that part of a rule.
            for part in self.orders if known is None else self.orders[1:]:
                if part.waiting:
                    part.settle()
                cut = masked & part.mask
                proof = part.proved.get(cut)
                if proof is None:
                    proof = 0 if cut in part.count else part.proof(cut)
                    if not proof:
                        part.remember(part.proved, cut, 0)
                if proof:
                    return proof
        elif whole.low == 0:  # the first window was all of it
            return whole.proof(masked)
        if whole.waiting:
            whole.settle()
        return whole.proved.get(masked) or whole.proof(masked)


_Step = tuple[
    int,  # highest priority
    int,  # mask
    Callable[[int], E | None],  # its rule by masked key
    int,  # the window of the first proof of a miss
    Callable[[int], int | None],  # a remembered proof by that window; 0: none, for rules have those bits
    Callable[[int, int | None], int],  # the bits that prove that a masked key is not there
]


def _satisfied(rules: Iterable[Entry]) -> Iterator[int]:
    """The numbers of conjunctive matches all of whose clauses are among the rules."""
    have: dict[tuple[int, int], int] = {}
    for rule in rules:
        for number, clause, clauses in rule.conjunctions:
            name = number, clauses
            have[name] = have.get(name, 0) | 1 << clause
            if have[name] == (1 << clauses) - 1:
                yield number


class Classifier(Generic[E]):
    """Rules by match and priority.  `grain`: a proof of a miss is cut at a multiple of that many bits."""

    __slots__ = (
        "_again",
        "_decided",
        "_grain",
        "_only",
        "_plan",
        "_plans",
        "_read",
        "_subtables",
        "_tops",
        "_version",
        "_widened",
        "size",
        "soft",
    )

    def __init__(self, grain: int = 1) -> None:
        self._subtables: dict[int, _Subtable[E]] = {}
        self._decided: dict[int, tuple[E | None, int]] = {}  # lookups by the bits that any rule reads
        self._version = -1  # in which it was decided so
        self._again = 0  # lookups that had been decided before
        self._read = 0  # the bits that any rule reads, where it is worth while to remember what they decide
        self._only: tuple[int, Callable[[int], E | None]] | None = None  # where all rules have one mask
        self._plan: list[_Step[E]] = []  # by falling priority
        self._plans: dict[int, tuple[int, list[_Step[E]]]] = {}  # by Ethernet type: see `_plan_for`
        self._tops: list[int] = []  # of the plan's steps, with the sign turned: they rise
        self._widened: list[_Subtable[E]] = []
        self._grain = grain
        self.size = 0
        self.soft = 0  # rules that are clauses of conjunctive matches: see `_conjunctive`

    def add(self, rule: E) -> None:
        """A rule of equal match and priority may be there, in other versions; the newest comes first."""
        subtable = self._subtables.get(rule.mask)
        if subtable is None:
            subtable = self._subtables[rule.mask] = _Subtable(rule.mask, self._grain, self._widened)
        self._version = -1
        self.size += 1
        self.soft += bool(rule.conjunctions)
        at = subtable.rules.get(rule.value)
        if at is None:
            subtable.add(rule.value)
            rule.next, subtable.rules[rule.value] = None, rule
        elif rule.priority >= at.priority:
            rule.next, subtable.rules[rule.value] = at, rule
        else:
            here = at
            while here.next is not None and here.next.priority > rule.priority:
                here = here.next
            rule.next, here.next = here.next, rule
        subtable.size += 1
        subtable.count[rule.priority] = subtable.count.get(rule.priority, 0) + 1
        if rule.priority > subtable.top:
            self._replan(subtable)

    def remove(self, rule: E) -> None:
        """Takes the rule out of every version; to be called once no lookup names one that has it."""
        subtable = self._subtables[rule.mask]
        self._version = -1
        self.size -= 1
        self.soft -= bool(rule.conjunctions)
        at = subtable.rules[rule.value]
        if at is not rule:
            while at.next is not rule:
                assert at.next is not None
                at = at.next
            at.next = rule.next
        elif rule.next is not None:
            subtable.rules[rule.value] = rule.next
        else:
            del subtable.rules[rule.value]
            subtable.discard(rule.value)
        rule.next = None
        subtable.size -= 1
        subtable.count[rule.priority] -= 1
        if not subtable.count[rule.priority]:
            del subtable.count[rule.priority]
            if not subtable.count:
                del self._subtables[rule.mask]
            if rule.priority == subtable.top:
                self._replan(subtable)

    def _replan(self, subtable: _Subtable[E]) -> None:
        """Puts a subtable where its priorities want it; also those whose windows are others now."""
        for one in {id(one): one for one in (subtable, *self._widened)}.values():
            self._take_out(one)
            if one.count and self._subtables.get(one.mask) is one:
                one.top = max(one.count)
                at = bisect_right(self._tops, -one.top)
                step = (one.top, one.mask, one.rules.get, one.first.window, one.first.known.get, one.miss)
                self._plan.insert(at, step)
                self._tops.insert(at, -one.top)
        self._widened.clear()
        self._plans.clear()

    def _take_out(self, subtable: _Subtable[E]) -> None:
        """Of the plan, if it is there."""
        at = bisect_left(self._tops, -subtable.top)
        while at < len(self._plan) and self._tops[at] == -subtable.top:
            if self._plan[at][1] == subtable.mask:
                del self._plan[at], self._tops[at]
                break
            at += 1

    def lookup(self, key: int, version: int) -> tuple[E | None, int]:
        """The rule of highest priority that matches `key` in `version`, and the bits that decided."""
        bits = -1
        if version != self._version:
            self._forget(version)
        elif self._only is not None:
            mask, get = self._only
            rule = get(key & mask)
            if rule is not None and rule.added <= version < rule.removed:
                return rule, mask
        elif self._read:
            bits = key & self._read
            decided = self._decided.get(bits)
            if decided is not None:
                self._again += 1
                return decided
        if self.soft:
            return self._conjunctive(key, version)
        looked, plan = self._plans.get(key & _TYPE) or self._plan_for(key)
        best: E | None = None
        floor = -1
        for top, mask, get, window, known, miss in plan:
            if top <= floor:
                break
            proof = known(key & window)  # first, for most subtables that are asked have no rule
            if proof:
                looked |= proof
                continue
            masked = key & mask
            rule = get(masked)
            if rule is None:
                looked |= miss(masked, proof)
                continue
            looked = looked | mask if looked else mask
            while not rule.added <= version < rule.removed:
                rule = rule.next
                if rule is None:
                    break
            else:
                priority = rule.priority
                if priority > floor:
                    best, floor = rule, priority
        if self._widened:
            self._replan(self._widened[0])
        if bits < 0:
            return best, looked
        if len(self._decided) >= _REMEMBERED:
            self._decided.clear()
            if self._again < _REMEMBERED:
                self._read = 0  # few packets come again that are alike to these rules
            self._again = 0
        decided = self._decided[bits] = best, looked
        return decided

    def _plan_for(self, key: int) -> tuple[int, list[_Step[E]]]:
        """The steps for packets of the key's Ethernet type, and the bits that decided it.  O(subtables)."""
        kind = key & _TYPE
        plan = []
        for step in self._plan:
            kinds = self._subtables[step[1]].kinds
            if kinds is None or kind in kinds:
                plan.append(step)
        if len(self._plans) >= _KINDS:
            self._plans.clear()
        found = self._plans[kind] = 0 if len(plan) == len(self._plan) else _TYPE, plan
        return found

    def _forget(self, version: int) -> None:
        """The rules are others: what they decided may be decided otherwise."""
        self._decided.clear()
        self._plans.clear()
        self._version = version
        self._read = self._again = 0
        self._only = None
        if self.soft:
            return
        if len(self._plan) == 1:
            _, mask, get, *_ = self._plan[0]
            self._only = mask, get
        elif self._plan:
            for mask in self._subtables:
                self._read |= mask

    def _conjunctive(self, key: int, version: int) -> tuple[E | None, int]:
        """As `lookup`, where some rules are clauses of conjunctive matches (`Entry.conjunctions`).

        A clause by itself matches nothing.  But where all clauses of one conjunctive match are among the
        rules of one priority that match, and no other rule of that priority or a higher one does, the packet
        is looked up as one that has the match's number as its conj_id.  Source: ovs-actions(7), conjunction.
        """
        hard, soft, looked = self._with_clauses(key, version)
        for priority in sorted({rule.priority for rule in soft}, reverse=True):
            if hard is not None and hard.priority >= priority:
                break
            for number in _satisfied(rule for rule in soft if rule.priority == priority):
                found, _, more = self._with_clauses(key & ~_CONJ_ID | number << _CONJ_SHIFT, version)
                looked |= more
                if found is not None:
                    return found, looked & ~_CONJ_ID
        return hard, looked & ~_CONJ_ID

    def _with_clauses(self, key: int, version: int) -> tuple[E | None, list[E], int]:
        """The best rule that is no clause, the clauses that match above it, and what decided."""
        best: E | None = None
        soft: list[E] = []
        looked, plan = self._plans.get(key & _TYPE) or self._plan_for(key)
        floor = -1
        for top, mask, get, window, known, miss in plan:
            if top <= floor:
                break
            proof = known(key & window)
            if proof:
                looked |= proof
                continue
            masked = key & mask
            rule = get(masked)
            if rule is None:
                looked |= miss(masked, proof)
                continue
            looked |= mask
            while rule is not None and rule.priority > floor:
                if rule.added <= version < rule.removed:
                    if not rule.conjunctions:
                        best, floor = rule, rule.priority
                        break
                    soft.append(rule)
                rule = rule.next
        return best, soft, looked

    def find_best(self, key: int, version: int) -> E | None:
        """As `lookup`, for who does not need to know what decided."""
        best: E | None = None
        floor = -1
        for top, mask, get, _, _, _ in self._plan:
            if top <= floor:
                break
            rule = get(key & mask)
            while rule is not None and not rule.added <= version < rule.removed:
                rule = rule.next
            if rule is not None and rule.priority > floor:
                best, floor = rule, rule.priority
        return best

    def find(self, value: int, mask: int, priority: int, version: int) -> E | None:
        """The rule with exactly this match and priority."""
        subtable = self._subtables.get(mask)
        rule = subtable.rules.get(value) if subtable else None
        while rule is not None:
            if rule.priority == priority and rule.added <= version < rule.removed:
                return rule
            rule = rule.next
        return None

    def covered(self, value: int, mask: int, version: int) -> Iterator[E]:
        """The rules that match a subset of what (value, mask) matches, itself included."""
        for subtable in list(self._subtables.values()):
            if subtable.mask & mask != mask:
                continue
            if subtable.mask == mask:
                first = subtable.rules.get(value)
                chosen = [first] if first is not None else []
            else:
                chosen = [rule for have, rule in subtable.rules.items() if have & mask == value]
            yield from self._chains(chosen, version)

    def candidates(self, mask: int) -> int:
        """How many rules `covered` looks at, at most, for a match with this mask."""
        return sum(one.size for one in self._subtables.values() if one.mask != mask and not mask & ~one.mask)

    def snapshot(self, value: int, mask: int, version: int) -> Iterator[E | None]:
        """As `covered`, of this moment: what is added or removed afterwards changes nothing.

        None comes after every thousand rules that were looked at, so that the work can be cut there.
        """
        looked: list[list[E]] = []
        for subtable in self._subtables.values():
            if subtable.mask & mask != mask:
                continue
            if subtable.mask == mask:
                first = subtable.rules.get(value)
                looked.append(list(self._chains([] if first is None else [first], version)))
                continue
            rules = list(subtable.rules.values())
            if len(rules) != subtable.size:  # several have one match: their chains may change
                rules = list(self._chains(rules, version))
            looked.append(rules)
        return self._in_steps(looked, value, mask, version)

    def _in_steps(self, looked: list[list[E]], value: int, mask: int, version: int) -> Iterator[E | None]:
        for rules in looked:
            for at in range(0, len(rules), _STEP):
                for rule in rules[at : at + _STEP]:
                    if rule.value & mask == value and rule.added <= version < rule.removed:
                        yield rule
                yield None

    def overlapping(self, value: int, mask: int, priority: int, version: int) -> E | None:
        """A rule of this priority that some packet matches together with (value, mask)."""
        for subtable in self._subtables.values():
            if priority in subtable.count:
                common = subtable.mask & mask
                chosen = [r for have, r in subtable.rules.items() if not (have ^ value) & common]
                for rule in self._chains(chosen, version):
                    if rule.priority == priority:
                        return rule
        return None

    def _chains(self, firsts: list[E], version: int) -> Iterator[E]:
        for first in firsts:
            rule: E | None = first
            while rule is not None:
                following = rule.next
                if rule.added <= version < rule.removed:
                    yield rule
                rule = following

    def visible(self, version: int) -> Iterator[E]:
        """All rules of `version`, in no particular order."""
        for subtable in list(self._subtables.values()):
            yield from self._chains(list(subtable.rules.values()), version)

    def subtables(self) -> int:
        return len(self._subtables)
