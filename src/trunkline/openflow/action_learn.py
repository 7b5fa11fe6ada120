"""learn: an action that makes a flow out of the packet at hand.

What the flow matches and does is a list of *specs*.  On the wire each is a 16-bit head (how many bits,
whether the source is a constant, whether the bits are matched, loaded or an output port), the source and the
destination; in text ``FIELD=CONSTANT``, ``FIELD=FIELD``, ``FIELD``, ``load:...->FIELD``, ``output:FIELD``.
"""

import re
from struct import Struct
from typing import Final

from trunkline.flow.text import key_values
from trunkline.flow.values import TextError, format_value, parse_value, scan_integer
from trunkline.model.fields import FIELD
from trunkline.openflow import actions as a
from trunkline.openflow import oxm
from trunkline.openflow.action_words import (
    ActionContext,
    c_atoi,
    parse_subfield,
    parse_table,
    scan_number,
    scan_subfield,
    subfield_text,
)
from trunkline.openflow.style import Style, c_hex, table_text
from trunkline.openflow.wire import DecodeError

_HEAD: Final = Struct("!HHHQHBBHH")
_LIMIT: Final = Struct("!IHH")
_SEND_FLOW_REM, _DELETE_LEARNED, _WRITE_RESULT = 1, 2, 4
_IMMEDIATE: Final = 1 << 13
_MATCH, _LOAD, _OUTPUT = 0, 1 << 11, 2 << 11
_BITS: Final = 0x7FF

# ---- text, reading ----

_NUMBERS: Final = {
    "idle_timeout": 0xFFFF,
    "hard_timeout": 0xFFFF,
    "priority": 0xFFFF,
    "fin_idle_timeout": 0xFFFF,
    "fin_hard_timeout": 0xFFFF,
    "limit": 0xFFFFFFFF,
}
_FLAGS: Final = frozenset(("send_flow_rem", "delete_learned"))


def read_learn(text: str, context: ActionContext) -> a.Learn:
    fields: dict[str, object] = {}
    specs: list[a.LearnSpec] = []
    for key, value in key_values(text):
        word = value or ""
        if key == "table":
            fields["table"] = _read_table(text, word, context)
        elif key in _NUMBERS:
            fields[key] = c_atoi(word) & _NUMBERS[key]
        elif key == "cookie":
            fields["cookie"] = scan_number(word)[0]
        elif key in _FLAGS:
            fields[key] = True
        elif key == "result_dst":
            fields["result"] = _read_result(word)
        else:
            specs.append(_read_spec(text, key, word, context))
    return a.Learn(tuple(specs), **fields)  # type: ignore[arg-type]


def _read_table(whole: str, word: str, context: ActionContext) -> int:
    table = parse_table(word, context)
    if table is None:
        raise TextError(f'unknown table "{word}"')
    if table == 255:
        raise TextError(f"{whole}: table id 255 not valid for `learn' action")
    return table


def _read_result(word: str) -> a.Subfield:
    field, offset, bits = parse_subfield(word)
    if not field.writable:
        raise TextError(f"{word} is read-only")
    if bits != 1:
        raise TextError("result_dst in 'learn' action must be a single bit")
    return a.Subfield(field.name, offset, bits)


def _read_spec(whole: str, key: str, value: str, context: ActionContext) -> a.LearnSpec:
    if key == "output":
        field, offset, bits = parse_subfield(value)
        return a.LearnOutput(a.Subfield(field.name, offset, bits))
    if key == "load":
        return _read_load(value)
    try:
        destination = _subfield(key)
    except TextError:
        raise TextError(f"{whole}: unknown keyword {key}") from None
    if not _has_short_header(destination.field):
        raise TextError(f"{whole}: experimenter OXM field '{key}' not supported")
    if not value:
        return a.LearnMatch(destination, destination)
    try:
        source = _subfield(value)
    except TextError as error:
        return a.LearnMatch(destination, _immediate(whole, key, value, destination, str(error), context))
    if source.bits != destination.bits:
        raise TextError(
            f"{whole}: bit widths of {key} ({source.bits}) and {value} ({destination.bits}) differ"
        )
    return a.LearnMatch(destination, source)


def _subfield(text: str) -> a.Subfield:
    field, offset, bits = parse_subfield(text)
    return a.Subfield(field.name, offset, bits)


def _has_short_header(name: str) -> bool:
    """Experimenter's fields have a header that specs have no room for."""
    return bool(FIELD[name].ids) and len(oxm.encode_header(name, oxm.NXM)) == 4


