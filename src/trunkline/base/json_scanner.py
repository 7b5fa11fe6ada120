"""The scanner that has the last word: one JSON text out of bytes, with the originals' errors.

It works by tokens.  A token that only its successor ends (number, keyword) is judged at the successor's
position, a string at its closing quote: that is where the originals, which are fed byte by byte, notice.
It is slower than the interpreter's own scanner by an order, so it gets what that one refuses, or takes
differently (json_fast.py).
"""

import re
from typing import Final

from trunkline.base.json_numbers import number
from trunkline.base.json_values import MAX_DEPTH, Json, JsonError

_PLAIN_ESCAPES: Final = {ord(k): v.encode() for k, v in zip('"\\/bfnrt', '"\\/\b\f\n\r\t')}
_KEYWORDS: Final[dict[bytes, Json]] = {b"true": True, b"false": False, b"null": None}
_SPACE: Final = re.compile(rb"[ \t\r\n]*").match
_NUMBER: Final = re.compile(rb"[-+.0-9eE]*").match
_WORD: Final = re.compile(rb"[a-z]*").match
# Up to the closing quote, the end of the data, or what must not stand in a string.
_STRING: Final = re.compile(rb'(?:[^"\\\x00-\x1f]+|\\[^\x00-\x1f])*').match
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


class Incomplete(Exception):
    """The data end inside a value."""


class Scanner:
    """One value out of `data` from `start` on, where positions in errors count from."""

    __slots__ = ("_data", "_position", "_start")

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._start = start
        self._position = start

    def error(self, position: int, text: str) -> JsonError:
        before = self._data[self._start : min(position, len(self._data))]
        line = before.count(b"\n")
        position -= self._start
        column = position - (before.rfind(b"\n") + 1)
        return JsonError(f"line {line}, column {column}, byte {position}: {text}")

    def run(self, whole: bool) -> tuple[Json, int]:
        """The value and where it ends.  With `whole`, the data end is the text's end and nothing may follow;
        else raises Incomplete when more bytes could make it a value."""
        stack: list[tuple[Json, str | None]] = []  # the open containers' outer ones, with their pending names
        value: Json = None
        container: Json = None
        name: str | None = None
        state = "start"
        while True:
            kind, token, at = self._token(whole, state)
            if kind == "end":
                position = at
                text = "empty input stream" if state == "start" else "unexpected end of input"
                if state == "finished":
                    return value, self._position
                if not whole:
                    raise Incomplete
                raise self.error(position, text)
            if state == "finished":
                raise self.error(at, "trailing garbage at end of input")
            if state == "start" and kind not in ("{", "["):
                raise self.error(at, "syntax error at beginning of input")
            if state in ("name or }", "name"):
                if kind == "string":
                    name, state = token, ":"
                    continue
                if kind != "}" or state == "name":
                    raise self.error(at, "syntax error parsing object expecting string")
            elif state == ":":
                if kind != ":":
                    raise self.error(at, "syntax error parsing object expecting ':'")
                state = "value"
                continue
            elif state == ", or }":
                if kind == ",":
                    state = "name"
                    continue
                if kind != "}":
                    raise self.error(at, "syntax error expecting '}' or ','")
            elif state == ", or ]":
                if kind == ",":
                    state = "value"
                    continue
                if kind != "]":
                    raise self.error(at, "syntax error expecting ']' or ','")
            elif not (kind in ("{", "[", "string", "scalar") or (kind == "]" and state == "value or ]")):
                raise self.error(at, "syntax error expecting value")

            if kind in ("{", "["):
                if len(stack) + (container is not None) >= MAX_DEPTH:
                    raise self.error(at, f"input exceeds maximum nesting depth {MAX_DEPTH}")
                if container is not None:
                    stack.append((container, name))
                container, name = ({}, None) if kind == "{" else ([], None)
                state = "name or }" if kind == "{" else "value or ]"
                continue
            if kind in ("}", "]"):
                value = container
                if not stack:
                    container, state = None, "finished"
                    if not whole:
                        return value, self._position
                    continue
                container, name = stack.pop()
            else:
                value = token
            if type(container) is dict:
                container[name] = value
                state = ", or }"
            else:
                container.append(value)
                state = ", or ]"

    def _token(self, whole: bool, state: str) -> tuple[str, Json, int]:
        """The next token: its kind, its value, and the position at which it was complete."""
        data = self._data
        at = _end(_SPACE(data, self._position))
        if at == len(data):
            self._position = at
            return "end", None, at
        byte = data[at]
        if byte in b"{}[],:":
            self._position = at + 1
            return chr(byte), None, at
        if byte == 0x22:
            return self._string(at, whole)
        if byte in b"-0123456789":
            end = _end(_NUMBER(data, at))
        elif 0x61 <= byte <= 0x7A:
            end = _end(_WORD(data, at))
        else:
            shown = f"'{chr(byte)}'" if 0x20 <= byte < 0x7F else f"U+{byte:04x}"
            raise self.error(at, f"invalid character {shown}")
        if end == len(data) and not whole:
            raise Incomplete
        self._position = end
        token = data[at:end]
        if byte in b"-0123456789":
            value = self._number(token.decode(), end)
        elif token in _KEYWORDS:
            value = _KEYWORDS[token]
        else:
            raise self.error(end, f"invalid keyword '{token.decode()}'")
        if end == len(data) and state not in ("start", "finished"):
            # At the end of the input the originals feed one space to end the token, and count it.
            container_error = {":": "syntax error parsing object expecting ':'"}.get(state)
            if container_error is None and state.startswith("value"):
                raise self.error(end + 1, "unexpected end of input")
        return "scalar", value, end

    def _number(self, token: str, end: int) -> int | float:
        rest = token.removeprefix("-")
        digits = rest.lstrip("0123456789")
        whole = rest[: len(rest) - len(digits)]
        if not whole:
            raise self.error(end, "'-' must be followed by digit")
        if len(whole) > 1 and whole[0] == "0":
            raise self.error(end, "leading zeros not allowed")
        rest = digits
        if rest.startswith("."):
            after = rest[1:].lstrip("0123456789")
            if len(after) == len(rest) - 1:
                raise self.error(end, "decimal point must be followed by digit")
            rest = after
        if rest[:1] in ("e", "E"):
            rest = rest[2:] if rest[1:2] in ("+", "-") else rest[1:]
            after = rest.lstrip("0123456789")
            if len(after) == len(rest):
                raise self.error(end, "exponent must contain at least one digit")
            rest = after
        good = token[: len(token) - len(rest)]
        try:
            value = number(good)
        except ValueError as error:
            if rest and "exponent" not in str(error):
                raise self.error(end, "syntax error in number") from None
            raise self.error(end, str(error)) from None
        if rest:
            raise self.error(end, "syntax error in number")
        return value

    def _string(self, start: int, whole: bool) -> tuple[str, str, int]:
        data = self._data
        at = _end(_STRING(data, start + 1))
        if at < len(data) and data[at] == 0x5C:  # before a control character, or at the end of the data
            at += 1
        if at >= len(data):
            if not whole:
                raise Incomplete
            raise self.error(len(data), "unexpected end of input in quoted string")
        if data[at] != 0x22:
            raise self.error(at, f"U+{data[at]:04X} must be escaped in quoted string")
        self._position = at + 1
        content = data[start + 1 : at]
        if b"\\" in content:
            try:
                content = _unescape(content)
            except ValueError as error:
                raise self.error(at, str(error)) from None
        return "string", content.decode("utf-8", "surrogateescape"), at


