"""``parse-actions`` and ``normalize-actions``: datapath actions read and written again, with no datapath."""

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.dpif.action_text import format_actions, parse_actions
from trunkline.dpif.fit import as_given
from trunkline.dpif.normalize import normalized
from trunkline.dpif.text import parse_key
from trunkline.flow.values import TextError
from trunkline.jsonrpc.unixctl import CommandError


def parse_text(texts: Sequence[str]) -> tuple[str, str]:
    """(the actions of each text, one a line; what was wrong with the first that makes no sense, or "")."""
    done = ""
    for text in texts:
        try:
            done += format_actions(parse_actions(text)) + "\n"
        except TextError:
            return done, "odp_actions_from_string (Invalid argument)"
    return done, ""


def normalize_text(words: Sequence[str]) -> tuple[str, str]:
    """As parse_text, of a flow, actions, and ports by `name=number`."""
    flow, text, *named = words
    ports: dict[str, int] = {}
    for word in named:
        name, equals, number = word.partition("=")
        if not equals or not number.isdigit():
            return "", f"{word}: expected NAME=NUMBER"
        ports[name] = int(number)
    try:
        key, _ = parse_key(flow, ports)
        if "/" in flow:
            raise TextError(f"syntax error at {flow}")
    except TextError as error:
        return "", f"odp_flow_key_from_string ({error}) (Invalid argument)"
    done = f"input flow: {as_given(flow, ports)}\n"
    try:
        groups = normalized(key, parse_actions(text, ports))
        return done + (f"{groups}\n" if groups else ""), ""
    except TextError:
        return done, "odp_actions_from_string (Invalid argument)"


def parse_commands(datapaths: Mapping[str, Any], words: Sequence[str], program: str) -> str:
    return _answer(parse_text(words), program)


def normalize_command(datapaths: Mapping[str, Any], words: Sequence[str], program: str) -> str:
    return _answer(normalize_text(words), program)


def _answer(result: tuple[str, str], program: str) -> str:
    text, wrong = result
    if wrong:
        raise CommandError(f"{text}{program}: {wrong}\n")
    return text
