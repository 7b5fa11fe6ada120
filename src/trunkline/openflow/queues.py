"""The messages about queues: their statistics, and what they are set up to do."""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.control import Encoded
from trunkline.openflow.style import Style, counter_text, duration_text, port_text
from trunkline.openflow.wire import DecodeError, EncodeError, Envelope, Protocol, port_from_wire, port_to_wire

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


def _decode_queue_stats(envelope: Envelope) -> m.QueueStatsReply:
    version, body, position = envelope.version, envelope.body, 0
    layout = {1: _QUEUE10, 2: _QUEUE11, 3: _QUEUE11, 4: _QUEUE13}.get(version, _QUEUE14)
    queues = []
    while position < len(body):
        if len(body) - position < layout.size:
            raise DecodeError("OFPBRC_BAD_LEN")
        values = list(layout.unpack_from(body, position))
        size = layout.size
        if version >= 5:
            size = values.pop(0)
            if size < layout.size or position + size > len(body):
                raise DecodeError("OFPBRC_BAD_LEN")
        position += size
        port, queue, octets, packets, errors, *duration = values
        known = None if not duration or duration[0] == 0xFFFFFFFF else duration[0] * 10**9 + duration[1]
        counters = (None if value == _UNKNOWN else value for value in (octets, packets, errors))
        queues.append(m.QueueStats(port if version == 1 else port_from_wire(port), queue, *counters, known))  # type: ignore[call-arg]
    return m.QueueStatsReply(tuple(queues), envelope.more)


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
    port = "ALL" if request.port == of.OFPP_ANY and version == 1 else port_text(request.port, style)
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


def _encode_config_reply(protocol: Protocol, reply: m.QueueConfigReply) -> tuple[str, list[bytes]]:
    """Queues without rates, as all are while there is no quality of service."""
    version = protocol.version
    entries = []
    for queue in reply.queues:
        if queue.min_rate is not None or queue.max_rate is not None:
            raise EncodeError("rates of queues are not implemented yet")
        if version < 3:
            entries.append(_ENTRY10.pack(queue.queue, _ENTRY10.size))
        elif version < 5:
            entries.append(_ENTRY12.pack(queue.queue, port_to_wire(queue.port), _ENTRY12.size))
        else:
            entries.append(_ENTRY12.pack(port_to_wire(queue.port), queue.queue, _ENTRY12.size))
    if version >= 5:
        return "OFPST_QUEUE_DESC reply", entries
    head = _CONFIG10.pack(reply.port) if version == 1 else _CONFIG11.pack(port_to_wire(reply.port))
    return "OFPT_QUEUE_GET_CONFIG_REPLY", [head + b"".join(entries)]


DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPST_QUEUE request": _decode_queue_request,
    "OFPST_QUEUE reply": _decode_queue_stats,
    "OFPT_QUEUE_GET_CONFIG_REQUEST": _decode_config_request,
    "OFPST_QUEUE_DESC request": _decode_config_request,
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.QueueStatsRequest: _encode_queue_request,
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
}
