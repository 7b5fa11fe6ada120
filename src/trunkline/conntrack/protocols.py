"""Every protocol's state machine, one row of a table each: may this packet begin a connection, the state it
begins with, and what a packet does to a state.

ICMP queries, UDP and all the rest know three states: one packet seen, several from one side, answers seen.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.conntrack import tcp
from trunkline.conntrack.tuples import Extract
from trunkline.conntrack.verdict import FRESH, VALID
from trunkline.packet.parse import ICMP, ICMPV6, TCP

FIRST, SINGLE, MULTIPLE = 0, 1, 2
_QUERIES: Final = {ICMP: frozenset((8, 13, 15)), ICMPV6: frozenset((128,))}


class Protocol(NamedTuple):
    """`update` gives (verdict, new state, name of the timeout or "" where the time of the end stays)."""

    may_begin: Callable[[bytes, Extract], bool]
    begin: Callable[[bytes, Extract], tuple[Any, str]]
    update: Callable[[Any, bool, bytes, Extract, bool], tuple[int, Any, str]]


def _segment(frame: bytes, extract: Extract) -> tcp.Segment:
    return tcp.segment_of(frame[extract.transport : extract.end])


def _tcp_update(
    state: tcp.TcpState, reply: bool, frame: bytes, extract: Extract, check: bool
) -> tuple[int, Any, str]:
    verdict, timeout = tcp.update(state, reply, _segment(frame, extract), check)
    return verdict, state, timeout


def _icmp_update(
    state: int, reply: bool, frame: bytes, extract: Extract, check: bool
) -> tuple[int, Any, str]:
    if reply:
        state = MULTIPLE
    if state == MULTIPLE:
        return VALID, state, "icmp_reply"
    return FRESH, state, "icmp_first"


def _other_update(
    state: int, reply: bool, frame: bytes, extract: Extract, check: bool
) -> tuple[int, Any, str]:
    if reply:
        return VALID, MULTIPLE, "udp_multiple"
    if state == MULTIPLE:
        return VALID, state, "udp_multiple"
    return FRESH, SINGLE, "udp_single"


_TCP: Final = Protocol(
    lambda frame, extract: tcp.may_begin(_segment(frame, extract)),
    lambda frame, extract: (tcp.begin(_segment(frame, extract)), "tcp_syn_sent"),
    _tcp_update,
)
_ICMP: Final = Protocol(
    lambda frame, extract: extract.tuple.b >> 8 in _QUERIES[extract.tuple.protocol],
    lambda frame, extract: (FIRST, "icmp_first"),
    _icmp_update,
)
_OTHER: Final = Protocol(
    lambda frame, extract: True,
    lambda frame, extract: (FIRST, "udp_first"),
    _other_update,
)
_PROTOCOLS: Final = {TCP: _TCP, ICMP: _ICMP, ICMPV6: _ICMP}


def protocol_of(extract: Extract) -> Protocol:
    return _PROTOCOLS.get(extract.tuple.protocol, _OTHER)
