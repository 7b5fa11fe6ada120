"""Flow monitors: a client is told of every change to the flows that it asked to watch.

A change that it made itself is told in short (its xid), unless the monitor wants these in full too.  What one
message changes is told together.

A client that does not read fast enough is paused once MOST_UNSENT bytes wait for it: then it is told only
which of the flows that it knows of are gone, until all has been sent; then what has come and what has changed
meanwhile, by the flows of then, and that it goes on.  So what waits is bounded by the number of flows.

Source: OpenFlow 1.4.1 section 7.3.5.17, and what the original says.
"""

from contextlib import suppress
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import UNASKED, Client, MonitorPause
from trunkline.ofproto.flow_changes import FlowChange
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.rules import Rule, references
from trunkline.ofproto.selection import Selection
from trunkline.openflow import actions as a
from trunkline.openflow import monitors as wire
from trunkline.openflow.wire import EncodeError

_OPENFLOW14: Final = 5
MOST_UNSENT: Final = 128 * 1024
_FLAG: Final = {
    wire.OFPFME_ADDED: wire.OFPFMF_ADD,
    wire.OFPFME_REMOVED: wire.OFPFMF_REMOVED,
    wire.OFPFME_MODIFIED: wire.OFPFMF_MODIFY,
}


def request(bridge: Bridge, client: Client, message: wire.FlowMonitorRequest) -> wire.FlowUpdates:
    """Sets monitors up, or takes them away; the answer holds the flows there are.  Raises Refused."""
    bridge.flows.settle()  # or nobody would be told what goes
    report(bridge)
    added: list[wire.FlowMonitor] = []
    try:
        for monitor in message.monitors:
            if monitor.command == wire.OFPFMC_DELETE:
                cancel(bridge, client, monitor.id)
                continue
            if monitor.command > wire.OFPFMC_DELETE:
                continue  # which says nothing
            if monitor.table >= 255 and monitor.table != of.OFPTT_ALL:
                raise Refused("OFPBRC_BAD_TABLE_ID")
            if monitor.command == wire.OFPFMC_MODIFY:
                if monitor.id not in client.monitors:
                    raise Refused("OFPMOFC_UNKNOWN_MONITOR")
            elif monitor.id in client.monitors:
                raise Refused("OFPMOFC_MONITOR_EXISTS")
            client.monitors[monitor.id] = monitor
            added.append(monitor)
    except Refused:
        for monitor in added:
            client.monitors.pop(monitor.id, None)
        raise
    bridge.flows.watched = any(one.monitors for one in bridge.clients.all)
    there = [one for one in added if client.monitors.get(one.id) is one]
    return wire.FlowUpdates(tuple(_initial(bridge, client, there)))


def cancel(bridge: Bridge, client: Client, number: int) -> None:
    if client.monitors.pop(number, None) is None:
        raise Refused("OFPMOFC_UNKNOWN_MONITOR")
    bridge.flows.watched = any(one.monitors for one in bridge.clients.all)


def _initial(bridge: Bridge, client: Client, monitors: list[wire.FlowMonitor]) -> list[wire.FlowUpdate]:
    event = wire.OFPFME_INITIAL if client.connection.version >= _OPENFLOW14 else wire.OFPFME_ADDED
    flags: dict[Rule, int] = {}
    for monitor in monitors:
        if monitor.flags & wire.OFPFMF_INITIAL:
            wanted = Selection(
                monitor.match, monitor.table, out_port=monitor.out_port, out_group=monitor.out_group
            )
            for rule in bridge.flows.select(wanted):
                flags[rule] = flags.get(rule, 0) | monitor.flags
    return [_update(event, rule, 0, bits) for rule, bits in flags.items()]


def _update(event: int, rule: Rule, reason: int, flags: int) -> wire.FlowUpdate:
    return wire.FlowUpdate(
        event,
        rule.match,
        rule.priority,
        rule.table,
        rule.cookie,
        reason,
        rule.idle_timeout,
        rule.hard_timeout,
        rule.actions if flags & wire.OFPFMF_INSTRUCTIONS else (),
    )


