"""Writing JSON as the originals do: no white space, reals with 15 significant digits, or ``--pretty``."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from trunkline.base.json_fast import ENCODERS
from trunkline.base.json_numbers import real_text
from trunkline.base.json_values import Json


@cache
def _real() -> "re.Pattern[str]":
    return re.compile(r"[\[,:]-?\d+[.e]")


@cache
def _token() -> "re.Pattern[str]":
    return re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?', re.DOTALL)


def dumps(value: Json, *, sort_keys: bool = False, pretty: bool = False) -> str:
    """The text of `value`: no white space, names in the order given or sorted; `pretty` as ``--pretty``."""
    if pretty:
        return "".join(_tokens(value, sort_keys, True))
    try:
        text = "".join((ENCODERS.sorted if sort_keys else ENCODERS.plain)(value, 0))
    except RecursionError:  # what was read may nest deeper than the interpreter's limit
        return "".join(_tokens(value, sort_keys, False))
    # Looked for in vain, a letter costs a tenth of what a pattern does; each real has a point or an exponent.
    if not ("." in text or "e+" in text or "e-" in text) or _is_flat(value):
        return text
    if type(value) is float or _real().search(text):
        text = _token().sub(_shorten, text)
    return text


def _is_flat(value: Json) -> bool:
    """An object of strings and integers: the reply to a control command, whose text is full of points."""
    return type(value) is dict and _REAL_OR_NESTED.isdisjoint(map(type, value.values()))


_REAL_OR_NESTED: Final = frozenset((float, dict, list, tuple))


def encoded(value: Json) -> bytes:
    """`dumps` as bytes for the wire."""
    return dumps(value).encode("utf-8", "surrogateescape")


def _shorten(match: Any) -> str:
    token: str = match.group()
    if token[0] == '"' or not ("." in token or "e" in token):
        return token
    return real_text(float(token))


def _tokens(value: Json, sort_keys: bool, pretty: bool) -> Iterator[str]:
    """The text in pieces, however deep it nests."""
    opened: list[tuple[Iterator[Any], Json, bool]] = []  # the rest of each open container
    before = ""
    while True:
        yield before
        if type(value) is dict or type(value) in (list, tuple):
            is_object = type(value) is dict
            yield "{" if is_object else "["
            names = sorted(value) if is_object and sort_keys else value
            opened.append((iter(names), value, is_object))
            before = ""
            if pretty and is_object and not value:
                yield "\n" + "  " * len(opened)
        else:
            yield dumps(value)
            before = ","
        while opened:
            rest, container, is_object = opened[-1]
            missing = object()
            item = next(rest, missing)
            if item is not missing:
                if pretty:
                    before += "\n" + "  " * len(opened)
                if is_object:
                    before += dumps(item) + (": " if pretty else ":")
                value = container[item] if is_object else item
                break
            opened.pop()
            yield "}" if is_object else "]"
            before = ","
        else:
            return
