"""Flows as text: what ovs-ofctl prints of flow-mods and flow statistics, and what it reads.

A flow's text is words of the match mixed with words of the flow (priority, cookie, timeouts, flags), and at
the end ``actions=``.  `parse_flow` also says which flow formats can carry the flow: that is what ovs-ofctl
negotiates by.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.flow.colors import paint, paint_parameters
from trunkline.flow.left_out import notes
from trunkline.flow.match import Match, exact_value, fields, normalize
from trunkline.flow.text import (
    UNNUMBERED,
    Draft,
    command_at_start,
    finish,
    format_match,
    key_values,
    set_bits,
    set_shorthand,
    set_value,
)
from trunkline.flow.values import TextError, parse_value, scan_integer
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD, Field
from trunkline.openflow import actions as a
from trunkline.openflow import match10
from trunkline.openflow import messages as m
from trunkline.openflow.action_words import scan_subfield
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.actions_text import (
    NO_NAMES,
    ActionContext,
    parse_actions,
    parse_table,
    parse_u32,
    parse_u64,
)
from trunkline.openflow.consistency import check, text_formats, typed
from trunkline.openflow.formats import (
    ANY,
    ANY_NXM,
    ANY_OF10,
    ANY_OXM,
    FORMAT_VERSIONS,
    NXM,
    NXM_TID,
    OF10,
    OF10_TID,
    OF11,
    OF13,
    OF14,
    OF15,
    formats_named,
    formats_text,
)
from trunkline.openflow.style import PLAIN, Style, duration_text, flags_text, integer, port_text, table_text

# ---- writing ----


def format_flow_mod(
    mod: m.FlowMod, style: Style = PLAIN, version: int = 6, raw_match: str | None = None
) -> str:
    """A flow-mod as ofp-print shows it; `raw_match` stands for its match where it is given."""
    command = of.FLOW_COMMAND_NAMES[mod.command]
    words = [command]
    if mod.table:
        words[0] += f" table:{table_text(mod.table, style)}"
    match = format_match(mod.match, style.context, mod.priority) if raw_match is None else raw_match
    if match:
        words.append(match)
    if mod.new_cookie and mod.new_cookie != _SAME_COOKIE:
        words.append(f"cookie:0x{mod.new_cookie:x}")
    if mod.cookie_mask:
        words.append(f"cookie:0x{mod.cookie:x}/0x{mod.cookie_mask:x}")
    if mod.idle_timeout:
        words.append(f"idle:{mod.idle_timeout}")
    if mod.hard_timeout:
        words.append(f"hard:{mod.hard_timeout}")
    if raw_match is not None and mod.priority != of.DEFAULT_PRIORITY:
        words.append(f"pri:{mod.priority}")
    if mod.importance:
        words.append(f"importance:{mod.importance}")
    if mod.buffer is not None:
        words.append(f"buf:0x{mod.buffer:x}")
    if mod.out_port != of.OFPP_ANY:
        words.append(f"out_port:{port_text(mod.out_port, style)}")
    flags = mod.flags & ~(of.OFPFF_RESET_COUNTS if version <= 2 else 0)
    if flags:
        words.append(_flags(flags))
    return f"{' '.join(words)} actions={format_actions(mod.actions, style)}"


_SAME_COOKIE: Final = 0xFFFFFFFFFFFFFFFF


def _flags(flags: int) -> str:
    return flags_text((*of.FLOW_FLAG_NAMES, (of.OFPFF_EMERG, "emerg")), flags)


def format_flow_stats(flow: m.FlowStats, style: Style = PLAIN) -> str:
    """A flow of a statistics reply, as dump-flows shows it, without the space in front."""
    (
        match, priority, table, actions, cookie, duration, idle_timeout, hard_timeout,
        idle_age, hard_age, packets, octets, importance, flags,
    ) = flow  # fmt: skip
    statistics = style.statistics
    if statistics:
        told = (
            f"cookie=0x{cookie:x}, duration={duration_text(duration)}, table={table_text(table, style)}, "
            f"n_packets={'?' if packets is None else packets}, n_bytes={'?' if octets is None else octets}, "
        )
    else:
        told = f"cookie=0x{cookie:x}, " if cookie else ""
        if table:
            told += f"table={table_text(table, style)}, "
    if idle_timeout:
        told += f"idle_timeout={idle_timeout}, "
    if hard_timeout:
        told += f"hard_timeout={hard_timeout}, "
    if flags:
        told += _flags(flags) + " "
    if importance:
        told += f"importance={importance}, "
    if statistics:
        if idle_age is not None:
            told += f"idle_age={idle_age}, "
        if hard_age is not None and hard_age != duration // 1_000_000_000:
            told += f"hard_age={hard_age}, "
    context = style.context
    shown = format_match(match, context, priority)
    space, done = " " if shown else "", format_actions(actions, style)
    if context.colors is None:
        return f"{told}{shown}{space}actions={done}"
    label = paint("ac", "actions=", context.colors)
    return f"{paint_parameters(told, context.colors)}{shown}{space}{label}{done}"


# ---- reading ----


class ParsedFlow(NamedTuple):
    """`formats` are those that can carry the flow; `notes` are INFO lines of module ofp_match."""

    mod: m.FlowMod
    formats: int
    notes: tuple[str, ...]


_FLAGS: Final = {
    "send_flow_rem": (of.OFPFF_SEND_FLOW_REM, ANY),
    "check_overlap": (of.OFPFF_CHECK_OVERLAP, ANY),
    "reset_counts": (of.OFPFF_RESET_COUNTS, ANY_OXM),
    "no_packet_counts": (of.OFPFF_NO_PKT_COUNTS, OF13 | OF14 | OF15),
    "no_byte_counts": (of.OFPFF_NO_BYT_COUNTS, OF13 | OF14 | OF15),
    "allow_hidden_fields": (0, ANY),
}
_IGNORED: Final = frozenset(("duration", "n_packets", "n_bytes", "idle_age", "hard_age"))
_COMMANDS: Final = {
    "add": of.OFPFC_ADD,
    "delete": of.OFPFC_DELETE,
    "delete_strict": of.OFPFC_DELETE_STRICT,
    "modify": of.OFPFC_MODIFY,
    "modify_strict": of.OFPFC_MODIFY_STRICT,
}


def _split_actions(text: str) -> tuple[str, str | None]:
    """The flow without its actions, and the actions, None without any."""
    at = text.find("action")
    if at < 0:
        return text, None
    equals = text.find("=", at)
    if equals < 0:
        raise TextError("must specify an action")
    return text[:at], text[equals + 1 :]


class _Draft:
    """What the words of a flow have said so far."""

    def __init__(self) -> None:
        self.match = Draft()
        self.formats = ANY
        self.fields: dict[str, Any] = {}
        self.flags = 0
        self.unmatched = False  # a field is asked for that no message can carry


def parse_flow(text: str, command: int | None, context: ActionContext = NO_NAMES) -> ParsedFlow:
    """Reads a flow for `command` (OFPFC_*), or, with None, for the command that the text starts with (add if
    none).  Raises TextError."""
    if command is None:
        found, text = command_at_start(text, _COMMANDS)
        command = of.OFPFC_ADD if found is None else found
    deletes = command >= of.OFPFC_DELETE
    actions_text: str | None = None
    if not deletes:
        text, actions_text = _split_actions(text)
        if actions_text is None:
            raise TextError("must specify an action")
    draft = _Draft()
    for key, value in key_values(text):
        _word(draft, key, value, command, context)
    match = finish(draft.match)
    if actions_text is None:
        actions: tuple[a.Action, ...] = ()
    else:
        actions = parse_actions(actions_text, context)
    return _finished(draft, match, actions, command, context)


def _word(draft: _Draft, key: str, value: str | None, command: int, context: ActionContext) -> None:
    field = FIELD.get(key)
    if field is not None:
        number, mask = parse_value(field, value or "0/0", context.text)  # a field alone is any
        set_value(draft.match, field, number, mask)
        if key == "skb_priority":  # there is no number for it
            draft.unmatched |= bool(mask)
        elif value and value != "*":
            draft.formats &= _mask_formats(field, mask if "/" in value else -1)
        return
    if set_shorthand(draft.match, key):
        return
    flag = _FLAGS.get(key) if command < of.OFPFC_DELETE else None
    if flag is not None:
        draft.flags |= flag[0]
        draft.formats &= flag[1]
        return
    if key in ("no_readonly_table",):
        return
    if "[" in key:
        _set_bits(draft, key, value or "")
        return
    unnumbered = UNNUMBERED.get(key)
    if unnumbered is not None:
        draft.unmatched |= bool(parse_value(unnumbered, value or "0/0", context.text)[1])
        return
    if not value:
        raise TextError(f"field {key} missing value")
    reader = _KEYS.get(key)
    if reader is not None:
        if key in _OF_FLOWS and key not in _SAYS[command]:
            raise TextError(f"unknown keyword {key}")
        reader(draft, value, command, context)
    elif key not in _IGNORED:
        raise TextError(f"unknown keyword {key}")


def _set_bits(draft: _Draft, key: str, text: str) -> None:
    """``reg0[0..7]=5``: some bits of a field."""
    if key.partition("[")[0] in (*UNNUMBERED, "skb_priority"):
        draft.unmatched = True
        return
    found, rest = scan_subfield(key)
    if rest:
        raise TextError("unexpected input following field syntax")
    field = FIELD[found.field]
    number = scan_integer(text) if text[:1].isdigit() else None
    if number is None or number >> field.octets * 8 or (number >> 64 and "x" not in text.lower()):
        raise TextError(f"{key}: cannot parse integer value: {text}")
    if number >> found.bits:
        raise TextError(f"{key}: value {number:#x} does not fit into {found.bits} bits")
    mask = (1 << found.bits) - 1 << found.offset
    draft.unmatched |= not field.maskable and mask != (1 << field.octets * 8) - 1
    set_bits(draft.match, field, number << found.offset, mask)
    draft.formats &= _mask_formats(field, mask)


def _mask_formats(field: Field, mask: int) -> int:
    """The formats whose matches have the field under that mask."""
    formats = ANY_NXM | ANY_OXM
    kinds: tuple[str, ...] = ("exact", "cidr", "yes")
    free = ~mask & (1 << field.bits) - 1
    if free:
        kinds = ("yes",) if free & free + 1 else ("cidr", "yes")
    if field.of10 in kinds:
        formats |= ANY_OF10
    if field.of11 in kinds:
        formats |= OF11
    return formats


def _read_table(draft: _Draft, value: str, command: int, context: ActionContext) -> None:
    table = parse_table(value, context)
    if table is None:
        raise TextError(f'unknown table "{value}"')
    draft.fields["table"] = table
    if table != 0xFF:
        draft.formats &= OF10_TID | NXM_TID | OF11 | ANY_OXM


def _read_out_port(draft: _Draft, value: str, command: int, context: ActionContext) -> None:
    from trunkline.flow.values import parse_port

    if command < of.OFPFC_DELETE:
        raise TextError("unknown keyword out_port")
    port = parse_port(value, context.text)
    if port is None:
        raise TextError(f"{value} is not a valid OpenFlow port")
    draft.fields["out_port"] = port


def _read_out_group(draft: _Draft, value: str, command: int, context: ActionContext) -> None:
    if command < of.OFPFC_DELETE:
        raise TextError("unknown keyword out_group")
    draft.formats &= OF11 | ANY_OXM
    draft.fields["out_group"] = parse_u32(value)


def _read_u16(name: str) -> Callable[[_Draft, str, int, ActionContext], None]:
    def read(draft: _Draft, value: str, command: int, context: ActionContext) -> None:
        number = integer(value)
        if number is None or number > 0xFFFF:
            raise TextError(f'invalid {name} "{value}"')
        draft.fields[name] = number

    return read


def _read_cookie(draft: _Draft, value: str, command: int, context: ActionContext) -> None:
    cookie, slash, mask = value.partition("/")
    if slash:
        if command == of.OFPFC_ADD:
            raise TextError("flow additions cannot use a cookie mask")
        draft.fields["cookie_mask"] = parse_u64(mask)
        draft.fields["cookie"] = parse_u64(cookie) & draft.fields["cookie_mask"]
        draft.formats &= ANY_NXM | OF11 | ANY_OXM
    elif command >= of.OFPFC_DELETE:
        example = f"cookie={cookie}/-1"
        raise TextError(f"cannot set cookie (to match on a cookie, specify a mask, e.g. {example})")
    else:
        draft.fields["new_cookie"] = parse_u64(cookie)
        draft.fields["modify_cookie"] = True


_KEYS: Final[dict[str, Callable[[_Draft, str, int, ActionContext], None]]] = {
    "table": _read_table,
    "out_port": _read_out_port,
    "out_group": _read_out_group,
    "priority": _read_u16("priority"),
    "idle_timeout": _read_u16("idle_timeout"),
    "hard_timeout": _read_u16("hard_timeout"),
    "importance": _read_u16("importance"),
    "cookie": _read_cookie,
}


_OF_FLOWS: Final = frozenset(("priority", "idle_timeout", "hard_timeout", "importance"))
"""Words that say what a flow is; which of them a command takes:"""
_SAYS: Final[dict[int, frozenset[str]]] = {
    of.OFPFC_ADD: _OF_FLOWS,
    of.OFPFC_MODIFY: _OF_FLOWS - {"importance"},
    of.OFPFC_MODIFY_STRICT: _OF_FLOWS - {"importance"},
    of.OFPFC_DELETE: frozenset(),
    of.OFPFC_DELETE_STRICT: frozenset(("priority",)),
}


def _finished(
    draft: _Draft, match: Match, actions: tuple[a.Action, ...], command: int, context: ActionContext
) -> ParsedFlow:
    fields = draft.fields
    formats = draft.formats & match_formats(match)
    modify_cookie = fields.pop("modify_cookie", False)
    if command in (of.OFPFC_MODIFY, of.OFPFC_MODIFY_STRICT) and not modify_cookie:
        fields["new_cookie"] = None
    elif fields.get("cookie_mask"):
        formats &= ~ANY_OF10  # the plain message of 1.0 cannot select by cookie
    if command in (of.OFPFC_DELETE, of.OFPFC_DELETE_STRICT):
        fields.setdefault("new_cookie", None)
    normal = normalize(match)
    if draft.unmatched:
        if command < of.OFPFC_DELETE:
            raise TextError("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)")
        formats = 0
    if actions:
        formats &= text_formats(actions)
        verdict = check(actions, typed(normal), formats, fields.get("table", 0xFF), context.text.warn)
        if verdict.error:
            raise TextError(f"actions are invalid with specified match ({verdict.error})")
        formats &= verdict.formats
    if fields.get("importance") == 0:
        fields.pop("importance")
    mod = m.FlowMod(command, normal, actions=actions, flags=draft.flags, **fields)
    return ParsedFlow(mod, formats, notes(match, draft.match.strays, context.text))


def match_formats(match: Match) -> int:
    """The flow formats that can say all of `match`."""
    if match10.expressible(match) and not exact_value(match, "packet_type"):
        return ANY
    return ANY_NXM | ANY_OXM | (OF11 if _in_match11(match) else 0)


def _in_match11(match: Match) -> bool:
    """Whether the fixed match of OpenFlow 1.1, which knows MPLS and metadata too, says all of `match`."""
    if match.options or exact_value(match, "packet_type"):
        return False
    ipv6 = exact_value(match, "dl_type") == 0x86DD
    for field, _, mask in fields(match):
        if field.name == "packet_type":
            continue
        if field.name == "vlan_tci":
            if mask not in (0xFFFF, 0x1FFF, 0xF000):
                return False
            continue
        exact = mask == (1 << field.bits) - 1 or mask == field.matched
        if field.of11 == "no" or (field.of11 == "exact" and not exact):
            return False
        if field.of11 == "cidr" and ~mask & 0xFFFFFFFF & (~mask + 1):
            return False
        if ipv6 and field.name not in _BEFORE_NETWORK:
            return False
    return True


_BEFORE_NETWORK: Final = frozenset(("in_port", "in_port_oxm", "eth_src", "eth_dst", "eth_type", "metadata"))


def parse_request(text: str, context: ActionContext = NO_NAMES, command: int = -1) -> ParsedFlow:
    """The flows that dump-flows and its like ask for.  Raises TextError."""
    draft = _Draft()
    if _split_actions(text)[1] is not None:
        raise TextError("unknown keyword actions")
    for key, value in key_values(text):
        _word(draft, key, value, of.OFPFC_DELETE, context)
    match = finish(draft.match)
    return _finished(draft, match, (), of.OFPFC_DELETE, context)


__all__ = [
    "ANY",
    "ANY_NXM",
    "ANY_OF10",
    "ANY_OXM",
    "FORMAT_VERSIONS",
    "NXM",
    "NXM_TID",
    "OF10",
    "OF10_TID",
    "ParsedFlow",
    "format_flow_mod",
    "format_flow_stats",
    "formats_named",
    "formats_text",
    "match_formats",
    "parse_flow",
    "parse_request",
]
