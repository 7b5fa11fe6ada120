"""Fragments."""

from collections.abc import Iterator
from typing import NamedTuple

from trunkline.packet.packet import Packet


class Whole(NamedTuple):
    packet: Packet
    key: int
    parts: tuple[tuple[Packet, int], ...]


class Fragments:
    def add(self, packet: Packet, key: int, zone: int, now: float) -> Whole | None:
        return Whole(packet, key, ())

    def split(self, whole: Whole, joined: Packet) -> Iterator[tuple[Packet, int]]:
        yield from whole.parts
