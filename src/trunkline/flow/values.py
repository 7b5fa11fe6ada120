"""The values of fields as text: one way to read and one to write for each `format` of the table of fields.

Flow matches, `set_field` and `load` actions and the control commands all write values alike: `80`,
`0x1/0xff`, `10.0.0.0/8`, `syn|ack`, `+trk-new`.  A reader gets the field for its width and name and raises
`TextError` with the original's words.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from trunkline.base.addresses import (
    OCTETS,
    format_ipv4,
    format_ipv6,
    format_mac,
    parse_ipv6,
    prefix_length,
    prefix_mask,
    scan_ipv4,
    scan_mac,
)
from trunkline.flow.key import CT_STATE_FLAGS, TCP_FLAGS
from trunkline.model.fields import Field


class TextError(Exception):
    """What a person wrote does not make sense; the text is the original's."""


class TextContext(NamedTuple):
    """What text may mean beside itself, names of ports; and what it is painted with, where it is."""

    port_numbers: Mapping[str, int] = MappingProxyType({})
    port_names: Mapping[int, str] = MappingProxyType({})  # empty: print numbers
    warn: Callable[[str, str], None] = lambda module, text: None  # WARN lines, with the module that logs them
    colors: Mapping[str, str] | None = None  # flow/colors.py


NO_CONTEXT: Final = TextContext()
Parsed = tuple[int, int]  # value, mask

PORT_NAMES: Final = MappingProxyType(
    {
        "MAX": 0xFF00,
        "UNSET": 0xFFF7,
        "IN_PORT": 0xFFF8,
        "TABLE": 0xFFF9,
        "NORMAL": 0xFFFA,
        "FLOOD": 0xFFFB,
        "ALL": 0xFFFC,
        "CONTROLLER": 0xFFFD,
        "LOCAL": 0xFFFE,
        "ANY": 0xFFFF,
    }
)
_RESERVED: Final = MappingProxyType({number: name for name, number in PORT_NAMES.items() if name != "MAX"})
_FRAGMENTS: Final = MappingProxyType(
    {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (3, 3), "not_later": (0, 2)}
)
_FRAGMENT_NAMES: Final = MappingProxyType({pair: name for name, pair in _FRAGMENTS.items()})
TUN_FLAGS: Final = ("oam",)


def parse_value(field: Field, text: str, context: TextContext = NO_CONTEXT) -> Parsed:
    """(value, mask) of a field from text; `*` is the empty mask.  Raises TextError."""
    if text == "*":
        return 0, 0
    value, mask = _READERS[field.format](field, text, context)
    if not field.maskable and mask not in (0, _ones(field)):
        raise TextError(f"{text}: invalid mask for field {field.name}")
    return value & mask, mask


def format_value(field: Field, value: int, mask: int, context: TextContext = NO_CONTEXT) -> str:
    """A field's value as text, with `/mask` unless the mask covers the field."""
    if not mask:
        return "ANY"
    return _WRITERS[field.format](value, mask, field.bits, context)


def _ones(field: Field) -> int:
    return (1 << field.octets * 8) - 1


class Form(NamedTuple):
    """How values under one mask are shown: a template, for what `show` makes of a value (None: itself)."""

    template: str
    show: "Callable[[int], str | int] | None" = None


def _write(form: Form, value: int) -> str:
    return form.template % (value if form.show is None else form.show(value))


# ---- integers


def scan_integer(text: str) -> int | None:
    """As strtoull(3) with base 0 over all of `text`, but hexadecimal of any length.  None: no integer."""
    found = re.fullmatch(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]*)|(0[0-7]*)|([1-9][0-9]*))", text)
    if found is None:
        return None
    sign, hexadecimal, octal, decimal = found.groups()
    value = int(hexadecimal or octal or decimal or "0", 16 if hexadecimal else 8 if octal else 10)
    return value if sign != "-" else value and (1 << 64) - value


