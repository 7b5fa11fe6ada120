"""Flows as careless people write them: fields, values and separators at random, most of them wrong."""

import random
from typing import Final

from support import openflow_flows
from support.matches import random_match
from support.openflow_actions import ACTIONS, MATCHES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIELDS: Final = _words(
    "in_port in_port_oxm dl_vlan dl_vlan_pcp vlan_tci vlan_vid vlan_pcp dl_src dl_dst eth_src "
    "eth_dst dl_type eth_type nw_src nw_dst ip_src ip_dst nw_proto ip_proto nw_tos ip_dscp nw_ecn "
    "ip_ecn nw_ttl tp_src tp_dst tcp_src tcp_dst udp_src udp_dst sctp_src icmp_type icmp_code "
    "icmpv6_type icmpv6_code arp_op arp_spa arp_tpa arp_sha arp_tha ipv6_src ipv6_dst ipv6_label "
    "nd_target nd_sll nd_tll mpls_label mpls_tc mpls_bos mpls_ttl tun_id tunnel_id tun_src tun_dst "
    "tun_ipv6_src tun_flags tun_gbp_id metadata reg0 reg1 xreg0 xxreg0 pkt_mark skb_priority "
    "ct_state ct_zone ct_mark ct_label ct_nw_src ct_nw_proto ct_tp_src ct_ipv6_src conj_id "
    "actset_output tcp_flags nw_frag ip_frag packet_type recirc_id dp_hash nsh_ttl nsh_spi nsh_c1 "
    "nsh_flags nsh_mdtype table priority cookie actions ipv6_frag foo gre vlan_tci1 ct_tp_dst "
    "skb_mark NXM_NX_REG0 OXM_OF_ETH_TYPE tun_tos tun_ttl idle_timeout duration n_packets "
    "send_flow_rem"
)
_VALUES: Final = _words(
    "0 1 5 -1 0x10 65535 65536 4294967295 4294967296 0x800 0x806 0x86dd 0x8847 6 17 1.2.3.4 "
    "1.2.3.4/24 1.2.3 ::1 fe80::/64 ::1/fg 00:11:22:33:44:55 00:11:22:33:44 +trk +new-est trk|new "
    "syn +syn 00:11:22:33:44:55/ff:00:00:00:00:00 syn|ack no yes first later not_later LOCAL p1 p9 "
    "CONTROLLER ANY ALL foo 5/3 0x5/0xf 5/ * (0,0) (1,0x800) (2,3) drop 08 255 256 64 1e3 0x "
    "18446744073709551615"
) + ("", " 5", "5 ", '"p1"')
_KINDS: Final = _words(
    "ip tcp udp icmp arp ipv6 tcp6 udp6 icmp6 sctp sctp6 mpls mplsm rarp ip6 icmpv6 ICMP eth vlan"
)
_MORE: Final = _words(
    "priority=5 priority=65536 priority=-1 priority= priority cookie=1/2 cookie=-1 cookie=x "
    "idle_timeout=65536 idle_timeout=-1 hard_timeout=5 importance=65536 table=255 table=256 table=t "
    "send_flow_rem check_overlap reset_counts no_packet_counts out_port=1 out_group=3 duration=5s "
    "n_packets=x buffer_id=3 add delete allow_hidden_fields"
)


def match_words(r: random.Random) -> str:
    """Something like a match."""
    kind = r.random()
    if kind < 0.15:
        return r.choice(MATCHES)
    if kind < 0.3:
        text = random_match(r)
    elif kind < 0.45:
        text = ",".join(openflow_flows.match(r))
    else:
        words = [r.choice(_KINDS)] if r.random() < 0.6 else []
        for _ in range(r.choice((0, 1, 1, 2, 2, 3))):
            words.append(
                r.choice(_FIELDS) + r.choice(("=", "=", "=", "=", "", ":", "==")) + r.choice(_VALUES)
            )
        if r.random() < 0.2:
            r.shuffle(words)
        text = r.choice((",", ",", ",", " ", ", ")).join(words)
    return _damaged(r, text) if r.random() < 0.2 else text


def flow_words(r: random.Random) -> str:
    """Something like a flow with actions."""
    text = match_words(r)
    if r.random() < 0.4:
        text += r.choice((",", " ")) + r.choice(_MORE)
    if r.random() < 0.1:
        return text
    actions = r.choice(ACTIONS)
    if r.random() < 0.3:
        actions = _damaged(r, actions)
    if r.random() < 0.1:
        actions += "," + r.choice(ACTIONS)
    return f"{text}{',' if text else ''}{r.choice(('actions=', 'action=', 'actions=', 'actions:'))}{actions}"


def _damaged(r: random.Random, text: str) -> str:
    if not text:
        return text
    at = r.randrange(len(text))
    return text[:at] + r.choice(",=()/ :x0[]") + text[at + r.randrange(2) :]
