"""A packet's key, and the tables as they are: what is to be done with such packets.

    result = translate(bridge, key)                # for a megaflow
    result = translate(bridge, key, why=nodes)     # and why

`key` holds the packet's bits, the OpenFlow port `in_port`, and for a packet on its way through the pipeline
already, registers and metadata.
"""

from trunkline.model.openflow import (
    OFPR_NO_MATCH,
    OFPTC11_TABLE_MISS_CONTINUE,
    OFPTC11_TABLE_MISS_CONTROLLER,
    OFPTC11_TABLE_MISS_DROP,
)
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import bridge_token
from trunkline.ofproto.rules import TABLES, Rule
from trunkline.openflow.actions import Action
from trunkline.translate.compile import compile_actions
from trunkline.translate.explain import action_text, rule_text
from trunkline.translate.output import receive, to_controller
from trunkline.translate.result import ACTION, BRIDGE, TABLE, CountRule, CountTable, Node, Result, TableRead
from trunkline.translate.walk import Walk


def translate(bridge: Bridge, key: int, why: list[Node] | None = None, *, telling: bool = False) -> Result:
    """What happens to packets like this one.  `telling`: the explanation names effects, for they will be
    applied."""
    x = _start(bridge, key, why)
    x.telling = telling
    receive(x)
    return _finish(x)


def translate_actions(
    bridge: Bridge, key: int, actions: tuple[Action, ...], why: list[Node] | None = None
) -> Result:
    """What these actions do to a packet: packet-out."""
    x = _start(bridge, key, why)
    _run(x, compile_actions(actions), actions)
    return _finish(x)


def _start(bridge: Bridge, key: int, why: list[Node] | None) -> Walk:
    if why is not None:
        node = Node(BRIDGE, f'bridge("{bridge.name}")', bridge.name)
        why.append(node)
        why = node.children
    return Walk(bridge, key, visit, why)


def _finish(x: Walk) -> Result:
    return Result(tuple(x.out), x.wild, tuple(x.effects), tuple(x.reads), x.key)


def visit(x: Walk, table: int) -> None:
    """Looks the packet up in a table of its bridge and does what the rule says."""
    flows = x.bridge.flows.tables
    x.lookups += 1
    rule, looked = flows.lookup(table, x.key, flows.version)
    x.reads.append(TableRead(x.bridge.name, table, x.key, looked))
    x.wild |= looked & x.fresh
    x.effects.append(CountTable(flows.count(table), rule is not None))
    x.table = table
    x.rule = rule
    outer = x.why
    if outer is not None:
        node = Node(TABLE, f"{table:2d}. {rule_text(rule, x.bridge is x.entry)}", rule)
        outer.append(node)
        x.why = node.children
    if rule is not None:
        x.effects.append(CountRule(rule))
        _run(x, _steps(rule), rule.actions)
    else:
        x.reads.append(bridge_token(x.bridge.name))
        if x.bridge.table_miss:
            _miss(x, table)
    if outer is not None and x.why is not None and not (rule is not None and rule.actions):
        x.why.append(Node(ACTION, "drop"))
    x.why = outer


def _miss(x: Walk, table: int) -> None:
    """What OpenFlow 1.1 and 1.2 can set for packets that no flow of the table matches."""
    config = x.bridge.table_miss.get(table, OFPTC11_TABLE_MISS_DROP)
    if config == OFPTC11_TABLE_MISS_CONTROLLER:
        to_controller(x, 0xFFFF, (0, OFPR_NO_MATCH, b""))
    elif config == OFPTC11_TABLE_MISS_CONTINUE and table + 1 < TABLES:
        visit(x, table + 1)


def _steps(rule: Rule) -> tuple[tuple[object, object, object], ...]:
    steps = rule.ops
    if steps is None:
        steps = rule.ops = compile_actions(rule.actions)
    return steps


def _run(x: Walk, steps: tuple[tuple[object, object, object], ...], actions: tuple[Action, ...]) -> None:
    if x.why is not None:
        for (function, a, b), action in zip(steps, actions, strict=True):
            x.why.append(Node(ACTION, action_text(action), action))
            if function(x, a, b) or x.exit:  # type: ignore[operator]
                return
        return
    for function, a, b in steps:
        if function(x, a, b) or x.exit:  # type: ignore[operator]
            return
