"""ct and nat: what a packet does with the connection tracker.

nat stands only within ct; on the wire it is an action like those of exec(), before which it comes.  Its
range of addresses and ports is a row of optional values, a bit for each that is there.
"""

import re
from collections.abc import Callable
from struct import Struct
from typing import Final

from trunkline.base.addresses import format_ipv4, format_ipv6, parse_ipv6, scan_ipv4
from trunkline.flow.text import key_values
from trunkline.flow.values import TextError
from trunkline.openflow import actions as a
from trunkline.openflow import oxm
from trunkline.openflow.action_words import (
    ActionContext,
    ReadActions,
    parse_subfield,
    parse_table,
    subfield_text,
)
from trunkline.openflow.style import Style, integer, table_text
from trunkline.openflow.wire import DecodeError

_CT: Final = Struct("!HIHB3xH")
_COMMIT, _FORCE = 1, 2
_NO_TABLE: Final = 0xFF
_HELPERS: Final = {"ftp": 21, "tftp": 69}
_HELPER_NAMES: Final = {port: name for name, port in _HELPERS.items()}
_NAT: Final = Struct("!2xHH")
_SOURCE, _DESTINATION, _PERSISTENT, _HASH, _RANDOM = 1, 2, 4, 8, 16
_IPV4_MIN, _IPV4_MAX, _IPV6_MIN, _IPV6_MAX, _PORT_MIN, _PORT_MAX = (1 << bit for bit in range(6))

# ---- ct as text ----


def read_ct(text: str, context: ActionContext, read: ReadActions) -> a.Ct:
    fields: dict[str, object] = {}
    inner: list[a.Action] = []
    for key, value in key_values(text):
        word = value or ""
        if key in ("commit", "force"):
            fields[key] = True
        elif key == "table":
            fields["table"] = _read_table(word, context)
        elif key == "zone":
            number = integer(word)
            if number is not None and number <= 0xFFFF:
                fields["zone"] = number
            else:
                field, offset, bits = parse_subfield(word)
                fields["zone"] = a.Subfield(field.name, offset, bits)
        elif key == "alg":
            if word not in _HELPERS:
                raise TextError(f'invalid conntrack helper "{word}"')
            fields["alg"] = _HELPERS[word]
        elif key == "nat":
            inner.append(read_nat(word))
        elif key == "exec":
            inner += read(word, context, "ct")
        else:
            raise TextError(f'invalid argument to "ct" action: `{key}\'')
    if fields.get("force") and not fields.get("commit"):
        raise TextError('"force" flag requires "commit" flag.')
    return _with_inner(a.Ct(**fields), inner)  # type: ignore[arg-type]


def _with_inner(action: a.Ct, inner: list[a.Action]) -> a.Ct:
    """nat counts as ct's own where it comes first."""
    if inner and isinstance(inner[0], a.Nat):
        return action._replace(nat=inner[0], actions=tuple(inner[1:]))
    return action._replace(actions=tuple(inner))


def _read_table(word: str, context: ActionContext) -> int:
    table = parse_table(word, context)
    if table is None:
        raise TextError(f"unknown table {word}")
    if table == _NO_TABLE:
        raise TextError("invalid table 0xff")
    return table


def write_ct(x: a.Ct, style: Style, write: Callable[[tuple[a.Action, ...]], str]) -> str:
    words = [name for name in ("commit", "force") if getattr(x, name)]
    if x.table is not None:
        words.append(f"table={table_text(x.table, style)}")
    if isinstance(x.zone, a.Subfield):
        words.append(f"zone={subfield_text(*x.zone)}")
    elif x.zone:
        words.append(f"zone={x.zone}")
    if x.nat is not None:
        words.append(write((x.nat,)))
    if x.actions:
        words.append(f"exec({write(x.actions)})")
    if x.alg:
        words.append(f"alg={_HELPER_NAMES.get(x.alg, x.alg)}")
    return f"ct({','.join(words)})"


# ---- ct on the wire ----


