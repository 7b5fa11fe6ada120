"""Meters (OpenFlow 1.3): their messages as records, on the wire, and as text.

A meter measures the packets sent through it and has bands; the band with the highest rate below what is
measured drops packets or marks them.  Numbers above METER_MAX are virtual meters: of what goes to
controllers, and of what takes the slow path.  (OpenFlow 1.3.5, section 7.3.4.4.)
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.style import Style, duration_text, flags_text
from trunkline.openflow.wire import DecodeError, Envelope, Protocol

METER_MAX: Final = 0xFFFF0000
METER_SLOWPATH: Final = 0xFFFFFFFD
METER_CONTROLLER: Final = 0xFFFFFFFE
METER_ALL: Final = 0xFFFFFFFF
OFPMC_ADD, OFPMC_MODIFY, OFPMC_DELETE = range(3)
COMMAND_NAMES: Final = ("ADD", "MOD", "DEL")
OFPMF_KBPS: Final = 1 << 0
OFPMF_PKTPS: Final = 1 << 1
OFPMF_BURST: Final = 1 << 2
OFPMF_STATS: Final = 1 << 3
FLAG_NAMES: Final = (
    (OFPMF_KBPS, "kbps"),
    (OFPMF_PKTPS, "pktps"),
    (OFPMF_BURST, "burst"),
    (OFPMF_STATS, "stats"),
)
OFPMBT_DROP: Final = 1
OFPMBT_DSCP_REMARK: Final = 2
BAND_NAMES: Final = {OFPMBT_DROP: "drop", OFPMBT_DSCP_REMARK: "dscp_remark"}


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


# ---- bands ----

_BAND: Final = Struct("!HHIIB3x")


def _decode_bands(data: bytes) -> tuple[Band, ...]:
    bands = []
    for at in range(0, len(data), _BAND.size):
        if len(data) - at < _BAND.size:
            raise DecodeError("OFPBRC_BAD_LEN")
        kind, length, rate, burst, precedence = _BAND.unpack_from(data, at)
        if length != _BAND.size:
            raise DecodeError("OFPBRC_BAD_LEN")
        if kind not in BAND_NAMES:
            raise DecodeError("OFPMMFC_BAD_BAND", f"band of type {kind}")
        bands.append(Band(kind, rate, burst, precedence if kind == OFPMBT_DSCP_REMARK else 0))
    return tuple(bands)


def _encode_bands(bands: tuple[Band, ...]) -> bytes:
    return b"".join(_BAND.pack(band.type, _BAND.size, *band[1:]) for band in bands)


def meter_text(meter: int) -> str:
    if meter > METER_MAX:
        names = {METER_ALL: "all", METER_CONTROLLER: "controller", METER_SLOWPATH: "slowpath"}
        return names.get(meter, "unknown")
    return str(meter)


def config_text(meter: int, flags: int, bands: tuple[Band, ...]) -> str:
    """A meter as it is shown and read: number, flags, and a line for each band."""
    words = [name for bit, name in FLAG_NAMES if flags & bit]
    unknown = flags & ~0xF
    if unknown:
        words.append(f"flags:0x{unknown:x}")
    text = f"meter={meter_text(meter)} {''.join(word + ' ' for word in words)}bands="
    for band in bands:
        text += f"\ntype={BAND_NAMES[band.type]} rate={band.rate}"
        if flags & OFPMF_BURST:
            text += f" burst_size={band.burst}"
        if band.type == OFPMBT_DSCP_REMARK:
            text += f" prec_level={band.precedence}"
    return text + "\n"


# ---- meter-mod ----

_MOD: Final = Struct("!HHI")


def _decode_mod(envelope: Envelope) -> MeterMod:
    command, flags, meter = _MOD.unpack_from(envelope.body)
    if command >= len(COMMAND_NAMES):
        raise DecodeError("OFPMMFC_BAD_COMMAND")
    if command == OFPMC_DELETE:
        return MeterMod(command, meter)
    if flags & OFPMF_KBPS and flags & OFPMF_PKTPS:
        raise DecodeError("OFPMMFC_BAD_FLAGS")
    return MeterMod(command, meter, flags, _decode_bands(envelope.body[_MOD.size :]))


def _encode_mod(protocol: Protocol, mod: MeterMod) -> Encoded:
    return "OFPT_METER_MOD", _MOD.pack(mod.command, mod.flags, mod.meter) + _encode_bands(mod.bands)


def _text_mod(mod: MeterMod, version: int, style: Style) -> str:
    return f" {COMMAND_NAMES[mod.command]} {config_text(mod.meter, mod.flags, mod.bands)}"


# ---- requests ----

_NUMBER: Final = Struct("!I4x")


def _number(envelope: Envelope) -> int:
    return int(_NUMBER.unpack(envelope.body)[0])


def _text_request(request: MeterStatsRequest | MeterConfigRequest, version: int, style: Style) -> str:
    return f" meter={meter_text(request.meter)}"


# ---- statistics ----

_STATS: Final = Struct("!IH6xIQQII")
_BAND_STATS: Final = Struct("!QQ")


def _read_stats(body: bytes, at: int, version: int) -> tuple[MeterStats, int]:
    if len(body) - at < _STATS.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    meter, length, flows, packets, octets, seconds, nanoseconds = _STATS.unpack_from(body, at)
    end = at + length
    if length < _STATS.size or end > len(body) or (length - _STATS.size) % _BAND_STATS.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    bands = tuple(_BAND_STATS.unpack_from(body, one) for one in range(at + _STATS.size, end, 16))
    return MeterStats(meter, flows, packets, octets, seconds * 10**9 + nanoseconds, bands), end


def _encode_stats(stats: MeterStats) -> bytes:
    seconds, nanoseconds = divmod(stats.duration, 10**9)
    length = _STATS.size + _BAND_STATS.size * len(stats.bands)
    counters = (stats.flows, stats.packets, stats.bytes, seconds, nanoseconds)
    return _STATS.pack(stats.meter, length, *counters) + b"".join(
        _BAND_STATS.pack(*band) for band in stats.bands
    )


def _text_stats(reply: MeterStatsReply, version: int, style: Style) -> str:
    blocks = []
    for stats in reply.meters:
        text = (
            f"\nmeter:{meter_text(stats.meter)} flow_count:{stats.flows} packet_in_count:{stats.packets} "
            f"byte_in_count:{stats.bytes} duration:{duration_text(stats.duration)} bands:\n"
        )
        for number, (packets, octets) in enumerate(stats.bands):
            text += f"{number}: packet_count:{packets} byte_count:{octets}\n"
        blocks.append(text)
    return "".join(blocks)


# ---- configuration ----

_CONFIG: Final = Struct("!HHI")


def _read_config(body: bytes, at: int, version: int) -> tuple[MeterConfig, int]:
    if len(body) - at < _CONFIG.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    length, flags, meter = _CONFIG.unpack_from(body, at)
    end = at + length
    if length < _CONFIG.size or end > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    return MeterConfig(meter, flags, _decode_bands(body[at + _CONFIG.size : end])), end


def _encode_config(config: MeterConfig) -> bytes:
    bands = _encode_bands(config.bands)
    return _CONFIG.pack(_CONFIG.size + len(bands), config.flags, config.meter) + bands


def _text_config(reply: MeterConfigReply, version: int, style: Style) -> str:
    return "".join("\n" + config_text(*config) for config in reply.meters)


# ---- features ----

_FEATURES: Final = Struct("!IIIBBxx")
_BAND_BITS: Final = tuple((1 << number, name) for number, name in BAND_NAMES.items())


def _text_features(reply: MeterFeaturesReply, version: int, style: Style) -> str:
    return (
        f"\nmax_meter:{reply.max_meters} max_bands:{reply.max_bands} max_color:{reply.max_color}\n"
        f"band_types: {flags_text(_BAND_BITS, reply.band_types)}\n"
        f"capabilities: {flags_text(FLAG_NAMES, reply.capabilities)}\n"
    )


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "METER_MOD": _decode_mod,
    "METER request": lambda e: MeterStatsRequest(_number(e)),
    "METER reply": lambda e: read_entries(e, _read_stats, lambda meters: MeterStatsReply(meters, e.more)),
    "METER_CONFIG request": lambda e: MeterConfigRequest(_number(e)),
    "METER_CONFIG reply": lambda e: read_entries(
        e, _read_config, lambda meters: MeterConfigReply(meters, e.more)
    ),
    "METER_FEATURES request": lambda e: MeterFeaturesRequest(),
    "METER_FEATURES reply": lambda e: MeterFeaturesReply(*_FEATURES.unpack(e.body)),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    MeterMod: _encode_mod,
    MeterStatsRequest: lambda p, x: ("OFPST_METER request", _NUMBER.pack(x.meter)),
    MeterConfigRequest: lambda p, x: ("OFPST_METER_CONFIG request", _NUMBER.pack(x.meter)),
    MeterFeaturesRequest: lambda p, x: ("OFPST_METER_FEATURES request", b""),
    MeterFeaturesReply: lambda p, x: ("OFPST_METER_FEATURES reply", _FEATURES.pack(*x)),
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    MeterStatsReply: lambda p, x: ("OFPST_METER reply", [_encode_stats(meter) for meter in x.meters]),
    MeterConfigReply: lambda p, x: (
        "OFPST_METER_CONFIG reply",
        [_encode_config(meter) for meter in x.meters],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    MeterMod: _text_mod,
    MeterStatsRequest: _text_request,
    MeterStatsReply: _text_stats,
    MeterConfigRequest: _text_request,
    MeterConfigReply: _text_config,
    MeterFeaturesRequest: lambda x, v, s: "",
    MeterFeaturesReply: _text_features,
}
