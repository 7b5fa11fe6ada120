"""The words of an explanation: a tree of nodes to the text that ``ofproto/trace`` prints."""

from collections.abc import Iterable, Iterator
from typing import cast

from trunkline.flow.text import format_match
from trunkline.flow.values import NO_CONTEXT, TextContext
from trunkline.ofproto.rules import Rule
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.style import Style
from trunkline.translate.result import (
    ACTION,
    BRIDGE,
    BUCKET,
    DETAIL,
    ERROR,
    TABLE,
    THAW,
    WARNING,
    Node,
    Unroll,
    Visited,
)


def lines(nodes: list[Node], level: int = 0, names: TextContext = NO_CONTEXT) -> Iterator[str]:
    """The lines of a list of nodes.  What follows the last step of a list is not indented any further.

    With `names`, ports go by their names.
    """
    for i, node in enumerate(nodes):
        more = i + 1 < len(nodes)
        indent = "    " * (level + more)
        inner = level + 2 * more
        if node.kind == BRIDGE:
            yield ""
            yield indent + node.text
            yield indent + "-" * len(node.text)
            yield from lines(node.children, inner, names)
        elif node.kind == TABLE:
            yield indent + _named(node, names)
            yield from lines(node.children, inner, names)
        elif node.kind in (BUCKET, THAW):
            yield "    " * (level + 1) + node.text
            yield from lines(node.children, level + 2, names)
        else:
            yield "    " * (level + 1) + _PREFIX[node.kind] + _named(node, names) + _SUFFIX.get(node.kind, "")


def _named(node: Node, names: TextContext) -> str:
    """A node's text; the numbers of ports in a rule or an action give way to `names`."""
    if names is NO_CONTEXT or node.what is None or _OPTION in node.text:
        return node.text
    if isinstance(node.what, Visited) and node.what.rule is not None:
        return node.text[:_TABLE_WIDTH] + rule_text(node.what.rule, True, names)
    if node.kind == ACTION and not isinstance(node.what, Unroll) and node.text != "drop":
        return format_actions((cast(Action, node.what),), Style(context=names))
    return node.text


_OPTION = "TUN_METADATA"  # what is said of these depends on the bridge
_TABLE_WIDTH = 4  # the table's number, a period, a space
_PREFIX = {ACTION: "", DETAIL: " -> ", WARNING: " >> ", ERROR: " >>>> "}
_SUFFIX = {ERROR: " <<<<"}


def rule_text(rule: Rule | None, first: bool, names: TextContext = NO_CONTEXT) -> str:
    """A rule as the line of its table shows it; `first`: in the bridge where the packet came in.

    In the bridges behind patch ports the original shows a miss by the hidden rule that stands for it.
    """
    if rule is None:
        return "No match." if first else "reg0=0x2, priority 0"
    match = format_match(rule.match, names)
    parts = [match] if match else []
    parts.append(f"priority {rule.priority}")
    if rule.cookie:
        parts.append(f"cookie {rule.cookie:#x}")
    return ", ".join(parts)


def action_text(action: Action | Unroll) -> str:
    if isinstance(action, Unroll):
        return f"unroll_xlate(table={action.table}, cookie={action.cookie})"
    return format_actions((action,))


def actions_text(actions: Iterable[Action | Unroll]) -> str:
    return ",".join(map(action_text, actions))
