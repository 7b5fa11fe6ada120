"""What Trunkline does with each column and key of the Open_vSwitch database.

One row stands for settings of one table that share a fate.  The switch takes from here which settings to
report in its log instead of quietly ignoring them (bridge/unsupported.py), and docs/reference/configuration.md
is generated from it; a test holds the list against ovs-vswitchd.conf.db(5), so nothing is left out.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class State(StrEnum):
    """What becomes of a setting."""

    HONOURED = "honoured"  # configuration that takes effect
    REPORTED = "reported"  # status that the switch writes
    DATA = "data"  # kept for others, no effect on the switch by definition
    NOT_YET = "not yet"  # stored and shown; using it is logged once, with `note`
    NOT_HERE = "not here"  # belongs to a part that Trunkline has by design not (DPDK); logged as well
    NOT_REPORTED = "not reported yet"  # status that stays empty


class Settings(NamedTuple):
    """`names`: columns, or column:key, separated by spaces; `note` says what happens instead."""

    table: str
    state: State
    names: str
    note: str = ""


_H, _R, _D = State.HONOURED, State.REPORTED, State.DATA
_Y, _N, _E = State.NOT_YET, State.NOT_HERE, State.NOT_REPORTED
_DPDK = "there is no DPDK datapath; packets go through the kernel's devices"
_THREADS = "the switch has no handler or revalidator threads to count"
_BOND = "a port of several interfaces stays down, and forwards nothing"

SETTINGS: Final = (
    Settings("Open_vSwitch", _H, "bridges ssl next_cfg manager_options"),
    Settings("Open_vSwitch", _H, "datapaths"),
    Settings("Open_vSwitch", _H, "other_config:stats-update-interval other_config:flow-restore-wait "
             "other_config:flow-limit other_config:max-idle other_config:vlan-limit "
             "other_config:bundle-idle-timeout"),
    Settings("Open_vSwitch", _D, "external_ids external_ids:system-id external_ids:hostname external_ids:rundir "
             "other_config system_type system_version"),
    Settings("Open_vSwitch", _R, "cur_cfg dpdk_initialized dpdk_version datapath_types iface_types"),
    Settings("Open_vSwitch", _D, "ovs_version db_version", "ovs-ctl and trunkline up write it"),
    Settings("Open_vSwitch", _N, "other_config:hw-offload other_config:n-offload-threads other_config:tc-policy "
             "other_config:offload-rebalance", "flows are not handed to network cards"),
    Settings("Open_vSwitch", _N, "other_config:dpdk-init other_config:dpdk-lcore-mask other_config:pmd-cpu-mask "
             "other_config:dpdk-alloc-mem other_config:dpdk-socket-mem other_config:dpdk-socket-limit "
             "other_config:dpdk-hugepage-dir other_config:dpdk-extra other_config:vhost-sock-dir "
             "other_config:vhost-iommu-support other_config:vhost-postcopy-support other_config:per-port-memory "
             "other_config:shared-mempool-config other_config:tx-flush-interval other_config:pmd-perf-metrics "
             "other_config:smc-enable other_config:pmd-rxq-assign other_config:pmd-rxq-isolate "
             "other_config:emc-insert-inv-prob other_config:pmd-auto-lb other_config:pmd-auto-lb-rebal-interval "
             "other_config:pmd-auto-lb-load-threshold other_config:pmd-auto-lb-improvement-threshold "
             "other_config:pmd-maxsleep", _DPDK),
    Settings("Open_vSwitch", _N, "other_config:n-handler-threads other_config:n-revalidator-threads", _THREADS),
    Settings("Open_vSwitch", _N, "other_config:userspace-tso-enable",
             "large segments and unfinished checksums always pass as they are"),
    Settings("Open_vSwitch", _N, "other_config:max-revalidator other_config:min-revalidate-pps",
             "a megaflow is revalidated when something that it has read changes, whatever the load and its rate"),
    Settings("Open_vSwitch", _H, "other_config:enable-statistics"),
    Settings("Open_vSwitch", _R, "statistics:cpu statistics:load_average statistics:memory "
             "statistics:process_NAME statistics:file_systems"),
    Settings("Open_vSwitch", _Y, "other_config:private_key other_config:certificate other_config:ca_cert "
             "other_config:ipsec_skb_mark", "tunnels with certificates are refused; those with a psk never send in clear"),

    Settings("Bridge", _H, "name ports fail_mode datapath_type flood_vlans other_config:datapath-id "
             "other_config:dp-desc other_config:dp-sn protocols other_config:hwaddr other_config:forward-bpdu "
             "other_config:mac-aging-time other_config:mac-table-size"),
    Settings("Bridge", _R, "datapath_id datapath_version"),
    Settings("Bridge", _D, "external_ids external_ids:bridge-id other_config"),
    Settings("Bridge", _Y, "mirrors", "nothing is mirrored"),
    Settings("Bridge", _Y, "netflow sflow ipfix", "nothing is exported"),
    Settings("Bridge", _Y, "auto_attach", "no LLDP is sent"),
    Settings("Bridge", _H, "other_config:controller-queue-size"),
    Settings("Bridge", _H, "other_config:in-band-queue other_config:disable-in-band"),
    Settings("Bridge", _H, "controller"),
    Settings("Bridge", _H, "flow_tables"),
    Settings("Bridge", _Y, "stp_enable other_config:stp-system-id other_config:stp-priority "
             "other_config:stp-hello-time other_config:stp-max-age other_config:stp-forward-delay",
             "every port forwards"),
    Settings("Bridge", _Y, "rstp_enable other_config:rstp-address other_config:rstp-priority "
             "other_config:rstp-ageing-time other_config:rstp-force-protocol-version other_config:rstp-max-age "
             "other_config:rstp-forward-delay other_config:rstp-transmit-hold-count", "every port forwards"),
    Settings("Bridge", _H, "mcast_snooping_enable other_config:mcast-snooping-aging-time "
             "other_config:mcast-snooping-table-size other_config:mcast-snooping-disable-flood-unregistered"),
    Settings("Bridge", _E, "status:stp_bridge_id status:stp_designated_root status:stp_root_path_cost "
             "rstp_status:rstp_bridge_id rstp_status:rstp_root_id rstp_status:rstp_root_path_cost "
             "rstp_status:rstp_designated_id rstp_status:rstp_designated_port_id rstp_status:rstp_bridge_port_id"),

    Settings("Port", _H, "name interfaces vlan_mode tag trunks cvlans other_config:qinq-ethtype "
             "other_config:priority-tags fake_bridge protected mac"),
    Settings("Port", _D, "external_ids other_config other_config:transient"),
    Settings("Port", _Y, "bond_mode other_config:bond-hash-basis other_config:lb-output-action "
             "other_config:bond-primary other_config:all-members-active other_config:bond-detect-mode "
             "other_config:bond-miimon-interval bond_updelay bond_downdelay other_config:bond-rebalance-interval "
             "bond_fake_iface", _BOND),
    Settings("Port", _Y, "lacp other_config:lacp-system-id other_config:lacp-system-priority "
             "other_config:lacp-time other_config:lacp-fallback-ab", "no LACP is spoken"),
    Settings("Port", _Y, "other_config:stp-enable other_config:stp-port-num other_config:stp-port-priority "
             "other_config:stp-path-cost", "every port forwards"),
    Settings("Port", _Y, "other_config:rstp-enable other_config:rstp-port-priority other_config:rstp-port-num "
             "other_config:rstp-path-cost other_config:rstp-port-admin-edge other_config:rstp-port-auto-edge "
             "other_config:rstp-port-mcheck", "every port forwards"),
    Settings("Port", _H, "other_config:mcast-snooping-flood other_config:mcast-snooping-flood-reports"),
    Settings("Port", _Y, "qos", "traffic is not shaped"),
    Settings("Port", _E, "bond_active_slave status:stp_port_id status:stp_state status:stp_sec_in_state "
             "status:stp_role rstp_status:rstp_port_id rstp_status:rstp_port_role rstp_status:rstp_port_state "
             "rstp_status:rstp_designated_bridge_id rstp_status:rstp_designated_port_id "
             "rstp_status:rstp_designated_path_cost rstp_statistics:rstp_tx_count rstp_statistics:rstp_rx_count "
             "rstp_statistics:rstp_error_count rstp_statistics:rstp_uptime statistics:stp_tx_count "
             "statistics:stp_rx_count statistics:stp_error_count"),

    Settings("Interface", _H, "name type mac ofport_request mtu_request options:peer"),
    Settings("Interface", _R, "ifindex mac_in_use error ofport mtu admin_state link_state link_resets link_speed "
             "duplex status status:driver_name status:driver_version status:firmware_version "
             "statistics:rx_packets statistics:rx_bytes statistics:tx_packets statistics:tx_bytes "
             "statistics:rx_dropped statistics:rx_frame_err statistics:rx_over_err statistics:rx_crc_err "
             "statistics:rx_errors statistics:tx_dropped statistics:collisions statistics:tx_errors"),
    Settings("Interface", _D, "external_ids external_ids:attached-mac external_ids:iface-id "
             "external_ids:iface-status external_ids:vm-id other_config"),
    Settings("Interface", _H, "options:remote_ip options:local_ip options:in_key options:out_key options:dst_port "
             "options:key options:tos options:ttl options:df_default options:egress_pkt_mark options:packet_type "
             "options:exts options:csum options:erspan_idx options:erspan_ver options:erspan_dir "
             "options:erspan_hwid options:payload_type options:seq"),
    Settings("Interface", _H, "options:psk",
             "keys are derived, not negotiated: both ends have to be Trunkline (docs/design/ipsec.md)"),
    Settings("Interface", _Y, "options:remote_cert options:remote_name",
             "such a tunnel is refused, for its packets would go in clear"),
    Settings("Interface", _N, "options:n_rxq options:dpdk-devargs other_config:pmd-rxq-affinity options:xdp-mode "
             "options:use-need-wakeup options:vhost-server-path options:tx-retries-max options:n_rxq_desc "
             "options:n_txq_desc options:dpdk-vf-mac other_config:tx-steering other_config:emc-enable "
             "options:rx-flow-ctrl options:tx-flow-ctrl options:flow-ctrl-autoneg options:dpdk-lsc-interrupt",
             _DPDK),
    Settings("Interface", _Y, "ingress_policing_rate ingress_policing_kpkts_rate ingress_policing_burst "
             "ingress_policing_kpkts_burst", "traffic is not policed"),
    Settings("Interface", _Y, "bfd:enable bfd:min_rx bfd:min_tx bfd:decay_min_rx bfd:forwarding_if_rx "
             "bfd:cpath_down bfd:check_tnl_key bfd:bfd_local_src_mac bfd:bfd_local_dst_mac "
             "bfd:bfd_remote_dst_mac bfd:bfd_src_ip bfd:bfd_dst_ip bfd:oam bfd:mult", "no BFD is spoken"),
    Settings("Interface", _Y, "cfm_mpid other_config:cfm_interval other_config:cfm_extended "
             "other_config:cfm_demand other_config:cfm_opstate other_config:cfm_ccm_vlan "
             "other_config:cfm_ccm_pcp", "no CFM is spoken"),
    Settings("Interface", _Y, "other_config:lacp-port-id other_config:lacp-port-priority "
             "other_config:lacp-aggregation-key", "no LACP is spoken"),
    Settings("Interface", _Y, "lldp:enable", "no LLDP is sent"),
    Settings("Interface", _R, "status:tunnel_egress_iface status:tunnel_egress_iface_carrier"),
    Settings("Interface", _E, "lacp_current status:source_ip status:port_no status:numa_id status:min_rx_bufsize "
             "status:max_rx_pktlen status:max_rx_queues status:max_tx_queues status:max_mac_addrs "
             "status:max_hash_mac_addrs status:max_vfs status:max_vmdq_pools status:if_type status:if_descr "
             "status:pci-vendor_id status:pci-device_id bfd_status:state bfd_status:forwarding "
             "bfd_status:diagnostic bfd_status:remote_state bfd_status:remote_diagnostic bfd_status:flap_count "
             "cfm_flap_count cfm_fault cfm_fault_status:recv cfm_fault_status:rdi cfm_fault_status:maid "
             "cfm_fault_status:loopback cfm_fault_status:overflow cfm_fault_status:override "
             "cfm_fault_status:interval cfm_remote_opstate cfm_health cfm_remote_mpids"),

    Settings("Flow_Table", _H, "name flow_limit overflow_policy groups"),
    Settings("Flow_Table", _H, "prefixes", "checked; every field's prefixes are tracked, whatever it says"),
    Settings("Flow_Table", _D, "external_ids"),
    Settings("QoS", _Y, "type queues other_config:max-rate other_config:cir other_config:cbs other_config:eir "
             "other_config:ebs other_config:perturb other_config:quantum other_config:latency other_config:limit "
             "other_config:loss other_config", "traffic is not shaped"),
    Settings("QoS", _D, "external_ids"),
    Settings("Queue", _Y, "dscp other_config:min-rate other_config:max-rate other_config:burst "
             "other_config:priority other_config", "traffic is not shaped"),
    Settings("Queue", _D, "external_ids"),
    Settings("Mirror", _Y, "name select_all select_dst_port select_src_port select_vlan output_port output_vlan "
             "snaplen", "nothing is mirrored"),
    Settings("Mirror", _D, "external_ids"),
    Settings("Mirror", _E, "statistics:tx_packets statistics:tx_bytes"),
    Settings("Controller", _H, "type target max_backoff inactivity_probe enable_async_messages "
             "controller_rate_limit controller_burst_limit controller_queue_size other_config:dscp connection_mode "
             "local_ip local_netmask local_gateway"),
    Settings("Controller", _D, "external_ids other_config"),
    Settings("Controller", _R, "is_connected status:last_error status:state status:packet-in-TYPE-bypassed "
             "status:packet-in-TYPE-queued status:packet-in-TYPE-dropped status:packet-in-TYPE-backlog role "
             "status:sec_since_connect status:sec_since_disconnect"),
    Settings("Manager", _H, "target inactivity_probe max_backoff other_config:dscp connection_mode"),
    Settings("Manager", _R, "is_connected status:last_error status:state status:sec_since_connect "
             "status:sec_since_disconnect status:locks_held status:locks_waiting status:locks_lost "
             "status:n_connections status:bound_port"),
    Settings("Manager", _D, "external_ids other_config"),
    Settings("NetFlow", _Y, "targets engine_id engine_type active_timeout add_id_to_interface",
             "nothing is exported"),
    Settings("NetFlow", _D, "external_ids"),
    Settings("Datapath", _H, "ct_zones"),
    Settings("Datapath", _R, "datapath_version"),
    Settings("Datapath", _E, "capabilities:max_vlan_headers capabilities:recirc capabilities:lb_output_action "
             "capabilities:ct_state capabilities:ct_state_nat capabilities:ct_zone capabilities:ct_mark "
             "capabilities:ct_label capabilities:ct_orig_tuple capabilities:ct_orig_tuple6 "
             "capabilities:masked_set_action capabilities:tnl_push_pop capabilities:ufid capabilities:trunc "
             "capabilities:nd_ext capabilities:clone capabilities:sample_nesting capabilities:ct_eventmask "
             "capabilities:ct_clear capabilities:max_hash_alg capabilities:check_pkt_len capabilities:ct_timeout "
             "capabilities:explicit_drop_action capabilities:ct_zero_snat"),
    Settings("Datapath", _D, "external_ids"),
    Settings("CT_Zone", _H, "timeout_policy"),
    Settings("CT_Zone", _D, "external_ids"),
    Settings("CT_Timeout_Policy", _H, "timeouts timeouts:tcp_syn_sent timeouts:tcp_syn_recv "
             "timeouts:tcp_established timeouts:tcp_fin_wait timeouts:tcp_time_wait timeouts:tcp_close "
             "timeouts:udp_first timeouts:udp_single timeouts:udp_multiple timeouts:icmp_first "
             "timeouts:icmp_reply"),
    Settings("CT_Timeout_Policy", _N, "timeouts:tcp_close_wait timeouts:tcp_last_ack timeouts:tcp_syn_sent2 "
             "timeouts:tcp_retransmit timeouts:tcp_unack", "only the Linux kernel's tracker has these states"),
    Settings("CT_Timeout_Policy", _D, "external_ids"),
    Settings("SSL", _H, "private_key certificate ca_cert bootstrap_ca_cert"),
    Settings("SSL", _D, "external_ids"),
    Settings("sFlow", _Y, "agent header polling sampling targets", "nothing is exported"),
    Settings("sFlow", _D, "external_ids"),
    Settings("IPFIX", _Y, "targets sampling obs_domain_id obs_point_id cache_active_timeout cache_max_flows "
             "other_config:enable-tunnel-sampling other_config:virtual_obs_id other_config:enable-input-sampling "
             "other_config:enable-output-sampling", "nothing is exported"),
    Settings("IPFIX", _D, "external_ids"),
    Settings("Flow_Sample_Collector_Set", _Y, "ipfix", "nothing is exported"),
    Settings("Flow_Sample_Collector_Set", _D, "id bridge external_ids"),
    Settings("AutoAttach", _Y, "system_name system_description mappings", "no LLDP is sent"),
)  # fmt: skip

OWN: Final = (
    Settings("Open_vSwitch", _H, "other_config:keep-flows",
             "false: OpenFlow flows do not outlive the switch, which then begins empty as the original does"),
)  # fmt: skip
"""Settings that the original does not have."""

VALUES: Final[tuple[Settings, ...]] = ()
"""Single values, as column=value, that have another fate than their column."""


def setting(table: str, column: str, key: str = "") -> Settings | None:
    """The row that speaks for a column, or for a key of it; None: unknown to ovs-vswitchd.conf.db(5)."""
    name = f"{column}:{key}" if key else column
    return next((row for row in (*SETTINGS, *OWN) if row.table == table and name in row.names.split()), None)
