"""The original's control commands that a daemon of ours does not carry out yet, or by design never will.

A daemon registers a refusal for each of these that it has no handler of its own for, so that a script which
uses one hears what is the matter instead of "not a valid command"; `list-commands` shows them like any other.
"""

from typing import Final, NamedTuple

DATAPATH_COMMANDS: Final = (
    *(
        "add-dp",
        "del-dp",
        "add-if",
        "del-if",
        "set-if",
        "dump-dps",
        "show",
        "dump-flows",
        "add-flow",
        "mod-flow",
    ),
    *("get-flow", "del-flow", "add-flows", "mod-flows", "del-flows", "offload-stats-show", "dump-conntrack"),
    *("flush-conntrack", "cache-get-size", "cache-set-size", "ct-stats-show", "ct-bkts", "ct-set-maxconns"),
    *("ct-get-maxconns", "ct-get-nconns", "ct-enable-tcp-seq-chk", "ct-disable-tcp-seq-chk"),
    *("ct-get-tcp-seq-chk", "ct-set-limits", "ct-del-limits", "ct-get-limits", "ipf-set-enabled"),
    *(
        "ipf-set-disabled",
        "ipf-set-min-frag",
        "ipf-set-max-nfrags",
        "ipf-get-status",
        "help",
        "list-commands",
    ),
    *("parse-actions", "normalize-actions"),
)
"""The order in which dpctl/list-commands and ovs-dpctl show them."""


class Missing(NamedTuple):
    """`instead`: what is the case instead, as the end of a sentence."""

    name: str
    usage: str
    instead: str


_AA = "no LLDP is sent"
_BFD = "no BFD is spoken"
_BOND = "bonds are not forwarded over"
_CFM = "no CFM is spoken"
_STP = "no spanning tree is computed, every port forwards"
_QOS = "traffic is not shaped"

VSWITCHD: Final = (
    Missing("autoattach/show-isid", "[bridge]", _AA),
    Missing("autoattach/statistics", "[bridge]", _AA),
    Missing("autoattach/status", "[bridge]", _AA),
    Missing("bfd/set-forwarding", "[interface] normal|false|true", _BFD),
    Missing("bfd/show", "[interface]", _BFD),
    Missing("bond/disable-member", "port member", _BOND),
    Missing("bond/enable-member", "port member", _BOND),
    Missing("bond/hash", "mac [vlan] [basis]", _BOND),
    Missing("bond/list", "", _BOND),
    Missing("bond/migrate", "port hash member", _BOND),
    Missing("bond/set-active-member", "port member", _BOND),
    Missing("bond/show", "[port]", _BOND),
    Missing("cfm/set-fault", "[interface] normal|false|true", _CFM),
    Missing("cfm/show", "[interface]", _CFM),
    Missing("dpif-dummy/change-port-number", "dp port new-number", "a datapath port keeps its number"),
    Missing("dpif-netdev/bond-show", "[dp]", _BOND),
    Missing("dpif-netlink/dispatch-mode", "", "the switch does not use the kernel's Open vSwitch module"),
    Missing("lacp/show", "[port]", "no LACP is spoken"),
    Missing("lacp/show-stats", "[port]", "no LACP is spoken"),
    Missing("qos/show", "interface", _QOS),
    Missing("qos/show-types", "interface", _QOS),
    Missing("rstp/show", "[bridge]", _STP),
    Missing("rstp/tcn", "[bridge]", _STP),
    Missing("stp/show", "[bridge]", _STP),
    Missing("stp/tcn", "[bridge]", _STP),
)  # fmt: skip
