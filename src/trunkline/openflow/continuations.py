"""A packet whose translation paused for a controller, and goes on when the controller sends it back.

`controller(pause)` sends the packet as NXT_PACKET_IN2 with a continuation: the pipeline's state, a list of
properties that the controller hands back untouched in NXT_RESUME.
"""

from typing import NamedTuple

from trunkline.openflow.actions import Action
from trunkline.openflow.messages import PacketIn


class Continuation(NamedTuple):
    """`bridge` is the UUID of the bridge's row, or None; `stack` holds the values pushed, the oldest first.

    `mirrors` are bits of mirrors done; `actions` are to be done next, then `action_set`.  `table` and
    `cookie` are those of the flow that paused; `datapath_port` is where a bond or tunnel packet came in.
    """

    bridge: int | None = None
    stack: tuple[bytes, ...] = ()
    mirrors: int = 0
    conntracked: bool = False
    table: int = 0
    cookie: int = 0
    actions: tuple[Action, ...] = ()
    action_set: tuple[Action, ...] = ()
    datapath_port: int | None = None


class Resume(NamedTuple):
    """NXT_RESUME: the packet-in as the controller got it, changed as it likes, with `continuation` bytes."""

    packet: PacketIn
