"""The words of an explanation: a tree of nodes to the text that ``ofproto/trace`` prints."""

from collections.abc import Iterable
from typing import Final, cast

from trunkline.flow.text import format_match
from trunkline.flow.values import NO_CONTEXT, TextContext
from trunkline.ofproto.rules import Rule
from trunkline.openflow.actions import Action
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.style import Style
from trunkline.translate.result import (
    ACTION,
    BRIDGE,
    DETAIL,
    ERROR,
    TABLE,
    WARNING,
    Node,
    Unroll,
    Visited,
)


def lines(nodes: list[Node], names: TextContext = NO_CONTEXT) -> list[str]:
    """The lines of a list of nodes.  With `names`, ports go by their names."""
    out: list[str] = []
    _put(out, nodes, 0, names)
    return out


def _put(out: list[str], nodes: list[Node], level: int, names: TextContext) -> None:
    """What follows the last step of a list is not indented any further."""
    indent, deeper = _INDENT * level, _INDENT * (level + 1)
    left = len(nodes)
    for node in nodes:
        left -= 1
        kind, text = node.kind, node.text if names is NO_CONTEXT else _named(node, names)
        if kind == ACTION:
            out.append(deeper + text)
        elif kind == TABLE:
            out.append((deeper if left else indent) + text)
            _put(out, node.children, level + 2 if left else level, names)
        elif kind == BRIDGE:
            before = deeper if left else indent
            out += "", before + text, before + "-" * len(text)
            _put(out, node.children, level + 2 if left else level, names)
        elif kind in _PREFIX:
            out.append(deeper + _PREFIX[kind] + text + _SUFFIX.get(kind, ""))
        else:  # a bucket, or a walk that resumes
            out.append(deeper + text)
            _put(out, node.children, level + 2, names)


def _named(node: Node, names: TextContext) -> str:
    """A node's text; the numbers of ports in a rule or an action give way to `names`."""
    if node.what is None or _OPTION in node.text:
        return node.text
    if isinstance(node.what, Visited) and node.what.rule is not None:
        return f"{node.what.table:2d}. {rule_text(node.what.rule, True, names)}"
    if node.kind == ACTION and not isinstance(node.what, Unroll) and node.text != "drop":
        return format_actions((cast(Action, node.what),), Style(context=names))
    return node.text


_OPTION = "TUN_METADATA"  # what is said of these depends on the bridge
_INDENT = "    "
_PREFIX = {DETAIL: " -> ", WARNING: " >> ", ERROR: " >>>> "}
_SUFFIX = {ERROR: " <<<<"}


CALLED_FOR: Final = 'No match, and a "packet-in" is called for.'


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
