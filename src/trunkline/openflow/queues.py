"""The messages about queues: their statistics, and what they are set up to do."""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.properties import pack_property, properties
from trunkline.openflow.style import Style, counter_text, duration_text, port_text
from trunkline.openflow.wire import DecodeError, Envelope, Protocol, port_from_wire, port_to_wire

_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF

# ---- statistics ----

_QUEUE10: Final = Struct("!H2xIQQQ")
_QUEUE11: Final = Struct("!IIQQQ")
_QUEUE13: Final = Struct("!IIQQQII")
_QUEUE14: Final = Struct("!H6xIIQQQII")
_QUEUE_REQUEST10: Final = Struct("!H2xI")
_QUEUE_REQUEST11: Final = Struct("!II")


def _decode_queue_request(envelope: Envelope) -> m.QueueStatsRequest:
    if envelope.version == 1:
        port, queue = _QUEUE_REQUEST10.unpack(envelope.body)
        return m.QueueStatsRequest(0xFFFF if port == of.OFPP_ALL else port, queue)
    port, queue = _QUEUE_REQUEST11.unpack(envelope.body)
    return m.QueueStatsRequest(port_from_wire(port), queue)


def _encode_queue_request(protocol: Protocol, request: m.QueueStatsRequest) -> Encoded:
    if protocol.version == 1:
        port = of.OFPP_ALL if request.port == of.OFPP_ANY else request.port
        return "OFPST_QUEUE request", _QUEUE_REQUEST10.pack(port, request.queue)
    return "OFPST_QUEUE request", _QUEUE_REQUEST11.pack(port_to_wire(request.port), request.queue)


def _read_queue_stats(body: bytes, position: int, version: int) -> tuple[m.QueueStats, int]:
    layout = {1: _QUEUE10, 2: _QUEUE11, 3: _QUEUE11, 4: _QUEUE13}.get(version, _QUEUE14)
    if len(body) - position < layout.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    values = list(layout.unpack_from(body, position))
    size = layout.size
    if version >= 5:
        size = values.pop(0)
        if size < layout.size or position + size > len(body):
            raise DecodeError("OFPBRC_BAD_LEN")
    port, queue, octets, packets, errors, *duration = values
    known = None if not duration or duration[0] == 0xFFFFFFFF else duration[0] * 10**9 + duration[1]
    counters = (None if value == _UNKNOWN else value for value in (octets, packets, errors))
    number = port if version == 1 else port_from_wire(port)
    return m.QueueStats(number, queue, *counters, known), position + size  # type: ignore[call-arg]


def _decode_queue_stats(envelope: Envelope) -> m.QueueStatsReply:
    return read_entries(envelope, _read_queue_stats, lambda queues: m.QueueStatsReply(queues, envelope.more))


def encode_queue_stats(version: int, q: m.QueueStats) -> bytes:
    counters = [_UNKNOWN if value is None else value for value in (q.tx_bytes, q.tx_packets, q.tx_errors)]
    if version == 1:
        return _QUEUE10.pack(q.port, q.queue, *counters)
    port = port_to_wire(q.port)
    if version < 4:
        return _QUEUE11.pack(port, q.queue, *counters)
    duration = (0xFFFFFFFF, 0xFFFFFFFF) if q.duration is None else divmod(q.duration, 10**9)
    if version == 4:
        return _QUEUE13.pack(port, q.queue, *counters, *duration)
    return _QUEUE14.pack(_QUEUE14.size, port, q.queue, *counters, *duration)


def _text_queue_request(request: m.QueueStatsRequest, version: int, style: Style) -> str:
    port = port_text(request.port, style)
    queue = "ALL" if request.queue == of.OFPQ_ALL else str(request.queue)
    return f" port={port} queue={queue}"


