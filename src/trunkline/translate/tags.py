"""Actions on VLAN tags."""

from trunkline.flow import key as layout
from trunkline.flow.key import VLAN_CFI
from trunkline.translate.commit import MAX_TAGS
from trunkline.translate.fields import write
from trunkline.translate.walk import OUTER, Walk, tags_of

_TCI = layout.OFFSET["vlan_tci"]
_TPID = layout.OFFSET["vlan_tpid"]
_DOT1Q = 0x8100


def _set_bits(x: Walk, push: bool, keep: int, bits: int) -> None:
    """Writes VID or PCP into the outer tag; where there is none, pushes one if `push`."""
    x.look(OUTER)
    tci = x.key >> _TCI & 0xFFFF
    if tci & VLAN_CFI:
        write(x, OUTER, x.key & OUTER & ~(0xFFFF << _TCI) | (tci & keep | bits) << _TCI)
    elif push:
        write(x, OUTER, _DOT1Q << _TPID | (VLAN_CFI | bits) << _TCI)


def set_vid(x: Walk, vid: int, push: bool) -> None:
    _set_bits(x, push, 0xF000, vid)


def set_pcp(x: Walk, pcp: int, push: bool) -> None:
    _set_bits(x, push, 0x1FFF, pcp << 13)


def pop(x: Walk, _: object, __: object) -> None:
    x.look(OUTER)
    tags = tags_of(x.key)
    if tags:
        x.set_tags(tags[1:])


def push(x: Walk, tpid: int, _: object) -> bool:
    tags = tags_of(x.key)
    if len(tags) == MAX_TAGS:
        said = x.telling or x.why is None
        return x.fail("Too many VLAN tags", f"more than {MAX_TAGS} VLAN tags" if said else "")
    x.set_tags(((tpid, VLAN_CFI), *tags))
    return False
