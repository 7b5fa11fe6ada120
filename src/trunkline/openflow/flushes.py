"""Nicira's messages that make a switch forget connections: a zone of them, or those that a tuple matches."""

from typing import NamedTuple


class CtFlushZone(NamedTuple):
    zone: int


class CtTuple(NamedTuple):
    """What a connection's direction must have; addresses are (bits, number) with 32 or 128 bits, None is any.

    For ICMP the ports are id (source port) and type and code (destination: ``icmp_type``, ``icmp_code``).
    """

    source: tuple[int, int] | None = None
    destination: tuple[int, int] | None = None
    source_port: int = 0
    destination_port: int = 0
    icmp_id: int = 0
    icmp_type: int = 0
    icmp_code: int = 0


class CtFlush(NamedTuple):
    """`zone` None is every zone; `protocol` 0 is every protocol."""

    zone: int | None = None
    protocol: int = 0
    original: CtTuple = CtTuple()
    reply: CtTuple = CtTuple()
