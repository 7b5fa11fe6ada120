"""Nicira's statistics of IPFIX: what exporters have sampled and sent, of a bridge or of collectors."""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.openflow.control import Encoded
from trunkline.openflow.entries import read_entries
from trunkline.openflow.style import Style, counter_text
from trunkline.openflow.wire import Envelope, Protocol


class IpfixBridgeRequest(NamedTuple):
    pass


class IpfixFlowRequest(NamedTuple):
    pass


class IpfixStats(NamedTuple):
    """Counters, None where unknown; `collector_set` names the set of collectors of flow-based sampling."""

    flows: int | None
    current_flows: int | None
    sampled: int | None
    ipv4: int | None
    ipv6: int | None
    errors: int | None
    ipv4_errors: int | None
    ipv6_errors: int | None
    sent: int | None
    send_errors: int | None
    collector_set: int = 0


class IpfixBridgeReply(NamedTuple):
    stats: IpfixStats


class IpfixFlowReply(NamedTuple):
    stats: tuple[IpfixStats, ...]
    more: bool = False


_STATS: Final = Struct("!10QI4x")
_UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF


def _read(body: bytes, at: int, version: int) -> tuple[IpfixStats, int]:
    *counters, collectors = _STATS.unpack_from(body, at)
    known = (None if value == _UNKNOWN else value for value in counters)
    return IpfixStats(*known, collectors), at + _STATS.size  # type: ignore[call-arg, arg-type]


def _pack(stats: IpfixStats) -> bytes:
    return _STATS.pack(*(_UNKNOWN if value is None else value for value in stats[:10]), stats.collector_set)


def _stats_text(title: str, stats: IpfixStats, indent: int) -> str:
    c = counter_text
    return (
        f"  {title}: flows={c(stats.flows)}, current flows={c(stats.current_flows)}, "
        f"sampled pkts={c(stats.sampled)}, ipv4 ok={c(stats.ipv4)}, ipv6 ok={c(stats.ipv6)}, "
        f"tx pkts={c(stats.sent)}\n{' ' * indent}pkts errs={c(stats.errors)}, "
        f"ipv4 errs={c(stats.ipv4_errors)}, ipv6 errs={c(stats.ipv6_errors)}, "
        f"tx errs={c(stats.send_errors)}\n"
    )


def _text_flows(reply: IpfixFlowReply, version: int, style: Style) -> str:
    blocks = [_stats_text(f"id {stats.collector_set:3d}", stats, 10) for stats in reply.stats]
    return f" {len(reply.stats)} ids\n" + "".join(blocks)


DECODE: Final[dict[str, Callable[[Envelope], Any]]] = {
    "IPFIX_BRIDGE request": lambda e: IpfixBridgeRequest(),
    "IPFIX_FLOW request": lambda e: IpfixFlowRequest(),
    "IPFIX_BRIDGE reply": lambda e: IpfixBridgeReply(_read(e.body, 0, e.version)[0]),
    "IPFIX_FLOW reply": lambda e: read_entries(e, _read, lambda stats: IpfixFlowReply(stats, e.more)),
}
ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    IpfixBridgeRequest: lambda p, x: ("NXST_IPFIX_BRIDGE request", b""),
    IpfixFlowRequest: lambda p, x: ("NXST_IPFIX_FLOW request", b""),
    IpfixBridgeReply: lambda p, x: ("NXST_IPFIX_BRIDGE reply", _pack(x.stats)),
}
ENCODE_PARTS: Final[dict[type, Callable[[Protocol, Any], tuple[str, list[bytes]]]]] = {
    IpfixFlowReply: lambda p, x: ("NXST_IPFIX_FLOW reply", [_pack(stats) for stats in x.stats]),
}
TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    IpfixBridgeRequest: lambda x, v, s: "",
    IpfixFlowRequest: lambda x, v, s: "",
    IpfixBridgeReply: lambda x, v, s: "\n" + _stats_text("bridge ipfix", x.stats, 16),
    IpfixFlowReply: _text_flows,
}
