"""The action set: what write_actions gathers on the way, done in a fixed order when the tables are through.

Source: OpenFlow 1.3 section 5.10, and ovs-actions(7), which says in what order the extensions come.
"""

from typing import Final

from trunkline.translate.frozen import finish
from trunkline.translate.result import TABLE, Node
from trunkline.translate.run import run
from trunkline.translate.walk import Walk

EXECUTING: Final = "--. Executing action set:"


def end(x: Walk) -> None:
    """The tables of the bridge are through: does the action set, unless the walk has stopped before."""
    if x.action_set and not x.freezing:
        actions = tuple(x.action_set)
        x.action_set = []
        outer = x.why
        if outer is not None:
            node = Node(TABLE, EXECUTING)
            outer.append(node)
            x.why = node.children
        run(x, x.compile(actions), actions)
        x.why = outer
    finish(x)
