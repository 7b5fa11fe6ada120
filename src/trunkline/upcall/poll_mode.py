"""``dpif-netdev/*``: the commands about threads that poll devices, and about variants of a datapath's parts.

A datapath here is one thread without queues of its own, with one implementation of each part.  So the
commands say what the original says where no poll mode thread runs: there is the main thread, whose packets
are counted; of each part there is the plain variant (`generic`, `scalar`, `dpif_scalar`), and no other.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.upcall.commands import Datapaths
from trunkline.upcall.datapath import Datapath

_MISSING: Final = "please specify an existing datapath"
_SECONDS: Final = 60
_LOG_OPTIONS: Final = "[-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]"
_LOG_USAGE: Final = f"Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] {_LOG_OPTIONS}"
_SETTERS: Final = ("-b", "-a", "-us", "-q")
_MAX_PRIORITY: Final = 255


def poll_mode_commands(datapaths: Datapaths) -> list[Command]:
    performance = "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]"
    lookup = "dpif-netdev/subtable-lookup"
    table: tuple[tuple[str, str, int, int | None, Callable[..., str]], ...] = (
        ("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, _show),
        ("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, _clear),
        ("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, _show_queues),
        ("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, _rebalance),
        ("dpif-netdev/pmd-perf-show", performance, 0, 8, _nothing),
        ("dpif-netdev/pmd-perf-log-set", f"on|off {_LOG_OPTIONS}", 0, 10, _log),
        (f"{lookup}-info-get", "", 0, 0, _lookups),
        (f"{lookup}-prio-set", "[lookup_func] [prio]", 2, 2, _set_lookup),
        (
            "dpif-netdev/miniflow-parser-set",
            "[-pmd core] miniflow_implementation_name [study_pkt_cnt]",
            1,
            5,
            _set_parser,
        ),
        ("dpif-netdev/miniflow-parser-get", "", 0, 0, _parsers),
        ("dpif-netdev/dpif-impl-get", "", 0, 0, _implementations),
        ("dpif-netdev/dpif-impl-set", "dpif_implementation_name", 1, 1, _set_implementation),
    )  # fmt: skip
    return [
        *(
            Command(name, usage, least, most, partial(run, datapaths))
            for name, usage, least, most, run in table
        ),
        Command(f"{lookup}-prio-get", "", 0, 0, partial(_lookups, datapaths), hidden=True),
    ]


# ---- which datapath


def _userspace(datapaths: Datapaths) -> Mapping[str, Datapath]:
    """The datapaths that are no kernel's, by name."""
    found = {one.provider.capabilities().name: one for kind, one in datapaths.items() if kind != "system"}
    return MappingProxyType(found)


def _find(datapaths: Datapaths, words: Sequence[str], *, strict: bool = False) -> Datapath:
    """The one that is named, or the only one; which is meant by any name unless `strict`."""
    known = _userspace(datapaths)
    name = words[0].rpartition("@")[2] if words else ""
    if name in known:
        return known[name]
    if len(known) == 1 and not (strict and words):
        return next(iter(known.values()))
    raise CommandError(_MISSING)


