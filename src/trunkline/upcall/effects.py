"""Applying the effects of a translation: once for a packet that came up, and for each push of statistics.

Most effects count, and a megaflow's are applied again and again: they are sorted by kind once (`sort`), into
lists of the counters themselves.  The others have a function each, in a table.
"""

from collections.abc import Callable, Container, Iterable
from typing import Any, Final, NamedTuple

from trunkline.flow import key as layout
from trunkline.model.openflow import OFPP_LOCAL, OFPP_TABLE
from trunkline.ofproto.rules import Counters, Hit, TableCounters
from trunkline.openflow.actions import Output
from trunkline.packet.packet import Packet
from trunkline.proto.neighbours import solicitation
from trunkline.translate.result import (
    CountBucket,
    CountGroup,
    CountPatch,
    CountReceived,
    CountSent,
    Dropped,
    Effect,
    FinTimeout,
    Learn,
    LearnFlow,
    LearnNeighbour,
    Missed,
    Snoop,
    Solicit,
)

_LEARNED = "learned from a packet"


class Sorted(NamedTuple):
    """Effects by kind: lookups that found a rule; tables where none was found; the rest."""

    hits: tuple[Hit, ...]
    missed: tuple[TableCounters, ...]
    others: tuple[Effect, ...]


def sort(effects: Iterable[Effect]) -> Sorted:
    hits: list[Hit] = []
    missed: list[TableCounters] = []
    others: list[Effect] = []
    for effect in effects:
        kind = type(effect)
        if kind is tuple:
            hits.append(effect)  # type: ignore[arg-type]
        elif kind is Missed:
            missed.append(effect.counters)  # type: ignore[union-attr, arg-type]
        else:
            others.append(effect)
    return Sorted(tuple(hits), tuple(missed), tuple(others))


def apply(effects: Sorted, packets: int, octets: int, used: float) -> None:
    """`packets` packets with `octets` bytes in all went this way; the last at `used` (Clock.monotonic())."""
    hits, missed, others = effects
    for table, counters in hits:
        table.lookups += packets
        table.matched += packets
        counters.packets += packets
        counters.bytes += octets
        if used > counters.used:
            counters.used = used
        changed = counters.changed
        if changed is not None:
            counters.changed = None
            changed.append(counters)
    for table in missed:
        table.lookups += packets
    for effect in others:
        _APPLY[type(effect)](effect, packets, octets, used)


def apply_learning(effects: Iterable[Effect], now: float) -> None:
    """Of the effects only those that teach the bridge something: a packet that was only thought of."""
    for effect in effects:
        if type(effect) in TEACHING:
            _APPLY[type(effect)](effect, 0, 0, now)


def true_still(effects: Iterable[Effect], now: Container[Effect]) -> list[Effect]:
    """The effects of a translation that another has taken the place of: of those that teach something only
    such as are among `now`, those of the new one."""
    return [effect for effect in effects if type(effect) not in TEACHING or effect in now]


def apply_snooping(effects: Iterable[Effect], frame: bytes, now: float) -> None:
    """What is read in the packet itself, which each packet does anew."""
    for effect in effects:
        if type(effect) is Snoop:
            effect.bridge.snoop(effect.vlan, effect.port, frame, now)


def _learn(effect: Learn, packets: int, octets: int, used: float) -> None:
    effect.bridge.learn(effect.vlan, effect.mac, effect.port, used)


def _count_patch(effect: CountPatch, packets: int, octets: int, used: float) -> None:
    effect.sent.tx_packets += packets
    effect.sent.tx_bytes += octets
    effect.received.rx_packets += packets
    effect.received.rx_bytes += octets


def _count_sent(effect: CountSent, packets: int, octets: int, used: float) -> None:
    effect.counters.tx_packets += packets
    effect.counters.tx_bytes += octets


def _count_received(effect: CountReceived, packets: int, octets: int, used: float) -> None:
    effect.counters.rx_packets += packets
    effect.counters.rx_bytes += octets


def _learn_neighbour(effect: LearnNeighbour, packets: int, octets: int, used: float) -> None:
    effect.bridge.fabric.tunnels.shared.learn(effect.bridge.name, effect.address, effect.mac, used)


def _solicit(effect: Solicit, packets: int, octets: int, used: float) -> None:
    """The question goes out as a packet of the bridge's own port does."""
    execute = effect.bridge.fabric.execute
    if execute is not None:
        frame = solicitation(effect.address, effect.source, effect.mac)
        metadata = layout.put(0, "in_port", OFPP_LOCAL)
        execute(effect.bridge, metadata, Packet(frame), (Output(OFPP_TABLE),))


def _count_group(effect: CountGroup, packets: int, octets: int, used: float) -> None:
    _count(effect.group.counters, packets, octets, used)
    if effect.bucket is not None:
        _count(effect.group.of_buckets[effect.bucket], packets, octets, used)


def _count_bucket(effect: CountBucket, packets: int, octets: int, used: float) -> None:
    _count(effect.group.of_buckets[effect.bucket], packets, octets, used)


def _count(counters: Counters, packets: int, octets: int, used: float) -> None:
    counters.packets += packets
    counters.bytes += octets
    counters.used = max(counters.used, used)
    changed = counters.changed
    if changed is not None:
        counters.changed = None
        changed.append(counters)


def _learn_flow(effect: LearnFlow, packets: int, octets: int, used: float) -> None:
    effect.bridge.flows.learn(effect.mod, used, _LEARNED)


def _fin_timeout(effect: FinTimeout, packets: int, octets: int, used: float) -> None:
    effect.bridge.flows.shorten(effect.rule, effect.idle, effect.hard)


_APPLY: Final[dict[type, Callable[[Any, int, int, float], None]]] = {
    Learn: _learn,
    CountPatch: _count_patch,
    CountGroup: _count_group,
    CountBucket: _count_bucket,
    LearnFlow: _learn_flow,
    LearnNeighbour: _learn_neighbour,
    CountSent: _count_sent,
    CountReceived: _count_received,
    Solicit: _solicit,
    FinTimeout: _fin_timeout,
    Snoop: lambda effect, packets, octets, used: None,  # see apply_snooping
    Dropped: lambda effect, packets, octets, used: effect.counter.add(packets),
}
TEACHING: Final = frozenset((Learn, LearnFlow, LearnNeighbour, FinTimeout))
