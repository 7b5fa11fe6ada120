"""A packet's key, and the tables as they are: what is to be done with such packets.

    result = translate(bridge, key)                # for a megaflow
    result = translate(bridge, key, why=nodes)     # and why

`key` holds the packet's bits, the OpenFlow port `in_port`, and for a packet on its way through the pipeline
already, registers and metadata.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from trunkline.flow import key as layout
from trunkline.model.openflow import (
    OFPC_FRAG_DROP,
    OFPC_FRAG_NORMAL,
    OFPP_IN_PORT,
    OFPR_IMPLICIT_MISS,
    OFPR_PACKET_OUT,
    OFPTC11_TABLE_MISS_CONTINUE,
    OFPTC11_TABLE_MISS_DROP,
)
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import bridge_token
from trunkline.ofproto.rules import TABLES, Ahead, FlowTables, Program, Rule
from trunkline.ofproto.tunnel_options import FIELDS
from trunkline.openflow.actions import Action
from trunkline.translate.action_set import UNSET, end, mark
from trunkline.translate.commit import flat
from trunkline.translate.compile import Step, compile_actions
from trunkline.translate.controller import ALL_OF_IT, output_controller, output_miss, punt
from trunkline.translate.explain import CALLED_FOR, rule_text
from trunkline.translate.fields import load
from trunkline.translate.frozen import Frozen, thaw
from trunkline.translate.output import goto, goto_onward, onward, receive, resubmit
from trunkline.translate.result import (
    ACTION,
    BRIDGE,
    TABLE,
    Dropped,
    Missed,
    Node,
    Result,
    Visited,
)
from trunkline.translate.run import CURRENT_TABLE, ONWARD, run, stopped
from trunkline.translate.walk import EVERY, FRAGMENT, MAX_DEPTH, MAX_LOOKUPS, Walk

_ALL_BUT_SET: Final = EVERY & ~layout.MASK["actset_output"]
_PORTS: Final = layout.bits("tp_src", "tp_dst")
_RECIRC: Final = layout.OFFSET["recirc_id"]


def translate(
    bridge: Bridge,
    key: int,
    why: list[Node] | None = None,
    *,
    telling: bool = False,
    frame: bytes | None = None,
) -> Result:
    """What happens to packets like this one.  `telling`: the explanation names effects, for they will be
    applied, also those of what is in `frame`."""
    number = key >> _RECIRC & 0xFFFFFFFF
    if number:
        return _resume(bridge, key, bridge.fabric.recirculations.get(number), why, telling, frame)
    x = _start(bridge, key, why)
    x.telling, x.frame = telling, frame
    x.lookups = -1  # the first one is no resubmit
    receive(x)
    _within_table(x)
    return _finish(x)


def translate_actions(
    bridge: Bridge,
    key: int,
    actions: tuple[Action, ...],
    why: list[Node] | None = None,
    *,
    telling: bool = False,
    frame: bytes | None = None,
) -> Result:
    """What these actions do to a packet: packet-out."""
    x = _start(bridge, key, why)
    x.telling, x.frame = telling, frame
    x.reason = OFPR_PACKET_OUT
    run(x, compile_actions(actions), actions)
    return _finish(x)


def translate_frozen(bridge: Bridge, key: int, frozen: Frozen) -> Result:
    """What happens to a packet whose walk a controller resumes."""
    return _resume(bridge, key, frozen, None, False)


def _resume(
    bridge: Bridge,
    key: int,
    frozen: Frozen | None,
    why: list[Node] | None,
    telling: bool,
    frame: bytes | None = None,
) -> Result:
    """The packet comes back with the number of a walk that stopped; `bridge` is where it first came in."""
    place = bridge.fabric.bridges.get(frozen.bridge) if frozen is not None else None
    x = _start(place or bridge, key, why, bridge.name)
    x.telling, x.frame = telling, frame
    if frozen is None or place is None:
        if frozen is None:
            number = layout.get(key, "recirc_id")
            x.fail("No recirculation context", f"Recirculation context not found for ID {number:x}")
        else:
            x.error("Recirculation bridge no longer exists")
        return _finish(x)
    thaw(x, frozen)
    if x.action_set:
        mark(x)
    if frozen.lookup:
        visit(x, frozen.table, x.key)
        _within_table(x)
    else:
        run(x, compile_actions(frozen.actions), frozen.actions)
    return _finish(x)


def _start(bridge: Bridge, key: int, why: list[Node] | None, named: str = "") -> Walk:
    """`named`: the bridge that the explanation begins with, if that is another."""
    if why is not None:
        name = named or bridge.name
        node = Node(BRIDGE, f'bridge("{name}")', name)
        why.append(node)
        why = node.children
    return Walk(bridge, key & _ALL_BUT_SET | UNSET, visit, compile_actions, why)


def _within_table(x: Walk) -> None:
    """The explanation goes on within the first table: that is where the original has the action set."""
    if x.why and x.why[-1].kind == TABLE:
        x.why = x.why[-1].children


_DROPS: Final = {"": "of_pipeline", "Too many resubmits": "too_many_resubmit"}
"""Failures whose coverage counters have other names."""
DROP_REASONS: Final = (
    *("bridge_not_found", "congestion", "forwarding_disabled", "invalid_tunnel_metadata", "of_pipeline"),
    *("no_recirculation_context", "recirculation_conflict", "recursion_too_deep", "stack_too_deep"),
    *("too_many_mpls_labels", "too_many_resubmit", "unsupported_packet_type"),
)
"""What all of them are called, those included that never come up here."""


@cache
def _drop_counter(failure: str) -> str:
    return f"drop_action_{_DROPS.get(failure) or failure.lower().replace(' ', '_')}"


def _finish(x: Walk) -> Result:
    if x.action_set or x.freezing:
        end(x)
    actions, slow = (flat(x.out), x.slow) if not x.failure else ((), 0)
    if not actions:
        x.effects.append(Dropped(x.entry.fabric.counters.counter(_drop_counter(x.failure))))
    if slow:  # which may have to pass a meter of the bridge
        x.reads.append(bridge_token(x.entry.name))
    wild = x.wild
    if wild & FIELDS:  # options of tunnels, which the datapath has as the packet brought them
        wild = wild & ~FIELDS | x.entry.flows.options.raw_mask(x.arrived, wild)
    return Result(
        actions,
        wild,
        tuple(x.effects),
        tuple(x.reads),
        tuple(x.looked_up),
        x.key,
        x.followed,
        slow,
        x.failure,
        x.complaints,
    )


def visit(x: Walk, table: int, key: int) -> None:
    """Looks the packet up as `key` in a table of its bridge, and does what the rule says.

    A rule that ends in another table (`onward`) makes another turn of the loop: a call for each table, with
    what calls save and put back, would make a translation a tenth dearer.  For the same reason the steps of a
    rule are done here, as `run` does them, and `_straight` goes through tables whose rules do no more than
    lead to a later one.
    """
    depth, first = x.depth, None
    while True:
        if x.why is None and not x.fragment and x.depth < MAX_DEPTH and x.lookups < _FAR:
            table, key, begin = _straight(x, table, key)
            if first is None:
                first = begin
        else:
            if x.fragment and key & FRAGMENT:
                seen = _as_fragment(x, table, key)
                if seen is None:
                    break
                key = seen
            _look_up(x, table, key)
        rule = x.rule
        if rule is None or x.why is not None:
            _slowly(x, table, key, rule)
            break
        x.cookie = rule.cookie
        steps = iter(rule.ops.steps)
        for function, one, other in steps:
            if result := function(x, one, other):
                break
        else:
            break
        if result is not ONWARD:
            stopped(x, result, steps, rule.actions)
            break
        if first is None:
            first = table, rule, rule.cookie
        before = table
        table, key = x.onward
        if table <= before:
            x.depth += 1
    if first is not None:
        x.depth = depth
        x.table, x.rule, x.cookie = first


_FAR: Final = MAX_LOOKUPS - TABLES
"""Lookups after which the limit might be met on a straight way."""


def _straight(x: Walk, table: int, key: int) -> tuple[int, int, tuple[int, Rule, int] | None]:
    """Looks the packet up from `table` on, as long as rules do no more than lead `Ahead`.

    Afterwards `x.rule` is the first that does something else, or None.  Returns the table and the key of its
    lookup, and the place that the walk has left: table, rule and cookie.  Nobody sees the walk meanwhile, so
    that it is in local variables; tables are passed once at most, so that no limit is met.
    """
    bridge = x.bridge
    name, flows = bridge.name, bridge.flows.tables
    tables, version = flows.tables, flows.version
    effects, looked_up = x.effects, x.looked_up
    x.lookups -= len(looked_up)
    wild, now, begin = 0, x.key, None
    while True:
        rules = tables.get(table)
        rule, looked = rules.lookup(key, version) if rules is not None else _NO_RULES
        looked_up.append((name, table, key, looked))
        wild |= looked
        if rule is None:
            break
        counted, ahead, _ = rule.ops or _compiled(rule, flows)
        effects.append(counted)
        if ahead is None:
            break
        if begin is None:
            begin = table, rule, rule.cookie
        keep, value, table, misses = ahead
        if keep:
            now = now & keep | value
        key = now
    x.lookups += len(looked_up)
    x.wild |= wild & x.fresh
    x.table, x.rule = table, rule
    if begin is not None:
        x.key = now
        x.misses = misses
    return table, key, begin


_NO_RULES: Final = (None, 0)


def _look_up(x: Walk, table: int, key: int) -> None:
    """A lookup by itself: of packets that are fragments, of walks that are explained, or have come far."""
    bridge = x.bridge
    flows = bridge.flows.tables
    rules = flows.tables.get(table)
    rule, looked = rules.lookup(key, flows.version) if rules is not None else _NO_RULES
    x.lookups += 1
    x.looked_up.append((bridge.name, table, key, looked))
    x.wild |= looked & x.fresh
    x.table, x.rule = table, rule
    if rule is not None:
        x.effects.append((rule.ops or _compiled(rule, flows)).counted)


def _as_fragment(x: Walk, table: int, key: int) -> int | None:
    """The key by which a fragment is looked up; None: it is dropped."""
    x.reads.append(bridge_token(x.bridge.name))
    if x.bridge.fragments == OFPC_FRAG_DROP:
        x.lookups += 1
        _drop_fragment(x, table)
        return None
    if x.bridge.fragments == OFPC_FRAG_NORMAL:
        return key & ~_PORTS  # only a reassembled packet would have them
    return key


def _slowly(x: Walk, table: int, key: int, rule: Rule | None) -> None:
    """What follows a lookup without a rule, or with an explanation, where it has a node of its own.

    Of a search that went on to other tables the first one's number is told, but that of the last where the
    packet has just come in: as the original does.
    """
    told = False
    if rule is None:
        came_in = len(x.looked_up) == 1
        x.table, told = _missed(x, table, key)
        rule = x.rule
        if came_in:
            table = x.table
    x.cookie = 0 if rule is None else rule.cookie
    outer = x.why
    if outer is not None:
        text = CALLED_FOR if told else rule_text(rule, x.bridge is x.entry)
        node = Node(TABLE, f"{table:2d}. {text}", Visited(x.bridge.name, table, rule))
        outer.append(node)
        x.why = node.children
    if rule is not None:
        assert rule.ops is not None  # `_look_up` has seen to it
        run(x, rule.ops.steps, rule.actions)
    elif told:
        punt(x, ALL_OF_IT, OFPR_IMPLICIT_MISS)
    if x.why is not None and rule is None:
        x.why.append(Node(ACTION, "controller(reason=)" if told else "drop"))
    x.why = outer


def _missed(x: Walk, table: int, key: int) -> tuple[int, bool]:
    """No rule matches: what OpenFlow 1.1 and 1.2 can set for such packets, if it is a miss of the table.

    Returns the table in which the search ends, whose rule is then `x.rule`, and whether a packet that none of
    them has a rule for goes to the controllers.
    """
    bridge = x.bridge
    x.reads.append(bridge_token(bridge.name))
    while True:
        x.effects.append(Missed(bridge.flows.tables.count(table)))
        config = bridge.table_miss.get(table)
        if not x.misses or config == OFPTC11_TABLE_MISS_DROP:
            return table, False
        if config != OFPTC11_TABLE_MISS_CONTINUE:
            return table, config is not None or bridge.tells_misses
        if table + 1 == TABLES:
            return table, True
        table += 1
        _look_up(x, table, key)
        if x.rule is not None:
            return table, False


def _drop_fragment(x: Walk, table: int) -> None:
    """No rule is looked for."""
    x.wild |= FRAGMENT & x.fresh
    if x.why is not None:
        text = 'Packets are IP fragments and the fragment handling mode is "drop".'
        node = Node(TABLE, f"{table:2d}. {text}", Visited(x.bridge.name, table, None))
        node.children.append(Node(ACTION, "drop"))
        x.why.append(node)


def _compiled(rule: Rule, flows: FlowTables) -> Program:
    """Compiles the rule, for the first translation that meets it; from then on its counters are kept, too."""
    counters = rule.counters
    if counters.name is None:
        counters.name, counters.changed = rule.name(), flows.changed
    steps = compile_actions(rule.actions)
    if not rule.priority and not rule.mask:  # the flow for packets that no other matches
        steps = tuple((output_miss, a, b) if do is output_controller else (do, a, b) for do, a, b in steps)
    ahead = None
    if steps and steps[-1][0] in _ONWARD:
        ahead = _ahead(steps, rule.table)
        function, first, second = steps[-1]
        steps = *steps[:-1], (_ONWARD[function], first, second)
    program = rule.ops = Program((flows.count(rule.table), counters), ahead, steps)
    return program


_ONWARD: Final[dict[Callable[..., Any], Callable[..., Any]]] = {resubmit: onward, goto: goto_onward}
"""What ends a rule in another table, and how it does so without a call."""


def _ahead(steps: tuple[Step, ...], table: int) -> Ahead | None:
    """What the steps of a rule in this table, the last of which leads to a table, come to; None: more."""
    *loads, (function, port, following) = steps
    if function is goto:
        following = port
    elif port != OFPP_IN_PORT:
        return None
    if not table < following < CURRENT_TABLE or any(do is not load for do, _, _ in loads):
        return None
    keep, value = 0, 0
    if loads:
        _, keep, value = loads[0]
        for _, kept, written in loads[1:]:
            keep, value = keep & kept, value & kept | written
    return Ahead(keep, value, following, function is goto)
