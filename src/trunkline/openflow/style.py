"""How messages are shown: verbosity, names for ports and tables, and small texts that all of them share."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from trunkline.flow.values import NO_CONTEXT, TextContext, format_port
from trunkline.model.openflow import VERSION_SHORT


class Style(NamedTuple):
    """`verbosity` as of ``ovs-ofctl --more``; `context` names ports, `tables` names tables.

    Without `statistics`, flows are shown without counters and ages.
    """

    verbosity: int = 0
    context: TextContext = NO_CONTEXT
    tables: Mapping[int, str] | None = None
    statistics: bool = True


PLAIN = Style()


def port_text(port: int, style: Style = PLAIN) -> str:
    return format_port(port, style.context)


def table_text(table: int, style: Style = PLAIN) -> str:
    if style.tables is not None:
        given = style.tables.get(table)
        if given is not None:
            return quoted_name(given)
    return str(table)


def quoted_name(name: str) -> str:
    """A table's name as text that parses back: quoted unless it looks like an identifier."""
    if name and (name[0].isalpha() or name[0] == "_") and all(c.isalnum() or c in "_-." for c in name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def integer(word: str) -> int | None:
    """`word` as C's strtoull(word, ..., 0) reads it, or None when it is not all a number."""
    try:
        word = word.removeprefix("+")
        if len(word) > 1 and word[0] == "0" and word[1] not in "xX":
            return int(word, 8)
        if not word[:1].isdigit():
            return None
        return int(word, 0)
    except ValueError:
        return None


def flags_text(names: Iterable[tuple[int, str]], bits: int, separator: str = " ", none: str = "0") -> str:
    """The names of the bits set, unknown bits as hex at the end."""
    words = []
    for bit, name in names:
        if bits & bit:
            words.append(name)
            bits &= ~bit
    if bits:
        words.append(f"0x{bits:x}")
    return separator.join(words) if words else none


def c_hex(value: int) -> str:
    """A number as printf's %#x has it: zero without the prefix."""
    return f"0x{value:x}" if value else "0"


def mac_text(address: int) -> str:
    return address.to_bytes(6, "big").hex(":")


def duration_text(nanoseconds: int) -> str:
    """Seconds with as many decimals as they need, at least... none: 5s, 5.25s, 5.000000001s."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    if not rest:
        return f"{seconds}s"
    if rest % 1_000_000 == 0:
        return f"{seconds}.{rest // 1_000_000:03d}s"
    return f"{seconds}.{rest:09d}".rstrip("0") + "s"


def counter_text(value: int | None) -> str:
    return "?" if value is None else str(value)


def version_suffix(version: int) -> str:
    return "" if version == 1 else f" ({VERSION_SHORT[version]})"


def hex_dump(data: bytes, start: int = 0) -> str:
    """Sixteen bytes a line, as offset, hex and characters."""
    lines = []
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        cells = [f"{byte:02x}" for byte in row] + ["  "] * (16 - len(row))
        dash = "-" if len(row) > 7 else " "
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row).ljust(16)
        lines.append(f"{start + offset:08x}  {' '.join(cells[:8])}{dash}{' '.join(cells[8:])} |{shown}|\n")
    return "".join(lines)


def plain_hex_dump(data: bytes) -> str:
    """As hex_dump, without the column of characters."""
    lines = []
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        text = "".join(f"{byte:02x}{'-' if index == 7 else ' '}" for index, byte in enumerate(row)).rstrip(
            " "
        )
        lines.append(f"{offset:08x}  {text}\n")
    return "".join(lines)


def printable(data: bytes) -> str:
    """Bytes as the original shows a text of unknown origin: escapes for what is not printable ASCII."""
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
    return "".join(
        chr(byte)
        if 0x20 <= byte < 0x7F and byte != 0x5C
        else named.get(byte) or ("\\\\" if byte == 0x5C else f"\\{byte:03o}")
        for byte in data
    )
