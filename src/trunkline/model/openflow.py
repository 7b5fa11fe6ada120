"""The numbers of OpenFlow: versions, reserved ports, commands, flags, reasons, and the bits with their names.

Where versions number one thing differently, the numbers here are those that messages.py uses inside; the codec
translates.  Source: the OpenFlow Switch Specification 1.0.0 to 1.5.1, and the original's text for names.
"""

from typing import Final

VERSION_NAMES: Final = {
    1: "OpenFlow10",
    2: "OpenFlow11",
    3: "OpenFlow12",
    4: "OpenFlow13",
    5: "OpenFlow14",
    6: "OpenFlow15",
}
VERSION_SHORT: Final = {1: "OF1.0", 2: "OF1.1", 3: "OF1.2", 4: "OF1.3", 5: "OF1.4", 6: "OF1.5"}
VERSION_BY_NAME: Final = {name: version for version, name in VERSION_NAMES.items()}

# ---- ports: inside, 16 bits, as OpenFlow 1.0 has them; 1.1 on adds 0xffff0000 to the reserved ones -----------

OFPP_MAX: Final = 0xFF00
OFPP_UNSET: Final = 0xFFF7  # 1.5: the action set's output is not set
OFPP_IN_PORT: Final = 0xFFF8
OFPP_TABLE: Final = 0xFFF9
OFPP_NORMAL: Final = 0xFFFA
OFPP_FLOOD: Final = 0xFFFB
OFPP_ALL: Final = 0xFFFC
OFPP_CONTROLLER: Final = 0xFFFD
OFPP_LOCAL: Final = 0xFFFE
OFPP_NONE: Final = 0xFFFF
OFPP_ANY: Final = OFPP_NONE

PORT_NAMES: Final = {
    OFPP_UNSET: "UNSET",
    OFPP_IN_PORT: "IN_PORT",
    OFPP_TABLE: "TABLE",
    OFPP_NORMAL: "NORMAL",
    OFPP_FLOOD: "FLOOD",
    OFPP_ALL: "ALL",
    OFPP_CONTROLLER: "CONTROLLER",
    OFPP_LOCAL: "LOCAL",
    OFPP_NONE: "ANY",
}
PORT_BY_NAME: Final = {name: number for number, name in PORT_NAMES.items()} | {"NONE": OFPP_NONE}

OFPTT_ALL: Final = 0xFF
OFPG_MAX: Final = 0xFFFFFF00
OFPG_ALL: Final = 0xFFFFFFFC
OFPG_ANY: Final = 0xFFFFFFFF
OFPQ_ALL: Final = 0xFFFFFFFF
NO_BUFFER: Final = 0xFFFFFFFF

# ---- port configuration (OFPPC_), state (OFPPS_) and features (OFPPF_, as 1.1 numbers them) ------------------

OFPPC_PORT_DOWN: Final = 1 << 0
OFPPC_NO_STP: Final = 1 << 1
OFPPC_NO_RECV: Final = 1 << 2
OFPPC_NO_RECV_STP: Final = 1 << 3
OFPPC_NO_FLOOD: Final = 1 << 4
OFPPC_NO_FWD: Final = 1 << 5
OFPPC_NO_PACKET_IN: Final = 1 << 6
PORT_CONFIG_NAMES: Final = (
    (OFPPC_PORT_DOWN, "PORT_DOWN"),
    (OFPPC_NO_STP, "NO_STP"),
    (OFPPC_NO_RECV, "NO_RECV"),
    (OFPPC_NO_RECV_STP, "NO_RECV_STP"),
    (OFPPC_NO_FLOOD, "NO_FLOOD"),
    (OFPPC_NO_FWD, "NO_FWD"),
    (OFPPC_NO_PACKET_IN, "NO_PACKET_IN"),
)
OFPPC10_ALL: Final = 0x7F  # which config bits 1.0 has
OFPPC11_ALL: Final = OFPPC_PORT_DOWN | OFPPC_NO_RECV | OFPPC_NO_FWD | OFPPC_NO_PACKET_IN

OFPPS_LINK_DOWN: Final = 1 << 0
OFPPS_BLOCKED: Final = 1 << 1
OFPPS_LIVE: Final = 1 << 2
OFPPS_STP_LISTEN: Final = 0 << 8
OFPPS_STP_LEARN: Final = 1 << 8
OFPPS_STP_FORWARD: Final = 2 << 8
OFPPS_STP_BLOCK: Final = 3 << 8
OFPPS_STP_MASK: Final = 3 << 8
PORT_STATE_NAMES: Final = (
    (OFPPS_LINK_DOWN, "LINK_DOWN"),
    (OFPPS_BLOCKED, "BLOCKED"),
    (OFPPS_LIVE, "LIVE"),
)
STP_STATE_NAMES: Final = {0: "STP_LISTEN", 1: "STP_LEARN", 2: "STP_FORWARD", 3: "STP_BLOCK"}

