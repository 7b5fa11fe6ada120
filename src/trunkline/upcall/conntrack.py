"""Control commands on connection tracking: connections, limits, settings, fragments.

``dpctl/dump-conntrack``, ``dpctl/flush-conntrack``, ``dpctl/ct-*`` and ``dpctl/ipf-*``, as ovs-dpctl(8) has
them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from trunkline.conntrack.flushing import FilterError, NotThere, flush, parse_filter
from trunkline.conntrack.fragments import LEAST_MINIMUM, MAX_LIMIT, Family
from trunkline.conntrack.tcp import STATES
from trunkline.conntrack.text import line
from trunkline.conntrack.tracker import Tracker
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.packet.parse import ICMP, IGMP, SCTP, TCP, UDP
from trunkline.upcall.commands import Datapaths
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.dpctl import datapath_names, find_datapath

_ZONE_WORD: Final = re.compile(r"zone=\s*(\d+)")
_WORD: Final = (1 << 32) - 1
_KINDS: Final = ((TCP, "TCP"), (UDP, "UDP"), (136, "UDPLITE"), (SCTP, "SCTP"), (ICMP, "ICMP"), (33, "DCCP"))
_NOT_OTHERS: Final = frozenset((*(number for number, _ in _KINDS), IGMP, 58))
_SHOWN_KINDS: Final = (*_KINDS, (IGMP, "IGMP"))


class _Call:
    """One command as it was given: its words without options, and the error messages' beginning."""

    __slots__ = ("datapaths", "options", "program", "words")

    def __init__(self, datapaths: Datapaths, arguments: Sequence[str], program: str) -> None:
        self.datapaths = datapaths
        self.program = program
        self.options: set[str] = set()
        self.words: list[str] = []
        for word in arguments:
            if self.words:
                self.words.append(word)
            elif word in _OPTIONS:
                self.options.add(_OPTIONS[word])
            elif word.startswith("--"):
                raise CommandError(f"Unrecognized option {word}")
            elif word.startswith("-") and len(word) > 1:
                raise CommandError(f"Unrecognized option {word[:2]}")
            else:
                self.words.append(word)

    def error(self, text: str, reason: str = "Invalid argument") -> CommandError:
        return CommandError(f"{self.program}: {text} ({reason})\n")

    def names_datapath(self) -> bool:
        return bool(self.words) and self.words[0] in datapath_names(self.datapaths)

    def datapath(self, most: int = 1) -> Datapath:
        """The datapath that the first word names, or the only one; with `most` words one must be named."""
        if self.names_datapath():
            return find_datapath(self.datapaths, [self.words.pop(0)], self.program)
        return find_datapath(self.datapaths, self.words[:1] if len(self.words) == most else [], self.program)

    def tracker(self, most: int = 1) -> Tracker:
        tracker: Tracker = self.datapath(most).provider.conntrack
        return tracker

    def zone(self) -> int | None:
        """The last word, if it is zone=N; it is taken away then."""
        found = _ZONE_WORD.match(self.words[-1]) if self.words else None
        if found is None:
            return None
        self.words.pop()
        return int(found[1]) & 0xFFFF


_OPTIONS: Final = {
    "-m": "more",
    "--more": "more",
    "-s": "statistics",
    "--statistics": "statistics",
    "--names": "names",
    "--no-names": "no-names",
}


