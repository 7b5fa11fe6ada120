"""Control commands about datapaths that touch no flow: what they can do, how they are driven.

Some of the original's commands ask about parts that its userspace datapath has and ours has not (caches, poll
mode threads, variants of its code for other processors).  Where the truthful answer is one that the original
gives as well (no caches, no threads), it is given here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from trunkline.jsonrpc.unixctl import Command, CommandError
from trunkline.upcall.commands import Datapaths, find_bridge
from trunkline.upcall.datapath import Datapath
from trunkline.upcall.dpctl import datapath_names, find_datapath

_PROGRAM: Final = "ovs-vswitchd"
_SAMPLE_NESTING: Final = 10
_LABELS: Final = 3


def datapath_commands(datapaths: Datapaths) -> list[Command]:
    table: tuple[tuple[str, str, int, int | None, Callable[[Datapaths, Sequence[str]], str]], ...] = (
        ("dpctl/cache-get-size", "[dp]", 0, 1, _cache_sizes),
        ("dpctl/cache-set-size", "dp cache <size>", 3, 3, _set_cache_size),
        ("dpctl/offload-stats-show", "[dp]", 0, 1, _offload_statistics),
        ("dpif/show-dp-features", "bridge", 1, 1, _features),
        ("dpif/set-dp-features", "bridge", 1, 4, _set_features),
        ("odp-execute/action-impl-set", "name", 1, 1, _set_implementation),
        ("odp-execute/action-impl-show", "", 0, 0, _implementations),
        ("upcall/disable-megaflows", "", 0, 0, partial(_use_megaflows, on=False)),
        ("upcall/enable-megaflows", "", 0, 0, partial(_use_megaflows, on=True)),
        ("upcall/disable-ufid", "", 0, 0, partial(_use_ufid, on=False)),
        ("upcall/enable-ufid", "", 0, 0, partial(_use_ufid, on=True)),
    )
    hidden: tuple[tuple[str, Callable[[Datapaths, Sequence[str]], str]], ...] = (
        ("revalidator/pause", partial(_pause, paused=True)),
        ("revalidator/resume", partial(_pause, paused=False)),
    )
    return [
        *(
            Command(name, usage, least, most, partial(run, datapaths))
            for name, usage, least, most, run in table
        ),
        *(Command(name, "", 0, 0, partial(run, datapaths), hidden=True) for name, run in hidden),
    ]


# ---- caches, offload, queues: there are none


def _cache_sizes(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    if arguments and arguments[0] not in datapath_names(datapaths):
        raise CommandError(f"{_PROGRAM}: Opening datapath {arguments[0]} failed (No such device)\n")
    named = [find_datapath(datapaths, arguments, _PROGRAM)] if arguments else list(datapaths.values())
    return "".join(f"{title}:\n" for title in sorted(one.title for one in named))


def _set_cache_size(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    if not arguments[2].isdigit():
        raise CommandError(f"{_PROGRAM}: size is malformed (Invalid argument)\n")
    if arguments[0] not in datapath_names(datapaths):
        raise CommandError(f"{_PROGRAM}: Opening datapath {arguments[0]} failed (No such device)\n")
    raise CommandError(f"{_PROGRAM}: Setting caches not supported (Operation not supported)\n")


def _offload_statistics(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    find_datapath(datapaths, arguments, _PROGRAM)
    raise CommandError(f"{_PROGRAM}: retrieving offload statistics (Invalid argument)\n")


def _implementations(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    return "Available Actions implementations:\n  scalar (available: Yes, active: Yes)\n"


def _set_implementation(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    if arguments[0] != "scalar":
        raise CommandError(f"Error: unknown action implementation, {arguments[0]}, specified!")
    return "Action implementation set to scalar.\n"


# ---- what a datapath can do

# the name in show, the name in set, the action (of Capabilities) that it depends on, or the value
_FEATURES: Final[tuple[tuple[str, str, str | int], ...]] = (
    ("Masked set action", "masked_set_action", "set"),
    ("Tunnel push pop", "tnl_push_pop", "tnl_push"),
    ("Ufid", "ufid", 1),
    ("Truncate action", "trunc", "trunc"),
    ("Clone action", "clone", 1),
    ("Sample nesting", "sample_nesting", _SAMPLE_NESTING),
    ("Conntrack eventmask", "ct_eventmask", "ct"),
    ("Conntrack clear", "ct_clear", "ct_clear"),
    ("Max dp_hash algorithm", "max_hash_alg", 1),
    ("Check pkt length action", "check_pkt_len", 1),
    ("Conntrack timeout policy", "ct_timeout", "ct"),
    ("Explicit Drop action", "explicit_drop_action", "drop"),
    ("Optimized Balance TCP mode", "lb_output_action", "lb_output"),
    ("Conntrack all-zero IP SNAT", "ct_zero_snat", "ct"),
    ("MPLS Label add", "add_mpls", "add_mpls"),
    ("Max VLAN headers", "max_vlan_headers", 1),
    ("Max MPLS depth", "max_mpls_depth", _LABELS),
    ("Recirc", "recirc", "recirc"),
    ("CT state", "ct_state", "ct"),
    ("CT zone", "ct_zone", "ct"),
    ("CT mark", "ct_mark", "ct"),
    ("CT label", "ct_label", "ct"),
    ("CT state NAT", "ct_state_nat", "ct"),
    ("CT orig tuple", "ct_orig_tuple", "ct"),
    ("CT orig tuple for IPv6", "ct_orig_tuple6", "ct"),
    ("IPv6 ND Extension", "nd_ext", 0),
)
_COUNTED: Final = frozenset(("sample_nesting", "max_hash_alg", "max_vlan_headers", "max_mpls_depth"))


def _values(datapath: Datapath) -> list[tuple[str, str, int]]:
    actions = datapath.provider.capabilities().actions
    return [
        (title, name, int(value in actions) if isinstance(value, str) else value)
        for title, name, value in _FEATURES
    ]


def _features(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    datapath, _ = find_bridge(datapaths, arguments[0])
    return "".join(
        f"{title}: {value if name in _COUNTED else 'Yes' if value else 'No'}\n"
        for title, name, value in _values(datapath)
    )


_PUSH_POP: Final = "tnl_push_pop"


def _set_features(datapaths: Datapaths, arguments: Sequence[str]) -> str:
    words = [word for word in arguments if word != "--force"]
    datapath, _ = find_bridge(datapaths, words[0] if words else "")
    if len(words) > 1 and words[1] == _PUSH_POP and words[2:] in (["true"], ["false"]):
        tunnels = datapath.fabric.tunnels
        tunnels.use_pushes(words[2] == "true" and tunnels.can_push)
        datapath.attend()
        return ""
    if len(words) > 1:
        raise CommandError(
            f"dpif/set-dp-features: {words[1]} cannot be set: what this datapath can do is fixed"
        )
    lines = []
    for title, name, value in _values(datapath):
        text = str(value) if name in _COUNTED else "true" if value else "false"
        if name == _PUSH_POP:
            able, now = datapath.fabric.tunnels.can_push, datapath.fabric.tunnels.pushes
            text = str(now).lower()
            lines.append(f"{name} ({title}) : [run time]:{text}, [boot time]:{str(able).lower()}\n")
            continue
        lines.append(f"{name} ({title}) : [run time]:{text}, [boot time]:{text}\n")
    return "".join(lines)


# ---- driving


def _use_megaflows(datapaths: Datapaths, arguments: Sequence[str], *, on: bool) -> str:
    for datapath in datapaths.values():
        datapath.use_megaflows(on)
    return f"megaflows {'enabled' if on else 'disabled'}\n"


def _use_ufid(datapaths: Datapaths, arguments: Sequence[str], *, on: bool) -> str:
    """Only shown: this switch asks its datapath for flows by their ufid in any case, at no cost."""
    for datapath in datapaths.values():
        datapath.ufid_on = on
    state = "enabled for supported datapaths" if on else "disabled"
    return f"Datapath dumping tersely using UFID {state}\n"


def _pause(datapaths: Datapaths, arguments: Sequence[str], *, paused: bool) -> str:
    """Flows stay as they are, whatever changes: for looking at them, and for putting some in by hand."""
    for datapath in datapaths.values():
        datapath.paused = paused
    return ""
