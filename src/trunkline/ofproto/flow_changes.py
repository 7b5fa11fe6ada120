"""What came of a flow: the news that flow monitors pass on (flow_monitors.py)."""

from typing import Any, NamedTuple, TypeAlias

from trunkline.ofproto.rules import Rule

Author: TypeAlias = tuple[Any, int]
"""A client and the xid of its message."""


class FlowChange(NamedTuple):
    """`event` is OFPFME_* (added, removed, modified), `old` the flow whose place this one took with other
    actions, `author` who did it, if it was done by a message, `replaced` whether there was a flow in its
    place."""

    event: int
    rule: Rule
    reason: int
    old: Rule | None
    author: Author | None
    replaced: bool = False
