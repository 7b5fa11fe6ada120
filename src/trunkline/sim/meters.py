"""The datapath's meters: token buckets, each of which a band empties.

A bucket is counted in thousandths of packets or in bits, so that a millisecond fills it by the band's rate in
packets or kilobits a second.  It begins full.  A packet for which a bucket has not enough exceeds the band;
of those that it exceeds, the band with the highest rate drops it.  Source: OpenFlow 1.3.5 section 5.7.1.
"""

from typing import Final

from trunkline.dpif.provider import MeterBand, MeterStatistics

_MILLISECOND: Final = 1000
_EPSILON: Final = 1e-3  # of a millisecond


class _Bucket:
    __slots__ = ("bytes", "filling", "packets", "rate", "size")

    def __init__(self, band: MeterBand) -> None:
        self.rate = band.rate
        self.size = self.filling = (band.burst or band.rate) * _MILLISECOND
        self.packets = self.bytes = 0  # that it has dropped


class _Meter:
    __slots__ = ("buckets", "by_packets", "bytes", "packets", "used")

    def __init__(self, bands: tuple[MeterBand, ...], now: int, *, by_packets: bool) -> None:
        self.by_packets = by_packets
        self.buckets = [_Bucket(band) for band in bands]
        self.used = now  # milliseconds
        self.packets = self.bytes = 0


class Meters:
    """Those of one datapath, by number.  Times are Clock.monotonic()."""

    __slots__ = ("_meters",)

    def __init__(self) -> None:
        self._meters: dict[int, _Meter] = {}

    def put(
        self, number: int, bands: tuple[MeterBand, ...], now: float, *, by_packets: bool, name: int = 1
    ) -> None:
        self._meters[number] = _Meter(bands, _milliseconds(now), by_packets=by_packets)

    def resume(self, number: int, statistics: MeterStatistics | None) -> None:
        meter = self._meters[number]
        if statistics is not None:
            meter.packets, meter.bytes, bands = statistics
            for bucket, (packets, octets) in zip(meter.buckets, bands, strict=False):
                bucket.packets, bucket.bytes = packets, octets

    def has(self, number: int) -> bool:
        return number in self._meters

    def delete(self, number: int) -> None:
        self._meters.pop(number, None)

    def statistics(self, number: int) -> MeterStatistics:
        meter = self._meters[number]
        return MeterStatistics(
            meter.packets, meter.bytes, tuple((bucket.packets, bucket.bytes) for bucket in meter.buckets)
        )

    def admit(self, number: int, size: int, now: float) -> bool:
        """Whether a packet of so many bytes may pass; it is counted."""
        meter = self._meters.get(number)
        if meter is None:
            return True
        time = _milliseconds(now)
        passed, meter.used = max(time - meter.used, 0), max(time, meter.used)
        meter.packets += 1
        meter.bytes += size
        volume = 1000 if meter.by_packets else size * 8
        exceeded: _Bucket | None = None
        for bucket in meter.buckets:
            bucket.filling = min(bucket.filling + passed * bucket.rate, bucket.size)
            if bucket.filling >= volume:
                bucket.filling -= volume
            elif exceeded is None or bucket.rate > exceeded.rate:
                exceeded = bucket
        if exceeded is None:
            return True
        exceeded.packets += 1
        exceeded.bytes += size
        return False


def _milliseconds(now: float) -> int:
    return int(now * 1000 + _EPSILON)
