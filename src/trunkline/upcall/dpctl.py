"""``dpctl/*`` and ``dpif/dump-flows``: the datapath as it is, below everything that OpenFlow knows.

Texts as the original's; ovs-dpctl shows the same by asking the running switch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.dpif.action_text import format_actions
from trunkline.dpif.actions import Cookie
from trunkline.dpif.provider import DatapathFlow, Statistics
from trunkline.dpif.text import format_key, short_hex
from trunkline.flow import key as layout
from trunkline.flow.match import Match
from trunkline.flow.text import parse_match
from trunkline.flow.values import TextContext, TextError
from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.model.tunnels import TUNNEL_TYPES, describe_datapath_port
from trunkline.translate.result import SendToController
from trunkline.upcall import dpctl_flows as hand
from trunkline.upcall.commands import Datapaths, find_bridge, note_lines
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.dpctl_actions import normalize_command, parse_commands

_FRAGMENT: Final = layout.MASK["nw_frag"]
_IN_PORT: Final = layout.OFFSET["dp_in_port"]
_IP: Final = (0x0800, 0x86DD)
_FLOW_TYPES: Final = ("ovs", "tc", "dpdk", "offloaded", "non-offloaded", "partially-offloaded", "all")
_FLAG_LETTERS: Final = (
    ("S", 1),
    ("F", 0),
    ("P", 3),
    ("R", 2),
    ("U", 5),
    (".", 4),
    ("E", 6),
    ("C", 7),
    ("N", 8),
)


def dpctl_commands(
    datapaths: Datapaths, program: str = "ovs-vswitchd", read_file: hand.ReadFile | None = None
) -> list[Command]:
    """`program` is named in error messages; files of flows are read with `read_file`."""
    table: tuple[tuple[str, str, int, int | None, Callable[..., str]], ...] = (
        ("dpctl/dump-dps", "", 0, 0, _dump_datapaths),
        ("dpctl/show", "[-s] [dp...]", 0, None, _show),
        ("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, _dump_flows),
        ("dpctl/get-flow", "[dp] ufid", 1, 2, _get_flow),
        ("dpctl/add-flow", "[dp] flow actions", 2, 3, partial(_put_flow, create=True, modify=False)),
        ("dpctl/mod-flow", "[dp] flow actions", 2, 3, partial(_put_flow, create=False, modify=True)),
        ("dpctl/del-flow", "[dp] flow", 1, 2, _delete_flow),
        ("dpctl/add-flows", "[dp] file", 1, 2, partial(_flows_of_file, verb="add", read_file=read_file)),
        ("dpctl/mod-flows", "[dp] file", 1, 2, partial(_flows_of_file, verb="modify", read_file=read_file)),
        ("dpctl/del-flows", "[dp] [file]", 0, 2, partial(_delete_flows, read_file=read_file)),
        ("dpctl/parse-actions", "actions", 1, None, parse_commands),
        ("dpctl/normalize-actions", "actions", 2, None, normalize_command),
        ("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4, _dump_bridge_flows),
    )
    return [
        Command(name, usage, least, most, partial(run, datapaths, program=program))
        for name, usage, least, most, run in table
    ]


# ---- which datapath, and how it is to be shown


def _by_title(datapaths: Datapaths) -> dict[str, Datapath]:
    return {datapath.title: datapath for _, datapath in sorted(datapaths.items())}


def find_datapath(datapaths: Datapaths, words: Sequence[str], program: str) -> Datapath:
    """The datapath that is named, or the only one; the type system may be left out."""
    titles = _by_title(datapaths)
    for word in words[:1]:
        for title, datapath in titles.items():
            if word in (title, title.removeprefix("system@")):
                return datapath
    if len(words) == 1:
        raise CommandError(f"{program}: datapath not found (Invalid argument)\n")
    if len(titles) == 1:
        return next(iter(titles.values()))
    if titles:
        raise CommandError(f"{program}: multiple datapaths, specify one (Invalid argument)\n")
    raise CommandError(f"{program}: no datapaths exist (No such file or directory)\n")


_OPTIONS: Final = ("--statistics", "--clear", "--may-create", "--more", "--names", "--no-names")
_LETTERS: Final = MappingProxyType({"s": "--statistics", "m": "--more"})


def _options(arguments: Sequence[str]) -> tuple[set[str], list[str]]:
    """Options by their long names, and the rest; raises for an option that is not known."""
    options, rest = set(), []
    for word in arguments:
        if word in _OPTIONS:
            options.add(word)
        elif word.startswith("-") and word != "-":
            if word.startswith("--"):
                raise CommandError(f"Unrecognized option {word}")
            for letter in word[1:]:
                if letter not in _LETTERS:
                    raise CommandError(f"Unrecognized option -{letter}")
                options.add(_LETTERS[letter])
        else:
            rest.append(word)
    return options, rest


def _port_names(datapath: Datapath) -> dict[int, str]:
    return {port.number: port.name for port in datapath.provider.ports()}


# ---- datapaths


def _dump_datapaths(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    return "".join(f"{title}\n" for title in _by_title(datapaths))


def _show(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    """Those that are named, one after the other; what is said of those that are not there is among it."""
    options, rest = _options(arguments)
    titles = _by_title(datapaths)
    lines: list[str] = []
    missing = False
    for word in rest or titles:
        named = [title for title in titles if word in (title, title.partition("@")[2])]
        if not named:
            missing = True
            lines.append(f"{program}: opening datapath {word} failed ({_absence(word, titles)})")
        for title in named:
            lines += _shown(titles[title], "--statistics" in options)
    text = "".join(line + "\n" for line in lines)
    if missing:
        raise CommandError(text)
    return text


def _absence(word: str, titles: Mapping[str, Datapath]) -> str:
    """Why there is no such datapath; dummy datapaths stand in for those of type system."""
    kind = word.rpartition("@")[0] or "system"
    if kind not in ("system", "netdev", "dummy"):
        return "Address family not supported by protocol"
    if kind == "system" and not any(title.startswith("dummy@") for title in titles):
        return "No such file or directory"
    return "No such device"


def _shown(datapath: Datapath, counters: bool) -> Iterator[str]:
    statistics = datapath.provider.statistics()
    yield f"{datapath.title}:"
    yield from note_lines(datapath)
    yield f"  lookups: hit:{statistics.hits} missed:{statistics.misses} lost:{statistics.lost}"
    yield f"  flows: {statistics.flows}"
    for port in datapath.provider.ports():
        kind = port.type
        if kind in TUNNEL_TYPES:
            digits = port.name.rpartition("_")[2]
            kind = describe_datapath_port(kind, int(digits) if digits.isdigit() else 0)
        yield f"  port {port.number}: {port.name} ({kind})"
        if counters and (counted := datapath.port_counters(port.number)) is not None:
            yield from _counters(counted)
        if counters and (drops := datapath.provider.drops(port.number)):
            yield "    drops " + " ".join(f"{reason}:{count}" for reason, count in drops.items())


def _counters(counters: object) -> Iterator[str]:
    def text(name: str) -> str:
        value = getattr(counters, name)
        return "?" if value is None else str(value)

    yield (
        f"    RX packets:{text('rx_packets')} errors:{text('rx_errors')} dropped:{text('rx_dropped')} "
        f"overruns:{text('rx_over_errors')} frame:{text('rx_frame_errors')}"
    )
    yield (
        f"    TX packets:{text('tx_packets')} errors:{text('tx_errors')} dropped:{text('tx_dropped')} "
        f"aborted:{text('tx_aborted_errors')} carrier:{text('tx_carrier_errors')}"
    )
    yield f"    collisions:{text('collisions')}"
    yield f"    RX bytes:{_size(counters, 'rx_bytes')}  TX bytes:{_size(counters, 'tx_bytes')}"


def _size(counters: object, name: str) -> str:
    """A number of bytes, and in round figures."""
    value = getattr(counters, name)
    if value is None:
        return "?"
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value > 1024**power - 1 and value >= 1000:
            return f"{value} ({value / 1024**power:.1f} {unit})"
    return str(value)


# ---- flows


def _take_filters(rest: list[str]) -> dict[str, str]:
    """Takes filter=, type= and pmd=, one of each, off the end of the words."""
    found: dict[str, str] = {}
    while rest:
        name, equals, value = rest[-1].partition("=")
        if not equals or name not in ("filter", "type", "pmd") or name in found:
            break
        found[name] = value
        rest.pop()
    return found


def _dump_flows(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    options, rest = _options(arguments)
    filters = _take_filters(rest)
    datapath = find_datapath(datapaths, rest, program)
    wanted = _filter(datapath, filters.get("filter", ""), program)
    kinds = filters.get("type", "all").split(",")
    for kind in kinds:
        if kind and kind not in _FLOW_TYPES:
            raise CommandError(f"{program}: Failed to parse type ({kind}) (Invalid argument)\n")
    thread = filters.get("pmd")
    if thread is not None and not thread.removeprefix("-").isdigit():
        raise CommandError("")
    if not set(kinds) & _OURS or thread not in (None, "-1"):
        return ""
    flows = [
        flow
        for flow in datapath.provider.dump_flows()
        if not (flow.key ^ wanted.value) & flow.mask & wanted.mask
    ]
    lines = [_flow_line(datapath, flow, options, "dpctl") for flow in flows]
    title = "flow-dump from the main thread:\n" if flows and thread is None else ""
    return title + "".join(line + "\n" for line in lines)


_OURS: Final = frozenset(("all", "ovs", "non-offloaded"))
_WHOLE_PORT: Final = layout.MASK["in_port"]


def _filter(datapath: Datapath, text: str, program: str) -> Match:
    """The flows that are wanted; ports in it are the datapath's.  Raises CommandError."""
    ports = {port.name: port.number for port in datapath.provider.ports()}
    try:
        match = parse_match(text, TextContext(ports, {}))
    except TextError as error:
        reason = str(error)
        for words in ("unknown keyword ", "field "):
            if reason.startswith(words):
                name = reason.removeprefix(words).removesuffix(" missing value")
                reason = f"{name}: unknown field {name}"
        raise CommandError(f"{program}: Failed to parse filter ({reason})\n") from None
    value, mask = match.value & ~_WHOLE_PORT, match.mask & ~_WHOLE_PORT
    if match.mask & _WHOLE_PORT:
        value = layout.put(value, "dp_in_port", layout.get(match.value, "in_port"))
        mask |= layout.MASK["dp_in_port"]
    return Match(value, mask)


