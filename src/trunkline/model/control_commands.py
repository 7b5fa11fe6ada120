"""The original's control commands that a daemon of ours does not carry out yet, or by design never will.

A daemon registers a refusal for each of these that it has no handler of its own for, so that a script which
uses one hears what is the matter instead of "not a valid command"; `list-commands` shows them like any other.
"""

from typing import Final, NamedTuple


class Missing(NamedTuple):
    """`instead`: what is the case instead, as the end of a sentence."""

    name: str
    usage: str
    instead: str


_AA = "no LLDP is sent"
_BFD = "no BFD is spoken"
_BOND = "bonds are not forwarded over"
_CFM = "no CFM is spoken"
_DPDK = "this switch has no DPDK threads"
_STP = "no spanning tree is computed, every port forwards"
_TUNNEL = "there are no tunnels"
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
    Missing("bridge/dump-flows", "[--offload-stats] bridge", "ovs-ofctl dump-flows shows the flows"),
    Missing("cfm/set-fault", "[interface] normal|false|true", _CFM),
    Missing("cfm/show", "[interface]", _CFM),
    Missing("dpctl/add-dp", "dp [iface...]", "datapaths follow the bridges of the database"),
    Missing("dpctl/add-flow", "[dp] flow actions", "datapath flows follow from OpenFlow"),
    Missing("dpctl/add-flows", "[dp] file", "datapath flows follow from OpenFlow"),
    Missing("dpctl/add-if", "dp iface...", "ports follow the database"),
    Missing("dpctl/cache-get-size", "[dp]", "the datapath has no cache of this kind"),
    Missing("dpctl/cache-set-size", "dp cache <size>", "the datapath has no cache of this kind"),
    Missing("dpctl/del-dp", "dp", "datapaths follow the bridges of the database"),
    Missing("dpctl/del-flow", "[dp] flow", "datapath flows follow from OpenFlow"),
    Missing("dpctl/del-if", "dp iface...", "ports follow the database"),
    Missing("dpctl/list-commands", "", "list-commands shows these too"),
    Missing("dpctl/mod-flow", "[dp] flow actions", "datapath flows follow from OpenFlow"),
    Missing("dpctl/mod-flows", "[dp] file", "datapath flows follow from OpenFlow"),
    Missing("dpctl/normalize-actions", "actions", "actions are shown as they are"),
    Missing("dpctl/offload-stats-show", "[dp]", "flows are not handed to network cards"),
    Missing("dpctl/parse-actions", "actions", "actions are shown as they are"),
    Missing("dpctl/set-if", "dp iface...", "ports follow the database"),
    Missing("dpif-dummy/change-port-number", "dp port new-number", "a datapath port keeps its number"),
    Missing("dpif-netdev/bond-show", "[dp]", _BOND),
    Missing("dpif-netdev/dpif-impl-get", "", _DPDK),
    Missing("dpif-netdev/dpif-impl-set", "dpif_implementation_name", _DPDK),
    Missing("dpif-netdev/miniflow-parser-get", "", _DPDK),
    Missing("dpif-netdev/miniflow-parser-set", "[-pmd core] miniflow_implementation_name [study_pkt_cnt]", _DPDK),
    Missing("dpif-netdev/pmd-perf-log-set", "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]", _DPDK),
    Missing("dpif-netdev/pmd-perf-show", "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]", _DPDK),
    Missing("dpif-netdev/pmd-rxq-rebalance", "[dp]", _DPDK),
    Missing("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", _DPDK),
    Missing("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", _DPDK),
    Missing("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", _DPDK),
    Missing("dpif-netdev/subtable-lookup-info-get", "", _DPDK),
    Missing("dpif-netdev/subtable-lookup-prio-set", "[lookup_func] [prio]", _DPDK),
    Missing("dpif-netlink/dispatch-mode", "", "the switch does not use the kernel's Open vSwitch module"),
    Missing("dpif/set-dp-features", "bridge", "the datapath's capabilities are fixed"),
    Missing("dpif/show-dp-features", "bridge", "the datapath's capabilities are fixed"),
    Missing("lacp/show", "[port]", "no LACP is spoken"),
    Missing("lacp/show-stats", "[port]", "no LACP is spoken"),
    Missing("mdb/flush", "[bridge]", "multicast is flooded"),
    Missing("mdb/show", "bridge", "multicast is flooded"),
    Missing("odp-execute/action-impl-set", "name", "there is one implementation of the actions"),
    Missing("odp-execute/action-impl-show", "", "there is one implementation of the actions"),
    Missing("ofproto/trace-packet-out",
            "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions",
            "dpctl/dump-flows shows what becomes of packets"),
    Missing("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", _TUNNEL),
    Missing("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", _TUNNEL),
    Missing("ovs/route/lookup", "ip_addr [pkt_mark=mark]", _TUNNEL),
    Missing("ovs/route/show", "", _TUNNEL),
    Missing("qos/show", "interface", _QOS),
    Missing("qos/show-types", "interface", _QOS),
    Missing("revalidator/purge", "", "flows leave the datapath when they change or idle out"),
    Missing("revalidator/wait", "", "flows leave the datapath when they change or idle out"),
    Missing("rstp/show", "[bridge]", _STP),
    Missing("rstp/tcn", "[bridge]", _STP),
    Missing("stp/show", "[bridge]", _STP),
    Missing("stp/tcn", "[bridge]", _STP),
    Missing("tnl/arp/aging", "[SECS]", _TUNNEL),
    Missing("tnl/arp/flush", "", _TUNNEL),
    Missing("tnl/arp/set", "BRIDGE IP MAC", _TUNNEL),
    Missing("tnl/arp/show", "", _TUNNEL),
    Missing("tnl/egress_port_range", "min max", _TUNNEL),
    Missing("tnl/neigh/aging", "[SECS]", _TUNNEL),
    Missing("tnl/neigh/flush", "", _TUNNEL),
    Missing("tnl/neigh/set", "BRIDGE IP MAC", _TUNNEL),
    Missing("tnl/neigh/show", "", _TUNNEL),
    Missing("tnl/ports/show", "-v", _TUNNEL),
    Missing("upcall/disable-megaflows", "", "megaflows are always on"),
    Missing("upcall/disable-ufid", "", "flows are always named by their ufid"),
    Missing("upcall/enable-megaflows", "", "megaflows are always on"),
    Missing("upcall/enable-ufid", "", "flows are always named by their ufid"),
    Missing("upcall/set-flow-limit", "flow-limit-number", "other_config:flow-limit sets it"),
)  # fmt: skip
