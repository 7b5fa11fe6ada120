"""VLAN modes: what a port accepts, how its tags map to the bridge's VLANs, and back on the way out.

Inside a bridge a packet is in one VLAN, with its priority; under that it may carry tags that are none of the
bridge's business, and leave as they came.  A port's mode says how packets on its wire relate to that:

access           untagged on the wire (a priority tag is allowed); VLAN `tag` inside
trunk            the wire's tag is the VLAN
native-tagged    as trunk; untagged packets are in VLAN `tag`
native-untagged  as native-tagged; VLAN `tag` leaves untagged
dot1q-tunnel     whatever comes is a customer's; VLAN `tag` is put around it, with the port's TPID

Source: ovs-vswitchd.conf.db(5), Port: VLAN Configuration.
"""

from typing import Final, NamedTuple

from trunkline.flow.key import VLAN_CFI
from trunkline.ofproto.ports import ACCESS, DOT1Q_TUNNEL, NATIVE_TAGGED, NATIVE_UNTAGGED, TRUNK, PortConfig
from trunkline.translate.walk import Tags

_VID: Final = 0xFFF
_DOT1Q: Final = 0x8100


class Header(NamedTuple):
    """A VLAN header in the abstract; `vid` 0 with `pcp` 0 may mean that there is none."""

    tpid: int
    vid: int
    pcp: int


NO_HEADER: Final = Header(0, 0, 0)


class Inside(NamedTuple):
    """A packet's VLANs inside a bridge."""

    outer: Header  # the bridge's VLAN
    customer: Header  # what a dot1q-tunnel port has put under it: the outermost header that came
    beneath: Tags  # all tags under the outermost that came

    @property
    def inner_vid(self) -> int:
        """The VLAN under the bridge's own, or 0."""
        if self.customer.tpid or not self.beneath:
            return self.customer.vid
        return self.beneath[0][1] & _VID


def _header(tags: Tags) -> Header:
    """The outermost of the tags."""
    if not tags:
        return NO_HEADER
    tpid, tci = tags[0]
    return Header(tpid, tci & _VID, tci >> 13)


def refusal(port: PortConfig, wire: Tags) -> str | None:
    """Why a packet with these tags is not let in, or None."""
    vid = _header(wire).vid
    mode = port.vlan_mode
    if mode == ACCESS:
        if vid:
            return (
                f"dropping VLAN {vid} tagged packet received on port {port.name} "
                f"configured as VLAN {port.tag} access port"
            )
        return None
    if mode in (NATIVE_TAGGED, NATIVE_UNTAGGED) and not vid:
        return None
    if mode == DOT1Q_TUNNEL:
        if not port.cvlans >> vid & 1:
            where = f"dot1q-tunnel port {port.name}"
            return f"dropping VLAN {vid} packet received on {where} that excludes this VLAN"
        return None
    if not _trunks(port, vid):
        return (
            f"dropping VLAN {vid} packet received on port {port.name} not configured for trunking VLAN {vid}"
        )
    return None


def _trunks(port: PortConfig, vid: int) -> bool:
    if port.vlan_mode == TRUNK:
        return bool(port.trunks >> vid & 1)
    if vid == port.tag:
        return bool(vid) or bool(port.trunks & 1)  # VLAN 0 is native only where it is not excluded
    return bool(vid) and bool(port.trunks >> vid & 1)  # VLAN 0 would pass for the native one on the wire


def inward(port: PortConfig, wire: Tags) -> Inside:
    """From the wire of the port where the packet came in to the bridge.

    What the port puts into a VLAN has a tag from then on, if only one for VLAN 0.
    """
    tag = port.tag or 0
    mode = port.vlan_mode
    outer = _header(wire)
    if mode == DOT1Q_TUNNEL:
        return Inside(Header(port.qinq_ethtype, tag, 0), outer, wire[1:])
    if mode == ACCESS or (mode in (NATIVE_TAGGED, NATIVE_UNTAGGED) and not outer.vid):
        outer = Header(outer.tpid or _DOT1Q, tag, outer.pcp)
    return Inside(outer, NO_HEADER, wire[1:])


def carries(port: PortConfig, inside: Inside) -> bool:
    """Whether packets of this VLAN go out of the port."""
    vid = inside.outer.vid
    if port.vlan_mode == ACCESS:
        return vid == port.tag and not inside.inner_vid
    if port.vlan_mode == DOT1Q_TUNNEL:
        return vid == port.tag and bool(port.cvlans >> inside.inner_vid & 1)
    return _trunks(port, vid)


def _outward(port: PortConfig, inside: Inside) -> tuple[Header, Tags]:
    """From the bridge to the wire of the port where the packet goes out: its outermost header, the others."""
    customer, beneath = inside.customer, inside.beneath
    if port.vlan_mode == ACCESS:
        return NO_HEADER, beneath
    if port.vlan_mode == DOT1Q_TUNNEL or (port.vlan_mode == NATIVE_UNTAGGED and inside.outer.vid == port.tag):
        return (customer, beneath) if customer.tpid else (_header(beneath), beneath[1:])
    return inside.outer, _tag(port, customer) + beneath


def _tag(port: PortConfig, header: Header) -> Tags:
    """The tag of a header, if it needs one."""
    if header.vid or header.pcp or (header.tpid and port.priority_tags == "always"):
        return ((header.tpid or _DOT1Q, header.vid | header.pcp << 13 | VLAN_CFI),)
    return ()


def tags_on_wire(port: PortConfig, inside: Inside, came: Tags) -> Tags:
    """The tags to send; `came` are those that the packet has at the moment.

    A port with priority tags keeps the priority that the packet has, in a tag for VLAN 0 if need be; with
    "always" a tag without VLAN and priority stays where there is one.
    """
    outer, others = _outward(port, inside)
    if port.priority_tags != "never":
        outer = outer._replace(pcp=came[0][1] >> 13 if came else 0)
    return _tag(port, outer) + others