def _put_flow(
    datapaths: Datapaths, arguments: Sequence[str], program: str, *, create: bool, modify: bool
) -> str:
    options, rest = _options(arguments)
    *where, flow, actions = rest
    datapath = find_datapath(datapaths, where, program)
    create = create or "--may-create" in options
    try:
        counted = hand.put(
            datapath, flow, actions, create=create, modify=modify, clear=modify and "--clear" in options
        )
    except hand.Failure as failure:
        raise CommandError(f"{program}: {failure}\n") from None
    if modify and "--statistics" in options:
        return statistics_text(counted, datapath.clock.monotonic()) + "\n"
    return ""


def _delete_flow(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    options, rest = _options(arguments)
    *where, flow = rest
    datapath = find_datapath(datapaths, where, program)
    try:
        counted = hand.delete(datapath, flow)
    except hand.Failure as failure:
        raise CommandError(f"{program}: {failure}\n") from None
    if "--statistics" in options:
        return statistics_text(counted, datapath.clock.monotonic()) + "\n"
    return ""


def _flows_of_file(
    datapaths: Datapaths,
    arguments: Sequence[str],
    program: str,
    *,
    verb: str,
    read_file: hand.ReadFile | None,
) -> str:
    _, rest = _options(arguments)
    *where, path = rest
    try:
        text = hand.read(path, read_file)
        wrong = list(hand.carry_out(find_datapath(datapaths, where, program), text, verb))
    except hand.Failure as failure:
        wrong = [str(failure)]
    return hand.lines(program, wrong)


def _dump_bridge_flows(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    options, rest = _options(arguments)
    datapath, bridge = find_bridge(datapaths, rest[-1] if rest else "")
    lines = []
    for flow in datapath.provider.dump_flows():
        place = datapath.fabric.by_datapath_port.get(flow.key >> _IN_PORT & 0xFFFFFFFF)
        if place is not None and place.bridge is bridge:
            lines.append(_flow_line(datapath, flow, options, "dpif"))
    return "".join(line + "\n" for line in lines)


def _get_flow(datapaths: Datapaths, arguments: Sequence[str], program: str) -> str:
    options, rest = _options(arguments)
    datapath = find_datapath(datapaths, rest[:-1], program)
    digits = rest[-1].removeprefix("ufid:").replace("-", "") if rest else ""
    if len(digits) != 32 or set(digits) - set("0123456789abcdefABCDEF"):
        why = " (Invalid argument)" if rest and rest[-1].startswith("ufid:") else ""
        return f"{program}: parsing flow ufid{why}\n"  # no error, as the original has it
    flow = datapath.provider.flow(int(digits, 16))
    if flow is None:
        raise CommandError(f"{program}: getting flow (No such file or directory)\n")
    return _flow_line(datapath, flow, options, "dpctl") + "\n"


def _delete_flows(
    datapaths: Datapaths, arguments: Sequence[str], program: str, *, read_file: hand.ReadFile | None
) -> str:
    _, rest = _options(arguments)
    if len(rest) > 1 or (rest and rest[0] not in datapath_names(datapaths)):
        return _flows_of_file(datapaths, arguments, program, verb="delete", read_file=read_file)
    find_datapath(datapaths, rest, program).purge()
    return ""


def datapath_names(datapaths: Datapaths) -> set[str]:
    """How the datapaths may be called: the type may be left out if it is system."""
    titles = set(_by_title(datapaths))
    return titles | {title.removeprefix("system@") for title in titles}


def _flow_line(datapath: Datapath, flow: DatapathFlow, options: set[str], style: str) -> str:
    """A megaflow.  -m shows every field and names ports; the two commands differ in a comma and a tail."""
    verbose = "--more" in options
    named = "--names" in options or (verbose and "--no-names" not in options)
    names: Mapping[int, str] = _port_names(datapath) if named else MappingProxyType({})
    mask = flow.mask
    if layout.get(flow.key, "dl_type") not in _IP:
        mask &= ~_FRAGMENT
    key = datapath.whole_key(flow)
    text = format_key(key, mask, verbose=verbose, port_names=names)
    actions = format_actions(shown_actions(flow.actions), port_names=names, key=key)
    parts = []
    if verbose:
        parts.append(f"ufid:{_ufid_text(flow.ufid)}" + (", " if style == "dpctl" else " "))
    parts.append(f"{text}, {statistics_text(flow.statistics, datapath.clock.monotonic())}")
    if verbose and style == "dpctl":
        parts.append(", dp:ovs")
    return "".join(parts) + f", actions:{actions}"


def _ufid_text(ufid: int) -> str:
    digits = f"{ufid:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def statistics_text(statistics: Statistics, now: float) -> str:
    used = "never" if statistics.used is None else f"{max(now - statistics.used, 0):.3f}s"
    text = f"packets:{statistics.packets}, bytes:{statistics.bytes}, used:{used}"
    if statistics.tcp_flags:
        letters = (letter for letter, bit in _FLAG_LETTERS if statistics.tcp_flags >> bit & 1)
        text += ", flags:" + "".join(letters)
    return text


def shown_actions(actions: tuple[Any, ...], told: bool = True) -> tuple[Any, ...]:
    """Actions with what only this process understands put into words; `told`: packets are really sent."""
    return tuple(_shown_action(action, told) for action in actions)


def _shown_action(action: Any, told: bool) -> Any:
    if isinstance(action, dp.Clone | dp.Sample):
        return action._replace(actions=shown_actions(action.actions, told))
    if isinstance(action, dp.CheckLength):
        return action._replace(
            greater=shown_actions(action.greater, told), less_equal=shown_actions(action.less_equal, told)
        )
    what = getattr(action, "what", None)
    if not isinstance(what, SendToController):
        return action
    words: tuple[tuple[str, str | int], ...] = (
        ("reason", what.reason),
        ("dont_send", int(not told)),
        ("continuation", int(what.paused)),
        ("recirc_id", what.frozen),
        ("rule_cookie", short_hex(what.cookie)),
        ("controller_id", what.controller_id),
        ("max_len", what.max_length),
    )
    return action._replace(what=Cookie("controller", words))
