"""Which VLAN tags a packet surely has while its actions are gone through.

Both who checks actions and who writes them ask: setting a tag's number is for packets that have one, and from
1.1 on a tag is pushed first where there is none.  What is done to the copy of a packet in clone() changes
nothing outside it.

Tags are bits: bit 0 is the outermost tag, bit 1 the next.  (That the outermost is missing and there is a next
is said of packets whose outermost was overwritten.)
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from trunkline.openflow import actions as a

TAG_PRESENT: Final = 0x1000


def _written(name: str, value: int, tags: int) -> int:
    """The field that is the whole tag is told by its bit for presence; bits that are not written count as 0."""
    if name != "vlan_tci":
        return tags
    return tags | 1 if value & TAG_PRESENT else tags & ~1


_AFTER: Final[dict[type, Callable[[Any, int], int]]] = {
    a.SetVlanVid: lambda x, tags: tags | 1,
    a.SetVlanPcp: lambda x, tags: tags | 1,
    a.StripVlan: lambda x, tags: tags >> 1,
    a.PushVlan: lambda x, tags: tags << 1 | 1,
    a.SetField: lambda x, tags: _written(x.field, x.value, tags),
    a.Load: lambda x, tags: _written(x.field, x.value << x.offset, tags),
}


TAGGING: Final = frozenset(_AFTER)
"""The actions that tags depend on."""


def tags_after(actions: Iterable[a.Action], tags: int) -> int:
    """The tags of a packet that had `tags` before these actions."""
    for action in actions:
        after = _AFTER.get(type(action))
        if after is not None:
            tags = after(action, tags)
    return tags
