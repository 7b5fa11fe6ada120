"""A bridge's flows, groups and meters from its journal.

Messages are carried out again, each at its own time, by the same code that carried them out first; what they
answered is of no interest.  Flows that no message made, or that a snapshot wrote, are put in as they were.
Nothing runs out meanwhile, for what had run out is in the journal, too.

How long a flow was idle is not known: packets may have gone on through the datapath while nobody counted.  So
idle timeouts begin anew; hard timeouts go on as if nothing had happened.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from trunkline.dpif.provider import MeterStatistics
from trunkline.ofproto import handler
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.journal import MAC_STATE, Kind, Record, bundled, rule_of
from trunkline.ofproto.journal_snapshot import BUCKET_STATE, GROUP_STATE, METER_STATE
from trunkline.openflow.codec import decode
from trunkline.openflow.connection import Connection, Received
from trunkline.openflow.wire import DecodeError

_ORIGIN: Final = "kept from before the switch was started again"


class Restored(NamedTuple):
    flows: int
    groups: int
    refused: int  # records that cannot be carried out any more, as of a port that is gone
    records: int = 0  # all of them


class _Clock:
    """Stands where the journal stands."""

    def __init__(self, wall: float) -> None:
        self.now = 0.0
        self._wall = wall

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._wall


def restore(bridge: Bridge, records: Iterable[Record]) -> Restored:
    """Makes the bridge what the records say; to be called before it has a journal of its own."""
    own = bridge.clock
    clock = _Clock(own.wall())
    connection = Connection(0x7E)
    connection.to_send()
    client = Client(connection, service=True, origin=_ORIGIN)
    refused = count = 0
    bridge.flows.clear()
    bridge.clock = bridge.flows.clock = clock
    try:
        for record in records:
            count += 1
            clock.now = record.time
            try:
                _carry_out(bridge, client, record)
            except (DecodeError, Refused, ValueError, LookupError):
                refused += 1
            if connection.to_send():
                refused += 1
    finally:
        bridge.clock = bridge.flows.clock = own
    now = own.monotonic()
    rules = list(bridge.flows.tables.rules())
    for rule in rules:
        rule.counters.used = now
    bridge.flows.unsaid.clear()
    if bridge.fabric.meters is not None:
        for meter in bridge.flows.meters.values():
            bridge.fabric.meters.resume(meter.number, None)
    return Restored(len(rules), len(bridge.groups), refused, count)


def _carry_out(bridge: Bridge, client: Client, record: Record) -> None:
    body = record.body
    match record.kind:
        case Kind.MESSAGE | Kind.GONE:
            _message(bridge, client, body[1:], table_id=bool(body[0]))
        case Kind.BUNDLE:
            for raw in bundled(body):
                _message(bridge, client, raw, table_id=True)
        case Kind.RULE:
            bridge.flows.restore(rule_of(body, _ORIGIN, bridge.flows.placed))
        case Kind.CLEAR:
            bridge.flows.clear()
        case Kind.GROUP:
            _group(bridge, body)
        case Kind.MAC:
            _mac(bridge, body)
        case Kind.METER:
            _meter(bridge, body)
        case Kind.NAME:
            bridge.flows.limits.set_name(body[0], body[1:].decode("utf-8", "surrogateescape"))


def _message(bridge: Bridge, client: Client, raw: bytes, *, table_id: bool) -> None:
    incoming = decode(raw, table_id=table_id)
    client.connection.version = incoming.version
    handler.handle(bridge, client, Received(incoming.xid, incoming.message, raw))


def _meter(bridge: Bridge, body: bytes) -> None:
    number, created, packets, octets = METER_STATE.unpack_from(body)
    meter = bridge.flows.meters[number]
    meter.created = created
    bands = tuple(BUCKET_STATE.iter_unpack(body[METER_STATE.size :]))
    if bridge.fabric.meters is not None:
        bridge.fabric.meters.resume(meter.number, MeterStatistics(packets, octets, bands))


def _group(bridge: Bridge, body: bytes) -> None:
    number, created, packets, octets = GROUP_STATE.unpack_from(body)
    group = bridge.groups[number]
    group.created = created
    group.counters.packets, group.counters.bytes = packets, octets
    for place, counters in enumerate(group.of_buckets):
        at = GROUP_STATE.size + place * BUCKET_STATE.size
        counters.packets, counters.bytes = BUCKET_STATE.unpack_from(body, at)


def _mac(bridge: Bridge, body: bytes) -> None:
    vlan, mac, seen = MAC_STATE.unpack_from(body)
    bridge.learn(vlan, mac, body[MAC_STATE.size :].decode(), seen)
