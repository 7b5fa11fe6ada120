"""Actions that hold others, or what follows them: clone and check_pkt_larger."""

from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.openflow import actions as a
from trunkline.translate.fields import Part, write
from trunkline.translate.frozen import finish
from trunkline.translate.run import CAREFUL, Actions, looks_inside, run
from trunkline.translate.walk import Walk

_IRREVERSIBLE: Final = (a.Ct, a.CtClear, a.Meter, a.OutputTruncated, a.Encap, a.DecapAny)
"""What they do to the datapath's packet, translation cannot undo."""


def reversible(actions: tuple[a.Action, ...]) -> bool:
    for action in actions:
        if isinstance(action, _IRREVERSIBLE):
            return False
        if isinstance(action, a.Clone) and not reversible(action.actions):
            return False
    popped = any(isinstance(action, a.PopMpls) and action.ethertype not in _MPLS for action in actions)
    return not popped or not any(isinstance(action, _WRITES) and looks_inside(action) for action in actions)


_MPLS: Final = (0x8847, 0x8848)
_WRITES: Final = (a.SetField, a.Load, a.Move, a.StackPop, a.DecTtl, a.SetIpv4Src, a.SetIpv4Dst)
"""What is written before labels go on cannot be told from what was there once they are off."""


def clone(x: Walk, program: tuple[Any, Actions], undone: bool) -> bool | int:
    """clone(...): what it changes nobody sees afterwards.

    What translation can undo in the datapath's packet is undone by the next output; else the datapath makes a
    copy (`undone` false), unless nothing comes after it.
    """
    saved = x.key, x.fresh, x.stack, x.action_set, x.conntracked
    x.stack, x.action_set = list(x.stack), list(x.action_set)
    copied = not undone and not x.last
    if copied:
        x.commit()
    out, base = x.out, x.base
    if copied:
        x.out = []
    steps, actions = program
    run(x, steps, actions)
    finish(x)
    if copied:
        if x.out:
            out.append(dp.Clone(tuple(x.out)))
        x.out, x.base = out, base
    x.key, x.fresh, x.stack, x.action_set, x.conntracked = saved
    return x.exit or (CAREFUL if x.was_mpls else False)


def check_length(x: Walk, what: tuple[int, Part], rest: tuple[Any, Actions]) -> bool:
    """check_pkt_larger(...): the rest of the list is done twice, for the datapath to choose by the length."""
    length, target = what
    x.commit()
    saved = x.key, x.base, x.fresh, x.stack, x.action_set, x.was_mpls, x.conntracked, x.out, x.last
    steps, actions = rest
    found = []
    for larger in (1, 0):
        x.out, x.last = [], False
        x.stack, x.action_set = list(saved[3]), list(saved[4])
        write(x, target.mask, larger << target.shift)
        run(x, steps, actions)
        finish(x)
        found.append(tuple(x.out))
        x.key, x.base, x.fresh, x.stack, x.action_set, x.was_mpls, x.conntracked, x.out, x.last = saved
        if larger and not x.failure:
            x.exit = False
    x.out.append(dp.CheckLength(length, *found))
    return True
