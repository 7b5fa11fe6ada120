"""The messages about ports: features replies (which carry them in 1.0 to 1.2), descriptions, status,
changes and statistics.

Three layouts of a port exist: 48 bytes in 1.0, 64 in 1.1 to 1.3, and from 1.4 on a header with properties,
of which property 0 holds what an Ethernet port has.  Statistics changed likewise: 104 bytes to 1.2, with a
duration 112 in 1.3, properties since.
"""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.properties import experimental, pack_property, properties
from trunkline.openflow.style import Style, counter_text, duration_text, flags_text, mac_text, port_text
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, port_from_wire, port_to_wire

_PORT10: Final = Struct("!H6s16sIIIIII")
_PORT11: Final = Struct("!I4x6s2x16sIIIIIIII")
_PORT14: Final = Struct("!IH2x6s2x16sII")
_ETHERNET: Final = Struct("!HH4xIIIIII")
_PROPERTY: Final = Struct("!HH")
_FEATURES: Final = Struct("!QIBB2xII")
_PORT_MOD10: Final = Struct("!H6sIII4x")
_PORT_MOD11: Final = Struct("!I4x6s2xIII4x")
_PORT_MOD14: Final = Struct("!I4x6s2xII")
_PORT_MOD_ETHERNET: Final = Struct("!HHI")
_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF

# ---- bits: 1.0 numbers features from COPPER on five lower ----


def features_from_10(bits: int) -> int:
    return bits & 0x7F | (bits & 0xF80) << 4


def features_to_10(bits: int) -> int:
    return bits & 0x7F | (bits & 0xF800) >> 4


def speed_of(features: int) -> int:
    """kbps of the fastest rate that `features` name, 0 without any."""
    for bits, speed in of.PORT_FEATURE_SPEEDS:
        if features & bits:
            return speed
    return 0


