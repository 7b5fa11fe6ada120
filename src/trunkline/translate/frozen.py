"""Walks that stop and go on later.

Some decisions need the datapath's help: connection tracking, a hash, a packet whose inside is only readable
once a label is off it, a controller that holds the packet.  The walk is then *frozen*: everything that it
knows and the packet does not carry goes into a `Frozen`, which gets a number (ofproto/recirculation.py), and
the datapath is told to look the packet up again under that number.  `thaw` takes the walk up from there.

There are two ways.  `fork` freezes the walk as it is, to resume in a table, while it goes on itself: ct.
`stop` ends the walk; what its rules had still to do is collected on the way out (run.py), and `finish` puts
the recirculation out.
"""

from typing import Any, Final, NamedTuple

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.openflow.actions import Action, Controller
from trunkline.packet.tunnels import TUNNEL
from trunkline.translate.explain import actions_text
from trunkline.translate.result import CONNTRACK, TABLE, THAW, Node, Recirculation, SendToController, Unroll
from trunkline.translate.walk import Walk

CARRIED: Final = layout.PIPELINE & ~layout.MASK["actset_output"] | TUNNEL
"""What a frozen walk keeps of the key; the rest is the packet's."""
_RECIRC: Final = layout.OFFSET["recirc_id"]
_RECIRC_MASK: Final = layout.MASK["recirc_id"]
_CONNECTION: Final = layout.bits(
    "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_src", "ct_dst", "ct_tp_src", "ct_tp_dst", "ct_proto"
)


class Frozen(NamedTuple):
    """A walk that has stopped.  With `lookup` it resumes by looking up `table`, else by doing `actions`."""

    bridge: str
    table: int
    cookie: int
    lookup: bool
    actions: tuple[Action | Unroll, ...]
    action_set: tuple[Action, ...]
    stack: tuple[int, ...]
    metadata: int  # the key's bits of `CARRIED`
    conntracked: bool
    userdata: bytes = b""  # of the controller action that froze it


def freeze(
    x: Walk, table: int, actions: tuple[Any, ...] | None, userdata: bytes = b"", *, tracked: bool = False
) -> int:
    """The number under which the walk can be resumed with `actions`, or with a lookup in `table`.

    `tracked`: once the packet has been to connection tracking, or as it came from there.
    """
    frozen = Frozen(
        x.bridge.name,
        table,
        x.cookie,
        actions is None,
        actions or (),
        x.action_set if actions != () or x.freezing else (),
        x.stack,
        x.key & CARRIED,
        tracked or x.tracked,
        userdata,
    )
    return x.bridge.fabric.recirculations.id_of(frozen)


def fork(x: Walk, table: int, kind: str, *, zone: int = 0) -> None:
    """Recirculates a copy of the packet as it is now, to resume in `table`; the walk goes on.

    `kind` says why, for the explanation (result.py, Recirculation).  What must happen to the packet before
    (dp.Conntrack, dp.Hash) is in `x.out` already.
    """
    number = freeze(x, table, None, tracked=kind == CONNTRACK)
    x.out.append(dp.Recirc(number))
    if x.why is not None:
        x.followed += (Recirculation(kind, number, x.key & ~_RECIRC_MASK | number << _RECIRC, zone),)


def again(x: Walk, table: int) -> None:
    """The packet goes through the tables from `table` on once the datapath has looked at it anew."""
    x.commit()
    x.out.append(dp.Recirc(freeze(x, table, None)))


def stop(x: Walk, pause: Controller | dp.Hash | None = None) -> None:
    """The walk stops here; the step that calls this returns True, or AGAIN if it is itself yet to be done.

    `pause`: until that controller says so; or the datapath makes this hash first.
    """
    x.freezing = x.exit = True
    x.pause = pause
    x.left = ()
    x.left_of = None


def finish(x: Walk) -> None:
    """At the end of the bridge's part of a walk, or of a clone's: puts out the recirculation.

    It stands in the table where that part began, as in the original: what is left says where it belongs.
    """
    if x.freezing:
        x.freezing = False
        _put_out(x, x.pause)


def _put_out(x: Walk, pause: Controller | dp.Hash | None) -> None:
    userdata = pause.userdata or b"" if isinstance(pause, Controller) else b""
    number = freeze(x, x.table, x.left, userdata)
    x.commit()
    if not isinstance(pause, Controller):
        x.out += [dp.Recirc(number)] if pause is None else [pause, dp.Recirc(number)]
        return
    what = SendToController(
        x.bridge,
        pause.reason,
        0,  # the original says table 0 wherever a packet waits
        x.cookie,
        pause.controller_id,
        pause.max_len,
        userdata,
        x.key & CARRIED,
        x.tracked,
        number,
        True,
    )
    x.out.append(dp.Userspace(what))  # it waits, which no meter is for


def thaw(x: Walk, frozen: Frozen) -> None:
    """The walk, which has just begun with the packet's key, is as it was when it was frozen."""
    x.key = x.key & ~CARRIED | frozen.metadata
    x.fresh &= ~TUNNEL
    x.base = x.base & ~CARRIED | frozen.metadata
    if not frozen.conntracked:
        x.key &= ~_CONNECTION
        x.fresh &= ~_CONNECTION
    x.conntracked = x.tracked = frozen.conntracked
    x.table, x.cookie = frozen.table, frozen.cookie
    x.stack = frozen.stack
    x.action_set = frozen.action_set
    if x.why is not None:
        node = Node(THAW, "thaw", frozen)
        node.children = [Node(TABLE, f"Resuming from table {frozen.table}")]
        if frozen.actions:
            node.children.append(Node(TABLE, f"Restoring actions: {actions_text(frozen.actions)}"))
        x.why.append(node)


def recirculations_in(actions: tuple[Any, ...]) -> list[int]:
    """The numbers that datapath actions name, nested ones too."""
    found = []
    for action in actions:
        kind = type(action)
        if kind is dp.Recirc:
            found.append(action.id)
        elif kind is dp.Clone or kind is dp.Sample:
            found += recirculations_in(action.actions)
        elif kind is dp.CheckLength:
            found += recirculations_in(action.greater) + recirculations_in(action.less_equal)
        elif kind is dp.Userspace and type(action.what) is SendToController and action.what.frozen:
            found.append(action.what.frozen)
    return found
