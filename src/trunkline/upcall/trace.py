"""``ofproto/trace``: why a packet goes where it goes.

A trace translates a packet as an upcall would, with the explanation switched on.  Nothing is sent and nothing
counted; addresses are learned if a packet is given or -generate asks for one, as the original does.  What is
printed is made from the tree that the translation leaves.
"""

from typing import Final

from trunkline.dpif.action_text import format_actions
from trunkline.flow import key as layout
from trunkline.flow.key_text import format_flow
from trunkline.flow.match import Match
from trunkline.flow.text import format_match
from trunkline.jsonrpc.unixctl import Command
from trunkline.translate.action_set import UNSET
from trunkline.translate.explain import lines
from trunkline.translate.result import CONNTRACK, SLOW_ACTION, Node, Recirculation, Result
from trunkline.translate.translate import translate, translate_actions
from trunkline.translate.walk import EVERY
from trunkline.upcall import ct_next
from trunkline.upcall.commands import Datapaths
from trunkline.upcall.dpctl import shown_actions
from trunkline.upcall.effects import apply_learning, apply_snooping
from trunkline.upcall.trace_request import Request, parse_packet_out, parse_trace

_IN_PORT_MASK: Final = layout.MASK["in_port"]
_DP_PORT_MASK: Final = layout.MASK["dp_in_port"]
_SHOWN: Final = layout.PACKET & ~_DP_PORT_MASK
_TAGS: Final = layout.bits("vlan_tci", "vlan1_tci")
_EACH_TAG: Final = (layout.MASK["vlan_tci"], layout.MASK["vlan1_tci"])
_FRAGMENT: Final = layout.MASK["nw_frag"]
_TYPE: Final = layout.OFFSET["dl_type"]
# Masks of what stays, for Python takes several times as long for & with a negative number.
_ALL_BUT_SET: Final = EVERY & ~layout.MASK["actset_output"]
_ALL_BUT_PORT: Final = EVERY & ~_DP_PORT_MASK
_SLOW: Final = ((SLOW_ACTION, "Uses action(s) not supported by datapath."),)
_RULE: Final = "=" * 79


def trace_commands(datapaths: Datapaths) -> list[Command]:
    form = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"
    packet_out = f"[-consistent] {form} actions"
    return [
        Command("ofproto/trace", form, 1, None, lambda words: trace(parse_trace(datapaths, words))),
        Command(
            "ofproto/trace-packet-out", packet_out, 2, None,
            lambda words: trace(parse_packet_out(datapaths, words)),
        ),
    ]  # fmt: skip


def trace(request: Request) -> str:
    """The whole text: the packet's way, and that of each part of it that comes back."""
    parts = []
    waiting = [Recirculation("", 0, request.key)]
    while waiting:
        part = waiting.pop(0)
        tracked = part.kind == CONNTRACK
        state = request.states.pop(0) if tracked and request.states else None
        key = (_resumed(part, state) if tracked else part.key) & _ALL_BUT_SET
        why: list[Node] = []
        if request.actions is not None and not part.kind:
            result = translate_actions(
                request.bridge, key, request.actions, why, telling=request.effective, frame=request.frame
            )
        else:
            result = translate(request.bridge, key, why, telling=request.effective, frame=request.frame)
        if part.kind:
            parts.append(_heading(part, state))
        parts.append(render(request, key, result, why))
        if request.effective:
            apply_learning(result.effects, request.bridge.clock.monotonic())
        if request.frame is not None:
            apply_snooping(result.effects, request.frame, request.bridge.clock.monotonic())
        waiting += result.recirculations
    return "\n".join(parts)


def _resumed(part: Recirculation, state: int | None) -> int:
    """The key with which a packet comes back from ct, as far as a trace knows."""
    key = layout.put(part.key, "ct_state", ct_next.DEFAULT if state is None else state)
    return ct_next.translated(layout.put(key, "ct_zone", part.zone), part.nat)


def _heading(part: Recirculation, state: int | None) -> str:
    text = f"recirc({part.id:#x})"
    if state is not None:
        text += f" - resume conntrack with ct_state={ct_next.state_text(state)}"
    elif part.kind == CONNTRACK:
        text += " - resume conntrack with default ct_state=trk|new (use --ct-next to customize)"
    if part.nat is not None:
        text += "\n" + ct_next.translation_text(part.key, part.nat)
    return f"{_RULE}\n{text}\n{_RULE}\n"


def render(request: Request, key: int, result: Result, why: list[Node]) -> str:
    """The text of one pass."""
    context = request.context
    final = result.final_key
    options = request.bridge.flows.options.places
    unchanged = final == key & _ALL_BUT_SET | UNSET
    wild = result.wildcards & _SHOWN | _IN_PORT_MASK
    if wild & _TAGS:
        for tag in _EACH_TAG:
            if not key & tag:  # that there is no tag is in the type
                wild &= ~tag
    if key >> _TYPE & 0xFFFF not in (0x0800, 0x86DD):
        wild &= ~_FRAGMENT
    actions = shown_actions(result.actions, request.effective)
    shown = "unchanged"
    if not unchanged:
        shown = format_flow(final & _ALL_BUT_SET & _ALL_BUT_PORT, context, options)
    out = [
        f"Flow: {format_flow(key & _ALL_BUT_PORT, context, options)}",
        *lines(why, names=context),
        "",
        f"Final flow: {shown}",
        f"Megaflow: {format_match(Match(key & wild, wild), context)}",
        f"Datapath actions: {format_actions(actions, request.port_names, key=key)}",
    ]
    if result.failure:
        out.append(f"Translation failed ({result.failure}), packet is dropped.")
    if result.slow:
        out.append("This flow is handled by the userspace slow path because it:")
        out += [f"  - {text}" for bit, text in _SLOW if result.slow & bit]
    return "\n".join(out) + "\n"
