"""Meters (OpenFlow 1.3): their messages as records, on the wire, and as text.

A meter measures the packets sent through it and has bands; the band with the highest rate below what is measured
drops packets or marks them.
"""

from typing import NamedTuple

METER_MAX = 0xFFFF0000
METER_SLOWPATH = 0xFFFFFFFD
METER_CONTROLLER = 0xFFFFFFFE
METER_ALL = 0xFFFFFFFF


class Band(NamedTuple):
    """`type` is OFPMBT_*.  `rate` in kb/s or packets/s as the meter's flags say, `burst` in kb or packets."""

    type: int
    rate: int
    burst: int = 0
    precedence: int = 0  # of DSCP remark: by how much the drop precedence goes up


class MeterMod(NamedTuple):
    """`command` is OFPMC_*, `flags` are OFPMF_* bits."""

    command: int
    meter: int
    flags: int = 0
    bands: tuple[Band, ...] = ()


class MeterStatsRequest(NamedTuple):
    meter: int = METER_ALL


class MeterStats(NamedTuple):
    """`bands` holds (packets, bytes) of each; `duration` in nanoseconds."""

    meter: int
    flows: int
    packets: int
    bytes: int
    duration: int
    bands: tuple[tuple[int, int], ...] = ()


class MeterStatsReply(NamedTuple):
    meters: tuple[MeterStats, ...]
    more: bool = False


class MeterConfigRequest(NamedTuple):
    meter: int = METER_ALL


class MeterConfig(NamedTuple):
    meter: int
    flags: int
    bands: tuple[Band, ...]


class MeterConfigReply(NamedTuple):
    meters: tuple[MeterConfig, ...]
    more: bool = False


class MeterFeaturesRequest(NamedTuple):
    pass


class MeterFeaturesReply(NamedTuple):
    """`band_types` has bit n for OFPMBT n, `capabilities` are OFPMF_* bits."""

    max_meters: int
    band_types: int
    capabilities: int
    max_bands: int
    max_color: int
