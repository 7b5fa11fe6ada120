"""Actions that write fields: of the packet, and of the pipeline (registers, metadata)."""

from collections.abc import Callable
from typing import Final, NamedTuple

from trunkline.flow import key as layout
from trunkline.flow.values import format_value
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD, PREREQUISITES, Field
from trunkline.openflow.action_words import subfield_text
from trunkline.openflow.actions import Subfield
from trunkline.openflow.wire import DecodeError, port_from_wire, port_to_wire
from trunkline.packet.tunnels import TUNNEL
from trunkline.translate.result import DETAIL, Node, Written
from trunkline.translate.walk import EVERY, OUTER, PACKET, Walk

_SEEN: Final = PACKET & ~TUNNEL
_TYPE: Final = layout.OFFSET["dl_type"]
_PROTOCOL: Final = layout.OFFSET["nw_proto"]
_FRAGMENT: Final = layout.OFFSET["nw_frag"]
_IPV6: Final = 0x86DD
_IP: Final = frozenset((0x0800, _IPV6))
_ADDRESSES: Final = ("net_src", "net_dst")  # slots of either kind of address
_TRANSPORT: Final = frozenset((6, 17, 132))
_PROTOCOL_MASK: Final = layout.MASK["nw_proto"]
_LATER: Final = layout.FRAG_LATER << _FRAGMENT
_CFI: Final = layout.VLAN_CFI << layout.OFFSET["vlan_tci"]


def write(x: Walk, mask: int, value: int) -> None:
    """Bits anywhere in the key; reading them is not needed for those of the pipeline."""
    own, key = mask & x.fresh, x.key
    x.wild |= own & _SEEN
    x.fresh ^= own  # with & ~mask, a negative number, it would take twice as long
    x.key = key ^ key & mask | value


def load(x: Walk, keep: int, value: int) -> None:
    """`write` for bits of the pipeline, which no packet brings: all bits but `keep` become `value`'s.

    `keep` is positive: Python takes twice as long for & with a negative number.
    """
    x.key = x.key & keep | value


def writing(mask: int, value: int) -> tuple[Callable[[Walk, int, int], None], int, int]:
    """The step that writes `value` under `mask`."""
    return (write, mask, value) if mask & PACKET else (load, EVERY & ~mask, value)


def write_ip(x: Walk, mask: int, value: int) -> None:
    """A field that IPv4 packets have (the type is in every megaflow)."""
    if x.key >> _TYPE & 0xFFFF == 0x0800:
        write(x, mask, value)


def write_any_ip(x: Walk, mask: int, value: int) -> None:
    if x.key >> _TYPE & 0xFFFF in _IP:
        write(x, mask, value)


def write_port(x: Walk, mask: int, value: int) -> None:
    """A transport port: not of other protocols, nor of later fragments."""
    if x.key >> _TYPE & 0xFFFF not in _IP or x.key & _LATER:
        return
    x.look(_PROTOCOL_MASK)
    if x.key >> _PROTOCOL & 0xFF in _TRANSPORT:
        write(x, mask, value)


_TCI: Final = layout.OFFSET["vlan_tci"]
_TPID: Final = layout.OFFSET["vlan_tpid"]


def write_tci(x: Walk, mask: int, value: int) -> None:
    """vlan_tci and its parts, as fields: a tag comes and goes with the CFI bit."""
    write(x, mask, value)
    if not x.key >> _TCI & layout.VLAN_CFI:
        x.look(OUTER)
        x.fresh &= ~OUTER
        return
    x.look(0xFFFF << _TPID)
    if not x.key >> _TPID & 0xFFFF:
        write(x, 0xFFFF << _TPID, 0x8100 << _TPID)


WRITERS: Final = {"vlan_tci": write_tci}
"""How slots are written that want more than their bits changed."""

# ---- fields by name


class Needed(NamedTuple):
    """A condition on the key under which a field makes sense: one of `values` under `mask`."""

    mask: int
    values: frozenset[int]


_ND_TYPES: Final = ("nd", "nd solicit", "nd advert")


