"""Flow monitors: a controller asks to be told of changes to flows, and is told.

Nicira's extension to OpenFlow 1.0 to 1.2 came first, the ONF's for 1.3 and OpenFlow 1.4 took it over.
"""

from typing import NamedTuple

from trunkline.flow.match import Match
from trunkline.model.openflow import OFPG_ANY, OFPP_ANY, OFPTT_ALL
from trunkline.openflow.actions import Action


class FlowMonitor(NamedTuple):
    """One monitor asked for.  `flags` are OFPFMF_* (of 1.4), `command` OFPFMC_* (add, modify, delete)."""

    id: int
    flags: int
    match: Match
    table: int = OFPTT_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    command: int = 0


class FlowMonitorRequest(NamedTuple):
    monitors: tuple[FlowMonitor, ...]


class FlowUpdate(NamedTuple):
    """`event` is OFPFME_* (initial, added, removed, modified); `reason` OFPRR_* of a removal.

    `actions` is None where the monitor did not ask for them.
    """

    event: int
    match: Match
    priority: int
    table: int
    cookie: int = 0
    reason: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    actions: tuple[Action, ...] | None = None


class FlowUpdateAbbreviated(NamedTuple):
    """What the receiver's own flow-mod `xid` did."""

    xid: int


class FlowUpdates(NamedTuple):
    """The reply to a monitor request, and with xid 0 each later update."""

    updates: tuple[FlowUpdate | FlowUpdateAbbreviated, ...]
    more: bool = False


class FlowMonitorCancel(NamedTuple):
    id: int


class FlowMonitorPaused(NamedTuple):
    """The receiver is too slow: updates stop until FlowMonitorResumed."""


class FlowMonitorResumed(NamedTuple):
    pass
