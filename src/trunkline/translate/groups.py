"""Groups: one packet to all buckets, to one of them by hash or by liveness.

A bucket is an action set of its own, and what it changes nobody sees afterwards.  A select group that is to
choose by dp_hash needs the datapath to make the hash: the walk stops, and the group is done again when the
packet comes back.

Source: OpenFlow 1.5.1 sections 5.10 and 7.3.4.3, ovs-actions(7), and what the original can be seen to choose.
"""

from typing import Final

from trunkline.dpif import actions as dp
from trunkline.flow import hashes
from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD, FIELDS
from trunkline.ofproto.fabric import group_token
from trunkline.ofproto.groups import Group
from trunkline.openflow import groups as wire
from trunkline.openflow.groups import Bucket
from trunkline.translate.action_set import ordered
from trunkline.translate.commit import isolate
from trunkline.translate.fields import needs, suits
from trunkline.translate.frozen import finish, stop
from trunkline.translate.hashing import alive
from trunkline.translate.result import BUCKET, Chosen, CountBucket, CountGroup, Effect, Node
from trunkline.translate.run import AGAIN, run
from trunkline.translate.walk import MAX_DEPTH, MAX_LOOKUPS, RECURSION, Walk

_HASH: Final = layout.VIEW["dp_hash"]
_L4, _SYMMETRIC_L4 = 0, 1
_ORDER: Final = {field.name: i for i, field in enumerate(FIELDS)} | {"metadata": -1}
_LOW: Final = 0xFFFF


def group(x: Walk, number: int, _: object) -> bool | int:
    """The step of group:N."""
    x.reads.append(group_token(x.bridge.name, number))
    found = x.bridge.groups.get(number)
    if found is None:
        x.error(f"output to nonexistent group {number}")
        return True
    if x.depth >= MAX_DEPTH:
        return x.fail("Recursion too deep", f"over max translation depth {MAX_DEPTH}")
    if x.lookups >= MAX_LOOKUPS:
        return x.fail("Too many resubmits", f"over {MAX_LOOKUPS} resubmit actions")
    if found.type == wire.OFPGT_ALL:
        _every(x, found)
    elif found.type == wire.OFPGT_INDIRECT:
        if found.buckets:
            _bucket(x, found, 0)
    elif found.type == wire.OFPGT_FF:
        _one(x, found, _first_alive(x, found))
    else:
        return _select(x, found)
    return bool(x.failure)


def _every(x: Walk, found: Group) -> None:
    _keep(x, found, None)
    x.effects.append(CountGroup(found, None))
    for i, bucket in enumerate(found.buckets):
        if bucket_alive(x, found, bucket):
            _bucket(x, found, i, CountBucket(found, i))


def _keep(x: Walk, found: Group, place: int | None) -> None:
    """What the group, or the bucket at that place, counts from now on is kept as that of rules is."""
    counters = found.counters if place is None else found.of_buckets[place]
    if counters.name is None:
        counters.name, counters.changed = found.name(place), x.bridge.flows.tables.changed


def _one(x: Walk, found: Group, number: int | None) -> None:
    """`number`: a bucket's place in the group; what is told, and hashed, is its name (Bucket.number)."""
    if number is None:
        x.note("no live bucket")
        return
    x.note(f"using bucket {found.buckets[number].number}")
    _bucket(x, found, number)


def bucket_alive(
    x: Walk, found: Group, bucket: Bucket, *, told: bool = True, seen: set[int] | None = None
) -> bool:
    """A bucket that watches nothing is always alive, but that a select group without weight never takes it.

    `told`: the explanation says why one is not alive.
    `seen`: groups that have been looked at on behalf of one that watches them; they are looked at once, for
    groups may watch each other in a circle.
    """
    port, watched = bucket.watch_port, bucket.watch_group
    may_live = bucket.weight or found.type != wire.OFPGT_SELECT
    if may_live and port == of.OFPP_ANY and watched == of.OFPG_ANY:
        return True
    if may_live and port != of.OFPP_ANY and alive(x, port):
        return True
    seen = set() if seen is None else seen
    if may_live and watched != of.OFPG_ANY and watched not in seen:
        seen.add(watched)
        x.reads.append(group_token(x.bridge.name, watched))
        other = x.bridge.groups.get(watched)
        if other is not None and any(
            bucket_alive(x, other, one, told=told, seen=seen) for one in other.buckets
        ):
            return True
    if told:
        number = port if port != of.OFPP_ANY else watched
        x.note(f"bucket {bucket.number}: not live due to {f'port {number}' if number != of.OFPG_ANY else ''}")
    return False