def _options(arguments: Sequence[str], valued: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options with their values ("" where they have none), and the other words."""
    found, rest = {}, []
    words = iter(arguments)
    for word in words:
        if word in valued:
            found[word] = next(words, "")
        elif word.startswith("-"):
            found[word] = ""
        else:
            rest.append(word)
    return found, rest


# ---- what the main thread has done


def _show(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    options, rest = _options(arguments, ("-pmd",))
    datapath = _find(datapaths, rest)
    return "" if "-pmd" in options else "".join(line + "\n" for line in _statistics(datapath))


def _statistics(datapath: Datapath) -> Iterator[str]:
    now = datapath.provider.statistics()
    before = datapath.counted_before
    hits, misses = now.hits - before.hits, now.misses - before.misses
    recirculations = now.recirculations - before.recirculations
    received = hits + misses + now.lost - before.lost - recirculations
    yield "main thread:"
    yield f"  packets received: {received}"
    yield f"  packet recirculations: {recirculations}"
    passes = (received + recirculations) / received if received else 0
    yield f"  avg. datapath passes per packet: {passes:.2f}"
    for name in ("phwol hits", "mfex opt hits", "simple match hits", "emc hits", "smc hits"):
        yield f"  {name}: 0"
    yield f"  megaflow hits: {hits}"
    yield f"  miss with success upcall: {misses}"
    yield f"  miss with failed upcall: {now.lost - before.lost}"


def _clear(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    options, rest = _options(arguments, ("-pmd",))
    datapath = _find(datapaths, rest)
    if "-pmd" not in options:
        datapath.counted_before = datapath.provider.statistics()
    return ""


# ---- threads and queues: there are none


def _show_queues(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    """The seconds asked for are shown, in steps of five and at most a minute."""
    options, rest = _options(arguments, ("-pmd", "-secs"))
    _find(datapaths, rest)
    if "-pmd" in options:
        return ""
    text = options.get("-secs", "")
    seconds = int(text) if text.isdigit() and 0 < int(text) <= _SECONDS else _SECONDS
    return f"Displaying last {-(-seconds // 5) * 5} seconds pmd usage %\n"


def _rebalance(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _find(datapaths, arguments, strict=True)
    return "pmd rxq rebalance requested.\n"


def _nothing(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    _find(datapaths, _options(arguments, ("-pmd", "-it", "-ms"))[1])
    return ""


def _log(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    """Logging of threads that are too slow: as there are none, there is nothing to be set."""
    words = iter(arguments)
    for i, word in enumerate(words):
        if (word in ("on", "off") and not i) or word in ("-e", "-ne"):
            continue
        if word not in _SETTERS or not next(words, "").isdigit():
            raise CommandError(_LOG_USAGE)
    return ""


# ---- variants of parts: one each


def _lookups(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    used = sum(one.provider.statistics().masks for one in _userspace(datapaths).values())
    return f"Available dpcls implementations:\n  generic (Use count: {used}, Priority: 1)\n"


def _set_lookup(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    name, priority = arguments
    digits = re.match(r"\s*(\d*)", priority)
    if digits is not None and digits[1] and int(digits[1]) > _MAX_PRIORITY:
        raise CommandError("error converting priority, use integer in range 0-255\n")
    if name != "generic":
        raise CommandError("error, subtable lookup function not found\n")
    return "Lookup priority change affected 0 dpcls ports and 0 subtables.\n"


def _parsers(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    text = "Available MFEX implementations:\n  scalar (available: True pmds: none)\n"
    return text * len(_userspace(datapaths))


def _set_parser(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    words = list(arguments)
    wrong = "Error: miniflow extract parser not changed, PMD thread "
    if words[0] == "-pmd":
        if len(words) < 2 or not words[1].isdigit():
            name = words[1] if len(words) > 1 else ""
            raise CommandError(f"{wrong}passed is not valid: '{name}'. Pass a valid pmd thread ID.\n")
        if len(words) > 2 and words[2] == "scalar":
            raise CommandError(f"{wrong}{words[1]} not in use, pass a valid pmd thread ID.\n")
        words = words[2:] or [""]
    if words[0] != "scalar":
        raise CommandError(f"Error: unknown miniflow extract implementation {words[0]}.\n")
    if len(words) > 1:
        raise CommandError(f"Error: unknown argument {words[1]}.\n")
    return "Miniflow extract implementation set to scalar.\n"


def _implementations(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    text = "Available DPIF implementations:\n  dpif_scalar (pmds: none)\n"
    return text * len(_userspace(datapaths))


def _set_implementation(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    if arguments[0] != "dpif_scalar":
        raise CommandError(
            f"DPIF implementation not available: Unknown DPIF implementation {arguments[0]}.\n"
        )
    return "DPIF implementation set to dpif_scalar.\n"
