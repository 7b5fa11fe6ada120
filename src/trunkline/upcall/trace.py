"""``ofproto/trace``: why a packet goes where it goes.

A trace translates a packet as an upcall would, with the explanation switched on.  Nothing is sent and nothing
counted; addresses are learned if a packet is given or -generate asks for one, as the original does.  What is
printed is made from the tree that the translation leaves.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.dpif.action_text import format_actions
from trunkline.flow import key as layout
from trunkline.flow.match import Match
from trunkline.flow.text import format_flow, format_match, parse_match
from trunkline.flow.values import TextContext, TextError
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.ofproto.bridge import Bridge
from trunkline.packet.packet import Packet
from trunkline.translate.action_set import UNSET
from trunkline.translate.explain import lines
from trunkline.translate.result import CONNTRACK, SLOW_ACTION, Node, Recirculation, Result
from trunkline.translate.translate import translate
from trunkline.upcall import ct_next
from trunkline.upcall.commands import Datapaths, find_bridge
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.dpctl import shown_actions
from trunkline.upcall.effects import apply_learning

_IN_PORT: Final = layout.OFFSET["in_port"]
_IN_PORT_MASK: Final = layout.MASK["in_port"]
_DP_PORT: Final = layout.OFFSET["dp_in_port"]
_DP_PORT_MASK: Final = layout.MASK["dp_in_port"]
_DOT1Q: Final = 0x8100
_FRAGMENT: Final = layout.MASK["nw_frag"]
_SLOW: Final = ((SLOW_ACTION, "Uses action(s) not supported by datapath."),)
_ACTSET_MASK: Final = layout.MASK["actset_output"]
_RULE: Final = "=" * 79
_NOT_YET: Final = ("-consistent",)


class Request(NamedTuple):
    """What is to be traced.  `effective`: with -generate or a packet, addresses are learned from it."""

    bridge: Bridge
    key: int
    effective: bool
    states: list[int]
    """ct_state after each recirculation by ct, as long as they last."""


def trace_commands(datapaths: Datapaths) -> list[Command]:
    usage = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]"
    return [Command("ofproto/trace", usage, 1, None, lambda arguments: _trace(datapaths, arguments))]


def _trace(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    request = _parse(datapaths, list(arguments))
    parts = []
    waiting = [Recirculation("", 0, request.key)]
    while waiting:
        part = waiting.pop(0)
        tracked = part.kind == CONNTRACK
        state = request.states.pop(0) if tracked and request.states else None
        key = (_resumed(part, state) if tracked else part.key) & ~_ACTSET_MASK
        why: list[Node] = []
        result = translate(request.bridge, key, why, telling=request.effective)
        if part.kind:
            parts.append(_heading(part, state))
        parts.append(render(request.bridge, key, result, why, told=request.effective))
        if request.effective:
            apply_learning(result.effects, request.bridge.clock.monotonic())
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


def render(bridge: Bridge, key: int, result: Result, why: list[Node], *, told: bool = False) -> str:
    """The text of a trace.  `told`: the controllers are told of it."""
    final = result.final_key
    unchanged = final == key & ~_ACTSET_MASK | UNSET
    final &= ~_ACTSET_MASK
    wild = result.wildcards & layout.PACKET & ~_DP_PORT_MASK | _IN_PORT_MASK
    for slot in ("vlan_tci", "vlan1_tci"):
        if not layout.get(key, slot):  # that there is no tag is in the type
            wild &= ~layout.MASK[slot]
    if layout.get(key, "dl_type") not in (0x0800, 0x86DD):
        wild &= ~_FRAGMENT
    out = [
        f"Flow: {format_flow(key & ~_DP_PORT_MASK)}",
        *lines(why),
        "",
        "Final flow: " + ("unchanged" if unchanged else format_flow(final & ~_DP_PORT_MASK)),
        f"Megaflow: {format_match(Match(key & wild, wild))}",
        f"Datapath actions: {format_actions(shown_actions(result.actions, told), key=key)}",
    ]
    if result.failure:
        out.append(f"Translation failed ({result.failure}), packet is dropped.")
    if result.slow:
        out.append("This flow is handled by the userspace slow path because it:")
        out += [f"  - {text}" for bit, text in _SLOW if result.slow & bit]
    return "\n".join(out) + "\n"


def _parse(datapaths: Datapaths, arguments: list[str]) -> Request:
    generate = False
    rest = []
    states, arguments = ct_next.take_states(arguments)
    for word in arguments:
        if word in ("-generate", "--generate"):
            generate = True
        elif word.startswith(_NOT_YET):
            raise CommandError(f"ofproto/trace {word} is not implemented yet")
        else:
            rest.append(word)
    packet = None
    if len(rest) > 1 and _is_hex(rest[-1]) and (len(rest) > 2 or "(" not in rest[0]):
        packet = Packet(bytes.fromhex(rest.pop()))
        if len(rest) == 1:
            raise CommandError("Unspecified bridge or flow before the packet")
    if len(rest) != 2 or "(" in rest[1]:
        if len(rest) in (1, 2) and "(" in rest[-1]:
            raise CommandError(
                "ofproto/trace of a datapath flow is not implemented yet: name a bridge and a flow"
            )
        raise CommandError(f"syntax error at {rest[0] if rest else ''} (or the bridge name was omitted)")
    name, flow = rest
    datapath, bridge = find_bridge(datapaths, name, f"{name}: unknown bridge")
    context = TextContext(bridge.numbers, {})
    try:
        match = parse_match(flow, context)
    except TextError as error:
        reason = str(error).replace("unknown keyword", "unknown field")  # a key is made of fields alone
        raise CommandError(f"Bad openflow flow syntax: {flow}: {reason}") from None
    return Request(bridge, _key(datapath, bridge, match, packet), generate or packet is not None, states)


def _is_hex(word: str) -> bool:
    try:
        return len(bytes.fromhex(word)) >= 14
    except ValueError:
        return False


def _key(datapath: Datapath, bridge: Bridge, match: Match, packet: Packet | None) -> int:
    """The key of the packet that is meant, with the datapath's number for its port."""
    key = match.value
    if packet is not None:
        key = datapath.provider.key_of(packet.frame, 0) | key & layout.PIPELINE
    for tci, tpid in (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid")):
        if layout.get(key, tci) & layout.VLAN_CFI and not layout.get(key, tpid):
            key = layout.put(key, tpid, _DOT1Q)  # a flow in text does not say of which kind a tag is
    interface = bridge.interfaces.get((key & _IN_PORT_MASK) >> _IN_PORT)
    number = interface.datapath_port if interface is not None else None
    return key & ~_DP_PORT_MASK | (number or 0) << _DP_PORT
