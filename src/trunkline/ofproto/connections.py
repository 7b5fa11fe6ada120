"""OpenFlow's messages that make the datapath forget connections."""

from trunkline.base.addresses import octets_of
from trunkline.conntrack.flushing import Direction, Filter, NotThere, flush
from trunkline.conntrack.tuples import REVERSED_TYPE
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.flushes import CtFlush, CtFlushZone, CtTuple


def flush_zone(bridge: Bridge, message: CtFlushZone) -> None:
    tracker = bridge.fabric.conntrack
    if tracker is not None:
        tracker.flush(message.zone)


def flush_tuple(bridge: Bridge, message: CtFlush) -> None:
    """What the message's tuples match; it is no error if there is nothing."""
    tracker = bridge.fabric.conntrack
    if tracker is None:
        return
    wanted = Filter(
        message.zone,
        message.protocol,
        _direction(message.original, message.protocol),
        _direction(message.reply, message.protocol),
    )
    try:
        flush(tracker, wanted, bridge.clock.monotonic())
    except NotThere:
        return


def _direction(found: CtTuple, protocol: int) -> Direction:
    src, dst = _address(found.source), _address(found.destination)
    if protocol in REVERSED_TYPE:
        kind, code = found.destination_port & 0xFF, found.destination_port >> 8
        return Direction(src, dst, icmp=(found.source_port, kind, code))
    return Direction(src, dst, found.source_port, found.destination_port)


def _address(number: int) -> bytes | None:
    return octets_of(number) if number else None
