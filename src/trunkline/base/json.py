"""JSON as the originals read and write it: same values, same text, same errors with their positions.

Two readers stand behind one interface.  The interpreter's own scanner, in C, takes every text that it reads
exactly as the originals do; that is nearly all of them.  Whatever it refuses, or might take differently (lone
surrogates, ``\\u0000``, 64-bit limits), goes to a scanner of our own over the bytes, which has the last word
and words the error.  Rules that are not RFC 8259's, each found by experiment:

- a number whose value is a 64-bit integer is an integer, however written (``1.0``, ``15e-1`` is real);
- other numbers are reals and print with 15 significant digits; subnormal and infinite ones are errors;
- the last of several equal names counts; a text is an array or an object; nesting ends at 1000;
- bytes that are no UTF-8 pass unchanged (as surrogate escapes in `str`).
"""

from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 1000
INTEGER_MIN: Final = -(1 << 63)
INTEGER_MAX: Final = (1 << 63) - 1
SMALLEST_REAL: Final = 2.2250738585072014e-308
# The exponent the originals stop reading at: they hold it in 32 bits.
EXPONENT_MAX: Final = (1 << 31) // 10

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]


class JsonError(Exception):
    """The text is not JSON; the message is the original's, with line, column and byte (all from 0)."""


# -- numbers -----------------------------------------------------------------------------------------------


def number(text: str) -> int | float:
    """The value of a well-formed JSON number.  Raises ValueError when it is out of range."""
    mantissa, _, exponent_text = text.replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = exponent_text.lstrip("+-").lstrip("0")
    if len(digits) > 10 or (digits and int(digits[:-1] or "0") >= EXPONENT_MAX):
        raise ValueError("exponent outside valid range")
    fraction = fraction.rstrip("0")
    power = int(exponent_text or "0") - len(fraction)
    significand = (whole + fraction).lstrip("-").lstrip("0")
    if not significand:
        return 0
    if len(significand) + power <= 20:
        stripped = significand.rstrip("0")
        power += len(significand) - len(stripped)
        if power >= 0:
            value: int = int(stripped + "0" * power)
            value = -value if whole.startswith("-") else value
            if INTEGER_MIN <= value <= INTEGER_MAX:
                return value
    real = float(text)
    if real and not SMALLEST_REAL <= abs(real) < float("inf"):
        raise ValueError("number outside valid range")
    return real


def real_text(value: float) -> str:
    """A real as the originals print it: 15 significant digits, no decimal point when there is no fraction."""
    return f"{value:.15g}"


# -- reading with the interpreter's scanner ----------------------------------------------------------------


