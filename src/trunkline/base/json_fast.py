"""The interpreter's own JSON scanner and encoder, in C, for all that they do exactly as the originals do.

What the scanner might take differently is found beforehand: escaped surrogates without their other half and
``\\u0000`` (`is_suspicious`), and integers that may not fit 64 bits (`has_long_digits`), for which it calls
our own rules.  It nests as deep as the interpreter's recursion limit allows, less than the originals' 1,000:
what is deeper is refused here.  Patterns are compiled at their first use: tools import this and start within
milliseconds.  Whatever is refused goes to json_scanner.py, which has the last word.
"""

import re
from _json import encode_basestring, make_encoder, make_scanner
from functools import cache
from typing import Any, Final, NamedTuple

from trunkline.base.json_numbers import number
from trunkline.base.json_values import Json


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


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is no JSON value")


class Encoders(NamedTuple):
    plain: Any  # (value, 0) -> parts of the text
    sorted: Any


def _encoder(sort: bool) -> Any:
    return make_encoder(None, _refuse, encode_basestring, None, ":", ",", sort, False, True)


ENCODERS: Final = Encoders(_encoder(False), _encoder(True))
_NARROW: Final = make_scanner(_Settings)  # type: ignore[arg-type]
_WIDE: Final = make_scanner(_WideSettings)  # type: ignore[arg-type]
_AS_ZERO: Final = bytes.maketrans(b"0123456789", b"0" * 10)


@cache
def _half_or_nul() -> "re.Pattern[str]":
    return re.compile(
        r"\\u0000"
        r"|\\u[dD][89abAB](?!..\\u[dD][c-fC-F])"  # a first half without a second
        r"|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"  # a second without a first
        r"|\\\\u[dD][89a-fA-F]",  # where the backslash itself is escaped, the two above may be wrong
        re.DOTALL,
    )


@cache
def _space() -> "re.Pattern[str]":
    return re.compile(r"[ \t\r\n]*")


def end_of_space(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    match = _space().match(text, at)
    assert match is not None
    return match.end()


def scanner_for(text: str, data: bytes) -> Any:
    """The scanner (text, index) -> (value, end) for a text, which is also given as bytes: with our own rules
    for integers where there are runs of digits that 64 bits may not hold (any other scan for them costs more
    than reading the text does)."""
    return _WIDE if b"0" * 19 in data.translate(_AS_ZERO) else _NARROW


def is_suspicious(text: str) -> bool:
    """Whether only our own scanner may judge."""
    return "\\u" in text and _half_or_nul().search(text) is not None


def scan_or_why(scan: Any, text: str, start: int) -> tuple[Json, int]:
    """One value, or the scanner's own error: it takes the class from json.decoder, and while nobody has
    imported that, it fails without saying why (SystemError)."""
    try:
        result: tuple[Json, int] = scan(text, start)
    except SystemError:
        import json.decoder  # noqa: F401

        result = scan(text, start)
    return result
