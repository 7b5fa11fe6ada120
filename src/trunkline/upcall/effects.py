"""Applying the effects of a translation: once for a packet that came up, and for each push of statistics."""

from collections.abc import Iterable

from trunkline.translate.result import CountPatch, CountRule, CountTable, Effect, Learn


def apply(effects: Iterable[Effect], packets: int, octets: int, used: float) -> None:
    """`packets` packets with `octets` bytes in all went this way; the last at `used` (Clock.monotonic())."""
    for effect in effects:
        kind = type(effect)
        if kind is CountRule:
            counters = effect.rule.counters  # type: ignore[union-attr]
            counters.packets += packets
            counters.bytes += octets
            if used > counters.used:
                counters.used = used
        elif kind is CountTable:
            table = effect.counters  # type: ignore[union-attr]
            table.lookups += packets
            if effect.matched:  # type: ignore[union-attr]
                table.matched += packets
        elif isinstance(effect, Learn):
            effect.bridge.learn(effect.vlan, effect.mac, effect.port, used)
        elif isinstance(effect, CountPatch):
            effect.sent.tx_packets += packets
            effect.sent.tx_bytes += octets
            effect.received.rx_packets += packets
            effect.received.rx_bytes += octets


def apply_learning(effects: Iterable[Effect], now: float) -> None:
    """Of the effects only those that teach the bridge something: a packet that was only thought of."""
    for effect in effects:
        if isinstance(effect, Learn):
            effect.bridge.learn(effect.vlan, effect.mac, effect.port, now)
