"""Colours of flows on a terminal, as ``--color`` of ovs-ofctl gives them.

A colour is an SGR sequence by *kind* of word, and the kinds are those of the environment variable OVS_COLORS
(ovs-ofctl(8), --color).  Text is written without colours and painted afterwards, piece by piece, by patterns
whose named groups are kinds: who wants no colours pays nothing, and no writer knows of them.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Colors = Mapping[str, str]

DEFAULT: Final[Colors] = MappingProxyType(
    {
        "ac": "1;31",  # actions=
        "dr": "34",  # drop
        "le": "31",  # learn(...)
        "pm": "36",  # names of fields and parameters
        "pr": "35",  # what has arguments in parentheses
        "sp": "33",  # table=, priority=, output:, ...
        "vl": "32",  # words without a value
    }
)


def colors_from(text: str) -> Colors:
    """The colours with the changes of OVS_COLORS, such as ``ac=01;31:dr=34``; others mean nothing."""
    found = dict(DEFAULT)
    for word in text.split(":"):
        kind, _, sequence = word.partition("=")
        if kind in found:
            found[kind] = sequence
    return found


def paint(kind: str, text: str, colors: Colors) -> str:
    return f"\x1b[{colors[kind]}m\x1b[K{text}\x1b[m\x1b[K"


PAINTED: Final = r"\x1b\[[^m]*m\x1b\[K.*?\x1b\[m\x1b\[K"


def paint_by(pattern: re.Pattern[str], text: str, colors: Colors) -> str:
    """Paints what matches by the first two letters of the name of its group; what has none stays."""

    def painted(found: re.Match[str]) -> str:
        return paint(found.lastgroup[:2], found[0], colors) if found.lastgroup else found[0]

    return pattern.sub(painted, text)


_PARAMETERS: Final = re.compile(r"(?P<sp>\b(?:table|priority)=)|(?P<pm>\b\w+=)")
_MATCH: Final = re.compile(
    r"(?P<sp>(?:^|(?<=,))priority=)"
    r"|(?P<pm>(?:^|(?<=,))conj_id(?==))|(?:^|(?<=,))tun_gbp_flags="
    r"|(?P<pm2>(?:^|(?<=,))\w+=)|(?P<vl>(?:^|(?<=,))\w+(?=,|$))"
)


def paint_match(text: str, colors: Colors) -> str:
    return paint_by(_MATCH, text, colors)


def paint_parameters(text: str, colors: Colors | None) -> str:
    """The part of a flow's statistics in front of its match: names, ``table=`` apart from the others."""
    return text if colors is None else paint_by(_PARAMETERS, text, colors)
