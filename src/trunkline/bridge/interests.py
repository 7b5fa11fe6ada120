"""What the switch copies of the database: the columns that configure it, and no others.

Status columns are missing here on purpose: the switch writes them and has no need to hear of it.  The one
exception is Interface:ofport, by which an interface keeps its number when the switch is started again.
"""

from typing import Final

from trunkline.ovsdb.replica import Interest

INTERESTS: Final = (
    Interest("Open_vSwitch", ("bridges", "next_cfg", "other_config", "datapaths", "manager_options")),
    Interest(
        "Bridge",
        (
            *("name", "ports", "datapath_type", "fail_mode", "other_config", "protocols", "flood_vlans"),
            *("controller", "mirrors", "netflow", "sflow", "ipfix", "auto_attach", "flow_tables"),
            *("stp_enable", "rstp_enable", "mcast_snooping_enable"),
        ),
    ),
    Interest(
        "Port",
        (
            *("name", "interfaces", "vlan_mode", "tag", "trunks", "cvlans", "other_config", "protected"),
            *("fake_bridge", "qos", "mac", "lacp"),
            *("bond_mode", "bond_updelay", "bond_downdelay", "bond_fake_iface"),
        ),
    ),
    Interest(
        "Interface",
        (
            *("name", "type", "options", "mac", "ofport", "ofport_request", "mtu_request", "other_config"),
            *("lldp", "bfd", "cfm_mpid", "ingress_policing_rate", "ingress_policing_burst"),
            *("ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst"),
        ),
    ),
    Interest("Manager", ("target", "connection_mode")),
    Interest("Flow_Table", ("name", "flow_limit", "overflow_policy", "groups", "prefixes")),
    Interest("Datapath", ("ct_zones",)),
    Interest("CT_Zone", ("timeout_policy",)),
    Interest("CT_Timeout_Policy", ("timeouts",)),
    Interest("Flow_Sample_Collector_Set", ("id", "bridge", "ipfix")),
    Interest("SSL", ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert")),
    Interest(
        "Controller",
        (
            *("target", "type", "connection_mode", "max_backoff", "inactivity_probe"),
            *("enable_async_messages", "controller_rate_limit", "controller_burst_limit"),
            *("controller_queue_size", "local_ip", "local_netmask", "local_gateway", "other_config"),
        ),
    ),
)