def _text_queue_stats(message: m.QueueStatsReply, version: int, style: Style) -> str:
    text = f" {len(message.queues)} queues\n"
    if style.verbosity < 1:
        return text
    for q in message.queues:
        queue = "ALL" if q.queue == of.OFPQ_ALL else str(q.queue)
        duration = "?" if q.duration is None else duration_text(q.duration)
        text += (
            f"  port {port_text(q.port, style)} queue {queue}: bytes={counter_text(q.tx_bytes)}, "
            f"pkts={counter_text(q.tx_packets)}, errors={counter_text(q.tx_errors)}, duration={duration}\n"
        )
    return text


# ---- configuration ----

_CONFIG10: Final = Struct("!H6x")
_CONFIG11: Final = Struct("!I4x")
_ENTRY10: Final = Struct("!IH2x")
_ENTRY12: Final = Struct("!IIH6x")


def _decode_config_request(envelope: Envelope) -> m.QueueConfigRequest:
    body = envelope.body
    if envelope.version == 1:
        port = int.from_bytes(body[:2], "big")
        if port >= of.OFPP_MAX:
            raise DecodeError("OFPQOFC_BAD_PORT")
        return m.QueueConfigRequest(port)
    port = port_from_wire(int.from_bytes(body[:4], "big"))
    if envelope.version < 5:
        if of.OFPP_MAX <= port != of.OFPP_ANY:
            raise DecodeError("OFPQOFC_BAD_PORT")
        return m.QueueConfigRequest(port)
    return m.QueueConfigRequest(port, int.from_bytes(body[4:8], "big"))


def _text_config_request(request: m.QueueConfigRequest, version: int, style: Style) -> str:
    queue = "" if request.queue == of.OFPQ_ALL else f" queue={request.queue}"
    return f" port={port_text(request.port, style)}{queue}"


def _encode_config_request(protocol: Protocol, request: m.QueueConfigRequest) -> Encoded:
    if protocol.version == 1:
        return "OFPT_QUEUE_GET_CONFIG_REQUEST", request.port.to_bytes(2, "big") + bytes(2)
    port = port_to_wire(request.port).to_bytes(4, "big")
    if protocol.version < 5:
        return "OFPT_QUEUE_GET_CONFIG_REQUEST", port + bytes(4)
    return "OFPST_QUEUE_DESC request", port + request.queue.to_bytes(4, "big")


_RATE10: Final = Struct("!HH4xH6x")
_RATE14: Final = Struct("!H2x")
_RATE_HEADER: Final = Struct("!HH")
_MIN_RATE, _MAX_RATE = 1, 2
_NO_RATE: Final = 0xFFFF
_MOST_RATE: Final = 1000  # tenths of a percent; more means: disabled


def _rates(found: dict[int, int]) -> tuple[int | None, int | None]:
    minimum, maximum = found.get(_MIN_RATE, _NO_RATE), found.get(_MAX_RATE, _NO_RATE)
    return None if minimum == _NO_RATE else minimum, None if maximum == _NO_RATE else maximum


def _decode_config(envelope: Envelope) -> m.QueueConfigReply:
    version, body = envelope.version, envelope.body
    head = _CONFIG10.unpack_from(body)[0] if version == 1 else _CONFIG11.unpack_from(body)[0]
    port = head if version == 1 or len(body) == _CONFIG10.size else port_from_wire(head)

    def read(data: bytes, at: int, version: int) -> tuple[m.QueueConfig, int]:
        layout = _ENTRY10 if version < 3 else _ENTRY12
        if len(data) - at < layout.size:
            raise DecodeError("OFPBRC_BAD_LEN")
        queue, *_, length = layout.unpack_from(data, at)
        end, at = at + length, at + layout.size
        if length < layout.size or end > len(data):
            raise DecodeError("OFPBRC_BAD_LEN")
        found: dict[int, int] = {}
        while at < end:
            if end - at < 8:
                raise DecodeError("OFPBRC_BAD_LEN")
            kind, size = _RATE_HEADER.unpack_from(data, at)
            if size < 8 or at + size > end:
                raise DecodeError("OFPBRC_BAD_LEN")
            if kind in (_MIN_RATE, _MAX_RATE):
                if size < _RATE10.size:
                    raise DecodeError("OFPBRC_BAD_LEN")
                found[kind] = _RATE10.unpack_from(data, at)[2]
            at += size
        return m.QueueConfig(port, queue, *_rates(found)), end

    return read_entries(envelope, read, lambda queues: m.QueueConfigReply(port, queues), start=8)