class _Settings:
    """What `_json.make_scanner` asks for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    memo: dict[str, str] = {}  # noqa: RUF012  (the scanner clears it after each use)

    @staticmethod
    def parse_float(text: str) -> int | float:
        return number(text)

    parse_int = int

    @staticmethod
    def parse_constant(text: str) -> None:
        raise ValueError(text)


class _WideSettings(_Settings):
    @staticmethod
    def parse_int(text: str) -> int | float:  # type: ignore[override]
        return number(text)


class _Tools(NamedTuple):
    scan: Any  # (text, index) -> (value, end); integers of any size
    scan_wide: Any  # the same for texts with long runs of digits
    suspicious: Any  # finds what only our own scanner may judge
    long_digits: Any
    space: Any
    encode: Any
    encode_sorted: Any
    real: Any
    token: Any


_CACHE: list[_Tools] = []


def _tools() -> _Tools:
    """Made at first use: a tool that reads no JSON does not pay for it."""
    if not _CACHE:
        import re
        from _json import encode_basestring, make_encoder, make_scanner

        def encoder(sort: bool) -> Any:
            return make_encoder(None, _refuse, encode_basestring, None, ":", ",", sort, False, True)

        string = r'"[^"\\]*(?:\\.[^"\\]*)*"'
        _CACHE.append(
            _Tools(
                make_scanner(_Settings),  # type: ignore[arg-type]
                make_scanner(_WideSettings),  # type: ignore[arg-type]
                re.compile(r"\\u(?:[dD][89abAB]|[dD][c-fC-F]|0000)").search,
                re.compile(r"\d{19}").search,
                re.compile(r"[ \t\r\n]*").match,
                encoder(False),
                encoder(True),
                re.compile(r"[\[,:]-?\d+[.e]").search,
                re.compile(string + r"|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.DOTALL).sub,
            )
        )
    return _CACHE[0]


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _scan_or_why(scan: Any, text: str, start: int) -> tuple[Json, int]:
    """One value by the C scanner, with its own error: it takes the class from json.decoder, and while nobody
    has imported that, it fails without saying why (SystemError)."""
    try:
        result: tuple[Json, int] = scan(text, start)
    except SystemError:
        import json.decoder  # noqa: F401

        result = scan(text, start)
    return result


def loads(data: str | bytes) -> Json:
    """The one array or object in `data`, with white space around it.  Raises JsonError."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    tools = _tools()
    start = tools.space(text).end()
    if text[start : start + 1] in ("{", "[") and not tools.suspicious(text, start):
        scan = tools.scan_wide if tools.long_digits(text, start) else tools.scan
        try:
            value, end = scan(text, start)
        except (ValueError, StopIteration, RecursionError, SystemError):
            pass  # SystemError: the scanner would raise JSONDecodeError, and json.decoder is not imported
        else:
            if tools.space(text, end).end() == len(text):
                return value
    raw = data if isinstance(data, bytes) else text.encode("utf-8", "surrogateescape")
    value, _ = _Scanner(raw).run(whole=True)
    return value


# -- reading byte by byte ----------------------------------------------------------------------------------

_PLAIN_ESCAPES: Final = {ord(k): v.encode() for k, v in zip('"\\/bfnrt', '"\\/\b\f\n\r\t')}
_SPACE: Final = b" \t\r\n"
_NUMBER_BYTES: Final = frozenset(b"-+.0123456789eE")
_KEYWORDS: Final[dict[bytes, Json]] = {b"true": True, b"false": False, b"null": None}


class _Incomplete(Exception):
    """The data end inside a value."""


class _Scanner:
    """One value from the start of `data`, with the originals' errors.

    A token that only its successor ends (number, keyword) is judged at the successor's position, a string at
    its closing quote: that is where the originals, which are fed byte by byte, notice.
    """

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def error(self, position: int, text: str) -> JsonError:
        before = self._data[: min(position, len(self._data))]
        line = before.count(b"\n")
        column = position - (before.rfind(b"\n") + 1)
        return JsonError(f"line {line}, column {column}, byte {position}: {text}")

    def run(self, whole: bool) -> tuple[Json, int]:
        """The value and where it ends.  With `whole`, the data end is the text's end and nothing may follow;
        else raises _Incomplete when more bytes could make it a value."""
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
                    raise _Incomplete
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
        at = self._position
        while at < len(data) and data[at] in _SPACE:
            at += 1
        if at == len(data):
            self._position = at
            return "end", None, at
        byte = data[at]
        if byte in b"{}[],:":
            self._position = at + 1
            return chr(byte), None, at
        if byte == 0x22:
            return self._string(at, whole)
        end = at
        if byte in b"-0123456789":
            while end < len(data) and data[end] in _NUMBER_BYTES:
                end += 1
        elif 0x61 <= byte <= 0x7A:
            while end < len(data) and 0x61 <= data[end] <= 0x7A:
                end += 1
        else:
            shown = f"'{chr(byte)}'" if 0x20 <= byte < 0x7F else f"U+{byte:04x}"
            raise self.error(at, f"invalid character {shown}")
        if end == len(data) and not whole:
            raise _Incomplete
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
        at = start + 1
        escaped = False
        while True:
            if at >= len(data):
                if not whole:
                    raise _Incomplete
                raise self.error(len(data), "unexpected end of input in quoted string")
            byte = data[at]
            if byte == 0x22:
                break
            if byte < 0x20:
                raise self.error(at, f"U+{byte:04X} must be escaped in quoted string")
            if byte == 0x5C:
                escaped = True
                at += 1
                if at < len(data) and data[at] < 0x20:
                    raise self.error(at, f"U+{data[at]:04X} must be escaped in quoted string")
            at += 1
        self._position = at + 1
        content = data[start + 1 : at]
        if escaped:
            try:
                content = _unescape(content)
            except ValueError as error:
                raise self.error(at, str(error)) from None
        return "string", content.decode("utf-8", "surrogateescape"), at


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
    if any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
        raise ValueError("malformed \\u escape")
    return int(digits, 16)


