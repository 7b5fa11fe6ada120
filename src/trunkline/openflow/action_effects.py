"""What is known of packets while their actions are gone through: their VLAN tags, their transport protocol.

Both who checks actions and who writes them ask: setting a tag's number is for packets that have one, and
from 1.1 on a tag is pushed first where there is none; from 1.2 on a port is one of TCP, of UDP or of SCTP.
What is done to the copy of a packet in clone() changes nothing outside it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from trunkline.openflow import actions as a

TAG_PRESENT: Final = 0x1000


class Packets(NamedTuple):
    """What packets surely are; nothing, unless a match says so.

    `tags`: bit 0 is the outermost VLAN tag, bit 1 the next.  (That there is a next and no outermost is said
    of packets whose outermost was overwritten.)  `protocol`: 6 is TCP, 17 UDP, 132 SCTP.
    """

    tags: int = 0
    protocol: int = 0


ANY_PACKETS: Final = Packets()


def _written(name: str, value: int, tags: int) -> int:
    """Of the whole tag as a field the bit for presence counts; bits that are not written are as if 0."""
    if name != "vlan_tci":
        return tags
    return tags | 1 if value & TAG_PRESENT else tags & ~1


_TAGS_AFTER: Final[dict[type, Callable[[Any, int], int]]] = {
    a.SetVlanVid: lambda x, tags: tags | 1,
    a.SetVlanPcp: lambda x, tags: tags | 1,
    a.StripVlan: lambda x, tags: tags >> 1,
    a.PushVlan: lambda x, tags: tags << 1 | 1,
    a.SetField: lambda x, tags: _written(x.field, x.value, tags),
    a.Load: lambda x, tags: _written(x.field, x.value << x.offset, tags),
}


def packets_after(actions: Iterable[a.Action], packets: Packets) -> Packets:
    """What is known of `packets` after these actions.

    Under a label or another header the protocol is not known any more, also when that header is gone.
    """
    for action in actions:
        kind = type(action)
        after = _TAGS_AFTER.get(kind)
        if after is not None:
            packets = packets._replace(tags=after(action, packets.tags))
        elif kind is a.PushMpls or (isinstance(action, a.Encap) and action.packet_type):
            packets = packets._replace(protocol=0)
    return packets
