"""Runs the steps of a rule, a bucket or a clone; and keeps what is left to do when a walk must stop.

A step's result says what comes next: None or False, the next step; `True`, no further step of this list;
`AGAIN`, this step can only be done once the datapath has looked at the packet anew; `CAREFUL`, from here on
actions that look into the packet must wait for that (a label came off it); `ONWARD`, the rule has come to its
end and goes on in another table.  When a walk stops for what the datapath must look at (`x.freezing`), each
list on the way out adds what it had left, so that the whole is one list of actions to resume with; `Unroll`
marks where a list continues that belongs to another rule.
"""

from typing import Any, Final

from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.translate import options
from trunkline.translate.explain import action_text
from trunkline.translate.frozen import stop
from trunkline.translate.result import ACTION, Node, Unroll
from trunkline.translate.walk import Walk

AGAIN: Final = 2
CAREFUL: Final = 3
ONWARD: Final = 4
CURRENT_TABLE: Final = 255

Actions = tuple[a.Action | Unroll, ...]


def run(x: Walk, steps: Any, actions: Actions) -> Any:
    """Does the steps, which were compiled from `actions` one by one.  The last result, if it ended them."""
    rest = iter(steps)
    if x.why is None:
        for function, first, second in rest:
            if result := function(x, first, second):
                return result if result is ONWARD else stopped(x, result, rest, actions)
        return None
    return stopped(x, CAREFUL, rest, actions)


def stopped(x: Walk, result: Any, rest: Any, actions: Actions) -> Any:
    """What follows a step that ended its list with `result`; `rest` are the steps behind it."""
    if result is CAREFUL:
        result = _careful(x, rest, actions)
    if x.freezing:
        left = sum(1 for _ in rest) + (result is AGAIN)
        for action in actions[-left:] if left else ():
            if (x.table, x.cookie) != x.left_of and tells_place(action):
                x.left_of = x.table, x.cookie
                x.left += (Unroll(*x.left_of),)
            x.left += (action,)
    return result


_TELLING: Final = (
    a.Output,
    a.OutputRegister,
    a.OutputTruncated,
    a.Controller,
    a.Group,
    a.DecTtl,
    a.DecMplsTtl,
)


def tells_place(action: a.Action | Unroll) -> bool:
    """Whether it may matter to an action of which rule it is: packets to controllers tell, and a resubmit may
    stay in the table."""
    return isinstance(action, _TELLING) or (isinstance(action, a.Resubmit) and action.table == CURRENT_TABLE)


def _careful(x: Walk, rest: Any, actions: Actions) -> Any:
    """Does the rest of the steps, explaining each if asked to."""
    nodes = x.why
    left = rest.__length_hint__()
    if nodes is not None and not actions and not x.exit:
        nodes.append(Node(ACTION, "drop"))
    for action in actions[-left:] if left else ():
        if x.exit or (x.was_mpls and looks_inside(action)):
            if not x.exit:
                stop(x)
                next(rest)
                return AGAIN
            return True
        if nodes is not None:
            nodes.append(Node(ACTION, _text(x, action), action))
        function, first, second = next(rest)
        result = function(x, first, second)
        if result and result is not CAREFUL:
            if result is AGAIN and nodes is not None and nodes[-1].what is action:
                nodes.pop()
            return result
    return None


def _text(x: Walk, action: a.Action | Unroll) -> str:
    text = action_text(action)
    return options.whole(x, text) if "TUN_METADATA" in text else text


_OUTSIDE: Final = (
    a.Output,
    a.OutputTruncated,
    a.OutputRegister,
    a.Group,
    a.Enqueue,
    a.SetVlanVid,
    a.SetVlanPcp,
    a.SetEthSrc,
    a.SetEthDst,
    a.SetTunnel,
    a.SetQueue,
    Unroll,
)


def looks_inside(action: a.Action | Unroll) -> bool:
    """Whether an action may need to know what is behind the Ethernet type."""
    if isinstance(action, a.SetField | a.Load):
        return FIELD[action.field].prerequisite not in ("", "eth", "vlan", "mpls")
    return not isinstance(action, _OUTSIDE)


def back(x: Walk, table: int, cookie: int) -> None:
    """The step of an `Unroll`."""
    x.table, x.cookie, x.rule = table, cookie, None
    if x.why is not None:
        x.why.append(Node(ACTION, f"restored state: table={table}, cookie={cookie}", Unroll(table, cookie)))