# -- streams -----------------------------------------------------------------------------------------------


class JsonStream:
    """Values one after the other out of a stream of bytes, in whatever chunks they come.

    A message that lies whole in what has arrived costs one run of the C scanner.  One that does not is kept,
    and tried again each time the data have doubled and when its last bracket is there, so that the work
    stays linear and an error far before the end is noticed early.  After an error the stream is dead.
    """

    __slots__ = ("_depth", "_error", "_inside", "_kept", "_parts", "_tried")

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # the beginning of a message that is not complete
        self._kept = 0  # their length
        self._tried = 0  # the length at the last attempt
        self._depth = 0  # brackets open at the end of the parts
        self._inside = 0  # 1: the parts end inside a string; 2: there, after a backslash
        self._error: JsonError | None = None

    @property
    def backlog(self) -> int:
        """Bytes that wait for their message to end."""
        return self._kept

    def feed(self, data: bytes) -> list[Json]:
        """The values completed by `data`.

        Raises JsonError when the stream is broken; the values before the error are returned first, and the
        error is raised by the next call (call `check` to see it at once).
        """
        self.check()
        values: list[Json] = []
        try:
            while data:
                if self._parts:
                    data = self._continue(data, values)
                else:
                    data = self._begin(data, values)
        except JsonError as error:
            self._error = error
            if not values:
                raise
        return values

    def check(self) -> None:
        """Raises the error that ended the stream, if one did."""
        if self._error is not None:
            raise self._error

    def _begin(self, data: bytes, values: list[Json]) -> bytes:
        """Whole messages from `data` by the C scanner; keeps an incomplete rest."""
        tools = _tools()
        text = data.decode("utf-8", "surrogateescape")
        scan = tools.scan_wide if tools.long_digits(text) else tools.scan
        suspicious = bool(tools.suspicious(text))
        at = 0
        while True:
            start = tools.space(text, at).end()
            if start == len(text):
                # White space after a message belongs to the next one's positions; nothing else hangs on it.
                return b""
            rest = data if at == 0 else text[at:].encode("utf-8", "surrogateescape")
            if suspicious:
                return rest[self._judge(rest, values) :]
            if text[start] not in "{[":
                self._judge(rest, values)
                return b""
            try:
                value, at = _scan_or_why(scan, text, start)
            except (ValueError, StopIteration, RecursionError) as error:
                position = getattr(error, "pos", 0)
                string = "Unterminated string" in str(error)
                early = position < len(text) - 8 and not string and not isinstance(error, StopIteration)
                if early or len(rest) < 256:
                    return rest[self._judge(rest, values) :]
                return self._keep(rest, values)
            values.append(value)

    def _judge(self, data: bytes, values: list[Json]) -> int:
        """Our own scanner on `data`: how much of it is done with (an incomplete value is kept)."""
        try:
            value, end = _Scanner(data).run(whole=False)
        except _Incomplete:
            return len(data) - len(self._keep(data, values))
        values.append(value)
        return end

    def _keep(self, data: bytes, values: list[Json]) -> bytes:
        end = self._boundary(data)
        if end is not None:  # the brackets balance, and yet the C scanner refused it: ours says why
            self._reset()
            values.append(loads(data[:end]))
            return data[end:]
        self._parts.append(data)
        self._kept += len(data)
        self._tried = self._kept
        return b""

    def _continue(self, data: bytes, values: list[Json]) -> bytes:
        end = self._boundary(data)
        if end is None:
            self._parts.append(data)
            self._kept += len(data)
            if self._kept < 64 or self._depth == 0 or self._kept >= 2 * self._tried:
                self._retry()
            return b""
        whole = b"".join((*self._parts, data[:end]))
        self._reset()
        values.append(loads(whole))
        return data[end:]

    def _retry(self) -> None:
        """Looks for an early error in what is kept."""
        whole = b"".join(self._parts)
        self._parts = [whole]
        self._tried = self._kept
        if self._depth == 0 or self._kept < 64:
            try:
                _Scanner(whole).run(whole=False)
            except _Incomplete:
                return
        try:
            text = whole.decode("utf-8", "surrogateescape")
            _scan_or_why(_tools().scan_wide, text, _tools().space(text).end())
        except StopIteration:
            return
        except (ValueError, RecursionError) as error:
            position = getattr(error, "pos", None)
            if position is not None and (
                "Unterminated string" in str(error) or position >= len(text) - 8 or "escape" in str(error)
            ):
                return
            try:
                _Scanner(whole).run(whole=False)
            except _Incomplete:
                return

    def _reset(self) -> None:
        self._parts, self._kept, self._tried, self._depth, self._inside = [], 0, 0, 0, 0

    def _boundary(self, data: bytes) -> int | None:
        """Where in `data` the kept message's last bracket ends; else None, with the state moved on."""
        at = 0
        size = len(data)
        depth = self._depth
        inside = self._inside
        find = _bracket_or_quote().search
        string_end = _string_rest().match
        while at < size:
            if inside:
                if inside == 2:
                    at += 1
                match = string_end(data, at)
                at = match.end()
                if not match.group(1):
                    inside = 2 if match.group(2) else 1
                    break
                inside = 0
                continue
            match = find(data, at)
            if match is None:
                break
            at = int(match.end())
            byte = data[at - 1]
            if byte == 0x22:
                inside = 1
                if at == size:
                    break
            elif byte in b"[{":
                depth += 1
            else:
                depth -= 1
                if depth <= 0:
                    return at
        self._depth = depth
        self._inside = inside
        return None