def _end(match: "re.Match[bytes] | None") -> int:
    assert match is not None  # these patterns match the empty text
    return match.end()


def _unescape(content: bytes) -> bytes:
    """Raises ValueError with the original's text."""
    out = bytearray()
    at = 0
    while True:
        backslash = content.find(b"\\", at)
        if backslash < 0:
            return bytes(out + content[at:])
        out += content[at:backslash]
        letter = content[backslash + 1]
        at = backslash + 2
        if letter in _PLAIN_ESCAPES:
            out += _PLAIN_ESCAPES[letter]
        elif letter == 0x75:
            code = _four_hex(content, at)
            at += 4
            if 0xD800 <= code < 0xDC00:
                if content[at : at + 2] != b"\\u":
                    raise ValueError("malformed escaped surrogate pair")
                low = _four_hex(content, at + 2)
                at += 6
                if not 0xDC00 <= low < 0xE000:
                    raise ValueError("second half of escaped surrogate pair is not trailing surrogate")
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            if code == 0:
                raise ValueError("null bytes not supported in quoted strings")
            out += chr(code).encode("utf-8", "surrogatepass")
        else:
            raise ValueError("bad escape \\" + bytes((letter,)).decode("utf-8", "surrogateescape"))


def _four_hex(content: bytes, at: int) -> int:
    digits = content[at : at + 4]
    if len(digits) < 4:
        raise ValueError("quoted string ends within \\u escape")
    if not _HEX.issuperset(digits):
        raise ValueError("malformed \\u escape")
    return int(digits, 16)