def _integer(field: Field, text: str, whole: str, what: str) -> int:
    found = _LEADING.match(text)
    value = scan_integer(found[0]) if found is not None else None
    if value is not None and (value >> field.octets * 8 or (value >> 64 and "x" not in text.lower())):
        raise TextError(f"{whole}: {what} too large for {field.octets}-byte field {field.name}")
    if found is None or value is None or found.end() < len(text):
        raise TextError(f"{whole}: bad syntax for {field.name} {what}")
    return value


# The integer that a text begins with; an octal number ends before an 8.
_LEADING: Final = re.compile(r"\s*[+-]?(?:0[xX][0-9a-fA-F]*|0[0-7]*|[1-9][0-9]*)")


def _read_integer(field: Field, text: str, context: TextContext) -> Parsed:
    first, slash, second = text.partition("/")
    value = _integer(field, first, text, "value")
    return value, _integer(field, second, text, "mask") if slash else _ones(field)


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


@lru_cache(maxsize=1024)
def hex_form(mask: int, bits: int) -> Form:
    return Form("%s" if mask == (1 << bits) - 1 else f"%s/{mask:#x}", _hex)


def write_hex(value: int, mask: int, bits: int, context: TextContext = NO_CONTEXT) -> str:
    return _write(hex_form(mask, bits), value)


@lru_cache(maxsize=1024)
def decimal_form(mask: int, bits: int) -> Form:
    if mask != (1 << bits) - 1:
        return Form(f"%#x/{mask:#x}")
    return Form("%s", OCTETS.__getitem__) if bits <= 8 else Form("%d")


def write_decimal(value: int, mask: int, bits: int, context: TextContext = NO_CONTEXT) -> str:
    return _write(decimal_form(mask, bits), value)


# Forms that only matches are printed in


def label_form(mask: int, bits: int) -> Form:
    return Form("%#07x" if mask == (1 << bits) - 1 else f"%#07x/{mask:#07x}")


def type_form(mask: int, bits: int) -> Form:
    return Form("%#06x" if mask == 0xFFFF else f"%#06x/{mask:#06x}")


def octet_form(mask: int, bits: int) -> Form:
    return Form("%d" if mask == 0xFF else f"%#04x/{mask:#04x}")


def nsh_form(mask: int, bits: int) -> Form:
    return Form("%#x" if mask == (1 << bits) - 1 else f"%#x/{mask:#x}")


# ---- addresses


def _read_mac(field: Field, text: str, context: TextContext) -> Parsed:
    found = scan_mac(text)
    if found is not None:
        value, end = found
        if end == len(text):
            return value, (1 << 48) - 1
        second = scan_mac(text, end + 1) if text[end] == "/" else None
        if second is not None and second[1] == len(text):
            return value, second[0]
    raise TextError(f"{text}: invalid Ethernet address")


def mac_form(mask: int, bits: int = 48) -> Form:
    return Form("%s" if mask == (1 << 48) - 1 else f"%s/{format_mac(mask)}", format_mac)


def write_mac(value: int, mask: int, bits: int = 48, context: TextContext = NO_CONTEXT) -> str:
    return _write(mac_form(mask), value)


def _read_ipv4(field: Field, text: str, context: TextContext) -> Parsed:
    return masked_ipv4(text)


def masked_ipv4(text: str) -> Parsed:
    """``10.0.0.1``, with ``/24`` or ``/255.255.255.0``.  Raises TextError."""
    found = scan_ipv4(text)
    if found is not None:
        value, end = found
        if end == len(text):
            return value, 0xFFFFFFFF
        if text[end] == "/":
            second = scan_ipv4(text, end + 1)
            if second is not None and second[1] == len(text):
                return value, second[0]
            length = _prefix(text, text[end + 1 :], 32, "IPv4")
            if length is not None:
                return value, prefix_mask(length, 32)
    raise TextError(f"{text}: invalid IP address")


