"""Actions that write fields: of the packet, and of the pipeline (registers, metadata)."""

from typing import Final

from trunkline.flow import key as layout
from trunkline.translate.result import DETAIL, Node
from trunkline.translate.walk import PACKET, Walk

_TYPE: Final = layout.OFFSET["dl_type"]
_PROTOCOL: Final = layout.OFFSET["nw_proto"]
_FRAGMENT: Final = layout.OFFSET["nw_frag"]
_IP: Final = frozenset((0x0800, 0x86DD))
_TRANSPORT: Final = frozenset((6, 17, 132))
_PROTOCOL_MASK: Final = layout.MASK["nw_proto"]


def write(x: Walk, mask: int, value: int) -> None:
    """Bits anywhere in the key; reading them is not needed for those of the pipeline."""
    packet = mask & PACKET
    x.wild |= packet & x.fresh
    x.fresh &= ~packet
    x.key = x.key & ~mask | value


def write_ip(x: Walk, mask: int, value: int) -> None:
    """A field that IPv4 packets have (the type is in every megaflow)."""
    if x.key >> _TYPE & 0xFFFF == 0x0800:
        write(x, mask, value)


def write_any_ip(x: Walk, mask: int, value: int) -> None:
    if x.key >> _TYPE & 0xFFFF in _IP:
        write(x, mask, value)


def write_port(x: Walk, mask: int, value: int) -> None:
    """A transport port: not of other protocols, nor of later fragments."""
    if x.key >> _TYPE & 0xFFFF not in _IP or x.key >> _FRAGMENT & layout.FRAG_LATER:
        return
    x.look(_PROTOCOL_MASK)
    if x.key >> _PROTOCOL & 0xFF in _TRANSPORT:
        write(x, mask, value)


def move(x: Walk, source: tuple[int, int], destination: tuple[int, int, str]) -> None:
    """Copies bits: (mask, shift) of each; the last says how a trace names the destination."""
    mask, shift = source
    place, target, name = destination
    x.look(mask)
    write(x, place, (x.key & mask) >> shift << target)
    if x.why is not None and name:
        now = (x.key & place) >> target
        x.why.append(Node(DETAIL, f"{name} is now {now:#x}" if now else f"{name} is now 0"))
