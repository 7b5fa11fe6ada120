"""Actions that hold others, or what follows them: clone and check_pkt_larger."""

from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.openflow import actions as a
from trunkline.translate import options
from trunkline.translate.action_set import end
from trunkline.translate.commit import flat, isolate
from trunkline.translate.fields import write
from trunkline.translate.run import CAREFUL, Actions, looks_inside, run
from trunkline.translate.walk import Walk

_IRREVERSIBLE: Final = (a.Ct, a.Meter, a.OutputTruncated, a.Encap, a.DecapAny)
"""What they do to the datapath's packet cannot be undone; nor what ct_clear does to one that is tracked."""
NEVER, UNTRACKED, ALWAYS = 0, 1, 2
"""For which packets what a clone does can be undone."""
_MPLS: Final = (0x8847, 0x8848)
_WRITES: Final = (a.SetField, a.Load, a.Move, a.StackPop, a.DecTtl, a.SetIpv4Src, a.SetIpv4Dst)
"""What is written before labels go on cannot be told from what was there once they are off."""


def reversible(actions: tuple[a.Action, ...]) -> int:
    if any(isinstance(action, _IRREVERSIBLE) for action in actions):
        return NEVER
    popped = any(isinstance(action, a.PopMpls) and action.ethertype not in _MPLS for action in actions)
    if popped and any(isinstance(action, _WRITES) and looks_inside(action) for action in actions):
        return NEVER
    return UNTRACKED if any(isinstance(action, a.CtClear) for action in actions) else ALWAYS


def clone(x: Walk, program: tuple[Any, Actions], undone: int) -> bool | int:
    """clone(...): what it changes nobody sees afterwards.

    What translation can undo in the datapath's packet (`undone` says when it can) is undone by the next
    output; else the datapath makes a copy.
    """
    saved = x.key, x.fresh, x.stack, x.action_set, x.conntracked, x.tracked
    x.depth += 1
    if undone == ALWAYS or (undone == UNTRACKED and not x.conntracked):
        start, base, pending = len(x.out), x.base, x.pending
        run(x, *program)
        end(x)
        isolate(x, start, base, pending)
    else:
        x.commit()
        out, base, x.out = x.out, x.base, []
        run(x, *program)
        end(x)
        if x.out:
            out.append(dp.Clone(flat(x.out)))
        x.out, x.base, x.pending = out, base, None
    x.depth -= 1
    x.key, x.fresh, x.stack, x.action_set, x.conntracked, x.tracked = saved
    return x.exit or (CAREFUL if x.was_mpls else False)


def check_length(x: Walk, action: a.CheckPacketLarger, rest: tuple[Any, Actions]) -> bool:
    """check_pkt_larger(...): the rest of the list is done twice, for the datapath to choose by the length.

    The action set is done at the end of either, as the original does it.  Also as there, the second time
    finds stack and action set as the first has left them; what comes after the list finds them as before.
    """
    target = options.part(x, action.field, action.offset, 1)
    x.commit()
    saved = x.key, x.base, x.fresh, x.stack, x.action_set, x.was_mpls, x.conntracked, x.tracked, x.out
    stack, action_set = x.stack, x.action_set
    found, ended = [], False
    for larger in (1, 0):
        x.out, x.stack, x.action_set = [], stack, action_set
        if target is not None:
            write(x, target.mask, larger << target.shift)
            options.mark(x, action.field)
        run(x, *rest)
        end(x)
        found.append(flat(x.out))
        stack, action_set = x.stack, x.action_set
        x.pending = None  # a header that nothing was sent with
        x.key, x.base, x.fresh, x.stack, x.action_set, x.was_mpls, x.conntracked, x.tracked, x.out = saved
        ended = ended or x.exit
        x.exit = bool(x.failure)
    x.exit = ended
    x.out.append(dp.CheckLength(action.length, *found))
    return True
