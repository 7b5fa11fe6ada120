"""Connections as ``dpctl/dump-conntrack`` prints them, and the tuples that ``flush-conntrack`` reads."""

from collections.abc import Iterator
from typing import Final

from trunkline.conntrack.connection import Connection
from trunkline.conntrack.tcp import information
from trunkline.packet.parse import ICMP, ICMPV6, IGMP, SCTP, TCP, UDP

_NAMES: Final = {ICMP: "icmp", IGMP: "igmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", SCTP: "sctp"}
_MORE_NAMES: Final = {33: "dccp", 136: "udplite"}


def protocol_name(protocol: int) -> str:
    return _NAMES.get(protocol) or _MORE_NAMES.get(protocol) or str(protocol)


def line(connection: Connection, now: float, *, verbose: bool = False, timed: bool = False) -> str:
    """A connection; `verbose` with everything, `timed` with the seconds that it has left."""
    return ",".join(_parts(connection, now, verbose, timed))


def _parts(connection: Connection, now: float, verbose: bool, timed: bool) -> Iterator[str]:
    original = connection.original
    yield protocol_name(original.protocol)
    yield f"orig=({original})"
    yield f"reply=({connection.reply})"
    if verbose:
        yield "id=0"  # only the kernel's connections have one
    if original.zone:
        yield f"zone={original.zone}"
    if verbose:
        yield "status=0"
    if timed:
        yield f"timeout={max(round((connection.expires - now) * 1000), 0) // 1000}"
    if connection.mark:
        yield f"mark={connection.mark}"
    if connection.label:
        yield f"labels={connection.label:#x}"
    if original.protocol == TCP:
        yield f"protoinfo=({information(connection.state, verbose)})"
    if connection.helper:
        yield f"helper={connection.helper}"
    if verbose and connection.parent is not None:
        yield f"parent=({connection.parent})"