PORT_FEATURE_NAMES: Final = (
    (1 << 0, "10MB-HD"),
    (1 << 1, "10MB-FD"),
    (1 << 2, "100MB-HD"),
    (1 << 3, "100MB-FD"),
    (1 << 4, "1GB-HD"),
    (1 << 5, "1GB-FD"),
    (1 << 6, "10GB-FD"),
    (1 << 7, "40GB-FD"),
    (1 << 8, "100GB-FD"),
    (1 << 9, "1TB-FD"),
    (1 << 10, "OTHER"),
    (1 << 11, "COPPER"),
    (1 << 12, "FIBER"),
    (1 << 13, "AUTO_NEG"),
    (1 << 14, "AUTO_PAUSE"),
    (1 << 15, "AUTO_PAUSE_ASYM"),
)
# kbps of the fastest speed among feature bits 0 to 9
PORT_FEATURE_SPEEDS: Final = (
    (1 << 9, 1_000_000_000),
    (1 << 8, 100_000_000),
    (1 << 7, 40_000_000),
    (1 << 6, 10_000_000),
    ((1 << 5) | (1 << 4), 1_000_000),
    ((1 << 3) | (1 << 2), 100_000),
    ((1 << 1) | (1 << 0), 10_000),
)

# ---- switch -----------------------------------------------------------------------------------------------

CAPABILITY_FLOW_STATS: Final = 1 << 0
CAPABILITY_TABLE_STATS: Final = 1 << 1
CAPABILITY_PORT_STATS: Final = 1 << 2
CAPABILITY_GROUP_STATS: Final = 1 << 3  # on the wire of 1.0 this bit is STP, see below
CAPABILITY_IP_REASM: Final = 1 << 5
CAPABILITY_QUEUE_STATS: Final = 1 << 6
CAPABILITY_ARP_MATCH_IP: Final = 1 << 7
CAPABILITY_PORT_BLOCKED: Final = 1 << 8
CAPABILITY_BUNDLES: Final = 1 << 9
CAPABILITY_FLOW_MONITORING: Final = 1 << 10
CAPABILITY_STP: Final = 1 << 31
CAPABILITY_NAMES: Final = (
    (CAPABILITY_FLOW_STATS, "FLOW_STATS"),
    (CAPABILITY_TABLE_STATS, "TABLE_STATS"),
    (CAPABILITY_PORT_STATS, "PORT_STATS"),
    (CAPABILITY_GROUP_STATS, "GROUP_STATS"),
    (CAPABILITY_IP_REASM, "IP_REASM"),
    (CAPABILITY_QUEUE_STATS, "QUEUE_STATS"),
    (CAPABILITY_ARP_MATCH_IP, "ARP_MATCH_IP"),
    (CAPABILITY_PORT_BLOCKED, "PORT_BLOCKED"),
    (CAPABILITY_BUNDLES, "BUNDLES"),
    (CAPABILITY_FLOW_MONITORING, "FLOW_MONITORING"),
    (CAPABILITY_STP, "STP"),
)

ACTION10_NAMES: Final = (
    "output",
    "set_vlan_vid",
    "set_vlan_pcp",
    "strip_vlan",
    "mod_dl_src",
    "mod_dl_dst",
    "mod_nw_src",
    "mod_nw_dst",
    "mod_nw_tos",
    "mod_tp_src",
    "mod_tp_dst",
    "enqueue",
)  # bit n of a features reply of 1.0 stands for the n-th
ACTION10_ORDER: Final = (0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)  # in which they are printed

OFPC_FRAG_NORMAL: Final = 0
OFPC_FRAG_DROP: Final = 1
OFPC_FRAG_REASM: Final = 2
OFPC_FRAG_NX_MATCH: Final = 3
FRAGMENT_NAMES: Final = {0: "normal", 1: "drop", 2: "reassemble", 3: "nx-match"}
OFPC_INVALID_TTL_TO_CONTROLLER: Final = 1 << 2

ROLE_NAMES: Final = {0: "nochange", 1: "equal", 2: "primary", 3: "secondary"}
OFPCR_ROLE_NOCHANGE: Final = 0
OFPCR_ROLE_EQUAL: Final = 1
OFPCR_ROLE_PRIMARY: Final = 2
OFPCR_ROLE_SECONDARY: Final = 3
ROLE_REASON_NAMES: Final = {0: "primary_request", 1: "configuration_changed", 2: "experimenter_data_changed"}

# ---- flows ------------------------------------------------------------------------------------------------

OFPFC_ADD: Final = 0
OFPFC_MODIFY: Final = 1
OFPFC_MODIFY_STRICT: Final = 2
OFPFC_DELETE: Final = 3
OFPFC_DELETE_STRICT: Final = 4
FLOW_COMMAND_NAMES: Final = {0: "ADD", 1: "MOD", 2: "MOD_STRICT", 3: "DEL", 4: "DEL_STRICT"}