def _read_description(body: bytes, at: int, version: int) -> tuple[m.QueueConfig, int]:
    if len(body) - at < _ENTRY12.size:
        raise DecodeError("OFPBRC_BAD_LEN")
    port, queue, length = _ENTRY12.unpack_from(body, at)
    end, number_of = at + length, port_from_wire(port)
    if length < _ENTRY12.size or end > len(body):
        raise DecodeError("OFPBRC_BAD_LEN")
    found = {
        kind: int.from_bytes(value[:2], "big")
        for kind, value in properties(body, at + _ENTRY12.size, end)
        if kind in (_MIN_RATE, _MAX_RATE)
    }
    return m.QueueConfig(number_of, queue, *_rates(found)), end


def _encode_config_reply(protocol: Protocol, reply: m.QueueConfigReply) -> tuple[str, list[bytes]]:
    version = protocol.version
    entries = []
    for queue in reply.queues:
        rates = ((_MIN_RATE, queue.min_rate), (_MAX_RATE, queue.max_rate))
        if version >= 5:
            tail = b"".join(
                pack_property(kind, _RATE14.pack(rate)) for kind, rate in rates if rate is not None
            )
        else:
            tail = b"".join(_RATE10.pack(kind, 16, rate) for kind, rate in rates if rate is not None)
        if version < 3:
            entries.append(_ENTRY10.pack(queue.queue, _ENTRY10.size + len(tail)) + tail)
            continue
        length, port = _ENTRY12.size + len(tail), port_to_wire(queue.port)
        names = (queue.queue, port) if version < 5 else (port, queue.queue)
        entries.append(_ENTRY12.pack(*names, length) + tail)
    if version >= 5:
        return "OFPST_QUEUE_DESC reply", entries
    head = _CONFIG10.pack(reply.port) if version == 1 else _CONFIG11.pack(port_to_wire(reply.port))
    return "OFPT_QUEUE_GET_CONFIG_REPLY", [head + b"".join(entries)]


def _text_config(reply: m.QueueConfigReply, version: int, style: Style) -> str:
    """The port once for all its queues, which come by number."""
    text, shown = "", 0
    for queue in sorted(reply.queues, key=lambda q: (q.port, q.queue)):
        if queue.port != shown:
            text += f"{' ' if not text else ''}port={port_text(queue.port, style)}\n"
            shown = queue.port
        text += (
            f"queue {queue.queue}:{_rate_text('min', queue.min_rate)}{_rate_text('max', queue.max_rate)}\n"
        )
    return text


def _rate_text(side: str, rate: int | None) -> str:
    if rate is None:
        return ""
    return f" {side}_rate:" + (f"{rate // 10}.{rate % 10}%" if rate <= _MOST_RATE else "(disabled)")


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPST_QUEUE request": _decode_queue_request,
    "OFPST_QUEUE reply": _decode_queue_stats,
    "OFPT_QUEUE_GET_CONFIG_REQUEST": _decode_config_request,
    "OFPST_QUEUE_DESC request": _decode_config_request,
    "OFPT_QUEUE_GET_CONFIG_REPLY": _decode_config,
    "OFPST_QUEUE_DESC reply": lambda e: read_entries(
        e, _read_description, lambda queues: m.QueueConfigReply(of.OFPP_ANY, queues, e.more)
    ),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.QueueStatsRequest: _encode_queue_request,
    m.QueueConfigRequest: _encode_config_request,
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    m.QueueStatsReply: lambda p, x: (
        "OFPST_QUEUE reply",
        [encode_queue_stats(p.version, queue) for queue in x.queues],
    ),
    m.QueueConfigReply: _encode_config_reply,
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.QueueStatsRequest: _text_queue_request,
    m.QueueStatsReply: _text_queue_stats,
    m.QueueConfigRequest: _text_config_request,
    m.QueueConfigReply: _text_config,
}
