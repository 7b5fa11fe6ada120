"""Meters as the switch holds them: how much may pass, and what has passed.

A meter's bands measure as token buckets do.  The datapath keeps the buckets (sim/meters.py); here is what
meter-mods say and what statistics tell.  Source: OpenFlow 1.3.5 section 5.7.
"""

from typing import Final

from trunkline.openflow.meters import (
    METER_CONTROLLER,
    METER_MAX,
    METER_SLOWPATH,
    OFPMF_BURST,
    OFPMF_KBPS,
    OFPMF_PKTPS,
    OFPMF_STATS,
    Band,
)

MAX_METERS: Final = 200_000
MAX_BANDS: Final = 8
FLAGS: Final = OFPMF_KBPS | OFPMF_PKTPS | OFPMF_BURST | OFPMF_STATS


class BandCounters:
    """What a band has dropped."""

    __slots__ = ("bytes", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0


class Meter:
    """A meter; `datapath_id` is its number in the datapath, where those of all bridges are."""

    __slots__ = ("bands", "bytes", "created", "datapath_id", "flags", "id", "of_bands", "packets")

    def __init__(self, id: int, flags: int, bands: tuple[Band, ...], now: float, datapath_id: int) -> None:
        self.id = id
        self.flags = flags
        self.bands = bands
        self.created = now
        self.datapath_id = datapath_id
        self.packets = 0
        self.bytes = 0
        self.of_bands = [BandCounters() for _ in bands]


def is_number(meter: int) -> bool:
    """Whether a meter can have this number: an ordinary one, or one of the virtual meters."""
    return 0 < meter <= METER_MAX or meter in (METER_CONTROLLER, METER_SLOWPATH)