def report(bridge: Bridge) -> None:
    """Tells all who watch what has changed since this was last called."""
    changes, bridge.flows.changes = bridge.flows.changes, []
    for client in bridge.clients.all if changes else ():
        if not client.monitors:
            continue
        updates = (
            _updates(bridge, client, changes) if client.pause is None else _while_paused(client, changes)
        )
        if updates:
            _send(client, updates)
        if client.pause is None and updates and client.outlet.backlog > MOST_UNSENT:
            client.pause = MonitorPause()
            _say(client, wire.FlowMonitorPaused())


def resume(client: Client) -> bool:
    """Ends a client's pause if all has been sent; what happened meanwhile is queued."""
    if client.pause is None or client.outlet.backlog:
        return False
    held, client.pause = client.pause.held, None
    if not client.monitors:
        return False
    updates: list[Any] = []
    for known, event, rule in held.values():
        event = event if known or not event else wire.OFPFME_ADDED
        flags = _flags(client, FlowChange(event, rule, 0, None, None)) if event else 0
        if flags:
            updates.append(_update(event, rule, 0, flags))
    if updates:
        _send(client, updates)
    _say(client, wire.FlowMonitorResumed())
    return True


def _send(client: Client, updates: list[Any]) -> None:
    message: Any = wire.FlowUpdates(tuple(updates))
    with suppress(EncodeError):  # its version cannot say what the flows do
        client.connection.send(message, xid=UNASKED)


def _say(client: Client, word: Any) -> None:
    client.connection.send(word, xid=UNASKED)


def _while_paused(client: Client, changes: list[FlowChange]) -> list[Any]:
    """What is told at once: that flows are gone which the client knows of.  The rest is kept in mind."""
    assert client.pause is not None
    held = client.pause.held
    told: list[Any] = []
    for change in changes:
        rule = change.rule
        place = (rule.table, rule.priority, rule.value, rule.mask)
        known = held[place][0] if place in held else change.event != wire.OFPFME_ADDED or change.replaced
        if change.event != wire.OFPFME_REMOVED:
            held[place] = known, change.event, rule
            continue
        held.pop(place, None)
        flags = _flags(client, change) if known else 0
        if flags:
            told.append(_update(change.event, rule, change.reason, flags))
            held[place] = False, 0, rule
    return told


def _updates(
    bridge: Bridge, client: Client, changes: list[FlowChange]
) -> list[wire.FlowUpdate | wire.FlowUpdateAbbreviated]:
    told = bridge.flows.told_in_short
    found: list[wire.FlowUpdate | wire.FlowUpdateAbbreviated] = []
    abbreviated = False
    for change in changes:
        flags = _flags(client, change)
        if not flags:
            continue
        if flags & wire.OFPFMF_ONLY_OWN or change.author is None or change.author[0] is not client:
            found.append(_update(change.event, change.rule, change.reason, flags))
        elif not abbreviated and client not in told:
            found.append(wire.FlowUpdateAbbreviated(change.author[1]))
            abbreviated = True
            if change.author is bridge.flows.deleter:
                told.append(client)
    return found


def _flags(client: Client, change: FlowChange) -> int:
    """The flags of all monitors that a change concerns."""
    flags = 0
    for monitor in client.monitors.values():
        if _watches(monitor, change):
            flags |= monitor.flags
    return flags


def _watches(monitor: wire.FlowMonitor, change: FlowChange) -> bool:
    rule = change.rule
    value, mask, _ = monitor.match
    if not monitor.flags & _FLAG[change.event] or monitor.table not in (of.OFPTT_ALL, rule.table):
        return False
    if mask & ~rule.mask or (rule.value ^ value) & mask or rule.priority > 0xFFFF:
        return False
    if monitor.out_port != of.OFPP_ANY and not (
        rule.outputs_to(monitor.out_port)
        or (change.old is not None and change.old.outputs_to(monitor.out_port))
    ):
        return False
    return monitor.out_group == of.OFPG_ANY or (a.Group, monitor.out_group) in references(rule.actions)