def _prefix(whole: str, text: str, most: int, family: str) -> int | None:
    """The prefix length that `text` is; None: it is none.  A number in front is checked all the same."""
    found = re.match(r"\s*[+-]?\d+", text)
    if found is None:
        return None
    length = int(found[0])
    if not 0 <= length <= most:
        raise TextError(f"{whole}: {family} network prefix bits not between 0 and {most}, inclusive")
    return length if found.end() == len(text) else None


def ipv4_form(mask: int, bits: int = 32) -> Form:
    if mask == 0xFFFFFFFF:
        return Form("%s", format_ipv4)
    length = prefix_length(mask, 32)
    return Form(f"%s/{format_ipv4(mask) if length is None else length}", format_ipv4)


def write_ipv4(value: int, mask: int, bits: int = 32, context: TextContext = NO_CONTEXT) -> str:
    return _write(ipv4_form(mask), value)


def _read_ipv6(field: Field, text: str, context: TextContext) -> Parsed:
    return masked_ipv6(text)


def masked_ipv6(text: str) -> Parsed:
    """``fc00::1``, with ``/64`` or ``/ffff::``.  Raises TextError."""
    first, slash, second = text.partition("/")
    value = parse_ipv6(first)
    if value is not None:
        if not slash:
            return value, (1 << 128) - 1
        length = _prefix(text, second, 128, "IPv6")
        mask = parse_ipv6(second) if length is None else prefix_mask(length, 128)
        # A mask that begins with a digit is read as a prefix length, and then is wrong.
        if mask is not None and (length is not None or not second[:1].isdigit()):
            return value, mask
        if mask is None and second[:1] in set("abcdefABCDEF:."):
            raise TextError(f"{text}: Invalid IPv6 mask")
    raise TextError(f"{text}: invalid IPv6 address")


def ipv6_form(mask: int, bits: int = 128) -> Form:
    length = prefix_length(mask, 128)
    if length == 128:
        return Form("%s", format_ipv6)
    return Form(f"%s/{format_ipv6(mask) if length is None else length}", format_ipv6)


def write_ipv6(value: int, mask: int, bits: int = 128, context: TextContext = NO_CONTEXT) -> str:
    return _write(ipv6_form(mask), value)


# ---- ports


def parse_port(text: str, context: TextContext = NO_CONTEXT) -> int | None:
    """The number of a port given by number, by the name of a reserved one, or by a name that `context` knows.

    None: there is no such port.  A name may be in double quotes.
    """
    if text.isdecimal() or re.fullmatch(r"\s*[+]?\d+", text):  # the first is most, and costs little
        return _port_number(int(text), context)
    if re.fullmatch(r"\s*-\d+", text):
        context.warn("ofp_port", f"Negative value {int(text)} is not a valid port number.")
        return None
    if text.upper() == "NONE":
        return 0xFFFF
    number = PORT_NAMES.get(text.upper())
    if number is not None and number != 0xFF00:
        return number
    return context.port_numbers.get(unquoted(text))


