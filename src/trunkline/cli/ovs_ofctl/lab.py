"""Commands for the laboratory, which the manual does not name: codecs of matches and actions, line by line.

They read lines from the standard input, and are what tests compare the codecs of two implementations by.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.model.fields import CLASSES, FIELDS
from trunkline.model.openflow import VERSION_BY_NAME, VERSION_NAMES
from trunkline.openflow import actions as a
from trunkline.openflow import match10, match11, oxm
from trunkline.openflow.action_order import disorder
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.actions_wire import decode_instructions, encode_instructions
from trunkline.openflow.flow_parts import nxm_with_cookie, pull_cookie
from trunkline.openflow.wire import DecodeError


def _hex_lines() -> Iterator[bytes]:
    """The bytes of each line of hexadecimal digits; # begins a comment."""
    for line in sys.stdin:
        digits = "".join(line.partition("#")[0].split())
        if not digits:
            continue
        try:
            yield bytes.fromhex(digits)
        except ValueError:
            raise Failure("Trailing garbage in hex data") from None


def _version(word: str) -> int:
    version = VERSION_BY_NAME.get(word)
    if version is None:
        raise Failure(f'Unknown OpenFlow version: "{word}"')
    return version


def _differences(old: bytes, new: bytes) -> str:
    lines = []
    for i in range(max(len(old), len(new))):
        before = f"{old[i]:02x}" if i < len(old) else "(none)"
        after = f"{new[i]:02x}" if i < len(new) else "(none)"
        if before != after:
            lines.append(f"{i:2d}: {before} -> {after}\n")
    return "".join(lines)


# ---- actions ----


def parse_actions(tool: Tool, arguments: Sequence[str]) -> int:
    return _codec(_version(arguments[0]), "actions", decode_actions, encode_actions)


def parse_instructions(tool: Tool, arguments: Sequence[str]) -> int:
    version = _version(arguments[0])
    if version == 1:
        return _codec(version, "instructions", decode_actions, encode_actions)
    return _codec(version, "instructions", decode_instructions, encode_instructions)


_Decode = Callable[[bytes, int], tuple[a.Action, ...]]
_Encode = Callable[[tuple[a.Action, ...], int], bytes]


def _codec(version: int, what: str, decode: _Decode, encode: _Encode) -> int:
    for data in _hex_lines():
        try:
            actions = decode(data, version)
            wrong = disorder(actions)
            if wrong is not None:
                raise DecodeError(wrong.error)
        except DecodeError as error:
            sys.stdout.write(f"bad {VERSION_NAMES[version]} {what}: {error.error}\n\n")
            continue
        text = f"actions={format_actions(actions)}\n"
        sys.stdout.write(text + _differences(data, encode(actions, version)) + "\n")
    return 0


# ---- matches as NXM and OXM ----

_ENTRY: Final = re.compile(r"([^(]*)\(([^)]*)\)")
_TITLES: Final = {code.name: (field, code) for field in FIELDS for code in field.ids}
_COOKIE: Final = ("NXM_NX_COOKIE", b"\0\1\x3c\x08")


def parse_nxm(tool: Tool, arguments: Sequence[str]) -> int:
    return _matches(tool, oxm.NXM, not tool.strict)


def parse_nx_match(tool: Tool, arguments: Sequence[str]) -> int:
    return parse_nxm(tool, arguments)


def parse_oxm(tool: Tool, arguments: Sequence[str]) -> int:
    return _matches(tool, _version(arguments[0]), not tool.strict)


def _matches(tool: Tool, version: int, loose: bool) -> int:
    for line in sys.stdin:
        text = line.rstrip("\n")
        if not text.strip() or text.lstrip().startswith("#"):
            sys.stdout.write(f"{text.strip()}\n")
            continue
        data = _entries_from_text(text.strip())
        try:
            rest, cookie, mask = pull_cookie(data)
            match = oxm.decode(rest, loose=loose)
        except DecodeError as error:
            sys.stdout.write(f"nx_pull_match() returned error {error.error}\n")
            continue
        encoded = nxm_with_cookie(match, cookie, mask) if not version else oxm.encode(match, version)
        sys.stdout.write(_entries_text(encoded) + "\n")
    return 0