def needs(prerequisite: str) -> tuple[Needed, ...]:
    """What a packet must be like for fields with this prerequisite (model/fields.py), outermost first."""
    if not prerequisite or prerequisite == "ct":
        return ()
    condition = PREREQUISITES[prerequisite]
    before = needs(condition.parent)
    if prerequisite == "vlan":
        return (*before, Needed(_CFI, frozenset((_CFI,))))
    shift, _, mask = layout.VIEW[condition.field]
    found = (*before, Needed(mask, frozenset(value << shift for value in condition.values)))
    if prerequisite in ("tcp", "udp", "sctp"):
        return (*found, Needed(_LATER, frozenset((0,))))
    if prerequisite in _ND_TYPES:
        return (*found, Needed(layout.MASK["icmpv6_code"], frozenset((0,))))
    return found


Checked = tuple[tuple[Needed, ...], str]
"""Conditions, and the name of the field."""


def suits(x: Walk, conditions: tuple[Needed, ...]) -> bool:
    for mask, values in conditions:
        x.look(mask)
        if x.key & mask not in values:
            return False
    return True


def write_checked(x: Walk, bits: tuple[int, int], checked: Checked) -> None:
    """Writes (mask, value) if the packet has such a field."""
    if suits(x, checked[0]):
        write(x, *bits)
    else:
        x.warn(f"unmet prerequisites for {checked[1]}, set_field ignored")


class Part(NamedTuple):
    """A part of a field for steps to read or write: `bits` of them from `offset` on.

    `mask` are those of the key, where the field has no more than its bits there; `title` as the original
    names it in a trace.  `is_port`: the field is a port in 32 bits, which the key has in 16.
    """

    mask: int
    shift: int
    field: Field
    whole: bool
    title: str
    offset: int
    bits: int
    is_port: bool


def part(name: str, offset: int, bits: int) -> Part:
    field, view = FIELD[name], layout.VIEW[name]
    shift = view.shift + offset
    is_port = field.format == "port" and field.octets == 4
    mask = ((1 << bits) - 1) << shift & view.mask
    if field.matched is not None:  # the rest of its octet is another field's
        mask &= field.matched << view.shift
    title = subfield_text(name, offset, bits)
    return Part(
        view.mask if is_port else mask, shift, field, title.endswith("[]"), title, offset, bits, is_port
    )


def _port_of(value: int) -> int:
    """The 16 bits of a port's number in 32; all numbers that are no port's stand for none."""
    try:
        return port_from_wire(value)
    except DecodeError:
        return of.OFPP_ANY


def part_of(subfield: Subfield) -> Part:
    return part(*subfield)


def read(x: Walk, source: Part) -> int:
    """The value of a part of a field, which what follows depends on."""
    x.look(source.mask)
    if source.is_port:
        return _port(x, source) >> source.offset & (1 << source.bits) - 1
    return (x.key & source.mask) >> source.shift


def _port(x: Walk, place: Part) -> int:
    return port_to_wire((x.key & place.mask) >> place.shift - place.offset)


def store(x: Walk, target: Part, value: int) -> None:
    """Writes a part of a field, whether the packet has such a field or not."""
    if target.is_port:
        ones = (1 << target.bits) - 1 << target.offset
        port = _port_of(_port(x, target) & ~ones | value << target.offset & ones)
        write(x, target.mask, port << target.shift - target.offset)
    else:
        WRITERS.get(target.field.slot, write)(x, target.mask, value << target.shift & target.mask)
    if x.why is not None:
        x.why.append(_now(x, target))


def _now(x: Walk, target: Part) -> Node:
    """What a part of a field, or the whole of it, has become, in the field's own form."""
    field, value = target.field, read(x, target)
    if field.slot in _ADDRESSES and (x.key >> _TYPE & 0xFFFF == _IPV6) != (field.prerequisite == "ipv6"):
        value = 0  # the address there is one of the other kind
    text = f"{value:#x}" if value else "0"
    if target.whole:
        ones = (1 << field.bits) - 1 if field.matched is None else field.matched
        whole = layout.get(x.key, field.name) & ones if value else 0
        text = format_value(field, whole, (1 << field.bits) - 1)
    written = Written(field.name, target.offset, target.bits, value)
    return Node(DETAIL, f"{target.title} is now {text}", written)


class Copy(NamedTuple):
    """`conditions`: what a packet must be like to have both fields."""

    source: Part
    target: Part
    conditions: tuple[Needed, ...]


def move(x: Walk, copy: Copy, _: object) -> None:
    """Copies bits, if the packet has both fields."""
    source, target, conditions = copy
    if suits(x, conditions):
        store(x, target, read(x, source))
    elif x.why is not None:
        x.why.append(_now(x, target))