def unquoted(text: str) -> str:
    """The name that a text in double quotes stands for; any other stands for itself."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if quoted else text


def _port_number(number: int, context: TextContext) -> int | None:
    if number > 0xFFFFFFFF:
        return None
    if 0xFF00 <= number <= 0xFFFF:
        if number in _RESERVED:
            context.warn(
                "ofp_port",
                f"referring to port {_RESERVED[number]} as {number} is deprecated for compatibility "
                "with OpenFlow 1.1 and later",
            )
        else:
            context.warn(
                "ofp_port",
                f"port {number} is a reserved OF1.0 port number that will be translated to "
                f"{number + 0xFFFF0000} when talking to an OF1.1 or later controller",
            )
        return number
    if number < 0xFF00:
        return number
    if number >= 0xFFFFFF00:
        return number & 0xFFFF
    context.warn(
        "ofp_port",
        f"port {number} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff",
    )
    return None


def format_port(number: int, context: TextContext = NO_CONTEXT) -> str:
    reserved = _RESERVED.get(number)
    if reserved is not None:
        return reserved
    name = context.port_names.get(number)
    if name is None:
        return str(number)
    return name if re.fullmatch("[A-Za-z][A-Za-z0-9]*", name) else '"' + _escaped(name) + '"'


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _read_port(field: Field, text: str, context: TextContext) -> Parsed:
    number = parse_port(text, context)
    if number is None:
        problem = "invalid or unknown port" if field.format == "port10" else "port value out of range"
        raise TextError(f"{text}: {problem} for {field.name}")
    return number, _ones(field)


def write_port(value: int, mask: int, bits: int, context: TextContext = NO_CONTEXT) -> str:
    return format_port(value, context)


# ---- flags and names


def _read_fragment(field: Field, text: str, context: TextContext) -> Parsed:
    found = _FRAGMENTS.get(text)
    if found is None:
        raise TextError(
            f'{text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"'
        )
    value, mask = found
    return value, _ones(field) if mask == 3 else mask


def write_fragment(value: int, mask: int, bits: int = 2, context: TextContext = NO_CONTEXT) -> str:
    return _FRAGMENT_NAMES.get((value & 3, mask & 3), "<error>")


def parse_flags(text: str, names: Sequence[str], what: str, width: int) -> Parsed:
    """`+a-b` (a set, b clear), `a|b` (just these), or integers `value[/mask]`.  Raises TextError."""
    if text[:1].isdigit():
        first, slash, second = text.partition("/")
        value = scan_integer(first)
        mask = scan_integer(second) if slash else (1 << width) - 1
        allowed = (1 << len(names)) - 1
        if (
            value is None
            or mask is None
            or first in ("0x", "0X")
            or value & ~allowed
            or (slash and mask & ~allowed)
        ):
            raise TextError(f"{text}: unknown {what} flag(s)")
        return value, mask
    if text[:1] not in ("+", "-"):
        return _listed_flags(text, names, what), (1 << width) - 1
    value = mask = 0
    for found in re.finditer(r"([+-])([^+-]*)", text):
        sign, name = found.groups()
        if name not in names:
            raise TextError(f"{text[found.start(2) :]}: unknown {what} flag(s)")
        bit = 1 << names.index(name)
        if mask & bit:
            raise TextError(f"{name}: Each {what} flag can be specified only once")
        mask |= bit
        value |= bit if sign == "+" else 0
    return value, mask


def _listed_flags(text: str, names: Sequence[str], what: str) -> int:
    value = 0
    for name in text.split("|") if text else ():
        if name not in names:
            raise TextError(f"{text}: unknown {what} flag(s)")
        value |= 1 << names.index(name)
    return value


def write_flags(value: int, mask: int, names: Sequence[str], full: int) -> str:
    """`a|b` under a mask that covers `full`, else `+a-b`."""
    if mask & full == full:
        return "|".join(name for i, name in enumerate(names) if value >> i & 1) or "0"
    return "".join(("+" if value >> i & 1 else "-") + name for i, name in enumerate(names) if mask >> i & 1)


def _read_tcp_flags(field: Field, text: str, context: TextContext) -> Parsed:
    return parse_flags(text, TCP_FLAGS, "TCP", 16)


def _read_tun_flags(field: Field, text: str, context: TextContext) -> Parsed:
    return parse_flags(text, TUN_FLAGS, "tunnel", 16)


def _read_ct_state(field: Field, text: str, context: TextContext) -> Parsed:
    return parse_flags(text, CT_STATE_FLAGS, "ct_state", 32)


def write_tcp_flags(value: int, mask: int, bits: int = 12, context: TextContext = NO_CONTEXT) -> str:
    return write_flags(value, mask, TCP_FLAGS, 0xFFF)


def write_tun_flags(value: int, mask: int, bits: int = 1, context: TextContext = NO_CONTEXT) -> str:
    return write_flags(value, mask, TUN_FLAGS, 2)  # one flag alone always has its sign


def write_ct_state(value: int, mask: int, bits: int = 32, context: TextContext = NO_CONTEXT) -> str:
    return write_flags(value, mask, CT_STATE_FLAGS, 0xFF)


def _read_packet_type(field: Field, text: str, context: TextContext) -> Parsed:
    if not text.startswith("("):
        raise TextError(f"{text}: bad syntax for packet type missing '('")
    rest = text[1:]
    namespace, after = _leading_short(rest)
    if namespace is None:
        raise TextError(f"{rest}: bad syntax for packet type ns")
    if not after.startswith(","):
        raise TextError(f"{rest}: bad syntax for packet type missing ','")
    rest = after[1:]
    kind, after = _leading_short(rest)
    if kind is None:
        raise TextError(f"{rest}: bad syntax for packet type ns_type")
    if not after.startswith(")"):
        raise TextError(f"{rest}: bad syntax for packet type missing ')'")
    return namespace << 16 | kind, 0xFFFFFFFF


def _leading_short(text: str) -> tuple[int | None, str]:
    """The number of at most 16 bits that `text` begins with, if any, and what follows it."""
    found = re.match(r"\s*[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)", text)
    number = scan_integer(found[0]) if found is not None else None
    if found is None or number is None or number > 0xFFFF:
        return None, text
    return number, text[found.end() :]


def write_packet_type(value: int, mask: int, bits: int = 32, context: TextContext = NO_CONTEXT) -> str:
    kind = value & 0xFFFF
    return f"({value >> 16},{kind if kind < 10 else hex(kind)})"


def _form_of(writer: "_Writer") -> "Maker":
    """The form of values whose text is not cut into one of the value and one of the mask."""

    def form(mask: int, bits: int) -> Form:
        if bits <= _FEW_BITS:
            return Form(
                "%s", tuple(writer(value, mask, bits, NO_CONTEXT) for value in range(1 << bits)).__getitem__
            )
        return Form("%s", lambda value: writer(value, mask, bits, NO_CONTEXT))

    return form


def _port_form(mask: int, bits: int) -> Form:
    return Form("%s", format_port)  # which is given the names of ports, too


_FEW_BITS: Final = 3  # so few that all texts can be written beforehand
Maker = Callable[[int, int], Form]
"""Of the form of values, by their mask and the bits of their field."""
_Reader = Callable[[Field, str, TextContext], Parsed]
_Writer = Callable[[int, int, int, TextContext], str]

_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {
        "dec": _read_integer,
        "hex": _read_integer,
        "ipv4": _read_ipv4,
        "ipv6": _read_ipv6,
        "mac": _read_mac,
        "port10": _read_port,
        "port": _read_port,
        "frag": _read_fragment,
        "tcp flags": _read_tcp_flags,
        "tun flags": _read_tun_flags,
        "ct state": _read_ct_state,
        "packet type": _read_packet_type,
    }
)
_WRITERS: Final[Mapping[str, _Writer]] = MappingProxyType(
    {
        "dec": write_decimal,
        "hex": write_hex,
        "ipv4": write_ipv4,
        "ipv6": write_ipv6,
        "mac": write_mac,
        "port10": write_port,
        "port": write_port,
        "frag": write_fragment,
        "tcp flags": write_tcp_flags,
        "tun flags": write_tun_flags,
        "ct state": write_ct_state,
        "packet type": write_packet_type,
    }
)
FORMS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "dec": decimal_form,
        "hex": hex_form,
        "ipv4": ipv4_form,
        "ipv6": ipv6_form,
        "mac": mac_form,
        "port10": _port_form,
        "port": _port_form,
        "frag": _form_of(write_fragment),
        "tcp flags": _form_of(write_tcp_flags),
        "tun flags": _form_of(write_tun_flags),
        "ct state": _form_of(write_ct_state),
        "packet type": _form_of(write_packet_type),
    }
)
