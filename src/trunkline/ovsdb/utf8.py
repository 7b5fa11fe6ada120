"""Strings of a database are UTF-8, and what is none is refused where it comes in.

JSON may carry other bytes, and halves of surrogate pairs; base/json.py lets both pass as surrogate escapes.
One such string in a row, and the original's tools, its server and the PyPI `ovs` library can read the row no
more.
"""

from typing import Final

_SECOND: Final = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}
"""What may follow the first byte of a UTF-8 sequence, where it is not 80 to BF."""


def utf8_error(string: str) -> str:
    """What is wrong with the bytes of `string`; "" if nothing."""
    if string.isascii():
        return ""
    data = string.encode("utf-8", "surrogateescape")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 sequence {_bad_sequence(data[error.start :])}"
    return ""


def _bad_sequence(data: bytes) -> str:
    """The bytes up to and with the first wrong one; the end of the text counts as a zero."""
    lead, shown = data[0], [data[0]]
    length = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 1
    low, high = _SECOND.get(lead, (0x80, 0xBF))
    for octet in (data + b"\0")[1:length]:
        shown.append(octet)
        if not low <= octet <= high:
            break
        low, high = 0x80, 0xBF
    return " ".join(f"0x{octet:02x}" for octet in shown)