def encode_ct(x: a.Ct, inner: bytes) -> tuple[int, bytes]:
    """(subtype, body); `inner` is nat and what follows, encoded."""
    flags = _COMMIT * x.commit | _FORCE * x.force | x.other_flags
    source, zone = 0, x.zone
    if isinstance(zone, a.Subfield):
        source = int.from_bytes(oxm.encode_header(zone.field, oxm.NXM)[:4], "big")
        zone = zone.offset << 6 | zone.bits - 1
    table = _NO_TABLE if x.table is None else x.table
    return 35, _CT.pack(flags, source, zone, table, x.alg) + inner


def decode_ct(body: bytes, decode: Callable[[bytes], tuple[a.Action, ...]]) -> a.Ct:
    """`decode` reads the actions within."""
    flags, source, packed, table, alg = _CT.unpack_from(body)
    zone: int | a.Subfield = packed
    if flags & _FORCE and not flags & _COMMIT:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", '"force" flag requires "commit" flag.')
    if source:
        field, _ = oxm.decode_header(source.to_bytes(4, "big"), 0, "OFPBAC_BAD_SET_TYPE")
        offset, bits = packed >> 6, (packed & 0x3F) + 1
        if offset + bits > oxm.width(field.name):
            raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
        if bits != 16:
            raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
        zone = a.Subfield(field.name, offset, bits)
    inner = list(decode(body[_CT.size :]))
    action = a.Ct(
        bool(flags & _COMMIT),
        bool(flags & _FORCE),
        zone,
        None if table == _NO_TABLE else table,
        alg,
        other_flags=flags & ~(_COMMIT | _FORCE),
    )
    action = _with_inner(action, inner)
    if inner and not action.commit and not (inner == [a.Nat()]):
        raise DecodeError(
            "OFPBAC_BAD_ARGUMENT",
            "CT action requires commit flag if actions other than NAT without arguments are specified.",
        )
    return action


# ---- nat as text ----


def read_nat(text: str) -> a.Nat:
    action = a.Nat()
    for key, value in key_values(text):
        if key in ("src", "dst"):
            if action.source or action.destination:
                raise TextError('May only specify one of "src" or "dst".')
            action = action._replace(source=key == "src", destination=key == "dst")
            if value:
                action = _with_range(action, value)
        elif key in ("persistent", "hash", "random"):
            action = action._replace(**{key: True})
        else:
            raise TextError(f'invalid key "{key}" in "nat" argument')
    if (action.persistent or action.hash or action.random) and not (action.source or action.destination):
        raise TextError('Flags allowed only with "src" or "dst".')
    if action.hash and action.random:
        raise TextError('Both "hash" and "random" are not allowed.')
    return action


_IPV6_CHARACTERS: Final = re.compile(r"([0-9a-fA-F:.]+)|\[([0-9a-fA-F:.]+)\]")
_PORTS: Final = re.compile(r":(\d+)(?:-(\d+))?(?!-)")


def _with_range(action: a.Nat, text: str) -> a.Nat:
    complaint = TextError(f'invalid nat range "{text}"')
    at = 0
    low = high = 0
    ipv6 = False
    found = scan_ipv4(text)
    if found is not None:
        low, at = found
        if text.startswith("-", at):
            second = scan_ipv4(text, at + 1)
            if second is None:
                raise complaint
            high, at = second
            if high < low:
                raise complaint
    else:
        ipv6, low, high, at = _ipv6_range(text, complaint)
    ports, at = _ports(text, at, complaint)
    rest = text[at:]
    if rest.strip():
        raise TextError(f'garbage ({rest}) after nat range "{text}" (pos: {at})')
    return action._replace(
        ipv6=ipv6 and bool(low or high),
        address_low=low or None,
        address_high=high or None,
        port_low=ports[0],
        port_high=ports[1],
    )


def _ipv6_range(text: str, complaint: TextError) -> tuple[bool, int, int, int]:
    first = _IPV6_CHARACTERS.match(text)
    if first is None:
        return False, 0, 0, 0
    low = parse_ipv6(first.group(1) or first.group(2))
    at = first.end()
    if low is None:
        return False, 0, 0, at
    high = 0
    if text.startswith("-", at):
        second = _IPV6_CHARACTERS.match(text, at + 1)
        value = parse_ipv6(second.group(1) or second.group(2)) if second else None
        if second is None or value is None or value < low:
            raise complaint
        high, at = value, second.end()
    return True, low, high, at


