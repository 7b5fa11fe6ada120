"""learn: the packet makes a flow.

What is learned is an effect: a flow-mod that the packet, and each push of statistics after it, carries out.
The walk itself does not see it, for it looks at the tables as they were when it began.  fin_timeout is
likewise an effect: it shortens the timeouts of the rule whose packets end a connection.

Source: ovs-actions(7), and what the original can be seen to learn.
"""

from typing import Final

from trunkline.flow import key as layout
from trunkline.flow.match import Match, TunnelOption
from trunkline.flow.text import format_match
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.messages import FlowMod
from trunkline.translate import options
from trunkline.translate.fields import read, store
from trunkline.translate.result import FinTimeout, LearnFlow
from trunkline.translate.walk import Walk

_FLAGS: Final = layout.MASK["tcp_flags"]
_FIN_OR_RST: Final = 5 << layout.OFFSET["tcp_flags"]
_TCP: Final = 6
_WIDEST: Final = 64  # bits that one load can carry
_PACKET_TYPE: Final = layout.MASK["packet_type"]
_PRESENT: Final = layout.OFFSET["tun_metadata_present"]
_CFI: Final = layout.VLAN_CFI << layout.OFFSET["vlan_tci"]


def learn(x: Walk, action: a.Learn, _: object) -> None:
    if x.why is not None and not x.telling:
        x.warn("suppressing side effects, so learn action ignored")
        return
    mod = flow_of(x, action)
    if x.why is not None:
        x.note(options.whole(x, _text(mod)))
    room = not action.limit or _has_room(x, action, mod)
    result = None if action.result is None else options.part(x, *action.result)
    if result is not None and action.result is not None:
        store(x, result, int(room))
        options.mark(x, action.result.field)
    if room:
        x.effects.append(LearnFlow(x.bridge, mod))
    else:
        x.note("Limit exceeded, learn failed")


def flow_of(x: Walk, action: a.Learn) -> FlowMod:
    """The flow-mod that the packet stands for: of Ethernet packets, as flows are by default."""
    value, mask = 0, _PACKET_TYPE
    places: list[TunnelOption] = []
    actions: list[a.Action] = []
    if action.fin_idle_timeout or action.fin_hard_timeout:
        actions.append(a.FinTimeout(action.fin_idle_timeout, action.fin_hard_timeout))
    for spec in action.specs:
        source = spec.source
        number = source if isinstance(source, int) else _read(x, source)
        match spec:
            case a.LearnMatch(destination=destination):
                place = options.part(x, *destination)
                if place is None:
                    continue
                value = value & ~place.mask | number << place.shift & place.mask
                mask |= place.mask
                option = options.place_of(x, place.field.name)
                if option is not None:
                    present = 1 << _PRESENT + option.number
                    value, mask = value | present, mask | present
                    places += () if option in places else (option,)
                if place.field.name in ("vlan_vid", "dl_vlan"):
                    value, mask = value | _CFI, mask | _CFI
            case a.LearnLoad(destination=destination):
                option = options.place_of(x, destination.field)
                if option is not None and destination[1:] == (0, option.octets * 8):
                    destination = destination._replace(bits=FIELD[destination.field].bits)
                    actions.append(a.Load(*destination, number))
                else:
                    actions += _loads(destination, number)
            case a.LearnOutput():
                if number < of.OFPP_MAX or of.OFPP_IN_PORT <= number <= of.OFPP_LOCAL:
                    actions.append(a.Output(number, 0xFFFF if number == of.OFPP_CONTROLLER else 0))
    return FlowMod(
        of.OFPFC_MODIFY_STRICT,
        Match(value, mask, tuple(sorted(places))),
        action.priority,
        action.table,
        tuple(actions),
        new_cookie=action.cookie,
        idle_timeout=action.idle_timeout,
        hard_timeout=action.hard_timeout,
        flags=of.OFPFF_SEND_FLOW_REM if action.send_flow_rem else 0,
    )


def _read(x: Walk, source: a.Subfield) -> int:
    place = options.part(x, *source)
    return 0 if place is None else read(x, place)


def _loads(target: a.Subfield, number: int) -> list[a.Action]:
    field, offset, bits = target
    found: list[a.Action] = []
    while bits > 0:
        now = min(bits, _WIDEST)
        found.append(a.Load(field, offset, now, number & (1 << now) - 1))
        offset, bits, number = offset + now, bits - now, number >> now
    return found


def _text(mod: FlowMod) -> str:
    words = [f"table={mod.table}"]
    match = format_match(mod.match)
    if match:
        words.append(match)
    words.append(f"priority={mod.priority}")
    if mod.new_cookie:
        words.append(f"cookie={mod.new_cookie:#x}")
    if mod.idle_timeout:
        words.append(f"idle={mod.idle_timeout}")
    if mod.hard_timeout:
        words.append(f"hard={mod.hard_timeout}")
    if mod.flags:
        words.append("send_flow_rem")
    return f"{' '.join(words)} actions={format_actions(mod.actions)}"


def _has_room(x: Walk, action: a.Learn, mod: FlowMod) -> bool:
    """Whether the table may have one more flow with that cookie, or has this very one already."""
    have = {
        (rule.match, rule.priority): rule.actions
        for rule in x.bridge.flows.tables.rules(action.table)
        if rule.cookie == action.cookie
    }
    for effect in x.effects:  # what this very packet has taught so far counts
        if type(effect) is LearnFlow and effect.bridge is x.bridge:
            told = effect.mod
            if (told.table, told.new_cookie) == (mod.table, mod.new_cookie):
                have[told.match, told.priority] = told.actions
    return have.get((mod.match, mod.priority)) == mod.actions or len(have) < action.limit


def fin_timeout(x: Walk, idle: int, hard: int) -> None:
    if layout.get(x.key, "dl_type") not in (0x0800, 0x86DD):
        return
    x.look(layout.MASK["nw_proto"])
    if layout.get(x.key, "nw_proto") != _TCP:
        return
    x.look(_FLAGS)
    if x.key & _FIN_OR_RST and x.rule is not None:
        x.effects.append(FinTimeout(x.bridge, x.rule, idle, hard))
