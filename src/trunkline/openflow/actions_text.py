"""Actions from text, in the words of ovs-actions(7): a row for each keyword.

What is wrong raises TextError with the words that ovs-ofctl uses for it.  The other way is actions_format."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from trunkline.base.addresses import scan_ipv4, scan_mac
from trunkline.flow.text import key_values
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError, parse_port, parse_value
from trunkline.model import openflow as of
from trunkline.model.fields import FIELD, Field
from trunkline.openflow import actions as a
from trunkline.openflow.style import integer

# ---- reading ----


class ActionContext(NamedTuple):
    """What names in actions may mean: ports by `text`, tables by `tables`."""

    text: TextContext = NO_CONTEXT
    tables: dict[str, int] | None = None


NO_NAMES: Final = ActionContext()
NOT_YET: Final = frozenset(("learn", "ct", "nat", "multipath", "bundle", "bundle_load", "encap"))
_ORDER: Final = {a.Meter: 1, a.ClearActions: 4, a.WriteActions: 5, a.WriteMetadata: 6, a.GotoTable: 7}
_INSTRUCTION_NAMES: Final = {
    1: "meter",
    3: "apply_actions",
    4: "clear_actions",
    5: "write_actions",
    6: "write_metadata",
    7: "goto_table",
}


def parse_actions(text: str, context: ActionContext = NO_NAMES, nested: str = "") -> tuple[a.Action, ...]:
    """The actions that `text` lists.  Raises TextError.  `nested` names the action that they are within."""
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
    if any(type(action) in _ORDER for action in actions):
        if nested:
            name = _INSTRUCTION_NAMES[next(_ORDER[type(x)] for x in actions if type(x) in _ORDER)]
            raise TextError(f"{name} instruction not allowed here")
        _check_order(actions)
    return tuple(actions)


def _check_order(actions: list[a.Action]) -> None:
    """Instructions stand in the order of their execution, each once."""
    last = 0
    for action in actions:
        rank = _ORDER.get(type(action), 3)
        if rank == last and rank != 3:
            raise TextError(
                f"duplicate {_INSTRUCTION_NAMES[rank]} instruction not allowed, "
                "for OpenFlow 1.1+ compatibility"
            )
        if rank < last:
            raise TextError(
                f"invalid instruction ordering: {_INSTRUCTION_NAMES[rank]} must appear before "
                f"{_INSTRUCTION_NAMES[last]}, for OpenFlow 1.1+ compatibility"
            )
        last = rank


def _parse_action(key: str, value: str, context: ActionContext) -> a.Action:
    reader = _READERS.get(key) or _READERS.get(key.lower())
    if reader is not None:
        return reader(value, context)
    if key in NOT_YET:
        raise TextError(f"{key}: action is not implemented yet")
    port = _known_port(key, context)
    if port is not None:
        return _make_output(port)
    raise TextError(f"unknown action {key}")


def _known_port(word: str, context: ActionContext) -> int | None:
    if not word or "[" in word:
        return None
    return parse_port(word, context.text)


def _make_output(port: int) -> a.Output:
    return a.Output(port, 0xFFFF if port == of.OFPP_CONTROLLER else 0)


def _number(value: str, most: int, what: str) -> int:
    """A number of limited width, as the original complains about it."""
    number = integer(value)
    if number is None or number > most:
        raise TextError(f'invalid {what} "{value}"')
    return number


def parse_u32(value: str) -> int:
    return parse_u64(value) & 0xFFFFFFFF


def parse_u64(value: str) -> int:
    if not value:
        raise TextError("missing required numeric argument")
    number = integer(value)
    if number is None:
        if value[0] == "-" and (negative := integer(value[1:])) is not None:
            return -negative & 0xFFFFFFFFFFFFFFFF
        raise TextError(f"invalid numeric format {value}")
    return number


def _read_output(value: str, context: ActionContext) -> a.Action:
    port = _known_port(value, context)
    if port is not None:
        return _make_output(port)
    if "port" in value and "max_len" in value:
        return _read_truncated(value, context)
    if "[" in value or value.partition("[")[0] in FIELD:
        field, offset, bits = parse_subfield(value)
        return a.OutputRegister(field.name, offset, bits)
    raise TextError(f"{value}: output to unknown port")


def _read_truncated(value: str, context: ActionContext) -> a.Action:
    port = max_len = None
    for key, word in key_values(value):
        if key == "port":
            port = _known_port(word or "", context)
            if port is None:
                raise TextError(f"output to unknown truncate port: {word}")
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
    if value[0].isdigit():
        return a.Output(of.OFPP_CONTROLLER, _number(value, 0xFFFF, "max_len"))
    fields: dict[str, Any] = {}
    for key, word in key_values(value):
        word = word or ""
        if key == "reason":
            reasons = {name: number for number, name in of.PACKET_IN_REASON_NAMES.items()}
            if word not in reasons:
                raise TextError(f'unknown reason "{word}"')
            fields["reason"] = reasons[word]
        elif key == "max_len":
            fields["max_len"] = _number(word, 0xFFFF, "max_len")
        elif key == "id":
            fields["controller_id"] = _number(word, 0xFFFF, "id")
        elif key == "userdata":
            fields["userdata"] = _hex_bytes(word, "bad hex digit in `controller' action `userdata'")
        elif key == "pause":
            fields["pause"] = True
        elif key == "meter_id":
            fields["meter"] = parse_u32(word)
        else:
            raise TextError(f'unknown key "{key}" parsing controller action')
    action = a.Controller(**fields)
    if action == a.Controller(action.max_len):
        return a.Output(of.OFPP_CONTROLLER, action.max_len)
    return action


def _hex_bytes(value: str, complaint: str) -> bytes:
    digits = value.replace(".", "")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise TextError(complaint) from None


_SUBFIELD: Final = re.compile(r"([^\[]+)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?$")
_BY_TITLE: Final = {code.name: field for field in FIELD.values() for code in field.ids}


def parse_subfield(text: str) -> tuple[Field, int, int]:
    """(field, offset, bits) of ``field[first..last]``.  Raises TextError."""
    found = _SUBFIELD.match(text)
    name = found.group(1) if found else text.partition("[")[0]
    field = FIELD.get(name) or _BY_TITLE.get(name) or _BY_TITLE.get(name.removesuffix("_W"))
    if field is None:
        raise TextError(f"{text}: unknown field `{name}'")
    if found is None:
        raise TextError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    if found.group(2) is None:
        return field, 0, field.bits
    start = int(found.group(2))
    end = start if found.group(3) is None else int(found.group(3))
    if start > end:
        raise TextError(f"{text}: starting bit {start} is after ending bit {end}")
    for title, bit in (("starting", start), ("ending", end)):
        if bit >= field.bits:
            raise TextError(
                f"{text}: {title} bit {bit} is not valid because field is only {field.bits} bits wide"
            )
    return field, start, end - start + 1


def _arrow(value: str) -> tuple[str, str]:
    before, arrow, after = value.partition("->")
    if not arrow:
        raise TextError(f"{value}: missing `->'")
    return before, after


def _read_load(value: str, context: ActionContext) -> a.Action:
    text, destination = _arrow(value)
    field, offset, bits = parse_subfield(destination)
    number = integer(text)
    if number is None:
        if text[:1] == "-":
            number = parse_u64(text) & ((1 << bits) - 1)
        else:
            number, _ = parse_value(field, text, context.text)
    if number >> bits:
        raise TextError(f"{value}: value 0x{number:x} does not fit into {bits} bits")
    return a.Load(field.name, offset, bits, number)


def _read_set_field(value: str, context: ActionContext) -> a.Action:
    text, name = _arrow(value)
    field = FIELD.get(name) or _BY_TITLE.get(name)
    if field is None:
        if "[" in name:
            inner, offset, bits = parse_subfield(name)
            number, _ = parse_value(inner, text, context.text)
            return a.SetField(inner.name, number << offset, (1 << bits) - 1 << offset)
        raise TextError(f"{name} is not a valid OXM field name")
    if not field.writable:
        raise TextError(f"{name} is read-only")
    number, mask = parse_value(field, text, context.text)
    if field.name.startswith("ct_"):
        raise TextError("cannot set CT fields outside of ct action")
    if number & ~((1 << field.bits) - 1):
        raise TextError(f"{text}: value is not valid for field {name}")
    mask &= (1 << field.bits) - 1
    return a.SetField(field.name, number & mask, mask)


def _read_move(value: str, context: ActionContext) -> a.Action:
    source, arrow, destination = value.partition("->")
    if not arrow:
        raise TextError(f"{value}: missing `->' following source")
    from_field, from_offset, bits = parse_subfield(source)
    to_field, to_offset, to_bits = parse_subfield(destination)
    if bits != to_bits:
        raise TextError(f"{value}: source field is {bits} bits wide but destination is {to_bits} bits wide")
    return a.Move(from_field.name, from_offset, to_field.name, to_offset, bits)


def _read_stack(make: Callable[[str, int, int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        field, offset, bits = parse_subfield(value)
        return make(field.name, offset, bits)

    return read


def _read_enqueue(value: str, context: ActionContext) -> a.Action:
    words = re.split("[:,]", value, maxsplit=1)
    if len(words) < 2:
        raise TextError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
    port = _known_port(words[0], context)
    if port is None:
        raise TextError(f"{words[0]}: enqueue to unknown port")
    return a.Enqueue(port, parse_u32(words[1]))


def _read_resubmit(value: str, context: ActionContext) -> a.Action:
    words = [word.strip() for word in value.split(",")]
    port, table = of.OFPP_IN_PORT, 255
    if words[0]:
        number = _known_port(words[0], context)
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


def parse_table(word: str, context: ActionContext) -> int | None:
    """A table by number or name; None: there is none."""
    number = integer(word)
    if number is None:
        name = word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word
        return (context.tables or {}).get(name)
    if number > 255:
        context.text.warn("ofp_table", f"table {number} is outside the supported range 0 through 255")
        return None
    return number


def _read_goto(value: str, context: ActionContext) -> a.Action:
    table = parse_table(value, context)
    if table is None:
        raise TextError(f'unknown table "{value}"')
    return a.GotoTable(table)


def _read_vid(value: str, context: ActionContext) -> a.SetVlanVid:
    vid = _number(value, 0xFFFF, "VLAN VID")
    if vid > 0xFFF:
        raise TextError(f"{value}: not a valid VLAN VID")
    return a.SetVlanVid(vid)


def _limited(make: Callable[[int], a.Action], what: str, bits: int, mask: int, size: int = 0xFF) -> Any:
    def read(value: str, context: ActionContext) -> a.Action:
        number = _number(value, size, what)
        if number & ~mask:
            raise TextError(f"{value}: not a valid {what}")
        return make(number)

    return read


def _read_mac(make: Callable[[int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        found = scan_mac(value)
        if found is None or found[1] != len(value):
            raise TextError(f"invalid mac address {value}")
        return make(found[0])

    return read


def _read_ip(make: Callable[[int], a.Action]) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        found = scan_ipv4(value)
        if found is None or found[1] != len(value):
            raise TextError(f"{value}: could not convert to IP address")
        return make(found[0])

    return read


def _read_ethertype(
    make: Callable[[int], a.Action], only: tuple[int, ...]
) -> Callable[[str, ActionContext], a.Action]:
    def read(value: str, context: ActionContext) -> a.Action:
        number = _number(value, 0xFFFF, "ethertype")
        if only and number not in only:
            raise TextError(f"{value}: not a valid VLAN ethertype")
        return make(number)

    return read


def _read_mpls_label(value: str, context: ActionContext) -> a.Action:
    number = _number(value, 0xFFFFFFFF, "MPLS label")
    if number > 0xFFFFF:
        raise TextError(f"{value}: not a valid MPLS label")
    return a.SetMplsLabel(number)


def _read_metadata(value: str, context: ActionContext) -> a.Action:
    number, slash, mask = value.partition("/")
    full = 0xFFFFFFFFFFFFFFFF
    return a.WriteMetadata(parse_u64(number), parse_u64(mask) if slash else full)


def _read_dec_ttl(value: str, context: ActionContext) -> a.Action:
    if not value:
        return a.DecTtl()
    ids = []
    for word in re.split("[, ]+", value):
        digits = re.match(r"\d+", word)
        ids.append((int(digits.group()) if digits else 0) & 0xFFFF)
    if not ids:
        raise TextError("dec_ttl_cnt_ids: expected at least one controller id.")
    return a.DecTtl(tuple(ids))


def _read_fin_timeout(value: str, context: ActionContext) -> a.Action:
    idle = hard = 0
    for key, word in key_values(value):
        if key == "idle_timeout":
            idle = _number(word or "", 0xFFFF, key)
        elif key == "hard_timeout":
            hard = _number(word or "", 0xFFFF, key)
        else:
            raise TextError(f"invalid key '{key}' in 'fin_timeout' argument")
    return a.FinTimeout(idle, hard)


def _read_note(value: str, context: ActionContext) -> a.Action:
    data = _hex_bytes(value, "bad hex digit in `note' argument")
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
            fields[key] = _number(word or "", 0xFFFF, "probability")
            if not fields[key]:
                raise TextError(f'invalid probability value "{word}"')
        elif key in names:
            fields[names[key]] = parse_u32(word or "")
        elif key == "sampling_port":
            fields[key] = _known_port(word or "", context)
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
    raise TextError("check_pkt_larger: action is not implemented yet")


def _read_delete_field(value: str, context: ActionContext) -> a.Action:
    field = FIELD.get(value)
    if field is None:
        raise TextError(f"{value}: unknown field `{value}'")
    return a.DeleteField(field.name)


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
    "set_mpls_tc": _limited(a.SetMplsTc, "MPLS TC", 3, 7),
    "set_mpls_ttl": _limited(a.SetMplsTtl, "MPLS TTL", 8, 0xFF),
    "dec_mpls_ttl": _simple(a.DecMplsTtl()),
    "push_mpls": _read_ethertype(a.PushMpls, ()),
    "pop_mpls": _read_ethertype(a.PopMpls, ()),
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
    "decap": _simple(a.DecapAny()),
    "meter": lambda v, c: a.Meter(parse_u32(v)),
    "clear_actions": _simple(a.ClearActions()),
    "write_actions": lambda v, c: a.WriteActions(parse_actions(v, c, "write_actions")),
    "write_metadata": _read_metadata,
    "goto_table": _read_goto,
}
__all__ = ["ActionContext", "parse_actions", "parse_subfield"]
