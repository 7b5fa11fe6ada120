"""How long a connection lives without a packet, by its protocol and state.

The defaults are the original's userspace datapath's; a timeout policy, by zone (table CT_Timeout_Policy),
sets others.  `TIMEOUTS` has the names of ovs-vswitchd.conf.db(5).
"""

from collections.abc import Mapping
from typing import Final

TIMEOUTS: Final[Mapping[str, int]] = {
    "tcp_syn_sent": 30,
    "tcp_syn_recv": 30,
    "tcp_established": 24 * 60 * 60,
    "tcp_fin_wait": 15 * 60,
    "tcp_time_wait": 45,
    "tcp_close": 30,
    "udp_first": 60,
    "udp_single": 60,
    "udp_multiple": 30,
    "icmp_first": 60,
    "icmp_reply": 30,
}
"""Seconds."""
