"""Taking out many flows without keeping packets waiting.

A flow-mod that deletes is one change: packets and controllers see the tables before it or after it.  But to
find 100,000 flows takes 50 ms, and to take them out of the classifiers half a second.  The versions of the
tables let that be cut: the flows are found in steps, vanish all at once in a new version (some 30 ns each),
and are taken out in steps afterwards, when no lookup sees them any more.

Nobody changes the tables while that goes on: whoever is about to has the rest done first (`Flows.settle`),
and so has whoever must know them as they will be.  So it is as if the deletion had been done when the flows
vanished.  Who monitors flows is told of some in each step; whose deletion it is, in short, once.
"""

from collections.abc import Callable, Iterator
from typing import Final

from trunkline.model.openflow import OFPFC_DELETE
from trunkline.ofproto.flow_changes import Author
from trunkline.ofproto.flow_mods import Flows
from trunkline.ofproto.rules import Rule
from trunkline.ofproto.selection import Selection
from trunkline.openflow.messages import FlowMod, FlowRemoved

_MANY: Final = 1000  # flows to be looked at that make a deletion long; as many take some 5 ms
_AT_ONCE: Final = 100  # flows that are taken out in a step


def is_long(flows: Flows, message: FlowMod) -> bool:
    """Whether a flow-mod is better carried out by `begin`."""
    if message.command != OFPFC_DELETE:
        return False
    mask = message.match.mask
    return sum(one.candidates(mask) for _, one in flows.tables.chosen(message.table)) > _MANY


def begin(flows: Flows, message: FlowMod, tell: Callable[[FlowRemoved], None]) -> Iterator[None]:
    """The steps of a deletion, each about a millisecond long; `tell` gets what controllers are to be told.

    Raises Refused.  The caller goes through the steps; that others do it for him (`Flows.settle`) is no harm.
    """
    flows.check(message)
    flows.settle()
    steps = _steps(flows, Selection.meant_by(message), tell, flows.author)
    flows.pending = steps
    return _go_on(flows, steps)


def _go_on(flows: Flows, steps: Iterator[None]) -> Iterator[None]:
    while flows.pending is steps:
        flows.pending = None  # what a step itself changes need not wait for the rest
        if next(steps, flows) is not flows:
            flows.pending = steps
        yield


def _steps(
    flows: Flows, selection: Selection, tell: Callable[[FlowRemoved], None], author: Author | None
) -> Iterator[None]:
    found: list[list[Rule]] = []
    for rules in flows.snapshot(selection):
        chosen: list[Rule] = []
        for rule in rules:
            if rule is None:
                yield
            else:
                chosen.append(rule)
        if chosen:
            found.append(chosen)
    flows.vanish(found)
    while found:
        rest = found.pop(0)
        rest.reverse()  # so that what is done goes from the end, and its memory with it
        while rest:
            yield
            some = rest[: -_AT_ONCE - 1 : -1]
            del rest[-_AT_ONCE:]
            flows.take_out(some, tell, author)
