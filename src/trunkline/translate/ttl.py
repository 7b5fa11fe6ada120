"""Time to live: of IP, MPLS and NSH.  A packet whose time is over goes to controllers, and no further."""

from typing import Final

from trunkline.flow import key as layout
from trunkline.model.openflow import OFPR_INVALID_TTL
from trunkline.translate.controller import punt
from trunkline.translate.walk import Walk

_TYPE: Final = layout.OFFSET["dl_type"]
_IP: Final = {0x0800: "IPv4", 0x86DD: "IPv6"}
_MPLS: Final = (0x8847, 0x8848)
_NSH: Final = 0x894F
_WHOLE: Final = 0xFFFF


def dec_ttl(x: Walk, controllers: tuple[int, ...], _: object) -> bool:
    protocol = _IP.get(x.key >> _TYPE & 0xFFFF)
    return protocol is not None and _less(x, "nw_ttl", f"{protocol} decrement TTL exception", controllers)


def dec_mpls_ttl(x: Walk, _: object, __: object) -> bool:
    complaint = "MPLS decrement TTL exception"
    if x.key >> _TYPE & 0xFFFF not in _MPLS:
        return _nothing_to_take_from(x, complaint)
    return _less(x, "mpls_ttl", complaint, (0,))


def dec_nsh_ttl(x: Walk, _: object, __: object) -> bool:
    complaint = "NSH decrement TTL exception"
    if x.key >> _TYPE & 0xFFFF != _NSH:
        return _nothing_to_take_from(x, complaint)
    return _less(x, "nsh_ttl", complaint, (0,))


def _nothing_to_take_from(x: Walk, complaint: str) -> bool:
    """A packet without that header, which only action sets and buckets are not checked for: its list ends."""
    x.warn(complaint)
    return True


def _less(x: Walk, name: str, complaint: str, controllers: tuple[int, ...]) -> bool:
    """True: the packet goes no further."""
    shift, ones, mask = layout.VIEW[name]
    ttl = x.key >> shift & ones
    if ttl > 1:
        x.set(mask, ttl - 1 << shift)
        return False
    x.look(mask)
    x.warn(complaint)
    for controller in controllers:
        punt(x, _WHOLE, OFPR_INVALID_TTL, controller)
    return True
