"""What meter-mods do, and what is told of meters.

The datapath measures; it has meters under numbers of its own, for all its bridges together.  When a meter
goes, the flows that use it go with it.  Source: OpenFlow 1.3.5 sections 5.7 and 7.3.4.4.
"""

from typing import Final
from zlib import crc32

from trunkline.dpif.provider import MeterBand
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import MAX_METERS, bridge_token
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.meters import Meter
from trunkline.ofproto.rules import age_nanoseconds
from trunkline.openflow import actions as a
from trunkline.openflow import meters as wire
from trunkline.openflow.messages import FlowRemoved

_MAX_BANDS: Final = 8
_FLAGS: Final = wire.OFPMF_KBPS | wire.OFPMF_PKTPS | wire.OFPMF_BURST | wire.OFPMF_STATS
_UNITS: Final = wire.OFPMF_KBPS | wire.OFPMF_PKTPS


def apply(bridge: Bridge, mod: wire.MeterMod) -> list[FlowRemoved]:
    """Carries out a meter-mod; returns what controllers are to be told.  Raises Refused."""
    if mod.command == wire.OFPMC_DELETE:
        return _delete(bridge, mod.meter)
    if not 0 < mod.meter <= wire.METER_MAX and mod.meter not in (wire.METER_CONTROLLER, wire.METER_SLOWPATH):
        raise Refused("OFPMMFC_INVALID_METER")
    if len(mod.bands) > _MAX_BANDS:
        raise Refused("OFPMMFC_OUT_OF_BANDS")
    bands = tuple(band._replace(burst=band.burst or band.rate) for band in mod.bands)
    meters = bridge.flows.meters
    old = meters.get(mod.meter)
    if mod.command == wire.OFPMC_ADD:
        if old is not None:
            raise Refused("OFPMMFC_METER_EXISTS")
        number = bridge.fabric.meter_numbers.take()
        if number is None:
            raise Refused("OFPMMFC_OUT_OF_METERS")
        meter = Meter(mod.meter, mod.flags, bands, bridge.clock.monotonic(), number)
    elif old is None:
        raise Refused("OFPMMFC_UNKNOWN_METER")
    else:
        meter = Meter(mod.meter, mod.flags, bands, old.created, old.number)
    _check(mod)
    datapath = bridge.fabric.meters
    if datapath is not None:
        datapath.put(
            meter.number,
            tuple(MeterBand(band.rate, band.burst) for band in bands),
            bridge.clock.monotonic(),
            by_packets=bool(mod.flags & wire.OFPMF_PKTPS),
            name=crc32(f"{mod.meter} {bridge.name}".encode(errors="surrogateescape")) or 1,
        )
    meters[mod.meter] = meter
    _note(bridge, mod.meter)
    return []


def _note(bridge: Bridge, number: int) -> None:
    """Virtual meters concern flows that do not name them."""
    if number > wire.METER_MAX:
        bridge.fabric.changes.append(bridge_token(bridge.name))


def _check(mod: wire.MeterMod) -> None:
    """What the datapath says to it."""
    if mod.flags & ~_FLAGS or not mod.flags & _UNITS:
        raise Refused("OFPMMFC_BAD_FLAGS")
    if not mod.bands:
        raise Refused("OFPMMFC_OUT_OF_BANDS")
    if not all(band.rate for band in mod.bands):
        raise Refused("OFPMMFC_BAD_RATE")
    if any(band.type != wire.OFPMBT_DROP for band in mod.bands):
        raise Refused("OFPMMFC_BAD_BAND")


def _delete(bridge: Bridge, number: int) -> list[FlowRemoved]:
    told: list[FlowRemoved] = []
    meters = bridge.flows.meters
    for one in list(meters) if number == wire.METER_ALL else [number]:
        if one in meters:
            told += bridge.flows.delete_users(a.Meter, one)
            gone = meters.pop(one)
            _note(bridge, one)
            bridge.fabric.meter_numbers.give_back(gone.number)
            if bridge.fabric.meters is not None:
                bridge.fabric.meters.delete(gone.number)
    return told


# ---- what is told ----


def _chosen(bridge: Bridge, number: int) -> list[Meter]:
    if number == wire.METER_ALL:
        return list(bridge.flows.meters.values())
    if number not in bridge.flows.meters:
        raise Refused("OFPMMFC_UNKNOWN_METER")
    return [bridge.flows.meters[number]]


def statistics(bridge: Bridge, request: wire.MeterStatsRequest) -> wire.MeterStatsReply:
    return wire.MeterStatsReply(tuple(_statistics(bridge, meter) for meter in _chosen(bridge, request.meter)))


def _statistics(bridge: Bridge, meter: Meter) -> wire.MeterStats:
    datapath = bridge.fabric.meters
    packets, octets, bands = datapath.statistics(meter.number) if datapath is not None else (0, 0, ())
    return wire.MeterStats(
        meter.id,
        bridge.flows.users(a.Meter, meter.id),
        packets,
        octets,
        age_nanoseconds(bridge.clock.monotonic(), meter.created),
        bands,
    )


def descriptions(bridge: Bridge, request: wire.MeterConfigRequest) -> wire.MeterConfigReply:
    chosen = _chosen(bridge, request.meter)
    return wire.MeterConfigReply(
        tuple(wire.MeterConfig(meter.id, meter.flags, meter.bands) for meter in chosen)
    )


def features() -> wire.MeterFeaturesReply:
    return wire.MeterFeaturesReply(MAX_METERS, 1 << wire.OFPMBT_DROP, _FLAGS, _MAX_BANDS, 0)
