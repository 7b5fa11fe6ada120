"""The kernel datapath's meters: those that the program knows, and the others, which sim has.

A meter of up to METER_BANDS bands under a number below MAX_METERS is in the map `meters`, where the program
fills and empties its buckets; packets that this process forwards empty the same ones.  Others are kept in
this process, and flows that use them go the slow path.

What a meter has measured goes on in the next process: its program has a map of its own, and when that has
taken the other one's place (docs/design/kernel-restart.md) what the earlier one has come to is added.
Numbers may be others by then, so a record has the meter's name.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.bpf import layout as program
from trunkline.bpf.maps import Map
from trunkline.dpif.provider import MeterBand, MeterStatistics
from trunkline.sim.meters import Meters as Others

_LOCKED: Final = 4  # BPF_F_LOCK: an update that no packet comes between
_NUMBER: Final = Struct("=I").pack
_RECORD: Final = program.METER.packed
_BANDS: Final = program.METER_BANDS
_MILLISECONDS: Final = 1000
_NOTHING: Final = MeterStatistics(0, 0, ())


class _Meter(NamedTuple):
    """The record in the map; the lists have METER_BANDS elements."""

    bands: int
    by_packets: int
    name: int
    used: int  # milliseconds
    packets: int
    octets: int
    rate: list[int]
    size: list[int]
    filling: list[int]
    band_packets: list[int]
    band_bytes: list[int]

    def record(self) -> bytes:
        lists = [*self.rate, *self.size, *self.filling, *self.band_packets, *self.band_bytes]
        return _RECORD.pack(
            0, self.bands, self.by_packets, self.name, self.used, self.packets, self.octets, *lists
        )


def _split(values: bytes) -> Iterator[bytes]:
    size = _RECORD.size
    return (values[at : at + size] for at in range(0, len(values), size))


def _meter(value: bytes) -> _Meter:
    _, bands, by_packets, name, used, packets, octets, *lists = _RECORD.unpack(value)
    parts: Any = [list(lists[at : at + _BANDS]) for at in range(0, 5 * _BANDS, _BANDS)]
    return _Meter(bands, by_packets, name, used, packets, octets, *parts)


class KernelMeters(Others):
    """The meters of the datapath, as sim has them."""

    __slots__ = ("_heirs", "_inside", "_map")

    def __init__(self, meters: Map) -> None:
        super().__init__()
        self._map = meters
        self._inside: set[int] = set()  # numbers of those that the kernel has
        self._heirs: dict[int, MeterStatistics] = {}  # that were there before, and what they began with here

    def is_inside(self, number: int) -> bool:
        """Whether the program can do it; also of a meter that is not there, for it lets everything pass."""
        return number < program.MAX_METERS and (number in self._inside or not self.has(number))

    def put(
        self, number: int, bands: tuple[MeterBand, ...], now: float, *, by_packets: bool, name: int = 1
    ) -> None:
        self.delete(number)
        if number >= program.MAX_METERS or len(bands) > _BANDS:
            super().put(number, bands, now, by_packets=by_packets)
            return
        rates = [band.rate for band in bands]
        sizes = [(band.burst or band.rate) * 1000 for band in bands]
        none = [0] * _BANDS
        padding = [0] * (_BANDS - len(bands))
        meter = _Meter(
            len(bands), by_packets, name, int(now * _MILLISECONDS), 0, 0,
            rates + padding, sizes + padding, sizes + padding, none, none,
        )  # fmt: skip
        self._map.update(_NUMBER(number), meter.record(), _LOCKED)
        self._inside.add(number)

    def delete(self, number: int) -> None:
        if number in self._inside:
            self._inside.discard(number)
            self._heirs.pop(number, None)
            self._map.update(_NUMBER(number), bytes(_RECORD.size), _LOCKED)
        else:
            super().delete(number)

    def resume(self, number: int, statistics: MeterStatistics | None) -> None:
        if number not in self._inside:
            super().resume(number, statistics)
        elif statistics is None:
            self._heirs.setdefault(number, _NOTHING)
        else:
            self._heirs[number] = statistics
            self._add(number, self._look(number), statistics)

    def _add(self, number: int, meter: _Meter, more: MeterStatistics) -> None:
        packets, octets = meter.band_packets[:], meter.band_bytes[:]
        for band, (count, length) in enumerate(more.bands[: meter.bands]):
            packets[band] += count
            octets[band] += length
        after = meter._replace(
            packets=meter.packets + more.packets,
            octets=meter.octets + more.bytes,
            band_packets=packets,
            band_bytes=octets,
        )
        self._map.update(_NUMBER(number), after.record(), _LOCKED)

    def go_on(self, before: Map) -> None:
        """From what an earlier process's have come to, now that nothing comes to these.  Raises BpfError."""
        heirs, self._heirs = self._heirs, {}
        if not heirs:
            return
        left = {one.name: one for one in map(_meter, _split(before.range(0, before.entries))) if one.name}
        for number, base in heirs.items():
            meter = self._look(number)
            old = left.get(meter.name)
            if old is None or old.rate != meter.rate or old.packets < base.packets:
                continue
            had = [*base.bands, *[(0, 0)] * _BANDS]
            bands = zip(old.band_packets, old.band_bytes, had, strict=False)
            more = MeterStatistics(
                old.packets - base.packets,
                old.octets - base.bytes,
                tuple((count - packets, length - octets) for count, length, (packets, octets) in bands),
            )
            self._add(number, meter._replace(filling=old.filling, used=old.used), more)

    def _look(self, number: int) -> _Meter:
        return _meter(self._map.lookup(_NUMBER(number)) or bytes(_RECORD.size))

    def statistics(self, number: int) -> MeterStatistics:
        if number not in self._inside:
            return super().statistics(number)
        meter = self._look(number)
        bands = zip(meter.band_packets, meter.band_bytes, strict=True)
        return MeterStatistics(meter.packets, meter.octets, tuple(bands)[: meter.bands])

    def admit(self, number: int, size: int, now: float) -> bool:
        """The same as the program's (meter.h), for a packet that this process forwards.

        Between looking and writing a packet may pass in the kernel, and is then not counted: what goes this
        way is little.
        """
        if number not in self._inside:
            return super().admit(number, size, now)
        meter = self._look(number)
        time = int(now * _MILLISECONDS)
        passed = max(time - meter.used, 0)
        volume = 1000 if meter.by_packets else size * 8
        exceeded: int | None = None
        for band in range(meter.bands):
            filling = min(meter.filling[band] + passed * meter.rate[band], meter.size[band])
            if filling >= volume:
                filling -= volume
            elif exceeded is None or meter.rate[band] > meter.rate[exceeded]:
                exceeded = band
            meter.filling[band] = filling
        if exceeded is not None:
            meter.band_packets[exceeded] += 1
            meter.band_bytes[exceeded] += size
        after = meter._replace(
            used=max(time, meter.used), packets=meter.packets + 1, octets=meter.octets + size
        )
        self._map.update(_NUMBER(number), after.record(), _LOCKED)
        return exceeded is None