def conntrack_commands(datapaths: Datapaths, program: str = "ovs-vswitchd") -> list[Command]:
    """`program` is named in error messages."""
    table: tuple[tuple[str, str, int, int | None, Callable[[_Call], str]], ...] = (
        ("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, _dump),
        ("flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, _flush),
        ("ct-stats-show", "[dp] [zone=N]", 0, 3, _statistics),
        ("ct-bkts", "[dp] [gt=N]", 0, 2, _buckets),
        ("ct-set-maxconns", "[dp] maxconns", 1, 2, _set_maximum),
        ("ct-get-maxconns", "[dp]", 0, 1, lambda call: f"{call.tracker().maximum}\n"),
        ("ct-get-nconns", "[dp]", 0, 1, lambda call: f"{len(call.tracker().store)}\n"),
        ("ct-enable-tcp-seq-chk", "[dp]", 0, 1, lambda call: _check_sequences(call, True)),
        ("ct-disable-tcp-seq-chk", "[dp]", 0, 1, lambda call: _check_sequences(call, False)),
        ("ct-get-tcp-seq-chk", "[dp]", 0, 1, _shown_check),
        ("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, None, _set_limits),
        ("ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, _delete_limits),
        ("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, _limits),
        ("ipf-set-enabled", "[dp] v4|v6", 1, 2, lambda call: _enable_fragments(call, True)),
        ("ipf-set-disabled", "[dp] v4|v6", 1, 2, lambda call: _enable_fragments(call, False)),
        ("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, _set_least_fragment),
        ("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, _set_most_fragments),
        ("ipf-get-status", "[dp]", 0, 1, _fragments),
    )
    return [
        Command(f"dpctl/{name}", usage, least, most, partial(_run, run, datapaths, program))
        for name, usage, least, most, run in table
    ]


def _run(run: Callable[[_Call], str], datapaths: Datapaths, program: str, arguments: Sequence[str]) -> str:
    return run(_Call(datapaths, arguments, program))


# ---- connections


def _dump(call: _Call) -> str:
    zone = call.zone()
    datapath = call.datapath()
    tracker: Tracker = datapath.provider.conntrack
    now = datapath.clock.monotonic()
    more, timed = "more" in call.options, "statistics" in call.options
    lines = (
        line(connection, now, verbose=more, timed=timed)
        for connection in tracker.connections(zone)
        if connection.expires > now
    )
    return "".join(text + "\n" for text in lines)


def _flush(call: _Call) -> str:
    datapath = call.datapath(most=0)
    try:
        wanted = parse_filter(call.words)
        flush(datapath.provider.conntrack, wanted, datapath.clock.monotonic())
    except FilterError as error:
        raise call.error(str(error)) from None
    except NotThere:
        raise call.error("failed to flush conntrack", "No such file or directory") from None
    return ""


def _statistics(call: _Call) -> str:
    zone = call.zone()
    tracker = call.tracker()
    kinds: Counter[int] = Counter()
    states: Counter[int] = Counter()
    for connection in tracker.connections(zone):
        protocol = connection.original.protocol
        kinds[protocol] += 1
        if protocol == TCP:
            states[connection.state[0].state] += 1
    return "".join(text + "\n" for text in _statistics_lines(kinds, states, "more" in call.options))


def _statistics_lines(kinds: Counter[int], states: Counter[int], more: bool) -> Iterator[str]:
    yield "Connections Stats:"
    yield f"    Total: {kinds.total()}"
    for number, name in _SHOWN_KINDS:
        if kinds[number]:
            yield f"  {name}: {kinds[number]}"
        if number == TCP and more and kinds[TCP]:
            yield "    Conn per TCP states:"
            for state, count in sorted(states.items()):
                yield f"\t  [{STATES[state]}]={count}"
    others = sum(count for number, count in kinds.items() if number not in _NOT_OTHERS)
    if others:
        yield f"  Other: {others}"


def _buckets(call: _Call) -> str:
    """There is one table, as the original has it, so one bucket; gt=N hides it if it has no more than N."""
    least = 0
    if call.words and (found := re.match(r"gt=\s*(\d+)", call.words[-1])):
        least = int(found[1])
        call.words.pop()
    count = len(call.tracker().store)
    if not count:
        return "Total Buckets: 1\nCurrent Connections: 0\n\n"
    shown = f"{count:6d}" if count > least else "     ."
    return (
        f"Total Buckets: 1\nCurrent Connections: {count}\n\n"
        "+-----------+-----------------------------------------+\n"
        "|  Buckets  |         Connections per Buckets         |\n"
        "+-----------+-----------------------------------------+\n"
        f"   0..  7   |{shown}\n\n"
    )


# ---- settings


def _set_maximum(call: _Call) -> str:
    tracker = call.tracker(most=2)
    if not re.match(r"\s*\d", call.words[-1] if call.words else ""):
        raise call.error("maxconns missing or malformed")
    tracker.maximum = int(re.match(r"\s*(\d+)", call.words[-1])[1]) & _WORD  # type: ignore[index]
    return "setting maxconns successful\n"


def _check_sequences(call: _Call, check: bool) -> str:
    call.tracker(most=0).check_sequences = check
    return f"{'en' if check else 'dis'}abling TCP sequence checking successful\n"


def _shown_check(call: _Call) -> str:
    return f"TCP sequence checking: {'enabled' if call.tracker().check_sequences else 'disabled'}\n"


# ---- limits


def _set_limits(call: _Call) -> str:
    tracker = call.tracker(most=0)
    default: int | None = None
    words = call.words
    if words and words[0].startswith("default="):
        found = re.match(r"default=\s*(-?\d+)", words[0])
        if found is None:
            raise call.error("invalid default limit")
        default = int(found[1]) & _WORD
        words = words[1:]
    limits = [_zone_limit(call, word) for word in words]
    if default is not None:
        tracker.set_default_limit(default)
    for zone, limit in limits:
        tracker.set_limit(zone, limit)
    return ""


def _zone_limit(call: _Call, text: str) -> tuple[int, int]:
    given: dict[str, int] = {}
    for word in re.split(r"[, \t\r\n]+", text):
        if not word:
            continue
        name, _, value = re.sub(r"\((.*)\)$", r"=\1", word).partition("=")
        if not value:
            raise call.error(f"field {name} missing value")
        if name not in ("zone", "limit"):
            raise call.error(f"invalid zone limit field: {name}")
        if not re.fullmatch(r"\d+", value) or int(value) > (0xFFFF if name == "zone" else _WORD):
            raise call.error(f"failed to parse field {name}")
        given[name] = int(value)
    if len(given) < 2:
        raise call.error("failed to parse zone limit")
    return given["zone"], given["limit"]


def _zones(call: _Call) -> list[int]:
    """zone=N1[,N2]..."""
    if not call.words[0].startswith("zone="):
        raise call.error(f"invalid argument {call.words[0]}")
    zones = [word for word in re.split(r"[, ]+", call.words[0].removeprefix("zone=")) if word]
    if not zones or any(not re.fullmatch(r"\d+", word) for word in zones):
        raise call.error("invalid zone")
    return [int(word) & 0xFFFF for word in zones]


def _delete_limits(call: _Call) -> str:
    tracker = call.tracker(most=2)
    if not call.words:
        raise call.error("no limits are named")
    for zone in _zones(call):
        tracker.delete_limit(zone)
    return ""


def _limits(call: _Call) -> str:
    tracker = call.tracker(most=2)
    default = tracker.default_limit
    lines = [f"default limit={default.limit if default is not None else 0}"]
    if call.words:
        shown = [(zone, tracker.limit_of(zone)) for zone in _zones(call)]
    else:
        shown = sorted(tracker.limits.items())
    lines += [f"zone={zone},limit={limit.limit},count={limit.count}" for zone, limit in shown]
    return "".join(text + "\n" for text in lines)


# ---- fragments


def _family(call: _Call, text: str, where: Callable[[], str]) -> Family:
    fragments_of = {"v4": 4, "v6": 6}
    if text not in fragments_of:
        raise call.error(where())
    tracker = call.tracker(most=0)
    return tracker.fragments.families[fragments_of[text]]


def _enable_fragments(call: _Call, enabled: bool) -> str:
    family = _family(call, call.words[-1], lambda: "parameter missing: 'v4' for IPv4 or 'v6' for IPv6")
    family.enabled = enabled
    return f"{'en' if enabled else 'dis'}abling fragmentation reassembly successful\n"


def _set_least_fragment(call: _Call) -> str:
    if len(call.words) == 3:
        call.datapath(most=3)
    name, size = call.words[-2:]
    family = _family(call, name, lambda: "parameter missing: v4 for IPv4 or v6 for IPv6")
    if not re.fullmatch(r"\d+", size):
        raise call.error("parameter missing for minimum fragment size")
    if int(size) < LEAST_MINIMUM:
        raise call.error(
            "requested minimum fragment size too small; see documentation", "Operation not permitted"
        )
    family.minimum = int(size)
    return "setting minimum fragment size successful\n"


def _set_most_fragments(call: _Call) -> str:
    tracker = call.tracker(most=2)
    word = call.words[-1] if call.words else ""
    if not re.fullmatch(r"\d+", word):
        raise call.error("parameter missing for maximum fragments")
    if int(word) > MAX_LIMIT:
        raise call.error("setting maximum fragments failed", "Operation not permitted")
    tracker.fragments.limit = int(word)
    return "setting maximum fragments successful\n"


def _fragments(call: _Call) -> str:
    fragments = call.tracker().fragments
    lines = ["    Fragmentation Module Status", "    ---------------------------"]
    families = (("v4", fragments.families[4]), ("v6", fragments.families[6]))
    lines += [f"    {name} enabled: {int(family.enabled)}" for name, family in families]
    lines += [f"    max num frags (v4/v6): {fragments.limit}", f"    num frag: {fragments.count}"]
    for name, family in families:
        counters = family.counters
        lines += [
            f"    min {name} frag size: {family.minimum}",
            f"    {name} frags accepted: {counters.accepted}",
            f"    {name} frags completed: {counters.completed}",
            f"    {name} frags expired: {counters.expired}",
            f"    {name} frags too small: {counters.small}",
            f"    {name} frags overlapped: {counters.overlapped}",
            f"    {name} frags purged: {counters.purged}",
        ]
    text = "".join(f"    {line}\n" for line in lines)
    if "more" in call.options:
        text += "\n        Fragment Lists:\n\n"
        text += "".join(f"{held}\n" for held in fragments.held.values())
    return text
