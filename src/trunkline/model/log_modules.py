"""The names of the log modules, as ``vlog/list`` of each original program shows them.

Scripts and manual pages name modules (``-vreconnect:warn``), so a program knows exactly the names that its
original knows, also those whose part Trunkline does in another way; a misspelt one is refused.
"""

from typing import Final

# Every program that is linked to the original's common library has these.
COMMON: Final = frozenset(
    ["backtrace", "bundle", "command_line", "conntrack", "conntrack_tp", "coverage", "ct_dpif", "dns_resolve", "dpdk", "dpif", "dpif_lookup_autovalidator", "dpif_lookup_generic", "dpif_mfex_extract_study", "dpif_netdev", "dpif_netdev_extract", "dpif_netdev_impl", "dpif_netdev_lookup", "dpif_netlink", "dpif_netlink_rtnl", "entropy", "fatal_signal", "flow", "hmap", "ipf", "jsonrpc", "meta_flow", "native_tnl", "netdev", "netdev_afxdp", "netdev_linux", "netdev_offload", "netdev_offload_tc", "netdev_vport", "netlink", "netlink_conntrack", "netlink_notifier", "netlink_socket", "nx_match", "odp_execute", "odp_execute_impl", "odp_util", "ofp_actions", "ofp_bundle", "ofp_connection", "ofp_errors", "ofp_flow", "ofp_group", "ofp_match", "ofp_meter", "ofp_monitor", "ofp_msgs", "ofp_packet", "ofp_port", "ofp_protocol", "ofp_queue", "ofp_table", "ofp_util", "ovs_numa", "ovs_rcu", "ovs_replay", "ovs_router", "ovs_thread", "ovsdb_cs", "ovsdb_error", "ovsdb_idl", "ox_stat", "pmd_perf", "poll_loop", "reconnect", "route_table", "sha1", "signals", "socket_util", "socket_util_unix", "stream", "stream_fd", "stream_replay", "stream_ssl", "stream_tcp", "stream_unix", "svec", "tc", "timeval", "unixctl", "userspace_tso", "util", "uuid", "vlog"]
)

MODULES: Final[dict[str, frozenset[str]]] = {
    "ovs-vswitchd": COMMON
    | frozenset(
        ["bfd", "bond", "bridge", "bundles", "cfm", "collectors", "connmgr", "daemon", "daemon_unix", "fail_open", "in_band", "ipfix", "lacp", "lldp", "lldpd", "lldpd_structs", "lockfile", "memory", "netdev_dummy", "netflow", "ofproto", "ofproto_dpif", "ofproto_dpif_mirror", "ofproto_dpif_monitor", "ofproto_dpif_rid", "ofproto_dpif_upcall", "ofproto_dpif_xlate", "ofproto_xlate_cache", "ovs_lldp", "pcap", "process", "rconn", "rstp", "rstp_sm", "sflow", "stp", "system_stats", "tunnel", "vconn", "vconn_stream", "vswitchd"]
    ),
    "ovsdb-server": COMMON
    | frozenset(
        ["daemon", "daemon_unix", "lockfile", "memory", "ovsdb", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac", "ovsdb_server", "ovsdb_util", "process", "raft", "raft_rpc", "relay", "replication", "storage", "transaction", "transaction_forward", "trigger"]
    ),
    "ovs-vsctl": COMMON
    | frozenset(
        ["db_ctl_base", "process", "vconn", "vconn_stream", "vsctl"]
    ),
    "vtep-ctl": COMMON
    | frozenset(
        ["db_ctl_base", "process", "vtep_ctl"]
    ),
    "ovs-testcontroller": COMMON
    | frozenset(
        ["controller", "daemon", "daemon_unix", "learning_switch", "lockfile", "process", "rconn", "vconn", "vconn_stream"]
    ),
    "ovs-ofctl": COMMON
    | frozenset(
        ["daemon", "daemon_unix", "lockfile", "ofctl", "pcap", "process", "vconn", "vconn_stream"]
    ),
    "ovs-appctl": COMMON
    | frozenset(
        ["daemon", "daemon_unix", "lockfile", "process"]
    ),
    "ovs-dpctl": COMMON
    | frozenset(
        []
    ),
    "ovsdb-client": COMMON
    | frozenset(
        ["daemon", "daemon_unix", "lockfile", "ovsdb", "ovsdb_client", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac", "ovsdb_util", "process", "raft", "raft_rpc", "storage", "transaction", "transaction_forward", "trigger"]
    ),
    "ovsdb-tool": COMMON
    | frozenset(
        ["lockfile", "ovsdb", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac", "ovsdb_util", "raft", "raft_rpc", "storage", "transaction", "transaction_forward", "trigger"]
    ),
}


def modules(program: str) -> frozenset[str]:
    """The names a program's log starts with; a program of our own starts with the common ones."""
    return MODULES.get(program, COMMON)
