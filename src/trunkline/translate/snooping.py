"""NORMAL on a bridge that snoops: multicast goes where somebody has asked for it (RFC 4541).

Reports go to routers only, queries everywhere, other multicast to the ports of its group, to routers, and to
ports that are to get all of it.  What nobody has asked for is flooded, unless the bridge is told otherwise;
the groups that every host is in (224.0.0.x, ff02::1) always are.

Messages of IGMP and MLD have to be read, which no datapath does: their packets take the slow path.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from trunkline.base.addresses import MAPPED, format_address
from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import multicast_token, ports_token, routers_token
from trunkline.ofproto.ports import PortConfig
from trunkline.packet.membership import MLD_QUERY, MLD_REPORTS, REPORTS, Message, read_membership
from trunkline.packet.parse import ICMPV6, IGMP
from trunkline.proto.multicast_snooping import Group, MulticastTable
from trunkline.translate.result import SLOW_ACTION, Snoop
from trunkline.translate.walk import Walk

Out = Callable[[PortConfig], None]

_PROTO: Final = layout.OFFSET["nw_proto"]
_TYPE: Final = layout.OFFSET["dl_type"]
_KIND: Final = layout.OFFSET["tp_src"]
_TO: Final = layout.OFFSET["net_dst"]
_TO_IPV4: Final = 0xFFFFFFFF << _TO
_TO_IPV6: Final = layout.MASK["net_dst"]
_TO_ALL: Final = (1 << 128) - 1
_MULTICAST: Final = 1 << 40
_BROADCAST: Final = (1 << 48) - 1
_ALL_NODES: Final = 0xFF020000000000000000000000000001


def snoops(bridge: Bridge, key: int, destination: int) -> bool:
    """Whether multicast snooping says where such a packet goes; `destination` is its address."""
    return (
        bridge.multicast is not None
        and destination & _MULTICAST != 0
        and destination != _BROADCAST
        and key >> _TYPE & 0xFFFF in (0x0800, 0x86DD)
    )


def snoop(
    x: Walk, table: MulticastTable, came: PortConfig, vlan: int, flood: Callable[[], None], out: Out
) -> None:
    """Sends the packet on.  `came` is where it came in, in `vlan`; `out` sends it out of a port."""
    x.look(layout.bits("nw_proto"))
    protocol = x.key >> _PROTO & 0xFF
    if x.key >> _TYPE & 0xFFFF == 0x0800:
        if protocol == IGMP:
            _message(x, table, came, vlan, REPORTS, "multicast traffic, flooding", flood, out)
            return
        x.look(_TO_IPV4)
        address = MAPPED | (x.key & _TO_IPV4) >> _TO
        everybody = address >> 8 == MAPPED >> 8 | 0xE00000
    else:
        if protocol == ICMPV6:
            x.look(layout.bits("tp_src"))
            kind = x.key >> _KIND & 0xFFFF
            if kind == MLD_QUERY or kind in MLD_REPORTS:
                _message(x, table, came, vlan, MLD_REPORTS, "MLD query, flooding", flood, out)
                return
        x.look(_TO_IPV6)
        address = x.key >> _TO & _TO_ALL
        everybody = address == _ALL_NODES
    if everybody:
        x.note("RFC4541: section 2.1.2, item 2, flooding")
        flood()
        return
    x.reads.append(multicast_token(x.bridge.name, vlan, address))
    group = table.lookup(vlan, address)
    if group is None and table.flood_unregistered:
        x.note("unregistered multicast, flooding")
        flood()
        return
    if group is None:
        ports = [*_routers(x, table, came, vlan), *_told(x, _ALL_MULTICAST, came)]
    else:
        ports = [*_members(x, group, came), *_told(x, _ALL_MULTICAST, came), *_routers(x, table, came, vlan)]
    for port in ports:  # one that is named twice gets two, as in the original
        out(port)


def _message(
    x: Walk,
    table: MulticastTable,
    came: PortConfig,
    vlan: int,
    reports: frozenset[int],
    otherwise: str,
    flood: Callable[[], None],
    out: Out,
) -> None:
    """A message of IGMP or MLD, which teaches the bridge; `reports` are the types that only routers need.

    The type of IGMP need not be in a megaflow: each packet of the slow path is translated by itself.
    """
    x.slow |= SLOW_ACTION
    if came.interfaces and not came.multicast_flood:
        if x.telling and x.frame is not None:
            message = read_membership(x.frame)
            if message is not None:
                _tell(x, table, came, vlan, message)
        x.effects.append(Snoop(x.bridge, vlan, came.name))
    if x.key >> _KIND & 0xFFFF in reports:
        for port in [*_routers(x, table, came, vlan), *_told(x, _ALL_REPORTS, came)]:
            out(port)
        return
    x.note(otherwise)
    flood()


def _tell(x: Walk, table: MulticastTable, came: PortConfig, vlan: int, message: Message) -> None:
    """Notes what the message will change."""
    where = f"on port {came.name} in VLAN {vlan}"
    if not message.intact:
        x.note(f"multicast snooping received bad {message.protocol} checksum {where}")
    elif message.querier is not None:
        if message.querier and not table.is_router(vlan, came.name):
            source = f" from {format_address(message.querier)} is" if message.protocol == "IGMP" else ""
            x.note(f"multicast snooping query{source} {where}")
    elif count := table.foresee(vlan, came.name, message, shared=came.report_flood):
        if message.listed:
            x.note(f"multicast snooping processed {count} addresses {where}")
        else:
            group, wanted = message.changes[0]
            verb = "learned that" if wanted else "leaving"
            x.note(f"multicast snooping {verb} {format_address(group)} is {where}")


def _members(x: Walk, group: Group, came: PortConfig) -> Iterator[PortConfig]:
    for name in list(group.ports):
        if name == came.name:
            x.note("mcast group port is input port, dropping")
        else:
            x.note("forwarding to mcast group port")
            yield x.bridge.ports[name]


def _routers(x: Walk, table: MulticastTable, came: PortConfig, vlan: int) -> Iterator[PortConfig]:
    x.reads.append(routers_token(x.bridge.name))
    for router in table.routers():
        if router.vlan != vlan:
            x.note("mcast router is on another vlan, dropping")
        elif router.port == came.name:
            x.note("mcast router port is input port, dropping")
        else:
            x.note("forwarding to mcast router port")
            yield x.bridge.ports[router.port]


class _Marked(NamedTuple):
    """Ports that an operator has marked, and what is said of one that is, or is not, sent to."""

    marks: Callable[[PortConfig], bool]
    came_in: str
    sent: str


_ALL_MULTICAST: Final = _Marked(
    lambda port: port.multicast_flood,
    "mcast flood port is input port, dropping",
    "forwarding to mcast flood port",
)
_ALL_REPORTS: Final = _Marked(
    lambda port: port.report_flood,
    "mcast port is input port, dropping the Report",
    "forwarding report to mcast flagged port",
)


def _told(x: Walk, marked: _Marked, came: PortConfig) -> Iterator[PortConfig]:
    """The ports that are to get all multicast, or all reports."""
    x.reads.append(ports_token(x.bridge.name))
    for port in filter(marked.marks, x.bridge.multicast_ports.values()):
        if port is came:
            x.note(marked.came_in)
        else:
            x.note(marked.sent)
            yield port