_PATTERNS: list[Any] = []


def _bracket_or_quote() -> Any:
    if not _PATTERNS:
        import re

        _PATTERNS.append(re.compile(rb'["\[\]{}]'))
        _PATTERNS.append(re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*(?:(")|(\\)?)', re.DOTALL))
    return _PATTERNS[0]


def _string_rest() -> Any:
    _bracket_or_quote()
    return _PATTERNS[1]


# -- writing -----------------------------------------------------------------------------------------------


def dumps(value: Json, *, sort_keys: bool = False, pretty: bool = False) -> str:
    """The text of `value`: no white space, names in the order given or sorted; `pretty` as ``--pretty``."""
    tools = _tools()
    if pretty:
        return "".join(_pretty(value, 0, sort_keys))
    text = "".join((tools.encode_sorted if sort_keys else tools.encode)(value, 0))
    if tools.real(text) or type(value) is float:
        text = tools.token(_shorten, text)
    return text


def encoded(value: Json) -> bytes:
    """`dumps` as bytes for the wire."""
    text = dumps(value)
    return text.encode("utf-8", "surrogateescape")


def _shorten(match: Any) -> str:
    token: str = match.group()
    if token[0] == '"' or not ("." in token or "e" in token):
        return token
    return real_text(float(token))


def _pretty(value: Json, indent: int, sort_keys: bool) -> Any:
    inner = "\n" + " " * (indent + 2)
    if type(value) is dict:
        yield "{"
        if not value:
            yield inner
        for place, name in enumerate(sorted(value) if sort_keys else value):
            yield ("," if place else "") + inner + dumps(name) + ": "
            yield from _pretty(value[name], indent + 2, sort_keys)
        yield "}"
    elif type(value) in (list, tuple):
        yield "["
        for place, item in enumerate(value):
            yield ("," if place else "") + inner
            yield from _pretty(item, indent + 2, sort_keys)
        yield "]"
    else:
        yield dumps(value)
