"""Actions from text, in the words of ovs-actions(7): a row for each keyword.

What is wrong raises TextError with the words that ovs-ofctl uses for it.  The other way is actions_format."""

import re
from collections.abc import Callable
from typing import Any, Final

from trunkline.base.addresses import format_ipv4, scan_ipv4, scan_mac
from trunkline.flow.text import key_values
from trunkline.flow.values import TextError, format_value, parse_value, scan_integer
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD
from trunkline.model.openflow_messages import NICIRA_EXPERIMENTER
from trunkline.openflow import action_ct, action_encap, action_hash, action_learn
from trunkline.openflow import actions as a
from trunkline.openflow.action_numbers import EXPERIMENTER
from trunkline.openflow.action_order import DEEPEST, disorder
from trunkline.openflow.action_words import (
    BY_TITLE,
    NO_NAMES,
    ActionContext,
    hex_bytes,
    known_port,
    limited_number,
    parse_subfield,
    parse_table,
    parse_u32,
    parse_u64,
    scan_subfield,
)
from trunkline.openflow.style import integer

# ---- reading ----


def parse_actions(text: str, context: ActionContext = NO_NAMES, nested: str = "") -> tuple[a.Action, ...]:
    """The actions that `text` lists.  Raises TextError.  `nested` names the action that they are within."""
    if nested:
        if context.depth == DEEPEST:
            raise TextError("Action nested too deeply")
        context = context._replace(depth=context.depth + 1)
    actions: list[a.Action] = []
    drop = count = 0
    for key, value in key_values(text):
        count += 1
        if key == "drop":
            drop += 1
            continue
        actions.append(_parse_action(key, value or "", context))
    if drop and count > 1:
        raise TextError('"drop" must not be accompanied by any other action or instruction')
    wrong = disorder(actions, nested)
    if wrong is not None:
        raise TextError(wrong.text)
    return tuple(actions)


def _parse_action(key: str, value: str, context: ActionContext) -> a.Action:
    reader = _READERS.get(key) or _READERS.get(key.lower())
    if reader is not None:
        return reader(value, context)
    port = known_port(key, context)
    if port is not None:
        return _make_output(port)
    raise TextError(f"unknown action {key}")


def _make_output(port: int) -> a.Output:
    return a.Output(port, 0xFFFF if port == of.OFPP_CONTROLLER else 0)


def _read_output(value: str, context: ActionContext) -> a.Action:
    port = known_port(value, context)
    if port is not None:
        return _make_output(port)
    if "port" in value and "max_len" in value:
        return _read_truncated(value, context)
    if "[" in value or value.partition("[")[0] in FIELD:
        try:
            field, offset, bits = parse_subfield(value)
        except TextError:
            raise TextError(f"{value}: output to unknown port") from None
        return a.OutputRegister(field.name, offset, bits)
    raise TextError(f"{value}: output to unknown port")


def _read_truncated(value: str, context: ActionContext) -> a.Action:
    port = max_len = None
    for key, word in key_values(value):
        if key == "port":
            port = known_port(word or "", context)
            if port is None:
                raise TextError(f"output to unknown truncate port: {word}")
            if port >= of.OFPP_MAX and port not in (of.OFPP_LOCAL, of.OFPP_IN_PORT):
                raise TextError(f"output to unsupported truncate port: {word}")
        elif key == "max_len":
            max_len = parse_u32(word or "")
            if max_len < 14:
                raise TextError(f"max_len {max_len} is less than the minimum value 14")
        else:
            raise TextError(f"invalid key '{key}' in output_trunc argument")
    return a.OutputTruncated(port or 0, max_len or 0)


