"""A bridge's OpenFlow state as a journal that begins anew: what there is, instead of how it came about.

It is made in steps, so that packets have their turn in between.  The flows are those of the moment at which
it was begun; what changes while it is made goes into the journal behind it, so that whoever reads both in
order comes out at the present.  Groups come before the flows that send to them.
"""

from collections.abc import Iterator
from itertools import chain
from struct import Struct
from typing import Any, Final

from trunkline.flow.match import Match
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.groups import Group
from trunkline.ofproto.journal import Kind, encoded, mac_record, name_record, record, rule_record
from trunkline.ofproto.meters import Meter
from trunkline.ofproto.selection import Selection
from trunkline.openflow.groups import OFPGC_ADD, GroupMod
from trunkline.openflow.messages import PortMod, SetConfig, SwitchConfig, TableMod
from trunkline.openflow.meters import OFPMC_ADD, MeterMod
from trunkline.openflow.tunnel_table import NXTTMC_ADD, TlvTableMod
from trunkline.openflow.wire import EncodeError, Protocol
from trunkline.proto.mac_learning import STATIC

_OPENFLOW11: Final = (Protocol(2),)  # which says what becomes of a packet that no flow matches
_AT_ONCE: Final = 100  # flows in a step
GROUP_STATE: Final = Struct(">IdQQ")  # number, created, packets, bytes; then of each bucket:
BUCKET_STATE: Final = Struct(">QQ")
METER_STATE: Final = GROUP_STATE  # then of each band, as of buckets


def snapshot(bridge: Bridge, now: float) -> Iterator[bytes]:
    """Records, a step at a time; what is in them is settled at the first step, their counters are not."""
    bridge.flows.settle()  # what has been said of deletions is in the journal before this one
    tables = bridge.flows.snapshot(Selection(Match(0, 0)))
    groups, meters = list(bridge.groups.values()), list(bridge.flows.meters.values())
    yield b"".join(chain(_settings(bridge, now), _groups(groups, now), _meters(bridge, meters, now)))
    waiting: list[bytes] = []
    for rules in tables:
        for rule in rules:
            if rule is not None:
                waiting.append(rule_record(rule, now))
            if rule is None or len(waiting) >= _AT_ONCE:
                yield b"".join(waiting)
                waiting.clear()
    yield b"".join(waiting)
    yield b"".join(_macs(bridge))


def _message(message: Any, now: float) -> bytes:
    return record(Kind.MESSAGE, now, b"\1" + encoded(message))


def _settings(bridge: Bridge, now: float) -> Iterator[bytes]:
    yield _message(SetConfig(SwitchConfig(bridge.fragments, 0, False)), now)
    for ofport, port in bridge.interfaces.items():
        if port.config:
            yield _message(PortMod(ofport, port.mac, port.config, port.config), now)
    for table, miss in bridge.table_miss.items():
        yield record(Kind.MESSAGE, now, b"\1" + encoded(TableMod(table, miss), _OPENFLOW11))
    if bridge.flows.options.mappings:
        yield _message(TlvTableMod(NXTTMC_ADD, bridge.flows.options.mappings), now)
    limits = bridge.flows.limits
    for table, name in limits.names.items():
        yield name_record(table, name, now)
    for table in limits.told:
        said = limits.describe(table, bridge.flows.size(table))
        vacancy = said.vacancy, said.vacancy_down, said.vacancy_up
        yield _message(TableMod(table, None, said.eviction, None, *vacancy), now)


def _groups(groups: list[Group], now: float) -> Iterator[bytes]:
    for group in groups:
        mod = GroupMod(OFPGC_ADD, group.id, group.type, group.buckets, selection=group.selection)
        try:
            yield _message(mod, now)
        except EncodeError:  # no message makes it: its buckets were taken out one by one
            continue
        counters = group.counters
        state = GROUP_STATE.pack(group.id, group.created, counters.packets, counters.bytes)
        buckets = (BUCKET_STATE.pack(one.packets, one.bytes) for one in group.of_buckets)
        yield record(Kind.GROUP, now, state + b"".join(buckets))


def _meters(bridge: Bridge, meters: list[Meter], now: float) -> Iterator[bytes]:
    datapath = bridge.fabric.meters
    for meter in meters:
        yield _message(MeterMod(OFPMC_ADD, meter.id, meter.flags, meter.bands), now)
        if datapath is not None:
            packets, octets, bands = datapath.statistics(meter.number)
            state = METER_STATE.pack(meter.id, meter.created, packets, octets)
            yield record(Kind.METER, now, state + b"".join(BUCKET_STATE.pack(*band) for band in bands))


def _macs(bridge: Bridge) -> Iterator[bytes]:
    for entry in bridge.macs.entries():
        if entry.expires != STATIC:  # what an administrator puts there is his to put there again
            yield mac_record(entry.vlan, entry.mac, entry.port, entry.expires - bridge.macs.aging)