OFPFF_SEND_FLOW_REM: Final = 1 << 0
OFPFF_CHECK_OVERLAP: Final = 1 << 1
OFPFF_RESET_COUNTS: Final = 1 << 2
OFPFF_NO_PKT_COUNTS: Final = 1 << 3
OFPFF_NO_BYT_COUNTS: Final = 1 << 4
OFPFF_EMERG: Final = 1 << 15  # inside; on the wire of 1.0 it is bit 2

FLOW_FLAG_NAMES: Final = (
    (OFPFF_SEND_FLOW_REM, "send_flow_rem"),
    (OFPFF_CHECK_OVERLAP, "check_overlap"),
    (OFPFF_RESET_COUNTS, "reset_counts"),
    (OFPFF_NO_PKT_COUNTS, "no_packet_counts"),
    (OFPFF_NO_BYT_COUNTS, "no_byte_counts"),
)

DEFAULT_PRIORITY: Final = 0x8000

OFPRR_IDLE_TIMEOUT: Final = 0
OFPRR_HARD_TIMEOUT: Final = 1
OFPRR_DELETE: Final = 2
OFPRR_GROUP_DELETE: Final = 3
OFPRR_METER_DELETE: Final = 4
OFPRR_EVICTION: Final = 5
FLOW_REMOVED_NAMES: Final = {
    0: "idle",
    1: "hard",
    2: "delete",
    3: "group_delete",
    4: "meter_delete",
    5: "eviction",
}

# ---- packets ----------------------------------------------------------------------------------------------

OFPR_NO_MATCH: Final = 0
OFPR_ACTION: Final = 1
OFPR_INVALID_TTL: Final = 2
OFPR_ACTION_SET: Final = 3
OFPR_GROUP: Final = 4
OFPR_PACKET_OUT: Final = 5
OFPR_EXPLICIT_MISS: Final = 6
OFPR_IMPLICIT_MISS: Final = 7
PACKET_IN_REASON_NAMES: Final = {
    0: "no_match",
    1: "action",
    2: "invalid_ttl",
    3: "action_set",
    4: "group",
    5: "packet_out",
    6: "explicit_miss",
    7: "implicit_miss",
}

# ---- ports' messages ----------------------------------------------------------------------------------------

OFPPR_ADD: Final = 0
OFPPR_DELETE: Final = 1
OFPPR_MODIFY: Final = 2
PORT_REASON_NAMES: Final = {0: "ADD", 1: "DEL", 2: "MOD"}

# ---- tables -----------------------------------------------------------------------------------------------

OFPTC11_TABLE_MISS_CONTROLLER: Final = 0
OFPTC11_TABLE_MISS_CONTINUE: Final = 1
OFPTC11_TABLE_MISS_DROP: Final = 2
TABLE_MISS_NAMES: Final = {0: "controller", 1: "continue", 2: "drop"}
OFPTC14_EVICTION: Final = 1 << 2
OFPTC14_VACANCY_EVENTS: Final = 1 << 3

# ---- bundles ------------------------------------------------------------------------------------------------

OFPBCT_OPEN_REQUEST: Final = 0
OFPBCT_OPEN_REPLY: Final = 1
OFPBCT_CLOSE_REQUEST: Final = 2
OFPBCT_CLOSE_REPLY: Final = 3
OFPBCT_COMMIT_REQUEST: Final = 4
OFPBCT_COMMIT_REPLY: Final = 5
OFPBCT_DISCARD_REQUEST: Final = 6
OFPBCT_DISCARD_REPLY: Final = 7
BUNDLE_CONTROL_NAMES: Final = {
    0: "OPEN_REQUEST",
    1: "OPEN_REPLY",
    2: "CLOSE_REQUEST",
    3: "CLOSE_REPLY",
    4: "COMMIT_REQUEST",
    5: "COMMIT_REPLY",
    6: "DISCARD_REQUEST",
    7: "DISCARD_REPLY",
}
OFPBF_ATOMIC: Final = 1 << 0
OFPBF_ORDERED: Final = 1 << 1
BUNDLE_FLAG_NAMES: Final = ((OFPBF_ATOMIC, "atomic"), (OFPBF_ORDERED, "ordered"))

# ---- Nicira's extensions to 1.0 -------------------------------------------------------------------------------

NXFF_OPENFLOW10: Final = 0
NXFF_NXM: Final = 2
FLOW_FORMAT_NAMES: Final = {NXFF_OPENFLOW10: "openflow10", NXFF_NXM: "nxm"}
PACKET_IN_FORMAT_NAMES: Final = {0: "standard", 1: "nxt_packet_in", 2: "nxt_packet_in2"}