def _read_controller(value: str, context: ActionContext) -> a.Action:
    if not value:
        return a.Output(of.OFPP_CONTROLLER, 0xFFFF)
    if value.isdigit():
        return a.Output(of.OFPP_CONTROLLER, limited_number(value, 0xFFFF, "max_len"))
    fields: dict[str, Any] = {}
    for key, word in key_values(value):
        word = word or ""
        if key == "reason":
            reasons = {name: number for number, name in of.PACKET_IN_REASON_NAMES.items()}
            if word not in reasons:
                raise TextError(f'unknown reason "{word}"')
            fields["reason"] = reasons[word]
        elif key == "max_len":
            fields["max_len"] = limited_number(word, 0xFFFF, "max_len")
        elif key == "id":
            fields["controller_id"] = limited_number(word, 0xFFFF, "id")
        elif key == "userdata":
            fields["userdata"] = hex_bytes(word, "bad hex digit in `controller' action `userdata'") or None
        elif key == "pause":
            fields["pause"] = True
        elif key == "meter_id":
            fields["meter"] = parse_u32(word) or None
        else:
            raise TextError(f'unknown key "{key}" parsing controller action')
    action = a.Controller(**fields)
    if action == a.Controller(action.max_len) and "userdata" not in fields:
        return a.Output(of.OFPP_CONTROLLER, action.max_len)
    return action


def _arrow(value: str) -> tuple[str, str]:
    before, arrow, after = value.partition("->")
    if not arrow:
        raise TextError(f"{value}: missing `->'")
    if not after:
        raise TextError(f"{value}: missing field name following `->'")
    return before, after


_NUMBER: Final = re.compile(r"\s*\+?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")


def _read_load(value: str, context: ActionContext) -> a.Action:
    text, destination = _arrow(value)
    part, rest = scan_subfield(destination)
    if rest:
        raise TextError("unexpected input following field syntax")
    found = _NUMBER.match(text)  # what follows the digits is not looked at
    number = scan_integer(found.group().strip().removeprefix("+")) if found else None
    octets = FIELD[part.field].octets
    if number is None or number >> octets * 8 or (number >> 64 and "x" not in text.lower()):
        raise TextError(f"{value}: cannot parse integer value")
    if number >> part.bits:
        field = FIELD[part.field]
        shown = format_value(field, number, (1 << field.octets * 8) - 1, context.text)
        raise TextError(f"{value}: value {shown} does not fit into {part.bits} bits")
    return a.Load(*part, number)


def _read_set_field(value: str, context: ActionContext) -> a.Action:
    text, name = _arrow(value)
    field = FIELD.get(name)
    if field is None:
        raise TextError(f"{name} is not a valid OXM field name")
    if not field.writable:
        raise TextError(f"{name} is read-only")
    if not text:
        raise TextError(f": bad syntax for {field.name} value")
    number, mask = parse_value(field, text, context.text)
    ones = (1 << field.bits) - 1
    if number & ~(ones if field.matched is None else field.matched):
        raise TextError(f"{text} is not a valid value for field {name}")
    return a.SetField(field.name, number & mask & ones, mask & ones)


def _read_move(value: str, context: ActionContext) -> a.Action:
    source, rest = scan_subfield(value)
    if not rest.startswith("->"):
        raise TextError(f"{value}: missing `->' following source")
    destination, rest = scan_subfield(rest[2:])
    if rest:
        raise TextError("unexpected input following field syntax")
    if source.bits != destination.bits:
        wide = f"{source.bits} bits wide but destination is {destination.bits} bits wide"
        raise TextError(f"{value}: source field is {wide}")
    return a.Move(source.field, source.offset, destination.field, destination.offset, source.bits)


