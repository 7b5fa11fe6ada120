"""Runs the steps of a rule, a bucket or a clone; and keeps what is left to do when a walk must stop.

A step's result says what comes next: None or False, the next step; `True`, no further step of this list;
`AGAIN`, this step can only be done once the datapath has looked at the packet anew.  When a walk stops for
that (`x.freezing`), each list on the way out adds what it had left, so that the whole is one list of actions
to resume with; `Unroll` marks where a list continues that belongs to another rule.
"""

from typing import Any, Final

from trunkline.openflow.actions import Action
from trunkline.translate.explain import action_text
from trunkline.translate.result import ACTION, Node
from trunkline.translate.walk import Unroll, Walk

AGAIN: Final = 2


def run(x: Walk, steps: Any, actions: tuple[Action | Unroll, ...]) -> None:
    """Does the steps, which were compiled from `actions` one by one."""
    rest = iter(steps)
    if x.why is None:
        for function, a, b in rest:
            if stop := function(x, a, b):
                break
        else:
            return
    else:
        stop = _explained(x, rest, actions)
    if x.freezing:
        left = sum(1 for _ in rest) + (stop is AGAIN)
        if left:
            if (x.table, x.cookie) != x.left_of:
                x.left_of = x.table, x.cookie
                x.left.append(Unroll(*x.left_of))
            x.left += actions[-left:]


def _explained(x: Walk, rest: Any, actions: tuple[Action | Unroll, ...]) -> Any:
    nodes = x.why
    assert nodes is not None
    stop = None
    if not actions:
        nodes.append(Node(ACTION, "drop"))
    for (function, a, b), action in zip(rest, actions, strict=False):
        if not isinstance(action, Unroll):
            nodes.append(Node(ACTION, action_text(action), action))
        stop = function(x, a, b)
        if stop:
            if stop is AGAIN:
                nodes.pop()
            break
    return stop


def back(x: Walk, table: int, cookie: int) -> None:
    """The step of an `Unroll`."""
    x.table, x.cookie, x.rule = table, cookie, None
