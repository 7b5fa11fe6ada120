"""The classifier against the plainest one that there is: go through all rules."""

import random
from itertools import islice

import pytest

from trunkline.flow import key as layout
from trunkline.flow.classifier import FOREVER, Classifier, Entry
from trunkline.flow.proofs import Sorted

FIELDS = ("nw_dst", "nw_src", "tp_dst", "dl_dst", "reg0", "in_port", "nw_proto", "dl_type")


class Rule(Entry):
    __slots__ = ()

    def __init__(self, value: int, mask: int, priority: int, added: int = 0) -> None:
        self.value, self.mask, self.priority = value, mask, priority
        self.added, self.removed, self.next = added, FOREVER, None


def random_match(rnd: random.Random) -> tuple[int, int]:
    fields: dict[str, int | tuple[int, int]] = {}
    for name in rnd.sample(FIELDS, rnd.randint(0, 3)):
        bits = layout.VIEW[name].ones.bit_length()
        value = rnd.choice((0, 1, 2, 5, 1 << bits - 1, (1 << bits) - 1))
        length = rnd.choice((bits, bits, bits // 2, 1))
        fields[name] = (value, (1 << bits) - (1 << bits - length))
    return layout.pack(fields)


def random_key(rnd: random.Random) -> int:
    fields = {}
    for name in FIELDS:
        bits = layout.VIEW[name].ones.bit_length()
        fields[name] = rnd.choice((0, 1, 2, 3, 5, 1 << bits - 1, (1 << bits) - 1, rnd.getrandbits(bits)))
    return layout.pack(fields)[0]


def plain(rules: list[Rule], key: int, version: int) -> int | None:
    """The highest priority of a rule that matches."""
    return max(
        (r.priority for r in rules if r.added <= version < r.removed and key & r.mask == r.value),
        default=None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_lookup_finds_the_best_rule_and_its_proof_is_sound(seed: int) -> None:
    rnd = random.Random(seed)
    classifier: Classifier[Rule] = Classifier(rnd.choice((1, 4, 8)))
    rules = []
    for number in range(150):
        value, mask = random_match(rnd)
        if classifier.find(value, mask, number, 0) is None:
            rule = Rule(value, mask, number)
            rules.append(rule)
            classifier.add(rule)
    for rule in rnd.sample(rules, 40):
        classifier.remove(rule)
        rules.remove(rule)
    assert classifier.size == len(rules) == sum(1 for _ in classifier.visible(0))
    checked = 0
    for _ in range(400):
        key = random_key(rnd)
        best, looked = classifier.lookup(key, 0)
        assert (best.priority if best else None) == plain(rules, key, 0)
        for _ in range(5):  # whatever was not looked at may differ
            other = key & looked | random_key(rnd) & ~looked & layout.PACKET | key & layout.PIPELINE
            assert plain(rules, other, 0) == (best.priority if best else None)
            checked += other != key
    assert checked > 1000


@pytest.mark.parametrize("often", [1.0, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_remembered_of_misses_is_forgotten_when_rules_change(seed: int, often: float) -> None:
    """Between changes, or now and then, the same keys come again: the answers are those of a classifier that
    is new."""
    rnd = random.Random(seed)
    grain = rnd.choice((1, 4))
    matches = [random_match(rnd) for _ in range(12)]
    masks = [mask for _, mask in matches if mask]
    keys = [random_key(rnd) for _ in range(20)]
    values = [*keys[:10], *(random_key(rnd) for _ in range(10))]
    classifier: Classifier[Rule] = Classifier(grain)
    rules: list[Rule] = []
    for number in range(60):
        if rules and rnd.random() < 0.4:
            classifier.remove(rules.pop(rnd.randrange(len(rules))))
        else:
            mask = rnd.choice(masks)
            rule = Rule(rnd.choice(values) & mask, mask, number)
            rules.append(rule)
            classifier.add(rule)
        if rnd.random() > often:
            continue
        fresh: Classifier[Rule] = Classifier(grain)
        for rule in rules:
            fresh.add(Rule(rule.value, rule.mask, rule.priority))
        for key in (*keys, *keys):
            best, looked = classifier.lookup(key, 0)
            expected, bits = fresh.lookup(key, 0)
            assert (best and best.priority) == (expected and expected.priority)
            assert looked == bits


def test_rules_that_come_and_go_unseen_leave_nothing() -> None:
    """Before anybody has looked, values wait to be sorted in; those of rules that are gone not for ever."""
    classifier: Classifier[Rule] = Classifier()
    value, mask = layout.pack(nw_dst=0x0A000001, nw_src=0x0A000001)
    classifier.add(Rule(value, mask, 1))
    other = layout.pack(nw_dst=0x0A000003, nw_src=0x0A000001)[0]
    for _ in range(5000):
        rule = Rule(other, mask, 1)
        classifier.add(rule)
        classifier.remove(rule)
    assert len(classifier._subtables[mask].fresh) < 3000
    rule = Rule(other, mask, 1)
    classifier.add(rule)
    key = layout.pack(nw_dst=0x0A000007, nw_src=0x0A000001)[0]
    assert classifier.lookup(other, 0)[0] is rule
    assert layout.get(classifier.lookup(key, 0)[1], "nw_dst") == 0xFFFFFFFC


def test_a_proof_that_forgets_a_bit_is_caught() -> None:
    """The control for the test above: proofs are as small as they can be."""
    classifier: Classifier[Rule] = Classifier()
    value, mask = layout.pack(nw_dst=0x0A000001)
    classifier.add(Rule(value, mask, 1))
    key = layout.pack(nw_dst=0x0A000003)[0]
    best, looked = classifier.lookup(key, 0)
    assert best is None
    assert layout.get(looked, "nw_dst") == 0xFFFFFFFE
    lowest = looked & -looked
    assert classifier.lookup(key ^ lowest, 0)[0] is not None


def test_the_type_of_a_packet_proves_that_rules_for_other_types_are_none() -> None:
    """It stands in every megaflow, and so costs nothing; bits of addresses would."""
    classifier: Classifier[Rule] = Classifier()
    for number in range(8):
        value, mask = layout.pack(dl_type=0x0800, nw_dst=0x0A000000 + number, tp_dst=80 + number)
        classifier.add(Rule(value, mask, number))
    arp = layout.pack(dl_type=0x0806, nw_dst=0x0A000003)[0]
    for _ in range(2):
        assert classifier.lookup(arp, 0) == (None, layout.bits("dl_type"))
        ip = layout.pack(dl_type=0x0800, nw_dst=0x0B000003)[0]
        assert layout.get(classifier.lookup(ip, 0)[1], "nw_dst")
    rule = Rule(*layout.pack(dl_type=0x0806, nw_dst=0x0A000003), 9)
    classifier.add(rule)
    assert classifier.lookup(arp, 0)[0] is rule
    classifier.remove(rule)
    assert classifier.lookup(arp, 0) == (None, layout.bits("dl_type"))


def test_rules_come_and_go_by_version() -> None:
    classifier: Classifier[Rule] = Classifier()
    value, mask = layout.pack(tp_dst=80)
    old, new = Rule(value, mask, 5, added=1), Rule(value, mask, 5, added=3)
    old.removed = 3
    classifier.add(old)
    classifier.add(new)
    found = [classifier.lookup(value, version)[0] for version in range(5)]
    assert found == [None, old, old, new, new]
    assert classifier.find(value, mask, 5, 2) is old
    assert list(classifier.visible(4)) == [new]
    classifier.add(Rule(*layout.pack(tp_src=80), 4))  # with a second mask decisions are remembered
    found = [classifier.lookup(value, version)[0] for version in (2, 2, 4, 4, 2, 0, 0, 3, 3)]
    assert found == [old, old, new, new, old, None, None, new, new]
    classifier.remove(old)
    assert classifier.lookup(value, 4)[0] is new
    assert classifier.size == 2


@pytest.mark.parametrize("again", [1, 4])
def test_decisions_are_remembered_while_they_come_again(again: int) -> None:
    """More keys than are remembered, each `again` times: the answers stay those of the rules."""
    classifier: Classifier[Rule] = Classifier()
    rules = [Rule(*layout.pack(nw_dst=(i << 16, 0xFFFF0000)), 5) for i in range(10)]
    rules += [Rule(*layout.pack(nw_dst=i << 16 | 7), 9) for i in range(10)]
    for rule in rules:
        classifier.add(rule)
    shift = layout.VIEW["nw_dst"].shift
    for number in range(10_000):
        key = (number % 11 << 16 | number // 11) << shift
        for _ in range(again):
            best, looked = classifier.lookup(key, 0)
            assert (best and best.priority) == plain(rules, key, 0)
            assert best is None or looked & best.mask == best.mask


@pytest.mark.parametrize("seed", range(5))
def test_covered_and_overlapping_are_what_they_say(seed: int) -> None:
    rnd = random.Random(seed)
    classifier: Classifier[Rule] = Classifier()
    rules = []
    for _ in range(120):
        value, mask = random_match(rnd)
        priority = rnd.randint(1, 4)
        if classifier.find(value, mask, priority, 0) is None:
            rules.append(Rule(value, mask, priority))
            classifier.add(rules[-1])
    for _ in range(50):
        value, mask = random_match(rnd)
        want = {id(r) for r in rules if r.mask & mask == mask and r.value & mask == value}
        assert {id(r) for r in classifier.covered(value, mask, 0)} == want
        overlaps = any(r.priority == 2 and not (r.value ^ value) & r.mask & mask for r in rules)
        assert (classifier.overlapping(value, mask, 2, 0) is not None) == overlaps


@pytest.mark.parametrize("steps", [(1,), (5000,), (3000, 100, 1900), (3, 2, 4000, 995), (2000, 30, 2970)])
def test_sorted_blocks_stay_sorted_and_find_the_nearest(steps: tuple[int, ...]) -> None:
    """Whether the values come one by one (1), or so many at once."""
    rnd = random.Random(3)
    values = rnd.sample(range(1 << 30), 5000)
    sorted_blocks = Sorted()
    if steps == (1,):
        for value in values:
            sorted_blocks.insert(value)
    else:
        some = iter(values)
        for step in steps:
            sorted_blocks.insert_many(sorted(islice(some, step)))
        assert next(some, None) is None
    for value in values[:3000]:
        sorted_blocks.remove(value)
    left = sorted(values[3000:])
    assert [v for block in sorted_blocks.blocks for v in block] == left
    assert sorted_blocks.firsts == [block[0] for block in sorted_blocks.blocks]
    for _ in range(500):
        absent = rnd.getrandbits(30)
        if absent not in left:
            assert sorted_blocks.nearest(absent).bit_length() == min(absent ^ v for v in left).bit_length()


@pytest.mark.parametrize("seed", range(5))
def test_a_snapshot_is_of_its_moment_whatever_comes_and_goes(seed: int) -> None:
    rnd = random.Random(seed)
    classifier: Classifier[Rule] = Classifier()
    version = 1
    rules: list[Rule] = []

    def change() -> None:
        """As a flow table does it: what goes is taken out at once."""
        nonlocal version
        version += 1
        value, mask = random_match(rnd)
        priority = rnd.randint(1, 3)
        old = classifier.find(value, mask, priority, version - 1)
        rule = Rule(value, mask, priority, added=version)
        if rnd.random() < 0.7 or old is None:
            classifier.add(rule)
            rules.append(rule)
        if old is not None:
            old.removed = version
            classifier.remove(old)
            rules.remove(old)

    for _ in range(800):
        change()
    for _ in range(8):
        value, mask = random_match(rnd)
        want = {id(r) for r in rules if r.mask & mask == mask and r.value & mask == value}
        steps = classifier.snapshot(value, mask, version)
        got = []
        for rule in steps:
            change()
            if rule is not None:
                got.append(id(rule))
        assert len(got) == len(set(got))
        assert set(got) == want


def test_a_snapshot_comes_in_steps() -> None:
    classifier: Classifier[Rule] = Classifier()
    for i in range(5000):
        classifier.add(Rule(*layout.pack(nw_dst=i), 1))
    pauses = [i for i, rule in enumerate(classifier.snapshot(0, 0, 0)) if rule is None]
    assert len(pauses) == 5
    assert pauses[0] <= 1000