def _entries_from_text(text: str) -> bytes:
    """``NAME(VALUE)`` or ``NAME_W(VALUE/MASK)``, in a row, as bytes.  Raises Failure."""
    if text == "<any>":
        return b""
    out = []
    at = 0
    while at < len(text):
        while at < len(text) and text[at] in ", ":
            at += 1
        if at >= len(text):
            break
        opening = text.find("(", at)
        if opening < 0:
            raise Failure(f"{text[at:]}: missing ( at end of nx_match")
        name = text[at:opening]
        header = _header_named(name)
        if header is None:
            raise Failure(f"{text[at:]}: unknown field `{name}'")
        closing = text.find(")", opening)
        if closing < 0:
            raise Failure(f"{text[at:]}: missing ) following field {name}")
        value, _, mask = text[opening + 1 : closing].partition("/")
        if name.startswith("NXM_NX_TUN_METADATA"):  # as wide as its value
            header = header[:3] + bytes((len(value) // 2 << (header[2] & 1),))
        size = (header[3] - (4 if header[:2] == b"\xff\xff" else 0)) >> (header[2] & 1)
        body = _digits(value, size)
        if header[2] & 1:
            body += _digits(mask, size)
        out.append(header + body)
        at = closing + 1
    return b"".join(out)


def _digits(text: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size:
        raise Failure(f"expected to read {size} bytes but got {len(data)}")
    return data


def _header_named(name: str) -> bytes | None:
    if re.fullmatch(r"[0-9a-fA-F]{8}|ffff[0-9a-fA-F]{12}", name):
        return bytes.fromhex(name)
    masked = False
    if name.startswith(_COOKIE[0]):
        return _COOKIE[1] if name == _COOKIE[0] else b"\0\1\x3d\x10" if name == _COOKIE[0] + "_W" else None
    found = _TITLES.get(name)
    if found is None and name.endswith("_W"):
        found = _TITLES.get(name[:-2])
        masked = True
    if found is None or (masked and not found[0].maskable):
        return None
    field, code = found
    vendor = CLASSES[code.vendor]
    experimenter = b"" if vendor.experimenter is None else vendor.experimenter.to_bytes(4, "big")
    size = len(experimenter) + (field.octets << masked)
    return vendor.number.to_bytes(2, "big") + bytes((code.number << 1 | masked, size & 0xFF)) + experimenter


_BY_HEADER: Final = {
    (CLASSES[code.vendor].number, CLASSES[code.vendor].experimenter, code.number): code.name
    for field in FIELDS
    for code in field.ids
}


def _entries_text(data: bytes) -> str:
    words = []
    at = 0
    while at < len(data):
        number = int.from_bytes(data[at : at + 2], "big")
        experimenter = int.from_bytes(data[at + 4 : at + 8], "big") if number == 0xFFFF else None
        start, end = at + (8 if number == 0xFFFF else 4), at + 4 + data[at + 3]
        masked = data[at + 2] & 1
        name = _BY_HEADER.get((number, experimenter, data[at + 2] >> 1))
        if (number, data[at + 2] >> 1) == (1, 30):
            name = _COOKIE[0]
        half = (end - start) >> masked
        text = data[start : start + half].hex()
        if masked:
            text += "/" + data[start + half : end].hex()
        words.append(f"{name}{'_W' if masked else ''}({text})")
        at = end
    return ", ".join(words) or "<any>"


# ---- the fixed matches ----


def parse_ofp10_match(tool: Tool, arguments: Sequence[str]) -> int:
    from trunkline.flow.text import format_match

    for data in _hex_lines():
        if len(data) != 40:
            raise Failure(f"Input is {len(data)} bytes, expected 40")
        match = match10.decode(data)
        text = format_match(match) + "\n"
        sys.stdout.write(text + _differences(data, match10.encode(match)) + "\n")
    return 0


def parse_ofp11_match(tool: Tool, arguments: Sequence[str]) -> int:
    from trunkline.flow.text import format_match

    for data in _hex_lines():
        if len(data) != 88:
            raise Failure(f"Input is {len(data)} bytes, expected 88")
        try:
            match, _ = match11.decode(data, 0)
        except DecodeError as error:
            sys.stdout.write(f"bad ofp11_match: {error.error}\n\n")
            continue
        sys.stdout.write(format_match(match) + "\n" + _differences(data, match11.encode(match)) + "\n")
    return 0
