"""``dpctl/add-flow`` and its like: flows put into a datapath by hand, below everything that OpenFlow knows.

Nothing in the tables stands behind such a flow, so it does not live long: at its next round the switch takes
out what it has not put in itself, unless ``revalidator/pause`` holds it back.

A flow is found again by its ufid or by its key: without a ufid of its own it is named by a hash of its key.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from trunkline.dpif.action_text import parse_actions
from trunkline.dpif.fit import fits
from trunkline.dpif.provider import DatapathError, DatapathFlow, FlowPut, Statistics
from trunkline.dpif.text import parse_key
from trunkline.flow import key as layout
from trunkline.flow.values import TextError
from trunkline.upcall.datapath import Datapath

_ALWAYS: Final = layout.bits("recirc_id", "dp_in_port")
_UFID_DIGITS: Final = 32
_HEX: Final = frozenset("0123456789abcdefABCDEF")
ReadFile = Callable[[str], str]


class Failure(Exception):
    """A flow could not be put or taken out; the text follows the program's name."""


class _Named(NamedTuple):
    """A flow as it is named by text."""

    ufid: int | None
    key: int
    mask: int
    whole: bool  # its attributes are those of packets


class Statement(NamedTuple):
    """A line of a file of flows: `verb` is add, modify or delete."""

    number: int
    verb: str
    flow: str
    actions: str | None


def take_ufid(text: str) -> tuple[int | None, str]:
    """The ufid at the beginning of a flow, if there is one, and the rest.  Raises Failure."""
    if not text.startswith("ufid:"):
        return None, text
    digits, at = "", len("ufid:")
    while at < len(text) and len(digits) < _UFID_DIGITS and (text[at] in _HEX or text[at] == "-"):
        digits += text[at].replace("-", "")
        at += 1
    if len(digits) != _UFID_DIGITS:
        raise Failure("parsing flow ufid (Invalid argument)")
    return int(digits, 16), text[at:].lstrip(", ")


def _named(datapath: Datapath, text: str, wrong: str = "parsing flow key ({})") -> _Named:
    """Raises Failure, in whose text `wrong` is what is wrong with the text."""
    ufid, rest = take_ufid(text)
    ports = {port.name: port.number for port in datapath.provider.ports()}
    try:
        key, mask = parse_key(rest, ports)
    except TextError as error:
        raise Failure(f"{wrong.format(error)} (Invalid argument)") from None
    ports_whole = mask & layout.MASK["dp_in_port"] == layout.MASK["dp_in_port"]
    if "eth(" not in rest and layout.get(key, "dl_type"):
        key = layout.put(key, "packet_type", 1 << 16 | layout.get(key, "dl_type"))
    for tag in ("vlan_tci", "vlan1_tci"):
        if not layout.get(key, tag):  # the first that is not given is not there
            mask |= layout.MASK[tag]
            break
    return _Named(ufid, key, mask | _ALWAYS, ports_whole and bool(rest) and fits(rest, key))


def ufid_of(key: int) -> int:
    """The name of a flow that was given none; in the form of a random UUID."""
    import hashlib  # seldom needed

    digest = hashlib.blake2b(key.to_bytes((layout.BITS + 7) // 8, "big"), digest_size=16).digest()
    value = int.from_bytes(digest, "big")
    return value & ~(0xF << 76) & ~(3 << 62) | 4 << 76 | 2 << 62


def _covering(datapath: Datapath, key: int) -> DatapathFlow | None:
    """The flow that packets with this key go by."""
    key &= layout.PACKET
    flows = datapath.provider.dump_flows()
    return next((flow for flow in flows if not (key ^ flow.key) & flow.mask), None)


def put(
    datapath: Datapath, flow: str, actions: str, *, create: bool, modify: bool, clear: bool = False
) -> Statistics:
    """Puts a flow in or changes its actions; what it has counted so far.  Raises Failure."""
    named = _named(datapath, flow)
    try:
        parsed: tuple[Any, ...] = parse_actions(actions)
    except TextError:
        raise Failure("parsing actions (Invalid argument)") from None
    if not named.whole:
        raise Failure("updating flow table (Invalid argument)")
    there = _covering(datapath, named.key)
    if there is None and not create:
        raise Failure("updating flow table (No such file or directory)")
    if there is not None and not modify:
        raise Failure("updating flow table (File exists)")
    if there is not None:
        change = FlowPut(there.ufid, there.key, there.mask, parsed, replace=True)
    else:
        ufid = named.ufid if named.ufid is not None else ufid_of(named.key)
        mask = named.mask & layout.PACKET
        change = FlowPut(ufid, named.key & mask, mask, parsed)
    outcome = datapath.put_by_hand(change, named.key)
    if isinstance(outcome, DatapathError):
        raise Failure(f"updating flow table ({outcome})")
    if clear:
        raise Failure("updating flow table (Operation not supported)")  # as the original's userspace datapath
    return outcome


def delete(datapath: Datapath, flow: str) -> Statistics:
    """Takes a flow out; what it has counted.  Raises Failure."""
    named = _named(datapath, flow, "{}")
    outcome = datapath.delete_by_hand(named.ufid if named.ufid is not None else ufid_of(named.key))
    if outcome is None:
        raise Failure("deleting flow (No such file or directory)\nPerhaps you need to specify a UFID?")
    return outcome


# ---- files of flows


def statements(text: str, verb: str) -> Iterator[Statement]:
    """The lines of a file; `verb` is meant where none is given.

    `flow` is empty where a line makes no sense.
    """
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        first, _, rest = words.replace("\t", " ").partition(" ")
        own = verb
        if first in ("add", "modify", "delete"):
            own, words = first, rest.strip()
        flow, space, actions = words.partition(" ")
        wrong = not flow or bool(space) == (own == "delete")
        yield Statement(number, own, "" if wrong else flow, actions.strip() if space else None)


def carry_out(datapath: Datapath, text: str, verb: str) -> Iterator[str]:
    """Does what a file of flows says, line by line; yields what went wrong."""
    for number, own, flow, actions in statements(text, verb):
        if not flow:
            yield f"Failed parsing line number {number}, skipped!"
            continue
        try:
            if own == "delete":
                delete(datapath, flow)
            else:
                put(datapath, flow, actions or "", create=own == "add", modify=own == "modify")
        except Failure as failure:
            yield str(failure)


def read(path: str, read_file: ReadFile | None) -> str:
    """The text of a file; "-" is the daemon's standard input, where nothing is.  Raises Failure."""
    if path == "-":
        return ""
    if read_file is None:
        raise Failure(f'Opening file "{path}" failed (this switch has no files)')
    try:
        return read_file(path)
    except OSError as error:
        raise Failure(f'Opening file "{path}" failed ({error.strerror})') from None


def lines(program: str, texts: Sequence[str]) -> str:
    return "".join(f"{program}: {text}\n" for text in texts)
