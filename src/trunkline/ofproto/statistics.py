"""What a bridge has counted, and of what: answers to requests for statistics (OpenFlow 1.3.5, section 7.3.5).

The datapath is asked first for what it has counted since.  Flows may be many: they come in parts, and are
those of the moment of the request.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.rules import TABLES, Rule, age_nanoseconds, age_seconds
from trunkline.ofproto.selection import Selection
from trunkline.ofproto.table_features import abilities
from trunkline.openflow import messages as m

_FLOWS_AT_ONCE: Final = 150


def flows(bridge: Bridge, client: Client, message: m.FlowStatsRequest) -> Iterator[m.Message | None]:
    message = message._replace(match=bridge.flows.placed(message.match))
    bridge.fabric.refresh()
    return _flow_replies(bridge.flows.snapshot(Selection(*message)), bridge.clock.monotonic())


def _flow_replies(tables: Iterable[Iterator[Rule | None]], now: float) -> Iterator[m.Message | None]:
    """Flows by table and falling priority, so many at a time that a step stays short."""
    waiting: list[m.FlowStats] = []
    for rules in tables:
        by_priority: dict[int, list[Rule]] = {}
        for rule in rules:
            if rule is None:
                yield None
            else:
                by_priority.setdefault(rule.priority, []).append(rule)
        for priority in sorted(by_priority, reverse=True):
            for rule in by_priority[priority]:
                if len(waiting) == _FLOWS_AT_ONCE:
                    yield m.FlowStatsReply(tuple(waiting), True)
                    waiting.clear()
                waiting.append(_flow(rule, now))
    yield m.FlowStatsReply(tuple(waiting))


def _flow(rule: Rule, now: float) -> m.FlowStats:
    return m.FlowStats(
        rule.match,
        rule.priority,
        rule.table,
        rule.actions,
        rule.cookie,
        age_nanoseconds(now, rule.created),
        rule.idle_timeout,
        rule.hard_timeout,
        age_seconds(now, rule.counters.used),
        age_seconds(now, rule.modified),
        rule.counters.packets,
        rule.counters.bytes,
        rule.importance,
        rule.flags,
    )


def aggregate(bridge: Bridge, client: Client, message: m.AggregateStatsRequest) -> m.Message:
    message = message._replace(match=bridge.flows.placed(message.match))
    bridge.fabric.refresh()
    packets = octets = flows = 0
    for rule in bridge.flows.select(Selection(*message)):
        flows += 1
        packets += rule.counters.packets
        octets += rule.counters.bytes
    return m.AggregateStatsReply(packets, octets, flows)


def tables(bridge: Bridge, client: Client, message: m.TableStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    tables = []
    limits = bridge.flows.limits
    for number in range(TABLES):
        counters = bridge.flows.tables.counters.get(number)
        hidden = bridge.hidden if number == 0 else 0
        stats = m.TableStats(
            number,
            max(bridge.flows.size(number) - hidden, 0),
            counters.lookups if counters else 0,
            counters.matched if counters else 0,
            name=limits.name(number),
            max_entries=limits.limit(number),
            miss_config=bridge.table_miss.get(number, of.OFPTC11_TABLE_MISS_CONTROLLER),
        )
        tables.append(stats._replace(**abilities(client.connection.version, number)))
    return m.TableStatsReply(tuple(tables))


def ports(bridge: Bridge, client: Client, message: m.PortStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    now = bridge.clock.monotonic()
    return m.PortStatsReply(
        tuple(
            m.PortStats(
                n, *bridge.port_statistics(n).reported, duration=age_nanoseconds(now, bridge.plugged_at[n])
            )
            for n in asked_ports(bridge, message.port)
        )
    )


def asked_ports(bridge: Bridge, port: int) -> list[int]:
    if port == of.OFPP_ANY:
        return sorted(bridge.interfaces)
    return [port] if port in bridge.interfaces else []


def queues(bridge: Bridge, client: Client, message: m.QueueStatsRequest) -> m.Message:
    """Each port has queue 0, of which nothing is counted: there is no quality of service yet."""
    numbers = queue_ports(bridge, message.port, message.queue, (of.OFPP_ALL, of.OFPP_ANY))
    return m.QueueStatsReply(tuple(m.QueueStats(port, 0, None, None, None) for port in numbers))


def queue_ports(bridge: Bridge, port: int, queue: int, every: tuple[int, ...]) -> list[int]:
    """The ports whose queues are asked for; `every` are the numbers that stand for all.  Raises Refused."""
    if port not in every and port not in bridge.interfaces:
        raise Refused("OFPQOFC_BAD_PORT")
    if queue not in (of.OFPQ_ALL, 0):
        raise Refused("OFPQOFC_BAD_QUEUE")
    return sorted(bridge.interfaces) if port in every else [port]