def _ports(text: str, at: int, complaint: TextError) -> tuple[tuple[int, int], int]:
    if not text.startswith(":", at):
        return (0, 0), at
    found = _PORTS.match(text, at)
    if found is None:
        raise complaint
    low, high = int(found.group(1)) & 0xFFFF, int(found.group(2) or 0) & 0xFFFF
    if found.group(2) and high < low:
        raise complaint
    return (low, high), found.end()


def write_nat(x: a.Nat) -> str:
    if not (x.source or x.destination):
        return "nat"
    text = "src" if x.source else "dst"
    if not (x.address_low or x.port_low):
        return f"nat({text})"
    write = format_ipv6 if x.ipv6 else format_ipv4
    addresses, ports = "", ""
    if x.address_low:
        addresses = write(x.address_low)
        if x.ipv6 and x.port_low:
            addresses = f"[{addresses}]"
        if x.address_high and x.address_high != x.address_low:
            last = write(x.address_high)
            addresses += f"-[{last}]" if x.ipv6 and x.port_low else f"-{last}"
    if x.port_low:
        ports = f":{x.port_low}"
        if x.port_high and x.port_high != x.port_low:
            ports += f"-{x.port_high}"
    flags = [name for name in ("persistent", "hash", "random") if getattr(x, name)]
    return f"nat({','.join([f'{text}={addresses}{ports}', *flags])})"


# ---- nat on the wire ----


def encode_nat(x: a.Nat) -> tuple[int, bytes]:
    """(subtype, body)."""
    flags = _SOURCE * x.source | _DESTINATION * x.destination
    flags |= _PERSISTENT * x.persistent | _HASH * x.hash | _RANDOM * x.random
    present, values = 0, b""
    octets = 16 if x.ipv6 else 4
    minimum, maximum = (_IPV6_MIN, _IPV6_MAX) if x.ipv6 else (_IPV4_MIN, _IPV4_MAX)
    for bit, number, size in (
        (minimum, x.address_low, octets),
        (maximum, x.address_high, octets),
        (_PORT_MIN, x.port_low, 2),
        (_PORT_MAX, x.port_high, 2),
    ):
        if number:
            present |= bit
            values += number.to_bytes(size, "big")
    return 36, _NAT.pack(flags, present) + values


def decode_nat(body: bytes) -> a.Nat:
    flags, present = _NAT.unpack_from(body)
    source, destination = bool(flags & _SOURCE), bool(flags & _DESTINATION)
    hash_, random = bool(flags & _HASH), bool(flags & _RANDOM)
    wrong = DecodeError("OFPBAC_BAD_ARGUMENT", "nat")
    if (source and destination) or (hash_ and random):
        raise wrong
    if not source and not destination:
        if flags:
            raise wrong
        if any(body[_NAT.size :]):
            raise wrong
        return a.Nat()
    if present & (_IPV4_MIN | _IPV4_MAX) and present & (_IPV6_MIN | _IPV6_MAX):
        raise wrong
    position = _NAT.size
    values: list[int] = []
    for bit, size in enumerate((4, 4, 16, 16, 2, 2)):
        values.append(0)
        if present >> bit & 1:
            if position + size > len(body):
                raise wrong
            values[-1] = int.from_bytes(body[position : position + size], "big")
            position += size
    for low in (0, 2, 4):  # the upper end only beside the lower one, and not below it
        high = low + 1
        if present >> high & 1 and not (present >> low & 1 and values[low] <= values[high]):
            raise wrong
    if any(body[position:]):
        raise wrong
    ipv6 = bool(present & _IPV6_MIN)
    return a.Nat(
        source,
        destination,
        ipv6,
        values[2 if ipv6 else 0] or None,
        values[3 if ipv6 else 1] or None,
        values[4],
        values[5],
        bool(flags & _PERSISTENT),
        hash_,
        random,
    )