def _immediate(
    whole: str, key: str, value: str, place: a.Subfield, failed: str, context: ActionContext
) -> int:
    """A constant for all of a field in the field's own form, for a part of it as a number."""
    field = FIELD[place.field]
    try:
        if place.bits == oxm.width(field.name):
            number, mask = parse_value(field, value, context.text)
            ones = (1 << field.bits) - 1
            if mask & ones != ones:
                raise TextError(f"{value}: wildcards not allowed here")
            return number
        scanned = scan_integer(value) if value[:1].isdigit() else None
        if scanned is None:
            raise TextError(f"{whole}: cannot parse integer value")
        if scanned >> place.bits:
            shown = format_value(field, scanned, (1 << field.octets * 8) - 1, context.text)
            raise TextError(f"{whole}: value {shown} does not fit into {place.bits} bits")
        return scanned
    except TextError as error:
        raise TextError(
            f"{whole}: {key} value {value} cannot be parsed as a subfield ({failed}) or an immediate value "
            f"({error})"
        ) from None


_INTEGER: Final = re.compile(r"\s*-?(0[xX][0-9a-fA-F]+|\d+)")


def _read_load(value: str) -> a.LearnLoad:
    found = _INTEGER.match(value)
    if found is not None:
        rest = value[found.end() :]
        number = scan_integer(found.group().strip()) or 0
        if not rest.startswith("->"):
            raise TextError(_load_syntax(rest, value))
        place = _subfield(rest[2:])
        if number >> place.bits:
            raise TextError(f"{value}: value does not fit into {place.bits} bits")
        return a.LearnLoad(place, number)
    if "->" not in value:
        raise TextError(f"load: missing `->' in `{value}'")
    source, rest = scan_subfield(value)
    if not rest.startswith("->"):
        raise TextError(f"{value}: missing `->' following source")
    place = _subfield(rest[2:])
    if source.bits != place.bits:
        raise TextError(
            f"{value}: source field is {source.bits} bits wide but destination is {place.bits} bits wide"
        )
    return a.LearnLoad(place, source)


def _load_syntax(rest: str, value: str) -> str:
    if "->" in rest:
        return f"load: garbage before `->' in `{value}'"
    return f"load: missing `->' in `{value}'"


# ---- text, writing ----


def write_learn(x: a.Learn, style: Style) -> str:
    words = [f"table={table_text(x.table, style)}"]
    for name in ("idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"):
        if getattr(x, name):
            words.append(f"{name}={getattr(x, name)}")
    if x.priority != 0x8000:
        words.append(f"priority={x.priority}")
    words += [name for name in ("send_flow_rem", "delete_learned") if getattr(x, name)]
    if x.cookie:
        words.append(f"cookie=0x{x.cookie:x}")
    if x.limit:
        words.append(f"limit={x.limit}")
    if x.result is not None:
        words.append(f"result_dst={subfield_text(*x.result)}")
    words += [_spec_text(spec, style) for spec in x.specs]
    return f"learn({','.join(words)})"


def _spec_text(spec: a.LearnSpec, style: Style) -> str:
    if isinstance(spec, a.LearnOutput):
        return f"output:{subfield_text(*spec.source)}"
    place, source = spec.destination, spec.source
    target = subfield_text(*place)
    if isinstance(spec, a.LearnLoad):
        text = c_hex(source) if isinstance(source, int) else subfield_text(*source)
        return f"load:{text}->{target}"
    if not isinstance(source, int):
        return target if source == place else f"{target}={subfield_text(*source)}"
    field = FIELD[place.field]
    if place.bits == oxm.width(field.name) and not place.offset:
        return f"{field.name}={format_value(field, source, (1 << field.bits) - 1, style.context)}"
    return f"{target}={c_hex(source)}"


# ---- wire ----


def encode_learn(x: a.Learn) -> tuple[int, bytes]:
    """(subtype, body): the second form only where there is a limit or a result."""
    flags = _SEND_FLOW_REM * x.send_flow_rem | _DELETE_LEARNED * x.delete_learned
    flags |= _WRITE_RESULT if x.result is not None else 0
    head = _HEAD.pack(
        x.idle_timeout,
        x.hard_timeout,
        x.priority,
        x.cookie,
        flags,
        x.table,
        0,
        x.fin_idle_timeout,
        x.fin_hard_timeout,
    )
    number = 16
    if x.limit or x.result is not None:
        number = 45
        head += _LIMIT.pack(x.limit, x.result.offset if x.result else 0, 0)
        head += oxm.encode_header(x.result.field, oxm.NXM) if x.result else b""
    return number, head + b"".join(map(_encode_spec, x.specs))