def _name(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _raw_name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")[:15]


# ---- one port ----


def decode_port(version: int, body: bytes, position: int) -> tuple[m.Port, int]:
    """The port at `position` and where the next one starts.  Raises DecodeError."""
    if version == 1:
        number, mac, name, config, state, current, advertised, supported, peer = _PORT10.unpack_from(
            body, position
        )
        current, supported = features_from_10(current), features_from_10(supported)
        port = m.Port(
            number,
            _name(name),
            int.from_bytes(mac, "big"),
            config & of.OFPPC10_ALL,
            state & (of.OFPPS_LINK_DOWN | of.OFPPS_STP_MASK),
            current,
            features_from_10(advertised),
            supported,
            features_from_10(peer),
            speed_of(current),
            speed_of(supported),
        )
        return port, position + _PORT10.size
    if version < 5:
        number, mac, name, config, state, *features = _PORT11.unpack_from(body, position)
        return _port11(number, mac, name, config, state, features), position + _PORT11.size
    if len(body) - position < _PORT14.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    number, length, mac, name, config, state = _PORT14.unpack_from(body, position)
    if length < _PORT14.size or position + length > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    features = [0] * 6
    at, end = position + _PORT14.size, position + length
    while at < end:
        kind, size = property_header(body, at, end)
        if kind == 0:
            if size != _ETHERNET.size:
                raise DecodeError("OFPBPC_BAD_LEN")
            features = list(_ETHERNET.unpack_from(body, at)[2:])
        at += (size + 7) // 8 * 8
    return _port11(number, mac, name, config, state, features), end


def property_header(body: bytes, at: int, end: int) -> tuple[int, int]:
    """Type and length of the property at `at`; raises DecodeError when it does not fit before `end`."""
    if end - at < 4:
        raise DecodeError("OFPBPC_BAD_LEN")
    kind, size = _PROPERTY.unpack_from(body, at)
    if size < 4 or at + (size + 7) // 8 * 8 > end:
        raise DecodeError("OFPBPC_BAD_LEN")
    return kind, size


def _port11(number: int, mac: bytes, name: bytes, config: int, state: int, features: list[int]) -> m.Port:
    return m.Port(
        port_from_wire(number),
        _name(name),
        int.from_bytes(mac, "big"),
        config & of.OFPPC11_ALL,
        state & 7,
        *(bits & 0xFFFF for bits in features[:4]),
        *features[4:],
    )


def encode_port(version: int, port: m.Port) -> bytes:
    mac, name = port.hardware_address.to_bytes(6, "big"), _raw_name(port.name)
    if version == 1:
        bits = [features_to_10(b) for b in (port.current, port.advertised, port.supported, port.peer)]
        state = port.state & (of.OFPPS_LINK_DOWN | of.OFPPS_STP_MASK)
        return _PORT10.pack(port.number, mac, name, port.config & of.OFPPC10_ALL, state, *bits)
    number, config, state = port_to_wire(port.number), port.config & of.OFPPC11_ALL, port.state & 7
    features = (
        port.current,
        port.advertised,
        port.supported,
        port.peer,
        port.current_speed,
        port.maximum_speed,
    )
    if version < 5:
        return _PORT11.pack(number, mac, name, config, state, *features)
    length = _PORT14.size + _ETHERNET.size
    return _PORT14.pack(number, length, mac, name, config, state) + _ETHERNET.pack(0, 32, *features)


def port_description_text(port: m.Port, style: Style) -> str:
    label = f"{port_text(port.number)}({port.name})"
    lines = [
        f" {label}: addr:{mac_text(port.hardware_address)}",
        f"     config:     {flags_text(of.PORT_CONFIG_NAMES, port.config)}",
        f"     state:      {_state_text(port.state)}",
    ]
    for title, bits in (
        ("current:    ", port.current),
        ("advertised: ", port.advertised),
        ("supported:  ", port.supported),
        ("peer:       ", port.peer),
    ):
        if bits:
            lines.append(f"     {title}{flags_text(of.PORT_FEATURE_NAMES, bits)}")
    now, most = port.current_speed // 1000, port.maximum_speed // 1000
    lines.append(f"     speed: {now} Mbps now, {most} Mbps max")
    return "\n".join(lines) + "\n"


def _state_text(state: int) -> str:
    words = flags_text(of.PORT_STATE_NAMES, state & ~of.OFPPS_STP_MASK, none="")
    stp = (state & of.OFPPS_STP_MASK) >> 8
    if stp:  # the original puts no space between the two
        return of.STP_STATE_NAMES[stp] + words
    return words or "0"


# ---- features reply, descriptions, status ----


def _decode_features(envelope: Envelope) -> m.FeaturesReply:
    version = envelope.version
    datapath_id, buffers, tables, auxiliary, bits, last = _FEATURES.unpack_from(envelope.body)
    known = _capabilities(version)
    capabilities = bits & known
    if version == 1 and bits & of.CAPABILITY_GROUP_STATS:
        capabilities = capabilities & ~of.CAPABILITY_GROUP_STATS | of.CAPABILITY_STP
    actions = last & 0xFFF if version == 1 else 0
    if version >= 4:
        return m.FeaturesReply(datapath_id, buffers, tables, capabilities, actions, auxiliary, None)
    return read_entries(
        envelope,
        lambda body, at, version: decode_port(version, body, at),
        lambda ports: m.FeaturesReply(datapath_id, buffers, tables, capabilities, actions, 0, ports),
        start=_FEATURES.size,
    )


def _capabilities(version: int) -> int:
    """Which capability bits a version has."""
    common = of.CAPABILITY_FLOW_STATS | of.CAPABILITY_TABLE_STATS | of.CAPABILITY_PORT_STATS
    common |= of.CAPABILITY_IP_REASM | of.CAPABILITY_QUEUE_STATS | of.CAPABILITY_GROUP_STATS
    if version <= 2:
        common |= of.CAPABILITY_ARP_MATCH_IP
    if version >= 3:
        common |= of.CAPABILITY_PORT_BLOCKED
    if version >= 5:
        common |= of.CAPABILITY_BUNDLES | of.CAPABILITY_FLOW_MONITORING
    return common


def _encode_features(protocol: Protocol, message: m.FeaturesReply) -> Encoded:
    version = protocol.version
    bits = message.capabilities & _capabilities(version)
    if version == 1:
        stp = of.CAPABILITY_GROUP_STATS if message.capabilities & of.CAPABILITY_STP else 0
        bits = bits & ~of.CAPABILITY_GROUP_STATS | stp
    auxiliary = message.auxiliary_id if version >= 4 else 0
    last = message.actions if version == 1 else 0
    body = _FEATURES.pack(message.datapath_id, message.buffers, message.tables, auxiliary, bits, last)
    if version < 4:
        for port in message.ports or ():
            if len(body) > 0xFFFF - 8 - 64:
                break  # 1.0 to 1.2 have no way to send more; a description request tells all
            body += encode_port(version, port)
    return "OFPT_FEATURES_REPLY", body


def _text_features(message: m.FeaturesReply, version: int, style: Style) -> str:
    auxiliary = f", auxiliary_id:{message.auxiliary_id}" if message.auxiliary_id else ""
    text = (
        f" dpid:{message.datapath_id:016x}\n"
        f"n_tables:{message.tables}, n_buffers:{message.buffers}{auxiliary}\n"
        f"capabilities: {flags_text(of.CAPABILITY_NAMES, message.capabilities)}\n"
    )
    if version == 1:
        words = [of.ACTION10_NAMES[bit] for bit in of.ACTION10_ORDER if message.actions >> bit & 1]
        text += f"actions: {' '.join(words) or '0'}\n"
    return text + _text_ports(message.ports or (), style)


def _text_ports(ports: tuple[m.Port, ...], style: Style) -> str:
    """Sorted by number, as the original shows every list of ports."""
    return "".join(port_description_text(port, style) for port in sorted(ports, key=lambda p: p.number))


def _decode_description_request(envelope: Envelope) -> m.PortDescriptionRequest:
    if envelope.version < 6:
        return m.PortDescriptionRequest()
    return m.PortDescriptionRequest(port_from_wire(int.from_bytes(envelope.body[:4], "big")))


def _encode_description_request(protocol: Protocol, message: m.PortDescriptionRequest) -> Encoded:
    body = b""
    if protocol.version >= 6:
        body = port_to_wire(message.port).to_bytes(4, "big") + bytes(4)
    return "OFPST_PORT_DESC request", body


def _text_description_request(message: m.PortDescriptionRequest, version: int, style: Style) -> str:
    return f" port={port_text(message.port, style)}"


def _decode_status(envelope: Envelope) -> m.PortStatus:
    reason = envelope.body[0]
    if reason not in of.PORT_REASON_NAMES:
        raise DecodeError("NXBRC_BAD_REASON")
    return m.PortStatus(reason, decode_port(envelope.version, envelope.body, 8)[0])


def _text_status(message: m.PortStatus, version: int, style: Style) -> str:
    return f" {of.PORT_REASON_NAMES[message.reason]}:{port_description_text(message.port, style)}"


# ---- changes ----


def _decode_port_mod(envelope: Envelope) -> m.PortMod:
    version, body = envelope.version, envelope.body
    if version == 1:
        port, mac, config, mask, advertised = _PORT_MOD10.unpack(body)
        address, advertised = int.from_bytes(mac, "big"), features_from_10(advertised)
        mask &= of.OFPPC10_ALL
        return m.PortMod(port, address, config & mask, mask, advertised)
    if version < 5:
        port, mac, config, mask, advertised = _PORT_MOD11.unpack(body)
    else:
        port, mac, config, mask = _PORT_MOD14.unpack_from(body)
        advertised, at = 0, _PORT_MOD14.size
        while at < len(body):
            kind, size = property_header(body, at, len(body))
            if kind != 0:
                raise DecodeError("OFPBPC_BAD_TYPE")
            if size != 8:
                raise DecodeError("OFPBPC_BAD_LEN")
            advertised = _PORT_MOD_ETHERNET.unpack_from(body, at)[2]
            at += 8
    mask &= of.OFPPC11_ALL
    address = int.from_bytes(mac, "big")
    return m.PortMod(port_from_wire(port), address, config & mask, mask, advertised & 0xFFFF)


def _encode_port_mod(protocol: Protocol, message: m.PortMod) -> Encoded:
    version, mac = protocol.version, message.hardware_address.to_bytes(6, "big")
    config, mask = message.config, message.mask
    if version == 1:
        advertised = features_to_10(message.advertised)
        return "OFPT_PORT_MOD", _PORT_MOD10.pack(message.port, mac, config, mask, advertised)
    port = port_to_wire(message.port)
    config, mask = config & of.OFPPC11_ALL, mask & of.OFPPC11_ALL
    if version < 5:
        return "OFPT_PORT_MOD", _PORT_MOD11.pack(port, mac, config, mask, message.advertised)
    body = _PORT_MOD14.pack(port, mac, config, mask)
    if message.advertised:
        body += _PORT_MOD_ETHERNET.pack(0, 8, message.advertised)
    return "OFPT_PORT_MOD", body


def _text_port_mod(message: m.PortMod, version: int, style: Style) -> str:
    advertised = flags_text(of.PORT_FEATURE_NAMES, message.advertised) if message.advertised else "UNCHANGED"
    return (
        f" port: {port_text(message.port, style)}: addr:{mac_text(message.hardware_address)}\n"
        f"     config: {flags_text(of.PORT_CONFIG_NAMES, message.config)}\n"
        f"     mask:   {flags_text(of.PORT_CONFIG_NAMES, message.mask)}\n"
        f"     advertise: {advertised}\n"
    )


# ---- statistics ----

_STATS_REQUEST10: Final = Struct("!H6x")
_STATS_REQUEST11: Final = Struct("!I4x")
_STATS10: Final = Struct("!H6x12Q")
_STATS11: Final = Struct("!I4x12Q")
_STATS13: Final = Struct("!I4x12QII")
_STATS14: Final = Struct("!H2xIII8Q")
_STATS_ETHERNET: Final = Struct("!4x4Q")
_STATS_RFC2819: Final = Struct("!4x21Q")
_RFC2819: Final = experimental(0xAA01, 1)  # Intel's
_CUSTOM: Final = experimental(0xAA01, 2)
# The counters of RFC 2819 in their order on the wire: first received, then sent, then what is left.
_SIZES: Final = (
    *("1_to_64", "65_to_127", "128_to_255", "256_to_511"),
    *("512_to_1023", "1024_to_1522", "1523_to_max"),
)
RFC2819_NAMES: Final = (
    *(f"rx {size}_packets" for size in _SIZES),
    *(f"tx {size}_packets" for size in _SIZES),
    *("tx multicast_packets", "rx broadcast_packets", "tx broadcast_packets"),
    *("rx undersized_errors", "rx oversize_errors", "rx rx_fragmented_errors", "rx rx_jabber_errors"),
)


def _decode_stats_request(envelope: Envelope) -> m.PortStatsRequest:
    if envelope.version == 1:
        return m.PortStatsRequest(_STATS_REQUEST10.unpack(envelope.body)[0])
    return m.PortStatsRequest(port_from_wire(_STATS_REQUEST11.unpack(envelope.body)[0]))


def _encode_stats_request(protocol: Protocol, message: m.PortStatsRequest) -> Encoded:
    if protocol.version == 1:
        return "OFPST_PORT request", _STATS_REQUEST10.pack(message.port)
    return "OFPST_PORT request", _STATS_REQUEST11.pack(port_to_wire(message.port))


def _counters(values: tuple[int, ...] | list[int]) -> Iterator[int | None]:
    return (None if value == _UNKNOWN else value for value in values)


def _decode_stats(envelope: Envelope) -> m.PortStatsReply:
    return read_entries(envelope, _read_stats, lambda ports: m.PortStatsReply(ports, envelope.more))


def _read_stats(body: bytes, position: int, version: int) -> tuple[m.PortStats, int]:
    if version >= 5:
        return _read_stats14(body, position)
    layout = _STATS10 if version == 1 else _STATS11 if version < 4 else _STATS13
    port, *rest = layout.unpack_from(body, position)
    duration = None
    if version == 4 and rest[12] != 0xFFFFFFFF:
        duration = rest[12] * 1_000_000_000 + rest[13]
    number = port if version == 1 else port_from_wire(port)
    return m.PortStats(number, *_counters(rest[:12]), duration), position + layout.size  # type: ignore[call-arg, arg-type]


def _read_stats14(body: bytes, position: int) -> tuple[m.PortStats, int]:
    if len(body) - position < _STATS14.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    length, port, seconds, nanoseconds, *rest = _STATS14.unpack_from(body, position)
    end = position + length
    if length < _STATS14.size or end > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    number = port_from_wire(port)
    ethernet: list[int] = [_UNKNOWN] * 4
    custom: tuple[tuple[str, int], ...] = ()
    more: tuple[int | None, ...] = ()
    for kind, value in properties(body, position + _STATS14.size, end):
        if kind == 0:
            if len(value) != _STATS_ETHERNET.size:
                raise DecodeError("OFPBPC_BAD_LEN")
            ethernet = list(_STATS_ETHERNET.unpack(value))
        elif kind == _RFC2819:
            if len(value) != _STATS_RFC2819.size:
                raise DecodeError("OFPBPC_BAD_LEN")
            more = tuple(_counters(_STATS_RFC2819.unpack(value)))
        elif kind == _CUSTOM:
            custom = _decode_custom(value)
    duration = None if seconds == 0xFFFFFFFF else seconds * 1_000_000_000 + nanoseconds
    stats = m.PortStats(number, *_counters(rest + ethernet), duration, custom, more)  # type: ignore[call-arg, arg-type]
    return stats, end


def _decode_custom(data: bytes) -> tuple[tuple[str, int], ...]:
    """A count in four bytes, then name length, name and value of each."""
    pairs, at = [], 4
    for _ in range(int.from_bytes(data[2:4], "big")):
        if at >= len(data):
            raise DecodeError("OFPBPC_BAD_LEN")
        size = data[at]
        name, value = data[at + 1 : at + 1 + size], data[at + 1 + size : at + 9 + size]
        if len(value) < 8:
            raise DecodeError("OFPBPC_BAD_LEN")
        number_of = int.from_bytes(value, "big")
        if number_of != _UNKNOWN:
            pairs.append((name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape"), number_of))
        at += 9 + size
    return tuple(pairs)


def encode_port_stats(version: int, stats: m.PortStats) -> bytes:
    values = [_UNKNOWN if value is None else value for value in stats[1:13]]
    if version == 1:
        return _STATS10.pack(stats.port, *values)
    port = port_to_wire(stats.port)
    if version < 4:
        return _STATS11.pack(port, *values)
    seconds, nanoseconds = (
        divmod(stats.duration, 1_000_000_000) if stats.duration is not None else (0xFFFFFFFF,) * 2
    )
    if version == 4:
        return _STATS13.pack(port, *values, seconds, nanoseconds)
    parts = pack_property(0, _STATS_ETHERNET.pack(*values[8:]))
    if stats.rfc2819:
        numbers = (_UNKNOWN if value is None else value for value in stats.rfc2819)
        parts += pack_property(_RFC2819, _STATS_RFC2819.pack(*numbers))
    if stats.custom:
        data = len(stats.custom).to_bytes(4, "big")
        for name, value in stats.custom:
            raw = name.encode("utf-8", "surrogateescape")[:255]
            data += bytes((len(raw),)) + raw + value.to_bytes(8, "big")
        parts += pack_property(_CUSTOM, data)
    length = _STATS14.size + len(parts)
    return _STATS14.pack(length, port, seconds, nanoseconds, *values[:8]) + parts


def _text_stats_request(message: m.PortStatsRequest, version: int, style: Style) -> str:
    return f" port_no={port_text(message.port, style)}"


def _text_stats(message: m.PortStatsReply, version: int, style: Style) -> str:
    text = f" {len(message.ports)} ports\n"
    return text if style.verbosity < 1 else text + "".join(_port_stats_text(x, style) for x in message.ports)


def _port_stats_text(stats: m.PortStats, style: Style) -> str:
    c = counter_text
    label = f"{' ' if stats.port < 10 else ''}{port_text(stats.port, style)}"
    text = (
        f"  port {label}: rx pkts={c(stats.rx_packets)}, bytes={c(stats.rx_bytes)}, "
        f"drop={c(stats.rx_dropped)}, errs={c(stats.rx_errors)}, frame={c(stats.rx_frame_errors)}, "
        f"over={c(stats.rx_over_errors)}, crc={c(stats.rx_crc_errors)}\n"
        f"           tx pkts={c(stats.tx_packets)}, bytes={c(stats.tx_bytes)}, drop={c(stats.tx_dropped)}, "
        f"errs={c(stats.tx_errors)}, coll={c(stats.collisions)}\n"
    )
    if stats.duration is not None:
        text += f"           duration={duration_text(stats.duration)}\n"
    for side in ("rx", "tx"):
        known = [
            f"{name[3:]}={value}, "
            for name, value in zip(RFC2819_NAMES, stats.rfc2819)
            if value is not None and name.startswith(side)
        ]
        if known:
            text += f"           {side} rfc2819 {''.join(known)}\n"
    if stats.custom:
        text += "           CUSTOM Statistics"
        for index, (name, value) in enumerate(stats.custom):
            text += f"{'' if index % 3 else chr(10) + ' ' * 21} {name}={value},"
        text += "\n"
    return text


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_FEATURES_REPLY": _decode_features,
    "OFPST_PORT_DESC request": _decode_description_request,
    "OFPST_PORT_DESC reply": lambda e: read_entries(
        e,
        lambda body, at, version: decode_port(version, body, at),
        lambda x: m.PortDescriptionReply(x, e.more),
    ),
    "OFPT_PORT_STATUS": _decode_status,
    "OFPT_PORT_MOD": _decode_port_mod,
    "OFPST_PORT request": _decode_stats_request,
    "OFPST_PORT reply": _decode_stats,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.FeaturesReply: _encode_features,
    m.PortDescriptionRequest: _encode_description_request,
    m.PortStatus: lambda p, x: (
        "OFPT_PORT_STATUS",
        bytes((x.reason, 0, 0, 0, 0, 0, 0, 0)) + encode_port(p.version, x.port),
    ),
    m.PortMod: _encode_port_mod,
    m.PortStatsRequest: _encode_stats_request,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    m.PortDescriptionReply: lambda p, x: (
        "OFPST_PORT_DESC reply",
        [encode_port(p.version, port) for port in x.ports],
    ),
    m.PortStatsReply: lambda p, x: (
        "OFPST_PORT reply",
        [encode_port_stats(p.version, stats) for stats in x.ports],
    ),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.FeaturesReply: _text_features,
    m.PortDescriptionRequest: _text_description_request,
    m.PortDescriptionReply: lambda x, v, s: "\n" + _text_ports(x.ports, s),
    m.PortStatus: _text_status,
    m.PortMod: _text_port_mod,
    m.PortStatsRequest: _text_stats_request,
    m.PortStatsReply: _text_stats,
}
