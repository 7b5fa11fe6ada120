"""``parse-actions`` and ``normalize-actions``: datapath actions read and written again, with no datapath."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trunkline.dpif.action_text import format_actions, parse_actions, pieces_of
from trunkline.dpif.fit import TAGS, as_given, expected
from trunkline.dpif.normalize import normalized
from trunkline.dpif.text import parse_key, split
from trunkline.flow.key import get, pack
from trunkline.flow.values import TextError
from trunkline.jsonrpc.unixctl import CommandError


def parse_text(texts: Sequence[str]) -> tuple[str, str]:
    """(the actions of each text, one a line; what was wrong with the first that makes no sense, or "")."""
    done = ""
    for text in texts:
        try:
            done += _again(text) + "\n"
        except TextError:
            return done, "odp_actions_from_string (Invalid argument)"
    return done, ""


def _again(text: str) -> str:
    """The actions of a text as text.  Raises TextError.

    Headers share places in a key; which is meant by `set(...)` shows in the text alone, there is no packet.
    """
    parse_actions(text)  # as a whole: drop stands alone
    return ",".join(_piece(piece) for piece in pieces_of(text)) or "drop"


def _piece(text: str) -> str:
    """One action; those that hold others are gone through, for each of these may set another header."""
    name, _, body = text.partition("(")
    if name == "clone":
        return f"clone({_again(body[:-1])})"
    if name == "check_pkt_len":
        size, *branches = pieces_of(body[:-1])
        shown = [f"{branch[:2]}({_again(branch[3:-1])})" for branch in branches]
        return f"check_pkt_len({size},{','.join(shown)})"
    return format_actions(parse_actions(text), key=_key_for(text))


def _key_for(piece: str) -> int:
    """The key of a packet that has the header that is set."""
    found = next((values for word, values in _HEADERS.items() if f"set({word}(" in piece), (0, 0))
    return pack(dl_type=found[0], nw_proto=found[1])[0]


_HEADERS: Final = {
    "arp": (0x0806, 0),
    "nd": (0x86DD, 58),
    "icmpv6": (0x86DD, 58),
    "icmp": (0x0800, 1),
    "udp": (0x0800, 17),
    "sctp": (0x0800, 132),
    "ipv6": (0x86DD, 6),
    "ipv4": (0x0800, 6),
    "tcp": (0x0800, 6),
}


def lacks_header(flow: str) -> bool:
    """Whether a flow has a type of packet without the attribute that goes with it.  Raises TextError."""
    bodies = {name: body for name, body, _ in split(flow)}
    if "eth_type" not in bodies:
        return False
    kind = get(parse_key(f"eth_type({bodies['eth_type']})")[0], "dl_type")
    if kind in TAGS:
        inner = bodies.get("encap")
        return inner is None or (bool(inner) and lacks_header(inner))
    behind = [f"{name}({bodies[name]})" for name in (*expected(0, kind), "icmpv6") if name in bodies]
    key = parse_key(",".join(behind))[0]
    missing = [name for name in expected(key, kind) if name not in bodies]
    return bool(missing) and (missing != ["nd"] or not get(key, "tp_dst"))


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
    done = f"input flow: {as_given(flow, ports) or '<empty>'}\n"
    if lacks_header(flow):
        return done, "odp_flow_key_to_flow failed (reason unknown) (No such file or directory)"
    try:
        groups = normalized(key, parse_actions(text, ports))
        return done + (groups if text.strip() else ""), ""
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
    return text if text.endswith("\n") else text + "\n"