def _read_stack(make: Callable[[str, int, int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        part, rest = scan_subfield(value)
        if rest:
            raise TextError(f"{rest}: trailing garbage following push or pop")
        return make(*part)

    return read


def _read_enqueue(value: str, context: ActionContext) -> a.Action:
    words = re.split("[:,]", value.lstrip(":,"), maxsplit=1)
    if len(words) < 2 or not words[1]:
        raise TextError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
    port = known_port(words[0], context)
    if port is None:
        raise TextError(f"{words[0]}: enqueue to unknown port")
    return a.Enqueue(port, parse_u32(words[1]))


def _read_resubmit(value: str, context: ActionContext) -> a.Action:
    words = value.split(",")
    words[1:2] = [word.lstrip() for word in words[1:2]]
    port, table = of.OFPP_IN_PORT, 255
    if words[0]:
        number = known_port(words[0], context)
        if number is None:
            raise TextError(f"{words[0]}: resubmit to unknown port")
        port = number
    if len(words) > 1 and words[1]:
        found = parse_table(words[1], context)
        if found is None:
            raise TextError(f"{words[1]}: resubmit to unknown table")
        table = found
    with_ct = len(words) > 2 and words[2] == "ct"
    if len(words) > 2 and words[2] and not with_ct:
        raise TextError(f"{words[2]}: unknown parameter")
    if port == of.OFPP_IN_PORT and table == 255:
        raise TextError('at least one "in_port" or "table" must be specified on resubmit')
    return a.Resubmit(port, table, with_ct)


def _read_goto(value: str, context: ActionContext) -> a.Action:
    table = parse_table(value, context)
    if table is None:
        raise TextError(f'unknown table "{value}"')
    return a.GotoTable(table)


def _read_vid(value: str, context: ActionContext) -> a.SetVlanVid:
    vid = limited_number(value, 0xFFFF, "VLAN VID")
    if vid > 0xFFF:
        raise TextError(f"{value}: not a valid VLAN VID")
    return a.SetVlanVid(vid)


def _limited(make: Callable[[int], a.Action], what: str, bits: int, mask: int, size: int = 0xFF) -> Any:
    def read(value: str, context: ActionContext) -> a.Action:
        number = limited_number(value, size, what)
        if number & ~mask:
            raise TextError(f"{value}: not a valid {what}")
        return make(number)

    return read


def _needed(complaint: str, read: Any) -> Any:
    """What `read` reads, or the complaint that it is not there."""

    def checked(value: str, context: ActionContext) -> a.Action:
        if not value:
            raise TextError(complaint)
        action: a.Action = read(value, context)
        return action

    return checked


def _read_mac(make: Callable[[int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        found = scan_mac(value)
        if found is None:  # what follows is not looked at
            raise TextError(f"invalid mac address {value}")
        return make(found[0])

    return read


def _read_ip(make: Callable[[int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        found = scan_ipv4(value)
        if found is None or format_ipv4(found[0]) != value:
            raise TextError(f"{value}: could not convert to IP address")
        return make(found[0])

    return read


def _read_ethertype(
    make: Callable[[int], a.Action], only: tuple[int, ...], name: str = "ethertype"
) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        number = limited_number(value, 0xFFFF, name)
        if only and number not in only:
            raise TextError(f"{value}: not a valid VLAN ethertype")
        return make(number)

    return read


def _read_mpls_label(value: str, context: ActionContext) -> a.Action:
    if not value:
        raise TextError("set_mpls_label: expected label.")
    number = parse_u32(value)
    if number > 0xFFFFF:
        raise TextError(f"{value}: not a valid MPLS label")
    return a.SetMplsLabel(number)


def _read_metadata(value: str, context: ActionContext) -> a.Action:
    number, slash, mask = value.partition("/")
    full = 0xFFFFFFFFFFFFFFFF
    kept = parse_u64(mask) if slash else full
    return a.WriteMetadata(parse_u64(number), kept)


def _read_dec_ttl(value: str, context: ActionContext) -> a.Action:
    if not value:
        return a.DecTtl()
    ids = []
    for word in re.split("[, ]+", value):
        digits = re.match(r"\d+", word)
        ids.append((int(digits.group()) if digits else 0) & 0xFFFF)
    if not ids:
        raise TextError("dec_ttl_cnt_ids: expected at least one controller id.")
    return a.DecTtl(tuple(ids), True)


def _read_fin_timeout(value: str, context: ActionContext) -> a.Action:
    idle = hard = 0
    for key, word in key_values(value):
        if key == "idle_timeout":
            idle = limited_number(word or "", 0xFFFF, key)
        elif key == "hard_timeout":
            hard = limited_number(word or "", 0xFFFF, key)
        else:
            raise TextError(f"invalid key '{key}' in 'fin_timeout' argument")
    return a.FinTimeout(idle, hard)


def _read_note(value: str, context: ActionContext) -> a.Action:
    data = hex_bytes(value, "bad hex digit in `note' argument")
    return a.Note(data + bytes(-(10 + len(data)) % 8))


_CONJUNCTION: Final = re.compile(r"\s*(\w+)\s*,\s*(\d+)\s*/\s*(\d+)\s*$")


def _read_conjunction(value: str, context: ActionContext) -> a.Action:
    found = _CONJUNCTION.match(value)
    number = integer(found.group(1)) if found else None
    if found is None or number is None:
        raise TextError('"conjunction" syntax is "conjunction(id,i/n)"')
    clause, clauses = int(found.group(2)), int(found.group(3))
    if clauses < 2:
        raise TextError("conjunction must have at least 2 clauses")
    if clauses > 64:
        raise TextError("conjunction must have at most 64 clauses")
    if clause < 1:
        raise TextError("clause index must be positive")
    if clause > clauses:
        raise TextError("clause index must be less than or equal to number of clauses")
    return a.Conjunction(number, clause - 1, clauses)


def _read_sample(value: str, context: ActionContext) -> a.Action:
    fields: dict[str, Any] = {
        "probability": 0,
        "collector_set": 0,
        "observation_domain": 0,
        "observation_point": 0,
    }
    names = {"collector_set_id": "collector_set", "obs_domain_id": "observation_domain"}
    names["obs_point_id"] = "observation_point"
    for key, word in key_values(value):
        if key == "probability":
            fields[key] = limited_number(word or "", 0xFFFF, "probability")
            if not fields[key]:
                raise TextError(f'invalid probability value "{word}"')
        elif key in names:
            fields[names[key]] = parse_u32(word or "")
        elif key == "sampling_port":
            fields[key] = known_port(word or "", context)
            if fields[key] is None:
                raise TextError(f"{word}: unknown port")
        elif key in ("ingress", "egress"):
            fields["direction"] = 1 if key == "ingress" else 2
        else:
            raise TextError(f'invalid key "{key}" in "sample" argument')
    if not fields["probability"]:
        raise TextError('non-zero "probability" must be specified on sample')
    return a.Sample(**fields)


def _read_check_larger(value: str, context: ActionContext) -> a.Action:
    length, arrow, destination = value.partition("->")
    if not arrow:
        raise TextError(f"{value}: missing `->'")
    field, offset, bits = parse_subfield(destination)
    number = limited_number(length.removesuffix(")"), 0xFFFF, "(null)")
    if bits != 1:
        raise TextError("Only 1-bit destination field is allowed")
    return a.CheckPacketLarger(number, field.name, offset)


def _read_delete_field(value: str, context: ActionContext) -> a.Action:
    field = FIELD.get(value) or BY_TITLE.get(value)
    if field is None:
        raise TextError(f"unknown field `{value}'")
    return a.DeleteField(field.name)


def _refused(message: str) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        raise TextError(message)

    return read


def _debug(name: str, subtype: int) -> Callable[[str, ActionContext], a.Action]:
    """Actions for tests of a switch: they have numbers, and no switch in use takes them."""
    wire = EXPERIMENTER.pack(0xFFFF, 16, NICIRA_EXPERIMENTER, subtype) + bytes(6)
    return _simple(a.Unknown(name, wire))


def _simple(action: a.Action) -> Callable[[str, ActionContext], a.Action]:
    return lambda value, context: action


def _reserved(port: int) -> Callable[[str, ActionContext], a.Action]:
    return _simple(a.Output(port, 0))


_READERS: Final[dict[str, Callable[[str, ActionContext], a.Action]]] = {
    "output": _read_output,
    "controller": _read_controller,
    "normal": _reserved(of.OFPP_NORMAL),
    "flood": _reserved(of.OFPP_FLOOD),
    "all": _reserved(of.OFPP_ALL),
    "local": _reserved(of.OFPP_LOCAL),
    "in_port": _reserved(of.OFPP_IN_PORT),
    "table": _reserved(of.OFPP_TABLE),
    "enqueue": _read_enqueue,
    "mod_vlan_vid": _read_vid,
    "set_vlan_vid": lambda v, c: a.SetVlanVid(_read_vid(v, c).vid, False),
    "mod_vlan_pcp": _limited(a.SetVlanPcp, "VLAN PCP", 3, 7),
    "set_vlan_pcp": _limited(lambda n: a.SetVlanPcp(n, False), "VLAN PCP", 3, 7),
    "strip_vlan": _simple(a.StripVlan()),
    "pop_vlan": _simple(a.StripVlan(True)),
    "push_vlan": _read_ethertype(a.PushVlan, (0x8100, 0x88A8)),
    "mod_dl_src": _read_mac(a.SetEthSrc),
    "mod_dl_dst": _read_mac(a.SetEthDst),
    "mod_nw_src": _read_ip(a.SetIpv4Src),
    "mod_nw_dst": _read_ip(a.SetIpv4Dst),
    "mod_nw_tos": _limited(a.SetIpDscp, "TOS", 8, 0xFC),
    "mod_nw_ecn": _limited(a.SetIpEcn, "ECN", 2, 3),
    "mod_nw_ttl": _limited(a.SetIpTtl, "TTL", 8, 0xFF),
    "mod_tp_src": _limited(a.SetL4SrcPort, "source port", 16, 0xFFFF, 0xFFFF),
    "mod_tp_dst": _limited(a.SetL4DstPort, "destination port", 16, 0xFFFF, 0xFFFF),
    "set_field": _read_set_field,
    "load": _read_load,
    "move": _read_move,
    "push": _read_stack(a.StackPush),
    "pop": _read_stack(a.StackPop),
    "dec_ttl": _read_dec_ttl,
    "dec_nsh_ttl": _simple(a.DecNshTtl()),
    "set_mpls_label": _read_mpls_label,
    "set_mpls_tc": _needed("set_mpls_tc: expected tc.", _limited(a.SetMplsTc, "MPLS TC", 3, 7)),
    "set_mpls_ttl": _needed("set_mpls_ttl: expected ttl.", _limited(a.SetMplsTtl, "MPLS TTL", 8, 0xFF)),
    "dec_mpls_ttl": _simple(a.DecMplsTtl()),
    "push_mpls": _read_ethertype(a.PushMpls, (), "push_mpls"),
    "pop_mpls": _read_ethertype(a.PopMpls, (), "pop_mpls"),
    "set_tunnel": lambda v, c: a.SetTunnel(parse_u64(v), bool(parse_u64(v) >> 32)),
    "set_tunnel64": lambda v, c: a.SetTunnel(parse_u64(v), True),
    "set_queue": lambda v, c: a.SetQueue(parse_u32(v)),
    "pop_queue": _simple(a.PopQueue()),
    "fin_timeout": _read_fin_timeout,
    "resubmit": _read_resubmit,
    "group": lambda v, c: a.Group(parse_u32(v)),
    "exit": _simple(a.Exit()),
    "note": _read_note,
    "conjunction": _read_conjunction,
    "sample": _read_sample,
    "ct_clear": _simple(a.CtClear()),
    "check_pkt_larger": _read_check_larger,
    "delete_field": _read_delete_field,
    "clone": lambda v, c: a.Clone(parse_actions(v, c, "clone")),
    "learn": action_learn.read_learn,
    "multipath": action_hash.read_multipath,
    "bundle": action_hash.read_bundle,
    "bundle_load": lambda v, c: action_hash.read_bundle(v, c, load=True),
    "ct": lambda v, c: action_ct.read_ct(v, c, parse_actions),
    "nat": lambda v, c: action_ct.read_nat(v),
    "encap": action_encap.read_encap,
    "decap": action_encap.read_decap,
    "debug_recirc": _debug("debug_recirc", 255),
    "debug_slow": _debug("debug_slow", 254),
    "unroll_xlate": _refused("UNROLL is an internal action that shouldn't be used via OpenFlow"),
    "apply_actions": _refused("apply_actions is the default instruction"),
    "meter": lambda v, c: a.Meter(parse_u32(v)),
    "clear_actions": _simple(a.ClearActions()),
    "write_actions": lambda v, c: a.WriteActions(parse_actions(v, c, "write_actions")),
    "write_metadata": _read_metadata,
    "goto_table": _read_goto,
}
__all__ = [
    "NO_NAMES",
    "ActionContext",
    "parse_actions",
    "parse_subfield",
    "parse_table",
    "parse_u32",
    "parse_u64",
]
