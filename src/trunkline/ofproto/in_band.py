"""Control in band: a bridge that its controller reaches through the bridge itself.

Until the controller has said what is to be done with packets, nothing may be forwarded in fail mode secure;
and then its flows might cut it off.  So the bridge has flows of its own, above every priority that OpenFlow
can give, which let pass what the connection needs: DHCP and ARP of the local port, ARP of the remote address,
and TCP between that address and port and anybody, for the next switch on the way has the same need
(ovs-vswitchd.conf.db(5), Controller:connection_mode).  The same goes for the managers of the database.

The next hop towards a remote (a gateway, or the remote itself) has a MAC of its own, and what it asks and is
answered by ARP must pass, too.  Which MACs these are the host knows (bridge/in_band.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from trunkline.base.addresses import parse_ipv4
from trunkline.base.targets import is_active
from trunkline.flow.match import Match, match
from trunkline.model import openflow as of
from trunkline.openflow import actions as a

_DHCP, _ARP_TO_LOCAL, _ARP_FROM_LOCAL = 180000, 180001, 180002
_ARP_TO_HOP, _ARP_FROM_HOP = 180003, 180004
_ARP_TO_REMOTE, _ARP_FROM_REMOTE, _TO_REMOTE, _FROM_REMOTE = 180005, 180006, 180007, 180008
_IPV4, _ARP, _TCP, _UDP = 0x0800, 0x0806, 6, 17
_REQUEST, _REPLY = 1, 2

Remote = tuple[int, int]  # IPv4 address, TCP port
Flow = tuple[int, Match]


class InBand(NamedTuple):
    """Who is to be reached through a bridge whose local port has `mac`; by way of `queue`, if not None.

    `hops`: the MACs of the neighbours by which the host reaches the remotes.
    """

    remotes: frozenset[Remote] = frozenset()
    mac: int = 0
    queue: int | None = None
    hops: frozenset[int] = frozenset()

    def flows(self) -> Mapping[Flow, tuple[a.Action, ...]]:
        """The flows, by priority and match; none without remotes."""
        if not self.remotes:
            return {}
        normal = (a.Output(of.OFPP_NORMAL),)
        actions = normal if self.queue is None else (a.SetQueue(self.queue), *normal)
        return dict.fromkeys(
            [*_of_local(self.mac), *_of_hops(self.hops), *_of_remotes(self.remotes)], actions
        )


def _of_local(mac: int) -> Iterator[Flow]:
    dhcp = match(in_port=of.OFPP_LOCAL, dl_src=mac, dl_type=_IPV4, nw_proto=_UDP, tp_src=68, tp_dst=67)
    yield _DHCP, dhcp
    yield _ARP_TO_LOCAL, match(dl_dst=mac, dl_type=_ARP, arp_op=_REPLY)
    yield _ARP_FROM_LOCAL, match(dl_src=mac, dl_type=_ARP, arp_op=_REQUEST)


def _of_hops(hops: Iterable[int]) -> Iterator[Flow]:
    for mac in sorted(hops):
        yield _ARP_TO_HOP, match(dl_dst=mac, dl_type=_ARP, arp_op=_REPLY)
        yield _ARP_FROM_HOP, match(dl_src=mac, dl_type=_ARP, arp_op=_REQUEST)


def _of_remotes(remotes: Iterable[Remote]) -> Iterator[Flow]:
    for address, port in sorted(remotes):
        yield _ARP_TO_REMOTE, match(dl_type=_ARP, arp_tpa=address, arp_op=_REPLY)
        yield _ARP_FROM_REMOTE, match(dl_type=_ARP, arp_spa=address, arp_op=_REQUEST)
        yield _TO_REMOTE, match(dl_type=_IPV4, nw_proto=_TCP, nw_dst=address, tp_dst=port)
        yield _FROM_REMOTE, match(dl_type=_IPV4, nw_proto=_TCP, nw_src=address, tp_src=port)


_METHODS: Final = ("tcp", "ssl")


def remote_of(target: str, default_port: int) -> Remote | None:
    """Whom an active target leads to, if it names an IPv4 address."""
    method, _, rest = target.partition(":")
    host, _, port = rest.partition(":")
    address = parse_ipv4("127.0.0.1" if host == "localhost" else host)
    if method not in _METHODS or not is_active(target) or address is None:
        return None
    return address, int(port) if port.isdecimal() else default_port
