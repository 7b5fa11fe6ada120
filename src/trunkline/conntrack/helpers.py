"""Helpers: protocols whose control connection announces further connections (FTP, TFTP)."""

from typing import TYPE_CHECKING, NamedTuple

from trunkline.conntrack.connection import Connection
from trunkline.conntrack.tuples import Tuple
from trunkline.packet.packet import Packet

if TYPE_CHECKING:
    from trunkline.conntrack.tracker import _Passage


class Expectation(NamedTuple):
    """A connection that has been announced: what it inherits from the one that announced it."""

    parent: Tuple
    mark: int
    label: int
    nat: int
    address: bytes

    def translation(self, reply: Tuple) -> tuple[int, Tuple]:
        return 0, reply


class Expectations:
    def __init__(self) -> None:
        self._by_name: dict[bytes, Expectation] = {}

    def find(self, tuple: Tuple) -> Expectation | None:
        return None

    def forget(self, parent: Tuple) -> None:
        pass


def of_packet(frame: bytes, key: int, asked: str) -> str:
    """The helper that looks at this packet, or ""."""
    return ""


def control(passage: "_Passage", connection: Connection, helper: str) -> Packet:
    return passage.packet