def _encode_spec(spec: a.LearnSpec) -> bytes:
    source = spec.source
    if isinstance(spec, a.LearnOutput):
        kind, bits, destination = _OUTPUT, spec.source.bits, b""
    else:
        kind = _MATCH if isinstance(spec, a.LearnMatch) else _LOAD
        bits, destination = spec.destination.bits, _place(spec.destination)
    if isinstance(source, int):
        value = source.to_bytes((bits + 15) // 16 * 2, "big")
        return (kind | _IMMEDIATE | bits).to_bytes(2, "big") + value + destination
    return (kind | bits).to_bytes(2, "big") + _place(source) + destination


def _place(x: a.Subfield) -> bytes:
    return oxm.encode_header(x.field, oxm.NXM) + x.offset.to_bytes(2, "big")


def decode_learn(body: bytes, second: bool = False) -> a.Learn:
    """`second`: the form with a limit."""
    idle, hard, priority, cookie, flags, table, padding, fin_idle, fin_hard = _HEAD.unpack_from(body)
    if padding:
        raise DecodeError("NXBAC_MUST_BE_ZERO" if second else "OFPBAC_BAD_ARGUMENT", "padding of learn")
    known = _SEND_FLOW_REM | _DELETE_LEARNED | (_WRITE_RESULT if second else 0)
    if flags & ~known or table == 255:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", "flags or table of learn")
    limit, result, position = 0, None, _HEAD.size
    if second:
        limit, offset, padding = _LIMIT.unpack_from(body, position)
        position += _LIMIT.size
        if padding:
            raise DecodeError("OFPBAC_BAD_ARGUMENT", "padding of learn")
        if flags & _WRITE_RESULT:
            field, position = oxm.decode_header(body, position)
            if not field.writable:
                raise DecodeError("OFPBAC_BAD_ARGUMENT", "result_dst of learn")
            result = a.Subfield(field.name, offset, 1)
        elif offset:
            raise DecodeError("OFPBAC_BAD_ARGUMENT", "result_dst of learn")
    return a.Learn(
        _decode_specs(body, position),
        table,
        priority,
        cookie,
        idle,
        hard,
        fin_idle,
        fin_hard,
        bool(flags & _SEND_FLOW_REM),
        bool(flags & _DELETE_LEARNED),
        limit,
        result,
    )


def _decode_specs(body: bytes, position: int) -> tuple[a.LearnSpec, ...]:
    specs: list[a.LearnSpec] = []
    size = len(body)
    while position + 2 <= size:
        head = int.from_bytes(body[position : position + 2], "big")
        if not head:
            break
        position += 2
        bits, kind = head & _BITS, head & 3 << 11
        immediate = bool(head & _IMMEDIATE)
        if head & 0xC000 or kind == 3 << 11 or not bits or (kind == _OUTPUT and immediate):
            raise DecodeError("OFPBAC_BAD_ARGUMENT", f"learn spec 0x{head:04x}")
        source: a.Subfield | int
        if immediate:
            octets = (bits + 15) // 16 * 2
            if position + octets > size:
                raise DecodeError("OFPBAC_BAD_LEN")
            source = int.from_bytes(body[position : position + octets], "big") & (1 << bits) - 1
            position += octets
        else:
            source, position = _decode_place(body, position, bits)
        if kind == _OUTPUT:
            assert isinstance(source, a.Subfield)
            specs.append(a.LearnOutput(source))
            continue
        destination, position = _decode_place(body, position, bits)
        make = a.LearnMatch if kind == _MATCH else a.LearnLoad
        specs.append(make(destination, source))
    if any(body[position:]):
        raise DecodeError("OFPBAC_BAD_ARGUMENT", "padding of learn")
    return tuple(specs)


def _decode_place(body: bytes, position: int, bits: int) -> tuple[a.Subfield, int]:
    if position + 6 > len(body):
        raise DecodeError("OFPBAC_BAD_LEN")
    field, end = oxm.decode_header(body, position, "OFPBAC_BAD_SET_TYPE")
    if end + 2 > len(body):
        raise DecodeError("OFPBAC_BAD_LEN")
    offset = int.from_bytes(body[end : end + 2], "big")
    return a.Subfield(field.name, offset, bits), end + 2
