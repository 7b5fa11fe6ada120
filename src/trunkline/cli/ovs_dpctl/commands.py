"""The commands of ovs-dpctl(8), with their usage and how many arguments they take."""

from typing import Final, NamedTuple


class DatapathCommand(NamedTuple):
    """`most` None: any number.  `writes`: refused with ``--read-only``."""

    usage: str
    least: int
    most: int | None
    writes: bool = False


OF_PORTS: Final = ("add-dp", "del-dp", "add-if", "del-if", "set-if")
"""Commands that change datapaths: a switch that runs does not let that be done beside it."""

KEPT_BY_THE_SWITCH: Final = frozenset(
    ("ct-set-maxconns", "ct-get-maxconns", "ct-set-limits", "ct-del-limits", "ct-get-limits", "ct-bkts",
     "ipf-set-enabled", "ipf-set-disabled", "ipf-set-min-frag", "ipf-set-max-nfrags", "ipf-get-status",
     "ct-enable-tcp-seq-chk", "ct-disable-tcp-seq-chk")
)  # fmt: skip
"""Commands about what is not in the kernel: without a switch they have no answer."""

COMMANDS: Final[dict[str, DatapathCommand]] = {
    "add-dp": DatapathCommand("dp [iface...]", 1, None, True),
    "del-dp": DatapathCommand("dp", 1, 1, True),
    "add-if": DatapathCommand("dp iface...", 2, None, True),
    "del-if": DatapathCommand("dp iface...", 2, None, True),
    "set-if": DatapathCommand("dp iface...", 2, None, True),
    "dump-dps": DatapathCommand("", 0, 0),
    "show": DatapathCommand("[-s] [dp...]", 0, None),
    "dump-flows": DatapathCommand("[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6),
    "add-flow": DatapathCommand("[dp] flow actions", 2, 3, True),
    "mod-flow": DatapathCommand("[dp] flow actions", 2, 3, True),
    "get-flow": DatapathCommand("[dp] ufid", 1, 2),
    "del-flow": DatapathCommand("[dp] flow", 1, 2, True),
    "add-flows": DatapathCommand("[dp] file", 1, 2, True),
    "mod-flows": DatapathCommand("[dp] file", 1, 2, True),
    "del-flows": DatapathCommand("[dp] [file]", 0, 2, True),
    "offload-stats-show": DatapathCommand("[dp]", 0, 1),
    "dump-conntrack": DatapathCommand("[-m] [-s] [dp] [zone=N]", 0, 4),
    "flush-conntrack": DatapathCommand("[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, True),
    "cache-get-size": DatapathCommand("[dp]", 0, 1),
    "cache-set-size": DatapathCommand("dp cache <size>", 3, 3, True),
    "ct-stats-show": DatapathCommand("[dp] [zone=N]", 0, 3),
    "ct-bkts": DatapathCommand("[dp] [gt=N]", 0, 2),
    "ct-set-maxconns": DatapathCommand("[dp] maxconns", 1, 2, True),
    "ct-get-maxconns": DatapathCommand("[dp]", 0, 1),
    "ct-get-nconns": DatapathCommand("[dp]", 0, 1),
    "ct-enable-tcp-seq-chk": DatapathCommand("[dp]", 0, 1, True),
    "ct-disable-tcp-seq-chk": DatapathCommand("[dp]", 0, 1, True),
    "ct-get-tcp-seq-chk": DatapathCommand("[dp]", 0, 1),
    "ct-set-limits": DatapathCommand("[dp] [default=L] [zone=N,limit=L]...", 1, None, True),
    "ct-del-limits": DatapathCommand("[dp] zone=N1[,N2]...", 1, 2, True),
    "ct-get-limits": DatapathCommand("[dp] [zone=N1[,N2]...]", 0, 2),
    "ipf-set-enabled": DatapathCommand("[dp] v4|v6", 1, 2, True),
    "ipf-set-disabled": DatapathCommand("[dp] v4|v6", 1, 2, True),
    "ipf-set-min-frag": DatapathCommand("[dp] v4|v6 minfragment", 2, 3, True),
    "ipf-set-max-nfrags": DatapathCommand("[dp] maxfrags", 1, 2, True),
    "ipf-get-status": DatapathCommand("[dp]", 0, 1),
    "help": DatapathCommand("", 0, None),
    "list-commands": DatapathCommand("", 0, None),
    "parse-actions": DatapathCommand("actions", 1, None),
    "normalize-actions": DatapathCommand("actions", 2, None),
}

HELP_HEAD: Final = """\
ovs-dpctl: Open vSwitch datapath management utility
usage: ovs-dpctl [OPTIONS] COMMAND [ARG...]
  add-dp DP [IFACE...]     add new datapath DP (with IFACEs)
  del-dp DP                delete local datapath DP
  add-if DP IFACE...       add each IFACE as a port on DP
  set-if DP IFACE...       reconfigure each IFACE within DP
  del-if DP IFACE...       delete each IFACE from DP
  dump-dps                 display names of all datapaths
  show                     show basic info on all datapaths
  show DP...               show basic info on each DP
  dump-flows [DP]          display flows in DP
  add-flow [DP] FLOW ACTIONS add FLOW with ACTIONS to DP
  add-flows [DP] FILE        add flows from FILE
  mod-flow [DP] FLOW ACTIONS change FLOW actions to ACTIONS in DP
  mod-flows [DP] FILE        change flows from FILE
  get-flow [DP] ufid:UFID    fetch flow corresponding to UFID
  del-flow [DP] FLOW         delete FLOW from DP
  del-flows [DP] [FILE]      delete all or specified flows from DP
  cache-get-size [DP]             Show the current size for all caches
  cache-set-size DP CACHE SIZE  Set cache size for a specific cache
  dump-conntrack [DP] [zone=ZONE]  display conntrack entries for ZONE
  flush-conntrack [DP] [zone=ZONE] [ct-tuple]delete matched conntrack entries in ZONE
  ct-stats-show [DP] [zone=ZONE] [verbose] CT connections grouped by protocol
  ct-bkts [DP] [gt=N] display connections per CT bucket
Each IFACE on add-dp, add-if, and set-if may be followed by
comma-separated options.  See ovs-dpctl(8) for syntax, or the
Interface table in ovs-vswitchd.conf.db(5) for an options list.
For COMMAND dump-flows, add-flow, add-flows, mod-flow,
mod-flows, del-flow and del-flows, DP is optional if there is
only one datapath.
"""
HELP_TAIL: Final = """
Options for show and mod-flow:
  -s,  --statistics           print statistics for port or flow

Options for dump-flows:
  -m, --more                  increase verbosity of output
  --names                     use port names in output

Options for mod-flow:
  --may-create                create flow if it doesn't exist
  --read-only                 do not run read/write commands
  --clear                     reset existing stats to zero

Other options:
  -t, --timeout=SECS          give up after SECS seconds
  -h, --help                  display this help message
  -V, --version               display version information
"""
