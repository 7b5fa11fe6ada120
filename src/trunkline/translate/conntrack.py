"""Connection tracking: the actions ct and ct_clear.

What is known of a connection is only found when the datapath does it.  So ct(table=N) recirculates:
the rest of the pipeline sees the packet again with its ct_* fields filled in, in a walk of its own, while
this one goes on with a packet whose ct_* fields are all 0.  Without a table nothing sees what was found.

exec() sets the mark and label of the connection, not of the packet: its actions are walked like others, and
what they have changed becomes part of the datapath's action.
"""

from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.ofproto.fabric import timeouts_token
from trunkline.openflow import actions as a
from trunkline.translate import fields, options
from trunkline.translate.explain import action_text
from trunkline.translate.frozen import fork
from trunkline.translate.result import ACTION, CONNTRACK, Node
from trunkline.translate.run import run
from trunkline.translate.walk import Walk

FIELDS: Final = layout.bits(
    "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_src", "ct_dst", "ct_tp_src", "ct_tp_dst", "ct_proto"
)
_MARK: Final = layout.VIEW["ct_mark"]
_LABEL: Final = layout.VIEW["ct_label"]
_MARKS: Final = _MARK.mask | _LABEL.mask
_HELPERS: Final = {0: "", 21: "ftp", 69: "tftp"}
_CLEARED: Final = "Sets the packet to an untracked state, and clears all the conntrack fields."


def clear_fields(x: Walk) -> None:
    """The walk sees an untracked packet from here on."""
    x.key &= ~FIELDS
    x.fresh &= ~FIELDS
    x.tracked = False


def conntrack(x: Walk, action: a.Ct, _: Any) -> None:
    """The step of ct."""
    x.commit()
    zone = _zone(x, action)
    inner = action.actions if action.nat is None else (action.nat, *action.actions)
    translation = next((one for one in reversed(inner) if isinstance(one, a.Nat)), None)
    mark, label = _marks(x, inner)
    timeout = ""
    if action.commit:
        x.reads.append(timeouts_token())
        timeout = x.bridge.fabric.timeout_policies.get(zone, "")
    x.out.append(
        dp.Conntrack(
            action.commit and not action.force,
            action.force,
            zone,
            mark,
            label,
            _HELPERS[action.alg],
            timeout,
            None if translation is None else nat(translation),
        )
    )
    if action.table is not None:
        x.conntracked = True  # for those who see it again
        for view, found in ((_MARK, mark), (_LABEL, label)):  # a trace takes it that they are set
            if found is not None:
                x.key = x.key & ~(found[1] << view.shift) | found[0] << view.shift
        fork(x, action.table, CONNTRACK, zone=zone)
        if x.why is not None:
            *before, last = x.followed
            x.followed = *before, last._replace(nat=x.out[-2].nat)
        x.note(
            "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table "
            f"{action.table}."
        )
    x.conntracked = False
    x.note(_CLEARED)
    clear_fields(x)


def _zone(x: Walk, action: a.Ct) -> int:
    if isinstance(action.zone, int):
        return action.zone
    place = options.part(x, *action.zone)
    return 0 if place is None else fields.read(x, place)


def _marks(x: Walk, actions: tuple[a.Action, ...]) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """What the actions within make of mark and label, as (value, mask); None where they leave them alone."""
    looked, fresh, key = x.wild & _MARKS, x.fresh & _MARKS, x.key & _MARKS
    x.wild &= ~_MARKS
    x.fresh |= _MARKS
    if not any(isinstance(inner, a.Nat) for inner in actions):
        run(x, x.compile(actions), actions)
    else:
        for inner in actions:
            if not isinstance(inner, a.Nat):
                run(x, x.compile((inner,)), (inner,))
            elif x.why is not None:
                x.why.append(Node(ACTION, action_text(inner), inner))
    changed, now = x.wild & _MARKS, x.key
    x.wild = x.wild & ~_MARKS | looked
    for inner in actions:
        if isinstance(inner, a.Move):  # the connection's own bits may have been read
            x.wild |= layout.MASK.get(inner.source, 0) & _MARKS & fresh
    x.fresh = x.fresh & ~_MARKS | fresh
    x.key = x.key & ~_MARKS | key
    found = []
    for shift, ones, _ in (_MARK, _LABEL):
        mask = changed >> shift & ones
        found.append((now >> shift & mask, mask) if mask else None)
    return found[0], found[1]


def nat(action: a.Nat) -> dp.Nat:
    """As the datapath has it."""
    kind = "src" if action.source else "dst" if action.destination else ""
    return dp.Nat(
        kind,
        6 if action.ipv6 else 4,
        action.address_low,
        action.address_high,
        action.port_low,
        action.port_high,
        action.persistent,
        action.hash,
        action.random,
    )


def conntrack_clear(x: Walk, _: Any, __: Any) -> None:
    """The step of ct_clear; nothing to do for a packet that is not tracked."""
    if not x.conntracked:
        return
    x.conntracked = False
    clear_fields(x)
    x.out.append(dp.ConntrackClear())