def _first_alive(x: Walk, found: Group) -> int | None:
    return next((i for i, bucket in enumerate(found.buckets) if bucket_alive(x, found, bucket)), None)


def _bucket(x: Walk, found: Group, number: int, counted: Effect | None = None) -> None:
    """Does a bucket's actions as an action set; what follows sees the packet as before."""
    steps = found.steps[number]
    if steps is None:
        _keep(x, found, None)
        _keep(x, found, number)
        actions = ordered(found.buckets[number].actions)
        steps = found.steps[number] = (x.compile(actions), actions)
    x.effects.append(counted or CountGroup(found, number))
    saved = x.key, x.fresh, x.why, x.was_mpls, x.bucket_at, x.conntracked
    if x.why is not None:
        node = Node(BUCKET, f"bucket {found.buckets[number].number}", Chosen(found, number))
        x.why.append(node)
        x.why = node.children
    start, base, pending = len(x.out), x.base, x.pending
    x.depth += 1
    x.lookups += 1  # buckets count towards the limit, or groups that go on to groups take for ever
    x.bucket_at = x.depth, x.table
    if not x.failure:  # beyond the limits all ends
        run(x, *steps)
        finish(x)
    isolate(x, start, base, pending)
    x.depth -= 1
    x.key, x.fresh, x.why, x.was_mpls, x.bucket_at, x.conntracked = saved
    if x.failure not in RECURSION:
        x.failure = ""
        x.exit = False


# ---- select


def _select(x: Walk, found: Group) -> bool | int:
    if x.was_mpls:  # what is to be hashed is not known yet
        x.note("no live bucket")
        stop(x)
        return AGAIN
    method = found.selection.method
    if method != "hash" and found.slots is not None:
        return _by_datapath_hash(x, found, found.slots)
    if method == "hash" and found.selection.fields:
        value = _field_hash(x, found)
    else:
        x.look(hashes.LOOKED["symmetric_l4"])
        value = hashes.symmetric_l4(x.key, found.selection.parameter & 0xFFFFFFFF if method else 0)
    _one(x, found, _best(x, found, value))
    return bool(x.failure)


def _field_hash(x: Walk, found: Group) -> int:
    value = hashes.of_number(found.selection.parameter)
    for name, mask in sorted(found.selection.fields, key=lambda given: _ORDER[FIELD[given[0]].name]):
        field = FIELD[name]
        if not suits(x, needs(field.prerequisite)):
            continue
        shift, _, _ = layout.VIEW[name]
        x.look(mask << shift)
        value = hashes.of_bytes((x.key >> shift & mask).to_bytes(field.octets, "big"), value)
    return value


def _best(x: Walk, found: Group, value: int) -> int | None:
    best, chosen = 0, None
    for i, bucket in enumerate(found.buckets):
        if not bucket_alive(x, found, bucket):
            continue
        score = (hashes.two_words(bucket.number, value) & _LOW) * bucket.weight
        x.note(f"bucket {bucket.number}: score {score}")
        if score >= best:
            best, chosen = score, i
    return chosen


def _by_datapath_hash(x: Walk, found: Group, slots: tuple[int, ...]) -> bool | int:
    value = x.key >> _HASH.shift & _HASH.ones
    if not value:
        x.note("no live bucket")
        x.look(_HASH.mask)
        selection = found.selection
        algorithm, basis = (_L4, selection.parameter & 0xFFFFFFFF) if selection.method else (_SYMMETRIC_L4, 0)
        stop(x, dp.Hash(algorithm, basis))
        return AGAIN
    x.look(len(slots) - 1 << _HASH.shift)
    for step in range(len(slots)):
        number = slots[(value + step) % len(slots)]
        if bucket_alive(x, found, found.buckets[number], told=False):
            _one(x, found, number)
            return bool(x.failure)
    _one(x, found, None)
    return bool(x.failure)
