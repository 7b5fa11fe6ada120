"""The action set: what write_actions gathers on the way, done in a fixed order when the tables are through.

Source: OpenFlow 1.3 section 5.10, and ovs-actions(7), Action Sets, which says where the extensions come.
"""

from collections.abc import Iterable
from typing import Final

from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow.actions_format import format_actions
from trunkline.translate.frozen import finish
from trunkline.translate.result import TABLE, Node
from trunkline.translate.run import run
from trunkline.translate.walk import Walk

EXECUTING: Final = "--. Executing action set:"

# Of each of these kinds the last that was added is done, in this order.
_ONCE: Final[tuple[tuple[type, ...], ...]] = (
    (a.StripVlan,),
    (a.PopMpls,),
    (a.DecapAny,),
    (a.Encap,),
    (a.PushMpls,),
    (a.PushVlan,),
    (a.DecTtl,),
    (a.DecMplsTtl,),
    (a.DecNshTtl,),
)
# All of these, in the order in which they were added.
_EVERY: Final = (
    a.Load,
    a.Move,
    a.SetField,
    a.SetEthDst,
    a.SetEthSrc,
    a.SetIpDscp,
    a.SetIpEcn,
    a.SetIpTtl,
    a.SetIpv4Dst,
    a.SetIpv4Src,
    a.SetL4DstPort,
    a.SetL4SrcPort,
    a.SetMplsLabel,
    a.SetMplsTc,
    a.SetMplsTtl,
    a.SetQueue,
    a.SetTunnel,
    a.SetVlanPcp,
    a.SetVlanVid,
)
# Of all these only one, of the first kind that is there.
_LAST: Final[tuple[type, ...]] = (a.Group, a.Output, a.Resubmit, a.Ct)

_OUTPUT: Final = layout.VIEW["actset_output"]
UNSET: Final = 0xFFF7 << _OUTPUT.shift
"""The key's actset_output while no port is in the action set."""


def ordered(actions: Iterable[a.Action]) -> tuple[a.Action, ...]:
    """What an action set made of `actions` does; nothing, if it would not send the packet anywhere."""
    given = tuple(actions)
    for kind in _LAST:
        final = [action for action in given if type(action) is kind]
        if final:
            break
    else:
        return ()
    found: list[a.Action] = []
    for kinds in _ONCE:
        found += [action for action in given if isinstance(action, kinds)][-1:]
    found += [action for action in given if isinstance(action, _EVERY)]
    return (*found, final[-1])


def write(x: Walk, actions: tuple[a.Action, ...], _: object) -> None:
    """write_actions."""
    x.action_set += actions
    if x.why is not None:
        x.note(f"action set is{_text(x)}")
    mark(x)


def clear(x: Walk, _: object, __: object) -> None:
    """clear_actions."""
    if x.why is not None:
        x.note(f"action set was{_text(x)}")
    x.action_set = ()
    mark(x)


def _text(x: Walk) -> str:
    actions = ordered(x.action_set)
    return f": {format_actions(actions)}" if actions else " empty"


def mark(x: Walk) -> None:
    """Sets actset_output: the port that the set will output to, as far as it is known."""
    port = UNSET
    if not any(isinstance(action, a.Group) for action in x.action_set):
        for action in x.action_set:
            if isinstance(action, a.Output):
                port = action.port << _OUTPUT.shift
    x.key = x.key & ~_OUTPUT.mask | port


def end(x: Walk) -> None:
    """The tables of the bridge are through: does the action set, unless the walk has stopped before."""
    if x.action_set and not x.freezing and not x.failure:
        actions = ordered(x.action_set)
        x.action_set = ()
        if actions:
            _execute(x, actions)
    finish(x)


def _execute(x: Walk, actions: tuple[a.Action, ...]) -> None:
    outer, reason = x.why, x.reason
    if outer is not None:
        node = Node(TABLE, EXECUTING, actions)
        outer.append(node)
        x.why = node.children
    if x.reason != of.OFPR_PACKET_OUT:
        x.reason = of.OFPR_ACTION_SET
    if not x.exit:
        run(x, x.compile(actions), actions)
    x.why, x.reason = outer, reason
